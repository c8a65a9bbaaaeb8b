#include "agent/agent.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "agent/control.h"
#include "agent/key.h"
#include "agent/raw.h"
#include "ports/clock.h"
#include "ports/file.h"
#include "ports/log.h"
#include "ports/names.h"
#include "uplink/avro/schema.h"

#define RETRY_MS 5000

/* --- schemas --- */

struct slice agent_schema(const struct agent *agent, uint32_t schema)
{
    for (size_t i = 0; i < agent->schema_count; i++) {
        if (agent->schemas[i].info.number == schema) {
            return agent->schemas[i].info.json;
        }
    }
    return (struct slice){NULL, 0};
}

const char *agent_identity(const struct agent *agent)
{
    return agent->identity;
}

struct store *agent_store(struct agent *agent)
{
    return agent->store;
}

/* The schema of a stream: its file, or the built-in one. */
static enum err schema_load(const char *path, struct avro_schema **ret, struct why *why)
{
    struct slice text = {NULL, 0};
    if (!path) {
        return avro_schema_parse(ret, raw_schema(), why);
    }
    enum err e = file_read(path, AVRO_SCHEMA_SIZE_MAX, &text, why);
    if (!e) {
        e = avro_schema_parse(ret, text, why);
        why_add(why, "%s", path);
    }
    free((void *)(uintptr_t)text.data);
    return e;
}

static void fingerprint_of(const struct avro_schema *schema, uint8_t ret[8])
{
    size_t room = AVRO_SCHEMA_SIZE_MAX * 2;
    struct out canonical = out_over(malloc(room), room);
    struct out o = out_over(ret, 8);
    if (canonical.data) {
        avro_canonical(schema, &canonical);
    }
    out_put_u64_le(&o, avro_crc64(out_slice(&canonical)));
    free(canonical.data);
}

static enum err stream_schema(struct agent *agent, size_t index, const char *name, const char *path,
                              struct why *why)
{
    struct agent_stream *stream = &agent->streams[index];
    uint8_t fingerprint[8];
    stream->number = buffer_stream_number(agent->buffer, name);
    enum err e = schema_load(path, &stream->schema, why);
    if (e) {
        why_add(why, "stream %s", name);
        return e == ERR_NOMEM ? e : ERR_CONFIG;
    }
    fingerprint_of(stream->schema, fingerprint);
    return buffer_schema_add(agent->buffer, stream->number, avro_schema_text(stream->schema),
                             fingerprint, &stream->schema_number, why);
}

static void remember_schema(void *context, uint16_t stream, uint32_t number, struct slice json)
{
    struct agent *agent = context;
    struct agent_schema *grown = realloc(agent->schemas, (agent->schema_count + 1) * sizeof *grown);
    uint8_t *copy = malloc(json.size + 1);
    if (!grown || !copy) {
        agent->schemas = grown ? grown : agent->schemas;
        free(copy);
        return; /* forward finds it missing and says so */
    }
    memcpy(copy, json.data, json.size);
    agent->schemas = grown;
    struct agent_schema *schema = &grown[agent->schema_count++];
    *schema = (struct agent_schema){.stream = stream,
                                    .info = {.number = number, .json = {copy, json.size}}};
    struct avro_schema *parsed = NULL;
    if (avro_schema_parse(&parsed, schema->info.json, NULL) == ERR_OK) {
        fingerprint_of(parsed, schema->info.fingerprint);
    }
    avro_schema_close(parsed);
}

static enum err open_schemas(struct agent *agent, struct why *why)
{
    const struct config *config = agent->setup.config;
    enum err e = ERR_OK;
    agent->stream_count = config->stream_count;
    agent->streams = calloc(config->stream_count, sizeof *agent->streams);
    if (!agent->streams) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; !e && i < config->stream_count; i++) {
        e = stream_schema(agent, i, config->streams[i].name, config->streams[i].options.schema,
                          why);
    }
    return e ? e : buffer_schema_each(agent->buffer, remember_schema, agent);
}

/* --- the buffer and the store --- */

static void set_id(struct agent *agent)
{
    const char *id = agent->setup.config->agent.id;
    if (id) {
        (void)snprintf(agent->id, sizeof agent->id, "%s", id); /* config bounds it */
    } else if (gethostname(agent->id, sizeof agent->id - 1) || !agent->id[0]) {
        (void)snprintf(agent->id, sizeof agent->id, "weir");
    }
}

static void fill_buffer_setup(const struct agent *agent, struct buffer_setup *b)
{
    const struct config *config = agent->setup.config;
    b->path = config->buffer.path;
    b->vfs = agent->setup.vfs;
    b->agent_id = agent->id;
    b->size_max = config->buffer.size_max;
    b->event_size_max = config->buffer.event_size_max;
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        b->streams[i] = (struct buffer_stream){.name = s->name,
                                               .priority = (uint8_t)s->options.priority,
                                               .when_full = (uint8_t)s->options.when_full,
                                               .share_min = s->options.share_min,
                                               .uplinks = s->uplinks};
    }
    b->stream_count = config->stream_count;
    for (size_t i = 0; i < config->uplink_count; i++) {
        const struct config_uplink *u = &config->uplinks[i];
        b->uplinks[i] = (struct buffer_uplink){.name = u->name,
                                               .from_oldest = u->common.from == UPLINK_FROM_OLDEST,
                                               .hold_max = u->common.hold_max};
    }
    b->uplink_count = config->uplink_count;
}

static enum err open_buffer(struct agent *agent, struct why *why)
{
    struct buffer_setup *setup = calloc(1, sizeof *setup);
    if (!setup) {
        return ERR_NOMEM;
    }
    fill_buffer_setup(agent, setup);
    enum err e = ERR_OK;
    if (!agent->setup.vfs) {
        char folder[4096];
        (void)snprintf(folder, sizeof folder, "%s", setup->path); /* longer: opening says so */
        char *slash = strrchr(folder, '/');
        if (slash && slash != folder) {
            *slash = 0;
            e = file_make_folders(folder, why);
        }
    }
    e = e ? e : buffer_open(&agent->buffer, setup, why);
    free(setup);
    if (!e) {
        (void)snprintf(agent->identity, sizeof agent->identity, "%s/%08" PRIx32, agent->id,
                       buffer_incarnation(agent->buffer));
    }
    return e;
}

static void buffer_trouble(void *context, const struct why *why)
{
    struct agent *agent = context;
    agent->trouble = why ? *why : (struct why){""};
}

static void agent_committed(void *context, uint64_t commit, const struct buffer_changes *changes);

static enum err open_store(struct agent *agent)
{
    struct store_setup setup = {.loop = agent->setup.loop,
                                .worker = agent->store_worker,
                                .buffer = agent->buffer,
                                .commit_interval_ms =
                                    agent->setup.config->buffer.commit_interval_ms,
                                .retry_ms = RETRY_MS};
    struct store_handler handler = {
        .committed = agent_committed, .trouble = buffer_trouble, .context = agent};
    enum err e = store_open(&agent->store, &setup);
    return e ? e : store_handler_add(agent->store, &handler);
}

/* --- forward and intake --- */

static void fill_forward_uplink(const struct agent *agent, size_t index, struct forward_uplink *ret)
{
    const struct config *config = agent->setup.config;
    const struct config_uplink *u = &config->uplinks[index];
    *ret = (struct forward_uplink){.class_ = u->class_,
                                   .options = u->options,
                                   .name = u->name,
                                   .number = buffer_uplink_number(agent->buffer, u->name),
                                   .layout = (enum layout)(u->common.layout + 1),
                                   .by_agent = u->common.partition_by == UPLINK_BY_AGENT,
                                   .batch_size_max = u->common.batch_size_max,
                                   .linger_ms = u->common.linger_ms,
                                   .backoff_max_ms = u->common.backoff_max_ms};
    for (size_t s = 0; s < config->stream_count; s++) {
        ret->stream_set[s] = config->streams[s].uplinks >> index & 1;
    }
}

static enum err open_forward(struct agent *agent, struct why *why)
{
    const struct config *config = agent->setup.config;
    agent->forward_streams = calloc(config->stream_count, sizeof *agent->forward_streams);
    agent->forward_uplinks = calloc(config->uplink_count, sizeof *agent->forward_uplinks);
    if (!agent->forward_streams || !agent->forward_uplinks) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        agent->forward_streams[i] =
            (struct forward_stream){.info = {.number = agent->streams[i].number,
                                             .name = s->name,
                                             .priority = (uint8_t)s->options.priority},
                                    .key_field = s->options.key};
    }
    for (size_t i = 0; i < config->uplink_count; i++) {
        fill_forward_uplink(agent, i, &agent->forward_uplinks[i]);
    }
    struct forward_setup setup = {.loop = agent->setup.loop,
                                  .pack = agent->pack_worker,
                                  .store = agent->store,
                                  .names = agent->names,
                                  .agent_id = agent->id,
                                  .streams = agent->forward_streams,
                                  .stream_count = config->stream_count,
                                  .uplinks = agent->forward_uplinks,
                                  .uplink_count = config->uplink_count};
    enum err e = forward_open(&agent->forward, &setup, why);
    for (size_t i = 0; !e && i < agent->schema_count; i++) {
        e = forward_schema_add(agent->forward, agent->schemas[i].stream, &agent->schemas[i].info);
    }
    return e;
}

static enum err open_intake(struct agent *agent, struct why *why)
{
    const struct config *config = agent->setup.config;
    struct intake_stream *streams = calloc(config->stream_count, sizeof *streams);
    struct intake_driver *drivers = calloc(config->driver_count, sizeof *drivers);
    enum err e = streams && drivers ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; !e && i < config->stream_count; i++) {
        streams[i] = (struct intake_stream){.config = &config->streams[i],
                                            .number = agent->streams[i].number,
                                            .schema = agent->streams[i].schema,
                                            .schema_number = agent->streams[i].schema_number};
    }
    for (size_t i = 0; !e && i < config->driver_count; i++) {
        drivers[i].config = &config->drivers[i];
        e = buffer_driver_number(agent->buffer, config->drivers[i].name, &drivers[i].number, why);
    }
    if (!e) {
        struct intake_setup setup = {.loop = agent->setup.loop,
                                     .names = agent->names,
                                     .store = agent->store,
                                     .streams = streams,
                                     .stream_count = config->stream_count,
                                     .drivers = drivers,
                                     .driver_count = config->driver_count,
                                     .agent_id = agent->id,
                                     .event_size_max = config->buffer.event_size_max,
                                     .commit_interval_ms = config->buffer.commit_interval_ms};
        e = intake_open(&agent->intake, &setup, why);
    }
    free(streams);
    free(drivers);
    return e;
}

/* --- opening --- */

static void stop_timer_fired(struct timer *timer);

static enum err open_all(struct agent *agent, struct why *why)
{
    struct loop *loop = agent->setup.loop;
    enum err e = worker_open(&agent->store_worker, loop, "store");
    e = e ? e : worker_open(&agent->pack_worker, loop, "pack");
    e = e ? e : names_open(&agent->names, loop);
    e = e ? e : open_buffer(agent, why);
    e = e ? e : open_schemas(agent, why);
    e = e ? e : open_store(agent);
    e = e ? e : open_forward(agent, why);
    e = e ? e : open_intake(agent, why);
    if (!e && !agent->setup.vfs) {
        e = control_open(&agent->control, loop, agent, agent->setup.config->agent.socket, why);
    }
    return e;
}

enum err agent_open(struct agent **ret, const struct agent_setup *setup, struct why *why)
{
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent) {
        return ERR_NOMEM;
    }
    agent->setup = *setup;
    agent->started_us = clock_wall_us();
    timer_init(&agent->stop_timer, setup->loop, stop_timer_fired);
    set_id(agent);
    enum err e = open_all(agent, why);
    if (e) {
        if (!why->text[0]) {
            why_set(why, "can't start: %s", err_name(e));
        }
        agent_close(agent);
        return e;
    }
    log_info("weir", "agent %s, %zu streams, %zu drivers, %zu uplinks, buffer %s", agent->identity,
             setup->config->stream_count, setup->config->driver_count, setup->config->uplink_count,
             setup->config->buffer.path);
    *ret = agent;
    return ERR_OK;
}

/* --- stopping: sources, their commit, what is being sent, the last commit --- */

static void agent_next_stage(struct agent *agent);

static void sending_finished(void *context)
{
    struct agent *agent = context;
    agent->stage = AGENT_STORES_LAST;
    store_commit_now(agent->store);
    agent_next_stage(agent);
}

static void agent_next_stage(struct agent *agent)
{
    if (agent->stage == AGENT_STORES && store_is_idle(agent->store)) {
        agent->stage = AGENT_SENDS;
        forward_stop(agent->forward, agent->setup.config->agent.stop_grace_ms, sending_finished,
                     agent);
    } else if (agent->stage == AGENT_STORES_LAST && store_is_idle(agent->store)) {
        agent->stage = AGENT_ENDED;
        timer_arm(&agent->stop_timer, 0);
    }
}

static void agent_committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct agent *agent = context;
    (void)commit;
    (void)changes;
    if (agent->stage == AGENT_STORES || agent->stage == AGENT_STORES_LAST) {
        timer_arm(&agent->stop_timer, 0); /* when all parts have heard of this commit */
    }
}

static void stop_timer_fired(struct timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, stop_timer);
    if (agent->stage == AGENT_ENDED) {
        agent->finished(agent->finished_context);
        return;
    }
    store_commit_now(agent->store);
    agent_next_stage(agent);
}

void agent_stop(struct agent *agent, void (*finished)(void *context), void *context)
{
    assert(agent->stage == AGENT_RUNS);
    agent->finished = finished;
    agent->finished_context = context;
    agent->stage = AGENT_STORES;
    intake_stop(agent->intake);
    timer_arm(&agent->stop_timer, 0);
}

void agent_close(struct agent *agent)
{
    if (!agent) {
        return;
    }
    timer_release(&agent->stop_timer);
    forward_abandon(agent->forward);
    worker_close(agent->pack_worker);
    worker_close(agent->store_worker);
    control_close(agent->control);
    intake_close(agent->intake);
    forward_close(agent->forward);
    names_close(agent->names);
    if (agent->store) {
        store_close(agent->store);
    } else {
        buffer_close(agent->buffer);
    }
    for (size_t i = 0; i < agent->stream_count && agent->streams; i++) {
        avro_schema_close(agent->streams[i].schema);
    }
    for (size_t i = 0; i < agent->schema_count; i++) {
        free((void *)(uintptr_t)agent->schemas[i].info.json.data);
    }
    free(agent->streams);
    free(agent->schemas);
    free(agent->forward_streams);
    free(agent->forward_uplinks);
    free(agent);
}

/* --- checking --- */

void agent_check(const struct config *config, struct config_report *report)
{
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        struct avro_schema *schema = NULL;
        struct key key;
        struct why why = {""};
        char place[160];
        enum err e = schema_load(s->options.schema, &schema, &why);
        const char *member = "schema";
        if (!e && s->options.key) {
            e = key_find(&key, schema, s->options.key, &why);
            member = "key";
        }
        if (!e && avro_schema_root(schema)->kind != AVRO_RECORD) {
            why_set(&why, "%s: the schema of a stream must be a record", s->options.schema);
            e = ERR_CONFIG;
            member = "schema";
        }
        if (e) {
            (void)snprintf(place, sizeof place, "$.streams.%s.%s", s->name,
                           member); /* names are shorter */
            config_report_add(report, config, s->offset, place, why.text);
        }
        avro_schema_close(schema);
    }
}
