/* weir.events over the real buffer: gaps are told exactly once, whatever is cut when; the stream
 * stays within its own bound, and never keeps a changed configuration from starting. */
#include "agent/events.h"

#include <stdlib.h>
#include <string.h>

#include "agent/raw.h"
#include "agent/time_trust.h"
#include "tests/agent/site.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"
#include "uplink/avro/decode.h"

#define LOW 1
#define OWN 3
#define LIVES 40

struct scene {
    struct site *site;
    struct time_source time;
    struct events *events;
    uint32_t schema;
    struct avro_schema *parsed;
    struct events_measures measures;
};

static void measure(void *context, struct events_measures *ret)
{
    *ret = ((struct scene *)context)->measures;
}

static const char *uplink_name_of(void *context, uint16_t number)
{
    const struct scene *scene = context;
    return number <= scene->site->setup->uplink_count ? scene->site->setup->uplinks[number - 1].name
                                                      : NULL;
}

static void committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct scene *scene = context;
    (void)commit;
    (void)changes;
    events_committed(scene->events);
}

static void scene_begin(struct scene *scene)
{
    struct site *site = scene->site;
    uint8_t fingerprint[8] = {7};
    struct why why;
    site_begin(site);
    assert_int_equal(
        buffer_schema_add(site->buffer, OWN, events_schema(), fingerprint, &scene->schema, &why),
        ERR_OK);
    struct events_setup setup = {.loop = site->loop,
                                 .store = site->store,
                                 .time = &scene->time,
                                 .stream = OWN,
                                 .schema = scene->schema,
                                 .agent_id = "pump-7",
                                 .commit_interval_ms = SITE_COMMIT_MS,
                                 .measure = measure,
                                 .uplink_name = uplink_name_of,
                                 .context = scene};
    struct store_handler handler = {.committed = committed, .context = scene};
    assert_int_equal(time_trust_init(&scene->time, site->loop, site->store, false, &why), ERR_OK);
    assert_int_equal(events_open(&scene->events, &setup), ERR_OK);
    assert_int_equal(store_handler_add(site->store, &handler), ERR_OK);
}

static void scene_release(void *context)
{
    struct scene *scene = context;
    events_close(scene->events);
    time_trust_release(&scene->time);
    scene->events = NULL;
}

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->site = site_open(site_number("WEIR_SEED", 1));
    scene->measures.aside_reason = "";
    struct buffer_setup *b = scene->site->setup;
    b->size_max = 4 * 1024 * 1024 + 512 * 1024;
    b->streams[0].uplinks = 3;
    b->streams[2] = (struct buffer_stream){.name = "weir.events",
                                           .priority = EVENTS_PRIORITY,
                                           .when_full = FULL_DROP_OLDEST,
                                           .share_min = EVENTS_SHARE_MIN,
                                           .uplinks = 1};
    b->stream_count = 3;
    assert_int_equal(avro_schema_parse(&scene->parsed, events_schema(), NULL), ERR_OK);
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    scene_release(scene);
    avro_schema_close(scene->parsed);
    site_close(scene->site);
    free(scene);
    return 0;
}

/* --- reading weir.events --- */

struct told {
    size_t events;
    size_t starts, stops;
    uint64_t gaps;  /* events of this kind */
    uint64_t count; /* of lost events that they tell of, of stream LOW */
    uint64_t last;  /* up to here */
};

static uint64_t number_in(const char *json, const char *name)
{
    char key[40];
    (void)snprintf(key, sizeof key, "\"%s\":", name); /* fits */
    const char *at = strstr(json, key);
    assert_non_null(at);
    return strtoull(at + strlen(key), NULL, 10);
}

static void take_told(struct scene *scene, const struct stored_event *event, struct told *ret)
{
    uint8_t memory[4096] = {0};
    struct out json = out_over(memory, sizeof memory - 1);
    struct slice datum = event->datum;
    assert_int_equal(avro_decode_json(avro_schema_root(scene->parsed), &datum, &json, NULL),
                     ERR_OK);
    const char *text = (const char *)memory;
    ret->events++;
    ret->starts += strstr(text, "\"kind\":\"start\"") != NULL;
    ret->stops += strstr(text, "\"kind\":\"stop\"") != NULL;
    if (strstr(text, "\"kind\":\"gap\"") && strstr(text, "\"stream\":\"low\"")) {
        ret->gaps++;
        ret->count += number_in(text, "count");
        assert_true(number_in(text, "first") > ret->last); /* each event is lost once */
        ret->last = number_in(text, "last");
    }
}

static struct told told_by(struct scene *scene)
{
    static struct stored_event events[64];
    static uint8_t arena[256 * 1024];
    struct told told = {0};
    struct why why;
    struct range range = {1, UINT64_MAX / 4};
    struct rows rows = {.events = events, .event_max = 64, .arena = out_over(arena, sizeof arena)};
    do {
        assert_int_equal(
            buffer_read(scene->site->buffer, OWN, range, sizeof arena / 2, &rows, &why), ERR_OK);
        for (size_t i = 0; i < rows.event_count; i++) {
            take_told(scene, &rows.events[i], &told);
        }
        range.first = rows.covered.last + 1;
    } while (rows.event_count > 0);
    return told;
}

static uint64_t untold(struct scene *scene)
{
    struct buffer_changes state;
    uint64_t count = 0;
    buffer_state(scene->site->buffer, &state);
    for (size_t i = 0; i < state.gap_count; i++) {
        count += state.gaps[i].stream == LOW ? state.gaps[i].count : 0;
    }
    return count;
}

static uint64_t dropped(struct scene *scene)
{
    struct buffer_changes state;
    buffer_state(scene->site->buffer, &state);
    return state.streams[LOW].dropped_count;
}

/* --- filling --- */

static uint8_t noise[8 * 1024];

/* Does not compress, so that the buffer fills. */
static void put_noise(struct site *site)
{
    uint64_t commit;
    uint64_t sequence;
    for (size_t i = 0; i < sizeof noise; i += 8) {
        uint64_t bits = sim_random();
        memcpy(noise + i, &bits, 8);
    }
    struct stored_event event = {.stream = LOW,
                                 .schema = site->schemas[0],
                                 .trust = TIME_WALL,
                                 .datum = {noise, sizeof noise}};
    if (!store_room(site->store, LOW, sizeof noise) &&
        !store_open_room(site->store, sizeof noise)) {
        store_event_put(site->store, &event, (int64_t)sim_below(300), &commit, &sequence);
    }
}

static void each_gap_is_told_once_whatever_is_cut(void **state)
{
    struct scene *scene = *state;
    uint64_t cuts_before_commit = 0;
    for (unsigned life = 0; life < LIVES; life++) {
        scene_begin(scene);
        scene->site->commit_count = 0;
        for (unsigned i = 0; i < 60 + sim_below(60); i++) {
            put_noise(scene->site);
            sim_run_for(sim_below(40));
            if (i % 16 == 0) {
                sim_run_for(EVENTS_PACE_MS); /* the pace lets the next gap be told */
            }
        }
        cuts_before_commit += !store_is_idle(scene->site->store);
        if (sim_chance(300000)) {
            scene->site->fail_count = 1;
        }
        sim_run_for(sim_below(30));
        site_crash(scene->site, scene_release, scene);
        scene_begin(scene);
        struct told told = told_by(scene);
        assert_int_equal(told.count + untold(scene), dropped(scene));
        site_crash(scene->site, scene_release, scene);
    }
    scene_begin(scene);
    site_settle(scene->site);
    struct told told = told_by(scene);
    print_message("gaps told=%llu events lost=%llu, cuts with a commit under way=%llu\n",
                  (unsigned long long)told.gaps, (unsigned long long)told.count,
                  (unsigned long long)cuts_before_commit);
    assert_int_equal(told.count + untold(scene), dropped(scene));
    assert_true(told.gaps > LIVES && cuts_before_commit > LIVES / 4);
}

static void an_orderly_stop_is_told_with_the_last_commit(void **state)
{
    struct scene *scene = *state;
    for (unsigned life = 0; life < 3; life++) {
        scene_begin(scene);
        site_settle(scene->site);
        events_stop(scene->events);
        store_commit_now(scene->site->store);
        site_settle(scene->site);
        site_end(scene->site, scene_release, scene);
    }
    scene_begin(scene);
    struct told told = told_by(scene);
    assert_int_equal(told.starts, 3);
    assert_int_equal(told.stops, 3);
}

static void the_stream_stays_within_its_bound(void **state)
{
    struct scene *scene = *state;
    const uint64_t most = 16 * 1024;
    scene->site->setup->streams[2].size_max = (int64_t)most;
    scene_begin(scene);
    for (unsigned i = 0; i < 3000; i++) {
        scene->measures.aside++;
        scene->site->commit_count = 0;
        sim_run_for(EVENTS_PACE_MS + 10000);
        if (i % 10 == 0) { /* so that the tail is sealed now and then */
            put_noise(scene->site);
        }
    }
    const struct stream_state *s = &store_state(scene->site->store)->streams[OWN];
    assert_true(s->sequence_next > 3000);
    assert_true(s->dropped_count > 0);
    assert_in_range(s->size, most / 4, most + 16 * 1024); /* what is not sealed yet is beside it */
}

/* Nobody carries it any more: a configuration may change, what the agent told is let go. */
static void it_never_keeps_the_buffer_from_opening(void **state)
{
    struct scene *scene = *state;
    struct parcel parcel = {
        .uplink = 1,
        .stream = OWN,
        .layout = LAYOUT_ROWS,
        .range = {1, 1},
        .partition_count = 1,
        .part_count = 2,
        .parts = {{.first = 1, .last = 1}, {.partition = 1, .first = 1, .last = 1}}};
    uint64_t commit;
    scene_begin(scene);
    site_settle(scene->site);
    assert_int_equal(store_parcel_put(scene->site->store, &parcel, &commit), ERR_OK);
    site_settle(scene->site);
    site_end(scene->site, scene_release, scene);
    scene->site->setup->streams[2].uplinks = 2; /* another uplink carries it now */
    scene_begin(scene);
    const struct buffer_changes *changes = store_state(scene->site->store);
    for (size_t i = 0; i < changes->owed_count; i++) {
        assert_false(changes->owed[i].uplink == 1 && changes->owed[i].stream == OWN);
    }
    sim_run_for(SITE_COMMIT_MS + 1000); /* the start of this life */
    assert_int_equal(store_state(scene->site->store)->streams[OWN].event_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_gap_is_told_once_whatever_is_cut),
        TEST(an_orderly_stop_is_told_with_the_last_commit),
        TEST(the_stream_stays_within_its_bound),
        TEST(it_never_keeps_the_buffer_from_opening),
    };
    return cmocka_run_group_tests_name("agent/events and buffer", tests, NULL, NULL);
}
