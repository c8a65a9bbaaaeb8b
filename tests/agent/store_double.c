#include "tests/agent/store_double.h"

#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "ports/log.h"
#include "tests/cmocka.h"

void double_init(struct store *store)
{
    *store = (struct store){.open = 1,
                            .room = SIZE_MAX,
                            .boot = 7,
                            .state.gaps = store->gaps,
                            .state.streams = store->streams};
    for (size_t i = 0; i <= STREAM_COUNT_MAX; i++) {
        store->streams[i].sequence_next = 1;
    }
}

void double_gap(struct store *store, const struct gap *gap)
{
    store->gaps[store->state.gap_count++] = *gap;
}

static bool is_told(const struct store *store, uint32_t number)
{
    for (size_t i = 0; i < store->told_count; i++) {
        if (store->told[i] == number && store->told_commits[i] <= store->committed) {
            return true;
        }
    }
    return false;
}

void double_commit(struct store *store)
{
    store->committed = store->open++;
    size_t kept = 0;
    for (size_t i = 0; i < store->state.gap_count; i++) {
        if (!is_told(store, store->gaps[i].number)) {
            store->gaps[kept++] = store->gaps[i];
        }
    }
    store->state.gap_count = kept;
    for (size_t i = 0; i < store->handler_count; i++) {
        store->handlers[i].committed(store->handlers[i].context, store->committed, NULL);
    }
}

enum err store_handler_add(struct store *store, const struct store_handler *handler)
{
    store->handlers[store->handler_count++] = *handler;
    return ERR_OK;
}

const struct buffer_changes *store_state(const struct store *store)
{
    return &store->state;
}

enum err store_gap_room(const struct store *store, size_t size)
{
    (void)size;
    return store->has_no_gap_room ? ERR_FULL : ERR_OK;
}

enum err store_gap_told_put(struct store *store, uint32_t number, uint64_t *ret_commit)
{
    assert_true(store->told_count < DOUBLE_MAX && !store->has_no_gap_room);
    store->told[store->told_count] = number;
    store->told_commits[store->told_count++] = store->open;
    *ret_commit = store->open;
    return ERR_OK;
}

enum err store_room(const struct store *store, uint16_t stream, size_t size)
{
    assert_true(stream > 0 && size <= DOUBLE_BYTES_MAX);
    return store->room ? ERR_OK : ERR_FULL;
}

bool store_is_full(const struct store *store, uint16_t stream, size_t size)
{
    assert_true(stream > 0 && size <= DOUBLE_BYTES_MAX);
    return store->is_full;
}

void store_skip_put(struct store *store, const struct stored_event *event, int64_t wait_ms,
                    uint64_t *ret_commit)
{
    assert_true(event->stream > 0 && wait_ms >= 0 && store->is_full);
    store->skipped++;
    store->order++;
    *ret_commit = store->open;
}

enum err store_open_room(struct store *store, size_t size)
{
    (void)size;
    return store->has_no_open ? ERR_FULL : ERR_OK;
}

void store_event_put(struct store *store, const struct stored_event *event, int64_t wait_ms,
                     uint64_t *ret_commit, uint64_t *ret_sequence)
{
    assert_true(store->event_count < DOUBLE_MAX && store->room > 0);
    struct double_event *copy = &store->events[store->event_count++];
    copy->event = *event;
    memcpy(copy->bytes, event->datum.data, event->datum.size);
    copy->event.datum.data = copy->bytes;
    copy->commit = store->open;
    copy->wait_ms = wait_ms;
    copy->order = store->order++;
    store->room--;
    *ret_commit = store->open;
    *ret_sequence = store->event_count;
}

enum err store_order_put(struct store *store, struct buffer_order *order, uint64_t *ret_commit)
{
    if (store->takes_no_orders) {
        return ERR_FULL;
    }
    assert_true(store->order_count < DOUBLE_MAX);
    store->order_commits[store->order_count] = store->open;
    store->orders[store->order_count++] = order;
    *ret_commit = store->open;
    return ERR_OK;
}

enum err store_cursor_put(struct store *store, const struct cursor_change *change, int64_t wait_ms,
                          uint64_t *ret_commit)
{
    (void)wait_ms;
    assert_true(store->cursor_count < DOUBLE_MAX);
    struct double_cursor *copy = &store->cursors[store->cursor_count++];
    *copy = (struct double_cursor){.driver = change->driver,
                                   .key = change->key,
                                   .size = change->value.size,
                                   .commit = store->open,
                                   .order = store->order++};
    if (change->value.size) {
        memcpy(copy->bytes, change->value.data, change->value.size);
    }
    *ret_commit = store->open;
    return ERR_OK;
}

static void copy_text(char *to, size_t size_max, struct slice s)
{
    size_t size = s.size < size_max - 1 ? s.size : size_max - 1;
    memcpy(to, s.data, size);
    to[size] = 0;
}

enum err store_aside_put(struct store *store, const struct aside *aside, int64_t wait_ms,
                         uint64_t *ret_commit)
{
    (void)wait_ms;
    assert_true(store->aside_count < DOUBLE_MAX);
    struct double_aside *copy = &store->asides[store->aside_count++];
    copy->aside = *aside;
    copy_text(copy->reason, sizeof copy->reason, aside->reason);
    copy_text(copy->body, sizeof copy->body, aside->body);
    assert_true(aside->head.size <= sizeof copy->head);
    copy->head_size = aside->head.size;
    if (aside->head.size) {
        memcpy(copy->head, aside->head.data, aside->head.size);
    }
    copy->commit = store->open;
    *ret_commit = store->open;
    return ERR_OK;
}

int64_t store_stretched_ms(const struct store *store, int64_t wait_ms, int64_t most_ms)
{
    int64_t longer_ms = wait_ms * (store->stretch ? store->stretch : 1);
    longer_ms = longer_ms < most_ms ? longer_ms : most_ms;
    return longer_ms > wait_ms ? longer_ms : wait_ms;
}

enum err store_boot_put(struct store *store, const struct boot_offset *boot, uint64_t *ret_commit)
{
    if (store->takes_no_boots) {
        return ERR_FULL;
    }
    assert_true(store->boot_count < DOUBLE_MAX);
    store->boots[store->boot_count++] = *boot;
    *ret_commit = store->open;
    return ERR_OK;
}

void store_commit_now(struct store *store)
{
    double_commit(store);
}

uint64_t store_committed(const struct store *store)
{
    return store->committed;
}

uint64_t store_last_put(const struct store *store)
{
    bool has_any = false;
    for (size_t i = 0; i < store->event_count; i++) {
        has_any = has_any || store->events[i].commit == store->open;
    }
    for (size_t i = 0; i < store->cursor_count; i++) {
        has_any = has_any || store->cursors[i].commit == store->open;
    }
    return has_any ? store->open : store->open - 1;
}

/* The buffer is the store itself. */
struct buffer *store_buffer(const struct store *store)
{
    return (struct buffer *)(uintptr_t)store;
}

uint32_t buffer_incarnation(const struct buffer *buffer)
{
    (void)buffer;
    return 0x00c0ffee;
}

uint32_t buffer_incarnation_at(const struct buffer *buffer, uint16_t stream, uint64_t sequence,
                               uint64_t *ret_last)
{
    const struct store *store = (const struct store *)(uintptr_t)buffer;
    bool is_before = sequence < store->moved_at;
    (void)stream;
    *ret_last = is_before ? store->moved_at - 1 : UINT64_MAX;
    return is_before ? 0x0badcafe : buffer_incarnation(buffer);
}

const char *buffer_stream_name(const struct buffer *buffer, uint16_t stream)
{
    (void)buffer;
    return stream == 1 ? "telemetry" : "alarms";
}

uint32_t buffer_boot(const struct buffer *buffer)
{
    return ((const struct store *)(const void *)buffer)->boot;
}

enum err buffer_driver_number(struct buffer *buffer, const char *name, uint16_t *ret,
                              struct why *why)
{
    (void)buffer;
    (void)why;
    assert_string_equal(name, "(clock)");
    *ret = 99;
    return ERR_OK;
}

enum err buffer_cursor_each(struct buffer *buffer, uint16_t driver,
                            void (*each)(void *context, uint32_t key, struct slice value),
                            void *context)
{
    const struct store *store = (const struct store *)(const void *)buffer;
    for (size_t i = 0; i < store->known_count; i++) {
        if (store->known[i].driver == driver) {
            each(context, store->known[i].key, store->known[i].value);
        }
    }
    return ERR_OK;
}

const char *buffer_disk_trouble(const struct buffer *buffer)
{
    (void)buffer;
    return "";
}

/* --- clocks, log, loop --- */

struct double_clock *double_clock(void)
{
    static struct double_clock memory;
    return &memory;
}

uint64_t clock_monotonic_us(void)
{
    return double_clock()->monotonic_us;
}

int64_t clock_wall_us(void)
{
    return double_clock()->wall_us;
}

bool clock_wall_is_synchronised(void)
{
    return double_clock()->is_synchronised;
}

void clock_boot_id(uint8_t ret[BOOT_ID_SIZE])
{
    memset(ret, double_clock()->boot_id, BOOT_ID_SIZE);
}

void log_put(enum log_level level, const char *part, const char *format, ...)
{
    (void)part;
    (void)format;
    double_clock()->warnings += level == LOG_WARN;
}

void double_timers(struct loop *loop, uint64_t add_ms)
{
    loop->timers.now_ms += add_ms;
    timers_fire(&loop->timers);
}

/* No driver is changed here. */
struct worker *store_worker(const struct store *store)
{
    (void)store;
    return NULL;
}

enum err worker_put(struct worker *worker, struct job *job)
{
    (void)worker;
    (void)job;
    return ERR_CLOSED;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return clock_monotonic_us() / 1000;
}

const char *store_trouble(const struct store *store)
{
    (void)store;
    return "";
}
