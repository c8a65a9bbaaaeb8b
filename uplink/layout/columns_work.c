/* Memory of encoding: one piece, taken once. Tapes grow from its front, everything that is needed for
 * a while only lies on a stack at its end. */
#include "uplink/layout/columns_impl.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/lib/zstd.h"
#include "uplink/layout/columns_cost.h"

#define WORK_ALIGN 8
#define REFERENCE_SIZE_MIN 24 /* shorter bytes are copied: a reference takes nearly as much */

enum err columns_work_open(struct columns_work **ret, size_t size)
{
    struct columns_work *work = calloc(1, sizeof *work);
    if (!work) {
        return ERR_NOMEM;
    }
    work->size = size / WORK_ALIGN * WORK_ALIGN;
    work->memory = malloc(work->size);
    if (!work->memory) {
        columns_work_close(work);
        return ERR_NOMEM;
    }
    cost_init(work);
    work_clear(work);
    *ret = work;
    return ERR_OK;
}

void columns_work_close(struct columns_work *work)
{
    if (work) {
        zstd_encoder_close(work->zstd);
        free(work->memory);
        free(work);
    }
}

size_t columns_work_peak(const struct columns_work *work)
{
    return work->peak;
}

void work_clear(struct columns_work *work)
{
    work->low = 0;
    work->high = work->size;
    work->full = false;
    work->ints = (struct tape){NULL, NULL, 0};
    work->strings = work->ints;
    work->planes = work->ints;
    work->int_count = 0;
    work->string_count = 0;
    work->string_size = 0;
    work->plane_size = 0;
    work->leaf_count = 0;
}

static void note_peak(struct columns_work *work)
{
    size_t used = work->low + (work->size - work->high);
    work->peak = used > work->peak ? used : work->peak;
}

void *work_take(struct columns_work *work, size_t size)
{
    size = (size + WORK_ALIGN - 1) / WORK_ALIGN * WORK_ALIGN;
    if (work->full || size > work->high - work->low) {
        work->full = true;
        return NULL;
    }
    work->high -= size;
    note_peak(work);
    return work->memory + work->high;
}

uint8_t *work_keep(struct columns_work *work, size_t size)
{
    size_t aligned = (size + WORK_ALIGN - 1) / WORK_ALIGN * WORK_ALIGN;
    if (work->full || aligned > work->high - work->low) {
        work->full = true;
        return NULL;
    }
    uint8_t *memory = work->memory + work->low;
    work->low += aligned;
    note_peak(work);
    return memory;
}

/* Room for so many bytes in one piece. NULL: there is none. */
static uint8_t *tape_room(struct columns_work *work, struct tape *tape, size_t size)
{
    assert(size <= TAPE_BLOCK_SIZE);
    if (!tape->last || TAPE_BLOCK_SIZE - tape->last->used < size) {
        struct tape_block *block = (void *)work_keep(work, sizeof *block);
        if (!block) {
            return NULL;
        }
        block->next = NULL;
        block->used = 0;
        *(tape->last ? &tape->last->next : &tape->first) = block;
        tape->last = block;
    }
    return tape->last->data + tape->last->used;
}

static size_t varint_at(uint8_t *at, uint64_t value)
{
    size_t size = 0;
    for (; value > 127; value >>= 7) {
        at[size++] = (uint8_t)(value | 128);
    }
    at[size++] = (uint8_t)value;
    return size;
}

void work_put_int(struct columns_work *work, int64_t value)
{
    work_put_ints(work, &value, 1);
}

/* As many of the values as the last block has room for, whatever they are. */
static uint32_t fill_block(struct tape *tape, const int64_t *values, uint32_t count)
{
    struct tape_block *block = tape->last;
    uint8_t *at = block->data + block->used;
    const uint8_t *limit = block->data + TAPE_BLOCK_SIZE - VARINT_SIZE_MAX;
    uint32_t i = 0;
    for (; i < count && at <= limit; i++) {
        uint64_t value = zigzag(values[i]);
        for (; value > 127; value >>= 7) {
            *at++ = (uint8_t)(value | 128);
        }
        *at++ = (uint8_t)value;
    }
    uint32_t used = (uint32_t)(at - block->data);
    tape->size += used - block->used;
    block->used = used;
    return i;
}

void work_put_ints(struct columns_work *work, const int64_t *values, uint32_t count)
{
    work->int_count += count;
    while (count > 0 && tape_room(work, &work->ints, VARINT_SIZE_MAX)) {
        uint32_t put = fill_block(&work->ints, values, count);
        values += put;
        count -= put;
    }
}

/* Size and a bit that says where the bytes are; then they, or their place. */
static void put_bytes(struct columns_work *work, struct tape *tape, struct slice bytes)
{
    bool is_reference = bytes.size >= REFERENCE_SIZE_MIN;
    uint8_t *at = tape_room(work, tape, VARINT_SIZE_MAX + REFERENCE_SIZE_MIN);
    if (at) {
        size_t size = varint_at(at, (uint64_t)bytes.size << 1 | is_reference);
        size_t rest = is_reference ? sizeof bytes.data : bytes.size;
        if (rest > 0) {
            memcpy(at + size, is_reference ? (const void *)&bytes.data : bytes.data, rest);
        }
        tape->last->used += (uint32_t)(size + rest);
        tape->size += size + rest;
    }
}

static struct slice take_bytes(const uint8_t **at)
{
    uint64_t head = 0;
    struct slice bytes;
    unsigned shift = 0;
    while (**at > 127) {
        head |= (uint64_t)(*(*at)++ & 127) << shift;
        shift += 7;
    }
    head |= (uint64_t) * (*at)++ << shift;
    bytes = (struct slice){*at, (size_t)(head >> 1)};
    if (head & 1) {
        memcpy(&bytes.data, *at, sizeof bytes.data);
        *at += sizeof bytes.data;
    } else {
        *at += bytes.size;
    }
    return bytes;
}

void work_put_string(struct columns_work *work, struct slice text)
{
    put_bytes(work, &work->strings, text);
    work->string_count++;
    work->string_size += uvarint_size((uint64_t)text.size << 1) + text.size;
}

void work_put_plane(struct columns_work *work, struct slice bytes)
{
    put_bytes(work, &work->planes, bytes);
    work->plane_size += bytes.size;
}

void tape_copy(const struct tape *tape, size_t size, struct out *ret)
{
    for (const struct tape_block *block = tape->first; block && size > 0; block = block->next) {
        size_t part = size < block->used ? size : block->used;
        out_put(ret, block->data, part);
        size -= part;
    }
}

void tape_copy_bytes(const struct tape *tape, bool with_sizes, struct out *ret)
{
    for (const struct tape_block *block = tape->first; block; block = block->next) {
        for (const uint8_t *at = block->data; at < block->data + block->used;) {
            struct slice bytes = take_bytes(&at);
            if (with_sizes) {
                out_put_varint(ret, (int64_t)bytes.size);
            }
            out_put_slice(ret, bytes);
        }
    }
}
