#include "tests/sim/kafka_net.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/attr.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/kafka/errors.h"
#include "uplink/kafka/wire.h"

#define GUEST_MAX 64
#define KIND_COUNT (BROKER_SHORT + 1)
#define PORT 9092
#define CODE_MAX 64                     /* rows of the table of codes */
#define START_MS INT64_C(1767225600000) /* as the simulation's wall clock */

struct guest {
    struct kafka_net *net;
    struct net_peer *wire;
    struct broker_peer *peer;
    struct timer due; /* of an answer that is held back */
};

struct gate {
    struct kafka_net *net;
    unsigned node;
    char host[48];
};

struct kafka_net {
    struct broker *broker;
    struct gate gates[BROKER_NODE_MAX];
    unsigned node_count;
    uint32_t faults_per_million;
    bool every;
    uint64_t dealt[KIND_COUNT];
    uint64_t codes[CODE_MAX];
    uint64_t apis[WIRE_API_COUNT];
    struct guest guests[GUEST_MAX];
};

int64_t kafka_net_now_ms(void)
{
    return START_MS + (int64_t)(sim_now_us() / 1000);
}

static void guest_end(struct guest *guest)
{
    timer_disarm(&guest->due);
    if (guest->peer) {
        broker_peer_close(guest->peer);
    }
    guest->peer = NULL;
    guest->wire = NULL;
}

static void guest_write(struct guest *guest)
{
    for (struct slice bytes = broker_peer_output(guest->peer); bytes.size > 0;
         bytes = broker_peer_output(guest->peer)) {
        net_send(guest->wire, bytes);
        broker_peer_sent(guest->peer, bytes.size);
    }
    int64_t due_ms = broker_peer_due_ms(guest->peer);
    if (!broker_peer_is_open(guest->peer)) {
        struct net_peer *wire = guest->wire;
        guest_end(guest);
        net_finish(wire);
    } else if (due_ms >= 0) {
        timer_arm(&guest->due, (uint64_t)due_ms + 1);
    }
}

static void guest_due(struct timer *timer)
{
    struct guest *guest = CONTAINER_OF(timer, struct guest, due);
    broker_time_set(guest->net->broker, kafka_net_now_ms());
    if (guest->peer) {
        guest_write(guest);
    }
}

/* Codes that none ends in a set-aside or a long wait. */
static int16_t gentle_code(bool is_stored)
{
    static const int16_t codes[] = {3, 5, 6, 7, 13, 14, 19, 20, 44, 56, 74, 89, 100};
    static const int16_t late[] = {3, 6, 7, 20, 56}; /* those that may come after the append */
    if (is_stored) {
        return late[sim_below(ARRAY_COUNT(late))];
    }
    return codes[sim_below(ARRAY_COUNT(codes))];
}

/* Any code that a broker can answer after the append, or before it. */
static int16_t any_code(bool is_stored)
{
    unsigned count;
    const struct kafka_error *table = kafka_error_table(&count);
    for (;;) {
        const struct kafka_error *error = &table[sim_below(count)];
        bool only_stored = error->first == KAFKA_DONE; /* it says so itself */
        if (error->code != 0 && (is_stored ? error->may_be_stored : !only_stored)) {
            return error->code;
        }
    }
}

static bool kind_fits(enum broker_fault_kind kind, int16_t api)
{
    switch (kind) {
    case BROKER_CODE:
        return api == WIRE_PRODUCE || api == WIRE_METADATA || api == WIRE_INIT_PRODUCER_ID ||
               api == WIRE_DESCRIBE_PRODUCERS || api == WIRE_LIST_OFFSETS || api == WIRE_FETCH;
    case BROKER_CODE_STORED:
    case BROKER_THROTTLE:
    case BROKER_SHORT:
        return api == WIRE_PRODUCE;
    case BROKER_LATE:
    case BROKER_NEVER:
    case BROKER_NEVER_LOST:
    case BROKER_TWICE:
    case BROKER_CLOSE:
    case BROKER_CLOSE_STORED:
        return true;
    case BROKER_CUT: /* while a log is read that is a matter for the policy */
        break;
    }
    return false;
}

static void count_code(struct kafka_net *net, int16_t code)
{
    unsigned count;
    const struct kafka_error *table = kafka_error_table(&count);
    assert(count <= CODE_MAX);
    for (unsigned i = 0; i < count; i++) {
        net->codes[i] += table[i].code == code;
    }
}

static bool choose_fault(void *context, int16_t api, struct broker_fault *ret)
{
    struct kafka_net *net = context;
    if (!sim_chance(net->faults_per_million) || (!net->every && api != WIRE_PRODUCE)) {
        return false;
    }
    *ret = (struct broker_fault){.api = api, .kind = (enum broker_fault_kind)sim_below(KIND_COUNT)};
    if (net->every && api == WIRE_PRODUCE && sim_below(3) == 0) {
        ret->kind = BROKER_CODE; /* there are many codes */
    }
    if (!kind_fits(ret->kind, api)) {
        return false;
    }
    bool is_stored = ret->kind == BROKER_CODE_STORED;
    ret->code = net->every ? any_code(is_stored) : gentle_code(is_stored);
    uint64_t late_ms_max = net->every && sim_below(4) == 0 ? 90000 : 3000;
    ret->value = (uint32_t)sim_below(ret->kind == BROKER_CLOSE_STORED ? 40
                                     : ret->kind == BROKER_LATE       ? late_ms_max
                                                                      : 3000);
    net->dealt[ret->kind]++;
    net->apis[api]++;
    if (api == WIRE_PRODUCE && (is_stored || ret->kind == BROKER_CODE)) {
        count_code(net, ret->code);
    }
    return true;
}

static void *on_open(void *server, struct net_peer *wire)
{
    struct gate *gate = server;
    struct kafka_net *net = gate->net;
    for (unsigned i = 0; i < GUEST_MAX; i++) {
        struct guest *guest = &net->guests[i];
        if (!guest->wire) {
            guest->wire = wire;
            guest->peer = broker_peer_open(net->broker, gate->node);
            assert(guest->peer);
            return guest;
        }
    }
    assert(false); /* more connections than the brokers are made for */
    return NULL;
}

static void on_data(void *context, struct net_peer *wire, struct slice data)
{
    struct guest *guest = context;
    if (guest->wire != wire || !guest->peer) {
        return; /* ended by us */
    }
    broker_time_set(guest->net->broker, kafka_net_now_ms());
    (void)broker_peer_input(guest->peer, data); /* its end is seen by guest_write() */
    guest_write(guest);
}

static void on_closed(void *context, struct net_peer *wire)
{
    struct guest *guest = context;
    if (guest->wire == wire) {
        guest_end(guest);
    }
}

static const struct net_handler calls = {on_open, on_data, on_closed};

struct kafka_net *kafka_net_open(struct broker *broker, unsigned node_count, const char *name)
{
    struct kafka_net *net = calloc(1, sizeof *net);
    assert(net && node_count <= BROKER_NODE_MAX);
    net->broker = broker;
    net->node_count = node_count;
    broker_chooser_set(broker, choose_fault, net);
    for (unsigned i = 0; i < GUEST_MAX; i++) {
        net->guests[i].net = net;
        timer_init(&net->guests[i].due, sim_loop(), guest_due);
    }
    for (unsigned i = 0; i < node_count; i++) {
        struct gate *gate = &net->gates[i];
        *gate = (struct gate){.net = net, .node = i};
        (void)snprintf(gate->host, sizeof gate->host, "%s-%u", name, i + 1);
        broker_address_set(broker, i, gate->host, PORT);
        net_listen(gate->host, PORT, &calls, gate);
    }
    return net;
}

void kafka_net_move(struct kafka_net *net, unsigned node, const char *host)
{
    struct gate *gate = &net->gates[node];
    net_unlisten(gate->host, PORT);
    (void)snprintf(gate->host, sizeof gate->host, "%s", host);
    broker_address_set(net->broker, node, host, PORT);
    net_listen(gate->host, PORT, &calls, gate);
}

void kafka_net_close(struct kafka_net *net)
{
    for (unsigned i = 0; i < net->node_count; i++) {
        net_unlisten(net->gates[i].host, PORT);
        net_cut(net->gates[i].host, PORT);
    }
    for (unsigned i = 0; i < GUEST_MAX; i++) {
        guest_end(&net->guests[i]);
        timer_release(&net->guests[i].due);
    }
    broker_chooser_set(net->broker, NULL, NULL);
    free(net);
}

void kafka_net_stop(struct kafka_net *net, unsigned node)
{
    broker_node_stop(net->broker, node);
    net_unlisten(net->gates[node].host, PORT);
    net_cut(net->gates[node].host, PORT);
    for (unsigned i = 0; i < GUEST_MAX; i++) {
        if (net->guests[i].peer && !broker_peer_is_open(net->guests[i].peer)) {
            guest_end(&net->guests[i]);
        }
    }
}

void kafka_net_start(struct kafka_net *net, unsigned node)
{
    broker_node_start(net->broker, node);
    net_listen(net->gates[node].host, PORT, &calls, &net->gates[node]);
}

void kafka_net_end(struct kafka_net *net)
{
    broker_connections_end(net->broker);
    for (unsigned i = 0; i < GUEST_MAX; i++) {
        if (net->guests[i].peer) {
            guest_write(&net->guests[i]);
        }
    }
}

void kafka_net_faults_set(struct kafka_net *net, uint32_t per_million, bool every)
{
    net->faults_per_million = per_million;
    net->every = every;
}

uint64_t kafka_net_fault_count(const struct kafka_net *net, enum broker_fault_kind kind)
{
    return net->dealt[kind];
}

uint64_t kafka_net_code_count(const struct kafka_net *net, int16_t code)
{
    unsigned count;
    const struct kafka_error *table = kafka_error_table(&count);
    for (unsigned i = 0; i < count; i++) {
        if (table[i].code == code) {
            return net->codes[i];
        }
    }
    return 0;
}

uint64_t kafka_net_api_count(const struct kafka_net *net, int16_t api)
{
    return net->apis[api];
}
