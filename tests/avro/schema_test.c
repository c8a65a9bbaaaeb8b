/* Schemas: what is accepted and what refused, canonical form, fingerprints, defaults, logical
 * types, bounds. */
#include "uplink/avro/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/hash.h"
#include "tests/avro/help.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"

#define TEXT_SIZE_MAX ((size_t)1024 * 1024)

static const char *canonical_of(const struct avro_schema *schema)
{
    static char memory[65536];
    struct out o = out_over(memory, sizeof memory - 1);
    avro_canonical(schema, &o);
    assert_false(o.overflow);
    memory[o.size] = 0;
    return memory;
}

static void test_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *canonical;
    } cases[] = {
        {"\"null\"", "\"null\""},
        {" { \"type\" : \"int\", \"doc\": \"x\", \"logicalType\": \"date\" } ", "\"int\""},
        {"[]", "[]"},
        {"[\"null\", {\"type\":\"string\"}]", "[\"null\",\"string\"]"},
        {"{\"items\":{\"type\":\"map\",\"values\":\"long\"},\"type\":\"array\"}",
         "{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":\"long\"}}"},
        {"{\"type\":\"fixed\",\"size\":12,\"namespace\":\"a.b\",\"name\":\"F\",\"aliases\":[\"G\"]"
         "}",
         "{\"name\":\"a.b.F\",\"type\":\"fixed\",\"size\":12}"},
        {"{\"type\":\"enum\",\"symbols\":[\"A\",\"B\"],\"default\":\"B\",\"name\":\"x.E\"}",
         "{\"name\":\"x.E\",\"type\":\"enum\",\"symbols\":[\"A\",\"B\"]}"},
        {"{\"type\":\"error\",\"name\":\"E\",\"fields\":[]}",
         "{\"name\":\"E\",\"type\":\"record\",\"fields\":[]}"},
        /* the namespace goes on within, and ends where a name has its own */
        {"{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":["
         "{\"name\":\"a\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":1},"
         "\"order\":\"ignore\"},"
         "{\"name\":\"b\",\"type\":\"F\",\"aliases\":[\"c\"]},"
         "{\"name\":\"d\",\"type\":{\"type\":\"record\",\"name\":\"m.S\",\"namespace\":\"not "
         "used\","
         "\"fields\":[{\"name\":\"e\",\"type\":[\"null\",\"S\",\"n.F\"]}]}}]}",
         "{\"name\":\"n.R\",\"type\":\"record\",\"fields\":["
         "{\"name\":\"a\",\"type\":{\"name\":\"n.F\",\"type\":\"fixed\",\"size\":1}},"
         "{\"name\":\"b\",\"type\":\"n.F\"},"
         "{\"name\":\"d\",\"type\":{\"name\":\"m.S\",\"type\":\"record\",\"fields\":["
         "{\"name\":\"e\",\"type\":[\"null\",\"m.S\",\"n.F\"]}]}}]}"},
        /* names of complex types may be used, and those of primitive ones within a namespace */
        {"{\"type\":\"record\",\"name\":\"record\",\"fields\":["
         "{\"name\":\"a\",\"type\":[\"null\",\"record\"]},"
         "{\"name\":\"b\",\"type\":{\"type\":\"enum\",\"name\":\"n.int\",\"symbols\":[]}},"
         "{\"name\":\"c\",\"type\":[\"int\",\"n.int\"]}]}",
         "{\"name\":\"record\",\"type\":\"record\",\"fields\":["
         "{\"name\":\"a\",\"type\":[\"null\",\"record\"]},"
         "{\"name\":\"b\",\"type\":{\"name\":\"n.int\",\"type\":\"enum\",\"symbols\":[]}},"
         "{\"name\":\"c\",\"type\":[\"int\",\"n.int\"]}]}"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"namespace\":null,\"size\":0}",
         "{\"name\":\"F\",\"type\":\"fixed\",\"size\":0}"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"namespace\":\"\",\"size\":2147483647}",
         "{\"name\":\"F\",\"type\":\"fixed\",\"size\":2147483647}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct avro_schema *schema = schema_of(cases[i].text);
        assert_string_equal(canonical_of(schema), cases[i].canonical);
        avro_schema_close(schema);
        schema = schema_of(cases[i].canonical);
        assert_string_equal(canonical_of(schema), cases[i].canonical);
        avro_schema_close(schema);
    }
}

/* Published with the specification and its test data. */
static void test_fingerprints(void **state)
{
    (void)state;
    static const struct {
        const char *canonical;
        uint64_t crc;
    } cases[] = {
        {"\"null\"", UINT64_C(0x63dd24e7cc258f8a)},
        {"\"int\"", UINT64_C(0x7275d51a3f395c8f)},
        {"\"boolean\"", UINT64_C(0x9f42fc78a4d4f764)},
        {"{\"name\":\"w.T\",\"type\":\"record\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"}]}",
         UINT64_C(0xd19578617c563a10)},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_true(avro_crc64(slice_of_text(cases[i].canonical)) == cases[i].crc);
    }
    uint8_t digest[HASH_SIZE_MAX];
    hash_of(HASH_MD5, SLICE("\"int\""), digest);
    assert_string_equal(hex_of((struct slice){digest, HASH_MD5_SIZE}),
                        "ef524ea1b91e73173d938ade36c1db32");
    hash_of(HASH_SHA256, SLICE("\"int\""), digest);
    assert_string_equal(hex_of((struct slice){digest, HASH_SHA256_SIZE}),
                        "3f2b87a9fe7cc9b13835598c3981cd45e3e355309e5090aa0933d7becb6fba45");
}

#define FIELD(type) \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":" type "}]}"
#define DEFAULT(type, value) FIELD(type ",\"default\":" value)
#define ENUM "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"
#define FIXED "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}"
#define INNER \
    "{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"," \
    "\"default\":5}," \
    "{\"name\":\"y\",\"type\":\"string\"}]}"

static const struct {
    const char *text;
    const char *why;
} refusals[] = {
    {"", ": line 1"},
    {"int", ": line 1"},
    {"\"int\" 1", ": line 1, column 7"},
    {"{\"type\":\"int\",\"type\":\"int\"}", ": line 1, column 15"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{},{\"name\":nope}]}",
     "/fields/1: line 1, column 50: "},
    {"1", ": a type must be"},
    {"\"nope\"", ": unknown type \"nope\""},
    {"\"array\"", ": unknown type"},
    {"{}", ": there is no \"type\""},
    {"{\"type\":{\"type\":\"int\"}}", "/type: must be a string"},
    {"{\"type\":\"array\"}", ": there is no \"items\""},
    {"{\"type\":\"map\",\"values\":\"x\"}", "/values: unknown type"},
    {"[\"int\",\"int\"]", "/1: this type stands"},
    {"[\"null\",[\"int\"]]", "/1: a union can't"},
    {"[" ENUM ",\"E\"]", "/1: this type stands"},
    {"[{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"},\"long\"]", "/1: this type"},
    {"{\"type\":\"record\",\"fields\":[]}", ": there is no \"name\""},
    {"{\"type\":\"record\",\"name\":\"1a\",\"fields\":[]}", "/name: not a valid name"},
    {"{\"type\":\"record\",\"name\":\"a\\nb\",\"fields\":[]}", "/name: not a valid name: \"a?b\""},
    {"{\"type\":\"record\",\"name\":\"a..b\",\"fields\":[]}", "/name: not a valid name"},
    {"{\"type\":\"record\",\"name\":\"\xc3\xa9\",\"fields\":[]}", "/name: not a valid name"},
    {"{\"type\":\"record\",\"name\":\"int\",\"fields\":[]}", "/name: a primitive type"},
    {"{\"type\":\"record\",\"name\":\"a\",\"namespace\":\"b c\",\"fields\":[]}", "/namespace:"},
    {"{\"type\":\"record\",\"name\":\"a\",\"namespace\":1,\"fields\":[]}", "/namespace: must be"},
    {"{\"type\":\"record\",\"name\":\"a\"}", ": a record must have"},
    {"{\"type\":\"record\",\"name\":\"a\",\"fields\":[1]}", "/fields/0: a field must"},
    {"{\"type\":\"record\",\"name\":\"a\",\"fields\":[{\"name\":\"b\"}]}",
     "/fields/0: there is no"},
    {"{\"type\":\"record\",\"name\":\"a\",\"aliases\":[\"b c\"],\"fields\":[]}", "/aliases:"},
    {"{\"type\":\"record\",\"name\":\"a\",\"fields\":[{\"name\":\"b\",\"type\":\"int\"},"
     "{\"name\":\"b\",\"type\":\"int\"}]}",
     "/fields/1/name: a second field \"b\""},
    {"{\"type\":\"record\",\"name\":\"a\",\"fields\":[{\"name\":\"b\",\"type\":\"int\","
     "\"order\":\"up\"}]}",
     "/fields/0/order: must be"},
    {FIELD("{\"type\":\"array\",\"items\":\"Q\"}"), "/fields/0/type/items: unknown type \"Q\""},
    {FIELD("{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}"), "/fields/0/type/name: defined"},
    {"{\"type\":\"enum\",\"name\":\"E\"}", ": an enum must have"},
    {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"A\"]}", "/symbols: a second"},
    {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"a b\"]}", "/symbols: must be"},
    {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"B\"}", "/default: must"},
    {"{\"type\":\"fixed\",\"name\":\"F\"}", ": a fixed must have"},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", ": a fixed must have"},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":1.0}", ": a fixed must have"},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":2147483648}", ": a fixed must have"},
    {DEFAULT("\"int\"", "2147483648"), "/fields/0/default: 2147483648 is not within int"},
    {DEFAULT("\"int\"", "1.0"), "/fields/0/default: 1.0"},
    {DEFAULT("\"long\"", "9223372036854775808"), "/fields/0/default: 9223372036854775808"},
    {DEFAULT("\"double\"", "\"1\""), "/fields/0/default: a string is no double"},
    {DEFAULT("\"string\"", "null"), "/fields/0/default: null is no string"},
    {DEFAULT("[\"null\",\"int\"]", "\"x\""), "/fields/0/default: a string fits no branch"},
    {DEFAULT("\"bytes\"", "\"\\u0100\""), "/fields/0/default: bytes may hold"},
    {DEFAULT(FIXED, "\"abc\""), "/fields/0/default: 3 bytes"},
    {DEFAULT(ENUM, "\"C\""), "/fields/0/default: not a symbol"},
    {DEFAULT("{\"type\":\"array\",\"items\":\"int\"}", "[1,\"x\"]"),
     "/fields/0/default/1: a string"},
    {DEFAULT("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":\"x\"}"), "/fields/0/default/k: a"},
    {DEFAULT(INNER, "{}"), "/fields/0/default/y: the field is missing"},
    {DEFAULT("\"R\"", "{}"), "/fields/0/default/a: the field is missing"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        struct avro_schema *schema = NULL;
        struct why why = {""};
        if (avro_schema_parse(&schema, slice_of_text(refusals[i].text), &why) != ERR_CORRUPT) {
            fail_msg("accepted: %s", refusals[i].text);
        }
        assert_null(schema);
        assert_starts(why.text, refusals[i].why);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *hex;
    } cases[] = {
        {DEFAULT("\"null\"", "null"), ""},
        {DEFAULT("\"boolean\"", "true"), "01"},
        {DEFAULT("\"int\"", "-1"), "01"},
        {DEFAULT("\"long\"", "-9223372036854775808"), "ffffffffffffffffff01"},
        {DEFAULT("\"float\"", "1"), "0000803f"},
        {DEFAULT("\"double\"", "-0.0"), "0000000000000080"},
        {DEFAULT("\"double\"", "\"NaN\""), "000000000000f87f"},
        {DEFAULT("\"bytes\"", "\"\\u00ff\\u0000A\""), "06ff0041"},
        {DEFAULT("\"string\"", "\"\xc3\xbc\""), "04c3bc"},
        {DEFAULT(FIXED, "\"\\u0001\\u0080\""), "0180"},
        {DEFAULT(ENUM, "\"B\""), "02"},
        {DEFAULT("{\"type\":\"array\",\"items\":[\"null\",\"int\"]}", "[null,3]"), "0400020600"},
        {DEFAULT("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":1}"), "02026b0200"},
        {DEFAULT("{\"type\":\"map\",\"values\":\"int\"}", "{}"), "00"},
        {DEFAULT("[\"null\",\"int\"]", "null"), "00"},
        {DEFAULT("[\"null\",\"int\"]", "7"), "020e"}, /* any branch, since 1.12 */
        {DEFAULT("[\"int\",\"double\"]", "1.0"), "02000000000000f03f"},
        {DEFAULT("[\"double\",\"string\"]", "\"NaN\""), "02064e614e"},
        {DEFAULT(INNER, "{\"y\":\"s\",\"unknown\":1}"), "0a0273"},
        {DEFAULT(INNER, "{\"y\":\"s\",\"x\":6}"), "0c0273"},
        /* needs the default of a field behind it */
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\",\"type\":[\"null\",\"R\"]"
         ","
         "\"default\":{\"r\":null}},{\"name\":\"c\",\"type\":\"int\",\"default\":1}]}",
         "020002"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct avro_schema *schema = schema_of(cases[i].text);
        const struct avro_field *field = &avro_schema_root(schema)->fields[0];
        assert_true(field->has_default);
        assert_string_equal(hex_of(field->default_bytes), cases[i].hex);
        avro_schema_close(schema);
    }
}

static void test_logical(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum avro_logical logical;
    } cases[] = {
        {"{\"type\":\"int\",\"logicalType\":\"date\"}", AVRO_DATE},
        {"{\"type\":\"long\",\"logicalType\":\"date\"}", AVRO_PLAIN},
        {"{\"type\":\"int\",\"logicalType\":\"time-millis\"}", AVRO_TIME_MILLIS},
        {"{\"type\":\"long\",\"logicalType\":\"time-micros\"}", AVRO_TIME_MICROS},
        {"{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}", AVRO_TIMESTAMP_MILLIS},
        {"{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}", AVRO_TIMESTAMP_MICROS},
        {"{\"type\":\"long\",\"logicalType\":\"timestamp-nanos\"}", AVRO_TIMESTAMP_NANOS},
        {"{\"type\":\"long\",\"logicalType\":\"local-timestamp-millis\"}",
         AVRO_LOCAL_TIMESTAMP_MILLIS},
        {"{\"type\":\"long\",\"logicalType\":\"local-timestamp-micros\"}",
         AVRO_LOCAL_TIMESTAMP_MICROS},
        {"{\"type\":\"long\",\"logicalType\":\"local-timestamp-nanos\"}",
         AVRO_LOCAL_TIMESTAMP_NANOS},
        {"{\"type\":\"string\",\"logicalType\":\"uuid\"}", AVRO_UUID},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":16,\"logicalType\":\"uuid\"}", AVRO_UUID},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":15,\"logicalType\":\"uuid\"}", AVRO_PLAIN},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":12,\"logicalType\":\"duration\"}",
         AVRO_DURATION},
        {"{\"type\":\"bytes\",\"logicalType\":\"duration\"}", AVRO_PLAIN},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":2}",
         AVRO_DECIMAL},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4}", AVRO_DECIMAL},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":1000}", AVRO_DECIMAL},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\"}", AVRO_PLAIN},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":0}", AVRO_PLAIN},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":5}",
         AVRO_PLAIN},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":-1}",
         AVRO_PLAIN},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":\"4\"}", AVRO_PLAIN},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":4,\"logicalType\":\"decimal\",\"precision\":"
         "9}",
         AVRO_DECIMAL},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":4,\"logicalType\":\"decimal\","
         "\"precision\":10}",
         AVRO_PLAIN},
        {"{\"type\":\"int\",\"logicalType\":\"nonsense\"}", AVRO_PLAIN},
        {"{\"type\":\"int\",\"logicalType\":1}", AVRO_PLAIN},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct avro_schema *schema = schema_of(cases[i].text);
        if (avro_schema_root(schema)->logical != cases[i].logical) {
            fail_msg("%s: %d", cases[i].text, avro_schema_root(schema)->logical);
        }
        avro_schema_close(schema);
    }
}

/* Records within records, each field of `depth` levels in a union or not. */
static struct slice deep_text(char *memory, size_t size, unsigned depth, bool is_optional)
{
    struct out o = out_over(memory, size);
    for (unsigned i = 0; i < depth; i++) {
        out_put_format(
            &o, "{\"type\":\"record\",\"name\":\"R%u\",\"fields\":[{\"name\":\"f\",\"type\":", i);
        out_put_text(&o, is_optional ? "[\"null\"," : "");
    }
    out_put_text(&o, "\"int\"");
    for (unsigned i = 0; i < depth; i++) {
        out_put_text(&o, is_optional ? "]}]}" : "}]}");
    }
    assert_false(o.overflow);
    return out_slice(&o);
}

static void test_depth(void **state)
{
    (void)state;
    static char memory[64 * 1024];
    static uint8_t canonical[64 * 1024];
    struct why why = {""};
    struct avro_schema *schema = NULL;
    struct out o = out_over(canonical, sizeof canonical);
    const unsigned most = AVRO_DEPTH_MAX - 1; /* and the int */
    for (unsigned is_optional = 0; is_optional < 2; is_optional++) {
        unsigned depth = is_optional ? most / 2 : most;
        struct slice text = deep_text(memory, sizeof memory, depth, is_optional);
        if (avro_schema_parse(&schema, text, &why)) {
            fail_msg("%u levels: %s", depth, why.text);
        }
        avro_canonical(schema, &o);
        assert_false(o.overflow);
        avro_schema_close(schema);
        text = deep_text(memory, sizeof memory, depth + 1, is_optional);
        assert_int_equal(avro_schema_parse(&schema, text, &why), ERR_REJECTED);
        assert_true(strncmp(why.text, "/fields/0/type", 14) == 0);
        assert_non_null(strstr(why.text, "types nest deeper than 128"));
    }
}

/* What is no type nests, too: each property may be any JSON. */
static void test_text_depth(void **state)
{
    (void)state;
    static char memory[4096];
    struct why why = {""};
    struct avro_schema *schema = NULL;
    for (unsigned over = 0; over < 2; over++) {
        struct out o = out_over(memory, sizeof memory);
        unsigned depth = AVRO_JSON_DEPTH_MAX - 1 + over;
        out_put_text(&o, "{\"type\":\"int\",\"a/b\":");
        for (unsigned i = 0; i < 2 * depth; i++) {
            out_put_byte(&o, i < depth ? '[' : ']');
        }
        out_put_byte(&o, '}');
        enum err e = avro_schema_parse(&schema, out_slice(&o), &why);
        assert_int_equal(e, over ? ERR_REJECTED : ERR_OK);
        if (!e) {
            avro_schema_close(schema);
        }
    }
    assert_true(strncmp(why.text, "/a~1b/0/0/0/", 12) == 0);
    assert_non_null(strstr(why.text, ": line 1, column 532: nested deeper than allowed"));
}

static void test_tree(void **state)
{
    (void)state;
    struct avro_schema *schema =
        schema_of(" {\"type\": \"record\", \"name\": \"R\", \"namespace\": \"n\", \"aliases\": "
                  "[\"Q\", \"m.P\"],"
                  " \"fields\": [ {\"name\": \"a\", \"type\": {\"type\": \"fixed\", \"name\": "
                  "\"F\", \"size\": 4},"
                  " \"aliases\": [\"b\", \"no name\"], \"doc\": \"first one\"},"
                  " {\"name\": \"c\", \"type\": [\"int\", \"null\"]},"
                  /* what stands beside a name does not change the type */
                  " {\"name\": \"d\", \"type\": {\"type\": \"F\", \"logicalType\": \"decimal\", "
                  "\"precision\": 1}},"
                  " {\"name\": \"e\", \"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\","
                  " \"precision\": 12, \"scale\": 3}} ]} ");
    const struct avro_node *root = avro_schema_root(schema);
    assert_true(slice_equal_text(root->name, "n.R"));
    assert_int_equal(root->alias_count, 2);
    assert_true(slice_equal_text(root->aliases[0], "n.Q"));
    assert_true(slice_equal_text(root->aliases[1], "m.P"));
    assert_int_equal(root->field_count, 4);
    assert_true(slice_equal_text(root->fields[0].aliases[0], "b"));
    assert_true(slice_equal_text(root->fields[0].doc, "first one"));
    assert_ptr_equal(root->fields[0].node, root->fields[2].node);
    assert_int_equal(root->fields[0].node->logical, AVRO_PLAIN);
    assert_int_equal(root->fields[3].node->precision, 12);
    assert_int_equal(root->fields[3].node->scale, 3);
    assert_int_equal(avro_null_branch(root->fields[1].node), 1);
    assert_int_equal(avro_null_branch(root->fields[0].node), -1);
    for (uint32_t hint = 0; hint < 6; hint++) {
        assert_int_equal(avro_field_find(root, SLICE("c"), hint), 1);
        assert_int_equal(avro_field_find(root, SLICE("x"), hint), -1);
    }
    struct slice text = avro_schema_text(schema);
    assert_true(slice_starts_with(text, SLICE("{\"type\":\"record\",\"name\":\"R\",")));
    assert_null(memchr(text.data, '\n', text.size));
    assert_non_null(memmem(text.data, text.size, "first one", 9));
    avro_schema_close(schema);
}

/* --- hostile schemas: refused, and soon --- */

static enum err parse_built(const char *text, size_t size, struct why *why)
{
    struct avro_schema *schema = NULL;
    enum err e = avro_schema_parse(&schema, (struct slice){(const uint8_t *)text, size}, why);
    assert_true(e ? !schema : !!schema);
    avro_schema_close(schema);
    return e;
}

static struct out text_begin(const char *text)
{
    struct out o = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    out_put_text(&o, text);
    return o;
}

/* Parses and frees the text. */
static enum err text_end(struct out *o, struct why *why)
{
    assert_false(o->overflow);
    enum err e = parse_built((char *)o->data, o->size, why);
    free(o->data);
    return e;
}

static void test_bounds_of_text(void **state)
{
    (void)state;
    struct why why = {""};
    struct out o = text_begin("");
    for (int i = 0; i <= AVRO_JSON_DEPTH_MAX; i++) {
        out_put_text(&o, "{\"type\":\"array\",\"items\":");
    }
    assert_int_equal(text_end(&o, &why), ERR_REJECTED);
    o = text_begin("");
    while (o.size <= AVRO_SCHEMA_SIZE_MAX) {
        out_put_text(&o, "                                                                ");
    }
    assert_int_equal(text_end(&o, &why), ERR_REJECTED);
}

/* Each record's default holds the one before twice: 2^40 bytes. */
static void test_bounds_of_defaults(void **state)
{
    (void)state;
    struct why why = {""};
    struct out o = text_begin("[{\"type\":\"record\",\"name\":\"A0\",\"fields\":[{\"name\":\"a\","
                              "\"type\":\"int\",\"default\":0}]}");
    for (int i = 1; i <= 40; i++) {
        out_put_format(&o,
                       ",{\"type\":\"record\",\"name\":\"A%d\",\"fields\":["
                       "{\"name\":\"a\",\"type\":\"A%d\",\"default\":{}},"
                       "{\"name\":\"b\",\"type\":\"A%d\",\"default\":{}}]}",
                       i, i - 1, i - 1);
    }
    out_put_text(&o, "]");
    assert_int_equal(text_end(&o, &why), ERR_REJECTED);
    assert_non_null(strstr(why.text, "default"));
}

/* Each level tries all branches of the level below: 8^18. */
static void test_bounds_of_branches(void **state)
{
    (void)state;
    struct why why = {""};
    struct out o = text_begin("[");
    for (int i = 0; i < 8; i++) {
        out_put_format(&o,
                       "%s{\"type\":\"record\",\"name\":\"B%d\",\"fields\":["
                       "{\"name\":\"n\",\"type\":[\"null\"",
                       i ? "," : "", i);
        for (int branch = 0; branch < i; branch++) {
            out_put_format(&o, ",\"B%d\"", branch);
        }
        out_put_format(&o, ",\"B%d\"]}]}", i);
    }
    out_put_text(&o, ",{\"type\":\"record\",\"name\":\"Z\",\"fields\":[{\"name\":\"z\",\"type\":"
                     "[\"B7\",\"B6\",\"B5\",\"B4\",\"B3\",\"B2\",\"B1\",\"B0\"],\"default\":");
    for (int i = 0; i < 18; i++) {
        out_put_text(&o, "{\"n\":");
    }
    out_put_text(&o, "1}}}}}}}}}}}}}}}}}}}]}]");
    assert_int_equal(text_end(&o, &why), ERR_REJECTED);
    assert_non_null(strstr(why.text, "too many branches"));
}

/* Very many named types have a canonical form, too. */
static void test_many_names(void **state)
{
    (void)state;
    struct why why = {""};
    struct out o = text_begin("{\"type\":\"record\",\"name\":\"R\",\"fields\":[");
    for (int i = 0; i < 3000; i++) {
        out_put_format(
            &o, "%s{\"name\":\"f%d\",\"type\":{\"type\":\"fixed\",\"name\":\"F%d\",\"size\":1}}",
            i ? "," : "", i, i);
    }
    out_put_text(&o, "]}");
    struct avro_schema *schema = NULL;
    assert_int_equal(avro_schema_parse(&schema, out_slice(&o), &why), ERR_OK);
    struct out canonical = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    avro_canonical(schema, &canonical);
    assert_false(canonical.overflow);
    avro_schema_close(schema);
    free(canonical.data);
    free(o.data);
}

static void test_no_memory(void **state)
{
    (void)state;
    const char *text = "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":["
                       "{\"name\":\"a\",\"type\":[\"null\",\"R\"],\"default\":null},"
                       "{\"name\":\"b\",\"type\":" INNER ",\"default\":{\"y\":\"s\"}},"
                       "{\"name\":\"e\",\"type\":" ENUM ",\"aliases\":[\"x\"]}]}";
    for (unsigned n = 1;; n++) {
        struct avro_schema *schema = NULL;
        struct why why = {""};
        fault_alloc_set(n);
        enum err e = avro_schema_parse(&schema, slice_of_text(text), &why);
        bool happened = fault_alloc_happened();
        fault_alloc_set(0);
        avro_schema_close(schema);
        assert_int_equal(e, happened ? ERR_NOMEM : ERR_OK);
        if (!happened) {
            assert_true(n > 3);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_fingerprints),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_logical),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_text_depth),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_bounds_of_text),
        cmocka_unit_test(test_bounds_of_defaults),
        cmocka_unit_test(test_bounds_of_branches),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
