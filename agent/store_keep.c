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

static bool has_deliveries(const struct batch_memory *b)
{
    return b->write.done_count + b->write.end_count + b->write.parcel_count > 0;
}

/* A set-aside event goes with the word that its range has ended, or neither does. */
static bool may_be_kept(const struct batch_memory *b)
{
    for (size_t i = 0; i < b->write.aside_count; i++) {
        if (b->asides[i].kind == ASIDE_DATUM) {
            return false;
        }
    }
    return true;
}

/* Out of the batch, as if it had never been there. */
static void take_deliveries(struct keep_memory *keep, struct batch_memory *from)
{
    struct buffer_write *w = &from->write;
    memcpy(keep->dones, from->dones, w->done_count * sizeof from->dones[0]);
    memcpy(keep->ends, from->ends, w->end_count * sizeof from->ends[0]);
    memcpy(keep->parcels, from->parcels, w->parcel_count * sizeof from->parcels[0]);
    keep->write = (struct buffer_write){.dones = keep->dones,
                                        .done_count = w->done_count,
                                        .ends = keep->ends,
                                        .end_count = w->end_count,
                                        .parcels = keep->parcel_pointers,
                                        .parcel_count = w->parcel_count};
    w->done_count = 0;
    w->end_count = 0;
    w->parcel_count = 0;
    from->forward_size = 0;
}

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
    struct batch_memory *from = has_deliveries(store->busy) ? store->busy : store->open;
    if (!has_deliveries(from) || !may_be_kept(store->busy) || !may_be_kept(from)) {
        return false;
    }
    take_deliveries(keep, from);
    keep->mark = from->mark;
    if (!has_deliveries(store->open)) { /* some of what it had may have been lent to the other */
        keep->mark = store->open->mark;
        store->open->mark = ++store->marks; /* what is put from now on is not in it */
    }
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
