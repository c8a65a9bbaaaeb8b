#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/aside_head.h"
#include "agent/fill.h"
#include "agent/flow_impl.h"
#include "agent/letter.h"
#include "agent/parts.h"
#include "ports/clock.h"
#include "ports/log.h"
#include "ports/random.h"

#define FILL_ROOM 1024 /* what is filled in, at most */

/* --- answers --- */

void flow_fault(struct flow *flow, const char *text)
{
    if (strcmp(flow->fault.text, text) == 0) {
        return;
    }
    why_set(&flow->fault, "%s", text);
    if (text[0]) {
        log_warn(flow_part_name(flow), "stream %s stands still: %s", flow->stream->info.name, text);
    } else {
        log_info(flow_part_name(flow), "stream %s goes on", flow->stream->info.name);
    }
}

static void flow_answer_ok(struct flow *flow, struct flow_batch *fb)
{
    struct uplink_host *host = flow->host;
    host->sent_events += flow->stream->is_own ? 0 : fb->batch.event_count;
    host->sent_size += fb->batch.wire.size;
    if (flow->lane == LANE_BACKFILL) {
        host->backfill_events += fb->batch.event_count;
        share_sent(&host->share, fb->batch.wire.size);
    } else {
        share_others_sent(&host->share, fb->batch.wire.size);
    }
    host->duplicates += fb->report.was_duplicate;
    flow->alike_count = 0;
    flow_fault(flow, "");
    fb->state = BATCH_HELD;
}

/* Before the same is sent again. Through a long wait it keeps no memory from others. */
static void flow_wait(struct flow *flow, struct flow_batch *fb, int64_t wait_ms)
{
    fb->state = BATCH_RETRY;
    timer_arm(&fb->retry, (uint64_t)wait_ms);
    if (wait_ms >= FLOW_PARK_MS) {
        flow->host->lent_size -= fb->batch.wire.size;
        free(fb->batch.wire_memory);
        fb->batch.wire_memory = NULL;
        fb->batch.wire = (struct slice){NULL, 0};
    }
}

static void flow_answer_refused(struct flow *flow, struct flow_batch *fb)
{
    flow->host->refused++;
    if (fb->batch.event_count > 1) {
        flow->host->halved++;
    } else if (fb->report.code != 0 && fb->report.code == flow->alike_code) {
        flow->alike_count++;
    } else {
        flow->alike_code = fb->report.code;
        flow->alike_count = 1;
    }
    flow->parcel.parts[flow_index_of(flow, fb)].assigned = false;
    fb->batch.again = false;
    if (fb->batch.event_count == 1 && flow->alike_count >= FLOW_ALIKE_MAX) {
        struct why why;
        why_set(&why,
                "%u single events were refused in a row with code %d (%s): this looks like a wrong "
                "setting; tried again every minute",
                flow->alike_count, fb->report.code, fb->report.text);
        flow_fault(flow, why.text);
        flow_wait(flow, fb, FLOW_PARK_MS);
        return;
    }
    fb->state = BATCH_REFUSED;
}

static void flow_answer_wait(struct flow *flow, struct flow_batch *fb, int64_t wait_ms)
{
    flow->host->retried++;
    fb->batch.again = fb->batch.again || !fb->report.is_clear;
    flow->in_doubt = flow->in_doubt || !fb->report.is_clear;
    flow_wait(flow, fb, wait_ms);
}

/* New numbers at once; but when these do not help either, with pauses: each costs a commit. */
static void flow_answer_reassign(struct flow *flow, struct flow_batch *fb)
{
    if (fb->was_reassigned) {
        flow_answer_wait(flow, fb, backoff_next_ms(&fb->backoff, 0, random_u32()));
    } else {
        fb->state = BATCH_BUILT;
    }
    fb->was_reassigned = true;
    fb->batch.again = false;
    flow->parcel.parts[flow_index_of(flow, fb)].assigned = false;
}

void flow_answer(struct flow *flow, struct flow_batch *fb, const struct send_report *report)
{
    assert(fb->state == BATCH_LENT && flow->lent_count > 0);
    flow->lent_count--;
    fb->report = *report;
    if (!report->is_clear && flow->host->setup.class_->forgets) {
        uplink_count(flow->host, "in_doubt", 1);
    }
    switch (report->result) {
    case SEND_OK:
        flow_answer_ok(flow, fb);
        break;
    case SEND_TOO_LARGE:
    case SEND_REJECTED:
        flow_answer_refused(flow, fb);
        break;
    case SEND_REASSIGN:
        flow_answer_reassign(flow, fb);
        break;
    case SEND_ASIDE:
        fb->state = BATCH_ASIDE;
        break;
    case SEND_PARK:
        flow_fault(flow, report->text);
        flow_answer_wait(flow, fb,
                         report->retry_after_ms > FLOW_PARK_MS ? report->retry_after_ms
                                                               : FLOW_PARK_MS);
        break;
    case SEND_RETRY:
        flow_answer_wait(flow, fb,
                         backoff_next_ms(&fb->backoff, report->retry_after_ms, random_u32()));
        break;
    }
    flow_advance(flow);
}

/* --- setting aside --- */

/* As it was sent, with everything filled in, so that what was its {id} stays its id. *memory is
 * malloc'd, or NULL. */
static bool complete_row(const struct flow *flow, const struct stored_event *row, uint8_t **memory,
                         struct slice *ret)
{
    size_t size = row->datum.size + FILL_ROOM;
    *ret = row->datum;
    *memory = NULL;
    if (row->fill_count == 0 || fill_needs_clock(row)) {
        return true;
    }
    *memory = malloc(size);
    struct out o = out_over(*memory, size);
    char identity[FLOW_IDENTITY_SIZE];
    (void)flow_identity(flow, row->sequence, identity);
    return *memory && fill_complete(row, identity, flow->stream->info.name, &o, ret);
}

static struct slice put_head(const struct stored_event *row, struct out *ret)
{
    const struct aside_head head = {.trust = row->trust,
                                    .time_us = row->time_us,
                                    .boot = row->boot,
                                    .is_complete = !fill_needs_clock(row)};
    aside_head_put(&head, ret);
    return out_slice(ret);
}

bool flow_aside_row(struct flow *flow, const struct stored_event *row, const char *reason)
{
    uint64_t commit;
    uint8_t memory[ASIDE_HEAD_SIZE_MIN];
    uint8_t *complete = NULL;
    struct slice datum;
    struct out head = out_over(memory, sizeof memory);
    if (store_is_failing(flow_store(flow))) {
        return false; /* it would keep those of its stream from being kept in memory */
    }
    bool put = complete_row(flow, row, &complete, &datum);
    struct aside aside = {.time_us = clock_wall_us(),
                          .stream = row->stream,
                          .sequence = row->sequence,
                          .uplink = flow->host->setup.number,
                          .kind = ASIDE_DATUM,
                          .schema = row->schema,
                          .size = datum.size,
                          .source = slice_of_text(flow->host->setup.name),
                          .reason = slice_of_text(reason),
                          .head = put_head(row, &head),
                          .body = datum};
    const struct forward_schema *schema = forward_schema_find(flow->host->forward, row->schema);
    struct letter_place place = {.uplink = flow->host->setup.name,
                                 .schema = schema ? &schema->info : NULL};
    struct letters *letters = flow->host->forward->setup.letters;
    put = put && letters_make(letters, &aside, &place, 0) == ERR_OK &&
          store_aside_put(flow_store(flow), &aside, 0, &commit) == ERR_OK;
    if (put) {
        letters_put(letters, 0);
    }
    free(complete);
    flow->host->aside_events += put;
    return put;
}

void flow_worked_aside(struct flow *flow, const struct pack_task *task)
{
    struct pack *pack = flow->host->forward->pack;
    const struct rows *rows = pack_rows(pack);
    const struct part *part = &flow->parcel.parts[flow->wanted_part];
    const struct flow_batch *fb = flow->batches[flow->wanted_part];
    pack_prepare(pack, task);
    for (size_t i = 0; i < rows->event_count; i++) {
        const struct stored_event *row = &rows->events[i];
        if (row->sequence <= flow->aside_after || !pack_row_is_in(pack, task, i, part->partition)) {
            continue;
        }
        if (!flow_aside_row(flow, row, fb->report.text)) {
            flow_hold(flow, BACKOFF_FIRST_MS);
            return;
        }
        flow->aside_after = row->sequence;
    }
    if (fb->batch.event_count == 1) {
        log_warn(flow_part_name(flow), "stream %s: event %" PRIu64 " set aside: %s",
                 flow->stream->info.name, flow->aside_after, fb->report.text);
    } else {
        log_warn(flow_part_name(flow),
                 "stream %s: %u events of %" PRIu64 "..%" PRIu64 " set aside: %s",
                 flow->stream->info.name, fb->batch.event_count, part->first, part->last,
                 fb->report.text);
    }
    if (!flow_part_end(flow, flow->wanted_part)) {
        flow_hold(flow, BACKOFF_FIRST_MS);
        return;
    }
    flow->aside_after = 0;
}

void flow_worked_halve(struct flow *flow, const struct pack_task *task)
{
    struct pack *pack = flow->host->forward->pack;
    uint32_t index = flow->wanted_part;
    pack_prepare(pack, task);
    uint64_t middle = pack_middle(pack, task, &flow->parcel.parts[index]);
    if (middle == 0) {
        flow->batches[index]->state = BATCH_ASIDE;
        return;
    }
    batch_release(flow, flow->batches[index]);
    flow->batches[index] = NULL;
    enum err e = parts_halve(&flow->parcel, (void **)flow->batches, &index, middle);
    assert(!e); /* parts_may_halve() */
    flow->moved = true;
}
