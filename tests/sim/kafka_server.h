/* The cluster of kafka_broker.h behind listeners: over real sockets, or over simulated ones, as the
 * program is linked. */
#ifndef WEIR_TESTS_SIM_KAFKA_SERVER_H
#define WEIR_TESTS_SIM_KAFKA_SERVER_H

#include "ports/stream.h"
#include "tests/sim/kafka_broker.h"

struct kafka_server;

/* One listener for each node on 127.0.0.1; port_first 0: the system chooses. The broker is
 * the caller's. */
struct kafka_server *kafka_server_open(struct broker *broker, unsigned node_count,
                                       struct loop *loop, struct tls *tls, uint16_t port_first);
void kafka_server_close(struct kafka_server *server);
uint16_t kafka_server_port(const struct kafka_server *server, unsigned node);
/* After broker_node_stop(), broker_replace(): ends the connections that the broker has ended, and
 * stops or starts to listen. */
void kafka_server_node(struct kafka_server *server, unsigned node, bool up);
/* For listeners that are opened from now on; NULL: without TLS. */
void kafka_server_tls_set(struct kafka_server *server, struct tls *tls);
/* Connections that the open listener of a node has had, also those that ended in the handshake. */
uint64_t kafka_server_attempts(const struct kafka_server *server, unsigned node);

#endif
