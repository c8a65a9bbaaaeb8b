#include "uplink/aws/credentials.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "ports/random.h"
#include "uplink/aws/credentials_impl.h"
#include "uplink/http/server_clock.h"

#define LIFETIME_S_MAX (12 * 60 * 60) /* that our clock is believed */
#define LIFETIME_S_MIN 60             /* less is our clock's fault */
#define LIFETIME_S_USUAL (15 * 60)    /* then: no service gives less */
#define LEAD_S_MAX (10 * 60)          /* before their end, at most a fifth of their time */
#define LEAD_S_CHANCE (5 * 60)        /* and by chance, at most a tenth */
#define MARGIN_S 30                   /* before their end they are not used any more */
#define NEW_MS (60 * 1000) /* refused within this time after they came, new ones are no help */
#define BACKOFF_MS_FIRST 1000
#define BACKOFF_MS_MAX (60 * 1000)
#define BACKOFF_MS_PERSON (5 * 60 * 1000) /* where a person has to do something */
#define RETRY_AFTER_MS_MAX (60 * 60 * 1000)
#define FAILURES_SILENT 3 /* to renew, while there are some */

static void (*const providers[PROVIDER_COUNT])(struct credentials *credentials) = {
    [PROVIDER_PROFILE] = credentials_from_profile,
    [PROVIDER_WEB_IDENTITY] = credentials_from_web_identity,
    [PROVIDER_CONTAINER] = credentials_from_container,
    [PROVIDER_MACHINE] = credentials_from_machine,
    [PROVIDER_IOT] = credentials_from_iot,
};

static uint64_t now_ms(const struct credentials *credentials)
{
    return loop_now_ms(credentials->setup.loop);
}

static bool credentials_are_good(const struct credentials *credentials)
{
    return credentials->has_some && now_ms(credentials) < credentials->end_ms;
}

/* --- what providers say --- */

void credentials_origin_set(struct credentials *credentials, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(credentials->origin, sizeof credentials->origin, format, arguments);
    va_end(arguments);
}

/* Half of the pause is chance, so that a fleet does not come back at once. */
static void credentials_again(struct credentials *credentials, uint64_t most_ms, int64_t asked_ms)
{
    unsigned attempt = credentials->attempt++;
    uint64_t ceiling = (uint64_t)BACKOFF_MS_FIRST << (attempt < 16 ? attempt : 16);
    ceiling = ceiling < most_ms ? ceiling : most_ms;
    uint64_t wait_ms = ceiling / 2 + random_below((uint32_t)(ceiling / 2) + 1);
    uint64_t asked = asked_ms > 0 ? (uint64_t)asked_ms : 0;
    asked = asked < RETRY_AFTER_MS_MAX ? asked : RETRY_AFTER_MS_MAX;
    timer_arm(&credentials->timer, asked > wait_ms ? asked : wait_ms);
}

/* This fetch is over, without any. */
static void fetch_end(struct credentials *credentials, uint64_t most_ms, int64_t retry_after_ms)
{
    assert(credentials->is_fetching);
    credentials->is_fetching = false;
    credentials_roles_forget(credentials);
    credentials_again(credentials, most_ms, retry_after_ms);
}

void credentials_fail(struct credentials *credentials, enum err e, int64_t retry_after_ms)
{
    bool is_persons = e == ERR_AUTH || e == ERR_CONFIG;
    fetch_end(credentials, is_persons ? BACKOFF_MS_PERSON : BACKOFF_MS_MAX, retry_after_ms);
    if (!credentials_are_good(credentials) || credentials->attempt >= FAILURES_SILENT) {
        credentials->has_fault = true;
        credentials->setup.fault(credentials->setup.context, &credentials->why);
    }
}

void credentials_fail_of_clock(struct credentials *credentials, int64_t retry_after_ms)
{
    if (credentials->has_dated) {
        credentials_fail(credentials, ERR_CLOSED, retry_after_ms);
        return;
    }
    credentials->has_dated = true;
    fetch_end(credentials, BACKOFF_MS_MAX, retry_after_ms);
}

void credentials_none(struct credentials *credentials)
{
    if (credentials->roles) {
        why_set(&credentials->why,
                "profile %.100s takes its role by its credential_source, and there are no "
                "credentials",
                credentials->roles->profile);
        credentials_fail(credentials, ERR_CONFIG, 0);
        return;
    }
    if (credentials->only == PROVIDER_COUNT && credentials->at < PROVIDER_MACHINE) {
        credentials->at++;
        timer_arm(&credentials->timer, 0);
        return;
    }
    why_set(&credentials->why,
            "no credentials for AWS are found%s%s: set \"credentials\", or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment, or a profile in ~/.aws/credentials",
            credentials->origin[0] ? " any more in " : "", credentials->origin);
    credentials_fail(credentials, ERR_CONFIG, 0);
}

/* Seconds from now on; 0: they do not end. */
static uint64_t lifetime_s(const struct credentials *credentials,
                           const struct credentials_answer *answer)
{
    if (answer->end_s == 0) {
        return 0;
    }
    int64_t left_s = answer->end_s - server_clock_now_s(credentials->setup.clock);
    if (left_s < LIFETIME_S_MIN) {
        return LIFETIME_S_USUAL;
    }
    return (uint64_t)(left_s < LIFETIME_S_MAX ? left_s : LIFETIME_S_MAX);
}

static void credentials_renew_later(struct credentials *credentials, uint64_t life_s)
{
    uint64_t lead_s = life_s / 5 < LEAD_S_MAX ? life_s / 5 : LEAD_S_MAX;
    uint64_t chance_s = life_s / 10 < LEAD_S_CHANCE ? life_s / 10 : LEAD_S_CHANCE;
    uint64_t wait_ms = (life_s - lead_s) * 1000 - random_below((uint32_t)chance_s * 1000 + 1);
    timer_arm(&credentials->timer, wait_ms);
}

static void text_keep(char *to, size_t size, struct slice text)
{
    assert(text.size < size);
    memcpy(to, text.data ? text.data : (const uint8_t *)"", text.size);
    to[text.size] = '\0';
}

void credentials_take(struct credentials *credentials, const struct credentials_answer *answer,
                      bool is_fixed)
{
    if (credentials->roles) {
        credentials_role_take(credentials, answer);
        return;
    }
    uint64_t life_s = is_fixed ? 0 : lifetime_s(credentials, answer);
    text_keep(credentials->key_id, sizeof credentials->key_id, answer->key_id);
    text_keep(credentials->secret, sizeof credentials->secret, answer->secret);
    text_keep(credentials->session_token, sizeof credentials->session_token, answer->token);
    credentials->has_some = true;
    credentials->is_fixed = is_fixed;
    credentials->number++;
    credentials->fetched_ms = now_ms(credentials);
    credentials->end_ms =
        life_s ? credentials->fetched_ms + (life_s - MARGIN_S) * 1000 : UINT64_MAX;
    credentials->is_fetching = false;
    credentials->attempt = 0;
    credentials->has_dated = false;
    credentials->only = credentials->at;
    if (life_s) {
        credentials_renew_later(credentials, life_s);
    }
    if (credentials->has_fault) {
        credentials->has_fault = false;
        credentials->setup.fault(credentials->setup.context, NULL);
    }
    if (credentials->is_open) {
        credentials->setup.changed(credentials->setup.context);
    }
}

/* The next fetch, or the next provider of this one. */
static void credentials_turn(struct timer *timer)
{
    struct credentials *credentials = CONTAINER_OF(timer, struct credentials, timer);
    if (!credentials->is_fetching) {
        bool is_chain = credentials->only == PROVIDER_COUNT;
        credentials->is_fetching = true;
        credentials->at = is_chain ? PROVIDER_PROFILE : credentials->only;
    }
    assert(!credentials->asked && !credentials->process);
    providers[credentials->at](credentials);
}

/* --- for the user --- */

/* What is fixed; else who is asked. */
static enum err credentials_begin(struct credentials *credentials, struct why *why)
{
    const struct credentials_options *options = credentials->setup.options;
    if (options->access_key_id) {
        struct credentials_answer answer = {.key_id = slice_of_text(options->access_key_id),
                                            .secret = slice_of_text(options->secret_access_key),
                                            .token = slice_of_text(options->session_token)};
        credentials_origin_set(credentials, "the configuration");
        credentials_take(credentials, &answer, true);
        return ERR_OK;
    }
    credentials->only = options->iot.is_set                ? PROVIDER_IOT
                        : options->web_identity_token_file ? PROVIDER_WEB_IDENTITY
                        : options->profile                 ? PROVIDER_PROFILE
                        : options->credentials_file        ? PROVIDER_PROFILE
                        : options->config_file             ? PROVIDER_PROFILE
                                                           : PROVIDER_COUNT;
    enum err e = ERR_CLOSED;
    if (credentials->only == PROVIDER_COUNT) {
        e = credentials_from_environment(credentials, why);
    }
    if (e == ERR_CLOSED) {
        timer_arm(&credentials->timer, 0);
        e = ERR_OK;
    }
    return e;
}

enum err credentials_open(struct credentials **ret, const struct credentials_setup *setup,
                          struct why *why)
{
    assert(setup->changed && setup->fault && setup->clock && setup->options && setup->region);
    struct credentials *credentials = calloc(1, sizeof *credentials);
    if (!credentials) {
        return ERR_NOMEM;
    }
    credentials->setup = *setup;
    timer_init(&credentials->timer, setup->loop, credentials_turn);
    enum err e = credentials_begin(credentials, why);
    if (e) {
        credentials_close(credentials);
        return e;
    }
    credentials->is_open = true;
    *ret = credentials;
    return ERR_OK;
}

void credentials_close(struct credentials *credentials)
{
    if (!credentials) {
        return;
    }
    if (credentials->asked) {
        http_cancel(credentials->asked, &credentials->request);
    }
    if (credentials->local) {
        http_close(credentials->local);
    }
    process_close(credentials->process);
    credentials_roles_forget(credentials);
    timer_release(&credentials->timer);
    free(credentials);
}

enum err credentials_get(struct credentials *credentials, struct aws_credentials *ret)
{
    if (!credentials_are_good(credentials)) {
        return ERR_AGAIN;
    }
    const char *token = credentials->session_token;
    *ret = (struct aws_credentials){.key_id = credentials->key_id,
                                    .secret = credentials->secret,
                                    .session_token = token[0] ? token : NULL,
                                    .number = credentials->number};
    return ERR_OK;
}

bool credentials_refused(struct credentials *credentials, uint64_t number)
{
    if (number != credentials->number || !credentials->has_some) {
        return true;
    }
    if (credentials->is_fixed || now_ms(credentials) - credentials->fetched_ms < NEW_MS) {
        return false;
    }
    credentials->has_some = false;
    if (!credentials->is_fetching && credentials->attempt == 0) {
        timer_arm(&credentials->timer, 0);
    }
    return true;
}

const char *credentials_origin(const struct credentials *credentials)
{
    return credentials->has_some ? credentials->origin : "";
}
