/* weir.events: the agent's own stream, by which the centre learns about a board that nobody visits:
 * start and stop, another machine under the same buffer, gaps (events that were dropped by a rule), damage, schemas that were refused or,
 * while it runs, taken over, counts of set-aside events, and an hourly health record (where a link
 * is metered and nothing was delivered in that hour, each six hours). One schema for all kinds,
 * weir.Event; what a kind does not need is empty or 0.
 *
 * It never disturbs ordinary streams: what finds no room is dropped and counted, except gaps, which
 * the buffer keeps until they are told. A gap is told exactly once, crashes included: the event and
 * the word that it is told are in one commit, and that commit is the next one after the state in
 * which the gap was seen, so that it cannot have grown in between. Loop thread. */
#ifndef WEIR_AGENT_EVENTS_H
#define WEIR_AGENT_EVENTS_H

#include "agent/store.h"

#define EVENTS_PRIORITY 8
#define EVENTS_SHARE_MIN 10000        /* millionths of the buffer that nobody else may take */
#define EVENTS_SIZE_MAX (1024 * 1024) /* of its backlog, at most; and at most 1 % of the buffer */
/* Gaps and set-aside events are told that often at most, so that a full buffer costs little. */
#define EVENTS_PACE_MS (10 * 60 * 1000)
#define EVENTS_HEALTH_PACES 6 /* an hour */
/* Six hours, where bytes cost money and nothing else goes out: a health record by itself would need a
 * connection of its own. */
#define EVENTS_ALONE_PACES 36

struct events;
struct time_source;

/* How the agent is, as the health record has it. Counts are since start, but for those of the
 * buffer. */
struct events_measures {
    uint64_t uptime_s;
    uint64_t backlog;       /* events that somebody is still owed */
    uint64_t backlog_bytes; /* raw, about */
    uint64_t dropped;       /* since the buffer was made */
    uint64_t delivered;
    uint64_t refused; /* offers that had to wait */
    uint64_t aside;   /* events set aside, by intake or because a destination refused them */
    const char *aside_reason; /* of the last one */
    uint64_t buffer_bytes;
    uint64_t buffer_share; /* millionths of its cap in use */
    uint64_t wear_bytes;   /* written to the disk */
    uint64_t wear_syncs;
    bool clock_is_trusted;
};

struct events_setup {
    struct loop *loop;
    struct store *store;
    struct time_source *time;
    uint16_t stream; /* the buffer's numbers */
    uint32_t schema;
    const char *agent_id;
    int64_t commit_interval_ms;
    bool is_reload;    /* it goes on with another configuration: what is told is no start */
    bool is_as_before; /* it goes on as it was: nothing is told */
    bool is_metered;   /* an uplink's link is: health rides along with other events, or is rarer */
    void (*measure)(void *context, struct events_measures *ret);
    /* The name of an uplink by the buffer's number; NULL: none has it any more. */
    const char *(*uplink_name)(void *context, uint16_t number);
    void *context;
};

/* The schema's text, weir.Event. */
struct slice events_schema(void);

/* Tells the start. */
enum err events_open(struct events **ret, const struct events_setup *setup) MUST_USE;
/* To be called after each commit, before anything else is put. */
void events_committed(struct events *events);
/* Tells that the stream's new schema was taken over, or refused for `count` findings, which `text`
 * names (it is cut). False: no room now; nothing is told. */
#define EVENTS_TEXT_SIZE_MAX 1024
bool events_tell_schema(struct events *events, bool is_refused, const char *stream, uint64_t count,
                        const char *text);
/* Tells that a stream's schema got `count` fields from an event; `text`, at most 300 bytes, names
 * them. */
void events_tell_extended(struct events *events, const char *stream, uint64_t count,
                          const char *text);
/* Tells what is still to be told, and the stop; nothing is told afterwards. Before the last
 * commit. */
void events_stop(struct events *events);
/* NULL is allowed. */
void events_close(struct events *events);

/* How many were dropped because there was no room. */
uint64_t events_dropped(const struct events *events);

#endif
