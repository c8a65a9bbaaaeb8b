/* What a person drops while a damaged file is being salvaged: of what is still to come over, too. In the
 * commit's transaction it is cut out of the table, and after it, in the same way, out of memory. */
#include <assert.h>

#include "buffer/damage.h"
#include "buffer/evict.h"

struct dropping {
    struct buffer *b;
    struct record_writer *rec;
    struct buffer_order *order;
    bool only_counts;
};

/* What of the order's range has still to come over. */
static struct range range_left(const struct salvage *w, const struct buffer_order *o)
{
    struct range range = {o->range.first > 0 ? o->range.first : 1,
                          o->range.last < SEQUENCE_MAX ? o->range.last : SEQUENCE_MAX};
    if (o->stream < w->at.stream) {
        return (struct range){1, 0};
    }
    if (o->stream == w->at.stream && range.first <= w->at.low) {
        range.first = w->at.low + 1;
    }
    return range;
}

/* Where the names of uplinks are lost, what is wanted is not of one of them. */
static bool can_drop(const struct salvage *w, const struct buffer_order *o, struct range range)
{
    struct loss loss;
    loss_begin(&loss, w->wanted, o->stream, GAP_BY_HAND, o->uplink);
    return loss_can_cut(&loss, range) && (o->uplink == 0 || !w->everyone);
}

static void cut(struct salvage *w, const struct buffer_order *o, struct range range)
{
    for (uint32_t i = 0; i < w->wanted->owed_count; i++) {
        struct owed *owed = &w->wanted->owed[i];
        if (owed->stream == o->stream && (o->uplink == 0 || owed->uplink == o->uplink)) {
            bool done = owed_cut(owed, range);
            assert(done); /* can_drop() */
        }
    }
}

static void tell(const struct dropping *d, const struct salvage *w, struct range range)
{
    struct buffer_order *o = d->order;
    struct range run;
    for (; salvage_run(w, o->stream, range, &run); range.first = run.last + 1) {
        struct loss loss;
        loss_begin(&loss, w->wanted, o->stream, GAP_BY_HAND, o->uplink);
        loss_add(&loss, run);
        if (loss.count > 0) {
            loss_put(&loss, run, d->b->next, d->rec);
            o->count += loss.count;
        }
    }
}

static bool drop_of(void *context, struct salvage *w)
{
    const struct dropping *d = context;
    struct buffer_order *o = d->order;
    struct range range = range_left(w, o);
    if (!salvage_wants(w, o->stream, range)) {
        return false;
    }
    if (!can_drop(w, o, range)) {
        o->left += state_backlog_in(w->wanted, o->stream, range);
        return false;
    }
    tell(d, w, range);
    if (!d->only_counts) {
        cut(w, o, range);
    }
    return !d->only_counts;
}

enum err salvage_drop(struct buffer *b, const struct buffer_write *write, struct record_writer *rec,
                      bool only_counts, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < write->order_count; i++) {
        struct dropping d = {b, rec, write->orders[i], only_counts};
        if (d.order->kind == ORDER_DROP) {
            e = salvage_change_each(b, drop_of, &d, why);
        }
    }
    return e;
}

void salvage_dropped(struct buffer *b, const struct buffer_write *write)
{
    for (struct salvage *w = b->salvage; w; w = w->before) {
        for (size_t i = 0; i < write->order_count; i++) {
            const struct buffer_order *o = write->orders[i];
            struct range range = range_left(w, o);
            if (o->kind == ORDER_DROP && range.first <= range.last && can_drop(w, o, range)) {
                cut(w, o, range);
            }
        }
    }
}
