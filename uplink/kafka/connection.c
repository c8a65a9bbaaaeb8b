#include <assert.h>
#include <inttypes.h>

#include "uplink/kafka/connection_impl.h"

#define ANSWER_SIZE_FIRST 4096        /* enough for every answer to Produce */
#define SEND_BUFFER_SIZE (128 * 1024) /* in the kernel, at most */
#define THROTTLE_MS_MAX (10 * 60 * 1000)
#define OF_USE_MS (60 * 1000) /* a connection that was kept so long was no failure */
#define LOOKS_PER_TIMEOUT 8   /* how often the progress of the request in front is looked at */

static void connection_free(struct connection *c)
{
    timer_release(&c->timer);
    timer_release(&c->pause);
    timer_release(&c->renew);
    timer_release(&c->slow);
    timer_release(&c->broken);
    sasl_release(&c->sasl);
    stream_close(c->stream);
    free(c->answer);
    free(c);
}

void connection_enter(struct connection *c)
{
    c->busy++;
}

void connection_leave(struct connection *c)
{
    assert(c->busy > 0);
    c->busy--;
    if (c->busy == 0 && c->close_wanted) {
        connection_free(c);
    }
}

void connection_count(struct connection *c)
{
    struct wire_told more;
    if (stream_wire_more(c->stream, &c->wire, &more)) {
        c->settings->wire_bytes(c->settings->context, more.sent, more.received);
    }
}

/* --- writing --- */

static void connection_gather(struct connection *c)
{
    const struct connection_request *request = c->requests[c->writing];
    size_t size = 0;
    for (size_t i = 0; i < request->body_count; i++) {
        size += request->body[i].size;
    }
    int16_t version = request->version;
    if (version == 0) {
        version = wire_version(request->api);
    }
    if (version > c->versions.max[request->api] && request->api == WIRE_SASL_AUTHENTICATE) {
        version = 0;
    }
    c->front = out_over(c->front_memory, sizeof c->front_memory);
    c->front_at = 0;
    wire_head(&c->front, request->api, version, request->correlation,
              slice_of_text(c->settings->client_id), size);
    c->piece = c->piece_at = 0;
    while (c->piece < request->body_count) {
        struct slice piece = request->body[c->piece];
        size_t room = c->front.size_max - c->front.size;
        size_t taken = piece.size < room ? piece.size : room;
        out_put(&c->front, piece.data, taken);
        if (taken < piece.size) {
            c->piece_at = taken;
            break;
        }
        c->piece++;
    }
    assert(!c->front.overflow);
    c->begun = true;
}

/* What of the request is to be written next; empty: nothing any more. */
static struct slice connection_rest(struct connection *c)
{
    const struct connection_request *request = c->requests[c->writing];
    if (c->front_at < c->front.size) {
        return (struct slice){c->front.data + c->front_at, c->front.size - c->front_at};
    }
    while (c->piece < request->body_count && c->piece_at == request->body[c->piece].size) {
        c->piece++;
        c->piece_at = 0;
    }
    if (c->piece == request->body_count) {
        return (struct slice){NULL, 0};
    }
    const struct slice *piece = &request->body[c->piece];
    return (struct slice){piece->data + c->piece_at, piece->size - c->piece_at};
}

static void connection_wrote(struct connection *c, size_t size)
{
    bool is_front = c->front_at < c->front.size;
    c->front_at += is_front ? size : 0;
    c->piece_at += is_front ? 0 : size;
    c->written += size;
}

void connection_watch(struct connection *c)
{
    c->progress_ms = loop_now_ms(c->settings->loop);
    c->acknowledged = c->written - stream_unsent(c->stream);
    timer_arm(&c->timer, c->settings->answer_timeout_ms / LOOKS_PER_TIMEOUT + 1);
}

void connection_write(struct connection *c)
{
    while (c->writing < c->request_count && !timer_is_armed(&c->broken)) {
        struct connection_request *request = c->requests[c->writing];
        if (!c->begun) {
            connection_gather(c);
        }
        struct slice rest = connection_rest(c);
        if (rest.size == 0) {
            c->writing++;
            c->begun = false;
            continue;
        }
        size_t written = 0;
        request->started = true;
        enum err e = stream_write(c->stream, rest, &written);
        if (e == ERR_AGAIN) {
            return;
        }
        if (e) {
            timer_arm(&c->broken, 0);
            return;
        }
        connection_wrote(c, written);
        if (written < rest.size) {
            return; /* on_writable follows */
        }
    }
}

void connection_put(struct connection *c, struct connection_request *request)
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

/* --- the end --- */

void connection_fail(struct connection *c, enum err e, const struct why *why)
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
    timer_disarm(&c->slow);
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
    struct why why;
    if (c->request_count == 0) {
        why_set(&why, "the connection to %s was not used", c->name);
        connection_fail(c, ERR_CLOSED, &why);
        return;
    }
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
    why_set(&why, "%s does not answer within %" PRIu32 " ms", c->name,
            c->settings->answer_timeout_ms);
    connection_fail(c, ERR_TIMEOUT, &why);
}

static void stream_readable(void *context)
{
    struct connection *c = context;
    connection_enter(c);
    connection_read(c);
    connection_leave(c);
}

static void stream_opened(void *context)
{
    struct connection *c = context;
    connection_enter(c);
    c->was_open = true;
    login_open(c);
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
    enum connection_state state = c->state;
    size_t size = strlen(c->name);
    if (state == OPENING) {
        bool is_named = strncmp(why->text, c->name, size) == 0 && why->text[size] == ':';
        why_set(&text, "%s", why->text + (is_named ? size + 2 : 0));
        why_add(&text, "no connection to %s", c->name);
    } else if (state != READY && e != ERR_AUTH) { /* that says what TLS does not like */
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

static void connection_link(const struct connection *c, struct uplink_link *ret)
{
    *ret = (struct uplink_link){.interface_name = NULL};
    if (c->settings->link) {
        c->settings->link(c->settings->context, ret);
    }
    if (ret->send_buffer_size == 0 || ret->send_buffer_size > SEND_BUFFER_SIZE) {
        ret->send_buffer_size = SEND_BUFFER_SIZE;
    }
}

/* The kernel takes no more than the link carries in a moment: what is there can't be overtaken. */
static void connection_fit_buffer(struct connection *c)
{
    struct uplink_link link;
    connection_link(c, &link);
    uint32_t size = link.send_buffer_size;
    if (size > c->send_buffer_size / 4 * 5 || size < c->send_buffer_size / 4 * 3) {
        c->send_buffer_size = size;
        stream_send_buffer_set(c->stream, size);
    }
}

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
    (void)snprintf(c->name, sizeof c->name, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    timer_init(&c->timer, settings->loop, connection_late);
    timer_init(&c->pause, settings->loop, connection_resume);
    timer_init(&c->renew, settings->loop, login_renew);
    timer_init(&c->slow, settings->loop, login_go_on);
    timer_init(&c->broken, settings->loop, connection_broken);
    for (size_t i = 0; i < WIRE_API_COUNT; i++) {
        c->versions.max[i] = -1;
    }
    enum err e = connection_read_room(c, ANSWER_SIZE_FIRST);
    if (e) {
        goto fail;
    }
    struct uplink_link link = {.interface_name = NULL};
    connection_link(c, &link);
    c->send_buffer_size = link.send_buffer_size;
    struct stream_options options = {
        .host = host,
        .port = port,
        .tls = settings->tls,
        .server_name = settings->server_name,
        .interface_name = link.interface_name,
        .send_buffer_size = link.send_buffer_size,
        .keepalive_s = link.keepalive_s,
        .pacer = link.pacer,
        .is_urgent = settings->is_urgent,
        /* Whether a batch is stored is asked on another connection: the answer has to hold. */
        .forget_unsent = true,
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
        connection_count(connection);
        timer_arm(&connection->broken, 0);
    }
}

void connection_context_set(struct connection *connection, void *context)
{
    connection->context = context;
}

bool connection_has_room(const struct connection *connection)
{
    return connection->state == READY && connection->request_count < CONNECTION_IN_FLIGHT_MAX &&
           !timer_is_armed(&connection->pause) && !timer_is_armed(&connection->broken);
}

bool connection_is_throttled(const struct connection *connection)
{
    return timer_is_armed(&connection->pause);
}

bool connection_is_idle(const struct connection *connection)
{
    return connection->request_count == 0;
}

void connection_send(struct connection *connection, struct connection_request *request)
{
    assert(connection_has_room(connection));
    connection_fit_buffer(connection);
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
    uint64_t ready_ms = connection->ready_ms;
    return connection->was_answered ||
           (ready_ms > 0 && loop_now_ms(connection->settings->loop) - ready_ms >= OF_USE_MS);
}

bool connection_was_cut_short(const struct connection *connection)
{
    return connection->cut_short;
}

uint64_t connection_ready_ms(const struct connection *connection)
{
    return connection->ready_ms;
}

bool connection_was_open(const struct connection *connection)
{
    return connection->was_open;
}

int64_t connection_peer_end_s(const struct connection *connection)
{
    return connection->stream ? stream_peer_end_s(connection->stream) : 0;
}

int16_t connection_api_max(const struct connection *connection, enum wire_api api)
{
    return connection->versions.max[api];
}
