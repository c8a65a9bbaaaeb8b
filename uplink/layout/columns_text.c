/* String and bytes columns. */
#include <assert.h>

#include "uplink/layout/columns_shape.h"

#define DISTINCT_SHARE 4 /* of so many rows one must be new for shapes */

bool text_table_init(struct text_table *table, struct columns_work *work,
                     const struct columns_words *known, uint32_t fresh_max)
{
    uint32_t size = 8;
    while (size < fresh_max + fresh_max / 2) {
        size *= 2;
    }
    *table = (struct text_table){.known = known, .fresh_max = fresh_max, .mask = size - 1};
    table->fresh = work_take(work, fresh_max * sizeof *table->fresh);
    table->slots = work_take(work, size * sizeof *table->slots);
    if (!table->slots) {
        return false;
    }
    memset(table->slots, 0, size * sizeof *table->slots);
    return true;
}

uint32_t text_table_add(struct text_table *table, struct slice text)
{
    uint32_t hash = columns_hash(text);
    int32_t known = table->known ? columns_word_find(table->known, text, hash) : -1;
    if (known >= 0) {
        return (uint32_t)known;
    }
    uint32_t at = hash & table->mask;
    while (table->slots[at] && !slice_equal(table->fresh[table->slots[at] - 1], text)) {
        at = (at + 1) & table->mask;
    }
    if (!table->slots[at]) {
        assert(table->fresh_count < table->fresh_max);
        table->fresh[table->fresh_count++] = text;
        table->slots[at] = table->fresh_count;
    }
    return text_table_known(table) + table->slots[at] - 1;
}

struct slice text_table_get(const struct text_table *table, uint32_t id)
{
    uint32_t known = text_table_known(table);
    return id < known ? table->known->words[id] : table->fresh[id - known];
}

/* Which texts there are, in order of first use. False: there is no room. */
static bool find_used(struct texts *t, struct columns_work *work)
{
    uint32_t id_count = text_table_known(&t->table) + t->table.fresh_count;
    t->used = work_take(work, id_count * sizeof *t->used);
    t->places = work_take(work, t->count * sizeof *t->places);
    size_t high = work->high;
    uint32_t *place_of = work_take(work, id_count * sizeof *place_of); /* + 1; 0: not used */
    if (!place_of) {
        return false;
    }
    memset(place_of, 0, id_count * sizeof *place_of);
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t id = t->ids[i];
        if (!place_of[id]) {
            t->used[t->used_count++] = id;
            place_of[id] = t->used_count;
        }
        t->places[i] = place_of[id] - 1;
    }
    work->high = high;
    return true;
}

/* Room to number the texts of so many rows. */
static uint32_t *begin_texts(struct texts *t, struct columns_work *work, uint32_t count,
                             const struct columns_words *known)
{
    *t = (struct texts){.count = count};
    uint32_t *ids = work_take(work, count * sizeof *ids);
    t->ids = ids;
    return ids && text_table_init(&t->table, work, known, count) ? ids : NULL;
}

/* Reads the column's texts, and numbers them. */
static bool read_texts(struct texts *t, struct columns_work *work, const struct table_rows *set,
                       const struct columns_words *known, int64_t fixed_size)
{
    struct slice last = {NULL, 0};
    uint32_t *ids = begin_texts(t, work, set->count, known);
    if (!ids) {
        return false;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        const uint8_t **cursor = &set->table->cursors[table_row(set, i)];
        struct slice text = {*cursor, (size_t)fixed_size};
        if (fixed_size < 0) {
            text = read_bytes(cursor);
        } else {
            *cursor += fixed_size;
        }
        bool is_again = i > 0 && slice_equal(text, last); /* often, and cheaper to find out */
        ids[i] = is_again ? ids[i - 1] : text_table_add(&t->table, text);
        last = text;
    }
    return find_used(t, work);
}

/* Numbers texts that are at hand. */
static bool number_texts(struct texts *t, struct columns_work *work, const struct slice *texts,
                         uint32_t count, const struct columns_words *known)
{
    uint32_t *ids = begin_texts(t, work, count, known);
    for (uint32_t i = 0; ids && i < count; i++) {
        bool is_again = i > 0 && slice_equal(texts[i], texts[i - 1]);
        ids[i] = is_again ? ids[i - 1] : text_table_add(&t->table, texts[i]);
    }
    return ids && find_used(t, work);
}

static void put_ids(struct columns_work *work, const uint32_t *ids, uint32_t count)
{
    int64_t *values = work_take(work, count * sizeof *values);
    if (values) {
        for (uint32_t i = 0; i < count; i++) {
            values[i] = ids[i];
        }
        ints_put(work, values, count, NULL, KEY_NONE);
    }
}

static void put_entries(struct columns_work *work, const struct texts *t)
{
    if (t->used_count == 1) {
        work_put_int(work, -1 - (int64_t)t->ids[0]);
    } else if (t->table.fresh_count == t->count) {
        work_put_int(work, TEXT_NEW);
    } else {
        work_put_int(work, TEXT_INDICES);
        put_ids(work, t->ids, t->count);
    }
    for (uint32_t i = 0; i < t->table.fresh_count; i++) {
        work_put_string(work, t->table.fresh[i]);
    }
}

/* Could texts that begin so be shapes? */
static bool may_be_shapes(const struct table_rows *set)
{
    const uint8_t *cursor = set->table->cursors[table_row(set, 0)];
    struct slice text = read_bytes(&cursor);
    uint8_t first = text.size > 0 ? text.data[0] : 0;
    return set->count > 1 &&
           (first == '{' || first == '[' || first == '-' || (first >= '0' && first <= '9'));
}

/* Texts that were numbered, of a bytes column or not, as shapes, if those are worth it: else they are
 * numbered again. `room`: for as many slices as there are rows; `high`: behind that. */
static bool try_shapes(struct texts *t, struct columns_work *work, const struct table_rows *set,
                       struct slice *room, size_t high)
{
    const struct columns_words *known = t->table.known;
    bool in_bytes = t->in_bytes;
    if (t->used_count < t->count / DISTINCT_SHARE) {
        return false;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        room[i] = text_table_get(&t->table, t->ids[i]);
    }
    work->high = high;
    if (shapes_put(work, set, room, 1, in_bytes)) {
        return true;
    }
    bool again = number_texts(t, work, room, set->count, known);
    t->in_bytes = in_bytes;
    return !again;
}

static void put_texts(struct columns_work *work, const struct table_rows *set, struct texts *t,
                      uint32_t column)
{
    if (!templates_put(work, t)) {
        table_offer_key(set, column, t->places, t->used_count);
        put_entries(work, t);
    }
}

void texts_put(struct columns_work *work, const struct table_rows *set,
               const struct columns_words *known, uint32_t column)
{
    struct texts t;
    size_t high = work->high;
    bool may_be = known->count == 0 && may_be_shapes(set);
    struct slice *room = may_be ? work_take(work, set->count * sizeof *room) : NULL;
    size_t behind = work->high;
    if (read_texts(&t, work, set, known, -1) &&
        !(room && try_shapes(&t, work, set, room, behind))) {
        put_texts(work, set, &t, column);
    }
    work->high = high;
}

void texts_put_slices(struct columns_work *work, const struct table_rows *set,
                      const struct slice *texts, uint32_t column)
{
    struct texts t;
    size_t high = work->high;
    if (number_texts(&t, work, texts, set->count, NULL)) {
        put_texts(work, set, &t, column);
    }
    work->high = high;
}

static bool are_utf8(const struct texts *t)
{
    for (uint32_t i = 0; i < t->table.fresh_count; i++) {
        if (!slice_is_utf8(t->table.fresh[i])) {
            return false;
        }
    }
    return true;
}

/* As a string column, if what it can do more is of use. */
static bool put_bytes_as_texts(struct columns_work *work, const struct table_rows *set,
                               struct texts *t, struct slice *room, size_t high)
{
    t->in_bytes = true;
    return are_utf8(t) &&
           ((room && try_shapes(t, work, set, room, high)) || templates_put(work, t));
}

static void put_as_planes(struct columns_work *work, const struct table_rows *set,
                          const struct texts *t, int64_t fixed_size, uint32_t column)
{
    int64_t *sizes = work_take(work, set->count * sizeof *sizes);
    table_offer_key(set, column, t->places, t->used_count);
    put_ids(work, t->ids, t->count);
    for (uint32_t i = 0; sizes && i < t->table.fresh_count; i++) {
        sizes[i] = (int64_t)t->table.fresh[i].size;
        work_put_plane(work, t->table.fresh[i]);
    }
    if (sizes && fixed_size < 0) {
        ints_put(work, sizes, t->table.fresh_count, NULL, KEY_NONE);
    }
}

void bytes_put(struct columns_work *work, const struct table_rows *set, int64_t fixed_size,
               uint32_t column)
{
    struct texts t;
    size_t high = work->high;
    bool may_be = fixed_size < 0 && may_be_shapes(set);
    struct slice *room = may_be ? work_take(work, set->count * sizeof *room) : NULL;
    size_t behind = work->high;
    if (read_texts(&t, work, set, NULL, fixed_size) &&
        !(fixed_size < 0 && put_bytes_as_texts(work, set, &t, room, behind)) && !work->full) {
        put_as_planes(work, set, &t, fixed_size, column);
    }
    work->high = high;
}
