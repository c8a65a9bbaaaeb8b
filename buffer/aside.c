/* Set-aside events: rows of a table of their own, at most 5 % of the cap. Of them the oldest give
 * way, and are counted.
 *
 * A row's body has, one behind the other, what its kind's bits say: encrypted, together, source and
 * reason, each behind its uvarint size, for they may have a part of the payload in them; a head, behind
 * its uvarint size; and the event's own body. */
#include <assert.h>
#include <string.h>

#include "buffer/evict.h"

static struct slice column_slice(sqlite3_stmt *s, int column)
{
    const void *data = sqlite3_column_blob(s, column);
    return (struct slice){data, (size_t)sqlite3_column_bytes(s, column)};
}

void aside_columns(const struct aside *aside, int64_t ret[6])
{
    const int64_t columns[6] = {aside->stream, (int64_t)aside->sequence, aside->uplink, aside->kind,
                                aside->schema, (int64_t)aside->size};
    memcpy(ret, columns, sizeof columns);
}

/* --- as it is stored --- */

static void put_sized(struct out *o, struct slice s)
{
    out_put_uvarint(o, s.size);
    out_put_slice(o, s);
}

struct aside aside_stored(struct buffer *b, const struct aside *aside)
{
    struct aside a = *aside;
    struct out *o = &b->scratch;
    assert(a.kind <= ASIDE_DATUM && a.head.size <= ASIDE_HEAD_SIZE_MAX);
    a.source.size = a.source.size > ASIDE_BODY_SIZE_MAX ? ASIDE_BODY_SIZE_MAX : a.source.size;
    a.body.size = a.body.size > ASIDE_BODY_SIZE_MAX ? ASIDE_BODY_SIZE_MAX : a.body.size;
    a.reason.size = a.reason.size > REASON_SIZE_MAX ? REASON_SIZE_MAX : a.reason.size;
    if (!crypt_writes(b->crypt) && a.head.size == 0) {
        return a;
    }
    o->size = 0;
    o->overflow = false;
    if (crypt_writes(b->crypt)) {
        put_sized(o, a.source);
        put_sized(o, a.reason);
        a.kind |= ASIDE_IS_ENCRYPTED;
        a.source = SLICE("");
        a.reason = SLICE("");
    }
    if (a.head.size > 0) {
        put_sized(o, a.head);
        a.kind |= ASIDE_HAS_HEAD;
        a.head = (struct slice){NULL, 0};
    }
    out_put_slice(o, a.body);
    assert(!o->overflow);
    a.body = out_slice(o);
    if (crypt_writes(b->crypt)) {
        int64_t columns[6];
        uint8_t beside[ROW_BESIDE_SIZE];
        aside_columns(&a, columns);
        a.body = content_write(b, row_beside('X', a.time_us, columns, beside), a.body);
    }
    return a;
}

enum err aside_insert(struct buffer *b, const struct aside *stored, int64_t *size, struct why *why)
{
    sqlite3_stmt *s = b->statements[SQL_ASIDE_INSERT];
    const struct aside a = *stored;
    int64_t columns[6];
    aside_columns(&a, columns);
    *size += (int64_t)a.body.size + ASIDE_MORE;
    sqlite3_bind_int64(s, 1, a.time_us);
    sqlite3_bind_int64(s, 2, a.stream);
    sqlite3_bind_int64(s, 3, (int64_t)a.sequence);
    sqlite3_bind_text64(s, 4, (const char *)a.source.data, a.source.size, SQLITE_STATIC,
                        SQLITE_UTF8);
    sqlite3_bind_int64(s, 5, a.uplink);
    sqlite3_bind_int64(s, 6, a.kind);
    sqlite3_bind_int64(s, 7, a.schema);
    sqlite3_bind_text64(s, 8, (const char *)a.reason.data, a.reason.size, SQLITE_STATIC,
                        SQLITE_UTF8);
    sqlite3_bind_int64(s, 9, (int64_t)a.size);
    sqlite3_bind_int64(s, 10, row_crc(a.time_us, columns, a.body));
    sqlite3_bind_blob64(s, 11, a.body.size ? (const void *)a.body.data : "", a.body.size,
                        SQLITE_STATIC);
    return sql_run(b, SQL_ASIDE_INSERT, why);
}

size_t aside_size_bound(const struct buffer *b, const struct aside *a)
{
    size_t size = a->body.size > ASIDE_BODY_SIZE_MAX ? ASIDE_BODY_SIZE_MAX : a->body.size;
    size += a->head.size ? a->head.size + 10 : 0;
    return size + ASIDE_MORE +
           (crypt_writes(b->crypt) ? a->source.size + REASON_SIZE_MAX + CRYPT_MORE + 20 : 0);
}

/* --- in a commit --- */

/* The oldest, or the one of this id. *ret_size: what it took; 0: there is none. */
static enum err aside_find(struct buffer *b, enum statement which, int64_t *id, int64_t *ret_size,
                           struct why *why)
{
    sqlite3_stmt *s = b->statements[which];
    int code = sqlite3_step(s);
    bool found = code == SQLITE_ROW;
    *id = found ? sqlite3_column_int64(s, 0) : 0;
    *ret_size = found ? sqlite3_column_int64(s, 1) + ASIDE_MORE : 0;
    sql_reset(b, which);
    return found || code == SQLITE_DONE
               ? ERR_OK
               : sql_error(b, sqlite3_extended_errcode(b->db), "reading", why);
}

static enum err aside_delete(struct buffer *b, int64_t id, struct why *why)
{
    sqlite3_bind_int64(b->statements[SQL_ASIDE_DELETE], 1, id);
    return sql_run(b, SQL_ASIDE_DELETE, why);
}

/* The oldest ones that have to go so that the new ones stay within 5 %. */
static enum err aside_make_room(struct buffer *b, uint64_t size, int64_t *ret_count,
                                int64_t *ret_size, struct why *why)
{
    uint64_t most = (uint64_t)b->size_max / 20;
    *ret_count = 0;
    *ret_size = 0;
    while (b->next->aside_size + size > most + (uint64_t)*ret_size &&
           b->next->aside_count > (uint64_t)*ret_count) {
        int64_t id = 0;
        int64_t gone = 0;
        enum err e = aside_find(b, SQL_ASIDE_OLDEST, &id, &gone, why);
        if (e || gone == 0) {
            return e;
        }
        e = aside_delete(b, id, why);
        if (e) {
            return e;
        }
        *ret_count += 1;
        *ret_size += gone;
    }
    return ERR_OK;
}

/* What of the record stands there from `from` on is applied to the copy of the state. */
static enum err apply_from(struct buffer *b, size_t from)
{
    struct slice sections = {b->record.data + from, b->record.size - from};
    return b->record.overflow ? ERR_OK : apply_sections(b->next, sections);
}

static enum err put_new(struct buffer *b, const struct buffer_write *w,
                        struct record_writer *record, struct why *why)
{
    int64_t gone_count = 0;
    int64_t gone_size = 0;
    uint64_t most = 0;
    int64_t size = 0;
    size_t before = b->record.size;
    for (size_t i = 0; i < w->aside_count; i++) {
        most += aside_size_bound(b, &w->asides[i]);
    }
    enum err e = aside_make_room(b, most, &gone_count, &gone_size, why);
    for (size_t i = 0; !e && i < w->aside_count; i++) {
        const struct aside stored = aside_stored(b, &w->asides[i]);
        e = aside_insert(b, &stored, &size, why);
    }
    record_put_aside(record, (int64_t)w->aside_count - gone_count, size - gone_size,
                     (uint64_t)gone_count);
    return e ? e : apply_from(b, before);
}

/* What was put in its place is owed to nobody but the uplink that refused it. */
static void owe_to_one(struct buffer *b, const struct buffer_order *o, struct record_writer *record)
{
    for (uint32_t i = 0; i < b->next->owed_count; i++) {
        const struct owed *owed = &b->next->owed[i];
        struct owed_end end = {owed->uplink, owed->stream, o->range};
        if (owed->stream == o->stream && owed->uplink != o->uplink && owed->range_count > 0) {
            record_put_end(record, &end);
        }
    }
}

static enum err drop_ordered(struct buffer *b, struct buffer_order *o, struct record_writer *record,
                             struct why *why)
{
    int64_t id = o->aside;
    int64_t size = 0;
    size_t before = b->record.size;
    sqlite3_bind_int64(b->statements[SQL_ASIDE_AT], 1, id);
    enum err e = aside_find(b, SQL_ASIDE_AT, &id, &size, why);
    if (!e && size > 0) {
        e = aside_delete(b, id, why);
        record_put_aside(record, -1, -size, 0);
    }
    o->count = size > 0;
    if (o->uplink) {
        owe_to_one(b, o, record);
    }
    return e ? e : apply_from(b, before);
}

enum err asides_apply(struct buffer *b, const struct buffer_write *w, struct record_writer *record,
                      struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < w->order_count; i++) {
        if (w->orders[i]->kind == ORDER_ASIDE_DROP) {
            e = drop_ordered(b, w->orders[i], record, why);
        }
    }
    return e || w->aside_count == 0 ? e : put_new(b, w, record, why);
}

/* --- reading --- */

void aside_of(sqlite3_stmt *s, struct aside *ret)
{
    *ret = (struct aside){
        .time_us = sqlite3_column_int64(s, 1),
        .stream = (uint16_t)sqlite3_column_int64(s, 2),
        .sequence = (uint64_t)sqlite3_column_int64(s, 3),
        .source = column_slice(s, 4),
        .uplink = (uint16_t)sqlite3_column_int64(s, 5),
        .kind = (uint8_t)sqlite3_column_int64(s, 6),
        .schema = (uint32_t)sqlite3_column_int64(s, 7),
        .reason = column_slice(s, 8),
        .size = (uint64_t)sqlite3_column_int64(s, 9),
        .body = column_slice(s, 10),
    };
}

bool aside_take(sqlite3_stmt *s, struct aside *ret)
{
    int64_t columns[6];
    aside_of(s, ret);
    aside_columns(ret, columns);
    return ret->body.size <= 3 * ASIDE_BODY_SIZE_MAX &&
           row_crc(ret->time_us, columns, ret->body) == (uint32_t)sqlite3_column_int64(s, 11);
}

static bool take_sized(struct slice *rest, struct slice *ret)
{
    uint64_t size;
    return slice_take_uvarint(rest, &size) && size <= rest->size &&
           slice_take(rest, (size_t)size, ret);
}

enum err aside_unpack(struct buffer *b, struct aside *aside, bool *ret_is_old)
{
    int64_t columns[6];
    uint8_t beside[ROW_BESIDE_SIZE];
    struct slice rest = aside->body;
    if (aside->kind & ASIDE_IS_ENCRYPTED) {
        aside_columns(aside, columns);
        enum err e = content_read(b, row_beside('X', aside->time_us, columns, beside), aside->body,
                                  &rest, ret_is_old);
        if (e) {
            return e;
        }
        if (!take_sized(&rest, &aside->source) || !take_sized(&rest, &aside->reason)) {
            return ERR_CORRUPT;
        }
    }
    if (aside->kind & ASIDE_HAS_HEAD &&
        (!take_sized(&rest, &aside->head) || aside->head.size > ASIDE_HEAD_SIZE_MAX)) {
        return ERR_CORRUPT;
    }
    aside->kind &= (uint8_t) ~(ASIDE_IS_ENCRYPTED | ASIDE_HAS_HEAD);
    aside->body = rest;
    return aside->kind <= ASIDE_DATUM ? ERR_OK : ERR_CORRUPT;
}

enum err buffer_aside_each(struct buffer *b, int64_t id_after, size_t count_max,
                           void (*each)(void *context, int64_t id, const struct aside *aside),
                           void *context, struct why *why)
{
    sqlite3_stmt *s = NULL;
    if (!b->db) {
        why_set(why, "%s is damaged, and is being replaced", b->path);
        return ERR_AGAIN;
    }
    vfs_count_errno_set(b->vfs, 0);
    int code = sqlite3_prepare_v2(b->db,
                                  "SELECT id,t,stream,seq,source,uplink,kind,schema,reason,size,"
                                  "body,crc FROM aside WHERE id>? ORDER BY id LIMIT ?",
                                  -1, &s, NULL);
    if (code != SQLITE_OK) {
        return sql_error(b, code, "reading", why);
    }
    sqlite3_bind_int64(s, 1, id_after);
    sqlite3_bind_int64(s, 2, (int64_t)count_max);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        struct aside aside;
        enum err e = aside_take(s, &aside) ? aside_unpack(b, &aside, NULL) : ERR_CORRUPT;
        if (e == ERR_NOMEM) {
            (void)sqlite3_finalize(s);
            return e;
        }
        if (e) { /* that there is one is told all the same */
            aside.kind &= ASIDE_DATUM;
            aside.is_damaged = true;
            aside.reason = SLICE("damaged: it can't be read any more");
            aside.head = (struct slice){NULL, 0};
            aside.body = (struct slice){NULL, 0};
        }
        each(context, sqlite3_column_int64(s, 0), &aside);
    }
    enum err e = code == SQLITE_DONE ? ERR_OK : sql_error(b, code, "reading", why);
    (void)sqlite3_finalize(s); /* repeats the error that step() gave */
    return e;
}
