#include <assert.h>

#include "uplink/kafka/cluster_impl.h"
#include "uplink/kafka/errors.h"

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
    struct topic *topic = cluster_topic_find(cluster, name);
    cluster->reading = topic;
    if (!topic) {
        return;
    }
    topic->asked = false;
    topic->failed_ms = topic->error ? topic->failed_ms : cluster_now_ms(cluster);
    topic->error = error;
    topic->create_wanted =
        error == UNKNOWN_TOPIC && cluster->setup.topic_create == TOPIC_CREATE_ALWAYS;
    if (error != 0 || partition_count == 0) {
        /* What was known before stays: a broker says 3 for a moment after its start. */
        cluster_topic_again(cluster, topic,
                            kafka_error_of(error)->first == KAFKA_PARK ? PARK_MS : 0);
        cluster->reading = NULL;
        return;
    }
    if (partition_count != topic->partition_count || !topic->leaders) {
        struct leading *leaders = realloc(topic->leaders, partition_count * sizeof *leaders);
        if (!leaders) {
            cluster_topic_again(cluster, topic, 0);
            cluster->reading = NULL;
            return;
        }
        for (uint32_t i = topic->leaders ? topic->partition_count : 0; i < partition_count; i++) {
            leaders[i] = (struct leading){-1, -1, 0};
        }
        topic->leaders = leaders;
    }
    topic->is_short = topic->is_short && partition_count == topic->partition_count;
    topic->partition_count = partition_count;
    for (uint32_t i = 0; i < partition_count; i++) {
        topic->leaders[i].node = -1;
    }
    topic->create_text[0] = '\0';
    topic->known = true;
    topic->known_ms = cluster_now_ms(cluster);
}

static void metadata_partition(void *context, uint32_t index, int16_t error, int32_t leader)
{
    struct cluster *cluster = context;
    (void)error; /* without a leader, leader is -1; all other errors leave it usable */
    if (cluster->reading) {
        struct leading *leading = &cluster->reading->leaders[index];
        bool is_new = leading->node_told != leader;
        uint64_t since_ms = is_new ? cluster_now_ms(cluster) : leading->since_ms;
        *leading = (struct leading){leader, leader, since_ms};
    }
}

static void metadata_take(struct cluster *cluster, const struct wire_metadata *metadata)
{
    char id[CLUSTER_ID_SIZE_MAX] = "";
    (void)!slice_to_text(metadata->cluster_id, id, sizeof id); /* else "": unknown */
    if (cluster->id[0] && strcmp(id, cluster->id) != 0) {
        /* Another cluster answers under the old addresses: what is still connected to the one
         * before must not be asked anything any more. Its producer ids would be somebody else's. */
        nodes_leave(cluster, cluster->metadata_connection);
    }
    memcpy(cluster->id, id, sizeof id);
    cluster->controller = metadata->controller;
    nodes_adopt(cluster);
    nodes_sweep(cluster);
    cluster_well(cluster, NULL);
    for (struct topic *topic = cluster->topics; topic; topic = topic->next) {
        if (topic->asked) { /* left out of the answer */
            topic->asked = false;
            cluster_topic_again(cluster, topic, 0);
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
        cluster->metadata_connection = NULL;
        return e; /* node_closed() goes on */
    }
    connection_throttle(connection, metadata.throttle_ms);
    metadata_take(cluster, &metadata);
    cluster->metadata_connection = NULL;
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
    return ERR_OK;
}

void metadata_send(struct cluster *cluster, struct connection *connection)
{
    struct out body = out_over(cluster->metadata_memory, sizeof cluster->metadata_memory);
    uint32_t count = 0;
    for (struct topic *t = cluster->topics; t && count < METADATA_TOPIC_MAX; t = t->next) {
        count += cluster_topic_due(cluster, t);
    }
    wire_metadata_begin(&body, count);
    for (struct topic *t = cluster->topics; t && count > 0; t = t->next) {
        if (cluster_topic_due(cluster, t)) {
            wire_metadata_topic(&body, slice_of_text(t->name));
            t->asked = true;
            t->wanted = false;
            count--;
        }
    }
    wire_metadata_end(&body, cluster->setup.topic_create != TOPIC_CREATE_NEVER);
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
