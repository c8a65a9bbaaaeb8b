/* Errors, slices and dates: what everything else is built of. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "ports/clock.h"
#include "ports/err.h"
#include "ports/probe.h"
#include "ports/random.h"
#include "ports/slice.h"
#include "tests/cmocka.h"

static void integers_come_back(void **state)
{
    (void)state;
    static const uint64_t values[] = {
        0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX, 1ULL << 63, 0x0123456789abcdef};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        uint64_t value = values[i];
        uint8_t memory[128];
        struct out o = out_over(memory, sizeof memory);
        out_put_u16_be(&o, (uint16_t)value);
        out_put_u32_be(&o, (uint32_t)value);
        out_put_u64_be(&o, value);
        out_put_u16_le(&o, (uint16_t)value);
        out_put_u32_le(&o, (uint32_t)value);
        out_put_u64_le(&o, value);
        out_put_uvarint(&o, value);
        out_put_varint(&o, (int64_t)value);
        assert_false(o.overflow);
        struct slice s = out_slice(&o);
        uint16_t u16 = 0;
        uint32_t u32 = 0;
        uint64_t u64 = 0;
        int64_t i64 = 0;
        assert_true(slice_take_u16_be(&s, &u16) && u16 == (uint16_t)value);
        assert_true(slice_take_u32_be(&s, &u32) && u32 == (uint32_t)value);
        assert_true(slice_take_u64_be(&s, &u64) && u64 == value);
        assert_true(slice_take_u16_le(&s, &u16) && u16 == (uint16_t)value);
        assert_true(slice_take_u32_le(&s, &u32) && u32 == (uint32_t)value);
        assert_true(slice_take_u64_le(&s, &u64) && u64 == value);
        assert_true(slice_take_uvarint(&s, &u64) && u64 == value);
        assert_true(slice_take_varint(&s, &i64) && i64 == (int64_t)value);
        assert_int_equal(s.size, 0);
        assert_false(slice_take_uvarint(&s, &u64));
    }
}

/* Golden bytes: Avro's specification, "Primitive types", and Kafka's varints are the same. */
static void varints_have_the_bytes_of_avro(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *bytes;
        size_t size;
    } cases[] = {{0, "\x00", 1},
                 {-1, "\x01", 1},
                 {1, "\x02", 1},
                 {-2, "\x03", 1},
                 {-64, "\x7f", 1},
                 {64, "\x80\x01", 2},
                 {8192, "\x80\x80\x01", 3},
                 {INT64_MIN, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t memory[10];
        struct out o = out_over(memory, sizeof memory);
        out_put_varint(&o, cases[i].value);
        assert_int_equal(o.size, cases[i].size);
        assert_memory_equal(memory, cases[i].bytes, cases[i].size);
    }
    static const char *const bad[] = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                                      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x80"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct slice s = slice_of_text(bad[i]);
        struct slice before = s;
        uint64_t value = 7;
        assert_false(slice_take_uvarint(&s, &value));
        assert_true(s.data == before.data && s.size == before.size && value == 7);
    }
}

static void an_out_overflows_and_stays_so(void **state)
{
    (void)state;
    uint8_t memory[4];
    struct out o = out_over(memory, sizeof memory);
    out_put_text(&o, "abc");
    out_put_u16_be(&o, 1);
    assert_true(o.overflow);
    assert_int_equal(o.size, 3);
    out_put_byte(&o, 'd');
    out_put_format(&o, "%s", "");
    assert_int_equal(o.size, 3);
    assert_true(o.overflow);
}

static void utf8_is_checked_as_rfc_3629_says(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe1\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xfe",
                                      "a\xc2z"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_true(slice_is_utf8(slice_of_text(good[i])));
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(slice_is_utf8(slice_of_text(bad[i])));
    }
    char text[32];
    for (size_t at = 0; at < sizeof text; at++) { /* wherever it stands in plain text */
        memset(text, 'a', sizeof text);
        assert_true(slice_is_utf8((struct slice){(const uint8_t *)text, at}));
        text[at] = '\x80';
        assert_false(slice_is_utf8((struct slice){(const uint8_t *)text, sizeof text}));
    }
}

static void whole_numbers_are_written_in_digits(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 9, 10, 12345, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        char text[24] = "";
        char wanted[24];
        struct out o = out_over(text, sizeof text - 1);
        out_put_number(&o, values[i]);
        (void)snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)values[i]);
        assert_string_equal(text, wanted);
    }
    uint8_t little[2];
    struct out o = out_over(little, sizeof little);
    out_put_number(&o, 123);
    assert_true(o.overflow && o.size == 0);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    char text[128];
    struct out o = out_over(text, sizeof text);
    out_put_json(&o, SLICE("a\"\\\n\t\x01\xff\xc3\xa9"));
    out_put_byte(&o, 0);
    assert_string_equal(text, "\"a\\\"\\\\\\n\\t\\u0001\xef\xbf\xbd\xc3\xa9\"");
}

static void slices_compare_like_words(void **state)
{
    (void)state;
    char text[4];
    assert_true(slice_compare(SLICE("a"), SLICE("ab")) < 0);
    assert_true(slice_compare(SLICE("b"), SLICE("ab")) > 0);
    assert_int_equal(slice_compare(SLICE(""), SLICE("")), 0);
    assert_true(slice_starts_with(SLICE("abc"), SLICE("ab")));
    assert_false(slice_starts_with(SLICE("a"), SLICE("ab")));
    assert_true(slice_to_text(SLICE("abc"), text, sizeof text));
    assert_false(slice_to_text(SLICE("abcd"), text, sizeof text));
    assert_false(slice_to_text(SLICE("a\0b"), text, sizeof text));
    assert_string_equal(text, "");
}

static void a_reason_grows_outwards_and_is_cut(void **state)
{
    (void)state;
    struct why why = {.text = ""};
    why_set(&why, "no device at %s", "/dev/x");
    why_add(&why, "opening %d", 7);
    assert_string_equal(why.text, "opening 7: no device at /dev/x");
    for (int i = 0; i < 100; i++) {
        why_add(&why, "a layer above");
    }
    assert_int_equal(strlen(why.text), WHY_SIZE_MAX - 1);
    assert_string_equal(why.text + WHY_SIZE_MAX - 4, "...");
    why_set(NULL, "nothing");
    for (int e = 0; e < ERR_COUNT; e++) {
        assert_true(err_name((enum err)e)[0]);
    }
    assert_int_equal(err_of_errno(ENOSPC), ERR_NOSPACE);
    assert_int_equal(err_of_errno(EROFS), ERR_READONLY);
    assert_int_equal(err_of_errno(ECONNREFUSED), ERR_CLOSED);
    assert_int_equal(err_of_errno(EIO), ERR_IO);
}

/* Against libc, over twenty thousand years and around every turn of a month. */
static void dates_agree_with_libc(void **state)
{
    (void)state;
    for (int64_t days = -3000000; days < 4000000; days += 37) {
        time_t seconds = (time_t)(days * 86400 + random_below(86400));
        struct tm t;
        assert_non_null(gmtime_r(&seconds, &t));
        struct civil c;
        clock_civil((int64_t)seconds * 1000000 + 123456, &c);
        assert_int_equal(c.year, t.tm_year + 1900);
        assert_int_equal(c.month, t.tm_mon + 1);
        assert_int_equal(c.day, t.tm_mday);
        assert_int_equal(c.hour, t.tm_hour);
        assert_int_equal(c.minute, t.tm_min);
        assert_int_equal(c.second, t.tm_sec);
        assert_int_equal(c.weekday, t.tm_wday);
        assert_int_equal(c.microsecond, 123456);
        assert_int_equal(clock_days(c.year, c.month, c.day), days);
    }
    char text[CLOCK_TEXT_SIZE];
    clock_format(-1, 6, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
    clock_format(INT64_C(951782400000000), 0, text);
    assert_string_equal(text, "2000-02-29T00:00:00Z");
    clock_format(INT64_C(951782400123456), 3, text);
    assert_string_equal(text, "2000-02-29T00:00:00.123Z");
    clock_format(INT64_MAX, 3, text);
    assert_string_equal(text, "");
    clock_format(INT64_MIN, 3, text);
    assert_string_equal(text, "");
}

static void chance_stays_below(void **state)
{
    (void)state;
    unsigned seen[3] = {0, 0, 0};
    for (int i = 0; i < 3000; i++) {
        seen[random_below(3)]++;
        assert_int_equal(random_below(1), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(seen[i], 700, 1300);
    }
}

static void probe_told(void *context, const struct probe_finding *finding)
{
    *(struct probe_finding *)context = *finding;
}

static void certificates_that_end_are_told(void **state)
{
    (void)state;
    struct probe_finding told = {.level = PROBE_OK};
    struct probe_setup setup = {.context = &told, .found = probe_told};
    const int64_t now_s = 1800000000;
    assert_false(probe_found_end(&setup, "tls", "it", now_s + 14 * 86400, now_s));
    assert_int_equal(told.what[0], '\0');
    assert_true(probe_found_end(&setup, "tls", "it", now_s + 14 * 86400 - 1, now_s));
    assert_int_equal(told.level, PROBE_WARNING);
    assert_string_equal(told.option, "tls");
    assert_string_equal(told.what, "it");
    assert_string_equal(told.why.text, "it expires on 2027-01-29T07:59:59Z, in 13 days: renew it");
    assert_true(probe_found_end(&setup, "tls", "it", now_s - 1, now_s));
    assert_int_equal(told.level, PROBE_ERROR);
    assert_non_null(strstr(told.why.text, "has expired on 2027-01-15T07:59:59Z"));
    char text[32];
    static const struct {
        int64_t ms;
        const char *text;
    } durations[] = {{0, "0 ms"},      {1999, "1999 ms"},  {2000, "2 s"},     {3600000, "60 min"},
                     {7200000, "2 h"}, {86400000, "24 h"}, {604800000, "7 d"}};
    for (size_t i = 0; i < ARRAY_COUNT(durations); i++) {
        probe_duration(durations[i].ms, text);
        assert_string_equal(text, durations[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_come_back),
        cmocka_unit_test(varints_have_the_bytes_of_avro),
        cmocka_unit_test(an_out_overflows_and_stays_so),
        cmocka_unit_test(utf8_is_checked_as_rfc_3629_says),
        cmocka_unit_test(whole_numbers_are_written_in_digits),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(slices_compare_like_words),
        cmocka_unit_test(a_reason_grows_outwards_and_is_cut),
        cmocka_unit_test(dates_agree_with_libc),
        cmocka_unit_test(chance_stays_below),
        cmocka_unit_test(certificates_that_end_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
