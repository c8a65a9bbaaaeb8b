#include "agent/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ports/event.h"
#include "ports/log.h"

#define CURSOR_MAX WRITE_EVENT_MAX
#define CURSOR_BYTES_MAX (128 * 1024)
#define DONE_MAX 256
#define END_MAX 256
#define PARCEL_MAX 32
#define ASIDE_MAX 64
#define ASIDE_BYTES_MAX (256 * 1024)
#define REMOTE_MAX 64
#define BOOT_MAX 4
#define TOLD_MAX 64

static_assert(ASIDE_BYTES_MAX >= 2 * ASIDE_BODY_SIZE_MAX,
              "a set-aside event always fits an empty batch");

/* What one commit carries. The arrays are the store's; buffer_write points at them. */
struct batch_memory {
    uint64_t commit;
    bool has_any;
    uint64_t due_ms;
    size_t event_size; /* datums */
    struct stored_event events[WRITE_EVENT_MAX];
    struct out datums;
    struct cursor_change cursors[CURSOR_MAX];
    uint8_t cursor_bytes[CURSOR_BYTES_MAX];
    size_t cursor_size;
    struct part_done dones[DONE_MAX];
    struct owed_end ends[END_MAX];
    struct parcel parcels[PARCEL_MAX];
    const struct parcel *parcel_pointers[PARCEL_MAX];
    struct aside asides[ASIDE_MAX];
    uint8_t aside_bytes[ASIDE_BYTES_MAX];
    size_t aside_size;
    struct remote_id remotes[REMOTE_MAX];
    uint8_t remote_bytes[REMOTE_MAX][REMOTE_ID_SIZE_MAX];
    struct boot_offset boots[BOOT_MAX];
    uint32_t told[TOLD_MAX];
    struct buffer_write write;
};

struct store {
    struct store_setup setup;
    struct store_handler handlers[STORE_HANDLER_MAX];
    size_t handler_count;
    struct batch_memory *open; /* being filled */
    struct batch_memory *busy; /* being committed, or waiting to be tried again; NULL: none */
    struct batch_memory *spare;
    struct batch_memory *memory[2];
    struct job job;
    bool running; /* the job is with the worker */
    enum err result;
    struct why why;
    struct buffer_changes from_buffer;
    bool failing;
    struct timer due;
    struct timer retry;
    uint64_t committed;
    uint64_t sequence_next[STREAM_COUNT_MAX + 1];
    size_t pending_size;         /* datums admitted and not committed */
    struct buffer_changes state; /* copies: the buffer changes its own while the next commit runs */
    struct owed *owed;
    size_t owed_max;
    struct gap gaps[64];
    uint32_t room[STREAM_COUNT_MAX + 1];
    struct stream_state streams[STREAM_COUNT_MAX + 1];
};

/* --- batches --- */

static void batch_clear(struct batch_memory *b, uint64_t commit)
{
    b->commit = commit;
    b->has_any = false;
    b->due_ms = UINT64_MAX;
    b->event_size = 0;
    b->datums.size = 0;
    b->cursor_size = 0;
    b->aside_size = 0;
    b->write = (struct buffer_write){.events = b->events,
                                     .cursors = b->cursors,
                                     .dones = b->dones,
                                     .ends = b->ends,
                                     .parcels = b->parcel_pointers,
                                     .asides = b->asides,
                                     .remotes = b->remotes,
                                     .boots = b->boots,
                                     .gaps_told = b->told};
}

static struct batch_memory *batch_open(size_t event_size_max)
{
    struct batch_memory *b = calloc(1, sizeof *b);
    size_t room = WRITE_SIZE_MAX + event_size_max;
    if (b) {
        b->datums = out_over(malloc(room), room);
        if (!b->datums.data) {
            free(b);
            return NULL;
        }
    }
    return b;
}

static void batch_close(struct batch_memory *b)
{
    if (b) {
        free(b->datums.data);
        free(b);
    }
}

/* --- the state, copied --- */

static enum err store_take_state(struct store *store)
{
    const struct buffer_changes *from = &store->from_buffer;
    if (from->owed_count > store->owed_max) {
        struct owed *grown = realloc(store->owed, from->owed_count * sizeof *grown);
        if (!grown) {
            return ERR_NOMEM;
        }
        store->owed = grown;
        store->owed_max = from->owed_count;
    }
    if (from->owed_count) {
        memcpy(store->owed, from->owed, from->owed_count * sizeof *store->owed);
    }
    assert(from->gap_count <= ARRAY_COUNT(store->gaps));
    memcpy(store->gaps, from->gaps, from->gap_count * sizeof store->gaps[0]);
    memcpy(store->room, from->room, sizeof store->room);
    memcpy(store->streams, from->streams, sizeof store->streams);
    store->state = *from;
    store->state.owed = store->owed;
    store->state.gaps = store->gaps;
    store->state.room = store->room;
    store->state.streams = store->streams;
    return ERR_OK;
}

/* --- committing --- */

static void store_work(struct job *job)
{
    struct store *store = CONTAINER_OF(job, struct store, job);
    store->result =
        buffer_commit(store->setup.buffer, &store->busy->write, &store->from_buffer, &store->why);
}

static int compare_events(const void *a, const void *b)
{
    const struct stored_event *x = a;
    const struct stored_event *y = b;
    if (x->stream != y->stream) {
        return x->stream < y->stream ? -1 : 1;
    }
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static void store_submit(struct store *store)
{
    assert(store->busy && !store->running);
    if (worker_put(store->setup.worker, &store->job)) {
        timer_arm(&store->retry, 10); /* reads fill its queue: soon */
        return;
    }
    store->running = true;
}

static bool events_are_mixed(const struct batch_memory *b)
{
    for (size_t i = 1; i < b->write.event_count; i++) {
        if (b->events[i].stream < b->events[i - 1].stream) {
            return true;
        }
    }
    return false;
}

/* The open batch goes to the worker, if nothing is there. */
static void store_begin(struct store *store)
{
    if (store->busy || !store->open->has_any) {
        return;
    }
    timer_disarm(&store->due);
    store->busy = store->open;
    store->open = store->spare;
    store->spare = NULL;
    batch_clear(store->open, store->busy->commit + 1);
    if (events_are_mixed(
            store->busy)) { /* a stream's events stand together: fewer, longer sections */
        qsort(store->busy->events, store->busy->write.event_count, sizeof store->busy->events[0],
              compare_events);
    }
    store_submit(store);
}

static void store_begin_if_due(struct store *store)
{
    uint64_t now = loop_now_ms(store->setup.loop);
    if (!store->open->has_any) {
        return;
    }
    if (store->open->due_ms <= now) {
        store_begin(store);
    } else if (!store->busy) {
        timer_arm(&store->due, store->open->due_ms - now);
    }
}

static void store_say_trouble(struct store *store, const struct why *why)
{
    for (size_t i = 0; i < store->handler_count; i++) {
        if (store->handlers[i].trouble) {
            store->handlers[i].trouble(store->handlers[i].context, why);
        }
    }
}

static void store_failed(struct store *store)
{
    if (!store->failing) {
        store->failing = true;
        log_error("buffer", "%s; sources have to wait, tried again every %lld ms", store->why.text,
                  (long long)store->setup.retry_ms);
        store_say_trouble(store, &store->why);
    }
    timer_arm(&store->retry, (uint64_t)store->setup.retry_ms);
}

static void store_succeeded(struct store *store)
{
    struct batch_memory *done = store->busy;
    store->committed = done->commit;
    store->pending_size -= done->event_size;
    store->busy = NULL;
    store->spare = done;
    if (store->failing) {
        store->failing = false;
        log_info("buffer", "commits work again");
        store_say_trouble(store, NULL);
    }
    for (size_t i = 0; i < store->handler_count; i++) {
        if (store->handlers[i].committed) {
            store->handlers[i].committed(store->handlers[i].context, store->committed,
                                         &store->state);
        }
    }
    store_begin_if_due(store);
}

static void store_done(struct job *job)
{
    struct store *store = CONTAINER_OF(job, struct store, job);
    store->running = false;
    if (!store->result && store_take_state(store)) {
        store->result = ERR_NOMEM; /* stands on disk already: what follows finds it so when it is
                                      tried again? No: end instead */
        log_error("buffer", "no memory for the state of a commit");
        abort();
    }
    if (store->result) {
        store_failed(store);
    } else {
        store_succeeded(store);
    }
}

static void due_fired(struct timer *timer)
{
    store_begin(CONTAINER_OF(timer, struct store, due));
}

/* Deliveries of the open batch go along with a batch that found no room: they are what makes room.
 */
static void store_lend_deliveries(struct store *store)
{
    struct buffer_write *to = &store->busy->write;
    struct buffer_write *from = &store->open->write;
    while (from->parcel_count == 0 && from->done_count > 0 && to->done_count < DONE_MAX &&
           to->parcel_count == 0) {
        store->busy->dones[to->done_count++] = store->open->dones[0];
        from->done_count--;
        memmove(&store->open->dones[0], &store->open->dones[1],
                from->done_count * sizeof store->open->dones[0]);
    }
    while (from->end_count > 0 && to->end_count < END_MAX) {
        store->busy->ends[to->end_count++] = store->open->ends[--from->end_count];
    }
}

static void retry_fired(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, retry);
    if (store->busy && !store->running) {
        store_lend_deliveries(store);
        store_submit(store);
    }
}

/* --- opening --- */

enum err store_open(struct store **ret, const struct store_setup *setup)
{
    struct store *store = calloc(1, sizeof *store);
    if (!store) {
        return ERR_NOMEM;
    }
    store->setup = *setup;
    store->job = (struct job){.work = store_work, .done = store_done};
    timer_init(&store->due, setup->loop, due_fired);
    timer_init(&store->retry, setup->loop, retry_fired);
    store->memory[0] = batch_open(EVENT_SIZE_LIMIT);
    store->memory[1] = batch_open(EVENT_SIZE_LIMIT);
    buffer_state(setup->buffer, &store->from_buffer);
    enum err e = store->memory[0] && store->memory[1] ? store_take_state(store) : ERR_NOMEM;
    if (e) {
        batch_close(store->memory[0]);
        batch_close(store->memory[1]);
        timer_release(&store->due);
        timer_release(&store->retry);
        free(store->owed);
        free(store);
        return e;
    }
    store->open = store->memory[0];
    store->spare = store->memory[1];
    batch_clear(store->open, 1);
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        store->sequence_next[s] = store->streams[s].sequence_next;
    }
    *ret = store;
    return ERR_OK;
}

void store_close(struct store *store)
{
    if (!store) {
        return;
    }
    assert(!store->running);
    timer_release(&store->due);
    timer_release(&store->retry);
    batch_close(store->memory[0]);
    batch_close(store->memory[1]);
    buffer_close(store->setup.buffer);
    free(store->owed);
    free(store);
}

enum err store_handler_add(struct store *store, const struct store_handler *handler)
{
    if (store->handler_count == STORE_HANDLER_MAX) {
        return ERR_FULL;
    }
    store->handlers[store->handler_count++] = *handler;
    return ERR_OK;
}

/* --- what is put --- */

static void store_set_due(struct store *store, int64_t wait_ms)
{
    struct batch_memory *b = store->open;
    uint64_t due = loop_now_ms(store->setup.loop) + (uint64_t)wait_ms;
    b->has_any = true;
    if (due >= b->due_ms) {
        return;
    }
    b->due_ms = due;
    if (!store->busy) {
        timer_arm(
            &store->due,
            (uint64_t)
                wait_ms); /* 0: on the next turn, so that what belongs together goes together */
    }
}

static bool batch_has_room(const struct batch_memory *b, size_t size)
{
    return b->write.event_count < WRITE_EVENT_MAX &&
           (b->event_size + size <= WRITE_SIZE_MAX || b->write.event_count == 0);
}

enum err store_room(const struct store *store, uint16_t stream, size_t size)
{
    assert(stream >= 1 && stream <= STREAM_COUNT_MAX);
    if (store->failing || store->pending_size + size > store->room[stream]) {
        return ERR_FULL;
    }
    return batch_has_room(store->open, size) || !store->busy ? ERR_OK : ERR_FULL;
}

enum err store_open_room(struct store *store, size_t size)
{
    const struct batch_memory *b = store->open;
    size_t aside = ASIDE_BODY_SIZE_MAX + REASON_SIZE_MAX + EVENT_SUBJECT_SIZE_MAX;
    bool fits = batch_has_room(b, size) && b->write.cursor_count < CURSOR_MAX &&
                b->cursor_size + CURSOR_SIZE_MAX <= CURSOR_BYTES_MAX &&
                b->write.aside_count < ASIDE_MAX && b->aside_size + aside <= ASIDE_BYTES_MAX;
    if (!fits && !store->busy) {
        store_begin(store);
        fits = true;
    }
    return fits ? ERR_OK : ERR_FULL;
}

void store_event_put(struct store *store, const struct stored_event *event, int64_t wait_ms,
                     uint64_t *ret_commit, uint64_t *ret_sequence)
{
    if (!batch_has_room(store->open, event->datum.size)) {
        store_begin(store);
    }
    struct batch_memory *b = store->open;
    assert(batch_has_room(b, event->datum.size));
    struct stored_event *copy = &b->events[b->write.event_count++];
    *copy = *event;
    copy->sequence = store->sequence_next[event->stream]++;
    copy->datum.data = b->datums.data + b->datums.size;
    out_put_slice(&b->datums, event->datum);
    assert(!b->datums.overflow);
    b->event_size += event->datum.size;
    store->pending_size += event->datum.size;
    store_set_due(store, wait_ms);
    *ret_commit = b->commit;
    *ret_sequence = copy->sequence;
    if (b->event_size >= WRITE_SIZE_MAX) {
        b->due_ms = 0;
        store_begin(store);
    }
}

/* Is there a place in the open batch, or can it be sent off so that there is one? */
static bool store_place(struct store *store, bool fits)
{
    if (!fits && !store->busy) {
        store_begin(store);
        fits = true;
    }
    return fits;
}

enum err store_cursor_put(struct store *store, const struct cursor_change *change, int64_t wait_ms,
                          uint64_t *ret_commit)
{
    assert(change->value.size <= CURSOR_SIZE_MAX);
    bool fits = store->open->write.cursor_count < CURSOR_MAX &&
                store->open->cursor_size + change->value.size <= CURSOR_BYTES_MAX;
    /* The last word on a cursor counts: one in the batch already is written over when it has the
     * same size. */
    struct batch_memory *b = store->open;
    for (size_t i = b->write.cursor_count; i > 0 && b->write.cursor_count - i < 8; i--) {
        struct cursor_change *known = &b->cursors[i - 1];
        if (known->driver == change->driver && known->key == change->key &&
            known->value.size == change->value.size && change->value.size) {
            memcpy(b->cursor_bytes + (known->value.data - b->cursor_bytes), change->value.data,
                   change->value.size);
            *ret_commit = b->commit;
            return ERR_OK;
        }
    }
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    b = store->open;
    struct cursor_change *copy = &b->cursors[b->write.cursor_count++];
    *copy = *change;
    copy->value.data = b->cursor_bytes + b->cursor_size;
    if (change->value.size) {
        memcpy(b->cursor_bytes + b->cursor_size, change->value.data, change->value.size);
    }
    b->cursor_size += change->value.size;
    store_set_due(store, wait_ms);
    *ret_commit = b->commit;
    return ERR_OK;
}

static struct slice aside_copy(struct batch_memory *b, struct slice s, size_t size_max)
{
    size_t size = s.size < size_max ? s.size : size_max;
    uint8_t *to = b->aside_bytes + b->aside_size;
    if (size) {
        memcpy(to, s.data, size);
    }
    b->aside_size += size;
    return (struct slice){to, size};
}

enum err store_aside_put(struct store *store, const struct aside *aside, int64_t wait_ms,
                         uint64_t *ret_commit)
{
    size_t size = aside->source.size + aside->reason.size + aside->body.size;
    size_t most = ASIDE_BODY_SIZE_MAX + REASON_SIZE_MAX + EVENT_SUBJECT_SIZE_MAX;
    size = size < most ? size : most;
    bool fits = store->open->write.aside_count < ASIDE_MAX &&
                store->open->aside_size + size <= ASIDE_BYTES_MAX;
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    struct batch_memory *b = store->open;
    struct aside *copy = &b->asides[b->write.aside_count++];
    *copy = *aside;
    copy->source = aside_copy(b, aside->source, EVENT_SUBJECT_SIZE_MAX);
    copy->reason = aside_copy(b, aside->reason, REASON_SIZE_MAX);
    copy->body = aside_copy(b, aside->body, ASIDE_BODY_SIZE_MAX);
    store_set_due(store, wait_ms);
    *ret_commit = b->commit;
    return ERR_OK;
}

static int64_t delivery_wait_ms(const struct store *store)
{
    return store->state.file_is_tight ? 0 : store->setup.commit_interval_ms;
}

enum err store_done_put(struct store *store, const struct part_done *done, uint64_t *ret_commit)
{
    /* A parcel put earlier into this batch is applied behind all dones: a done of the same slot has
     * to come later. */
    bool fits = store->open->write.done_count < DONE_MAX;
    for (size_t i = 0; i < store->open->write.parcel_count; i++) {
        const struct parcel *p = &store->open->parcels[i];
        fits = fits &&
               !(p->uplink == done->uplink && p->stream == done->stream && p->lane == done->lane);
    }
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    store->open->dones[store->open->write.done_count++] = *done;
    store_set_due(store, delivery_wait_ms(store));
    *ret_commit = store->open->commit;
    return ERR_OK;
}

enum err store_end_put(struct store *store, const struct owed_end *end, uint64_t *ret_commit)
{
    if (!store_place(store, store->open->write.end_count < END_MAX)) {
        return ERR_FULL;
    }
    store->open->ends[store->open->write.end_count++] = *end;
    store_set_due(store, delivery_wait_ms(store));
    *ret_commit = store->open->commit;
    return ERR_OK;
}

enum err store_parcel_put(struct store *store, const struct parcel *parcel, uint64_t *ret_commit)
{
    if (!store_place(store, store->open->write.parcel_count < PARCEL_MAX)) {
        return ERR_FULL;
    }
    struct batch_memory *b = store->open;
    size_t index = b->write.parcel_count++;
    b->parcels[index] = *parcel;
    b->parcel_pointers[index] = &b->parcels[index];
    store_set_due(store, 0);
    *ret_commit = b->commit;
    return ERR_OK;
}

enum err store_remote_put(struct store *store, const struct remote_id *remote, uint64_t *ret_commit)
{
    assert(remote->id.size >= 1 && remote->id.size <= REMOTE_ID_SIZE_MAX);
    if (!store_place(store, store->open->write.remote_count < REMOTE_MAX)) {
        return ERR_FULL;
    }
    struct batch_memory *b = store->open;
    size_t index = b->write.remote_count++;
    memcpy(b->remote_bytes[index], remote->id.data, remote->id.size);
    b->remotes[index] = *remote;
    b->remotes[index].id.data = b->remote_bytes[index];
    store_set_due(store, store->setup.commit_interval_ms);
    *ret_commit = b->commit;
    return ERR_OK;
}

enum err store_boot_put(struct store *store, const struct boot_offset *boot, uint64_t *ret_commit)
{
    if (!store_place(store, store->open->write.boot_count < BOOT_MAX)) {
        return ERR_FULL;
    }
    store->open->boots[store->open->write.boot_count++] = *boot;
    store_set_due(store, 0);
    *ret_commit = store->open->commit;
    return ERR_OK;
}

enum err store_gap_told_put(struct store *store, uint32_t number, uint64_t *ret_commit)
{
    if (!store_place(store, store->open->write.gap_told_count < TOLD_MAX)) {
        return ERR_FULL;
    }
    store->open->told[store->open->write.gap_told_count++] = number;
    store_set_due(store, store->setup.commit_interval_ms);
    *ret_commit = store->open->commit;
    return ERR_OK;
}

void store_commit_now(struct store *store)
{
    if (store->open->has_any) {
        store->open->due_ms = 0;
        store_begin(store);
    }
}

/* --- what it knows --- */

const struct buffer_changes *store_state(const struct store *store)
{
    return &store->state;
}

uint64_t store_committed(const struct store *store)
{
    return store->committed;
}

bool store_is_idle(const struct store *store)
{
    return !store->busy && !store->open->has_any;
}

struct buffer *store_buffer(const struct store *store)
{
    return store->setup.buffer;
}

struct worker *store_worker(const struct store *store)
{
    return store->setup.worker;
}
