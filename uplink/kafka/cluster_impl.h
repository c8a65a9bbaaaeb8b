/* What the files of a cluster share: cluster.c decides, cluster_node.c keeps the brokers,
 * cluster_metadata.c asks who leads what and takes the answers. Loop thread. */
#ifndef WEIR_UPLINK_KAFKA_CLUSTER_IMPL_H
#define WEIR_UPLINK_KAFKA_CLUSTER_IMPL_H

#include "ports/parcel.h"
#include "uplink/kafka/cluster.h"

#define METADATA_TOPIC_MAX 32 /* of one request */
#define PARK_MS (60 * 1000)   /* a setting or a right is missing: hammering gets accounts locked */
#define TOPIC_TEXT_SIZE 160
#define UNKNOWN_TOPIC 3 /* the code of a topic that is missing */

struct node {
    struct cluster *cluster;
    struct node *next;
    int32_t id; /* below 0: an entry of `brokers`, whose id is not known */
    char host[WIRE_HOST_SIZE_MAX];
    uint16_t port;
    bool seen; /* in the metadata that is being read */
    struct connection *connection;
    bool was_ready; /* this connection was */
    unsigned attempt;
    uint64_t retry_ms;         /* not before */
    struct connection *urgent; /* cluster_urgent.c's; NULL: none */
    uint64_t urgent_retry_ms;
};

/* Who leads a partition. */
struct leading {
    int32_t node;      /* -1: nobody */
    int32_t node_told; /* by the last answer that told of it */
    uint64_t since_ms; /* when it was first told of */
};

struct topic {
    struct topic *next;
    char name[WIRE_NAME_SIZE_MAX + 1];
    bool wanted; /* metadata is to be asked for */
    bool asked;  /* in the request that is under way */
    bool known;
    int16_t error;      /* of the last answer */
    uint64_t failed_ms; /* since when it is an error */
    bool create_wanted;
    char create_text[TOPIC_TEXT_SIZE]; /* why it could not be created; "": nothing is known */
    unsigned attempt;
    uint64_t retry_ms;
    uint64_t known_ms; /* when it was */
    bool is_short;     /* a partition was asked for that it does not have any more */
    uint64_t short_ms; /* since when */
    uint32_t partition_count;
    struct leading *leaders;
};

struct cluster {
    struct cluster_setup setup;
    struct connection_settings urgent; /* of second connections */
    struct node *nodes;
    size_t node_count;
    struct topic *topics;
    size_t topic_count;
    struct topic *reading; /* whose partitions are being read */
    char id[CLUSTER_ID_SIZE_MAX];
    struct timer timer;
    bool stopped;
    bool any_wanted;               /* a connection, no matter which */
    enum err fault_e;              /* OK: nothing is known to be wrong */
    const struct node *fault_node; /* that cannot be reached; NULL: it is about something else */
    uint64_t fault_ms;
    struct why fault;
    bool metadata_open;
    struct connection *metadata_connection;
    struct connection_request metadata;
    struct slice metadata_body;
    uint8_t metadata_memory[METADATA_TOPIC_MAX * (WIRE_NAME_SIZE_MAX + 3) + 16];
    int32_t controller;
    struct topic *creating; /* NULL: no request is under way */
    struct connection *create_connection;
    struct connection_request create;
    struct slice create_body;
    uint8_t create_memory[WIRE_NAME_SIZE_MAX + 32];
};

/* --- cluster.c --- */

/* The next step, whatever has happened. */
void cluster_advance(struct cluster *cluster);
uint64_t cluster_now_ms(const struct cluster *cluster);
/* The next pause: growing up to 30 s, with jitter. */
uint64_t cluster_backoff_ms(unsigned *attempt);
/* Something is wrong, with this node if it is not NULL. */
void cluster_fail(struct cluster *cluster, const struct node *node, enum err e,
                  const struct why *why);
/* Metadata has come (NULL), or this node works: what is wrong with another one stays wrong. */
void cluster_well(struct cluster *cluster, const struct node *node);
struct topic *cluster_topic_find(struct cluster *cluster, struct slice name);
bool cluster_topic_due(const struct cluster *cluster, const struct topic *topic);
/* Metadata of it is asked for after a growing pause, which is at least so long. */
void cluster_topic_again(struct cluster *cluster, struct topic *topic, uint64_t pause_ms_min);
/* A connection that has room; NULL: there is none. */
struct connection *cluster_free_connection(struct cluster *cluster);

/* --- cluster_node.c --- */

/* NULL: no room, no memory, or no usable name. */
struct node *node_add(struct cluster *cluster, int32_t id, struct slice host, uint16_t port);
/* NULL also for -1, which is how the protocol says "none". */
struct node *node_find(struct cluster *cluster, int32_t id);
/* False: not now, the cluster's timer goes on with it. */
bool node_connect(struct node *node);
/* After metadata: connections go to the brokers that they lead to, brokers that are gone go. */
void nodes_adopt(struct cluster *cluster);
void nodes_sweep(struct cluster *cluster);
/* Cuts all connections but this one. */
void nodes_leave(struct cluster *cluster, const struct connection *but);

/* --- cluster_urgent.c --- */

/* A connection for what is urgent to a node that has one. False: none has room now, changed() follows. */
bool node_urgent(struct node *node, struct connection **ret);

/* --- cluster_metadata.c --- */

/* Asks for the topics that are due, on a connection that has room. */
void metadata_send(struct cluster *cluster, struct connection *connection);

/* --- cluster_create.c --- */

/* Creates the next topic that is missing, by the broker that may. */
void topic_create_send(struct cluster *cluster);

#endif
