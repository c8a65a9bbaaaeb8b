#include "tests/sim/kafka_broker_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct broker *broker_open(const struct broker_options *options)
{
    struct broker *broker = calloc(1, sizeof *broker);
    assert(broker);
    broker->options = *options;
    if (broker->options.node_count == 0) {
        broker->options.node_count = 1;
    }
    if (broker->options.batch_size_max == 0) {
        broker->options.batch_size_max = 1048588;
    }
    (void)snprintf(broker->cluster_id, sizeof broker->cluster_id, "%s",
                   options->cluster_id ? options->cluster_id : "cluster-1");
    for (unsigned i = 0; i < broker->options.node_count; i++) {
        broker->nodes[i].up = true;
        broker_address_set(broker, i, "127.0.0.1", (uint16_t)(9092 + i));
    }
    broker->plain = malloc(BROKER_PLAIN_SIZE_MAX);
    enum err e = zstd_decoder_open(&broker->decoder);
    assert(broker->plain && !e);
    (void)e;
    return broker;
}

static void logs_clear(struct broker *broker)
{
    for (unsigned i = 0; i < broker->topic_count; i++) {
        for (uint32_t j = 0; j < BROKER_PARTITION_MAX; j++) {
            partition_clear(&broker->topics[i]->partitions[j]);
        }
    }
}

void broker_close(struct broker *broker)
{
    logs_clear(broker);
    for (unsigned i = 0; i < broker->topic_count; i++) {
        free(broker->topics[i]);
    }
    zstd_decoder_close(broker->decoder);
    free(broker->plain);
    free(broker);
}

void broker_time_set(struct broker *broker, int64_t now_ms)
{
    broker->now_ms = now_ms;
}

void broker_address_set(struct broker *broker, unsigned node, const char *host, uint16_t port)
{
    (void)snprintf(broker->nodes[node].host, sizeof broker->nodes[node].host, "%s", host);
    broker->nodes[node].port = port;
}

struct topic *broker_topic_find(const struct broker *broker, struct slice name)
{
    for (unsigned i = 0; i < broker->topic_count; i++) {
        if (slice_equal_text(name, broker->topics[i]->name)) {
            return broker->topics[i];
        }
    }
    return NULL;
}

struct topic *broker_topic_of(const struct broker *broker, const char *name)
{
    struct topic *topic = broker_topic_find(broker, slice_of_text(name));
    assert(topic);
    return topic;
}

void broker_topic_add(struct broker *broker, const char *name, uint32_t partition_count)
{
    assert(broker->topic_count < BROKER_TOPIC_MAX && partition_count <= BROKER_PARTITION_MAX);
    struct topic *topic = calloc(1, sizeof *topic);
    assert(topic);
    (void)snprintf(topic->name, sizeof topic->name, "%s", name);
    topic->partition_count = partition_count;
    topic->operations = 0xdf8;
    for (uint32_t i = 0; i < BROKER_PARTITION_MAX; i++) {
        topic->partitions[i].leader = i % broker->options.node_count;
    }
    broker->topics[broker->topic_count++] = topic;
}

void broker_topic_remove(struct broker *broker, const char *name)
{
    struct topic *topic = broker_topic_of(broker, name);
    for (unsigned i = 0; i < broker->topic_count; i++) {
        if (broker->topics[i] == topic) {
            broker->topics[i] = broker->topics[--broker->topic_count];
        }
    }
    for (uint32_t i = 0; i < BROKER_PARTITION_MAX; i++) {
        partition_clear(&topic->partitions[i]);
    }
    free(topic);
}

void broker_create_code_set(struct broker *broker, int16_t code)
{
    broker->options.create_code = code;
}

void broker_partitions_set(struct broker *broker, const char *name, uint32_t partition_count)
{
    broker_topic_of(broker, name)->partition_count = partition_count;
}

void broker_batch_size_set(struct broker *broker, size_t batch_size_max)
{
    broker->options.batch_size_max = batch_size_max;
}

void broker_leader_set(struct broker *broker, const char *name, uint32_t partition, unsigned node)
{
    broker_topic_of(broker, name)->partitions[partition].leader = node;
}

static void partition_each(struct broker *broker, unsigned node,
                           void (*each)(struct broker *broker, struct partition *partition))
{
    for (unsigned i = 0; i < broker->topic_count; i++) {
        for (uint32_t j = 0; j < broker->topics[i]->partition_count; j++) {
            if (broker->topics[i]->partitions[j].leader == node) {
                each(broker, &broker->topics[i]->partitions[j]);
            }
        }
    }
}

static void partition_elect(struct broker *broker, struct partition *partition)
{
    for (unsigned i = 0; i < broker->options.node_count; i++) {
        if (broker->nodes[i].up) {
            partition->leader = i;
            return;
        }
    }
}

static void partition_restart(struct broker *broker, struct partition *partition)
{
    (void)broker;
    for (unsigned i = 0; i < partition->pid_count; i++) {
        struct pid *pid = &partition->pids[i];
        pid->cached[0] = pid->cached[pid->cached_count - 1];
        pid->cached_count = 1;
    }
}

void broker_node_stop(struct broker *broker, unsigned node)
{
    broker->nodes[node].up = false;
    for (unsigned i = 0; i < BROKER_PEER_MAX; i++) {
        if (broker->peers[i] && broker_peer_node(broker->peers[i]) == node) {
            broker_peer_end(broker->peers[i]);
        }
    }
    partition_each(broker, node, partition_elect); /* stays where it is when nobody is left */
}

void broker_node_start(struct broker *broker, unsigned node)
{
    broker->nodes[node].up = true;
    partition_each(broker, node, partition_restart);
}

size_t broker_expire(struct broker *broker, int64_t age_ms)
{
    size_t count = 0;
    for (unsigned i = 0; i < broker->topic_count; i++) {
        for (uint32_t j = 0; j < BROKER_PARTITION_MAX; j++) {
            struct partition *partition = &broker->topics[i]->partitions[j];
            unsigned kept = 0;
            for (unsigned k = 0; k < partition->pid_count; k++) {
                struct pid *pid = &partition->pids[k];
                if (broker->now_ms - pid->cached[pid->cached_count - 1].time_ms < age_ms) {
                    partition->pids[kept++] = *pid;
                }
            }
            count += partition->pid_count - kept;
            partition->pid_count = kept;
        }
    }
    return count;
}

void broker_id_set(struct broker *broker, const char *cluster_id)
{
    broker->pid_next = 1000;
    (void)snprintf(broker->cluster_id, sizeof broker->cluster_id, "%s", cluster_id);
}

void broker_connections_end(struct broker *broker)
{
    for (unsigned i = 0; i < BROKER_PEER_MAX; i++) {
        if (broker->peers[i]) {
            broker_peer_end(broker->peers[i]);
        }
    }
}

void broker_password_set(struct broker *broker, const char *password)
{
    broker->options.password = password;
    broker->password_set_ms = broker->now_ms;
}

void broker_replace(struct broker *broker, const char *cluster_id)
{
    logs_clear(broker);
    broker->pid_next = 0;
    (void)snprintf(broker->cluster_id, sizeof broker->cluster_id, "%s", cluster_id);
    broker_connections_end(broker);
}

void broker_fault_add(struct broker *broker, const struct broker_fault *fault)
{
    assert(broker->fault_count < BROKER_FAULT_MAX);
    broker->faults[broker->fault_count++] = *fault;
}

size_t broker_fault_count(const struct broker *broker)
{
    return broker->fault_count;
}

void broker_faults_clear(struct broker *broker)
{
    broker->fault_count = 0;
}

bool broker_fault_take(struct broker *broker, int16_t api, struct broker_fault *ret)
{
    for (size_t i = 0; i < broker->fault_count; i++) {
        if (broker->faults[i].api == api) {
            *ret = broker->faults[i];
            broker->fault_count--;
            memmove(&broker->faults[i], &broker->faults[i + 1],
                    (broker->fault_count - i) * sizeof broker->faults[0]);
            return true;
        }
    }
    return broker->choose && broker->choose(broker->choose_context, api, ret);
}

void broker_chooser_set(struct broker *broker,
                        bool (*choose)(void *context, int16_t api, struct broker_fault *ret),
                        void *context)
{
    broker->choose = choose;
    broker->choose_context = context;
}

void broker_watch_set(struct broker *broker, const struct broker_watch *watch)
{
    broker->watch = *watch;
}

uint64_t broker_request_count(const struct broker *broker, int16_t api)
{
    return broker->requests[api];
}
