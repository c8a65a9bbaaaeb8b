/* The text of a schema is damaged in its table, in the table's index, or in both. */
#include <string.h>

#include "buffer/internal.h"
#include "buffer/look.h"
#include "tests/buffer/bench.h"

#define EVENTS 3000
#define TEXT "\"bytes\""

enum place { IN_TABLE = 1, IN_INDEX = 2 };

/* Sealed rows and some events in the tail, of both streams. */
static void begin(struct bench *b)
{
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    bench_fill(b, 2, 50, EVENTS);
}

/* A bit of the text of the schema that was added as the nth one flips on the disk: a page is filled
 * from its end on. */
static void flip(struct bench *b, const char *tree, unsigned nth)
{
    char sql[80];
    uint64_t size = 0;
    (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name='%s'", tree);
    int64_t page = sql_number(b->buffer, sql, 0);
    assert_true(page > 1);
    assert_int_equal(sql_restart(b->buffer, NULL), ERR_OK); /* all of it is in the database */
    uint8_t *start = crash_vfs_file(b->vfs, BENCH_PATH, &size) + (page - 1) * PAGE_SIZE;
    size_t at = PAGE_SIZE - (sizeof TEXT - 1);
    for (unsigned i = 1;; i++) {
        while (memcmp(start + at, TEXT, sizeof TEXT - 1) != 0) {
            assert_true(at-- > 0);
        }
        if (i == nth) {
            break;
        }
        at--;
    }
    start[at + 3] ^= 4;
}

static void harm(struct bench *b, unsigned places)
{
    if (places & IN_TABLE) {
        flip(b, "schema", 1);
    }
    if (places & IN_INDEX) {
        flip(b, "schema_text", 1);
    }
}

static void check_text(struct bench *b, uint16_t stream)
{
    uint8_t memory[100];
    struct out text = out_over(memory, sizeof memory);
    assert_int_equal(buffer_schema_text(b->buffer, b->schema[stream], &text, &b->why), ERR_OK);
    assert_true(slice_equal_text(out_slice(&text), TEXT));
}

/* Nothing of the stream is there, and each of the events up to `last` is told. */
static void check_told(struct bench *b, uint16_t stream, uint64_t last)
{
    for (unsigned i = 0; i < 20; i++) { /* so many are told with one commit */
        assert_int_equal(bench_read(b, stream, 1, last), 0);
        bench_idle(b);
    }
    for (uint64_t s = 1; s <= last; s++) {
        assert_true(bench_is_told(b, stream, s));
    }
    const struct owed *owed = bench_owed(b, 1, stream);
    assert_true(owed->range_count == 0 || owed->ranges[0].first > last);
}

/* The other copy is taken: nothing is lost, and nobody sees anything of it. */
static void check_one_copy(struct bench *b, unsigned place)
{
    begin(b);
    uint32_t number = b->schema[1];
    harm(b, place);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_int_equal(b->schema[1], number);
    bench_care(b);
    for (uint16_t s = 1; s <= 2; s++) {
        check_text(b, s);
        bench_check(b, s, 1, b->next[s] - 1);
    }
    assert_int_equal(b->changes.gap_count, 0);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 0);
    check_text(b, 1);
}

static void test_in_the_table(void **state)
{
    check_one_copy(*state, IN_TABLE);
}

static void test_in_the_index(void **state)
{
    check_one_copy(*state, IN_INDEX);
}

/* Nobody can read its events any more: they are told, and the other stream has all of its own. */
static void check_lost(struct bench *b, uint32_t number)
{
    uint64_t last = b->next[1] - 1;
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_true(b->schema[1] > number + 1); /* never used again for another text */
    check_text(b, 1);
    bench_care(b);
    check_told(b, 1, last);
    bench_check(b, 2, 1, b->next[2] - 1);
    b->next[1] = b->changes.streams[1].sequence_next;
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    bench_check(b, 1, b->next[1] - 50, b->next[1] - 1);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 0);
    bench_check(b, 1, b->next[1] - 50, b->next[1] - 1);
    bench_check(b, 2, 1, b->next[2] - 1);
}

static void test_in_both(void **state)
{
    struct bench *b = *state;
    begin(b);
    uint32_t number = b->schema[1];
    harm(b, IN_TABLE | IN_INDEX);
    bench_reopen(b);
    check_lost(b, number);
}

static void count_parcel(void *context, const struct parcel *parcel)
{
    (void)parcel;
    ++*(unsigned *)context;
}

/* It can't be sent again as it was. */
static void test_in_both_with_an_open_parcel(void **state)
{
    struct bench *b = *state;
    unsigned count = 0;
    begin(b);
    uint32_t number = b->schema[1];
    struct parcel parcel = bench_parcel(1, 1, 1, 100, 1);
    parcel.schema = number;
    bench_parcel_put(b, &parcel);
    harm(b, IN_TABLE | IN_INDEX);
    bench_reopen(b);
    buffer_parcel_each(b->buffer, count_parcel, &count);
    assert_int_equal(count, 0);
    check_lost(b, number);
}

/* A second file is damaged: the number of the lost one is known to be used still. */
static void test_in_both_twice(void **state)
{
    struct bench *b = *state;
    uint32_t number = 0;
    begin(b);
    for (unsigned i = 0; i < 2; i++) { /* then it was added behind the other stream's */
        uint32_t before = b->schema[1];
        assert_true(before > number);
        number = before;
        flip(b, "schema", i + 1);
        flip(b, "schema_text", i + 1);
        bench_reopen(b);
        assert_int_equal(b->changes.damage.replaced, 1);
    }
    assert_true(b->schema[1] > number);
    bench_care(b);
    check_text(b, 1);
}

/* What was read at the opening goes on, whatever became of it on the disk. */
static void test_while_it_runs(void **state)
{
    struct bench *b = *state;
    begin(b);
    uint32_t number = b->schema[1];
    harm(b, IN_TABLE | IN_INDEX);
    b->buffer->file_damaged = true;
    bench_idle(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    bench_care(b);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(b->schema[1], number);
        check_text(b, 1);
        bench_check(b, 1, 1, b->next[1] - 1);
        bench_check(b, 2, 1, b->next[2] - 1);
        assert_int_equal(b->changes.gap_count, 0);
        bench_reopen(b);
    }
}

static void test_under_another_number(void **state)
{
    struct bench *b = *state;
    begin(b);
    uint32_t number = b->schema[1];
    assert_int_equal(bench_sql_closed(b, "UPDATE schema SET id=90 WHERE stream=1"), ERR_OK);
    check_lost(b, number);
}

/* The number behind which the next schema gets its own can't be. */
static void test_a_floor_that_is_damaged(void **state)
{
    struct bench *b = *state;
    uint32_t number = 0;
    const uint8_t fingerprint[8] = {2};
    begin(b);
    bench_sql(b, "INSERT OR REPLACE INTO meta VALUES('schema_floor',1<<40)");
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_int_equal(
        buffer_schema_add(b->buffer, 1, SLICE("\"int\""), fingerprint, &number, &b->why), ERR_OK);
    assert_in_range(number, b->schema[2] + 1, 100000);
    bench_care(b);
    bench_check(b, 1, 1, b->next[1] - 1);
    bench_check(b, 2, 1, b->next[2] - 1);
}

/* Files of before have no checksum of it. */
static void test_an_older_file(void **state)
{
    struct bench *b = *state;
    begin(b);
    bench_sql(b, "UPDATE schema SET fp=substr(fp,1,8)");
    assert_int_equal(b->changes.damage.replaced, 0);
    check_text(b, 1);
    bench_check(b, 1, 1, b->next[1] - 1);
}

/* A tool that only reads shows what can be shown. */
static void test_to_read_only(void **state)
{
    struct bench *b = *state;
    uint8_t memory[100];
    struct out text = out_over(memory, sizeof memory);
    begin(b);
    harm(b, IN_TABLE | IN_INDEX);
    buffer_close(b->buffer);
    b->buffer = NULL;
    b->setup->read_only = true;
    assert_int_equal(buffer_open(&b->buffer, b->setup, &b->why), ERR_OK);
    assert_int_equal(buffer_schema_text(b->buffer, b->schema[1], &text, &b->why), ERR_CLOSED);
    bench_check(b, 2, 1, b->next[2] - 1);
    b->setup->read_only = false;
}

/* The page of the table is no page any more: the index has them all. */
static void test_to_read_only_without_the_table(void **state)
{
    struct bench *b = *state;
    uint64_t size = 0;
    begin(b);
    int64_t page =
        sql_number(b->buffer, "SELECT rootpage FROM sqlite_schema WHERE name='schema'", 0);
    assert_true(page > 1);
    assert_int_equal(sql_restart(b->buffer, NULL), ERR_OK); /* all of it is in the database */
    memset(crash_vfs_file(b->vfs, BENCH_PATH, &size) + (page - 1) * PAGE_SIZE, 0x55, PAGE_SIZE);
    buffer_close(b->buffer);
    b->buffer = NULL;
    b->setup->read_only = true;
    assert_int_equal(buffer_open(&b->buffer, b->setup, &b->why), ERR_OK);
    for (uint16_t s = 1; s <= 2; s++) {
        check_text(b, s);
        bench_check(b, s, 1, b->next[s] - 1);
    }
    b->setup->read_only = false;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_in_the_table),
        TEST(test_in_the_index),
        TEST(test_in_both),
        TEST(test_in_both_with_an_open_parcel),
        TEST(test_in_both_twice),
        TEST(test_while_it_runs),
        TEST(test_under_another_number),
        TEST(test_a_floor_that_is_damaged),
        TEST(test_an_older_file),
        TEST(test_to_read_only),
        TEST(test_to_read_only_without_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
