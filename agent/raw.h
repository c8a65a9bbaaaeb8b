/* weir.Raw: the schema of streams that have none, so that a site can begin before it writes one. */
#ifndef WEIR_AGENT_RAW_H
#define WEIR_AGENT_RAW_H

#include "buffer/buffer.h"

/* The schema's text. */
struct slice raw_schema(void);

/* The datum of an event; its time becomes a fill when it is not known yet (time_is_known false). */
void raw_put(struct out *ret, struct fill *ret_fill, bool time_is_known, int64_t time_us,
             struct slice source, struct slice subject, struct slice body);

/* A string of Avro from text that may come from anywhere (a file's name may hold anything): when it
 * is not UTF-8, its bytes above 0x7F become '?'. */
void raw_put_text(struct out *ret, struct slice text);

#endif
