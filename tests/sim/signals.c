#include "ports/signals.h"

#include <assert.h>
#include <stdlib.h>

#include "tests/sim/sim_impl.h"

struct signals {
    struct timer timer;
    void (*caught)(void *context, int number);
    void *context;
    int number;
};

static struct signals *open_signals; /* one agent at a time */

static void signals_fire(struct timer *timer)
{
    struct signals *signals = CONTAINER_OF(timer, struct signals, timer);
    signals->caught(signals->context, signals->number);
}

enum err signals_open(struct signals **ret, struct loop *loop,
                      void (*caught)(void *context, int number), void *context)
{
    assert(!open_signals && caught);
    struct signals *signals = calloc(1, sizeof *signals);
    if (!signals) {
        return ERR_NOMEM;
    }
    signals->caught = caught;
    signals->context = context;
    timer_init(&signals->timer, loop, signals_fire);
    open_signals = signals;
    *ret = signals;
    return ERR_OK;
}

void signals_close(struct signals *signals)
{
    if (signals) {
        timer_release(&signals->timer);
        open_signals = NULL;
        free(signals);
    }
}

void signals_sim_deliver(int number)
{
    if (open_signals) {
        open_signals->number = number;
        timer_arm(&open_signals->timer, 0);
    }
}
