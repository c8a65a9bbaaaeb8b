#include "uplink/aws/kinesis_entries.h"

#include <assert.h>
#include <stdlib.h>

/* Where the fields of a head lie. */
enum {
    AT_FLAGS = 0,
    AT_BEFORE = 1,
    AT_HASH = 5,
    AT_KEY_SIZE = AT_HASH + KINESIS_HASH_SIZE,
    AT_DATA_SIZE = AT_KEY_SIZE + 4,
};
static_assert(AT_DATA_SIZE + 4 == ENTRY_HEAD_SIZE, "the fields of a head");

void entries_put(struct out *ret, size_t start, const struct entry *entry)
{
    assert(ret->overflow || ret->size == start + entry->at);
    out_put_byte(ret, entry->flags);
    out_put_u32_le(ret, entry->before);
    out_put(ret, entry->hash.bytes, KINESIS_HASH_SIZE);
    out_put_u32_le(ret, (uint32_t)entry->key.size);
    out_put_u32_le(ret, (uint32_t)entry->data.size);
    out_put_slice(ret, entry->key);
    out_put_slice(ret, entry->data);
}

bool entries_next(struct slice entries, uint32_t *at, struct entry *ret)
{
    assert(*at <= entries.size);
    struct slice rest = {entries.data + *at, entries.size - *at};
    struct slice hash;
    uint32_t key_size, data_size;
    if (rest.size == 0) {
        return false;
    }
    ret->at = *at;
    bool is_there = slice_take_u8(&rest, &ret->flags) && slice_take_u32_le(&rest, &ret->before) &&
                    slice_take(&rest, KINESIS_HASH_SIZE, &hash) &&
                    slice_take_u32_le(&rest, &key_size) && slice_take_u32_le(&rest, &data_size) &&
                    slice_take(&rest, key_size, &ret->key) &&
                    slice_take(&rest, data_size, &ret->data);
    assert(is_there); /* made by entries_put() */
    memcpy(ret->hash.bytes, hash.data, KINESIS_HASH_SIZE);
    *at = (uint32_t)(entries.size - rest.size);
    return true;
}

size_t entries_count(struct slice entries, size_t *ret_done)
{
    struct entry entry;
    uint32_t at = 0;
    size_t count = 0;
    *ret_done = 0;
    while (entries_next(entries, &at, &entry)) {
        count++;
        *ret_done += (entry.flags & ENTRY_DONE) != 0;
    }
    return count;
}

bool entries_are_done(struct slice entries)
{
    size_t done;
    return entries_count(entries, &done) == done;
}

bool entry_is_done(struct slice entries, uint32_t at)
{
    assert(at + ENTRY_HEAD_SIZE <= entries.size);
    return (entries.data[at + AT_FLAGS] & ENTRY_DONE) != 0;
}

void entry_done_set(uint8_t *entries, uint32_t at)
{
    entries[at + AT_FLAGS] |= ENTRY_DONE;
}

void entry_before_set(uint8_t *entries, uint32_t at, uint32_t before)
{
    struct out o = out_over(entries + at + AT_BEFORE, sizeof before);
    out_put_u32_le(&o, before);
}

bool entry_is_next(struct slice entries, const struct entry *entry)
{
    return !(entry->flags & ENTRY_DONE) &&
           (entry->before == ENTRY_NONE || entry_is_done(entries, entry->before));
}

/* --- order --- */

/* An open table of offsets, found by the hash that stands there. */
struct entries_order {
    size_t mask;
    uint32_t slots[];
};

enum err entries_order_open(struct entries_order **ret, size_t count_max)
{
    size_t size = 16;
    while (size < count_max * 2) {
        size *= 2;
    }
    struct entries_order *order = malloc(sizeof *order + size * sizeof order->slots[0]);
    if (!order) {
        return ERR_NOMEM;
    }
    order->mask = size - 1;
    memset(order->slots, 0xff, size * sizeof order->slots[0]);
    *ret = order;
    return ERR_OK;
}

void entries_order_close(struct entries_order *order)
{
    free(order);
}

uint32_t entries_order_put(struct entries_order *order, struct slice entries,
                           const struct kinesis_hash *hash, uint32_t at)
{
    size_t slot = ((size_t)hash->bytes[0] | (size_t)hash->bytes[1] << 8 |
                   (size_t)hash->bytes[14] << 16 | (size_t)hash->bytes[15] << 24) &
                  order->mask;
    for (size_t looked = 0; looked <= order->mask; looked++) {
        uint32_t before = order->slots[slot];
        if (before == ENTRY_NONE ||
            memcmp(entries.data + before + AT_HASH, hash->bytes, KINESIS_HASH_SIZE) == 0) {
            order->slots[slot] = at;
            return before;
        }
        slot = (slot + 1) & order->mask;
    }
    abort(); /* it has room for twice as many */
}
