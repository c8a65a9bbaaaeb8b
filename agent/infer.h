/* An Avro schema from samples, NDJSON: what `weir schema infer` writes. The samples map onto it by
 * agent/map.h without loss. The rules:
 *
 * - An object is a record; its members are fields, in the order in which they first come. One whose
 *   members can't be fields by their names, or are more than INFER_FIELD_MAX, is a map.
 * - A member that is null or missing somewhere is optional: a union with null, default null.
 * - Whole numbers are a long. Numbers with a fraction are a double where each of them is the shortest
 *   text of its double; else a decimal, with all their digits. Whole numbers beyond a long: likewise.
 * - A text is a time stamp where all are (RFC 3339, with the offset from UTC), in milli-, micro- or
 *   nanoseconds by their longest fraction. What comes back is the same instant.
 * - A text is an enum where all are names, of at most INFER_SYMBOL_MAX different ones, each seen
 *   INFER_SYMBOL_SEEN times on average. A symbol that is not among them is set aside later.
 * - Another text that repeats itself gets the property "weir.values": its values, the most frequent
 *   first, at most INFER_VALUE_MAX, each seen INFER_VALUE_SEEN times on average.
 * - Values of several kinds are a union of these.
 *
 * One thread at a time; nothing of the samples is needed after infer_add(). */
#ifndef WEIR_AGENT_INFER_H
#define WEIR_AGENT_INFER_H

#include "ports/err.h"
#include "ports/slice.h"

#define INFER_DEPTH_MAX 32   /* objects and lists within each other */
#define INFER_FIELD_MAX 512  /* members of one object */
#define INFER_SHAPE_MAX 4096 /* places of all samples together */
#define INFER_SYMBOL_MAX 16
#define INFER_SYMBOL_SEEN 10
#define INFER_VALUE_MAX 256 /* different texts that are remembered of one place */
#define INFER_VALUE_SEEN 4
#define INFER_VALUE_SIZE_MAX 64 /* of each; a longer one ends the remembering */
#define INFER_NAME_SIZE_MAX 200
#define INFER_NAMES_SIZE_MAX ((size_t)INFER_SHAPE_MAX * (INFER_NAME_SIZE_MAX + 1))

struct infer;

enum err infer_open(struct infer **ret) MUST_USE;
/* NULL is allowed. */
void infer_close(struct infer *infer);
/* One sample. ERR_CORRUPT: not JSON; ERR_REJECTED: no object, or beyond a limit; *why says it, and
 * what came before the place counts. */
enum err infer_add(struct infer *infer, struct slice json, struct why *why) MUST_USE;
/* The schema, indented, of a record of this name (namespace NULL: none). ERR_REJECTED: there are no
 * samples, or the record has members that can't be fields. ERR_FULL: `ret` is too small. */
enum err infer_put(const struct infer *infer, const char *name, const char *namespace_,
                   struct out *ret, struct why *why) MUST_USE;
/* The fields of the record alone, a comma between, for a schema that has a record of this name
 * already. They are all optional, and of what JSON itself tells: a text is a string, a number a long
 * or a double. What tells nothing (null, an empty list) is left out. `names` are those of all types
 * that there are, each with a line end behind, and has room for INFER_NAMES_SIZE_MAX. *ret_count: of
 * the fields, those of new records included; 0: nothing is put. */
enum err infer_put_fields(const struct infer *infer, const char *name, struct out *names,
                          struct out *ret, uint32_t *ret_count, struct why *why) MUST_USE;
/* Is it a name of Avro's, and not too long? */
bool infer_is_name(struct slice text);

#endif
