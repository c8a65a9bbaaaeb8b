/* What passes its checksum comes over from a damaged file, a little with each turn: the source, the
 * turns, the file at the end. */
#include "buffer/salvage.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/machine.h"
#include "buffer/page_scan.h"
#include "ports/clock.h"
#include "ports/log.h"

#define RECORD_ROOM 4096 /* what one row adds to the record, at most */

static const char above_sql[] = "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch WHERE id>? "
                                "AND id<? ORDER BY id LIMIT 1";
static const char below_sql[] = "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch WHERE id>? "
                                "AND id<? ORDER BY id DESC LIMIT 1";
static const char aside_sql[] = "SELECT id,t,stream,seq,source,uplink,kind,schema,reason,size,body,"
                                "crc FROM aside WHERE id>? ORDER BY id LIMIT 1";

/* --- opening and closing --- */

static void source_close(struct salvage *w)
{
    (void)sqlite3_finalize(w->above); /* read only; NULL is allowed */
    (void)sqlite3_finalize(w->below);
    (void)sqlite3_finalize(w->asides);
    w->above = w->below = w->asides = NULL;
    page_scan_close(w->scan);
    w->scan = NULL;
    w->scan_due = w->scan_begun = w->tally_due = false;
    w->tally = (struct salvage_tally){.stream = 0};
    buffer_close(w->source);
    w->source = NULL;
}

void salvage_close(struct buffer *b)
{
    while (b->salvage) {
        struct salvage *w = b->salvage;
        b->salvage = w->before;
        source_close(w);
        state_close(w->wanted);
        free(w);
    }
}

/* What can't be prepared can't be read. */
static enum err source_take(struct salvage *w, struct buffer *source, struct why *why)
{
    static const char *const texts[] = {above_sql, below_sql, aside_sql};
    sqlite3_stmt **const all[] = {&w->above, &w->below, &w->asides};
    enum err e = ERR_OK;
    w->source = source;
    for (size_t i = 0; !e && source && source->db && i < ARRAY_COUNT(all); i++) {
        int code = sqlite3_prepare_v2(source->db, texts[i], -1, all[i], NULL);
        e = damaged_trouble(source, code, why);
    }
    if (e) {
        source_close(w);
    }
    return e;
}

enum err salvage_open_with(struct buffer *b, int64_t number, const char *file,
                           struct buffer *source, struct why *why)
{
    struct salvage *w = calloc(1, sizeof *w);
    if (!w || state_open(&w->wanted, b->state ? b->state->owed_max : 1)) {
        free(w);
        buffer_close(source);
        why_set(why, "no memory");
        return ERR_NOMEM;
    }
    enum err e = source_take(w, source, why);
    if (e) {
        state_close(w->wanted);
        free(w);
        return e;
    }
    if (b->salvage) {
        source_close(b->salvage);
    }
    w->before = b->salvage;
    b->salvage = w;
    w->number = number;
    w->at.stream = 1;
    (void)snprintf(w->file, sizeof w->file, "%s", file); /* made in a place of that size */
    return ERR_OK;
}

enum err salvage_open(struct buffer *b, int64_t number, const char *file, struct why *why)
{
    struct buffer *source = NULL;
    bool has_state;
    enum err e = damaged_open(&source, b, file, 1, &has_state, why);
    return e ? e : salvage_open_with(b, number, file, source, why);
}

static enum err source_retry(struct buffer *b)
{
    struct salvage *w = b->salvage;
    struct buffer *source = NULL;
    struct why why = {""};
    bool has_state;
    enum err e = damaged_open(&source, b, w->file, 1, &has_state, &why);
    return e ? e : source_take(w, source, &why);
}

void salvage_file_done(struct buffer *b, const char *file)
{
    char log[FILE_NAME_SIZE];
    char kept[FILE_NAME_SIZE];
    char kept_log[FILE_NAME_SIZE];
    struct why why = {""};
    log_name(log, file);
    if (!b->keep_damaged) {
        file_remove(b, log);
        file_remove(b, file);
        return;
    }
    (void)snprintf(kept, sizeof kept, "%s.bad-kept", b->path); /* fits, as FILE_NAME_SIZE says */
    log_name(kept_log, kept);
    if (file_there(b, file) && file_there(b, kept)) {
        file_remove(b, kept_log);
        file_remove(b, kept);
    }
    enum err e = file_there(b, log) ? file_move(b, log, kept_log, &why) : ERR_OK;
    e = e || !file_there(b, file) ? e : file_move(b, file, kept, &why);
    if (e) {
        log_warn("buffer", "%s", why.text);
    }
}

/* --- a turn --- */

/* It had come to its end before this turn: the file goes first, so that none is left behind when
 * the power goes between. */
static enum err step_last(struct buffer *b, struct why *why)
{
    char sql[80];
    if (b->salvage->number < NUMBER_OF_USER) {
        salvage_file_done(b, b->salvage->file);
    }
    (void)snprintf(sql, sizeof sql, "DELETE FROM salvage WHERE n=%lld",
                   (long long)b->salvage->number); /* fits */
    return sql_exec(b, sql, why);
}

enum err salvage_step(struct buffer *b, struct record_writer *rec, struct why *why)
{
    struct salvage *w = b->salvage;
    uint64_t until = clock_monotonic_us() + SALVAGE_US_MAX;
    enum err e = ERR_OK;
    w->next = w->at;
    w->waits = false;
    w->waits_row = (struct range){0, 0};
    b->salvage_pages = 0;
    if (w->at.stream == STREAM_END) {
        return step_last(b, why);
    }
    for (unsigned i = 0;
         !e && !w->scan_due && !w->tally_due && i < SALVAGE_ROW_MAX &&
         w->next.stream < STREAM_END && b->salvage_pages < SALVAGE_PAGES_MAX / 4 &&
         rec->out->size_max - rec->out->size > 4 * RECORD_ROOM && clock_monotonic_us() < until;
         i++) {
        e = w->next.stream <= STREAM_COUNT_MAX ? salvage_step_stream(b, rec, why)
                                               : salvage_step_aside(b, rec, why);
    }
    (void)sqlite3_reset(w->above); /* nothing of the file is held between two turns */
    (void)sqlite3_reset(w->below);
    (void)sqlite3_reset(w->asides);
    w->waits = e == ERR_FULL || e == ERR_AGAIN;
    e = w->waits ? ERR_OK : e;
    return e ? e : salvage_put_place(b, why);
}

void salvage_took(struct buffer *b)
{
    struct salvage *w = b->salvage;
    struct why why = {""};
    bool was_at_end = w->at.stream == STREAM_END;
    w->at = w->next;
    b->damage.found = w->at.found;
    b->damage.lost = w->at.lost;
    if (w->at.stream < STREAM_END) {
        return;
    }
    source_close(w);
    if (!was_at_end) {
        log_info("buffer", "%s is salvaged: %llu events came over, %llu are lost", w->file,
                 (unsigned long long)w->at.found, (unsigned long long)w->at.lost);
        return; /* the next turn clears up */
    }
    salvage_close(b);
    if (salvage_resume(b, &why)) {
        log_warn("buffer", "%s", why.text); /* tried again at the next start */
        salvage_close(b);
    }
}

/* --- in the background --- */

static enum err care_salvage(struct buffer *b, struct why *why)
{
    const struct buffer_write nothing = {.event_count = 0};
    b->salvage_due = true;
    enum err e = buffer_commit(b, &nothing, NULL, why);
    b->salvage_due = false;
    if (e && b->salvage) {
        b->salvage->waits = false; /* nothing of the turn counts */
    }
    return e;
}

/* The pages are looked at, or the tree's rows: nothing changes. */
static enum err care_look(struct buffer *b)
{
    struct salvage *w = b->salvage;
    w->waits = (w->tally_due ? salvage_tally_turn(w) : salvage_scan_turn(w)) != ERR_OK;
    return ERR_OK;
}

/* For room, without a commit until there is some: each wears the medium. Or for its file. */
static bool care_waits(struct buffer *b)
{
    struct salvage *w = b->salvage;
    if (!w->source && w->at.stream < STREAM_END) {
        w->waits = source_retry(b) != ERR_OK;
        return w->waits;
    }
    return w->waits && w->waits_row.first > 0 && !salvage_has_room(b);
}

enum err buffer_care(struct buffer *b, struct buffer_changes *ret_changes, struct why *why)
{
    enum err e = ERR_OK;
    if (b->read_only) {
        return ERR_CLOSED;
    }
    if (b->file_damaged) {
        e = damage_replace(b, &(const struct buffer_write){0}, why);
    } else if (b->salvage) {
        bool looks = b->salvage->scan_due || b->salvage->tally_due;
        e = care_waits(b) ? ERR_OK : looks ? care_look(b) : care_salvage(b, why);
    } else {
        e = sql_mend(b, why);
        e = e ? e : row_check_next(b, why);
    }
    b->file_damaged = b->file_damaged || e == ERR_CORRUPT;
    if (e && e != ERR_CORRUPT) {
        return e;
    }
    if (ret_changes) {
        buffer_state(b, ret_changes);
    }
    return b->file_damaged     ? ERR_OK /* the next turn replaces it */
           : !b->salvage       ? ERR_CLOSED
           : b->salvage->waits ? ERR_FULL
                               : ERR_OK;
}

/* --- a file of the user's --- */

/* Has it sequences that the buffer has still to use? Then an older file was put back in its place. */
static bool is_newer(const struct buffer *b, const struct state *wanted)
{
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        if (wanted->streams[s].sequence_next > b->state->streams[s].sequence_next) {
            return true;
        }
    }
    return false;
}

static enum err may_begin(const struct buffer *b, const char *file, struct why *why)
{
    if (b->salvage || b->read_only) {
        why_set(why, "%s: a salvage is under way", b->path);
        return ERR_FULL;
    }
    if (file_is_same(b, file)) {
        why_set(why, "%s: it is the buffer itself; name the file that was moved aside", file);
        return ERR_CONFIG;
    }
    if (strlen(file) >= BUFFER_PATH_SIZE || !file_there(b, file)) {
        why_set(why, "%s: there is no such file", file);
        return ERR_CLOSED;
    }
    return ERR_OK;
}

enum err buffer_salvage_begin(struct buffer *b, const char *file, struct why *why)
{
    struct buffer *source = NULL;
    bool has_state = false;
    enum err e = may_begin(b, file, why);
    e = e ? e : sql_mend(b, why);
    e = e ? e : damaged_open(&source, b, file, b->state->owed_max, &has_state, why);
    if (e) {
        return e;
    }
    int64_t incarnation = 0;
    e = damaged_number(source, "SELECT v FROM meta WHERE k='incarnation'", 0, &incarnation, why);
    if (e) {
        buffer_close(source);
        return e;
    }
    if (!has_state || !machine_has(b, (uint32_t)incarnation, source->state)) {
        why_set(why, "%s: %s", file,
                has_state ? "of another buffer: its incarnation is not that of this one"
                          : "what it was to deliver can't be read");
        buffer_close(source);
        return has_state ? ERR_CONFIG : ERR_CORRUPT;
    }
    struct state *wanted = source->state;
    if (is_newer(b, wanted)) {
        why_set(why, "%s: it is newer than the buffer: an older one stands in its place", file);
        buffer_close(source);
        return ERR_CONFIG;
    }
    for (uint32_t i = 0; i < wanted->owed_count; i++) {
        uint64_t first = tail_first(source, wanted->owed[i].stream);
        bool cut = owed_cut(&wanted->owed[i], (struct range){first, UINT64_MAX - 1});
        (void)cut; /* cutting off an end makes no further range */
    }
    source->state = NULL;
    e = salvage_open_with(b, NUMBER_OF_USER, file, source, why);
    if (e) {
        state_close(wanted);
        return e;
    }
    state_close(b->salvage->wanted);
    b->salvage->wanted = wanted;
    e = salvage_check_key(b, why);
    if (e) {
        salvage_close(b);
        return e;
    }
    e = sql_exec(b, salvage_table, why);
    e = e ? e : salvage_put(b, why);
    if (e) {
        salvage_close(b);
    }
    return sql_wrote(b, e);
}
