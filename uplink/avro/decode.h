/* Avro's binary encoding back: to skip values, and as one line of Avro's JSON encoding. Data may be
 * hostile: everything is checked and bounded. Pure. */
#ifndef WEIR_UPLINK_AVRO_DECODE_H
#define WEIR_UPLINK_AVRO_DECODE_H

#include "ports/err.h"
#include "uplink/avro/schema.h"

/* Values of zero bytes in one datum: a few bytes must not mean a year of work. */
#define AVRO_EMPTY_MAX 1000000
#define AVRO_NEST_MAX \
    128 /* how deep values may lie in the outermost: a record's fields lie 1 deep */

/* Takes one value of this type off the front. ERR_CORRUPT: not such a value; nothing is taken. */
enum err avro_skip(const struct avro_node *node, struct slice *data) MUST_USE;

/* Takes one value off the front and writes it in Avro's JSON encoding, without line end: the exact
 * inverse of avro_encode_json(). Numbers are the shortest that read back the same. ERR_CORRUPT with
 * *why "/place: sentence"; ERR_FULL: `ret` is too small. */
enum err avro_decode_json(const struct avro_node *node, struct slice *data, struct out *ret,
                          struct why *why) MUST_USE;

/* The same as plain JSON, for readers that do not know Avro: a union's value as it is, a decimal as a
 * number with its digits, a float or double that is no number (NaN, infinite) as null, and bytes and
 * fixed as text where they are UTF-8, else as above, a character a byte. */
enum err avro_decode_plain(const struct avro_node *node, struct slice *data, struct out *ret,
                           struct why *why) MUST_USE;

bool avro_take_bytes(struct slice *data, struct slice *ret) MUST_USE;
bool avro_take_double(struct slice *data, double *ret) MUST_USE;
bool avro_take_float(struct slice *data, float *ret) MUST_USE;

#endif
