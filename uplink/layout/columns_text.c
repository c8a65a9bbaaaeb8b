/* String and bytes columns. */
#include <assert.h>

#include "uplink/layout/columns_impl.h"

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

/* Reads the column's texts, and numbers them. */
static bool read_texts(struct texts *t, struct columns_work *work, const struct table_rows *set,
                       const struct columns_words *known, int64_t fixed_size)
{
    *t = (struct texts){.count = set->count};
    struct slice last = {NULL, 0};
    uint32_t *ids = work_take(work, set->count * sizeof *ids);
    if (!ids || !text_table_init(&t->table, work, known, set->count)) {
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
    t->ids = ids;
    return find_used(t, work);
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

void texts_put(struct columns_work *work, const struct table_rows *set,
               const struct columns_words *known, uint32_t column)
{
    struct texts t;
    size_t high = work->high;
    if (read_texts(&t, work, set, known, -1) && !templates_put(work, &t)) {
        table_offer_key(set, column, t.places, t.used_count);
        put_entries(work, &t);
    }
    work->high = high;
}

void bytes_put(struct columns_work *work, const struct table_rows *set, int64_t fixed_size,
               uint32_t column)
{
    struct texts t;
    size_t high = work->high;
    int64_t *sizes = work_take(work, set->count * sizeof *sizes);
    if (read_texts(&t, work, set, NULL, fixed_size)) {
        table_offer_key(set, column, t.places, t.used_count);
        put_ids(work, t.ids, t.count);
        for (uint32_t i = 0; i < t.table.fresh_count; i++) {
            sizes[i] = (int64_t)t.table.fresh[i].size;
            work_put_plane(work, t.table.fresh[i]);
        }
        if (fixed_size < 0) {
            ints_put(work, sizes, t.table.fresh_count, NULL, KEY_NONE);
        }
    }
    work->high = high;
}
