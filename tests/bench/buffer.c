/* The real buffer on real files, for the benchmarks: each mode does one thing in a folder and prints
 * lines "NAME NUMBER". Three streams, readings as from sensors. run_buffer.py calls it and knows the
 * targets.
 * usage: buffer_bench MODE DIR AMOUNT
 *   wear, full, million, speed, commit: AMOUNT is commits, or events
 *   fill: AMOUNT MiB, and ends as by a power cut, with a log that is nearly full
 *   open: how long opening takes, once
 *   salvage: of a file with AMOUNT damaged pages
 *   kill: AMOUNT times a process that commits is killed; what was committed is there each time */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/buffer_site.h"

#define WAL_FRAME 4120
#define ROUNDS 5

/* Of the whole process, the kernel's work for it included. */
static double cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* --- wear --- */

/* Commits of so many events (in fourths). */
static void wear_of(const char *dir, unsigned commits, size_t events_of_4, bool up,
                    const char *what)
{
    struct site *s = site_fresh(dir);
    struct buffer_wear before;
    struct buffer_wear after;
    char name[64];
    unsigned warming = 50;
    for (unsigned i = 0; i < commits + warming; i++) {
        if (i == warming) {
            buffer_wear(s->buffer, &before);
        }
        site_commit(s, (i + 1) * events_of_4 / 4 - i * events_of_4 / 4, up);
    }
    buffer_wear(s->buffer, &after);
    double bytes = (double)(after.bytes - before.bytes);
    const char *link = up ? "up" : "down";
    (void)snprintf(name, sizeof name, "bytes_%s_%s", what, link);
    print_number(name, bytes / (double)(after.events - before.events));
    (void)snprintf(name, sizeof name, "blocks_%s_%s", what, link);
    print_number(name, bytes / 4096 / commits);
    (void)snprintf(name, sizeof name, "syncs_%s_%s", what, link);
    print_number(name, (double)(after.syncs - before.syncs) / commits);
    site_free(s);
}

static void mode_wear(const char *dir, unsigned commits)
{
    for (int up = 0; up < 2; up++) {
        wear_of(dir, commits, 10, up, "250ms");
        wear_of(dir, commits, 40, up, "1s");
        wear_of(dir, commits, 200, up, "5s");
    }
}

/* --- the cap --- */

/* How far the log was ever written: it was filled with zeros when it was made. */
static double wal_high(const struct site *s)
{
    static uint8_t frame[WAL_FRAME];
    static const uint8_t zeros[WAL_FRAME];
    int fd = open(s->wal, O_RDONLY | O_CLOEXEC);
    int64_t high = 32;
    for (;;) {
        ssize_t got = pread(fd, frame, sizeof frame, high);
        if (got <= 0 || memcmp(frame, zeros, (size_t)got) == 0) {
            break;
        }
        high += got;
    }
    (void)close(fd);
    return (double)high;
}

/* As much in a commit as may be, into a file that has been full for most of the time. Files never
 * shrink, so their size after a commit is the largest that they had. */
static void mode_full(const char *dir, unsigned commits)
{
    struct site *s = site_new(dir);
    int64_t high = 0;
    s->setup.size_max = 8 * MIB;
    s->datum_size = 640;
    s->incompressible = true;
    site_open(s);
    for (unsigned i = 0; i < commits; i++) {
        site_commit(s, 102, false);
        int64_t size = file_size(s->path) + file_size(s->wal);
        high = size > high ? size : high;
    }
    print_number("size_max", (double)s->setup.size_max);
    print_number("size_high", (double)high);
    print_number("dropped", (double)(s->changes.streams[1].dropped_count));
    print_number("wal_high", wal_high(s));
    print_number("wal_file", (double)file_size(s->wal));
    site_free(s);
}

/* --- much stored --- */

static double anonymous_bytes(void)
{
    char line[128];
    double kib = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof line, f)) {
        (void)sscanf(line, "Anonymous: %lf", &kib);
    }
    if (f) {
        (void)fclose(f);
    }
    return kib * 1024;
}

static void mode_million(const char *dir, unsigned events)
{
    struct site *s = site_new(dir);
    memset(s->rows.arena.data, 1, s->rows.arena.size_max); /* ours, and not of the buffer */
    memset(s->rows.events, 0, ROWS_EVENT_MAX * sizeof *s->rows.events);
    double before = anonymous_bytes();
    site_open(s);
    for (unsigned i = 0; i < events / 500; i++) {
        site_commit(s, 500, false);
    }
    print_number("memory", anonymous_bytes() - before);
    print_number("disk", (double)file_size(s->path));
    site_free(s);
}

/* --- speed --- */

/* Microseconds a commit of so many events, by the clock and on a processor: the median of rounds.
 * Events are made outside of what is measured. */
static void commits_timed(const char *dir, size_t datum_size, size_t count, unsigned commits,
                          const char *what)
{
    double wall[ROUNDS];
    double cpu[ROUNDS];
    char name[64];
    for (size_t round = 0; round < ROUNDS; round++) {
        struct site *s = site_fresh(dir);
        wall[round] = cpu[round] = 0;
        s->datum_size = datum_size;
        for (unsigned i = 0; i < commits; i++) {
            site_make(s, count);
            double cpu_before = cpu_us();
            uint64_t before = clock_monotonic_us();
            site_commit_made(s, count, false);
            wall[round] += (double)(clock_monotonic_us() - before) / commits;
            cpu[round] += (cpu_us() - cpu_before) / commits;
        }
        site_free(s);
    }
    (void)snprintf(name, sizeof name, "wall_us_%s", what);
    print_number(name, quantile(wall, ROUNDS, 0.5));
    (void)snprintf(name, sizeof name, "cpu_us_%s", what);
    print_number(name, quantile(cpu, ROUNDS, 0.5));
}

/* Everything that is stored, read and acknowledged: events a second, by the clock and on a
 * processor. */
static void drain_timed(const char *dir, unsigned events)
{
    struct site *s = site_fresh(dir);
    s->datum_size = 200;
    for (unsigned i = 0; i < events / 100; i++) {
        site_commit(s, 100, false);
    }
    uint64_t before = clock_monotonic_us();
    double cpu_before = cpu_us();
    uint64_t read = 0;
    for (uint16_t stream = 1; stream <= STREAMS; stream++) {
        uint64_t first = 1;
        while (first < s->next[stream]) {
            site_read(s, stream, first);
            struct owed_end end = {1, stream, s->rows.covered};
            struct buffer_write write = {.ends = &end, .end_count = 1};
            if (buffer_commit(s->buffer, &write, &s->changes, &s->why)) {
                site_die(s, "acknowledging");
            }
            read += s->rows.event_count;
            first = s->rows.covered.last + 1;
        }
    }
    double cpu = cpu_us() - cpu_before;
    uint64_t wall = clock_monotonic_us() - before;
    uint64_t left = 0;
    for (uint16_t i = 1; i <= STREAMS; i++) {
        left += s->changes.streams[i].event_count;
    }
    print_number("drain_left", (double)(events / 100 * 100 - read + left));
    print_number("drain_wall", (double)read * 1e6 / (double)wall);
    print_number("drain_cpu", (double)read * 1e6 / cpu);
    site_free(s);
}

static void mode_speed(const char *dir, unsigned commits)
{
    commits_timed(dir, 40, 10, commits, "10");
    commits_timed(dir, 40, 50, commits, "50");
    commits_timed(dir, 200, 10, commits, "append");
    drain_timed(dir, commits * 50);
}

/* Two blocks, overwritten and synced: the least that a commit can be. */
static double bare_us(int fd)
{
    static const uint8_t blocks[2 * 4096] = {1};
    uint64_t before = clock_monotonic_us();
    if (pwrite(fd, blocks, sizeof blocks, 0) != sizeof blocks || fdatasync(fd)) {
        exit(3);
    }
    return (double)(clock_monotonic_us() - before);
}

static void print_times(const char *what, double *took, unsigned commits)
{
    char name[64];
    double all = 0;
    for (unsigned i = 0; i < commits; i++) {
        all += took[i];
    }
    (void)snprintf(name, sizeof name, "%s_per_second", what);
    print_number(name, commits * 10 * 1e6 / all);
    (void)snprintf(name, sizeof name, "%s_p50_us", what);
    print_number(name, quantile(took, commits, 0.50));
    (void)snprintf(name, sizeof name, "%s_p99_us", what);
    print_number(name, quantile(took, commits, 0.99));
}

/* On a disk: how long a commit takes, and in turns with it the bare sync. */
static void mode_commit(const char *dir, unsigned commits)
{
    struct site *s = site_fresh(dir);
    double *took = calloc(commits, sizeof *took);
    double *bare = calloc(commits, sizeof *bare);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/bare", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (!took || !bare || fd < 0) {
        exit(3);
    }
    (void)bare_us(fd); /* the file has its size now */
    s->datum_size = 200;
    for (unsigned i = 0; i < commits; i++) {
        site_make(s, 10);
        uint64_t before = clock_monotonic_us();
        site_commit_made(s, 10, false);
        took[i] = (double)(clock_monotonic_us() - before);
        bare[i] = bare_us(fd);
    }
    print_times("commit", took, commits);
    print_times("bare", bare, commits);
    (void)close(fd);
    free(took);
    free(bare);
    site_free(s);
}

/* --- opening --- */

static void mode_fill(const char *dir, unsigned mib)
{
    struct site *s = site_new(dir);
    struct buffer_wear wear;
    s->incompressible = true;
    s->datum_size = DATUM_MAX;
    s->setup.weak = WEAK_SYNC_NORMAL; /* the same bytes, without waiting for the disk each time */
    site_open(s);
    while (file_size(s->path) < (int64_t)mib * MIB) {
        site_commit(s, 60, false);
    }
    uint64_t syncs = 0; /* after the next checkpoint the log is filled little by little */
    do {
        buffer_wear(s->buffer, &wear);
        syncs = wear.syncs;
        site_commit(s, 1, false);
        buffer_wear(s->buffer, &wear);
    } while (wear.syncs < syncs + 2);
    uint64_t from = wear.bytes_asked;
    while (wear.bytes_asked - from < 230 * WAL_FRAME) {
        site_commit(s, 1, false);
        buffer_wear(s->buffer, &wear);
    }
    print_number("log_bytes", (double)(wear.bytes_asked - from));
    print_number("disk", (double)file_size(s->path));
    _exit(0);
}

static void mode_open(const char *dir, unsigned times)
{
    (void)times; /* the first one brings all into the cache */
    struct site *s = site_new(dir);
    uint64_t before = clock_monotonic_us();
    if (buffer_open(&s->buffer, &s->setup, &s->why)) {
        site_die(s, "opening");
    }
    print_number("ready_us", (double)(clock_monotonic_us() - before));
    struct buffer_wear wear;
    buffer_wear(s->buffer, &wear);
    print_number("syncs", (double)wear.syncs);
    site_free(s);
}

static const struct {
    const char *name;
    void (*run)(const char *dir, unsigned amount);
} modes[] = {
    {"wear", mode_wear},       {"full", mode_full},     {"million", mode_million},
    {"speed", mode_speed},     {"commit", mode_commit}, {"fill", mode_fill},
    {"open", mode_open},       {"kill", mode_kill},
#ifdef WEIR_SALVAGE
    {"salvage", mode_salvage},
#endif
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 4 && i < sizeof modes / sizeof *modes; i++) {
        unsigned amount = (unsigned)strtoul(argv[3], NULL, 10);
        if (strcmp(argv[1], modes[i].name) == 0 && amount > 0) {
            modes[i].run(argv[2], amount);
            return 0;
        }
    }
    fprintf(stderr, "usage: buffer_bench MODE DIR AMOUNT\n");
    return 2;
}
