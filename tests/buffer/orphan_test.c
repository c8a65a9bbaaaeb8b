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
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    bench_find_damage(b);
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

/* Of the agent itself, and the agent has it no more: it must not stand in the way of the others. */
static void check_own(struct bench *b)
{
    b->setup->streams[0].name = "another";
    bench_reopen(b);
    bench_care(b);
    assert_null(state_owed(b->buffer->state, 1, 1));
    b->setup->streams[0].name = "weir.dead.low";
    bench_reopen(b);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 0);
}

static void test_own_streams_that_are_gone(void **state)
{
    struct bench *b = *state;
    b->setup->streams[0].name = "weir.dead.low";
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    check_own(b);
}

static void test_own_streams_that_are_gone_while_it_is_salvaged(void **state)
{
    struct bench *b = *state;
    b->setup->streams[0].name = "weir.dead.low";
    begin(b);
    check_own(b);
}

static void test_own_streams_that_are_gone_at_a_damaged_start(void **state)
{
    struct bench *b = *state;
    b->setup->streams[0].name = "weir.dead.low";
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    bench_damage_at_rest(b);
    check_own(b);
}

/* The damage has taken the name of the uplink: nobody can bring it back. */
static void test_a_lost_name(void **state)
{
    struct bench *b = *state;
    begin(b);
    uint64_t last = b->next[1] - 1;
    for (uint8_t lane = LANE_FRESH; lane <= LANE_BACKFILL; lane++) {
        struct parcel parcel = bench_parcel(1, 1, 1 + 100u * lane, 100 + 100u * lane, 2);
        parcel.lane = lane;
        bench_parcel_put(b, &parcel);
    }
    bench_sql(b, "UPDATE uplink SET id=id+1000");
    assert_int_equal(b->buffer->state->parcel_count, 0);
    bench_care(b);
    uint64_t told = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        told += b->changes.gaps[i].uplink == 1 ? b->changes.gaps[i].count : 0;
    }
    assert_int_equal(told, last);
}

/* --- at the start that finds the damage --- */

#define BAD BENCH_PATH ".bad-1"

static void begin_damaged(struct bench *b)
{
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    bench_damage_at_rest(b);
}

static void check_refused(struct bench *b, const char *text)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(bench_try_open(b), ERR_CONFIG);
        assert_non_null(strstr(b->why.text, text));
        assert_non_null(strstr(b->why.text, "renamed_from"));
    }
}

static void test_the_start_that_finds_damage_refuses_as_any(void **state)
{
    struct bench *b = *state;
    begin_damaged(b);
    b->setup->uplinks[1].name = "flies";
    check_refused(b, "stream low for uplink files");
    assert_false(bench_has_file(b, BAD) || bench_has_file(b, BAD "-wal"));
    b->setup->uplinks[1].name = "files";
    b->setup->streams[0].name = "lwo";
    check_refused(b, "stream low for uplink cloud");
    b->setup->streams[0].name = "low";
    b->setup->streams[0].uplinks = 2; /* not to the first */
    check_refused(b, "stream low for uplink cloud");
    b->setup->streams[0].uplinks = 3;
    assert_false(bench_has_file(b, BAD) || bench_has_file(b, BAD "-wal"));
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    check_whole(b);
}

static void test_renamed_at_the_start_that_finds_damage(void **state)
{
    struct bench *b = *state;
    begin_damaged(b);
    b->setup->uplinks[0].name = "another";
    b->setup->uplinks[0].renamed_from = "cloud";
    b->setup->streams[0].name = "lower";
    b->setup->streams[0].renamed_from = "low";
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    check_whole(b);
}

/* It was moved, then the power went. */
static void test_what_was_moved_is_refused_as_well(void **state)
{
    struct bench *b = *state;
    bool moved = false;
    for (uint64_t n = 1; !moved; n++) {
        begin_damaged(b);
        crash_vfs_freeze_after(b->vfs, n);
        (void)bench_try_open(b);
        bench_cut(b, CRASH_ALL, 1);
        moved = bench_has_file(b, BAD);
    }
    b->setup->uplinks[1].name = "flies";
    check_refused(b, "stream low for uplink files");
    b->setup->uplinks[1].name = "files";
    bench_reopen(b);
    check_whole(b);
}

/* --- several files are still to be salvaged --- */

static void deliver(struct bench *b, uint16_t uplink)
{
    for (size_t i = 0; i < b->changes.owed_count; i++) {
        const struct owed owed = b->changes.owed[i];
        for (size_t r = 0; r < owed.range_count && owed.uplink == uplink; r++) {
            bench_end(b, uplink, owed.stream, owed.ranges[r].first, owed.ranges[r].last);
        }
    }
}

/* Of the first there is nothing for the uplink, of the second there is. */
static void test_what_comes_over_later_counts(void **state)
{
    struct bench *b = *state;
    struct buffer_write nothing = {.event_count = 0};
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    deliver(b, 1);
    for (unsigned i = 0; i < 2; i++) {
        b->buffer->file_damaged = true;
        assert_int_equal(bench_commit(b, &nothing), ERR_OK);
        bench_fill(b, 1, 50, (2 + i) * EVENTS);
    }
    deliver(b, 1); /* all that is in the file itself */
    b->setup->uplinks[0].name = "cluod";
    check_refused(b, "for uplink cloud");
    b->setup->uplinks[0].name = "cloud";
    bench_reopen(b);
    bench_care(b);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, EVENTS + 1);
    assert_int_equal(b->changes.gap_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_start_that_finds_damage_refuses_as_any, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_renamed_at_the_start_that_finds_damage, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_what_was_moved_is_refused_as_well, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_what_comes_over_later_counts, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_another_uplink, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_another_uplink_for_what_is_to_come, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_renamed, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_own_streams_that_are_gone, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_own_streams_that_are_gone_while_it_is_salvaged,
                                        bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_own_streams_that_are_gone_at_a_damaged_start,
                                        bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_lost_name, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
