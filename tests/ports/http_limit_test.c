/* How long the HTTP client waits for servers that are slow, stall or trickle. Each is a process of
 * its own, on a socket with a small buffer, so that what it has not read has not been sent. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "tests/cmocka.h"
#include "tests/ports/peer.h"
#include "tests/ports/told.h"

#define BODY_SIZE (1024 * 1024)
#define STALL_SIZE (256 * 1024)

enum pace { PACE_READS, PACE_STALLS, PACE_TRICKLES };

/* --- a slow server --- */

static void sleep_ms(long ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&time, NULL);
}

/* Reads about 1 MiB a second, then answers; or stops reading; or says a byte of a header now and then,
 * for ever. */
static void serve(int listener, enum pace pace)
{
    static char data[16384];
    int fd = accept(listener, NULL, NULL);
    size_t total = 0;
    ssize_t got = 1;
    while (pace != PACE_TRICKLES && total < BODY_SIZE && got > 0) {
        got = recv(fd, data, sizeof data, 0);
        total += got > 0 ? (size_t)got : 0;
        sleep_ms(15);
        while (pace == PACE_STALLS && total > STALL_SIZE) {
            sleep_ms(100);
        }
    }
    const char *answer = pace == PACE_TRICKLES ? "HTTP/1.1 200 OK\r\nX-Drops: "
                                               : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    ssize_t put = send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    while (put > 0 && pace == PACE_TRICKLES) {
        sleep_ms(10);
        put = send(fd, "x", 1, MSG_NOSIGNAL);
    }
    sleep_ms(500);
    _exit(0);
}

static pid_t server_start(enum pace pace, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int room = 16384;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        serve(fd, pace);
    }
    assert_true(pid > 0);
    close(fd);
    return pid;
}

/* --- the client --- */

struct asked {
    struct http_request request;
    struct http_answer answer;
    bool done;
    uint64_t took_ms;
};

static void asked_done(struct http_request *request, const struct http_answer *answer)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    assert_false(asked->done);
    asked->done = true;
    asked->answer = *answer;
}

static void ask(struct asked *asked, const char *host, uint16_t port)
{
    struct loop *loop = NULL;
    struct names *names = NULL;
    struct http *http = NULL;
    char url[64];
    snprintf(url, sizeof url, "http://%s:%u/", host, (unsigned)port);
    asked->request.url = url;
    asked->request.done = asked_done;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    assert_int_equal(http_open(&http, loop, names), ERR_OK);
    uint64_t start_ms = clock_monotonic_ms();
    assert_int_equal(http_send(http, &asked->request), ERR_OK);
    assert_true(loop_until(loop, &asked->done, PEER_WAIT_MS));
    asked->took_ms = clock_monotonic_ms() - start_ms;
    http_close(http);
    names_close(names);
    loop_close(loop);
}

static void ask_server(struct asked *asked, enum pace pace)
{
    uint16_t port = 0;
    pid_t pid = server_start(pace, &port);
    ask(asked, "127.0.0.1", port);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static uint8_t body[BODY_SIZE];

/* --- the tests --- */

static void a_slow_server_has_the_time_it_needs(void **state)
{
    (void)state;
    static struct asked asked;
    asked = (struct asked){
        .request = {.method = "POST", .body = {body, sizeof body}, .timeout_ms = 400}};
    ask_server(&asked, PACE_READS);
    if (asked.answer.e) {
        fail_msg("%s", asked.answer.why.text);
    }
    assert_int_equal(asked.answer.status, 200);
    assert_true(asked.took_ms > 800);
}

static void a_server_that_stalls_has_not(void **state)
{
    (void)state;
    static struct asked asked;
    asked = (struct asked){
        .request = {.method = "POST", .body = {body, sizeof body}, .timeout_ms = 400}};
    ask_server(&asked, PACE_STALLS);
    assert_int_equal(asked.answer.e, ERR_TIMEOUT);
    assert_non_null(strstr(asked.answer.why.text, "not a byte went or came for 400 ms"));
    if (wire_is_told()) {
        assert_in_range(asked.answer.wire_sent, STALL_SIZE, BODY_SIZE / 2);
    }
}

static void a_server_that_trickles_has_a_bound(void **state)
{
    (void)state;
    if (!wire_is_told()) {
        skip(); /* half a header: curl does not tell of it */
    }
    static struct asked asked;
    asked = (struct asked){.request = {.method = "GET", .timeout_ms = 50, .answer_size_max = 100}};
    ask_server(&asked, PACE_TRICKLES);
    assert_int_equal(asked.answer.e, ERR_TIMEOUT);
    assert_non_null(strstr(asked.answer.why.text, "no end within its time"));
    assert_in_range(asked.took_ms, 20 * 50, 20000);
}

/* A listener whose queue is full lets nobody in. */
static void connecting_is_bounded(void **state)
{
    (void)state;
    static struct asked asked;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fillers[4];
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    for (size_t i = 0; i < ARRAY_COUNT(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof address); /* or waits */
    }
    asked = (struct asked){.request = {.method = "GET", .timeout_ms = 300}};
    ask(&asked, "127.0.0.1", ntohs(address.sin_port));
    assert_int_equal(asked.answer.e, ERR_TIMEOUT);
    assert_non_null(strstr(asked.answer.why.text, "no connection within 300 ms"));
    assert_in_range(asked.took_ms, 290, 20000);
    for (size_t i = 0; i < ARRAY_COUNT(fillers); i++) {
        close(fillers[i]);
    }
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_server_has_the_time_it_needs),
        cmocka_unit_test(a_server_that_stalls_has_not),
        cmocka_unit_test(a_server_that_trickles_has_a_bound),
        cmocka_unit_test(connecting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
