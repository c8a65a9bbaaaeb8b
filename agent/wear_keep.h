/* The wear of the flash, kept: counted a day across restarts (as cursors of a driver of its own),
 * and held to the user's bound by waiting longer for commits. Loop thread. */
#ifndef WEIR_AGENT_WEAR_KEEP_H
#define WEIR_AGENT_WEAR_KEEP_H

#include "agent/store.h"
#include "agent/wear.h"
#include "ports/loop.h"

#define WEAR_DRIVER "(wear)" /* no name that a configuration may have */
#define WEAR_LOOK_MS 60000
#define WEAR_PACE_LOOKS 5 /* then the intervals are looked at */
#define WEAR_PUT_LOOKS \
    10 /* then it is stored, if there were commits enough: an idle agent writes */
#define WEAR_PUT_COMMITS 10 /* nothing because of it */

struct time_source;

struct wear_keep {
    struct store *store;
    const struct time_source *time;
    uint64_t bytes_max; /* a day; 0: no bound */
    struct timer timer;
    uint16_t driver;
    struct wear_history history;
    struct wear_count seen; /* of this process */
    uint64_t opened_us;     /* monotonic */
    uint32_t first_day;     /* at opening, as long as the clock is not believed */
    uint32_t day;
    unsigned looks;
    uint64_t commits_put; /* total when it was stored last */
    uint64_t bytes_paced; /* total when the intervals were looked at last */
    uint32_t stretch;     /* thousandths */
    uint32_t told_day;    /* the last one that was said to be over the bound */
};

/* In place; reads what earlier processes left. `bytes_max`: a day, 0: no bound. `time` tells
 * whether the wall clock is believed. Before the loop runs. */
enum err wear_keep_init(struct wear_keep *keep, struct loop *loop, struct store *store,
                        const struct time_source *time, int64_t bytes_max,
                        struct why *why) MUST_USE;
void wear_keep_release(struct wear_keep *keep);
/* Counts what was written until now. */
void wear_keep_look(struct wear_keep *keep);
/* And puts it into the open commit. Before the last one. */
void wear_keep_stop(struct wear_keep *keep);
/* Members of the status, a ',' before each: those of wear_put_history(), "max_per_day" and
 * "stretch" (of the intervals). */
void wear_keep_status(struct wear_keep *keep, const struct wear_medium *medium, struct out *json);

/* A driver's cursors as history, for who reads the file. */
enum err wear_keep_read(struct buffer *buffer, uint16_t driver, struct wear_history *ret) MUST_USE;
/* "total", "today", "days", and "life_years" at the mean of the days before today. */
void wear_put_history(const struct wear_history *history, uint32_t today,
                      const struct wear_medium *medium, struct out *json);

#endif
