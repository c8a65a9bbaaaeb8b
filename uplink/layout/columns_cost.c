#include "uplink/layout/columns_cost.h"

#include <assert.h>

#define SHORT_MAX 16  /* so many residuals: what counts is bytes */
#define CLASS_BITS 4  /* what a class of magnitude costs in the table of codes */
#define BYTE_BITS 6   /* what a different byte costs there */
#define FRONT_ROWS 16 /* of a sample */
#define MIDDLE_ROWS 32
#define BIT_CLASSES 65

/* log2(i) in 1/65536, by squaring: each time it exceeds 2, that is one bit more. */
static uint32_t log2_of(uint32_t i)
{
    uint32_t whole = 31 - (uint32_t)__builtin_clz(i);
    uint64_t x = ((uint64_t)i << 31) >> whole; /* 1 <= x < 2, 31 bits behind the point */
    uint32_t result = whole;
    for (int bit = 0; bit < 16; bit++) {
        x = x * x >> 31;
        uint32_t over = x >> 32 ? 1 : 0;
        result = result << 1 | over;
        x >>= over;
    }
    return result;
}

void cost_init(struct columns_work *work)
{
    work->weights[0] = 0;
    for (uint32_t i = 1; i <= WEIGHT_MAX; i++) {
        work->weights[i] = (uint32_t)((uint64_t)i * log2_of(i) / (65536 / COST_BIT));
    }
}

uint32_t sample_count(uint32_t total)
{
    return total < SAMPLE_MAX ? total : SAMPLE_MAX;
}

uint32_t sample_row(uint32_t total, uint32_t index)
{
    if (total <= SAMPLE_MAX) {
        return index;
    }
    return index < FRONT_ROWS                 ? index + 1
           : index < FRONT_ROWS + MIDDLE_ROWS ? total / 2 - MIDDLE_ROWS / 2 + index - FRONT_ROWS
                                              : total - SAMPLE_MAX + index;
}

static unsigned bit_length(uint64_t value)
{
    return value ? 64 - (unsigned)__builtin_clzll(value) : 0;
}

/* The entropy of the lengths in bits, and the bits below the leading one. */
static uint64_t cost_classes(const struct columns_work *work, const struct sample *sample)
{
    uint8_t classes[BIT_CLASSES] = {0};
    uint64_t bits = 0;
    for (uint32_t i = 0; i < sample->count; i++) {
        unsigned length = bit_length(zigzag(sample->values[i]));
        classes[length]++;
        bits += length;
    }
    bits -= sample->count - classes[0]; /* the leading one follows from the length */
    uint64_t entropy = work->weights[sample->count];
    for (uint32_t i = 0, left = sample->count; left > 0; i++) {
        if (classes[i]) {
            entropy -= work->weights[classes[i]];
            bits += CLASS_BITS;
            left -= classes[i];
        }
    }
    return entropy + bits * COST_BIT;
}

/* The entropy of the bytes of varints. */
static uint64_t cost_bytes(struct columns_work *work, const struct sample *sample)
{
    uint8_t seen[256 + 1]; /* one to write to when all are seen */
    uint32_t seen_count = 0;
    uint32_t size = 0;
    uint16_t *counts = work->byte_counts;
    for (uint32_t i = 0; i < sample->count; i++) {
        uint64_t value = zigzag(sample->values[i]);
        for (;;) {
            unsigned byte = value > 127 ? (unsigned)(value & 127) | 128 : (unsigned)value;
            size++;
            seen[seen_count] = (uint8_t)byte;
            seen_count += counts[byte]++ == 0;
            if (value <= 127) {
                break;
            }
            value >>= 7;
        }
    }
    uint64_t entropy = work->weights[size] + (uint64_t)BYTE_BITS * COST_BIT * seen_count;
    for (uint32_t i = 0; i < seen_count; i++) {
        entropy -= work->weights[counts[seen[i]]];
        counts[seen[i]] = 0;
    }
    return entropy;
}

uint64_t cost_of(struct columns_work *work, const struct sample *sample)
{
    assert(sample->count <= SAMPLE_MAX && sample->count <= sample->total);
    if (sample->count <= SHORT_MAX) {
        uint64_t size = 0;
        for (uint32_t i = 0; i < sample->count; i++) {
            unsigned length = bit_length(zigzag(sample->values[i]));
            size += length ? (length + 6) / 7 : 1;
        }
        return size * 8 * COST_BIT;
    }
    uint64_t cost = (cost_classes(work, sample) + cost_bytes(work, sample)) / 2;
    return sample->count < sample->total ? cost * sample->total / sample->count : cost;
}
