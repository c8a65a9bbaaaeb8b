#include "tests/sim/kafka_server.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/clock.h"

#define CONNECTION_MAX 64
#define PUMP_MS 20 /* how often answers that are held back are looked at */

struct guest {
    struct kafka_server *server;
    struct stream *stream;
    struct broker_peer *peer;
};

struct gate {
    struct kafka_server *server;
    struct listener *listener;
    unsigned node;
    uint16_t port;
};

struct kafka_server {
    struct broker *broker;
    struct loop *loop;
    struct tls *tls;
    struct gate gates[BROKER_NODE_MAX];
    unsigned gate_count;
    struct guest guests[CONNECTION_MAX];
    struct timer pump;
};

static void guest_end(struct guest *guest)
{
    if (guest->peer) {
        broker_peer_close(guest->peer);
    }
    stream_close(guest->stream);
    guest->peer = NULL;
    guest->stream = NULL;
}

static void guest_write(struct guest *guest)
{
    struct slice bytes = broker_peer_output(guest->peer);
    while (bytes.size > 0) {
        size_t taken = 0;
        if (stream_write(guest->stream, bytes, &taken) || taken == 0) {
            return;
        }
        broker_peer_sent(guest->peer, taken);
        bytes = broker_peer_output(guest->peer);
    }
    if (!broker_peer_is_open(guest->peer)) {
        stream_finish(guest->stream);
        broker_peer_close(guest->peer);
        guest->peer = NULL;
    }
}

static void on_readable(void *context)
{
    struct guest *guest = context;
    uint8_t data[4096];
    size_t size;
    broker_time_set(guest->server->broker, clock_wall_us() / 1000);
    while (guest->peer && !stream_read(guest->stream, data, sizeof data, &size)) {
        if (!broker_peer_input(guest->peer, (struct slice){data, size})) {
            break;
        }
    }
    if (guest->peer) {
        guest_write(guest);
    }
}

static void on_writable(void *context)
{
    struct guest *guest = context;
    if (guest->peer) {
        guest_write(guest);
    }
}

static void on_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    guest_end(context);
}

static void on_open(void *context)
{
    (void)context;
}

static const struct stream_handler calls = {on_open, on_readable, on_writable, on_closed};

static void accepted(void *context, struct stream *stream)
{
    struct gate *gate = context;
    struct kafka_server *server = gate->server;
    for (unsigned i = 0; i < CONNECTION_MAX; i++) {
        struct guest *guest = &server->guests[i];
        if (!guest->stream) {
            guest->peer = broker_peer_open(server->broker, gate->node);
            if (!guest->peer) {
                break;
            }
            guest->server = server;
            guest->stream = stream;
            stream_take(stream, &calls, guest);
            return;
        }
    }
    stream_close(stream);
}

static void gate_open(struct gate *gate)
{
    struct why why;
    struct listener_options options = {
        .host = "127.0.0.1", .port = gate->port, .tls = gate->server->tls};
    enum err e = listener_open(&gate->listener, gate->server->loop, &options, accepted, gate, &why);
    assert(!e);
    (void)e;
    gate->port = listener_port(gate->listener);
    broker_address_set(gate->server->broker, gate->node, "127.0.0.1", gate->port);
}

static void pump(struct timer *timer)
{
    struct kafka_server *server = CONTAINER_OF(timer, struct kafka_server, pump);
    broker_time_set(server->broker, clock_wall_us() / 1000);
    for (unsigned i = 0; i < CONNECTION_MAX; i++) {
        struct guest *guest = &server->guests[i];
        if (guest->peer &&
            (broker_peer_due_ms(guest->peer) == 0 || !broker_peer_is_open(guest->peer))) {
            guest_write(guest);
        }
    }
    timer_arm(&server->pump, PUMP_MS);
}

struct kafka_server *kafka_server_open(struct broker *broker, unsigned node_count,
                                       struct loop *loop, struct tls *tls, uint16_t port_first)
{
    struct kafka_server *server = calloc(1, sizeof *server);
    assert(server && node_count <= BROKER_NODE_MAX);
    server->broker = broker;
    server->loop = loop;
    server->tls = tls;
    server->gate_count = node_count;
    for (unsigned i = 0; i < node_count; i++) {
        server->gates[i] = (struct gate){.server = server, .node = i};
        server->gates[i].port = port_first ? (uint16_t)(port_first + i) : 0;
        gate_open(&server->gates[i]);
    }
    timer_init(&server->pump, loop, pump);
    timer_arm(&server->pump, PUMP_MS);
    broker_time_set(broker, clock_wall_us() / 1000);
    return server;
}

void kafka_server_close(struct kafka_server *server)
{
    timer_release(&server->pump);
    for (unsigned i = 0; i < server->gate_count; i++) {
        listener_close(server->gates[i].listener);
    }
    for (unsigned i = 0; i < CONNECTION_MAX; i++) {
        guest_end(&server->guests[i]);
    }
    free(server);
}

uint16_t kafka_server_port(const struct kafka_server *server, unsigned node)
{
    return server->gates[node].port;
}

void kafka_server_tls_set(struct kafka_server *server, struct tls *tls)
{
    server->tls = tls;
}

uint64_t kafka_server_attempts(const struct kafka_server *server, unsigned node)
{
    struct listener_counts counts;
    listener_counts(server->gates[node].listener, &counts);
    return counts.accepted + counts.failed;
}

void kafka_server_node(struct kafka_server *server, unsigned node, bool up)
{
    for (unsigned i = 0; i < CONNECTION_MAX; i++) {
        struct guest *guest = &server->guests[i];
        if (guest->peer && !broker_peer_is_open(guest->peer)) {
            guest_end(guest);
        }
    }
    if (up && !server->gates[node].listener) {
        gate_open(&server->gates[node]);
    } else if (!up) {
        listener_close(server->gates[node].listener);
        server->gates[node].listener = NULL;
    }
}
