/* What is asked over HTTP of how the agent is: the page for a person, /status, /metrics, /healthz,
 * /readyz (STATUS.md). Answers from the same JSON as `weir status`, on the loop, when somebody asks.
 * It lives longer than an agent, so that it also tells of a disk that is waited for. Loop thread. */
#ifndef WEIR_AGENT_STATUS_SERVER_H
#define WEIR_AGENT_STATUS_SERVER_H

#include "agent/agent.h"

#define STATUS_SIZE_MAX (1024 * 1024)        /* of the JSON */
#define STATUS_METRICS_MAX (4 * 1024 * 1024) /* of what is made of it */
#define STATUS_RETRY_MS 30000                /* a port that is taken is tried again */
#define STATUS_SILENT_MS 10000               /* a store that is silent for so long is not healthy */

struct status_server;

/* Not to be able to listen is logged, and tried again: no reason not to collect. ERR_NOMEM is the
 * only error. With `enabled: false` *ret is NULL; all verbs take that. `config` is held. */
enum err status_server_open(struct status_server **ret, struct loop *loop,
                            struct config *config) MUST_USE;
/* From now on it tells of this agent; NULL, before that is closed: of one that waits for its buffer
 * for this reason. */
void status_server_agent(struct status_server *server, struct agent *agent);
void status_server_waits(struct status_server *server, const struct why *why);
/* 0: it does not listen. */
uint16_t status_server_port(const struct status_server *server);
void status_server_close(struct status_server *server);

/* May it be asked by this "Host"? An address, localhost, or one of `hosts`; NULL, as none was sent,
 * is no. Else a web page could have its own name point here, and read what it gets (DNS rebinding). */
bool status_host_is_ours(const char *host, const struct option_list *hosts);

#endif
