/* A damaged file is moved aside and replaced: names, logs, tries that fail half way, files that
 * others hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "tests/buffer/bench.h"

#define LOG BENCH_PATH "-wal"
#define BAD(n) BENCH_PATH ".bad-" #n
#define BAD_LOG(n) BENCH_PATH ".bad-" #n "-wal"

static void spoil_header(struct bench *b, size_t at)
{
    uint64_t size = 0;
    uint8_t *data = crash_vfs_file(b->vfs, BENCH_PATH, &size);
    assert_non_null(data);
    data[at] ^= 0xff;
}

/* A constant of the header is wrong: damaged for sure, and all of it can be read, where the log has
 * the first page. */
static void harm(struct bench *b)
{
    spoil_header(b, 21);
}

/* No version that is known may write it: all of it can be read without the log. */
static void harm_version(struct bench *b)
{
    spoil_header(b, 18);
}

static void add(struct bench *b, size_t count)
{
    b->next[1] = b->changes.streams[1].sequence_next;
    while (count > 0) {
        size_t part = count < 50 ? count : 50;
        assert_int_equal(bench_append(b, 1, part), ERR_OK);
        count -= part;
    }
}

static uint64_t owed_to(struct bench *b)
{
    uint64_t count = 0;
    const struct owed *owed = bench_owed(b, 1, 1);
    for (size_t i = 0; i < owed->range_count; i++) {
        count += owed->ranges[i].last - owed->ranges[i].first + 1;
    }
    return count;
}

/* --- names --- */

static void test_a_stray_log_moves_nothing(void **state)
{
    struct bench *b = *state;
    add(b, 500);
    bench_copy_file(b, LOG, BAD_LOG(2)); /* an old one: of a file that somebody has removed */
    add(b, 1000);
    bench_reopen(b);
    assert_int_equal(b->changes.streams[1].sequence_next, 1501);
    assert_int_equal(b->changes.damage.replaced, 0);
    assert_false(bench_has_file(b, BAD(2)));
    assert_false(bench_has_file(b, BAD_LOG(2)));
    bench_check(b, 1, 1, 1500);
}

/* The log was moved, then the power went: the file follows it, and has its last commits. */
static void test_a_log_that_was_moved_is_followed(void **state)
{
    struct bench *b = *state;
    add(b, 700);
    bench_damage_at_rest(b);
    bench_move_file(b, LOG, BAD_LOG(1));
    assert_int_equal(bench_try_open(b), ERR_OK);
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_int_equal(b->changes.streams[1].sequence_next, 701);
    bench_care(b);
    assert_int_equal(owed_to(b), 700);
    bench_check(b, 1, 1, 700);
}

/* A file of somebody else's, of which a read fails, stays where it is. */
static void test_another_s_file_that_can_not_be_read_for_now(void **state)
{
    struct bench *b = *state;
    static uint8_t theirs[16 * 4096];
    unsigned hits = 0;
    memset(theirs, 'x', sizeof theirs);
    buffer_close(b->buffer);
    b->buffer = NULL;
    crash_vfs_reset(b->vfs);
    for (uint64_t nth = 1; nth < 12; nth++) {
        uint64_t size = 0;
        struct crash_fault fault = {.op = CRASH_OP_READ, .nth = nth};
        assert_true(crash_vfs_file_put(b->vfs, BENCH_PATH, theirs, sizeof theirs));
        crash_vfs_fault_set(b->vfs, &fault, 1);
        assert_int_not_equal(bench_try_open(b), ERR_OK);
        hits += crash_vfs_fault_count(b->vfs) > 0;
        crash_vfs_fault_clear(b->vfs);
        assert_false(bench_has_file(b, BAD(1)));
        const uint8_t *now = crash_vfs_file(b->vfs, BENCH_PATH, &size);
        assert_int_equal(size, sizeof theirs);
        assert_memory_equal(now, theirs, sizeof theirs);
    }
    assert_true(hits > 2);
}

/* Ours and damaged, and a file can't be opened: that passes, and is not the damage's error. */
static void test_a_damaged_file_that_can_not_be_opened_for_now(void **state)
{
    struct bench *b = *state;
    unsigned refused = 0;
    bool is_hit = true;
    for (uint64_t nth = 1; is_hit; nth++) {
        struct crash_fault fault = {.op = CRASH_OP_OPEN, .nth = nth};
        uint64_t size = 0;
        bench_begin(b);
        bench_fill(b, 1, 60, 600);
        buffer_close(b->buffer);
        b->buffer = NULL;
        memset(crash_vfs_file(b->vfs, BENCH_PATH, &size) + 16, 0xaa, 2);
        crash_vfs_fault_set(b->vfs, &fault, 1);
        enum err e = bench_try_open(b);
        is_hit = crash_vfs_fault_count(b->vfs) > 0;
        crash_vfs_fault_clear(b->vfs);
        refused += e != ERR_OK;
        assert_int_not_equal(e, ERR_CORRUPT);
        bench_reopen(b);
        bench_care(b);
        bench_check(b, 1, 1, 600);
    }
    assert_true(refused > 3);
}

static void test_the_newest_of_two_goes_on(void **state)
{
    struct bench *b = *state;
    add(b, 400);
    bench_cut(b, CRASH_ALL, 1);
    harm_version(b);
    assert_int_equal(bench_try_open(b), ERR_OK);
    assert_true(bench_has_file(b, BAD(1)));
    add(b, 600);
    bench_cut(b, CRASH_ALL, 1);
    harm_version(b); /* again, and the power goes before the fresh file is made */
    bench_move_file(b, LOG, BAD_LOG(2));
    bench_move_file(b, BENCH_PATH, BAD(2));
    assert_int_equal(bench_try_open(b), ERR_OK);
    assert_int_equal(b->changes.streams[1].sequence_next, 1001);
    bench_care(b);
    assert_int_equal(owed_to(b), 1000);
    bench_check(b, 1, 1, 1000);
    assert_false(bench_has_file(b, BAD(1)));
    assert_false(bench_has_file(b, BAD(2)));
}

/* With the first page it is lost that an older file was being salvaged: that is told, and the older
 * file stays, so that it can be salvaged by hand. */
static void test_an_older_file_that_is_forgotten_is_told(void **state)
{
    struct bench *b = *state;
    uint64_t size = 0;
    add(b, 3000);
    bench_damage_at_rest(b);
    assert_int_equal(bench_try_open(b), ERR_OK);
    bench_reopen(b); /* the database has all of it */
    bench_cut(b, CRASH_ALL, 1);
    memset(crash_vfs_file(b->vfs, BENCH_PATH, &size), 0, 4096);
    uint8_t *log = crash_vfs_file(b->vfs, LOG, &size);
    memset(log, 0, size);
    assert_int_equal(bench_try_open(b), ERR_OK);
    bench_care(b);
    assert_true(bench_has_file(b, BAD(1)));
    assert_false(bench_has_file(b, BAD(2)));
    bool told = false;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        told =
            told || (b->changes.gaps[i].range.first == 1 && b->changes.gaps[i].range.last >= 2900);
    }
    assert_true(told);
}

static void test_no_name_is_used_twice(void **state)
{
    struct bench *b = *state;
    uint64_t size = 0;
    add(b, 200);
    bench_cut(b, CRASH_ALL, 1);
    /* Kept by somebody: it is not overwritten, and not the newest. */
    bench_copy_file(b, BENCH_PATH, BAD(7));
    for (unsigned i = 0; i < 2; i++) {
        harm_version(b);
        assert_int_equal(bench_try_open(b), ERR_OK);
        add(b, 10);
        bench_cut(b, CRASH_ALL, 1);
    }
    assert_true(bench_has_file(b, BAD(8)) && bench_has_file(b, BAD(9)));
    harm_version(b);
    assert_int_equal(bench_try_open(b), ERR_NOSPACE);
    assert_non_null(strstr(b->why.text, "bad-9 is there"));
    assert_non_null(crash_vfs_file(b->vfs, BENCH_PATH, &size)); /* nothing was touched */
    crash_vfs_file_remove(b->vfs, BAD(9));
    crash_vfs_file_remove(b->vfs, BAD_LOG(9));
    assert_int_equal(bench_try_open(b), ERR_OK);
    bench_care(b);
    assert_int_equal(owed_to(b), 20);
    bench_check(b, 1, 201, 220);
    uint64_t counted = 0; /* of what was in the file that somebody removed */
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        counted += b->changes.gaps[i].range.last == 200 ? b->changes.gaps[i].count : 0;
    }
    assert_int_equal(counted, 200);
    assert_true(bench_has_file(b, BAD(7)));
    assert_false(bench_has_file(b, BAD(8)) || bench_has_file(b, BAD(9)));
}

/* Somebody removes the newest file while it waits to be salvaged. The next one gets its name, and is
 * not taken for it: what comes over from it does not go with the older one. */
static void test_a_name_of_one_that_is_gone(void **state)
{
    struct bench *b = *state;
    b->datum_size = 500; /* rows, beyond what the tail has */
    add(b, 1500);
    bench_damage_at_rest(b);
    assert_int_equal(bench_try_open(b), ERR_OK);
    uint64_t first = b->changes.streams[1].sequence_next;
    add(b, 1500);
    bench_cut(b, CRASH_ALL, 1);
    crash_vfs_file_remove(b->vfs, BAD(1));
    crash_vfs_file_remove(b->vfs, BAD_LOG(1));
    harm(b);
    assert_int_equal(bench_try_open(b), ERR_OK);
    bench_reopen(b); /* now the oldest comes first */
    bench_care(b);
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 1);
    assert_true(bench_owed(b, 1, 1)->ranges[0].first <= first);
    bench_check(b, 1, first, first + 1499);
    assert_true(bench_is_told(b, 1, 1));
    assert_false(bench_is_told(b, 1, first));
    assert_false(bench_has_file(b, BAD(1)));
}

/* --- moves that fail half way, while it runs --- */

static void test_a_move_goes_on_where_it_failed(void **state)
{
    struct bench *b = *state;
    struct buffer_write nothing = {.event_count = 0};
    struct crash_fault second = {.op = CRASH_OP_DELETE, .nth = 2};
    add(b, 700);
    b->buffer->file_damaged = true;
    crash_vfs_fault_set(b->vfs, &second, 1);
    assert_int_equal(buffer_commit(b->buffer, &nothing, &b->changes, &b->why), ERR_IO);
    assert_true(bench_has_file(b, BAD_LOG(1))); /* moved, but not the file */
    assert_true(bench_has_file(b, BENCH_PATH));
    crash_vfs_fault_clear(b->vfs);
    assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    assert_int_equal(b->changes.damage.replaced, 1);
    bench_care(b);
    assert_int_equal(owed_to(b), 700);
    bench_check(b, 1, 1, 700);
}

/* The file was moved, and then its folder could not be synced. */
static void test_a_move_that_was_made_is_not_made_again(void **state)
{
    struct bench *b = *state;
    struct buffer_write nothing = {.event_count = 0};
    struct crash_fault second = {.op = CRASH_OP_DELETE, .nth = 2};
    add(b, 700);
    b->buffer->file_damaged = true;
    crash_vfs_fault_set(b->vfs, &second, 1);
    assert_int_equal(buffer_commit(b->buffer, &nothing, &b->changes, &b->why), ERR_IO);
    crash_vfs_fault_clear(b->vfs);
    bench_move_file(b, BENCH_PATH, BAD(1));
    assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    bench_care(b);
    assert_int_equal(owed_to(b), 700);
    bench_check(b, 1, 1, 700);
}

/* --- files that can't be read for the moment --- */

/* As a shell that has the file open: it may be read, not written. */
static sqlite3_file *hold(const char *name)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("bench");
    sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_DB;
    const char *text = sqlite3_create_filename(name, "", "", 0, NULL);
    assert_int_equal(vfs->xOpen(vfs, text, file, flags, NULL), SQLITE_OK);
    sqlite3_free_filename(text);
    assert_int_equal(file->pMethods->xLock(file, SQLITE_LOCK_SHARED), SQLITE_OK);
    return file;
}

static void let_go(sqlite3_file *file)
{
    assert_int_equal(file->pMethods->xClose(file), SQLITE_OK);
    free(file);
}

/* The damaged file is in use when it is to be replaced: that is tried again, nothing is given up. */
static void test_a_file_in_use_is_not_lost(void **state)
{
    struct bench *b = *state;
    add(b, 3000);
    uint32_t incarnation = buffer_incarnation(b->buffer);
    bench_damage_at_rest(b);
    sqlite3_file *shell = hold(BENCH_PATH);
    assert_int_equal(bench_try_open(b), ERR_FULL);
    assert_int_equal(bench_try_open(b), ERR_FULL);
    assert_non_null(strstr(b->why.text, "another process"));
    let_go(shell);
    assert_int_equal(bench_try_open(b), ERR_OK);
    assert_int_equal(buffer_incarnation(b->buffer), incarnation);
    assert_int_equal(b->changes.streams[1].sequence_next, 3001);
    bench_care(b);
    assert_int_equal(owed_to(b), 3000);
    bench_check(b, 1, 1, 3000);
}

/* It is in use when its salvage is to go on: it collects, and the salvage waits. */
static void test_a_salvage_waits_for_its_file(void **state)
{
    struct bench *b = *state;
    add(b, 3000);
    bench_damage_at_rest(b);
    assert_int_equal(bench_try_open(b), ERR_OK);
    bench_cut(b, CRASH_ALL, 1);
    sqlite3_file *shell = hold(BAD(1));
    assert_int_equal(bench_try_open(b), ERR_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_FULL);
        add(b, 1);
    }
    assert_int_equal(b->changes.damage.lost, 0);
    assert_true(bench_has_file(b, BAD(1)));
    let_go(shell);
    bench_care(b);
    assert_int_equal(owed_to(b), 3010);
    bench_check(b, 1, 1, 3010);
    assert_false(bench_has_file(b, BAD(1)));
}

/* One read fails, any of them, while the file is replaced: either that is tried again, or the
 * opening fails and the next one has all of it. */
static void test_a_read_that_fails_once_loses_nothing(void **state)
{
    struct bench *b = *state;
    for (unsigned nth = 1; nth < 800; nth += 11) {
        struct crash_fault fault = {.op = CRASH_OP_READ, .nth = nth};
        bench_begin(b);
        add(b, 700);
        uint32_t incarnation = buffer_incarnation(b->buffer);
        bench_damage_at_rest(b);
        crash_vfs_fault_set(b->vfs, &fault, 1);
        enum err e = bench_try_open(b);
        crash_vfs_fault_clear(b->vfs);
        assert_true(e == ERR_OK || e == ERR_IO);
        assert_int_equal(e ? bench_try_open(b) : ERR_OK, ERR_OK);
        assert_int_equal(buffer_incarnation(b->buffer), incarnation);
        assert_int_equal(b->changes.streams[1].sequence_next, 701);
        bench_care(b);
        assert_int_equal(owed_to(b), 700);
        bench_check(b, 1, 1, 700);
    }
}

/* For seconds, at any place, whatever else can be read meanwhile, it is; each hour anew. */
static void test_reads_that_fail_hours_apart_are_not_damage(void **state)
{
    struct bench *b = *state;
    add(b, 700);
    bench_damage_at_rest(b);
    assert_int_equal(bench_try_open(b), ERR_OK);
    struct buffer *source = b->buffer->salvage->source;
    for (unsigned hour = 0; hour < 3; hour++) {
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(damaged_trouble(source, SQLITE_IOERR_READ, &b->why), ERR_IO);
            assert_int_equal(damaged_trouble(source, SQLITE_ROW, &b->why), ERR_OK);
            source->io_us -= 5 * UINT64_C(1000000);
        }
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(damaged_trouble(source, SQLITE_IOERR_READ, &b->why), ERR_OK);
            source->io_us -= 40 * UINT64_C(1000000);
        }
        source->io_us -= 3600 * UINT64_C(1000000);
    }
    assert_int_equal(damaged_trouble(source, SQLITE_IOERR_READ, &b->why), ERR_IO);
}

/* --- a second opening --- */

/* What is damaged on the disk, the agent that runs does not know yet. Another opening of the file
 * touches nothing of it. */
static void test_what_another_has_open_is_not_touched(void **state)
{
    struct bench *b = *state;
    struct buffer *second = NULL;
    struct why why;
    uint64_t size = 0;
    add(b, 700);
    crash_vfs_file_put(b->vfs, BAD_LOG(1), (const uint8_t *)"old", 3);
    harm(b);
    for (unsigned as_it_is = 0; as_it_is < 2; as_it_is++) {
        struct buffer_setup setup = *b->setup;
        setup.as_it_is = as_it_is;
        assert_int_equal(buffer_open(&second, &setup, &why), ERR_FULL);
        assert_non_null(strstr(why.text, "another process"));
    }
    assert_false(bench_has_file(b, BAD(1)));
    assert_true(bench_has_file(b, BAD_LOG(1)));
    assert_true(bench_has_file(b, BENCH_PATH));
    assert_true(bench_has_file(b, LOG));
    crash_vfs_file(b->vfs, BENCH_PATH, &size)[21] ^= 0xff; /* it is good again */
    add(b, 300);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 0);
    bench_check(b, 1, 1, 1000);
}

/* Its log is damaged where the database has all of it: made void, but not while it is in use. */
static void test_a_log_in_use_is_not_made_void(void **state)
{
    struct bench *b = *state;
    struct buffer *second = NULL;
    struct why why;
    uint64_t size = 0;
    add(b, 700);
    bench_reopen(b);
    uint8_t *log = crash_vfs_file(b->vfs, LOG, &size);
    assert_true(size > 100000);
    uint8_t *before = malloc(size);
    for (uint64_t at = 64; at < size; at += 4096) { /* in any frame, one after the other */
        log[at] ^= 1;
        memcpy(before, log, size);
        assert_int_equal(buffer_open(&second, b->setup, &why), ERR_FULL);
        assert_memory_equal(crash_vfs_file(b->vfs, LOG, &size), before, size);
        log[at] ^= 1;
    }
    free(before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stray_log_moves_nothing),
        TEST(test_a_log_that_was_moved_is_followed),
        TEST(test_another_s_file_that_can_not_be_read_for_now),
        TEST(test_a_damaged_file_that_can_not_be_opened_for_now),
        TEST(test_the_newest_of_two_goes_on),
        TEST(test_an_older_file_that_is_forgotten_is_told),
        TEST(test_no_name_is_used_twice),
        TEST(test_a_name_of_one_that_is_gone),
        TEST(test_a_move_goes_on_where_it_failed),
        TEST(test_a_move_that_was_made_is_not_made_again),
        TEST(test_a_file_in_use_is_not_lost),
        TEST(test_a_salvage_waits_for_its_file),
        TEST(test_a_read_that_fails_once_loses_nothing),
        TEST(test_reads_that_fail_hours_apart_are_not_damage),
        TEST(test_what_another_has_open_is_not_touched),
        TEST(test_a_log_in_use_is_not_made_void),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
