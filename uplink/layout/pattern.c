#include "uplink/layout/pattern.h"

#define STREAM_WORD "{stream}"
#define AGENT_WORD "{agent}"

static bool is_stream(const char *at)
{
    return strncmp(at, STREAM_WORD, strlen(STREAM_WORD)) == 0;
}

size_t pattern_word(const char *at)
{
    return is_stream(at)                                      ? strlen(STREAM_WORD)
           : strncmp(at, AGENT_WORD, strlen(AGENT_WORD)) == 0 ? strlen(AGENT_WORD)
                                                              : 0;
}

void pattern_put(const char *pattern, const struct pattern_names *names,
                 void (*put)(struct out *ret, struct slice name), struct out *ret)
{
    for (const char *c = pattern; *c;) {
        size_t size = pattern_word(c);
        if (size == 0) {
            out_put_byte(ret, (uint8_t)*c++);
            continue;
        }
        struct slice name = is_stream(c) ? slice_of_text(names->stream) : names->agent;
        (put ? put : out_put_slice)(ret, name);
        c += size;
    }
}
