/* A process that commits is killed again and again: what it was told is stored is there each time,
 * once, as it was. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/buffer_site.h"

#define A_COMMIT 12
#define KILL_AFTER_MS_MAX 12

/* In memory that both processes see. */
struct promise {
    uint64_t stored[STREAMS + 1]; /* the last sequence whose commit was answered */
    uint64_t commits;
    bool opened;
};

/* Never ends by itself. */
static void commit_for_ever(const char *dir, struct promise *promise)
{
    struct site *s = site_new(dir);
    site_open(s);
    promise->opened = true;
    for (;;) {
        site_commit(s, A_COMMIT, false);
        for (uint16_t i = 1; i <= STREAMS; i++) {
            promise->stored[i] = s->next[i] - 1;
        }
        promise->commits++;
    }
}

/* Counts what was promised and is not there, and what is there and was never written. */
static void check_all(const char *dir, const struct promise *promise, uint64_t *ret_lost,
                      uint64_t *ret_wrong)
{
    struct site *s = site_new(dir);
    uint8_t datum[DATUM_MAX];
    site_open(s);
    for (uint16_t stream = 1; stream <= STREAMS; stream++) {
        uint64_t expected = 1;
        while (expected < s->next[stream]) {
            site_read(s, stream, expected);
            for (size_t i = 0; i < s->rows.event_count; i++, expected++) {
                const struct stored_event *e = &s->rows.events[i];
                *ret_wrong += e->sequence != expected ||
                              !slice_equal(e->datum, site_datum(s, stream, expected, datum));
            }
            *ret_lost += s->rows.covered.last + 1 - expected;
            expected = s->rows.covered.last + 1;
        }
        uint64_t promised = promise->stored[stream];
        *ret_lost += promised >= expected ? promised - expected + 1 : 0;
    }
    site_free(s);
}

/* The child has opened, or has ended by itself. */
static bool wait_opened(pid_t child, volatile struct promise *promise)
{
    while (!promise->opened) {
        if (waitpid(child, NULL, WNOHANG) != 0) {
            return false;
        }
        clock_pause(1);
    }
    return true;
}

void mode_kill(const char *dir, unsigned kills)
{
    uint64_t lost = 0;
    uint64_t wrong = 0;
    uint64_t all = 0;
    struct promise *promise =
        mmap(NULL, sizeof *promise, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (promise == MAP_FAILED) {
        exit(3);
    }
    for (unsigned k = 0; k < kills; k++) {
        promise->opened = false;
        pid_t child = fork();
        if (child == 0) {
            commit_for_ever(dir, promise);
        }
        if (child < 0 || !wait_opened(child, promise)) {
            fprintf(stderr, "the process that commits has ended after %u kills\n", k);
            exit(3);
        }
        clock_pause((uint32_t)(site_spread(k) % KILL_AFTER_MS_MAX));
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        if (k % 50 == 49 || k + 1 == kills) {
            lost = wrong = 0;
            check_all(dir, promise, &lost, &wrong);
            if (lost || wrong) {
                break;
            }
        }
    }
    for (uint16_t i = 1; i <= STREAMS; i++) {
        all += promise->stored[i];
    }
    print_number("kill_events", (double)all);
    print_number("kill_commits", (double)promise->commits);
    print_number("kill_lost", (double)lost);
    print_number("kill_wrong", (double)wrong);
    (void)munmap(promise, sizeof *promise);
}
