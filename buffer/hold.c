/* How much of the file an uplink that can't send may keep from being freed. */
#include "buffer/evict.h"

#define CUT_SIZE_MIN (16 * PAGE_SIZE) /* what is too much is cut in pieces of this at least */
#define CUT_ROWS_MAX DELETES_PER_COMMIT

/* Bytes of rows that are there because of this uplink, or of others as well. */
static uint64_t pinned_size(const struct state *state, uint16_t uplink)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        uint64_t backlog = owed->uplink == uplink ? state_backlog(state, owed->stream) : 0;
        if (backlog > 0) {
            double share = (double)owed_event_count(owed) / (double)backlog;
            size += (uint64_t)((double)state->streams[owed->stream].row_bytes * share);
        }
    }
    return size;
}

/* The first sequence of the range that is not being sent; behind its end: all is. */
static uint64_t first_at_rest(struct making_room *m, const struct owed *owed, struct range range)
{
    uint64_t sent_last = 0;
    while (range.first <= range.last &&
           (sent_last = being_sent(m->b, owed->uplink, owed->stream,
                                   (struct range){range.first, range.first}))) {
        range.first = sent_last + 1;
    }
    return range.first;
}

/* How much of the range, from its beginning on, lies in rows of `size` bytes: *ret_last; its events
 * go into the loss. ERR_CLOSED: nothing. */
static enum err cut_measure(struct making_room *m, struct range range, uint64_t size,
                            struct loss *loss, uint64_t *ret_last)
{
    struct row_place row;
    uint64_t found = 0;
    uint64_t from = 0;
    enum err e = row_at(m->b, loss->stream, range.first, &row, m->why);
    for (unsigned i = 0; i < CUT_ROWS_MAX && found < size; i++) {
        e = e == ERR_CLOSED && i == 0 ? row_seek(m->b, loss->stream, range.first, &row, m->why) : e;
        struct range part = {row.range.first > range.first ? row.range.first : range.first,
                             row.range.last < range.last ? row.range.last : range.last};
        if (e || part.first > part.last ||
            being_sent(m->b, loss->of[0].uplink, loss->stream, part)) {
            break;
        }
        e = loss_add_row(loss, m->b, &row, part, m->why);
        found += row.size;
        from = row.range.last + 1;
        *ret_last = part.last;
        e = e ? e : row_seek(m->b, loss->stream, from, &row, m->why);
    }
    return e && e != ERR_CLOSED ? e : from ? ERR_OK : ERR_CLOSED;
}

/* Cuts what takes `size` bytes off the oldest that this uplink is owed of a stream. ERR_CLOSED: it
 * is being sent, or not in rows. */
static enum err cut_oldest(struct making_room *m, const struct owed *owed, uint64_t size)
{
    for (size_t r = 0; r < owed->range_count; r++) {
        struct loss loss;
        struct range range = owed->ranges[r];
        loss_begin(&loss, m->b->next, owed->stream, GAP_HOLD_MAX, owed->uplink);
        range.first = first_at_rest(m, owed, range);
        enum err e =
            range.first > range.last ? ERR_CLOSED : cut_measure(m, range, size, &loss, &range.last);
        if (e && e != ERR_CLOSED) {
            return e;
        }
        if (!e && loss_can_cut(&loss, range)) {
            loss_put(&loss, range, m->b->next, m->w);
            return ERR_OK;
        }
    }
    return ERR_CLOSED;
}

enum err keep_hold_max(struct making_room *m, const struct buffer_uplink_slot *uplink)
{
    struct buffer *b = m->b;
    enum err e = ERR_CLOSED;
    uint64_t most = (uint64_t)(b->size_max / 1000000 * uplink->hold_max);
    uint64_t pinned = uplink->hold_max < 1000000 ? pinned_size(b->next, uplink->number) : 0;
    if (pinned < most + CUT_SIZE_MIN) {
        return ERR_OK;
    }
    for (int priority = 0; e == ERR_CLOSED && priority <= 9; priority++) {
        for (uint32_t i = 0; e == ERR_CLOSED && i < b->next->owed_count; i++) {
            const struct owed *owed = &b->next->owed[i];
            if (owed->uplink == uplink->number && b->streams[owed->stream].priority == priority) {
                e = cut_oldest(m, owed, pinned - most);
            }
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}
