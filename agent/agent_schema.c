/* The agent's schemas: through the gate at start, and later while it runs. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/events.h"
#include "agent/gate.h"
#include "agent/letter.h"
#include "agent/lossy.h"
#include "agent/map.h"
#include "agent/raw.h"
#include "agent/schema_take.h"
#include "agent/stream_extend.h"
#include "agent/thin.h"
#include "buffer/look.h"
#include "ports/file.h"
#include "ports/lib/zstd.h"
#include "ports/log.h"
#include "uplink/avro/schema.h"
#include "uplink/layout/columns.h"

static_assert((int)STREAM_COMPATIBLE_NONE == (int)AVRO_MODE_NONE &&
                  (int)STREAM_COMPATIBLE_BACKWARD == (int)AVRO_MODE_BACKWARD &&
                  (int)STREAM_COMPATIBLE_FORWARD == (int)AVRO_MODE_FORWARD &&
                  (int)STREAM_COMPATIBLE_FULL == (int)AVRO_MODE_FULL &&
                  (int)STREAM_COMPATIBLE_BACKWARD_TRANSITIVE ==
                      (int)AVRO_MODE_BACKWARD_TRANSITIVE &&
                  (int)STREAM_COMPATIBLE_FORWARD_TRANSITIVE == (int)AVRO_MODE_FORWARD_TRANSITIVE &&
                  (int)STREAM_COMPATIBLE_FULL_TRANSITIVE == (int)AVRO_MODE_FULL_TRANSITIVE,
              "a stream's compatibility is a mode");

enum err agent_schema_load(const char *path, struct avro_schema **ret, struct why *why)
{
    struct slice text = {NULL, 0};
    if (!path) {
        return avro_schema_parse(ret, raw_schema(), why);
    }
    enum err e = file_read(path, AVRO_SCHEMA_SIZE_MAX, &text, why);
    if (!e) {
        e = avro_schema_parse(ret, text, why);
        if (e) {
            why_add(why, "%s", path);
        }
    }
    free((void *)(uintptr_t)text.data);
    return e;
}

enum err agent_stream_schema_load(const struct stream_config *options, struct avro_schema **ret,
                                  struct why *why)
{
    struct avro_schema *schema = NULL;
    enum err e = agent_schema_load(options->schema, &schema, why);
    e = e ? e : lossy_mark(options, &schema, why);
    if (e) {
        avro_schema_close(schema);
        return e;
    }
    *ret = schema;
    return ERR_OK;
}

enum err agent_dictionary_load(const struct config_uplink *uplink, struct zstd_dictionary **ret,
                               struct why *why)
{
    const char *path =
        uplink->class_->dictionary ? uplink->class_->dictionary(uplink->options) : NULL;
    struct slice bytes = {NULL, 0};
    *ret = NULL;
    if (!path) {
        return ERR_OK;
    }
    if (uplink->layout != LAYOUT_COLUMNS) {
        why_set(why, "only batches are packed by a dictionary: set layout to \"columns\"");
        return ERR_CONFIG;
    }
    enum err e = file_read(path, ZSTD_DICTIONARY_SIZE_MAX, &bytes, why);
    e = e ? e : zstd_dictionary_open(ret, bytes, COLUMNS_ZSTD_LEVEL, why);
    free((void *)(uintptr_t)bytes.data);
    return e;
}

enum err agent_schema_is_stream(const struct avro_schema *schema, struct why *why)
{
    const struct avro_node *root = avro_schema_root(schema);
    if (root->kind != AVRO_RECORD) {
        why_set(why, "the schema of a stream must be a record");
        return ERR_CONFIG;
    }
    if (root->field_count > MAP_FIELD_MAX) {
        why_set(why, "the record of a stream has at most %d fields, and this one has %" PRIu32,
                MAP_FIELD_MAX, root->field_count);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

void agent_schema_say(const struct agent_stream *stream, const struct gate_answer *answer)
{
    char line[GATE_TEXT_SIZE];
    if (answer->unread) {
        log_warn("weir",
                 "stream %s: schema %" PRIu32 " of the buffer can't be read, and is not compared",
                 stream->name, answer->unread);
    }
    for (uint32_t i = 0;
         answer->refusal && gate_refusal_line(answer->refusal, i, line, sizeof line); i++) {
        log_error("weir", "stream %s: its schema is refused: %s", stream->name, line);
    }
    if (answer->refusal) {
        log_error("weir", "stream %s: compatibility is %s: events go on under schema %" PRIu32,
                  stream->name, avro_mode_name(answer->refusal->mode), stream->schema_number);
    }
}

void agent_schemas_tell(struct agent *agent)
{
    char text[EVENTS_TEXT_SIZE_MAX];
    for (size_t i = 0; agent->events && i < agent->stream_count; i++) {
        struct gate_refusal *refusal = agent->streams[i].refusal;
        if (refusal && !refusal->is_told) {
            gate_refusal_text(refusal, text, sizeof text);
            refusal->is_told = events_tell_schema(agent->events, true, agent->streams[i].name,
                                                  refusal->count, text);
        }
    }
}

/* --- at start --- */

/* The stream goes on under what was accepted before. */
static enum err go_on(struct agent *agent, struct agent_stream *stream, struct why *why)
{
    struct out text = out_over(malloc(AVRO_SCHEMA_SIZE_MAX), AVRO_SCHEMA_SIZE_MAX);
    struct avro_schema *schema = NULL;
    if (!text.data) {
        return ERR_NOMEM;
    }
    enum err e = buffer_schema_text(agent->buffer, stream->schema_number, &text, why);
    e = e ? e : avro_schema_parse(&schema, out_slice(&text), why);
    if (!e) {
        avro_schema_close(stream->schema);
        stream->schema = schema;
        stream->is_raw = slice_equal(out_slice(&text), raw_schema());
    }
    free(text.data);
    return e;
}

/* Under the version that it had last; else, and where that can't be read, under the newest that can. */
static enum err go_on_as_it_was(struct agent *agent, struct agent_stream *stream, struct why *why)
{
    uint32_t newest = stream->schema_number;
    struct why unread;
    stream->schema_number = stream->kept;
    enum err e = stream->kept ? go_on(agent, stream, &unread) : ERR_CLOSED;
    if (e && e != ERR_NOMEM) {
        stream->schema_number = newest;
        e = go_on(agent, stream, why);
    }
    return e;
}

static void take_newer(void *context, uint16_t stream, uint32_t number, struct slice json)
{
    struct agent_stream *s = context;
    (void)json;
    s->schema_number = stream == s->number ? number : s->schema_number;
}

/* The new version has no place: what is stored is sent all the same. Where the disk takes nothing the
 * agent is opened anew when it does. */
static enum err go_on_unwritten(struct agent *agent, struct agent_stream *stream, enum err e,
                                struct why *why)
{
    buffer_schema_each(agent->buffer, take_newer, stream);
    if (stream->schema_number == 0) {
        return e; /* the first one: there is none to go on under */
    }
    stream->configured = 0; /* a reload looks at it again */
    log_warn("weir",
             "stream %s: its schema is new, and can't be stored now: events go on under schema "
             "%" PRIu32 "; %s: %s",
             stream->name, stream->schema_number,
             agent->reads_only ? "it waits for the disk" : "weir reload or a restart tries again",
             why->text);
    return go_on_as_it_was(agent, stream, why);
}

static enum err stream_schema(struct agent *agent, struct agent_stream *stream, struct why *why)
{
    const struct stream_config *options = stream->config ? &stream->config->options : NULL;
    enum avro_mode mode = options ? (enum avro_mode)options->compatibility : AVRO_MODE_NONE;
    struct gate_answer answer;
    stream->number = buffer_stream_number(agent->buffer, stream->name);
    stream->is_raw = options && !options->schema;
    enum err e =
        options ? agent_stream_schema_load(options, &stream->schema, why)
                : avro_schema_parse(&stream->schema,
                                    stream->letter_of ? letter_schema() : events_schema(), why);
    e = e ? e : agent_schema_is_stream(stream->schema, why);
    if (e) {
        why_add(why, "stream %s", stream->name);
        return e == ERR_NOMEM ? e : ERR_CONFIG;
    }
    stream->configured = slice_hash(avro_schema_text(stream->schema));
    if (options && options->schema && options->unknown_fields == STREAM_UNKNOWN_EXTEND) {
        e = stream_extend_open(agent, stream, &stream->schema);
    }
    e = e ? e : gate_admit(agent->buffer, stream->number, stream->schema, mode, &answer, why);
    if (e) {
        bool may_go_on = (agent->reads_only && e != ERR_NOMEM) || e == ERR_NOSPACE;
        return may_go_on ? go_on_unwritten(agent, stream, e, why) : e;
    }
    stream->schema_number = answer.number;
    stream->refusal = answer.refusal;
    if (answer.refusal) {
        e = go_on_as_it_was(agent, stream, why);
    }
    agent_schema_say(stream, &answer);
    return e;
}

/* Also one that can't be read: that is no reason not to start. */
static enum err remember(struct agent *agent, uint16_t stream, uint32_t number, struct slice json,
                         const struct agent_schema **ret)
{
    for (size_t i = 0; i < agent->schema_count; i++) {
        if (agent->schemas[i].info.number == number) {
            *ret = &agent->schemas[i];
            return ERR_OK;
        }
    }
    struct agent_schema schema = {.stream = stream, .info = {.number = number}};
    struct avro_schema *parsed = NULL;
    enum err e = avro_schema_parse(&parsed, json, NULL);
    e = e ? e : gate_fingerprint(parsed, schema.info.fingerprint);
    avro_schema_close(parsed);
    if (e == ERR_NOMEM) {
        return e;
    }
    struct agent_schema *grown = realloc(agent->schemas, (agent->schema_count + 1) * sizeof *grown);
    agent->schemas = grown ? grown : agent->schemas;
    uint8_t *copy = grown ? malloc(json.size + 1) : NULL;
    if (!copy) {
        return ERR_NOMEM;
    }
    memcpy(copy, json.data, json.size);
    schema.info.json = (struct slice){copy, json.size};
    grown[agent->schema_count] = schema;
    *ret = &grown[agent->schema_count++];
    return ERR_OK;
}

static void remember_each(void *context, uint16_t stream, uint32_t number, struct slice json)
{
    struct agent *agent = context;
    const struct agent_schema *schema;
    agent->schemas_failed =
        agent->schemas_failed || remember(agent, stream, number, json, &schema) != ERR_OK;
}

enum err agent_schemas_open(struct agent *agent, struct why *why)
{
    enum err e = schema_last_open(agent, why);
    for (size_t i = 0; !e && i < agent->stream_count; i++) {
        e = stream_schema(agent, &agent->streams[i], why);
    }
    if (!e) {
        buffer_schema_each(agent->buffer, remember_each, agent);
    }
    return !e && agent->schemas_failed ? ERR_NOMEM : e;
}

/* --- while it runs --- */

static void take_work(struct job *job)
{
    struct schema_take *take = CONTAINER_OF(job, struct schema_take, job);
    take->result = gate_admit(take->agent->buffer, take->stream_number, take->schema, take->mode,
                              &take->answer, &take->why);
    if (!take->result && !take->answer.refusal && take->agent->thin) {
        take->result = thin_schema_add(take->agent->thin, take->stream_number, take->answer.number,
                                       avro_schema_text(take->schema));
    }
}

/* Known to forward before an event can have it. */
static enum err take_over(struct schema_take *take)
{
    struct agent *agent = take->agent;
    struct agent_stream *stream = &agent->streams[take->index];
    const struct agent_schema *known = NULL;
    enum err e = remember(agent, stream->number, take->answer.number,
                          avro_schema_text(take->schema), &known);
    e = e ? e : forward_schema_add(agent->forward, stream->number, &known->info);
    if (e) {
        return e;
    }
    stream->schema_number = take->answer.number;
    schema_last_keep(agent);
    intake_schema_set(agent->intake, take->index, take->schema, take->answer.number, take->is_raw);
    avro_schema_close(stream->schema);
    stream->schema = take->schema;
    stream->is_raw = take->is_raw;
    take->schema = NULL;
    return ERR_OK;
}

static void take_done(struct job *job)
{
    struct schema_take *take = CONTAINER_OF(job, struct schema_take, job);
    enum err e = take->result;
    take->agent->streams[take->index].is_changing = false;
    if (!e && !take->answer.refusal) {
        e = take_over(take);
    }
    if (e && !take->why.text[0]) {
        why_set(&take->why, "%s", err_name(e));
    }
    avro_schema_close(take->schema);
    take->schema = NULL;
    take->done(take, e);
}

enum err agent_schema_take(struct agent *agent, size_t index, struct schema_take *take)
{
    assert(index < agent->setup.config->stream_count && take->schema && take->done);
    if (agent->streams[index].is_changing) {
        return ERR_FULL;
    }
    take->agent = agent;
    take->index = index;
    take->stream_number = agent->streams[index].number;
    take->answer = (struct gate_answer){.number = 0};
    take->why.text[0] = '\0';
    take->job = (struct job){.work = take_work, .done = take_done};
    enum err e = worker_put(agent->store_worker, &take->job);
    agent->streams[index].is_changing = e == ERR_OK;
    return e;
}
