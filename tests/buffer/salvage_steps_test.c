/* How a salvage goes through a file: up, over a hole, back down, and up again; to whom it owes what;
 * what becomes of the files. */
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "tests/buffer/bench.h"

#define LOG BENCH_PATH "-wal"
#define BAD BENCH_PATH ".bad-1"
#define KEPT BENCH_PATH ".bad-kept"
#define PAGE 4096

/* --- the file --- */

static uint64_t varint(const uint8_t **at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 9; i++) {
        uint8_t byte = *(*at)++;
        if (i == 8) {
            return value << 8 | byte;
        }
        value = value << 7 | (byte & 0x7f);
        if (byte < 0x80) {
            break;
        }
    }
    return value;
}

static uint32_t u32_be(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The `nth` leaf below the root of the rows whose last row is of the stream. */
static uint32_t leaf_of(const uint8_t *root, uint16_t stream, unsigned nth)
{
    unsigned count = (unsigned)root[3] << 8 | root[4];
    assert_int_equal(root[0], 5); /* leaves are below it */
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *cell = root + ((unsigned)root[12 + 2 * i] << 8 | root[13 + 2 * i]);
        const uint8_t *key = cell + 4;
        if (varint(&key) >> 48 == stream && nth-- == 0) {
            return u32_be(cell);
        }
    }
    fail_msg("no such leaf");
    return 0;
}

static void copy_file(struct bench *b, const char *from, const char *to)
{
    uint64_t size;
    const uint8_t *bytes = crash_vfs_file(b->vfs, from, &size);
    assert_non_null(bytes);
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    assert_true(crash_vfs_file_put(b->vfs, to, copy, size));
    free(copy);
}

/* Closes the buffer in order, and destroys a leaf that has rows of this stream. */
static void destroy_leaf(struct bench *b, uint16_t stream, unsigned nth)
{
    uint64_t size;
    uint64_t root =
        (uint64_t)sql_number(b->buffer, "SELECT rootpage FROM sqlite_schema WHERE name='batch'", 0);
    buffer_close(b->buffer);
    b->buffer = NULL;
    const uint8_t *bytes = crash_vfs_file(b->vfs, BENCH_PATH, &size);
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    uint32_t leaf = leaf_of(copy + (root - 1) * PAGE, stream, nth);
    memset(copy + (uint64_t)(leaf - 1) * PAGE, 0xaa, PAGE);
    assert_true(crash_vfs_file_put(b->vfs, BENCH_PATH, copy, size));
    free(copy);
    assert_non_null(crash_vfs_file(b->vfs, LOG, &size));
    copy = calloc(1, size); /* it may have the page once more */
    assert_true(crash_vfs_file_put(b->vfs, LOG, copy, size));
    free(copy);
}

/* --- rows of one event --- */

#define ALARMS 300

/* What comes over is delivered at once: when it comes once more, it is seen. */
static uint64_t deliver(struct bench *b, uint8_t seen[ALARMS + 1])
{
    uint64_t count = 0;
    struct owed owed = *bench_owed(b, 1, 2);
    for (size_t r = 0; r < owed.range_count; r++) {
        struct range range = owed.ranges[r];
        enum err e = ERR_OK;
        while (!e && range.first <= range.last) {
            e = buffer_read(b->buffer, 2, range, 20000, b->rows, &b->why);
            for (size_t i = 0; !e && i < b->rows->event_count; i++) {
                assert_int_equal(seen[b->rows->events[i].sequence]++, 0);
                count++;
            }
            range.first = e ? range.first : b->rows->covered.last + 1;
        }
        if (e) {
            assert_int_equal(e, ERR_AGAIN); /* damage was found */
            return count;
        }
        bench_end(b, 1, 2, owed.ranges[r].first, owed.ranges[r].last);
    }
    return count;
}

/* Beside the destroyed leaf stands a row whose key is the last of it, so that going up from there
 * leads into it again. */
static void test_rows_of_one_event(void **state)
{
    struct bench *b = *state;
    uint8_t seen[ALARMS + 1] = {0};
    b->other_datums = true;
    while (b->next[2] <= ALARMS) { /* a seal each time */
        b->datum_size = 17;
        assert_int_equal(bench_append(b, 2, 1), ERR_OK);
        b->datum_size = 500;
        assert_int_equal(bench_append(b, 1, 110), ERR_OK);
        assert_int_equal(bench_append(b, 1, 110), ERR_OK);
        assert_int_equal(bench_append(b, 1, 60), ERR_OK);
        bench_end(b, 1, 1, 1, b->next[1] - 1);
        bench_end(b, 2, 1, 1, b->next[1] - 1);
    }
    destroy_leaf(b, 2, 3);
    assert_int_equal(bench_try_open(b), ERR_OK);
    uint64_t found = deliver(b, seen);
    unsigned turns = 0;
    for (enum err e = ERR_OK; e != ERR_CLOSED; turns++) {
        assert_true(turns < 200);
        e = buffer_care(b->buffer, &b->changes, &b->why);
        assert_true(e == ERR_OK || e == ERR_CLOSED);
        found += deliver(b, seen);
    }
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_in_range(found, ALARMS - 60, ALARMS - 8);
    assert_int_equal(found + b->changes.streams[2].dropped[GAP_DAMAGED], b->next[2] - 1);
}

/* --- to whom --- */

static struct range row_range(struct bench *b, unsigned index)
{
    char sql[100];
    struct range range;
    (void)snprintf(sql, sizeof sql,
                   "SELECT id&0xffffffffff FROM batch ORDER BY id LIMIT 1 OFFSET %u", index);
    range.first = (uint64_t)sql_number(b->buffer, sql, 0);
    (void)snprintf(sql, sizeof sql, "SELECT last FROM batch ORDER BY id LIMIT 1 OFFSET %u", index);
    range.last = (uint64_t)sql_number(b->buffer, sql, 0);
    assert_true(range.first > 0);
    return range;
}

/* Two parts of one row are wanted, and there is a place for one more range. */
static void test_a_list_of_ranges_that_gets_full(void **state)
{
    struct bench *b = *state;
    bench_fill(b, 2, 60, 20000);
    for (unsigned i = 0, large = 0; large < 7; i++) {
        struct range row = row_range(b, i);
        if (row.last < row.first + 100) {
            continue;
        }
        bench_end(b, 1, 2, row.first, row.first + 9);
        if (++large == 7) {
            bench_end(b, 1, 2, row.first + 50, row.first + 59);
            bench_end(b, 1, 2, row.last - 9, b->next[2] - 1);
        }
    }
    uint64_t owed = 0;
    struct owed before = *bench_owed(b, 1, 2);
    for (size_t r = 0; r < before.range_count; r++) {
        owed += before.ranges[r].last - before.ranges[r].first + 1;
    }
    bench_find_damage(b);
    uint64_t found = 0;
    for (unsigned turns = 0; b->changes.damage.salvages; turns++) {
        assert_true(turns < 200);
        enum err e = buffer_care(b->buffer, &b->changes, &b->why);
        assert_true(e == ERR_OK || e == ERR_CLOSED || e == ERR_FULL);
        if (e == ERR_FULL) { /* the list is full: what is there is delivered */
            struct range first = bench_owed(b, 1, 2)->ranges[0];
            found += first.last - first.first + 1;
            bench_end(b, 1, 2, first.first, first.last);
        }
    }
    const struct owed *now = bench_owed(b, 1, 2);
    for (size_t r = 0; r < now->range_count; r++) {
        found += now->ranges[r].last - now->ranges[r].first + 1;
    }
    assert_int_equal(found, owed);
}

static void test_who_had_it_loses_nothing(void **state)
{
    struct bench *b = *state;
    bench_fill(b, 1, 60, 6000);
    bench_end(b, 1, 1, 1, b->next[1] - 1); /* cloud has had all of it */
    struct range row = row_range(b, 0);
    bench_find_damage(b);
    bench_cut(b, CRASH_ALL, 1);
    struct bench bad = *b; /* the damage: one checksum */
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(BAD, &db, SQLITE_OPEN_READWRITE, bad.setup->vfs), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA locking_mode=EXCLUSIVE; UPDATE batch SET crc=crc+1 WHERE "
                                  "id=(SELECT min(id) FROM batch)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(bench_try_open(b), ERR_OK);
    bench_care(b);
    assert_int_equal(b->changes.gap_count, 1);
    assert_int_equal(b->changes.gaps[0].uplink, 2);
    assert_int_equal(b->changes.gaps[0].count, row.last - row.first + 1);
}

/* --- files --- */

/* The turn that clears up moves the file; the power goes before its commit. */
static void test_a_kept_file_stays_kept(void **state)
{
    struct bench *b = *state;
    uint64_t size;
    b->setup->keep_damaged = true;
    bench_reopen(b);
    bench_fill(b, 1, 60, 6000);
    for (uint64_t n = 1;; n++) {
        bench_find_damage(b);
        while (b->buffer->salvage->at.stream != STREAM_END) {
            assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_OK);
        }
        crash_vfs_freeze_after(b->vfs, n);
        enum err e = buffer_care(b->buffer, &b->changes, &b->why);
        bool done = !crash_vfs_is_frozen(b->vfs);
        (void)e; /* a dead disk's */
        if (done) {
            crash_vfs_freeze_after(b->vfs, 0);
        }
        buffer_close(b->buffer);
        b->buffer = NULL;
        if (!done) {
            (void)crash_vfs_crash(b->vfs, CRASH_ALL, n);
        }
        if (bench_try_open(b)) {
            fail_msg("cut at operation %llu: %s", (unsigned long long)n, b->why.text);
        }
        bench_care(b);
        assert_non_null(crash_vfs_file(b->vfs, KEPT, &size));
        assert_null(crash_vfs_file(b->vfs, BAD, &size));
        if (done) {
            assert_true(n > 3);
            return;
        }
    }
}

/* The rows of open parcels come over in one transaction, larger than the log may be for long. */
static void test_the_log_has_its_size_again(void **state)
{
    struct bench *b = *state;
    uint64_t size;
    b->datum_size = 500;
    bench_fill(b, 2, 200, 7000);
    struct parcel parcel = bench_parcel(1, 2, 1, 6000, 1);
    bench_parcel_put(b, &parcel);
    crash_vfs_high_reset(b->vfs);
    bench_find_damage(b);
    struct crash_counts counts;
    crash_vfs_counts(b->vfs, &counts);
    assert_true(counts.wal_high > WAL_WARM_SIZE);
    assert_non_null(crash_vfs_file(b->vfs, LOG, &size));
    assert_int_equal(size, WAL_WARM_SIZE);
    bench_care(b);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.logs, 0);
    bench_check(b, 2, 1, 7000);
}

static void wait_for_room(struct bench *b)
{
    enum err e = ERR_OK;
    for (unsigned turns = 0; e != ERR_FULL; turns++) {
        assert_true(turns < 200);
        e = buffer_care(b->buffer, &b->changes, &b->why);
        assert_true(e == ERR_OK || e == ERR_FULL);
    }
}

/* Whatever is committed beside it: a salvage that waits reads and writes nothing. */
static void check_rest(struct bench *b)
{
    for (unsigned i = 0; i < 50; i++) {
        struct crash_counts before, after;
        bench_idle(b);
        uint64_t commit = b->buffer->state->commit;
        crash_vfs_counts(b->vfs, &before);
        assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_FULL);
        crash_vfs_counts(b->vfs, &after);
        assert_int_equal(b->buffer->state->commit, commit);
        assert_int_equal(after.ops_all, before.ops_all);
    }
}

/* For a place in a list of ranges. */
static void test_a_waiting_salvage_rests(void **state)
{
    struct bench *b = *state;
    bench_fill(b, 2, 60, 6000);
    uint64_t last = b->next[2] - 1;
    bench_find_damage(b);
    for (unsigned i = 0; i < 7; i++) {
        uint64_t first = b->next[2];
        assert_int_equal(bench_append(b, 2, 10), ERR_OK);
        bench_end(b, 1, 2, first, first + 1);
    }
    wait_for_room(b);
    check_rest(b);
    bench_end(b, 1, 2, last + 1, b->next[2] - 1);
    bench_care(b);
    bench_check(b, 2, 1, last);
}

/* For pages: what is collected meanwhile has filled the file, and gives way to nothing. Returns the last
 * event that is to come over. */
static uint64_t wait_for_pages(struct bench *b)
{
    b->setup->size_max = 8 << 20;
    b->datum_size = 500;
    bench_begin(b);
    b->setup->size_max = 64 << 20; /* of all files: the damaged one does not count */
    bench_fill(b, 2, 60, 6000);
    uint64_t last = b->next[2] - 1;
    bench_find_damage(b);
    bench_fill(b, 2, 60, 60000);
    wait_for_room(b);
    return last;
}

static void test_a_salvage_rests_where_the_buffer_is_full(void **state)
{
    struct bench *b = *state;
    uint64_t last = wait_for_pages(b);
    check_rest(b);
    bench_end(b, 1, 2, last + 1, b->next[2] - 1);
    bench_care(b);
    bench_check(b, 2, 1, last);
    assert_int_equal(b->changes.gap_count, 0);
}

/* What it waits with is dropped: then it needs no room. */
static void test_what_waits_is_dropped(void **state)
{
    struct bench *b = *state;
    uint64_t last = wait_for_pages(b);
    struct buffer_order order = {.kind = ORDER_DROP, .stream = 2, .range = {1, last}};
    struct buffer_order *orders[] = {&order};
    struct buffer_write write = {.orders = orders, .order_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    assert_int_equal(order.count, last);
    bench_care(b);
    assert_int_equal(bench_owed(b, 1, 2)->ranges[0].first, last + 1);
}

/* A file of the user's: of later than an older one that was put back, and the buffer's own. */
static void test_files_that_are_refused(void **state)
{
    struct bench *b = *state;
    bench_fill(b, 1, 60, 600);
    for (unsigned i = 0; i < 2; i++) {
        buffer_close(b->buffer);
        b->buffer = NULL;
        copy_file(b, BENCH_PATH, i == 0 ? "old" : "kept");
        copy_file(b, LOG, i == 0 ? "old-wal" : "kept-wal");
        if (i == 0) {
            assert_int_equal(bench_try_open(b), ERR_OK);
            bench_fill(b, 1, 60, 6000);
        }
    }
    copy_file(b, "old", BENCH_PATH);
    copy_file(b, "old-wal", LOG);
    assert_int_equal(bench_try_open(b), ERR_OK);
    assert_int_equal(buffer_salvage_begin(b->buffer, "kept", &b->why), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "newer"));
    assert_int_equal(buffer_salvage_begin(b->buffer, BENCH_PATH, &b->why), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "itself"));
    assert_int_equal(buffer_salvage_begin(b->buffer, "none", &b->why), ERR_CLOSED);
    assert_null(b->buffer->salvage);
    b->next[1] = b->changes.streams[1].sequence_next;
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_of_one_event, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_list_of_ranges_that_gets_full, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_who_had_it_loses_nothing, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_kept_file_stays_kept, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_log_has_its_size_again, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_waiting_salvage_rests, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_salvage_rests_where_the_buffer_is_full, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_what_waits_is_dropped, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_files_that_are_refused, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
