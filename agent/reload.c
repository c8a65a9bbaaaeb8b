#include "agent/reload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/events.h"
#include "agent/key.h"
#include "agent/lossy.h"
#include "agent/schema_take.h"
#include "agent/stream_extend.h"
#include "ports/log.h"

#define ANSWER_SIZE_MAX (512 * 1024)
#define PATH_COUNT_MAX 200 /* that are told */

struct agent_reload {
    struct agent *agent;
    const struct config *newer;
    void (*done)(void *context, struct slice json);
    void *context;
    size_t index; /* of the stream at hand */
    size_t said;  /* streams in the answer */
    struct schema_take take;
    uint64_t configured; /* of the stream at hand */
    struct out answer;
};

static void reload_next(struct agent_reload *r);

/* --- the answer --- */

static void say(struct agent_reload *r, const char *result, const char *text)
{
    const struct agent_stream *stream = &r->agent->streams[r->index];
    out_put_text(&r->answer, r->said++ ? ",{\"name\":" : "{\"name\":");
    out_put_json(&r->answer, slice_of_text(stream->name));
    out_put_format(&r->answer, ",\"result\":\"%s\",\"schema\":%" PRIu32 ",\"text\":", result,
                   stream->schema_number);
    out_put_json(&r->answer, slice_of_text(text));
    out_put_byte(&r->answer, '}');
}

static void say_failed(struct agent_reload *r, const struct why *why)
{
    log_error("weir", "stream %s: its schema is not taken over, reload again: %s",
              r->agent->streams[r->index].name, why->text);
    say(r, "failed", why->text);
}

struct paths {
    struct out *answer;
    bool is_taken; /* those that are wanted */
    unsigned count;
};

static void put_path(void *context, const char *path, bool is_taken)
{
    struct paths *p = context;
    size_t size = strlen(path);
    bool is_schema = size > 7 && strcmp(path + size - 7, ".schema") == 0; /* told by stream */
    if (is_taken != p->is_taken || (is_taken && is_schema) || p->count == PATH_COUNT_MAX) {
        return;
    }
    out_put_text(p->answer, p->count++ ? "," : "");
    out_put_json(p->answer, slice_of_text(path));
    if (is_taken) {
        log_info("weir", "reloaded: %s is taken up", path);
    } else {
        log_warn("weir", "reloaded: %s is another now: a restart takes it up", path);
    }
}

static enum err put_paths(struct agent_reload *r, const char *name, bool is_taken)
{
    struct paths paths = {.answer = &r->answer, .is_taken = is_taken};
    out_put_format(&r->answer, ",\"%s\":[", name);
    enum err e = config_changes(r->agent->setup.config, r->newer, put_path, &paths);
    out_put_byte(&r->answer, ']');
    return e;
}

static void reload_finish(struct agent_reload *r)
{
    out_put_byte(&r->answer, ']');
    enum err e = put_paths(r, "taken", true);
    e = e ? e : put_paths(r, "needs_restart", false);
    out_put_byte(&r->answer, '}');
    struct slice json = out_slice(&r->answer);
    if (r->answer.overflow || e) {
        json = SLICE("{\"error\":\"it was reloaded, but there is no room to say what came of it: "
                     "weir status\"}");
    }
    r->agent->reload = NULL;
    r->done(r->context, json);
    free(r->answer.data);
    free(r);
}

/* --- a stream --- */

static void stream_refused(struct agent_reload *r)
{
    char text[EVENTS_TEXT_SIZE_MAX];
    struct agent_stream *stream = &r->agent->streams[r->index];
    free(stream->refusal);
    stream->refusal = r->take.answer.refusal;
    gate_refusal_text(stream->refusal, text, sizeof text);
    say(r, "refused", text);
    agent_schemas_tell(r->agent);
}

static void stream_accepted(struct agent_reload *r)
{
    struct agent_stream *stream = &r->agent->streams[r->index];
    struct why text;
    free(stream->refusal);
    stream->refusal = NULL;
    why_set(&text, "events have schema %" PRIu32 " from now on", stream->schema_number);
    log_info("weir", "stream %s: its schema is taken over: %s", stream->name, text.text);
    (void)events_tell_schema(r->agent->events, false, stream->name, 0, text.text); /* counted */
    say(r, "accepted", "");
}

static void stream_taken(struct schema_take *take, enum err e)
{
    struct agent_reload *r = CONTAINER_OF(take, struct agent_reload, take);
    if (e) {
        say_failed(r, &take->why);
    } else {
        agent_schema_say(&r->agent->streams[r->index], &take->answer);
        r->agent->streams[r->index].configured = r->configured;
        if (take->answer.refusal) {
            stream_refused(r);
        } else {
            stream_accepted(r);
        }
    }
    r->index++;
    reload_next(r);
}

/* Does the stream already do what is asked for? It may have more fields meanwhile than its file. */
static bool is_in_force(const struct agent_stream *stream, const struct stream_config *options,
                        const struct avro_schema *schema)
{
    return !stream->refusal && stream->is_raw == !options->schema &&
           stream->configured == slice_hash(avro_schema_text(schema));
}

/* The key that is in force has to be in it: without its key, events would not stay in order. */
static enum err has_key(const struct agent_stream *stream, const struct avro_schema *schema,
                        struct why *why)
{
    const char *field = stream->config->options.key;
    struct key key;
    enum err e = field ? key_find(&key, schema, field, KEY_VALUE, why) : ERR_OK;
    if (e) {
        why_add(why,
                "with the key that is in force it can't be taken over, a restart takes up both");
    }
    return e;
}

/* True: it is under way, and stream_taken() goes on. */
static bool stream_begin(struct agent_reload *r)
{
    struct agent_stream *stream = &r->agent->streams[r->index];
    int at = config_stream_index(r->newer, stream->name);
    struct avro_schema *schema = NULL;
    struct why why = {""};
    if (at < 0) {
        return false;
    }
    const struct stream_config *options = &r->newer->streams[at].options;
    enum err e = agent_schema_load(options->schema, &schema, &why);
    e = e ? e : agent_schema_is_stream(schema, &why);
    e = e ? e : lossy_mark(&stream->config->options, &schema, &why); /* `fields` as in force */
    if (!e && is_in_force(stream, options, schema)) {
        avro_schema_close(schema);
        return false;
    }
    if (!e) {
        r->configured = slice_hash(avro_schema_text(schema));
        bool is_extended = options->schema && options->unknown_fields == STREAM_UNKNOWN_EXTEND;
        e = is_extended ? stream_extend_open(r->agent, stream, &schema) : ERR_OK;
    }
    if (!e) {
        r->take = (struct schema_take){.schema = schema,
                                       .mode = (enum avro_mode)options->compatibility,
                                       .is_raw = !options->schema,
                                       .done = stream_taken};
        e = has_key(stream, schema, &why);
        e = e ? e : agent_schema_take(r->agent, r->index, &r->take);
    }
    if (e) {
        avro_schema_close(schema);
        if (!why.text[0]) {
            why_set(&why, "%s", err_name(e));
        }
        say_failed(r, &why);
    }
    return !e;
}

static void reload_next(struct agent_reload *r)
{
    while (r->index < r->agent->setup.config->stream_count) {
        if (stream_begin(r)) {
            return;
        }
        r->index++;
    }
    reload_finish(r);
}

enum err agent_reload(struct agent *agent, const struct config *newer,
                      void (*done)(void *context, struct slice json), void *context)
{
    if (agent->reload) {
        return ERR_FULL;
    }
    struct agent_reload *r = calloc(1, sizeof *r);
    void *memory = r ? malloc(ANSWER_SIZE_MAX) : NULL;
    if (!memory) {
        free(r);
        return ERR_NOMEM;
    }
    *r = (struct agent_reload){.agent = agent,
                               .newer = newer,
                               .done = done,
                               .context = context,
                               .answer = out_over(memory, ANSWER_SIZE_MAX)};
    out_put_text(&r->answer, "{\"reloaded\":true,\"streams\":[");
    agent->reload = r;
    reload_next(r);
    return ERR_OK;
}
