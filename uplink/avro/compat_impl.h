/* Inside of compatibility: what its files share. */
#ifndef WEIR_UPLINK_AVRO_COMPAT_IMPL_H
#define WEIR_UPLINK_AVRO_COMPAT_IMPL_H

#include "uplink/avro/arena.h"
#include "uplink/avro/compat.h"

/* One step on the way from the root, which is NULL. */
struct avro_place {
    const struct avro_place *up;
    const struct avro_field *field; /* "/fields/INDEX"; else NULL */
    const char *word;               /* "/WORD"; NULL: "/INDEX" */
    uint32_t index;
};

void avro_place_put(const struct avro_place *place, struct out *ret);

/* --- compat_walk.c: two types side by side --- */

/* What a pair consists of: findings of its own, and pairs that were compared before or within. */
struct item {
    struct item *next;
    const struct avro_finding *finding; /* NULL: `pair` */
    const struct pair *pair;
};

struct pair {
    const struct avro_node *reader;
    const struct avro_node *writer;
    struct item *first; /* NULL: compatible */
    struct item *last;
    bool is_done; /* until then it counts as compatible: what stands against it is told once */
};

struct frame;

/* What has been compared, and what was found. */
struct checker {
    struct arena *places; /* outlives the rest */
    struct arena arena;   /* pairs and their items */
    struct pair **table;
    uint32_t table_count; /* a power of two */
    uint32_t pair_count;
    struct frame *frames;
    uint32_t depth;
    struct why *why;
    enum err e; /* sticky */
};

/* ERR_CORRUPT, ERR_REJECTED: as avro_compat_open(). Whatever comes, checker_release() follows. */
enum err checker_run(struct checker *c, const struct avro_node *reader,
                     const struct avro_node *writer, const struct pair **ret) MUST_USE;
void checker_release(struct checker *c);

#endif
