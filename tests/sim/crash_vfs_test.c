/* The crash VFS itself: what a power cut and a failing disk do to a plain SQLite database. */
#include "tests/sim/crash_vfs.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cmocka.h"

#include "tests/sim/crash_disk.h"

static int open_disk(void **state)
{
    struct crash_vfs *v = NULL;
    if (crash_vfs_open(&v, "crash")) {
        return -1;
    }
    *state = v;
    return 0;
}

static int close_disk(void **state)
{
    crash_vfs_close(*state);
    return 0;
}

static sqlite3 *connect(void)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    assert_int_equal(sqlite3_open_v2("plain.db", &db, flags, "crash"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL),
                     SQLITE_OK);
    return db;
}

static sqlite3 *create(const char *settings)
{
    sqlite3 *db = connect();
    assert_int_equal(sqlite3_exec(db, settings, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static int insert(sqlite3 *db, unsigned count)
{
    int code = SQLITE_OK;
    for (unsigned i = 0; i < count && code == SQLITE_OK; i++) {
        code = sqlite3_exec(db, "INSERT INTO t VALUES(randomblob(300))", NULL, NULL, NULL);
    }
    return code;
}

static int rows_of(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    int count = -1;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        count = sqlite3_column_int(s, 0);
    }
    (void)sqlite3_finalize(s);
    return count;
}

static const char wal[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL";
static const char wal_normal[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL";

static void test_synced_survives_every_cut(void **state)
{
    struct crash_vfs *v = *state;
    for (unsigned image = 0; image < CRASH_ANY; image++) {
        if (image == CRASH_BLOCK) {
            continue; /* this SQLite trusts the device not to harm neighbours */
        }
        crash_vfs_reset(v);
        sqlite3 *db = create(wal);
        assert_int_equal(insert(db, 20), SQLITE_OK);
        crash_vfs_freeze(v);
        assert_int_not_equal(insert(db, 1), SQLITE_OK);
        (void)sqlite3_close(db);
        assert_int_equal(crash_vfs_crash(v, (enum crash_image)image, 7 + image), image);
        db = connect();
        assert_int_equal(rows_of(db), 20);
        (void)sqlite3_close(db);
    }
}

static void test_unsynced_is_lost_and_a_kill_loses_nothing(void **state)
{
    struct crash_vfs *v = *state;
    for (unsigned kills = 0; kills < 2; kills++) {
        crash_vfs_reset(v);
        sqlite3 *db = create(wal_normal);
        assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(RESTART)", NULL, NULL, NULL),
                         SQLITE_OK);
        assert_int_equal(insert(db, 20), SQLITE_OK);
        crash_vfs_freeze(v);
        (void)sqlite3_close(db);
        (void)crash_vfs_crash(v, kills ? CRASH_ALL : CRASH_NOTHING, 1);
        db = connect();
        assert_int_equal(rows_of(db), kills ? 20 : 0);
        (void)sqlite3_close(db);
    }
}

static void test_a_dead_life_does_no_harm(void **state)
{
    struct crash_vfs *v = *state;
    struct crash_counts before;
    struct crash_counts after;
    sqlite3 *old = create(wal);
    assert_int_equal(insert(old, 5), SQLITE_OK);
    (void)crash_vfs_crash(v, CRASH_NOTHING, 1);
    sqlite3 *db = connect();
    assert_int_equal(rows_of(db), 5);
    crash_vfs_counts(v, &before);
    assert_int_not_equal(insert(old, 1), SQLITE_OK);
    (void)sqlite3_close(old);
    crash_vfs_counts(v, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(insert(db, 1), SQLITE_OK);
    assert_int_equal(rows_of(db), 6);
    (void)sqlite3_close(db);
}

static void test_it_freezes_in_the_midst(void **state)
{
    struct crash_vfs *v = *state;
    for (unsigned n = 1; n < 60; n++) {
        crash_vfs_reset(v);
        sqlite3 *db = create(wal);
        crash_vfs_freeze_after(v, n);
        unsigned told = 0;
        while (insert(db, 1) == SQLITE_OK) {
            told++;
        }
        assert_true(crash_vfs_is_frozen(v));
        (void)sqlite3_close(db);
        enum crash_image image = n % 2 ? CRASH_PREFIX : CRASH_SECTORS;
        (void)crash_vfs_crash(v, image, n);
        db = connect();
        assert_in_range(rows_of(db), told, told + 1); /* the last may stand: nobody was told */
        (void)sqlite3_close(db);
    }
}

static void test_faults_come_when_they_are_asked_for(void **state)
{
    struct crash_vfs *v = *state;
    sqlite3 *db = create(wal);
    (void)sqlite3_extended_result_codes(db, 1);
    struct crash_fault fault = {.op = CRASH_OP_WRITE, .nth = 1};
    crash_vfs_fault_set(v, &fault, 1);
    assert_int_equal(insert(db, 1), SQLITE_IOERR_WRITE);
    assert_int_equal(insert(db, 1), SQLITE_OK);
    fault = (struct crash_fault){.op = CRASH_OP_WRITE, .nth = 1, .is_full = true, .repeat = 1};
    crash_vfs_fault_set(v, &fault, 1);
    assert_int_equal(insert(db, 1), SQLITE_FULL);
    assert_int_equal(insert(db, 1), SQLITE_FULL);
    assert_int_equal(insert(db, 1), SQLITE_OK);
    assert_int_equal(crash_vfs_fault_count(v), 2);
    fault = (struct crash_fault){.op = CRASH_OP_SYNC, .nth = 2, .repeat = UINT64_MAX};
    crash_vfs_fault_set(v, &fault, 1);
    assert_int_equal(insert(db, 1), SQLITE_OK);
    assert_int_equal(insert(db, 1), SQLITE_IOERR_FSYNC);
    assert_int_equal(insert(db, 1), SQLITE_IOERR_FSYNC);
    crash_vfs_fault_clear(v);
    struct crash_counts counts;
    crash_vfs_counts(v, &counts);
    crash_vfs_disk_size_set(v, counts.size + 8192);
    int code = SQLITE_OK;
    for (unsigned i = 0; i < 100 && code == SQLITE_OK; i++) {
        code = insert(db, 1);
    }
    assert_int_equal(code, SQLITE_FULL);
    crash_vfs_counts(v, &counts);
    assert_true(counts.size_high <= counts.size + 8192);
    (void)sqlite3_close(db);
}

/* At the disk, because SQLite writes the same pages again. */
static void test_a_sync_that_drops_is_not_mended_by_the_next(void **state)
{
    static struct crash_disk disk;
    static uint8_t block[DISK_BLOCK];
    unsigned blocks = 0;
    (void)state;
    memset(block, 7, sizeof block);
    assert_int_equal(disk_open(&disk), ERR_OK);
    struct disk_file *file = disk_create(&disk, "x");
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(disk_write(&disk, file, block, sizeof block, i * DISK_BLOCK));
    }
    disk_sync_drop(&disk, file);
    disk_sync(&disk, file);
    assert_int_equal(file->now[99 * DISK_BLOCK], 7);
    disk_crash(&disk, CRASH_NOTHING, 1);
    for (uint64_t i = 0; i < 100; i++) {
        blocks += file->now[i * DISK_BLOCK] == 7;
    }
    assert_in_range(blocks, 10, 45); /* one of four */
    disk_close(&disk);
}

static void test_two_connections_lock_each_other_out(void **state)
{
    (void)state;
    sqlite3 *db = create(wal);
    sqlite3 *second = NULL;
    assert_int_equal(insert(db, 1), SQLITE_OK);
    assert_int_equal(sqlite3_open_v2("plain.db", &second, SQLITE_OPEN_READWRITE, "crash"),
                     SQLITE_OK);
    (void)sqlite3_exec(second, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
    assert_int_equal(rows_of(second), -1);
    assert_int_equal(sqlite3_errcode(second), SQLITE_BUSY);
    (void)sqlite3_close(second);
    (void)sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_synced_survives_every_cut, open_disk, close_disk),
        cmocka_unit_test_setup_teardown(test_unsynced_is_lost_and_a_kill_loses_nothing, open_disk,
                                        close_disk),
        cmocka_unit_test_setup_teardown(test_a_dead_life_does_no_harm, open_disk, close_disk),
        cmocka_unit_test_setup_teardown(test_it_freezes_in_the_midst, open_disk, close_disk),
        cmocka_unit_test_setup_teardown(test_faults_come_when_they_are_asked_for, open_disk,
                                        close_disk),
        cmocka_unit_test_setup_teardown(test_a_sync_that_drops_is_not_mended_by_the_next, open_disk,
                                        close_disk),
        cmocka_unit_test_setup_teardown(test_two_connections_lock_each_other_out, open_disk,
                                        close_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
