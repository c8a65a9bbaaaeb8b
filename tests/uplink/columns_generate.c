#include "tests/uplink/columns_generate.h"

#include <assert.h>

#define DEPTH_MAX 3
#define FIELD_MAX 5

static uint64_t chance_bits(struct chance *c)
{
    c->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = c->state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t chance_below(struct chance *c, uint32_t below)
{
    return (uint32_t)((chance_bits(c) >> 32) * below >> 32);
}

/* --- schemas --- */

struct schema_maker {
    struct chance *chance;
    struct out *out;
    unsigned names;
};

static void put_type(struct schema_maker *m, unsigned depth);

static void put_fields(struct schema_maker *m, unsigned depth)
{
    uint32_t count = chance_below(m->chance, FIELD_MAX) + (depth == 0);
    out_put_format(m->out, "{\"type\":\"record\",\"name\":\"N%u\",\"fields\":[", m->names++);
    for (uint32_t i = 0; i < count; i++) {
        bool is_known = chance_below(m->chance, 3) == 0;
        out_put_format(m->out, "%s{\"name\":\"f%u\",", i ? "," : "", i);
        if (is_known) {
            out_put_text(m->out, "\"weir.values\":[\"known 1\",\"s1\",\"job \\u0001 is \\u0001\","
                                 "\"x\",\"s\\u0001\"],");
        }
        out_put_text(m->out, "\"type\":");
        put_type(m, depth + 1);
        out_put_byte(m->out, '}');
    }
    out_put_text(m->out, "]}");
}

static void put_union(struct schema_maker *m)
{
    static const char *const branches[] = {"null", "long", "double", "string", "boolean"};
    uint32_t first = chance_below(m->chance, 5);
    uint32_t count = chance_below(m->chance, 4) + 1;
    out_put_byte(m->out, '[');
    for (uint32_t i = 0; i < count; i++) {
        out_put_format(m->out, "%s\"%s\"", i ? "," : "", branches[(first + i) % 5]);
    }
    out_put_byte(m->out, ']');
}

static void put_simple(struct schema_maker *m, uint32_t kind)
{
    static const char *const names[] = {
        "\"null\"",
        "\"boolean\"",
        "\"int\"",
        "\"long\"",
        "\"float\"",
        "\"double\"",
        "\"string\"",
        "\"bytes\"",
        "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}",
        "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":18,\"scale\":2}"};
    static const unsigned sizes[] = {0, 1, 4, 16};
    if (kind < ARRAY_COUNT(names)) {
        out_put_text(m->out, names[kind]);
    } else if (kind == ARRAY_COUNT(names)) {
        out_put_format(m->out, "{\"type\":\"fixed\",\"name\":\"N%u\",\"size\":%u}", m->names++,
                       sizes[chance_below(m->chance, 4)]);
    } else if (kind == ARRAY_COUNT(names) + 1) {
        out_put_format(m->out,
                       "{\"type\":\"enum\",\"name\":\"N%u\",\"symbols\":[\"A\",\"B\",\"C\",\"D\"]}",
                       m->names++);
    } else {
        unsigned size = chance_below(m->chance, 2) ? 5 : 12;
        out_put_format(m->out,
                       "{\"type\":\"fixed\",\"name\":\"N%u\",\"size\":%u,"
                       "\"logicalType\":\"decimal\",\"precision\":11,\"scale\":2}",
                       m->names++, size);
    }
}

/* Recurses DEPTH_MAX deep. */
static void put_type(struct schema_maker *m, unsigned depth)
{
    uint32_t kind = chance_below(m->chance, depth < DEPTH_MAX ? 24 : 13);
    if (kind < 13) {
        put_simple(m, kind);
    } else if (kind < 15) {
        put_fields(m, depth);
    } else if (kind < 17) {
        out_put_text(m->out, "{\"type\":\"array\",\"items\":");
        put_type(m, depth + 1);
        out_put_byte(m->out, '}');
    } else if (kind < 19) {
        out_put_text(m->out, "{\"type\":\"map\",\"weir.keys\":[\"k1\",\"k0\"],\"values\":");
        put_type(m, depth + 1);
        out_put_byte(m->out, '}');
    } else if (kind < 22) {
        out_put_format(m->out, "[\"null\",{\"type\":\"record\",\"name\":\"N%u\",\"fields\":[{",
                       m->names++);
        out_put_text(m->out, "\"name\":\"o\",\"type\":");
        put_type(m, depth + 1);
        out_put_text(m->out, "}]}]");
    } else {
        put_union(m);
    }
}

void generate_schema(struct chance *c, struct out *ret)
{
    struct schema_maker m = {.chance = c, .out = ret};
    put_fields(&m, 0);
    assert(!ret->overflow);
}

/* --- rows --- */

#define HABIT_COUNT 6

struct row_maker {
    struct chance *chance;
    uint64_t seed;
    uint32_t index;
    uint32_t place; /* of the value within the row */
    struct out *out;
};

/* The same for a place in all rows. */
static uint64_t place_bits(const struct row_maker *m, uint64_t salt)
{
    struct chance c = {.state = m->seed + m->place * UINT64_C(0x100000001b3) + salt};
    return chance_bits(&c);
}

static int64_t whole_of(struct row_maker *m, unsigned bits)
{
    static const int64_t edges[] = {0,
                                    1,
                                    -1,
                                    63,
                                    64,
                                    -64,
                                    -65,
                                    INT32_MAX,
                                    INT32_MIN,
                                    INT64_MAX,
                                    INT64_MIN,
                                    INT64_C(1) << 53,
                                    (INT64_C(1) << 62) - 1,
                                    INT64_C(1) << 62,
                                    -(INT64_C(1) << 62)};
    static const int64_t steps[] = {0, 1, 1000, 86400, -7};
    int64_t base = (int64_t)(place_bits(m, 1) >> (72 - bits));
    int64_t step = steps[place_bits(m, 2) % 5];
    uint64_t at = m->index;
    uint64_t value = 0;
    switch (place_bits(m, 3) % HABIT_COUNT) {
    case 0:
        value = (uint64_t)base;
        break;
    case 1:
        value = (uint64_t)base + at * (uint64_t)step;
        break;
    case 2:
        value = (uint64_t)base + at % 3 * 7777 + at;
        break;
    case 3:
        value = chance_bits(m->chance) >> (64 - bits) >> (chance_below(m->chance, 4) * 18);
        value = chance_below(m->chance, 2) ? value : UINT64_C(0) - value;
        break;
    case 4:
        value = (uint64_t)base + (uint64_t)step * chance_below(m->chance, 10);
        break;
    default:
        value = (uint64_t)edges[chance_below(m->chance, ARRAY_COUNT(edges))];
        break;
    }
    return bits == 32 ? (int64_t)(int32_t)(uint32_t)value : (int64_t)value;
}

static double double_of(struct row_maker *m)
{
    static const double powers[] = {1, 10, 100, 1000, 1e5, 1e9};
    static const uint64_t edges[] = {0,
                                     UINT64_C(1) << 63,
                                     1,
                                     UINT64_C(0x8000000000000001),
                                     UINT64_C(0x000fffffffffffff),
                                     UINT64_C(0x7fefffffffffffff),
                                     UINT64_C(0x7ff0000000000000),
                                     UINT64_C(0xfff0000000000000),
                                     UINT64_C(0x7ff8000000000000),
                                     UINT64_C(0x7ff0000000000001),
                                     UINT64_C(0xfff8000000abcdef),
                                     UINT64_C(0x3fb999999999999a),
                                     UINT64_C(0x3fd5555555555555),
                                     UINT64_C(0x4480f0cf064dd592),
                                     UINT64_C(0x4340000000000001),
                                     UINT64_C(0x3fd3333333333334)};
    double power = powers[place_bits(m, 4) % ARRAY_COUNT(powers)];
    double noise = (double)chance_below(m->chance, 1U << 30) / 7e7 + 20;
    double value;
    switch (place_bits(m, 5) % HABIT_COUNT) {
    case 0:
        value = (double)(place_bits(m, 6) % 100000) / 100;
        break;
    case 1:
        value = (double)((int64_t)(place_bits(m, 6) % 1000) + m->index / 4) / power;
        break;
    case 2:
        value = noise;
        break;
    case 3:
        value = (double)(int64_t)(noise * 1000) / 1000;
        break;
    case 4:
        value = (double)(int64_t)(noise * 1000) / 1000 + (chance_below(m->chance, 3) ? 0 : 1e-14);
        break;
    default:
        value = 0;
        break;
    }
    bool is_edge = place_bits(m, 5) % HABIT_COUNT == 5 || chance_below(m->chance, 40) == 0;
    if (is_edge) {
        memcpy(&value, &edges[chance_below(m->chance, ARRAY_COUNT(edges))], sizeof value);
    } else if (place_bits(m, 7) % 5 == 0) {
        value = (double)(float)value;
    }
    return value;
}

static void put_float(struct row_maker *m)
{
    float value = (float)double_of(m);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= chance_below(m->chance, 50) == 0 ? 0x7f800001U : 0; /* a NaN of any kind */
    out_put_u32_le(m->out, bits);
}

/* A message as a device prints it: JSON of a few shapes, or nearly so. */
static void print_message(struct row_maker *m, char *ret, size_t size)
{
    static const char *const odd[] = {
        "{", "[1,", "{}", "[]", "on", "-0.0", "[[[[[7,[]]]]]]", "\"x\"", "{\"a\":\"\x03\"}"};
    uint32_t whole = chance_below(m->chance, 3000);
    uint32_t index = m->index;
    switch ((place_bits(m, 11) + chance_below(m->chance, 8) / 7) % 6) {
    case 0:
        (void)snprintf(ret, size, "{\"n\": %u, \"v\": %u.%02u}", index, whole / 100, whole % 100);
        break;
    case 1:
        (void)snprintf(ret, size, "{\"at\":\"2024-02-%02uT12:%02u:07.%03uZ\",\"s\":\"%s\"}",
                       index % 31, whole % 61, whole % 1000, whole % 2 ? "on" : "off");
        break;
    case 2:
        (void)snprintf(ret, size, "{\"d\":\"m%u\",\"l\":[%u,-%u.5,{\"x\":%s}]}", index % 3, whole,
                       whole % 7, whole % 5 ? "true" : "null");
        break;
    case 3:
        (void)snprintf(ret, size, "%u.%u", whole / 10, whole % 10);
        break;
    case 4:
        (void)snprintf(ret, size, "[%s]", &"1, 2, 3, 4"[3 * (whole % 4)]);
        break;
    default:
        (void)snprintf(ret, size, "%s", odd[whole % ARRAY_COUNT(odd)]);
        break;
    }
}

static void put_string(struct row_maker *m)
{
    static const char *const texts[] = {"",
                                        "a",
                                        "\xc3\xa9t\xc3\xa9 \xe2\x98\x83",
                                        "id 7",
                                        "id 07",
                                        "10.0.0.1 port 22",
                                        "99999999999999999999",
                                        "a\x01 5",
                                        "known 1"};
    char text[400];
    unsigned long long noise = chance_below(m->chance, 999) + 1;
    switch (place_bits(m, 8) % (HABIT_COUNT + 4)) {
    case HABIT_COUNT + 2:
    case HABIT_COUNT + 3:
        print_message(m, text, sizeof text);
        break;
    case 0:
        (void)snprintf(text, sizeof text, "same");
        break;
    case 1:
        (void)snprintf(text, sizeof text, "s%u", m->index % 4);
        break;
    case 2:
    case 3:
        (void)snprintf(text, sizeof text, "job %u done in %llu ms, rc 0", m->index * 3, noise);
        break;
    case 4:
        (void)snprintf(text, sizeof text, "%llx", (unsigned long long)chance_bits(m->chance));
        break;
    case 5:
        (void)snprintf(text, sizeof text, "%s", texts[chance_below(m->chance, ARRAY_COUNT(texts))]);
        break;
    case 6:
        (void)snprintf(text, sizeof text, "kind %c of event %llu, %0*u", (int)('a' + noise % 11),
                       noise * noise, chance_below(m->chance, 300) ? 4 : 300, m->index);
        break;
    default:
        (void)snprintf(text, sizeof text, "%s%u",
                       texts[chance_below(m->chance, ARRAY_COUNT(texts))], m->index);
        break;
    }
    out_put_varint(m->out, (int64_t)strlen(text));
    out_put_text(m->out, text);
}

/* Bytes that are few different ones, or all different; some look like decimals. */
static void put_bytes(struct row_maker *m, const struct avro_node *node)
{
    uint64_t habit = place_bits(m, 9) % 5;
    if (habit == 4 && node->kind == AVRO_BYTES) {
        char text[400];
        print_message(m, text, sizeof text);
        out_put_varint(m->out, (int64_t)strlen(text));
        out_put_text(m->out, text);
        return;
    }
    size_t size = node->kind == AVRO_FIXED ? node->size
                  : habit == 0             ? 2
                                           : chance_below(m->chance, 12);
    if (node->kind != AVRO_FIXED) {
        out_put_varint(m->out, (int64_t)size);
    }
    uint8_t sign = chance_below(m->chance, 2) ? 0xff : 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = habit == 0   ? (uint8_t)(m->index % 3)
                       : habit == 1 ? (uint8_t)(i < 2 ? sign : 0)
                                    : (uint8_t)chance_below(m->chance, 256);
        out_put_byte(m->out, byte);
    }
}

static void put_decimal_bytes(struct row_maker *m)
{
    int64_t value = whole_of(m, chance_below(m->chance, 8) ? 32 : 64);
    uint64_t magnitude = (uint64_t)(value < 0 ? ~value : value);
    size_t size = 1;
    while (size < 8 && magnitude >> (8 * size - 1)) {
        size++;
    }
    out_put_varint(m->out, (int64_t)size);
    while (size-- > 0) {
        out_put_byte(m->out, (uint8_t)((uint64_t)value >> (8 * size)));
    }
}

static void put_value(struct row_maker *m, const struct avro_node *node);

static void put_items(struct row_maker *m, const struct avro_node *node)
{
    uint32_t counts[] = {0, 1, 3, chance_below(m->chance, 5), m->index % 3, 2};
    uint32_t count = counts[place_bits(m, 10) % HABIT_COUNT];
    uint32_t place = m->place;
    if (count) {
        out_put_varint(m->out, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (node->kind == AVRO_MAP) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%u", i);
            out_put_varint(m->out, (int64_t)strlen(key));
            out_put_text(m->out, key);
        }
        m->place = place; /* the same place for all items */
        put_value(m, node->items);
    }
    out_put_varint(m->out, 0);
}

static void put_union_value(struct row_maker *m, const struct avro_node *node)
{
    uint32_t branch = place_bits(m, 11) % 2 ? chance_below(m->chance, node->branch_count)
                                            : m->index % node->branch_count;
    out_put_varint(m->out, branch);
    m->place += branch * 1000;
    put_value(m, node->branches[branch]);
}

static void put_double(struct row_maker *m)
{
    double value = double_of(m);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    out_put_u64_le(m->out, bits);
}

static void put_leaf(struct row_maker *m, const struct avro_node *node)
{
    if (node->kind == AVRO_BOOLEAN) {
        out_put_byte(m->out, chance_below(m->chance, 10) < place_bits(m, 12) % 11);
    } else if (node->kind == AVRO_INT || node->kind == AVRO_LONG) {
        out_put_varint(m->out, whole_of(m, node->kind == AVRO_INT ? 32 : 64));
    } else if (node->kind == AVRO_ENUM) {
        out_put_varint(m->out, chance_below(m->chance, node->symbol_count));
    } else if (node->kind == AVRO_FLOAT) {
        put_float(m);
    } else if (node->kind == AVRO_DOUBLE) {
        put_double(m);
    } else if (node->kind == AVRO_STRING) {
        put_string(m);
    } else if (node->logical == AVRO_DECIMAL && node->kind == AVRO_BYTES && place_bits(m, 13) % 4) {
        put_decimal_bytes(m);
    } else if (node->kind != AVRO_NULL) {
        put_bytes(m, node);
    }
}

/* Recurses as deep as the schema. */
static void put_value(struct row_maker *m, const struct avro_node *node)
{
    uint32_t place = ++m->place;
    if (node->kind == AVRO_RECORD) {
        for (uint32_t i = 0; i < node->field_count; i++) {
            put_value(m, node->fields[i].node);
        }
    } else if (node->kind == AVRO_UNION) {
        put_union_value(m, node);
    } else if (node->kind == AVRO_ARRAY || node->kind == AVRO_MAP) {
        put_items(m, node);
    } else {
        put_leaf(m, node);
    }
    m->place = place + 50;
}

void generate_row(struct chance *c, uint64_t seed, uint32_t index, const struct avro_node *node,
                  struct out *ret)
{
    struct row_maker m = {.chance = c, .seed = seed, .index = index, .out = ret};
    put_value(&m, node);
}
