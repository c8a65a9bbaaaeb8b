#include "tests/uplink/kafka_host.h"

#include <inttypes.h>

#include "tests/cmocka.h"
#include "uplink/kafka/cluster.h"
#include "uplink/layout/layout.h"

/* --- what the uplink calls --- */

void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report)
{
    struct lot_part *part = CONTAINER_OF(batch, struct lot_part, batch);
    (void)host;
    assert_true(part->lent);
    part->lent = false;
    part->answered = true;
    part->report = *report;
}

void uplink_ready(struct uplink_host *host)
{
    host->ready_count++;
}

void uplink_remote_id_set(struct uplink_host *host, uint32_t schema, struct slice id)
{
    assert_true(id.size <= sizeof host->remote_id);
    memcpy(host->remote_id, id.data, id.size);
    host->remote_id_size = id.size;
    host->remote_schema = schema;
}

bool uplink_remote_id(struct uplink_host *host, uint32_t schema, uint8_t *ret_id, size_t *ret_size)
{
    if (host->remote_id_size == 0 || host->remote_schema != schema) {
        return false;
    }
    memcpy(ret_id, host->remote_id, host->remote_id_size);
    *ret_size = host->remote_id_size;
    return true;
}

void uplink_fault(struct uplink_host *host, const struct why *why)
{
    if (why) {
        assert_true(why->text[0] != '\0'); /* a fault is a sentence */
        host->fault = *why;
        host->fault_count++;
    } else {
        host->mended_count += host->fault.text[0] != '\0';
        host->fault.text[0] = '\0';
    }
}

void uplink_count(struct uplink_host *host, const char *name, uint64_t add)
{
    if (strcmp(name, "in_doubt") == 0) {
        host->in_doubt += add;
    }
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
    *ret = (struct uplink_link){.send_buffer_size = host->send_buffer_size, .pacer = host->pacer};
}

void uplink_wire_bytes(struct uplink_host *host, uint64_t sent, uint64_t received)
{
    host->wire_sent += sent;
    host->wire_received += received;
}

/* --- the host --- */

void host_init(struct uplink_host *host, struct loop *loop, struct names *names)
{
    *host = (struct uplink_host){.loop = loop, .names = names, .request_size = 1024 * 1024};
    host->options = (struct kafka_options){.topic = "{stream}",
                                           .client_id = "weir",
                                           .compression_level = 3,
                                           .request_timeout_ms = 2000,
                                           .message_size_max = 1048588,
                                           .topic_create = TOPIC_CREATE_BROKER};
    host->options.brokers.items = host->broker_texts;
    host->stream = (struct stream_info){.number = 3, .name = "events", .priority = 3};
    host->schema = (struct schema_info){
        .number = 7,
        .json =
            SLICE("{\"type\":\"record\",\"name\":\"T\",\"namespace\":\"w\",\"fields\":[{\"name\":"
                  "\"a\",\"type\":\"string\"}]}")};
    memcpy(host->schema.fingerprint, "FINGERPR", 8);
}

void host_broker_add(struct uplink_host *host, const char *name, uint16_t port)
{
    size_t index = host->options.brokers.count++;
    assert_true(index < ARRAY_COUNT(host->broker_texts));
    (void)snprintf(host->broker_memory[index], sizeof host->broker_memory[index], "%s:%u", name,
                   port);
    host->broker_texts[index] = host->broker_memory[index];
}

void host_open(struct uplink_host *host)
{
    struct why why = {""};
    struct uplink_setup setup = {.host = host,
                                 .loop = host->loop,
                                 .names = host->names,
                                 .options = &host->options,
                                 .agent_id = "agent-1",
                                 .incarnation = 0x0badcafe};
    enum err e = kafka_uplink_class.open(&host->uplink, &setup, &why);
    if (e) {
        fail_msg("open: %s: %s", err_name(e), why.text);
    }
}

void host_close(struct uplink_host *host)
{
    kafka_uplink_class.close(host->uplink);
    host->uplink = NULL;
}

void host_run(struct uplink_host *host, uint64_t ms)
{
    assert_int_equal(loop_turn(host->loop, 0), ERR_OK);
    uint64_t end_ms = loop_now_ms(host->loop) + ms;
    while (loop_now_ms(host->loop) < end_ms) {
        assert_int_equal(loop_turn(host->loop, 10), ERR_OK);
    }
}

bool host_target(struct uplink_host *host, struct target *ret, uint64_t ms)
{
    struct why why;
    for (uint64_t waited = 0; waited < ms; waited += 10) {
        enum err e =
            kafka_uplink_class.target(host->uplink, &host->stream, &host->schema, ret, &why);
        if (!e) {
            return true;
        }
        if (e != ERR_AGAIN) {
            print_message("target: %s: %s\n", err_name(e), why.text);
            return false;
        }
        host_run(host, 10);
    }
    print_message("no target: %s\n", host->fault.text);
    return false;
}

/* --- lots --- */

void lot_event(uint64_t number, char body[32], char key[16])
{
    (void)snprintf(body, 32, "event-%08" PRIu64, number);
    (void)snprintf(key, 16, "key-%" PRIu64, number % HOST_KEY_COUNT);
}

static void part_build(struct lot *lot, uint32_t index)
{
    struct uplink_host *host = lot->host;
    struct part *part = &lot->parcel.parts[index];
    struct lot_part *lp = &lot->parts[index];
    struct message *messages = calloc(lot->count, sizeof *messages);
    char(*texts)[48] = calloc(lot->count, sizeof *texts);
    uint8_t *bodies = malloc(lot->count * 64);
    assert_true(messages && texts && bodies);
    struct out memory = out_over(bodies, lot->count * 64);
    struct layout_setup setup = {.layout = LAYOUT_ROWS,
                                 .schema = &host->schema,
                                 .prefix = {lot->target.prefix, lot->target.prefix_size},
                                 .record_size_max = lot->target.record_size_max};
    struct layout_builder *builder;
    assert_int_equal(layout_begin(&builder, &setup, &memory, messages, lot->count), ERR_OK);
    struct batch *batch = &lp->batch;
    *batch = (struct batch){.first = 0};
    for (uint64_t i = lot->first; i < lot->first + lot->count; i++) {
        char *text = texts[i - lot->first];
        lot_event(i, text, text + 32);
        struct layout_row row = {.key = slice_of_text(text + 32),
                                 .datum = slice_of_text(text),
                                 .sequence = i,
                                 .time_us = host->event_time_us};
        if (kafka_uplink_class.place(&lot->target, row.key, i) == part->partition) {
            assert_int_equal(layout_add(builder, &row), ERR_OK);
            batch->first = batch->first ? batch->first : i;
            batch->last = i;
            batch->event_count++;
        }
    }
    size_t count;
    assert_int_equal(layout_finish(builder, &count, &part->events_per_record), ERR_OK);
    layout_close(builder);
    part->record_count = (uint32_t)count;
    batch->parcel = &lot->parcel;
    batch->part = part;
    batch->stream = &host->stream;
    batch->schema = &host->schema;
    batch->target = lot->target;
    batch->messages = messages;
    batch->message_count = count;
    batch->identity = "agent-1/0badcafe";
    batch->lane = host->stream.priority;
    if (count > 0) {
        size_t room = host->options.headers_set.count ? 512 * count : 0;
        room = room > HOST_WIRE_SIZE_MIN ? room : HOST_WIRE_SIZE_MIN;
        lp->memory = malloc(room);
        assert_non_null(lp->memory);
        struct out wire = out_over(lp->memory, room);
        assert_int_equal(kafka_uplink_class.wrap(&host->options, batch, &wire), ERR_OK);
        batch->wire = out_slice(&wire);
        batch->wire_memory = lp->memory;
    }
    part->done = count == 0;
    batch->messages = NULL;
    free(messages);
    free(texts);
    free(bodies);
}

void lot_cut(struct lot *lot, struct uplink_host *host, uint64_t first, uint64_t count)
{
    *lot = (struct lot){.host = host, .first = first, .count = count};
    assert_true(host_target(host, &lot->target, 10000));
    lot->parcel = (struct parcel){.uplink = 1,
                                  .stream = host->stream.number,
                                  .layout = LAYOUT_ROWS,
                                  .schema = host->schema.number,
                                  .range = {first, first + count - 1},
                                  .partition_count = lot->target.partition_count,
                                  .part_count = lot->target.partition_count};
    memcpy(lot->parcel.target, lot->target.name, sizeof lot->parcel.target);
    memcpy(lot->parcel.cluster_id, lot->target.cluster_id, sizeof lot->parcel.cluster_id);
    for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
        lot->parcel.parts[i] =
            (struct part){.partition = i, .first = first, .last = first + count - 1};
        part_build(lot, i);
    }
}

bool lot_assign(struct lot *lot)
{
    uint32_t parts[PARCEL_PART_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
        if (!lot->parcel.parts[i].done && !lot->parcel.parts[i].assigned) {
            parts[count++] = i;
        }
    }
    for (unsigned i = 0; count > 0 && i < 3000; i++) {
        enum err e = kafka_uplink_class.assign(lot->host->uplink, &lot->parcel, parts, count);
        if (!e) {
            return true;
        }
        assert_int_equal(e, ERR_AGAIN);
        host_run(lot->host, 10);
    }
    return count == 0;
}

void lot_send(struct lot *lot, uint32_t part)
{
    struct lot_part *lp = &lot->parts[part];
    assert_true(!lp->lent && !lot->parcel.parts[part].done);
    lp->lent = true;
    lp->answered = false;
    lp->tries++;
    kafka_uplink_class.send(lot->host->uplink, &lp->batch);
    assert_true(lp->lent); /* never within send() */
}

void lot_send_all(struct lot *lot)
{
    for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
        if (!lot->parcel.parts[i].done) {
            lot_send(lot, i);
        }
    }
}

bool lot_wait(struct lot *lot, uint64_t ms)
{
    for (uint64_t waited = 0; waited < ms; waited += 10) {
        bool lent = false;
        for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
            lent = lent || lot->parts[i].lent;
        }
        if (!lent) {
            return true;
        }
        host_run(lot->host, 10);
    }
    return false;
}

static bool part_advance(struct lot *lot, uint32_t index)
{
    struct lot_part *lp = &lot->parts[index];
    struct part *part = &lot->parcel.parts[index];
    if (part->done || lp->lent) {
        return part->done;
    }
    if (lp->answered) {
        lp->answered = false;
        switch (lp->report.result) {
        case SEND_OK:
            part->done = true;
            return true;
        case SEND_REASSIGN:
            part->assigned = false;
            lp->batch.again = false;
            break;
        case SEND_RETRY:
            lp->batch.again = true;
            lp->retry_ms = loop_now_ms(lot->host->loop) + 100;
            break;
        case SEND_TOO_LARGE:
        case SEND_REJECTED:
        case SEND_ASIDE:
        case SEND_PARK:
            fail_msg("part %u: result %d: %s", index, (int)lp->report.result, lp->report.text);
        }
    }
    if (part->assigned && loop_now_ms(lot->host->loop) >= lp->retry_ms) {
        lot_send(lot, index);
    }
    return false;
}

bool lot_deliver(struct lot *lot, uint64_t ms)
{
    uint64_t end_ms = loop_now_ms(lot->host->loop) + ms;
    while (loop_now_ms(lot->host->loop) < end_ms) {
        bool done = true, unassigned = false;
        for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
            done = part_advance(lot, i) && done;
            unassigned =
                unassigned || (!lot->parcel.parts[i].done && !lot->parcel.parts[i].assigned);
        }
        if (done) {
            return true;
        }
        if (unassigned && !lot_assign(lot)) {
            return false;
        }
        host_run(lot->host, 10);
    }
    return false;
}

void lot_revive(struct lot *lot, struct uplink_host *host)
{
    lot->host = host;
    for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
        lot->parts[i].lent = false;
        lot->parts[i].answered = false;
        lot->parts[i].batch.again = lot->parcel.parts[i].assigned;
    }
}

void lot_build_again(struct lot *lot)
{
    for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
        if (!lot->parcel.parts[i].done) {
            free(lot->parts[i].memory);
            part_build(lot, i);
            lot->parts[i].batch.again = lot->parcel.parts[i].assigned;
        }
    }
}

void lot_release(struct lot *lot)
{
    for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
        assert_false(lot->parts[i].lent);
        free(lot->parts[i].memory);
    }
}
