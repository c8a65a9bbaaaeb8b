/* Fields that events have and their stream's schema has not (`unknown_fields: extend`): the schema
 * with these fields added. Each is optional, a union with null and default null, behind the fields
 * of the record in which it was found; whatever else the schema's text says is kept as it stands.
 *
 * The type comes from the value, and stays: a text is a string, a whole number a long, another number
 * a double; an object is a record or, where its members can't be fields, a map. What tells nothing
 * (null, an empty list) is not added. Pure but for memory. */
#ifndef WEIR_AGENT_EXTEND_H
#define WEIR_AGENT_EXTEND_H

#include "agent/map.h"

#define EXTEND_MAX 64           /* fields added to the schema of a stream, altogether */
#define EXTEND_NAME_SIZE_MAX 64 /* bytes */
#define EXTEND_NAMES_SIZE 240

struct extension {
    struct avro_schema *schema;    /* avro_schema_close(); NULL: there is nothing to add */
    uint32_t count;                /* of the fields added, those within new records included */
    char names[EXTEND_NAMES_SIZE]; /* "humidity, Inner.unit", for a person */
};

/* `unknowns`: of one event, mapped to this schema. ERR_REJECTED: one of them can't be a field, or it
 * would be more than `count_max`; *why is the event's reason. ERR_NOMEM. */
enum err extend_schema(const struct avro_schema *schema, const struct map_unknown *unknowns,
                       size_t unknown_count, uint32_t count_max, struct extension *ret,
                       struct why *why) MUST_USE;

/* Is `schema` such an extension of `base`, or `base` itself? Both as avro_schema_text() gives them.
 * *ret_count: how many fields were added. ERR_NOMEM. */
enum err extend_is_of(struct slice schema, struct slice base, bool *ret,
                      uint32_t *ret_count) MUST_USE;

#endif
