/* Points in time as cron writes them: "MINUTE HOUR DAY MONTH WEEKDAY". Each field is `*`, or a list
 * of numbers, ranges `1-5` and steps (`*` or a range, with `/2` behind); months and weekdays also by
 * their English names of three letters, weekday 0 and 7 are Sunday. As cron has it, a day matches by
 * either of day and weekday when both are given, else by the one that is. Pure; civil times only. */
#ifndef WEIR_CONFIG_CRON_H
#define WEIR_CONFIG_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/err.h"

#define CRON_TEXT_SIZE_MAX 127

/* One bit for each number. */
struct cron {
    uint64_t minutes;
    uint32_t hours;
    uint32_t days;    /* bits 1..31 */
    uint16_t months;  /* bits 1..12 */
    uint8_t weekdays; /* bits 0..6 */
    bool any_day;     /* the field is `*` */
    bool any_weekday;
};

/* ERR_CONFIG: *why says which field and what is wrong, or that there is no such day in any year. */
enum err cron_parse(const char *text, struct cron *ret, struct why *why) MUST_USE;
/* Does it start on this day at all? month 1..12, day 1..31, weekday 0..6. */
bool cron_has_day(const struct cron *cron, unsigned month, unsigned day, unsigned weekday);
/* The latest minute of a day that matches and is not after `minute`; -1: none. And the first that
 * is not before it. Minutes 0..1439. */
int cron_minute_before(const struct cron *cron, int minute);
int cron_minute_after(const struct cron *cron, int minute);

#endif
