#include "agent/flow.h"

#include <assert.h>
#include <string.h>

#include "agent/flow_impl.h"
#include "agent/parts.h"
#include "ports/fault.h"
#include "ports/random.h"

#define PRIORITY_AT_ONCE 7

/* --- opening a parcel --- */

/* Waits for more events, so that a request carries more: while fewer than fit are owed, at most
 * linger_ms. */
static bool flow_lingers(struct flow *flow)
{
    const struct uplink_host *host = flow->host;
    uint64_t now = loop_now_ms(host->forward->setup.loop);
    uint64_t owed = flow->owed.ranges[0].last - flow->owed.ranges[0].first + 1;
    if (host->setup.linger_ms == 0 || flow->stream->info.priority >= PRIORITY_AT_ONCE ||
        flow->owed.range_count > 1 || flow->more || owed >= 1000 || host->forward->stopping) {
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
    flow->on_record = true;
    flow->target_known = false;
}

/* Events may be dropped until they are in a parcel on record. When that happened to some of this
 * one, it is cut anew: what is counted as dropped must not arrive. */
static void flow_check_cut(struct flow *flow)
{
    if (!flow->has_parcel || flow->on_record || flow->lent_count > 0 ||
        owed_holds(&flow->owed, flow->parcel.range)) {
        return;
    }
    if (flow->commit) {
        store_parcel_withdraw(flow_store(flow), &flow->parcel);
        flow->commit = 0;
    }
    flow_drop_batches(flow);
    flow->has_parcel = false;
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
