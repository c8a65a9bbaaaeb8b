/* The gaps that the buffer has noted, as the ledger sees them commit by commit: each has to be told by
 * weir.events, or to be lost with it. */
#include <inttypes.h>

#include "buffer/internal.h"
#include "config/config.h"
#include "tests/sim/agent_ledger_impl.h"
#include "tests/sim/sim.h"

bool ledger_gap_of(const struct ledger *ledger, const struct buffer *buffer, const struct gap *gap,
                   struct ledger_gap *ret)
{
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        if (gap->stream == ledger->streams[s].number) {
            unsigned uplink = gap->uplink ? ledger_uplink_index(buffer, gap->uplink) + 1 : 0;
            *ret = (struct ledger_gap){s, uplink, gap->range.first, gap->range.last, gap->count};
            return true;
        }
    }
    return false;
}

static struct ledger_seen *gap_see(struct ledger_damage *damage, uint32_t number,
                                   const struct ledger_gap *gap)
{
    size_t i = damage->seen_count;
    while (i > 0 &&
           (damage->seen[i - 1].number != number || damage->seen[i - 1].epoch != damage->epoch)) {
        i--;
    }
    if (i == 0) {
        SIM_EXPECT(damage->seen_count < LEDGER_TOLD_MAX);
        i = ++damage->seen_count;
    }
    damage->seen[i - 1] =
        (struct ledger_seen){.number = number, .epoch = damage->epoch, .gap = *gap};
    return &damage->seen[i - 1];
}

void ledger_damage_aside(struct ledger *ledger, uint64_t sequence)
{
    struct ledger_damage *damage = &ledger->damage;
    if (damage->is_watched) {
        SIM_EXPECT(damage->seen_count < LEDGER_TOLD_MAX);
        damage->seen[damage->seen_count++] = (struct ledger_seen){
            .number = UINT32_MAX, .gap = {LEDGER_OF_EVENTS, 0, sequence, sequence, 1}};
    }
}

void ledger_gaps_look(struct ledger *ledger, const struct buffer *buffer)
{
    struct ledger_damage *damage = &ledger->damage;
    const struct state *state = buffer->state;
    struct ledger_gap gap;
    uint16_t events = buffer_stream_number(buffer, CONFIG_EVENTS_STREAM);
    uint64_t next = state->streams[events].sequence_next;
    for (uint32_t i = 0; i < state->gap_count; i++) {
        const struct gap *g = &state->gaps[i];
        unsigned uplink = g->uplink ? ledger_uplink_index(buffer, g->uplink) + 1 : 0;
        if (g->stream == events) {
            gap = (struct ledger_gap){LEDGER_OF_EVENTS, uplink, g->range.first, g->range.last,
                                      g->count};
        } else if (!ledger_gap_of(ledger, buffer, g, &gap)) {
            continue;
        }
        struct ledger_seen *seen = gap_see(damage, g->number, &gap);
        seen->commit = state->commit;
        seen->told_from = next;
    }
    for (size_t i = 0; i < damage->seen_count; i++) {
        struct ledger_seen *seen = &damage->seen[i];
        if (seen->told_before == 0 && seen->commit != state->commit && !damage->is_behind) {
            seen->told_before = next;
        }
    }
}

bool ledger_damage_was_forgotten(const struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->damage.seen_count; i++) {
        const struct ledger_gap *gap = &ledger->damage.seen[i].gap;
        if (gap->first == 1 && gap->count == 0) {
            return true;
        }
    }
    return false;
}

static bool is_told(const struct ledger *ledger, const struct ledger_gap *gap)
{
    for (size_t i = 0; i < ledger->gap_count; i++) {
        const struct ledger_gap *told = &ledger->gaps[i];
        if (told->stream == gap->stream && (told->uplink == 0 || told->uplink == gap->uplink) &&
            told->first <= gap->first && gap->last <= told->last) {
            return true;
        }
    }
    return false;
}

/* May what told it have been lost with weir.events, for the one who listens? */
static bool is_lost_with_events(const struct ledger_damage *damage, const struct ledger_seen *seen)
{
    for (size_t i = 0; i < damage->seen_count; i++) {
        const struct ledger_gap *gap = &damage->seen[i].gap;
        if (gap->stream == LEDGER_OF_EVENTS && gap->uplink <= 1 && gap->last >= seen->told_from &&
            gap->first < seen->told_before) {
            return true;
        }
    }
    return false;
}

void ledger_damage_told(const struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->damage.seen_count; i++) {
        const struct ledger_seen *seen = &ledger->damage.seen[i];
        bool is_fine = seen->gap.stream == LEDGER_OF_EVENTS || seen->is_forgotten ||
                       is_told(ledger, &seen->gap) || is_lost_with_events(&ledger->damage, seen);
        if (!is_fine) {
            sim_trace("the gap %" PRIu32 " of stream %u, uplink %u, %" PRIu64 "..%" PRIu64
                      " is not told, in none of %" PRIu64 "..%" PRIu64,
                      seen->number, seen->gap.stream, seen->gap.uplink, seen->gap.first,
                      seen->gap.last, seen->told_from, seen->told_before);
        }
        SIM_EXPECT(is_fine);
    }
}

void ledger_damage_gaps(struct ledger *ledger)
{
    ledger->gap_count = 0;
    for (size_t i = 0; i < ledger->damage.seen_count; i++) {
        ledger_gap_add(ledger, &ledger->damage.seen[i].gap);
    }
}
