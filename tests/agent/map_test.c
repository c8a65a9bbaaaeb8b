/* Mapping: every type of the schema from every kind of value, read back by the decoder; what does
 * not fit is refused with a reason that names the field. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map.h"
#include "ports/file.h"
#include "ports/lib/json.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "uplink/avro/decode.h"

#define DATUM_SIZE_MAX (256 * 1024)

struct run {
    struct avro_schema *schema;
    struct mapper *mapper;
    struct map_task task;
    struct map_result result;
    struct why why;
    uint8_t *memory;
    struct out datum;
    char text[16384]; /* the datum, read back */
};

static void run_open(struct run *run, const char *schema)
{
    struct why why = {""};
    *run = (struct run){.memory = malloc(DATUM_SIZE_MAX)};
    assert_non_null(run->memory);
    if (avro_schema_parse(&run->schema, slice_of_text(schema), &why)) {
        fail_msg("%s: %s", schema, why.text);
    }
    assert_int_equal(mapper_open(&run->mapper), ERR_OK);
    run->task.record = avro_schema_root(run->schema);
}

static void run_close(struct run *run)
{
    mapper_close(run->mapper);
    avro_schema_close(run->schema);
    free(run->memory);
}

/* Maps what the task holds, and reads the datum back when there are no fills in it. */
static enum err run_task(struct run *run)
{
    run->why.text[0] = 0;
    run->text[0] = 0;
    run->datum = out_over(run->memory, DATUM_SIZE_MAX);
    enum err e = map_run(run->mapper, &run->task, &run->datum, &run->result, &run->why);
    if (!e && run->result.fill_count == 0) {
        struct slice rest = out_slice(&run->datum);
        struct out o = out_over(run->text, sizeof run->text - 1);
        struct why why = {""};
        if (avro_decode_json(run->task.record, &rest, &o, &why)) {
            fail_msg("the datum of %.*s is none: %s", (int)run->task.body.size,
                     (const char *)run->task.body.data, why.text);
        }
        assert_int_equal(rest.size, 0);
        run->text[o.size] = 0;
    }
    return e;
}

static enum err run_json(struct run *run, const char *json)
{
    run->task.body_kind = BODY_JSON;
    run->task.body = slice_of_text(json);
    return run_task(run);
}

/* --- every type --- */

struct value_case {
    const char *type;
    const char *value;
    const char *result; /* in Avro's JSON encoding; NULL: refused */
    const char *reason; /* a part of it */
};

#define LONG(logical) "{\"type\":\"long\",\"logicalType\":\"" logical "\"}"
#define DECIMAL_BYTES "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":6,\"scale\":2}"
#define DECIMAL_FIXED \
    "{\"type\":\"fixed\",\"name\":\"D\",\"size\":2,\"logicalType\":\"decimal\",\"precision\":4," \
    "\"scale\":1}"
#define COLOUR "{\"type\":\"enum\",\"name\":\"C\",\"symbols\":[\"RED\",\"GREEN\"]}"
#define COLOUR_DEFAULT \
    "{\"type\":\"enum\",\"name\":\"C\",\"symbols\":[\"RED\",\"GREEN\"],\"default\":\"GREEN\"}"
#define UUID "{\"type\":\"string\",\"logicalType\":\"uuid\"}"
#define UUID_FIXED "{\"type\":\"fixed\",\"name\":\"U\",\"size\":16,\"logicalType\":\"uuid\"}"
#define INNER \
    "{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}," \
    "{\"name\":\"y\",\"type\":\"string\",\"default\":\"none\"}]}"

static const struct value_case value_cases[] = {
    {"\"null\"", "null", "null", NULL},
    {"\"null\"", "0", NULL, "field \"a\": 0 is no null"},
    {"\"boolean\"", "true", "true", NULL},
    {"\"boolean\"", "false", "false", NULL},
    {"\"boolean\"", "\"true\"", "true", NULL},
    {"\"boolean\"", "1", NULL, "field \"a\": 1 is no boolean"},
    {"\"int\"", "2147483647", "2147483647", NULL},
    {"\"int\"", "-2147483648", "-2147483648", NULL},
    {"\"boolean\"", "0", NULL, "field \"a\": 0 is no boolean (true or false)"},
    {"\"boolean\"", "\"1\"", NULL, "field \"a\": 1 is no boolean"},
    {"\"boolean\"", "\"TRUE\"", NULL, "field \"a\": TRUE is no boolean"},
    {"\"boolean\"", "null", NULL, "field \"a\": null is no boolean"},
    {"\"boolean\"", "\"\"", NULL, "field \"a\": \"\" is no boolean"},
    {"\"int\"", "-2147483649", NULL, "field \"a\": -2147483649 is no int"},
    {"\"int\"", "1e10", NULL, "field \"a\": 1e10 is no int (a whole number of 32 bits)"},
    {"\"int\"", "-0", "0", NULL},
    {"\"int\"", "\"+5\"", NULL, "field \"a\": +5 is no int"},
    {"\"int\"", "\"1,5\"", NULL, "field \"a\": 1,5 is no int"},
    {"\"int\"", "\" 1\"", NULL, "field \"a\": \" 1\" is no int"},
    {"\"int\"", "\"1 \"", NULL, "field \"a\": \"1 \" is no int"},
    {"\"int\"", "\"0x10\"", NULL, "field \"a\": 0x10 is no int"},
    {"\"int\"", "\"2147483648\"", NULL, "field \"a\": 2147483648 is no int"},
    {"\"int\"", "\"NaN\"", NULL, "field \"a\": NaN is no int"},
    {"\"int\"", "2147483648", NULL, "field \"a\": 2147483648 is no int"},
    {"\"int\"", "1.0", "1", NULL},
    {"\"int\"", "12e2", "1200", NULL},
    {"\"int\"", "1.5", NULL, "1.5 is no int"},
    {"\"int\"", "\"17\"", "17", NULL},
    {"\"int\"", "\"abc\"", NULL, "field \"a\": abc is no int"},
    {"\"int\"", "\"017\"", NULL, "no int"},
    {"\"int\"", "\"1-2\"", NULL, "no int"},
    {"\"int\"", "\"\"", NULL, "no int"},
    {"\"int\"", "\"-\"", NULL, "no int"},
    {"\"int\"", "\"1e\"", NULL, "no int"},
    {"\"int\"", "\"1.2.3\"", NULL, "no int"},
    {"\"int\"", "true", NULL, "true is no int"},
    {"\"int\"", "null", NULL, "null is no int"},
    {"\"int\"", "{}", NULL, "an object is no int"},
    {"\"int\"", "[1]", NULL, "an array is no int"},
    {"\"long\"", "9223372036854775807", "9223372036854775807", NULL},
    {"\"long\"", "-9223372036854775808", "-9223372036854775808", NULL},
    {"\"long\"", "9223372036854775808", NULL, "is no long"},
    {"\"long\"", "1e400", NULL, "is no long"},
    {"\"long\"", "-9223372036854775809", NULL, "-9223372036854775809 is no long"},
    {"\"long\"", "9223372036854775807.0", "9223372036854775807", NULL},
    {"\"long\"", "\"9223372036854775808\"", NULL, "is no long (a whole number of 64 bits)"},
    {"\"long\"", "25e-1", NULL, "25e-1 is no long"},
    {"\"float\"", "0.1", "0.1", NULL},
    {"\"float\"", "-1e39", NULL, "field \"a\": -1e39 is no number that fits a float"},
    {"\"float\"", "1e-60", "0.0", NULL},
    {"\"float\"", "\"x\"", NULL, "field \"a\": x is no number that fits a float"},
    {"\"float\"", "\"NaN\"", "\"NaN\"", NULL},
    {"\"float\"", "true", NULL, "field \"a\": true is no number that fits a float"},
    {"\"float\"", "1e39", NULL, "number that fits a float"},
    {"\"double\"", "0.1", "0.1", NULL},
    {"\"double\"", "-17", "-17.0", NULL},
    {"\"double\"", "1.7976931348623157e308", "1.7976931348623157e+308", NULL},
    {"\"double\"", "1e309", NULL, "1e309 is no number that fits a double"},
    {"\"double\"", "\"1e400\"", NULL, "field \"a\": 1e400 is no number that fits a double"},
    {"\"double\"", "-1e400", NULL, "field \"a\": -1e400 is no number"},
    {"\"double\"", "\"NaN\"", "\"NaN\"", NULL},
    {"\"double\"", "\"nan\"", NULL, "field \"a\": nan is no number"},
    {"\"double\"", "\"Infinity\"", NULL, "field \"a\": Infinity is no number"},
    {"\"double\"", "\"\"", NULL, "field \"a\": \"\" is no number"},
    {"\"double\"", "null", NULL, "field \"a\": null is no number"},
    {"\"double\"", "[1]", NULL, "field \"a\": an array is no number"},
    {"\"double\"", "\"4.25\"", "4.25", NULL},
    {"\"double\"", "\"abc\"", NULL, "abc is no number"},
    {"\"double\"", "\"1.5e\"", NULL, "no number"},
    {"\"double\"", "\"1.\"", NULL, "no number"},
    {"\"double\"", "\" 1\"", NULL, "no number"},
    {"\"double\"", "\"0x10\"", NULL, "no number"},
    {"\"string\"", "\"caf\\u00e9 \\n\"", "\"caf\xc3\xa9 \\n\"", NULL},
    {"\"string\"", "\"\"", "\"\"", NULL},
    {"\"string\"", "12.50", "\"12.50\"", NULL},
    {"\"string\"", "true", NULL, "true is no string"},
    {"\"string\"", "[]", NULL, "an array is no string"},
    {"\"bytes\"", "\"abc\"", "\"abc\"", NULL},
    {"\"bytes\"", "\"\\u00e9\"", "\"\xc3\x83\xc2\xa9\"", NULL},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "\"abc\"", "\"abc\"", NULL},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "\"ab\"", NULL,
     "field \"a\": ab is no fixed of 3 bytes"},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "123", NULL, "123 is no fixed"},
    {COLOUR, "\"GREEN\"", "\"GREEN\"", NULL},
    {COLOUR, "\"BLUE\"", NULL, "field \"a\": BLUE is no symbol of the enum"},
    {COLOUR, "1", NULL, "1 is no symbol"},
    {COLOUR, "\"\"", NULL, "field \"a\": \"\" is no symbol of the enum, which has no default"},
    {COLOUR, "\"red\"", NULL, "field \"a\": red is no symbol"},
    {COLOUR, "null", NULL, "field \"a\": null is no enum"},
    {COLOUR_DEFAULT, "\"BLUE\"", "\"GREEN\"", NULL},
    {COLOUR_DEFAULT, "\"\"", "\"GREEN\"", NULL},
    {COLOUR_DEFAULT, "1", NULL, "field \"a\": 1 is no symbol"},
    {COLOUR_DEFAULT, "null", NULL, "field \"a\": null is no enum"},
    {"[\"null\"," COLOUR_DEFAULT "]", "\"BLUE\"", "{\"C\":\"GREEN\"}", NULL},
    {"[\"string\"," COLOUR_DEFAULT "]", "\"BLUE\"", "{\"string\":\"BLUE\"}", NULL},
    /* decimals */
    {DECIMAL_BYTES, "12.34", "\"\\u0004\xc3\x92\"", NULL},
    {DECIMAL_BYTES, "\"12.34\"", "\"\\u0004\xc3\x92\"", NULL},
    {DECIMAL_BYTES, "-0.01", "\"\xc3\xbf\"", NULL},
    {DECIMAL_BYTES, "12.340", "\"\\u0004\xc3\x92\"", NULL},
    {DECIMAL_BYTES, "12.345", NULL,
     "field \"a\": 12.345 is no decimal of at most 6 digits, 2 of them behind the point"},
    {DECIMAL_BYTES, "12345.67", NULL, "12345.67 is no decimal of at most 6 digits"},
    {DECIMAL_BYTES, "9999.99", "\"\\u000fB?\"", NULL},
    {DECIMAL_BYTES, "10000", NULL, "10000 is no decimal of at most 6 digits"},
    {DECIMAL_BYTES, "1e400", NULL, "1e400 is no decimal"},
    {DECIMAL_BYTES, "1e-400", NULL, "1e-400 is no decimal"},
    {DECIMAL_BYTES, "\"abc\"", NULL, "field \"a\": abc is no decimal of at most 6 digits"},
    {DECIMAL_BYTES, "\"\"", NULL, "field \"a\": \"\" is no decimal"},
    {DECIMAL_BYTES, "\"NaN\"", NULL, "field \"a\": NaN is no decimal"},
    {DECIMAL_BYTES, "true", NULL, "field \"a\": true is no decimal"},
    {DECIMAL_BYTES, "null", NULL, "field \"a\": null is no decimal"},
    {DECIMAL_FIXED, "0.5", "\"\\u0000\\u0005\"", NULL},
    {DECIMAL_FIXED, "-0.5", "\"\xc3\xbf\xc3\xbb\"", NULL},
    {DECIMAL_FIXED, "999.9", "\"'\\u000f\"", NULL},
    {DECIMAL_FIXED, "1000.0", NULL, "decimal"},
    /* dates and times */
    {"{\"type\":\"int\",\"logicalType\":\"date\"}", "\"1970-01-11\"", "10", NULL},
    {"{\"type\":\"int\",\"logicalType\":\"date\"}", "10", "10", NULL},
    {"{\"type\":\"int\",\"logicalType\":\"date\"}", "\"2026-02-29\"", NULL, "no date"},
    {"{\"type\":\"int\",\"logicalType\":\"time-millis\"}", "\"00:00:01.5\"", "1500", NULL},
    {LONG("time-micros"), "\"23:59:59.999999\"", "86399999999", NULL},
    {LONG("time-micros"), "\"24:00:00\"", NULL, "no time"},
    {LONG("timestamp-millis"), "\"1970-01-01T00:00:01.2345Z\"", "1234", NULL},
    {LONG("timestamp-millis"), "\"1969-12-31T23:59:59.999Z\"", "-1", NULL},
    {LONG("timestamp-millis"), "\"1970-01-01T02:00:00+02:00\"", "0", NULL},
    {"{\"type\":\"int\",\"logicalType\":\"date\"}", "2147483648", NULL, "2147483648 is no date"},
    {"{\"type\":\"int\",\"logicalType\":\"time-millis\"}", "86399999", "86399999", NULL},
    {"{\"type\":\"int\",\"logicalType\":\"time-millis\"}", "86400000", NULL,
     "field \"a\": 86400000 is no time"},
    {"{\"type\":\"int\",\"logicalType\":\"time-millis\"}", "-1", NULL, "-1 is no time"},
    {LONG("time-micros"), "86400000000", NULL, "86400000000 is no time"},
    {LONG("timestamp-millis"), "\"\"", NULL, "field \"a\": \"\" is no timestamp"},
    {LONG("timestamp-millis"), "1.5", NULL, "field \"a\": 1.5 is no timestamp"},
    {LONG("timestamp-millis"), "true", NULL, "field \"a\": true is no timestamp"},
    {LONG("timestamp-millis"), "1234", "1234", NULL},
    {LONG("timestamp-millis"), "\"yesterday\"", NULL, "field \"a\": yesterday is no timestamp"},
    {LONG("timestamp-millis"), "\"1970-01-01T00:00:01\"", NULL, "no timestamp"},
    {LONG("timestamp-micros"), "\"1970-01-01T00:00:01.234567Z\"", "1234567", NULL},
    {LONG("timestamp-nanos"), "\"1970-01-01T00:00:01.000000001Z\"", "1000000001", NULL},
    {LONG("timestamp-nanos"), "\"2300-01-01T00:00:00Z\"", NULL, "no timestamp"},
    {LONG("local-timestamp-millis"), "\"1970-01-01T00:00:01\"", "1000", NULL},
    {LONG("local-timestamp-micros"), "\"1970-01-01T00:00:01\"", "1000000", NULL},
    {LONG("local-timestamp-nanos"), "\"1970-01-01T00:00:01\"", "1000000000", NULL},
    /* uuid */
    {UUID, "\"123e4567-e89b-12d3-a456-426614174000\"", "\"123e4567-e89b-12d3-a456-426614174000\"",
     NULL},
    {UUID, "\"123e4567\"", NULL, "123e4567 is no UUID"},
    {UUID_FIXED, "\"41424344-4546-4748-494A-4b4c4d4e4f50\"", "\"ABCDEFGHIJKLMNOP\"", NULL},
    {UUID_FIXED, "\"ABCDEFGHIJKLMNOP\"", NULL, "is no UUID"},
    /* what has parts */
    {"{\"type\":\"array\",\"items\":\"int\"}", "[1,2,3]", "[1,2,3]", NULL},
    {"{\"type\":\"array\",\"items\":\"int\"}", "[]", "[]", NULL},
    {"{\"type\":\"array\",\"items\":\"int\"}", "[1,\"x\"]", NULL,
     "field \"a\": element 1: x is no int"},
    {"{\"type\":\"array\",\"items\":\"int\"}", "{}", NULL, "an object is no array"},
    {"{\"type\":\"map\",\"values\":\"double\"}", "{\"x\":1.5,\"\\u00e9\":2}",
     "{\"x\":1.5,\"\xc3\xa9\":2.0}", NULL},
    {"{\"type\":\"map\",\"values\":\"double\"}", "{}", "{}", NULL},
    {"{\"type\":\"map\",\"values\":\"double\"}", "{\"x\":\"y\"}", NULL,
     "field \"a\": field \"x\": y is no number"},
    {INNER, "{\"y\":\"b\",\"x\":1}", "{\"x\":1,\"y\":\"b\"}", NULL},
    {INNER, "{\"x\":1,\"other\":[{}]}", "{\"x\":1,\"y\":\"none\"}", NULL},
    {INNER, "{}", NULL, "field \"a\": field \"x\": is missing"},
    {INNER, "[]", NULL, "an array is no record"},
    {"{\"type\":\"array\",\"items\":" INNER "}", "[{\"x\":1},{\"x\":2,\"y\":\"z\"}]",
     "[{\"x\":1,\"y\":\"none\"},{\"x\":2,\"y\":\"z\"}]", NULL},
    /* unions */
    {"[\"null\",\"double\"]", "null", "null", NULL},
    {"[\"null\",\"double\"]", "1.5", "{\"double\":1.5}", NULL},
    {"[\"double\",\"null\"]", "null", "null", NULL},
    {"[\"null\",\"double\"]", "\"1.5\"", "{\"double\":1.5}", NULL},
    {"[\"null\",\"double\"]", "\"abc\"", NULL, "field \"a\": abc is no number"},
    {"[\"double\"]", "2", "{\"double\":2.0}", NULL},
    {"[\"null\",\"long\",\"double\",\"string\"]", "5", "{\"long\":5}", NULL},
    {"[\"null\",\"long\",\"double\",\"string\"]", "5.5", "{\"double\":5.5}", NULL},
    {"[\"null\",\"long\",\"double\",\"string\"]", "\"5\"", "{\"string\":\"5\"}", NULL},
    {"[\"long\",\"boolean\"]", "\"5\"", "{\"long\":5}", NULL},
    {"[\"long\",\"boolean\"]", "\"x\"", NULL,
     "field \"a\": \"x\" fits no branch of the union of long, boolean"},
    {"[\"long\",\"boolean\"]", "null", NULL, "null fits no branch of the union"},
    {"[\"null\",\"int\",\"boolean\"]", "2147483648", NULL,
     "field \"a\": 2147483648 fits no branch of the union of null, int, boolean"},
    {"[\"string\"," INNER "]", "{\"x\":3}", "{\"I\":{\"x\":3,\"y\":\"none\"}}", NULL},
    {"[\"null\",{\"type\":\"array\",\"items\":[\"null\",\"int\"]}]", "[1,null]",
     "{\"array\":[{\"int\":1},null]}", NULL},
};

static void every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof value_cases / sizeof value_cases[0]; i++) {
        const struct value_case *c = &value_cases[i];
        char schema[1024];
        char json[512];
        char expected[512];
        struct run run;
        (void)snprintf(
            schema, sizeof schema,
            "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":%s}]}",
            c->type);
        (void)snprintf(json, sizeof json, "{\"a\":%s}", c->value);
        (void)snprintf(expected, sizeof expected, "{\"a\":%s}", c->result ? c->result : "");
        run_open(&run, schema);
        enum err e = run_json(&run, json);
        if (c->result && (e || strcmp(run.text, expected) != 0)) {
            fail_msg("%s from %s: %s %s, not %s", c->type, json, run.text, run.why.text, expected);
        }
        if (!c->result && (e != ERR_REJECTED || !strstr(run.why.text, c->reason))) {
            fail_msg("%s from %s: %s \"%s\", not \"%s\"", c->type, json, err_name(e), run.why.text,
                     c->reason);
        }
        run_close(&run);
    }
}

/* --- fields --- */

#define THREE \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}," \
    "{\"name\":\"b\",\"type\":\"string\",\"default\":\"dflt\"}," \
    "{\"name\":\"c\",\"type\":[\"null\",\"int\"]}]}"

static void fields_come_in_any_order(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, THREE);
    static const char *const orders[] = {
        "{\"a\":1,\"b\":\"x\",\"c\":3}", "{\"c\":3,\"b\":\"x\",\"a\":1}",
        " {\"b\":\"x\" , \"a\":1,\"c\":3}\r\n", "{\"b\":\"x\",\"c\":3,\"\\u0061\":1}"};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        assert_int_equal(run_json(&run, orders[i]), ERR_OK);
        assert_string_equal(run.text, "{\"a\":1,\"b\":\"x\",\"c\":{\"int\":3}}");
        assert_int_equal(run.result.unknown_count, 0);
    }
    run_close(&run);
}

static void missing_fields_take_defaults(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, THREE);
    assert_int_equal(run_json(&run, "{\"a\":1}"), ERR_OK);
    assert_string_equal(run.text, "{\"a\":1,\"b\":\"dflt\",\"c\":null}");
    assert_int_equal(run_json(&run, "{\"b\":\"x\"}"), ERR_REJECTED);
    assert_string_equal(run.why.text,
                        "field \"a\": is missing, and the schema has no default for it");
    run_close(&run);
}

static void unknown_fields_are_counted_or_refused(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, THREE);
    assert_int_equal(run_json(&run, "{\"x\":[{\"a\":5}],\"a\":1,\"y\":null}"), ERR_OK);
    assert_int_equal(run.result.unknown_count, 2);
    run.task.unknown_is_refused = true;
    assert_int_equal(run_json(&run, "{\"a\":1,\"y\":null}"), ERR_REJECTED);
    assert_string_equal(run.why.text, "field \"y\": is not in the schema");
    run.task.time_field = "y"; /* the event's time need not be in it */
    assert_int_equal(run_json(&run, "{\"a\":1,\"y\":null}"), ERR_OK);
    run_close(&run);
}

#define NESTED \
    "{\"type\":\"record\",\"name\":\"N\",\"fields\":[{\"name\":\"in\",\"type\":{\"type\":" \
    "\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"a\",\"type\":\"int\",\"default\":7},{" \
    "\"name\":\"b\",\"type\":[\"null\",\"int\",\"string\"]}]}},{\"name\":\"list\",\"type\":{" \
    "\"type\":" \
    "\"array\",\"items\":[\"string\",\"I\"]},\"default\":[]}]}"

/* What a union's branch has counted that did not fit in the end does not count. */
static void fields_within_fields_are_unknown_or_missing_too(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, NESTED);
    assert_int_equal(run_json(&run, "{\"in\":{\"x\":1,\"b\":2,\"y\":2},\"z\":3}"), ERR_OK);
    assert_string_equal(run.text, "{\"in\":{\"a\":7,\"b\":{\"int\":2}},\"list\":[]}");
    assert_int_equal(run.result.unknown_count, 3);
    assert_int_equal(run_json(&run, "{\"in\":{\"b\":2},\"list\":[{\"u\":1,\"a\":1},\"s\"]}"),
                     ERR_OK);
    assert_int_equal(run.result.unknown_count, 1);
    run.task.unknown_is_refused = true;
    assert_int_equal(run_json(&run, "{\"in\":{\"a\":1,\"y\":2}}"), ERR_REJECTED);
    assert_string_equal(run.why.text, "field \"in\": field \"y\": is not in the schema");
    assert_int_equal(run_json(&run, "{\"in\":{},\"list\":[{\"u\":1}]}"), ERR_REJECTED);
    assert_int_equal(run_json(&run, "{\"in\":{}}"), ERR_OK);
    run.task.unknown_is_refused = false;
    run.task.missing_is_refused = true;
    assert_int_equal(run_json(&run, "{\"in\":{\"a\":1,\"b\":null},\"list\":[]}"), ERR_OK);
    assert_int_equal(run_json(&run, "{\"in\":{\"a\":1,\"b\":null}}"), ERR_REJECTED);
    assert_string_equal(run.why.text, "field \"list\": is missing");
    assert_int_equal(run_json(&run, "{\"in\":{\"a\":1},\"list\":[]}"), ERR_REJECTED);
    assert_string_equal(run.why.text, "field \"in\": field \"b\": is missing");
    run_close(&run);
}

static void what_is_no_json_is_refused(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, THREE);
    static const struct {
        const char *body;
        enum err error;
    } cases[] = {{"", ERR_REJECTED},
                 {"17", ERR_REJECTED},
                 {"[{\"a\":1}]", ERR_REJECTED},
                 {"{", ERR_CORRUPT},
                 {"{\"a\":1", ERR_CORRUPT},
                 {"{\"a\":1,}", ERR_CORRUPT},
                 {"{\"a\":1}x", ERR_CORRUPT},
                 {"{\"a\":1}{\"a\":2}", ERR_CORRUPT},
                 {"{\"a\":1,\"a\":2}", ERR_CORRUPT},
                 {"{\"a\":01}", ERR_CORRUPT},
                 {"{\"a\":1,\"b\":\"\xff\"}", ERR_CORRUPT},
                 {"{\"a\":1,\"z\":[1,{\"k\":1,\"k\":2}]}", ERR_CORRUPT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum err e = run_json(&run, cases[i].body);
        if (e != cases[i].error || !run.why.text[0]) {
            fail_msg("%s: %s \"%s\"", cases[i].body, err_name(e), run.why.text);
        }
    }
    run.task.body_kind = BODY_RAW;
    run.task.body = SLICE("{\"a\":1}");
    assert_int_equal(run_task(&run), ERR_REJECTED);
    assert_int_equal(run_json(&run, "{\"a\":1}"), ERR_OK); /* the next one is not harmed */
    run_close(&run);
}

/* --- bounds --- */

static void too_many_values_are_refused(void **state)
{
    struct run run;
    (void)state;
    size_t size = 2 * (size_t)MAP_ITEM_MAX + 64;
    char *json = malloc(size);
    assert_non_null(json);
    run_open(&run, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":"
                   "{\"type\":\"array\",\"items\":\"int\"}}]}");
    for (int over = 0; over < 2; over++) { /* the member "a" is one of the values */
        struct out o = out_over(json, size - 1);
        out_put_text(&o, "{\"a\":[1");
        for (int i = 1; i < MAP_ITEM_MAX - 1 + over; i++) {
            out_put_text(&o, ",1");
        }
        out_put_text(&o, "]}");
        run.task.body_kind = BODY_JSON;
        run.task.body = out_slice(&o);
        run.datum = out_over(run.memory, DATUM_SIZE_MAX);
        enum err e = map_run(run.mapper, &run.task, &run.datum, &run.result, &run.why);
        assert_int_equal(e, over ? ERR_REJECTED : ERR_OK);
    }
    assert_string_equal(run.why.text, "field \"a\": more than 16384 values in one event");
    run.datum = out_over(run.memory, 4);
    run.task.body = SLICE("{\"a\":[1,2,3,4,5,6,7,8]}");
    assert_int_equal(map_run(run.mapper, &run.task, &run.datum, &run.result, &run.why), ERR_FULL);
    free(json);
    run_close(&run);
}

/* Unions within unions: each level doubles the ways to try. It has to end, and soon. */
static void unions_within_unions_end(void **state)
{
    struct run run;
    (void)state;
    run_open(&run,
             "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\","
             "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"n\",\"type\":[\"int\","
             "\"A\",{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"n\",\"type\":"
             "[\"int\",\"A\",\"B\"]}]}]}]}]}]}");
    char json[512] = "{\"a\":";
    struct out o = out_over(json, sizeof json - 1);
    o.size = strlen(json);
    for (int i = 0; i < 28; i++) {
        out_put_text(&o, "{\"n\":");
    }
    size_t deep = o.size;
    out_put_text(&o, "7");
    for (int i = 0; i < 29; i++) {
        out_put_text(&o, "}");
    }
    run.task.body_kind = BODY_JSON;
    run.task.body = out_slice(&o);
    assert_int_equal(run_task(&run), ERR_OK);
    json[deep] = '[';
    json[deep + 1] = ']';
    out_put_text(&o, "}");
    run.task.body = out_slice(&o);
    assert_int_equal(run_task(&run), ERR_REJECTED);
    assert_non_null(strstr(run.why.text, "too many ways"));
    run_close(&run);
}

/* A chain of optional records is as quick as its length. */
static void optional_records_nest(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\",\"type\":"
                   "[\"null\",\"R\"],\"default\":null}]}");
    char json[512];
    struct out o = out_over(json, sizeof json - 1);
    for (int i = 0; i < 20; i++) {
        out_put_text(&o, "{\"n\":");
    }
    out_put_text(&o, "5");
    for (int i = 0; i < 20; i++) {
        out_put_text(&o, "}");
    }
    run.task.body_kind = BODY_JSON;
    run.task.body = out_slice(&o);
    assert_int_equal(run_task(&run), ERR_REJECTED);
    assert_non_null(strstr(run.why.text, "field \"n\": field \"n\": "));
    assert_null(strstr(run.why.text, "too many ways"));
    run_close(&run);
}

/* --- what drivers and routes bring --- */

static void typed_fields_win_over_the_payload(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                   "{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"d\",\"type\":\"double\"},"
                   "{\"name\":\"n\",\"type\":" DECIMAL_BYTES "},"
                   "{\"name\":\"t\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"bytes\"},"
                   "{\"name\":\"b\",\"type\":\"boolean\"},{\"name\":\"o\",\"type\":[\"null\","
                   "\"int\"]},{\"name\":\"p\",\"type\":\"int\"}]}");
    const struct field fields[] = {
        {SLICE("i"), {.kind = VALUE_INT, .as.integer = -5}},
        {SLICE("d"), {.kind = VALUE_DOUBLE, .as.real = 0.5}},
        {SLICE("n"), {.kind = VALUE_NUMBER, .as.text = SLICE("12.34")}},
        {SLICE("t"), {.kind = VALUE_TEXT, .as.text = SLICE("txt")}},
        {SLICE("y"), {.kind = VALUE_BYTES, .as.text = SLICE("\xff\x01")}},
        {SLICE("b"), {.kind = VALUE_BOOL, .as.boolean = true}},
        {SLICE("o"), {.kind = VALUE_NULL}},
        {SLICE("extra"), {.kind = VALUE_INT, .as.integer = 1}}};
    run.task.fields = fields;
    run.task.field_count = 8;
    assert_int_equal(run_json(&run, "{\"i\":1,\"p\":9}"), ERR_OK);
    assert_string_equal(run.text,
                        "{\"i\":-5,\"d\":0.5,\"n\":\"\\u0004\xc3\x92\",\"t\":\"txt\",\"y\":"
                        "\"\xc3\xbf\\u0001\",\"b\":true,\"o\":null,\"p\":9}");
    assert_int_equal(run.result.unknown_count, 1);
    run.task.unknown_is_refused = true;
    assert_int_equal(run_json(&run, "{\"p\":9}"), ERR_REJECTED);
    assert_string_equal(run.why.text, "field \"extra\": is not in the schema");
    run.task.unknown_is_refused = false;
    run.task.body_kind = BODY_NONE;
    assert_int_equal(run_task(&run), ERR_REJECTED); /* "p" only comes with the payload */
    run_close(&run);
}

/* What a driver measures may be no number, or without bound: floating point holds that. */
static void typed_numbers_without_bound(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                   "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},"
                   "{\"name\":\"l\",\"type\":[\"null\",\"long\"]}]}");
    struct field fields[] = {{SLICE("f"), {.kind = VALUE_DOUBLE, .as.real = (double)INFINITY}},
                             {SLICE("d"), {.kind = VALUE_DOUBLE, .as.real = (double)NAN}},
                             {SLICE("l"), {.kind = VALUE_DOUBLE, .as.real = (double)NAN}}};
    run.task.body_kind = BODY_NONE;
    run.task.fields = fields;
    run.task.field_count = 2;
    assert_int_equal(run_task(&run), ERR_OK);
    assert_string_equal(run.text, "{\"f\":\"Infinity\",\"d\":\"NaN\",\"l\":null}");
    run.task.field_count = 3;
    assert_int_equal(run_task(&run), ERR_REJECTED);
    assert_non_null(strstr(run.why.text, "field \"l\": a number without bound is no long"));
    run_close(&run);
}

static void routes_set_fields_and_fills(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                   "{\"name\":\"site\",\"type\":\"string\"},{\"name\":\"at\",\"type\":" LONG(
                       "timestamp-micros") "},{\"name\":\"v\",\"type\":\"int\"},"
                                           "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"nr\","
                                           "\"type\":\"int\"}]}");
    const struct map_override overrides[] = {{SLICE("at"), {NULL, 0}, FILL_TIME_MILLIS},
                                             {SLICE("site"), SLICE("roof"), FILL_NONE},
                                             {SLICE("id"), {NULL, 0}, FILL_ID},
                                             {SLICE("nr"), SLICE("12"), FILL_NONE}};
    run.task.overrides = overrides;
    run.task.override_count = 4;
    assert_int_equal(run_json(&run, "{\"v\":1,\"site\":\"no\"}"), ERR_OK);
    assert_int_equal(run.result.fill_count, 2);
    assert_int_equal(run.result.fills[0].kind, FILL_TIME_MICROS); /* as the field's type says */
    assert_int_equal(run.result.fills[0].offset, 5);
    assert_int_equal(run.result.fills[1].kind, FILL_ID);
    assert_int_equal(run.result.fills[1].offset, 6);
    const uint8_t datum[] = {8, 'r', 'o', 'o', 'f', 2, 24};
    assert_int_equal(run.datum.size, sizeof datum);
    assert_memory_equal(run.datum.data, datum, sizeof datum);
    const struct map_override misplaced = {SLICE("v"), {NULL, 0}, FILL_ID};
    run.task.overrides = &misplaced;
    run.task.override_count = 1;
    assert_int_equal(run_json(&run, "{\"v\":1,\"site\":\"a\",\"id\":\"b\",\"nr\":1,\"at\":1}"),
                     ERR_OK); /* no text in an int: the payload's own value stands */
    assert_int_equal(run.result.fill_count, 0);
    run_close(&run);
}

static void the_payload_has_the_time(void **state)
{
    static const struct {
        const char *value;
        int64_t time_us; /* -1: refused; -2: none */
    } cases[] = {{"\"2001-09-09T01:46:40.5Z\"", 1000000000500000},
                 {"1000000000", 1000000000000000},
                 {"1000000000.25", 1000000000250000},
                 {"1700000000.123457", 1700000000123457},
                 {"1000000000123", 1000000000123000},
                 {"1000000000123456", 1000000000123456},
                 {"1700000000123456789", 1700000000123456},
                 {"\"1000000000\"", 1000000000000000},
                 {"-3", -3000000},
                 {"null", -2},
                 {"true", -1},
                 {"{}", -1},
                 {"[1]", -1},
                 {"\"soon\"", -1},
                 {"\"2001-09-09T01:46:40\"", -1},
                 {"1e300", -1},
                 {"-1e17", -100000000000000}};
    struct run run;
    (void)state;
    run_open(&run, THREE);
    run.task.time_field = "when";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[128];
        (void)snprintf(json, sizeof json, "{\"a\":1,\"when\":%s}", cases[i].value);
        enum err e = run_json(&run, json);
        if ((e != ERR_OK) != (cases[i].time_us == -1) ||
            (!e && run.result.has_time != (cases[i].time_us != -2)) ||
            (!e && run.result.has_time && run.result.time_us != cases[i].time_us)) {
            fail_msg("%s: %s %lld %s", json, err_name(e), (long long)run.result.time_us,
                     run.why.text);
        }
    }
    assert_int_equal(run_json(&run, "{\"a\":1}"), ERR_OK);
    assert_false(run.result.has_time);
    const struct field field = {SLICE("when"), {.kind = VALUE_DOUBLE, .as.real = 1.5}};
    run.task.fields = &field;
    run.task.field_count = 1;
    assert_int_equal(run_json(&run, "{\"a\":1}"), ERR_OK);
    assert_true(run.result.has_time);
    assert_int_equal(run.result.time_us, 1500000);
    run_close(&run);
}

static void templates_read_the_payload(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, THREE);
    struct slice body = SLICE(" {\"n\":12.50,\"t\":\"a\\u00e9\",\"o\":{\"x\":1}}");
    assert_true(slice_equal_text(map_payload_text(run.mapper, body, SLICE("n")), "12.50"));
    assert_true(slice_equal_text(map_payload_text(run.mapper, body, SLICE("t")), "a\xc3\xa9"));
    assert_true(slice_equal_text(map_payload_text(run.mapper, body, SLICE("o")), "{\"x\":1}"));
    assert_null(map_payload_text(run.mapper, body, SLICE("x")).data);
    assert_null(map_payload_text(run.mapper, SLICE("{\"n\":"), SLICE("n")).data);
    assert_null(map_payload_text(run.mapper, SLICE("[1]"), SLICE("n")).data);
    run_close(&run);
}

static void reasons_stay_readable(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, THREE);
    assert_int_equal(run_json(&run, "{\"a\":\"1234567890123456789012345678\xc3\xa9\xc3\xa9z\"}"),
                     ERR_REJECTED);
    assert_string_equal(run.why.text, "field \"a\": 1234567890123456789012345678\xc3\xa9... is no "
                                      "int (a whole number of 32 bits)");
    assert_int_equal(run_json(&run, "{\"a\":\"12345678901234567890123456789\xc3\xa9\xc3\xa9z\"}"),
                     ERR_REJECTED);
    assert_string_equal(
        run.why.text,
        "field \"a\": 12345678901234567890123456789... is no int (a whole number of 32 bits)");
    assert_int_equal(run_json(&run, "{\"a\":\"\\n\\u0000\"}"), ERR_REJECTED);
    assert_string_equal(run.why.text, "field \"a\": ?? is no int (a whole number of 32 bits)");
    run_close(&run);
}

static void memory_may_be_missing(void **state)
{
    struct mapper *mapper = NULL;
    unsigned n = 0;
    (void)state;
    do {
        fault_alloc_set(++n);
        enum err e = mapper_open(&mapper);
        assert_int_equal(e, fault_alloc_happened() ? ERR_NOMEM : ERR_OK);
    } while (fault_alloc_happened());
    fault_alloc_set(0);
    assert_true(n > 1);
    mapper_close(mapper);
    mapper_close(NULL);
}

/* --- real data --- */

static bool token_next(struct json_reader *reader, struct json_token *ret)
{
    enum err e = json_next(reader, ret);
    assert_true(e == ERR_OK || e == ERR_CLOSED);
    return e == ERR_OK;
}

/* The datum says the same as the line: names and texts byte for byte, numbers as the same double.
 * Only "ts" is a time there, and an optional value is wrapped, or null where the line has none. */
static void assert_same(const char *line, size_t size, const char *datum)
{
    struct json_reader left;
    struct json_reader right;
    struct json_token a;
    struct json_token b;
    bool is_time = false;
    json_init(&left, (struct slice){(const uint8_t *)line, size});
    json_init(&right, slice_of_text(datum));
    while (token_next(&left, &a)) {
        assert_true(token_next(&right, &b));
        if (a.kind == JSON_KEY && b.kind == JSON_KEY && !slice_equal(a.text, b.text)) {
            assert_true(token_next(&right, &b) && b.kind == JSON_NULL); /* the line has it not */
            assert_true(token_next(&right, &b));
        }
        if (b.kind == JSON_OBJECT_BEGIN && a.kind == JSON_NUMBER) { /* {"long":17} */
            assert_true(token_next(&right, &b) && token_next(&right, &b));
            struct json_token end;
            assert_true(token_next(&right, &end) && end.kind == JSON_OBJECT_END);
        }
        if (is_time) {
            assert_int_equal(b.kind, JSON_NUMBER);
        } else if (a.kind == JSON_NUMBER) {
            assert_int_equal(b.kind, JSON_NUMBER);
            assert_true(strtod((const char *)a.text.data, NULL) ==
                        strtod((const char *)b.text.data, NULL));
        } else {
            char left_text[4096];
            char right_text[4096];
            struct out left_out = out_over(left_text, sizeof left_text);
            struct out right_out = out_over(right_text, sizeof right_text);
            struct slice x = a.text;
            struct slice y = b.text;
            assert_int_equal(a.kind, b.kind);
            if (a.kind == JSON_STRING || a.kind == JSON_KEY) {
                assert_int_equal(json_string(&a, &left_out, &x), ERR_OK);
                assert_int_equal(json_string(&b, &right_out, &y), ERR_OK);
            }
            assert_true(slice_equal(x, y));
        }
        is_time = a.kind == JSON_KEY && slice_equal_text(a.text, "ts");
    }
    assert_false(token_next(&right, &b));
}

static void map_lines(const char *schema_path, const char *data_path, size_t line_count)
{
    struct slice schema;
    struct slice data;
    struct run run;
    size_t count = 0;
    char *text;
    assert_int_equal(file_read(schema_path, 65536, &schema, NULL), ERR_OK);
    assert_int_equal(file_read(data_path, 16 * 1024 * 1024, &data, NULL), ERR_OK);
    text = calloc(1, schema.size + 1);
    assert_non_null(text);
    memcpy(text, schema.data, schema.size);
    run_open(&run, text);
    run.task.time_field = "ts";
    run.task.unknown_is_refused = true;
    run.task.body_kind = BODY_JSON;
    for (size_t at = 0; at < data.size;) {
        const uint8_t *end = memchr(data.data + at, '\n', data.size - at);
        assert_non_null(end);
        run.task.body = (struct slice){data.data + at, (size_t)(end - data.data) - at};
        if (run_task(&run)) {
            fail_msg("%s, line %zu: %s", data_path, count + 1, run.why.text);
        }
        assert_true(run.result.has_time);
        assert_same((const char *)run.task.body.data, run.task.body.size, run.text);
        at += run.task.body.size + 1;
        count++;
    }
    assert_int_equal(count, line_count);
    run_close(&run);
    free(text);
    free((void *)(uintptr_t)schema.data);
    free((void *)(uintptr_t)data.data);
}

static void real_data_is_kept(void **state)
{
    (void)state;
    map_lines("config/examples/energy_meter.avsc", "tests/data/energy_meter.ndjson", 12855);
    map_lines("config/examples/button_events.avsc", "tests/data/button_events.ndjson", 1368);
    map_lines("config/examples/syslog.avsc", "tests/data/syslog.ndjson", 7121);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(fields_come_in_any_order),
        cmocka_unit_test(missing_fields_take_defaults),
        cmocka_unit_test(unknown_fields_are_counted_or_refused),
        cmocka_unit_test(fields_within_fields_are_unknown_or_missing_too),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(too_many_values_are_refused),
        cmocka_unit_test(unions_within_unions_end),
        cmocka_unit_test(optional_records_nest),
        cmocka_unit_test(typed_fields_win_over_the_payload),
        cmocka_unit_test(typed_numbers_without_bound),
        cmocka_unit_test(routes_set_fields_and_fills),
        cmocka_unit_test(the_payload_has_the_time),
        cmocka_unit_test(templates_read_the_payload),
        cmocka_unit_test(reasons_stay_readable),
        cmocka_unit_test(memory_may_be_missing),
        cmocka_unit_test(real_data_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
