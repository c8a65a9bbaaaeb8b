/* Everything once with the n-th allocation failing, for each n until none fails any more: an error
 * comes back, or a callback says it, and nothing is lost or freed twice. */
#include "ports/http.h"
#include "ports/inbox.h"
#include "ports/worker.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "tests/ports/peer.h"

#define FAULT_MAX 5000

static void received(void *context, struct inbox_item *item)
{
    (void)context;
    (void)item;
}

static enum err open_and_close(void)
{
    struct loop *loop = NULL;
    struct names *names = NULL;
    struct worker *worker = NULL;
    struct inbox *inbox = NULL;
    enum err e = loop_open(&loop);
    e = e ? e : names_open(&names, loop);
    e = e ? e : worker_open(&worker, loop, "fault");
    e = e ? e : inbox_open(&inbox, loop, 4, received, NULL);
    inbox_close(inbox);
    worker_close(worker);
    names_close(names);
    loop_close(loop);
    return e;
}

static void opening_fails_cleanly(void **state)
{
    (void)state;
    unsigned n = 0;
    do {
        assert_true(++n < FAULT_MAX);
        fault_alloc_set(n);
        enum err e = open_and_close();
        assert_int_equal(e, fault_alloc_happened() ? ERR_NOMEM : ERR_OK);
    } while (fault_alloc_happened());
    fault_alloc_set(0);
    assert_true(n > 4);
}

struct end {
    bool open, over;
    struct stream *stream;
};

static void end_open(void *context)
{
    struct end *end = context;
    end->open = true;
    end->over = true;
}

static void end_readable(void *context)
{
    uint8_t data[64];
    size_t size = 0;
    while (!stream_read(((struct end *)context)->stream, data, sizeof data, &size)) {
    }
}

static void end_closed(void *context, enum err e, const struct why *why)
{
    assert_int_not_equal(e, ERR_OK);
    assert_true(why->text[0]);
    ((struct end *)context)->over = true;
}

static const struct stream_handler end_handler = {
    .on_open = end_open, .on_readable = end_readable, .on_closed = end_closed};

static void connecting_fails_cleanly(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct names *names = NULL;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    unsigned n = 0;
    bool happened = true;
    while (happened) {
        assert_true(++n < FAULT_MAX);
        struct server server;
        server_open(&server, loop, "127.0.0.1", NULL);
        struct stream_options options = {
            .host = "127.0.0.1", .port = listener_port(server.listener), .server_name = "name"};
        struct end end = {.open = false};
        fault_alloc_set(n);
        enum err e = stream_connect(&end.stream, loop, names, &options, &end_handler, &end);
        if (e) {
            assert_int_equal(e, ERR_NOMEM);
        } else {
            assert_true(loop_until(loop, &end.over, PEER_WAIT_MS));
        }
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        stream_close(end.stream);
        server_close(&server);
    }
    assert_true(n > 3);
    names_close(names);
    loop_close(loop);
}

struct asked {
    struct http_request request;
    bool done;
    enum err e;
};

static void asked_done(struct http_request *request, const struct http_answer *answer)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    asked->done = true;
    asked->e = answer->e;
}

/* An echo is no HTTP server: the request ends in an error, with memory or without. */
static void requests_fail_cleanly(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct names *names = NULL;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    struct http *first = NULL; /* curl's global part, once, does not look whether it has memory */
    assert_int_equal(http_open(&first, loop, names), ERR_OK);
    struct server server;
    unsigned n = 0;
    bool happened = true;
    while (happened) {
        assert_true(++n < FAULT_MAX);
        server_open(&server, loop, "127.0.0.1", NULL);
        char url[64];
        snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)listener_port(server.listener));
        struct asked asked = {
            .request = {.method = "GET", .url = url, .done = asked_done, .timeout_ms = 300}};
        struct http *http = NULL;
        fault_alloc_set(n);
        enum err e = http_open(&http, loop, names);
        e = e ? e : http_send(http, &asked.request);
        if (!e) {
            assert_true(loop_until(loop, &asked.done, PEER_WAIT_MS));
            assert_int_not_equal(asked.e, ERR_OK);
        }
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        http_close(http);
        server_close(&server);
    }
    assert_true(n > 20);
    http_close(first);
    names_close(names);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_fails_cleanly),
        cmocka_unit_test(connecting_fails_cleanly),
        cmocka_unit_test(requests_fail_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
