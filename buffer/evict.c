/* Who gives way: rows that nobody is owed go first, then, where that is not enough for what
 * arrives, the oldest of the lowest streams. Rows of an open parcel stay, and rows that were read
 * just now: a parcel is about to be made of them. */
#include "buffer/internal.h"

#define CUT_PAGES_MIN 16 /* what an uplink pins too much is cut in pieces of this at least */

struct making_room {
    struct buffer *b;
    struct record_writer *w;
    struct why *why;
    unsigned left;   /* rows that may still go in this commit */
    int64_t missing; /* bytes of the file */
    bool arrives[STREAM_COUNT_MAX + 1];
    uint8_t priority;                    /* the highest that arrives */
    bool arrives_low;                    /* something below PRIORITY_AT_ONCE */
    uint64_t from[STREAM_COUNT_MAX + 1]; /* rows below have been looked at, and stay */
};

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- how much of the file is whose, about --- */

static uint64_t mean_size(const struct state *state, uint16_t stream)
{
    const struct state_stream *s = &state->streams[stream];
    return s->sequence_next > 1 ? s->raw_total / (s->sequence_next - 1) + 1 : 1;
}

static uint64_t backlog_size(const struct state *state, uint16_t stream)
{
    return state_backlog(state, stream) * mean_size(state, stream);
}

static uint64_t all_backlog_size(const struct state *state)
{
    uint64_t size = 0;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        size += state->streams[s].sequence_next > 1 ? backlog_size(state, s) : 0;
    }
    return size;
}

static uint64_t used_pages(const struct buffer *b)
{
    return (uint64_t)(b->page_count - b->freelist_count);
}

/* Pages of the file that this much of the whole backlog takes. */
static uint64_t pages_of(const struct buffer *b, uint64_t size, uint64_t all)
{
    return all ? used_pages(b) * size / all : 0;
}

static uint64_t share_pages(const struct buffer *b, int64_t millionths)
{
    return (uint64_t)(b->size_max / 1000000 * millionths) / PAGE_SIZE;
}

/* --- drops --- */

/* Counts what is owed of the range, and says in the record that it is gone. */
static void drop(struct making_room *m, struct gap gap)
{
    if (gap.uplink == 0) {
        gap.count = state_backlog_in(m->b->next, gap.stream, gap.range);
    }
    if (gap.count > 0) {
        state_drop(m->b->next, &gap);
        record_put_drop(m->w, &gap);
    }
}

static enum err row_gone(struct making_room *m, uint16_t stream, const struct row_place *row)
{
    m->left--;
    m->missing -= (int64_t)row->size;
    return row_delete(m->b, stream, row->range.first, m->why);
}

static enum err seek(struct making_room *m, uint16_t stream, uint64_t from, struct row_place *ret)
{
    return from ? row_seek(m->b, stream, from, ret, m->why) : row_lowest(m->b, stream, ret, m->why);
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
        struct range r = b->streams[stream].reads[i];
        if (r.first <= range.last && range.first <= r.last) {
            last = higher(last, r.last);
        }
    }
    return last;
}

static uint64_t being_sent(const struct buffer *b, uint16_t uplink, uint16_t stream,
                           struct range range)
{
    return higher(state_in_flight(b->next, uplink, stream, range), read_lately(b, stream, range));
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
    if (b->next->streams[stream].sequence_next <= 1 || slot->when_full != FULL_DROP_OLDEST ||
        (slot->priority >= m->priority && !m->arrives[stream])) {
        return false;
    }
    if (slot->share_min == 0 || m->arrives[stream]) {
        return true;
    }
    uint64_t mine = pages_of(b, backlog_size(b->next, stream), all_backlog_size(b->next));
    return mine > share_pages(b, slot->share_min);
}

static enum err drop_row(struct making_room *m, uint16_t stream, const struct row_place *row)
{
    m->from[stream] = row->range.last + 1;
    drop(m, (struct gap){.stream = stream, .reason = GAP_DROP_OLDEST, .range = row->range});
    return row_gone(m, stream, row);
}

/* The lowest priority first. ERR_CLOSED: nobody can give way. */
static enum err drop_one(struct making_room *m)
{
    uint16_t best = 0;
    struct row_place best_row = {{0, 0}, 0};
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        struct row_place row;
        if ((best && m->b->streams[s].priority >= m->b->streams[best].priority) ||
            !may_give_way(m, s)) {
            continue;
        }
        enum err e = oldest_row(m, s, &row);
        if (e == ERR_OK) {
            best = s;
            best_row = row;
        } else if (e != ERR_CLOSED) {
            return e;
        }
    }
    return best ? drop_row(m, best, &best_row) : ERR_CLOSED;
}

/* Streams with a bound of their own stay within it, whatever room there is. */
static enum err keep_own_bounds(struct making_room *m)
{
    enum err e = ERR_OK;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        const struct buffer_stream_slot *slot = &m->b->streams[s];
        struct row_place row;
        while (m->arrives[s] && slot->size_max > 0 && slot->when_full == FULL_DROP_OLDEST &&
               m->left > 0 && backlog_size(m->b->next, s) > (uint64_t)slot->size_max &&
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

/* --- what a dead uplink pins --- */

/* Cuts `size` raw bytes off the oldest that this uplink is owed of a stream. False: all of it is
 * being sent. */
static bool cut_oldest(struct making_room *m, const struct owed *owed, uint64_t size)
{
    uint64_t count = size / mean_size(m->b->next, owed->stream) + 1;
    for (size_t r = 0; r < owed->range_count; r++) {
        struct range range = owed->ranges[r];
        uint64_t sent_last = 0;
        while (range.first <= range.last &&
               (sent_last = being_sent(m->b, owed->uplink, owed->stream,
                                       (struct range){range.first, range.first}))) {
            range.first = sent_last + 1;
        }
        if (range.first > range.last) {
            continue;
        }
        range.last = range.last - range.first < count ? range.last : range.first + count - 1;
        if (being_sent(m->b, owed->uplink, owed->stream, range)) {
            range.last = range.first;
        }
        drop(m, (struct gap){.stream = owed->stream,
                             .uplink = owed->uplink,
                             .reason = GAP_HOLD_MAX,
                             .range = range,
                             .count = range.last - range.first + 1});
        return true;
    }
    return false;
}

/* The part of its backlog that an uplink has too much of is cut, the lowest stream first. */
static void keep_hold_max(struct making_room *m, const struct buffer_uplink_slot *uplink)
{
    struct buffer *b = m->b;
    uint64_t all = all_backlog_size(b->next);
    uint64_t pinned = 0;
    bool done = false;
    for (uint32_t i = 0; i < b->next->owed_count; i++) {
        const struct owed *owed = &b->next->owed[i];
        if (owed->uplink == uplink->number) {
            pinned += owed_event_count(owed) * mean_size(b->next, owed->stream);
        }
    }
    uint64_t most = share_pages(b, uplink->hold_max);
    uint64_t pages = pages_of(b, pinned, all);
    if (uplink->hold_max >= 1000000 || pages < most + CUT_PAGES_MIN) {
        return;
    }
    for (int priority = 0; !done && priority <= 9; priority++) {
        for (uint32_t i = 0; !done && i < b->next->owed_count; i++) {
            const struct owed *owed = &b->next->owed[i];
            done = owed->uplink == uplink->number &&
                   b->streams[owed->stream].priority == priority &&
                   cut_oldest(m, owed, (pages - most) * all / used_pages(b));
        }
    }
}

/* --- all of it --- */

static void look_at_arrivals(struct making_room *m, const struct buffer_write *write)
{
    for (size_t i = 0; i < write->event_count; i++) {
        uint16_t stream = write->events[i].stream;
        uint8_t priority = m->b->streams[stream].priority;
        m->arrives[stream] = true;
        m->arrives_low = m->arrives_low || priority < PRIORITY_AT_ONCE;
        m->priority = priority > m->priority ? priority : m->priority;
    }
    int64_t wanted = quota_write_pages(m->b, write) + RESERVE_PAGES +
                     2 * quota_seal_pages(m->b, WRITE_SIZE_MAX) +
                     (m->arrives_low ? m->b->page_max / 20 : 0);
    m->missing = (wanted - quota_free_pages(m->b)) * PAGE_SIZE;
}

enum err quota_make_room(struct buffer *b, const struct buffer_write *write,
                         struct record_writer *w, struct why *why)
{
    struct making_room m = {.b = b, .w = w, .why = why, .left = DELETES_PER_COMMIT};
    enum err e = ERR_OK;
    for (size_t i = 0; i < b->damaged_count; i++) {
        drop(&m, b->damaged[i]);
    }
    for (size_t u = 0; u < b->uplink_count; u++) {
        keep_hold_max(&m, &b->uplinks[u]);
    }
    look_at_arrivals(&m, write);
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        e = b->next->streams[s].sequence_next > 1 ? delete_unowed(&m, s) : ERR_OK;
    }
    if (e || write->event_count == 0) {
        return e;
    }
    e = keep_own_bounds(&m);
    while (!e && m.left > 0 && m.missing > 0) {
        e = drop_one(&m);
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}
