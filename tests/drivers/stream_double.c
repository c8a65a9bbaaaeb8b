#include "tests/drivers/stream_double.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct stream {
    struct loop *loop;
    struct stream_handler handler;
    void *context;
    uint8_t *data; /* arrived and not read */
    size_t size;
    size_t room; /* bytes that are taken now */
    bool is_open, has_told_open, is_ended, has_told_end;
    bool is_paused, wants_writable;
};

/* --- the loop --- */

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->timers.now_ms;
}

void double_pass(struct loop *loop, uint64_t ms)
{
    loop->timers.now_ms += ms;
    timers_fire(&loop->timers);
}

/* --- the test's end --- */

static struct stream *stream_new(struct loop *loop)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream) {
        stream->loop = loop;
    }
    return stream;
}

struct stream *double_accept(struct loop *loop)
{
    struct stream *stream = stream_new(loop);
    if (!stream) {
        return NULL;
    }
    stream->is_open = stream->has_told_open = true;
    loop->accepted(loop->accepted_context, stream);
    if (!stream->handler.on_readable) {
        free(stream);
        return NULL;
    }
    return stream;
}

void double_open(struct loop *loop)
{
    loop->dialed->is_open = true;
    loop->dialed = NULL;
}

void double_refuse(struct loop *loop)
{
    loop->dialed->is_ended = true;
    loop->dialed = NULL;
}

void double_arrive(struct stream *stream, struct slice bytes)
{
    uint8_t *data =
        bytes.size && !stream->is_ended ? realloc(stream->data, stream->size + bytes.size) : NULL;
    if (data) {
        memcpy(data + stream->size, bytes.data, bytes.size);
        stream->data = data;
        stream->size += bytes.size;
    }
}

void double_end(struct stream *stream)
{
    stream->is_ended = true;
}

void double_reset(struct stream *stream)
{
    stream->is_ended = true;
    stream->is_paused = false;
    stream->size = 0;
}

void double_make_room(struct stream *stream, size_t size)
{
    stream->room += size;
}

size_t double_unread(const struct stream *stream)
{
    return stream->size;
}

bool double_turn(struct stream *stream)
{
    if (stream->is_open && !stream->has_told_open) {
        stream->has_told_open = true;
        if (stream->handler.on_open) {
            stream->handler.on_open(stream->context);
        }
    } else if (stream->wants_writable && stream->room) {
        stream->wants_writable = false;
        stream->handler.on_writable(stream->context);
    } else if (stream->size && !stream->is_paused) {
        stream->handler.on_readable(stream->context);
    } else if (stream->is_ended && !stream->is_paused && !stream->has_told_end) {
        struct why why;
        why_set(&why, "the peer ended the connection");
        stream->has_told_end = true;
        stream->handler.on_closed(stream->context, ERR_CLOSED, &why);
    } else {
        return false;
    }
    return true;
}

/* --- ports/stream.h --- */

enum err stream_connect(struct stream **ret, struct loop *loop, struct names *names,
                        const struct stream_options *options, const struct stream_handler *handler,
                        void *context)
{
    (void)names;
    (void)options;
    assert(!loop->dialed && handler->on_readable && handler->on_closed);
    struct stream *stream = stream_new(loop);
    if (!stream) {
        return ERR_NOMEM;
    }
    stream->handler = *handler;
    stream->context = context;
    loop->dialed = stream;
    *ret = stream;
    return ERR_OK;
}

enum err stream_read(struct stream *stream, uint8_t *data, size_t size, size_t *ret_size)
{
    assert(size > 0);
    if (stream->size == 0) {
        return stream->is_ended ? ERR_CLOSED : ERR_AGAIN;
    }
    size_t taken = size < stream->size ? size : stream->size;
    memcpy(data, stream->data, taken);
    memmove(stream->data, stream->data + taken, stream->size - taken);
    stream->size -= taken;
    *ret_size = taken;
    stream->loop->watcher->has_read(stream->loop->context, stream, (struct slice){data, taken});
    return ERR_OK;
}

enum err stream_write(struct stream *stream, struct slice data, size_t *ret_size)
{
    *ret_size = 0;
    if (stream->has_told_end) {
        return ERR_CLOSED;
    }
    size_t taken = data.size < stream->room ? data.size : stream->room;
    stream->room -= taken;
    stream->wants_writable = taken < data.size;
    *ret_size = taken;
    if (taken) {
        stream->loop->watcher->has_written(stream->loop->context, stream,
                                           (struct slice){data.data, taken});
    }
    return ERR_OK;
}

void stream_read_pause(struct stream *stream)
{
    stream->is_paused = true;
}

void stream_read_resume(struct stream *stream)
{
    stream->is_paused = false;
}

void stream_close(struct stream *stream)
{
    if (!stream) {
        return;
    }
    if (stream->loop->dialed == stream) {
        stream->loop->dialed = NULL;
    }
    stream->loop->watcher->has_closed(stream->loop->context, stream);
    free(stream->data);
    free(stream);
}

void stream_wire_count(const struct stream *stream, struct wire_count *ret)
{
    (void)stream;
    *ret = (struct wire_count){0};
}

enum err listener_open(struct listener **ret, struct loop *loop,
                       const struct listener_options *options,
                       void (*accepted)(void *context, struct stream *stream), void *context,
                       struct why *why)
{
    (void)options;
    (void)why;
    loop->accepted = accepted;
    loop->accepted_context = context;
    *ret = (struct listener *)loop; /* there is only one */
    return ERR_OK;
}

uint16_t listener_port(const struct listener *listener)
{
    (void)listener;
    return 1;
}

void listener_counts(const struct listener *listener, struct listener_counts *ret)
{
    (void)listener;
    *ret = (struct listener_counts){0};
}

void listener_close(struct listener *listener)
{
    (void)listener;
}

void stream_take(struct stream *stream, const struct stream_handler *handler, void *context)
{
    stream->handler = *handler;
    stream->context = context;
}
