/* The whole agent between doubles of a driver and of an uplink: opening and closing, an orderly stop
 * that always ends, allocations that fail, the status. */
#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "agent/intake_impl.h"
#include "ports/driver.h"
#include "ports/file.h"
#include "ports/lib/json.h"
#include "tests/agent/life.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/sim.h"

#define STATUS_SIZE (64 * 1024)

/* Who only reads the buffer is soon through; another agent stays. */
static void a_buffer_in_use_is_waited_for_and_then_refused(void **state)
{
    struct scene *scene = *state;
    struct agent *second = NULL;
    struct why why = {""};
    assert_int_equal(life_open(scene), ERR_OK);
    struct agent_setup same = {.config = scene->config, .vfs = "agent", .loop = scene->loop};
    uint64_t since_us = sim_now_us();
    assert_int_equal(agent_open(&second, &same, &why), ERR_FULL);
    assert_in_range((sim_now_us() - since_us) / 1000, 10000, 10200);
    assert_non_null(strstr(why.text, "another process has it open"));
    assert_null(second);
    life_offer(scene, "x", 10);
    sim_run_for(20000);
    assert_int_equal(life_arrived_of(scene, "lines", 10), 10);
}

static void what_is_taken_arrives_and_so_does_what_the_agent_tells(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(life_open(scene), ERR_OK);
    uint64_t ticket = life_offer(scene, "x", 300);
    assert_int_equal(life_offer(scene, "a", 20), ticket + 20);
    sim_run_for(20000);
    assert_int_equal(scene->stored, 320);
    assert_int_equal(life_arrived_of(scene, "lines", 300), 300);
    assert_int_equal(life_arrived_of(scene, "alarms", 20), 20);
    assert_int_equal(life_arrived_of(scene, "weir.events", 1), 1);   /* the start */
    assert_int_equal(forward_delivered(scene->agent->forward), 320); /* without it */
    assert_in_range(life_stop_ms(scene), 0, 1000);
    life_close(scene);
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(20000);
    assert_int_equal(life_arrived_of(scene, "weir.events", 3),
                     3); /* the stop, and the next start */
}

/* The commits of a backlog that is being delivered never end; the stop does. */
static void a_stop_does_not_wait_for_the_backlog(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 3000);
    sim_run_for(5000);
    scene->script.holds = false;
    scene->script.answer_ms = 3;
    scene->script.request_size_max = 1000; /* so that it takes many */
    while (double_lent(&scene->script) > 0) {
        double_answer(&scene->script, SEND_RETRY, 0);
    }
    sim_run_for(2000);
    size_t before = scene->script.sent_count;
    uint64_t ticket = life_offer(scene, "x", 1);
    assert_in_range(life_stop_ms(scene), 0, 1000);
    assert_true(scene->driver_stopped);
    assert_int_equal(scene->stored, ticket); /* what was taken is stored */
    assert_in_range(scene->script.sent_count - before, 0, 60);
    assert_true(scene->script.arrived_count < 3000);
    life_close(scene);
    scene->script.request_size_max = 1024 * 1024;
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", 3001), 3001);
}

/* With a disk that takes nothing it ends as well; the source has no acknowledgement. */
static void a_stop_ends_when_nothing_can_be_stored(void **state)
{
    struct scene *scene = *state;
    struct crash_fault fault = {.op = CRASH_OP_WRITE, .nth = 1, .repeat = UINT64_MAX};
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(10000);
    crash_vfs_fault_set(scene->disk, &fault, 1);
    life_offer(scene, "x", 1);
    sim_run_for(1000);
    assert_in_range(life_stop_ms(scene), 1000, 30000);
    assert_int_equal(scene->stored, 0);
    crash_vfs_fault_clear(scene->disk);
}

/* On a disk that can only be read any more the backlog is sent all the same; sources wait. When the
 * disk is back all of it is on record: nothing is sent again, also by the next life. */
static void a_backlog_leaves_a_disk_that_can_only_be_read(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 3000);
    sim_run_for(10000);
    crash_vfs_read_only_set(scene->disk, true);
    uint64_t ticket = life_offer(scene, "x", 1); /* is taken, and not acknowledged */
    scene->script.holds = false;
    scene->script.answer_ms = 3;
    scene->script.request_size_max = 1000; /* so that it takes many */
    while (double_lent(&scene->script) > 0) {
        double_answer(&scene->script, SEND_RETRY, 0);
    }
    sim_run_for(120000);
    assert_int_equal(life_arrived_of(scene, "lines", 3000), 3000);
    assert_int_equal(scene->stored, ticket - 1);
    assert_non_null(strstr(store_trouble(scene->agent->store), "read-only"));
    assert_true(store_unsaved(scene->agent->store) > 10);
    assert_int_equal(store_state(scene->agent->store)->streams[1].event_count, 0);
    crash_vfs_read_only_set(scene->disk, false);
    sim_run_for(10000);
    assert_int_equal(scene->stored, ticket);
    assert_int_equal(store_unsaved(scene->agent->store), 0);
    assert_string_equal(store_trouble(scene->agent->store), "");
    life_close(scene); /* without a word to the disk */
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", 3001), 3001);
}

static void life_close_for_another(struct scene *scene)
{
    carry_close(scene->carry);
    agent_close_for_another(scene->agent, &scene->carry);
    loop_close(scene->loop);
    scene->agent = NULL;
    scene->loop = NULL;
    sim_life_end();
    sim_life_begin(false);
}

/* A machine that starts with a disk that can only be read sends what is stored; the agents that are
 * opened after it know what it has sent. */
static void a_disk_that_can_only_be_read_from_the_start(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true;
    scene->script.request_size_max = 1000; /* so that it takes many */
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 3000);
    sim_run_for(10000);
    life_close(scene);
    scene->script.holds = false;
    scene->script.answer_ms = 200; /* so that some of it is on its way at any time */
    crash_vfs_read_only_set(scene->disk, true);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_non_null(strstr(store_trouble(scene->agent->store), "read-only"));
    assert_int_equal(store_room(scene->agent->store, 1, 10), ERR_FULL);
    sim_run_for(3000);
    uint64_t arrived = life_arrived_of(scene, "lines", 3000);
    assert_in_range(arrived, 30, 2500);
    life_close_for_another(scene);
    assert_non_null(scene->carry);
    assert_int_equal(life_open(scene), ERR_OK); /* still the same */
    sim_run_for(3000);
    assert_in_range(scene->script.arrived_count, arrived + 30, 2900);
    life_close_for_another(scene);
    crash_vfs_read_only_set(scene->disk, false);
    scene->script.answer_ms = 3;
    assert_int_equal(life_open(scene), ERR_OK);
    assert_string_equal(store_trouble(scene->agent->store), "");
    life_offer(scene, "x", 1);
    sim_run_for(60000);
    /* What was on its way at the two ends came twice, as at any end of a process; the rest once. */
    uint64_t twice = 0;
    uint16_t stream = buffer_stream_number(scene->buffer, "lines");
    for (uint64_t s = 1; s <= 3001; s++) {
        assert_in_range(scene->script.arrived[stream][s], 1, 3);
        twice += scene->script.arrived[stream][s] > 1;
    }
    print_message("opened anew twice on a disk that can only be read: %u of 3000 came again\n",
                  (unsigned)twice);
    assert_in_range(twice, 0, 20);
    life_close(scene);
    uint64_t before = scene->script.arrived_count;
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(60000);
    assert_in_range(scene->script.arrived_count - before, 0, 4); /* starts of agents */
}

static void refuse_the_seventh(struct double_script *script, const struct double_sent *sent,
                               struct send_report *report)
{
    bool is_in = sent->stream == buffer_stream_number(*script->buffer, "lines") &&
                 sent->first <= 7 && sent->last >= 7;
    report->result = is_in ? SEND_REJECTED : SEND_OK;
}

static void count_aside(void *context, int64_t id, const struct aside *aside)
{
    (void)id;
    assert_int_equal(aside->kind, ASIDE_DATUM);
    assert_int_equal(aside->sequence, 7);
    *(unsigned *)context += 1;
}

/* What is refused while nothing can be written waits for the disk, and with it its stream: its
 * numbers, which the disk has on record, would go to other events. Other streams go on. */
static void a_refused_event_waits_for_the_disk(void **state)
{
    struct scene *scene = *state;
    struct why why;
    unsigned asides = 0;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 40);
    life_offer(scene, "a", 6);
    sim_run_for(10000);
    crash_vfs_read_only_set(scene->disk, true);
    life_offer(scene, "x", 1);
    sim_run_for(20000);
    scene->script.judge = refuse_the_seventh;
    scene->script.holds = false;
    while (double_lent(&scene->script) > 0) {
        double_answer(&scene->script, SEND_RETRY, 0);
    }
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "alarms", 6), 6);
    assert_true(store_unsaved(scene->agent->store) > 0);
    assert_int_equal(life_arrived_of(scene, "lines", 40), 0);
    life_close(scene); /* without a word to the disk */
    crash_vfs_read_only_set(scene->disk, false);
    assert_int_equal(life_open(scene), ERR_OK);
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", 40), 39);
    assert_int_equal(buffer_aside_each(scene->buffer, 0, 10, count_aside, &asides, &why), ERR_OK);
    assert_int_equal(asides, 1);
    assert_int_equal(store_state(scene->agent->store)->streams[1].event_count, 0);
}

/* What the buffer does not know can't be sent from a disk that can only be read. */
static void a_disk_that_can_only_be_read_and_has_nothing(void **state)
{
    struct scene *scene = *state;
    crash_vfs_read_only_set(scene->disk, true);
    assert_int_equal(life_open(scene), ERR_READONLY);
    assert_true(scene->may_wait);
    life_close(scene);
    crash_vfs_read_only_set(scene->disk, false);
    assert_int_equal(life_open(scene), ERR_OK);
}

/* --- a disk that fails while the agent is opened --- */

/* The driver has a cursor, and so many others have one that the cursors of each stand on a page of
 * their own; what was opened before is in no cache. */
static void fill_cursors(struct scene *scene)
{
    uint8_t value[CURSOR_SIZE_MAX] = {0};
    struct out place = out_over(value, sizeof value);
    out_put_u64_le(&place, 4711);
    life_offer(scene, "x", 100);
    assert_int_equal(driver_cursor_set(scene->driver, 1, out_slice(&place)), ERR_OK);
    for (unsigned i = 0; i < 400; i++) {
        struct cursor_change change = {
            .driver = (uint16_t)(1 + i % 20), .key = 1000 + i, .value = {value, sizeof value}};
        uint64_t commit;
        if (change.driver != scene->driver->number) {
            while (store_cursor_put(scene->agent->store, &change, 0, &commit)) {
                sim_run_for(10);
            }
        }
    }
    sim_run_for(20000);
}

/* Opens with this fault; what came of it is waited for, unless the agent can live with it. True: the
 * fault came. */
static bool open_with_fault(struct scene *scene, struct crash_fault fault, uint64_t n)
{
    fault.nth = n;
    crash_vfs_fault_set(scene->disk, &fault, n);
    enum err e = life_open(scene);
    bool came = crash_vfs_fault_count(scene->disk) > 0;
    if (e && (!scene->may_wait || !strstr(scene->why.text, "/buffer.db"))) {
        fail_msg("operation %u, the %" PRIu64 "-th: %s: %s", fault.op, n, err_name(e),
                 scene->why.text);
    }
    if (!e && scene->place != 4711) {
        fail_msg("operation %u, the %" PRIu64 "-th: the driver begins anew", fault.op, n);
    }
    crash_vfs_fault_clear(scene->disk);
    life_close(scene);
    return came;
}

#define LOG_LOOK_BEGINS 30  /* by then */
#define LOG_LOOK_FRAMES 480 /* at least so many heads of frames are read, one after the other */

/* How many operations an opening takes. */
static uint64_t opening_ops(struct scene *scene)
{
    struct crash_counts before;
    struct crash_counts after;
    crash_vfs_counts(scene->disk, &before);
    assert_int_equal(life_open(scene), ERR_OK);
    crash_vfs_counts(scene->disk, &after);
    life_close(scene);
    return after.ops_all - before.ops_all;
}

/* Any of its operations fails, once or from then on, in any part of opening. The look at the log reads
 * one frame after the other: of many operations that are alike some are enough. */
static void opening_waits_for_a_disk_that_fails(void **state)
{
    static const struct crash_fault faults[] = {
        {.op = CRASH_OP_EVERY},
        {.op = CRASH_OP_EVERY, .repeat = UINT64_MAX},
        {.op = CRASH_OP_WRITE, .is_full = true, .repeat = UINT64_MAX},
        {.op = CRASH_OP_SYNC, .error = ENOSPC},
        {.op = CRASH_OP_WRITE, .error = EROFS, .repeat = UINT64_MAX},
    };
    struct scene *scene = *state;
    unsigned count = 0;
    assert_int_equal(life_open(scene), ERR_OK);
    fill_cursors(scene);
    life_close(scene);
    uint64_t all = opening_ops(scene);
    assert_in_range(all, LOG_LOOK_BEGINS + LOG_LOOK_FRAMES + 200, 100000);
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        bool is_alike = faults[i].op == CRASH_OP_EVERY;
        uint64_t n = 1;
        while (open_with_fault(scene, faults[i], n)) {
            bool is_in_log = n > LOG_LOOK_BEGINS && n < LOG_LOOK_BEGINS + LOG_LOOK_FRAMES - 40;
            n += is_alike && is_in_log ? 47 : is_alike && faults[i].repeat ? 3 : 1;
            count++;
            assert_true(n < 4000);
        }
        assert_true(n > 3);
    }
    print_message("%u openings with a fault\n", count);
    assert_int_equal(life_open(scene), ERR_OK);
    assert_int_equal(scene->place, 4711);
    life_offer(scene, "x", 1);
    sim_run_for(60000);
    assert_int_equal(life_arrived_of(scene, "lines", 101), 101);
}

static void a_stop_waits_for_an_answer_as_long_as_its_grace(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "a", 1);
    sim_run_for(1000);
    assert_true(double_lent(&scene->script) > 0);
    assert_in_range(life_stop_ms(scene), 3000, 4000);
}

static void allocations_that_fail_end_the_opening_and_nothing_else(void **state)
{
    struct scene *scene = *state;
    bool happened = true;
    unsigned failed = 0;
    assert_int_equal(life_open(scene), ERR_OK); /* the buffer exists */
    life_close(scene);
    for (unsigned n = 1; happened; n++) {
        fault_alloc_set(n);
        enum err e = life_open(scene);
        happened = fault_alloc_happened();
        fault_alloc_set(0);
        failed += e != ERR_OK;
        if (e == ERR_OK) {
            life_offer(scene, "x", 1);
            sim_run_for(1000);
            assert_int_equal(scene->stored, 1);
        }
        life_close(scene);
        assert_true(n < 10000);
    }
    print_message("openings that failed for want of memory: %u\n", failed);
    assert_true(failed > 50);
}

static void allocations_that_fail_later_lose_nothing(void **state)
{
    struct scene *scene = *state;
    uint64_t count = 0;
    unsigned happened = 0;
    assert_int_equal(life_open(scene), ERR_OK);
    for (unsigned n = 1; n < 60; n++) {
        fault_alloc_set(n);
        for (unsigned i = 0; i < 20; i++) {
            life_offer(scene, "x", 1);
            count++;
            sim_run_for(50);
        }
        sim_run_for(20000);
        happened += fault_alloc_happened();
        fault_alloc_set(0);
    }
    sim_run_for(60000);
    assert_int_equal(scene->stored, count);
    assert_int_equal(life_arrived_of(scene, "lines", count), count);
    print_message("allocations that failed while it ran: %u\n", happened);
    assert_true(happened > 50);
}

static bool is_json(const struct out *text)
{
    static struct json_reader reader;
    struct json_token token;
    enum err e;
    json_init(&reader, out_slice(text));
    do {
        e = json_next(&reader, &token);
    } while (!e);
    return e == ERR_CLOSED;
}

static void the_status_is_one_json_object(void **state)
{
    struct scene *scene = *state;
    char *memory = calloc(1, STATUS_SIZE);
    struct out json = out_over((uint8_t *)memory, STATUS_SIZE - 1);
    assert_int_equal(life_open(scene), ERR_OK);
    life_offer(scene, "x", 10);
    sim_run_for(10000);
    agent_status(scene->agent, &json);
    assert_true(is_json(&json));
    assert_non_null(strstr(memory, "\"events\":10,\"stored\":10,\"delivered\":10,"));
    assert_non_null(strstr(memory, "\"name\":\"weir.events\",\"priority\":8,"));
    assert_non_null(strstr(memory, "\"clock\":{\"believed\":true}"));
    free(memory);
}

/* An event a second, whose source waits for its acknowledgement. Returns what was written. */
static uint64_t hours(struct scene *scene, unsigned count)
{
    uint64_t before = scene->agent->wear.history.total.bytes;
    for (unsigned s = 0; s < count * 3600; s++) {
        life_offer(scene, "x", 1);
        sim_run_for(1000);
    }
    wear_keep_look(&scene->agent->wear);
    return scene->agent->wear.history.total.bytes - before;
}

static void the_wear_is_held_to_its_bound_and_kept(void **state)
{
    struct scene *scene = *state;
    scene->script.holds = true;
    assert_int_equal(life_open(scene), ERR_OK);
    uint64_t an_hour = hours(scene, 1);
    assert_true(an_hour > 24 * 1000 * 1000); /* a commit for each */
    assert_int_equal(scene->agent->wear.stretch, 1000);
    life_stop_ms(scene);
    struct wear_count total = scene->agent->wear.history.total;
    life_close(scene);
    int64_t max = (int64_t)an_hour + 240 * 1000 * 1000;
    scene->config->buffer.wear_max_per_day = max;
    assert_int_equal(life_open(scene), ERR_OK);
    assert_int_equal(scene->agent->wear.history.total.bytes, total.bytes);
    assert_int_equal(scene->agent->wear.history.total.events, total.events);
    uint64_t held = hours(scene, 3);
    /* Its part of the day, and the first five minutes, until the need is known. */
    assert_in_range(held, 1, 240 * 1000 * 1000 / 23 * 3 * 11 / 10 + an_hour / 12);
    assert_in_range(scene->agent->wear.stretch, 8000, 20000); /* of a quarter of a second */
    assert_true(scene->stored > 0);
    life_close(scene); /* killed: the counts of the last minutes are lost, no more */
    assert_int_equal(life_open(scene), ERR_OK);
    assert_in_range(scene->agent->wear.history.total.bytes, total.bytes + held * 9 / 10,
                    total.bytes + held);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, life_setup, life_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_taken_arrives_and_so_does_what_the_agent_tells),
        TEST(a_buffer_in_use_is_waited_for_and_then_refused),
        TEST(a_stop_does_not_wait_for_the_backlog),
        TEST(a_stop_ends_when_nothing_can_be_stored),
        TEST(a_backlog_leaves_a_disk_that_can_only_be_read),
        TEST(a_disk_that_can_only_be_read_from_the_start),
        TEST(a_refused_event_waits_for_the_disk),
        TEST(a_disk_that_can_only_be_read_and_has_nothing),
        TEST(opening_waits_for_a_disk_that_fails),
        TEST(a_stop_waits_for_an_answer_as_long_as_its_grace),
        TEST(allocations_that_fail_end_the_opening_and_nothing_else),
        TEST(allocations_that_fail_later_lose_nothing),
        TEST(the_status_is_one_json_object),
        TEST(the_wear_is_held_to_its_bound_and_kept),
    };
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
