/* The uplink `kafka`: a producer of its own over our streams, exactly once across crashes of agent
 * and broker (AFTER_A_CRASH.md). */
#ifndef WEIR_UPLINK_KAFKA_KAFKA_H
#define WEIR_UPLINK_KAFKA_KAFKA_H

#include "ports/tls.h"
#include "ports/uplink.h"
#include "uplink/kafka/sasl.h"
#include "uplink/registry/registry.h"

enum kafka_timestamp { KAFKA_TIME_SEND, KAFKA_TIME_EVENT };
enum kafka_in_doubt { KAFKA_IN_DOUBT_RESEND, KAFKA_IN_DOUBT_SET_ASIDE };

struct kafka_options {
    struct option_list brokers; /* const char *: "host:port" */
    const char *topic;          /* with {stream} and {agent} */
    const char *client_id;
    struct tls_options tls;
    struct sasl_options sasl;
    struct registry_options registry;
    int64_t timestamp; /* enum kafka_timestamp */
    bool headers;
    int64_t compression_level;
    int64_t in_doubt; /* enum kafka_in_doubt */
    int64_t request_timeout_ms;
    int64_t message_size_max;
    int64_t topic_create; /* enum topic_create */
    int64_t clock_wait_ms;
};
extern const struct option kafka_table[];
extern const struct uplink_class kafka_class;

/* The topic's name of a stream. ERR_CONFIG: Kafka does not allow it. */
enum err kafka_topic_put(const char *pattern, const char *stream, const char *agent_id,
                         char ret[TARGET_NAME_SIZE_MAX], struct why *why) MUST_USE;

#endif
