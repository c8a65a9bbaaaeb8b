/* What a batch of the store holds: in which order, how much of each kind, and that the fullest is
 * taken by the buffer. */
#include "agent/store.h"

#include <stdlib.h>
#include <string.h>

#include "ports/event.h"
#include "tests/agent/site.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

#define LOW 1
#define ALARM 2

/* --- order and bounds --- */

static void a_done_of_a_parcel_follows_it(void **state)
{
    struct site *site = *state;
    uint64_t commit_parcel;
    uint64_t commit;
    struct parcel parcel = site_parcel(LOW);
    struct part_done done = {.uplink = 1, .stream = LOW};
    assert_int_equal(store_parcel_put(site->store, &parcel, &commit_parcel), ERR_OK);
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    assert_int_equal(commit, commit_parcel + 1);
    parcel.stream = ALARM;
    assert_int_equal(store_parcel_put(site->store, &parcel, &commit_parcel), ERR_OK);
    done.stream = ALARM;
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_FULL);
    done.stream = LOW; /* another slot */
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    site_settle(site);
}

/* Puts until it is refused, with a commit under way all the time. */
#define FILL(put) \
    do { \
        count = 0; \
        site_put(site, LOW, 10, 0); \
        store_commit_now(site->store); \
        while ((put) == ERR_OK) { \
            count++; \
            assert_true(count < 100000); \
        } \
        site_settle(site); \
    } while (0)

static void every_kind_has_its_bound_and_nothing_is_lost(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    size_t count;
    struct part_done done = {.uplink = 1, .stream = LOW};
    FILL(store_done_put(site->store, &done, &commit));
    assert_int_equal(count, 256);
    assert_int_equal(site_last(site)->dones, 256);
    struct owed_end end = {.uplink = 1, .stream = LOW, .range = {9, 9}};
    FILL(store_end_put(site->store, &end, &commit));
    assert_int_equal(count, 256);
    assert_int_equal(site_last(site)->ends, 256);
    struct parcel parcel = site_parcel(LOW);
    FILL(store_parcel_put(site->store, &parcel, &commit));
    assert_int_equal(count, 32);
    assert_int_equal(site_last(site)->parcels, 32);
    struct remote_id remote = {.uplink = 1, .schema = 1, .id = SLICE("1234")};
    FILL(store_remote_put(site->store, &remote, &commit));
    assert_int_equal(count, 64);
    assert_int_equal(site_last(site)->remotes, 64);
    struct boot_offset boot = {.boot = 1, .offset_us = 5};
    FILL(store_boot_put(site->store, &boot, &commit));
    assert_int_equal(count, 4);
    assert_int_equal(site_last(site)->boots, 4);
    struct aside aside = {.stream = LOW, .reason = SLICE("bad"), .body = SLICE("body")};
    FILL(store_aside_put(site->store, &aside, 0, &commit));
    assert_int_equal(count, 64);
    assert_int_equal(site_last(site)->asides, 64);
    assert_int_equal(store_state(site->store)->aside_count, 64);
}

static void cursors_are_bounded_by_number_and_by_bytes(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    size_t count;
    uint8_t bytes[CURSOR_SIZE_MAX] = {1};
    struct cursor_change cursor = {.driver = 3, .value = {bytes, CURSOR_SIZE_MAX}};
    FILL((cursor.key++, store_cursor_put(site->store, &cursor, 0, &commit)));
    assert_in_range(count, 40, 64);
    assert_int_equal(site_last(site)->cursors, count);
    cursor.value.size = 1;
    FILL((cursor.key++, store_cursor_put(site->store, &cursor, 0, &commit)));
    assert_in_range(count, 1000, WRITE_EVENT_MAX);
    assert_int_equal(site_last(site)->cursors, count);
}

/* What a batch may hold together is what the buffer takes: else the same commit would be tried for
 * ever. */
static void the_fullest_batch_is_taken(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    size_t count;
    uint8_t bytes[CURSOR_SIZE_MAX] = {1};
    struct cursor_change cursor = {.driver = 3, .value = {bytes, 40}};
    struct part_done done = {.uplink = 60000, .stream = 200, .lane = 1, .part = 31};
    struct owed_end end = {.uplink = 60000, .stream = 200, .range = {1ULL << 40, 1ULL << 41}};
    struct parcel *parcel = calloc(1, sizeof *parcel);
    *parcel = (struct parcel){.uplink = 1,
                              .stream = LOW,
                              .layout = LAYOUT_ROWS,
                              .range = {1, 1ULL << 40},
                              .partition_count = 1,
                              .part_count = PARCEL_PART_MAX};
    memset(parcel->target, 't', TARGET_NAME_SIZE_MAX - 1);
    memset(parcel->cluster_id, 'c', CLUSTER_ID_SIZE_MAX - 1);
    for (size_t i = 0; i < PARCEL_PART_MAX; i++) {
        parcel->parts[i] = (struct part){.partition = INT32_MAX,
                                         .first = 1,
                                         .last = 1ULL << 40,
                                         .record_count = INT32_MAX,
                                         .events_per_record = INT32_MAX,
                                         .producer_id = INT64_MAX,
                                         .producer_epoch = INT32_MAX,
                                         .base_sequence = INT64_MAX,
                                         .sent_ms = INT64_MAX,
                                         .stamp = PART_STAMP_EVENT};
    }
    site_put(site, LOW, 16, 0);
    store_commit_now(site->store);
    while (!store_done_put(site->store, &done, &commit)) {
    }
    while (!store_end_put(site->store, &end, &commit)) {
    }
    while (!store_parcel_put(site->store, parcel, &commit)) {
    }
    for (count = 0; !store_room(site->store, LOW, 16) && !store_open_room(site->store, 16);
         count++) {
        site_put(site, LOW, 16, 5000);
        cursor.key++;
        assert_int_equal(store_cursor_put(site->store, &cursor, 5000, &commit), ERR_OK);
    }
    site_settle(site);
    assert_true(count > 500);
    assert_int_equal(site->commit_count, 2);
    assert_int_equal(site_last(site)->e, ERR_OK);
    assert_int_equal(site_last(site)->dones, 256);
    assert_int_equal(site_stored(site, LOW, 1), count + 1);
    /* And with the largest datums that go together. */
    for (unsigned i = 0; i < 65; i++) {
        site_put(site, LOW, 1000, 5000);
    }
    while (!store_parcel_put(site->store, parcel, &commit)) {
    }
    do {
        cursor.key++;
    } while (!store_cursor_put(site->store, &cursor, 5000, &commit));
    site_settle(site);
    assert_int_equal(site_last(site)->e, ERR_OK);
    free(parcel);
}

static void large_set_aside_events_are_bounded_by_bytes(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    size_t count;
    uint8_t *body = calloc(1, ASIDE_BODY_SIZE_MAX);
    struct aside aside = {
        .stream = LOW, .reason = SLICE("bad"), .body = {body, ASIDE_BODY_SIZE_MAX}};
    FILL(store_aside_put(site->store, &aside, 0, &commit));
    assert_in_range(count, 2, 4);
    assert_int_equal(site_last(site)->asides, count);
    free(body);
}

static void the_last_word_on_a_cursor_counts(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    struct cursor_change cursor = {.driver = 3, .key = 1, .value = SLICE("1234")};
    assert_int_equal(store_cursor_put(site->store, &cursor, 5000, &commit), ERR_OK);
    uint64_t first = commit;
    cursor.value = SLICE("5678");
    assert_int_equal(store_cursor_put(site->store, &cursor, 250, &commit), ERR_OK);
    assert_int_equal(commit, first);
    sim_run_for(300); /* the shorter wait counts as well */
    assert_int_equal(site->commit_count, 1);
    assert_int_equal(site_last(site)->cursors, 1);
    cursor.value = SLICE("longer");
    assert_int_equal(store_cursor_put(site->store, &cursor, 0, &commit), ERR_OK);
    cursor.key = 2;
    cursor.value = SLICE("abcdef");
    assert_int_equal(store_cursor_put(site->store, &cursor, 0, &commit), ERR_OK);
    site_settle(site);
    assert_int_equal(site_last(site)->cursors, 2);
}

static void events_of_a_stream_stand_together(void **state)
{
    struct site *site = *state;
    for (unsigned i = 0; i < 50; i++) {
        site_put(site, i % 2 ? ALARM : LOW, 20, 5000);
    }
    site_settle(site);
    assert_int_equal(site->commit_count, 1);
    assert_int_equal(site_stored(site, LOW, 1), 25); /* each is checked against its sequence */
    assert_int_equal(site_stored(site, ALARM, 1), 25);
}

/* --- gaps --- */

static void a_gap_is_told_only_in_the_commit_that_follows(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    assert_int_equal(store_gap_room(site->store, 100), ERR_OK);
    site_put(site, LOW, 10, 0);
    store_commit_now(site->store);
    assert_int_equal(store_gap_room(site->store, 100), ERR_FULL); /* one is between */
    site_settle(site);
    for (unsigned i = 0; i < 65; i++) {
        site_put(site, LOW, 1000, 5000);
    }
    assert_int_equal(store_gap_room(site->store, 400), ERR_OK); /* kept free */
    for (uint32_t i = 0; i < 10; i++) {
        struct stored_event event = {.stream = ALARM,
                                     .schema = site->schemas[1],
                                     .trust = TIME_WALL,
                                     .datum = {(const uint8_t *)"0123456789", 10}};
        uint64_t sequence;
        uint64_t told;
        assert_int_equal(store_gap_room(site->store, 10), ERR_OK);
        assert_int_equal(store_gap_told_put(site->store, i, &told), ERR_OK);
        store_event_put(site->store, &event, 5000, &commit, &sequence);
        assert_int_equal(told, commit);
    }
    site_settle(site);
    assert_int_equal(site_last(site)->told, 10);
    assert_int_equal(site_last(site)->events, 75);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_done_of_a_parcel_follows_it),
        TEST(every_kind_has_its_bound_and_nothing_is_lost),
        TEST(cursors_are_bounded_by_number_and_by_bytes),
        TEST(the_fullest_batch_is_taken),
        TEST(large_set_aside_events_are_bounded_by_bytes),
        TEST(the_last_word_on_a_cursor_counts),
        TEST(events_of_a_stream_stand_together),
        TEST(a_gap_is_told_only_in_the_commit_that_follows),
    };
    return cmocka_run_group_tests_name("agent/store, bounds", tests, NULL, NULL);
}
