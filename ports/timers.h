/* The armed timers of a loop: a pairing heap linked through the timers themselves, so that arming
 * never allocates. For the implementations of ports/loop.h only; a struct loop begins with a struct
 * timers. Loop thread. */
#ifndef WEIR_PORTS_TIMERS_H
#define WEIR_PORTS_TIMERS_H

#include "ports/loop.h"

struct timers {
    struct timer *root;
    uint64_t order; /* of the next timer that is armed */
    uint64_t now_ms;
    size_t armed_count;
};

/* How long until the next timer is due: 0 when one is due now, -1 when none is armed. */
int64_t timers_wait_ms(const struct timers *timers);

/* Fires what is due at now_ms, in order of deadline, then of arming. What is armed meanwhile waits
 * for the next call. */
void timers_fire(struct timers *timers);

#endif
