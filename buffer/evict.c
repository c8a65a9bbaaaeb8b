/* Who gives way: rows that nobody is owed go first, then, where that is not enough for what
 * arrives, those of the lowest streams. Rows of an open parcel stay, and rows that were read
 * just now: a parcel is about to be made of them. */
#include "buffer/evict.h"

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- what goes --- */

void rows_gone(struct making_room *m, uint16_t stream, uint64_t events, uint64_t bytes)
{
    m->missing -= (int64_t)bytes;
    state_rows_gone(m->b->next, stream, events, bytes);
    record_put_rows_gone(m->w, stream, events, bytes);
}

static enum err row_gone(struct making_room *m, uint16_t stream, const struct row_place *row)
{
    m->left--;
    rows_gone(m, stream, row->count, row->size);
    return row_delete(m->b, stream, row->range.first, m->why);
}

static enum err seek(struct making_room *m, uint16_t stream, uint64_t from, struct row_place *ret)
{
    return from ? row_seek(m->b, stream, from, ret, m->why) : row_lowest(m->b, stream, ret, m->why);
}

/* --- rows that are damaged --- */

/* Their loss is told. Those that could not be cut out of a full list would be found and told again. */
static enum err delete_damaged(struct making_room *m)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && m->left > 0 && i < m->b->damaged_count; i++) {
        const struct gap *gap = &m->b->damaged[i];
        struct row_place row;
        if (!state_is_owed(m->b->next, gap->stream, gap->range)) {
            continue;
        }
        e = row_seek(m->b, gap->stream, gap->range.first, &row, m->why);
        if (!e && row.range.first == gap->range.first) {
            e = row_gone(m, gap->stream, &row);
        }
        e = e == ERR_CLOSED ? ERR_OK : e;
    }
    return e;
}

/* --- rows that nobody is owed --- */

static enum err delete_unowed(struct making_room *m, uint16_t stream)
{
    const struct state *state = m->b->next;
    struct row_place row;
    uint64_t from = 0;
    enum err e = ERR_OK;
    while (m->left > 0 && from < state->streams[stream].sequence_next &&
           (e = seek(m, stream, from, &row)) == ERR_OK) {
        uint64_t owed_last = state_owed_end_of(state, stream, row.range);
        if (owed_last) {
            from = owed_last + 1;
        } else {
            e = row_gone(m, stream, &row);
            if (e) {
                return e;
            }
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* --- rows that have to go --- */

/* The last sequence of what was read lately and has any of the range; 0: nothing. */
static uint64_t read_lately(const struct buffer *b, uint16_t stream, struct range range)
{
    uint64_t last = 0;
    for (size_t i = 0; i < READ_KEPT; i++) {
        const struct read_kept *kept = &b->streams[stream].reads[i];
        if (kept->count > 0 && kept->range.first <= range.last && range.first <= kept->range.last) {
            last = higher(last, kept->range.last);
        }
    }
    return last;
}

uint64_t being_sent(const struct buffer *b, uint16_t uplink, uint16_t stream, struct range range)
{
    return higher(state_in_flight(b->next, uplink, stream, range), read_lately(b, stream, range));
}

uint64_t being_sent_from(const struct buffer *b, uint16_t stream, uint64_t from)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < b->next->parcel_count; i++) {
        const struct parcel *p = &b->next->parcels[i];
        if (p->stream == stream && p->range.first >= from && p->range.first < first) {
            first = p->range.first;
        }
    }
    for (size_t i = 0; i < READ_KEPT; i++) {
        const struct read_kept *kept = &b->streams[stream].reads[i];
        if (kept->count > 0 && kept->range.first >= from && kept->range.first < first) {
            first = kept->range.first;
        }
    }
    return first;
}

/* The oldest row of a stream that can go. ERR_CLOSED: it has none. */
static enum err oldest_row(struct making_room *m, uint16_t stream, struct row_place *ret)
{
    for (;;) {
        enum err e = seek(m, stream, m->from[stream], ret);
        if (e) {
            return e;
        }
        uint64_t sent_last = being_sent(m->b, 0, stream, ret->range);
        if (sent_last == 0 && state_owed_end_of(m->b->next, stream, ret->range)) {
            return ERR_OK;
        }
        m->from[stream] = higher(sent_last, ret->range.last) + 1;
    }
}

/* May this stream give up rows for what arrives? */
static bool may_give_way(const struct making_room *m, uint16_t stream)
{
    const struct buffer *b = m->b;
    const struct buffer_stream_slot *slot = &b->streams[stream];
    return b->next->streams[stream].sequence_next > 1 && slot_gives_way(slot) &&
           (slot->priority < m->priority || m->arrives[stream]) &&
           (m->arrives[stream] ||
            quota_stream_pages(b->next, stream) > quota_share_pages(b, slot->share_min));
}

static enum err drop_row(struct making_room *m, uint16_t stream, const struct row_place *row)
{
    struct loss loss;
    m->from[stream] = row->range.last + 1;
    loss_begin(&loss, m->b->next, stream, GAP_DROP_OLDEST, 0);
    enum err e = loss_add_row(&loss, m->b, row, row->range, m->why);
    if (e) {
        return e;
    }
    loss_put(&loss, row->range, m->b->next, m->w);
    return row_gone(m, stream, row);
}

/* The stream that gives way next, and its oldest row: the lowest priority first. ERR_CLOSED: nobody
 * can. */
static enum err find_lowest(struct making_room *m, uint16_t *ret_stream, struct row_place *ret)
{
    uint16_t best = 0;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        struct row_place row;
        if ((best && m->b->streams[s].priority >= m->b->streams[best].priority) ||
            !may_give_way(m, s)) {
            continue;
        }
        enum err e = oldest_row(m, s, &row);
        if (e == ERR_OK) {
            best = s;
            *ret = row;
        } else if (e != ERR_CLOSED) {
            return e;
        }
    }
    *ret_stream = best;
    return best ? ERR_OK : ERR_CLOSED;
}

/* The oldest row that is still whole is thinned; where there is none, or it would not get smaller,
 * the oldest goes. */
static enum err thin_one(struct making_room *m, uint16_t stream, const struct row_place *oldest)
{
    struct row_place row = *oldest;
    enum err e = row.sparse ? thin_next(m, stream, &row) : ERR_OK;
    while (!e && m->left > 0) {
        m->left--;
        e = thin_row(m, stream, &row);
        if (e != ERR_CLOSED) {
            return e;
        }
        bool is_oldest = row.range.first == oldest->range.first;
        e = is_oldest ? ERR_CLOSED : thin_next(m, stream, &row);
    }
    return e && e != ERR_CLOSED ? e : m->left > 0 ? drop_row(m, stream, oldest) : ERR_FULL;
}

/* ERR_CLOSED: nobody can give way; ERR_FULL: enough was done in this commit. */
static enum err give_way(struct making_room *m)
{
    uint16_t stream = 0;
    struct row_place row;
    enum err e = find_lowest(m, &stream, &row);
    if (e) {
        return e;
    }
    return m->b->streams[stream].when_full == FULL_THIN ? thin_one(m, stream, &row)
                                                        : drop_row(m, stream, &row);
}

/* Streams with a bound of their own stay within it, whatever room there is. */
static enum err keep_own_bounds(struct making_room *m)
{
    enum err e = ERR_OK;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        const struct buffer_stream_slot *slot = &m->b->streams[s];
        struct row_place row;
        while (m->arrives[s] && slot->size_max > 0 && slot->when_full == FULL_DROP_OLDEST &&
               m->left > 0 &&
               state_backlog(m->b->next, s) * state_mean_size(m->b->next, s) >
                   (uint64_t)slot->size_max &&
               (e = oldest_row(m, s, &row)) == ERR_OK) {
            e = drop_row(m, s, &row);
            if (e) {
                return e;
            }
        }
        if (e && e != ERR_CLOSED) {
            return e;
        }
    }
    return ERR_OK;
}

/* --- all of it --- */

static void look_at_arrival(struct making_room *m, uint16_t stream)
{
    uint8_t priority = m->b->streams[stream].priority;
    m->arrives[stream] = true;
    m->arrives_any = true;
    m->arrives_low = m->arrives_low || priority < PRIORITY_URGENT;
    m->priority = priority > m->priority ? priority : m->priority;
}

static void look_at_arrivals(struct making_room *m, const struct buffer_write *write)
{
    for (size_t i = 0; i < write->event_count; i++) {
        if (write->events[i].dropped == 0) {
            look_at_arrival(m, write->events[i].stream);
        }
    }
    if (m->b->schema_stream > 0) {
        look_at_arrival(m, m->b->schema_stream);
    }
    int64_t wanted = quota_write_pages(m->b, write) + RESERVE_PAGES +
                     2 * quota_seal_pages(m->b, WRITE_SIZE_MAX) +
                     (m->arrives_low ? m->b->page_max / 20 : 0);
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        wanted += m->arrives[s] ? 0 : quota_share_left(m->b, m->b->next, s);
    }
    m->missing = (wanted - quota_free_pages(m->b)) * PAGE_SIZE;
}

enum err quota_make_room(struct buffer *b, const struct buffer_write *write,
                         struct record_writer *w, struct why *why)
{
    struct making_room m = {.b = b,
                            .w = w,
                            .why = why,
                            .left = DELETES_PER_COMMIT,
                            .rewrite_left = REWRITE_PER_COMMIT,
                            .looks_left = LOOKS_PER_COMMIT};
    enum err e = delete_damaged(&m);
    for (size_t u = 0; !e && u < b->uplink_count; u++) {
        e = keep_hold_max(&m, &b->uplinks[u]);
    }
    e = e ? e : keep_age_max(&m, write);
    look_at_arrivals(&m, write);
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        e = b->next->streams[s].sequence_next > 1 ? delete_unowed(&m, s) : ERR_OK;
    }
    if (e || !m.arrives_any) {
        return e;
    }
    e = keep_own_bounds(&m);
    while (!e && m.left > 0 && m.missing > 0) {
        e = give_way(&m);
    }
    return e == ERR_CLOSED || e == ERR_FULL ? ERR_OK : e;
}
