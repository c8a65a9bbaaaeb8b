#include <assert.h>

#include "uplink/kafka/connection_impl.h"
#include "uplink/kafka/errors.h"
#include "uplink/kafka/tokens.h"

#define RENEW_MS_MIN 1000
#define TOKEN_LOOK_MS 100    /* how often an access token is looked for, while a login waits */
#define RENEW_LOOK_MS_MIN 20 /* and while one is to be renewed, however short it was */

static enum err own_answered(struct connection_request *request, enum err e, struct slice answer);

static void own_send(struct connection *c, enum wire_api api, struct out *body)
{
    assert(!body->overflow);
    c->own_body = out_slice(body);
    c->own = (struct connection_request){
        .api = api, .body = &c->own_body, .body_count = 1, .answered = own_answered};
    connection_put(c, &c->own);
    connection_write(c);
}

static void connection_ready(struct connection *c)
{
    c->state = READY;
    c->was_full = false;
    c->ready_ms = c->ready_ms ? c->ready_ms : loop_now_ms(c->settings->loop);
    sasl_release(&c->sasl);
    c->handler->on_ready(c->context);
}

/* False: the login waits for an access token, or there is none to be had. */
static bool login_has_token(struct connection *c)
{
    struct tokens *tokens = c->settings->tokens;
    enum err e = tokens_ready(tokens, false);
    if (!e) {
        return true;
    }
    const struct why *why = tokens_fault(tokens, &e);
    if (why) {
        struct why text = *why;
        connection_fail(c, e, &text);
    } else {
        c->state = TOKEN;
        timer_arm(&c->slow, TOKEN_LOOK_MS);
    }
    return false;
}

void login_begin(struct connection *c)
{
    if (!c->settings->sasl) {
        connection_ready(c);
        return;
    }
    if (!login_has_token(c)) {
        return;
    }
    struct out body = out_over(c->own_memory, sizeof c->own_memory);
    sasl_release(&c->sasl);
    size_t host_size = (size_t)(strrchr(c->name, ':') - c->name);
    sasl_init(&c->sasl, c->settings->sasl, (struct slice){(const uint8_t *)c->name, host_size});
    wire_sasl_handshake(&body, sasl_name(c->settings->sasl->options));
    c->state = HANDSHAKE;
    own_send(c, WIRE_SASL_HANDSHAKE, &body);
}

static enum err login_token(struct connection *c, struct slice challenge, struct why *why)
{
    struct out token = out_over(c->own_memory + WIRE_SASL_TOKEN_AT, SASL_TOKEN_SIZE_MAX);
    c->state = AUTHENTICATE;
    enum err e = sasl_next(&c->sasl, challenge, &token, why);
    if (e == ERR_CLOSED) {
        connection_ready(c);
        return ERR_OK;
    }
    if (e == ERR_AGAIN) {
        timer_arm(&c->slow, 0);
        return ERR_OK;
    }
    if (e) {
        why_add(why, "the login to %s", c->name);
        return e;
    }
    assert(!token.overflow); /* the options are bounded */
    struct out body = out_over(c->own_memory, sizeof c->own_memory);
    wire_sasl_authenticate(&body, token.size);
    body.size += token.size;
    own_send(c, WIRE_SASL_AUTHENTICATE, &body);
    return ERR_OK;
}

static enum err versions_answered(struct connection *c, struct slice answer, struct why *why)
{
    enum err e = wire_versions_parse(answer, &c->versions);
    if (e) {
        why_set(why, "%s does not answer as a Kafka broker does: check host and port", c->name);
        return e;
    }
    if (c->versions.error || c->versions.max[WIRE_PRODUCE] < wire_version(WIRE_PRODUCE) ||
        c->versions.max[WIRE_METADATA] < wire_version(WIRE_METADATA) ||
        c->versions.max[WIRE_INIT_PRODUCER_ID] < wire_version(WIRE_INIT_PRODUCER_ID)) {
        why_set(why, "the broker at %s is older than Kafka 2.1 (Produce v%d): it needs an update",
                c->name, c->versions.max[WIRE_PRODUCE]);
        return ERR_VERSION;
    }
    if (c->settings->sasl && c->versions.max[WIRE_SASL_HANDSHAKE] < 1) {
        why_set(why,
                "the broker at %s has no SASL on this port: remove \"sasl\", or use another port",
                c->name);
        return ERR_AUTH;
    }
    login_begin(c);
    return ERR_OK;
}

static enum err handshake_answered(struct connection *c, struct slice answer, struct why *why)
{
    struct wire_sasl_handshake_answer handshake;
    enum err e = wire_sasl_handshake_parse(answer, &handshake);
    if (!e && handshake.error) {
        const struct kafka_error *error = kafka_error_of(handshake.error);
        why_set(why, "%s refuses to log in by %s (%s): %s; it offers: %s", c->name,
                sasl_name(c->settings->sasl->options), error->name, error->advice,
                handshake.mechanisms[0] ? handshake.mechanisms : "nothing");
        return ERR_AUTH;
    }
    return e ? e : login_token(c, (struct slice){NULL, 0}, why);
}

/* Whether it is a matter for a person (ERR_AUTH), or another try will do. */
static enum err login_refused(const struct connection *c, const struct wire_sasl_answer *login,
                              struct why *why)
{
    const struct sasl_options *options = c->settings->sasl->options;
    struct tokens *tokens = c->settings->tokens;
    if (tokens) {
        char name[200];
        bool is_aws = sasl_is_aws(options);
        why_set(why, "%s refuses %s (%s%s%s): %s", c->name, tokens_name(tokens, name, sizeof name),
                kafka_error_of(login->error)->name, c->sasl.refusal[0] ? ", " : "", c->sasl.refusal,
                is_aws ? "may they kafka-cluster:Connect to this cluster, is a clock wrong?"
                       : "has it expired, is it meant for another audience, is a clock wrong?");
        return tokens_refused(tokens, c->sasl.token_number) ? ERR_AUTH : ERR_TIMEOUT;
    }
    why_set(why, "%s refuses the login of user %s by %s (%s): check sasl.user and sasl.password",
            c->name, options->user, sasl_name(options), kafka_error_of(login->error)->name);
    return ERR_AUTH;
}

static enum err token_answered(struct connection *c, struct slice answer, struct why *why)
{
    struct wire_sasl_answer login;
    int16_t version = c->versions.max[WIRE_SASL_AUTHENTICATE] >= 1 ? 1 : 0;
    enum err e = wire_sasl_authenticate_parse(answer, version, &login);
    if (e) {
        return e;
    }
    if (login.error) {
        return login_refused(c, &login, why);
    }
    if (login.lifetime_ms > 0) {
        /* Log in again on this connection before the broker ends it (KIP-368). */
        uint64_t renew_ms = (uint64_t)login.lifetime_ms / 10 * 8;
        timer_arm(&c->renew, renew_ms > RENEW_MS_MIN ? renew_ms : RENEW_MS_MIN);
        uint64_t look_ms = renew_ms / 50 < RENEW_MS_MIN ? renew_ms / 50 : RENEW_MS_MIN;
        c->look_ms = look_ms > RENEW_LOOK_MS_MIN ? look_ms : RENEW_LOOK_MS_MIN;
    }
    return login_token(c, login.token, why);
}

static void login_fail(struct connection *c, enum err e, struct why *why)
{
    if (!why->text[0]) {
        why_set(why, "%s gave an answer to the login that can't be read", c->name);
    }
    connection_fail(c, e, why);
}

static enum err own_answered(struct connection_request *request, enum err e, struct slice answer)
{
    struct connection *c = CONTAINER_OF(request, struct connection, own);
    if (e) {
        return e == ERR_REJECTED ? ERR_CORRUPT : ERR_OK; /* it is being closed */
    }
    struct why why = {""};
    switch (c->state) {
    case VERSIONS:
        e = versions_answered(c, answer, &why);
        break;
    case HANDSHAKE:
        e = handshake_answered(c, answer, &why);
        break;
    case AUTHENTICATE:
        e = token_answered(c, answer, &why);
        break;
    case OPENING:
    case TOKEN:
    case READY:
    case CLOSED:
        assert(false); /* own requests belong to logging in */
        break;
    }
    if (e) {
        login_fail(c, e, &why);
    }
    return ERR_OK;
}

void login_go_on(struct timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, slow);
    struct why why = {""};
    connection_enter(c);
    enum err e = ERR_OK;
    if (c->state == TOKEN) {
        login_begin(c);
    } else {
        e = login_token(c, (struct slice){NULL, 0}, &why);
    }
    if (e) {
        login_fail(c, e, &why);
    }
    connection_leave(c);
}

void login_renew(struct timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, renew);
    if (tokens_ready(c->settings->tokens, true)) {
        timer_arm(timer, c->look_ms); /* it goes on under the old one meanwhile */
    } else if (c->state == READY) {
        connection_enter(c);
        login_begin(c); /* behind what is under way, which the broker answers first */
        connection_leave(c);
    }
}

void login_open(struct connection *c)
{
    struct out body = out_over(c->own_memory, sizeof c->own_memory);
    c->state = VERSIONS;
    own_send(c, WIRE_API_VERSIONS, &body);
}
