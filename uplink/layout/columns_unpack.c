/* Integer columns back. */
#include "uplink/layout/columns_decode.h"

struct packed {
    unsigned order;
    uint32_t given; /* residuals; the rest are 0 */
    bool has_divisor;
    int64_t divisor;
    int64_t *entries; /* NULL: no dictionary */
    uint32_t entry_count;
    const struct decoded_column *key; /* NULL: none */
};

/* Undoes differences, modulo 2^64; the first two of order 2 are the first value and difference. */
static void sum_up(int64_t *values, uint32_t count, unsigned order)
{
    for (uint32_t i = 2; order == 2 && i < count; i++) {
        values[i] = wrap_add(values[i], values[i - 1]);
    }
    for (uint32_t i = 1; order > 0 && i < count; i++) {
        values[i] = wrap_add(values[i], values[i - 1]);
    }
}

static bool read_count(struct columns_decoder *d, int64_t least, uint32_t most, uint32_t *ret)
{
    int64_t count;
    if (!decoder_int(d, &count)) {
        return false;
    }
    if (count < least || count > (int64_t)most) {
        return decoder_refuse(d, "a count is out of range");
    }
    *ret = (uint32_t)count;
    return true;
}

static bool read_entries(struct columns_decoder *d, uint32_t count, struct packed *p)
{
    if (!read_count(d, 1, count, &p->entry_count) || !decoder_spend(d, p->entry_count)) {
        return false;
    }
    p->entries = decoder_take(d, p->entry_count, sizeof *p->entries);
    for (uint32_t i = 0; i < p->entry_count; i++) {
        if (!p->entries || !decoder_int(d, &p->entries[i])) {
            return false;
        }
    }
    sum_up(p->entries, p->entry_count, 1);
    return true;
}

static bool find_key(struct columns_decoder *d, int64_t number, const struct decoded_rows *set,
                     struct packed *p)
{
    int64_t leaf = number - (int64_t)d->plan->column_count;
    bool is_leaf = leaf >= 0;
    if (!set || (is_leaf && (!set->of_shape || leaf >= (int64_t)d->leaf_count))) {
        return decoder_refuse(d, "there is no such key column");
    }
    p->key = is_leaf ? d->leaves[leaf] : &d->columns[number];
    if (!p->key->may_be_key || p->key->set.table != set->table) {
        return decoder_refuse(d, "a key column is not one that may be");
    }
    return true;
}

static bool read_head(struct columns_decoder *d, int64_t mode, uint32_t count,
                      const struct decoded_rows *set, struct packed *p)
{
    int64_t key = mode / INTS_KEY;
    bool has_entries = mode & INTS_DICTIONARY;
    *p = (struct packed){.order = mode & INTS_ORDER, .given = count};
    p->has_divisor = mode & INTS_DIVISOR;
    if (p->order == 3 || (key && (has_entries || p->has_divisor)) ||
        (has_entries && p->has_divisor)) {
        return decoder_refuse(d, "an integer column's mode is none");
    }
    return (!key || find_key(d, key - 1, set, p)) &&
           (!(mode & INTS_TRIMMED) || read_count(d, 0, count, &p->given)) &&
           (!p->has_divisor || decoder_int(d, &p->divisor)) &&
           (!has_entries || read_entries(d, count, p));
}

static bool read_planes(struct columns_decoder *d, const struct packed *p, int64_t *ret)
{
    uint32_t width = 0;
    struct slice planes;
    if (p->given < 1) {
        return decoder_refuse(d, "planes without a residual");
    }
    if (!decoder_int(d, &ret[0]) || !read_count(d, 1, 8, &width)) {
        return false;
    }
    uint32_t rest = p->given - 1;
    if (!slice_take(&d->planes, (size_t)width * rest, &planes)) {
        return decoder_refuse(d, "the planes end early");
    }
    for (uint32_t i = 0; i < rest; i++) {
        uint64_t value = 0;
        for (uint32_t byte = 0; byte < width; byte++) {
            value = value << 8 | planes.data[(size_t)byte * rest + i];
        }
        ret[i + 1] = unzigzag(value);
    }
    return true;
}

/* --- series --- */

struct unpacked_series {
    int64_t key;
    int64_t last;
    int64_t delta;
    uint32_t seen;
};

#define PROBES_FREE 64 /* for a series; more are paid like values: keys may be chosen to collide */

struct series_table {
    struct columns_decoder *d;
    struct unpacked_series absent; /* rows without the key */
    struct unpacked_series *slots;
    uint64_t mask;
};

/* A product alone would send keys at equal distances, which take a few bytes, to one place. */
static uint64_t mix(uint64_t key)
{
    key = (key ^ key >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    key = (key ^ key >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return key ^ key >> 32;
}

/* NULL: the budget is used up. */
static struct unpacked_series *series_of(struct series_table *table, bool has_key, int64_t key)
{
    if (!has_key) {
        return &table->absent;
    }
    uint64_t at = mix((uint64_t)key) & table->mask;
    for (uint32_t probes = 0; table->slots[at].seen && table->slots[at].key != key; probes++) {
        at = (at + 1) & table->mask;
        if (probes >= PROBES_FREE && !decoder_spend(table->d, 1)) {
            return NULL;
        }
    }
    table->slots[at].key = key;
    return &table->slots[at];
}

static int64_t series_add(struct unpacked_series *s, int64_t residual, unsigned order)
{
    int64_t delta = order == 2 && s->seen > 1 ? wrap_add(residual, s->delta) : residual;
    int64_t value = order > 0 && s->seen > 0 ? wrap_add(s->last, delta) : residual;
    s->seen = s->seen ? 2 : 1;
    s->delta = delta;
    s->last = value;
    return value;
}

/* Undoes each series alone. Both columns have their rows in ascending order. */
static bool sum_up_series(struct columns_decoder *d, const struct packed *p,
                          const struct decoded_rows *set, int64_t *values)
{
    const struct decoded_column *key = p->key;
    struct series_table table = {.d = d, .mask = 7};
    while (table.mask + 1 < (uint64_t)set->count * 2) {
        table.mask = table.mask * 2 + 1;
    }
    table.slots = calloc((size_t)(table.mask + 1), sizeof *table.slots);
    d->no_memory = d->no_memory || !table.slots;
    for (uint32_t i = 0, k = 0; table.slots && i < set->count; i++) {
        uint32_t row = set->rows ? set->rows[i] : i;
        while (k < key->set.count && (key->set.rows ? key->set.rows[k] : k) < row) {
            k++;
        }
        bool has_key = k < key->set.count && (key->set.rows ? key->set.rows[k] : k) == row;
        int64_t of = !has_key ? 0 : key->ids ? (int64_t)key->ids[k] : key->whole[k];
        struct unpacked_series *series = series_of(&table, has_key, of);
        if (!series) {
            break;
        }
        values[i] = series_add(series, values[i], p->order);
    }
    free(table.slots);
    return !d->no_memory && !d->wrong;
}

/* --- the column --- */

static bool sum_up_plain(struct columns_decoder *d, const struct packed *p, uint32_t count,
                         int64_t *values)
{
    for (uint32_t i = 1; p->has_divisor && i < count; i++) {
        values[i] = (int64_t)((uint64_t)values[i] * (uint64_t)p->divisor);
        values[i] = p->order == 0 ? wrap_add(values[i], values[0]) : values[i];
    }
    sum_up(values, count, p->order);
    for (uint32_t i = 0; p->entries && i < count; i++) {
        if (values[i] < 0 || values[i] >= (int64_t)p->entry_count) {
            return decoder_refuse(d, "a dictionary has no such entry");
        }
        values[i] = p->entries[values[i]];
    }
    return true;
}

int64_t *unpack_ints(struct columns_decoder *d, uint32_t count, const struct decoded_rows *set)
{
    struct packed packed = {.order = 0};
    int64_t mode;
    if (count == 0) {
        return decoder_take(d, 1, sizeof(int64_t));
    }
    if (!decoder_spend(d, count) || !decoder_int(d, &mode)) {
        return NULL;
    }
    if (mode >= 0 && !read_head(d, mode, count, set, &packed)) {
        return NULL;
    }
    int64_t *values = decoder_take(d, count, sizeof *values); /* zeros */
    if (!values) {
        return NULL;
    }
    if (mode < 0) {
        for (uint32_t i = 0; i < count; i++) {
            values[i] = unzigzag((uint64_t)(-1 - mode));
        }
        return values;
    }
    if (mode & INTS_PLANES) {
        if (!read_planes(d, &packed, values)) {
            return NULL;
        }
    } else {
        for (uint32_t i = 0; i < packed.given; i++) {
            if (!decoder_int(d, &values[i])) {
                return NULL;
            }
        }
    }
    bool fine = packed.key ? sum_up_series(d, &packed, set, values)
                           : sum_up_plain(d, &packed, count, values);
    return fine ? values : NULL;
}
