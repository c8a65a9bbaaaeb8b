/* Inside of the Avro library: parsing a schema. */
#ifndef WEIR_UPLINK_AVRO_PARSE_H
#define WEIR_UPLINK_AVRO_PARSE_H

#include "uplink/avro/arena.h"
#include "uplink/avro/schema.h"

struct avro_schema {
    struct arena arena;
    struct slice text;
    const struct avro_node *root;
};

enum err avro_parse(struct avro_schema *schema, struct slice text, struct why *why) MUST_USE;

#endif
