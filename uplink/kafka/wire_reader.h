/* Reading Kafka's answers: what is missing or makes no sense is sticky through `ok`, so that a parser
 * takes everything and looks once, at the end. Pure. */
#ifndef WEIR_UPLINK_KAFKA_WIRE_READER_H
#define WEIR_UPLINK_KAFKA_WIRE_READER_H

#include "ports/err.h"
#include "ports/slice.h"

struct reader {
    struct slice rest;
    bool ok;
};

static inline int16_t take_i16(struct reader *r)
{
    uint16_t value = 0;
    r->ok = r->ok && slice_take_u16_be(&r->rest, &value);
    return (int16_t)value;
}

static inline int32_t take_i32(struct reader *r)
{
    uint32_t value = 0;
    r->ok = r->ok && slice_take_u32_be(&r->rest, &value);
    return (int32_t)value;
}

static inline int64_t take_i64(struct reader *r)
{
    uint64_t value = 0;
    r->ok = r->ok && slice_take_u64_be(&r->rest, &value);
    return (int64_t)value;
}

static inline uint8_t take_u8(struct reader *r)
{
    uint8_t value = 0;
    r->ok = r->ok && slice_take_u8(&r->rest, &value);
    return value;
}

static inline struct slice take_bytes(struct reader *r, int64_t size)
{
    struct slice taken = {NULL, 0};
    r->ok = r->ok && size >= 0 && slice_take(&r->rest, (size_t)size, &taken);
    return r->ok ? taken : (struct slice){NULL, 0};
}

static inline struct slice take_string(struct reader *r)
{
    return take_bytes(r, take_i16(r));
}

/* Null comes out as an empty slice with data NULL. */
static inline struct slice take_nullable(struct reader *r)
{
    int16_t size = take_i16(r);
    return size == -1 ? (struct slice){NULL, 0} : take_bytes(r, size);
}

/* The length of an array whose elements take at least `element_size_min` bytes: no count is
 * believed that the rest cannot hold. Null counts as empty. */
static inline uint32_t take_count(struct reader *r, size_t element_size_min)
{
    int32_t count = take_i32(r);
    if (!r->ok || count == -1) {
        return 0;
    }
    if (count < 0 || (size_t)count > r->rest.size / element_size_min) {
        r->ok = false;
        return 0;
    }
    return (uint32_t)count;
}

static inline uint64_t take_uvarint(struct reader *r)
{
    uint64_t value = 0;
    r->ok = r->ok && slice_take_uvarint(&r->rest, &value);
    return r->ok ? value : 0;
}

/* Compact strings and arrays: length + 1, 0 is null. */
static inline uint32_t take_compact_count(struct reader *r, size_t element_size_min)
{
    uint64_t count = take_uvarint(r);
    if (count <= 1) {
        return 0;
    }
    if (count - 1 > r->rest.size / element_size_min) {
        r->ok = false;
        return 0;
    }
    return (uint32_t)(count - 1);
}

static inline void skip_tags(struct reader *r)
{
    uint64_t count = take_uvarint(r);
    if (count > r->rest.size) {
        r->ok = false;
    }
    for (uint64_t i = 0; r->ok && i < count; i++) {
        (void)take_uvarint(r); /* its number says nothing to us */
        uint64_t size = take_uvarint(r);
        if (size > r->rest.size) {
            r->ok = false;
        }
        (void)take_bytes(r, (int64_t)(r->ok ? size : 0));
    }
}

static inline enum err finish(const struct reader *r)
{
    return r->ok && r->rest.size == 0 ? ERR_OK : ERR_CORRUPT;
}

#endif
