#include "agent/debt.h"

#include <assert.h>

void debt_init(struct debt *debt, uint16_t uplink, uint16_t stream)
{
    *debt = (struct debt){.owed = {.uplink = uplink, .stream = stream}};
}

void owed_subtract(struct owed *owed, struct range gone)
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

static void pending_clear(struct debt *debt, uint64_t commit)
{
    size_t kept = 0;
    for (size_t i = 0; i < debt->pending_count; i++) {
        if (debt->pending[i].commit > commit) {
            debt->pending[kept++] = debt->pending[i];
        }
    }
    debt->pending_count = kept;
}

void debt_committed(struct debt *debt, uint64_t commit, const struct owed *owed)
{
    pending_clear(debt, commit);
    if (!owed) {
        return;
    }
    debt->owed = *owed;
    debt->is_known = true;
    for (size_t i = 0; i < debt->pending_count; i++) {
        owed_subtract(&debt->owed, debt->pending[i].range);
    }
}

bool debt_may_end(const struct debt *debt, size_t count)
{
    size_t open = 0;
    for (size_t i = 0; i < PARCEL_OPEN_MAX; i++) {
        open += debt->open[i].last > 0;
    }
    return debt->pending_count + open + count <= DEBT_PENDING_MAX;
}

void debt_ended(struct debt *debt, struct range range, uint64_t commit)
{
    owed_subtract(&debt->owed, range);
    assert(debt->pending_count < DEBT_PENDING_MAX);
    debt->pending[debt->pending_count++] = (struct pending_end){range, commit};
}

bool debt_holds(const struct debt *debt, struct range range)
{
    for (size_t i = 0; i < debt->owed.range_count; i++) {
        const struct range *r = &debt->owed.ranges[i];
        if (r->first <= range.first && range.last <= r->last) {
            return true;
        }
    }
    return false;
}

bool debt_first_in(const struct debt *debt, struct range range, struct range *ret)
{
    for (size_t i = 0; i < debt->owed.range_count; i++) {
        struct range r = debt->owed.ranges[i];
        if (r.first <= range.last && range.first <= r.last) {
            ret->first = r.first > range.first ? r.first : range.first;
            ret->last = r.last < range.last ? r.last : range.last;
            return true;
        }
    }
    return false;
}

uint64_t debt_count(const struct debt *debt)
{
    uint64_t count = 0;
    for (size_t i = 0; i < debt->owed.range_count; i++) {
        count += debt->owed.ranges[i].last - debt->owed.ranges[i].first + 1;
    }
    return count;
}

size_t debt_ranges(const struct debt *debt, uint8_t lane, struct range ret[DEBT_RANGE_MAX])
{
    size_t count = 0;
    bool is_fresh = lane == LANE_FRESH;
    if (debt->fresh_first && debt->mark == 0) {
        return 0;
    }
    struct range other = debt->open[is_fresh ? LANE_BACKFILL : LANE_FRESH];
    for (size_t i = 0; i < debt->owed.range_count; i++) {
        struct range r = debt->owed.ranges[i];
        if (debt->fresh_first && is_fresh && r.first < debt->mark) {
            r.first = debt->mark;
        } else if (!is_fresh && r.last >= debt->mark) {
            r.last = debt->mark > 0 ? debt->mark - 1 : 0;
        }
        bool meets = other.last > 0 && r.first <= other.last && other.first <= r.last;
        struct range before = meets ? (struct range){r.first, other.first - 1} : r;
        struct range behind = meets ? (struct range){other.last + 1, r.last} : (struct range){1, 0};
        if (before.first <= before.last) {
            ret[count++] = before;
        }
        if (behind.first <= behind.last) {
            ret[count++] = behind;
        }
    }
    return count;
}

bool debt_move_mark(struct debt *debt, uint64_t head, uint64_t now_ms)
{
    assert(debt->fresh_first && head >= debt->mark);
    bool moves = debt->mark == 0 || (now_ms - debt->level_ms > debt->behind_max_ms &&
                                     debt->owed.range_count < DEBT_MARK_RANGE_MAX);
    if (moves) {
        debt->mark = head;
        debt->level_ms = now_ms;
    }
    return moves;
}

void debt_is_level(struct debt *debt, uint64_t now_ms)
{
    debt->level_ms = now_ms;
}
