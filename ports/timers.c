#include "ports/timers.h"

#include <assert.h>

static struct timers *timers_of(const struct timer *timer)
{
    return (struct timers *)(void *)timer->loop;
}

static bool timer_is_before(const struct timer *a, const struct timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

/* Of two heaps one: the later root becomes the first child of the earlier. Either may be NULL. */
static struct timer *heap_meld(struct timer *a, struct timer *b)
{
    if (!a || !b) {
        return a ? a : b;
    }
    if (timer_is_before(b, a)) {
        struct timer *swapped = a;
        a = b;
        b = swapped;
    }
    b->before = a;
    b->sibling = a->child;
    if (b->sibling) {
        b->sibling->before = b;
    }
    a->child = b;
    return a;
}

/* Melds a list of siblings in pairs, then the pairs from the last to the first: this is what makes
 * taking the earliest cheap on average (Fredman and others, The pairing heap, 1986). */
static struct timer *heap_meld_siblings(struct timer *first)
{
    struct timer *pairs = NULL; /* linked by `sibling`, the last pair first */
    while (first) {
        struct timer *a = first;
        struct timer *b = a->sibling;
        first = b ? b->sibling : NULL;
        a->sibling = NULL;
        a->before = NULL;
        if (b) {
            b->sibling = NULL;
            b->before = NULL;
        }
        struct timer *pair = heap_meld(a, b);
        pair->sibling = pairs;
        pairs = pair;
    }
    struct timer *root = NULL;
    while (pairs) {
        struct timer *pair = pairs;
        pairs = pair->sibling;
        pair->sibling = NULL;
        root = heap_meld(root, pair);
    }
    return root;
}

static void timers_remove(struct timers *timers, struct timer *timer)
{
    assert(timer->armed);
    struct timer *rest = heap_meld_siblings(timer->child);
    if (!timer->before) {
        assert(timers->root == timer);
        timers->root = rest;
    } else {
        if (timer->before->child == timer) {
            timer->before->child = timer->sibling;
        } else {
            timer->before->sibling = timer->sibling;
        }
        if (timer->sibling) {
            timer->sibling->before = timer->before;
        }
        timers->root = heap_meld(timers->root, rest);
    }
    timer->child = NULL;
    timer->sibling = NULL;
    timer->before = NULL;
    timer->armed = false;
    timers->armed_count--;
}

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer))
{
    assert(loop && fire);
    *timer = (struct timer){.loop = loop, .fire = fire};
}

void timer_arm(struct timer *timer, uint64_t delay_ms)
{
    struct timers *timers = timers_of(timer);
    assert(timers && timer->fire);
    timer_disarm(timer);
    timer->due_ms = delay_ms > UINT64_MAX - timers->now_ms ? UINT64_MAX : timers->now_ms + delay_ms;
    timer->order = timers->order++;
    timer->armed = true;
    timers->root = heap_meld(timers->root, timer);
    timers->armed_count++;
}

void timer_disarm(struct timer *timer)
{
    if (timer->armed) {
        timers_remove(timers_of(timer), timer);
    }
}

bool timer_is_armed(const struct timer *timer)
{
    return timer->armed;
}

void timer_release(struct timer *timer)
{
    timer_disarm(timer);
    timer->fire = NULL;
}

int64_t timers_wait_ms(const struct timers *timers)
{
    if (!timers->root) {
        return -1;
    }
    uint64_t due_ms = timers->root->due_ms;
    if (due_ms <= timers->now_ms) {
        return 0;
    }
    return due_ms - timers->now_ms > INT64_MAX ? INT64_MAX : (int64_t)(due_ms - timers->now_ms);
}

void timers_fire(struct timers *timers)
{
    /* What is armed from here on has a later deadline or a higher number than all that is due now,
     * so it never hides one of them. */
    uint64_t order_end = timers->order;
    while (timers->root && timers->root->due_ms <= timers->now_ms &&
           timers->root->order < order_end) {
        struct timer *timer = timers->root;
        timers_remove(timers, timer);
        timer->fire(timer);
    }
}
