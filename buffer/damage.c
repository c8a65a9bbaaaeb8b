/* Replacing a damaged file: moved aside, a fresh one in its place, and into that what is needed
 * before the first event: names and numbers, the state, where each stream stands. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "ports/lib/crc32c.h"
#include "ports/log.h"

/* --- files --- */

static void bad_name(const struct buffer *b, int number, char ret[FILE_NAME_SIZE])
{
    (void)snprintf(ret, FILE_NAME_SIZE, "%s.bad-%d", b->path, number); /* has room for it */
}

/* The log goes first: without it, a file that was used is one that was to follow it. */
static enum err settle_log(struct buffer *b, const char *bad, const char *bad_log, struct why *why)
{
    char log[FILE_NAME_SIZE];
    log_name(log, b->path);
    struct raw_file *file = raw_open(b, b->path, false);
    uint64_t size = file ? raw_size(file) : 0;
    raw_close(file);
    if (!file) {
        return ERR_OK; /* SQLite says why */
    }
    if (!file_there(b, log) && size > TAIL_BLOB_SIZE) {
        return file_move(b, b->path, bad, why);
    }
    log_warn("buffer", "%s belongs to no file any more: it is removed", bad_log);
    file_remove(b, bad_log);
    return ERR_OK;
}

enum err damage_settle(struct buffer *b, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    enum err e = ERR_OK;
    for (int i = SALVAGE_FILE_MAX; !e && i > 0; i--) {
        bad_name(b, i, bad);
        log_name(log, bad);
        if (file_there(b, log) && !file_there(b, bad) && file_there(b, b->path)) {
            e = settle_log(b, bad, log, why);
        }
    }
    return e;
}

/* The newest that is there, or whose log is; 0: none. */
static int number_highest(const struct buffer *b, bool or_log)
{
    char bad[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    for (int i = SALVAGE_FILE_MAX; i > 0; i--) {
        bad_name(b, i, bad);
        log_name(log, bad);
        if (file_there(b, bad) || (or_log && file_there(b, log))) {
            return i;
        }
    }
    return 0;
}

bool damage_has_others(const struct buffer *b, const char *file)
{
    char bad[FILE_NAME_SIZE];
    bool found = false;
    for (int i = 1; !found && i <= SALVAGE_FILE_MAX; i++) {
        bad_name(b, i, bad);
        found = strcmp(bad, file) != 0 && file_there(b, bad);
    }
    return found;
}

int damage_pending(struct buffer *b)
{
    char sql[80];
    if (sql_number(b, "SELECT count(*) FROM state", 1) != 0) {
        return 0;
    }
    int number = number_highest(b, false);
    (void)snprintf(sql, sizeof sql, "SELECT n FROM salvage WHERE n=%d", number); /* fits */
    return sql_number(b, sql, 0) == 0 ? number : 0;
}

/* The file's next name, which stays the same until it is replaced: a move that fails half way goes
 * on with it. Above all that are there, so that the highest is the newest. */
static enum err choose_number(struct buffer *b, struct why *why)
{
    int number = b->move_number > 0 ? b->move_number : number_highest(b, true) + 1;
    if (number > SALVAGE_FILE_MAX) {
        why_set(why,
                "%s is damaged, and %s.bad-%d is there: move all that are called so to another "
                "folder; weir buffer salvage brings over later what is in them",
                b->path, b->path, SALVAGE_FILE_MAX);
        return ERR_NOSPACE;
    }
    b->move_number = number;
    return ERR_OK;
}

/* The log first: without it the file says that it is missing. What an earlier try has moved is not
 * moved again; nor what another process uses. */
static enum err move_aside(struct buffer *b, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    char bad_log[FILE_NAME_SIZE];
    bad_name(b, b->move_number, bad);
    log_name(log, b->path);
    log_name(bad_log, bad);
    struct raw_file *own = NULL;
    enum err e = file_lock(b, b->path, &own, why);
    if (!e && !own && file_there(b, b->path)) {
        why_set(why, "%s can't be locked, and is not moved", b->path);
        e = ERR_IO;
    }
    if (!e && file_there(b, log)) {
        e = file_move(b, log, b->swapped ? bad : bad_log, why);
    }
    e = e ? e : file_move(b, b->path, b->swapped ? bad_log : bad, why);
    raw_close(own);
    return e;
}

static bool has_text(const uint8_t *page, size_t size, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= size; i++) {
        if (memcmp(page + i, text, length) == 0) {
            return true;
        }
    }
    return false;
}

/* What is constant in the first bytes of every file of ours; damage there can make SQLite read it
 * otherwise, or not write to it. */
enum err damage_check_header(const struct buffer *b, struct why *why)
{
    static const struct {
        size_t at;
        size_t size;
        const char *bytes;
    } parts[] = {{16, 2, "\x10\x00"}, {20, 4, "\x00\x40\x20\x20"}, {52, 4, "\0\0\0\0"}};
    uint8_t head[100];
    struct raw_file *file = raw_open(b, b->path, false);
    size_t size = file ? raw_read(file, 0, head, sizeof head) : 0;
    raw_close(file);
    if (size < sizeof head || memcmp(head + 68, "weir", 4) != 0) {
        return ERR_OK; /* a new one; another's; or SQLite says what it is */
    }
    bool good = head[18] <= 2 && head[19] <= 2;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        good = good && memcmp(head + parts[i].at, parts[i].bytes, parts[i].size) == 0;
    }
    if (!good) {
        why_set(why, "%s: its header is damaged", b->path);
    }
    return good ? ERR_OK : ERR_CORRUPT;
}

/* Its first page says so; or, where that is destroyed, the pages of the tail, which a new file has
 * always in the same place, each with the number of the next in front. */
static bool is_ours(const struct buffer *b, const char *name)
{
    uint8_t page[PAGE_SIZE];
    unsigned chained = 0;
    struct raw_file *file = raw_open(b, name, false);
    if (!file) {
        return false;
    }
    size_t size = raw_read(file, 0, page, sizeof page);
    bool has_magic = memcmp(page, "SQLite format 3", size < 16 ? size : 16) == 0;
    bool has_tables = size == sizeof page && (page[100] == 5 || page[103] || page[104]);
    bool ours = size >= 72 && memcmp(page + 68, "weir", 4) == 0;
    ours = ours || has_text(page, size, "TABLE tail(id INTEGER");
    bool is_other = has_magic && has_tables && !ours;
    ours = ours || (has_magic && size < sizeof page); /* so short that it is nobody's any more */
    for (uint32_t i = 2; !ours && i < 128; i++) {
        uint32_t next = i + 1;
        const uint8_t wanted[4] = {0, 0, (uint8_t)(next >> 8), (uint8_t)next};
        size = raw_read(file, (uint64_t)(i - 1) * PAGE_SIZE, page, 4);
        chained += size == 4 && memcmp(page, wanted, 4) == 0;
    }
    raw_close(file);
    return ours || (!is_other && chained >= 20);
}

bool damage_is_ours(struct buffer *b)
{
    char log[FILE_NAME_SIZE];
    uint8_t magic[4] = {0};
    log_name(log, b->path);
    struct raw_file *file = raw_open(b, b->path, false);
    size_t size = file ? raw_read(file, 0, magic, sizeof magic) : 0;
    raw_close(file);
    b->swapped = size == 4 && memcmp(magic, "\x37\x7f\x06", 3) == 0 && is_ours(b, log);
    return b->swapped || is_ours(b, b->path);
}

/* --- the connection --- */

static void disconnect(struct buffer *b)
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

static void keep_parcel(struct state *state, struct state *wanted, const struct parcel *p)
{
    struct owed *owed = state_owed(state, p->uplink, p->stream);
    struct owed *of_wanted = state_owed(wanted, p->uplink, p->stream);
    if (owed && of_wanted && owed_cut(of_wanted, p->range)) {
        owed_insert(owed, p->range);
    }
}

/* What stays owed is what is in memory, and what the open parcels have; the rest is wanted of the
 * damaged file. */
static void split_owed(struct buffer *b, struct state *wanted)
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

/* The same of the commit that found the damage. Once more when it is tried again, perhaps with
 * more. */
static void split_write(struct buffer *b, const struct buffer_write *write)
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

/* The highest row of a stream that can be found, by halving steps: no page of the way there is
 * needed twice. */
static struct range rows_hull(struct salvage *w, uint16_t stream)
{
    struct range hull = {0, 0};
    int64_t id;
    for (uint64_t step = UINT64_C(1) << 47; step > 0; step /= 2) {
        uint64_t at = hull.last;
        while (at + step < UINT64_C(1) << 48 &&
               salvage_seek(w, stream, at + step - 1, &id) == SQLITE_ROW) {
            hull.last = (uint64_t)id & ((UINT64_C(1) << 48) - 1);
            at = hull.last;
        }
    }
    for (uint64_t step = 64, at = 0; hull.last && !hull.first && at < hull.last; step *= 2) {
        bool found = salvage_seek(w, stream, at, &id) == SQLITE_ROW;
        hull.first = found ? (uint64_t)id & ((UINT64_C(1) << 48) - 1) : 0;
        at += step;
    }
    return hull;
}

/* Without a state: what the rows say, for everyone. */
static void want_all_rows(struct buffer *b, struct salvage *w)
{
    w->everyone = true;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        struct range hull = rows_hull(w, s);
        if (hull.last == 0 || w->wanted->owed_count == w->wanted->owed_max) {
            continue;
        }
        struct owed *owed = &w->wanted->owed[w->wanted->owed_count++];
        *owed = (struct owed){.stream = s};
        hull.first = hull.first ? hull.first : hull.last;
        hull.last = salvage_row_end(w, s, hull.last);
        owed_add(owed, hull);
        b->state->streams[s].sequence_next = hull.last + 1;
        state_raise(b->state, s, SEQUENCE_JUMP, 0);
    }
}

/* --- what comes over at once --- */

struct copy {
    const char *columns;
    const char *table;
    const char *by_index; /* says all of it once more; NULL: no index does */
    const char *where;
    const char *order;
    int column_count;
};

static const struct copy copies[] = {
    {"id,name", "stream", "sqlite_autoindex_stream_1",
     "typeof(name)='text' AND id BETWEEN 1 AND 256 AND length(name) BETWEEN 1 AND 63", "id", 2},
    {"id,name", "uplink", "sqlite_autoindex_uplink_1",
     "typeof(name)='text' AND id BETWEEN 1 AND 65535", "id", 2},
    {"id,name", "driver", "sqlite_autoindex_driver_1",
     "typeof(name)='text' AND id BETWEEN 1 AND 65535", "id", 2},
    {"id,stream,fp,json", "schema", "schema_text",
     "typeof(json)='text' AND typeof(fp)='blob' AND id BETWEEN 1 AND 4000000000", "id", 4},
    {"uplink,schema,id", "remote", NULL, "typeof(id)='blob'", "uplink", 3},
    {"driver,k,crc,v", "cursor", NULL, "typeof(v)='blob'", "driver", 4},
    {"n,file,crc,wanted,everyone,stream,low,seek,probe,step,high,aside,found,lost", "salvage", NULL,
     "n>0", "n", 14},
};
enum { COPY_STREAM, COPY_UPLINK, COPY_DRIVER, COPY_SCHEMA, COPY_SALVAGE = 6 };

enum copy_way { COPY_UP, COPY_DOWN, COPY_INDEX, COPY_WAYS };

static void copy_texts(const struct copy *c, enum copy_way way, char select[400], char insert[400])
{
    char order[80];
    static const char marks[] = "?,?,?,?,?,?,?,?,?,?,?,?,?,?";
    (void)snprintf(order, sizeof order, "ORDER BY %s%s", c->order, way == COPY_DOWN ? " DESC" : "");
    (void)snprintf(select, 400, "SELECT %s FROM %s %s %s WHERE %s %s", c->columns, c->table,
                   way == COPY_INDEX ? "INDEXED BY" : "", way == COPY_INDEX ? c->by_index : "",
                   c->where, way == COPY_INDEX ? "" : order); /* all of these fit */
    (void)snprintf(insert, 400, "INSERT OR IGNORE INTO %s(%s) VALUES(%.*s)", c->table, c->columns,
                   2 * c->column_count - 1, marks);
}

/* *ret_whole: the last row was reached. */
static enum err copy_rows(struct buffer *b, sqlite3 *from, const struct copy *c, enum copy_way way,
                          bool *ret_whole, struct why *why)
{
    char select[400];
    char insert[400];
    sqlite3_stmt *read = NULL;
    sqlite3_stmt *write = NULL;
    copy_texts(c, way, select, insert);
    *ret_whole = false;
    if (!from || sqlite3_prepare_v2(from, select, -1, &read, NULL) != SQLITE_OK) {
        return ERR_OK;
    }
    int code = sqlite3_prepare_v2(b->db, insert, -1, &write, NULL);
    enum err e = code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
    code = SQLITE_DONE;
    while (!e && (code = sqlite3_step(read)) == SQLITE_ROW) {
        for (int i = 0; i < c->column_count; i++) {
            (void)sqlite3_bind_value(write, 1 + i, sqlite3_column_value(read, i));
        }
        (void)sqlite3_step(write);
        code = sqlite3_reset(write);
        e = code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
    }
    *ret_whole = code == SQLITE_DONE;
    (void)sqlite3_finalize(read);
    (void)sqlite3_finalize(write);
    return e;
}

/* From both ends, and from the index, as far as can be read. */
static enum err copy_table(struct buffer *b, sqlite3 *from, const struct copy *c, bool *ret_whole,
                           struct why *why)
{
    enum err e = ERR_OK;
    *ret_whole = false;
    for (enum copy_way way = COPY_UP; !e && !*ret_whole && way < COPY_WAYS; way++) {
        if (way != COPY_INDEX || c->by_index) {
            e = copy_rows(b, from, c, way, ret_whole, why);
        }
    }
    return e;
}

/* Numbers that may have been used and are not known any more are not used again. */
static enum err reserve_numbers(struct buffer *b, const bool whole[], struct why *why)
{
    char sql[160];
    enum err e = ERR_OK;
    for (uint16_t s = 1; !e && !whole[COPY_STREAM] && s <= STREAM_COUNT_MAX; s++) {
        if (b->state->streams[s].sequence_next > 0) {
            (void)snprintf(sql, sizeof sql,
                           "INSERT OR IGNORE INTO stream VALUES(%u,'" LOST_STREAM_NAME "')", s,
                           s); /* fits */
            e = sql_exec(b, sql, why);
        }
    }
    const char *const tables[] = {"uplink", "driver"};
    for (size_t i = 0; !e && i < ARRAY_COUNT(tables); i++) {
        if (!whole[COPY_UPLINK + i]) {
            (void)snprintf(sql, sizeof sql,
                           "INSERT INTO %s(id,name) SELECT coalesce(max(id),0)+1000,'(lost)' FROM "
                           "%s; DELETE FROM %s WHERE name='(lost)'",
                           tables[i], tables[i], tables[i]); /* fits */
            e = sql_exec(b, sql, why);
        }
    }
    if (!e && !whole[COPY_SCHEMA]) {
        e = sql_exec(b,
                     "INSERT OR REPLACE INTO meta SELECT 'schema_floor',coalesce(max(id),0)+65536 "
                     "FROM schema",
                     why);
    }
    return e;
}

enum err damage_put_name(struct buffer *b, const char *sql, int64_t id, const char *name,
                         struct why *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(b->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
        (void)sqlite3_step(s); /* finalize repeats its error */
        code = sqlite3_finalize(s);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
}

/* The names that are in memory, if the buffer was running. */
static enum err put_names(struct buffer *b, struct why *why)
{
    enum err e = ERR_OK;
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        if (b->streams[s].name[0]) {
            e = damage_put_name(b, "INSERT OR REPLACE INTO stream VALUES(?,?)", s,
                                b->streams[s].name, why);
        }
    }
    for (size_t i = 0; !e && i < b->uplink_count; i++) {
        e = damage_put_name(b, "INSERT OR REPLACE INTO uplink VALUES(?,?)", b->uplinks[i].number,
                            b->uplinks[i].name, why);
    }
    return e;
}

static enum err put_identity(struct buffer *b, struct why *why)
{
    char sql[200];
    (void)snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO meta VALUES('boot',%" PRIu32 ")",
                   b->boot); /* fits */
    enum err e = sql_exec(b, sql, why);
    if (e || b->incarnation == 0) {
        return e; /* the new one that the file was made with */
    }
    (void)snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO meta VALUES('incarnation',%" PRIu32 ")",
                   b->incarnation); /* fits */
    return sql_exec(b, sql, why);
}

/* One transaction: the fresh file has it all, or nothing. */
static enum err take_over(struct buffer *b, const struct buffer_write *write, struct why *why)
{
    struct salvage *w = b->salvage;
    sqlite3 *from = w->source ? w->source->db : NULL;
    bool whole[ARRAY_COUNT(copies)];
    bool all_known = true;
    enum err e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : sql_exec(b, salvage_table, why);
    e = e ? e : put_identity(b, why);
    e = e ? e : put_names(b, why);
    e = e || !b->setup ? e : names_keep(b, from, b->setup, why);
    for (size_t i = 0; !e && i < ARRAY_COUNT(copies); i++) {
        e = copy_table(b, from, &copies[i], &whole[i], why);
    }
    e = e ? e : salvage_put_before(b, whole[COPY_SALVAGE], why);
    e = e || !b->setup ? e : names_adopt(b, b->setup, &all_known, why);
    e = e ? e : reserve_numbers(b, whole, why);
    w->everyone = w->everyone || !all_known;
    e = e ? e : salvage_parcels(b, write, why);
    int64_t known = sql_number(b, "SELECT max(n) FROM salvage WHERE n<99", 0);
    w->number = w->number > known ? w->number : known + 1; /* its file may be gone */
    e = e ? e : salvage_put(b, why);
    return e ? e : commit_state(b, why);
}

/* The one transaction may have been larger than the log ever is else. SQLite cuts it off with the
 * first commit after a restart, and at closing to nothing: so the limit holds for that commit only. */
static enum err shrink_log(struct buffer *b, struct why *why)
{
    if (b->wal_frames <= WAL_FRAME_MAX) {
        return ERR_OK;
    }
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA journal_size_limit=%d", WAL_WARM_SIZE); /* fits */
    enum err e = sql_restart(b, why);
    e = e ? e : sql_exec(b, sql, why);
    e = e ? e : sql_run(b, SQL_BEGIN, why);
    e = e ? e : commit_state(b, why);
    return e ? e : sql_exec(b, "PRAGMA journal_size_limit=-1", why);
}

/* A fresh file; what an earlier try has left goes first. */
static enum err fresh_make(struct buffer *b, const struct buffer_write *write, struct why *why)
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
    e = e ? e : take_over(b, write, why);
    e = e ? e : shrink_log(b, why);
    b->file_pages = e ? 0 : vfs_count_grow(b->db, 0);
    return e ? e : quota_measure(b, why);
}

/* --- while it runs --- */

static enum err begin_running(struct buffer *b, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    log_error("buffer", "%s; it is replaced by a fresh one, and salvaged", why->text);
    enum err e = choose_number(b, why);
    if (e) {
        return e;
    }
    disconnect(b);
    e = move_aside(b, why);
    if (e) {
        return e;
    }
    bad_name(b, b->move_number, bad);
    e = salvage_open(b, b->move_number, bad, why);
    if (e) {
        return e;
    }
    state_copy(b->salvage->wanted, b->state);
    split_owed(b, b->salvage->wanted);
    b->moved_aside = true;
    return ERR_OK;
}

static enum err replace_failed(struct buffer *b, enum err e, const struct why *reason,
                               struct why *why)
{
    struct why text = {""};
    disconnect(b);
    why_set(&text, "replacing the damaged %s: %s", b->path, reason->text);
    if (e == ERR_NOSPACE && b->moved_aside) {
        room_missed(b);
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
    if (b->moved_aside && room_is_missing(b)) {
        why_set(why, "%s", b->disk_why.text);
        return ERR_NOSPACE;
    }
    struct why reason = {"the database is damaged"};
    if (why && why->text[0]) {
        reason = *why;
    }
    enum err e = b->moved_aside ? ERR_OK : begin_running(b, &reason);
    if (!e) {
        split_write(b, write);
        e = fresh_make(b, write, &reason);
    }
    if (e) {
        return replace_failed(b, e, &reason, why);
    }
    b->room_needed = 0;
    b->moved_aside = false;
    b->move_number = 0;
    b->file_damaged = false;
    b->damage.replaced++;
    quota_rooms(b);
    return ERR_OK;
}

/* --- at opening --- */

static void swap_memory(struct buffer *b, struct buffer *source)
{
    struct buffer was = *b;
    b->state = source->state;
    b->next = source->next;
    b->tail_memory = source->tail_memory;
    b->tail_size = source->tail_size;
    b->sections = source->sections;
    b->section_count = source->section_count;
    b->changed = source->changed;
    b->changed_count = source->changed_count;
    source->state = was.state;
    source->next = was.next;
    source->tail_memory = was.tail_memory;
    source->sections = was.sections;
    source->changed = was.changed;
}

static void take_numbers(struct buffer *b, struct buffer *source)
{
    b->incarnation = (uint32_t)sql_number(source, "SELECT v FROM meta WHERE k='incarnation'", 0);
    b->boot = (uint32_t)sql_number(source, "SELECT v FROM meta WHERE k='boot'", 0) + 1;
    for (uint32_t i = 0; i < b->state->boot_count; i++) { /* whichever can be read */
        uint32_t known = b->state->boots[i].boot;
        b->boot = known >= b->boot ? known + 1 : b->boot;
    }
}

/* Nothing of the state can be read: the sequences that were used are not known, so that they begin
 * anew, under another incarnation. */
static void begin_anew(struct buffer *b)
{
    b->incarnation = 0;
    want_all_rows(b, b->salvage);
}

/* The log of the file that was moved aside. What was seen of it before SQLite began it anew counts,
 * too. */
static enum err look_at_log(struct buffer *b, const char *file, bool is_known, struct why *why)
{
    bool was_damaged = is_known && b->log_damaged;
    enum err e = log_check(b, file, why);
    b->log_damaged = b->log_damaged || was_damaged;
    return e;
}

/* Is the log lost that the source had when it was last written? Where the file does not say whether
 * it should have one, it is. */
static bool source_lost_log(const struct buffer *b, struct buffer *source)
{
    int64_t mark = sql_number(source, "SELECT v FROM meta WHERE k='open'", OPEN_WITH_LOG);
    return b->log_damaged || mark == OPEN_LOG_LOST || (b->log_missing && mark == OPEN_WITH_LOG);
}

enum err damage_replace_at_open(struct buffer *b, const struct buffer_setup *setup, int number,
                                struct why *why)
{
    char bad[FILE_NAME_SIZE];
    bool has_state = false;
    enum err e = ERR_OK;
    log_error("buffer", "%s; it is replaced by a fresh one, and salvaged",
              number ? "the damaged buffer was moved aside before the power went" : why->text);
    b->move_number = number;
    e = choose_number(b, why);
    if (e) {
        return e;
    }
    disconnect(b);
    memset(b->streams, 0, sizeof b->streams);
    bool is_known = number == 0; /* the log of this file was looked at */
    e = is_known ? move_aside(b, why) : ERR_OK;
    if (e) {
        return e;
    }
    b->swapped = false;
    number = b->move_number;
    b->move_number = 0;
    bad_name(b, number, bad);
    e = look_at_log(b, bad, is_known, why);
    if (e) {
        return e;
    }
    struct buffer *source = NULL;
    e = damaged_open(&source, b, bad, setup_pairs(setup), &has_state, why);
    if (e) {
        return e;
    }
    swap_memory(b, source);
    take_numbers(b, source);
    bool tail_hurt = source->tail_hurt;
    bool log_lost = source_lost_log(b, source);
    e = salvage_open_with(b, number, bad, source, why);
    if (e) {
        return e;
    }
    if (has_state) {
        state_copy(b->salvage->wanted, b->state);
        split_owed(b, b->salvage->wanted);
        if (tail_hurt || log_lost) {
            damage_raise_all(b);
        }
    } else {
        begin_anew(b);
    }
    if (log_lost) {
        damage_log_lost(b);
    }
    b->log_damaged = false;
    b->damage.replaced++;
    b->setup = setup;
    e = fresh_make(b, &(const struct buffer_write){0}, why);
    b->setup = NULL;
    e = e ? e : load_stream_names(b, why);
    b->incarnation = (uint32_t)sql_number(b, "SELECT v FROM meta WHERE k='incarnation'", 0);
    b->boot = (uint32_t)sql_number(b, "SELECT v FROM meta WHERE k='boot'", 0);
    return e;
}

/* --- a look at what will be needed --- */

/* A name and its number stand in the table and in its index: do both say the same? */
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
        if (sql_number(b, sql, 0) != 0) {
            why_set(why, "%s: a name in the table %s is damaged", b->path, t);
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

enum err damage_look(struct buffer *b, struct why *why)
{
    static const char *const all_of[] = {
        "SELECT total(fp='')+total(json='') FROM schema NOT INDEXED",
        "SELECT total(fp='')+total(json='') FROM schema INDEXED BY schema_text",
        "SELECT total(name='') FROM stream NOT INDEXED",
        "SELECT total(name='') FROM stream INDEXED BY sqlite_autoindex_stream_1",
        "SELECT total(name='') FROM uplink NOT INDEXED",
        "SELECT total(name='') FROM uplink INDEXED BY sqlite_autoindex_uplink_1",
        "SELECT total(name='') FROM driver NOT INDEXED",
        "SELECT total(name='') FROM driver INDEXED BY sqlite_autoindex_driver_1",
        "SELECT total(id='') FROM remote",
        "SELECT total(v='') FROM cursor",
        "SELECT total(seq) FROM sqlite_sequence",
        "SELECT count(*) FROM aside WHERE id<0",
    };
    for (size_t i = 0; i < ARRAY_COUNT(all_of); i++) {
        if (sql_number(b, all_of[i], -1) < 0 && (sqlite3_errcode(b->db) & 0xff) != SQLITE_ERROR) {
            return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
        }
    }
    enum err e = look_at_names(b, why);
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        struct row_place row;
        e = b->state->streams[s].sequence_next > 1 ? row_lowest(b, s, &row, why) : ERR_OK;
        e = e == ERR_CLOSED ? ERR_OK : e;
    }
    return e;
}
