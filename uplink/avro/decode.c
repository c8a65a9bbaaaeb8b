#include "uplink/avro/decode.h"

#include <math.h>
#include <string.h>

#include "uplink/avro/decode_impl.h"
#include "uplink/avro/number.h"

struct decoder {
    struct walk walk;
    struct out *out; /* NULL: skip */
    bool is_plain;   /* avro_decode_plain() */
};

static enum err decode(struct decoder *d, const struct avro_node *node);

bool avro_take_bytes(struct slice *data, struct slice *ret)
{
    struct slice rest = *data;
    int64_t size;
    if (!slice_take_varint(&rest, &size) || size < 0 || (uint64_t)size > rest.size ||
        !slice_take(&rest, (size_t)size, ret)) {
        return false; /* a size of 64 bits is no size_t on every machine */
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

/* --- the walk --- */

enum err walk_corrupt(struct walk *walk, const char *wrong)
{
    walk->wrong = wrong;
    return ERR_CORRUPT;
}

/* Data of recursive types nest as deep as they like: refused beyond AVRO_NEST_MAX, so recursion is
 * bounded. Twice what the JSON reader takes, as a union is a level here and may be none there. */
enum err walk_enter(struct walk *walk)
{
    if (walk->depth > AVRO_NEST_MAX) {
        return walk_corrupt(walk, "nested too deeply");
    }
    walk->depth++;
    return ERR_OK;
}

enum err walk_leave(struct walk *walk, size_t before)
{
    walk->depth--;
    if (walk->data.size == before && ++walk->empty_count > AVRO_EMPTY_MAX) {
        return walk_corrupt(walk, "more than a million values without bytes");
    }
    return ERR_OK;
}

/* A negative count is followed by the block's size in bytes. */
enum err walk_count(struct walk *walk, uint64_t *ret)
{
    int64_t count;
    int64_t size;
    if (!slice_take_varint(&walk->data, &count) || count == INT64_MIN) {
        return walk_corrupt(walk, "not a block's count");
    }
    if (count < 0) {
        count = -count;
        if (!slice_take_varint(&walk->data, &size) || size < 0) {
            return walk_corrupt(walk, "not a block's size");
        }
    }
    *ret = (uint64_t)count;
    return ERR_OK;
}

enum err walk_key(struct walk *walk, struct slice *ret)
{
    if (!avro_take_bytes(&walk->data, ret) || !slice_is_utf8(*ret)) {
        return walk_corrupt(walk, "not a map's key");
    }
    return ERR_OK;
}

enum err walk_whole(struct walk *walk, enum avro_kind kind, int64_t *ret)
{
    if (!slice_take_varint(&walk->data, ret) ||
        (kind == AVRO_INT && (*ret < INT32_MIN || *ret > INT32_MAX))) {
        return walk_corrupt(walk, kind == AVRO_INT ? "not an int" : "not a long");
    }
    return ERR_OK;
}

enum err walk_bytes(struct walk *walk, const struct avro_node *node, struct slice *ret)
{
    bool there = node->kind == AVRO_FIXED ? slice_take(&walk->data, node->size, ret)
                                          : avro_take_bytes(&walk->data, ret);
    if (!there) {
        return walk_corrupt(walk, "the datum ends within a string, bytes or fixed");
    }
    if (node->kind == AVRO_STRING && !slice_is_utf8(*ret)) {
        return walk_corrupt(walk, "a string that is not UTF-8");
    }
    return ERR_OK;
}

static enum err walk_index(struct walk *walk, uint32_t count, const char *wrong, uint32_t *ret)
{
    int64_t index;
    if (!slice_take_varint(&walk->data, &index) || index < 0 || index >= (int64_t)count) {
        return walk_corrupt(walk, wrong);
    }
    *ret = (uint32_t)index;
    return ERR_OK;
}

enum err walk_symbol(struct walk *walk, const struct avro_node *node, uint32_t *ret)
{
    return walk_index(walk, node->symbol_count, "not a symbol's index", ret);
}

enum err walk_branch(struct walk *walk, const struct avro_node *node, uint32_t *ret)
{
    return walk_index(walk, node->branch_count, "not a branch's index", ret);
}

enum err walk_skip(struct walk *walk, const struct avro_node *node)
{
    struct decoder d = {.walk = *walk};
    enum err e = decode(&d, node);
    *walk = d.walk;
    return e;
}

/* --- as JSON --- */

static void put_text(struct decoder *d, const char *text)
{
    if (d->out) {
        out_put_text(d->out, text);
    }
}

static enum err decode_boolean(struct decoder *d)
{
    uint8_t byte;
    if (!slice_take_u8(&d->walk.data, &byte) || byte > 1) {
        return walk_corrupt(&d->walk, "not a boolean");
    }
    put_text(d, byte ? "true" : "false");
    return ERR_OK;
}

static enum err decode_whole(struct decoder *d, const struct avro_node *node)
{
    int64_t value;
    enum err e = walk_whole(&d->walk, node->kind, &value);
    if (!e && d->out) {
        out_put_format(d->out, "%lld", (long long)value);
    }
    return e;
}

static void put_special(struct decoder *d, double value)
{
    put_text(d, d->is_plain    ? "null"
                : isnan(value) ? "\"NaN\""
                : value > 0    ? "\"Infinity\""
                               : "\"-Infinity\"");
}

static enum err decode_real(struct decoder *d, const struct avro_node *node)
{
    double real = 0;
    float small = 0;
    if (node->kind == AVRO_FLOAT ? !avro_take_float(&d->walk.data, &small)
                                 : !avro_take_double(&d->walk.data, &real)) {
        return walk_corrupt(&d->walk, "the datum ends within a number");
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

static void put_bytes(struct decoder *d, const struct avro_node *node, struct slice bytes)
{
    bool is_number = d->is_plain && node->logical == AVRO_DECIMAL &&
                     number_put_decimal(d->out, bytes, node->scale);
    if (is_number) {
        return;
    }
    if (node->kind == AVRO_STRING || (d->is_plain && slice_is_utf8(bytes))) {
        out_put_json(d->out, bytes);
    } else {
        put_latin(d->out, bytes);
    }
}

static enum err decode_bytes(struct decoder *d, const struct avro_node *node)
{
    struct slice bytes;
    enum err e = walk_bytes(&d->walk, node, &bytes);
    if (e) {
        return e;
    }
    if (d->out) {
        put_bytes(d, node, bytes);
    }
    return ERR_OK;
}

static enum err decode_enum(struct decoder *d, const struct avro_node *node)
{
    uint32_t index;
    enum err e = walk_symbol(&d->walk, node, &index);
    if (!e && d->out) {
        out_put_json(d->out, node->symbols[index]);
    }
    return e;
}

static enum err decode_key(struct decoder *d)
{
    struct slice key;
    enum err e = walk_key(&d->walk, &key);
    if (!e && d->out) {
        out_put_json(d->out, key);
        out_put_byte(d->out, ':');
    }
    return e;
}

static enum err decode_items(struct decoder *d, const struct avro_node *node)
{
    uint64_t count;
    bool first = true;
    put_text(d, node->kind == AVRO_ARRAY ? "[" : "{");
    for (;;) {
        enum err e = walk_count(&d->walk, &count);
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
    uint32_t index;
    enum err e = walk_branch(&d->walk, node, &index);
    if (e) {
        return e;
    }
    const struct avro_node *branch = node->branches[index];
    if (branch->kind == AVRO_NULL || !d->out || d->is_plain) {
        return decode(d, branch);
    }
    out_put_byte(d->out, '{');
    out_put_json(d->out,
                 branch->name.size ? branch->name : slice_of_text(avro_kind_name(branch->kind)));
    out_put_byte(d->out, ':');
    e = decode(d, branch);
    out_put_byte(d->out, '}');
    return e;
}

/* Recurses as deep as walk_enter() allows. */
static enum err decode(struct decoder *d, const struct avro_node *node)
{
    size_t before = d->walk.data.size;
    enum err e = walk_enter(&d->walk);
    if (e) {
        return e;
    }
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
    return e ? e : walk_leave(&d->walk, before);
}

enum err avro_skip(const struct avro_node *node, struct slice *data)
{
    struct walk walk = {.data = *data};
    enum err e = walk_skip(&walk, node);
    if (!e) {
        *data = walk.data;
    }
    return e;
}

static enum err decode_text(struct decoder *d, const struct avro_node *node, struct slice *data,
                            struct why *why)
{
    d->walk = (struct walk){.data = *data};
    enum err e = decode(d, node);
    if (e) {
        why_set(why, "byte %zu: %s", data->size - d->walk.data.size, d->walk.wrong);
        return e;
    }
    *data = d->walk.data;
    return d->out->overflow ? ERR_FULL : ERR_OK;
}

enum err avro_decode_json(const struct avro_node *node, struct slice *data, struct out *ret,
                          struct why *why)
{
    return decode_text(&(struct decoder){.out = ret}, node, data, why);
}

enum err avro_decode_plain(const struct avro_node *node, struct slice *data, struct out *ret,
                           struct why *why)
{
    return decode_text(&(struct decoder){.out = ret, .is_plain = true}, node, data, why);
}
