/* What damage of the medium changes in the rules of the ledger: what it may forget, and has to tell. */
#include <inttypes.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/internal.h"
#include "buffer/machine.h"
#include "tests/sim/agent_ledger_impl.h"
#include "tests/sim/sim.h"

void ledger_damage_watch(struct ledger *ledger)
{
    ledger->damage.is_watched = true;
}

void ledger_damaged(struct ledger *ledger)
{
    SIM_EXPECT(ledger->damage.is_watched);
    ledger->damage.is_possible = true;
}

/* --- while it runs --- */

/* What was set aside before comes once more, if it can be read. */
static void asides_come_again(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->event_count; i++) {
        struct ledger_event *event = &ledger->events[i];
        event->aside_payload_again += event->aside_payload;
        event->aside_may_lack = event->aside_may_lack || event->told;
        for (unsigned u = 0; u < LEDGER_UPLINKS; u++) {
            event->aside_again[u] += event->aside[u];
        }
    }
}

/* What is in another file now: it may come late; cursors and set-aside events as far as they could
 * be read. */
static void replaced(struct ledger *ledger)
{
    struct ledger_damage *damage = &ledger->damage;
    SIM_EXPECT(damage->is_possible);
    damage->cursors_fall = true;
    asides_come_again(ledger);
    ledger->aside_id = 0;
    ledger->knows_asides = false;
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        ledger->streams[s].ordered_from = ledger->streams[s].count;
    }
}

/* Is it to go there, or to come over first? */
static bool is_owed(const struct state *state, const struct salvage *salvage, uint16_t stream,
                    uint16_t uplink, uint64_t sequence)
{
    const struct range one = {sequence, sequence};
    for (uint32_t i = 0; state && i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        if (owed->stream == stream && owed->uplink == uplink && owed_meets(owed, one)) {
            return true;
        }
    }
    for (const struct salvage *w = salvage; w; w = w->before) {
        for (uint32_t i = 0; i < w->wanted->owed_count; i++) {
            const struct owed *owed = &w->wanted->owed[i];
            if (owed->stream == stream && (owed->uplink == uplink || w->everyone) &&
                owed_meets(owed, one)) {
                return true;
            }
        }
    }
    return false;
}

/* The tail is sealed: whatever becomes of it, what is not owed now is known to be delivered. */
static void sealed(struct ledger *ledger, const struct buffer *buffer)
{
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        const struct ledger_stream *stream = &ledger->streams[s];
        for (size_t i = 0; i < stream->count; i++) {
            struct ledger_event *event = ledger_event(ledger, stream->events[i]);
            for (unsigned u = 0; u < LEDGER_UPLINKS; u++) {
                event->is_sealed[u] = !is_owed(buffer->state, buffer->salvage, stream->number,
                                               buffer->uplinks[u].number, event->sequence);
            }
        }
    }
}

static void settled(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->event_count; i++) {
        struct ledger_event *event = &ledger->events[i];
        memcpy(event->is_settled, event->is_sealed, sizeof event->is_settled);
    }
}

/* The log is checkpointed before a commit, or behind one, when it has no frames. */
static void seals_look(struct ledger *ledger, const struct buffer *buffer)
{
    struct ledger_damage *damage = &ledger->damage;
    if (buffer->wal_frames < damage->wal_frames) {
        settled(ledger);
    }
    if (buffer->state->generation != damage->generation) {
        sealed(ledger, buffer);
    }
    if (buffer->wal_frames == 0) {
        settled(ledger);
    }
    damage->generation = buffer->state->generation;
    damage->wal_frames = buffer->wal_frames;
}

void ledger_damage_look(struct ledger *ledger, struct buffer *buffer)
{
    struct ledger_damage *damage = &ledger->damage;
    const struct state *state = buffer->state;
    if (!damage->is_watched) {
        return;
    }
    if (buffer->damage.replaced > damage->replaced) {
        damage->replaced = buffer->damage.replaced;
        replaced(ledger);
    }
    damage->salvage = buffer->salvage ? buffer->salvage->number : 0;
    if (state->commit != ledger->commit) {
        ledger_gaps_look(ledger, buffer);
        seals_look(ledger, buffer);
    }
}

/* --- a life begins --- */

/* Was it still owed at the end of the last life, and in no open parcel? Then it was not sent. */
static bool was_unsent(const struct state *last, uint16_t stream, uint16_t uplink,
                       uint64_t sequence)
{
    for (uint32_t i = 0; last && i < last->parcel_count; i++) {
        const struct parcel *p = &last->parcels[i];
        if (p->stream == stream && p->uplink == uplink && p->range.first <= sequence &&
            sequence <= p->range.last) {
            return false;
        }
    }
    return is_owed(last, NULL, stream, uplink, sequence);
}

/* The state of the last commit of the last life; NULL: more was known in memory. */
static struct state *last_state(const struct ledger *ledger, const struct buffer *buffer)
{
    struct state *state = NULL;
    if (ledger->noted_size == 0) {
        return NULL;
    }
    enum err e = state_open(&state, buffer->state->owed_max);
    SIM_EXPECT(!e);
    e = state_decode(state, buffer->state->owed_max,
                     (struct slice){ledger->noted, ledger->noted_size});
    SIM_EXPECT(!e);
    return state;
}

/* It may come once more: sent, or refused and set aside. */
static void forget_delivery(struct ledger_event *event, unsigned uplink)
{
    event->is_sealed[uplink] = event->is_settled[uplink] = false;
    event->again[uplink]++;
    event->was_again[uplink] = true;
    event->aside_again[uplink]++;
}

/* What was delivered since the tail was sealed last, and what is on its way; `all`: whatever ever
 * was. */
static void forget_deliveries(struct ledger *ledger, const struct buffer *buffer, bool all)
{
    struct state *last = last_state(ledger, buffer);
    ledger->damage.is_forgetful = true;
    ledger->damage.epoch++;
    for (size_t i = 0; i < ledger->event_count; i++) {
        struct ledger_event *event = &ledger->events[i];
        uint16_t stream = ledger->streams[event->stream].number;
        for (unsigned u = 0; u < LEDGER_UPLINKS && event->sequence > 0; u++) {
            uint16_t uplink = buffer->uplinks[u].number;
            bool is_known =
                event->is_settled[u] || was_unsent(last, stream, uplink, event->sequence);
            if (all || !is_known) {
                forget_delivery(event, u);
            }
        }
    }
    state_close(last);
}

/* The last event of a stream that is to come over; 0: none is. */
static uint64_t wanted_last(const struct buffer *buffer, uint16_t stream)
{
    uint64_t last = 0;
    for (uint32_t i = 0; buffer->salvage && i < buffer->salvage->wanted->owed_count; i++) {
        const struct owed *owed = &buffer->salvage->wanted->owed[i];
        for (size_t r = 0; owed->stream == stream && r < owed->range_count; r++) {
            last = owed->ranges[r].last > last ? owed->ranges[r].last : last;
        }
    }
    return last;
}

/* Nothing of the state is left: what was in rows comes over, or is told as lost; what was behind
 * them went with the tail. */
static void tail_is_lost(struct ledger *ledger, const struct buffer *buffer, unsigned s)
{
    struct ledger_stream *stream = &ledger->streams[s];
    uint64_t last = wanted_last(buffer, stream->number);
    for (size_t i = stream->told_from; i < stream->count; i++) {
        struct ledger_event *event = ledger_event(ledger, stream->events[i]);
        event->tail_lost = event->tail_lost || event->sequence > last;
    }
    stream->told_from = stream->count;
}

/* What was to tell them was lost with the state, or with the tail. */
static void gaps_are_forgotten(struct ledger_damage *damage)
{
    for (size_t i = 0; i < damage->seen_count; i++) {
        damage->seen[i].is_forgotten = true;
    }
}

static bool is_raised(const struct ledger *ledger, const struct buffer *buffer)
{
    bool raised = false;
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        const struct ledger_stream *stream = &ledger->streams[s];
        raised = raised || buffer->state->streams[stream->number].sequence_next > stream->next;
    }
    return raised;
}

static void owed_trace(const char *what, const struct state *state)
{
    for (uint32_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        for (size_t r = 0; r < owed->range_count; r++) {
            sim_trace("%s: stream %u, uplink %u: %" PRIu64 "..%" PRIu64, what, owed->stream,
                      owed->uplink, owed->ranges[r].first, owed->ranges[r].last);
        }
    }
}

bool ledger_is_anew(const struct buffer *buffer, uint32_t before)
{
    bool is_known = before == 0 || before == buffer->incarnation;
    for (size_t i = 0; i < buffer->era_count && !is_known; i++) {
        is_known = before == buffer->eras[i].incarnation; /* on another board */
    }
    return !is_known;
}

bool ledger_damage_recovered(struct ledger *ledger, const struct buffer *buffer)
{
    struct ledger_damage *damage = &ledger->damage;
    uint32_t incarnation = buffer_incarnation(buffer);
    int64_t number = buffer->salvage ? buffer->salvage->number : 0;
    bool is_first = number && number != damage->salvage; /* the life before did not know of it */
    bool is_anew = ledger_is_anew(buffer, damage->incarnation);
    bool raised = is_anew || is_raised(ledger, buffer);
    /* Opened for reading only it is as it is found: what the log has lost is told by the next life
     * that can write. */
    damage->is_behind =
        buffer->read_only && damage->is_possible && buffer->state->commit < ledger->noted_commit;
    bool is_other = buffer->damage.replaced > 0 || is_first || raised || damage->is_behind;
    if (damage->is_possible) {
        owed_trace("owed", buffer->state);
    }
    for (const struct salvage *w = buffer->salvage; w; w = w->before) {
        sim_trace("salvage %" PRId64 " of %s, stream %u, up to %" PRIu64, w->number, w->file,
                  w->at.stream, w->at.low);
        owed_trace("wanted", w->wanted);
    }
    damage->incarnation = incarnation;
    damage->replaced = buffer->damage.replaced;
    damage->salvage = number;
    damage->cursors_fall = damage->cursors_fall || is_other;
    if (!is_other) {
        return false;
    }
    replaced(ledger);
    if (raised || damage->is_behind || (is_first && buffer->salvage->everyone) ||
        ledger->memory_is_lost) {
        forget_deliveries(ledger, buffer,
                          is_anew || (is_first && buffer->salvage->everyone) ||
                              ledger->memory_is_lost);
        ledger->memory_is_lost = false;
    }
    for (unsigned s = 0; s < LEDGER_STREAMS && raised; s++) {
        struct ledger_stream *stream = &ledger->streams[s];
        stream->next = buffer->state->streams[stream->number].sequence_next;
        if (is_anew) {
            tail_is_lost(ledger, buffer, s);
            gaps_are_forgotten(damage);
        }
    }
    return true;
}
