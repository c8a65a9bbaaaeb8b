/* Taking up while the agent runs what the configuration's file says of the streams' schemas. What else
 * is new there is named: it is taken up by a restart. Loop thread. */
#ifndef WEIR_AGENT_RELOAD_H
#define WEIR_AGENT_RELOAD_H

#include "agent/agent.h"

/* `newer`: another reading of the agent's file, checked; it lives until done(), which comes once, also
 * when the agent is closed before. Each schema goes through the gate; what is accepted is what comes
 * from now on gets. The other options of streams are config_take_streams()'s, within done(). `json`
 * is valid during the call:
 * {"reloaded":true,"streams":[{"name":"s","result":"accepted"|"refused"|"failed","schema":4,
 * "text":""}],"taken":["$.streams.s.unknown_fields"],"needs_restart":["$.uplinks.cloud.brokers"]};
 * of the streams those whose schema is another one; `schema` is the one in use.
 *
 * ERR_FULL: one is under way. */
enum err agent_reload(struct agent *agent, const struct config *newer,
                      void (*done)(void *context, struct slice json), void *context) MUST_USE;

#endif
