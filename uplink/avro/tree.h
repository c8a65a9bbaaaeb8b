/* A JSON text as a tree in an arena: for schemas and their defaults, whose members come in any
 * order. Numbers stay text. */
#ifndef WEIR_UPLINK_AVRO_TREE_H
#define WEIR_UPLINK_AVRO_TREE_H

#include "ports/lib/json.h"
#include "uplink/avro/arena.h"

struct tree {
    enum json_kind kind; /* NULL, TRUE, FALSE, NUMBER, STRING, OBJECT_BEGIN, ARRAY_BEGIN */
    struct slice text;   /* NUMBER: as written; STRING: unescaped */
    struct slice raw;    /* the whole value as it stands in the input */
    struct slice key;    /* of a member */
    struct tree *first;  /* member or element */
    struct tree *next;   /* sibling */
    uint32_t count;      /* of members or elements */
};

/* The whole of `input` is one value, nested at most so deep. The tree points into `input` and into
 * the arena. On failure *why is "line ..., column ...: sentence", behind "/json/pointer: " where
 * something is open. */
enum err tree_parse(struct tree **ret, struct arena *arena, struct slice input, unsigned depth_max,
                    struct why *why) MUST_USE;
/* NULL: not an object, or no such member. */
const struct tree *tree_member(const struct tree *object, const char *key);

/* Puts at most 64 characters (128 bytes) of a text of the input where a person reads it: without control
 * characters; as a part of a JSON pointer with "~1" for "/". */
void tree_put_shown(struct out *o, struct slice text, bool is_pointer);

#endif
