/* What the buffer does in the background: salvage of a damaged file, a little at a time, else a row
 * checked every minute. Never while a commit is under way. */
#include "agent/store_impl.h"
#include "buffer/salvage.h"
#include "ports/log.h"

#define CARE_SOON_MS 20 /* between two turns of a salvage: commits and reads pass between */
#define CARE_IDLE_MS 60000
#define CARE_WAIT_MS 5000 /* for room, or after an error */

static void care_work(struct job *job)
{
    struct store *store = CONTAINER_OF(job, struct store, care_job);
    store->care_result = buffer_care(store->setup.buffer, &store->from_buffer, &store->care_why);
}

static uint64_t care_pause_ms(enum err e)
{
    return e == ERR_OK ? CARE_SOON_MS : e == ERR_CLOSED ? CARE_IDLE_MS : CARE_WAIT_MS;
}

static void care_done(struct job *job)
{
    struct store *store = CONTAINER_OF(job, struct store, care_job);
    enum err e = store->care_result;
    store->caring = false;
    timer_arm(&store->care, care_pause_ms(e));
    if (e == ERR_OK || e == ERR_FULL || e == ERR_CLOSED) {
        bool changed = e != ERR_CLOSED || store->state.damage.salvages;
        store_take_state(store);
        if (changed) {
            store_say_committed(store);
        }
    } else {
        log_warn("buffer", "%s", store->care_why.text);
    }
    store_begin_if_due(store);
}

static void care_fired(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, care);
    /* A gap that is being told must not grow before its commit. */
    bool may = store_may_begin(store) && store->open->write.gap_told_count == 0;
    if (!may || worker_put(store->setup.worker, &store->care_job)) {
        timer_arm(timer, CARE_SOON_MS);
        return;
    }
    store->caring = true;
}

void store_care_open(struct store *store)
{
    timer_init(&store->care, store->setup.loop, care_fired);
    store->care_job = (struct job){.work = care_work, .done = care_done};
    timer_arm(&store->care, store->from_buffer.damage.salvages ? CARE_SOON_MS : CARE_IDLE_MS);
}

void store_care_close(struct store *store)
{
    assert(!store->caring);
    timer_release(&store->care);
}

void store_care_soon(struct store *store, bool salvaged_before)
{
    if (store->state.damage.salvages && !salvaged_before && !store->caring) {
        timer_arm(&store->care, CARE_SOON_MS);
    }
}
