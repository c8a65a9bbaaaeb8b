/* A command that the user has named, run beside the loop: for helpers that answer in a few lines.
 * Bounded in output and in time; whatever it has started in its process group ends with it. Loop
 * thread. */
#ifndef WEIR_PORTS_PROCESS_H
#define WEIR_PORTS_PROCESS_H

#include "ports/loop.h"
#include "ports/slice.h"

struct process;

struct process_answer {
    enum err
        e; /* OK: it ended with status 0; CLOSED: otherwise; TIMEOUT, REJECTED (too much), IO */
    struct slice output; /* what it has written to its standard output, until done() returns */
    struct why why;      /* without what it has written */
};

struct process_setup {
    struct loop *loop;
    const char *command; /* for /bin/sh; only until process_open() returns */
    size_t output_size_max;
    uint32_t timeout_ms;
    void *context;
    /* Exactly once, never within process_open(); may close it. */
    void (*done)(void *context, const struct process_answer *answer);
};

/* Starts it: no standard input, our environment, our standard error, no other descriptor of ours.
 * ERR_NOMEM, ERR_IO: *why. */
enum err process_open(struct process **ret, const struct process_setup *setup,
                      struct why *why) MUST_USE;
/* Ends it, if it still runs; no done() after this. NULL is allowed. */
void process_close(struct process *process);

#endif
