/* Inside of the uplink pubsub: pubsub.c is the class, pubsub_send.c what goes out and what answers
 * mean, pubsub_request.c the bytes of a request. */
#ifndef WEIR_UPLINK_GOOGLE_PUBSUB_IMPL_H
#define WEIR_UPLINK_GOOGLE_PUBSUB_IMPL_H

#include "uplink/google/grpc.h"
#include "uplink/google/pubsub.h"
#include "uplink/google/pubsub_done.h"
#include "uplink/google/pubsub_wire.h"
#include "uplink/google/token.h"
#include "uplink/http/sender.h"

#define PUBSUB_SCOPE "https://www.googleapis.com/auth/pubsub"
#define PUBSUB_AUDIENCE "https://pubsub.googleapis.com/" /* of all its endpoints */
#define PUBSUB_ENDPOINT_SIZE 300

struct probe;
struct probe_setup;

struct pubsub {
    struct uplink uplink;
    struct uplink_host *host;
    const struct pubsub_options *options;
    struct loop *loop;
    const char *agent_id;
    struct sender *sender;
    struct google_token *token; /* NULL: none is sent */
    struct pubsub_done *done;
    char endpoint[PUBSUB_ENDPOINT_SIZE];
    bool is_plain; /* http:// */
    bool by_rest;  /* now */
    struct timer grpc_again;
    bool had_grpc;        /* an answer of it has come */
    unsigned odd_count;   /* answers in a row that were not gRPC's */
    unsigned reset_count; /* requests in a row that were cut while they were sent */
    uint32_t size_max;    /* bytes of a request that went through, or may */
    bool has_fault;
};

/* What an answer said. */
struct pubsub_said {
    int code; /* enum grpc_code */
    char text[160];
};

/* One batch at work: one request after the other over its groups. */
struct pubsub_state {
    bool is_begun;
    bool by_rest;              /* the request under way */
    struct grpc_status status; /* of the answer under way */
    struct pubsub_group group; /* of the request under way */
    uint32_t first, count;     /* its messages */
    size_t at;                 /* of the group in the wire */
    uint32_t limit;            /* messages of a request while the bad one is looked for; 0: all */
    bool has_failed;           /* a key has, in this pass over the groups */
    uint32_t failed_key;       /* the last of them: its later messages wait */
    unsigned fail_count;       /* in a row */
    unsigned pass_count;       /* in a row that did not send all */
    unsigned refused_count;    /* messages that are refused by themselves */
    bool was_refused_token;
    uint64_t token_number;
    int64_t retry_after_ms;
    struct pubsub_said said;    /* the last answer */
    struct pubsub_said failed;  /* the last that may be tried again */
    struct pubsub_said refused; /* the last that refused a message */
};

/* --- pubsub.c --- */

/* Where the service is, by the options or the environment, without a '/' at its end. */
void pubsub_endpoint(const struct pubsub_options *options, char ret[PUBSUB_ENDPOINT_SIZE]);

/* As the class' target(); of a link that carries any size. */
enum err pubsub_target_put(const struct pubsub_options *options, const char *agent_id,
                           const struct stream_info *stream, const struct schema_info *schema,
                           struct target *ret, struct why *why) MUST_USE;

/* --- pubsub_probe.c: uplink_class.probe() --- */

enum err pubsub_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

/* --- pubsub_request.c --- */

/* "ENDPOINT/v1/TOPIC:VERB" into `ret`. False: it does not fit. */
bool pubsub_rest_url(struct out *ret, const char *endpoint, const char *topic, const char *verb);

/* Fills r->http with the messages of the state, as many of them as one request takes: state->count may
 * become less. ERR_AGAIN: there is no token yet. Other errors: *ret says why. */
enum err pubsub_request(struct pubsub *p, struct sender_request *r,
                        struct send_report *ret) MUST_USE;

/* --- pubsub_send.c --- */

extern const struct sender_service pubsub_service;

#endif
