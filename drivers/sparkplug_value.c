#include <math.h>

#include "drivers/sparkplug_impl.h"
#include "ports/lib/hash.h"
#include "ports/real.h"

#define COLUMN_MAX 256 /* of a data set */

static const char *const type_names[SPARKPLUG_TYPE_COUNT] = {"Unknown",      "Int8",
                                                             "Int16",        "Int32",
                                                             "Int64",        "UInt8",
                                                             "UInt16",       "UInt32",
                                                             "UInt64",       "Float",
                                                             "Double",       "Boolean",
                                                             "String",       "DateTime",
                                                             "Text",         "UUID",
                                                             "DataSet",      "Bytes",
                                                             "File",         "Template",
                                                             "PropertySet",  "PropertySetList",
                                                             "Int8Array",    "Int16Array",
                                                             "Int32Array",   "Int64Array",
                                                             "UInt8Array",   "UInt16Array",
                                                             "UInt32Array",  "UInt64Array",
                                                             "FloatArray",   "DoubleArray",
                                                             "BooleanArray", "StringArray",
                                                             "DateTimeArray"};

const char *sparkplug_type_name(uint64_t type)
{
    return type < SPARKPLUG_TYPE_COUNT ? type_names[type] : NULL;
}

void sparkplug_member(struct out *json, const char *name)
{
    out_put_format(json, ",\"%s\":", name);
}

static void put_signed(struct out *json, int64_t value)
{
    out_put_format(json, "%lld", (long long)value);
}

static void put_real(struct out *json, double value, bool is_float)
{
    char text[REAL_TEXT_SIZE];
    if (!isfinite(value)) {
        out_put_text(json, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (is_float) {
        real_of_float((float)value, text);
    } else {
        real_of_double(value, text);
    }
    out_put_text(json, text);
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double float_of(uint64_t bits)
{
    float value;
    uint32_t half = (uint32_t)bits;
    memcpy(&value, &half, sizeof value);
    return (double)value;
}

/* `value` has at least the bits of the type; what is above them does not count. */
static void put_whole(struct out *json, uint64_t type, uint64_t value)
{
    switch (type) {
    case SPARKPLUG_INT8:
        put_signed(json, (int8_t)(value & UINT8_MAX));
        return;
    case SPARKPLUG_INT16:
        put_signed(json, (int16_t)(value & UINT16_MAX));
        return;
    case SPARKPLUG_INT32:
        put_signed(json, (int32_t)(value & UINT32_MAX));
        return;
    case SPARKPLUG_INT64:
        put_signed(json, (int64_t)value);
        return;
    default:
        out_put_number(json, value);
    }
}

enum err sparkplug_scalar(struct out *json, uint32_t member, uint64_t type,
                          const struct protobuf_field *field)
{
    static const enum protobuf_kind kinds[] = {PROTOBUF_VARINT,  PROTOBUF_VARINT, PROTOBUF_FIXED32,
                                               PROTOBUF_FIXED64, PROTOBUF_VARINT, PROTOBUF_BYTES};
    if (member >= ARRAY_COUNT(kinds) || field->kind != kinds[member]) {
        return ERR_CORRUPT;
    }
    switch (member) {
    case 0:
        put_whole(json, type, field->value & UINT32_MAX);
        break;
    case 1:
        put_whole(json, type, field->value);
        break;
    case 2:
        put_real(json, float_of(field->value), true);
        break;
    case 3:
        put_real(json, double_of(field->value), false);
        break;
    case 4:
        out_put_text(json, field->value ? "true" : "false");
        break;
    default:
        out_put_json(json, field->bytes);
    }
    return ERR_OK;
}

/* --- arrays: sparkplug_b.proto, and section 6.4.17 of the specification --- */

/* Bytes of an element; 0: not an array of numbers. */
static size_t element_size(uint64_t type)
{
    switch (type) {
    case SPARKPLUG_INT8_ARRAY:
    case SPARKPLUG_UINT8_ARRAY:
        return 1;
    case SPARKPLUG_INT16_ARRAY:
    case SPARKPLUG_UINT16_ARRAY:
        return 2;
    case SPARKPLUG_INT32_ARRAY:
    case SPARKPLUG_UINT32_ARRAY:
    case SPARKPLUG_FLOAT_ARRAY:
        return 4;
    case SPARKPLUG_INT64_ARRAY:
    case SPARKPLUG_UINT64_ARRAY:
    case SPARKPLUG_DOUBLE_ARRAY:
    case SPARKPLUG_DATETIME_ARRAY:
        return 8;
    default:
        return 0;
    }
}

static void put_element(struct out *json, uint64_t type, uint64_t value)
{
    if (type == SPARKPLUG_FLOAT_ARRAY) {
        put_real(json, float_of(value), true);
    } else if (type == SPARKPLUG_DOUBLE_ARRAY) {
        put_real(json, double_of(value), false);
    } else if (type <= SPARKPLUG_INT64_ARRAY) {
        put_whole(json, type - SPARKPLUG_INT8_ARRAY + SPARKPLUG_INT8, value);
    } else {
        out_put_number(json, value);
    }
}

static enum err put_numbers(struct out *json, uint64_t type, size_t size, struct slice bytes)
{
    if (bytes.size % size) {
        return ERR_CORRUPT;
    }
    for (size_t at = 0; at < bytes.size && !json->overflow; at += size) {
        uint64_t value = 0;
        for (size_t i = 0; i < size; i++) { /* little-endian */
            value |= (uint64_t)bytes.data[at + i] << 8 * i;
        }
        out_put_text(json, at ? "," : "");
        put_element(json, type, value);
    }
    return ERR_OK;
}

/* How many there are, then a bit for each, from the highest one down. */
static enum err put_booleans(struct out *json, struct slice bytes)
{
    uint32_t count;
    if (!slice_take_u32_le(&bytes, &count) || bytes.size < (size_t)count / 8 + (count % 8 != 0)) {
        return ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < count && !json->overflow; i++) {
        out_put_text(json, i ? "," : "");
        out_put_text(json, bytes.data[i / 8] & 0x80 >> i % 8 ? "true" : "false");
    }
    return ERR_OK;
}

/* Each with a NUL behind it. */
static enum err put_strings(struct out *json, struct slice bytes)
{
    for (bool is_first = true; bytes.size && !json->overflow; is_first = false) {
        const uint8_t *end = memchr(bytes.data, 0, bytes.size);
        struct slice text;
        uint8_t nul;
        if (!end || !slice_take(&bytes, (size_t)(end - bytes.data), &text) ||
            !slice_take_u8(&bytes, &nul)) {
            return ERR_CORRUPT;
        }
        out_put_text(json, is_first ? "" : ",");
        out_put_json(json, text);
    }
    return ERR_OK;
}

enum err sparkplug_bytes(struct out *json, uint64_t type, struct slice bytes)
{
    size_t size = element_size(type);
    if (!size && type != SPARKPLUG_BOOLEAN_ARRAY && type != SPARKPLUG_STRING_ARRAY) {
        out_put_byte(json, '"');
        hash_put_base64(json, bytes);
        out_put_byte(json, '"');
        return ERR_OK;
    }
    out_put_byte(json, '[');
    enum err e = size                             ? put_numbers(json, type, size, bytes)
                 : type == SPARKPLUG_STRING_ARRAY ? put_strings(json, bytes)
                                                  : put_booleans(json, bytes);
    out_put_byte(json, ']');
    return e;
}

enum err sparkplug_array(struct out *json, struct slice message, uint32_t number,
                         enum err (*put)(void *context, struct slice element), void *context)
{
    struct protobuf_field field;
    bool is_first = true;
    enum err e;
    out_put_byte(json, '[');
    while ((e = protobuf_next(&message, &field)) == ERR_OK) {
        if (field.number != number) {
            continue;
        }
        out_put_text(json, is_first ? "" : ",");
        is_first = false;
        e = field.kind == PROTOBUF_BYTES ? put(context, field.bytes) : ERR_CORRUPT;
        if (e) {
            return e;
        }
    }
    out_put_byte(json, ']');
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* --- data sets --- */

struct columns {
    size_t count;
    uint8_t types[COLUMN_MAX];
};

static enum err add_type(struct columns *columns, uint64_t type)
{
    if (columns->count == COLUMN_MAX || type >= SPARKPLUG_TYPE_COUNT) {
        return ERR_CORRUPT;
    }
    columns->types[columns->count++] = (uint8_t)type;
    return ERR_OK;
}

/* One number, or several packed. */
static enum err read_types(struct columns *columns, const struct protobuf_field *field)
{
    if (field->kind == PROTOBUF_VARINT) {
        return add_type(columns, field->value);
    }
    struct slice packed = field->bytes;
    enum err e = field->kind == PROTOBUF_BYTES ? ERR_OK : ERR_CORRUPT;
    uint64_t type;
    while (!e && packed.size) {
        e = slice_take_uvarint(&packed, &type) ? add_type(columns, type) : ERR_CORRUPT;
    }
    return e;
}

/* DataSetValue: one of the members 1 to 6, or none: null. */
static enum err put_cell(struct out *json, uint64_t type, struct slice message)
{
    struct protobuf_field field;
    size_t start = json->size;
    enum err e;
    while ((e = protobuf_next(&message, &field)) == ERR_OK) {
        if (field.number >= 1 && field.number <= 6) {
            json->size = json->overflow ? json->size : start; /* the last one counts */
            e = sparkplug_scalar(json, field.number - 1, type, &field);
            if (e) {
                return e;
            }
        }
    }
    if (e == ERR_CLOSED && json->size == start) {
        out_put_text(json, "null");
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* A row, whose cells have the types of the columns in turn. */
struct row {
    struct out *json;
    const struct columns *columns;
    size_t count; /* of its cells so far */
};

static enum err put_next_cell(void *context, struct slice message)
{
    struct row *row = context;
    if (row->count == row->columns->count) {
        return ERR_CORRUPT;
    }
    return put_cell(row->json, row->columns->types[row->count++], message);
}

static enum err put_row(void *context, struct slice message)
{
    struct row *row = context;
    row->count = 0;
    return sparkplug_array(row->json, message, 1, put_next_cell, row);
}

static enum err put_text(void *context, struct slice text)
{
    out_put_json(context, text);
    return ERR_OK;
}

enum err sparkplug_dataset(struct out *json, struct slice message)
{
    struct columns columns = {.count = 0};
    struct protobuf_field field;
    struct slice rest = message;
    enum err e;
    while ((e = protobuf_next(&rest, &field)) == ERR_OK) {
        e = field.number == 3 ? read_types(&columns, &field) : ERR_OK;
        if (e) {
            return e;
        }
    }
    if (e != ERR_CLOSED) {
        return e;
    }
    out_put_text(json, "{\"columns\":");
    e = sparkplug_array(json, message, 2, put_text, json);
    out_put_text(json, ",\"datatypes\":[");
    for (size_t i = 0; i < columns.count; i++) {
        out_put_format(json, "%s\"%s\"", i ? "," : "", type_names[columns.types[i]]);
    }
    out_put_text(json, "],\"rows\":");
    struct row row = {.json = json, .columns = &columns};
    e = e ? e : sparkplug_array(json, message, 4, put_row, &row);
    out_put_byte(json, '}');
    return e;
}

/* --- properties --- */

static enum err put_set(struct out *json, struct slice message, unsigned depth,
                        struct protobuf_field *ret_quality);

/* The sets of a PropertySetList at this depth. */
struct sets {
    struct out *json;
    unsigned depth;
};

static enum err put_one_set(void *context, struct slice message)
{
    const struct sets *sets = context;
    return put_set(sets->json, message, sets->depth, NULL);
}

/* PropertyValue: its type and value. */
struct property {
    uint64_t type;
    bool is_null;
    struct protobuf_field value; /* number 0: none */
};

static enum err read_property(struct slice message, struct property *ret)
{
    struct protobuf_field field;
    enum err e;
    *ret = (struct property){.type = SPARKPLUG_UNKNOWN};
    while ((e = protobuf_next(&message, &field)) == ERR_OK) {
        if (field.number <= 2 && field.kind != PROTOBUF_VARINT) {
            return ERR_CORRUPT;
        }
        ret->type = field.number == 1 ? field.value : ret->type;
        ret->is_null = field.number == 2 ? field.value != 0 : ret->is_null;
        ret->value = field.number >= 3 && field.number <= 10 ? field : ret->value;
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

static enum err put_property(struct out *json, const struct property *property, unsigned depth)
{
    const struct protobuf_field *value = &property->value;
    if (property->is_null || value->number == 0) {
        out_put_text(json, "null");
        return ERR_OK;
    }
    if (value->number < 9) {
        return sparkplug_scalar(json, value->number - 3, property->type, value);
    }
    if (value->kind != PROTOBUF_BYTES || depth == SPARKPLUG_DEPTH_MAX) {
        return ERR_CORRUPT;
    }
    struct sets sets = {json, depth + 1};
    return value->number == 9 ? put_one_set(&sets, value->bytes)
                              : sparkplug_array(json, value->bytes, 1, put_one_set, &sets);
}

/* The next field with this number. */
static enum err next_numbered(struct slice *message, uint32_t number, struct slice *ret)
{
    struct protobuf_field field;
    enum err e;
    while ((e = protobuf_next(message, &field)) == ERR_OK && field.number != number) {
    }
    if (!e && field.kind != PROTOBUF_BYTES) {
        return ERR_CORRUPT;
    }
    *ret = e ? (struct slice){NULL, 0} : field.bytes;
    return e;
}

/* Keys and values are two lists in step. */
static enum err put_set(struct out *json, struct slice message, unsigned depth,
                        struct protobuf_field *ret_quality)
{
    struct slice keys = message;
    struct slice values = message;
    struct slice key;
    struct slice value;
    struct property property;
    bool is_first = true;
    out_put_byte(json, '{');
    for (;;) {
        enum err e = next_numbered(&keys, 1, &key);
        enum err e_value = next_numbered(&values, 2, &value);
        if (e || e_value) {
            out_put_byte(json, '}');
            return e == ERR_CLOSED && e_value == ERR_CLOSED ? ERR_OK : ERR_CORRUPT;
        }
        e = read_property(value, &property);
        if (e) {
            return e;
        }
        if (ret_quality && slice_equal_text(key, "Quality") && property.value.number == 3) {
            *ret_quality = property.value;
            continue;
        }
        out_put_text(json, is_first ? "" : ",");
        is_first = false;
        out_put_json(json, key);
        out_put_byte(json, ':');
        e = put_property(json, &property, depth);
        if (e) {
            return e;
        }
    }
}

enum err sparkplug_properties(struct out *json, struct slice message, const char *name,
                              unsigned depth, struct protobuf_field *ret_quality)
{
    size_t start = json->size;
    ret_quality->number = 0;
    sparkplug_member(json, name);
    size_t begin = json->size;
    enum err e = put_set(json, message, depth, ret_quality);
    if (!e && !json->overflow && json->size == begin + 2) {
        json->size = start;
    }
    return e;
}
