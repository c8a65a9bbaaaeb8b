/* The hash by which Kafka's Java client places a key: murmur2, 32 bits, seed 0x9747b28c. Pure. */
#ifndef WEIR_UPLINK_KAFKA_MURMUR2_H
#define WEIR_UPLINK_KAFKA_MURMUR2_H

#include <stdint.h>

#include "ports/slice.h"

uint32_t murmur2(struct slice key);
/* Where the Java client's default partitioner puts the key: (murmur2 & 0x7fffffff) mod
 * partitions. */
uint32_t murmur2_partition(struct slice key, uint32_t partition_count);

#endif
