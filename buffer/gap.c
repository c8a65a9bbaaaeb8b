/* Gaps that are not told yet: neighbours grow together, and beyond their most the oldest are merged.
 * Counts stay exact, ranges become hulls. */
#include "buffer/state.h"

#include <assert.h>
#include <string.h>

static void range_hull(struct range *hull, struct range other)
{
    hull->first = other.first < hull->first ? other.first : hull->first;
    hull->last = other.last > hull->last ? other.last : hull->last;
}

static void gap_remove(struct state *state, uint32_t index)
{
    state->gap_count--;
    memmove(&state->gaps[index], &state->gaps[index + 1],
            (state->gap_count - index) * sizeof state->gaps[0]);
}

void state_gap_told(struct state *state, uint32_t number)
{
    for (uint32_t i = 0; i < state->gap_count; i++) {
        if (state->gaps[i].number == number) {
            gap_remove(state, i);
            return;
        }
    }
}

static bool gap_grow(struct state *state, const struct gap *gap, bool adjacent_only)
{
    for (uint32_t i = state->gap_count; i-- > 0;) {
        struct gap *known = &state->gaps[i];
        bool same = known->stream == gap->stream && known->uplink == gap->uplink &&
                    known->reason == gap->reason;
        if (same && (!adjacent_only || known->range.last + 1 == gap->range.first)) {
            range_hull(&known->range, gap->range);
            known->count += gap->count;
            return true;
        }
    }
    return false;
}

/* The two oldest gaps of this stream (0: of any one) become one, whose reason is that it was
 * merged; those of one uplink, or else of any. */
static bool gap_merge_two(struct state *state, uint16_t stream, bool same_uplink)
{
    for (uint32_t i = 0; i < state->gap_count; i++) {
        struct gap *a = &state->gaps[i];
        for (uint32_t j = i + 1; j < state->gap_count && (stream == 0 || a->stream == stream);
             j++) {
            const struct gap *b = &state->gaps[j];
            if (a->stream != b->stream || (same_uplink && a->uplink != b->uplink)) {
                continue;
            }
            range_hull(&a->range, b->range);
            a->count += b->count;
            a->reason = a->reason == b->reason ? a->reason : GAP_MERGED;
            a->uplink = a->uplink == b->uplink ? a->uplink : 0;
            gap_remove(state, j);
            return true;
        }
    }
    return false;
}

static uint32_t gap_count_of(const struct state *state, uint16_t stream)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < state->gap_count; i++) {
        count += state->gaps[i].stream == stream;
    }
    return count;
}

static bool gap_has_room(const struct state *state, uint16_t stream)
{
    return state->gap_count < GAP_COUNT_MAX && gap_count_of(state, stream) < GAP_STREAM_COUNT_MAX;
}

static void gap_make_room(struct state *state, uint16_t stream)
{
    bool is_own = gap_count_of(state, stream) == GAP_STREAM_COUNT_MAX;
    uint16_t whose = is_own ? stream : 0;
    bool merged = gap_merge_two(state, whose, true) || gap_merge_two(state, whose, false);
    assert(merged); /* there are more gaps than streams */
}

static void cut_owed(struct state *state, const struct gap *gap)
{
    for (uint32_t i = 0; i < state->owed_count; i++) {
        struct owed *owed = &state->owed[i];
        bool concerns =
            owed->stream == gap->stream && (gap->uplink == 0 || gap->uplink == owed->uplink);
        if (concerns && !owed_cut(owed, gap->range)) {
            continue; /* stays owed; its rows are gone and are passed over when read */
        }
    }
}

static void gap_add(struct state *state, const struct gap *gap)
{
    state->streams[gap->stream].dropped[gap->reason] += gap->count;
    if (gap_grow(state, gap, true)) {
        return;
    }
    if (!gap_has_room(state, gap->stream)) {
        if (gap_grow(state, gap, false)) {
            return;
        }
        gap_make_room(state, gap->stream);
    }
    state->gaps[state->gap_count] = *gap;
    state->gaps[state->gap_count].number = state->gap_number_next++;
    state->gap_count++;
}

void state_drop(struct state *state, const struct gap *gap)
{
    assert(gap->reason > 0 && gap->reason < GAP_REASON_COUNT);
    if (gap->reason != GAP_THIN && gap->reason != GAP_DROP_NEWEST) {
        cut_owed(state, gap);
    }
    if (gap->count > 0) { /* else nothing was there any more */
        gap_add(state, gap);
    }
}

void state_raise(struct state *state, uint16_t stream, uint64_t by, uint64_t count)
{
    struct state_stream *s = &state->streams[stream];
    struct gap gap = {.stream = stream,
                      .reason = GAP_DAMAGED,
                      .range = {s->sequence_next, s->sequence_next + by - 1},
                      .count = count};
    assert(s->sequence_next > 0 && by > 0);
    /* The mean size of an event stays. */
    s->raw_total += s->sequence_next > 1 ? s->raw_total / (s->sequence_next - 1) * by : 0;
    s->sequence_next += by;
    gap_add(state, &gap);
}

void state_lost(struct state *state, uint16_t stream, struct range range)
{
    const struct gap gap = {.stream = stream, .reason = GAP_DAMAGED, .range = range};
    gap_add(state, &gap);
}

const char *gap_reason_name(uint8_t reason)
{
    static const char *const names[GAP_REASON_COUNT] = {[GAP_DROP_OLDEST] = "drop_oldest",
                                                        [GAP_HOLD_MAX] = "hold_max",
                                                        [GAP_DAMAGED] = "damaged",
                                                        [GAP_MERGED] = "merged",
                                                        [GAP_DROP_NEWEST] = "drop_newest",
                                                        [GAP_THIN] = "thin",
                                                        [GAP_AGE] = "age",
                                                        [GAP_BY_HAND] = "by_hand"};
    return reason > 0 && reason < GAP_REASON_COUNT ? names[reason] : "unknown";
}
