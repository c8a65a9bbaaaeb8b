/* The two clusters of the site, and what happens to them. */
#include <assert.h>
#include <string.h>

#include "tests/sim/agent_site.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/kafka/errors.h"

#define MINUTE_US UINT64_C(60000000)
#define EXPIRE_MS (INT64_C(24) * 60 * 60 * 1000)
#define EXPIRE_EVERY_US (10 * MINUTE_US)
#define PARTITIONS_MAX 8

static const char *const cluster_names[LEDGER_UPLINKS] = {"east", "west"};

static void batch_arrived(void *context, const char *topic, uint32_t partition, size_t first,
                          size_t count)
{
    struct site_cluster *cluster = context;
    struct site *site = cluster->site;
    ledger_arrived(&site->ledger, cluster->index, cluster->broker, topic, partition, first, count);
    if (site->aim == AIM_ARRIVAL && site->steps_left < 0 && sim_below(20) == 0) {
        site->steps_left = (int)sim_below(12);
    }
}

static bool body_is_refused(void *context, struct slice body)
{
    const struct site_cluster *cluster = context;
    return cluster->site->brokers_refuse && memmem(body.data, body.size, "(bad)", 5) != NULL;
}

static void topic_make(struct site_cluster *cluster, unsigned stream)
{
    cluster->partitions[stream] = 1 + (uint32_t)sim_below(PARTITIONS_MAX / 2);
    broker_topic_add(cluster->broker, ledger_stream_names[stream], cluster->partitions[stream]);
}

static void cluster_open(struct site *site, unsigned index)
{
    struct site_cluster *cluster = &site->clusters[index];
    char id[32];
    (void)snprintf(id, sizeof id, "cluster-%s", cluster_names[index]);
    *cluster = (struct site_cluster){
        .site = site, .index = index, .node_count = 1 + (unsigned)sim_below(3)};
    struct broker_options options = {.node_count = cluster->node_count,
                                     .cluster_id = id,
                                     .describe_max = sim_below(4) ? 0 : -1,
                                     .batch_size_max = sim_below(3) ? 0 : 4096,
                                     .log_append_time = sim_below(4) == 0};
    cluster->broker = broker_open(&options);
    cluster->net = kafka_net_open(cluster->broker, cluster->node_count, cluster_names[index]);
    struct broker_watch watch = {
        .appended = batch_arrived, .refuses = body_is_refused, .context = cluster};
    broker_watch_set(cluster->broker, &watch);
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        if (sim_below(3) > 0) {
            topic_make(cluster, s);
        }
    }
    broker_topic_add(cluster->broker, CONFIG_EVENTS_STREAM, 1);
    kafka_net_faults_set(cluster->net, (uint32_t)sim_below(4) * 20000, site->profile.all_codes);
}

void clusters_open(struct site *site)
{
    for (unsigned i = 0; i < LEDGER_UPLINKS; i++) {
        cluster_open(site, i);
    }
}

static void cluster_count(struct site *site, const struct kafka_net *net)
{
    unsigned count;
    const struct kafka_error *table = kafka_error_table(&count);
    for (unsigned i = 0; i < count; i++) {
        site->codes[i] += kafka_net_code_count(net, table[i].code);
    }
    for (unsigned i = 0; i <= BROKER_SHORT; i++) {
        site->kinds[i] += kafka_net_fault_count(net, (enum broker_fault_kind)i);
    }
    for (int16_t i = 0; i < WIRE_API_COUNT; i++) {
        site->apis[i] += kafka_net_api_count(net, i);
    }
}

void clusters_close(struct site *site)
{
    for (unsigned i = 0; i < LEDGER_UPLINKS; i++) {
        cluster_count(site, site->clusters[i].net);
        kafka_net_close(site->clusters[i].net);
        broker_close(site->clusters[i].broker);
    }
}

/* --- what happens --- */

static void node_kill(struct site_cluster *cluster, unsigned node, uint64_t for_us)
{
    if (cluster->node_back_us[node] == 0) {
        cluster->node_back_us[node] = sim_now_us() + for_us;
        kafka_net_stop(cluster->net, node);
    }
}

static void node_start(struct site_cluster *cluster, unsigned node)
{
    if (cluster->node_back_us[node] != 0) {
        cluster->node_back_us[node] = 0;
        kafka_net_start(cluster->net, node);
    }
}

static void leader_move(struct site_cluster *cluster)
{
    unsigned stream = (unsigned)sim_below(LEDGER_STREAMS);
    unsigned node = (unsigned)sim_below(cluster->node_count);
    if (cluster->partitions[stream] > 0 && cluster->node_back_us[node] == 0 &&
        cluster->node_count > 1) {
        broker_leader_set(cluster->broker, ledger_stream_names[stream],
                          (uint32_t)sim_below(cluster->partitions[stream]), node);
        cluster->site->happened[HAPPENS_LEADER_MOVE]++;
    }
}

static void partitions_add(struct site_cluster *cluster)
{
    unsigned stream = (unsigned)sim_below(LEDGER_STREAMS);
    uint32_t *count = &cluster->partitions[stream];
    if (*count > 0 && *count < PARTITIONS_MAX) {
        *count += 1 + (uint32_t)sim_below(PARTITIONS_MAX - *count);
        broker_partitions_set(cluster->broker, ledger_stream_names[stream], *count);
        cluster->site->happened[HAPPENS_PARTITIONS_ADDED]++;
    }
}

static void topic_comes(struct site_cluster *cluster)
{
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        if (cluster->partitions[s] == 0) {
            topic_make(cluster, s);
            cluster->site->happened[HAPPENS_TOPIC_LATE]++;
            return;
        }
    }
}

static void all_nodes_kill(struct site_cluster *cluster)
{
    uint64_t for_us = MINUTE_US + sim_below(15 * MINUTE_US);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        node_kill(cluster, i, for_us);
    }
    cluster->site->happened[HAPPENS_CLUSTER_DOWN]++;
}

/* Another cluster behind the same names, with the same topics. Once: its producer ids are others. */
static void cluster_replace(struct site_cluster *cluster)
{
    char id[32];
    if (cluster->is_replaced || sim_below(4)) {
        return;
    }
    (void)snprintf(id, sizeof id, "cluster-%s-2", cluster_names[cluster->index]);
    cluster->is_replaced = true;
    broker_id_set(cluster->broker, id);
    if (sim_below(2)) {
        net_cut_all();
    }
    cluster->site->happened[HAPPENS_CLUSTER_REPLACED]++;
}

static void one_thing(struct site_cluster *cluster)
{
    struct site *site = cluster->site;
    switch (sim_below(9)) {
    case 7:
        cluster_replace(cluster);
        break;
    case 0:
        all_nodes_kill(cluster);
        break;
    case 1:
    case 2:
        node_kill(cluster, (unsigned)sim_below(cluster->node_count), 1 + sim_below(2 * MINUTE_US));
        site->happened[HAPPENS_NODE_KILL]++;
        break;
    case 3:
    case 4:
        leader_move(cluster);
        break;
    case 5:
        partitions_add(cluster);
        break;
    case 6:
        topic_comes(cluster);
        break;
    default:
        kafka_net_faults_set(cluster->net, (uint32_t)sim_below(4) * 40000, site->profile.all_codes);
        break;
    }
}

void clusters_tick(struct site *site)
{
    for (unsigned i = 0; i < LEDGER_UPLINKS; i++) {
        struct site_cluster *cluster = &site->clusters[i];
        for (unsigned n = 0; n < cluster->node_count; n++) {
            if (cluster->node_back_us[n] && cluster->node_back_us[n] <= sim_now_us()) {
                node_start(cluster, n);
            }
        }
        if (cluster->expired_us + EXPIRE_EVERY_US <= sim_now_us()) {
            cluster->expired_us = sim_now_us();
            cluster->site->happened[HAPPENS_PRODUCER_FORGOTTEN] +=
                broker_expire(cluster->broker, EXPIRE_MS);
        }
        if (sim_chance(8000 * site->profile.weather)) {
            one_thing(cluster);
        }
    }
}

void clusters_grow(struct site *site)
{
    for (unsigned i = 0; i < LEDGER_UPLINKS; i++) {
        for (unsigned n = 0; n < LEDGER_STREAMS && sim_below(2); n++) {
            partitions_add(&site->clusters[i]);
        }
    }
}

void clusters_mend(struct site *site)
{
    for (unsigned i = 0; i < LEDGER_UPLINKS; i++) {
        struct site_cluster *cluster = &site->clusters[i];
        kafka_net_faults_set(cluster->net, 0, false);
        broker_batch_size_set(cluster->broker, 1048588);
        for (unsigned n = 0; n < cluster->node_count; n++) {
            node_start(cluster, n);
        }
        for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
            if (cluster->partitions[s] == 0) {
                topic_make(cluster, s);
            }
        }
    }
}
