#include "tests/sim/kafka_broker_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_SIZE_MAX (4 * 1024 * 1024) /* when the options do not say */
#define ANSWER_SIZE_MAX 65536

struct answer {
    struct answer *next;
    int64_t due_ms;
    size_t size;
    uint8_t bytes[];
};

struct broker_peer {
    struct broker *broker;
    unsigned node;
    unsigned slot;
    bool open;
    struct login login;
    int64_t heard_ms;
    uint8_t *input;
    size_t input_size;
    struct answer *answers; /* in order */
    size_t sent;            /* of the first */
};

struct broker_peer *broker_peer_open(struct broker *broker, unsigned node)
{
    unsigned slot = 0;
    while (slot < BROKER_PEER_MAX && broker->peers[slot]) {
        slot++;
    }
    if (!broker->nodes[node].up || slot == BROKER_PEER_MAX) {
        return NULL;
    }
    struct broker_peer *peer = calloc(1, sizeof *peer);
    assert(peer);
    *peer = (struct broker_peer){
        .broker = broker, .node = node, .slot = slot, .open = true, .login.done_ms = -1};
    broker->peers[slot] = peer;
    return peer;
}

void broker_peer_close(struct broker_peer *peer)
{
    peer->broker->peers[peer->slot] = NULL;
    while (peer->answers) {
        struct answer *answer = peer->answers;
        peer->answers = answer->next;
        free(answer);
    }
    free(peer->input);
    free(peer);
}

static void answer_put(struct broker_peer *peer, struct slice bytes, int64_t due_ms)
{
    struct answer *answer = malloc(sizeof *answer + bytes.size);
    assert(answer);
    *answer = (struct answer){.due_ms = due_ms, .size = bytes.size};
    memcpy(answer->bytes, bytes.data, bytes.size);
    struct answer **at = &peer->answers;
    while (*at) {
        at = &(*at)->next;
    }
    *at = answer;
}

/* One whole request. False: the connection ends. */
static bool request_take(struct broker_peer *peer, struct slice s)
{
    struct broker *broker = peer->broker;
    struct call call = {.broker = broker, .node = peer->node, .login = &peer->login};
    uint16_t api, version;
    uint8_t *memory = malloc(ANSWER_SIZE_MAX);
    assert(memory);
    call.answer = out_over(memory, ANSWER_SIZE_MAX);
    out_put_u32_be(&call.answer, 0); /* size */
    bool good = slice_take_u16_be(&s, &api) && slice_take_u16_be(&s, &version) &&
                slice_take_u32_be(&s, &call.correlation) && call_take_string(&s).data &&
                api < WIRE_API_COUNT;
    if (good) {
        call.api = (int16_t)api;
        call.version = (int16_t)version;
        call.body = s;
        broker->requests[api]++;
        call.has_fault = broker_fault_take(broker, call.api, &call.fault);
        out_put_u32_be(&call.answer, call.correlation);
        good = call_run(&call);
    }
    assert(!call.answer.overflow);
    if (good && call_has(&call, BROKER_CUT)) {
        assert(call.answer.size > 8 + call.fault.value);
        call.answer.size -= call.fault.value;
    }
    size_t size = call.answer.size;
    for (unsigned i = 0; i < 4; i++) {
        memory[i] = (uint8_t)((size - 4) >> (8 * (3 - i)));
    }
    struct slice bytes = out_slice(&call.answer);
    if (good && call_has(&call, BROKER_CLOSE_STORED)) {
        bytes.size = call.fault.value < bytes.size ? call.fault.value : bytes.size;
    }
    if (good && !call_has(&call, BROKER_NEVER) && !call_has(&call, BROKER_NEVER_LOST) &&
        !call_has(&call, BROKER_CLOSE)) {
        answer_put(peer, bytes,
                   broker->now_ms + (call_has(&call, BROKER_LATE) ? call.fault.value : 0));
        if (call_has(&call, BROKER_TWICE)) {
            answer_put(peer, bytes, broker->now_ms);
        }
    }
    free(memory);
    return good && !call_has(&call, BROKER_CLOSE) && !call_has(&call, BROKER_CLOSE_STORED);
}

bool broker_peer_input(struct broker_peer *peer, struct slice bytes)
{
    const struct broker_options *options = &peer->broker->options;
    size_t request_max = options->request_size_max ? options->request_size_max : REQUEST_SIZE_MAX;
    int64_t now_ms = peer->broker->now_ms;
    if (options->idle_ms > 0 && peer->heard_ms > 0 && now_ms - peer->heard_ms > options->idle_ms) {
        return peer->open; /* it is swallowed */
    }
    peer->heard_ms = now_ms;
    peer->input = realloc(peer->input, peer->input_size + bytes.size + 1);
    assert(peer->input);
    memcpy(peer->input + peer->input_size, bytes.data, bytes.size);
    peer->input_size += bytes.size;
    struct slice rest = {peer->input, peer->input_size};
    while (peer->open && rest.size >= 4) {
        struct slice at = rest, request;
        uint32_t size = 0;
        bool whole = slice_take_u32_be(&at, &size);
        if (whole && size > request_max) {
            peer->open = false;
            break;
        }
        if (!whole || !slice_take(&at, size, &request)) {
            break;
        }
        peer->open = request_take(peer, request) && peer->open;
        rest = at;
    }
    memmove(peer->input, rest.data, rest.size);
    peer->input_size = rest.size;
    return peer->open;
}

unsigned broker_peer_node(const struct broker_peer *peer)
{
    return peer->node;
}

void broker_peer_end(struct broker_peer *peer)
{
    peer->open = false;
}

bool broker_peer_is_open(const struct broker_peer *peer)
{
    return peer->open;
}

struct slice broker_peer_output(struct broker_peer *peer)
{
    struct answer *answer = peer->answers;
    if (!answer || answer->due_ms > peer->broker->now_ms) {
        return (struct slice){NULL, 0};
    }
    return (struct slice){answer->bytes + peer->sent, answer->size - peer->sent};
}

void broker_peer_sent(struct broker_peer *peer, size_t size)
{
    struct answer *answer = peer->answers;
    peer->sent += size;
    if (answer && peer->sent >= answer->size) {
        peer->answers = answer->next;
        peer->sent = 0;
        free(answer);
    }
}

int64_t broker_peer_due_ms(const struct broker_peer *peer)
{
    const struct answer *answer = peer->answers;
    if (!answer) {
        return -1;
    }
    return answer->due_ms > peer->broker->now_ms ? answer->due_ms - peer->broker->now_ms : 0;
}
