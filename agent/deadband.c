#include "agent/deadband.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "uplink/avro/decode.h"

#define PROBE_MAX 32 /* places that a series may have */
/* Differences of numbers with decimals are off by what both were rounded by. */
#define DOUBLE_SLACK 0x1p-51
#define FLOAT_SLACK 0x1p-22

static_assert(DEADBAND_SERIES_MAX % PROBE_MAX == 0 && DEADBAND_REST_SIZE_MAX <= UINT16_MAX, "");

enum band_kind { BAND_NULL, BAND_LONG, BAND_DOUBLE, BAND_FLOAT, BAND_OTHER };

struct band_value {
    enum band_kind kind;
    union {
        int64_t whole;
        double real;
    } as;
};

struct series {
    bool is_used;
    uint8_t key_size;
    uint16_t rest_size;
    int64_t time_us;
    struct band_value values[DEADBAND_BAND_MAX];
    uint8_t key[DEADBAND_KEY_SIZE_MAX];
    uint8_t rest[DEADBAND_REST_SIZE_MAX];
};

struct band {
    uint32_t field;
    int64_t whole; /* the width without its decimals, for whole numbers */
    double real;
};

struct deadband {
    int64_t max_interval_us;
    const struct avro_node *record; /* NULL: everything is reported */
    struct band bands[DEADBAND_BAND_MAX];
    size_t band_count;
    uint8_t roles[MAP_FIELD_MAX];
    uint32_t ends[MAP_FIELD_MAX];
    struct series next;   /* the event that was asked about last, */
    struct series *place; /* and where it goes; NULL: nowhere */
    struct series table[DEADBAND_SERIES_MAX];
};

enum err deadband_open(struct deadband **ret, int64_t max_interval_ms)
{
    assert(max_interval_ms > 0);
    struct deadband *d = calloc(1, sizeof *d);
    if (!d) {
        return ERR_NOMEM;
    }
    d->max_interval_us = max_interval_ms * 1000;
    *ret = d;
    return ERR_OK;
}

void deadband_close(struct deadband *deadband)
{
    free(deadband);
}

/* --- which fields --- */

void deadband_record_set(struct deadband *d, const struct avro_node *record)
{
    assert(record->kind == AVRO_RECORD && record->field_count <= MAP_FIELD_MAX);
    d->record = record;
    d->band_count = 0;
    d->place = NULL;
    memset(d->roles, DEADBAND_REST, sizeof d->roles);
    for (size_t i = 0; i < DEADBAND_SERIES_MAX; i++) {
        if (d->table[i].is_used) { /* others are not touched */
            d->table[i].is_used = false;
        }
    }
}

void deadband_role_set(struct deadband *d, uint32_t field, enum deadband_role role)
{
    assert(d->record && field < d->record->field_count);
    d->roles[field] = (uint8_t)role;
}

void deadband_band_add(struct deadband *d, uint32_t field, const struct option_decimal *width)
{
    int64_t power = 1;
    assert(d->band_count < DEADBAND_BAND_MAX);
    for (unsigned i = 0; i < width->scale; i++) {
        power *= 10;
    }
    deadband_role_set(d, field, DEADBAND_BAND);
    d->bands[d->band_count++] = (struct band){.field = field,
                                              .whole = width->mantissa / power,
                                              .real = (double)width->mantissa / (double)power};
}

uint32_t *deadband_ends(struct deadband *d)
{
    return d->ends;
}

/* --- an event --- */

static struct slice field_bytes(const struct deadband *d, struct slice datum, uint32_t field)
{
    uint32_t start = field ? d->ends[field - 1] : 0;
    assert(start <= d->ends[field] && d->ends[field] <= datum.size);
    return (struct slice){datum.data + start, d->ends[field] - start};
}

static struct band_value value_of(const struct avro_node *node, struct slice bytes)
{
    struct band_value value = {.kind = BAND_OTHER};
    int64_t whole;
    float single;
    if (node->kind == AVRO_UNION) {
        if (!slice_take_varint(&bytes, &whole) || whole < 0 || whole >= node->branch_count) {
            return value;
        }
        node = node->branches[whole];
    }
    if (node->kind == AVRO_NULL) {
        value.kind = BAND_NULL;
    } else if ((node->kind == AVRO_INT || node->kind == AVRO_LONG) &&
               slice_take_varint(&bytes, &value.as.whole)) {
        value.kind = BAND_LONG;
    } else if (node->kind == AVRO_DOUBLE && avro_take_double(&bytes, &value.as.real)) {
        value.kind = BAND_DOUBLE;
    } else if (node->kind == AVRO_FLOAT && avro_take_float(&bytes, &single)) {
        value.kind = BAND_FLOAT;
        value.as.real = (double)single;
    }
    return value;
}

/* The event as a series would have it. False: it is too long for that. */
static bool gather(struct deadband *d, struct slice datum, int64_t time_us)
{
    struct series *next = &d->next;
    struct out key = out_over(next->key, sizeof next->key);
    struct out rest = out_over(next->rest, sizeof next->rest);
    for (uint32_t f = 0; f < d->record->field_count; f++) {
        if (d->roles[f] == DEADBAND_REST || d->roles[f] == DEADBAND_KEY) {
            out_put_slice(d->roles[f] == DEADBAND_KEY ? &key : &rest, field_bytes(d, datum, f));
        }
    }
    for (size_t i = 0; i < d->band_count; i++) {
        uint32_t f = d->bands[i].field;
        next->values[i] = value_of(d->record->fields[f].node, field_bytes(d, datum, f));
    }
    next->is_used = true;
    next->time_us = time_us;
    next->key_size = (uint8_t)key.size;
    next->rest_size = (uint16_t)rest.size;
    return !key.overflow && !rest.overflow;
}

static bool is_over(const struct deadband *d, const struct series *series)
{
    uint64_t a = (uint64_t)series->time_us;
    uint64_t b = (uint64_t)d->next.time_us;
    uint64_t apart = series->time_us < d->next.time_us ? b - a : a - b;
    return apart >= (uint64_t)d->max_interval_us;
}

/* The series of the next event; NULL: it has none yet, *ret_place is where it may be: one that never
 * was used, else one that is over; NULL: there is none. */
static struct series *find(struct deadband *d, struct series **ret_place)
{
    struct slice key = {d->next.key, d->next.key_size};
    size_t start = (size_t)(slice_hash(key) % DEADBAND_SERIES_MAX);
    *ret_place = NULL;
    for (size_t i = 0; i < PROBE_MAX; i++) {
        struct series *s = &d->table[(start + i) % DEADBAND_SERIES_MAX];
        if (!s->is_used) {
            *ret_place = s;
            return NULL;
        }
        if (slice_equal((struct slice){s->key, s->key_size}, key)) {
            return s;
        }
        if (!*ret_place && is_over(d, s)) {
            *ret_place = s;
        }
    }
    return NULL;
}

static bool real_is_within(double a, double b, double width, double slack)
{
    double larger = fabs(a) > fabs(b) ? fabs(a) : fabs(b);
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b)) {
        return (isnan(a) && isnan(b)) || (isinf(a) && isinf(b) && signbit(a) == signbit(b));
    }
    return fabs(a - b) <= width + larger * slack;
}

static bool is_within(const struct band *band, const struct band_value *a,
                      const struct band_value *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case BAND_NULL:
        return true;
    case BAND_LONG: {
        uint64_t x = (uint64_t)a->as.whole;
        uint64_t y = (uint64_t)b->as.whole;
        return (a->as.whole < b->as.whole ? y - x : x - y) <= (uint64_t)band->whole;
    }
    case BAND_DOUBLE:
        return real_is_within(a->as.real, b->as.real, band->real, DOUBLE_SLACK);
    case BAND_FLOAT:
        return real_is_within(a->as.real, b->as.real, band->real, FLOAT_SLACK);
    case BAND_OTHER:
        break;
    }
    return false;
}

static bool is_unmoved(const struct deadband *d, const struct series *last)
{
    const struct series *next = &d->next;
    bool same = slice_equal((struct slice){last->rest, last->rest_size},
                            (struct slice){next->rest, next->rest_size});
    for (size_t i = 0; same && i < d->band_count; i++) {
        same = is_within(&d->bands[i], &last->values[i], &next->values[i]);
    }
    return same;
}

bool deadband_holds(struct deadband *d, struct slice datum, int64_t time_us)
{
    d->place = NULL;
    if (!d->record || d->band_count == 0 || !gather(d, datum, time_us)) {
        return false;
    }
    struct series *place;
    struct series *last = find(d, &place);
    if (last && !is_over(d, last) && is_unmoved(d, last)) {
        return true;
    }
    d->place = last ? last : place;
    return false;
}

void deadband_reported(struct deadband *d)
{
    if (d->place) {
        *d->place = d->next;
        d->place = NULL;
    }
}
