/* The control socket: a unix socket beside the buffer, mode 0660, through which the command line
 * asks a running agent. One line of request, "status", "cat STREAM FIRST COUNT", "aside AFTER
 * COUNT"; one answer, JSON or JSON lines, then the connection ends. Loop thread. */
#ifndef WEIR_AGENT_CONTROL_H
#define WEIR_AGENT_CONTROL_H

#include "agent/agent.h"

#define CONTROL_CONNECTION_MAX 8
#define CONTROL_ANSWER_SIZE_MAX (1024 * 1024)
#define CONTROL_CAT_MAX 256 /* events of one answer */

struct control;

enum err control_open(struct control **ret, struct loop *loop, struct agent *agent,
                      const char *path, struct why *why) MUST_USE;
/* NULL is allowed. No job of it may be under way: the store worker is closed first. */
void control_close(struct control *control);

/* --- shared with the commands that read a buffer of a stopped agent --- */

struct buffer;
struct rows;
struct aside;
struct stored_event;

/* One event as a JSON line: {"stream":…,"sequence":…,"time":…,"event":…}; schema_json data NULL:
 * the datum as hex. */
void dump_event(struct out *line, const char *stream, const struct stored_event *event,
                struct slice schema_json, const char *identity);
/* One set-aside event as a JSON line. */
void dump_aside(struct out *line, int64_t id, const struct aside *aside, const char *stream);

#endif
