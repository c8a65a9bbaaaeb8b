/* What is lost by a rule, and by whom: an uplink that has had an event loses nothing when it goes. */
#include <assert.h>

#include "buffer/evict.h"

void loss_begin(struct loss *loss, const struct state *state, uint16_t stream, uint8_t reason,
                uint16_t uplink)
{
    *loss = (struct loss){.stream = stream,
                          .reason = reason,
                          .all = {.stream = stream, .uplink = uplink, .reason = reason}};
    for (uint32_t i = 0; i < state->owed_count; i++) {
        bool concerns = uplink == 0 || state->owed[i].uplink == uplink;
        if (state->owed[i].stream == stream && concerns) {
            assert(loss->owner_count < UPLINK_COUNT_MAX);
            size_t index = loss->owner_count++;
            loss->owners[index] = &state->owed[i];
            loss->of[index] =
                (struct gap){.stream = stream, .uplink = state->owed[i].uplink, .reason = reason};
        }
    }
}

/* Is the sequence owed? It is the same of all that follow up to *ret_last. */
static bool owner_has(const struct owed *owed, uint64_t sequence, uint64_t *ret_last)
{
    for (size_t r = 0; r < owed->range_count; r++) {
        struct range range = owed->ranges[r];
        if (sequence <= range.last) {
            bool has = range.first <= sequence;
            uint64_t last = has ? range.last : range.first - 1;
            *ret_last = last < *ret_last ? last : *ret_last;
            return has;
        }
    }
    return false;
}

bool loss_is_owed(const struct loss *loss, uint64_t sequence)
{
    uint64_t last = UINT64_MAX;
    for (size_t i = 0; i < loss->owner_count; i++) {
        if (owner_has(loss->owners[i], sequence, &last)) {
            return true;
        }
    }
    return false;
}

void loss_add(struct loss *loss, struct range range)
{
    while (range.first <= range.last) {
        bool has[UPLINK_COUNT_MAX];
        size_t count = 0;
        struct range run = range;
        for (size_t i = 0; i < loss->owner_count; i++) {
            has[i] = owner_has(loss->owners[i], run.first, &run.last);
            count += has[i];
        }
        loss->count += count > 0 ? run.last - run.first + 1 : 0;
        if (count > 0 && count == loss->owner_count) {
            loss->all.count += run.last - run.first + 1;
        }
        for (size_t i = 0; i < loss->owner_count && count < loss->owner_count; i++) {
            if (has[i]) {
                loss->of[i].count += run.last - run.first + 1;
            }
        }
        range.first = run.last + 1;
    }
}

/* So many events of the range are there, it is not known which: whoever is owed any of it loses as many,
 * but no more than he is owed. */
static void loss_add_some(struct loss *loss, struct range range, uint64_t most)
{
    struct loss part = *loss;
    part.count = part.all.count = 0;
    for (size_t i = 0; i < part.owner_count; i++) {
        part.of[i].count = 0;
    }
    loss_add(&part, range);
    uint64_t all = part.all.count < most ? part.all.count : most;
    loss->count += part.count < most ? part.count : most;
    loss->all.count += all;
    for (size_t i = 0; i < part.owner_count; i++) {
        uint64_t rest = most - all;
        loss->of[i].count += part.of[i].count < rest ? part.of[i].count : rest;
    }
}

enum err loss_add_row(struct loss *loss, struct buffer *b, const struct row_place *row,
                      struct range range, struct why *why)
{
    struct row unpacked;
    struct stored_event event;
    range.first = range.first > row->range.first ? range.first : row->range.first;
    range.last = range.last < row->range.last ? range.last : row->range.last;
    if (!row->sparse) {
        loss_add(loss, range);
        return ERR_OK;
    }
    enum err e = row_read(b, loss->stream, row->range.first, &unpacked, why);
    if (e == ERR_CLOSED) { /* damaged: which ones it has is not known, how many is */
        loss_add_some(loss, range, row->count);
    }
    while (!e && (e = event_run_take(&unpacked.events, &event)) == ERR_OK) {
        if (range.first <= event.sequence && event.sequence <= range.last) {
            loss_add(loss, (struct range){event.sequence, event.sequence});
        }
    }
    return e == ERR_CLOSED || e == ERR_CORRUPT ? ERR_OK : e; /* its checksum was right */
}

enum err loss_add_stored(struct loss *loss, struct buffer *b, struct range range, struct why *why)
{
    struct row_place row;
    enum err e = row_at(b, loss->stream, range.first, &row, why);
    while (!e && row.range.first <= range.last) {
        e = loss_add_row(loss, b, &row, range, why);
        e = e ? e : row_seek(b, loss->stream, row.range.last + 1, &row, why);
    }
    for (size_t i = 0; i < b->section_count && (!e || e == ERR_CLOSED); i++) {
        const struct tail_section *t = &b->sections[i];
        uint64_t last = t->first + t->count - 1;
        struct range part = {t->first > range.first ? t->first : range.first,
                             last < range.last ? last : range.last};
        if (t->stream == loss->stream && part.first <= part.last) {
            loss_add(loss, part);
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

bool loss_can_cut(const struct loss *loss, struct range range)
{
    for (size_t i = 0; i < loss->owner_count; i++) {
        struct owed copy = *loss->owners[i];
        if (!owed_cut(&copy, range)) {
            return false;
        }
    }
    return true;
}

static void gap_put(struct gap gap, struct range range, struct state *state,
                    struct record_writer *w)
{
    gap.range = range;
    state_drop(state, &gap);
    record_put_drop(w, &gap);
}

void loss_put(const struct loss *loss, struct range range, struct state *state,
              struct record_writer *w)
{
    if (loss->all.count > 0) {
        gap_put(loss->all, range, state, w);
    }
    for (size_t i = 0; i < loss->owner_count; i++) {
        bool is_cut = loss->reason != GAP_THIN && owed_meets(loss->owners[i], range);
        if (loss->of[i].count > 0 || is_cut) {
            gap_put(loss->of[i], range, state, w);
        }
    }
}

void loss_of_damaged(struct buffer *b, struct record_writer *w)
{
    for (size_t i = 0; i < b->damaged_count; i++) {
        struct loss loss;
        const struct gap *gap = &b->damaged[i];
        if (gap->number == DAMAGED_TOLD) {
            continue;
        }
        loss_begin(&loss, b->next, gap->stream, GAP_DAMAGED, 0);
        loss_add_some(&loss, gap->range, gap->count);
        loss_put(&loss, gap->range, b->next, w);
    }
}
