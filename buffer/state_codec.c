/* The snapshot of the state. Numbers are LEB128 (uvarint, and zig-zag varint where they may be
 * negative), in this order:
 *
 *   version, commit, generation, aside count, size, dropped, next gap number
 *   streams: count, each: number, next sequence, raw total, dropped by each reason from 1 on, oldest
 *     time, events and bytes in rows
 *   owed: count, each: uplink, stream, ranges: count, each: first, last
 *   parcels: count, each as parcel_encode()
 *   gaps: count, each: number, stream, uplink, reason, first, last, count
 *   boots: count, each: boot, offset, 1 if it is an estimate
 *
 * Version 1, which is still read, had of each stream one number of dropped events, and nothing of its rows. Within it came a
 * parcel's key, and whether a boot's offset is an estimate: it is read in each of these forms, and the one that takes
 * every byte is the right one.
 */
#include <string.h>

#include "buffer/state.h"

#define SNAPSHOT_VERSION 3
#define SNAPSHOT_VERSION_UNTYPED 2 /* the same; no parcel says for which type of uplink it is */
#define LANE_HAS_TYPE 0x80         /* with a parcel's lane: its type stands behind its layout */

/* What a version has. */
struct form {
    bool is_old;
    bool has_key;
    bool has_estimate;
};

static void put_range(struct out *o, struct range range)
{
    out_put_uvarint(o, range.first);
    out_put_uvarint(o, range.last);
}

static void put_text(struct out *o, const char *text)
{
    struct slice s = slice_of_text(text);
    out_put_uvarint(o, s.size);
    out_put_slice(o, s);
}

void parcel_encode(const struct parcel *parcel, struct out *ret)
{
    out_put_uvarint(ret, parcel->uplink);
    out_put_uvarint(ret, parcel->stream);
    out_put_byte(ret, (uint8_t)(parcel->lane | (parcel->type[0] ? LANE_HAS_TYPE : 0)));
    out_put_byte(ret, parcel->layout);
    if (parcel->type[0]) {
        put_text(ret, parcel->type);
    }
    out_put_uvarint(ret, parcel->schema);
    out_put_uvarint(ret, parcel->key);
    put_range(ret, parcel->range);
    put_text(ret, parcel->target);
    put_text(ret, parcel->cluster_id);
    out_put_uvarint(ret, parcel->partition_count);
    out_put_uvarint(ret, parcel->part_count);
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        const struct part *part = &parcel->parts[i];
        out_put_byte(ret, (uint8_t)(part->done | part->assigned << 1 | part->stamp << 2));
        out_put_uvarint(ret, part->partition);
        put_range(ret, (struct range){part->first, part->last});
        out_put_uvarint(ret, part->record_count);
        out_put_uvarint(ret, part->events_per_record);
        out_put_varint(ret, part->producer_id);
        out_put_varint(ret, part->producer_epoch);
        out_put_varint(ret, part->base_sequence);
        out_put_varint(ret, part->sent_ms);
    }
}

/* A reader that remembers whether anything was wrong, so that it is asked once. */
struct taker {
    struct slice data;
    bool bad;
};

static uint64_t take(struct taker *t, uint64_t max)
{
    uint64_t value = 0;
    if (t->bad || !slice_take_uvarint(&t->data, &value) || value > max) {
        t->bad = true;
        return 0;
    }
    return value;
}

static int64_t take_signed(struct taker *t)
{
    int64_t value = 0;
    if (t->bad || !slice_take_varint(&t->data, &value)) {
        t->bad = true;
        return 0;
    }
    return value;
}

static struct range take_range(struct taker *t)
{
    struct range range = {take(t, UINT64_MAX), take(t, UINT64_MAX)};
    t->bad = t->bad || range.first < 1 || range.last < range.first;
    return range;
}

static void take_text(struct taker *t, char *text, size_t text_size)
{
    struct slice s = {NULL, 0};
    uint64_t size = take(t, text_size - 1);
    if (t->bad || !slice_take(&t->data, (size_t)size, &s) || !slice_to_text(s, text, text_size)) {
        t->bad = true;
    }
}

static void take_part(struct taker *t, struct part *part)
{
    uint64_t flags = 0;
    uint8_t byte = 0;
    t->bad = t->bad || !slice_take_u8(&t->data, &byte) || byte >> 2 > PART_STAMP_EVENT;
    flags = byte;
    part->done = flags & 1;
    part->assigned = flags >> 1 & 1;
    part->stamp = (uint8_t)(flags >> 2);
    part->partition = (uint32_t)take(t, INT32_MAX);
    struct range range = take_range(t);
    part->first = range.first;
    part->last = range.last;
    part->record_count = (uint32_t)take(t, UINT32_MAX);
    part->events_per_record = (uint32_t)take(t, UINT32_MAX);
    part->producer_id = take_signed(t);
    part->producer_epoch = (int32_t)take_signed(t);
    part->base_sequence = take_signed(t);
    part->sent_ms = take_signed(t);
}

bool parcel_decode(struct parcel *ret, bool has_key, struct slice *data)
{
    struct taker t = {.data = *data};
    memset(ret, 0, sizeof *ret);
    ret->uplink = (uint16_t)take(&t, UINT16_MAX);
    ret->stream = (uint16_t)take(&t, STREAM_COUNT_MAX);
    if (t.bad || !slice_take_u8(&t.data, &ret->lane) || !slice_take_u8(&t.data, &ret->layout)) {
        return false;
    }
    if (ret->lane & LANE_HAS_TYPE) {
        ret->lane &= (uint8_t)~LANE_HAS_TYPE;
        take_text(&t, ret->type, sizeof ret->type);
    }
    ret->schema = (uint32_t)take(&t, UINT32_MAX);
    ret->key = has_key ? (uint32_t)take(&t, UINT32_MAX) : (uint32_t)PARCEL_KEY_UNSAID;
    ret->range = take_range(&t);
    take_text(&t, ret->target, sizeof ret->target);
    take_text(&t, ret->cluster_id, sizeof ret->cluster_id);
    ret->partition_count = (uint32_t)take(&t, INT32_MAX);
    ret->part_count = (uint32_t)take(&t, PARCEL_PART_MAX);
    for (uint32_t i = 0; !t.bad && i < ret->part_count; i++) {
        take_part(&t, &ret->parts[i]);
    }
    if (t.bad || ret->lane >= PARCEL_OPEN_MAX || ret->part_count == 0 || ret->stream == 0) {
        return false;
    }
    *data = t.data;
    return true;
}

static void put_streams(const struct state *state, struct out *o)
{
    uint64_t count = 0;
    for (size_t i = 1; i <= STREAM_COUNT_MAX; i++) {
        count += state->streams[i].sequence_next > 0;
    }
    out_put_uvarint(o, count);
    for (size_t i = 1; i <= STREAM_COUNT_MAX; i++) {
        const struct state_stream *s = &state->streams[i];
        if (s->sequence_next > 0) {
            out_put_uvarint(o, i);
            out_put_uvarint(o, s->sequence_next);
            out_put_uvarint(o, s->raw_total);
            for (size_t reason = 1; reason < GAP_REASON_COUNT; reason++) {
                out_put_uvarint(o, s->dropped[reason]);
            }
            out_put_varint(o, s->oldest_time_us);
            out_put_uvarint(o, s->row_events);
            out_put_uvarint(o, s->row_bytes);
        }
    }
}

static void put_owed(const struct state *state, struct out *o)
{
    out_put_uvarint(o, state->owed_count);
    for (uint32_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        out_put_uvarint(o, owed->uplink);
        out_put_uvarint(o, owed->stream);
        out_put_uvarint(o, owed->range_count);
        for (size_t r = 0; r < owed->range_count; r++) {
            put_range(o, owed->ranges[r]);
        }
    }
}

void state_encode(const struct state *state, struct out *ret)
{
    out_put_uvarint(ret, SNAPSHOT_VERSION);
    out_put_uvarint(ret, state->commit);
    out_put_uvarint(ret, state->generation);
    out_put_uvarint(ret, state->aside_count);
    out_put_uvarint(ret, state->aside_size);
    out_put_uvarint(ret, state->aside_dropped);
    out_put_uvarint(ret, state->gap_number_next);
    put_streams(state, ret);
    put_owed(state, ret);
    out_put_uvarint(ret, state->parcel_count);
    for (uint32_t i = 0; i < state->parcel_count; i++) {
        parcel_encode(&state->parcels[i], ret);
    }
    out_put_uvarint(ret, state->gap_count);
    for (uint32_t i = 0; i < state->gap_count; i++) {
        const struct gap *gap = &state->gaps[i];
        out_put_uvarint(ret, gap->number);
        out_put_uvarint(ret, gap->stream);
        out_put_uvarint(ret, gap->uplink);
        out_put_uvarint(ret, gap->reason);
        put_range(ret, gap->range);
        out_put_uvarint(ret, gap->count);
    }
    out_put_uvarint(ret, state->boot_count);
    for (uint32_t i = 0; i < state->boot_count; i++) {
        out_put_uvarint(ret, state->boots[i].boot);
        out_put_varint(ret, state->boots[i].offset_us);
        out_put_byte(ret, state->boots[i].is_estimate);
    }
}

static void take_rest_of_stream(struct taker *t, const struct form *form, struct state_stream *s)
{
    if (form->is_old) { /* by which reasons, it does not say; its rows are counted afterwards */
        s->dropped[GAP_MERGED] = take(t, UINT64_MAX);
        s->oldest_time_us = take_signed(t);
        return;
    }
    for (size_t reason = 1; reason < GAP_REASON_COUNT; reason++) {
        s->dropped[reason] = take(t, UINT64_MAX);
    }
    s->oldest_time_us = take_signed(t);
    s->row_events = take(t, UINT64_MAX);
    s->row_bytes = take(t, UINT64_MAX);
}

static void take_streams(struct taker *t, const struct form *form, struct state *state)
{
    uint64_t count = take(t, STREAM_COUNT_MAX);
    for (uint64_t i = 0; !t->bad && i < count; i++) {
        uint64_t number = take(t, STREAM_COUNT_MAX);
        t->bad = t->bad || number == 0 || state->streams[number].sequence_next > 0;
        struct state_stream *s = &state->streams[t->bad ? 0 : number];
        s->sequence_next = take(t, UINT64_MAX / 2);
        s->raw_total = take(t, UINT64_MAX);
        take_rest_of_stream(t, form, s);
        t->bad = t->bad || s->sequence_next == 0;
    }
}

static void take_owed(struct taker *t, struct state *state, uint32_t count)
{
    for (state->owed_count = 0; !t->bad && state->owed_count < count; state->owed_count++) {
        struct owed *owed = &state->owed[state->owed_count];
        owed->uplink = (uint16_t)take(t, UINT16_MAX);
        owed->stream = (uint16_t)take(t, STREAM_COUNT_MAX);
        owed->range_count = (uint8_t)take(t, OWED_RANGE_MAX);
        uint64_t before = 0;
        for (size_t r = 0; !t->bad && r < owed->range_count; r++) {
            owed->ranges[r] = take_range(t);
            t->bad = t->bad || owed->ranges[r].first <= before;
            before = owed->ranges[r].last;
        }
        t->bad = t->bad || before >= state->streams[owed->stream].sequence_next + (before == 0);
    }
}

static void take_parcels(struct taker *t, const struct form *form, struct state *state)
{
    uint32_t count = (uint32_t)take(t, BUFFER_PARCEL_MAX);
    for (state->parcel_count = 0; !t->bad && state->parcel_count < count; state->parcel_count++) {
        t->bad = !parcel_decode(&state->parcels[state->parcel_count], form->has_key, &t->data);
    }
}

static void take_gaps(struct taker *t, struct state *state)
{
    uint32_t count = (uint32_t)take(t, GAP_COUNT_MAX);
    for (state->gap_count = 0; !t->bad && state->gap_count < count; state->gap_count++) {
        struct gap *gap = &state->gaps[state->gap_count];
        gap->number = (uint32_t)take(t, UINT32_MAX);
        gap->stream = (uint16_t)take(t, STREAM_COUNT_MAX);
        gap->uplink = (uint16_t)take(t, UINT16_MAX);
        gap->reason = (uint8_t)take(t, GAP_REASON_MAX);
        gap->range = take_range(t);
        gap->count = take(t, UINT64_MAX);
    }
}

static void take_boots(struct taker *t, const struct form *form, struct state *state)
{
    uint32_t count = (uint32_t)take(t, BOOT_COUNT_MAX);
    for (state->boot_count = 0; !t->bad && state->boot_count < count; state->boot_count++) {
        struct boot_offset *boot = &state->boots[state->boot_count];
        boot->boot = (uint32_t)take(t, UINT32_MAX);
        boot->offset_us = take_signed(t);
        boot->is_estimate = form->has_estimate && take(t, 1);
    }
}

/* What follows the version. */
static enum err decode_as(struct state *state, const struct form *form, size_t owed_max,
                          struct slice data)
{
    struct taker t = {.data = data};
    memset(state->streams, 0, sizeof state->streams);
    state->is_old = form->is_old;
    state->commit = take(&t, UINT64_MAX);
    state->generation = take(&t, UINT64_MAX);
    state->aside_count = take(&t, UINT64_MAX);
    state->aside_size = take(&t, UINT64_MAX);
    state->aside_dropped = take(&t, UINT64_MAX);
    state->gap_number_next = (uint32_t)take(&t, UINT32_MAX);
    take_streams(&t, form, state);
    uint64_t count = take(&t, (uint64_t)UINT16_MAX * STREAM_COUNT_MAX);
    if (!t.bad && count > owed_max && count <= t.data.size) { /* a pair takes bytes */
        return ERR_FULL;
    }
    t.bad = t.bad || count > owed_max;
    take_owed(&t, state, (uint32_t)count);
    take_parcels(&t, form, state);
    take_gaps(&t, state);
    take_boots(&t, form, state);
    return t.bad || t.data.size > 0 ? ERR_CORRUPT : ERR_OK;
}

bool state_is_newer(struct slice data)
{
    uint64_t version;
    return slice_take_uvarint(&data, &version) && version > SNAPSHOT_VERSION;
}

enum err state_decode(struct state *state, size_t owed_max, struct slice data)
{
    static const struct form now = {.has_key = true, .has_estimate = true};
    struct taker t = {.data = data};
    uint64_t version = take(&t, UINT64_MAX);
    if (t.bad) {
        return ERR_CORRUPT;
    }
    state->is_earlier = version < SNAPSHOT_VERSION;
    if (version == SNAPSHOT_VERSION || version == SNAPSHOT_VERSION_UNTYPED) {
        return decode_as(state, &now, owed_max, t.data);
    }
    if (version != 1) {
        return ERR_VERSION;
    }
    enum err e = ERR_CORRUPT;
    for (unsigned form = 4; e == ERR_CORRUPT && form-- > 0;) {
        const struct form old = {true, form >> 1 & 1, form & 1};
        e = decode_as(state, &old, owed_max, t.data);
    }
    return e;
}
