/* Schemas that get the fields that events have: types, places, bounds; and which text is such a
 * schema. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/extend.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"

#define DATUM_SIZE_MAX (64 * 1024)

struct scene {
    struct avro_schema *schema;
    struct mapper *mapper;
    struct map_task task;
    struct map_result result;
    struct extension extension;
    struct why why;
    uint8_t datum[DATUM_SIZE_MAX];
};

static struct scene *scene_open(const char *schema)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    if (avro_schema_parse(&s->schema, slice_of_text(schema), &s->why)) {
        fail_msg("%s: %s", schema, s->why.text);
    }
    assert_int_equal(mapper_open(&s->mapper), ERR_OK);
    s->task = (struct map_task){.unknown_is_kept = true, .body_kind = BODY_JSON};
    return s;
}

static void scene_close(struct scene *s)
{
    avro_schema_close(s->schema);
    mapper_close(s->mapper);
    free(s);
}

static void map(struct scene *s, const char *json)
{
    struct out datum = out_over(s->datum, sizeof s->datum);
    s->why.text[0] = 0;
    s->task.record = avro_schema_root(s->schema);
    s->task.body = slice_of_text(json);
    if (map_run(s->mapper, &s->task, &datum, &s->result, &s->why)) {
        fail_msg("%s: %s", json, s->why.text);
    }
}

static enum err extend_by(struct scene *s, const char *json, uint32_t count_max)
{
    map(s, json);
    s->extension = (struct extension){.schema = NULL};
    return extend_schema(s->schema, s->result.unknowns, s->result.unknown_kept, count_max,
                         &s->extension, &s->why);
}

/* The extended schema becomes that of the scene. */
static void take(struct scene *s)
{
    assert_non_null(s->extension.schema);
    avro_schema_close(s->schema);
    s->schema = s->extension.schema;
}

static void expect_text(const struct avro_schema *schema, const char *expected)
{
    struct slice text = avro_schema_text(schema);
    if (!slice_equal_text(text, expected)) {
        fail_msg("%.*s\nnot\n%s", (int)text.size, (const char *)text.data, expected);
    }
}

/* --- types --- */

#define ONE(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define ADDED(name, type) "{\"name\":\"" name "\",\"type\":[\"null\"," type "],\"default\":null}"

static void every_type(void **state)
{
    static const struct {
        const char *value;
        const char *type; /* NULL: tells nothing */
    } cases[] = {
        {"true", "\"boolean\""},
        {"0", "\"long\""},
        {"-9223372036854775808", "\"long\""},
        {"9223372036854775808", "\"double\""},
        {"1.5", "\"double\""},
        {"1e3", "\"double\""},
        {"0.12345678901234567890123", "\"double\""},
        {"\"RED\"", "\"string\""},
        {"\"2026-01-01T00:00:00Z\"", "\"string\""},
        {"null", NULL},
        {"[]", NULL},
        {"[null,[]]", NULL},
        {"[1,2]", "{\"type\":\"array\",\"items\":\"long\"}"},
        {"[1,2.5]", "{\"type\":\"array\",\"items\":\"double\"}"},
        {"[1,\"x\",null]", "{\"type\":\"array\",\"items\":[\"null\",\"long\",\"string\"]}"},
        {"{}", "{\"type\":\"record\",\"name\":\"R_x\",\"fields\":[]}"},
        {"{\"y\":1,\"n\":null,\"e\":[]}",
         "{\"type\":\"record\",\"name\":\"R_x\",\"fields\":[" ADDED("y", "\"long\"") "]}"},
        {"{\"a b\":1}", "{\"type\":\"map\",\"values\":\"long\"}"},
        {"[{\"y\":1},{\"z\":true}]",
         "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"R_x_element\",\"fields\":"
         "[" ADDED("y", "\"long\"") "," ADDED("z", "\"boolean\"") "]}}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[256];
        char expected[512];
        struct scene *s = scene_open(ONE("{\"name\":\"a\",\"type\":\"int\"}"));
        (void)snprintf(json, sizeof json, "{\"a\":1,\"x\":%s}", cases[i].value);
        assert_int_equal(extend_by(s, json, EXTEND_MAX), ERR_OK);
        if (!cases[i].type) {
            assert_null(s->extension.schema);
            assert_int_equal(s->extension.count, 0);
        } else {
            (void)snprintf(expected, sizeof expected,
                           "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\","
                           "\"type\":\"int\"},{\"name\":\"x\",\"type\":[\"null\",%s],\"default\":"
                           "null}]}",
                           cases[i].type);
            take(s);
            expect_text(s->schema, expected);
            assert_string_equal(s->extension.names, "x");
            map(s, json);
            assert_int_equal(s->result.unknown_kept, 0);
            assert_in_range(s->result.unknown_count, 0, 2); /* those that tell nothing */
        }
        scene_close(s);
    }
}

static void what_drivers_bring(void **state)
{
    const struct field fields[] = {{SLICE("b"), {.kind = VALUE_BOOL, .as.boolean = true}},
                                   {SLICE("i"), {.kind = VALUE_INT, .as.integer = 5}},
                                   {SLICE("d"), {.kind = VALUE_DOUBLE, .as.real = 2}},
                                   {SLICE("n"), {.kind = VALUE_NUMBER, .as.text = SLICE("1.50")}},
                                   {SLICE("t"), {.kind = VALUE_TEXT, .as.text = SLICE("x")}},
                                   {SLICE("y"), {.kind = VALUE_BYTES, .as.text = SLICE("\xff")}},
                                   {SLICE("z"), {.kind = VALUE_NULL}}};
    (void)state;
    struct scene *s = scene_open(ONE(""));
    s->task.fields = fields;
    s->task.field_count = 7;
    assert_int_equal(extend_by(s, "{}", EXTEND_MAX), ERR_OK);
    take(s);
    expect_text(
        s->schema,
        ONE(ADDED("b", "\"boolean\"") "," ADDED("i", "\"long\"") "," ADDED(
            "d",
            "\"double\"") "," ADDED("n",
                                    "\"double\"") "," ADDED("t",
                                                            "\"string\"") "," ADDED("y",
                                                                                    "\"bytes\"")));
    assert_string_equal(s->extension.names, "b, i, d, n, t, y");
    assert_int_equal(s->extension.count, 6);
    map(s, "{}");
    assert_int_equal(s->result.unknown_kept, 0);
    scene_close(s);
}

/* --- places --- */

#define NESTED \
    " { \"type\" : \"record\", \"name\" : \"n.R\", \"doc\" : \"a \\\"]}\\\" doc\"," \
    " \"weir.values\" : [ 1, { \"fields\" : [ ] } ]," \
    " \"fields\" : [ { \"name\" : \"in\", \"type\" : { \"type\" : \"record\"," \
    " \"name\" : \"I\", \"fields\" : [ ], \"doc\" : \"inner\" }, \"order\" : \"ignore\" }," \
    " { \"name\" : \"list\", \"type\" : [ \"null\", { \"type\" : \"array\", \"items\" : {" \
    " \"type\" : \"record\", \"fields\" : [ { \"name\" : \"k\", \"type\" : \"int\", \"doc\" : " \
    "\"key\"" \
    " } ], \"name\" : \"E\" } } ], \"default\" : null }," \
    " { \"name\" : \"again\", \"type\" : [ \"null\", \"I\" ], \"default\" : null } ] } "

/* All of one event at once, each in its own record, the text otherwise as it stands. */
static void each_record_gets_its_own(void **state)
{
    (void)state;
    struct scene *s = scene_open(NESTED);
    const char *json = "{\"in\":{\"u\":1},\"list\":[{\"k\":1,\"w\":2},{\"k\":2,\"w\":2.5,\"v\":[]}]"
                       ",\"again\":{\"u\":3,\"t\":\"x\"},\"top\":{\"deep\":{\"x\":true}}}";
    assert_int_equal(extend_by(s, json, EXTEND_MAX), ERR_OK);
    struct slice before = avro_schema_text(s->schema);
    char base[2048];
    assert_true(slice_to_text(before, base, sizeof base));
    assert_string_equal(s->extension.names, "top, I.u, I.t, E.w");
    assert_int_equal(s->extension.count, 6);
    take(s);
    expect_text(
        s->schema,
        "{\"type\":\"record\",\"name\":\"n.R\",\"doc\":\"a \\\"]}\\\" doc\","
        "\"weir.values\":[1,{\"fields\":[]}],"
        "\"fields\":[{\"name\":\"in\",\"type\":{\"type\":\"record\","
        "\"name\":\"I\",\"fields\":[" ADDED("u", "\"long\"") "," ADDED(
            "t",
            "\"string\"") "],\"doc\":\"inner\"},\"order\":\"ignore\"},"
                          "{\"name\":\"list\",\"type\":[\"null\",{\"type\":\"array\",\"items\":{"
                          "\"type\":\"record\",\"fields\":[{\"name\":\"k\",\"type\":\"int\","
                          "\"doc\":\"key\"}," ADDED(
                              "w", "\"double\"") "],\"name\":\"E\"}}],\"default\":null},"
                                                 "{\"name\":\"again\",\"type\":[\"null\",\"I\"],"
                                                 "\"default\":null}," ADDED(
                                                     "top",
                                                     "{\"type\":\"record\",\"name\":\"R_top\","
                                                     "\"fields\":[" ADDED(
                                                         "deep",
                                                         "{\"type\":\"record\",\"name\":\"R_top_"
                                                         "deep\",\"fields\":[" ADDED(
                                                             "x", "\"boolean\"") "]}") "]}") "]}");
    map(s, json);
    assert_int_equal(s->result.unknown_kept, 0);
    bool is = false;
    uint32_t count = 99;
    assert_int_equal(extend_is_of(avro_schema_text(s->schema), slice_of_text(base), &is, &count),
                     ERR_OK);
    assert_true(is);
    assert_int_equal(count, 6);
    /* and again, within what was added */
    assert_int_equal(extend_by(s, "{\"in\":{},\"top\":{\"deep\":{\"y\":1}}}", EXTEND_MAX), ERR_OK);
    assert_string_equal(s->extension.names, "R_top_deep.y");
    take(s);
    assert_int_equal(extend_is_of(avro_schema_text(s->schema), slice_of_text(base), &is, &count),
                     ERR_OK);
    assert_true(is);
    assert_int_equal(count, 7);
    scene_close(s);
}

/* A type is called what no other is called. */
static void names_do_not_meet(void **state)
{
    (void)state;
    struct scene *s = scene_open(ONE(
        "{\"name\":\"a\",\"type\":[\"null\",{\"type\":\"enum\",\"name\":\"q.R_x\",\"symbols\":[]}],"
        "\"default\":null}"));
    assert_int_equal(extend_by(s, "{\"x\":{}}", EXTEND_MAX), ERR_OK);
    take(s);
    assert_non_null(
        memmem(avro_schema_text(s->schema).data, avro_schema_text(s->schema).size, "\"R_x_2\"", 7));
    scene_close(s);
}

/* --- what is not added --- */

static void bounds(void **state)
{
    (void)state;
    char json[512];
    struct scene *s = scene_open(ONE("{\"name\":\"a\",\"type\":\"int\",\"default\":0}"));
    assert_int_equal(extend_by(s, "{\"a b\":1}", EXTEND_MAX), ERR_REJECTED);
    assert_string_equal(s->why.text,
                        "field \"a b\": can't be added to the schema: a field's name is "
                        "at most 64 letters, digits and _");
    for (int over = 0; over < 2; over++) {
        (void)snprintf(json, sizeof json, "{\"%.*s\":1}", EXTEND_NAME_SIZE_MAX + over,
                       "x23456789012345678901234567890123456789012345678901234567890123456789");
        assert_int_equal(extend_by(s, json, EXTEND_MAX), over ? ERR_REJECTED : ERR_OK);
        avro_schema_close(s->extension.schema);
    }
    assert_int_equal(extend_by(s, "{\"x\":{\"y\":1}}", 2), ERR_OK);
    avro_schema_close(s->extension.schema);
    assert_int_equal(extend_by(s, "{\"x\":{\"y\":1}}", 1), ERR_REJECTED);
    assert_string_equal(s->why.text,
                        "2 fields more than the schema has, and to one stream's at most 64 are "
                        "added, of which 1 are left: write them into its file");
    assert_int_equal(extend_by(s, "{\"x\":null,\"y\":[]}", 0), ERR_OK); /* nothing to add */
    assert_null(s->extension.schema);
    scene_close(s);
}

/* --- is it an extension? --- */

static void what_is_no_extension(void **state)
{
    static const struct {
        const char *schema;
        const char *base;
        bool is;
        uint32_t count;
    } cases[] = {
        {ONE(""), ONE(""), true, 0},
        {ONE(ADDED("x", "\"long\"")), ONE(""), true, 1},
        {ONE(ADDED("x", "\"long\"") "," ADDED("y", "\"long\"")), ONE(ADDED("x", "\"long\"")), true,
         1},
        {ONE(""), ONE(ADDED("x", "\"long\"")), false, 0},
        {ONE(ADDED("y", "\"long\"") "," ADDED("x", "\"long\"")), ONE(ADDED("x", "\"long\"")), false,
         0},
        {ONE(ADDED("x", "\"double\"")), ONE(ADDED("x", "\"long\"")), false, 0},
        {ONE("{\"name\":\"x\",\"type\":\"long\"}"), ONE(""), false, 0},
        {ONE("{\"name\":\"x\",\"type\":\"long\",\"default\":null}"), ONE(""), false, 0},
        {ONE("{\"name\":\"x\",\"type\":[\"null\",\"long\"],\"default\":null,\"doc\":\"\"}"),
         ONE(""), false, 0},
        {"{\"type\":\"record\",\"name\":\"Q\",\"fields\":[" ADDED("x", "\"long\"") "]}", ONE(""),
         false, 0},
        {"{\"type\":\"record\",\"name\":\"R\",\"doc\":\"d\",\"fields\":[]}", ONE(""), false, 0},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[],\"symbols\":[{}]}",
         "{\"type\":\"record\",\"name\":\"R\",\"fields\":[],\"symbols\":[]}", false, 0},
        {ONE("") " 1", ONE(""), true, 0}, /* the reader ends behind the value */
        {"", ONE(""), false, 0},
        {ONE(""), "", false, 0},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[", ONE(""), false, 0},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{", ONE(""), false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool is = false;
        uint32_t count = 99;
        assert_int_equal(
            extend_is_of(slice_of_text(cases[i].schema), slice_of_text(cases[i].base), &is, &count),
            ERR_OK);
        if (is != cases[i].is || count != cases[i].count) {
            fail_msg("%s of %s: %d, %u", cases[i].schema, cases[i].base, is, count);
        }
    }
}

/* --- memory --- */

static void memory_may_be_missing(void **state)
{
    (void)state;
    struct scene *s = scene_open(NESTED);
    unsigned failed = 0;
    enum err e = ERR_NOMEM;
    for (unsigned n = 1; e; n++) {
        map(s, "{\"in\":{\"u\":1},\"x\":{\"y\":[\"a\",2]}}");
        s->extension = (struct extension){.schema = NULL};
        fault_alloc_set(n);
        e = extend_schema(s->schema, s->result.unknowns, s->result.unknown_kept, EXTEND_MAX,
                          &s->extension, &s->why);
        fault_alloc_set(0);
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        failed += e != ERR_OK;
    }
    assert_in_range(failed, 10, 1000);
    assert_int_equal(s->extension.count, 3);
    bool is;
    uint32_t count;
    fault_alloc_set(1);
    assert_int_equal(extend_is_of(SLICE("1"), SLICE("1"), &is, &count), ERR_NOMEM);
    fault_alloc_set(0);
    avro_schema_close(s->extension.schema);
    scene_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_type),
                                       cmocka_unit_test(what_drivers_bring),
                                       cmocka_unit_test(each_record_gets_its_own),
                                       cmocka_unit_test(names_do_not_meet),
                                       cmocka_unit_test(bounds),
                                       cmocka_unit_test(what_is_no_extension),
                                       cmocka_unit_test(memory_may_be_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
