/* Schemas that are taken over while the agent runs, and what a reload takes up. */
#include "agent/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/schema_take.h"
#include "tests/agent/gate_scene.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/sim.h"

/* --- while it runs --- */

struct taking {
    struct schema_take take;
    unsigned done;
    enum err e;
};

static void taken(struct schema_take *take, enum err e)
{
    struct taking *t = CONTAINER_OF(take, struct taking, take);
    t->done++;
    t->e = e;
}

static void take_put(struct scene *scene, struct taking *t, const char *text, enum avro_mode mode)
{
    *t = (struct taking){.take = {.mode = mode, .done = taken}};
    assert_int_equal(avro_schema_parse(&t->take.schema, slice_of_text(text), NULL), ERR_OK);
    assert_int_equal(agent_schema_take(scene->agent, 0, &t->take), ERR_OK);
}

static void a_schema_is_taken_over_while_it_runs(void **state)
{
    struct scene *scene = *state;
    struct taking t;
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t first = scene_lines(scene)->schema_number;
    for (unsigned i = 0; i < 50; i++) {
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
    }
    take_put(scene, &t, HAS_B, AVRO_MODE_BACKWARD);
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
    assert_int_equal(scene_lines(scene)->schema_number, first); /* not before it is durable */
    sim_run_for(1000);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.e, ERR_OK);
    assert_null(t.take.answer.refusal);
    uint32_t second = scene_lines(scene)->schema_number;
    assert_int_equal(second, t.take.answer.number);
    assert_int_not_equal(second, first);
    for (unsigned i = 0; i < 30; i++) {
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":2,\"b\":\"two\"}"), "");
    }
    sim_run_for(20000);
    assert_int_equal(scene_arrived_under(scene, first), 51);
    assert_int_equal(scene_arrived_under(scene, second), 30);
    assert_int_equal(agent_schema_stream(scene->agent, second), scene_lines(scene)->number);
    take_put(scene, &t, OTHER_A, AVRO_MODE_BACKWARD);
    sim_run_for(1000);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.e, ERR_OK);
    assert_non_null(t.take.answer.refusal);
    free(t.take.answer.refusal);
    assert_int_equal(scene_lines(scene)->schema_number, second);
    take_put(scene, &t, V1, AVRO_MODE_FULL); /* back, which is known */
    sim_run_for(1000);
    assert_null(t.take.answer.refusal);
    assert_int_equal(scene_lines(scene)->schema_number, first);
    life_close(scene);
    scene_schema_put(scene, HAS_B);
    assert_int_equal(life_open(scene), ERR_OK); /* it was durable */
    assert_int_equal(scene_lines(scene)->schema_number, second);
}

static void a_take_ends_when_the_agent_does(void **state)
{
    struct scene *scene = *state;
    struct taking t;
    assert_int_equal(life_open(scene), ERR_OK);
    take_put(scene, &t, HAS_B, AVRO_MODE_BACKWARD);
    life_close(scene);
    assert_int_equal(t.done, 1);
    assert_null(t.take.schema);
}

static void a_take_without_memory_can_be_tried_again(void **state)
{
    struct scene *scene = *state;
    struct taking t;
    char text[512];
    unsigned failed = 0;
    bool happened = true;
    assert_int_equal(life_open(scene), ERR_OK);
    for (unsigned n = 1; happened; n++) {
        uint32_t before = scene_lines(scene)->schema_number;
        (void)snprintf(text, sizeof text,
                       SCHEMA(",{\"name\":\"b\",\"type\":\"string\",\"default\":\"%u\"}"), n);
        take_put(scene, &t, text, AVRO_MODE_BACKWARD);
        fault_alloc_set(n);
        sim_run_for(500);
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(t.done, 1);
        assert_null(t.take.answer.refusal);
        failed += t.e != ERR_OK;
        if (t.e) {
            assert_int_equal(scene_lines(scene)->schema_number, before);
            take_put(scene, &t, text, AVRO_MODE_BACKWARD);
            sim_run_for(500);
        }
        assert_int_equal(t.e, ERR_OK);
        assert_int_not_equal(scene_lines(scene)->schema_number, before);
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
        assert_true(n < 1000);
    }
    print_message("takes that failed for want of memory: %u\n", failed);
    assert_true(failed > 10);
}

/* --- reloading --- */

struct reloading {
    struct config *newer;
    unsigned done;
    char json[4096];
};

static void reloaded(void *context, struct slice json)
{
    struct reloading *r = context;
    r->done++;
    assert_true(slice_to_text(json, r->json, sizeof r->json));
    config_close(r->newer);
    r->newer = NULL;
}

static enum err reload_put(struct scene *scene, struct reloading *r)
{
    struct agent_reload_setup setup = {
        .older = scene->config, .newer = r->newer, .done = reloaded, .context = r};
    return agent_reload(scene->agent, &setup);
}

static enum err reload_begin(struct scene *scene, struct reloading *r, const char *mode)
{
    char text[2048];
    scene_config_text(scene, mode, text, sizeof text);
    *r = (struct reloading){.newer = life_config_load(scene, text)};
    return reload_put(scene, r);
}

static void a_reload_takes_the_gate(void **state)
{
    struct scene *scene = *state;
    struct reloading r;
    char expected[128];
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t first = scene_lines(scene)->schema_number;
    assert_int_equal(reload_begin(scene, &r, "backward"), ERR_OK); /* nothing is new */
    assert_int_equal(r.done, 1);
    assert_string_equal(r.json,
                        "{\"reloaded\":true,\"streams\":[],\"taken\":[],\"needs_restart\":[],"
                        "\"waiting\":[]}");
    scene_schema_put(scene, NEEDS_B);
    assert_int_equal(reload_begin(scene, &r, "full"), ERR_OK);
    struct reloading second;
    assert_int_equal(reload_begin(scene, &second, "full"), ERR_FULL);
    config_close(second.newer);
    sim_run_for(1000);
    assert_int_equal(r.done, 1);
    assert_non_null(strstr(r.json, "\"result\":\"refused\""));
    assert_non_null(strstr(r.json, "READER_FIELD_MISSING_DEFAULT_VALUE /fields/1"));
    assert_non_null(strstr(r.json, "\"taken\":[\"$.streams.lines.compatibility\"]"));
    assert_non_null(scene_lines(scene)->refusal);
    assert_int_equal(scene_lines(scene)->refusal->mode, AVRO_MODE_FULL);
    assert_int_equal(scene_lines(scene)->schema_number, first);
    scene_schema_put(scene, V1); /* the way back */
    assert_int_equal(reload_begin(scene, &r, "full"), ERR_OK);
    sim_run_for(1000);
    assert_null(scene_lines(scene)->refusal);
    assert_int_equal(scene_lines(scene)->schema_number, first);
    scene_schema_put(scene, HAS_B);
    assert_int_equal(reload_begin(scene, &r, "full"), ERR_OK);
    sim_run_for(1000);
    assert_null(scene_lines(scene)->refusal);
    assert_int_not_equal(scene_lines(scene)->schema_number, first);
    (void)snprintf(expected, sizeof expected,
                   "\"streams\":[{\"name\":\"lines\",\"result\":\"accepted\",\"schema\":%u,",
                   scene_lines(scene)->schema_number);
    assert_non_null(strstr(r.json, expected));
    scene_schema_put(scene,
                     "{\"type\":\"string\"}"); /* weir check would say so; it may come between */
    assert_int_equal(reload_begin(scene, &r, "none"), ERR_OK);
    assert_int_equal(r.done, 1);
    assert_non_null(strstr(r.json, "\"result\":\"failed\""));
    assert_non_null(strstr(r.json, "must be a record"));
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
}

/* Its drivers are as they were. */
static void a_stop_comes_before_a_reload_is_done(void **state)
{
    struct scene *scene = *state;
    struct reloading r;
    assert_int_equal(life_open(scene), ERR_OK);
    scene_schema_put(scene, HAS_B);
    assert_int_equal(reload_begin(scene, &r, "full"), ERR_OK);
    (void)life_stop_ms(scene);
    assert_int_equal(r.done, 1);
    assert_non_null(strstr(r.json, "{\"error\":\"the agent is stopping"));
}

static void put_large(const struct scene *scene, int number)
{
    static char text[250 * 1024];
    (void)snprintf(text, sizeof text, "%.*s,\"doc\":\"%0*d\"}", (int)(sizeof HAS_B - 2), HAS_B,
                   240 * 1024, number);
    scene_schema_put(scene, text);
}

/* The disk is full: events go on under the version of before, and what is stored leaves. */
static void a_new_schema_waits_for_room(void **state)
{
    struct scene *scene = *state;
    struct reloading r;
    struct crash_counts counts;
    uint32_t before = 0;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    for (int i = 1; scene_lines(scene)->schema_number != before; i++) {
        assert_in_range(i, 1, 5);
        before = scene_lines(scene)->schema_number;
        for (unsigned n = 0; n < 20; n++) {
            assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
        }
        sim_run_for(10000);
        life_close(scene);
        put_large(scene, i);
        crash_vfs_counts(scene->disk, &counts);
        crash_vfs_disk_size_set(scene->disk, counts.size);
        assert_int_equal(life_open(scene), ERR_OK);
    }
    scene->script.holds = false;
    life_close(scene);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
    sim_run_for(30000);
    assert_int_equal(scene_arrived_under(scene, before), 21);
    assert_int_equal(reload_begin(scene, &r, "backward"), ERR_OK);
    sim_run_for(1000);
    assert_non_null(strstr(r.json, "\"result\":\"failed\""));
    assert_non_null(strstr(r.json, "the disk is full: free room on it"));
    crash_vfs_disk_size_set(scene->disk, UINT64_MAX);
    assert_int_equal(reload_begin(scene, &r, "backward"), ERR_OK);
    sim_run_for(1000);
    assert_int_equal(r.done, 1);
    assert_non_null(strstr(r.json, "\"result\":\"accepted\""));
    assert_int_not_equal(scene_lines(scene)->schema_number, before);
}

/* Back and forth: each batch has events of one version, in the order in which they came. */
static void a_batch_never_mixes_schemas(void **state)
{
    struct scene *scene = *state;
    struct reloading r;
    uint32_t under[201] = {0};
    uint64_t checked = 0;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    for (uint64_t sequence = 1; sequence <= 200; sequence++) {
        if (sequence % 10 == 1) {
            scene_schema_put(scene, sequence % 20 == 1 ? HAS_B : V1);
            assert_int_equal(reload_begin(scene, &r, "none"), ERR_OK);
            sim_run_for(50); /* most are in one row with those before */
            assert_int_equal(r.done, 1);
        }
        under[sequence] = scene_lines(scene)->schema_number;
        assert_int_equal(under[sequence],
                         sequence % 20 >= 1 && sequence % 20 <= 10 ? under[1] : under[11]);
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":1,\"b\":\"y\"}"), "");
    }
    assert_int_not_equal(under[1], under[11]);
    scene->script.holds = false;
    sim_run_for(10000);
    while (double_lent(&scene->script) > 0) {
        double_answer(&scene->script, SEND_OK, 0);
    }
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", 200), 200);
    for (size_t i = 0; i < scene->script.sent_count; i++) {
        const struct double_sent *sent = &scene->script.sent[i];
        for (uint64_t s = sent->first;
             sent->stream == scene_lines(scene)->number && s <= sent->last; s++) {
            assert_int_equal(sent->schema, under[s]);
            checked++;
        }
    }
    assert_true(checked >= 200);
}

/* Taken over by something else than the file: that stays while the file does. */
static void a_reload_leaves_what_the_file_did_not_change(void **state)
{
    struct scene *scene = *state;
    struct reloading r;
    struct taking t;
    assert_int_equal(life_open(scene), ERR_OK);
    take_put(scene, &t, HAS_B, AVRO_MODE_BACKWARD);
    sim_run_for(1000);
    uint32_t second = scene_lines(scene)->schema_number;
    assert_int_equal(second, t.take.answer.number);
    assert_int_equal(reload_begin(scene, &r, "full"), ERR_OK);
    assert_int_equal(r.done, 1);
    assert_int_equal(scene_lines(scene)->schema_number, second);
    scene_schema_put(scene, HAS_C);
    assert_int_equal(reload_begin(scene, &r, "full"), ERR_OK);
    sim_run_for(1000);
    assert_int_equal(r.done, 1);
    assert_null(scene_lines(scene)->refusal);
    assert_true(scene_lines(scene)->schema_number > second);
}

static void a_reload_ends_when_the_agent_does(void **state)
{
    struct scene *scene = *state;
    struct reloading r;
    assert_int_equal(life_open(scene), ERR_OK);
    scene_schema_put(scene, HAS_B);
    assert_int_equal(reload_begin(scene, &r, "backward"), ERR_OK);
    assert_int_equal(r.done, 0);
    life_close(scene);
    assert_int_equal(r.done, 1);
}

static void a_reload_without_memory_can_be_tried_again(void **state)
{
    struct scene *scene = *state;
    struct reloading r;
    char text[512];
    unsigned failed = 0;
    bool happened = true;
    assert_int_equal(life_open(scene), ERR_OK);
    for (unsigned n = 1; happened; n++) {
        uint32_t before = scene_lines(scene)->schema_number;
        (void)snprintf(text, sizeof text,
                       SCHEMA(",{\"name\":\"b\",\"type\":\"string\",\"default\":\"%u\"}"), n);
        scene_schema_put(scene, text);
        scene_config_text(scene, "backward", text, sizeof text);
        r = (struct reloading){.newer = life_config_load(scene, text)};
        fault_alloc_set(n);
        enum err e = reload_put(scene, &r);
        if (!e) {
            sim_run_for(500);
        }
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(r.done, e ? 0 : 1);
        config_close(e ? r.newer : NULL);
        if (scene_lines(scene)->schema_number == before) {
            failed++;
            assert_true(e == ERR_NOMEM || strstr(r.json, "\"failed\""));
            assert_int_equal(reload_begin(scene, &r, "backward"), ERR_OK);
            sim_run_for(500);
        }
        assert_int_not_equal(scene_lines(scene)->schema_number, before);
        assert_null(scene_lines(scene)->refusal);
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
        assert_true(n < 1000);
    }
    print_message("reloads that failed for want of memory: %u\n", failed);
    assert_true(failed > 10);
}

/* The mapper has room for so many fields of a record, and no more. */
static void a_stream_takes_no_record_of_too_many_fields(void **state)
{
    struct scene *scene = *state;
    static char text[80000];
    struct out o = out_over(text, sizeof text - 1);
    struct reloading r;
    out_put_text(&o, "{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"a\",\"type\":"
                     "\"int\"}");
    for (int i = 0; i < 1024; i++) {
        out_put_format(&o, ",{\"name\":\"f%d\",\"type\":\"int\",\"default\":0}", i);
    }
    out_put_text(&o, "]}");
    text[o.size] = '\0';
    assert_false(o.overflow);
    assert_int_equal(life_open(scene), ERR_OK);
    scene_schema_put(scene, text);
    assert_int_equal(reload_begin(scene, &r, "backward"), ERR_OK);
    assert_non_null(strstr(r.json, "at most 1024 fields"));
    life_close(scene);
    assert_int_equal(life_open(scene), ERR_CONFIG);
    assert_non_null(strstr(scene->why.text, "at most 1024 fields"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_schema_is_taken_over_while_it_runs),
        TEST(a_take_ends_when_the_agent_does),
        TEST(a_take_without_memory_can_be_tried_again),
        TEST(a_reload_takes_the_gate),
        TEST(a_stop_comes_before_a_reload_is_done),
        TEST(a_new_schema_waits_for_room),
        TEST(a_batch_never_mixes_schemas),
        TEST(a_reload_leaves_what_the_file_did_not_change),
        TEST(a_reload_ends_when_the_agent_does),
        TEST(a_reload_without_memory_can_be_tried_again),
        TEST(a_stream_takes_no_record_of_too_many_fields),
    };
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
