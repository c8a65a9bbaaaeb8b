/* What is written to the flash: counted a day, foretold for an interval, and held to a bound. Pure;
 * wear_keep.h is its place in the agent. */
#ifndef WEIR_AGENT_WEAR_H
#define WEIR_AGENT_WEAR_H

#include <stdint.h>

#include "ports/slice.h"

#define WEAR_DAY_MAX 32 /* days that are kept */
#define WEAR_DAY_S 86400
#define WEAR_STRETCH_MAX 64000 /* thousandths */

struct wear_count {
    uint64_t bytes; /* 4 KiB blocks dirtied between two syncs */
    uint64_t syncs;
    uint64_t commits;
    uint64_t events;
    uint64_t event_bytes; /* datums */
};

struct wear_day {
    uint32_t day; /* since 1970-01-01; 0: an empty place */
    struct wear_count count;
};

struct wear_history {
    struct wear_count total;            /* since the buffer was made */
    struct wear_day days[WEAR_DAY_MAX]; /* a day is in days[day % WEAR_DAY_MAX] */
};

void wear_count_add(struct wear_count *count, const struct wear_count *more);
/* `before` is of the same counters. */
struct wear_count wear_count_since(const struct wear_count *now, const struct wear_count *before);
/* Adds to the total, and to the day; day 0: it is not known. A day that is WEAR_DAY_MAX or more
 * days older gives its place. */
void wear_history_add(struct wear_history *history, uint32_t day, const struct wear_count *more);
/* The latest day that is kept; 0: none is. */
uint32_t wear_history_latest(const struct wear_history *history);
/* The days before `today` that are kept: their sum, and how many they are. */
struct wear_count wear_history_before(const struct wear_history *history, uint32_t today,
                                      uint32_t *ret_days);

/* --- as cursors: key 0 the total, key 1 + n the day in days[n] --- */

#define WEAR_VALUE_MAX 64
void wear_value_put(const struct wear_history *history, uint32_t key, struct out *ret);
/* False: not one of ours. */
bool wear_value_take(struct wear_history *history, uint32_t key, struct slice value) MUST_USE;

/* --- foretelling --- */

/* What commits of this interval would write in a day with so many events, as a measured day says:
 * its bytes against what the model makes of its commits. Without commits: as the model says. */
struct wear_count wear_foretell(const struct wear_count *day, uint64_t interval_ms);

struct wear_medium {
    int64_t size;   /* bytes; 0: not known */
    int64_t cycles; /* that a block of it can be erased */
    int64_t page;   /* that it writes at a time: each sync costs a whole one */
};
/* Years until the medium is worn, at so much a day; 0: not known. */
double wear_life_years(const struct wear_medium *medium, const struct wear_count *day);

/* --- holding to a bound --- */

struct wear_pace {
    uint64_t bytes_max;    /* a day */
    uint64_t bytes_today;  /* of these */
    uint32_t seconds_left; /* of the day */
    uint64_t bytes_recent; /* written in the last `recent_s` seconds, under `stretch` */
    uint32_t recent_s;
    uint32_t stretch; /* thousandths of the configured intervals, 1000..WEAR_STRETCH_MAX */
};
/* By how much the intervals are to be stretched from now on. At most eight times, and
 * at least half as much as before: it is sooner spared than worn. */
uint32_t wear_stretch(const struct wear_pace *pace);

#endif
