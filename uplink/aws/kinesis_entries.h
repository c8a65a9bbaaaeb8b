/* The records of a batch, as wrap() lays them out and requests are made of them: each with a flag that
 * says it is stored, so that it is not sent again. Kinesis and Firehose. No allocation but for the
 * order; any thread. */
#ifndef WEIR_UPLINK_AWS_KINESIS_ENTRIES_H
#define WEIR_UPLINK_AWS_KINESIS_ENTRIES_H

#include "ports/err.h"
#include "uplink/aws/kinesis_hash.h"

#define ENTRY_HEAD_SIZE 29
#define ENTRY_NONE UINT32_MAX
#define ENTRY_REQUEST_MAX 500 /* of one request */

enum entry_flag {
    ENTRY_DONE = 1,
    ENTRY_HAS_HASH_KEY = 2, /* its hash goes along as ExplicitHashKey */
};

struct entry {
    uint32_t at;     /* offset of its head */
    uint32_t before; /* of the one that has to be stored before it; ENTRY_NONE: none */
    uint8_t flags;
    struct kinesis_hash hash;
    struct slice key, data;
};

/* Appends one; `at` and `before` count from `start`, which is ret->size before the first. */
void entries_put(struct out *ret, size_t start, const struct entry *entry);
/* The entry at *at, and moves *at behind it. False: there are no more. */
bool entries_next(struct slice entries, uint32_t *at, struct entry *ret);
bool entries_are_done(struct slice entries);
/* How many there are, and how many of them are stored. */
size_t entries_count(struct slice entries, size_t *ret_done);

bool entry_is_done(struct slice entries, uint32_t at);
void entry_done_set(uint8_t *entries, uint32_t at);
void entry_before_set(uint8_t *entries, uint32_t at, uint32_t before);
/* May it go now: not stored, and what has to be before it is? */
bool entry_is_next(struct slice entries, const struct entry *entry);

/* Finds for each entry the last one before it with the same hash. */
struct entries_order;
enum err entries_order_open(struct entries_order **ret, size_t count_max) MUST_USE;
/* NULL is allowed. */
void entries_order_close(struct entries_order *order);
/* Which one is before the entry at `at`, the last one of `entries`. */
uint32_t entries_order_put(struct entries_order *order, struct slice entries,
                           const struct kinesis_hash *hash, uint32_t at);

#endif
