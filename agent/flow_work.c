#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/flow_impl.h"
#include "agent/parts.h"
#include "ports/log.h"
#include "ports/random.h"

/* --- the workspace --- */

void flow_want(struct flow *flow, enum flow_task task, uint32_t part)
{
    flow->wanted = task;
    flow->wanted_part = part;
    forward_schedule(flow->host->forward);
}

size_t flow_raw_size_max(const struct flow *flow)
{
    uint64_t wire = host_request_size(flow->host, &flow->hold_on_link, flow->stream->info.priority);
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

/* Of all up to *ret_last. */
static uint32_t incarnation_at(const struct flow *flow, uint64_t sequence, uint64_t *ret_last)
{
    return buffer_incarnation_at(store_buffer(flow_store(flow)), flow->stream->info.number,
                                 sequence, ret_last);
}

uint32_t flow_incarnation(const struct flow *flow, uint64_t sequence)
{
    uint64_t last;
    return incarnation_at(flow, sequence, &last);
}

uint64_t flow_identity(const struct flow *flow, uint64_t sequence, char ret[FLOW_IDENTITY_SIZE])
{
    uint64_t last;
    uint32_t incarnation = incarnation_at(flow, sequence, &last);
    (void)snprintf(ret, FLOW_IDENTITY_SIZE, "%s/%08" PRIx32, flow->host->forward->setup.agent_id,
                   incarnation); /* fits */
    return last;
}

static bool flow_range_to_cut(struct flow *flow, struct range *ret)
{
    struct range ranges[DEBT_RANGE_MAX];
    if (flow->has_parcel) {
        flow->cuts_all = false;
        return flow->is_foreign && flow_recut_range(flow, ret);
    }
    size_t count = debt_ranges(flow->debt, flow->lane, ranges);
    *ret = ranges[0];
    flow->cuts_all = count == 1;
    return count > 0;
}

bool flow_task_fill(struct flow *flow, struct pack_task *task)
{
    struct forward *forward = flow->host->forward;
    struct range range;
    if (flow->wanted == TASK_CUT && !flow_range_to_cut(flow, &range)) {
        flow->wanted = TASK_NONE;
        flow_link_settle(flow); /* others may want the link meanwhile */
        return false;
    }
    *task = (struct pack_task){.uplink = &flow->host->setup,
                               .stream = flow->stream,
                               .agent_key = forward->identity,
                               .identity = forward->identity,
                               .parcel = &flow->parcel,
                               .raw_size_max = PACK_RAW_SIZE_MAX};
    if (flow->wanted == TASK_CUT) {
        task->cut = true;
        task->parcel = &forward->fresh;
        forward->fresh = (struct parcel){.lane = flow->lane}; /* the rest comes with the target */
        uint64_t last = flow_identity(flow, range.first, forward->identity);
        flow->cuts_all = flow->cuts_all && range.last <= last; /* the rest has another identity */
        task->range = (struct range){range.first, range.last < last ? range.last : last};
        task->raw_size_max = flow_raw_size_max(flow);
        return true;
    }
    flow_wanted_parts(flow, task);
    task->range = flow_task_range(flow, task);
    /* All of it has that, but for what an older version has cut, which knows one only and may have
     * gone over an end: the earlier one's names beyond it are another board's. */
    (void)flow_identity(flow, flow->parcel.range.last, forward->identity);
    return task->range.first <= task->range.last;
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
            /* No memory: what is built stays, the rest is built again. */
            flow_hold(flow, BACKOFF_FIRST_MS);
            break;
        }
    }
}

/* A parcel of the flow's own now, instead of another type's, if it had one. */
static void flow_take_cut(struct flow *flow, const struct pack_task *task)
{
    struct parcel *parcel = &flow->parcel;
    *parcel = *task->parcel;
    parcel->uplink = flow->host->setup.number;
    parcel->stream = flow->stream->info.number;
    parcel->schema = task->schema->number;
    parcel->incarnation = flow_incarnation(flow, parcel->range.last);
    parcel->partition_count = task->target.partition_count;
    memcpy(parcel->target, task->target.name, sizeof parcel->target);
    memcpy(parcel->cluster_id, task->target.cluster_id, sizeof parcel->cluster_id);
    (void)snprintf(parcel->type, sizeof parcel->type, "%s", flow->host->setup.class_->type);
    flow_parcel_set(flow, true);
    flow->on_record = flow->moved = flow->is_foreign = false;
}

static bool flow_has_all_batches(const struct flow *flow)
{
    for (uint32_t i = 0; i < flow->parcel.part_count; i++) {
        if (!flow->batches[i]) {
            return false;
        }
    }
    return true;
}

static void flow_worked_cut(struct flow *flow, struct pack_task *task)
{
    if (!debt_holds(flow->debt, task->parcel->range)) {
        return; /* some of it was dropped meanwhile: cut anew */
    }
    const struct parcel before = flow->parcel;
    bool was_foreign = flow->is_foreign;
    flow_take_cut(flow, task);
    flow->more = task->more;
    if (flow->lane == LANE_FRESH && flow->cuts_all && !task->more) {
        debt_is_level(flow->debt, loop_now_ms(flow->host->forward->setup.loop));
    }
    flow->target = task->target;
    flow->target_known = true;
    flow_worked_built(flow, task);
    if (flow_has_all_batches(flow)) {
        if (was_foreign) {
            flow_recut_count(flow, &before);
        }
    } else { /* no memory: as if nothing had been cut */
        flow_drop_batches(flow);
        flow->parcel = before;
        flow->on_record = flow->is_foreign = was_foreign;
        flow_parcel_set(flow, was_foreign);
        flow->target_known = false;
    }
}

bool flow_end_range(struct flow *flow, struct range range)
{
    uint64_t commit;
    struct owed_end end = {
        .uplink = flow->host->setup.number, .stream = flow->stream->info.number, .range = range};
    if (!debt_may_end(flow->debt, 1) || store_end_put(flow_store(flow), &end, &commit)) {
        flow_hold(flow, BACKOFF_FIRST_MS);
        return false;
    }
    debt_ended(flow->debt, range, commit);
    return true;
}

/* An event that no request can carry. */
static void flow_worked_bad(struct flow *flow, const struct pack_task *task)
{
    const struct rows *rows = pack_rows(flow->host->forward->pack);
    for (size_t i = 0; i < rows->event_count; i++) {
        const struct stored_event *row = &rows->events[i];
        struct range alone = {row->sequence, row->sequence};
        if (row->sequence != task->bad_sequence) {
            continue;
        }
        if (!debt_holds(flow->debt, alone)) {
            flow->aside_after = 0; /* lower ones may come, when they are replayed */
            return;                /* dropped meanwhile */
        }
        /* Once, though its end is put again. */
        if (flow->aside_after != row->sequence && !flow_aside_row(flow, row, task->bad_reason)) {
            flow_hold(flow, BACKOFF_FIRST_MS);
            return;
        }
        flow->aside_after = row->sequence;
        log_warn(flow_part_name(flow), "stream %s: event %" PRIu64 " set aside: %s",
                 flow->stream->info.name, row->sequence, task->bad_reason);
        /* With what is gone before it: one range more could be one too many. */
        alone.first =
            i == 0 && debt_holds(flow->debt, (struct range){task->range.first, alone.last})
                ? task->range.first
                : alone.first;
        if (flow_end_range(flow, alone)) {
            flow->aside_after = 0;
        }
        return;
    }
}

static void flow_worked_failed(struct flow *flow, const struct pack_task *task)
{
    if (task->e == ERR_CONFIG && task->why.text[0]) {
        flow_fault(flow, task->why.text); /* it takes a person */
    } else {
        log_error(flow_part_name(flow), "stream %s: %s; tried again", flow->stream->info.name,
                  task->why.text[0] ? task->why.text : err_name(task->e));
    }
    flow_hold(flow, backoff_next_ms(&flow->backoff, 0, random_u32()));
}

void flow_worked(struct flow *flow, struct pack_task *task)
{
    enum flow_task wanted = flow->wanted;
    flow->working = false;
    flow->wanted = TASK_NONE;
    if (task->outcome == PACK_FAILED) {
        flow_worked_failed(flow, task);
    } else if (task->outcome == PACK_MISPLACED) {
        flow_is_foreign(flow);
    } else if (task->outcome == PACK_NO_CLOCK) {
        flow_hold(flow, FLOW_CLOCK_MS);
    } else if (wanted == TASK_CUT && task->outcome == PACK_EMPTY) {
        /* Else it was taken back: to be salvaged; what can't be ended now is found empty again. */
        (void)(debt_holds(flow->debt, task->range) && flow_end_range(flow, task->range));
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
    pack_drop_built(task);
    flow_advance(flow); /* the workspace may be at work again behind it */
}
