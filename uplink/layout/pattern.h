/* Names with {stream} and {agent} in them: topics, streams of a service, URLs. Pure. */
#ifndef WEIR_UPLINK_LAYOUT_PATTERN_H
#define WEIR_UPLINK_LAYOUT_PATTERN_H

#include "ports/slice.h"

struct pattern_names {
    const char *stream;
    struct slice agent;
};

/* Bytes of the {stream} or {agent} that `at` begins with; 0: it does not. */
size_t pattern_word(const char *at);
/* Appends the pattern with the names filled in, through `put`; NULL: as they are. */
void pattern_put(const char *pattern, const struct pattern_names *names,
                 void (*put)(struct out *ret, struct slice name), struct out *ret);

#endif
