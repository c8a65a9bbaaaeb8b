/* A damaged buffer, opened for reading, as far as it can be read: snapshot and tail, whatever holes
 * they have. */
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"

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

static void source_connect(struct buffer *s)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(s->path, &s->db, flags, vfs_count_name(s->vfs)) != SQLITE_OK) {
        return;
    }
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_exec(s->db, settings, NULL, NULL, NULL); /* what fails shows when it is read */
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
static void first_page_mend(struct buffer *s)
{
    struct raw_file *raw = raw_open(s, s->path, false);
    uint64_t pages = raw ? raw_size(raw) / PAGE_SIZE : 0;
    raw_close(raw);
    s->first_page[18] = 2; /* written and read with a log */
    s->first_page[19] = 2;
    for (size_t i = 0; i < 4; i++) {
        s->first_page[28 + i] = (uint8_t)(pages >> (24 - 8 * i));
        s->first_page[32 + i] = 0; /* no free pages */
        s->first_page[36 + i] = 0;
    }
}

/* The first page, which says where the tables are, is destroyed: but every file of this format was
 * made the same way, and has them in the same places. */
static void source_replace_first_page(struct buffer *s)
{
    char name[FILE_NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s-first", s->path); /* fits, as FILE_NAME_SIZE says */
    s->first_page = malloc(PAGE_SIZE);
    source_close(s);
    file_remove(s, name);
    if (s->first_page && first_page_read(s, name)) {
        first_page_mend(s);
        vfs_count_first_page_set(s->vfs, s->first_page);
    }
    file_remove(s, name);
    source_connect(s);
}

/* Are its tables what they were made as? */
static bool source_has_tables(struct buffer *s)
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
    bool good = true;
    for (size_t i = 0; i < ARRAY_COUNT(all) && good; i++) {
        sqlite3_stmt *statement = NULL;
        good = sqlite3_prepare_v2(s->db, all[i], -1, &statement, NULL) == SQLITE_OK;
        (void)sqlite3_finalize(statement); /* was not run */
    }
    return good;
}

/* The blob as far as its pages hang together; the rest is zeros. */
static void source_tail(struct buffer *s)
{
    sqlite3_blob *blob = NULL;
    memset(s->tail_memory, 0, TAIL_BLOB_SIZE);
    if (sqlite3_blob_open(s->db, "main", "tail", "body", 1, 0, &blob) == SQLITE_OK) {
        int size = sqlite3_blob_bytes(blob);
        s->tail_hurt = size != TAIL_BLOB_SIZE;
        for (int at = 0; at + 512 <= size && at + 512 <= TAIL_BLOB_SIZE; at += 512) {
            if (sqlite3_blob_read(blob, s->tail_memory + at, 512, at) != SQLITE_OK) {
                s->tail_hurt = true;
                break;
            }
        }
    } else {
        s->tail_hurt = true;
    }
    (void)sqlite3_blob_close(blob);
}

static void source_replay(struct buffer *s)
{
    while (s->tail_size < TAIL_BLOB_SIZE) {
        struct record record;
        uint64_t commit;
        if (tail_record(s, &record)) {
            size_t next = tail_find_record(s, s->tail_size, &commit);
            s->tail_hurt = s->tail_hurt || next < TAIL_BLOB_SIZE || tail_has_head(s);
            if (next == TAIL_BLOB_SIZE) {
                return;
            }
            s->tail_size = next;
            s->state->commit = commit - 1;
            continue;
        }
        if (keep_reserve(s, sections_count(record.sections, SECTION_CURSOR)) ||
            !keep_fits(s, record.sections)) {
            return; /* no memory for more */
        }
        apply_what_fits(s->state, record.sections);
        s->state->commit++;
        keep_sections(s, record.sections, (size_t)(record.sections.data - s->tail_memory));
        s->tail_size += record.size;
    }
}

enum err source_open(struct buffer **ret, const struct buffer *like, const char *file, size_t pairs,
                     bool *ret_has_state, struct why *why)
{
    struct buffer *s = calloc(1, sizeof *s);
    *ret_has_state = false;
    if (!s) {
        return ERR_NOMEM;
    }
    (void)snprintf(s->path, sizeof s->path, "%s", file); /* was opened by this name */
    (void)snprintf(s->vfs_name, sizeof s->vfs_name, "%s", like->vfs_name); /* of the same size */
    s->read_only = true;
    s->event_size_max = like->event_size_max;
    enum err e = buffer_memory_open(s);
    if (e) {
        buffer_close(s);
        return e;
    }
    s->crypt = like->crypt; /* of no file: the other one closes it */
    s->crypt_is_lent = true;
    if (vfs_count_open(&s->vfs, s->vfs_name[0] ? s->vfs_name : NULL, false)) {
        buffer_close(s);
        return ERR_NOMEM;
    }
    source_connect(s);
    if (!s->db || !source_has_tables(s)) {
        source_replace_first_page(s);
    }
    *ret = s;
    if (!s->db) {
        s->tail_hurt = true;
        return state_load(s, pairs, (struct slice){NULL, 0}, false);
    }
    e = state_read(s, pairs, why);
    if (e == ERR_NOMEM) {
        buffer_close(s);
        *ret = NULL;
        return e;
    }
    if (e || s->state->generation == 0) {
        s->tail_hurt = true;
        state_close(s->state);
        state_close(s->next);
        s->state = NULL;
        s->next = NULL;
        return state_load(s, pairs, (struct slice){NULL, 0}, false);
    }
    *ret_has_state = true;
    source_tail(s);
    source_replay(s);
    return ERR_OK;
}
