/* The n-th allocation fails, SQLite's and zstd's too, once, or all from it on until there is memory
 * again: it is said to be memory, nothing stored is lost or taken for damaged, and with memory the
 * buffer goes on.
 *
 * WEIR_LONG=1: every n, else each fifth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cmocka.h"

#include "tests/buffer/world.h"
#include "tests/fault_alloc.h"

#define SIZE_MAX_BYTES (4 << 20)
#define LITTLE_MEMORY (144 * 1024)

static unsigned failures_all;

static void fail_from(unsigned n, bool for_ever)
{
    if (for_ever) {
        fault_alloc_set_for_ever(n);
    } else {
        fault_alloc_set(n);
    }
}

static unsigned stride(void)
{
    return getenv("WEIR_LONG") ? 1 : 5;
}

static void check(struct world *w, const char *wrong, unsigned n)
{
    if (wrong) {
        fail_msg("allocation %u: %s (%s)", n, wrong, w->why.text);
    }
}

/* Opening on what is there, or on nothing. */
static unsigned open_without_memory(struct world *w, bool is_new, bool for_ever)
{
    unsigned failures = 0;
    for (unsigned n = 1;; n += stride()) {
        world_buffer_close(w);
        if (is_new) {
            world_reset(w, n);
        }
        fail_from(n, for_ever);
        enum err e = world_buffer_open(w);
        bool came = fault_alloc_happened();
        fault_alloc_set(0);
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        if (e) {
            failures++;
            check(w, world_buffer_open(w) ? "it can't be opened any more" : NULL, n);
        }
        check(w, world_check(w), n);
        if (!came) {
            return failures;
        }
        assert_int_equal(world_step(w), ERR_OK);
    }
}

static void test_opening(void **state)
{
    struct world *w = *state;
    unsigned failures = open_without_memory(w, true, false);
    failures += open_without_memory(w, true, true);
    world_reset(w, 1);
    assert_int_equal(world_buffer_open(w), ERR_OK);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(world_step(w), ERR_OK);
    }
    failures += open_without_memory(w, false, false);
    failures += open_without_memory(w, false, true);
    w->orders = false;
    print_message("failing allocations: %u openings refused\n", failures);
    failures_all += failures;
    assert_true(failures > 40);
}

/* Commits with seals, deletes, checkpoints; each that fails is offered again. */
static void commit_without_memory(struct world *w, bool for_ever, unsigned *failures)
{
    bool came = true;
    for (unsigned n = 1; came; n++) { /* a commit seldom allocates */
        came = false;
        if (!world_has_room(w)) {
            world_reset(w, n);
            assert_int_equal(world_buffer_open(w), ERR_OK);
        }
        fail_from(n, for_ever);
        for (unsigned i = 0; i < 12; i++) {
            enum err e = world_step(w);
            for (unsigned tries = 0; e && tries < 4; tries++) {
                assert_int_equal(e, ERR_NOMEM);
                *failures += 1;
                if (tries == 2) {
                    came = fault_alloc_happened();
                    fault_alloc_set(0);
                }
                e = world_retry(w);
            }
            check(w, e ? "the commit is not taken any more" : world_check_changes(w), n);
        }
        came = came || fault_alloc_happened();
        fault_alloc_set(0);
        check(w, world_check_events(w), n);
    }
}

static void test_commits(void **state)
{
    struct world *w = *state;
    unsigned failures = 0;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    w->drains = true;
    w->orders = true;
    commit_without_memory(w, false, &failures);
    commit_without_memory(w, true, &failures);
    w->drains = false;
    commit_without_memory(w, false, &failures);
    commit_without_memory(w, true, &failures);
    world_buffer_close(w);
    assert_int_equal(world_buffer_open(w), ERR_OK);
    assert_null(world_check(w));
    print_message("failing allocations: %u commits refused and taken later\n", failures);
    failures_all += failures;
    assert_true(failures > 15);
}

/* What compressing takes at its usual level is not there: 0.9 MB, and 0.5 MB in a hurry. */
static void test_little_memory(void **state)
{
    struct world *w = *state;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    fault_alloc_set_above(LITTLE_MEMORY);
    for (unsigned i = 0; i < 60; i++) {
        check(w, world_step(w) ? "a commit is refused" : NULL, i);
    }
    assert_true(fault_alloc_happened());
    fault_alloc_set(0);
    check(w, world_check_changes(w), 0);
    check(w, world_check_events(w), 0);
}

static void test_schemas(void **state)
{
    struct world *w = *state;
    static const uint8_t fingerprint[8] = {9};
    unsigned failures = 0;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    for (unsigned n = 1;; n++) {
        char json[64];
        uint32_t schema = 0;
        int size = snprintf(json, sizeof json, "{\"type\":\"fixed\",\"size\":%u}", n); /* fits */
        struct slice text = {(const uint8_t *)json, (size_t)size};
        world_buffer_close(w); /* a cold cache */
        assert_int_equal(world_buffer_open(w), ERR_OK);
        fault_alloc_set(n);
        enum err e = buffer_schema_add(w->buffer, 1, text, fingerprint, &schema, &w->why);
        bool came = fault_alloc_happened();
        fault_alloc_set(0);
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        failures += e != ERR_OK;
        e = e ? buffer_schema_add(w->buffer, 1, text, fingerprint, &schema, &w->why) : e;
        assert_int_equal(e, ERR_OK);
        assert_int_equal(world_step(w), ERR_OK);
        check(w, world_check_changes(w), n);
        if (!came) {
            break;
        }
    }
    assert_true(failures > 0);
    failures_all += failures;
}

/* A row that can't be unpacked for want of memory is not damaged. */
static void test_reading(void **state)
{
    struct world *w = *state;
    assert_int_equal(world_buffer_open(w), ERR_OK);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(world_step(w), ERR_OK);
    }
    bool came = true;
    for (unsigned n = 1; came; n++) {
        world_buffer_close(w); /* a cold cache: reading needs memory */
        assert_int_equal(world_buffer_open(w), ERR_OK);
        fault_alloc_set(n);
        struct range all = {1, w->sure->next[2] - 1};
        enum err e = buffer_read(w->buffer, 2, all, 1 << 20, w->rows, &w->why);
        came = fault_alloc_happened();
        fault_alloc_set(0);
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        assert_int_equal(world_step(w), ERR_OK);
        check(w, world_check_changes(w), n);
        check(w, world_check_events(w), n);
    }
}

static int open_world(void **state)
{
    *state = world_open("alloc", 1, SIZE_MAX_BYTES);
    return 0;
}

static int open_encrypted(void **state)
{
    *state = world_open("alloc", 2, SIZE_MAX_BYTES);
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
        cmocka_unit_test_setup_teardown(test_opening, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_commits, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_little_memory, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_schemas, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_reading, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_commits, open_encrypted, close_world),
        cmocka_unit_test_setup_teardown(test_reading, open_encrypted, close_world),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("fault alloc=%u lost=0 twice=0\n", failed ? 0 : failures_all);
    return failed;
}
