/* Power cuts, at random moments of long lives and at every write and sync of a short one: what the
 * disk may hold then is opened by the real buffer, and has to be what was acknowledged, whole. Half
 * of the cuts are followed by another one while the buffer recovers. The controls leave out one rule
 * each, and have to lose something. Cuts while a damaged file is salvaged: the damage is one that
 * loses nothing, so that all of it has to come over, once.
 *
 * WEIR_CUTS: how many (10000), of the images that are not all, nothing, or a plain prefix. WEIR_LONG:
 * the short life is cut with every kind of image at every operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cmocka.h"
#include <sqlite3.h>

#include "buffer/damage.h"
#include "buffer/wal_look.h"
#include "ports/lib/crc32c.h"
#include "tests/buffer/power_phase.h"
#include "tests/buffer/world.h"

#define SIZE_MAX_BYTES (4 << 20)

struct tally {
    unsigned alarms;              /* logs of a cut taken for damaged ones */
    unsigned logs;                /* that end in a broken frame */
    unsigned cuts;                /* with torn images */
    unsigned plain;               /* with the others */
    unsigned phases[PHASE_COUNT]; /* of the torn ones */
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

static const uint8_t *page_of(void *context, uint32_t number)
{
    struct world *w = context;
    uint64_t size;
    const uint8_t *bytes = crash_vfs_file(w->vfs, WORLD_PATH, &size);
    bool is_there = bytes && (uint64_t)number * 4096 <= size;
    return is_there ? bytes + (uint64_t)(number - 1) * 4096 : NULL;
}

/* What a cut leaves of the log is no damage. */
static void look_at_log(struct world *w, struct tally *tally)
{
    static struct wal_look look;
    uint64_t size;
    const uint8_t *log = crash_vfs_file(w->vfs, WORLD_PATH "-wal", &size);
    if (!log || size == 0) {
        return;
    }
    wal_look_begin(&look, (struct slice){log, (size_t)size});
    for (uint64_t at = WAL_HEADER_SIZE; at + WAL_FRAME_SIZE <= size; at += WAL_FRAME_SIZE) {
        if (!wal_look_frame(&look, (struct slice){log + at, WAL_FRAME_SIZE})) {
            break;
        }
    }
    enum wal_verdict verdict = wal_look_end(&look);
    tally->logs += verdict != WAL_WHOLE;
    tally->alarms += verdict == WAL_DAMAGED && !wal_look_is_redundant(&look, page_of, w);
}

static void cut_to(struct world *w, struct tally *tally, enum crash_image image)
{
    unsigned phase = power_phase_now();
    world_buffer_close(w);
    image = crash_vfs_crash(w->vfs, image, seed_of(w));
    tally->images[image]++;
    look_at_log(w, tally);
    if (image == CRASH_NOTHING || image == CRASH_PREFIX || image == CRASH_ALL) {
        tally->plain++;
        return;
    }
    tally->cuts++;
    for (unsigned p = 0; p < PHASE_COUNT; p++) {
        tally->phases[p] += phase >> p & 1;
    }
}

static void cut(struct world *w, struct tally *tally)
{
    static const enum crash_image torn[] = {CRASH_SECTORS, CRASH_JUNK, CRASH_BLOCK};
    cut_to(w, tally, world_below(w, 3) ? torn[world_below(w, 3)] : CRASH_ANY);
}

static void print_tally(const struct tally *tally, const char *more)
{
    char phases[200];
    size_t size = 0;
    for (unsigned p = 0; p < PHASE_COUNT; p++) {
        size += (size_t)snprintf(phases + size, sizeof phases - size, " %s=%u",
                                 power_phase_name((enum power_phase)p), tally->phases[p]);
    }
    print_message("power cuts=%u second=%u lost=%u twice=%u%s\n", tally->cuts, tally->second,
                  tally->lost, tally->twice, more);
    print_message("  during:%s; plain images besides: %u\n", phases, tally->plain);
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
    power_phase_arm(PHASE_APPEND, 0);
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
    /* Only the controls lose something that looks like damage. */
    if (w->changes.damage.replaced > 0 && !w->setup.weak) {
        return problem(w, "a power cut was taken for damage");
    }
    return world_check(w);
}

/* One cut, and the recovery from it. */
static const char *cut_once(struct world *w, struct tally *tally, bool fails)
{
    static const enum power_phase seldom[] = {PHASE_SEAL, PHASE_DELETE, PHASE_EVICT,
                                              PHASE_CHECKPOINT};
    unsigned operations = 1 + world_below(w, world_below(w, 8) ? 60 : 600);
    if (world_below(w, 10) == 0) {
        operations = 3000;
        power_phase_arm(seldom[world_below(w, 4)], 1 + world_below(w, 20));
    }
    const char *wrong = live(w, operations, fails);
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

static uint64_t dropped(const struct world *w)
{
    uint64_t sum = 0;
    for (size_t s = 1; s <= WORLD_STREAMS; s++) {
        sum += w->sure->dropped[s];
    }
    return sum;
}

/* A life; a full buffer with every other seed. */
static void begin(struct world *w, uint64_t seed)
{
    world_reset(w, seed);
    assert_int_equal(world_buffer_open(w), ERR_OK);
    w->drains = false;
    w->orders = false;
    while (seed % 2 && dropped(w) == 0) {
        const char *wrong = commit_once(w, false);
        if (wrong) {
            fail_msg("WEIR_SEED=%llu: %s", (unsigned long long)seed, wrong);
        }
    }
    w->drains = seed % 4 > 1;
    w->orders = seed % 3 == 1;
}

/* Cuts in lives of random commits, each from a fresh disk after a hundred; ends at the first loss
 * when `stop` says so. */
static void cut_many(struct world *w, unsigned most, bool fails, bool stop, struct tally *tally)
{
    uint64_t seed = number_of("WEIR_SEED", 1);
    *tally = (struct tally){0};
    while (tally->cuts < most && !(stop && tally->lost + tally->twice)) {
        begin(w, seed);
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
    print_tally(&tally, "");
    for (size_t i = 0; i < CRASH_ANY; i++) {
        assert_true(tally.images[i] > most / 40);
    }
    for (size_t p = 0; p < PHASE_SALVAGE; p++) {
        assert_true(tally.phases[p] > most / 200);
    }
    print_message("  logs that end in a broken frame: %u, taken for damaged: %u\n", tally.logs,
                  tally.alarms);
    assert_int_equal(tally.alarms, 0);
    assert_true(tally.logs > most / 20);
}

static void test_nor_when_the_disk_fails_before(void **state)
{
    struct tally tally;
    cut_many(*state, number_of("WEIR_CUTS", 10000) / 4, true, false, &tally);
    print_tally(&tally, ", with failing syncs and writes");
    assert_int_equal(tally.alarms, 0);
}

/* --- every operation of a short life --- */

#define SCRIPT_COMMITS 110

/* The life of a seed, until the n-th write, truncate or sync does not reach the disk. False: it came
 * to its end. */
static bool script(struct world *w, uint64_t seed, unsigned n)
{
    begin(w, seed);
    crash_vfs_freeze_after(w->vfs, n);
    for (unsigned i = 0; i < SCRIPT_COMMITS && !crash_vfs_is_frozen(w->vfs); i++) {
        const char *wrong = commit_once(w, false);
        if (wrong) {
            fail_msg("operation %u: %s", n, wrong);
        }
    }
    return crash_vfs_is_frozen(w->vfs);
}

static unsigned script_cuts(struct world *w, uint64_t seed, unsigned stride, struct tally *tally)
{
    unsigned n = 1;
    for (bool cuts = true; cuts; n += stride) {
        for (unsigned image = 0; image < CRASH_ANY && cuts; image++) {
            if (stride > 1 && image != n % CRASH_ANY) {
                continue;
            }
            cuts = script(w, seed, n);
            if (!cuts) {
                break;
            }
            cut_to(w, tally, (enum crash_image)image);
            const char *wrong = recover(w, tally);
            if (wrong) {
                fail_msg("seed %u, operation %u, image %u: %s", (unsigned)seed, n, image, wrong);
            }
        }
        world_buffer_close(w);
    }
    return n;
}

static void test_every_operation_of_a_short_life(void **state)
{
    bool is_long = getenv("WEIR_LONG");
    struct tally tally = {0};
    unsigned fresh = script_cuts(*state, 4, is_long ? 1 : 11, &tally);
    unsigned full = script_cuts(*state, 5, is_long ? 1 : 31, &tally);
    assert_in_range(fresh, 100, 5000);
    assert_in_range(full, 100, 5000);
    print_tally(&tally, ", at every operation");
    assert_true(tally.phases[PHASE_EVICT] > 0 && tally.phases[PHASE_CHECKPOINT] > 0);
}

/* --- while a damaged file is salvaged --- */

#define SALVAGE_TURNS_MAX 3000

/* So many bytes of it become junk, on the medium. */
static void change_file(struct world *w, const char *name, uint64_t at, uint64_t count)
{
    uint64_t size;
    const uint8_t *bytes = crash_vfs_file(w->vfs, name, &size);
    assert_true(bytes && at < size);
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    memset(copy + at, (int)world_below(w, 256), count < size - at ? count : size - at);
    assert_true(crash_vfs_file_put(w->vfs, name, copy, size));
    free(copy);
}

/* Destroys a page whose contents are once more elsewhere. */
static void destroy_an_index(struct world *w)
{
    static const char *const indexes[] = {"sqlite_autoindex_stream_1", "sqlite_autoindex_driver_1",
                                          "schema_text"};
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    world_buffer_close(w);
    assert_int_equal(sqlite3_open_v2(WORLD_PATH, &db, SQLITE_OPEN_READWRITE, "power"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL),
                     SQLITE_OK);
    int yes = 1; /* the log stays */
    assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &yes), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_master WHERE name=?", -1, &s, NULL),
        SQLITE_OK);
    sqlite3_bind_text(s, 1, indexes[world_below(w, 3)], -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    uint64_t page = (uint64_t)sqlite3_column_int64(s, 0);
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    /* The log may have the page once more. */
    change_file(w, WORLD_PATH "-wal", 0, UINT64_MAX);
    change_file(w, WORLD_PATH, (page - 1) * 4096, 4096);
}

/* Turns, and commits between them, to the end of the salvage or to the cut. */
static const char *salvage_on(struct world *w, bool *ret_done)
{
    *ret_done = false;
    for (unsigned i = 0; i < SALVAGE_TURNS_MAX && !crash_vfs_is_frozen(w->vfs); i++) {
        enum err e = buffer_care(w->buffer, &w->changes, &w->why);
        if (crash_vfs_is_frozen(w->vfs)) {
            break;
        }
        if (e == ERR_CLOSED) {
            *ret_done = true;
            return NULL;
        }
        if (!e && world_below(w, 4) == 0) {
            e = world_step(w);
        }
        if (e && e != ERR_FULL && !crash_vfs_is_frozen(w->vfs)) {
            return problem(w, w->why.text);
        }
    }
    return crash_vfs_is_frozen(w->vfs) ? NULL : problem(w, "the salvage does not end");
}

/* One opening, up to the cut or the end of the salvage. */
static const char *salvage_once(struct world *w, struct tally *tally, bool *ret_done)
{
    *ret_done = false;
    static const uint32_t limits[] = {60, 600, 6000}; /* to replace it may take a thousand */
    crash_vfs_freeze_after(w->vfs, 1 + world_below(w, limits[world_below(w, 3)]));
    enum err e = world_buffer_open(w);
    if (e && !crash_vfs_is_frozen(w->vfs)) {
        return problem(w, w->why.text);
    }
    const char *wrong = e ? NULL : world_check_commit(w);
    if (crash_vfs_is_frozen(w->vfs)) {
        wrong = NULL; /* what a dead disk says */
    }
    if (!e && !wrong) {
        wrong = salvage_on(w, ret_done);
    }
    if (!wrong && !*ret_done) {
        cut(w, tally);
    }
    return wrong;
}

/* Does the state count the rows that are there? */
static const char *check_row_counts(struct world *w)
{
    for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
        char sql[120];
        const struct state_stream *counted = &w->buffer->state->streams[s];
        (void)snprintf(sql, sizeof sql, "SELECT total(abs(n)) FROM batch WHERE id>>48=%u", s);
        uint64_t events = (uint64_t)sql_number(w->buffer, sql, -1);
        (void)snprintf(sql, sizeof sql, "SELECT total(length(body)) FROM batch WHERE id>>48=%u", s);
        uint64_t bytes = (uint64_t)sql_number(w->buffer, sql, -1);
        if (events != counted->row_events || bytes != counted->row_bytes) {
            return problem(w, "the rows are counted wrong");
        }
    }
    return NULL;
}

/* Not so long that the buffer is full and drops something. */
static const char *salvage_life(struct world *w, uint64_t seed, struct tally *tally)
{
    world_reset(w, seed);
    assert_int_equal(world_buffer_open(w), ERR_OK);
    w->drains = seed % 3 == 1;
    w->orders = false;
    const char *wrong = NULL;
    for (unsigned i = 20 + world_below(w, 100); i > 0 && !wrong; i--) {
        wrong = commit_once(w, false);
    }
    wrong = wrong ? wrong : world_check(w);
    destroy_an_index(w);
    w->takes_only = true;
    for (bool done = false; !wrong && !done;) {
        wrong = salvage_once(w, tally, &done);
    }
    crash_vfs_freeze_after(w->vfs, 0);
    wrong = wrong ? wrong : world_check(w);
    wrong = wrong ? wrong : check_row_counts(w);
    uint64_t size;
    if (!wrong && crash_vfs_file(w->vfs, WORLD_PATH ".bad-1", &size)) {
        wrong = problem(w, "the damaged file stays");
    }
    return wrong;
}

static void test_salvage_may_be_cut(void **state)
{
    static const unsigned seeds[] = {0, 2, 6}; /* of eight: no age, nothing held; two encrypt */
    struct world *w = *state;
    struct tally tally = {0};
    unsigned most = number_of("WEIR_CUTS", 10000) / 20;
    uint64_t seed = number_of("WEIR_SEED", 1);
    for (; tally.cuts < most; seed++) {
        const char *wrong = salvage_life(w, seed / 3 * 8 + seeds[seed % 3], &tally);
        if (wrong) {
            fail_msg("WEIR_SEED=%llu: %s", (unsigned long long)seed, wrong);
        }
    }
    print_tally(&tally, ", during salvage");
    assert_true(tally.phases[PHASE_SALVAGE] > most / 4);
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
    struct world *w = world_open("power", 1, SIZE_MAX_BYTES);
    power_phase_watch(w->vfs);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    world_close(*state);
    power_phase_watch(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_acknowledged_is_lost, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_nor_when_the_disk_fails_before, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_every_operation_of_a_short_life, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_salvage_may_be_cut, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_the_first_opening_may_be_cut, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_controls_lose, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
