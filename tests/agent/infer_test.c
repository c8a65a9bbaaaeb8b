/* Schemas from samples: each rule, what is refused, and every sample taken back with its values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/infer.h"
#include "agent/map.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "uplink/avro/decode.h"

#define ROOM ((size_t)256 * 1024)

static char schema_memory[ROOM];
static char text_memory[ROOM];

static enum err add_lines(struct infer *infer, const char *lines, struct why *why)
{
    for (const char *line = lines; *line;) {
        size_t size = strcspn(line, "\n");
        enum err e = infer_add(infer, (struct slice){(const uint8_t *)line, size}, why);
        if (e) {
            return e;
        }
        line += size + (line[size] == '\n');
    }
    return ERR_OK;
}

/* Without the blanks that make it easy to read. */
static const char *squeezed(const char *text)
{
    static char result[ROOM];
    size_t size = 0;
    for (; *text; text++) {
        if (*text != '\n' && !(*text == ' ' && (text[-1] == ' ' || text[-1] == '\n'))) {
            result[size++] = *text;
        }
    }
    result[size] = 0;
    return result;
}

static struct avro_schema *inferred(const char *lines)
{
    struct infer *infer;
    struct avro_schema *schema;
    struct why why = {""};
    struct out text = out_over(schema_memory, ROOM - 1);
    assert_int_equal(infer_open(&infer), ERR_OK);
    if (add_lines(infer, lines, &why) || infer_put(infer, "E", NULL, &text, &why)) {
        fail_msg("%s", why.text);
    }
    schema_memory[text.size] = 0;
    if (avro_schema_parse(&schema, out_slice(&text), &why)) {
        fail_msg("%s: %s", schema_memory, why.text);
    }
    infer_close(infer);
    return schema;
}

/* The fields of the record, as they are written. */
static void fields_are(const char *lines, const char *fields)
{
    static char wanted[ROOM];
    avro_schema_close(inferred(lines));
    (void)snprintf(wanted, sizeof wanted,
                   "{\"type\": \"record\", \"name\": \"E\", \"fields\": [%s]}", fields);
    assert_string_equal(squeezed(schema_memory), wanted);
}

/* The line, mapped onto the schema and written as plain JSON. */
static const char *back(const struct avro_schema *schema, const char *line)
{
    static uint8_t datum_memory[ROOM];
    struct mapper *mapper;
    struct map_result result;
    struct why why = {""};
    struct out datum = out_over(datum_memory, ROOM);
    struct out text = out_over(text_memory, ROOM - 1);
    struct map_task task = {.record = avro_schema_root(schema),
                            .body_kind = BODY_JSON,
                            .body = slice_of_text(line),
                            .unknown_is_refused = true};
    assert_int_equal(mapper_open(&mapper), ERR_OK);
    if (map_run(mapper, &task, &datum, &result, &why)) {
        fail_msg("%s: %s", line, why.text);
    }
    struct slice rest = out_slice(&datum);
    assert_int_equal(avro_decode_plain(task.record, &rest, &text, &why), ERR_OK);
    text_memory[text.size] = 0;
    mapper_close(mapper);
    return text_memory;
}

static void test_types(void **state)
{
    (void)state;
    fields_are("{\"a\":1}\n{\"a\":-5}", "{\"name\": \"a\", \"type\": \"long\"}");
    fields_are("{\"a\":1}\n{\"a\":2.5}", "{\"name\": \"a\", \"type\": \"double\"}");
    fields_are("{\"a\":true}", "{\"name\": \"a\", \"type\": \"boolean\"}");
    fields_are("{\"a\":\"x y\"}", "{\"name\": \"a\", \"type\": \"string\"}");
    fields_are("{\"a\":null}",
               "{\"name\": \"a\", \"type\": [\"null\", \"string\"], \"default\": null}");
    fields_are("{\"a\":[]}",
               "{\"name\": \"a\", \"type\": {\"type\": \"array\", \"items\": \"string\"}}");
    fields_are("{\"a\":[1,null]}", "{\"name\": \"a\", \"type\": {\"type\": \"array\", \"items\": "
                                   "[\"null\", \"long\"]}}");
    fields_are("{\"a\":1}\n{\"b\":true}",
               "{\"name\": \"a\", \"type\": [\"null\", \"long\"], \"default\": null},"
               "{\"name\": \"b\", \"type\": [\"null\", \"boolean\"], \"default\": null}");
    fields_are("{\"a\":1}\n{\"a\":true}\n{\"a\":\"x y\"}",
               "{\"name\": \"a\", \"type\": [\"boolean\", \"long\", \"string\"]}");
    fields_are(
        "{\"a\":{\"b\":{\"c\":1}}}",
        "{\"name\": \"a\", \"type\": {\"type\": \"record\", \"name\": \"E_a\", \"fields\": ["
        "{\"name\": \"b\", \"type\": {\"type\": \"record\", \"name\": \"E_a_b\", \"fields\": ["
        "{\"name\": \"c\", \"type\": \"long\"}]}}]}}");
    /* two types of one name */
    fields_are(
        "{\"a\":{\"b\":{}},\"a_b\":{}}",
        "{\"name\": \"a\", \"type\": {\"type\": \"record\", \"name\": \"E_a\", \"fields\": ["
        "{\"name\": \"b\", \"type\": {\"type\": \"record\", \"name\": \"E_a_b\", \"fields\": "
        "[]}}]}},{\"name\": \"a_b\", \"type\": {\"type\": \"record\", \"name\": "
        "\"E_a_b_2\", \"fields\": []}}");
}

static void test_numbers(void **state)
{
    (void)state;
    fields_are("{\"a\":9223372036854775807}", "{\"name\": \"a\", \"type\": \"long\"}");
    fields_are("{\"a\":10000000000000000000}", "{\"name\": \"a\", \"type\": \"double\"}");
    fields_are("{\"a\":9223372036854775808}",
               "{\"name\": \"a\", \"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\", "
               "\"precision\": 38, \"scale\": 0}}");
    fields_are("{\"a\":0.1234567890123456789}\n{\"a\":2e3}",
               "{\"name\": \"a\", \"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\", "
               "\"precision\": 38, \"scale\": 19}}");
    struct avro_schema *schema = inferred("{\"a\":0.1234567890123456789}\n{\"a\":2e3}");
    assert_string_equal(back(schema, "{\"a\":0.1234567890123456789}"),
                        "{\"a\":0.1234567890123456789}");
    avro_schema_close(schema);
}

#define TEN(line) line line line line line line line line line line

static void test_texts(void **state)
{
    (void)state;
    fields_are("{\"a\":\"2026-01-01T00:00:00Z\"}\n{\"a\":\"2026-01-01 01:00:00.125+01:00\"}",
               "{\"name\": \"a\", \"type\": {\"type\": \"long\", \"logicalType\": "
               "\"timestamp-millis\"}}");
    fields_are("{\"a\":\"2026-01-01T00:00:00.1234567Z\"}",
               "{\"name\": \"a\", \"type\": {\"type\": \"long\", \"logicalType\": "
               "\"timestamp-nanos\"}}");
    fields_are("{\"a\":\"2026-01-01T00:00:00.1234Z\"}\n{\"a\":\"2026-01-01\"}",
               "{\"name\": \"a\", \"type\": \"string\"}");
    fields_are("{\"a\":\"2026-01-01T00:00:00Z\"}\n{\"a\":5}", /* a union has one long */
               "{\"name\": \"a\", \"type\": [\"long\", \"string\"]}");
    fields_are(TEN("{\"a\":\"on\"}\n{\"a\":\"off\"}\n"),
               "{\"name\": \"a\", \"type\": {\"type\": \"enum\", \"name\": \"E_a\", \"symbols\": "
               "[\"on\", \"off\"]}}");
    fields_are(TEN("{\"a\":\"o n\"}\n{\"a\":\"off\"}\n") "{\"a\":\"off\"}",
               "{\"name\": \"a\", \"type\": \"string\", \"weir.values\": [\"off\", \"o n\"]}");
    fields_are("{\"a\":\"x\"}\n{\"a\":\"x\"}\n{\"a\":\"x\"}\n{\"a\":\"y\"}",
               "{\"name\": \"a\", \"type\": \"string\"}");
}

static void test_maps(void **state)
{
    (void)state;
    fields_are("{\"a\":{\"x\":1}}\n{\"a\":{\"1-2\":2.5,\"y\":null}}",
               "{\"name\": \"a\", \"type\": {\"type\": \"map\", \"values\": [\"null\", "
               "\"double\"]}}");
    /* what the members had is what the values have */
    struct avro_schema *schema =
        inferred("{\"a\":{\"x\":{\"p\":1,\"l\":[1]},\"y\":{\"q\":{\"-\":1}}}}\n"
                 "{\"a\":{\"1-2\":{\"p\":2.5,\"q\":{\"s\":2}}}}");
    assert_string_equal(back(schema, "{\"a\":{\"z\":{\"p\":2.5,\"l\":[7],\"q\":{\"s\":2}}}}"),
                        "{\"a\":{\"z\":{\"p\":2.5,\"l\":[7],\"q\":{\"s\":2}}}}");
    assert_string_equal(back(schema, "{\"a\":{}}"), "{\"a\":{}}");
    avro_schema_close(schema);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        enum err e;
        const char *why;
    } cases[] = {
        {"", ERR_REJECTED, "there are no samples"},
        {"{\"a\":1", ERR_CORRUPT, ""},
        {"{\"a\":1} x", ERR_CORRUPT, "something follows"},
        {"[1]", ERR_REJECTED, "not a JSON object"},
        {"{\"a-b\":1}", ERR_REJECTED, "member \"a-b\" can't be a field"},
        {"{\"a\":1e999}", ERR_REJECTED, "a number of more than"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct infer *infer;
        struct why why = {""};
        struct out text = out_over(schema_memory, ROOM);
        assert_int_equal(infer_open(&infer), ERR_OK);
        enum err e = add_lines(infer, cases[i].lines, &why);
        e = e ? e : infer_put(infer, "E", NULL, &text, &why);
        assert_int_equal(e, cases[i].e);
        assert_non_null(strstr(why.text, cases[i].why));
        infer_close(infer);
    }
}

static void test_nested_too_deep(void **state)
{
    (void)state;
    struct infer *infer;
    struct why why = {""};
    struct out text = out_over(text_memory, ROOM);
    out_put_text(&text, "{\"a\":");
    for (int i = 0; i < INFER_DEPTH_MAX; i++) {
        out_put_text(&text, "[");
    }
    for (int i = 0; i < INFER_DEPTH_MAX; i++) {
        out_put_text(&text, "]");
    }
    out_put_text(&text, "}");
    assert_int_equal(infer_open(&infer), ERR_OK);
    assert_int_equal(infer_add(infer, out_slice(&text), &why), ERR_OK);
    memmove(text_memory + 6, text_memory + 5, text.size - 5); /* one more */
    text_memory[5] = '[';
    text.size++;
    text_memory[text.size - 1] = ']';
    out_put_text(&text, "}");
    assert_int_equal(infer_add(infer, out_slice(&text), &why), ERR_REJECTED);
    infer_close(infer);
}

/* Whichever fails, nothing leaks and the word is ERR_NOMEM. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char lines[] =
        "{\"a\":{\"x\":{\"p\":\"t\",\"l\":[1]}}}\n"
        "{\"a\":{\"1-2\":{\"p\":\"u\"},\"3-4\":null}}\n" TEN("{\"a\":{},\"w\":\"a b\"}\n");
    bool happened = true;
    for (unsigned n = 1; happened; n++) {
        struct infer *infer = NULL;
        struct why why = {""};
        struct out text = out_over(schema_memory, ROOM);
        fault_alloc_set(n);
        enum err e = infer_open(&infer);
        e = e ? e : add_lines(infer, lines, &why);
        e = e ? e : infer_put(infer, "E", NULL, &text, &why);
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, happened ? ERR_NOMEM : ERR_OK);
        infer_close(infer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),           cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_texts),           cmocka_unit_test(test_maps),
        cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_nested_too_deep),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
