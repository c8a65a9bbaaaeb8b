#include "agent/carry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct parcels {
    struct parcel list[BUFFER_PARCEL_MAX];
    size_t count;
};

struct carry {
    uint32_t incarnation;
    struct owed *owed;
    size_t owed_count;
    struct parcels parcels;
};

/* What makes a buffer as far as the carry is. */
struct giving {
    struct parcels there; /* on its disk */
    struct part_done dones[BUFFER_PARCEL_MAX * PARCEL_PART_MAX];
    struct owed_end *ends;
    const struct parcel *parcels[BUFFER_PARCEL_MAX];
    struct buffer_write write;
};

static void parcel_copy(void *context, const struct parcel *parcel)
{
    struct parcels *parcels = context;
    assert(parcels->count < BUFFER_PARCEL_MAX);
    parcels->list[parcels->count++] = *parcel;
}

enum err carry_take(struct carry **ret, struct buffer *buffer)
{
    struct buffer_changes state;
    buffer_state(buffer, &state);
    *ret = NULL;
    if (state.unsaved == 0) {
        return ERR_OK;
    }
    struct carry *carry = calloc(1, sizeof *carry);
    struct owed *owed = calloc(state.owed_count + 1, sizeof *owed);
    if (!carry || !owed) {
        free(carry);
        free(owed);
        return ERR_NOMEM;
    }
    carry->incarnation = buffer_incarnation(buffer);
    carry->owed = owed;
    carry->owed_count = state.owed_count;
    memcpy(owed, state.owed, state.owed_count * sizeof *owed);
    buffer_parcel_each(buffer, parcel_copy, &carry->parcels);
    *ret = carry;
    return ERR_OK;
}

void carry_close(struct carry *carry)
{
    if (carry) {
        free(carry->owed);
        free(carry);
    }
}

static const struct parcel *find(const struct parcels *parcels, const struct parcel *like)
{
    for (size_t i = 0; i < parcels->count; i++) {
        const struct parcel *p = &parcels->list[i];
        if (p->uplink == like->uplink && p->stream == like->stream && p->lane == like->lane &&
            p->range.first == like->range.first && p->range.last == like->range.last) {
            return p;
        }
    }
    return NULL;
}

/* Parcels that were closed in memory are closed; those that are open there are opened as they are. */
static void give_parcels(struct giving *g, const struct carry *carry)
{
    for (size_t i = 0; i < g->there.count; i++) {
        const struct parcel *p = &g->there.list[i];
        for (uint32_t part = 0; !find(&carry->parcels, p) && part < p->part_count; part++) {
            g->dones[g->write.done_count++] = (struct part_done){
                .uplink = p->uplink, .stream = p->stream, .lane = p->lane, .part = part};
        }
    }
    for (size_t i = 0; i < carry->parcels.count; i++) {
        g->parcels[g->write.parcel_count++] = &carry->parcels.list[i];
    }
}

/* What is owed by `now` and not by `then`. */
static void give_ends(struct giving *g, const struct owed *now, const struct owed *then)
{
    for (size_t i = 0; i < now->range_count; i++) {
        uint64_t first = now->ranges[i].first;
        uint64_t last = now->ranges[i].last;
        for (size_t k = 0; k < then->range_count && first <= last; k++) {
            struct range still = then->ranges[k];
            if (still.last < first || still.first > last) {
                continue;
            }
            if (still.first > first) {
                g->ends[g->write.end_count++] =
                    (struct owed_end){now->uplink, now->stream, {first, still.first - 1}};
            }
            first = still.last + 1;
        }
        if (first <= last) {
            g->ends[g->write.end_count++] =
                (struct owed_end){now->uplink, now->stream, {first, last}};
        }
    }
}

static void give_owed(struct giving *g, const struct carry *carry,
                      const struct buffer_changes *state)
{
    for (size_t i = 0; i < state->owed_count; i++) {
        for (size_t k = 0; k < carry->owed_count; k++) {
            if (carry->owed[k].uplink == state->owed[i].uplink &&
                carry->owed[k].stream == state->owed[i].stream) {
                give_ends(g, &state->owed[i], &carry->owed[k]);
            }
        }
    }
}

enum err carry_give(const struct carry *carry, struct buffer *buffer, bool is_read_only,
                    struct why *why)
{
    struct buffer_changes state;
    if (!buffer_incarnation_is_ours(buffer, carry->incarnation)) {
        return ERR_OK; /* an earlier one may have ended at this opening, or at a try before it */
    }
    buffer_state(buffer, &state);
    struct giving *g = calloc(1, sizeof *g);
    struct owed_end *ends = calloc(state.owed_count * (OWED_RANGE_MAX + 1) * 2 + 1,
                                   sizeof *ends); /* each range in two */
    if (!g || !ends) {
        free(g);
        free(ends);
        return ERR_NOMEM;
    }
    g->ends = ends;
    buffer_parcel_each(buffer, parcel_copy, &g->there);
    give_parcels(g, carry);
    give_owed(g, carry, &state);
    g->write.dones = g->dones;
    g->write.ends = ends;
    g->write.parcels = g->parcels;
    enum err e = is_read_only ? buffer_keep(buffer, &g->write, &state, why)
                              : buffer_commit(buffer, &g->write, &state, why);
    free(ends);
    free(g);
    return e;
}
