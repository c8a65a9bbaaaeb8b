#include "agent/online.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "agent/command.h"
#include "agent/events.h"
#include "agent/raw.h"
#include "ports/clock.h"
#include "ports/log.h"
#include "ports/names.h"
#include "uplink/avro/schema.h"

#define ONLINE_MS_MAX 45000 /* all of it: a probe that has not ended by then is given up */
#define ONLINE_FINDING_MAX 100000
#define ONLINE_PATH_SIZE 256

struct online;

/* One driver or uplink that has a probe. */
struct online_part {
    struct online *online;
    const char *section, *name;
    struct probe *probe; /* NULL: it has none, or is done */
    bool is_waited_for;
    struct probe_finding *findings;
    size_t count, room;
    struct probe_stream *streams;
};

struct online {
    const struct config *config;
    struct loop *loop;
    struct names *names;
    bool agent_runs;
    bool is_terminal; /* stderr: progress is shown there */
    char agent_id[128];
    struct schema_info *schemas; /* of the streams, and behind them of weir.events */
    struct avro_schema **parsed;
    struct online_part *parts; /* drivers, then uplinks */
    size_t part_count, asked_count, done_count;
    struct timer limit;
    bool no_memory;
};

/* --- findings --- */

static void part_found(void *context, const struct probe_finding *finding)
{
    struct online_part *part = context;
    if (part->count == part->room) {
        size_t room = part->room ? 2 * part->room : 16;
        struct probe_finding *grown =
            room <= ONLINE_FINDING_MAX ? realloc(part->findings, room * sizeof *grown) : NULL;
        if (!grown) {
            part->online->no_memory = true;
            return;
        }
        part->findings = grown;
        part->room = room;
    }
    part->findings[part->count++] = *finding;
}

static void online_progress(const struct online *o)
{
    if (o->is_terminal) {
        fprintf(stderr, "\r\033[Kasking the network: %zu of %zu done", o->done_count,
                o->asked_count);
        (void)fflush(stderr); /* only progress */
    }
}

static void part_done(void *context)
{
    struct online_part *part = context;
    struct online *o = part->online;
    part->is_waited_for = false;
    o->done_count++;
    online_progress(o);
    if (o->done_count == o->asked_count) {
        loop_stop(o->loop);
    }
}

static void online_late(struct timer *timer)
{
    struct online *o = CONTAINER_OF(timer, struct online, limit);
    for (size_t i = 0; i < o->part_count; i++) {
        struct online_part *part = &o->parts[i];
        if (part->is_waited_for) {
            struct probe_finding late = {.level = PROBE_ERROR, .what = "all of it"};
            why_set(&late.why, "not finished after %d s: given up", ONLINE_MS_MAX / 1000);
            part_found(part, &late);
        }
    }
    loop_stop(o->loop);
}

/* --- opening --- */

static enum err online_schema(struct online *o, size_t index, const struct stream_config *options,
                              struct slice text)
{
    struct why why;
    enum err e = text.data ? avro_schema_parse(&o->parsed[index], text, &why)
                           : agent_stream_schema_load(options, &o->parsed[index], &why);
    if (!e) {
        o->schemas[index].json = avro_schema_text(o->parsed[index]);
    }
    return e;
}

static enum err online_schemas(struct online *o)
{
    const struct config *config = o->config;
    o->schemas = calloc(config->stream_count + 1, sizeof *o->schemas);
    o->parsed = calloc(config->stream_count + 1, sizeof *o->parsed);
    enum err e = o->schemas && o->parsed ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; !e && i < config->stream_count; i++) {
        e = online_schema(o, i, &config->streams[i].options, (struct slice){NULL, 0});
    }
    return e ? e : online_schema(o, config->stream_count, NULL, events_schema());
}

static enum err part_streams(struct online_part *part, size_t uplink, size_t *ret_count)
{
    const struct online *o = part->online;
    const struct config *config = o->config;
    const struct config_uplink *u = &config->uplinks[uplink];
    bool by_agent = u->by_agent;
    size_t count = 0;
    part->streams = calloc(config->stream_count * 2 + 1, sizeof *part->streams);
    if (!part->streams) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        struct probe_stream stream = {.name = s->name,
                                      .schema = &o->schemas[i],
                                      .has_key = by_agent || s->options.key,
                                      .age_max_ms = s->options.age_max_ms};
        if (s->uplinks >> uplink & 1) {
            part->streams[count++] = stream;
        }
        if (s->uplinks >> uplink & 1 && s->options.dead_letter && u->class_->letter) {
            stream = (struct probe_stream){.name = s->name,
                                           .has_key = true,
                                           .letter_topic = s->options.dead_letter,
                                           .letter_of = s->name};
            part->streams[count++] = stream;
        }
    }
    if (u->carries_events) {
        part->streams[count++] = (struct probe_stream){.name = CONFIG_EVENTS_STREAM,
                                                       .schema = &o->schemas[config->stream_count],
                                                       .has_key = true};
    }
    *ret_count = count;
    return ERR_OK;
}

typedef enum err probe_open(struct probe **ret, const struct probe_setup *setup);

static enum err part_open(struct online_part *part, probe_open *open, const void *options,
                          size_t stream_count)
{
    struct online *o = part->online;
    struct probe_setup setup = {.loop = o->loop,
                                .names = o->names,
                                .options = options,
                                .agent_id = o->agent_id,
                                .streams = part->streams,
                                .stream_count = stream_count,
                                .buffer_size_max = o->config->buffer.size_max,
                                .agent_runs = o->agent_runs,
                                .context = part,
                                .found = part_found,
                                .done = part_done};
    enum err e = open(&part->probe, &setup);
    if (!e) {
        part->is_waited_for = true;
        o->asked_count++;
    }
    return e;
}

static enum err online_parts(struct online *o)
{
    const struct config *config = o->config;
    enum err e = ERR_OK;
    o->part_count = config->driver_count + config->uplink_count;
    o->parts = calloc(o->part_count, sizeof *o->parts);
    if (!o->parts) {
        o->part_count = 0;
        return ERR_NOMEM;
    }
    for (size_t i = 0; !e && i < config->driver_count; i++) {
        const struct config_driver *d = &config->drivers[i];
        o->parts[i] = (struct online_part){.online = o, .section = "drivers", .name = d->name};
        e = d->class_->probe ? part_open(&o->parts[i], d->class_->probe, d->options, 0) : ERR_OK;
    }
    for (size_t i = 0; !e && i < config->uplink_count; i++) {
        const struct config_uplink *u = &config->uplinks[i];
        struct online_part *part = &o->parts[config->driver_count + i];
        *part = (struct online_part){.online = o, .section = "uplinks", .name = u->name};
        if (u->class_->probe) {
            size_t count;
            e = part_streams(part, i, &count);
            e = e ? e : part_open(part, u->class_->probe, u->options, count);
        }
    }
    return e;
}

static enum err online_open(struct online *o)
{
    char *answer = NULL;
    o->agent_runs = command_ask(o->config->agent.socket, "status", &answer, NULL) == ERR_OK;
    free(answer);
    agent_id_put(o->config, o->agent_id, sizeof o->agent_id);
    o->is_terminal = isatty(STDERR_FILENO);
    enum err e = loop_open(&o->loop);
    e = e ? e : names_open(&o->names, o->loop);
    e = e ? e : online_schemas(o);
    if (!e) {
        timer_init(&o->limit, o->loop, online_late);
        timer_arm(&o->limit, ONLINE_MS_MAX);
        e = online_parts(o);
    }
    return e;
}

static void online_close(struct online *o)
{
    for (size_t i = 0; i < o->part_count; i++) {
        if (o->parts[i].probe) {
            o->parts[i].probe->close(o->parts[i].probe);
        }
        free(o->parts[i].findings);
        free(o->parts[i].streams);
    }
    for (size_t i = 0; o->parsed && i <= o->config->stream_count; i++) {
        avro_schema_close(o->parsed[i]);
    }
    free(o->parts);
    free(o->schemas);
    free(o->parsed);
    timer_release(&o->limit);
    names_close(o->names);
    loop_close(o->loop);
}

/* --- printing --- */

static const char *const level_words[] = {
    [PROBE_OK] = "ok", [PROBE_WARNING] = "warning", [PROBE_ERROR] = "error"};

static void finding_path(const struct online_part *part, const struct probe_finding *f,
                         char ret[ONLINE_PATH_SIZE])
{
    (void)snprintf(ret, ONLINE_PATH_SIZE, "$.%s.%s%s%s", part->section, part->name,
                   f->option[0] ? "." : "", f->option); /* names are short */
}

static void put_line(struct out *o, const char *path, const struct probe_finding *f)
{
    out_put_format(o, "%-7s  %s: %s — ", level_words[f->level], path, f->what);
    out_put_text(o, f->why.text);
    for (size_t i = 0; i < o->size; i++) { /* what peers say stays on its line */
        if (o->data[i] < ' ' || o->data[i] == 0x7f) {
            o->data[i] = ' ';
        }
    }
    out_put_text(o, "\n");
}

static void put_json(struct out *o, const char *path, const struct probe_finding *f)
{
    out_put_format(o, "{\"level\":\"%s\",\"path\":", level_words[f->level]);
    out_put_json(o, slice_of_text(path));
    out_put_text(o, ",\"what\":");
    out_put_json(o, slice_of_text(f->what));
    out_put_text(o, ",\"text\":");
    out_put_json(o, slice_of_text(f->why.text));
    out_put_text(o, "}");
}

static void print_finding(const struct online_part *part, const struct probe_finding *f, bool json,
                          bool is_first)
{
    char memory[7168]; /* a finding has at most 1 KiB, and JSON makes six of a byte */
    char path[ONLINE_PATH_SIZE];
    struct out o = out_over(memory, sizeof memory);
    finding_path(part, f, path);
    if (json) {
        out_put_text(&o, is_first ? "\n" : ",\n");
        put_json(&o, path, f);
    } else {
        put_line(&o, path, f);
    }
    (void)fwrite(o.data, 1, o.size, stdout); /* command_finish() looks */
}

static int online_print(const struct online *o, bool json)
{
    unsigned counts[3] = {0};
    bool is_first = true;
    if (json) {
        char memory[6 * 1024];
        struct out path = out_over(memory, sizeof memory - 1);
        out_put_json(&path, slice_of_text(o->config->path));
        memory[path.size] = '\0';
        printf("{\"config\":%s,\"findings\":[", path.overflow ? "null" : memory);
    }
    for (size_t i = 0; i < o->part_count; i++) {
        for (size_t j = 0; j < o->parts[i].count; j++) {
            const struct probe_finding *f = &o->parts[i].findings[j];
            print_finding(&o->parts[i], f, json, is_first);
            counts[f->level]++;
            is_first = false;
        }
    }
    if (json) {
        printf("\n],\"ok\":%u,\"warnings\":%u,\"errors\":%u}\n", counts[PROBE_OK],
               counts[PROBE_WARNING], counts[PROBE_ERROR]);
    } else if (is_first) {
        printf("ok       $: the network — nothing in %s needs it\n", o->config->path);
    }
    int code = command_finish();
    return code == EXIT_FINE && counts[PROBE_ERROR] ? EXIT_NEGATIVE : code;
}

int online_check(const struct config *config, bool json)
{
    struct online o = {.config = config};
    int code = EXIT_FAILED;
    log_level_set(LOG_ERROR); /* what is to be said is in the findings */
    enum err e = online_open(&o);
    if (!e && o.asked_count > 0) {
        online_progress(&o);
        e = loop_run(o.loop);
        if (o.is_terminal) {
            fprintf(stderr, "\r\033[K");
        }
    }
    e = !e && o.no_memory ? ERR_NOMEM : e;
    if (e) {
        fprintf(stderr, "weir check: the network could not be asked: %s\n", err_name(e));
    } else {
        code = online_print(&o, json);
    }
    online_close(&o);
    return code;
}
