/* How the connection is set, and in which order: SETTINGS.md has the reasons. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "buffer/internal.h"
#include "buffer/wal_look.h"

#define APPLICATION_ID 0x77656972 /* 'weir' */
#define WARM_STEP (64 * 1024)     /* zeros that are written at once */

const char settings_tables[] =
    "BEGIN IMMEDIATE;"
    "PRAGMA application_id=0x77656972; PRAGMA user_version=1;"
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"
    "CREATE TABLE stream(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE schema(id INTEGER PRIMARY KEY, stream INT NOT NULL, fp BLOB NOT NULL, json TEXT "
    "NOT NULL);"
    "CREATE TABLE uplink(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE driver(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE remote(uplink INT, schema INT, id BLOB NOT NULL, PRIMARY KEY(uplink,schema)) "
    "WITHOUT ROWID;"
    "CREATE TABLE state(id INTEGER PRIMARY KEY, crc INT NOT NULL, v BLOB NOT NULL);"
    "CREATE TABLE cursor(driver INT, k INT, crc INT NOT NULL, v BLOB NOT NULL, PRIMARY "
    "KEY(driver,k)) WITHOUT ROWID;"
    "CREATE TABLE tail(id INTEGER PRIMARY KEY, body BLOB NOT NULL);"
    "CREATE TABLE batch(id INTEGER PRIMARY KEY, last INT NOT NULL, n INT NOT NULL, schema INT NOT "
    "NULL, t0 INT NOT NULL,"
    " t1 INT NOT NULL, raw INT NOT NULL, crc INT NOT NULL, body BLOB NOT NULL);"
    "CREATE TABLE aside(id INTEGER PRIMARY KEY AUTOINCREMENT, t INT, stream INT, seq INT, source "
    "TEXT, uplink INT, kind INT, schema INT,"
    " reason TEXT, size INT, crc INT, body BLOB);"
    "CREATE INDEX schema_text ON schema(stream,json,fp);"
    "INSERT INTO tail VALUES(1, zeroblob(163840));"
    "COMMIT";

bool settings_has_tables(struct buffer *b)
{
    return sql_number(b,
                      "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name IN "
                      "('batch','tail','state','cursor','aside','remote')",
                      0) == 6;
}

enum err settings_check_file(struct buffer *b, bool *ret_is_new, struct why *why)
{
    /* Before the file is read for the first time: without it a log in use would need shared memory.
     */
    enum err e = sql_exec(b, "PRAGMA locking_mode=EXCLUSIVE", why);
    if (e) {
        return e;
    }
    int64_t pages = sql_number(b, "PRAGMA page_count", -1);
    if (pages < 0) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    int64_t application = sql_number(b, "PRAGMA application_id", INT64_MIN);
    int64_t version = sql_number(b, "PRAGMA user_version", INT64_MIN);
    int64_t tables = sql_number(b, "SELECT count(*) FROM sqlite_schema", INT64_MIN);
    if (application == INT64_MIN || version == INT64_MIN || tables == INT64_MIN) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    /* Without any table it is nobody's: the power went when it was being made. */
    *ret_is_new = pages == 0 || (application == 0 && tables == 0);
    if (*ret_is_new) {
        return ERR_OK;
    }
    if (application != APPLICATION_ID && settings_has_tables(b)) {
        why_set(why, "%s: the mark of its owner is damaged", b->path);
        return ERR_CORRUPT;
    }
    if (application != APPLICATION_ID) {
        why_set(why, "%s is a database of another program; it is left alone", b->path);
        return ERR_VERSION;
    }
    /* It is said twice: a newer program changes both. */
    if (version != BUFFER_FORMAT_VERSION &&
        sql_number(b, "SELECT v FROM meta WHERE k='format'", version) == BUFFER_FORMAT_VERSION) {
        why_set(why, "%s: its format number is damaged", b->path);
        return ERR_CORRUPT;
    }
    if (version != BUFFER_FORMAT_VERSION) {
        why_set(why,
                "%s has format %lld, this program knows %d: it was written by a newer version and "
                "is left alone; install that version again, or name another buffer.path",
                b->path, (long long)version, BUFFER_FORMAT_VERSION);
        return ERR_VERSION;
    }
    return ERR_OK;
}

static enum err check_number(struct buffer *b, const char *pragma, int64_t wanted, struct why *why)
{
    int64_t is = sql_number(b, pragma, -1);
    if (is != wanted) {
        why_set(why, "%s: %s is %lld, not %lld", b->path, pragma, (long long)is, (long long)wanted);
        return ERR_IO;
    }
    return ERR_OK;
}

static enum err check_wal(struct buffer *b, struct why *why)
{
    sqlite3_stmt *statement = NULL;
    bool is_wal = false;
    if (sqlite3_prepare_v2(b->db, "PRAGMA journal_mode=WAL", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        is_wal = strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    }
    int code = sqlite3_finalize(statement);
    if (code != SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    if (!is_wal) {
        why_set(why, "%s: the write-ahead log can't be used here", b->path);
        return ERR_IO;
    }
    return ERR_OK;
}

enum err settings_apply(struct buffer *b, bool is_new, struct why *why)
{
    char cap[64];
    int on = 1;
    enum err e = sql_exec(b, "PRAGMA page_size=4096; PRAGMA auto_vacuum=NONE", why);
    e = e ? e : check_wal(b, why);
    e = e ? e
          : sql_exec(b,
                     "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA "
                     "journal_size_limit=-1; PRAGMA secure_delete=OFF;"
                     "PRAGMA cache_size=-256; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA "
                     "cell_size_check=ON;"
                     "PRAGMA trusted_schema=OFF",
                     why);
    if (!e && b->weak & WEAK_SYNC_NORMAL) {
        e = sql_exec(b, "PRAGMA synchronous=NORMAL", why);
    }
    e = e ? e : check_number(b, "PRAGMA synchronous", b->weak & WEAK_SYNC_NORMAL ? 1 : 2, why);
    e = e ? e : check_number(b, "PRAGMA page_size", PAGE_SIZE, why);
    if (e) {
        return e;
    }
    (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
                            NULL); /* a safety net; the file is checked anyway */
    (void)sqlite3_file_control(b->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    if (is_new && !b->read_only) {
        e = sql_exec(b, settings_tables, why);
    }
    (void)snprintf(cap, sizeof cap, "PRAGMA max_page_count=%lld",
                   (long long)b->page_max); /* fits */
    e = e ? e : sql_exec(b, cap, why);
    return e;
}

/* NULL: a VFS without it. */
static sqlite3_file *wal_file(struct buffer *b)
{
    sqlite3_file *wal = NULL;
    int code = sqlite3_file_control(b->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    return code == SQLITE_OK && wal && wal->pMethods ? wal : NULL;
}

enum err settings_shorten_wal(struct buffer *b, struct why *why)
{
    sqlite3_file *wal = wal_file(b);
    sqlite3_int64 size = 0;
    int code = wal ? wal->pMethods->xFileSize(wal, &size) : SQLITE_OK;
    if (code == SQLITE_OK && size >= WAL_WARM_SIZE) {
        code = wal->pMethods->xTruncate(wal, WAL_WARM_SIZE - PAGE_SIZE);
        code = code ? code : wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "preparing the log of", why);
}

enum err settings_void_wal(struct buffer *b, struct why *why)
{
    static const uint8_t nothing[WAL_HEADER_SIZE - WAL_MAGIC_SIZE];
    sqlite3_file *wal = wal_file(b);
    int code =
        wal ? wal->pMethods->xWrite(wal, nothing, sizeof nothing, WAL_MAGIC_SIZE) : SQLITE_OK;
    code = wal && code == SQLITE_OK ? wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL) : code;
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "closing the log of", why);
}

/* The log's file has its full size from the start: later commits change no metadata, and work when
 * the disk is full. */
enum err settings_warm_wal(struct buffer *b, struct why *why)
{
    sqlite3_file *wal = wal_file(b);
    sqlite3_int64 size = 0;
    if (!wal) {
        return ERR_OK; /* the log grows as it is used */
    }
    int code = wal->pMethods->xFileSize(wal, &size);
    bool grows = size < WAL_WARM_SIZE;
    assert(b->scratch.size_max >= WARM_STEP); /* nothing is in it while the buffer is opened */
    if (grows) {
        memset(b->scratch.data, 0, WARM_STEP);
    }
    while (code == SQLITE_OK && size < WAL_WARM_SIZE) {
        sqlite3_int64 step = WAL_WARM_SIZE - size < WARM_STEP ? WAL_WARM_SIZE - size : WARM_STEP;
        code = wal->pMethods->xWrite(wal, b->scratch.data, (int)step, size);
        size += step;
    }
    if (code == SQLITE_OK && grows) {
        code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "preparing the log of", why);
}
