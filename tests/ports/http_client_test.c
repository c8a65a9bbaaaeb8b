/* The HTTP client against a small server on our own streams, plain and TLS. */
#include <ftw.h>
#include <stdio.h>
#include <strings.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "ports/pacer.h"
#include "tests/cmocka.h"
#include "tests/ports/peer.h"

struct peer {
    struct site *site;
    struct stream *stream;
    char request[70000];
    size_t size;
    struct slice answer; /* still to write */
    char memory[128];
    bool ends;
};

#define PEER_MAX 16

struct site {
    struct listener *listener;
    struct peer peers[PEER_MAX];
    size_t count;
    char last[70000]; /* the last request, whole */
};

static uint8_t large[100000];

static void peer_close(struct peer *peer)
{
    stream_close(peer->stream);
    peer->stream = NULL;
}

static void peer_write(struct peer *peer)
{
    size_t taken = 0;
    while (peer->answer.size) {
        if (stream_write(peer->stream, peer->answer, &taken)) {
            return;
        }
        peer->answer.data += taken;
        peer->answer.size -= taken;
        if (taken == 0) {
            return;
        }
    }
    if (peer->ends) {
        peer_close(peer);
    }
}

static void peer_answer(struct peer *peer)
{
    static const struct {
        const char *path, *answer;
        bool ends;
    } answers[] = {
        {"/hello", "HTTP/1.1 200 OK\r\nX-Name:  a value \r\nContent-Length: 5\r\n\r\nhello", false},
        {"/busy", "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", false},
        {"/date",
         "HTTP/1.1 429 No\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
         "Retry-After: Sun, 06 Nov 1994 08:51:07 GMT\r\nContent-Length: 0\r\n\r\n",
         false},
        {"/cut", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", true},
        {"/close", "", true},
    };
    if (strstr(peer->request, " /large ")) {
        snprintf((char *)large, sizeof large, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                 90000);
        peer->answer = (struct slice){large, strlen((char *)large) + 90000};
    }
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        char path[32];
        snprintf(path, sizeof path, " %s ", answers[i].path);
        if (strstr(peer->request, path)) {
            peer->answer = slice_of_text(answers[i].answer);
            peer->ends = answers[i].ends;
        }
    }
    memcpy(peer->site->last, peer->request, peer->size + 1);
    peer->size = 0;
    peer_write(peer); /* no answer at all for other paths */
}

static void peer_readable(void *context)
{
    struct peer *peer = context;
    size_t size = 0;
    while (peer->stream && peer->size < sizeof peer->request - 1 &&
           !stream_read(peer->stream, (uint8_t *)peer->request + peer->size,
                        sizeof peer->request - 1 - peer->size, &size)) {
        peer->size += size;
        peer->request[peer->size] = 0;
        const char *end = strstr(peer->request, "\r\n\r\n");
        const char *length = strcasestr(peer->request, "content-length: ");
        size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (end && peer->size == (size_t)(end + 4 - peer->request) + body) {
            peer_answer(peer);
        }
    }
}

static void peer_writable(void *context)
{
    peer_write(context);
}

static void peer_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    peer_close(context);
}

static void site_accepted(void *context, struct stream *stream)
{
    static const struct stream_handler handler = {
        .on_readable = peer_readable, .on_writable = peer_writable, .on_closed = peer_closed};
    struct site *site = context;
    assert_true(site->count < PEER_MAX);
    struct peer *peer = &site->peers[site->count++];
    *peer = (struct peer){.site = site, .stream = stream};
    stream_take(stream, &handler, peer);
}

struct test {
    struct loop *loop;
    struct names *names;
    struct http *http;
    char folder[64];
    char ca[96], certificate[96], key[96], other[96];
};

static struct site site;

static void site_open(struct test *test, struct tls *tls)
{
    struct listener_options options = {.host = "127.0.0.1", .tls = tls};
    struct why why = {.text = ""};
    memset(&site, 0, sizeof site);
    assert_int_equal(
        listener_open(&site.listener, test->loop, &options, site_accepted, &site, &why), ERR_OK);
}

static void site_close(void)
{
    for (size_t i = 0; i < site.count; i++) {
        peer_close(&site.peers[i]);
    }
    listener_close(site.listener);
}

struct asked {
    struct http_request request;
    struct http *http;
    bool done;
    struct http_answer answer;
    char body[100001];
    size_t body_size;
    char name[64];
    char url[128];
    bool closes; /* the client, within done() */
};

static void asked_done(struct http_request *request, const struct http_answer *answer)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    assert_false(asked->done);
    asked->done = true;
    asked->answer = *answer;
    assert_true(answer->body.size < sizeof asked->body);
    if (answer->body.size) {
        memcpy(asked->body, answer->body.data, answer->body.size);
    }
    asked->body[answer->body.size] = 0;
    asked->body_size = answer->body.size;
    if (asked->closes) {
        http_close(asked->http);
    }
}

static void asked_header(struct http_request *request, struct slice name, struct slice value)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    if (slice_equal_text(name, "X-Name")) {
        assert_true(slice_to_text(value, asked->name, sizeof asked->name));
    }
}

static void ask(struct test *test, struct asked *asked, const char *scheme, const char *host,
                const char *path)
{
    asked->done = false;
    asked->http = test->http;
    snprintf(asked->url, sizeof asked->url, "%s://%s:%u%s", scheme, host,
             (unsigned)listener_port(site.listener), path);
    asked->request.url = asked->url;
    asked->request.done = asked_done;
    asked->request.header = asked_header;
    if (!asked->request.method) {
        asked->request.method = "GET";
    }
    assert_int_equal(http_send(test->http, &asked->request), ERR_OK);
    assert_false(asked->done);
}

static void ask_and_wait(struct test *test, struct asked *asked, const char *scheme,
                         const char *host, const char *path)
{
    ask(test, asked, scheme, host, path);
    assert_true(loop_until(test->loop, &asked->done, PEER_WAIT_MS));
}

static int setup(void **state)
{
    static struct test test;
    snprintf(test.folder, sizeof test.folder, "/tmp/weir-http-test-XXXXXX");
    assert_non_null(mkdtemp(test.folder));
    char command[256];
    snprintf(command, sizeof command, "tests/services/certs.sh %s >/dev/null && chmod 600 %s/*.key",
             test.folder, test.folder);
    assert_int_equal(system(command), 0);
    snprintf(test.ca, sizeof test.ca, "%s/ca.pem", test.folder);
    snprintf(test.other, sizeof test.other, "%s/other-ca.pem", test.folder);
    snprintf(test.certificate, sizeof test.certificate, "%s/server.pem", test.folder);
    snprintf(test.key, sizeof test.key, "%s/server.key", test.folder);
    *state = &test;
    return 0;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk)
{
    (void)s;
    (void)type;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    struct test *test = *state;
    return nftw(test->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int open_client(void **state)
{
    struct test *test = *state;
    assert_int_equal(loop_open(&test->loop), ERR_OK);
    assert_int_equal(names_open(&test->names, test->loop), ERR_OK);
    assert_int_equal(http_open(&test->http, test->loop, test->names), ERR_OK);
    return 0;
}

static int close_client(void **state)
{
    struct test *test = *state;
    http_close(test->http);
    names_close(test->names);
    loop_close(test->loop);
    return 0;
}

static void answers_come_with_status_body_and_headers(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static struct asked asked;
    asked = (struct asked){.done = false};
    for (int i = 0; i < 3; i++) {
        ask_and_wait(test, &asked, "http", i ? "127.0.0.1" : "localhost", "/hello");
        assert_int_equal(asked.answer.e, ERR_OK);
        assert_int_equal(asked.answer.status, 200);
        assert_string_equal(asked.body, "hello");
        assert_string_equal(asked.name, "a value");
        assert_true(asked.answer.wire_sent >= 100 && asked.answer.wire_sent < 1500);
        assert_true(asked.answer.wire_received >= 100 && asked.answer.wire_received < 1500);
    }
    assert_in_range(site.count, 1, 2); /* a connection for each name, kept */
    site_close();
}

static void a_request_carries_its_body_and_headers(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static char body[60000];
    memset(body, 'b', sizeof body - 1);
    static struct asked asked;
    asked = (struct asked){.request = {.method = "POST",
                                       .headers = {"Content-Type: application/json", "X-A: 1"},
                                       .user = "me",
                                       .password = "secret",
                                       .body = slice_of_text(body)}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_equal(asked.answer.status, 200);
    assert_int_equal(strncmp(site.last, "POST /hello HTTP/1.1\r\n", 22), 0);
    assert_non_null(strstr(site.last, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(site.last, "X-A: 1\r\n"));
    assert_non_null(strstr(site.last, "Authorization: Basic bWU6c2VjcmV0\r\n"));
    assert_non_null(strstr(site.last, "Content-Length: 59999\r\n"));
    assert_null(strstr(site.last, "Expect"));
    assert_string_equal(strstr(site.last, "\r\n\r\n") + 4, body);
    assert_true(asked.answer.wire_sent > 59999);

    asked.request = (struct http_request){.method = "PUT", .body = SLICE("x")};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_equal(strncmp(site.last, "PUT /hello HTTP/1.1\r\n", 21), 0);
    assert_null(strstr(site.last, "Content-Type"));
    asked.request = (struct http_request){.method = "POST"};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_non_null(strstr(site.last, "Content-Length: 0\r\n"));
    site_close();
}

static void a_server_may_ask_for_patience(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static struct asked asked;
    asked = (struct asked){.done = false};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/busy");
    assert_int_equal(asked.answer.status, 503);
    assert_int_equal(asked.answer.retry_after_ms, 7000);
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/date");
    assert_int_equal(asked.answer.status, 429);
    assert_int_equal(asked.answer.date_s, 784111777);
    assert_int_equal(asked.answer.retry_after_ms, 90000);
    site_close();
}

static void answers_are_bounded(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static struct asked asked;
    asked = (struct asked){.request = {.answer_size_max = 90000}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/large");
    assert_int_equal(asked.answer.e, ERR_OK);
    assert_int_equal(asked.body_size, 90000);
    asked = (struct asked){.done = false};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/large");
    assert_int_equal(asked.answer.e, ERR_REJECTED);
    assert_non_null(strstr(asked.answer.why.text, "larger than 65536 bytes"));
    site_close();
}

static void what_goes_wrong_has_a_name(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static struct asked asked;
    asked = (struct asked){.request = {.timeout_ms = 300}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/never");
    assert_int_equal(asked.answer.e, ERR_TIMEOUT);
    assert_true(asked.answer.why.text[0]);
    asked.request = (struct http_request){.timeout_ms = 0};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/cut");
    assert_int_equal(asked.answer.e, ERR_CLOSED);
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/close");
    assert_int_equal(asked.answer.e, ERR_CLOSED);
    ask_and_wait(test, &asked, "gopher", "127.0.0.1", "/");
    assert_int_equal(asked.answer.e, ERR_CONFIG);
    ask_and_wait(test, &asked, "http", "host.invalid", "/");
    assert_true(asked.answer.e == ERR_CLOSED || asked.answer.e == ERR_TIMEOUT);
    assert_non_null(strstr(asked.answer.why.text, "host.invalid"));
    site_close();
    site.listener = NULL;
    struct asked refused = {.request = {.method = "GET", .url = asked.url, .done = asked_done}};
    snprintf(asked.url, sizeof asked.url, "http://127.0.0.1:1/");
    assert_int_equal(http_send(test->http, &refused.request), ERR_OK);
    assert_true(loop_until(test->loop, &refused.done, PEER_WAIT_MS));
    assert_int_equal(refused.answer.e, ERR_CLOSED);
    assert_non_null(strstr(refused.answer.why.text, "127.0.0.1 port 1:")); /* no "after 3 ms" */
}

static void a_cancelled_request_is_never_done(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static struct asked asked[4];
    bool never = false;
    for (int i = 0; i < 4; i++) {
        asked[i] = (struct asked){.done = false};
        ask(test, &asked[i], "http", i == 1 ? "localhost" : "127.0.0.1", i ? "/never" : "/hello");
        for (int turns = 0; turns < i; turns++) {
            assert_int_equal(loop_turn(test->loop, 1), ERR_OK);
        }
    }
    for (int i = 1; i < 4; i++) {
        http_cancel(test->http, &asked[i].request);
        http_cancel(test->http, &asked[i].request);
    }
    assert_true(loop_until(test->loop, &asked[0].done, PEER_WAIT_MS));
    (void)loop_until(test->loop, &never, 50);
    assert_false(asked[1].done || asked[2].done || asked[3].done);
    http_cancel(test->http, &asked[0].request);
    site_close();
}

static void the_client_may_be_closed_by_an_answer(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static struct asked asked[2];
    asked[0] = (struct asked){.closes = true};
    asked[1] = (struct asked){.done = false};
    ask(test, &asked[1], "http", "127.0.0.1", "/never");
    ask_and_wait(test, &asked[0], "http", "127.0.0.1", "/hello");
    assert_false(asked[1].done);
    test->http = NULL;
    site_close();
}

static void there_is_a_bound_on_requests(void **state)
{
    struct test *test = *state;
    site_open(test, NULL);
    static struct asked asked[HTTP_REQUEST_MAX + 1];
    for (size_t i = 0; i < HTTP_REQUEST_MAX; i++) {
        asked[i] = (struct asked){.done = false};
        ask(test, &asked[i], "http", "127.0.0.1", "/hello");
    }
    struct http_request *more = &asked[HTTP_REQUEST_MAX].request;
    *more = (struct http_request){.method = "GET", .url = "http://127.0.0.1/", .done = asked_done};
    assert_int_equal(http_send(test->http, more), ERR_FULL);
    for (size_t i = 0; i < HTTP_REQUEST_MAX; i++) {
        assert_true(loop_until(test->loop, &asked[i].done, PEER_WAIT_MS));
        assert_int_equal(asked[i].answer.status, 200);
    }
    assert_true(site.count <= 16);
    site_close();
}

static void certificates_are_verified(void **state)
{
    struct test *test = *state;
    struct tls *tls = NULL;
    struct why why = {.text = ""};
    struct tls_options of_server = {.certificate = test->certificate, .key = test->key};
    assert_int_equal(tls_open(&tls, &of_server, TLS_SERVER, &why), ERR_OK);
    site_open(test, tls);
    const struct tls_options good = {.ca = test->ca};
    const struct tls_options wrong_ca = {.ca = test->other};
    const struct tls_options wrong_name = {.ca = test->ca, .server_name = "elsewhere.invalid"};
    const struct tls_options right_name = {.ca = test->ca, .server_name = "localhost"};
    const struct tls_options insecure = {.insecure = true};
    const struct tls_options missing = {.ca = "/nowhere.pem"};
    const struct {
        const struct tls_options *options;
        enum err e;
        const char *says;
    } cases[] = {
        {&good, ERR_OK, ""},
        {&wrong_ca, ERR_AUTH, "no authority that is trusted here"},
        {&good, ERR_OK, ""},
        {&wrong_name, ERR_AUTH, "not for the name elsewhere.invalid"},
        {&right_name, ERR_OK, ""},
        {&insecure, ERR_OK, ""},
        {&missing, ERR_CLOSED, "/nowhere.pem"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        static struct asked asked;
        asked = (struct asked){.request = {.tls = cases[i].options}};
        ask_and_wait(test, &asked, "https", "127.0.0.1", "/hello");
        if (asked.answer.e != cases[i].e || !strstr(asked.answer.why.text, cases[i].says)) {
            fail_msg("case %zu: %s \"%s\"", i, err_name(asked.answer.e), asked.answer.why.text);
        }
        if (!cases[i].e) {
            assert_string_equal(asked.body, "hello");
            assert_non_null(strstr(site.last, "Host: 127.0.0.1:"));
            assert_int_equal(asked.answer.peer_end_s > clock_wall_us() / 1000000 + 3640 * 86400,
                             cases[i].options != &insecure);
        }
    }
    site_close();
    tls_close(tls);
}

static void tls_trouble_is_told(void **state)
{
    struct test *test = *state;
    const struct tls_options good = {.ca = test->ca};
    site_open(test, NULL); /* no TLS on that port */
    static struct asked asked;
    asked = (struct asked){.request = {.tls = &good, .timeout_ms = 500}};
    ask_and_wait(test, &asked, "https", "127.0.0.1", "/hello");
    assert_int_not_equal(asked.answer.e, ERR_OK);
    site_close();
    struct tls *tls = NULL;
    struct why why = {.text = ""};
    struct tls_options of_server = {
        .certificate = test->certificate, .key = test->key, .client_ca = test->ca};
    assert_int_equal(tls_open(&tls, &of_server, TLS_SERVER, &why), ERR_OK);
    site_open(test, tls); /* wants a certificate */
    asked = (struct asked){.request = {.tls = &good}};
    ask_and_wait(test, &asked, "https", "127.0.0.1", "/hello");
    assert_int_not_equal(asked.answer.e, ERR_OK);
    assert_true(asked.answer.why.text[0]);
    site_close();
    tls_close(tls);
}

static struct http_link link_now;

static void link_is(void *context, struct http_link *ret)
{
    (void)context;
    *ret = link_now;
}

/* Connections are bound to the link's interface, and opened anew for another one; what is sent is told
 * to its pacer. */
static void requests_keep_to_their_link(void **state)
{
    struct test *test = *state;
    static struct asked asked;
    site_open(test, NULL);
    http_link_set(test->http, link_is, NULL);
    struct pacer *pacer = NULL;
    assert_int_equal(pacer_open(&pacer, test->loop, 100000, 100000), ERR_OK);
    link_now = (struct http_link){.interface_name = "lo", .pacer = pacer};
    asked = (struct asked){.request = {.tls = NULL}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_equal(asked.answer.e, ERR_OK);
    assert_string_equal(asked.body, "hello");
    assert_in_range(pacer_bytes(pacer), asked.answer.wire_sent, asked.answer.wire_sent + 200);
    link_now.interface_name = "nowhere0";
    asked = (struct asked){.request = {.tls = NULL}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_not_equal(asked.answer.e, ERR_OK);
    link_now = (struct http_link){.interface_name = NULL};
    asked = (struct asked){.request = {.tls = NULL}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_equal(asked.answer.e, ERR_OK);
    pacer_close(pacer);
    site_close();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_client, close_client)
    const struct CMUnitTest tests[] = {
        TEST(answers_come_with_status_body_and_headers),
        TEST(a_request_carries_its_body_and_headers),
        TEST(a_server_may_ask_for_patience),
        TEST(answers_are_bounded),
        TEST(what_goes_wrong_has_a_name),
        TEST(a_cancelled_request_is_never_done),
        TEST(the_client_may_be_closed_by_an_answer),
        TEST(there_is_a_bound_on_requests),
        TEST(certificates_are_verified),
        TEST(tls_trouble_is_told),
        TEST(requests_keep_to_their_link),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
