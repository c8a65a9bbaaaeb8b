/* Opening: whose file it is, who else has it, and what changes with the configuration. */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/buffer/bench.h"

/* The file as it is now, to be freed. */
static uint8_t *copy_file(struct bench *b, uint64_t *ret_size)
{
    const uint8_t *bytes = crash_vfs_file(b->vfs, BENCH_PATH, ret_size);
    uint8_t *copy = malloc(*ret_size + 1);
    memcpy(copy, bytes, *ret_size);
    return copy;
}

static void check_left_alone(struct bench *b, enum err expected, const char *text)
{
    uint64_t size;
    uint64_t size_after;
    uint8_t *before = copy_file(b, &size);
    assert_int_equal(bench_try_open(b), expected);
    assert_non_null(strstr(b->why.text, text));
    assert_null(b->buffer);
    uint8_t *after = copy_file(b, &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
}

static void test_a_newer_format_is_refused(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 12), ERR_OK);
    assert_int_equal(bench_sql_closed(b, "PRAGMA user_version=2; UPDATE meta SET v=2 WHERE "
                                         "k='format'"),
                     ERR_VERSION);
    check_left_alone(b, ERR_VERSION, "newer version");
    bench_sql(b, "PRAGMA user_version=1; UPDATE meta SET v=1 WHERE k='format'");
    bench_check(b, 1, 1, 12);
    assert_int_equal(b->changes.damage.replaced, 0);
}

/* A newer program says its format twice, a damaged bit once. */
static void test_a_damaged_mark_is_no_other_format(void **state)
{
    struct bench *b = *state;
    static const char *const marks[] = {"PRAGMA user_version=3", "PRAGMA application_id=7"};
    for (size_t i = 0; i < 2; i++) {
        bench_begin(b);
        assert_int_equal(bench_append(b, 1, 12), ERR_OK);
        bench_sql(b, marks[i]);
        assert_int_equal(b->changes.damage.replaced, 1);
        bench_check(b, 1, 1, 12);
        assert_int_equal(bench_append(b, 1, 12), ERR_OK);
    }
}

static void plain_database(const char *sql)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    assert_int_equal(sqlite3_open_v2(BENCH_PATH, &db, flags, "bench"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void no_buffer(struct bench *b)
{
    buffer_close(b->buffer);
    b->buffer = NULL;
    crash_vfs_reset(b->vfs);
}

static void test_files_of_others_are_left_alone(void **state)
{
    struct bench *b = *state;
    uint64_t size;
    no_buffer(b);
    plain_database("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
    check_left_alone(b, ERR_VERSION, "another program");
    no_buffer(b);
    plain_database("PRAGMA application_id=5; PRAGMA user_version=1");
    check_left_alone(b, ERR_VERSION, "another program");
    no_buffer(b);
    plain_database("CREATE TABLE t(x)");
    uint8_t *file = crash_vfs_file(b->vfs, BENCH_PATH, &size);
    memset(file, 'x', size); /* a text */
    check_left_alone(b, ERR_CORRUPT, "not a database");
}

/* Behind the real locks of the operating system. */
static void test_a_buffer_in_use_is_refused(void **state)
{
    struct bench *b = *state;
    struct buffer *first = NULL;
    struct buffer *second = NULL;
    char folder[] = "/tmp/weir-buffer.XXXXXX";
    char path[64];
    char log[80];
    struct stat st;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/buffer.db", folder); /* fits */
    (void)snprintf(log, sizeof log, "%s-wal", path);           /* fits */
    b->setup->path = path;
    b->setup->vfs = NULL;
    assert_int_equal(buffer_open(&first, b->setup, &b->why), ERR_OK);
    assert_int_equal(buffer_open(&second, b->setup, &b->why), ERR_FULL);
    assert_non_null(strstr(b->why.text, "another process"));
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(st.st_size, 2 << 20);  /* the log has its size */
    assert_int_equal(st.st_mode & 0027, 0); /* and is nobody else's to read */
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0027, 0);
    buffer_close(first);
    assert_int_equal(buffer_open(&second, b->setup, &b->why), ERR_OK);
    buffer_close(second);
    b->setup->path = "/nowhere/at/all/buffer.db";
    assert_int_equal(buffer_open(&second, b->setup, &b->why), ERR_CLOSED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(log), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_a_cap_that_is_too_small(void **state)
{
    struct bench *b = *state;
    b->setup->size_max = 1 << 20;
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "4 MiB"));
    b->setup->size_max = 4 << 20;
    bench_reopen(b);
}

static void test_incarnation_and_boots(void **state)
{
    struct bench *b = *state;
    uint32_t incarnation = buffer_incarnation(b->buffer);
    uint32_t boot = buffer_boot(b->buffer);
    assert_int_not_equal(incarnation, 0);
    bench_reopen(b);
    bench_reopen(b);
    assert_int_equal(buffer_incarnation(b->buffer), incarnation);
    assert_int_equal(buffer_boot(b->buffer), boot + 2);
    bench_begin(b);
    assert_int_not_equal(buffer_incarnation(b->buffer), incarnation);
}

static void test_read_only_changes_nothing(void **state)
{
    struct bench *b = *state;
    uint64_t size;
    uint64_t size_after;
    while (b->next[1] < 3000) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    bench_cut(b, CRASH_ALL, 1); /* so that there is something in the log */
    uint8_t *before = copy_file(b, &size);
    b->setup->read_only = true;
    assert_int_equal(buffer_open(&b->buffer, b->setup, &b->why), ERR_OK);
    buffer_state(b->buffer, &b->changes);
    bench_check(b, 1, 1, b->next[1] - 1);
    struct buffer_write write = {.event_count = 0};
    assert_int_equal(bench_commit(b, &write), ERR_READONLY);
    buffer_close(b->buffer);
    b->buffer = NULL;
    uint8_t *after = copy_file(b, &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    b->setup->read_only = false;
    bench_reopen(b);
    bench_check(b, 1, 1, b->next[1] - 1);
}

/* --- changes of the configuration --- */

static void test_what_is_owed_to_a_removed_uplink_is_not_forgotten(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 12), ERR_OK);
    bench_end(b, 2, 1, 1, 3);
    b->setup->uplink_count = 1;
    b->setup->streams[0].uplinks = 1;
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "9 events of stream low for uplink files"));
    b->setup->uplink_count = 2;
    b->setup->streams[0].uplinks = 3;
    bench_reopen(b);
    bench_check(b, 1, 4, 12);
    bench_end(b, 2, 1, 1, 12);
    b->setup->uplink_count = 1;
    b->setup->streams[0].uplinks = 1;
    bench_reopen(b); /* nothing is owed to it any more */
    bench_check(b, 1, 1, 12);
}

static void test_what_is_owed_of_a_removed_stream_is_not_forgotten(void **state)
{
    struct bench *b = *state;
    struct buffer_stream low = b->setup->streams[0];
    assert_int_equal(bench_append(b, 1, 7), ERR_OK);
    b->setup->streams[0] = b->setup->streams[1];
    b->setup->stream_count = 1;
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "7 events of stream low"));
    b->setup->streams[1] = low; /* in another order */
    b->setup->stream_count = 2;
    bench_reopen(b);
    assert_int_equal(buffer_stream_number(b->buffer, "low"), 1);
    assert_int_equal(buffer_stream_number(b->buffer, ""), 0);
    assert_int_equal(buffer_uplink_number(b->buffer, ""), 0);
    bench_check(b, 1, 1, 7);
}

static void test_renamed(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 7), ERR_OK);
    b->setup->streams[0].name = "lower";
    b->setup->uplinks[1].name = "archive";
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    b->setup->streams[0].renamed_from = "low";
    b->setup->uplinks[1].renamed_from = "files";
    for (unsigned i = 0; i < 3; i++) { /* and when the setting stays */
        bench_reopen(b);
        assert_int_equal(buffer_stream_number(b->buffer, "lower"), 1);
        assert_int_equal(buffer_stream_number(b->buffer, "low"), 0);
        assert_int_equal(buffer_uplink_number(b->buffer, "archive"), 2);
        bench_check(b, 1, 1, b->next[1] - 1);
        assert_int_equal(bench_owed(b, 2, 1)->ranges[0].last, b->next[1] - 1);
        assert_int_equal(bench_append(b, 1, 3), ERR_OK);
    }
}

static void test_new_uplinks(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 12), ERR_OK);
    b->setup->uplinks[2] =
        (struct buffer_uplink){.name = "late", .from_oldest = true, .hold_max = 1000000};
    b->setup->uplinks[3] = (struct buffer_uplink){.name = "fresh", .hold_max = 1000000};
    b->setup->uplink_count = 4;
    b->setup->streams[0].uplinks = 15;
    bench_reopen(b);
    uint16_t late = buffer_uplink_number(b->buffer, "late");
    uint16_t fresh = buffer_uplink_number(b->buffer, "fresh");
    assert_int_equal(bench_owed(b, late, 1)->ranges[0].first, 1);
    assert_int_equal(bench_owed(b, fresh, 1)->range_count, 0);
    assert_int_equal(bench_append(b, 1, 5), ERR_OK);
    assert_int_equal(bench_owed(b, late, 1)->range_count, 1);
    assert_int_equal(bench_owed(b, fresh, 1)->ranges[0].first, 13);
}

/* Numbers are for ever: another order changes nothing, a new name gets a new one. */
static void test_numbers_are_never_used_again(void **state)
{
    struct bench *b = *state;
    b->setup->uplinks[0].name = "files";
    b->setup->uplinks[1].name = "cloud";
    bench_reopen(b);
    assert_int_equal(buffer_uplink_number(b->buffer, "cloud"), 1);
    assert_int_equal(buffer_uplink_number(b->buffer, "files"), 2);
    b->setup->uplinks[1].name = "third"; /* cloud is gone, nothing is owed to it */
    b->setup->streams[1].name = "other";
    bench_reopen(b);
    assert_int_equal(buffer_uplink_number(b->buffer, "third"), 3);
    assert_int_equal(buffer_stream_number(b->buffer, "other"), 3);
    b->setup->uplinks[1].name = "cloud";
    b->setup->streams[1].name = "alarm";
    bench_reopen(b);
    assert_int_equal(buffer_uplink_number(b->buffer, "cloud"), 1);
    assert_int_equal(buffer_stream_number(b->buffer, "alarm"), 2);
}

/* A stream too many is refused, and the buffer goes on without it. */
static void test_more_streams_than_numbers(void **state)
{
    struct bench *b = *state;
    static char names[STREAM_COUNT_MAX][16];
    assert_int_equal(bench_append(b, 1, 5), ERR_OK);
    for (unsigned i = 1; i < STREAM_COUNT_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%u", i); /* fits */
        b->setup->streams[i] = (struct buffer_stream){.name = names[i], .uplinks = 1};
    }
    b->setup->stream_count = STREAM_COUNT_MAX;
    assert_int_equal(bench_try_open(b), ERR_CONFIG); /* alarm has number 2 already */
    assert_non_null(strstr(b->why.text, "256 streams"));
    b->setup->stream_count = 200;
    bench_reopen(b);
    bench_check(b, 1, 1, 5);
}

/* As many parcels as may be open at one time, over a seal; one more is an error, and no more. */
static void test_many_streams_and_parcels(void **state)
{
    struct bench *b = *state;
    static char names[STREAM_COUNT_MAX][16];
    static struct parcel parcels[BUFFER_PARCEL_MAX + 2];
    static const struct parcel *pointers[BUFFER_PARCEL_MAX + 2];
    static const uint8_t byte[1] = {7};
    static struct stored_event events[200];
    for (uint16_t i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%u", i); /* fits */
        b->setup->streams[i] = (struct buffer_stream){.name = names[i], .uplinks = 3};
        events[i] = (struct stored_event){.stream = (uint16_t)(i + 1),
                                          .schema = 1,
                                          .sequence = 1,
                                          .trust = TIME_WALL,
                                          .datum = {byte, 1}};
        for (uint16_t u = 1; u <= 2 && i <= BUFFER_PARCEL_MAX / 2; u++) {
            size_t index = (size_t)2 * i + u - 1;
            parcels[index] = bench_parcel(u, (uint16_t)(i + 1), 1, 1, PARCEL_PART_MAX);
            pointers[index] = &parcels[index];
        }
    }
    b->setup->stream_count = 100;
    bench_begin(b);
    struct buffer_write write = {.events = events, .event_count = 100};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    for (size_t i = 0; i < BUFFER_PARCEL_MAX; i += 16) {
        write = (struct buffer_write){.parcels = pointers + i, .parcel_count = 16};
        assert_int_equal(bench_commit(b, &write), ERR_OK);
    }
    write = (struct buffer_write){.parcels = pointers + BUFFER_PARCEL_MAX, .parcel_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_FULL);
    while (b->next[1] < 3000) {
        b->next[1] = b->changes.streams[1].sequence_next;
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
    bench_reopen(b);
    for (uint32_t part = 0; part < PARCEL_PART_MAX; part++) {
        bench_done(b, 2, 32, part);
    }
    assert_int_equal(bench_owed(b, 2, 32)->range_count, 0);
    assert_int_equal(bench_owed(b, 1, 32)->ranges[0].first, 1);
    assert_int_equal(bench_owed(b, 2, 31)->ranges[0].first, 1);
    assert_int_equal(bench_commit(b, &write), ERR_OK); /* there is a place again */
    b->setup->stream_count = 256;
    b->setup->uplink_count = 3;
    for (size_t i = 0; i < 256; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%zu", i); /* fits */
        b->setup->streams[i].name = names[i];
        b->setup->streams[i].uplinks = 7;
    }
    b->setup->uplinks[2] = (struct buffer_uplink){.name = "third", .hold_max = 1000000};
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "at most 512"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_newer_format_is_refused),
        TEST(test_a_damaged_mark_is_no_other_format),
        TEST(test_files_of_others_are_left_alone),
        TEST(test_a_buffer_in_use_is_refused),
        TEST(test_a_cap_that_is_too_small),
        TEST(test_incarnation_and_boots),
        TEST(test_read_only_changes_nothing),
        TEST(test_what_is_owed_to_a_removed_uplink_is_not_forgotten),
        TEST(test_what_is_owed_of_a_removed_stream_is_not_forgotten),
        TEST(test_renamed),
        TEST(test_new_uplinks),
        TEST(test_numbers_are_never_used_again),
        TEST(test_more_streams_than_numbers),
        TEST(test_many_streams_and_parcels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
