#include "tests/buffer/bench.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "buffer/salvage.h"

#define ARENA_SIZE (4 << 20)
#define ASIDE_MAX 3

uint32_t bench_below(struct bench *b, uint32_t limit)
{
    b->chance = b->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(b->chance >> 33) % limit;
}

/* --- opening --- */

static void set_up(struct buffer_setup *setup)
{
    setup->path = BENCH_PATH;
    setup->vfs = "bench";
    setup->agent_id = "test";
    setup->size_max = 64 << 20;
    setup->event_size_max = EVENT_SIZE_DEFAULT;
    setup->streams[0] = (struct buffer_stream){
        .name = "low", .priority = 1, .when_full = FULL_DROP_OLDEST, .uplinks = 3};
    setup->streams[1] = (struct buffer_stream){
        .name = "alarm", .priority = 9, .when_full = FULL_BLOCK, .uplinks = 1};
    setup->stream_count = 2;
    setup->uplinks[0] = (struct buffer_uplink){.name = "cloud", .hold_max = 1000000};
    setup->uplinks[1] = (struct buffer_uplink){.name = "files", .hold_max = 1000000};
    setup->uplink_count = 2;
}

int bench_open(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    b->setup = calloc(1, sizeof *b->setup);
    b->rows = calloc(1, sizeof *b->rows);
    b->rows->events = calloc(ROWS_EVENT_MAX, sizeof *b->rows->events);
    b->rows->event_max = ROWS_EVENT_MAX;
    b->rows->is_look = true;
    b->rows->arena = out_over(malloc(ARENA_SIZE), ARENA_SIZE);
    b->chance = 42;
    *state = b;
    if (crash_vfs_open(&b->vfs, "bench")) {
        return -1;
    }
    set_up(b->setup);
    bench_begin(b);
    return 0;
}

int bench_close(void **state)
{
    struct bench *b = *state;
    buffer_close(b->buffer);
    crash_vfs_close(b->vfs);
    free(b->rows->events);
    free(b->rows->arena.data);
    free(b->rows);
    free(b->setup);
    free(b);
    return 0;
}

enum err bench_try_open(struct bench *b)
{
    static const uint8_t fingerprint[8] = {1};
    buffer_close(b->buffer);
    b->buffer = NULL;
    b->why.text[0] = '\0';
    enum err e = buffer_open(&b->buffer, b->setup, &b->why);
    for (uint16_t s = 1; !e && s <= BENCH_STREAMS; s++) {
        if (buffer_stream_name(b->buffer, s)[0]) {
            e = buffer_schema_add(b->buffer, s, SLICE("\"bytes\""), fingerprint, &b->schema[s],
                                  &b->why);
        }
    }
    if (!e) {
        buffer_state(b->buffer, &b->changes);
    }
    return e;
}

void bench_reopen(struct bench *b)
{
    enum err e = bench_try_open(b);
    if (e) {
        fail_msg("opening: %s: %s", err_name(e), b->why.text);
    }
}

void bench_begin(struct bench *b)
{
    buffer_close(b->buffer);
    b->buffer = NULL;
    crash_vfs_reset(b->vfs);
    for (size_t s = 0; s <= BENCH_STREAMS; s++) {
        b->next[s] = 1;
    }
    bench_reopen(b);
}

/* --- events --- */

static struct slice datum_of(const struct bench *b, uint16_t stream, uint64_t sequence,
                             uint8_t memory[BENCH_DATUM_MAX])
{
    size_t size = b->datum_size ? b->datum_size : 10 + (size_t)((sequence * 7 + stream) % 150);
    uint64_t chance = sequence * 977 + stream;
    for (size_t i = 0; i < size; i++) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memory[i] = (uint8_t)(chance >> 56);
    }
    return (struct slice){memory, size};
}

static struct stored_event event_of(const struct bench *b, uint16_t stream, uint64_t sequence,
                                    uint8_t memory[BENCH_DATUM_MAX])
{
    struct stored_event event = {.stream = stream,
                                 .schema = b->schema[stream],
                                 .sequence = sequence,
                                 .trust = sequence % 3 ? TIME_WALL : TIME_PAYLOAD,
                                 .time_us = BENCH_TIME_US +
                                            (int64_t)sequence * (b->step_us ? b->step_us : 1),
                                 .datum = datum_of(b, stream, sequence, memory)};
    if (sequence % 5 == 0 && !b->step_us) {
        event.trust = TIME_BOOT;
        event.boot = 7;
        event.fill_count = 2;
        event.fills[0] = (struct fill){FILL_TIME_MICROS, 1};
        event.fills[1] = (struct fill){FILL_ID, 5};
    }
    return event;
}

enum err bench_commit(struct bench *b, const struct buffer_write *write)
{
    struct crash_counts counts;
    b->why.text[0] = '\0';
    enum err e = buffer_commit(b->buffer, write, &b->changes, &b->why);
    crash_vfs_counts(b->vfs, &counts); /* at no moment more than the cap */
    assert_true(counts.size_high <= (uint64_t)b->setup->size_max);
    return e;
}

enum err bench_append(struct bench *b, uint16_t stream, size_t count)
{
    static struct stored_event events[WRITE_EVENT_MAX];
    static uint8_t memory[WRITE_EVENT_MAX][BENCH_DATUM_MAX];
    for (size_t i = 0; i < count; i++) {
        events[i] = event_of(b, stream, b->next[stream] + i, memory[i]);
    }
    struct buffer_write write = {.events = events, .event_count = count, .wall_us = b->wall_us};
    enum err e = bench_commit(b, &write);
    b->next[stream] += e ? 0 : count;
    return e;
}

void bench_skip(struct bench *b, uint16_t stream, uint32_t count)
{
    struct stored_event event = {.stream = stream,
                                 .schema = b->schema[stream],
                                 .sequence = b->next[stream],
                                 .dropped = count};
    struct buffer_write write = {.events = &event, .event_count = 1, .wall_us = b->wall_us};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    b->next[stream] += count;
}

void bench_idle(struct bench *b)
{
    struct buffer_write write = {.wall_us = b->wall_us};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

void bench_fill(struct bench *b, uint16_t stream, size_t count, uint64_t total)
{
    while (b->next[stream] <= total &&
           b->changes.room[stream] > count * (b->datum_size ? b->datum_size : 160)) {
        assert_int_equal(bench_append(b, stream, count), ERR_OK);
    }
}

/* --- deliveries --- */

void bench_end(struct bench *b, uint16_t uplink, uint16_t stream, uint64_t first, uint64_t last)
{
    struct owed_end end = {.uplink = uplink, .stream = stream, .range = {first, last}};
    struct buffer_write write = {.ends = &end, .end_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

struct parcel bench_parcel(uint16_t uplink, uint16_t stream, uint64_t first, uint64_t last,
                           uint32_t parts)
{
    struct parcel p = {.uplink = uplink,
                       .stream = stream,
                       .layout = LAYOUT_ROWS,
                       .schema = 1,
                       .range = {first, last},
                       .target = "topic",
                       .cluster_id = "c",
                       .partition_count = parts,
                       .part_count = parts};
    for (uint32_t i = 0; i < parts; i++) {
        p.parts[i] = (struct part){.partition = i,
                                   .first = first,
                                   .last = last,
                                   .producer_id = 1000 + i,
                                   .producer_epoch = 0,
                                   .base_sequence = 5,
                                   .record_count = 3,
                                   .events_per_record = 1,
                                   .sent_ms = 1700000000123,
                                   .assigned = true};
    }
    return p;
}

void bench_parcel_put(struct bench *b, const struct parcel *parcel)
{
    struct buffer_write write = {.parcels = &parcel, .parcel_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

void bench_done(struct bench *b, uint16_t uplink, uint16_t stream, uint32_t part)
{
    struct part_done done = {.uplink = uplink, .stream = stream, .part = part};
    struct buffer_write write = {.dones = &done, .done_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

void bench_put_asides(struct bench *b, size_t count)
{
    struct aside asides[ASIDE_MAX] = {{.kind = ASIDE_PAYLOAD}};
    assert_true(count <= ASIDE_MAX);
    for (size_t i = 0; i < count; i++) {
        asides[i] = (struct aside){.time_us = BENCH_TIME_US,
                                   .stream = 1,
                                   .kind = ASIDE_PAYLOAD,
                                   .size = 5,
                                   .source = SLICE("source"),
                                   .reason = SLICE("reason"),
                                   .head = i % 2 ? SLICE("") : SLICE("what replay needs"),
                                   .body = SLICE("hello")};
    }
    struct buffer_write write = {.asides = asides, .aside_count = count};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

/* --- damage --- */

void bench_cut(struct bench *b, enum crash_image image, uint64_t seed)
{
    crash_vfs_freeze(b->vfs);
    buffer_close(b->buffer);
    b->buffer = NULL;
    (void)crash_vfs_crash(b->vfs, image, seed);
}

void bench_damage_at_rest(struct bench *b)
{
    uint64_t size = 0;
    bench_cut(b, CRASH_ALL, 1);
    uint8_t *bytes = crash_vfs_file(b->vfs, BENCH_PATH, &size);
    assert_non_null(bytes);
    bytes[21] ^= 0xff;
}

void bench_find_damage(struct bench *b)
{
    uint64_t replaced = b->changes.damage.replaced;
    b->buffer->file_damaged = true;
    bench_idle(b);
    assert_int_equal(b->changes.damage.replaced, replaced + 1);
    assert_non_null(b->buffer->salvage);
}

bool bench_has_file(struct bench *b, const char *name)
{
    uint64_t size = 0;
    return crash_vfs_file(b->vfs, name, &size) != NULL;
}

void bench_copy_file(struct bench *b, const char *from, const char *to)
{
    uint64_t size = 0;
    const uint8_t *data = crash_vfs_file(b->vfs, from, &size);
    assert_non_null(data);
    uint8_t *again = malloc(size);
    memcpy(again, data, size);
    assert_true(crash_vfs_file_put(b->vfs, to, again, size));
    free(again);
}

void bench_move_file(struct bench *b, const char *from, const char *to)
{
    bench_copy_file(b, from, to);
    crash_vfs_file_remove(b->vfs, from);
}

/* --- looking --- */

void bench_care(struct bench *b)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; i < 200 && e == ERR_OK; i++) {
        e = buffer_care(b->buffer, &b->changes, &b->why);
    }
    assert_int_equal(e, ERR_CLOSED);
}

bool bench_is_told(const struct bench *b, uint16_t stream, uint64_t sequence)
{
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        const struct gap *gap = &b->changes.gaps[i];
        if (gap->stream == stream && gap->reason == GAP_DAMAGED && gap->range.first <= sequence &&
            gap->range.last >= sequence) {
            return true;
        }
    }
    return false;
}

bool bench_is_right(const struct bench *b, const struct stored_event *event)
{
    uint8_t memory[BENCH_DATUM_MAX];
    return slice_equal(event->datum, datum_of(b, event->stream, event->sequence, memory));
}

const struct owed *bench_owed(struct bench *b, uint16_t uplink, uint16_t stream)
{
    for (size_t i = 0; i < b->changes.owed_count; i++) {
        if (b->changes.owed[i].uplink == uplink && b->changes.owed[i].stream == stream) {
            return &b->changes.owed[i];
        }
    }
    fail_msg("no owed entry %u/%u", uplink, stream);
    return NULL;
}

void bench_check(struct bench *b, uint16_t stream, uint64_t first, uint64_t last)
{
    uint8_t memory[BENCH_DATUM_MAX];
    uint64_t expected = first;
    while (first <= last) {
        assert_int_equal(
            buffer_read(b->buffer, stream, (struct range){first, last}, 20000, b->rows, &b->why),
            ERR_OK);
        assert_true(b->rows->event_count > 0);
        for (size_t i = 0; i < b->rows->event_count; i++) {
            const struct stored_event *e = &b->rows->events[i];
            struct stored_event right = event_of(b, stream, expected, memory);
            assert_int_equal(e->sequence, expected);
            assert_true(slice_equal(e->datum, right.datum));
            assert_int_equal(e->time_us, right.time_us);
            assert_int_equal(e->trust, right.trust);
            assert_int_equal(e->boot, right.boot);
            assert_int_equal(e->schema, right.schema);
            assert_int_equal(e->fill_count, right.fill_count);
            for (size_t k = 0; k < e->fill_count; k++) {
                assert_int_equal(e->fills[k].kind, right.fills[k].kind);
                assert_int_equal(e->fills[k].offset, right.fills[k].offset);
            }
            expected++;
        }
        first = b->rows->covered.last + 1;
    }
    assert_int_equal(expected, last + 1);
}

uint64_t bench_read(struct bench *b, uint16_t stream, uint64_t first, uint64_t last)
{
    uint8_t memory[BENCH_DATUM_MAX];
    uint64_t count = 0;
    while (first <= last) {
        enum err e =
            buffer_read(b->buffer, stream, (struct range){first, last}, 20000, b->rows, &b->why);
        if (e) {
            fail_msg("reading %u/%llu: %s", stream, (unsigned long long)first, b->why.text);
        }
        assert_int_equal(b->rows->covered.first, first);
        assert_in_range(b->rows->covered.last, first, last);
        for (size_t i = 0; i < b->rows->event_count; i++) {
            const struct stored_event *event = &b->rows->events[i];
            assert_true(b->other_datums ||
                        slice_equal(event->datum, datum_of(b, stream, event->sequence, memory)));
        }
        count += b->rows->event_count;
        first = b->rows->covered.last + 1;
    }
    return count;
}

static sqlite3 *file_open(struct bench *b)
{
    sqlite3 *db = NULL;
    buffer_close(b->buffer);
    b->buffer = NULL;
    assert_int_equal(sqlite3_open_v2(BENCH_PATH, &db, SQLITE_OPEN_READWRITE, "bench"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL),
                     SQLITE_OK);
    return db;
}

uint64_t bench_row_count(struct bench *b)
{
    sqlite3 *db = file_open(b);
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM batch", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    uint64_t count = (uint64_t)sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    bench_reopen(b);
    return count;
}

enum err bench_sql_closed(struct bench *b, const char *sql)
{
    sqlite3 *db = file_open(b);
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return bench_try_open(b);
}

void bench_sql(struct bench *b, const char *sql)
{
    assert_int_equal(bench_sql_closed(b, sql), ERR_OK);
}

void bench_look(struct bench *b, uint16_t stream, uint64_t last)
{
    uint8_t memory[BENCH_DATUM_MAX];
    struct buffer_write nothing = {.event_count = 0};
    uint64_t first = 1;
    unsigned turns = 0;
    while (first <= last) {
        enum err e =
            buffer_read(b->buffer, stream, (struct range){first, last}, 20000, b->rows, &b->why);
        if (e == ERR_CORRUPT || e == ERR_IO) {
            return; /* the tree itself is damaged */
        }
        assert_true(e == ERR_OK || e == ERR_AGAIN);
        for (size_t i = 0; !e && i < b->rows->event_count; i++) {
            const struct stored_event *event = &b->rows->events[i];
            assert_true(slice_equal(event->datum, datum_of(b, stream, event->sequence, memory)));
        }
        first = e ? first : b->rows->covered.last + 1;
        if (e && bench_commit(b, &nothing)) {
            return; /* the same, when it is written */
        }
        assert_true(turns++ < 1000);
    }
}
