/* Kafka's requests and answers as bytes: the versions without flexible encoding that all brokers
 * from 2.1 to 4.x take, and DescribeProducers, which has no other. Field lists:
 * kafka.apache.org/protocol, "The Messages".
 *
 * Encoders write the body of a request into an out (which overflows stickily); wire_head() makes
 * what goes in front of it. Parsers check every bound; on an error (ERR_CORRUPT) nothing was
 * reported. Pure. */
#ifndef WEIR_UPLINK_KAFKA_WIRE_H
#define WEIR_UPLINK_KAFKA_WIRE_H

#include "ports/err.h"
#include "ports/slice.h"

#define WIRE_ANSWER_SIZE_MAX (1024 * 1024) /* larger answers are skipped */
#define WIRE_HEAD_SIZE_MAX 320             /* of wire_head(), with a client id of 250 bytes */
#define WIRE_NAME_SIZE_MAX 249             /* of a topic */
#define WIRE_HOST_SIZE_MAX 256
#define WIRE_PARTITION_MAX 100000 /* of one topic */

enum wire_api {
    WIRE_PRODUCE = 0,
    WIRE_FETCH = 1,
    WIRE_LIST_OFFSETS = 2,
    WIRE_METADATA = 3,
    WIRE_SASL_HANDSHAKE = 17,
    WIRE_API_VERSIONS = 18,
    WIRE_CREATE_TOPICS = 19,
    WIRE_INIT_PRODUCER_ID = 22,
    WIRE_DESCRIBE_CONFIGS = 32,
    WIRE_SASL_AUTHENTICATE = 36,
    WIRE_DESCRIBE_PRODUCERS = 61,
};
#define WIRE_API_COUNT 64

/* The version of this API that we speak. SaslAuthenticate is asked as v0 where the
 * broker has no v1. */
int16_t wire_version(enum wire_api api);

/* Size, header and client id: what goes in front of a body of `body_size` bytes. Header v1, with
 * DescribeProducers v2. */
void wire_head(struct out *o, enum wire_api api, int16_t version, int32_t correlation,
               struct slice client_id, size_t body_size);

/* --- bodies of requests --- */

/* A Produce body is: begin, then for each topic its name and number of partitions, and for each of
 * these partition() with the batch's bytes right behind. Topics and partitions must not repeat.
 * acks is always -1. */
void wire_produce_begin(struct out *o, int32_t timeout_ms, uint32_t topic_count);
void wire_produce_topic(struct out *o, struct slice name, uint32_t partition_count);
void wire_produce_partition(struct out *o, uint32_t partition, size_t records_size);

void wire_metadata_begin(struct out *o, uint32_t topic_count);
void wire_metadata_topic(struct out *o, struct slice name);
void wire_metadata_end(struct out *o, bool allow_auto_create);

/* One topic, with the broker's own numbers of partitions and replicas: since v4, Kafka 2.4. */
void wire_create_topic(struct out *o, struct slice name, int32_t timeout_ms);

void wire_init_producer_id(struct out *o);
void wire_sasl_handshake(struct out *o, const char *mechanism);
/* A SaslAuthenticate body is: this, and the token right behind it. */
#define WIRE_SASL_TOKEN_AT 4
void wire_sasl_authenticate(struct out *o, size_t token_size);
void wire_describe_producers(struct out *o, struct slice topic, uint32_t partition);

/* --- answers --- */

/* The highest version of each API that the broker names, -1: it does not have it. */
struct wire_versions {
    int16_t error;
    int16_t max[WIRE_API_COUNT];
};
enum err wire_versions_parse(struct slice body, struct wire_versions *ret) MUST_USE;

struct wire_produced {
    struct slice topic;
    uint32_t partition;
    int16_t error;
    int64_t base_offset;
    int64_t log_append_time_ms;
};
/* Reports each partition, in the answer's order, which is not the request's. `each` may be NULL. */
enum err wire_produce_parse(struct slice body,
                            void (*each)(void *context, const struct wire_produced *produced),
                            void *context, int32_t *ret_throttle_ms) MUST_USE;

struct wire_metadata_visitor {
    void *context;
    void (*node)(void *context, int32_t id, struct slice host, uint16_t port);
    void (*topic)(void *context, struct slice name, int16_t error, uint32_t partition_count);
    /* After its topic. leader -1: none at the moment. */
    void (*partition)(void *context, uint32_t index, int16_t error, int32_t leader);
};
struct wire_metadata {
    int32_t throttle_ms;
    struct slice cluster_id;
    int32_t controller; /* -1: not known */
};
enum err wire_metadata_parse(struct slice body, const struct wire_metadata_visitor *visitor,
                             struct wire_metadata *ret) MUST_USE;

struct wire_created {
    int32_t throttle_ms;
    int16_t error;
    struct slice text; /* a sentence of the broker; data NULL: none */
};
/* Of the one topic that was asked for. */
enum err wire_create_topic_parse(struct slice body, struct wire_created *ret) MUST_USE;

struct wire_producer_id {
    int32_t throttle_ms;
    int16_t error;
    int64_t producer_id;
    int16_t epoch;
};
enum err wire_init_producer_id_parse(struct slice body, struct wire_producer_id *ret) MUST_USE;

struct wire_sasl_handshake_answer {
    int16_t error;
    char mechanisms[160]; /* that the broker has, for a person */
};
enum err wire_sasl_handshake_parse(struct slice body,
                                   struct wire_sasl_handshake_answer *ret) MUST_USE;

struct wire_sasl_answer {
    int16_t error;
    struct slice text;
    struct slice token;
    int64_t lifetime_ms; /* 0: for ever */
};
enum err wire_sasl_authenticate_parse(struct slice body, int16_t version,
                                      struct wire_sasl_answer *ret) MUST_USE;

/* What the leader remembers of one producer id in the one partition that was asked for. */
struct wire_described {
    int16_t error;
    bool found;
    int32_t epoch;
    int32_t last_sequence;
};
enum err wire_describe_producers_parse(struct slice body, int64_t producer_id,
                                       struct wire_described *ret) MUST_USE;

#endif
