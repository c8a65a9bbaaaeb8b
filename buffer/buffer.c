/* Opening and closing; what is constant while it is open. */
#include "buffer/buffer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "ports/lib/crc32c.h"
#include "ports/random.h"

#define OWED_START 64

static_assert(WRITE_SIZE_MAX < RECORD_SIZE_MAX, "a write batch fits a record");
static_assert(RECORD_SIZE_MAX < TAIL_BLOB_SIZE, "a record fits the tail");

/* --- memory --- */

static enum err memory_open(struct buffer *b)
{
    size_t record = RECORD_SIZE_MAX + (size_t)b->event_size_max + STATE_SIZE_MAX;
    b->tail_memory = malloc(TAIL_BLOB_SIZE);
    b->sections = malloc(TAIL_SECTION_MAX * sizeof *b->sections);
    b->changed = calloc(CHANGED_CURSOR_MAX, sizeof *b->changed);
    b->record = out_over(malloc(record), record);
    b->scratch = out_over(malloc(record), record);
    b->packed = out_over(malloc(zstd_bound(record)), zstd_bound(record));
    if (!b->tail_memory || !b->sections || !b->changed || !b->record.data || !b->scratch.data ||
        !b->packed.data) {
        return ERR_NOMEM;
    }
    enum err e = zstd_encoder_open(&b->encoder, SEAL_LEVEL);
    return e ? e : zstd_decoder_open(&b->decoder);
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
    zstd_encoder_close(b->encoder);
    zstd_decoder_close(b->decoder);
    state_close(b->state);
    state_close(b->next);
}

/* --- numbers of names --- */

static enum err name_add(struct buffer *b, const char *table, const char *name, int64_t *ret,
                         struct why *why)
{
    char sql[96];
    sqlite3_stmt *s = NULL;
    (void)snprintf(sql, sizeof sql, "INSERT INTO %s(name) VALUES(?)", table); /* fits */
    if (sqlite3_prepare_v2(b->db, sql, -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        (void)sqlite3_step(s); /* finalize repeats its error */
    }
    if (sqlite3_finalize(s) != SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
    }
    *ret = sqlite3_last_insert_rowid(b->db);
    return ERR_OK;
}

static int64_t name_number(struct buffer *b, const char *table, const char *name)
{
    char sql[96];
    sqlite3_stmt *s = NULL;
    int64_t id = 0;
    (void)snprintf(sql, sizeof sql, "SELECT id FROM %s WHERE name=?", table); /* fits */
    if (sqlite3_prepare_v2(b->db, sql, -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        id = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    }
    (void)sqlite3_finalize(s);
    return id;
}

static enum err load_stream_names(struct buffer *b, struct why *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(b->db, "SELECT id,name FROM stream", -1, &s, NULL);
    while (code == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(s, 0);
        struct slice name = slice_of_text((const char *)sqlite3_column_text(s, 1));
        if (id < 1 || id > STREAM_COUNT_MAX ||
            !slice_to_text(name, b->streams[id].name, STREAM_NAME_SIZE_MAX)) {
            code = SQLITE_CORRUPT;
        }
    }
    int ended = sqlite3_finalize(s);
    code = code ? code : ended;
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "opening", why);
}

static enum err stream_join(struct buffer *b, const struct buffer_stream *setup, struct why *why)
{
    int64_t id = buffer_stream_number(b, setup->name);
    enum err e = id == 0 && !b->read_only ? name_add(b, "stream", setup->name, &id, why) : ERR_OK;
    if (e) {
        return e;
    }
    if (id < 1 || id > STREAM_COUNT_MAX) {
        why_set(why, "stream %s: the buffer has known %d streams, and never uses a number again",
                setup->name, STREAM_COUNT_MAX);
        return id ? ERR_CONFIG : ERR_CLOSED;
    }
    struct buffer_stream_slot *slot = &b->streams[id];
    (void)snprintf(slot->name, sizeof slot->name, "%s",
                   setup->name); /* names are shorter: config */
    slot->configured = true;
    slot->priority = setup->priority;
    slot->when_full = setup->when_full;
    slot->share_min = setup->share_min;
    slot->size_max = setup->size_max;
    slot->is_own = setup->is_own;
    if (b->state->streams[id].sequence_next == 0) {
        b->state->streams[id].sequence_next = 1;
        b->joined = true;
    }
    return ERR_OK;
}

static enum err lowest_stored(struct buffer *b, uint16_t stream, uint64_t *ret, struct why *why)
{
    struct row_place row;
    enum err e = row_lowest(b, stream, &row, why);
    if (e && e != ERR_CLOSED) {
        return e;
    }
    *ret = e ? UINT64_MAX : row.range.first;
    for (size_t i = 0; i < b->section_count; i++) {
        if (b->sections[i].stream == stream && b->sections[i].first < *ret) {
            *ret = b->sections[i].first;
        }
    }
    return ERR_OK;
}

static enum err owed_join(struct buffer *b, uint16_t uplink, uint16_t stream, bool from_oldest,
                          struct why *why)
{
    uint64_t lowest = 0;
    if (state_owed(b->state, uplink, stream)) {
        return ERR_OK;
    }
    if (b->state->owed_count == b->owed_max) {
        return ERR_FULL;
    }
    enum err e = lowest_stored(b, stream, &lowest, why);
    if (e) {
        return e;
    }
    b->joined = true;
    struct owed *owed = &b->state->owed[b->state->owed_count++];
    *owed = (struct owed){.uplink = uplink, .stream = stream};
    if (from_oldest && lowest < b->state->streams[stream].sequence_next) {
        owed_add(owed, (struct range){lowest, b->state->streams[stream].sequence_next - 1});
    }
    return ERR_OK;
}

static enum err uplink_join(struct buffer *b, const struct buffer_setup *setup, size_t index,
                            struct why *why)
{
    const struct buffer_uplink *uplink = &setup->uplinks[index];
    int64_t id = name_number(b, "uplink", uplink->name);
    enum err e = id == 0 && !b->read_only ? name_add(b, "uplink", uplink->name, &id, why) : ERR_OK;
    b->uplinks[index] = (struct buffer_uplink_slot){(uint16_t)id, uplink->hold_max};
    b->uplink_count = index + 1;
    for (size_t i = 0; !e && i < setup->stream_count; i++) {
        if (setup->streams[i].uplinks >> index & 1) {
            e = owed_join(b, (uint16_t)id, buffer_stream_number(b, setup->streams[i].name),
                          uplink->from_oldest, why);
        }
    }
    return e;
}

static bool setup_carries(const struct buffer *b, const struct buffer_setup *setup,
                          const struct owed *owed)
{
    for (size_t u = 0; u < setup->uplink_count; u++) {
        for (size_t i = 0; b->uplinks[u].number == owed->uplink && i < setup->stream_count; i++) {
            bool carried = setup->streams[i].uplinks >> u & 1;
            if (carried && buffer_stream_number(b, setup->streams[i].name) == owed->stream) {
                return true;
            }
        }
    }
    return false;
}

/* Nobody wants it any more: its open parcel, if there is one, goes with it. */
static void owed_let_go(struct state *state, const struct owed *owed)
{
    struct part_done done = {.uplink = owed->uplink, .stream = owed->stream, .lane = LANE_FRESH};
    const struct parcel *parcel = state_parcel(state, owed->uplink, owed->stream, LANE_FRESH);
    for (uint32_t left = parcel ? parcel->part_count : 0; left > 0; left--) {
        done.part = left - 1;
        state_part_done(state, &done); /* the last one closes the parcel */
    }
}

/* What is owed, and nobody in the configuration would deliver it. */
static enum err check_orphans(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    struct state *state = b->state;
    for (uint32_t i = 0; i < state->owed_count;) {
        struct owed *owed = &state->owed[i];
        if (setup_carries(b, setup, owed)) {
            i++;
            continue;
        }
        uint64_t count = owed_event_count(owed);
        if (count > 0 && !b->streams[owed->stream].is_own) {
            why_set(why,
                    "%s still has %" PRIu64 " events of stream %s for uplink number %u, which the "
                    "configuration does not carry any more: "
                    "bring the stream or uplink back until they are delivered, or take another "
                    "buffer path",
                    b->path, count, b->streams[owed->stream].name, owed->uplink);
            return ERR_CONFIG;
        }
        b->joined = true;
        owed_let_go(state, owed);
        state->owed_count--;
        memmove(owed, owed + 1, (state->owed_count - i) * sizeof *owed);
    }
    return ERR_OK;
}

/* --- the state: snapshot, then the tail's records --- */

static enum err state_load(struct buffer *b, struct slice snapshot, bool found)
{
    for (;;) {
        enum err e = state_open(&b->state, b->owed_max);
        e = e ? e : state_open(&b->next, b->owed_max);
        if (!e && found) {
            e = state_decode(b->state, b->owed_max - OWED_START, snapshot);
        }
        if (e != ERR_FULL) {
            return e;
        }
        state_close(b->state);
        state_close(b->next);
        b->state = NULL;
        b->next = NULL;
        b->owed_max *= 2;
    }
}

static enum err state_read(struct buffer *b, size_t owed_needed, struct why *why)
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
    }
    b->owed_max = owed_needed + 2 * OWED_START;
    e = e ? e : state_load(b, snapshot, found);
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
    if (code == SQLITE_OK && sqlite3_blob_bytes(blob) != TAIL_BLOB_SIZE) {
        code = SQLITE_CORRUPT;
    }
    if (code == SQLITE_OK) {
        code = sqlite3_blob_read(blob, b->tail_memory, TAIL_BLOB_SIZE, 0);
    }
    (void)sqlite3_blob_close(blob);
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "opening", why);
}

static enum err tail_replay(struct buffer *b, struct why *why)
{
    enum err e = tail_read(b, why);
    while (!e && b->tail_size < TAIL_BLOB_SIZE) {
        struct slice rest = {b->tail_memory + b->tail_size, TAIL_BLOB_SIZE - b->tail_size};
        struct slice sections;
        size_t size;
        e = record_check(rest, b->state->generation, b->state->commit + 1, &sections, &size);
        if (e == ERR_CLOSED) {
            return ERR_OK;
        }
        e = e ? e : apply_sections(b->state, sections);
        if (e) {
            why_set(why, "%s: a record of the tail is %s", b->path,
                    e == ERR_VERSION ? "of a newer version" : "damaged");
            return e;
        }
        e = keep_reserve(b, sections_count(sections, SECTION_CURSOR));
        if (e) {
            return e;
        }
        b->state->commit++;
        keep_sections(b, sections, b->tail_size + RECORD_HEAD_SIZE);
        b->tail_size += size;
    }
    return e;
}

/* --- the boot commit --- */

/* One transaction: what the database is made with, if a cut left it without, and the counter. */
static enum err boot_commit(struct buffer *b, const char *agent_id, struct why *why)
{
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "BEGIN IMMEDIATE; INSERT OR IGNORE INTO meta VALUES('incarnation',%" PRIu32
                   "),('boot',0); UPDATE meta SET v=v+1 WHERE k='boot'",
                   random_u32()); /* fits */
    enum err e = sql_exec(b, sql, why);
    if (!e && agent_id) {
        sqlite3_stmt *s = NULL;
        if (sqlite3_prepare_v2(b->db, "INSERT OR REPLACE INTO meta VALUES('agent',?)", -1, &s,
                               NULL) == SQLITE_OK) {
            sqlite3_bind_text(s, 1, agent_id, -1, SQLITE_STATIC);
            (void)sqlite3_step(s); /* finalize repeats its error */
        }
        e = sqlite3_finalize(s) == SQLITE_OK
                ? ERR_OK
                : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
    }
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

static enum err connect(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    enum err e = vfs_count_open(&b->vfs, setup->vfs, b->weak & WEAK_PSOW);
    if (e) {
        why_set(why, "no file system layer \"%s\"", setup->vfs ? setup->vfs : "default");
        return e;
    }
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (setup->read_only ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(setup->path, &b->db, flags, vfs_count_name(b->vfs));
    if (code != SQLITE_OK) {
        return sql_error(b, b->db ? sqlite3_extended_errcode(b->db) : code, "opening", why);
    }
    (void)sqlite3_extended_result_codes(b->db, 1); /* can't fail */
    return ERR_OK;
}

static enum err recover(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    size_t pairs = setup->stream_count * (setup->uplink_count ? setup->uplink_count : 1);
    enum err e = ERR_OK;
    if (setup->read_only) {
        (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                                NULL); /* a closing tool changes nothing */
    } else {
        (void)sqlite3_wal_hook(b->db, on_commit, b);
        bool restarts = !(b->weak & WEAK_OLD_LOG);
        e = restarts && !(b->weak & WEAK_BOOT_FIRST) ? sql_restart(b, why) : ERR_OK;
        e = e ? e : boot_commit(b, setup->agent_id, why);
        e = e || !restarts ? e : sql_restart(b, why);
        e = e ? e : settings_warm_wal(b, why);
    }
    e = e ? e : sql_prepare_all(b, why);
    e = e ? e : state_read(b, pairs, why);
    e = e ? e : tail_replay(b, why);
    e = e ? e : load_stream_names(b, why);
    b->incarnation = (uint32_t)sql_number(b, "SELECT v FROM meta WHERE k='incarnation'", 0);
    b->boot = (uint32_t)sql_number(b, "SELECT v FROM meta WHERE k='boot'", 0);
    return e ? e : quota_measure(b, why);
}

static enum err join_setup(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < setup->stream_count; i++) {
        e = stream_join(b, &setup->streams[i], why);
    }
    for (size_t i = 0; !e && i < setup->uplink_count; i++) {
        e = uplink_join(b, setup, i, why);
    }
    if (!e && !setup->read_only) {
        e = check_orphans(b, setup, why);
    }
    if (!e && !setup->read_only && b->joined) {
        e = commit_state(b, why); /* the tail's records do not say who joined or left */
    }
    if (!e && !setup->read_only) {
        b->file_pages = vfs_count_grow(b->db, 0);
    }
    quota_rooms(b);
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
    bool is_new = false;
    (void)snprintf(b->path, sizeof b->path, "%s", setup->path); /* for texts: cut is fine */
    b->read_only = setup->read_only;
    b->weak = setup->weak;
    b->size_max = setup->size_max;
    b->event_size_max = setup->event_size_max;
    b->page_max = (setup->size_max - WAL_WARM_SIZE -
                   (setup->event_size_max > EVENT_SIZE_DEFAULT ? setup->event_size_max : 0)) /
                  PAGE_SIZE;
    enum err e = b->page_max < 4 * RESERVE_PAGES ? ERR_CONFIG : memory_open(b);
    if (e == ERR_CONFIG) {
        why_set(why, "size_max of %lld bytes is too small: at least 4 MiB",
                (long long)setup->size_max);
    }
    e = e ? e : connect(b, setup, why);
    e = e ? e : settings_check_file(b, &is_new, why);
    e = e ? e : settings_apply(b, is_new, why);
    e = e ? e : recover(b, setup, why);
    e = e ? e : join_setup(b, setup, why);
    if (e) {
        buffer_close(b);
        return e;
    }
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

/* --- what is constant --- */

uint32_t buffer_incarnation(const struct buffer *buffer)
{
    return buffer->incarnation;
}

uint32_t buffer_boot(const struct buffer *buffer)
{
    return buffer->boot;
}

uint16_t buffer_uplink_number(const struct buffer *b, const char *name)
{
    sqlite3_stmt *s = NULL;
    uint16_t number = 0;
    if (sqlite3_prepare_v2(b->db, "SELECT id FROM uplink WHERE name=?", -1, &s, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        number = sqlite3_step(s) == SQLITE_ROW ? (uint16_t)sqlite3_column_int64(s, 0) : 0;
    }
    (void)sqlite3_finalize(s);
    return number;
}

void buffer_parcel_each(struct buffer *buffer,
                        void (*each)(void *context, const struct parcel *parcel), void *context)
{
    for (uint32_t i = 0; i < buffer->state->parcel_count; i++) {
        each(context, &buffer->state->parcels[i]);
    }
}

bool buffer_boot_offset(const struct buffer *buffer, uint32_t boot, int64_t *ret_offset_us)
{
    for (uint32_t i = 0; i < buffer->state->boot_count; i++) {
        if (buffer->state->boots[i].boot == boot) {
            *ret_offset_us = buffer->state->boots[i].offset_us;
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
