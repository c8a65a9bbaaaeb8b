/* What may go over a link, between the real store, forward, and doubles of uplinks that share a
 * wire: budgets, windows, lanes, interfaces, outages; and what is kept across crashes. */
#include "agent/links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/flow.h"
#include "agent/link_budget.h"
#include "ports/interface.h"
#include "ports/zone.h"
#include "tests/agent/scene.h"
#include "tests/cmocka.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define HOUR_MS (UINT64_C(3600) * 1000)
#define REQUEST_MAX (LINK_REQUEST_SIZE_START + 2048)

static struct double_wire wire;

static int setup(void **state)
{
    struct why why = {""};
    assert_int_equal(zone_set("UTC", &why), ERR_OK);
    scene_setup(state);
    struct scene *scene = *state;
    scene_use_links(scene);
    wire = (struct double_wire){.bytes_per_second = 8000, .overhead = 200, .answer = 150};
    scene->scripts[0].wire = &wire;
    scene->scripts[1].wire = &wire;
    return 0;
}

static const char *status_of_links(struct scene *scene)
{
    static char text[16384];
    struct out json = out_over((uint8_t *)text, sizeof text - 1);
    links_status(scene->open_links, &json);
    text[json.size] = 0;
    return text;
}

static void expect_status(struct scene *scene, const char *part)
{
    if (!strstr(status_of_links(scene), part)) {
        fail_msg("no %s in %s", part, status_of_links(scene));
    }
}

static void a_link_without_rules_lets_everything_go(void **state)
{
    struct scene *scene = *state;
    scene_begin(scene);
    scene_put(scene, LOW, 1000);
    scene_put(scene, ALARM, 100);
    assert_true(scene_drained(scene, 0, 10 * HOUR_MS));
    scene_expect_once(scene, 0, LOW, 1, 1000);
    expect_status(scene, "\"a\":{\"interface\":null,\"up\":true,\"metered\":false,\"passes\":0,"
                         "\"why\":null,");
    assert_int_equal(links_bytes(scene->open_links), wire.bytes);
    expect_status(scene, "\"under_way\":0,");
    expect_status(scene, "\"months\":[{\"month\":\"2026-01\",");
}

static void a_budget_holds_and_its_reserve_is_kept(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.budget_per_hour = 100000;
    scene_begin(scene);
    scene_put(scene, LOW, 4000); /* about 460 kB */
    sim_run_for(HOUR_MS / 2);
    assert_in_range(wire.bytes, 85000, 90000 + 1500);
    expect_status(scene,
                  "\"passes\":7,\"why\":\"priorities from 7 on only: the budget of the hour is "
                  "spent but for its reserve, until 2026-01-01 01:00\"");
    scene_put(scene, ALARM, 10);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0); /* alarms pass */
    scene_put(scene, ALARM, 300);
    sim_run_for(60000);
    assert_in_range(wire.bytes, 95000, 100000 + 2000); /* until nothing is left */
    assert_true(scene_owed(scene, 0, ALARM) > 0);
    expect_status(scene,
                  "\"passes\":10,\"why\":\"nothing is sent: the budget of the hour is spent, ");
    uint64_t before = wire.bytes;
    sim_run_for(HOUR_MS / 2 - 200000);
    assert_int_equal(wire.bytes, before);
    sim_run_for(200000 + 60000); /* the next hour */
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
    assert_true(scene_drained(scene, 0, 10 * HOUR_MS));
    scene_expect_once(scene, 0, LOW, 1, 4000);
    scene_expect_once(scene, 0, ALARM, 1, 310);
}

/* A request may be as large as what is left, though it is held against the link meanwhile. */
static void a_small_budget_makes_no_small_requests(void **state)
{
    struct scene *scene = *state;
    wire.bytes_per_second = 200000;
    scene->links[0].options.budget_per_hour = 150000;
    scene_begin(scene);
    scene_put(scene, LOW, 4000); /* about 460 kB */
    assert_true(scene_drained(scene, 0, 10 * HOUR_MS));
    assert_in_range(scene->scripts[0].sent_count, 4, 20);
}

/* What was built and may not go any more takes nothing from the reserve. */
static void what_waits_leaves_the_reserve_alone(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].counts_late = true;
    scene->links[0].options.budget_per_hour = 100000;
    scene->links[0].options.reserve = 50000;
    scene_begin(scene);
    scene_put(scene, LOW, 4000);
    sim_run_for(HOUR_MS / 4);
    expect_status(scene, "\"passes\":7,");
    expect_status(scene, "\"under_way\":0,");
    scene_put(scene, ALARM, 3);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
}

static void the_urgent_may_go_on(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.budget_per_day = 20000;
    scene->links[0].options.when_spent = LINK_SPENT_URGENT;
    scene_begin(scene);
    scene_put(scene, LOW, 1000);
    scene_put(scene, ALARM, 1000);
    sim_run_for(HOUR_MS);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
    assert_true(scene_owed(scene, 0, LOW) > 700);
}

/* Several at a time can't overdraw it together. */
static void uplinks_share_a_budget(void **state)
{
    struct scene *scene = *state;
    scene_use_two(scene);
    scene->uplinks[1].link_count = 1;
    scene->links[0].options.budget_per_hour = 50000;
    scene->links[0].options.reserve = 0;
    scene_begin(scene);
    scene_put(scene, LOW, 2000);
    scene_put(scene, ALARM, 1000);
    sim_run_for(HOUR_MS / 2);
    assert_in_range(wire.bytes, 40000, 50000 + 2000);
    assert_true(scene_drained(scene, 0, 40 * HOUR_MS));
    assert_true(scene_drained(scene, 1, 40 * HOUR_MS));
    assert_int_equal(links_bytes(scene->open_links), wire.bytes);
}

static void counts_outlast_a_crash(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.budget_per_month = 100000;
    scene_begin(scene);
    scene_put(scene, LOW, 4000);
    for (int i = 0; i < 8; i++) {
        sim_run_for(3000 + 700 * (uint64_t)i);
        scene_crash(scene);
    }
    sim_run_for(HOUR_MS);
    /* Each crash costs one request at most: its answer may have been on its way. */
    assert_in_range(wire.bytes, 40000, 90000 + 8 * REQUEST_MAX);
    uint64_t before = wire.bytes;
    scene_crash(scene);
    sim_run_for(24 * HOUR_MS);
    assert_int_equal(wire.bytes, before);
    expect_status(scene, "the budget of the month is spent but for its reserve, until 2026-02-01");
    scene_put(scene, ALARM, 1);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
}

static uint64_t number_of(struct scene *scene, const char *name)
{
    const char *at = strstr(status_of_links(scene), name);
    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 10);
}

/* The counts as an orderly stop leaves them, and the next life. */
static void stop_and_begin(struct scene *scene)
{
    links_stop(scene->open_links);
    store_commit_now(scene->site->store);
    sim_run_for(1000);
    scene_crash(scene);
}

/* A request whose answer the stop does not wait for may have got there. */
static void an_orderly_stop_keeps_what_is_under_way(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.budget_per_month = 100000;
    scene->scripts[0].wire = NULL;
    scene->scripts[0].holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(12000);
    assert_int_equal(scene->scripts[0].sent_count, 1);
    uint64_t under_way = number_of(scene, "\"under_way\":");
    assert_true(under_way > 1000);
    uplink_wire_bytes(scene->scripts[0].host, 700, 0); /* a try before it */
    scene_stop(scene, 2000);
    sim_run_for(3000);
    assert_true(scene->finished);
    stop_and_begin(scene);
    assert_int_equal(number_of(scene, "\"spent\":"), 700 + under_way);
}

/* What was on record when the process ended opens no connection outside of a window. */
static void a_start_waits_for_the_window(void **state)
{
    struct scene *scene = *state;
    struct link_window_options nights = {.start = "0 22 * * *", .duration_ms = 3 * 3600 * 1000};
    scene->links[0].options.windows = (struct option_list){&nights, 1};
    scene->scripts[0].wire = NULL;
    scene->scripts[0].holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(6 * HOUR_MS); /* it has closed */
    assert_true(scene->scripts[0].sent_count > 0);
    scene->scripts[0].holds = false;
    scene_crash(scene);
    unsigned before = scene->scripts[0].targets;
    sim_run_for(HOUR_MS);
    assert_int_equal(scene->scripts[0].targets, before);
    sim_run_for(16 * HOUR_MS);
    assert_int_equal(scene_owed(scene, 0, LOW), 0);
}

static void windows_are_kept(void **state)
{
    struct scene *scene = *state;
    struct link_window_options nights = {.start = "0 22 * * *", .duration_ms = 3 * 3600 * 1000};
    scene->links[0].options.windows = (struct option_list){&nights, 1};
    scene_begin(scene); /* midnight: open since 22:00 */
    scene_put(scene, LOW, 10);
    sim_run_for(60000);
    assert_int_equal(scene_owed(scene, 0, LOW), 0);
    sim_run_for(HOUR_MS);
    scene_put(scene, LOW, 1000);
    sim_run_for(HOUR_MS);
    assert_int_equal(scene_owed(scene, 0, LOW), 1000);
    expect_status(scene,
                  "priorities from 7 on only: outside of its windows, until 2026-01-01 22:00");
    scene_put(scene, ALARM, 1);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
    sim_run_for(20 * HOUR_MS - 120000);
    assert_int_equal(scene_owed(scene, 0, LOW), 1000);
    sim_run_for(180000); /* it has opened, to the second */
    assert_true(scene_owed(scene, 0, LOW) < 1000);
    assert_true(scene_drained(scene, 0, HOUR_MS));
    /* Without a clock they are closed, and bytes count for the hour that was known last. */
    scene->clock_is_unknown = true;
    sim_run_for(120000);
    scene_put(scene, LOW, 1);
    sim_run_for(HOUR_MS / 2);
    assert_int_equal(scene_owed(scene, 0, LOW), 1);
    expect_status(scene, "the clock is not known yet");
    scene->clock_is_unknown = false;
    sim_run_for(75000);
    assert_int_equal(scene_owed(scene, 0, LOW), 0);
}

static void bytes_move_to_their_day_when_it_is_known(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.budget_per_day = 60000;
    scene->clock_is_unknown = true;
    scene_begin(scene);
    scene_put(scene, LOW, 2000);
    sim_run_for(HOUR_MS);
    assert_in_range(wire.bytes, 45000, 60000); /* the budget holds anyway */
    expect_status(scene, "\"months\":[]");
    uint64_t before = wire.bytes;
    sim_run_for(30 * HOUR_MS);
    assert_int_equal(wire.bytes, before);
    scene->clock_is_unknown = false;
    sim_run_for(61000);
    assert_int_equal(wire.bytes, before); /* it is that day's */
    expect_status(scene, "\"months\":[{\"month\":\"2026-01\",");
    sim_run_for(24 * HOUR_MS);
    assert_true(wire.bytes > before);
}

#define DAY_US (INT64_C(86400) * 1000000)

static void count(struct scene *scene, uint64_t bytes)
{
    uplink_wire_bytes(scene->scripts[0].host, bytes, 0);
}

/* What was counted in the last seconds of a month, and put in the next one, is that month's. */
static void a_month_is_kept_to_its_end(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.budget_per_month = 100000;
    scene_begin(scene);
    sim_wall_set((clock_days(2026, 2, 1) * 86400 - 10) * INT64_C(1000000));
    count(scene, 5000);
    sim_run_for(9000); /* not enough for a put before midnight */
    count(scene, 700);
    sim_run_for(2000);
    count(scene, 6000);
    sim_run_for(2 * LINKS_LOOK_MS + SITE_COMMIT_MS); /* put, and durable */
    scene_crash(scene);
    expect_status(scene, "\"months\":[{\"month\":\"2026-01\",\"sent\":5700,\"received\":0},"
                         "{\"month\":\"2026-02\",\"sent\":6000,\"received\":0}]");
    assert_int_equal(number_of(scene, "\"spent\":"), 6000);
    expect_status(scene, "\"total\":{\"sent\":11700,");
}

/* What moves when the time is known moves on the disk too. */
static void what_moves_is_kept_where_it_belongs(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.budget_per_month = 100000;
    scene_begin(scene);
    count(scene, 5000);
    stop_and_begin(scene);
    scene->clock_is_unknown = true; /* for some months */
    sim_wall_set(clock_days(2026, 4, 1) * DAY_US);
    count(scene, 6000);
    stop_and_begin(scene);
    expect_status(scene, "\"months\":[{\"month\":\"2026-01\",\"sent\":11000,");
    count(scene, 5000);
    sim_run_for(2 * LINKS_LOOK_MS + SITE_COMMIT_MS); /* put, as January's */
    scene->clock_is_unknown = false;
    sim_run_for(2 * LINKS_LOOK_MS + SITE_COMMIT_MS);
    scene_crash(scene);
    expect_status(scene, "\"months\":[{\"month\":\"2026-01\",\"sent\":11000,\"received\":0},"
                         "{\"month\":\"2026-04\",\"sent\":5000,\"received\":0}]");
}

static const char *interface_of(struct scene *scene)
{
    struct uplink_link link;
    uplink_link(scene->scripts[0].host, &link);
    return link.interface_name;
}

static void the_first_link_that_is_up_is_used(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.interface = "eth0";
    scene->links[1].options.interface = "wwan0";
    scene->links[1].options.priority_min = 7;
    scene->uplinks[0].links[1] = 1;
    scene->uplinks[0].link_count = 2;
    scene_begin(scene);
    assert_string_equal(interface_of(scene), "eth0");
    scene_put(scene, LOW, 10);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, LOW), 0);
    net_interface("eth0")->is_up = false;
    sim_run_for(LINKS_INTERFACE_LOOK_MS + 1);
    assert_int_equal(scene->scripts[0].relinks, 1);
    assert_string_equal(interface_of(scene), "wwan0");
    scene_put(scene, LOW, 10);
    scene_put(scene, ALARM, 10);
    sim_run_for(HOUR_MS);
    assert_int_equal(scene_owed(scene, 0, LOW), 10);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
    expect_status(scene, "\"why\":\"interface eth0 is down\"");
    expect_status(scene, "priorities from 7 on only: as set by priority_min");
    net_interface("wwan0")->is_up = false;
    sim_run_for(LINKS_INTERFACE_LOOK_MS + 1);
    assert_int_equal(scene->scripts[0].relinks, 1);    /* nothing to open anew on */
    assert_string_equal(interface_of(scene), "wwan0"); /* and nothing goes over another one */
    uint64_t before = links_bytes(scene->open_links);
    uplink_wire_bytes(scene->scripts[0].host, 5000, 0); /* what had been under way */
    assert_int_equal(links_bytes(scene->open_links), before + 5000);
    scene_put(scene, ALARM, 1);
    sim_run_for(HOUR_MS);
    assert_int_equal(scene_owed(scene, 0, ALARM), 1);
    net_interface("eth0")->is_up = true;
    sim_run_for(LINKS_INTERFACE_LOOK_MS + 12000);
    assert_int_equal(scene->scripts[0].relinks, 2);
    assert_int_equal(scene_owed(scene, 0, ALARM) + scene_owed(scene, 0, LOW), 0);
}

/* Between two rounds a user gets another link: what it has asked for at the one before, it has not
 * asked for there. */
static void who_has_moved_asks_anew(void **state)
{
    struct scene *scene = *state;
    const uint8_t choices[] = {0, 1};
    struct link_user user;
    struct link_hold hold = {0};
    scene->links[0].options.interface = "eth0";
    scene->links[1].options.interface = "wwan0";
    scene_begin(scene);
    link_user_init(&user, scene->open_links, choices, 2);
    sim_run_for(12000);
    net_interface("eth0")->is_up = false;
    for (unsigned ms = 0; strcmp(link_user_interface(&user), "eth0") == 0; ms++) {
        assert_true(ms <= LINKS_INTERFACE_LOOK_MS);
        assert_true(link_user_may(&user, &hold, 3));
        sim_run_for(1);
    }
    assert_true(link_user_may(&user, &hold, 3));
    link_hold_take(&hold, &user, 3, 500);
    link_hold_give(&hold);
    link_user_release(&user);
}

/* What is on record is sent as it was made, over whichever link: its numbers are given. */
static void a_large_request_stays_large_on_a_thin_link(void **state)
{
    struct scene *scene = *state;
    static struct double_wire modem = {.interface_name = "wwan0", .bytes_per_second = 1200};
    wire = (struct double_wire){
        .interface_name = "eth0", .other = &modem, .bytes_per_second = 1000000};
    scene->links[0].options.interface = "eth0";
    scene->links[1].options.interface = "wwan0";
    scene->uplinks[0].links[1] = 1;
    scene->uplinks[0].link_count = 2;
    scene_begin(scene);
    scene_put(scene, LOW, 1000);
    assert_true(scene_drained(scene, 0, 60000)); /* it knows that the link is fast */
    wire.is_down = true;
    scene_put(scene, LOW, 1000);
    sim_run_for(6000);
    size_t large = double_last(&scene->scripts[0])->size;
    assert_true(large > 60000);
    net_interface("eth0")->is_up = false;
    scene_put(scene, ALARM, 1);
    sim_run_for(DOUBLE_SILENCE_MS + 20000);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0); /* it does not wait for that */
    assert_true(scene_drained(scene, 0, 600000));
    assert_in_range(modem.request_max, large, large + 1000);
    scene_expect_once(scene, 0, LOW, 1, 2000);
}

static void the_interface_may_be_what_counts(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.interface = "wwan0";
    scene->links[0].options.count = LINK_COUNT_INTERFACE;
    scene->links[0].options.budget_per_day = 1000000;
    net_interface("wwan0")->sent = 777; /* before our time */
    scene_begin(scene);
    net_interface("wwan0")->sent += 899999;
    sim_run_for(LINKS_INTERFACE_LOOK_MS + 1);
    assert_int_equal(links_bytes(scene->open_links), 899999);
    scene_put(scene, LOW, 1);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, LOW), 0);
    *net_interface("wwan0") = (struct interface_state){.is_up = true, .received = 1}; /* anew */
    sim_run_for(LINKS_INTERFACE_LOOK_MS + 1);
    assert_int_equal(links_bytes(scene->open_links), 900000);
    scene_put(scene, LOW, 1);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, LOW), 1);
    expect_status(scene, "\"passes\":7,");
}

static void a_fleet_does_not_come_back_at_once(void **state)
{
    struct scene *scene = *state;
    scene->links[0].options.jitter_ms = 600000;
    scene->uplinks[0].backoff_max_ms = 5000;
    scene_begin(scene);
    wire.is_down = true;
    scene_put(scene, LOW, 3000);
    sim_run_for(HOUR_MS);
    wire.is_down = false;
    uint64_t left = 0;
    for (int i = 0; i < 60 && left == 0; i++) { /* the one that is tried again gets through */
        sim_run_for(1000);
        left = scene_owed(scene, 0, LOW) < 3000 ? scene_owed(scene, 0, LOW) : 0;
    }
    assert_true(left > 0);
    expect_status(scene, "a pause after an outage");
    scene_put(scene, ALARM, 1);
    sim_run_for(12000);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
    assert_true(scene_drained(scene, 0, 600000 + 120000));
    scene_expect_once(scene, 0, LOW, 1, 3000);
}

/* An uplink whose peer is out has neither the link nor a pause at the cost of another one. */
static void a_peer_that_is_out_holds_up_nobody_else(void **state, bool assign_waits)
{
    struct scene *scene = *state;
    static struct double_wire other = {.bytes_per_second = 8000, .is_down = true};
    scene_use_two(scene);
    scene->uplinks[1].link_count = 1;
    scene->links[0].options.rate_max = 64000;
    scene->links[0].options.jitter_ms = 600000;
    scene->scripts[0].wire = &other;
    scene->scripts[0].assign_waits = assign_waits;
    scene->streams[1].info.priority = 3;
    scene_begin(scene);
    scene_put(scene, LOW, 3000);
    scene_put(scene, ALARM, 3000);
    assert_true(scene_drained(scene, 1, 360000)); /* 700 kB at 8 kB a second: 88 s */
    for (int i = 0; i < 20; i++) {
        scene_put(scene, LOW, 1);
        sim_run_for(20000);
        assert_int_equal(scene_owed(scene, 1, LOW), 0);
        sim_run_for(180000);
    }
}

static void a_dead_peer_holds_up_nobody_else(void **state)
{
    a_peer_that_is_out_holds_up_nobody_else(state, false);
}

static void who_waits_for_numbers_holds_up_nobody_else(void **state)
{
    a_peer_that_is_out_holds_up_nobody_else(state, true);
}

/* Nor does the pause of one link keep another one from being looked at. */
static void a_pause_is_of_one_link(void **state)
{
    struct scene *scene = *state;
    static struct double_wire other = {.bytes_per_second = 8000, .is_down = true};
    static struct link_window_options nights = {.start = "30 1 * * *", .duration_ms = 3600000};
    scene_use_two(scene);
    scene->uplinks[1].link_count = 1;
    scene->uplinks[1].links[0] = 1;
    scene->scripts[1].wire = &other;
    scene->links[0].options.windows = (struct option_list){&nights, 1};
    scene->links[1].options.jitter_ms = 3600000;
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    sim_run_for(5 * HOUR_MS / 4);
    other.is_down = false;
    sim_run_for(HOUR_MS / 4 + 61000); /* the window of the first has opened */
    assert_int_equal(scene_owed(scene, 0, LOW), 0);
}

static void add_equal_streams(struct scene *scene, uint16_t count)
{
    static char names[SITE_STREAM_MAX][8];
    scene->stream_count = count;
    scene->site->setup->stream_count = count;
    scene->streams[1].info.priority = 3;
    for (uint16_t i = 2; i < count; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%u", i);
        scene->streams[i].info =
            (struct stream_info){.number = (uint16_t)(i + 1), .name = names[i], .priority = 3};
        scene->site->setup->streams[i] = (struct buffer_stream){
            .name = names[i], .priority = 3, .when_full = FULL_BLOCK, .uplinks = 1};
        scene->uplinks[0].stream_set[i] = true;
    }
}

/* Streams of one priority with a backlog: none of them waits for the end of another's. */
static void equals_take_turns(void **state)
{
    enum { STREAMS = 6 };
    struct scene *scene = *state;
    add_equal_streams(scene, STREAMS);
    scene->links[0].options.rate_max = 64000;
    wire.is_down = true; /* at first all have as much */
    scene_begin(scene);
    for (uint16_t stream = 1; stream <= STREAMS; stream++) {
        scene_put(scene, stream, 2000);
    }
    wire.is_down = false;
    sim_run_for(160000); /* about half of it, behind a try that was lost */
    for (uint16_t stream = 1; stream <= STREAMS; stream++) {
        assert_in_range(scene_owed(scene, 0, stream), 100, 1800);
    }
}

/* Nor does their backfill, beside more that is fresh than the link carries. */
static void equals_take_turns_with_backfill(void **state)
{
    enum { STREAMS = 6 };
    struct scene *scene = *state;
    uint64_t counts[2][STREAMS + 1] = {{0}};
    add_equal_streams(scene, STREAMS);
    for (size_t i = 0; i < STREAMS; i++) {
        scene->streams[i].fresh_first = true;
        scene->streams[i].fresh_after_ms = 10000;
    }
    scene->uplinks[0].backfill_share = 200000;
    scene->links[0].options.rate_max = 16000;
    wire = (struct double_wire){
        .bytes_per_second = 2000, .overhead = 20, .answer = 20, .is_down = true};
    scene_begin(scene);
    for (uint16_t stream = 1; stream <= STREAMS; stream++) {
        scene_put(scene, stream, 600);
    }
    scene_crash(scene); /* now all that is backfill */
    wire.is_down = false;
    const struct double_script *script = &scene->scripts[0];
    size_t begin = script->sent_count;
    sim_run_for(35000);
    for (int second = 0; second < 300; second++) {
        for (uint16_t stream = 1; stream <= STREAMS; stream++) {
            scene_put(scene, stream, 4);
        }
        sim_run_for(1000);
    }
    for (size_t i = begin; i < script->sent_count; i++) {
        const struct double_sent *sent = &script->sent[i];
        bool is_done = sent->answered && sent->result == SEND_OK;
        counts[sent->is_backfill][sent->stream] += is_done ? sent->event_count : 0;
    }
    for (uint16_t stream = 1; stream <= STREAMS; stream++) {
        assert_in_range(counts[0][stream], 500, 1200);
        assert_in_range(counts[1][stream], 50, 600);
    }
}

/* Nor does a request of one uplink keep the link of another for long. */
static void uplinks_make_small_requests_for_each_other(void **state)
{
    struct scene *scene = *state;
    scene_use_two(scene);
    scene->uplinks[1].link_count = 1;
    scene->uplinks[0].stream_set[1] = false;
    scene->uplinks[1].stream_set[0] = false;
    scene->site->setup->streams[0].uplinks = 1;
    scene->site->setup->streams[1].uplinks = 2;
    scene->streams[1].info.priority = 5;
    scene->links[0].options.rate_max = 64000;
    scene_begin(scene);
    scene_put(scene, LOW, 4000);
    for (int i = 0; i < 30; i++) {
        scene_put(scene, ALARM, 1);
        sim_run_for(7000); /* two requests of 2 s, and a commit */
        assert_int_equal(scene_owed(scene, 1, ALARM), 0);
    }
}

/* Nor does what a flow was to cut, and is not there any more when the workspace is free. */
static void what_comes_to_nothing_holds_nothing(void **state)
{
    struct scene *scene = *state;
    scene_begin(scene);
    struct flow *flow = &scene->forward->hosts[0].flows[0];
    link_hold_take(&flow->hold_on_link, &flow->host->link_user, 3, 5000);
    expect_status(scene, "\"under_way\":5000,");
    flow->wanted = TASK_CUT;
    forward_schedule(scene->forward);
    assert_int_equal(flow->wanted, TASK_NONE);
    expect_status(scene, "\"under_way\":0,");
}

struct asked {
    struct link_user user;
    unsigned count;
};

static void asked_go(void *context)
{
    ((struct asked *)context)->count++;
}

/* The rules are looked at when they change, but not in a row. */
static void looks_are_not_too_often(void **state)
{
    struct scene *scene = *state;
    static const struct link_user_calls calls = {.go = asked_go};
    static const uint8_t first = 0;
    struct link_window_options window = {.start = "1 * * * *", .duration_ms = 600000};
    struct asked asked = {.count = 0};
    scene->links[0].options.windows = (struct option_list){&window, 1};
    scene_begin(scene);
    link_user_init(&asked.user, scene->open_links, &first, 1);
    link_user_init_calls(&asked.user, &calls, &asked, NULL);
    sim_run_for(1); /* it has looked at 0.0 s; the next time is a minute later, */
    sim_wall_jump(-300000);
    asked.count = 0;
    sim_run_for(LINKS_LOOK_MS - 2);
    assert_int_equal(asked.count, 0);
    sim_run_for(2); /* 0.3 s before the window opens */
    assert_int_equal(asked.count, 2);
    sim_run_for(998);
    assert_int_equal(asked.count, 2);
    sim_run_for(2);
    assert_int_equal(asked.count, 4);
    expect_status(scene, "\"passes\":0,");
    link_user_release(&asked.user);
}

/* Two streams with a backlog: the higher one has the link, the lower one its share. */
static void the_lowest_lane_has_its_share(void **state)
{
    struct scene *scene = *state;
    scene->streams[1].info.priority = 5;
    scene->links[0].options.share_min = 200000;
    scene->links[0].options.rate_max = 64000;
    scene_begin(scene);
    scene_put(scene, LOW, 4000);
    scene_put(scene, ALARM, 4000);
    uint64_t high = scene_owed(scene, 0, ALARM), low = scene_owed(scene, 0, LOW);
    while (scene_owed(scene, 0, ALARM) > 1000) {
        sim_run_for(1000);
    }
    high -= scene_owed(scene, 0, ALARM);
    low -= scene_owed(scene, 0, LOW);
    assert_in_range(low * 100 / (low + high), 15, 27);
    for (size_t i = 2; i < scene->scripts[0].sent_count; i++) { /* 2 s of 64 kbit/s */
        assert_in_range(scene->scripts[0].sent[i].size, 1, 16000 * 6 / 5);
    }
    assert_true(scene_drained(scene, 0, HOUR_MS));
    scene_expect_once(scene, 0, LOW, 1, 4000);
}

static uint64_t backlog_ms(struct scene *scene)
{
    return number_of(scene, "\"backlog_ms\":");
}

/* What was left behind gives way to what is fresh, which leaves pauses: there is a backlog all the
 * time, and not only when its own turn comes. */
static void what_gives_way_is_a_backlog(void **state)
{
    struct scene *scene = *state;
    scene->streams[0].fresh_first = true;
    scene->streams[0].fresh_after_ms = 30000;
    scene->uplinks[0].backfill_share = 200000;
    wire.bytes_per_second = 2000;
    scene_begin(scene);
    scene->scripts[0].target_error = ERR_AGAIN;
    scene_put(scene, LOW, 2000);
    sim_run_for(60000);
    scene->scripts[0].target_error = ERR_OK;
    uplink_ready(scene->scripts[0].host);
    uint64_t before = backlog_ms(scene);
    for (int i = 0; i < 60; i++) {
        scene_put(scene, LOW, 10); /* half of what the link carries */
        sim_run_for(1000);
    }
    assert_true(scene_owed(scene, 0, LOW) > 100);
    assert_in_range(backlog_ms(scene) - before, 57000, 61000);
    assert_true(scene_drained(scene, 0, HOUR_MS));
    sim_run_for(10000);
    before = backlog_ms(scene);
    sim_run_for(HOUR_MS);
    assert_int_equal(backlog_ms(scene), before);
    scene_expect_once(scene, 0, LOW, 1, 2600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_link_without_rules_lets_everything_go, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(a_budget_holds_and_its_reserve_is_kept, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(a_small_budget_makes_no_small_requests, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(what_waits_leaves_the_reserve_alone, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(the_urgent_may_go_on, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(uplinks_share_a_budget, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(counts_outlast_a_crash, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(an_orderly_stop_keeps_what_is_under_way, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(a_start_waits_for_the_window, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(windows_are_kept, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(bytes_move_to_their_day_when_it_is_known, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(a_month_is_kept_to_its_end, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(what_moves_is_kept_where_it_belongs, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(the_first_link_that_is_up_is_used, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(a_large_request_stays_large_on_a_thin_link, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(who_has_moved_asks_anew, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(the_interface_may_be_what_counts, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(a_fleet_does_not_come_back_at_once, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(a_dead_peer_holds_up_nobody_else, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(who_waits_for_numbers_holds_up_nobody_else, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(a_pause_is_of_one_link, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(equals_take_turns, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(equals_take_turns_with_backfill, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(uplinks_make_small_requests_for_each_other, setup,
                                        scene_teardown),
        cmocka_unit_test_setup_teardown(what_comes_to_nothing_holds_nothing, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(looks_are_not_too_often, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(the_lowest_lane_has_its_share, setup, scene_teardown),
        cmocka_unit_test_setup_teardown(what_gives_way_is_a_backlog, setup, scene_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
