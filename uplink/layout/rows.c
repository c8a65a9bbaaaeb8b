#include "uplink/layout/rows.h"

#include <assert.h>

#include "ports/lib/deflate.h"
#include "uplink/layout/framing.h"

/* The prefix is there already, the datum is not. Each message says by itself how it is packed: what
 * zlib would make larger, as it does with most that is short, stays as it is, and no message grows. */
static bool put_zlib(struct deflate_encoder *zlib, uint8_t *prefix, struct slice datum,
                     struct out *memory)
{
    struct out room = out_over(memory->data + memory->size, datum.size);
    if (deflate_encode_zlib(zlib, datum, &room) || room.size == datum.size) {
        return false;
    }
    prefix[1] = FRAMING_GLUE_ZLIB;
    memory->size += room.size;
    return true;
}

/* Prefix and datum lie one behind the other in the builder's memory: what leaves is one piece. */
enum err rows_add(struct message *ret, struct slice prefix, struct deflate_encoder *zlib,
                  const struct layout_row *row, struct out *memory)
{
    assert(!memory->overflow);
    size_t size = row->is_tombstone ? 0 : prefix.size + row->datum.size;
    if (size > memory->size_max - memory->size) {
        return ERR_FULL;
    }
    uint8_t *body = memory->data + memory->size;
    size_t before = memory->size;
    assert(row->key.data || !row->is_tombstone);
    if (!row->is_tombstone) {
        out_put_slice(memory, prefix);
        if (!zlib || !put_zlib(zlib, body, row->datum, memory)) {
            out_put_slice(memory, row->datum);
        }
    }
    *ret = (struct message){
        .key = row->key,
        .body = {row->is_tombstone ? NULL : body, memory->size - before},
        .sequence = row->sequence,
        .time_us = row->time_us,
        .event_count = 1,
    };
    return ERR_OK;
}
