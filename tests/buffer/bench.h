/* A buffer on a disk in memory, and short words for what the tests do with it. Datums are functions
 * of stream and sequence, so that anything wrong is seen. */
#ifndef WEIR_TESTS_BUFFER_BENCH_H
#define WEIR_TESTS_BUFFER_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/cmocka.h"

#include "buffer/buffer.h"
#include "tests/sim/crash_vfs.h"

#define BENCH_PATH "bench.db"
#define BENCH_STREAMS 12
#define BENCH_DATUM_MAX 512
#define BENCH_TIME_US INT64_C(1700000000000000) /* of sequence 0 */

struct bench {
    struct crash_vfs *vfs;
    struct buffer_setup *setup; /* low: priority 1, drop_oldest, both uplinks; alarm: 9, block, the
                                   first; uplinks cloud and files */
    struct buffer *buffer;
    struct buffer_changes changes; /* after the last commit or opening */
    struct why why;
    uint32_t schema[BENCH_STREAMS + 1];
    uint64_t next[BENCH_STREAMS + 1];
    size_t datum_size; /* of all datums, at most BENCH_DATUM_MAX; 0: 10 to 159 bytes */
    int64_t step_us;   /* between the times of events, all of them wall times; 0: 1, and times of
                        all kinds */
    bool other_datums; /* the test makes its own: bench_read() does not look into them */
    int64_t wall_us;   /* given with each commit of bench_append() and bench_idle() */
    uint64_t chance;
    struct rows *rows;
};

/* For cmocka: a fresh buffer of 64 MiB; its end. */
int bench_open(void **state);
int bench_close(void **state);

/* Another disk, opened with the setup as it is now. */
void bench_begin(struct bench *b);
/* Closes and opens again with the setup as it is now; must work. */
void bench_reopen(struct bench *b);
/* The same, may fail; the reason in b->why. */
enum err bench_try_open(struct bench *b);
uint32_t bench_below(struct bench *b, uint32_t limit);

/* The next `count` events of a stream, in one commit. */
enum err bench_append(struct bench *b, uint16_t stream, size_t count);
/* The next `count` ones are dropped on arrival. */
void bench_skip(struct bench *b, uint16_t stream, uint32_t count);
/* A commit with nothing in it. */
void bench_idle(struct bench *b);
/* `count` events at a time until the stream has `total`, or has no room. */
void bench_fill(struct bench *b, uint16_t stream, size_t count, uint64_t total);
enum err bench_commit(struct bench *b, const struct buffer_write *write);
/* first..last are no longer owed to the uplink. */
void bench_end(struct bench *b, uint16_t uplink, uint16_t stream, uint64_t first, uint64_t last);
/* Opens a parcel of so many parts; ends one. */
struct parcel bench_parcel(uint16_t uplink, uint16_t stream, uint64_t first, uint64_t last,
                           uint32_t parts);
void bench_parcel_put(struct bench *b, const struct parcel *parcel);
void bench_done(struct bench *b, uint16_t uplink, uint16_t stream, uint32_t part);

/* As many set-aside events, at most 3, in one commit. */
void bench_put_asides(struct bench *b, size_t count);

/* The process is killed, or the power goes: nothing is done that closing does, and the disk has of the
 * rest what the image says. */
void bench_cut(struct bench *b, enum crash_image image, uint64_t seed);
/* Killed, and a constant of the header is wrong then: damaged for sure, and all of it can be read,
 * where the log has the first page. */
void bench_damage_at_rest(struct bench *b);
/* As when a read or a commit has found it: the file is moved aside, and waits to be salvaged. */
void bench_find_damage(struct bench *b);
bool bench_has_file(struct bench *b, const char *name);
/* `to` becomes a copy of `from`. */
void bench_copy_file(struct bench *b, const char *from, const char *to);
void bench_move_file(struct bench *b, const char *from, const char *to);

/* Turns of buffer_care() until nothing is left to do; none may fail. */
void bench_care(struct bench *b);
/* Does a gap tell that the event is lost by damage? */
bool bench_is_told(const struct bench *b, uint16_t stream, uint64_t sequence);

/* Is the datum that of the event, as bench_append() makes it? */
bool bench_is_right(const struct bench *b, const struct stored_event *event);

const struct owed *bench_owed(struct bench *b, uint16_t uplink, uint16_t stream);
/* Every event of first..last is there, as it was stored. */
void bench_check(struct bench *b, uint16_t stream, uint64_t first, uint64_t last);
/* Reads first..last to the end; how many events were there. They are as they were stored. */
uint64_t bench_read(struct bench *b, uint16_t stream, uint64_t first, uint64_t last);
/* Number of rows in the table of sealed events. The buffer is closed and opened for it. */
uint64_t bench_row_count(struct bench *b);
/* Runs SQL on the closed file, then opens the buffer again. */
void bench_sql(struct bench *b, const char *sql);
/* The same; the error of opening. */
enum err bench_sql_closed(struct bench *b, const char *sql);
/* Reads a damaged buffer as far as it goes: what is read is as it was stored, and it ends. */
void bench_look(struct bench *b, uint16_t stream, uint64_t last);

#endif
