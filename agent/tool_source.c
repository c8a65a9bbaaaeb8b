#include "agent/tool_source.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/import.h"
#include "agent/keys.h"
#include "ports/clock.h"
#include "ports/file.h"

#define ANSWER_SECONDS 60 /* an agent whose disk is slow does not answer at once */
#define RECEIVE_SIZE (128 * 1024)

struct tool_source {
    struct source_setup setup;
    int fd; /* to the agent; -1: none */
    uint8_t *bytes;
    size_t size; /* of these that hold something */
    size_t room;
    struct buffer *buffer; /* the stopped agent's */
    struct tool *tool;     /* the last one */
    struct import_batch *batch;
    struct tool_request request;
};

bool tool_source_is_running(const struct tool_source *source)
{
    return source->buffer == NULL;
}

struct buffer *tool_source_buffer(struct tool_source *source)
{
    return source->buffer;
}

static enum err open_file(struct tool_source *s, struct why *why)
{
    const char *path = s->setup.buffer_path;
    if (access(path, F_OK)) {
        why_set(why, "there is no buffer at %s: --buffer PATH names another", path);
        return ERR_CONFIG;
    }
    struct buffer_setup *setup = calloc(1, sizeof *setup);
    if (!setup) {
        return ERR_NOMEM;
    }
    struct keys of_files = {.has_key = false};
    const struct keys *keys = s->setup.keys ? s->setup.keys : &of_files;
    setup->path = path;
    setup->read_only = !s->setup.writes;
    setup->as_it_is = true;
    setup->machine = s->setup.machine;
    enum err e = keys_of_files(&of_files, s->setup.key_path, s->setup.old_key_path, why);
    keys_lend(keys, setup);
    e = e ? e : buffer_open(&s->buffer, setup, why);
    keys_wipe(&of_files);
    free(setup);
    return e;
}

enum err tool_source_open(struct tool_source **ret, const struct source_setup *setup,
                          struct why *why)
{
    struct tool_source *s = calloc(1, sizeof *s);
    if (!s) {
        return ERR_NOMEM;
    }
    s->setup = *setup;
    s->fd = -1;
    enum err e = command_connect(setup->socket_path, &s->fd, why);
    if (!e && setup->needs_file) {
        why_set(why, "an agent has this buffer (it answers at %s): stop it first",
                setup->socket_path);
        e = ERR_REJECTED;
    } else if (e == ERR_CLOSED) {
        e = open_file(s, why);
    }
    if (e) {
        tool_source_close(s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}

void tool_source_close(struct tool_source *source)
{
    if (source) {
        tool_close(source->tool);
        buffer_close(source->buffer);
        if (source->fd >= 0) {
            close(source->fd);
        }
        free(source->bytes);
        free(source->batch);
        free(source);
    }
}

/* --- through the agent --- */

static enum err gone(struct tool_source *s, struct why *why)
{
    bool is_late = errno == EAGAIN;
    why_set(why,
            is_late ? "the agent at %s has not answered for a minute: its disk may be full or slow"
                    : "the agent at %s has ended, or is of another version",
            s->setup.socket_path);
    return is_late ? ERR_TIMEOUT : ERR_IO;
}

static enum err receive(struct tool_source *s, size_t missing, struct why *why)
{
    size_t wanted = s->size + missing;
    if (wanted > s->room) {
        size_t room = wanted < RECEIVE_SIZE ? RECEIVE_SIZE : 2 * wanted;
        uint8_t *grown = realloc(s->bytes, room);
        if (!grown) {
            return ERR_NOMEM;
        }
        s->bytes = grown;
        s->room = room;
    }
    errno = 0;
    ssize_t got = recv(s->fd, s->bytes + s->size, s->room - s->size, 0);
    if (got <= 0) {
        return gone(s, why);
    }
    s->size += (size_t)got;
    return ERR_OK;
}

static enum err send_all(struct tool_source *s, struct slice bytes, struct why *why)
{
    while (bytes.size > 0) {
        errno = 0;
        ssize_t sent = send(s->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return gone(s, why);
        }
        bytes.data += sent;
        bytes.size -= (size_t)sent;
    }
    return ERR_OK;
}

/* The end, or an error. */
static enum err last_frame(enum frame_kind kind, struct slice payload, struct why *why)
{
    uint8_t e = 0;
    if (kind == FRAME_END) {
        return ERR_CLOSED;
    }
    if (kind != FRAME_ERROR) {
        return ERR_OK;
    }
    if (!slice_take_u8(&payload, &e) || e == ERR_OK || e >= ERR_COUNT) {
        e = ERR_CORRUPT;
    }
    why_set(why, "%.*s", (int)(payload.size < WHY_SIZE_MAX ? payload.size : WHY_SIZE_MAX),
            (const char *)payload.data);
    return e == ERR_CLOSED ? ERR_IO : (enum err)e;
}

/* The frames that are there whole. ERR_CLOSED: the last was one of them. */
static enum err deliver(struct slice *bytes, size_t *ret_missing,
                        enum err (*frame)(void *, enum frame_kind, struct slice, struct why *),
                        void *context, struct why *why)
{
    for (;;) {
        enum frame_kind kind = FRAME_END;
        struct slice payload;
        enum err e = frame_take(bytes, &kind, &payload, ret_missing);
        if (e == ERR_AGAIN) {
            return ERR_OK;
        }
        if (e) {
            why_set(why, "an answer that can't be read: are agent and command of one version?");
            return ERR_IO;
        }
        e = last_frame(kind, payload, why);
        e = e ? e : frame(context, kind, payload, why);
        if (e) {
            return e;
        }
    }
}

static enum err run_online(struct tool_source *s, const struct tool_request *request,
                           enum err (*frame)(void *, enum frame_kind, struct slice, struct why *),
                           void *context, struct why *why)
{
    uint8_t line[TOOL_LINE_MAX];
    struct out o = out_over(line, sizeof line);
    struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
                     sizeof patience); /* only patience */
    tool_request_put(request, &o);
    out_put_byte(&o, '\n');
    assert(!o.overflow); /* names are bounded */
    enum err e = send_all(s, out_slice(&o), why);
    while (!e) {
        size_t missing = FRAME_HEAD_SIZE;
        struct slice bytes = {s->bytes, s->size};
        e = deliver(&bytes, &missing, frame, context, why);
        if (bytes.size > 0 && bytes.size < s->size) {
            memmove(s->bytes, bytes.data, bytes.size);
        }
        s->size = bytes.size;
        e = e ? e : receive(s, missing, why);
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* --- on the file --- */

static void commit_orders(struct tool_source *s)
{
    size_t count;
    struct why why = {""};
    struct buffer_order *const *orders = tool_orders(s->tool, &count);
    struct buffer_write write = {.orders = orders, .order_count = count};
    enum err e = count > 0 ? buffer_commit(s->buffer, &write, NULL, &why) : ERR_OK;
    if (e) {
        tool_orders_failed(s->tool, e, &why);
    }
}

static enum err run_offline(struct tool_source *s, const struct tool_request *request,
                            enum err (*frame)(void *, enum frame_kind, struct slice, struct why *),
                            void *context, struct why *why)
{
    struct tool_setup setup = {.buffer = s->buffer};
    bool is_last = false;
    tool_close(s->tool);
    s->tool = NULL;
    enum err e = tool_open(&s->tool, &setup, request);
    while (!e && !is_last) {
        size_t missing;
        is_last = tool_step(s->tool) != ERR_OK;
        struct slice bytes = tool_out(s->tool);
        e = deliver(&bytes, &missing, frame, context, why);
        if (!e) {
            commit_orders(s);
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

enum err tool_source_run(struct tool_source *source, const struct tool_request *request,
                         enum err (*frame)(void *context, enum frame_kind kind,
                                           struct slice payload, struct why *why),
                         void *context, struct why *why)
{
    source->request = *request;
    return source->buffer ? run_offline(source, request, frame, context, why)
                          : run_online(source, request, frame, context, why);
}

/* --- bringing events --- */

static enum err take_answer(void *context, enum frame_kind kind, struct slice payload,
                            struct why *why)
{
    bool *answered = context;
    (void)payload;
    (void)why;
    *answered = kind == FRAME_PROGRESS;
    return ERR_OK;
}

static enum err import_online(struct tool_source *s, struct slice batch, struct why *why)
{
    uint8_t head[4];
    struct out o = out_over(head, sizeof head);
    bool answered = false;
    out_put_u32_le(&o, (uint32_t)batch.size);
    enum err e = send_all(s, out_slice(&o), why);
    e = e ? e : send_all(s, batch, why);
    s->size = 0;
    while (!e && !answered) {
        size_t missing = FRAME_HEAD_SIZE;
        e = receive(s, missing, why);
        struct slice bytes = {s->bytes, s->size};
        e = e ? e : deliver(&bytes, &missing, take_answer, &answered, why);
    }
    return e == ERR_CLOSED && answered ? ERR_OK : e;
}

static enum err import_offline(struct tool_source *s, struct slice bytes, struct why *why)
{
    struct import_place place;
    struct buffer_changes state;
    uint8_t memory[IMPORT_VALUE_SIZE];
    uint32_t key;
    uint16_t driver;
    uint16_t stream = buffer_stream_number(s->buffer, s->request.stream);
    s->batch = s->batch ? s->batch : calloc(1, sizeof *s->batch);
    enum err e = s->batch ? import_batch_take(bytes, s->batch, why) : ERR_NOMEM;
    if (e || !tool_import_place(s->tool, &place, &key, &driver)) {
        return e ? e : ERR_REJECTED;
    }
    buffer_state(s->buffer, &state);
    if (state.room[stream] < s->batch->size) {
        why_set(why, "the buffer has no room: nothing of it gives way to an import");
        return ERR_NOSPACE;
    }
    for (size_t i = 0; i < s->batch->event_count; i++) {
        s->batch->events[i].stream = stream;
        s->batch->events[i].sequence = state.streams[stream].sequence_next + i;
    }
    place.position += s->batch->event_count;
    place.is_done = s->batch->is_last;
    place.time_us = clock_wall_us();
    struct cursor_change cursor = import_cursor(&place, driver, key, memory);
    struct buffer_write write = {.events = s->batch->events,
                                 .event_count = s->batch->event_count,
                                 .cursors = &cursor,
                                 .cursor_count = 1};
    e = buffer_commit(s->buffer, &write, NULL, why);
    if (!e) {
        tool_import_moved(s->tool, &place);
    }
    return e;
}

enum err tool_source_import(struct tool_source *source, struct slice batch, struct why *why)
{
    return source->buffer ? import_offline(source, batch, why) : import_online(source, batch, why);
}
