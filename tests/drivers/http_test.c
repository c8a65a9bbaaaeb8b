/* The HTTP driver, with raw sockets and with curl. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/drivers.h"
#include "drivers/http_body.h"
#include "ports/clock.h"
#include "ports/tls.h"
#include "tests/cmocka.h"
#include "tests/drivers/host_double.h"

#define NEVER_MS 600000 /* a limit that no test shall reach */

struct fixture {
    struct driver_host host;
    struct loop *loop;
    struct driver *driver;
    int64_t settings[64];
    bool commits; /* after each turn of the loop */
    char answer[65536];
};

static void *setting(struct fixture *f, const char *name)
{
    for (const struct option *o = http_class.options; o->name; o++) {
        if (strcmp(o->name, name) == 0) {
            return (uint8_t *)f->settings + o->offset;
        }
    }
    fail_msg("no option %s", name);
    return NULL;
}

static void setting_number(struct fixture *f, const char *name, int64_t value)
{
    memcpy(setting(f, name), &value, sizeof value);
}

static void setting_text(struct fixture *f, const char *name, const char *value)
{
    memcpy(setting(f, name), &value, sizeof value);
}

static void fixture_start(struct fixture *f)
{
    struct driver_setup setup = {.host = &f->host, .loop = f->loop, .options = f->settings};
    struct why why = {{0}};
    assert_int_equal(http_class.open(&f->driver, &setup, &why), ERR_OK);
}

static void fixture_prepare(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    assert_true(http_class.options_size <= sizeof f->settings);
    host_init(&f->host);
    assert_int_equal(loop_open(&f->loop), ERR_OK);
    setting_text(f, "listen", "127.0.0.1:0");
    setting_text(f, "path", "/");
    setting_number(f, "body_size_max", 100000);
    setting_number(f, "memory_max", 400000);
    setting_number(f, "connection_max", 8);
    setting_number(f, "idle_timeout", NEVER_MS);
    setting_number(f, "request_timeout", NEVER_MS);
    setting_number(f, "ack_timeout", NEVER_MS);
    setting_number(f, "retry_after", 7000);
    setting_number(f, "idempotency_keys", 4);
    f->commits = true;
}

static void fixture_init(struct fixture *f)
{
    fixture_prepare(f);
    fixture_start(f);
}

static void fixture_stop(struct fixture *f)
{
    http_class.stop(f->driver);
    http_class.close(f->driver);
    f->driver = NULL;
}

static void fixture_release(struct fixture *f)
{
    fixture_stop(f);
    loop_close(f->loop);
    host_release(&f->host);
}

static void turn(struct fixture *f)
{
    assert_int_equal(loop_turn(f->loop, 5), ERR_OK);
    if (f->commits && f->host.ticket && f->driver) {
        http_class.stored(f->driver, host_commit(&f->host));
    }
}

static int dial(struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_driver_port(f->driver))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void put(int fd, const char *text, size_t size)
{
    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Has a whole answer come? Ends behind its Content-Length. */
static bool is_whole(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = end ? strcasestr(answer, "Content-Length:") : NULL;
    return length && strlen(end + 4) >= strtoul(length + 15, NULL, 10);
}

/* The status of the next answer; 0: the connection was closed. The answer is in f->answer. */
static int receive(struct fixture *f, int fd, uint64_t wait_ms)
{
    size_t size = 0;
    uint64_t end_ms = clock_monotonic_ms() + wait_ms;
    f->answer[0] = 0;
    while (!is_whole(f->answer)) {
        turn(f);
        ssize_t got = recv(fd, f->answer + size, sizeof f->answer - 1 - size, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            return 0;
        }
        size += got > 0 ? (size_t)got : 0;
        f->answer[size] = 0;
        if (strncmp(f->answer, "HTTP/1.1 100", 12) == 0) {
            char *next = strstr(f->answer, "\r\n\r\n") + 4;
            size = strlen(next);
            memmove(f->answer, next, size + 1);
        }
        if (clock_monotonic_ms() > end_ms) {
            return -1;
        }
    }
    return (int)strtol(f->answer + 9, NULL, 10);
}

static const char *body_of(const struct fixture *f)
{
    return strstr(f->answer, "\r\n\r\n") + 4;
}

static void post_start(int fd, const char *path, const char *headers, const char *body)
{
    char head[1024];
    int size =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n",
                 path, headers, strlen(body));
    put(fd, head, (size_t)size);
    put(fd, body, strlen(body));
}

/* Until so many events were offered. */
static void expect_events(struct fixture *f, size_t count)
{
    assert_true(host_wait_events(&f->host, f->loop, count, HOST_WAIT_MS));
    assert_int_equal(f->host.event_count, count);
}

static int post(struct fixture *f, const char *path, const char *headers, const char *body)
{
    int fd = dial(f);
    post_start(fd, path, headers, body);
    int status = receive(f, fd, HOST_WAIT_MS);
    close(fd);
    return status;
}

#define JSON_TYPE "Content-Type: application/json\r\n"
#define LINES_TYPE "Content-Type: application/x-ndjson\r\n"

static void bodies_are_split_and_answered(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.host.aside_text = "bad";
    assert_int_equal(post(&f, "/site/a", JSON_TYPE, " {\"a\": [1, \"}\"]}\n"), 200);
    assert_string_equal(body_of(&f), "{\"stored\":1,\"aside\":[]}\n");
    assert_string_equal(f.host.events[0].body, "{\"a\": [1, \"}\"]}");
    assert_string_equal(f.host.events[0].subject, "site/a");
    assert_true(f.host.events[0].wants_ack);
    assert_int_equal(post(&f, "/", JSON_TYPE, "[{\"a\":1}, {\"bad\":1} ,3]"), 200);
    assert_string_equal(
        body_of(&f),
        "{\"stored\":2,\"aside\":[{\"line\":2,\"error\":\"not \\\"bad\\\" again\"}]}\n");
    assert_int_equal(post(&f, "/", LINES_TYPE, "{\"a\":1}\n\n{\"bad\r\n[4]"), 200);
    assert_string_equal(
        body_of(&f),
        "{\"stored\":2,\"aside\":[{\"line\":3,\"error\":\"not \\\"bad\\\" again\"}]}\n");
    assert_int_equal(post(&f, "/", "", "{\"a\":1}\n{\"a\":2}\n"), 200);
    assert_int_equal(f.host.event_count, 9);
    assert_string_equal(f.host.events[8].body, "{\"a\":2}");
    assert_int_equal(post(&f, "/", LINES_TYPE, "\n"), 200);
    assert_int_equal(post(&f, "/", JSON_TYPE, "[ ]"), 200);
    assert_string_equal(body_of(&f), "{\"stored\":0,\"aside\":[]}\n");
    fixture_release(&f);
}

static void what_cannot_be_split_is_refused_whole(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    static const char *const bodies[] = {
        "",
        "[1,2",
        "[1,,2]",
        "[1,2] 3",
        "{\"a\":1} {\"b\":2}",
        "{\"a\":1",
        "[1,{\"a\"]",
        "[\"a\\\"]",
        "{\"a\":1}\n{\"b\":2}",
        "[{]}]",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        assert_int_equal(post(&f, "/", JSON_TYPE, bodies[i]), 400);
        assert_non_null(strstr(body_of(&f), "\"error\":"));
    }
    assert_int_equal(f.host.event_count, 0);
    fixture_release(&f);
}

static void wrong_requests_are_told_so(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    setting_text(&f, "token", "secret token");
    setting_text(&f, "path", "/in");
    fixture_start(&f);
#define RIGHT "Authorization: Bearer secret token\r\n"
    assert_int_equal(post(&f, "/in/x", RIGHT, "1"), 200);
    assert_string_equal(f.host.events[0].subject, "x");
    assert_int_equal(post(&f, "/in/x", "", "1"), 401);
    assert_non_null(strstr(f.answer, "WWW-Authenticate: Bearer"));
    assert_int_equal(post(&f, "/in/x", "Authorization: Bearer secret\r\n", "1"), 401);
    assert_int_equal(post(&f, "/in/x", "Authorization: Bearer secret tokeN\r\n", "1"), 401);
    assert_int_equal(post(&f, "/in/x", "Authorization: Bearer \r\n", "1"), 401);
    assert_int_equal(post(&f, "/other", RIGHT, "1"), 404);
    assert_int_equal(post(&f, "/inner", RIGHT, "1"), 404);
    assert_int_equal(post(&f, "/in", RIGHT "Content-Type: image/png\r\n", "1"), 415);
    assert_int_equal(post(&f, "/in", RIGHT "Content-Encoding: gzip\r\n", "1"), 415);
    assert_int_equal(post(&f, "/in", RIGHT "Idempotency-Key: \r\n", "1"), 400);
    int fd = dial(&f);
    static const char get[] = "GET /in HTTP/1.1\r\nHost: x\r\n" RIGHT "\r\n";
    put(fd, get, sizeof get - 1);
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 405);
    assert_non_null(strstr(f.answer, "Allow: POST"));
    close(fd);
    char *large = malloc(200001);
    assert_non_null(large);
    memset(large, '1', 200000);
    large[200000] = 0;
    fd = dial(&f);
    static const char asking[] = "POST /in HTTP/1.1\r\nHost: x\r\n" RIGHT
                                 "Expect: 100-continue\r\nContent-Length: 200000\r\n\r\n";
    put(fd, asking, sizeof asking - 1);
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 413);
    close(fd);
    fd = dial(&f);
    static const char head[] =
        "POST /in HTTP/1.1\r\nHost: x\r\n" RIGHT "Content-Length: 200000\r\n\r\n";
    put(fd, head, sizeof head - 1);
    for (int i = 0; i < 20; i++) { /* who does not ask reads the answer behind the body */
        turn(&f);
        put(fd, large, 10000);
    }
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 413);
    close(fd);
    fd = dial(&f);
    static const char chunked[] =
        "POST /in HTTP/1.1\r\nHost: x\r\n" RIGHT "Transfer-Encoding: chunked\r\n\r\n30d40\r\n";
    put(fd, chunked, sizeof chunked - 1);
    put(fd, large, 100000);
    put(fd, large, 100000);
    put(fd, "\r\n0\r\n\r\n", 7);
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 413);
    close(fd);
    free(large);
    assert_int_equal(f.host.event_count, 1);
    fixture_release(&f);
}

static void the_answer_comes_after_the_commit(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.commits = false;
    int fd = dial(&f);
    post_start(fd, "/", JSON_TYPE, "[1,2]");
    expect_events(&f, 2);
    assert_int_equal(receive(&f, fd, 100), -1);
    http_class.stored(f.driver, 1);
    assert_int_equal(receive(&f, fd, 100), -1);
    http_class.stored(f.driver, 2);
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 200);
    f.commits = true;
    post_start(fd, "/", JSON_TYPE, "[3]"); /* the connection is kept */
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 200);
    close(fd);
    fixture_release(&f);
}

static void a_full_buffer_is_429_or_waits(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.host.room = 0;
    assert_int_equal(post(&f, "/", JSON_TYPE, "[1,2]"), 429);
    assert_non_null(strstr(f.answer, "Retry-After: 7\r\n"));
    assert_int_equal(post(&f, "/", JSON_TYPE, "[1,2]"), 429); /* without asking again */
    assert_int_equal(f.host.refused_count, 1);
    f.host.room = 3;
    http_class.resume(f.driver);
    int fd = dial(&f);
    post_start(fd, "/", JSON_TYPE, "[1,2,3,4,5]");
    expect_events(&f, 3);
    assert_int_equal(receive(&f, fd, 100), -1);
    assert_int_equal(f.host.event_count, 3);
    assert_int_equal(post(&f, "/", JSON_TYPE, "[6]"), 429);
    f.host.room = SIZE_MAX;
    http_class.resume(f.driver);
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 200);
    assert_string_equal(body_of(&f), "{\"stored\":5,\"aside\":[]}\n");
    assert_int_equal(f.host.event_count, 5);
    close(fd);
    fixture_release(&f);
}

static void a_key_under_which_nothing_was_stored_is_free(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.host.room = 0;
    assert_int_equal(post(&f, "/", "Idempotency-Key: k\r\n", "[1,2]"), 429);
    f.host.room = SIZE_MAX;
    http_class.resume(f.driver);
    assert_int_equal(post(&f, "/", "Idempotency-Key: k\r\n", "[1]"), 200);
    assert_int_equal(post(&f, "/", "Idempotency-Key: k\r\n", "[1]"), 200);
    assert_int_equal(post(&f, "/", "Idempotency-Key: k\r\n", "[1,2]"), 422);
    assert_int_equal(f.host.event_count, 1);
    fixture_release(&f);
}

static void late_commits_and_the_stop_are_503(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    setting_number(&f, "ack_timeout", 100);
    fixture_start(&f);
    f.commits = false;
    int fd = dial(&f);
    post_start(fd, "/", JSON_TYPE, "[1,2,3]");
    expect_events(&f, 3);
    http_class.stored(f.driver, 2);
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 503);
    assert_non_null(strstr(body_of(&f), "{\"stored\":2,"));
    f.host.room = 1;
    post_start(fd, "/", JSON_TYPE, "[4,5]");
    expect_events(&f, 4);
    http_class.stop(f.driver);
    http_class.stored(f.driver, 4);
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 503);
    assert_non_null(strstr(body_of(&f), "{\"stored\":1,"));
    close(fd);
    http_class.close(f.driver);
    loop_close(f.loop);
    host_release(&f.host);
}

static void closing_answers_what_waits(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.commits = false;
    int fd = dial(&f);
    post_start(fd, "/", JSON_TYPE, "[1,2,3]");
    expect_events(&f, 3);
    http_class.stop(f.driver);
    http_class.close(f.driver);
    f.driver = NULL;
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 503);
    assert_non_null(strstr(body_of(&f), "{\"stored\":0,"));
    close(fd);
    loop_close(f.loop);
    host_release(&f.host);
}

#define KEY(text) JSON_TYPE "Idempotency-Key: " text "\r\n"

static void a_repeated_key_stores_nothing_twice(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.host.aside_text = "bad";
    static const char body[] = "[1,\"bad\",3]";
    char first[256];
    assert_int_equal(post(&f, "/", KEY("one"), body), 200);
    snprintf(first, sizeof first, "%s", body_of(&f));
    assert_non_null(strstr(first, "{\"stored\":2,"));
    for (int life = 0; life < 2; life++) {
        assert_int_equal(post(&f, "/", KEY("one"), body), 200);
        assert_string_equal(body_of(&f), first);
        assert_int_equal(post(&f, "/", KEY("one"), "[1,\"bad\",4]"), 422);
        assert_int_equal(f.host.event_count, 3);
        fixture_stop(&f);
        host_crash(&f.host);
        fixture_start(&f);
    }
    /* the ring has four places: the fifth new key takes that of the first */
    static const char *const keys[] = {KEY("2"), KEY("3"), KEY("4"), KEY("5")};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        assert_int_equal(post(&f, "/", keys[i], "[1]"), 200);
    }
    assert_int_equal(post(&f, "/", KEY("one"), body), 200);
    assert_int_equal(f.host.event_count, 3 + 4 + 3);
    fixture_release(&f);
}

static void a_crash_in_the_middle_of_a_key_goes_on_there(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.commits = false;
    f.host.room = 2;
    int fd = dial(&f);
    post_start(fd, "/", KEY("k"), "[1,2,3,4]");
    expect_events(&f, 2);
    assert_int_equal(post(&f, "/", KEY("k"), "[1,2,3,4]"), 429); /* no room: not even looked at */
    (void)host_commit(&f.host);
    fixture_stop(&f);
    close(fd);
    host_crash(&f.host);
    f.host.room = SIZE_MAX;
    fixture_start(&f);
    f.commits = true;
    assert_int_equal(post(&f, "/", KEY("k"), "[1,2,3,4]"), 200);
    assert_string_equal(body_of(&f), "{\"stored\":4,\"aside\":[]}\n");
    assert_int_equal(f.host.event_count, 4);
    assert_string_equal(f.host.events[3].body, "4");
    fixture_release(&f);
}

static void the_same_key_at_the_same_time_is_409(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.commits = false;
    int fd = dial(&f);
    post_start(fd, "/", KEY("k"), "[1]");
    expect_events(&f, 1);
    assert_int_equal(post(&f, "/", KEY("k"), "[1]"), 409);
    f.commits = true;
    assert_int_equal(receive(&f, fd, HOST_WAIT_MS), 200);
    close(fd);
    assert_int_equal(f.host.event_count, 1);
    fixture_release(&f);
}

static void slow_clients_are_cut_off(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    setting_number(&f, "request_timeout", 400);
    fixture_start(&f);
    int head = dial(&f); /* never ends its head */
    int body = dial(&f); /* never ends its body */
    put(head, "POST / HTTP/1.1\r\n", 17);
    static const char start[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n";
    put(body, start, sizeof start - 1);
    bool head_open = true;
    bool body_open = true;
    uint64_t end_ms = clock_monotonic_ms() + HOST_WAIT_MS;
    while ((head_open || body_open) && clock_monotonic_ms() < end_ms) {
        char c;
        turn(&f);
        head_open = head_open && send(head, "x", 1, MSG_NOSIGNAL) == 1 &&
                    recv(head, &c, 1, MSG_DONTWAIT) != 0;
        body_open = body_open && send(body, "1", 1, MSG_NOSIGNAL) == 1 &&
                    recv(body, &c, 1, MSG_DONTWAIT) != 0;
        host_run(f.loop, 20);
    }
    assert_false(head_open);
    assert_false(body_open);
    close(head);
    close(body);
    assert_int_equal(f.host.event_count, 0);
    int status = 0;
    for (int i = 0; i < 20 && status != 200; i++) { /* this process may be slow itself */
        status = post(&f, "/", "", "1");
    }
    assert_int_equal(status, 200);
    fixture_release(&f);
}

/* The look at the deadlines may come in the very turn in which a connection was accepted: by the
 * timer that goes on after another one was closed. */
static void fresh_connections_are_not_late(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint64_t end_ms = clock_monotonic_ms() + 3000;
    while (clock_monotonic_ms() < end_ms) {
        char c;
        int fd = dial(&f);
        turn(&f);
        close(fd);
        turn(&f);
        fd = dial(&f);
        (void)poll(NULL, 0, 3); /* both timers become due */
        turn(&f);
        assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
        close(fd);
        turn(&f);
        turn(&f);
    }
    fixture_release(&f);
}

static void many_connections_take_turns(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    int fds[20];
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = dial(&f);
        post_start(fds[i], "/", "Connection: close\r\n", "{\"n\":1}");
    }
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        assert_int_equal(receive(&f, fds[i], HOST_WAIT_MS), 200);
        close(fds[i]);
    }
    assert_int_equal(f.host.event_count, ARRAY_COUNT(fds));
    fixture_release(&f);
}

/* curl's output, or -1 as *ret_status when it failed. */
static void curl(struct fixture *f, const char *arguments, char *ret, size_t ret_size)
{
    char command[1024];
    snprintf(command, sizeof command,
             "exec curl -sS --max-time 60 -w ' %%{http_code}' %s 127.0.0.1:%u/a/b 2>&1", arguments,
             http_driver_port(f->driver));
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = 0;
    ssize_t got = 1;
    while (got != 0) { /* the driver's turns, until curl has ended */
        struct pollfd output = {.fd = fileno(pipe), .events = POLLIN};
        turn(f);
        if (poll(&output, 1, 0) > 0) {
            got = read(output.fd, ret + size, ret_size - 1 - size);
            assert_true(got >= 0);
            size += (size_t)got;
        }
    }
    ret[size] = 0;
    assert_int_equal(pclose(pipe), 0);
}

static void curl_is_understood(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char out[512];
    curl(&f, "-d '{\"temp\": 21.5}'", out, sizeof out);
    assert_string_equal(out, "{\"stored\":1,\"aside\":[]}\n 200");
    assert_string_equal(f.host.events[0].subject, "a/b");
    curl(&f, "-H 'Expect: 100-continue' -H 'Transfer-Encoding: chunked' --json '[1,2]'", out,
         sizeof out);
    assert_string_equal(out, "{\"stored\":2,\"aside\":[]}\n 200");
    fixture_release(&f);
}

static void off_loopback_a_token_and_tls_are_needed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    setting_text(&f, "listen", "0.0.0.0:0");
    struct driver_setup setup = {.host = &f.host, .loop = f.loop, .options = f.settings};
    struct why why = {{0}};
    assert_int_equal(http_class.open(&f.driver, &setup, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "token"));
    setting_text(&f, "token", "t");
    assert_int_equal(http_class.open(&f.driver, &setup, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "tls"));
    setting_text(&f, "listen", "nowhere");
    assert_int_equal(http_class.open(&f.driver, &setup, &why), ERR_CONFIG);
    loop_close(f.loop);
    host_release(&f.host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_split_and_answered),
        cmocka_unit_test(what_cannot_be_split_is_refused_whole),
        cmocka_unit_test(wrong_requests_are_told_so),
        cmocka_unit_test(the_answer_comes_after_the_commit),
        cmocka_unit_test(a_full_buffer_is_429_or_waits),
        cmocka_unit_test(a_key_under_which_nothing_was_stored_is_free),
        cmocka_unit_test(late_commits_and_the_stop_are_503),
        cmocka_unit_test(closing_answers_what_waits),
        cmocka_unit_test(a_repeated_key_stores_nothing_twice),
        cmocka_unit_test(a_crash_in_the_middle_of_a_key_goes_on_there),
        cmocka_unit_test(the_same_key_at_the_same_time_is_409),
        cmocka_unit_test(slow_clients_are_cut_off),
        cmocka_unit_test(fresh_connections_are_not_late),
        cmocka_unit_test(many_connections_take_turns),
        cmocka_unit_test(curl_is_understood),
        cmocka_unit_test(off_loopback_a_token_and_tls_are_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
