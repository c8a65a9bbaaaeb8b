/* Schema resolution (specification: "Schema Resolution"): a datum as one schema wrote it becomes the
 * datum that another schema reads. Data may be hostile: everything is checked and bounded.
 *
 * - Numbers are promoted; string and bytes are read as each other; strings must be UTF-8.
 * - Record, enum and fixed match by their name without namespace, or by an alias of the reader's.
 * - Fields match by name or by an alias of the reader's; the writer's others are passed over, the
 *   reader's others take their defaults. A name that is another field's alias means that one.
 * - A symbol that the reader does not have is its default symbol.
 * - A value goes to the branch of the reader's union with the same type, else to the first that
 *   it can be promoted to. Of several branches of the same name, the one with the same namespace
 *   wins, then the one at the place of the writer's.
 * - Decimals must have the same scale: the number would be another one.
 *
 * What does not match is an error of the data that use it, as in Apache's Java: a branch of the
 * writer's union that the reader can't take harms nobody who does not write it. */
#ifndef WEIR_UPLINK_AVRO_RESOLVE_H
#define WEIR_UPLINK_AVRO_RESOLVE_H

#include "ports/err.h"
#include "uplink/avro/schema.h"

#define AVRO_RESOLVE_MAX 65536 /* pairs of types of the two schemas */

struct avro_resolver;

/* Both schemas must stay until it is closed. ERR_REJECTED: beyond AVRO_RESOLVE_MAX,
 * or too many names to compare. */
enum err avro_resolver_open(struct avro_resolver **ret, const struct avro_schema *writer,
                            const struct avro_schema *reader, struct why *why) MUST_USE;
/* NULL is allowed. */
void avro_resolver_close(struct avro_resolver *resolver);

/* Takes one datum of the writer's schema off the front and puts that of the reader's schema.
 * Allocates nothing; one thread at a time. ERR_CORRUPT: not a datum of the writer's schema;
 * ERR_REJECTED: the reader's schema does not take it; both with *why "byte N: sentence". ERR_FULL:
 * `ret` is too small. On failure nothing is taken, and what stands in `ret` means nothing. */
enum err avro_resolve(struct avro_resolver *resolver, struct slice *data, struct out *ret,
                      struct why *why) MUST_USE;

#endif
