/* Every answer of a broker: the first byte says which one. */
#include "uplink/kafka/probe_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void produced(void *context, const struct wire_produced *one)
{
    *(uint64_t *)context += one->partition + one->topic.size;
}

static void node(void *context, int32_t id, struct slice host, uint16_t port)
{
    *(uint64_t *)context += (uint32_t)id + host.size + port;
}

static void topic(void *context, struct slice name, int16_t error, uint32_t partition_count)
{
    *(uint64_t *)context += name.size + (uint16_t)error + partition_count;
}

static void partition(void *context, uint32_t index, int16_t error, int32_t leader)
{
    *(uint64_t *)context += index + (uint16_t)error + (uint32_t)leader;
}

static void probe_topic(void *context, const struct probe_metadata_topic *topic)
{
    *(uint64_t *)context += topic->name.size + topic->partition_count + 1;
}

static void resource(void *context, int8_t type, struct slice name, int16_t error)
{
    *(uint64_t *)context += (uint8_t)type + name.size + (uint16_t)error + 1;
}

static void setting(void *context, struct slice name, struct slice value)
{
    *(uint64_t *)context += name.size + value.size + 1;
}

/* What creates topics, and what only `check --online` asks. */
static enum err probe_parse(uint8_t kind, struct slice body, uint64_t *sum)
{
    struct probe_metadata_visitor metadata = {sum, node, probe_topic};
    struct probe_configs_visitor configs = {sum, resource, setting};
    struct wire_created created;
    if (kind == 252) {
        return wire_create_topic_parse(body, &created);
    }
    int16_t version = kind == 253 ? PROBE_METADATA_VERSION : wire_version(WIRE_METADATA);
    return kind == 255 ? probe_configs_parse(body, &configs)
                       : probe_metadata_parse(body, version, &metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice body = {data + 1, size - 1};
    uint64_t sum = 0;
    int32_t throttle_ms;
    struct wire_versions versions;
    struct wire_metadata metadata;
    struct wire_metadata_visitor visitor = {&sum, node, topic, partition};
    struct wire_producer_id id;
    struct wire_sasl_handshake_answer handshake;
    struct wire_sasl_answer login;
    struct wire_described described;
    enum err e = ERR_OK;
    if (data[0] >= 252) {
        e = probe_parse(data[0], body, &sum);
        if (e && sum) {
            abort();
        }
        return 0;
    }
    switch (data[0] % 7) {
    case 0:
        e = wire_versions_parse(body, &versions);
        break;
    case 1:
        e = wire_produce_parse(body, produced, &sum, &throttle_ms);
        break;
    case 2:
        e = wire_metadata_parse(body, &visitor, &metadata);
        break;
    case 3:
        e = wire_init_producer_id_parse(body, &id);
        break;
    case 4:
        e = wire_sasl_handshake_parse(body, &handshake);
        break;
    case 5:
        e = wire_sasl_authenticate_parse(body, data[0] > 127, &login);
        break;
    default:
        e = wire_describe_producers_parse(body, 42, &described);
        break;
    }
    if (e && sum) {
        abort(); /* an answer that can't be read reports nothing */
    }
    return 0;
}
