/* A schema as a registry gets it: in one piece, or with the types that have subjects of their own
 * apart ("references" of Confluent's API). What is sent to readers is the same either way. Pure but
 * for memory. */
#ifndef WEIR_UPLINK_REGISTRY_PIECES_H
#define WEIR_UPLINK_REGISTRY_PIECES_H

#include "ports/err.h"
#include "ports/slice.h"

#define PIECE_MAX 65 /* REGISTRY_REFERENCE_MAX, and the schema itself */

struct option_map;

/* One text of its own, with its names for the types that are apart. */
struct piece {
    const char *name;    /* the type's full name, the user's own text; NULL: the schema itself */
    const char *subject; /* the user's; NULL: the schema itself */
    struct slice text;
    bool needs[PIECE_MAX]; /* by index: what its text refers to */
};

struct pieces {
    struct piece *items; /* each behind those that it needs; the schema itself is the last */
    size_t count;
    uint8_t *memory;
};

/* `references`: full names of types to subjects; those that the schema does not have are left
 * alone. `schema` must stay. ERR_CONFIG: *why says which name is wrong. ERR_NOMEM. */
enum err pieces_open(struct pieces *ret, struct slice schema, const struct option_map *references,
                     struct why *why) MUST_USE;
void pieces_close(struct pieces *pieces);

/* The body of a request about a piece: {"schema":"...","references":[...]}. `versions`: of the
 * pieces that it needs, by index. malloc'd. */
enum err piece_body(const struct pieces *pieces, size_t index, const uint32_t *versions,
                    struct slice *ret) MUST_USE;

#endif
