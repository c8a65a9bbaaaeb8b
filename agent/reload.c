#include "agent/reload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/events.h"
#include "agent/key.h"
#include "agent/lossy.h"
#include "agent/schema_take.h"
#include "agent/stream_extend.h"
#include "ports/log.h"

#define PATH_COUNT_MAX 200 /* that are told */

struct agent_reload {
    struct agent *agent;
    struct agent_reload_setup setup;
    size_t index; /* of the stream at hand */
    size_t said;  /* streams in the answer */
    struct schema_take take;
    uint64_t configured; /* of the stream at hand */
    bool is_too_late;    /* the agent stops, and its drivers are as they were */
    struct out answer;
};

static void reload_next(struct agent_reload *r);

/* --- the answer --- */

static void say_stream(struct out *json, const struct agent_stream *stream, const char *result,
                       const char *text)
{
    out_put_text(json, "{\"name\":");
    out_put_json(json, slice_of_text(stream->name));
    out_put_format(json, ",\"result\":\"%s\",\"schema\":%" PRIu32 ",\"text\":", result,
                   stream->schema_number);
    out_put_json(json, slice_of_text(text));
    out_put_byte(json, '}');
}

static void say(struct agent_reload *r, const char *result, const char *text)
{
    out_put_text(&r->answer, r->said++ ? "," : "");
    say_stream(&r->answer, &r->agent->streams[r->index], result, text);
}

static void say_failed(struct agent_reload *r, const struct why *why)
{
    log_error("weir", "stream %s: its schema is not taken over, reload again: %s",
              r->agent->streams[r->index].name, why->text);
    say(r, "failed", why->text);
}

struct paths {
    struct out *answer;
    unsigned count;
};

static void put_taken(struct paths *p, const char *path)
{
    if (p->count < PATH_COUNT_MAX) {
        out_put_text(p->answer, p->count++ ? "," : "");
        out_put_json(p->answer, slice_of_text(path));
        log_info("weir", "reloaded: %s is taken up", path);
    }
}

static void put_path(void *context, const char *path, bool is_taken)
{
    size_t size = strlen(path);
    bool is_schema = size > 7 && strcmp(path + size - 7, ".schema") == 0; /* told by stream */
    if (is_taken && !is_schema) {
        put_taken(context, path);
    }
}

#define PART_PATH_SIZE 160

struct named_part {
    const char *section, *name; /* "": the section itself */
    bool is_other;
};

/* Its JSON path, and this behind it. Returns the size. */
static int part_path(const struct named_part *part, const char *behind, char ret[PART_PATH_SIZE])
{
    return snprintf(ret, PART_PATH_SIZE, "$.%s%s%s%s", part->section, part->name[0] ? "." : "",
                    part->name, behind);
}

static void find_part(void *context, const char *path, bool is_taken)
{
    struct named_part *part = context;
    char begin[PART_PATH_SIZE];
    int size = part_path(part, "", begin);
    (void)is_taken;
    part->is_other = part->is_other || (strncmp(path, begin, (size_t)size) == 0 &&
                                        (path[size] == '.' || path[size] == '\0'));
}

/* Parts whose settings read the same, while a file that they name holds something else. */
static void put_part(struct paths *paths, const struct config *older, const struct config *newer,
                     struct named_part part)
{
    char path[PART_PATH_SIZE];
    if (config_changes(older, newer, find_part, &part) || part.is_other) {
        return;
    }
    (void)part_path(&part, " (a file that it names)", path);
    put_taken(paths, path);
}

static void put_parts(struct paths *paths, const struct config *older, const struct config *newer)
{
    for (size_t i = 0; i < newer->driver_count; i++) {
        const struct config_driver *d = config_driver_find(older, newer->drivers[i].name);
        if (d && d->digest != newer->drivers[i].digest) {
            put_part(paths, older, newer, (struct named_part){"drivers", d->name, false});
        }
    }
    for (size_t i = 0; i < newer->uplink_count; i++) {
        const char *name = newer->uplinks[i].name;
        int at = config_uplink_index(older, name);
        if (at >= 0 && older->uplinks[at].digest != newer->uplinks[i].digest) {
            put_part(paths, older, newer, (struct named_part){"uplinks", name, false});
        }
    }
    if (older->status_digest != newer->status_digest) {
        put_part(paths, older, newer, (struct named_part){"status", "", false});
    }
}

static void put_kept(struct out *json, const struct config_difference *difference)
{
    const char *const paths[] = {difference->id ? "$.agent.id" : NULL,
                                 difference->path ? "$.buffer.path" : NULL};
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        if (paths[i]) {
            out_put_format(json, "%s\"%s\"", comma, paths[i]);
            comma = ",";
            log_warn("weir", "reloaded: %s is another now: a restart takes it up", paths[i]);
        }
    }
}

static void put_waiting(void *context, const char *driver, const char *why)
{
    struct paths *waiting = context;
    out_put_text(waiting->answer, waiting->count++ ? ",{\"name\":" : "{\"name\":");
    out_put_json(waiting->answer, slice_of_text(driver));
    out_put_text(waiting->answer, ",\"text\":");
    out_put_json(waiting->answer, slice_of_text(why));
    out_put_byte(waiting->answer, '}');
}

/* Behind the streams. */
static enum err put_paths(struct out *json, const struct agent *agent,
                          const struct agent_reload_setup *setup)
{
    struct paths taken = {.answer = json}, waiting = {.answer = json};
    out_put_text(json, "],\"taken\":[");
    enum err e = config_changes(setup->older, setup->newer, put_path, &taken);
    if (!e) {
        put_parts(&taken, setup->older, setup->newer);
    }
    out_put_text(json, "],\"needs_restart\":[");
    put_kept(json, &setup->difference);
    out_put_text(json, "],\"waiting\":[");
    intake_waiting_each(agent->intake, put_waiting, &waiting);
    out_put_text(json, "]}");
    return e;
}

static void reload_finish(void *context)
{
    struct agent_reload *r = context;
    struct slice json = SLICE("{\"error\":\"the agent is stopping: its next start takes up what is "
                              "another in the configuration\"}");
    if (!r->is_too_late && !r->agent->finished) {
        enum err e = put_paths(&r->answer, r->agent, &r->setup);
        json = r->answer.overflow || e
                   ? SLICE("{\"error\":\"it was reloaded, but there is no room to say what came of "
                           "it: weir status\"}")
                   : out_slice(&r->answer);
    }
    r->agent->reload = NULL;
    r->setup.done(r->setup.context, json);
    free(r->answer.data);
    free(r);
}

static void reload_drivers(struct agent_reload *r)
{
    if (r->agent->stage == AGENT_RUNS) {
        intake_change(r->agent->intake, reload_finish, r);
    } else {
        log_error("weir", "drivers are as they were: the agent is stopping");
        r->is_too_late = true;
        reload_finish(r);
    }
}

/* What drivers have handed over is stored; or nothing is changed. */
static void drivers_ready(void *context, const struct why *late)
{
    struct agent_reload *r = context;
    struct why why;
    if (!late) {
        reload_next(r);
        return;
    }
    why_set(&why, "not reloaded, nothing is changed: %s: reload again when that is over",
            late->text);
    r->agent->reload = NULL;
    r->setup.failed(r->setup.context, &why);
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

static void tell_accepted(const struct agent *agent, const struct agent_stream *stream)
{
    struct why text;
    why_set(&text, "events have schema %" PRIu32 " from now on", stream->schema_number);
    log_info("weir", "stream %s: its schema is taken over: %s", stream->name, text.text);
    (void)events_tell_schema(agent->events, false, stream->name, 0, text.text); /* counted */
}

static void stream_accepted(struct agent_reload *r)
{
    struct agent_stream *stream = &r->agent->streams[r->index];
    free(stream->refusal);
    stream->refusal = NULL;
    tell_accepted(r->agent, stream);
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
    int at = config_stream_index(r->setup.newer, stream->name);
    struct avro_schema *schema = NULL;
    struct why why = {""};
    if (at < 0) {
        return false;
    }
    const struct stream_config *options = &r->setup.newer->streams[at].options;
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
    reload_drivers(r);
}

enum err agent_reload(struct agent *agent, const struct agent_reload_setup *setup)
{
    if (agent->reload) {
        return ERR_FULL;
    }
    struct agent_reload *r = calloc(1, sizeof *r);
    void *memory = r ? malloc(RELOAD_ANSWER_SIZE) : NULL;
    if (!memory) {
        free(r);
        return ERR_NOMEM;
    }
    *r = (struct agent_reload){
        .agent = agent, .setup = *setup, .answer = out_over(memory, RELOAD_ANSWER_SIZE)};
    out_put_text(&r->answer, "{\"reloaded\":true,\"streams\":[");
    agent->reload = r;
    enum err e = intake_change_begin(agent->intake, setup->newer, drivers_ready, r);
    if (e) {
        agent->reload = NULL;
        free(memory);
        free(r);
    }
    return e;
}

/* --- what is owed --- */

struct taking {
    const struct config *newer;
    struct why *why;
    enum err e;
};

/* The one of this name, or that had it. */
static int uplink_of(const struct config *newer, const char *name)
{
    int found = config_uplink_index(newer, name);
    for (size_t i = 0; found < 0 && i < newer->uplink_count; i++) {
        const char *before = newer->uplinks[i].common.renamed_from;
        found = before && strcmp(before, name) == 0 ? (int)i : found;
    }
    return found;
}

static int stream_of(const struct config *newer, const char *name)
{
    int found = config_stream_index(newer, name);
    for (size_t i = 0; found < 0 && i < newer->stream_count; i++) {
        const char *before = newer->streams[i].options.renamed_from;
        found = before && strcmp(before, name) == 0 ? (int)i : found;
    }
    return found;
}

static void look_owed(void *context, const char *uplink, const char *stream, uint64_t count)
{
    struct taking *t = context;
    int u = uplink_of(t->newer, uplink);
    int s = stream_of(t->newer, stream);
    if (!t->e && (u < 0 || s < 0 || !(t->newer->streams[s].uplinks >> u & 1))) {
        why_set(t->why,
                "%" PRIu64 " events of stream %s are still to be delivered by uplink %s, which the "
                "configuration does not carry any more: bring them back until they are delivered, "
                "say renamed_from when they have another name now, or let them go: "
                "weir buffer drop --uplink %s --stream %s",
                count, stream, uplink, uplink, stream);
        t->e = ERR_CONFIG;
    }
}

enum err agent_may_take(const struct agent *agent, const struct config *newer, struct why *why)
{
    struct taking t = {.newer = newer, .why = why};
    forward_owed_each(agent->forward, look_owed, &t);
    return t.e;
}

/* --- when the agent is opened anew --- */

struct stream_before {
    char name[STREAM_NAME_SIZE_MAX];
    uint64_t configured;
    bool is_refused;
};

struct reload_before {
    size_t count;
    struct stream_before streams[];
};

enum err reload_before_open(struct reload_before **ret, const struct agent *agent)
{
    size_t count = agent->setup.config->stream_count;
    struct reload_before *before = calloc(1, sizeof *before + count * sizeof *before->streams);
    if (!before) {
        return ERR_NOMEM;
    }
    before->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct agent_stream *s = &agent->streams[i];
        (void)snprintf(before->streams[i].name, sizeof before->streams[i].name, "%s", s->name);
        before->streams[i].configured = s->configured;
        before->streams[i].is_refused = s->refusal != NULL;
    }
    *ret = before;
    return ERR_OK;
}

void reload_before_close(struct reload_before *before)
{
    free(before);
}

static bool is_as_before(const struct reload_before *before, const struct agent_stream *stream)
{
    for (size_t i = 0; before && i < before->count; i++) {
        const struct stream_before *b = &before->streams[i];
        if (strcmp(b->name, stream->name) == 0) {
            return b->configured == stream->configured && !b->is_refused && !stream->refusal;
        }
    }
    return before || !stream->refusal; /* a new one */
}

void reload_before_answer(const struct reload_before *before, const struct agent *agent,
                          const struct agent_reload_setup *setup, struct out *json)
{
    char text[EVENTS_TEXT_SIZE_MAX] = "";
    const char *comma = "";
    out_put_text(json, "{\"reloaded\":true,\"streams\":[");
    for (size_t i = 0; i < setup->newer->stream_count; i++) {
        const struct agent_stream *s = &agent->streams[i];
        if (is_as_before(before, s)) {
            continue;
        }
        text[0] = '\0';
        if (s->refusal) {
            gate_refusal_text(s->refusal, text, sizeof text);
        } else {
            tell_accepted(agent, s);
        }
        out_put_text(json, comma);
        comma = ",";
        say_stream(json, s, s->refusal ? "refused" : "accepted", text);
    }
    if (put_paths(json, agent, setup)) {
        json->overflow = true;
    }
}
