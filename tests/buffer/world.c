#include "tests/buffer/world_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_BASE INT64_C(1700000000000000)
#define AGE_MAX_US 1500 /* of the stream "mid", in some worlds: events are 1 us apart */

uint32_t world_below(struct world *w, uint32_t limit)
{
    w->chance += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = w->chance;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 32) % limit;
}

const char *world_problem(struct world *w, const char *format, ...)
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
    w->rows->is_look = true;
    w->rows->arena = out_over(malloc(WORLD_ARENA_SIZE), WORLD_ARENA_SIZE);
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

/* --- what is given up --- */

/* Every seventh event of a row stays, and the last. */
static void thin_begin(void *context, uint16_t stream, uint32_t schema)
{
    struct world *w = context;
    (void)stream;
    (void)schema;
    w->looked_at = 0;
}

static void thin_look(void *context, const struct stored_event *event)
{
    struct world *w = context;
    w->looks[w->looked_at++ % WORLD_SEQUENCES] = event->sequence;
}

static bool thin_stays(void *context, size_t index)
{
    const struct world *w = context;
    return w->looks[index] % 7 == 0 || index + 1 == w->looked_at;
}

static void choose_policies(struct world *w, uint64_t seed)
{
    static const uint8_t policies[] = {FULL_DROP_OLDEST, FULL_THIN, FULL_DROP_NEWEST,
                                       FULL_DROP_OLDEST};
    w->setup.streams[0].when_full = policies[seed % 4];
    w->setup.streams[1].age_max_us = seed % 4 == 3 ? AGE_MAX_US : 0;
    w->setup.uplinks[1].hold_max = seed % 8 == 4 ? 200000 : 1000000;
    w->setup.thinner = (struct buffer_thinner){thin_begin, thin_look, thin_stays, w};
}

void world_reset(struct world *w, uint64_t seed)
{
    choose_policies(w, seed);
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
    w->machine = (struct machine){{1}, {1}};
    w->moves = seed % 3 == 2;
    w->moved = false;
    w->move_count = 0;
    memset(w->names, 0, sizeof w->names);
    w->prepared = false;
    w->under_way = false;
    w->takes_only = false;
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

/* The board is another one, the medium is the same. */
static void choose_machine(struct world *w)
{
    w->setup.machine = &w->machine;
    if (w->moves && w->move_count < WORLD_MOVES && world_below(w, 4) == 0) {
        w->move_count++;
        w->machine.board[0]++;
        w->moved = true;
    }
}

enum err world_buffer_open(struct world *w)
{
    w->why.text[0] = '\0';
    choose_keys(w);
    choose_machine(w);
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

bool world_event_is_right(const struct world *w, const struct stored_event *e)
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

struct buffer_stream *world_stream(struct world *w, uint16_t stream)
{
    return &w->setup.streams[stream - 1];
}

void world_lose(struct model *m, uint16_t stream, uint8_t bits)
{
    m->dropped[stream]++;
    for (size_t u = 1; u <= WORLD_UPLINKS; u++) {
        m->lost[u][stream] += bits >> (u - 1) & 1;
    }
}

/* The next event finds no room, and is gone. */
static void make_skip(struct world *w, uint16_t stream)
{
    struct step *step = w->step;
    struct stored_event *last =
        step->write.event_count ? &step->events[step->write.event_count - 1] : NULL;
    if (last && last->stream == stream && last->dropped > 0) {
        last->dropped++;
    } else {
        step->events[step->write.event_count++] = (struct stored_event){
            .stream = stream, .sequence = w->maybe->next[stream], .dropped = 1};
    }
    w->maybe->gone[w->maybe->next[stream]] = stream == 1;
    w->maybe->owed[stream][w->maybe->next[stream]++] = 0;
    world_lose(w->maybe, stream, (uint8_t)world_stream(w, stream)->uplinks);
}

static void make_events(struct world *w, uint16_t stream)
{
    struct step *step = w->step;
    uint32_t count = world_below(w, 3) ? world_below(w, 40) : 0;
    size_t room = w->changes.room[stream];
    for (uint32_t i = 0; i < count && step->write.event_count < STEP_EVENTS; i++) {
        uint64_t sequence = w->maybe->next[stream];
        size_t size = datum_size(w, stream, sequence);
        if (step->size + size > STEP_BYTES || sequence + 1 >= WORLD_SEQUENCES) {
            return;
        }
        if (size > room) {
            if (world_stream(w, stream)->when_full != FULL_DROP_NEWEST) {
                return;
            }
            make_skip(w, stream);
            continue;
        }
        struct stored_event *event = &step->events[step->write.event_count++];
        event_of(w, stream, sequence, event);
        datum_put(stream, sequence, step->bytes + step->size, size);
        event->datum = (struct slice){step->bytes + step->size, size};
        step->size += size;
        room -= size;
        w->maybe->next[stream]++;
        w->maybe->owed[stream][sequence] = (uint8_t)world_stream(w, stream)->uplinks;
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

/* Who owes this sequence, as the buffer says. */
uint8_t world_owed_now(const struct buffer_changes *c, uint16_t stream, uint64_t sequence)
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

/* As the agent does it: from where the buffer says, though the first ones may be gone. */
static struct range lowest_owed(const struct world *w, uint16_t uplink, uint16_t stream)
{
    const struct model *m = w->maybe;
    struct range range = {1, 0};
    uint64_t at = m->low[stream];
    while (at < m->next[stream] && !(m->owed[stream][at] >> (uplink - 1) & 1)) {
        at++;
    }
    range.first = at;
    while (stream == 1 && range.first > 1 && m->gone[range.first - 1] &&
           world_owed_now(&w->changes, stream, range.first - 1) >> (uplink - 1) & 1) {
        range.first--;
    }
    while (at < m->next[stream] && m->owed[stream][at] >> (uplink - 1) & 1) {
        range.last = at++;
    }
    return range;
}

void world_parcel_of(const struct world *w, const struct model_parcel *m, struct parcel *ret)
{
    *ret = (struct parcel){.uplink = m->uplink,
                           .stream = m->stream,
                           .layout = LAYOUT_ROWS,
                           .schema = w->schemas[m->stream],
                           .range = m->range,
                           .target = "topic",
                           .cluster_id = "cluster",
                           /* Buffers of earlier versions have none. */
                           .type = {m->range.first % 3 ? 't' : 0},
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
                                      .stamp = (uint8_t)(i % 3),
                                      .assigned = i > 0,
                                      .done = m->done >> i & 1};
    }
}

bool world_is_in_flight(const struct model *m, uint16_t stream, uint64_t sequence)
{
    for (size_t u = 1; u <= WORLD_UPLINKS; u++) {
        const struct model_parcel *p = &m->parcels[u][stream];
        if (p->open && p->range.first <= sequence && sequence <= p->range.last) {
            return true;
        }
    }
    return false;
}

/* An event of a thinned stream that is owed and is not there. False: it may not be missing. */
bool world_note_thinned(struct model *m, uint16_t stream, uint64_t sequence)
{
    if (!m->gone[sequence]) {
        m->gone[sequence] = true;
        world_lose(m, stream, m->owed[stream][sequence]);
        return !world_is_in_flight(m, stream, sequence);
    }
    return true;
}

/* What a parcel would have of the range is what is there now: the rest was thinned. False: it can't
 * be read now. */
static bool look_for_thinned(struct world *w, uint16_t stream, struct range range)
{
    if (world_stream(w, stream)->when_full != FULL_THIN) {
        return true;
    }
    while (range.first <= range.last) {
        w->rows->is_look = false;
        enum err e = buffer_read(w->buffer, stream, range, WORLD_ARENA_SIZE, w->rows, &w->why);
        w->rows->is_look = true;
        if (e) {
            return false;
        }
        for (size_t i = 0; i <= w->rows->event_count; i++) {
            bool is_end = i == w->rows->event_count;
            uint64_t next = is_end ? w->rows->covered.last + 1 : w->rows->events[i].sequence;
            while (range.first < next) {
                (void)world_note_thinned(w->maybe, stream, range.first++); /* checked elsewhere */
            }
            range.first = is_end ? next : next + 1;
        }
    }
    return true;
}

static void make_parcel(struct world *w, uint16_t uplink, uint16_t stream)
{
    struct range owed = lowest_owed(w, uplink, stream);
    uint64_t most = owed.first + world_below(w, w->drains ? 600 : 60);
    owed.last = most < owed.last ? most : owed.last;
    owed.last = owed.last < w->sure->next[stream] ? owed.last : w->sure->next[stream] - 1;
    if (owed.last < owed.first || !look_for_thinned(w, stream, owed)) {
        return;
    }
    struct model_parcel *m = &w->maybe->parcels[uplink][stream];
    *m = (struct model_parcel){.open = true,
                               .uplink = uplink,
                               .stream = stream,
                               .range = owed,
                               .part_count = 1 + world_below(w, 3)};
    size_t index = w->step->write.parcel_count++;
    world_parcel_of(w, m, &w->step->parcels[index]);
    w->step->parcel_pointers[index] = &w->step->parcels[index];
}

/* The lowest event of a stream ends otherwise than by a parcel. */
static void make_end(struct world *w)
{
    uint16_t uplink = 1;
    uint16_t stream = (uint16_t)(1 + world_below(w, WORLD_STREAMS));
    struct range owed = lowest_owed(w, uplink, stream);
    if (w->maybe->parcels[uplink][stream].open || owed.last < owed.first) {
        return;
    }
    owed.last = owed.first;
    if (owed.first >= w->sure->next[stream] || !look_for_thinned(w, stream, owed)) {
        return;
    }
    w->step->end = (struct owed_end){uplink, stream, owed};
    w->step->write.end_count = 1;
    clear_owed(w->maybe, uplink, stream, owed);
}

struct aside world_aside(uint64_t number, uint8_t memory[WORLD_ASIDE_SIZE])
{
    size_t head = number % 3 ? (size_t)(number * 37 % 400) : 0;
    size_t body = (size_t)(number * 101 % 900);
    memset(memory, (int)(number % 251), head);
    memset(memory + head, (int)(number % 241), body);
    return (struct aside){.time_us = TIME_BASE,
                          .kind = ASIDE_PAYLOAD,
                          .sequence = number,
                          .size = 900,
                          .source = SLICE("tail"),
                          .reason = SLICE("no such field"),
                          .head = {memory, head},
                          .body = {memory + head, body}};
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

/* May some of what is owed be gone? Then nobody knows what an order comes to. */
static bool has_holes(struct world *w, uint16_t stream)
{
    uint8_t when_full = world_stream(w, stream)->when_full;
    return when_full == FULL_THIN || when_full == FULL_DROP_NEWEST;
}

/* All new events of a stream come in place of the set-aside one: for one uplink. Few ranges, so that none
 * grow together. */
static void make_again_for_one(struct world *w, struct buffer_order *order)
{
    struct model *m = w->maybe;
    uint16_t uplink = (uint16_t)(1 + world_below(w, WORLD_UPLINKS));
    uint16_t stream = (uint16_t)(1 + world_below(w, WORLD_STREAMS));
    uint16_t other = (uint16_t)(WORLD_UPLINKS + 1 - uplink);
    struct range range = {w->sure->next[stream], m->next[stream] - 1};
    if (world_stream(w, stream)->uplinks != 3 || has_holes(w, stream) || range.last < range.first ||
        owed_runs(m, other, stream) > 4) {
        return;
    }
    order->uplink = uplink;
    order->stream = stream;
    order->range = range;
    clear_owed(m, other, stream, range);
}

static void make_aside(struct world *w)
{
    struct step *step = w->step;
    step->aside_order = (struct buffer_order){.count = 0};
    if (world_below(w, 10) == 0 && w->maybe->asides < WORLD_ASIDES) {
        w->maybe->asides++;
        step->aside = world_aside(w->maybe->asides, step->aside_bytes);
        step->write.aside_count = 1;
    }
    if (w->orders && !w->quiet && w->sure->asides > 0 && world_below(w, 25) == 0) {
        uint64_t number = 1 + world_below(w, (uint32_t)w->sure->asides);
        step->aside_order =
            (struct buffer_order){.kind = ORDER_ASIDE_DROP, .aside = (int64_t)number};
        step->order_pointers[step->write.order_count++] = &step->aside_order;
        w->maybe->aside_dropped[number] = true;
        make_again_for_one(w, &step->aside_order);
    }
}

static void make_rare(struct world *w)
{
    struct step *step = w->step;
    make_aside(w);
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
    struct range owed = lowest_owed(w, uplink, stream);
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
            world_lose(m, stream, (uint8_t)(1u << (uplink - 1)));
            w->step->ordered++;
        }
    }
    w->step->order_pointers[w->step->write.order_count++] = &w->step->order;
}

/* The first of what the other uplink is owed: it is there. Few ranges, so that none grow together.
 */
static void make_again(struct world *w, uint16_t uplink, uint16_t stream)
{
    struct model *m = w->maybe;
    struct range there = lowest_owed(w, (uint16_t)(3 - uplink), stream);
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
    w->step->order_pointers[w->step->write.order_count++] = &w->step->order;
}

static void make_order(struct world *w)
{
    uint16_t uplink = (uint16_t)(1 + world_below(w, WORLD_UPLINKS));
    uint16_t stream = (uint16_t)(1 + world_below(w, WORLD_STREAMS));
    w->step->ordered = 0;
    w->step->order = (struct buffer_order){.count = 0};
    if (!w->orders || w->quiet || w->step->aside_order.uplink || world_below(w, 10) ||
        !(world_stream(w, stream)->uplinks >> (uplink - 1) & 1) || has_holes(w, stream)) {
        return;
    }
    if (world_below(w, 3)) {
        make_drop(w, uplink, stream);
    } else if (world_stream(w, stream)->uplinks == 3) {
        make_again(w, uplink, stream);
    }
}

static void make_deliveries(struct world *w)
{
    for (uint16_t u = 1; u <= WORLD_UPLINKS; u++) {
        for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
            bool carries = world_stream(w, s)->uplinks >> (u - 1) & 1;
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
            bool carries = world_stream(w, s)->uplinks >> (u - 1) & 1;
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
                                        .orders = step->order_pointers,
                                        .remotes = &step->remote,
                                        .boots = &step->boot,
                                        .wall_us = TIME_BASE + (int64_t)w->sure->next[2]};
    for (uint16_t s = 1; !w->quiet && s <= WORLD_STREAMS; s++) {
        make_events(w, s);
    }
    make_cursor(w, 0, true);
    while (step->write.cursor_count < STEP_CURSORS && world_below(w, 2)) {
        make_cursor(w, 1 + world_below(w, WORLD_KEYS - 1), world_below(w, 4) > 0);
    }
    if (!w->takes_only) {
        make_deliveries(w);
    }
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

void world_adopt(struct world *w)
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
        world_adopt(w);
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
