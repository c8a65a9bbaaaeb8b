#include "tests/bench/buffer_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void site_die(const struct site *s, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, s->why.text);
    exit(3);
}

void print_number(const char *name, double value)
{
    printf("%s %.12g\n", name, value);
    fflush(stdout);
}

struct site *site_new(const char *dir)
{
    static const char *const names[] = {"one", "two", "three"};
    struct site *s = malloc(sizeof *s);
    size_t arena = READ_SIZE + 64 * 1024;
    if (!s) {
        exit(3);
    }
    memset(s, 0, sizeof *s);
    (void)snprintf(s->path, sizeof s->path, "%s/buffer.db", dir);
    (void)snprintf(s->wal, sizeof s->wal, "%s-wal", s->path);
    s->datum_size = 40;
    s->setup.path = s->path;
    s->setup.agent_id = "bench";
    s->setup.size_max = INT64_C(4096) * MIB;
    s->setup.event_size_max = EVENT_SIZE_DEFAULT;
    for (size_t i = 0; i < STREAMS; i++) {
        s->setup.streams[i] = (struct buffer_stream){
            .name = names[i], .priority = 3, .when_full = FULL_DROP_OLDEST, .uplinks = 1};
    }
    s->setup.stream_count = STREAMS;
    s->setup.uplinks[0] = (struct buffer_uplink){.name = "cloud", .hold_max = 1000000};
    s->setup.uplink_count = 1;
    s->rows.events = calloc(ROWS_EVENT_MAX, sizeof *s->rows.events);
    s->rows.event_max = ROWS_EVENT_MAX;
    s->rows.arena = out_over(malloc(arena), arena);
    if (!s->rows.events || !s->rows.arena.data) {
        exit(3);
    }
    return s;
}

void site_free(struct site *s)
{
    buffer_close(s->buffer);
    free(s->rows.events);
    free(s->rows.arena.data);
    free(s);
}

void site_open(struct site *s)
{
    static const uint8_t fingerprint[8] = {1};
    enum err e = buffer_open(&s->buffer, &s->setup, &s->why);
    for (uint16_t i = 1; !e && i <= STREAMS; i++) {
        e = buffer_schema_add(s->buffer, i, SLICE("\"bytes\""), fingerprint, &s->schema[i],
                              &s->why);
    }
    if (e) {
        site_die(s, "opening");
    }
    buffer_state(s->buffer, &s->changes);
    for (uint16_t i = 1; i <= STREAMS; i++) {
        s->next[i] = s->changes.streams[i].sequence_next;
    }
}

struct site *site_fresh(const char *dir)
{
    struct site *s = site_new(dir);
    (void)unlink(s->path);
    (void)unlink(s->wal);
    site_open(s);
    return s;
}

int64_t file_size(const char *path)
{
    struct stat about;
    return stat(path, &about) ? 0 : about.st_size;
}

/* --- events --- */

uint64_t site_spread(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Readings of 40 bytes, one behind the other: who, when, a value that moves in small steps, a state
 * that seldom changes. */
struct slice site_datum(const struct site *s, uint16_t stream, uint64_t sequence,
                        uint8_t datum[DATUM_MAX])
{
    struct out o = out_over(datum, s->datum_size);
    for (uint64_t part = 0; !o.overflow && o.size < s->datum_size; part++) {
        uint64_t n = sequence * 32 + part;
        uint64_t chance = site_spread(n * STREAMS + stream);
        if (s->incompressible) {
            out_put(&o, &chance, sizeof chance);
            continue;
        }
        double value = 20 + (double)((sequence / 50) % 200) / 10 + (double)(chance % 11) / 100;
        uint64_t time_ms = UINT64_C(1700000000000) + sequence * 100 * STREAMS;
        out_put_format(&o, "pump-%02u", (unsigned)(n % 10));
        out_put(&o, &time_ms, sizeof time_ms);
        out_put(&o, &value, sizeof value);
        out_put_text(&o, sequence % 1000 < 990 ? "running          " : "standing         ");
    }
    return (struct slice){datum, s->datum_size};
}

void site_make(struct site *s, size_t count)
{
    size_t n = 0;
    for (uint16_t stream = 1; stream <= STREAMS; stream++) {
        size_t share = count / STREAMS + (stream <= count % STREAMS);
        for (size_t i = 0; i < share; i++, n++) {
            uint64_t sequence = s->next[stream] + i;
            s->events[n] =
                (struct stored_event){.stream = stream,
                                      .schema = s->schema[stream],
                                      .sequence = sequence,
                                      .trust = TIME_PAYLOAD,
                                      .time_us = (int64_t)sequence * 100000,
                                      .datum = site_datum(s, stream, sequence, s->datums[n])};
        }
    }
}

void site_commit_made(struct site *s, size_t count, bool up)
{
    struct owed_end ends[STREAMS];
    struct buffer_write write = {.events = s->events, .event_count = count, .ends = ends};
    for (uint16_t i = 1; up && i <= STREAMS; i++) {
        if (s->next[i] > s->delivered[i] + 1) {
            struct range range = {s->delivered[i] + 1, s->next[i] - 1};
            ends[write.end_count++] = (struct owed_end){1, i, range};
            s->delivered[i] = range.last;
        }
    }
    if (buffer_commit(s->buffer, &write, &s->changes, &s->why)) {
        site_die(s, "a commit");
    }
    for (uint16_t i = 1; i <= STREAMS; i++) {
        s->next[i] = s->changes.streams[i].sequence_next;
    }
}

void site_commit(struct site *s, size_t count, bool up)
{
    site_make(s, count);
    site_commit_made(s, count, up);
}

void site_read(struct site *s, uint16_t stream, uint64_t first)
{
    struct range range = {first, s->next[stream] - 1};
    if (buffer_read(s->buffer, stream, range, READ_SIZE, &s->rows, &s->why)) {
        site_die(s, "reading");
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(double *values, size_t count, double q)
{
    qsort(values, count, sizeof *values, by_value);
    return values[(size_t)((double)(count - 1) * q)];
}
