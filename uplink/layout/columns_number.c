/* Number columns: the scale that holds, and what is done with values that no scale holds. */
#include "uplink/layout/columns_number.h"

#include <assert.h>

#include "uplink/layout/columns_cost.h"

#define MANTISSA_LIMIT 9007199254740992.0 /* 2^53 */
#define NOISE_SCALE_MAX 12
#define NOISE_ROWS_MIN 4
#define NOISE_VALUE_MAX 1e12
#define NOISE_CORRECTION_MAX (INT64_C(1) << 40)
#define MANTISSA_NONE INT64_MIN
#define FLOAT_LIMIT 3e38 /* beyond, a double is not narrowed */

const double columns_power[NUMBER_SCALE_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

struct numbers {
    struct columns_work *work;
    int64_t *bits;
    uint32_t count;
    bool is_single;
    unsigned scale;
    bool is_corrected;
    int64_t *mantissas;
};

double number_of_bits(int64_t bits, bool is_single)
{
    if (is_single) {
        uint32_t narrow = (uint32_t)bits;
        float value;
        memcpy(&value, &narrow, sizeof value);
        return (double)value;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int64_t bits_of_float(float value)
{
    uint32_t narrow;
    memcpy(&narrow, &value, sizeof narrow);
    return (int32_t)narrow;
}

int64_t number_quotient(int64_t mantissa, unsigned scale, bool is_single)
{
    double value = (double)mantissa / columns_power[scale];
    if (is_single) {
        return bits_of_float((float)value);
    }
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

bool number_is_float(int64_t bits, int64_t *ret)
{
    double value = number_of_bits(bits, false);
    if (!(value > -FLOAT_LIMIT && value < FLOAT_LIMIT)) {
        return false;
    }
    float narrow = (float)value;
    double again = (double)narrow;
    int64_t bits_again;
    memcpy(&bits_again, &again, sizeof again);
    if (bits_again != bits) {
        return false;
    }
    *ret = bits_of_float(narrow);
    return true;
}

/* The nearest whole number to the value at this scale; false: it has none below 2^53. */
static bool round_at(double value, unsigned scale, int64_t *ret)
{
    double scaled = value * columns_power[scale];
    if (!(scaled > -MANTISSA_LIMIT && scaled < MANTISSA_LIMIT)) {
        return false;
    }
    int64_t whole = (int64_t)scaled;
    double rest = scaled - (double)whole; /* exact */
    *ret = whole + (rest >= 0.5) - (rest <= -0.5);
    return *ret > -NUMBER_MANTISSA_MAX && *ret < NUMBER_MANTISSA_MAX;
}

static bool mantissa_of(int64_t bits, unsigned scale, bool is_single, int64_t *ret)
{
    return round_at(number_of_bits(bits, is_single), scale, ret) &&
           number_quotient(*ret, scale, is_single) == bits;
}

/* The smallest scale that all values hold but for at most `odd_max` that none does, which get
 * MANTISSA_NONE. Mantissas before *ret_settled are of other scales. */
static bool find_scale(struct numbers *n, uint32_t odd_max, uint32_t *ret_settled)
{
    unsigned limit = n->is_single ? NUMBER_SCALE_SINGLE_MAX : NUMBER_SCALE_MAX;
    uint32_t odd = 0;
    n->scale = 0;
    *ret_settled = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        unsigned scale = n->scale;
        while (scale <= limit && !mantissa_of(n->bits[i], scale, n->is_single, &n->mantissas[i])) {
            scale++;
        }
        if (scale > limit) {
            n->mantissas[i] = MANTISSA_NONE;
            if (++odd > odd_max) {
                return false;
            }
        } else if (scale > n->scale) {
            n->scale = scale;
            *ret_settled = i;
        }
    }
    n->is_corrected = odd > 0;
    return true;
}

/* Mantissas of that scale; a value without one takes that before it. */
static bool fill_mantissas(struct numbers *n, uint32_t odd_max, uint32_t settled)
{
    uint32_t odd = 0;
    int64_t last = 0;
    for (uint32_t i = 0; i < n->count && (i < settled || n->is_corrected); i++) {
        bool is_odd = i < settled
                          ? !mantissa_of(n->bits[i], n->scale, n->is_single, &n->mantissas[i])
                          : n->mantissas[i] == MANTISSA_NONE;
        if (is_odd) {
            n->mantissas[i] = last;
            n->is_corrected = true;
            odd++;
        }
        last = n->mantissas[i];
    }
    return odd <= odd_max;
}

static bool find_decimals(struct numbers *n)
{
    uint32_t odd_max = n->count / 8 > 1 ? n->count / 8 : 1;
    uint32_t settled;
    return find_scale(n, odd_max, &settled) && fill_mantissas(n, odd_max, settled);
}

/* --- a decimal and a few units in the last place: what arithmetic leaves behind --- */

static bool noise_at(const struct numbers *n, uint32_t i, unsigned scale, int64_t *ret_mantissa,
                     int64_t *ret_correction)
{
    if (!round_at(number_of_bits(n->bits[i], false), scale, ret_mantissa)) {
        return false;
    }
    *ret_correction = wrap_sub(n->bits[i], number_quotient(*ret_mantissa, scale, false));
    return *ret_correction >= -NOISE_CORRECTION_MAX && *ret_correction <= NOISE_CORRECTION_MAX;
}

/* Costs of mantissas, of their differences and of corrections. False: it is not possible. */
static bool cost_noise(const struct numbers *n, unsigned scale, uint64_t *ret)
{
    struct sample plain = {.count = sample_count(n->count), .total = n->count};
    struct sample first = plain;
    struct sample rest = plain;
    for (uint32_t i = 0; i < plain.count; i++) {
        uint32_t row = sample_row(n->count, i);
        int64_t before = 0;
        int64_t unused;
        if (!noise_at(n, row, scale, &plain.values[i], &rest.values[i]) ||
            (row > 0 && !noise_at(n, row - 1, scale, &before, &unused))) {
            return false;
        }
        first.values[i] = plain.values[i] - before;
    }
    uint64_t as_plain = cost_of(n->work, &plain);
    uint64_t as_first = cost_of(n->work, &first);
    *ret = (as_plain < as_first ? as_plain : as_first) + cost_of(n->work, &rest);
    return true;
}

static uint64_t cost_bits(const struct numbers *n)
{
    struct sample sample = {.count = sample_count(n->count), .total = n->count};
    for (uint32_t i = 0; i < sample.count; i++) {
        uint32_t row = sample_row(n->count, i);
        sample.values[i] = row ? wrap_sub(n->bits[row], n->bits[row - 1]) : n->bits[row];
    }
    return cost_of(n->work, &sample);
}

static bool fill_noise(struct numbers *n)
{
    int64_t unused;
    for (uint32_t i = 0; i < n->count; i++) {
        if (!noise_at(n, i, n->scale, &n->mantissas[i], &unused)) {
            return false;
        }
    }
    n->is_corrected = true;
    return true;
}

static bool find_noise(struct numbers *n)
{
    if (n->is_single || n->count < NOISE_ROWS_MIN) {
        return false;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        double value = number_of_bits(n->bits[i], false);
        if (!(value >= -NOISE_VALUE_MAX && value <= NOISE_VALUE_MAX) || n->bits[i] == INT64_MIN) {
            return false; /* INT64_MIN is -0.0 */
        }
    }
    uint64_t best = cost_bits(n) * 97 / 100;
    bool is_found = false;
    for (unsigned scale = 0; scale <= NOISE_SCALE_MAX; scale++) {
        uint64_t cost;
        unsigned before = n->scale;
        n->scale = scale;
        if (cost_noise(n, scale, &cost) && cost < best && fill_noise(n)) {
            best = cost;
            is_found = true;
        } else {
            n->scale = before;
        }
    }
    return is_found && fill_noise(n);
}

/* --- the column --- */

static void put_corrections(struct numbers *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        n->bits[i] = wrap_sub(n->bits[i], number_quotient(n->mantissas[i], n->scale, n->is_single));
    }
    ints_put(n->work, n->bits, n->count, NULL, KEY_NONE);
}

static void put_decimals(struct numbers *n, bool is_narrowed, const struct table_rows *set)
{
    work_put_int(n->work, (int64_t)n->scale | (n->is_corrected ? NUMBER_CORRECTED : 0) |
                              (is_narrowed ? NUMBER_SINGLE : 0));
    ints_put(n->work, n->mantissas, n->count, set, KEY_NONE);
    if (n->is_corrected) {
        put_corrections(n);
    }
}

/* As floats, if all values are. */
static bool try_single(struct numbers *n, const struct table_rows *set)
{
    size_t high = n->work->high;
    struct numbers single = *n;
    single.is_single = true;
    single.bits = work_take(n->work, n->count * sizeof *single.bits);
    bool is_single = single.bits != NULL;
    for (uint32_t i = 0; is_single && i < n->count; i++) {
        is_single = number_is_float(n->bits[i], &single.bits[i]);
    }
    is_single = is_single && find_decimals(&single);
    if (is_single) {
        put_decimals(&single, true, set);
    }
    n->work->high = high;
    return is_single;
}

void numbers_put(struct columns_work *work, int64_t *bits, uint32_t count, bool is_float,
                 const struct table_rows *set)
{
    struct numbers n = {.work = work, .bits = bits, .count = count, .is_single = is_float};
    size_t high = work->high;
    if (count == 0) {
        return;
    }
    n.mantissas = work_take(work, count * sizeof *n.mantissas);
    if (!n.mantissas || (!is_float && try_single(&n, set)) || work->full) {
        work->high = high;
        return;
    }
    if (find_decimals(&n) || find_noise(&n)) {
        put_decimals(&n, false, set);
    } else {
        work_put_int(work, NUMBER_BITS);
        ints_put(work, bits, count, set, KEY_NONE);
    }
    work->high = high;
}
