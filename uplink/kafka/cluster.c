#include <assert.h>
#include <inttypes.h>

#include "ports/random.h"
#include "uplink/kafka/cluster_impl.h"
#include "uplink/kafka/errors.h"
#include "uplink/kafka/tokens.h"

#define BACKOFF_MS_FIRST 250
#define BACKOFF_MS_MAX (30 * 1000)
#define METADATA_AGE_MS_MAX (15 * 60 * 1000)
#define PORT_DEFAULT 9092
#define URGENT_IDLE_MS \
    (14 * 60 * 1000) /* before TCP's keep-alive on a metered link costs anything */
/* An error of a topic is told when it has lasted: brokers that have just started do not know all
 * topics, and one that is being created takes a moment. */
#define TELL_MS (5 * 1000)
#define FAULT_MS_MAX (90 * 1000) /* of a node that nobody tries to reach any more */
/* So long a broker may tell of fewer partitions than there are: it has started, or lags behind. */
#define SHORT_MS_MAX (10 * 60 * 1000)

uint64_t cluster_now_ms(const struct cluster *cluster)
{
    return loop_now_ms(cluster->setup.connection.loop);
}

uint64_t cluster_backoff_ms(unsigned *attempt)
{
    uint64_t ceiling = (uint64_t)BACKOFF_MS_FIRST << (*attempt < 8 ? *attempt : 8);
    ceiling = ceiling < BACKOFF_MS_MAX ? ceiling : BACKOFF_MS_MAX;
    *attempt += 1;
    return ceiling / 2 + random_below((uint32_t)(ceiling / 2) + 1);
}

void cluster_fail(struct cluster *cluster, const struct node *node, enum err e,
                  const struct why *why)
{
    cluster->fault_e = e;
    cluster->fault_node = node;
    cluster->fault_ms = cluster_now_ms(cluster);
    cluster->fault = *why;
}

void cluster_well(struct cluster *cluster, const struct node *node)
{
    const struct node *bad = cluster->fault_node;
    if (!bad || bad == node || bad->id < 0) {
        cluster->fault_e = ERR_OK;
        cluster->fault_node = NULL;
    }
}

/* --- topics --- */

struct topic *cluster_topic_find(struct cluster *cluster, struct slice name)
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

void cluster_topic_again(struct cluster *cluster, struct topic *topic, uint64_t pause_ms_min)
{
    uint64_t pause_ms = cluster_backoff_ms(&topic->attempt);
    topic->wanted = true;
    topic->retry_ms = cluster_now_ms(cluster) + (pause_ms > pause_ms_min ? pause_ms : pause_ms_min);
}

/* --- the one decision --- */

bool cluster_topic_due(const struct cluster *cluster, const struct topic *topic)
{
    return topic->wanted && !topic->asked && cluster_now_ms(cluster) >= topic->retry_ms;
}

struct connection *cluster_free_connection(struct cluster *cluster)
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
        if (node->connection && !connection_is_throttled(node->connection)) {
            return; /* it will be ready, or fail */
        }
        if (!node->connection && node->id != INT32_MIN &&
            cluster_now_ms(cluster) >= node->retry_ms && (!best || node->attempt < best->attempt)) {
            best = node;
        }
    }
    if (best) {
        (void)node_connect(best); /* else the timer */
    }
}

static void cluster_arm(struct cluster *cluster)
{
    uint64_t now = cluster_now_ms(cluster);
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

void cluster_advance(struct cluster *cluster)
{
    if (cluster->stopped) {
        return;
    }
    bool due = false;
    for (struct topic *topic = cluster->topics; topic; topic = topic->next) {
        due = due || cluster_topic_due(cluster, topic);
    }
    struct connection *connection = cluster_free_connection(cluster);
    if (!connection && (due || cluster->any_wanted)) {
        cluster_connect_any(cluster);
    } else if (due && !cluster->metadata_open) {
        metadata_send(cluster, connection);
    }
    topic_create_send(cluster);
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
    bool in_brackets = text[0] == '[';
    const char *begin = text + in_brackets;
    struct slice host = {(const uint8_t *)begin, strcspn(begin, in_brackets ? "]" : ":")};
    const char *rest = begin + host.size;
    unsigned port = PORT_DEFAULT;
    if (in_brackets ? rest[0] != ']' || (rest[1] && rest[1] != ':')
                    : rest[0] && strchr(rest + 1, ':')) {
        why_set(why, "\"%s\" is no host and port: an IPv6 address needs brackets, as [::1]:9092",
                text);
        return ERR_CONFIG;
    }
    rest += in_brackets;
    if (rest[0] == ':') {
        char *end = NULL;
        unsigned long number = strtoul(rest + 1, &end, 10);
        if (rest[1] < '0' || rest[1] > '9' || *end || number == 0 || number > UINT16_MAX) {
            why_set(why, "\"%s\" has no usable port: write it as host:port", text);
            return ERR_CONFIG;
        }
        port = (unsigned)number;
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
    cluster->urgent = setup->connection;
    cluster->urgent.is_urgent = true;
    if (cluster->urgent.idle_ms_max == 0 || cluster->urgent.idle_ms_max > URGENT_IDLE_MS) {
        cluster->urgent.idle_ms_max = URGENT_IDLE_MS;
    }
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
        connection_close(node->urgent);
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
        connection_cut(node->urgent);
    }
}

void cluster_relink(struct cluster *cluster)
{
    for (struct node *node = cluster->nodes; node; node = node->next) {
        node->retry_ms = 0; /* what failed there may work here */
        node->attempt = 0;
        node->urgent_retry_ms = 0;
    }
    cluster_cut(cluster);
}

/* Metadata of this topic, as soon as its backoff allows. */
static void topic_want(struct cluster *cluster, struct topic *topic)
{
    if (!topic->wanted && !topic->asked) {
        topic->wanted = true;
        if (cluster_now_ms(cluster) - topic->known_ms < BACKOFF_MS_FIRST && topic->known) {
            topic->retry_ms = cluster_now_ms(cluster) + BACKOFF_MS_FIRST; /* asked a moment ago */
        }
    }
    cluster_advance(cluster);
}

static void topic_missing(const struct cluster *cluster, const struct topic *topic, struct why *why)
{
    const char *advice = cluster->setup.topic_create == TOPIC_CREATE_ALWAYS
                             ? "it is being created"
                             : "create it, or set topic_create to \"always\"";
    why_set(why, "topic \"%s\" does not exist on cluster %s: %s%s", topic->name, cluster->id,
            topic->create_text[0] ? "create it; weir could not: " : advice, topic->create_text);
}

static enum err topic_error(const struct cluster *cluster, const struct topic *topic,
                            struct why *why)
{
    const struct kafka_error *error = kafka_error_of(topic->error);
    bool is_park = error->first == KAFKA_PARK;
    if (!is_park && cluster_now_ms(cluster) - topic->failed_ms < TELL_MS) {
        return ERR_AGAIN;
    }
    if (topic->error == UNKNOWN_TOPIC) {
        topic_missing(cluster, topic, why);
    } else {
        why_set(why, "topic %s: %s%s%s", topic->name, error->name, error->advice[0] ? ": " : "",
                error->advice);
    }
    return !is_park ? ERR_AGAIN : topic->error == 17 ? ERR_CONFIG : ERR_REJECTED;
}

bool cluster_topic_is_missing(struct cluster *cluster, const char *name, struct why *why)
{
    const struct topic *topic = cluster_topic_find(cluster, slice_of_text(name));
    if (!topic || topic->error != UNKNOWN_TOPIC ||
        cluster_now_ms(cluster) - topic->failed_ms < TELL_MS) {
        return false;
    }
    topic_missing(cluster, topic, why);
    return true;
}

enum err cluster_topic(struct cluster *cluster, const char *name, uint32_t *ret_partition_count,
                       struct why *why)
{
    struct topic *topic = cluster_topic_find(cluster, slice_of_text(name));
    if (!topic) {
        topic = topic_add(cluster, name);
    }
    if (!topic) {
        why_set(why, "no room for topic %s: at most %d topics", name, CLUSTER_TOPIC_MAX);
        return ERR_REJECTED;
    }
    if (topic->known) {
        if (cluster_now_ms(cluster) - topic->known_ms > METADATA_AGE_MS_MAX) {
            topic_want(cluster, topic); /* more partitions? What is known serves meanwhile */
        }
        *ret_partition_count = topic->partition_count;
        return ERR_OK;
    }
    topic_want(cluster, topic);
    if (topic->error == 0) {
        return ERR_AGAIN;
    }
    return topic_error(cluster, topic, why);
}

/* A partition that was there is not: true once it is certain that the topic was made anew. */
static bool topic_lacks(struct cluster *cluster, struct topic *topic, uint32_t partition)
{
    struct why why;
    why_set(&why, "topic %s has no partition %" PRIu32 " any more", topic->name, partition);
    cluster_fail(cluster, NULL, ERR_REJECTED, &why);
    if (!topic->is_short) {
        topic->is_short = true;
        topic->short_ms = cluster_now_ms(cluster);
    }
    return topic->known_ms > topic->short_ms + SHORT_MS_MAX;
}

/* The node that leads and has a connection, whether it has room or not. */
static enum err cluster_leading(struct cluster *cluster, const char *name, uint32_t partition,
                                struct node **ret)
{
    struct topic *topic = cluster_topic_find(cluster, slice_of_text(name));
    if (!topic) {
        topic = topic_add(cluster, name);
    }
    if (!topic) {
        return ERR_AGAIN;
    }
    struct node *node = NULL;
    if (topic->known && partition < topic->partition_count) {
        node = node_find(cluster, topic->leaders[partition].node);
    } else if (topic->known && topic_lacks(cluster, topic, partition)) {
        return ERR_REJECTED;
    }
    if (!node || !node_connect(node)) {
        /* Another may lead by now. Asked with growing pauses: an outage may be long. */
        if (topic->known && !topic->wanted && !topic->asked) {
            cluster_topic_again(cluster, topic, 0);
        }
        topic_want(cluster, topic);
        return ERR_AGAIN;
    }
    if (connection_has_room(node->connection)) {
        topic->attempt = 0;
    }
    *ret = node;
    return ERR_OK;
}

enum err cluster_leader(struct cluster *cluster, const char *name, uint32_t partition,
                        struct connection **ret)
{
    struct node *node = NULL;
    enum err e = cluster_leading(cluster, name, partition, &node);
    if (!e && !connection_has_room(node->connection)) {
        e = ERR_AGAIN;
    }
    if (!e) {
        *ret = node->connection;
    }
    return e;
}

enum err cluster_leader_urgent(struct cluster *cluster, const char *name, uint32_t partition,
                               struct connection **ret)
{
    struct node *node = NULL;
    struct connection *connection = NULL;
    enum err e = cluster_leading(cluster, name, partition, &node);
    if (!e && !node_urgent(node, &connection)) {
        e = ERR_AGAIN;
    }
    if (!e) {
        *ret = connection;
    }
    return e;
}

bool cluster_has_leader(struct cluster *cluster, const char *name, uint32_t partition)
{
    const struct topic *topic = cluster_topic_find(cluster, slice_of_text(name));
    return topic && topic->known && partition < topic->partition_count &&
           node_find(cluster, topic->leaders[partition].node);
}

uint64_t cluster_leader_since_ms(struct cluster *cluster, const char *name, uint32_t partition,
                                 const struct connection *connection)
{
    const struct topic *topic = cluster_topic_find(cluster, slice_of_text(name));
    assert(topic && topic->known && partition < topic->partition_count);
    uint64_t told_ms = topic->leaders[partition].since_ms;
    uint64_t ready_ms = connection_ready_ms(connection);
    return told_ms > ready_ms ? told_ms : ready_ms;
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

void cluster_token_changed(struct cluster *cluster)
{
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
}

void cluster_refresh(struct cluster *cluster, const char *name)
{
    struct topic *topic = cluster_topic_find(cluster, slice_of_text(name));
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
    enum err e = ERR_OK;
    const struct why *token = tokens_fault(cluster->setup.connection.tokens, &e);
    if (token) {
        if (ret_e) {
            *ret_e = e;
        }
        return token;
    }
    bool is_old = cluster->fault_node &&
                  cluster_now_ms(cluster) - cluster->fault_ms > FAULT_MS_MAX; /* not needed now */
    if (cluster->fault_e == ERR_OK || is_old) {
        return NULL;
    }
    if (ret_e) {
        *ret_e = cluster->fault_e;
    }
    return &cluster->fault;
}
