/* What is owed: ranges of sequences, at most eight a stream and uplink, and what they say of events,
 * rows and backlog. */
#include "buffer/state.h"

#include <assert.h>
#include <string.h>

static bool range_meets(struct range a, struct range b)
{
    return a.first <= b.last && b.first <= a.last;
}

bool range_common(struct range a, struct range b, struct range *ret)
{
    ret->first = a.first > b.first ? a.first : b.first;
    ret->last = a.last < b.last ? a.last : b.last;
    return ret->first <= ret->last;
}

void owed_add(struct owed *owed, struct range range)
{
    assert(range.first >= 1 && range.first <= range.last);
    if (owed->range_count > 0) {
        struct range *last = &owed->ranges[owed->range_count - 1];
        assert(range.first > last->last);
        if (range.first == last->last + 1 || owed->range_count == OWED_RANGE_MAX) {
            last->last = range.last;
            return;
        }
    }
    owed->ranges[owed->range_count++] = range;
}

bool owed_cut(struct owed *owed, struct range gone)
{
    struct owed rest = {.uplink = owed->uplink, .stream = owed->stream};
    for (size_t i = 0; i < owed->range_count; i++) {
        struct range r = owed->ranges[i];
        bool meets = range_meets(r, gone);
        struct range left = {r.first, meets ? gone.first - 1 : r.last};
        struct range right = {gone.last + 1, r.last};
        if ((!meets || r.first < gone.first)) {
            if (rest.range_count == OWED_RANGE_MAX) {
                return false;
            }
            rest.ranges[rest.range_count++] = left;
        }
        if (meets && r.last > gone.last) {
            if (rest.range_count == OWED_RANGE_MAX) {
                return false;
            }
            rest.ranges[rest.range_count++] = right;
        }
    }
    *owed = rest;
    return true;
}

bool owed_meets(const struct owed *owed, struct range range)
{
    for (size_t i = 0; i < owed->range_count; i++) {
        if (range_meets(owed->ranges[i], range)) {
            return true;
        }
    }
    return false;
}

uint64_t owed_event_count(const struct owed *owed)
{
    uint64_t count = 0;
    for (size_t i = 0; i < owed->range_count; i++) {
        count += owed->ranges[i].last - owed->ranges[i].first + 1;
    }
    return count;
}

uint64_t owed_count_in(const struct owed *owed, struct range range)
{
    uint64_t count = 0;
    for (size_t i = 0; i < owed->range_count; i++) {
        struct range r = owed->ranges[i];
        if (range_meets(r, range)) {
            r.first = r.first > range.first ? r.first : range.first;
            r.last = r.last < range.last ? r.last : range.last;
            count += r.last - r.first + 1;
        }
    }
    return count;
}

/* The two neighbours that lie nearest to each other become one. */
static void ranges_merge_nearest(struct range *ranges, size_t *count)
{
    size_t nearest = 0;
    for (size_t i = 1; i + 1 < *count; i++) {
        if (ranges[i + 1].first - ranges[i].last <
            ranges[nearest + 1].first - ranges[nearest].last) {
            nearest = i;
        }
    }
    ranges[nearest].last = ranges[nearest + 1].last;
    *count -= 1;
    memmove(&ranges[nearest + 1], &ranges[nearest + 2], (*count - nearest - 1) * sizeof ranges[0]);
}

void owed_insert(struct owed *owed, struct range range)
{
    struct range ranges[OWED_RANGE_MAX + 1];
    size_t count = 0;
    size_t i = 0;
    assert(range.first >= 1 && range.first <= range.last);
    while (i < owed->range_count && owed->ranges[i].last + 1 < range.first) {
        ranges[count++] = owed->ranges[i++];
    }
    for (; i < owed->range_count && owed->ranges[i].first <= range.last + 1; i++) {
        const struct range *r = &owed->ranges[i];
        range.first = r->first < range.first ? r->first : range.first;
        range.last = r->last > range.last ? r->last : range.last;
    }
    ranges[count++] = range;
    while (i < owed->range_count) {
        ranges[count++] = owed->ranges[i++];
    }
    while (count > OWED_RANGE_MAX - 1 && count > owed->range_count) {
        ranges_merge_nearest(ranges, &count);
    }
    memcpy(owed->ranges, ranges, count * sizeof ranges[0]);
    owed->range_count = (uint8_t)count;
}

bool state_is_owed(const struct state *state, uint16_t stream, struct range range)
{
    for (uint32_t i = 0; i < state->owed_count; i++) {
        if (state->owed[i].stream == stream && owed_meets(&state->owed[i], range)) {
            return true;
        }
    }
    return false;
}

uint64_t state_in_flight(const struct state *state, uint16_t uplink, uint16_t stream,
                         struct range range)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < state->parcel_count; i++) {
        const struct parcel *p = &state->parcels[i];
        if (p->stream == stream && (uplink == 0 || p->uplink == uplink) &&
            range_meets(p->range, range) && p->range.last > last) {
            last = p->range.last;
        }
    }
    return last;
}

uint64_t state_owed_end_of(const struct state *state, uint16_t stream, struct range range)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        for (size_t r = 0; owed->stream == stream && r < owed->range_count; r++) {
            if (range_meets(owed->ranges[r], range) && owed->ranges[r].last > last) {
                last = owed->ranges[r].last;
            }
        }
    }
    return last;
}

uint64_t state_lowest_owed(const struct state *state, uint16_t stream)
{
    uint64_t lowest = state->streams[stream].sequence_next;
    for (uint32_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        if (owed->stream == stream && owed->range_count > 0 && owed->ranges[0].first < lowest) {
            lowest = owed->ranges[0].first;
        }
    }
    return lowest;
}

struct range state_owed_behind(const struct state *state, uint16_t stream, uint64_t at)
{
    struct range next = {UINT64_MAX, 0};
    for (uint32_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        for (size_t r = 0; owed->stream == stream && r < owed->range_count; r++) {
            uint64_t first = owed->ranges[r].first > at ? owed->ranges[r].first : at + 1;
            if (owed->ranges[r].last > at && first < next.first) {
                next = (struct range){first, owed->ranges[r].last};
            }
        }
    }
    return next;
}

uint64_t state_backlog_in(const struct state *state, uint16_t stream, struct range range)
{
    uint64_t count = 0;
    uint64_t at = range.first - 1; /* everything up to here is counted */
    while (at < range.last) {
        struct range next = state_owed_behind(state, stream, at);
        next.last = next.last < range.last ? next.last : range.last;
        if (next.first > next.last) {
            return count;
        }
        count += next.last - next.first + 1;
        at = next.last;
    }
    return count;
}

uint64_t state_backlog(const struct state *state, uint16_t stream)
{
    return state_backlog_in(state, stream, (struct range){1, UINT64_MAX - 1});
}
