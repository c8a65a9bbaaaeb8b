/* What is kept beside the bytes of a set-aside event comes back, within its bounds. */
#include "agent/aside_head.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/cmocka.h"

static uint8_t memory[ASIDE_HEAD_SIZE_MAX];
static struct field taken[EVENT_FIELD_MAX];

static struct slice put(const struct aside_head *head)
{
    struct out o = out_over(memory, sizeof memory);
    aside_head_put(head, &o);
    assert_false(o.overflow);
    return out_slice(&o);
}

static void test_an_event_comes_back(void **state)
{
    (void)state;
    const struct field fields[] = {
        {SLICE("nothing"), {.kind = VALUE_NULL}},
        {SLICE("yes"), {.kind = VALUE_BOOL, .as.boolean = true}},
        {SLICE("low"), {.kind = VALUE_INT, .as.integer = INT64_MIN}},
        {SLICE("real"), {.kind = VALUE_DOUBLE, .as.real = -0.5}},
        {SLICE("number"), {.kind = VALUE_NUMBER, .as.text = SLICE("1e400")}},
        {SLICE("text"), {.kind = VALUE_TEXT, .as.text = SLICE("\xc3\xa4")}},
        {SLICE(""), {.kind = VALUE_BYTES, .as.text = SLICE("\0\xff")}}};
    const struct aside_head head = {.trust = TIME_BOOT,
                                    .time_us = -7,
                                    .boot = UINT32_MAX,
                                    .is_unusable = true,
                                    .body_kind = BODY_RAW,
                                    .driver = SLICE("plc"),
                                    .subject = SLICE("a/b/c"),
                                    .fields = fields,
                                    .field_count = ARRAY_COUNT(fields)};
    struct aside_head again;
    assert_true(aside_head_take(put(&head), &again, taken));
    assert_int_equal(again.trust, TIME_BOOT);
    assert_int_equal(again.time_us, -7);
    assert_int_equal(again.boot, UINT32_MAX);
    assert_true(again.is_unusable);
    assert_false(again.is_complete);
    assert_false(again.fields_are_lost);
    assert_int_equal(again.body_kind, BODY_RAW);
    assert_true(slice_equal_text(again.driver, "plc"));
    assert_true(slice_equal_text(again.subject, "a/b/c"));
    assert_int_equal(again.field_count, ARRAY_COUNT(fields));
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        assert_true(slice_equal(taken[i].name, fields[i].name));
        assert_int_equal(taken[i].value.kind, fields[i].value.kind);
    }
    assert_true(taken[1].value.as.boolean);
    assert_int_equal(taken[2].value.as.integer, INT64_MIN);
    assert_true(taken[3].value.as.real <= -0.5 && taken[3].value.as.real >= -0.5);
    assert_true(slice_equal_text(taken[4].value.as.text, "1e400"));
    assert_true(slice_equal(taken[5].value.as.text, SLICE("\xc3\xa4")));
    assert_true(slice_equal(taken[6].value.as.text, SLICE("\0\xff")));
}

static void test_what_is_too_large(void **state)
{
    (void)state;
    static uint8_t large[ASIDE_HEAD_SIZE_MAX];
    struct aside_head again;
    const struct field field = {SLICE("f"), {.kind = VALUE_BYTES, .as.text = {large, 8000}}};
    const struct field fields[] = {field, field, field};
    struct aside_head head = {
        .trust = TIME_WALL, .subject = {large, sizeof large}, .fields = fields, .field_count = 2};
    assert_true(aside_head_take(put(&head), &again, taken));
    assert_int_equal(again.subject.size, EVENT_SUBJECT_SIZE_MAX);
    assert_int_equal(again.field_count, 2);
    assert_false(again.fields_are_lost);
    head.field_count = 3;
    assert_true(aside_head_take(put(&head), &again, taken));
    assert_int_equal(again.field_count, 0);
    assert_true(again.fields_are_lost);
}

static void test_no_head(void **state)
{
    (void)state;
    const struct field field = {SLICE("f"), {.kind = VALUE_BOOL, .as.boolean = true}};
    const struct aside_head head = {.trust = TIME_WALL,
                                    .driver = SLICE("d"),
                                    .subject = SLICE("s"),
                                    .fields = &field,
                                    .field_count = 1};
    struct aside_head again;
    struct slice good = put(&head);
    uint8_t copy[64];
    assert_true(good.size < sizeof copy);
    for (size_t size = 0; size < good.size; size++) {
        assert_false(aside_head_take((struct slice){good.data, size}, &again, taken));
    }
    memcpy(copy, good.data, good.size);
    struct slice bad = {copy, good.size};
    copy[0] = 2; /* a later version */
    assert_false(aside_head_take(bad, &again, taken));
    copy[0] = 1;
    copy[good.size - 1] = 2; /* neither true nor false */
    assert_false(aside_head_take(bad, &again, taken));
    copy[good.size - 1] = 0;
    copy[good.size] = 0; /* more behind it */
    bad.size++;
    assert_false(aside_head_take(bad, &again, taken));
    bad.size--;
    assert_true(aside_head_take(bad, &again, taken));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_event_comes_back),
        cmocka_unit_test(test_what_is_too_large),
        cmocka_unit_test(test_no_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
