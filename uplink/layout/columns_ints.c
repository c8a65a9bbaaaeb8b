/* Integer columns: what is tried, and which is taken. */
#include <assert.h>

#include "uplink/layout/columns_cost.h"

#define ORDER_MAX 2
#define DICTIONARY_ROWS_MIN 8
#define KEYED_SECOND_ROWS_MIN \
    24 /* rows from which differences of differences in series are tried */
#define PLANES_ROWS_MIN 16
#define FRESH_ROWS_MAX 65 /* when so many rows at the front are all different, all of them are */
#define SPAN_PER_VALUE 8  /* how far apart values may lie on average to have places */
#define DIVISOR_MAX (UINT64_C(1) << 62)
/* What stands in front of the residuals, in bits; and what is more work for zstd must win by 3 %. */
#define HEAD_ORDER 1
#define HEAD_KEY 6
#define HEAD_DICTIONARY 12
#define HEAD_DIVISOR 16
#define HANDICAP(cost) ((cost)*100 / 97)

struct candidate {
    uint64_t cost;
    unsigned order;
    const struct table_key *key; /* NULL: none */
    uint64_t divisor;            /* 0: none */
    bool is_dictionary;
};

struct dictionary {
    int64_t *values; /* in order of first use, and sorted */
    int64_t *sorted;
    uint32_t *ids;   /* of each row, by first use */
    uint32_t *ranks; /* of each value in `sorted` */
    uint32_t count;  /* 0: there is none */
};

struct ints {
    struct columns_work *work;
    const int64_t *values;
    uint32_t count;
    const struct table_rows *set;
    struct dictionary dictionary;
    struct candidate best;
    struct sample sample;
};

static int64_t residual_of(const int64_t *values, uint32_t i, unsigned order)
{
    if (order == 0 || i == 0) {
        return values[i];
    }
    int64_t delta = wrap_sub(values[i], values[i - 1]);
    return order == 1 || i == 1 ? delta : wrap_sub(delta, wrap_sub(values[i - 1], values[i - 2]));
}

static void offer(struct ints *c, struct candidate candidate)
{
    if (candidate.cost < c->best.cost) {
        c->best = candidate;
    }
}

static uint64_t cost_plain(struct ints *c, const int64_t *values, uint32_t count, unsigned order)
{
    c->sample.total = count;
    c->sample.count = sample_count(count);
    for (uint32_t i = 0; i < c->sample.count; i++) {
        c->sample.values[i] = residual_of(values, sample_row(count, i), order);
    }
    return cost_of(c->work, &c->sample);
}

static void try_orders(struct ints *c)
{
    c->best = (struct candidate){.cost = cost_plain(c, c->values, c->count, 0)};
    for (unsigned order = 1; order <= ORDER_MAX && order < c->count; order++) {
        uint64_t cost = cost_plain(c, c->values, c->count, order) + HEAD_ORDER * COST_BIT;
        offer(c, (struct candidate){.cost = cost, .order = order});
    }
}

/* --- series --- */

/* The residual of the next value of a series: of order 1 and, in *ret_second, of order 2. */
static int64_t series_step(struct series *s, unsigned id, int64_t value, int64_t *ret_second)
{
    int64_t delta = s->seen[id] ? wrap_sub(value, s->last[id]) : value;
    *ret_second = s->seen[id] > 1 ? wrap_sub(delta, s->delta[id]) : delta;
    s->seen[id] = s->seen[id] ? 2 : 1;
    s->last[id] = value;
    s->delta[id] = delta;
    return delta;
}

static struct series *series_clear(struct columns_work *work)
{
    memset(work->series.seen, 0, sizeof work->series.seen);
    return &work->series;
}

static void try_key(struct ints *c, const struct table_key *key)
{
    struct series *series = series_clear(c->work);
    struct sample second = {.count = sample_count(c->count), .total = c->count};
    uint32_t at = 0;
    c->sample.count = second.count;
    c->sample.total = c->count;
    for (uint32_t i = 0, next = sample_row(c->count, 0); at < second.count; i++) {
        int64_t both[ORDER_MAX];
        both[0] = series_step(series, key->ids[table_row(c->set, i)], c->values[i], &both[1]);
        while (i == next && at < second.count) { /* of 65 rows one is looked at twice */
            c->sample.values[at] = both[0];
            second.values[at++] = both[1];
            next = at < second.count ? sample_row(c->count, at) : next;
        }
    }
    uint64_t cost = cost_of(c->work, &c->sample) + HEAD_KEY * COST_BIT;
    offer(c, (struct candidate){.cost = cost, .order = 1, .key = key});
    if (c->count >= KEYED_SECOND_ROWS_MIN) {
        cost = cost_of(c->work, &second) + HEAD_KEY * COST_BIT;
        offer(c, (struct candidate){.cost = cost, .order = 2, .key = key});
    }
}

void table_offer_key(const struct table_rows *set, uint32_t column, const uint32_t *ids,
                     uint32_t distinct)
{
    struct table *table = set->table;
    if (distinct < 2 || distinct > KEY_ID_MAX || distinct > set->count / 3) {
        return;
    }
    uint32_t at = table->key_count;
    while (at > 0 && table->keys[at - 1].distinct < distinct) {
        at--;
    }
    if (at == KEY_MAX) {
        return;
    }
    /* With the last that is pushed out, its memory is used again. */
    bool is_full = table->key_count == KEY_MAX;
    uint8_t *memory = table->keys[is_full ? KEY_MAX - 1 : table->key_count].ids;
    table->key_count += !is_full;
    for (uint32_t i = table->key_count - 1; i > at; i--) {
        table->keys[i] = table->keys[i - 1];
    }
    table->keys[at] = (struct table_key){column, distinct, memory};
    memset(memory, KEY_ABSENT, set->rows ? table->count : 0);
    for (uint32_t i = 0; i < set->count; i++) {
        memory[table_row(set, i)] = (uint8_t)ids[i];
    }
}

/* --- dictionary --- */

static uint32_t hash_of(int64_t value, unsigned bits)
{
    return (uint32_t)(((uint64_t)value * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - bits));
}

/* Finds the different values. Gives up when they are more than 3/4 of the rows. */
static void find_distinct(struct ints *c)
{
    struct dictionary *d = &c->dictionary;
    uint32_t count_max = c->count * 3 / 4;
    unsigned bits = 4;
    while ((1U << bits) < count_max + count_max / 4) {
        bits++;
    }
    d->values = work_take(c->work, count_max * sizeof *d->values);
    d->ids = work_take(c->work, c->count * sizeof *d->ids);
    size_t high = c->work->high;
    uint32_t *slots = work_take(c->work, sizeof *slots << bits);
    if (!slots) {
        return;
    }
    memset(slots, 0, sizeof *slots << bits);
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t at = hash_of(c->values[i], bits);
        while (slots[at] && d->values[slots[at] - 1] != c->values[i]) {
            at = (at + 1) & ((1U << bits) - 1);
        }
        if (!slots[at]) {
            if (count == count_max || (count == i && count == FRESH_ROWS_MAX)) {
                count = 0;
                break;
            }
            d->values[count++] = c->values[i];
            slots[at] = count;
        }
        d->ids[i] = slots[at] - 1;
    }
    d->count = count;
    c->work->high = high;
}

/* Shell's sort, with Ciura's gaps. */
static void sort(int64_t *values, uint32_t count)
{
    static const uint32_t gaps[] = {8858, 3937, 1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < ARRAY_COUNT(gaps); g++) {
        for (uint32_t i = gaps[g]; i < count; i++) {
            int64_t value = values[i];
            uint32_t at = i;
            for (; at >= gaps[g] && values[at - gaps[g]] > value; at -= gaps[g]) {
                values[at] = values[at - gaps[g]];
            }
            values[at] = value;
        }
    }
}

static uint32_t rank_of(const int64_t *sorted, uint32_t count, int64_t value)
{
    uint32_t low = 0;
    while (count > 1) {
        uint32_t half = count / 2;
        low = sorted[low + half] <= value ? low + half : low;
        count -= half;
    }
    return low;
}

/* Where values lie close together, each has a place of its own. False: they do not. */
static bool rank_by_place(struct columns_work *work, struct dictionary *d)
{
    int64_t least = d->values[0];
    int64_t most = d->values[0];
    for (uint32_t i = 1; i < d->count; i++) {
        least = d->values[i] < least ? d->values[i] : least;
        most = d->values[i] > most ? d->values[i] : most;
    }
    uint64_t span = (uint64_t)wrap_sub(most, least);
    size_t high = work->high;
    if (span >= (uint64_t)d->count * SPAN_PER_VALUE ||
        (span + 1) * sizeof(uint32_t) > work->high - work->low) {
        return false;
    }
    uint32_t *places = work_take(work, (size_t)(span + 1) * sizeof *places); /* id + 1; 0: free */
    memset(places, 0, (size_t)(span + 1) * sizeof *places);
    for (uint32_t i = 0; i < d->count; i++) {
        places[wrap_sub(d->values[i], least)] = i + 1;
    }
    for (uint32_t at = 0, rank = 0; at <= (uint32_t)span; at++) {
        if (places[at]) {
            d->ranks[places[at] - 1] = rank;
            d->sorted[rank++] = wrap_add(least, at);
        }
    }
    work->high = high;
    return true;
}

static void rank_by_sort(struct dictionary *d)
{
    memcpy(d->sorted, d->values, d->count * sizeof *d->sorted);
    sort(d->sorted, d->count);
    for (uint32_t i = 0; i < d->count; i++) {
        d->ranks[i] = rank_of(d->sorted, d->count, d->values[i]);
    }
}

static int64_t index_of(const struct dictionary *d, uint32_t row)
{
    return (int64_t)d->ranks[d->ids[row]];
}

static void try_dictionary(struct ints *c)
{
    struct dictionary *d = &c->dictionary;
    d->sorted = work_take(c->work, d->count * sizeof *d->sorted);
    d->ranks = work_take(c->work, d->count * sizeof *d->ranks);
    if (!d->ranks) {
        return;
    }
    if (!rank_by_place(c->work, d)) {
        rank_by_sort(d);
    }
    uint64_t entries = cost_plain(c, d->sorted, d->count, 1) + HEAD_DICTIONARY * COST_BIT;
    c->sample.total = c->count;
    c->sample.count = sample_count(c->count);
    for (unsigned order = 0; order <= 1; order++) {
        for (uint32_t i = 0; i < c->sample.count; i++) {
            uint32_t row = sample_row(c->count, i);
            int64_t before = order && row ? index_of(d, row - 1) : 0;
            c->sample.values[i] = index_of(d, row) - before;
        }
        uint64_t cost = HANDICAP(entries + cost_of(c->work, &c->sample));
        offer(c, (struct candidate){.cost = cost, .order = order, .is_dictionary = true});
    }
}

/* --- divisor --- */

/* What is divided: with order 0 the distance from the first value. */
static int64_t dividend(const struct ints *c, uint32_t i, unsigned order)
{
    return order == 0 && i > 0 ? wrap_sub(c->values[i], c->values[0])
                               : residual_of(c->values, i, order);
}

/* Of the differences; of what is divided with other orders it is the same, as long as nothing wraps.
 * 1: there is none. */
static uint64_t common_divisor(const struct ints *c)
{
    uint64_t g = 0;
    int64_t least = c->values[0];
    int64_t most = c->values[0];
    for (uint32_t i = 1; i < c->count && g != 1; i++) {
        int64_t r = wrap_sub(c->values[i], c->values[i - 1]);
        uint64_t rest = r < 0 ? UINT64_C(0) - (uint64_t)r : (uint64_t)r;
        least = c->values[i] < least ? c->values[i] : least;
        most = c->values[i] > most ? c->values[i] : most;
        if (g == 0) {
            g = rest;
            continue;
        }
        for (rest = rest % g; rest;) {
            uint64_t next = g % rest;
            g = rest;
            rest = next;
        }
    }
    return (uint64_t)wrap_sub(most, least) < DIVISOR_MAX ? g : 1;
}

static void try_divisor(struct ints *c, uint64_t divisor, unsigned order)
{
    for (uint32_t i = 0; i < c->sample.count; i++) {
        uint32_t row = sample_row(c->count, i);
        int64_t r = dividend(c, row, order);
        c->sample.values[i] = row ? r / (int64_t)divisor : r;
    }
    uint64_t cost = HANDICAP(cost_of(c->work, &c->sample) + HEAD_DIVISOR * COST_BIT);
    offer(c, (struct candidate){.cost = cost, .order = order, .divisor = divisor});
}

/* --- what was chosen --- */

static void fill_keyed(const struct ints *c, int64_t *ret)
{
    struct series *series = series_clear(c->work);
    const uint8_t *ids = c->best.key->ids;
    for (uint32_t i = 0; i < c->count; i++) {
        int64_t second;
        ret[i] = series_step(series, ids[table_row(c->set, i)], c->values[i], &second);
        ret[i] = c->best.order == 2 ? second : ret[i];
    }
}

static void fill_divided(const struct ints *c, int64_t *ret)
{
    ret[0] = c->values[0];
    for (uint32_t i = 1; i < c->count; i++) {
        ret[i] = dividend(c, i, c->best.order) / (int64_t)c->best.divisor;
    }
}

static void fill_indices(const struct ints *c, int64_t *ret)
{
    int64_t before = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        int64_t index = index_of(&c->dictionary, i);
        ret[i] = index - before;
        before = c->best.order ? index : 0;
    }
}

static void fill_plain(const struct ints *c, int64_t *ret)
{
    const int64_t *values = c->values;
    ret[0] = values[0];
    if (c->best.order == 0) {
        memcpy(ret, values, c->count * sizeof *ret);
        return;
    }
    for (uint32_t i = 1; i < c->count; i++) {
        ret[i] = wrap_sub(values[i], values[i - 1]);
    }
    for (uint32_t i = c->count - 1; c->best.order == 2 && i > 1; i--) {
        ret[i] = wrap_sub(ret[i], ret[i - 1]);
    }
}

static void fill_residuals(const struct ints *c, int64_t *ret)
{
    (c->best.key             ? fill_keyed
     : c->best.is_dictionary ? fill_indices
     : c->best.divisor       ? fill_divided
                             : fill_plain)(c, ret);
}

static void put_planes(struct columns_work *work, const int64_t *residuals, uint32_t count)
{
    uint64_t all = 0;
    for (uint32_t i = 1; i < count; i++) {
        all |= zigzag(residuals[i]);
    }
    unsigned width = (64 - (unsigned)__builtin_clzll(all | 1) + 7) / 8;
    work_put_int(work, residuals[0]);
    work_put_int(work, width);
    size_t size = (size_t)width * (count - 1);
    uint8_t *plane = work_keep(work, size);
    if (!plane) {
        return;
    }
    for (unsigned byte = 0; byte < width; byte++) {
        for (uint32_t i = 1; i < count; i++) {
            plane[byte * (count - 1) + i - 1] =
                (uint8_t)(zigzag(residuals[i]) >> (8 * (width - 1 - byte)));
        }
    }
    work_put_plane(work, (struct slice){plane, size});
}

/* Is the mean length of the residuals after the first over 13.5 bits? */
static bool are_wide(const int64_t *residuals, uint32_t count)
{
    uint64_t bits = 0;
    uint64_t all = 0;
    for (uint32_t i = 1; i < count; i++) {
        all |= zigzag(residuals[i]);
    }
    for (uint32_t i = 1; all >> 13 && i < count; i++) {
        uint64_t value = zigzag(residuals[i]);
        bits += value ? 64 - (unsigned)__builtin_clzll(value) : 0;
    }
    return bits * 2 > (uint64_t)27 * (count - 1);
}

static void put_head(const struct ints *c)
{
    const struct dictionary *d = &c->dictionary;
    if (c->best.divisor) {
        work_put_int(c->work, (int64_t)c->best.divisor);
    }
    if (c->best.is_dictionary) {
        work_put_int(c->work, d->count);
        for (uint32_t i = 0; i < d->count; i++) {
            work_put_int(c->work, residual_of(d->sorted, i, 1));
        }
    }
}

static void put_best(struct ints *c)
{
    const struct candidate *best = &c->best;
    int64_t *residuals = work_take(c->work, c->count * sizeof *residuals);
    if (!residuals) {
        return;
    }
    fill_residuals(c, residuals);
    uint32_t count = c->count;
    while (count > 0 && residuals[count - 1] == 0) {
        count--;
    }
    bool is_trimmed = c->count - count >= 2;
    count = is_trimmed ? count : c->count;
    bool in_planes = count >= PLANES_ROWS_MIN && are_wide(residuals, count);
    work_put_int(c->work, (int64_t)best->order | (is_trimmed ? INTS_TRIMMED : 0) |
                              (in_planes ? INTS_PLANES : 0) |
                              (best->is_dictionary ? INTS_DICTIONARY : 0) |
                              (best->divisor ? INTS_DIVISOR : 0) |
                              (best->key ? INTS_KEY * ((int64_t)best->key->column + 1) : 0));
    if (is_trimmed) {
        work_put_int(c->work, count);
    }
    put_head(c);
    if (in_planes) {
        put_planes(c->work, residuals, count);
        return;
    }
    work_put_ints(c->work, residuals, count);
}

static bool put_constant(struct columns_work *work, const int64_t *values, uint32_t count)
{
    uint64_t first = zigzag(values[0]);
    bool is_constant = first < UINT64_C(1) << 62;
    for (uint32_t i = 1; i < count && is_constant; i++) {
        is_constant = values[i] == values[0];
    }
    if (is_constant) {
        work_put_int(work, -1 - (int64_t)first);
    }
    return is_constant;
}

void ints_put(struct columns_work *work, const int64_t *values, uint32_t count,
              const struct table_rows *set, uint32_t column)
{
    if (count == 0 || work->full || put_constant(work, values, count)) {
        return;
    }
    struct ints c = {.work = work, .values = values, .count = count, .set = set};
    size_t high = work->high;
    try_orders(&c);
    for (uint32_t i = 0; set && i < set->table->key_count; i++) {
        try_key(&c, &set->table->keys[i]);
    }
    if (count >= DICTIONARY_ROWS_MIN) {
        find_distinct(&c);
        if (c.dictionary.count) {
            try_dictionary(&c);
        }
        uint64_t divisor = common_divisor(&c);
        for (unsigned order = 0; divisor > 1 && order <= ORDER_MAX; order++) {
            try_divisor(&c, divisor, order);
        }
    }
    if (!work->full) {
        put_best(&c);
    }
    if (!work->full && set && column != KEY_NONE) {
        table_offer_key(set, column, c.dictionary.ids, c.dictionary.count);
    }
    work->high = high;
}
