/* The loop: one thread that owns all state of the agent, waits for descriptors and timers, and
 * never blocks.
 *
 * One `now` per turn. Timers that become due while timers run wait for the next turn; equal
 * deadlines fire in the order in which they were armed. Timers and watches are the caller's memory
 * and must not move while armed. ports/linux/loop.c is epoll; tests/sim/loop.c runs on simulated
 * time. Only loop_wake() may be called by other threads. */
#ifndef WEIR_PORTS_LOOP_H
#define WEIR_PORTS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ports/err.h"

struct loop;

enum err loop_open(struct loop **ret) MUST_USE;
/* All timers and watches must be stopped. NULL is allowed. */
void loop_close(struct loop *loop);

/* Runs until loop_stop(), then returns after the current turn. */
enum err loop_run(struct loop *loop) MUST_USE;
void loop_stop(struct loop *loop);
/* One turn: waits at most `wait_ms` (-1: until something happens), then runs what is due. */
enum err loop_turn(struct loop *loop, int64_t wait_ms) MUST_USE;

/* Monotonic milliseconds, the same throughout a turn. */
uint64_t loop_now_ms(const struct loop *loop);
/* The longest turn since the last call, microseconds; and resets it. */
uint64_t loop_longest_turn_us(struct loop *loop);

/* Makes loop_turn() return soon. Any thread. */
void loop_wake(struct loop *loop);

struct timer {
    struct loop *loop;
    void (*fire)(struct timer *timer); /* CONTAINER_OF leads to the owner */
    uint64_t due_ms;
    uint64_t order;        /* among equal deadlines */
    bool armed;            /* the loop's, like what follows */
    struct timer *child;   /* first of those that fire later */
    struct timer *sibling; /* next child of the same parent */
    struct timer *before;  /* the sibling before, or the parent; NULL at the root */
};

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer));
/* Fires once, `delay_ms` after the `now` of this turn; arming an armed timer moves it. Never fails:
 * the heap is linked through the timers themselves. */
void timer_arm(struct timer *timer, uint64_t delay_ms);
void timer_disarm(struct timer *timer);
bool timer_is_armed(const struct timer *timer);
/* Disarms for good. Accepts a zeroed timer. */
void timer_release(struct timer *timer);

enum watch_event {
    WATCH_READ = 1,
    WATCH_WRITE = 2,
    WATCH_ERROR = 4, /* always reported: error or hang-up */
};

struct watch {
    struct loop *loop;
    void (*ready)(struct watch *watch, unsigned events); /* may stop this or any other watch */
    int fd;
    unsigned events; /* what is asked for */
    bool active;
};

void watch_init(struct watch *watch, struct loop *loop, int fd,
                void (*ready)(struct watch *watch, unsigned events));
/* Starts, or changes what is asked for. Level triggered. */
enum err watch_start(struct watch *watch, unsigned events) MUST_USE;
/* Before the descriptor is closed. Accepts a zeroed watch. */
void watch_stop(struct watch *watch);

#endif
