/* Columns of shapes back: the columns of each mark, then the texts. */
#include <assert.h>

#include "uplink/layout/columns_decode.h"

#define LEAF_FIRST 64 /* of the array of columns that shapes have */
#define DIGITS_MAX 9

/* The rows that have a shape, and what stands for its marks. */
struct unpacked_shape {
    struct slice text;
    struct decoded_rows set;
    uint32_t *rows;      /* of the table: those of `set` */
    uint32_t *places;    /* in the column */
    size_t literal_size; /* besides its marks */
    uint32_t mark_count;
    struct slice **leaves;       /* of each mark, of each row */
    struct unpacked_shape *next; /* in order of first use */
};

static const struct columns_words none = {.count = 0};

static bool is_mark(uint8_t c)
{
    return c >= SHAPE_NUMBER && c <= SHAPE_LIST;
}

/* Registers a column of a shape. */
static struct decoded_column *leaf_column(struct columns_decoder *d, const struct decoded_rows *set)
{
    struct decoded_column *column = decoder_take(d, 1, sizeof *column);
    if (d->leaf_count == COLUMNS_LEAF_MAX) {
        (void)decoder_refuse(d, "its shapes have too many columns");
        return NULL;
    }
    if (d->leaf_count == d->leaf_max) {
        uint32_t larger = d->leaf_max ? d->leaf_max * 2 : LEAF_FIRST;
        struct decoded_column **leaves = decoder_take(d, larger, sizeof(struct decoded_column *));
        if (!leaves) {
            return NULL;
        }
        if (d->leaf_count > 0) {
            memcpy(leaves, d->leaves, d->leaf_count * sizeof(struct decoded_column *));
        }
        d->leaves = leaves;
        d->leaf_max = larger;
    }
    if (column) {
        column->set = *set;
        d->leaves[d->leaf_count++] = column;
    }
    return column;
}

/* --- marks --- */

static struct slice *unpack_numbers(struct columns_decoder *d, const struct decoded_rows *set)
{
    int64_t mode;
    struct decoded_column *column = leaf_column(d, set);
    if (!column || !decoder_int(d, &mode)) {
        return NULL;
    }
    if (mode == PRINTED_TEXTS) {
        return unpack_texts(d, column, &none) ? column->texts : NULL;
    }
    int64_t scale = mode & PRINTED_SCALE;
    int64_t style = mode - scale;
    if (mode < 0 || scale > PRINTED_SCALE_MAX ||
        !(style == 0 || (scale > 0 && (style == PRINTED_POINT || style == PRINTED_BARE)))) {
        (void)decoder_refuse(d, "a mode of printed numbers is none");
        return NULL;
    }
    column->whole = unpack_ints(d, set->count, set);
    column->may_be_key = true;
    struct slice *texts = column->whole ? decoder_take(d, set->count, sizeof *texts) : NULL;
    return texts && print_numbers(d, column->whole, set->count, mode, texts) ? texts : NULL;
}

static struct slice *unpack_leaf_texts(struct columns_decoder *d, const struct decoded_rows *set)
{
    struct decoded_column *column = leaf_column(d, set);
    return column && unpack_texts(d, column, &none) ? column->texts : NULL;
}

static struct slice *unpack_times(struct columns_decoder *d, const struct decoded_rows *set,
                                  uint8_t between, uint8_t digit)
{
    struct decoded_column *column = leaf_column(d, set);
    if (!column) {
        return NULL;
    }
    column->whole = unpack_ints(d, set->count, set);
    column->may_be_key = true;
    struct slice *texts = column->whole ? decoder_take(d, set->count, sizeof *texts) : NULL;
    unsigned digits = (unsigned)digit - '0';
    return texts && print_times(d, column->whole, set->count, between, digits, texts) ? texts
                                                                                      : NULL;
}

/* The items of one list, with commas. */
static bool join(struct columns_decoder *d, const struct slice *items, int64_t count,
                 struct slice *ret)
{
    size_t size = count > 0 ? (size_t)count - 1 : 0;
    for (int64_t i = 0; i < count; i++) {
        size += items[i].size;
    }
    struct out text = out_over(NULL, size);
    if (!decoder_spend_text(d, size)) {
        return false;
    }
    text.data = decoder_take(d, size + 1, 1);
    for (int64_t i = 0; text.data && i < count; i++) {
        if (i > 0) {
            out_put_byte(&text, ',');
        }
        out_put_slice(&text, items[i]);
    }
    *ret = out_slice(&text);
    return text.data != NULL;
}

static bool sum_lengths(struct columns_decoder *d, const struct decoded_column *lengths,
                        uint64_t *ret)
{
    *ret = 0;
    for (uint32_t i = 0; i < lengths->set.count; i++) {
        if (lengths->whole[i] < 0) {
            return decoder_refuse(d, "a negative length");
        }
        *ret += (uint64_t)lengths->whole[i];
        if (*ret > d->value_max) {
            return decoder_spend(d, *ret);
        }
    }
    return decoder_spend(d, *ret);
}

static struct slice *unpack_lists(struct columns_decoder *d, const struct decoded_rows *set)
{
    struct decoded_column *lengths = leaf_column(d, set);
    uint64_t total;
    if (!lengths) {
        return NULL;
    }
    struct decoded_rows inner = {.table = ++d->table_count, .of_shape = true};
    struct decoded_column *items = leaf_column(d, &inner);
    lengths->whole = items ? unpack_ints(d, set->count, set) : NULL;
    lengths->may_be_key = true;
    if (!lengths->whole || !sum_lengths(d, lengths, &total)) {
        return NULL;
    }
    items->set.count = (uint32_t)total;
    if (!unpack_texts(d, items, &none)) {
        return NULL;
    }
    struct slice *texts = decoder_take(d, set->count, sizeof *texts);
    const struct slice *next = items->texts;
    for (uint32_t i = 0; texts && i < set->count; i++) {
        if (!join(d, next, lengths->whole[i], &texts[i])) {
            return NULL;
        }
        next = lengths->whole[i] > 0 ? next + lengths->whole[i] : next;
    }
    return texts;
}

/* What the mark at *at stands for in each row; *at is then behind it. */
static struct slice *unpack_mark(struct columns_decoder *d, const struct unpacked_shape *shape,
                                 size_t *at)
{
    const uint8_t *data = shape->text.data + (*at)++;
    switch ((enum shape_mark)data[0]) {
    case SHAPE_NUMBER:
        return unpack_numbers(d, &shape->set);
    case SHAPE_TEXT:
        return unpack_leaf_texts(d, &shape->set);
    case SHAPE_LIST:
        return unpack_lists(d, &shape->set);
    case SHAPE_TIME:
        break;
    }
    *at += 2;
    if (*at > shape->text.size || (data[1] != 'T' && data[1] != ' ') || data[2] < '0' ||
        data[2] > '9') {
        (void)decoder_refuse(d, "a mark of a time is not whole");
        return NULL;
    }
    return unpack_times(d, &shape->set, data[1], data[2]);
}

static bool unpack_leaves(struct columns_decoder *d, struct unpacked_shape *shape)
{
    uint32_t count = 0;
    for (size_t i = 0; i < shape->text.size; i++) {
        count += is_mark(shape->text.data[i]);
    }
    shape->leaves = decoder_take(d, count, sizeof *shape->leaves);
    for (size_t i = 0; shape->leaves && i < shape->text.size;) {
        if (!is_mark(shape->text.data[i])) {
            shape->literal_size++;
            i++;
            continue;
        }
        struct slice *leaves = unpack_mark(d, shape, &i);
        if (!leaves) {
            return false;
        }
        shape->leaves[shape->mark_count++] = leaves;
    }
    return shape->leaves != NULL;
}

/* --- texts --- */

/* The next part of the shape, off the front of `rest`: what stands for a mark in its k-th row, or all
 * up to the next mark. */
static struct slice take_part(const struct unpacked_shape *shape, struct slice *rest,
                              uint32_t *mark, uint32_t k)
{
    size_t size = 0;
    struct slice part = *rest;
    if (is_mark(rest->data[0])) {
        size = rest->data[0] == SHAPE_TIME ? 3 : 1;
        part = shape->leaves[(*mark)++][k];
    } else {
        while (size < rest->size && !is_mark(rest->data[size])) {
            size++;
        }
        part.size = size;
    }
    *rest = (struct slice){rest->data + size, rest->size - size};
    return part;
}

static size_t text_size(const struct unpacked_shape *shape, uint32_t k)
{
    size_t size = shape->literal_size;
    for (uint32_t mark = 0; mark < shape->mark_count; mark++) {
        size += shape->leaves[mark][k].size;
    }
    return size;
}

static bool put_texts(struct columns_decoder *d, const struct unpacked_shape *shape,
                      struct slice *texts)
{
    for (uint32_t k = 0; k < shape->set.count; k++) {
        size_t size = text_size(shape, k);
        if (!decoder_spend_text(d, size)) {
            return false;
        }
        struct out text = out_over(decoder_take(d, size + 1, 1), size);
        if (!text.data) {
            return false;
        }
        uint32_t mark = 0;
        for (struct slice rest = shape->text; rest.size > 0;) {
            out_put_slice(&text, take_part(shape, &rest, &mark, k));
        }
        assert(!text.overflow);
        texts[shape->places[k]] = out_slice(&text);
    }
    return true;
}

/* --- the column --- */

/* Which shapes are used, in order of first use, and by which rows. */
static struct unpacked_shape *find_uses(struct columns_decoder *d,
                                        const struct decoded_column *column,
                                        const struct slice *shapes, uint32_t count,
                                        const uint32_t *ids)
{
    struct unpacked_shape *all = decoder_take(d, count, sizeof *all);
    struct unpacked_shape *first = NULL;
    struct unpacked_shape **end = &first;
    for (uint32_t i = 0; all && i < column->set.count; i++) {
        struct unpacked_shape *one = &all[ids[i]];
        if (one->set.count++ == 0) {
            one->text = shapes[ids[i]];
            *end = one;
            end = &one->next;
        }
    }
    for (struct unpacked_shape *one = first; one; one = one->next) {
        one->places = decoder_take(d, one->set.count, sizeof *one->places);
        one->rows = decoder_take(d, one->set.count, sizeof *one->rows);
        if (!one->rows) {
            return NULL;
        }
        one->set = (struct decoded_rows){column->set.table, one->rows, 0, true};
    }
    for (uint32_t i = 0; first && i < column->set.count; i++) {
        struct unpacked_shape *one = &all[ids[i]];
        one->places[one->set.count] = i;
        one->rows[one->set.count++] = column->set.rows ? column->set.rows[i] : i;
    }
    return first;
}

/* Recurses, by lists and texts within shapes, at most SHAPE_NEST_MAX deep. */
bool unpack_shapes(struct columns_decoder *d, struct decoded_column *column,
                   const struct slice *shapes, uint32_t count, const uint32_t *ids)
{
    if (d->shape_depth == SHAPE_NEST_MAX) {
        return decoder_refuse(d, "shapes nest deeper than 4");
    }
    d->shape_depth++;
    struct unpacked_shape *first = find_uses(d, column, shapes, count, ids);
    struct slice *texts = first ? decoder_take(d, column->set.count, sizeof *texts) : NULL;
    bool fine = texts != NULL;
    for (struct unpacked_shape *one = first; fine && one; one = one->next) {
        fine = unpack_leaves(d, one) && put_texts(d, one, texts);
    }
    column->texts = texts;
    d->shape_depth--;
    return fine;
}
