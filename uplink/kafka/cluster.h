/* The brokers of one cluster: who leads which partition, and a connection to those that are needed.
 * Metadata is asked for when something is not known or an answer says that it is wrong, and when it
 * is used and old; never while nothing is to be sent. Loop thread. */
#ifndef WEIR_UPLINK_KAFKA_CLUSTER_H
#define WEIR_UPLINK_KAFKA_CLUSTER_H

#include "uplink/kafka/connection.h"

struct cluster;

/* What happens to a topic that is missing. */
enum topic_create {
    TOPIC_CREATE_NEVER,
    TOPIC_CREATE_BROKER, /* the broker creates it, if it is set up to: asking for it is enough */
    TOPIC_CREATE_ALWAYS, /* else we do */
};

#define CLUSTER_NODE_MAX 1024
#define CLUSTER_TOPIC_MAX 512

struct cluster_setup {
    struct connection_settings connection; /* copied */
    const char *const *brokers;            /* "host:port": where to ask first */
    size_t broker_count;
    enum topic_create topic_create;
    void *context;
    /* Something may be possible now that was not: metadata came, a connection has room, or has
     * ended. Never within a call of the user's. */
    void (*changed)(void *context);
};

/* "host", "host:port", "[::1]", "[::1]:port"; *ret_host points into the text. ERR_CONFIG: it is none. */
enum err cluster_broker_parse(const char *text, struct slice *ret_host, uint16_t *ret_port,
                              struct why *why) MUST_USE;

/* ERR_CONFIG: an entry of `brokers` can't be read. */
enum err cluster_open(struct cluster **ret, const struct cluster_setup *setup,
                      struct why *why) MUST_USE;
/* Requests that are under way are not answered any more. NULL is allowed. */
void cluster_close(struct cluster *cluster);
/* No new connections, no metadata. What is open stays. */
void cluster_stop(struct cluster *cluster);
/* Ends all connections: their requests are answered with ERR_CLOSED. */
void cluster_cut(struct cluster *cluster);

/* What is known of a topic. ERR_OK: there are partitions. ERR_AGAIN: asked for, changed() follows;
 * when that takes long, *why says what is missing, else it is left as it is. ERR_CONFIG: the name is not allowed. ERR_REJECTED: no right to it, or it can't be had for now;
 * both are asked again by the next call. */
enum err cluster_topic(struct cluster *cluster, const char *name, uint32_t *ret_partition_count,
                       struct why *why) MUST_USE;
/* True when the brokers have said for a while that the topic is not there; *why says what to do. */
bool cluster_topic_is_missing(struct cluster *cluster, const char *name, struct why *why) MUST_USE;
/* A connection to the leader that has room. ERR_AGAIN: changed() follows when there may be one.
 * ERR_REJECTED: the topic has had fewer partitions for ten minutes: it is not the same any more. */
enum err cluster_leader(struct cluster *cluster, const char *topic, uint32_t partition,
                        struct connection **ret) MUST_USE;
/* The same for what is urgent while others keep the first connection busy: it may be a second one. */
enum err cluster_leader_urgent(struct cluster *cluster, const char *topic, uint32_t partition,
                               struct connection **ret) MUST_USE;
/* Is a broker known that leads it, by what metadata said last? */
bool cluster_has_leader(struct cluster *cluster, const char *topic, uint32_t partition) MUST_USE;
/* Since when that broker is known to be up and to lead; `connection` is what cluster_leader() gave. */
uint64_t cluster_leader_since_ms(struct cluster *cluster, const char *topic, uint32_t partition,
                                 const struct connection *connection);
/* Any connection that has room, opened if there is none. ERR_AGAIN: changed() follows. */
enum err cluster_any(struct cluster *cluster, struct connection **ret) MUST_USE;
/* There is a token to log in with, or a reason why there is none. */
void cluster_token_changed(struct cluster *cluster);
/* An answer said that what is known of the topic is wrong. */
void cluster_refresh(struct cluster *cluster, const char *topic);

/* Ends all connections in the next turn, their bytes are counted now; then they are opened anew. */
void cluster_relink(struct cluster *cluster);

/* "" until the first answer. */
const char *cluster_id(const struct cluster *cluster);
/* Why nothing works at the moment; NULL: nothing is known to be wrong. `ret_e` may be NULL. */
const struct why *cluster_fault(const struct cluster *cluster, enum err *ret_e);

#endif
