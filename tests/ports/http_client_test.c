/* The HTTP client against a small server on our own streams, plain and TLS. */
#include <stdio.h>

#include "ports/clock.h"
#include "ports/pacer.h"
#include "ports/tickets.h"
#include "tests/ports/http_site.h"
#include "tests/ports/told.h"

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
        if (wire_is_told()) {
            assert_true(asked.answer.wire_sent >= 100 && asked.answer.wire_sent < 1500);
            assert_true(asked.answer.wire_received >= 100 && asked.answer.wire_received < 1500);
        }
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
    assert_true(!wire_is_told() || asked.answer.wire_sent > 59999);

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
    link_now = (struct http_link){
        .interface_name = "lo", .pacer = pacer, .send_buffer_size = 100000, .keepalive_s = 30};
    asked = (struct asked){.request = {.tls = NULL}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_equal(asked.answer.e, ERR_OK);
    assert_string_equal(asked.body, "hello");
    assert_in_range(pacer_bytes(pacer), asked.answer.wire_sent, asked.answer.wire_sent + 200);
    link_now.interface_name = "nowhere0";
    asked = (struct asked){.request = {.tls = NULL}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_equal(asked.answer.e, ERR_IO);
    assert_non_null(strstr(asked.answer.why.text, "no interface \"nowhere0\""));
    link_now = (struct http_link){.interface_name = NULL};
    asked = (struct asked){.request = {.tls = NULL}};
    ask_and_wait(test, &asked, "http", "127.0.0.1", "/hello");
    assert_int_equal(asked.answer.e, ERR_OK);
    pacer_close(pacer);
    site_close();
}

/* One request of a client of its own, whose sessions are in the file: was one resumed? */
static bool another_life(struct test *test, const struct tls_options *options)
{
    static struct asked asked;
    struct tickets *tickets = NULL;
    char path[96];
    snprintf(path, sizeof path, "%s/tickets", test->folder);
    http_close(test->http);
    assert_int_equal(http_open(&test->http, test->loop, test->names), ERR_OK);
    assert_int_equal(tickets_open(&tickets, test->loop, path, NULL), ERR_OK);
    http_tickets_set(test->http, tickets, "cloud");
    asked = (struct asked){.request = {.tls = options}};
    ask_and_wait(test, &asked, "https", "localhost", "/hello");
    if (asked.answer.e) {
        print_message("%s: %s\n", err_name(asked.answer.e), asked.answer.why.text);
    }
    assert_int_equal(asked.answer.status, 200);
    http_close(test->http);
    tickets_close(tickets);
    assert_int_equal(http_open(&test->http, test->loop, test->names), ERR_OK);
    print_message("TLS: %lu bytes%s\n",
                  (unsigned long)(asked.answer.wire_sent + asked.answer.wire_received),
                  site.resumed ? ", resumed" : "");
    return site.resumed;
}

static void sessions_survive_a_restart_and_a_new_link(void **state)
{
    struct test *test = *state;
    static struct asked asked;
    struct tls *tls = NULL;
    struct why why = {.text = ""};
    struct tls_options of_server = {.certificate = test->certificate, .key = test->key};
    const struct tls_options good = {.ca = test->ca};
    const struct tls_options careless = {.ca = test->ca, .insecure = true};
    assert_int_equal(tls_open(&tls, &of_server, TLS_SERVER, &why), ERR_OK);
    site_open(test, tls);
    assert_false(another_life(test, &good));
    for (int i = 0; i < 3; i++) {
        assert_true(another_life(test, &good));
    }
    /* Who was not verified must not pass as one who was. */
    assert_false(another_life(test, &careless));
    assert_true(another_life(test, &careless));
    assert_false(another_life(test, &good));

    asked = (struct asked){.request = {.tls = &good}};
    ask_and_wait(test, &asked, "https", "localhost", "/hello");
    assert_false(site.resumed); /* this client has no file */
    uint64_t sent = 0;
    uint64_t received = 0;
    http_cut(test->http, &sent, &received);
    ask_and_wait(test, &asked, "https", "localhost", "/hello");
    assert_int_equal(asked.answer.status, 200);
    assert_true(site.resumed);
    site_close();
    tls_close(tls);
}

/* With the link, connections end: what was under way is told, and the next request opens a new one. */
static void a_cut_ends_what_is_under_way(void **state)
{
    struct test *test = *state;
    static struct asked asked[3];
    uint64_t sent = 0;
    uint64_t received = 0;
    memset(asked, 0, sizeof asked);
    site_open(test, NULL);
    ask_and_wait(test, &asked[0], "http", "127.0.0.1", "/hello");
    ask(test, &asked[0], "http", "127.0.0.1", "/never");
    ask(test, &asked[1], "http", "127.0.0.1", "/never");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(loop_turn(test->loop, 2), ERR_OK);
    }
    ask(test, &asked[2], "http", "localhost", "/hello"); /* its name is being asked for */
    http_cut(test->http, &sent, &received);
    if (wire_is_told()) {
        assert_in_range(sent, 300, 3000);
        assert_in_range(received, 100, 3000);
    }
    for (size_t i = 0; i < ARRAY_COUNT(asked); i++) {
        assert_false(asked[i].done);
    }
    for (size_t i = 0; i < ARRAY_COUNT(asked); i++) {
        assert_true(loop_until(test->loop, &asked[i].done, PEER_WAIT_MS));
        assert_int_equal(asked[i].answer.e, ERR_CLOSED);
        assert_non_null(strstr(asked[i].answer.why.text, "the link is another one now"));
        assert_int_equal(asked[i].answer.wire_sent + asked[i].answer.wire_received, 0);
    }
    http_cut(test->http, &sent, &received); /* nothing is there */
    assert_int_equal(sent + received, 0);
    size_t count = site.count;
    ask_and_wait(test, &asked[0], "http", "127.0.0.1", "/hello");
    assert_int_equal(asked[0].answer.status, 200);
    assert_int_equal(site.count, count + 1);
    ask(test, &asked[0], "http", "127.0.0.1", "/hello");
    http_cut(test->http, &sent, &received);
    http_cancel(test->http, &asked[0].request);
    site_close();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, site_open_client, site_close_client)
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
        TEST(sessions_survive_a_restart_and_a_new_link),
        TEST(a_cut_ends_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, site_setup, site_teardown);
}
