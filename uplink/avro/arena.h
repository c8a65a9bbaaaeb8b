/* Memory that is given back all at once: what a schema consists of. */
#ifndef WEIR_UPLINK_AVRO_ARENA_H
#define WEIR_UPLINK_AVRO_ARENA_H

#include "ports/err.h"
#include "ports/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used; /* of the newest block */
    bool failed; /* sticky: an allocation failed */
};

/* Zeroed, aligned for anything; NULL after a failure, which sticks. */
void *arena_take(struct arena *arena, size_t size);
struct slice arena_copy(struct arena *arena, struct slice s);
void arena_release(struct arena *arena);

#endif
