/* What the file says about itself, for the command line. */
#include "buffer/look.h"

#include <stdio.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/machine.h"

/* --- names --- */

/* The text of one column of one row; "" when there is none. */
static void text_of(struct buffer *b, const char *sql, int64_t key, char *ret, size_t size)
{
    sqlite3_stmt *s = NULL;
    ret[0] = 0;
    if (sqlite3_prepare_v2(b->db, sql, -1, &s, NULL) == SQLITE_OK) {
        if (key) {
            sqlite3_bind_int64(s, 1, key);
        }
        if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) == SQLITE_TEXT) {
            (void)snprintf(ret, size, "%s", (const char *)sqlite3_column_text(s, 0)); /* cut */
        }
    }
    (void)sqlite3_finalize(s); /* a name that can't be read is none */
}

void buffer_agent_id(struct buffer *b, char *ret, size_t size)
{
    text_of(b, "SELECT v FROM meta WHERE k='agent'", 0, ret, size);
}

void buffer_uplink_name(struct buffer *b, uint16_t number, char ret[STREAM_NAME_SIZE_MAX])
{
    text_of(b, "SELECT name FROM uplink WHERE id=?", number, ret, STREAM_NAME_SIZE_MAX);
    if (!ret[0]) {
        (void)snprintf(ret, STREAM_NAME_SIZE_MAX, "number %u", number); /* fits */
    }
}

uint16_t buffer_uplink_find(struct buffer *b, const char *name)
{
    sqlite3_stmt *s = NULL;
    int64_t id = 0;
    if (sqlite3_prepare_v2(b->db, "SELECT id FROM uplink WHERE name=?", -1, &s, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        id = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    }
    (void)sqlite3_finalize(s); /* one that can't be read is not there */
    return id > 0 && id <= UINT16_MAX ? (uint16_t)id : 0;
}

bool buffer_carries(const struct buffer *b, uint16_t uplink, uint16_t stream)
{
    return state_owed(b->state, uplink, stream) != NULL;
}

/* The commit's own way, on the copy of the state that each commit makes anew. */
enum err buffer_orders_look(struct buffer *b, struct buffer_order *const *orders, size_t count,
                            struct why *why)
{
    struct record_writer writer;
    struct buffer_write write = {.orders = orders, .order_count = count};
    state_copy(b->next, b->state);
    b->record.size = 0;
    b->record.overflow = false;
    record_begin(&writer, &b->record, b->state->generation, b->next->commit, false);
    enum err e = orders_apply(b, &write, &writer, why);
    return e ? e : salvage_drop(b, &write, &writer, true, why);
}

/* --- rows --- */

static uint64_t sequence_of(int64_t id)
{
    return (uint64_t)id & ((UINT64_C(1) << 48) - 1);
}

/* One row at most, of ids from `a` on and up to `z`. ERR_CLOSED: none. */
static enum err row_find(struct buffer *b, const char *sql, int64_t a, int64_t z,
                         struct row_info *ret, struct why *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(b->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, a);
        sqlite3_bind_int64(s, 2, z);
        code = sqlite3_step(s);
    }
    if (code == SQLITE_ROW) {
        *ret = (struct row_info){.range = {sequence_of(sqlite3_column_int64(s, 0)),
                                           (uint64_t)sqlite3_column_int64(s, 1)},
                                 .schema = (uint32_t)sqlite3_column_int64(s, 2),
                                 .oldest_us = sqlite3_column_int64(s, 3),
                                 .newest_us = sqlite3_column_int64(s, 4),
                                 .raw_size = (uint64_t)sqlite3_column_int64(s, 5),
                                 .size = (uint64_t)sqlite3_column_int64(s, 6),
                                 .count = (uint64_t)sqlite3_column_int64(s, 7)};
    }
    (void)sqlite3_finalize(s); /* repeats the error that step() gave */
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "reading", why);
    }
    return code == SQLITE_ROW ? ERR_OK : ERR_CLOSED;
}

#define ROW_COLUMNS "SELECT id,last,schema,t0,t1,raw,length(body),abs(n) FROM batch "

static enum err sealed_next(struct buffer *b, uint16_t stream, uint64_t from, struct row_info *ret,
                            struct why *why)
{
    struct row_info row = {.is_tail = false};
    enum err e = row_find(b, ROW_COLUMNS "WHERE id>=?1 AND id<=?2 ORDER BY id DESC LIMIT 1",
                          row_id(stream, 0), row_id(stream, from), &row, why);
    if (e == ERR_CLOSED || (!e && row.range.last < from)) {
        e = row_find(b, ROW_COLUMNS "WHERE id>?1 AND id<?2 ORDER BY id LIMIT 1",
                     row_id(stream, from), row_id((uint16_t)(stream + 1), 0), &row, why);
    }
    if (!e && row.range.last < row.range.first) {
        row.range.last = row.range.first; /* damaged: the next one is looked for behind it */
    }
    if (!e) {
        *ret = row;
    }
    return e;
}

enum err buffer_row_next(struct buffer *b, uint16_t stream, uint64_t from, struct row_info *ret,
                         struct why *why)
{
    enum err e = sealed_next(b, stream, from, ret, why);
    if (e != ERR_CLOSED) {
        return e;
    }
    for (size_t i = 0; i < b->section_count; i++) {
        const struct tail_section *t = &b->sections[i];
        if (t->stream == stream && t->first + t->count > from) {
            *ret = (struct row_info){.is_tail = true,
                                     .schema = t->schema,
                                     .range = {t->first, t->first + t->count - 1},
                                     .count = t->count,
                                     .raw_size = t->size,
                                     .size = t->size};
            return ERR_OK;
        }
    }
    return ERR_CLOSED;
}

/* --- the whole file --- */

void buffer_figures(struct buffer *b, struct buffer_figures *ret)
{
    const struct state *state = b->state;
    sqlite3_file *wal = NULL;
    sqlite3_int64 wal_size = 0;
    if (sqlite3_file_control(b->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) == SQLITE_OK &&
        wal && wal->pMethods && wal->pMethods->xFileSize(wal, &wal_size) != SQLITE_OK) {
        wal_size = 0;
    }
    *ret = (struct buffer_figures){
        .page_size = PAGE_SIZE,
        .pages = (uint64_t)b->page_count,
        .free_pages = (uint64_t)b->freelist_count,
        .wal_size = (uint64_t)wal_size,
        .size_max = (uint64_t)b->size_max,
        .tail_size = b->tail_size,
        .commits = state->commit,
        .seals = state->generation,
        .aside_count = state->aside_count,
        .aside_dropped = state->aside_dropped,
        .parcels = state->parcel_count,
        .gaps = state->gap_count,
        .schemas = (uint32_t)sql_number(b, "SELECT count(*) FROM schema", 0),
        .boot = b->boot,
        .incarnation = b->incarnation,
    };
    machine_figures(b, ret);
    for (size_t i = 0; i < b->section_count; i++) {
        ret->tail_events += b->sections[i].count;
    }
}
