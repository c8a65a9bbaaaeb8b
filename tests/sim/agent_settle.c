/* The end of a seed: each event is where it has to be. */
#include <inttypes.h>

#include "buffer/internal.h"
#include "config/config.h"
#include "tests/sim/agent_ledger_impl.h"
#include "tests/sim/sim.h"

bool ledger_is_drained(const struct ledger *ledger, const struct buffer *buffer)
{
    (void)ledger;
    if (buffer->salvage) {
        return false;
    }
    for (uint32_t i = 0; i < buffer->state->owed_count; i++) {
        if (buffer->state->owed[i].range_count > 0) {
            return false;
        }
    }
    return buffer->state->parcel_count == 0;
}

/* Gaps that are not told yet, too. False: not all that was told has arrived, because weir.events
 * itself lost something. */
static bool gaps_complete(struct ledger *ledger, struct buffer *buffer)
{
    const struct state *state = buffer->state;
    uint16_t events = buffer_stream_number(buffer, CONFIG_EVENTS_STREAM);
    struct ledger_gap gap;
    for (uint32_t i = 0; i < state->gap_count; i++) {
        if (ledger_gap_of(ledger, buffer, &state->gaps[i], &gap)) {
            ledger_gap_add(ledger, &gap);
        }
    }
    return ledger->events_arrived >= state->streams[events].sequence_next - 1;
}

static bool gap_concerns(const struct ledger_gap *gap, unsigned stream, unsigned uplink)
{
    return gap->stream == stream && (gap->uplink == 0 || gap->uplink == uplink + 1);
}

/* Is it told as lost to this uplink? */
static bool is_in_a_gap(const struct ledger *ledger, unsigned stream, unsigned uplink,
                        uint64_t sequence)
{
    for (size_t i = 0; i < ledger->gap_count; i++) {
        const struct ledger_gap *gap = &ledger->gaps[i];
        if (gap_concerns(gap, stream, uplink) && gap->first <= sequence && sequence <= gap->last) {
            return true;
        }
    }
    for (size_t i = 0; i < ledger->damage.seen_count; i++) {
        const struct ledger_gap *gap = &ledger->damage.seen[i].gap;
        if (gap_concerns(gap, stream, uplink) && gap->first <= sequence && sequence <= gap->last) {
            return true;
        }
    }
    return false;
}

/* How many of a stream's events an uplink lacks. */
static uint64_t missing_count(struct ledger *ledger, unsigned s, unsigned u, bool listed)
{
    const struct ledger_stream *stream = &ledger->streams[s];
    bool owed = stream->uplinks >> u & 1;
    uint64_t missing = 0;
    for (size_t i = 0; i < stream->count; i++) {
        const struct ledger_event *event = ledger_event(ledger, stream->events[i]);
        bool there = event->arrived[u] > 0;
        SIM_EXPECT(owed || !there);
        /* A batch in doubt may take more than one commit to be set aside, and begins again
         * after a crash between them. */
        SIM_EXPECT(event->aside[u] <= 1 || event->aside_in_doubt);
        /* A batch in doubt that was stored may have been refused when it was sent again. */
        SIM_EXPECT(!there || event->aside[u] == 0 || ledger->in_doubt[u] > 0 ||
                   event->was_again[u]);
        bool is_excused = event->given_again || event->tail_lost;
        if (owed && !there && event->aside[u] == 0 && !is_excused) {
            sim_trace("stream %s, uplink %u lacks %" PRIu64 ", told: %u", ledger_stream_names[s], u,
                      event->sequence, event->told);
            SIM_EXPECT(!listed || is_in_a_gap(ledger, s, u, event->sequence));
            missing++;
        }
    }
    return missing;
}

/* Events that were sent while nothing could be written, owed again because the life ended before it
 * could, and have not arrived again since: dropped, perhaps, and then told as lost. And those that
 * were on their way when their rows were found to be damaged. */
static uint64_t told_and_there(struct ledger *ledger, unsigned s, unsigned u)
{
    const struct ledger_stream *stream = &ledger->streams[s];
    uint64_t count = 0;
    for (size_t i = 0; i < stream->count; i++) {
        const struct ledger_event *event = ledger_event(ledger, stream->events[i]);
        bool may_be = event->again[u] > 0 || ledger->damage.is_possible;
        count += event->arrived[u] > 0 && may_be && is_in_a_gap(ledger, s, u, event->sequence);
    }
    return count;
}

/* Are the counts of what is lost known? */
static bool is_exact(const struct ledger *ledger, unsigned s)
{
    bool exact = !ledger->damage.is_forgetful;
    for (size_t i = 0; i < ledger->gap_count; i++) {
        exact = exact && (ledger->gaps[i].stream != s || ledger->gaps[i].count > 0);
    }
    return exact;
}

struct settling {
    bool listed; /* it is known which events are lost, by one list or the other, */
    bool told;   /* by what has arrived of weir.events, */
    bool exact;  /* and how many */
};

/* What an uplink lacks of a stream is what is told, and no more than what was counted. */
static void uplink_settle(struct ledger *ledger, unsigned s, unsigned u, struct settling how,
                          uint64_t dropped)
{
    const struct ledger_stream *stream = &ledger->streams[s];
    uint64_t lost = 0;
    for (size_t i = 0; i < ledger->gap_count; i++) {
        lost += gap_concerns(&ledger->gaps[i], s, u) ? ledger->gaps[i].count : 0;
    }
    uint64_t missing = missing_count(ledger, s, u, how.listed);
    sim_trace("stream %s, uplink %u: %zu events, %" PRIu64 " missing, told %" PRIu64
              ", dropped %" PRIu64,
              ledger_stream_names[s], u, stream->count, missing, lost, dropped);
    if (!how.exact) {
        return;
    }
    SIM_EXPECT(missing <= dropped);
    uint64_t both = missing < lost ? told_and_there(ledger, s, u) : 0;
    SIM_EXPECT(!how.told || (missing <= lost && lost - missing <= both) ||
               !(stream->uplinks >> u & 1));
    SIM_EXPECT(stream->drops || missing == 0 || ledger->damage.is_possible);
}

static void stream_settle(struct ledger *ledger, struct buffer *buffer, unsigned s,
                          struct settling how)
{
    const struct ledger_stream *stream = &ledger->streams[s];
    uint64_t dropped = state_dropped(buffer->state, stream->number);
    uint64_t all = 0;
    for (size_t i = 0; i < ledger->gap_count; i++) {
        all += ledger->gaps[i].stream == s ? ledger->gaps[i].count : 0;
    }
    how.exact = is_exact(ledger, s);
    SIM_EXPECT(!how.told || !how.exact || all == dropped);
    for (unsigned u = 0; u < LEDGER_UPLINKS; u++) {
        uplink_settle(ledger, s, u, how, dropped);
    }
    for (size_t reason = 1; reason < GAP_REASON_COUNT; reason++) {
        ledger->dropped[reason] += buffer->state->streams[stream->number].dropped[reason];
    }
}

void ledger_settle(struct ledger *ledger, struct buffer *buffer)
{
    ledger_asides_read(ledger, buffer, true);
    struct settling how = {.told = gaps_complete(ledger, buffer)};
    ledger_damage_told(ledger);
    how.listed = how.told || ledger->damage.is_watched;
    if (how.listed && !how.told) {
        ledger_damage_gaps(ledger);
    }
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        stream_settle(ledger, buffer, s, how);
    }
    ledger_asides_check(ledger);
    for (size_t i = 0; i < ledger->event_count; i++) {
        const struct ledger_event *event = &ledger->events[i];
        SIM_EXPECT(event->is_bad || !event->told || event->sequence > 0);
    }
}
