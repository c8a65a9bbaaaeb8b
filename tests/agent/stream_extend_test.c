/* The whole agent with a stream whose schema grows by what events bring: nothing is lost or comes
 * twice, whatever happens meanwhile; and a restart goes on with what was added. */
#include "agent/stream_extend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "ports/file.h"
#include "tests/agent/life.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/sim.h"

#define SCHEMA(fields) \
    "{\"type\":\"record\",\"name\":\"Line\",\"doc\":\"a line\",\"fields\":[{\"name\":\"a\"," \
    "\"type\":\"int\"}" fields "]}"
#define V1 SCHEMA("")
#define HAS_B SCHEMA(",{\"name\":\"b\",\"type\":\"string\",\"default\":\"\"}")
#define HAS_X SCHEMA(",{\"name\":\"x\",\"type\":\"string\",\"default\":\"\"}")

static void schema_put(const struct scene *scene, const char *text)
{
    char path[128];
    struct why why;
    (void)snprintf(path, sizeof path, "%s/lines.avsc", scene->folder);
    assert_int_equal(file_replace(path, slice_of_text(text), 0600, &why), ERR_OK);
}

static void config_put(struct scene *scene, const char *mode)
{
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "{\"agent\":{\"id\":\"pump-7\"},"
                   "\"buffer\":{\"path\":\"/buffer.db\",\"size_max\":\"16 MiB\"},"
                   "\"streams\":{\"lines\":{\"schema\":\"%s/lines.avsc\",\"compatibility\":\"%s\","
                   "\"unknown_fields\":\"extend\"}},\"drivers\":{\"in\":{\"type\":\"hand\","
                   "\"stream\":\"lines\"}},"
                   "\"uplinks\":{\"cloud\":{\"type\":\"double\",\"linger\":\"0 s\"}}}",
                   scene->folder, mode);
    life_config(scene, text);
}

static int extend_setup(void **state)
{
    int code = life_setup(state);
    schema_put(*state, V1);
    config_put(*state, "full_transitive");
    return code;
}

static int extend_teardown(void **state)
{
    struct scene *scene = *state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/lines.avsc", scene->folder);
    (void)unlink(path);
    return life_teardown(state);
}

static const struct agent_stream *lines(const struct scene *scene)
{
    return &scene->agent->streams[0];
}

static bool has_field(const struct scene *scene, const char *name)
{
    return avro_field_find(avro_schema_root(lines(scene)->schema), slice_of_text(name), 0) >= 0;
}

static unsigned arrived_under(const struct scene *scene, uint32_t schema)
{
    unsigned count = 0;
    for (size_t i = 0; i < scene->script.sent_count; i++) {
        const struct double_sent *sent = &scene->script.sent[i];
        bool counts = sent->stream == lines(scene)->number && sent->schema == schema &&
                      sent->answered && sent->result == SEND_OK;
        count += counts ? sent->event_count : 0;
    }
    return count;
}

/* One try. */
static enum err offer(struct scene *scene, const char *json)
{
    uint64_t ticket;
    struct event event = {.body_kind = BODY_JSON,
                          .body = slice_of_text(json),
                          .subject = SLICE("x"),
                          .source = SLICE("hand")};
    return driver_offer(scene->driver, &event, &ticket, NULL);
}

static void the_event_waits_and_comes_in_under_the_new_schema(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t first = lines(scene)->schema_number;
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
    assert_int_equal(offer(scene, "{\"a\":2,\"x\":1.5,\"in\":{\"y\":[1]},\"n\":null}"), ERR_FULL);
    assert_int_equal(offer(scene, "{\"a\":2,\"z\":1}"), ERR_FULL); /* one step at a time */
    assert_int_equal(offer(scene, "{\"a\":3}"), ERR_OK);           /* these do not wait */
    assert_int_equal(lines(scene)->schema_number, first);
    unsigned resumed = scene->resumed;
    sim_run_for(100);
    assert_true(scene->resumed > resumed);
    uint32_t second = lines(scene)->schema_number;
    assert_int_not_equal(first, second);
    assert_int_equal(offer(scene, "{\"a\":2,\"x\":1.5,\"in\":{\"y\":[1]},\"n\":null}"), ERR_OK);
    assert_true(has_field(scene, "x") && has_field(scene, "in") && !has_field(scene, "n"));
    assert_true(
        slice_starts_with(avro_schema_text(lines(scene)->schema),
                          SLICE("{\"type\":\"record\",\"name\":\"Line\",\"doc\":\"a line\",")));
    assert_int_equal(stream_extend_count(lines(scene)), 3);
    sim_run_for(20000);
    assert_int_equal(arrived_under(scene, first), 2);
    assert_int_equal(arrived_under(scene, second), 1);
    assert_int_equal(life_arrived_of(scene, "lines", 3), 3);
    assert_int_equal(life_arrived_of(scene, "weir.events", 3), 2); /* the start, and this */
}

static void what_conflicts_is_set_aside(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(life_open(scene), ERR_OK);
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"x\":5}"), "");
    uint32_t number = lines(scene)->schema_number;
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"x\":\"text\"}"),
                        "field \"x\": text is no long (a whole number of 64 bits)");
    assert_non_null(
        strstr(life_offer_json(scene, "x", "{\"a\":1,\"b c\":1}"), "can't be added to the schema"));
    /* What does not fit anyway adds nothing. */
    assert_non_null(strstr(life_offer_json(scene, "x", "{\"a\":true,\"y\":1}"), "is no int"));
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"x\":null,\"z\":[]}"), "");
    assert_int_equal(lines(scene)->schema_number, number);
}

static void a_stream_gets_no_more_than_so_many(void **state)
{
    struct scene *scene = *state;
    char json[128];
    assert_int_equal(life_open(scene), ERR_OK);
    for (int i = 0; i < EXTEND_MAX + 6; i++) {
        (void)snprintf(json, sizeof json, "{\"a\":1,\"x%d\":%d}", i, i);
        const char *aside = life_offer_json(scene, "x", json);
        assert_int_equal(aside[0] != '\0', i >= EXTEND_MAX);
        assert_true(!aside[0] || strstr(aside, "at most 64 are added"));
    }
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"x0\":7,\"x63\":7}"), "");
    assert_int_equal(stream_extend_count(lines(scene)), EXTEND_MAX);
    life_close(scene);
    assert_int_equal(life_open(scene), ERR_OK); /* which does not start to count anew */
    assert_true(life_offer_json(scene, "x", "{\"a\":1,\"y\":1}")[0] != '\0');
}

static void a_restart_goes_on_with_what_was_added(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(life_open(scene), ERR_OK);
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"x\":5}"), "");
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"y\":5}"), "");
    uint32_t number = lines(scene)->schema_number;
    for (int i = 0; i < 3; i++) {
        life_stop_ms(scene);
        life_close(scene);
        assert_int_equal(life_open(scene), ERR_OK);
        assert_int_equal(lines(scene)->schema_number, number);
        assert_int_equal(stream_extend_count(lines(scene)), 2);
        assert_int_equal(offer(scene, "{\"a\":1,\"x\":6,\"y\":7}"), ERR_OK);
    }
    /* A new file goes through the gate; what it lacks is added anew when it comes. */
    life_close(scene);
    schema_put(scene, HAS_B);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_null(lines(scene)->refusal);
    assert_true(lines(scene)->schema_number > number);
    assert_true(has_field(scene, "b") && !has_field(scene, "x"));
    assert_int_equal(stream_extend_count(lines(scene)), 0);
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"x\":5}"), "");
    assert_true(has_field(scene, "x") && !has_field(scene, "y"));
    /* And back. */
    life_close(scene);
    schema_put(scene, V1);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_int_equal(lines(scene)->schema_number, number);
}

/* x was a text once, in the first file. */
static void what_the_mode_refuses_is_set_aside(void **state)
{
    struct scene *scene = *state;
    schema_put(scene, HAS_X);
    assert_int_equal(life_open(scene), ERR_OK);
    life_close(scene);
    schema_put(scene, V1);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_null(lines(scene)->refusal);
    uint32_t number = lines(scene)->schema_number;
    for (int i = 0; i < 3; i++) {
        const char *aside = life_offer_json(scene, "x", "{\"a\":1,\"x\":5}");
        assert_non_null(strstr(aside, "field x: is not in the schema, and can't be added: "));
        assert_non_null(strstr(aside, "/fields/1"));
        assert_int_equal(lines(scene)->schema_number, number);
        /* and is known from then on: nothing waits for the gate again */
        assert_int_equal(offer(scene, "{\"a\":1,\"x\":6}"), ERR_OK);
    }
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"y\":5}"), "");
    assert_true(has_field(scene, "y"));
    life_close(scene);
    schema_put(scene, "{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"a\",\"type\":"
                      "\"boolean\"}]}");
    assert_int_equal(life_open(scene), ERR_OK);
    assert_non_null(lines(scene)->refusal);
    assert_non_null(strstr(life_offer_json(scene, "x", "{\"a\":1,\"z\":5}"),
                           "none is added while the schema that is configured is refused"));
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"y\":5}"), "");
}

/* Each life ends at another moment of the change. */
static void an_end_in_the_middle_loses_nothing(void **state)
{
    struct scene *scene = *state;
    char json[128];
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(json, sizeof json, "{\"a\":%u,\"x%u\":\"v\"}", i, i);
        assert_int_equal(life_open(scene), ERR_OK);
        assert_int_equal(offer(scene, json), ERR_FULL);
        sim_run_for(i / 4);
        life_close(scene);
        assert_int_equal(life_open(scene), ERR_OK);
        assert_string_equal(life_offer_json(scene, "x", json), "");
        (void)snprintf(json, sizeof json, "x%u", i);
        assert_true(has_field(scene, json));
        assert_int_equal(stream_extend_count(lines(scene)), i + 1);
        life_stop_ms(scene);
        life_close(scene);
    }
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(20000);
    assert_int_equal(life_arrived_of(scene, "lines", 40), 40);
}

static void a_disk_that_takes_nothing_is_waited_for(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t number = lines(scene)->schema_number;
    sim_run_for(20000);
    crash_vfs_read_only_set(scene->disk, true);
    unsigned resumed = scene->resumed;
    assert_int_equal(offer(scene, "{\"a\":1,\"x\":5}"), ERR_FULL);
    sim_run_for(5000);
    assert_true(scene->resumed > resumed);
    assert_int_equal(lines(scene)->schema_number, number);
    crash_vfs_read_only_set(scene->disk, false);
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"x\":5}"), "");
    sim_run_for(20000);
    assert_int_equal(arrived_under(scene, lines(scene)->schema_number), 1);
}

/* A new file, to whose schema nothing was added yet. */
static void begin_anew(struct scene *scene, unsigned n)
{
    char text[256];
    life_stop_ms(scene);
    life_close(scene);
    (void)snprintf(text, sizeof text,
                   SCHEMA(",{\"name\":\"b\",\"type\":\"string\",\"default\":\"%u\"}"), n);
    schema_put(scene, text);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_int_equal(stream_extend_count(lines(scene)), 0);
}

static void allocations_that_fail_lose_nothing(void **state)
{
    struct scene *scene = *state;
    char json[128];
    unsigned failed = 0;
    unsigned n = 1;
    assert_int_equal(life_open(scene), ERR_OK);
    for (; n <= 150; n++) {
        (void)snprintf(json, sizeof json, "{\"a\":1,\"x%u\":%u}", n, n);
        fault_alloc_set(n);
        assert_int_equal(offer(scene, json), ERR_FULL);
        sim_run_for(50);
        failed += fault_alloc_happened();
        fault_alloc_set(0);
        assert_string_equal(life_offer_json(scene, "x", json), "");
        assert_int_equal(stream_extend_count(lines(scene)), (n - 1) % 30 + 1);
        if (n % 30 == 0) {
            begin_anew(scene, n);
        }
    }
    print_message("allocations that failed: %u\n", failed);
    assert_int_equal(failed, n - 1); /* what runs beside it allocates as well */
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", n - 1), n - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, extend_setup, extend_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_event_waits_and_comes_in_under_the_new_schema),
        TEST(what_conflicts_is_set_aside),
        TEST(a_stream_gets_no_more_than_so_many),
        TEST(a_restart_goes_on_with_what_was_added),
        TEST(what_the_mode_refuses_is_set_aside),
        TEST(an_end_in_the_middle_loses_nothing),
        TEST(a_disk_that_takes_nothing_is_waited_for),
        TEST(allocations_that_fail_lose_nothing),
    };
    return cmocka_run_group_tests_name("stream_extend", tests, NULL, NULL);
}
