/* What the files of a plan share: plan_run.c has the simulated time, plan_send.c what goes
 * out, plan_month.c what becomes of it in a month. */
#ifndef WEIR_AGENT_PLAN_IMPL_H
#define WEIR_AGENT_PLAN_IMPL_H

#include "agent/pack.h"
#include "agent/plan.h"
#include "ports/uplink_plan.h"

/* How this class is reckoned; NULL: it is not. plan_class.c. */
const struct uplink_plan *plan_class(const struct uplink_class *class_);

/* An uplink that is planned. */
struct plan_host {
    const struct plan_setup *setup;
    struct plan_uplink *result;
    const struct uplink_plan *plan;
    void *options; /* a copy, with the change */
    struct uplink_plan_setup uplink;
    struct uplink_way way;
    double login; /* a connection is made: bytes */
    struct forward_uplink forward;
    struct plan_wire wire;
    struct pack *pack;
    int64_t keepalive_ms; /* a connection that is silent is asked after */
    int64_t last_ms;      /* when something was said last */
    double busy_ms;       /* with a request under way */
    double sent;          /* bytes of requests; and how many there were */
    double requests;
};

struct plan_flow {
    struct plan_host *host;
    struct plan_line *line;
    const struct plan_stream *stream;
    size_t stream_index;
    size_t next; /* index of the first event that is still owed */
    bool more;   /* the last cut left some */
    bool is_busy;
    int64_t answer_ms; /* busy: when the answer comes */
    int64_t linger_ms; /* since when it lingers; -1: it does not */
    int64_t wake_ms;   /* when that is over */
    struct target target;
    double refresh; /* bytes of what is asked about it now and then */
    double cut;     /* events that have gone */
};

/* Packs and sends what is owed up to index `stored`, as much as one request takes. ERR_REJECTED: the
 * first of them can't be sent; it is left out. */
enum err plan_send(struct plan_flow *flow, size_t stored, int64_t now_ms, struct why *why) MUST_USE;
/* A connection is made: bytes, into host->login. */
void plan_login(struct plan_host *host);
/* What is asked about its target now and then, into flow->refresh. */
void plan_refresh(struct plan_flow *flow);
/* Bytes of raw events that one request takes. */
size_t plan_raw_size_max(const struct plan_host *host);

/* --- plan_month.c: when the simulated time is over --- */
void plan_month_flow(struct plan_flow *flow);
/* Behind its flows; the sample is so long. */
void plan_month_host(struct plan_host *host, int64_t end_ms);

#endif
