#include "ports/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SECOND_US INT64_C(1000000)
#define FOLDER "/usr/share/zoneinfo"

/* A rule: a name of three letters or more (or <...>), and an offset behind it. Libc takes the rest as
 * it comes. */
static bool is_rule(const char *name)
{
    size_t size = 0;
    if (name[0] == '<') {
        size = strcspn(name, ">");
        size += name[size] == '>';
    } else {
        size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    }
    const char *offset = name + size;
    offset += *offset == '+' || *offset == '-';
    return size >= 3 && *offset >= '0' && *offset <= '9';
}

enum err zone_check(const char *name, struct why *why)
{
    char path[256];
    struct stat info;
    if (!name || is_rule(name) || strcmp(name, "UTC") == 0) {
        return ERR_OK;
    }
    (void)snprintf(path, sizeof path, FOLDER "/%s", name); /* cut: there is none */
    if (name[0] == '/' || name[0] == ':' || strstr(name, "..") || stat(path, &info) ||
        !S_ISREG(info.st_mode)) {
        why_set(why,
                "there is no zone \"%.60s\" in " FOLDER
                ": a name as Europe/Berlin, or a rule as CET-1CEST,M3.5.0,M10.5.0/3",
                name);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err zone_set(const char *name, struct why *why)
{
    enum err e = zone_check(name, why);
    const char *now = getenv("TZ");
    bool is_set = now && name && strcmp(now, name) == 0;
    if (!e && name && !is_set && setenv("TZ", name, 1)) {
        e = ERR_NOMEM;
    }
    if (!e) {
        tzset();
    }
    return e;
}

void zone_civil(int64_t wall_us, struct civil *ret)
{
    time_t seconds = (time_t)(wall_us / SECOND_US - (wall_us % SECOND_US < 0));
    struct tm tm;
    if (!localtime_r(&seconds, &tm)) { /* a year that no int has */
        clock_civil(wall_us, ret);
        return;
    }
    *ret = (struct civil){.year = tm.tm_year + 1900,
                          .month = (uint8_t)(tm.tm_mon + 1),
                          .day = (uint8_t)tm.tm_mday,
                          .hour = (uint8_t)tm.tm_hour,
                          .minute = (uint8_t)tm.tm_min,
                          .second = (uint8_t)tm.tm_sec,
                          .weekday = (uint8_t)tm.tm_wday};
}

/* True when clocks show the same at both. */
static bool is_same_civil(time_t a, time_t b)
{
    struct tm x, y;
    return localtime_r(&a, &x) && localtime_r(&b, &y) && x.tm_min == y.tm_min &&
           x.tm_hour == y.tm_hour && x.tm_mday == y.tm_mday;
}

int64_t zone_time(int32_t year, int month, int day, int hour, int minute)
{
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_isdst = -1};
    struct tm asked = tm;
    time_t seconds = mktime(&tm);
    /* Of a time that clocks never show libc may make one before they are set forward, in zones whose
     * summer is the standard (Europe/Dublin): then it is as much too early as it shows less. */
    struct tm shown = tm;
    time_t lack = timegm(&asked) - timegm(&shown);
    seconds += lack > 0 ? lack : 0;
    /* Which of two it gives is libc's choice: the first is wanted. */
    if (is_same_civil(seconds - 3600, seconds)) {
        seconds -= 3600;
    }
    return (int64_t)seconds * SECOND_US;
}
