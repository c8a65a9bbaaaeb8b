#include "tests/uplink/kinesis/server.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/cmocka.h"

static void visit_write(struct visit *visit)
{
    size_t taken = 0;
    struct slice rest = {visit->answer + visit->answer_sent,
                         visit->answer_size - visit->answer_sent};
    if (rest.size > 0 && stream_write(visit->stream, rest, &taken) == ERR_OK) {
        visit->answer_sent += taken;
    }
}

static void header_value(const char *head, const char *name, char *ret, size_t size)
{
    const char *at = strcasestr(head, name);
    ret[0] = '\0';
    if (at) {
        at += strlen(name);
        (void)snprintf(ret, size, "%.*s", (int)strcspn(at, "\r"), at);
    }
}

static void visit_end(struct visit *visit)
{
    stream_close(visit->stream);
    visit->stream = NULL;
}

static void visit_answer(struct visit *visit, const char *head, struct slice body)
{
    struct service *service = &visit->server->service;
    struct service_reply reply;
    char target[80];
    header_value(head, "\r\nX-Amz-Target: ", target, sizeof target);
    header_value(head, "\r\nX-Amz-Date: ", service->last_date, sizeof service->last_date);
    header_value(head, "\r\nX-Amz-Security-Token: ", service->last_token,
                 sizeof service->last_token);
    header_value(head, " Credential=", service->last_key_id, sizeof service->last_key_id);
    service->last_key_id[strcspn(service->last_key_id, "/")] = '\0';
    service_answer(service, target, body, &reply);
    if (reply.is_lost) {
        visit_end(visit);
        return;
    }
    free(visit->answer);
    visit->answer = malloc(reply.body.size + 1024);
    assert_non_null(visit->answer);
    struct out o = out_over(visit->answer, reply.body.size + 1024);
    out_put_format(&o, "HTTP/1.1 %ld Word\r\nContent-Length: %zu\r\n", reply.status,
                   reply.body.size);
    if (reply.type) {
        out_put_format(&o, "x-amzn-ErrorType: %s\r\n", reply.type);
    }
    if (reply.header) {
        out_put_format(&o, "%s\r\n", reply.header);
    }
    out_put_text(&o, "\r\n");
    out_put_slice(&o, reply.body);
    assert_false(o.overflow);
    visit->answer_size = o.size;
    visit->answer_sent = 0;
    visit->size = 0;
    visit_write(visit);
}

static void visit_look(struct visit *visit)
{
    const uint8_t *end = memmem(visit->memory, visit->size, "\r\n\r\n", 4);
    char head[16384], length[16];
    if (!end) {
        return;
    }
    size_t head_size = (size_t)(end + 4 - visit->memory);
    assert_true(head_size < sizeof head);
    memcpy(head, visit->memory, head_size);
    head[head_size] = '\0';
    header_value(head, "\r\nContent-Length: ", length, sizeof length);
    size_t body_size = strtoul(length, NULL, 10);
    if (strcasestr(head, "\r\nExpect: 100-continue") && visit->size == head_size) {
        size_t taken;
        assert_int_equal(
            stream_write(visit->stream, SLICE("HTTP/1.1 100 Continue\r\n\r\n"), &taken), ERR_OK);
    }
    if (visit->size >= head_size + body_size) {
        visit_answer(visit, head, (struct slice){visit->memory + head_size, body_size});
    }
}

static void on_readable(void *context)
{
    struct visit *visit = context;
    size_t got = 0;
    for (;;) {
        if (visit->size + 65536 > visit->size_max) {
            visit->size_max = visit->size_max * 2 + 65536;
            visit->memory = realloc(visit->memory, visit->size_max);
            assert_non_null(visit->memory);
        }
        if (!visit->stream || stream_read(visit->stream, visit->memory + visit->size,
                                          visit->size_max - visit->size, &got)) {
            return;
        }
        visit->size += got;
        visit_look(visit);
    }
}

static void on_writable(void *context)
{
    visit_write(context);
}

static void on_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    visit_end(context);
}

static void on_open(void *context)
{
    (void)context;
}

static const struct stream_handler calls = {on_open, on_readable, on_writable, on_closed};

static void accepted(void *context, struct stream *stream)
{
    struct server *server = context;
    assert_true(server->visit_count < SERVER_VISIT_MAX);
    struct visit *visit = &server->visits[server->visit_count++];
    visit->server = server;
    visit->stream = stream;
    stream_take(stream, &calls, visit);
}

void server_open(struct server *server, struct loop *loop, unsigned shard_count)
{
    struct why why;
    const struct listener_options options = {.host = "127.0.0.1"};
    *server = (struct server){.visit_count = 0};
    service_init(&server->service, shard_count);
    assert_int_equal(listener_open(&server->listener, loop, &options, accepted, server, &why),
                     ERR_OK);
    (void)snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u",
                   listener_port(server->listener));
}

void server_close(struct server *server)
{
    listener_close(server->listener);
    for (size_t i = 0; i < server->visit_count; i++) {
        stream_close(server->visits[i].stream);
        free(server->visits[i].memory);
        free(server->visits[i].answer);
    }
    service_release(&server->service);
}
