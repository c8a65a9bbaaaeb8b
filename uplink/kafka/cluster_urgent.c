/* A second connection to a broker, for what is urgent: opened when the first has a request of others
 * under way, which a slow link may take seconds to carry, and kept until it was silent for a while. What goes wrong with it is told by
 * the first one: it goes to the same broker. */
#include "uplink/kafka/cluster_impl.h"

#define URGENT_RETRY_MS (30 * 1000) /* until then what is urgent shares the first one */

static void urgent_ready(void *context)
{
    struct node *node = context;
    node->cluster->setup.changed(node->cluster->setup.context);
}

static void urgent_closed(void *context, enum err e, const struct why *why)
{
    struct node *node = context;
    struct cluster *cluster = node->cluster;
    (void)why;
    bool was_idle = e == ERR_CLOSED && connection_has_served(node->urgent) &&
                    !connection_was_cut_short(node->urgent);
    connection_close(node->urgent);
    node->urgent = NULL;
    if (!was_idle) {
        node->urgent_retry_ms = cluster_now_ms(cluster) + URGENT_RETRY_MS;
    }
    cluster->setup.changed(cluster->setup.context);
}

static const struct connection_handler urgent_calls = {.on_ready = urgent_ready,
                                                       .on_closed = urgent_closed};

bool node_urgent(struct node *node, struct connection **ret)
{
    struct cluster *cluster = node->cluster;
    if (connection_is_idle(node->connection) && connection_has_room(node->connection)) {
        *ret = node->connection;
        return true;
    }
    bool may_open =
        !cluster->stopped && node->was_ready && cluster_now_ms(cluster) >= node->urgent_retry_ms;
    if (!node->urgent && may_open &&
        connection_open(&node->urgent, &cluster->urgent, node->host, node->port, &urgent_calls,
                        node)) {
        node->urgent_retry_ms = cluster_now_ms(cluster) + URGENT_RETRY_MS;
    }
    /* While it is opened the first one may become idle. */
    struct connection *connection = node->urgent ? node->urgent : node->connection;
    *ret = connection;
    return connection_has_room(connection);
}
