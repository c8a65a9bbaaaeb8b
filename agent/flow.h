/* A flow: what one uplink does with one lane of one stream. Inside of forward; loop thread.
 *
 * At any time a flow either uses the workspace, or waits for a commit, or has batches lent, or
 * waits (for the uplink, a timer, or events). flow_advance() looks at where things stand and does
 * the next step; everything that happens ends in a call of it. */
#ifndef WEIR_AGENT_FLOW_H
#define WEIR_AGENT_FLOW_H

#include "agent/backoff.h"
#include "agent/counters.h"
#include "agent/debt.h"
#include "agent/forward.h"
#include "agent/links.h"
#include "agent/pack.h"
#include "agent/share.h"

#define FLOW_IDENTITY_SIZE 160
#define FLOW_PARK_MS 60000
#define FLOW_DISK_MS 2000 /* what waits for the disk */
#define FLOW_CLOCK_MS 2000
#define FLOW_LANE_MS 1000 /* backfill looks again whether it is its turn */
#define HOST_TOLD_MAX 16
#define FLOW_ALIKE_MAX 3 /* single events refused in a row with one code: a wrong setting */
/* Wire bytes built or lent per uplink; one parcel is always allowed. */
#define UPLINK_LENT_SIZE_MAX (2 * 1024 * 1024)
/* Parcels that may be open at one time, over all uplinks: as many as the buffer keeps. */
#define FORWARD_PARCEL_MAX BUFFER_PARCEL_MAX

enum batch_state {
    BATCH_BUILT, /* waits for numbers, a commit, or its turn */
    BATCH_LENT,
    BATCH_RETRY,   /* waits for its timer */
    BATCH_HELD,    /* done, but a commit of this parcel is under way: reported behind it */
    BATCH_REFUSED, /* to be halved, or set aside when it is a single event */
    BATCH_ASIDE,   /* in doubt, and to be set aside whole */
};

struct flow_batch {
    struct batch batch;
    struct flow *flow;
    enum batch_state state;
    struct timer retry;
    struct backoff backoff;
    bool was_reassigned;       /* it has had other numbers before */
    struct send_report report; /* the last one */
};

enum flow_task { TASK_NONE, TASK_CUT, TASK_BUILD, TASK_HALVE, TASK_ASIDE };

struct flow {
    struct uplink_host *host;
    const struct forward_stream *stream;
    struct debt *debt; /* shared with the other lane */
    uint8_t lane;      /* enum lane */
    bool has_parcel;
    bool moved;        /* parts were halved since the parcel was put: the buffer knows them by
                          other indices */
    bool on_record;    /* the parcel is in the buffer: nothing of its range is dropped any more */
    bool recorded;     /* the planted mistake record-late: the parcel was put */
    bool target_known; /* target is that of the parcel */
    bool is_foreign;   /* the parcel was cut for another type of uplink: flow_recut.c */
    bool in_doubt;     /* something of the parcel may be stored by a try that nobody knows about */
    struct parcel parcel;
    struct target target;
    struct flow_batch *batches[PARCEL_PART_MAX];
    unsigned lent_count;
    enum flow_task wanted; /* what it wants the workspace for */
    uint32_t wanted_part;
    /* TASK_ASIDE: sequences up to this are set aside already; TASK_CUT: this one is. */
    uint64_t aside_after;
    bool working;               /* has the workspace */
    bool waits_for_uplink;      /* target() or assign() said ERR_AGAIN */
    uint64_t commit;            /* awaited; 0: none */
    struct timer timer;         /* not before: linger, park, clock, backoff of target() */
    bool holds;                 /* the timer runs: nothing new is begun */
    uint64_t lingered_since_ms; /* 0: not lingering */
    bool more;     /* the last cut left events that did not fit: there is nothing to linger for */
    bool cuts_all; /* what is being cut is the last that the lane is owed */
    struct backoff backoff;
    unsigned
        attempt; /* of a batch that is made again after a long wait: the pauses go on growing */
    int alike_code;
    unsigned alike_count;
    uint64_t served;           /* forward's turn counter: least recently served first */
    uint32_t raw_per_wire_256; /* raw bytes per wire byte, times 256 */
    bool ratio_is_known;
    struct link_hold hold_on_link; /* what it has made, or is making */
    bool waits_for_link;           /* it has lingered, and would open a parcel */
    struct why fault; /* why this stream stands still while others may go on; "": nothing */
};

/* What all flows of an uplink share; ports/uplink.h's opaque struct. */
struct uplink_host {
    struct forward *forward;
    struct forward_uplink setup;
    struct uplink *uplink;
    struct flow *flows; /* one per stream carried, and one for its backfill where that may be */
    size_t flow_count;
    struct debt *debts; /* one per stream carried */
    size_t debt_count;
    struct share share; /* of backfill */
    struct link link;   /* as it measures */
    struct link_user link_user;
    size_t lent_size; /* wire bytes built or lent */
    bool shared;      /* streams of different priority, or uplinks, share the link */
    struct why fault;
    struct past_fault past;
    uint64_t told[HOST_TOLD_MAX]; /* hashes of faults that were logged since all was well */
    unsigned told_count;
    uint64_t sent_events, backfill_events, retried, aside_events, duplicates, halved, refused;
    uint64_t sent_size; /* wire bytes of parts that are done */
    uint64_t raw_size;
    struct counters counters;
};

struct forward_schema {
    uint16_t stream;
    struct schema_info info;
    struct avro_schema *parsed;
    struct columns_plan *plan; /* of `parsed`; opened when it is wanted first */
    struct key key;
};

/* A registry's id, as the buffer had it at start. */
struct forward_remote {
    uint16_t uplink;
    uint32_t schema;
    uint8_t id[REMOTE_ID_SIZE_MAX];
    size_t size;
};

struct forward {
    struct forward_setup setup;
    struct uplink_host *hosts;
    size_t host_count;
    struct forward_schema **schemas;
    size_t schema_count;
    struct forward_remote *remotes;
    size_t remote_count;
    bool remotes_failed;
    struct pack *pack;
    struct flow *worker_flow; /* has the workspace */
    struct pack_task task;
    struct parcel fresh; /* of the task, when it cuts */
    struct job job;
    uint32_t incarnation;
    char identity[FLOW_IDENTITY_SIZE]; /* agent id/incarnation of the task's events */
    uint64_t turn;
    unsigned gathering; /* several flows are being asked: who works first is decided behind that */
    bool stopping;
    bool closing;
    struct timer start_timer;
    struct timer stop_timer;
    void (*finished)(void *context);
    void *finished_context;
};

void flow_init(struct flow *flow, struct debt *debt, struct uplink_host *host,
               const struct forward_stream *stream, uint8_t lane);
void flow_release(struct flow *flow);

/* At start: the parcel that was open when the process ended. */
void flow_resume(struct flow *flow, const struct parcel *parcel);
void flow_advance(struct flow *flow);
/* Its debt knows already. What follows from it is done by flow_advance(), once all flows know. */
void flow_committed(struct flow *flow, uint64_t commit);
void flow_answer(struct flow *flow, struct flow_batch *fb, const struct send_report *report);
void flow_uplink_ready(struct flow *flow);
/* target() said ERR_AGAIN, and perhaps why. */
void flow_wait_for_uplink(struct flow *flow, const struct why *why);
/* What keeps this stream from going on, until it goes on (""): logged when it changes, shown in the
 * status. Other streams of the uplink do not change it. */
void flow_fault(struct flow *flow, const char *text);
/* The workspace did what the flow wanted. */
void flow_worked(struct flow *flow, struct pack_task *task);
/* Fills the task for what the flow wants. False: it wants nothing any more. */
bool flow_task_fill(struct flow *flow, struct pack_task *task);

/* --- of forward, for flows --- */
/* Gives the workspace to whom it is due, unless it is taken, or flows are being gathered. */
void forward_schedule(struct forward *forward);
/* Between these, flows say what they want; the last one schedules. */
void forward_gather(struct forward *forward);
void forward_gathered(struct forward *forward);
const struct forward_schema *forward_schema_find(const struct forward *forward, uint32_t schema);
/* How its rows become columns. ERR_REJECTED: it can't be parsed; ERR_NOMEM. */
enum err forward_schema_plan(const struct forward *forward, uint32_t schema,
                             const struct columns_plan **ret) MUST_USE;
/* The key of a parcel's events (ports/parcel.h: enum parcel_key). */
struct key forward_schema_key(const struct forward_schema *schema, uint32_t parcel_key);
void forward_check_finished(struct forward *forward);

/* --- forward_schema.c --- */
void forward_schema_close(struct forward_schema *schema);
/* Remembers an id of a registry; the callback of buffer_remote_each(), with forward as context.
 * Without memory for it `remotes_failed` is set. */
void forward_remote_add(void *context, uint16_t uplink, uint32_t schema, struct slice id);

/* --- forward_host.c, for forward.c --- */
enum err host_open(struct forward *forward, struct uplink_host *host,
                   const struct forward_uplink *setup, struct why *why) MUST_USE;
void host_close(struct uplink_host *host);
void host_status(const struct uplink_host *host, struct out *json);

/* --- flow_link.c --- */
void host_link_init(struct uplink_host *host);
void host_link(const struct uplink_host *host, struct uplink_link *ret);
/* The largest request now, by what was measured and by the link's rules; `hold` as
 * link_user_size_max() has it. */
uint32_t host_request_size(struct uplink_host *host, const struct link_hold *hold,
                           uint8_t priority);

#endif
