/* The wear of the flash: counted a day, foretold, held to a bound. */
#include <string.h>

#include "agent/wear.h"
#include "tests/cmocka.h"

#define TODAY 20786 /* 2026-11-29 */

static void days_are_counted_apart(void **state)
{
    (void)state;
    struct wear_history h = {0};
    struct wear_count one = {4096, 1, 1, 10, 400};
    uint32_t days;
    wear_history_add(&h, TODAY, &one);
    wear_history_add(&h, TODAY, &one);
    wear_history_add(&h, TODAY - 3, &one);
    wear_history_add(&h, 0, &one); /* the day is not known */
    assert_int_equal(h.total.bytes, 4 * 4096);
    assert_int_equal(h.total.event_bytes, 1600);
    struct wear_count before = wear_history_before(&h, TODAY, &days);
    assert_int_equal(days, 1);
    assert_int_equal(before.syncs, 1);
    before = wear_history_before(&h, TODAY + 1, &days);
    assert_int_equal(days, 2);
    assert_int_equal(before.events, 30);
    wear_history_add(&h, TODAY + WEAR_DAY_MAX, &one); /* takes the place of today */
    before = wear_history_before(&h, TODAY + WEAR_DAY_MAX, &days);
    assert_int_equal(days, 0); /* and the other one is too old */
    assert_int_equal(h.total.commits, 5);
    struct wear_count since = wear_count_since(&h.total, &one);
    assert_int_equal(since.bytes, 4 * 4096);
}

static void counts_come_back_from_cursors(void **state)
{
    (void)state;
    struct wear_history h = {0};
    struct wear_history read = {0};
    const struct wear_count more = {UINT64_MAX / 3, 2, 3, 4, UINT64_C(1) << 62};
    wear_history_add(&h, TODAY, &more);
    for (uint32_t key = 0; key <= WEAR_DAY_MAX; key++) {
        uint8_t memory[WEAR_VALUE_MAX];
        struct out o = out_over(memory, sizeof memory);
        wear_value_put(&h, key, &o);
        assert_false(o.overflow);
        bool is_day = key == 1 + TODAY % WEAR_DAY_MAX;
        assert_int_equal(wear_value_take(&read, key, out_slice(&o)), key == 0 || is_day);
        for (size_t cut = 0; cut < o.size; cut++) {
            assert_false(wear_value_take(&read, key, (struct slice){memory, cut}));
        }
        if (is_day) {
            assert_false(wear_value_take(&read, key + 1, out_slice(&o)));
            assert_false(wear_value_take(&read, 0, out_slice(&o)));
        }
    }
    assert_false(wear_value_take(&read, WEAR_DAY_MAX + 1, SLICE("\x01\x01\x01\x01\x01\x01")));
    assert_memory_equal(&read, &h, sizeof h);
}

/* The figures of a card of 8 GB, 3000 cycles: 10 events a second of 40 bytes. */
static void the_life_is_foretold(void **state)
{
    (void)state;
    const struct wear_count day = {.events = 864000, .event_bytes = 864000 * 40};
    const struct wear_medium small = {INT64_C(8000000000), 3000, 4096};
    const struct wear_medium card = {INT64_C(8000000000), 3000, 16384};
    struct wear_count slow = wear_foretell(&day, 5000);
    struct wear_count fast = wear_foretell(&day, 250);
    assert_int_equal(slow.commits, 17280);
    assert_int_equal(fast.commits, 345600);
    assert_in_range(slow.bytes, 220000000, 270000000);
    assert_in_range(fast.bytes, 2800000000, 3500000000);
    assert_in_range((uint64_t)wear_life_years(&small, &slow), 240, 300);
    assert_in_range((uint64_t)wear_life_years(&card, &slow), 120, 150);
    assert_in_range((uint64_t)wear_life_years(&card, &fast), 7, 10);
    assert_true(wear_life_years(&(struct wear_medium){0}, &fast) == 0);
    assert_true(wear_life_years(&card, &(struct wear_count){0}) == 0);
    /* No more commits than events, no fewer than full batches. */
    struct wear_count few =
        wear_foretell(&(struct wear_count){.events = 5, .event_bytes = 50}, 250);
    assert_int_equal(few.commits, 5);
    struct wear_count many = wear_foretell(
        &(struct wear_count){.events = 1000000, .event_bytes = UINT64_C(65536) * 90000}, 60000);
    assert_int_equal(many.commits, 90000);
}

/* What was measured scales what is foretold. */
static void a_measured_day_is_believed(void **state)
{
    (void)state;
    struct wear_count day = {.events = 864000, .event_bytes = 864000 * 40};
    struct wear_count model = wear_foretell(&day, 5000);
    day.commits = 345600;
    day.bytes =
        wear_foretell(&(struct wear_count){.events = 864000, .event_bytes = 864000 * 40}, 250)
            .bytes *
        5 / 4;
    struct wear_count scaled = wear_foretell(&day, 5000);
    assert_in_range(scaled.bytes, model.bytes * 124 / 100, model.bytes * 126 / 100);
}

/* A day of a site that would write `a_second` bytes, paced every 300 s. */
static uint64_t day_under(uint64_t bytes_max, uint64_t (*a_second)(uint32_t second),
                          uint32_t *ret_stretch)
{
    struct wear_pace pace = {.bytes_max = bytes_max, .recent_s = 300, .stretch = 1000};
    for (uint32_t second = 0; second < WEAR_DAY_S; second += 300) {
        pace.bytes_recent = a_second(second) * 300 * 1000 / pace.stretch;
        pace.bytes_today += pace.bytes_recent;
        pace.seconds_left = WEAR_DAY_S - second;
        pace.stretch = wear_stretch(&pace);
        assert_in_range(pace.stretch, 1000, WEAR_STRETCH_MAX);
    }
    *ret_stretch = pace.stretch;
    return pace.bytes_today;
}

static uint64_t steady(uint32_t second)
{
    (void)second;
    return 10000;
}

static uint64_t at_night(uint32_t second)
{
    return second < 3600 * 6 ? 40000 : 100;
}

static uint64_t in_the_evening(uint32_t second)
{
    return second > 3600 * 20 ? 60000 : 100;
}

static void a_bound_is_held(void **state)
{
    (void)state;
    uint64_t (*const sites[])(uint32_t) = {steady, at_night, in_the_evening};
    const uint64_t max = 100 * 1000000;
    uint32_t stretch;
    for (size_t i = 0; i < 3; i++) {
        assert_in_range(day_under(max, sites[i], &stretch), 1, max * 102 / 100);
    }
    assert_true(day_under(max, steady, &stretch) >
                max * 9 / 10); /* it waits no longer than needed */
    assert_int_equal(day_under(UINT64_C(2000000000), steady, &stretch), UINT64_C(864000000));
    assert_int_equal(stretch, 1000); /* under the bound nothing waits */
    struct wear_pace over = {max, max + 1, 1000, 5, 300, WEAR_STRETCH_MAX};
    assert_int_equal(wear_stretch(&over), WEAR_STRETCH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_are_counted_apart), cmocka_unit_test(counts_come_back_from_cursors),
        cmocka_unit_test(the_life_is_foretold), cmocka_unit_test(a_measured_day_is_believed),
        cmocka_unit_test(a_bound_is_held)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
