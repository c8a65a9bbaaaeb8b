#include "uplink/layout/rows.h"

#include <assert.h>

/* Prefix and datum lie one behind the other in the builder's memory: what leaves is one piece. */
enum err rows_add(struct message *ret, struct slice prefix, const struct layout_row *row,
                  struct out *memory)
{
    assert(!memory->overflow);
    size_t size = row->is_tombstone ? 0 : prefix.size + row->datum.size;
    if (size > memory->size_max - memory->size) {
        return ERR_FULL;
    }
    const uint8_t *body = memory->data + memory->size;
    assert(row->key.data || !row->is_tombstone);
    if (!row->is_tombstone) {
        out_put_slice(memory, prefix);
        out_put_slice(memory, row->datum);
    }
    *ret = (struct message){
        .key = row->key,
        .body = {row->is_tombstone ? NULL : body, size},
        .sequence = row->sequence,
        .time_us = row->time_us,
        .event_count = 1,
    };
    return ERR_OK;
}
