/* What the files of the double share: kafka_broker.c has the cluster, kafka_log.c the partitions,
 * kafka_request.c and kafka_read.c requests and answers, kafka_peer.c connections,
 * kafka_describe.c what topics and brokers are set to. */
#ifndef WEIR_TESTS_SIM_KAFKA_BROKER_IMPL_H
#define WEIR_TESTS_SIM_KAFKA_BROKER_IMPL_H

#include "ports/lib/zstd.h"
#include "tests/sim/kafka_broker.h"
#include "uplink/kafka/wire.h"

#define BROKER_TOPIC_MAX 16
#define BROKER_PEER_MAX 64
#define BROKER_PLAIN_SIZE_MAX (8 * 1024 * 1024) /* records of a batch, decompressed */

struct cached {
    int32_t first, last;
    int64_t offset, time_ms;
};

struct pid {
    int64_t id;
    int16_t epoch;
    struct cached cached[BROKER_CACHED_MAX];
    unsigned cached_count;
};

struct partition {
    unsigned leader;
    struct pid pids[BROKER_PID_MAX];
    unsigned pid_count;
    struct broker_record *log;
    size_t log_count, log_room;
    size_t log_start;    /* what was before is deleted */
    size_t unreplicated; /* records at the end */
};

#define BROKER_SETTING_MAX 16

struct setting {
    char name[48], value[32];
};

struct topic {
    char name[256];
    int32_t operations;
    int16_t settings_code;
    struct setting settings[BROKER_SETTING_MAX];
    unsigned setting_count;
    uint32_t partition_count;
    struct partition partitions[BROKER_PARTITION_MAX];
};

struct node {
    bool up;
    char host[64];
    uint16_t port;
};

struct broker {
    struct broker_options options;
    char cluster_id[64];
    struct node nodes[BROKER_NODE_MAX];
    struct topic *topics[BROKER_TOPIC_MAX];
    unsigned topic_count;
    int64_t now_ms;
    int64_t password_set_ms;
    int64_t pid_next;
    struct broker_fault faults[BROKER_FAULT_MAX];
    size_t fault_count;
    bool (*choose)(void *context, int16_t api, struct broker_fault *ret);
    void *choose_context;
    struct broker_watch watch;
    uint64_t requests[WIRE_API_COUNT];
    struct broker_peer *peers[BROKER_PEER_MAX];
    struct zstd_decoder *decoder;
    uint8_t *plain; /* of BROKER_PLAIN_SIZE_MAX */
};

/* The login of one connection. */
struct login {
    int64_t done_ms; /* when it logged in; -1: it has not */
    bool begun;      /* the handshake was, the last token has not come */
    unsigned step;
    int64_t session_ms; /* 0: for ever */
    char nonce[128];
    char auth_message[1024]; /* of SCRAM, so far */
};

/* One request that is being answered. */
struct call {
    struct broker *broker;
    unsigned node;
    struct login *login; /* the connection's */
    int16_t api, version;
    uint32_t correlation;
    bool has_fault;
    struct broker_fault fault;
    struct slice body;
    struct out answer;
};

struct topic *broker_topic_find(const struct broker *broker, struct slice name);
/* A topic that the test has made. */
struct topic *broker_topic_of(const struct broker *broker, const char *name);
bool broker_fault_take(struct broker *broker, int16_t api, struct broker_fault *ret);

void partition_clear(struct partition *partition);
/* What the leader does with one batch; returns Kafka's code. */
int16_t partition_take(struct broker *broker, struct partition *partition, struct slice batch,
                       int64_t *ret_offset, int64_t *ret_append_ms);

unsigned broker_peer_node(const struct broker_peer *peer);
/* The node ends the connection. */
void broker_peer_end(struct broker_peer *peer);

/* SaslHandshake and SaslAuthenticate: kafka_sasl.c. */
bool call_sasl(struct call *call);
bool call_has(const struct call *call, enum broker_fault_kind kind);
struct slice call_take_string(struct slice *s);
/* kafka_describe.c: DescribeConfigs v1. */
bool call_describe_configs(struct call *call);
/* False, as of all calls: the connection ends, as with everything that can't be read. */
bool call_list_offsets(struct call *call);
bool call_fetch(struct call *call);
bool call_run(struct call *call);

#endif
