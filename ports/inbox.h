/* A bounded queue from other threads to the loop: for threads that are not ours (Paho's), and
 * blocking drivers. */
#ifndef WEIR_PORTS_INBOX_H
#define WEIR_PORTS_INBOX_H

#include "ports/loop.h"

struct inbox;

/* The caller's memory, in an object that the receiver takes over. */
struct inbox_item {
    struct inbox_item *next;
};

/* `receive` is called on the loop, once for each item, in order. */
enum err inbox_open(struct inbox **ret, struct loop *loop, size_t count_max,
                    void (*receive)(void *context, struct inbox_item *item),
                    void *context) MUST_USE;
/* Any thread. ERR_FULL: count_max items wait; the item stays the caller's. ERR_CLOSED: inbox_stop()
 * was called. */
enum err inbox_put(struct inbox *inbox, struct inbox_item *item) MUST_USE;
/* Receives what is there now, without waiting for the loop's turn. Loop thread. */
void inbox_drain(struct inbox *inbox);
/* From now on put() answers ERR_CLOSED. */
void inbox_stop(struct inbox *inbox);
/* No thread may be in put() any more. What still waits is received first. NULL is allowed. */
void inbox_close(struct inbox *inbox);

#endif
