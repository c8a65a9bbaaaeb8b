#include "buffer/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum err state_open(struct state **ret, size_t pair_max)
{
    struct state *state = calloc(1, sizeof *state);
    if (!state) {
        return ERR_NOMEM;
    }
    state->owed_max = (uint32_t)pair_max;
    state->owed = calloc(state->owed_max, sizeof *state->owed);
    state->parcels = calloc(BUFFER_PARCEL_MAX, sizeof *state->parcels);
    if (!state->owed || !state->parcels) {
        state_close(state);
        return ERR_NOMEM;
    }
    state->gap_number_next = 1;
    *ret = state;
    return ERR_OK;
}

void state_close(struct state *state)
{
    if (state) {
        free(state->owed);
        free(state->parcels);
        free(state);
    }
}

void state_copy(struct state *to, const struct state *from)
{
    struct owed *owed = to->owed;
    struct parcel *parcels = to->parcels;
    assert(to->owed_max == from->owed_max);
    *to = *from;
    to->owed = owed;
    to->parcels = parcels;
    memcpy(to->owed, from->owed, from->owed_count * sizeof *to->owed);
    memcpy(to->parcels, from->parcels, from->parcel_count * sizeof *to->parcels);
}

size_t state_size_bound(const struct state *state)
{
    size_t size = STATE_REST_MAX + (size_t)state->owed_count * OWED_BYTES_MAX +
                  (size_t)state->gap_count * GAP_BYTES_MAX;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        size += state->streams[s].sequence_next > 0 ? STREAM_BYTES_MAX : 0;
    }
    for (uint32_t i = 0; i < state->parcel_count; i++) {
        size += PARCEL_BYTES_MAX + (size_t)state->parcels[i].part_count * PART_BYTES_MAX;
    }
    return size;
}

struct owed *state_owed(struct state *state, uint16_t uplink, uint16_t stream)
{
    for (uint32_t i = 0; i < state->owed_count; i++) {
        if (state->owed[i].uplink == uplink && state->owed[i].stream == stream) {
            return &state->owed[i];
        }
    }
    return NULL;
}

struct parcel *state_parcel(struct state *state, uint16_t uplink, uint16_t stream, uint8_t lane)
{
    for (uint32_t i = 0; i < state->parcel_count; i++) {
        struct parcel *parcel = &state->parcels[i];
        if (parcel->uplink == uplink && parcel->stream == stream && parcel->lane == lane) {
            return parcel;
        }
    }
    return NULL;
}

/* --- ranges --- */

static bool range_meets(struct range a, struct range b)
{
    return a.first <= b.last && b.first <= a.last;
}

static void range_hull(struct range *hull, struct range other)
{
    hull->first = other.first < hull->first ? other.first : hull->first;
    hull->last = other.last > hull->last ? other.last : hull->last;
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

/* --- operations --- */

void state_append(struct state *state, uint16_t stream, uint64_t first, uint64_t count,
                  uint64_t raw_size)
{
    struct state_stream *s = &state->streams[stream];
    assert(count > 0 && first == s->sequence_next);
    s->sequence_next = first + count;
    s->raw_total += raw_size;
    for (uint32_t i = 0; i < state->owed_count; i++) {
        if (state->owed[i].stream == stream) {
            owed_add(&state->owed[i], (struct range){first, first + count - 1});
        }
    }
}

static void parcel_remove(struct state *state, struct parcel *parcel)
{
    size_t index = (size_t)(parcel - state->parcels);
    state->parcel_count--;
    memmove(parcel, parcel + 1, (state->parcel_count - index) * sizeof *parcel);
}

void state_part_done(struct state *state, const struct part_done *done)
{
    struct parcel *parcel = state_parcel(state, done->uplink, done->stream, done->lane);
    if (!parcel || done->part >= parcel->part_count) {
        return; /* the parcel was closed before, or dropped: nothing to end */
    }
    parcel->parts[done->part].done = true;
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        if (!parcel->parts[i].done) {
            return;
        }
    }
    struct owed_end end = {done->uplink, done->stream, parcel->range};
    parcel_remove(state, parcel);
    state_owed_end(state, &end);
}

void state_owed_end(struct state *state, const struct owed_end *end)
{
    struct owed *owed = state_owed(state, end->uplink, end->stream);
    if (owed && !owed_cut(owed, end->range)) {
        /* Eight ranges already: what lies before goes on being owed and is read again, delivered
         * twice rather than lost. Cannot happen with parcels that begin at the lowest range. */
        assert(owed->range_count == OWED_RANGE_MAX);
    }
}

uint64_t state_owed_again(struct state *state, const struct owed_end *again)
{
    struct owed *owed = state_owed(state, again->uplink, again->stream);
    if (!owed) {
        return 0;
    }
    uint64_t before = owed_event_count(owed);
    owed_insert(owed, again->range);
    return owed_event_count(owed) - before;
}

bool state_parcel_open(struct state *state, const struct parcel *parcel)
{
    struct parcel *slot = state_parcel(state, parcel->uplink, parcel->stream, parcel->lane);
    if (!slot) {
        if (state->parcel_count == BUFFER_PARCEL_MAX) {
            return false;
        }
        slot = &state->parcels[state->parcel_count++];
    }
    *slot = *parcel;
    return true;
}

/* The latest boots are kept, in whatever order they come to be known. */
void state_boot(struct state *state, const struct boot_offset *boot)
{
    uint32_t lowest = 0;
    for (uint32_t i = 0; i < state->boot_count; i++) {
        if (state->boots[i].boot == boot->boot) {
            return; /* committed once, never revised */
        }
        lowest = state->boots[i].boot < state->boots[lowest].boot ? i : lowest;
    }
    if (state->boot_count < BOOT_COUNT_MAX) {
        state->boots[state->boot_count++] = *boot;
    } else if (state->boots[lowest].boot < boot->boot) {
        state->boots[lowest] = *boot;
    }
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

void state_rows_gone(struct state *state, uint16_t stream, uint64_t events, uint64_t bytes)
{
    struct state_stream *s = &state->streams[stream];
    s->row_events -= events < s->row_events ? events : s->row_events;
    s->row_bytes -= bytes < s->row_bytes ? bytes : s->row_bytes;
}

void state_rows_came(struct state *state, uint16_t stream, uint64_t events, uint64_t bytes)
{
    state->streams[stream].row_events += events;
    state->streams[stream].row_bytes += bytes;
}

uint64_t state_mean_size(const struct state *state, uint16_t stream)
{
    const struct state_stream *s = &state->streams[stream];
    uint64_t skipped = s->dropped[GAP_DROP_NEWEST] + 1;
    return s->sequence_next > skipped ? s->raw_total / (s->sequence_next - skipped) : 0;
}

uint64_t state_dropped(const struct state *state, uint16_t stream)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < GAP_REASON_COUNT; i++) {
        sum += state->streams[stream].dropped[i];
    }
    return sum;
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
