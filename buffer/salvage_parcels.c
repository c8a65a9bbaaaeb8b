/* The rows of open parcels come over at once, before anything is sent. */
#include "buffer/damage.h"

/* Of an open parcel: the tree gives nothing of these, which are owed. At opening they are looked for as the
 * rest, but where its uplink's list of ranges is full; while the buffer runs the parcel is under way, and
 * what it has would be ended with it: they are lost. */
static void parcel_lacks(struct buffer *b, const struct parcel *p, struct owed *owed,
                         struct range range)
{
    struct owed *wanted = state_owed(b->salvage->wanted, p->uplink, p->stream);
    b->salvage->parcel_hurt = true;
    if (b->setup && wanted && wanted->range_count < OWED_RANGE_MAX - 1 && owed_cut(owed, range)) {
        owed_insert(wanted, range);
    } else if (!b->salvage->parcels_told) {
        struct gap gap = {.stream = p->stream,
                          .uplink = p->uplink,
                          .reason = GAP_DAMAGED,
                          .range = range,
                          .count = range.last - range.first + 1};
        state_drop(b->state, &gap);
    }
}

/* From here to there the tree gives nothing; what is not owed was never there. Where a full list did not
 * let the parcel's range be taken out of what is wanted, that is looked for as the rest. */
static void parcel_hole(struct buffer *b, const struct parcel *p, uint64_t first, uint64_t last)
{
    struct owed *owed = state_owed(b->state, p->uplink, p->stream);
    const struct owed *wanted = state_owed(b->salvage->wanted, p->uplink, p->stream);
    struct owed was = owed ? *owed : (struct owed){.range_count = 0};
    struct range hole;
    struct range part;
    bool has_any = range_common(p->range, (struct range){first, last}, &hole);
    if (has_any && wanted && owed_meets(wanted, hole)) {
        b->salvage->parcel_hurt = true;
    }
    for (size_t r = 0; has_any && r < was.range_count; r++) {
        if (range_common(was.ranges[r], hole, &part)) {
            parcel_lacks(b, p, owed, part);
        }
    }
}

static enum err parcel_rows(struct buffer *b, const struct parcel *p, struct why *why)
{
    struct salvage *w = b->salvage;
    uint64_t end = tail_first(b, p->stream); /* from there on its events are in memory */
    uint64_t next = p->range.first;          /* up to here all is accounted for */
    uint64_t at = next;
    struct found_row row;
    int64_t id;
    enum err e = ERR_OK;
    int code = next < end ? salvage_seek_in(w->below, p->stream, 0, next + 1, &id) : SQLITE_DONE;
    if (code == SQLITE_ROW && found_take(w->below, &row)) {
        e = salvage_bring(b, b->state, NULL, &row, why);
        next = row.range.last >= next ? row.range.last + 1 : next;
    }
    e = e ? e : damaged_trouble(w->source, code, why);
    while (!e && (code = salvage_seek_in(w->above, p->stream, at, p->range.last + 1, &id)) ==
                     SQLITE_ROW) {
        at = (uint64_t)id & SEQUENCE_MAX;
        if (found_take(w->above, &row)) {
            e = salvage_bring(b, b->state, NULL, &row, why);
            parcel_hole(b, p, next, row.range.first - 1);
            next = row.range.last >= next ? row.range.last + 1 : next;
        }
    }
    e = e ? e : damaged_trouble(w->source, code, why);
    if (!e) {
        parcel_hole(b, p, next, end - 1);
    }
    return e;
}

enum err salvage_parcels(struct buffer *b, const struct buffer_write *write, struct why *why)
{
    struct salvage *w = b->salvage;
    enum err e = ERR_OK;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        b->state->streams[s].row_events = 0; /* a try before may have failed */
        b->state->streams[s].row_bytes = 0;
    }
    for (uint32_t i = 0; !e && i < b->state->parcel_count;) {
        w->parcel_hurt = false;
        e = parcel_rows(b, &b->state->parcels[i], why);
        bool is_hurt = w->parcel_hurt || !schema_is_known(b, b->state->parcels[i].schema);
        if (!e && is_hurt && b->setup) { /* can't be sent again as it was */
            state_parcel_forget(b->state, &b->state->parcels[i]);
        } else {
            i++;
        }
    }
    for (size_t i = 0; !e && i < write->parcel_count; i++) {
        e = parcel_rows(b, write->parcels[i], why);
    }
    w->parcels_told = w->parcels_told || !e;
    (void)sqlite3_reset(w->above); /* nothing is held of the file */
    (void)sqlite3_reset(w->below);
    return e;
}
