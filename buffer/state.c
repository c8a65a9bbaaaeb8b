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

void state_parcel_forget(struct state *state, struct parcel *parcel)
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
    state_parcel_forget(state, parcel);
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

bool state_time(const struct state *state, struct stored_event *event)
{
    const struct boot_offset *known = NULL;
    if (event->trust != TIME_BOOT) {
        return true;
    }
    for (uint32_t i = 0; i < state->boot_count; i++) {
        const struct boot_offset *boot = &state->boots[i];
        known = boot->boot >= event->boot && (!known || boot->boot < known->boot) ? boot : known;
    }
    if (!known) {
        return false;
    }
    bool is_own = known->boot == event->boot;
    uint64_t since_us = is_own ? (uint64_t)event->time_us : 0; /* a damaged one may be any number */
    event->time_us = (int64_t)((uint64_t)known->offset_us + since_us);
    event->trust = is_own && !known->is_estimate ? TIME_LATER : TIME_ESTIMATE;
    return true;
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
