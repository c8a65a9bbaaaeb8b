/* What reaches the device, as exact counts at the file system's seam: 4 KiB blocks dirtied between
 * two syncs, and syncs. Three streams, datums of 40 bytes, as from sensors.
 *
 * WEIR_LONG=1: a million events for the size on disk, else 200 000. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/wear.h"
#include "tests/buffer/bench.h"

#define MIB (1 << 20)

static void begin(struct bench *b)
{
    static const char *const names[] = {"one", "two", "three"};
    for (size_t i = 0; i < 3; i++) {
        b->setup->streams[i] = (struct buffer_stream){
            .name = names[i], .priority = 3, .when_full = FULL_DROP_OLDEST, .uplinks = 1};
    }
    b->setup->stream_count = 3;
    b->setup->uplink_count = 1;
    bench_begin(b);
}

/* A reading: who, when, a value that walks about, a state that seldom changes. */
static void datum_put(struct bench *b, uint64_t n, double *value, uint8_t datum[40])
{
    *value += ((int)bench_below(b, 11) - 5) / 100.0;
    struct out o = out_over(datum, 40);
    out_put_format(&o, "pump-%02u", (unsigned)(n % 10));
    out_put_u64_le(&o, 1700000000000 + n * 100);
    out_put_slice(&o, (struct slice){(const uint8_t *)value, sizeof *value});
    out_put_format(&o, "%s", n % 1000 < 990 ? "running         " : "standing        ");
    while (o.size < 40) {
        out_put_byte(&o, 0);
    }
    assert_int_equal(o.size, 40);
}

/* `commits` commits of so many events (in fourths) each; with the link up, what the last commit
 * brought is delivered with the next one. */
static void run(struct bench *b, unsigned commits, unsigned events_of_4, bool up)
{
    static struct stored_event events[WRITE_EVENT_MAX];
    static uint8_t memory[WRITE_EVENT_MAX][40];
    double value = 20;
    uint64_t n = 0;
    uint64_t delivered[4] = {0, 0, 0, 0};
    for (unsigned i = 0; i < commits; i++) {
        size_t count = ((i + 1) * events_of_4) / 4 - i * events_of_4 / 4;
        struct owed_end ends[3];
        struct buffer_write write = {.events = events, .ends = ends};
        for (uint16_t s = 1; s <= 3; s++) {
            if (up && b->next[s] > delivered[s] + 1) {
                ends[write.end_count++] =
                    (struct owed_end){1, s, {delivered[s] + 1, b->next[s] - 1}};
                delivered[s] = b->next[s] - 1;
            }
        }
        for (uint16_t s = 1; s <= 3; s++) {
            for (size_t k = (n + s) % 3; k < count; k += 3) {
                datum_put(b, n + k, &value, memory[write.event_count]);
                events[write.event_count] =
                    (struct stored_event){.stream = s,
                                          .schema = b->schema[s],
                                          .sequence = b->next[s]++,
                                          .trust = TIME_PAYLOAD,
                                          .time_us = (int64_t)(n + k) * 100000,
                                          .datum = {memory[write.event_count], 40}};
                write.event_count++;
            }
        }
        n += count;
        assert_int_equal(bench_commit(b, &write), ERR_OK);
    }
}

static void check_wear(struct bench *b, const char *what, unsigned events_of_4, bool up,
                       uint64_t bytes_max)
{
    struct buffer_wear before;
    struct buffer_wear after;
    const unsigned commits = 3000;
    begin(b);
    run(b, 50, events_of_4, up);
    buffer_wear(b->buffer, &before);
    run(b, commits, events_of_4, up);
    buffer_wear(b->buffer, &after);
    uint64_t bytes = after.bytes - before.bytes;
    uint64_t per_event = bytes * 4 / ((uint64_t)commits * events_of_4);
    uint64_t blocks_of_100 = bytes * 100 / 4096 / commits;
    uint64_t syncs_of_1000 = (after.syncs - before.syncs) * 1000 / commits;
    print_message("wear: %s, link %s: %u bytes an event, %u.%02u blocks and %u.%03u syncs a "
                  "commit\n",
                  what, up ? "up" : "down", (unsigned)per_event, (unsigned)(blocks_of_100 / 100),
                  (unsigned)(blocks_of_100 % 100), (unsigned)(syncs_of_1000 / 1000),
                  (unsigned)(syncs_of_1000 % 1000));
    assert_true(per_event <= bytes_max);
    assert_true(syncs_of_1000 <= 1040);
    assert_true(events_of_4 > 40 || blocks_of_100 <= 260);
    assert_int_equal(after.commits - before.commits, commits);
    /* And the model that foretells it, with the same commits in a "day". */
    struct wear_count day = {.events = after.events - before.events,
                             .event_bytes = after.event_bytes - before.event_bytes};
    struct wear_count told = wear_foretell(&day, WEAR_DAY_S * UINT64_C(1000) / commits);
    assert_int_equal(day.event_bytes, day.events * 40);
    assert_in_range(told.bytes, bytes * 8 / 10, bytes * 13 / 10);
    assert_in_range(told.syncs, (after.syncs - before.syncs) * 97 / 100,
                    (after.syncs - before.syncs) * 103 / 100);
}

static void test_wear(void **state)
{
    check_wear(*state, "10 events a second, a commit each 250 ms", 10, false, 3900);
    check_wear(*state, "10 events a second, a commit each 250 ms", 10, true, 3900);
    check_wear(*state, "10 events a second, a commit a second", 40, false, 1065);
    check_wear(*state, "10 events a second, a commit each 5 s", 200, false, 300);
    check_wear(*state, "10 events a second, a commit each 5 s", 200, true, 300);
}

static void test_size_on_disk(void **state)
{
    struct bench *b = *state;
    struct crash_counts counts;
    uint64_t million = getenv("WEIR_LONG") ? 1000000 : 200000;
    uint64_t size;
    begin(b);
    b->other_datums = true;
    run(b, (unsigned)(million / 500), 2000, false);
    crash_vfs_counts(b->vfs, &counts);
    assert_non_null(crash_vfs_file(b->vfs, BENCH_PATH, &size));
    print_message("size: %u events of 40 bytes take %u KiB\n", (unsigned)million,
                  (unsigned)(size / 1024));
    assert_int_equal(b->changes.streams[1].event_count + b->changes.streams[2].event_count +
                         b->changes.streams[3].event_count,
                     million);
    assert_true(size <= 16 * MIB * (million / 1000) / 1000 + MIB / 2); /* and the tail */
    assert_true(counts.wal_high <= 2 * MIB);
    bench_check(b, 1, 1, 0);
    assert_int_equal(bench_read(b, 2, 1, b->next[2] - 1), b->next[2] - 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_wear), TEST(test_size_on_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
