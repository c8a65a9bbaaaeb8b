/* The key of an event: the value of one field of its datum, found by walking the datum as its
 * schema says. Pure. */
#ifndef WEIR_AGENT_KEY_H
#define WEIR_AGENT_KEY_H

#include "ports/err.h"
#include "ports/slice.h"

#define KEY_SIZE_MAX 1024

struct avro_schema;

/* Where the key stands in datums of one schema. */
struct key {
    const struct avro_schema *schema; /* NULL: this stream has no key */
    uint32_t field;                   /* index of the top-level field */
};

enum key_use {
    KEY_VALUE, /* string, bytes, fixed, enum, int, long, boolean, or one of these or null */
    KEY_FLAG,  /* true or false, or may be null */
};

/* Is `field` a top-level field whose value can be used so? */
enum err key_find(struct key *ret, const struct avro_schema *schema, const char *field,
                  enum key_use use, struct why *why) MUST_USE;

/* Is the field that was found as KEY_FLAG true? False without one. */
bool key_flag(const struct key *flag, struct slice datum);

/* The key as it goes out: text and bytes as they are (pointing into the datum), an enum's symbol,
 * numbers as decimal text in `scratch`. data NULL: null, or no key. `datum` is complete or has
 * fills behind the key. */
struct slice key_of(const struct key *key, struct slice datum, struct out *scratch);

#endif
