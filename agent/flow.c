#include "agent/flow.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/flow_impl.h"
#include "agent/parts.h"
#include "ports/fault.h"
#include "ports/log.h"
#include "ports/random.h"

/* --- opening a parcel --- */

/* Is enough owed for a full batch, as far as that is known? */
static bool flow_is_full(const struct flow *flow, const struct range *ranges, size_t range_count)
{
    const struct stream_state *s =
        &store_state(flow_store(flow))->streams[flow->stream->info.number];
    uint64_t owed = ranges[0].last - ranges[0].first + 1;
    uint64_t mean = s->event_count ? s->size / s->event_count : 0;
    return range_count > 1 || flow->more || owed >= PACK_EVENT_MAX ||
           owed * mean >= flow_raw_size_max(flow);
}

/* Waits for more events, so that a request carries more: while there are fewer than a full batch,
 * at most linger_ms. Asked again with each commit. */
static bool flow_lingers(struct flow *flow, const struct range *ranges, size_t range_count)
{
    const struct uplink_host *host = flow->host;
    uint64_t now = loop_now_ms(host->forward->setup.loop);
    if (flow->lingered_since_ms == 0) {
        flow->lingered_since_ms = now ? now : 1;
    }
    uint64_t until = flow->lingered_since_ms + (uint64_t)host->setup.linger_ms;
    if (now >= until || flow->lane == LANE_BACKFILL ||
        flow->stream->info.priority >= PRIORITY_URGENT || flow_is_full(flow, ranges, range_count)) {
        flow->lingered_since_ms = 0;
        flow->holds = false;
        timer_disarm(&flow->timer);
        return false;
    }
    flow_hold(flow, (int64_t)(until - now));
    return true;
}

/* As many parcels as the buffer keeps may be open; each uplink has its part of them, a quarter of it
 * for what is urgent. Those that wait are asked again with each commit. While the disk fails one whose
 * end waits for it is open, too. */
static bool flow_may_open(const struct flow *flow)
{
    const struct uplink_host *host = flow->host;
    bool is_urgent = flow->stream->info.priority >= PRIORITY_URGENT;
    size_t share = FORWARD_PARCEL_MAX / host->forward->host_count;
    size_t most = is_urgent ? share : share - share / 4;
    size_t open = 0;
    for (size_t i = 0; host->flow_count > most && i < host->flow_count; i++) {
        const struct flow *other = &host->flows[i];
        open += other->has_parcel || other->wanted == TASK_CUT ||
                (other->debt->pending_count > 0 && store_is_failing(flow_store(flow)));
    }
    return open < most && (is_urgent || host->lent_size < UPLINK_LENT_SIZE_MAX);
}

/* The sequence that the stream's next event will have. */
static uint64_t flow_head(const struct flow *flow)
{
    return store_state(flow_store(flow))->streams[flow->stream->info.number].sequence_next;
}

/* Has it something to send now, or on the way? */
static bool flow_is_busy(const struct flow *flow)
{
    if (flow->working || flow->wanted != TASK_NONE || flow->commit || flow->lent_count > 0) {
        return true;
    }
    for (size_t i = 0; flow->has_parcel && i < flow->parcel.part_count; i++) {
        if (flow->batches[i] && flow->batches[i]->state == BATCH_BUILT) {
            return true;
        }
    }
    return false;
}

/* With fifo what an earlier life sent as backfill comes first. With fresh_first backfill goes when
 * nothing fresh of its priority does, or when its share is due. */
static bool flow_waits_for_lane(const struct flow *flow)
{
    struct uplink_host *host = flow->host;
    if (!flow->debt->fresh_first) {
        return flow->debt->open[LANE_BACKFILL].last > 0;
    }
    if (flow->lane == LANE_FRESH) {
        return false;
    }
    for (size_t i = 0; i < host->flow_count; i++) {
        const struct flow *other = &host->flows[i];
        if (other->lane == LANE_FRESH &&
            other->stream->info.priority == flow->stream->info.priority && flow_is_busy(other)) {
            return !share_is_due(&host->share);
        }
    }
    return false;
}

static void flow_open_parcel(struct flow *flow)
{
    struct debt *debt = flow->debt;
    struct range ranges[DEBT_RANGE_MAX];
    uint64_t now = loop_now_ms(flow->host->forward->setup.loop);
    bool asks_mark = debt->fresh_first && (flow->lane == LANE_FRESH || debt->mark == 0);
    if (asks_mark && debt_move_mark(debt, flow_head(flow), now) && flow->lane == LANE_FRESH) {
        flow_advance(&flow[1]); /* its backfill */
    }
    size_t count = debt_ranges(debt, flow->lane, ranges);
    if (flow->lane == LANE_FRESH && count == 0) {
        debt_is_level(debt, now);
    }
    bool may = count > 0 && !flow->host->forward->stopping && debt_may_end(debt, 2);
    bool gives_way = may && flow_waits_for_lane(flow);
    flow_link_give_way(flow, gives_way);
    if (!may) {
        return;
    }
    if (gives_way) {
        timer_arm(&flow->timer, FLOW_LANE_MS); /* unless an answer or a commit comes first */
        return;
    }
    bool has_lingered = flow->waits_for_link || !flow_lingers(flow, ranges, count);
    if (has_lingered && flow_may_open(flow) && flow_link_may_open(flow)) {
        flow_link_open(flow);
        flow_want(flow, TASK_CUT, 0);
    }
}

/* --- an open parcel --- */

void flow_wait_for_uplink(struct flow *flow, const struct why *why)
{
    flow->waits_for_uplink = true;
    if (why->text[0]) {
        flow_fault(flow, why->text);
    }
}

static bool flow_find_target(struct flow *flow)
{
    if (!flow_link_passes(flow)) {
        return false; /* an uplink that is asked connects */
    }
    const struct forward_schema *schema =
        forward_schema_find(flow->host->forward, flow->parcel.schema);
    struct why why = {""};
    struct target target = {.layout = flow->parcel.layout};
    enum err e = schema ? flow->host->uplink->class_->target(
                              flow->host->uplink, &flow->stream->info, &schema->info, &target, &why)
                        : ERR_CORRUPT;
    if (e == ERR_AGAIN) {
        flow_wait_for_uplink(flow, &why);
        return false;
    }
    if (e) {
        if (!schema) {
            why_set(&why, "schema %u of events in doubt is not in the buffer", flow->parcel.schema);
        }
        flow_fault(flow, why.text);
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
    flow_fault(flow, "");
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
        link_hold_give(&flow->hold_on_link);
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
    if (flow_parcel_put(flow, &flow->commit)) {
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

/* What is to be done with a refused part now: set aside what stands alone, before anything is
 * halved; else halve. TASK_NONE: nothing now. */
static enum flow_task flow_mending(const struct flow *flow, uint32_t *ret_index)
{
    enum flow_task task = TASK_NONE;
    for (uint32_t i = 0; i < flow->parcel.part_count; i++) {
        const struct flow_batch *fb = flow->batches[i];
        bool alone = fb && (fb->state == BATCH_ASIDE ||
                            (fb->state == BATCH_REFUSED && fb->batch.event_count == 1));
        if (alone) {
            *ret_index = i;
            return fb->state == BATCH_ASIDE ? TASK_ASIDE : TASK_HALVE; /* finds that it is alone */
        }
        if (fb && fb->state == BATCH_REFUSED && task == TASK_NONE &&
            parts_may_halve(&flow->parcel, i)) {
            task = TASK_HALVE;
            *ret_index = i;
        }
    }
    return task;
}

/* A refused part is halved or set aside when nothing of the parcel is lent: the parts move. Their
 * numbers then go to other events, which the disk has to know: else the next life sends the part under
 * them again, and what it is told of them is about the others. */
static bool flow_mend_refused(struct flow *flow)
{
    uint32_t index = 0;
    enum flow_task task = flow_mending(flow, &index);
    if (task != TASK_NONE && store_is_failing(flow_store(flow))) {
        flow_hold(flow, FLOW_DISK_MS);
    } else if (task != TASK_NONE && flow->lent_count == 0) {
        flow_want(flow, task, index);
    }
    return task != TASK_NONE;
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
    }
    if (!flow_link_may_send(flow)) {
        return;
    }
    /* What has its numbers is sent first: an uplink may give others only when these are settled. */
    for (size_t i = 0; i < count; i++) {
        if (flow->batches[current[i]]->state != BATCH_BUILT) {
            continue;
        }
        if (flow->parcel.parts[current[i]].assigned) {
            flow_send(flow, current[i]);
        } else {
            unassigned[unassigned_count++] = current[i];
        }
    }
    if (unassigned_count > 0) {
        flow_assign(flow, unassigned, unassigned_count);
    }
}

void flow_advance(struct flow *flow)
{
    flow_link_settle(flow);
    if (flow->working || flow->wanted != TASK_NONE || flow->commit ||
        flow->host->forward->closing) {
        return;
    }
    if (flow->has_parcel && !flow_report_held(flow)) {
        return;
    }
    forward_check_finished(flow->host->forward);
    if ((flow->holds && flow->lingered_since_ms == 0) || flow->waits_for_uplink) {
        return;
    }
    if (!flow->has_parcel) {
        flow_open_parcel(flow);
        return;
    }
    if (flow->is_foreign) {
        flow_recut(flow);
        return;
    }
    if (flow->host->forward->stopping || (!flow->target_known && !flow_find_target(flow)) ||
        flow_mend_refused(flow)) {
        return;
    }
    flow_send_current(flow);
}

/* What an earlier life, or the agent before a reload, may have sent, and of which no answer is on
 * record, to a service that can't tell. */
static void flow_resume_in_doubt(struct flow *flow)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < flow->parcel.part_count; i++) {
        count += flow->parcel.parts[i].assigned && !flow->parcel.parts[i].done;
    }
    if (count == 0 || flow->is_foreign || !flow->host->setup.class_->forgets) {
        return;
    }
    uplink_count(flow->host, "in_doubt", count);
    log_warn(flow_part_name(flow),
             "stream %s, %" PRIu64 "..%" PRIu64
             ": was being sent, and goes out again: what is stored of it is there twice, under the "
             "same ids",
             flow->stream->info.name, flow->parcel.range.first, flow->parcel.range.last);
}

void flow_resume(struct flow *flow, const struct parcel *parcel)
{
    assert(!flow->has_parcel);
    flow->parcel = *parcel;
    flow->parcel.incarnation = flow_incarnation(flow, parcel->range.last);
    flow_parcel_set(flow, true);
    flow->in_doubt = true; /* what of it an earlier life has sent nobody knows */
    flow->on_record = true;
    flow->target_known = false;
    if (parcel->type[0] && strcmp(parcel->type, flow->host->setup.class_->type) != 0) {
        flow_is_foreign(flow);
    }
    flow_resume_in_doubt(flow);
}

/* Events may be dropped until they are in a parcel on record. When that happened to some of this
 * one, it is cut anew: what is counted as dropped must not arrive. */
static void flow_check_cut(struct flow *flow)
{
    if (!flow->has_parcel || flow->on_record || flow->lent_count > 0 ||
        debt_holds(flow->debt, flow->parcel.range)) {
        return;
    }
    if (flow->commit) {
        store_parcel_withdraw(flow_store(flow), &flow->parcel);
        flow->commit = 0;
    }
    flow_drop_batches(flow);
    flow_parcel_set(flow, false);
    flow->target_known = false;
}

void flow_committed(struct flow *flow, uint64_t commit)
{
    if (flow->commit && flow->commit <= commit) {
        flow->commit = 0;
        flow->on_record = true;
    }
    flow_check_cut(flow);
}

void flow_uplink_ready(struct flow *flow)
{
    if (flow->waits_for_uplink) {
        flow->waits_for_uplink = false;
        flow_advance(flow);
    }
}
