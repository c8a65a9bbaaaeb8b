/* Reading events of a range: from rows, then from the tail. */
#include <string.h>

#include "buffer/internal.h"

/* A damaged row: up to where the next one begins, whatever it says itself. */
static enum err damaged_range(struct buffer *b, uint16_t stream, uint64_t first, struct range *ret,
                              struct why *why)
{
    struct row_place next;
    uint64_t end = b->state->streams[stream].sequence_next;
    enum err e = row_seek(b, stream, first + 1, &next, why);
    if (e && e != ERR_CLOSED) {
        return e;
    }
    end = !e && next.range.first < end ? next.range.first : end;
    for (size_t i = 0; i < b->section_count; i++) {
        bool is_nearer = b->sections[i].stream == stream && b->sections[i].first < end;
        end = is_nearer ? b->sections[i].first : end;
    }
    *ret = (struct range){first, end - 1};
    return ERR_OK;
}

/* How many events are lost with it, at most: all of its range, or what it says where rows are thinned. */
static enum err damaged_events(struct buffer *b, uint16_t stream, struct range range, uint64_t *ret,
                               struct why *why)
{
    struct row_place row;
    *ret = range.last - range.first + 1;
    enum err e = row_seek(b, stream, range.first, &row, why);
    if (!e && row.range.first == range.first && row.sparse && row.count > 0 && row.count < *ret &&
        b->streams[stream].when_full == FULL_THIN) {
        *ret = row.count;
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* The next commit reports what is owed of it. ERR_AGAIN: so many are noted that the commit has to
 * come first. */
static enum err note_damaged(struct buffer *b, uint16_t stream, uint64_t first, struct why *why)
{
    struct range range;
    for (size_t i = 0; i < b->damaged_count; i++) {
        if (b->damaged[i].stream == stream && b->damaged[i].range.first == first) {
            return ERR_OK;
        }
    }
    if (b->damaged_count == DAMAGED_MAX) {
        why_set(why, "%s: %d damaged rows are to be reported first", b->path, DAMAGED_MAX);
        return ERR_AGAIN;
    }
    uint64_t count = 0;
    enum err e = damaged_range(b, stream, first, &range, why);
    if (e || first < 1 || range.first > range.last) {
        return e;
    }
    e = damaged_events(b, stream, range, &count, why);
    if (!e) {
        b->damaged[b->damaged_count++] =
            (struct gap){.stream = stream, .reason = GAP_DAMAGED, .range = range, .count = count};
    }
    return e;
}

struct reading {
    struct rows *rows;
    struct range range;
    size_t size_max;
    uint64_t next; /* the first sequence not looked at yet */
    bool full;     /* nothing more is taken, */
    bool more;     /* though the range has more */
};

static bool rows_have_room(const struct reading *r, const struct stored_event *event)
{
    const struct rows *rows = r->rows;
    bool fits = event->datum.size <= rows->arena.size_max - rows->arena.size &&
                rows->event_count < rows->event_max;
    return fits && (rows->event_count == 0 || rows->arena.size + event->datum.size <= r->size_max);
}

/* Is the event wanted, and may it be taken over? Otherwise nothing behind it is, either. */
static bool may_take(struct reading *r, const struct stored_event *event)
{
    struct rows *rows = r->rows;
    if (event->sequence > r->range.last) {
        return false;
    }
    rows->schema_changed = rows->event_count > 0 && rows->events[0].schema != event->schema;
    r->more = rows->schema_changed || !rows_have_room(r, event);
    return !r->more;
}

/* Takes over what is wanted of a run of events. False: damaged. */
static bool take_events(struct reading *r, struct event_run run)
{
    struct stored_event event;
    enum err e = ERR_OK;
    while (!r->full && (e = event_run_take(&run, &event)) == ERR_OK) {
        if (event.sequence < r->next) {
            continue;
        }
        if (!may_take(r, &event)) {
            r->full = true;
            break;
        }
        uint8_t *copy = r->rows->arena.data + r->rows->arena.size;
        out_put_slice(&r->rows->arena, event.datum);
        event.datum.data = copy;
        r->rows->events[r->rows->event_count++] = event;
        r->next = event.sequence + 1;
    }
    return e != ERR_CORRUPT;
}

/* While nothing can be written, what is lost with a row can't be told: whoever sends waits there. */
static enum err wait_at_damaged(struct buffer *b, struct reading *r, struct why *why)
{
    if (r->rows->event_count > 0) {
        r->full = true;
        r->more = true;
        return ERR_OK;
    }
    why_set(why, "%s: events are damaged, which can be told only when it can be written", b->path);
    return ERR_AGAIN;
}

static enum err skip_damaged(struct buffer *b, struct reading *r, uint16_t stream, uint64_t first,
                             struct why *why)
{
    struct range gone;
    enum err e = damaged_range(b, stream, first, &gone, why);
    bool is_met = !e && gone.last >= r->next && gone.first <= r->range.last;
    r->rows->has_damaged = r->rows->has_damaged || is_met;
    if (b->read_only && !r->rows->is_look) {
        return is_met ? wait_at_damaged(b, r, why) : e;
    }
    e = e ? e : note_damaged(b, stream, first, why);
    return e == ERR_AGAIN && r->rows->is_look ? ERR_OK : e; /* no commit waits for a look */
}

static enum err read_row(struct buffer *b, struct reading *r, uint16_t stream, sqlite3_stmt *s,
                         struct why *why)
{
    struct row row;
    enum err e = row_take(b, s, r->next, &row);
    if (e) {
        return e == ERR_CORRUPT ? skip_damaged(b, r, stream, row.events.next, why) : e;
    }
    if (row.last < r->next || row.events.next > r->range.last) {
        return ERR_OK;
    }
    uint64_t first = row.events.next;
    return take_events(r, row.events) ? ERR_OK : skip_damaged(b, r, stream, first, why);
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
            struct event_run run = {.stream = stream,
                                    .schema = t->schema,
                                    .next = t->first,
                                    .count = t->count,
                                    .events = {b->tail_memory + t->offset, t->size}};
            (void)take_events(r, run); /* checked when the record was taken over */
        }
    }
}

/* A parcel may be made of it, which is not on record yet: nothing of it is evicted until then. */
static void keep_read(struct buffer *b, uint16_t stream, struct range range)
{
    struct buffer_stream_slot *slot = &b->streams[stream];
    for (uint32_t i = 0; i < b->state->parcel_count; i++) {
        const struct parcel *p = &b->state->parcels[i];
        if (p->stream == stream && p->range.first <= range.first && range.last <= p->range.last) {
            return;
        }
    }
    for (size_t i = 0; i < READ_KEPT; i++) {
        struct read_kept *kept = &slot->reads[i];
        if (kept->count > 0 && kept->range.first == range.first) {
            kept->count++;
            kept->range.last = range.last > kept->range.last ? range.last : kept->range.last;
            return;
        }
    }
    slot->reads[slot->read_next++ % READ_KEPT] = (struct read_kept){range, 1};
}

void reads_recorded(struct buffer *b, const struct parcel *parcel)
{
    struct buffer_stream_slot *slot = &b->streams[parcel->stream];
    for (size_t i = 0; i < READ_KEPT; i++) {
        struct read_kept *kept = &slot->reads[i];
        if (kept->count > 0 && kept->range.first == parcel->range.first) {
            kept->count--;
            return;
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
    ret->has_damaged = false;
    vfs_count_errno_set(b->vfs, 0);
    enum err e = b->db ? read_rows(b, &r, stream, why) : ERR_CORRUPT;
    if (e == ERR_CORRUPT && !b->read_only) {
        b->file_damaged = true; /* replaced with the next commit, or by buffer_care() */
        why_set(why, "%s is damaged, and will be replaced", b->path);
        return ERR_AGAIN;
    }
    if (e) {
        return e;
    }
    if (!r.full) {
        read_tail(b, &r, stream);
    }
    bool some = ret->event_count > 0;
    ret->covered.first = range.first;
    ret->covered.last = r.more && some ? ret->events[ret->event_count - 1].sequence : range.last;
    if (some && !ret->is_look) {
        keep_read(b, stream, ret->covered);
    }
    if (r.more && !some) {
        why_set(why, "an event of stream %u is larger than what the reader takes", stream);
        return ERR_FULL;
    }
    return ERR_OK;
}

/* The row behind the one that was checked last, stream after stream; false: this stream has no
 * more. */
static enum err check_row_of(struct buffer *b, uint16_t stream, bool *ret_found, struct why *why)
{
    sqlite3_stmt *s = b->statements[SQL_ROW_FROM];
    struct row row;
    enum err e = ERR_OK;
    sqlite3_bind_int64(s, 1, row_id(stream, b->check_from));
    sqlite3_bind_int64(s, 2, row_id((uint16_t)(stream + 1), 0) - 1);
    int code = sqlite3_step(s);
    *ret_found = code == SQLITE_ROW;
    if (*ret_found) {
        e = row_take(b, s, 0, &row);
        b->check_from = (uint64_t)row.id & ((UINT64_C(1) << 48) - 1);
        e = e == ERR_CORRUPT ? note_damaged(b, stream, b->check_from, why) : e;
    } else if (code != SQLITE_DONE) {
        e = sql_error(b, sqlite3_extended_errcode(b->db), "checking", why);
    }
    sql_reset(b, SQL_ROW_FROM);
    return e;
}

enum err row_check_next(struct buffer *b, struct why *why)
{
    bool found = false;
    enum err e = ERR_OK;
    for (unsigned i = 0; !e && !found && i <= STREAM_COUNT_MAX; i++) {
        bool used = b->check_stream > 0 && b->state->streams[b->check_stream].sequence_next > 1;
        e = used ? check_row_of(b, b->check_stream, &found, why) : ERR_OK;
        if (!found) {
            b->check_stream = (uint16_t)(b->check_stream % STREAM_COUNT_MAX + 1);
            b->check_from = 0;
        }
    }
    return e;
}
