/* Inside of parsing a schema: what its files share. */
#ifndef WEIR_UPLINK_AVRO_PARSE_IMPL_H
#define WEIR_UPLINK_AVRO_PARSE_IMPL_H

#include "uplink/avro/arena.h"
#include "uplink/avro/schema.h"
#include "uplink/avro/tree.h"

#define POINTER_SIZE_MAX 352 /* with a sentence behind, it fits a struct why */

/* A named type, known from where its definition begins. */
struct named {
    struct avro_node *node;
    struct named *next;
};

struct pending_default {
    struct avro_field *field;
    const struct tree *value;
    struct slice pointer; /* with a NUL behind */
    struct pending_default *next;
};

struct parser {
    struct arena *arena;
    struct why *why;
    struct named *named;
    struct pending_default *defaults;
    struct pending_default **defaults_end;
    char pointer[POINTER_SIZE_MAX]; /* JSON pointer of the place */
    size_t pointer_size;
    uint32_t node_count;
    uint32_t named_count;
    unsigned depth;
};

/* Goes one member or (member NULL) one element deeper; gives what parser_leave() takes. A place
 * too long for the pointer stays at the last that had room. */
size_t parser_enter(struct parser *p, const char *member, uint32_t index);
void parser_leave(struct parser *p, size_t before);
void *parser_take(struct parser *p, size_t size, enum err *ret_e);

/* --- parse_name.c --- */

/* ERR_CORRUPT, and in *why the place and the text; then the name; the same for a member of the
 * object that is being parsed. */
enum err parse_wrong(struct parser *p, const char *text) MUST_USE;
enum err parse_wrong_name(struct parser *p, const char *text, struct slice name) MUST_USE;
enum err parse_wrong_member(struct parser *p, const char *member, const char *text,
                            struct slice name) MUST_USE;
/* "a.b" of "a.b.c". */
struct slice parse_name_space(struct slice full);
/* The name with `space` in front, if it has none of its own. */
enum err parse_name_full(struct parser *p, struct slice name, struct slice space,
                         struct slice *ret) MUST_USE;
struct avro_node *parse_named_find(const struct parser *p, struct slice full);
bool parse_primitive(struct slice name, enum avro_kind *ret);
enum err parse_text_member(struct parser *p, const struct tree *object, const char *key,
                           bool required, struct slice *ret) MUST_USE;
/* The name of a record, enum or fixed; makes it known. */
enum err parse_name(struct parser *p, const struct tree *object, struct slice space,
                    struct avro_node *node) MUST_USE;
/* A list of full names, completed by `space`; when that is NULL, those of a field: any texts, as the
 * specification has it, which match nothing if they are no names. */
enum err parse_aliases(struct parser *p, const struct tree *object, const struct slice *space,
                       const struct slice **ret, uint32_t *ret_count) MUST_USE;

/* parse_logical.c: the logical type of a type that is defined here (an invalid one is ignored). */
void parse_logical(const struct tree *tree, struct avro_node *node);

/* parse_default.c. A default is checked and encoded when all types are complete: its type may be
 * one that is still open. */
enum err default_note(struct parser *p, const struct tree *field_tree,
                      struct avro_field *field) MUST_USE;
enum err default_encode_all(struct parser *p) MUST_USE;

#endif
