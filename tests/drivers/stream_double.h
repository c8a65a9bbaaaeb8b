/* A double of ports/stream.h and ports/loop.h in memory, for fuzzing: no sockets and no clock. The
 * test is whoever is at the other end of each stream: it says what arrives, how much is taken, and
 * when time passes. Link it before the real ones. */
#ifndef WEIR_TESTS_DRIVERS_STREAM_DOUBLE_H
#define WEIR_TESTS_DRIVERS_STREAM_DOUBLE_H

#include "ports/stream.h"
#include "ports/timers.h"

/* What the test sees of every stream, within the calls of its user. */
struct stream_watcher {
    void (*has_read)(void *context, struct stream *stream, struct slice bytes);
    void (*has_written)(void *context, struct stream *stream, struct slice bytes);
    void (*has_closed)(void *context, struct stream *stream);
};

struct loop {
    struct timers timers; /* first: see ports/timers.h */
    const struct stream_watcher *watcher;
    void *context;
    struct stream *dialed; /* by stream_connect(), and neither open nor closed yet */
    void (*accepted)(void *context, struct stream *stream);
    void *accepted_context;
};

/* A connection to the listener. NULL: the user did not take it, or there is no memory. */
struct stream *double_accept(struct loop *loop);
/* Of what was dialed: it is open, or can't be. */
void double_open(struct loop *loop);
void double_refuse(struct loop *loop);
/* Bytes arrive; on_readable follows with double_turn(). */
void double_arrive(struct stream *stream, struct slice bytes);
/* The user reads what has arrived, then the end. */
void double_end(struct stream *stream);
/* What has arrived and is not read is lost. */
void double_reset(struct stream *stream);
/* From now on the stream takes so many bytes more. */
void double_make_room(struct stream *stream, size_t size);
size_t double_unread(const struct stream *stream);
/* One callback that is due. False: none is. The stream may be gone afterwards. */
bool double_turn(struct stream *stream) MUST_USE;
void double_pass(struct loop *loop, uint64_t ms);

#endif
