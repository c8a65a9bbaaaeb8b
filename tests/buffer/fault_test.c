/* The n-th operation of the disk fails, for each n and each way of failing, over a standard scenario:
 * commits with events, deliveries, parcels, cursors and set-aside events until there was a seal, an
 * eviction and a checkpoint, then a new schema, closing, opening, commits. Nothing acknowledged is
 * lost or comes twice, nothing is half there, what is stored can be read meanwhile, and when the
 * cause is gone the buffer goes on.
 *
 * WEIR_LONG=1: every n, else each 67th. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cmocka.h"

#include "buffer/internal.h"
#include "tests/buffer/world.h"

#define SIZE_MAX_BYTES (4 << 20)
#define FOR_EVER UINT64_MAX
#define SCENARIO_COMMITS_MAX 60
#define OPS_MAX 40000 /* of a scenario with its fault: more is an endless loop */

static const struct crash_fault kinds[] = {
    {.op = CRASH_OP_WRITE},
    {.op = CRASH_OP_WRITE, .repeat = FOR_EVER},
    {.op = CRASH_OP_WRITE, .is_full = true, .is_short = true},
    {.op = CRASH_OP_WRITE, .is_full = true, .repeat = FOR_EVER},
    {.op = CRASH_OP_WRITE, .is_short = true, .repeat = FOR_EVER},
    {.op = CRASH_OP_WRITE, .error = EROFS},
    {.op = CRASH_OP_WRITE, .error = EROFS, .repeat = FOR_EVER},
    {.op = CRASH_OP_SYNC},
    {.op = CRASH_OP_SYNC, .repeat = FOR_EVER},
    {.op = CRASH_OP_SYNC, .error = ENOSPC, .repeat = 1},
    {.op = CRASH_OP_SYNC, .error = EROFS, .repeat = FOR_EVER},
    {.op = CRASH_OP_SYNC, .sync_drops = true},
    {.op = CRASH_OP_SYNC, .sync_drops = true, .repeat = 2},
    {.op = CRASH_OP_READ},
    {.op = CRASH_OP_READ, .repeat = FOR_EVER},
    {.op = CRASH_OP_TRUNCATE},
    {.op = CRASH_OP_TRUNCATE, .error = EROFS, .repeat = FOR_EVER},
    {.op = CRASH_OP_OPEN},
    {.op = CRASH_OP_OPEN, .error = ENOSPC},
    {.op = CRASH_OP_OPEN, .error = EROFS, .repeat = FOR_EVER},
    {.op = CRASH_OP_DELETE},
    {.op = CRASH_OP_DELETE, .error = EROFS, .repeat = FOR_EVER},
    {.op = CRASH_OP_LOCK},
    {.op = CRASH_OP_LOCK, .repeat = FOR_EVER},
    {.op = CRASH_OP_SIZE},
    {.op = CRASH_OP_SIZE, .repeat = FOR_EVER},
    {.op = CRASH_OP_EVERY},
    {.op = CRASH_OP_EVERY, .repeat = FOR_EVER},
};

/* What came of all faults. */
static struct {
    unsigned runs;
    unsigned complete; /* those with a seal, a checkpoint, an eviction */
    unsigned faults;
    unsigned lost;
    unsigned twice;
    unsigned other;
} totals;

static uint64_t stride(void)
{
    return getenv("WEIR_LONG") ? 1 : 67;
}

static void check(struct world *w, const char *wrong, const struct crash_fault *fault, uint64_t n)
{
    if (wrong) {
        unsigned *count = strncmp(wrong, "lost", 4) == 0    ? &totals.lost
                          : strncmp(wrong, "twice", 5) == 0 ? &totals.twice
                                                            : &totals.other;
        *count += 1;
        fail_msg("operation %u, the %llu-th: %s (%s)", fault->op, (unsigned long long)n, wrong,
                 w->why.text);
    }
}

/* The disk's troubles are said to be the disk's. */
static void check_error(struct world *w, enum err e)
{
    bool is_named = strstr(w->why.text, WORLD_PATH) && strchr(w->why.text, ':');
    if (e == ERR_VERSION || e == ERR_CORRUPT || e == ERR_CONFIG || e == ERR_REJECTED || !is_named) {
        fail_msg("%s: %s", err_name(e), w->why.text);
    }
}

/* Can what is stored be read while commits fail? */
static void check_reading(struct world *w, const struct crash_fault *fault, uint64_t n)
{
    if (fault->op == CRASH_OP_WRITE || fault->op == CRASH_OP_SYNC) {
        check(w, world_check_events(w), fault, n);
    }
}

/* A commit, offered again while the fault lasts; it must be taken when that is over. */
static void commit_one(struct world *w, const struct crash_fault *fault, uint64_t n)
{
    enum err e = world_step(w);
    for (unsigned tries = 0; e && tries < 8; tries++) {
        check_error(w, e);
        if (tries == 3) {
            check_reading(w, fault, n);
            crash_vfs_fault_clear(w->vfs);
        }
        e = world_retry(w);
    }
    check(w, e ? "the commit is not taken any more" : world_check_changes(w), fault, n);
}

static void commit_some(struct world *w, unsigned count, const struct crash_fault *fault,
                        uint64_t n)
{
    for (unsigned i = 0; i < count; i++) {
        commit_one(w, fault, n);
    }
}

/* Until there was a seal, a checkpoint, and in a full buffer an eviction, if there is still something
 * that may go. */
static void commit_until_sealed(struct world *w, const struct crash_fault *fault, uint64_t n)
{
    uint64_t generation = w->buffer->state->generation;
    uint64_t dropped = w->sure->dropped[1];
    bool checkpointed = false;
    for (unsigned i = 0; i < SCENARIO_COMMITS_MAX; i++) {
        int frames = w->buffer->wal_frames;
        commit_one(w, fault, n);
        checkpointed = checkpointed || w->buffer->wal_frames < frames;
        if (checkpointed && w->buffer->state->generation != generation &&
            (w->drains || w->sure->dropped[1] != dropped)) {
            totals.complete++;
            return;
        }
    }
}

static void add_schema(struct world *w, uint64_t n)
{
    char json[64];
    uint8_t fingerprint[8] = {2};
    uint32_t schema = 0;
    memcpy(fingerprint + 1, &n, 7);
    int size = snprintf(json, sizeof json, "{\"type\":\"fixed\",\"size\":%llu}",
                        (unsigned long long)n); /* fits */
    struct slice text = {(const uint8_t *)json, (size_t)size};
    enum err e = ERR_IO;
    for (unsigned tries = 0; e && tries < 5; tries++) {
        if (tries == 3) {
            crash_vfs_fault_clear(w->vfs);
        }
        e = buffer_schema_add(w->buffer, 1, text, fingerprint, &schema, &w->why);
    }
    assert_int_equal(e, ERR_OK);
    assert_true(schema > WORLD_STREAMS);
}

static void open_again(struct world *w, const struct crash_fault *fault, uint64_t n)
{
    enum err e = world_buffer_open(w);
    for (unsigned tries = 0; e && tries < 4; tries++) {
        check_error(w, e);
        if (tries == 2) {
            crash_vfs_fault_clear(w->vfs);
        }
        e = world_buffer_open(w);
    }
    crash_vfs_fault_clear(w->vfs); /* or it hits the check */
    check(w, e ? "the buffer can't be opened any more" : world_check(w), fault, n);
}

/* True: the fault came. */
static bool go_through(struct world *w, const struct crash_fault *kind, uint64_t n)
{
    struct crash_counts before;
    struct crash_counts after;
    struct crash_fault fault = *kind;
    fault.nth = n;
    crash_vfs_counts(w->vfs, &before);
    crash_vfs_fault_set(w->vfs, &fault, n * 31);
    commit_until_sealed(w, kind, n);
    add_schema(w, n);
    world_buffer_close(w);
    open_again(w, kind, n);
    commit_some(w, 2, kind, n);
    crash_vfs_counts(w->vfs, &after);
    assert_true(after.ops_all - before.ops_all < OPS_MAX);
    bool came = crash_vfs_fault_count(w->vfs) > 0;
    totals.faults += came;
    return came;
}

/* A new disk, filled up to the cap unless deliveries keep up. */
static void begin(struct world *w, uint64_t seed)
{
    world_reset(w, seed);
    assert_int_equal(world_buffer_open(w), ERR_OK);
    while (!w->drains && w->sure->dropped[1] == 0) {
        assert_int_equal(world_step(w), ERR_OK);
        assert_null(world_check_changes(w));
    }
}

static void go_through_all(struct world *w)
{
    bool is_used_up = false;
    w->datum_extra = 500;
    w->orders = true;
    begin(w, 1);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool came = true;
        unsigned before = totals.faults;
        for (uint64_t n = 1; came; n += n == 1 ? 1 + k % stride() : stride()) {
            unsigned complete = totals.complete;
            if (is_used_up || !world_has_room(w)) {
                begin(w, n);
            }
            came = go_through(w, &kinds[k], n);
            totals.runs++;
            is_used_up = totals.complete == complete;
        }
        /* Files are deleted only while the database is made. */
        assert_true(totals.faults > before || kinds[k].op == CRASH_OP_DELETE);
    }
    w->orders = false;
}

static void test_a_buffer_that_drains(void **state)
{
    struct world *w = *state;
    w->drains = true;
    go_through_all(w);
    assert_true(totals.complete > totals.runs / 2);
}

static void test_a_full_buffer(void **state)
{
    struct world *w = *state;
    totals.runs = 0;
    totals.complete = 0;
    go_through_all(w);
    assert_true(totals.complete > totals.runs / 2);
}

/* Also while it is made. */
static void test_the_first_opening(void **state)
{
    struct world *w = *state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool came = true;
        for (uint64_t n = 1; came; n += stride() / 10 + 1) {
            struct crash_fault fault = kinds[k];
            world_reset(w, n);
            fault.nth = n;
            crash_vfs_fault_set(w->vfs, &fault, n);
            open_again(w, &fault, n);
            commit_some(w, 1, &fault, n);
            came = crash_vfs_fault_count(w->vfs) > 0;
            totals.faults += came;
        }
    }
}

/* The disk is full with files of others: deliveries and cursors are stored all the same, because
 * log and database have what they need before it is needed, and what is delivered makes room. */
static void test_a_disk_that_others_have_filled(void **state)
{
    struct world *w = *state;
    struct crash_counts counts;
    unsigned refused = 0;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(world_step(w), ERR_OK);
    }
    crash_vfs_counts(w->vfs, &counts);
    crash_vfs_disk_size_set(w->vfs, counts.size);
    for (unsigned i = 0; i < 400 && world_has_room(w); i++) {
        w->drains = i > 100;
        enum err e = world_step(w);
        refused += e != ERR_OK;
        for (unsigned tries = 0; e && tries < 3; tries++) {
            assert_int_equal(e, ERR_NOSPACE);
            assert_null(world_check_events(w));
            w->quiet = true;
            e = world_step(w);
        }
        w->quiet = false;
        assert_int_equal(e, ERR_OK);
        assert_null(world_check_changes(w));
        if (i % 50 == 49) {
            world_buffer_close(w);
            assert_int_equal(world_buffer_open(w), ERR_OK);
            assert_null(world_check(w));
        }
    }
    print_message("full disk: %u of 400 commits refused, then taken without their events\n",
                  refused);
    assert_true(refused < 40);
}

/* A checkpoint fails once on such a disk. Sources are refused, so no commit comes that would mend it:
 * looking does, and finds the room. */
static void test_a_checkpoint_fails_on_a_disk_that_is_full(void **state)
{
    static const struct crash_fault second_sync = {.op = CRASH_OP_SYNC, .nth = 2};
    static const struct crash_fault each_sync = {.op = CRASH_OP_SYNC, .nth = 1, .repeat = FOR_EVER};
    struct world *w = *state;
    struct crash_counts counts;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    assert_int_equal(world_step(w), ERR_OK);
    crash_vfs_counts(w->vfs, &counts);
    crash_vfs_disk_size_set(w->vfs, counts.size);
    for (unsigned i = 0; !w->changes.disk_full || !w->buffer->broken; i++) {
        assert_true(i < 400);
        w->quiet = w->changes.disk_full;
        crash_vfs_fault_clear(w->vfs);
        if (w->quiet) { /* the first one is the commit's */
            crash_vfs_fault_set(w->vfs, &second_sync, 1);
        }
        assert_int_equal(world_step(w), ERR_OK);
    }
    crash_vfs_fault_set(w->vfs, &each_sync, 1);
    crash_vfs_disk_size_set(w->vfs, UINT64_MAX);
    buffer_look(w->buffer, &w->changes);
    assert_true(w->changes.disk_full);
    assert_null(world_check_events(w));
    crash_vfs_fault_clear(w->vfs);
    buffer_look(w->buffer, &w->changes);
    assert_false(w->changes.disk_full);
    assert_false(w->buffer->broken);
    w->quiet = false;
    assert_int_equal(world_step(w), ERR_OK);
    assert_null(world_check_changes(w));
    world_buffer_close(w);
    assert_int_equal(world_buffer_open(w), ERR_OK);
    assert_null(world_check(w));
}

/* As after an error of the file system below: what is written fails, in SQLite's words with an I/O
 * error; it is called what it is, everything can be read, and it goes on when it is mended. */
static void test_a_read_only_file_system(void **state)
{
    struct world *w = *state;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(world_step(w), ERR_OK);
    }
    crash_vfs_read_only_set(w->vfs, true);
    enum err e = world_step(w);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(e, ERR_READONLY);
        assert_non_null(strstr(w->why.text, WORLD_PATH ": the file system is read-only"));
        assert_null(world_check_events(w));
        e = world_retry(w);
    }
    world_buffer_close(w);
    assert_int_equal(world_buffer_open(w), ERR_READONLY);
    assert_non_null(strstr(w->why.text, WORLD_PATH ": the file system is read-only"));
    crash_vfs_read_only_set(w->vfs, false);
    assert_int_equal(world_buffer_open(w), ERR_OK);
    assert_null(world_check(w));
    assert_int_equal(world_step(w), ERR_OK);
}

/* Deliveries that are kept in memory while nothing can be written are all there after the commit that
 * brings them to the disk; if there is none, the disk is as it was. */
static void test_deliveries_without_a_disk(void **state)
{
    struct world *w = *state;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    for (unsigned round = 0; round < 60; round++) {
        w->quiet = false;
        for (unsigned i = 0; i < 12; i++) {
            assert_int_equal(world_step(w), ERR_OK);
            assert_null(world_check_changes(w));
        }
        w->quiet = true; /* sources are refused */
        crash_vfs_read_only_set(w->vfs, true);
        assert_int_equal(world_step(w), ERR_READONLY);
        assert_null(world_check_events(w));
        assert_int_equal(world_keep(w, round % 20), ERR_OK);
        assert_int_equal(w->changes.unsaved, 1 + round % 20);
        assert_int_equal(world_retry(w), ERR_READONLY);
        crash_vfs_read_only_set(w->vfs, false);
        if (round % 3 == 0) { /* as if the process had been killed */
            crash_vfs_freeze(w->vfs);
            world_buffer_close(w);
            (void)crash_vfs_crash(w->vfs, CRASH_ALL, round);
            assert_int_equal(world_buffer_open(w), ERR_OK);
            assert_null(world_check(w));
            continue;
        }
        assert_int_equal(world_retry(w), ERR_OK);
        assert_int_equal(w->changes.unsaved, 0);
        assert_null(world_check_changes(w));
        if (round % 3 == 1) {
            world_buffer_close(w);
            assert_int_equal(world_buffer_open(w), ERR_OK);
            assert_null(world_check(w));
        }
    }
}

static void test_what_a_disk_says(void **state)
{
    static const struct {
        struct crash_fault fault;
        enum err e;
        const char *text;
    } cases[] = {
        {{.op = CRASH_OP_WRITE, .is_full = true}, ERR_NOSPACE, "the disk is full"},
        {{.op = CRASH_OP_WRITE}, ERR_IO, "the disk fails"},
        {{.op = CRASH_OP_SYNC}, ERR_IO, "the disk fails"},
        {{.op = CRASH_OP_SYNC, .error = ENOSPC}, ERR_NOSPACE, "the disk is full"},
        {{.op = CRASH_OP_WRITE, .error = EDQUOT}, ERR_NOSPACE, "quota"},
        {{.op = CRASH_OP_WRITE, .error = EROFS}, ERR_READONLY, "read-only"},
    };
    struct world *w = *state;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct crash_fault fault = cases[i].fault;
        fault.nth = 1;
        fault.repeat = FOR_EVER;
        assert_int_equal(world_step(w), ERR_OK);
        crash_vfs_fault_set(w->vfs, &fault, 1);
        assert_int_equal(world_step(w), cases[i].e);
        assert_non_null(strstr(w->why.text, cases[i].text));
        crash_vfs_fault_clear(w->vfs);
        assert_int_equal(world_retry(w), ERR_OK);
    }
}

static int open_world(void **state)
{
    *state = world_open("fault", 1, SIZE_MAX_BYTES);
    return 0;
}

static int close_world(void **state)
{
    world_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_buffer_that_drains, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_a_full_buffer, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_the_first_opening, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_a_disk_that_others_have_filled, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_a_checkpoint_fails_on_a_disk_that_is_full, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_a_read_only_file_system, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_deliveries_without_a_disk, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_what_a_disk_says, open_world, close_world),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("scenarios: %u, %u of them with seal, eviction and checkpoint\n", totals.runs,
           totals.complete);
    printf("fault io=%u lost=%u twice=%u other=%u\n", totals.faults, totals.lost, totals.twice,
           totals.other);
    return failed;
}
