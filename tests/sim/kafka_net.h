/* The cluster of kafka_broker.h on the simulated network: node n listens at "NAME-N":9092 (N from
 * 1). Peers' timers run on sim_loop(), so brokers outlive the agent's crashes; their clock is right
 * whatever happens to the agent's. */
#ifndef WEIR_TESTS_SIM_KAFKA_NET_H
#define WEIR_TESTS_SIM_KAFKA_NET_H

#include "tests/sim/kafka_broker.h"

struct kafka_net;

/* The broker is the caller's. */
struct kafka_net *kafka_net_open(struct broker *broker, unsigned node_count, const char *name);
/* The node is at another host from now on, and says so in metadata. */
void kafka_net_move(struct kafka_net *net, unsigned node, const char *host);
void kafka_net_close(struct kafka_net *net);
/* kill -9 of a node, and its start. */
void kafka_net_stop(struct kafka_net *net, unsigned node);
void kafka_net_start(struct kafka_net *net, unsigned node);
/* Ends all connections in order, as brokers do with those that are idle. */
void kafka_net_end(struct kafka_net *net);
/* Gives requests faults at this rate, chosen by the simulation's chance: Produce alone with codes
 * that end well by themselves; or, when `every`, all requests, with every code that is known, and
 * answers that come after the client has lost its patience. */
void kafka_net_faults_set(struct kafka_net *net, uint32_t per_million, bool every);
/* How many were dealt out: of a kind; with a code, to Produce; to requests of an API. */
uint64_t kafka_net_fault_count(const struct kafka_net *net, enum broker_fault_kind kind);
uint64_t kafka_net_code_count(const struct kafka_net *net, int16_t code);
uint64_t kafka_net_api_count(const struct kafka_net *net, int16_t api);

/* As the brokers see the time. */
int64_t kafka_net_now_ms(void);

#endif
