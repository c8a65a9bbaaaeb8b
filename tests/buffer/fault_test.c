/* The n-th operation of the disk fails, for each n and each way of failing: nothing acknowledged is
 * lost, nothing is half there, what is stored can be read meanwhile, and when the cause is gone the
 * buffer goes on.
 *
 * WEIR_LONG=1: every n, else each eleventh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/buffer/world.h"

#define SIZE_MAX_BYTES (4 << 20)
#define FOR_EVER UINT64_MAX

static const struct crash_fault kinds[] = {
    {.op = CRASH_OP_WRITE},
    {.op = CRASH_OP_WRITE, .repeat = FOR_EVER},
    {.op = CRASH_OP_WRITE, .is_full = true, .is_short = true},
    {.op = CRASH_OP_WRITE, .is_full = true, .repeat = FOR_EVER},
    {.op = CRASH_OP_SYNC},
    {.op = CRASH_OP_SYNC, .repeat = FOR_EVER},
    {.op = CRASH_OP_SYNC, .sync_drops = true},
    {.op = CRASH_OP_SYNC, .sync_drops = true, .repeat = 2},
    {.op = CRASH_OP_READ},
    {.op = CRASH_OP_READ, .repeat = FOR_EVER},
    {.op = CRASH_OP_TRUNCATE},
    {.op = CRASH_OP_OPEN},
    {.op = CRASH_OP_OPEN, .repeat = FOR_EVER},
    {.op = CRASH_OP_DELETE, .repeat = FOR_EVER},
    {.op = CRASH_OP_EVERY},
    {.op = CRASH_OP_EVERY, .repeat = FOR_EVER},
};

static uint64_t stride(void)
{
    return getenv("WEIR_LONG") ? 1 : 11;
}

static void check(struct world *w, const char *wrong, const struct crash_fault *fault, uint64_t n)
{
    if (wrong) {
        fail_msg("operation %u, the %llu-th: %s (%s)", fault->op, (unsigned long long)n, wrong,
                 w->why.text);
    }
}

/* The disk's troubles are said to be the disk's. */
static void check_error(struct world *w, enum err e)
{
    if (e == ERR_VERSION || e == ERR_CORRUPT || e == ERR_CONFIG || e == ERR_REJECTED) {
        fail_msg("%s: %s", err_name(e), w->why.text);
    }
}

/* A few commits; each is offered again while the fault lasts, and must be taken when it is over. */
static void commit_some(struct world *w, unsigned count, const struct crash_fault *fault,
                        uint64_t n)
{
    for (unsigned i = 0; i < count; i++) {
        enum err e = world_step(w);
        for (unsigned tries = 0; e && tries < 8; tries++) {
            check_error(w, e);
            if (fault->op != CRASH_OP_READ && fault->op != CRASH_OP_EVERY) {
                check(w, world_check_events(w), fault, n);
            }
            if (tries == 3) {
                crash_vfs_fault_clear(w->vfs);
            }
            e = world_retry(w);
        }
        check(w, e ? "the commit is not taken any more" : world_check_changes(w), fault, n);
    }
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

/* Commits, a checkpoint now and then, closing, opening, commits. True: the fault came. */
static bool go_through(struct world *w, const struct crash_fault *kind, uint64_t n, unsigned count)
{
    struct crash_fault fault = *kind;
    fault.nth = n;
    crash_vfs_fault_set(w->vfs, &fault, n * 31);
    commit_some(w, count, kind, n);
    world_buffer_close(w);
    open_again(w, kind, n);
    commit_some(w, 2, kind, n);
    return crash_vfs_fault_count(w->vfs) > 0;
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

static unsigned go_through_all(struct world *w, unsigned count)
{
    unsigned faults = 0;
    begin(w, 1);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool came = true;
        for (uint64_t n = 1 + k % stride(); came; n += stride()) {
            if (!world_has_room(w)) {
                begin(w, n);
            }
            came = go_through(w, &kinds[k], n, count);
            faults += came;
        }
    }
    return faults;
}

static void test_a_buffer_that_drains(void **state)
{
    struct world *w = *state;
    w->drains = true;
    unsigned faults = go_through_all(w, 12);
    print_message("failing I/O: %u faults while draining, nothing lost\n", faults);
    assert_true(faults > 100);
}

static void test_a_full_buffer(void **state)
{
    struct world *w = *state;
    unsigned faults = go_through_all(w, 6);
    print_message("failing I/O: %u faults at the cap, nothing lost\n", faults);
    assert_true(faults > 60);
}

/* Also while it is made. */
static void test_the_first_opening(void **state)
{
    struct world *w = *state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool came = true;
        for (uint64_t n = 1; came; n += stride() / 2 + 1) {
            struct crash_fault fault = kinds[k];
            world_reset(w, n);
            fault.nth = n;
            crash_vfs_fault_set(w->vfs, &fault, n);
            open_again(w, &fault, n);
            commit_some(w, 1, &fault, n);
            came = crash_vfs_fault_count(w->vfs) > 0;
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
