#include "uplink/aws/kinesis_hash.h"

#include <assert.h>

#include "ports/lib/hash.h"

#define LIMB_COUNT 4
#define LIMB_TEN 1000000000U /* nine digits at a time */

static_assert(KINESIS_HASH_SIZE == HASH_MD5_SIZE, "the service hashes by MD5");

static uint64_t hash_top(const struct kinesis_hash *hash)
{
    uint64_t top = 0;
    for (size_t i = 0; i < sizeof top; i++) {
        top = top << 8 | hash->bytes[i];
    }
    return top;
}

struct kinesis_hash kinesis_hash_of(struct slice partition_key)
{
    struct kinesis_hash hash;
    hash_of(HASH_MD5, partition_key, hash.bytes);
    return hash;
}

int kinesis_hash_compare(const struct kinesis_hash *a, const struct kinesis_hash *b)
{
    return memcmp(a->bytes, b->bytes, KINESIS_HASH_SIZE);
}

/* floor(top * count / 2^64), without 128 bits. */
uint32_t kinesis_hash_bucket(const struct kinesis_hash *hash, uint32_t count)
{
    assert(count > 0);
    uint64_t top = hash_top(hash);
    uint64_t low = (top & UINT32_MAX) * count >> 32;
    return (uint32_t)(((top >> 32) * count + low) >> 32);
}

/* (bucket + 1/2) * 2^64 / count. */
struct kinesis_hash kinesis_hash_middle(uint32_t bucket, uint32_t count)
{
    assert(bucket < count);
    uint64_t high = (uint64_t)bucket << 32 | UINT32_C(1) << 31;
    uint64_t top = (high / count) << 32 | ((high % count) << 32) / count;
    struct kinesis_hash hash = {{0}};
    for (size_t i = 0; i < sizeof top; i++) {
        hash.bytes[i] = (uint8_t)(top >> (56 - 8 * i));
    }
    return hash;
}

static void limbs_of(const struct kinesis_hash *hash, uint32_t ret[LIMB_COUNT])
{
    struct slice s = {hash->bytes, sizeof hash->bytes};
    for (size_t i = 0; i < LIMB_COUNT; i++) {
        bool is_there = slice_take_u32_be(&s, &ret[i]);
        assert(is_there);
    }
}

static uint32_t limbs_divide(uint32_t limbs[LIMB_COUNT], uint32_t by)
{
    uint64_t rest = 0;
    for (size_t i = 0; i < LIMB_COUNT; i++) {
        uint64_t value = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(value / by);
        rest = value % by;
    }
    return (uint32_t)rest;
}

void kinesis_hash_text(const struct kinesis_hash *hash, char ret[KINESIS_HASH_TEXT_SIZE])
{
    uint32_t limbs[LIMB_COUNT];
    char digits[KINESIS_HASH_TEXT_SIZE + 6];
    size_t at = sizeof digits;
    limbs_of(hash, limbs);
    while (at >= 9) { /* 45 digits */
        uint32_t rest = limbs_divide(limbs, LIMB_TEN);
        for (unsigned i = 0; i < 9; i++, rest /= 10) {
            digits[--at] = (char)('0' + rest % 10);
        }
    }
    while (at < sizeof digits - 1 && digits[at] == '0') {
        at++;
    }
    size_t size = sizeof digits - at;
    assert(size < KINESIS_HASH_TEXT_SIZE);
    memcpy(ret, digits + at, size);
    ret[size] = '\0';
}

bool kinesis_hash_parse(struct slice text, struct kinesis_hash *ret)
{
    struct kinesis_hash hash = {{0}};
    if (text.size == 0 || text.size >= KINESIS_HASH_TEXT_SIZE ||
        (text.data[0] == '0' && text.size > 1)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        unsigned carry = (unsigned)(text.data[i] - '0');
        for (size_t byte = KINESIS_HASH_SIZE; byte-- > 0;) {
            carry += hash.bytes[byte] * 10U;
            hash.bytes[byte] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry) {
            return false;
        }
    }
    *ret = hash;
    return true;
}
