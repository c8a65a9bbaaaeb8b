#include "tests/uplink/pubsub_host.h"

#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"

#define WIRE_SIZE_MAX (24 * 1024 * 1024)

void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report)
{
    struct pubsub_lot *lot = CONTAINER_OF(batch, struct pubsub_lot, batch);
    assert_ptr_equal(lot->host, host);
    assert_false(lot->answered);
    lot->answered = true;
    lot->report = *report;
}

void uplink_ready(struct uplink_host *host)
{
    (void)host;
}

void uplink_remote_id_set(struct uplink_host *host, uint32_t schema, struct slice id)
{
    (void)host;
    (void)schema;
    (void)id;
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
    host->fault = why ? *why : (struct why){""};
}

void uplink_count(struct uplink_host *host, const char *name, uint64_t add)
{
    host->halved += strcmp(name, "halved_requests") == 0 ? (unsigned)add : 0;
    host->fallbacks += strcmp(name, "rest_fallbacks") == 0 ? (unsigned)add : 0;
}

const char *uplink_name(const struct uplink_host *host)
{
    (void)host;
    return "cloud";
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
    host->wire_sent += sent;
    host->wire_received += received;
}

void pubsub_host_open(struct uplink_host *host, struct loop *loop, struct names *names,
                      const char *endpoint)
{
    *host = (struct uplink_host){.loop = loop,
                                 .names = names,
                                 .request_size = 16 * 1024 * 1024,
                                 .identity = "pump-7/0000002a",
                                 .options = {.project = "p1",
                                             .topic = "{stream}",
                                             .endpoint = endpoint,
                                             .compress = true,
                                             .request_timeout_ms = 5000},
                                 .stream = {.number = 3, .name = "events", .priority = 3}};
    host->schema = (struct schema_info){.number = 7, .json = SLICE("\"string\"")};
    memcpy(host->schema.fingerprint, "FINGERPR", 8);
}

void pubsub_host_start(struct uplink_host *host)
{
    struct why why = {""};
    const struct uplink_setup setup = {.host = host,
                                       .loop = host->loop,
                                       .names = host->names,
                                       .options = &host->options,
                                       .agent_id = "pump-7",
                                       .incarnation = 42};
    assert_int_equal(pubsub_uplink_class.check(&host->options, &why), ERR_OK);
    enum err e = pubsub_uplink_class.open(&host->uplink, &setup, &why);
    if (e) {
        fail_msg("%s: %s", err_name(e), why.text);
    }
}

void pubsub_host_close(struct uplink_host *host)
{
    pubsub_uplink_class.close(host->uplink);
    host->uplink = NULL;
}

static void messages_make(struct pubsub_lot *lot, uint64_t first, const struct event *events,
                          size_t count, struct message *messages)
{
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &events[i];
        size_t size = event->size ? event->size : strlen(event->text);
        messages[i] = (struct message){
            .body = {(const uint8_t *)event->text, size}, .sequence = first + i, .event_count = 1};
        if (event->key) {
            messages[i].key = slice_of_text(event->key);
        }
    }
    lot->batch.messages = messages;
    lot->batch.message_count = count;
}

enum err pubsub_lot_wrap(struct pubsub_lot *lot, struct uplink_host *host, uint64_t first,
                         const struct event *events, size_t count)
{
    struct why why = {""};
    *lot = (struct pubsub_lot){.host = host};
    lot->parcel = (struct parcel){.stream = 3,
                                  .layout = LAYOUT_ROWS,
                                  .key = PARCEL_KEY_FIELD,
                                  .range = {first, first + count - 1},
                                  .partition_count = 16,
                                  .part_count = 1};
    lot->parcel.parts[0] = (struct part){.first = first, .last = first + count - 1};
    lot->batch = (struct batch){.parcel = &lot->parcel,
                                .part = &lot->parcel.parts[0],
                                .stream = &host->stream,
                                .schema = &host->schema,
                                .first = first,
                                .last = first + count - 1,
                                .event_count = (uint32_t)count,
                                .lane = host->stream.priority,
                                .identity = host->identity};
    lot->batch.target.layout = LAYOUT_ROWS;
    assert_int_equal(pubsub_uplink_class.target(host->uplink, &host->stream, &host->schema,
                                                &lot->batch.target, &why),
                     ERR_OK);
    struct message *messages = calloc(count, sizeof *messages);
    lot->memory = malloc(WIRE_SIZE_MAX);
    assert_true(messages && lot->memory);
    messages_make(lot, first, events, count, messages);
    struct out o = out_over(lot->memory, WIRE_SIZE_MAX);
    enum err e = pubsub_uplink_class.wrap(&host->options, &lot->batch, &o);
    lot->batch.wire = out_slice(&o);
    lot->batch.wire_memory = lot->memory;
    lot->batch.messages = NULL;
    free(messages);
    return e;
}

void pubsub_lot_send(struct pubsub_lot *lot)
{
    const uint32_t part = 0;
    lot->answered = false;
    lot->tries++;
    if (!lot->parcel.parts[0].assigned) {
        assert_int_equal(pubsub_uplink_class.assign(lot->host->uplink, &lot->parcel, &part, 1),
                         ERR_OK);
    }
    pubsub_uplink_class.send(lot->host->uplink, &lot->batch);
    assert_false(lot->answered); /* never within send() */
}

bool pubsub_lot_wait(struct pubsub_lot *lot, uint64_t ms)
{
    uint64_t end = clock_monotonic_ms() + ms;
    while (!lot->answered && clock_monotonic_ms() < end) {
        assert_int_equal(loop_turn(lot->host->loop, 20), ERR_OK);
    }
    return lot->answered;
}

enum send_result pubsub_lot_deliver(struct pubsub_lot *lot)
{
    do {
        pubsub_lot_send(lot);
        assert_true(pubsub_lot_wait(lot, PUBSUB_WAIT_MS));
        lot->batch.again = true;
    } while (lot->report.result == SEND_RETRY && lot->tries < 20);
    return lot->report.result;
}

void pubsub_lot_release(struct pubsub_lot *lot)
{
    free(lot->memory);
    lot->memory = NULL;
}
