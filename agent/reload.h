/* Taking up while the agent runs what its configuration's file says now. What comes first: newer is
 * read and checked (command.h), agent_may_take() looks at what is owed, config_differ() says which
 * parts are others, config_keep() what stays until a restart. Where `core` is, or an uplink is
 * another, the agent is opened anew around its drivers (agent.h: agent_pause()); else
 * agent_reload() changes it in place. Loop thread. */
#ifndef WEIR_AGENT_RELOAD_H
#define WEIR_AGENT_RELOAD_H

#include "agent/agent.h"

/* Does `newer` still carry all that uplinks have to deliver? ERR_CONFIG: *why says what it does not,
 * how much that is, and what to do. */
enum err agent_may_take(const struct agent *agent, const struct config *newer,
                        struct why *why) MUST_USE;

/* Streams' schemas and drivers. `older`: what is in force, `newer`: another reading of the file; both
 * live until done() or failed(), of which one comes once, also when the agent is closed before. What
 * drivers that change have handed over is stored before anything is changed; if the disk does not take
 * it, failed() says why, and all is as it was. Then each schema goes through
 * the gate; what is accepted is what comes from now on gets. Drivers become those of `newer`, which
 * they hold (intake_change()). The other options of streams are config_take_streams()'s, within done(),
 * into the configuration that the agent was opened with. `json` is valid during the call:
 * {"reloaded":true,"streams":[{"name":"s","result":"accepted"|"refused"|"failed","schema":4,
 * "text":""}],"taken":["$.streams.s.unknown_fields"],"needs_restart":["$.agent.id"],
 * "waiting":[{"name":"post","text":"..."}]};
 * of the streams those whose schema is another one; `schema` is the one in use; of the drivers those
 * that can't be opened, and are tried again.
 *
 * ERR_FULL: one is under way. ERR_NOMEM: nothing is changed. */
struct agent_reload_setup {
    const struct config *older;
    struct config *newer;
    struct config_difference difference;
    void (*done)(void *context, struct slice json);
    void (*failed)(void *context, const struct why *why);
    void *context;
};
enum err agent_reload(struct agent *agent, const struct agent_reload_setup *setup) MUST_USE;

/* --- when the agent is opened anew --- */

/* The schemas of its streams before that. */
struct reload_before;
enum err reload_before_open(struct reload_before **ret, const struct agent *agent) MUST_USE;
/* The same answer, of the agent that was opened with `newer`. `before` NULL: there was none. */
void reload_before_answer(const struct reload_before *before, const struct agent *agent,
                          const struct agent_reload_setup *setup, struct out *json);
#define RELOAD_ANSWER_SIZE (512 * 1024)
/* NULL is allowed. */
void reload_before_close(struct reload_before *before);

#endif
