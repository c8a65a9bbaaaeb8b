/* The uplink `pubsub`: Google Cloud Pub/Sub by unary gRPC over HTTP/2, or by REST (PUBSUB.md). */
#ifndef WEIR_UPLINK_GOOGLE_PUBSUB_H
#define WEIR_UPLINK_GOOGLE_PUBSUB_H

#include "ports/tls.h"
#include "ports/uplink.h"

enum pubsub_transport { PUBSUB_AUTO, PUBSUB_GRPC, PUBSUB_REST };
enum pubsub_ordering { PUBSUB_ORDER_KEY, PUBSUB_ORDER_AGENT, PUBSUB_ORDER_NONE };
enum pubsub_attributes { PUBSUB_ATTRIBUTES_ID, PUBSUB_ATTRIBUTES_ALL, PUBSUB_ATTRIBUTES_NONE };

struct pubsub_options {
    const char *project; /* NULL: the topic has it */
    const char *topic;   /* with {stream} and {agent} */
    const char *endpoint;
    int64_t transport; /* enum pubsub_transport */
    int64_t ordering;  /* enum pubsub_ordering */
    int64_t framing;   /* enum framing */
    int64_t attributes;
    bool compress;
    const char *dictionary;  /* NULL: none */
    const char *credentials; /* NULL: as Google's tools look for them */
    struct tls_options tls;
    int64_t request_timeout_ms;
};
extern const struct option pubsub_table[];
extern const struct uplink_class pubsub_uplink_class;
struct uplink_plan;
extern const struct uplink_plan pubsub_uplink_plan; /* pubsub_plan.c */

/* "projects/P/topics/T" of a stream. ERR_CONFIG: *why says what is wrong with it. */
enum err pubsub_topic_put(const struct pubsub_options *options, const char *stream,
                          const char *agent_id, char ret[TARGET_NAME_SIZE_MAX],
                          struct why *why) MUST_USE;

/* uplink_class.wrap(): one part as groups (pubsub_wire.h). */
enum err pubsub_wrap(const void *options, const struct batch *batch, struct out *ret) MUST_USE;
/* Bytes of a request that messages with the attributes of ours may have. */
uint32_t pubsub_size_max(const struct pubsub_options *options);

#endif
