/* A month of a site with two links, minute by minute: Ethernet for some hours a week, a modem with
 * windows and budgets of a day and of the month, which do not suffice; outages, power cuts, alarms at
 * any time. The wires count for themselves what they carry. */
#include "agent/links.h"

#include <stdlib.h>
#include <string.h>

#include "agent/link_budget.h"
#include "ports/clock.h"
#include "ports/interface.h"
#include "ports/zone.h"
#include "tests/agent/scene.h"
#include "tests/cmocka.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define MINUTE_MS 60000
#define DAYS 31
#define MINUTES (DAYS * 1440)
#define BUDGET_DAY 20000
#define BUDGET_MONTH 400000
#define RESERVE 300000                 /* millionths */
#define CALM_DAY (BUDGET_DAY / 10 * 7) /* what is left for those that are not urgent */
#define CALM_MONTH (BUDGET_MONTH / 10 * 7)
#define MARGIN 100     /* a request may grow by so much of what its size was thought to be */
#define NEAR 3000      /* to a budget, where it is taken to be spent */
#define MIDDLE 3       /* a stream between the two others */
#define CALM_MS 300000 /* so long after an outage an alarm may take */

struct month {
    struct scene *scene;
    struct double_wire ethernet, modem;
    uint64_t day_begin; /* bytes of the modem */
    uint64_t calm_day_begin;
    uint64_t request;                /* the largest that there was, and what is around it */
    uint64_t outage_to, ethernet_to; /* minutes */
    uint64_t trouble_ms;             /* when the last outage, cut or change of links was */
    uint64_t low_at_dusk;            /* delivered of the lowest lane */
    unsigned crashes, outages, alarms, nights, changes;
    unsigned dry; /* nights in a row */
    unsigned spent_days, alarm_waits;
    bool month_is_spent;
};

static uint64_t now_ms(void)
{
    return sim_now_us() / 1000;
}

static uint64_t delivered(const struct month *m, uint16_t stream)
{
    uint64_t count = 0;
    for (size_t s = 0; s < DOUBLE_SEQUENCE_MAX; s++) {
        count += m->scene->scripts[0].arrived[stream][s];
    }
    return count;
}

static void month_open(struct month *m, uint64_t seed)
{
    static struct link_window_options nights = {.start = "0 22 * * *", .duration_ms = 7 * 3600000};
    struct why why = {""};
    *m = (struct month){.scene = scene_open(seed)};
    assert_int_equal(zone_set("CET-1CEST,M3.5.0,M10.5.0/3", &why), ERR_OK);
    sim_wall_set((clock_days(2026, 10, 1) * 86400 - 7200) * INT64_C(1000000)); /* there, midnight */
    struct scene *scene = m->scene;
    scene_use_links(scene);
    scene->links[0].options.interface = "eth0";
    struct link_config *modem = &scene->links[1].options;
    modem->interface = "wwan0";
    modem->metered = true;
    modem->windows = (struct option_list){&nights, 1};
    modem->budget_per_day = BUDGET_DAY;
    modem->budget_per_month = BUDGET_MONTH;
    modem->reserve = RESERVE;
    modem->jitter_ms = 30000;
    modem->share_min = 200000;
    scene->uplinks[0].links[1] = 1;
    scene->uplinks[0].link_count = 2;
    scene->uplinks[0].backoff_max_ms = 10 * MINUTE_MS;
    scene->uplinks[0].stream_set[2] = true;
    scene->stream_count = 3;
    scene->streams[2].info =
        (struct stream_info){.number = MIDDLE, .name = "middle", .priority = 5};
    scene->site->setup->stream_count = 3;
    scene->site->setup->streams[2] = (struct buffer_stream){
        .name = "middle", .priority = 5, .when_full = FULL_BLOCK, .uplinks = 1};
    m->modem = (struct double_wire){.interface_name = "wwan0",
                                    .bytes_per_second = 1200,
                                    .overhead = 200,
                                    .answer = 150,
                                    .lost = 180};
    m->ethernet = (struct double_wire){.interface_name = "eth0",
                                       .other = &m->modem,
                                       .bytes_per_second = 1000000,
                                       .overhead = 200,
                                       .answer = 150};
    scene->scripts[0].wire = &m->ethernet;
    net_interface("eth0")->is_up = false;
    scene_begin(scene);
}

static void trouble(struct month *m)
{
    m->trouble_ms = now_ms();
}

/* What the weather does in this minute. */
static void weather(struct month *m, uint64_t minute)
{
    if (minute >= m->outage_to && m->modem.is_down) {
        m->modem.is_down = false;
        trouble(m);
    }
    if (!m->modem.is_down && sim_chance(600)) {
        m->modem.is_down = true;
        m->outage_to = minute + 1 + sim_below(120);
        m->outages++;
        trouble(m);
    }
    struct interface_state *eth = net_interface("eth0");
    bool is_due = minute % (7 * 1440) == 5 * 1440 + 600; /* once a week, for some hours */
    if (is_due || (eth->is_up && minute >= m->ethernet_to)) {
        eth->is_up = is_due;
        m->ethernet_to = minute + 120 + sim_below(240);
        m->changes++;
        trouble(m);
    }
    if (sim_chance(300)) {
        scene_crash(m->scene);
        m->crashes++;
        trouble(m);
    }
}

static void put(struct month *m, uint64_t minute)
{
    if (minute % 15 == 0) {
        scene_put(m->scene, LOW, 1);
    }
    if (minute % 30 == 7) {
        scene_put(m->scene, MIDDLE, 1);
    }
    if (sim_chance(3500)) { /* five a day */
        scene_put(m->scene, ALARM, 1);
        m->alarms++;
    }
}

static void begin_of_day(struct month *m, uint64_t minute)
{
    m->spent_days += m->modem.calm_bytes - m->calm_day_begin > CALM_DAY - NEAR;
    m->day_begin = m->modem.bytes;
    m->calm_day_begin = m->modem.calm_bytes;
    if (minute > 0) {
        print_message(
            "day %2u: modem %7llu bytes, delivered %llu %llu %llu\n", (unsigned)(minute / 1440),
            (unsigned long long)m->modem.bytes, (unsigned long long)delivered(m, LOW),
            (unsigned long long)delivered(m, MIDDLE), (unsigned long long)delivered(m, ALARM));
    }
}

/* The lowest lane gets something in each night in which it may, or in the next one when those above
 * it have filled the day's budget with one request. */
static void dusk_and_dawn(struct month *m, uint64_t minute)
{
    uint64_t of_day = minute % 1440;
    m->month_is_spent = m->modem.bytes > CALM_MONTH - NEAR;
    if (of_day == 22 * 60) {
        m->low_at_dusk = delivered(m, LOW);
    }
    if (of_day == 5 * 60 && minute > 1440 && !m->month_is_spent) {
        m->dry = delivered(m, LOW) > m->low_at_dusk ? 0 : m->dry + 1;
        assert_true(m->dry < 2);
        m->nights++;
    }
}

static void look(struct month *m)
{
    m->request = m->modem.request_max + MARGIN;
    assert_true(m->modem.bytes - m->day_begin <= BUDGET_DAY + m->request);
    assert_true(m->modem.bytes <= BUDGET_MONTH + m->request);
    /* The reserve is for alarms alone. */
    assert_true(m->modem.calm_bytes - m->calm_day_begin <= CALM_DAY + m->request);
    assert_true(m->modem.calm_bytes <= CALM_MONTH + m->request);
    bool is_calm = !m->modem.is_down && now_ms() - m->trouble_ms > 2 * 10 * MINUTE_MS + CALM_MS;
    /* An outage may have spent the day: each try costs. */
    bool is_spent = m->modem.bytes - m->day_begin > BUDGET_DAY - NEAR;
    m->alarm_waits += is_calm && is_spent && scene_owed(m->scene, 0, ALARM) > 2;
    if (is_calm && !is_spent && scene_owed(m->scene, 0, ALARM) > 2) {
        static uint8_t memory[16384];
        struct out json = out_over(memory, sizeof memory);
        links_status(m->scene->open_links, &json);
        fail_msg("alarms wait: %.*s", (int)json.size, (const char *)json.data);
    }
}

static void a_month(void **state)
{
    (void)state;
    struct month *m = calloc(1, sizeof *m);
    assert_non_null(m);
    month_open(m, site_number("WEIR_SEED", 1));
    for (uint64_t minute = 0; minute < MINUTES; minute++) {
        if (minute % 1440 == 0) {
            begin_of_day(m, minute);
        }
        dusk_and_dawn(m, minute);
        weather(m, minute);
        put(m, minute);
        uint64_t left_ms = MINUTE_MS - now_ms() % MINUTE_MS;
        sim_run_for(left_ms);
        look(m);
    }
    print_message(
        "outages %u, power cuts %u, alarms %u, changes of link %u, nights %u, days at the "
        "budget %u, minutes in which alarms waited for the next day %u, modem %llu bytes\n",
        m->outages, m->crashes, m->alarms, m->changes, m->nights, m->spent_days, m->alarm_waits,
        (unsigned long long)m->modem.bytes);
    assert_true(m->outages > 5 && m->crashes > 3 && m->alarms > 50 && m->changes >= 8);
    assert_true(m->spent_days > 10 && m->month_is_spent && m->nights > 10);
    /* In the end everything arrives, once. */
    m->modem.is_down = false;
    net_interface("eth0")->is_up = true;
    assert_true(scene_drained(m->scene, 0, 24 * 60 * MINUTE_MS));
    sim_run_for(60 * MINUTE_MS);
    scene_expect_once(m->scene, 0, LOW, 1, MINUTES / 15);
    scene_expect_once(m->scene, 0, MIDDLE, 1, MINUTES / 30);
    scene_expect_once(m->scene, 0, ALARM, 1, m->alarms);
    scene_close(m->scene);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_month)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
