#include "agent/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store_impl.h"
#include "ports/clock.h"
#include "ports/log.h"

#define AGE_PACE_MS 100         /* when there is much too old: between commits */
#define AGE_LOOK_MS (60 * 1000) /* at most, between two looks at the clock */

/* --- batches --- */

static void batch_clear(struct batch_memory *b, uint64_t commit, uint64_t mark)
{
    b->commit = commit;
    b->mark = mark;
    b->has_any = false;
    b->due_ms = UINT64_MAX;
    b->event_size = 0;
    b->frame_size = 0;
    b->forward_size = 0;
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
                                     .gaps_told = b->told,
                                     .orders = b->orders};
}

static struct batch_memory *batch_open(size_t event_size_max)
{
    struct batch_memory *b = calloc(1, sizeof *b);
    size_t room = WRITE_SIZE_MAX + TOLD_SIZE_MAX + event_size_max;
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

void store_take_state(struct store *store)
{
    const struct buffer_changes *from = &store->from_buffer;
    assert(from->owed_count <= store->owed_max); /* who owes what is settled when opening */
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
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        bool has_room = store->room[s] >= store->pending_size + ROOM_AGAIN;
        store->dropping[s] = store->dropping[s] && !has_room;
    }
}

/* --- what gets too old --- */

static int64_t wall_now_us(const struct store *store)
{
    bool is_trusted =
        store->setup.clock_is_trusted && store->setup.clock_is_trusted(store->setup.context);
    return is_trusted ? clock_wall_us() : 0;
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

void store_begin(struct store *store)
{
    if (!store_may_begin(store) || !store->open->has_any) {
        return;
    }
    timer_disarm(&store->due);
    store->busy = store->open;
    store->busy->write.wall_us = wall_now_us(store);
    store->open = store->spare;
    store->spare = NULL;
    batch_clear(store->open, store->busy->commit + 1, ++store->marks);
    /* A stream's events stand together: fewer, longer sections. */
    if (events_are_mixed(store->busy)) {
        qsort(store->busy->events, store->busy->write.event_count, sizeof store->busy->events[0],
              compare_events);
    }
    store_submit(store);
}

/* The clock may come to be believed, or be set: it is looked at from time to time. */
static void age_arm(struct store *store)
{
    int64_t due_us = store->state.age_due_us;
    int64_t now_us = wall_now_us(store);
    int64_t wait_ms = now_us && due_us > now_us ? (due_us - now_us) / 1000 + 1 : AGE_PACE_MS;
    if (due_us < INT64_MAX) {
        timer_arm(&store->age, (uint64_t)(now_us && wait_ms < AGE_LOOK_MS ? wait_ms : AGE_LOOK_MS));
    }
}

static void age_fired(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, age);
    int64_t now_us = wall_now_us(store);
    if (now_us && now_us >= store->state.age_due_us && !store->failing) {
        store->open->has_any = true; /* a commit of its own, if nothing else is in it */
        store->open->due_ms = 0;
        store_begin(store);
    }
    age_arm(store);
}

void store_begin_if_due(struct store *store)
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
    store->fail_count++;
    if (!store->failing || store->result != store->said) {
        store->failing = true;
        store->said = store->result;
        store->trouble = store->why;
        log_error("buffer", "%s; sources have to wait, tried again every %lld ms", store->why.text,
                  (long long)store->setup.retry_ms);
        store_say_trouble(store, &store->why);
    }
    timer_arm(&store->retry, (uint64_t)store->setup.retry_ms);
    store_keep_soon(store);
}

void store_say_recorded(struct store *store, uint64_t mark)
{
    for (size_t i = 0; i < store->handler_count; i++) {
        if (store->handlers[i].recorded) {
            store->handlers[i].recorded(store->handlers[i].context, mark, &store->state);
        }
    }
}

void store_say_committed(struct store *store)
{
    for (size_t i = 0; i < store->handler_count; i++) {
        const struct store_handler *h = &store->handlers[i];
        if (h->committed) {
            h->committed(h->context, store->committed, &store->state);
        }
        if (h->recorded) {
            h->recorded(h->context, store->recorded, &store->state);
        }
    }
}

/* A disk that others have filled refuses sources without any commit that fails, and without a
 * commit nothing would find out that it has room again. */
static void store_watch_disk(struct store *store)
{
    if (store->state.disk_full && !store->disk_full_said) {
        log_error("buffer", STORE_DISK_FULL);
    } else if (!store->state.disk_full && store->disk_full_said) {
        log_info("buffer", "the disk has room again");
    }
    store->disk_full_said = store->state.disk_full;
    if (store->state.disk_full && !store->busy) {
        timer_arm(&store->retry, (uint64_t)store->setup.retry_ms);
    }
}

static void look_work(struct job *job)
{
    struct store *store = CONTAINER_OF(job, struct store, look);
    buffer_look(store->setup.buffer, &store->from_buffer);
}

static void look_done(struct job *job)
{
    struct store *store = CONTAINER_OF(job, struct store, look);
    store->looking = false;
    store_take_state(store);
    store_watch_disk(store);
    if (!store->state.disk_full) {
        store_say_committed(store); /* whoever was refused may offer again */
    }
    store_begin_if_due(store);
}

static void store_succeeded(struct store *store)
{
    struct batch_memory *done = store->busy;
    store->committed = done->commit;
    store->recorded = done->mark;
    store->fail_count = 0;
    store->pending_size -= done->event_size;
    store->busy = NULL;
    store->spare = done;
    if (store->failing) {
        store->failing = false;
        log_info("buffer", "commits work again");
        store_say_trouble(store, NULL);
    }
    store_say_committed(store);
    store_watch_disk(store);
    store_begin_if_due(store);
}

static void store_done(struct job *job)
{
    struct store *store = CONTAINER_OF(job, struct store, job);
    store->running = false;
    if (store->result) {
        store_failed(store);
    } else {
        bool salvaged = store->state.damage.salvages;
        store_take_state(store);
        age_arm(store);
        store_care_soon(store, salvaged);
        store_succeeded(store);
    }
}

static void due_fired(struct timer *timer)
{
    store_begin(CONTAINER_OF(timer, struct store, due));
}

static void aside_move(struct batch_memory *to, const struct aside *aside)
{
    struct aside *copy = &to->asides[to->write.aside_count++];
    struct slice *texts[] = {&copy->source, &copy->reason, &copy->head, &copy->body};
    *copy = *aside;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        uint8_t *at = to->aside_bytes + to->aside_size;
        if (texts[i]->size) {
            memcpy(at, texts[i]->data, texts[i]->size);
        }
        texts[i]->data = at;
        to->aside_size += texts[i]->size;
    }
}

/* Events that a destination refused, of the open batch. False: they stay where they are. */
static bool store_lend_asides(struct batch_memory *to, struct batch_memory *from)
{
    size_t count = 0;
    size_t size = 0;
    for (size_t i = 0; i < from->write.aside_count; i++) {
        const struct aside *a = &from->asides[i];
        count += a->kind == ASIDE_DATUM;
        size += a->kind == ASIDE_DATUM
                    ? a->source.size + a->reason.size + a->head.size + a->body.size
                    : 0;
    }
    if (to->write.aside_count + count > ASIDE_MAX || to->aside_size + size > ASIDE_BYTES_MAX) {
        return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < from->write.aside_count; i++) {
        if (from->asides[i].kind == ASIDE_DATUM) {
            aside_move(to, &from->asides[i]);
        } else {
            from->asides[kept++] = from->asides[i];
        }
    }
    from->write.aside_count = kept;
    return true;
}

/* Is a parcel in it of which an open delivery says something? */
static bool has_parcel_of(const struct batch_memory *b, const struct part_done *dones, size_t count)
{
    for (size_t i = 0; i < b->write.parcel_count; i++) {
        for (size_t k = 0; k < count; k++) {
            const struct parcel *p = &b->parcels[i];
            if (p->uplink == dones[k].uplink && p->stream == dones[k].stream &&
                p->lane == dones[k].lane) {
                return true;
            }
        }
    }
    return false;
}

/* Deliveries of the open batch go along with a batch that found no room: they are what makes room.
 * An event that was set aside goes with the word that its range has ended, or neither does; and
 * what is said of a parcel comes behind it. */
static void store_lend_deliveries(struct store *store)
{
    struct batch_memory *to = store->busy;
    struct batch_memory *from = store->open;
    size_t size = from->write.done_count * DONE_SIZE + from->write.end_count * END_SIZE;
    if (has_parcel_of(to, from->dones, from->write.done_count) ||
        to->write.done_count + from->write.done_count > DONE_MAX ||
        to->write.end_count + from->write.end_count > END_MAX ||
        to->forward_size + size > FORWARD_SIZE_MAX || !store_lend_asides(to, from)) {
        return;
    }
    memcpy(to->dones + to->write.done_count, from->dones,
           from->write.done_count * sizeof from->dones[0]);
    memcpy(to->ends + to->write.end_count, from->ends,
           from->write.end_count * sizeof from->ends[0]);
    to->write.done_count += from->write.done_count;
    to->write.end_count += from->write.end_count;
    to->forward_size += size;
    from->forward_size -= size;
    from->write.done_count = 0;
    from->write.end_count = 0;
}

static void retry_fired(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, retry);
    if (store->keeping || (store->keep_waits && !store_keep_return(store))) {
        /* What is being kept comes first. */
        timer_arm(&store->retry, store->keeping ? 10 : (uint64_t)store->setup.retry_ms);
    } else if (store->busy && !store->running) {
        if (!store_keeps(store)) {
            store_lend_deliveries(store);
        }
        store_submit(store);
    } else if (store_may_begin(store) && store->state.disk_full) {
        store->looking = worker_put(store->setup.worker, &store->look) == ERR_OK;
        if (!store->looking) {
            timer_arm(&store->retry, 10);
        }
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
    store->stretch = 1000;
    store->job = (struct job){.work = store_work, .done = store_done};
    store->look = (struct job){.work = look_work, .done = look_done};
    timer_init(&store->due, setup->loop, due_fired);
    timer_init(&store->retry, setup->loop, retry_fired);
    timer_init(&store->age, setup->loop, age_fired);
    store->memory[0] = batch_open(EVENT_SIZE_LIMIT);
    store->memory[1] = batch_open(EVENT_SIZE_LIMIT);
    buffer_state(setup->buffer, &store->from_buffer);
    store->owed_max = store->from_buffer.owed_count;
    store->owed = calloc(store->owed_max ? store->owed_max : 1, sizeof *store->owed);
    enum err e = store_keep_open(store);
    if (e || !store->memory[0] || !store->memory[1] || !store->owed) {
        batch_close(store->memory[0]);
        batch_close(store->memory[1]);
        store_keep_close(store);
        timer_release(&store->due);
        timer_release(&store->retry);
        timer_release(&store->age);
        free(store->owed);
        free(store);
        return ERR_NOMEM;
    }
    store_take_state(store);
    if (setup->read_only) {
        store_keep_begin(store, setup->read_only);
    }
    age_arm(store);
    store_care_open(store);
    store->open = store->memory[0];
    store->spare = store->memory[1];
    batch_clear(store->open, 1, ++store->marks);
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
    assert(!store_is_working(store));
    store_keep_close(store);
    store_care_close(store);
    timer_release(&store->due);
    timer_release(&store->retry);
    timer_release(&store->age);
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

/* --- what it does and knows --- */

void store_commit_now(struct store *store)
{
    if (store->open->has_any) {
        store->open->due_ms = 0;
        store_begin(store);
    }
}

const struct buffer_changes *store_state(const struct store *store)
{
    return &store->state;
}

uint64_t store_committed(const struct store *store)
{
    return store->committed;
}

uint64_t store_last_put(const struct store *store)
{
    return store->open->has_any ? store->open->commit : store->open->commit - 1;
}

bool store_is_idle(const struct store *store)
{
    return !store->busy && !store->open->has_any;
}

uint64_t store_unsaved(const struct store *store)
{
    return store->state.unsaved;
}

bool store_is_failing(const struct store *store)
{
    return store->failing;
}

const char *store_trouble(const struct store *store)
{
    return store->failing ? store->trouble.text : store->state.disk_full ? STORE_DISK_FULL : "";
}

struct buffer *store_buffer(const struct store *store)
{
    return store->setup.buffer;
}

struct worker *store_worker(const struct store *store)
{
    return store->setup.worker;
}
