#include "ports/slice.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define UVARINT_SIZE_MAX 10

struct slice slice_of_text(const char *text)
{
    return (struct slice){(const uint8_t *)text, text ? strlen(text) : 0};
}

bool slice_equal_text(struct slice a, const char *text)
{
    return slice_equal(a, slice_of_text(text));
}

bool slice_starts_with(struct slice a, struct slice prefix)
{
    return a.size >= prefix.size && slice_equal((struct slice){a.data, prefix.size}, prefix);
}

uint64_t slice_hash(struct slice s)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.size; i++) {
        hash = (hash ^ s.data[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

bool slice_to_text(struct slice s, char *text, size_t text_size)
{
    assert(text_size > 0);
    text[0] = 0;
    if (s.size >= text_size || (s.size && memchr(s.data, 0, s.size))) {
        return false;
    }
    if (s.size) {
        memcpy(text, s.data, s.size);
    }
    text[s.size] = 0;
    return true;
}

/* The length of the well-formed character at the front (RFC 3629, section 4), or 0. */
static size_t utf8_character_size(const uint8_t *p, size_t size)
{
    uint8_t lead = p[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t need = lead >= 0xc2 && lead <= 0xdf   ? 2
                  : (lead & 0xf0) == 0xe0        ? 3
                  : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                 : 0;
    if (need == 0 || size < need) {
        return 0;
    }
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    if (lead == 0xe0) {
        low = 0xa0;
    } else if (lead == 0xed) {
        high = 0x9f;
    } else if (lead == 0xf0) {
        low = 0x90;
    } else if (lead == 0xf4) {
        high = 0x8f;
    }
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return need;
}

/* Where the characters from `at` on that are plain ASCII end, as far as eight at a time show. */
static size_t ascii_run(struct slice s, size_t at)
{
    uint64_t word;
    for (; s.size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, s.data + at, sizeof word);
        if (word & UINT64_C(0x8080808080808080)) {
            break;
        }
    }
    return at;
}

bool slice_is_utf8(struct slice s)
{
    size_t at = ascii_run(s, 0);
    while (at < s.size) {
        size_t step = utf8_character_size(s.data + at, s.size - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

struct out out_over(void *memory, size_t size_max)
{
    return (struct out){.data = memory, .size_max = size_max};
}

struct slice out_slice(const struct out *o)
{
    return (struct slice){o->data, o->size};
}

/* Room for `size` bytes, which count as written; NULL: there is none. */
static inline uint8_t *out_take(struct out *o, size_t size)
{
    assert(o->size <= o->size_max);
    if (o->overflow || size > o->size_max - o->size) {
        o->overflow = true;
        return NULL;
    }
    uint8_t *room = o->data + o->size;
    o->size += size;
    return room;
}

/* For sizes that the compiler knows. */
static inline void out_put_known(struct out *o, const void *data, size_t size)
{
    uint8_t *room = out_take(o, size);
    if (room) {
        memcpy(room, data, size);
    }
}

void out_put(struct out *o, const void *data, size_t size)
{
    if (size) {
        out_put_known(o, data, size);
    }
}

void out_put_slice(struct out *o, struct slice s)
{
    out_put(o, s.data, s.size);
}

void out_put_text(struct out *o, const char *text)
{
    out_put(o, text, strlen(text));
}

void out_put_byte(struct out *o, uint8_t byte)
{
    uint8_t *room = out_take(o, 1);
    if (room) {
        *room = byte;
    }
}

void out_put_format(struct out *o, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof text) {
        o->overflow = true;
        return;
    }
    out_put(o, text, (size_t)size);
}

static void out_put_be(struct out *o, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    }
    out_put(o, bytes, size);
}

static void out_put_le(struct out *o, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    out_put(o, bytes, size);
}

void out_put_u16_be(struct out *o, uint16_t value)
{
    out_put_be(o, value, 2);
}

void out_put_u32_be(struct out *o, uint32_t value)
{
    out_put_be(o, value, 4);
}

void out_put_u64_be(struct out *o, uint64_t value)
{
    out_put_be(o, value, 8);
}

void out_put_u16_le(struct out *o, uint16_t value)
{
    out_put_le(o, value, 2);
}

void out_put_u32_le(struct out *o, uint32_t value)
{
    out_put_le(o, value, 4);
}

/* Every double goes this way: written so that compilers see one store. */
void out_put_u64_le(struct out *o, uint64_t value)
{
    const uint8_t bytes[8] = {(uint8_t)value,         (uint8_t)(value >> 8),
                              (uint8_t)(value >> 16), (uint8_t)(value >> 24),
                              (uint8_t)(value >> 32), (uint8_t)(value >> 40),
                              (uint8_t)(value >> 48), (uint8_t)(value >> 56)};
    out_put_known(o, bytes, sizeof bytes);
}

static size_t uvarint_encode(uint8_t bytes[UVARINT_SIZE_MAX], uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        bytes[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[size++] = (uint8_t)value;
    return size;
}

void out_put_uvarint(struct out *o, uint64_t value)
{
    uint8_t bytes[UVARINT_SIZE_MAX];
    if (!o->overflow && o->size_max - o->size >= UVARINT_SIZE_MAX) {
        o->size += uvarint_encode(o->data + o->size, value);
    } else {
        out_put(o, bytes, uvarint_encode(bytes, value));
    }
}

void out_put_number(struct out *o, uint64_t value)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    out_put(o, digits + at, sizeof digits - at);
}

void out_put_varint(struct out *o, int64_t value)
{
    out_put_uvarint(o, zigzag(value));
}

/* One character of a JSON string, escaped where RFC 8259 section 7 asks for it. */
static size_t out_put_json_character(struct out *o, const uint8_t *p, size_t size)
{
    size_t step = utf8_character_size(p, size);
    if (step == 0) {
        out_put_text(o, "\xef\xbf\xbd");
        return 1;
    }
    if (p[0] == '"' || p[0] == '\\') {
        out_put_byte(o, '\\');
        out_put_byte(o, p[0]);
    } else if (p[0] == '\n') {
        out_put_text(o, "\\n");
    } else if (p[0] == '\t') {
        out_put_text(o, "\\t");
    } else if (p[0] == '\r') {
        out_put_text(o, "\\r");
    } else if (p[0] < 0x20) {
        out_put_format(o, "\\u%04x", p[0]);
    } else {
        out_put(o, p, step);
    }
    return step;
}

void out_put_json(struct out *o, struct slice s)
{
    out_put_byte(o, '"');
    for (size_t at = 0; at < s.size;) {
        at += out_put_json_character(o, s.data + at, s.size - at);
    }
    out_put_byte(o, '"');
}

static bool slice_take_be(struct slice *s, size_t size, uint64_t *ret)
{
    struct slice bytes;
    if (!slice_take(s, size, &bytes)) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes.data[i];
    }
    *ret = value;
    return true;
}

static bool slice_take_le(struct slice *s, size_t size, uint64_t *ret)
{
    struct slice bytes;
    if (!slice_take(s, size, &bytes)) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--) {
        value = value << 8 | bytes.data[i - 1];
    }
    *ret = value;
    return true;
}

bool slice_take_u8(struct slice *s, uint8_t *ret)
{
    if (s->size == 0) {
        return false;
    }
    *ret = *s->data++;
    s->size--;
    return true;
}

bool slice_take_u16_be(struct slice *s, uint16_t *ret)
{
    uint64_t value;
    if (!slice_take_be(s, 2, &value)) {
        return false;
    }
    *ret = (uint16_t)value;
    return true;
}

bool slice_take_u32_be(struct slice *s, uint32_t *ret)
{
    uint64_t value;
    if (!slice_take_be(s, 4, &value)) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

bool slice_take_u64_be(struct slice *s, uint64_t *ret)
{
    return slice_take_be(s, 8, ret);
}

bool slice_take_u16_le(struct slice *s, uint16_t *ret)
{
    uint64_t value;
    if (!slice_take_le(s, 2, &value)) {
        return false;
    }
    *ret = (uint16_t)value;
    return true;
}

bool slice_take_u32_le(struct slice *s, uint32_t *ret)
{
    uint64_t value;
    if (!slice_take_le(s, 4, &value)) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

bool slice_take_u64_le(struct slice *s, uint64_t *ret)
{
    return slice_take_le(s, 8, ret);
}

bool slice_take_uvarint(struct slice *s, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 10 && i < s->size; i++) {
        uint8_t byte = s->data[i];
        if (i == 9 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            s->data += i + 1;
            s->size -= i + 1;
            *ret = value;
            return true;
        }
    }
    return false;
}

bool slice_take_varint(struct slice *s, int64_t *ret)
{
    uint64_t bits;
    if (!slice_take_uvarint(s, &bits)) {
        return false;
    }
    *ret = unzigzag(bits);
    return true;
}
