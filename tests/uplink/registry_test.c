/* The registry's client: what each answer means for the stream that waits for it. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "tests/uplink/registry_server.h"

static void registers_and_remembers(void **state)
{
    (void)state;
    struct why why;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    struct scene *scene =
        scene_open("200 {\"subject\":\"x\",\"id\":258,\"schema\":\"{\\\"id\\\":9}\"}", NULL);
    assert_int_equal(registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    assert_int_equal(scene_ask(scene, prefix, &why), ERR_OK);
    assert_memory_equal(prefix, "\0\0\0\1\2", 5);
    assert_int_equal(scene->host.ready_count, 1);
    assert_non_null(strstr(scene->server.last, "POST /api/subjects/to%20pic-value/versions HTTP"));
    assert_non_null(strstr(scene->server.last, "application/vnd.schemaregistry.v1+json"));
    assert_non_null(
        strstr(scene->server.last, "\r\n\r\n{\"schema\":\"{\\\"type\\\":\\\"record\\\","));
    /* The next life needs no registry. */
    registry_close(scene->registry);
    scene_registry(scene);
    assert_int_equal(registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
                     ERR_OK);
    assert_memory_equal(prefix, "\0\0\0\1\2", 5);
    assert_int_equal(scene->server.request_count, 1);
    registry_close(scene->registry);
    scene->options.may_register = false; /* the way to it does not matter */
    scene_registry(scene);
    assert_int_equal(registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
                     ERR_OK);
    assert_int_equal(scene->server.request_count, 1);
    scene->options.may_register = true;
    /* A registry that was filled anew has other ids. */
    registry_close(scene->registry);
    scene->options.generation = 1;
    scene_registry(scene);
    assert_int_equal(registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    scene->options.generation = 0;
    /* An id of another subject is not taken for ours. */
    registry_close(scene->registry);
    scene_registry(scene);
    assert_int_equal(registry_prefix(scene->registry, "other", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    scene_close(scene);
}

static void refusals_park(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        bool look_up;
        enum err e;
        const char *text;
    } cases[] = {
        {"409 {\"error_code\":409,\"message\":\"Incompatible artifact\"}", false, ERR_REJECTED,
         "Incompatible artifact"},
        {"422 {\"message\":\"Failed to discover\",\"error_code\":42201}", false, ERR_REJECTED,
         "42201"},
        {"401 nothing", false, ERR_CONFIG, "registry.user"},
        {"403 {}", false, ERR_CONFIG, "registry.user"},
        {"404 {\"error_code\":40403,\"message\":\"Schema not found\"}", true, ERR_REJECTED,
         "registry.register"},
        {"404 ", false, ERR_CONFIG, "registry.url"},
        {"404 ", true, ERR_CONFIG, "registry.url"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct why why = {""};
        uint8_t prefix[REGISTRY_PREFIX_SIZE];
        struct scene *scene = scene_open(cases[i].answer, NULL);
        scene->options.may_register = !cases[i].look_up;
        assert_int_equal(scene_ask(scene, prefix, &why), cases[i].e);
        assert_non_null(strstr(why.text, cases[i].text));
        if (strstr(cases[i].answer, "40403")) {
            assert_non_null(strstr(scene->server.last,
                                   "POST /api/subjects/to%20pic-value?normalize=true HTTP"));
        }
        assert_int_equal(scene_ask(scene, prefix, &why), cases[i].e);
        assert_in_range(scene->server.request_count, 1,
                        cases[i].look_up ? 2 : 1); /* not hammered */
        scene_close(scene);
    }
}

static void outages_are_waited_out(void **state)
{
    (void)state;
    struct why why;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    static const char *const answers[] = {"503 {\"error_code\":50003,\"message\":\"forwarding\"}",
                                          "200 not json at all", "200 {\"id\":1}", NULL};
    struct scene *scene = scene_open("", NULL);
    scene_answers(scene, answers);
    assert_int_equal(registry_prefix(scene->registry, "t", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!registry_fault(scene->registry) && clock_monotonic_ms() < end_ms) {
        assert_int_equal(loop_turn(scene->loop, 10), ERR_OK);
    }
    assert_non_null(registry_fault(scene->registry));
    assert_non_null(strstr(registry_fault(scene->registry)->text, "503"));
    assert_int_equal(scene_ask(scene, prefix, &why), ERR_OK);
    assert_memory_equal(prefix, "\0\0\0\0\1", 5);
    assert_null(registry_fault(scene->registry));
    assert_int_equal(scene->server.request_count, 3);
    scene_close(scene);
}

/* Each subject is asked for again; what the log is told stays the same. */
static void one_that_does_not_answer_is_told_once(void **state)
{
    (void)state;
    struct why why, first = {""};
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    struct scene *scene = scene_open("200 {}", NULL);
    scene->options.url = "http://127.0.0.1:1";
    struct schema_info other = scene->host.schema;
    other.number++;
    assert_int_equal(registry_prefix(scene->registry, "t", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    assert_int_equal(registry_prefix(scene->registry, "u", &other, prefix, &why), ERR_AGAIN);
    for (unsigned i = 0; i < 300; i++) {
        host_run(&scene->host, 10);
        const struct why *fault = registry_fault(scene->registry);
        first = first.text[0] || !fault ? first : *fault;
        assert_string_equal(fault ? fault->text : "", first.text);
    }
    assert_non_null(
        strstr(first.text, "no answer from the schema registry at http://127.0.0.1:1:"));
    scene_close(scene);
}

/* Longer than the first pause of its own would be. */
static void a_pause_that_is_asked_for_is_made(void **state)
{
    (void)state;
    struct why why;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    struct scene *scene = scene_open("429 {\"error_code\":42901,\"message\":\"too many\"}", NULL);
    scene->server.answers[1] = "200 {\"id\":1}";
    scene->server.answer_count = 2;
    assert_int_equal(registry_prefix(scene->registry, "t", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    uint64_t began_ms = loop_now_ms(scene->loop);
    assert_int_equal(scene_ask(scene, prefix, &why), ERR_OK);
    assert_in_range(loop_now_ms(scene->loop) - began_ms, 2000, WAIT_MS);
    assert_int_equal(scene->server.request_count, 2);
    scene_close(scene);
}

static void subjects(void **state)
{
    (void)state;
    struct slice schema = SLICE(
        "{\"type\":\"record\",\"fields\":[{\"name\":\"x\"}],\"namespace\":\"a.b\",\"name\":\"T\"}");
    static const char *const wanted[] = {"top-value", "a.b.T", "top-a.b.T"};
    for (unsigned i = 0; i < 3; i++) {
        char text[64];
        struct out o = out_over(text, sizeof text);
        assert_int_equal(registry_subject_put((enum registry_subject)i, "top", schema, &o), ERR_OK);
        assert_true(slice_equal_text(out_slice(&o), wanted[i]));
        o = out_over(text, 3);
        assert_int_equal(registry_subject_put((enum registry_subject)i, "top", schema, &o),
                         ERR_FULL);
    }
    char text[64];
    struct out o = out_over(text, sizeof text);
    assert_int_equal(registry_subject_put(REGISTRY_RECORD_NAME, "top", SLICE("\"string\""), &o),
                     ERR_CORRUPT);
}

static void urls_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"registry:8081", "ftp://x", "https://user:pw@host/"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct registry_options options = {.is_set = true, .url = bad[i]};
        struct registry_setup setup = {.options = &options};
        struct registry *registry;
        struct why why;
        assert_int_equal(registry_open(&registry, &setup, &why), ERR_CONFIG);
        assert_null(strstr(why.text, "pw"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_and_remembers),
        cmocka_unit_test(refusals_park),
        cmocka_unit_test(outages_are_waited_out),
        cmocka_unit_test(one_that_does_not_answer_is_told_once),
        cmocka_unit_test(a_pause_that_is_asked_for_is_made),
        cmocka_unit_test(subjects),
        cmocka_unit_test(urls_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
