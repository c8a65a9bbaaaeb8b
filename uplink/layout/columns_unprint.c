/* Integers as the texts that they stand for in shapes. */
#include "uplink/layout/columns_decode.h"

#define NUMBER_SIZE_MAX 24 /* a sign, 19 digits, a point */
#define TIME_SIZE_MAX 32   /* 19 characters, a point, 9 digits */
#define FRACTION_MAX 9
#define DAY_SECONDS 86400
#define DAY_FIRST (-719528) /* 0000-01-01 */
#define DAY_LAST 2932896    /* 9999-12-31 */

/* The digits of a value, at least `least` of them, which end before `end`: where they begin. */
static uint8_t *put_digits(uint8_t *end, uint64_t value, unsigned least)
{
    for (; value > 0 || least > 0; value /= 10) {
        *--end = (uint8_t)('0' + value % 10);
        least -= least > 0;
    }
    return end;
}

/* Zeros behind the point that are not printed. */
static unsigned spare_zeros(uint64_t value, unsigned scale, int64_t mode)
{
    unsigned spare = 0;
    unsigned most = mode & PRINTED_BARE ? scale : mode & PRINTED_POINT ? scale - 1 : 0;
    for (; spare < most && value % 10 == 0; value /= 10) {
        spare++;
    }
    return spare;
}

static struct slice print_number(int64_t number, int64_t mode, uint8_t *memory)
{
    uint64_t value = number < 0 ? UINT64_C(0) - (uint64_t)number : (uint64_t)number;
    unsigned scale = (unsigned)(mode & PRINTED_SCALE);
    unsigned spare = spare_zeros(value, scale, mode);
    uint8_t *end = memory + NUMBER_SIZE_MAX;
    for (unsigned i = 0; i < spare; i++) {
        value /= 10;
    }
    scale -= spare;
    uint8_t *start = put_digits(end, value, scale + 1);
    if (scale > 0) {
        memmove(start - 1, start, (size_t)(end - start) - scale);
        start--;
        end[-(int)scale - 1] = '.';
    }
    if (number < 0) {
        *--start = '-';
    }
    return (struct slice){start, (size_t)(end - start)};
}

bool print_numbers(struct columns_decoder *d, const int64_t *values, uint32_t count, int64_t mode,
                   struct slice *ret)
{
    if (!decoder_spend_text(d, (uint64_t)count * NUMBER_SIZE_MAX)) {
        return false;
    }
    uint8_t *memory = decoder_take(d, count, NUMBER_SIZE_MAX);
    for (uint32_t i = 0; memory && i < count; i++) {
        ret[i] = print_number(values[i], mode, memory + (size_t)i * NUMBER_SIZE_MAX);
    }
    return memory != NULL;
}

/* A day since 1970 as digits of year, month and day: years begin with March, so that the day that
 * some of them have more is their last. */
static uint32_t calendar(int64_t day)
{
    uint32_t days = (uint32_t)(day + 719468 + 146097); /* since March of the year -400 */
    uint32_t era = days / 146097;
    uint32_t of_era = days % 146097;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint32_t shifted = (5 * of_year + 2) / 153;
    uint32_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    uint32_t of_month = of_year - (153 * shifted + 2) / 5 + 1;
    uint32_t of_calendar = era * 400 + year + (month <= 2) - 400;
    return (of_calendar * 100 + month) * 100 + of_month;
}

/* False: the year has not four digits. */
static bool print_time(int64_t value, uint8_t between, unsigned digits, struct slice *ret,
                       uint8_t *memory)
{
    int64_t unit = 1;
    for (unsigned i = 0; i < digits; i++) {
        unit *= 10;
    }
    int64_t fraction = value % unit;
    fraction += fraction < 0 ? unit : 0;
    int64_t seconds = value / unit - (value % unit < 0);
    int64_t second = seconds % DAY_SECONDS;
    second += second < 0 ? DAY_SECONDS : 0;
    int64_t day = seconds / DAY_SECONDS - (seconds % DAY_SECONDS < 0);
    if (day < DAY_FIRST || day > DAY_LAST) {
        return false;
    }
    uint8_t *end = memory + TIME_SIZE_MAX;
    uint8_t *at = put_digits(end, (uint64_t)fraction, digits);
    if (digits > 0) {
        *--at = '.';
    }
    uint32_t date = calendar(day);
    uint32_t parts[] = {(uint32_t)(second % 60), (uint32_t)(second / 60 % 60),
                        (uint32_t)(second / 3600), date % 100, date / 100 % 100};
    static const char marks[] = "::?--";
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        at = put_digits(at, parts[i], 2);
        *--at = marks[i] == '?' ? between : (uint8_t)marks[i];
    }
    at = put_digits(at, date / 10000, 4);
    *ret = (struct slice){at, (size_t)(end - at)};
    return true;
}

bool print_times(struct columns_decoder *d, const int64_t *values, uint32_t count, uint8_t between,
                 unsigned digits, struct slice *ret)
{
    if (!decoder_spend_text(d, (uint64_t)count * TIME_SIZE_MAX)) {
        return false;
    }
    uint8_t *memory = decoder_take(d, count, TIME_SIZE_MAX);
    for (uint32_t i = 0; memory && i < count; i++) {
        if (!print_time(values[i], between, digits, &ret[i], memory + (size_t)i * TIME_SIZE_MAX)) {
            return decoder_refuse(d, "a time's year has not four digits");
        }
    }
    return memory != NULL;
}
