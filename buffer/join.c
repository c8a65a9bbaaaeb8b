/* Streams and uplinks have numbers for ever: who is new, who is called otherwise now, who left. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/machine.h"

/* --- numbers of names --- */

/* Runs a statement with a name, and a number if there is one. */
static enum err name_write(struct buffer *b, const char *sql, const char *name, int64_t number,
                           struct why *why)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(b->db, sql, -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        if (number) {
            sqlite3_bind_int64(s, 2, number);
        }
        (void)sqlite3_step(s); /* finalize repeats its error */
    }
    return sqlite3_finalize(s) == SQLITE_OK && sqlite3_errcode(b->db) == SQLITE_OK
               ? ERR_OK
               : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
}

/* 0: not known. */
static enum err uplink_find(struct buffer *b, const char *name, int64_t *ret, struct why *why)
{
    sqlite3_stmt *s = NULL;
    *ret = 0;
    if (sqlite3_prepare_v2(b->db, "SELECT id FROM uplink WHERE name=?", -1, &s, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        *ret = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    }
    return sqlite3_finalize(s) == SQLITE_OK && sqlite3_errcode(b->db) == SQLITE_OK
               ? ERR_OK
               : sql_error(b, sqlite3_extended_errcode(b->db), "reading", why);
}

void join_uplink_name(struct buffer *b, uint16_t number, char ret[UPLINK_NAME_SIZE])
{
    sqlite3_stmt *s = NULL;
    (void)snprintf(ret, UPLINK_NAME_SIZE, "number %u", number); /* fits */
    if (sqlite3_prepare_v2(b->db, "SELECT name FROM uplink WHERE id=?", -1, &s, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_int64(s, 1, number);
        if (sqlite3_step(s) == SQLITE_ROW) {
            (void)snprintf(ret, UPLINK_NAME_SIZE, "%s",
                           (const char *)sqlite3_column_text(s, 0)); /* for a text: cut is fine */
        }
    }
    (void)sqlite3_finalize(s); /* the number will do */
}

uint16_t buffer_uplink_number(const struct buffer *b, const char *name)
{
    for (size_t i = 0; i < b->uplink_count; i++) {
        if (strcmp(b->uplinks[i].name, name) == 0) {
            return b->uplinks[i].number;
        }
    }
    return 0;
}

enum err load_stream_names(struct buffer *b, struct why *why)
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

/* --- joining --- */

/* A number that no stream ever had; 0: there is none. */
static uint16_t number_unused(const struct buffer *b)
{
    uint16_t highest = STREAM_COUNT_MAX;
    while (highest > 0 && !b->streams[highest].name[0]) {
        highest--;
    }
    return highest < STREAM_COUNT_MAX ? (uint16_t)(highest + 1) : 0;
}

/* The number of a stream under its name, or under its earlier one, which it then has no longer; a
 * new one. */
static enum err stream_number(struct buffer *b, const struct buffer_stream *setup, uint16_t *ret,
                              struct why *why)
{
    *ret = buffer_stream_number(b, setup->name);
    if (*ret) {
        return ERR_OK;
    }
    *ret = setup->renamed_from ? buffer_stream_number(b, setup->renamed_from) : 0;
    if (b->read_only) {
        why_set(why, "%s has no stream %s", b->path, setup->name);
        return *ret ? ERR_OK : ERR_CLOSED;
    }
    if (*ret) {
        return name_write(b, "UPDATE stream SET name=? WHERE id=?", setup->name, *ret, why);
    }
    *ret = number_unused(b);
    if (*ret == 0) {
        why_set(why, "stream %s: the buffer has known %d streams, and never uses a number again",
                setup->name, STREAM_COUNT_MAX);
        return ERR_CONFIG;
    }
    return name_write(b, "INSERT INTO stream(name,id) VALUES(?,?)", setup->name, *ret, why);
}

static enum err stream_join(struct buffer *b, const struct buffer_stream *setup, struct why *why)
{
    uint16_t id = 0;
    enum err e = stream_number(b, setup, &id, why);
    if (e) {
        return e;
    }
    struct buffer_stream_slot *slot = &b->streams[id];
    (void)snprintf(slot->name, sizeof slot->name, "%s",
                   setup->name); /* names are shorter: config */
    slot->configured = true;
    slot->priority = setup->priority;
    slot->when_full = setup->when_full;
    slot->share_min = setup->share_min;
    slot->size_max = setup->size_max;
    slot->age_max_us = setup->age_max_us;
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
    if (b->state->owed_count == b->state->owed_max) {
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

static enum err uplink_number(struct buffer *b, const struct buffer_uplink *setup, int64_t *ret,
                              struct why *why)
{
    enum err e = uplink_find(b, setup->name, ret, why);
    if (!e && *ret == 0 && setup->renamed_from) {
        e = uplink_find(b, setup->renamed_from, ret, why);
        if (!e && *ret && !b->read_only) {
            e = name_write(b, "UPDATE uplink SET name=? WHERE id=?", setup->name, *ret, why);
        }
    }
    if (!e && *ret == 0 && !b->read_only) {
        e = name_write(b, "INSERT INTO uplink(name) VALUES(?)", setup->name, 0, why);
        *ret = sqlite3_last_insert_rowid(b->db);
    }
    if (!e && *ret > UINT16_MAX) {
        why_set(why, "%s has known more than 65535 uplinks", b->path);
        return ERR_CONFIG;
    }
    return e;
}

static enum err uplink_join(struct buffer *b, const struct buffer_setup *setup, size_t index,
                            struct why *why)
{
    const struct buffer_uplink *uplink = &setup->uplinks[index];
    struct buffer_uplink_slot *slot = &b->uplinks[index];
    int64_t id = 0;
    enum err e = uplink_number(b, uplink, &id, why);
    slot->number = (uint16_t)id;
    slot->hold_max = uplink->hold_max;
    (void)snprintf(slot->name, sizeof slot->name, "%s",
                   uplink->name); /* names are shorter: config */
    b->uplink_count = index + 1;
    for (size_t i = 0; !e && i < setup->stream_count; i++) {
        if (setup->streams[i].uplinks >> index & 1) {
            e = owed_join(b, (uint16_t)id, buffer_stream_number(b, setup->streams[i].name),
                          uplink->from_oldest, why);
        }
    }
    return e;
}

/* --- all of it --- */

size_t setup_pairs(const struct buffer_setup *setup)
{
    size_t pairs = 0;
    for (size_t i = 0; i < setup->stream_count; i++) {
        for (size_t u = 0; u < setup->uplink_count; u++) {
            pairs += setup->streams[i].uplinks >> u & 1;
        }
    }
    return pairs;
}

static enum err join_all(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < setup->stream_count; i++) {
        e = stream_join(b, &setup->streams[i], why);
    }
    for (size_t i = 0; !e && i < setup->uplink_count; i++) {
        e = uplink_join(b, setup, i, why);
    }
    return e;
}

/* The tail's records do not say who joined or left, nor that sequences were raised. From this commit
 * on a lost log is told. */
static enum err join_commit(struct buffer *b, bool *ret_joined, struct why *why)
{
    enum err e = ERR_OK;
    if (b->log_missing || b->log_damaged) {
        e = sql_exec(b, "UPDATE meta SET v=1 WHERE k='open'", why);
    }
    e = e ? e : b->joined ? commit_state(b, why) : sql_run(b, SQL_COMMIT, why);
    if (!e && ret_joined) {
        *ret_joined = true;
    }
    if (!e && b->joined && !(b->weak & WEAK_OLD_LOG)) {
        e = sql_restart(b, why); /* who has which number, and what is passed over of the sequences,
                                    outlives the log */
    }
    b->log_missing = b->log_missing && e;
    b->log_damaged = b->log_damaged && e;
    return e;
}

/* One transaction: a configuration that is refused has left nothing behind. */
enum err join_setup(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    if (setup->read_only) {
        return join_all(b, setup, why);
    }
    enum err e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : join_all(b, setup, why);
    e = e ? e : orphans_check(b, setup, why);
    e = e ? e : machine_join(b, setup, why);
    if (e) {
        return e; /* closing rolls back */
    }
    return join_commit(b, setup->ret_joined, why);
}

/* The uplink is in the list, or comes there. */
static enum err uplink_as_it_is(struct buffer *b, uint16_t number, struct why *why)
{
    for (size_t i = 0; i < b->uplink_count; i++) {
        if (b->uplinks[i].number == number) {
            return ERR_OK;
        }
    }
    if (b->uplink_count == UPLINK_COUNT_MAX) {
        why_set(why, "%s: the state has more than %d uplinks", b->path, UPLINK_COUNT_MAX);
        return ERR_CORRUPT;
    }
    struct buffer_uplink_slot *slot = &b->uplinks[b->uplink_count++];
    slot->number = number;
    slot->hold_max = 1000000;
    join_uplink_name(b, number, slot->name);
    return ERR_OK;
}

enum err join_as_it_is(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        b->streams[s].configured = b->state->streams[s].sequence_next > 0;
        b->streams[s].when_full = FULL_BLOCK;
    }
    for (uint32_t i = 0; !e && i < b->state->owed_count; i++) {
        e = uplink_as_it_is(b, b->state->owed[i].uplink, why);
    }
    if (e || b->read_only || (!b->joined && !setup->machine)) {
        return e;
    }
    e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : machine_join(b, setup, why);
    return e ? e : join_commit(b, NULL, why);
}
