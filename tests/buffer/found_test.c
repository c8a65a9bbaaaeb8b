/* The commit that finds the damage: what it ends and begins to send does not arrive twice. */
#include <errno.h>
#include <string.h>

#include "buffer/internal.h"
#include "buffer/salvage.h"
#include "tests/buffer/bench.h"

#define EVENTS 3000

/* Sealed rows; the next commit finds the damage. */
static void begin(struct bench *b)
{
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    b->buffer->file_damaged = true;
}

/* The first uplink is owed all from there on, the second one all. */
static void check_from(struct bench *b, uint64_t first)
{
    uint64_t last = b->next[1] - 1;
    const struct owed *owed = bench_owed(b, 1, 1);
    assert_int_equal(owed->range_count, 1);
    assert_int_equal(owed->ranges[0].first, first);
    assert_int_equal(owed->ranges[0].last, last);
    owed = bench_owed(b, 2, 1);
    assert_int_equal(owed->range_count, 1);
    assert_int_equal(owed->ranges[0].first, 1);
    assert_int_equal(owed->ranges[0].last, last);
    bench_check(b, 1, 1, last);
    assert_int_equal(b->changes.gap_count, 0);
}

static void test_a_parcel(void **state)
{
    struct bench *b = *state;
    begin(b);
    const struct parcel parcel = bench_parcel(1, 1, 1, 100, 1);
    bench_parcel_put(b, &parcel);
    assert_int_equal(b->changes.damage.replaced, 1);
    bench_check(b, 1, 1, 100); /* sent again as it is, if need be */
    bench_done(b, 1, 1, 0);
    bench_care(b);
    check_from(b, 101);
}

static void test_a_parcel_that_follows_another(void **state)
{
    struct bench *b = *state;
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    const struct parcel first = bench_parcel(1, 1, 1, 100, 1);
    bench_parcel_put(b, &first);
    b->buffer->file_damaged = true;
    const struct parcel second = bench_parcel(1, 1, 101, 200, 2);
    const struct parcel *parcels[] = {&second};
    const struct part_done done = {.uplink = 1, .stream = 1, .lane = second.lane};
    const struct buffer_write write = {
        .dones = &done, .done_count = 1, .parcels = parcels, .parcel_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    assert_int_equal(b->changes.damage.replaced, 1);
    bench_done(b, 1, 1, 0);
    bench_done(b, 1, 1, 1);
    bench_care(b);
    check_from(b, 201);
}

static void test_an_end(void **state)
{
    struct bench *b = *state;
    begin(b);
    bench_end(b, 1, 1, 1, 300);
    assert_int_equal(b->changes.damage.replaced, 1);
    bench_care(b);
    check_from(b, 301);
}

/* No room for the fresh file at first; the commit is tried again. */
static void test_an_end_that_is_tried_again(void **state)
{
    struct bench *b = *state;
    struct crash_counts counts;
    begin(b);
    crash_vfs_counts(b->vfs, &counts);
    crash_vfs_disk_size_set(b->vfs, counts.size + 100000);
    const struct owed_end end = {.uplink = 1, .stream = 1, .range = {1, 300}};
    const struct buffer_write write = {.ends = &end, .end_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_NOSPACE);
    crash_vfs_counts(b->vfs, &counts);
    uint64_t written = counts.bytes_written;
    for (unsigned i = 0; i < 20; i++) { /* waits for more, and wears nothing out */
        assert_int_equal(bench_commit(b, &write), ERR_NOSPACE);
        assert_non_null(strstr(b->why.text, BENCH_PATH ".bad-1"));
        assert_non_null(strstr(buffer_disk_trouble(b->buffer), BENCH_PATH ".bad-1"));
    }
    crash_vfs_counts(b->vfs, &counts);
    assert_int_equal(counts.bytes_written, written);
    crash_vfs_disk_size_set(b->vfs, UINT64_MAX);
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    bench_care(b);
    check_from(b, 301);
}

/* What is delivered while there is no room for it is kept in memory, and does not come again. */
static void test_deliveries_that_are_kept(void **state)
{
    struct bench *b = *state;
    struct crash_counts counts;
    const struct buffer_write nothing = {.event_count = 0};
    begin(b);
    crash_vfs_counts(b->vfs, &counts);
    crash_vfs_disk_size_set(b->vfs, counts.size + 100000);
    assert_int_equal(bench_commit(b, &nothing), ERR_NOSPACE);
    const struct owed_end end = {.uplink = 1, .stream = 1, .range = {1, 200}};
    const struct parcel parcel = bench_parcel(1, 1, 201, 300, 2);
    const struct parcel *parcels = &parcel;
    const struct part_done dones[] = {{.uplink = 1, .stream = 1, .part = 0},
                                      {.uplink = 1, .stream = 1, .part = 1}};
    const struct buffer_write ended = {.ends = &end, .end_count = 1};
    const struct buffer_write opened = {.parcels = &parcels, .parcel_count = 1};
    const struct buffer_write done = {.dones = dones, .done_count = 2};
    assert_int_equal(buffer_keep(b->buffer, &ended, &b->changes, &b->why), ERR_OK);
    assert_int_equal(buffer_keep(b->buffer, &opened, &b->changes, &b->why), ERR_OK);
    assert_int_equal(buffer_keep(b->buffer, &done, &b->changes, &b->why), ERR_OK);
    crash_vfs_disk_size_set(b->vfs, UINT64_MAX);
    assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    bench_care(b);
    check_from(b, 301);
}

/* --- a quota is what is full: the disk says that it has room --- */

static uint64_t written(struct bench *b)
{
    struct crash_counts counts;
    crash_vfs_counts(b->vfs, &counts);
    return counts.ops[CRASH_OP_WRITE];
}

static void fill_quota(struct bench *b)
{
    struct crash_fault fault = {
        .op = CRASH_OP_WRITE, .nth = 30, .repeat = UINT64_MAX, .is_full = true, .error = EDQUOT};
    crash_vfs_fault_set(b->vfs, &fault, 1);
}

static void test_a_full_quota(void **state)
{
    struct bench *b = *state;
    const struct owed_end end = {.uplink = 1, .stream = 1, .range = {1, 300}};
    const struct buffer_write write = {.ends = &end, .end_count = 1};
    begin(b);
    fill_quota(b);
    assert_int_equal(bench_commit(b, &write), ERR_NOSPACE);
    uint64_t before = written(b);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(bench_commit(b, &write), ERR_NOSPACE);
        assert_non_null(strstr(b->why.text, BENCH_PATH ".bad-1"));
    }
    assert_int_equal(written(b), before);
    crash_vfs_fault_clear(b->vfs);
    b->buffer->disk_room.again_us = 1; /* ten minutes later */
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    bench_care(b);
    check_from(b, 301);
}

static void test_a_full_quota_at_a_start(void **state)
{
    struct bench *b = *state;
    struct buffer_room room = {0};
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    bench_damage_at_rest(b);
    b->setup->room = &room;
    fill_quota(b);
    for (unsigned i = 0; i < 15; i++) {
        uint64_t before = written(b);
        enum err e = bench_try_open(b);
        assert_true(e == ERR_NOSPACE || (e == ERR_IO && i % 5 == 0));
        assert_true(i % 5 == 0 || strstr(b->why.text, BENCH_PATH ".bad-1 is damaged"));
        assert_true(i % 5 == 0 || written(b) == before);
        room.again_us = i % 5 == 4 ? 1 : room.again_us; /* ten minutes later: one more try */
    }
    crash_vfs_fault_clear(b->vfs);
    room.again_us = 1;
    bench_reopen(b);
    assert_int_equal(room.needed, 0);
    bench_care(b);
    check_from(b, 1);
    b->setup->room = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_parcel, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_parcel_that_follows_another, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_an_end, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_an_end_that_is_tried_again, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_deliveries_that_are_kept, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_full_quota, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_full_quota_at_a_start, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
