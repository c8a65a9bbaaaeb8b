/* Forward between the real store and a double of an uplink: what is sent when, in which order, how
 * large, and how it stops. Each batch is checked by the double: its record is committed before it is
 * sent. */
#include "agent/forward.h"

#include <stdlib.h>
#include <string.h>

#include "agent/flow.h"
#include "agent/pack.h"
#include "tests/agent/scene.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

static void everything_arrives_once(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].partition_count = 4;
    scene_begin(scene);
    scene_put(scene, LOW, 3000);
    scene_put(scene, ALARM, 500);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 3000);
    scene_expect_once(scene, 0, ALARM, 1, 500);
    assert_int_equal(forward_delivered(scene->forward), 3500);
    assert_int_equal(scene->scripts[0].arrived_count, 3500);
    assert_non_null(strstr(scene_status(scene), "\"cloud\":{\"type\":\"double\",\"sent\":3500,"));
    assert_non_null(strstr(scene_status(scene), "\"in_flight\":0,"));
}

/* One parcel a lane: of one stream and partition at most one batch is lent, of one stream at most
 * one for each partition. */
static void one_batch_a_partition_is_lent(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].holds = true;
    scene->scripts[0].partition_count = 3;
    scene_begin(scene);
    scene_put(scene, LOW, 2000);
    scene_put(scene, ALARM, 2000);
    sim_run_for(30000);
    assert_int_equal(double_lent(&scene->scripts[0]), 6);
    assert_int_equal(scene->scripts[0].lent_most, 1);
    scene->scripts[0].holds = false;
    while (double_lent(&scene->scripts[0]) > 0) {
        double_answer(&scene->scripts[0], SEND_OK, 0);
    }
    assert_true(scene_drained(scene, 0, 60000));
    assert_int_equal(scene->scripts[0].lent_most, 1);
    scene_expect_once(scene, 0, LOW, 1, 2000);
    scene_expect_once(scene, 0, ALARM, 1, 2000);
}

static void the_higher_priority_goes_first(void **state)
{
    struct scene *scene = *state;
    scene_begin(scene);
    scene->scripts[0].target_error = ERR_AGAIN;
    scene_put(scene, LOW, 1000);
    scene_put(scene, ALARM, 10);
    sim_run_for(100);
    assert_int_equal(scene->scripts[0].sent_count, 0);
    scene->scripts[0].target_error = ERR_OK;
    uplink_ready(scene->scripts[0].host);
    sim_run_for(200);
    assert_int_equal(scene->scripts[0].sent[0].stream, ALARM);
    assert_int_equal(scene->scripts[0].sent[0].lane, 9);
    /* In the midst of a backlog: at most what is lent already goes before. */
    size_t before = scene->scripts[0].sent_count;
    assert_true(scene_owed(scene, 0, LOW) > 0);
    scene_put(scene, ALARM, 1);
    sim_run_for(100);
    size_t place = before;
    while (place < scene->scripts[0].sent_count && scene->scripts[0].sent[place].stream != ALARM) {
        place++;
    }
    assert_in_range(place - before, 0, 3);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 1000);
}

/* At most 10 s of link time; 2 s where something of another priority shares the link. */
static void expect_link_time(struct scene *scene, uint64_t seconds)
{
    struct double_script *script = &scene->scripts[0];
    script->rate = 8000; /* 64 kbit/s */
    script->answer_ms = 0;
    scene_begin(scene);
    scene_put(scene, LOW, 4000);
    assert_true(scene_drained(scene, 0, 1000000));
    assert_true(script->sent_count >= 6);
    assert_in_range(script->sent[0].size, 1, LINK_REQUEST_SIZE_START * 6 / 5);
    for (size_t i = 1; i < script->sent_count; i++) {
        assert_in_range(script->sent[i].size, 1, 8000 * seconds * 6 / 5);
    }
    assert_in_range(script->sent[3].size, 8000 * seconds * 2 / 3, 8000 * seconds * 6 / 5);
    scene_expect_once(scene, 0, LOW, 1, 4000);
}

static void a_request_keeps_to_the_rate_of_the_link(void **state)
{
    struct scene *scene = *state;
    scene->uplinks[0].stream_set[1] = false;
    scene->site->setup->streams[1].uplinks = 0;
    expect_link_time(scene, 10);
}

static void a_request_on_a_shared_link_is_shorter(void **state)
{
    expect_link_time(*state, 2);
}

static void a_request_keeps_to_what_the_destination_takes(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].request_size_max = 1000;
    scene_begin(scene);
    scene_put(scene, LOW, 300);
    assert_true(scene_drained(scene, 0, 300000));
    for (size_t i = 0; i < scene->scripts[0].sent_count; i++) {
        assert_in_range(scene->scripts[0].sent[i].size, 1, 1000);
    }
    scene_expect_once(scene, 0, LOW, 1, 300);
}

static void an_event_too_large_for_the_destination_is_set_aside(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].record_size_max = 2000;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    site_put(scene->site, LOW, 3000, 0);
    scene_put(scene, LOW, 10);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 21);
    assert_int_equal(scene->aside[LOW][11], 1);
    assert_non_null(strstr(scene->aside_reason, "larger than the destination takes"));
    assert_int_equal(forward_aside(scene->forward), 1);
}

/* What is set aside says why: size is not the only cause. */
static void an_event_that_is_not_of_its_schema_is_set_aside(void **state)
{
    struct scene *scene = *state;
    scene->uplinks[0].layout = LAYOUT_COLUMNS;
    scene_begin(scene);
    scene_put(scene, LOW, 1);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 1);
    assert_int_equal(scene->aside[LOW][1], 1);
    assert_non_null(strstr(scene->aside_reason, "can't be read by its schema"));
}

/* A parcel is in doubt, and the settings are others in the next life: it goes out as it was cut, for
 * only so is it told from a copy. */
static void expect_packed_again(struct scene *scene, uint32_t record_size_max, uint32_t more)
{
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 3000);
    sim_run_for(10000);
    assert_int_equal(script->sent_count, 1);
    struct double_sent first = script->sent[0];
    assert_true(first.event_count > 10);
    scene_crash(scene);
    script->holds = false;
    script->record_size_max = record_size_max;
    script->framing = more / first.event_count;
    for (unsigned i = 0; i < 1000 && script->sent_count < 2; i++) {
        sim_run_for(10);
    }
    assert_int_equal(script->sent_count, 2);
    const struct double_sent *again = &script->sent[1];
    assert_true(again->again);
    assert_int_equal(again->base, first.base);
    assert_int_equal(again->first, first.first);
    assert_int_equal(again->last, first.last);
    assert_int_equal(again->event_count, first.event_count);
    assert_int_equal(again->size, first.size + (size_t)script->framing * first.event_count);
    script->record_size_max = 1024 * 1024;
    script->framing = 0;
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 3000);
    assert_int_equal(forward_aside(scene->forward), 0);
}

static void a_smaller_record_size_is_for_what_is_cut_anew(void **state)
{
    expect_packed_again(*state, 50, 0);
}

static void larger_messages_do_not_hold_up_what_is_in_doubt(void **state)
{
    expect_packed_again(*state, 1024 * 1024, 2 * PACK_WIRE_SIZE_MAX);
}

static void few_events_wait_for_more(void **state)
{
    struct scene *scene = *state;
    scene->uplinks[0].linger_ms = 10000;
    scene_begin(scene);
    scene_put(scene, LOW, 1);
    sim_run_for(9000);
    scene_put(scene, LOW, 1);
    assert_int_equal(scene->scripts[0].sent_count, 0);
    sim_run_for(1500);
    assert_int_equal(scene->scripts[0].sent_count, 1);
    assert_int_equal(scene->scripts[0].sent[0].event_count, 2);
    scene_put(scene, ALARM, 1); /* an alarm does not wait */
    sim_run_for(100);
    assert_int_equal(scene->scripts[0].sent_count, 2);
}

/* A full batch does not wait, whenever it became full. */
static void waiting_ends_when_the_batch_is_full(void **state)
{
    struct scene *scene = *state;
    scene->uplinks[0].linger_ms = 3600000;
    scene->uplinks[0].batch_size_max = 20000;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(2000);
    assert_int_equal(scene->scripts[0].sent_count, 0);
    scene_put(scene, LOW, 300); /* 31 000 bytes by now */
    sim_run_for(2000);
    assert_true(scene->scripts[0].sent_count > 0);
}

static void a_schema_change_ends_a_batch(void **state)
{
    struct scene *scene = *state;
    struct site *site = scene->site;
    uint8_t fingerprint[8] = {2};
    uint32_t second;
    struct why why;
    scene_begin(scene);
    scene->scripts[0].target_error = ERR_AGAIN;
    scene_put(scene, LOW, 50);
    assert_int_equal(
        buffer_schema_add(site->buffer, LOW, SLICE("\"string\""), fingerprint, &second, &why),
        ERR_OK);
    assert_int_not_equal(second, site->schemas[0]);
    struct schema_info info = {.number = second, .json = SLICE("\"string\"")};
    assert_int_equal(forward_schema_add(scene->forward, LOW, &info), ERR_OK);
    site->schemas[0] = second;
    scene_put(scene, LOW, 50);
    scene->scripts[0].target_error = ERR_OK;
    uplink_ready(scene->scripts[0].host);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 100);
    for (size_t i = 0; i < scene->scripts[0].sent_count; i++) {
        const struct double_sent *sent = &scene->scripts[0].sent[i];
        assert_true(sent->schema == second ? sent->first > 50 : sent->last <= 50);
    }
}

static void a_stream_that_has_no_place_does_not_stop_others(void **state)
{
    struct scene *scene = *state;
    scene_begin(scene);
    scene->scripts[0].target_error = ERR_REJECTED;
    scene_put(scene, LOW, 10);
    sim_run_for(1000);
    unsigned asked = scene->scripts[0].targets;
    assert_non_null(strstr(scene_status(scene), "the test wants it so"));
    sim_run_for(FLOW_PARK_MS - 2000);
    assert_int_equal(scene->scripts[0].targets, asked);
    scene->scripts[0].target_error = ERR_OK;
    scene_put(scene, ALARM, 10); /* has a place */
    sim_run_for(500);
    scene_expect_once(scene, 0, ALARM, 1, 10);
    assert_int_equal(scene_owed(scene, 0, LOW), 10);
    assert_true(scene_drained(scene, 0, 60000)); /* asked again after a minute */
    scene_expect_once(scene, 0, LOW, 1, 10);
}

static void numbers_that_are_not_known_yet_are_waited_for(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].assign_waits = true;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(60000);
    assert_int_equal(scene->scripts[0].assigns, 1); /* it does not ask, it is told */
    assert_int_equal(scene->scripts[0].sent_count, 0);
    scene->scripts[0].assign_waits = false;
    uplink_ready(scene->scripts[0].host);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 10);
}

static void a_dead_uplink_does_not_hold_up_the_other(void **state)
{
    struct scene *scene = *state;
    scene_use_two(scene);
    scene->scripts[0].holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 2000);
    scene_put(scene, ALARM, 100);
    assert_true(scene_drained(scene, 1, 60000));
    scene_expect_once(scene, 1, LOW, 1, 2000);
    scene_expect_once(scene, 1, ALARM, 1, 100);
    assert_int_equal(scene_owed(scene, 0, LOW), 2000);
    assert_int_equal(scene->scripts[0].arrived_count, 0);
    scene->scripts[0].holds = false;
    while (double_lent(&scene->scripts[0]) > 0) {
        double_answer(&scene->scripts[0], SEND_RETRY, 0);
    }
    assert_true(scene_drained(scene, 0, 120000));
    scene_expect_once(scene, 0, LOW, 1, 2000);
}

/* More partitions than a parcel has places for: it ends before the first that finds none. */
static void a_parcel_has_so_many_partitions(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->partition_count = 40;
    scene_begin(scene);
    scene_put(scene, LOW, 400);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 400);
    assert_int_equal(script->sent[0].partition, 1);
    for (size_t i = 0; i < script->sent_count; i++) {
        assert_in_range(script->sent[i].last - script->sent[i].first, 0, PARCEL_PARTITION_MAX - 1);
    }
}

static void put_by_boot(struct scene *scene, uint32_t boot)
{
    struct site *site = scene->site;
    uint64_t commit;
    uint64_t sequence;
    struct stored_event event = {.stream = LOW,
                                 .schema = site->schemas[0],
                                 .trust = TIME_BOOT,
                                 .boot = boot,
                                 .time_us = 5000000,
                                 .fill_count = 1,
                                 .fills = {{FILL_TIME_MICROS, 0}},
                                 .datum = SLICE("an event")};
    assert_int_equal(store_room(site->store, LOW, 8), ERR_OK);
    assert_int_equal(store_open_room(site->store, 8), ERR_OK);
    store_event_put(site->store, &event, 0, &commit, &sequence);
    site->next[LOW] = sequence + 1;
}

static void settle_boot(struct scene *scene, uint32_t boot)
{
    uint64_t commit;
    struct boot_offset offset = {.boot = boot, .offset_us = 1000000 * (int64_t)boot};
    assert_int_equal(store_boot_put(scene->site->store, &offset, &commit), ERR_OK);
    sim_run_for(50);
}

/* Times that are not known yet are waited for; those that never will be are not. */
static void times_by_the_monotonic_clock_are_waited_for(void **state)
{
    struct scene *scene = *state;
    scene_begin(scene);
    put_by_boot(scene, 30);
    sim_run_for(10000);
    assert_int_equal(scene->scripts[0].sent_count, 0);
    settle_boot(scene, 30);
    sim_run_for(2 * FLOW_CLOCK_MS);
    assert_int_equal(scene->scripts[0].arrived[LOW][1], 1);
    put_by_boot(scene, 2); /* its offset is not to come any more */
    sim_run_for(2 * FLOW_CLOCK_MS);
    assert_int_equal(scene->scripts[0].arrived[LOW][2], 1);
    put_by_boot(scene, 31);
    for (uint32_t boot = 12; boot < 29; boot++) { /* more than are kept */
        settle_boot(scene, boot);
    }
    sim_run_for(2 * FLOW_CLOCK_MS);
    assert_int_equal(scene->scripts[0].arrived[LOW][3], 0);
    settle_boot(scene, 31);
    sim_run_for(2 * FLOW_CLOCK_MS);
    assert_int_equal(scene->scripts[0].arrived[LOW][3], 1);
    put_by_boot(scene, 30); /* the latest is still known */
    sim_run_for(2 * FLOW_CLOCK_MS);
    assert_int_equal(scene->scripts[0].arrived[LOW][4], 1);
}

/* The buffer keeps so many open parcels, and a commit that opens one more would fail for ever. */
static void open_parcels_are_as_many_as_the_buffer_keeps(void **state)
{
    struct scene *scene = *state;
    static char names[SITE_STREAM_MAX][8];
    scene_use_two(scene);
    scene->stream_count = SITE_STREAM_MAX;
    scene->site->setup->stream_count = SITE_STREAM_MAX;
    for (uint16_t i = 2; i < SITE_STREAM_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%u", i);
        scene->streams[i].info =
            (struct stream_info){.number = (uint16_t)(i + 1), .name = names[i], .priority = 3};
        scene->site->setup->streams[i] = (struct buffer_stream){
            .name = names[i], .priority = 3, .when_full = FULL_BLOCK, .uplinks = 3};
        scene->uplinks[0].stream_set[i] = true;
        scene->uplinks[1].stream_set[i] = true;
    }
    scene->scripts[0].holds = true;
    scene_begin(scene);
    for (uint16_t stream = 1; stream <= SITE_STREAM_MAX; stream++) {
        if (stream != ALARM) {
            scene_put(scene, stream, 1);
        }
    }
    sim_run_for(20000);
    assert_in_range(double_lent(&scene->scripts[0]), 16, FORWARD_PARCEL_MAX / 2);
    assert_int_equal(scene->scripts[1].arrived_count, SITE_STREAM_MAX - 1); /* the other goes on */
    scene_put(scene, ALARM, 1); /* what is urgent has places of its own */
    sim_run_for(100);
    assert_int_equal(double_last(&scene->scripts[0])->stream, ALARM);
    for (size_t i = 0; i < scene->site->commit_count; i++) {
        assert_int_equal(scene->site->commits[i].e, ERR_OK);
    }
    scene->scripts[0].holds = false;
    while (double_lent(&scene->scripts[0]) > 0) {
        double_answer(&scene->scripts[0], SEND_OK, 0);
    }
    sim_run_for(20000); /* those that waited are asked with each commit */
    for (uint16_t stream = 1; stream <= SITE_STREAM_MAX; stream++) {
        assert_int_equal(scene->scripts[0].arrived[stream][1], 1);
    }
}

/* --- stopping --- */

static void a_stop_waits_for_answers_within_its_grace(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 2000);
    sim_run_for(1000);
    size_t sent = scene->scripts[0].sent_count;
    scene_stop(scene, 10000);
    assert_int_equal(scene->scripts[0].stops, 1);
    sim_run_for(5000);
    assert_false(scene->finished);
    while (double_lent(&scene->scripts[0]) > 0) {
        double_answer(&scene->scripts[0], SEND_OK, 0);
    }
    sim_run_for(100);
    assert_true(scene->finished);
    assert_int_equal(scene->scripts[0].sent_count, sent); /* nothing new was begun */
    store_commit_now(scene->site->store);
    site_settle(scene->site);
    scene_end(scene);
    scene->scripts[0].holds = false;
    scene_begin(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 2000);
    for (size_t i = sent; i < scene->scripts[0].sent_count; i++) {
        assert_false(scene->scripts[0].sent[i].again);
    }
}

static void a_stop_ends_with_its_grace(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(1000);
    scene_stop(scene, 3000);
    sim_run_for(2900);
    assert_false(scene->finished);
    sim_run_for(200);
    assert_true(scene->finished);
}

static void a_stop_of_an_idle_uplink_is_quick(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].stop_gives_back = true;
    scene->scripts[0].holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(1000);
    assert_int_equal(double_lent(&scene->scripts[0]), 1);
    scene_stop(scene, 10000);
    sim_run_for(50);
    assert_true(scene->finished);
}

/* An answer that comes while the record of the same parcel is being committed is not forgotten. */
static void a_stop_waits_for_answers_that_are_held(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].holds = true;
    scene->scripts[0].partition_count = 2;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(1000);
    assert_int_equal(double_lent(&scene->scripts[0]), 2);
    double_answer(&scene->scripts[0], SEND_REASSIGN, 0); /* needs another record: at once */
    sim_run_for(0);
    double_answer(&scene->scripts[0], SEND_OK, 0); /* meanwhile the other one is there */
    scene_stop(scene, 10000);
    for (unsigned i = 0; i < 100 && !scene->finished; i++) {
        sim_run_for(1);
    }
    assert_true(scene->finished);
    store_commit_now(scene->site->store);
    site_settle(scene->site);
    scene_end(scene);
    scene->scripts[0].holds = false;
    scene->scripts[0].drops_numbers = true;
    scene_begin(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        TEST(everything_arrives_once),
        TEST(one_batch_a_partition_is_lent),
        TEST(the_higher_priority_goes_first),
        TEST(a_request_keeps_to_the_rate_of_the_link),
        TEST(a_request_on_a_shared_link_is_shorter),
        TEST(a_request_keeps_to_what_the_destination_takes),
        TEST(an_event_too_large_for_the_destination_is_set_aside),
        TEST(an_event_that_is_not_of_its_schema_is_set_aside),
        TEST(a_smaller_record_size_is_for_what_is_cut_anew),
        TEST(larger_messages_do_not_hold_up_what_is_in_doubt),
        TEST(few_events_wait_for_more),
        TEST(waiting_ends_when_the_batch_is_full),
        TEST(a_schema_change_ends_a_batch),
        TEST(a_stream_that_has_no_place_does_not_stop_others),
        TEST(numbers_that_are_not_known_yet_are_waited_for),
        TEST(a_dead_uplink_does_not_hold_up_the_other),
        TEST(a_parcel_has_so_many_partitions),
        TEST(times_by_the_monotonic_clock_are_waited_for),
        TEST(open_parcels_are_as_many_as_the_buffer_keeps),
        TEST(a_stop_waits_for_answers_within_its_grace),
        TEST(a_stop_ends_with_its_grace),
        TEST(a_stop_of_an_idle_uplink_is_quick),
        TEST(a_stop_waits_for_answers_that_are_held),
    };
    return cmocka_run_group_tests_name("agent/forward", tests, NULL, NULL);
}
