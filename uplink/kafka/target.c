/* Where the events of a stream go, by which settings, and how a batch is wrapped for it. */
#include <assert.h>

#include "uplink/kafka/kafka_impl.h"
#include "uplink/kafka/murmur2.h"
#include "uplink/kafka/records.h"
#include "uplink/kafka/service.h"
#include "uplink/layout/columns.h"
#include "uplink/layout/pattern.h"

#define KEYLESS_RUN 1024          /* events without a key change the partition after so many */
#define HEADER_VALUE_SIZE_MAX 512 /* filled in */
#define HEADERS_SIZE_MAX 4096     /* all of headers_set */
#define ROWS_LEVEL 3              /* of zstd, for rows */
#define COLUMNS_SMALL_LEVEL 19    /* of zstd, for a few columns: 1 to 2 % fewer bytes than by 9 */

/* --- names --- */

static bool topic_is_allowed(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > WIRE_NAME_SIZE_MAX || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
           size;
}

enum err kafka_topic_put(const char *pattern, const char *stream, const char *agent_id,
                         char ret[TARGET_NAME_SIZE_MAX], struct why *why)
{
    char name[TARGET_NAME_SIZE_MAX];
    struct out o = out_over(name, sizeof name - 1);
    const struct pattern_names names = {.stream = stream, .agent = slice_of_text(agent_id)};
    pattern_put(pattern, &names, NULL, &o);
    name[o.size] = '\0';
    if (o.overflow || !topic_is_allowed(name)) {
        why_set(
            why,
            "topic \"%s\" of stream %s is not allowed: 1 to 249 letters, digits, dots, _ and -; "
            "{stream} and {agent} are filled in",
            name, stream);
        return ERR_CONFIG;
    }
    memcpy(ret, name, sizeof name);
    return ERR_OK;
}

/* --- settings of one stream --- */

static const struct kafka_stream_options *stream_options(const struct kafka_options *options,
                                                         const char *stream)
{
    static const struct kafka_stream_options none = {0};
    const struct kafka_stream_options *items = options->per_stream.items;
    for (size_t i = 0; i < options->per_stream.count; i++) {
        if (strcmp(options->per_stream.names[i], stream) == 0) {
            return &items[i];
        }
    }
    return &none;
}

uint32_t kafka_message_size_max(const struct kafka_options *options, const char *stream)
{
    int64_t own = stream_options(options, stream)->message_size_max;
    uint32_t size_max = (uint32_t)(own ? own : options->message_size_max);
    uint32_t service = kafka_service_of(options->service)->message_size_max;
    return service < size_max ? service : size_max;
}

const char *kafka_tombstone(const void *options, const char *stream)
{
    return stream_options(options, stream)->tombstone;
}

/* The headers of `headers_set`, and what says that it is backfill, as they stand in each record.
 * Returns their number. */
static uint32_t headers_put(const struct kafka_options *options, const char *stream,
                            struct slice agent_id, uint8_t lane, struct out *ret)
{
    const char *const *values = options->headers_set.items;
    const struct pattern_names names = {.stream = stream, .agent = agent_id};
    for (size_t i = 0; i < options->headers_set.count; i++) {
        uint8_t memory[HEADER_VALUE_SIZE_MAX];
        struct out value = out_over(memory, sizeof memory);
        pattern_put(values[i], &names, NULL, &value);
        ret->overflow = ret->overflow || value.overflow;
        records_header_put(ret, slice_of_text(options->headers_set.names[i]), out_slice(&value));
    }
    if (lane == LANE_BACKFILL) {
        records_header_put(ret, SLICE(RECORDS_LANE_NAME), SLICE("backfill"));
    }
    return (uint32_t)options->headers_set.count + (lane == LANE_BACKFILL);
}

int kafka_compression_level(const struct kafka_options *options, uint8_t layout)
{
    int of_layout = layout == LAYOUT_COLUMNS ? COLUMNS_ZSTD_LEVEL : ROWS_LEVEL;
    int level = options->compression_level < 0 ? of_layout : (int)options->compression_level;
    return kafka_service_of(options->service)->compresses ? level : 0;
}

/* --- where to --- */

uint32_t kafka_service_size(const struct kafka *k)
{
    uint32_t around = (uint32_t)(WIRE_HEAD_SIZE_MAX + sizeof k->slots[0].memory);
    return kafka_service_of(k->options->service)->request_size_max - around;
}

uint32_t kafka_request_size(const struct kafka *k)
{
    uint32_t link = uplink_request_size(k->host);
    uint32_t service = kafka_service_size(k);
    return service < link ? service : link;
}

static uint32_t batch_size_max(struct kafka *k, const char *stream, const char *topic)
{
    uint32_t size_max = kafka_message_size_max(k->options, stream);
    uint32_t request = kafka_request_size(k);
    size_max = request < size_max ? request : size_max;
    for (struct topic_limit *limit = k->limits; limit; limit = limit->next) {
        if (strcmp(limit->name, topic) == 0 && limit->batch_size_max < size_max) {
            size_max = limit->batch_size_max;
        }
    }
    return size_max;
}

/* What batches in columns say instead: the registry's id of their own schema, while the id of the
 * rows' is within. */
static enum err columns_prefix(struct kafka *k, struct target *ret, struct why *why)
{
    const struct schema_info batch = {.number = REGISTRY_BATCH_SCHEMA,
                                      .json = columns_batch_schema()};
    memcpy(ret->row_schema_id, ret->prefix + 1, REGISTRY_PREFIX_SIZE - 1);
    ret->row_schema_id_size = REGISTRY_PREFIX_SIZE - 1;
    return registry_prefix(k->registry, NULL, &batch, ret->prefix, why);
}

static enum err target_prefix(struct kafka *k, const struct schema_info *schema, struct target *ret,
                              struct why *why)
{
    bool is_columns = ret->layout == LAYOUT_COLUMNS;
    if (WEIR_HTTP_CLIENT && k->registry) {
        enum err e = registry_prefix(k->registry, ret->name, schema, ret->prefix, why);
        e = !e && is_columns ? columns_prefix(k, ret, why) : e;
        ret->prefix_size = e ? 0 : REGISTRY_PREFIX_SIZE;
        return e;
    }
    if (WEIR_HTTP_CLIENT && k->glue) {
        return glue_target(k->glue, ret->name, schema, ret, why);
    }
    /* What is on record in columns stays so, and is nothing without its envelope. */
    framing_put((enum framing)k->options->framing, schema, ret);
    return ERR_OK;
}

static enum err record_size(const struct kafka *k, const char *stream, uint32_t *ret,
                            struct why *why)
{
    uint8_t memory[HEADERS_SIZE_MAX];
    struct out headers = out_over(memory, sizeof memory);
    (void)headers_put(k->options, stream, slice_of_text(k->agent_id), LANE_BACKFILL, &headers);
    uint32_t size_max = kafka_message_size_max(k->options, stream);
    if (headers.overflow || headers.size > size_max / 2) {
        why_set(why,
                "headers_set: too large for stream %s: at most %d bytes, and half of "
                "message_size_max",
                stream, HEADERS_SIZE_MAX);
        return ERR_CONFIG;
    }
    *ret = size_max - RECORDS_HEAD_SIZE - RECORDS_OVERHEAD_MAX - (uint32_t)headers.size;
    return ERR_OK;
}

enum err kafka_target(struct uplink *uplink, const struct stream_info *stream,
                      const struct schema_info *schema, struct target *ret, struct why *why)
{
    struct kafka *k = kafka_of(uplink);
    struct target target = {.layout = ret->layout};
    enum err e = stream->letter_topic ? kafka_topic_put(stream->letter_topic, stream->letter_of,
                                                        k->agent_id, target.name, why)
                                      : kafka_topic_put(k->options->topic, stream->name,
                                                        k->agent_id, target.name, why);
    if (e) {
        return e;
    }
    /* Both are asked for at once. */
    enum err topic = cluster_topic(k->cluster, target.name, &target.partition_count, why);
    struct why registry = {""};
    target.is_letter = stream->letter_topic != NULL;
    bool wants_prefix = !target.is_letter && (!topic || topic == ERR_AGAIN);
    e = wants_prefix ? target_prefix(k, schema, &target, &registry) : topic;
    *why = registry.text[0] ? registry : *why;
    e = e ? e : topic;
    if (e == ERR_AGAIN) {
        kafka_say(k);
    }
    if (e) {
        if (e == ERR_NOMEM) {
            timer_arm(&k->clock, KAFKA_CLOCK_LOOK_MS); /* nothing else would ask again */
        }
        return e == ERR_NOMEM ? ERR_AGAIN : e;
    }
    assert(target.partition_count > 0);
    memcpy(target.cluster_id, cluster_id(k->cluster), strlen(cluster_id(k->cluster)) + 1);
    target.is_plain = kafka_compression_level(k->options, target.layout) == 0;
    target.request_size_max = batch_size_max(k, stream->name, target.name);
    e = record_size(k, stream->name, &target.record_size_max, why);
    if (!e) {
        *ret = target;
    }
    return e;
}

uint32_t kafka_place(const struct target *target, struct slice key, uint64_t sequence)
{
    if (!key.data) {
        return (uint32_t)(sequence / KEYLESS_RUN % target->partition_count);
    }
    return murmur2_partition(key, target->partition_count);
}

/* "agent/incarnation" without the incarnation. */
static struct slice identity_agent(const char *identity)
{
    const char *slash = identity ? strrchr(identity, '/') : NULL;
    return slash ? (struct slice){(const uint8_t *)identity, (size_t)(slash - identity)}
                 : (struct slice){NULL, 0};
}

bool kafka_has_event_time(const struct kafka_options *options, const struct part *part)
{
    return part->stamp == PART_STAMP_OPEN ? options->timestamp == KAFKA_TIME_EVENT
                                          : part->stamp == PART_STAMP_EVENT;
}

const char *kafka_dictionary(const void *options)
{
    return ((const struct kafka_options *)options)->dictionary;
}

enum err kafka_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    const struct kafka_options *kafka = options;
    size_t start = ret->size;
    uint8_t memory[HEADERS_SIZE_MAX];
    struct out headers = out_over(memory, sizeof memory);
    uint32_t header_count = headers_put(kafka, batch->stream->name, identity_agent(batch->identity),
                                        batch->parcel->lane, &headers);
    assert(!headers.overflow);                     /* record_size() */
    bool is_packed = batch->messages[0].is_packed; /* by a dictionary */
    bool is_fewest = batch->parcel->layout == LAYOUT_COLUMNS && kafka->compression_level < 0 &&
                     kafka_service_of(kafka->service)->compresses;
    struct records_options records = {
        .compression_level = is_packed ? 0 : kafka_compression_level(kafka, batch->parcel->layout),
        .small_level = is_fewest && !is_packed ? COLUMNS_SMALL_LEVEL : 0,
        .event_time = kafka_has_event_time(kafka, batch->part),
        .identity = kafka->headers ? batch->identity : NULL,
        .stream_name = batch->stream->name,
        .headers = out_slice(&headers),
        .header_count = header_count,
    };
    enum err e = records_build(&records, batch->messages, batch->message_count, ret);
    /* What has its numbers is sent as it is; and what is one event can't be made smaller. */
    bool may_shrink = batch->event_count > 1 && !batch->part->assigned;
    if (!e && may_shrink && ret->size - start > batch->target.request_size_max) {
        e = ERR_FULL;
    }
    return e;
}
