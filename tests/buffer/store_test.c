/* What is stored comes back as it was: from the tail, from rows, after closing at any moment. */
#include <stdio.h>
#include <string.h>

#include "tests/buffer/bench.h"

static void test_events_come_back_as_they_were(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 900; i++) {
        assert_int_equal(bench_append(b, 1, 1 + bench_below(b, 60)), ERR_OK);
        if (bench_below(b, 40) == 0) {
            bench_reopen(b);
        }
    }
    uint64_t last = b->next[1] - 1;
    bench_check(b, 1, 1, last);
    bench_check(b, 1, 777, last - 500);
    bench_reopen(b);
    bench_check(b, 1, 1, last);
    assert_int_equal(b->changes.streams[1].sequence_next, last + 1);
    assert_int_equal(b->changes.streams[1].event_count, last);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].last, last);
}

/* The largest there may be alone in its commit, in the middle of small ones. */
static void test_a_large_event(void **state)
{
    struct bench *b = *state;
    static uint8_t body[EVENT_SIZE_LIMIT];
    b->setup->event_size_max = EVENT_SIZE_LIMIT;
    bench_begin(b);
    assert_int_equal(bench_append(b, 1, 30), ERR_OK);
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (uint8_t)bench_below(b, 256);
    }
    struct stored_event event = {.stream = 1,
                                 .schema = b->schema[1],
                                 .sequence = 31,
                                 .trust = TIME_WALL,
                                 .datum = {body, sizeof body}};
    struct buffer_write write = {.events = &event, .event_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    b->next[1]++;
    assert_int_equal(bench_append(b, 1, 30), ERR_OK);
    b->setup->event_size_max = EVENT_SIZE_DEFAULT; /* what is stored stays, whatever is allowed */
    bench_reopen(b);
    bench_check(b, 1, 1, 30);
    bench_check(b, 1, 32, 61);
    assert_int_equal(buffer_read(b->buffer, 1, (struct range){31, 61}, 1000, b->rows, &b->why),
                     ERR_OK);
    assert_int_equal(b->rows->event_count, 1);
    assert_true(slice_equal(b->rows->events[0].datum, event.datum));
}

/* Rows keep the schema they were written with, and no reading mixes two. */
static void test_each_row_has_its_schema(void **state)
{
    struct bench *b = *state;
    uint8_t fingerprint[8] = {2};
    uint32_t second = 0;
    uint32_t again = 0;
    uint32_t first = b->schema[1];
    assert_int_equal(bench_append(b, 1, 20), ERR_OK);
    assert_int_equal(
        buffer_schema_add(b->buffer, 1, SLICE("\"string\""), fingerprint, &second, &b->why),
        ERR_OK);
    assert_int_not_equal(first, second);
    b->schema[1] = second;
    assert_int_equal(bench_append(b, 1, 20), ERR_OK);
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        assert_int_equal(buffer_read(b->buffer, 1, (struct range){1, 40}, 100000, b->rows, &b->why),
                         ERR_OK);
        assert_int_equal(b->rows->event_count, 20);
        assert_true(b->rows->schema_changed);
        assert_int_equal(b->rows->covered.last, 20);
        assert_int_equal(b->rows->events[0].schema, first);
        assert_int_equal(
            buffer_read(b->buffer, 1, (struct range){21, 40}, 100000, b->rows, &b->why), ERR_OK);
        assert_int_equal(b->rows->event_count, 20);
        assert_int_equal(b->rows->events[0].schema, second);
        while (!sealed && b->next[1] < 4000) {
            assert_int_equal(bench_append(b, 1, 100), ERR_OK);
        }
        bench_reopen(b);
        assert_int_equal(
            buffer_schema_add(b->buffer, 1, SLICE("\"string\""), fingerprint, &again, &b->why),
            ERR_OK);
        assert_int_equal(again, second);
    }
}

static void take_parcel(void *context, const struct parcel *parcel)
{
    *(struct parcel *)context = *parcel;
}

static void test_parcels_survive_and_end_their_range(void **state)
{
    struct bench *b = *state;
    struct parcel stored = {0};
    struct parcel parcel = bench_parcel(1, 1, 1, 60, 3);
    assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    bench_parcel_put(b, &parcel);
    bench_reopen(b);
    buffer_parcel_each(b->buffer, take_parcel, &stored);
    assert_memory_equal(&stored, &parcel, sizeof parcel);
    bench_done(b, 1, 1, 0);
    bench_done(b, 1, 1, 2);
    bench_reopen(b);
    buffer_parcel_each(b->buffer, take_parcel, &stored);
    assert_true(stored.parts[0].done && !stored.parts[1].done && stored.parts[2].done);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 1);
    while (b->next[1] < 5000) { /* over a seal */
        assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    }
    bench_reopen(b);
    buffer_parcel_each(b->buffer, take_parcel, &stored);
    assert_true(stored.parts[0].done && !stored.parts[1].done && stored.parts[2].done);
    bench_done(b, 1, 1, 1);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 61);
    assert_int_equal(bench_owed(b, 2, 1)->ranges[0].first, 1);
    bench_reopen(b);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 61);
    bench_check(b, 1, 1, 100); /* the other uplink has not had them */
}

/* The part that closes one parcel, and the next parcel of the same slot, in one commit; the same
 * parcel anew with other parts. */
static void test_a_parcel_follows_another_in_its_slot(void **state)
{
    struct bench *b = *state;
    struct parcel stored = {0};
    struct parcel first = bench_parcel(1, 1, 1, 40, 1);
    struct parcel second = bench_parcel(1, 1, 41, 90, 2);
    struct parcel halved = bench_parcel(1, 1, 41, 90, 3);
    const struct parcel *pointer = &second;
    struct part_done done = {.uplink = 1, .stream = 1};
    struct buffer_write write = {
        .dones = &done, .done_count = 1, .parcels = &pointer, .parcel_count = 1};
    assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    bench_parcel_put(b, &first);
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 41);
    halved.parts[1].done = true;
    bench_parcel_put(b, &halved);
    bench_reopen(b);
    buffer_parcel_each(b->buffer, take_parcel, &stored);
    assert_memory_equal(&stored, &halved, sizeof halved);
}

static void collect_cursor(void *context, uint32_t key, struct slice value)
{
    struct out *o = context;
    out_put_format(o, "%u=%.*s;", key, (int)value.size, (const char *)value.data);
}

static void test_cursors_ride_with_events_and_survive_the_seal(void **state)
{
    struct bench *b = *state;
    uint16_t driver;
    uint16_t other;
    char text[200];
    assert_int_equal(buffer_driver_number(b->buffer, "lines", &driver, &b->why), ERR_OK);
    for (unsigned i = 0; i < 60; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "at%u", i); /* fits */
        struct cursor_change cursors[2] = {{driver, 3, slice_of_text(value)},
                                           {driver, 10 + i, slice_of_text(i % 2 ? "x" : "")}};
        struct buffer_write write = {.cursors = cursors, .cursor_count = 2};
        assert_int_equal(bench_commit(b, &write), ERR_OK);
        if (i % 7 == 0) {
            assert_int_equal(bench_append(b, 1, 400), ERR_OK);
        }
        if (i % 11 == 0) {
            bench_reopen(b);
        }
    }
    bench_reopen(b);
    struct out o = out_over(text, sizeof text);
    assert_int_equal(buffer_cursor_each(b->buffer, driver, collect_cursor, &o), ERR_OK);
    assert_true(slice_starts_with(out_slice(&o), SLICE("3=at59;11=x;13=x;15=x;")));
    assert_int_equal(buffer_driver_number(b->buffer, "post", &other, &b->why), ERR_OK);
    o.size = 0;
    assert_int_equal(buffer_cursor_each(b->buffer, other, collect_cursor, &o), ERR_OK);
    assert_int_equal(o.size, 0);
}

static void count_cursor(void *context, uint32_t key, struct slice value)
{
    (void)key;
    *(uint64_t *)context += value.size == 8;
}

/* More keys in one commit, and in many, than are remembered between seals. */
static void test_very_many_cursors(void **state)
{
    struct bench *b = *state;
    static struct cursor_change cursors[2000];
    uint16_t driver;
    assert_int_equal(buffer_driver_number(b->buffer, "ids", &driver, &b->why), ERR_OK);
    for (uint32_t commit = 0; commit < 6; commit++) {
        uint32_t count = commit ? 300 : 2000;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t key = commit * 2000 + i * 7;
            cursors[i] = (struct cursor_change){driver, key, SLICE("12345678")};
        }
        struct buffer_write write = {.cursors = cursors, .cursor_count = count};
        assert_int_equal(bench_commit(b, &write), ERR_OK);
    }
    bench_reopen(b);
    uint64_t found = 0;
    assert_int_equal(buffer_cursor_each(b->buffer, driver, count_cursor, &found), ERR_OK);
    assert_in_range(found, 2000, 2000 + 5 * 300);
}

static void collect_remote(void *context, uint16_t uplink, uint32_t schema, struct slice id)
{
    struct out *o = context;
    out_put_format(o, "%u/%u=%.*s;", uplink, schema, (int)id.size, (const char *)id.data);
}

/* Each uplink has a registry of its own. */
static void test_ids_of_registries_are_kept_per_uplink(void **state)
{
    struct bench *b = *state;
    char text[100];
    const struct remote_id remotes[] = {{1, 1, SLICE("aaaa")}, {2, 1, SLICE("0123456789abcdef")}};
    struct buffer_write write = {.remotes = remotes, .remote_count = 2};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    const struct remote_id newer = {1, 1, SLICE("bbbb")};
    write = (struct buffer_write){.remotes = &newer, .remote_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    bench_reopen(b);
    struct out o = out_over(text, sizeof text);
    assert_int_equal(buffer_remote_each(b->buffer, collect_remote, &o), ERR_OK);
    assert_true(slice_equal_text(out_slice(&o), "1/1=bbbb;2/1=0123456789abcdef;"));
}

static void time_is(struct bench *b, uint32_t boot, uint8_t trust, int64_t time_us)
{
    struct stored_event event = {.trust = TIME_BOOT, .boot = boot, .time_us = 1000};
    assert_true(buffer_time(b->buffer, &event));
    assert_int_equal(event.trust, trust);
    assert_int_equal(event.time_us, time_us);
}

/* Committed once, never revised. */
static void test_the_offset_of_a_boot_stays(void **state)
{
    struct bench *b = *state;
    struct stored_event event = {.trust = TIME_BOOT, .boot = 3, .time_us = 1000};
    struct boot_offset boots[] = {{3, -12345, false}, {4, 99, true}, {3, 777, false}};
    struct buffer_write write = {.boots = boots, .boot_count = 3};
    assert_false(buffer_time(b->buffer, &event));
    assert_int_equal(event.trust, TIME_BOOT);
    assert_int_equal(event.time_us, 1000);
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    bench_reopen(b);
    time_is(b, 3, TIME_LATER, 1000 - 12345);
    time_is(b, 4, TIME_ESTIMATE, 1000 + 99);
}

/* Its offset was lost with the state, or was put away for those of later boots. */
static void test_a_boot_before_one_that_is_known_is_forgotten(void **state)
{
    struct bench *b = *state;
    struct stored_event event = {.trust = TIME_BOOT, .boot = 6};
    struct boot_offset boots[] = {{5, 500000, false}, {3, 300000, false}};
    struct buffer_write write = {.boots = boots, .boot_count = 2};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    time_is(b, 2, TIME_ESTIMATE, 300000);
    time_is(b, 4, TIME_ESTIMATE, 500000);
    time_is(b, 5, TIME_LATER, 501000);
    assert_false(buffer_time(b->buffer, &event)); /* to come */
    event.trust = TIME_WALL;
    assert_true(buffer_time(b->buffer, &event));
    assert_int_equal(event.time_us, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_events_come_back_as_they_were),
        TEST(test_a_large_event),
        TEST(test_each_row_has_its_schema),
        TEST(test_parcels_survive_and_end_their_range),
        TEST(test_a_parcel_follows_another_in_its_slot),
        TEST(test_cursors_ride_with_events_and_survive_the_seal),
        TEST(test_very_many_cursors),
        TEST(test_ids_of_registries_are_kept_per_uplink),
        TEST(test_the_offset_of_a_boot_stays),
        TEST(test_a_boot_before_one_that_is_known_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
