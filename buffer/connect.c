/* The connection, and the boot commit with which each life begins. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "buffer/damage.h"
#include "buffer/machine.h"
#include "ports/random.h"

/* --- the boot commit --- */

/* One transaction: what the database is made with, if a cut left it without, and the counter. */
static enum err boot_commit(struct buffer *b, enum open_mark open, struct why *why)
{
    char sql[320];
    (void)snprintf(sql, sizeof sql,
                   "BEGIN IMMEDIATE; INSERT OR IGNORE INTO meta VALUES('incarnation',%" PRIu32
                   "),('boot',0),('format',%d); UPDATE meta SET v=v+1 WHERE k='boot'; INSERT OR "
                   "REPLACE INTO meta VALUES('open',%d)",
                   random_u32(), BUFFER_FORMAT_VERSION, open); /* fits */
    enum err e = sql_exec(b, sql, why);
    if (!e && !b->as_it_is) { /* for tools, which have no configuration */
        (void)snprintf(sql, sizeof sql,
                       "INSERT OR REPLACE INTO meta VALUES('size_max',%" PRId64
                       "),('event_size_max',%" PRId64 ")",
                       b->size_max, b->event_size_max); /* fits */
        e = sql_exec(b, sql, why);
    }
    if (!e && b->agent_id[0]) {
        sqlite3_stmt *s = NULL;
        if (sqlite3_prepare_v2(b->db, "INSERT OR REPLACE INTO meta VALUES('agent',?)", -1, &s,
                               NULL) == SQLITE_OK) {
            sqlite3_bind_text(s, 1, b->agent_id, -1, SQLITE_STATIC);
            (void)sqlite3_step(s); /* finalize repeats its error */
        }
        e = sqlite3_finalize(s) == SQLITE_OK && sqlite3_errcode(b->db) == SQLITE_OK
                ? ERR_OK
                : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
    }
    e = e ? e : keys_join(b, why);
    return e ? e : sql_exec(b, "COMMIT", why);
}

static int on_commit(void *context, sqlite3 *db, const char *name, int frames)
{
    struct buffer *b = context;
    (void)db;
    (void)name;
    b->wal_frames = frames;
    return SQLITE_OK;
}

/* Events are for the agent and its group: SQLite would make the file readable by all. The log gets
 * the same mode. What goes wrong here goes wrong in SQLite again, which then tries to open what is
 * not there and forgets the reason: this one is returned. */
static int make_file(const struct buffer *b)
{
    if (b->vfs_name[0] || b->read_only || b->as_it_is) {
        return 0;
    }
    int fd = open(b->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    return 0;
}

enum err buffer_connect(struct buffer *b, struct why *why)
{
    int made = make_file(b);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                (b->read_only || b->as_it_is ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(b->path, &b->db, flags, vfs_count_name(b->vfs));
    if (code != SQLITE_OK) {
        if (made && vfs_count_errno(b->vfs) == ENOENT) {
            vfs_count_errno_set(b->vfs, made);
        }
        return sql_error(b, b->db ? sqlite3_extended_errcode(b->db) : code, "opening", why);
    }
    if (!b->read_only && sqlite3_db_readonly(b->db, "main") == 1) {
        return sql_error(b, SQLITE_READONLY, "opening", why);
    }
    (void)sqlite3_extended_result_codes(b->db, 1); /* can't fail */
    /* Until it is known to be ours, and for tools always: closing changes nothing. */
    (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return ERR_OK;
}

enum err buffer_start_log(struct buffer *b, struct why *why)
{
    (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    (void)sqlite3_wal_hook(b->db, on_commit, b);
    bool restarts = !(b->weak & WEAK_OLD_LOG);
    enum err e = restarts && !(b->weak & WEAK_BOOT_FIRST) ? sql_restart(b, why) : ERR_OK;
    e = e || !b->log_damaged ? e : settings_shorten_wal(b, why);
    bool is_short = b->log_missing;
    int64_t mark = OPEN_NOT;
    e = e ? e : sql_look(b, "SELECT v FROM meta WHERE k='open'", OPEN_NOT, &mark, why);
    if (e) {
        return e;
    }
    b->log_missing = (is_short && mark == OPEN_WITH_LOG) || mark == OPEN_LOG_LOST;
    bool is_lost = b->log_missing || b->log_damaged; /* until join_commit() */
    /* From the moment it says so, the log has its full size for ever, but for damage. */
    e = boot_commit(b, is_lost ? OPEN_LOG_LOST : is_short ? OPEN_NOT : OPEN_WITH_LOG, why);
    e = e || !restarts ? e : sql_restart(b, why);
    e = e ? e : settings_warm_wal(b, why);
    if (e || is_lost || !is_short) {
        return e;
    }
    e = sql_exec(b, "UPDATE meta SET v=1 WHERE k='open'", why);
    return e || !restarts ? e : sql_restart(b, why); /* in the file, not in the log alone */
}

enum err buffer_read_identity(struct buffer *b, struct why *why)
{
    int64_t incarnation = 0;
    int64_t boot = 0;
    enum err e = sql_look(b, "SELECT v FROM meta WHERE k='incarnation'", 0, &incarnation, why);
    e = e ? e : sql_look(b, "SELECT v FROM meta WHERE k='boot'", 0, &boot, why);
    b->incarnation = (uint32_t)incarnation;
    b->boot = (uint32_t)boot;
    return e ? e : machine_read(b, why);
}
