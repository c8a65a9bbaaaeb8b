#include "uplink/kafka/connection.h"

#include <assert.h>
#include <inttypes.h>

#include "ports/stream.h"
#include "uplink/kafka/errors.h"

#define ANSWER_SIZE_FIRST 4096                 /* enough for every answer to Produce */
#define ANSWER_SIZE_ABSURD (100 * 1024 * 1024) /* not a Kafka broker */
#define SEND_BUFFER_SIZE (128 * 1024)          /* in the kernel: what is there can't be overtaken */
#define THROTTLE_MS_MAX (10 * 60 * 1000)
#define RENEW_MS_MIN 1000
#define LOOKS_PER_TIMEOUT 8 /* how often the progress of the request in front is looked at */

enum state {
    OPENING,      /* TCP, TLS */
    VERSIONS,     /* asked for */
    HANDSHAKE,    /* the mechanism is named */
    AUTHENTICATE, /* tokens */
    READY,
    CLOSED,
};

struct connection {
    const struct connection_settings *settings;
    const struct connection_handler *handler;
    void *context;
    struct stream *stream;
    enum state state;
    char name[WIRE_HOST_SIZE_MAX + 8]; /* host:port, for texts */
    struct wire_versions versions;
    unsigned busy;       /* callbacks that are running */
    bool close_wanted;   /* by the user, during one */
    bool cut_short;      /* it ended with requests that had no answer */
    bool was_answered;   /* a request of the user's, ever */
    bool was_full;       /* on_ready is owed once there is room */
    struct timer timer;  /* looks at the request in front */
    struct timer pause;  /* while throttled */
    struct timer renew;  /* the login ends soon */
    struct timer broken; /* it ends in the next turn, not within the user's call */
    bool renew_wanted;
    uint64_t written;      /* bytes */
    uint64_t acknowledged; /* of these, by the peer's kernel, at the timer's last look */
    uint64_t progress_ms;  /* when there was some */
    uint64_t wire_sent, wire_received; /* reported so far */

    struct connection_request
        *requests[CONNECTION_IN_FLIGHT_MAX + 1]; /* + 1: our own, while logging in */
    unsigned request_count;
    int32_t correlation_next;

    unsigned writing; /* index of the request that is being written; == request_count: none */
    size_t piece;     /* 0: the head, then the body's */
    size_t piece_at;
    uint8_t head_memory[WIRE_HEAD_SIZE_MAX];
    struct out head;

    uint8_t *answer; /* size, correlation, body */
    size_t answer_room;
    size_t answer_size;
    size_t skip; /* bytes of a too large answer that are still to come */

    struct sasl sasl;
    struct connection_request own; /* while logging in */
    struct slice own_body;
    uint8_t own_memory[SASL_TOKEN_SIZE_MAX + 8];
};

static void connection_fail(struct connection *c, enum err e, const struct why *why);
static enum err own_answered(struct connection_request *request, enum err e, struct slice answer);

static void connection_free(struct connection *c)
{
    timer_release(&c->timer);
    timer_release(&c->pause);
    timer_release(&c->renew);
    timer_release(&c->broken);
    stream_close(c->stream);
    free(c->answer);
    free(c);
}

/* Around everything that calls the user: he may close the connection meanwhile. */
static void connection_enter(struct connection *c)
{
    c->busy++;
}

static void connection_leave(struct connection *c)
{
    assert(c->busy > 0);
    c->busy--;
    if (c->busy == 0 && c->close_wanted) {
        connection_free(c);
    }
}

static void connection_count(struct connection *c)
{
    struct wire_count count;
    stream_wire_count(c->stream, &count);
    if (count.sent > c->wire_sent || count.received > c->wire_received) {
        c->settings->wire_bytes(c->settings->context, count.sent - c->wire_sent,
                                count.received - c->wire_received);
        c->wire_sent = count.sent;
        c->wire_received = count.received;
    }
}

/* --- writing --- */

static void connection_head(struct connection *c)
{
    const struct connection_request *request = c->requests[c->writing];
    size_t size = 0;
    for (size_t i = 0; i < request->body_count; i++) {
        size += request->body[i].size;
    }
    int16_t version = wire_version(request->api);
    if (version > c->versions.max[request->api] && request->api == WIRE_SASL_AUTHENTICATE) {
        version = 0;
    }
    c->head = out_over(c->head_memory, sizeof c->head_memory);
    wire_head(&c->head, request->api, version, request->correlation,
              slice_of_text(c->settings->client_id), size);
    assert(!c->head.overflow);
}

/* The request in front has its whole time before it. */
static void connection_watch(struct connection *c)
{
    c->progress_ms = loop_now_ms(c->settings->loop);
    c->acknowledged = c->written - stream_unsent(c->stream);
    timer_arm(&c->timer, c->settings->answer_timeout_ms / LOOKS_PER_TIMEOUT + 1);
}

static void connection_write(struct connection *c)
{
    while (c->writing < c->request_count && !timer_is_armed(&c->broken)) {
        struct connection_request *request = c->requests[c->writing];
        if (c->piece > request->body_count) {
            c->writing++;
            c->piece = 0;
            c->piece_at = 0;
            continue;
        }
        if (c->piece == 0 && c->piece_at == 0) {
            connection_head(c);
        }
        struct slice piece = c->piece == 0 ? out_slice(&c->head) : request->body[c->piece - 1];
        struct slice rest = {piece.data + c->piece_at, piece.size - c->piece_at};
        size_t written = 0;
        if (rest.size > 0) {
            request->started = true;
            enum err e = stream_write(c->stream, rest, &written);
            if (e == ERR_AGAIN) {
                return;
            }
            if (e) {
                timer_arm(&c->broken, 0);
                return;
            }
        }
        c->piece_at += written;
        c->written += written;
        if (written < rest.size) {
            return; /* on_writable follows */
        }
        c->piece++;
        c->piece_at = 0;
    }
}

static void connection_put(struct connection *c, struct connection_request *request)
{
    assert(c->request_count < ARRAY_COUNT(c->requests));
    request->correlation = c->correlation_next;
    request->started = false;
    c->correlation_next = c->correlation_next == INT32_MAX ? 0 : c->correlation_next + 1;
    if (c->request_count == 0) {
        connection_watch(c);
    }
    c->requests[c->request_count++] = request;
}

/* --- logging in --- */

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
    c->renew_wanted = false;
    c->handler->on_ready(c->context);
}

static void login_begin(struct connection *c)
{
    if (!c->settings->sasl) {
        connection_ready(c);
        return;
    }
    struct out body = out_over(c->own_memory, sizeof c->own_memory);
    sasl_init(&c->sasl, c->settings->sasl);
    wire_sasl_handshake(&body, sasl_name(c->settings->sasl));
    c->state = HANDSHAKE;
    own_send(c, WIRE_SASL_HANDSHAKE, &body);
}

static enum err login_token(struct connection *c, struct slice challenge, struct why *why)
{
    uint8_t token[SASL_TOKEN_SIZE_MAX];
    struct out o = out_over(token, sizeof token);
    enum err e = sasl_next(&c->sasl, challenge, &o, why);
    if (e == ERR_CLOSED) {
        connection_ready(c);
        return ERR_OK;
    }
    if (e) {
        return e;
    }
    struct out body = out_over(c->own_memory, sizeof c->own_memory);
    wire_sasl_authenticate(&body, out_slice(&o));
    c->state = AUTHENTICATE;
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
                sasl_name(c->settings->sasl), error->name, error->advice,
                handshake.mechanisms[0] ? handshake.mechanisms : "nothing");
        return ERR_AUTH;
    }
    return e ? e : login_token(c, (struct slice){NULL, 0}, why);
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
        why_set(why, "%s refuses the login of user %s (%s): check sasl.user and sasl.password",
                c->name, c->settings->sasl->user, kafka_error_of(login.error)->name);
        return ERR_AUTH;
    }
    if (login.lifetime_ms > 0) {
        /* Log in again on this connection before the broker ends it (KIP-368). */
        uint64_t renew_ms = (uint64_t)login.lifetime_ms / 10 * 8;
        timer_arm(&c->renew, renew_ms > RENEW_MS_MIN ? renew_ms : RENEW_MS_MIN);
    }
    return login_token(c, login.token, why);
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
    case READY:
    case CLOSED:
        assert(false); /* own requests belong to logging in */
        break;
    }
    if (e) {
        if (!why.text[0]) {
            why_set(&why, "%s gave an answer to the login that can't be read", c->name);
        }
        connection_fail(c, e, &why);
    }
    return ERR_OK;
}

static void connection_renew(struct timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, renew);
    c->renew_wanted = true;
    if (c->state == READY && c->request_count == 0) {
        c->renew_wanted = false;
        connection_enter(c);
        login_begin(c);
        connection_leave(c);
    }
}

/* --- the end --- */

static void connection_fail(struct connection *c, enum err e, const struct why *why)
{
    if (c->state == CLOSED) {
        return;
    }
    connection_enter(c);
    connection_count(c);
    c->state = CLOSED;
    c->cut_short = c->request_count > 0;
    timer_disarm(&c->timer);
    timer_disarm(&c->pause);
    timer_disarm(&c->renew);
    timer_disarm(&c->broken);
    stream_close(c->stream);
    c->stream = NULL;
    while (c->request_count > 0 && !c->close_wanted) {
        struct connection_request *request = c->requests[0];
        c->request_count--;
        memmove(c->requests, c->requests + 1,
                c->request_count * sizeof(struct connection_request *));
        (void)request->answered(request, e, (struct slice){NULL, 0}); /* nothing is left to end */
    }
    if (!c->close_wanted) {
        c->handler->on_closed(c->context, e, why);
    }
    connection_leave(c);
}

static void connection_broken(struct timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, broken);
    struct why why;
    why_set(&why, "the connection to %s was cut", c->name);
    connection_fail(c, ERR_CLOSED, &why);
}

static void connection_late(struct timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, timer);
    uint64_t acknowledged = c->written - stream_unsent(c->stream);
    /* A slow link is no silence; nor is a broker that reads nothing because it said so. */
    if (acknowledged != c->acknowledged || timer_is_armed(&c->pause)) {
        connection_watch(c);
        return;
    }
    if (loop_now_ms(c->settings->loop) - c->progress_ms < c->settings->answer_timeout_ms) {
        timer_arm(&c->timer, c->settings->answer_timeout_ms / LOOKS_PER_TIMEOUT + 1);
        return;
    }
    struct why why;
    why_set(&why, "%s does not answer within %" PRIu32 " ms", c->name,
            c->settings->answer_timeout_ms);
    connection_fail(c, ERR_TIMEOUT, &why);
}

/* --- reading --- */

static void connection_corrupt(struct connection *c, const char *what)
{
    struct why why;
    why_set(&why, "%s sent %s: is it a Kafka broker, and is \"tls\" right?", c->name, what);
    connection_fail(c, ERR_CORRUPT, &why);
}

/* The request in front has its answer. */
static void connection_answer(struct connection *c, int32_t correlation, enum err e,
                              struct slice answer)
{
    if (c->request_count == 0 || c->writing == 0 || c->requests[0]->correlation != correlation) {
        connection_corrupt(c, "an answer that nobody asked for");
        return;
    }
    struct connection_request *request = c->requests[0];
    c->was_answered = c->was_answered || request != &c->own;
    c->was_full = c->was_full || c->request_count >= CONNECTION_IN_FLIGHT_MAX;
    c->request_count--;
    c->writing--;
    memmove(c->requests, c->requests + 1, c->request_count * sizeof(struct connection_request *));
    timer_disarm(&c->timer);
    if (c->request_count > 0) {
        connection_watch(c);
    }
    e = request->answered(request, e, answer);
    if (c->state == CLOSED || c->close_wanted) {
        return;
    }
    if (e) {
        connection_corrupt(c, "an answer that can't be read");
        return;
    }
    connection_count(c);
    if (c->renew_wanted && c->request_count == 0) {
        c->renew_wanted = false;
        login_begin(c);
    } else if (c->was_full && connection_has_room(c)) {
        c->was_full = false;
        c->handler->on_ready(c->context);
    }
}

static enum err answer_room(struct connection *c, size_t size)
{
    if (size <= c->answer_room) {
        return ERR_OK;
    }
    uint8_t *larger = realloc(c->answer, size);
    if (!larger) {
        return ERR_NOMEM;
    }
    c->answer = larger;
    c->answer_room = size;
    return ERR_OK;
}

static uint32_t get_u32(const uint8_t *d)
{
    return (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
}

/* How many bytes of the answer in front are still missing; with 0 it is complete. */
static size_t answer_missing(const struct connection *c)
{
    return c->answer_size < 8 ? 8 - c->answer_size : get_u32(c->answer) + 4 - c->answer_size;
}

/* The first 8 bytes are there. False: the connection has ended, or the body is being skipped. */
static bool answer_begin(struct connection *c)
{
    uint32_t size = get_u32(c->answer);
    if (size < 4 || size > ANSWER_SIZE_ABSURD) {
        connection_corrupt(c, "something that is no answer");
        return false;
    }
    if (size > WIRE_ANSWER_SIZE_MAX) {
        c->skip = size - 4;
        return false;
    }
    if (answer_room(c, size + 4)) {
        struct why why;
        why_set(&why, "no memory for an answer of %" PRIu32 " bytes from %s", size, c->name);
        connection_fail(c, ERR_NOMEM, &why);
        return false;
    }
    return true;
}

static enum err read_skipped(struct connection *c)
{
    uint8_t drop[1024];
    size_t got;
    enum err e = stream_read(c->stream, drop, c->skip < sizeof drop ? c->skip : sizeof drop, &got);
    if (!e) {
        c->skip -= got;
        if (c->skip == 0) {
            c->answer_size = 0;
            connection_answer(c, (int32_t)get_u32(c->answer + 4), ERR_REJECTED,
                              (struct slice){NULL, 0});
        }
    }
    return e;
}

static enum err read_answer(struct connection *c)
{
    size_t got;
    enum err e = stream_read(c->stream, c->answer + c->answer_size, answer_missing(c), &got);
    if (e) {
        return e;
    }
    bool was_head = c->answer_size < 8;
    c->answer_size += got;
    if (was_head && c->answer_size == 8 && !answer_begin(c)) {
        return ERR_OK;
    }
    if (c->answer_size >= 8 && answer_missing(c) == 0) {
        struct slice body = {c->answer + 8, c->answer_size - 8};
        c->answer_size = 0;
        connection_answer(c, (int32_t)get_u32(c->answer + 4), ERR_OK, body);
    }
    return ERR_OK;
}

static void stream_readable(void *context)
{
    struct connection *c = context;
    connection_enter(c);
    while (c->state != CLOSED && !c->close_wanted) {
        enum err e = c->skip > 0 ? read_skipped(c) : read_answer(c);
        if (e == ERR_AGAIN || e == ERR_CLOSED) {
            break; /* on_closed follows */
        }
        if (e && c->state != CLOSED) {
            struct why why;
            why_set(&why, "the connection to %s broke while reading", c->name);
            connection_fail(c, e, &why);
        }
    }
    connection_leave(c);
}

static void stream_opened(void *context)
{
    struct connection *c = context;
    connection_enter(c);
    c->state = VERSIONS;
    struct out body = out_over(c->own_memory, sizeof c->own_memory);
    own_send(c, WIRE_API_VERSIONS, &body);
    connection_leave(c);
}

static void stream_writable(void *context)
{
    struct connection *c = context;
    connection_enter(c);
    connection_write(c);
    connection_leave(c);
}

static void stream_ended(void *context, enum err e, const struct why *why)
{
    struct connection *c = context;
    struct why text = *why;
    enum state state = c->state;
    if (state == OPENING) {
        why_add(&text, "no connection to %s", c->name);
    } else if (state != READY) {
        /* Brokers close without a word when TLS or SASL is not what the port expects. */
        why_set(&text, "%s closed the connection during the login: check \"tls\" and \"sasl\"",
                c->name);
    } else if (!c->was_answered && !c->settings->sasl && c->request_count > 0) {
        why_set(&text,
                "%s closed the connection at the first request: it wants a login, set \"sasl\"",
                c->name);
    } else {
        why_add(&text, "the connection to %s ended", c->name);
    }
    connection_fail(c, e ? e : ERR_CLOSED, &text);
}

static const struct stream_handler stream_calls = {
    .on_open = stream_opened,
    .on_readable = stream_readable,
    .on_writable = stream_writable,
    .on_closed = stream_ended,
};

static void connection_resume(struct timer *timer)
{
    struct connection *c = CONTAINER_OF(timer, struct connection, pause);
    if (connection_has_room(c)) {
        connection_enter(c);
        c->was_full = false;
        c->handler->on_ready(c->context);
        connection_leave(c);
    }
}

/* --- for the user --- */

enum err connection_open(struct connection **ret, const struct connection_settings *settings,
                         const char *host, uint16_t port, const struct connection_handler *handler,
                         void *context)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        return ERR_NOMEM;
    }
    c->settings = settings;
    c->handler = handler;
    c->context = context;
    (void)snprintf(c->name, sizeof c->name, "%s:%u", host, port);
    timer_init(&c->timer, settings->loop, connection_late);
    timer_init(&c->pause, settings->loop, connection_resume);
    timer_init(&c->renew, settings->loop, connection_renew);
    timer_init(&c->broken, settings->loop, connection_broken);
    for (size_t i = 0; i < WIRE_API_COUNT; i++) {
        c->versions.max[i] = -1;
    }
    enum err e = answer_room(c, ANSWER_SIZE_FIRST);
    if (e) {
        goto fail;
    }
    struct stream_options options = {
        .host = host,
        .port = port,
        .tls = settings->tls,
        .server_name = settings->server_name,
        .send_buffer_size = SEND_BUFFER_SIZE,
    };
    e = stream_connect(&c->stream, settings->loop, settings->names, &options, &stream_calls, c);
    if (e) {
        goto fail;
    }
    *ret = c;
    return ERR_OK;

fail:
    connection_free(c);
    return e;
}

void connection_close(struct connection *connection)
{
    if (!connection) {
        return;
    }
    if (connection->state != CLOSED) {
        connection_count(connection);
        connection->state = CLOSED;
    }
    connection->close_wanted = true;
    if (connection->busy == 0) {
        connection_free(connection);
    }
}

void connection_cut(struct connection *connection)
{
    if (connection && connection->state != CLOSED) {
        timer_arm(&connection->broken, 0);
    }
}

void connection_context_set(struct connection *connection, void *context)
{
    connection->context = context;
}

bool connection_has_room(const struct connection *connection)
{
    return connection->state == READY && !connection->renew_wanted &&
           connection->request_count < CONNECTION_IN_FLIGHT_MAX &&
           !timer_is_armed(&connection->pause) && !timer_is_armed(&connection->broken);
}

bool connection_is_idle(const struct connection *connection)
{
    return connection->request_count == 0;
}

void connection_send(struct connection *connection, struct connection_request *request)
{
    assert(connection_has_room(connection));
    connection_enter(connection);
    connection_put(connection, request);
    if (connection->request_count == CONNECTION_IN_FLIGHT_MAX) {
        connection->was_full = true;
    }
    connection_write(connection);
    connection_leave(connection);
}

void connection_throttle(struct connection *connection, int32_t throttle_ms)
{
    if (throttle_ms > 0 && connection->state == READY) {
        timer_arm(&connection->pause,
                  (uint64_t)(throttle_ms < THROTTLE_MS_MAX ? throttle_ms : THROTTLE_MS_MAX));
    }
}

bool connection_has_served(const struct connection *connection)
{
    return connection->was_answered;
}

bool connection_was_cut_short(const struct connection *connection)
{
    return connection->cut_short;
}

int16_t connection_api_max(const struct connection *connection, enum wire_api api)
{
    return connection->versions.max[api];
}
