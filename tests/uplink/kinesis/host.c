#include "tests/uplink/kinesis/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/cmocka.h"

/* --- what the uplink calls --- */

void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report)
{
    struct host_part *part = CONTAINER_OF(batch, struct host_part, batch);
    (void)host;
    assert_true(part->is_lent);
    part->is_lent = false;
    part->is_answered = true;
    part->report = *report;
    if (report->result == SEND_OK) {
        batch->part->done = true;
    }
}

void uplink_ready(struct uplink_host *host)
{
    host->ready_count++;
}

void uplink_remote_id_set(struct uplink_host *host, uint32_t schema, struct slice id)
{
    (void)host;
    (void)schema;
    (void)id;
    fail_msg("there are no remote ids here");
}

bool uplink_remote_id(struct uplink_host *host, uint32_t schema, uint8_t *ret_id, size_t *ret_size)
{
    (void)host;
    (void)schema;
    (void)ret_id;
    (void)ret_size;
    return false;
}

void uplink_fault(struct uplink_host *host, const struct why *why)
{
    host->fault_count += why != NULL;
    if (why) {
        assert_true(why->text[0] != '\0'); /* a fault is a sentence */
        host->fault = *why;
    } else {
        host->fault.text[0] = '\0';
    }
}

void uplink_count(struct uplink_host *host, const char *name, uint64_t add)
{
    host->throttled += strcmp(name, "throttled") == 0 ? add : 0;
    host->failed += strcmp(name, "failed") == 0 ? add : 0;
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
    host->wire_bytes += sent + received;
}

/* --- the host --- */

void host_init(struct uplink_host *host, const struct uplink_class *class_, const void *options)
{
    struct loop *loop = host->loop;
    struct names *names = host->names;
    *host = (struct uplink_host){.loop = loop,
                                 .names = names,
                                 .class_ = class_,
                                 .options = options,
                                 .request_size = HOST_WIRE_SIZE,
                                 .stream = {.number = 3, .name = "telemetry", .priority = 3}};
    host->schema.number = 7;
    memcpy(host->schema.fingerprint, "FINGERPR", 8);
    host->messages = calloc(HOST_EVENT_MAX, sizeof *host->messages);
    assert_non_null(host->messages);
}

void host_open(struct uplink_host *host)
{
    struct why why = {""};
    const struct uplink_setup setup = {.host = host,
                                       .loop = host->loop,
                                       .names = host->names,
                                       .options = host->options,
                                       .agent_id = "pump",
                                       .incarnation = 3};
    enum err e = host->class_->open(&host->uplink, &setup, &why);
    if (e) {
        fail_msg("open: %s: %s", err_name(e), why.text);
    }
}

static void parcel_release(struct uplink_host *host)
{
    for (size_t i = 0; i < HOST_PART_MAX; i++) {
        free(host->parts[i].memory);
        host->parts[i] = (struct host_part){.memory = NULL};
    }
    for (size_t i = 0; i < host->message_count; i++) {
        free((void *)(uintptr_t)host->messages[i].body.data);
        free((void *)(uintptr_t)host->messages[i].key.data);
    }
    host->message_count = 0;
}

void host_close(struct uplink_host *host)
{
    host->class_->close(host->uplink);
    host->uplink = NULL;
    parcel_release(host);
    free(host->messages);
    host->messages = NULL;
}

void host_run(struct uplink_host *host, uint64_t ms)
{
    assert_int_equal(loop_turn(host->loop, 0), ERR_OK);
    uint64_t end_ms = loop_now_ms(host->loop) + ms;
    while (loop_now_ms(host->loop) < end_ms) {
        assert_int_equal(loop_turn(host->loop, (int64_t)(end_ms - loop_now_ms(host->loop))),
                         ERR_OK);
    }
}

bool host_run_until(struct uplink_host *host, bool (*is_so)(struct uplink_host *host), uint64_t ms)
{
    assert_int_equal(loop_turn(host->loop, 0), ERR_OK);
    uint64_t end_ms = loop_now_ms(host->loop) + ms;
    while (!is_so(host)) {
        if (loop_now_ms(host->loop) >= end_ms) {
            return false;
        }
        assert_int_equal(loop_turn(host->loop, 20), ERR_OK);
    }
    return true;
}

bool host_target(struct uplink_host *host, uint64_t ms, struct why *why)
{
    enum err e = ERR_AGAIN;
    for (uint64_t waited = 0; waited <= ms; waited += 20) {
        struct target target = {.layout = host->parcel.layout ? host->parcel.layout : LAYOUT_ROWS};
        e = host->class_->target(host->uplink, &host->stream, &host->schema, &target, why);
        if (!e) {
            host->target = target;
            return true;
        }
        if (e != ERR_AGAIN) {
            return false;
        }
        host_run(host, 20);
    }
    return false;
}

/* --- parcels --- */

static uint32_t place(const struct uplink_host *host, size_t index)
{
    const struct message *message = &host->messages[index];
    return host->class_->place(&host->target, message->key, message->sequence);
}

/* Wire bytes of the messages of one bucket. */
static void make(struct uplink_host *host, uint32_t index)
{
    struct host_part *hp = &host->parts[index];
    struct part *part = &host->parcel.parts[index];
    struct message *own = calloc(host->message_count, sizeof *own);
    assert_non_null(own);
    size_t count = 0, size = 4096;
    for (size_t i = 0; i < host->message_count; i++) {
        if (place(host, i) == part->partition) {
            own[count++] = host->messages[i];
            size += host->messages[i].body.size + 256;
        }
    }
    free(hp->memory);
    hp->memory = malloc(size);
    assert_non_null(hp->memory);
    hp->batch = (struct batch){.parcel = &host->parcel,
                               .part = part,
                               .stream = &host->stream,
                               .schema = &host->schema,
                               .target = host->target,
                               .messages = own,
                               .message_count = count,
                               .first = part->first,
                               .last = part->last,
                               .event_count = (uint32_t)count,
                               .lane = host->stream.priority,
                               .identity = "pump/3"};
    struct out out = out_over(hp->memory, size);
    assert_int_equal(host->class_->wrap(host->options, &hp->batch, &out), ERR_OK);
    assert_false(out.overflow);
    hp->batch.messages = NULL;
    hp->batch.wire_memory = hp->memory;
    hp->batch.wire = out_slice(&out);
    free(own);
}

void host_make_again(struct uplink_host *host, uint32_t part)
{
    assert_false(host->parts[part].is_lent);
    make(host, part);
}

static struct slice text_new(size_t size, const char *format, uint64_t number)
{
    char *text = calloc(1, (size < 32 ? 32 : size) + 1);
    assert_non_null(text);
    (void)snprintf(text, 32, "%s%06" PRIu64, format, number);
    size_t own = strlen(text);
    memset(text + own, 'x', size > own ? size - own : 0);
    return (struct slice){(const uint8_t *)text, size > own ? size : own};
}

void host_cut(struct uplink_host *host, uint64_t first, size_t count, size_t size, unsigned keys)
{
    assert_true(count <= HOST_EVENT_MAX);
    parcel_release(host);
    host->parcel = (struct parcel){.uplink = 1,
                                   .stream = host->stream.number,
                                   .layout = LAYOUT_ROWS,
                                   .range = {first, first + count - 1},
                                   .partition_count = host->target.partition_count};
    memcpy(host->parcel.target, host->target.name, sizeof host->parcel.target);
    for (size_t i = 0; i < count; i++) {
        host->messages[i] = (struct message){
            .body = text_new(size, "", first + i), .sequence = first + i, .event_count = 1};
        if (keys) {
            host->messages[i].key = text_new(0, "key ", i % keys);
        }
    }
    host->message_count = count;
    for (size_t i = 0; i < count; i++) {
        uint32_t bucket = place(host, i), p = 0;
        assert_true(bucket < host->target.partition_count);
        while (p < host->parcel.part_count && host->parcel.parts[p].partition != bucket) {
            p++;
        }
        if (p == host->parcel.part_count) {
            host->parcel.parts[p] =
                (struct part){.partition = bucket, .first = first, .last = first + count - 1};
            host->parcel.part_count++;
        }
    }
    for (uint32_t p = 0; p < host->parcel.part_count; p++) {
        make(host, p);
        assert_int_equal(host->class_->assign(host->uplink, &host->parcel, &p, 1), ERR_OK);
        assert_true(host->parcel.parts[p].assigned);
    }
}

void host_send(struct uplink_host *host, uint32_t part)
{
    struct host_part *hp = &host->parts[part];
    assert_false(hp->is_lent);
    hp->is_lent = true;
    hp->is_answered = false;
    hp->batch.again = hp->tries++ > 0;
    host->class_->send(host->uplink, &hp->batch);
    assert_true(hp->is_lent); /* never within send() */
}

static bool all_answered(struct uplink_host *host)
{
    for (uint32_t i = 0; i < host->parcel.part_count; i++) {
        if (host->parts[i].is_lent) {
            return false;
        }
    }
    return true;
}

static bool all_done(const struct uplink_host *host)
{
    for (uint32_t i = 0; i < host->parcel.part_count; i++) {
        if (!host->parcel.parts[i].done) {
            return false;
        }
    }
    return true;
}

bool host_send_all(struct uplink_host *host, uint64_t ms)
{
    for (uint32_t i = 0; i < host->parcel.part_count; i++) {
        if (!host->parcel.parts[i].done) {
            host_send(host, i);
        }
    }
    return host_run_until(host, all_answered, ms);
}

bool host_deliver(struct uplink_host *host, uint64_t ms)
{
    assert_int_equal(loop_turn(host->loop, 0), ERR_OK);
    uint64_t end_ms = loop_now_ms(host->loop) + ms;
    while (loop_now_ms(host->loop) < end_ms) {
        if (!host_send_all(host, end_ms - loop_now_ms(host->loop))) {
            return false;
        }
        if (all_done(host)) {
            return true;
        }
        host_run(host, 200);
    }
    return false;
}

const struct send_report *host_report(const struct uplink_host *host)
{
    assert_int_equal(host->parcel.part_count, 1);
    assert_true(host->parts[0].is_answered);
    return &host->parts[0].report;
}
