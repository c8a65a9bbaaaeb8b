#include "tests/uplink/registry_server.h"

#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/http.h"
#include "ports/names.h"

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
    if (index < REQUEST_MAX) {
        memcpy(server->requests[index], visit->request, sizeof server->last);
    }
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

void scene_registry(struct scene *scene)
{
    struct why why;
    struct registry_setup setup = {
        .loop = scene->loop, .http = scene->http, .options = &scene->options, .host = &scene->host};
    assert_int_equal(registry_open(&scene->registry, &setup, &why), ERR_OK);
}

struct scene *scene_open(const char *answer, struct tls *tls)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct why why;
    struct listener_options options = {.host = "127.0.0.1", .tls = tls};
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    assert_int_equal(http_open(&scene->http, scene->loop, scene->names), ERR_OK);
    assert_int_equal(listener_open(&scene->server.listener, scene->loop, &options, accepted,
                                   &scene->server, &why),
                     ERR_OK);
    scene->server.answers[0] = answer;
    scene->server.answer_count = 1;
    host_init(&scene->host, scene->loop, scene->names);
    (void)snprintf(scene->url, sizeof scene->url, "http%s://127.0.0.1:%u/api/", tls ? "s" : "",
                   listener_port(scene->server.listener));
    scene->options =
        (struct registry_options){.is_set = true, .url = scene->url, .may_register = true};
    scene_registry(scene);
    return scene;
}

void scene_answers(struct scene *scene, const char *const *answers)
{
    struct server *server = &scene->server;
    server->answer_count = 0;
    while (answers[server->answer_count]) {
        assert_true(server->answer_count < REQUEST_MAX - 1);
        server->answers[server->answer_count] = answers[server->answer_count];
        server->answer_count++;
    }
}

void scene_close(struct scene *scene)
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

enum err scene_ask(struct scene *scene, uint8_t prefix[REGISTRY_PREFIX_SIZE], struct why *why)
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
