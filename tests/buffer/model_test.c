/* Long random lives against the model: appends, deliveries, parcels, set-aside events, the cap,
 * closing and crashing at any moment, and in the end everything delivered.
 *
 * WEIR_SEEDS: how many lives (4, so that each policy has one; with WEIR_LONG=1 40). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cmocka.h"

#include "tests/buffer/world.h"

static void check(struct world *w, uint64_t seed, const char *wrong)
{
    if (wrong) {
        fail_msg("seed %llu, commit %llu: %s (%s)", (unsigned long long)seed,
                 (unsigned long long)w->sure->commit, wrong, w->why.text);
    }
}

static void step(struct world *w, uint64_t seed)
{
    check(w, seed, world_step(w) ? "a commit is refused" : world_check_changes(w));
}

static void reopen(struct world *w, uint64_t seed)
{
    if (world_below(w, 2)) {
        crash_vfs_freeze_after(w->vfs, 1 + world_below(w, 60));
        while (world_step(w) == ERR_OK) {
            check(w, seed, world_check_changes(w)); /* the model follows what gave way */
        }
        world_buffer_close(w);
        (void)crash_vfs_crash(w->vfs, CRASH_ANY, seed + w->sure->commit);
    } else {
        world_buffer_close(w);
    }
    check(w, seed, world_buffer_open(w) ? "it can't be opened" : world_check(w));
}

/* Nothing new: in the end nobody is owed anything. */
static void drain(struct world *w, uint64_t seed)
{
    w->drains = true;
    w->quiet = true;
    for (unsigned i = 0; i < 20000; i++) {
        bool empty = true;
        step(w, seed);
        for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
            empty = empty && w->sure->low[s] == w->sure->next[s];
        }
        if (empty) {
            w->quiet = false;
            return;
        }
    }
    fail_msg("seed %llu: it does not drain", (unsigned long long)seed);
}

static void test_random_lives(void **state)
{
    struct world *w = *state;
    const char *text = getenv("WEIR_SEEDS");
    uint64_t count = text ? strtoull(text, NULL, 10) : getenv("WEIR_LONG") ? 40 : 4;
    uint64_t dropped = 0;
    uint64_t commits = 0;
    unsigned openings = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        world_reset(w, seed);
        w->orders = true;
        check(w, seed, world_buffer_open(w) ? "it can't be opened" : NULL);
        while (world_has_room(w)) {
            if (world_below(w, 100) == 0) {
                w->drains = world_below(w, 3) == 0;
            }
            step(w, seed);
            if (world_below(w, 40) == 0) {
                reopen(w, seed);
                openings++;
            }
        }
        dropped += w->sure->dropped[1];
        drain(w, seed);
        commits += w->sure->commit;
        check(w, seed, world_check(w));
    }
    print_message("model: %llu lives, %u openings, %llu commits, %llu events dropped by the cap\n",
                  (unsigned long long)count, openings, (unsigned long long)commits,
                  (unsigned long long)dropped);
    assert_true(dropped > 100 * count && openings > 10 * count);
}

static int open_world(void **state)
{
    *state = world_open("model", 1, 4 << 20);
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
        cmocka_unit_test_setup_teardown(test_random_lives, open_world, close_world)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
