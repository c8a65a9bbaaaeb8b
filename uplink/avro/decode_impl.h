/* Inside of the Avro library: what everything that walks through a datum shares. */
#ifndef WEIR_UPLINK_AVRO_DECODE_IMPL_H
#define WEIR_UPLINK_AVRO_DECODE_IMPL_H

#include "uplink/avro/decode.h"

/* Where a walk through one datum is, and what bounds it. */
struct walk {
    struct slice data;
    const char *wrong;  /* after ERR_CORRUPT: a sentence */
    size_t empty_count; /* against AVRO_EMPTY_MAX */
    unsigned depth;     /* against AVRO_NEST_MAX */
};

/* ERR_CORRUPT with the sentence. */
enum err walk_corrupt(struct walk *walk, const char *wrong) MUST_USE;
/* Every value begins and ends with these two; `before` is what was left when it began. */
enum err walk_enter(struct walk *walk) MUST_USE;
enum err walk_leave(struct walk *walk, size_t before) MUST_USE;
/* The count of an array's or map's next block; 0: the end. */
enum err walk_count(struct walk *walk, uint64_t *ret) MUST_USE;
enum err walk_key(struct walk *walk, struct slice *ret) MUST_USE;
enum err walk_whole(struct walk *walk, enum avro_kind kind, int64_t *ret) MUST_USE;
/* string, bytes, fixed */
enum err walk_bytes(struct walk *walk, const struct avro_node *node, struct slice *ret) MUST_USE;
enum err walk_symbol(struct walk *walk, const struct avro_node *node, uint32_t *ret) MUST_USE;
enum err walk_branch(struct walk *walk, const struct avro_node *node, uint32_t *ret) MUST_USE;
/* Takes a value of this type. On failure the walk is over. */
enum err walk_skip(struct walk *walk, const struct avro_node *node) MUST_USE;

#endif
