/* A Kafka cluster without a network: bytes of requests go in, bytes of answers come out. It
 * decides about idempotent batches as Kafka's leaders do (five batches remembered for each
 * producer id, one after a restart, none once it expired), keeps the log, and misbehaves as it is
 * told. One thread. */
#ifndef WEIR_TESTS_SIM_KAFKA_BROKER_H
#define WEIR_TESTS_SIM_KAFKA_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ports/slice.h"

#define BROKER_NODE_MAX 4
#define BROKER_PARTITION_MAX 32
#define BROKER_PID_MAX 64   /* remembered in one partition */
#define BROKER_CACHED_MAX 5 /* batches of each */
#define BROKER_FAULT_MAX 64

struct broker;      /* the cluster */
struct broker_peer; /* one client's connection to one node */

enum broker_fault_kind {
    BROKER_CODE,         /* every partition answers `code`, nothing is stored */
    BROKER_CODE_STORED,  /* it is stored, and answers `code` */
    BROKER_LATE,         /* stored, answered after `value` ms */
    BROKER_NEVER,        /* stored, not answered */
    BROKER_NEVER_LOST,   /* neither */
    BROKER_TWICE,        /* answered twice */
    BROKER_CLOSE,        /* nothing is stored, the connection ends */
    BROKER_CLOSE_STORED, /* stored, the connection ends after `value` bytes of the answer */
    BROKER_THROTTLE,     /* stored, with a throttle time of `value` ms */
    BROKER_SHORT,        /* stored, the answer leaves the partitions out */
    BROKER_CUT,          /* stored, the answer lacks its last `value` bytes */
};

/* Happens to the next request of this kind. */
struct broker_fault {
    int16_t api;
    enum broker_fault_kind kind;
    int16_t code;
    uint32_t value;
};

#define BROKER_RANGE_MAX 12

/* Versions 0..max of an API. */
struct broker_range {
    int16_t api, max;
};

struct broker_options {
    unsigned node_count; /* 0: 1 */
    const char *cluster_id;
    const char *user; /* NULL: no login */
    const char *password;
    const char *mechanism; /* NULL: PLAIN; SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER: the
                            * password is the token; AWS_MSK_IAM: it is the user's secret */
    int64_t password_ms;   /* a password is good for so long, as tokens are; 0: for ever */
    int64_t session_ms;    /* a login is good for so long; 0: for ever */
    int16_t metadata_max;  /* version of Metadata; 0: the newest */
    int16_t describe_max;  /* version of DescribeProducers, -1: an old broker */
    size_t batch_size_max; /* 0: 1048588 */
    bool topic_create;     /* as auto.create.topics.enable, with one partition */
    bool log_append_time;
    int16_t create_code; /* what the first node answers to CreateTopics; 0: it is created */
    bool create_is_old;  /* clients can't leave the numbers of partitions and replicas open */
    int16_t absent_api;  /* this one the broker does not have; 0: it has them all */
    int16_t endless_api; /* ListOffsets, Fetch: it knows no end of a log */
    bool read_denied;    /* no right to READ: neither to describe producers nor to fetch */
    /* What Redpanda and Event Hubs are like. */
    int16_t produce_max;                          /* version of Produce; 0: as Kafka 4 */
    struct broker_range ranges[BROKER_RANGE_MAX]; /* that differ from those of Kafka 4 */
    unsigned range_count;
    size_t request_size_max; /* a larger one ends the connection; 0: 4 MiB */
    bool plain_only;         /* no compression, no producer ids */
    int64_t idle_ms;         /* silent so long a connection is dead, and nobody is told; 0: none */
};

struct broker *broker_open(const struct broker_options *options);
void broker_close(struct broker *broker);
/* Milliseconds since 1970 as the brokers see them. */
void broker_time_set(struct broker *broker, int64_t now_ms);
/* Where clients find the node. */
void broker_address_set(struct broker *broker, unsigned node, const char *host, uint16_t port);
void broker_topic_add(struct broker *broker, const char *name, uint32_t partition_count);
void broker_topic_remove(struct broker *broker, const char *name);
void broker_create_code_set(struct broker *broker, int16_t code);
void broker_partitions_set(struct broker *broker, const char *name, uint32_t partition_count);
/* What the user may do with the topic: bits as in Kafka's AclOperation. At first everything. */
void broker_operations_set(struct broker *broker, const char *name, int32_t operations);
/* A setting that DescribeConfigs tells; `code` other than 0: it refuses to tell any. */
void broker_setting_set(struct broker *broker, const char *name, const char *setting,
                        const char *value);
void broker_settings_code_set(struct broker *broker, const char *name, int16_t code);
void broker_batch_size_set(struct broker *broker, size_t batch_size_max);
void broker_leader_set(struct broker *broker, const char *name, uint32_t partition, unsigned node);
/* kill -9, and start again: of each producer id only the last batch is remembered.
 * Connections end. */
void broker_node_stop(struct broker *broker, unsigned node);
void broker_node_start(struct broker *broker, unsigned node);
/* What producer.id.expiration.ms does: forgets ids whose last time stamp is older;
 * returns how many. */
size_t broker_expire(struct broker *broker, int64_t age_ms);
/* Ends all connections, as brokers do with those that are idle. */
void broker_connections_end(struct broker *broker);
/* The password of the user has been changed. */
void broker_password_set(struct broker *broker, const char *password);
/* Another cluster takes this one's place: new id, empty logs. */
void broker_replace(struct broker *broker, const char *cluster_id);
/* Another cluster answers from now on, on the connections that are there: behind a load balancer,
 * say. It has the same topics, and gives producer ids of its own. */
void broker_id_set(struct broker *broker, const char *cluster_id);
void broker_fault_add(struct broker *broker, const struct broker_fault *fault);
/* Asked about each request for which no fault was added: true when *ret happens to it. */
void broker_chooser_set(struct broker *broker,
                        bool (*choose)(void *context, int16_t api, struct broker_fault *ret),
                        void *context);
size_t broker_fault_count(const struct broker *broker); /* that have not happened yet */
void broker_faults_clear(struct broker *broker);
uint64_t broker_request_count(const struct broker *broker, int16_t api);

/* The last `count` records of a partition are not replicated: they can't be read. */
void broker_lag_set(struct broker *broker, const char *name, uint32_t partition, size_t count);
/* Retention: nothing before the record `index` can be read any more. */
void broker_log_delete(struct broker *broker, const char *name, uint32_t partition, size_t index);
/* Compaction: the batch that begins with the record `index` is gone. */
void broker_log_compact(struct broker *broker, const char *name, uint32_t partition, size_t index);

/* Another clock stamped these records. */
void broker_log_time_set(struct broker *broker, const char *name, uint32_t partition, size_t index,
                         size_t count, int64_t time_ms);

struct broker_watch {
    /* A batch stands in the log now, as the records from `first` on. NULL: nobody looks. */
    void (*appended)(void *context, const char *topic, uint32_t partition, size_t first,
                     size_t count);
    /* Is a record with this body bad? Its batch is answered with INVALID_RECORD. NULL: none is. */
    bool (*refuses)(void *context, struct slice body);
    void *context;
};
void broker_watch_set(struct broker *broker, const struct broker_watch *watch);

/* NULL: the node is down. */
struct broker_peer *broker_peer_open(struct broker *broker, unsigned node);
void broker_peer_close(struct broker_peer *peer);
/* False: the broker ends the connection, after what broker_peer_output() still has. */
bool broker_peer_input(struct broker_peer *peer, struct slice bytes);
bool broker_peer_is_open(const struct broker_peer *peer);
/* What is to be sent now. */
struct slice broker_peer_output(struct broker_peer *peer);
void broker_peer_sent(struct broker_peer *peer, size_t size);
/* Milliseconds until an answer that is held back is due; -1: none is. */
int64_t broker_peer_due_ms(const struct broker_peer *peer);

struct broker_record {
    struct slice key, body, header; /* header: value of the first */
    int64_t time_ms;
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence;
    uint32_t batch_count; /* of the batch that it begins; 0: it is not the first */
    bool is_gone;         /* compacted */
    bool is_backfill;
};
/* The log of a partition. */
size_t broker_log_count(const struct broker *broker, const char *topic, uint32_t partition);
const struct broker_record *broker_log_at(const struct broker *broker, const char *topic,
                                          uint32_t partition, size_t index);

#endif
