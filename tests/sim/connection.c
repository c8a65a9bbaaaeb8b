/* The link and the peers' side of connections. */
#include "tests/sim/connection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_MAX 64
#define DOWN_RETRY_MS 100

struct server {
    char host[HOST_SIZE];
    uint16_t port;
    const struct net_handler *handler; /* NULL: a free place */
    void *server;
};

struct dialing {
    struct dialing *next;
    struct timer timer;
    char host[HOST_SIZE];
    uint16_t port;
    const struct net_handler *handler;
    void *server;
};

static struct net_link link_now;
static struct net_counts counts_now;
static struct server servers[SERVER_MAX];
static struct connection *connections;
static struct dialing *dialings;
static unsigned connection_count;

struct net_link *net_link(void)
{
    return &link_now;
}

struct net_counts *net_counts(void)
{
    return &counts_now;
}

uint64_t net_latency_us(void)
{
    uint32_t low = link_now.latency_us_min;
    uint32_t high = link_now.latency_us_max;
    return high > low ? low + sim_below(high - low + 1U) : low;
}

/* --- life of a connection --- */

static void way_clear(struct way *way)
{
    while (way->first) {
        struct piece *piece = way->first;
        way->first = piece->next;
        free(piece);
    }
    way->end = &way->first;
    way->size = 0;
    timer_disarm(&way->timer);
}

static void connection_free(struct connection *c)
{
    way_clear(&c->up);
    way_clear(&c->down);
    struct connection **link = &connections;
    while (*link != c) {
        link = &(*link)->next;
    }
    *link = c->next;
    free(c);
}

static void connection_leave(struct connection *c)
{
    assert(c->busy > 0);
    c->busy--;
    if (c->busy == 0 && !c->stream && c->peer.gone) {
        connection_free(c);
    }
}

/* The peer hears of the end, once. */
static void peer_end(struct connection *c)
{
    if (c->peer.gone) {
        return;
    }
    c->peer.gone = true;
    c->peer.handler->on_closed(c->peer.context, &c->peer);
}

/* Both ends see a broken connection. */
static void connection_break(struct connection *c)
{
    sim_trace("connection %u breaks", c->number);
    way_clear(&c->up);
    way_clear(&c->down);
    c->up.ended = true;
    c->down.ended = true;
    if (c->stream) {
        stream_sim_ended(c->stream, false);
    }
    peer_end(c);
}

/* --- pieces --- */

static void way_arm(struct way *way)
{
    if (!way->first) {
        return;
    }
    uint64_t now_us = sim_now_us();
    uint64_t due_us = way->first->due_us;
    timer_arm(&way->timer, due_us > now_us ? (due_us - now_us + 999) / 1000 : 0);
}

static void way_put_piece(struct way *way, enum piece_kind kind, struct slice data)
{
    struct piece *piece = malloc(sizeof *piece + data.size);
    assert(piece);
    uint64_t start_us = sim_now_us() > way->busy_us ? sim_now_us() : way->busy_us;
    way->busy_us = start_us;
    if (link_now.bytes_per_second) {
        way->busy_us += data.size * 1000000 / link_now.bytes_per_second;
    }
    uint64_t due_us = way->busy_us + net_latency_us();
    way->due_us = due_us > way->due_us ? due_us : way->due_us;
    *piece = (struct piece){.kind = kind, .due_us = way->due_us, .size = data.size};
    if (data.size) {
        memcpy(piece->data, data.data, data.size);
    }
    *way->end = piece;
    way->end = &piece->next;
    way->size += data.size;
    if (way->first == piece) {
        way_arm(way);
    }
}

void way_put(struct way *way, enum piece_kind kind, struct slice data)
{
    if (way->ended) {
        return;
    }
    way->ended = kind != PIECE_DATA;
    do {
        size_t size = data.size;
        if (link_now.chunk_max && size > 1) {
            uint64_t some = 1 + sim_below(link_now.chunk_max);
            size = some < size ? (size_t)some : size;
        }
        way_put_piece(way, kind, (struct slice){data.data, size});
        if (size) {
            data.data += size;
            data.size -= size;
        }
    } while (data.size);
}

static void piece_arrive(struct connection *c, bool to_agent, enum piece_kind kind,
                         struct slice data)
{
    sim_trace("connection %u: %s %s %zu", c->number, to_agent ? "down" : "up",
              kind == PIECE_DATA  ? "data"
              : kind == PIECE_END ? "end"
                                  : "reset",
              data.size);
    if (to_agent) {
        if (c->stream && kind == PIECE_DATA) {
            stream_sim_data(c->stream, data);
        } else if (c->stream) {
            stream_sim_ended(c->stream, kind == PIECE_END);
        }
    } else if (kind == PIECE_DATA) {
        if (!c->peer.gone) {
            c->peer.handler->on_data(c->peer.context, &c->peer, data);
        }
        if (c->stream) {
            stream_sim_room(c->stream);
        }
    } else {
        peer_end(c);
        way_put(&c->down, PIECE_END, (struct slice){NULL, 0});
    }
}

static void way_fire(struct timer *timer)
{
    struct way *way = CONTAINER_OF(timer, struct way, timer);
    struct connection *c = way->connection;
    if (link_now.down) {
        timer_arm(timer, DOWN_RETRY_MS);
        return;
    }
    c->busy++;
    struct piece *piece = way->first;
    way->first = piece->next;
    if (!way->first) {
        way->end = &way->first;
    }
    way->size -= piece->size;
    bool cut = piece->kind == PIECE_DATA && sim_chance(link_now.cut_per_million);
    size_t size = cut ? (size_t)sim_below(piece->size + 1) : piece->size;
    way_arm(way);
    if (size || piece->kind != PIECE_DATA) {
        piece_arrive(c, way->to_agent, piece->kind, (struct slice){piece->data, size});
    }
    free(piece);
    if (cut) {
        counts_now.cuts++;
        connection_break(c);
    }
    connection_leave(c);
}

struct connection *connection_new(const char *host, uint16_t port,
                                  const struct net_handler *handler, struct stream *stream)
{
    struct connection *c = calloc(1, sizeof *c);
    assert(c);
    c->number = ++connection_count;
    snprintf(c->host, sizeof c->host, "%s", host);
    c->port = port;
    c->stream = stream;
    c->peer.connection = c;
    c->peer.handler = handler;
    c->up.connection = c;
    c->down.connection = c;
    c->down.to_agent = true;
    c->up.end = &c->up.first;
    c->down.end = &c->down.first;
    timer_init(&c->up.timer, sim_loop(), way_fire);
    timer_init(&c->down.timer, sim_loop(), way_fire);
    c->next = connections;
    connections = c;
    sim_trace("connection %u: %s:%u", c->number, host, (unsigned)port);
    return c;
}

void connection_open_peer(struct connection *c, void *server)
{
    c->busy++;
    c->peer.context = c->peer.handler->on_open(server, &c->peer);
    connection_leave(c);
}

/* What the kernel has not sent goes; what is on the link already may arrive. */
static void way_forget(struct way *way)
{
    uint64_t on_link_us = link_now.down ? 0 : sim_now_us() + link_now.latency_us_max;
    struct piece **at = &way->first;
    while (*at && (*at)->due_us <= on_link_us) {
        at = &(*at)->next;
    }
    while (*at) {
        struct piece *piece = *at;
        *at = piece->next;
        way->size -= piece->size;
        free(piece);
    }
    way->end = at;
    if (way->first) {
        way->due_us = on_link_us;
    } else {
        timer_disarm(&way->timer);
        way->due_us = sim_now_us();
    }
    way->busy_us = sim_now_us();
}

void connection_stream_gone(struct connection *c, bool in_order)
{
    c->busy++;
    c->stream = NULL;
    if (c->forgets) {
        way_forget(&c->up);
        in_order = false;
    }
    way_clear(&c->down);
    c->down.ended = true;
    /* Nobody waits for the end any more, but the peer has to see it. */
    way_put(&c->up, in_order ? PIECE_END : PIECE_RESET, (struct slice){NULL, 0});
    connection_leave(c);
}

/* --- the peers' verbs --- */

static struct server *server_at(const char *host, uint16_t port)
{
    for (size_t i = 0; i < SERVER_MAX; i++) {
        if (servers[i].handler && servers[i].port == port && strcmp(servers[i].host, host) == 0) {
            return &servers[i];
        }
    }
    return NULL;
}

bool net_server_find(const char *host, uint16_t port, const struct net_handler **ret_handler,
                     void **ret_server)
{
    const struct server *server = server_at(host, port);
    if (server) {
        *ret_handler = server->handler;
        *ret_server = server->server;
    }
    return server != NULL;
}

void net_listen(const char *host, uint16_t port, const struct net_handler *handler, void *server)
{
    assert(!server_at(host, port) && strlen(host) < HOST_SIZE);
    struct server *place = servers;
    while (place->handler) {
        place++;
        assert(place < servers + SERVER_MAX);
    }
    *place = (struct server){.port = port, .handler = handler, .server = server};
    snprintf(place->host, sizeof place->host, "%s", host);
}

void net_unlisten(const char *host, uint16_t port)
{
    struct server *server = server_at(host, port);
    if (server) {
        server->handler = NULL;
    }
}

static void dialing_fire(struct timer *timer)
{
    struct dialing *dialing = CONTAINER_OF(timer, struct dialing, timer);
    if (link_now.down) {
        timer_arm(timer, DOWN_RETRY_MS);
        return;
    }
    struct dialing **link = &dialings;
    while (*link != dialing) {
        link = &(*link)->next;
    }
    *link = dialing->next;
    if (!listener_sim_accept(dialing->host, dialing->port, dialing->handler, dialing->server)) {
        dialing->handler->on_closed(dialing->server, NULL);
    }
    free(dialing);
}

void net_connect(const char *host, uint16_t port, const struct net_handler *handler, void *server)
{
    struct dialing *dialing = calloc(1, sizeof *dialing);
    assert(dialing);
    snprintf(dialing->host, sizeof dialing->host, "%s", host);
    dialing->port = port;
    dialing->handler = handler;
    dialing->server = server;
    dialing->next = dialings;
    dialings = dialing;
    timer_init(&dialing->timer, sim_loop(), dialing_fire);
    timer_arm(&dialing->timer, (net_latency_us() * 2 + 999) / 1000);
}

void net_send(struct net_peer *peer, struct slice data)
{
    if (!peer->gone && data.size && peer->connection->stream) {
        way_put(&peer->connection->down, PIECE_DATA, data);
    }
}

void net_finish(struct net_peer *peer)
{
    way_put(&peer->connection->down, PIECE_END, (struct slice){NULL, 0});
}

void net_close(struct net_peer *peer)
{
    struct connection *c = peer->connection;
    if (peer->gone) {
        return;
    }
    c->busy++;
    peer->gone = true;
    way_clear(&c->down);
    if (c->stream) {
        way_put(&c->down, PIECE_RESET, (struct slice){NULL, 0});
    }
    connection_leave(c);
}

static void cut_matching(const char *host, uint16_t port)
{
    struct connection *c = connections;
    while (c) {
        bool matches = !host || (c->port == port && strcmp(c->host, host) == 0);
        if (matches && !(c->up.ended && c->down.ended)) {
            c->busy++;
            connection_break(c);
            connection_leave(c);
            c = connections; /* the list may have changed */
        } else {
            c = c->next;
        }
    }
}

void net_cut_all(void)
{
    cut_matching(NULL, 0);
}

void net_cut(const char *host, uint16_t port)
{
    cut_matching(host, port);
}

/* A process that dies leaves to its kernel what it has written: some of it still arrives. */
void net_crash(void)
{
    http_sim_crash();
    for (struct connection *c = connections, *next; c; c = next) {
        next = c->next;
        if (!c->stream) {
            continue;
        }
        stream_sim_orphan(c->stream);
        if (sim_below(2)) {
            way_clear(&c->up);
        }
        connection_stream_gone(c, sim_below(2));
    }
}

void net_open(void)
{
    memset(servers, 0, sizeof servers);
    connection_count = 0;
    counts_now = (struct net_counts){0};
    net_name_fails(NULL, false);
    link_now = (struct net_link){.latency_us_min = 1000,
                                 .latency_us_max = 20000,
                                 .bytes_per_second = 1000000,
                                 .chunk_max = 1400};
}

void net_close_all(void)
{
    while (dialings) {
        struct dialing *dialing = dialings;
        dialings = dialing->next;
        timer_release(&dialing->timer);
        free(dialing);
    }
    while (connections) {
        assert(!connections->stream); /* the agent has closed its streams */
        connection_free(connections);
    }
}
