/* String columns as shapes: texts that are alike but for what their marks stand for. */
#include "uplink/layout/columns_shape.h"

#include <assert.h>

#define ROWS_MIN 2
#define HEAD_BYTES 4 /* about what a shape has besides its text */
#define UTF8_GROWTH 16

struct shape {
    struct slice text; /* kept until the batch is done */
    uint32_t hash;
    uint32_t uses;
};

struct shapes {
    struct columns_work *work;
    const struct table_rows *set;
    struct slice *texts; /* of each row, what is not read yet */
    uint8_t *of;         /* the shape of each row */
    unsigned depth;
    uint32_t count; /* shapes */
    uint32_t marks; /* of all */
    struct shape all[SHAPE_MAX];
};

static uint32_t count_marks(struct slice shape)
{
    uint32_t count = 0;
    for (size_t i = 0; i < shape.size; i++) {
        bool is_mark = shape.data[i] >= SHAPE_NUMBER && shape.data[i] <= SHAPE_LIST;
        count += is_mark ? (shape.data[i] == SHAPE_LIST ? 2U : 1U) : 0U; /* with lengths */
    }
    return count;
}

/* The number of a shape, which is kept when it is new; SHAPE_MAX: there are too many. */
static uint32_t add_shape(struct shapes *s, struct slice text)
{
    uint32_t hash = columns_hash(text);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->all[i].hash == hash && slice_equal(s->all[i].text, text)) {
            return i;
        }
    }
    bool is_whole = text.size == 1 && text.data[0] == SHAPE_TEXT;
    uint32_t marks = count_marks(text);
    if (s->count >= (is_whole ? SHAPE_MAX : SHAPE_MAX - 1) || marks > SHAPE_MARK_MAX) {
        return SHAPE_MAX;
    }
    uint8_t *kept = work_keep(s->work, text.size);
    if (!kept) {
        return SHAPE_MAX;
    }
    memcpy(kept, text.data, text.size);
    s->all[s->count] = (struct shape){{kept, text.size}, hash, 0};
    s->marks += marks;
    return s->count++;
}

/* Finds the shape of each row. False: they are not worth it, or there is no room. */
static bool find_shapes(struct shapes *s, struct out *scratch)
{
    static const uint8_t whole[] = {SHAPE_TEXT};
    size_t size = 0;
    size_t rest = HEAD_BYTES; /* what stays */
    for (uint32_t i = 0; i < s->set->count; i++) {
        uint32_t before = s->count;
        scratch->size = 0;
        scratch->overflow = false;
        uint32_t id = SHAPE_MAX;
        if (scan_shape(s->texts[i], s->depth > 1, scratch)) {
            id = add_shape(s, out_slice(scratch));
        }
        if (id == SHAPE_MAX) {
            id = add_shape(s, (struct slice){whole, sizeof whole});
        }
        if (id == SHAPE_MAX) {
            return false;
        }
        struct slice shape = s->all[id].text;
        bool is_whole = shape.size == 1 && shape.data[0] == SHAPE_TEXT;
        rest += s->count > before ? shape.size + HEAD_BYTES : 0;
        rest += is_whole ? s->texts[i].size : 0;
        size += s->texts[i].size + 1;
        s->of[i] = (uint8_t)id;
        s->all[id].uses++;
    }
    return !s->work->full && rest * 10 < size * 8 &&
           s->marks <= COLUMNS_LEAF_MAX - s->work->leaf_count;
}

/* --- the columns of one shape --- */

/* Rows that have a shape. */
struct shape_rows {
    struct table_rows set;
    const uint32_t *places; /* of each in `texts`; NULL: all */
};

static struct slice *row_text(const struct shapes *s, const struct shape_rows *r, uint32_t i)
{
    return &s->texts[r->places ? r->places[i] : i];
}

static void advance(struct slice *text, size_t size)
{
    assert(size <= text->size);
    *text = (struct slice){text->data + size, text->size - size};
}

static void put_times(struct shapes *s, const struct shape_rows *r, const struct slice *leaves)
{
    int64_t *values = work_take(s->work, r->set.count * sizeof *values);
    if (values) {
        for (uint32_t i = 0; i < r->set.count; i++) {
            bool fine = scan_time(leaves[i], &values[i]);
            assert(fine);
            (void)fine;
        }
        ints_put(s->work, values, r->set.count, &r->set, KEY_NONE);
    }
}

/* Items that all lists have together, as a column of a new table. */
static void put_items(struct shapes *s, const struct slice *leaves, uint32_t lists, uint32_t count,
                      uint32_t column)
{
    struct columns_work *work = s->work;
    struct slice *items = work_take(work, count * sizeof *items);
    struct table table = {.count = count};
    for (uint32_t i = 0; i < KEY_MAX; i++) {
        table.keys[i].ids = work_take(work, count);
    }
    if (work->full) {
        return;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < lists; i++) {
        for (struct slice rest = leaves[i]; at < count && rest.size > 0;) {
            struct slice before = rest;
            items[at++] = scan_item(&rest);
            bool has_empty_end = rest.size == 0 && before.size > items[at - 1].size;
            if (has_empty_end && at < count) {
                items[at++] = (struct slice){before.data + before.size, 0};
            }
        }
    }
    assert(at == count);
    struct table_rows all = {&table, NULL, count};
    if (s->depth == SHAPE_NEST_MAX || !shapes_put(work, &all, items, s->depth + 1, false)) {
        texts_put_slices(work, &all, items, column);
    }
}

static void put_lists(struct shapes *s, const struct shape_rows *r, const struct slice *leaves,
                      uint32_t column)
{
    uint32_t total = 0;
    size_t high = s->work->high;
    int64_t *lengths = work_take(s->work, r->set.count * sizeof *lengths);
    if (!lengths) {
        return;
    }
    for (uint32_t i = 0; i < r->set.count; i++) {
        uint32_t count = scan_item_count(leaves[i]);
        lengths[i] = count;
        total += count;
    }
    ints_put(s->work, lengths, r->set.count, &r->set, KEY_NONE);
    s->work->high = high;
    if (total > 0) {
        put_items(s, leaves, r->set.count, total, column + 1);
    }
}

/* The columns of the mark at `at`. */
static void put_leaf(struct shapes *s, const struct shape_rows *r, struct slice shape, size_t at)
{
    struct columns_work *work = s->work;
    size_t high = work->high;
    enum shape_mark mark = (enum shape_mark)shape.data[at];
    uint32_t column = work->column_next + work->leaf_count;
    struct slice *leaves = work_take(work, r->set.count * sizeof *leaves);
    work->leaf_count += mark == SHAPE_LIST ? 2 : 1;
    if (work->leaf_count > COLUMNS_LEAF_MAX) {
        work->full = true; /* of fewer rows there are fewer */
    }
    if (work->full) {
        return;
    }
    for (uint32_t i = 0; i < r->set.count; i++) {
        struct slice *text = row_text(s, r, i);
        leaves[i] = (struct slice){text->data, scan_leaf(shape, at, *text)};
        advance(text, leaves[i].size);
    }
    switch (mark) {
    case SHAPE_NUMBER:
        printed_put(work, &r->set, leaves, column);
        break;
    case SHAPE_TEXT:
        texts_put_slices(work, &r->set, leaves, column);
        break;
    case SHAPE_TIME:
        put_times(s, r, leaves);
        break;
    case SHAPE_LIST:
        put_lists(s, r, leaves, column);
        break;
    }
    work->high = high;
}

static void put_leaves(struct shapes *s, const struct shape_rows *r, struct slice shape)
{
    size_t literal = 0; /* bytes of the shape since the last mark */
    for (size_t i = 0; i < shape.size && !s->work->full; i++) {
        if (shape.data[i] < SHAPE_NUMBER || shape.data[i] > SHAPE_LIST) {
            literal++;
            continue;
        }
        for (uint32_t k = 0; literal > 0 && k < r->set.count; k++) {
            advance(row_text(s, r, k), literal);
        }
        literal = 0;
        put_leaf(s, r, shape, i);
        i += shape.data[i] == SHAPE_TIME ? 2 : 0;
    }
}

/* Keys of one shape say nothing of the rows of the others: they are forgotten behind it. */
static void put_shape(struct shapes *s, uint32_t id)
{
    struct columns_work *work = s->work;
    struct table *table = s->set->table;
    const struct shape *shape = &s->all[id];
    size_t high = work->high;
    struct table before = *table;
    uint32_t *places = work_take(work, shape->uses * sizeof *places);
    uint32_t *rows = work_take(work, shape->uses * sizeof *rows);
    uint8_t *ids = work_take(work, (size_t)KEY_MAX * table->count);
    if (!ids) {
        return;
    }
    struct shape_rows r = {{table, rows, 0}, places};
    for (uint32_t i = 0; i < s->set->count; i++) {
        if (s->of[i] == id) {
            places[r.set.count] = i;
            rows[r.set.count++] = table_row(s->set, i);
        }
    }
    if (shape->uses == s->set->count) {
        r = (struct shape_rows){*s->set, NULL};
    }
    for (uint32_t k = 0; k < KEY_MAX; k++) {
        memcpy(ids + (size_t)k * table->count, table->keys[k].ids, table->count);
    }
    put_leaves(s, &r, shape->text);
    *table = before;
    for (uint32_t k = 0; k < KEY_MAX; k++) {
        memcpy(table->keys[k].ids, ids + (size_t)k * table->count, table->count);
    }
    work->high = high;
}

static void put_all(struct shapes *s)
{
    struct columns_work *work = s->work;
    size_t high = work->high;
    int64_t *values = work_take(work, s->set->count * sizeof *values);
    for (uint32_t i = 0; values && i < s->set->count; i++) {
        values[i] = s->of[i];
    }
    work_put_int(work, TEXT_SHAPES);
    if (values) {
        ints_put(work, values, s->set->count, NULL, KEY_NONE);
    }
    work->high = high;
    for (uint32_t i = 0; i < s->count; i++) {
        work_put_string(work, s->all[i].text);
    }
    for (uint32_t i = 0; i < s->count && !work->full; i++) {
        put_shape(s, i);
    }
}

/* Recurses at most SHAPE_NEST_MAX deep. */
bool shapes_put(struct columns_work *work, const struct table_rows *set, struct slice *texts,
                unsigned depth, bool in_bytes)
{
    size_t high = work->high;
    size_t low = work->low;
    size_t largest = 0;
    if (set->count < ROWS_MIN) {
        return false;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        largest = texts[i].size > largest ? texts[i].size : largest;
    }
    struct shapes *s = work_take(work, sizeof *s);
    uint8_t *of = work_take(work, set->count);
    size_t scratch_high = work->high;
    size_t scratch_size = largest + largest / 2 + UTF8_GROWTH; /* marks of what is empty */
    struct out scratch = out_over(work_take(work, scratch_size), scratch_size);
    bool is_worth = false;
    if (scratch.data) {
        *s = (struct shapes){.work = work, .set = set, .texts = texts, .of = of, .depth = depth};
        is_worth = find_shapes(s, &scratch);
    }
    work->high = scratch_high;
    if (is_worth && in_bytes) {
        work_put_int(work, BYTES_AS_TEXTS);
    }
    if (is_worth) {
        put_all(s);
    } else if (!work->full) {
        work->low = low;
    }
    work->high = high;
    return is_worth;
}
