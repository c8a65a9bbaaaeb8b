/* The simulation itself: what it promises to the scenarios of the other parts. */
#include "ports/clock.h"
#include "ports/file.h"
#include "ports/inbox.h"
#include "ports/log.h"
#include "ports/names.h"
#include "ports/random.h"
#include "ports/signals.h"
#include "ports/stream.h"
#include "ports/worker.h"
#include "tests/cmocka.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

/* --- a simulated server that gives everything back --- */

struct site {
    unsigned opened, closed;
    uint64_t bytes;
};

static void *site_open(void *server, struct net_peer *peer)
{
    (void)peer;
    ((struct site *)server)->opened++;
    return server;
}

static void site_data(void *context, struct net_peer *peer, struct slice data)
{
    ((struct site *)context)->bytes += data.size;
    net_send(peer, data);
}

static void site_closed(void *context, struct net_peer *peer)
{
    (void)peer;
    ((struct site *)context)->closed++;
}

static const struct net_handler site_handler = {
    .on_open = site_open, .on_data = site_data, .on_closed = site_closed};

/* --- a small agent: sends numbers, reconnects, does a job for each answer --- */

#define SEND_SIZE 20000

struct agent {
    struct loop *loop;
    struct names *names;
    struct worker *worker;
    struct stream *stream;
    struct timer again;
    struct job job;
    uint64_t sent, received;
    unsigned connects, failures, jobs_worked, jobs_done;
    bool job_is_put, done;
    enum err e;
};

static void agent_write(struct agent *agent)
{
    uint8_t data[1000];
    while (agent->sent < SEND_SIZE) {
        size_t taken = 0;
        uint64_t left = SEND_SIZE - agent->sent;
        size_t size = left < sizeof data ? (size_t)left : sizeof data;
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)((agent->sent + i) % 251);
        }
        if (stream_write(agent->stream, (struct slice){data, size}, &taken)) {
            return;
        }
        agent->sent += taken;
        if (taken < size) {
            return;
        }
    }
}

static void agent_opened(void *context)
{
    struct agent *agent = context;
    agent->sent = 0;
    agent->received = 0;
    agent->connects++;
    log_info("agent", "connected %u", agent->connects);
    agent_write(agent);
}

static void agent_readable(void *context)
{
    struct agent *agent = context;
    uint8_t data[700];
    size_t size = 0;
    while (!stream_read(agent->stream, data, sizeof data, &size)) {
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(data[i], (agent->received + i) % 251);
        }
        agent->received += size;
    }
    if (!agent->job_is_put) {
        agent->job_is_put = true;
        assert_int_equal(worker_put(agent->worker, &agent->job), ERR_OK);
    }
    agent->done = agent->done || agent->received >= SEND_SIZE;
}

static void agent_writable(void *context)
{
    agent_write(context);
}

static void agent_lost(void *context, enum err e, const struct why *why)
{
    struct agent *agent = context;
    log_warn("agent", "%s", why->text);
    agent->e = e;
    agent->failures++;
    stream_close(agent->stream);
    agent->stream = NULL;
    timer_arm(&agent->again, 100 + random_below(400));
}

static void agent_connect(struct timer *timer)
{
    static const struct stream_handler handler = {.on_open = agent_opened,
                                                  .on_readable = agent_readable,
                                                  .on_writable = agent_writable,
                                                  .on_closed = agent_lost};
    struct agent *agent = CONTAINER_OF(timer, struct agent, again);
    struct stream_options options = {.host = "broker", .port = 9092, .send_buffer_size = 4000};
    assert_int_equal(
        stream_connect(&agent->stream, agent->loop, agent->names, &options, &handler, agent),
        ERR_OK);
}

static void agent_work(struct job *job)
{
    CONTAINER_OF(job, struct agent, job)->jobs_worked++;
}

static void agent_job_done(struct job *job)
{
    struct agent *agent = CONTAINER_OF(job, struct agent, job);
    agent->jobs_done++;
    agent->job_is_put = false;
}

static void agent_open(struct agent *agent)
{
    *agent = (struct agent){.job = {.work = agent_work, .done = agent_job_done}};
    assert_int_equal(loop_open(&agent->loop), ERR_OK);
    assert_int_equal(names_open(&agent->names, agent->loop), ERR_OK);
    assert_int_equal(worker_open(&agent->worker, agent->loop, "agent"), ERR_OK);
    timer_init(&agent->again, agent->loop, agent_connect);
    timer_arm(&agent->again, 0);
}

static void agent_close(struct agent *agent)
{
    stream_close(agent->stream);
    worker_close(agent->worker);
    timer_release(&agent->again);
    names_close(agent->names);
    loop_close(agent->loop);
}

static bool agent_is_done(void *context)
{
    return ((struct agent *)context)->done;
}

/* --- the tests --- */

/* A whole run with a bad link and a crash; what it leaves is the hash of its trace. */
static uint64_t run(uint64_t seed)
{
    struct site site = {.opened = 0};
    struct agent agent;
    sim_open(seed);
    net_link()->cut_per_million = 5000;
    net_link()->refuse_per_million = 100000;
    net_link()->chunk_max = 300;
    net_listen("broker", 9092, &site_handler, &site);
    agent_open(&agent);
    sim_run_for(1 + sim_below(2000));
    sim_life_crash();
    unsigned failures = agent.failures;
    sim_run_for(1000); /* nothing of the agent happens any more */
    assert_int_equal(agent.failures, failures);
    agent_close(&agent);
    sim_life_end();
    sim_life_begin(sim_below(2));
    agent_open(&agent);
    SIM_EXPECT(sim_run_until(agent_is_done, &agent, 600000));
    assert_int_equal(agent.received, SEND_SIZE);
    agent_close(&agent);
    sim_run_for(1000);
    SIM_EXPECT(site.opened == site.closed);
    sim_life_end();
    uint64_t hash = sim_trace_hash();
    sim_close();
    return hash;
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    uint64_t before = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        uint64_t hash = run(seed);
        assert_true(hash == run(seed));
        assert_true(hash != before);
        before = hash;
    }
}

static void time_jumps_to_the_next_timer(void **state)
{
    (void)state;
    sim_open(7);
    struct agent agent;
    agent_open(&agent); /* nobody listens: it tries again and again */
    uint64_t start_us = sim_now_us();
    sim_run_for(3600 * 1000);
    assert_true(sim_now_us() == start_us + UINT64_C(3600) * 1000000);
    assert_in_range(agent.failures, 5000, 40000);
    assert_int_equal(agent.e, ERR_CLOSED);
    agent_close(&agent);
    sim_life_end();
    sim_close();
}

static void a_link_that_is_down_times_connections_out(void **state)
{
    (void)state;
    sim_open(8);
    struct site site = {.opened = 0};
    struct agent agent;
    net_listen("broker", 9092, &site_handler, &site);
    net_link()->down = true;
    agent_open(&agent);
    sim_run_for(11000);
    assert_int_equal(agent.failures, 1);
    assert_int_equal(agent.e, ERR_TIMEOUT);
    net_link()->down = false;
    assert_true(sim_run_until(agent_is_done, &agent, 60000));
    net_name_fails("broker", true);
    net_cut("broker", 9092);
    agent.e = ERR_OK;
    sim_run_for(2000);
    assert_int_equal(agent.e, ERR_CLOSED);
    assert_int_equal(agent.connects, 1);
    agent_close(&agent);
    sim_life_end();
    sim_close();
}

static void clocks_are_the_scenario_s(void **state)
{
    (void)state;
    sim_open(9);
    uint8_t first[BOOT_ID_SIZE];
    uint8_t second[BOOT_ID_SIZE];
    clock_boot_id(first);
    int64_t wall_us = clock_wall_us();
    uint64_t monotonic_us = clock_monotonic_us();
    sim_run_for(1234);
    assert_int_equal(clock_wall_us() - wall_us, 1234000);
    assert_int_equal(clock_monotonic_us() - monotonic_us, 1234000);
    sim_wall_jump(-5000000);
    assert_int_equal(clock_wall_us() - wall_us, 1234000 - 5000000);
    assert_true(clock_wall_is_synchronised());
    sim_wall_synchronised_set(false);
    assert_false(clock_wall_is_synchronised());
    sim_life_end();
    sim_life_begin(false);
    clock_boot_id(second);
    assert_memory_equal(first, second, BOOT_ID_SIZE);
    sim_run_for(10000);
    sim_life_end();
    sim_life_begin(true);
    clock_boot_id(second);
    assert_memory_not_equal(first, second, BOOT_ID_SIZE);
    assert_true(clock_monotonic_us() < 1000000);
    sim_life_end();
    sim_close();
}

static void a_crashed_life_writes_no_files(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-sim-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    char file[64];
    snprintf(file, sizeof file, "%s/x", path);
    sim_open(10);
    struct why why = {.text = ""};
    assert_int_equal(file_replace(file, SLICE("1"), 0600, &why), ERR_OK);
    sim_life_crash();
    assert_int_equal(file_replace(file, SLICE("2"), 0600, &why), ERR_IO);
    sim_life_end();
    sim_life_begin(false);
    struct slice content = {NULL, 0};
    assert_int_equal(file_read(file, 10, &content, &why), ERR_OK);
    assert_true(slice_equal_text(content, "1"));
    free((void *)(uintptr_t)content.data);
    unlink(file);
    rmdir(path);
    sim_life_end();
    sim_close();
}

/* --- HTTP --- */

struct asked {
    struct http_request request;
    struct http_answer answer;
    char body[64];
    bool done;
};

static void asked_done(struct http_request *request, const struct http_answer *answer)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    assert_false(asked->done);
    asked->done = true;
    asked->answer = *answer;
    assert_true(slice_to_text(answer->body, asked->body, sizeof asked->body));
}

static bool asked_is_done(void *context)
{
    return ((struct asked *)context)->done;
}

static void answer_ids(void *context, const struct http_request *request, struct net_reply *ret)
{
    unsigned *count = context;
    ++*count;
    if (strstr(request->url, "busy")) {
        ret->status = 503;
        ret->retry_after_ms = 2000;
    } else if (strstr(request->url, "never")) {
        ret->never = true;
    } else {
        ret->body = SLICE("{\"id\":1}");
    }
}

static void requests_go_to_the_handler_of_their_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum err e;
        long status;
        const char *body;
    } cases[] = {
        {"https://registry/ids", ERR_OK, 200, "{\"id\":1}"},
        {"https://registry/busy", ERR_OK, 503, ""},
        {"https://registry/never", ERR_TIMEOUT, 0, ""},
        {"https://elsewhere/", ERR_CLOSED, 0, ""},
    };
    sim_open(11);
    struct loop *loop = NULL;
    struct http *http = NULL;
    unsigned count = 0;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(http_open(&http, loop, NULL), ERR_OK);
    net_http("https://registry/", answer_ids, &count);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct asked asked = {
            .request = {.method = "GET", .url = cases[i].url, .done = asked_done}};
        assert_int_equal(http_send(http, &asked.request), ERR_OK);
        assert_false(asked.done);
        assert_true(sim_run_until(asked_is_done, &asked, 60000));
        assert_int_equal(asked.answer.e, cases[i].e);
        assert_int_equal(asked.answer.status, cases[i].status);
        assert_string_equal(asked.body, cases[i].body);
        assert_int_equal(asked.answer.retry_after_ms, i == 1 ? 2000 : 0);
    }
    assert_int_equal(count, 3);
    struct asked asked = {.request = {.method = "GET", .url = cases[0].url, .done = asked_done}};
    assert_int_equal(http_send(http, &asked.request), ERR_OK);
    http_cancel(http, &asked.request);
    sim_run_for(1000);
    assert_false(asked.done);
    assert_int_equal(http_send(http, &asked.request), ERR_OK);
    http_close(http);
    loop_close(loop);
    sim_life_end();
    sim_close();
}

/* --- the agent listens --- */

struct device {
    struct net_peer *peer;
    uint64_t bytes;
    bool refused, closed;
};

static void *device_open(void *server, struct net_peer *peer)
{
    ((struct device *)server)->peer = peer;
    net_send(peer, SLICE("hello"));
    return server;
}

static void device_data(void *context, struct net_peer *peer, struct slice data)
{
    (void)peer;
    ((struct device *)context)->bytes += data.size;
}

static void device_closed(void *context, struct net_peer *peer)
{
    struct device *device = context;
    device->refused = !peer;
    device->closed = true;
}

static const struct net_handler device_handler = {
    .on_open = device_open, .on_data = device_data, .on_closed = device_closed};

struct echo {
    struct stream *stream;
    bool closed;
};

static void echo_readable(void *context)
{
    struct echo *echo = context;
    uint8_t data[100];
    size_t size = 0;
    size_t taken = 0;
    while (!stream_read(echo->stream, data, sizeof data, &size)) {
        assert_int_equal(stream_write(echo->stream, (struct slice){data, size}, &taken), ERR_OK);
        assert_int_equal(taken, size);
    }
}

static void echo_closed(void *context, enum err e, const struct why *why)
{
    (void)why;
    struct echo *echo = context;
    assert_int_equal(e, ERR_CLOSED);
    echo->closed = true;
    stream_close(echo->stream);
}

static void echo_accepted(void *context, struct stream *stream)
{
    static const struct stream_handler handler = {.on_readable = echo_readable,
                                                  .on_closed = echo_closed};
    ((struct echo *)context)->stream = stream;
    stream_take(stream, &handler, context);
}

static void devices_connect_to_the_agent(void **state)
{
    (void)state;
    sim_open(12);
    struct loop *loop = NULL;
    struct listener *listener = NULL;
    struct echo echo = {.closed = false};
    struct device device = {.bytes = 0};
    struct device lost = {.bytes = 0};
    struct why why = {.text = ""};
    assert_int_equal(loop_open(&loop), ERR_OK);
    struct listener_options options = {.host = "", .port = 1883};
    assert_int_equal(listener_open(&listener, loop, &options, echo_accepted, &echo, &why), ERR_OK);
    net_connect("agent", 1883, &device_handler, &device);
    net_connect("agent", 1884, &device_handler, &lost);
    sim_run_for(1000);
    assert_int_equal(device.bytes, 5);
    assert_true(lost.refused);
    net_finish(device.peer);
    sim_run_for(1000);
    assert_true(echo.closed);
    assert_true(device.closed);
    listener_close(listener);
    loop_close(loop);
    sim_life_end();
    sim_close();
}

static void signal_caught(void *context, int number)
{
    *(int *)context = number;
}

static void item_received(void *context, struct inbox_item *item)
{
    (void)item;
    ++*(int *)context;
}

static void signals_and_inboxes_come_on_the_loop(void **state)
{
    (void)state;
    sim_open(13);
    struct loop *loop = NULL;
    struct signals *signals = NULL;
    struct inbox *inbox = NULL;
    struct inbox_item items[3];
    int caught = 0;
    int received = 0;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(signals_open(&signals, loop, signal_caught, &caught), ERR_OK);
    assert_int_equal(inbox_open(&inbox, loop, 2, item_received, &received), ERR_OK);
    sim_signal(15);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(inbox_put(inbox, &items[i]), i < 2 ? ERR_OK : ERR_FULL);
    }
    assert_int_equal(caught + received, 0);
    sim_run_for(100);
    assert_int_equal(caught, 15);
    assert_int_equal(received, 2);
    inbox_close(inbox);
    signals_close(signals);
    loop_close(loop);
    sim_life_end();
    sim_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(time_jumps_to_the_next_timer),
        cmocka_unit_test(a_link_that_is_down_times_connections_out),
        cmocka_unit_test(clocks_are_the_scenario_s),
        cmocka_unit_test(a_crashed_life_writes_no_files),
        cmocka_unit_test(requests_go_to_the_handler_of_their_prefix),
        cmocka_unit_test(devices_connect_to_the_agent),
        cmocka_unit_test(signals_and_inboxes_come_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
