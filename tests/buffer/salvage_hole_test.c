/* What nothing is left of in a damaged file is a gap, and only that: what lies between two such places, and
 * is here or comes from elsewhere, stays owed. */
#include <stdio.h>
#include <string.h>

#include "buffer/damage.h"
#include "tests/buffer/bench.h"

/* A constant of the header is wrong. */
static void find_at_start(struct bench *b)
{
    uint64_t size;
    buffer_close(b->buffer);
    b->buffer = NULL;
    crash_vfs_file(b->vfs, BENCH_PATH, &size)[21] ^= 1;
    uint8_t *log = crash_vfs_file(b->vfs, BENCH_PATH "-wal", &size);
    memset(log, 0, size); /* else it has the page once more */
    bench_reopen(b);
}

static void fill(struct bench *b, uint64_t total)
{
    b->datum_size = 500;
    bench_fill(b, 1, 60, total);
}

/* The first row of stream 1 that begins above a sequence. */
static struct range row_above(struct bench *b, uint64_t sequence)
{
    struct row_place row;
    assert_int_equal(row_seek(b->buffer, 1, sequence + 1, &row, &b->why), ERR_OK);
    return row.range;
}

static uint64_t spoil(struct bench *b, struct range row)
{
    char sql[100];
    (void)snprintf(sql, sizeof sql, "UPDATE batch SET crc=crc+1 WHERE id=%lld",
                   (long long)row_id(1, row.first));
    bench_sql(b, sql);
    return row.last - row.first + 1;
}

static uint64_t owed_in(struct bench *b, uint16_t uplink, struct range range)
{
    return owed_count_in(bench_owed(b, uplink, 1), range);
}

static uint64_t told(const struct bench *b)
{
    uint64_t count = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        assert_int_equal(b->changes.gaps[i].reason, GAP_DAMAGED);
        count += b->changes.gaps[i].count;
    }
    return count;
}

/* Deletes what nobody is owed, and what is left is all there. */
static void check_kept(struct bench *b, uint16_t uplink, struct range range, uint64_t lost)
{
    for (unsigned i = 0; i < 40; i++) {
        bench_idle(b);
    }
    buffer_state(b->buffer, &b->changes);
    assert_int_equal(told(b), lost);
    assert_int_equal(owed_in(b, uplink, range), range.last - range.first + 1 - lost);
    assert_int_equal(bench_read(b, 1, range.first, range.last),
                     range.last - range.first + 1 - lost);
}

/* The later file has lost a row on each side of what comes from the earlier one, first. */
static void test_what_an_earlier_file_brings(void **state)
{
    struct bench *b = *state;
    fill(b, 4000);
    bench_find_damage(b);
    assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_OK);
    uint64_t came = b->buffer->salvage->at.low;
    fill(b, 6000);
    uint64_t lost = 0;
    for (struct range row = row_above(b, 0);; row = row_above(b, row.last)) {
        if (row.last == came) {
            lost += spoil(b, row);
        } else if (row.first > came) {
            assert_true(row.first > came + 1000);
            lost += spoil(b, row);
            break;
        }
    }
    bench_find_damage(b);
    bench_reopen(b);
    bench_care(b);
    check_kept(b, 1, (struct range){1, b->next[1] - 1}, lost);
    check_kept(b, 2, (struct range){1, b->next[1] - 1}, lost);
}

/* A row is lost on each side of an open parcel. */
static void test_what_an_open_parcel_has(void **state)
{
    struct bench *b = *state;
    fill(b, 4000);
    bench_end(b, 2, 1, 1, b->next[1] - 1);
    struct range before = row_above(b, row_above(b, 0).last);
    struct range of_parcel = row_above(b, before.last);
    of_parcel.last = row_above(b, of_parcel.last).last;
    struct range behind = row_above(b, of_parcel.last);
    uint64_t lost = spoil(b, before) + spoil(b, behind);
    struct parcel parcel = bench_parcel(1, 1, of_parcel.first, of_parcel.last, 1);
    bench_parcel_put(b, &parcel);
    bench_find_damage(b);
    bench_care(b);
    check_kept(b, 1, (struct range){1, b->next[1] - 1}, lost);
    assert_int_equal(owed_in(b, 1, of_parcel), of_parcel.last - of_parcel.first + 1);
}

/* Events of an open parcel were dropped on arrival: nobody misses them, and it is sent as it was. */
static void test_what_an_open_parcel_never_had(void **state)
{
    struct bench *b = *state;
    for (unsigned reopens = 0; reopens < 2; reopens++) {
        bench_begin(b);
        fill(b, 1000);
        uint64_t skipped = b->next[1];
        bench_skip(b, 1, 300);
        fill(b, 3000);
        struct parcel parcel = bench_parcel(1, 1, skipped - 200, skipped + 500, 1);
        bench_parcel_put(b, &parcel);
        uint64_t dropped = b->changes.gap_count;
        assert_int_equal(dropped, 1); /* on arrival */
        if (reopens) {
            find_at_start(b);
        } else {
            bench_find_damage(b);
        }
        assert_int_equal(b->changes.damage.replaced, 1);
        bench_care(b);
        assert_int_equal(b->changes.gap_count, 1);
        assert_int_equal(b->changes.gaps[0].count, 300);
        assert_int_equal(b->buffer->state->parcel_count, 1);
        for (uint16_t u = 1; u <= 2; u++) {
            assert_int_equal(bench_owed(b, u, 1)->range_count, 2);
            assert_int_equal(owed_in(b, u, (struct range){1, b->next[1] - 1}),
                             b->next[1] - 1 - 300);
        }
    }
}

/* Its list of ranges is full, so that the parcel's are wanted as the rest; it lacks a row: it is not open any
 * more. */
static void test_a_parcel_in_a_full_list(void **state)
{
    struct bench *b = *state;
    fill(b, 4000);
    for (uint64_t n = 2; n <= 14; n += 2) {
        bench_end(b, 1, 1, n, n);
    }
    assert_int_equal(bench_owed(b, 1, 1)->range_count, OWED_RANGE_MAX);
    struct range first = row_above(b, row_above(b, 0).last);
    struct range second = row_above(b, first.last);
    struct parcel parcel = bench_parcel(1, 1, first.first, row_above(b, second.last).last, 1);
    bench_parcel_put(b, &parcel);
    assert_true(spoil(b, second) > 0);
    assert_int_equal(b->buffer->state->parcel_count, 1);
    find_at_start(b);
    assert_int_equal(b->buffer->state->parcel_count, 0);
    assert_int_equal(told(b), 0); /* it is looked for, as the rest */
}

static uint64_t told_of(const struct bench *b, uint8_t reason)
{
    uint64_t count = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        count += b->changes.gaps[i].reason == reason ? b->changes.gaps[i].count : 0;
    }
    return count;
}

/* The list is full, and the last range has grown over what was dropped on arrival: that is not lost once
 * more. A row that is lost is told all the same. */
static void test_a_full_list_of_ranges(void **state)
{
    struct bench *b = *state;
    for (unsigned harm = 0; harm < 2; harm++) {
        uint64_t dropped = 0;
        uint64_t lost = 0;
        bench_begin(b);
        for (unsigned i = 0; i < 12; i++, dropped += 30) {
            fill(b, b->next[1] + 400);
            bench_skip(b, 1, 30);
        }
        fill(b, b->next[1] + 1000);
        assert_int_equal(bench_owed(b, 1, 1)->range_count, OWED_RANGE_MAX);
        uint64_t had = bench_owed(b, 1, 1)->ranges[1].last;
        for (uint16_t u = 1; u <= 2; u++) { /* room for what comes over */
            bench_end(b, u, 1, 1, had);
        }
        lost = harm ? spoil(b, row_above(b, 4000)) : 0;
        bench_find_damage(b);
        bench_reopen(b);
        bench_care(b);
        assert_int_equal(told_of(b, GAP_DROP_NEWEST), dropped);
        assert_in_range(told_of(b, GAP_DAMAGED), lost, lost ? lost + 5 * 30 : 0);
        assert_in_range(b->changes.damage.lost, lost, lost ? lost + 5 * 30 : 0);
        assert_int_equal(bench_read(b, 1, had + 1, b->next[1] - 1),
                         b->next[1] - 1 - had - (dropped - 30) - lost);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_an_earlier_file_brings),   TEST(test_what_an_open_parcel_has),
        TEST(test_what_an_open_parcel_never_had), TEST(test_a_parcel_in_a_full_list),
        TEST(test_a_full_list_of_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
