/* The registry's client against a small HTTP server that answers what it is told, as real
 * registries were seen to. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "ports/names.h"
#include "ports/stream.h"
#include "tests/uplink/kafka_host.h"

#define CONNECTION_MAX 16
#define WAIT_MS 60000 /* for what comes at once on a machine that is idle */

struct server {
    struct listener *listener;
    struct visit {
        struct server *server;
        struct stream *stream;
        char request[4096];
        size_t size;
    } visits[CONNECTION_MAX];
    size_t visit_count;
    const char *answers[8]; /* "200 {...}"; the last one is repeated */
    size_t answer_count;
    unsigned request_count;
    char last[4096];
};

static void visit_answer(struct visit *visit)
{
    struct server *server = visit->server;
    unsigned index = server->request_count++;
    const char *answer =
        server->answers[index < server->answer_count ? index : server->answer_count - 1];
    char text[1024];
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 %.3s Word\r\nContent-Type: application/json\r\n%s"
                        "Content-Length: %zu\r\n\r\n%s",
                        answer, memcmp(answer, "429", 3) == 0 ? "Retry-After: 2\r\n" : "",
                        strlen(answer + 4), answer + 4);
    size_t taken = 0;
    memcpy(server->last, visit->request, sizeof server->last);
    visit->size = 0;
    assert_int_equal(
        stream_write(visit->stream, (struct slice){(uint8_t *)text, (size_t)size}, &taken), ERR_OK);
    assert_int_equal(taken, size);
}

static void on_readable(void *context)
{
    struct visit *visit = context;
    size_t got;
    while (!stream_read(visit->stream, (uint8_t *)visit->request + visit->size,
                        sizeof visit->request - 1 - visit->size, &got)) {
        visit->size += got;
        visit->request[visit->size] = '\0';
        const char *body = strstr(visit->request, "\r\n\r\n");
        const char *length = strstr(visit->request, "Content-Length: ");
        if (body && length &&
            visit->size >= (size_t)(body + 4 - visit->request) + strtoul(length + 16, NULL, 10)) {
            visit_answer(visit);
        }
    }
}

static void on_closed(void *context, enum err e, const struct why *why)
{
    struct visit *visit = context;
    (void)e;
    (void)why;
    stream_close(visit->stream);
    visit->stream = NULL;
}

static void on_nothing(void *context)
{
    (void)context;
}

static const struct stream_handler calls = {on_nothing, on_readable, on_nothing, on_closed};

static void accepted(void *context, struct stream *stream)
{
    struct server *server = context;
    assert_true(server->visit_count < CONNECTION_MAX);
    struct visit *visit = &server->visits[server->visit_count++];
    visit->server = server;
    visit->stream = stream;
    stream_take(stream, &calls, visit);
}

struct scene {
    struct loop *loop;
    struct names *names;
    struct http *http;
    struct server server;
    struct uplink_host host;
    struct registry_options options;
    char url[64];
    struct registry *registry;
};

static void scene_registry(struct scene *scene)
{
    struct why why;
    struct registry_setup setup = {
        .loop = scene->loop, .http = scene->http, .options = &scene->options, .host = &scene->host};
    assert_int_equal(registry_open(&scene->registry, &setup, &why), ERR_OK);
}

static void scene_begin(struct scene *scene, const char *answer)
{
    *scene = (struct scene){0};
    struct why why;
    struct listener_options options = {.host = "127.0.0.1"};
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    assert_int_equal(http_open(&scene->http, scene->loop, scene->names), ERR_OK);
    assert_int_equal(listener_open(&scene->server.listener, scene->loop, &options, accepted,
                                   &scene->server, &why),
                     ERR_OK);
    scene->server.answers[0] = answer;
    scene->server.answer_count = 1;
    host_init(&scene->host, scene->loop, scene->names);
    (void)snprintf(scene->url, sizeof scene->url, "http://127.0.0.1:%u/api/",
                   listener_port(scene->server.listener));
    scene->options =
        (struct registry_options){.is_set = true, .url = scene->url, .may_register = true};
    scene_registry(scene);
}

static void scene_end(struct scene *scene)
{
    registry_close(scene->registry);
    http_close(scene->http);
    listener_close(scene->server.listener);
    for (size_t i = 0; i < scene->server.visit_count; i++) {
        stream_close(scene->server.visits[i].stream);
    }
    names_close(scene->names);
    loop_close(scene->loop);
    free(scene);
}

static enum err ask(struct scene *scene, uint8_t prefix[REGISTRY_PREFIX_SIZE], struct why *why)
{
    enum err e = ERR_AGAIN;
    for (unsigned i = 0; e == ERR_AGAIN && i < 500; i++) {
        e = registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, why);
        if (e == ERR_AGAIN) {
            host_run(&scene->host, 10);
        }
    }
    return e;
}

static void registers_and_remembers(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct why why;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    scene_begin(scene, "200 {\"subject\":\"x\",\"id\":258,\"schema\":\"{\\\"id\\\":9}\"}");
    assert_int_equal(registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    assert_int_equal(ask(scene, prefix, &why), ERR_OK);
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
    /* An id of another subject is not taken for ours. */
    registry_close(scene->registry);
    scene_registry(scene);
    assert_int_equal(registry_prefix(scene->registry, "other", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    scene_end(scene);
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
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        struct why why = {""};
        uint8_t prefix[REGISTRY_PREFIX_SIZE];
        scene_begin(scene, cases[i].answer);
        scene->options.may_register = !cases[i].look_up;
        assert_int_equal(ask(scene, prefix, &why), cases[i].e);
        assert_non_null(strstr(why.text, cases[i].text));
        if (cases[i].look_up) {
            assert_non_null(strstr(scene->server.last,
                                   "POST /api/subjects/to%20pic-value?normalize=true HTTP"));
        }
        assert_int_equal(ask(scene, prefix, &why), cases[i].e);
        assert_int_equal(scene->server.request_count, 1); /* not hammered */
        scene_end(scene);
    }
}

static void outages_are_waited_out(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct why why;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    scene_begin(scene, "503 {\"error_code\":50003,\"message\":\"forwarding\"}");
    scene->server.answers[1] = "200 not json at all";
    scene->server.answers[2] = "200 {\"id\":1}";
    scene->server.answer_count = 3;
    assert_int_equal(registry_prefix(scene->registry, "t", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!registry_fault(scene->registry) && clock_monotonic_ms() < end_ms) {
        assert_int_equal(loop_turn(scene->loop, 10), ERR_OK);
    }
    assert_non_null(registry_fault(scene->registry));
    assert_non_null(strstr(registry_fault(scene->registry)->text, "503"));
    assert_int_equal(ask(scene, prefix, &why), ERR_OK);
    assert_memory_equal(prefix, "\0\0\0\0\1", 5);
    assert_null(registry_fault(scene->registry));
    assert_int_equal(scene->server.request_count, 3);
    scene_end(scene);
}

/* Each subject is asked for again; what the log is told stays the same. */
static void one_that_does_not_answer_is_told_once(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct why why, first = {""};
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    scene_begin(scene, "200 {}");
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
    scene_end(scene);
}

/* Longer than the first pause of its own would be. */
static void a_pause_that_is_asked_for_is_made(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct why why;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    scene_begin(scene, "429 {\"error_code\":42901,\"message\":\"too many\"}");
    scene->server.answers[1] = "200 {\"id\":1}";
    scene->server.answer_count = 2;
    assert_int_equal(registry_prefix(scene->registry, "t", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    uint64_t began_ms = loop_now_ms(scene->loop);
    assert_int_equal(ask(scene, prefix, &why), ERR_OK);
    assert_in_range(loop_now_ms(scene->loop) - began_ms, 2000, WAIT_MS);
    assert_int_equal(scene->server.request_count, 2);
    scene_end(scene);
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
