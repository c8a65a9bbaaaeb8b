/* Bytes that somebody else owns (slice), and a bounded place to write bytes into (out).
 *
 * Input is parsed as slices, never by looking for a NUL. Output goes into an out, which overflows
 * stickily: write everything, then look at `overflow` once. Nothing here allocates. */
#ifndef WEIR_PORTS_SLICE_H
#define WEIR_PORTS_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ports/attr.h"

struct slice {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;
};

/* A slice over a string literal. */
#define SLICE(literal) ((struct slice){(const uint8_t *)("" literal), sizeof(literal) - 1})

/* A slice over a NUL-terminated string, without the NUL; NULL gives an empty slice. */
struct slice slice_of_text(const char *text);

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool slice_equal_text(struct slice a, const char *text);
bool slice_starts_with(struct slice a, struct slice prefix);

/* Like memcmp over the common part, then the shorter one first. */
int slice_compare(struct slice a, struct slice b);

/* FNV-1a, 64 bits: for tables, and to tell texts apart that nobody forges. It is stored (cursors,
 * ids of registries), and so never changes. */
uint64_t slice_hash(struct slice s);

/* Takes `size` bytes off the front of *s. False, and nothing taken, when there are fewer. */
MUST_USE static inline bool slice_take(struct slice *s, size_t size, struct slice *ret_taken)
{
    if (s->size < size) {
        return false;
    }
    *ret_taken = (struct slice){s->data, size};
    if (size) {
        s->data += size;
        s->size -= size;
    }
    return true;
}

/* Copies into `text` with a NUL behind. False, and "": it does not fit, or holds a NUL. */
bool slice_to_text(struct slice s, char *text, size_t text_size) MUST_USE;

/* Is it well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF)? */
bool slice_is_utf8(struct slice s) MUST_USE;

struct out {
    uint8_t *data;
    size_t size;     /* bytes written so far */
    size_t size_max; /* room */
    bool overflow;   /* something did not fit; from then on nothing more is written */
};

struct out out_over(void *memory, size_t size_max);
struct slice out_slice(const struct out *o);

void out_put(struct out *o, const void *data, size_t size);
void out_put_slice(struct out *o, struct slice s);
void out_put_text(struct out *o, const char *text);
void out_put_byte(struct out *o, uint8_t byte);
void out_put_format(struct out *o, const char *format, ...) PRINTF_LIKE(2, 3);
/* In decimal digits, as "%llu" writes it, at a twentieth of the cost. */
void out_put_number(struct out *o, uint64_t value);

/* Fixed-size integers. */
void out_put_u16_be(struct out *o, uint16_t value);
void out_put_u32_be(struct out *o, uint32_t value);
void out_put_u64_be(struct out *o, uint64_t value);
void out_put_u16_le(struct out *o, uint16_t value);
void out_put_u32_le(struct out *o, uint32_t value);
void out_put_u64_le(struct out *o, uint64_t value);

/* Unsigned LEB128, and its zig-zag form: Avro's int and long, Kafka's varint and varlong (at most
 * 10 bytes). */
void out_put_uvarint(struct out *o, uint64_t value);
void out_put_varint(struct out *o, int64_t value);

static inline uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (UINT64_C(0) - (value & 1)));
}

static inline size_t uvarint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7) {
        size++;
    }
    return size;
}

/* A JSON string with its quotes: control characters, quote and backslash escaped; bytes that are
 * not UTF-8 become U+FFFD. */
void out_put_json(struct out *o, struct slice s);

/* The same values read from the front of *s. False, and nothing taken, when *s is too short, or the
 * varint is longer than 10 bytes or does not fit 64 bits. */
bool slice_take_u8(struct slice *s, uint8_t *ret) MUST_USE;
bool slice_take_u16_be(struct slice *s, uint16_t *ret) MUST_USE;
bool slice_take_u32_be(struct slice *s, uint32_t *ret) MUST_USE;
bool slice_take_u64_be(struct slice *s, uint64_t *ret) MUST_USE;
bool slice_take_u16_le(struct slice *s, uint16_t *ret) MUST_USE;
bool slice_take_u32_le(struct slice *s, uint32_t *ret) MUST_USE;
bool slice_take_u64_le(struct slice *s, uint64_t *ret) MUST_USE;
bool slice_take_uvarint(struct slice *s, uint64_t *ret) MUST_USE;
bool slice_take_varint(struct slice *s, int64_t *ret) MUST_USE;

#endif
