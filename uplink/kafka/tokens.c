#include "uplink/kafka/tokens.h"

#include <assert.h>
#include <stdlib.h>

#include "uplink/http/server_clock.h"
#include "uplink/kafka/oauth.h"

struct tokens {
    struct tokens_setup setup;
    struct oauth *oauth; /* one of the two */
    struct credentials *credentials;
    struct server_clock clock;
    char region[SIGV4_REGION_SIZE_MAX + 1];
    bool has_fault; /* of the credentials */
    struct why fault;
};

bool tokens_are_needed(const struct sasl_options *options)
{
    return options->is_set &&
           (options->mechanism == SASL_OAUTHBEARER || options->mechanism == SASL_AWS_MSK_IAM);
}

static void credentials_changed(void *context)
{
    struct tokens *tokens = context;
    tokens->setup.changed(tokens->setup.context);
}

static void credentials_fault(void *context, const struct why *why)
{
    struct tokens *tokens = context;
    tokens->has_fault = why != NULL;
    if (why) {
        tokens->fault = *why;
    }
    tokens->setup.changed(tokens->setup.context);
}

static void credentials_wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    struct tokens *tokens = context;
    tokens->setup.wire_bytes(tokens->setup.context, sent, received);
}

static enum err store_aws(void *context, struct aws_credentials *ret, int64_t *ret_time_s)
{
    struct tokens *tokens = context;
    *ret_time_s = server_clock_now_s(&tokens->clock);
    return credentials_get(tokens->credentials, ret);
}

static enum err tokens_open_aws(struct tokens *tokens, struct why *why)
{
    struct slice broker = slice_of_text(tokens->setup.broker);
    if (!sasl_region(tokens->setup.options, broker, tokens->region)) {
        why_set(why, "sasl.region is missing");
        return ERR_CONFIG;
    }
    struct credentials_setup setup = {.loop = tokens->setup.loop,
                                      .names = tokens->setup.names,
                                      .http = tokens->setup.http,
                                      .clock = &tokens->clock,
                                      .options = &tokens->setup.options->credentials,
                                      .region = tokens->region,
                                      .context = tokens,
                                      .changed = credentials_changed,
                                      .fault = credentials_fault,
                                      .wire_bytes = credentials_wire_bytes};
    tokens->setup.store->aws = store_aws;
    tokens->setup.store->aws_context = tokens;
    return credentials_open(&tokens->credentials, &setup, why);
}

static enum err tokens_open_oauth(struct tokens *tokens)
{
    struct oauth_setup setup = {.loop = tokens->setup.loop,
                                .http = tokens->setup.http,
                                .options = &tokens->setup.options->oauth,
                                .store = tokens->setup.store,
                                .context = tokens->setup.context,
                                .changed = tokens->setup.changed,
                                .wire_bytes = tokens->setup.wire_bytes,
                                .dated = tokens->setup.dated};
    return oauth_open(&tokens->oauth, &setup);
}

enum err tokens_open(struct tokens **ret, const struct tokens_setup *setup, struct why *why)
{
    assert(tokens_are_needed(setup->options) && WEIR_HTTP_CLIENT);
    if (!WEIR_HTTP_CLIENT) { /* the configuration is refused */
        return ERR_CONFIG;
    }
    struct tokens *tokens = calloc(1, sizeof *tokens);
    if (!tokens) {
        return ERR_NOMEM;
    }
    tokens->setup = *setup;
    enum err e =
        sasl_is_aws(setup->options) ? tokens_open_aws(tokens, why) : tokens_open_oauth(tokens);
    if (e) {
        tokens_close(tokens);
        return e;
    }
    *ret = tokens;
    return ERR_OK;
}

void tokens_close(struct tokens *tokens)
{
    if (!WEIR_HTTP_CLIENT || !tokens) {
        return;
    }
    oauth_close(tokens->oauth);
    credentials_close(tokens->credentials);
    free(tokens);
}

enum err tokens_ready(struct tokens *tokens, bool fresh)
{
    struct aws_credentials unused;
    if (!tokens) {
        return ERR_OK;
    }
    return tokens->oauth ? oauth_ready(tokens->oauth, fresh)
                         : credentials_get(tokens->credentials, &unused);
}

bool tokens_refused(struct tokens *tokens, uint64_t number)
{
    if (!tokens) {
        return true;
    }
    return tokens->oauth ? oauth_refused(tokens->oauth, number)
                         : !credentials_refused(tokens->credentials, number);
}

const struct why *tokens_fault(const struct tokens *tokens, enum err *ret_e)
{
    if (!tokens) {
        return NULL;
    }
    if (tokens->oauth) {
        return oauth_fault(tokens->oauth, ret_e);
    }
    if (!tokens->has_fault) {
        return NULL;
    }
    *ret_e = ERR_AUTH;
    return &tokens->fault;
}

const char *tokens_name(const struct tokens *tokens, char *text, size_t size)
{
    if (tokens->oauth) {
        (void)snprintf(text, size, "the access token of client %.100s",
                       tokens->setup.options->oauth.client_id);
    } else {
        const char *origin = credentials_origin(tokens->credentials);
        (void)snprintf(text, size, "AWS's credentials%s%.100s", origin[0] ? " from " : "", origin);
    }
    return text;
}
