/* While the disk takes nothing for long, sending goes on: deliveries and parcels are on record in
 * memory only, and written with the commit that succeeds at last. If the process ends before, what
 * was sent meanwhile is sent again; a backlog on a dying disk is worth that. */
#include <stdlib.h>
#include <string.h>

#include "agent/store_impl.h"
#include "ports/log.h"

/* A commit has failed so often in a row, for want of a disk: not for a moment's trouble. */
#define KEEP_AFTER 3

struct keep_memory {
    struct job job;
    struct store *store;
    struct part_done dones[DONE_MAX];
    struct owed_end ends[END_MAX];
    struct parcel parcels[PARCEL_MAX];
    const struct parcel *parcel_pointers[PARCEL_MAX];
    struct buffer_write write; /* of these */
    uint64_t mark;
    enum err result;
    struct why why;
};

bool store_keeps(const struct store *store)
{
    return store->failing && store->fail_count >= KEEP_AFTER &&
           (store->result == ERR_IO || store->result == ERR_READONLY);
}

void store_keep_begin(struct store *store, const struct why *why)
{
    store->failing = true;
    store->fail_count = KEEP_AFTER;
    store->result = ERR_READONLY;
    store->said = ERR_READONLY;
    store->trouble = *why;
}

/* --- what may be kept --- */

/* An event that was refused goes with the word that its range has ended, or neither does; and what
 * its numbers, or those of halves, are now has to be on the disk before they are used. */
static bool batch_needs_disk(const struct batch_memory *b, uint16_t uplink, uint16_t stream)
{
    for (size_t i = 0; i < b->write.aside_count; i++) {
        const struct aside *a = &b->asides[i];
        if (a->kind == ASIDE_DATUM && a->uplink == uplink && a->stream == stream) {
            return true;
        }
    }
    for (size_t i = 0; i < b->write.parcel_count; i++) {
        const struct parcel *p = &b->parcels[i];
        if (b->parcel_halved[i] && p->uplink == uplink && p->stream == stream) {
            return true;
        }
    }
    return false;
}

bool store_needs_disk(const struct store *store, uint16_t uplink, uint16_t stream)
{
    return (store->busy && batch_needs_disk(store->busy, uplink, stream)) ||
           batch_needs_disk(store->open, uplink, stream);
}

static bool has_deliveries(const struct store *store, const struct batch_memory *b)
{
    const struct buffer_write *w = &b->write;
    bool found = false;
    for (size_t i = 0; i < w->done_count && !found; i++) {
        found = !store_needs_disk(store, b->dones[i].uplink, b->dones[i].stream);
    }
    for (size_t i = 0; i < w->end_count && !found; i++) {
        found = !store_needs_disk(store, b->ends[i].uplink, b->ends[i].stream);
    }
    for (size_t i = 0; i < w->parcel_count && !found; i++) {
        found = !store_needs_disk(store, b->parcels[i].uplink, b->parcels[i].stream);
    }
    return found;
}

static void take_dones(struct store *store, struct batch_memory *from)
{
    struct buffer_write *to = &store->keep->write;
    size_t left = 0;
    for (size_t i = 0; i < from->write.done_count; i++) {
        const struct part_done done = from->dones[i];
        if (store_needs_disk(store, done.uplink, done.stream)) {
            from->dones[left++] = done;
        } else {
            store->keep->dones[to->done_count++] = done;
            from->forward_size -= DONE_SIZE;
        }
    }
    from->write.done_count = left;
}

static void take_ends(struct store *store, struct batch_memory *from)
{
    struct buffer_write *to = &store->keep->write;
    size_t left = 0;
    for (size_t i = 0; i < from->write.end_count; i++) {
        const struct owed_end end = from->ends[i];
        if (store_needs_disk(store, end.uplink, end.stream)) {
            from->ends[left++] = end;
        } else {
            store->keep->ends[to->end_count++] = end;
            from->forward_size -= END_SIZE;
        }
    }
    from->write.end_count = left;
}

/* Those that need the disk stay: which ones these are does not change while others are taken. */
static void take_parcels(struct store *store, struct batch_memory *from)
{
    struct buffer_write *to = &store->keep->write;
    size_t left = 0;
    for (size_t i = 0; i < from->write.parcel_count; i++) {
        const struct parcel *p = &from->parcels[i];
        if (!store_needs_disk(store, p->uplink, p->stream)) {
            from->forward_size -= parcel_record_size(p);
            store->keep->parcels[to->parcel_count++] = *p;
        } else if (left++ != i) {
            from->parcels[left - 1] = *p;
            from->parcel_halved[left - 1] = from->parcel_halved[i];
        }
    }
    from->write.parcel_count = left;
}

/* Out of the batch, as if it had never been there. */
static void take_deliveries(struct store *store, struct batch_memory *from)
{
    struct keep_memory *keep = store->keep;
    keep->write = (struct buffer_write){
        .dones = keep->dones, .ends = keep->ends, .parcels = keep->parcel_pointers};
    take_dones(store, from);
    take_ends(store, from);
    take_parcels(store, from);
}

/* --- keeping it --- */

static void keep_work(struct job *job)
{
    struct keep_memory *keep = CONTAINER_OF(job, struct keep_memory, job);
    struct store *store = keep->store;
    keep->result = buffer_keep(store->setup.buffer, &keep->write, &store->from_buffer, &keep->why);
}

static void keep_done(struct job *job)
{
    struct keep_memory *keep = CONTAINER_OF(job, struct keep_memory, job);
    struct store *store = keep->store;
    store->keeping = false;
    if (keep->result) {
        store->keep_waits = true; /* with its content, until there is room for it */
        timer_arm(&store->keep_timer, (uint64_t)store->setup.retry_ms);
        return;
    }
    store->keep_waits = false;
    if (store->state.unsaved == 0) {
        log_warn("buffer", "what is sent while the disk takes nothing is on record in memory only: "
                           "if the agent is restarted before the disk is back, it is sent again");
    }
    store_take_state(store);
    store_say_recorded(store, keep->mark);
    store_keep_soon(store);
}

/* What a batch has for it. The one that failed comes first. */
static bool keep_fill(struct store *store)
{
    struct keep_memory *keep = store->keep;
    struct batch_memory *from = has_deliveries(store, store->busy) ? store->busy : store->open;
    if (!has_deliveries(store, from)) {
        return false;
    }
    take_deliveries(store, from);
    keep->mark = from->mark;
    if (!has_deliveries(store, store->open)) {
        keep->mark = store->open->mark; /* some of what it had may have been lent to the other */
        store->open->mark = ++store->marks; /* what is put from now on is not in it */
    }
    return true;
}

/* All that was not kept of other batches is behind it. */
bool store_keep_return(struct store *store)
{
    const struct buffer_write *from = &store->keep->write;
    struct batch_memory *to = store->busy;
    size_t size = from->done_count * DONE_SIZE + from->end_count * END_SIZE;
    for (size_t i = 0; i < from->parcel_count; i++) {
        size += parcel_record_size(from->parcels[i]);
    }
    if (!to || to->write.done_count + from->done_count > DONE_MAX ||
        to->write.end_count + from->end_count > END_MAX ||
        to->write.parcel_count + from->parcel_count > PARCEL_MAX ||
        to->forward_size + size > FORWARD_SIZE_MAX) {
        return false;
    }
    for (size_t i = 0; i < from->done_count; i++) {
        to->dones[to->write.done_count++] = from->dones[i];
    }
    for (size_t i = 0; i < from->end_count; i++) {
        to->ends[to->write.end_count++] = from->ends[i];
    }
    for (size_t i = 0; i < from->parcel_count; i++) {
        size_t index = to->write.parcel_count++;
        to->parcels[index] = *from->parcels[i];
        to->parcel_pointers[index] = &to->parcels[index];
        to->parcel_halved[index] = false;
    }
    to->forward_size += size;
    store->keep->write = (struct buffer_write){.event_count = 0};
    store->keep_waits = false;
    timer_disarm(&store->keep_timer);
    return true;
}

static void keep_timer_fired(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, keep_timer);
    if (!store->busy || store_is_working(store) ||
        (!store->keep_waits && (!store_keeps(store) || !keep_fill(store)))) {
        return; /* the end of what is being done comes here again */
    }
    store->keeping = worker_put(store->setup.worker, &store->keep->job) == ERR_OK;
    store->keep_waits = !store->keeping;
    if (!store->keeping) {
        timer_arm(&store->keep_timer, 10);
    }
}

void store_keep_soon(struct store *store)
{
    /* While the worker commits, the result is its own. */
    if (!store_is_working(store) && store_keeps(store) && !store->keep_waits) {
        timer_arm(&store->keep_timer, 0);
    }
}

enum err store_keep_open(struct store *store)
{
    timer_init(&store->keep_timer, store->setup.loop, keep_timer_fired);
    store->keep = calloc(1, sizeof *store->keep);
    if (!store->keep) {
        return ERR_NOMEM;
    }
    store->keep->store = store;
    store->keep->job = (struct job){.work = keep_work, .done = keep_done};
    for (size_t i = 0; i < PARCEL_MAX; i++) {
        store->keep->parcel_pointers[i] = &store->keep->parcels[i];
    }
    return ERR_OK;
}

void store_keep_close(struct store *store)
{
    timer_release(&store->keep_timer);
    free(store->keep);
}
