#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/intake_impl.h"
#include "agent/raw.h"
#include "config/template.h"

/* --- routes --- */

static size_t stream_index(const struct intake *intake, const char *name)
{
    for (size_t i = 0; i < intake->setup.stream_count; i++) {
        if (strcmp(intake->streams[i].config->name, name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

void driver_host_routes_drop(struct driver_host *host)
{
    free(host->routes);
    host->routes = NULL;
    host->route_count = 0;
}

enum err driver_host_routes(struct driver_host *host)
{
    const struct driver_common *common = &host->config->common;
    const struct route_options *options = common->routes.items;
    driver_host_routes_drop(host);
    host->routes = calloc(common->routes.count + 1, sizeof *host->routes);
    if (!host->routes) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < common->routes.count; i++) {
        host->routes[host->route_count++] = (struct route){
            options[i].topic, stream_index(host->intake, options[i].stream), &options[i].set};
    }
    if (common->stream) {
        host->routes[host->route_count++] =
            (struct route){NULL, stream_index(host->intake, common->stream), &common->set};
    } else if (common->routes.count == 0) {
        host->routes[host->route_count++] =
            (struct route){NULL, 0, &common->set}; /* config: there is one stream only */
    }
    for (size_t i = 0; i < host->route_count; i++) {
        assert(host->routes[i].stream <
               host->intake->setup.stream_count); /* config has checked the names */
    }
    return ERR_OK;
}

const struct route *driver_host_route(const struct driver_host *host, struct slice subject)
{
    for (size_t i = 0; i < host->route_count; i++) {
        if (!host->routes[i].pattern || route_match(host->routes[i].pattern, subject)) {
            return &host->routes[i];
        }
    }
    return NULL;
}

/* One piece of a template, as text. */
static struct slice piece_text(struct driver_host *host, const struct event *event,
                               const struct template_piece *piece)
{
    struct slice text = {NULL, 0};
    switch (piece->kind) {
    case TEMPLATE_TEXT:
        return piece->text;
    case TEMPLATE_TOPIC:
        return event->subject;
    case TEMPLATE_TOPIC_LEVEL:
        return route_level(event->subject, piece->level, &text) ? text : (struct slice){NULL, 0};
    case TEMPLATE_SOURCE:
        return event->source;
    case TEMPLATE_DRIVER:
        return slice_of_text(host->config->name);
    case TEMPLATE_AGENT:
        return slice_of_text(host->intake->setup.agent_id);
    case TEMPLATE_PAYLOAD:
        return event->body_kind == BODY_JSON
                   ? map_payload_text(host->intake->mapper, event->body, piece->text)
                   : text;
    case TEMPLATE_TIME:
    case TEMPLATE_ID:
    case TEMPLATE_TIME_TRUST:
        return text; /* filled in when packing */
    }
    return text;
}

static size_t route_overrides(struct driver_host *host, const struct event *event,
                              const struct option_map *set)
{
    struct intake *intake = host->intake;
    const char *const *templates = set->items;
    size_t count = 0;
    intake->texts.size = 0;
    intake->texts.overflow = false;
    for (size_t i = 0; i < set->count && count < MAP_OVERRIDE_MAX; i++) {
        struct slice rest = slice_of_text(templates[i]);
        struct template_piece piece;
        size_t start = intake->texts.size;
        while (template_next(&rest, &piece, NULL) == ERR_OK) {
            out_put_slice(&intake->texts, piece_text(host, event, &piece));
        }
        intake->overrides[count++] =
            (struct map_override){.field = slice_of_text(set->names[i]),
                                  .text = {intake->texts.data + start, intake->texts.size - start},
                                  .fill = map_fill_of_template(templates[i])};
    }
    return count;
}

/* --- one event --- */

static enum err map_event(struct driver_host *host, const struct event *event,
                          const struct route *route, struct stored_event *ret)
{
    struct intake *intake = host->intake;
    const struct intake_stream *stream = &intake->streams[route->stream];
    struct lossy *lossy = intake->lossy[route->stream];
    struct map_result result;
    struct map_task task = {
        .record = avro_schema_root(stream->schema),
        .body_kind = event->body_kind,
        .body = event->body,
        .fields = event->fields,
        .field_count = event->field_count,
        .overrides = intake->overrides,
        .override_count = route_overrides(host, event, route->set),
        .steps = lossy ? lossy->steps : NULL,
        .step_count = lossy ? lossy->step_count : 0,
        .field_ends = lossy && lossy->deadband ? deadband_ends(lossy->deadband) : NULL,
        .time_field = stream->config->options.time,
        .unknown_is_kept = stream->config->options.unknown_fields == STREAM_UNKNOWN_EXTEND,
        .unknown_is_refused = stream->config->options.unknown_fields == STREAM_UNKNOWN_SET_ASIDE,
        .missing_is_refused = stream->config->options.missing_fields == STREAM_MISSING_SET_ASIDE};
    enum err e = map_run(intake->mapper, &task, &intake->datum, &result, &intake->reason);
    if (!e && result.unknown_kept > 0) {
        e = intake->setup.extend(intake->setup.context, route->stream, result.unknowns,
                                 result.unknown_kept, &intake->reason);
        intake->must_wait = e == ERR_FULL;
    }
    if (e) {
        return e;
    }
    host->unknown += result.unknown_count;
    ret->fill_count = result.fill_count;
    memcpy(ret->fills, result.fills, sizeof ret->fills);
    if (result.has_time) {
        ret->time_us = result.time_us;
        ret->trust = TIME_PAYLOAD;
    }
    return ERR_OK;
}

static void stamp(struct intake *intake, const struct event *event, struct stored_event *ret)
{
    if (event->has_time) {
        ret->time_us = event->time_us;
        ret->trust = TIME_PAYLOAD;
    } else if (intake->arrival) {
        ret->time_us = intake->arrival->time_us;
        ret->trust = intake->arrival->trust;
    } else {
        time_trust_stamp(&intake->trust, ret);
    }
}

static struct slice cut(struct slice s, size_t size_max)
{
    s.size = s.size < size_max ? s.size : size_max;
    return s;
}

/* The event as it will be stored. Not ERR_OK: set aside for intake->reason. */
enum err intake_make_event(struct driver_host *host, const struct event *event,
                           const struct route *route, struct stored_event *ret)
{
    struct intake *intake = host->intake;
    const struct intake_stream *stream = &intake->streams[route->stream];
    *ret = (struct stored_event){.stream = stream->number, .schema = stream->schema_number};
    intake->datum.size = 0;
    intake->datum.overflow = false;
    intake->must_wait = false;
    stamp(intake, event, ret);
    enum err e = ERR_OK;
    if (stream->is_raw) {
        struct raw_event raw = {.time_is_known = ret->trust != TIME_BOOT,
                                .time_us = ret->time_us,
                                .source = cut(event->source, EVENT_SUBJECT_SIZE_MAX),
                                .subject = cut(event->subject, EVENT_SUBJECT_SIZE_MAX),
                                .body = event->body};
        raw_put(&raw, &intake->datum, &ret->fills[0]);
        ret->fill_count = ret->fills[0].kind != FILL_NONE;
    } else {
        e = map_event(host, event, route, ret);
    }
    if (!e &&
        (intake->datum.overflow || intake->datum.size > (size_t)intake->setup.event_size_max)) {
        why_set(&intake->reason, "%zu bytes, and event_size_max is %lld", intake->datum.size,
                (long long)intake->setup.event_size_max);
        e = ERR_REJECTED;
    }
    ret->datum = out_slice(&intake->datum);
    return e;
}
