#include "uplink/kafka/murmur2.h"

#include <assert.h>

#define SEED UINT32_C(0x9747b28c)
#define FACTOR UINT32_C(0x5bd1e995)

uint32_t murmur2(struct slice key)
{
    uint32_t hash = SEED ^ (uint32_t)key.size;
    size_t i = 0;
    for (; i + 4 <= key.size; i += 4) {
        const uint8_t *d = key.data + i;
        uint32_t k =
            (uint32_t)d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24;
        k *= FACTOR;
        k ^= k >> 24;
        k *= FACTOR;
        hash *= FACTOR;
        hash ^= k;
    }
    if (i < key.size) {
        for (size_t rest = key.size - i; rest > 0; rest--) {
            hash ^= (uint32_t)key.data[i + rest - 1] << (8 * (rest - 1));
        }
        hash *= FACTOR;
    }
    hash ^= hash >> 13;
    hash *= FACTOR;
    hash ^= hash >> 15;
    return hash;
}

uint32_t murmur2_partition(struct slice key, uint32_t partition_count)
{
    assert(partition_count > 0);
    return (murmur2(key) & UINT32_C(0x7fffffff)) % partition_count;
}
