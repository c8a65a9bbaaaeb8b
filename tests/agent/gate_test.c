/* The gate: what may follow what, and what a stream does when its new schema may not. */
#include "agent/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/events.h"
#include "agent/raw.h"
#include "tests/agent/gate_scene.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/sim.h"
#include "uplink/avro/decode.h"

/* --- what may follow what --- */

/* The versions, NULL behind the last, have the numbers 11, 12, ... */
static struct gate_answer ask(const char *const *versions, const char *next, enum avro_mode mode)
{
    struct gate_version list[8];
    struct gate_answer answer = {.number = 0};
    struct avro_schema *schema = NULL;
    size_t count = 0;
    for (; versions[count]; count++) {
        list[count] = (struct gate_version){(uint32_t)(11 + count), slice_of_text(versions[count])};
    }
    assert_int_equal(avro_schema_parse(&schema, slice_of_text(next), NULL), ERR_OK);
    assert_int_equal(gate_check(list, count, schema, mode, &answer), ERR_OK);
    avro_schema_close(schema);
    return answer;
}

static bool refused(const char *const *versions, const char *next, enum avro_mode mode)
{
    struct gate_answer answer = ask(versions, next, mode);
    bool is_refused = answer.refusal != NULL;
    free(answer.refusal);
    return is_refused;
}

static void each_mode_asks_what_it_says(void **state)
{
    (void)state;
    const char *one[] = {V1, NULL};
    const char *needs[] = {NEEDS_B, NULL};
    const char *two[] = {V1, HAS_B, NULL}; /* NEEDS_B reads the last, and not the first */
    const char *back[] = {NEEDS_B, HAS_B, NULL};
    static const struct {
        enum avro_mode mode;
        bool needs_after_v1, v1_after_needs, needs_after_two, v1_after_back, other;
    } cases[] = {
        {AVRO_MODE_NONE, false, false, false, false, false},
        {AVRO_MODE_BACKWARD, true, false, false, false, true},
        {AVRO_MODE_FORWARD, false, true, false, false, true},
        {AVRO_MODE_FULL, true, true, false, false, true},
        {AVRO_MODE_BACKWARD_TRANSITIVE, true, false, true, false, true},
        {AVRO_MODE_FORWARD_TRANSITIVE, false, true, false, true, true},
        {AVRO_MODE_FULL_TRANSITIVE, true, true, true, true, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        enum avro_mode mode = cases[i].mode;
        assert_int_equal(refused(one, NEEDS_B, mode), cases[i].needs_after_v1);
        assert_int_equal(refused(needs, V1, mode), cases[i].v1_after_needs);
        assert_int_equal(refused(two, NEEDS_B, mode), cases[i].needs_after_two);
        assert_int_equal(refused(back, V1, mode), cases[i].v1_after_back);
        assert_int_equal(refused(one, OTHER_A, mode), cases[i].other);
        assert_false(refused(one, HAS_B, mode));
    }
}

static void a_refusal_says_kind_place_and_way_out(void **state)
{
    (void)state;
    const char *versions[] = {V1, HAS_C, NULL};
    char line[GATE_TEXT_SIZE];
    struct gate_answer answer = ask(versions, NEEDS_B, AVRO_MODE_BACKWARD);
    assert_non_null(answer.refusal);
    assert_int_equal(answer.number, 12);
    assert_int_equal(answer.refusal->count, 1);
    assert_int_equal(answer.refusal->mode, AVRO_MODE_BACKWARD);
    const struct gate_finding *f = &answer.refusal->findings[0];
    assert_string_equal(f->kind, "READER_FIELD_MISSING_DEFAULT_VALUE");
    assert_string_equal(f->location, "/fields/1");
    assert_int_equal(f->old, 12);
    assert_false(f->is_forward);
    assert_non_null(strstr(f->text, "\"b\""));
    assert_non_null(strstr(f->way_out, "default"));
    assert_true(gate_refusal_line(answer.refusal, 0, line, sizeof line));
    assert_non_null(strstr(line, "READER_FIELD_MISSING_DEFAULT_VALUE /fields/1 (schema 12): "));
    assert_false(gate_refusal_line(answer.refusal, 1, line, sizeof line));
    free(answer.refusal);
}

static void many_findings_are_counted(void **state)
{
    (void)state;
    char text[4096];
    char line[GATE_TEXT_SIZE];
    struct out o = out_over(text, sizeof text - 1);
    const char *versions[] = {V1, NULL};
    out_put_text(&o, "{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"a\",\"type\":"
                     "\"int\"}");
    for (int i = 0; i < 20; i++) {
        out_put_format(&o, ",{\"name\":\"b%d\",\"type\":\"int\"}", i);
    }
    out_put_text(&o, "]}");
    text[o.size] = '\0';
    struct gate_answer answer = ask(versions, text, AVRO_MODE_BACKWARD);
    assert_non_null(answer.refusal);
    assert_int_equal(answer.refusal->count, 20);
    assert_true(gate_refusal_line(answer.refusal, GATE_FINDING_MAX - 1, line, sizeof line));
    assert_true(gate_refusal_line(answer.refusal, GATE_FINDING_MAX, line, sizeof line));
    assert_non_null(strstr(line, "and 12 more"));
    assert_false(gate_refusal_line(answer.refusal, GATE_FINDING_MAX + 1, line, sizeof line));
    free(answer.refusal);
}

static void what_was_accepted_before_is_again(void **state)
{
    (void)state;
    const char *versions[] = {V1, OTHER_A, HAS_B, NULL};
    struct gate_answer answer = ask(versions, OTHER_A, AVRO_MODE_FULL_TRANSITIVE);
    assert_null(answer.refusal);
    assert_int_equal(answer.number, 12);
    /* White space makes no new version. */
    answer = ask(versions,
                 "{\"type\":\"record\", \"name\":\"Line\",\n \"fields\":[{\"name\":\"a\", "
                 "\"type\":\"int\"}]}",
                 AVRO_MODE_FULL_TRANSITIVE);
    assert_null(answer.refusal);
    assert_int_equal(answer.number, 11);
}

static void without_a_schema_nothing_is_compared(void **state)
{
    (void)state;
    char raw[1024];
    assert_true(slice_to_text(raw_schema(), raw, sizeof raw));
    const char *begins[] = {raw, NULL};
    const char *after[] = {V1, raw, NULL};
    const char *v1[] = {V1, NULL};
    const char *none[] = {NULL};
    assert_false(refused(none, OTHER_A, AVRO_MODE_FULL_TRANSITIVE));
    assert_false(refused(begins, V1, AVRO_MODE_FULL_TRANSITIVE));
    assert_false(refused(v1, raw, AVRO_MODE_FULL_TRANSITIVE));
    /* But it is no way around what came before it; and the stream goes on as it was. */
    struct gate_answer answer = ask(after, OTHER_A, AVRO_MODE_BACKWARD);
    assert_non_null(answer.refusal);
    assert_int_equal(answer.refusal->findings[0].old, 11);
    assert_int_equal(answer.number, 12);
    free(answer.refusal);
}

static void versions_that_cannot_be_read_are_passed_over(void **state)
{
    (void)state;
    const char *versions[] = {V1, "{\"type\":\"quantum\"}", NULL};
    const char *alone[] = {"[", NULL};
    struct gate_answer answer = ask(versions, OTHER_A, AVRO_MODE_BACKWARD);
    assert_non_null(answer.refusal);
    assert_int_equal(answer.number, 11);
    assert_int_equal(answer.unread, 12);
    free(answer.refusal);
    answer = ask(alone, OTHER_A, AVRO_MODE_FULL);
    assert_null(answer.refusal);
    assert_int_equal(answer.unread, 11);
}

static void no_answer_is_no_yes(void **state)
{
    (void)state;
    /* The new field could take its value from two of the old ones. */
    const char *versions[] = {"{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"a\","
                              "\"type\":\"int\"},{\"name\":\"b\",\"type\":\"int\"}]}",
                              NULL};
    char line[GATE_TEXT_SIZE];
    struct gate_answer answer =
        ask(versions,
            "{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"c\",\"aliases\":[\"a\","
            "\"b\"],\"type\":\"int\"}]}",
            AVRO_MODE_BACKWARD);
    struct gate_refusal *refusal = answer.refusal;
    assert_non_null(refusal);
    assert_int_equal(refusal->count, 0);
    assert_true(gate_refusal_line(refusal, 0, line, sizeof line));
    assert_non_null(strstr(line, "/fields/0"));
    assert_false(gate_refusal_line(refusal, 1, line, sizeof line));
    free(refusal);
}

static void no_memory_is_no_answer(void **state)
{
    (void)state;
    struct gate_version versions[] = {{1, SLICE(V1)}, {2, SLICE(HAS_C)}};
    struct avro_schema *schema = NULL;
    bool happened = true;
    unsigned failed = 0;
    assert_int_equal(avro_schema_parse(&schema, SLICE(NEEDS_B), NULL), ERR_OK);
    for (unsigned n = 1; happened; n++) {
        struct gate_answer answer = {.number = 77};
        fault_alloc_set(n);
        enum err e = gate_check(versions, 2, schema, AVRO_MODE_FULL_TRANSITIVE, &answer);
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        failed += e == ERR_NOMEM;
        assert_true(e == ERR_NOMEM || e == ERR_OK);
        assert_int_equal(answer.number, e ? 77 : 2);
        assert_true(e || answer.refusal);
        free(e ? NULL : answer.refusal);
        assert_true(n < 1000);
    }
    avro_schema_close(schema);
    assert_true(failed > 10);
}

/* --- at start --- */

static void the_path_is_told_of_a_file_that_is_no_schema(void **state)
{
    const struct scene *scene = *state;
    struct avro_schema *schema = NULL;
    struct why why = {""};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/lines.avsc", scene->folder);
    assert_int_equal(agent_schema_load(path, &schema, &why), ERR_OK);
    assert_string_equal(why.text, ""); /* what fails later has its own reason */
    avro_schema_close(schema);
    scene_schema_put(scene, "{");
    assert_int_not_equal(agent_schema_load(path, &schema, &why), ERR_OK);
    assert_non_null(strstr(why.text, path));
}

static void an_incompatible_schema_is_refused_at_start(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t first = scene_lines(scene)->schema_number;
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
    sim_run_for(10000);
    life_stop_ms(scene);
    life_close(scene);
    scene->script.holds = false;
    scene_schema_put(scene, NEEDS_B);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_non_null(scene_lines(scene)->refusal);
    assert_int_equal(scene_lines(scene)->schema_number, first);
    assert_string_equal(life_offer_json(scene, "x", "{\"a\":2}"), "");
    sim_run_for(20000);
    assert_int_equal(scene_arrived_under(scene, first), 2);
    /* It is refused again, as often as it is tried; the one before is not. */
    life_close(scene);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_non_null(scene_lines(scene)->refusal);
    life_close(scene);
    scene_schema_put(scene, V1);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_null(scene_lines(scene)->refusal);
    assert_int_equal(scene_lines(scene)->schema_number, first);
    life_close(scene);
    scene_schema_put(scene, NEEDS_B);
    scene_config_put(scene, "none");
    assert_int_equal(life_open(scene), ERR_OK);
    assert_null(scene_lines(scene)->refusal);
    assert_int_not_equal(scene_lines(scene)->schema_number, first);
}

/* Counts what the agent tells of this kind. */
struct told {
    struct scene *scene;
    const char *kind;
    unsigned count;
    char text[2048]; /* of the last one */
};

static void tell(struct told *t, const struct stored_event *event)
{
    struct avro_schema *schema = NULL;
    uint8_t bytes[4096];
    struct out datum = out_over(bytes, sizeof bytes);
    struct out json = out_over(t->text, sizeof t->text - 1);
    char kind[64];
    if (event->fill_count) {
        out_put_varint(&datum, 0);
    }
    out_put_slice(&datum, event->datum);
    struct slice rest = out_slice(&datum);
    (void)snprintf(kind, sizeof kind, "\"kind\":\"%s\"", t->kind);
    assert_int_equal(avro_schema_parse(&schema, events_schema(), NULL), ERR_OK);
    assert_int_equal(avro_decode_json(avro_schema_root(schema), &rest, &json, NULL), ERR_OK);
    avro_schema_close(schema);
    t->text[json.size] = '\0';
    t->count += strstr(t->text, kind) != NULL;
}

/* In the buffer's rows of weir.events; `last` gets the last of them as JSON. */
static unsigned told_of(struct scene *scene, const char *kind, char *last, size_t size)
{
    static struct stored_event events[64];
    static uint8_t arena[65536];
    uint16_t stream = buffer_stream_number(scene->buffer, "weir.events");
    unsigned count = 0;
    uint64_t next = 1;
    for (unsigned i = 0; i < 20; i++) {
        struct told t = {.scene = scene, .kind = kind};
        struct why why;
        struct rows rows = {.events = events,
                            .event_max = ARRAY_COUNT(events),
                            .arena = out_over(arena, sizeof arena),
                            .is_look = true};
        enum err e = buffer_read(scene->buffer, stream, (struct range){next, 1000}, sizeof arena,
                                 &rows, &why);
        if (e || rows.event_count == 0) {
            break;
        }
        for (size_t n = 0; n < rows.event_count; n++) {
            tell(&t, &rows.events[n]);
            if (t.count) {
                (void)snprintf(last, size, "%s", t.text);
            }
            count += t.count;
            t.count = 0;
        }
        next = rows.covered.last + 1;
    }
    return count;
}

static void a_refusal_is_told_once_a_start(void **state)
{
    struct scene *scene = *state;
    char told[2048] = "";
    char *memory = calloc(1, 65536);
    struct out json = out_over(memory, 65535);
    assert_int_equal(life_open(scene), ERR_OK);
    life_close(scene);
    scene_schema_put(scene, NEEDS_B);
    scene->script.holds = true; /* what is told stays in the buffer */
    assert_int_equal(life_open(scene), ERR_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":2}"), "");
        sim_run_for(6000);
    }
    assert_int_equal(told_of(scene, "schema_refused", told, sizeof told), 1);
    assert_non_null(strstr(told, "\"stream\":\"lines\""));
    assert_non_null(strstr(told, "\"count\":1"));
    assert_non_null(strstr(told, "READER_FIELD_MISSING_DEFAULT_VALUE /fields/1"));
    agent_status(scene->agent, &json);
    assert_non_null(strstr(memory,
                           "\"schema\":1,\"schema_refused\":{\"compatibility\":\"backward\","
                           "\"count\":1,\"text\":\"\",\"findings\":[{\"schema\":1,"
                           "\"direction\":\"backward\","
                           "\"kind\":\"READER_FIELD_MISSING_DEFAULT_VALUE\","
                           "\"location\":\"/fields/1\",\"text\":\""));
    assert_non_null(strstr(memory, "\"schema_refused\":null")); /* weir.events */
    free(memory);
}

static void an_upgrade_with_a_backlog_delivers_both(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true; /* the far side does not answer */
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t first = scene_lines(scene)->schema_number;
    for (unsigned i = 0; i < 300; i++) {
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
    }
    sim_run_for(10000);
    life_stop_ms(scene);
    life_close(scene);
    scene_schema_put(scene, HAS_B);
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t second = scene_lines(scene)->schema_number;
    assert_int_not_equal(first, second);
    for (unsigned i = 0; i < 200; i++) {
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":2,\"b\":\"two\"}"), "");
    }
    sim_run_for(10000);
    scene->script.holds = false;
    while (double_lent(&scene->script) > 0) {
        double_answer(&scene->script, SEND_OK, 0);
    }
    sim_run_for(20000);
    assert_int_equal(life_arrived_of(scene, "lines", 500), 500);
    assert_int_equal(scene_arrived_under(scene, first), 300);
    assert_int_equal(scene_arrived_under(scene, second), 200);
}

/* It had gone back to the first: that is what it goes on with, not the newest. */
static void a_stream_goes_on_as_it_was(void **state)
{
    struct scene *scene = *state;
    static const char *const texts[] = {V1, HAS_B, V1, OTHER_A};
    uint32_t numbers[4];
    for (unsigned i = 0; i < 4; i++) {
        scene_schema_put(scene, texts[i]);
        assert_int_equal(life_open(scene), ERR_OK);
        numbers[i] = scene_lines(scene)->schema_number;
        assert_int_equal(scene_lines(scene)->refusal != NULL, i == 3);
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
        sim_run_for(10000);
        if (i < 3) {
            life_close(scene); /* a hard end: what it had is durable with its first event */
        }
    }
    assert_int_not_equal(numbers[1], numbers[0]);
    assert_int_equal(numbers[2], numbers[0]);
    assert_int_equal(numbers[3], numbers[0]);
    assert_int_equal(life_arrived_of(scene, "lines", 4), 4);
}

static void without_memory_a_refusal_is_no_acceptance(void **state)
{
    struct scene *scene = *state;
    bool happened = true;
    unsigned failed = 0;
    unsigned opened = 0;
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t first = scene_lines(scene)->schema_number;
    life_close(scene);
    scene_schema_put(scene, NEEDS_B);
    for (unsigned n = 1; happened; n++) {
        fault_alloc_set(n);
        enum err e = life_open(scene);
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        failed += e != ERR_OK;
        if (!e) {
            opened++;
            assert_non_null(scene_lines(scene)->refusal);
            assert_int_equal(scene_lines(scene)->schema_number, first);
            assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
        }
        life_close(scene);
        assert_true(n < 10000);
    }
    print_message("openings that failed for want of memory: %u, others: %u\n", failed, opened);
    assert_true(failed > 50 && opened > 0);
}

/* What is stored leaves all the same; the new version has its turn when the disk takes it. */
static void a_new_schema_waits_for_a_disk_that_can_only_be_read(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    uint32_t first = scene_lines(scene)->schema_number;
    for (unsigned i = 0; i < 20; i++) {
        assert_string_equal(life_offer_json(scene, "x", "{\"a\":1}"), "");
    }
    sim_run_for(10000);
    life_close(scene);
    scene->script.holds = false;
    scene_schema_put(scene, HAS_B);
    crash_vfs_read_only_set(scene->disk, true);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_true(scene->agent->reads_only);
    assert_int_equal(scene_lines(scene)->schema_number, first);
    sim_run_for(30000);
    assert_int_equal(scene_arrived_under(scene, first), 20);
    crash_vfs_read_only_set(scene->disk, false);
    life_close(scene);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_int_not_equal(scene_lines(scene)->schema_number, first);
    assert_null(scene_lines(scene)->refusal);
}

/* Whatever the mode: what is in the buffer can always be opened. */
static void versions_are_bounded(void **state)
{
    (void)state;
    static struct gate_version list[GATE_VERSION_MAX];
    struct gate_answer answer;
    struct avro_schema *schema = NULL;
    char line[GATE_TEXT_SIZE];
    for (uint32_t i = 0; i < GATE_VERSION_MAX; i++) {
        list[i] = (struct gate_version){11 + i, i == 7 ? slice_of_text(V1) : SLICE("\"int\"")};
    }
    assert_int_equal(avro_schema_parse(&schema, slice_of_text(HAS_B), NULL), ERR_OK);
    assert_int_equal(gate_check(list, GATE_VERSION_MAX - 1, schema, AVRO_MODE_NONE, &answer),
                     ERR_OK);
    assert_null(answer.refusal);
    assert_int_equal(gate_check(list, GATE_VERSION_MAX, schema, AVRO_MODE_NONE, &answer), ERR_OK);
    assert_non_null(answer.refusal);
    assert_int_equal(answer.number, 10 + GATE_VERSION_MAX);
    assert_true(gate_refusal_line(answer.refusal, 0, line, sizeof line));
    assert_non_null(strstr(line, "has 512 versions"));
    free(answer.refusal);
    avro_schema_close(schema);
    assert_int_equal(avro_schema_parse(&schema, slice_of_text(V1), NULL), ERR_OK);
    assert_int_equal(gate_check(list, GATE_VERSION_MAX, schema, AVRO_MODE_BACKWARD, &answer),
                     ERR_OK);
    assert_null(answer.refusal); /* a way back to one of them */
    assert_int_equal(answer.number, 18);
    avro_schema_close(schema);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mode_asks_what_it_says),
        cmocka_unit_test(a_refusal_says_kind_place_and_way_out),
        cmocka_unit_test(many_findings_are_counted),
        cmocka_unit_test(what_was_accepted_before_is_again),
        cmocka_unit_test(without_a_schema_nothing_is_compared),
        cmocka_unit_test(versions_that_cannot_be_read_are_passed_over),
        cmocka_unit_test(no_answer_is_no_yes),
        cmocka_unit_test(versions_are_bounded),
        cmocka_unit_test(no_memory_is_no_answer),
        TEST(the_path_is_told_of_a_file_that_is_no_schema),
        TEST(an_incompatible_schema_is_refused_at_start),
        TEST(a_refusal_is_told_once_a_start),
        TEST(an_upgrade_with_a_backlog_delivers_both),
        TEST(a_stream_goes_on_as_it_was),
        TEST(without_memory_a_refusal_is_no_acceptance),
        TEST(a_new_schema_waits_for_a_disk_that_can_only_be_read),
    };
    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
