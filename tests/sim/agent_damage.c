/* The medium harms the buffer's files, and what the agent makes of it: it goes on collecting. */
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/store.h"
#include "buffer/damage.h"
#include "buffer/internal.h"
#include "buffer/leaf.h"
#include "tests/sim/agent_site.h"
#include "tests/sim/sim.h"

#define DATABASE "/buffer.db"
#define LOG DATABASE "-wal"
#define HARM_MAX 4     /* of one seed */
#define SPOILT_MAX 6   /* pages at once */
#define FRAME_FIRST 32 /* behind the log's header */
#define FRAME_SIZE (24 + PAGE_SIZE)
#define ENDS_BEHIND 5 /* transactions behind what is harmed of a log: less may be a power cut's */
#define FAILING_US_MAX UINT64_C(15000000)

/* One seed of four, of each kind of configuration. */
bool harm_is_due(uint64_t seed)
{
    return seed / 4 % 4 == 1;
}

/* By chance these come too seldom: in one of four of those seeds the state is lost, and in half of
 * all the power goes while rows come over for the first time. */
static bool aims_at_state(uint64_t seed)
{
    return seed / 16 % 4 == 1;
}

static bool aims_at_salvage(uint64_t seed)
{
    return seed / 64 % 2 == 0;
}

void harm_open(struct site *site)
{
    if (site->profile.damage) {
        site->damage.left = 1 + (unsigned)sim_below(HARM_MAX);
        site->damage.aims_at_state = aims_at_state(site->seed);
        site->damage.aims_at_salvage = aims_at_salvage(site->seed);
        ledger_damage_watch(&site->ledger);
    }
}

/* --- the database --- */

static void flip(struct site *site, const char *name, uint64_t at)
{
    uint64_t size;
    const uint8_t *bytes = crash_vfs_file(site->disk, name, &size);
    SIM_EXPECT(at < size);
    uint8_t byte = bytes[at] ^ (uint8_t)(1U << sim_below(8));
    crash_vfs_spoil(site->disk, name, at, &byte, 1);
}

static void spoil(struct site *site, const char *name, uint64_t page, bool zeros)
{
    uint8_t bytes[PAGE_SIZE] = {0};
    for (size_t i = 0; i < PAGE_SIZE && !zeros; i += 8) {
        uint64_t chance = sim_random();
        memcpy(bytes + i, &chance, 8);
    }
    crash_vfs_spoil(site->disk, name, page * PAGE_SIZE, bytes, PAGE_SIZE);
}

/* A leaf of the table of stored events, whose ids begin with the number of a stream. */
static bool has_rows(const uint8_t *page)
{
    struct leaf_cell cell;
    return leaf_cell_count(page) > 0 && leaf_cell_take(page, 0, &cell) && cell.id >> 48 >= 1 &&
           cell.id >> 48 <= STREAM_COUNT_MAX;
}

/* A page with rows, if a few tries find one. */
static uint64_t some_page(struct site *site, bool with_rows)
{
    uint64_t size;
    const uint8_t *bytes = crash_vfs_file(site->disk, DATABASE, &size);
    uint64_t page = sim_below(size / PAGE_SIZE);
    for (unsigned i = 0; with_rows && i < 200 && !has_rows(bytes + page * PAGE_SIZE); i++) {
        page = sim_below(size / PAGE_SIZE);
    }
    return page;
}

static void harm_database(struct site *site)
{
    uint64_t size;
    uint64_t kind = sim_below(6);
    (void)crash_vfs_file(site->disk, DATABASE, &size);
    if (size < 2 * PAGE_SIZE) {
        return;
    }
    if (kind < 3) { /* one bit, or many */
        uint64_t count = kind ? 1 : 64;
        for (uint64_t i = 0; i < count; i++) {
            flip(site, DATABASE, some_page(site, kind == 2) * PAGE_SIZE + sim_below(PAGE_SIZE));
        }
        site->happened[HAPPENS_BITS_FLIPPED]++;
    } else if (kind < 5) {
        bool with_rows = sim_below(2);
        for (uint64_t i = 1 + sim_below(SPOILT_MAX); i > 0; i--) {
            spoil(site, DATABASE, some_page(site, with_rows), kind == 3);
        }
        site->happened[kind == 3 ? HAPPENS_PAGES_ZEROED : HAPPENS_PAGES_SPOILT]++;
    } else {
        crash_vfs_shorten(site->disk, DATABASE, 512 + sim_below(size - 512));
        site->happened[HAPPENS_FILE_CUT]++;
    }
}

/* The page of the state, and the log, which may have a newer one; once there are rows, because they
 * are what comes over, or else at the last rest. */
static bool harm_state(struct site *site)
{
    uint64_t size;
    const uint8_t *bytes = crash_vfs_file(site->disk, DATABASE, &size);
    uint64_t page = site->damage.state_page;
    bool is_last = site->damage.rests + 1 == site->profile.lives;
    if (page == 0 || page * PAGE_SIZE > size ||
        (!is_last && !has_rows(bytes + some_page(site, true) * PAGE_SIZE))) {
        return false;
    }
    bool zeros = sim_below(2);
    crash_vfs_file_remove(site->disk, LOG);
    spoil(site, DATABASE, page - 1, zeros);
    site->happened[HAPPENS_LOG_GONE]++;
    site->happened[zeros ? HAPPENS_PAGES_ZEROED : HAPPENS_PAGES_SPOILT]++;
    return true;
}

/* --- the log --- */

static bool same(const uint8_t *a, const uint8_t *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

/* Frames of the log that can be harmed so that nobody takes it for a power cut: enough transactions
 * end behind them. The first frame says which are of one log: a file that was closed in order has none
 * of its header. */
static uint64_t log_frames(const struct site *site)
{
    uint64_t size;
    const uint8_t *log = crash_vfs_file(site->disk, LOG, &size);
    uint64_t ends[ENDS_BEHIND] = {0};
    uint64_t count = 0;
    const uint8_t *before = NULL;
    for (uint64_t at = FRAME_FIRST; log && at + FRAME_SIZE <= size; at += FRAME_SIZE) {
        const uint8_t *frame = log + at;
        if (!same(frame + 8, log + FRAME_FIRST + 8, 8)) {
            break;
        }
        bool ends_one = frame[4] || frame[5] || frame[6] || frame[7];
        bool is_copy = before && same(before, frame, 8);
        if (ends_one && !is_copy) {
            ends[count++ % ENDS_BEHIND] = (at - FRAME_FIRST) / FRAME_SIZE;
        }
        before = ends_one ? frame : NULL;
    }
    return count < ENDS_BEHIND ? 0 : ends[count % ENDS_BEHIND];
}

static void harm_log(struct site *site)
{
    uint64_t size;
    uint64_t frames = log_frames(site);
    uint64_t kind = sim_below(4);
    (void)crash_vfs_file(site->disk, LOG, &size);
    if (size == 0) {
        return;
    }
    if (kind == 0) {
        crash_vfs_file_remove(site->disk, LOG);
        site->happened[HAPPENS_LOG_GONE]++;
    } else if (kind == 1) {
        crash_vfs_shorten(site->disk, LOG, sim_below(size));
        site->happened[HAPPENS_LOG_CUT]++;
    } else if (frames > 0 && kind == 2) {
        uint64_t frame = sim_below(frames);
        flip(site, LOG, FRAME_FIRST + frame * FRAME_SIZE + sim_below(FRAME_SIZE));
        site->damage.log_is_harmed = true;
        site->happened[HAPPENS_LOG_FLIPPED]++;
    } else if (frames > 2) {
        uint64_t page = 1 + sim_below((frames - 1) * FRAME_SIZE / PAGE_SIZE);
        spoil(site, LOG, page, sim_below(2));
        site->damage.log_is_harmed = true;
        site->happened[HAPPENS_LOG_SPOILT]++;
    }
}

/* --- when --- */

void harm_at_rest(struct site *site)
{
    site->damage.log_is_harmed = false;
    site->damage.rests++;
    if (site->damage.aims_at_state && harm_state(site)) {
        site->damage.aims_at_state = false;
        ledger_damaged(&site->ledger);
        return;
    }
    if (site->damage.left == 0 || sim_below(3) == 0) {
        return;
    }
    site->damage.left--;
    site->happened[HAPPENS_DAMAGE_IN_SALVAGE] += site->damage.salvage > 0;
    ledger_damaged(&site->ledger);
    uint64_t which = sim_below(5);
    if (which < 3) {
        harm_database(site);
    }
    if (which >= 2) {
        harm_log(site);
    }
}

static void harm_in_life(struct site *site)
{
    site->damage.left--;
    site->happened[HAPPENS_DAMAGE_IN_LIFE]++;
    site->happened[HAPPENS_DAMAGE_IN_SALVAGE] += site->damage.salvage > 0;
    ledger_damaged(&site->ledger);
    harm_database(site);
}

void harm_tick(struct site *site)
{
    if (site->damage.left > 0 && site->agent && sim_below(400) == 0) {
        harm_in_life(site);
    }
}

/* More goes wrong while the file is salvaged. */
static void salvage_trouble(struct site *site)
{
    uint64_t which = site->is_calm ? 9 : site->damage.aims_at_salvage ? 0 : sim_below(6);
    if (which == 0 && !site->is_last) {
        site->damage.aims_at_salvage = false;
        crash_vfs_freeze_after(site->disk, 1 + sim_below(30));
    } else if (which == 1 && site->disk_back_us == 0) {
        weather_disk_taken(site);
        site->happened[HAPPENS_DISK_TAKEN_IN_SALVAGE]++;
    } else if (which == 2 && site->damage.left > 0) {
        harm_in_life(site);
    }
}

/* --- what comes of it --- */

static uint64_t bad_rows(const struct buffer *buffer)
{
    uint64_t count = 0;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        count += buffer->state->streams[s].dropped[GAP_DAMAGED];
    }
    return count;
}

void harm_begun(struct site *site)
{
    struct buffer *buffer = site->agent->buffer;
    struct site_damage *damage = &site->damage;
    bool anew = ledger_is_anew(buffer, damage->incarnation);
    bool void_log = damage->log_is_harmed && !anew && !buffer->damage.replaced &&
                    !buffer->damage.logs && !buffer->read_only;
    site->happened[HAPPENS_REPLACED_AT_START] += buffer->damage.replaced > 0;
    site->happened[HAPPENS_LOG_LOST] += buffer->damage.logs > 0;
    site->happened[HAPPENS_LOG_VOID] += void_log;
    site->happened[HAPPENS_STATE_LOST] += anew;
    damage->incarnation = buffer->incarnation;
    if (damage->aims_at_state) {
        damage->state_page = (uint64_t)sql_number(
            buffer, "SELECT rootpage FROM sqlite_master WHERE name='state'", 0);
    }
    damage->replaced = buffer->damage.replaced;
    damage->is_forgotten = damage->is_forgotten || buffer->damage.forgotten > 0;
    damage->bad_rows = bad_rows(buffer);
    damage->lost = 0;
    damage->failing_us = 0;
    damage->log_is_harmed = false;
    damage->salvage = 0;
    if (buffer->salvage) {
        damage->salvage = buffer->salvage->number;
        salvage_trouble(site);
    }
}

/* It collects: commits do not fail for longer than it takes to try again, unless the disk does. A disk
 * that was full when the file was to be replaced is looked at a while later (ROOM_WAIT_US). */
static void commits_check(struct site *site)
{
    const struct buffer *b = site->agent->buffer;
    bool waits = b->moved_aside && room_is_missing(b, b->salvage->file);
    bool fails = store_is_failing(site->agent->store) && site->disk_back_us == 0 && !waits &&
                 !crash_vfs_is_frozen(site->disk) && !site->agent->reads_only;
    if (!fails) {
        site->damage.failing_us = 0;
    } else if (site->damage.failing_us == 0) {
        site->damage.failing_us = sim_now_us();
    }
    SIM_EXPECT(!fails || sim_now_us() - site->damage.failing_us <= FAILING_US_MAX);
}

void harm_look(struct site *site)
{
    const struct buffer *buffer = site->agent->buffer;
    struct site_damage *damage = &site->damage;
    commits_check(site);
    if (!site->profile.damage) {
        return;
    }
    bool replaced = buffer->damage.replaced > damage->replaced;
    int64_t salvage = buffer->salvage ? buffer->salvage->number : 0;
    uint64_t bad = bad_rows(buffer);
    site->happened[HAPPENS_REPLACED_IN_LIFE] += replaced;
    site->happened[HAPPENS_SALVAGED] += damage->salvage > 0 && salvage == 0;
    site->happened[HAPPENS_BAD_ROW_ONLY] +=
        bad > damage->bad_rows && !replaced && salvage == 0 && damage->salvage == 0;
    site->happened[HAPPENS_ROWS_LOST_IN_SALVAGE] += buffer->damage.lost > damage->lost;
    bool begins = replaced && salvage > 0;
    damage->replaced = buffer->damage.replaced;
    damage->is_forgotten = damage->is_forgotten || buffer->damage.forgotten > 0;
    damage->salvage = salvage;
    damage->bad_rows = bad;
    damage->lost = buffer->damage.lost;
    if (begins) {
        salvage_trouble(site);
    }
}
