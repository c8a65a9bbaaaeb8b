/* What the files of the sender share: sender.c gives batches their requests, sender_build.c is what a
 * service fills them with. */
#ifndef WEIR_UPLINK_HTTP_SENDER_IMPL_H
#define WEIR_UPLINK_HTTP_SENDER_IMPL_H

#include "uplink/http/sender.h"

enum sender_phase {
    SENDER_WAITS,      /* for its turn */
    SENDER_WAITS_KICK, /* for what build() lacks */
    SENDER_SLEEPS,     /* until `later` */
    SENDER_IS_OPEN,    /* its request is under way */
};

/* A batch that is lent. */
struct sender_job {
    struct sender_job *next; /* in the order in which they were put */
    struct sender_request request;
    struct sender_slot *slot; /* while a request is built and under way */
    enum sender_phase phase;
    bool is_probe;    /* its request began while the service was out */
    bool is_cut;      /* the link changed under its request */
    bool is_begun;    /* a request of it was answered, and another one follows */
    bool is_in_doubt; /* a request of it may be stored, and nobody knows */
    unsigned attempt; /* SENDER_LATER in a row */
    struct timer later;
};

/* Memory for one request. */
struct sender_slot {
    struct sender_job *job; /* whose it is now */
    uint8_t *text;          /* SENDER_TEXT_SIZE bytes, from the first use on */
    uint8_t *body;
    size_t body_size;
};

struct sender {
    struct uplink_setup uplink;
    const struct sender_service *service;
    void *context;
    const struct tls_options *tls;
    uint32_t timeout_ms;
    struct http *http;
    struct server_clock clock;
    struct sender_job *jobs;
    struct batch *refused; /* no job could be made of them */
    unsigned open_count;   /* requests under way */
    struct timer turn;
    struct timer grace;
    bool is_stopping;
    bool has_fault;
    bool is_out;      /* the last answer was none */
    unsigned attempt; /* failures in a row */
    uint64_t next_ms; /* while it is out: no request before */
    struct sender_slot slots[SENDER_REQUEST_MAX];
};

#endif
