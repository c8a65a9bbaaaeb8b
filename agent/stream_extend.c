#include "agent/stream_extend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/control.h"
#include "agent/events.h"
#include "agent/schema_take.h"
#include "ports/log.h"

#define RETRY_MS 1000 /* after a failure that may pass: of the disk, of memory */

struct stream_extension {
    struct schema_take take;
    struct timer retry;
    struct agent *agent;
    size_t index;
    bool is_busy;                  /* `take` is on its way, */
    uint32_t added;                /* with so many fields, */
    char names[EXTEND_NAMES_SIZE]; /* these, */
    uint64_t hash;                 /* and this text */
    uint32_t count;                /* added until now */
    uint64_t refused_hash;         /* of the schema that the gate refused last; 0: none */
    struct why refused;
    struct why trouble; /* told last */
};

static bool is_extended(const struct agent_stream *stream)
{
    return stream->config && stream->config->options.unknown_fields == STREAM_UNKNOWN_EXTEND;
}

uint32_t stream_extend_count(const struct agent_stream *stream)
{
    return stream->extension && is_extended(stream) ? stream->extension->count : 0;
}

void stream_extend_close(struct stream_extension *extension)
{
    if (extension) {
        timer_release(&extension->retry);
        free(extension);
    }
}

/* --- at start --- */

struct search {
    uint16_t stream;
    struct slice base;
    struct slice found; /* the newest; data NULL: none */
    uint32_t count;
    enum err e;
};

static void look_at(void *context, uint16_t stream, uint32_t number, struct slice json)
{
    struct search *s = context;
    bool is = false;
    uint32_t count = 0;
    (void)number;
    if (stream == s->stream && !s->e) {
        s->e = extend_is_of(json, s->base, &is, &count);
    }
    if (is) {
        s->found = json;
        s->count = count;
    }
}

/* The events that wait for it may come. */
static void resume(struct agent *agent)
{
    intake_resume(agent->intake);
    control_resume(agent->control);
}

static void retry_fired(struct timer *timer)
{
    struct stream_extension *x = CONTAINER_OF(timer, struct stream_extension, retry);
    resume(x->agent);
}

/* A reload may begin it. */
static struct stream_extension *extension_of(struct agent *agent, struct agent_stream *stream)
{
    if (!stream->extension && (stream->extension = calloc(1, sizeof *stream->extension))) {
        stream->extension->agent = agent;
        stream->extension->index = (size_t)(stream - agent->streams);
        timer_init(&stream->extension->retry, agent->setup.loop, retry_fired);
    }
    return stream->extension;
}

enum err stream_extend_open(struct agent *agent, struct agent_stream *stream,
                            struct avro_schema **schema)
{
    struct search s = {.stream = stream->number, .base = avro_schema_text(*schema)};
    struct avro_schema *extended = NULL;
    struct stream_extension *x = extension_of(agent, stream);
    if (!x) {
        return ERR_NOMEM;
    }
    if (agent->intake) { /* the buffer is the worker's */
        for (size_t i = 0; i < agent->schema_count; i++) {
            const struct agent_schema *known = &agent->schemas[i];
            look_at(&s, known->stream, known->info.number, known->info.json);
        }
    } else {
        buffer_schema_each(agent->buffer, look_at, &s);
    }
    enum err e = s.e;
    if (!e && s.count > 0) {
        e = avro_schema_parse(&extended, s.found, NULL);
    }
    if (e == ERR_NOMEM) {
        return e;
    }
    if (extended) {
        avro_schema_close(*schema);
        *schema = extended;
        log_info("weir", "stream %s: its schema goes on with the %" PRIu32 " fields added to it",
                 stream->name, s.count);
    }
    x->count = extended ? s.count : 0;
    return ERR_OK;
}

/* --- while it runs --- */

static void again_later(struct stream_extension *x)
{
    timer_arm(&x->retry, RETRY_MS);
}

/* What the gate says once it says again; that event is set aside, and so is each that asks for the
 * same. */
static void refused(struct stream_extension *x, struct gate_refusal *refusal)
{
    char line[GATE_TEXT_SIZE];
    if (!gate_refusal_line(refusal, 0, line, sizeof line)) {
        line[0] = '\0';
    }
    why_set(&x->refused, "field %s: is not in the schema, and can't be added: %s", x->names, line);
    x->refused_hash = x->hash;
    log_warn("weir", "stream %s: %s", x->agent->streams[x->index].name, x->refused.text);
    if (x->agent->events) {
        (void)events_tell_schema(x->agent->events, true, x->agent->streams[x->index].name,
                                 refusal->count, x->refused.text); /* counted */
    }
    free(refusal);
}

static void extended(struct stream_extension *x)
{
    const struct agent_stream *stream = &x->agent->streams[x->index];
    char text[EXTEND_NAMES_SIZE + 32];
    x->count += x->added;
    x->refused_hash = 0;
    x->trouble.text[0] = '\0';
    (void)snprintf(text, sizeof text, "%s (schema %" PRIu32 ")", x->names,
                   stream->schema_number); /* fits */
    log_info("weir", "stream %s: its schema got the fields of an event: %s", stream->name, text);
    if (x->agent->events) {
        events_tell_extended(x->agent->events, stream->name, x->added, text);
    }
}

static void taken(struct schema_take *take, enum err e)
{
    struct stream_extension *x = CONTAINER_OF(take, struct stream_extension, take);
    x->is_busy = false;
    if (x->agent->stage == AGENT_ENDED) {
        free(take->answer.refusal);
        return;
    }
    if (e) {
        if (strcmp(x->trouble.text, take->why.text) != 0) {
            log_warn("weir", "stream %s: its schema can't be extended for now: %s",
                     x->agent->streams[x->index].name, take->why.text);
        }
        x->trouble = take->why;
        again_later(x);
        return;
    }
    if (take->answer.refusal) {
        refused(x, take->answer.refusal);
    } else {
        extended(x);
    }
    resume(x->agent);
}

/* ERR_FULL: it is on its way, or will be. The schema is gone then in any case. */
static enum err take_it(struct stream_extension *x, struct extension *found)
{
    const struct stream_config *options = &x->agent->streams[x->index].config->options;
    x->added = found->count;
    memcpy(x->names, found->names, sizeof x->names);
    x->take = (struct schema_take){
        .schema = found->schema, .mode = (enum avro_mode)options->compatibility, .done = taken};
    x->is_busy = agent_schema_take(x->agent, x->index, &x->take) == ERR_OK;
    if (!x->is_busy) {
        avro_schema_close(found->schema);
        again_later(x);
    }
    return ERR_FULL;
}

enum err stream_extend(void *context, size_t index, const struct map_unknown *unknowns,
                       size_t count, struct why *why)
{
    struct agent *agent = context;
    struct agent_stream *stream = &agent->streams[index];
    struct stream_extension *x = extension_of(agent, stream);
    struct extension found = {.schema = NULL};
    if (!x) {
        why_set(why, "there is no memory to extend the schema of its stream");
        return ERR_REJECTED;
    }
    if (x->is_busy) {
        return ERR_FULL;
    }
    if (stream->refusal) {
        why_set(why,
                "field \"%.*s\": is not in the schema, and none is added while the schema that "
                "is configured is refused",
                (int)(unknowns[0].name.size < 80 ? unknowns[0].name.size : 80),
                (const char *)unknowns[0].name.data);
        return ERR_REJECTED;
    }
    enum err e = extend_schema(stream->schema, unknowns, count, EXTEND_MAX - x->count, &found, why);
    if (e == ERR_NOMEM) {
        again_later(x);
        return ERR_FULL;
    }
    if (e || !found.schema) {
        return e;
    }
    x->hash = slice_hash(avro_schema_text(found.schema));
    if (x->refused_hash == x->hash) {
        avro_schema_close(found.schema);
        *why = x->refused;
        return ERR_REJECTED;
    }
    return take_it(x, &found);
}
