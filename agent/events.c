#include "agent/events.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/raw.h"
#include "agent/time_trust.h"
#include "ports/log.h"
#include "uplink/avro/encode.h"

#define DATUM_SIZE_MAX 2048 /* texts are bounded: names, REASON_SIZE_MAX */

struct events {
    struct events_setup setup;
    char incarnation[12];
    struct timer pace;
    unsigned paces;
    unsigned health_paces; /* at the last health record */
    uint64_t health_delivered;
    bool gaps_wait;       /* told within this pace */
    uint64_t told_commit; /* carries the gaps that were told last */
    uint64_t aside_told;
    struct buffer_damage damage_told;
    uint64_t dropped;
    bool stopped;
};

/* One event of any kind. */
struct happening {
    const char *kind;
    const char *stream;
    const char *uplink;
    uint64_t first;
    uint64_t last;
    uint64_t count;
    const char *reason;
    const char *text;
    const struct events_measures *health;
};

/* A line a field, which the formatter would not keep. */
/* clang-format off */
#define TEXT(name, doc) \
    "{\"name\":\"" name "\",\"type\":\"string\",\"doc\":\"" doc "\",\"default\":\"\"}"
#define NUMBER(name, doc) \
    "{\"name\":\"" name "\",\"type\":\"long\",\"doc\":\"" doc "\",\"default\":0}"

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"Event\",\"namespace\":\"weir\",\"doc\":"
    "\"What an agent tells about itself. Fields that a kind does not need are empty or 0.\","
    "\"fields\":["
    "{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"
    "{\"name\":\"kind\",\"type\":\"string\",\"doc\":"
    "\"start, stop, machine, gap, damage, aside, health; more may come.\"},"
    "{\"name\":\"agent\",\"type\":\"string\"},"
    "{\"name\":\"incarnation\",\"type\":\"string\",\"doc\":"
    "\"Of its buffer, 8 hex digits: with another one sequences begin anew, or, behind kind machine, "
    "go on.\"},"
    "{\"name\":\"version\",\"type\":\"string\",\"doc\":\"Of the program.\"},"
    TEXT("stream", "gap, damage: the stream that lost events; damage of the file: empty.") ","
    TEXT("uplink", "gap: the uplink that lost them; empty: all.") ","
    NUMBER("first", "gap, damage: lost events lie in first..last.") ","
    NUMBER("last", "") ","
    NUMBER("count", "gap, damage, aside: of events; start: of the buffer's openings.") ","
    TEXT("reason", "gap: drop_oldest, drop_newest, thin, age, hold_max, merged, by_hand; damage: damaged.") ","
    TEXT("text", "For a person.") ","
    "{\"name\":\"health\",\"type\":[\"null\","
    "{\"type\":\"record\",\"name\":\"Health\",\"fields\":["
    NUMBER("uptime", "Seconds.") ","
    NUMBER("backlog", "Events still to be delivered.") ","
    NUMBER("backlog_bytes", "") ","
    NUMBER("dropped", "By a rule, since the buffer was made.") ","
    NUMBER("delivered", "Since start.") ","
    NUMBER("refused", "Offers that had to wait, since start.") ","
    NUMBER("aside", "Events set aside since start.") ","
    NUMBER("events_dropped", "Of weir.events itself, for want of room.") ","
    NUMBER("buffer_bytes", "On disk.") ","
    NUMBER("buffer_share", "Millionths of its cap in use.") ","
    NUMBER("wear_bytes", "Written to the disk since start.") ","
    NUMBER("wear_syncs", "") ","
    "{\"name\":\"clock_trusted\",\"type\":\"boolean\",\"default\":false}"
    "]}],\"default\":null}]}";
/* clang-format on */

struct slice events_schema(void)
{
    return slice_of_text(schema_text);
}

/* --- the datum --- */

static void put_number(struct out *o, uint64_t number)
{
    out_put_varint(o, (int64_t)number);
}

static void put_health(struct out *o, const struct events *events,
                       const struct events_measures *health)
{
    out_put_varint(o, health ? 1 : 0);
    if (!health) {
        return;
    }
    put_number(o, health->uptime_s);
    put_number(o, health->backlog);
    put_number(o, health->backlog_bytes);
    put_number(o, health->dropped);
    put_number(o, health->delivered);
    put_number(o, health->refused);
    put_number(o, health->aside);
    put_number(o, events->dropped);
    put_number(o, health->buffer_bytes);
    put_number(o, health->buffer_share);
    put_number(o, health->wear_bytes);
    put_number(o, health->wear_syncs);
    avro_put_boolean(o, health->clock_is_trusted);
}

static void put_text(struct out *o, const char *text)
{
    raw_put_text(o, slice_of_text(text ? text : ""));
}

static void put_datum(struct out *o, const struct events *events, const struct happening *h,
                      struct stored_event *ret)
{
    if (ret->trust == TIME_BOOT) {
        ret->fills[0] = (struct fill){FILL_TIME_MICROS, 0};
        ret->fill_count = 1;
    } else {
        out_put_varint(o, ret->time_us);
    }
    put_text(o, h->kind);
    put_text(o, events->setup.agent_id);
    put_text(o, events->incarnation);
    put_text(o, WEIR_VERSION);
    put_text(o, h->stream);
    put_text(o, h->uplink);
    put_number(o, h->first);
    put_number(o, h->last);
    put_number(o, h->count);
    put_text(o, h->reason);
    put_text(o, h->text);
    put_health(o, events, h->health);
    assert(!o->overflow);
    ret->datum = out_slice(o);
}

/* --- putting --- */

/* What every event needs, but for its place in the open batch. */
static enum err event_make(struct events *events, const struct happening *h, struct out *memory,
                           struct stored_event *ret)
{
    struct store *store = events->setup.store;
    *ret = (struct stored_event){.stream = events->setup.stream, .schema = events->setup.schema};
    time_trust_stamp(events->setup.time, ret);
    put_datum(memory, events, h, ret);
    enum err e = store_room(store, ret->stream, ret->datum.size);
    if (!e && ret->trust == TIME_BOOT) {
        e = time_trust_note(events->setup.time, ret, events->setup.commit_interval_ms);
    }
    return e;
}

/* False: no room; dropped. */
static bool say(struct events *events, const struct happening *h)
{
    struct store *store = events->setup.store;
    uint8_t bytes[DATUM_SIZE_MAX];
    struct out memory = out_over(bytes, sizeof bytes);
    struct stored_event event;
    uint64_t commit;
    uint64_t sequence;
    if (event_make(events, h, &memory, &event) || store_open_room(store, event.datum.size)) {
        events->dropped++;
        return false;
    }
    store_event_put(store, &event, events->setup.commit_interval_ms, &commit, &sequence);
    return true;
}

/* --- gaps --- */

/* ERR_FULL: not now; the buffer keeps it. */
static enum err tell_gap(struct events *events, const struct gap *gap)
{
    struct store *store = events->setup.store;
    uint8_t bytes[DATUM_SIZE_MAX];
    struct out memory = out_over(bytes, sizeof bytes);
    struct stored_event event;
    uint64_t commit;
    uint64_t sequence;
    const char *name =
        gap->uplink ? events->setup.uplink_name(events->setup.context, gap->uplink) : "";
    struct happening h = {.kind = gap->reason == GAP_DAMAGED ? "damage" : "gap",
                          .stream = buffer_stream_name(store_buffer(store), gap->stream),
                          .uplink = name ? name : "(removed)",
                          .first = gap->range.first,
                          .last = gap->range.last,
                          .count = gap->count,
                          .reason = gap_reason_name(gap->reason),
                          .text = gap->count ? "" : "how many is not known: none of these is used"};
    enum err e = event_make(events, &h, &memory, &event);
    e = e ? e : store_gap_room(store, event.datum.size);
    if (e) {
        return e;
    }
    /* First, because the event may fill the batch and send it off. */
    e = store_gap_told_put(store, gap->number, &events->told_commit);
    assert(!e);
    store_event_put(store, &event, events->setup.commit_interval_ms, &commit, &sequence);
    assert(commit == events->told_commit);
    log_warn(
        "buffer", "stream %s: %" PRIu64 " events of %" PRIu64 "..%" PRIu64 " are lost (%s)%s%s",
        h.stream, h.count, h.first, h.last, h.reason, gap->uplink ? " to uplink " : "", h.uplink);
    return e;
}

static void tell_gaps(struct events *events)
{
    const struct buffer_changes *state = store_state(events->setup.store);
    if (store_committed(events->setup.store) < events->told_commit) {
        return; /* the state still has those that are being told */
    }
    for (size_t i = 0; i < state->gap_count; i++) {
        if (tell_gap(events, &state->gaps[i])) {
            return; /* the next commit comes here again */
        }
        events->gaps_wait = i + 1 == state->gap_count;
    }
}

/* The buffer was used on another one before, and nothing is stored here since: what a life told
 * that ended before it was stored is told again. */
static void tell_machine(struct events *events)
{
    char text[160];
    uint64_t last;
    const struct buffer *buffer = store_buffer(events->setup.store);
    const struct stream_state *own =
        &store_state(events->setup.store)->streams[events->setup.stream];
    uint32_t before =
        buffer_incarnation_at(buffer, events->setup.stream, own->sequence_next - 1, &last);
    (void)snprintf(text, sizeof text,
                   "the buffer was used on another machine, as %08" PRIx32
                   ": what it holds of then keeps that; sequences go on",
                   before); /* fits */
    if (before != buffer_incarnation(buffer)) {
        (void)say(events, &(struct happening){.kind = "machine", .text = text}); /* counted */
    }
}

/* What happened to the file as a whole; what is lost of a stream is a gap. */
static void tell_damage(struct events *events)
{
    const struct buffer_damage *now = &store_state(events->setup.store)->damage;
    struct buffer_damage *told = &events->damage_told;
    char text[160];
    if (now->logs > told->logs &&
        say(events, &(struct happening){
                        .kind = "damage",
                        .text = "the end of the buffer's log is lost; streams go on beyond it"})) {
        told->logs = now->logs;
    }
    if (now->replaced > told->replaced &&
        say(events,
            &(struct happening){.kind = "damage",
                                .text = "the buffer's file is damaged: replaced, and salvaged"})) {
        told->replaced = now->replaced;
        told->salvages = true;
    }
    (void)snprintf(text, sizeof text,
                   "salvaged: %" PRIu64 " events came over, %" PRIu64 " are lost", now->found,
                   now->lost); /* fits */
    if (told->salvages && !now->salvages &&
        say(events, &(struct happening){.kind = "damage", .count = now->lost, .text = text})) {
        told->salvages = false;
    }
    told->salvages = told->salvages || now->salvages;
}

void events_committed(struct events *events)
{
    if (!events->stopped) {
        tell_damage(events);
    }
    if (!events->gaps_wait && !events->stopped) {
        tell_gaps(events);
    }
}

/* --- schemas --- */

bool events_tell_schema(struct events *events, bool is_refused, const char *stream, uint64_t count,
                        const char *text)
{
    char cut[EVENTS_TEXT_SIZE_MAX + 1];
    (void)snprintf(cut, sizeof cut, "%s", text); /* as it says */
    return !events->stopped &&
           say(events,
               &(struct happening){.kind = is_refused ? "schema_refused" : "schema_accepted",
                                   .stream = stream,
                                   .count = count,
                                   .text = cut});
}

/* --- what is looked at from time to time --- */

static void tell_asides(struct events *events)
{
    struct events_measures m = {0};
    events->setup.measure(events->setup.context, &m);
    struct happening h = {
        .kind = "aside", .count = m.aside - events->aside_told, .text = m.aside_reason};
    if (m.aside > events->aside_told && say(events, &h)) {
        events->aside_told = m.aside;
    }
}

static void tell_health(struct events *events)
{
    struct events_measures m = {0};
    events->setup.measure(events->setup.context, &m);
    bool is_alone = events->setup.is_metered && m.delivered == events->health_delivered;
    if (is_alone && events->paces - events->health_paces < EVENTS_ALONE_PACES) {
        return;
    }
    events->health_delivered = m.delivered;
    events->health_paces = events->paces;
    (void)say(events, &(struct happening){.kind = "health", .health = &m}); /* counted */
}

void events_tell_extended(struct events *events, const char *stream, uint64_t count,
                          const char *text)
{
    struct happening h = {
        .kind = "schema_extended", .stream = stream, .count = count, .text = text};
    if (!events->stopped) {
        (void)say(events, &h); /* counted */
    }
}

static void pace_fired(struct timer *timer)
{
    struct events *events = CONTAINER_OF(timer, struct events, pace);
    timer_arm(&events->pace, EVENTS_PACE_MS);
    events->gaps_wait = false;
    tell_gaps(events);
    tell_asides(events);
    if (++events->paces % EVENTS_HEALTH_PACES == 0) {
        tell_health(events);
    }
}

/* --- start and stop --- */

enum err events_open(struct events **ret, const struct events_setup *setup)
{
    struct events *events = calloc(1, sizeof *events);
    if (!events) {
        return ERR_NOMEM;
    }
    const struct buffer *buffer = store_buffer(setup->store);
    events->setup = *setup;
    (void)snprintf(events->incarnation, sizeof events->incarnation, "%08" PRIx32,
                   buffer_incarnation(buffer)); /* fits */
    timer_init(&events->pace, setup->loop, pace_fired);
    timer_arm(&events->pace, EVENTS_PACE_MS);
    if (!setup->is_as_before) {
        (void)say(events, &(struct happening){.kind = setup->is_reload ? "reload" : "start",
                                              .count = buffer_boot(buffer)});
    }
    tell_machine(events);
    tell_damage(events);
    tell_gaps(events);
    *ret = events;
    return ERR_OK;
}

void events_stop(struct events *events)
{
    assert(!events->stopped);
    timer_disarm(&events->pace);
    tell_gaps(events);
    tell_asides(events);
    (void)say(events, &(struct happening){.kind = "stop"}); /* counted */
    events->stopped = true;
}

void events_close(struct events *events)
{
    if (events) {
        timer_release(&events->pace);
        free(events);
    }
}

uint64_t events_dropped(const struct events *events)
{
    return events->dropped;
}
