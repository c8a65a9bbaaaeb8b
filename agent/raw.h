/* weir.Raw: the schema of streams that have none, so that a site can begin before it writes one. */
#ifndef WEIR_AGENT_RAW_H
#define WEIR_AGENT_RAW_H

#include "buffer/buffer.h"

/* The schema's text. */
struct slice raw_schema(void);

struct raw_event {
    bool time_is_known; /* else it becomes a fill */
    int64_t time_us;
    struct slice source;
    struct slice subject;
    struct slice body;
};

/* The datum of an event. */
void raw_put(const struct raw_event *event, struct out *ret, struct fill *ret_fill);

/* A string of Avro from text that may come from anywhere (a file's name may hold anything): when it
 * is not UTF-8, its bytes above 0x7F become '?'. */
void raw_put_text(struct out *ret, struct slice text);

#endif
