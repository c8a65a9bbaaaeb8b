/* The table that says what is still to come over from a damaged file, itself lost or damaged. */
#include <string.h>

#include <sqlite3.h>

#include "buffer/internal.h"
#include "buffer/salvage.h"
#include "tests/buffer/bench.h"

#define BAD BENCH_PATH ".bad-1"
#define EVENTS 3000

static void damage_found(struct bench *b)
{
    struct buffer_write nothing = {.event_count = 0};
    b->buffer->file_damaged = true;
    assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    assert_true(b->changes.damage.salvages);
}

/* A damaged file waits to be salvaged. */
static void begin(struct bench *b)
{
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    damage_found(b);
}

static void run(struct bench *b, const char *sql)
{
    assert_int_equal(sqlite3_exec(b->buffer->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* The row is given up and told; the buffer stays. */
static void test_a_damaged_row(void **state)
{
    static const char *const ways[] = {"UPDATE salvage SET crc=crc+1",
                                       "UPDATE salvage SET wanted=zeroblob(3)",
                                       "UPDATE salvage SET wanted=NULL"};
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        uint64_t size;
        begin(b);
        bench_sql(b, ways[i]);
        assert_int_equal(b->changes.damage.replaced, 0);
        assert_false(b->changes.damage.salvages);
        assert_true(bench_is_told(b, 1, 1));
        assert_null(crash_vfs_file(b->vfs, BAD, &size));
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
        size_t gaps = b->changes.gap_count;
        bench_reopen(b);
        assert_int_equal(b->changes.gap_count, gaps); /* told once */
    }
}

/* A bit of the place, or of the number: what it is to bring is not known any more,
 * and is told; no file is removed that it may not be. */
static void test_a_damaged_place(void **state)
{
    static const char *const ways[] = {
        "UPDATE salvage SET stream=stream|64",    "UPDATE salvage SET low=low|(1<<40)",
        "UPDATE salvage SET seek=seek+1",         "UPDATE salvage SET step=step+1",
        "UPDATE salvage SET aside=aside+1",       "UPDATE salvage SET lost=lost+1",
        "UPDATE salvage SET everyone=1-everyone", "UPDATE salvage SET n=n|128",
        "UPDATE salvage SET found=-found-1"};
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        uint64_t size;
        b->datum_size = 500; /* more than one turn */
        begin(b);
        assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_OK);
        bench_reopen(b);
        assert_true(b->changes.damage.salvages);
        bench_sql(b, ways[i]);
        assert_int_equal(b->changes.damage.replaced, 0);
        assert_false(b->changes.damage.salvages);
        assert_true(bench_is_told(b, 1, EVENTS / 2));
        assert_true(strstr(ways[i], "SET n=") || !crash_vfs_file(b->vfs, BAD, &size));
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
}

/* The table is not what it was made as: that is damage of the file. */
static void test_a_damaged_table(void **state)
{
    struct bench *b = *state;
    begin(b);
    bench_sql(b, "ALTER TABLE salvage RENAME COLUMN wanted TO other");
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_true(bench_is_told(b, 1, 1));
    bench_care(b);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 0);
}

/* While it runs the table is not needed: what is to come over is in memory. */
static void test_a_second_damage_takes_the_table(void **state)
{
    struct bench *b = *state;
    b->datum_size = 500; /* more than one turn */
    begin(b);
    uint64_t middle = b->next[1] - 1;
    assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_OK);
    const struct owed *owed = bench_owed(b, 1, 1);
    assert_int_equal(owed->ranges[0].first, 1);
    uint64_t came = owed->ranges[0].last;
    assert_true(came < middle);
    bench_end(b, 1, 1, 1, came); /* delivered: it does not come again */
    bench_fill(b, 1, 50, 2 * EVENTS);
    run(b, "DELETE FROM salvage");
    damage_found(b);
    bench_care(b);
    uint64_t last = b->next[1] - 1;
    assert_int_equal(b->changes.gap_count, 0);
    owed = bench_owed(b, 1, 1);
    assert_int_equal(owed->range_count, 1);
    assert_int_equal(owed->ranges[0].first, came + 1);
    assert_int_equal(owed->ranges[0].last, last);
    bench_check(b, 1, 1, last); /* the other uplink is owed all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_damaged_row, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_damaged_place, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_damaged_table, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_second_damage_takes_the_table, bench_open,
                                        bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
