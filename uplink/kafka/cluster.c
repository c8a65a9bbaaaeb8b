#include "uplink/kafka/cluster.h"

#include <assert.h>
#include <inttypes.h>

#include "ports/log.h"
#include "ports/parcel.h"
#include "ports/random.h"
#include "uplink/kafka/errors.h"

#define BACKOFF_MS_FIRST 250
#define BACKOFF_MS_MAX (30 * 1000)
#define PARK_MS (60 * 1000) /* a setting or a right is missing: accounts get locked by hammering */
#define METADATA_AGE_MS_MAX (15 * 60 * 1000)
#define METADATA_TOPIC_MAX 32 /* of one request */
#define PORT_DEFAULT 9092

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
    uint64_t retry_ms; /* not before */
};

struct topic {
    struct topic *next;
    char name[WIRE_NAME_SIZE_MAX + 1];
    bool wanted; /* metadata is to be asked for */
    bool asked;  /* in the request that is under way */
    bool known;
    int16_t error; /* of the last answer */
    unsigned attempt;
    uint64_t retry_ms;
    uint64_t known_ms; /* when it was */
    uint32_t partition_count;
    int32_t *leaders; /* -1: none */
};

struct cluster {
    struct cluster_setup setup;
    struct node *nodes;
    size_t node_count;
    struct topic *topics;
    size_t topic_count;
    struct topic *reading; /* whose partitions are being read */
    char id[CLUSTER_ID_SIZE_MAX];
    struct timer timer;
    bool stopped;
    bool any_wanted; /* a connection, no matter which */
    enum err fault_e;
    struct why fault;
    bool metadata_open;
    struct connection *metadata_connection;
    struct connection_request metadata;
    struct slice metadata_body;
    uint8_t metadata_memory[METADATA_TOPIC_MAX * (WIRE_NAME_SIZE_MAX + 3) + 16];
};

static void cluster_advance(struct cluster *cluster);

static uint64_t now_ms(const struct cluster *cluster)
{
    return loop_now_ms(cluster->setup.connection.loop);
}

static uint64_t backoff_ms(unsigned *attempt)
{
    uint64_t ceiling = (uint64_t)BACKOFF_MS_FIRST << (*attempt < 8 ? *attempt : 8);
    ceiling = ceiling < BACKOFF_MS_MAX ? ceiling : BACKOFF_MS_MAX;
    *attempt += 1;
    return ceiling / 2 + random_below((uint32_t)(ceiling / 2) + 1);
}

static void cluster_fail(struct cluster *cluster, enum err e, const struct why *why)
{
    cluster->fault_e = e;
    cluster->fault = *why;
}

/* --- nodes --- */

static struct node *node_add(struct cluster *cluster, int32_t id, struct slice host, uint16_t port)
{
    struct node *node = cluster->node_count < CLUSTER_NODE_MAX ? calloc(1, sizeof *node) : NULL;
    if (!node) {
        return NULL;
    }
    node->cluster = cluster;
    node->id = id;
    node->port = port;
    if (!slice_to_text(host, node->host, sizeof node->host)) {
        free(node);
        return NULL;
    }
    node->next = cluster->nodes;
    cluster->nodes = node;
    cluster->node_count++;
    return node;
}

/* NULL also for -1, which is how the protocol says "none". */
static struct node *node_find(struct cluster *cluster, int32_t id)
{
    struct node *node = id < 0 ? NULL : cluster->nodes;
    while (node && node->id != id) {
        node = node->next;
    }
    return node;
}

static void node_wait(struct node *node, enum err e)
{
    uint64_t wait = backoff_ms(&node->attempt);
    if ((e == ERR_AUTH || e == ERR_VERSION) && wait < PARK_MS) {
        wait = PARK_MS;
    }
    node->retry_ms = now_ms(node->cluster) + wait;
}

static void node_ready(void *context)
{
    struct node *node = context;
    struct cluster *cluster = node->cluster;
    node->was_ready = true;
    cluster->any_wanted = false;
    cluster->fault_e = ERR_OK;
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
}

static void node_closed(void *context, enum err e, const struct why *why)
{
    struct node *node = context;
    struct cluster *cluster = node->cluster;
    /* Brokers end connections that were silent for a while: nothing is wrong then. One that ends
     * before it was of any use counts as a failure, however far it came: else it would be opened
     * again at once, for ever. */
    bool has_served = connection_has_served(node->connection);
    bool was_idle = has_served && node->was_ready && e == ERR_CLOSED &&
                    !connection_was_cut_short(node->connection);
    connection_close(node->connection);
    node->connection = NULL;
    if (has_served) {
        node->attempt = 0;
    }
    if (!was_idle) {
        cluster_fail(cluster, e, why);
        node_wait(node, e);
    }
    /* Who cannot be reached leads nothing for long: the others know who does now. */
    for (struct topic *topic = cluster->topics; topic && node->id >= 0; topic = topic->next) {
        for (uint32_t i = 0; topic->known && i < topic->partition_count; i++) {
            topic->wanted = topic->wanted || (!was_idle && topic->leaders[i] == node->id);
        }
    }
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
}

static const struct connection_handler node_calls = {.on_ready = node_ready,
                                                     .on_closed = node_closed};

/* False: not now, the cluster's timer goes on with it. */
static bool node_connect(struct node *node)
{
    struct cluster *cluster = node->cluster;
    if (node->connection) {
        return true;
    }
    if (cluster->stopped || now_ms(cluster) < node->retry_ms) {
        return false;
    }
    node->was_ready = false;
    enum err e = connection_open(&node->connection, &cluster->setup.connection, node->host,
                                 node->port, &node_calls, node);
    if (e) {
        struct why why;
        why_set(&why, "no connection to %s:%u could be begun: %s", node->host, node->port,
                err_name(e));
        cluster_fail(cluster, e, &why);
        node_wait(node, e);
        return false;
    }
    return true;
}

/* --- topics --- */

static struct topic *topic_find(struct cluster *cluster, struct slice name)
{
    struct topic *topic = cluster->topics;
    while (topic && !slice_equal_text(name, topic->name)) {
        topic = topic->next;
    }
    return topic;
}

static struct topic *topic_add(struct cluster *cluster, const char *name)
{
    struct topic *topic =
        cluster->topic_count < CLUSTER_TOPIC_MAX ? calloc(1, sizeof *topic) : NULL;
    if (!topic) {
        return NULL;
    }
    if (!slice_to_text(slice_of_text(name), topic->name, sizeof topic->name)) {
        free(topic);
        return NULL;
    }
    topic->next = cluster->topics;
    cluster->topics = topic;
    cluster->topic_count++;
    return topic;
}

/* Metadata of it is asked for after a growing pause, which is at least so long. */
static void topic_again(struct cluster *cluster, struct topic *topic, uint64_t pause_ms_min)
{
    uint64_t pause_ms = backoff_ms(&topic->attempt);
    topic->wanted = true;
    topic->retry_ms = now_ms(cluster) + (pause_ms > pause_ms_min ? pause_ms : pause_ms_min);
}

/* --- metadata --- */

static void metadata_node(void *context, int32_t id, struct slice host, uint16_t port)
{
    struct cluster *cluster = context;
    struct node *node = node_find(cluster, id);
    if (node && (node->port != port || !slice_equal_text(host, node->host))) {
        node->id = INT32_MIN; /* it has moved: the old place is left */
        node = NULL;
    }
    if (!node && id >= 0) {
        node = node_add(cluster, id, host, port);
    }
    if (node) {
        node->seen = true;
    }
}

static void metadata_topic(void *context, struct slice name, int16_t error,
                           uint32_t partition_count)
{
    struct cluster *cluster = context;
    struct topic *topic = topic_find(cluster, name);
    cluster->reading = topic;
    if (!topic) {
        return;
    }
    topic->asked = false;
    topic->error = error;
    if (error != 0 || partition_count == 0) {
        /* What was known before stays: a broker says 3 for a moment after its start. */
        topic_again(cluster, topic, kafka_error_of(error)->first == KAFKA_PARK ? PARK_MS : 0);
        cluster->reading = NULL;
        return;
    }
    if (partition_count != topic->partition_count || !topic->leaders) {
        int32_t *leaders = realloc(topic->leaders, partition_count * sizeof *leaders);
        if (!leaders) {
            topic_again(cluster, topic, 0);
            cluster->reading = NULL;
            return;
        }
        topic->leaders = leaders;
    }
    topic->partition_count = partition_count;
    for (uint32_t i = 0; i < partition_count; i++) {
        topic->leaders[i] = -1;
    }
    topic->known = true;
    topic->known_ms = now_ms(cluster);
}

static void metadata_partition(void *context, uint32_t index, int16_t error, int32_t leader)
{
    struct cluster *cluster = context;
    (void)error; /* without a leader, leader is -1; all other errors leave it usable */
    if (cluster->reading) {
        cluster->reading->leaders[index] = leader;
    }
}

/* The connection that asked first was to an entry of `brokers`: it serves on as that broker's own,
 * or has done its work. */
static void nodes_adopt(struct cluster *cluster)
{
    for (struct node *from = cluster->nodes; from; from = from->next) {
        if (from->id >= 0 || !from->connection) {
            continue;
        }
        struct node *to = cluster->nodes;
        while (to && (to->id < 0 || to->port != from->port || strcmp(to->host, from->host) != 0)) {
            to = to->next;
        }
        if (to && !to->connection) {
            to->connection = from->connection;
            to->attempt = 0;
            to->was_ready = true;
            connection_context_set(to->connection, to);
            from->connection = NULL;
        } else if (connection_is_idle(from->connection)) {
            connection_close(from->connection);
            from->connection = NULL;
        }
    }
}

/* Brokers that the cluster does not name any more, and that nothing is under way to. */
static void nodes_sweep(struct cluster *cluster)
{
    struct node **at = &cluster->nodes;
    while (*at) {
        struct node *node = *at;
        bool gone = !node->seen && (node->id >= 0 || node->id == INT32_MIN);
        node->seen = false;
        if (gone && (!node->connection || connection_is_idle(node->connection))) {
            connection_close(node->connection);
            *at = node->next;
            cluster->node_count--;
            free(node);
        } else {
            at = &node->next;
        }
    }
}

/* Another cluster answers under the old addresses: what is still connected to the one before must
 * not be asked anything any more. Its producer ids would be somebody else's here. */
static void nodes_leave_cluster(struct cluster *cluster)
{
    for (struct node *node = cluster->nodes; node; node = node->next) {
        if (node->connection && node->connection != cluster->metadata_connection) {
            connection_cut(node->connection);
        }
    }
}

static void metadata_take(struct cluster *cluster, const struct wire_metadata *metadata)
{
    char id[CLUSTER_ID_SIZE_MAX] = "";
    (void)!slice_to_text(metadata->cluster_id, id, sizeof id); /* else "": unknown */
    if (cluster->id[0] && strcmp(id, cluster->id) != 0) {
        nodes_leave_cluster(cluster);
    }
    memcpy(cluster->id, id, sizeof id);
    nodes_adopt(cluster);
    nodes_sweep(cluster);
    cluster->fault_e = ERR_OK;
    for (struct topic *topic = cluster->topics; topic; topic = topic->next) {
        if (topic->asked) { /* left out of the answer */
            topic->asked = false;
            topic_again(cluster, topic, 0);
        }
    }
}

static enum err metadata_answered(struct connection_request *request, enum err e,
                                  struct slice answer)
{
    struct cluster *cluster = CONTAINER_OF(request, struct cluster, metadata);
    struct connection *connection = cluster->metadata_connection;
    cluster->metadata_open = false;
    struct wire_metadata metadata;
    struct wire_metadata_visitor visitor = {cluster, metadata_node, metadata_topic,
                                            metadata_partition};
    if (!e) {
        e = wire_metadata_parse(answer, &visitor, &metadata);
    }
    if (e) {
        for (struct topic *topic = cluster->topics; topic; topic = topic->next) {
            topic->wanted = topic->wanted || topic->asked;
            topic->asked = false;
        }
        return e; /* node_closed() goes on */
    }
    connection_throttle(connection, metadata.throttle_ms);
    metadata_take(cluster, &metadata);
    cluster->metadata_connection = NULL;
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
    return ERR_OK;
}

static bool topic_due(const struct cluster *cluster, const struct topic *topic)
{
    return topic->wanted && !topic->asked && now_ms(cluster) >= topic->retry_ms;
}

static void metadata_send(struct cluster *cluster, struct connection *connection)
{
    struct out body = out_over(cluster->metadata_memory, sizeof cluster->metadata_memory);
    uint32_t count = 0;
    for (struct topic *t = cluster->topics; t && count < METADATA_TOPIC_MAX; t = t->next) {
        count += topic_due(cluster, t);
    }
    wire_metadata_begin(&body, count);
    for (struct topic *t = cluster->topics; t && count > 0; t = t->next) {
        if (topic_due(cluster, t)) {
            wire_metadata_topic(&body, slice_of_text(t->name));
            t->asked = true;
            t->wanted = false;
            count--;
        }
    }
    wire_metadata_end(&body, cluster->setup.topic_create);
    assert(!body.overflow);
    cluster->metadata_body = out_slice(&body);
    cluster->metadata = (struct connection_request){.api = WIRE_METADATA,
                                                    .body = &cluster->metadata_body,
                                                    .body_count = 1,
                                                    .answered = metadata_answered};
    cluster->metadata_open = true;
    cluster->metadata_connection = connection;
    connection_send(connection, &cluster->metadata);
}

/* --- the one decision --- */

static struct connection *cluster_free_connection(struct cluster *cluster)
{
    for (struct node *node = cluster->nodes; node; node = node->next) {
        if (node->connection && connection_has_room(node->connection)) {
            return node->connection;
        }
    }
    return NULL;
}

/* Begins to connect to the node that has failed least, unless one is on its way already. */
static void cluster_connect_any(struct cluster *cluster)
{
    struct node *best = NULL;
    for (struct node *node = cluster->nodes; node; node = node->next) {
        if (node->connection) {
            return; /* it will be ready, or fail */
        }
        if (node->id != INT32_MIN && now_ms(cluster) >= node->retry_ms &&
            (!best || node->attempt < best->attempt)) {
            best = node;
        }
    }
    if (best) {
        (void)node_connect(best); /* else the timer */
    }
}

static void cluster_arm(struct cluster *cluster)
{
    uint64_t now = now_ms(cluster);
    uint64_t due = UINT64_MAX;
    bool need = cluster->any_wanted;
    for (struct topic *topic = cluster->topics; topic; topic = topic->next) {
        if (topic->wanted) {
            need = true;
            due = topic->retry_ms > now && topic->retry_ms < due ? topic->retry_ms : due;
        }
    }
    for (struct node *node = cluster->nodes; node; node = node->next) {
        if (!node->connection && node->retry_ms > now && node->retry_ms < due) {
            due = node->retry_ms;
        }
    }
    if (need && due != UINT64_MAX && !cluster->stopped) {
        timer_arm(&cluster->timer, due - now);
    }
}

static void cluster_advance(struct cluster *cluster)
{
    if (cluster->stopped) {
        return;
    }
    bool due = false;
    for (struct topic *topic = cluster->topics; topic; topic = topic->next) {
        due = due || topic_due(cluster, topic);
    }
    struct connection *connection = cluster_free_connection(cluster);
    if (!connection && (due || cluster->any_wanted)) {
        cluster_connect_any(cluster);
    } else if (due && !cluster->metadata_open) {
        metadata_send(cluster, connection);
    }
    cluster_arm(cluster);
}

static void cluster_tick(struct timer *timer)
{
    struct cluster *cluster = CONTAINER_OF(timer, struct cluster, timer);
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
}

/* --- for the user --- */

enum err cluster_broker_parse(const char *text, struct slice *ret_host, uint16_t *ret_port,
                              struct why *why)
{
    struct slice host = slice_of_text(text);
    unsigned port = PORT_DEFAULT;
    const char *colon = strrchr(text, ':');
    if (colon && (text[0] == '[' ? colon[-1] == ']' : strchr(text, ':') == colon)) {
        char *end = NULL;
        unsigned long number = strtoul(colon + 1, &end, 10);
        if (colon[1] < '0' || colon[1] > '9' || *end || number == 0 || number > UINT16_MAX) {
            why_set(why, "\"%s\" has no usable port: write it as host:port", text);
            return ERR_CONFIG;
        }
        port = (unsigned)number;
        host.size = (size_t)(colon - text);
    }
    if (host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = (struct slice){host.data + 1, host.size - 2};
    }
    if (host.size == 0 || host.size >= WIRE_HOST_SIZE_MAX) {
        why_set(why, "\"%s\" has no host: write it as host:port", text);
        return ERR_CONFIG;
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return ERR_OK;
}

static enum err broker_add(struct cluster *cluster, const char *text, int32_t id, struct why *why)
{
    struct slice host;
    uint16_t port;
    enum err e = cluster_broker_parse(text, &host, &port, why);
    if (e) {
        return e;
    }
    return node_add(cluster, id, host, port) ? ERR_OK : ERR_NOMEM;
}

enum err cluster_open(struct cluster **ret, const struct cluster_setup *setup, struct why *why)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster) {
        return ERR_NOMEM;
    }
    cluster->setup = *setup;
    timer_init(&cluster->timer, setup->connection.loop, cluster_tick);
    for (size_t i = setup->broker_count; i > 0; i--) { /* the first is asked first */
        enum err e = broker_add(cluster, setup->brokers[i - 1], -(int32_t)i, why);
        if (e) {
            cluster_close(cluster);
            return e;
        }
    }
    *ret = cluster;
    return ERR_OK;
}

void cluster_close(struct cluster *cluster)
{
    if (!cluster) {
        return;
    }
    timer_release(&cluster->timer);
    while (cluster->nodes) {
        struct node *node = cluster->nodes;
        cluster->nodes = node->next;
        connection_close(node->connection);
        free(node);
    }
    while (cluster->topics) {
        struct topic *topic = cluster->topics;
        cluster->topics = topic->next;
        free(topic->leaders);
        free(topic);
    }
    free(cluster);
}

void cluster_stop(struct cluster *cluster)
{
    cluster->stopped = true;
    timer_disarm(&cluster->timer);
}

void cluster_cut(struct cluster *cluster)
{
    for (struct node *node = cluster->nodes; node; node = node->next) {
        connection_cut(node->connection);
    }
}

/* Metadata of this topic, as soon as its backoff allows. */
static void topic_want(struct cluster *cluster, struct topic *topic)
{
    if (!topic->wanted && !topic->asked) {
        topic->wanted = true;
        if (now_ms(cluster) - topic->known_ms < BACKOFF_MS_FIRST && topic->known) {
            topic->retry_ms = now_ms(cluster) + BACKOFF_MS_FIRST; /* asked a moment ago */
        }
    }
    cluster_advance(cluster);
}

static enum err topic_error(const struct topic *topic, struct why *why)
{
    const struct kafka_error *error = kafka_error_of(topic->error);
    why_set(why, "topic %s: %s%s%s", topic->name, error->name, error->advice[0] ? ": " : "",
            error->advice);
    if (error->first != KAFKA_PARK) {
        return ERR_AGAIN;
    }
    return topic->error == 17 ? ERR_CONFIG : ERR_REJECTED;
}

enum err cluster_topic(struct cluster *cluster, const char *name, uint32_t *ret_partition_count,
                       struct why *why)
{
    struct topic *topic = topic_find(cluster, slice_of_text(name));
    if (!topic) {
        topic = topic_add(cluster, name);
    }
    if (!topic) {
        why_set(why, "no room for topic %s: at most %d topics", name, CLUSTER_TOPIC_MAX);
        return ERR_REJECTED;
    }
    if (topic->known) {
        if (now_ms(cluster) - topic->known_ms > METADATA_AGE_MS_MAX) {
            topic_want(cluster, topic); /* more partitions? What is known serves meanwhile */
        }
        *ret_partition_count = topic->partition_count;
        return ERR_OK;
    }
    topic_want(cluster, topic);
    if (topic->error == 0) {
        return ERR_AGAIN;
    }
    enum err e = topic_error(topic, why);
    if (e == ERR_AGAIN) {
        cluster_fail(cluster, e, why);
    }
    return e;
}

enum err cluster_leader(struct cluster *cluster, const char *name, uint32_t partition,
                        struct connection **ret)
{
    struct topic *topic = topic_find(cluster, slice_of_text(name));
    if (!topic) {
        topic = topic_add(cluster, name);
    }
    if (!topic) {
        return ERR_AGAIN;
    }
    struct node *node = NULL;
    if (topic->known && partition < topic->partition_count) {
        node = node_find(cluster, topic->leaders[partition]);
    } else if (topic->known) {
        struct why why;
        why_set(&why, "topic %s has no partition %" PRIu32 " any more", name, partition);
        cluster_fail(cluster, ERR_REJECTED, &why);
    }
    if (!node || !node_connect(node)) {
        /* Another may lead by now. Asked with growing pauses: an outage may be long. */
        if (topic->known && !topic->wanted && !topic->asked) {
            topic_again(cluster, topic, 0);
        }
        topic_want(cluster, topic);
        return ERR_AGAIN;
    }
    if (!connection_has_room(node->connection)) {
        return ERR_AGAIN;
    }
    topic->attempt = 0;
    *ret = node->connection;
    return ERR_OK;
}

enum err cluster_any(struct cluster *cluster, struct connection **ret)
{
    struct connection *connection = cluster_free_connection(cluster);
    if (!connection) {
        cluster->any_wanted = true;
        cluster_advance(cluster);
        return ERR_AGAIN;
    }
    *ret = connection;
    return ERR_OK;
}

void cluster_refresh(struct cluster *cluster, const char *name)
{
    struct topic *topic = topic_find(cluster, slice_of_text(name));
    if (topic) {
        topic_want(cluster, topic);
    }
}

const char *cluster_id(const struct cluster *cluster)
{
    return cluster->id;
}

const struct why *cluster_fault(const struct cluster *cluster, enum err *ret_e)
{
    if (cluster->fault_e == ERR_OK) {
        return NULL;
    }
    if (ret_e) {
        *ret_e = cluster->fault_e;
    }
    return &cluster->fault;
}
