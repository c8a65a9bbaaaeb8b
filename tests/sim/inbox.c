#include "ports/inbox.h"

#include <assert.h>

#include "tests/sim/sim_impl.h"

#define RECEIVE_MS_MAX 2

struct inbox {
    struct timer timer;
    void (*receive)(void *context, struct inbox_item *item);
    void *context;
    size_t count, count_max;
    struct inbox_item *first, **end;
    bool stopped;
};

static void inbox_receive(struct inbox *inbox, size_t count)
{
    while (inbox->first && count--) {
        struct inbox_item *item = inbox->first;
        inbox->first = item->next;
        if (!inbox->first) {
            inbox->end = &inbox->first;
        }
        inbox->count--;
        item->next = NULL;
        inbox->receive(inbox->context, item);
    }
}

static void inbox_fire(struct timer *timer)
{
    struct inbox *inbox = CONTAINER_OF(timer, struct inbox, timer);
    inbox_receive(inbox, 1 + sim_below(inbox->count_max));
    if (inbox->first) {
        timer_arm(timer, sim_below(RECEIVE_MS_MAX));
    }
}

enum err inbox_open(struct inbox **ret, struct loop *loop, size_t count_max,
                    void (*receive)(void *context, struct inbox_item *item), void *context)
{
    assert(count_max > 0 && receive);
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox) {
        return ERR_NOMEM;
    }
    timer_init(&inbox->timer, loop, inbox_fire);
    inbox->end = &inbox->first;
    inbox->receive = receive;
    inbox->context = context;
    inbox->count_max = count_max;
    *ret = inbox;
    return ERR_OK;
}

enum err inbox_put(struct inbox *inbox, struct inbox_item *item)
{
    if (inbox->stopped) {
        return ERR_CLOSED;
    }
    if (inbox->count == inbox->count_max) {
        return ERR_FULL;
    }
    inbox->count++;
    item->next = NULL;
    *inbox->end = item;
    inbox->end = &item->next;
    if (!timer_is_armed(&inbox->timer)) {
        timer_arm(&inbox->timer, sim_below(RECEIVE_MS_MAX));
    }
    return ERR_OK;
}

void inbox_drain(struct inbox *inbox)
{
    inbox_receive(inbox, inbox->count_max);
}

void inbox_stop(struct inbox *inbox)
{
    inbox->stopped = true;
}

void inbox_close(struct inbox *inbox)
{
    if (!inbox) {
        return;
    }
    inbox_stop(inbox);
    inbox_receive(inbox, SIZE_MAX);
    timer_release(&inbox->timer);
    free(inbox);
}
