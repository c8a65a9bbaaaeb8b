/* What `weir check --online` asks a broker beside the producer's own requests: Metadata with the
 * user's rights, and DescribeConfigs. As wire.h: the encoders overflow stickily, the parsers check
 * every bound and report nothing of an answer that can't be read. Pure. */
#ifndef WEIR_UPLINK_KAFKA_PROBE_WIRE_H
#define WEIR_UPLINK_KAFKA_PROBE_WIRE_H

#include "uplink/kafka/wire.h"

/* Metadata of this version says what the user may do with a topic: Kafka 2.3 or later. */
#define PROBE_METADATA_VERSION 8

/* What ends a body that wire_metadata_begin() and _topic() began: nothing is created; `version` is
 * PROBE_METADATA_VERSION, or the usual one, which has no rights. */
void probe_metadata_end(struct out *o, int16_t version);

/* Bits of `operations`, as Kafka numbers its AclOperation. */
enum probe_operation {
    PROBE_MAY_READ = 1 << 3,
    PROBE_MAY_WRITE = 1 << 4,
    PROBE_MAY_DESCRIBE = 1 << 8,
};
#define PROBE_OPERATIONS_UNKNOWN INT32_MIN

struct probe_metadata_topic {
    struct slice name;
    int16_t error;
    uint32_t partition_count;
    uint32_t leaderless_count; /* of these: they have no leader at the moment */
    int32_t operations;
};
struct probe_metadata_visitor {
    void *context;
    void (*node)(void *context, int32_t id, struct slice host, uint16_t port);
    void (*topic)(void *context, const struct probe_metadata_topic *topic);
};
enum err probe_metadata_parse(struct slice body, int16_t version,
                              const struct probe_metadata_visitor *visitor) MUST_USE;

enum probe_resource { PROBE_TOPIC = 2, PROBE_BROKER = 4 };

/* A DescribeConfigs body is: begin, then each resource with the names of the settings wanted. */
void probe_configs_begin(struct out *o, uint32_t resource_count);
void probe_configs_resource(struct out *o, enum probe_resource type, struct slice name,
                            const char *const *settings, uint32_t setting_count);
void probe_configs_end(struct out *o);

struct probe_configs_visitor {
    void *context;
    void (*resource)(void *context, int8_t type, struct slice name, int16_t error);
    /* After its resource. `value` has data NULL: the broker does not tell it. */
    void (*setting)(void *context, struct slice name, struct slice value);
};
enum err probe_configs_parse(struct slice body,
                             const struct probe_configs_visitor *visitor) MUST_USE;

#endif
