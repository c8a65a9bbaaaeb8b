/* What a person asks for: events that are not to be sent any more, or are to be sent again. */
#include "buffer/internal.h"

/* The open parcel that has the lowest of these sequences; NULL: none has any. */
static const struct parcel *parcel_within(const struct state *state, const struct buffer_order *o,
                                          struct range range)
{
    const struct parcel *lowest = NULL;
    for (uint32_t i = 0; i < state->parcel_count; i++) {
        const struct parcel *p = &state->parcels[i];
        bool meets = p->stream == o->stream && (o->uplink == 0 || p->uplink == o->uplink) &&
                     p->range.first <= range.last && range.first <= p->range.last;
        if (meets && (!lowest || p->range.first < lowest->range.first)) {
            lowest = p;
        }
    }
    return lowest;
}

static uint64_t count_owed(struct state *state, const struct buffer_order *o, struct range range)
{
    const struct owed *owed = o->uplink ? state_owed(state, o->uplink, o->stream) : NULL;
    if (o->uplink == 0) {
        return state_backlog_in(state, o->stream, range);
    }
    return owed ? owed_count_in(owed, range) : 0;
}

/* Can the range be taken out of what every uplink concerned is owed, which is at most eight ranges?
 */
static bool can_be_cut(const struct state *state, const struct buffer_order *o, struct range range)
{
    for (uint32_t i = 0; i < state->owed_count; i++) {
        struct owed owed = state->owed[i];
        if (owed.stream == o->stream && (o->uplink == 0 || o->uplink == owed.uplink) &&
            !owed_cut(&owed, range)) {
            return false;
        }
    }
    return true;
}

static void drop_piece(struct buffer *b, struct buffer_order *o, struct range range,
                       struct record_writer *w)
{
    struct gap gap = {.stream = o->stream,
                      .uplink = o->uplink,
                      .reason = GAP_BY_HAND,
                      .range = range,
                      .count = count_owed(b->next, o, range)};
    if (gap.count == 0) {
        return;
    }
    if (!can_be_cut(b->next, o, range)) {
        o->left += gap.count;
        return;
    }
    state_drop(b->next, &gap);
    record_put_drop(w, &gap);
    o->count += gap.count;
}

/* Open parcels that lie within the range: their events are dropped, then they are closed. */
static void drop_parcels(struct buffer *b, struct buffer_order *o, struct range range,
                         struct record_writer *w)
{
    for (uint32_t i = 0; i < b->next->parcel_count;) {
        struct parcel p = b->next->parcels[i];
        bool within = p.stream == o->stream && (o->uplink == 0 || p.uplink == o->uplink) &&
                      range.first <= p.range.first && p.range.last <= range.last;
        if (!within) {
            i++;
            continue;
        }
        struct buffer_order own = {.uplink = p.uplink, .stream = p.stream};
        drop_piece(b, &own, p.range, w);
        o->count += own.count;
        o->left += own.left;
        struct part_done done = {.uplink = p.uplink, .stream = p.stream, .lane = p.lane};
        for (done.part = 0; done.part < p.part_count; done.part++) {
            state_part_done(b->next, &done); /* the last one closes the parcel */
            record_put_done(w, &done);
        }
    }
}

/* What open parcels have is being sent: it may have arrived, and can't be said to be lost. */
static void order_drop(struct buffer *b, struct buffer_order *o, struct range range,
                       struct record_writer *w)
{
    while (range.first <= range.last) {
        const struct parcel *parcel = parcel_within(b->next, o, range);
        struct range piece = range;
        if (parcel) {
            struct range sent = {parcel->range.first, parcel->range.last};
            sent.first = sent.first > range.first ? sent.first : range.first;
            sent.last = sent.last < range.last ? sent.last : range.last;
            o->left += count_owed(b->next, o, sent);
            piece.last = sent.first - 1;
            range.first = sent.last + 1;
        } else {
            range.first = range.last + 1;
        }
        if (piece.first <= piece.last) {
            drop_piece(b, o, piece, w);
        }
    }
}

void orders_apply(struct buffer *b, const struct buffer_write *write, struct record_writer *w)
{
    for (size_t i = 0; i < write->order_count; i++) {
        struct buffer_order *o = write->orders[i];
        uint64_t end = b->next->streams[o->stream].sequence_next;
        struct range range = o->range;
        o->count = 0;
        o->left = 0;
        range.first = range.first ? range.first : 1;
        range.last = range.last < end ? range.last : end - 1;
        if (end <= 1 || range.first > range.last) {
            continue;
        }
        if (o->kind == ORDER_DROP && o->with_sent) {
            drop_parcels(b, o, range, w);
        }
        if (o->kind == ORDER_DROP) {
            order_drop(b, o, range, w);
            continue;
        }
        struct owed_end again = {o->uplink, o->stream, range};
        o->count = state_owed_again(b->next, &again);
        if (o->count > 0) {
            record_put_again(w, &again);
        }
    }
}
