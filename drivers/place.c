#include "drivers/place.h"

#include <assert.h>

#define PLACE_VERSION 1

uint16_t place_head_size(uint64_t offset)
{
    return offset < PLACE_HEAD_MAX ? (uint16_t)offset : PLACE_HEAD_MAX;
}

void place_encode(const struct place *place, struct out *ret)
{
    assert(place->path.size <= PLACE_PATH_MAX);
    assert(place->head_size == place_head_size(place->offset));
    out_put_byte(ret, PLACE_VERSION);
    out_put_u64_le(ret, place->device);
    out_put_u64_le(ret, place->inode);
    out_put_u64_le(ret, place->offset);
    out_put_u16_le(ret, place->head_size);
    out_put_u64_le(ret, place->head_hash);
    out_put_slice(ret, place->path);
}

enum err place_decode(struct place *ret, struct slice cursor)
{
    struct place place = {0};
    uint8_t version;
    if (!slice_take_u8(&cursor, &version)) {
        return ERR_CORRUPT;
    }
    if (version != PLACE_VERSION) {
        return ERR_VERSION;
    }
    if (!slice_take_u64_le(&cursor, &place.device) || !slice_take_u64_le(&cursor, &place.inode) ||
        !slice_take_u64_le(&cursor, &place.offset) ||
        !slice_take_u16_le(&cursor, &place.head_size) ||
        !slice_take_u64_le(&cursor, &place.head_hash)) {
        return ERR_CORRUPT;
    }
    place.path = cursor;
    if (cursor.size > PLACE_PATH_MAX || place.head_size != place_head_size(place.offset)) {
        return ERR_CORRUPT;
    }
    *ret = place;
    return ERR_OK;
}
