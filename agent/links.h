/* The links of the configuration: which of them an uplink uses, what may go over it now, and what has
 * gone. The rules, in words for who sets them: LINK.md. Loop thread.
 *
 * Before a request is made, and again before it is sent, its flow asks (link_user_may()). What is
 * made is held against the link (link_hold_take()) until it is over: so its bytes are charged before
 * they leave, and several requests at a time can't overdraw a budget together. Bytes are counted by
 * whoever has the connections (link_user_count()).
 *
 * Who has no link has no limits: all verbs take such a user. */
#ifndef WEIR_AGENT_LINKS_H
#define WEIR_AGENT_LINKS_H

#include "agent/link.h"
#include "agent/store.h"
#include "config/config.h"
#include "ports/loop.h"
#include "ports/pacer.h"

struct link_line; /* one link */
struct links;

#define LINKS_LOOK_MS 60000          /* how often the rules are looked at, at least */
#define LINKS_INTERFACE_LOOK_MS 2000 /* and the interfaces */
#define LINK_QUEUE_COUNT 2           /* what is fresh, and backfill */
#define LINK_OUTAGE_MS 60000         /* from then on, an outage is followed by a pause */

struct links_setup {
    struct loop *loop;
    struct store *store;
    const struct config *config;
    /* Is the wall clock to be believed? */
    bool (*clock_is_trusted)(void *context);
    void *context;
};

/* Reads what earlier processes counted. Without links in the configuration *ret is NULL; all verbs
 * take that. Before the loop runs. */
enum err links_open(struct links **ret, const struct links_setup *setup, struct why *why) MUST_USE;
/* Puts the counts into the open commit, what is under way included: its answer may never be seen.
 * Before the last one. */
void links_stop(struct links *links);
/* All users are released. */
void links_close(struct links *links);
/* The same, at any time: between two commits that are due anyway. */
void links_keep(struct links *links);

/* The "links" object of the status: {"modem":{..},..}. */
void links_status(struct links *links, struct out *json);
/* Bytes of all links since start, both ways. */
uint64_t links_bytes(const struct links *links);

/* --- who uses them --- */

struct link_user_calls {
    /* Something may go that had to wait; link_user_may() is asked again, twice: the first time it
     * only notes who wants. */
    void (*go)(void *context);
    /* From the next turn on it is another link: what went over the connections is counted within the
     * call, and they are opened anew. */
    void (*moved)(void *context);
};

/* In place; one per uplink or driver. */
struct link_user {
    struct links *links;
    uint8_t choices[CONFIG_LINK_CHOICE_MAX]; /* indices in the configuration */
    size_t choice_count;                     /* 0: no link, no limits */
    struct link_line *line;                  /* that is used; NULL: none. While none of its choices
                                                is up, the last one still */
    bool was_down;                           /* that was so */
    bool is_failing;         /* nothing has got through since its last request failed */
    uint64_t failing_ms;     /* since when; by the loop's clock */
    uint64_t aside;          /* bytes of what it has under way while it fails: not in the lanes */
    const struct link *rate; /* as it measures; may be NULL */
    const struct link_user_calls *calls; /* may be NULL: it only counts */
    void *context;
    struct link_user *next;
};

void link_user_init(struct link_user *user, struct links *links, const uint8_t *choices,
                    size_t choice_count);
/* With calls, and what it measures. */
void link_user_init_calls(struct link_user *user, const struct link_user_calls *calls,
                          void *context, const struct link *rate);
/* Accepts a zeroed one. */
void link_user_release(struct link_user *user);

/* The interface to bind connections to; NULL: any. Valid while the links are open. */
const char *link_user_interface(const struct link_user *user);
/* Is there a link to open connections on at all? */
bool link_user_is_up(const struct link_user *user);
/* Bytes per second that it may send, at most; 0: no bound. */
uint64_t link_user_rate_max(const struct link_user *user);
/* Holds its connections to that; NULL: nothing does. Valid while the links are open. */
struct pacer *link_user_pacer(const struct link_user *user);
bool link_user_is_metered(const struct link_user *user);
/* What went over the connections, as the network counts it. */
void link_user_count(struct link_user *user, uint64_t sent, uint64_t received);
/* A request got through, or did not. */
void link_user_told(struct link_user *user, bool is_through);

/* --- what a flow holds of a link --- */

struct link_hold {
    struct link_line *line; /* NULL: nothing */
    uint64_t size;          /* bytes */
    struct link_user
        *aside; /* it is under way to a peer that fails, and in no lane; NULL: it is in one */
    uint8_t priority;
    bool has_more;                    /* another one follows at once */
    struct link_line *gives_way;      /* it would be used, but somebody else's turn comes first */
    uint64_t asked;                   /* in this round it waits; see links_impl.h */
    const struct link_line *asked_of; /* there; its user may have another one since */
    uint64_t turn;                    /* when it had its last one */
    uint8_t queue; /* below LINK_QUEUE_COUNT: of those of one priority in it the one that has waited
                       longest is next */
};

/* May a request of this priority be made, or be sent? False: go() follows when it may. */
bool link_user_may(struct link_user *user, struct link_hold *hold, uint8_t priority);
/* By the link's rules alone, whoever else waits. False: go() follows. */
bool link_user_passes(struct link_user *user, const struct link_hold *hold, uint8_t priority);
/* It may, and is this large, or is thought to be; later calls say it better. */
void link_hold_take(struct link_hold *hold, struct link_user *user, uint8_t priority,
                    uint64_t size);
/* It leaves something behind: a lower priority does not get in between beyond its share. */
void link_hold_more(struct link_hold *hold, bool has_more);
/* Nothing is held, but more is there: it only gives way to what will use the link as well, or does not
 * any more. For the count of the time in which there was a backlog; said again every now and then. */
void link_hold_give_way(struct link_hold *hold, struct link_user *user, uint8_t priority,
                        bool gives_way);
/* It is over, or comes to nothing. */
void link_hold_give(struct link_hold *hold);
/* The largest request of this priority by rate_max, `seconds` long, and by the budgets;
 * UINT32_MAX: as large as it likes. `hold`: what is held for it already; NULL: all that is under way
 * may be its own. */
uint32_t link_user_size_max(struct link_user *user, const struct link_hold *hold, uint8_t priority,
                            unsigned seconds);

#endif
