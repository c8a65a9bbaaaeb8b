#include "uplink/kafka/kafka.h"

#include <assert.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "ports/tickets.h"
#include "uplink/kafka/kafka_impl.h"
#include "uplink/kafka/murmur2.h"
#include "uplink/kafka/probe.h"
#include "uplink/kafka/records.h"
#include "uplink/kafka/service.h"
#include "uplink/kafka/tokens.h"
#include "uplink/layout/columns.h"
#include "uplink/layout/pattern.h"

#define CLOCK_PLAUSIBLE_US (INT64_C(1767225600) * 1000000) /* 2026-01-01: before weir */
#define CLOCK_LOOK_MS 1000
#define KEYLESS_RUN 1024      /* events without a key change the partition after so many */
#define ANSWER_MARGIN_MS 5000 /* the broker's own time limit comes first */
#define HEADER_NAME_SIZE_MAX 64
#define HEADER_VALUE_SIZE_MAX 512 /* filled in */
#define HEADERS_SIZE_MAX 4096     /* all of headers_set */
#define ROWS_LEVEL 3              /* of zstd, for rows */
#define COLUMNS_SMALL_LEVEL 19    /* of zstd, for a few columns: 1 to 2 % fewer bytes than by 9 */

static struct kafka *kafka_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct kafka, uplink);
}

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

static const char *kafka_tombstone(const void *options, const char *stream)
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

static enum err kafka_target(struct uplink *uplink, const struct stream_info *stream,
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
            timer_arm(&k->clock, CLOCK_LOOK_MS); /* nothing else would ask again */
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

static uint32_t kafka_place(const struct target *target, struct slice key, uint64_t sequence)
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

static const char *kafka_dictionary(const void *options)
{
    return ((const struct kafka_options *)options)->dictionary;
}

static enum err kafka_wrap(const void *options, const struct batch *batch, struct out *ret)
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

/* --- numbers --- */

/* What AGAIN was said for may be over. */
static void clock_look(struct timer *timer)
{
    uplink_ready(CONTAINER_OF(timer, struct kafka, clock)->host);
}

/* The time of sending; -1: the clock was waited for, and can't be trusted yet. ERR_AGAIN:
 * still waiting. */
static enum err sent_time(struct kafka *k, int64_t *ret_ms)
{
    int64_t wall_us = clock_wall_us();
    if (wall_us >= CLOCK_PLAUSIBLE_US || clock_wall_is_synchronised()) {
        *ret_ms = wall_us / 1000;
        return ERR_OK;
    }
    if (loop_now_ms(k->loop) - k->opened_ms < (uint64_t)k->options->clock_wait_ms) {
        struct why why;
        why_set(&why, "the clock is wrong (before 2026): waiting for it to be set");
        uplink_fault(k->host, &why);
        timer_arm(&k->clock, CLOCK_LOOK_MS);
        return ERR_AGAIN;
    }
    uplink_count(k->host, "without_time", 1);
    *ret_ms = -1;
    return ERR_OK;
}

/* A parcel that was cut for another cluster goes to the one that is there now, once nothing of it
 * is under way. */
static enum err parcel_move(struct kafka *k, struct parcel *parcel)
{
    const char *id = cluster_id(k->cluster);
    if (strcmp(parcel->cluster_id, id) == 0) {
        return ERR_OK;
    }
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        if (parcel->parts[i].assigned && !parcel->parts[i].done) {
            timer_arm(&k->clock, CLOCK_LOOK_MS);
            return ERR_AGAIN;
        }
    }
    memcpy(parcel->cluster_id, id, strlen(id) + 1);
    return ERR_OK;
}

static enum err kafka_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                             size_t part_count)
{
    struct kafka *k = kafka_of(uplink);
    int64_t sent_ms = -1;
    if (k->stopping) {
        return ERR_AGAIN;
    }
    enum err e = sent_time(k, &sent_ms);
    e = e ? e : parcel_move(k, parcel);
    for (size_t i = 0; i < part_count && !e; i++) {
        e = producers_assign(k->producers, parcel->stream, parcel->lane, &parcel->parts[parts[i]]);
    }
    if (e) {
        kafka_say(k);
        return e; /* numbers that were given are given again: nothing was sent under them */
    }
    for (size_t i = 0; i < part_count; i++) {
        struct part *part = &parcel->parts[parts[i]];
        part->sent_ms = sent_ms;
        part->stamp = kafka_has_event_time(k->options, part) ? PART_STAMP_EVENT : PART_STAMP_SENT;
        part->assigned = true;
    }
    return ERR_OK;
}

/* --- sending --- */

static void kafka_send(struct uplink *uplink, struct batch *batch)
{
    struct kafka *k = kafka_of(uplink);
    assert(batch->part->assigned && !batch->part->done);
    assert(batch->wire.data == batch->wire_memory && batch->wire.size > RECORDS_HEAD_SIZE);
    batch->lent_ms = loop_now_ms(k->loop);
    kafka_queue(&k->waiting, batch);
    timer_arm(&k->flush, 0); /* what is lent in the same turn goes in the same requests */
}

static void kafka_flush(struct timer *timer)
{
    kafka_pump(CONTAINER_OF(timer, struct kafka, flush));
}

static void kafka_late(struct timer *timer)
{
    struct kafka *k = CONTAINER_OF(timer, struct kafka, late);
    kafka_say(k);
    kafka_pump(k);
}

static void cluster_changed(void *context)
{
    struct kafka *k = context;
    if (strcmp(k->cluster_id, cluster_id(k->cluster)) != 0) {
        producers_forget(k->producers);
        memcpy(k->cluster_id, cluster_id(k->cluster), sizeof k->cluster_id);
    }
    kafka_say(k);
    producers_advance(k->producers);
    uplink_ready(k->host);
    timer_arm(&k->flush, 0);
}

static void producers_changed(void *context)
{
    struct kafka *k = context;
    kafka_say(k);
    uplink_ready(k->host);
}

static void wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    struct kafka *k = context;
    uplink_wire_bytes(k->host, sent, received);
}

static void link_of(void *context, struct uplink_link *ret)
{
    const struct kafka *k = context;
    uplink_link(k->host, ret);
}

static void http_link_of(void *context, struct http_link *ret)
{
    struct uplink_link link;
    link_of(context, &link);
    *ret = (struct http_link){.interface_name = link.interface_name,
                              .pacer = link.pacer,
                              .send_buffer_size = link.send_buffer_size,
                              .keepalive_s = link.keepalive_s};
}

static void kafka_relink(struct uplink *uplink)
{
    cluster_relink(kafka_of(uplink)->cluster);
}

static void token_changed(void *context)
{
    cluster_token_changed(((struct kafka *)context)->cluster);
}

/* --- life --- */

static void kafka_close(struct uplink *uplink)
{
    if (!uplink) {
        return;
    }
    struct kafka *k = kafka_of(uplink);
    timer_release(&k->flush);
    timer_release(&k->late);
    timer_release(&k->clock);
    timer_release(&k->grace);
    timer_release(&k->lookback.timer);
    cluster_close(k->cluster);
    producers_close(k->producers);
    if (WEIR_HTTP_CLIENT) {
        registry_close(k->registry);
        glue_close(k->glue);
        tokens_close(k->tokens);
        http_close(k->http);
    }
    tickets_leave(k->tickets, k->tls);
    tls_close(k->tls);
    while (k->limits) {
        struct topic_limit *limit = k->limits;
        k->limits = limit->next;
        free(limit);
    }
    free(k);
}

static void grace_over(struct timer *timer)
{
    cluster_cut(CONTAINER_OF(timer, struct kafka, grace)->cluster);
}

static void kafka_stop(struct uplink *uplink, int64_t grace_ms)
{
    struct kafka *k = kafka_of(uplink);
    k->stopping = true;
    cluster_stop(k->cluster);
    timer_arm(&k->flush, 0); /* what only waits goes back at once */
    timer_arm(&k->grace, grace_ms > 0 ? (uint64_t)grace_ms : 0);
}

static enum err open_http(struct kafka *k, const struct uplink_setup *setup, struct why *why)
{
    const struct sasl_options *sasl = &k->options->sasl;
    if (!WEIR_HTTP_CLIENT) { /* nothing that needs it is set */
        return ERR_OK;
    }
    if (!tokens_are_needed(sasl) && !k->options->registry.is_set && !k->options->glue.is_set) {
        return ERR_OK;
    }
    enum err e = http_open(&k->http, setup->loop, setup->names);
    if (e) {
        why_set(why, "the HTTP client can't be opened: %s", err_name(e));
        return e;
    }
    http_link_set(k->http, http_link_of, k);
    http_tickets_set(k->http, setup->tickets, uplink_name(setup->host));
    const char *const *brokers = k->options->brokers.items;
    struct tokens_setup tokens = {.loop = setup->loop,
                                  .names = setup->names,
                                  .http = k->http,
                                  .options = sasl,
                                  .store = &k->sasl,
                                  .broker = brokers[0],
                                  .context = k,
                                  .changed = token_changed,
                                  .wire_bytes = wire_bytes};
    return tokens_are_needed(sasl) ? tokens_open(&k->tokens, &tokens, why) : ERR_OK;
}

static enum err open_registry(struct kafka *k, const struct uplink_setup *setup, struct why *why)
{
    if (!WEIR_HTTP_CLIENT) {
        return ERR_OK;
    }
    if (k->options->glue.is_set) {
        struct glue_setup glue = {.loop = setup->loop,
                                  .names = setup->names,
                                  .http = k->http,
                                  .options = &k->options->glue,
                                  .host = setup->host};
        return glue_open(&k->glue, &glue, why);
    }
    if (!k->options->registry.is_set) {
        return ERR_OK;
    }
    struct registry_setup registry = {.loop = setup->loop,
                                      .http = k->http,
                                      .options = &k->options->registry,
                                      .host = setup->host};
    return registry_open(&k->registry, &registry, why);
}

static enum err open_cluster(struct kafka *k, const struct uplink_setup *setup, struct why *why)
{
    const struct kafka_options *options = k->options;
    enum err e = options->tls.is_set ? tls_open(&k->tls, &options->tls, TLS_CLIENT, why) : ERR_OK;
    if (e) {
        return e;
    }
    k->tickets = setup->tickets;
    if (k->tls) {
        tickets_join(k->tickets, uplink_name(k->host), k->tls);
    }
    k->sasl.options = &options->sasl;
    struct cluster_setup cluster = {
        .connection = {.loop = setup->loop,
                       .names = setup->names,
                       .tls = k->tls,
                       .server_name = options->tls.server_name,
                       .sasl = options->sasl.is_set ? &k->sasl : NULL,
                       .tokens = k->tokens,
                       .client_id = options->client_id,
                       .answer_timeout_ms =
                           (uint32_t)options->request_timeout_ms + ANSWER_MARGIN_MS,
                       .idle_ms_max = kafka_service_of(options->service)->idle_ms_max,
                       .context = k,
                       .wire_bytes = wire_bytes,
                       .link = link_of},
        .brokers = options->brokers.items,
        .broker_count = options->brokers.count,
        .topic_create = (enum topic_create)options->topic_create,
        .context = k,
        .changed = cluster_changed,
    };
    e = cluster_open(&k->cluster, &cluster, why);
    if (e) {
        return e;
    }
    struct producers_setup producers = {.loop = setup->loop,
                                        .cluster = k->cluster,
                                        .is_idempotent =
                                            kafka_service_of(options->service)->is_idempotent,
                                        .context = k,
                                        .changed = producers_changed};
    return producers_open(&k->producers, &producers);
}

static enum err kafka_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct kafka *k = calloc(1, sizeof *k);
    if (!k) {
        return ERR_NOMEM;
    }
    k->uplink.class_ = &kafka_uplink_class;
    k->options = setup->options;
    k->host = setup->host;
    k->loop = setup->loop;
    k->agent_id = setup->agent_id;
    k->opened_ms = loop_now_ms(setup->loop);
    timer_init(&k->flush, setup->loop, kafka_flush);
    timer_init(&k->late, setup->loop, kafka_late);
    timer_init(&k->clock, setup->loop, clock_look);
    timer_init(&k->grace, setup->loop, grace_over);
    timer_init(&k->lookback.timer, setup->loop, kafka_look_back_tick);
    enum err e = open_http(k, setup, why);
    e = e ? e : open_cluster(k, setup, why);
    e = e ? e : open_registry(k, setup, why);
    if (e) {
        kafka_close(&k->uplink);
        return e;
    }
    *ret = &k->uplink;
    return ERR_OK;
}

static enum err registries_check(const struct kafka_options *kafka, struct why *why)
{
    bool wants_registry = kafka->framing == FRAMING_REGISTRY;
    bool has_registry = kafka->registry.is_set || kafka->glue.is_set;
    if (kafka->registry.is_set && kafka->glue.is_set) {
        why_set(why, "`registry` and `glue` are two registries: keep one of them");
        return ERR_CONFIG;
    }
    if (wants_registry && !has_registry) {
        why_set(why, WEIR_HTTP_CLIENT
                         ? "framing: \"registry\" needs a registry: set `registry`, or `glue`"
                         : "framing: \"registry\" needs the HTTP client, and this build was made "
                           "without it");
        return ERR_CONFIG;
    }
    if (has_registry && !wants_registry && kafka->framing != FRAMING_AUTO) {
        why_set(why, "framing: only \"registry\" uses a registry: leave out `%s`, or `framing`",
                kafka->glue.is_set ? "glue" : "registry");
        return ERR_CONFIG;
    }
    if (!WEIR_HTTP_CLIENT) {
        return ERR_OK;
    }
    if (kafka->glue.is_set) {
        return glue_options_check(&kafka->glue, why);
    }
    return kafka->registry.is_set ? registry_options_check(&kafka->registry, why) : ERR_OK;
}

/* What asks somebody over HTTP, in a build that can't. */
static enum err client_check(const struct kafka_options *kafka, struct why *why)
{
    if (WEIR_HTTP_CLIENT) {
        return ERR_OK;
    }
    if (!kafka->registry.is_set && !kafka->glue.is_set && !tokens_are_needed(&kafka->sasl)) {
        return ERR_OK;
    }
    why_set(why, "%s needs the HTTP client, and this build was made without it",
            kafka->registry.is_set ? "`registry`"
            : kafka->glue.is_set   ? "`glue`"
                                   : "this login");
    return ERR_CONFIG;
}

static enum err kafka_check(const void *options, struct why *why)
{
    const struct kafka_options *kafka = options;
    for (size_t i = 0; i < kafka->headers_set.count; i++) {
        const char *name = kafka->headers_set.names[i];
        if (!name[0] || strlen(name) > HEADER_NAME_SIZE_MAX ||
            strcmp(name, RECORDS_HEADER_NAME) == 0 || strcmp(name, RECORDS_LANE_NAME) == 0) {
            why_set(why,
                    "headers_set: \"%.80s\" is no name for a header: 1 to %d bytes, and %s and %s "
                    "are what `headers` and backfill add",
                    name, HEADER_NAME_SIZE_MAX, RECORDS_HEADER_NAME, RECORDS_LANE_NAME);
            return ERR_CONFIG;
        }
    }
    if (client_check(kafka, why) || registries_check(kafka, why)) {
        return ERR_CONFIG;
    }
    const char *const *brokers = kafka->brokers.items;
    return kafka->sasl.is_set ? sasl_check(&kafka->sasl, brokers[0], why) : ERR_OK;
}

/* A batch is known by its framing, and has no place for a record without a value. */
static enum err kafka_columns(const void *options, struct why *why)
{
    const struct kafka_options *kafka = options;
    const struct kafka_stream_options *streams = kafka->per_stream.items;
    if (kafka->framing == FRAMING_NONE || kafka->framing == FRAMING_JSON) {
        why_set(why, "columns are told from rows by the framing: set `framing` to \"auto\"");
        return ERR_CONFIG;
    }
    for (size_t i = 0; i < kafka->per_stream.count; i++) {
        if (streams[i].tombstone) {
            why_set(why,
                    "stream %s has a tombstone, which is a message without a value: it needs "
                    "the layout \"rows\"",
                    kafka->per_stream.names[i]);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

static enum err kafka_fits(const void *options, struct slice schema, const char **ret_member,
                           struct why *why)
{
    const struct kafka_options *kafka = options;
    *ret_member = "registry";
    return WEIR_HTTP_CLIENT && kafka->registry.is_set
               ? registry_schema_check(&kafka->registry, schema, why)
               : ERR_OK;
}

static enum err kafka_letter(const void *options, const char *topic, const char *of,
                             const char *stream, struct why *why)
{
    const struct kafka_options *kafka = options;
    char name[TARGET_NAME_SIZE_MAX];
    char taken[TARGET_NAME_SIZE_MAX];
    enum err e = kafka_topic_put(topic, of, "agent", name, why);
    if (!e && kafka_topic_put(kafka->topic, stream, "agent", taken, NULL) == ERR_OK &&
        strcmp(name, taken) == 0) {
        why_set(why, "topic %s has the events of stream %s: name another", name, stream);
        e = ERR_CONFIG;
    }
    return e;
}

const struct uplink_class kafka_uplink_class = {
    .type = "kafka",
    .help = "Apache Kafka 2.1 or later and what speaks its protocol (Redpanda, Event Hubs, "
            "Confluent Cloud, MSK), by an idempotent producer of its own that stays exactly-once "
            "across crashes of agent and broker.",
    .options = kafka_table,
    .options_size = sizeof(struct kafka_options),
    .probe = kafka_probe_open,
    .check = kafka_check,
    .open = kafka_open,
    .target = kafka_target,
    .place = kafka_place,
    .tombstone = kafka_tombstone,
    .dictionary = kafka_dictionary,
    .fits = kafka_fits,
    .columns = kafka_columns,
    .letter = kafka_letter,
    .wrap = kafka_wrap,
    .assign = kafka_assign,
    .send = kafka_send,
    .relink = kafka_relink,
    .stop = kafka_stop,
    .close = kafka_close,
};
