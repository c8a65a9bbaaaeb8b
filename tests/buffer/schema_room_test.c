/* New schemas in a buffer that is full, or whose file has not grown yet: room is made for them, and
 * database and log stay within their bounds. */
#include <string.h>

#include "buffer/internal.h"
#include "tests/buffer/bench.h"

#define MIB (1 << 20)
#define LARGE (240 * 1024)

/* Each another text of the size. */
static enum err add(struct bench *b, uint16_t stream, size_t size, uint32_t *ret)
{
    static char text[LARGE + 1];
    static const uint8_t fingerprint[8] = {7};
    memset(text, 'x', size);
    (void)snprintf(text, sizeof text, "\"%08x", bench_below(b, UINT32_MAX)); /* fits */
    text[9] = 'x';
    text[size - 1] = '"';
    b->why.text[0] = '\0';
    return buffer_schema_add(b->buffer, stream, (struct slice){(const uint8_t *)text, size},
                             fingerprint, ret, &b->why);
}

static void check_bounds(struct bench *b)
{
    uint64_t log = 0;
    uint64_t database = 0;
    (void)crash_vfs_file(b->vfs, BENCH_PATH, &database);
    (void)crash_vfs_file(b->vfs, BENCH_PATH "-wal", &log);
    assert_in_range(log, 1, WAL_WARM_SIZE);
    assert_in_range(database + log, 1, (uint64_t)b->setup->size_max);
}

static void begin(struct bench *b, int64_t size_max)
{
    b->setup->size_max = size_max;
    b->datum_size = 500;
    bench_begin(b);
}

/* The file has grown for the next commit only, and the log takes eight of them. */
static void test_one_behind_the_other(void **state)
{
    struct bench *b = *state;
    uint32_t number = 0;
    begin(b, 64 * MIB);
    for (unsigned i = 0; i < 30; i++) {
        uint32_t before = number;
        assert_int_equal(add(b, 1 + i % 2, LARGE, &number), ERR_OK);
        assert_true(number > before);
        check_bounds(b);
    }
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    check_bounds(b);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 0);
    assert_true(schema_is_known(b->buffer, number));
    bench_check(b, 1, 1, b->next[1] - 1);
}

/* What was there is lost as it is to an event, and is counted. */
static void test_the_oldest_give_way(void **state)
{
    struct bench *b = *state;
    uint32_t number = 0;
    begin(b, 6 * MIB);
    while (b->changes.streams[1].dropped_count == 0) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    uint64_t dropped = b->changes.streams[1].dropped_count;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(add(b, 1, LARGE, &number), ERR_OK);
        check_bounds(b);
    }
    bench_idle(b);
    assert_true(b->changes.streams[1].dropped_count > dropped);
    assert_int_equal(b->changes.streams[1].dropped[GAP_DROP_OLDEST],
                     b->changes.streams[1].dropped_count);
    uint64_t first = b->next[1] - 200;
    bench_check(b, 1, first, b->next[1] - 1);
    bench_reopen(b);
    assert_true(schema_is_known(b->buffer, number));
    bench_check(b, 1, first, b->next[1] - 1);
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    check_bounds(b);
}

/* A stream of a low priority takes nothing from one that never gives way. */
static void test_nobody_gives_way(void **state)
{
    struct bench *b = *state;
    uint32_t number = 77;
    begin(b, 6 * MIB);
    bench_fill(b, 2, 50, UINT64_MAX - 1);
    uint64_t last = b->next[2] - 1;
    assert_int_equal(add(b, 1, LARGE, &number), ERR_NOSPACE);
    assert_int_equal(number, 77);
    assert_non_null(strstr(b->why.text, "has no room for a schema of 245760 bytes"));
    bench_idle(b);
    bench_check(b, 2, 1, last);
    check_bounds(b);
    bench_reopen(b);
    bench_check(b, 2, 1, last);
    bench_end(b, 1, 2, 1, last);
    bench_idle(b);
    assert_int_equal(add(b, 1, LARGE, &number), ERR_OK);
    assert_int_equal(bench_append(b, 2, 50), ERR_OK);
    check_bounds(b);
}

/* A batch that had room still has it. */
static void test_what_was_admitted_is_taken(void **state)
{
    struct bench *b = *state;
    uint32_t number = 0;
    begin(b, 6 * MIB);
    for (enum err e = ERR_OK; b->changes.room[2] > 64 * 1024;) {
        uint32_t admitted =
            b->changes.room[2] < WRITE_SIZE_MAX ? b->changes.room[2] : WRITE_SIZE_MAX;
        e = e ? e : add(b, 1, 30000, &number);
        assert_true(e == ERR_OK || e == ERR_NOSPACE);
        assert_int_equal(bench_append(b, 2, admitted / 512), ERR_OK);
        check_bounds(b);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_behind_the_other),
        TEST(test_the_oldest_give_way),
        TEST(test_nobody_gives_way),
        TEST(test_what_was_admitted_is_taken),
    };
    return cmocka_run_group_tests_name("schema_room", tests, NULL, NULL);
}
