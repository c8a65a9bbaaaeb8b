/* One line of a sample becomes an event, by the stream's route, schema and mapping. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/map.h"
#include "agent/plan_sample.h"
#include "agent/raw.h"
#include "config/template.h"
#include "uplink/avro/encode.h"

#define BLOCK_SIZE (1024 * 1024)
#define SUBJECT_LEVEL "x" /* stands for a level of a topic that is not known */

struct plan_block {
    struct plan_block *next;
    struct out bytes;
};

static enum err keep_bytes(struct plan_sample *sample, struct slice bytes, struct slice *ret)
{
    struct plan_block *block = sample->blocks;
    if (!block || block->bytes.size_max - block->bytes.size < bytes.size) {
        size_t size = bytes.size > BLOCK_SIZE ? bytes.size : BLOCK_SIZE;
        block = malloc(sizeof *block + size);
        if (!block) {
            return ERR_NOMEM;
        }
        *block = (struct plan_block){.next = sample->blocks, .bytes = out_over(block + 1, size)};
        sample->blocks = block;
    }
    *ret = (struct slice){block->bytes.data + block->bytes.size, bytes.size};
    out_put_slice(&block->bytes, bytes);
    return ERR_OK;
}

void plan_map_release(struct plan_sample *sample)
{
    while (sample->blocks) {
        struct plan_block *block = sample->blocks;
        sample->blocks = block->next;
        free(block);
    }
}

/* Takes the event over; its datum is copied. Its time stands in at_ms until the sample is
 * complete. */
static enum err add_event(struct plan_sample *sample, struct plan_stream *stream,
                          struct stored_event *event, struct why *why)
{
    if (sample->event_count == PLAN_EVENT_MAX) {
        why_set(why, "a sample has at most %d events", PLAN_EVENT_MAX);
        return ERR_CONFIG;
    }
    if (stream->count == stream->room) {
        size_t room = stream->room ? stream->room * 2 : 1024;
        struct stored_event *events = realloc(stream->events, room * sizeof *events);
        stream->events = events ? events : stream->events;
        int64_t *at_ms = events ? realloc(stream->at_ms, room * sizeof *at_ms) : NULL;
        stream->at_ms = at_ms ? at_ms : stream->at_ms;
        if (!at_ms) {
            return ERR_NOMEM;
        }
        stream->room = room;
    }
    event->stream = stream->forward.info.number;
    event->schema = stream->info.number;
    event->sequence = stream->count + 1;
    enum err e = keep_bytes(sample, event->datum, &event->datum);
    if (!e) {
        stream->at_ms[stream->count] = event->trust == TIME_PAYLOAD ? event->time_us : INT64_MIN;
        stream->events[stream->count++] = *event;
        sample->event_count++;
    }
    return e;
}

/* --- the stream's route --- */

struct found_route {
    const struct config_driver *driver; /* NULL: none leads to the stream */
    const struct option_map *set;
    const char *pattern; /* NULL: everything */
};

static struct found_route route_to(const struct config *config, const char *stream)
{
    for (size_t i = 0; i < config->driver_count; i++) {
        const struct config_driver *d = &config->drivers[i];
        const struct route_options *routes = d->common.routes.items;
        for (size_t k = 0; k < d->common.routes.count; k++) {
            if (strcmp(routes[k].stream, stream) == 0) {
                return (struct found_route){d, &routes[k].set, routes[k].topic};
            }
        }
        bool is_only = !d->common.stream && d->common.routes.count == 0;
        if (is_only || (d->common.stream && strcmp(d->common.stream, stream) == 0)) {
            return (struct found_route){d, &d->common.set, NULL};
        }
    }
    return (struct found_route){NULL, NULL, NULL};
}

/* The value of an option of the driver's class; NULL: it has none of that name and kind. */
static const void *option_value(const struct config_driver *driver, const char *name,
                                enum option_kind kind)
{
    for (const struct option *o = driver->class_->options; o && o->name; o++) {
        if (strcmp(o->name, name) == 0 && o->kind == kind) {
            return (const uint8_t *)driver->options + o->offset;
        }
    }
    return NULL;
}

void plan_map_source(const struct config *config, struct plan_stream *stream)
{
    struct found_route route = route_to(config, stream->forward.info.name);
    const char *type = route.driver ? route.driver->class_->type : "";
    bool wants_ack = strcmp(type, "http") == 0 || strcmp(type, "mqtt") == 0;
    stream->wait_ms = stream->forward.info.priority >= PRIORITY_URGENT ? 0
                      : wants_ack ? route.driver->common.ack_interval_ms
                                  : config->buffer.commit_interval_ms;
    const int64_t *poll = route.driver ? option_value(route.driver, "poll", OPTION_DURATION) : NULL;
    stream->poll_ms = poll ? *poll : 0;
}

/* A pattern, with something where it leaves a level open. */
static void put_pattern(const char *pattern, struct out *o)
{
    for (const char *c = pattern; *c; c++) {
        bool is_open = *c == '+' || *c == '#' || *c == '*';
        out_put_text(o, is_open ? SUBJECT_LEVEL : "");
        if (!is_open) {
            out_put_byte(o, (uint8_t)*c);
        }
    }
}

/* Where the route's events come from: the file that its driver reads; NULL: it reads none. */
static const char *path_of(const struct found_route *route)
{
    const struct option_list *paths =
        route->driver ? option_value(route->driver, "paths", OPTION_LIST) : NULL;
    const char *const *path =
        route->driver ? option_value(route->driver, "path", OPTION_PATH) : NULL;
    return paths && paths->count > 0 ? *(const char *const *)paths->items : path ? *path : NULL;
}

/* The subject of events that the route takes. */
static void put_subject(const struct found_route *route, struct out *o)
{
    const char *path = path_of(route);
    put_pattern(path ? path : route->pattern ? route->pattern : SUBJECT_LEVEL, o);
}

/* As drivers have it: "tail /var/log/app.log:1234". */
static void put_source(const struct found_route *route, uint64_t offset, struct out *o)
{
    out_put_format(o, "%s ", route->driver ? route->driver->class_->type : "");
    put_subject(route, o);
    if (path_of(route)) {
        out_put_byte(o, ':');
        out_put_number(o, offset);
    }
}

/* True when the piece is about the subject. */
static bool put_piece(struct plan_sample *sample, const struct found_route *route,
                      const struct template_piece *piece, struct slice payload, struct out *o)
{
    uint8_t memory[EVENT_SUBJECT_SIZE_MAX];
    struct out subject = out_over(memory, sizeof memory);
    struct slice level;
    switch (piece->kind) {
    case TEMPLATE_TEXT:
        out_put_slice(o, piece->text);
        break;
    case TEMPLATE_TOPIC:
        put_subject(route, o);
        return true;
    case TEMPLATE_TOPIC_LEVEL:
        put_subject(route, &subject);
        if (route_level(out_slice(&subject), piece->level, &level)) {
            out_put_slice(o, level);
        }
        return true;
    case TEMPLATE_SOURCE:
        put_source(route, sample->event_count, o);
        break;
    case TEMPLATE_DRIVER:
        out_put_text(o, route->driver->name);
        break;
    case TEMPLATE_AGENT:
        out_put_text(o, sample->agent_id);
        break;
    case TEMPLATE_PAYLOAD:
        out_put_slice(o, map_payload_text(sample->mapper, payload, piece->text));
        break;
    case TEMPLATE_TIME:
    case TEMPLATE_ID:
    case TEMPLATE_TIME_TRUST:
        break; /* filled in when packing */
    }
    return false;
}

/* What the route sets. A field that it takes from the topic may stand in the line instead, because a
 * sample knows no topics. */
static size_t put_overrides(struct plan_sample *sample, const struct found_route *route,
                            struct slice payload, struct out *texts,
                            struct map_override ret[MAP_OVERRIDE_MAX])
{
    size_t count = 0;
    const char *const *templates = route->set ? route->set->items : NULL;
    for (size_t i = 0; route->set && i < route->set->count && count < MAP_OVERRIDE_MAX; i++) {
        struct slice rest = slice_of_text(templates[i]);
        struct slice name = slice_of_text(route->set->names[i]);
        struct template_piece piece;
        size_t start = texts->size;
        bool is_of_topic = false;
        while (template_next(&rest, &piece, NULL) == ERR_OK) {
            is_of_topic = put_piece(sample, route, &piece, payload, texts) || is_of_topic;
        }
        if (!is_of_topic || !map_payload_text(sample->mapper, payload, name).data) {
            ret[count++] = (struct map_override){.field = name,
                                                 .text = {texts->data + start, texts->size - start},
                                                 .fill = map_fill_of_template(templates[i])};
        }
    }
    return count;
}

/* --- one event --- */

static void map_raw(struct plan_sample *sample, const struct plan_stream *stream,
                    const struct found_route *route, struct slice payload,
                    struct stored_event *event)
{
    uint8_t subject_memory[EVENT_SUBJECT_SIZE_MAX];
    uint8_t source_memory[EVENT_SUBJECT_SIZE_MAX + 64];
    struct out subject = out_over(subject_memory, sizeof subject_memory);
    struct out source = out_over(source_memory, sizeof source_memory);
    put_subject(route, &subject);
    put_source(route, stream->source_size + stream->count, &source);
    struct raw_event raw = {
        .source = out_slice(&source), .subject = out_slice(&subject), .body = payload};
    raw_put(&raw, &sample->datum, &event->fills[0]); /* its time is filled in */
    event->fill_count = 1;
}

static enum err map_typed(struct plan_sample *sample, struct plan_stream *stream,
                          const struct found_route *route, struct slice payload,
                          struct stored_event *event, struct why *why)
{
    struct out texts = out_over(sample->texts, sizeof sample->texts);
    struct map_override overrides[MAP_OVERRIDE_MAX];
    struct map_result result;
    const struct stream_config *options = &stream->config->options;
    struct map_task task = {
        .record = avro_schema_root(stream->schema),
        .body_kind = BODY_JSON,
        .body = payload,
        .overrides = overrides,
        .override_count = put_overrides(sample, route, payload, &texts, overrides),
        .time_field = options->time,
        .unknown_is_refused = options->unknown_fields == STREAM_UNKNOWN_SET_ASIDE,
        .missing_is_refused = options->missing_fields == STREAM_MISSING_SET_ASIDE};
    enum err e = map_run(sample->mapper, &task, &sample->datum, &result, why);
    if (e) {
        return e;
    }
    stream->extended +=
        options->unknown_fields == STREAM_UNKNOWN_EXTEND && result.unknown_count > 0;
    event->fill_count = result.fill_count;
    memcpy(event->fills, result.fills, sizeof event->fills);
    event->trust = result.has_time ? TIME_PAYLOAD : TIME_WALL;
    event->time_us = result.has_time ? result.time_us : 0;
    return ERR_OK;
}

enum err plan_map_payload(struct plan_sample *sample, struct plan_stream *stream,
                          struct slice payload, struct why *why)
{
    struct found_route route = route_to(sample->config, stream->forward.info.name);
    struct stored_event event = {.trust = TIME_WALL};
    enum err e = ERR_OK;
    sample->datum.size = 0;
    sample->datum.overflow = false;
    if (stream->is_raw) {
        map_raw(sample, stream, &route, payload, &event);
    } else {
        e = map_typed(sample, stream, &route, payload, &event, why);
    }
    size_t most = (size_t)sample->config->buffer.event_size_max;
    if (!e && (sample->datum.overflow || sample->datum.size > most)) {
        why_set(why, "%zu bytes, and event_size_max is %zu", sample->datum.size, most);
        e = ERR_REJECTED;
    }
    if (e == ERR_REJECTED || e == ERR_CORRUPT || e == ERR_FULL) {
        if (stream->left_out++ == 0) {
            stream->left_out_why = *why;
        }
        return ERR_REJECTED;
    }
    event.datum = out_slice(&sample->datum);
    stream->source_size += e ? 0 : payload.size;
    return e ? e : add_event(sample, stream, &event, why);
}

enum err plan_map_value(struct plan_sample *sample, struct plan_stream *stream, struct slice value,
                        int64_t time_us, struct why *why)
{
    struct stored_event event = {.trust = TIME_PAYLOAD, .time_us = time_us};
    sample->datum.size = 0;
    sample->datum.overflow = false;
    enum err e = avro_encode_json(stream->schema, value, &sample->datum, why);
    event.datum = out_slice(&sample->datum);
    stream->source_size += e ? 0 : value.size;
    return e ? e : add_event(sample, stream, &event, why);
}
