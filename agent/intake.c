#include "agent/intake.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map.h"
#include "agent/raw.h"
#include "agent/time_trust.h"
#include "config/template.h"
#include "ports/clock.h"
#include "ports/fault.h"
#include "ports/log.h"

#define PRIORITY_AT_ONCE 7
#define TEMPLATE_SIZE_MAX 4096
#define COUNTER_MAX 16
#define TICKET_RING 4 /* commits still to come: one is being committed, one is being filled */

/* One way from a driver to a stream. */
struct route {
    const char *pattern; /* NULL: everything */
    size_t stream;       /* index */
    const struct option_map *set;
};

/* All tickets up to `ticket` are durable with commit `commit`. */
struct pending_ticket {
    uint64_t ticket;
    uint64_t commit;
};

struct driver_host {
    struct intake *intake;
    const struct config_driver *config;
    uint16_t number;
    struct driver *driver;
    struct route *routes;
    size_t route_count;
    uint64_t ticket;                            /* last given */
    struct pending_ticket pending[TICKET_RING]; /* one entry a commit */
    size_t pending_first, pending_count;
    bool refused; /* resume() is owed */
    uint64_t received, refused_count, stored, aside, unknown;
    struct why fault;
    char counter_names[COUNTER_MAX][32];
    uint64_t counters[COUNTER_MAX];
    size_t counter_count;
};

struct intake {
    struct intake_setup setup;
    struct intake_stream *streams;
    struct driver_host *hosts;
    size_t host_count;
    struct mapper *mapper;
    struct out datum;
    struct time_source trust;
    struct map_override overrides[MAP_OVERRIDE_MAX];
    struct out texts;  /* of the overrides */
    struct why reason; /* of the last event that was set aside */
    bool stopped;
    bool resuming;
};

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

static enum err host_routes(struct driver_host *host)
{
    const struct driver_common *common = &host->config->common;
    const struct route_options *options = common->routes.items;
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

static const struct route *route_find(const struct driver_host *host, struct slice subject)
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
                                  .text = {intake->texts.data + start, intake->texts.size - start}};
    }
    return count;
}

/* --- one event --- */

static enum err map_event(struct driver_host *host, const struct event *event,
                          const struct route *route, struct stored_event *ret)
{
    struct intake *intake = host->intake;
    const struct intake_stream *stream = &intake->streams[route->stream];
    struct map_result result;
    struct map_task task = {.record = avro_schema_root(stream->schema),
                            .body_kind = event->body_kind,
                            .body = event->body,
                            .fields = event->fields,
                            .field_count = event->field_count,
                            .overrides = intake->overrides,
                            .override_count = route_overrides(host, event, route->set),
                            .time_field = stream->config->options.time,
                            .unknown_is_refused =
                                stream->config->options.unknown_fields == STREAM_UNKNOWN_SET_ASIDE};
    enum err e = map_run(intake->mapper, &task, &intake->datum, &result, &intake->reason);
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
static enum err make_event(struct driver_host *host, const struct event *event,
                           const struct route *route, struct stored_event *ret)
{
    struct intake *intake = host->intake;
    const struct intake_stream *stream = &intake->streams[route->stream];
    *ret = (struct stored_event){.stream = stream->number, .schema = stream->schema_number};
    intake->datum.size = 0;
    intake->datum.overflow = false;
    stamp(intake, event, ret);
    enum err e = ERR_OK;
    if (!stream->config->options.schema) {
        raw_put(&intake->datum, &ret->fills[0], ret->trust != TIME_BOOT, ret->time_us,
                cut(event->source, EVENT_SUBJECT_SIZE_MAX),
                cut(event->subject, EVENT_SUBJECT_SIZE_MAX), event->body);
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

/* --- tickets --- */

static void ticket_give(struct driver_host *host, uint64_t commit, uint64_t *ret_ticket)
{
    *ret_ticket = ++host->ticket;
    if (host->pending_count > 0) {
        struct pending_ticket *last =
            &host->pending[(host->pending_first + host->pending_count - 1) % TICKET_RING];
        if (last->commit == commit) {
            last->ticket = host->ticket;
            return;
        }
    }
    assert(host->pending_count < TICKET_RING); /* at most three commits are open */
    host->pending[(host->pending_first + host->pending_count++) % TICKET_RING] =
        (struct pending_ticket){host->ticket, commit};
}

static void host_committed(struct driver_host *host, uint64_t commit)
{
    uint64_t told = 0;
    while (host->pending_count > 0 && host->pending[host->pending_first].commit <= commit) {
        told = host->pending[host->pending_first].ticket;
        host->pending_first = (host->pending_first + 1) % TICKET_RING;
        host->pending_count--;
    }
    if (told && host->driver) {
        host->driver->class_->stored(host->driver, told);
    }
}

static int64_t wait_of(const struct driver_host *host, const struct event *event,
                       const struct route *route)
{
    const struct intake *intake = host->intake;
    if (route && intake->streams[route->stream].config->options.priority >= PRIORITY_AT_ONCE) {
        return 0;
    }
    return event->wants_ack ? host->config->common.ack_interval_ms
                            : intake->setup.commit_interval_ms;
}

static enum err put_cursor(struct driver_host *host, const struct event *event, int64_t wait_ms,
                           uint64_t *ret_commit)
{
    struct cursor_change change = {
        .driver = host->number, .key = event->cursor_key, .value = event->cursor};
    assert(event->cursor.size <= CURSOR_SIZE_MAX);
    return event->cursor.size
               ? store_cursor_put(host->intake->setup.store, &change, wait_ms, ret_commit)
               : ERR_OK;
}

/* --- admission --- */

static enum err refuse(struct driver_host *host)
{
    host->refused = true;
    host->refused_count++;
    return ERR_FULL;
}

/* Set aside, with its cursor, in one commit: both are put without a turn of the loop between. */
static enum err set_aside(struct driver_host *host, const struct event *event,
                          const struct route *route, uint64_t *ret_ticket)
{
    struct intake *intake = host->intake;
    uint64_t commit;
    int64_t wait_ms = wait_of(host, event, route);
    struct aside aside = {.time_us = clock_wall_us(),
                          .stream = route ? intake->streams[route->stream].number : 0,
                          .kind = ASIDE_PAYLOAD,
                          .size = event->body_size ? event->body_size : event->body.size,
                          .source = event->source,
                          .reason = slice_of_text(intake->reason.text),
                          .body = event->body};
    if (store_open_room(intake->setup.store, aside.body.size) ||
        store_aside_put(intake->setup.store, &aside, wait_ms, &commit) ||
        put_cursor(host, event, wait_ms, &commit)) {
        return refuse(host);
    }
    host->aside++;
    ticket_give(host, commit, ret_ticket);
    return ERR_OK;
}

static enum err admit(struct driver_host *host, const struct event *event,
                      const struct route *route, const struct stored_event *stored,
                      uint64_t *ret_ticket)
{
    struct store *store = host->intake->setup.store;
    uint64_t commit;
    uint64_t sequence;
    int64_t wait_ms = wait_of(host, event, route);
    if (store_room(store, stored->stream, stored->datum.size) ||
        (stored->trust == TIME_BOOT && time_trust_note(&host->intake->trust, stored, wait_ms)) ||
        store_open_room(store, stored->datum.size)) {
        return refuse(host);
    }
    if (fault_planted("cursor-apart") && put_cursor(host, event, 0, &commit) == ERR_OK) {
        store_commit_now(store);
    }
    if (!fault_planted("cursor-apart") && put_cursor(host, event, wait_ms, &commit)) {
        return refuse(host);
    }
    store_event_put(store, stored, wait_ms, &commit, &sequence);
    host->stored++;
    ticket_give(host, commit, ret_ticket);
    if (fault_planted("told-early")) {
        host_committed(host, commit);
    }
    return ERR_OK;
}

enum err driver_offer(struct driver_host *host, const struct event *event, uint64_t *ret_ticket,
                      const char **ret_aside)
{
    struct intake *intake = host->intake;
    const struct route *route = route_find(host, event->subject);
    struct stored_event stored;
    enum err e = ERR_REJECTED;
    intake->reason.text[0] = 0;
    if (intake->stopped) {
        return refuse(host);
    }
    if (event->unusable) {
        why_set(&intake->reason, "%s", event->unusable);
    } else if (!route) {
        why_set(&intake->reason, "no route takes the subject \"%.*s\"",
                (int)cut(event->subject, 120).size, (const char *)event->subject.data);
    } else {
        e = make_event(host, event, route, &stored);
    }
    e = e ? set_aside(host, event, route, ret_ticket)
          : admit(host, event, route, &stored, ret_ticket);
    if (!e) {
        host->received++;
        if (ret_aside) {
            *ret_aside = intake->reason.text;
        }
    }
    return e;
}

enum err driver_cursor_set(struct driver_host *host, uint32_t key, struct slice value)
{
    uint64_t commit;
    struct cursor_change change = {.driver = host->number, .key = key, .value = value};
    if (store_cursor_put(host->intake->setup.store, &change, host->intake->setup.commit_interval_ms,
                         &commit)) {
        return refuse(host);
    }
    return ERR_OK;
}

void driver_cursor_each(struct driver_host *host,
                        void (*each)(void *context, uint32_t key, struct slice value),
                        void *context)
{
    if (buffer_cursor_each(store_buffer(host->intake->setup.store), host->number, each, context)) {
        log_error(host->config->name, "the stored cursors can't be read: it begins anew");
    }
}

void driver_fault(struct driver_host *host, const struct why *why)
{
    const char *text = why ? why->text : "";
    if (strcmp(host->fault.text, text) == 0) {
        return;
    }
    host->fault = why ? *why : (struct why){""};
    char part[96];
    (void)snprintf(part, sizeof part, "driver %s", host->config->name); /* cut is fine */
    if (why) {
        log_warn(part, "%s", text);
    } else {
        log_info(part, "working again");
    }
}

void driver_count(struct driver_host *host, const char *name, uint64_t add)
{
    for (size_t i = 0; i < host->counter_count; i++) {
        if (strcmp(host->counter_names[i], name) == 0) {
            host->counters[i] += add;
            return;
        }
    }
    if (host->counter_count < COUNTER_MAX) {
        (void)snprintf(host->counter_names[host->counter_count], sizeof host->counter_names[0],
                       "%s", name); /* cut is fine */
        host->counters[host->counter_count++] = add;
    }
}

const char *driver_name(const struct driver_host *host)
{
    return host->config->name;
}

/* --- after a commit --- */

static void intake_committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct intake *intake = context;
    (void)changes;
    for (size_t i = 0; i < intake->host_count; i++) {
        host_committed(&intake->hosts[i], commit);
    }
    if (intake->resuming || intake->stopped) {
        return;
    }
    intake->resuming = true; /* a driver may offer within resume(), and that may commit */
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = &intake->hosts[i];
        if (host->refused && host->driver) {
            host->refused = false;
            host->driver->class_->resume(host->driver);
        }
    }
    intake->resuming = false;
}

static void intake_trouble(void *context, const struct why *why)
{
    if (!why) {
        struct intake *intake = context;
        intake_committed(context, store_committed(intake->setup.store),
                         store_state(intake->setup.store));
    }
}

/* --- opening and closing --- */

static enum err host_open(struct intake *intake, size_t index, struct why *why)
{
    struct driver_host *host = &intake->hosts[index];
    *host = (struct driver_host){.intake = intake,
                                 .config = intake->setup.drivers[index].config,
                                 .number = intake->setup.drivers[index].number};
    enum err e = host_routes(host);
    if (!e) {
        struct driver_setup setup = {.host = host,
                                     .loop = intake->setup.loop,
                                     .names = intake->setup.names,
                                     .options = host->config->options};
        e = host->config->class_->open(&host->driver, &setup, why);
    }
    if (e) {
        why_add(why, "driver %s", host->config->name);
    }
    return e;
}

enum err intake_open(struct intake **ret, const struct intake_setup *setup, struct why *why)
{
    struct intake *intake = calloc(1, sizeof *intake);
    if (!intake) {
        return ERR_NOMEM;
    }
    size_t room = (size_t)setup->event_size_max * 2 + 65536;
    intake->setup = *setup;
    intake->streams = calloc(setup->stream_count, sizeof *intake->streams);
    intake->hosts = calloc(setup->driver_count, sizeof *intake->hosts);
    intake->datum = out_over(malloc(room), room);
    intake->texts = out_over(malloc(TEMPLATE_SIZE_MAX * 4), TEMPLATE_SIZE_MAX * 4);
    enum err e = intake->streams && intake->hosts && intake->datum.data && intake->texts.data
                     ? mapper_open(&intake->mapper)
                     : ERR_NOMEM;
    if (!e) {
        struct store_handler handler = {
            .committed = intake_committed, .trouble = intake_trouble, .context = intake};
        memcpy(intake->streams, setup->streams, setup->stream_count * sizeof *intake->streams);
        e = time_trust_init(&intake->trust, setup->loop, setup->store, why);
        e = e ? e : store_handler_add(setup->store, &handler);
    }
    for (size_t i = 0; !e && i < setup->driver_count; i++) {
        intake->host_count = i + 1;
        e = host_open(intake, i, why);
    }
    if (e) {
        intake_close(intake);
        return e;
    }
    *ret = intake;
    return ERR_OK;
}

void intake_stop(struct intake *intake)
{
    intake->stopped = true;
    for (size_t i = 0; i < intake->host_count; i++) {
        intake->hosts[i].driver->class_->stop(intake->hosts[i].driver);
    }
}

void intake_close(struct intake *intake)
{
    if (!intake) {
        return;
    }
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = &intake->hosts[i];
        if (host->driver) {
            host->driver->class_->close(host->driver);
        }
        free(host->routes);
    }
    time_trust_release(&intake->trust);
    mapper_close(intake->mapper);
    free(intake->datum.data);
    free(intake->texts.data);
    free(intake->streams);
    free(intake->hosts);
    free(intake);
}

/* --- status --- */

void intake_totals(const struct intake *intake, struct intake_totals *ret)
{
    *ret = (struct intake_totals){0};
    for (size_t i = 0; i < intake->host_count; i++) {
        ret->admitted += intake->hosts[i].received;
        ret->stored += intake->hosts[i].stored;
        ret->aside += intake->hosts[i].aside;
        ret->refused += intake->hosts[i].refused_count;
    }
}

static void host_status(const struct driver_host *host, struct out *json)
{
    out_put_json(json, slice_of_text(host->config->name));
    out_put_format(json,
                   ":{\"type\":\"%s\",\"received\":%" PRIu64 ",\"stored\":%" PRIu64
                   ",\"aside\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"unknown_fields\":%" PRIu64,
                   host->config->class_->type, host->received, host->stored, host->aside,
                   host->refused_count, host->unknown);
    for (size_t i = 0; i < host->counter_count; i++) {
        out_put_byte(json, ',');
        out_put_json(json, slice_of_text(host->counter_names[i]));
        out_put_format(json, ":%" PRIu64, host->counters[i]);
    }
    out_put_text(json, ",\"fault\":");
    if (host->fault.text[0]) {
        out_put_json(json, slice_of_text(host->fault.text));
    } else {
        out_put_text(json, "null");
    }
    out_put_byte(json, '}');
}

void intake_status(const struct intake *intake, struct out *json)
{
    out_put_byte(json, '{');
    for (size_t i = 0; i < intake->host_count; i++) {
        out_put_text(json, i ? "," : "");
        host_status(&intake->hosts[i], json);
    }
    out_put_byte(json, '}');
}
