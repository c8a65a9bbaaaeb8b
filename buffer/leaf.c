#include "buffer/leaf.h"

#include <assert.h>

#define LEAF_OF_TABLE 0x0d
#define HEAD_SIZE 8
#define LOCAL_MAX (LEAF_PAGE_SIZE - 35) /* a record up to here is in the page whole */
#define LOCAL_MIN ((LEAF_PAGE_SIZE - 12) * 32 / 255 - 23)
#define CHAINED_SIZE (LEAF_PAGE_SIZE - 4) /* of an overflow page, behind the next one's number */
#define COLUMN_COUNT 9                    /* id (NULL: the key has it), six, crc, body */

static bool varint_take(struct slice *s, uint64_t *ret)
{
    uint64_t value = 0;
    struct slice byte;
    for (unsigned i = 0; i < 8; i++) {
        if (!slice_take(s, 1, &byte)) {
            return false;
        }
        value = value << 7 | (byte.data[0] & 0x7f);
        if (byte.data[0] < 0x80) {
            *ret = value;
            return true;
        }
    }
    if (!slice_take(s, 1, &byte)) {
        return false;
    }
    *ret = value << 8 | byte.data[0];
    return true;
}

static uint64_t big_endian(struct slice s)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s.size; i++) {
        value = value << 8 | s.data[i];
    }
    return value;
}

/* --- the page --- */

size_t leaf_cell_count(const uint8_t *page)
{
    return page[0] == LEAF_OF_TABLE ? (size_t)page[3] << 8 | page[4] : 0;
}

/* What of a record of this size is in the page. */
static uint64_t local_size(uint64_t size)
{
    uint64_t local = LOCAL_MIN + (size - LOCAL_MIN) % CHAINED_SIZE;
    return size <= LOCAL_MAX ? size : local <= LOCAL_MAX ? local : LOCAL_MIN;
}

bool leaf_cell_take(const uint8_t *page, size_t index, struct leaf_cell *ret)
{
    size_t pointer = HEAD_SIZE + 2 * index;
    if (index >= leaf_cell_count(page) || pointer + 2 > LEAF_PAGE_SIZE) {
        return false;
    }
    size_t at = (size_t)page[pointer] << 8 | page[pointer + 1];
    if (at < pointer + 2 || at >= LEAF_PAGE_SIZE) {
        return false;
    }
    struct slice rest = {page + at, LEAF_PAGE_SIZE - at};
    struct slice local;
    struct slice next = {NULL, 0};
    uint64_t size;
    uint64_t id;
    if (!varint_take(&rest, &size) || !varint_take(&rest, &id) ||
        !slice_take(&rest, (size_t)local_size(size), &local) ||
        (local.size < size && !slice_take(&rest, 4, &next))) {
        return false;
    }
    *ret = (struct leaf_cell){
        .id = (int64_t)id, .size = size, .local = local, .overflow = (uint32_t)big_endian(next)};
    return local.size == size || ret->overflow > 0;
}

/* --- the record --- */

enum { COLUMN_ID, COLUMN_LAST, COLUMN_CRC = 7, COLUMN_BODY };

/* The bytes of an integer of this type; false: it is of another type. */
static bool integer_size(uint64_t type, size_t *ret)
{
    static const uint8_t sizes[10] = {0, 1, 2, 3, 4, 6, 8, 0, 0, 0};
    if (type == 0 || type == 7 || type > 9) {
        return false;
    }
    *ret = sizes[type];
    return true;
}

/* Type 8 is the number 0, type 9 the number 1; the others are signed, and stand in the record. */
static bool integer_take(struct slice *s, uint64_t type, int64_t *ret)
{
    struct slice bytes;
    size_t size;
    if (!integer_size(type, &size) || !slice_take(s, size, &bytes)) {
        return false;
    }
    uint64_t value = size == 0 ? type - 8 : big_endian(bytes);
    if (size > 0 && size < 8 && bytes.data[0] >= 0x80) {
        value |= UINT64_MAX << (8 * size);
    }
    *ret = (int64_t)value;
    return true;
}

/* Takes the record's header, and leaves what follows: the columns. */
static bool types_take(struct slice *record, uint64_t ret[COLUMN_COUNT])
{
    struct slice rest = *record;
    struct slice head;
    uint64_t size;
    if (!varint_take(&rest, &size)) {
        return false;
    }
    size_t of_size = record->size - rest.size;
    if (size < of_size || size > record->size ||
        !slice_take(&rest, (size_t)size - of_size, &head)) {
        return false;
    }
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (!varint_take(&head, &ret[i])) {
            return false;
        }
    }
    *record = rest;
    return head.size == 0 && ret[COLUMN_ID] == 0 && ret[COLUMN_BODY] >= 12 &&
           ret[COLUMN_BODY] % 2 == 0;
}

bool leaf_cell_last(const struct leaf_cell *cell, int64_t *ret)
{
    uint64_t types[COLUMN_COUNT];
    struct slice record = cell->local;
    return types_take(&record, types) && integer_take(&record, types[COLUMN_LAST], ret);
}

enum err leaf_record(const struct leaf_cell *cell, leaf_page *page, void *context, struct out *ret)
{
    uint8_t bytes[LEAF_PAGE_SIZE];
    uint32_t next = cell->overflow;
    assert(cell->local.size <= cell->size);
    ret->size = 0;
    ret->overflow = false;
    if (cell->size > ret->size_max) {
        return ERR_CORRUPT;
    }
    out_put_slice(ret, cell->local);
    while (ret->size < cell->size) { /* each page brings something: it ends */
        uint64_t left = cell->size - ret->size;
        size_t size = left < CHAINED_SIZE ? (size_t)left : CHAINED_SIZE;
        enum err e = next ? page(context, next, bytes) : ERR_CORRUPT;
        if (e) {
            return e;
        }
        out_put(ret, bytes + 4, size);
        next = (uint32_t)big_endian((struct slice){bytes, 4});
    }
    assert(!ret->overflow);
    return ERR_OK;
}

bool leaf_row_take(struct slice record, struct leaf_row *ret)
{
    uint64_t types[COLUMN_COUNT];
    struct leaf_row row;
    if (!types_take(&record, types)) {
        return false;
    }
    for (size_t i = 0; i < 6; i++) {
        if (!integer_take(&record, types[COLUMN_LAST + i], &row.columns[i])) {
            return false;
        }
    }
    uint64_t size = (types[COLUMN_BODY] - 12) / 2;
    if (!integer_take(&record, types[COLUMN_CRC], &row.crc) || size != record.size) {
        return false;
    }
    row.body = record;
    *ret = row;
    return true;
}
