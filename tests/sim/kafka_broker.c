#include "tests/sim/kafka_broker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/zstd.h"
#include "uplink/kafka/records.h"
#include "uplink/kafka/wire.h"

#define TOPIC_MAX 16
#define PEER_MAX 64
#define REQUEST_SIZE_MAX (4 * 1024 * 1024)
#define ANSWER_SIZE_MAX 65536
#define PLAIN_SIZE_MAX (8 * 1024 * 1024)

struct cached {
    int32_t first, last;
    int64_t offset, time_ms;
};

struct pid {
    int64_t id;
    int16_t epoch;
    struct cached cached[BROKER_CACHED_MAX];
    unsigned cached_count;
};

struct partition {
    unsigned leader;
    struct pid pids[BROKER_PID_MAX];
    unsigned pid_count;
    struct broker_record *log;
    size_t log_count, log_room;
};

struct topic {
    char name[256];
    uint32_t partition_count;
    struct partition partitions[BROKER_PARTITION_MAX];
};

struct node {
    bool up;
    char host[64];
    uint16_t port;
};

struct broker {
    struct broker_options options;
    char cluster_id[64];
    struct node nodes[BROKER_NODE_MAX];
    struct topic *topics[TOPIC_MAX];
    unsigned topic_count;
    int64_t now_ms;
    int64_t pid_next;
    struct broker_fault faults[BROKER_FAULT_MAX];
    size_t fault_count;
    uint64_t requests[WIRE_API_COUNT];
    struct broker_peer *peers[PEER_MAX];
    struct zstd_decoder *decoder;
};

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
    bool logged_in;
    uint8_t *input;
    size_t input_size;
    struct answer *answers; /* in order */
    size_t sent;            /* of the first */
};

/* --- the cluster --- */

struct broker *broker_open(const struct broker_options *options)
{
    struct broker *broker = calloc(1, sizeof *broker);
    assert(broker);
    broker->options = *options;
    if (broker->options.node_count == 0) {
        broker->options.node_count = 1;
    }
    if (broker->options.batch_size_max == 0) {
        broker->options.batch_size_max = 1048588;
    }
    (void)snprintf(broker->cluster_id, sizeof broker->cluster_id, "%s",
                   options->cluster_id ? options->cluster_id : "cluster-1");
    for (unsigned i = 0; i < broker->options.node_count; i++) {
        broker->nodes[i].up = true;
        broker_address_set(broker, i, "127.0.0.1", (uint16_t)(9092 + i));
    }
    enum err e = zstd_decoder_open(&broker->decoder);
    assert(!e);
    (void)e;
    return broker;
}

static void partition_clear(struct partition *partition)
{
    for (size_t i = 0; i < partition->log_count; i++) {
        free((void *)(uintptr_t)partition->log[i].key.data);
        free((void *)(uintptr_t)partition->log[i].body.data);
        free((void *)(uintptr_t)partition->log[i].header.data);
    }
    free(partition->log);
    unsigned leader = partition->leader;
    *partition = (struct partition){.leader = leader};
}

static void logs_clear(struct broker *broker)
{
    for (unsigned i = 0; i < broker->topic_count; i++) {
        for (uint32_t j = 0; j < BROKER_PARTITION_MAX; j++) {
            partition_clear(&broker->topics[i]->partitions[j]);
        }
    }
}

void broker_close(struct broker *broker)
{
    logs_clear(broker);
    for (unsigned i = 0; i < broker->topic_count; i++) {
        free(broker->topics[i]);
    }
    zstd_decoder_close(broker->decoder);
    free(broker);
}

void broker_time_set(struct broker *broker, int64_t now_ms)
{
    broker->now_ms = now_ms;
}

void broker_address_set(struct broker *broker, unsigned node, const char *host, uint16_t port)
{
    (void)snprintf(broker->nodes[node].host, sizeof broker->nodes[node].host, "%s", host);
    broker->nodes[node].port = port;
}

static struct topic *topic_find(const struct broker *broker, struct slice name)
{
    for (unsigned i = 0; i < broker->topic_count; i++) {
        if (slice_equal_text(name, broker->topics[i]->name)) {
            return broker->topics[i];
        }
    }
    return NULL;
}

/* A topic that the test has made. */
static struct topic *topic_of(const struct broker *broker, const char *name)
{
    struct topic *topic = topic_find(broker, slice_of_text(name));
    assert(topic);
    return topic;
}

void broker_topic_add(struct broker *broker, const char *name, uint32_t partition_count)
{
    assert(broker->topic_count < TOPIC_MAX && partition_count <= BROKER_PARTITION_MAX);
    struct topic *topic = calloc(1, sizeof *topic);
    assert(topic);
    (void)snprintf(topic->name, sizeof topic->name, "%s", name);
    topic->partition_count = partition_count;
    for (uint32_t i = 0; i < BROKER_PARTITION_MAX; i++) {
        topic->partitions[i].leader = i % broker->options.node_count;
    }
    broker->topics[broker->topic_count++] = topic;
}

void broker_partitions_set(struct broker *broker, const char *name, uint32_t partition_count)
{
    topic_of(broker, name)->partition_count = partition_count;
}

void broker_leader_set(struct broker *broker, const char *name, uint32_t partition, unsigned node)
{
    topic_of(broker, name)->partitions[partition].leader = node;
}

static void partition_each(struct broker *broker, unsigned node,
                           void (*each)(struct broker *broker, struct partition *partition))
{
    for (unsigned i = 0; i < broker->topic_count; i++) {
        for (uint32_t j = 0; j < broker->topics[i]->partition_count; j++) {
            if (broker->topics[i]->partitions[j].leader == node) {
                each(broker, &broker->topics[i]->partitions[j]);
            }
        }
    }
}

static void partition_elect(struct broker *broker, struct partition *partition)
{
    for (unsigned i = 0; i < broker->options.node_count; i++) {
        if (broker->nodes[i].up) {
            partition->leader = i;
            return;
        }
    }
}

static void partition_restart(struct broker *broker, struct partition *partition)
{
    (void)broker;
    for (unsigned i = 0; i < partition->pid_count; i++) {
        struct pid *pid = &partition->pids[i];
        pid->cached[0] = pid->cached[pid->cached_count - 1];
        pid->cached_count = 1;
    }
}

void broker_node_stop(struct broker *broker, unsigned node)
{
    broker->nodes[node].up = false;
    for (unsigned i = 0; i < PEER_MAX; i++) {
        if (broker->peers[i] && broker->peers[i]->node == node) {
            broker->peers[i]->open = false;
        }
    }
    partition_each(broker, node, partition_elect); /* stays where it is when nobody is left */
}

void broker_node_start(struct broker *broker, unsigned node)
{
    broker->nodes[node].up = true;
    partition_each(broker, node, partition_restart);
}

void broker_expire(struct broker *broker, int64_t age_ms)
{
    for (unsigned i = 0; i < broker->topic_count; i++) {
        for (uint32_t j = 0; j < BROKER_PARTITION_MAX; j++) {
            struct partition *partition = &broker->topics[i]->partitions[j];
            unsigned kept = 0;
            for (unsigned k = 0; k < partition->pid_count; k++) {
                struct pid *pid = &partition->pids[k];
                if (broker->now_ms - pid->cached[pid->cached_count - 1].time_ms < age_ms) {
                    partition->pids[kept++] = *pid;
                }
            }
            partition->pid_count = kept;
        }
    }
}

void broker_replace(struct broker *broker, const char *cluster_id)
{
    logs_clear(broker);
    broker->pid_next = 0;
    (void)snprintf(broker->cluster_id, sizeof broker->cluster_id, "%s", cluster_id);
    for (unsigned i = 0; i < PEER_MAX; i++) {
        if (broker->peers[i]) {
            broker->peers[i]->open = false;
        }
    }
}

void broker_fault_add(struct broker *broker, const struct broker_fault *fault)
{
    assert(broker->fault_count < BROKER_FAULT_MAX);
    broker->faults[broker->fault_count++] = *fault;
}

size_t broker_fault_count(const struct broker *broker)
{
    return broker->fault_count;
}

void broker_faults_clear(struct broker *broker)
{
    broker->fault_count = 0;
}

static bool fault_take(struct broker *broker, int16_t api, struct broker_fault *ret)
{
    for (size_t i = 0; i < broker->fault_count; i++) {
        if (broker->faults[i].api == api) {
            *ret = broker->faults[i];
            broker->fault_count--;
            memmove(&broker->faults[i], &broker->faults[i + 1],
                    (broker->fault_count - i) * sizeof broker->faults[0]);
            return true;
        }
    }
    return false;
}

uint64_t broker_request_count(const struct broker *broker, int16_t api)
{
    return broker->requests[api];
}

/* --- the log --- */

static struct slice copy(struct slice from)
{
    if (!from.data) {
        return from;
    }
    uint8_t *to = malloc(from.size + 1);
    assert(to);
    memcpy(to, from.data, from.size);
    return (struct slice){to, from.size};
}

static void log_put(struct partition *partition, const struct record *record,
                    const struct records_head *head, int64_t time_ms)
{
    if (partition->log_count == partition->log_room) {
        partition->log_room = partition->log_room ? partition->log_room * 2 : 64;
        partition->log = realloc(partition->log, partition->log_room * sizeof partition->log[0]);
        assert(partition->log);
    }
    partition->log[partition->log_count++] = (struct broker_record){
        .key = copy(record->key),
        .body = copy(record->body),
        .header = copy(record->header_value),
        .time_ms = time_ms < 0 ? time_ms : time_ms + record->time_delta_ms,
        .producer_id = head->producer_id,
        .sequence = records_sequence_add(head->base_sequence, (uint32_t)record->offset_delta),
    };
}

static bool log_append(struct broker *broker, struct partition *partition,
                       const struct records_head *head, bool store)
{
    uint8_t *memory = malloc(PLAIN_SIZE_MAX);
    assert(memory);
    struct out plain = out_over(memory, PLAIN_SIZE_MAX);
    bool good = true;
    if ((head->attributes & 7) == 4) {
        good = zstd_decode(broker->decoder, head->records, &plain) == ERR_OK;
    } else {
        out_put_slice(&plain, head->records);
    }
    struct slice rest = out_slice(&plain);
    struct record record;
    uint32_t count = 0;
    while (good && rest.size > 0) {
        good = records_next(&rest, &record) == ERR_OK && record.offset_delta == count;
        count++;
        if (good && store) {
            int64_t base_ms = broker->options.log_append_time ? broker->now_ms : head->base_time_ms;
            log_put(partition, &record, head, base_ms);
        }
    }
    free(memory);
    return good && count == head->record_count;
}

static struct pid *pid_find(struct partition *partition, int64_t id)
{
    for (unsigned i = 0; i < partition->pid_count; i++) {
        if (partition->pids[i].id == id) {
            return &partition->pids[i];
        }
    }
    return NULL;
}

static void pid_put(struct partition *partition, const struct records_head *head, int64_t offset,
                    int64_t time_ms)
{
    struct pid *pid = pid_find(partition, head->producer_id);
    if (!pid) {
        if (partition->pid_count == BROKER_PID_MAX) { /* the oldest goes, as with a size limit */
            partition->pid_count--;
            memmove(partition->pids, partition->pids + 1,
                    partition->pid_count * sizeof partition->pids[0]);
        }
        pid = &partition->pids[partition->pid_count++];
        *pid = (struct pid){.id = head->producer_id};
    }
    if (pid->cached_count == BROKER_CACHED_MAX) {
        pid->cached_count--;
        memmove(pid->cached, pid->cached + 1, pid->cached_count * sizeof pid->cached[0]);
    }
    pid->epoch = head->epoch;
    pid->cached[pid->cached_count++] =
        (struct cached){.first = head->base_sequence,
                        .last = records_sequence_add(head->base_sequence, head->record_count - 1),
                        .offset = offset,
                        .time_ms = time_ms};
}

/* What the leader does with one batch: the order of its checks is Kafka's. */
static int16_t batch_take(struct broker *broker, struct partition *partition, struct slice batch,
                          int64_t *ret_offset, int64_t *ret_append_ms)
{
    struct records_head head;
    if (batch.size > broker->options.batch_size_max) {
        return 10;
    }
    if (records_head_parse(batch, &head)) {
        return 2;
    }
    if (!log_append(broker, partition, &head, false)) {
        return 87;
    }
    struct pid *pid = pid_find(partition, head.producer_id);
    int32_t last = records_sequence_add(head.base_sequence, head.record_count - 1);
    for (unsigned i = 0; pid && head.epoch == pid->epoch && i < pid->cached_count; i++) {
        if (pid->cached[i].first == head.base_sequence && pid->cached[i].last == last) {
            *ret_offset = pid->cached[i].offset;
            *ret_append_ms = pid->cached[i].time_ms;
            return 0;
        }
    }
    if (pid && head.epoch < pid->epoch) {
        return 47;
    }
    if (pid && head.epoch > pid->epoch && head.base_sequence != 0) {
        return 45;
    }
    if (pid && head.epoch == pid->epoch &&
        head.base_sequence != records_sequence_add(pid->cached[pid->cached_count - 1].last, 1)) {
        return 45;
    }
    int64_t time_ms = broker->options.log_append_time ? broker->now_ms : head.max_time_ms;
    *ret_offset = (int64_t)partition->log_count;
    *ret_append_ms = broker->options.log_append_time ? broker->now_ms : -1;
    pid_put(partition, &head, *ret_offset, time_ms);
    (void)log_append(broker, partition, &head, true);
    return 0;
}

size_t broker_log_count(const struct broker *broker, const char *name, uint32_t partition)
{
    return topic_of(broker, name)->partitions[partition].log_count;
}

const struct broker_record *broker_log_at(const struct broker *broker, const char *name,
                                          uint32_t partition, size_t index)
{
    const struct topic *topic = topic_of(broker, name);
    assert(index < topic->partitions[partition].log_count);
    return &topic->partitions[partition].log[index];
}

/* --- requests; what can't be read ends the connection --- */

struct call {
    struct broker_peer *peer;
    int16_t api, version;
    uint32_t correlation;
    bool has_fault;
    struct broker_fault fault;
    struct slice body;
    struct out answer;
};

static struct slice take_string(struct slice *s)
{
    uint16_t size = 0;
    struct slice text = {NULL, 0};
    if (!slice_take_u16_be(s, &size) || size == UINT16_MAX || !slice_take(s, size, &text)) {
        text = (struct slice){NULL, 0};
    }
    return text;
}

static void put_string(struct out *o, const char *text)
{
    out_put_u16_be(o, (uint16_t)strlen(text));
    out_put_text(o, text);
}

static bool has(const struct call *call, enum broker_fault_kind kind)
{
    return call->has_fault && call->fault.kind == kind;
}

static int16_t produce_one(struct call *call, struct topic *topic, uint32_t index,
                           struct slice batch, int64_t *ret_offset, int64_t *ret_append_ms)
{
    struct broker *broker = call->peer->broker;
    if (has(call, BROKER_CODE)) {
        return call->fault.code;
    }
    if (!topic || index >= topic->partition_count) {
        return 3;
    }
    if (topic->partitions[index].leader != call->peer->node) {
        return 6;
    }
    if (has(call, BROKER_CLOSE) || has(call, BROKER_NEVER_LOST)) {
        return 0;
    }
    int16_t code = batch_take(broker, &topic->partitions[index], batch, ret_offset, ret_append_ms);
    return code == 0 && has(call, BROKER_CODE_STORED) ? call->fault.code : code;
}

static bool do_produce(struct call *call)
{
    struct slice s = call->body;
    uint16_t none, acks;
    uint32_t timeout, topic_count, partition_count, index, size;
    struct slice batch;
    if (!slice_take_u16_be(&s, &none) || !slice_take_u16_be(&s, &acks) || acks != UINT16_MAX ||
        !slice_take_u32_be(&s, &timeout) || !slice_take_u32_be(&s, &topic_count)) {
        return false;
    }
    out_put_u32_be(&call->answer, has(call, BROKER_SHORT) ? 0 : topic_count);
    for (uint32_t i = 0; i < topic_count; i++) {
        struct slice name = take_string(&s);
        if (!name.data || !slice_take_u32_be(&s, &partition_count)) {
            return false;
        }
        struct topic *topic = topic_find(call->peer->broker, name);
        struct out discarded = call->answer;
        out_put_u16_be(&call->answer, (uint16_t)name.size);
        out_put_slice(&call->answer, name);
        out_put_u32_be(&call->answer, partition_count);
        for (uint32_t j = 0; j < partition_count; j++) {
            int64_t offset = -1, append_ms = -1;
            if (!slice_take_u32_be(&s, &index) || !slice_take_u32_be(&s, &size) ||
                !slice_take(&s, size, &batch)) {
                return false;
            }
            int16_t code = produce_one(call, topic, index, batch, &offset, &append_ms);
            out_put_u32_be(&call->answer, index);
            out_put_u16_be(&call->answer, (uint16_t)code);
            out_put_u64_be(&call->answer, (uint64_t)offset);
            out_put_u64_be(&call->answer, (uint64_t)append_ms);
            out_put_u64_be(&call->answer, 0);
        }
        if (has(call, BROKER_SHORT)) {
            call->answer.size = discarded.size;
        }
    }
    out_put_u32_be(&call->answer, has(call, BROKER_THROTTLE) ? call->fault.value : 0);
    return s.size == 0;
}

static void put_topic(struct call *call, struct slice name, bool may_create)
{
    struct broker *broker = call->peer->broker;
    struct topic *topic = topic_find(broker, name);
    int16_t code = topic ? 0 : 3;
    char text[256];
    if (!topic && may_create && broker->options.topic_create &&
        slice_to_text(name, text, sizeof text)) {
        broker_topic_add(broker, text, 1);
        code = 5; /* in a moment */
    }
    if (has(call, BROKER_CODE)) {
        code = call->fault.code;
    }
    uint32_t count = topic && code == 0 ? topic->partition_count : 0;
    out_put_u16_be(&call->answer, (uint16_t)code);
    out_put_u16_be(&call->answer, (uint16_t)name.size);
    out_put_slice(&call->answer, name);
    out_put_byte(&call->answer, 0);
    out_put_u32_be(&call->answer, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t leader = topic->partitions[i].leader;
        bool up = broker->nodes[leader].up;
        out_put_u16_be(&call->answer, up ? 0 : 5);
        out_put_u32_be(&call->answer, i);
        out_put_u32_be(&call->answer, up ? leader + 1 : UINT32_MAX);
        for (unsigned j = 0; j < 2; j++) {
            out_put_u32_be(&call->answer, 1);
            out_put_u32_be(&call->answer, leader + 1);
        }
        out_put_u32_be(&call->answer, 0);
    }
}

static bool do_metadata(struct call *call)
{
    struct broker *broker = call->peer->broker;
    struct slice s = call->body, names;
    uint32_t topic_count;
    unsigned up = 0;
    if (!slice_take_u32_be(&s, &topic_count) || topic_count > 1000) {
        return false;
    }
    names = s;
    for (uint32_t i = 0; i < topic_count; i++) {
        if (!take_string(&s).data) {
            return false;
        }
    }
    if (s.size != 1) {
        return false;
    }
    for (unsigned i = 0; i < broker->options.node_count; i++) {
        up += broker->nodes[i].up;
    }
    out_put_u32_be(&call->answer, 0);
    out_put_u32_be(&call->answer, up);
    for (unsigned i = 0; i < broker->options.node_count; i++) {
        if (broker->nodes[i].up) {
            out_put_u32_be(&call->answer, i + 1);
            put_string(&call->answer, broker->nodes[i].host);
            out_put_u32_be(&call->answer, broker->nodes[i].port);
            out_put_u16_be(&call->answer, UINT16_MAX);
        }
    }
    put_string(&call->answer, broker->cluster_id);
    out_put_u32_be(&call->answer, 1);
    out_put_u32_be(&call->answer, topic_count);
    for (uint32_t i = 0; i < topic_count; i++) {
        put_topic(call, take_string(&names), s.data[0] != 0);
    }
    return true;
}

static bool do_versions(struct call *call)
{
    static const int16_t supported[][2] = {{WIRE_PRODUCE, 12},         {WIRE_METADATA, 13},
                                           {WIRE_SASL_HANDSHAKE, 1},   {WIRE_API_VERSIONS, 4},
                                           {WIRE_INIT_PRODUCER_ID, 5}, {WIRE_SASL_AUTHENTICATE, 2}};
    bool describes = call->peer->broker->options.describe_max >= 0;
    out_put_u16_be(&call->answer, 0);
    out_put_u32_be(&call->answer, (uint32_t)(sizeof supported / sizeof supported[0] + describes));
    for (size_t i = 0; i < sizeof supported / sizeof supported[0]; i++) {
        out_put_u16_be(&call->answer, (uint16_t)supported[i][0]);
        out_put_u16_be(&call->answer, 0);
        out_put_u16_be(&call->answer, (uint16_t)supported[i][1]);
    }
    if (describes) {
        out_put_u16_be(&call->answer, WIRE_DESCRIBE_PRODUCERS);
        out_put_u32_be(&call->answer, 0);
    }
    return true;
}

static bool do_init_producer_id(struct call *call)
{
    int16_t code = has(call, BROKER_CODE) ? call->fault.code : 0;
    out_put_u32_be(&call->answer, 0);
    out_put_u16_be(&call->answer, (uint16_t)code);
    out_put_u64_be(&call->answer, code ? UINT64_MAX : (uint64_t)call->peer->broker->pid_next++);
    out_put_u16_be(&call->answer, code ? UINT16_MAX : 0);
    return true;
}

static bool do_sasl(struct call *call)
{
    const struct broker_options *options = &call->peer->broker->options;
    struct slice s = call->body;
    if (!options->user) {
        return false;
    }
    if (call->api == WIRE_SASL_HANDSHAKE) {
        out_put_u16_be(&call->answer, slice_equal_text(take_string(&s), "PLAIN") ? 0 : 33);
        out_put_u32_be(&call->answer, 1);
        put_string(&call->answer, "PLAIN");
        return true;
    }
    char wanted[256];
    struct out o = out_over(wanted, sizeof wanted);
    out_put_byte(&o, 0);
    out_put_text(&o, options->user);
    out_put_byte(&o, 0);
    out_put_text(&o, options->password);
    uint32_t size;
    bool good = slice_take_u32_be(&s, &size) && slice_equal(s, out_slice(&o));
    call->peer->logged_in = good;
    out_put_u16_be(&call->answer, good ? 0 : 58);
    out_put_u16_be(&call->answer, UINT16_MAX);
    out_put_u32_be(&call->answer, 0);
    if (call->version >= 1) {
        out_put_u64_be(&call->answer, 0);
    }
    return true;
}

static bool do_describe(struct call *call)
{
    struct slice s = call->body, name;
    uint8_t tags;
    uint64_t size;
    uint32_t index;
    if (!slice_take_u8(&s, &tags) || !slice_take_uvarint(&s, &size) || size != 2 ||
        !slice_take_uvarint(&s, &size) || size == 0 || !slice_take(&s, size - 1, &name) ||
        !slice_take_uvarint(&s, &size) || size != 2 || !slice_take_u32_be(&s, &index)) {
        return false;
    }
    struct topic *topic = topic_find(call->peer->broker, name);
    bool found = topic && index < topic->partition_count;
    int16_t code = has(call, BROKER_CODE)                                ? call->fault.code
                   : !found                                              ? 3
                   : topic->partitions[index].leader != call->peer->node ? 6
                                                                         : 0;
    struct out *o = &call->answer;
    out_put_byte(o, 0);
    out_put_u32_be(o, 0);
    out_put_uvarint(o, 2);
    out_put_uvarint(o, name.size + 1);
    out_put_slice(o, name);
    out_put_uvarint(o, 2);
    out_put_u32_be(o, index);
    out_put_u16_be(o, (uint16_t)code);
    out_put_uvarint(o, 0);
    out_put_uvarint(o, code ? 1 : topic->partitions[index].pid_count + 1);
    for (unsigned i = 0; code == 0 && i < topic->partitions[index].pid_count; i++) {
        const struct pid *pid = &topic->partitions[index].pids[i];
        out_put_u64_be(o, (uint64_t)pid->id);
        out_put_u32_be(o, (uint32_t)pid->epoch);
        out_put_u32_be(o, (uint32_t)pid->cached[pid->cached_count - 1].last);
        out_put_u64_be(o, (uint64_t)pid->cached[pid->cached_count - 1].time_ms);
        out_put_u32_be(o, 0);
        out_put_u64_be(o, UINT64_MAX);
        out_put_byte(o, 0);
    }
    out_put_byte(o, 0);
    out_put_byte(o, 0);
    out_put_byte(o, 0);
    return true;
}

/* --- connections --- */

struct broker_peer *broker_peer_open(struct broker *broker, unsigned node)
{
    unsigned slot = 0;
    while (slot < PEER_MAX && broker->peers[slot]) {
        slot++;
    }
    if (!broker->nodes[node].up || slot == PEER_MAX) {
        return NULL;
    }
    struct broker_peer *peer = calloc(1, sizeof *peer);
    assert(peer);
    *peer = (struct broker_peer){.broker = broker, .node = node, .slot = slot, .open = true};
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

static bool call_run(struct call *call)
{
    bool login = call->api == WIRE_API_VERSIONS || call->api == WIRE_SASL_HANDSHAKE ||
                 call->api == WIRE_SASL_AUTHENTICATE;
    if (call->peer->broker->options.user && !call->peer->logged_in && !login) {
        return false; /* Kafka closes without a word */
    }
    switch (call->api) {
    case WIRE_PRODUCE:
        return call->version == 7 && do_produce(call);
    case WIRE_METADATA:
        return call->version == 5 && do_metadata(call);
    case WIRE_SASL_HANDSHAKE:
    case WIRE_SASL_AUTHENTICATE:
        return call->version == 1 && do_sasl(call);
    case WIRE_API_VERSIONS:
        return call->version == 0 && do_versions(call);
    case WIRE_INIT_PRODUCER_ID:
        return call->version == 1 && do_init_producer_id(call);
    case WIRE_DESCRIBE_PRODUCERS:
        return call->version == 0 && do_describe(call);
    default:
        return false;
    }
}

/* One whole request. False: the connection ends. */
static bool request_take(struct broker_peer *peer, struct slice s)
{
    struct broker *broker = peer->broker;
    struct call call = {.peer = peer};
    uint16_t api, version;
    uint8_t *memory = malloc(ANSWER_SIZE_MAX);
    assert(memory);
    call.answer = out_over(memory, ANSWER_SIZE_MAX);
    out_put_u32_be(&call.answer, 0); /* size */
    bool good = slice_take_u16_be(&s, &api) && slice_take_u16_be(&s, &version) &&
                slice_take_u32_be(&s, &call.correlation) && take_string(&s).data &&
                api < WIRE_API_COUNT;
    if (good) {
        call.api = (int16_t)api;
        call.version = (int16_t)version;
        call.body = s;
        broker->requests[api]++;
        call.has_fault = fault_take(broker, call.api, &call.fault);
        out_put_u32_be(&call.answer, call.correlation);
        good = call_run(&call);
    }
    assert(!call.answer.overflow);
    size_t size = call.answer.size;
    for (unsigned i = 0; i < 4; i++) {
        memory[i] = (uint8_t)((size - 4) >> (8 * (3 - i)));
    }
    struct slice bytes = out_slice(&call.answer);
    if (good && has(&call, BROKER_CLOSE_STORED)) {
        bytes.size = call.fault.value < bytes.size ? call.fault.value : bytes.size;
    }
    if (good && !has(&call, BROKER_NEVER) && !has(&call, BROKER_NEVER_LOST) &&
        !has(&call, BROKER_CLOSE)) {
        answer_put(peer, bytes, broker->now_ms + (has(&call, BROKER_LATE) ? call.fault.value : 0));
        if (has(&call, BROKER_TWICE)) {
            answer_put(peer, bytes, broker->now_ms);
        }
    }
    free(memory);
    return good && !has(&call, BROKER_CLOSE) && !has(&call, BROKER_CLOSE_STORED);
}

bool broker_peer_input(struct broker_peer *peer, struct slice bytes)
{
    peer->input = realloc(peer->input, peer->input_size + bytes.size + 1);
    assert(peer->input);
    memcpy(peer->input + peer->input_size, bytes.data, bytes.size);
    peer->input_size += bytes.size;
    struct slice rest = {peer->input, peer->input_size};
    while (peer->open && rest.size >= 4) {
        struct slice at = rest, request;
        uint32_t size = 0;
        bool whole = slice_take_u32_be(&at, &size);
        if (whole && size > REQUEST_SIZE_MAX) {
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
