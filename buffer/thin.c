/* Rows that are thinned: written anew, once, with the events that the thinner chooses. A row keeps
 * its key and its range; that it is sparse (n < 0) says that it was thinned. */
#include <assert.h>

#include "buffer/evict.h"

#define LOOKS_MAX 64 /* rows that are passed over at one time */

/* --- which row --- */

/* Rows are thinned from the oldest on: where the first one is that is still whole, about, for the
 * first time after opening. Those that were left out because they were being sent are found as the
 * oldest one. */
static enum err find_border(struct making_room *m, uint16_t stream, uint64_t *ret)
{
    struct row_place row;
    uint64_t low = 1;
    uint64_t high = m->b->state->streams[stream].sequence_next;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        enum err e = row_seek(m->b, stream, middle, &row, m->why);
        if (e && e != ERR_CLOSED) {
            return e;
        }
        if (!e && row.sparse) {
            low = row.range.last + 1;
        } else {
            high = middle;
        }
    }
    *ret = low;
    return ERR_OK;
}

enum err thin_next(struct making_room *m, uint16_t stream, struct row_place *ret)
{
    uint64_t *whole_from = &m->b->streams[stream].whole_from;
    if (*whole_from == 0) {
        enum err e = find_border(m, stream, whole_from);
        if (e) {
            return e;
        }
    }
    uint64_t from = m->from[stream] > *whole_from ? m->from[stream] : *whole_from;
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        enum err e = row_seek(m->b, stream, from, ret, m->why);
        if (e) {
            return e;
        }
        uint64_t sent_last = being_sent(m->b, 0, stream, ret->range);
        if (!ret->sparse && sent_last == 0) {
            return ERR_OK;
        }
        from = (sent_last > ret->range.last ? sent_last : ret->range.last) + 1;
    }
    return ERR_CLOSED;
}

/* --- writing it anew --- */

struct thinning {
    struct making_room *m;
    const struct row *row; /* as it is */
    struct loss loss;
    struct range run; /* of lost events, not yet added */
    uint64_t next;    /* behind the last one kept */
    int64_t time_before;
    int64_t columns[6]; /* of the new row */
};

static void lose(struct thinning *t, uint64_t sequence)
{
    if (t->run.first && t->run.last + 1 != sequence) {
        loss_add(&t->loss, t->run);
        t->run.first = 0;
    }
    t->run = (struct range){t->run.first ? t->run.first : sequence, sequence};
}

static void keep(struct thinning *t, const struct stored_event *event)
{
    struct out *raw = &t->m->b->thin_raw;
    out_put_uvarint(raw, event->sequence - t->next);
    events_put(raw, event, &t->time_before);
    t->next = event->sequence + 1;
    t->columns[1]--;
    t->columns[3] = event->time_us < t->columns[3] ? event->time_us : t->columns[3];
    t->columns[4] = event->time_us > t->columns[4] ? event->time_us : t->columns[4];
}

static bool look_at_all(struct thinning *t)
{
    const struct buffer_thinner *thinner = &t->m->b->thinner;
    struct event_run run = t->row->events;
    struct stored_event event;
    enum err e;
    thinner->begin(thinner->context, run.stream, run.schema);
    while ((e = event_run_take(&run, &event)) == ERR_OK) {
        if (loss_is_owed(&t->loss, event.sequence)) {
            thinner->look(thinner->context, &event);
        }
    }
    return e == ERR_CLOSED;
}

/* Into b->thin_raw; what nobody is owed goes without being lost. */
static void choose(struct thinning *t)
{
    const struct buffer_thinner *thinner = &t->m->b->thinner;
    struct event_run run = t->row->events;
    struct stored_event event;
    size_t index = 0;
    while (event_run_take(&run, &event) == ERR_OK) {
        if (!loss_is_owed(&t->loss, event.sequence)) {
            continue;
        }
        if (thinner->stays(thinner->context, index++)) {
            keep(t, &event);
        } else {
            lose(t, event.sequence);
        }
    }
    if (t->run.first) {
        loss_add(&t->loss, t->run);
    }
}

static enum err write_anew(struct thinning *t)
{
    struct buffer *b = t->m->b;
    sqlite3_stmt *s = b->statements[SQL_ROW_REWRITE];
    uint8_t beside[ROW_BESIDE_SIZE];
    struct slice body = out_slice(&b->packed);
    t->columns[5] = (int64_t)b->thin_raw.size;
    if (crypt_writes(b->crypt)) {
        body = content_write(b, row_beside('B', t->row->id, t->columns, beside), body);
    }
    sqlite3_bind_int64(s, 1, t->row->id);
    for (int i = 0; i < 6; i++) {
        sqlite3_bind_int64(s, 2 + i, t->columns[i]);
    }
    sqlite3_bind_int64(s, 8, row_crc(t->row->id, t->columns, body));
    sqlite3_bind_blob64(s, 9, body.data, body.size, SQLITE_STATIC);
    enum err e = sql_run(b, SQL_ROW_REWRITE, t->m->why);
    if (!e && sqlite3_changes(b->db) != 1) {
        why_set(t->m->why, "%s is damaged: a row can't be written anew", b->path);
        e = ERR_CORRUPT;
    }
    return e;
}

/* The new row in b->packed. ERR_CLOSED: it is not worth it. */
static enum err pack_anew(struct thinning *t, const struct row_place *place)
{
    struct buffer *b = t->m->b;
    b->packed.size = 0;
    b->packed.overflow = false;
    if (b->thin_raw.overflow || t->columns[1] == 0 || -t->columns[1] == (int64_t)place->count) {
        return ERR_CLOSED;
    }
    if (zstd_encode(b->encoder, out_slice(&b->thin_raw), &b->packed)) {
        why_set(t->m->why, "thinning %s: no memory to compress", b->path);
        return ERR_NOMEM;
    }
    return content_size(b, b->packed.size) * 8 <= place->size * 7 ? ERR_OK : ERR_CLOSED;
}

enum err thin_row(struct making_room *m, uint16_t stream, const struct row_place *place)
{
    struct row row;
    struct buffer *b = m->b;
    assert(!place->sparse && b->thinner.begin);
    if (m->rewrite_left == 0) {
        return ERR_FULL;
    }
    b->streams[stream].whole_from = place->range.last + 1 > b->streams[stream].whole_from
                                        ? place->range.last + 1
                                        : b->streams[stream].whole_from;
    enum err e = row_read(b, stream, place->range.first, &row, m->why);
    if (e || place->count < 2) {
        return e ? e : ERR_CLOSED;
    }
    struct thinning t = {
        .m = m,
        .row = &row,
        .next = place->range.first,
        .columns = {(int64_t)row.last, 0, row.events.schema, INT64_MAX, INT64_MIN}};
    loss_begin(&t.loss, b->next, stream, GAP_THIN, 0);
    b->thin_raw.size = 0;
    b->thin_raw.overflow = false;
    if (!look_at_all(&t)) {
        return ERR_CLOSED;
    }
    choose(&t);
    e = pack_anew(&t, place);
    e = e ? e : write_anew(&t);
    if (e) {
        return e;
    }
    loss_put(&t.loss, place->range, m->b->next, m->w);
    rows_gone(m, stream, place->count - (uint64_t)-t.columns[1],
              place->size - content_size(b, b->packed.size));
    m->rewrite_left -= b->packed.size < m->rewrite_left ? b->packed.size : m->rewrite_left;
    b->streams[stream].low = LOW_UNKNOWN;
    return ERR_OK;
}
