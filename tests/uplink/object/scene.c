#include "tests/uplink/object/scene.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "ports/clock.h"
#include "ports/names.h"
#include "tests/cmocka.h"

#define WAIT_MS 60000
#define EVENT_TIME_US INT64_C(1764000000000000) /* 2025-11-24T16:00:00Z */

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"},{\"name\":"
    "\"s\",\"type\":\"bytes\"}]}";
const struct stream_info scene_stream = {.number = 3, .name = "meters a", .priority = 3};
const struct schema_info scene_schema = {
    .number = 1, .json = {(const uint8_t *)schema_text, sizeof schema_text - 1}};

/* --- what the uplink calls --- */

void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report)
{
    (void)batch;
    host->report = *report;
    host->done_count++;
}

void uplink_ready(struct uplink_host *host)
{
    (void)host;
}

void uplink_fault(struct uplink_host *host, const struct why *why)
{
    host->fault_count += why != NULL;
    (void)snprintf(host->fault, sizeof host->fault, "%s", why ? why->text : "");
}

void uplink_count(struct uplink_host *host, const char *name, uint64_t add)
{
    host->in_doubt += strcmp(name, "in_doubt") == 0 ? add : 0;
}

const char *uplink_name(const struct uplink_host *host)
{
    (void)host;
    return "test";
}

uint32_t uplink_request_size(struct uplink_host *host)
{
    return host->request_size;
}

void uplink_link(const struct uplink_host *host, struct uplink_link *ret)
{
    (void)host;
    *ret = (struct uplink_link){.interface_name = NULL};
}

void uplink_wire_bytes(struct uplink_host *host, uint64_t sent, uint64_t received)
{
    (void)received;
    host->wire_sent += sent;
}

/* --- the service --- */

static void visit_flush(void *context)
{
    struct visit *visit = context;
    (void)visit;
}

static void visit_answer(struct visit *visit, const char *answer)
{
    char text[8192];
    const char *line = strchr(answer, '\n');
    const char *body = strstr(answer, "\n\n");
    const char *payload = body ? body + 2 : "";
    size_t size =
        (size_t)snprintf(text, sizeof text, "HTTP/1.1 %.3s Word\r\nContent-Length: %zu\r\n", answer,
                         strlen(payload));
    while (line && line != body && line[1]) {
        const char *end = strchr(line + 1, '\n');
        size_t length = end ? (size_t)(end - line - 1) : strlen(line + 1);
        size +=
            (size_t)snprintf(text + size, sizeof text - size, "%.*s\r\n", (int)length, line + 1);
        line = end;
    }
    size += (size_t)snprintf(text + size, sizeof text - size, "\r\n%s", payload);
    assert_true(size < sizeof text);
    size_t taken = 0;
    assert_int_equal(stream_write(visit->stream, (struct slice){(uint8_t *)text, size}, &taken),
                     ERR_OK);
    assert_int_equal(taken, size);
}

static void visit_drop(struct visit *visit)
{
    stream_close(visit->stream);
    visit->stream = NULL;
    free(visit->data);
    visit->data = NULL;
    visit->size = visit->room = 0;
}

/* A whole request: kept, and answered. */
static void visit_take(struct visit *visit, size_t head_size, size_t body_size)
{
    struct scene *scene = visit->scene;
    assert_true(scene->asked_count < SCENE_ASKED_MAX && head_size < SCENE_HEAD_SIZE);
    struct asked *asked = &scene->asked[scene->asked_count];
    memcpy(asked->head, visit->data, head_size);
    asked->head[head_size] = 0;
    asked->size = body_size;
    asked->body = malloc(body_size + 1);
    assert_non_null(asked->body);
    memcpy(asked->body, visit->data + head_size, body_size);
    asked->body[body_size] = 0;
    visit->size = 0;
    const char *answer = "200";
    if (scene->answer) {
        answer = scene->answer(scene, asked);
    } else if (scene->answers) {
        for (unsigned i = 0; i <= scene->asked_count && scene->answers[i]; i++) {
            answer = scene->answers[i];
        }
    }
    scene->asked_count++;
    if (strcmp(answer, "drop") == 0) {
        visit_drop(visit);
    } else {
        visit_answer(visit, answer);
    }
}

static bool visit_look(struct visit *visit)
{
    const uint8_t *end = memmem(visit->data, visit->size, "\r\n\r\n", 4);
    if (!end) {
        return false;
    }
    size_t head_size = (size_t)(end - visit->data) + 4;
    struct asked head = {.body = NULL};
    assert_true(head_size < sizeof head.head);
    memcpy(head.head, visit->data, head_size);
    size_t body_size = strtoul(scene_header(&head, "Content-Length"), NULL, 10);
    if (visit->size < head_size + body_size) {
        return false;
    }
    visit_take(visit, head_size, body_size);
    return true;
}

static void visit_readable(void *context)
{
    struct visit *visit = context;
    for (;;) {
        if (visit->room - visit->size < 65536) {
            visit->room = visit->room * 2 + 131072;
            visit->data = realloc(visit->data, visit->room);
            assert_non_null(visit->data);
        }
        size_t got = 0;
        if (stream_read(visit->stream, visit->data + visit->size, visit->room - visit->size,
                        &got)) {
            return;
        }
        visit->size += got;
        if (visit_look(visit) && !visit->stream) {
            return;
        }
    }
}

static void visit_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    visit_drop(context);
}

static const struct stream_handler visit_calls = {visit_flush, visit_readable, visit_flush,
                                                  visit_closed};

static void accepted(void *context, struct stream *stream)
{
    struct scene *scene = context;
    assert_true(scene->visit_count < SCENE_VISIT_MAX);
    struct visit *visit = &scene->visits[scene->visit_count++];
    visit->scene = scene;
    visit->stream = stream;
    stream_take(stream, &visit_calls, visit);
}

const char *scene_line(const struct asked *asked)
{
    static char line[4096];
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(asked->head, "\r"), asked->head);
    return line;
}

const char *scene_header(const struct asked *asked, const char *name)
{
    static char values[4][4096];
    static unsigned next;
    char *value = values[next++ % 4];
    size_t size = strlen(name);
    value[0] = 0;
    for (const char *line = asked->head; line; line = strstr(line, "\r\n")) {
        line += line[0] == '\r' ? 2 : 0;
        if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
            (void)snprintf(value, sizeof values[0], "%.*s", (int)strcspn(line + size + 2, "\r"),
                           line + size + 2);
        }
    }
    return value;
}

/* --- the scene --- */

struct scene *scene_open(const struct uplink_class *class_)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct why why;
    struct listener_options options = {.host = "127.0.0.1"};
    assert_non_null(scene);
    scene->class_ = class_;
    scene->host.request_size = UINT32_MAX;
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    assert_int_equal(listener_open(&scene->listener, scene->loop, &options, accepted, scene, &why),
                     ERR_OK);
    (void)snprintf(scene->url, sizeof scene->url, "http://127.0.0.1:%u",
                   listener_port(scene->listener));
    return scene;
}

void scene_life(struct scene *scene, const void *options)
{
    struct why why = {""};
    struct uplink_setup setup = {.host = &scene->host,
                                 .loop = scene->loop,
                                 .names = scene->names,
                                 .options = options,
                                 .agent_id = "pump 7",
                                 .incarnation = 0x0badcafe};
    if (scene->uplink) {
        scene->class_->close(scene->uplink);
    }
    enum err e = scene->class_->open(&scene->uplink, &setup, &why);
    if (e) {
        fail_msg("open: %s: %s", err_name(e), why.text);
    }
}

void scene_forget(struct scene *scene)
{
    for (unsigned i = 0; i < scene->asked_count; i++) {
        free(scene->asked[i].body);
    }
    scene->asked_count = 0;
}

void scene_answers(struct scene *scene, const char *const *answers)
{
    scene_forget(scene);
    scene->answers = answers;
}

void scene_close(struct scene *scene)
{
    scene_forget(scene);
    if (scene->uplink) {
        scene->class_->stop(scene->uplink, 0);
        scene->class_->close(scene->uplink);
    }
    listener_close(scene->listener);
    for (size_t i = 0; i < scene->visit_count; i++) {
        stream_close(scene->visits[i].stream);
        free(scene->visits[i].data);
    }
    names_close(scene->names);
    loop_close(scene->loop);
    free(scene);
}

/* --- batches --- */

static void put_event(uint64_t number, size_t body_size, bool is_json, struct out *o)
{
    if (is_json) {
        out_put_format(o, "{\"n\":%llu,\"s\":\"\"}", (unsigned long long)number);
        return;
    }
    out_put_varint(o, (int64_t)number);
    out_put_varint(o, (int64_t)body_size);
    uint32_t state = (uint32_t)number * 2654435761U + 1;
    for (size_t i = 0; i < body_size; i++) { /* nothing compresses it */
        state = state * 1664525U + 1013904223U;
        out_put_byte(o, (uint8_t)(state >> 24));
    }
}

static void lot_target(struct lot *lot, struct scene *scene)
{
    struct why why = {""};
    struct target target = {.layout = LAYOUT_ROWS};
    enum err e = scene->class_->target(scene->uplink, &scene_stream, &scene_schema, &target, &why);
    if (e) {
        fail_msg("target: %s: %s", err_name(e), why.text);
    }
    lot->batch.target = target;
    lot->parcel.layout = target.is_json ? LAYOUT_JSON : LAYOUT_ROWS;
    memcpy(lot->parcel.target, target.name, sizeof target.name);
}

enum err lot_make(struct lot *lot, struct scene *scene, const void *options, uint64_t first,
                  uint32_t count, size_t body_size)
{
    size_t room = count * (body_size + 64);
    uint8_t *memory = malloc(room);
    struct message *messages = calloc(count, sizeof *messages);
    assert_true(memory && messages);
    *lot = (struct lot){.wire_size_max = 2 * room + 65536, .messages = messages, .memory = memory};
    lot->wire = malloc(lot->wire_size_max);
    assert_non_null(lot->wire);
    lot_target(lot, scene);
    lot->parcel.stream = scene_stream.number;
    lot->parcel.schema = scene_schema.number;
    lot->parcel.part_count = 1;
    lot->parcel.incarnation = 0x0badcafe;
    lot->parcel.range = (struct range){first, first + count - 1};
    lot->parcel.parts[0] = (struct part){.first = first,
                                         .last = first + count - 1,
                                         .producer_id = -1,
                                         .base_sequence = -1,
                                         .assigned = scene->cuts_before,
                                         .sent_ms = -1};
    struct out o = out_over(memory, room);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = o.size;
        put_event(first + i, body_size, lot->parcel.layout == LAYOUT_JSON, &o);
        messages[i] = (struct message){.body = {memory + at, o.size - at},
                                       .sequence = first + i,
                                       .time_us = EVENT_TIME_US + (int64_t)i,
                                       .event_count = 1};
    }
    struct batch *batch = &lot->batch;
    batch->parcel = &lot->parcel;
    batch->part = &lot->parcel.parts[0];
    batch->stream = &scene_stream;
    batch->schema = &scene_schema;
    batch->message_count = batch->event_count = count;
    batch->first = first;
    batch->last = first + count - 1;
    batch->lane = scene_stream.priority;
    batch->identity = "pump 7/0badcafe";
    enum err e = lot_wrap(lot, scene, options);
    if (!e && scene->class_->built) {
        scene->class_->built(scene->uplink, batch);
    }
    uint32_t part = 0;
    if (!e) {
        e = scene->class_->assign(scene->uplink, &lot->parcel, &part, 1);
    }
    return e;
}

enum err lot_wrap(struct lot *lot, struct scene *scene, const void *options)
{
    struct batch *batch = &lot->batch;
    struct out wire = out_over(lot->wire, lot->wire_size_max);
    batch->messages = lot->messages;
    enum err e = scene->class_->wrap(options, batch, &wire);
    batch->wire = out_slice(&wire);
    batch->wire_memory = lot->wire;
    batch->messages = NULL;
    return e;
}

enum send_result lot_send(struct lot *lot, struct scene *scene)
{
    unsigned before = scene->host.done_count;
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    scene->class_->send(scene->uplink, &lot->batch);
    assert_int_equal(scene->host.done_count, before); /* never within send() */
    while (scene->host.done_count == before) {
        assert_true(clock_monotonic_ms() < end_ms);
        assert_int_equal(loop_turn(scene->loop, 100), ERR_OK);
    }
    return scene->host.report.result;
}

/* --- probes --- */

static void on_found(void *context, const struct probe_finding *finding)
{
    struct scene_found *found = context;
    assert_false(found->is_done);
    assert_true(found->count < SCENE_FOUND_MAX);
    found->items[found->count++] = *finding;
}

static void on_done(void *context)
{
    struct scene_found *found = context;
    assert_false(found->is_done);
    found->is_done = true;
}

void scene_probe(struct scene *scene, const void *options, struct scene_found *ret)
{
    const struct probe_stream streams[] = {{.name = "meters a", .schema = &scene_schema},
                                           {.name = "other", .schema = &scene_schema}};
    struct probe *probe = NULL;
    *ret = (struct scene_found){.count = 0};
    const struct probe_setup setup = {.loop = scene->loop,
                                      .names = scene->names,
                                      .options = options,
                                      .agent_id = "pump 7",
                                      .streams = streams,
                                      .stream_count = 2,
                                      .context = ret,
                                      .found = on_found,
                                      .done = on_done};
    scene_forget(scene);
    assert_int_equal(scene->class_->probe(&probe, &setup), ERR_OK);
    assert_false(ret->is_done);
    while (!ret->is_done) {
        assert_int_equal(loop_turn(scene->loop, 100), ERR_OK);
    }
    probe->close(probe);
}

bool scene_has_found(const struct scene_found *found, enum probe_level level, const char *option,
                     const char *what, const char *text)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct probe_finding *f = &found->items[i];
        if (f->level == level && strcmp(f->option, option) == 0 && strstr(f->what, what) &&
            strstr(f->why.text, text)) {
            return true;
        }
    }
    for (size_t i = 0; i < found->count; i++) { /* what there is instead */
        const struct probe_finding *f = &found->items[i];
        print_message("%d %s: %s: %s\n", (int)f->level, f->option, f->what, f->why.text);
    }
    return false;
}

void lot_release(struct lot *lot)
{
    free(lot->wire);
    free(lot->messages);
    free(lot->memory);
    lot->wire = lot->memory = NULL;
    lot->messages = NULL;
}
