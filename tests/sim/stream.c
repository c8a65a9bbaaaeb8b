/* The agent's side of simulated connections: ports/stream.h. */
#include "ports/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ports/names.h"
#include "ports/pacer.h"
#include "tests/sim/connection.h"

#define WINDOW_SIZE 65536
#define TIMEOUT_MS 10000
#define DOWN_RETRY_MS 500
#define SEGMENT_SIZE 1400
#define HEADER_SIZE 52

struct stream {
    struct loop *loop;
    struct names *names;
    struct stream_handler handler;
    void *context;
    struct timer kick; /* of the agent: callbacks */
    struct timer limit;
    struct timer dial; /* of the world: SYN and answer */
    struct name_query query;
    bool asking;
    bool encrypted;
    bool forgets;
    struct connection *connection;
    struct listener *listener; /* until it is accepted */
    uint8_t *data;             /* arrived and not read */
    size_t size, room;
    size_t window;
    struct pacer_seat seat;
    bool open, told_open, paused, wants_writable, finished, ended, failed, reported, closed;
    unsigned busy;
    enum err e;
    struct why why;
    uint64_t payload_sent, payload_received;
    char peer[HOST_SIZE + 16];
};

struct listener {
    struct listener *next;
    struct loop *loop;
    char host[HOST_SIZE];
    uint16_t port;
    void (*accepted)(void *context, struct stream *stream);
    void *context;
    struct stream *waiting[64];
    size_t waiting_count;
    struct listener_counts counts;
};

static struct listener *listeners;
static uint16_t port_next = 40000;

static void stream_kick(struct stream *stream)
{
    if (!stream->closed && !stream->reported && !timer_is_armed(&stream->kick)) {
        timer_arm(&stream->kick, 0);
    }
}

static void stream_fail(struct stream *stream, enum err e, const char *text)
{
    if (stream->failed) {
        return;
    }
    stream->failed = true;
    stream->e = e;
    why_set(&stream->why, "%s: %s", stream->peer, text);
    timer_disarm(&stream->limit);
    timer_disarm(&stream->dial);
    stream_kick(stream);
}

/* --- what arrives --- */

void stream_sim_data(struct stream *stream, struct slice data)
{
    if (stream->size + data.size > stream->room) {
        stream->room = 2 * (stream->size + data.size);
        stream->data = realloc(stream->data, stream->room);
        assert(stream->data);
    }
    memcpy(stream->data + stream->size, data.data, data.size);
    stream->size += data.size;
    stream_kick(stream);
}

void stream_sim_room(struct stream *stream)
{
    if (stream->wants_writable) {
        stream_kick(stream);
    }
}

void stream_sim_ended(struct stream *stream, bool in_order)
{
    stream->ended = true;
    if (in_order) {
        stream_kick(stream);
    } else {
        stream->size = 0;
        stream_fail(stream, ERR_CLOSED, "Connection reset by peer");
    }
}

void stream_sim_orphan(struct stream *stream)
{
    stream->connection = NULL;
    stream->ended = true;
    stream->size = 0;
}

/* --- callbacks: one a turn, because each may close the stream --- */

static void stream_kicked(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, kick);
    stream->busy++;
    if (stream->listener) {
        struct listener *listener = stream->listener;
        size_t place = 0;
        while (listener->waiting[place] != stream) {
            place++;
        }
        listener->waiting[place] = listener->waiting[--listener->waiting_count];
        stream->listener = NULL;
        listener->counts.accepted++;
        listener->accepted(listener->context, stream);
        if (!stream->closed && !stream->handler.on_readable) {
            stream_close(stream);
        }
    } else if (stream->open && !stream->told_open) {
        stream->told_open = true;
        if (stream->handler.on_open) {
            stream->handler.on_open(stream->context);
        }
    } else if (stream->size && !stream->paused) {
        stream->handler.on_readable(stream->context);
    } else if (stream->wants_writable && !stream->seat.waits && stream->connection &&
               !stream->failed && stream->connection->up.size < stream->window) {
        stream->wants_writable = false;
        if (stream->handler.on_writable) {
            stream->handler.on_writable(stream->context);
        }
    } else if (stream->failed && !stream->reported) {
        stream->reported = true;
        stream->handler.on_closed(stream->context, stream->e, &stream->why);
    } else if (stream->ended && !stream->size) {
        stream_fail(stream, ERR_CLOSED, "the peer ended the connection");
    }
    stream->busy--;
    if (stream->closed) {
        if (!stream->busy) {
            free(stream->data);
            free(stream);
        }
        return;
    }
    bool room = stream->wants_writable && !stream->seat.waits && stream->connection &&
                stream->connection->up.size < stream->window;
    if ((stream->size && !stream->paused) || room || stream->failed ||
        (stream->ended && !stream->paused && !stream->size)) {
        stream_kick(stream);
    }
}

/* --- connecting --- */

static void stream_limit_fire(struct timer *timer)
{
    stream_fail(CONTAINER_OF(timer, struct stream, limit), ERR_TIMEOUT,
                "can't connect: no answer in time");
}

static void stream_dial_fire(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, dial);
    const struct net_handler *handler = NULL;
    void *server = NULL;
    if (stream->closed || stream->failed || sim_loop_is_dead(stream->loop)) {
        return;
    }
    if (net_link()->down) {
        timer_arm(timer, DOWN_RETRY_MS);
        return;
    }
    bool refused = sim_chance(net_link()->refuse_per_million);
    net_counts()->refusals += refused;
    if (!net_server_find(stream->query.host, stream->query.port, &handler, &server) || refused) {
        stream_fail(stream, ERR_CLOSED, "can't connect: Connection refused");
        return;
    }
    timer_disarm(&stream->limit);
    stream->open = true;
    stream->connection = connection_new(stream->query.host, stream->query.port, handler, stream);
    stream->connection->forgets = stream->forgets;
    connection_open_peer(stream->connection, server);
    stream_kick(stream);
}

static void stream_found(struct name_query *query, enum err e)
{
    struct stream *stream = CONTAINER_OF(query, struct stream, query);
    stream->asking = false;
    if (e) {
        stream_fail(stream, e, query->why.text);
        return;
    }
    uint64_t trips = stream->encrypted ? 4 : 2;
    timer_arm(&stream->dial, (net_latency_us() * trips + 999) / 1000);
}

static struct stream *stream_new(struct loop *loop)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream) {
        stream->loop = loop;
        stream->window = WINDOW_SIZE;
        timer_init(&stream->kick, loop, stream_kicked);
        timer_init(&stream->limit, loop, stream_limit_fire);
        timer_init(&stream->dial, sim_loop(), stream_dial_fire);
    }
    return stream;
}

static void stream_paced(struct pacer_seat *seat)
{
    struct stream *stream = CONTAINER_OF(seat, struct stream, seat);
    if (stream->wants_writable) {
        stream_kick(stream);
    }
}

enum err stream_connect(struct stream **ret, struct loop *loop, struct names *names,
                        const struct stream_options *options, const struct stream_handler *handler,
                        void *context)
{
    assert(handler->on_readable && handler->on_closed && names);
    if (sim_loop_is_dead(loop)) {
        return ERR_CLOSED;
    }
    struct stream *stream = stream_new(loop);
    if (!stream) {
        return ERR_NOMEM;
    }
    stream->handler = *handler;
    stream->context = context;
    stream->names = names;
    pacer_sit(&stream->seat, options->pacer, options->is_urgent, stream_paced);
    stream->encrypted = options->tls != NULL;
    stream->forgets = options->forget_unsent;
    stream->window = options->send_buffer_size ? options->send_buffer_size : WINDOW_SIZE;
    snprintf(stream->query.host, sizeof stream->query.host, "%s", options->host);
    snprintf(stream->peer, sizeof stream->peer, "%.100s:%u", options->host,
             (unsigned)options->port);
    stream->query.port = options->port;
    stream->query.found = stream_found;
    enum err e = names_query(names, &stream->query);
    if (e) {
        stream_close(stream);
        return e;
    }
    stream->asking = true;
    timer_arm(&stream->limit,
              options->connect_timeout_ms ? options->connect_timeout_ms : TIMEOUT_MS);
    *ret = stream;
    return ERR_OK;
}

/* --- the user's verbs --- */

enum err stream_read(struct stream *stream, uint8_t *data, size_t size, size_t *ret_size)
{
    assert(size > 0);
    if (stream->size == 0) {
        if (stream->ended || stream->failed) {
            stream_kick(stream);
            return ERR_CLOSED;
        }
        return ERR_AGAIN;
    }
    size_t taken = size < stream->size ? size : stream->size;
    memcpy(data, stream->data, taken);
    memmove(stream->data, stream->data + taken, stream->size - taken);
    stream->size -= taken;
    stream->payload_received += taken;
    *ret_size = taken;
    return ERR_OK;
}

enum err stream_write(struct stream *stream, struct slice data, size_t *ret_size)
{
    assert(!stream->finished);
    *ret_size = 0;
    if (!stream->open && !stream->failed) {
        return ERR_AGAIN;
    }
    if (stream->failed || !stream->connection) {
        return ERR_CLOSED;
    }
    size_t used = stream->connection->up.size;
    size_t room = used < stream->window ? stream->window - used : 0;
    size_t taken = pacer_may(&stream->seat, data.size < room ? data.size : room);
    pacer_took(&stream->seat, taken);
    if (taken) {
        way_put(&stream->connection->up, PIECE_DATA, (struct slice){data.data, taken});
    }
    stream->payload_sent += taken;
    stream->wants_writable = taken < data.size;
    *ret_size = taken;
    return ERR_OK;
}

void stream_send_buffer_set(struct stream *stream, uint32_t size)
{
    stream->window = size ? size : stream->window;
}

void stream_read_pause(struct stream *stream)
{
    stream->paused = true;
}

void stream_read_resume(struct stream *stream)
{
    stream->paused = false;
    if (stream->size || stream->ended) {
        stream_kick(stream);
    }
}

void stream_finish(struct stream *stream)
{
    if (!stream->finished && stream->connection && !stream->failed) {
        stream->finished = true;
        stream->wants_writable = false;
        way_put(&stream->connection->up, PIECE_END, (struct slice){NULL, 0});
    }
}

void stream_close(struct stream *stream)
{
    if (!stream || stream->closed) {
        return;
    }
    stream->closed = true;
    if (stream->asking) {
        names_cancel(stream->names, &stream->query);
    }
    timer_release(&stream->kick);
    timer_release(&stream->limit);
    timer_release(&stream->dial);
    pacer_leave(&stream->seat);
    if (stream->connection) {
        connection_stream_gone(stream->connection, true);
        stream->connection = NULL;
    }
    if (!stream->busy) {
        free(stream->data);
        free(stream);
    }
}

static uint64_t wire_bytes(uint64_t payload)
{
    return payload + (payload / SEGMENT_SIZE + 3) * HEADER_SIZE;
}

void stream_wire_count(const struct stream *stream, struct wire_count *ret)
{
    *ret = (struct wire_count){
        .sent = wire_bytes(stream->payload_sent),
        .received = wire_bytes(stream->payload_received),
        .payload_sent = stream->payload_sent,
        .payload_received = stream->payload_received,
        .round_trip_us = net_link()->latency_us_min + net_link()->latency_us_max,
        .delivery_rate = net_link()->bytes_per_second,
    };
}

const char *stream_peer(const struct stream *stream)
{
    return stream->peer;
}

bool stream_peer_user(const struct stream *stream, uint32_t *ret_user)
{
    (void)stream;
    (void)ret_user;
    return false;
}

int64_t stream_peer_end_s(const struct stream *stream)
{
    (void)stream; /* simulated connections are plain */
    return 0;
}

size_t stream_unsent(const struct stream *stream)
{
    return stream->connection ? stream->connection->up.size : 0;
}

/* --- listeners --- */

enum err listener_open(struct listener **ret, struct loop *loop,
                       const struct listener_options *options,
                       void (*accepted)(void *context, struct stream *stream), void *context,
                       struct why *why)
{
    const char *host = options->host ? options->host : "";
    for (const struct listener *other = listeners; other; other = other->next) {
        if (options->port && other->port == options->port && strcmp(other->host, host) == 0) {
            why_set(why, "can't listen on %s port %u: Address already in use", host,
                    (unsigned)options->port);
            return ERR_IO;
        }
    }
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        why_set(why, "no memory to listen");
        return ERR_NOMEM;
    }
    listener->loop = loop;
    snprintf(listener->host, sizeof listener->host, "%s", host);
    listener->port = options->port ? options->port : port_next++;
    listener->accepted = accepted;
    listener->context = context;
    listener->next = listeners;
    listeners = listener;
    *ret = listener;
    return ERR_OK;
}

bool listener_sim_accept(const char *host, uint16_t port, const struct net_handler *handler,
                         void *server)
{
    struct listener *listener = listeners;
    while (listener &&
           !(listener->port == port && (!listener->host[0] || strcmp(listener->host, host) == 0))) {
        listener = listener->next;
    }
    if (!listener || sim_loop_is_dead(listener->loop)) {
        return false;
    }
    struct stream *stream = NULL;
    if (listener->waiting_count < ARRAY_COUNT(listener->waiting)) {
        stream = stream_new(listener->loop);
    }
    if (!stream) {
        listener->counts.refused++;
        return false;
    }
    stream->open = true;
    stream->told_open = true;
    stream->listener = listener;
    snprintf(stream->peer, sizeof stream->peer, "%.100s:%u", host, (unsigned)port);
    listener->waiting[listener->waiting_count++] = stream;
    stream->connection = connection_new(host, port, handler, stream);
    connection_open_peer(stream->connection, server);
    stream_kick(stream);
    return true;
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

void listener_counts(const struct listener *listener, struct listener_counts *ret)
{
    *ret = listener->counts;
}

void listener_close(struct listener *listener)
{
    if (!listener) {
        return;
    }
    while (listener->waiting_count) {
        stream_close(listener->waiting[--listener->waiting_count]);
    }
    struct listener **link = &listeners;
    while (*link != listener) {
        link = &(*link)->next;
    }
    *link = listener->next;
    free(listener);
}

void stream_take(struct stream *stream, const struct stream_handler *handler, void *context)
{
    assert(handler->on_readable && handler->on_closed);
    stream->handler = *handler;
    stream->context = context;
}
