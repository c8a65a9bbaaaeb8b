/* A damaged buffer, opened for reading, as far as it can be read: snapshot and tail, whatever holes
 * they have. */
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "ports/clock.h"

#define IO_TRIES 3 /* a second apart at least: then what can't be read is damaged */
/* Reads that fail longer apart than this have nothing to do with each other; what waits is tried again
 * much sooner. That some other read has worked says nothing: the same place may fail once more. */
#define IO_FORGET_US (60 * INT64_C(1000000))

/* What SQLite refuses by default on a damaged file, and need not: a file that is too short, tables
 * whose definition can't be understood. */
static const char settings[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA writable_schema=ON; PRAGMA "
                               "cell_size_check=ON; PRAGMA query_only=ON; PRAGMA cache_size=-256; "
                               "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY";

static void source_close(struct buffer *s)
{
    if (s->db) {
        (void)sqlite3_close(s->db); /* no statements are open */
        s->db = NULL;
    }
}

enum err damaged_trouble(struct buffer *s, int code, struct why *why)
{
    uint64_t now_us = clock_monotonic_us();
    bool is_io = (code & 0xff) == SQLITE_IOERR && code != SQLITE_IOERR_NOMEM;
    code = code == SQLITE_IOERR_SHORT_READ ? SQLITE_CORRUPT : code; /* it ends before */
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
    case SQLITE_ERROR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return ERR_OK;
    default:
        break;
    }
    if (is_io && now_us - s->io_us >= IO_FORGET_US) {
        s->io_tries = 0;
    }
    if (is_io && s->io_tries >= IO_TRIES) {
        s->io_us = now_us; /* the next place that can't be read does not wait */
        return ERR_OK;
    }
    if (is_io && (s->io_tries == 0 || now_us - s->io_us >= 1000000)) {
        s->io_tries++;
        s->io_us = now_us;
    }
    enum err e = sql_error(s, code, "reading", why);
    return is_io ? ERR_IO : e == ERR_CORRUPT ? ERR_FULL : e;
}

enum err damaged_wait(struct buffer *s, int code, bool *ret_again, struct why *why)
{
    enum err e = damaged_trouble(s, code, why);
    *ret_again = e == ERR_IO;
    if (e == ERR_IO) {
        clock_pause(IO_PAUSE_MS);
    }
    return e == ERR_IO ? ERR_OK : e;
}

enum err damaged_number(struct buffer *s, const char *sql, int64_t otherwise, int64_t *ret,
                        struct why *why)
{
    enum err e = ERR_OK;
    *ret = otherwise;
    for (bool again = s->db; !e && again;) {
        sqlite3_stmt *statement = NULL;
        int code = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
        code = code == SQLITE_OK ? sqlite3_step(statement) : code;
        *ret = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : otherwise;
        (void)sqlite3_finalize(statement); /* step() gave its error */
        e = damaged_wait(s, code, &again, why);
    }
    return e;
}

/* Its lock is kept from here on. */
static enum err source_connect(struct buffer *s, struct why *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(s->path, &s->db, flags, vfs_count_name(s->vfs));
    if (code == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(s->db, 1);
        (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_exec(s->db, settings, NULL, NULL, NULL); /* what fails shows when read */
        (void)sqlite3_exec(s->db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
        code = sqlite3_extended_errcode(s->db);
    }
    return damaged_trouble(s, code, why);
}

/* A database is made beside, and its first page is read. False: that does not work. */
static bool first_page_read(struct buffer *s, const char *name)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(name, &db, flags, vfs_count_name(s->vfs));
    const char *const made[] = {"PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=4096; PRAGMA "
                                "journal_mode=OFF; PRAGMA synchronous=OFF",
                                settings_tables};
    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_COUNT(made); i++) {
        code = sqlite3_exec(db, made[i], NULL, NULL, NULL);
    }
    (void)sqlite3_close(db); /* no statements are open */
    struct raw_file *raw = code == SQLITE_OK ? raw_open(s, name, false) : NULL;
    bool done = raw && raw_read(raw, 0, s->first_page, PAGE_SIZE) == PAGE_SIZE;
    raw_close(raw);
    return done;
}

/* How many pages the file has, into the first one; the log is to be used. */
static enum err first_page_mend(struct buffer *s, struct why *why)
{
    struct raw_file *raw = NULL;
    enum err e = raw_need(s, s->path, false, &raw, why);
    uint64_t pages = raw ? raw_size(raw) / PAGE_SIZE : 0;
    raw_close(raw);
    s->first_page[18] = 2; /* written and read with a log */
    s->first_page[19] = 2;
    for (size_t i = 0; i < 4; i++) {
        s->first_page[28 + i] = (uint8_t)(pages >> (24 - 8 * i));
        s->first_page[32 + i] = 0; /* no free pages */
        s->first_page[36 + i] = 0;
    }
    return e;
}

/* The first page, which says where the tables are, is destroyed: but every file of this format was
 * made the same way, and has them in the same places. */
static enum err source_replace_first_page(struct buffer *s, struct why *why)
{
    char name[FILE_NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s-first", s->path); /* fits, as FILE_NAME_SIZE says */
    s->first_page = s->first_page ? s->first_page : malloc(PAGE_SIZE);
    if (!s->first_page) {
        return ERR_NOMEM;
    }
    source_close(s);
    file_remove(s, name);
    bool is_made = first_page_read(s, name);
    file_remove(s, name);
    if (!is_made) {
        why_set(why, "%s can't be made: is there room on the disk?", name);
        return ERR_IO;
    }
    enum err e = first_page_mend(s, why);
    if (e) {
        return e;
    }
    vfs_count_first_page_set(s->vfs, s->first_page);
    return source_connect(s, why);
}

/* Are its tables what they were made as? */
static enum err source_has_tables(struct buffer *s, bool *ret, struct why *why)
{
    static const char *const all[] = {
        "SELECT k,v FROM meta",
        "SELECT id,name FROM stream",
        "SELECT id,stream,fp,json FROM schema",
        "SELECT id,name FROM uplink",
        "SELECT id,name FROM driver",
        "SELECT uplink,schema,id FROM remote",
        "SELECT id,crc,v FROM state",
        "SELECT driver,k,crc,v FROM cursor",
        "SELECT id,body FROM tail",
        "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch",
        "SELECT id,t,stream,seq,source,uplink,kind,schema,reason,size,crc,body FROM aside",
    };
    int code = SQLITE_OK;
    for (size_t i = 0; i < ARRAY_COUNT(all) && code == SQLITE_OK; i++) {
        sqlite3_stmt *statement = NULL;
        code = sqlite3_prepare_v2(s->db, all[i], -1, &statement, NULL);
        (void)sqlite3_finalize(statement); /* was not run */
    }
    *ret = code == SQLITE_OK;
    return damaged_trouble(s, code, why);
}

/* The blob as far as its pages hang together; the rest is zeros. */
static enum err source_tail(struct buffer *s, struct why *why)
{
    sqlite3_blob *blob = NULL;
    memset(s->tail_memory, 0, TAIL_BLOB_SIZE);
    int code = sqlite3_blob_open(s->db, "main", "tail", "body", 1, 0, &blob);
    int size = code == SQLITE_OK ? sqlite3_blob_bytes(blob) : 0;
    for (int at = 0; code == SQLITE_OK && at + 512 <= size && at + 512 <= TAIL_BLOB_SIZE;
         at += 512) {
        code = sqlite3_blob_read(blob, s->tail_memory + at, 512, at);
    }
    (void)sqlite3_blob_close(blob); /* was read only; NULL is allowed */
    s->tail_hurt = code != SQLITE_OK || size != TAIL_BLOB_SIZE;
    return damaged_trouble(s, code, why);
}

static enum err source_replay(struct buffer *s)
{
    bool has_hole = false;
    while (s->tail_size < TAIL_BLOB_SIZE) {
        struct record record;
        uint64_t commit;
        if (tail_record(s, &record)) {
            size_t next = tail_find_record(s, s->tail_size, &commit);
            s->tail_hurt = s->tail_hurt || next < TAIL_BLOB_SIZE || tail_has_head(s);
            if (next == TAIL_BLOB_SIZE) {
                return ERR_OK;
            }
            has_hole = true;
            s->tail_size = next;
            s->state->commit = commit - 1;
            continue;
        }
        if (keep_reserve(s, sections_count(record.sections, SECTION_CURSOR))) {
            return ERR_NOMEM;
        }
        if (!keep_fits(s, record.sections)) {
            s->tail_hurt = true;
            return ERR_OK; /* more than any file of ours has */
        }
        apply_what_fits(s->state, record.sections, has_hole);
        s->state->commit++;
        keep_sections(s, record.sections, (size_t)(record.sections.data - s->tail_memory));
        s->tail_size += record.size;
    }
    return ERR_OK;
}

static void source_state_close(struct buffer *s)
{
    state_close(s->state);
    state_close(s->next);
    s->state = NULL;
    s->next = NULL;
}

static enum err source_state(struct buffer *s, size_t pairs, bool *ret_has_state, struct why *why)
{
    enum err e = s->db ? state_read(s, pairs, why) : ERR_CORRUPT;
    if (e == ERR_IO) {
        e = damaged_trouble(s, SQLITE_IOERR, why);
        e = e ? e : ERR_CORRUPT;
    }
    if (e && e != ERR_CORRUPT && e != ERR_VERSION) {
        return e;
    }
    *ret_has_state = !e && s->state->generation > 0;
    if (*ret_has_state) {
        return ERR_OK;
    }
    s->tail_hurt = true;
    source_state_close(s);
    return state_load(s, pairs, (struct slice){NULL, 0}, false);
}

static enum err source_read(struct buffer *s, size_t pairs, bool *ret_has_state, struct why *why)
{
    bool has_tables = false;
    enum err e = ERR_OK;
    if (file_there(s, s->path)) { /* else nothing of it can be read, ever */
        e = source_connect(s, why);
        s->is_reached = !e;
        e = e ? e : source_has_tables(s, &has_tables, why);
        e = e || has_tables ? e : source_replace_first_page(s, why);
    }
    e = e ? e : source_state(s, pairs, ret_has_state, why);
    if (!e && *ret_has_state) {
        e = source_tail(s, why);
        e = e ? e : source_replay(s);
    }
    return e;
}

/* So that it can be read again. */
static void source_forget(struct buffer *s)
{
    source_close(s);
    source_state_close(s);
    s->tail_size = 0;
    s->section_count = 0;
    s->changed_count = 0;
    s->tail_hurt = false;
}

static enum err source_make(struct buffer **ret, const struct buffer *like, const char *file)
{
    struct buffer *s = calloc(1, sizeof *s);
    if (!s) {
        return ERR_NOMEM;
    }
    (void)snprintf(s->path, sizeof s->path, "%s", file); /* was opened by this name */
    (void)snprintf(s->vfs_name, sizeof s->vfs_name, "%s", like->vfs_name); /* of the same size */
    s->read_only = true;
    s->event_size_max = like->event_size_max;
    enum err e = buffer_memory_open(s);
    if (!e && vfs_count_open(&s->vfs, s->vfs_name[0] ? s->vfs_name : NULL, false)) {
        e = ERR_NOMEM;
    }
    if (e) {
        buffer_close(s);
        return e;
    }
    s->crypt = like->crypt; /* of no file: the other one closes it */
    s->crypt_is_lent = true;
    *ret = s;
    return ERR_OK;
}

enum err damaged_open(struct buffer **ret, const struct buffer *like, const char *file,
                      size_t pairs, bool *ret_has_state, struct why *why)
{
    struct buffer *s = NULL;
    *ret_has_state = false;
    enum err e = source_make(&s, like, file);
    if (e) {
        return e;
    }
    e = source_read(s, pairs, ret_has_state, why);
    for (unsigned i = 0; e == ERR_IO && s->is_reached && i < IO_TRIES; i++) {
        source_forget(s);
        *ret_has_state = false;
        s->is_reached = false;
        clock_pause(IO_PAUSE_MS);
        e = source_read(s, pairs, ret_has_state, why);
    }
    if (e) {
        buffer_close(s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}
