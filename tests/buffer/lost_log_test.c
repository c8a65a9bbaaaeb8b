/* A write-ahead log that is gone or damaged: what was acknowledged last is lost with it, so no
 * sequence is used twice and a gap says so, whoever opens the file first and whatever else is
 * damaged. */
#include <string.h>

#include "buffer/salvage.h"
#include "tests/buffer/bench.h"

#define LOG BENCH_PATH "-wal"
#define BAD BENCH_PATH ".bad-1"
#define BAD_LOG BENCH_PATH ".bad-1-wal"
#define EVENTS 6000

/* The power goes; the file is as it was at the last checkpoint, the log has the rest. */
static uint64_t cut(struct bench *b)
{
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    bench_cut(b, CRASH_ALL, 1);
    return b->next[1] - 1;
}

/* No sequence is used twice, and the last one that was acknowledged is told to be lost. */
static void check_told(struct bench *b, uint64_t last)
{
    assert_true(b->changes.streams[1].sequence_next > last);
    assert_true(bench_is_told(b, 1, last));
}

/* The first page says what can't be. */
static void spoil_header(struct bench *b, const char *name)
{
    uint64_t size;
    uint8_t *bytes = crash_vfs_file(b->vfs, name, &size);
    memset(bytes + 16, 0xaa, 2);
}

/* The checksum of a frame near the begin: transactions stand behind it. */
static void spoil_log(struct bench *b, const char *name)
{
    uint64_t size;
    uint8_t *bytes = crash_vfs_file(b->vfs, name, &size);
    memset(bytes + 32 + 100, 0xaa, 64);
}

/* --- a tool comes first --- */

static void test_a_tool_finds_it(void **state)
{
    struct bench *b = *state;
    uint64_t last = cut(b);
    crash_vfs_file_remove(b->vfs, LOG);
    struct buffer_setup agent = *b->setup;
    b->setup->as_it_is = true;
    b->setup->stream_count = 0;
    b->setup->uplink_count = 0;
    bench_reopen(b);
    *b->setup = agent;
    bench_reopen(b);
    check_told(b, last);
}

/* --- the file is damaged, too --- */

static void check_replaced(struct bench *b, uint64_t last)
{
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_int_equal(b->changes.damage.logs, 1);
    check_told(b, last);
    bench_reopen(b);
    check_told(b, last);
}

static void test_a_damaged_file_without_its_log(void **state)
{
    struct bench *b = *state;
    uint64_t last = cut(b);
    crash_vfs_file_remove(b->vfs, LOG);
    spoil_header(b, BENCH_PATH);
    check_replaced(b, last);
}

static void test_a_damaged_file_with_a_damaged_log(void **state)
{
    struct bench *b = *state;
    uint64_t last = cut(b);
    spoil_log(b, LOG);
    spoil_header(b, BENCH_PATH);
    check_replaced(b, last);
}

static void test_a_file_that_was_moved_without_its_log(void **state)
{
    struct bench *b = *state;
    uint64_t last = cut(b);
    spoil_header(b, BENCH_PATH);
    crash_vfs_file_remove(b->vfs, LOG);
    bench_move_file(b, BENCH_PATH, BAD);
    check_replaced(b, last);
}

static void test_a_file_that_was_moved_with_a_damaged_log(void **state)
{
    struct bench *b = *state;
    uint64_t last = cut(b);
    spoil_header(b, BENCH_PATH);
    spoil_log(b, LOG);
    bench_move_file(b, BENCH_PATH, BAD);
    bench_move_file(b, LOG, BAD_LOG);
    check_replaced(b, last);
}

/* Closed in order it has no log, and misses none. */
static void test_a_closed_file_misses_no_log(void **state)
{
    struct bench *b = *state;
    bench_fill(b, 1, 50, EVENTS);
    uint64_t next = b->next[1];
    buffer_close(b->buffer);
    b->buffer = NULL;
    crash_vfs_file_remove(b->vfs, LOG);
    spoil_header(b, BENCH_PATH);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_int_equal(b->changes.damage.logs, 0);
    assert_int_equal(b->changes.streams[1].sequence_next, next);
    assert_int_equal(b->changes.gap_count, 0);
}

/* Closed in order the file has everything. A log that has lost its end is older, and does not take it
 * back. */
static void test_a_closed_file_needs_no_part_of_its_log(void **state)
{
    struct bench *b = *state;
    for (uint64_t frames = 1; frames <= 48; frames++) {
        for (unsigned i = 0; i < 16; i++) {
            assert_int_equal(bench_append(b, 1, 20), ERR_OK);
        }
        buffer_close(b->buffer);
        b->buffer = NULL;
        crash_vfs_shorten(b->vfs, LOG, 32 + frames * (24 + 4096));
        bench_reopen(b);
        assert_int_equal(b->changes.streams[1].sequence_next, b->next[1]);
        assert_int_equal(b->changes.damage.replaced, 0);
        assert_int_equal(b->changes.damage.logs, 0);
        assert_int_equal(b->changes.gap_count, 0);
        bench_check(b, 1, 1, b->next[1] - 1);
    }
}

static void closed_is_whole(struct bench *b)
{
    bench_reopen(b);
    assert_int_equal(b->changes.streams[1].sequence_next, b->next[1]);
    assert_int_equal(b->changes.damage.replaced, 0);
    assert_int_equal(b->changes.damage.logs, 0);
    assert_int_equal(b->changes.gap_count, 0);
    bench_check(b, 1, 1, b->next[1] - 1);
}

static void begin_to_close(struct bench *b, unsigned commits)
{
    bench_begin(b);
    for (unsigned i = 0; i < commits; i++) {
        assert_int_equal(bench_append(b, 1, 20), ERR_OK);
    }
}

/* At each of its operations, with each image of what the disk then has. */
static void test_the_power_goes_while_it_is_closed(void **state)
{
    struct bench *b = *state;
    unsigned cuts = 0;
    for (unsigned image = 0; image < CRASH_ANY; image++) {
        for (unsigned commits = 1; commits < 20; commits += 9) {
            bool whole = false;
            for (uint64_t n = 1; !whole; n++) {
                begin_to_close(b, commits);
                crash_vfs_freeze_after(b->vfs, n);
                buffer_close(b->buffer);
                b->buffer = NULL;
                whole = !crash_vfs_is_frozen(b->vfs);
                (void)crash_vfs_crash(b->vfs, (enum crash_image)image, n * 7 + commits);
                closed_is_whole(b);
                cuts++;
            }
        }
    }
    assert_true(cuts > 200);
}

/* Once, or from then on; what a failed sync had is gone, and then the power is. */
static void test_the_disk_fails_while_it_is_closed(void **state)
{
    struct bench *b = *state;
    unsigned faults = 0;
    for (unsigned kind = 0; kind < 4; kind++) {
        uint64_t count = 1;
        for (uint64_t n = 1; count > 0; n++) {
            begin_to_close(b, 9);
            struct crash_fault fault = {.op = CRASH_OP_EVERY,
                                        .nth = n,
                                        .repeat = kind & 1 ? UINT64_MAX : 0,
                                        .sync_drops = true};
            crash_vfs_fault_set(b->vfs, &fault, n);
            buffer_close(b->buffer);
            b->buffer = NULL;
            count = crash_vfs_fault_count(b->vfs);
            crash_vfs_fault_clear(b->vfs);
            (void)crash_vfs_crash(b->vfs, kind & 2 ? CRASH_BLOCK : CRASH_SECTORS, n * 7 + kind);
            closed_is_whole(b);
            faults++;
        }
    }
    assert_true(faults > 100);
}

/* --- a file or a log that is there, and can't be opened for now, is not gone --- */

static void fail_each(struct bench *b, enum crash_op op, uint64_t nth_max, unsigned refused_min)
{
    unsigned refused = 0;
    bool is_hit = true;
    for (uint64_t nth = 1; is_hit && nth <= nth_max; nth++) {
        uint64_t last = cut(b);
        struct crash_fault fault = {.op = op, .nth = nth};
        crash_vfs_fault_set(b->vfs, &fault, 1);
        enum err e = bench_try_open(b);
        is_hit = crash_vfs_fault_count(b->vfs) > 0;
        crash_vfs_fault_clear(b->vfs);
        refused += e != ERR_OK;
        if (e) {
            bench_reopen(b);
        }
        assert_int_equal(b->changes.damage.logs, 0);
        assert_int_equal(b->changes.damage.replaced, 0);
        assert_int_equal(b->changes.gap_count, 0);
        assert_int_equal(b->changes.streams[1].sequence_next, last + 1);
    }
    assert_true(refused >= refused_min);
}

static void test_files_that_can_not_be_opened_for_now(void **state)
{
    fail_each(*state, CRASH_OP_OPEN, UINT64_MAX, 4);
}

/* The first reads are of the file's header, the log's, and its frames. */
static void test_a_log_that_can_not_be_read_for_now(void **state)
{
    fail_each(*state, CRASH_OP_READ, 8, 7);
}

/* --- the opening that finds it does not come to its end --- */

/* The power goes at each moment of it. */
static void test_the_power_goes_while_it_is_found(void **state)
{
    struct bench *b = *state;
    bool whole = false;
    uint64_t operations = 0;
    for (uint64_t n = 1; !whole; n++) {
        uint64_t last = cut(b);
        crash_vfs_file_remove(b->vfs, LOG);
        crash_vfs_freeze_after(b->vfs, n);
        whole = bench_try_open(b) == ERR_OK && !crash_vfs_is_frozen(b->vfs);
        bench_cut(b, n % 2 ? CRASH_ALL : CRASH_NOTHING, n);
        bench_reopen(b);
        check_told(b, last);
        assert_int_equal(b->changes.gap_count, 2); /* one of each stream, not raised twice */
        assert_true(b->changes.streams[1].sequence_next <= last + 1 + (1 << 20));
        operations = n;
    }
    assert_in_range(operations, 10, 1000);
}

/* The same of a log that is damaged. It is begun anew, and a cut between the new header and the first
 * commit behind it leaves nothing of the old one but its length. */
static void test_the_power_goes_while_a_damaged_one_is_found(void **state)
{
    struct bench *b = *state;
    uint64_t images = 0;
    for (unsigned i = 0; i < 3; i++) {
        bool whole = false;
        for (uint64_t n = 1; !whole; n++) {
            uint64_t last = cut(b);
            spoil_log(b, LOG);
            bench_move_file(b, LOG, "spoilt"); /* what is put is on the medium */
            bench_move_file(b, "spoilt", LOG);
            crash_vfs_freeze_after(b->vfs, n);
            whole = bench_try_open(b) == ERR_OK && !crash_vfs_is_frozen(b->vfs);
            bench_cut(b, i == 0 ? CRASH_ALL : i == 1 ? CRASH_NOTHING : CRASH_ANY, n);
            bench_reopen(b);
            check_told(b, last);
            assert_int_equal(b->changes.gap_count, 2); /* one of each stream, not raised twice */
            images++;
        }
    }
    assert_in_range(images, 60, 1000);
}

/* A configuration that is refused has not used it up. */
static void test_the_setup_is_refused(void **state)
{
    struct bench *b = *state;
    uint64_t last = cut(b);
    crash_vfs_file_remove(b->vfs, LOG);
    b->setup->uplinks[0].name = "another";
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    b->setup->uplinks[0].name = "cloud";
    bench_reopen(b);
    check_told(b, last);
}

/* --- before anything else was written into the file itself --- */

static uint64_t cut_after_a_few(struct bench *b)
{
    b->next[1] = b->changes.streams[1].sequence_next;
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(bench_append(b, 1, 5), ERR_OK);
    }
    bench_cut(b, CRASH_ALL, 1);
    return b->next[1] - 1;
}

/* What a first opening gives out in numbers does not stand in the log alone. */
static void test_the_log_of_the_first_life(void **state)
{
    struct bench *b = *state;
    for (unsigned gone = 0; gone < 2; gone++) {
        bench_begin(b);
        uint64_t last = cut_after_a_few(b);
        if (gone) {
            crash_vfs_file_remove(b->vfs, LOG);
        } else {
            spoil_log(b, LOG);
        }
        bench_reopen(b);
        assert_int_equal(b->changes.damage.logs, 1);
        check_told(b, last);
    }
}

/* The sequences that were passed over once are not used when it happens again. */
static void test_the_log_is_lost_twice(void **state)
{
    struct bench *b = *state;
    (void)cut(b);
    for (unsigned i = 0; i < 3; i++) {
        crash_vfs_file_remove(b->vfs, LOG);
        bench_reopen(b);
        uint64_t last = cut_after_a_few(b);
        crash_vfs_file_remove(b->vfs, LOG);
        bench_reopen(b);
        check_told(b, last);
        (void)cut_after_a_few(b);
    }
}

/* A fresh file has what came over at once in the file itself. */
static void test_the_log_of_a_fresh_file(void **state)
{
    struct bench *b = *state;
    for (unsigned running = 0; running < 2; running++) {
        (void)cut(b);
        if (running) {
            bench_reopen(b);
        }
        spoil_header(b, BENCH_PATH);
        if (running) {
            uint64_t size;
            uint8_t *bytes = crash_vfs_file(b->vfs, BENCH_PATH, &size);
            memset(bytes + 4096, 0xaa, size - 4096);
        } else {
            bench_reopen(b);
        }
        uint64_t last = cut_after_a_few(b);
        crash_vfs_file_remove(b->vfs, LOG);
        bench_reopen(b);
        assert_int_equal(b->changes.damage.replaced, 0);
        assert_int_equal(b->changes.damage.logs, 1);
        check_told(b, last);
        bench_care(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_tool_finds_it, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_damaged_file_without_its_log, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_a_damaged_file_with_a_damaged_log, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_a_file_that_was_moved_without_its_log, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_a_file_that_was_moved_with_a_damaged_log, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_a_closed_file_misses_no_log, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_closed_file_needs_no_part_of_its_log, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_the_power_goes_while_it_is_closed, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_the_disk_fails_while_it_is_closed, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_files_that_can_not_be_opened_for_now, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_a_log_that_can_not_be_read_for_now, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_the_power_goes_while_it_is_found, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_the_power_goes_while_a_damaged_one_is_found,
                                        bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_setup_is_refused, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_log_of_the_first_life, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_log_is_lost_twice, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_log_of_a_fresh_file, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
