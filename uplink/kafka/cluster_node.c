#include <string.h>

#include "uplink/kafka/cluster_impl.h"
#include "uplink/kafka/tokens.h"

struct node *node_add(struct cluster *cluster, int32_t id, struct slice host, uint16_t port)
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

struct node *node_find(struct cluster *cluster, int32_t id)
{
    struct node *node = id < 0 ? NULL : cluster->nodes;
    while (node && node->id != id) {
        node = node->next;
    }
    return node;
}

static void node_wait(struct node *node, enum err e)
{
    uint64_t wait = cluster_backoff_ms(&node->attempt);
    if ((e == ERR_AUTH || e == ERR_VERSION) && wait < PARK_MS) {
        wait = PARK_MS;
    }
    node->retry_ms = cluster_now_ms(node->cluster) + wait;
}

static void node_ready(void *context)
{
    struct node *node = context;
    struct cluster *cluster = node->cluster;
    node->was_ready = true;
    cluster->any_wanted = false;
    cluster_well(cluster, node);
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
}

/* Is it known only because the brokers said so? */
static bool node_is_advertised(const struct node *node)
{
    const struct node *entry = node->cluster->nodes;
    while (entry &&
           (entry->id >= 0 || entry->port != node->port || strcmp(entry->host, node->host) != 0)) {
        entry = entry->next;
    }
    return node->id >= 0 && !entry;
}

static void node_closed(void *context, enum err e, const struct why *why)
{
    struct node *node = context;
    struct cluster *cluster = node->cluster;
    /* Brokers end connections that were silent for a while: nothing is wrong then. One that ends
     * before it was of any use counts as a failure, however far it came: else it would be opened
     * again at once, for ever. */
    bool has_served = connection_has_served(node->connection);
    bool was_open = connection_was_open(node->connection);
    bool was_idle = has_served && node->was_ready && e == ERR_CLOSED &&
                    !connection_was_cut_short(node->connection);
    connection_close(node->connection);
    node->connection = NULL;
    if (has_served) {
        node->attempt = 0;
    }
    struct why text = *why;
    if (!was_open && node_is_advertised(node)) {
        why_set(&text,
                "%.300s (the brokers sent us there: can it be reached from here, or are "
                "their advertised.listeners wrong?)",
                why->text);
    }
    if (!was_idle) {
        cluster_fail(cluster, node, e, &text);
        node_wait(node, e);
    }
    /* Who cannot be reached leads nothing for long: the others know who does now. */
    for (struct topic *topic = cluster->topics; topic && node->id >= 0; topic = topic->next) {
        for (uint32_t i = 0; topic->known && i < topic->partition_count; i++) {
            topic->wanted = topic->wanted || (!was_idle && topic->leaders[i].node == node->id);
        }
    }
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
}

static const struct connection_handler node_calls = {.on_ready = node_ready,
                                                     .on_closed = node_closed};

bool node_connect(struct node *node)
{
    struct cluster *cluster = node->cluster;
    if (node->connection) {
        return true;
    }
    if (cluster->stopped || cluster_now_ms(cluster) < node->retry_ms) {
        return false;
    }
    if (tokens_ready(cluster->setup.connection.tokens, false)) {
        return false; /* nothing could be done there; cluster_token_changed() follows */
    }
    node->was_ready = false;
    enum err e = connection_open(&node->connection, &cluster->setup.connection, node->host,
                                 node->port, &node_calls, node);
    if (e) {
        struct why why;
        why_set(&why, "no connection to %s port %u could be begun: %s", node->host, node->port,
                err_name(e));
        cluster_fail(cluster, node, e, &why);
        node_wait(node, e);
        return false;
    }
    return true;
}

/* The connection that asked first was to an entry of `brokers`: it serves on as that broker's own,
 * or has done its work. */
void nodes_adopt(struct cluster *cluster)
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
            cluster_well(cluster, to);
        } else if (connection_is_idle(from->connection)) {
            connection_close(from->connection);
            from->connection = NULL;
        }
    }
}

/* Brokers that the cluster does not name any more, and that nothing is under way to. */
void nodes_sweep(struct cluster *cluster)
{
    struct node **at = &cluster->nodes;
    while (*at) {
        struct node *node = *at;
        bool gone = !node->seen && (node->id >= 0 || node->id == INT32_MIN);
        node->seen = false;
        bool is_idle = (!node->connection || connection_is_idle(node->connection)) &&
                       (!node->urgent || connection_is_idle(node->urgent));
        if (gone && is_idle) {
            connection_close(node->connection);
            connection_close(node->urgent);
            *at = node->next;
            cluster->node_count--;
            if (cluster->fault_node == node) {
                cluster_well(cluster, node);
            }
            free(node);
        } else {
            at = &node->next;
        }
    }
}

void nodes_leave(struct cluster *cluster, const struct connection *but)
{
    for (struct node *node = cluster->nodes; node; node = node->next) {
        if (node->connection && node->connection != but) {
            connection_cut(node->connection);
        }
        connection_cut(node->urgent);
    }
}
