/* A damaged medium: what is damaged is found, counted and passed over; nothing else is lost, and
 * nothing goes round for ever.
 *
 * WEIR_LONG=1: 600 files with random damage, else 36. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "buffer/salvage.h"
#include "tests/buffer/bench.h"

static uint64_t damaged_count(const struct bench *b)
{
    uint64_t count = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        count += b->changes.gaps[i].reason == GAP_DAMAGED ? b->changes.gaps[i].count : 0;
    }
    return count;
}

/* Enough sealed rows of the one stream, for one uplink. */
static void begin(struct bench *b)
{
    b->setup->uplink_count = 1;
    b->setup->streams[0].uplinks = 1;
    b->datum_size = 500;
    bench_begin(b);
    bench_fill(b, 1, 50, 5000);
}

/* The third row is damaged in this way: its events are a counted gap, all others are read, and in
 * the end all rows are gone. */
static void check_one_row(struct bench *b, const char *sql)
{
    begin(b);
    uint64_t rows = bench_row_count(b);
    uint64_t last = b->next[1] - 1;
    bench_sql(b, sql);
    uint64_t found = bench_read(b, 1, 1, last);
    assert_in_range(last - found, 1, 600);
    struct buffer_write nothing = {.event_count = 0};
    assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    assert_int_equal(damaged_count(b), last - found);
    assert_int_equal(b->changes.streams[1].dropped_count, last - found);
    const struct owed *owed = bench_owed(b, 1, 1);
    assert_int_equal(owed->range_count, 2);
    assert_int_equal(owed->ranges[0].first, 1);
    assert_int_equal(owed->ranges[1].first - owed->ranges[0].last - 1, last - found);
    bench_check(b, 1, 1, owed->ranges[0].last);
    bench_check(b, 1, owed->ranges[1].first, last);
    bench_reopen(b);
    assert_int_equal(damaged_count(b), last - found); /* told once */
    assert_int_equal(bench_read(b, 1, 1, last), found);
    bench_end(b, 1, 1, 1, last);
    for (unsigned i = 0; i < rows; i++) {
        assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    }
    assert_int_equal(bench_row_count(b), 0);
}

#define THIRD "WHERE id=(SELECT id FROM batch ORDER BY id LIMIT 1 OFFSET 2)"

static void test_a_row_is_damaged(void **state)
{
    static const char *const ways[] = {
        "UPDATE batch SET body=zeroblob(length(body)) " THIRD,
        "UPDATE batch SET body=x'' " THIRD,
        "UPDATE batch SET body=substr(body,1,length(body)/2) " THIRD,
        "UPDATE batch SET crc=crc+1 " THIRD,
        "UPDATE batch SET n=n+1 " THIRD,
        "UPDATE batch SET n=-1 " THIRD,
        "UPDATE batch SET n=-9223372036854775808 " THIRD,
        "UPDATE batch SET schema=77 " THIRD,
        "UPDATE batch SET last=last-1 " THIRD,
        "UPDATE batch SET last=last+100000 " THIRD,
        "UPDATE batch SET last=9223372036854775807 " THIRD,
        "UPDATE batch SET last=-1 " THIRD,
        "UPDATE batch SET last=0 " THIRD,
        "UPDATE batch SET body='text' " THIRD,
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        check_one_row(*state, ways[i]);
    }
}

/* Whoever read it has nothing to send, and says so: that is in the commit that counts it, or in
 * memory before. It is counted all the same. */
static void test_a_damaged_row_is_told_by_what_ends_it(void **state)
{
    struct bench *b = *state;
    for (unsigned kept = 0; kept < 2; kept++) {
        begin(b);
        uint64_t last = b->next[1] - 1;
        bench_sql(b, "UPDATE batch SET crc=crc+1 " THIRD);
        uint64_t lost = last - bench_read(b, 1, 1, last);
        const struct owed_end end = {.uplink = 1, .stream = 1, .range = {1, last}};
        struct buffer_write write = {.ends = &end, .end_count = 1};
        if (kept) {
            assert_int_equal(buffer_keep(b->buffer, &write, &b->changes, &b->why), ERR_OK);
            write.end_count = 0;
        }
        assert_int_equal(bench_commit(b, &write), ERR_OK);
        assert_true(lost > 0);
        assert_int_equal(damaged_count(b), lost);
        bench_reopen(b);
        assert_int_equal(damaged_count(b), lost);
        assert_int_equal(bench_owed(b, 1, 1)->range_count, 0);
    }
}

/* Nothing can be written: it waits until the loss can be told. */
static void test_a_damaged_row_is_not_passed_over_while_reading_only(void **state)
{
    struct bench *b = *state;
    begin(b);
    uint64_t last = b->next[1] - 1;
    bench_sql(b, "UPDATE batch SET crc=crc+1 " THIRD);
    b->setup->read_only = true;
    bench_reopen(b);
    b->rows->is_look = false; /* to send */
    struct range range = {1, last};
    enum err e = ERR_OK;
    for (unsigned i = 0; !e && i < 100 && range.first <= last; i++) {
        e = buffer_read(b->buffer, 1, range, SIZE_MAX, b->rows, &b->why);
        range.first = e ? range.first : b->rows->covered.last + 1;
    }
    assert_int_equal(e, ERR_AGAIN);
    assert_in_range(range.first, 2, 3 * 600); /* what lies before it can be sent */
    b->rows->is_look = true;
    assert_true(bench_read(b, 1, 1, last) < last);
    b->rows->is_look = false;
    b->setup->read_only = false;
    bench_reopen(b);
    assert_true(bench_read(b, 1, 1, last) < last);
}

/* A record of the tail is lost, and with it a gap; a later one says that the gap is told. What is
 * lost with the record is a gap of its own, and not yet told. */
static void test_a_lost_record_is_told(void **state)
{
    struct bench *b = *state;
    char sql[160];
    const uint32_t told = 1; /* number of the gap */
    begin(b);
    assert_int_equal(bench_append(b, 1, 5), ERR_OK); /* seals, or has room */
    uint64_t lost = b->next[1];
    size_t at = b->buffer->tail_size;
    bench_skip(b, 1, 7);
    assert_int_equal(b->changes.gaps[0].number, told);
    assert_int_equal(bench_append(b, 1, 5), ERR_OK);
    struct buffer_write write = {.gaps_told = &told, .gap_told_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    assert_int_equal(b->changes.gap_count, 0);
    assert_true(b->buffer->tail_size > at && at > 0); /* all of it is in the tail */
    (void)snprintf(sql, sizeof sql,
                   "UPDATE tail SET body=CAST(substr(body,1,%zu)||x'5555'||substr(body,%zu) AS "
                   "BLOB)",
                   at + 20, at + 23);
    bench_sql(b, sql);
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_true(bench_is_told(b, 1, lost));
}

/* The oldest row says that it never ends: at the cap it goes alone, and at once. */
static void test_a_damaged_end_takes_nothing_else_along(void **state)
{
    struct bench *b = *state;
    b->setup->size_max = 6 << 20;
    begin(b);
    bench_sql(b, "UPDATE batch SET last=9223372036854775807 "
                 "WHERE id=(SELECT id FROM batch ORDER BY id LIMIT 1)");
    while (b->changes.streams[1].dropped_count == 0) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    assert_in_range(b->changes.streams[1].dropped_count, 1, 16 * 600);
    const struct owed *owed = bench_owed(b, 1, 1);
    bench_check(b, 1, owed->ranges[0].first, b->next[1] - 1);
}

/* More damaged rows than are remembered between two commits: each is counted. */
static void test_all_rows_are_damaged(void **state)
{
    struct bench *b = *state;
    struct buffer_write nothing = {.event_count = 0};
    begin(b);
    uint64_t last = b->next[1] - 1;
    bench_sql(b, "UPDATE batch SET crc=0");
    uint64_t first = 1;
    unsigned commits = 0;
    uint64_t found = 0;
    b->rows->is_look = false; /* which would pass over them, noted or not */
    while (first <= last) {
        enum err e =
            buffer_read(b->buffer, 1, (struct range){first, last}, 1 << 20, b->rows, &b->why);
        assert_true(e == ERR_OK || e == ERR_AGAIN);
        if (e == ERR_OK) {
            found += b->rows->event_count;
            first = b->rows->covered.last + 1;
        }
        assert_int_equal(bench_commit(b, &nothing), ERR_OK);
        assert_true(commits++ < 20);
    }
    assert_true(found > 0); /* the tail */
    assert_int_equal(damaged_count(b) + found, last);
    bench_reopen(b);
    assert_int_equal(damaged_count(b) + found, last);
}

static void nothing_begins(void *context, uint16_t stream, uint32_t schema)
{
    (void)context;
    (void)stream;
    (void)schema;
}

static void nothing_is_looked_at(void *context, const struct stored_event *event)
{
    (void)context;
    (void)event;
}

static bool all_stays(void *context, size_t index)
{
    (void)context;
    (void)index;
    return true;
}

/* It says that it has 40 of its events: no more are lost with it, to anybody, and the range is all of it. */
static void test_a_damaged_row_that_was_thinned(void **state)
{
    struct bench *b = *state;
    for (unsigned half = 0; half < 2; half++) {
        b->setup->streams[0].when_full = FULL_THIN;
        b->setup->thinner =
            (struct buffer_thinner){nothing_begins, nothing_is_looked_at, all_stays, NULL};
        b->datum_size = 500;
        bench_begin(b);
        bench_fill(b, 1, 50, 5000);
        uint64_t last = b->next[1] - 1;
        uint64_t first = (uint64_t)sql_number(
            b->buffer, "SELECT id&0xffffffffffff FROM batch ORDER BY id LIMIT 1 OFFSET 2", 0);
        uint64_t end = (uint64_t)sql_number(
            b->buffer, "SELECT last FROM batch ORDER BY id LIMIT 1 OFFSET 2", 0);
        assert_true(end > first + 150);
        if (half) {
            bench_end(b, 1, 1, 1, first + 100);
        }
        bench_sql(b, "UPDATE batch SET n=-40,crc=0 " THIRD);
        assert_int_equal(bench_read(b, 1, 1, last), last - (end - first + 1));
        bench_idle(b);
        assert_true(bench_is_told(b, 1, end));
        assert_true(half || bench_is_told(b, 1, first));
        for (uint16_t u = 1; u <= 2; u++) {
            uint64_t told = 0;
            for (size_t i = 0; i < b->changes.gap_count; i++) {
                const struct gap *gap = &b->changes.gaps[i];
                told += gap->uplink == 0 || gap->uplink == u ? gap->count : 0;
            }
            assert_int_equal(told, 40);
            assert_false(owed_meets(bench_owed(b, u, 1), (struct range){first, end}));
        }
    }
}

/* Its list of ranges is full, so that the row can't be cut out of it: counted once all the same, and gone. */
static void test_a_damaged_row_in_a_full_list(void **state)
{
    struct bench *b = *state;
    for (unsigned kept = 0; kept < 2; kept++) {
        struct buffer_write nothing = {.event_count = 0};
        begin(b);
        uint64_t last = b->next[1] - 1;
        for (uint64_t n = 2; n <= 14; n += 2) {
            bench_end(b, 1, 1, n, n);
        }
        assert_int_equal(bench_owed(b, 1, 1)->range_count, OWED_RANGE_MAX);
        uint64_t found = bench_read(b, 1, 1, last);
        bench_sql(b, "UPDATE batch SET crc=0 " THIRD);
        uint64_t lost = found - bench_read(b, 1, 1, last);
        assert_true(lost > 0);
        if (kept) {
            assert_int_equal(buffer_keep(b->buffer, &nothing, &b->changes, &b->why), ERR_OK);
            assert_int_equal(bench_read(b, 1, 1, last), found - lost);
        }
        for (unsigned i = 0; i < 30; i++) {
            assert_int_equal(bench_commit(b, &nothing), ERR_OK);
            assert_int_equal(damaged_count(b), lost);
            assert_int_equal(bench_read(b, 1, 1, last), found - lost);
            assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_CLOSED);
        }
        assert_int_equal(sql_number(b->buffer, "SELECT count(*) FROM batch WHERE crc=0", -1), 0);
        bench_reopen(b);
        assert_int_equal(damaged_count(b), lost);
    }
}

static void test_the_state_is_damaged(void **state)
{
    struct bench *b = *state;
    struct buffer_write nothing = {.event_count = 0};
    static const char *const ways[] = {
        "UPDATE state SET crc=crc+1",
        "UPDATE state SET v=zeroblob(length(v))",
        "UPDATE state SET v=substr(v,1,length(v)-1)",
        "DELETE FROM state",
        "UPDATE tail SET body=zeroblob(1000)",
        "DELETE FROM tail",
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        begin(b);
        uint64_t last = b->next[1] - 1;
        bench_sql(b, ways[i]);
        assert_int_equal(b->changes.damage.replaced, 1);
        assert_true(b->changes.streams[1].sequence_next > last);
        b->next[1] = b->changes.streams[1].sequence_next;
        assert_int_equal(bench_append(b, 1, 10), ERR_OK); /* it collects at once */
        uint64_t found = 0;
        for (unsigned turns = 0; buffer_care(b->buffer, &b->changes, &b->why) == ERR_OK; turns++) {
            assert_true(turns < 100);
        }
        assert_int_equal(b->changes.damage.lost, 0);
        found = bench_read(b, 1, 1, last);
        assert_in_range(last - found, 0, 600); /* of the tail, at most */
        assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    }
}

/* Bits, blocks and lengths of the file at random: it opens, and every event that is read is as it
 * was stored. */
static void test_the_file_is_damaged_anywhere(void **state)
{
    struct bench *b = *state;
    unsigned count = getenv("WEIR_LONG") ? 600 : 36;
    for (unsigned i = 0; i < count; i++) {
        uint64_t size;
        begin(b);
        buffer_close(b->buffer);
        b->buffer = NULL;
        uint8_t *file = crash_vfs_file(b->vfs, BENCH_PATH, &size);
        uint64_t at = bench_below(b, (uint32_t)size);
        if (i % 3 == 0) {
            for (uint64_t k = at / 4096 * 4096; k < at / 4096 * 4096 + 4096 && k < size; k++) {
                file[k] = (uint8_t)bench_below(b, 256);
            }
        } else {
            file[i % 3 == 1 ? at : at % 8192] ^= (uint8_t)(1u << bench_below(b, 8));
        }
        bench_reopen(b);
        bench_look(b, 1, 5000);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_row_is_damaged),
        TEST(test_a_damaged_row_is_told_by_what_ends_it),
        TEST(test_a_lost_record_is_told),
        TEST(test_a_damaged_row_is_not_passed_over_while_reading_only),
        TEST(test_a_damaged_end_takes_nothing_else_along),
        TEST(test_all_rows_are_damaged),
        TEST(test_a_damaged_row_that_was_thinned),
        TEST(test_a_damaged_row_in_a_full_list),
        TEST(test_the_state_is_damaged),
        TEST(test_the_file_is_damaged_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
