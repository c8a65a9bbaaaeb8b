#include "agent/aside_head.h"
#include "tests/sim/agent_ledger_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "config/config.h"
#include "tests/sim/sim.h"

#define ASIDE_COUNT_MAX 100000

const char *const ledger_stream_names[LEDGER_STREAMS] = {"slow", "drop", "raw"};

void ledger_open(struct ledger *ledger)
{
    *ledger = (struct ledger){.events = calloc(LEDGER_EVENT_MAX, sizeof *ledger->events),
                              .numbers = calloc(LEDGER_NUMBER_MAX, sizeof *ledger->numbers),
                              .noted = calloc(2, STATE_SIZE_MAX)};
    ledger->damage.seen = calloc(LEDGER_TOLD_MAX, sizeof *ledger->damage.seen);
    ledger->plans = ledger_plans_open();
    assert(ledger->events && ledger->numbers && ledger->noted && ledger->damage.seen);
    for (size_t s = 0; s < LEDGER_STREAMS; s++) {
        ledger->streams[s].events = calloc(LEDGER_EVENT_MAX, sizeof *ledger->streams[s].events);
        ledger->streams[s].next = 1;
        assert(ledger->streams[s].events);
    }
}

void ledger_close(struct ledger *ledger)
{
    free(ledger->events);
    free(ledger->numbers);
    free(ledger->noted);
    free(ledger->damage.seen);
    ledger_plans_close(ledger->plans);
    state_close(ledger->memory);
    for (size_t s = 0; s < LEDGER_STREAMS; s++) {
        free(ledger->streams[s].events);
    }
}

/* --- sources --- */

uint32_t ledger_new(struct ledger *ledger, const struct ledger_event *event)
{
    SIM_EXPECT(ledger->event_count < LEDGER_EVENT_MAX);
    ledger->events[ledger->event_count++] = *event;
    return (uint32_t)ledger->event_count;
}

struct ledger_event *ledger_event(struct ledger *ledger, uint32_t number)
{
    SIM_EXPECT(number >= 1 && number <= ledger->event_count);
    return &ledger->events[number - 1];
}

void ledger_admitted(struct ledger *ledger, uint32_t number, const char *reason)
{
    struct ledger_event *event = ledger_event(ledger, number);
    struct ledger_stream *stream = &ledger->streams[event->stream];
    SIM_EXPECT(event->sequence == 0 && event->is_bad == (reason[0] != 0));
    if (event->is_bad) {
        return;
    }
    SIM_EXPECT(stream->count < LEDGER_EVENT_MAX);
    event->sequence = stream->next++;
    event->place = (uint32_t)stream->count;
    stream->events[stream->count++] = number;
}

void ledger_told(struct ledger *ledger, const struct buffer *buffer, uint32_t number)
{
    struct ledger_event *event = ledger_event(ledger, number);
    const struct ledger_stream *stream = &ledger->streams[event->stream];
    SIM_EXPECT(!event->told);
    SIM_EXPECT(event->is_bad || event->sequence > 0);
    SIM_EXPECT(event->sequence < buffer->state->streams[stream->number].sequence_next);
    event->told = true;
    ledger->told++;
}

/* An event carries "(no.NUMBER)" somewhere, whatever the schema. */
uint32_t ledger_number_in(struct slice bytes)
{
    const uint8_t *at = bytes.size ? memmem(bytes.data, bytes.size, "(no.", 4) : NULL;
    uint32_t number = 0;
    for (at = at ? at + 4 : NULL; at && at < bytes.data + bytes.size && *at != ')'; at++) {
        SIM_EXPECT(*at >= '0' && *at <= '9');
        number = number * 10 + (uint32_t)(*at - '0');
    }
    return number;
}

/* --- what is on record --- */

static uint64_t number_hash(unsigned uplink, int64_t producer_id, uint32_t partition,
                            int64_t base_sequence, uint32_t count)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) * (uplink + 1);
    const uint64_t values[] = {(uint64_t)producer_id, partition, (uint64_t)base_sequence, count};
    for (size_t i = 0; i < 4; i++) {
        hash = (hash ^ values[i]) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    return hash | 1;
}

/* True: it is there (now). */
static bool numbers_find(struct ledger *ledger, uint64_t hash, bool add)
{
    size_t place = hash >> 8 & (LEDGER_NUMBER_MAX - 1);
    for (size_t i = 0; i < LEDGER_NUMBER_MAX; i++) {
        uint64_t *at = &ledger->numbers[(place + i) & (LEDGER_NUMBER_MAX - 1)];
        if (*at == hash) {
            return true;
        }
        if (*at == 0) {
            *at = add ? hash : 0;
            return add;
        }
    }
    sim_failed(__FILE__, __LINE__, "the ledger has room for the numbers on record");
}

unsigned ledger_uplink_index(const struct buffer *buffer, uint16_t number)
{
    for (unsigned i = 0; i < LEDGER_UPLINKS; i++) {
        if (buffer->uplinks[i].number == number) {
            return i;
        }
    }
    sim_failed(__FILE__, __LINE__, "a parcel is of an uplink that is configured");
}

struct asides {
    struct ledger *ledger;
    const struct buffer *buffer;
};

/* A fresh file gets those of the damaged one once more. */
static void aside_seen(uint8_t *count, uint8_t *again)
{
    if (*count > 0 && *again > 0) {
        --*again;
    } else {
        ++*count;
    }
}

/* Damage has met the row: whose it was is said by its columns, if anything does. */
static void count_damaged_aside(struct ledger *ledger, const struct buffer *buffer,
                                const struct aside *aside)
{
    SIM_EXPECT(ledger->damage.is_possible);
    for (size_t i = 0; i < ledger->event_count; i++) {
        struct ledger_event *event = &ledger->events[i];
        bool is_it = aside->kind == ASIDE_DATUM && event->sequence == aside->sequence &&
                     ledger->streams[event->stream].number == aside->stream;
        event->aside_may_lack = event->aside_may_lack || event->told;
        for (unsigned u = 0; is_it && u < LEDGER_UPLINKS; u++) {
            if (buffer->uplinks[u].number == aside->uplink) {
                aside_seen(&event->aside[u], &event->aside_again[u]);
            }
        }
    }
}

static void count_aside(void *context, int64_t id, const struct aside *aside)
{
    struct asides *asides = context;
    struct ledger *ledger = asides->ledger;
    SIM_EXPECT(id > ledger->aside_id);
    ledger->aside_id = id;
    SIM_EXPECT(aside->reason.size > 0);
    if (aside->is_damaged) {
        count_damaged_aside(ledger, asides->buffer, aside);
        return;
    }
    struct aside_head head;
    static struct field fields[EVENT_FIELD_MAX];
    SIM_EXPECT(aside_head_take(aside->head, &head, fields));
    SIM_EXPECT(aside->kind == ASIDE_PAYLOAD ? head.driver.size > 0 : head.is_complete);
    uint32_t number = ledger_number_in(aside->body);
    if (number == 0) {
        SIM_EXPECT(aside->kind == ASIDE_DATUM); /* of weir.events */
        if (ledger_uplink_index(asides->buffer, aside->uplink) == 0) {
            ledger_damage_aside(ledger, aside->sequence);
        }
        return;
    }
    struct ledger_event *event = ledger_event(ledger, number);
    if (aside->kind == ASIDE_PAYLOAD) {
        SIM_EXPECT(event->is_bad);
        aside_seen(&event->aside_payload, &event->aside_payload_again);
        ledger->asides++;
        return;
    }
    SIM_EXPECT(ledger->streams[event->stream].number == aside->stream);
    SIM_EXPECT(event->sequence == aside->sequence);
    unsigned uplink = ledger_uplink_index(asides->buffer, aside->uplink);
    aside_seen(&event->aside[uplink], &event->aside_again[uplink]);
    event->aside_in_doubt = event->aside_in_doubt || memmem(aside->reason.data, aside->reason.size,
                                                            "nobody knows", 12) != NULL;
    ledger->refused_asides++;
}

void ledger_asides_read(struct ledger *ledger, struct buffer *buffer, bool has_to)
{
    struct asides asides = {ledger, buffer};
    struct why why = {""};
    uint64_t seen = buffer->state->aside_count + buffer->state->aside_dropped;
    if (seen == ledger->aside_seen && ledger->knows_asides) {
        return;
    }
    enum err e =
        buffer_aside_each(buffer, ledger->aside_id, ASIDE_COUNT_MAX, count_aside, &asides, &why);
    SIM_EXPECT(!e || !has_to);
    ledger->knows_asides = !e;
    ledger->aside_seen = seen;
}

void ledger_asides_check(const struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->event_count; i++) {
        const struct ledger_event *event = &ledger->events[i];
        bool has_to = event->is_bad && event->told && !event->aside_may_lack;
        SIM_EXPECT(event->aside_payload <= 1);
        SIM_EXPECT(!has_to || event->aside_payload == 1);
    }
}

void ledger_look(struct ledger *ledger, struct buffer *buffer)
{
    const struct state *state = buffer->state;
    ledger_damage_look(ledger, buffer);
    if (state->commit == ledger->commit) {
        return;
    }
    ledger_plans_look(ledger->plans, buffer);
    ledger->commit = state->commit;
    ledger_asides_read(ledger, buffer, false);
    SIM_EXPECT(state->parcel_count <= 2 * (LEDGER_STREAMS + 1) * LEDGER_UPLINKS);
    for (uint32_t i = 0; i < state->parcel_count; i++) {
        const struct parcel *parcel = &state->parcels[i];
        unsigned uplink = ledger_uplink_index(buffer, parcel->uplink);
        for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
            if (ledger->streams[s].number == parcel->stream) {
                ledger->parcels[uplink][s] = parcel->range.first;
            }
        }
        for (uint32_t p = 0; p < parcel->part_count; p++) {
            const struct part *part = &parcel->parts[p];
            if (part->assigned) {
                (void)numbers_find(ledger,
                                   number_hash(uplink, part->producer_id, part->partition,
                                               part->base_sequence, part->record_count),
                                   true);
            }
        }
    }
}

/* --- what arrives --- */

static unsigned stream_of_topic(const char *topic)
{
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        if (strcmp(topic, ledger_stream_names[s]) == 0) {
            return s;
        }
    }
    return LEDGER_STREAMS;
}

/* The incarnation of the header weir_id: agent/incarnation/stream/sequence. */
static uint32_t incarnation_in(struct slice header)
{
    char text[128];
    SIM_EXPECT(slice_to_text(header, text, sizeof text));
    const char *slash = strchr(text, '/');
    SIM_EXPECT(slash != NULL);
    return (uint32_t)strtoul(slash + 1, NULL, 16);
}

/* An event has one name for ever, whatever board it is sent from, and which uplink by; but where a
 * lost state made it a new one. */
static void name_check(const struct ledger *ledger, struct ledger_event *event, struct slice header)
{
    uint32_t incarnation = incarnation_in(header);
    SIM_EXPECT(incarnation != 0);
    SIM_EXPECT(event->incarnation == 0 || event->incarnation == incarnation ||
               ledger->damage.is_possible);
    event->incarnation = incarnation;
}

static uint64_t sequence_in(struct slice header)
{
    char text[128];
    SIM_EXPECT(slice_to_text(header, text, sizeof text));
    const char *slash = strrchr(text, '/');
    SIM_EXPECT(slash != NULL);
    return strtoull(slash + 1, NULL, 10);
}

/* Something of a batch was there already: only what is in doubt may be sent twice. */
static void arrived_twice(struct ledger *ledger, unsigned uplink, unsigned stream)
{
    uint64_t parcel = ledger->parcels[uplink][stream];
    if (ledger->twice_parcels[uplink][stream] != parcel) {
        ledger->twice_parcels[uplink][stream] = parcel;
        ledger->in_doubt_twice[uplink]++;
    }
    SIM_EXPECT(ledger->in_doubt_twice[uplink] <= ledger->in_doubt[uplink]);
}

/* Events come in order, but for those that a salvage brings late. */
static void order_check(const struct ledger *ledger, const struct ledger_event *event,
                        uint64_t *last)
{
    if (event->place >= ledger->streams[event->stream].ordered_from) {
        SIM_EXPECT(event->place + 1 > *last);
        *last = event->place + 1;
    }
}

/* Where a row came in. */
struct arrival {
    struct ledger *ledger;
    unsigned uplink;
    unsigned stream;
    uint32_t partition;
    const struct broker_record *record;
};

static void row_arrived(void *context, struct slice datum, uint64_t sequence)
{
    const struct arrival *arrival = context;
    struct ledger *ledger = arrival->ledger;
    unsigned uplink = arrival->uplink;
    unsigned stream = arrival->stream;
    uint32_t partition = arrival->partition;
    const struct broker_record *record = arrival->record;
    uint32_t number = ledger_number_in(datum);
    struct ledger_event *event = ledger_event(ledger, number);
    const struct ledger_stream *s = &ledger->streams[stream];
    SIM_EXPECT(event->stream == stream && event->sequence == sequence && sequence >= 1);
    SIM_EXPECT(event->place < s->count && s->events[event->place] == number);
    name_check(ledger, event, record->header);
    if (event->arrived[uplink]++) {
        ledger->twice++;
        if (event->again[uplink] > 0) {
            event->again[uplink]--;
        } else {
            arrived_twice(ledger, uplink, stream);
        }
        return;
    }
    ledger->arrived++;
    SIM_EXPECT(!record->is_backfill || s->fresh_first);
    ledger->backfill += record->is_backfill;
    order_check(ledger, event,
                &ledger->last[uplink][stream][partition][event->key][record->is_backfill]);
}

static struct slice take_text(struct slice *s)
{
    int64_t size = 0;
    struct slice text = {NULL, 0};
    SIM_EXPECT(slice_take_varint(s, &size) && size >= 0);
    SIM_EXPECT(slice_take(s, (size_t)size, &text));
    return text;
}

static unsigned uplink_of_name(struct slice name)
{
    SIM_EXPECT(name.size == 0 || slice_equal_text(name, "east") || slice_equal_text(name, "west"));
    return name.size == 0 ? 0 : slice_equal_text(name, "east") ? 1 : 2;
}

/* Is it the first time that an event of weir.events arrives? */
static bool is_first(struct ledger *ledger, struct slice header, uint64_t sequence)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ sequence;
    while (header.size > 0 && header.data[header.size - 1] != '/') {
        header.size--; /* it has the sequence of the first */
    }
    for (size_t i = 0; i < header.size; i++) {
        hash = (hash ^ header.data[i]) * UINT64_C(1099511628211);
    }
    for (size_t i = 0; i < ledger->events_arrived; i++) {
        if (ledger->events_seen[i] == hash) {
            return false;
        }
    }
    SIM_EXPECT(ledger->events_arrived < LEDGER_TOLD_MAX);
    ledger->events_seen[ledger->events_arrived++] = hash;
    return true;
}

void ledger_gap_add(struct ledger *ledger, const struct ledger_gap *gap)
{
    SIM_EXPECT(ledger->gap_count < LEDGER_TOLD_MAX);
    SIM_EXPECT(gap->count > 0 || ledger->damage.is_possible);
    ledger->gaps[ledger->gap_count++] = *gap;
}

/* weir.events tells each gap once. Its datum: time, kind, agent, incarnation, version, stream,
 * uplink, first, last, count, ... */
static void event_arrived(void *context, struct slice s, uint64_t sequence)
{
    const struct arrival *arrival = context;
    struct ledger *ledger = arrival->ledger;
    struct slice texts[6];
    int64_t numbers[3], time;
    if (!is_first(ledger, arrival->record->header, sequence)) {
        return; /* in doubt: the numbers on record were checked */
    }
    SIM_EXPECT(slice_take_varint(&s, &time));
    for (size_t i = 0; i < 6; i++) {
        texts[i] = take_text(&s);
    }
    for (size_t i = 0; i < 3; i++) {
        SIM_EXPECT(slice_take_varint(&s, &numbers[i]));
    }
    bool is_damage = slice_equal_text(texts[0], "damage");
    SIM_EXPECT(!is_damage || ledger->damage.is_possible);
    for (unsigned i = 0; i < LEDGER_STREAMS && (is_damage || slice_equal_text(texts[0], "gap"));
         i++) {
        if (slice_equal_text(texts[4], ledger_stream_names[i])) {
            const struct ledger_gap gap = {i, uplink_of_name(texts[5]), (uint64_t)numbers[0],
                                           (uint64_t)numbers[1], (uint64_t)numbers[2]};
            ledger_gap_add(ledger, &gap);
        }
    }
}

/* Of weir.events the first uplink is enough. */
static void message_arrived(struct arrival *arrival)
{
    bool is_ours = arrival->stream < LEDGER_STREAMS;
    const struct ledger_taker taker = {is_ours ? row_arrived : event_arrived, arrival};
    const struct slice body = arrival->record->body;
    if (!is_ours && arrival->uplink > 0) {
        return;
    }
    if (ledger_rows(arrival->ledger->plans, body, &taker) > 0) {
        arrival->ledger->batches++;
        return;
    }
    taker.row(arrival, (struct slice){body.data + 10, body.size - 10},
              sequence_in(arrival->record->header));
}

void ledger_arrived(struct ledger *ledger, unsigned uplink, const struct broker *broker,
                    const char *topic, uint32_t partition, size_t first, size_t count)
{
    unsigned stream = stream_of_topic(topic);
    const struct broker_record *record = broker_log_at(broker, topic, partition, first);
    sim_trace("uplink %u has %s-%" PRIu32 " %zu..%zu by %" PRId64 "/%" PRId32 " of %" PRId64,
              uplink, topic, partition, first, first + count - 1, record->producer_id,
              record->sequence, record->time_ms);
    SIM_EXPECT(numbers_find(
        ledger,
        number_hash(uplink, record->producer_id, partition, record->sequence, (uint32_t)count),
        false));
    for (size_t i = 0; i < count; i++) {
        record = broker_log_at(broker, topic, partition, first + i);
        struct arrival arrival = {ledger, uplink, stream, partition, record};
        message_arrived(&arrival);
    }
}

void ledger_filed(struct ledger *ledger, unsigned uplink, uint32_t number, uint64_t last[2])
{
    struct ledger_event *event = ledger_event(ledger, number);
    if (event->arrived[uplink] && event->again[uplink] > 0) {
        event->again[uplink]--;
        ledger->twice++;
        return;
    }
    SIM_EXPECT(event->arrived[uplink] == 0);
    /* Files do not say which events are backfill: they are two rising rows, one through the other. */
    bool fits_first = last[0] < event->place + 1;
    bool is_second = ledger->streams[event->stream].fresh_first &&
                     (!fits_first || (last[1] > last[0] && last[1] < event->place + 1));
    order_check(ledger, event, &last[is_second]);
    event->arrived[uplink]++;
    ledger->arrived++;
}

/* --- lives --- */

void ledger_unsaved_is_lost(struct ledger *ledger)
{
    SIM_EXPECT(ledger->memory != NULL);
    ledger->unsaved++;
    ledger->memory_is_lost = true;
}

static bool has_same_numbers(const struct parcel *a, const struct parcel *b)
{
    bool same = a->range.first == b->range.first && a->range.last == b->range.last &&
                a->part_count == b->part_count;
    for (uint32_t i = 0; same && i < a->part_count; i++) {
        const struct part *x = &a->parts[i];
        const struct part *y = &b->parts[i];
        same = x->partition == y->partition && x->first == y->first && x->last == y->last &&
               x->assigned == y->assigned && x->producer_id == y->producer_id &&
               x->producer_epoch == y->producer_epoch && x->base_sequence == y->base_sequence &&
               x->record_count == y->record_count;
    }
    return same;
}

/* Of what is owed now: was it delivered, or being sent under other numbers, by what only the memory
 * knew that is lost? */
static bool was_sent(struct ledger *ledger, struct state *now, const struct owed *owed,
                     uint64_t sequence)
{
    struct range one = {sequence, sequence};
    const struct owed *then = state_owed(ledger->memory, owed->uplink, owed->stream);
    if (!then || !owed_meets(owed, one)) {
        return false;
    }
    if (!owed_meets(then, one)) {
        return true;
    }
    for (uint32_t i = 0; i < ledger->memory->parcel_count; i++) {
        const struct parcel *p = &ledger->memory->parcels[i];
        bool has = p->uplink == owed->uplink && p->stream == owed->stream &&
                   p->range.first <= sequence && sequence <= p->range.last;
        const struct parcel *known = has ? state_parcel(now, p->uplink, p->stream, p->lane) : NULL;
        if (has && (!known || !has_same_numbers(p, known))) {
            return true;
        }
    }
    return false;
}

/* A life begins with what the disk has, after one whose memory knew more. */
static void allow_again(struct ledger *ledger, struct buffer *buffer)
{
    for (uint32_t i = 0; i < buffer->state->owed_count; i++) {
        const struct owed *owed = &buffer->state->owed[i];
        unsigned u = ledger_uplink_index(buffer, owed->uplink);
        for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
            const struct ledger_stream *stream = &ledger->streams[s];
            for (size_t k = 0; stream->number == owed->stream && k < stream->count; k++) {
                struct ledger_event *event = ledger_event(ledger, stream->events[k]);
                if (was_sent(ledger, buffer->state, owed, event->sequence)) {
                    event->again[u]++;
                    event->was_again[u] = true;
                }
            }
        }
    }
    ledger->memory_is_lost = false;
}

void ledger_note_carried(struct ledger *ledger, const struct buffer *buffer)
{
    state_close(ledger->memory);
    ledger->memory = NULL;
    enum err e = state_open(&ledger->memory, buffer->state->owed_max);
    SIM_EXPECT(!e);
    state_copy(ledger->memory, buffer->state);
    ledger->noted_commit = buffer->state->commit - buffer->unsaved;
    ledger->noted_size = 0;
}

void ledger_note(struct ledger *ledger, const struct buffer *buffer)
{
    struct out state = out_over(ledger->noted, STATE_SIZE_MAX);
    if (buffer->unsaved > 0) { /* what the disk has is older */
        ledger_note_carried(ledger, buffer);
        ledger_unsaved_is_lost(ledger);
        return;
    }
    state_encode(buffer->state, &state);
    SIM_EXPECT(!state.overflow);
    ledger->noted_size = state.size;
    ledger->noted_commit = buffer->state->commit;
}

/* What a commit has made durable is there, to the last bit; a commit that had failed may be, too. */
static void note_check(const struct ledger *ledger, const struct buffer *buffer)
{
    struct out state = out_over(ledger->noted + STATE_SIZE_MAX, STATE_SIZE_MAX);
    SIM_EXPECT(buffer->state->commit >= ledger->noted_commit);
    if (buffer->state->commit == ledger->noted_commit && ledger->noted_size > 0) {
        state_encode(buffer->state, &state);
        /* One that can't be written has a stream that came just now in memory only: it has more. */
        bool has_more = buffer->read_only && ledger->streams_change &&
                        buffer_stream_number(buffer, "spare") > 0 &&
                        state.size > ledger->noted_size;
        SIM_EXPECT(has_more || (state.size == ledger->noted_size &&
                                memcmp(state.data, ledger->noted, state.size) == 0));
    }
}

static void stream_recovered(struct ledger *ledger, struct buffer *buffer, unsigned s)
{
    struct ledger_stream *stream = &ledger->streams[s];
    uint64_t next = buffer->state->streams[stream->number].sequence_next;
    SIM_EXPECT(next >= 1 && next <= stream->next);
    if (ledger->damage.is_behind) {
        return;
    }
    while (stream->count > stream->told_from) {
        struct ledger_event *event = ledger_event(ledger, stream->events[stream->count - 1]);
        if (event->sequence < next) {
            break;
        }
        SIM_EXPECT(!event->told); /* acknowledged, and lost */
        event->sequence = 0;
        ledger->vanished++;
        stream->count--;
    }
    stream->ordered_from =
        stream->ordered_from < stream->count ? stream->ordered_from : stream->count;
    stream->next = next;
}

void ledger_recovered(struct ledger *ledger, struct buffer *buffer)
{
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        ledger->streams[s].number = buffer_stream_number(buffer, ledger_stream_names[s]);
    }
    if (!ledger_damage_recovered(ledger, buffer)) {
        note_check(ledger, buffer);
    }
    ledger->commit = 0;
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        stream_recovered(ledger, buffer, s);
    }
    if (ledger->memory_is_lost) {
        allow_again(ledger, buffer);
    }
    ledger->knows_asides = false;
    ledger_asides_read(ledger, buffer, false);
    if (ledger->knows_asides) {
        ledger_asides_check(ledger);
    }
}
