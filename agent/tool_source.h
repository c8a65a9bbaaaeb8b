/* Where a command's tool works: in the agent, when one answers at the socket, else on the file
 * itself. The commands see no difference. */
#ifndef WEIR_AGENT_TOOL_SOURCE_H
#define WEIR_AGENT_TOOL_SOURCE_H

#include "agent/tool.h"

struct keys;
struct machine;
struct tool_source;

struct source_setup {
    const char *buffer_path;
    const char *socket_path;
    const char *key_path; /* files with the buffer's keys; NULL: none */
    const char *old_key_path;
    const struct keys *keys; /* instead of files; until opened. NULL: of files */
    bool writes;             /* the tool changes the buffer */
    const struct machine
        *machine;    /* this one, when it stores new events; until opened. NULL: it doesn't */
    bool needs_file; /* not through an agent: refused while one has the buffer */
};
/* ERR_CONFIG: there is no such buffer. */
enum err tool_source_open(struct tool_source **ret, const struct source_setup *setup,
                          struct why *why) MUST_USE;
/* NULL is allowed. */
void tool_source_close(struct tool_source *source);
bool tool_source_is_running(const struct tool_source *source);
/* Of the stopped agent's file; NULL: an agent has it. */
struct buffer *tool_source_buffer(struct tool_source *source);

/* Runs a tool. `frame` gets every frame but the last, until it gives an error, which ends it. */
enum err tool_source_run(struct tool_source *source, const struct tool_request *request,
                         enum err (*frame)(void *context, enum frame_kind kind,
                                           struct slice payload, struct why *why),
                         void *context, struct why *why) MUST_USE;

/* After a run of TOOL_IMPORT: a batch as import.h has it. Returns when it is durable. */
enum err tool_source_import(struct tool_source *source, struct slice batch,
                            struct why *why) MUST_USE;

#endif
