/* Texts that differ in their numbers: each is a template, whose numbers are columns. */
#include <assert.h>

#include "uplink/layout/columns_impl.h"

#define TEXT_SIZE_MEAN_MIN 8 /* shorter texts are not looked at */
#define NUMBER_BYTES 2       /* what a number will take, about */
#define HEAD_BYTES 4

struct templates {
    struct columns_work *work;
    const struct texts *texts;
    struct text_table table;
    uint32_t *of;     /* template of each text in use */
    int64_t *numbers; /* of all texts in use */
    uint32_t *starts; /* of the numbers of each text */
    uint32_t number_count;
    uint8_t *scratch; /* for the largest text */
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The digits from `at` on: how many; in *ret_is_number whether they print back the same. */
static size_t digits_at(struct slice text, size_t at, bool *ret_is_number)
{
    size_t end = at;
    while (end < text.size && is_digit(text.data[end])) {
        end++;
    }
    size_t count = end - at;
    *ret_is_number = count == 1 || (count <= TEMPLATE_NUMBER_SIZE && text.data[at] != '0');
    return count;
}

static uint32_t count_numbers(struct slice text, bool *ret_has_mark)
{
    uint32_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (is_digit(text.data[i])) {
            bool is_number;
            i += digits_at(text, i, &is_number) - 1;
            count += is_number;
        } else if (text.data[i] == TEXT_MARK) {
            *ret_has_mark = true;
        }
    }
    return count;
}

static int64_t number_at(const uint8_t *digits, size_t count)
{
    int64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        number = number * 10 + (digits[i] - '0');
    }
    return number;
}

/* Writes the template into `scratch` and adds the numbers. */
static struct slice make_template(struct templates *t, struct slice text)
{
    uint8_t *at = t->scratch;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i])) {
            *at++ = text.data[i];
            continue;
        }
        bool is_number;
        size_t count = digits_at(text, i, &is_number);
        if (is_number) {
            t->numbers[t->number_count++] = number_at(text.data + i, count);
            *at++ = TEXT_MARK;
        } else {
            memcpy(at, text.data + i, count);
            at += count;
        }
        i += count - 1;
    }
    return (struct slice){t->scratch, (size_t)(at - t->scratch)};
}

/* The template's number; a new one is kept. */
static uint32_t add_template(struct templates *t, struct slice text, size_t *new_size)
{
    uint32_t before = t->table.fresh_count;
    uint32_t id = text_table_add(&t->table, text);
    if (t->table.fresh_count > before) {
        uint8_t *kept = work_keep(t->work, text.size);
        if (kept) {
            memcpy(kept, text.data, text.size);
            t->table.fresh[before].data = kept;
        }
        *new_size += text.size + 1;
    }
    return id;
}

/* Sizes of the texts; false: templates can't be worth it. */
static bool look(const struct texts *texts, uint32_t *ret_numbers, size_t *ret_largest,
                 size_t *ret_fresh_size)
{
    uint32_t known = text_table_known(&texts->table);
    uint32_t fresh_numbers = 0;
    size_t size = texts->table.fresh_count;
    bool has_mark = false;
    *ret_numbers = 0;
    *ret_largest = 0;
    for (uint32_t i = 0; i < texts->table.fresh_count; i++) {
        size += texts->table.fresh[i].size;
    }
    if (size < (size_t)TEXT_SIZE_MEAN_MIN * texts->table.fresh_count || size <= HEAD_BYTES) {
        return false;
    }
    for (uint32_t i = 0; i < texts->used_count; i++) {
        struct slice text = text_table_get(&texts->table, texts->used[i]);
        uint32_t count = count_numbers(text, &has_mark);
        *ret_numbers += count;
        fresh_numbers += texts->used[i] >= known ? count : 0;
        *ret_largest = text.size > *ret_largest ? text.size : *ret_largest;
    }
    size_t rest = (size_t)fresh_numbers * NUMBER_BYTES + HEAD_BYTES;
    *ret_fresh_size = size * 8 / 10 > rest ? size * 8 / 10 - rest : 0; /* room for templates */
    return fresh_numbers > 0 && !has_mark && *ret_fresh_size > 0;
}

/* False: they are not worth it, or there is no room. */
static bool make_templates(struct templates *t, size_t size_max)
{
    size_t size = 0;
    for (uint32_t i = 0; i < t->texts->used_count; i++) {
        struct slice text = text_table_get(&t->texts->table, t->texts->used[i]);
        t->starts[i] = t->number_count;
        t->of[i] = add_template(t, make_template(t, text), &size);
        if (size >= size_max || t->work->full) {
            return false;
        }
    }
    t->starts[t->texts->used_count] = t->number_count;
    return true;
}

/* --- numbers --- */

/* Rows by template: those of the k-th, in order of first use, are order[starts[k]] and on. */
struct grouped {
    uint32_t count; /* templates in use */
    uint32_t *starts;
    uint32_t *order;
};

static bool group_rows(const struct templates *t, const uint32_t *ids, struct grouped *ret)
{
    uint32_t rows = t->texts->count;
    uint32_t id_count = text_table_known(&t->table) + t->table.fresh_count;
    ret->count = 0;
    ret->starts = work_take(t->work, ((size_t)id_count + 1) * sizeof *ret->starts);
    ret->order = work_take(t->work, rows * sizeof *ret->order);
    uint32_t *ranks = work_take(t->work, id_count * sizeof *ranks); /* + 1; 0: not used */
    if (!ranks) {
        return false;
    }
    memset(ranks, 0, id_count * sizeof *ranks);
    memset(ret->starts, 0, ((size_t)id_count + 1) * sizeof *ret->starts);
    for (uint32_t i = 0; i < rows; i++) {
        if (!ranks[ids[i]]) {
            ranks[ids[i]] = ++ret->count;
        }
        ret->starts[ranks[ids[i]] - 1]++;
    }
    for (uint32_t k = 0, sum = 0; k <= ret->count; k++) {
        sum += k < ret->count ? ret->starts[k] : 0;
        ret->starts[k] = sum; /* its end, for now */
    }
    for (uint32_t i = rows; i-- > 0;) { /* from behind: each group is filled from its end */
        uint32_t k = ranks[ids[i]] - 1;
        ret->order[--ret->starts[k]] = i;
    }
    return true;
}

/* Numbers of a group in one of its slots, use after use. */
static void gather(const struct templates *t, const struct grouped *g, uint32_t group,
                   uint32_t slot, int64_t *ret)
{
    for (uint32_t i = g->starts[group]; i < g->starts[group + 1]; i++) {
        *ret++ = t->numbers[t->starts[t->texts->places[g->order[i]]] + slot];
    }
}

static uint32_t slots_of(const struct templates *t, const struct grouped *g, uint32_t group)
{
    uint32_t place = t->texts->places[g->order[g->starts[group]]];
    return t->starts[place + 1] - t->starts[place];
}

static void put_numbers(const struct templates *t, const struct grouped *g)
{
    struct columns_work *work = t->work;
    size_t rare = 0;
    for (uint32_t k = 0; k < g->count; k++) {
        uint32_t uses = g->starts[k + 1] - g->starts[k];
        uint32_t slots = slots_of(t, g, k);
        size_t high = work->high;
        int64_t *values = work_take(work, uses * sizeof *values);
        rare += uses < TEMPLATE_USES_MIN ? (size_t)uses * slots : 0;
        for (uint32_t s = 0; values && uses >= TEMPLATE_USES_MIN && s < slots; s++) {
            gather(t, g, k, s, values);
            ints_put(work, values, uses, NULL, KEY_NONE);
        }
        work->high = high;
    }
    int64_t *values = work_take(work, rare * sizeof *values);
    size_t at = 0;
    for (uint32_t k = 0; values && k < g->count; k++) {
        uint32_t uses = g->starts[k + 1] - g->starts[k];
        uint32_t slots = uses < TEMPLATE_USES_MIN ? slots_of(t, g, k) : 0;
        for (uint32_t s = 0; s < slots; s++, at += uses) {
            gather(t, g, k, s, values + at);
        }
    }
    if (values) {
        ints_put(work, values, (uint32_t)rare, NULL, KEY_NONE);
    }
}

static void put_all(const struct templates *t)
{
    struct columns_work *work = t->work;
    struct grouped grouped;
    uint32_t count = t->texts->count;
    uint32_t *ids = work_take(work, count * sizeof *ids);
    int64_t *values = work_take(work, count * sizeof *values);
    for (uint32_t i = 0; values && i < count; i++) {
        ids[i] = t->of[t->texts->places[i]];
        values[i] = ids[i];
    }
    if (!values || !group_rows(t, ids, &grouped)) {
        return;
    }
    if (t->texts->in_bytes) {
        work_put_int(work, BYTES_AS_TEXTS);
    }
    work_put_int(work, TEXT_TEMPLATES);
    ints_put(work, values, count, NULL, KEY_NONE);
    for (uint32_t i = 0; i < t->table.fresh_count; i++) {
        work_put_string(work, t->table.fresh[i]);
    }
    put_numbers(t, &grouped);
}

bool templates_put(struct columns_work *work, const struct texts *texts)
{
    struct templates t = {.work = work, .texts = texts};
    uint32_t numbers;
    size_t largest;
    size_t size_max;
    if (!look(texts, &numbers, &largest, &size_max)) {
        return false;
    }
    size_t low = work->low;
    t.of = work_take(work, texts->used_count * sizeof *t.of);
    t.starts = work_take(work, ((size_t)texts->used_count + 1) * sizeof *t.starts);
    t.numbers = work_take(work, numbers * sizeof *t.numbers);
    t.scratch = work_take(work, largest + 1);
    bool is_made =
        t.scratch && text_table_init(&t.table, work, texts->table.known, texts->used_count);
    is_made = is_made && make_templates(&t, size_max);
    if (is_made) {
        put_all(&t);
    } else {
        work->low = low;
    }
    return is_made;
}
