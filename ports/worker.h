/* A worker: one thread that does jobs in order, one at a time. A job never touches what the loop
 * owns; its result comes back in the job. tests/sim/worker.c runs jobs on the simulated loop, some
 * time later, in order. */
#ifndef WEIR_PORTS_WORKER_H
#define WEIR_PORTS_WORKER_H

#include "ports/loop.h"

#define WORKER_QUEUE_MAX 64
#define WORKER_STACK_SIZE (256 * 1024)

struct worker;

/* The caller's memory, inside a struct of its own; must live until done() has run. */
struct job {
    void (*work)(struct job *job); /* on the worker's thread */
    void (*done)(struct job *job); /* on the loop's thread, afterwards, in the order of putting */
    struct job *next;              /* the worker's */
};

enum err worker_open(struct worker **ret, struct loop *loop, const char *name) MUST_USE;
/* ERR_FULL: WORKER_QUEUE_MAX jobs are put and not done() yet. ERR_CLOSED: within worker_close().
 * Loop thread only. */
enum err worker_put(struct worker *worker, struct job *job) MUST_USE;
/* Does what was put, calls each done(), then ends the thread. NULL is allowed. */
void worker_close(struct worker *worker);

#endif
