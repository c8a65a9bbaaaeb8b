/* The uplink kafka and a cluster of two nodes on the simulated network, with what tests of single
 * troubles ask about them. */
#ifndef WEIR_TESTS_SIM_KAFKA_SCENE_H
#define WEIR_TESTS_SIM_KAFKA_SCENE_H

#include "tests/sim/kafka_net.h"
#include "tests/uplink/kafka_host.h"
#include "uplink/kafka/wire.h"

#define PARTITIONS 4 /* of the topic "events" */
#define NODES 2
#define NOBODY (BROKER_NODE_MAX - 1) /* a node that never runs */

struct scene {
    struct broker *broker;
    struct kafka_net *net;
    struct uplink_host host;
    struct lot lot, second;
};

/* The uplink is opened by the test, once it has its options. */
struct scene *scene_begin(const struct broker_options *options);
void scene_end(struct scene *scene);
/* Within a scene: the agent's process begins (without an open uplink), and ends. */
void scene_life_begin(struct scene *scene);
void scene_life_end(struct scene *scene);

/* Node `node` leads every partition. */
void scene_leaders(struct scene *scene, unsigned node);
/* Requests that the cluster has had. */
uint64_t scene_count(const struct scene *scene, enum wire_api api);
/* Happens to the next request of this kind. */
void scene_fault(struct scene *scene, enum wire_api api, enum broker_fault_kind kind, int16_t code,
                 uint32_t value);
/* Records in the topic. */
uint64_t scene_log_count(const struct scene *scene);

#endif
