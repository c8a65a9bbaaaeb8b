/* The sections of a record, read: checked before use, because they come from the disk. */
#include "buffer/record.h"

enum err section_next(struct slice *sections, struct section *ret)
{
    uint8_t kind;
    uint64_t size;
    if (sections->size == 0) {
        return ERR_CLOSED;
    }
    if (!slice_take_u8(sections, &kind) || !slice_take_uvarint(sections, &size) ||
        !slice_take(sections, (size_t)size, &ret->payload)) {
        return ERR_CORRUPT;
    }
    if (!strchr("EKAOFDBGNWXRH", kind) || kind == 0) {
        return ERR_VERSION;
    }
    ret->kind = (enum section_kind)kind;
    return ERR_OK;
}

/* Exactly `count` numbers, each at most its max. */
static bool take_numbers(struct slice payload, uint64_t *ret, const uint64_t *max, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!record_take_uvarint(&payload, max[i], &ret[i])) {
            return false;
        }
    }
    return payload.size == 0;
}

#define ANY UINT64_MAX

bool section_events_take(struct slice payload, struct section_events *ret)
{
    uint64_t stream;
    uint64_t schema;
    if (!record_take_uvarint(&payload, STREAM_COUNT_MAX, &stream) ||
        !record_take_uvarint(&payload, UINT32_MAX, &schema) ||
        !record_take_uvarint(&payload, ANY / 2, &ret->first) ||
        !record_take_uvarint(&payload, WRITE_EVENT_MAX, &ret->count)) {
        return false;
    }
    ret->stream = (uint16_t)stream;
    ret->schema = (uint32_t)schema;
    ret->events = payload;
    return stream > 0 && ret->first > 0 && ret->count > 0;
}

bool section_cursor_take(struct slice payload, struct cursor_change *ret)
{
    uint64_t driver;
    uint64_t key;
    if (!record_take_uvarint(&payload, UINT16_MAX, &driver) ||
        !record_take_uvarint(&payload, UINT32_MAX, &key) || payload.size > CURSOR_SIZE_MAX) {
        return false;
    }
    *ret = (struct cursor_change){(uint16_t)driver, (uint32_t)key, payload};
    return true;
}

bool section_done_take(struct slice payload, struct part_done *ret)
{
    const uint64_t max[] = {UINT16_MAX, STREAM_COUNT_MAX, PARCEL_OPEN_MAX - 1, PARCEL_PART_MAX - 1};
    uint64_t n[4];
    if (!take_numbers(payload, n, max, 4)) {
        return false;
    }
    *ret = (struct part_done){(uint16_t)n[0], (uint16_t)n[1], (uint8_t)n[2], (uint32_t)n[3]};
    return true;
}

bool section_end_take(struct slice payload, struct owed_end *ret)
{
    const uint64_t max[] = {UINT16_MAX, STREAM_COUNT_MAX, ANY / 2, ANY / 2};
    uint64_t n[4];
    if (!take_numbers(payload, n, max, 4) || n[2] == 0 || n[3] < n[2]) {
        return false;
    }
    *ret = (struct owed_end){(uint16_t)n[0], (uint16_t)n[1], {n[2], n[3]}};
    return true;
}

bool section_drop_take(struct slice payload, struct gap *ret)
{
    const uint64_t max[] = {STREAM_COUNT_MAX, UINT16_MAX, GAP_REASON_MAX, ANY / 2, ANY / 2, ANY};
    uint64_t n[6];
    if (!take_numbers(payload, n, max, 6) || n[0] == 0 || n[2] == 0 || n[3] == 0 || n[4] < n[3]) {
        return false;
    }
    *ret = (struct gap){.stream = (uint16_t)n[0],
                        .uplink = (uint16_t)n[1],
                        .reason = (uint8_t)n[2],
                        .range = {n[3], n[4]},
                        .count = n[5]};
    return true;
}

/* A stream and two numbers. */
static bool take_of_stream(struct slice payload, uint16_t *ret_stream, uint64_t *ret_a,
                           uint64_t *ret_b)
{
    const uint64_t max[] = {STREAM_COUNT_MAX, ANY / 2, ANY / 2};
    uint64_t n[3];
    if (!take_numbers(payload, n, max, 3) || n[0] == 0) {
        return false;
    }
    *ret_stream = (uint16_t)n[0];
    *ret_a = n[1];
    *ret_b = n[2];
    return true;
}

bool section_skip_take(struct slice payload, uint16_t *ret_stream, uint64_t *ret_first,
                       uint64_t *ret_count)
{
    return take_of_stream(payload, ret_stream, ret_first, ret_count) && *ret_first > 0 &&
           *ret_count > 0;
}

bool section_rows_take(struct slice payload, uint16_t *ret_stream, uint64_t *ret_events,
                       uint64_t *ret_bytes)
{
    return take_of_stream(payload, ret_stream, ret_events, ret_bytes);
}

bool section_boot_take(struct slice payload, struct boot_offset *ret)
{
    uint64_t boot;
    int64_t offset;
    uint8_t is_estimate = 0;
    if (!record_take_uvarint(&payload, UINT32_MAX, &boot) ||
        !slice_take_varint(&payload, &offset) ||
        (payload.size > 0 && !slice_take_u8(&payload, &is_estimate)) || /* the oldest lack it */
        is_estimate > 1 || payload.size > 0) {
        return false;
    }
    *ret = (struct boot_offset){(uint32_t)boot, offset, is_estimate};
    return true;
}

bool section_told_take(struct slice payload, uint32_t *ret)
{
    const uint64_t max[] = {UINT32_MAX};
    uint64_t n[1];
    if (!take_numbers(payload, n, max, 1)) {
        return false;
    }
    *ret = (uint32_t)n[0];
    return true;
}

bool section_aside_take(struct slice payload, int64_t *ret_count, int64_t *ret_size,
                        uint64_t *ret_dropped)
{
    return slice_take_varint(&payload, ret_count) && slice_take_varint(&payload, ret_size) &&
           slice_take_uvarint(&payload, ret_dropped) && payload.size == 0;
}
