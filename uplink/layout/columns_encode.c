/* One batch: both bodies, and the record around them. */
#include <assert.h>

#include "ports/lib/zstd.h"
#include "uplink/layout/columns_impl.h"

#define ROW_SIZE_LARGE 65536

/* To compare: a context then takes at most 500 KiB, and sizes come out all but the same. */
#define WINDOW_LOG 15

struct encoder {
    const struct columns_setup *setup;
    struct columns_work *work;
    const struct message *rows;
    uint32_t count;
    uint32_t sequence_ints; /* what column 0 has on the tape */
    size_t sequence_size;
    size_t rows_size; /* of all datums */
};

static void put_sequences(struct encoder *e)
{
    size_t high = e->work->high;
    int64_t *values = work_take(e->work, e->count * sizeof *values);
    for (uint32_t i = 0; values && i < e->count; i++) {
        values[i] = (int64_t)(e->rows[i].sequence - i);
    }
    if (values) {
        ints_put(e->work, values, e->count, NULL, KEY_NONE);
    }
    e->work->high = high;
    e->sequence_ints = e->work->int_count;
    e->sequence_size = e->work->ints.size;
}

static void put_head(const struct encoder *e, struct out *ret)
{
    struct slice id = e->setup->schema_id;
    struct slice crc = {e->setup->plan->schema_id, sizeof e->setup->plan->schema_id};
    uint32_t number;
    if (slice_take_u32_be(&id, &number) && id.size == 0) {
        out_put_varint(ret, 0);
        out_put_varint(ret, (int32_t)number);
    } else {
        id = e->setup->schema_id;
        assert(id.size == 0 || id.size == 16);
        out_put_varint(ret, id.size ? COLUMNS_SCHEMA_UUID : COLUMNS_SCHEMA_FIXED);
        out_put_slice(ret, id.size ? id : crc);
    }
    out_put_varint(ret, (int64_t)e->setup->agent.size);
    out_put_slice(ret, e->setup->agent);
    out_put_varint(ret, e->count);
}

static void put_array_head(uint32_t count, struct out *ret)
{
    if (count > 0) {
        out_put_varint(ret, count);
    }
}

static void put_as_columns(const struct encoder *e, struct out *ret)
{
    const struct columns_work *work = e->work;
    put_head(e, ret);
    put_array_head(work->int_count, ret);
    tape_copy(&work->ints, work->ints.size, ret);
    out_put_varint(ret, 0);
    put_array_head(work->string_count, ret);
    tape_copy_bytes(&work->strings, true, ret);
    out_put_varint(ret, 0);
    out_put_varint(ret, (int64_t)work->plane_size);
    tape_copy_bytes(&work->planes, false, ret);
    out_put_varint(ret, 0);
}

static void put_as_rows(const struct encoder *e, struct out *ret)
{
    put_head(e, ret);
    put_array_head(e->sequence_ints, ret);
    tape_copy(&e->work->ints, e->sequence_size, ret);
    out_put_varint(ret, 0);
    out_put_varint(ret, 0);
    out_put_varint(ret, 0);
    out_put_varint(ret, (int64_t)e->rows_size);
    for (uint32_t i = 0; i < e->count; i++) {
        out_put_slice(ret, e->rows[i].body);
    }
}

static enum err has_zstd(struct columns_work *work)
{
    if (work->zstd) {
        return ERR_OK;
    }
    enum err e = zstd_encoder_open(&work->zstd, COLUMNS_ZSTD_LEVEL);
    if (!e) {
        zstd_encoder_window_set(work->zstd, WINDOW_LOG);
    }
    return e;
}

enum err columns_packed_size(struct columns_work *work, struct slice raw, const struct out *room,
                             size_t *ret)
{
    struct out packed = out_over(room->data + room->size, room->size_max - room->size);
    enum err e = has_zstd(work);
    e = e ? e : zstd_encode(work->zstd, raw, &packed);
    *ret = packed.size;
    return e;
}

enum err columns_pack_by(struct columns_work *work, const struct zstd_dictionary *dictionary,
                         struct slice message, struct out *ret)
{
    enum err e = has_zstd(work);
    return e ? e : zstd_encode_by(work->zstd, dictionary, message, ret);
}

/* What is sent of what was written from `start` on. */
static enum err written_size(const struct encoder *e, const struct out *ret, size_t start,
                             size_t *ret_size)
{
    struct slice written = {ret->data + start, ret->size - start};
    *ret_size = written.size;
    return e->setup->is_plain ? ERR_OK : columns_packed_size(e->work, written, ret, ret_size);
}

/* Columns are written from `start` on: takes rows in their place if those are smaller. A single row
 * can't be halved: a large one is not made larger before compression, or it might not go out. */
static enum err take_better(const struct encoder *e, struct out *ret, size_t start)
{
    size_t middle = ret->size;
    size_t as_columns = 0;
    size_t as_rows = 0;
    put_as_rows(e, ret);
    bool is_too_large =
        e->count == 1 && middle - start > ROW_SIZE_LARGE && middle - start > ret->size - middle;
    enum err err = ret->overflow ? ERR_FULL : written_size(e, ret, middle, &as_rows);
    ret->size = middle; /* over the rows: they are put again if need be */
    err = err ? err : written_size(e, ret, start, &as_columns);
    if (!err && (as_rows < as_columns || is_too_large)) {
        ret->size = start;
        put_as_rows(e, ret);
    }
    return err;
}

static enum err encode(struct encoder *e, enum columns_body body, struct out *ret)
{
    const struct columns_node *root = e->setup->plan->root;
    size_t start = ret->size;
    if (root && e->rows_size == 0) {
        body = COLUMNS_AS_COLUMNS; /* an empty row body would say so, whatever columns there are */
    }
    put_sequences(e);
    bool full = e->work->full;
    assert(!full || e->count > 1);
    if (!full && root && body != COLUMNS_AS_ROWS) {
        walk_put(e->work, root, e->rows, e->count);
    }
    bool as_rows =
        !root || body == COLUMNS_AS_ROWS || (e->work->full && e->count == 1 && e->rows_size > 0);
    if (full || (e->work->full && !as_rows)) {
        return ERR_FULL;
    }
    if (as_rows) {
        put_as_rows(e, ret);
        return ret->overflow ? ERR_FULL : ERR_OK;
    }
    put_as_columns(e, ret);
    if (ret->overflow) {
        return ERR_FULL;
    }
    bool is_small = (ret->size - start) * 2 < e->rows_size;
    return body == COLUMNS_AS_COLUMNS || is_small ? ERR_OK : take_better(e, ret, start);
}

enum err columns_encode(const struct columns_setup *setup, const struct message *rows,
                        uint32_t count, enum columns_body body, struct out *ret)
{
    assert(setup->plan && setup->work && !ret->overflow);
    assert(count <= COLUMNS_EVENT_MAX);
    if (count == 0 && !setup->plan->root) {
        return ERR_REJECTED;
    }
    struct encoder e = {.setup = setup, .work = setup->work, .rows = rows, .count = count};
    size_t start = ret->size;
    work_clear(setup->work);
    setup->work->column_next = setup->plan->column_count;
    for (uint32_t i = 0; i < count; i++) {
        e.rows_size += rows[i].body.size;
    }
    enum err err = encode(&e, body, ret);
    if (err == ERR_FULL && count == 1 && body == COLUMNS_BETTER && e.rows_size > 0) {
        /* There is no room to compare: nothing else would make room. */
        ret->size = start;
        ret->overflow = false;
        work_clear(setup->work);
        err = encode(&e, COLUMNS_AS_ROWS, ret);
    }
    if (err) {
        ret->size = start;
        ret->overflow = false;
    }
    return err;
}
