/* What a person asks for: events that are not to be sent any more, or are to be sent again. */
#include "buffer/evict.h"

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

struct ordering {
    struct buffer *b;
    struct record_writer *w;
    struct why *why;
};

/* What comes with this very commit. */
static void add_arriving(struct loss *loss, const struct record_writer *w, struct range range)
{
    struct slice sections = {w->out->data + w->sections, w->out->size - w->sections};
    struct section section;
    struct section_events events;
    while (section_next(&sections, &section) == ERR_OK) {
        if (section.kind == SECTION_EVENTS && section_events_take(section.payload, &events) &&
            events.stream == loss->stream) {
            uint64_t last = events.first + events.count - 1;
            loss_add(loss, (struct range){events.first > range.first ? events.first : range.first,
                                          last < range.last ? last : range.last});
        }
    }
}

static enum err drop_piece(const struct ordering *a, struct buffer_order *o, struct range range)
{
    struct loss loss;
    struct buffer *b = a->b;
    if (count_owed(b->next, o, range) == 0) {
        return ERR_OK;
    }
    loss_begin(&loss, b->next, o->stream, GAP_BY_HAND, o->uplink);
    enum err e = loss_add_stored(&loss, b, range, a->why);
    add_arriving(&loss, a->w, range);
    if (!e && loss_can_cut(&loss, range)) {
        loss_put(&loss, range, b->next, a->w);
        o->count += loss.count;
    } else if (!e) {
        o->left += loss.count;
    }
    return e;
}

/* Open parcels that lie within the range: their events are dropped, then they are closed. */
static enum err drop_parcels(const struct ordering *a, struct buffer_order *o, struct range range)
{
    struct buffer *b = a->b;
    enum err e = ERR_OK;
    for (uint32_t i = 0; !e && i < b->next->parcel_count;) {
        struct parcel p = b->next->parcels[i];
        bool within = p.stream == o->stream && (o->uplink == 0 || p.uplink == o->uplink) &&
                      range.first <= p.range.first && p.range.last <= range.last;
        if (!within) {
            i++;
            continue;
        }
        struct buffer_order own = {.uplink = p.uplink, .stream = p.stream};
        e = drop_piece(a, &own, p.range);
        o->count += own.count;
        o->left += own.left;
        struct part_done done = {.uplink = p.uplink, .stream = p.stream, .lane = p.lane};
        for (done.part = 0; done.part < p.part_count; done.part++) {
            state_part_done(b->next, &done); /* the last one closes the parcel */
            record_put_done(a->w, &done);
        }
    }
    return e;
}

/* What open parcels have is being sent: it may have arrived, and can't be said to be lost. */
static enum err order_drop(const struct ordering *a, struct buffer_order *o, struct range range)
{
    struct buffer *b = a->b;
    enum err e = ERR_OK;
    while (!e && range.first <= range.last) {
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
            e = drop_piece(a, o, piece);
        }
    }
    return e;
}

enum err orders_apply(struct buffer *b, const struct buffer_write *write, struct record_writer *w,
                      struct why *why)
{
    const struct ordering a = {b, w, why};
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < write->order_count; i++) {
        struct buffer_order *o = write->orders[i];
        if (o->kind == ORDER_ASIDE_DROP) {
            continue; /* asides_apply() */
        }
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
            e = drop_parcels(&a, o, range);
        }
        if (o->kind == ORDER_DROP) {
            e = e ? e : order_drop(&a, o, range);
            continue;
        }
        struct owed_end again = {o->uplink, o->stream, range};
        o->count = state_owed_again(b->next, &again);
        if (o->count > 0) {
            record_put_again(w, &again);
        }
    }
    return e;
}
