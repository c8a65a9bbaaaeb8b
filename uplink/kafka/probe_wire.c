#include "uplink/kafka/probe_wire.h"

#include <assert.h>

#include "uplink/kafka/wire_reader.h"

static void put_text(struct out *o, struct slice text)
{
    assert(text.size <= INT16_MAX);
    out_put_u16_be(o, (uint16_t)text.size);
    out_put_slice(o, text);
}

void probe_metadata_end(struct out *o, int16_t version)
{
    out_put_byte(o, 0); /* create nothing */
    if (version >= PROBE_METADATA_VERSION) {
        out_put_byte(o, 0); /* no rights on the cluster */
        out_put_byte(o, 1); /* but those on the topics */
    }
}

static void skip_nodes(struct reader *r)
{
    uint32_t count = take_count(r, 4);
    (void)take_bytes(r, (int64_t)count * 4);
}

static void take_partitions(struct reader *r, int16_t version, struct probe_metadata_topic *topic)
{
    for (uint32_t i = 0; r->ok && i < topic->partition_count; i++) {
        (void)take_i16(r); /* its error: what counts is whether there is a leader */
        (void)take_i32(r); /* its index */
        topic->leaderless_count += take_i32(r) < 0;
        if (version >= 7) {
            (void)take_i32(r); /* the leader's epoch */
        }
        skip_nodes(r); /* replicas, those in sync, those offline */
        skip_nodes(r);
        skip_nodes(r);
    }
}

static void metadata_walk(struct reader *r, int16_t version,
                          const struct probe_metadata_visitor *visitor)
{
    (void)take_i32(r); /* throttle time: nothing more is asked for long */
    uint32_t node_count = take_count(r, 12);
    for (uint32_t i = 0; r->ok && i < node_count; i++) {
        int32_t id = take_i32(r);
        struct slice host = take_string(r);
        int32_t port = take_i32(r);
        (void)take_nullable(r); /* rack */
        r->ok = r->ok && port >= 0 && port <= UINT16_MAX && host.size < WIRE_HOST_SIZE_MAX;
        if (r->ok && visitor) {
            visitor->node(visitor->context, id, host, (uint16_t)port);
        }
    }
    (void)take_nullable(r); /* the cluster's id */
    (void)take_i32(r);      /* the controller */
    uint32_t topic_count = take_count(r, 9);
    for (uint32_t i = 0; r->ok && i < topic_count; i++) {
        struct probe_metadata_topic topic = {.operations = PROBE_OPERATIONS_UNKNOWN};
        topic.error = take_i16(r);
        topic.name = take_string(r);
        (void)take_u8(r); /* internal */
        topic.partition_count = take_count(r, 22);
        take_partitions(r, version, &topic);
        if (version >= PROBE_METADATA_VERSION) {
            topic.operations = take_i32(r);
        }
        if (r->ok && visitor) {
            visitor->topic(visitor->context, &topic);
        }
    }
    if (version >= PROBE_METADATA_VERSION) {
        (void)take_i32(r); /* rights on the cluster, which were not asked for */
    }
}

enum err probe_metadata_parse(struct slice body, int16_t version,
                              const struct probe_metadata_visitor *visitor)
{
    assert(version == PROBE_METADATA_VERSION || version == wire_version(WIRE_METADATA));
    struct reader r = {body, true};
    metadata_walk(&r, version, NULL);
    enum err e = finish(&r);
    if (!e) {
        r = (struct reader){body, true};
        metadata_walk(&r, version, visitor);
    }
    return e;
}

/* --- DescribeConfigs v1 --- */

void probe_configs_begin(struct out *o, uint32_t resource_count)
{
    out_put_u32_be(o, resource_count);
}

void probe_configs_resource(struct out *o, enum probe_resource type, struct slice name,
                            const char *const *settings, uint32_t setting_count)
{
    out_put_byte(o, (uint8_t)type);
    put_text(o, name);
    out_put_u32_be(o, setting_count);
    for (uint32_t i = 0; i < setting_count; i++) {
        put_text(o, slice_of_text(settings[i]));
    }
}

void probe_configs_end(struct out *o)
{
    out_put_byte(o, 0); /* no synonyms */
}

static void take_settings(struct reader *r, const struct probe_configs_visitor *visitor)
{
    uint32_t count = take_count(r, 11);
    for (uint32_t i = 0; r->ok && i < count; i++) {
        struct slice name = take_string(r);
        struct slice value = take_nullable(r);
        (void)take_u8(r); /* read only, where it is from, a secret */
        (void)take_u8(r);
        (void)take_u8(r);
        uint32_t synonym_count = take_count(r, 5);
        for (uint32_t j = 0; r->ok && j < synonym_count; j++) {
            (void)take_string(r);
            (void)take_nullable(r);
            (void)take_u8(r);
        }
        if (r->ok && visitor) {
            visitor->setting(visitor->context, name, value);
        }
    }
}

static void configs_walk(struct reader *r, const struct probe_configs_visitor *visitor)
{
    (void)take_i32(r); /* throttle time: the last request */
    uint32_t count = take_count(r, 11);
    for (uint32_t i = 0; r->ok && i < count; i++) {
        int16_t error = take_i16(r);
        (void)take_nullable(r); /* a sentence */
        int8_t type = (int8_t)take_u8(r);
        struct slice name = take_string(r);
        if (r->ok && visitor) {
            visitor->resource(visitor->context, type, name, error);
        }
        take_settings(r, visitor);
    }
}

enum err probe_configs_parse(struct slice body, const struct probe_configs_visitor *visitor)
{
    struct reader r = {body, true};
    configs_walk(&r, NULL);
    enum err e = finish(&r);
    if (!e) {
        r = (struct reader){body, true};
        configs_walk(&r, visitor);
    }
    return e;
}
