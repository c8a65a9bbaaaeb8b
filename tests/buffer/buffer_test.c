/* The buffer against a model in memory: random appends, deliveries, failures of nothing yet,
 * reopening at any moment. */
#include "buffer/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DIR_SIZE 64

struct fixture {
    char folder[DIR_SIZE];
    char path[DIR_SIZE + 16];
    struct buffer_setup *setup;
    struct buffer *buffer;
    uint32_t schema[4];
    uint64_t chance;
};

static uint32_t below(struct fixture *f, uint32_t limit)
{
    f->chance = f->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(f->chance >> 33) % limit;
}

static void reopen(struct fixture *f)
{
    struct why why = {""};
    buffer_close(f->buffer);
    f->buffer = NULL;
    enum err e = buffer_open(&f->buffer, f->setup, &why);
    if (e) {
        fail_msg("opening: %s: %s", err_name(e), why.text);
    }
}

static void setup_streams(struct fixture *f, int64_t size_max)
{
    f->setup->path = f->path;
    f->setup->agent_id = "test";
    f->setup->size_max = size_max;
    f->setup->event_size_max = EVENT_SIZE_DEFAULT;
    f->setup->streams[0] = (struct buffer_stream){
        .name = "low", .priority = 1, .when_full = FULL_DROP_OLDEST, .uplinks = 3};
    f->setup->streams[1] = (struct buffer_stream){
        .name = "alarm", .priority = 9, .when_full = FULL_BLOCK, .uplinks = 1};
    f->setup->stream_count = 2;
    f->setup->uplinks[0] = (struct buffer_uplink){.name = "cloud", .hold_max = 1000000};
    f->setup->uplinks[1] = (struct buffer_uplink){.name = "files", .hold_max = 1000000};
    f->setup->uplink_count = 2;
}

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->setup = calloc(1, sizeof *f->setup);
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/weir-buffer.XXXXXX");
    if (!mkdtemp(f->folder)) {
        return -1;
    }
    (void)snprintf(f->path, sizeof f->path, "%s/buffer.db", f->folder);
    f->chance = 42;
    setup_streams(f, 64 << 20);
    reopen(f);
    struct why why;
    uint8_t fingerprint[8] = {1};
    for (uint16_t s = 1; s <= 2; s++) {
        assert_int_equal(
            buffer_schema_add(f->buffer, s, SLICE("\"bytes\""), fingerprint, &f->schema[s], &why),
            ERR_OK);
    }
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    char command[DIR_SIZE + 16];
    buffer_close(f->buffer);
    (void)snprintf(command, sizeof command, "rm -rf %s", f->folder);
    int failed = system(command);
    free(f->setup);
    free(f);
    return failed;
}

/* The datum of an event is a function of its stream and sequence, so that anything wrong is seen.
 */
static struct slice datum_of(uint16_t stream, uint64_t sequence, uint8_t memory[512])
{
    size_t size = 10 + (size_t)((sequence * 7 + stream) % 150);
    uint64_t chance = sequence * 977 + stream;
    for (size_t i = 0; i < size; i++) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memory[i] = (uint8_t)(chance >> 56);
    }
    return (struct slice){memory, size};
}

static enum err append(struct fixture *f, uint16_t stream, uint64_t first, size_t count,
                       struct buffer_changes *ret)
{
    static struct stored_event events[WRITE_EVENT_MAX];
    static uint8_t memory[WRITE_EVENT_MAX][512];
    struct why why = {""};
    for (size_t i = 0; i < count; i++) {
        events[i] = (struct stored_event){.stream = stream,
                                          .schema = f->schema[stream],
                                          .sequence = first + i,
                                          .trust = TIME_WALL,
                                          .time_us = 1700000000000000 + (int64_t)(first + i),
                                          .datum = datum_of(stream, first + i, memory[i])};
        if ((first + i) % 5 == 0) {
            events[i].trust = TIME_BOOT;
            events[i].boot = 7;
            events[i].fill_count = 2;
            events[i].fills[0] = (struct fill){FILL_TIME_MICROS, 1};
            events[i].fills[1] = (struct fill){FILL_ID, 5};
        }
    }
    struct buffer_write write = {.events = events, .event_count = count};
    return buffer_commit(f->buffer, &write, ret, &why);
}

static struct rows *rows_open(void)
{
    struct rows *rows = calloc(1, sizeof *rows);
    rows->events = calloc(ROWS_EVENT_MAX, sizeof *rows->events);
    rows->event_max = ROWS_EVENT_MAX;
    rows->arena = out_over(malloc(4 << 20), 4 << 20);
    return rows;
}

static void rows_close(struct rows *rows)
{
    free(rows->events);
    free(rows->arena.data);
    free(rows);
}

/* Reads first..last in pieces; every event must be there, as it was stored. */
static void check_range(struct fixture *f, uint16_t stream, uint64_t first, uint64_t last)
{
    struct rows *rows = rows_open();
    struct why why = {""};
    uint8_t memory[512];
    uint64_t expected = first;
    while (first <= last) {
        assert_int_equal(
            buffer_read(f->buffer, stream, (struct range){first, last}, 20000, rows, &why), ERR_OK);
        assert_true(rows->event_count > 0);
        for (size_t i = 0; i < rows->event_count; i++) {
            const struct stored_event *e = &rows->events[i];
            assert_int_equal(e->sequence, expected);
            assert_true(slice_equal(e->datum, datum_of(stream, expected, memory)));
            assert_int_equal(e->time_us, 1700000000000000 + (int64_t)expected);
            assert_int_equal(e->fill_count, expected % 5 == 0 ? 2 : 0);
            assert_int_equal(e->trust, expected % 5 == 0 ? TIME_BOOT : TIME_WALL);
            assert_int_equal(e->schema, f->schema[stream]);
            expected++;
        }
        first = rows->covered.last + 1;
    }
    assert_int_equal(expected, last + 1);
    rows_close(rows);
}

static const struct owed *owed_of(const struct buffer_changes *c, uint16_t uplink, uint16_t stream)
{
    for (size_t i = 0; i < c->owed_count; i++) {
        if (c->owed[i].uplink == uplink && c->owed[i].stream == stream) {
            return &c->owed[i];
        }
    }
    fail_msg("no owed entry %u/%u", uplink, stream);
    return NULL;
}

static void test_events_come_back_as_they_were(void **state)
{
    struct fixture *f = *state;
    struct buffer_changes changes;
    uint64_t next = 1;
    for (unsigned i = 0; i < 900; i++) {
        size_t count = 1 + below(f, 60);
        assert_int_equal(append(f, 1, next, count, &changes), ERR_OK);
        next += count;
        if (below(f, 40) == 0) {
            reopen(f);
        }
    }
    check_range(f, 1, 1, next - 1);
    check_range(f, 1, 777, next - 500);
    reopen(f);
    check_range(f, 1, 1, next - 1);
    buffer_state(f->buffer, &changes);
    assert_int_equal(changes.streams[1].sequence_next, next);
    assert_int_equal(changes.streams[1].event_count, next - 1);
    assert_int_equal(owed_of(&changes, 1, 1)->ranges[0].last, next - 1);
}

static struct parcel parcel_of(uint16_t uplink, uint16_t stream, uint64_t first, uint64_t last,
                               uint32_t parts)
{
    struct parcel p = {.uplink = uplink,
                       .stream = stream,
                       .layout = LAYOUT_ROWS,
                       .schema = 1,
                       .range = {first, last},
                       .target = "topic",
                       .cluster_id = "c",
                       .partition_count = parts,
                       .part_count = parts};
    for (uint32_t i = 0; i < parts; i++) {
        p.parts[i] = (struct part){.partition = i,
                                   .first = first,
                                   .last = last,
                                   .producer_id = 1000 + i,
                                   .producer_epoch = 0,
                                   .base_sequence = 5,
                                   .record_count = 3,
                                   .events_per_record = 1,
                                   .sent_ms = 1700000000123,
                                   .assigned = true};
    }
    return p;
}

static enum err write_parcel(struct fixture *f, const struct parcel *parcel)
{
    struct why why = {""};
    struct buffer_write write = {.parcels = &parcel, .parcel_count = 1};
    return buffer_commit(f->buffer, &write, NULL, &why);
}

static enum err write_done(struct fixture *f, uint16_t uplink, uint16_t stream, uint32_t part,
                           struct buffer_changes *ret)
{
    struct why why = {""};
    struct part_done done = {.uplink = uplink, .stream = stream, .part = part};
    struct buffer_write write = {.dones = &done, .done_count = 1};
    return buffer_commit(f->buffer, &write, ret, &why);
}

static void take_parcel(void *context, const struct parcel *parcel)
{
    *(struct parcel *)context = *parcel;
}

static void test_parcels_survive_and_end_their_range(void **state)
{
    struct fixture *f = *state;
    struct buffer_changes changes;
    struct parcel stored = {0};
    struct parcel parcel = parcel_of(1, 1, 1, 60, 3);
    assert_int_equal(append(f, 1, 1, 100, &changes), ERR_OK);
    assert_int_equal(write_parcel(f, &parcel), ERR_OK);
    reopen(f);
    buffer_parcel_each(f->buffer, take_parcel, &stored);
    assert_memory_equal(&stored, &parcel, sizeof parcel);
    assert_int_equal(write_done(f, 1, 1, 0, &changes), ERR_OK);
    assert_int_equal(write_done(f, 1, 1, 2, &changes), ERR_OK);
    reopen(f);
    buffer_parcel_each(f->buffer, take_parcel, &stored);
    assert_true(stored.parts[0].done && !stored.parts[1].done && stored.parts[2].done);
    buffer_state(f->buffer, &changes);
    assert_int_equal(owed_of(&changes, 1, 1)->ranges[0].first, 1);
    assert_int_equal(write_done(f, 1, 1, 1, &changes), ERR_OK);
    assert_int_equal(owed_of(&changes, 1, 1)->ranges[0].first, 61);
    assert_int_equal(owed_of(&changes, 2, 1)->ranges[0].first, 1);
    reopen(f);
    buffer_state(f->buffer, &changes);
    assert_int_equal(owed_of(&changes, 1, 1)->ranges[0].first, 61);
    check_range(f, 1, 1, 100); /* the other uplink has not had them */
}

static void collect_cursor(void *context, uint32_t key, struct slice value)
{
    struct out *o = context;
    out_put_format(o, "%u=%.*s;", key, (int)value.size, (const char *)value.data);
}

static void test_cursors_ride_with_events_and_survive_the_seal(void **state)
{
    struct fixture *f = *state;
    uint16_t driver;
    struct why why = {""};
    char text[200];
    assert_int_equal(buffer_driver_number(f->buffer, "lines", &driver, &why), ERR_OK);
    uint64_t next = 1;
    for (unsigned i = 0; i < 60; i++) {
        char value[16];
        uint8_t memory[512];
        (void)snprintf(value, sizeof value, "at%u", i);
        struct cursor_change cursors[2] = {{driver, 3, slice_of_text(value)},
                                           {driver, 10 + i, slice_of_text(i % 2 ? "x" : "")}};
        struct stored_event event = {.stream = 1,
                                     .schema = f->schema[1],
                                     .sequence = next++,
                                     .trust = TIME_WALL,
                                     .datum = datum_of(1, 1, memory)};
        struct buffer_write write = {
            .events = &event, .event_count = 1, .cursors = cursors, .cursor_count = 2};
        assert_int_equal(buffer_commit(f->buffer, &write, NULL, &why), ERR_OK);
        if (i % 7 == 0) {
            assert_int_equal(append(f, 1, next, 400, NULL), ERR_OK);
            next += 400;
        }
        if (i % 11 == 0) {
            reopen(f);
        }
    }
    reopen(f);
    struct out o = out_over(text, sizeof text);
    buffer_cursor_each(f->buffer, driver, collect_cursor, &o) == ERR_OK ? (void)0 : fail();
    assert_true(slice_starts_with(out_slice(&o), SLICE("3=at59;11=x;13=x;15=x;")));
    uint16_t other;
    assert_int_equal(buffer_driver_number(f->buffer, "post", &other, &why), ERR_OK);
    o.size = 0;
    assert_int_equal(buffer_cursor_each(f->buffer, other, collect_cursor, &o), ERR_OK);
    assert_int_equal(o.size, 0);
}

/* Delivered rows give their pages back: far more goes through than fits. */
static void test_delivered_rows_make_room(void **state)
{
    struct fixture *f = *state;
    struct buffer_changes changes;
    setup_streams(f, 6 << 20);
    f->setup->uplink_count = 1;
    f->setup->streams[0].uplinks = 1;
    f->setup->streams[0].when_full = FULL_BLOCK;
    reopen(f);
    uint64_t next = 1;
    for (unsigned i = 0; i < 400; i++) {
        assert_int_equal(append(f, 1, next, 500, &changes), ERR_OK);
        assert_true(changes.file_size <= 6 << 20);
        next += 500;
        struct why why = {""};
        struct owed_end end = {
            .uplink = 1, .stream = 1, .range = {1, next > 1600 ? next - 1600 : 1}};
        struct buffer_write write = {.ends = &end, .end_count = 1};
        assert_int_equal(buffer_commit(f->buffer, &write, &changes, &why), ERR_OK);
    }
    assert_int_equal(changes.streams[1].dropped_count, 0);
}

static off_t size_of(const char *path, const char *suffix)
{
    char name[DIR_SIZE + 32];
    struct stat st;
    (void)snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) == 0 ? st.st_size : 0;
}

/* Full: the lower stream gives way, the blocking one keeps everything, the cap is kept to the byte.
 */
static void test_full_drops_the_oldest_of_the_lowest(void **state)
{
    struct fixture *f = *state;
    struct buffer_changes changes;
    setup_streams(f, 8 << 20);
    reopen(f);
    uint64_t low = 1;
    uint64_t alarm = 1;
    for (unsigned i = 0; i < 900; i++) {
        buffer_state(f->buffer, &changes);
        if (changes.room[1] > 30000) {
            assert_int_equal(append(f, 1, low, 300, &changes), ERR_OK);
            low += 300;
        }
        if (i % 20 == 0 && changes.room[2] > 2000) {
            assert_int_equal(append(f, 2, alarm, 10, &changes), ERR_OK);
            alarm += 10;
        }
        assert_true(size_of(f->path, "") + size_of(f->path, "-wal") <= 8 << 20);
    }
    assert_true(low > 200000);
    assert_true(changes.streams[1].dropped_count > 0);
    assert_int_equal(changes.streams[2].dropped_count, 0);
    assert_int_equal(changes.streams[1].event_count + changes.streams[1].dropped_count, low - 1);
    uint64_t told = 0;
    for (size_t i = 0; i < changes.gap_count; i++) {
        told += changes.gaps[i].count;
    }
    assert_int_equal(told, changes.streams[1].dropped_count);
    reopen(f);
    check_range(f, 2, 1, alarm - 1);
    buffer_state(f->buffer, &changes);
    const struct owed *owed = owed_of(&changes, 1, 1);
    check_range(f, 1, owed->ranges[0].first, owed->ranges[0].last);
}

/* A stream that blocks is told so before anything is refused, and goes on when there is room again.
 */
static void test_block_says_no_room(void **state)
{
    struct fixture *f = *state;
    struct buffer_changes changes;
    setup_streams(f, 6 << 20);
    f->setup->streams[0].when_full = FULL_BLOCK;
    f->setup->streams[0].uplinks = 1;
    f->setup->uplink_count = 1;
    reopen(f);
    uint64_t next = 1;
    unsigned commits = 0;
    buffer_state(f->buffer, &changes);
    while (changes.room[1] > 40000 && commits++ < 2000) {
        assert_int_equal(append(f, 1, next, 400, &changes), ERR_OK);
        next += 400;
    }
    assert_true(commits < 2000);
    assert_int_equal(changes.streams[1].dropped_count, 0);
    check_range(f, 1, 1, next - 1);
    for (unsigned i = 0; i < 100; i++) {
        struct why why = {""};
        struct owed_end end = {.uplink = 1, .stream = 1, .range = {1, next / 2}};
        struct buffer_write write = {.ends = &end, .end_count = 1};
        assert_int_equal(buffer_commit(f->buffer, &write, &changes, &why), ERR_OK);
    }
    assert_true(changes.room[1] > 40000);
}

static void test_strangers_are_left_alone(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    struct buffer *second = NULL;
    assert_int_equal(buffer_open(&second, f->setup, &why), ERR_FULL);
    assert_non_null(strstr(why.text, "another process"));
    buffer_close(f->buffer);
    f->buffer = NULL;
    char command[256];
    (void)snprintf(command, sizeof command,
                   "printf '\\0\\0\\0\\2' | dd of=%s bs=1 seek=60 conv=notrunc 2>/dev/null",
                   f->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(buffer_open(&second, f->setup, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "newer version"));
}

static void test_a_removed_uplink_with_owed_events_is_refused(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    struct buffer_changes changes;
    assert_int_equal(append(f, 1, 1, 12, &changes), ERR_OK);
    buffer_close(f->buffer);
    f->buffer = NULL;
    f->setup->uplink_count = 1;
    f->setup->streams[0].uplinks = 1;
    assert_int_equal(buffer_open(&f->buffer, f->setup, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "12 events of stream low"));
    f->setup->uplink_count = 2;
    f->setup->streams[0].uplinks = 3;
    f->setup->uplinks[1].name = "files";
    reopen(f);
    f->setup->uplinks[2] =
        (struct buffer_uplink){.name = "late", .from_oldest = true, .hold_max = 1000000};
    f->setup->uplinks[3] = (struct buffer_uplink){.name = "fresh", .hold_max = 1000000};
    f->setup->uplink_count = 4;
    f->setup->streams[0].uplinks = 15;
    reopen(f);
    buffer_state(f->buffer, &changes);
    assert_int_equal(owed_of(&changes, buffer_uplink_number(f->buffer, "late"), 1)->ranges[0].first,
                     1);
    assert_int_equal(owed_of(&changes, buffer_uplink_number(f->buffer, "fresh"), 1)->range_count,
                     0);
}

static void count_aside(void *context, int64_t id, const struct aside *aside)
{
    (void)id;
    *(uint64_t *)context += 1;
    assert_true(slice_equal_text(aside->reason, "no such field"));
}

static void test_set_aside_events_are_bounded_and_counted(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    struct buffer_changes changes;
    static uint8_t body[60000];
    setup_streams(f, 8 << 20);
    reopen(f);
    for (unsigned i = 0; i < 50; i++) {
        struct aside aside = {.time_us = 5,
                              .kind = ASIDE_PAYLOAD,
                              .size = sizeof body,
                              .source = SLICE("http"),
                              .reason = SLICE("no such field"),
                              .body = {body, sizeof body}};
        struct buffer_write write = {.asides = &aside, .aside_count = 1};
        assert_int_equal(buffer_commit(f->buffer, &write, &changes, &why), ERR_OK);
        if (i == 25) {
            reopen(f);
        }
    }
    uint64_t count = 0;
    assert_int_equal(buffer_aside_each(f->buffer, 0, 1000, count_aside, &count, &why), ERR_OK);
    assert_int_equal(count, changes.aside_count);
    assert_in_range(count, 4, 7); /* 5 % of 8 MiB */
}

/* BUFFER figures: what reaches the device at 10 events a second. */
static void test_wear_is_what_the_page_says(void **state)
{
    struct fixture *f = *state;
    struct buffer_wear before;
    struct buffer_wear after;
    uint64_t next = 1;
    buffer_wear(f->buffer, &before);
    for (unsigned i = 0; i < 400; i++) { /* 5 s at 10 events/s, 40 bytes each or so */
        static struct stored_event events[50];
        static uint8_t memory[50][512];
        struct why why = {""};
        for (size_t k = 0; k < 50; k++) {
            events[k] = (struct stored_event){.stream = 1,
                                              .schema = f->schema[1],
                                              .sequence = next,
                                              .trust = TIME_PAYLOAD,
                                              .time_us = (int64_t)next * 100000,
                                              .datum = datum_of(1, 2, memory[k])};
            next++;
        }
        struct buffer_write write = {.events = events, .event_count = 50};
        assert_int_equal(buffer_commit(f->buffer, &write, NULL, &why), ERR_OK);
    }
    buffer_wear(f->buffer, &after);
    uint64_t per_event = (after.bytes - before.bytes) / (next - 1);
    uint64_t commits = after.commits - before.commits;
    print_message("wear: %u bytes/event at 5 s, %u syncs per 1000 commits\n", (unsigned)per_event,
                  (unsigned)((after.syncs - before.syncs) * 1000 / commits));
    assert_true(per_event <= 300);
    assert_true((after.syncs - before.syncs) * 100 <= commits * 104);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_come_back_as_they_were, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_parcels_survive_and_end_their_range, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_cursors_ride_with_events_and_survive_the_seal,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_delivered_rows_make_room, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_full_drops_the_oldest_of_the_lowest, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_block_says_no_room, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_strangers_are_left_alone, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_a_removed_uplink_with_owed_events_is_refused,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_set_aside_events_are_bounded_and_counted, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_wear_is_what_the_page_says, open_fixture,
                                        close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
