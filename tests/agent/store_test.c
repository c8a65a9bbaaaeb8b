/* The store, over the real buffer: when a commit is due, that one batch fills while the other is
 * committed, and what a failure changes. */
#include "agent/store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ports/event.h"
#include "tests/agent/site.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

#define LOW 1
#define ALARM 2

struct heard {
    uint64_t commits[SITE_COMMIT_MAX];
    size_t commit_count;
    uint64_t mark; /* the highest that is on record */
    unsigned trouble, well;
    char why[512];
};

static void committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct heard *heard = context;
    assert_non_null(changes);
    heard->commits[heard->commit_count++] = commit;
}

static void recorded(void *context, uint64_t mark, const struct buffer_changes *changes)
{
    struct heard *heard = context;
    assert_non_null(changes);
    heard->mark = mark > heard->mark ? mark : heard->mark;
}

static void trouble(void *context, const struct why *why)
{
    struct heard *heard = context;
    heard->trouble += why != NULL;
    heard->well += why == NULL;
    if (why) {
        snprintf(heard->why, sizeof heard->why, "%s", why->text);
    }
}

static struct heard *heard_open(struct site *site)
{
    struct heard *heard = calloc(1, sizeof *heard);
    struct store_handler handler = {
        .committed = committed, .recorded = recorded, .trouble = trouble, .context = heard};
    assert_non_null(heard);
    assert_int_equal(store_handler_add(site->store, &handler), ERR_OK);
    return heard;
}

/* --- when --- */

/* An event with this wait is durable within it (and the job's time), and not before. */
static void expect_wait(struct site *site, int64_t wait_ms)
{
    size_t before = site->commit_count;
    uint64_t at_ms = sim_now_us() / 1000;
    site_put(site, LOW, 100, wait_ms);
    site_settle(site);
    assert_int_equal(site->commit_count, before + 1);
    assert_in_range(site_last(site)->at_ms, at_ms + (uint64_t)wait_ms,
                    at_ms + (uint64_t)wait_ms + 10);
}

static void a_commit_waits_as_long_as_its_events_may(void **state)
{
    struct site *site = *state;
    expect_wait(site, 5000);
    expect_wait(site, 250);
    expect_wait(site, 0);
}

static void the_most_urgent_event_decides(void **state)
{
    struct site *site = *state;
    site_put(site, LOW, 100, 5000);
    site_put(site, ALARM, 100, 250);
    site_put(site, LOW, 100, 4000);
    uint64_t at_ms = sim_now_us() / 1000;
    site_settle(site);
    assert_int_equal(site->commit_count, 1);
    assert_int_equal(site_last(site)->events, 3);
    assert_in_range(site_last(site)->at_ms, at_ms + 250, at_ms + 260);
}

static void a_full_batch_goes_at_once(void **state)
{
    struct site *site = *state;
    for (unsigned i = 0; i < 64; i++) {
        site_put(site, LOW, 1024, 5000);
    }
    sim_run_for(20);
    assert_int_equal(site->commit_count, 1);
    assert_int_equal(site_last(site)->events, 64);
    for (unsigned i = 0; i < WRITE_EVENT_MAX; i++) {
        site_put(site, LOW, 8, 5000);
    }
    sim_run_for(20);
    assert_int_equal(site->commit_count, 2);
    assert_in_range(site_last(site)->events, 2048, WRITE_EVENT_MAX);
    site_settle(site);
    assert_int_equal(site_stored(site, LOW, 1), 64 + WRITE_EVENT_MAX);
}

static void an_event_larger_than_a_batch_comes_alone(void **state)
{
    struct site *site = *state;
    site_put(site, LOW, 100, 5000);
    site_put(site, LOW, EVENT_SIZE_DEFAULT, 5000);
    sim_run_for(20);
    assert_int_equal(site->commit_count, 2);
    assert_int_equal(site->commits[0].events, 1);
    assert_int_equal(site->commits[1].events, 1);
    assert_int_equal(site_stored(site, LOW, 1), 2);
}

static void deliveries_ride_along(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    struct part_done done = {.uplink = 1, .stream = LOW};
    struct owed_end end = {.uplink = 2, .stream = LOW, .range = {1, 1}};
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    assert_int_equal(store_end_put(site->store, &end, &commit), ERR_OK);
    sim_run_for(SITE_COMMIT_MS - 100);
    assert_int_equal(site->commit_count, 0);
    site_settle(site);
    assert_int_equal(site->commit_count, 1);
    assert_int_equal(site_last(site)->dones, 1);
    assert_int_equal(site_last(site)->ends, 1);
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    site_put(site, LOW, 10, 0);
    sim_run_for(20);
    assert_int_equal(site->commit_count, 2); /* with the event */
    assert_int_equal(site_last(site)->dones, 1);
}

static void deliveries_go_at_once_when_the_file_is_nearly_full(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    struct part_done done = {.uplink = 1, .stream = LOW};
    site->is_tight = true;
    site_put(site, LOW, 10, 0);
    site_settle(site);
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    sim_run_for(20);
    assert_int_equal(site->commit_count, 2);
}

static void parcels_and_offsets_go_at_once_and_ids_ride_along(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    struct parcel parcel = site_parcel(LOW);
    struct boot_offset boot = {.boot = 1, .offset_us = 5};
    struct remote_id remote = {.uplink = 1, .schema = 1, .id = SLICE("1234")};
    assert_int_equal(store_parcel_put(site->store, &parcel, &commit), ERR_OK);
    sim_run_for(20);
    assert_int_equal(store_committed(site->store), commit);
    assert_int_equal(site_last(site)->parcels, 1);
    assert_int_equal(store_boot_put(site->store, &boot, &commit), ERR_OK);
    sim_run_for(20);
    assert_int_equal(store_committed(site->store), commit);
    assert_int_equal(site_last(site)->boots, 1);
    assert_int_equal(store_remote_put(site->store, &remote, &commit), ERR_OK);
    sim_run_for(SITE_COMMIT_MS - 100);
    assert_int_equal(store_committed(site->store), commit - 1);
    site_settle(site);
    assert_int_equal(site_last(site)->remotes, 1);
}

static void a_stop_commits_at_once(void **state)
{
    struct site *site = *state;
    site_put(site, LOW, 10, 5000);
    store_commit_now(site->store);
    assert_false(store_is_idle(site->store));
    sim_run_for(20);
    assert_true(store_is_idle(site->store));
    store_commit_now(site->store); /* nothing to commit: no commit */
    sim_run_for(20);
    assert_int_equal(site->commit_count, 1);
}

/* --- two batches --- */

static void one_batch_fills_while_the_other_is_committed(void **state)
{
    struct site *site = *state;
    struct heard *heard = heard_open(site);
    assert_int_equal(site_put(site, LOW, 10, 0), 1);
    store_commit_now(site->store);
    assert_int_equal(site_put(site, LOW, 10, 0), 2);
    assert_int_equal(site_put(site, ALARM, 10, 5000), 2);
    store_commit_now(site->store); /* the other is under way: this one follows it */
    assert_int_equal(site_put(site, LOW, 10, 5000), 2);
    site_settle(site);
    assert_int_equal(heard->commit_count, 2);
    assert_int_equal(heard->commits[0], 1);
    assert_int_equal(heard->commits[1], 2);
    assert_int_equal(site->commits[0].events, 1);
    assert_int_equal(site->commits[1].events, 3);
    assert_int_equal(site_stored(site, LOW, 1), 3);
    assert_int_equal(site_stored(site, ALARM, 1), 1);
    free(heard);
}

static void when_both_batches_are_full_sources_wait(void **state)
{
    struct site *site = *state;
    site_put(site, LOW, WRITE_SIZE_MAX, 5000);
    assert_int_equal(store_room(site->store, LOW, 100), ERR_OK);
    site_put(site, LOW, WRITE_SIZE_MAX - 50, 5000);
    assert_int_equal(store_room(site->store, LOW, 100), ERR_FULL);
    assert_int_equal(store_open_room(site->store, 100), ERR_FULL);
    assert_int_equal(store_room(site->store, LOW, 50), ERR_OK);
    sim_run_for(20);
    assert_int_equal(store_room(site->store, LOW, 100), ERR_OK);
    assert_int_equal(store_open_room(site->store, 100), ERR_OK); /* sends off the full one */
    site_settle(site);
    assert_int_equal(site_stored(site, LOW, 1), 2);
}

struct asides_found {
    size_t count;
    char texts[256];
};

static void aside_found(void *context, int64_t id, const struct aside *aside)
{
    struct asides_found *found = context;
    size_t used = strlen(found->texts);
    (void)id;
    found->count++;
    (void)snprintf(found->texts + used, sizeof found->texts - used, "%.*s %.*s %.*s;",
                   (int)aside->source.size, (const char *)aside->source.data,
                   (int)aside->reason.size, (const char *)aside->reason.data, (int)aside->body.size,
                   (const char *)aside->body.data); /* cut is seen */
}

/* --- failures --- */

/* An event that can't be packed smaller. */
static void put_noise(struct site *site, size_t size)
{
    static uint8_t bytes[65536];
    uint64_t commit;
    uint64_t sequence;
    struct stored_event event = {.stream = ALARM,
                                 .schema = site->schemas[ALARM - 1],
                                 .time_us = 1,
                                 .trust = TIME_WALL,
                                 .datum = {bytes, size}};
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)sim_random();
    }
    assert_int_equal(store_open_room(site->store, size), ERR_OK);
    store_event_put(site->store, &event, 0, &commit, &sequence);
}

/* Others fill the disk: no commit fails, but there is no room; and nothing but the store's own look
 * finds out that there is room again, because without room nothing is committed. */
static void a_disk_that_has_room_again_is_found_without_a_commit(void **state)
{
    struct site *site = *state;
    struct heard *heard = heard_open(site);
    struct crash_counts counts;
    site_put(site, ALARM, 100, 0);
    sim_run_for(20);
    crash_vfs_counts(site->disk, &counts);
    crash_vfs_disk_size_set(site->disk, counts.size);
    assert_string_equal(store_trouble(site->store), "");
    for (unsigned i = 0; store_room(site->store, ALARM, 30000) == ERR_OK; i++) {
        assert_true(i < 400);
        put_noise(site, 30000);
        sim_run_for(20);
    }
    assert_non_null(strstr(store_trouble(site->store), "the disk is full"));
    assert_int_equal(heard->trouble, 0); /* all of them are stored */
    size_t commits = site->commit_count;
    size_t told = heard->commit_count;
    sim_run_for(3 * SITE_RETRY_MS);
    assert_int_equal(store_room(site->store, ALARM, 30000), ERR_FULL);
    crash_vfs_disk_size_set(site->disk, UINT64_MAX);
    sim_run_for(SITE_RETRY_MS + 20);
    assert_int_equal(store_room(site->store, ALARM, 30000), ERR_OK);
    assert_string_equal(store_trouble(site->store), "");
    assert_int_equal(site->commit_count, commits);
    assert_int_equal(heard->commit_count, told + 1); /* whoever was refused may offer again */
    free(heard);
}

/* When the disk has taken nothing for some time, what is delivered is on record in memory: in the order
 * in which it was put, and never without the set-aside event that it goes with. */
static void deliveries_are_on_record_without_a_disk(void **state)
{
    struct site *site = *state;
    struct heard *heard = heard_open(site);
    struct cursor_change cursor = {.driver = 3, .key = 1, .value = SLICE("here")};
    struct owed_end ends[3] = {{1, LOW, {1, 1}}, {1, LOW, {2, 2}}, {1, LOW, {3, 3}}};
    struct aside aside = {.kind = ASIDE_DATUM, .stream = LOW, .sequence = 3, .uplink = 1};
    uint64_t commit;
    uint64_t mark;
    for (unsigned i = 0; i < 4; i++) {
        site_put(site, LOW, 10, 0);
    }
    site_settle(site);
    site->fail_with = ERR_READONLY;
    site->fail_count = 1000;
    assert_int_equal(store_cursor_put(site->store, &cursor, 0, &commit), ERR_OK);
    sim_run_for(20);
    assert_int_equal(store_end_put(site->store, &ends[0], &mark), ERR_OK);
    sim_run_for(SITE_RETRY_MS);
    assert_true(heard->mark < mark); /* a moment's trouble changes nothing */
    sim_run_for(SITE_RETRY_MS + 20);
    assert_int_equal(heard->mark, mark);
    assert_int_equal(store_unsaved(site->store), 1);
    assert_int_equal(store_state(site->store)->streams[LOW].event_count,
                     4); /* the other uplink's */
    uint64_t before = mark;
    assert_int_equal(store_end_put(site->store, &ends[1], &mark), ERR_OK);
    assert_true(mark > before);
    sim_run_for(20); /* from now on at once */
    assert_int_equal(heard->mark, mark);
    before = mark;
    assert_int_equal(store_aside_put(site->store, &aside, 0, &commit), ERR_OK);
    assert_int_equal(store_end_put(site->store, &ends[2], &mark), ERR_OK);
    sim_run_for(3 * SITE_RETRY_MS);
    assert_int_equal(heard->mark, before);
    assert_int_equal(store_unsaved(site->store), 2);
    site->fail_count = 0;
    sim_run_for(SITE_RETRY_MS + 20);
    site_settle(site);
    assert_int_equal(heard->mark, mark);
    assert_int_equal(store_unsaved(site->store), 0);
    assert_int_equal(site_last(site)->asides, 1);
    assert_int_equal(site_last(site)->ends, 1);
    free(heard);
}

/* Deliveries that can't be kept in memory keep nothing from being stored when the disk is back, and
 * are with the commit that is. */
static void deliveries_that_can_not_be_kept_go_with_the_commit(void **state)
{
    struct site *site = *state;
    struct heard *heard = heard_open(site);
    struct cursor_change cursor = {.driver = 3, .key = 1, .value = SLICE("here")};
    struct owed_end end = {1, LOW, {1, 1}};
    struct parcel parcel = site_parcel(ALARM);
    uint64_t commit;
    uint64_t mark;
    site_put(site, LOW, 10, 0);
    site_put(site, ALARM, 10, 0);
    site_settle(site);
    site->fail_with = ERR_IO;
    site->fail_count = 1000;
    site->keep_fail_count = UINT_MAX;
    assert_int_equal(store_cursor_put(site->store, &cursor, 0, &commit), ERR_OK);
    sim_run_for(20);
    assert_int_equal(store_end_put(site->store, &end, &mark), ERR_OK);
    assert_int_equal(store_parcel_put(site->store, &parcel, &mark), ERR_OK);
    sim_run_for(5 * SITE_RETRY_MS);
    assert_true(heard->mark < mark);
    assert_int_equal(store_unsaved(site->store), 0);
    site->fail_count = 0;
    sim_run_for(2 * SITE_RETRY_MS);
    site_settle(site);
    assert_true(heard->mark >= mark);
    assert_string_equal(store_trouble(site->store), "");
    assert_int_equal(store_state(site->store)->streams[LOW].event_count, 1); /* the other's */
    assert_true(site->keep_fail_count < UINT_MAX);
    free(heard);
}

/* What is wrong is said again only when it is something else. */
static void another_trouble_is_said(void **state)
{
    struct site *site = *state;
    struct heard *heard = heard_open(site);
    struct crash_fault fault = {.op = CRASH_OP_WRITE, .nth = 1, .repeat = UINT64_MAX};
    crash_vfs_fault_set(site->disk, &fault, 1);
    site_put(site, LOW, 10, 0);
    sim_run_for(3 * SITE_RETRY_MS);
    assert_int_equal(heard->trouble, 1);
    assert_non_null(strstr(store_trouble(site->store), "the disk fails"));
    crash_vfs_fault_clear(site->disk);
    crash_vfs_read_only_set(site->disk, true);
    sim_run_for(3 * SITE_RETRY_MS);
    assert_int_equal(heard->trouble, 2);
    assert_non_null(strstr(store_trouble(site->store), "the file system is read-only"));
    crash_vfs_read_only_set(site->disk, false);
    sim_run_for(SITE_RETRY_MS + 20);
    assert_int_equal(heard->well, 1);
    assert_string_equal(store_trouble(site->store), "");
    free(heard);
}

static void a_failed_commit_is_tried_again_with_the_same_content(void **state)
{
    struct site *site = *state;
    struct heard *heard = heard_open(site);
    uint64_t commit;
    struct cursor_change cursor = {.driver = 3, .key = 1, .value = SLICE("here")};
    site->fail_count = 3;
    assert_int_equal(store_cursor_put(site->store, &cursor, 0, &commit), ERR_OK);
    site_put(site, LOW, 10, 0);
    site_put(site, ALARM, 20, 0);
    sim_run_for(20);
    assert_int_equal(heard->trouble, 1);
    assert_non_null(strstr(heard->why, "the test asked for"));
    assert_int_equal(store_room(site->store, LOW, 1), ERR_FULL);
    assert_int_equal(heard->commit_count, 0);
    sim_run_for(2 * SITE_RETRY_MS);
    assert_int_equal(site->commit_count, 3);
    assert_int_equal(heard->trouble, 1); /* said once */
    sim_run_for(SITE_RETRY_MS);
    assert_int_equal(site->commit_count, 4);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(site->commits[i].hash, site->commits[0].hash);
        assert_int_equal(site->commits[i].events, 2);
        assert_int_equal(site->commits[i].cursors, 1);
        assert_in_range(site->commits[i].at_ms - site->commits[i - 1].at_ms, SITE_RETRY_MS,
                        SITE_RETRY_MS + 10);
    }
    assert_int_equal(heard->well, 1);
    assert_int_equal(heard->commit_count, 1);
    assert_int_equal(heard->commits[0], commit);
    assert_int_equal(store_room(site->store, LOW, 1), ERR_OK);
    assert_int_equal(site_stored(site, LOW, 1), 1);
    assert_int_equal(site_stored(site, ALARM, 1), 1);
    free(heard);
}

static void what_was_put_behind_a_failed_commit_is_committed_behind_it(void **state)
{
    struct site *site = *state;
    site->fail_count = 1;
    site_put(site, LOW, 10, 0);
    site_put(site, LOW, 10, 0);
    store_commit_now(site->store);
    site_put(site, ALARM, 10, 0);
    sim_run_for(20);
    assert_int_equal(site->commit_count, 1);
    site_settle(site);
    assert_int_equal(site->commit_count, 3);
    assert_int_equal(site->commits[1].events, 2);
    assert_int_equal(site->commits[2].events, 1);
    assert_int_equal(site_stored(site, LOW, 1), 2);
    assert_int_equal(site_stored(site, ALARM, 1), 1);
}

/* What makes room goes with a commit that found none. */
static void deliveries_join_a_commit_that_failed(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    struct part_done done = {.uplink = 1, .stream = LOW};
    struct owed_end end = {.uplink = 1, .stream = LOW, .range = {1, 1}};
    site->fail_count = 1;
    site_put(site, LOW, 10, 0);
    sim_run_for(20);
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    assert_int_equal(store_end_put(site->store, &end, &commit), ERR_OK);
    sim_run_for(SITE_RETRY_MS);
    assert_int_equal(site->commit_count, 2);
    assert_int_equal(site->commits[1].dones, 1);
    assert_int_equal(site->commits[1].ends, 1);
    site_settle(site);
    assert_int_equal(store_committed(site->store), commit);
}

/* What is said of a parcel comes behind it; parcels of other streams do not matter. */
static void a_delivery_does_not_go_past_its_parcel(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    struct parcel parcel = site_parcel(LOW);
    struct part_done done = {.uplink = 1, .stream = LOW};
    site->fail_count = 1;
    assert_int_equal(store_parcel_put(site->store, &parcel, &commit), ERR_OK);
    sim_run_for(20);
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    sim_run_for(SITE_RETRY_MS);
    assert_int_equal(site->commits[1].parcels, 1);
    assert_int_equal(site->commits[1].dones, 0);
    site_settle(site);
    assert_int_equal(site->commits[2].dones, 1);
    site->fail_count = 1;
    parcel.stream = ALARM;
    assert_int_equal(store_parcel_put(site->store, &parcel, &commit), ERR_OK);
    sim_run_for(20);
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    sim_run_for(SITE_RETRY_MS);
    assert_int_equal(site->commits[4].dones, 1);
    site_settle(site);
}

/* A set-aside event and the word that its range has ended are in one commit: else a crash between
 * them would lose the event. What intake set aside stays with its cursor. */
static void an_end_does_not_leave_its_set_aside_event(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    struct part_done done = {.uplink = 2, .stream = LOW};
    struct owed_end end = {.uplink = 1, .stream = LOW, .range = {1, 1}};
    struct aside refused = {.stream = LOW,
                            .sequence = 1,
                            .kind = ASIDE_DATUM,
                            .uplink = 1,
                            .source = SLICE("cloud"),
                            .reason = SLICE("bad"),
                            .body = SLICE("body")};
    struct aside payload = {.stream = LOW, .kind = ASIDE_PAYLOAD, .reason = SLICE("not JSON")};
    struct cursor_change cursor = {.driver = 3, .key = 1, .value = SLICE("here")};
    site->fail_count = 1;
    site_put(site, LOW, 10, 0);
    sim_run_for(20);
    assert_int_equal(store_aside_put(site->store, &payload, 0, &commit), ERR_OK);
    assert_int_equal(store_cursor_put(site->store, &cursor, 0, &commit), ERR_OK);
    assert_int_equal(store_aside_put(site->store, &refused, 0, &commit), ERR_OK);
    assert_int_equal(store_end_put(site->store, &end, &commit), ERR_OK);
    assert_int_equal(store_done_put(site->store, &done, &commit), ERR_OK);
    site_settle(site);
    assert_int_equal(site->commit_count, 3);
    assert_int_equal(site->commits[1].asides, 1);
    assert_int_equal(site->commits[1].ends, 1);
    assert_int_equal(site->commits[1].dones, 1);
    assert_int_equal(site->commits[2].asides, 1);
    assert_int_equal(site->commits[2].cursors, 1);
    struct asides_found found = {0};
    struct why why;
    assert_int_equal(buffer_aside_each(site->buffer, 0, 10, aside_found, &found, &why), ERR_OK);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.texts, "cloud bad body; not JSON ;");
}

/* There is no place for the set-aside events: then their ends stay as well. */
static void ends_stay_with_set_aside_events_that_find_no_place(void **state)
{
    struct site *site = *state;
    uint64_t commit;
    uint8_t *body = calloc(1, ASIDE_BODY_SIZE_MAX);
    struct owed_end end = {.uplink = 1, .stream = LOW, .range = {1, 1}};
    struct aside aside = {.stream = LOW, .kind = ASIDE_DATUM, .body = {body, ASIDE_BODY_SIZE_MAX}};
    site->fail_count = 1;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(store_aside_put(site->store, &aside, 0, &commit), ERR_OK);
    }
    sim_run_for(20);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(store_aside_put(site->store, &aside, 0, &commit), ERR_OK);
        assert_int_equal(store_end_put(site->store, &end, &commit), ERR_OK);
    }
    site_settle(site);
    assert_int_equal(site->commits[1].asides, 3);
    assert_int_equal(site->commits[1].ends, 0);
    assert_int_equal(site->commits[2].asides, 2);
    assert_int_equal(site->commits[2].ends, 2);
    free(body);
}

/* Orders go at once, more than one commit takes in two, and what they came to is known then. */
static void orders_go_at_once(void **state)
{
    struct site *site = *state;
    struct buffer_order orders[100];
    uint64_t commit = 0;
    for (unsigned i = 0; i < 110; i++) {
        site_put(site, LOW, 100, 0);
    }
    site_settle(site);
    size_t before = site->commit_count;
    size_t put = 0;
    site->fail_count = 1; /* tried again with the same orders */
    while (put < ARRAY_COUNT(orders)) {
        orders[put] =
            (struct buffer_order){.kind = ORDER_DROP, .stream = LOW, .range = {1 + put, 1 + put}};
        if (store_order_put(site->store, &orders[put], &commit)) {
            sim_run_for(20);
            continue;
        }
        put++;
        if (put == 1) {
            sim_run_for(20);
        }
        assert_true(sim_now_us() < UINT64_C(3600000000));
        if (put % 64 == 0) {
            sim_run_for(SITE_RETRY_MS + 20);
        }
    }
    site_settle(site);
    assert_true(site->commit_count >= before + 3);
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        assert_int_equal(orders[i].count, 1);
    }
    assert_int_equal(store_state(site->store)->streams[LOW].dropped_count, 100);
    assert_int_equal(store_state(site->store)->streams[LOW].event_count, 10);
}

/* Events that are to be in one commit with their cursor are, whatever the open batch has already. */
static void a_run_of_events_is_one_commit(void **state)
{
    struct site *site = *state;
    uint64_t sequence;
    uint8_t datum[60] = {0};
    for (unsigned already = 0; already < 5000; already += 700) {
        uint64_t first = 0;
        uint64_t last = 0;
        struct stored_event event = {.stream = LOW,
                                     .schema = site->schemas[0],
                                     .trust = TIME_WALL,
                                     .datum = {datum, sizeof datum}};
        struct cursor_change cursor = {9, 1, SLICE("here")};
        for (unsigned i = 0; i < already && store_room(site->store, ALARM, 10) == ERR_OK &&
                             store_open_room(site->store, 10) == ERR_OK;
             i++) {
            site_put(site, ALARM, 10, 5000);
        }
        while (store_run_room(site->store, LOW, 1000 * sizeof datum, 1000)) {
            sim_run_for(5);
        }
        assert_int_equal(store_cursor_put(site->store, &cursor, 0, &first), ERR_OK);
        for (unsigned i = 0; i < 1000; i++) {
            store_event_put(site->store, &event, 0, &last, &sequence);
            assert_int_equal(first, last);
        }
        site_settle(site);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_commit_waits_as_long_as_its_events_may),
        TEST(the_most_urgent_event_decides),
        TEST(a_full_batch_goes_at_once),
        TEST(an_event_larger_than_a_batch_comes_alone),
        TEST(deliveries_ride_along),
        TEST(deliveries_go_at_once_when_the_file_is_nearly_full),
        TEST(parcels_and_offsets_go_at_once_and_ids_ride_along),
        TEST(a_stop_commits_at_once),
        TEST(one_batch_fills_while_the_other_is_committed),
        TEST(when_both_batches_are_full_sources_wait),
        TEST(a_disk_that_has_room_again_is_found_without_a_commit),
        TEST(another_trouble_is_said),
        TEST(deliveries_are_on_record_without_a_disk),
        TEST(deliveries_that_can_not_be_kept_go_with_the_commit),
        TEST(a_failed_commit_is_tried_again_with_the_same_content),
        TEST(what_was_put_behind_a_failed_commit_is_committed_behind_it),
        TEST(deliveries_join_a_commit_that_failed),
        TEST(a_delivery_does_not_go_past_its_parcel),
        TEST(an_end_does_not_leave_its_set_aside_event),
        TEST(ends_stay_with_set_aside_events_that_find_no_place),
        TEST(orders_go_at_once),
        TEST(a_run_of_events_is_one_commit),
    };
    return cmocka_run_group_tests_name("agent/store", tests, NULL, NULL);
}
