/* What becomes of events when the buffer is full or they are old: each policy, what is counted, for
 * whom, and that nothing else is missing. */
#include "tests/buffer/bench.h"

#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"

#define MIB (1 << 20)
#define SECOND_US INT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)

/* --- a thinner that keeps every tenth event, and the last of a row --- */

struct tenth {
    uint64_t sequences[16384];
    size_t count;
    size_t rows;
};

static void tenth_begin(void *context, uint16_t stream, uint32_t schema)
{
    struct tenth *t = context;
    assert_true(stream >= 1 && schema >= 1);
    t->count = 0;
    t->rows++;
}

static void tenth_look(void *context, const struct stored_event *event)
{
    struct tenth *t = context;
    assert_true(t->count < 16384);
    t->sequences[t->count++] = event->sequence;
}

static bool tenth_stays(void *context, size_t index)
{
    const struct tenth *t = context;
    return t->sequences[index] % 10 == 0 || index + 1 == t->count;
}

static struct tenth tenth;

/* --- set-ups --- */

static void begin(struct bench *b, int64_t size_max, uint8_t when_full)
{
    b->setup->size_max = size_max;
    b->setup->streams[0].when_full = when_full;
    b->setup->thinner = (struct buffer_thinner){tenth_begin, tenth_look, tenth_stays, &tenth};
    b->datum_size = 500;
    tenth.rows = 0;
    bench_begin(b);
}

/* What gaps count that concern an uplink (0: all gaps). */
static uint64_t lost_to(const struct bench *b, uint16_t uplink, uint16_t stream)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        const struct gap *gap = &b->changes.gaps[i];
        bool concerns = uplink == 0 || gap->uplink == 0 || gap->uplink == uplink;
        sum += gap->stream == stream && concerns ? gap->count : 0;
    }
    return sum;
}

/* Nobody is owed what is not counted as lost, and what is there is as it was stored. */
static void check_counts(struct bench *b, uint16_t uplink, uint16_t stream, uint64_t delivered)
{
    const struct owed *owed = bench_owed(b, uplink, stream);
    uint64_t there = 0;
    for (size_t r = 0; r < owed->range_count; r++) {
        there += bench_read(b, stream, owed->ranges[r].first, owed->ranges[r].last);
    }
    assert_int_equal(there + lost_to(b, uplink, stream) + delivered, b->next[stream] - 1);
}

static void check_reasons(const struct bench *b, uint16_t stream)
{
    const struct stream_state *s = &b->changes.streams[stream];
    uint64_t sum = 0;
    for (size_t i = 0; i < GAP_REASON_COUNT; i++) {
        sum += s->dropped[i];
    }
    assert_int_equal(sum, s->dropped_count);
    assert_int_equal(sum, lost_to(b, 0, stream));
}

static uint64_t reason(const struct bench *b, uint16_t stream, enum gap_reason reason)
{
    return b->changes.streams[stream].dropped[reason];
}

/* Everything is delivered: no row is left, and the accounts are at 0. */
static void drain(struct bench *b, uint16_t stream)
{
    bench_end(b, 1, stream, 1, b->next[stream] - 1);
    bench_end(b, 2, stream, 1, b->next[stream] - 1);
    for (unsigned i = 0; i < 200; i++) {
        bench_idle(b);
    }
    assert_int_equal(b->buffer->state->streams[stream].row_events, 0);
    assert_int_equal(b->buffer->state->streams[stream].row_bytes, 0);
    assert_int_equal(bench_row_count(b), 0);
}

/* --- who loses what --- */

/* One uplink had half of it: the gap is the other one's. */
static void test_a_loss_is_of_those_who_did_not_have_it(void **state)
{
    struct bench *b = *state;
    begin(b, 6 * MIB, FULL_DROP_OLDEST);
    uint64_t had = 0;
    while (b->changes.streams[1].dropped_count < 6000) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
        if (b->next[1] < 4000) {
            bench_end(b, 1, 1, 1, b->next[1] - 1);
            had = b->next[1] - 1;
        }
    }
    check_reasons(b, 1);
    check_counts(b, 1, 1, had);
    check_counts(b, 2, 1, 0);
    assert_true(lost_to(b, 1, 1) + had == lost_to(b, 2, 1));
    bench_reopen(b);
    check_counts(b, 1, 1, had);
    check_counts(b, 2, 1, 0);
    drain(b, 1);
}

/* 64 of one stream are kept apart; counts of each uplink stay exact. */
static void test_many_gaps_of_one_stream(void **state)
{
    (void)state;
    struct state *s = NULL;
    uint64_t counts[3] = {0};
    assert_int_equal(state_open(&s, 4), ERR_OK);
    s->streams[1].sequence_next = 100000;
    for (uint64_t i = 0; i < 1000; i++) {
        struct gap gap = {.stream = 1,
                          .uplink = (uint16_t)(i % 3),
                          .reason = (uint8_t)(1 + i / 3 % 2),
                          .range = {10 * i + 1, 10 * i + 5},
                          .count = 1 + i % 5};
        state_drop(s, &gap);
        counts[i % 3] += gap.count;
        assert_true(s->gap_count <= GAP_STREAM_COUNT_MAX);
    }
    for (uint32_t i = 0; i < s->gap_count; i++) {
        counts[s->gaps[i].uplink] -= s->gaps[i].count;
    }
    assert_int_equal(counts[0] | counts[1] | counts[2], 0);
    state_close(s);
}

/* Every stream loses something for several reasons before anything is told: no count is lost. */
static void test_gaps_of_all_streams(void **state)
{
    (void)state;
    struct state *s = NULL;
    assert_int_equal(state_open(&s, 4), ERR_OK);
    for (uint64_t i = 0; i < 5 * STREAM_COUNT_MAX; i++) {
        uint16_t stream = (uint16_t)(1 + i % STREAM_COUNT_MAX);
        s->streams[stream].sequence_next = 100000;
        struct gap gap = {.stream = stream,
                          .uplink = (uint16_t)(i % 7),
                          .reason = (uint8_t)(1 + i / STREAM_COUNT_MAX),
                          .range = {i + 1, i + 1},
                          .count = 1};
        state_drop(s, &gap);
        assert_true(s->gap_count <= GAP_COUNT_MAX);
    }
    for (uint16_t stream = 1; stream <= STREAM_COUNT_MAX; stream++) {
        uint64_t told = 0;
        for (uint32_t i = 0; i < s->gap_count; i++) {
            told += s->gaps[i].stream == stream ? s->gaps[i].count : 0;
        }
        assert_int_equal(told, 5);
        assert_int_equal(state_dropped(s, stream), 5);
    }
    state_close(s);
}

/* --- drop_newest --- */

static void test_dropped_on_arrival(void **state)
{
    struct bench *b = *state;
    begin(b, 6 * MIB, FULL_DROP_NEWEST);
    bench_fill(b, 1, 50, 200);
    bench_skip(b, 1, 7);
    bench_fill(b, 1, 50, 300);
    assert_int_equal(reason(b, 1, GAP_DROP_NEWEST), 7);
    assert_int_equal(b->changes.gaps[0].range.first, 201);
    assert_int_equal(b->changes.gaps[0].range.last, 207);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 2);
    assert_int_equal(bench_read(b, 1, 1, b->next[1] - 1), b->next[1] - 8);
    bench_reopen(b);
    assert_int_equal(reason(b, 1, GAP_DROP_NEWEST), 7);
    check_counts(b, 1, 1, 0);
    check_counts(b, 2, 1, 0);
    drain(b, 1);
}

/* Far more holes than owed ranges: what is owed is one range then, and what is counted is right. */
static void test_many_holes(void **state)
{
    struct bench *b = *state;
    b->setup->uplinks[1].hold_max = 200000;
    begin(b, 8 * MIB, FULL_DROP_NEWEST);
    while (b->changes.room[1] > 50 * 500 && b->next[1] < 12000) {
        assert_int_equal(bench_append(b, 1, 20), ERR_OK);
        bench_skip(b, 1, (uint32_t)(3 + b->next[1] % 11));
    }
    assert_int_equal(bench_owed(b, 1, 1)->range_count, OWED_RANGE_MAX);
    assert_true(reason(b, 1, GAP_HOLD_MAX) > 500);
    check_reasons(b, 1);
    check_counts(b, 1, 1, 0);
    check_counts(b, 2, 1, 0);
    assert_true(lost_to(b, 2, 1) > lost_to(b, 1, 1));
    bench_reopen(b);
    check_counts(b, 2, 1, 0);
    drain(b, 1);
}

/* A gap is told and the next one begins right behind it, in one commit: that is another gap. */
static void test_a_gap_that_is_told_does_not_grow(void **state)
{
    struct bench *b = *state;
    begin(b, 6 * MIB, FULL_DROP_NEWEST);
    bench_skip(b, 1, 5);
    uint32_t number = b->changes.gaps[0].number;
    struct stored_event event = {.stream = 1, .sequence = 6, .dropped = 4};
    struct buffer_write write = {
        .events = &event, .event_count = 1, .gaps_told = &number, .gap_told_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    assert_int_equal(b->changes.gap_count, 1);
    assert_int_equal(b->changes.gaps[0].count, 4);
    assert_int_equal(b->changes.gaps[0].range.first, 6);
}

/* --- thin --- */

static void test_rows_are_thinned_then_dropped(void **state)
{
    struct bench *b = *state;
    begin(b, 6 * MIB, FULL_THIN);
    while (reason(b, 1, GAP_THIN) < 3000) {
        assert_true(b->changes.room[1] >= 50 * 500);
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    assert_int_equal(reason(b, 1, GAP_DROP_OLDEST), 0);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 1);
    check_counts(b, 1, 1, 0);
    while (reason(b, 1, GAP_DROP_OLDEST) < 1000) {
        assert_true(b->changes.room[1] >= 50 * 500);
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    check_reasons(b, 1);
    check_counts(b, 1, 1, 0);
    check_counts(b, 2, 1, 0);
    assert_true(reason(b, 1, GAP_THIN) > 6 * reason(b, 1, GAP_DROP_OLDEST));
    size_t rows = tenth.rows;
    bench_reopen(b); /* the border is found again */
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    assert_true(tenth.rows - rows < 60); /* each row once */
    check_counts(b, 1, 1, 0);
    assert_true(b->changes.streams[1].event_count < b->next[1] / 3);
    drain(b, 1);
}

/* What is in an open parcel, or was just read for one, stays whole. */
static void test_a_parcel_is_not_thinned(void **state)
{
    struct bench *b = *state;
    begin(b, 6 * MIB, FULL_THIN);
    bench_fill(b, 1, 50, 900);
    struct parcel parcel = bench_parcel(1, 1, 1, 300, 1);
    bench_parcel_put(b, &parcel);
    b->rows->is_look = false;
    bench_check(b, 1, 301, 340);
    b->rows->is_look = true;
    while (reason(b, 1, GAP_THIN) < 4000) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    bench_check(b, 1, 1, 340);
    check_counts(b, 1, 1, 0);
    bench_done(b, 1, 1, 0);
    struct parcel second = bench_parcel(1, 1, 301, 340, 1);
    bench_parcel_put(b, &second);
    bench_done(b, 1, 1, 0);
    while (reason(b, 1, GAP_DROP_OLDEST) == 0) { /* the other uplink's: now it may be thinned */
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    check_counts(b, 1, 1, 340);
    check_counts(b, 2, 1, 0);
}

/* Delivered in part, cut by hold_max, thinned, dropped: each is counted once for each uplink. */
static void test_thinned_rows_are_counted_once(void **state)
{
    struct bench *b = *state;
    b->setup->uplinks[1].hold_max = 250000;
    begin(b, 6 * MIB, FULL_THIN);
    uint64_t had = 0;
    for (unsigned i = 0; i < 700; i++) {
        assert_true(b->changes.room[1] >= 50 * 500);
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
        const struct owed *owed = bench_owed(b, 1, 1);
        if (i % 30 == 0 && owed->range_count > 0) {
            uint64_t first = owed->ranges[0].first;
            uint64_t last = owed->ranges[0].last;
            last = last < first + 99 ? last : first + 99;
            had += bench_read(b, 1, first, last);
            bench_end(b, 1, 1, first, last);
        }
    }
    assert_true(reason(b, 1, GAP_THIN) > 1000 && reason(b, 1, GAP_HOLD_MAX) > 100);
    check_reasons(b, 1);
    check_counts(b, 1, 1, had);
    check_counts(b, 2, 1, 0);
    bench_reopen(b);
    check_counts(b, 1, 1, had);
    check_counts(b, 2, 1, 0);
    drain(b, 1);
}

/* Bounded in each commit, and the log stays within its size though rows are written anew. */
static void test_thinning_is_bounded(void **state)
{
    struct bench *b = *state;
    struct crash_counts before;
    struct crash_counts after;
    begin(b, 12 * MIB, FULL_THIN);
    while (reason(b, 1, GAP_THIN) == 0) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    for (unsigned i = 0; i < 300; i++) {
        size_t rows = tenth.rows;
        crash_vfs_counts(b->vfs, &before);
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
        crash_vfs_counts(b->vfs, &after);
        assert_true(tenth.rows - rows <= DELETES_PER_COMMIT);
        assert_true(after.wal_high <= 2 * MIB);
    }
}

/* --- maximum age --- */

static void old_stream(struct bench *b, int64_t age_max_us)
{
    b->setup->streams[0].age_max_us = age_max_us;
    b->step_us = SECOND_US;
}

static int64_t time_of(uint64_t sequence)
{
    return BENCH_TIME_US + (int64_t)sequence * SECOND_US;
}

/* Rows and tail alike, with nothing arriving; an hour and a minute later all are gone. */
static void test_old_events_go(void **state)
{
    struct bench *b = *state;
    old_stream(b, HOUR_US);
    begin(b, 16 * MIB, FULL_BLOCK);
    bench_fill(b, 1, 50, 2000); /* the last ones are in the tail */
    b->wall_us = time_of(2000);
    bench_idle(b);
    assert_int_equal(reason(b, 1, GAP_AGE), 0);
    b->wall_us = time_of(1000) + HOUR_US + 60 * SECOND_US;
    for (unsigned i = 0; i < 10; i++) {
        bench_idle(b);
    }
    assert_in_range(reason(b, 1, GAP_AGE), 1000, 1060);
    check_reasons(b, 1);
    check_counts(b, 1, 1, 0);
    assert_true(b->changes.age_due_us > b->wall_us && b->changes.age_due_us < INT64_MAX);
    b->wall_us = time_of(2000) + HOUR_US + 60 * SECOND_US;
    for (unsigned i = 0; i < 10; i++) {
        bench_idle(b);
    }
    assert_int_equal(reason(b, 1, GAP_AGE), 2000);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 0);
    bench_reopen(b);
    assert_int_equal(reason(b, 1, GAP_AGE), 2000);
    bench_append(b, 1, 10);
    drain(b, 1);
}

/* Without a clock nobody knows how old anything is; without the offset of a boot neither. */
static void test_age_needs_a_clock(void **state)
{
    struct bench *b = *state;
    old_stream(b, HOUR_US);
    begin(b, 16 * MIB, FULL_BLOCK);
    bench_fill(b, 1, 50, 500);
    bench_idle(b);
    assert_int_equal(reason(b, 1, GAP_AGE), 0);
    struct stored_event event = {.stream = 1,
                                 .schema = b->schema[1],
                                 .sequence = b->next[1],
                                 .trust = TIME_BOOT,
                                 .boot = 9,
                                 .time_us = 5 * SECOND_US};
    struct buffer_write write = {.events = &event, .event_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    b->next[1]++;
    b->wall_us = time_of(500) + 2 * HOUR_US;
    bench_idle(b);
    assert_int_equal(reason(b, 1, GAP_AGE), 500);
    b->wall_us += 100 * HOUR_US;
    bench_idle(b);
    assert_int_equal(reason(b, 1, GAP_AGE), 500);
    struct boot_offset offset = {.boot = 9, .offset_us = b->wall_us - 2 * HOUR_US};
    write = (struct buffer_write){.boots = &offset, .boot_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    b->wall_us += 60 * SECOND_US;
    bench_idle(b);
    assert_int_equal(reason(b, 1, GAP_AGE), 501);
}

/* A parcel stays; what lies behind it goes. One uplink had some of it: it lost nothing of that. */
static void test_age_leaves_what_is_being_sent(void **state)
{
    struct bench *b = *state;
    old_stream(b, HOUR_US);
    begin(b, 16 * MIB, FULL_BLOCK);
    bench_fill(b, 1, 50, 1000);
    struct parcel parcel = bench_parcel(1, 1, 1, 100, 1);
    bench_parcel_put(b, &parcel);
    bench_end(b, 2, 1, 1, 600);
    b->wall_us = time_of(2000) + HOUR_US;
    for (unsigned i = 0; i < 4; i++) {
        bench_idle(b);
    }
    bench_check(b, 1, 1, 100);
    assert_int_equal(lost_to(b, 1, 1), 900);
    assert_int_equal(lost_to(b, 2, 1), 400);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 1);
    bench_done(b, 1, 1, 0);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 0);
}

/* A long backlog goes over many commits; sparse rows are counted by what they hold. */
static void test_age_is_bounded_and_exact(void **state)
{
    struct bench *b = *state;
    old_stream(b, 24 * HOUR_US);
    begin(b, 6 * MIB, FULL_THIN);
    while (reason(b, 1, GAP_THIN) < 20000) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    uint64_t there = b->next[1] - 1 - lost_to(b, 1, 1);
    b->wall_us = time_of(b->next[1]) + 30 * HOUR_US;
    unsigned commits = 0;
    while (b->changes.streams[1].event_count > 0) {
        uint64_t before = reason(b, 1, GAP_AGE);
        bench_idle(b);
        assert_true(reason(b, 1, GAP_AGE) > before || commits > 0);
        assert_true(commits++ < 100);
    }
    assert_true(commits > 1);
    assert_int_equal(reason(b, 1, GAP_AGE), there);
    drain(b, 1);
}

/* --- shares --- */

/* A share is kept free before its stream has anything: one that never gives way can't take it. */
static void test_a_share_is_kept_for_an_empty_stream(void **state)
{
    struct bench *b = *state;
    b->setup->streams[1].priority = 1;
    b->setup->streams[1].share_min = 200000;
    begin(b, 10 * MIB, FULL_BLOCK);
    bench_fill(b, 1, 50, 1000000);
    uint64_t before = b->next[2];
    bench_fill(b, 2, 50, 1000000);
    assert_true((b->next[2] - before) * 500 > 10 * MIB / 10);
    assert_int_equal(b->changes.streams[1].dropped_count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_loss_is_of_those_who_did_not_have_it),
        cmocka_unit_test(test_many_gaps_of_one_stream),
        cmocka_unit_test(test_gaps_of_all_streams),
        TEST(test_dropped_on_arrival),
        TEST(test_many_holes),
        TEST(test_a_gap_that_is_told_does_not_grow),
        TEST(test_rows_are_thinned_then_dropped),
        TEST(test_a_parcel_is_not_thinned),
        TEST(test_thinned_rows_are_counted_once),
        TEST(test_thinning_is_bounded),
        TEST(test_old_events_go),
        TEST(test_age_needs_a_clock),
        TEST(test_age_leaves_what_is_being_sent),
        TEST(test_age_is_bounded_and_exact),
        TEST(test_a_share_is_kept_for_an_empty_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
