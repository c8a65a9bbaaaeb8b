/* The two encodings into each other, with bytes as the specification gives them; what is refused;
 * numbers and times from text. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/avro/help.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/number.h"

#define ROOM ((size_t)1024 * 1024)

static uint8_t datum_memory[ROOM];
static char text_memory[ROOM + 1];

static enum err encode_into(struct out *datum, const struct avro_schema *schema, const char *json,
                            struct why *why)
{
    *datum = out_over(datum_memory, sizeof datum_memory);
    return avro_encode_json(schema, slice_of_text(json), datum, why);
}

static const char *decoded(const struct avro_schema *schema, struct slice datum)
{
    struct out text = out_over(text_memory, ROOM);
    struct why why = {""};
    struct slice skipped = datum;
    struct slice rest = datum;
    assert_int_equal(avro_skip(avro_schema_root(schema), &skipped), ERR_OK);
    if (avro_decode_json(avro_schema_root(schema), &rest, &text, &why)) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(rest.size, 0);
    assert_int_equal(skipped.size, 0);
    text_memory[text.size] = 0;
    return text_memory;
}

#define ENUM "{\"type\":\"enum\",\"name\":\"n.E\",\"symbols\":[\"A\",\"B\"]}"
#define FIXED "{\"type\":\"fixed\",\"name\":\"n.F\",\"size\":3}"
#define LIST \
    "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"v\",\"type\":\"int\"},{\"name\":" \
    "\"n\"," \
    "\"type\":[\"null\",\"L\"]}]}"

static const struct {
    const char *schema;
    const char *json;
    const char *hex;
    const char *back; /* NULL: as `json` */
} round_trips[] = {
    {"\"null\"", "null", "", NULL},
    {"\"boolean\"", "true", "01", NULL},
    {"\"boolean\"", "false", "00", NULL},
    {"\"int\"", "0", "00", NULL},
    {"\"int\"", "-1", "01", NULL},
    {"\"int\"", "1", "02", NULL},
    {"\"int\"", "-64", "7f", NULL},
    {"\"int\"", "64", "8001", NULL},
    {"\"int\"", "2147483647", "feffffff0f", NULL},
    {"\"int\"", "-2147483648", "ffffffff0f", NULL},
    {"\"int\"", "1.0", "02", "1"},
    {"\"int\"", "12e2", "e012", "1200"},
    {"\"long\"", "9223372036854775807", "feffffffffffffffff01", NULL},
    {"\"long\"", "-9223372036854775808", "ffffffffffffffffff01", NULL},
    {"\"float\"", "1.5", "0000c03f", NULL},
    {"\"float\"", "0.1", "cdcccc3d", NULL},
    {"\"float\"", "1", "0000803f", "1.0"},
    {"\"float\"", "1e-45", "01000000", "1.0e-45"},
    {"\"float\"", "3.4028235e+38", "ffff7f7f", NULL},
    {"\"float\"", "\"NaN\"", "0000c07f", NULL},
    {"\"float\"", "\"-Infinity\"", "000080ff", NULL},
    {"\"double\"", "0.1", "9a9999999999b93f", NULL},
    {"\"double\"", "23.47", "b81e85eb51783740", NULL},
    {"\"double\"", "-0.0", "0000000000000080", NULL},
    {"\"double\"", "5e-324", "0100000000000000", "5.0e-324"},
    {"\"double\"", "1.7976931348623157e+308", "ffffffffffffef7f", NULL},
    {"\"double\"", "1e22", "92d54d06cff08044", "1.0e+22"},
    {"\"double\"", "\"Infinity\"", "000000000000f07f", NULL},
    {"\"bytes\"", "\"\"", "00", NULL},
    {"\"bytes\"", "\"\\u00ff\\u0000A\\\\\\\"\"", "0aff00415c22", "\"\xc3\xbf\\u0000A\\\\\\\"\""},
    {"\"string\"", "\"foo\"", "06666f6f", NULL},
    {"\"string\"", "\"\\ud83d\\ude00\\u0001\"", "0af09f988001", "\"\xf0\x9f\x98\x80\\u0001\""},
    {FIXED, "\"ab\\u0080\"", "616280", "\"ab\xc2\x80\""},
    {ENUM, "\"B\"", "02", NULL},
    {"{\"type\":\"array\",\"items\":\"long\"}", "[3,27]", "04063600", NULL},
    {"{\"type\":\"array\",\"items\":\"long\"}", "[]", "00", NULL},
    {"{\"type\":\"map\",\"values\":\"int\"}", "{\"a\":1,\"\":2}",
     "040261020004"
     "00",
     NULL},
    {"[\"null\",\"string\"]", "null", "00", NULL},
    {"[\"null\",\"string\"]", "{\"string\":\"a\"}", "020261", NULL},
    {"[" ENUM "," FIXED "]", "{\"n.E\":\"A\"}", "0000", NULL},
    {"[" ENUM "," FIXED "]", "{\"n.F\":\"abc\"}", "02616263", NULL},
    {"[\"int\",{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"},{\"type\":\"array\","
     "\"items\":\"int\"}]",
     "{\"array\":[1]}", "04020200", NULL},
    {"{\"type\":\"record\",\"name\":\"test\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},"
     "{\"name\":\"b\",\"type\":\"string\"}]}",
     "{\"b\":\"foo\",\"a\":27}", "3606666f6f", "{\"a\":27,\"b\":\"foo\"}"},
    {LIST, "{\"v\":1,\"n\":{\"L\":{\"v\":2,\"n\":null}}}", "02020400", NULL},
};

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(round_trips); i++) {
        struct avro_schema *schema = schema_of(round_trips[i].schema);
        struct out datum;
        struct why why = {""};
        if (encode_into(&datum, schema, round_trips[i].json, &why)) {
            fail_msg("%s: %s", round_trips[i].json, why.text);
        }
        assert_string_equal(hex_of(out_slice(&datum)), round_trips[i].hex);
        const char *back = decoded(schema, out_slice(&datum));
        assert_string_equal(back, round_trips[i].back ? round_trips[i].back : round_trips[i].json);
        avro_schema_close(schema);
    }
}

static void test_encode_refused(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        const char *json;
        const char *why;
    } cases[] = {
        {"\"int\"", "", "line 1"},
        {"\"int\"", "1 2", "line 1, column 3"},
        {"\"null\"", "0", ": a number is no null"},
        {"\"boolean\"", "1", ": a number is no boolean"},
        {"\"int\"", "2147483648", ": 2147483648 is not within int"},
        {"\"int\"", "1.5", ": 1.5 is not within int"},
        {"\"int\"", "\"1\"", ": a string is no int"},
        {"\"long\"", "9223372036854775808", ": 9223372036854775808 is not"},
        {"\"float\"", "1e39", ": 1e39 is not within float"},
        {"\"double\"", "1e309", ": 1e309 is not within double"},
        {"\"double\"", "\"nan\"", ": a string is no double"},
        {"\"bytes\"", "\"\\u0100\"", ": bytes may hold"},
        {FIXED, "\"ab\"", ": 2 bytes where the fixed has 3"},
        {ENUM, "\"C\"", ": not a symbol"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "[1,{}]", "/1: an object is no int"},
        {"{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":[]}", "/k: an array is no int"},
        {"{\"type\":\"map\",\"values\":\"int\"}", "{\"a/b~\\n\":[]}", "/a~1b~0?: an array"},
        {"[\"null\",\"string\"]", "\"a\"", ": a string names no branch"},
        {"[\"null\",\"string\"]", "{\"int\":1}", ": an object names no branch"},
        {"[\"null\",\"string\"]", "{\"null\":null}", ": an object names no branch"},
        {"[\"null\",\"string\"]", "{\"string\":1}", "/string: a number is no string"},
        {"[" ENUM "]", "{\"E\":\"A\"}", ": an object names no branch"},
        {LIST, "{\"v\":1}", "/n: the field is missing"},
        {LIST, "{\"v\":1,\"n\":null,\"x\":0}", "/x: no such field"},
        {LIST, "{\"v\":1,\"n\":{\"L\":{\"v\":\"a\",\"n\":null}}}", "/n/L/v: a string is no int"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct avro_schema *schema = schema_of(cases[i].schema);
        struct out datum;
        struct why why = {""};
        if (encode_into(&datum, schema, cases[i].json, &why) == ERR_OK) {
            fail_msg("accepted: %s", cases[i].json);
        }
        assert_starts(why.text, cases[i].why);
        avro_schema_close(schema);
    }
    struct avro_schema *schema = schema_of("\"string\"");
    struct out small = out_over(datum_memory, 3);
    struct why why = {""};
    assert_int_equal(avro_encode_json(schema, SLICE("\"abc\""), &small, &why), ERR_FULL);
    avro_schema_close(schema);
}

static void test_decode_refused(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        const char *hex;
    } cases[] = {
        {"\"boolean\"", ""},
        {"\"boolean\"", "02"},
        {"\"int\"", "80"},
        {"\"int\"", "8080808010"}, /* 2^31 */
        {"\"long\"", "ffffffffffffffffffff01"},
        {"\"long\"", "ffffffffffffffffff02"},
        {"\"float\"", "000000"},
        {"\"double\"", "00000000000000"},
        {"\"bytes\"", "01"},
        {"\"bytes\"", "0441"},
        {"\"bytes\"", "feffffffffffffffff01"},
        {"\"string\"", "02ff"},
        {FIXED, "6162"},
        {ENUM, "04"},
        {ENUM, "01"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "02"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "0202"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "010202"}, /* size -1 ... */
        {"{\"type\":\"array\",\"items\":\"int\"}", "ffffffffffffffffff01"},
        {"{\"type\":\"array\",\"items\":\"null\"}", "feffffffffffffffff0100"},
        {"{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":\"null\"}}",
         "02feffffffffffffffff010000"},
        {"{\"type\":\"map\",\"values\":\"int\"}", "0202ff0200"},
        {"[\"null\",\"int\"]", "04"},
        {"[\"null\",\"int\"]", "01"},
        {LIST, "02020402"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\",\"type\":\"R\"}]}", "00"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct avro_schema *schema = schema_of(cases[i].schema);
        struct out datum = out_over(datum_memory, sizeof datum_memory);
        struct out text = out_over(text_memory, ROOM);
        struct why why = {""};
        hex_put(&datum, cases[i].hex);
        struct slice rest = out_slice(&datum);
        if (avro_skip(avro_schema_root(schema), &rest) != ERR_CORRUPT) {
            fail_msg("skipped: %s of %s", cases[i].hex, cases[i].schema);
        }
        assert_int_equal(rest.size, datum.size);
        enum err e = avro_decode_json(avro_schema_root(schema), &rest, &text, &why);
        assert_int_equal(e, ERR_CORRUPT);
        assert_int_equal(rest.size, datum.size);
        assert_starts(why.text, "byte ");
        avro_schema_close(schema);
    }
}

/* Of the many that there are one NaN is written, whatever the processor makes of it. */
static void test_one_nan(void **state)
{
    (void)state;
    static const uint64_t wide[] = {UINT64_C(0x7ff8000000000000), UINT64_C(0xfff8000000000000),
                                    UINT64_C(0x7ff4000000000001), UINT64_C(0x7fffffffffffffff)};
    static const uint32_t narrow[] = {UINT32_C(0x7fc00000), UINT32_C(0xffc00000),
                                      UINT32_C(0x7fa00001), UINT32_C(0x7fffffff)};
    for (size_t i = 0; i < ARRAY_COUNT(wide); i++) {
        double real;
        float small;
        struct out datum = out_over(datum_memory, sizeof datum_memory);
        memcpy(&real, &wide[i], sizeof real);
        memcpy(&small, &narrow[i], sizeof small);
        avro_put_double(&datum, real);
        avro_put_float(&datum, small);
        assert_string_equal(hex_of(out_slice(&datum)), "000000000000f87f0000c07f");
    }
}

/* Arrays and maps may come in several blocks, with or without their sizes. */
static void test_blocks(void **state)
{
    (void)state;
    struct avro_schema *schema = schema_of("{\"type\":\"array\",\"items\":\"int\"}");
    struct out datum = out_over(datum_memory, sizeof datum_memory);
    hex_put(&datum, "0202"
                    "0304"
                    "0406"
                    "0208"
                    "00");
    assert_string_equal(decoded(schema, out_slice(&datum)), "[1,2,3,4]");
    avro_schema_close(schema);
}

/* What the JSON reader takes can be decoded again, however deep; and deeper data end. */
static void test_depth(void **state)
{
    (void)state;
    struct avro_schema *schema = schema_of(LIST);
    struct out json = out_over(malloc(ROOM), ROOM);
    struct out datum;
    struct why why = {""};
    for (int i = 0; i < 31; i++) {
        out_put_text(&json, "{\"v\":1,\"n\":{\"L\":");
    }
    out_put_text(&json, "{\"v\":2,\"n\":null}");
    for (int i = 0; i < 31; i++) {
        out_put_text(&json, "}}");
    }
    out_put_byte(&json, 0);
    assert_int_equal(encode_into(&datum, schema, (char *)json.data, &why), ERR_OK);
    assert_string_equal(decoded(schema, out_slice(&datum)), (char *)json.data);
    datum.size = 0;
    for (int i = 0; i < 100000; i++) {
        hex_put(&datum, "0202");
    }
    struct slice rest = out_slice(&datum);
    assert_int_equal(avro_skip(avro_schema_root(schema), &rest), ERR_CORRUPT);
    free(json.data);
    avro_schema_close(schema);
}

/* --- numbers --- */

static void test_whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err e;
        int64_t value;
    } cases[] = {
        {"0", ERR_OK, 0},
        {"-0", ERR_OK, 0},
        {"0.000e5", ERR_OK, 0},
        {"1e18", ERR_OK, INT64_C(1000000000000000000)},
        {"1e19", ERR_REJECTED, 0},
        {"1e999999999999999999999", ERR_REJECTED, 0},
        {"0e999999999999999999999", ERR_OK, 0},
        {"1200e-2", ERR_OK, 12},
        {"1201e-2", ERR_REJECTED, 0},
        {"12.50", ERR_REJECTED, 0},
        {"12.00", ERR_OK, 12},
        {"9223372036854775807", ERR_OK, INT64_MAX},
        {"9223372036854775808", ERR_REJECTED, 0},
        {"-9223372036854775808", ERR_OK, INT64_MIN},
        {"-9223372036854775809", ERR_REJECTED, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t value = 0;
        assert_int_equal(number_to_long(slice_of_text(cases[i].text), &value), cases[i].e);
        assert_true(value == cases[i].value);
    }
    int64_t value;
    assert_int_equal(number_to_integer(SLICE("12.0"), &value), ERR_REJECTED);
    assert_int_equal(number_to_integer(SLICE("1e1"), &value), ERR_REJECTED);
    assert_int_equal(number_to_integer(SLICE("-12"), &value), ERR_OK);
    assert_true(value == -12);
}

static void test_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t precision;
        uint32_t scale;
        const char *hex; /* NULL: refused */
    } cases[] = {
        {"0", 4, 2, "00"},
        {"-0.00", 4, 2, "00"},
        {"1.27", 4, 2, "7f"},
        {"1.28", 4, 2, "0080"},
        {"-1.28", 4, 2, "80"},
        {"-1.29", 4, 2, "ff7f"},
        {"23.47", 4, 2, "092b"},
        {"-23.47", 4, 2, "f6d5"},
        {"99.99", 4, 2, "270f"},
        {"100.00", 4, 2, NULL},
        {"1.234", 4, 2, NULL},
        {"1.2300", 4, 2, "7b"},
        {"123e-2", 4, 2, "7b"},
        {"1.2e1", 4, 2, "04b0"},
        {"1e100", 4, 2, NULL},
        {"0.1", 4, 0, NULL},
        {"12", 2, 0, "0c"},
        {"123456789012345678901234567890", 30, 0, "018ee90ff6c373e0ee4e3f0ad2"},
        {"-123456789012345678901234567890", 30, 0, "fe7116f0093c8c1f11b1c0f52e"},
        {"340282366920938463463374607431768211456", 39, 0, "0100000000000000000000000000000000"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct out o = out_over(datum_memory, DECIMAL_SIZE_MAX);
        enum err e =
            number_to_decimal(slice_of_text(cases[i].text), cases[i].precision, cases[i].scale, &o);
        if (cases[i].hex) {
            assert_int_equal(e, ERR_OK);
            assert_string_equal(hex_of(out_slice(&o)), cases[i].hex);
        } else {
            assert_int_equal(e, ERR_REJECTED);
            assert_int_equal(o.size, 0);
        }
    }
    /* the largest that there may be, and one more digit */
    struct out o = out_over(datum_memory, DECIMAL_SIZE_MAX);
    assert_int_equal(number_to_decimal(SLICE("-9.99e499"), 100000, 0, &o), ERR_OK);
    assert_false(o.overflow);
    assert_int_equal(number_to_decimal(SLICE("1e500"), 100000, 0, &o), ERR_REJECTED);
}

static void test_decimals_back(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        uint32_t scale;
        const char *text;
    } cases[] = {
        {"", 0, "0"},
        {"", 2, "0.00"},
        {"00", 3, "0.000"},
        {"01", 0, "1"},
        {"01", 2, "0.01"},
        {"ff", 2, "-0.01"},
        {"04d2", 2, "12.34"},
        {"fb2e", 2, "-12.34"},
        {"80", 0, "-128"},
        {"80", 3, "-0.128"},
        {"0080", 1, "12.8"},
        {"ffffffffffffff85", 0, "-123"},
        {"7fffffffffffffff", 0, "9223372036854775807"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[600] = "";
        struct out bytes = out_over(datum_memory, sizeof datum_memory);
        struct out o = out_over(text, sizeof text - 1);
        hex_put(&bytes, cases[i].hex);
        assert_true(number_put_decimal(&o, out_slice(&bytes), cases[i].scale));
        assert_string_equal(text, cases[i].text);
    }
    static char text[1200];
    struct out o = out_over(text, sizeof text);
    memset(datum_memory, 0x80, DECIMAL_SIZE_MAX + 1); /* the lowest, and one byte more */
    assert_true(number_put_decimal(&o, (struct slice){datum_memory, DECIMAL_SIZE_MAX}, 500));
    assert_false(number_put_decimal(&o, (struct slice){datum_memory, DECIMAL_SIZE_MAX + 1}, 0));
    assert_false(number_put_decimal(&o, SLICE("1"), DECIMAL_DIGIT_MAX + 1));
}

#define DECIMAL "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}"

/* For readers that do not know Avro. */
static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        const char *hex;
        const char *text;
    } cases[] = {
        {"[\"null\",\"int\"]", "0204", "2"},
        {"[\"null\",\"int\"]", "00", "null"},
        {LIST, "0202040200", NULL},
        {LIST,
         "020204"
         "00",
         "{\"v\":1,\"n\":{\"v\":2,\"n\":null}}"},
        {"\"double\"", "000000000000f87f", "null"},
        {"\"float\"", "000080ff", "null"},
        {"\"double\"", "9a9999999999b93f", "0.1"},
        {"\"bytes\"", "06c2b043", "\"\u00b0C\""},
        {"\"bytes\"", "04ff41", "\"\u00ffA\""},
        {FIXED, "414222", "\"AB\\\"\""},
        {DECIMAL, "0404d2", "12.34"},
        {"[\"null\"," DECIMAL "]", "0204fb2e", "-12.34"},
        {ENUM, "02", "\"B\""},
        {"{\"type\":\"map\",\"values\":[\"null\",\"long\"]}",
         "0202610254"
         "00",
         "{\"a\":42}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct avro_schema *schema = schema_of(cases[i].schema);
        struct out datum = out_over(datum_memory, sizeof datum_memory);
        struct out text = out_over(text_memory, ROOM);
        hex_put(&datum, cases[i].hex);
        struct slice rest = out_slice(&datum);
        enum err e = avro_decode_plain(avro_schema_root(schema), &rest, &text, NULL);
        text_memory[text.size] = 0;
        if (cases[i].text) {
            assert_int_equal(e, ERR_OK);
            assert_int_equal(rest.size, 0);
            assert_string_equal(text_memory, cases[i].text);
        } else {
            assert_int_equal(e, ERR_CORRUPT);
            assert_int_equal(rest.size, datum.size);
        }
        avro_schema_close(schema);
    }
}

/* Every text reads back as the same bits, and has no digit too many. */
static void check_double(double value)
{
    char text[40] = "";
    double back;
    struct out o = out_over(text, sizeof text - 1);
    number_put_double(&o, value);
    assert_true(o.size <= 24);
    assert_int_equal(number_to_double(out_slice(&o), &back), ERR_OK);
    assert_memory_equal(&back, &value, sizeof value);
}

/* Short texts take a way of their own: strtod() is the judge. */
static void short_numbers_are_rounded_as_all_are(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "-0",
                                        "-0.0",
                                        "0.1",
                                        "-0.3",
                                        "9007199254740993",
                                        "9007199254740992",
                                        "900719925474.0993",
                                        "0.0000000000000001",
                                        "123456789012345678",
                                        "-12345678901234567",
                                        "1.7976931348623157"};
    uint64_t random = 88172645463325252;
    for (size_t i = 0; i < ARRAY_COUNT(texts) + 20000; i++) {
        char text[32];
        double value;
        int64_t whole = 0;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int digits = (int)(random >> 8 & 15);
        uint64_t front = random >> 12 >> (random & 63);
        (void)snprintf(text, sizeof text, "%s%" PRIu64 ".%0*u", random & 128 ? "-" : "", front,
                       digits % 9 + 1, (unsigned)(random >> 40) % 10);
        if (i < ARRAY_COUNT(texts)) {
            (void)snprintf(text, sizeof text, "%s", texts[i]);
        }
        double wanted = strtod(text, NULL);
        assert_int_equal(number_to_double(slice_of_text(text), &value), ERR_OK);
        assert_memory_equal(&value, &wanted, sizeof value);
        if (!strchr(text, '.')) {
            assert_int_equal(number_to_long(slice_of_text(text), &whole), ERR_OK);
            assert_true(whole == strtoll(text, NULL, 10));
        }
    }
}

static void check_float(float value)
{
    char text[40] = "";
    float back;
    struct out o = out_over(text, sizeof text - 1);
    number_put_float(&o, value);
    assert_int_equal(number_to_float(out_slice(&o), &back), ERR_OK);
    assert_memory_equal(&back, &value, sizeof value);
}

static void test_reals(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < 100000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t half = (uint32_t)random;
        double value;
        float small;
        memcpy(&value, &random, sizeof value);
        memcpy(&small, &half, sizeof small);
        if (isfinite(value)) {
            check_double(value);
        }
        if (isfinite(small)) {
            check_float(small);
        }
    }
    check_double(DBL_MIN);
    check_double(nextafter(DBL_MIN, 0));
    check_double(DBL_MAX);
    check_float(FLT_MIN);
    check_float(FLT_MAX);
}

/* --- texts of logical types --- */

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool local;
        bool good;
        int64_t seconds;
        uint32_t nanos;
    } cases[] = {
        {"1970-01-01T00:00:00Z", false, true, 0, 0},
        {"2026-03-01T12:34:56.789Z", false, true, 1772368496, 789000000},
        {"2026-03-01 12:34:56,789z", false, true, 1772368496, 789000000},
        {"2026-03-01t14:34:56.789000001+02:00", false, true, 1772368496, 789000001},
        {"2026-03-01T07:04:56-0530", false, true, 1772368496, 0},
        {"2026-03-01T14:34:56+02", false, true, 1772368496, 0},
        {"1969-12-31T23:59:59.5Z", false, true, -1, 500000000},
        {"2016-12-31T23:59:60Z", false, true, 1483228799, 0},
        {"2000-02-29T00:00Z", false, true, 951782400, 0},
        {"2026-03-01T12:34:56", true, true, 1772368496, 0},
        {"2026-03-01T12:34:56+02:00", true, true, 1772368496, 0},
        {"2026-03-01T12:34:56", false, false, 0, 0},
        {"2026-02-29T00:00:00Z", false, false, 0, 0},
        {"1900-02-29T00:00:00Z", false, false, 0, 0},
        {"2026-13-01T00:00:00Z", false, false, 0, 0},
        {"2026-01-32T00:00:00Z", false, false, 0, 0},
        {"2026-01-01T24:00:00Z", false, false, 0, 0},
        {"2026-01-01T00:60:00Z", false, false, 0, 0},
        {"2026-01-01T00:00:61Z", false, false, 0, 0},
        {"2026-01-01T00:00:00.Z", false, false, 0, 0},
        {"2026-01-01T00:00:00.1234567890Z", false, false, 0, 0},
        {"2026-01-01T00:00:00Z ", false, false, 0, 0},
        {"2026-01-01T00:00:00+2:00", false, false, 0, 0},
        {"2026-01-01T00:00:00+02:", false, false, 0, 0},
        {"2026-1-1T00:00:00Z", false, false, 0, 0},
        {"2026-01-01", false, false, 0, 0},
        {"", false, false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t seconds = 0;
        uint32_t nanos = 0;
        bool good =
            avro_timestamp_of(slice_of_text(cases[i].text), cases[i].local, &seconds, &nanos);
        if (good != cases[i].good || seconds != cases[i].seconds || nanos != cases[i].nanos) {
            fail_msg("%s: %d %lld %u", cases[i].text, good, (long long)seconds, nanos);
        }
    }
    int32_t days;
    int64_t nanos;
    assert_true(avro_date_of(SLICE("2026-03-01"), &days));
    assert_int_equal(days, 20513);
    assert_true(avro_date_of(SLICE("1969-12-31"), &days));
    assert_int_equal(days, -1);
    assert_false(avro_date_of(SLICE("2026-03-01T"), &days));
    assert_true(avro_time_of(SLICE("12:34:56.789"), &nanos));
    assert_true(nanos == INT64_C(45296789000000));
    assert_true(avro_time_of(SLICE("12:34"), &nanos));
    assert_false(avro_time_of(SLICE("12"), &nanos));
    assert_false(avro_time_of(SLICE("12:34:56Z"), &nanos));
    assert_true(avro_uuid_is(SLICE("f81d4fae-7dec-11D0-a765-00a0c91e6bf6")));
    assert_false(avro_uuid_is(SLICE("f81d4fae-7dec-11d0-a765-00a0c91e6bfg")));
    assert_false(avro_uuid_is(SLICE("f81d4fae7dec11d0a76500a0c91e6bf6")));
}

static void test_no_memory(void **state)
{
    (void)state;
    struct avro_schema *schema = schema_of(LIST);
    for (unsigned n = 1;; n++) {
        struct out datum;
        struct why why = {""};
        fault_alloc_set(n);
        enum err e =
            encode_into(&datum, schema, "{\"v\":1,\"n\":{\"L\":{\"v\":2,\"n\":null}}}", &why);
        bool happened = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, happened ? ERR_NOMEM : ERR_OK);
        if (!happened) {
            break;
        }
    }
    avro_schema_close(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_encode_refused),
        cmocka_unit_test(test_decode_refused),
        cmocka_unit_test(test_one_nan),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_decimals_back),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_reals),
        cmocka_unit_test(short_numbers_are_rounded_as_all_are),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
