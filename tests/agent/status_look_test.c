/* What the status asks of the store: who waits, for how long, and what is found; and by which names
 * the status may be asked. The buffer and the worker are doubles. */
#include <stdlib.h>
#include <string.h>

#include "agent/status_look.h"
#include "agent/status_server.h"
#include "tests/cmocka.h"

static struct loop *loop;
static struct job *put; /* that the worker has */
static bool worker_is_full;
static struct owed owed[3];
static struct stream_state streams[STREAM_COUNT_MAX + 1];
static struct buffer_changes changes = {.owed = owed, .streams = streams};
static struct row_info rows[STREAM_COUNT_MAX + 1];
static unsigned read_count;

enum err __wrap_worker_put(struct worker *worker, struct job *job);
enum err __wrap_worker_put(struct worker *worker, struct job *job)
{
    (void)worker;
    if (worker_is_full) {
        return ERR_FULL;
    }
    assert_null(put);
    put = job;
    return ERR_OK;
}

enum err __wrap_buffer_row_next(struct buffer *buffer, uint16_t stream, uint64_t from,
                                struct row_info *ret, struct why *why);
enum err __wrap_buffer_row_next(struct buffer *buffer, uint16_t stream, uint64_t from,
                                struct row_info *ret, struct why *why)
{
    (void)buffer;
    (void)why;
    *ret = rows[stream];
    return ret->range.last >= from ? ERR_OK : ERR_CLOSED;
}

/* An event at the second of its sequence. */
enum err __wrap_buffer_read(struct buffer *buffer, uint16_t stream, struct range range,
                            size_t size_max, struct rows *ret, struct why *why);
enum err __wrap_buffer_read(struct buffer *buffer, uint16_t stream, struct range range,
                            size_t size_max, struct rows *ret, struct why *why)
{
    (void)buffer;
    (void)why;
    assert_true(ret->is_look && ret->event_max == 1 && size_max == 1000);
    read_count++;
    ret->events[0] = (struct stored_event){
        .stream = stream, .sequence = range.first, .time_us = (int64_t)range.first * 1000000};
    ret->event_count = 1;
    return ERR_OK;
}

bool __wrap_buffer_time(const struct buffer *buffer, struct stored_event *event);
bool __wrap_buffer_time(const struct buffer *buffer, struct stored_event *event)
{
    (void)buffer;
    event->time_us += INT64_C(1700000000000000);
    return event->sequence != 66; /* whose boot is not known */
}

struct asker {
    struct look_waiter waiter;
    struct status_look *look;
    struct asker *forgets; /* when it is told */
    bool asks_again;
    unsigned told;
};

static void told(struct look_waiter *waiter)
{
    struct asker *asker = CONTAINER_OF(waiter, struct asker, waiter);
    asker->told++;
    if (asker->forgets) {
        status_look_forget(asker->look, &asker->forgets->waiter);
    }
    if (asker->asks_again) {
        asker->asks_again = false;
        status_look_ask(asker->look, waiter);
    }
}

static struct asker asker_of(struct status_look *look)
{
    return (struct asker){.waiter = {.done = told}, .look = look};
}

static void answer(void)
{
    struct job *job = put;
    assert_non_null(job);
    put = NULL;
    job->work(job);
    job->done(job);
}

static int setup(void **state)
{
    static struct status_look look;
    static char worker;
    put = NULL;
    worker_is_full = false;
    changes.owed_count = read_count = 0;
    memset(streams, 0, sizeof streams);
    memset(rows, 0, sizeof rows);
    assert_int_equal(loop_open(&loop), ERR_OK);
    status_look_init(&look, loop, (struct worker *)(void *)&worker, NULL, &changes, 1000);
    *state = &look;
    return 0;
}

static int teardown(void **state)
{
    status_look_release(*state);
    loop_close(loop);
    return 0;
}

static void owe(uint16_t uplink, uint16_t stream, uint64_t first, uint64_t last)
{
    owed[changes.owed_count++] = (struct owed){
        .uplink = uplink, .stream = stream, .range_count = 1, .ranges = {{first, last}}};
    streams[stream].event_count = last - first + 1;
}

static void the_oldest_that_is_owed_to_anybody(void **state)
{
    struct status_look *look = *state;
    struct asker a = asker_of(look);
    owe(1, 3, 50, 90);
    owe(2, 3, 40, 90);
    owe(1, 4, 7, 9);
    rows[3] = (struct row_info){.range = {30, 60}, .oldest_us = INT64_C(1600000000000000)};
    rows[4] = (struct row_info){.is_tail = true, .range = {5, 9}};
    status_look_ask(look, &a.waiter);
    answer();
    assert_int_equal(a.told, 1);
    assert_true(a.waiter.is_answered);
    assert_true(look->oldest_us[3] == INT64_C(1600000000000000));
    assert_true(look->oldest_us[4] == INT64_C(1700000007000000)); /* 5 and 6 are delivered */
    assert_int_equal(read_count, 1);                              /* rows have it beside them */
    assert_int_equal(look->oldest_us[5], 0);
}

static void times_of_a_boot_are_read_from_the_event(void **state)
{
    struct status_look *look = *state;
    struct asker a = asker_of(look);
    owe(1, 3, 40, 90);
    owe(1, 4, 66, 90);
    rows[3] = (struct row_info){.range = {30, 60}, .oldest_us = 12345};
    rows[4] = (struct row_info){.range = {60, 90}, .oldest_us = 12345};
    status_look_ask(look, &a.waiter);
    answer();
    assert_true(look->oldest_us[3] == INT64_C(1700000040000000));
    assert_int_equal(look->oldest_us[4], 0); /* not known */
}

static void who_asks_meanwhile_gets_the_same_answer(void **state)
{
    struct status_look *look = *state;
    struct asker a = asker_of(look);
    struct asker b = asker_of(look);
    status_look_ask(look, &a.waiter);
    status_look_ask(look, &b.waiter); /* one job: put asserts it */
    b.asks_again = true;
    answer();
    assert_int_equal(a.told, 1);
    assert_int_equal(b.told, 1);
    assert_true(b.waiter.is_waiting && put); /* anew, not within the same answer */
    answer();
    assert_int_equal(b.told, 2);
}

static void a_store_that_hangs_keeps_nobody_for_long(void **state)
{
    struct status_look *look = *state;
    struct asker a = asker_of(look);
    uint64_t begun = loop_now_ms(loop);
    assert_int_equal(status_look_silent_ms(look), 0);
    status_look_ask(look, &a.waiter);
    while (a.told == 0) {
        assert_int_equal(loop_turn(loop, -1), ERR_OK);
    }
    assert_false(a.waiter.is_answered);
    assert_in_range(loop_now_ms(loop) - begun, LOOK_WAIT_MS, 10 * LOOK_WAIT_MS);
    assert_in_range(status_look_silent_ms(look), LOOK_WAIT_MS, 10 * LOOK_WAIT_MS);
    status_look_ask(look, &a.waiter); /* of the job that is still there */
    while (a.told == 1) {
        assert_int_equal(loop_turn(loop, -1), ERR_OK);
    }
    assert_in_range(status_look_silent_ms(look), 2 * LOOK_WAIT_MS, 20 * LOOK_WAIT_MS);
    answer();
    assert_int_equal(status_look_silent_ms(look), 0);
    assert_int_equal(a.told, 2);
}

static void a_worker_that_is_full_is_no_answer(void **state)
{
    struct status_look *look = *state;
    struct asker a = asker_of(look);
    worker_is_full = true;
    status_look_ask(look, &a.waiter);
    while (a.told == 0) {
        assert_int_equal(loop_turn(loop, -1), ERR_OK);
    }
    assert_false(a.waiter.is_answered);
}

static void who_is_gone_is_told_nothing(void **state)
{
    struct status_look *look = *state;
    struct asker a = asker_of(look);
    struct asker b = asker_of(look);
    struct asker c = asker_of(look);
    status_look_forget(look, &a.waiter); /* that never asked */
    status_look_ask(look, &a.waiter);
    status_look_ask(look, &b.waiter);
    status_look_ask(look, &c.waiter);
    c.forgets = &a; /* c is told first, and takes a with it */
    status_look_forget(look, &b.waiter);
    answer();
    assert_int_equal(c.told, 1);
    assert_int_equal(a.told + b.told, 0);
    assert_false(a.waiter.is_waiting || b.waiter.is_waiting);
}

static void names_that_are_ours(void **state)
{
    (void)state;
    const char *names[] = {"gateway7.example"};
    struct option_list hosts = {names, 1};
    static const char *const ours[] = {"127.0.0.1",       "127.0.0.1:9600", "[::1]:9600",
                                       "[::1]",           "10.0.0.7",       "localhost",
                                       "LocalHost:1",     "[fe80::1]",      "gateway7.example:9600",
                                       "Gateway7.Example"};
    static const char *const others[] = {"",
                                         "evil.example",
                                         "evil.example:9600",
                                         "localhost.evil.example",
                                         "127.0.0.1.evil.example",
                                         "1.evil.example",
                                         "gateway8.example",
                                         "gateway7.example.evil.example",
                                         "localhost@evil.example",
                                         ":9600",
                                         "127.0.0.1:9600:x"};
    for (size_t i = 0; i < ARRAY_COUNT(ours); i++) {
        assert_true(status_host_is_ours(ours[i], &hosts));
    }
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_false(status_host_is_ours(others[i], &hosts));
    }
    assert_false(status_host_is_ours(NULL, &hosts));
    assert_false(status_host_is_ours("gateway7.example", &(struct option_list){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_that_is_owed_to_anybody, setup, teardown),
        cmocka_unit_test_setup_teardown(times_of_a_boot_are_read_from_the_event, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asks_meanwhile_gets_the_same_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_hangs_keeps_nobody_for_long, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_is_full_is_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_gone_is_told_nothing, setup, teardown),
        cmocka_unit_test(names_that_are_ours)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
