/* The agent opened anew around its drivers, for another configuration; drivers that become others in
 * place; both without memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/intake_impl.h"
#include "agent/reload.h"
#include "tests/agent/life.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/sim.h"

/* `ack`: of the driver; `size`: MiB of the buffer. */
static struct config *load(struct scene *scene, unsigned ack, unsigned size, const char *streams)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"agent\":{\"id\":\"pump-7\",\"stop_grace\":\"3 s\"},"
                   "\"buffer\":{\"path\":\"/buffer.db\",\"size_max\":\"%u MiB\"},"
                   "\"streams\":{\"lines\":{},\"alarms\":{\"priority\":9}%s},"
                   "\"drivers\":{\"in\":{\"type\":\"hand\",\"ack_interval\":\"%u ms\","
                   "\"routes\":[{\"topic\":\"a\",\"stream\":\"alarms\"}],\"stream\":\"lines\"}},"
                   "\"uplinks\":{\"cloud\":{\"type\":\"double\",\"linger\":\"0 s\"}}}",
                   size, streams, ack);
    return life_config_load(scene, text);
}

static void paused(void *context, const struct why *late)
{
    assert_null(late);
    *(bool *)context = true;
}

static enum err open_again(struct scene *scene, struct config *config, struct agent_keep *keep)
{
    struct agent_setup setup = {.loop = scene->loop,
                                .config = config,
                                .keep = keep,
                                .is_as_before = config == scene->config,
                                .vfs = "agent",
                                .carry = scene->carry,
                                .ret_may_wait = &scene->may_wait};
    scene->why.text[0] = '\0';
    enum err e = agent_open(&scene->agent, &setup, &scene->why);
    scene->buffer = e ? NULL : scene->agent->buffer;
    return e;
}

/* As `weir run` does it. True: it has the newer one, which the scene has from then on. */
static bool renew(struct scene *scene, struct config *newer, unsigned fail_at)
{
    struct agent_keep *keep = NULL;
    bool is_paused = false;
    assert_int_equal(agent_keep_open(&keep), ERR_OK);
    agent_pause(scene->agent, newer, paused, &is_paused);
    for (unsigned i = 0; !is_paused && i < 2000; i++) {
        sim_run_for(10);
    }
    assert_true(is_paused);
    carry_close(scene->carry);
    scene->carry = NULL;
    agent_close_for_newer(scene->agent, newer, &scene->carry, keep);
    scene->agent = NULL;
    fault_alloc_set(fail_at);
    enum err e = open_again(scene, newer, keep);
    fault_alloc_set(0);
    if (e) {
        assert_int_equal(open_again(scene, scene->config, keep), ERR_OK);
        config_close(newer);
    } else {
        config_close(scene->config);
        scene->config = newer;
    }
    assert_null(keep->names);
    assert_int_equal(keep->drivers.count, 0);
    agent_keep_close(keep);
    return !e;
}

static void a_driver_that_is_the_same_goes_on(void **state)
{
    struct scene *scene = *state;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    struct driver_host *driver = scene->driver;
    uint64_t ticket = life_offer(scene, "x", 500);
    assert_true(renew(scene, load(scene, 250, 24, ",\"more\":{}"), 0));
    assert_ptr_equal(scene->driver, driver);
    assert_false(scene->driver_stopped);
    assert_int_equal(scene->stored, ticket);                     /* all of it was told before */
    assert_int_equal(life_offer(scene, "x", 500), ticket + 500); /* and its tickets go on */
    sim_run_for(20000);
    assert_int_equal(scene->stored, ticket + 500);
    assert_int_equal(scene->agent->stream_count, 4); /* weir.events is one */
    assert_int_equal(life_arrived_of(scene, "lines", 1000), 1000);
}

/* Behind the last commit of the agent before it would be lost, and the driver does not know. */
static void a_cursor_waits_for_the_next_agent(void **state)
{
    struct scene *scene = *state;
    struct agent_keep *keep = NULL;
    uint8_t place[8];
    struct out o = out_over(place, sizeof place);
    uint64_t ticket;
    bool is_paused = false;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 5);
    struct driver_host *driver = scene->driver;
    struct config *newer = load(scene, 250, 24, "");
    assert_int_equal(agent_keep_open(&keep), ERR_OK);
    agent_pause(scene->agent, newer, paused, &is_paused);
    for (unsigned i = 0; !is_paused && i < 2000; i++) {
        sim_run_for(10);
    }
    assert_true(is_paused);
    unsigned resumed = scene->resumed;
    out_put_u64_le(&o, 7);
    assert_int_equal(driver_cursor_set(driver, 1, out_slice(&o)), ERR_FULL);
    assert_int_equal(driver_cursor_commit(driver, 1, out_slice(&o), &ticket), ERR_FULL);
    agent_close_for_newer(scene->agent, newer, &scene->carry, keep);
    scene->agent = NULL;
    assert_int_equal(open_again(scene, newer, keep), ERR_OK);
    agent_keep_close(keep);
    config_close(scene->config);
    scene->config = newer;
    assert_ptr_equal(scene->driver, driver);
    sim_run_for(100);
    assert_true(scene->resumed > resumed);
    assert_int_equal(driver_cursor_set(driver, 1, out_slice(&o)), ERR_OK);
    life_offer(scene, "x", 1);
    sim_run_for(60000);
    life_close(scene);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_int_equal(scene->place, 7);
}

static void one_that_is_another_is_closed_in_order(void **state)
{
    struct scene *scene = *state;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    uint64_t ticket = life_offer(scene, "x", 300);
    assert_true(renew(scene, load(scene, 100, 24, ""), 0));
    assert_true(scene->driver_stopped);
    assert_int_equal(scene->stored_before, ticket);
    assert_int_equal(life_offer(scene, "x", 1), 1); /* another life of it */
    sim_run_for(20000);
    assert_int_equal(life_arrived_of(scene, "lines", 301), 301);
}

/* Either the newer one or what was before, and never neither. */
static void without_memory_it_goes_on_as_it_was(void **state)
{
    struct scene *scene = *state;
    unsigned failed = 0, count = 0;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    for (unsigned n = 1; n < 600; n += 1 + n / 20) {
        struct driver_host *driver = scene->driver;
        life_offer(scene, "x", 20);
        count += 20;
        bool is_newer = renew(scene, load(scene, 250, 16 + n % 2, ""), n);
        failed += !is_newer;
        assert_ptr_equal(scene->driver, driver);
        assert_false(scene->driver_stopped);
        life_offer(scene, "x", 20);
        count += 20;
    }
    print_message("openings that failed for want of memory: %u\n", failed);
    assert_true(failed > 20);
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", count), count);
}

/* --- what the centre is told --- */

/* How many events of this kind weir.events has, that no uplink has taken yet. */
static unsigned told(struct scene *scene, const char *kind)
{
    struct stored_event events[32];
    static uint8_t arena[2 * EVENT_SIZE_LIMIT];
    struct rows rows = {.events = events, .event_max = 32, .arena = out_over(arena, sizeof arena)};
    struct why why;
    uint16_t stream = buffer_stream_number(scene->buffer, "weir.events");
    uint8_t text[16];
    struct out o = out_over(text, sizeof text);
    unsigned count = 0;
    out_put_varint(&o, (int64_t)strlen(kind));
    out_put_text(&o, kind);
    assert_int_equal(buffer_read(scene->buffer, stream, (struct range){1, UINT64_MAX / 4},
                                 EVENT_SIZE_LIMIT, &rows, &why),
                     ERR_OK);
    for (size_t i = 0; i < rows.event_count; i++) {
        const struct slice datum = events[i].datum;
        count += memmem(datum.data, datum.size, o.data, o.size) != NULL;
    }
    return count;
}

static void stopped(void *context)
{
    ++*(unsigned *)context;
}

/* The program is told to stop `after_ms` from the beginning of a pause: that ends as a stop. */
static void stop_in_a_pause(struct scene *scene, unsigned after_ms, unsigned life)
{
    bool is_paused = false;
    unsigned is_stopped = 0;
    scene->script.holds = true; /* nothing leaves, and the pause takes its stop_grace */
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 5);
    sim_run_for(1000);
    struct config *newer = load(scene, 100 + life, 24, "");
    agent_pause(scene->agent, newer, paused, &is_paused);
    sim_run_for(after_ms);
    assert_false(is_paused);
    agent_stop(scene->agent, stopped, &is_stopped);
    assert_true(scene->driver_stopped);
    struct event event = {.body_kind = BODY_RAW, .body = SLICE("y"), .subject = SLICE("x")};
    uint64_t ticket;
    assert_int_equal(driver_offer(scene->driver, &event, &ticket, NULL), ERR_FULL);
    sim_run_for(10000);
    assert_false(is_paused);
    assert_int_equal(is_stopped, 1);
    life_close(scene);
    config_close(newer);
    assert_int_equal(scene->stored_before, 5);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_int_equal(told(scene, "stop"), life);
    assert_int_equal(told(scene, "reload"), 0);
    life_close(scene);
}

static void a_stop_in_a_pause_is_told(void **state)
{
    struct scene *scene = *state;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    stop_in_a_pause(scene, 1, 1);    /* at once */
    stop_in_a_pause(scene, 1500, 2); /* while something is being sent */
    stop_in_a_pause(scene, 3001, 3); /* in the last commit, for which drivers are stopped already */
    stop_in_a_pause(scene, 0, 4);    /* before the first */
}

static void only_what_was_reloaded_is_told(void **state)
{
    struct scene *scene = *state;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(10000);
    assert_int_equal(told(scene, "start"), 1);
    assert_false(renew(scene, load(scene, 250, 24, ""), 3));
    sim_run_for(10000);
    assert_int_equal(told(scene, "start"), 1);
    assert_int_equal(told(scene, "reload"), 0);
    assert_true(renew(scene, load(scene, 250, 24, ""), 0));
    sim_run_for(10000);
    assert_int_equal(told(scene, "start"), 1);
    assert_int_equal(told(scene, "reload"), 1);
}

static void too_late(void *context, const struct why *late)
{
    assert_non_null(late);
    *(struct why *)context = *late;
}

/* A disk that takes no commit, before anything is closed for another configuration. */
static void a_disk_that_is_too_slow_stops_nothing(void **state)
{
    struct scene *scene = *state;
    struct crash_fault fault = {.op = CRASH_OP_WRITE, .nth = 1, .repeat = UINT64_MAX};
    struct why late = {""};
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    uint64_t before = life_offer(scene, "x", 10);
    sim_run_for(2000);
    assert_int_equal(scene->stored, before);
    crash_vfs_fault_set(scene->disk, &fault, 1);
    uint64_t ticket = life_offer(scene, "x", 10);
    struct config *newer = load(scene, 100, 24, "");
    agent_pause(scene->agent, newer, too_late, &late);
    sim_run_for(5000);
    assert_string_equal(late.text, "");
    sim_run_for(2000);
    assert_non_null(strstr(late.text, "what was taken can't be stored now: "));
    config_close(newer);
    assert_int_equal(scene->script.stops, 0);
    assert_false(scene->driver_stopped);
    crash_vfs_fault_clear(scene->disk);
    sim_run_for(20000); /* and it goes on */
    assert_int_equal(scene->stored, ticket);
    life_offer(scene, "x", 10);
    assert_true(renew(scene, load(scene, 100, 24, ""), 0));
    assert_true(scene->driver_stopped);
    sim_run_for(20000);
    assert_int_equal(life_arrived_of(scene, "lines", 30), 30);
}

static unsigned routes_fail; /* so many times */

enum err __real_driver_host_routes(struct driver_host *host);
enum err __wrap_driver_host_routes(struct driver_host *host);
enum err __wrap_driver_host_routes(struct driver_host *host)
{
    if (routes_fail > 0) {
        routes_fail--;
        return ERR_NOMEM;
    }
    return __real_driver_host_routes(host);
}

/* Its events would be set aside, since no route takes them. */
static void a_kept_driver_without_routes_is_closed(void **state)
{
    struct scene *scene = *state;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    uint64_t ticket = life_offer(scene, "x", 5);
    routes_fail = 1;
    assert_true(renew(scene, load(scene, 250, 24, ""), 0));
    assert_int_equal(routes_fail, 0);
    assert_int_equal(scene->driver->stage, DRIVER_WAITS);
    assert_null(scene->driver->driver);
    assert_int_equal(scene->stored_before, ticket);
    sim_run_for(7000);
    assert_int_equal(scene->driver->stage, DRIVER_WORKS);
    assert_non_null(scene->driver->driver);
    assert_int_equal(life_offer(scene, "x", 5), 5);
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", 10), 10);
}

/* --- in place --- */

struct reloading {
    struct config *newer;
    unsigned done, failed;
    bool is_stopping; /* it says so */
    struct why why;
};

static void reloaded(void *context, struct slice json)
{
    struct reloading *r = context;
    r->done++;
    assert_true(json.size > 0);
    r->is_stopping = memmem(json.data, json.size, "the agent is stopping", 21) != NULL;
}

static void given_up(void *context, const struct why *why)
{
    struct reloading *r = context;
    r->failed++;
    r->why = *why;
}

static enum err reload(struct scene *scene, struct reloading *r)
{
    struct agent_reload_setup setup = {.older = scene->config,
                                       .newer = r->newer,
                                       .done = reloaded,
                                       .failed = given_up,
                                       .context = r};
    config_differ(scene->config, r->newer, &setup.difference);
    assert_false(setup.difference.core || setup.difference.uplinks);
    return agent_reload(scene->agent, &setup);
}

#define CHANGES 240

static void a_driver_becomes_another_in_place(void **state)
{
    struct scene *scene = *state;
    unsigned happened = 0, failed = 0, refused = 0, changed = 0, count = 0;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    for (unsigned n = 0; n < CHANGES; n++) {
        struct reloading r = {.newer = load(scene, 10 + n, 16, "")};
        int64_t before = scene->driver->config->common.ack_interval_ms;
        scene->driver_stopped = false;
        uint64_t ticket = life_offer(scene, "x", 5);
        count += 5;
        fault_alloc_set(n < 3 ? n : 3 + (n - 3) * 3);
        enum err e = reload(scene, &r);
        for (unsigned i = 0; !e && r.done + r.failed == 0 && i < 2000; i++) {
            sim_run_for(10);
        }
        happened += fault_alloc_happened();
        fault_alloc_set(0);
        refused += e != ERR_OK;
        assert_true(!e || e == ERR_NOMEM);
        assert_int_equal(r.done + r.failed, e ? 0 : 1);
        failed += !e && scene->driver->stage == DRIVER_WAITS;
        sim_run_for(7000); /* one that could not be opened was tried again */
        assert_int_equal(scene->driver->stage, DRIVER_WORKS);
        assert_non_null(scene->driver->driver);
        changed += scene->driver_stopped;
        if (scene->driver_stopped) { /* in order */
            assert_int_equal(scene->stored_before, ticket);
        }
        assert_int_equal(scene->driver->config->common.ack_interval_ms,
                         scene->driver_stopped ? 10 + n : before);
        config_close(scene->config);
        scene->config = r.newer;
    }
    print_message("%u times no memory: %u not begun, %u opened later; %u changed\n", happened,
                  refused, failed, changed);
    assert_true(refused > 0 && failed > 0 && changed > CHANGES / 2);
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", count), count);
}

static void a_change_ends_when_the_agent_does(void **state)
{
    struct scene *scene = *state;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 20);
    struct reloading r = {.newer = load(scene, 20, 16, "")};
    assert_int_equal(reload(scene, &r), ERR_OK);
    assert_int_equal(r.done, 0);
    life_close(scene);
    assert_int_equal(r.done, 0); /* nothing was changed yet */
    assert_int_equal(r.failed, 1);
    config_close(r.newer);
}

/* The driver was stopped to become another one, and does not any more. */
static void a_stop_overtakes_a_change(void **state)
{
    struct scene *scene = *state;
    unsigned is_stopped = 0;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    struct reloading r = {.newer = load(scene, 20, 16, "")};
    assert_int_equal(reload(scene, &r), ERR_OK);
    assert_int_equal(scene->driver->stage, DRIVER_STOPS);
    agent_stop(scene->agent, stopped, &is_stopped);
    sim_run_for(10000);
    assert_int_equal(is_stopped, 1);
    life_close(scene);
    assert_int_equal(r.done, 1);
    assert_true(r.is_stopping);
    config_close(r.newer);
}

/* `count` lines, numbered by the cursor that goes with each. The last ticket. */
static uint64_t offer_numbered(struct scene *scene, uint64_t *number, unsigned count)
{
    uint64_t ticket = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t place[8];
        struct out o = out_over(place, sizeof place);
        out_put_u64_le(&o, ++*number);
        struct event event = {.body_kind = BODY_RAW,
                              .body = SLICE("a line"),
                              .source = SLICE("hand"),
                              .subject = SLICE("x"),
                              .cursor_key = 1,
                              .cursor = out_slice(&o),
                              .wants_ack = true};
        assert_int_equal(driver_offer(scene->driver, &event, &ticket, NULL), ERR_OK);
    }
    return ticket;
}

/* A disk that takes no commit for longer than a reload waits: a driver that was opened anew then would
 * begin in front of what is stored later. */
static void what_is_not_stored_keeps_its_driver(void **state)
{
    struct scene *scene = *state;
    struct crash_fault fault = {.op = CRASH_OP_WRITE, .nth = 1, .repeat = UINT64_MAX};
    uint64_t number = 0;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    offer_numbered(scene, &number, 20);
    sim_run_for(5000);
    crash_vfs_fault_set(scene->disk, &fault, 1);
    uint64_t ticket = offer_numbered(scene, &number, 10);
    struct reloading r = {.newer = load(scene, 20, 16, "")};
    assert_int_equal(reload(scene, &r), ERR_OK);
    unsigned resumed = scene->resumed;
    struct event event = {.body_kind = BODY_RAW, .body = SLICE("y"), .subject = SLICE("x")};
    uint64_t unused;
    assert_int_equal(driver_offer(scene->driver, &event, &unused, NULL), ERR_FULL);
    sim_run_for(8000);
    assert_int_equal(r.done, 0);
    assert_int_equal(r.failed, 1);
    assert_non_null(strstr(r.why.text, "nothing is changed: what driver in has handed over can't"));
    config_close(r.newer);
    assert_false(scene->driver_stopped);
    assert_int_equal(scene->driver->stage, DRIVER_WORKS);
    assert_int_equal(scene->driver->config->common.ack_interval_ms, 250);
    crash_vfs_fault_clear(scene->disk);
    sim_run_for(20000);
    assert_int_equal(scene->stored, ticket);
    assert_true(scene->resumed > resumed);
    ticket = offer_numbered(scene, &number, 5);
    r = (struct reloading){.newer = load(scene, 20, 16, "")};
    assert_int_equal(reload(scene, &r), ERR_OK);
    sim_run_for(5000);
    assert_int_equal(r.done, 1);
    assert_true(scene->driver_stopped);
    assert_int_equal(scene->stored_before, ticket);
    assert_int_equal(scene->place, number); /* it goes on behind all of them */
    config_close(scene->config);
    scene->config = r.newer;
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", number), number);
}

static bool reads(void *context)
{
    return ((struct scene *)context)->driver->stage == DRIVER_READS;
}

/* They name patterns of a configuration that may be closed by then. */
static void routes_go_with_their_configuration(void **state)
{
    struct scene *scene = *state;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    assert_non_null(scene->driver->routes);
    struct reloading r = {.newer = load(scene, 20, 16, "")};
    assert_int_equal(reload(scene, &r), ERR_OK);
    assert_true(sim_run_until(reads, scene, 5000));
    assert_null(scene->driver->routes);
    struct intake_again again = {.driver = SLICE("in"), .event = {.subject = SLICE("a")}};
    struct why why = {""};
    uint64_t commit;
    assert_int_equal(intake_offer_again(agent_intake(scene->agent), &again, &commit, &why),
                     ERR_REJECTED);
    sim_run_for(1000);
    assert_int_equal(r.done, 1);
    assert_non_null(scene->driver->routes);
    config_close(scene->config);
    scene->config = r.newer;
}

/* The same for a cursor that was set without an event. */
static void a_cursor_is_stored_before_it_is_read(void **state)
{
    struct scene *scene = *state;
    uint8_t place[8];
    struct out o = out_over(place, sizeof place);
    config_close(scene->config);
    scene->config = load(scene, 250, 16, "");
    assert_int_equal(life_open(scene), ERR_OK);
    out_put_u64_le(&o, 77);
    assert_int_equal(driver_cursor_set(scene->driver, 1, out_slice(&o)), ERR_OK);
    struct reloading r = {.newer = load(scene, 20, 16, "")};
    assert_int_equal(reload(scene, &r), ERR_OK);
    sim_run_for(3000);
    assert_int_equal(r.done, 1);
    assert_int_equal(scene->place, 77);
    config_close(scene->config);
    scene->config = r.newer;
}

static void what_is_owed_is_not_let_go(void **state)
{
    struct scene *scene = *state;
    struct why why = {""};
    scene->script.holds = true;
    config_close(scene->config);
    scene->config = load(scene, 250, 16, ",\"more\":{}");
    assert_int_equal(life_open(scene), ERR_OK);
    struct config *newer = load(scene, 250, 16, "");
    assert_int_equal(agent_may_take(scene->agent, newer, &why), ERR_OK);
    assert_int_equal(agent_may_take(scene->agent, scene->config, &why), ERR_OK);
    life_offer(scene, "a", 7);
    sim_run_for(1000);
    config_close(newer);
    newer = life_config_load(scene,
                             "{\"streams\":{\"lines\":{}},\"drivers\":{\"in\":{\"type\":\"hand\"}},"
                             "\"uplinks\":{\"cloud\":{\"type\":\"double\"}}}");
    assert_int_equal(agent_may_take(scene->agent, newer, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "7 events of stream alarms"));
    assert_non_null(strstr(why.text, "weir buffer drop --uplink cloud --stream alarms"));
    config_close(newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_driver_that_is_the_same_goes_on, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(a_cursor_waits_for_the_next_agent, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(one_that_is_another_is_closed_in_order, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(without_memory_it_goes_on_as_it_was, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(a_stop_in_a_pause_is_told, life_setup, life_teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_is_too_slow_stops_nothing, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(only_what_was_reloaded_is_told, life_setup, life_teardown),
        cmocka_unit_test_setup_teardown(a_kept_driver_without_routes_is_closed, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(a_driver_becomes_another_in_place, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(a_change_ends_when_the_agent_does, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(a_stop_overtakes_a_change, life_setup, life_teardown),
        cmocka_unit_test_setup_teardown(what_is_not_stored_keeps_its_driver, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(routes_go_with_their_configuration, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(a_cursor_is_stored_before_it_is_read, life_setup,
                                        life_teardown),
        cmocka_unit_test_setup_teardown(what_is_owed_is_not_let_go, life_setup, life_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
