/* Events that are older than their stream wants. They go in the order in which they came, whether
 * they are in rows or in the tail: nobody is owed them any more. What is being sent stays. */
#include "buffer/evict.h"

/* Some are let go together, so that an idle buffer does not commit for each of them. */
#define STEP_US_MAX INT64_C(60000000)
#define LOOK_AGAIN_US INT64_C(600000000) /* when nothing is known of the next one */

struct looking {
    struct making_room *m;
    uint16_t stream;
    int64_t wall_us;
    int64_t age_max_us;
    struct range range; /* of sequences that may go */
    uint64_t old;       /* the last one that is too old; 0: none is */
    int64_t due_us;     /* when to look again */
    bool ended;
};

/* What is not known to be old goes with an old one that came after it. */
static void look_at(struct looking *l, struct stored_event *event)
{
    int64_t step_us = l->age_max_us / 64 < STEP_US_MAX ? l->age_max_us / 64 : STEP_US_MAX;
    if (!state_time(l->m->b->next, event) || event->time_us > l->wall_us) {
        return; /* nobody knows it, or it can't be, because it is still to come */
    }
    if (event->time_us < l->wall_us - l->age_max_us) {
        l->old = event->sequence;
    } else {
        l->due_us = event->time_us + l->age_max_us + step_us;
        l->ended = true;
    }
}

static void look_at_run(struct looking *l, struct event_run run)
{
    struct stored_event event;
    while (!l->ended && event_run_take(&run, &event) == ERR_OK) {
        if (event.sequence > l->range.last) {
            l->ended = true;
        } else if (event.sequence >= l->range.first) {
            look_at(l, &event);
        }
    }
}

/* Rows are unpacked for it: some in each commit. */
static enum err look_at_rows(struct looking *l)
{
    struct row_place place;
    struct row row;
    struct buffer *b = l->m->b;
    enum err e = row_at(b, l->stream, l->range.first, &place, l->m->why);
    while (!l->ended && e == ERR_OK) {
        if (l->m->looks_left == 0) {
            l->due_us = 0;
            l->ended = true;
            return ERR_OK;
        }
        l->m->looks_left--;
        e = row_read(b, l->stream, place.range.first, &row, l->m->why);
        if (e == ERR_OK) {
            look_at_run(l, row.events);
        } else if (e != ERR_CLOSED) {
            return e;
        } /* else damaged: told when it is read */
        e = row_seek(b, l->stream, place.range.last + 1, &place, l->m->why);
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

static void look_at_tail(struct looking *l)
{
    const struct buffer *b = l->m->b;
    for (size_t i = 0; i < b->section_count && !l->ended; i++) {
        const struct tail_section *t = &b->sections[i];
        if (t->stream == l->stream) {
            look_at_run(l, (struct event_run){.next = t->first,
                                              .count = t->count,
                                              .events = {b->tail_memory + t->offset, t->size}});
        }
    }
}

/* --- letting go --- */

/* The lowest owed sequences that are not being sent. False: there are none. */
static bool find_range(struct making_room *m, uint16_t stream, struct range *ret)
{
    const struct state *state = m->b->next;
    uint64_t sent_last = 0;
    ret->first = state_lowest_owed(state, stream);
    while (ret->first < state->streams[stream].sequence_next &&
           (sent_last = being_sent(m->b, 0, stream, (struct range){ret->first, ret->first}))) {
        ret->first = sent_last + 1;
    }
    ret->last = being_sent_from(m->b, stream, ret->first) - 1;
    return ret->first < state->streams[stream].sequence_next;
}

static enum err stream_keep(struct making_room *m, uint16_t stream, int64_t wall_us)
{
    struct buffer_stream_slot *slot = &m->b->streams[stream];
    struct looking l = {.m = m,
                        .stream = stream,
                        .wall_us = wall_us,
                        .age_max_us = slot->age_max_us,
                        .due_us = wall_us + LOOK_AGAIN_US};
    struct loss loss;
    if (!find_range(m, stream, &l.range)) {
        bool is_empty =
            state_lowest_owed(m->b->next, stream) == m->b->next->streams[stream].sequence_next;
        slot->age_due_us = wall_us + (is_empty ? slot->age_max_us : LOOK_AGAIN_US);
        return ERR_OK;
    }
    enum err e = look_at_rows(&l);
    if (e) {
        return e;
    }
    look_at_tail(&l);
    slot->age_due_us = l.due_us;
    loss_begin(&loss, m->b->next, stream, GAP_AGE, 0);
    l.range.last = l.old;
    e = l.old ? loss_add_stored(&loss, m->b, l.range, m->why) : ERR_OK;
    if (!e && l.old && loss_can_cut(&loss, l.range)) {
        loss_put(&loss, l.range, m->b->next, m->w);
    }
    return e;
}

/* What comes with a time of its own may be older than what is there. */
static void look_at_arrivals(struct buffer *b, const struct buffer_write *write)
{
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX && write->boot_count > 0; s++) {
        b->streams[s].age_due_us = 0; /* times become known */
    }
    for (size_t i = 0; i < write->event_count; i++) {
        const struct stored_event *event = &write->events[i];
        struct buffer_stream_slot *slot = &b->streams[event->stream];
        bool is_sooner = event->trust != TIME_BOOT && event->dropped == 0 &&
                         event->time_us < slot->age_due_us - slot->age_max_us;
        if (slot->age_max_us > 0 && is_sooner) {
            slot->age_due_us = event->time_us + slot->age_max_us;
        }
    }
}

enum err keep_age_max(struct making_room *m, const struct buffer_write *write)
{
    struct buffer *b = m->b;
    int64_t wall_us = write->wall_us;
    enum err e = ERR_OK;
    look_at_arrivals(b, write);
    for (uint16_t i = 0; !e && wall_us > 0 && i < STREAM_COUNT_MAX; i++) {
        /* Another one begins each time: no stream uses up what all may look at. */
        uint16_t s = (uint16_t)(1 + (b->state->commit + i) % STREAM_COUNT_MAX);
        const struct buffer_stream_slot *slot = &b->streams[s];
        if (slot->configured && slot->age_max_us > 0 && wall_us >= slot->age_due_us) {
            e = stream_keep(m, s, wall_us);
        }
    }
    return e;
}
