#include "agent/flow.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/parts.h"
#include "ports/clock.h"
#include "ports/fault.h"
#include "ports/log.h"
#include "ports/random.h"

#define PRIORITY_AT_ONCE 7

static struct store *flow_store(const struct flow *flow)
{
    return flow->host->forward->setup.store;
}

static const char *flow_part_name(const struct flow *flow)
{
    return flow->host->setup.name;
}

/* --- timers --- */

static void flow_timer_fired(struct timer *timer)
{
    struct flow *flow = CONTAINER_OF(timer, struct flow, timer);
    flow->holds = false;
    flow_advance(flow);
}

static void flow_hold(struct flow *flow, int64_t wait_ms)
{
    flow->holds = true;
    timer_arm(&flow->timer, (uint64_t)wait_ms);
}

void flow_init(struct flow *flow, struct uplink_host *host, const struct forward_stream *stream)
{
    *flow = (struct flow){.host = host, .stream = stream, .raw_per_wire_256 = 4 * 256};
    flow->owed.uplink = host->setup.number;
    flow->owed.stream = stream->info.number;
    flow->backoff.ceiling_ms = host->setup.backoff_max_ms;
    timer_init(&flow->timer, host->forward->setup.loop, flow_timer_fired);
}

/* --- batches --- */

static void batch_release(struct flow *flow, struct flow_batch *fb)
{
    if (!fb) {
        return;
    }
    assert(fb->state != BATCH_LENT);
    flow->host->lent_size -= fb->batch.wire.size;
    timer_release(&fb->retry);
    free(fb->batch.wire_memory);
    free(fb);
}

static void flow_drop_batches(struct flow *flow)
{
    for (size_t i = 0; i < PARCEL_PART_MAX; i++) {
        batch_release(flow, flow->batches[i]);
        flow->batches[i] = NULL;
    }
}

void flow_release(struct flow *flow)
{
    for (size_t i = 0; i < PARCEL_PART_MAX; i++) {
        if (flow->batches[i] && flow->batches[i]->state == BATCH_LENT) {
            flow->batches[i]->state =
                BATCH_BUILT; /* the uplink is closed: nobody has it any more */
        }
    }
    flow_drop_batches(flow);
    timer_release(&flow->timer);
}

static uint32_t flow_index_of(const struct flow *flow, const struct flow_batch *fb)
{
    for (uint32_t i = 0; i < flow->parcel.part_count; i++) {
        if (flow->batches[i] == fb) {
            return i;
        }
    }
    abort(); /* a batch belongs to a part */
}

static void batch_retry_fired(struct timer *timer)
{
    struct flow_batch *fb = CONTAINER_OF(timer, struct flow_batch, retry);
    assert(fb->state == BATCH_RETRY);
    fb->state = BATCH_BUILT;
    flow_advance(fb->flow);
}

static enum err flow_batch_put(struct flow *flow, uint32_t index, struct packed_part *packed,
                               const struct schema_info *schema)
{
    struct flow_batch *fb = calloc(1, sizeof *fb);
    if (!fb) {
        return ERR_NOMEM;
    }
    struct part *part = &flow->parcel.parts[index];
    fb->flow = flow;
    fb->state = BATCH_BUILT;
    fb->backoff.ceiling_ms = flow->host->setup.backoff_max_ms;
    timer_init(&fb->retry, flow->host->forward->setup.loop, batch_retry_fired);
    fb->batch = (struct batch){.stream = &flow->stream->info,
                               .schema = schema,
                               .target = flow->target,
                               .wire = {packed->wire, packed->wire_size},
                               .wire_memory = packed->wire,
                               .first = part->first,
                               .last = part->last,
                               .event_count = packed->event_count,
                               .lane = flow->stream->info.priority,
                               .again = part->assigned};
    if (part->assigned && part->record_count != packed->record_count) {
        log_error(flow_part_name(flow),
                  "stream %s: events of a batch in doubt are damaged; the rest goes out under new "
                  "numbers "
                  "and may arrive twice",
                  flow->stream->info.name);
        part->assigned = false;
        fb->batch.again = false;
    }
    part->record_count = packed->record_count;
    part->events_per_record = packed->events_per_record;
    packed->wire = NULL;
    flow->batches[index] = fb;
    flow->host->lent_size += packed->wire_size;
    flow->host->raw_size += packed->raw_size;
    uint64_t ratio = (uint64_t)packed->raw_size * 256 / (packed->wire_size + 1);
    flow->raw_per_wire_256 =
        (3 * flow->raw_per_wire_256 + (ratio > 65536 ? 65536 : (uint32_t)ratio)) / 4;
    return ERR_OK;
}

/* --- owed ranges --- */

static void owed_subtract(struct owed *owed, struct range gone)
{
    struct owed rest = {.uplink = owed->uplink, .stream = owed->stream};
    for (size_t i = 0; i < owed->range_count; i++) {
        struct range r = owed->ranges[i];
        if (r.last < gone.first || r.first > gone.last) {
            if (rest.range_count < OWED_RANGE_MAX) {
                rest.ranges[rest.range_count++] = r;
            }
            continue;
        }
        if (r.first < gone.first && rest.range_count < OWED_RANGE_MAX) {
            rest.ranges[rest.range_count++] = (struct range){r.first, gone.first - 1};
        }
        if (r.last > gone.last && rest.range_count < OWED_RANGE_MAX) {
            rest.ranges[rest.range_count++] = (struct range){gone.last + 1, r.last};
        }
    }
    *owed = rest; /* what did not fit into 8 ranges comes back with the buffer's next word */
}

/* A range has ended, as commit `commit` will say. */
static void flow_range_ended(struct flow *flow, struct range range, uint64_t commit)
{
    owed_subtract(&flow->owed, range);
    assert(flow->pending_count < FLOW_PENDING_MAX);
    flow->pending[flow->pending_count++] = (struct pending_end){range, commit};
}

static void flow_pending_clear(struct flow *flow, uint64_t commit)
{
    size_t kept = 0;
    for (size_t i = 0; i < flow->pending_count; i++) {
        if (flow->pending[i].commit > commit) {
            flow->pending[kept++] = flow->pending[i];
        }
    }
    flow->pending_count = kept;
}

/* --- parts that are done --- */

static void flow_close_parcel(struct flow *flow, uint64_t commit)
{
    flow_drop_batches(flow);
    flow_range_ended(flow, flow->parcel.range, commit);
    flow->has_parcel = false;
    flow->recorded = false;
    flow->target_known = false;
    backoff_clear(&flow->backoff);
}

/* The part at `index` needs no sending any more. False: the store has no room for the word; asked
 * again after its commit. */
static bool flow_part_end(struct flow *flow, uint32_t index)
{
    uint64_t commit = 0;
    struct part_done done = {.uplink = flow->parcel.uplink,
                             .stream = flow->parcel.stream,
                             .lane = flow->parcel.lane,
                             .part = index};
    bool said_early = fault_planted("range-early") && flow->batches[index];
    if (fault_planted("record-late") && !flow->recorded) {
        if (store_parcel_put(flow_store(flow), &flow->parcel, &commit)) {
            return false;
        }
        flow->recorded = true;
    }
    if (!said_early && store_done_put(flow_store(flow), &done, &commit)) {
        return false;
    }
    flow->parcel.parts[index].done = true;
    batch_release(flow, flow->batches[index]);
    flow->batches[index] = NULL;
    if (parts_all_done(&flow->parcel)) {
        flow_close_parcel(flow, commit);
    }
    return true;
}

/* --- answers --- */

static void flow_answer_ok(struct flow *flow, struct flow_batch *fb)
{
    struct uplink_host *host = flow->host;
    host->sent_events += fb->batch.event_count;
    host->sent_size += fb->batch.wire.size;
    host->duplicates += fb->report.was_duplicate;
    flow->alike_count = 0;
    fb->state = BATCH_HELD;
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
                "%u single events of stream %s were refused in a row with code %d (%s): this looks "
                "like a wrong setting; "
                "tried again every minute",
                flow->alike_count, flow->stream->info.name, fb->report.code, fb->report.text);
        uplink_fault(flow->host, &why);
        fb->state = BATCH_RETRY;
        timer_arm(&fb->retry, FLOW_PARK_MS);
        return;
    }
    fb->state = BATCH_REFUSED;
}

static void flow_answer_wait(struct flow *flow, struct flow_batch *fb, int64_t wait_ms)
{
    flow->host->retried++;
    fb->batch.again = true;
    fb->state = BATCH_RETRY;
    timer_arm(&fb->retry, (uint64_t)wait_ms);
}

void flow_answer(struct flow *flow, struct flow_batch *fb, const struct send_report *report)
{
    assert(fb->state == BATCH_LENT && flow->lent_count > 0);
    flow->lent_count--;
    fb->report = *report;
    switch (report->result) {
    case SEND_OK:
        flow_answer_ok(flow, fb);
        break;
    case SEND_TOO_LARGE:
    case SEND_REJECTED:
        flow_answer_refused(flow, fb);
        break;
    case SEND_REASSIGN:
        flow->parcel.parts[flow_index_of(flow, fb)].assigned = false;
        fb->batch.again = false;
        fb->state = BATCH_BUILT;
        break;
    case SEND_ASIDE:
        fb->state = BATCH_ASIDE;
        break;
    case SEND_PARK:
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

/* --- the workspace --- */

static void flow_want(struct flow *flow, enum flow_task task, uint32_t part)
{
    flow->wanted = task;
    flow->wanted_part = part;
    forward_schedule(flow->host->forward);
}

static size_t flow_raw_size_max(const struct flow *flow)
{
    uint64_t wire = link_request_size(&flow->host->link, flow->host->shared);
    uint64_t raw = wire * flow->raw_per_wire_256 / 256;
    uint64_t most = (uint64_t)flow->host->setup.batch_size_max;
    if (most > PACK_RAW_SIZE_MAX) {
        most = PACK_RAW_SIZE_MAX;
    }
    return (size_t)(raw > most ? most : raw < 1024 ? 1024 : raw);
}

/* The hull of the parts that are to be built or looked at. */
static struct range flow_task_range(const struct flow *flow, struct pack_task *task)
{
    struct range hull = {UINT64_MAX, 0};
    for (uint32_t i = 0; i < flow->parcel.part_count; i++) {
        const struct part *part = &flow->parcel.parts[i];
        if (task->wanted[i]) {
            hull.first = part->first < hull.first ? part->first : hull.first;
            hull.last = part->last > hull.last ? part->last : hull.last;
        }
    }
    return hull;
}

static void flow_wanted_parts(const struct flow *flow, struct pack_task *task)
{
    uint32_t current[PARCEL_PART_MAX];
    size_t count = parts_current(&flow->parcel, current);
    if (flow->wanted != TASK_BUILD) {
        task->wanted[flow->wanted_part] = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        task->wanted[current[i]] = !flow->batches[current[i]];
    }
}

bool flow_task_fill(struct flow *flow, struct pack_task *task)
{
    struct forward *forward = flow->host->forward;
    if (flow->wanted == TASK_CUT && (flow->has_parcel || flow->owed.range_count == 0)) {
        flow->wanted = TASK_NONE;
        return false;
    }
    *task = (struct pack_task){.uplink = &flow->host->setup,
                               .stream = flow->stream,
                               .agent_key = forward->agent_key,
                               .identity = forward->agent_key,
                               .parcel = &flow->parcel,
                               .raw_size_max = PACK_RAW_SIZE_MAX};
    if (flow->wanted == TASK_CUT) {
        task->cut = true;
        flow->parcel = (struct parcel){.layout = (uint8_t)flow->host->setup.layout};
        task->range = flow->owed.ranges[0];
        task->raw_size_max = flow_raw_size_max(flow);
        return true;
    }
    flow_wanted_parts(flow, task);
    task->range = flow_task_range(flow, task);
    return task->range.first <= task->range.last;
}

/* --- setting aside --- */

static bool flow_aside_row(struct flow *flow, const struct stored_event *row, const char *reason)
{
    uint64_t commit;
    struct aside aside = {.time_us = clock_wall_us(),
                          .stream = row->stream,
                          .sequence = row->sequence,
                          .uplink = flow->host->setup.number,
                          .kind = ASIDE_DATUM,
                          .schema = row->schema,
                          .size = row->datum.size,
                          .source = slice_of_text(flow->host->setup.name),
                          .reason = slice_of_text(reason),
                          .body = row->datum};
    if (store_aside_put(flow_store(flow), &aside, 0, &commit)) {
        return false;
    }
    flow->host->aside_events++;
    return true;
}

static void flow_worked_aside(struct flow *flow, const struct pack_task *task)
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
    log_warn(flow_part_name(flow), "stream %s: %u event(s) %" PRIu64 "..%" PRIu64 " set aside: %s",
             flow->stream->info.name, fb->batch.event_count, part->first, part->last,
             fb->report.text);
    if (!flow_part_end(flow, flow->wanted_part)) {
        flow_hold(flow, BACKOFF_FIRST_MS);
        return;
    }
    flow->aside_after = 0;
}

static void flow_worked_halve(struct flow *flow, const struct pack_task *task)
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
    assert(!e); /* halves of one partition at a time: 1 + log2(events) parts, see
                   PARCEL_PARTITION_MAX */
}

/* --- what the workspace did --- */

/* Wanted parts of which no event is left: their rows were damaged, which the buffer has counted. */
static void flow_end_empty(struct flow *flow, const struct pack_task *task)
{
    for (uint32_t i = 0; i < flow->parcel.part_count && flow->has_parcel; i++) {
        if (task->wanted[i] && task->parts[i].event_count == 0 && !flow_part_end(flow, i)) {
            flow_hold(flow, BACKOFF_FIRST_MS); /* found empty again */
            return;
        }
    }
}

static void flow_worked_built(struct flow *flow, struct pack_task *task)
{
    flow_end_empty(flow, task);
    const struct parcel *parcel = &flow->parcel;
    for (uint32_t i = 0; i < parcel->part_count && flow->has_parcel; i++) {
        if (task->parts[i].wire && flow_batch_put(flow, i, &task->parts[i], task->schema)) {
            flow_hold(
                flow,
                BACKOFF_FIRST_MS); /* no memory: what is built stays, the rest is built again */
            break;
        }
    }
    for (uint32_t i = 0; i < PARCEL_PART_MAX; i++) {
        free(task->parts[i].wire);
        task->parts[i].wire = NULL;
    }
}

static void flow_worked_cut(struct flow *flow, struct pack_task *task)
{
    struct parcel *parcel = &flow->parcel;
    parcel->uplink = flow->host->setup.number;
    parcel->stream = flow->stream->info.number;
    parcel->lane = LANE_FRESH;
    parcel->schema = task->schema->number;
    parcel->partition_count = task->target.partition_count;
    memcpy(parcel->target, task->target.name, sizeof parcel->target);
    memcpy(parcel->cluster_id, task->target.cluster_id, sizeof parcel->cluster_id);
    flow->has_parcel = true;
    flow->target = task->target;
    flow->target_known = true;
    flow_worked_built(flow, task);
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        if (!flow->batches[i]) { /* no memory: as if nothing had been cut */
            flow_drop_batches(flow);
            flow->has_parcel = false;
            flow->target_known = false;
        }
    }
}

static void flow_end_range(struct flow *flow, struct range range)
{
    uint64_t commit;
    struct owed_end end = {
        .uplink = flow->host->setup.number, .stream = flow->stream->info.number, .range = range};
    if (flow->pending_count == FLOW_PENDING_MAX || store_end_put(flow_store(flow), &end, &commit)) {
        flow_hold(flow, BACKOFF_FIRST_MS);
        return;
    }
    flow_range_ended(flow, range, commit);
}

/* An event that no request can carry. */
static void flow_worked_bad(struct flow *flow, const struct pack_task *task)
{
    const struct rows *rows = pack_rows(flow->host->forward->pack);
    for (size_t i = 0; i < rows->event_count; i++) {
        const struct stored_event *row = &rows->events[i];
        if (row->sequence != task->bad_sequence) {
            continue;
        }
        if (!flow_aside_row(flow, row, task->bad_reason)) {
            flow_hold(flow, BACKOFF_FIRST_MS);
            return;
        }
        log_warn(flow_part_name(flow), "stream %s: event %" PRIu64 " set aside: %s",
                 flow->stream->info.name, row->sequence, task->bad_reason);
        flow_end_range(flow, (struct range){row->sequence, row->sequence});
        return;
    }
}

static void flow_worked_failed(struct flow *flow, const struct pack_task *task)
{
    log_error(flow_part_name(flow), "stream %s: %s; tried again", flow->stream->info.name,
              task->why.text[0] ? task->why.text : err_name(task->e));
    flow_hold(flow, backoff_next_ms(&flow->backoff, 0, random_u32()));
}

void flow_worked(struct flow *flow, struct pack_task *task)
{
    enum flow_task wanted = flow->wanted;
    flow->working = false;
    flow->wanted = TASK_NONE;
    if (task->outcome == PACK_FAILED) {
        flow_worked_failed(flow, task);
    } else if (task->outcome == PACK_NO_CLOCK) {
        flow_hold(flow, FLOW_CLOCK_MS);
    } else if (wanted == TASK_CUT && task->outcome == PACK_EMPTY) {
        flow_end_range(flow, task->range);
    } else if (wanted == TASK_CUT && task->outcome == PACK_EVENT_BAD) {
        flow_worked_bad(flow, task);
    } else if (wanted == TASK_CUT) {
        flow_worked_cut(flow, task);
    } else if (task->outcome == PACK_EMPTY) {
        flow_end_empty(flow, task);
    } else if (wanted == TASK_HALVE) {
        flow_worked_halve(flow, task);
    } else if (wanted == TASK_ASIDE) {
        flow_worked_aside(flow, task);
    } else {
        flow_worked_built(flow, task);
    }
    flow_advance(flow);
}

/* --- opening a parcel --- */

/* Waits for more events, so that a request carries more: while fewer than fit are owed, at most
 * linger_ms. */
static bool flow_lingers(struct flow *flow)
{
    const struct uplink_host *host = flow->host;
    uint64_t now = loop_now_ms(host->forward->setup.loop);
    uint64_t owed = flow->owed.ranges[0].last - flow->owed.ranges[0].first + 1;
    if (host->setup.linger_ms == 0 || flow->stream->info.priority >= PRIORITY_AT_ONCE ||
        flow->owed.range_count > 1 || owed >= 1000 || host->forward->stopping) {
        flow->lingered_since_ms = 0;
        return false;
    }
    if (flow->lingered_since_ms == 0) {
        flow->lingered_since_ms = now ? now : 1;
    }
    uint64_t until = flow->lingered_since_ms + (uint64_t)host->setup.linger_ms;
    if (now >= until) {
        flow->lingered_since_ms = 0;
        return false;
    }
    flow_hold(flow, (int64_t)(until - now));
    return true;
}

static void flow_open_parcel(struct flow *flow)
{
    const struct uplink_host *host = flow->host;
    if (flow->owed.range_count == 0 || host->forward->stopping ||
        flow->pending_count > FLOW_PENDING_MAX - 2) {
        return;
    }
    if (host->lent_size >= UPLINK_LENT_SIZE_MAX || flow_lingers(flow)) {
        return;
    }
    flow_want(flow, TASK_CUT, 0);
}

/* --- an open parcel --- */

static bool flow_find_target(struct flow *flow)
{
    const struct forward_schema *schema =
        forward_schema_find(flow->host->forward, flow->parcel.schema);
    struct why why = {""};
    struct target target;
    enum err e = schema ? flow->host->uplink->class_->target(
                              flow->host->uplink, &flow->stream->info, &schema->info, &target, &why)
                        : ERR_CORRUPT;
    if (e == ERR_AGAIN) {
        flow->waits_for_uplink = true;
        return false;
    }
    if (e) {
        uplink_fault(flow->host, &why);
        flow_hold(flow, FLOW_PARK_MS);
        return false;
    }
    flow->target = target;
    memcpy(flow->target.name, flow->parcel.target, sizeof flow->target.name);
    memcpy(flow->target.cluster_id, flow->parcel.cluster_id, sizeof flow->target.cluster_id);
    if (!fault_planted("partitions-ignored")) {
        flow->target.partition_count = flow->parcel.partition_count;
    }
    flow->target_known = true;
    return true;
}

static void flow_send(struct flow *flow, uint32_t index)
{
    struct flow_batch *fb = flow->batches[index];
    struct uplink_host *host = flow->host;
    fb->batch.parcel = &flow->parcel;
    fb->batch.part = &flow->parcel.parts[index];
    fb->batch.target = flow->target;
    fb->state = BATCH_LENT;
    flow->lent_count++;
    link_began(&host->link, loop_now_ms(host->forward->setup.loop));
    if (fault_planted("range-early")) {
        uint64_t commit;
        struct part_done done = {
            .uplink = flow->parcel.uplink, .stream = flow->parcel.stream, .part = index};
        if (store_done_put(flow_store(flow), &done, &commit)) {
            return;
        }
    }
    host->uplink->class_->send(host->uplink, &fb->batch);
}

/* Numbers for these parts, and the record of them: committed before the first byte leaves. */
static void flow_assign(struct flow *flow, const uint32_t *parts, size_t count)
{
    struct uplink *uplink = flow->host->uplink;
    enum err e = uplink->class_->assign(uplink, &flow->parcel, parts, count);
    if (e) {
        flow->waits_for_uplink = e == ERR_AGAIN;
        if (!flow->waits_for_uplink) {
            flow_hold(flow, backoff_next_ms(&flow->backoff, 0, random_u32()));
        }
        return;
    }
    if (fault_planted("record-late")) {
        for (size_t i = 0; i < count; i++) {
            flow_send(flow, parts[i]);
        }
        return; /* recorded when the answer comes: flow_part_end() */
    }
    if (store_parcel_put(flow_store(flow), &flow->parcel, &flow->commit)) {
        flow->commit = 0; /* no room for it now: the numbers are given back, and asked for again */
        for (size_t i = 0; i < count; i++) {
            flow->parcel.parts[parts[i]].assigned = false;
        }
        flow_hold(flow, BACKOFF_FIRST_MS);
    }
}

/* What was answered while a commit was under way. */
static bool flow_report_held(struct flow *flow)
{
    for (uint32_t i = 0; i < PARCEL_PART_MAX && flow->has_parcel; i++) {
        if (flow->batches[i] && flow->batches[i]->state == BATCH_HELD && !flow_part_end(flow, i)) {
            flow_hold(flow, BACKOFF_FIRST_MS);
            return false;
        }
    }
    return true;
}

/* A refused part is halved or set aside when nothing of the parcel is lent: the parts move. */
static bool flow_mend_refused(struct flow *flow)
{
    for (uint32_t i = 0; i < flow->parcel.part_count; i++) {
        const struct flow_batch *fb = flow->batches[i];
        if (!fb || (fb->state != BATCH_REFUSED && fb->state != BATCH_ASIDE)) {
            continue;
        }
        if (flow->lent_count == 0) {
            flow_want(flow, fb->state == BATCH_REFUSED ? TASK_HALVE : TASK_ASIDE, i);
        }
        return true;
    }
    return false;
}

static void flow_send_current(struct flow *flow)
{
    uint32_t current[PARCEL_PART_MAX];
    uint32_t unassigned[PARCEL_PART_MAX];
    size_t unassigned_count = 0;
    size_t count = parts_current(&flow->parcel, current);
    for (size_t i = 0; i < count; i++) {
        if (!flow->batches[current[i]]) {
            flow_want(flow, TASK_BUILD, 0);
            return;
        }
        if (!flow->parcel.parts[current[i]].assigned &&
            flow->batches[current[i]]->state == BATCH_BUILT) {
            unassigned[unassigned_count++] = current[i];
        }
    }
    if (unassigned_count > 0) {
        flow_assign(flow, unassigned, unassigned_count);
        return;
    }
    for (size_t i = 0; i < count && !flow->host->forward->stopping; i++) {
        if (flow->batches[current[i]]->state == BATCH_BUILT) {
            flow_send(flow, current[i]);
        }
    }
}

void flow_advance(struct flow *flow)
{
    if (flow->working || flow->wanted != TASK_NONE || flow->commit ||
        flow->host->forward->closing) {
        return;
    }
    if (flow->has_parcel && !flow_report_held(flow)) {
        return;
    }
    forward_check_finished(flow->host->forward);
    if (flow->holds || flow->waits_for_uplink) {
        return;
    }
    if (!flow->has_parcel) {
        flow_open_parcel(flow);
        return;
    }
    if (flow->host->forward->stopping || (!flow->target_known && !flow_find_target(flow)) ||
        flow_mend_refused(flow)) {
        return;
    }
    flow_send_current(flow);
}

void flow_resume(struct flow *flow, const struct parcel *parcel)
{
    assert(!flow->has_parcel);
    flow->parcel = *parcel;
    flow->has_parcel = true;
    flow->target_known = false;
}

void flow_committed(struct flow *flow, uint64_t commit, const struct owed *owed)
{
    flow_pending_clear(flow, commit);
    if (owed) {
        flow->owed = *owed;
        for (size_t i = 0; i < flow->pending_count; i++) {
            owed_subtract(&flow->owed, flow->pending[i].range);
        }
    }
    if (flow->commit && flow->commit <= commit) {
        flow->commit = 0;
    }
    flow_advance(flow);
}

void flow_uplink_ready(struct flow *flow)
{
    if (flow->waits_for_uplink) {
        flow->waits_for_uplink = false;
        flow_advance(flow);
    }
}
