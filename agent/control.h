/* The control socket: a unix socket beside the buffer, mode 0660, through which the command line
 * asks a running agent. One line of request: "status" and "streams" are answered by a line of JSON;
 * a request for a tool (agent/tool.h) by its frames, whose work is done in pieces on the store
 * worker, a piece at a time as fast as the peer reads. Then the connection ends. What takes events
 * out of the agent's hands is done for root and for the agent's own user only. Loop thread. */
#ifndef WEIR_AGENT_CONTROL_H
#define WEIR_AGENT_CONTROL_H

#include "agent/agent.h"

#define CONTROL_PEER_MAX 8
#define CONTROL_ANSWER_SIZE_MAX (1024 * 1024)

struct control;

/* Listens, for an agent that is opened later. Whoever asks until then is told to ask again. */
enum err control_listen(struct control **ret, struct loop *loop, const char *path,
                        struct why *why) MUST_USE;
/* At the path of the agent's configuration. `before`: that of the agent before, see control_keep();
 * `next`: of control_listen(); or NULL. The one of this path is taken over, with who waits at
 * `before`; the other one is closed. On failure both are as they were. */
enum err control_open(struct control **ret, struct agent *agent, struct control *before,
                      struct control *next, struct why *why) MUST_USE;
/* While another agent is opened in place of its own: ends all connections but those that wait for the
 * answer to a reload. No job of it may be under way. */
void control_keep(struct control *control);
/* Before there is an agent, because it can't be opened: tells whoever asks why, and reloads as the
 * agent of this setup would. Opens *control when it is NULL, or stands elsewhere, at the path of the
 * agent's socket with CONTROL_WAITING behind it: the file is nobody's, and tools work on it. The
 * setup's configuration lives until the next call. */
#define CONTROL_WAITING ".waiting"
enum err control_wait(struct control **control, const struct agent_setup *setup,
                      const struct why *waits, struct why *why) MUST_USE;
/* What had to wait for something other than a commit may be offered again. NULL is allowed. */
void control_resume(struct control *control);
/* NULL is allowed. No job of it may be under way: the store worker is closed first. */
void control_close(struct control *control);

#endif
