/* Schemas and rows of all kinds, by chance: what property tests of the layout `columns` run over. */
#ifndef WEIR_TESTS_UPLINK_COLUMNS_GENERATE_H
#define WEIR_TESTS_UPLINK_COLUMNS_GENERATE_H

#include "ports/slice.h"
#include "uplink/avro/schema.h"

struct chance {
    uint64_t state;
};

/* Below `below`, which is not 0. */
uint32_t chance_below(struct chance *c, uint32_t below);

/* The text of a schema: a record. */
void generate_schema(struct chance *c, struct out *ret);
/* Puts the datum of row `index`. Values of a place have a habit, which depends on `seed`: constant,
 * steps, series, noise, the edges of their type. */
void generate_row(struct chance *c, uint64_t seed, uint32_t index, const struct avro_node *node,
                  struct out *ret);

#endif
