/* How much of a damaged file comes over: pages are filled with junk, the buffer is opened as the
 * agent does it, and what can be read in the end is counted and compared. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buffer/salvage.h"
#include "tests/bench/buffer_site.h"

#define PAGE 4096
#define PAGES_ALL 764
#define TURNS_MAX 100000
#define TRIES_MAX 20
#define ROUNDS 9

/* Closed, so that nothing of it is in the log. */
static uint64_t fill(const char *dir)
{
    struct site *s = site_fresh(dir);
    uint64_t events = 0;
    while (file_size(s->path) < PAGES_ALL * PAGE) {
        site_commit(s, 100, false);
        events += 100;
    }
    site_free(s);
    return events;
}

/* Any page but the first, which says whose file it is. */
static void damage(const char *path, unsigned pages, uint64_t seed)
{
    uint64_t junk[PAGE / sizeof(uint64_t)];
    uint64_t all = (uint64_t)file_size(path) / PAGE;
    bool is_bad[4 * PAGES_ALL] = {false};
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    for (uint64_t n = seed * 1000000; pages > 0 && all <= 4 * PAGES_ALL; n++) {
        uint64_t page = 1 + site_spread(n) % (all - 1);
        if (is_bad[page]) {
            continue;
        }
        is_bad[page] = true;
        pages--;
        for (size_t i = 0; i < PAGE / sizeof *junk; i++) {
            junk[i] = site_spread(n * 1000 + i + 1);
        }
        if (pwrite(fd, junk, sizeof junk, (off_t)(page * PAGE)) != PAGE) {
            exit(3);
        }
    }
    (void)close(fd);
}

/* Until nothing is left to do. */
static void salvage(struct site *s)
{
    enum err e = ERR_OK;
    for (unsigned turn = 0; e == ERR_OK && turn < TURNS_MAX; turn++) {
        e = buffer_care(s->buffer, &s->changes, &s->why);
    }
    if (e != ERR_CLOSED) {
        site_die(s, "salvage");
    }
    for (uint16_t i = 1; i <= STREAMS; i++) {
        s->next[i] = s->changes.streams[i].sequence_next;
    }
}

/* ERR_AGAIN: what was read was damaged, and buffer_care() comes first. */
static enum err read_stream(struct site *s, uint16_t stream, uint64_t *ret_right)
{
    uint8_t datum[DATUM_MAX];
    uint64_t first = 1;
    while (first < s->next[stream]) {
        struct range range = {first, s->next[stream] - 1};
        enum err e = buffer_read(s->buffer, stream, range, READ_SIZE, &s->rows, &s->why);
        if (e) {
            return e;
        }
        for (size_t i = 0; i < s->rows.event_count; i++) {
            const struct stored_event *event = &s->rows.events[i];
            *ret_right += slice_equal(event->datum, site_datum(s, stream, event->sequence, datum));
        }
        first = s->rows.covered.last + 1;
    }
    return ERR_OK;
}

static uint64_t right_events(const char *dir)
{
    struct site *s = site_new(dir);
    uint64_t right = 0;
    enum err e = ERR_AGAIN;
    site_open(s);
    for (unsigned try = 0; e == ERR_AGAIN && try < TRIES_MAX; try++) {
        salvage(s);
        e = ERR_OK;
        right = 0;
        for (uint16_t stream = 1; !e && stream <= STREAMS; stream++) {
            e = read_stream(s, stream, &right);
        }
    }
    if (e) {
        site_die(s, "reading");
    }
    site_free(s);
    return right;
}

void mode_salvage(const char *dir, unsigned pages)
{
    double shares[ROUNDS];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        char name[512];
        uint64_t events = fill(dir);
        (void)snprintf(name, sizeof name, "%s/buffer.db", dir);
        damage(name, pages, round + 1);
        shares[round] = 100 * (double)right_events(dir) / (double)events;
    }
    print_number("salvaged_median", quantile(shares, ROUNDS, 0.5));
    print_number("salvaged_least", quantile(shares, ROUNDS, 0));
    print_number("pages", PAGES_ALL);
}
