/* One batch back: the record, its tapes, its rows. */
#include "uplink/layout/columns_decode.h"

#include <assert.h>
#include <stdlib.h>

#include "uplink/avro/decode.h"

#define ROW_SIZE_FIRST 4096

struct record {
    struct columns_head head;
    struct slice ints; /* their blocks */
    struct slice strings;
    struct slice planes;
    struct slice rows;
    uint64_t int_count;
    uint64_t string_count;
};

bool decoder_refuse(struct columns_decoder *d, const char *sentence)
{
    d->wrong = d->wrong ? d->wrong : sentence;
    return false;
}

bool decoder_spend(struct columns_decoder *d, uint64_t values)
{
    if (values > d->value_max) {
        return decoder_refuse(d, "it holds more values than allowed");
    }
    d->value_max -= values;
    return true;
}

bool decoder_spend_text(struct columns_decoder *d, uint64_t bytes)
{
    if (bytes > d->text_size_max) {
        return decoder_refuse(d, "its texts are larger than allowed");
    }
    d->text_size_max -= bytes;
    return true;
}

void *decoder_take(struct columns_decoder *d, uint64_t count, size_t size)
{
    void *memory =
        count <= SIZE_MAX / 2 / size ? arena_take(&d->arena, (size_t)count * size) : NULL;
    d->no_memory = d->no_memory || !memory;
    return memory;
}

bool decoder_int(struct columns_decoder *d, int64_t *ret)
{
    if (d->int_at == d->int_count) {
        return decoder_refuse(d, "the integers end early");
    }
    *ret = d->ints[d->int_at++];
    return true;
}

/* --- the record --- */

/* Takes an array's blocks off the front, whatever their sizes; items are checked. Each item has at
 * least a byte, so what follows is in proportion to the record. */
static bool take_array(struct columns_decoder *d, struct slice *data, bool of_strings,
                       uint64_t *ret_count, struct slice *ret)
{
    const uint8_t *start = data->data;
    *ret_count = 0;
    for (;;) {
        int64_t count;
        int64_t number;
        struct slice text;
        if (!slice_take_varint(data, &count) || count == INT64_MIN ||
            (count < 0 && !slice_take_varint(data, &number))) {
            return decoder_refuse(d, "an array's block ends early");
        }
        count = count < 0 ? -count : count;
        if (count == 0) {
            break;
        }
        if (!decoder_spend(d, (uint64_t)count)) {
            return false;
        }
        *ret_count += (uint64_t)count;
        for (; count > 0; count--) {
            bool there = of_strings ? avro_take_bytes(data, &text) && slice_is_utf8(text)
                                    : slice_take_varint(data, &number);
            if (!there) {
                return decoder_refuse(d, of_strings ? "a string is cut short or not UTF-8"
                                                    : "an integer is cut short or too long");
            }
        }
    }
    *ret = (struct slice){start, (size_t)(data->data - start)};
    return true;
}

static bool take_schema_id(struct columns_decoder *d, struct slice *data, struct columns_head *head)
{
    int64_t branch;
    int64_t id;
    if (!slice_take_varint(data, &branch) || branch < 0 || branch > COLUMNS_SCHEMA_UUID) {
        return decoder_refuse(d, "the reference of its schema is of no kind");
    }
    if (branch > 0) {
        size_t size = branch == COLUMNS_SCHEMA_UUID ? 16 : 8;
        return slice_take(data, size, &head->schema_id) ||
               decoder_refuse(d, "the reference of its schema is cut short");
    }
    if (!slice_take_varint(data, &id) || id < INT32_MIN || id > INT32_MAX) {
        return decoder_refuse(d, "the id of its schema is no int");
    }
    struct out memory = out_over(head->id_memory, sizeof head->id_memory);
    out_put_u32_be(&memory, (uint32_t)id);
    head->schema_id = out_slice(&memory);
    return true;
}

static bool take_record(struct columns_decoder *d, struct slice data, struct record *r)
{
    int64_t count;
    if (!take_schema_id(d, &data, &r->head)) {
        return false;
    }
    if (!avro_take_bytes(&data, &r->head.agent) || !slice_is_utf8(r->head.agent)) {
        return decoder_refuse(d, "its agent is cut short or not UTF-8");
    }
    if (!slice_take_varint(&data, &count) || count < 0 || count > INT32_MAX ||
        (uint64_t)count > d->value_max) {
        return decoder_refuse(d, "its count is out of range");
    }
    r->head.count = (uint32_t)count;
    uint64_t budget = d->value_max; /* items of arrays are counted apart */
    if (!take_array(d, &data, false, &r->int_count, &r->ints) ||
        !take_array(d, &data, true, &r->string_count, &r->strings)) {
        return false;
    }
    d->value_max = budget;
    if (!avro_take_bytes(&data, &r->planes) || !avro_take_bytes(&data, &r->rows)) {
        return decoder_refuse(d, "it is cut short");
    }
    r->head.is_rows = r->rows.size > 0;
    return data.size == 0 || decoder_refuse(d, "bytes are left over behind it");
}

/* The count of the next block; the array has been checked. */
static bool next_block(struct slice *data, int64_t *ret)
{
    int64_t size;
    bool there = slice_take_varint(data, ret) && *ret != 0;
    if (there && *ret < 0) {
        *ret = -*ret;
        there = slice_take_varint(data, &size);
    }
    return there;
}

/* Both tapes as arrays. */
static bool spread(struct columns_decoder *d, const struct record *r)
{
    int64_t *ints = decoder_take(d, r->int_count, sizeof *ints);
    struct slice *strings = decoder_take(d, r->string_count, sizeof *strings);
    struct slice data = r->ints;
    bool fine = ints && strings;
    for (int64_t count; fine && next_block(&data, &count);) {
        for (; fine && count > 0; count--) {
            fine = slice_take_varint(&data, &ints[d->int_count++]);
        }
    }
    data = r->strings;
    for (int64_t count; fine && next_block(&data, &count);) {
        for (; fine && count > 0; count--) {
            fine = avro_take_bytes(&data, &strings[d->string_count++]);
        }
    }
    d->ints = ints;
    d->strings = strings;
    d->planes = r->planes;
    return fine;
}

/* --- its rows --- */

/* The datums of a row body, all of which are checked. */
static struct slice *split_rows(struct columns_decoder *d, const struct record *r)
{
    const struct avro_node *root = avro_schema_root(d->plan->schema);
    struct slice *datums = decoder_take(d, r->head.count, sizeof *datums);
    struct slice data = r->rows;
    for (uint32_t i = 0; datums && i < r->head.count; i++) {
        const uint8_t *start = data.data;
        if (avro_skip(root, &data)) {
            (void)decoder_refuse(d, "a row is not of its schema");
            return NULL;
        }
        datums[i] = (struct slice){start, (size_t)(data.data - start)};
    }
    if (data.size > 0) {
        (void)decoder_refuse(d, "bytes are left over behind the rows");
    }
    return d->wrong ? NULL : datums;
}

static bool unpack_batch(struct columns_decoder *d, const struct record *r,
                         const int64_t **ret_sequences, struct slice **ret_datums)
{
    uint32_t count = r->head.count;
    d->columns = decoder_take(d, d->plan->column_count, sizeof *d->columns);
    if (!d->columns || !spread(d, r)) {
        return false;
    }
    int64_t *sequences = unpack_ints(d, count, NULL);
    *ret_sequences = sequences;
    if (!sequences) {
        return false;
    }
    d->columns[0] =
        (struct decoded_column){.set = {.count = count}, .whole = sequences, .may_be_key = true};
    if (r->head.is_rows) {
        *ret_datums = split_rows(d, r);
        if (!*ret_datums) {
            return false;
        }
    } else if (!d->plan->root) {
        return decoder_refuse(d, "its schema has no columns, but it is in columns");
    } else if (!unwalk_columns(d, count)) {
        return false;
    }
    return !(d->int_at < d->int_count || d->string_at < d->string_count || d->planes.size > 0) ||
           decoder_refuse(d, "values are left over on its tapes");
}

/* Puts the next row, in more memory if it does not fit: the columns are then set back to where it
 * began. */
static enum err row_into(struct columns_decoder *d, uint32_t *marks, struct out *row)
{
    for (uint32_t i = 0; i < d->plan->column_count; i++) {
        marks[i] = d->columns[i].next;
    }
    for (;;) {
        unwalk_row(d, row);
        if (!row->overflow) {
            return ERR_OK;
        }
        size_t size_max = row->size_max * 4;
        free(row->data);
        *row = out_over(malloc(size_max), size_max);
        if (!row->data) {
            return ERR_NOMEM;
        }
        for (uint32_t i = 0; i < d->plan->column_count; i++) {
            d->columns[i].next = marks[i];
        }
    }
}

static enum err give_rows(struct columns_decoder *d, uint32_t count, const int64_t *sequences,
                          const struct slice *datums, const struct columns_taker *taker)
{
    struct out row = out_over(malloc(ROW_SIZE_FIRST), ROW_SIZE_FIRST);
    uint32_t *marks = decoder_take(d, d->plan->column_count, sizeof *marks);
    enum err e = row.data && marks ? ERR_OK : ERR_NOMEM;
    for (uint32_t i = 0; !e && i < count; i++) {
        row.size = 0;
        if (!datums) {
            e = row_into(d, marks, &row);
        }
        struct slice datum = datums ? datums[i] : out_slice(&row);
        e = e ? e : taker->row(taker->context, datum, (uint64_t)sequences[i] + i);
    }
    free(row.data);
    return e;
}

enum err columns_decode(const struct columns_plan *plan, struct slice record, uint64_t value_max,
                        const struct columns_taker *taker, struct why *why)
{
    struct columns_decoder d = {.plan = plan};
    struct record r = {.int_count = 0};
    const int64_t *sequences = NULL;
    struct slice *datums = NULL;
    d.value_max = value_max < INT32_MAX ? value_max : INT32_MAX;
    d.text_size_max = d.value_max * TEXT_BYTES_PER_VALUE;
    bool fine = take_record(&d, record, &r) && unpack_batch(&d, &r, &sequences, &datums);
    enum err e = d.no_memory ? ERR_NOMEM : fine ? ERR_OK : ERR_CORRUPT;
    if (e == ERR_CORRUPT) {
        assert(d.wrong);
        why_set(why, "%s", d.wrong);
    }
    if (!e && taker->head) {
        e = taker->head(taker->context, &r.head);
    }
    e = e ? e : give_rows(&d, r.head.count, sequences, datums, taker);
    arena_release(&d.arena);
    return e;
}
