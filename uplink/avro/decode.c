#include "uplink/avro/decode.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "uplink/avro/number.h"

struct decoder {
    struct slice data;
    struct out *out; /* NULL: skip */
    const char *wrong;
    size_t empty_count; /* against AVRO_EMPTY_MAX */
    unsigned depth;
};

static enum err decode(struct decoder *d, const struct avro_node *node);

static enum err corrupt(struct decoder *d, const char *wrong)
{
    d->wrong = wrong;
    return ERR_CORRUPT;
}

bool avro_take_bytes(struct slice *data, struct slice *ret)
{
    struct slice rest = *data;
    int64_t size;
    if (!slice_take_varint(&rest, &size) || size < 0 || !slice_take(&rest, (size_t)size, ret)) {
        return false;
    }
    *data = rest;
    return true;
}

bool avro_take_double(struct slice *data, double *ret)
{
    uint64_t bits;
    if (!slice_take_u64_le(data, &bits)) {
        return false;
    }
    memcpy(ret, &bits, sizeof bits);
    return true;
}

bool avro_take_float(struct slice *data, float *ret)
{
    uint32_t bits;
    if (!slice_take_u32_le(data, &bits)) {
        return false;
    }
    memcpy(ret, &bits, sizeof bits);
    return true;
}

static void put_text(struct decoder *d, const char *text)
{
    if (d->out) {
        out_put_text(d->out, text);
    }
}

static enum err decode_boolean(struct decoder *d)
{
    uint8_t byte;
    if (!slice_take_u8(&d->data, &byte) || byte > 1) {
        return corrupt(d, "not a boolean");
    }
    put_text(d, byte ? "true" : "false");
    return ERR_OK;
}

static enum err decode_whole(struct decoder *d, const struct avro_node *node)
{
    int64_t value;
    if (!slice_take_varint(&d->data, &value) ||
        (node->kind == AVRO_INT && (value < INT32_MIN || value > INT32_MAX))) {
        return corrupt(d, node->kind == AVRO_INT ? "not an int" : "not a long");
    }
    if (d->out) {
        out_put_format(d->out, "%lld", (long long)value);
    }
    return ERR_OK;
}

static void put_special(struct decoder *d, double value)
{
    put_text(d, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static enum err decode_real(struct decoder *d, const struct avro_node *node)
{
    double real = 0;
    float small = 0;
    if (node->kind == AVRO_FLOAT ? !avro_take_float(&d->data, &small)
                                 : !avro_take_double(&d->data, &real)) {
        return corrupt(d, "the datum ends within a number");
    }
    if (!d->out) {
        return ERR_OK;
    }
    if (!isfinite(node->kind == AVRO_FLOAT ? (double)small : real)) {
        put_special(d, node->kind == AVRO_FLOAT ? (double)small : real);
    } else if (node->kind == AVRO_FLOAT) {
        number_put_float(d->out, small);
    } else {
        number_put_double(d->out, real);
    }
    return ERR_OK;
}

/* Bytes as U+0000..U+00FF. */
static void put_latin(struct out *o, struct slice bytes)
{
    out_put_byte(o, '"');
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        uint8_t two[2] = {(uint8_t)(0xc0 | c >> 6), (uint8_t)(0x80 | (c & 0x3f))};
        if (c == '"' || c == '\\') {
            out_put_format(o, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            out_put_format(o, "\\u%04x", c);
        } else if (c < 0x80) {
            out_put_byte(o, c);
        } else {
            out_put(o, two, 2);
        }
    }
    out_put_byte(o, '"');
}

static enum err decode_bytes(struct decoder *d, const struct avro_node *node)
{
    struct slice bytes;
    bool there = node->kind == AVRO_FIXED ? slice_take(&d->data, node->size, &bytes)
                                          : avro_take_bytes(&d->data, &bytes);
    if (!there) {
        return corrupt(d, "the datum ends within a string, bytes or fixed");
    }
    if (node->kind == AVRO_STRING && !slice_is_utf8(bytes)) {
        return corrupt(d, "a string that is not UTF-8");
    }
    if (d->out && node->kind == AVRO_STRING) {
        out_put_json(d->out, bytes);
    } else if (d->out) {
        put_latin(d->out, bytes);
    }
    return ERR_OK;
}

static enum err decode_enum(struct decoder *d, const struct avro_node *node)
{
    int64_t index;
    if (!slice_take_varint(&d->data, &index) || index < 0 || index >= (int64_t)node->symbol_count) {
        return corrupt(d, "not a symbol's index");
    }
    if (d->out) {
        out_put_json(d->out, node->symbols[index]);
    }
    return ERR_OK;
}

static enum err decode_key(struct decoder *d)
{
    struct slice key;
    if (!avro_take_bytes(&d->data, &key) || !slice_is_utf8(key)) {
        return corrupt(d, "not a map's key");
    }
    if (d->out) {
        out_put_json(d->out, key);
        out_put_byte(d->out, ':');
    }
    return ERR_OK;
}

/* A block's count; a negative one is followed by the block's size in bytes. */
static enum err take_count(struct decoder *d, uint64_t *ret)
{
    int64_t count;
    int64_t size;
    if (!slice_take_varint(&d->data, &count) || count == INT64_MIN) {
        return corrupt(d, "not a block's count");
    }
    if (count < 0) {
        count = -count;
        if (!slice_take_varint(&d->data, &size) || size < 0) {
            return corrupt(d, "not a block's size");
        }
    }
    *ret = (uint64_t)count;
    return ERR_OK;
}

static enum err decode_items(struct decoder *d, const struct avro_node *node)
{
    uint64_t count;
    bool first = true;
    put_text(d, node->kind == AVRO_ARRAY ? "[" : "{");
    for (;;) {
        enum err e = take_count(d, &count);
        if (e) {
            return e;
        }
        if (count == 0) {
            break;
        }
        for (uint64_t i = 0; i < count; i++) {
            put_text(d, first ? "" : ",");
            first = false;
            e = node->kind == AVRO_MAP ? decode_key(d) : ERR_OK;
            e = e ? e : decode(d, node->items);
            if (e) {
                return e;
            }
        }
    }
    put_text(d, node->kind == AVRO_ARRAY ? "]" : "}");
    return ERR_OK;
}

static enum err decode_record(struct decoder *d, const struct avro_node *node)
{
    put_text(d, "{");
    for (uint32_t i = 0; i < node->field_count; i++) {
        if (d->out) {
            out_put_text(d->out, i ? "," : "");
            out_put_json(d->out, node->fields[i].name);
            out_put_byte(d->out, ':');
        }
        enum err e = decode(d, node->fields[i].node);
        if (e) {
            return e;
        }
    }
    put_text(d, "}");
    return ERR_OK;
}

static enum err decode_union(struct decoder *d, const struct avro_node *node)
{
    int64_t index;
    if (!slice_take_varint(&d->data, &index) || index < 0 || index >= (int64_t)node->branch_count) {
        return corrupt(d, "not a branch's index");
    }
    const struct avro_node *branch = node->branches[index];
    if (branch->kind == AVRO_NULL || !d->out) {
        return decode(d, branch);
    }
    out_put_byte(d->out, '{');
    out_put_json(d->out,
                 branch->name.size ? branch->name : slice_of_text(avro_kind_name(branch->kind)));
    out_put_byte(d->out, ':');
    enum err e = decode(d, branch);
    out_put_byte(d->out, '}');
    return e;
}

/* Data of recursive types nest as deep as they like: refused beyond AVRO_NEST_MAX, so the
 * recursion is bounded. Twice what the JSON reader takes, as a union is a level here and may be
 * none there. */
static enum err decode(struct decoder *d, const struct avro_node *node)
{
    size_t before = d->data.size;
    if (d->depth > AVRO_NEST_MAX) {
        return corrupt(d, "nested too deeply");
    }
    enum err e = ERR_OK;
    d->depth++;
    switch (node->kind) {
    case AVRO_NULL:
        put_text(d, "null");
        break;
    case AVRO_BOOLEAN:
        e = decode_boolean(d);
        break;
    case AVRO_INT:
    case AVRO_LONG:
        e = decode_whole(d, node);
        break;
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        e = decode_real(d, node);
        break;
    case AVRO_BYTES:
    case AVRO_STRING:
    case AVRO_FIXED:
        e = decode_bytes(d, node);
        break;
    case AVRO_ENUM:
        e = decode_enum(d, node);
        break;
    case AVRO_ARRAY:
    case AVRO_MAP:
        e = decode_items(d, node);
        break;
    case AVRO_RECORD:
        e = decode_record(d, node);
        break;
    case AVRO_UNION:
        e = decode_union(d, node);
        break;
    }
    d->depth--;
    if (!e && d->data.size == before && ++d->empty_count > AVRO_EMPTY_MAX) {
        return corrupt(d, "more than a million values without bytes");
    }
    return e;
}

enum err avro_skip(const struct avro_node *node, struct slice *data)
{
    struct decoder d = {.data = *data};
    enum err e = decode(&d, node);
    if (!e) {
        *data = d.data;
    }
    return e;
}

enum err avro_decode_json(const struct avro_node *node, struct slice *data, struct out *ret,
                          struct why *why)
{
    struct decoder d = {.data = *data, .out = ret};
    enum err e = decode(&d, node);
    if (e) {
        why_set(why, "byte %zu: %s", data->size - d.data.size, d.wrong);
        return e;
    }
    *data = d.data;
    return ret->overflow ? ERR_FULL : ERR_OK;
}
