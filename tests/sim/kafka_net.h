/* The cluster of kafka_broker.h on the simulated network: node n listens at "kafka-N":9092 (N from
 * 1). Peers' timers run on sim_loop(), so brokers outlive the agent's crashes. */
#ifndef WEIR_TESTS_SIM_KAFKA_NET_H
#define WEIR_TESTS_SIM_KAFKA_NET_H

#include "tests/sim/kafka_broker.h"

struct kafka_net;

/* The broker is the caller's. */
struct kafka_net *kafka_net_open(struct broker *broker, unsigned node_count);
void kafka_net_close(struct kafka_net *net);
/* kill -9 of a node, and its start. */
void kafka_net_stop(struct kafka_net *net, unsigned node);
void kafka_net_start(struct kafka_net *net, unsigned node);
/* Gives the next requests faults at this rate, chosen by the simulation's chance. */
void kafka_net_faults_set(struct kafka_net *net, uint32_t per_million);
/* How many were dealt out, by kind. */
uint64_t kafka_net_fault_count(const struct kafka_net *net, enum broker_fault_kind kind);

#endif
