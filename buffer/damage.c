/* Replacing a damaged file: moved aside, a fresh one in its place, and into that what is needed
 * before the first event: names and numbers, the state, where each stream stands. */
#include <string.h>

#include "buffer/damage.h"
#include "ports/log.h"

/* --- the connection --- */

void damage_disconnect(struct buffer *b)
{
    sql_finalize_all(b);
    if (b->db) {
        (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_close(b->db); /* all statements are finalized */
        b->db = NULL;
    }
}

/* --- the state --- */

/* Sequences from here on are in memory, with their events. */
uint64_t tail_first(const struct buffer *b, uint16_t stream)
{
    uint64_t first = b->state->streams[stream].sequence_next;
    for (size_t i = 0; i < b->section_count; i++) {
        bool lower = b->sections[i].stream == stream && b->sections[i].first < first;
        first = lower ? b->sections[i].first : first;
    }
    return first;
}

/* What is owed of its range: some may have been dropped on arrival. */
static void keep_parcel(struct state *state, struct state *wanted, const struct parcel *p)
{
    struct owed *owed = state_owed(state, p->uplink, p->stream);
    struct owed *of_wanted = state_owed(wanted, p->uplink, p->stream);
    struct owed was = of_wanted ? *of_wanted : (struct owed){.range_count = 0};
    bool is_cut = owed && of_wanted && owed_cut(of_wanted, p->range);
    for (size_t r = 0; is_cut && r < was.range_count; r++) {
        struct range part;
        if (range_common(was.ranges[r], p->range, &part)) {
            owed_insert(owed, part);
        }
    }
}

void damage_split_owed(struct buffer *b, struct state *wanted)
{
    struct state *state = b->state;
    state->aside_count = 0; /* they come over one by one */
    state->aside_size = 0;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        state->streams[s].row_events = 0;
        state->streams[s].row_bytes = 0;
    }
    for (uint32_t i = 0; i < state->owed_count; i++) {
        struct owed *owed = &state->owed[i];
        uint64_t first = tail_first(b, owed->stream);
        bool cut = !owed_cut(&wanted->owed[i], (struct range){first, UINT64_MAX - 1}) ||
                   (first > 1 && !owed_cut(owed, (struct range){1, first - 1}));
        (void)cut; /* cutting off an end makes no further range */
    }
    for (uint32_t i = 0; i < state->parcel_count; i++) {
        keep_parcel(state, wanted, &state->parcels[i]);
    }
}

/* Once more when the commit is tried again, perhaps with more. */
void damage_split_write(struct buffer *b, const struct buffer_write *write)
{
    struct state *wanted = b->salvage->wanted;
    for (size_t i = 0; i < write->end_count; i++) {
        const struct owed_end *end = &write->ends[i];
        struct owed *owed = state_owed(wanted, end->uplink, end->stream);
        bool cut = owed && owed_cut(owed, end->range);
        (void)cut; /* without room for one more range it arrives again */
    }
    for (size_t i = 0; i < write->parcel_count; i++) {
        keep_parcel(b->state, wanted, write->parcels[i]);
    }
}

void damage_log_lost(struct buffer *b)
{
    log_error("buffer", "the log of %s %s: what was stored last is lost", b->path,
              b->log_damaged ? "is damaged" : "is gone");
    b->damage.logs++;
}

void damage_raise_all(struct buffer *b)
{
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        if (b->state->streams[s].sequence_next > 0) {
            state_raise(b->state, s, SEQUENCE_JUMP, 0);
        }
    }
    b->joined = true; /* the snapshot has to say so */
}

/* --- a fresh file --- */

/* What came over outlives the log. The one transaction may have been larger than the log ever is else:
 * SQLite cuts it off with the first commit after a restart, and at closing to nothing, so the limit
 * holds for that commit only. */
static enum err settle_log(struct buffer *b, struct why *why)
{
    char sql[64];
    bool is_large = b->wal_frames > WAL_FRAME_MAX;
    enum err e = sql_restart(b, why);
    if (e || !is_large) {
        return e;
    }
    (void)snprintf(sql, sizeof sql, "PRAGMA journal_size_limit=%d", WAL_WARM_SIZE); /* fits */
    e = sql_exec(b, sql, why);
    e = e ? e : sql_run(b, SQL_BEGIN, why);
    e = e ? e : commit_state(b, why);
    return e ? e : sql_exec(b, "PRAGMA journal_size_limit=-1", why);
}

enum err damage_fresh(struct buffer *b, const struct buffer_write *write, struct why *why)
{
    char log[FILE_NAME_SIZE];
    bool is_new = false;
    log_name(log, b->path);
    file_remove(b, b->path);
    file_remove(b, log);
    b->broken = false;
    b->log_missing = true; /* it is made now */
    b->wal_frames = 0;
    b->disk_full = false;
    for (size_t s = 0; s <= STREAM_COUNT_MAX; s++) {
        b->streams[s].low = LOW_UNKNOWN;
    }
    enum err e = buffer_connect(b, why);
    e = e ? e : settings_check_file(b, &is_new, why);
    e = e ? e : settings_apply(b, is_new, why);
    e = e ? e : buffer_start_log(b, why);
    e = e ? e : sql_prepare_all(b, why);
    e = e ? e : damage_take_over(b, write, why);
    e = e ? e : settle_log(b, why);
    b->file_pages = e ? 0 : vfs_count_grow(b->db, 0);
    return e ? e : quota_measure(b, why);
}

/* --- while it runs --- */

static enum err begin_running(struct buffer *b, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    log_error("buffer", "%s; it is replaced by a fresh one, and salvaged", why->text);
    enum err e = damage_choose_number(b, why);
    if (e) {
        return e;
    }
    damage_disconnect(b);
    e = damage_move_aside(b, why);
    if (e) {
        return e;
    }
    bad_name(b, b->move_number, bad);
    e = salvage_open(b, b->move_number, bad, why);
    if (e) {
        return e;
    }
    state_copy(b->salvage->wanted, b->state);
    damage_split_owed(b, b->salvage->wanted);
    b->moved_aside = true;
    return ERR_OK;
}

static enum err replace_failed(struct buffer *b, enum err e, const struct why *reason,
                               struct why *why)
{
    struct why text = {""};
    damage_disconnect(b);
    why_set(&text, "replacing the damaged %s: %s", b->path, reason->text);
    if (e == ERR_NOSPACE && b->moved_aside) {
        room_missed(b, b->salvage->file);
        why_add(&text, "%s takes the room until it is salvaged; free some on this disk",
                b->salvage->file);
        b->disk_why = text;
    }
    why_set(why, "%s", text.text);
    /* FULL, for one, would say that there is no room: tried again as when the disk fails. */
    return e == ERR_NOMEM || e == ERR_NOSPACE || e == ERR_READONLY ? e : ERR_IO;
}

enum err damage_replace(struct buffer *b, const struct buffer_write *write, struct why *why)
{
    if (b->moved_aside && room_is_missing(b, b->salvage->file)) {
        why_set(why, "%s", b->disk_why.text);
        return ERR_NOSPACE;
    }
    struct why reason = {"the database is damaged"};
    if (why && why->text[0]) {
        reason = *why;
    }
    enum err e = b->moved_aside ? ERR_OK : begin_running(b, &reason);
    if (!e) {
        damage_split_write(b, write);
        e = damage_fresh(b, write, &reason);
    }
    if (e) {
        return replace_failed(b, e, &reason, why);
    }
    b->disk_room.needed = 0;
    b->moved_aside = false;
    b->move_number = 0;
    b->file_damaged = false;
    b->damage.replaced++;
    quota_rooms(b);
    return ERR_OK;
}

/* --- a look at what will be needed --- */

/* The number that a query gives, in which every page that it needs was read; a table or an index that
 * an older file does not have gives 0. */
static enum err look_number(struct buffer *b, const char *sql, int64_t *ret, struct why *why)
{
    *ret = sql_number(b, sql, -1);
    if (*ret < 0 && (sqlite3_errcode(b->db) & 0xff) != SQLITE_ERROR) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    *ret = *ret < 0 ? 0 : *ret;
    return ERR_OK;
}

/* A name and its number stand in the table and in its index: can both be read, and do they say the
 * same? */
static enum err look_at_names(struct buffer *b, struct why *why)
{
    static const char *const tables[] = {"stream", "uplink", "driver"};
    char sql[320];
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        const char *t = tables[i];
        (void)snprintf(sql, sizeof sql,
                       "SELECT (SELECT count(*) FROM %s AS t NOT INDEXED LEFT JOIN %s AS i INDEXED "
                       "BY sqlite_autoindex_%s_1 ON i.name=t.name WHERE i.id IS NOT t.id)"
                       "+(SELECT count(*) FROM %s AS i INDEXED BY sqlite_autoindex_%s_1 WHERE "
                       "i.name NOT IN (SELECT name FROM %s NOT INDEXED))",
                       t, t, t, t, t, t); /* fits */
        int64_t count = 0;
        enum err e = look_number(b, sql, &count, why);
        if (e) {
            return e;
        }
        if (count != 0) {
            why_set(why, "%s: a name in the table %s is damaged", b->path, t);
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

enum err damage_look(struct buffer *b, struct why *why)
{
    static const char *const all_of[] = {
        "SELECT total(id='') FROM remote",
        "SELECT total(v='') FROM cursor",
        "SELECT total(seq) FROM sqlite_sequence",
        "SELECT count(*) FROM aside WHERE id<0",
    };
    enum err e = schemas_load(b, why);
    int64_t number;
    for (size_t i = 0; !e && i < ARRAY_COUNT(all_of); i++) {
        e = look_number(b, all_of[i], &number, why);
    }
    e = e ? e : look_at_names(b, why);
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        struct row_place row;
        e = b->state->streams[s].sequence_next > 1 ? row_lowest(b, s, &row, why) : ERR_OK;
        e = e == ERR_CLOSED ? ERR_OK : e;
    }
    return e;
}
