#include <assert.h>
#include <stdio.h>

#include "uplink/kafka/cluster_impl.h"
#include "uplink/kafka/errors.h"

#define CREATE_TIMEOUT_MS (10 * 1000)
#define CODE_EXISTS 36
#define CODE_NOT_CONTROLLER 41
#define CODE_NOT_ALLOWED 29

/* It could not be created: told, and tried again after a long pause. */
static void topic_create_refused(struct cluster *cluster, struct topic *topic,
                                 const struct wire_created *answer)
{
    int size = answer->text.size < TOPIC_TEXT_SIZE ? (int)answer->text.size : TOPIC_TEXT_SIZE - 1;
    if (answer->error == CODE_NOT_ALLOWED) {
        (void)snprintf(topic->create_text, sizeof topic->create_text,
                       "the user has no right to (CREATE on the topic)");
    } else if (size > 0) {
        (void)snprintf(topic->create_text, sizeof topic->create_text, "%.*s", size,
                       (const char *)answer->text.data); /* cut is fine */
    } else {
        (void)snprintf(topic->create_text, sizeof topic->create_text, "the broker refuses to (%s)",
                       kafka_error_of(answer->error)->name);
    }
    cluster_topic_again(cluster, topic, PARK_MS);
}

static enum err topic_create_answered(struct connection_request *request, enum err e,
                                      struct slice answer)
{
    struct cluster *cluster = CONTAINER_OF(request, struct cluster, create);
    struct topic *topic = cluster->creating;
    struct connection *connection = cluster->create_connection;
    struct wire_created created;
    cluster->creating = NULL;
    cluster->create_connection = NULL;
    if (!e) {
        e = wire_create_topic_parse(answer, &created);
    }
    if (e) {
        return e; /* metadata is asked for again, and then says that it is still missing */
    }
    connection_throttle(connection, created.throttle_ms);
    if (created.error == 0 || created.error == CODE_EXISTS) {
        topic->attempt = 0; /* what waited for it goes on soon */
        cluster_topic_again(cluster, topic, 0);
    } else if (created.error != CODE_NOT_CONTROLLER) { /* another one is by now */
        topic_create_refused(cluster, topic, &created);
    }
    cluster_advance(cluster);
    cluster->setup.changed(cluster->setup.context);
    return ERR_OK;
}

/* Only the controller creates topics; since Kafka 3 any broker asks it for us. */
static struct connection *topic_create_connection(struct cluster *cluster)
{
    struct node *node = node_find(cluster, cluster->controller);
    if (!node) {
        return cluster_free_connection(cluster);
    }
    return node_connect(node) && connection_has_room(node->connection) ? node->connection : NULL;
}

void topic_create_send(struct cluster *cluster)
{
    struct topic *topic = cluster->topics;
    while (topic && !topic->create_wanted) {
        topic = topic->next;
    }
    struct connection *connection =
        topic && !cluster->creating ? topic_create_connection(cluster) : NULL;
    if (!connection) {
        return; /* tried again whenever something happens */
    }
    topic->create_wanted = false;
    if (connection_api_max(connection, WIRE_CREATE_TOPICS) < wire_version(WIRE_CREATE_TOPICS)) {
        (void)snprintf(topic->create_text, sizeof topic->create_text,
                       "brokers before Kafka 2.4 do not let a client do it");
        return;
    }
    struct out body = out_over(cluster->create_memory, sizeof cluster->create_memory);
    wire_create_topic(&body, slice_of_text(topic->name), CREATE_TIMEOUT_MS);
    assert(!body.overflow);
    cluster->creating = topic;
    cluster->create_connection = connection;
    cluster->create_body = out_slice(&body);
    cluster->create = (struct connection_request){.api = WIRE_CREATE_TOPICS,
                                                  .body = &cluster->create_body,
                                                  .body_count = 1,
                                                  .answered = topic_create_answered};
    connection_send(connection, &cluster->create);
}
