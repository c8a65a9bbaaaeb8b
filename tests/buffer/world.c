#include "tests/buffer/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_BASE INT64_C(1700000000000000)
#define ARENA_SIZE (1 << 20)

uint32_t world_below(struct world *w, uint32_t limit)
{
    w->chance += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = w->chance;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 32) % limit;
}

static PRINTF_LIKE(2, 3) const char *problem(struct world *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(w->problem, sizeof w->problem, format, arguments); /* may be cut */
    va_end(arguments);
    return w->problem;
}

/* --- opening --- */

static void set_up(struct world *w, const char *vfs_name, int64_t size_max)
{
    static const uint8_t priorities[] = {1, 5, 9};
    static const char *const names[] = {"low", "mid", "alarm"};
    w->setup = (struct buffer_setup){.path = WORLD_PATH,
                                     .vfs = vfs_name,
                                     .agent_id = "world",
                                     .size_max = size_max,
                                     .event_size_max = EVENT_SIZE_DEFAULT,
                                     .stream_count = WORLD_STREAMS,
                                     .uplink_count = WORLD_UPLINKS};
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        w->setup.streams[i] =
            (struct buffer_stream){.name = names[i],
                                   .priority = priorities[i],
                                   .when_full = i == 0 ? FULL_DROP_OLDEST : FULL_BLOCK,
                                   .uplinks = i == 1 ? 1 : 3};
    }
    w->setup.uplinks[0] = (struct buffer_uplink){.name = "cloud", .hold_max = 1000000};
    w->setup.uplinks[1] = (struct buffer_uplink){.name = "files", .hold_max = 1000000};
}

struct world *world_open(const char *vfs_name, uint64_t seed, int64_t size_max)
{
    struct world *w = calloc(1, sizeof *w);
    w->sure = calloc(1, sizeof *w->sure);
    w->maybe = calloc(1, sizeof *w->maybe);
    w->step = calloc(1, sizeof *w->step);
    w->rows = calloc(1, sizeof *w->rows);
    w->rows->events = calloc(ROWS_EVENT_MAX, sizeof *w->rows->events);
    w->rows->event_max = ROWS_EVENT_MAX;
    w->rows->arena = out_over(malloc(ARENA_SIZE), ARENA_SIZE);
    if (crash_vfs_open(&w->vfs, vfs_name)) {
        abort();
    }
    set_up(w, vfs_name, size_max);
    world_reset(w, seed);
    return w;
}

void world_close(struct world *w)
{
    buffer_close(w->buffer);
    crash_vfs_close(w->vfs);
    free(w->sure);
    free(w->maybe);
    free(w->step);
    free(w->rows->events);
    free(w->rows->arena.data);
    free(w->rows);
    free(w);
}

void world_reset(struct world *w, uint64_t seed)
{
    world_buffer_close(w);
    crash_vfs_reset(w->vfs);
    memset(w->sure, 0, sizeof *w->sure);
    for (size_t s = 1; s <= WORLD_STREAMS; s++) {
        w->sure->next[s] = 1;
        w->sure->low[s] = 1;
    }
    w->chance = seed * UINT64_C(0x5851f42d4c957f2d);
    w->encrypts = seed >> 1 & 1;
    w->incarnation = 0;
    w->prepared = false;
    w->under_way = false;
}

/* Schemas and a driver: durable at the first opening, and the same ever after. */
static enum err prepare(struct world *w)
{
    static const uint8_t fingerprint[8] = {1};
    uint16_t driver = 0;
    enum err e = ERR_OK;
    for (uint16_t s = 1; !e && s <= WORLD_STREAMS; s++) {
        uint32_t schema = 0;
        e = buffer_schema_add(w->buffer, s, SLICE("\"bytes\""), fingerprint, &schema, &w->why);
        if (!e && w->prepared && schema != w->schemas[s]) {
            abort();
        }
        w->schemas[s] = e ? w->schemas[s] : schema;
    }
    e = e ? e : buffer_driver_number(w->buffer, "driver", &driver, &w->why);
    if (!e && w->prepared && driver != w->driver) {
        abort();
    }
    w->driver = e ? w->driver : driver;
    w->prepared = w->prepared || !e;
    return e;
}

/* Now and then what is new is not encrypted for a life: what is there already can be read. */
static void choose_keys(struct world *w)
{
    static const uint8_t key[32] = "the key of the world is 32 bytes";
    w->setup.key = w->encrypts && world_below(w, 5) ? key : NULL;
    w->setup.old_key = w->encrypts ? key : NULL;
}

enum err world_buffer_open(struct world *w)
{
    w->why.text[0] = '\0';
    choose_keys(w);
    enum err e = buffer_open(&w->buffer, &w->setup, &w->why);
    e = e ? e : prepare(w);
    if (e) {
        world_buffer_close(w);
        return e;
    }
    buffer_state(w->buffer, &w->changes);
    return ERR_OK;
}

void world_buffer_close(struct world *w)
{
    buffer_close(w->buffer);
    w->buffer = NULL;
}

/* --- events are functions of their stream and sequence --- */

static size_t datum_size(const struct world *w, uint16_t stream, uint64_t sequence)
{
    size_t size = sequence % 211 == 0 ? 5000 + (size_t)(sequence % 9000)
                                      : 10 + (size_t)((sequence * 7 + stream) % 150);
    return size + w->datum_extra;
}

static void datum_put(uint16_t stream, uint64_t sequence, uint8_t *memory, size_t size)
{
    uint64_t chance = sequence * 977 + stream;
    for (size_t i = 0; i < size; i++) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memory[i] = (uint8_t)(chance >> 56);
    }
}

static void event_of(const struct world *w, uint16_t stream, uint64_t sequence,
                     struct stored_event *ret)
{
    *ret = (struct stored_event){.stream = stream,
                                 .schema = w->schemas[stream],
                                 .sequence = sequence,
                                 .trust = TIME_WALL,
                                 .time_us = TIME_BASE + (int64_t)sequence};
    if (sequence % 5 == 0) {
        ret->trust = TIME_BOOT;
        ret->boot = 7;
        ret->fill_count = 2;
        ret->fills[0] = (struct fill){FILL_TIME_MICROS, 1};
        ret->fills[1] = (struct fill){FILL_ID, 5};
    }
}

static bool event_is_right(const struct world *w, const struct stored_event *e)
{
    static uint8_t memory[16384];
    struct stored_event right;
    event_of(w, e->stream, e->sequence, &right);
    size_t size = datum_size(w, e->stream, e->sequence);
    datum_put(e->stream, e->sequence, memory, size);
    bool fills = e->fill_count == right.fill_count;
    for (size_t i = 0; fills && i < e->fill_count; i++) {
        fills =
            e->fills[i].kind == right.fills[i].kind && e->fills[i].offset == right.fills[i].offset;
    }
    return fills && e->schema == right.schema && e->time_us == right.time_us &&
           e->trust == right.trust && e->boot == right.boot &&
           slice_equal(e->datum, (struct slice){memory, size});
}

/* --- a random commit --- */

static struct buffer_stream *stream_setup(struct world *w, uint16_t stream)
{
    return &w->setup.streams[stream - 1];
}

static void make_events(struct world *w, uint16_t stream)
{
    struct step *step = w->step;
    uint32_t count = world_below(w, 3) ? world_below(w, 40) : 0;
    size_t room = w->changes.room[stream];
    for (uint32_t i = 0; i < count && step->write.event_count < STEP_EVENTS; i++) {
        uint64_t sequence = w->maybe->next[stream];
        size_t size = datum_size(w, stream, sequence);
        if (size > room || step->size + size > STEP_BYTES || sequence + 1 >= WORLD_SEQUENCES) {
            return;
        }
        struct stored_event *event = &step->events[step->write.event_count++];
        event_of(w, stream, sequence, event);
        datum_put(stream, sequence, step->bytes + step->size, size);
        event->datum = (struct slice){step->bytes + step->size, size};
        step->size += size;
        room -= size;
        w->maybe->next[stream]++;
        w->maybe->owed[stream][sequence] = (uint8_t)stream_setup(w, stream)->uplinks;
    }
}

/* The value of a cursor is who it is and when it was set, some bytes long. */
static void make_cursor(struct world *w, uint32_t key, bool is_set)
{
    struct step *step = w->step;
    size_t index = step->write.cursor_count++;
    uint64_t commit = w->maybe->commit;
    size_t size = is_set ? 16 + (size_t)(commit + key) % 180 : 0;
    memset(step->values[index], (int)key, sizeof step->values[index]);
    memcpy(step->values[index], &commit, sizeof commit);
    step->cursors[index] = (struct cursor_change){w->driver, key, {step->values[index], size}};
    w->maybe->cursors[key] = is_set ? commit : 0;
}

static void clear_owed(struct model *m, uint16_t uplink, uint16_t stream, struct range range)
{
    for (uint64_t i = range.first; i <= range.last; i++) {
        m->owed[stream][i] &= (uint8_t) ~(1u << (uplink - 1));
    }
}

static void make_done(struct world *w, uint16_t uplink, uint16_t stream)
{
    struct model_parcel *parcel = &w->maybe->parcels[uplink][stream];
    uint32_t part = world_below(w, parcel->part_count);
    w->step->dones[w->step->write.done_count++] =
        (struct part_done){.uplink = uplink, .stream = stream, .part = part};
    parcel->done |= 1u << part;
    if (parcel->done == (1u << parcel->part_count) - 1) {
        clear_owed(w->maybe, uplink, stream, parcel->range);
        parcel->open = false;
    }
}

static struct range lowest_owed(const struct model *m, uint16_t uplink, uint16_t stream)
{
    struct range range = {1, 0};
    uint64_t at = m->low[stream];
    while (at < m->next[stream] && !(m->owed[stream][at] >> (uplink - 1) & 1)) {
        at++;
    }
    range.first = at;
    while (at < m->next[stream] && m->owed[stream][at] >> (uplink - 1) & 1) {
        range.last = at++;
    }
    return range;
}

static void parcel_of(const struct world *w, const struct model_parcel *m, struct parcel *ret)
{
    *ret = (struct parcel){.uplink = m->uplink,
                           .stream = m->stream,
                           .layout = LAYOUT_ROWS,
                           .schema = w->schemas[m->stream],
                           .range = m->range,
                           .target = "topic",
                           .cluster_id = "cluster",
                           .partition_count = 16,
                           .part_count = m->part_count};
    for (uint32_t i = 0; i < m->part_count; i++) {
        ret->parts[i] = (struct part){.partition = i,
                                      .first = m->range.first,
                                      .last = m->range.last,
                                      .producer_id = INT64_C(1000000) + i,
                                      .producer_epoch = 3,
                                      .base_sequence = (int64_t)m->range.first,
                                      .record_count = (uint32_t)(m->range.last - m->range.first),
                                      .events_per_record = 1,
                                      .sent_ms = 1700000000123,
                                      .assigned = i > 0,
                                      .done = m->done >> i & 1};
    }
}

static void make_parcel(struct world *w, uint16_t uplink, uint16_t stream)
{
    struct range owed = lowest_owed(w->maybe, uplink, stream);
    if (owed.last < owed.first) {
        return;
    }
    uint64_t most = owed.first + world_below(w, w->drains ? 600 : 60);
    struct model_parcel *m = &w->maybe->parcels[uplink][stream];
    *m = (struct model_parcel){.open = true,
                               .uplink = uplink,
                               .stream = stream,
                               .range = {owed.first, most < owed.last ? most : owed.last},
                               .part_count = 1 + world_below(w, 3)};
    size_t index = w->step->write.parcel_count++;
    parcel_of(w, m, &w->step->parcels[index]);
    w->step->parcel_pointers[index] = &w->step->parcels[index];
}

/* The lowest event of a stream ends otherwise than by a parcel. */
static void make_end(struct world *w)
{
    uint16_t uplink = 1;
    uint16_t stream = (uint16_t)(1 + world_below(w, WORLD_STREAMS));
    struct range owed = lowest_owed(w->maybe, uplink, stream);
    if (w->maybe->parcels[uplink][stream].open || owed.last < owed.first) {
        return;
    }
    owed.last = owed.first;
    w->step->end = (struct owed_end){uplink, stream, owed};
    w->step->write.end_count = 1;
    clear_owed(w->maybe, uplink, stream, owed);
}

static void make_rare(struct world *w)
{
    struct step *step = w->step;
    if (world_below(w, 10) == 0) {
        step->aside = (struct aside){.time_us = TIME_BASE,
                                     .kind = ASIDE_PAYLOAD,
                                     .size = 900,
                                     .source = SLICE("tail"),
                                     .reason = SLICE("no such field"),
                                     .body = {step->bytes, world_below(w, 900)}};
        step->write.aside_count = 1;
        w->maybe->asides++;
    }
    if (world_below(w, 20) == 0 && w->maybe->boot_known < 9) {
        w->maybe->boot_known++;
        step->boot =
            (struct boot_offset){w->maybe->boot_known, w->maybe->boot_known * INT64_C(-77), false};
        step->write.boot_count = 1;
    }
    if (world_below(w, 20) == 0) {
        step->remote = (struct remote_id){1, 1 + world_below(w, 3), SLICE("\0\0\0\7")};
        step->write.remote_count = 1;
    }
}

static bool parcel_holds(const struct model *m, uint16_t uplink, uint16_t stream, uint64_t sequence)
{
    const struct model_parcel *p = &m->parcels[uplink][stream];
    return p->open && p->range.first <= sequence && sequence <= p->range.last;
}

/* The end of what an uplink is owed first, but for what is being sent. */
static void make_drop(struct world *w, uint16_t uplink, uint16_t stream)
{
    struct model *m = w->maybe;
    struct range owed = lowest_owed(m, uplink, stream);
    uint64_t count = 1 + world_below(w, 30);
    if (owed.last < owed.first) {
        return;
    }
    owed.first = owed.last - owed.first >= count ? owed.last - count + 1 : owed.first;
    w->step->order = (struct buffer_order){
        .kind = ORDER_DROP, .uplink = uplink, .stream = stream, .range = owed};
    for (uint64_t i = owed.first; i <= owed.last; i++) {
        if (!parcel_holds(m, uplink, stream, i)) {
            clear_owed(m, uplink, stream, (struct range){i, i});
            m->dropped[stream]++;
            w->step->ordered++;
        }
    }
    w->step->write.order_count = 1;
}

static unsigned owed_runs(const struct model *m, uint16_t uplink, uint16_t stream)
{
    unsigned runs = 0;
    bool was = false;
    for (uint64_t i = m->low[stream]; i < m->next[stream]; i++) {
        bool is = m->owed[stream][i] >> (uplink - 1) & 1;
        runs += is && !was;
        was = is;
    }
    return runs;
}

/* The first of what the other uplink is owed: it is there. Few ranges, so that none grow together.
 */
static void make_again(struct world *w, uint16_t uplink, uint16_t stream)
{
    struct model *m = w->maybe;
    struct range there = lowest_owed(m, (uint16_t)(3 - uplink), stream);
    if (there.last < there.first || owed_runs(m, uplink, stream) > 4) {
        return;
    }
    uint64_t last = there.first + world_below(w, 40);
    there.last = last < there.last ? last : there.last;
    w->step->order = (struct buffer_order){
        .kind = ORDER_AGAIN, .uplink = uplink, .stream = stream, .range = there};
    for (uint64_t i = there.first; i <= there.last; i++) {
        w->step->ordered += !(m->owed[stream][i] >> (uplink - 1) & 1);
        m->owed[stream][i] |= (uint8_t)(1u << (uplink - 1));
    }
    w->step->write.order_count = 1;
}

static void make_order(struct world *w)
{
    uint16_t uplink = (uint16_t)(1 + world_below(w, WORLD_UPLINKS));
    uint16_t stream = (uint16_t)(1 + world_below(w, WORLD_STREAMS));
    w->step->ordered = 0;
    w->step->order_pointer = &w->step->order;
    w->step->write.orders = &w->step->order_pointer;
    if (!w->orders || w->quiet || world_below(w, 10) ||
        !(stream_setup(w, stream)->uplinks >> (uplink - 1) & 1)) {
        return;
    }
    if (world_below(w, 3)) {
        make_drop(w, uplink, stream);
    } else if (stream_setup(w, stream)->uplinks == 3) {
        make_again(w, uplink, stream);
    }
}

static void make_deliveries(struct world *w)
{
    for (uint16_t u = 1; u <= WORLD_UPLINKS; u++) {
        for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
            bool carries = stream_setup(w, s)->uplinks >> (u - 1) & 1;
            if (carries && w->maybe->parcels[u][s].open && world_below(w, 3)) {
                make_done(w, u, s);
            }
        }
    }
    if (world_below(w, 12) == 0) {
        make_end(w);
    }
    for (uint16_t u = 1; u <= WORLD_UPLINKS; u++) {
        for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
            bool carries = stream_setup(w, s)->uplinks >> (u - 1) & 1;
            if (carries && !w->maybe->parcels[u][s].open && world_below(w, w->drains ? 2 : 6)) {
                make_parcel(w, u, s);
            }
        }
    }
}

static void make_step(struct world *w)
{
    struct step *step = w->step;
    memcpy(w->maybe, w->sure, sizeof *w->maybe);
    w->maybe->commit++;
    step->size = 0;
    step->write = (struct buffer_write){.events = step->events,
                                        .cursors = step->cursors,
                                        .dones = step->dones,
                                        .ends = &step->end,
                                        .parcels = step->parcel_pointers,
                                        .asides = &step->aside,
                                        .remotes = &step->remote,
                                        .boots = &step->boot};
    for (uint16_t s = 1; !w->quiet && s <= WORLD_STREAMS; s++) {
        make_events(w, s);
    }
    make_cursor(w, 0, true);
    while (step->write.cursor_count < STEP_CURSORS && world_below(w, 2)) {
        make_cursor(w, 1 + world_below(w, WORLD_KEYS - 1), world_below(w, 4) > 0);
    }
    make_deliveries(w);
    make_rare(w);
    make_order(w);
}

bool world_has_room(const struct world *w)
{
    for (size_t s = 1; s <= WORLD_STREAMS; s++) {
        if (w->sure->next[s] + STEP_EVENTS >= WORLD_SEQUENCES) {
            return false;
        }
    }
    return true;
}

static void adopt(struct world *w)
{
    struct model *model = w->sure;
    w->sure = w->maybe;
    w->maybe = model;
    w->under_way = false;
}

enum err world_retry(struct world *w)
{
    w->why.text[0] = '\0';
    w->under_way = true;
    enum err e = buffer_commit(w->buffer, &w->step->write, &w->changes, &w->why);
    if (!e) {
        adopt(w);
    }
    if (!e && w->step->write.order_count && w->step->order.count != w->step->ordered) {
        why_set(&w->why, "an order came to %llu events, not %llu",
                (unsigned long long)w->step->order.count, (unsigned long long)w->step->ordered);
        e = ERR_REJECTED;
    }
    return e;
}

enum err world_step(struct world *w)
{
    make_step(w);
    return world_retry(w);
}

enum err world_keep(struct world *w, unsigned count)
{
    struct buffer_write *write = &w->step->write;
    for (unsigned i = 0; i <= count; i++) {
        enum err e = buffer_keep(w->buffer, write, &w->changes, &w->why);
        if (e) {
            return e;
        }
        write->done_count = 0;
        write->end_count = 0;
        write->parcel_count = 0;
        if (i < count) {
            make_deliveries(w);
        }
    }
    return ERR_OK;
}

/* --- checking --- */

static bool is_in_flight(const struct model *m, uint16_t stream, uint64_t sequence)
{
    for (size_t u = 1; u <= WORLD_UPLINKS; u++) {
        const struct model_parcel *p = &m->parcels[u][stream];
        if (p->open && p->range.first <= sequence && sequence <= p->range.last) {
            return true;
        }
    }
    return false;
}

/* Who owes this sequence, as the buffer says. */
static uint8_t owed_now(const struct buffer_changes *c, uint16_t stream, uint64_t sequence)
{
    uint8_t bits = 0;
    for (size_t i = 0; i < c->owed_count; i++) {
        const struct owed *owed = &c->owed[i];
        for (size_t r = 0; owed->stream == stream && r < owed->range_count; r++) {
            if (owed->ranges[r].first <= sequence && sequence <= owed->ranges[r].last) {
                bits |= (uint8_t)(1u << (owed->uplink - 1));
            }
        }
    }
    return bits;
}

/* What the buffer says of a stream. Where it dropped by its rules, and said so, the model
 * follows. */
static const char *check_stream(struct world *w, uint16_t stream)
{
    struct model *m = w->sure;
    const struct stream_state *now = &w->changes.streams[stream];
    uint64_t gone = 0;
    if (now->sequence_next != m->next[stream]) {
        return problem(w, "lost: stream %u stands at %llu, not %llu", stream,
                       (unsigned long long)now->sequence_next, (unsigned long long)m->next[stream]);
    }
    for (size_t i = 0; i < w->changes.owed_count; i++) {
        const struct owed *owed = &w->changes.owed[i];
        if (owed->stream == stream && owed->range_count > 0 &&
            owed->ranges[0].first < m->low[stream]) {
            return problem(w, "twice: %u/%llu is owed again", stream,
                           (unsigned long long)owed->ranges[0].first);
        }
    }
    for (uint64_t i = m->low[stream]; i < m->next[stream]; i++) {
        uint8_t bits = owed_now(&w->changes, stream, i);
        if (bits == m->owed[stream][i]) {
            continue;
        }
        if (bits & ~m->owed[stream][i]) {
            return problem(w, "twice: %u/%llu is owed again", stream, (unsigned long long)i);
        }
        if (bits != 0 || stream_setup(w, stream)->when_full != FULL_DROP_OLDEST ||
            is_in_flight(m, stream, i)) {
            return problem(w, "lost: %u/%llu is not owed any more", stream, (unsigned long long)i);
        }
        m->owed[stream][i] = 0;
        gone++;
    }
    if (now->dropped_count != m->dropped[stream] + gone) {
        return problem(w, "lost: %llu events of stream %u dropped, counted are %llu",
                       (unsigned long long)(m->dropped[stream] + gone), stream,
                       (unsigned long long)now->dropped_count);
    }
    m->dropped[stream] += gone;
    while (m->low[stream] < m->next[stream] && m->owed[stream][m->low[stream]] == 0) {
        m->low[stream]++;
    }
    return NULL;
}

static const char *check_gaps(struct world *w)
{
    uint64_t counted[WORLD_STREAMS + 1] = {0};
    for (size_t i = 0; i < w->changes.gap_count; i++) {
        counted[w->changes.gaps[i].stream] += w->changes.gaps[i].count;
    }
    for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
        if (counted[s] != w->sure->dropped[s]) {
            return problem(w, "lost: the gaps of stream %u tell of %llu events, %llu are gone", s,
                           (unsigned long long)counted[s], (unsigned long long)w->sure->dropped[s]);
        }
    }
    return NULL;
}

/* The disk has seen no more than the cap, at no moment. */
static const char *check_size(struct world *w)
{
    struct crash_counts counts;
    crash_vfs_counts(w->vfs, &counts);
    if (counts.size_high > (uint64_t)w->setup.size_max || counts.wal_high > 2 << 20 ||
        w->changes.file_size > (uint64_t)w->setup.size_max) {
        return problem(w, "larger than the cap: %llu bytes in all, the log %llu, said to be %llu",
                       (unsigned long long)counts.size_high, (unsigned long long)counts.wal_high,
                       (unsigned long long)w->changes.file_size);
    }
    return NULL;
}

const char *world_check_changes(struct world *w)
{
    const char *found = NULL;
    for (uint16_t s = 1; !found && s <= WORLD_STREAMS; s++) {
        found = check_stream(w, s);
    }
    found = found ? found : check_gaps(w);
    return found ? found : check_size(w);
}

static const char *check_run(struct world *w, uint16_t stream, struct range range)
{
    while (range.first <= range.last) {
        enum err e =
            buffer_read(w->buffer, stream, range, 1 + world_below(w, 30000), w->rows, &w->why);
        if (e) {
            return problem(w, "lost: reading %u/%llu: %s", stream, (unsigned long long)range.first,
                           w->why.text);
        }
        for (size_t i = 0; i < w->rows->event_count; i++) {
            const struct stored_event *event = &w->rows->events[i];
            if (event->sequence != range.first || !event_is_right(w, event)) {
                return problem(w, "lost: %u/%llu is not there, or not as it was", stream,
                               (unsigned long long)range.first);
            }
            range.first++;
        }
        if (w->rows->event_count == 0) {
            return problem(w, "lost: %u/%llu can't be read", stream,
                           (unsigned long long)range.first);
        }
    }
    return NULL;
}

const char *world_check_events(struct world *w)
{
    const struct model *m = w->sure;
    const char *found = NULL;
    for (uint16_t s = 1; !found && s <= WORLD_STREAMS; s++) {
        for (uint64_t i = m->low[s]; !found && i < m->next[s]; i++) {
            struct range run = {i, i - 1};
            while (i < m->next[s] && m->owed[s][i]) {
                run.last = i++;
            }
            found = run.first <= run.last ? check_run(w, s, run) : NULL;
        }
    }
    return found;
}

struct found {
    struct world *w;
    uint64_t cursors[WORLD_KEYS];
    bool parcels[WORLD_UPLINKS + 1][WORLD_STREAMS + 1];
    uint64_t asides;
    const char *problem;
};

static void take_cursor(void *context, uint32_t key, struct slice value)
{
    struct found *f = context;
    uint64_t commit = 0;
    if (key >= WORLD_KEYS || value.size < sizeof commit) {
        f->problem = problem(f->w, "torn: a cursor that nobody set");
        return;
    }
    memcpy(&commit, value.data, sizeof commit);
    f->cursors[key] = commit;
    bool right = value.size == 16 + (size_t)(commit + key) % 180;
    for (size_t i = sizeof commit; i < value.size; i++) {
        right = right && value.data[i] == key;
    }
    f->problem = right ? f->problem : problem(f->w, "torn: cursor %u is not as it was set", key);
}

static void take_parcel(void *context, const struct parcel *parcel)
{
    struct found *f = context;
    struct parcel right;
    uint16_t u = parcel->uplink;
    uint16_t s = parcel->stream;
    if (u < 1 || u > WORLD_UPLINKS || s < 1 || s > WORLD_STREAMS ||
        !f->w->sure->parcels[u][s].open) {
        f->problem = problem(f->w, "twice: a parcel that was closed, or never opened");
        return;
    }
    f->parcels[u][s] = true;
    parcel_of(f->w, &f->w->sure->parcels[u][s], &right);
    if (memcmp(&right, parcel, sizeof right) != 0) {
        f->problem = problem(f->w, "torn: a parcel is not as it was opened");
    }
}

static void take_aside(void *context, int64_t id, const struct aside *aside)
{
    struct found *f = context;
    (void)id;
    f->asides++;
    if (!slice_equal_text(aside->reason, "no such field")) {
        f->problem = problem(f->w, "torn: a set-aside event is not as it was");
    }
}

/* Which commit stands? The model becomes that one. */
static const char *check_commit(struct world *w, struct found *f)
{
    if (buffer_cursor_each(w->buffer, w->driver, take_cursor, f)) {
        return problem(w, "lost: cursors can't be read");
    }
    if (f->problem) {
        return f->problem;
    }
    uint64_t stands = f->cursors[0];
    if (w->under_way && stands == w->maybe->commit) {
        adopt(w);
    }
    w->under_way = false;
    if (stands != w->sure->commit) {
        return problem(w, "lost: commit %llu stands, %llu was acknowledged",
                       (unsigned long long)stands, (unsigned long long)w->sure->commit);
    }
    if (memcmp(f->cursors, w->sure->cursors, sizeof f->cursors) != 0) {
        return problem(w, "torn: cursors of different commits");
    }
    return NULL;
}

static const char *check_rest(struct world *w, struct found *f)
{
    buffer_parcel_each(w->buffer, take_parcel, f);
    for (size_t u = 1; u <= WORLD_UPLINKS; u++) {
        for (size_t s = 1; s <= WORLD_STREAMS; s++) {
            if (w->sure->parcels[u][s].open && !f->parcels[u][s]) {
                return problem(w, "lost: an open parcel");
            }
        }
    }
    if (buffer_aside_each(w->buffer, 0, 1 << 20, take_aside, f, &w->why) ||
        f->asides != w->changes.aside_count || f->asides > w->sure->asides) {
        return problem(w, "lost: %llu set-aside events, counted are %llu",
                       (unsigned long long)f->asides, (unsigned long long)w->changes.aside_count);
    }
    for (uint32_t boot = 1; boot < 10; boot++) {
        struct boot_offset offset = {0};
        bool known = buffer_boot_offset(w->buffer, boot, &offset);
        if (known != (boot <= w->sure->boot_known) ||
            (known && offset.offset_us != boot * INT64_C(-77))) {
            return problem(w, "torn: the offset of boot %u", boot);
        }
    }
    return f->problem;
}

const char *world_check(struct world *w)
{
    struct found found = {.w = w};
    if (w->incarnation == 0) {
        w->incarnation = buffer_incarnation(w->buffer);
    }
    if (w->incarnation == 0 || w->incarnation != buffer_incarnation(w->buffer)) {
        return problem(w, "lost: the incarnation");
    }
    const char *wrong = check_commit(w, &found);
    wrong = wrong ? wrong : world_check_changes(w);
    wrong = wrong ? wrong : check_rest(w, &found);
    return wrong ? wrong : world_check_events(w);
}
