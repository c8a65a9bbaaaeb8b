/* The versions of schemas that a buffer keeps, for commands: of a running agent, or of the file of a
 * stopped one. */
#ifndef WEIR_AGENT_KEPT_H
#define WEIR_AGENT_KEPT_H

#include "agent/gate.h"
#include "agent/tool_source.h"

struct kept {
    char stream[STREAM_NAME_SIZE_MAX];
    struct gate_version version; /* its text is ours */
};

/* Of each stream oldest first. */
struct kept_all {
    struct kept *items;
    size_t count;
};

/* Those of a stream; "": of all. ERR_CONFIG: there is no such buffer; ERR_REJECTED: no such stream.
 * Whatever comes of it, `ret`, which is zeroed, is to be released. */
enum err kept_ask(struct kept_all *ret, const struct source_setup *setup, const char *stream,
                  struct why *why) MUST_USE;
void kept_release(struct kept_all *all);

#endif
