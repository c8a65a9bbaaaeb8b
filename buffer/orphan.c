/* What is owed, and nobody in the configuration would deliver it: refused, or, where damage has taken
 * a name, told. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buffer/damage.h"
#include "ports/log.h"

/* --- what is open --- */

static bool setup_carries(const struct buffer *b, const struct buffer_setup *setup,
                          const struct owed *owed)
{
    for (size_t u = 0; u < setup->uplink_count; u++) {
        for (size_t i = 0; b->uplinks[u].number == owed->uplink && i < setup->stream_count; i++) {
            bool carried = setup->streams[i].uplinks >> u & 1;
            if (carried && buffer_stream_number(b, setup->streams[i].name) == owed->stream) {
                return true;
            }
        }
    }
    return false;
}

/* The agent's own, also one that it has no more: no name of a user's begins so. */
static bool name_is_own(const char *name)
{
    return strncmp(name, BUFFER_OWN_NAME, sizeof BUFFER_OWN_NAME - 1) == 0;
}

/* Nobody wants it any more: its open parcels, if there are any, go with it. */
static void owed_let_go(struct state *state, const struct owed *owed)
{
    static const uint8_t lanes[] = {LANE_FRESH, LANE_BACKFILL};
    for (size_t i = 0; i < ARRAY_COUNT(lanes); i++) {
        struct part_done done = {.uplink = owed->uplink, .stream = owed->stream, .lane = lanes[i]};
        const struct parcel *parcel = state_parcel(state, owed->uplink, owed->stream, lanes[i]);
        for (uint32_t left = parcel ? parcel->part_count : 0; left > 0; left--) {
            done.part = left - 1;
            state_part_done(state, &done); /* the last one closes the parcel */
        }
    }
}

/* Was one of the names lost with a damaged file? Then no configuration can bring it back. While the
 * file is being replaced, a name that nobody has may be one that the damage has changed. */
static bool is_nameless(struct buffer *b, const struct owed *owed)
{
    if (!b->salvage || b->damage.replaced > 0) {
        return b->salvage;
    }
    char lost[STREAM_NAME_SIZE_MAX];
    char sql[80];
    (void)snprintf(lost, sizeof lost, LOST_STREAM_NAME, owed->stream); /* fits */
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM uplink WHERE id=%u",
                   owed->uplink); /* fits */
    return strcmp(b->streams[owed->stream].name, lost) == 0 || sql_number(b, sql, 1) == 0;
}

static bool may_let_go(struct buffer *b, const struct owed *owed)
{
    const struct buffer_stream_slot *slot = &b->streams[owed->stream];
    return name_is_own(slot->name) || is_nameless(b, owed);
}

static enum err orphan_refused(struct buffer *b, const struct owed *owed, struct why *why)
{
    const char *stream = b->streams[owed->stream].name;
    char name[UPLINK_NAME_SIZE];
    join_uplink_name(b, owed->uplink, name);
    why_set(why,
            "%s still has %" PRIu64 " events of stream %s for uplink %s, which the "
            "configuration does not carry any more: bring them back until they are "
            "delivered, say renamed_from when they have another name now, or let them go: "
            "weir buffer drop --uplink %s --stream %s",
            b->path, owed_event_count(owed), stream, name, name, stream);
    return ERR_CONFIG;
}

/* The same of what is still to come over from a damaged file. */
static enum err wanted_refused(struct buffer *b, const struct owed *owed, struct why *why)
{
    char name[UPLINK_NAME_SIZE];
    join_uplink_name(b, owed->uplink, name);
    why_set(why,
            "%s: up to %" PRIu64 " events of stream %s for uplink %s are still being salvaged from "
            "a damaged file, and the configuration does not carry them any more: bring them back "
            "until that has ended, or say renamed_from when they have another name now",
            b->path, owed_event_count(owed), b->streams[owed->stream].name, name);
    return ERR_CONFIG;
}

/* After damage whose it was may not be known any more. What the uplink would have got is told. */
static void owed_tell(struct state *state, const struct owed *owed)
{
    struct owed lost = *owed;
    for (size_t r = 0; r < lost.range_count; r++) {
        struct gap gap = {.stream = lost.stream,
                          .uplink = lost.uplink,
                          .reason = GAP_DAMAGED,
                          .range = lost.ranges[r],
                          .count = lost.ranges[r].last - lost.ranges[r].first + 1};
        state_drop(state, &gap);
    }
}

/* Whose it was is not known any more: all uplinks that carry the stream get it. */
static void owed_share(const struct buffer *b, const struct buffer_setup *setup,
                       const struct owed *from)
{
    for (uint32_t i = 0; i < b->state->owed_count; i++) {
        struct owed *owed = &b->state->owed[i];
        for (size_t r = 0;
             owed->stream == from->stream && setup_carries(b, setup, owed) && r < from->range_count;
             r++) {
            owed_insert(owed, from->ranges[r]);
        }
    }
}

struct checking {
    struct buffer *b; /* or the damaged file */
    const struct buffer_setup *setup;
    struct why *why;
    /* Of the damaged file: the numbers that it has for the names of the configuration; 0: none. */
    int64_t streams[STREAM_COUNT_MAX];
    int64_t uplinks[UPLINK_COUNT_MAX];
};

/* A salvage whose turn comes later. */
static enum err wanted_check(void *context, const struct salvage *w)
{
    struct checking *c = context;
    for (uint32_t i = 0; i < w->wanted->owed_count && !w->everyone; i++) {
        const struct owed *owed = &w->wanted->owed[i];
        bool is_over = owed->range_count == 0 || owed->stream < w->at.stream;
        if (!is_over && !setup_carries(c->b, c->setup, owed) && !may_let_go(c->b, owed)) {
            return wanted_refused(c->b, owed, c->why);
        }
    }
    return ERR_OK;
}

/* What is to be salvaged, and nobody in the configuration would deliver it. Of a file that a person
 * names, which may know uplinks that left long ago, it is let go. */
static enum err wanted_let_go(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    struct state *wanted = b->salvage->wanted;
    bool changed = false;
    for (uint32_t i = 0; i < wanted->owed_count && !b->salvage->everyone; i++) {
        struct owed *owed = &wanted->owed[i];
        if (owed->range_count == 0 || owed->stream < b->salvage->at.stream ||
            setup_carries(b, setup, owed)) {
            continue;
        }
        if (b->salvage->number < NUMBER_OF_USER && !may_let_go(b, owed)) {
            return wanted_refused(b, owed, why);
        }
        owed_tell(b->state, owed);
        owed->range_count = 0;
        changed = true;
    }
    b->joined = b->joined || changed;
    return changed ? salvage_put(b, why) : ERR_OK;
}

enum err orphans_check(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    struct state *state = b->state;
    for (uint32_t i = 0; i < state->owed_count;) {
        struct owed *owed = &state->owed[i];
        if (setup_carries(b, setup, owed)) {
            i++;
            continue;
        }
        if (owed->range_count > 0 && !may_let_go(b, owed)) {
            return orphan_refused(b, owed, why);
        }
        if (owed->range_count > 0 && name_is_own(b->streams[owed->stream].name)) {
            log_warn("buffer",
                     "%" PRIu64 " events of stream %s, which nobody carries any more, are "
                     "let go",
                     owed_event_count(owed), b->streams[owed->stream].name);
        }
        b->joined = true;
        if (b->salvage && b->salvage->everyone) {
            owed_share(b, setup, owed);
        } else if (b->salvage) {
            owed_tell(state, owed);
        }
        owed_let_go(state, owed);
        state->owed_count--;
        memmove(owed, owed + 1, (state->owed_count - i) * sizeof *owed);
    }
    enum err e = b->salvage ? wanted_let_go(b, setup, why) : ERR_OK;
    struct checking checking = {.b = b, .setup = setup, .why = why};
    return e ? e : salvage_wanted_each(b, wanted_check, &checking);
}

/* --- a damaged file, before it is moved --- */

/* The stream of the configuration that has this number; NULL: none. */
static const struct buffer_stream *stream_of(const struct checking *c, uint16_t number)
{
    for (size_t i = 0; i < c->setup->stream_count; i++) {
        if (c->streams[i] == number) {
            return &c->setup->streams[i];
        }
    }
    return NULL;
}

static enum err damaged_owed(struct checking *c, const struct owed *owed)
{
    const struct buffer_stream *carried = stream_of(c, owed->stream);
    char stream[UPLINK_NAME_SIZE];
    char uplink[UPLINK_NAME_SIZE];
    bool is_carried = carried && name_is_own(carried->name);
    for (size_t u = 0; carried && u < c->setup->uplink_count; u++) {
        is_carried = is_carried || (c->uplinks[u] == owed->uplink && carried->uplinks >> u & 1);
    }
    if (owed->range_count == 0 || is_carried) {
        return ERR_OK;
    }
    enum err e = names_read(c->b, "stream", owed->stream, stream, c->why);
    e = e ? e : names_read(c->b, "uplink", owed->uplink, uplink, c->why);
    if (e || !stream[0] || !uplink[0] || name_is_own(stream)) {
        return e;
    }
    why_set(c->why,
            "%s is damaged, and was to deliver %" PRIu64
            " events of stream %s for uplink %s, which "
            "the configuration does not carry any more: bring them back until what can be read is "
            "delivered, or say renamed_from when they have another name now; nothing was touched",
            c->b->path, owed_event_count(owed), stream, uplink);
    return ERR_CONFIG;
}

static enum err damaged_wanted(void *context, const struct salvage *w)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; !e && i < w->wanted->owed_count && !w->everyone; i++) {
        const struct owed *owed = &w->wanted->owed[i];
        e = owed->stream < w->at.stream ? ERR_OK : damaged_owed(context, owed);
    }
    return e;
}

enum err orphans_check_damaged(struct buffer *source, const struct buffer_setup *setup,
                               struct why *why)
{
    struct checking c = {.b = source, .setup = setup, .why = why};
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < setup->stream_count; i++) {
        const char *const names[] = {setup->streams[i].name, setup->streams[i].renamed_from};
        e = names_number(source, "stream", names, &c.streams[i], why);
    }
    for (size_t i = 0; !e && i < setup->uplink_count; i++) {
        const char *const names[] = {setup->uplinks[i].name, setup->uplinks[i].renamed_from};
        e = names_number(source, "uplink", names, &c.uplinks[i], why);
    }
    for (uint32_t i = 0; !e && i < source->state->owed_count; i++) {
        e = damaged_owed(&c, &source->state->owed[i]);
    }
    return e ? e : salvage_wanted_each(source, damaged_wanted, &c);
}
