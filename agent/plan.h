/* What a configuration will put on its links: the events of a sample go, on simulated time, through
 * the rules by which the agent commits, lingers, cuts and packs, and through the packing itself;
 * what their bytes have around them on the wire is reckoned (plan_wire.h, ports/uplink_plan.h). PLAN.md
 * says how. Nothing is sent or stored. One thread. */
#ifndef WEIR_AGENT_PLAN_H
#define WEIR_AGENT_PLAN_H

#include "agent/plan_sample.h"
#include "agent/plan_wire.h"

#define PLAN_MONTH_SECONDS 2629800.0 /* 30.4375 days: a twelfth of 365.25 */

/* What the link and the brokers are like. */
struct plan_setup {
    const struct plan_sample *sample;
    uint32_t mtu;
    double loss;               /* share of the packets */
    double reconnects_per_day; /* connections that are cut; not those that end for being silent */
    double outages_per_day;    /* the link says nothing, and goes on; and how long each time */
    double outage_seconds;
    uint32_t round_trip_ms; /* from a request to its answer */
    uint32_t partitions;    /* of each topic */
    uint32_t chain_size;    /* of the other end's certificates */
    bool is_http1;          /* there is no HTTP/2 on the way */
};

/* What is to be other than in the configuration, for all uplinks. */
struct plan_change {
    int64_t linger_ms; /* -1: as configured */
    int layout;        /* enum layout; 0: as configured */
    int level;         /* of compression; PLAN_LEVEL_KEEP: as configured */
    int tls;           /* 0, 1; -1: as configured */
};
#define PLAN_LEVEL_KEEP (-2)

/* A stream at an uplink; all of a month. */
struct plan_line {
    const struct plan_stream *stream;
    struct plan_bytes bytes;
    double events;
    double requests;
    /* The sample ends before the first request would go: one was made of all of it. */
    bool is_short;
    size_t bad; /* events of the sample that no request can carry */
};

struct plan_uplink {
    const struct config_uplink *config;
    bool is_counted; /* false: nothing of it goes over a network that weir knows how to reckon */
    struct plan_line *lines;
    size_t line_count;
    struct plan_bytes connection; /* what belongs to no stream: handshakes, keep-alives */
    double connects;
    double bytes_sum; /* of lines and connection */
    enum layout layout;
};

struct plan {
    struct plan_uplink *uplinks;
    size_t uplink_count;
    double bytes_sum;
};

/* ERR_CONFIG: the change can't be made (*why). ERR_NOMEM. */
enum err plan_open(struct plan **ret, const struct plan_setup *setup,
                   const struct plan_change *change, struct why *why) MUST_USE;
/* NULL is allowed. */
void plan_close(struct plan *plan);

/* --- plan_print.c --- */

struct plan_choice {
    const char *name;
    struct plan_change change;
    double bytes_sum;    /* below 0: it can't be had */
    double *uplink_sums; /* one an uplink */
    struct why why;      /* then */
};

void plan_print(const struct plan_setup *setup, const struct plan *plan,
                const struct plan_choice *choices, size_t choice_count);
void plan_print_json(const struct plan_setup *setup, const struct plan *plan,
                     const struct plan_choice *choices, size_t choice_count);
/* Bytes a month of the uplinks that prefer this link. */
double plan_link_sum(const struct config *config, size_t link, const double *uplink_sums);

#endif
