/* What goes wrong around the agent, and what its sources make. */
#include <stdlib.h>

#include "ports/interface.h"
#include "tests/sim/agent_site.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define SECOND_US UINT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US (60 * MINUTE_US)
#define WALL_START_US INT64_C(1767225600000000)
#define WALL_1970_US INT64_C(3600000000)
#define WEATHER_MS_MAX 6000
#define MAKE_BURST 25

/* --- the clock of the machine --- */

static int64_t wall_true_us(void)
{
    return WALL_START_US + (int64_t)sim_now_us();
}

static void wall_mend(struct site *site)
{
    site->wall_back_us = 0;
    sim_wall_set(wall_true_us());
    sim_wall_synchronised_set(true);
}

/* Behind the truth by less than the margin that uplinks have before brokers forget (4 h), ahead by
 * as much as it likes. */
static void wall_jump(struct site *site)
{
    int64_t by_us = sim_below(2) ? -(int64_t)sim_below(3 * HOUR_US)
                                 : (int64_t)sim_below(sim_below(4) ? HOUR_US : 40 * HOUR_US);
    sim_wall_set(wall_true_us() + by_us);
    sim_wall_synchronised_set(sim_below(2));
    site->wall_back_us = sim_now_us() + 1 + sim_below(10 * MINUTE_US);
    site->happened[HAPPENS_WALL_JUMP]++;
}

void weather_boot(struct site *site)
{
    if (!site->profile.clock_is_bad || site->is_calm) {
        return;
    }
    sim_wall_set(WALL_1970_US + (int64_t)sim_below(HOUR_US));
    sim_wall_synchronised_set(false);
    site->wall_back_us = sim_now_us() + 1 + sim_below(sim_below(4) ? MINUTE_US : 8 * MINUTE_US);
    site->happened[HAPPENS_WALL_UNKNOWN]++;
}

/* --- the link --- */

static void link_fail(struct site *site, uint64_t for_us)
{
    if (!net_link()->down) {
        net_link()->down = true;
        site->link_back_us = sim_now_us() + for_us;
        site->happened[for_us > 5 * MINUTE_US ? HAPPENS_LONG_OUTAGE : HAPPENS_OUTAGE]++;
    }
}

static void link_change(struct site *site)
{
    struct net_link *link = net_link();
    bool is_slow = sim_below(3) == 0;
    link->latency_us_max = is_slow ? 900000 : 20000;
    link->bytes_per_second = is_slow ? 3000 + sim_below(20000) : 1000000;
    link->cut_per_million = (uint32_t)sim_below(3) * 4000;
    link->refuse_per_million = (uint32_t)sim_below(3) * 100000;
    site->happened[HAPPENS_SLOW_LINK] += is_slow;
}

static void link_mend(void)
{
    struct net_link *link = net_link();
    link->down = false;
    link->latency_us_max = 20000;
    link->bytes_per_second = 1000000;
    link->cut_per_million = 0;
    link->refuse_per_million = 0;
}

/* Ethernet goes and comes; what is open is told nothing of that. */
static void interface_tick(struct site *site)
{
    struct interface_state *wire = net_interface("eth0");
    if (!site->profile.links) {
        return;
    }
    if (!wire->is_up) {
        wire->is_up = sim_chance(40000);
    } else if (sim_chance(4000 * site->profile.weather)) {
        wire->is_up = false;
        site->happened[HAPPENS_INTERFACE_DOWN]++;
    }
}

/* --- the disk --- */

void weather_disk_taken(struct site *site)
{
    struct crash_counts counts;
    bool is_filled = sim_below(3) == 0;
    crash_vfs_counts(site->disk, &counts);
    if (is_filled) {
        crash_vfs_disk_size_set(site->disk, counts.size + sim_below(200000));
    } else {
        crash_vfs_read_only_set(site->disk, true);
    }
    site->happened[is_filled ? HAPPENS_DISK_FILLED : HAPPENS_READ_ONLY]++;
    site->disk_fault = (struct crash_fault){.nth = 0};
    site->disk_back_us = sim_now_us() + 1 + sim_below(sim_below(3) ? MINUTE_US : 10 * MINUTE_US);
}

static void disk_fail(struct site *site)
{
    if (sim_below(3) == 0) {
        weather_disk_taken(site);
        return;
    }
    static const enum crash_op ops[] = {CRASH_OP_WRITE, CRASH_OP_SYNC,  CRASH_OP_EVERY,
                                        CRASH_OP_READ,  CRASH_OP_WRITE, CRASH_OP_SYNC};
    struct crash_fault fault = {.op = ops[sim_below(6)],
                                .nth = 1 + sim_below(30),
                                .repeat = sim_below(3) ? sim_below(20) : UINT64_MAX,
                                .is_full = sim_below(2),
                                .is_short = sim_below(2),
                                .sync_drops = sim_below(2)};
    fault.is_full = fault.is_full && fault.op == CRASH_OP_WRITE;
    crash_vfs_fault_set(site->disk, &fault, sim_random());
    site->disk_back_us = sim_now_us() + 1 + sim_below(2 * MINUTE_US);
    site->disk_fault = fault;
}

static void disk_mend(struct site *site)
{
    if (site->disk_back_us == 0) {
        return;
    }
    uint64_t count = crash_vfs_fault_count(site->disk);
    site->happened[site->disk_fault.is_full ? HAPPENS_IO_FULL : HAPPENS_IO_ERROR] += count > 0;
    site->happened[HAPPENS_SYNC_DROPPED] +=
        count > 0 && site->disk_fault.op == CRASH_OP_SYNC && site->disk_fault.sync_drops;
    crash_vfs_fault_clear(site->disk);
    crash_vfs_read_only_set(site->disk, false);
    crash_vfs_disk_size_set(site->disk, UINT64_MAX);
    site->disk_back_us = 0;
}

/* --- weather --- */

static bool is_over(uint64_t *until_us)
{
    if (*until_us == 0 || *until_us > sim_now_us()) {
        return false;
    }
    *until_us = 0;
    return true;
}

static void weather_clear(struct site *site)
{
    if (is_over(&site->link_back_us)) {
        net_link()->down = false;
    }
    if (is_over(&site->names_back_us)) {
        net_name_fails(NULL, false);
    }
    if (is_over(&site->wall_back_us)) {
        wall_mend(site);
    }
    if (site->disk_back_us && site->disk_back_us <= sim_now_us()) {
        disk_mend(site);
    }
}

static void one_thing(struct site *site)
{
    switch (sim_below(10)) {
    case 0:
        link_fail(site, 1 + sim_below(2 * MINUTE_US));
        break;
    case 1:
        if (sim_below(4) == 0) {
            link_fail(site, 5 * MINUTE_US + sim_below(25 * MINUTE_US));
        }
        break;
    case 2:
        net_cut_all();
        site->happened[HAPPENS_CUT_ALL]++;
        break;
    case 3:
    case 4:
        link_change(site);
        break;
    case 5:
        net_name_fails(NULL, true);
        site->names_back_us = sim_now_us() + 1 + sim_below(3 * MINUTE_US);
        site->happened[HAPPENS_NAMES_FAIL]++;
        break;
    case 6:
        if (site->wall_back_us == 0 && sim_below(2)) {
            wall_jump(site);
        }
        break;
    case 7:
        if (site->profile.disk_fails && site->disk_back_us == 0) {
            disk_fail(site);
        }
        break;
    case 8:
        if (sim_below(2)) {
            reload_now(site);
        }
        break;
    default:
        site->brokers_refuse = sim_below(4) > 0;
        break;
    }
}

static void weather_fire(struct timer *timer)
{
    struct site *site = CONTAINER_OF(timer, struct site, weather);
    weather_clear(site);
    clusters_tick(site);
    interface_tick(site);
    if (sim_chance(15000 * site->profile.weather)) {
        one_thing(site);
    }
    if (site->profile.reloads && sim_chance(getenv("WEIR_SIM_RELOADS") ? 20000 : 4000)) {
        reload_now(site);
    }
    harm_tick(site);
    timer_arm(timer, 1 + sim_below(WEATHER_MS_MAX));
}

/* --- what is made --- */

static struct source_item some_item(const struct site *site, unsigned source, unsigned place)
{
    struct source_item item = {
        .stream = (uint8_t)sim_below(LEDGER_STREAMS),
        .key = (uint8_t)((source * SOURCE_PLACES + place) * SOURCE_KEYS + sim_below(SOURCE_KEYS)),
        .fill_size = (uint16_t)sim_below(120),
        .fill_seed = sim_random()};
    if (site->profile.full) {
        item.is_random = true;
        item.fill_size = (uint16_t)(1000 + sim_below(2500));
    } else if (sim_below(200) == 0) {
        item.is_random = true;
        item.fill_size = (uint16_t)(5000 + sim_below(3000));
    }
    if (!site->profile.events_are_bad) {
        return item;
    }
    item.is_poison = sim_below(100) == 0;
    if (sim_below(60) == 0) {
        item.flaw = (uint8_t)sim_below(FLAW_COUNT);
        bool needs_schema = item.flaw == FLAW_NO_JSON || item.flaw == FLAW_NO_FIELD;
        if (needs_schema && item.stream == 2) {
            item.flaw = FLAW_UNUSABLE;
        }
        item.fill_size = (uint16_t)(item.fill_size % 100);
    }
    return item;
}

static void makes_fire(struct timer *timer)
{
    struct site *site = CONTAINER_OF(timer, struct site, makes);
    unsigned source = (unsigned)sim_below(SOURCE_COUNT);
    unsigned place = (unsigned)sim_below(SOURCE_PLACES);
    for (uint64_t burst = 1 + sim_below(MAKE_BURST);
         burst > 0 && site->made < site->profile.event_count; burst--) {
        struct source_item item = some_item(site, source, place);
        source_make(&site->sources[source], place, &item);
        site->made++;
    }
    uint64_t mean_ms =
        site->profile.duration_us / 1000 * (MAKE_BURST / 2 + 1) / site->profile.event_count;
    if (site->made < site->profile.event_count) {
        timer_arm(timer, 1 + sim_below(site->is_calm ? 100 : 2 * mean_ms));
    }
}

/* --- opening, ending --- */

void weather_open(struct site *site)
{
    timer_init(&site->weather, sim_loop(), weather_fire);
    timer_init(&site->makes, sim_loop(), makes_fire);
    timer_arm(&site->weather, 1 + sim_below(WEATHER_MS_MAX));
    timer_arm(&site->makes, 1);
    site->brokers_refuse = true;
}

void weather_end(struct site *site)
{
    site->is_calm = true;
    site->brokers_refuse = false;
    timer_disarm(&site->weather);
    if (site->made < site->profile.event_count) {
        timer_arm(&site->makes, 1);
    }
    link_mend();
    net_interface("eth0")->is_up = true;
    net_name_fails(NULL, false);
    wall_mend(site);
    disk_mend(site);
    clusters_mend(site);
}

void weather_close(struct site *site)
{
    timer_release(&site->weather);
    timer_release(&site->makes);
}
