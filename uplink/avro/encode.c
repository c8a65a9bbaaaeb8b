#include "uplink/avro/encode.h"

#include <math.h>
#include <string.h>

#include "uplink/avro/number.h"

void avro_put_boolean(struct out *o, bool value)
{
    out_put_byte(o, value);
}

/* Of the many bits that are no number one is written, the one that Java has too: processors differ,
 * old MIPS even in what its highest bit means. */
#define FLOAT_NAN_BITS UINT32_C(0x7fc00000)
#define DOUBLE_NAN_BITS UINT64_C(0x7ff8000000000000)

void avro_put_float(struct out *o, float value)
{
    uint32_t bits = FLOAT_NAN_BITS;
    if (!isnan(value)) {
        memcpy(&bits, &value, sizeof bits);
    }
    out_put_u32_le(o, bits);
}

void avro_put_double(struct out *o, double value)
{
    uint64_t bits = DOUBLE_NAN_BITS;
    if (!isnan(value)) {
        memcpy(&bits, &value, sizeof bits);
    }
    out_put_u64_le(o, bits);
}

void avro_put_bytes(struct out *o, struct slice bytes)
{
    out_put_varint(o, (int64_t)bytes.size);
    out_put_slice(o, bytes);
}

/* --- from JSON --- */

struct encoder {
    struct out *out;
    struct why *why;
    unsigned depth;
    uint32_t *work; /* of a default, what is left; NULL: not a default */
};

static enum err encode(struct encoder *c, const struct avro_node *node, const struct tree *value);

static const char *value_name(const struct tree *value)
{
    switch (value->kind) {
    case JSON_NULL:
        return "null";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
    case JSON_KEY:
        return "a string";
    case JSON_OBJECT_BEGIN:
    case JSON_OBJECT_END:
        return "an object";
    case JSON_ARRAY_BEGIN:
    case JSON_ARRAY_END:
        return "an array";
    }
    return "nothing";
}

static enum err misfit(struct encoder *c, const struct avro_node *node, const struct tree *value)
{
    why_set(c->why, ": %s is no %s", value_name(value), avro_kind_name(node->kind));
    return ERR_REJECTED;
}

/* Puts the member or index in front of the place of an inner error. */
static enum err within(struct encoder *c, enum err e, struct slice name)
{
    if (e && c->why) {
        char inner[WHY_SIZE_MAX];
        char shown[160];
        struct out o = out_over(shown, sizeof shown);
        memcpy(inner, c->why->text, sizeof inner);
        tree_put_shown(&o, name, true);
        why_set(c->why, "/%.*s%s", (int)o.size, shown, inner);
    }
    return e;
}

static enum err encode_whole(struct encoder *c, const struct avro_node *node,
                             const struct tree *value)
{
    int64_t number;
    if (value->kind != JSON_NUMBER) {
        return misfit(c, node, value);
    }
    bool fits = (c->work ? number_to_integer(value->text, &number)
                         : number_to_long(value->text, &number)) == ERR_OK;
    if (!fits || (node->kind == AVRO_INT && (number < INT32_MIN || number > INT32_MAX))) {
        why_set(c->why, ": %.*s is not within %s",
                (int)(value->text.size > 40 ? 40 : value->text.size),
                (const char *)value->text.data, avro_kind_name(node->kind));
        return ERR_REJECTED;
    }
    out_put_varint(c->out, number);
    return ERR_OK;
}

static bool special_double(struct slice text, double *ret)
{
    if (slice_equal_text(text, "NaN")) {
        *ret = (double)NAN;
    } else if (slice_equal_text(text, "Infinity")) {
        *ret = (double)INFINITY;
    } else if (slice_equal_text(text, "-Infinity")) {
        *ret = -(double)INFINITY;
    } else {
        return false;
    }
    return true;
}

static enum err encode_real(struct encoder *c, const struct avro_node *node,
                            const struct tree *value)
{
    double real = 0;
    float small = 0;
    /* As a default only directly: in a union Java takes it for a string. */
    if (value->kind == JSON_STRING && (!c->work || c->depth == 1) &&
        special_double(value->text, &real)) {
        small = (float)real;
    } else if (value->kind != JSON_NUMBER) {
        return misfit(c, node, value);
    } else if (node->kind == AVRO_FLOAT ? number_to_float(value->text, &small)
                                        : number_to_double(value->text, &real)) {
        why_set(c->why, ": %.*s is not within %s",
                (int)(value->text.size > 40 ? 40 : value->text.size),
                (const char *)value->text.data, avro_kind_name(node->kind));
        return ERR_REJECTED;
    }
    if (node->kind == AVRO_FLOAT) {
        avro_put_float(c->out, small);
    } else {
        avro_put_double(c->out, real);
    }
    return ERR_OK;
}

/* U+0000..U+00FF as bytes: one byte a character. */
static bool latin_next(struct slice text, size_t *at, uint8_t *ret)
{
    uint8_t lead = text.data[*at];
    if (lead < 0x80) {
        *ret = lead;
        *at += 1;
        return true;
    }
    if ((lead != 0xc2 && lead != 0xc3) || *at + 1 >= text.size) {
        return false;
    }
    *ret = (uint8_t)((lead & 3) << 6 | (text.data[*at + 1] & 0x3f));
    *at += 2;
    return true;
}

static enum err encode_latin(struct encoder *c, const struct avro_node *node,
                             const struct tree *value)
{
    if (value->kind != JSON_STRING) {
        return misfit(c, node, value);
    }
    size_t size = 0;
    uint8_t byte;
    for (size_t at = 0; at < value->text.size; size++) {
        if (!latin_next(value->text, &at, &byte)) {
            why_set(c->why, ": %s may hold U+0000 to U+00FF only", avro_kind_name(node->kind));
            return ERR_REJECTED;
        }
    }
    if (node->kind == AVRO_FIXED && size != node->size) {
        why_set(c->why, ": %zu bytes where the fixed has %u", size, node->size);
        return ERR_REJECTED;
    }
    if (node->kind == AVRO_BYTES) {
        out_put_varint(c->out, (int64_t)size);
    }
    for (size_t at = 0; at < value->text.size;) {
        if (latin_next(value->text, &at, &byte)) {
            out_put_byte(c->out, byte);
        }
    }
    return ERR_OK;
}

static enum err encode_enum(struct encoder *c, const struct avro_node *node,
                            const struct tree *value)
{
    int32_t index = value->kind == JSON_STRING ? avro_symbol_find(node, value->text) : -1;
    if (index < 0) {
        why_set(c->why, ": not a symbol of enum %.*s", (int)node->name.size,
                (const char *)node->name.data);
        return ERR_REJECTED;
    }
    out_put_varint(c->out, index);
    return ERR_OK;
}

static enum err encode_items(struct encoder *c, const struct avro_node *node,
                             const struct tree *value)
{
    if (value->kind != (node->kind == AVRO_ARRAY ? JSON_ARRAY_BEGIN : JSON_OBJECT_BEGIN)) {
        return misfit(c, node, value);
    }
    uint32_t index = 0;
    if (value->count > 0) {
        out_put_varint(c->out, value->count);
    }
    for (const struct tree *item = value->first; item; item = item->next, index++) {
        char place[16];
        struct out name = out_over(place, sizeof place);
        out_put_format(&name, "%u", index);
        if (node->kind == AVRO_MAP) {
            avro_put_bytes(c->out, item->key);
        }
        enum err e = within(c, encode(c, node->items, item),
                            node->kind == AVRO_MAP ? item->key : out_slice(&name));
        if (e) {
            return e;
        }
    }
    out_put_varint(c->out, 0);
    return ERR_OK;
}

static enum err encode_record(struct encoder *c, const struct avro_node *node,
                              const struct tree *value)
{
    if (value->kind != JSON_OBJECT_BEGIN) {
        return misfit(c, node, value);
    }
    uint32_t hint = 0;
    for (const struct tree *member = c->work ? NULL : value->first; member; member = member->next) {
        int32_t at = avro_field_find(node, member->key, hint);
        hint = (uint32_t)(at + 1);
        if (at < 0) {
            why_set(c->why, ": no such field in record %.*s", (int)node->name.size,
                    (const char *)node->name.data);
            return within(c, ERR_REJECTED, member->key);
        }
    }
    for (uint32_t i = 0; i < node->field_count; i++) {
        const struct avro_field *field = &node->fields[i];
        const struct tree *member = value->first;
        while (member && !slice_equal(member->key, field->name)) {
            member = member->next;
        }
        enum err e = ERR_OK;
        if (member) {
            e = encode(c, field->node, member);
        } else if (c->work && field->has_default) {
            out_put_slice(c->out, field->default_bytes);
        } else {
            why_set(c->why, ": the field is missing");
            e = ERR_REJECTED;
        }
        if (e) {
            return within(c, e, field->name);
        }
    }
    return ERR_OK;
}

static struct slice branch_name(const struct avro_node *branch)
{
    return branch->name.size ? branch->name : slice_of_text(avro_kind_name(branch->kind));
}

/* {"type": value}, or null. */
static enum err encode_wrapped(struct encoder *c, const struct avro_node *node,
                               const struct tree *value)
{
    const struct tree *inner =
        value->kind == JSON_OBJECT_BEGIN && value->count == 1 ? value->first : NULL;
    for (uint32_t i = 0; i < node->branch_count; i++) {
        const struct avro_node *branch = node->branches[i];
        if (value->kind == JSON_NULL && branch->kind == AVRO_NULL) {
            out_put_varint(c->out, i);
            return ERR_OK;
        }
        if (inner && branch->kind != AVRO_NULL && slice_equal(inner->key, branch_name(branch))) {
            out_put_varint(c->out, i);
            return within(c, encode(c, branch, inner), inner->key);
        }
    }
    why_set(c->why, ": %s names no branch of the union; it is written as null or {\"type\": value}",
            value_name(value));
    return ERR_REJECTED;
}

/* The first branch that takes the value. */
static enum err encode_bare(struct encoder *c, const struct avro_node *node,
                            const struct tree *value)
{
    struct why *why = c->why;
    struct why inner = {""};
    size_t size = c->out->size;
    c->why = &inner;
    for (uint32_t i = 0; i < node->branch_count; i++) {
        out_put_varint(c->out, i);
        if (encode(c, node->branches[i], value) == ERR_OK) {
            c->why = why;
            return ERR_OK;
        }
        c->out->size = size;
    }
    c->why = why;
    why_set(why,
            *c->work == 0 ? ": %s has too many branches of unions within unions to try"
                          : ": %s fits no branch of the union",
            value_name(value));
    return ERR_REJECTED;
}

static enum err encode_plain(struct encoder *c, const struct avro_node *node,
                             const struct tree *value)
{
    switch (node->kind) {
    case AVRO_NULL:
        return value->kind == JSON_NULL ? ERR_OK : misfit(c, node, value);
    case AVRO_BOOLEAN:
        if (value->kind != JSON_TRUE && value->kind != JSON_FALSE) {
            return misfit(c, node, value);
        }
        avro_put_boolean(c->out, value->kind == JSON_TRUE);
        return ERR_OK;
    case AVRO_INT:
    case AVRO_LONG:
        return encode_whole(c, node, value);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return encode_real(c, node, value);
    case AVRO_BYTES:
    case AVRO_FIXED:
        return encode_latin(c, node, value);
    case AVRO_STRING:
        if (value->kind != JSON_STRING) {
            return misfit(c, node, value);
        }
        avro_put_bytes(c->out, value->text);
        return ERR_OK;
    case AVRO_ENUM:
        return encode_enum(c, node, value);
    case AVRO_ARRAY:
    case AVRO_MAP:
        return encode_items(c, node, value);
    case AVRO_RECORD:
        return encode_record(c, node, value);
    case AVRO_UNION:
        return c->work ? encode_bare(c, node, value) : encode_wrapped(c, node, value);
    }
    return ERR_CORRUPT;
}

/* Values nest as deep as JSON does: the recursion is bounded by JSON_DEPTH_MAX, and counted here
 * all the same. */
static enum err encode(struct encoder *c, const struct avro_node *node, const struct tree *value)
{
    if (c->depth == 2 * JSON_DEPTH_MAX) {
        why_set(c->why, ": nested too deeply");
        return ERR_REJECTED;
    }
    if (c->work && (*c->work)-- == 0) {
        *c->work = 0;
        why_set(c->why, ": too many branches of unions within unions to try");
        return ERR_REJECTED;
    }
    c->depth++;
    enum err e = encode_plain(c, node, value);
    c->depth--;
    return e;
}

enum err avro_encode_tree(const struct avro_node *node, const struct tree *value, struct out *ret,
                          struct why *why)
{
    struct encoder c = {.out = ret, .why = why};
    enum err e = encode(&c, node, value);
    return e ? e : ret->overflow ? ERR_FULL : ERR_OK;
}

enum err avro_encode_default(const struct avro_node *node, const struct tree *value, uint32_t *work,
                             struct out *ret, struct why *why)
{
    struct encoder c = {.out = ret, .why = why, .work = work};
    enum err e = encode(&c, node, value);
    return e ? e : ret->overflow ? ERR_FULL : ERR_OK;
}

enum err avro_encode_json(const struct avro_schema *schema, struct slice json, struct out *ret,
                          struct why *why)
{
    struct arena arena = {0};
    struct tree *tree;
    enum err e = tree_parse(&tree, &arena, json, JSON_DEPTH_MAX, why);
    if (!e) {
        e = avro_encode_tree(avro_schema_root(schema), tree, ret, why);
    }
    arena_release(&arena);
    return e;
}
