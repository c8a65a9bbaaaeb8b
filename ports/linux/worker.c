#include "ports/worker.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

/* Sanitizers put guard zones between variables: the same code needs several times the stack. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WORKER_STACK_FACTOR 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WORKER_STACK_FACTOR 8
#endif
#endif
#ifndef WORKER_STACK_FACTOR
#define WORKER_STACK_FACTOR 1
#endif

struct worker {
    /* the loop's */
    struct watch done_watch;
    size_t count;                         /* jobs put whose done() has not begun */
    struct job *ready_first, **ready_end; /* off the shared list, done() has not begun */
    unsigned finishing;                   /* calls of worker_finish() that have not returned */
    bool closed;                          /* by a done(): the last of them frees it */
    bool has_thread;
    bool closing;
    pthread_t thread;
    int done_fd;
    /* shared, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *todo_first, **todo_end;
    struct job *done_first, **done_end;
    bool stop;
};

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        while (!worker->todo_first && !worker->stop) {
            pthread_cond_wait(&worker->wake, &worker->lock);
        }
        struct job *job = worker->todo_first;
        if (!job) {
            break;
        }
        worker->todo_first = job->next;
        if (!worker->todo_first) {
            worker->todo_end = &worker->todo_first;
        }
        pthread_mutex_unlock(&worker->lock);
        job->next = NULL;
        job->work(job);
        pthread_mutex_lock(&worker->lock);
        *worker->done_end = job;
        worker->done_end = &job->next;
        uint64_t one = 1;
        ssize_t put = write(worker->done_fd, &one, sizeof one);
        (void)put; /* full means that the loop is being woken already */
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* Calls done() of what is done by now. A job is off the lists before its call, which may free it,
 * put another, or close the worker: then the calls that are left are made within that. */
static void worker_finish(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    if (worker->done_first) {
        *worker->ready_end = worker->done_first;
        worker->ready_end = worker->done_end;
        worker->done_first = NULL;
        worker->done_end = &worker->done_first;
    }
    pthread_mutex_unlock(&worker->lock);
    worker->finishing++;
    while (!worker->closed && worker->ready_first) {
        struct job *job = worker->ready_first;
        worker->ready_first = job->next;
        if (!worker->ready_first) {
            worker->ready_end = &worker->ready_first;
        }
        job->next = NULL;
        assert(worker->count > 0);
        worker->count--;
        job->done(job);
    }
    if (--worker->finishing == 0 && worker->closed) {
        free(worker);
    }
}

static void worker_done_ready(struct watch *watch, unsigned events)
{
    (void)events;
    struct worker *worker = CONTAINER_OF(watch, struct worker, done_watch);
    uint64_t count;
    ssize_t got = read(worker->done_fd, &count, sizeof count);
    (void)got;
    worker_finish(worker);
}

/* Signals are the loop's: the thread starts with all of them blocked. */
static enum err worker_start(struct worker *worker, const char *name)
{
    size_t stack_size = (size_t)WORKER_STACK_SIZE * WORKER_STACK_FACTOR;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) {
        return ERR_NOMEM;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    int failed = pthread_attr_setstacksize(&attributes, stack_size);
    if (!failed) {
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(&worker->thread, &attributes, worker_main, worker);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    if (failed) {
        return failed == EAGAIN ? ERR_NOMEM : err_of_errno(failed);
    }
    worker->has_thread = true;
    char short_name[16];
    snprintf(short_name, sizeof short_name, "%.15s", name);
    (void)pthread_setname_np(worker->thread, short_name); /* only for those who look with ps */
    return ERR_OK;
}

enum err worker_open(struct worker **ret, struct loop *loop, const char *name)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker) {
        return ERR_NOMEM;
    }
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->wake, NULL);
    worker->todo_end = &worker->todo_first;
    worker->done_end = &worker->done_first;
    worker->ready_end = &worker->ready_first;
    enum err e;
    worker->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->done_fd < 0) {
        e = err_of_errno(errno);
        goto fail;
    }
    watch_init(&worker->done_watch, loop, worker->done_fd, worker_done_ready);
    e = watch_start(&worker->done_watch, WATCH_READ);
    if (e) {
        goto fail;
    }
    e = worker_start(worker, name);
    if (e) {
        goto fail;
    }
    *ret = worker;
    return ERR_OK;

fail:
    worker_close(worker);
    return e;
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
    pthread_mutex_lock(&worker->lock);
    *worker->todo_end = job;
    worker->todo_end = &job->next;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    return ERR_OK;
}

void worker_close(struct worker *worker)
{
    if (!worker) {
        return;
    }
    worker->closing = true;
    watch_stop(&worker->done_watch);
    if (worker->has_thread) {
        pthread_mutex_lock(&worker->lock);
        worker->stop = true;
        pthread_cond_signal(&worker->wake);
        pthread_mutex_unlock(&worker->lock);
        pthread_join(worker->thread, NULL);
        worker_finish(worker);
    }
    assert(worker->count == 0);
    if (worker->done_fd >= 0) {
        close(worker->done_fd);
    }
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
    worker->closed = true;
    if (worker->finishing == 0) {
        free(worker);
    }
}
