#include "config/units.h"

#include <assert.h>
#include <inttypes.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* Small ones first; what is printed is the last that fits. */
static const struct unit durations[] = {{"ms", 1},      {"s", 1000},     {"min", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {{"B", 1},
                                    {"kB", 1000},
                                    {"MB", 1000000},
                                    {"GB", 1000000000},
                                    {"KiB", 1024},
                                    {"MiB", 1024 * 1024},
                                    {"GiB", 1024 * 1024 * 1024},
                                    {NULL, 0}};
static const struct unit rates[] = {
    {"B/s", 8},       {"kB/s", 8000},      {"MB/s", 8000000},      {"bit/s", 1},
    {"kbit/s", 1000}, {"Mbit/s", 1000000}, {"Gbit/s", 1000000000}, {NULL, 0}};
static const struct unit shares[] = {{"%", 10000}, {NULL, 0}};
static const struct unit event_rates[] = {{"events/s", 1}, {NULL, 0}};

static const struct unit *units_of(const struct option *option)
{
    if (option->kind == OPTION_DURATION) {
        return durations;
    }
    if (option->kind == OPTION_SIZE) {
        return sizes;
    }
    if (option->kind == OPTION_SHARE) {
        return shares;
    }
    assert(option->kind == OPTION_RATE);
    return option->unit ? event_rates : rates;
}

bool units_has(enum option_kind kind)
{
    return kind == OPTION_DURATION || kind == OPTION_SIZE || kind == OPTION_RATE ||
           kind == OPTION_SHARE;
}

const char *units_names(const struct option *option)
{
    const struct unit *units = units_of(option);
    return units == durations ? "ms, s, min, h or d, like \"5 s\""
           : units == sizes   ? "B, kB, MB, GB, KiB, MiB or GiB, like \"64 KiB\""
           : units == shares  ? "%, like \"50 %\""
           : units == event_rates
               ? "events/s, like \"100 events/s\""
               : "bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s or MB/s, like \"64 kbit/s\"";
}

#define DECIMAL_MAX 6

/* Digits with at most DECIMAL_MAX decimals, as value / 10^decimals. */
static bool units_take_number(struct slice *text, int64_t *ret_value, int64_t *ret_divisor)
{
    int64_t value = 0;
    int64_t divisor = 1;
    bool has_point = false;
    bool has_digit = false;
    size_t at = 0;
    for (; at < text->size; at++) {
        uint8_t byte = text->data[at];
        if (byte == '.' && has_digit && !has_point) {
            has_point = true;
            has_digit = false;
            continue;
        }
        if (byte < '0' || byte > '9') {
            break;
        }
        if (value > (INT64_MAX - 9) / 10 || (has_point && divisor == 1000000)) {
            return false;
        }
        has_digit = true;
        value = value * 10 + (byte - '0');
        divisor *= has_point ? 10 : 1;
    }
    if (!has_digit) {
        return false;
    }
    text->data += at;
    text->size -= at;
    *ret_value = value;
    *ret_divisor = divisor;
    return true;
}

enum err units_parse(const struct option *option, struct slice text, int64_t *ret, struct why *why)
{
    const struct unit *units = units_of(option);
    struct slice rest = text;
    int64_t value = 0;
    int64_t divisor = 1;
    if (!units_take_number(&rest, &value, &divisor)) {
        goto wrong;
    }
    while (rest.size && rest.data[0] == ' ') {
        rest.data++;
        rest.size--;
    }
    for (; units->name; units++) {
        if (!slice_equal_text(rest, units->name)) {
            continue;
        }
        int64_t product;
        if (__builtin_mul_overflow(value, units->factor, &product) || product % divisor) {
            why_set(why, "\"%.*s\" is too large or too fine", (int)text.size,
                    (const char *)text.data);
            return ERR_CONFIG;
        }
        *ret = product / divisor;
        return ERR_OK;
    }
wrong:
    if (text.size > 40) {
        text.size = 40;
    }
    why_set(why, "\"%.*s\" is no %s: a number and its unit, %s", (int)text.size,
            (const char *)text.data,
            option->kind == OPTION_DURATION ? "duration"
            : option->kind == OPTION_SIZE   ? "size"
            : option->kind == OPTION_SHARE  ? "share"
                                            : "rate",
            units_names(option));
    return ERR_CONFIG;
}

void units_put(const struct option *option, int64_t value, struct out *ret)
{
    const struct unit *best = NULL;
    for (const struct unit *unit = units_of(option); unit->name; unit++) {
        if (value % unit->factor == 0 && (!best || unit->factor > best->factor)) {
            best = value || !best ? unit : best;
        }
    }
    if (best) {
        out_put_format(ret, "%" PRId64 " %s", value / best->factor, best->name);
        return;
    }
    /* A share that is no whole number of percent. */
    char decimals[8];
    int size = snprintf(decimals, sizeof decimals, "%04" PRId64, value % 10000);
    while (size > 1 && decimals[size - 1] == '0') {
        size--;
    }
    out_put_format(ret, "%" PRId64 ".%.*s %%", value / 10000, size, decimals);
}

void units_pattern(const struct option *option, struct out *ret)
{
    out_put_text(ret, "^([0-9]+(\\.[0-9]+)? *(");
    for (const struct unit *unit = units_of(option); unit->name; unit++) {
        out_put_format(ret, "%s%s", unit == units_of(option) ? "" : "|", unit->name);
    }
    out_put_text(ret, ")|.*\\$\\{(env|file):[^}]+\\}.*)$");
}

/* --- plain decimals --- */

#define MANTISSA_MAX INT64_C(999999999999999)
#define SCALE_MAX 15

/* The power of ten behind the number; 0: there is none. False: too large. */
static bool take_exponent(struct slice *text, int *ret)
{
    int value = 0;
    if (text->size < 2 || (text->data[0] | 0x20) != 'e') {
        return text->size == 0;
    }
    bool is_negative = text->data[1] == '-';
    bool is_signed = is_negative || text->data[1] == '+';
    for (size_t i = is_signed ? 2 : 1; i < text->size; i++) {
        if (text->data[i] < '0' || text->data[i] > '9' || value > 99) {
            return false;
        }
        value = value * 10 + (text->data[i] - '0');
    }
    *ret = is_negative ? -value : value;
    return true;
}

/* Digits with or without a point. False: too many that count. */
static bool take_mantissa(struct slice *text, int64_t *ret, int *ret_scale)
{
    bool is_behind = false;
    for (; text->size && (text->data[0] | 0x20) != 'e'; text->data++, text->size--) {
        if (text->data[0] == '.') {
            is_behind = true;
            continue;
        }
        if (text->data[0] < '0' || text->data[0] > '9' || *ret > MANTISSA_MAX) {
            return false;
        }
        *ret = *ret * 10 + (text->data[0] - '0');
        *ret_scale += is_behind;
    }
    return true;
}

enum err units_parse_decimal(struct slice text, struct option_decimal *ret, struct why *why)
{
    struct slice rest = text;
    int64_t mantissa = 0;
    int scale = 0;
    int exponent = 0;
    int shown = text.size < 40 ? (int)text.size : 40;
    if (text.size && text.data[0] == '-') {
        why_set(why, "%.*s is below 0", shown, (const char *)text.data);
        return ERR_CONFIG;
    }
    bool is_right = take_mantissa(&rest, &mantissa, &scale) && take_exponent(&rest, &exponent);
    scale -= exponent;
    while (is_right && mantissa % 10 == 0 && mantissa > 0 && scale > 0) {
        mantissa /= 10;
        scale--;
    }
    for (; is_right && mantissa > 0 && scale < 0 && mantissa <= MANTISSA_MAX; scale++) {
        mantissa *= 10;
    }
    if (!is_right || mantissa > MANTISSA_MAX || (mantissa > 0 && scale > SCALE_MAX)) {
        why_set(why, "%.*s has too many digits: at most 15, and 15 decimals", shown,
                (const char *)text.data);
        return ERR_CONFIG;
    }
    *ret = (struct option_decimal){mantissa, (uint8_t)(mantissa ? scale : 0), true};
    return ERR_OK;
}

void units_put_decimal(const struct option_decimal *value, struct out *ret)
{
    int64_t power = 1;
    for (unsigned i = 0; i < value->scale; i++) {
        power *= 10;
    }
    out_put_format(ret, "%" PRId64, value->mantissa / power);
    if (value->scale) {
        out_put_format(ret, ".%0*" PRId64, value->scale, value->mantissa % power);
    }
}
