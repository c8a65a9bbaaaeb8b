/* Reading events of a range: from rows, then from the tail. */
#include <string.h>

#include "buffer/internal.h"

struct row {
    int64_t id;
    uint64_t first;
    uint64_t last;
    uint64_t count;
    uint32_t schema;
    struct slice events; /* unpacked, in b->scratch */
};

/* A damaged row: up to where the next one begins, whatever it says itself. The next commit reports
 * what is owed of it. ERR_AGAIN: so many are noted that the commit has to come first. */
static enum err note_damaged(struct buffer *b, uint16_t stream, uint64_t first, struct why *why)
{
    struct row_place next;
    uint64_t end = b->state->streams[stream].sequence_next;
    for (size_t i = 0; i < b->damaged_count; i++) {
        if (b->damaged[i].stream == stream && b->damaged[i].range.first == first) {
            return ERR_OK;
        }
    }
    if (b->damaged_count == DAMAGED_MAX) {
        why_set(why, "%s: %d damaged rows are to be reported first", b->path, DAMAGED_MAX);
        return ERR_AGAIN;
    }
    enum err e = row_seek(b, stream, first + 1, &next, why);
    if (e && e != ERR_CLOSED) {
        return e;
    }
    end = !e && next.range.first < end ? next.range.first : end;
    for (size_t i = 0; i < b->section_count; i++) {
        bool is_nearer = b->sections[i].stream == stream && b->sections[i].first < end;
        end = is_nearer ? b->sections[i].first : end;
    }
    if (first >= 1 && first < end) {
        b->damaged[b->damaged_count++] =
            (struct gap){.stream = stream, .reason = GAP_DAMAGED, .range = {first, end - 1}};
    }
    return ERR_OK;
}

/* The row that the statement stands on, checked, and unpacked when it holds something from `next` on.
 * ERR_CORRUPT: damaged; ERR_NOMEM. */
static enum err row_take(struct buffer *b, sqlite3_stmt *s, uint64_t next, struct row *ret)
{
    int64_t columns[6];
    uint8_t beside[ROW_BESIDE_SIZE];
    ret->id = sqlite3_column_int64(s, 0);
    ret->first = (uint64_t)ret->id & ((UINT64_C(1) << 48) - 1);
    for (int i = 0; i < 6; i++) {
        columns[i] = sqlite3_column_int64(s, 1 + i);
    }
    ret->last = (uint64_t)columns[0];
    struct slice body = {sqlite3_column_blob(s, 8), (size_t)sqlite3_column_bytes(s, 8)};
    if (row_crc(ret->id, columns, body) != (uint32_t)sqlite3_column_int64(s, 7) ||
        ret->last < ret->first) {
        return ERR_CORRUPT;
    }
    ret->count = (uint64_t)columns[1];
    ret->schema = (uint32_t)columns[2];
    if (ret->last < next) {
        return ERR_OK;
    }
    if (crypt_is_encrypted(body)) {
        enum err e = content_read(b, row_beside('B', ret->id, columns, beside), body, &body, NULL);
        if (e) {
            return e;
        }
    }
    b->scratch.size = 0;
    b->scratch.overflow = false;
    if (zstd_decode(b->decoder, body, &b->scratch)) {
        return ERR_CORRUPT;
    }
    ret->events = out_slice(&b->scratch);
    return ret->last - ret->first + 1 == ret->count ? ERR_OK : ERR_CORRUPT;
}

struct reading {
    struct rows *rows;
    struct range range;
    size_t size_max;
    uint64_t next; /* the first sequence not looked at yet */
    bool full;
};

static bool rows_have_room(const struct reading *r, const struct stored_event *event)
{
    const struct rows *rows = r->rows;
    bool fits = event->datum.size <= rows->arena.size_max - rows->arena.size &&
                rows->event_count < rows->event_max;
    return fits && (rows->event_count == 0 || rows->arena.size + event->datum.size <= r->size_max);
}

/* Takes over what is wanted of a run of events. False: damaged. */
static bool take_events(struct reading *r, uint16_t stream, uint32_t schema, uint64_t first,
                        uint64_t count, struct slice events)
{
    struct stored_event event;
    int64_t time_before = 0;
    for (uint64_t i = 0; i < count && !r->full; i++) {
        if (!events_take(&events, &time_before, &event)) {
            return false;
        }
        uint64_t sequence = first + i;
        if (sequence < r->next) {
            continue;
        }
        if (sequence > r->range.last) {
            r->full = true;
            break;
        }
        if (r->rows->event_count > 0 && r->rows->events[0].schema != schema) {
            r->rows->schema_changed = true;
            r->full = true;
            break;
        }
        if (!rows_have_room(r, &event)) {
            r->full = true;
            break;
        }
        event.stream = stream;
        event.schema = schema;
        event.sequence = sequence;
        uint8_t *copy = r->rows->arena.data + r->rows->arena.size;
        out_put_slice(&r->rows->arena, event.datum);
        event.datum.data = copy;
        r->rows->events[r->rows->event_count++] = event;
        r->next = sequence + 1;
    }
    return true;
}

static enum err read_row(struct buffer *b, struct reading *r, uint16_t stream, sqlite3_stmt *s,
                         struct why *why)
{
    struct row row;
    enum err e = row_take(b, s, r->next, &row);
    if (e) {
        return e == ERR_CORRUPT ? note_damaged(b, stream, row.first, why) : e;
    }
    if (row.last < r->next || row.first > r->range.last) {
        return ERR_OK;
    }
    return take_events(r, stream, row.schema, row.first, row.count, row.events)
               ? ERR_OK
               : note_damaged(b, stream, row.first, why);
}

static enum err read_rows(struct buffer *b, struct reading *r, uint16_t stream, struct why *why)
{
    sqlite3_stmt *s = b->statements[SQL_ROW_BEFORE];
    int64_t from = row_id(stream, r->range.first);
    enum err e = ERR_OK;
    sqlite3_bind_int64(s, 1, from);
    sqlite3_bind_int64(s, 2, row_id(stream, 0));
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        e = read_row(b, r, stream, s, why);
    }
    sql_reset(b, SQL_ROW_BEFORE);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "reading", why);
    }
    s = b->statements[SQL_ROW_FROM];
    sqlite3_bind_int64(s, 1, from);
    sqlite3_bind_int64(s, 2, row_id(stream, r->range.last));
    code = SQLITE_ROW;
    while (!e && !r->full && (code = sqlite3_step(s)) == SQLITE_ROW) {
        e = read_row(b, r, stream, s, why);
    }
    sql_reset(b, SQL_ROW_FROM);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "reading", why);
    }
    return e;
}

static void read_tail(struct buffer *b, struct reading *r, uint16_t stream)
{
    for (size_t i = 0; i < b->section_count && !r->full; i++) {
        const struct tail_section *t = &b->sections[i];
        if (t->stream == stream && t->first + t->count > r->next && t->first <= r->range.last) {
            struct slice events = {b->tail_memory + t->offset, t->size};
            (void)take_events(r, stream, t->schema, t->first, t->count,
                              events); /* checked when the record was taken over */
        }
    }
}

enum err buffer_read(struct buffer *b, uint16_t stream, struct range range, size_t size_max,
                     struct rows *ret, struct why *why)
{
    struct reading r = {.rows = ret, .range = range, .size_max = size_max, .next = range.first};
    ret->event_count = 0;
    ret->arena.size = 0;
    ret->arena.overflow = false;
    ret->schema_changed = false;
    vfs_count_errno_set(b->vfs, 0);
    enum err e = read_rows(b, &r, stream, why);
    if (e) {
        return e;
    }
    if (!r.full) {
        read_tail(b, &r, stream);
    }
    bool more = r.full &&
                (ret->event_count == 0 || ret->events[ret->event_count - 1].sequence < range.last);
    ret->covered.first = range.first;
    ret->covered.last =
        more && ret->event_count > 0 ? ret->events[ret->event_count - 1].sequence : range.last;
    if (ret->event_count > 0 && !ret->is_look) {
        struct buffer_stream_slot *slot = &b->streams[stream];
        slot->reads[slot->read_next++ % READ_KEPT] = ret->covered;
    }
    if (more && ret->event_count == 0) {
        why_set(why, "an event of stream %u is larger than what the reader takes", stream);
        return ERR_FULL;
    }
    return ERR_OK;
}
