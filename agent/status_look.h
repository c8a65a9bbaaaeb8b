/* What the status asks of the buffer itself: since when the oldest event of each stream waits. A job
 * on the store worker finds it when somebody asks, never else; that it comes back also says that the
 * store answers. Loop thread. */
#ifndef WEIR_AGENT_STATUS_LOOK_H
#define WEIR_AGENT_STATUS_LOOK_H

#include "buffer/buffer.h"
#include "buffer/look.h"
#include "ports/worker.h"

#define LOOK_WAIT_MS 2000 /* longest time that somebody is kept waiting for it */

/* The caller's memory, inside a struct of its own, until done() or status_look_forget(). */
struct look_waiter {
    /* Once, never within status_look_ask(): the store has answered, or the time is over. */
    void (*done)(struct look_waiter *waiter);
    struct look_waiter *next;
    bool is_waiting;
    bool is_answered;
};

struct status_look {
    struct worker *worker; /* NULL: it is not opened */
    struct buffer *buffer;
    const struct buffer_changes *state; /* the loop's copy of what the buffer said last */
    struct loop *loop;
    struct job job;
    struct timer limit;
    struct look_waiter *waiters;
    struct look_waiter *told; /* those that are being told */
    size_t event_size_max;
    uint64_t begun_ms; /* of the job that is under way */
    bool is_under_way;
    uint64_t lowest[STREAM_COUNT_MAX + 1]; /* the job's: of what is owed; 0: nothing waits */
    int64_t found[STREAM_COUNT_MAX + 1];   /* the job's */
    int64_t
        oldest_us[STREAM_COUNT_MAX + 1]; /* by the buffer's number; wall time, 0: nothing waits, or
                                                its time is not known */
};

/* In place. `state` is read on the loop, when somebody asks. */
void status_look_init(struct status_look *look, struct loop *loop, struct worker *worker,
                      struct buffer *buffer, const struct buffer_changes *state,
                      size_t event_size_max);
/* After worker_close(); accepts a zeroed one. */
void status_look_release(struct status_look *look);
void status_look_ask(struct status_look *look, struct look_waiter *waiter);
/* done() does not come any more. Accepts one that does not wait. */
void status_look_forget(struct status_look *look, struct look_waiter *waiter);
/* How long the store has not answered; 0: it has answered whoever asked. */
uint64_t status_look_silent_ms(const struct status_look *look);

#endif
