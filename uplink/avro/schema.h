/* Avro schemas (specification 1.12): parsed once into a tree that does not change any more.
 *
 * Every schema that the specification allows is accepted, every other refused with the JSON pointer
 * of the place. The tree and all it points to live until avro_schema_close(). Any thread; nothing
 * changes after parsing. */
#ifndef WEIR_UPLINK_AVRO_SCHEMA_H
#define WEIR_UPLINK_AVRO_SCHEMA_H

#include "ports/err.h"
#include "ports/slice.h"

#define AVRO_SCHEMA_SIZE_MAX (256 * 1024)   /* bytes of schema text */
#define AVRO_DEPTH_MAX 128                  /* nesting of types, as their text nests */
#define AVRO_JSON_DEPTH_MAX 512             /* nesting of schema text: four levels a type */
#define AVRO_NODE_MAX 16384                 /* types in one schema */
#define AVRO_FIXED_SIZE_MAX INT32_MAX       /* bytes, as Java has it */
#define AVRO_DEFAULT_SIZE_MAX (1024 * 1024) /* bytes of all encoded defaults of one schema */

enum avro_kind {
    AVRO_NULL,
    AVRO_BOOLEAN,
    AVRO_INT,
    AVRO_LONG,
    AVRO_FLOAT,
    AVRO_DOUBLE,
    AVRO_BYTES,
    AVRO_STRING,
    AVRO_RECORD,
    AVRO_ENUM,
    AVRO_ARRAY,
    AVRO_MAP,
    AVRO_UNION,
    AVRO_FIXED,
};

/* Only those that are valid where they stand; an invalid one is ignored, as the
 * specification says. */
enum avro_logical {
    AVRO_PLAIN,
    AVRO_DECIMAL,
    AVRO_UUID,
    AVRO_DATE,
    AVRO_TIME_MILLIS,
    AVRO_TIME_MICROS,
    AVRO_TIMESTAMP_MILLIS,
    AVRO_TIMESTAMP_MICROS,
    AVRO_TIMESTAMP_NANOS,
    AVRO_LOCAL_TIMESTAMP_MILLIS,
    AVRO_LOCAL_TIMESTAMP_MICROS,
    AVRO_LOCAL_TIMESTAMP_NANOS,
    AVRO_DURATION,
};

struct avro_node;

struct avro_field {
    struct slice name;
    const struct avro_node *node;
    const struct slice *aliases;
    uint32_t alias_count;
    bool has_default;
    struct slice default_bytes; /* the default as a datum of `node`, with a union's branch */
    struct slice default_json;  /* as written */
    struct slice doc;
    struct slice json; /* the whole field as written, with properties of others */
};

struct avro_node {
    enum avro_kind kind;
    enum avro_logical logical;
    uint32_t ordinal;   /* RECORD, ENUM, FIXED: its number in order of definition, from 1 */
    uint32_t precision; /* DECIMAL */
    uint32_t scale;     /* DECIMAL */
    uint32_t size;      /* FIXED */
    struct slice name;  /* RECORD, ENUM, FIXED: the full name */
    struct slice json; /* the text of this type as written; empty where only its name was written */
    struct slice doc;
    const struct slice *aliases; /* full names */
    uint32_t alias_count;
    const struct avro_field *fields; /* RECORD */
    uint32_t field_count;
    const struct slice *symbols; /* ENUM */
    uint32_t symbol_count;
    int32_t symbol_default;                  /* ENUM: index; -1: none */
    const struct avro_node *items;           /* ARRAY, MAP */
    const struct avro_node *const *branches; /* UNION */
    uint32_t branch_count;
};

struct avro_schema;

/* Copies what it needs of `text`. On ERR_CORRUPT *why is "/json/pointer: sentence"; ERR_REJECTED:
 * over a limit; ERR_NOMEM. */
enum err avro_schema_parse(struct avro_schema **ret, struct slice text, struct why *why) MUST_USE;
/* NULL is allowed. */
void avro_schema_close(struct avro_schema *schema);

const struct avro_node *avro_schema_root(const struct avro_schema *schema);
/* The text that was parsed, without white space between tokens: what registries get. */
struct slice avro_schema_text(const struct avro_schema *schema);

/* Index of the field of this name; `hint` is where to look first (the field after the one found
 * last). -1: none. */
int32_t avro_field_find(const struct avro_node *record, struct slice name, uint32_t hint);
/* Index of the symbol; -1: none. */
int32_t avro_symbol_find(const struct avro_node *node, struct slice symbol);
/* Of a union: index of its null branch; -1: none. */
int32_t avro_null_branch(const struct avro_node *node);
/* Is it a name of a type, field or symbol, without dots (specification: "Names")? */
bool avro_name_is_valid(struct slice name);
/* "int", "record", ... */
const char *avro_kind_name(enum avro_kind kind);
/* "timestamp-millis", ...; "" of AVRO_PLAIN. */
const char *avro_logical_name(enum avro_logical logical);

/* Parsing Canonical Form (specification: "Transforming into Parsing Canonical Form"). */
void avro_canonical(const struct avro_schema *schema, struct out *ret);

/* CRC-64-AVRO (specification: "Schema Fingerprints") of any bytes. */
uint64_t avro_crc64(struct slice bytes);

#endif
