/* A JSON text as a tree: for the configuration and the answers of services, which are read in any
 * order and where a name may be missing. cJSON makes the tree; json.h checks the text before (its
 * limits, duplicate keys, UTF-8) and gives each value its place and each number its text, which
 * cJSON does not keep. (Payloads do not come here: json.h reads them without allocating.) */
#ifndef WEIR_PORTS_LIB_JSON_TREE_H
#define WEIR_PORTS_LIB_JSON_TREE_H

#include "ports/lib/json.h"

#define JSON_TREE_SIZE_MAX (4 * 1024 * 1024) /* bytes of text */

struct json_node {
    enum json_kind kind; /* OBJECT_BEGIN, ARRAY_BEGIN for objects and arrays; never KEY or an END */
    const char *name;    /* the key, unescaped, NUL behind; NULL in arrays and for the root */
    struct slice text;   /* STRING: unescaped, NUL behind; objects, arrays, others: as written */
    size_t name_offset;  /* of the key in the input; without a key that of the value */
    size_t offset;       /* of the value in the input */
    size_t count;        /* of children */
    bool has_nul;        /* STRING: its text is cut there */
    const struct json_node *child; /* the first */
    const struct json_node *next;  /* the sibling behind it */
};

struct json_tree;

/* Reads `input`, which may hold nothing but one value and must stay until the tree is closed.
 * ERR_CORRUPT, ERR_REJECTED: *why says what, *ret_error_offset where (set on these only); a name
 * with a NUL in it and a number of more than 63 characters are refused. ERR_NOMEM. */
enum err json_tree_open(struct json_tree **ret, struct slice input, struct why *why,
                        size_t *ret_error_offset) MUST_USE;
/* NULL is allowed. */
void json_tree_close(struct json_tree *tree);
const struct json_node *json_tree_root(const struct json_tree *tree);

/* The member of an object; NULL: none, or not an object (NULL included). */
const struct json_node *json_node_find(const struct json_node *node, const char *name);
bool json_node_is_object(const struct json_node *node);
/* The text of a STRING that holds no NUL; NULL: anything else. */
const char *json_node_text(const struct json_node *node);
/* A NUMBER that is a whole one of 64 bits. */
bool json_node_integer(const struct json_node *node, int64_t *ret) MUST_USE;

#endif
