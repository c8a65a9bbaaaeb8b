/* The part of ports/clock.h that asks no clock: dates. The arithmetic is Howard Hinnant's
 * "chrono-compatible low-level date algorithms": years begin in March, 400 of them are an era. */
#include "ports/clock.h"

#include <assert.h>

#define DAYS_PER_ERA 146097
#define DAYS_TO_1970 719468 /* from 0000-03-01 */
#define DAY_US (INT64_C(86400) * 1000000)

int64_t clock_days(int32_t year, unsigned month, unsigned day)
{
    assert(month >= 1 && month <= 12 && day >= 1 && day <= 31);
    int64_t shifted = (int64_t)year - (month <= 2);
    int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
    int64_t year_of_era = shifted - era * 400;
    int64_t month_from_march = month > 2 ? (int64_t)month - 3 : (int64_t)month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

static void civil_of_days(int64_t days, struct civil *ret)
{
    int64_t shifted = days + DAYS_TO_1970;
    int64_t era = (shifted >= 0 ? shifted : shifted - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    ret->day = (uint8_t)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    ret->month = (uint8_t)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    ret->year = (int32_t)(year_of_era + era * 400 + (ret->month <= 2));
    int64_t weekday = (days + 4) % 7; /* 1970-01-01 was a Thursday */
    ret->weekday = (uint8_t)(weekday < 0 ? weekday + 7 : weekday);
}

void clock_civil(int64_t wall_us, struct civil *ret)
{
    int64_t days = wall_us / DAY_US;
    int64_t rest_us = wall_us % DAY_US;
    if (rest_us < 0) {
        rest_us += DAY_US;
        days--;
    }
    civil_of_days(days, ret);
    int64_t seconds = rest_us / 1000000;
    ret->microsecond = (uint32_t)(rest_us % 1000000);
    ret->second = (uint8_t)(seconds % 60);
    ret->minute = (uint8_t)(seconds / 60 % 60);
    ret->hour = (uint8_t)(seconds / 3600);
}

void clock_format(int64_t wall_us, unsigned digits, char ret[CLOCK_TEXT_SIZE])
{
    assert(digits == 0 || digits == 3 || digits == 6);
    struct civil c;
    clock_civil(wall_us, &c);
    ret[0] = 0;
    if (c.year < 1 || c.year > 9999) {
        return;
    }
    struct out text = out_over(ret, CLOCK_TEXT_SIZE);
    out_put_format(&text, "%04d-%02u-%02uT%02u:%02u:%02u", (int)c.year, (unsigned)c.month,
                   (unsigned)c.day, (unsigned)c.hour, (unsigned)c.minute, (unsigned)c.second);
    if (digits == 3) {
        out_put_format(&text, ".%03u", (unsigned)(c.microsecond / 1000));
    } else if (digits == 6) {
        out_put_format(&text, ".%06u", (unsigned)c.microsecond);
    }
    out_put(&text, "Z", 2);
    assert(!text.overflow);
}
