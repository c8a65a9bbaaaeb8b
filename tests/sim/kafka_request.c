#include "tests/sim/kafka_broker_impl.h"

struct slice call_take_string(struct slice *s)
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

bool call_has(const struct call *call, enum broker_fault_kind kind)
{
    return call->has_fault && call->fault.kind == kind;
}

static int16_t produce_one(struct call *call, struct topic *topic, uint32_t index,
                           struct slice batch, int64_t *ret_offset, int64_t *ret_append_ms)
{
    struct broker *broker = call->broker;
    if (call_has(call, BROKER_CODE)) {
        return call->fault.code;
    }
    if (!topic || index >= topic->partition_count) {
        return 3;
    }
    if (topic->partitions[index].leader != call->node) {
        return 6;
    }
    if (call_has(call, BROKER_CLOSE) || call_has(call, BROKER_NEVER_LOST)) {
        return 0;
    }
    struct partition *partition = &topic->partitions[index];
    size_t before = partition->log_count;
    int16_t code = partition_take(broker, partition, batch, ret_offset, ret_append_ms);
    if (partition->log_count > before && broker->watch.appended) {
        broker->watch.appended(broker->watch.context, topic->name, index, before,
                               partition->log_count - before);
    }
    return code == 0 && call_has(call, BROKER_CODE_STORED) ? call->fault.code : code;
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
    out_put_u32_be(&call->answer, call_has(call, BROKER_SHORT) ? 0 : topic_count);
    for (uint32_t i = 0; i < topic_count; i++) {
        struct slice name = call_take_string(&s);
        if (!name.data || !slice_take_u32_be(&s, &partition_count)) {
            return false;
        }
        struct topic *topic = broker_topic_find(call->broker, name);
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
        if (call_has(call, BROKER_SHORT)) {
            call->answer.size = discarded.size;
        }
    }
    out_put_u32_be(&call->answer, call_has(call, BROKER_THROTTLE) ? call->fault.value : 0);
    return s.size == 0;
}

static void put_topic(struct call *call, struct slice name, bool may_create)
{
    struct broker *broker = call->broker;
    struct topic *topic = broker_topic_find(broker, name);
    int16_t code = topic ? 0 : 3;
    char text[256];
    if (!topic && may_create && broker->options.topic_create &&
        slice_to_text(name, text, sizeof text)) {
        broker_topic_add(broker, text, 1);
        code = 5; /* in a moment */
    }
    if (call_has(call, BROKER_CODE)) {
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
        if (call->version >= 7) {
            out_put_u32_be(&call->answer, 0); /* the leader's epoch */
        }
        for (unsigned j = 0; j < 2; j++) {
            out_put_u32_be(&call->answer, 1);
            out_put_u32_be(&call->answer, leader + 1);
        }
        out_put_u32_be(&call->answer, 0);
    }
    if (call->version >= 8) {
        out_put_u32_be(&call->answer, (uint32_t)(topic ? topic->operations : INT32_MIN));
    }
}

static bool do_metadata(struct call *call)
{
    struct broker *broker = call->broker;
    struct slice s = call->body, names;
    uint32_t topic_count;
    unsigned up = 0;
    if (!slice_take_u32_be(&s, &topic_count) || topic_count > 1000) {
        return false;
    }
    names = s;
    for (uint32_t i = 0; i < topic_count; i++) {
        if (!call_take_string(&s).data) {
            return false;
        }
    }
    if (s.size != (call->version >= 8 ? 3 : 1)) {
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
            if (i % 2 == 0) {
                put_string(&call->answer, "rack-1");
            } else {
                out_put_u16_be(&call->answer, UINT16_MAX); /* of none */
            }
        }
    }
    put_string(&call->answer, broker->cluster_id);
    out_put_u32_be(&call->answer, 1);
    out_put_u32_be(&call->answer, topic_count);
    for (uint32_t i = 0; i < topic_count; i++) {
        put_topic(call, call_take_string(&names), s.data[0] != 0);
    }
    if (call->version >= 8) {
        out_put_u32_be(&call->answer, 0x80000000); /* rights on the cluster */
    }
    return true;
}

/* One topic, as the controller creates it. */
static bool do_create(struct call *call)
{
    const struct broker_options *options = &call->broker->options;
    struct slice s = call->body, name;
    uint32_t topic_count, partition_count;
    char text[256];
    if (!slice_take_u32_be(&s, &topic_count) || topic_count != 1 ||
        !(name = call_take_string(&s)).data || !slice_take_u32_be(&s, &partition_count) ||
        partition_count != UINT32_MAX || s.size != 2 + 4 + 4 + 4 + 1 ||
        !slice_to_text(name, text, sizeof text)) {
        return false;
    }
    bool exists = broker_topic_find(call->broker, name);
    int16_t code = call->node != 0 ? 41 : exists ? 36 : options->create_code;
    if (code == 0) {
        broker_topic_add(call->broker, text, 2);
    }
    out_put_u32_be(&call->answer, 0);
    out_put_u32_be(&call->answer, 1);
    put_string(&call->answer, text);
    out_put_u16_be(&call->answer, (uint16_t)code);
    if (code == 0) {
        out_put_u16_be(&call->answer, UINT16_MAX);
    } else {
        put_string(&call->answer, "a policy says no");
    }
    return true;
}

static const struct broker_range kafka_4[] = {
    {WIRE_PRODUCE, 12},          {WIRE_FETCH, 17},
    {WIRE_LIST_OFFSETS, 10},     {WIRE_METADATA, 13},
    {WIRE_SASL_HANDSHAKE, 1},    {WIRE_API_VERSIONS, 4},
    {WIRE_CREATE_TOPICS, 7},     {WIRE_INIT_PRODUCER_ID, 5},
    {WIRE_SASL_AUTHENTICATE, 2}, {WIRE_DESCRIBE_CONFIGS, 4},
    {WIRE_DESCRIBE_PRODUCERS, 0}};

/* The newest version that these brokers have; -1: they do not have it. */
static int16_t version_max(const struct broker_options *options, int16_t api)
{
    for (unsigned i = 0; i < options->range_count; i++) {
        if (options->ranges[i].api == api) {
            return options->ranges[i].max;
        }
    }
    if ((options->absent_api != 0 && api == options->absent_api) ||
        (api == WIRE_DESCRIBE_PRODUCERS && options->describe_max < 0)) {
        return -1;
    }
    if (api == WIRE_PRODUCE && options->produce_max) {
        return options->produce_max;
    }
    if (api == WIRE_METADATA && options->metadata_max) {
        return options->metadata_max;
    }
    if (api == WIRE_CREATE_TOPICS && options->create_is_old) {
        return 3;
    }
    for (size_t i = 0; i < ARRAY_COUNT(kafka_4); i++) {
        if (kafka_4[i].api == api) {
            return kafka_4[i].max;
        }
    }
    return -1;
}

static bool do_versions(struct call *call)
{
    uint32_t count = 0;
    out_put_u16_be(&call->answer, 0);
    for (size_t i = 0; i < ARRAY_COUNT(kafka_4); i++) {
        count += version_max(&call->broker->options, kafka_4[i].api) >= 0;
    }
    out_put_u32_be(&call->answer, count);
    for (size_t i = 0; i < ARRAY_COUNT(kafka_4); i++) {
        int16_t max = version_max(&call->broker->options, kafka_4[i].api);
        if (max >= 0) {
            out_put_u16_be(&call->answer, (uint16_t)kafka_4[i].api);
            out_put_u16_be(&call->answer, 0);
            out_put_u16_be(&call->answer, (uint16_t)max);
        }
    }
    return true;
}

static bool do_init_producer_id(struct call *call)
{
    int16_t code = call_has(call, BROKER_CODE) ? call->fault.code : 0;
    out_put_u32_be(&call->answer, 0);
    out_put_u16_be(&call->answer, (uint16_t)code);
    out_put_u64_be(&call->answer, code ? UINT64_MAX : (uint64_t)call->broker->pid_next++);
    out_put_u16_be(&call->answer, code ? UINT16_MAX : 0);
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
    struct topic *topic = broker_topic_find(call->broker, name);
    bool found = topic && index < topic->partition_count;
    int16_t code = call_has(call, BROKER_CODE)                     ? call->fault.code
                   : call->broker->options.read_denied             ? 29
                   : !found                                        ? 3
                   : topic->partitions[index].leader != call->node ? 6
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

bool call_run(struct call *call)
{
    bool login = call->api == WIRE_API_VERSIONS || call->api == WIRE_SASL_HANDSHAKE ||
                 call->api == WIRE_SASL_AUTHENTICATE;
    const struct broker_options *options = &call->broker->options;
    int64_t since_ms = call->broker->now_ms - call->login->done_ms;
    bool over = call->login->session_ms > 0 && since_ms > call->login->session_ms;
    if (options->user && !login && (call->login->done_ms < 0 || over || call->login->begun)) {
        return false; /* Kafka closes without a word */
    }
    if (call->version > version_max(options, call->api)) {
        return false; /* nor does it say why */
    }
    switch (call->api) {
    case WIRE_PRODUCE:
        return call->version == 7 && do_produce(call);
    case WIRE_METADATA:
        return (call->version == 5 || call->version == 8) && do_metadata(call);
    case WIRE_SASL_HANDSHAKE:
        return call->version == 1 && call_sasl(call);
    case WIRE_SASL_AUTHENTICATE:
        return call->version <= 1 && call_sasl(call);
    case WIRE_API_VERSIONS:
        return call->version == 0 && do_versions(call);
    case WIRE_INIT_PRODUCER_ID:
        return call->version == 1 && !options->plain_only && do_init_producer_id(call);
    case WIRE_DESCRIBE_CONFIGS:
        return call->version == 1 && call_describe_configs(call);
    case WIRE_CREATE_TOPICS:
        return call->version == 4 && do_create(call);
    case WIRE_DESCRIBE_PRODUCERS:
        return call->version == 0 && do_describe(call);
    case WIRE_LIST_OFFSETS:
        return call->version == 1 && call_list_offsets(call);
    case WIRE_FETCH:
        return call->version == 5 && call_fetch(call);
    default:
        return false;
    }
}
