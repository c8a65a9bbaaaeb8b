/* The schema as a tree of nodes, and the questions one asks it. Parsing is in parse.c. */
#include "uplink/avro/schema.h"

#include <stdlib.h>
#include <string.h>

#include "uplink/avro/parse.h"

enum err avro_schema_parse(struct avro_schema **ret, struct slice text, struct why *why)
{
    if (text.size > AVRO_SCHEMA_SIZE_MAX) {
        why_set(why, ": the schema is larger than %d bytes", AVRO_SCHEMA_SIZE_MAX);
        return ERR_REJECTED;
    }
    struct avro_schema *schema = calloc(1, sizeof *schema);
    if (!schema) {
        return ERR_NOMEM;
    }
    enum err e = avro_parse(schema, text, why);
    if (e) {
        avro_schema_close(schema);
        return e;
    }
    *ret = schema;
    return ERR_OK;
}

void avro_schema_close(struct avro_schema *schema)
{
    if (schema) {
        arena_release(&schema->arena);
        free(schema);
    }
}

const struct avro_node *avro_schema_root(const struct avro_schema *schema)
{
    return schema->root;
}

struct slice avro_schema_text(const struct avro_schema *schema)
{
    return schema->text;
}

int32_t avro_field_find(const struct avro_node *record, struct slice name, uint32_t hint)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        uint32_t at = hint + i;
        at = at < record->field_count ? at : at % record->field_count;
        if (slice_equal(record->fields[at].name, name)) {
            return (int32_t)at;
        }
    }
    return -1;
}

int32_t avro_symbol_find(const struct avro_node *node, struct slice symbol)
{
    for (uint32_t i = 0; i < node->symbol_count; i++) {
        if (slice_equal(node->symbols[i], symbol)) {
            return (int32_t)i;
        }
    }
    return -1;
}

int32_t avro_null_branch(const struct avro_node *node)
{
    for (uint32_t i = 0; node->kind == AVRO_UNION && i < node->branch_count; i++) {
        if (node->branches[i]->kind == AVRO_NULL) {
            return (int32_t)i;
        }
    }
    return -1;
}

const char *avro_kind_name(enum avro_kind kind)
{
    static const char *const names[] = {"null",   "boolean", "int",    "long",   "float",
                                        "double", "bytes",   "string", "record", "enum",
                                        "array",  "map",     "union",  "fixed"};
    return (size_t)kind < ARRAY_COUNT(names) ? names[kind] : "unknown";
}

const char *avro_logical_name(enum avro_logical logical)
{
    static const char *const names[] = {"",
                                        "decimal",
                                        "uuid",
                                        "date",
                                        "time-millis",
                                        "time-micros",
                                        "timestamp-millis",
                                        "timestamp-micros",
                                        "timestamp-nanos",
                                        "local-timestamp-millis",
                                        "local-timestamp-micros",
                                        "local-timestamp-nanos",
                                        "duration"};
    return (size_t)logical < ARRAY_COUNT(names) ? names[logical] : "unknown";
}
