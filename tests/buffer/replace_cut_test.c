/* The power goes at each moment while a damaged file is replaced at opening, and while its kept copy
 * gets its name: the next opening is never refused, and has all that could be read.
 *
 * WEIR_LONG=1: at each operation of replacing, else at each eleventh. */
#include <stdlib.h>

#include "buffer/damage.h"
#include "tests/buffer/salvage_image.h"

#define LOG BENCH_PATH "-wal"
#define BAD BENCH_PATH ".bad-1"
#define BAD_LOG BENCH_PATH ".bad-1-wal"
#define KEPT BENCH_PATH ".bad-kept"
#define KEPT_LOG BENCH_PATH ".bad-kept-wal"
#define EVENTS 2000

enum kind { WITH_LOG, WITHOUT_LOG, SWAPPED, KINDS };

/* A file whose damage shows at once, and of which all can be read. */
static void damage(struct bench *b, enum kind kind, struct image *ret)
{
    struct image image;
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    assert_int_equal(b->next[1], EVENTS + 1);
    image_take(b, kind == WITHOUT_LOG, &image);
    image.database[21] ^= kind == SWAPPED ? 0 : 0xff;
    *ret = image;
    if (kind == SWAPPED) {
        *ret = (struct image){image.log, image.log_size, image.database, image.database_size};
    }
}

static void put_damaged(struct bench *b, enum kind kind, const struct image *image)
{
    image_put(b, image);
    if (kind == WITHOUT_LOG) {
        crash_vfs_file_remove(b->vfs, LOG);
    }
}

static void check_whole(struct bench *b)
{
    assert_int_equal(b->changes.streams[1].sequence_next, EVENTS + 1);
    bench_care(b);
    assert_int_equal(b->changes.gap_count, 0);
    for (uint16_t u = 1; u <= 2; u++) {
        const struct owed *owed = bench_owed(b, u, 1);
        assert_int_equal(owed->range_count, 1);
        assert_int_equal(owed->ranges[0].first, 1);
        assert_int_equal(owed->ranges[0].last, EVENTS);
    }
    bench_check(b, 1, 1, EVENTS);
    assert_false(bench_has_file(b, BAD) || bench_has_file(b, BAD_LOG));
}

static void test_the_power_goes_while_it_is_replaced(void **state)
{
    struct bench *b = *state;
    uint64_t stride = getenv("WEIR_LONG") ? 1 : 11;
    uint64_t images = 0;
    for (enum kind kind = WITH_LOG; kind < KINDS; kind++) {
        bool whole = false;
        struct image image;
        damage(b, kind, &image);
        for (uint64_t n = 1; !whole; n += stride) {
            put_damaged(b, kind, &image);
            crash_vfs_freeze_after(b->vfs, n);
            whole = bench_try_open(b) == ERR_OK && !crash_vfs_is_frozen(b->vfs);
            bench_cut(b, n % 3 == 0 ? CRASH_ALL : n % 3 == 1 ? CRASH_NOTHING : CRASH_ANY, n);
            bench_reopen(b);
            check_whole(b);
            images++;
        }
        image_free(&image);
    }
    assert_in_range(images, 300 / stride, 3000);
}

/* What any order of the moves and any part of the fresh file can leave. */
static void test_what_a_cut_can_leave(void **state)
{
    struct bench *b = *state;
    for (enum kind kind = WITH_LOG; kind < KINDS; kind++) {
        struct image image;
        damage(b, kind, &image);
        for (unsigned moved = 0; moved <= 2; moved++) {
            put_damaged(b, kind, &image);
            if (moved > 0 && kind != WITHOUT_LOG) {
                bench_move_file(b, LOG, kind == SWAPPED ? BAD : BAD_LOG);
            }
            if (moved > 1) {
                bench_move_file(b, BENCH_PATH, kind == SWAPPED ? BAD_LOG : BAD);
                crash_vfs_file_put(b->vfs, BENCH_PATH, (const uint8_t *)"", 0);
            }
            bench_reopen(b);
            assert_int_equal(b->changes.damage.replaced, 1);
            check_whole(b);
        }
        image_free(&image);
    }
}

/* --- the file that is kept --- */

static bool is_at_end(const struct bench *b)
{
    return b->buffer->salvage && b->buffer->salvage->at.stream == STREAM_END;
}

/* Neither the file nor its log is lost, and it is not kept beside another's log. */
static void test_the_power_goes_while_it_is_kept(void **state)
{
    struct bench *b = *state;
    bool whole = false;
    struct image image;
    damage(b, WITH_LOG, &image);
    b->setup->keep_damaged = true;
    for (uint64_t n = 1; !whole; n++) {
        uint64_t sizes[2] = {0, 0};
        uint64_t kept[2] = {0, 0};
        put_damaged(b, WITH_LOG, &image);
        crash_vfs_file_put(b->vfs, KEPT, (const uint8_t *)"old", 3);
        crash_vfs_file_put(b->vfs, KEPT_LOG, (const uint8_t *)"old", 3);
        bench_reopen(b);
        while (!is_at_end(b)) {
            assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_OK);
        }
        (void)crash_vfs_file(b->vfs, BAD, &sizes[0]);
        (void)crash_vfs_file(b->vfs, BAD_LOG, &sizes[1]);
        crash_vfs_freeze_after(b->vfs, n);
        whole = buffer_care(b->buffer, &b->changes, &b->why) == ERR_CLOSED;
        bench_cut(b, n % 2 ? CRASH_ALL : CRASH_NOTHING, n);
        bench_reopen(b);
        check_whole(b);
        (void)crash_vfs_file(b->vfs, KEPT, &kept[0]);
        (void)crash_vfs_file(b->vfs, KEPT_LOG, &kept[1]);
        assert_int_equal(kept[0], sizes[0]);
        assert_int_equal(kept[1], sizes[1]);
    }
    image_free(&image);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_power_goes_while_it_is_replaced),
        TEST(test_what_a_cut_can_leave),
        TEST(test_the_power_goes_while_it_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
