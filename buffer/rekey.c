#include "buffer/rekey.h"

#include <assert.h>
#include <string.h>

#include "buffer/internal.h"

#define STEP_SIZE (128 * 1024) /* bytes that one transaction writes, about */
#define STEP_COUNT 256         /* rows that it looks at */

enum phase { PHASE_TAIL, PHASE_CURSORS, PHASE_ROWS, PHASE_ASIDES, PHASE_KEYS, PHASE_LOG };

/* One step over one table. */
struct pass {
    struct buffer *b;
    struct buffer_rekey now; /* becomes the caller's with the commit */
    sqlite3_stmt *next;
    sqlite3_stmt *put;
    struct why *why;
};

/* The next row behind a place; a row written anew. */
static const char *const next_texts[] = {
    [PHASE_CURSORS] =
        "SELECT driver,k,crc,v FROM cursor WHERE (driver,k)>(?,?) ORDER BY driver,k LIMIT 1",
    [PHASE_ROWS] = "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch WHERE id>? ORDER BY id "
                   "LIMIT 1",
    [PHASE_ASIDES] = "SELECT id,t,stream,seq,source,uplink,kind,schema,reason,size,body,crc FROM "
                     "aside WHERE id>? ORDER BY id LIMIT 1",
};
static const char *const put_texts[] = {
    [PHASE_CURSORS] = "UPDATE cursor SET crc=?,v=? WHERE driver=? AND k=?",
    [PHASE_ROWS] = "UPDATE batch SET crc=?,body=? WHERE id=?",
    [PHASE_ASIDES] = "UPDATE aside SET crc=?,body=?,kind=?,source=?,reason=? WHERE id=?",
};

static struct slice column_slice(sqlite3_stmt *s, int column)
{
    const void *data = sqlite3_column_blob(s, column);
    return (struct slice){data, (size_t)sqlite3_column_bytes(s, column)};
}

/* Runs `put`, whose content is bound; what it is made of does not lie in `next` any more. */
static enum err pass_put(struct pass *p, uint32_t crc, struct slice content)
{
    (void)sqlite3_reset(p->next);
    sqlite3_bind_int64(p->put, 1, crc);
    sqlite3_bind_blob64(p->put, 2, content.size ? (const void *)content.data : "", content.size,
                        SQLITE_STATIC);
    int code = sqlite3_step(p->put);
    (void)sqlite3_reset(p->put); /* repeats the error that step() gave */
    p->now.written++;
    return code == SQLITE_DONE
               ? ERR_OK
               : sql_error(p->b, sqlite3_extended_errcode(p->b->db), "writing", p->why);
}

/* Content as it shall be, in memory of the buffer. ERR_CLOSED: it is so already. */
static enum err content_turn(struct buffer *b, struct slice beside, struct slice content,
                             bool is_encrypted, struct slice *ret)
{
    bool is_old = false;
    if (is_encrypted) {
        enum err e = content_read(b, beside, content, &content, &is_old);
        if (e) {
            return e;
        }
    }
    if (is_encrypted == crypt_writes(b->crypt) && !is_old) {
        return ERR_CLOSED;
    }
    *ret = content;
    if (crypt_writes(b->crypt)) {
        b->scratch.size = 0;
        b->scratch.overflow = false;
        out_put_slice(&b->scratch, content);
        if (b->scratch.overflow) {
            return ERR_CORRUPT; /* larger than anything that was ever written */
        }
        *ret = content_write(b, beside, out_slice(&b->scratch));
    }
    return ERR_OK;
}

static enum err turn_cursor(struct pass *p)
{
    struct buffer *b = p->b;
    uint8_t memory[ROW_BESIDE_SIZE];
    p->now.at[0] = sqlite3_column_int64(p->next, 0);
    p->now.at[1] = sqlite3_column_int64(p->next, 1);
    int64_t columns[6] = {p->now.at[0], p->now.at[1], CURSOR_IS_ENCRYPTED, 0, 0, 0};
    uint32_t crc = (uint32_t)sqlite3_column_int64(p->next, 2);
    struct slice value = column_slice(p->next, 3);
    struct slice beside = row_beside('C', 0, columns, memory);
    bool is_encrypted = row_crc(0, columns, value) == crc;
    columns[2] = is_encrypted ? CURSOR_IS_ENCRYPTED : 0;
    if (row_crc(0, columns, value) != crc) {
        return ERR_CORRUPT;
    }
    enum err e = content_turn(b, beside, value, is_encrypted, &value);
    if (e) {
        return e;
    }
    columns[2] = crypt_writes(b->crypt) ? CURSOR_IS_ENCRYPTED : 0;
    sqlite3_bind_int64(p->put, 3, p->now.at[0]);
    sqlite3_bind_int64(p->put, 4, p->now.at[1]);
    return pass_put(p, row_crc(0, columns, value), value);
}

static enum err turn_row(struct pass *p)
{
    uint8_t memory[ROW_BESIDE_SIZE];
    int64_t id = sqlite3_column_int64(p->next, 0);
    int64_t columns[6];
    for (int i = 0; i < 6; i++) {
        columns[i] = sqlite3_column_int64(p->next, 1 + i);
    }
    struct slice body = column_slice(p->next, 8);
    p->now.at[0] = id;
    if (row_crc(id, columns, body) != (uint32_t)sqlite3_column_int64(p->next, 7)) {
        return ERR_CORRUPT;
    }
    enum err e = content_turn(p->b, row_beside('B', id, columns, memory), body,
                              crypt_is_encrypted(body), &body);
    if (e) {
        return e;
    }
    sqlite3_bind_int64(p->put, 3, id);
    return pass_put(p, row_crc(id, columns, body), body);
}

static enum err turn_aside(struct pass *p)
{
    struct buffer *b = p->b;
    struct aside aside;
    int64_t columns[6];
    bool is_old = false;
    int64_t id = sqlite3_column_int64(p->next, 0);
    p->now.at[0] = id;
    aside_of(p->next, &aside);
    aside_columns(&aside, columns);
    if (row_crc(aside.time_us, columns, aside.body) !=
        (uint32_t)sqlite3_column_int64(p->next, 11)) {
        return ERR_CORRUPT;
    }
    bool is_encrypted = aside.kind & ASIDE_IS_ENCRYPTED;
    enum err e = aside_unpack(b, &aside, &is_old);
    if (e) {
        return e;
    }
    if (is_encrypted == crypt_writes(b->crypt) && !is_old) {
        return ERR_CLOSED;
    }
    aside = aside_stored(b, &aside);
    aside_columns(&aside, columns);
    sqlite3_bind_int64(p->put, 3, aside.kind);
    sqlite3_bind_text64(p->put, 4, (const char *)aside.source.data, aside.source.size,
                        SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text64(p->put, 5, (const char *)aside.reason.data, aside.reason.size,
                        SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(p->put, 6, id);
    return pass_put(p, row_crc(aside.time_us, columns, aside.body), aside.body);
}

/* --- a step --- */

static enum err (*const turns[])(struct pass *p) = {
    [PHASE_CURSORS] = turn_cursor, [PHASE_ROWS] = turn_row, [PHASE_ASIDES] = turn_aside};

/* The next row. ERR_CLOSED: there is none. */
static enum err pass_next(struct pass *p, size_t *size)
{
    enum phase phase = (enum phase)p->now.phase;
    uint64_t written = p->now.written;
    sqlite3_bind_int64(p->next, 1, p->now.at[0]);
    if (phase == PHASE_CURSORS) {
        sqlite3_bind_int64(p->next, 2, p->now.at[1]);
    }
    int code = sqlite3_step(p->next);
    if (code != SQLITE_ROW) {
        return code == SQLITE_DONE
                   ? ERR_CLOSED
                   : sql_error(p->b, sqlite3_extended_errcode(p->b->db), "reading", p->why);
    }
    size_t row_size = (size_t)sqlite3_column_bytes(p->next, phase == PHASE_CURSORS ? 3
                                                            : phase == PHASE_ROWS  ? 8
                                                                                   : 10);
    enum err e = turns[phase](p);
    (void)sqlite3_reset(p->next);
    p->now.damaged += e == ERR_CORRUPT;
    p->now.done++;
    *size += p->now.written > written ? row_size : 0;
    return e == ERR_CLOSED || e == ERR_CORRUPT ? ERR_OK : e;
}

static enum err pass_rows(struct pass *p)
{
    enum phase phase = (enum phase)p->now.phase;
    sqlite3 *db = p->b->db;
    size_t size = 0;
    if (sqlite3_prepare_v2(db, next_texts[phase], -1, &p->next, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, put_texts[phase], -1, &p->put, NULL) != SQLITE_OK) {
        return sql_error(p->b, sqlite3_extended_errcode(db), "reading", p->why);
    }
    enum err e = ERR_OK;
    for (unsigned i = 0; !e && i < STEP_COUNT && size < STEP_SIZE; i++) {
        e = pass_next(p, &size);
    }
    if (e == ERR_CLOSED) {
        p->now.phase++;
        p->now.at[0] = -1;
        p->now.at[1] = -1;
        e = ERR_OK;
    }
    return e;
}

/* One table, some of it. */
static enum err step_table(struct buffer *b, struct buffer_rekey *rekey, struct why *why)
{
    struct pass p = {.b = b, .now = *rekey, .why = why};
    enum err e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : pass_rows(&p);
    (void)sqlite3_finalize(p.next); /* step() gave their errors */
    (void)sqlite3_finalize(p.put);
    e = e ? e : sql_run(b, SQL_COMMIT, why);
    if (e) {
        commit_undo(b);
        return e;
    }
    *rekey = p.now;
    return ERR_OK;
}

/* What the tail holds becomes rows; no byte of it stays. */
static enum err step_tail(struct buffer *b, struct buffer_rekey *rekey, struct why *why)
{
    static const char wipe[] = "UPDATE tail SET body=zeroblob(163840)";
    static_assert(TAIL_BLOB_SIZE == 163840, "as large as the tail is");
    enum err e = sql_exec(b, "PRAGMA secure_delete=ON", why);
    e = e ? e : sql_run(b, SQL_BEGIN, why);
    e = e ? e : commit_state(b, why);
    e = e ? e : sql_wrote(b, sql_exec(b, wipe, why));
    if (e) {
        return e;
    }
    *rekey = (struct buffer_rekey){.phase = PHASE_CURSORS, .at = {-1, -1}};
    rekey->total =
        (uint64_t)sql_number(b,
                             "SELECT (SELECT count(*) FROM batch)+(SELECT count(*) FROM cursor)+"
                             "(SELECT count(*) FROM aside)",
                             0);
    return ERR_OK;
}

/* Nothing is under the old key any more, and set-aside events have another size. */
static enum err step_keys(struct buffer *b, struct buffer_rekey *rekey, struct why *why)
{
    enum err e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : keys_leave(b, why);
    if (e) {
        commit_undo(b);
        return e;
    }
    static_assert(ASIDE_MORE == 512, "as each is counted");
    b->state->aside_size =
        (uint64_t)sql_number(b, "SELECT coalesce(sum(length(body)+512),0) FROM aside", 0);
    e = commit_state(b, why);
    rekey->phase = e ? rekey->phase : PHASE_LOG;
    return e;
}

/* The log has what the pages were before, too. */
static enum err step_log(struct buffer *b, struct buffer_rekey *rekey, struct why *why)
{
    int code = sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code != SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "checkpointing", why);
    }
    rekey->finished = true;
    return ERR_OK;
}

enum err buffer_rekey_step(struct buffer *b, struct buffer_rekey *rekey, struct why *why)
{
    assert(!rekey->finished);
    enum err e = keys_may_change(b, why);
    e = e ? e : sql_mend(b, why);
    if (!e && b->wal_frames > 0) {
        e = sql_restart(b, why);
    }
    e = e ? e : quota_reserve(b, STEP_COUNT + RESERVE_PAGES, why);
    if (e) {
        return e;
    }
    switch ((enum phase)rekey->phase) {
    case PHASE_TAIL:
        e = step_tail(b, rekey, why);
        break;
    case PHASE_CURSORS:
    case PHASE_ROWS:
    case PHASE_ASIDES:
        e = step_table(b, rekey, why);
        break;
    case PHASE_KEYS:
        e = step_keys(b, rekey, why);
        break;
    case PHASE_LOG:
        e = step_log(b, rekey, why);
        break;
    }
    return e ? e : quota_measure(b, why);
}
