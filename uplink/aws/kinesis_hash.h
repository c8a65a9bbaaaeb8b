/* The hash space of a stream: 128 bits, of which each open shard owns a range, and which we cut into
 * even buckets. A record goes to the shard that owns the MD5 of its partition key, or its explicit
 * hash key. Pure; any thread. */
#ifndef WEIR_UPLINK_AWS_KINESIS_HASH_H
#define WEIR_UPLINK_AWS_KINESIS_HASH_H

#include "ports/slice.h"

#define KINESIS_HASH_SIZE 16
#define KINESIS_HASH_TEXT_SIZE 40 /* 39 digits and the NUL */

/* Big endian. */
struct kinesis_hash {
    uint8_t bytes[KINESIS_HASH_SIZE];
};

struct kinesis_hash kinesis_hash_of(struct slice partition_key);
int kinesis_hash_compare(const struct kinesis_hash *a, const struct kinesis_hash *b);
/* Which of `count` even buckets it lies in. */
uint32_t kinesis_hash_bucket(const struct kinesis_hash *hash, uint32_t count);
/* What lies in the middle of a bucket: where records go that stand for several keys. */
struct kinesis_hash kinesis_hash_middle(uint32_t bucket, uint32_t count);
/* In decimal, without leading zeros, as the service has it. */
void kinesis_hash_text(const struct kinesis_hash *hash, char ret[KINESIS_HASH_TEXT_SIZE]);
/* False: it is no decimal number below 2^128, or has leading zeros. */
bool kinesis_hash_parse(struct slice text, struct kinesis_hash *ret) MUST_USE;

#endif
