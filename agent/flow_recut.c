/* An uplink may become one of another type under the same name, and meet a parcel that is on record
 * for the type before: other partitions, other numbers, another destination. What is not done of it
 * goes out as a parcel of the new type, which takes its place on record. So nothing is lost, and at the
 * new destination everything is once; what the one before had got of it is at both. */
#include <inttypes.h>

#include "agent/backoff.h"
#include "agent/flow_impl.h"
#include "ports/log.h"

/* From the first part that is not done to the end of the last one: what lies in front and behind is
 * done in all partitions. */
static struct range recut_hull(const struct parcel *parcel)
{
    struct range hull = {UINT64_MAX, 0};
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        const struct part *part = &parcel->parts[i];
        if (!part->done) {
            hull.first = part->first < hull.first ? part->first : hull.first;
            hull.last = part->last > hull.last ? part->last : hull.last;
        }
    }
    return hull;
}

bool flow_recut_range(const struct flow *flow, struct range *ret)
{
    return debt_first_in(flow->debt, recut_hull(&flow->parcel), ret);
}

/* Parts of which something is, or may be, at the destination before, and which are sent anew. */
static uint32_t parts_at_both(const struct parcel *parcel, struct range hull)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        const struct part *part = &parcel->parts[i];
        bool meets = part->first <= hull.last && hull.first <= part->last;
        count += meets && (part->done || part->assigned);
    }
    return count;
}

void flow_recut_count(struct flow *flow, const struct parcel *before)
{
    uplink_count(flow->host, "in_doubt", parts_at_both(before, recut_hull(before)));
}

void flow_is_foreign(struct flow *flow)
{
    const struct parcel *parcel = &flow->parcel;
    struct range hull = recut_hull(parcel);
    flow->is_foreign = true;
    log_warn(
        flow_part_name(flow),
        "stream %s: %" PRIu64 "..%" PRIu64 " were being sent when this uplink had another type "
        "(%s, to %s): they go out by the type of now, and what had arrived there is then at both",
        flow->stream->info.name, hull.first, hull.last,
        parcel->type[0] ? parcel->type : "not known which", parcel->target);
}

/* False: it is still owed, and tried again. */
static bool end_what_is_done(struct flow *flow, struct range range)
{
    struct range owed;
    while (range.first <= range.last && debt_first_in(flow->debt, range, &owed)) {
        if (!flow_end_range(flow, owed)) {
            return false;
        }
    }
    return true;
}

/* Nothing of it is owed any more, which closes it. */
static void close_foreign(struct flow *flow)
{
    for (uint32_t i = 0; flow->has_parcel && i < flow->parcel.part_count; i++) {
        if (!flow->parcel.parts[i].done && !flow_part_end(flow, i)) {
            flow_hold(flow, BACKOFF_FIRST_MS);
            return;
        }
    }
    flow_advance(flow);
}

void flow_recut(struct flow *flow)
{
    struct range hull = recut_hull(&flow->parcel);
    struct range rest;
    if (flow->lent_count > 0 || flow->host->forward->stopping || !flow->debt->is_known) {
        return;
    }
    flow_drop_batches(flow);
    if (!flow_recut_range(flow, &rest)) {
        close_foreign(flow);
        return;
    }
    struct range before = {flow->parcel.range.first, hull.first - 1};
    struct range behind = {hull.last + 1, flow->parcel.range.last};
    if (end_what_is_done(flow, before) && end_what_is_done(flow, behind) &&
        flow_link_may_open(flow)) {
        flow_link_open(flow);
        flow_want(flow, TASK_CUT, 0);
    }
}
