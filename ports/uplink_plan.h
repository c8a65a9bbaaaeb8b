/* What an uplink says, as sizes and without a network: for `weir plan`. Each class that can be reckoned
 * has a struct uplink_plan. No class refers to its own: what no plan names is not linked. Pure. */
#ifndef WEIR_PORTS_UPLINK_PLAN_H
#define WEIR_PORTS_UPLINK_PLAN_H

#include "ports/uplink.h"

#define UPLINK_TALK_PIECE_MAX 36
#define UPLINK_LOGIN_MAX 6

/* A request and its answer. */
struct uplink_talk {
    uint32_t pieces[UPLINK_TALK_PIECE_MAX]; /* each is written on its own */
    size_t piece_count;
    uint32_t payload; /* of them: the events, laid out and compressed */
    uint32_t answer;
};

/* How it is connected. */
struct uplink_way {
    bool is_ipv6;
    bool has_tls;
    bool has_own_certificate;
    /* With TLS: the far end does not pad its records, and takes the ticket that it gave. */
    bool is_web;
    uint32_t idle_ms;    /* a connection that is silent for so long is not used again */
    uint32_t refresh_ms; /* refresh() is said so often while events flow */
    unsigned lane_count; /* parts of a parcel that are under way at a time */
};

struct uplink_plan_setup {
    const void *options; /* of the class */
    const char *agent_id;
    uint32_t partition_count; /* of a topic, where it has any; shards */
    bool is_http1;            /* the way to the service has no HTTP/2 */
};

/* A parcel that is packed. */
struct uplink_plan_parcel {
    const struct parcel *parcel;
    const struct target *target;
    const struct slice *wires; /* wrap()'s bytes of each part; may be patched */
};

struct uplink_plan {
    const struct uplink_class *class_;
    /* Compression of this level, unless NULL; TLS (1) or none (0), unless below 0. What the uplink can't
     * have stays as it is. NULL: so does everything. */
    void (*change)(void *options, const int *level, int tls);
    void (*way)(const struct uplink_plan_setup *setup, struct uplink_way *ret);
    /* As the class' target() says it when all is known. Set by the caller: its layout. */
    enum err (*target)(const struct uplink_plan_setup *setup, const struct stream_info *stream,
                       const struct schema_info *schema, struct target *ret,
                       struct why *why) MUST_USE;
    /* What comes on a connection before the first request, and what that one has more than others. Returns
     * how many. */
    size_t (*login)(const struct uplink_plan_setup *setup,
                    struct uplink_talk ret[UPLINK_LOGIN_MAX]);
    /* What is asked about a target now and then. NULL: nothing. */
    void (*refresh)(const struct uplink_plan_setup *setup, const struct target *target,
                    struct uplink_talk *ret);
    /* put() for each request of a parcel, in order. ERR_NOMEM. */
    enum err (*send)(const struct uplink_plan_setup *setup, const struct uplink_plan_parcel *parcel,
                     void (*put)(void *context, const struct uplink_talk *talk),
                     void *context) MUST_USE;
};

#endif
