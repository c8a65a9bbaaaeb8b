/* A buffer of three streams in a folder, and events for it: what the benchmarks of the buffer share.
 * What goes wrong ends the program, exit 3. */
#ifndef WEIR_TESTS_BENCH_BUFFER_SITE_H
#define WEIR_TESTS_BENCH_BUFFER_SITE_H

#include "buffer/buffer.h"

#define STREAMS 3
#define EVENTS_MAX 1024 /* a commit */
#define DATUM_MAX 1024
#define MIB (1 << 20)
#define READ_SIZE (256 * 1024)

struct site {
    char path[512];
    char wal[520];
    struct buffer_setup setup;
    struct buffer *buffer;
    struct buffer_changes changes;
    struct why why;
    uint32_t schema[STREAMS + 1];
    uint64_t next[STREAMS + 1];
    uint64_t delivered[STREAMS + 1];
    size_t datum_size;
    bool incompressible;
    struct rows rows;
    struct stored_event events[EVENTS_MAX];
    uint8_t datums[EVENTS_MAX][DATUM_MAX];
};

/* Before site_open(): setup, datum_size and incompressible may be changed. */
struct site *site_new(const char *dir);
/* Opens what is there, or a new one. */
void site_open(struct site *s);
/* A new one in place of what is there. */
struct site *site_fresh(const char *dir);
/* Closes. */
void site_free(struct site *s);

/* The datum of an event: follows from stream and sequence alone, so that it can be checked. */
struct slice site_datum(const struct site *s, uint16_t stream, uint64_t sequence,
                        uint8_t datum[DATUM_MAX]);
/* Chance that is the same each time. */
uint64_t site_spread(uint64_t x);
/* So many events, shared among the streams, into s->events; and their commit. With the link up,
 * what the last commit brought is delivered with it. */
void site_make(struct site *s, size_t count);
void site_commit_made(struct site *s, size_t count, bool up);
void site_commit(struct site *s, size_t count, bool up);

/* Reads on from `first` in a stream, into s->rows. */
void site_read(struct site *s, uint16_t stream, uint64_t first);

void site_die(const struct site *s, const char *what);
int64_t file_size(const char *path); /* 0: there is none */
void print_number(const char *name, double value);

/* Sorts the values. 0.5: the median. */
double quantile(double *values, size_t count, double q);

/* buffer_kill.c, buffer_salvage.c */
void mode_kill(const char *dir, unsigned kills);
void mode_salvage(const char *dir, unsigned pages);

#endif
