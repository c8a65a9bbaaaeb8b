/* The statements, and what SQLite's codes mean for us. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "buffer/internal.h"

static const char *const texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_ROW_INSERT] =
        "INSERT INTO batch(id,last,n,schema,t0,t1,raw,crc,body) VALUES(?,?,?,?,?,?,?,?,?)",
    [SQL_ROW_BRING] = "INSERT OR IGNORE INTO batch(id,last,n,schema,t0,t1,raw,crc,body) "
                      "VALUES(?,?,?,?,?,?,?,?,?)",
    [SQL_ROW_DELETE] = "DELETE FROM batch WHERE id=?",
    [SQL_ROW_SEEK] =
        "SELECT id,last,length(body),n FROM batch WHERE id>=? AND id<? ORDER BY id LIMIT 2",
    [SQL_ROW_AT] = "SELECT id FROM batch WHERE id<=? AND id>=? ORDER BY id DESC LIMIT 1",
    [SQL_ROW_REWRITE] =
        "UPDATE batch SET n=?3,schema=?4,t0=?5,t1=?6,raw=?7,crc=?8,body=?9,last=?2 WHERE id=?1",
    [SQL_ROW_BEFORE] = "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch WHERE id<=? AND "
                       "id>=? ORDER BY id DESC LIMIT 1",
    [SQL_ROW_FROM] =
        "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch WHERE id>? AND id<=? ORDER BY id",
    [SQL_STATE_PUT] = "INSERT OR REPLACE INTO state(id,crc,v) VALUES(1,?,?)",
    [SQL_CURSOR_PUT] = "INSERT OR REPLACE INTO cursor(driver,k,crc,v) VALUES(?,?,?,?)",
    [SQL_CURSOR_DELETE] = "DELETE FROM cursor WHERE driver=? AND k=?",
    [SQL_ASIDE_INSERT] =
        "INSERT INTO aside(t,stream,seq,source,uplink,kind,schema,reason,size,crc,body) "
        "VALUES(?,?,?,?,?,?,?,?,?,?,?)",
    [SQL_ASIDE_OLDEST] = "SELECT id,length(body) FROM aside ORDER BY id LIMIT 1",
    [SQL_ASIDE_AT] = "SELECT id,length(body) FROM aside WHERE id=?",
    [SQL_ASIDE_DELETE] = "DELETE FROM aside WHERE id=?",
    [SQL_REMOTE_PUT] = "INSERT OR REPLACE INTO remote(uplink,schema,id) VALUES(?,?,?)",
    [SQL_PAGE_COUNT] = "PRAGMA page_count",
    [SQL_FREELIST_COUNT] = "PRAGMA freelist_count",
};

struct meaning {
    int number; /* SQLite's code, or the system's error number */
    enum err e;
    const char *advice;
};

/* What the system said behind SQLITE_IOERR, _FULL or _CANTOPEN. */
static const struct meaning system_meanings[] = {
    {ENOSPC, ERR_NOSPACE, "the disk is full: free room on it, or move the buffer to a larger one"},
    {EDQUOT, ERR_NOSPACE, "the disk quota is used up: raise it, or free room"},
    {EFBIG, ERR_NOSPACE, "a file may not be so large: raise the limit (LimitFSIZE)"},
    {EROFS, ERR_READONLY,
     "the file system is read-only: look for its errors (dmesg), repair it, mount it for writing"},
    {ENXIO, ERR_IO, "the disk is gone: check it and its cable"},
    {EIO, ERR_IO, "the disk fails: look for its errors (dmesg), check it and its cable"},
    {EACCES, ERR_AUTH,
     "not allowed: give the user of the agent the right to write file and folder"},
    {EPERM, ERR_AUTH, "not allowed: give the user of the agent the right to write file and folder"},
    {ENOENT, ERR_CLOSED, "it is not there: check the path, and that its disk is mounted"},
    {ENOTDIR, ERR_CONFIG, "its folder is a file: check the path"},
    {EISDIR, ERR_CONFIG, "it is a folder: check the path"},
    {ENAMETOOLONG, ERR_CONFIG, "the path is too long"},
    {EMFILE, ERR_IO, "too many open files: raise the limit (LimitNOFILE)"},
};

static const struct meaning meanings[] = {
    {SQLITE_FULL, ERR_NOSPACE, "the buffer is as large as it may be"},
    {SQLITE_NOMEM, ERR_NOMEM, "no memory"},
    {SQLITE_READONLY, ERR_READONLY, "it can only be read"},
    {SQLITE_CORRUPT, ERR_CORRUPT, "the database is damaged"},
    /* The statements are always the same: only a damaged file can make them wrong. */
    {SQLITE_ERROR, ERR_CORRUPT, "its tables are not what they were made as"},
    {SQLITE_CONSTRAINT, ERR_CORRUPT, "its tables contradict each other"},
    {SQLITE_MISMATCH, ERR_CORRUPT, "its tables hold what they can't"},
    {SQLITE_TOOBIG, ERR_CORRUPT, "its tables hold what they can't"},
    {SQLITE_FORMAT, ERR_CORRUPT, "the database is damaged"},
    {SQLITE_NOTADB, ERR_CORRUPT, "the file is not a database"},
    {SQLITE_BUSY, ERR_FULL, "another process has it open: is the agent running already?"},
    {SQLITE_CANTOPEN, ERR_CLOSED, "can't be opened: check the path and the rights"},
    {SQLITE_PERM, ERR_AUTH, "not allowed"},
};

static const struct meaning *meaning_find(const struct meaning *table, size_t count, int number)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].number == number) {
            return &table[i];
        }
    }
    return NULL;
}

/* On a full xfs the log can't be made, and SQLite's last word is that it is not there. */
static bool is_log_missing(const struct buffer *b, int kind, int number)
{
    return kind == SQLITE_CANTOPEN && number == ENOENT && access(b->path, F_OK) == 0;
}

enum err sql_error(struct buffer *b, int code, const char *what, struct why *why)
{
    int kind = code == SQLITE_IOERR_NOMEM ? SQLITE_NOMEM : code & 0xff;
    bool of_system = kind == SQLITE_IOERR || kind == SQLITE_FULL || kind == SQLITE_CANTOPEN ||
                     kind == SQLITE_READONLY;
    int number = of_system && b->vfs ? vfs_count_errno(b->vfs) : 0;
    if (kind == SQLITE_CORRUPT && b->vfs &&
        (vfs_count_errno(b->vfs) == EIO || vfs_count_errno(b->vfs) == ENXIO)) {
        number = vfs_count_errno(b->vfs); /* a read that failed, as SQLite calls it */
    }
    const struct meaning *m =
        number ? meaning_find(system_meanings, ARRAY_COUNT(system_meanings), number) : NULL;
    static const struct meaning no_log = {ENOENT, ERR_NOSPACE,
                                          "its log can't be made beside it: free room on the disk"};
    m = is_log_missing(b, kind, number) ? &no_log : m;
    m = m ? m : meaning_find(meanings, ARRAY_COUNT(meanings), kind);
    struct why text = {""};
    if (number) {
        why_set(&text, "%s %s: %s (SQLite %d, %s)", what, b->path, m ? m->advice : "it fails", code,
                strerror(number));
    } else {
        why_set(&text, "%s %s: %s (SQLite %d)", what, b->path, m ? m->advice : sqlite3_errstr(code),
                code);
    }
    enum err e = m ? m->e : ERR_IO;
    if (e == ERR_NOSPACE || e == ERR_READONLY || e == ERR_IO) {
        b->disk_why = text;
    }
    why_set(why, "%s", text.text);
    return e;
}

const char *buffer_disk_trouble(const struct buffer *b)
{
    return b->disk_why.text;
}

enum err sql_exec(struct buffer *b, const char *sql, struct why *why)
{
    int code = sqlite3_exec(b->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? ERR_OK
                             : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
}

enum err sql_put_meta(struct buffer *b, const char *key, struct slice value, struct why *why)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(b->db, "INSERT OR REPLACE INTO meta(k,v) VALUES(?,?)", -1, &s, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
        sqlite3_bind_blob(s, 2, value.data, (int)value.size, SQLITE_STATIC);
        (void)sqlite3_step(s); /* finalize repeats its error */
    }
    return sqlite3_finalize(s) == SQLITE_OK && sqlite3_errcode(b->db) == SQLITE_OK
               ? ERR_OK
               : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
}

void sql_reset(struct buffer *b, enum statement which)
{
    (void)sqlite3_reset(b->statements[which]); /* repeats the error that step() gave */
    (void)sqlite3_clear_bindings(b->statements[which]);
}

enum err sql_run(struct buffer *b, enum statement which, struct why *why)
{
    int code = sqlite3_step(b->statements[which]);
    sql_reset(b, which);
    return code == SQLITE_DONE ? ERR_OK
                               : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
}

int64_t sql_number(struct buffer *b, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = otherwise;
    if (sqlite3_prepare_v2(b->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return value;
}

enum err sql_look(struct buffer *b, const char *sql, int64_t otherwise, int64_t *ret,
                  struct why *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(b->db, sql, -1, &s, NULL);
    code = code == SQLITE_OK ? sqlite3_step(s) : code;
    int64_t value = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : otherwise;
    (void)sqlite3_finalize(s); /* step() gave its error */
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sql_error(b, code, "reading", why);
    }
    *ret = value;
    return ERR_OK;
}

enum err sql_prepare_all(struct buffer *b, struct why *why)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        int code = sqlite3_prepare_v3(b->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &b->statements[i], NULL);
        if (code != SQLITE_OK) {
            return sql_error(b, code, "reading", why);
        }
    }
    return ERR_OK;
}

void sql_finalize_all(struct buffer *b)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        (void)sqlite3_finalize(b->statements[i]);
        b->statements[i] = NULL;
    }
}

enum err sql_restart(struct buffer *b, struct why *why)
{
    int frames = 0;
    int moved = 0;
    int code = sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_RESTART, &frames, &moved);
    if (code != SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "checkpointing", why);
    }
    if (frames != moved) {
        why_set(why, "checkpointing %s: only %d of %d pages", b->path, moved, frames);
        return ERR_IO;
    }
    b->wal_frames = 0;
    return ERR_OK;
}

enum err sql_mend(struct buffer *b, struct why *why)
{
    if (b->broken && !(b->weak & WEAK_RETRY)) {
        enum err e = sql_restart(b, why);
        if (e) {
            return e;
        }
        b->broken = false;
    }
    return ERR_OK;
}

enum err sql_wrote(struct buffer *b, enum err e)
{
    b->broken = b->broken || e;
    return e;
}
