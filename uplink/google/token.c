#include "uplink/google/token.h"

#include <stdlib.h>

#include "uplink/google/token_impl.h"

#include "ports/clock.h"
#include "ports/lib/sign.h"
#include "ports/random.h"
#include "uplink/google/jwt.h"
#include "uplink/http/server_clock.h"

#define FRESH_PERCENT 65 /* of its time, and a tenth by chance */
#define MARGIN_S_MAX 60  /* before its end, at most a tenth of its time */
#define BACKOFF_MS_FIRST 1000
#define BACKOFF_MS_MAX (60 * 1000)
#define RETRY_AFTER_MS_MAX (60 * 60 * 1000)
#define JWT_SIZE_MAX 4096

uint64_t token_now_ms(const struct google_token *token)
{
    return loop_now_ms(token->setup.loop);
}

/* --- there is one, or there is none --- */

static void token_forget(struct google_token *token)
{
    free(token->text);
    token->text = NULL;
}

void token_known(struct google_token *token, char *text, int64_t life_s)
{
    int64_t margin_s = life_s / 10 < MARGIN_S_MAX ? life_s / 10 : MARGIN_S_MAX;
    token_forget(token);
    token->text = text;
    token->number++;
    token->fresh_ms =
        token_now_ms(token) + (uint64_t)life_s * (FRESH_PERCENT + random_below(10)) * 10;
    token->end_ms = token_now_ms(token) + (uint64_t)(life_s - margin_s) * 1000;
    token->attempt = 0;
    token->fault_e = ERR_OK;
}

/* Asked for again after a growing pause, which is long when a setting is wrong. token->fault is set. */
void token_failed(struct google_token *token, enum err e, int64_t retry_after_ms)
{
    uint64_t most = (uint64_t)BACKOFF_MS_FIRST << (token->attempt < 7 ? token->attempt : 7);
    most = most < BACKOFF_MS_MAX && e != ERR_AUTH ? most : BACKOFF_MS_MAX;
    uint64_t wait_ms = most / 2 + random_below((uint32_t)(most / 2) + 1);
    uint64_t asked_ms = retry_after_ms > 0 ? (uint64_t)retry_after_ms : 0;
    asked_ms = asked_ms < RETRY_AFTER_MS_MAX ? asked_ms : RETRY_AFTER_MS_MAX;
    token->attempt++;
    token->fault_e = e;
    token->reload = true; /* the file may have been mended meanwhile */
    timer_arm(&token->retry, asked_ms > wait_ms ? asked_ms : wait_ms);
}

/* --- where it comes from --- */

static void token_name_source(struct google_token *token)
{
    const struct credentials *c = &token->credentials;
    char *ret = token->source;
    size_t size = sizeof token->source;
    if (c->kind == CREDENTIALS_METADATA) {
        (void)snprintf(ret, size, "the metadata server %s", token_metadata_host());
    } else if (c->kind == CREDENTIALS_SERVICE_ACCOUNT) {
        (void)snprintf(ret, size, "service account %.100s (key %.20s) of %.200s", c->email,
                       c->key_id, token->path);
    } else {
        (void)snprintf(ret, size, "%s of %.200s",
                       c->kind == CREDENTIALS_USER ? "a user's login" : "workload identity",
                       token->path);
    }
}

static enum err token_load(struct google_token *token, struct why *why)
{
    struct credentials c;
    char path[PATH_MAX];
    enum err e = credentials_load(&c, token->setup.credentials, path, sizeof path, why);
    if (e) {
        return e;
    }
    credentials_release(&token->credentials);
    token->credentials = c;
    memcpy(token->path, path, sizeof path);
    token_name_source(token);
    return ERR_OK;
}

static void token_sign(struct google_token *token)
{
    const struct jwt_claims claims = {.key_id = token->credentials.key_id,
                                      .email = token->credentials.email,
                                      .audience = token->setup.audience,
                                      .scope = token->setup.scope,
                                      .now_s = server_clock_now_s(token->setup.clock)};
    char *text = malloc(JWT_SIZE_MAX);
    struct out o = out_over(text, JWT_SIZE_MAX - 1);
    enum err e = text ? jwt_put(&o, &claims, token->credentials.key) : ERR_NOMEM;
    if (e) {
        free(text);
        why_set(&token->fault, "no token could be signed: %s", err_name(e));
        token_failed(token, e, 0);
        return;
    }
    text[o.size] = '\0';
    token_known(token, text, JWT_LIFETIME_S);
}

static void token_start(struct google_token *token)
{
    if (token->reload) {
        struct why why;
        token->reload = false;
        if (token_load(token, &why)) {
            token->fault = why;
            token_failed(token, ERR_AUTH, 0);
            return;
        }
    }
    if (token->credentials.kind == CREDENTIALS_SERVICE_ACCOUNT) {
        token_sign(token);
    } else {
        token_ask(token);
    }
}

/* --- for the user --- */

static void token_retry(struct timer *timer)
{
    struct google_token *token = CONTAINER_OF(timer, struct google_token, retry);
    token_start(token);
    token->setup.changed(token->setup.context);
}

enum err google_token_open(struct google_token **ret, const struct google_token_setup *setup,
                           struct why *why)
{
    struct google_token *token = calloc(1, sizeof *token);
    if (!token) {
        return ERR_NOMEM;
    }
    token->setup = *setup;
    timer_init(&token->retry, setup->loop, token_retry);
    enum err e = token_load(token, why);
    e = e ? e : http_open(&token->local, setup->loop, setup->names);
    if (e) {
        google_token_close(token);
        return e;
    }
    *ret = token;
    return ERR_OK;
}

void google_token_close(struct google_token *token)
{
    if (!token) {
        return;
    }
    token_ask_cancel(token);
    timer_release(&token->retry);
    http_close(token->local);
    credentials_release(&token->credentials);
    token_forget(token);
    free(token);
}

enum err google_token_get(struct google_token *token, const char **ret_text, uint64_t *ret_number)
{
    uint64_t now_ms = token_now_ms(token);
    if ((!token->text || now_ms >= token->fresh_ms) && !token->via &&
        !timer_is_armed(&token->retry)) {
        token_start(token);
    }
    if (!token->text || now_ms >= token->end_ms) {
        return ERR_AGAIN;
    }
    *ret_text = token->text;
    *ret_number = token->number;
    return ERR_OK;
}

bool google_token_refused(struct google_token *token, uint64_t number)
{
    if (number != token->number) {
        return false;
    }
    token_forget(token);
    token->reload = true;
    return true;
}

const struct why *google_token_fault(const struct google_token *token, enum err *ret_e)
{
    if (!token->fault_e) {
        return NULL;
    }
    *ret_e = token->fault_e;
    return &token->fault;
}

const char *google_token_source(const struct google_token *token)
{
    return token->source;
}
