/* The cluster of kafka_broker.h behind listeners: over real sockets, or over simulated ones, as the
 * program is linked. */
#ifndef WEIR_TESTS_SIM_KAFKA_SERVER_H
#define WEIR_TESTS_SIM_KAFKA_SERVER_H

#include "ports/stream.h"
#include "tests/sim/kafka_broker.h"

struct kafka_server;

/* One listener for each node on 127.0.0.1; port_first 0: the system chooses. The broker is the
 * caller's. */
struct kafka_server *kafka_server_open(struct broker *broker, unsigned node_count,
                                       struct loop *loop, struct tls *tls, uint16_t port_first);
void kafka_server_close(struct kafka_server *server);
uint16_t kafka_server_port(const struct kafka_server *server, unsigned node);
/* After broker_node_stop(), broker_replace(): ends the connections that the broker has ended, and
 * stops or starts to listen. */
void kafka_server_node(struct kafka_server *server, unsigned node, bool up);

#endif
