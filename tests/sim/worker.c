/* Jobs are done in order, each some time after it was put; done() follows some time after work().
 */
#include "ports/worker.h"

#include <assert.h>

#include "tests/sim/sim_impl.h"

#define WORK_MS_MAX 5
#define DONE_MS_MAX 2

struct worker {
    struct loop *loop;
    struct timer work, done;
    struct job *todo_first, **todo_end;
    struct job *done_first, **done_end;
    size_t count;
    bool closing;
    char name[32];
};

static void worker_arm(struct timer *timer, uint64_t below)
{
    if (!timer_is_armed(timer)) {
        timer_arm(timer, sim_below(below));
    }
}

static bool worker_work(struct worker *worker)
{
    struct job *job = worker->todo_first;
    if (!job) {
        return false;
    }
    worker->todo_first = job->next;
    if (!worker->todo_first) {
        worker->todo_end = &worker->todo_first;
    }
    job->next = NULL;
    job->work(job);
    *worker->done_end = job;
    worker->done_end = &job->next;
    return true;
}

static bool worker_finish(struct worker *worker)
{
    struct job *job = worker->done_first;
    if (!job) {
        return false;
    }
    worker->done_first = job->next;
    if (!worker->done_first) {
        worker->done_end = &worker->done_first;
    }
    job->next = NULL;
    worker->count--;
    sim_trace("worker %s: done", worker->name);
    if (worker->done_first) {
        worker_arm(&worker->done, DONE_MS_MAX);
    }
    job->done(job);
    return true;
}

static void worker_work_fire(struct timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, work);
    if (worker_work(worker)) {
        worker_arm(&worker->done, DONE_MS_MAX);
    }
    if (worker->todo_first) {
        worker_arm(&worker->work, WORK_MS_MAX);
    }
}

static void worker_done_fire(struct timer *timer)
{
    (void)worker_finish(CONTAINER_OF(timer, struct worker, done));
}

enum err worker_open(struct worker **ret, struct loop *loop, const char *name)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker) {
        return ERR_NOMEM;
    }
    worker->loop = loop;
    worker->todo_end = &worker->todo_first;
    worker->done_end = &worker->done_first;
    snprintf(worker->name, sizeof worker->name, "%s", name);
    timer_init(&worker->work, loop, worker_work_fire);
    timer_init(&worker->done, loop, worker_done_fire);
    *ret = worker;
    return ERR_OK;
}

enum err worker_put(struct worker *worker, struct job *job)
{
    assert(job->work && job->done);
    if (worker->closing) {
        return ERR_CLOSED;
    }
    if (worker->count == WORKER_QUEUE_MAX) {
        return ERR_FULL;
    }
    worker->count++;
    job->next = NULL;
    *worker->todo_end = job;
    worker->todo_end = &job->next;
    worker_arm(&worker->work, WORK_MS_MAX);
    return ERR_OK;
}

/* After a crash too all jobs are worked and done, as the contract says, because their owners may
 * free them there: what they do to disk and wire is refused, and that is what they report. */
void worker_close(struct worker *worker)
{
    if (!worker) {
        return;
    }
    worker->closing = true;
    while (worker_work(worker)) {
    }
    while (worker_finish(worker)) {
    }
    timer_release(&worker->work);
    timer_release(&worker->done);
    assert(worker->count == 0);
    free(worker);
}
