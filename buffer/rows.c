/* Rows of the table batch, and sealing: the tail becomes rows. */
#include <assert.h>
#include <string.h>

#include "buffer/internal.h"
#include "ports/lib/crc32c.h"

int64_t row_id(uint16_t stream, uint64_t first)
{
    return (int64_t)((uint64_t)stream << 48 | first);
}

/* Over the id, every other column, and the body. */
uint32_t row_crc(int64_t id, const int64_t columns[6], struct slice body)
{
    uint8_t memory[56];
    struct out o = out_over(memory, sizeof memory);
    out_put_u64_le(&o, (uint64_t)id);
    for (size_t i = 0; i < 6; i++) {
        out_put_u64_le(&o, (uint64_t)columns[i]);
    }
    return crc32c(crc32c(0, out_slice(&o)), body);
}

static uint64_t sequence_of(int64_t id)
{
    return (uint64_t)id & ((UINT64_C(1) << 48) - 1);
}

enum err row_seek(struct buffer *b, uint16_t stream, uint64_t from, struct row_place *ret,
                  struct why *why)
{
    sqlite3_stmt *s = b->statements[SQL_ROW_SEEK];
    uint64_t end = b->state->streams[stream].sequence_next;
    sqlite3_bind_int64(s, 1, row_id(stream, from));
    sqlite3_bind_int64(s, 2, row_id((uint16_t)(stream + 1), 0));
    int code = sqlite3_step(s);
    bool found = code == SQLITE_ROW;
    if (found) {
        ret->range.first = sequence_of(sqlite3_column_int64(s, 0));
        ret->range.last = (uint64_t)sqlite3_column_int64(s, 1);
        ret->size = (uint64_t)sqlite3_column_int64(s, 2);
        int64_t n = sqlite3_column_int64(s, 3);
        ret->sparse = n < 0;
        ret->count = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
        code = sqlite3_step(s);
        end = code == SQLITE_ROW ? sequence_of(sqlite3_column_int64(s, 0)) : end;
    }
    sql_reset(b, SQL_ROW_SEEK);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sql_error(b, code, "reading", why);
    }
    if (found && (ret->range.last < ret->range.first || ret->range.last >= end)) {
        ret->range.last = end > ret->range.first ? end - 1 : ret->range.first;
    }
    uint64_t most = found ? ret->range.last - ret->range.first + 1 : 0;
    if (found && (!ret->sparse || ret->count > most)) {
        ret->count = most;
    }
    return found ? ERR_OK : ERR_CLOSED;
}

enum err row_at(struct buffer *b, uint16_t stream, uint64_t sequence, struct row_place *ret,
                struct why *why)
{
    sqlite3_stmt *s = b->statements[SQL_ROW_AT];
    sqlite3_bind_int64(s, 1, row_id(stream, sequence));
    sqlite3_bind_int64(s, 2, row_id(stream, 0));
    int code = sqlite3_step(s);
    uint64_t first = code == SQLITE_ROW ? sequence_of(sqlite3_column_int64(s, 0)) : sequence;
    sql_reset(b, SQL_ROW_AT);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sql_error(b, code, "reading", why);
    }
    enum err e = row_seek(b, stream, first, ret, why);
    return !e && ret->range.last < sequence ? row_seek(b, stream, sequence, ret, why) : e;
}

enum err row_lowest(struct buffer *b, uint16_t stream, struct row_place *ret, struct why *why)
{
    struct buffer_stream_slot *slot = &b->streams[stream];
    if (slot->low == LOW_UNKNOWN) {
        enum err e = row_seek(b, stream, 0, &slot->low_row, why);
        if (e && e != ERR_CLOSED) {
            return e;
        }
        slot->low = e ? LOW_NONE : LOW_KNOWN;
    }
    *ret = slot->low_row;
    return slot->low == LOW_KNOWN ? ERR_OK : ERR_CLOSED;
}

enum err row_delete(struct buffer *b, uint16_t stream, uint64_t first, struct why *why)
{
    sqlite3_bind_int64(b->statements[SQL_ROW_DELETE], 1, row_id(stream, first));
    b->streams[stream].low = LOW_UNKNOWN;
    enum err e = sql_run(b, SQL_ROW_DELETE, why);
    if (!e && sqlite3_changes(b->db) != 1) {
        /* A damaged tree shows a row to a scan and does not find it by key: it would be sent for
         * ever. */
        why_set(why, "%s is damaged: row %u/%llu can't be deleted", b->path, stream,
                (unsigned long long)first);
        e = ERR_CORRUPT;
    }
    return e;
}

enum err row_take(struct buffer *b, sqlite3_stmt *s, uint64_t next, struct row *ret)
{
    int64_t columns[6];
    uint8_t beside[ROW_BESIDE_SIZE];
    ret->id = sqlite3_column_int64(s, 0);
    for (int i = 0; i < 6; i++) {
        columns[i] = sqlite3_column_int64(s, 1 + i);
    }
    ret->last = (uint64_t)columns[0];
    ret->events = (struct event_run){.stream = (uint16_t)(ret->id >> 48),
                                     .schema = (uint32_t)columns[2],
                                     .next = sequence_of(ret->id)};
    struct slice body = {sqlite3_column_blob(s, 8), (size_t)sqlite3_column_bytes(s, 8)};
    if (row_crc(ret->id, columns, body) != (uint32_t)sqlite3_column_int64(s, 7) ||
        ret->last < ret->events.next || columns[1] < -INT32_MAX || columns[1] > INT32_MAX ||
        !schema_is_known(b, ret->events.schema)) {
        return ERR_CORRUPT;
    }
    ret->events.sparse = columns[1] < 0;
    ret->events.count = (uint64_t)(columns[1] < 0 ? -columns[1] : columns[1]);
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
    ret->events.events = out_slice(&b->scratch);
    uint64_t span = ret->last - ret->events.next + 1;
    bool agrees = ret->events.sparse ? ret->events.count <= span : ret->events.count == span;
    return agrees ? ERR_OK : ERR_CORRUPT;
}

enum err row_read(struct buffer *b, uint16_t stream, uint64_t first, struct row *ret,
                  struct why *why)
{
    sqlite3_stmt *s = b->statements[SQL_ROW_BEFORE];
    sqlite3_bind_int64(s, 1, row_id(stream, first));
    sqlite3_bind_int64(s, 2, row_id(stream, first));
    int code = sqlite3_step(s);
    enum err e = code == SQLITE_ROW ? row_take(b, s, first, ret) : ERR_CLOSED;
    sql_reset(b, SQL_ROW_BEFORE);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sql_error(b, code, "reading", why);
    }
    if (e == ERR_NOMEM) {
        why_set(why, "reading %s: no memory", b->path);
    }
    return e == ERR_CORRUPT ? ERR_CLOSED : e;
}

/* --- sealing --- */

struct row_builder {
    struct buffer *b;
    uint16_t stream;
    uint32_t schema;
    uint64_t first;
    uint64_t last;
    uint64_t count;
    int64_t oldest;
    int64_t newest;
    int64_t time_before;
    struct why *why;
};

size_t content_size(const struct buffer *b, size_t size)
{
    return size + (crypt_writes(b->crypt) ? CRYPT_MORE : 0);
}

enum err row_insert(struct buffer *b, enum statement how, const struct row_bytes *row,
                    struct why *why)
{
    sqlite3_stmt *s = b->statements[how];
    sqlite3_bind_int64(s, 1, row->id);
    for (int i = 0; i < 6; i++) {
        sqlite3_bind_int64(s, 2 + i, row->columns[i]);
    }
    sqlite3_bind_int64(s, 8, row_crc(row->id, row->columns, row->body));
    sqlite3_bind_blob64(s, 9, row->body.data, row->body.size, SQLITE_STATIC);
    return sql_run(b, how, why);
}

/* Where memory is short a row is larger, but sources need not wait for it. */
static enum err row_pack(struct buffer *b)
{
    b->packed.size = 0;
    b->packed.overflow = false;
    enum err e = zstd_encode(b->encoder, out_slice(&b->scratch), &b->packed);
    if (e == ERR_NOMEM) {
        zstd_encoder_trim(b->encoder);
        zstd_encoder_level_set(b->encoder, SEAL_LEVEL_HURRY);
        zstd_encoder_window_set(b->encoder, SEAL_WINDOW_TIGHT);
        e = zstd_encode(b->encoder, out_slice(&b->scratch), &b->packed);
        zstd_encoder_window_set(b->encoder, ZSTD_WINDOW_LOG_MAX);
    }
    return e;
}

static enum err row_finish(struct row_builder *r)
{
    struct buffer *b = r->b;
    if (r->count == 0) {
        return ERR_OK;
    }
    enum err e = row_pack(b);
    if (e) {
        why_set(r->why, "sealing %s: no memory to compress", b->path);
        return ERR_NOMEM;
    }
    struct row_bytes row = {.id = row_id(r->stream, r->first),
                            .columns = {(int64_t)r->last, (int64_t)r->count, r->schema, r->oldest,
                                        r->newest, (int64_t)b->scratch.size},
                            .body = out_slice(&b->packed)};
    if (crypt_writes(b->crypt)) {
        uint8_t beside[ROW_BESIDE_SIZE];
        row.body = content_write(b, row_beside('B', row.id, row.columns, beside), row.body);
    }
    e = row_insert(b, SQL_ROW_INSERT, &row, r->why);
    if (b->streams[r->stream].low == LOW_NONE) {
        b->streams[r->stream].low = LOW_UNKNOWN;
    }
    b->next->streams[r->stream].row_events += r->count;
    b->next->streams[r->stream].row_bytes += content_size(b, b->packed.size);
    r->count = 0;
    return e;
}

static enum err row_add(struct row_builder *r, const struct stored_event *event, uint32_t schema)
{
    struct out *raw = &r->b->scratch;
    bool fits = r->count > 0 && r->schema == schema && r->last + 1 == event->sequence &&
                raw->size + event->datum.size + 64 <= RECORD_SIZE_MAX;
    if (!fits) {
        enum err e = row_finish(r);
        if (e) {
            return e;
        }
        raw->size = 0;
        raw->overflow = false;
        r->schema = schema;
        r->first = event->sequence;
        r->oldest = event->time_us;
        r->newest = event->time_us;
        r->time_before = 0;
    }
    events_put(raw, event, &r->time_before);
    assert(!raw->overflow);
    r->last = event->sequence;
    r->oldest = event->time_us < r->oldest ? event->time_us : r->oldest;
    r->newest = event->time_us > r->newest ? event->time_us : r->newest;
    r->count++;
    return ERR_OK;
}

/* The events of one section that are still owed to somebody. */
static enum err row_add_section(struct row_builder *r, const struct section_events *section)
{
    struct slice events = section->events;
    struct stored_event event;
    int64_t time_before = 0;
    for (uint64_t i = 0; i < section->count; i++) {
        if (!events_take(&events, &time_before, &event)) {
            return ERR_CORRUPT;
        }
        event.sequence = section->first + i;
        struct range one = {event.sequence, event.sequence};
        if (state_is_owed(r->b->next, section->stream, one)) {
            enum err e = row_add(r, &event, section->schema);
            if (e) {
                return e;
            }
        }
    }
    return ERR_OK;
}

static enum err seal_stream(struct buffer *b, uint16_t stream, struct slice new_sections,
                            struct why *why)
{
    struct row_builder r = {.b = b, .stream = stream, .why = why};
    struct section section;
    struct section_events events;
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < b->section_count; i++) {
        const struct tail_section *t = &b->sections[i];
        if (t->stream == stream) {
            events = (struct section_events){
                stream, t->schema, t->first, t->count, {b->tail_memory + t->offset, t->size}};
            e = row_add_section(&r, &events);
        }
    }
    while (!e && section_next(&new_sections, &section) == ERR_OK) {
        if (section.kind == SECTION_EVENTS && section_events_take(section.payload, &events) &&
            events.stream == stream) {
            e = row_add_section(&r, &events);
        }
    }
    return e ? e : row_finish(&r);
}

static enum err put_cursor(struct buffer *b, uint16_t driver, uint32_t key, struct slice value,
                           struct why *why)
{
    sqlite3_stmt *s = b->statements[value.size ? SQL_CURSOR_PUT : SQL_CURSOR_DELETE];
    bool encrypts = crypt_writes(b->crypt);
    const int64_t columns[6] = {driver, key, encrypts ? CURSOR_IS_ENCRYPTED : 0, 0, 0, 0};
    uint8_t beside[ROW_BESIDE_SIZE];
    sqlite3_bind_int64(s, 1, driver);
    sqlite3_bind_int64(s, 2, key);
    if (value.size) {
        if (encrypts) {
            value = content_write(b, row_beside('C', 0, columns, beside), value);
        }
        sqlite3_bind_int64(s, 3, row_crc(0, columns, value));
        sqlite3_bind_blob64(s, 4, value.data, value.size, SQLITE_STATIC);
    }
    return sql_run(b, value.size ? SQL_CURSOR_PUT : SQL_CURSOR_DELETE, why);
}

static enum err seal_cursors(struct buffer *b, struct slice new_sections, struct why *why)
{
    struct section section;
    struct cursor_change cursor;
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < b->changed_count; i++) {
        const struct changed_cursor *c = &b->changed[i];
        e = put_cursor(b, c->driver, c->key, (struct slice){c->value, c->size}, why);
    }
    while (!e && section_next(&new_sections, &section) == ERR_OK) {
        if (section.kind == SECTION_CURSOR && section_cursor_take(section.payload, &cursor)) {
            e = put_cursor(b, cursor.driver, cursor.key, cursor.value, why);
        }
    }
    return e;
}

static enum err put_state(struct buffer *b, struct why *why)
{
    sqlite3_stmt *s = b->statements[SQL_STATE_PUT];
    b->scratch.size = 0;
    b->scratch.overflow = false;
    state_encode(b->next, &b->scratch);
    assert(!b->scratch.overflow);
    sqlite3_bind_int64(s, 1, crc32c(0, out_slice(&b->scratch)));
    sqlite3_bind_blob64(s, 2, b->scratch.data, b->scratch.size, SQLITE_STATIC);
    return sql_run(b, SQL_STATE_PUT, why);
}

enum err seal(struct buffer *b, struct slice new_sections, struct why *why)
{
    enum err e = ERR_OK;
    uint64_t now_us = clock_monotonic_us();
    bool hurry = now_us - b->sealed_us < SEAL_HURRY_US;
    zstd_encoder_level_set(b->encoder, hurry ? SEAL_LEVEL_HURRY : SEAL_LEVEL);
    b->sealed_us = now_us;
    for (uint16_t stream = 1; !e && stream <= STREAM_COUNT_MAX; stream++) {
        if (b->next->streams[stream].sequence_next > 1) {
            e = seal_stream(b, stream, new_sections, why);
        }
    }
    if (!hurry) { /* the next one is seconds away, and while an uplink keeps up there is none */
        zstd_encoder_trim(b->encoder);
    }
    e = e ? e : seal_cursors(b, new_sections, why);
    b->next->generation++;
    return e ? e : put_state(b, why);
}
