/* The whole agent in the simulation: the real intake, map, store, buffer with its SQLite, forward,
 * pack and uplink between sources of numbered events and two Kafka clusters, through lives that end
 * anywhere. `agent_sim_test SHARD COUNT` runs every COUNT-th seed. */
#include "tests/cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ports/log.h"
#include "tests/sim/agent_site.h"
#include "tests/sim/sim.h"
#include "uplink/kafka/errors.h"
#include "uplink/kafka/wire.h"

#define SEED_COUNT 500
#define FAULT_SEED_MAX 60
#ifdef WEIR_FAULTS
#define HAS_FAULTS true
#else
#define HAS_FAULTS false
#endif
#define SEEDS_FOR_ALL 100  /* so many have every kind of fault, */
#define SEEDS_FOR_RARE 400 /* but for some of damage and of reloads, which come in one of four */

static const char *const kind_names[] = {"code",       "code_stored", "late",  "never",
                                         "never_lost", "twice",       "close", "close_stored",
                                         "throttle",   "short"};

struct totals {
    uint64_t seeds, lives, events, told, arrived, twice, hours;
    uint64_t happened[HAPPENS_COUNT];
    uint64_t kinds[BROKER_SHORT + 1];
    uint64_t codes[SITE_CODE_MAX];
    uint64_t apis[WIRE_API_COUNT];
};

static struct {
    unsigned shard, shard_count;
    char folder[128];
    struct crash_vfs *disk;
} run = {.shard_count = 1};

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void totals_add(struct totals *totals, const struct site *site)
{
    totals->seeds++;
    totals->lives += site->profile.lives;
    totals->events += site->made;
    totals->told += site->ledger.told;
    totals->arrived += site->ledger.arrived;
    totals->twice += site->ledger.twice;
    for (unsigned i = 0; i < HAPPENS_COUNT; i++) {
        totals->happened[i] += site->happened[i];
    }
    for (unsigned i = 0; i <= BROKER_SHORT; i++) {
        totals->kinds[i] += site->kinds[i];
    }
    for (unsigned i = 0; i < SITE_CODE_MAX; i++) {
        totals->codes[i] += site->codes[i];
    }
    for (unsigned i = 0; i < WIRE_API_COUNT; i++) {
        totals->apis[i] += site->apis[i];
    }
}

/* What damage, and ends of lives in a reload, do not bring in each hundred seeds. */
static bool is_rare(enum happening kind)
{
    static const enum happening rare[] = {HAPPENS_LOG_FLIPPED,       HAPPENS_LOG_SPOILT,
                                          HAPPENS_DAMAGE_IN_SALVAGE, HAPPENS_REPLACED_IN_LIFE,
                                          HAPPENS_LOG_VOID,          HAPPENS_DISK_TAKEN_IN_SALVAGE,
                                          HAPPENS_BAD_ROW_ONLY,      HAPPENS_ROWS_LOST_IN_SALVAGE,
                                          HAPPENS_STOP_IN_RELOAD,    HAPPENS_CRASH_IN_RELOAD};
    for (size_t i = 0; i < ARRAY_COUNT(rare); i++) {
        if (rare[i] == kind) {
            return true;
        }
    }
    return false;
}

/* Prints one count; returns how many are missing. */
static unsigned print_count(const char *name, uint64_t count)
{
    print_message(" %s=%" PRIu64, name, count);
    return count == 0;
}

static unsigned totals_print(const struct totals *totals)
{
    unsigned missing = 0, code_count;
    char name[32];
    const struct kafka_error *table = kafka_error_table(&code_count);
    print_message("seeds=%" PRIu64 " lives=%" PRIu64 " events=%" PRIu64 " acknowledged=%" PRIu64
                  " delivered=%" PRIu64 " twice_in_doubt=%" PRIu64 "\nhappened:",
                  totals->seeds, totals->lives, totals->events, totals->told, totals->arrived,
                  totals->twice);
    for (unsigned i = 0; i < HAPPENS_COUNT; i++) {
        unsigned lacks = print_count(happening_names[i], totals->happened[i]);
        missing += is_rare(i) && totals->seeds < SEEDS_FOR_RARE ? 0 : lacks;
    }
    print_message("\nanswers:");
    for (unsigned i = 0; i <= BROKER_SHORT; i++) {
        missing += print_count(kind_names[i], totals->kinds[i]);
    }
    print_message("\ncodes:");
    for (unsigned i = 0; i < code_count; i++) {
        (void)snprintf(name, sizeof name, "%d", table[i].code);
        missing += table[i].code != 0 && print_count(name, totals->codes[i]);
    }
    print_message("\n");
    return missing;
}

static void every_event_is_accounted_for(void **state)
{
    (void)state;
    struct totals *totals = calloc(1, sizeof *totals);
    struct site *site = calloc(1, sizeof *site);
    assert_non_null(totals);
    assert_non_null(site);
    uint64_t first = number_of("WEIR_SEED", 1), count = number_of("WEIR_SEEDS", SEED_COUNT);
    for (uint64_t i = run.shard; i < count; i += run.shard_count) {
        site_run(site, first + i, run.folder, run.disk);
        if (getenv("WEIR_SIM_SEEDS")) {
            fprintf(stderr, "seed %" PRIu64 ": %016" PRIx64 "\n", first + i, site->trace_hash);
        }
        totals_add(totals, site);
    }
    unsigned missing = totals_print(totals);
    assert_true(missing == 0 || totals->seeds < SEEDS_FOR_ALL);
    free(site);
    free(totals);
}

static void a_seed_repeats_itself(void **state)
{
    (void)state;
    struct site *site = calloc(1, sizeof *site);
    assert_non_null(site);
    uint64_t seed = number_of("WEIR_SEED", 1) + run.shard;
    site_run(site, seed, run.folder, run.disk);
    uint64_t hash = site->trace_hash;
    site_run(site, seed, run.folder, run.disk);
    assert_int_equal(site->trace_hash, hash);
    free(site);
}

/* In a process of its own, because it ends by abort(). */
static bool seed_fails(uint64_t seed, const char *mistake)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct site *site = calloc(1, sizeof *site);
        if (!site || !freopen("/dev/null", "w", stderr) || setenv("WEIR_FAULT", mistake, 1)) {
            _exit(0);
        }
        site_run(site, seed, run.folder, run.disk);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

/* The next seed that can catch it: mistakes in what damage needs are made in seeds that have some. */
static uint64_t seed_behind(uint64_t seed, bool needs_damage)
{
    do {
        seed++;
    } while (needs_damage && !harm_is_due(seed));
    return seed;
}

/* The planted mistakes (ports/fault.h), in a program whose libraries have them. */
static void a_planted_mistake_is_caught(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool needs_damage;
        uint64_t behind; /* seeds up to here are left out: none of them catches it */
    } mistakes[] = {{"told-early", false, 0},  {"range-early", false, 0},
                    {"record-late", false, 0}, {"cursor-apart", false, 0},
                    {"retry-taken", false, 0}, {"partitions-ignored", false, 120},
                    {"hole-untold", true, 0},  {"row-unowed", true, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(mistakes); i++) {
        uint64_t seed = mistakes[i].behind;
        bool is_caught = false;
        for (unsigned tries = 0; tries < FAULT_SEED_MAX && !is_caught; tries++) {
            seed = seed_behind(seed, mistakes[i].needs_damage);
            is_caught = seed_fails(seed, mistakes[i].name);
        }
        print_message("%s: caught by seed %" PRIu64 "\n", mistakes[i].name, seed);
        assert_true(is_caught);
    }
}

static int run_chosen(void)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(a_seed_repeats_itself),
                                     cmocka_unit_test(every_event_is_accounted_for)};
    const struct CMUnitTest chosen[] = {cmocka_unit_test(every_event_is_accounted_for)};
    const struct CMUnitTest mistakes[] = {cmocka_unit_test(a_planted_mistake_is_caught)};
    if (HAS_FAULTS) {
        return cmocka_run_group_tests(mistakes, NULL, NULL);
    }
    return getenv("WEIR_SEED") ? cmocka_run_group_tests(chosen, NULL, NULL)
                               : cmocka_run_group_tests(all, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        run.shard = (unsigned)strtoul(argv[1], NULL, 10);
        run.shard_count = (unsigned)strtoul(argv[2], NULL, 10);
    }
    const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(run.folder, sizeof run.folder, "%s/weir-sim-XXXXXX",
                   getenv("TMPDIR") ? getenv("TMPDIR") : memory);
    if (!mkdtemp(run.folder) || crash_vfs_open(&run.disk, "site")) {
        fprintf(stderr, "no folder %s\n", run.folder);
        return 1;
    }
    log_level_set(getenv("WEIR_SIM_LOG") ? LOG_DEBUG : LOG_INFO);
    int failed = run_chosen();
    crash_vfs_close(run.disk);
    char path[192];
    static const char *const files[] = {"weir.json", "reading.avsc"};
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", run.folder, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(run.folder);
    return failed;
}
