/* The lives of the simulated site, from its first start until everything is delivered. */
#include "tests/sim/agent_site.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/flow.h"
#include "agent/links_impl.h"
#include "buffer/damage.h"
#include "buffer/internal.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define SECOND_US UINT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)
#define DRAIN_MS_MAX (40 * 60 * 1000)
#define STOP_MS_MAX (60 * 1000)
#define FREE_MS_MAX (5 * 60 * 1000)
#define START_TRIES_MAX 2000 /* a disk is taken for ten minutes at most */

const char *const happening_names[HAPPENS_COUNT] = {"crash",
                                                    "crash_in_commit",
                                                    "power_cut",
                                                    "stop",
                                                    "crash_in_stop",
                                                    "hard_stop",
                                                    "reboot",
                                                    "moved",
                                                    "start_failed",
                                                    "crash_at_start",
                                                    "other_settings",
                                                    "other_schema",
                                                    "schema_refused",
                                                    "schema_reloaded",
                                                    "reload_refused",
                                                    "reload_in_place",
                                                    "reload_anew",
                                                    "reload_mistakes",
                                                    "reload_owed",
                                                    "reload_failed",
                                                    "reload_no_memory",
                                                    "reload_waited",
                                                    "reload_in_stop",
                                                    "stop_in_reload",
                                                    "crash_in_reload",
                                                    "outage",
                                                    "long_outage",
                                                    "cut_all",
                                                    "cut_at_a_byte",
                                                    "refused_connection",
                                                    "slow_link",
                                                    "names_fail",
                                                    "interface_down",
                                                    "node_kill",
                                                    "cluster_down",
                                                    "leader_move",
                                                    "partitions_added",
                                                    "topic_late",
                                                    "producer_forgotten",
                                                    "cluster_replaced",
                                                    "wall_jump",
                                                    "wall_unknown",
                                                    "io_error",
                                                    "io_full",
                                                    "sync_dropped",
                                                    "read_only",
                                                    "disk_filled",
                                                    "unsaved",
                                                    "read_from_start",
                                                    "renewed",
                                                    "bits_flipped",
                                                    "pages_zeroed",
                                                    "pages_spoilt",
                                                    "file_cut",
                                                    "log_flipped",
                                                    "log_spoilt",
                                                    "log_cut",
                                                    "log_gone",
                                                    "damage_in_life",
                                                    "damage_in_salvage",
                                                    "replaced_at_start",
                                                    "replaced_in_life",
                                                    "log_lost",
                                                    "log_void",
                                                    "state_lost",
                                                    "salvaged",
                                                    "cut_in_salvage",
                                                    "disk_taken_in_salvage",
                                                    "rows_lost_in_salvage",
                                                    "bad_row_only",
                                                    "files",
                                                    "backpressure",
                                                    "resume",
                                                    "dropped_oldest",
                                                    "dropped_newest",
                                                    "thinned",
                                                    "too_old",
                                                    "held_too_much",
                                                    "vanished",
                                                    "set_aside",
                                                    "refused_and_set_aside",
                                                    "halved",
                                                    "duplicate_known",
                                                    "backfill",
                                                    "columns",
                                                    "in_doubt"};

/* --- what is looked at after every step --- */

/* Times that the uplink could not know whether it sends something twice. */
static void doubts_count(struct site *site)
{
    for (unsigned u = 0; u < LEDGER_UPLINKS && site->agent; u++) {
        const struct uplink_host *host = &site->agent->forward->hosts[u];
        site->ledger.in_doubt[u] = site->in_doubt_before[u] +
                                   counters_get(&host->counters, "in_doubt") +
                                   counters_get(&host->counters, "without_time");
    }
}

/* A damaged file is not counted while it is salvaged. */
static uint64_t buffer_size(const struct site *site)
{
    uint64_t size, log_size;
    struct crash_counts counts;
    crash_vfs_counts(site->disk, &counts);
    if (!site->profile.damage) {
        return counts.size;
    }
    (void)crash_vfs_file(site->disk, "/buffer.db", &size);
    (void)crash_vfs_file(site->disk, "/buffer.db-wal", &log_size);
    return size + log_size;
}

static void site_look(struct site *site)
{
    doubts_count(site);
    ledger_look(&site->ledger, site->agent->buffer);
    harm_look(site);
    SIM_EXPECT(buffer_size(site) <= (uint64_t)site->config->buffer.size_max);
}

/* It was opened for reading only, and the disk is well again. */
static bool wants_another(const struct site *site)
{
    return site->agent && site->agent->reads_only && site->disk_back_us == 0;
}

static bool life_is_over(void *context)
{
    struct site *site = context;
    if (wants_another(site)) {
        return true;
    }
    if (crash_vfs_is_frozen(site->disk)) {
        return true;
    }
    if (!site->agent) {
        return sim_now_us() >= site->life_end_us;
    }
    uint64_t commit = site->ledger.commit;
    site_look(site);
    if (site->aim == AIM_RELOAD && site->running.newer && sim_below(8) == 0) {
        return true;
    }
    if (site->aim == AIM_COMMIT && commit != site->ledger.commit && site->steps_left < 0 &&
        !store_is_idle(site->agent->store) && sim_below(30) == 0) {
        site->steps_left = (int)sim_below(6);
    }
    if (site->freeze_us && sim_now_us() >= site->freeze_us) {
        site->freeze_us = 0;
        crash_vfs_freeze_after(site->disk, 1 + sim_below(40));
    }
    if (site->steps_left < 0 && sim_now_us() >= site->life_end_us) {
        site->steps_left = (int)sim_below(60);
    }
    return site->steps_left >= 0 && site->steps_left-- == 0;
}

static bool is_delivered(void *context)
{
    struct site *site = context;
    if (!site->agent || site->running.newer) {
        return false;
    }
    site_look(site);
    if (wants_another(site)) {
        return true;
    }
    if (site->made < site->profile.event_count) {
        return false;
    }
    for (unsigned i = 0; i < SOURCE_COUNT; i++) {
        if (!source_is_done(&site->sources[i])) {
            return false;
        }
    }
    return ledger_is_drained(&site->ledger, site->agent->buffer);
}

/* What is done holds nothing of a link any more. */
static bool links_are_free(void *context)
{
    struct site *site = context;
    const struct links *links = site->agent->links;
    bool is_free = true;
    site_look(site);
    for (size_t i = 0; i < links->count; i++) {
        const struct link_line *line = &links->lines[i];
        is_free = is_free && line->held == 0 && line->lanes.under_way == 0;
    }
    return is_free;
}

static bool is_stopped(void *context)
{
    struct site *site = context;
    if (site->profile.reloads && sim_below(20) == 0) {
        reload_now(site);
    }
    site_look(site);
    return site->is_finished;
}

/* --- a life --- */

void site_opened(struct site *site)
{
    site->happened[HAPPENS_READ_FROM_START] += site->agent->reads_only;
    site->happened[HAPPENS_SCHEMA_REFUSED] += site->agent->streams[0].refusal != NULL;
    ledger_recovered(&site->ledger, site->agent->buffer);
    for (unsigned i = 0; i < SOURCE_COUNT; i++) {
        source_recovered(&site->sources[i], site->agent->buffer);
    }
    site->ledger.damage.cursors_fall = false;
    harm_begun(site);
}

static void carry_lose(struct site *site)
{
    if (site->carry) {
        ledger_unsaved_is_lost(&site->ledger);
        carry_close(site->carry);
        site->carry = NULL;
    }
}

/* The next life is on another board. */
static void board_change(struct site *site)
{
    if (site->moves_left > 0 && !site->carry && sim_random() % 4 == 0) {
        site->moves_left--;
        site->machine.board[0]++;
        sim_trace("the card is in another board");
    }
}

static bool life_open(struct site *site)
{
    struct why why = {""};
    board_change(site);
    enum err e = loop_open(&site->loop);
    SIM_EXPECT(!e);
    bool waits = false;
    struct agent_setup setup = {.loop = site->loop,
                                .config = site->config,
                                .machine = &site->machine,
                                .vfs = "site",
                                .carry = site->carry,
                                .ret_may_wait = &waits,
                                .reload = run_reload,
                                .reload_context = &site->running};
    site->agent = NULL;
    for (unsigned i = 0; i < SOURCE_COUNT; i++) {
        source_forget(&site->sources[i]);
    }
    e = agent_open(&site->agent, &setup, &why);
    bool is_cut = crash_vfs_is_frozen(site->disk);
    if (e || is_cut) {
        sim_trace("the agent does not start: %s", why.text);
        SIM_EXPECT(!e || e == ERR_IO || e == ERR_NOSPACE || e == ERR_CLOSED ||
                   e == ERR_READONLY); /* as disks fail */
        SIM_EXPECT(is_cut || (site->disk_back_us > 0 && waits));
        site->happened[is_cut ? HAPPENS_CRASH_AT_START : HAPPENS_START_FAILED]++;
        if (is_cut) {
            sim_life_crash();
        }
        agent_close(site->agent);
        site->agent = NULL;
        loop_close(site->loop);
        if (is_cut) {
            (void)crash_vfs_crash(site->disk, CRASH_ANY, sim_random());
            site->disk_back_us = 0;
            carry_lose(site);
        }
        return false;
    }
    crash_vfs_freeze_after(site->disk, 0);
    site->happened[HAPPENS_MOVED] += buffer_incarnation_before(site->agent->buffer) > 0;
    site_opened(site);
    reload_begin(site);
    return true;
}

static void life_open_until(struct site *site)
{
    for (unsigned i = 0; !life_open(site); i++) {
        SIM_EXPECT(i < START_TRIES_MAX);
        sim_life_end();
        sim_run_for(1 + sim_below(5000));
        sim_life_begin(false);
    }
    carry_close(site->carry);
    site->carry = NULL;
}

static void life_begin(struct site *site, bool reboot)
{
    site->steps_left = -1;
    site->freeze_us = 0;
    if (reboot) {
        weather_boot(site);
    }
    if (site->profile.reconfigures) {
        site_config_load(site);
        site->happened[HAPPENS_OTHER_SETTINGS]++;
    }
    if (sim_below(8) == 0) {
        crash_vfs_freeze_after(site->disk, 1 + sim_below(120)); /* the power goes again */
    }
    if (site->profile.disk_fails && site->disk_back_us == 0 && sim_below(3) == 0) {
        weather_disk_taken(site);
    }
    life_open_until(site);
}

static void counters_take(struct site *site)
{
    doubts_count(site);
    for (unsigned u = 0; u < LEDGER_UPLINKS; u++) {
        const struct uplink_host *host = &site->agent->forward->hosts[u];
        site->in_doubt_before[u] = site->ledger.in_doubt[u];
        site->happened[HAPPENS_IN_DOUBT] += counters_get(&host->counters, "in_doubt");
        site->happened[HAPPENS_HALVED] += host->halved;
        site->happened[HAPPENS_DUPLICATE_KNOWN] += host->duplicates;
    }
}

void site_agent_ends(struct site *site)
{
    counters_take(site);
    if (site->agent->buffer->unsaved > 0 || !store_is_idle(site->agent->store)) {
        ledger_note_carried(&site->ledger, site->agent->buffer);
    } else {
        ledger_note(&site->ledger, site->agent->buffer);
    }
}

static void life_close(struct site *site)
{
    if (site->agent && !site->is_cut) {
        counters_take(site);
        ledger_note(&site->ledger, site->agent->buffer);
    }
    agent_close(site->agent); /* ends a reload */
    site->agent = NULL;
    reload_end(site);
    loop_close(site->loop);
    sim_life_end();
}

static void finished(void *context)
{
    struct site *site = context;
    site->is_finished = true;
}

static void life_crash(struct site *site, bool power)
{
    site->happened[HAPPENS_CRASH_IN_RELOAD] += site->running.newer != NULL;
    site->happened[HAPPENS_CUT_IN_SALVAGE] += site->damage.salvage > 0;
    site->happened[crash_vfs_is_frozen(site->disk) ? HAPPENS_CRASH_IN_COMMIT : HAPPENS_CRASH]++;
    sim_life_crash();
    life_close(site);
    (void)crash_vfs_crash(site->disk, power ? CRASH_ANY : CRASH_ALL, sim_random());
    site->disk_back_us = 0; /* the cut has ended the disk's fault, too */
    site->happened[HAPPENS_POWER_CUT] += power;
}

/* An orderly stop, which always ends. Some are cut short by a crash, and some are hard ones. */
static void life_stop(struct site *site, bool may_crash, bool power)
{
    crash_vfs_freeze_after(site->disk, 0);
    uint64_t way = may_crash ? sim_below(8) : 7;
    if (way == 0 || !site->agent) {
        site->happened[HAPPENS_HARD_STOP]++;
        life_close(site);
        return;
    }
    site->is_finished = false;
    site->happened[HAPPENS_STOP_IN_RELOAD] += site->running.newer != NULL;
    site->running.stopping = true;
    agent_stop(site->agent, finished, site);
    if (way < 4 && !sim_run_until(is_stopped, site, sim_below(400))) {
        site->happened[HAPPENS_CRASH_IN_STOP]++;
        life_crash(site, power);
        return;
    }
    bool ended = sim_run_until(is_stopped, site, STOP_MS_MAX);
    SIM_EXPECT(ended);
    site->happened[HAPPENS_STOP]++;
    life_close(site);
}

static void freeze(void *context)
{
    struct site *site = context;
    crash_vfs_freeze(site->disk);
}

static void site_say(struct site *site);

/* The next agent of the same process, which is told what this one alone knows. */
static void life_renew(struct site *site)
{
    SIM_EXPECT(!site->carry);
    counters_take(site);
    ledger_note_carried(&site->ledger, site->agent->buffer);
    agent_close_for_another(site->agent, &site->carry);
    site->agent = NULL;
    reload_end(site);
    loop_close(site->loop);
    sim_life_end();
    sim_life_begin(false);
    life_open_until(site);
    site->happened[HAPPENS_RENEWED]++;
}

static void run_until(struct site *site, bool (*is_over)(void *context), uint64_t ms_max)
{
    bool over = sim_run_until(is_over, site, ms_max);
    while (over && !crash_vfs_is_frozen(site->disk) && wants_another(site)) {
        life_renew(site);
        over = sim_run_until(is_over, site, ms_max);
    }
    if (!over) {
        site_say(site);
    }
    SIM_EXPECT(over);
}

/* One life and the pause after it. True: the machine starts anew. */
static bool life_run(struct site *site)
{
    bool power = sim_below(3) > 0;
    if (sim_below(4) == 0) { /* the power goes in the midst of a commit */
        site->freeze_us = sim_now_us() + sim_below(site->life_end_us - sim_now_us());
    }
    site->aim = (enum site_aim)sim_below(site->profile.reloads ? 4 : 3);
    run_until(site, life_is_over, 10 * HOUR_US / 1000);
    if (sim_below(3) == 0 && !crash_vfs_is_frozen(site->disk)) {
        life_stop(site, true, power);
        if (power) {
            (void)crash_vfs_crash(site->disk, CRASH_ANY, sim_random());
        }
    } else {
        power = power || crash_vfs_is_frozen(site->disk);
        life_crash(site, power);
        clusters_grow(site);
    }
    harm_at_rest(site);
    sim_run_for(sim_below(60000));
    site->happened[HAPPENS_REBOOT] += power;
    sim_life_begin(power);
    return power;
}

static void flow_say(const struct flow *flow)
{
    if (!flow->has_parcel) {
        sim_trace("%s %s: no parcel, wants %u, %u owed ranges", flow->host->setup.name,
                  flow->stream->info.name, flow->wanted, flow->debt->owed.range_count);
    }
    for (uint32_t i = 0; i < flow->parcel.part_count && flow->has_parcel; i++) {
        const struct part *part = &flow->parcel.parts[i];
        sim_trace("%s %s: part %" PRIu32 " of %" PRIu32 ", wants %u, lent %u, holds %u, waits %u, "
                  "commit %" PRIu64 ", assigned %u, done %u, batch %d",
                  flow->host->setup.name, flow->stream->info.name, i, part->partition, flow->wanted,
                  flow->lent_count, flow->holds, flow->waits_for_uplink, flow->commit,
                  part->assigned, part->done, flow->batches[i] ? (int)flow->batches[i]->state : -1);
    }
}

/* Where it stands, into the trace. */
static void site_say(struct site *site)
{
    for (size_t u = 0; u < LEDGER_UPLINKS; u++) {
        const struct uplink_host *host = &site->agent->forward->hosts[u];
        for (size_t i = 0; i < host->flow_count; i++) {
            flow_say(&host->flows[i]);
        }
    }
    char text[8192];
    struct out out = out_over(text, sizeof text);
    agent_status(site->agent, &out);
    struct slice rest = out_slice(&out);
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = end ? (size_t)(end - rest.data) : rest.size;
        for (size_t at = 0; at < size; at += 200) {
            size_t piece = size - at < 200 ? size - at : 200;
            sim_trace("%.*s", (int)piece, (const char *)rest.data + at);
        }
        size += end != NULL;
        rest = (struct slice){rest.data + size, rest.size - size};
    }
}

/* Of a damaged file nothing is left once it is salvaged. One that nobody knows of any more stays, for
 * a person. */
static void bad_files_check(const struct site *site)
{
    static const char *const ends[] = {"", "-wal"};
    char name[64];
    for (unsigned i = 0; i < 2 * SALVAGE_FILE_MAX; i++) {
        uint64_t size;
        (void)snprintf(name, sizeof name, "/buffer.db.bad-%u%s", 1 + i / 2, ends[i % 2]);
        bool is_left = crash_vfs_file(site->disk, name, &size) != NULL;
        if (is_left) {
            sim_trace("%s is still there", name);
        }
        SIM_EXPECT(!is_left || site->damage.is_forgotten ||
                   ledger_damage_was_forgotten(&site->ledger));
    }
}

/* --- a seed --- */

static void profile_choose(struct site *site)
{
    site->profile =
        (struct site_profile){.lives = 3 + (unsigned)sim_below(4),
                              .event_count = 2000 + (unsigned)sim_below(500),
                              .duration_us = HOUR_US + sim_below(HOUR_US / 2),
                              .weather = 1 + (uint32_t)sim_below(4),
                              .full = sim_below(4) == 0,
                              .disk_fails = sim_below(2) == 0,
                              .clock_is_bad = sim_below(4) == 0,
                              .hold_max = sim_below(8) == 0,
                              .ages = sim_below(4) == 0,
                              .files = sim_below(5) == 0,
                              .reconfigures = sim_below(2) == 0,
                              .all_codes = sim_below(2) == 0,
                              .events_are_bad = sim_below(3) > 0,
                              .in_doubt_is_set_aside = sim_below(8) == 0,
                              .columns = site->seed % 5 < 2,
                              .links = site->seed % 5 == 3,
                              .reloads = site->seed % 7 < 2 || getenv("WEIR_SIM_RELOADS"),
                              .damage = harm_is_due(site->seed)};
    site->profile.full = site->profile.full || site->profile.hold_max;
    site->ledger.streams[0].uplinks = 3;
    site->ledger.streams[1].uplinks = 3;
    site->ledger.streams[2].uplinks = sim_below(2) ? 3 : 1;
    site->ledger.streams_change = site->profile.reloads;
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        site->ledger.streams[s].drops = s == 1 || site->profile.hold_max;
        site->ledger.streams[s].fresh_first = site->seed % 3 == 1 && s < 2;
    }
}

static void site_open(struct site *site)
{
    sim_open(site->seed);
    crash_vfs_reset(site->disk);
    sim_crash_hook_set(freeze, site);
    ledger_open(&site->ledger);
    profile_choose(site);
    harm_open(site);
    for (unsigned i = 0; i < SOURCE_COUNT; i++) {
        source_open(&site->sources[i], &site->ledger, (uint8_t)i, i == 0 || sim_below(3) == 0);
    }
    source_site_set(site->sources);
    clusters_open(site);
    reload_open(site);
    site_config_load(site);
    weather_open(site);
}

static void site_close(struct site *site)
{
    site->happened[HAPPENS_CUT_AT_A_BYTE] += net_counts()->cuts;
    site->happened[HAPPENS_REFUSED_CONNECTION] += net_counts()->refusals;
    for (unsigned i = 0; i < SOURCE_COUNT; i++) {
        site->happened[HAPPENS_BACKPRESSURE] += site->sources[i].refused;
        site->happened[HAPPENS_RESUME] += site->sources[i].resumed;
        source_close(&site->sources[i]);
    }
    site->happened[HAPPENS_FILES] += site->profile.files;
    site->happened[HAPPENS_BACKFILL] += site->ledger.backfill;
    site->happened[HAPPENS_COLUMNS] += site->ledger.batches;
    site->happened[HAPPENS_UNSAVED] += site->ledger.unsaved;
    site->happened[HAPPENS_DROPPED_OLDEST] += site->ledger.dropped[GAP_DROP_OLDEST];
    site->happened[HAPPENS_DROPPED_NEWEST] += site->ledger.dropped[GAP_DROP_NEWEST];
    site->happened[HAPPENS_THINNED] += site->ledger.dropped[GAP_THIN];
    site->happened[HAPPENS_TOO_OLD] += site->ledger.dropped[GAP_AGE];
    site->happened[HAPPENS_HELD_TOO_MUCH] += site->ledger.dropped[GAP_HOLD_MAX];
    site->happened[HAPPENS_VANISHED] += site->ledger.vanished;
    site->happened[HAPPENS_SET_ASIDE] += site->ledger.asides;
    site->happened[HAPPENS_REFUSED_AND_SET_ASIDE] += site->ledger.refused_asides;
    files_clear(site);
    weather_close(site);
    clusters_close(site);
    reload_close(site);
    config_close(site->config);
    ledger_close(&site->ledger);
    sim_crash_hook_set(NULL, NULL);
    site->trace_hash = sim_trace_hash();
    sim_close();
}

void site_run(struct site *site, uint64_t seed, const char *folder, struct crash_vfs *disk)
{
    *site = (struct site){.seed = seed, .disk = disk};
    site->machine = (struct machine){{1}, {1}};
    site->moves_left = seed % 5 == 2 ? 3 : 0;
    (void)snprintf(site->folder, sizeof site->folder, "%s", folder);
    site_open(site);
    bool reboot = true;
    for (unsigned life = 1; life < site->profile.lives; life++) {
        uint64_t left_us = site->profile.duration_us > sim_now_us()
                               ? site->profile.duration_us - sim_now_us()
                               : SECOND_US;
        site->life_end_us =
            sim_now_us() + 1 + sim_below(2 * left_us / (site->profile.lives - life));
        life_begin(site, reboot);
        reboot = life_run(site);
    }
    site->is_last = true;
    life_begin(site, reboot);
    site->life_end_us = site->profile.duration_us;
    while (sim_now_us() < site->life_end_us) {
        site->steps_left = -1;
        run_until(site, life_is_over, 10 * HOUR_US / 1000);
    }
    weather_end(site);
    run_until(site, is_delivered, DRAIN_MS_MAX);
    if (site->profile.files) {
        files_take(site);
    }
    ledger_settle(&site->ledger, site->agent->buffer);
    bad_files_check(site);
    if (site->profile.links) {
        run_until(site, links_are_free, FREE_MS_MAX);
    }
    life_stop(site, false, false);
    site_close(site);
}
