/* What the tests of the Avro library share. */
#ifndef WEIR_TESTS_AVRO_HELP_H
#define WEIR_TESTS_AVRO_HELP_H

#include "uplink/avro/schema.h"

/* Parses, or fails the test with the reason. */
struct avro_schema *schema_of(const char *text);
/* Bytes as hex digits, in memory that the next call uses again; at most 2048 bytes. */
const char *hex_of(struct slice bytes);
/* The bytes of hex digits into `ret`. */
void hex_put(struct out *ret, const char *hex);
/* Fails the test unless `text` begins with `start`. */
void assert_starts(const char *text, const char *start);

#endif
