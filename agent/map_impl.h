/* Inside of mapping: the scratch memory, and what its three files share. */
#ifndef WEIR_AGENT_MAP_IMPL_H
#define WEIR_AGENT_MAP_IMPL_H

#include "agent/map.h"
#include "ports/lib/json.h"

#define MAP_TEXT_SIZE_MAX (1024 * 1024 + 4096) /* unescaped strings of one event */
/* Bytes of JSON looked at for one event. A value is looked at once for each level above it, and
 * again for each branch of a union that is tried: with unions within unions that is a power of the
 * depth, so it must end somewhere. */
#define MAP_WORK_MAX (16 * 1024 * 1024)
#define MAP_SHOWN_SIZE 60 /* of a value in a reason */

/* A value on its way: JSON text as written, or a driver's typed value. */
struct map_item {
    struct slice name; /* of a member */
    struct slice raw;  /* JSON; data NULL: `value` counts */
    struct value value;
};

struct mapper {
    struct json_reader reader;
    /* A stack: members and elements of the open values, and the one that is being read. */
    struct map_item items[MAP_ITEM_MAX + 1];
    size_t item_count;
    const struct map_item *found[MAP_FIELD_MAX];
    struct map_item extra[EVENT_FIELD_MAX + MAP_OVERRIDE_MAX];
    struct out text; /* unescaped strings of this event */
    struct out *out;
    const struct map_step *steps;
    size_t step_count;
    struct why *why; /* NULL while a branch of a union is only tried */
    unsigned depth;
    size_t work; /* against MAP_WORK_MAX */
    unsigned unknown_count;
    struct map_unknown unknowns[MAP_UNKNOWN_MAX];
    size_t unknown_kept;
    bool unknown_is_kept;
    bool unknown_is_refused;
    bool missing_is_refused;
    bool strict; /* a number in text is no number: while a union's branch is chosen */
};

/* map_value.c: the members of an object, or the elements of an array, onto the stack; children stay
 * text. */
enum err map_scan(struct mapper *m, struct slice json, bool is_object, size_t *ret_first,
                  size_t *ret_count) MUST_USE;
enum err map_put_item(struct mapper *m, const struct avro_node *node,
                      const struct map_item *item) MUST_USE;
/* A member that the record of the schema does not have: counted, kept, or refused. */
enum err map_put_unknown(struct mapper *m, const struct avro_node *record,
                         const struct map_item *item) MUST_USE;
/* A field's value, rounded where that is asked for; item NULL: the event does not have it. */
enum err map_put_field(struct mapper *m, const struct avro_field *field,
                       const struct map_item *item) MUST_USE;
/* The characters of a JSON string, with its quotes. */
enum err map_unquote(struct mapper *m, struct slice raw, struct slice *ret) MUST_USE;

/* map_scalar.c: a scalar from its text; is_number: it is a JSON number. */
enum err map_put_scalar(struct mapper *m, const struct avro_node *node, struct slice text,
                        bool is_number) MUST_USE;
/* Does it follow JSON's grammar of numbers? */
bool map_number_is(struct slice text) MUST_USE;
/* The start of a value as a reason may show it. */
const char *map_shown(struct slice s, char memory[MAP_SHOWN_SIZE]);
/* "… is no int"; ERR_REJECTED. */
enum err map_misfit(struct mapper *m, struct slice what, const char *is_no);
const char *map_node_name(const struct avro_node *node);
/* Puts the field's name in front of the reason; gives `e` back. */
enum err map_within(struct mapper *m, enum err e, struct slice name);

#endif
