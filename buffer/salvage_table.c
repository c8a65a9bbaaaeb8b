/* The table `salvage`: what is still to come over from damaged files, and how far each of them is. */
#include <assert.h>
#include <string.h>

#include "buffer/damage.h"
#include "ports/lib/crc32c.h"
#include "ports/log.h"

#define PLACE_COLUMNS 7
#define COLUMNS "n,file,crc,wanted,everyone,stream,low,seek,step,aside,found,lost"

const char salvage_table[] = "CREATE TABLE IF NOT EXISTS salvage(n INTEGER PRIMARY KEY, file TEXT, "
                             "crc INT, wanted BLOB, everyone INT, stream INT, low INT, seek INT, "
                             "step INT, aside INT, found INT, lost INT)";

/* --- the checksum: the lower half of the column is of what is wanted, the upper one of the rest, but
 * for the file's name: where that is wrong the file is not there, which is told --- */

static uint32_t rest_crc(int64_t number, bool everyone, const struct salvage_at *at)
{
    const uint64_t all[] = {(uint64_t)number, everyone,  at->stream, at->low, at->seek,
                            at->step,         at->aside, at->found,  at->lost};
    uint32_t crc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        uint8_t bytes[8];
        for (size_t k = 0; k < sizeof bytes; k++) {
            bytes[k] = (uint8_t)(all[i] >> (8 * k));
        }
        crc = crc32c(crc, (struct slice){bytes, sizeof bytes});
    }
    return crc;
}

static int64_t upper_half(uint32_t crc)
{
    return (int64_t)((uint64_t)crc << 32);
}

static struct slice wanted_of(sqlite3_stmt *s)
{
    return (struct slice){sqlite3_column_blob(s, 3), (size_t)sqlite3_column_bytes(s, 3)};
}

/* Of the row that the statement stands on. */
static bool row_is_whole(sqlite3_stmt *s, const struct salvage_at *at)
{
    const char *file = (const char *)sqlite3_column_text(s, 1);
    int64_t everyone = sqlite3_column_int64(s, 4);
    if (!file || strlen(file) >= FILE_NAME_SIZE || everyone < 0 || everyone > 1) {
        return false;
    }
    uint32_t rest = rest_crc(sqlite3_column_int64(s, 0), everyone, at);
    uint64_t crc = (uint64_t)upper_half(rest) | crc32c(0, wanted_of(s));
    return crc == (uint64_t)sqlite3_column_int64(s, 2);
}

/* --- out of the table --- */

/* Reads it as soon as that can be. Until then it waits, and so does the file: what it has is not
 * lost. At its end nothing of it is opened: SQLite would make a log where it was moved. */
static enum err salvage_open_later(struct buffer *b, int64_t number, const char *file, bool at_end,
                                   struct why *why)
{
    struct why reason = {""};
    if (!at_end) {
        if (!salvage_open(b, number, file, &reason)) {
            return ERR_OK;
        }
        log_warn("buffer", "its salvage waits: %s", reason.text);
    }
    return salvage_open_with(b, number, file, NULL, why);
}

static enum err wanted_decode(struct salvage *w, struct slice blob)
{
    enum err e = ERR_FULL;
    for (size_t most = 16; e == ERR_FULL; most *= 2) {
        state_close(w->wanted);
        w->wanted = NULL;
        e = state_open(&w->wanted, most);
        e = e ? e : state_decode(w->wanted, most, blob);
    }
    return e;
}

static void at_of(sqlite3_stmt *s, struct salvage_at *at)
{
    uint64_t n[PLACE_COLUMNS];
    for (int i = 0; i < PLACE_COLUMNS; i++) {
        n[i] = (uint64_t)sqlite3_column_int64(s, 5 + i);
    }
    *at = (struct salvage_at){.stream = (uint16_t)(n[0] < STREAM_END ? n[0] : STREAM_END),
                              .low = n[1],
                              .seek = n[2],
                              .step = n[3],
                              .aside = n[4],
                              .found = n[5],
                              .lost = n[6]};
}

/* The row that the statement stands on. */
static enum err row_resume(struct buffer *b, sqlite3_stmt *s, struct why *why)
{
    const char *file = (const char *)sqlite3_column_text(s, 1);
    struct salvage_at at;
    at_of(s, &at);
    enum err e = row_is_whole(s, &at) ? salvage_open_later(b, sqlite3_column_int64(s, 0), file,
                                                           at.stream == STREAM_END, why)
                                      : ERR_CORRUPT;
    if (!e) {
        b->salvage->everyone = sqlite3_column_int(s, 4);
        b->salvage->at = at;
        e = wanted_decode(b->salvage, wanted_of(s));
    }
    if (e) {
        salvage_close(b);
    }
    if (e == ERR_CORRUPT) {
        why_set(why, "%s: what was still to be salvaged is damaged", b->path);
        e = ERR_REJECTED;
    }
    return e;
}

enum err salvage_resume(struct buffer *b, struct why *why)
{
    sqlite3_stmt *s = NULL;
    if (sql_number(b, "SELECT count(*) FROM sqlite_master WHERE name='salvage'", 1) == 0) {
        return ERR_OK;
    }
    int code = sqlite3_prepare_v2(b->db, "SELECT " COLUMNS " FROM salvage ORDER BY n LIMIT 1", -1,
                                  &s, NULL);
    code = code == SQLITE_OK ? sqlite3_step(s) : code;
    enum err e = code == SQLITE_ROW    ? row_resume(b, s, why)
                 : code == SQLITE_DONE ? ERR_OK
                                       : sql_error(b, code, "opening", why);
    (void)sqlite3_finalize(s); /* step() gave its error */
    return e;
}

static enum err wanted_put(struct buffer *b, const struct salvage *w, struct why *why)
{
    sqlite3_stmt *s = NULL;
    b->scratch.size = 0;
    b->scratch.overflow = false;
    state_encode(w->wanted, &b->scratch);
    assert(!b->scratch.overflow);
    int code = sqlite3_prepare_v2(
        b->db, "UPDATE salvage SET crc=(crc&~4294967295)|?,wanted=? WHERE n=?", -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, crc32c(0, out_slice(&b->scratch)));
        sqlite3_bind_blob64(s, 2, b->scratch.data, b->scratch.size, SQLITE_STATIC);
        sqlite3_bind_int64(s, 3, w->number);
        (void)sqlite3_step(s); /* finalize repeats its error */
        code = sqlite3_finalize(s);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
}

/* The row that the statement stands on. One that is damaged stays as it is, and is given up when its
 * turn comes. */
static enum err change_row(struct buffer *b, sqlite3_stmt *s,
                           bool (*change)(void *context, struct salvage *w), void *context,
                           struct why *why)
{
    struct salvage w = {.number = sqlite3_column_int64(s, 0), .everyone = sqlite3_column_int(s, 4)};
    at_of(s, &w.at);
    enum err e = row_is_whole(s, &w.at) ? wanted_decode(&w, wanted_of(s)) : ERR_CORRUPT;
    if (!e) {
        e = change(context, &w) ? wanted_put(b, &w, why) : ERR_OK;
    } else if (e == ERR_NOMEM) {
        why_set(why, "no memory");
    } else {
        e = ERR_OK;
    }
    state_close(w.wanted);
    return e;
}

enum err salvage_change_each(struct buffer *b, bool (*change)(void *context, struct salvage *w),
                             void *context, struct why *why)
{
    sqlite3_stmt *s = NULL;
    int64_t tables = 0;
    enum err e =
        sql_look(b, "SELECT count(*) FROM sqlite_master WHERE name='salvage'", 0, &tables, why);
    if (e || tables == 0) {
        return e;
    }
    int code =
        sqlite3_prepare_v2(b->db, "SELECT " COLUMNS " FROM salvage ORDER BY n", -1, &s, NULL);
    while (!e && code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        e = change_row(b, s, change, context, why);
        code = SQLITE_OK;
    }
    (void)sqlite3_finalize(s); /* step() gave its error */
    return e || code == SQLITE_DONE ? e : sql_error(b, code, "reading", why);
}

enum err salvage_wanted_each(struct buffer *b,
                             enum err (*each)(void *context, const struct salvage *w),
                             void *context)
{
    sqlite3_stmt *s = NULL;
    enum err e = ERR_OK;
    int code = sqlite3_prepare_v2(b->db, "SELECT " COLUMNS " FROM salvage WHERE n<? ORDER BY n", -1,
                                  &s, NULL);
    code = code == SQLITE_OK ? sqlite3_bind_int(s, 1, NUMBER_OF_USER) : code;
    while (!e && code == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        struct salvage w = {.number = sqlite3_column_int64(s, 0),
                            .everyone = sqlite3_column_int(s, 4)};
        at_of(s, &w.at);
        if (row_is_whole(s, &w.at)) {
            e = wanted_decode(&w, wanted_of(s));
            e = e == ERR_NOMEM ? e : e ? ERR_OK : each(context, &w);
        }
        state_close(w.wanted);
    }
    (void)sqlite3_finalize(s); /* read only */
    return e;
}

/* What was to come over from a file is not known any more. */
static void tell_unknown(struct buffer *b, const char *file)
{
    b->damage.forgotten++;
    log_error("buffer", "%s: what was still to be salvaged from %s is not known any more", b->path,
              file);
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        if (b->state->streams[s].sequence_next > 1) {
            state_lost(b->state, s, (struct range){1, b->state->streams[s].sequence_next - 1});
        }
    }
}

/* The first row is damaged: it and its file go, in one transaction with the gaps. */
static enum err row_give_up(struct buffer *b, struct why *why)
{
    char file[FILE_NAME_SIZE];
    char sql[80];
    int64_t number = 0;
    int64_t of_file = 0; /* not readable, so that the file stays */
    enum err e = sql_look(b, "SELECT min(n) FROM salvage", 0, &number, why);
    e = e ? e
          : sql_look(b,
                     "SELECT substr(file,-1) FROM salvage WHERE file LIKE '%.bad-_' "
                     "AND n=(SELECT min(n) FROM salvage)",
                     0, &of_file, why);
    if (e) {
        return e;
    }
    bad_name(b, (int)of_file, file);
    (void)snprintf(sql, sizeof sql, "DELETE FROM salvage WHERE n=%lld",
                   (long long)number); /* fits */
    e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : sql_exec(b, sql, why);
    if (e) {
        commit_undo(b);
        return e;
    }
    if (number != NUMBER_OF_USER) {
        tell_unknown(b, file);
    }
    e = commit_state(b, why);
    if (!e && of_file > 0 && of_file == number) {
        salvage_file_done(b, file);
    }
    return e;
}

enum err salvage_resume_or_tell(struct buffer *b, struct why *why)
{
    enum err e = salvage_resume(b, why);
    while (e == ERR_REJECTED) { /* one row fewer each time */
        e = row_give_up(b, why);
        e = e ? e : salvage_resume(b, why);
    }
    return e;
}

/* --- into the table --- */

static void at_bind(sqlite3_stmt *s, int first, const struct salvage_at *at)
{
    const uint64_t n[PLACE_COLUMNS] = {at->stream, at->low,   at->seek, at->step,
                                       at->aside,  at->found, at->lost};
    for (int i = 0; i < PLACE_COLUMNS; i++) {
        sqlite3_bind_int64(s, first + i, (int64_t)n[i]);
    }
}

static enum err put_one(struct buffer *b, struct salvage *w, struct why *why)
{
    sqlite3_stmt *s = NULL;
    b->scratch.size = 0;
    b->scratch.overflow = false;
    w->wanted->parcel_count = 0;
    w->wanted->gap_count = 0;
    w->wanted->boot_count = 0;
    state_encode(w->wanted, &b->scratch);
    assert(!b->scratch.overflow);
    int code = sqlite3_prepare_v2(
        b->db, "INSERT OR REPLACE INTO salvage(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", -1,
        &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, w->number);
        sqlite3_bind_text(s, 2, w->file, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 3,
                           upper_half(rest_crc(w->number, w->everyone, &w->at)) |
                               crc32c(0, out_slice(&b->scratch)));
        sqlite3_bind_blob64(s, 4, b->scratch.data, b->scratch.size, SQLITE_STATIC);
        sqlite3_bind_int(s, 5, w->everyone);
        at_bind(s, 6, &w->at);
        (void)sqlite3_step(s); /* finalize repeats its error */
        code = sqlite3_finalize(s);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
}

enum err salvage_put(struct buffer *b, struct why *why)
{
    return put_one(b, b->salvage, why);
}

enum err salvage_put_before(struct buffer *b, bool copied, struct why *why)
{
    struct salvage *now = b->salvage;
    int64_t tables = 0;
    enum err e = now->source ? damaged_number(now->source,
                                              "SELECT count(*) FROM sqlite_master "
                                              "WHERE name='salvage'",
                                              0, &tables, why)
                             : ERR_OK;
    for (struct salvage *w = now->before; w && !e; w = w->before) {
        e = put_one(b, w, why);
    }
    bool had_table = tables > 0;
    /* The page that stands in for a first one that is destroyed does not name the table. */
    had_table =
        had_table || (now->source && now->source->first_page && damage_has_others(b, now->file));
    if (!e && !copied && had_table && !now->before && !now->rows_told) {
        tell_unknown(b, "files that were damaged before");
        now->rows_told = true;
    }
    return e;
}

enum err salvage_put_place(struct buffer *b, struct why *why)
{
    const struct salvage *w = b->salvage;
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(b->db,
                                  "UPDATE salvage SET stream=?,low=?,seek=?,step=?,aside=?,"
                                  "found=?,lost=?,crc=(crc&4294967295)|? WHERE n=?",
                                  -1, &s, NULL);
    if (code == SQLITE_OK) {
        at_bind(s, 1, &w->next);
        sqlite3_bind_int64(s, 1 + PLACE_COLUMNS,
                           upper_half(rest_crc(w->number, w->everyone, &w->next)));
        sqlite3_bind_int64(s, 2 + PLACE_COLUMNS, w->number);
        (void)sqlite3_step(s); /* finalize repeats its error */
        code = sqlite3_finalize(s);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
}
