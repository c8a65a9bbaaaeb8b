/* The status over a real socket while the store hangs, the agent goes, or who asks goes first. The
 * agent, its buffer and its worker are doubles. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/status_look.h"
#include "agent/status_server.h"
#include "tests/cmocka.h"

static struct loop *loop;
static struct status_server *server;
static struct status_look look;
static struct job *put; /* that the worker has */
static char reply[8192];

enum err __wrap_worker_put(struct worker *worker, struct job *job);
enum err __wrap_worker_put(struct worker *worker, struct job *job)
{
    (void)worker;
    put = job;
    return ERR_OK;
}

static struct buffer_changes changes; /* nothing waits */

struct status_look *__wrap_agent_look(struct agent *agent);
struct status_look *__wrap_agent_look(struct agent *agent)
{
    (void)agent;
    return &look;
}

bool __wrap_agent_ready(const struct agent *agent, struct why *why);
bool __wrap_agent_ready(const struct agent *agent, struct why *why)
{
    (void)agent;
    why_set(why, "the buffer is full");
    return false;
}

/* Longer than an answer has room at first. */
void __wrap_agent_status(struct agent *agent, struct out *json);
void __wrap_agent_status(struct agent *agent, struct out *json)
{
    (void)agent;
    out_put_text(json, "{\"version\":\"");
    for (int i = 0; i < 40000; i++) {
        out_put_byte(json, 'v');
    }
    out_put_text(json, "\",\"agent\":\"a\"}");
}

static void turn(void)
{
    assert_int_equal(loop_turn(loop, 20), ERR_OK);
}

static int ask(const char *path)
{
    char request[128];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(status_server_port(server)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, request, (size_t)size, 0), size);
    return fd;
}

/* The status and the body's first bytes; all of the answer's size is returned. */
static size_t read_reply(int fd, unsigned *ret_status)
{
    size_t size = 0;
    char piece[4096];
    for (;;) {
        ssize_t got = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (got == 0) {
            break;
        }
        for (ssize_t i = 0; i < got && size + (size_t)i < sizeof reply - 1; i++) {
            reply[size + (size_t)i] = piece[i];
        }
        size += got > 0 ? (size_t)got : 0;
        turn();
    }
    close(fd);
    reply[size < sizeof reply ? size : sizeof reply - 1] = 0;
    assert_int_equal(sscanf(reply, "HTTP/1.1 %u", ret_status), 1);
    return size;
}

static bool body_is(const char *text)
{
    const char *body = strstr(reply, "\r\n\r\n");
    return body && strncmp(body + 4, text, strlen(text)) == 0;
}

static void store_answers(void)
{
    while (!put) {
        turn();
    }
    struct job *job = put;
    put = NULL;
    job->work(job);
    job->done(job);
}

static int setup(void **state)
{
    static struct config config = {.status = {.enabled = true, .listen = "127.0.0.1:0"}};
    static char worker, agent;
    (void)state;
    put = NULL;
    assert_int_equal(loop_open(&loop), ERR_OK);
    status_look_init(&look, loop, (struct worker *)(void *)&worker, NULL, &changes, 1000);
    assert_int_equal(status_server_open(&server, loop, &config), ERR_OK);
    assert_int_not_equal(status_server_port(server), 0);
    status_server_agent(server, (struct agent *)(void *)&agent);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    status_server_close(server);
    if (put) {
        store_answers();
    }
    status_look_release(&look);
    loop_close(loop);
    return 0;
}

static void a_store_that_answers_is_healthy(void **state)
{
    (void)state;
    unsigned status;
    int fd = ask("/healthz");
    store_answers();
    (void)read_reply(fd, &status);
    assert_int_equal(status, 200);
    assert_true(body_is("ok\n"));
}

static void a_store_that_hangs_is_not_for_long(void **state)
{
    (void)state;
    unsigned status;
    (void)read_reply(ask("/healthz"), &status); /* after LOOK_WAIT_MS */
    assert_int_equal(status, 200);
    assert_true(body_is("ok, and the store is busy\n"));
    look.begun_ms -= STATUS_SILENT_MS;
    (void)read_reply(ask("/healthz"), &status);
    assert_int_equal(status, 503);
    assert_true(body_is("the store has not answered for 1"));
    (void)read_reply(ask("/status"), &status); /* what is known is told at once */
    assert_int_equal(status, 200);
    (void)read_reply(ask("/readyz"), &status);
    assert_int_equal(status, 503);
    assert_true(body_is("the buffer is full\n"));
    store_answers();
    int fd = ask("/healthz");
    store_answers();
    (void)read_reply(fd, &status);
    assert_int_equal(status, 200);
}

static void an_agent_that_goes_leaves_nobody_waiting(void **state)
{
    (void)state;
    unsigned status;
    struct why why = {"its disk is not mounted"};
    int fd = ask("/healthz");
    while (!look.waiters) {
        turn();
    }
    status_server_agent(server, NULL);
    status_server_waits(server, &why);
    assert_null(look.waiters);
    (void)read_reply(fd, &status);
    assert_int_equal(status, 200);
    (void)read_reply(ask("/healthz"), &status);
    assert_int_equal(status, 200);
    assert_true(body_is("ok, and waiting: its disk is not mounted\n"));
    (void)read_reply(ask("/readyz"), &status);
    assert_int_equal(status, 503);
    assert_true(body_is("its disk is not mounted\n"));
}

static void who_goes_first_is_forgotten(void **state)
{
    (void)state;
    int fd = ask("/status");
    while (!look.waiters) {
        turn();
    }
    close(fd);
    for (int i = 0; i < 500 && look.waiters; i++) { /* until it is seen, or the time is over */
        turn();
    }
    assert_null(look.waiters);
    store_answers();
}

static void a_long_answer_gets_its_room(void **state)
{
    (void)state;
    unsigned status;
    int fd = ask("/status");
    store_answers();
    assert_in_range(read_reply(fd, &status), 40000, 42000);
    assert_int_equal(status, 200);
    fd = ask("/metrics");
    store_answers();
    assert_in_range(read_reply(fd, &status), 40000, 42000);
    assert_int_equal(status, 200);
    assert_true(body_is("# HELP weir_build_info"));
}

static void switched_off_it_is_nothing(void **state)
{
    (void)state;
    struct config config = {.status = {.enabled = false, .listen = "127.0.0.1:0"}};
    struct status_server *none = NULL;
    assert_int_equal(status_server_open(&none, NULL, &config), ERR_OK);
    assert_null(none);
    assert_int_equal(status_server_port(none), 0);
    status_server_agent(none, NULL);
    status_server_waits(none, NULL);
    status_server_close(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(a_store_that_answers_is_healthy),
                                       TEST(a_store_that_hangs_is_not_for_long),
                                       TEST(an_agent_that_goes_leaves_nobody_waiting),
                                       TEST(who_goes_first_is_forgotten),
                                       TEST(a_long_answer_gets_its_room),
                                       cmocka_unit_test(switched_off_it_is_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
