#include "ports/inbox.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

struct inbox {
    struct watch watch;
    int fd;
    void (*receive)(void *context, struct inbox_item *item);
    void *context;
    size_t count_max;
    bool *closed_within; /* set when inbox_close() is called by receive() */
    /* shared, under the lock */
    pthread_mutex_t lock;
    struct inbox_item *first, **end;
    size_t count; /* put and not received yet */
    bool stopped;
};

/* Takes the oldest item, one at a time, so that `count` is true while receive() runs and what is
 * put meanwhile keeps its bound. */
static struct inbox_item *inbox_take(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    struct inbox_item *item = inbox->first;
    if (item) {
        inbox->first = item->next;
        if (!inbox->first) {
            inbox->end = &inbox->first;
        }
        inbox->count--;
    }
    pthread_mutex_unlock(&inbox->lock);
    return item;
}

/* At most count_max items a turn: a busy thread does not keep the loop for itself. False: the inbox
 * was closed by one of them. */
static bool inbox_receive(struct inbox *inbox)
{
    bool closed = false;
    bool *outer = inbox->closed_within;
    inbox->closed_within = &closed;
    struct inbox_item *item;
    for (size_t i = 0; i < inbox->count_max && (item = inbox_take(inbox)); i++) {
        item->next = NULL;
        inbox->receive(inbox->context, item);
        if (closed) {
            if (outer) {
                *outer = true; /* a drain within */
            }
            return false;
        }
    }
    inbox->closed_within = outer;
    return true;
}

static void inbox_signal(struct inbox *inbox)
{
    uint64_t one = 1;
    ssize_t put = write(inbox->fd, &one, sizeof one);
    (void)put; /* full means that the loop is being woken already */
}

static void inbox_ready(struct watch *watch, unsigned events)
{
    (void)events;
    struct inbox *inbox = CONTAINER_OF(watch, struct inbox, watch);
    uint64_t count;
    ssize_t got = read(inbox->fd, &count, sizeof count);
    (void)got;
    if (!inbox_receive(inbox)) {
        return;
    }
    pthread_mutex_lock(&inbox->lock);
    bool more = inbox->first != NULL;
    pthread_mutex_unlock(&inbox->lock);
    if (more) {
        inbox_signal(inbox);
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
    pthread_mutex_init(&inbox->lock, NULL);
    inbox->end = &inbox->first;
    inbox->receive = receive;
    inbox->context = context;
    inbox->count_max = count_max;
    enum err e;
    inbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inbox->fd < 0) {
        e = err_of_errno(errno);
        goto fail;
    }
    watch_init(&inbox->watch, loop, inbox->fd, inbox_ready);
    e = watch_start(&inbox->watch, WATCH_READ);
    if (e) {
        goto fail;
    }
    *ret = inbox;
    return ERR_OK;

fail:
    inbox_close(inbox);
    return e;
}

enum err inbox_put(struct inbox *inbox, struct inbox_item *item)
{
    enum err e = ERR_OK;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->stopped) {
        e = ERR_CLOSED;
    } else if (inbox->count == inbox->count_max) {
        e = ERR_FULL;
    } else {
        item->next = NULL;
        bool was_empty = !inbox->first;
        *inbox->end = item;
        inbox->end = &item->next;
        inbox->count++;
        if (was_empty) {
            inbox_signal(inbox);
        }
    }
    pthread_mutex_unlock(&inbox->lock);
    return e;
}

void inbox_drain(struct inbox *inbox)
{
    (void)inbox_receive(inbox); /* false: it is closed, and not ours to look at any more */
}

void inbox_stop(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->stopped = true;
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_close(struct inbox *inbox)
{
    if (!inbox) {
        return;
    }
    inbox_stop(inbox);
    watch_stop(&inbox->watch);
    (void)inbox_receive(inbox); /* nobody closes it twice */
    assert(!inbox->first);
    if (inbox->closed_within) {
        *inbox->closed_within = true;
    }
    if (inbox->fd >= 0) {
        close(inbox->fd);
    }
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}
