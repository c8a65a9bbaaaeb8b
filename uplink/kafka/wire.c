#include "uplink/kafka/wire.h"

#include <assert.h>

#include "uplink/kafka/wire_reader.h"

int16_t wire_version(enum wire_api api)
{
    switch (api) {
    case WIRE_PRODUCE:
        return 7;
    case WIRE_FETCH:
    case WIRE_METADATA:
        return 5;
    case WIRE_CREATE_TOPICS:
        return 4;
    case WIRE_LIST_OFFSETS:
    case WIRE_SASL_HANDSHAKE:
    case WIRE_DESCRIBE_CONFIGS:
    case WIRE_INIT_PRODUCER_ID:
    case WIRE_SASL_AUTHENTICATE:
        return 1;
    case WIRE_API_VERSIONS:
    case WIRE_DESCRIBE_PRODUCERS:
        return 0;
    }
    assert(false); /* an API that is not in the list */
    return 0;
}

/* --- writing --- */

static void put_i16(struct out *o, int16_t value)
{
    out_put_u16_be(o, (uint16_t)value);
}

static void put_string(struct out *o, struct slice text)
{
    assert(text.size <= INT16_MAX);
    out_put_u16_be(o, (uint16_t)text.size);
    out_put_slice(o, text);
}

static void put_size(struct out *o, size_t size)
{
    assert(size <= INT32_MAX);
    out_put_u32_be(o, (uint32_t)size);
}

void wire_head(struct out *o, enum wire_api api, int16_t version, int32_t correlation,
               struct slice client_id, size_t body_size)
{
    bool flexible = api == WIRE_DESCRIBE_PRODUCERS;
    put_size(o, 2 + 2 + 4 + 2 + client_id.size + (flexible ? 1 : 0) + body_size);
    put_i16(o, (int16_t)api);
    put_i16(o, version);
    out_put_u32_be(o, (uint32_t)correlation);
    put_string(o, client_id);
    if (flexible) {
        out_put_byte(o, 0); /* no tagged fields */
    }
}

void wire_produce_begin(struct out *o, int32_t timeout_ms, uint32_t topic_count)
{
    put_i16(o, -1); /* no transactional id */
    put_i16(o, -1); /* acks: all replicas in sync */
    out_put_u32_be(o, (uint32_t)timeout_ms);
    put_size(o, topic_count);
}

void wire_produce_topic(struct out *o, struct slice name, uint32_t partition_count)
{
    put_string(o, name);
    put_size(o, partition_count);
}

void wire_produce_partition(struct out *o, uint32_t partition, size_t records_size)
{
    out_put_u32_be(o, partition);
    put_size(o, records_size);
}

void wire_metadata_begin(struct out *o, uint32_t topic_count)
{
    put_size(o, topic_count);
}

void wire_metadata_topic(struct out *o, struct slice name)
{
    put_string(o, name);
}

void wire_metadata_end(struct out *o, bool allow_auto_create)
{
    out_put_byte(o, allow_auto_create);
}

void wire_create_topic(struct out *o, struct slice name, int32_t timeout_ms)
{
    put_size(o, 1); /* topic */
    put_string(o, name);
    out_put_u32_be(o, UINT32_MAX); /* partitions, replicas: as the broker is set up */
    put_i16(o, -1);
    put_size(o, 0); /* replicas of our choosing */
    put_size(o, 0); /* settings */
    out_put_u32_be(o, (uint32_t)timeout_ms);
    out_put_byte(o, 0); /* not only to see whether it would work */
}

void wire_init_producer_id(struct out *o)
{
    put_i16(o, -1);         /* no transactional id */
    put_size(o, INT32_MAX); /* of a transaction; not looked at without one */
}

void wire_sasl_handshake(struct out *o, const char *mechanism)
{
    put_string(o, slice_of_text(mechanism));
}

void wire_sasl_authenticate(struct out *o, size_t token_size)
{
    put_size(o, token_size);
}

void wire_describe_producers(struct out *o, struct slice topic, uint32_t partition)
{
    out_put_uvarint(o, 1 + 1); /* one topic */
    out_put_uvarint(o, topic.size + 1);
    out_put_slice(o, topic);
    out_put_uvarint(o, 1 + 1); /* one partition */
    out_put_u32_be(o, partition);
    out_put_byte(o, 0); /* tagged fields of the topic */
    out_put_byte(o, 0); /* and of the request */
}

/* --- reading --- */

enum err wire_versions_parse(struct slice body, struct wire_versions *ret)
{
    struct reader r = {body, true};
    struct wire_versions versions;
    for (size_t i = 0; i < WIRE_API_COUNT; i++) {
        versions.max[i] = -1;
    }
    versions.error = take_i16(&r);
    uint32_t count = take_count(&r, 6);
    for (uint32_t i = 0; r.ok && i < count; i++) {
        int16_t key = take_i16(&r);
        (void)take_i16(&r); /* the minimum: 4.0 advertises ones that it does not mean */
        int16_t max = take_i16(&r);
        if (r.ok && key >= 0 && key < WIRE_API_COUNT) {
            versions.max[key] = max;
        }
    }
    enum err e = finish(&r);
    if (!e) {
        *ret = versions;
    }
    return e;
}

static void produce_walk(struct reader *r,
                         void (*each)(void *context, const struct wire_produced *produced),
                         void *context)
{
    uint32_t topic_count = take_count(r, 6);
    for (uint32_t i = 0; r->ok && i < topic_count; i++) {
        struct slice topic = take_string(r);
        uint32_t partition_count = take_count(r, 30);
        for (uint32_t j = 0; r->ok && j < partition_count; j++) {
            struct wire_produced produced = {.topic = topic};
            produced.partition = (uint32_t)take_i32(r);
            produced.error = take_i16(r);
            produced.base_offset = take_i64(r);
            produced.log_append_time_ms = take_i64(r);
            (void)take_i64(r); /* log start offset */
            if (r->ok && each) {
                each(context, &produced);
            }
        }
    }
}

enum err wire_produce_parse(struct slice body,
                            void (*each)(void *context, const struct wire_produced *produced),
                            void *context, int32_t *ret_throttle_ms)
{
    struct reader r = {body, true};
    produce_walk(&r, NULL, NULL);
    int32_t throttle_ms = take_i32(&r);
    enum err e = finish(&r);
    if (e) {
        return e;
    }
    *ret_throttle_ms = throttle_ms;
    r = (struct reader){body, true};
    produce_walk(&r, each, context);
    return ERR_OK;
}

static void skip_i32_array(struct reader *r)
{
    uint32_t count = take_count(r, 4);
    (void)take_bytes(r, (int64_t)count * 4);
}

static void metadata_partitions(struct reader *r, uint32_t count,
                                const struct wire_metadata_visitor *visitor)
{
    for (uint32_t j = 0; r->ok && j < count; j++) {
        int16_t error = take_i16(r);
        int32_t index = take_i32(r);
        int32_t leader = take_i32(r);
        skip_i32_array(r); /* replicas, those in sync, those offline */
        skip_i32_array(r);
        skip_i32_array(r);
        if (r->ok && (index < 0 || (uint32_t)index >= count)) {
            r->ok = false;
        }
        if (r->ok && visitor) {
            visitor->partition(visitor->context, (uint32_t)index, error, leader);
        }
    }
}

static void metadata_walk(struct reader *r, const struct wire_metadata_visitor *visitor,
                          struct wire_metadata *ret)
{
    ret->throttle_ms = take_i32(r);
    uint32_t node_count = take_count(r, 12);
    for (uint32_t i = 0; r->ok && i < node_count; i++) {
        int32_t id = take_i32(r);
        struct slice host = take_string(r);
        int32_t port = take_i32(r);
        (void)take_nullable(r); /* rack */
        if (r->ok && (port < 0 || port > UINT16_MAX || host.size >= WIRE_HOST_SIZE_MAX)) {
            r->ok = false;
        }
        if (r->ok && visitor) {
            visitor->node(visitor->context, id, host, (uint16_t)port);
        }
    }
    ret->cluster_id = take_nullable(r);
    ret->controller = take_i32(r);
    uint32_t topic_count = take_count(r, 9);
    for (uint32_t i = 0; r->ok && i < topic_count; i++) {
        int16_t error = take_i16(r);
        struct slice name = take_string(r);
        (void)take_u8(r); /* internal */
        uint32_t partition_count = take_count(r, 22);
        if (partition_count > WIRE_PARTITION_MAX) {
            r->ok = false;
        }
        if (r->ok && visitor) {
            visitor->topic(visitor->context, name, error, partition_count);
        }
        metadata_partitions(r, partition_count, visitor);
    }
}

enum err wire_metadata_parse(struct slice body, const struct wire_metadata_visitor *visitor,
                             struct wire_metadata *ret)
{
    struct reader r = {body, true};
    struct wire_metadata metadata;
    metadata_walk(&r, NULL, &metadata);
    enum err e = finish(&r);
    if (e) {
        return e;
    }
    r = (struct reader){body, true};
    metadata_walk(&r, visitor, ret);
    return ERR_OK;
}

enum err wire_create_topic_parse(struct slice body, struct wire_created *ret)
{
    struct reader r = {body, true};
    struct wire_created answer;
    answer.throttle_ms = take_i32(&r);
    uint32_t count = take_count(&r, 6);
    (void)take_string(&r); /* its name */
    answer.error = take_i16(&r);
    answer.text = take_nullable(&r);
    enum err e = finish(&r);
    if (!e && count != 1) {
        e = ERR_CORRUPT;
    }
    if (!e) {
        *ret = answer;
    }
    return e;
}

enum err wire_init_producer_id_parse(struct slice body, struct wire_producer_id *ret)
{
    struct reader r = {body, true};
    struct wire_producer_id answer;
    answer.throttle_ms = take_i32(&r);
    answer.error = take_i16(&r);
    answer.producer_id = take_i64(&r);
    answer.epoch = take_i16(&r);
    enum err e = finish(&r);
    if (!e && answer.error == 0 && (answer.producer_id < 0 || answer.epoch < 0)) {
        e = ERR_CORRUPT;
    }
    if (!e) {
        *ret = answer;
    }
    return e;
}

enum err wire_sasl_handshake_parse(struct slice body, struct wire_sasl_handshake_answer *ret)
{
    struct reader r = {body, true};
    struct wire_sasl_handshake_answer answer = {0};
    struct out names = out_over(answer.mechanisms, sizeof answer.mechanisms - 1);
    answer.error = take_i16(&r);
    uint32_t count = take_count(&r, 2);
    for (uint32_t i = 0; r.ok && i < count; i++) {
        struct slice name = take_string(&r);
        if (r.ok && !names.overflow) {
            out_put_text(&names, i == 0 ? "" : ", ");
            out_put_slice(&names, name);
        }
    }
    answer.mechanisms[names.size] = '\0';
    enum err e = finish(&r);
    if (!e) {
        *ret = answer;
    }
    return e;
}

enum err wire_sasl_authenticate_parse(struct slice body, int16_t version,
                                      struct wire_sasl_answer *ret)
{
    struct reader r = {body, true};
    struct wire_sasl_answer answer;
    answer.error = take_i16(&r);
    answer.text = take_nullable(&r);
    answer.token = take_bytes(&r, take_i32(&r));
    answer.lifetime_ms = version >= 1 ? take_i64(&r) : 0;
    enum err e = finish(&r);
    if (!e) {
        *ret = answer;
    }
    return e;
}

static void describe_producer(struct reader *r, int64_t producer_id, struct wire_described *ret)
{
    int64_t id = take_i64(r);
    int32_t epoch = take_i32(r);
    int32_t last_sequence = take_i32(r);
    (void)take_i64(r); /* last timestamp */
    (void)take_i32(r); /* coordinator epoch */
    (void)take_i64(r); /* start of the open transaction */
    skip_tags(r);
    if (r->ok && id == producer_id) {
        ret->found = true;
        ret->epoch = epoch;
        ret->last_sequence = last_sequence;
    }
}

enum err wire_describe_producers_parse(struct slice body, int64_t producer_id,
                                       struct wire_described *ret)
{
    struct reader r = {body, true};
    struct wire_described described = {0};
    skip_tags(&r);      /* of the answer's header */
    (void)take_i32(&r); /* throttle time */
    uint32_t topic_count = take_compact_count(&r, 3);
    uint32_t partition_count = 0;
    for (uint32_t i = 0; r.ok && i < topic_count; i++) {
        (void)take_bytes(&r, take_compact_count(&r, 1));
        uint32_t count = take_compact_count(&r, 9);
        for (uint32_t j = 0; r.ok && j < count; j++) {
            (void)take_i32(&r);
            described.error = take_i16(&r);
            (void)take_bytes(&r, take_compact_count(&r, 1)); /* a sentence */
            uint32_t producer_count = take_compact_count(&r, 37);
            for (uint32_t k = 0; r.ok && k < producer_count; k++) {
                describe_producer(&r, producer_id, &described);
            }
            skip_tags(&r);
            partition_count++;
        }
        skip_tags(&r);
    }
    skip_tags(&r);
    enum err e = finish(&r);
    if (!e && partition_count != 1) {
        e = ERR_CORRUPT; /* one was asked for */
    }
    if (!e) {
        *ret = described;
    }
    return e;
}
