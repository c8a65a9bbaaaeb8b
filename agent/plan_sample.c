#include "agent/plan_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/agent_impl.h"
#include "agent/events.h"
#include "agent/gate.h"
#include "agent/import_file.h"
#include "agent/map.h"
#include "agent/raw.h"
#include "uplink/avro/encode.h"
#include "uplink/layout/columns.h"

#define FILE_NAME_SIZE 4096
#define INCARNATION "0badcafe"
/* 2026-07-01: arrivals of a sample without times begin here; what is later has as many bytes. */
#define BEGIN_US (INT64_C(1782864000) * 1000000)

/* --- streams --- */

static enum err open_stream(struct plan_sample *sample, size_t index, struct why *why)
{
    static const struct config_stream own = {.name = CONFIG_EVENTS_STREAM,
                                             .options = {.priority = EVENTS_PRIORITY}};
    struct plan_stream *s = &sample->streams[index];
    bool is_own = index == sample->config->stream_count;
    const struct config_stream *config = is_own ? &own : &sample->config->streams[index];
    const struct stream_config *options = &config->options;
    s->config = is_own ? NULL : config;
    s->is_raw = !is_own && !options->schema;
    s->forward = (struct forward_stream){.info = {.number = (uint16_t)(index + 1),
                                                  .name = config->name,
                                                  .priority = (uint8_t)options->priority},
                                         .key_field = options->key,
                                         .is_own = is_own};
    enum err e = is_own ? avro_schema_parse(&s->schema, events_schema(), why)
                        : agent_schema_load(options->schema, &s->schema, why);
    s->info =
        (struct schema_info){.number = (uint32_t)(index + 1),
                             .json = e ? (struct slice){NULL, 0} : avro_schema_text(s->schema)};
    e = e ? e : gate_fingerprint(s->schema, s->info.fingerprint);
    e = e ? e : columns_plan_open(&s->plan, s->schema);
    if (!e && s->forward.key_field) {
        e = key_find(&s->key, s->schema, s->forward.key_field, KEY_VALUE, why);
    }
    if (!e && !is_own) {
        plan_map_source(sample->config, s);
    }
    return e;
}

static enum err open_streams(struct plan_sample *sample, struct why *why)
{
    enum err e = ERR_OK;
    sample->stream_count = sample->config->stream_count + 1;
    sample->streams = calloc(sample->stream_count, sizeof *sample->streams);
    for (size_t i = 0; !e && sample->streams && i < sample->stream_count; i++) {
        e = open_stream(sample, i, why);
    }
    return sample->streams ? e : ERR_NOMEM;
}

void plan_sample_close(struct plan_sample *sample)
{
    if (!sample) {
        return;
    }
    for (size_t i = 0; sample->streams && i < sample->stream_count; i++) {
        struct plan_stream *s = &sample->streams[i];
        columns_plan_close(s->plan);
        avro_schema_close(s->schema);
        free(s->events);
        free(s->at_ms);
    }
    free(sample->streams);
    plan_map_release(sample);
    mapper_close(sample->mapper);
    free(sample->datum.data);
    free(sample);
}

/* --- lines --- */

static struct slice unquoted(struct slice json)
{
    return json.size >= 2 ? (struct slice){json.data + 1, json.size - 2} : json;
}

/* A line that `weir buffer export` wrote. */
static enum err take_exported(struct plan_sample *sample, const struct import_line *line,
                              struct why *why)
{
    int64_t seconds = 0;
    uint32_t nanos = 0;
    char name[STREAM_NAME_SIZE_MAX + 1];
    int index = slice_to_text(unquoted(line->stream), name, sizeof name)
                    ? config_stream_index(sample->config, name)
                    : -1;
    if (index < 0) {
        return ERR_OK; /* of a stream that is no more, or the agent's own */
    }
    if (!avro_timestamp_of(unquoted(line->time), false, &seconds, &nanos)) {
        why_set(why, "\"time\" is no time: export events that have one");
        return ERR_REJECTED;
    }
    return plan_map_value(sample, &sample->streams[index], line->event,
                          seconds * 1000000 + nanos / 1000, why);
}

/* `stream` NULL: the line says it. */
static enum err take_line(struct plan_sample *sample, struct plan_stream *stream, struct slice line,
                          struct why *why)
{
    struct import_line parts;
    bool is_ours = false;
    if (!stream) {
        enum err e = import_line_take(line, &is_ours, &parts, why);
        if (e == ERR_NOMEM) {
            return e;
        }
    }
    if (is_ours) {
        return take_exported(sample, &parts, why);
    }
    if (!stream && sample->config->stream_count != 1) {
        why_set(why, "which stream is it of? --stream says it; or name a folder with a file "
                     "STREAM.ndjson for each stream");
        return ERR_CONFIG;
    }
    enum err e = plan_map_payload(sample, stream ? stream : &sample->streams[0], line, why);
    return e == ERR_REJECTED ? ERR_OK : e; /* the agent sets it aside; it is counted */
}

static enum err take_file(struct plan_sample *sample, struct plan_stream *stream, const char *path,
                          struct why *why)
{
    struct slice text;
    unsigned number = 0;
    enum err e = file_read(path, PLAN_FILE_SIZE_MAX, &text, why);
    if (e) {
        return e;
    }
    for (struct slice rest = text; !e && rest.size > 0;) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = end ? (size_t)(end - rest.data) : rest.size;
        struct slice line = {rest.data, size};
        line.size -= size > 0 && line.data[size - 1] == '\r';
        number++;
        e = line.size > 0 ? take_line(sample, stream, line, why) : ERR_OK;
        size += end != NULL;
        rest = (struct slice){rest.data + size, rest.size - size};
    }
    if (e) {
        why_add(why, "%s: line %u", path, number);
    }
    free((void *)(uintptr_t)text.data);
    return e;
}

static enum err take_folder(struct plan_sample *sample, const char *path, struct why *why)
{
    enum err e = ERR_OK;
    size_t found = 0;
    for (size_t i = 0; !e && i < sample->config->stream_count; i++) {
        char name[FILE_NAME_SIZE];
        struct stat st;
        int size =
            snprintf(name, sizeof name, "%s/%s.ndjson", path, sample->config->streams[i].name);
        if (size > 0 && (size_t)size < sizeof name && stat(name, &st) == 0) {
            found++;
            e = take_file(sample, &sample->streams[i], name, why);
        }
    }
    if (!e && found == 0) {
        why_set(why, "%s has no file %s.ndjson, nor one of another stream", path,
                sample->config->stream_count ? sample->config->streams[0].name : "STREAM");
        e = ERR_CONFIG;
    }
    return e;
}

static enum err take_all(struct plan_sample *sample, const struct plan_source *source,
                         struct why *why)
{
    struct stat st;
    int index = source->stream ? config_stream_index(source->config, source->stream) : -1;
    if (source->stream && index < 0) {
        why_set(why, "the configuration has no stream %s", source->stream);
        return ERR_CONFIG;
    }
    if (!source->stream && stat(source->path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return take_folder(sample, source->path, why);
    }
    return take_file(sample, index < 0 ? NULL : &sample->streams[index], source->path, why);
}

/* --- times --- */

static double rate_of(const struct plan_source *source, const char *stream)
{
    double rate = 0;
    for (size_t i = 0; i < source->rate_count; i++) {
        const struct plan_rate *r = &source->rates[i];
        if (r->stream ? strcmp(r->stream, stream) == 0 : rate == 0) {
            rate = r->per_second;
        }
    }
    return rate;
}

/* Of events that have times of their own: the first and the last, over all streams. */
struct span {
    int64_t first_us;
    int64_t last_us;
    size_t count;
};

static enum err find_span(const struct plan_sample *sample, const struct plan_source *source,
                          struct span *ret, struct why *why)
{
    *ret = (struct span){INT64_MAX, INT64_MIN, 0};
    for (size_t i = 0; i < sample->stream_count; i++) {
        const struct plan_stream *s = &sample->streams[i];
        bool is_timed = rate_of(source, s->forward.info.name) == 0;
        for (size_t k = 0; is_timed && k < s->count; k++) {
            int64_t at = s->at_ms[k];
            if (at == INT64_MIN) {
                why_set(why,
                        "stream %s: its events say no time (streams.%s.time names the field that "
                        "does): --rate says how many come in a second",
                        s->forward.info.name, s->forward.info.name);
                return ERR_CONFIG;
            }
            ret->first_us = at < ret->first_us ? at : ret->first_us;
            ret->last_us = at > ret->last_us ? at : ret->last_us;
            ret->count++;
        }
    }
    return ERR_OK;
}

/* When an event comes to the agent: a source that is polled is looked at so often. */
static int64_t arrival(const struct plan_stream *s, double at_ms)
{
    int64_t at = at_ms < 0 ? 0 : (int64_t)at_ms;
    return s->poll_ms > 0 ? (at / s->poll_ms + 1) * s->poll_ms : at;
}

static void set_times(struct plan_stream *s, double rate, const struct span *span, double seconds)
{
    int64_t last = 0;
    s->seconds = rate > 0 ? (double)s->count / rate : seconds;
    for (size_t k = 0; k < s->count; k++) {
        double at_ms =
            rate > 0 ? (double)k * 1000 / rate : (double)(s->at_ms[k] - span->first_us) / 1000;
        int64_t at = arrival(s, at_ms);
        last = at > last ? at : last; /* they come one behind the other */
        s->at_ms[k] = last;
        if (s->events[k].trust != TIME_PAYLOAD) {
            s->events[k].time_us = BEGIN_US + last * 1000;
        }
    }
}

/* The sample's last event stands for as long as the ones before, on the average. */
static enum err put_times(struct plan_sample *sample, const struct plan_source *source,
                          struct why *why)
{
    struct span span;
    enum err e = find_span(sample, source, &span, why);
    if (e) {
        return e;
    }
    double seconds = source->seconds;
    if (span.count > 1 && seconds <= 0) {
        seconds = (double)(span.last_us - span.first_us) / 1e6;
        seconds *= (double)span.count / (double)(span.count - 1);
    }
    if (span.count > 0 && seconds <= 0) {
        why_set(why, "its events are all of one time: --rate says how many come in a second, or "
                     "--duration for how long they stand");
        return ERR_CONFIG;
    }
    sample->seconds = span.count > 0 ? seconds : 0;
    for (size_t i = 0; i < sample->stream_count; i++) {
        struct plan_stream *s = &sample->streams[i];
        double rate = rate_of(source, s->forward.info.name);
        set_times(s, rate, &span, seconds);
        bool is_shorter = sample->seconds <= 0 || s->seconds < sample->seconds;
        sample->seconds = s->count > 0 && rate > 0 && is_shorter ? s->seconds : sample->seconds;
    }
    return ERR_OK;
}

/* --- the hourly record of the agent itself --- */

static enum err put_health(struct plan_sample *sample, struct why *why)
{
    char json[1024];
    struct plan_stream *own = &sample->streams[sample->stream_count - 1];
    struct out datum = sample->datum;
    struct map_result result;
    (void)snprintf(
        json, sizeof json,
        "{\"time\":%lld,\"kind\":\"health\",\"agent\":\"%s\",\"incarnation\":\"" INCARNATION
        "\",\"version\":\"%s\",\"health\":{\"uptime\":1296000,\"backlog\":%zu,"
        "\"backlog_bytes\":65536,\"delivered\":8000000,\"buffer_bytes\":8388608,"
        "\"buffer_share\":15000,\"wear_bytes\":900000000,\"wear_syncs\":500000,"
        "\"clock_trusted\":true}}",
        (long long)BEGIN_US, sample->agent_id, WEIR_VERSION, sample->event_count % 1000);
    struct map_task task = {.record = avro_schema_root(own->schema),
                            .body_kind = BODY_JSON,
                            .body = slice_of_text(json)};
    datum.size = 0;
    enum err e = map_run(sample->mapper, &task, &datum, &result, why);
    struct stored_event event = {.stream = own->forward.info.number,
                                 .schema = own->info.number,
                                 .sequence = 1,
                                 .time_us = BEGIN_US,
                                 .trust = TIME_WALL};
    own->events = e ? NULL : malloc(sizeof *own->events);
    own->at_ms = e ? NULL : calloc(1, sizeof *own->at_ms);
    if (e || !own->events || !own->at_ms) {
        return e ? e : ERR_NOMEM;
    }
    sample->datum = datum;
    event.datum = out_slice(&sample->datum); /* nothing else is mapped any more */
    own->events[0] = event;
    own->count = 1;
    own->seconds = EVENTS_PACE_MS / 1000.0 * EVENTS_HEALTH_PACES;
    return ERR_OK;
}

enum err plan_sample_open(struct plan_sample **ret, const struct plan_source *source,
                          struct why *why)
{
    struct plan_sample *sample = calloc(1, sizeof *sample);
    if (!sample) {
        return ERR_NOMEM;
    }
    size_t room = (size_t)source->config->buffer.event_size_max + 1024;
    sample->config = source->config;
    agent_id_put(source->config, sample->agent_id, sizeof sample->agent_id);
    (void)snprintf(sample->identity, sizeof sample->identity, "%s/" INCARNATION, sample->agent_id);
    sample->datum = out_over(malloc(room), room);
    enum err e = sample->datum.data ? mapper_open(&sample->mapper) : ERR_NOMEM;
    e = e ? e : open_streams(sample, why);
    e = e ? e : take_all(sample, source, why);
    if (!e && sample->event_count == 0) {
        const char *first = sample->streams[0].left_out_why.text;
        why_set(why, "%s has no event that fits%s%s", source->path, first[0] ? ": " : "", first);
        e = ERR_REJECTED;
    }
    e = e ? e : put_times(sample, source, why);
    e = e ? e : put_health(sample, why);
    if (e) {
        plan_sample_close(sample);
        return e;
    }
    *ret = sample;
    return ERR_OK;
}
