/* Intake between a double of a driver and a double of the store: what is admitted, set aside and
 * refused, when a driver hears that it is stored, and what has to be in one commit. */
#include <stdlib.h>
#include <string.h>

#include "agent/aside_head.h"
#include "agent/intake.h"
#include "agent/raw.h"
#include "tests/agent/store_double.h"
#include "tests/cmocka.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/schema.h"

#define YEAR_2027 INT64_C(1798761600000000)

/* --- the driver --- */

struct driver_double {
    struct driver driver;
    struct driver_host *host;
    uint64_t told; /* by stored() */
    unsigned resumed;
    bool is_stopped, is_closed;
};

static enum err driver_double_open(struct driver **ret, const struct driver_setup *setup,
                                   struct why *why);

static struct driver_double *driver_of(struct driver *driver)
{
    return (struct driver_double *)(void *)driver;
}

static void driver_double_resume(struct driver *driver)
{
    driver_of(driver)->resumed++;
}

static void driver_double_stored(struct driver *driver, uint64_t ticket)
{
    assert_true(ticket > driver_of(driver)->told);
    driver_of(driver)->told = ticket;
}

static void driver_double_stop(struct driver *driver)
{
    driver_of(driver)->is_stopped = true;
}

static void driver_double_close(struct driver *driver)
{
    driver_of(driver)->is_closed = true;
}

static const struct driver_class driver_double_class = {.type = "double",
                                                        .open = driver_double_open,
                                                        .resume = driver_double_resume,
                                                        .stored = driver_double_stored,
                                                        .stop = driver_double_stop,
                                                        .close = driver_double_close};

/* Its options are the double itself. */
static enum err driver_double_open(struct driver **ret, const struct driver_setup *setup,
                                   struct why *why)
{
    struct driver_double *d = (struct driver_double *)(uintptr_t)setup->options;
    (void)why;
    d->driver.class_ = &driver_double_class;
    d->host = setup->host;
    *ret = &d->driver;
    return ERR_OK;
}

/* --- the scene: streams "m" (a schema), "now" (priority 7) and "raw"; a driver with routes --- */

#define SCHEMA \
    "{\"type\":\"record\",\"name\":\"M\",\"fields\":[{\"name\":\"v\",\"type\":\"int\"}," \
    "{\"name\":\"site\",\"type\":\"string\",\"default\":\"\"}]}"

struct scene {
    struct loop loop;
    struct store store;
    struct driver_double driver;
    struct config_stream streams[3];
    struct intake_stream intake_streams[3];
    struct config_driver config;
    struct intake_driver intake_driver;
    struct route_options routes[3];
    const char *names[1];
    const char *templates[1];
    struct avro_schema *schema;
    struct avro_schema *raw;
    struct intake *intake;
    uint64_t ticket;
    const char *aside;
};

static void scene_streams(struct scene *s)
{
    static const char *const names[] = {"m", "now", "raw"};
    assert_int_equal(avro_schema_parse(&s->schema, SLICE(SCHEMA), NULL), ERR_OK);
    assert_int_equal(avro_schema_parse(&s->raw, raw_schema(), NULL), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        s->streams[i] = (struct config_stream){
            .name = names[i],
            .options = {.schema = i < 2 ? "m.avsc" : NULL, .priority = i == 1 ? 7 : 3}};
        s->intake_streams[i] = (struct intake_stream){.config = &s->streams[i],
                                                      .number = (uint16_t)(i + 11),
                                                      .schema = i < 2 ? s->schema : s->raw,
                                                      .schema_number = (uint32_t)(i + 21),
                                                      .is_raw = i == 2};
    }
    s->streams[0].options.time = "at";
}

static void scene_open(struct scene *s)
{
    struct why why = {""};
    s->intake_driver = (struct intake_driver){.config = &s->config, .number = 5};
    struct intake_setup setup = {.loop = &s->loop,
                                 .store = &s->store,
                                 .streams = s->intake_streams,
                                 .stream_count = 3,
                                 .drivers = &s->intake_driver,
                                 .driver_count = 1,
                                 .agent_id = "box",
                                 .event_size_max = 1000,
                                 .commit_interval_ms = 5000};
    assert_int_equal(intake_open(&s->intake, &setup, &why), ERR_OK);
    double_timers(&s->loop, 0);
    s->store.cursor_count = 0; /* what time it is */
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    double_init(&s->store);
    *double_clock() = (struct double_clock){.wall_us = YEAR_2027, .monotonic_us = 9};
    scene_streams(s);
    s->names[0] = "site";
    s->templates[0] = "{topic.1}-{driver}-{agent}-{payload.v}";
    s->routes[0] = (struct route_options){
        .topic = "plant/+/m", .stream = "m", .set = {s->names, s->templates, 1}};
    s->routes[1] = (struct route_options){.topic = "plant/#", .stream = "now"};
    s->routes[2] = (struct route_options){.topic = "raw/*", .stream = "raw"};
    s->config = (struct config_driver){.name = "bus",
                                       .class_ = &driver_double_class,
                                       .common = {.routes = {s->routes, 3}, .ack_interval_ms = 250},
                                       .options = &s->driver};
    scene_open(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    intake_close(s->intake);
    assert_true(s->driver.is_closed);
    avro_schema_close(s->schema);
    avro_schema_close(s->raw);
    free(s);
    return 0;
}

static struct event event_of(const char *subject, const char *json)
{
    return (struct event){.body_kind = BODY_JSON,
                          .body = slice_of_text(json),
                          .subject = slice_of_text(subject),
                          .source = SLICE("bus 1")};
}

static enum err offer_event(struct scene *s, const struct event *event)
{
    return driver_offer(s->driver.host, event, &s->ticket, &s->aside);
}

static enum err offer(struct scene *s, const char *subject, const char *json)
{
    struct event event = event_of(subject, json);
    return offer_event(s, &event);
}

static void assert_datum(struct double_event *event, const struct avro_schema *schema,
                         const char *expected)
{
    char text[512];
    struct out o = out_over(text, sizeof text - 1);
    struct slice rest = event->event.datum;
    assert_int_equal(avro_decode_json(avro_schema_root(schema), &rest, &o, NULL), ERR_OK);
    assert_int_equal(rest.size, 0);
    text[o.size] = 0;
    assert_string_equal(text, expected);
}

/* --- routes --- */

static void the_first_route_takes_it(void **state)
{
    struct scene *s = *state;
    assert_int_equal(offer(s, "plant/7/m", "{\"v\":3}"), ERR_OK);
    assert_int_equal(offer(s, "plant/7/x", "{\"v\":4,\"site\":\"own\"}"), ERR_OK);
    assert_int_equal(s->store.event_count, 2);
    assert_int_equal(s->store.events[0].event.stream, 11);
    assert_int_equal(s->store.events[0].event.schema, 21);
    assert_datum(&s->store.events[0], s->schema, "{\"v\":3,\"site\":\"7-bus-box-3\"}");
    assert_int_equal(s->store.events[1].event.stream, 12);
    assert_datum(&s->store.events[1], s->schema, "{\"v\":4,\"site\":\"own\"}");
    assert_int_equal(s->ticket, 2);
    assert_string_equal(s->aside, "");
}

static void what_no_route_takes_is_set_aside(void **state)
{
    struct scene *s = *state;
    assert_int_equal(offer(s, "other", "{\"v\":3}"), ERR_OK);
    assert_int_equal(s->store.event_count, 0);
    assert_int_equal(s->store.aside_count, 1);
    assert_string_equal(s->store.asides[0].reason, "no route takes the subject \"other\"");
    assert_string_equal(s->aside, "no route takes the subject \"other\"");
    assert_string_equal(s->store.asides[0].body, "{\"v\":3}");
    assert_int_equal(s->store.asides[0].aside.stream, 0);
    assert_int_equal(s->ticket, 1);
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 1); /* set aside durably: the source may forget it */
}

static void streams_without_a_schema_take_everything(void **state)
{
    struct scene *s = *state;
    struct event event = {.body_kind = BODY_RAW,
                          .body = SLICE("\x01\xff"),
                          .subject = SLICE("raw/x"),
                          .source = SLICE("bus 1")};
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_datum(&s->store.events[0], s->raw,
                 "{\"time\":1798761600000000,\"source\":\"bus 1\",\"subject\":\"raw/x\",\"body\":"
                 "\"\\u0001\xc3\xbf\"}");
    assert_int_equal(s->store.events[0].event.trust, TIME_WALL);
}

/* --- bad input --- */

static void what_does_not_fit_is_set_aside_and_stops_nothing(void **state)
{
    struct scene *s = *state;
    struct event unusable = event_of("plant/1/m", "half a li");
    unusable.unusable = "line too long";
    unusable.body_size = 10000000;
    char large[1400];
    memset(large, 'x', sizeof large);
    memcpy(large, "{\"v\":1,\"site\":\"", 15);
    memcpy(large + sizeof large - 3, "\"}", 3);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":\"abc\"}"), ERR_OK);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":1,"), ERR_OK);
    assert_int_equal(offer_event(s, &unusable), ERR_OK);
    assert_int_equal(offer(s, "plant/1", large), ERR_OK);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":5}"), ERR_OK);
    assert_int_equal(s->store.aside_count, 4);
    assert_string_equal(s->store.asides[0].reason,
                        "field \"v\": abc is no int (a whole number of 32 bits)");
    assert_int_equal(s->store.asides[0].aside.stream, 11);
    assert_non_null(strstr(s->store.asides[1].reason, "not JSON"));
    assert_string_equal(s->store.asides[2].reason, "line too long");
    assert_int_equal(s->store.asides[2].aside.size, 10000000);
    assert_non_null(strstr(s->store.asides[3].reason, "event_size_max is 1000"));
    assert_int_equal(s->store.event_count, 1);
    assert_int_equal(s->ticket, 5);
    struct intake_totals totals;
    intake_totals(s->intake, &totals);
    assert_int_equal(totals.admitted, 5);
    assert_int_equal(totals.stored, 1);
    assert_int_equal(totals.aside, 4);
}

/* --- commits --- */

static void tickets_are_told_after_their_commit(void **state)
{
    struct scene *s = *state;
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":1}"), ERR_OK);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":2}"), ERR_OK);
    s->store.open = 2; /* commit 1 is on its way */
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":3}"), ERR_OK);
    assert_int_equal(s->driver.told, 0);
    s->store.open = 1;
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 2);
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 3);
    double_commit(&s->store); /* of others: nothing new */
    assert_int_equal(s->driver.told, 3);
}

static void cursors_ride_with_their_events(void **state)
{
    struct scene *s = *state;
    struct event event = event_of("plant/1/m", "{\"v\":1}");
    event.cursor_key = 3;
    event.cursor = SLICE("at 10");
    assert_int_equal(offer_event(s, &event), ERR_OK);
    event.body = SLICE("[]");
    event.cursor = SLICE("at 20");
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(s->store.cursor_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(s->store.cursors[i].driver, 5);
        assert_int_equal(s->store.cursors[i].key, 3);
        assert_memory_equal(s->store.cursors[i].bytes, i ? "at 20" : "at 10", 5);
    }
    assert_int_equal(s->store.cursors[0].commit, s->store.events[0].commit);
    assert_int_equal(s->store.cursors[1].commit, s->store.asides[0].commit);
    assert_int_equal(driver_cursor_set(s->driver.host, 4, SLICE("")), ERR_OK);
    assert_int_equal(s->store.cursors[2].size, 0);
}

static void a_full_store_refuses_and_resumes(void **state)
{
    struct scene *s = *state;
    struct event event = event_of("plant/1/m", "{\"v\":1}");
    event.cursor = SLICE("10");
    s->store.room = 1;
    assert_int_equal(offer_event(s, &event), ERR_OK);
    event.cursor = SLICE("20");
    assert_int_equal(offer_event(s, &event), ERR_FULL);
    assert_int_equal(s->ticket, 1);
    assert_int_equal(s->store.cursor_count, 1); /* nothing of it was put */
    assert_int_equal(s->driver.resumed, 0);
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 1);
    assert_int_equal(s->driver.resumed, 1);
    double_commit(&s->store);
    assert_int_equal(s->driver.resumed, 1); /* once for a refusal */
    s->store.room = 1;
    s->store.has_no_open = true; /* the batch can't be sent off now */
    assert_int_equal(offer_event(s, &event), ERR_FULL);
    event.body = SLICE("no JSON");
    assert_int_equal(offer_event(s, &event), ERR_FULL); /* nor set aside */
    assert_int_equal(s->store.aside_count, 0);
    assert_int_equal(s->store.cursor_count, 1);
    s->store.has_no_open = false;
    s->store.handlers[0].trouble(s->store.handlers[0].context, NULL); /* commits work again */
    assert_int_equal(s->driver.resumed, 2);
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(s->ticket, 2);
    struct intake_totals totals;
    intake_totals(s->intake, &totals);
    assert_int_equal(totals.refused, 3);
}

/* drop_newest: taken as if it were stored, with its cursor; but only when the buffer is what is
 * full. */
static void what_finds_no_room_is_dropped_where_that_is_wanted(void **state)
{
    struct scene *s = *state;
    struct event event = event_of("plant/1/m", "{\"v\":1}");
    struct intake_totals totals;
    s->streams[0].options.when_full = STREAM_DROP_NEWEST;
    event.cursor = SLICE("10");
    s->store.room = 0;
    assert_int_equal(offer_event(s, &event), ERR_FULL); /* commits fail, say */
    s->store.is_full = true;
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(s->ticket, 1);
    assert_string_equal(s->aside, "");
    assert_int_equal(s->store.skipped, 1);
    assert_int_equal(s->store.event_count, 0);
    assert_int_equal(s->store.cursor_count, 1);
    assert_int_equal(s->driver.told, 0);
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 1);
    intake_totals(s->intake, &totals);
    assert_int_equal(totals.admitted, 1);
    assert_int_equal(totals.dropped, 1);
    assert_int_equal(totals.stored, 0);
    s->store.has_no_open = true;
    assert_int_equal(offer_event(s, &event), ERR_FULL);
    s->store.has_no_open = false;
    s->streams[0].options.when_full = STREAM_DROP_OLDEST;
    assert_int_equal(offer_event(s, &event), ERR_FULL);
    s->streams[0].options.when_full = STREAM_THIN;
    assert_int_equal(offer_event(s, &event), ERR_FULL);
    assert_int_equal(s->store.skipped, 1);
}

static void how_long_an_event_may_wait(void **state)
{
    struct scene *s = *state;
    struct event event = event_of("plant/1/m", "{\"v\":1}");
    assert_int_equal(offer_event(s, &event), ERR_OK);
    event.wants_ack = true;
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(offer(s, "plant/1", "{\"v\":1}"), ERR_OK); /* priority 7 */
    assert_int_equal(s->store.events[0].wait_ms, 5000);
    assert_int_equal(s->store.events[1].wait_ms, 250);
    assert_int_equal(s->store.events[2].wait_ms, 0);
    /* To spare the flash: an acknowledgement 5 s at most, even where it waits as long as all else. */
    s->config.common.ack_interval_ms = 5000;
    s->store.stretch = 30;
    event.wants_ack = true;
    event.subject = SLICE("plant/1/m");
    assert_int_equal(offer_event(s, &event), ERR_OK);
    event.wants_ack = false;
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(s->store.events[3].wait_ms, 5000);
    assert_int_equal(s->store.events[4].wait_ms, 150000);
}

/* --- time --- */

static void the_time_of_an_event(void **state)
{
    struct scene *s = *state;
    struct event event = event_of("plant/1/m", "{\"v\":1,\"at\":\"2026-03-01T00:00:00Z\"}");
    event.has_time = true;
    event.time_us = 77;
    assert_int_equal(offer_event(s, &event), ERR_OK);
    event.body = SLICE("{\"v\":1}");
    assert_int_equal(offer_event(s, &event), ERR_OK);
    event.has_time = false;
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(s->store.events[0].event.trust, TIME_PAYLOAD); /* the stream's option */
    assert_int_equal(s->store.events[0].event.time_us, INT64_C(1772323200000000));
    assert_int_equal(s->store.events[1].event.trust, TIME_PAYLOAD); /* the source's */
    assert_int_equal(s->store.events[1].event.time_us, 77);
    assert_int_equal(s->store.events[2].event.trust, TIME_WALL); /* its arrival */
    assert_int_equal(s->store.events[2].event.time_us, YEAR_2027);
}

static void a_clock_that_is_wrong(void **state)
{
    struct scene *s = *state;
    intake_close(s->intake);
    s->store.handler_count = 0;
    double_clock()->wall_us = 1;
    scene_open(s);
    struct event event = event_of("raw/x", "1");
    event.cursor = SLICE("10");
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(s->store.events[0].event.trust, TIME_BOOT);
    assert_int_equal(s->store.events[0].event.time_us, 9);
    assert_int_equal(s->store.events[0].event.boot, 7);
    assert_int_equal(s->store.events[0].event.fill_count, 1);
    assert_int_equal(s->store.events[0].event.fills[0].kind, FILL_TIME_MICROS);
    /* The note of it stands before the driver's cursor, which may not be parted from the event. */
    assert_int_equal(s->store.cursors[0].driver, 99);
    assert_int_equal(s->store.cursors[1].driver, 5);
    assert_int_equal(s->store.cursors[1].order + 1, s->store.events[0].order);
}

/* --- deadbands --- */

static void open_with_bands(struct scene *s)
{
    static const char *const names[] = {"v"};
    static struct stream_field field = {.deadband = {.mantissa = 2, .is_set = true}};
    intake_close(s->intake);
    s->store.handler_count = 0;
    s->templates[0] = "{topic.1}";
    s->streams[0].options.key = "site";
    s->streams[0].options.fields = (struct option_map){names, &field, 1};
    s->streams[0].options.max_interval_ms = 60000;
    scene_open(s);
}

static void within_their_bands_events_are_taken_and_not_stored(void **state)
{
    struct scene *s = *state;
    struct intake_totals totals;
    open_with_bands(s);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":10}"), ERR_OK);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":12}"), ERR_OK);
    assert_int_equal(offer(s, "plant/2/m", "{\"v\":12}"), ERR_OK); /* of another key */
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":8}"), ERR_OK);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":13}"), ERR_OK);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":\"x\"}"), ERR_OK); /* set aside, as ever */
    assert_string_equal(s->aside, "field \"v\": x is no int (a whole number of 32 bits)");
    assert_int_equal(s->store.event_count, 3);
    assert_datum(&s->store.events[2], s->schema, "{\"v\":13,\"site\":\"1\"}");
    intake_totals(s->intake, &totals);
    assert_int_equal(totals.admitted, 6);
    assert_int_equal(totals.stored, 3);
    assert_int_equal(totals.suppressed, 2);
    assert_int_equal(totals.aside, 1);
    assert_int_equal(intake_suppressed(s->intake, 0), 2);
    assert_int_equal(intake_suppressed(s->intake, 1), 0);
    assert_int_equal(s->ticket, 6);
    assert_int_equal(s->driver.told, 0); /* not before the event that stands for them */
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 6);
}

static void what_is_held_back_costs_no_commit_without_a_cursor(void **state)
{
    struct scene *s = *state;
    struct event event = event_of("plant/1/m", "{\"v\":9}");
    open_with_bands(s);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":10}"), ERR_OK);
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 1);
    assert_int_equal(offer_event(s, &event), ERR_OK);
    assert_int_equal(s->driver.told, 1); /* not within offer() */
    double_timers(&s->loop, 0);
    assert_int_equal(s->driver.told, 2);
    event.cursor = SLICE("30");
    assert_int_equal(offer_event(s, &event), ERR_OK);
    double_timers(&s->loop, 0);
    assert_int_equal(s->driver.told, 2); /* the cursor has to be durable */
    assert_int_equal(s->store.cursor_count, 1);
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 3);
    s->store.has_no_open = true;
    assert_int_equal(offer_event(s, &event), ERR_FULL);
    assert_int_equal(intake_suppressed(s->intake, 0), 2);
    s->store.has_no_open = false;
    double_commit(&s->store);
    assert_int_equal(s->driver.resumed, 1);
    assert_int_equal(s->store.event_count, 1);
}

static void what_was_refused_or_dropped_does_not_stand_for_others(void **state)
{
    struct scene *s = *state;
    open_with_bands(s);
    s->store.room = 0;
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":10}"), ERR_FULL);
    s->streams[0].options.when_full = STREAM_DROP_NEWEST;
    s->store.is_full = true;
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":10}"), ERR_OK);
    s->store.is_full = false;
    s->store.room = 2;
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":10}"), ERR_OK);
    assert_int_equal(s->store.event_count, 1);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":10}"), ERR_OK);
    assert_int_equal(s->store.event_count, 1);
    /* Another version of the schema: what was reported under the one before does not count. */
    intake_schema_set(s->intake, 0, s->schema, 31, false);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":10}"), ERR_OK);
    assert_int_equal(s->store.event_count, 2);
    /* Nor what a person offers again: that is always stored. */
    struct buffer_order order = {.kind = ORDER_ASIDE_DROP, .aside = 7};
    struct intake_again again = {
        .driver = SLICE("bus"), .event = event_of("plant/1/m", "{\"v\":10}"), .order = &order};
    uint64_t commit;
    struct why why;
    s->store.room = 1;
    assert_int_equal(intake_offer_again(s->intake, &again, &commit, &why), ERR_OK);
    assert_int_equal(s->store.event_count, 3);
}

/* --- status, stop --- */

static void status_counts(void **state)
{
    struct scene *s = *state;
    char text[512];
    struct out o = out_over(text, sizeof text - 1);
    struct why why = {"no \"device\""};
    assert_string_equal(driver_name(s->driver.host), "bus");
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":1,\"x\":2}"), ERR_OK);
    driver_count(s->driver.host, "lines", 2);
    driver_count(s->driver.host, "lines", 3);
    driver_fault(s->driver.host, &why);
    driver_fault(s->driver.host, &why);
    assert_int_equal(double_clock()->warnings, 1); /* when it changes */
    intake_status(s->intake, &o);
    text[o.size] = 0;
    assert_string_equal(
        text, "{\"bus\":{\"type\":\"double\",\"received\":1,\"stored\":1,\"dropped\":0,"
              "\"suppressed\":0,\"aside\":0,"
              "\"replayed\":0,\"refused\":0,\"unknown_fields\":1,\"lines\":5,\"fault\":\"no "
              "\\\"device\\\"\",\"last_fault\":null}}");
    driver_fault(s->driver.host, NULL);
    o.size = 0;
    intake_status(s->intake, &o);
    text[o.size] = 0;
    assert_non_null(strstr(text, "\"fault\":null,\"last_fault\":{\"text\":\"no \\\"device\\\"\","
                                 "\"ended_s\":0}"));
}

static void stopping_takes_no_more(void **state)
{
    struct scene *s = *state;
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":1}"), ERR_OK);
    intake_stop(s->intake);
    assert_true(s->driver.is_stopped);
    assert_int_equal(offer(s, "plant/1/m", "{\"v\":2}"), ERR_FULL);
    double_commit(&s->store);
    assert_int_equal(s->driver.told, 1); /* what was offered before is still told */
    assert_int_equal(s->driver.resumed, 0);
    assert_int_equal(s->store.event_count, 1);
}

/* --- set-aside events, offered again --- */

static struct intake_again again_of(const char *subject, const char *json,
                                    struct buffer_order *order)
{
    *order = (struct buffer_order){.kind = ORDER_ASIDE_DROP, .aside = 7};
    return (struct intake_again){
        .driver = SLICE("bus"), .event = event_of(subject, json), .order = order};
}

static void assert_again(struct scene *s, const struct intake_again *again, enum err expected,
                         const char *text)
{
    struct why why = {""};
    uint64_t commit = 0;
    size_t events = s->store.event_count;
    size_t orders = s->store.order_count;
    assert_int_equal(intake_offer_again(s->intake, again, &commit, &why), expected);
    assert_string_equal(why.text, text);
    assert_int_equal(s->store.event_count, events + (expected == ERR_OK));
    assert_int_equal(s->store.order_count, orders + (expected == ERR_OK));
    assert_int_equal(s->store.aside_count, 0); /* it is one already */
    if (!expected) {
        assert_int_equal(commit, s->store.open);
        assert_int_equal(s->store.events[events].commit, commit);
        assert_int_equal(s->store.order_commits[orders], commit);
        assert_int_equal(again->order->range.first, events + 1);
        assert_int_equal(again->order->range.last, events + 1);
    }
}

static void an_event_and_its_order_are_in_one_commit(void **state)
{
    struct scene *s = *state;
    struct buffer_order orders[3];
    struct intake_again again = again_of("plant/7/m", "{\"v\":3}", &orders[0]);
    const struct stored_event arrival = {.trust = TIME_WALL, .time_us = YEAR_2027 - 77};
    again.arrival = &arrival;
    assert_again(s, &again, ERR_OK, "");
    assert_datum(&s->store.events[0], s->schema, "{\"v\":3,\"site\":\"7-bus-box-3\"}");
    assert_int_equal(s->store.events[0].event.time_us, YEAR_2027 - 77);
    assert_int_equal(s->store.events[0].event.trust, TIME_WALL);
    again = again_of("plant/7/m", "{\"v\":3}", &orders[1]);
    again.event.has_time = true;
    again.event.time_us = 12;
    again.arrival = &arrival;
    assert_again(s, &again, ERR_OK, "");
    assert_int_equal(s->store.events[1].event.time_us, 12);
    assert_int_equal(s->store.events[1].event.trust, TIME_PAYLOAD);
    again = again_of("plant/7/m", "{\"v\":3}", &orders[2]);
    assert_again(s, &again, ERR_OK, "");
    assert_int_equal(s->store.events[2].event.time_us, YEAR_2027);
    assert_int_equal(offer(s, "plant/7/m", "{\"v\":3}"), ERR_OK);
    assert_int_equal(s->store.events[3].event.time_us, YEAR_2027); /* not that of the one before */
}

static void what_still_does_not_fit_stays(void **state)
{
    struct scene *s = *state;
    struct buffer_order order;
    struct intake_again again = again_of("plant/7/m", "{\"site\":\"x\"}", &order);
    assert_again(s, &again, ERR_REJECTED,
                 "field \"v\": is missing, and the schema has no default for it");
    again = again_of("other", "{\"v\":3}", &order);
    assert_again(s, &again, ERR_REJECTED, "no route of driver bus takes its subject");
    again = again_of("plant/7/m", "{\"v\":3}", &order);
    again.driver = SLICE("bu");
    assert_again(s, &again, ERR_REJECTED, "there is no driver \"bu\" any more");
}

static void a_full_store_makes_it_wait(void **state)
{
    struct scene *s = *state;
    struct buffer_order order;
    struct intake_again again = again_of("plant/7/m", "{\"v\":3}", &order);
    s->store.takes_no_orders = true;
    assert_again(s, &again, ERR_FULL, "");
    s->store.takes_no_orders = false;
    s->store.has_no_open = true;
    assert_again(s, &again, ERR_FULL, "");
    s->store.has_no_open = false;
    s->store.room = 0;
    s->store.is_full = true;
    s->streams[0].options.when_full = STREAM_DROP_NEWEST;
    assert_again(s, &again, ERR_FULL, ""); /* it is kept where it is, nothing is dropped */
    assert_int_equal(s->store.skipped, 0);
    s->store.room = 1;
    assert_again(s, &again, ERR_OK, "");
    intake_stop(s->intake);
    assert_again(s, &again, ERR_CLOSED, "the agent is being stopped");
}

static void a_datum_that_was_refused(void **state)
{
    struct scene *s = *state;
    struct buffer_order order = {.kind = ORDER_ASIDE_DROP, .aside = 7, .uplink = 2, .stream = 11};
    struct stored_event event = {.stream = 11, .schema = 21, .datum = SLICE("\x06\x00")};
    uint64_t commit = 0;
    assert_int_equal(intake_put_again(s->intake, &event, &order, &commit), ERR_OK);
    assert_int_equal(s->store.events[0].event.time_us, YEAR_2027); /* it had none */
    assert_int_equal(order.range.first, 1);
    event.trust = TIME_PAYLOAD;
    event.time_us = -5;
    assert_int_equal(intake_put_again(s->intake, &event, &order, &commit), ERR_OK);
    assert_int_equal(s->store.events[1].event.time_us, -5);
    s->store.room = 0;
    assert_int_equal(intake_put_again(s->intake, &event, &order, &commit), ERR_FULL);
    assert_int_equal(s->store.order_count, 2);
}

/* What is kept beside the bytes is what was offered. */
static void the_head_of_a_set_aside_event(void **state)
{
    struct scene *s = *state;
    static struct field taken[EVENT_FIELD_MAX];
    const struct field field = {SLICE("qos"), {.kind = VALUE_INT, .as.integer = 1}};
    struct event event = event_of("plant/7/m", "{}");
    struct aside_head head;
    event.fields = &field;
    event.field_count = 1;
    assert_int_equal(offer_event(s, &event), ERR_OK);
    const struct double_aside *aside = &s->store.asides[0];
    assert_true(aside_head_take((struct slice){aside->head, aside->head_size}, &head, taken));
    assert_true(slice_equal_text(head.driver, "bus"));
    assert_true(slice_equal_text(head.subject, "plant/7/m"));
    assert_int_equal(head.trust, TIME_WALL);
    assert_int_equal(head.time_us, YEAR_2027);
    assert_int_equal(head.field_count, 1);
    assert_int_equal(taken[0].value.as.integer, 1);
    event.has_time = true;
    event.time_us = 4;
    event.unusable = "no";
    assert_int_equal(offer_event(s, &event), ERR_OK);
    aside = &s->store.asides[1];
    assert_true(aside_head_take((struct slice){aside->head, aside->head_size}, &head, taken));
    assert_int_equal(head.trust, TIME_PAYLOAD);
    assert_int_equal(head.time_us, 4);
    assert_true(head.is_unusable);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(the_first_route_takes_it),
                                       TEST(what_no_route_takes_is_set_aside),
                                       TEST(streams_without_a_schema_take_everything),
                                       TEST(what_does_not_fit_is_set_aside_and_stops_nothing),
                                       TEST(tickets_are_told_after_their_commit),
                                       TEST(cursors_ride_with_their_events),
                                       TEST(a_full_store_refuses_and_resumes),
                                       TEST(what_finds_no_room_is_dropped_where_that_is_wanted),
                                       TEST(how_long_an_event_may_wait),
                                       TEST(the_time_of_an_event),
                                       TEST(a_clock_that_is_wrong),
                                       TEST(an_event_and_its_order_are_in_one_commit),
                                       TEST(what_still_does_not_fit_stays),
                                       TEST(a_full_store_makes_it_wait),
                                       TEST(a_datum_that_was_refused),
                                       TEST(the_head_of_a_set_aside_event),
                                       TEST(within_their_bands_events_are_taken_and_not_stored),
                                       TEST(what_is_held_back_costs_no_commit_without_a_cursor),
                                       TEST(what_was_refused_or_dropped_does_not_stand_for_others),
                                       TEST(status_counts),
                                       TEST(stopping_takes_no_more)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
