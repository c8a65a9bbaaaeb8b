/* Which events of a row stay when the buffer thins it (`when_full: thin`): those that hold the
 * minimum, the maximum and the last value of each numeric field, for each key within each window of
 * time. Whole events, chosen and never invented; what stays depends on the events alone.
 *
 * Numeric are int, long, float, double and decimals, plain or in a union, at the top or in records
 * within records; not times, nor what lies in arrays, maps, or records that may be null. Of a stream
 * without any the last event of each window and key stays. Not-a-number is neither minimum nor
 * maximum.
 *
 * Filled before the buffer's first commit; then, also with schemas that come later, on the store
 * worker only. */
#ifndef WEIR_AGENT_THIN_H
#define WEIR_AGENT_THIN_H

#include "buffer/buffer.h"

struct thin;

enum err thin_open(struct thin **ret) MUST_USE;
/* NULL is allowed. */
void thin_close(struct thin *thin);

/* A stream that is thinned. key: a field of its schema; NULL: all its events have one key. The text
 * outlives `thin`. */
void thin_stream_set(struct thin *thin, uint16_t stream, int64_t window_us, const char *key);
/* A schema that rows of the buffer may have, of any stream. Of one that can't be read everything
 * stays. Again, after it failed, is fine. */
enum err thin_schema_add(struct thin *thin, uint16_t stream, uint32_t number,
                         struct slice json) MUST_USE;

/* For buffer_setup. */
struct buffer_thinner thin_thinner(struct thin *thin);

#endif
