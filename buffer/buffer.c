/* Opening and closing; what is constant while it is open. */
#include "buffer/buffer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buffer/internal.h"
#include "ports/lib/crc32c.h"
#include "ports/random.h"

#define PAIRS_FIRST 16 /* in the snapshot, at a first try */

static_assert(WRITE_SIZE_MAX < RECORD_SIZE_MAX, "a write batch fits a record");
static_assert(RECORD_SIZE_MAX < TAIL_BLOB_SIZE, "a record fits the tail");

/* --- memory --- */

static enum err crypt_memory_open(struct buffer *b)
{
    size_t size = zstd_bound(RECORD_SIZE_MAX + EVENT_SIZE_LIMIT) + CRYPT_MORE;
    if (!b->setup_key && !b->setup_old_key) {
        return ERR_OK;
    }
    b->cipher = out_over(malloc(size), size);
    return b->cipher.data ? crypt_open(&b->crypt, b->setup_key, b->setup_old_key) : ERR_NOMEM;
}

static enum err memory_open(struct buffer *b, const struct buffer_setup *setup)
{
    /* An older event may be larger than this setup allows. Most of it is never touched. */
    size_t record = RECORD_SIZE_MAX + (size_t)b->event_size_max + 80 * 1024;
    size_t scratch = RECORD_SIZE_MAX + EVENT_SIZE_LIMIT + STATE_SIZE_MAX;
    b->tail_memory = malloc(TAIL_BLOB_SIZE);
    b->sections = malloc(TAIL_SECTION_MAX * sizeof *b->sections);
    b->changed = calloc(CHANGED_CURSOR_MAX, sizeof *b->changed);
    b->record = out_over(malloc(record), record);
    b->scratch = out_over(malloc(scratch), scratch);
    b->packed = out_over(malloc(zstd_bound(record)), zstd_bound(record));
    if (!b->tail_memory || !b->sections || !b->changed || !b->record.data || !b->scratch.data ||
        !b->packed.data) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < setup->stream_count && !b->thin_raw.data; i++) {
        bool thins = setup->streams[i].when_full == FULL_THIN && !setup->read_only;
        b->thin_raw = out_over(thins ? malloc(RECORD_SIZE_MAX) : NULL, RECORD_SIZE_MAX);
        if (thins && !b->thin_raw.data) {
            return ERR_NOMEM;
        }
    }
    b->thinner = setup->thinner;
    enum err e = zstd_encoder_open(&b->encoder, SEAL_LEVEL);
    e = e ? e : zstd_decoder_open(&b->decoder);
    return e ? e : crypt_memory_open(b);
}

static void memory_close(struct buffer *b)
{
    free(b->tail_memory);
    free(b->sections);
    for (size_t i = 0; b->changed && i < CHANGED_CURSOR_MAX; i++) {
        free(b->changed[i].value);
    }
    free(b->changed);
    free(b->record.data);
    free(b->scratch.data);
    free(b->packed.data);
    free(b->cipher.data);
    crypt_close(b->crypt);
    free(b->thin_raw.data);
    zstd_encoder_close(b->encoder);
    zstd_decoder_close(b->decoder);
    state_close(b->state);
    state_close(b->next);
}

/* --- the state: snapshot, then the tail's records --- */

/* `pairs`: that may join when it is loaded. */
static enum err state_load(struct buffer *b, size_t pairs, struct slice snapshot, bool found)
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

static enum err state_read(struct buffer *b, size_t pairs, struct why *why)
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
    } else if (sql_number(b, "SELECT count(*) FROM stream", 1) > 0) {
        e = ERR_CORRUPT; /* streams and the first snapshot came together */
    }
    e = e ? e : state_load(b, pairs, snapshot, found);
    if (e == ERR_CORRUPT || e == ERR_VERSION) {
        why_set(why, "%s: the state is %s", b->path,
                e == ERR_CORRUPT ? "damaged" : "of a newer version");
    }
    (void)sqlite3_finalize(s);
    return e;
}

static enum err tail_read(struct buffer *b, struct why *why)
{
    sqlite3_blob *blob = NULL;
    int code = sqlite3_blob_open(b->db, "main", "tail", "body", 1, 0, &blob);
    if (code == SQLITE_ERROR || (code == SQLITE_OK && sqlite3_blob_bytes(blob) != TAIL_BLOB_SIZE)) {
        code = SQLITE_CORRUPT; /* not there, or not ours */
    }
    if (code == SQLITE_OK) {
        code = sqlite3_blob_read(blob, b->tail_memory, TAIL_BLOB_SIZE, 0);
    }
    (void)sqlite3_blob_close(blob);
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "opening", why);
}

/* The next record, decrypted in the tail's copy. ERR_CLOSED: there is none. */
static enum err tail_record(struct buffer *b, struct record *ret, struct why *why)
{
    uint8_t *data = b->tail_memory + b->tail_size;
    struct slice rest = {data, TAIL_BLOB_SIZE - b->tail_size};
    enum err e = record_check(rest, b->state->generation, b->state->commit + 1, ret);
    if (!e && ret->is_encrypted) {
        e = record_decrypt(b->crypt, ret, data, &b->scratch);
    }
    e = e ? e : apply_sections(b->state, ret->sections);
    if (e == ERR_CORRUPT || e == ERR_VERSION) {
        why_set(why, "%s: a record of the tail is %s", b->path,
                e == ERR_VERSION ? "of a newer version" : "damaged");
    }
    return e;
}

static enum err tail_replay(struct buffer *b, struct why *why)
{
    struct record record;
    enum err e = tail_read(b, why);
    while (!e && b->tail_size < TAIL_BLOB_SIZE) {
        e = tail_record(b, &record, why);
        if (e) {
            return e == ERR_CLOSED ? ERR_OK : e;
        }
        e = keep_reserve(b, sections_count(record.sections, SECTION_CURSOR));
        if (!e && !keep_fits(b, record.sections)) {
            why_set(why, "%s: the tail has more than was ever written", b->path);
            e = ERR_CORRUPT;
        }
        if (e) {
            return e;
        }
        b->state->commit++;
        keep_sections(b, record.sections, (size_t)(record.sections.data - b->tail_memory));
        b->tail_size += record.size;
    }
    return e;
}

/* --- the boot commit --- */

/* One transaction: what the database is made with, if a cut left it without, and the counter. */
static enum err boot_commit(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    const char *agent_id = setup->agent_id;
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "BEGIN IMMEDIATE; INSERT OR IGNORE INTO meta VALUES('incarnation',%" PRIu32
                   "),('boot',0); UPDATE meta SET v=v+1 WHERE k='boot'",
                   random_u32()); /* fits */
    enum err e = sql_exec(b, sql, why);
    if (!e && !setup->as_it_is) { /* for tools, which have no configuration */
        (void)snprintf(sql, sizeof sql,
                       "INSERT OR REPLACE INTO meta VALUES('size_max',%" PRId64
                       "),('event_size_max',%" PRId64 ")",
                       setup->size_max, setup->event_size_max); /* fits */
        e = sql_exec(b, sql, why);
    }
    if (!e && agent_id) {
        sqlite3_stmt *s = NULL;
        if (sqlite3_prepare_v2(b->db, "INSERT OR REPLACE INTO meta VALUES('agent',?)", -1, &s,
                               NULL) == SQLITE_OK) {
            sqlite3_bind_text(s, 1, agent_id, -1, SQLITE_STATIC);
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
static int make_file(const struct buffer_setup *setup)
{
    if (setup->vfs || setup->read_only || setup->as_it_is) {
        return 0;
    }
    int fd = open(setup->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    return 0;
}

static enum err connect(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    enum err e = vfs_count_open(&b->vfs, setup->vfs, b->weak & WEAK_PSOW);
    if (e) {
        why_set(why, "no file system layer \"%s\"", setup->vfs ? setup->vfs : "default");
        return e;
    }
    int made = make_file(setup);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                (setup->read_only || setup->as_it_is ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(setup->path, &b->db, flags, vfs_count_name(b->vfs));
    if (code != SQLITE_OK) {
        if (made && vfs_count_errno(b->vfs) == ENOENT) {
            vfs_count_errno_set(b->vfs, made);
        }
        return sql_error(b, b->db ? sqlite3_extended_errcode(b->db) : code, "opening", why);
    }
    if (!setup->read_only && sqlite3_db_readonly(b->db, "main") == 1) {
        return sql_error(b, SQLITE_READONLY, "opening", why);
    }
    (void)sqlite3_extended_result_codes(b->db, 1); /* can't fail */
    /* Until it is known to be ours, and for tools always: closing changes nothing. */
    (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return ERR_OK;
}

static enum err recover(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    enum err e = ERR_OK;
    if (!setup->read_only) {
        (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        (void)sqlite3_wal_hook(b->db, on_commit, b);
        bool restarts = !(b->weak & WEAK_OLD_LOG);
        e = restarts && !(b->weak & WEAK_BOOT_FIRST) ? sql_restart(b, why) : ERR_OK;
        e = e ? e : boot_commit(b, setup, why);
        e = e || !restarts ? e : sql_restart(b, why);
        e = e ? e : settings_warm_wal(b, why);
    }
    e = e ? e : sql_prepare_all(b, why);
    e = e ? e : state_read(b, setup_pairs(setup), why);
    e = e ? e : tail_replay(b, why);
    e = e ? e : load_stream_names(b, why);
    b->incarnation = (uint32_t)sql_number(b, "SELECT v FROM meta WHERE k='incarnation'", 0);
    b->boot = (uint32_t)sql_number(b, "SELECT v FROM meta WHERE k='boot'", 0);
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

enum err buffer_open(struct buffer **ret, const struct buffer_setup *setup, struct why *why)
{
    (void)sqlite3_initialize(); /* the library is built without automatic initialisation; repeated
                                   calls do nothing */
    struct buffer *b = calloc(1, sizeof *b);
    if (!b) {
        return ERR_NOMEM;
    }
    bool is_new = false;
    (void)snprintf(b->path, sizeof b->path, "%s", setup->path); /* for texts: cut is fine */
    b->read_only = setup->read_only;
    b->weak = setup->weak;
    b->setup_key = setup->key;
    b->setup_old_key = setup->old_key;
    set_cap(b, setup->size_max, setup->as_it_is ? EVENT_SIZE_LIMIT : setup->event_size_max);
    enum err e = setup->as_it_is ? ERR_OK : check_setup(b, setup, why);
    e = e ? e : memory_open(b, setup);
    e = e ? e : connect(b, setup, why);
    e = e ? e : settings_check_file(b, &is_new, why);
    e = e || is_new ? e : keys_check(b, why);
    if (!e && setup->as_it_is) {
        e = take_cap(b, is_new, why);
    }
    e = e ? e : settings_apply(b, is_new, why);
    e = e ? e : recover(b, setup, why);
    e = e ? e : setup->as_it_is ? join_as_it_is(b, why) : join_setup(b, setup, why);
    if (e) {
        buffer_close(b);
        return e;
    }
    b->setup_key = NULL; /* copied */
    b->setup_old_key = NULL;
    b->file_pages = setup->read_only ? 0 : vfs_count_grow(b->db, 0);
    quota_rooms(b);
    *ret = b;
    return ERR_OK;
}

void buffer_close(struct buffer *buffer)
{
    if (!buffer) {
        return;
    }
    sql_finalize_all(buffer);
    (void)sqlite3_close(buffer->db); /* all statements are finalized */
    vfs_count_close(buffer->vfs);
    memory_close(buffer);
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
    (void)snprintf(b->path, sizeof b->path, "%s", setup->path); /* for texts: cut is fine */
    b->setup_key = setup->key;
    b->setup_old_key = setup->old_key;
    enum err e = connect(b, setup, why);
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

bool buffer_boot_offset(const struct buffer *buffer, uint32_t boot, struct boot_offset *ret)
{
    for (uint32_t i = 0; i < buffer->state->boot_count; i++) {
        if (buffer->state->boots[i].boot == boot) {
            *ret = buffer->state->boots[i];
            return true;
        }
    }
    return false;
}

bool buffer_boot_is_forgotten(const struct buffer *buffer, uint32_t boot, int64_t *ret_until_us)
{
    const struct state *state = buffer->state;
    const struct boot_offset *lowest = NULL;
    for (uint32_t i = 0; i < state->boot_count; i++) {
        lowest = !lowest || state->boots[i].boot < lowest->boot ? &state->boots[i] : lowest;
    }
    if (state->boot_count < BOOT_COUNT_MAX || lowest->boot <= boot) {
        return false;
    }
    *ret_until_us = lowest->offset_us;
    return true;
}
