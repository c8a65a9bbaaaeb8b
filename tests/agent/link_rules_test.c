/* The rules of a link, each alone: windows, periods and their budgets, lanes; in zones with and
 * without summer time. */
#include <stdlib.h>
#include <string.h>

#include "agent/link_budget.h"
#include "agent/link_lane.h"
#include "agent/link_window.h"
#include "ports/zone.h"
#include "tests/cmocka.h"

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"
#define HOUR_US INT64_C(3600000000)

static void use_zone(const char *name)
{
    struct why why = {""};
    assert_int_equal(zone_set(name, &why), ERR_OK);
}

/* UTC. */
static int64_t at(int32_t year, unsigned month, unsigned day, unsigned hour, unsigned minute)
{
    return ((clock_days(year, month, day) * 24 + hour) * 60 + minute) * 60000000;
}

static void a_zone_that_is_none_is_refused(void **state)
{
    (void)state;
    struct why why = {""};
    use_zone("UTC");
    assert_int_equal(zone_check("Europe/Nowhere", &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "Europe/Nowhere"));
    assert_int_equal(zone_set("../../etc/passwd", &why), ERR_CONFIG);
    assert_int_equal(zone_check("/etc/localtime", &why), ERR_CONFIG);
    assert_int_equal(zone_check("<+0530>-5:30", &why), ERR_OK);
    struct civil c;
    zone_civil(at(2026, 7, 1, 12, 0), &c);
    assert_int_equal(c.hour, 12); /* nothing has changed */
}

static void clocks_are_set_forward_and_back(void **state)
{
    (void)state;
    struct civil c;
    use_zone(BERLIN);
    zone_civil(at(2026, 3, 29, 0, 59), &c);
    assert_int_equal(c.hour, 1);
    zone_civil(at(2026, 3, 29, 1, 0), &c);
    assert_int_equal(c.hour, 3);
    assert_int_equal(c.weekday, 0);
    assert_int_equal(zone_time(2026, 3, 29, 3, 0), at(2026, 3, 29, 1, 0));
    /* 02:30 comes twice: the first is meant. */
    assert_int_equal(zone_time(2026, 10, 25, 2, 30), at(2026, 10, 25, 0, 30));
    assert_int_equal(zone_time(2026, 10, 25, 3, 0), at(2026, 10, 25, 2, 0));
    zone_civil(-1, &c);
    assert_int_equal(c.second, 59);
    /* As Europe/Dublin has it: summer is the standard. What is left out is as if clocks went on. */
    use_zone("IST-1GMT0,M10.5.0,M3.5.0/1");
    assert_int_equal(zone_time(2026, 3, 29, 1, 0), at(2026, 3, 29, 1, 0));
    assert_int_equal(zone_time(2026, 3, 29, 1, 30), at(2026, 3, 29, 1, 30));
    assert_int_equal(zone_time(2026, 3, 29, 2, 0), at(2026, 3, 29, 1, 0));
    assert_int_equal(zone_time(2026, 10, 25, 1, 30), at(2026, 10, 25, 0, 30));
}

/* --- windows --- */

static struct link_window window_of(const char *start, int64_t hours)
{
    struct link_window window = {.duration_us = hours * HOUR_US};
    struct why why = {""};
    if (cron_parse(start, &window.start, &why)) {
        fail_msg("%s: %s", start, why.text);
    }
    return window;
}

static void expect_opening(const struct link_window *windows, size_t count, int64_t now_us,
                           bool is_open, int64_t until_us)
{
    struct link_opening opening;
    link_windows_at(windows, count, now_us, &opening);
    assert_int_equal(opening.is_open, is_open);
    assert_int_equal(opening.until_us, until_us);
}

static void a_window_opens_and_closes(void **state)
{
    (void)state;
    use_zone("UTC");
    struct link_window nights = window_of("0 22 * * mon-fri", 7);
    /* 2026-11-27 is a Friday. */
    expect_opening(&nights, 1, at(2026, 11, 27, 21, 59), false, at(2026, 11, 27, 22, 0));
    expect_opening(&nights, 1, at(2026, 11, 27, 22, 0), true, at(2026, 11, 28, 5, 0));
    expect_opening(&nights, 1, at(2026, 11, 28, 4, 59), true, at(2026, 11, 28, 5, 0));
    expect_opening(&nights, 1, at(2026, 11, 28, 5, 0), false, at(2026, 11, 30, 22, 0));
    expect_opening(NULL, 0, at(2026, 11, 28, 5, 0), true, INT64_MAX);
    struct link_window never = window_of("0 0 29 2 *", 1);
    never.start.days = UINT32_C(1) << 30; /* cron_parse() refuses such a day */
    expect_opening(&never, 1, at(2026, 11, 28, 5, 0), false, INT64_MAX);
    struct link_window leap = window_of("0 0 29 feb *", 1);
    expect_opening(&leap, 1, at(2026, 11, 28, 5, 0), false, at(2028, 2, 29, 0, 0));
    struct link_window month = window_of("0 0 1 * *", 31 * 24);
    expect_opening(&month, 1, at(2026, 1, 31, 23, 59), true, at(2026, 2, 1, 0, 0));
    struct link_window both[] = {window_of("*/20 * * * *", 0), nights};
    both[0].duration_us = 5 * 60000000;
    expect_opening(both, 2, at(2026, 11, 28, 12, 4), true, at(2026, 11, 28, 12, 5));
    expect_opening(both, 2, at(2026, 11, 28, 12, 5), false, at(2026, 11, 28, 12, 20));
    expect_opening(both, 2, at(2026, 11, 27, 22, 4), true, at(2026, 11, 28, 5, 0));
}

static void windows_go_by_clocks_on_the_spot(void **state)
{
    (void)state;
    use_zone(BERLIN);
    struct link_window night = window_of("0 2 * * *", 2);
    /* Winter: 02:00 is 01:00 UTC. The night in which 02:00 to 03:00 is left out: from 03:00 summer
     * time on. */
    expect_opening(&night, 1, at(2026, 3, 28, 1, 0), true, at(2026, 3, 28, 3, 0));
    expect_opening(&night, 1, at(2026, 3, 29, 1, 0), true, at(2026, 3, 29, 3, 0));
    expect_opening(&night, 1, at(2026, 3, 29, 0, 59), false, at(2026, 3, 29, 1, 0));
    /* In the one in which it comes twice: from the first on, two hours. */
    struct link_window half = window_of("30 2 * * *", 1);
    expect_opening(&half, 1, at(2026, 10, 25, 0, 29), false, at(2026, 10, 25, 0, 30));
    expect_opening(&half, 1, at(2026, 10, 25, 0, 30), true, at(2026, 10, 25, 1, 30));
    expect_opening(&half, 1, at(2026, 10, 25, 1, 15), true,
                   at(2026, 10, 25, 1, 30)); /* 02:15 again */
    expect_opening(&half, 1, at(2026, 10, 25, 1, 31), false, at(2026, 10, 26, 1, 30));
}

/* Each minute of two years: what is said to last until then does. */
static void an_opening_lasts_until_it_says(void **state)
{
    (void)state;
    static const char *const zones[] = {"UTC", BERLIN, "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"};
    for (size_t z = 0; z < ARRAY_COUNT(zones); z++) {
        use_zone(zones[z]);
        struct link_window windows[] = {window_of("15 3 * * sun", 5),
                                        window_of("30 1-3 25-31 3,10 *", 1)};
        struct link_opening opening = {.until_us = 0};
        for (int64_t now = at(2026, 1, 1, 0, 0); now < at(2026, 12, 31, 0, 0);
             now += 15 * 60000000) {
            if (now >= opening.until_us) {
                link_windows_at(windows, 2, now, &opening);
                assert_true(opening.until_us > now);
                continue;
            }
            struct link_opening again;
            link_windows_at(windows, 2, now, &again);
            assert_int_equal(again.is_open, opening.is_open);
            assert_true(again.until_us >= opening.until_us);
        }
    }
}

/* --- periods --- */

static void months_begin_on_their_day(void **state)
{
    (void)state;
    struct link_ids ids;
    char text[LINK_MONTH_TEXT_SIZE];
    use_zone(BERLIN);
    for (int day = 1; day <= 28; day++) {
        uint32_t last = 0;
        for (int64_t now = at(2027, 12, 1, 0, 30); now < at(2029, 2, 1, 0, 0); now += HOUR_US) {
            link_ids_at(now, day, &ids);
            assert_true(last == 0 || ids.of[LINK_MONTH] == last || ids.of[LINK_MONTH] == last + 1);
            last = ids.of[LINK_MONTH];
            for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
                assert_true(link_period_begin(p, ids.of[p], day) <= now);
                assert_true(link_period_end(p, ids.of[p], day) > now);
            }
        }
    }
    link_ids_at(at(2028, 2, 29, 22, 59), 1, &ids);
    link_month_text(ids.of[LINK_MONTH], text);
    assert_string_equal(text, "2028-02");
    assert_int_equal(link_period_end(LINK_MONTH, ids.of[LINK_MONTH], 1), at(2028, 2, 29, 23, 0));
    link_ids_at(at(2028, 1, 14, 12, 0), 15, &ids);
    link_month_text(ids.of[LINK_MONTH], text);
    assert_string_equal(text, "2027-12");
    /* The hour that comes twice is one. */
    struct link_ids first, second;
    link_ids_at(at(2026, 10, 25, 0, 30), 1, &first);
    link_ids_at(at(2026, 10, 25, 1, 30), 1, &second);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(link_period_end(LINK_HOUR, first.of[LINK_HOUR], 1), at(2026, 10, 25, 2, 0));
    assert_int_equal(link_period_end(LINK_DAY, first.of[LINK_DAY], 1), at(2026, 10, 25, 23, 0));
}

static void bytes_are_counted_apart_and_kept(void **state)
{
    (void)state;
    struct link_history h = {.total = {0, 0}};
    struct link_history read = {.total = {0, 0}};
    struct link_ids ids, latest;
    struct link_bytes one = {100, 10};
    use_zone("UTC");
    for (int hour = 0; hour < 24 * 400; hour++) {
        link_ids_at(at(2026, 1, 1, 0, 0) + hour * HOUR_US, 1, &ids);
        link_history_add(&h, &ids, &one);
    }
    assert_int_equal(h.total.sent, 24 * 400 * 100);
    assert_int_equal(link_history_of(&h, LINK_DAY, ids.of[LINK_DAY]).sent, 2400);
    assert_int_equal(link_history_of(&h, LINK_HOUR, ids.of[LINK_HOUR]).received, 10);
    uint32_t month = ids.of[LINK_MONTH]; /* 2027-02, of which four days are over */
    assert_int_equal(link_history_of(&h, LINK_MONTH, month).sent, 4 * 2400);
    assert_int_equal(link_history_of(&h, LINK_MONTH, month - 1).sent, 31 * 2400);
    assert_int_equal(link_history_of(&h, LINK_MONTH, month - 11).sent, 31 * 2400);
    assert_int_equal(link_history_of(&h, LINK_MONTH, month - 12).sent, 28 * 2400);
    assert_int_equal(link_history_of(&h, LINK_MONTH, month + 4).sent, 0);
    link_history_latest(&h, &latest);
    assert_memory_equal(&latest, &ids, sizeof ids);
    for (uint32_t key = 0; key < LINK_KEY_COUNT; key++) {
        uint8_t memory[LINK_VALUE_MAX];
        struct out o = out_over(memory, sizeof memory);
        link_value_put(&h, key, &o);
        assert_false(o.overflow);
        bool is_there = memory[0] || key == 0;
        assert_int_equal(link_value_take(&read, key, out_slice(&o)), is_there);
        for (size_t cut = 0; cut < o.size; cut++) {
            struct link_history spoilt = h;
            assert_false(link_value_take(&spoilt, key, (struct slice){memory, cut}));
        }
        assert_false(link_value_take(&read, LINK_KEY_COUNT + key, out_slice(&o)));
    }
    assert_memory_equal(&read, &h, sizeof h);
    link_history_take(&h, &ids, &(struct link_bytes){UINT64_MAX, 3});
    assert_int_equal(link_history_of(&h, LINK_HOUR, ids.of[LINK_HOUR]).sent, 0);
    assert_int_equal(link_history_of(&h, LINK_HOUR, ids.of[LINK_HOUR]).received, 7);
}

/* --- budgets --- */

static void the_reserve_is_for_the_urgent(void **state)
{
    (void)state;
    enum link_period period = LINK_HOUR;
    struct link_budget b = {.max = {0, 1000, 10000}, .reserve = 100000, .reserve_priority = 7};
    uint64_t spent[] = {99999, 850, 850};
    assert_int_equal(link_budget_left(&b, spent, 3, &period), 50);
    assert_int_equal(period, LINK_DAY);
    assert_int_equal(link_budget_left(&b, spent, 7, NULL), 150);
    spent[LINK_DAY] = 950;
    assert_int_equal(link_budget_left(&b, spent, 6, NULL), 0);
    assert_int_equal(link_budget_left(&b, spent, 7, NULL), 50);
    spent[LINK_DAY] = 1001;
    spent[LINK_MONTH] = 12000;
    assert_int_equal(link_budget_left(&b, spent, 9, &period), 0);
    assert_int_equal(period, LINK_MONTH);
    b.goes_on = true;
    assert_true(link_budget_left(&b, spent, 9, NULL) == UINT64_MAX);
    assert_int_equal(link_budget_left(&b, spent, 6, NULL), 0);
    b = (struct link_budget){.max = {UINT64_C(1) << 50}, .reserve = 1000000};
    spent[LINK_HOUR] = 0;
    b.reserve_priority = 9;
    assert_int_equal(link_budget_left(&b, spent, 8, NULL), 0);
    b.max[LINK_HOUR] = 0;
    assert_true(link_budget_left(&b, spent, 0, NULL) == UINT64_MAX);
}

/* --- lanes --- */

static void no_lane_starves(void **state)
{
    (void)state;
    const struct link_lane_rule rule = {.window = 4000, .due = 2000, .share = 100000};
    struct link_lanes lanes = {.under_way = 0};
    uint64_t sent[LINK_PRIORITY_COUNT] = {0};
    lanes.waiting[1] = lanes.waiting[3] = lanes.waiting[5] = 1;
    for (int i = 0; i < 10000; i++) {
        for (uint8_t p = 0; p < PRIORITY_URGENT; p++) {
            if (lanes.waiting[p] && link_lanes_may(&lanes, p, &rule)) {
                lanes.waiting[p] = 0;
                link_lanes_take(&lanes, p, 1000, &rule);
                sent[p] += 1000;
                lanes.waiting[p] = 1;
                link_lanes_give(&lanes, p, 1000);
            }
        }
    }
    uint64_t all = sent[1] + sent[3] + sent[5];
    assert_int_equal(sent[3], 0); /* strict but for the lowest */
    assert_in_range(sent[1], all * 9 / 100, all * 12 / 100);
    /* So much is under way, and no more. */
    for (int i = 0; i < 4; i++) {
        link_lanes_take(&lanes, 5, 1000, &rule);
    }
    assert_false(link_lanes_may(&lanes, 5, &rule));
    lanes.waiting[9] = 1;
    assert_true(link_lanes_may(&lanes, 9, &rule));
    link_lanes_give(&lanes, 5, 1000);
    assert_true(link_lanes_may(&lanes, 5, &rule) || link_lanes_may(&lanes, 1, &rule));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_that_is_none_is_refused),
        cmocka_unit_test(clocks_are_set_forward_and_back),
        cmocka_unit_test(a_window_opens_and_closes),
        cmocka_unit_test(windows_go_by_clocks_on_the_spot),
        cmocka_unit_test(an_opening_lasts_until_it_says),
        cmocka_unit_test(months_begin_on_their_day),
        cmocka_unit_test(bytes_are_counted_apart_and_kept),
        cmocka_unit_test(the_reserve_is_for_the_urgent),
        cmocka_unit_test(no_lane_starves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
