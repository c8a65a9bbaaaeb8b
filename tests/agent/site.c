#include "tests/agent/site.h"

#include <stdlib.h>
#include <string.h>

#include "ports/lib/crc32c.h"
#include "ports/loop.h"
#include "ports/worker.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

#define DISK "site"

static struct site **site_now(void)
{
    static struct site *site;
    return &site;
}

/* --- commits, seen on their way --- */

enum err __real_buffer_commit(struct buffer *buffer, const struct buffer_write *write,
                              struct buffer_changes *ret_changes, struct why *why);
enum err __wrap_buffer_commit(struct buffer *buffer, const struct buffer_write *write,
                              struct buffer_changes *ret_changes, struct why *why);

static uint64_t hash_of(const struct buffer_write *write)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < write->event_count; i++) {
        hash = crc32c(hash, write->events[i].datum);
    }
    for (size_t i = 0; i < write->cursor_count; i++) {
        hash = crc32c(hash, write->cursors[i].value);
    }
    return hash;
}

enum err __wrap_buffer_commit(struct buffer *buffer, const struct buffer_write *write,
                              struct buffer_changes *ret_changes, struct why *why)
{
    struct site *site = *site_now();
    if (site->commit_count == SITE_COMMIT_MAX) { /* the older half is forgotten */
        site->commit_count /= 2;
        memmove(site->commits, site->commits + site->commit_count,
                site->commit_count * sizeof site->commits[0]);
    }
    struct site_commit *c = &site->commits[site->commit_count++];
    *c = (struct site_commit){.at_ms = sim_now_us() / 1000,
                              .events = write->event_count,
                              .cursors = write->cursor_count,
                              .dones = write->done_count,
                              .ends = write->end_count,
                              .parcels = write->parcel_count,
                              .asides = write->aside_count,
                              .remotes = write->remote_count,
                              .boots = write->boot_count,
                              .told = write->gap_told_count,
                              .hash = hash_of(write)};
    if (site->fail_count > 0) {
        site->fail_count--;
        why_set(why, "a failure that the test asked for");
        c->e = site->fail_with;
    } else {
        c->e = __real_buffer_commit(buffer, write, ret_changes, why);
    }
    if (!c->e && site->is_tight) {
        ret_changes->file_is_tight = true;
    }
    return c->e;
}

enum err __real_buffer_keep(struct buffer *buffer, const struct buffer_write *write,
                            struct buffer_changes *ret_changes, struct why *why);
enum err __wrap_buffer_keep(struct buffer *buffer, const struct buffer_write *write,
                            struct buffer_changes *ret_changes, struct why *why);

enum err __wrap_buffer_keep(struct buffer *buffer, const struct buffer_write *write,
                            struct buffer_changes *ret_changes, struct why *why)
{
    struct site *site = *site_now();
    if (site->keep_fail_count > 0) {
        site->keep_fail_count--;
        why_set(why, "a failure that the test asked for");
        return ERR_FULL;
    }
    return __real_buffer_keep(buffer, write, ret_changes, why);
}

/* --- lives --- */

static void freeze(void *context)
{
    struct site *site = context;
    crash_vfs_freeze(site->disk);
}

uint64_t site_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

struct site *site_open(uint64_t seed)
{
    struct site *site = calloc(1, sizeof *site);
    assert_non_null(site);
    site->first_seed = seed;
    site->seed = seed;
    site->fail_with = ERR_NOSPACE;
    *site_now() = site;
    sim_open(site->seed);
    assert_int_equal(crash_vfs_open(&site->disk, DISK), ERR_OK);
    sim_crash_hook_set(freeze, site);
    site->setup = calloc(1, sizeof *site->setup);
    assert_non_null(site->setup);
    *site->setup = (struct buffer_setup){
        .path = "buffer.db",
        .vfs = DISK,
        .agent_id = "pump-7",
        .size_max = 16 * 1024 * 1024,
        .event_size_max = EVENT_SIZE_DEFAULT,
        .streams = {{.name = "low", .priority = 3, .when_full = FULL_DROP_OLDEST, .uplinks = 3},
                    {.name = "alarm", .priority = 9, .when_full = FULL_BLOCK, .uplinks = 3}},
        .stream_count = 2,
        .uplinks = {{.name = "cloud", .hold_max = 1000000}, {.name = "files", .hold_max = 1000000}},
        .uplink_count = 2};
    return site;
}

void site_begin(struct site *site)
{
    struct why why = {""};
    uint8_t fingerprint[8] = {1};
    assert_int_equal(loop_open(&site->loop), ERR_OK);
    assert_int_equal(worker_open(&site->store_worker, site->loop, "store"), ERR_OK);
    assert_int_equal(worker_open(&site->pack_worker, site->loop, "pack"), ERR_OK);
    enum err e = buffer_open(&site->buffer, site->setup, &why);
    if (e) {
        fail_msg("opening the buffer: %s: %s", err_name(e), why.text);
    }
    for (uint16_t i = 0; i < site->setup->stream_count; i++) {
        uint16_t number = buffer_stream_number(site->buffer, site->setup->streams[i].name);
        assert_int_equal(buffer_schema_add(site->buffer, number, SITE_SCHEMA, fingerprint,
                                           &site->schemas[i], &why),
                         ERR_OK);
    }
    struct store_setup setup = {.loop = site->loop,
                                .worker = site->store_worker,
                                .buffer = site->buffer,
                                .commit_interval_ms = SITE_COMMIT_MS,
                                .retry_ms = SITE_RETRY_MS};
    assert_int_equal(store_open(&site->store, &setup), ERR_OK);
    for (uint16_t s = 1; s <= site->setup->stream_count; s++) {
        site->next[s] = store_state(site->store)->streams[s].sequence_next;
    }
}

static void close_all(struct site *site, void (*close_more)(void *context), void *context)
{
    worker_close(site->pack_worker);
    worker_close(site->store_worker);
    if (close_more) {
        close_more(context);
    }
    store_close(site->store);
    loop_close(site->loop);
    site->pack_worker = NULL;
    site->store_worker = NULL;
    site->store = NULL;
    site->buffer = NULL;
    site->loop = NULL;
}

void site_end(struct site *site, void (*close_more)(void *context), void *context)
{
    close_all(site, close_more, context);
    sim_life_end();
    sim_life_begin(false);
}

void site_crash(struct site *site, void (*close_more)(void *context), void *context)
{
    sim_life_crash();
    close_all(site, close_more, context);
    sim_life_end();
    (void)crash_vfs_crash(site->disk, CRASH_NOTHING, site->seed++);
    sim_life_begin(false);
}

void site_close(struct site *site)
{
    if (!site) {
        return;
    }
    if (site->loop) {
        close_all(site, NULL, NULL);
    }
    sim_crash_hook_set(NULL, NULL);
    crash_vfs_close(site->disk);
    sim_close();
    free(site->setup);
    free(site);
}

int site_setup(void **state)
{
    struct site *site = site_open(1);
    site_begin(site);
    *state = site;
    return 0;
}

int site_teardown(void **state)
{
    site_close(*state);
    return 0;
}

struct parcel site_parcel(uint16_t stream)
{
    return (struct parcel){.uplink = 1,
                           .stream = stream,
                           .layout = LAYOUT_ROWS,
                           .range = {1, 1},
                           .partition_count = 1,
                           .part_count = 1,
                           .parts = {{.first = 1, .last = 1}}};
}

/* --- events --- */

static void fill_datum(uint8_t *bytes, size_t size, uint64_t sequence)
{
    struct out o = out_over(bytes, size);
    memset(bytes, (int)(sequence & 0xFF), size);
    if (size >= 8) {
        out_put_u64_le(&o, sequence);
    }
}

uint64_t site_put(struct site *site, uint16_t stream, size_t size, int64_t wait_ms)
{
    static uint8_t bytes[EVENT_SIZE_LIMIT];
    uint64_t commit;
    uint64_t sequence;
    struct stored_event event = {.stream = stream,
                                 .schema = site->schemas[stream - 1],
                                 .time_us = 1,
                                 .trust = TIME_WALL,
                                 .datum = {bytes, size}};
    assert_int_equal(store_room(site->store, stream, size), ERR_OK);
    assert_int_equal(store_open_room(site->store, size), ERR_OK);
    fill_datum(bytes, size, site->next[stream]);
    store_event_put(site->store, &event, wait_ms, &commit, &sequence);
    assert_int_equal(sequence, site->next[stream]++);
    return commit;
}

static bool is_idle(void *context)
{
    return store_is_idle(((struct site *)context)->store);
}

void site_settle(struct site *site)
{
    assert_true(sim_run_until(is_idle, site, 60000));
}

const struct site_commit *site_last(const struct site *site)
{
    assert_true(site->commit_count > 0);
    return &site->commits[site->commit_count - 1];
}

size_t site_stored(struct site *site, uint16_t stream, uint64_t first)
{
    struct stored_event events[64];
    static uint8_t arena[2 * EVENT_SIZE_LIMIT];
    struct rows rows = {.events = events, .event_max = 64, .arena = out_over(arena, sizeof arena)};
    struct why why;
    size_t count = 0;
    struct range range = {first, UINT64_MAX / 4};
    do {
        assert_int_equal(buffer_read(site->buffer, stream, range, EVENT_SIZE_LIMIT, &rows, &why),
                         ERR_OK);
        for (size_t i = 0; i < rows.event_count; i++) {
            uint8_t expected[8];
            struct slice datum = events[i].datum;
            fill_datum(expected, sizeof expected, events[i].sequence);
            assert_memory_equal(datum.data, expected, datum.size < 8 ? 0 : 8);
        }
        count += rows.event_count;
        range.first = rows.covered.last + 1;
    } while (rows.event_count > 0);
    return count;
}
