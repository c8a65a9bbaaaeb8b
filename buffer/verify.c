/* Is everything as it was written? Every row, cursor and set-aside event has a checksum, and so has
 * the state; rows are unpacked too. What has none is in SQLite's own pages, which it checks itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buffer/internal.h"
#include "buffer/look.h"
#include "ports/lib/crc32c.h"

#define PAGES_BAD_MAX 4000 /* what SQLite tells of a file at most */
#define PAGES_SAID_MAX 20

struct verifying {
    struct buffer *b;
    struct buffer_verify *v;
    void (*bad)(void *context, const char *place, const char *text);
    void *context;
    struct why *why;
};

static void say(struct verifying *v, const char *place, const char *text)
{
    v->v->bad++;
    v->bad(v->context, place, text);
}

static struct slice column_slice(sqlite3_stmt *s, int column)
{
    const void *data = sqlite3_column_blob(s, column);
    return (struct slice){data, (size_t)sqlite3_column_bytes(s, column)};
}

/* Ends a statement whose last step gave this code. A damaged page is a finding, not a failure. */
static enum err finish(struct verifying *v, sqlite3_stmt *s, int code, const char *table)
{
    int extended = sqlite3_extended_errcode(v->b->db);
    (void)sqlite3_finalize(s); /* repeats the error that step() gave */
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        return ERR_OK;
    }
    enum err e = sql_error(v->b, extended, "reading", v->why);
    if (e == ERR_CORRUPT) {
        say(v, table, "a page of the table is damaged: what lies behind it can't be reached");
        return ERR_OK;
    }
    return e;
}

/* --- the state and the tail --- */

/* Every record that was written since the seal, by its checksum. */
static bool records_are_whole(struct slice body, size_t size)
{
    while (size > 0) {
        uint32_t record;
        uint32_t crc;
        struct slice rest = body;
        if (!slice_take_u32_le(&rest, &record) || !slice_take_u32_le(&rest, &crc) || record < 8 ||
            record > size || record > body.size) {
            return false;
        }
        rest.size = record - 8;
        if (crc32c(0, rest) != crc) {
            return false;
        }
        body.data += record;
        body.size -= record;
        size -= record;
    }
    return true;
}

static enum err verify_state(struct verifying *v)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(v->b->db, "SELECT crc,v FROM state WHERE id=1", -1, &s, NULL);
    code = code == SQLITE_OK ? sqlite3_step(s) : code;
    if (code == SQLITE_ROW &&
        crc32c(0, column_slice(s, 1)) != (uint32_t)sqlite3_column_int64(s, 0)) {
        say(v, "state", "the snapshot's checksum is wrong");
    }
    enum err e = finish(v, s, code, "state");
    if (e || v->b->tail_size == 0) {
        return e;
    }
    code = sqlite3_prepare_v2(v->b->db, "SELECT body FROM tail WHERE id=1", -1, &s, NULL);
    code = code == SQLITE_OK ? sqlite3_step(s) : code;
    if (code == SQLITE_ROW) {
        if (!records_are_whole(column_slice(s, 0), v->b->tail_size)) {
            say(v, "tail", "its records are not what was written");
        }
    } else if (code == SQLITE_DONE) {
        say(v, "tail", "it is not there");
    }
    return finish(v, s, code, "tail");
}

/* --- rows --- */

static const char *row_fault(struct verifying *v, sqlite3_stmt *s, uint64_t *ret_count)
{
    struct row row;
    struct stored_event event;
    enum err e = row_take(v->b, s, 0, &row);
    *ret_count = 0;
    while (!e && (e = event_run_take(&row.events, &event)) == ERR_OK) {
        *ret_count += 1;
    }
    return e == ERR_CLOSED  ? NULL
           : e == ERR_NOMEM ? "there is no memory to unpack it"
                            : "its checksum is wrong, or its events can't be read";
}

static void verify_row(struct verifying *v, sqlite3_stmt *s)
{
    uint64_t count = 0;
    const char *fault = row_fault(v, s, &count);
    v->v->rows++;
    v->v->events += count;
    if (fault) {
        char place[160];
        uint64_t first = (uint64_t)sqlite3_column_int64(s, 0) & ((UINT64_C(1) << 48) - 1);
        (void)snprintf(place, sizeof place, "stream %s, sequences %" PRIu64 "..%" PRId64,
                       buffer_stream_name(v->b, v->v->stream), first,
                       (int64_t)sqlite3_column_int64(s, 1)); /* fits */
        say(v, place, fault);
    }
}

/* One row of the stream that is looked at, or the next stream. ERR_CLOSED: that was the last. */
static enum err verify_rows(struct verifying *v)
{
    struct buffer_verify *at = v->v;
    sqlite3_stmt *s = NULL;
    while (at->stream == 0 || !buffer_stream_name(v->b, at->stream)[0]) {
        if (at->stream == STREAM_COUNT_MAX) {
            return ERR_CLOSED;
        }
        at->stream++;
        at->after = -1;
    }
    int64_t from = at->after < 0 ? row_id(at->stream, 0) - 1 : at->after;
    int code = sqlite3_prepare_v2(v->b->db,
                                  "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch WHERE "
                                  "id>? AND id<? ORDER BY id LIMIT 1",
                                  -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, from);
        sqlite3_bind_int64(s, 2, row_id((uint16_t)(at->stream + 1), 0));
        code = sqlite3_step(s);
    }
    bool found = code == SQLITE_ROW;
    if (found) {
        at->after = sqlite3_column_int64(s, 0);
        verify_row(v, s);
    }
    enum err e = finish(v, s, code, "batch");
    if (!e && !found) {
        at->stream++; /* to its next, or the end */
        at->after = -1;
        return at->stream > STREAM_COUNT_MAX ? ERR_CLOSED : ERR_OK;
    }
    return e;
}

/* --- cursors and set-aside events --- */

static enum err verify_cursors(struct verifying *v)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(v->b->db, "SELECT driver,k,crc,v FROM cursor", -1, &s, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(s);
        if (code != SQLITE_ROW) {
            break;
        }
        int64_t columns[6] = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
        uint32_t crc = (uint32_t)sqlite3_column_int64(s, 2);
        bool is_whole = row_crc(0, columns, column_slice(s, 3)) == crc;
        columns[2] = CURSOR_IS_ENCRYPTED;
        v->v->cursors++;
        if (!is_whole && row_crc(0, columns, column_slice(s, 3)) != crc) {
            char place[80];
            (void)snprintf(place, sizeof place, "cursor %" PRId64 " of driver %" PRId64, columns[1],
                           columns[0]); /* fits */
            say(v, place, "its checksum is wrong");
        }
    }
    return finish(v, s, code, "cursor");
}

static bool aside_is_whole(sqlite3_stmt *s)
{
    const int64_t columns[6] = {sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3),
                                sqlite3_column_int64(s, 4), sqlite3_column_int64(s, 5),
                                sqlite3_column_int64(s, 6), sqlite3_column_int64(s, 7)};
    return row_crc(sqlite3_column_int64(s, 1), columns, column_slice(s, 9)) ==
           (uint32_t)sqlite3_column_int64(s, 8);
}

/* ERR_CLOSED: that was the last. */
static enum err verify_aside(struct verifying *v)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(v->b->db,
                                  "SELECT id,t,stream,seq,uplink,kind,schema,size,crc,body FROM "
                                  "aside WHERE id>? ORDER BY id LIMIT 1",
                                  -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, v->v->after);
        code = sqlite3_step(s);
    }
    bool found = code == SQLITE_ROW;
    if (found) {
        v->v->after = sqlite3_column_int64(s, 0);
        v->v->asides++;
        if (!aside_is_whole(s)) {
            char place[60];
            (void)snprintf(place, sizeof place, "set-aside event %" PRId64, v->v->after); /* fits */
            say(v, place, "its checksum is wrong");
        }
    }
    enum err e = finish(v, s, code, "aside");
    return e || found ? e : ERR_CLOSED;
}

/* --- pages --- */

struct pages_told {
    unsigned unreached; /* by any table */
    unsigned said;
    unsigned unsaid;
};

/* SQLite tells of each page behind a damaged one that nothing uses it: true, and all of it is told with
 * that one. */
static void verify_line(struct verifying *v, struct pages_told *told, const char *line, size_t size)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%.*s", (int)size, line); /* cut is fine */
    if (size == 0 || strcmp(text, "ok") == 0 || strncmp(text, "*** in database", 15) == 0) {
        return;
    }
    if (strstr(text, "never used")) {
        told->unreached++;
    } else if (told->said == PAGES_SAID_MAX) {
        told->unsaid++;
    } else {
        told->said++;
        say(v, "pages", text);
    }
}

static void verify_sums(struct verifying *v, const struct pages_told *told)
{
    char text[100];
    bool is_cut = told->unreached + told->said + told->unsaid >= PAGES_BAD_MAX;
    if (told->unsaid > 0) {
        (void)snprintf(text, sizeof text, "and %u findings more", told->unsaid); /* fits */
        say(v, "pages", text);
    }
    if (told->unreached > 0) {
        (void)snprintf(text, sizeof text, "%u pages%s can't be reached any more", told->unreached,
                       is_cut ? " or more" : ""); /* fits */
        say(v, "pages", text);
    }
}

static enum err verify_pages(struct verifying *v)
{
    sqlite3_stmt *s = NULL;
    struct pages_told told = {0};
    char sql[40];
    (void)snprintf(sql, sizeof sql, "PRAGMA quick_check(%d)", PAGES_BAD_MAX); /* fits */
    int code = sqlite3_prepare_v2(v->b->db, sql, -1, &s, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(s);
        const char *line = code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
        while (line && line[0]) {
            size_t size = strcspn(line, "\n");
            verify_line(v, &told, line, size);
            line += size + (line[size] != 0);
        }
    }
    verify_sums(v, &told);
    return finish(v, s, code, "pages");
}

enum err buffer_verify_step(struct buffer *b, struct buffer_verify *verify,
                            void (*bad)(void *context, const char *place, const char *text),
                            void *context, struct why *why)
{
    struct verifying v = {b, verify, bad, context, why};
    enum err e = ERR_OK;
    switch (verify->stage) {
    case VERIFY_STATE:
        e = verify_state(&v);
        e = e ? e : ERR_CLOSED;
        break;
    case VERIFY_ROWS:
        e = verify_rows(&v);
        break;
    case VERIFY_CURSORS:
        e = verify_cursors(&v);
        e = e ? e : ERR_CLOSED;
        break;
    case VERIFY_ASIDE:
        e = verify_aside(&v);
        break;
    case VERIFY_PAGES:
        e = verify->with_pages ? verify_pages(&v) : ERR_OK;
        return e ? e : ERR_CLOSED;
    }
    if (e == ERR_CLOSED) {
        verify->stage++;
        verify->after = 0;
        e = ERR_OK;
    }
    return e;
}
