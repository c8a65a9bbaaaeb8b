/* weir.events over a double of the store: what is told when, and what it never does. */
#include "agent/events.h"

#include <stdlib.h>
#include <string.h>

#include "agent/time_trust.h"
#include "tests/agent/store_double.h"
#include "tests/cmocka.h"
#include "uplink/avro/decode.h"

#define YEAR_2027 INT64_C(1798761600000000)
#define STREAM 3

struct scene {
    struct loop loop;
    struct store store;
    struct time_source time;
    struct events *events;
    struct events_measures measures;
    bool is_metered;
    char json[2048];
};

static void measure(void *context, struct events_measures *ret)
{
    *ret = ((struct scene *)context)->measures;
}

static const char *uplink_name_of(void *context, uint16_t number)
{
    (void)context;
    return number == 1 ? "cloud" : NULL;
}

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    double_init(&scene->store);
    *double_clock() =
        (struct double_clock){.wall_us = YEAR_2027, .monotonic_us = 100, .boot_id = 1};
    scene->measures.aside_reason = "";
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    events_close(scene->events);
    time_trust_release(&scene->time);
    free(scene);
    return 0;
}

static void scene_open(struct scene *scene)
{
    struct events_setup setup_ = {.loop = &scene->loop,
                                  .store = &scene->store,
                                  .time = &scene->time,
                                  .stream = STREAM,
                                  .schema = 9,
                                  .agent_id = "pump-7",
                                  .commit_interval_ms = 5000,
                                  .is_metered = scene->is_metered,
                                  .measure = measure,
                                  .uplink_name = uplink_name_of,
                                  .context = scene};
    assert_int_equal(time_trust_init(&scene->time, &scene->loop, &scene->store, false, NULL),
                     ERR_OK);
    double_timers(&scene->loop, 0);
    assert_int_equal(events_open(&scene->events, &setup_), ERR_OK);
}

static void scene_again(struct scene *scene)
{
    events_close(scene->events);
    time_trust_release(&scene->time);
    scene_open(scene);
}

static void commit(struct scene *scene)
{
    double_commit(&scene->store);
    events_committed(scene->events);
}

static void paces(struct scene *scene, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        double_timers(&scene->loop, EVENTS_PACE_MS);
    }
}

/* Event `index` as JSON, by the stream's own schema; a fill of the time is 0. */
static const char *json_of(struct scene *scene, size_t index)
{
    struct avro_schema *schema = NULL;
    struct out json = out_over((uint8_t *)scene->json, sizeof scene->json - 1);
    uint8_t bytes[DOUBLE_BYTES_MAX + 1];
    struct out datum = out_over(bytes, sizeof bytes);
    assert_true(index < scene->store.event_count);
    const struct stored_event *event = &scene->store.events[index].event;
    assert_int_equal(event->stream, STREAM);
    assert_int_equal(event->schema, 9);
    if (event->fill_count) {
        out_put_varint(&datum, 0);
    }
    out_put_slice(&datum, event->datum);
    struct slice rest = out_slice(&datum);
    assert_int_equal(avro_schema_parse(&schema, events_schema(), NULL), ERR_OK);
    assert_int_equal(avro_decode_json(avro_schema_root(schema), &rest, &json, NULL), ERR_OK);
    assert_int_equal(rest.size, 0);
    avro_schema_close(schema);
    scene->json[json.size] = 0;
    return scene->json;
}

static void expect_event(struct scene *scene, size_t index, const char *part)
{
    const char *json = json_of(scene, index);
    if (!strstr(json, part)) {
        fail_msg("event %zu is %s, without %s", index, json, part);
    }
}

static const struct gap gap_1 = {
    .number = 5, .stream = 1, .uplink = 1, .reason = GAP_HOLD_MAX, .range = {11, 30}, .count = 18};

static void the_start_is_told(void **state)
{
    struct scene *scene = *state;
    scene_open(scene);
    assert_int_equal(scene->store.event_count, 1);
    assert_string_equal(
        json_of(scene, 0),
        "{\"time\":1798761600000000,\"kind\":\"start\",\"agent\":\"pump-7\",\"incarnation\":"
        "\"00c0ffee\",\"version\":\"" WEIR_VERSION "\",\"stream\":\"\",\"uplink\":\"\",\"first\":0,"
        "\"last\":0,\"count\":7,\"reason\":\"\",\"text\":\"\",\"health\":null}");
    assert_int_equal(scene->store.events[0].wait_ms, 5000);
    assert_int_equal(scene->store.events[0].event.trust, TIME_WALL);
    assert_int_equal(events_dropped(scene->events), 0);
}

static void another_machine_is_told_behind_the_start(void **state)
{
    struct scene *scene = *state;
    scene->store.moved_at = 1;
    scene_open(scene);
    assert_int_equal(scene->store.event_count, 2);
    expect_event(scene, 0, "\"kind\":\"start\"");
    expect_event(scene, 1, "\"kind\":\"machine\"");
    expect_event(scene, 1, "\"incarnation\":\"00c0ffee\"");
    expect_event(scene, 1, "used on another machine, as 0badcafe:");
    commit(scene);
    paces(scene, 3);
    assert_int_equal(scene->store.event_count, 2); /* once */
    /* The power went before that was stored: the next start tells it. */
    scene_again(scene);
    assert_int_equal(scene->store.event_count, 4);
    expect_event(scene, 3, "\"kind\":\"machine\"");
    scene->store.streams[STREAM].sequence_next = 3;
    scene_again(scene);
    assert_int_equal(scene->store.event_count, 5);
    expect_event(scene, 4, "\"kind\":\"start\"");
}

static void a_gap_is_told_in_the_commit_that_marks_it(void **state)
{
    struct scene *scene = *state;
    scene_open(scene);
    commit(scene);
    double_gap(&scene->store, &gap_1);
    commit(scene);
    assert_int_equal(scene->store.event_count, 2);
    expect_event(scene, 1, "\"kind\":\"gap\"");
    expect_event(scene, 1,
                 "\"stream\":\"telemetry\",\"uplink\":\"cloud\",\"first\":11,\"last\":30,"
                 "\"count\":18,\"reason\":\"hold_max\"");
    assert_int_equal(scene->store.told_count, 1);
    assert_int_equal(scene->store.told[0], 5);
    assert_int_equal(scene->store.told_commits[0], scene->store.events[1].commit);
    assert_int_equal(scene->store.events[1].commit, scene->store.committed + 1);
    commit(scene);
    paces(scene, 3);
    assert_int_equal(scene->store.told_count, 1); /* once */
}

static void a_gap_being_told_is_not_told_again(void **state)
{
    struct scene *scene = *state;
    double_gap(&scene->store, &gap_1);
    scene_open(scene); /* it was there at start: told with the first commit */
    assert_int_equal(scene->store.told_count, 1);
    paces(scene, 2); /* its commit is still to come */
    events_stop(scene->events);
    assert_int_equal(scene->store.told_count, 1);
}

static void a_gap_waits_for_room(void **state)
{
    struct scene *scene = *state;
    scene_open(scene);
    scene->store.has_no_gap_room = true;
    double_gap(&scene->store, &gap_1);
    commit(scene);
    paces(scene, 1);
    assert_int_equal(scene->store.event_count, 1);
    assert_int_equal(events_dropped(scene->events), 0); /* the buffer keeps it */
    scene->store.has_no_gap_room = false;
    commit(scene);
    assert_int_equal(scene->store.told_count, 1);
}

static void gaps_keep_their_pace(void **state)
{
    struct scene *scene = *state;
    struct gap next = gap_1;
    scene_open(scene);
    double_gap(&scene->store, &gap_1);
    commit(scene);
    for (next.number = 6; next.number < 26; next.number++) {
        double_gap(&scene->store, &next);
        commit(scene);
    }
    assert_int_equal(scene->store.told_count, 1);
    paces(scene, 1);
    assert_int_equal(scene->store.told_count, 21); /* all that came meanwhile */
    for (size_t i = 0; i < 21; i++) {
        assert_int_equal(scene->store.told[i], 5 + i);
    }
}

static void damage_has_a_kind_of_its_own(void **state)
{
    struct scene *scene = *state;
    struct gap gap = {.number = 1, .stream = 2, .reason = GAP_DAMAGED, .range = {1, 9}, .count = 9};
    scene_open(scene);
    double_gap(&scene->store, &gap);
    gap = (struct gap){
        .number = 2, .stream = 2, .uplink = 4, .reason = GAP_MERGED, .range = {20, 21}, .count = 1};
    double_gap(&scene->store, &gap);
    commit(scene);
    expect_event(scene, 1, "\"kind\":\"damage\"");
    expect_event(scene, 1,
                 "\"stream\":\"alarms\",\"uplink\":\"\",\"first\":1,\"last\":9,\"count\":9,"
                 "\"reason\":\"damaged\"");
    expect_event(scene, 2, "\"kind\":\"gap\"");
    expect_event(scene, 2,
                 "\"uplink\":\"(removed)\",\"first\":20,\"last\":21,\"count\":1,"
                 "\"reason\":\"merged\"");
}

static void what_finds_no_room_is_dropped_and_counted(void **state)
{
    struct scene *scene = *state;
    scene->store.has_no_open = true;
    scene_open(scene);
    assert_int_equal(scene->store.event_count, 0);
    assert_int_equal(events_dropped(scene->events), 1);
    scene->store.has_no_open = false;
    scene->store.room = 0;
    paces(scene, EVENTS_HEALTH_PACES);
    assert_int_equal(events_dropped(scene->events), 2);
    scene->store.room = SIZE_MAX;
    paces(scene, EVENTS_HEALTH_PACES);
    assert_int_equal(scene->store.event_count, 1);
    expect_event(scene, 0, "\"events_dropped\":2");
}

static void set_aside_events_are_counted_at_a_pace(void **state)
{
    struct scene *scene = *state;
    scene_open(scene);
    scene->measures.aside = 3;
    scene->measures.aside_reason = "a \"bad\" \xff one";
    commit(scene);
    assert_int_equal(scene->store.event_count, 1);
    paces(scene, 1);
    assert_int_equal(scene->store.event_count, 2);
    expect_event(scene, 1, "\"kind\":\"aside\"");
    expect_event(scene, 1, "\"count\":3,\"reason\":\"\",\"text\":\"a \\\"bad\\\" ? one\"");
    scene->measures.aside = 10;
    scene->store.room = 0;
    paces(scene, 1); /* dropped: the count is not */
    scene->store.room = SIZE_MAX;
    scene->measures.aside = 11;
    paces(scene, 1);
    expect_event(scene, 2, "\"count\":8,");
    paces(scene, 1);
    assert_int_equal(scene->store.event_count, 3);
}

static void health_is_told_each_hour(void **state)
{
    struct scene *scene = *state;
    scene_open(scene);
    scene->measures = (struct events_measures){.uptime_s = 1,
                                               .backlog = 2,
                                               .backlog_bytes = 3,
                                               .dropped = 4,
                                               .delivered = 5,
                                               .refused = 6,
                                               .buffer_bytes = 8,
                                               .buffer_share = 9,
                                               .wear_bytes = 10,
                                               .wear_syncs = UINT64_C(1) << 40,
                                               .clock_is_trusted = true};
    paces(scene, EVENTS_HEALTH_PACES - 1);
    assert_int_equal(scene->store.event_count, 1);
    paces(scene, 1);
    expect_event(scene, 1, "\"kind\":\"health\"");
    expect_event(scene, 1,
                 "\"health\":{\"weir.Health\":{\"uptime\":1,\"backlog\":2,\"backlog_bytes\":3,"
                 "\"dropped\":4,\"delivered\":5,\"refused\":6,\"aside\":0,\"events_dropped\":0,"
                 "\"buffer_bytes\":8,\"buffer_share\":9,\"wear_bytes\":10,"
                 "\"wear_syncs\":1099511627776,\"clock_trusted\":true}}");
    paces(scene, EVENTS_HEALTH_PACES * 23);
    assert_int_equal(scene->store.event_count, 25);
}

/* Where bytes cost money health rides along with other events, or is rare. */
static void health_alone_is_rare_on_a_metered_link(void **state)
{
    struct scene *scene = *state;
    scene->is_metered = true;
    scene_open(scene);
    scene->measures.delivered = 1;
    paces(scene, EVENTS_HEALTH_PACES);
    assert_int_equal(scene->store.event_count, 2);
    paces(scene, EVENTS_ALONE_PACES - EVENTS_HEALTH_PACES);
    assert_int_equal(scene->store.event_count, 2);
    paces(scene, EVENTS_HEALTH_PACES);
    expect_event(scene, 2, "\"kind\":\"health\"");
    for (unsigned i = 0; i < 3; i++) {
        scene->measures.delivered++;
        paces(scene, EVENTS_HEALTH_PACES);
        assert_int_equal(scene->store.event_count, 4 + i);
    }
    paces(scene, EVENTS_ALONE_PACES * 4);
    assert_int_equal(scene->store.event_count, 6 + 4);
}

static void the_stop_comes_last(void **state)
{
    struct scene *scene = *state;
    struct gap next = gap_1;
    scene_open(scene);
    double_gap(&scene->store, &gap_1);
    commit(scene);
    commit(scene);
    next.number = 6;
    double_gap(&scene->store, &next);
    scene->measures.aside = 1;
    events_stop(scene->events); /* tells what its pace had kept */
    assert_int_equal(scene->store.event_count, 5);
    expect_event(scene, 2, "\"kind\":\"gap\"");
    expect_event(scene, 3, "\"kind\":\"aside\"");
    expect_event(scene, 4, "\"kind\":\"stop\"");
    next.number = 7;
    double_gap(&scene->store, &next);
    commit(scene);
    paces(scene, 20);
    assert_int_equal(scene->store.event_count, 5);
}

static void a_wrong_clock_leaves_the_time_open(void **state)
{
    struct scene *scene = *state;
    double_clock()->wall_us = 5;
    scene_open(scene);
    const struct stored_event *event = &scene->store.events[0].event;
    assert_int_equal(event->trust, TIME_BOOT);
    assert_int_equal(event->boot, 7);
    assert_int_equal(event->fill_count, 1);
    assert_int_equal(event->fills[0].kind, FILL_TIME_MICROS);
    assert_int_equal(event->fills[0].offset, 0);
    expect_event(scene, 0, "{\"time\":0,\"kind\":\"start\"");
    assert_int_equal(scene->store.cursor_count, 1); /* the note that it needs this boot's offset */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_start_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(another_machine_is_told_behind_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gap_is_told_in_the_commit_that_marks_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gap_being_told_is_not_told_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gap_waits_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(gaps_keep_their_pace, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_has_a_kind_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(what_finds_no_room_is_dropped_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(set_aside_events_are_counted_at_a_pace, setup, teardown),
        cmocka_unit_test_setup_teardown(health_is_told_each_hour, setup, teardown),
        cmocka_unit_test_setup_teardown(health_alone_is_rare_on_a_metered_link, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stop_comes_last, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_clock_leaves_the_time_open, setup, teardown),
    };
    return cmocka_run_group_tests_name("agent/events", tests, NULL, NULL);
}
