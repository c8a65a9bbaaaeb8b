/* The time zone of the site, by libc's rules: what a wall clock on the spot shows. Set once, before
 * threads are started; then any thread may ask. */
#ifndef WEIR_PORTS_ZONE_H
#define WEIR_PORTS_ZONE_H

#include "ports/clock.h"
#include "ports/err.h"

/* A name of the system's zone files as "Europe/Berlin", a rule as POSIX writes it
 * ("CET-1CEST,M3.5.0,M10.5.0/3"), or NULL: the system's zone. ERR_CONFIG: it is neither; the zone
 * stays as it was. */
enum err zone_set(const char *name, struct why *why) MUST_USE;
/* ERR_CONFIG: zone_set() would refuse it. */
enum err zone_check(const char *name, struct why *why) MUST_USE;

/* What clocks on the spot show at this time; microsecond 0. */
void zone_civil(int64_t wall_us, struct civil *ret);
/* When clocks on the spot show this (year to minute count; month, day, hour and minute may be beyond
 * their bounds, as libc's mktime() has it): the first time, where they show it twice, and the time
 * as if they had not been set forward, where they never do. */
int64_t zone_time(int32_t year, int month, int day, int hour, int minute);

#endif
