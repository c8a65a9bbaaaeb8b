/* Power cuts at random moments: what the disk may hold then is opened by the real buffer, and has
 * to be what was acknowledged, whole. Half of the cuts are followed by another one while the buffer
 * recovers. The controls leave out one rule each, and have to lose something.
 *
 * WEIR_CUTS: how many (10000). */
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

struct tally {
    unsigned cuts;
    unsigned second;
    unsigned lost;
    unsigned twice;
    unsigned images[CRASH_ANY];
};

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static uint64_t seed_of(struct world *w)
{
    return (uint64_t)world_below(w, UINT32_MAX) << 32 | world_below(w, UINT32_MAX);
}

static void cut(struct world *w, struct tally *tally)
{
    world_buffer_close(w);
    tally->images[crash_vfs_crash(w->vfs, CRASH_ANY, seed_of(w))]++;
    tally->cuts++;
}

/* What opening said, kept beyond the next one. */
static const char *problem(struct world *w, const char *text)
{
    (void)snprintf(w->problem, sizeof w->problem, "%s", text); /* may be cut */
    return w->problem;
}

/* Now and then a sync or a write fails before the power does. */
static void plan_fault(struct world *w)
{
    struct crash_fault fault = {.op = world_below(w, 3) ? CRASH_OP_SYNC : CRASH_OP_WRITE,
                                .nth = 1 + world_below(w, 5),
                                .repeat = world_below(w, 3),
                                .sync_drops = world_below(w, 4) > 0,
                                .is_full = world_below(w, 2),
                                .is_short = world_below(w, 2)};
    crash_vfs_fault_set(w->vfs, &fault, seed_of(w));
}

/* One commit, offered again until it is taken or the power is gone. */
static const char *commit_once(struct world *w, bool fails)
{
    if (fails && world_below(w, 4) == 0) {
        plan_fault(w);
    }
    enum err e = world_step(w);
    for (unsigned tries = 0; e && !crash_vfs_is_frozen(w->vfs); tries++) {
        if (tries == 12) {
            return problem(w, w->why.text);
        }
        e = world_retry(w);
    }
    return e ? NULL : world_check_changes(w);
}

/* Commits until the power is gone. */
static const char *live(struct world *w, unsigned operations, bool fails)
{
    const char *wrong = NULL;
    crash_vfs_freeze_after(w->vfs, operations);
    while (!wrong && !crash_vfs_is_frozen(w->vfs)) {
        wrong = commit_once(w, fails);
    }
    return wrong;
}

/* Opens, perhaps with another cut on the way, and looks at what is there. */
static const char *recover(struct world *w, struct tally *tally)
{
    while (world_below(w, 2)) {
        crash_vfs_freeze_after(w->vfs, 1 + world_below(w, world_below(w, 2) ? 25 : 300));
        enum err e = world_buffer_open(w);
        if (!crash_vfs_is_frozen(w->vfs)) {
            if (e) {
                return problem(w, w->why.text);
            }
            world_buffer_close(w);
            crash_vfs_freeze(w->vfs);
        }
        tally->second++;
        cut(w, tally);
    }
    if (world_buffer_open(w)) {
        return problem(w, w->why.text);
    }
    return world_check(w);
}

/* One cut, and the recovery from it. */
static const char *cut_once(struct world *w, struct tally *tally, bool fails)
{
    const char *wrong = live(w, 1 + world_below(w, world_below(w, 8) ? 60 : 600), fails);
    if (wrong) {
        return wrong;
    }
    cut(w, tally);
    wrong = recover(w, tally);
    if (wrong) {
        tally->twice += strncmp(wrong, "twice", 5) == 0;
        tally->lost += strncmp(wrong, "twice", 5) != 0;
    }
    return wrong;
}

static enum err begin(struct world *w, uint64_t seed)
{
    world_reset(w, seed);
    w->drains = seed % 4 != 0;
    return world_buffer_open(w);
}

/* Cuts in lives of random commits, each from a fresh disk after a hundred; ends at the first loss
 * when `stop` says so. */
static void cut_many(struct world *w, unsigned most, bool fails, bool stop, struct tally *tally)
{
    uint64_t seed = number_of("WEIR_SEED", 1);
    *tally = (struct tally){0};
    while (tally->cuts < most && !(stop && tally->lost + tally->twice)) {
        assert_int_equal(begin(w, seed), ERR_OK);
        const char *wrong = NULL;
        for (unsigned i = 0; i < 100 && !wrong && tally->cuts < most && world_has_room(w); i++) {
            wrong = cut_once(w, tally, fails);
        }
        if (wrong && !stop) {
            fail_msg("WEIR_SEED=%llu: %s", (unsigned long long)seed, wrong);
        }
        seed++;
    }
}

static void test_nothing_acknowledged_is_lost(void **state)
{
    unsigned most = number_of("WEIR_CUTS", 10000);
    struct tally tally;
    cut_many(*state, most, false, false, &tally);
    print_message("power cuts=%u second=%u lost=%u twice=%u\n", tally.cuts, tally.second,
                  tally.lost, tally.twice);
    for (size_t i = 0; i < CRASH_ANY; i++) {
        assert_true(tally.images[i] > most / 20);
    }
}

static void test_nor_when_the_disk_fails_before(void **state)
{
    struct tally tally;
    cut_many(*state, number_of("WEIR_CUTS", 10000) / 4, true, false, &tally);
    print_message("power cuts=%u second=%u lost=%u twice=%u, with failing syncs and writes\n",
                  tally.cuts, tally.second, tally.lost, tally.twice);
}

/* Power cuts while the buffer is made: it is made anew, or goes on, and never refuses its own
 * work. */
static void test_the_first_opening_may_be_cut(void **state)
{
    struct world *w = *state;
    for (unsigned n = 1;; n++) {
        world_reset(w, n);
        crash_vfs_freeze_after(w->vfs, n);
        enum err e = world_buffer_open(w);
        bool done = !e && !crash_vfs_is_frozen(w->vfs);
        world_buffer_close(w);
        (void)crash_vfs_crash(w->vfs, (enum crash_image)(n % CRASH_ANY), n);
        if (world_buffer_open(w)) {
            fail_msg("cut at operation %u: %s", n, w->why.text);
        }
        assert_null(world_check(w));
        assert_int_equal(world_step(w), ERR_OK);
        if (done) {
            assert_true(n > 30);
            return;
        }
    }
}

/* Each rule that is left out is missed. */
static void test_controls_lose(void **state)
{
    static const struct {
        const char *name;
        unsigned weak;
        bool fails;
    } controls[] = {
        {"psow=1", WEAK_PSOW, false},
        {"synchronous=NORMAL", WEAK_SYNC_NORMAL, false},
        {"no fresh log at opening", WEAK_OLD_LOG, false},
        {"boot commit before the first RESTART", WEAK_BOOT_FIRST, false},
        {"a failed commit tried again at once", WEAK_RETRY, true},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        struct tally tally;
        w->setup.weak = controls[i].weak;
        cut_many(w, 20000, controls[i].fails, true, &tally);
        print_message("control: %s: seen after %u cuts\n", controls[i].name, tally.cuts);
        assert_int_equal(tally.lost + tally.twice, 1);
    }
    w->setup.weak = 0;
}

static int open_world(void **state)
{
    *state = world_open("power", 1, SIZE_MAX_BYTES);
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
        cmocka_unit_test_setup_teardown(test_nothing_acknowledged_is_lost, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_nor_when_the_disk_fails_before, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_the_first_opening_may_be_cut, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_controls_lose, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
