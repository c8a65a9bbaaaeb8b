/* The uplink `kafka`: a producer of its own over our streams, exactly once across crashes of agent
 * and broker (AFTER_A_CRASH.md). */
#ifndef WEIR_UPLINK_KAFKA_KAFKA_H
#define WEIR_UPLINK_KAFKA_KAFKA_H

#include "ports/tls.h"
#include "ports/uplink.h"
#include "uplink/aws/glue.h"
#include "uplink/kafka/sasl.h"
#include "uplink/layout/framing.h"
#include "uplink/registry/registry.h"

#define KAFKA_HEADER_MAX 16 /* of headers_set */

enum kafka_timestamp { KAFKA_TIME_SEND, KAFKA_TIME_EVENT };
enum kafka_in_doubt { KAFKA_IN_DOUBT_RESEND, KAFKA_IN_DOUBT_SET_ASIDE };

/* What is different for one stream. */
struct kafka_stream_options {
    int64_t message_size_max; /* 0: as for all */
    const char *tombstone;    /* NULL: no tombstones */
};

struct kafka_options {
    struct option_list brokers; /* const char *: "host:port" */
    const char *topic;          /* with {stream} and {agent} */
    const char *client_id;
    int64_t service; /* enum kafka_service_name */
    struct tls_options tls;
    struct sasl_options sasl;
    struct registry_options registry;
    struct glue_options glue;
    int64_t framing;   /* enum framing */
    int64_t timestamp; /* enum kafka_timestamp */
    bool headers;
    struct option_map headers_set; /* of const char *, with {stream} and {agent} */
    int64_t compression_level;
    const char *dictionary; /* NULL: none */
    int64_t in_doubt;       /* enum kafka_in_doubt */
    int64_t in_doubt_read_max;
    int64_t request_timeout_ms;
    int64_t message_size_max;
    int64_t topic_create; /* enum topic_create */
    int64_t clock_wait_ms;
    struct option_map per_stream; /* of struct kafka_stream_options */
};
extern const struct option kafka_table[];
extern const struct uplink_class kafka_uplink_class;

/* Bytes of the largest batch that may go to the topic of this stream. */
uint32_t kafka_message_size_max(const struct kafka_options *options, const char *stream);
/* Of zstd, for batches of this enum layout; 0: they are not compressed. */
int kafka_compression_level(const struct kafka_options *options, uint8_t layout);

/* The topic's name of a stream. ERR_CONFIG: Kafka does not allow it. */
enum err kafka_topic_put(const char *pattern, const char *stream, const char *agent_id,
                         char ret[TARGET_NAME_SIZE_MAX], struct why *why) MUST_USE;

#endif
