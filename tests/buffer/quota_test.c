/* The cap: nothing goes beyond it, who gives way when it is reached, and what is counted. */
#include "buffer/internal.h"
#include "tests/buffer/bench.h"

#include <stdio.h>
#include <string.h>

#define MIB (1 << 20)

/* Opens anew with this cap and datums of 500 bytes. */
static void begin(struct bench *b, int64_t size_max)
{
    b->setup->size_max = size_max;
    b->datum_size = 500;
    bench_begin(b);
}

static void one_uplink(struct bench *b, uint8_t when_full)
{
    b->setup->uplink_count = 1;
    b->setup->streams[0].uplinks = 1;
    b->setup->streams[0].when_full = when_full;
}

static uint64_t gap_sum(const struct bench *b, uint16_t stream)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        sum += b->changes.gaps[i].stream == stream ? b->changes.gaps[i].count : 0;
    }
    return sum;
}

static uint64_t dropped(const struct bench *b, uint16_t stream)
{
    return b->changes.streams[stream].dropped_count;
}

/* Appends until so many events of the stream were dropped. */
static void fill_until_dropped(struct bench *b, uint16_t stream, uint64_t count)
{
    for (unsigned i = 0; dropped(b, stream) < count; i++) {
        assert_true(i < 5000 && b->changes.room[stream] >= 50 * 500);
        assert_int_equal(bench_append(b, stream, 50), ERR_OK);
    }
}

static void check_cap(struct bench *b)
{
    struct crash_counts counts;
    crash_vfs_counts(b->vfs, &counts);
    assert_true(counts.size_high <= (uint64_t)b->setup->size_max);
    assert_true(counts.wal_high <= 2 * MIB);
}

/* Delivered rows give their pages back: far more goes through than fits. */
static void test_delivered_rows_make_room(void **state)
{
    struct bench *b = *state;
    one_uplink(b, FULL_BLOCK);
    begin(b, 6 * MIB);
    for (unsigned i = 0; i < 400; i++) {
        assert_int_equal(bench_append(b, 1, 100), ERR_OK);
        if (b->next[1] > 900) {
            bench_end(b, 1, 1, 1, b->next[1] - 900);
        }
    }
    assert_int_equal(dropped(b, 1), 0);
    check_cap(b);
}

/* Full: the lower stream gives way, the blocking one keeps everything. */
static void test_full_drops_the_oldest_of_the_lowest(void **state)
{
    struct bench *b = *state;
    begin(b, 8 * MIB);
    for (unsigned i = 0; i < 600; i++) {
        if (b->changes.room[1] > 50 * 500) {
            assert_int_equal(bench_append(b, 1, 50), ERR_OK);
        }
        if (i % 20 == 0 && b->changes.room[2] > 10 * 500) {
            assert_int_equal(bench_append(b, 2, 10), ERR_OK);
        }
    }
    check_cap(b);
    assert_int_equal(b->next[1], 600 * 50 + 1);
    assert_int_equal(b->next[2], 30 * 10 + 1);
    assert_true(dropped(b, 1) > 0);
    assert_int_equal(dropped(b, 2), 0);
    assert_int_equal(b->changes.streams[1].event_count + dropped(b, 1), b->next[1] - 1);
    assert_int_equal(gap_sum(b, 1), dropped(b, 1));
    bench_reopen(b);
    bench_check(b, 2, 1, b->next[2] - 1);
    bench_check(b, 1, bench_owed(b, 1, 1)->ranges[0].first, b->next[1] - 1);
}

/* A stream that blocks is told so before anything is refused, and goes on when there is room again.
 */
static void test_block_says_no_room(void **state)
{
    struct bench *b = *state;
    one_uplink(b, FULL_BLOCK);
    begin(b, 6 * MIB);
    bench_fill(b, 1, 50, 1000000);
    assert_in_range(b->next[1], 1000, 20000);
    assert_int_equal(dropped(b, 1), 0);
    bench_check(b, 1, 1, b->next[1] - 1);
    for (unsigned i = 0; i < 100; i++) {
        bench_end(b, 1, 1, 1, b->next[1] / 2);
    }
    assert_true(b->changes.room[1] > 50 * 500);
    check_cap(b);
}

/* What is being sent stays; the rows behind it give way, and are counted exactly. */
static void test_a_parcel_at_the_head_does_not_stop_the_dropping(void **state)
{
    struct bench *b = *state;
    begin(b, 6 * MIB);
    bench_fill(b, 1, 50, 400);
    struct parcel parcel = bench_parcel(1, 1, 1, 300, 2);
    bench_parcel_put(b, &parcel);
    fill_until_dropped(b, 1, 5000);
    bench_check(b, 1, 1, 300);
    const struct owed *owed = bench_owed(b, 1, 1);
    assert_int_equal(owed->range_count, 2);
    assert_in_range(owed->ranges[0].last, 300, 1000);
    uint64_t rest = owed->ranges[0].last > 300 ? 301 : owed->ranges[1].first;
    assert_int_equal(owed->ranges[1].first - owed->ranges[0].last - 1, dropped(b, 1));
    assert_int_equal(gap_sum(b, 1), dropped(b, 1));
    uint64_t rows = bench_row_count(b);
    assert_true(rows < 60); /* they are gone, not only forgotten */
    bench_done(b, 1, 1, 0);
    bench_done(b, 1, 1, 1);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, rest);
    check_cap(b);
}

/* Read and not yet recorded as a parcel: it would be told as lost, and sent all the same. */
static void test_what_was_just_read_stays(void **state)
{
    struct bench *b = *state;
    begin(b, 6 * MIB);
    bench_fill(b, 1, 50, 1000);
    b->rows->is_look = false;
    bench_check(b, 1, 1, 40);
    fill_until_dropped(b, 1, 1000);
    bench_check(b, 1, 1, 40);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 1);
}

/* A dead uplink, a parcel of it in flight: the other uplink's backlog stays whole. */
static void test_a_dead_uplink_pins_no_more_than_its_share(void **state)
{
    struct bench *b = *state;
    b->setup->uplinks[1].hold_max = 300000;
    b->setup->streams[0].when_full = FULL_BLOCK;
    begin(b, 8 * MIB);
    bench_fill(b, 1, 50, 200);
    struct parcel parcel = bench_parcel(2, 1, 1, 100, 1);
    bench_parcel_put(b, &parcel);
    for (unsigned i = 0; i < 600; i++) {
        assert_true(b->changes.room[1] >= 50 * 500);
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
        bench_end(b, 1, 1, 1, b->next[1] - 51); /* the living one keeps up */
    }
    const struct owed *dead = bench_owed(b, 2, 1);
    uint64_t owed = dead->ranges[1].last - dead->ranges[1].first + 1;
    assert_int_equal(dead->range_count, 2);
    assert_int_equal(dead->ranges[0].last, 100);
    assert_in_range(owed * 500, 1 * MIB, 8 * MIB * 3 / 10 + 256 * 1024);
    assert_int_equal(b->next[1] - 1 - owed - 100, dropped(b, 1));
    assert_int_equal(b->changes.gaps[0].uplink, 2);
    assert_int_equal(b->changes.gaps[0].reason, GAP_HOLD_MAX);
    assert_int_equal(gap_sum(b, 1), dropped(b, 1));
    bench_check(b, 1, b->next[1] - 50, b->next[1] - 1);
    bench_check(b, 1, 1, 100);
    check_cap(b);
}

/* Rows that nobody is owed go before any that is owed gives way, however many they are. */
static void test_nothing_is_dropped_while_delivered_rows_wait(void **state)
{
    struct bench *b = *state;
    one_uplink(b, FULL_DROP_OLDEST);
    begin(b, 12 * MIB);
    while (b->changes.used_share < 900000 && dropped(b, 1) == 0) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    uint64_t before = dropped(b, 1);
    bench_end(b, 1, 1, 1, b->next[1] - 100); /* many rows at once: 16 go in a commit */
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    assert_int_equal(dropped(b, 1), before);
}

/* Delivered behind rows that are still owed: they go too. */
static void test_rows_between_owed_ones_go(void **state)
{
    struct bench *b = *state;
    one_uplink(b, FULL_BLOCK);
    begin(b, 16 * MIB);
    bench_fill(b, 1, 50, 4000);
    uint64_t before = bench_row_count(b);
    for (uint64_t first = 501; first < 3500; first += 1000) {
        bench_end(b, 1, 1, first, first + 899);
    }
    uint64_t after = bench_row_count(b);
    assert_true(after + 6 < before);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 4);
    bench_check(b, 1, 1, 500);
    bench_check(b, 1, 1401, 1500);
    bench_check(b, 1, 3401, 4000);
}

/* Many streams: rows are small, and one a commit would not be enough. */
static void test_small_rows_give_way_in_numbers(void **state)
{
    struct bench *b = *state;
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    for (size_t i = 0; i < 10; i++) {
        b->setup->streams[i] = (struct buffer_stream){
            .name = names[i], .priority = 3, .when_full = FULL_DROP_OLDEST, .uplinks = 1};
    }
    b->setup->stream_count = 10;
    b->setup->uplink_count = 1;
    begin(b, 5 * MIB);
    for (unsigned i = 0; i < 3000; i++) {
        uint16_t stream = (uint16_t)(1 + i % 10);
        assert_true(b->changes.room[stream] >= 20 * 500);
        assert_int_equal(bench_append(b, stream, 20), ERR_OK);
    }
    uint64_t kept = 0;
    for (uint16_t s = 1; s <= 10; s++) {
        assert_int_equal(b->changes.streams[s].event_count + dropped(b, s), b->next[s] - 1);
        assert_int_equal(gap_sum(b, s), dropped(b, s));
        kept += b->changes.streams[s].event_count;
    }
    assert_true(kept * 500 > MIB); /* it is used, not emptied */
    check_cap(b);
}

static void three_streams(struct bench *b)
{
    b->setup->streams[0] = (struct buffer_stream){
        .name = "one", .priority = 1, .when_full = FULL_DROP_OLDEST, .uplinks = 1};
    b->setup->streams[1] = (struct buffer_stream){
        .name = "two", .priority = 2, .when_full = FULL_DROP_OLDEST, .uplinks = 1};
    b->setup->streams[2] = (struct buffer_stream){
        .name = "five", .priority = 5, .when_full = FULL_BLOCK, .uplinks = 1};
    b->setup->stream_count = 3;
    b->setup->uplink_count = 1;
}

/* The lowest goes first, then the next; a stream of the arriving priority or above never. */
static void test_streams_give_way_in_the_order_of_priority(void **state)
{
    struct bench *b = *state;
    three_streams(b);
    begin(b, 8 * MIB);
    bench_fill(b, 2, 50, 3000);
    bench_fill(b, 1, 50, 3000);
    assert_int_equal(dropped(b, 1) + dropped(b, 2), 0);
    bench_fill(b, 3, 50, 4500);
    assert_true(dropped(b, 1) > 0);
    assert_int_equal(dropped(b, 2), 0);
    bench_fill(b, 3, 50, 1000000);
    assert_int_equal(dropped(b, 3), 0);
    assert_true(dropped(b, 1) > 2500 && dropped(b, 2) > 2000);
    bench_check(b, 3, 1, b->next[3] - 1);
    check_cap(b);
}

/* A guaranteed share is left to its stream. */
static void test_share_min_is_kept(void **state)
{
    struct bench *b = *state;
    three_streams(b);
    b->setup->streams[0].share_min = 200000;
    begin(b, 8 * MIB);
    bench_fill(b, 1, 50, 6000);
    bench_fill(b, 3, 50, 1000000);
    assert_true(dropped(b, 1) > 0);
    assert_in_range(b->changes.streams[1].event_count * 500, 8 * MIB * 3 / 20, 8 * MIB / 4);
}

/* On a disk that others have filled a share is one of what there is: streams without one go on too. */
static void test_a_share_on_a_full_disk(void **state)
{
    struct bench *b = *state;
    struct crash_counts counts;
    three_streams(b);
    b->setup->streams[0].share_min = 200000;
    begin(b, 64 * MIB);
    assert_int_equal(bench_append(b, 3, 20), ERR_OK);
    crash_vfs_counts(b->vfs, &counts);
    crash_vfs_disk_size_set(b->vfs, counts.size);
    for (unsigned i = 0; i < 400 && !b->buffer->disk_full; i++) {
        assert_int_equal(bench_append(b, 3, 20), ERR_OK);
    }
    assert_true(b->buffer->disk_full);
    for (unsigned i = 0; i < 100; i++) { /* what is delivered makes room */
        if (b->changes.room[3] < 20 * 500) {
            fail_msg("after %u commits: no room", i);
        }
        assert_int_equal(bench_append(b, 3, 20), ERR_OK);
        bench_end(b, 1, 3, 1, b->next[3] - 1);
    }
}

/* Old rows give way within a file that can't grow: the disk is as full as before, and a commit that
 * finds room in the file does not say otherwise. Nor is a look needed once it has room again. */
static void test_a_full_disk_stays_one_while_rows_give_way(void **state)
{
    struct bench *b = *state;
    struct crash_counts counts;
    one_uplink(b, FULL_DROP_OLDEST);
    begin(b, 64 * MIB);
    bench_fill(b, 1, 50, 8000);
    crash_vfs_counts(b->vfs, &counts);
    crash_vfs_disk_size_set(b->vfs, counts.size);
    fill_until_dropped(b, 1, 100);
    for (uint64_t first = dropped(b, 1); dropped(b, 1) < first + 5000;) {
        assert_true(b->changes.disk_full && b->changes.room[1] >= 50 * 500);
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    crash_vfs_disk_size_set(b->vfs, UINT64_MAX);
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    assert_false(b->changes.disk_full);
}

/* Streams below priority 7 leave 5 % to those above, who then need not wait. */
static void test_a_reserve_for_high_priorities(void **state)
{
    struct bench *b = *state;
    three_streams(b);
    b->setup->streams[1].when_full = FULL_BLOCK;
    b->setup->streams[0].priority = 9;
    b->setup->streams[0].when_full = FULL_BLOCK;
    begin(b, 16 * MIB);
    bench_fill(b, 2, 50, 1000000);
    bench_fill(b, 3, 50, 1000000);
    assert_in_range(b->changes.room[2], 0, 50 * 500);
    uint64_t before = b->next[1];
    bench_fill(b, 1, 50, 1000000);
    assert_true((b->next[1] - before) * 500 > 14 * MIB / 20 / 2);
    assert_int_equal(dropped(b, 1) + dropped(b, 2) + dropped(b, 3), 0);
}

/* More gaps than are kept apart: counts stay exact. */
static void test_gaps_merge_and_stay_exact(void **state)
{
    struct bench *b = *state;
    one_uplink(b, FULL_DROP_OLDEST);
    begin(b, 6 * MIB);
    fill_until_dropped(b, 1, 100);
    uint32_t number = b->changes.gaps[0].number;
    uint64_t told = b->changes.gaps[0].count;
    struct buffer_write write = {.gaps_told = &number, .gap_told_count = 1};
    assert_int_equal(b->changes.gap_count, 1);
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    assert_int_equal(b->changes.gap_count, 0);
    bench_reopen(b);
    assert_int_equal(b->changes.gap_count, 0);
    for (unsigned i = 0; i < 100; i++) { /* what was delivered between two drops keeps them apart */
        fill_until_dropped(b, 1, dropped(b, 1) + 1);
        uint64_t first = bench_owed(b, 1, 1)->ranges[0].first;
        bench_end(b, 1, 1, first, first + 599);
        assert_true(b->changes.gap_count <= 64);
    }
    assert_true(b->changes.gap_count > 30);
    assert_int_equal(gap_sum(b, 1) + told, dropped(b, 1));
    bench_reopen(b);
    assert_int_equal(gap_sum(b, 1) + told, dropped(b, 1));
}

static void count_aside(void *context, int64_t id, const struct aside *aside)
{
    (void)id;
    *(uint64_t *)context += 1;
    assert_true(slice_equal_text(aside->reason, "no such field"));
}

static void test_set_aside_events_are_bounded_and_counted(void **state)
{
    struct bench *b = *state;
    static uint8_t body[60000];
    begin(b, 8 * MIB);
    for (unsigned i = 0; i < 50; i++) {
        struct aside aside = {.time_us = 5,
                              .kind = ASIDE_PAYLOAD,
                              .size = sizeof body,
                              .source = SLICE("http"),
                              .reason = SLICE("no such field"),
                              .body = {body, sizeof body}};
        struct buffer_write write = {.asides = &aside, .aside_count = 1};
        assert_int_equal(bench_commit(b, &write), ERR_OK);
        if (i == 25) {
            bench_reopen(b);
        }
    }
    uint64_t count = 0;
    assert_int_equal(buffer_aside_each(b->buffer, 0, 1000, count_aside, &count, &b->why), ERR_OK);
    assert_int_equal(count, b->changes.aside_count);
    assert_in_range(count, 4, 7); /* 5 % of 8 MiB */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_delivered_rows_make_room),
        TEST(test_full_drops_the_oldest_of_the_lowest),
        TEST(test_block_says_no_room),
        TEST(test_a_parcel_at_the_head_does_not_stop_the_dropping),
        TEST(test_what_was_just_read_stays),
        TEST(test_a_dead_uplink_pins_no_more_than_its_share),
        TEST(test_nothing_is_dropped_while_delivered_rows_wait),
        TEST(test_rows_between_owed_ones_go),
        TEST(test_small_rows_give_way_in_numbers),
        TEST(test_streams_give_way_in_the_order_of_priority),
        TEST(test_share_min_is_kept),
        TEST(test_a_share_on_a_full_disk),
        TEST(test_a_full_disk_stays_one_while_rows_give_way),
        TEST(test_a_reserve_for_high_priorities),
        TEST(test_gaps_merge_and_stay_exact),
        TEST(test_set_aside_events_are_bounded_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
