/* Who is owed what while a damaged file is salvaged: nothing is let go because a name is missing in
 * the configuration, unless the damage has taken that name, and then a gap says so. */
#include <string.h>

#include "buffer/internal.h"
#include "buffer/salvage.h"
#include "tests/buffer/bench.h"

#define EVENTS 3000

/* Sealed rows, and some events behind them; the first uplink of two has none of them. A damaged file
 * waits to be salvaged. */
static void begin(struct bench *b)
{
    struct buffer_write nothing = {.event_count = 0};
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    b->buffer->file_damaged = true;
    assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    assert_true(b->changes.damage.salvages);
}

static void check_whole(struct bench *b)
{
    uint64_t last = b->next[1] - 1;
    bench_care(b);
    for (uint16_t u = 1; u <= 2; u++) {
        const struct owed *owed = bench_owed(b, u, 1);
        assert_int_equal(owed->range_count, 1);
        assert_int_equal(owed->ranges[0].first, 1);
        assert_int_equal(owed->ranges[0].last, last);
    }
    assert_int_equal(bench_read(b, 1, 1, last), last);
    assert_int_equal(b->changes.gap_count, 0);
}

static void test_another_uplink(void **state)
{
    struct bench *b = *state;
    begin(b);
    b->setup->uplinks[0].name = "cluod";
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "for uplink cloud"));
    b->setup->uplinks[0].name = "cloud";
    bench_reopen(b);
    check_whole(b);
}

/* All that is in the file itself is delivered; what is still to come over is not. */
static void test_another_uplink_for_what_is_to_come(void **state)
{
    struct bench *b = *state;
    begin(b);
    for (size_t i = 0; i < b->changes.owed_count; i++) {
        const struct owed owed = b->changes.owed[i];
        for (size_t r = 0; r < owed.range_count && owed.uplink == 1; r++) {
            bench_end(b, 1, owed.stream, owed.ranges[r].first, owed.ranges[r].last);
        }
    }
    b->setup->uplinks[0].name = "cluod";
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "salvaged"));
    assert_non_null(strstr(b->why.text, "for uplink cloud"));
    b->setup->uplinks[0].name = "cloud";
    bench_reopen(b);
    bench_care(b);
    assert_true(bench_owed(b, 1, 1)->range_count > 0);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 1);
}

static void test_renamed(void **state)
{
    struct bench *b = *state;
    begin(b);
    b->setup->uplinks[0].name = "another";
    b->setup->uplinks[0].renamed_from = "cloud";
    bench_reopen(b);
    check_whole(b);
}

/* The damage has taken the name of the uplink: nobody can bring it back. */
static void test_a_lost_name(void **state)
{
    struct bench *b = *state;
    begin(b);
    uint64_t last = b->next[1] - 1;
    bench_sql(b, "UPDATE uplink SET id=id+1000");
    bench_care(b);
    uint64_t told = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        told += b->changes.gaps[i].uplink == 1 ? b->changes.gaps[i].count : 0;
    }
    assert_int_equal(told, last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_another_uplink, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_another_uplink_for_what_is_to_come, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_renamed, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_lost_name, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
