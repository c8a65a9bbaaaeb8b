/* The place up to which a file is read, as it is kept in a cursor: which file (device, inode, and a
 * fingerprint of its first bytes, because inodes are used again), and how far.
 *
 * The fingerprint covers the first bytes that were consumed, at most PLACE_HEAD_MAX: a file that
 * still grows keeps it, a file with other content has another one. */
#ifndef WEIR_DRIVERS_PLACE_H
#define WEIR_DRIVERS_PLACE_H

#include "ports/err.h"
#include "ports/event.h"

#define PLACE_HEAD_MAX 256
#define PLACE_PATH_MAX (CURSOR_SIZE_MAX - 64) /* longest path that a cursor can hold */

struct place {
    uint64_t device;
    uint64_t inode;
    uint64_t offset;    /* of the first byte that is not consumed */
    uint16_t head_size; /* bytes of the fingerprint: min(offset, PLACE_HEAD_MAX) */
    uint64_t head_hash; /* slice_hash() of them */
    struct slice path;  /* where the file was first seen; decoded: points into the cursor */
};

/* The number of bytes that the fingerprint of an offset covers. */
uint16_t place_head_size(uint64_t offset);

/* u8 version 1, then little-endian: u64 device, u64 inode, u64 offset, u16 head size, u64 head
 * hash, the path. */
void place_encode(const struct place *place, struct out *ret);
/* ERR_VERSION: of a newer version. ERR_CORRUPT. */
enum err place_decode(struct place *ret, struct slice cursor) MUST_USE;

#endif
