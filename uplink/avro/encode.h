/* Avro's binary encoding (specification: "Binary Encoding") from JSON values and from texts
 * of logical types. Pure; writes into the caller's memory, whose `overflow` says that it
 * was too small. */
#ifndef WEIR_UPLINK_AVRO_ENCODE_H
#define WEIR_UPLINK_AVRO_ENCODE_H

#include "ports/err.h"
#include "uplink/avro/schema.h"
#include "uplink/avro/tree.h"

/* int and long are out_put_varint(). All that is no number is written as one NaN: the same bytes on
 * every processor. */
void avro_put_boolean(struct out *o, bool value);
void avro_put_float(struct out *o, float value);
void avro_put_double(struct out *o, double value);
/* bytes and string: size, then the bytes. */
void avro_put_bytes(struct out *o, struct slice bytes);

/* A value in Avro's JSON encoding (specification: "JSON Encoding"): unions wrapped, {"string":
 * "x"}; bytes and fixed are strings of U+0000..U+00FF; "NaN", "Infinity", "-Infinity" are floats
 * and doubles. ERR_REJECTED: the value does not fit the schema: *why is "/json/pointer: sentence".
 * ERR_FULL: `ret` is too small. */
enum err avro_encode_tree(const struct avro_node *node, const struct tree *value, struct out *ret,
                          struct why *why) MUST_USE;
/* The same for a value as defaults are written: a union's value is that of its first branch that
 * takes it; missing record members take their fields' defaults, unknown ones are left out; int and
 * long are integers as written. So Java does it. Trying branches of branches takes a power of the
 * depth: each value looked at takes one off *work, and at 0 it ends with ERR_REJECTED. */
enum err avro_encode_default(const struct avro_node *node, const struct tree *value, uint32_t *work,
                             struct out *ret, struct why *why) MUST_USE;
/* One JSON value as text. ERR_CORRUPT: not JSON. */
enum err avro_encode_json(const struct avro_schema *schema, struct slice json, struct out *ret,
                          struct why *why) MUST_USE;

/* --- logical types from text: false when the text is not of that form, or out of range --- */

/* "2026-03-01": days since 1970-01-01. */
bool avro_date_of(struct slice text, int32_t *ret_days) MUST_USE;
/* "12:34:56", "12:34:56.789": nanoseconds since midnight. */
bool avro_time_of(struct slice text, int64_t *ret_nanos) MUST_USE;
/* RFC 3339: "2026-03-01T12:34:56.789Z", offset "+02:00"; blank for T; without offset only
 * when `local`: seconds since 1970 and nanoseconds within. A leap second counts as the
 * second before it. */
bool avro_timestamp_of(struct slice text, bool local, int64_t *ret_seconds,
                       uint32_t *ret_nanos) MUST_USE;
/* Are these 36 characters a UUID (RFC 4122 section 3)? */
bool avro_uuid_is(struct slice text) MUST_USE;

#endif
