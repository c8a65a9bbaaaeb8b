#include "ports/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "ports/clock.h"
#include "ports/timers.h"

#define LOOP_EVENT_MAX 64 /* descriptors served in one turn; the others wait for the next */

struct loop {
    struct timers timers; /* first: see ports/timers.h */
    int epoll_fd;
    int wake_fd;
    bool stopped;
    size_t watch_count;
    uint64_t longest_turn_us;
    struct epoll_event events[LOOP_EVENT_MAX];
    int event_count; /* of the turn under way; 0 between turns */
};

enum err loop_open(struct loop **ret)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        return ERR_NOMEM;
    }
    enum err e;
    loop->wake_fd = -1;
    loop->timers.now_ms = clock_monotonic_ms();
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        e = err_of_errno(errno);
        goto fail;
    }
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};
    if (loop->wake_fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event)) {
        e = err_of_errno(errno);
        goto fail;
    }
    *ret = loop;
    return ERR_OK;

fail:
    loop_close(loop);
    return e;
}

void loop_close(struct loop *loop)
{
    if (!loop) {
        return;
    }
    assert(loop->watch_count == 0);
    assert(loop->timers.armed_count == 0);
    if (loop->wake_fd >= 0) {
        close(loop->wake_fd);
    }
    if (loop->epoll_fd >= 0) {
        close(loop->epoll_fd);
    }
    free(loop);
}

enum err loop_run(struct loop *loop)
{
    loop->stopped = false;
    while (!loop->stopped) {
        enum err e = loop_turn(loop, -1);
        if (e) {
            return e;
        }
    }
    return ERR_OK;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

/* The shorter of what the caller and the next timer allow, as epoll_wait takes it. */
static int loop_wait_ms(const struct loop *loop, int64_t wait_ms)
{
    int64_t timer_ms = timers_wait_ms(&loop->timers);
    if (timer_ms >= 0 && (wait_ms < 0 || timer_ms < wait_ms)) {
        wait_ms = timer_ms;
    }
    return wait_ms < 0 ? -1 : wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
}

static void loop_wake_seen(struct loop *loop)
{
    uint64_t count;
    ssize_t got = read(loop->wake_fd, &count, sizeof count);
    (void)got; /* its only task was to end the wait */
}

static void loop_serve(struct loop *loop)
{
    for (int i = 0; i < loop->event_count; i++) {
        struct watch *watch = loop->events[i].data.ptr;
        if (!watch) {
            continue; /* the wake descriptor, or stopped by one that was served before */
        }
        uint32_t got = loop->events[i].events;
        unsigned events = (got & EPOLLIN ? WATCH_READ : 0U) | (got & EPOLLOUT ? WATCH_WRITE : 0U) |
                          (got & (EPOLLERR | EPOLLHUP) ? WATCH_ERROR : 0U);
        watch->ready(watch, events);
    }
    loop->event_count = 0;
}

enum err loop_turn(struct loop *loop, int64_t wait_ms)
{
    assert(loop->event_count == 0); /* turns do not nest */
    loop->timers.now_ms = clock_monotonic_ms();
    int count =
        epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENT_MAX, loop_wait_ms(loop, wait_ms));
    if (count < 0 && errno != EINTR) {
        return err_of_errno(errno);
    }
    uint64_t start_us = clock_monotonic_us();
    loop->timers.now_ms = start_us / 1000;
    loop->event_count = count > 0 ? count : 0;
    for (int i = 0; i < loop->event_count; i++) {
        if (!loop->events[i].data.ptr) {
            loop_wake_seen(loop);
        }
    }
    timers_fire(&loop->timers);
    loop_serve(loop);
    uint64_t turn_us = clock_monotonic_us() - start_us;
    if (turn_us > loop->longest_turn_us) {
        loop->longest_turn_us = turn_us;
    }
    return ERR_OK;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->timers.now_ms;
}

uint64_t loop_longest_turn_us(struct loop *loop)
{
    uint64_t longest_us = loop->longest_turn_us;
    loop->longest_turn_us = 0;
    return longest_us;
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t put = write(loop->wake_fd, &one, sizeof one);
    (void)put; /* it can only be full, and then the loop wakes anyway */
}

void watch_init(struct watch *watch, struct loop *loop, int fd,
                void (*ready)(struct watch *watch, unsigned events))
{
    assert(loop && ready && fd >= 0);
    *watch = (struct watch){.loop = loop, .fd = fd, .ready = ready};
}

enum err watch_start(struct watch *watch, unsigned events)
{
    assert(watch->loop);
    if (watch->active && watch->events == events) {
        return ERR_OK;
    }
    struct epoll_event event = {
        .events = (events & WATCH_READ ? (uint32_t)EPOLLIN : 0U) |
                  (events & WATCH_WRITE ? (uint32_t)EPOLLOUT : 0U),
        .data = {.ptr = watch},
    };
    int action = watch->active ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(watch->loop->epoll_fd, action, watch->fd, &event)) {
        return err_of_errno(errno);
    }
    watch->loop->watch_count += !watch->active;
    watch->active = true;
    watch->events = events;
    return ERR_OK;
}

void watch_stop(struct watch *watch)
{
    if (!watch->active) {
        return;
    }
    struct loop *loop = watch->loop;
    int failed = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    assert(!failed); /* else the descriptor was closed before its watch was stopped */
    for (int i = 0; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == watch) {
            loop->events[i].data.ptr = NULL;
        }
    }
    watch->active = false;
    assert(loop->watch_count > 0);
    loop->watch_count--;
}
