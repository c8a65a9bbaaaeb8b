/* The parts of a parcel: which may be sent next, and what becomes of one that is refused. Pure
 * functions.
 *
 * Parts of the same partition stand side by side in the order of their sequences; `attached` is an
 * array beside parcel->parts that moves along (the batches). */
#ifndef WEIR_AGENT_PARTS_H
#define WEIR_AGENT_PARTS_H

#include <stddef.h>

#include "ports/err.h"
#include "ports/parcel.h"

/* For each partition its first part that is not done. */
size_t parts_current(const struct parcel *parcel, uint32_t ret[PARCEL_PART_MAX]);

bool parts_all_done(const struct parcel *parcel);

/* May this part be cut in two now? Partitions are halved one after the other, so that there is
 * always a place: at most 1 + log2(PACK_EVENT_MAX) parts of one that is being halved, and one or,
 * when done, one of each other. */
bool parts_may_halve(const struct parcel *parcel, uint32_t index);

/* Cuts part `index` in two: sequences up to `middle` stay in it, the rest becomes the part behind
 * it. first <= middle < last. Both lose their numbers. ERR_FULL: no place for one more part. Done
 * neighbours are joined first, so *index may change. */
enum err parts_halve(struct parcel *parcel, void *attached[PARCEL_PART_MAX], uint32_t *index,
                     uint64_t middle) MUST_USE;

#endif
