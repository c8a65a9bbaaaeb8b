#include "tests/uplink/google_server.h"

#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/tls.h"

static void keep(char *ret, size_t size, const char *text)
{
    (void)snprintf(ret, size, "%s", text ? text : "");
}

static struct google_asked *last(struct google_server *server)
{
    assert_true(server->count > 0 && server->count <= GOOGLE_ASKED_MAX);
    return &server->asked[server->count - 1];
}

static void on_request(void *context, struct http_exchange *exchange)
{
    struct google_server *server = context;
    server->count++;
    struct google_asked *asked = last(server);
    *asked = (struct google_asked){.body_size = 0};
    keep(asked->method, sizeof asked->method, http_exchange_method(exchange));
    keep(asked->path, sizeof asked->path, http_exchange_path(exchange));
    keep(asked->authorization, sizeof asked->authorization,
         http_exchange_header(exchange, "Authorization"));
    keep(asked->content_type, sizeof asked->content_type,
         http_exchange_header(exchange, "Content-Type"));
    keep(asked->flavor, sizeof asked->flavor, http_exchange_header(exchange, "Metadata-Flavor"));
}

static void on_body(void *context, struct http_exchange *exchange, struct slice piece)
{
    struct google_asked *asked = last(context);
    (void)exchange;
    for (size_t i = 0; i < piece.size; i++, asked->body_size++) {
        if (asked->body_size < sizeof asked->body - 1) {
            asked->body[asked->body_size] = (char)piece.data[i];
        }
    }
}

static void on_complete(void *context, struct http_exchange *exchange)
{
    struct google_server *server = context;
    size_t index = server->count - 1;
    const char *answer =
        server->answers[index < server->answer_count ? index : server->answer_count - 1];
    struct http_reply reply = {.status = (unsigned)strtoul(answer, NULL, 10),
                               .body = slice_of_text(answer + 4)};
    if (reply.status == 429) {
        reply.header_name = "Retry-After";
        reply.header_value = "1";
    }
    http_exchange_answer(exchange, &reply);
}

static void on_gone(void *context, struct http_exchange *exchange)
{
    (void)context;
    (void)exchange;
}

void google_server_open(struct google_server *server, struct loop *loop, struct tls *tls)
{
    static const struct http_server_handler handler = {on_request, on_body, on_complete, on_gone};
    const struct http_server_options options = {.host = "127.0.0.1",
                                                .tls = tls,
                                                .connection_max = 16,
                                                .idle_ms = 60000,
                                                .request_ms = 60000};
    struct why why = {""};
    *server = (struct google_server){.answers = {"200 {}"}, .answer_count = 1, .tls = tls};
    assert_int_equal(http_server_open(&server->server, loop, &options, &handler, server, &why),
                     ERR_OK);
    (void)snprintf(server->url, sizeof server->url, "http%s://127.0.0.1:%u", tls ? "s" : "",
                   http_server_port(server->server));
}

void google_server_close(struct google_server *server)
{
    http_server_close(server->server);
    tls_close(server->tls);
}

void google_server_answers(struct google_server *server, const char *const *answers)
{
    server->count = 0;
    server->answer_count = 0;
    while (answers[server->answer_count]) {
        assert_true(server->answer_count < GOOGLE_ASKED_MAX);
        server->answers[server->answer_count] = answers[server->answer_count];
        server->answer_count++;
    }
}
