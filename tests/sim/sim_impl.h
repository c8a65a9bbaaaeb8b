/* What the parts of the simulation share. */
#ifndef WEIR_TESTS_SIM_IMPL_H
#define WEIR_TESTS_SIM_IMPL_H

#include "tests/sim/net.h"
#include "tests/sim/sim.h"

/* One line of the trace. */
void sim_log_line(const char *line);
bool sim_loop_is_dead(const struct loop *loop);
/* A network delay in microseconds for `size` bytes, without waiting for earlier ones. */
uint64_t net_latency_us(void);
void net_open(void);
void net_close_all(void);
/* The agent has crashed: its peers see broken connections. */
void net_crash(void);
bool net_name_is_failing(const char *host);
void http_sim_close(void);
/* Some of the requests under way still arrive. */
void http_sim_crash(void);
void signals_sim_deliver(int number);

#endif
