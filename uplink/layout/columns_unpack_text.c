/* String and bytes columns back. */
#include <assert.h>

#include "uplink/layout/columns_decode.h"

#define NUMBER_MAX INT64_C(999999999999999) /* with TEMPLATE_NUMBER_SIZE digits */

/* Entries: those that are known, then new ones. */
struct entries {
    const struct columns_words *known;
    const struct slice *fresh;
    uint32_t count;
};

static struct slice entry(const struct entries *e, uint32_t id)
{
    if (id < e->known->count) {
        assert(e->known->words);
        return e->known->words[id];
    }
    assert(e->fresh && id < e->count); /* learned */
    return e->fresh[id - e->known->count];
}

/* Takes the new entries that the largest index calls for. */
static bool learn(struct columns_decoder *d, struct entries *e, int64_t largest, uint32_t uses)
{
    if (largest < 0 || largest >= (int64_t)e->known->count + uses) {
        return decoder_refuse(d, "an index is out of range");
    }
    size_t fresh = largest < (int64_t)e->known->count ? 0 : (size_t)largest + 1 - e->known->count;
    if (fresh > d->string_count - d->string_at) {
        return decoder_refuse(d, "the strings end early");
    }
    e->fresh = d->strings + d->string_at;
    e->count = e->known->count + (uint32_t)fresh;
    d->string_at += fresh;
    return true;
}

/* Indices as ids. */
static uint32_t *unpack_ids(struct columns_decoder *d, uint32_t count, struct entries *e)
{
    int64_t *values = unpack_ints(d, count, NULL);
    uint32_t *ids = values ? decoder_take(d, count, sizeof *ids) : NULL;
    int64_t largest = 0;
    for (uint32_t i = 0; ids && i < count; i++) {
        largest = values[i] < 0 || largest < 0 ? -1 : values[i] > largest ? values[i] : largest;
        ids[i] = (uint32_t)values[i];
    }
    return ids && learn(d, e, largest, count) ? ids : NULL;
}

/* The ids of a string column that is not of templates. */
static uint32_t *read_ids(struct columns_decoder *d, int64_t mode, uint32_t count,
                          struct entries *e)
{
    if (mode == TEXT_INDICES) {
        return unpack_ids(d, count, e);
    }
    if (mode >= 0 && mode != TEXT_NEW) {
        (void)decoder_refuse(d, "a string column's mode is none");
        return NULL;
    }
    bool is_new = mode == TEXT_NEW;
    int64_t largest = is_new ? (int64_t)e->known->count + count - 1 : -1 - mode;
    if (!decoder_spend(d, count) || !learn(d, e, largest, count)) {
        return NULL;
    }
    uint32_t *ids = decoder_take(d, count, sizeof *ids);
    for (uint32_t i = 0; ids && i < count; i++) {
        ids[i] = is_new ? e->known->count + i : (uint32_t)largest;
    }
    return ids;
}

static bool fill_texts(struct columns_decoder *d, struct decoded_column *column,
                       const struct entries *e)
{
    uint32_t count = column->set.count;
    column->texts = decoder_take(d, count, sizeof *column->texts);
    for (uint32_t i = 0; column->texts && i < count; i++) {
        column->texts[i] = entry(e, column->ids[i]);
        if (!decoder_spend_text(d, column->texts[i].size)) {
            return false;
        }
    }
    return column->texts != NULL;
}

/* --- templates --- */

struct unpacked_template {
    uint32_t uses;
    uint32_t slots;
    uint32_t at;                    /* uses that are printed */
    const int64_t **numbers;        /* of each slot */
    struct unpacked_template *next; /* in order of first use */
};

struct unpacked_templates {
    struct columns_decoder *d;
    const struct entries *entries;
    const uint32_t *ids;
    uint32_t count;
    struct unpacked_template *all; /* by id */
    struct unpacked_template *first;
};

static uint32_t count_marks(struct slice text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += text.data[i] == TEXT_MARK;
    }
    return count;
}

static bool count_uses(struct unpacked_templates *t)
{
    struct unpacked_template **end = &t->first;
    t->all = decoder_take(t->d, t->entries->count, sizeof *t->all);
    for (uint32_t i = 0; t->all && i < t->count; i++) {
        struct unpacked_template *one = &t->all[t->ids[i]];
        if (one->uses++ == 0) {
            one->slots = count_marks(entry(t->entries, t->ids[i]));
            one->numbers = decoder_take(t->d, one->slots, sizeof *one->numbers);
            *end = one;
            end = &one->next;
        }
    }
    return t->all && !t->d->no_memory;
}

/* Columns of their own for those that are used often, then one for the rest. */
static bool read_numbers(struct unpacked_templates *t)
{
    uint64_t rare = 0;
    for (struct unpacked_template *one = t->first; one; one = one->next) {
        if (one->uses < TEMPLATE_USES_MIN) {
            rare += (uint64_t)one->slots * one->uses;
            continue;
        }
        for (uint32_t s = 0; s < one->slots; s++) {
            one->numbers[s] = unpack_ints(t->d, one->uses, NULL);
            if (!one->numbers[s]) {
                return false;
            }
        }
    }
    if (rare > t->d->value_max) {
        return decoder_spend(t->d, rare);
    }
    const int64_t *numbers = unpack_ints(t->d, (uint32_t)rare, NULL);
    for (struct unpacked_template *one = t->first; numbers && one; one = one->next) {
        for (uint32_t s = 0; one->uses < TEMPLATE_USES_MIN && s < one->slots; s++) {
            one->numbers[s] = numbers;
            numbers += one->uses;
        }
    }
    return numbers != NULL;
}

static bool print(struct unpacked_templates *t, uint32_t id, struct slice *ret)
{
    struct unpacked_template *one = &t->all[id];
    struct slice text = entry(t->entries, id);
    size_t size_max = text.size + (size_t)one->slots * TEMPLATE_NUMBER_SIZE;
    if (!decoder_spend_text(t->d, size_max)) {
        return false;
    }
    struct out printed = out_over(decoder_take(t->d, size_max, 1), size_max);
    if (!printed.data) {
        return false;
    }
    for (size_t i = 0, s = 0; i < text.size; i++) {
        size_t start = i;
        while (i < text.size && text.data[i] != TEXT_MARK) {
            i++;
        }
        out_put(&printed, text.data + start, i - start);
        if (i == text.size) {
            break;
        }
        int64_t number = one->numbers[s++][one->at];
        if (number < 0 || number > NUMBER_MAX) {
            return decoder_refuse(t->d, "a number in a text is out of range");
        }
        out_put_number(&printed, (uint64_t)number);
    }
    assert(!printed.overflow);
    one->at++;
    *ret = out_slice(&printed);
    return true;
}

static bool unpack_templates(struct columns_decoder *d, struct decoded_column *column,
                             struct entries *e)
{
    uint32_t count = column->set.count;
    struct unpacked_templates t = {.d = d, .entries = e, .count = count};
    t.ids = unpack_ids(d, count, e);
    if (!t.ids || !count_uses(&t) || !read_numbers(&t)) {
        return false;
    }
    column->texts = decoder_take(d, count, sizeof *column->texts);
    for (uint32_t i = 0; column->texts && i < count; i++) {
        if (!print(&t, t.ids[i], &column->texts[i])) {
            return false;
        }
    }
    return column->texts != NULL;
}

static bool unpack_as_shapes(struct columns_decoder *d, struct decoded_column *column,
                             struct entries *e)
{
    const uint32_t *ids = unpack_ids(d, column->set.count, e);
    struct slice *shapes = ids ? decoder_take(d, e->count, sizeof *shapes) : NULL;
    for (uint32_t i = 0; shapes && i < e->count; i++) {
        shapes[i] = entry(e, i);
    }
    return shapes && unpack_shapes(d, column, shapes, e->count, ids);
}

bool unpack_texts(struct columns_decoder *d, struct decoded_column *column,
                  const struct columns_words *known)
{
    struct entries e = {.known = known, .count = known->count};
    int64_t mode;
    if (column->set.count == 0) {
        column->may_be_key = true;
        return true;
    }
    if (!decoder_int(d, &mode)) {
        return false;
    }
    if (mode == TEXT_TEMPLATES) {
        return unpack_templates(d, column, &e);
    }
    if (mode == TEXT_SHAPES) {
        return unpack_as_shapes(d, column, &e);
    }
    column->ids = read_ids(d, mode, column->set.count, &e);
    column->may_be_key = true;
    return column->ids && fill_texts(d, column, &e);
}

/* --- bytes --- */

static bool read_sizes(struct columns_decoder *d, uint32_t count, int64_t fixed_size,
                       struct slice *values)
{
    const int64_t *sizes = fixed_size < 0 ? unpack_ints(d, count, NULL) : NULL;
    if (fixed_size < 0 && !sizes) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t size = sizes ? sizes[i] : fixed_size;
        /* Compared before it is a size_t, which has 32 bits on some machines. */
        if (size < 0 || (uint64_t)size > d->planes.size ||
            !slice_take(&d->planes, (size_t)size, &values[i])) {
            return decoder_refuse(d, size < 0 ? "a negative length" : "the planes end early");
        }
    }
    return true;
}

bool unpack_bytes(struct columns_decoder *d, struct decoded_column *column, int64_t fixed_size)
{
    static const struct columns_words none = {.count = 0};
    uint32_t count = column->set.count;
    if (count > 0 && fixed_size < 0 && d->int_at < d->int_count &&
        d->ints[d->int_at] == BYTES_AS_TEXTS) {
        d->int_at++;
        return unpack_texts(d, column, &none);
    }
    int64_t *values = count ? unpack_ints(d, count, &column->set) : NULL;
    uint32_t *ids = values ? decoder_take(d, count, sizeof *ids) : NULL;
    uint32_t distinct = 0;
    column->may_be_key = count == 0;
    if (count == 0 || !ids) {
        return count == 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] < 0 || values[i] >= (int64_t)count) {
            return decoder_refuse(d, "an index is out of range");
        }
        ids[i] = (uint32_t)values[i];
        distinct = ids[i] >= distinct ? ids[i] + 1 : distinct;
    }
    struct slice *different = decoder_take(d, distinct, sizeof *different);
    if (!different || !read_sizes(d, distinct, fixed_size, different)) {
        return false;
    }
    struct entries e = {&none, different, distinct};
    column->ids = ids;
    column->may_be_key = true;
    return fill_texts(d, column, &e);
}
