/* Holds what several streams send together to a rate: a bucket of bytes as the network counts them,
 * headers of segments included. Streams write when it is their turn: urgent ones first, with a share
 * for the others. So what waits, waits in the program, where it can be overtaken, and not in the
 * kernel. Loop thread. */
#ifndef WEIR_PORTS_PACER_H
#define WEIR_PORTS_PACER_H

#include "ports/loop.h"

struct pacer;

/* A stream's place at it. In place; it must not move. */
struct pacer_seat {
    struct pacer *pacer; /* NULL: nothing is held back */
    bool is_urgent;
    bool waits;
    uint64_t bytes; /* charged to it */
    void (*go)(struct pacer_seat *seat);
    struct pacer_seat *next; /* ours */
};

/* share: millionths of what is sent that is not for urgent streams while others wait. */
enum err pacer_open(struct pacer **ret, struct loop *loop, uint64_t bytes_per_second,
                    uint32_t share) MUST_USE;
/* Nobody sits at it any more. NULL is allowed. */
void pacer_close(struct pacer *pacer);

/* pacer NULL: all is let through. */
void pacer_sit(struct pacer_seat *seat, struct pacer *pacer, bool is_urgent,
               void (*go)(struct pacer_seat *seat));
/* Accepts a zeroed seat. */
void pacer_leave(struct pacer_seat *seat);
/* How many of `size` bytes may be written now. 0: go() follows, once, when it is its turn. */
size_t pacer_may(struct pacer_seat *seat, size_t size);
/* So many were. */
void pacer_took(struct pacer_seat *seat, size_t size);
/* By the network's own count its stream has sent `wire` bytes since it sat down: what is beyond
 * seat->bytes (acknowledgements, repeats, TLS) is made up for by what is sent next. */
void pacer_counted(struct pacer_seat *seat, uint64_t wire);
/* Bytes that have been let through, headers included. */
uint64_t pacer_bytes(const struct pacer *pacer);

#endif
