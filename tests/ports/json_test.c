#include "ports/lib/json.h"

#include "tests/cmocka.h"

static struct slice text_slice(const char *text)
{
    return slice_of_text(text);
}

/* Reads the whole document; the error, ERR_CORRUPT when something follows. */
static enum err read_all(struct slice input, struct json_reader *reader)
{
    struct json_token token;
    enum err e;
    json_init(reader, input);
    do {
        e = json_next(reader, &token);
    } while (!e);
    if (e == ERR_CLOSED) {
        return json_end(reader) == input.size ? ERR_OK : ERR_CORRUPT;
    }
    assert_int_equal(json_next(reader, &token), e); /* sticky */
    assert_true(reader->why.text[0] != 0);
    return e;
}

static void test_accepts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        " 1 ",
        "\t\n\r 1",
        "-0.0",
        "1e1",
        "1E+400",
        "1e-999999999",
        "0e0",
        "1.5e3",
        "123456789012345678901234567890123456789012345678901234567890.5",
        "null",
        "true",
        "false",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uD83D\\uDE00\"",
        "\"\xc3\xa9\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\x7f\"",
        "\"\xef\xbf\xbf\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        "{\"a\":1}",
        "{ \"a\" : 1 , \"b\" : [ { } ] }",
        "[[],{}]",
        "{\"\":0}",
        "{\"a\":{\"a\":{\"a\":1}}}",
        "[{\"a\":1},{\"a\":2}]",
        "{\"a\":[{\"b\":1},{\"b\":1}],\"b\":2}",
        "[null,true,false,0,\"\"]",
        "\"long enough for several words of eight bytes each\"",
        "\"a slash\\\\ at any place \\\" of the eight bytes\"",
    };
    struct json_reader reader;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (read_all(text_slice(texts[i]), &reader)) {
            fail_msg("%s: %s", texts[i], reader.why.text);
        }
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "\xef\xbb\xbf"
        "1",
        "nul",
        "nulL",
        "True",
        "tru",
        "NaN",
        "Infinity",
        "-Infinity",
        "undefined",
        "01",
        "-01",
        "-",
        "+1",
        "1.",
        ".5",
        "1.e1",
        "1e",
        "1e+",
        "1e1.5",
        "0x1",
        "1_0",
        "--1",
        "00",
        "-a",
        "1 2",
        "1,",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[,]",
        "[1 2]",
        "[1}",
        "{]",
        "[1]]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\",1}",
        "{a:1}",
        "{1:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1]",
        "{null:1}",
        "'a'",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\",
        "\"\\u",
        "\"\\u00",
        "\"\\u00g0\"",
        "\"\\x41\"",
        "\"\\a\"",
        "\"\\U0041\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud83d\\ude0\"",
        "\"\\udc00\\ud800\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\"1234567\x1f\"",
        "\"12345678\n\"",
        "\"\x80\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xc3\"",
        "\"\xc3(\"",
        "\"\xe0\x80\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",
        "\"\xf0\x80\x80\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"abcdefgh\xff"
        "abcdefgh\"",
        "{\"\xff\":1}",
        "// a\n1",
        "/**/1",
        "1 //",
        "\f1",
        "\v1",
        "\xc2\xa0"
        "1",
    };
    struct json_reader reader;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (read_all(text_slice(texts[i]), &reader) != ERR_CORRUPT) {
            fail_msg("accepted: %s", texts[i]);
        }
    }
    static const uint8_t nul_inside[] = {'"', 'a', 0, 'b', '"'};
    static const uint8_t nul_behind[] = {'1', 0};
    static const uint8_t nul_first[] = {0};
    assert_int_equal(read_all((struct slice){nul_inside, 5}, &reader), ERR_CORRUPT);
    assert_int_equal(reader.error_offset, 2);
    assert_int_equal(read_all((struct slice){nul_behind, 2}, &reader), ERR_CORRUPT);
    assert_int_equal(read_all((struct slice){nul_first, 1}, &reader), ERR_CORRUPT);
    assert_int_equal(read_all((struct slice){NULL, 0}, &reader), ERR_CORRUPT);
}

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        enum json_kind kind;
        const char *text;
        size_t offset;
    } wanted[] = {
        {JSON_OBJECT_BEGIN, "{", 1}, {JSON_KEY, "a", 2},         {JSON_ARRAY_BEGIN, "[", 7},
        {JSON_NUMBER, "-1.50", 8},   {JSON_TRUE, "true", 14},    {JSON_FALSE, "false", 19},
        {JSON_NULL, "null", 25},     {JSON_ARRAY_END, "]", 29},  {JSON_KEY, "\\u0062", 31},
        {JSON_STRING, "x", 40},      {JSON_OBJECT_END, "}", 43},
    };
    struct slice input = text_slice(" {\"a\" :[-1.50,true,false,null],\"\\u0062\":\"x\"} tail");
    struct json_reader reader;
    struct json_token token;
    json_init(&reader, input);
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        assert_int_equal(json_next(&reader, &token), ERR_OK);
        assert_int_equal(token.kind, wanted[i].kind);
        assert_true(slice_equal_text(token.text, wanted[i].text));
        assert_int_equal(token.offset, wanted[i].offset);
        assert_int_equal(token.has_escapes, i == 8);
    }
    assert_int_equal(json_next(&reader, &token), ERR_CLOSED);
    assert_int_equal(json_next(&reader, &token), ERR_CLOSED);
    assert_int_equal(json_end(&reader), 45);
}

static void test_unescapes(void **state)
{
    (void)state;
    struct slice input = text_slice("\"a\\u00e9\\n\\ud83d\\ude00\\u0000\\\\\\u20AC\"");
    struct json_reader reader;
    struct json_token token;
    uint8_t memory[64];
    struct slice text;
    json_init(&reader, input);
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    struct out small = out_over(memory, token.text.size - 1);
    assert_int_equal(json_string(&token, &small, &text), ERR_FULL);
    struct out scratch = out_over(memory, sizeof memory);
    assert_int_equal(json_string(&token, &scratch, &text), ERR_OK);
    static const char wanted[] = "a\xc3\xa9\n\xf0\x9f\x98\x80\0\\\xe2\x82\xac";
    assert_true(slice_equal(text, (struct slice){(const uint8_t *)wanted, sizeof wanted - 1}));
    json_init(&reader, text_slice("\"plain\""));
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    assert_int_equal(json_string(&token, &small, &text), ERR_OK);
    assert_true(slice_equal_text(text, "plain"));
    /* And of a value as it is written. */
    scratch.size = 0;
    assert_int_equal(json_plain(SLICE("\"a\\tb\""), &scratch, &text), ERR_OK);
    assert_true(slice_equal(text, SLICE("a\tb")));
    assert_int_equal(json_plain(SLICE("-1.50"), &scratch, &text), ERR_OK);
    assert_true(slice_equal(text, SLICE("-1.50")));
    assert_int_equal(json_plain(SLICE("\"\""), &small, &text), ERR_OK);
    assert_int_equal(text.size, 0);
    small.size = small.size_max;
    assert_int_equal(json_plain(SLICE("\"\\n\""), &small, &text), ERR_FULL);
}

static void test_skips(void **state)
{
    (void)state;
    struct json_reader reader;
    struct json_token token;
    struct slice text;
    json_init(&reader, text_slice("[ {\"a\":[1,2,{}]} , 7 ,\"x\" ]"));
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    static const char *const wanted[] = {"{\"a\":[1,2,{}]}", "7", "\"x\""};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(json_skip(&reader, &text), ERR_OK);
        assert_true(slice_equal_text(text, wanted[i]));
    }
    assert_int_equal(json_skip(&reader, &text), ERR_CLOSED);
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    assert_int_equal(token.kind, JSON_ARRAY_END);
    assert_int_equal(json_skip(&reader, &text), ERR_CLOSED);
    json_init(&reader, text_slice("[]"));
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    assert_int_equal(json_skip(&reader, &text), ERR_CLOSED);
    json_init(&reader, text_slice("[1,]"));
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    assert_int_equal(json_skip(&reader, &text), ERR_OK);
    assert_int_equal(json_skip(&reader, &text), ERR_CORRUPT);
    json_init(&reader, text_slice("{\"a\": [1] }"));
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    assert_int_equal(json_skip(&reader, &text), ERR_OK);
    assert_true(slice_equal_text(text, "[1]"));
}

static void test_members(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":1.5,\n \"long_key_\" : \"\xc3\xa9\", \"\\u0062\":[{\"a\":2}] ,"
        "\"\":\"a\\\"b\",\"t\":true,\"n\":-0e1}7";
    static const char *const wanted[][2] = {{"a", "1.5"},         {"long_key_", "\"\xc3\xa9\""},
                                            {"b", "[{\"a\":2}]"}, {"", "\"a\\\"b\""},
                                            {"t", "true"},        {"n", "-0e1"}};
    static const char *const wrong[] = {
        "{\"a\":1,}",       "{,\"a\":1}",        "{\"a\":01}",
        "{\"a\" 1}",        "{\"a\":1 \"b\":2}", "{\"a\":1,\"a\":1}",
        "{\"a\":\"\x01\"}", "{\"a\":1",          "{\"a\":\"\xff\"}"};
    uint8_t memory[64];
    struct out scratch = out_over(memory, sizeof memory);
    struct json_reader reader;
    struct json_token token;
    struct slice key, value;
    json_init(&reader, text_slice(text));
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        assert_int_equal(json_member(&reader, &scratch, &key, &value), ERR_OK);
        assert_true(slice_equal_text(key, wanted[i][0]));
        assert_true(slice_equal_text(value, wanted[i][1]));
    }
    assert_int_equal(json_member(&reader, &scratch, &key, &value), ERR_CLOSED);
    assert_int_equal(json_end(&reader), sizeof text - 2);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        enum err e;
        json_init(&reader, text_slice(wrong[i]));
        assert_int_equal(json_next(&reader, &token), ERR_OK);
        while (!(e = json_member(&reader, &scratch, &key, &value))) {
        }
        assert_int_equal(e, ERR_CORRUPT);
        assert_true(reader.why.text[0] != 0);
        assert_int_equal(json_member(&reader, &scratch, &key, &value), ERR_CORRUPT); /* sticky */
    }
    scratch = out_over(memory, 2);
    json_init(&reader, text_slice("{\"\\u0062\":1}"));
    assert_int_equal(json_next(&reader, &token), ERR_OK);
    assert_int_equal(json_member(&reader, &scratch, &key, &value), ERR_FULL);
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * (JSON_DEPTH_MAX + 1) + 1];
    struct json_reader reader;
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = 0;
        assert_int_equal(read_all(text_slice(text), &reader),
                         depth <= JSON_DEPTH_MAX ? ERR_OK : ERR_REJECTED);
    }
    assert_int_equal(reader.error_offset, JSON_DEPTH_MAX);
}

static void test_duplicates(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"\\u0061\":1,\"a\":2}",
        "{\"\":1,\"\":2}",
        "{\"a\":{\"b\":1,\"b\":1}}",
        "{\"a\":{\"x\":1},\"b\":[{\"y\":1}],\"a\":2}",
        "[{},{\"k\":1,\"k\":1}]",
        "{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}",
        ("{\"much longer than a word \\\\ of eight\":1,\"\\u006duch longer than a word \\u005c of "
         "eight\":2}"),
    };
    struct json_reader reader;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (read_all(text_slice(texts[i]), &reader) != ERR_CORRUPT) {
            fail_msg("accepted: %s", texts[i]);
        }
        assert_non_null(strstr(reader.why.text, "has already"));
    }
}

#define MANY_SIZE_MAX (512 * 1024)

/* An object with `count` keys, each with a nested value that has the same names inside; `twice`
 * comes again at the end. */
static struct slice many_keys(char *memory, unsigned count, int twice)
{
    struct out text = out_over(memory, MANY_SIZE_MAX);
    out_put_text(&text, "{");
    for (unsigned i = 0; i < count; i++) {
        out_put_format(&text, "%s\"key_%u\":{\"key_0\":[\"key_1,{\\\"\"]}", i ? "," : "", i);
    }
    if (twice >= 0) {
        out_put_format(&text, ",\"\\u006bey_%d\":0", twice);
    }
    out_put_text(&text, "}");
    assert_false(text.overflow);
    return out_slice(&text);
}

static void test_many_keys(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 63, 127, 128, 129, 300, 1000, JSON_KEY_MAX - 2};
    char *memory = malloc(MANY_SIZE_MAX);
    assert_non_null(memory);
    struct json_reader reader;
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        unsigned count = counts[i];
        assert_int_equal(read_all(many_keys(memory, count, -1), &reader), ERR_OK);
        assert_true(reader.rescanned < JSON_RESCAN_MAX / 2);
        for (unsigned twice = 0; twice < count; twice += count / 7 + 1) {
            assert_int_equal(read_all(many_keys(memory, count, (int)twice), &reader), ERR_CORRUPT);
            assert_non_null(strstr(reader.why.text, "has already"));
        }
        assert_int_equal(read_all(many_keys(memory, count, (int)count - 1), &reader), ERR_CORRUPT);
    }
    assert_int_equal(read_all(many_keys(memory, JSON_KEY_MAX + 1, -1), &reader), ERR_REJECTED);
    free(memory);
}

static void test_filter_is_emptied(void **state)
{
    (void)state;
    char *memory = malloc(MANY_SIZE_MAX);
    assert_non_null(memory);
    struct out text = out_over(memory, MANY_SIZE_MAX);
    out_put_text(&text, "[");
    for (unsigned object = 0; object < 40; object++) {
        out_put_text(&text, object ? ",{" : "{");
        for (unsigned i = 0; i < 400; i++) {
            out_put_format(&text, "%s\"k%u\":%u", i ? "," : "", i, object);
        }
        out_put_text(&text, "}");
    }
    out_put_text(&text, "]");
    struct json_reader reader;
    assert_false(text.overflow);
    assert_int_equal(read_all(out_slice(&text), &reader), ERR_OK);
    assert_true(reader.rescanned < 100000);
    free(memory);
}

static void test_place(void **state)
{
    (void)state;
    unsigned line;
    unsigned column;
    struct slice input = text_slice("ab\ncd\n");
    json_place(input, 0, &line, &column);
    assert_true(line == 1 && column == 1);
    json_place(input, 4, &line, &column);
    assert_true(line == 2 && column == 2);
    json_place(input, 100, &line, &column);
    assert_true(line == 3 && column == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_unescapes),
        cmocka_unit_test(test_skips),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_filter_is_emptied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
