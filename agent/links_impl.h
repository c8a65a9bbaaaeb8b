/* What the files of the links share: links.c (all of them, their users, the timer), link_line.c (the
 * rules of one), links_keep.c (what is kept across restarts), links_status.c. */
#ifndef WEIR_AGENT_LINKS_IMPL_H
#define WEIR_AGENT_LINKS_IMPL_H

#include "agent/link_budget.h"
#include "agent/link_lane.h"
#include "agent/link_window.h"
#include "agent/links.h"
#include "ports/interface.h"

#define LINK_WINDOW_MAX 16
#define LINK_SIZE_MIN 1024 /* a request is not made smaller because a budget is nearly spent */

/* Why something has to wait. */
enum link_bar {
    LINK_FREE,
    LINK_BAR_DOWN,
    LINK_BAR_PRIORITY,
    LINK_BAR_WINDOW,
    LINK_BAR_CLOCK,
    LINK_BAR_OUTAGE,
    LINK_BAR_BUDGET,
};

struct link_verdict {
    enum link_bar bar;
    enum link_period period; /* LINK_BAR_BUDGET */
    int64_t until_us;        /* wall; INT64_MAX: not known */
};

struct link_line {
    struct links *links;
    const struct config_link *config;
    uint16_t driver; /* whose cursors are its counts */
    struct link_budget budget;
    struct link_window windows[LINK_WINDOW_MAX];
    size_t window_count;
    struct link_opening opening; /* as it was looked at */
    int64_t opening_us;          /* when; INT64_MIN: not yet */
    bool is_up;
    struct interface_state interface; /* as it was looked at last */
    bool interface_is_known;
    /* --- bytes --- */
    struct link_history history;
    struct link_history kept;    /* as it was put last, with what was held then */
    struct link_ids ids;         /* to which bytes are counted now */
    int64_t ids_minute;          /* of the wall clock, for which they were found: asked for often */
    struct link_bytes misplaced; /* of these, since the clock is not believed */
    bool clock_is_known;
    uint64_t since_start;
    uint64_t unkept; /* bytes since they were put last */
    uint64_t held;   /* bytes of what is under way */
    /* --- the rate --- */
    struct pacer *pacer; /* NULL: no bound */
    uint64_t backlog_ms; /* so long somebody had more to send than was under way, */
    uint64_t backlog_since_ms;
    uint64_t backlog_bytes; /* and so much was sent meanwhile */
    uint64_t backlog_from;
    bool has_backlog;
    uint32_t giving_way; /* who waits for others of its own priority to be done */
    /* --- lanes --- */
    struct link_lanes lanes;
    uint64_t round; /* who has asked in an earlier one is not known to wait */
    bool only_asks; /* the first half of a round: nobody goes */
    uint64_t turn;  /* counts what has gone */
    uint64_t first_turn[LINK_QUEUE_COUNT]
                       [LINK_PRIORITY_COUNT]; /* the oldest last turn of those that wait;
                                                 UINT64_MAX: not known */
    /* --- outages --- */
    uint64_t well_ms;      /* when a request got through last */
    uint64_t paused_to_ms; /* by the loop's clock; 0: no pause */
    uint8_t told;          /* the lowest priority that may go, as it was logged last */
};

struct links {
    struct links_setup setup;
    struct link_line *lines; /* in the configuration's order */
    size_t count;
    struct link_user *users;
    struct timer timer;      /* the rules may have changed */
    struct timer kick;       /* somebody has to be asked */
    struct timer interfaces; /* armed when one is named */
    bool kicks;              /* inside of a round */
};

/* --- link_line.c --- */
extern const char *const link_period_names[LINK_PERIOD_COUNT]; /* "hour", ... */
/* "2026-11-30 18:05", as clocks on the spot show it. */
void link_time_put(int64_t wall_us, struct out *ret);
enum err line_init(struct link_line *line, struct links *links, const struct config_link *config,
                   struct why *why) MUST_USE;
/* Which hour, day and month it is. */
void line_look(struct link_line *line);
void line_count(struct link_line *line, uint64_t sent, uint64_t received);
/* By the rules alone; `own`: what is held for it already. */
void line_judge(struct link_line *line, uint8_t priority, uint64_t own, struct link_verdict *ret);
/* Bytes that this priority may still use; UINT64_MAX: no budget. */
uint64_t line_left(const struct link_line *line, uint8_t priority, uint64_t own,
                   enum link_period *ret_period);
uint64_t line_spent(const struct link_line *line, enum link_period period);
/* Bytes per second, as far as known; 0: not at all. */
uint64_t line_rate(const struct link_line *line);
void line_lane_rule(const struct link_line *line, struct link_lane_rule *ret);
/* The lowest priority that may go; LINK_PRIORITY_COUNT: none. *ret: what the lower ones wait for. */
uint8_t line_passes(struct link_line *line, struct link_verdict *ret);
/* The same as a sentence; "": everything may go. */
void line_sentence(struct link_line *line, struct why *ret);
/* Looks whether there is a backlog; after each change of lanes. */
void line_backlog(struct link_line *line);
/* The interface as it is now. True: it has come or gone. */
bool line_interface_look(struct link_line *line);

/* --- links_keep.c --- */
enum err line_keep_open(struct link_line *line, struct why *why) MUST_USE;
/* Puts those counts into the open commit that are not as they were put last; what is under way
 * included, in the periods that are now. */
void line_keep_put(struct link_line *line, int64_t wait_ms);

/* --- links.c --- */
/* Users are asked again, soon. */
void links_kick(struct links *links);

#endif
