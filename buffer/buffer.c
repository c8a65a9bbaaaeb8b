/* Opening and closing; what is constant while it is open. */
#include "buffer/buffer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "ports/lib/crc32c.h"
#include "ports/log.h"

#define PAIRS_FIRST 16 /* in the snapshot, at a first try */

static_assert(WRITE_SIZE_MAX < RECORD_SIZE_MAX, "a write batch fits a record");
static_assert(RECORD_SIZE_MAX < TAIL_BLOB_SIZE, "a record fits the tail");

/* --- the state: snapshot, then the tail's records --- */

enum err state_load(struct buffer *b, size_t pairs, struct slice snapshot, bool found)
{
    for (size_t most = pairs + PAIRS_FIRST;; most *= 2) {
        enum err e = state_open(&b->state, most);
        e = e ? e : state_open(&b->next, most);
        if (!e && found) {
            e = state_decode(b->state, most - pairs, snapshot);
        }
        if (e != ERR_FULL) {
            return e;
        }
        state_close(b->state);
        state_close(b->next);
        b->state = NULL;
        b->next = NULL;
    }
}

enum err state_read(struct buffer *b, size_t pairs, struct why *why)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(b->db, "SELECT crc,v FROM state WHERE id=1", -1, &s, NULL) !=
        SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    int code = sqlite3_step(s);
    bool found = code == SQLITE_ROW;
    struct slice snapshot = {NULL, 0};
    enum err e = ERR_OK;
    if (found) {
        snapshot = (struct slice){sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)};
        e = crc32c(0, snapshot) == (uint32_t)sqlite3_column_int64(s, 0) ? ERR_OK : ERR_CORRUPT;
    } else if (code != SQLITE_DONE) {
        e = sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    } else {
        int64_t streams = 0;
        e = sql_look(b, "SELECT count(*) FROM stream", 0, &streams, why);
        e = e || streams == 0 ? e : ERR_CORRUPT; /* they and the first snapshot came together */
    }
    e = e ? e : state_load(b, pairs, snapshot, found);
    if (e == ERR_CORRUPT || e == ERR_VERSION) {
        why_set(why, "%s: the state is %s", b->path, e == ERR_CORRUPT ? "damaged" : NEWER_VERSION);
    }
    (void)sqlite3_finalize(s);
    return e;
}

/* A state of version 1: what it does not have is counted. */
static enum err state_renew(struct buffer *b, struct why *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(
        b->db, "SELECT id>>48,sum(abs(n)),sum(length(body)) FROM batch GROUP BY id>>48", -1, &s,
        NULL);
    while (code == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(s, 0);
        if (id < 1 || id > STREAM_COUNT_MAX) {
            code = SQLITE_CORRUPT;
            break;
        }
        b->state->streams[id].row_events = (uint64_t)sqlite3_column_int64(s, 1);
        b->state->streams[id].row_bytes = (uint64_t)sqlite3_column_int64(s, 2);
    }
    int ended = sqlite3_finalize(s);
    code = code ? code : ended;
    b->state->is_old = false;
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "opening", why);
}

/* Which sequences were used is not known. */
static void note_lost_log(struct buffer *b)
{
    if (b->log_missing || b->log_damaged) {
        damage_log_lost(b);
        damage_raise_all(b);
    }
}

/* Before anything is written: what a newer version has left is not touched. Whatever else is wrong with it is found
 * later. */
static enum err check_newer(struct buffer *b, struct why *why)
{
    sqlite3_stmt *s = NULL;
    bool is_newer = false;
    if (sqlite3_prepare_v2(b->db, "SELECT crc,v FROM state WHERE id=1", -1, &s, NULL) ==
            SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        struct slice v = {sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)};
        is_newer = crc32c(0, v) == (uint32_t)sqlite3_column_int64(s, 0) && state_is_newer(v);
    }
    (void)sqlite3_finalize(s);
    if (is_newer) {
        why_set(why, "%s: the state is " NEWER_VERSION, b->path);
    }
    return is_newer ? ERR_VERSION : ERR_OK;
}

static enum err recover(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    enum err e = check_newer(b, why);
    e = e || setup->read_only ? e : buffer_start_log(b, why);
    e = e ? e : sql_prepare_all(b, why);
    e = e ? e : state_read(b, setup_pairs(setup), why);
    e = e ? e : tail_replay(b, why);
    e = e || !b->state->is_old ? e : state_renew(b, why);
    b->joined = b->joined || (!e && b->state->is_earlier);
    e = e ? e : load_stream_names(b, why);
    if (!e && !setup->read_only) {
        e = damage_look(b, why);
    } else if (!e) {
        e = schemas_load(b, why);
        e = e == ERR_CORRUPT ? ERR_OK : e; /* those that are whole */
    }
    e = e ? e : buffer_read_identity(b, why);
    return e ? e : quota_measure(b, why);
}

static enum err check_setup(const struct buffer *b, const struct buffer_setup *setup,
                            struct why *why)
{
    if (b->page_max < 4 * RESERVE_PAGES) {
        why_set(why, "size_max of %lld bytes is too small: at least 4 MiB",
                (long long)setup->size_max);
        return ERR_CONFIG;
    }
    if (setup_pairs(setup) > PAIR_COUNT_MAX) {
        why_set(why, "%zu pairs of a stream and an uplink; at most %d: give streams fewer uplinks",
                setup_pairs(setup), PAIR_COUNT_MAX);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* Database and log together stay within `size_max`. */
static void set_cap(struct buffer *b, int64_t size_max, int64_t event_size_max)
{
    b->size_max = size_max;
    b->event_size_max = event_size_max;
    b->page_max =
        (size_max - WAL_WARM_SIZE - (event_size_max > EVENT_SIZE_DEFAULT ? event_size_max : 0)) /
        PAGE_SIZE;
}

/* What the agent opened the file with last. An older file does not say it: then it does not grow. */
static enum err take_cap(struct buffer *b, bool is_new, struct why *why)
{
    int64_t pages = sql_number(b, "PRAGMA page_count", 0);
    int64_t grown = pages * PAGE_SIZE + WAL_WARM_SIZE;
    int64_t size_max = sql_number(b, "SELECT v FROM meta WHERE k='size_max'", grown);
    int64_t event_size_max =
        sql_number(b, "SELECT v FROM meta WHERE k='event_size_max'", EVENT_SIZE_DEFAULT);
    if (is_new) {
        why_set(why, "%s is no buffer yet: no agent has used it", b->path);
        return ERR_VERSION;
    }
    bool is_sane = event_size_max > 0 && event_size_max <= EVENT_SIZE_LIMIT && size_max >= grown;
    set_cap(b, is_sane ? size_max : grown, is_sane ? event_size_max : EVENT_SIZE_DEFAULT);
    return ERR_OK;
}

static enum err open_layer(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    (void)snprintf(b->path, sizeof b->path, "%s", setup->path); /* both: longer is refused */
    (void)snprintf(b->vfs_name, sizeof b->vfs_name, "%s", setup->vfs ? setup->vfs : "");
    if (strlen(setup->path) >= BUFFER_PATH_SIZE) {
        why_set(why, "%s: the path is too long: at most %d bytes", setup->path,
                BUFFER_PATH_SIZE - 1);
        return ERR_CONFIG;
    }
    enum err e = vfs_count_open(&b->vfs, setup->vfs, b->weak & WEAK_PSOW);
    if (e == ERR_CONFIG) {
        why_set(why, "no file system layer \"%s\"", setup->vfs ? setup->vfs : "default");
    } else if (e) {
        why_set(why, "opening %s: no memory", b->path);
    }
    return e;
}

/* Before SQLite opens it, under its lock: files are moved, and a log is made void, that nobody else
 * uses. *ret_is_looked: not where it can't be locked; then SQLite says why. */
static enum err look_first(struct buffer *b, const struct buffer_setup *setup, bool *ret_is_looked,
                           struct why *why)
{
    struct raw_file *own = NULL;
    *ret_is_looked = true;
    if (setup->read_only) {
        return ERR_OK;
    }
    enum err e = file_lock(b, b->path, &own, why);
    *ret_is_looked = own || !file_there(b, b->path);
    if (e || !*ret_is_looked) {
        return e;
    }
    e = setup->as_it_is ? ERR_OK : damage_settle(b, why);
    e = e ? e : damage_check_header(b, why);
    e = e ? e : log_check(b, b->path, why);
    raw_close(own);
    if (!e && b->file_short) {
        why_set(why, "%s is shorter than it was", b->path);
        e = ERR_CORRUPT;
    }
    return e;
}

static enum err open_file(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    bool is_new = false;
    bool is_looked = false;
    enum err e = look_first(b, setup, &is_looked, why);
    e = e ? e : buffer_connect(b, why);
    e = e ? e : settings_check_file(b, &is_new, why);
    if (!e && !is_looked) {
        why_set(why, "%s could not be locked: try again", b->path);
        e = ERR_IO;
    }
    b->keys_are_known = is_new;
    if (!e && !is_new) {
        e = keys_check(b, why);
        b->key_is_wrong =
            e == ERR_CORRUPT && (b->proof_damaged || sqlite3_errcode(b->db) == SQLITE_OK);
    }
    if (!e && setup->as_it_is) {
        e = take_cap(b, is_new, why);
    }
    e = e ? e : settings_apply(b, is_new, why);
    e = e ? e : recover(b, setup, why);
    if (!e && !setup->read_only) {
        note_lost_log(b);
        e = salvage_resume_or_tell(b, why);
    }
    return e;
}

/* Was there no room for a fresh file at the last opening, and is there none now? */
static enum err check_room(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    b->disk_room = setup->room ? *setup->room : b->disk_room;
    if (!damage_newest(b, bad) || !room_is_missing(b, bad)) {
        return ERR_OK;
    }
    why_set(
        why,
        "opening %s: %s is damaged, and there is no room for a fresh file beside it: free some on "
        "its disk, or of its quota; that is looked for every ten minutes",
        b->path, bad);
    return ERR_NOSPACE;
}

static void keep_room(struct buffer *b, const struct buffer_setup *setup, enum err e)
{
    char bad[FILE_NAME_SIZE];
    b->disk_room.needed = e ? b->disk_room.needed : 0;
    bool is_short = e == ERR_NOSPACE && (b->damage.replaced > 0 || b->disk_room.needed > 0);
    if (is_short && damage_newest(b, bad)) {
        room_missed(b, bad);
    }
    if (setup->room) {
        *setup->room = b->disk_room;
    }
}

static enum err open_or_replace(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    if (setup->read_only || setup->as_it_is) {
        return open_file(b, setup, why);
    }
    struct why reason = {""};
    enum err e = check_room(b, setup, why);
    if (e) {
        return e;
    }
    e = open_file(b, setup, &reason);
    int pending = e ? 0 : damage_pending(b);
    bool replaces = pending;
    if (e == ERR_CORRUPT && !b->key_is_wrong) {
        struct why other = {""};
        enum err of_look = damage_is_ours(b, &replaces, &other);
        e = of_look ? of_look : e;
        reason = of_look ? other : reason;
    }
    if (replaces) {
        e = damage_replace_at_open(b, setup, pending, &reason);
    }
    keep_room(b, setup, e);
    if (e && why) {
        *why = reason;
    }
    return e;
}

enum err buffer_open(struct buffer **ret, const struct buffer_setup *setup, struct why *why)
{
    (void)sqlite3_initialize(); /* the library is built without automatic initialisation; repeated
                                   calls do nothing */
    struct buffer *b = calloc(1, sizeof *b);
    if (!b) {
        return ERR_NOMEM;
    }
    (void)snprintf(b->agent_id, sizeof b->agent_id, "%s", setup->agent_id ? setup->agent_id : "");
    b->keep_damaged = setup->keep_damaged;
    b->read_only = setup->read_only;
    b->weak = setup->weak;
    b->as_it_is = setup->as_it_is;
    b->setup_key = setup->key;
    b->setup_old_key = setup->old_key;
    set_cap(b, setup->size_max, setup->as_it_is ? EVENT_SIZE_LIMIT : setup->event_size_max);
    enum err e = setup->as_it_is ? ERR_OK : check_setup(b, setup, why);
    e = e ? e : thin_memory_open(b, setup);
    e = e ? e : buffer_memory_open(b);
    e = e ? e : open_layer(b, setup, why);
    e = e ? e : open_or_replace(b, setup, why);
    e = e ? e : setup->as_it_is ? join_as_it_is(b, setup, why) : join_setup(b, setup, why);
    if (e) {
        buffer_close(b);
        return e;
    }
    b->setup_key = NULL; /* copied */
    b->setup_old_key = NULL;
    b->file_pages = setup->read_only ? 0 : vfs_count_grow(b->db, 0);
    quota_rooms(b);
    b->joined_all = !setup->read_only;
    *ret = b;
    return ERR_OK;
}

/* The file has all of it: what is left of a log that loses its end would take it back. */
static void close_in_order(struct buffer *b)
{
    enum err e = sql_exec(b, "UPDATE meta SET v=0 WHERE k='open'", NULL);
    e = e ? e : sql_restart(b, NULL);
    e = e ? e : settings_void_wal(b, NULL);
    (void)e; /* then the log is needed at the next opening, and is there */
}

void buffer_close(struct buffer *buffer)
{
    if (!buffer) {
        return;
    }
    if (buffer->joined_all && buffer->db && !buffer->broken) {
        close_in_order(buffer);
    }
    salvage_close(buffer);
    sql_finalize_all(buffer);
    (void)sqlite3_close(buffer->db); /* all statements are finalized */
    vfs_count_close(buffer->vfs);
    buffer_memory_close(buffer);
    free(buffer->first_page);
    free(buffer);
}

enum err buffer_check_keys(const struct buffer_setup *setup, struct why *why)
{
    (void)sqlite3_initialize();
    struct buffer *b = calloc(1, sizeof *b);
    if (!b) {
        return ERR_NOMEM;
    }
    bool is_new = false;
    b->read_only = setup->read_only;
    b->setup_key = setup->key;
    b->setup_old_key = setup->old_key;
    enum err e = open_layer(b, setup, why);
    e = e ? e : buffer_connect(b, why);
    e = e ? e : settings_check_file(b, &is_new, why);
    e = e || is_new ? e : keys_check(b, why);
    buffer_close(b);
    return e;
}

/* --- what is constant --- */

uint32_t buffer_incarnation(const struct buffer *buffer)
{
    return buffer->incarnation;
}

uint32_t buffer_boot(const struct buffer *buffer)
{
    return buffer->boot;
}

void buffer_parcel_each(struct buffer *buffer,
                        void (*each)(void *context, const struct parcel *parcel), void *context)
{
    for (uint32_t i = 0; i < buffer->state->parcel_count; i++) {
        each(context, &buffer->state->parcels[i]);
    }
}

bool buffer_time(const struct buffer *buffer, struct stored_event *event)
{
    return state_time(buffer->state, event);
}
