#include "agent/link_window.h"

#include "ports/zone.h"

#define DAY_MINUTES 1440
#define MINUTE_US INT64_C(60000000)
#define DAY_US (DAY_MINUTES * MINUTE_US)
#define STEP_MINUTES 180    /* clocks are not set by more */
#define DAYS_AHEAD_MAX 3000 /* a 29th of February is eight years away at most */

/* Instants of one window on one day. */
struct day {
    struct civil civil; /* its date */
    int from, to;       /* minutes that are looked at */
};

static void day_at(int64_t days, struct day *ret)
{
    clock_civil(days * DAY_US, &ret->civil);
    ret->from = 0;
    ret->to = DAY_MINUTES - 1;
}

static bool day_matches(const struct cron *cron, const struct day *day)
{
    return cron_has_day(cron, day->civil.month, day->civil.day, day->civil.weekday);
}

static int64_t day_instant(const struct day *day, int minute)
{
    return zone_time(day->civil.year, day->civil.month, day->civil.day, minute / 60, minute % 60);
}

/* The last start that is not after `wall_us`, of those that can still be open; INT64_MIN: none. */
static int64_t last_start(const struct link_window *window, int64_t wall_us)
{
    struct civil now;
    zone_civil(wall_us, &now);
    int64_t today = clock_days(now.year, now.month, now.day);
    int64_t days = window->duration_us / DAY_US + 2;
    for (int64_t i = 0; i <= days; i++) {
        struct day day;
        day_at(today - i, &day);
        if (!day_matches(&window->start, &day)) {
            continue;
        }
        int from = i == 0 ? now.hour * 60 + now.minute + STEP_MINUTES : DAY_MINUTES - 1;
        for (int m = cron_minute_before(&window->start, from); m >= 0;
             m = cron_minute_before(&window->start, m - 1)) {
            int64_t instant = day_instant(&day, m);
            if (instant <= wall_us) {
                return instant;
            }
        }
    }
    return INT64_MIN;
}

/* The first start after `wall_us`; INT64_MAX: none for years. */
static int64_t next_start(const struct link_window *window, int64_t wall_us)
{
    struct civil now;
    zone_civil(wall_us, &now);
    int64_t today = clock_days(now.year, now.month, now.day);
    for (int64_t i = 0; i <= DAYS_AHEAD_MAX; i++) {
        struct day day;
        day_at(today + i, &day);
        if (!day_matches(&window->start, &day)) {
            continue;
        }
        int from = i == 0 ? now.hour * 60 + now.minute - STEP_MINUTES : 0;
        for (int m = cron_minute_after(&window->start, from > 0 ? from : 0); m >= 0;
             m = cron_minute_after(&window->start, m + 1)) {
            int64_t instant = day_instant(&day, m);
            if (instant > wall_us) {
                return instant;
            }
        }
    }
    return INT64_MAX;
}

void link_windows_at(const struct link_window *windows, size_t count, int64_t wall_us,
                     struct link_opening *ret)
{
    int64_t end_us = INT64_MIN;
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        int64_t last = last_start(&windows[i], wall_us);
        int64_t end = last == INT64_MIN ? INT64_MIN : last + windows[i].duration_us;
        end_us = end > end_us ? end : end_us;
    }
    bool is_open = count == 0 || end_us > wall_us;
    for (size_t i = 0; i < count && !is_open; i++) {
        int64_t next = next_start(&windows[i], wall_us);
        next_us = next < next_us ? next : next_us;
    }
    *ret =
        (struct link_opening){.is_open = is_open, .until_us = is_open && count ? end_us : next_us};
}
