/* The bytes of a link by hour, day and month, and its budgets. Pure; in the zone of ports/zone.h.
 *
 * Periods are those that clocks on the spot show: an hour that comes twice when they are set back is
 * one hour and has one budget. What is counted while the time is not known belongs to the latest
 * periods that are known, and moves to the right ones when the time is. */
#ifndef WEIR_AGENT_LINK_BUDGET_H
#define WEIR_AGENT_LINK_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ports/slice.h"

enum link_period { LINK_HOUR, LINK_DAY, LINK_MONTH, LINK_PERIOD_COUNT };

#define LINK_HOUR_MAX 4 /* of each kind that are kept */
#define LINK_DAY_MAX 32
#define LINK_MONTH_MAX 16
#define LINK_MONTH_SHOWN 13

struct link_bytes {
    uint64_t sent;
    uint64_t received;
};

/* Which hour, day and month it is; 0: not known. Each counts on: the next hour's is one more. */
struct link_ids {
    uint32_t of[LINK_PERIOD_COUNT];
};

#define LINK_SLOT_COUNT (LINK_HOUR_MAX + LINK_DAY_MAX + LINK_MONTH_MAX)

struct link_slot {
    uint32_t id; /* 0: an empty place */
    struct link_bytes bytes;
};

struct link_history {
    struct link_bytes total; /* since the buffer was made */
    /* Hours, days, months; each has the place of its id modulo their number. */
    struct link_slot slots[LINK_SLOT_COUNT];
};

/* month_day 1..28: the day on which a month begins. */
void link_ids_at(int64_t wall_us, int month_day, struct link_ids *ret);
/* When the period begins and ends: wall time. */
int64_t link_period_begin(enum link_period period, uint32_t id, int month_day);
int64_t link_period_end(enum link_period period, uint32_t id, int month_day);
/* "2026-11": the month in which it begins. */
#define LINK_MONTH_TEXT_SIZE 16
void link_month_text(uint32_t id, char ret[LINK_MONTH_TEXT_SIZE]);

/* To the total, and to each period that is known. A place that had another one begins anew. */
void link_history_add(struct link_history *history, const struct link_ids *ids,
                      const struct link_bytes *more);
/* Takes out again what was added to the wrong periods: to be added to the right ones. */
void link_history_take(struct link_history *history, const struct link_ids *ids,
                       const struct link_bytes *less);
struct link_bytes link_history_of(const struct link_history *history, enum link_period period,
                                  uint32_t id);
/* The latest ones that are kept. */
void link_history_latest(const struct link_history *history, struct link_ids *ret);

/* --- as cursors: key 0 the total, then the slots --- */

#define LINK_KEY_COUNT (1 + LINK_SLOT_COUNT)
#define LINK_VALUE_MAX 32
uint32_t link_key(enum link_period period, uint32_t id);
void link_value_put(const struct link_history *history, uint32_t key, struct out *ret);
/* False: not one of ours. */
bool link_value_take(struct link_history *history, uint32_t key, struct slice value) MUST_USE;

/* --- budgets --- */

struct link_budget {
    uint64_t max[LINK_PERIOD_COUNT]; /* bytes in both directions; 0: none */
    uint64_t reserve;                /* millionths of each */
    uint8_t reserve_priority;
    bool goes_on; /* when all is spent, reserve_priority and more go on */
};

/* What events of this priority may still use, as so much is spent of each; UINT64_MAX: there is no
 * budget. *ret_period: which budget it is that leaves least; may be NULL. */
uint64_t link_budget_left(const struct link_budget *budget, const uint64_t spent[LINK_PERIOD_COUNT],
                          uint8_t priority, enum link_period *ret_period);

#endif
