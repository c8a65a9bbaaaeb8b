#include "agent/control.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store.h"
#include "ports/stream.h"

#define REQUEST_SIZE_MAX 512
#define CAT_MEMORY (256 * 1024)

struct connection {
    struct control *control;
    struct stream *stream;
    char request[REQUEST_SIZE_MAX];
    size_t request_size;
    struct out answer;
    size_t sent;
    bool answered;
    bool gone; /* the peer left while a job is under way */
    bool working;
    struct job job;
    char stream_name[STREAM_NAME_SIZE_MAX];
    uint64_t first;
    uint64_t count;
    uint64_t next; /* of set-aside events: the last id found */
};

struct control {
    struct loop *loop;
    struct agent *agent;
    struct listener *listener;
    struct connection *connections[CONTROL_CONNECTION_MAX];
};

static void connection_close(struct connection *c)
{
    struct control *control = c->control;
    stream_close(c->stream);
    c->stream = NULL;
    if (c->working) {
        c->gone = true;
        return;
    }
    for (size_t i = 0; i < CONTROL_CONNECTION_MAX; i++) {
        if (control->connections[i] == c) {
            control->connections[i] = NULL;
        }
    }
    free(c->answer.data);
    free(c);
}

/* --- answering --- */

static void connection_write(struct connection *c)
{
    while (c->sent < c->answer.size) {
        size_t taken = 0;
        struct slice rest = {c->answer.data + c->sent, c->answer.size - c->sent};
        if (stream_write(c->stream, rest, &taken)) {
            return; /* on_closed follows */
        }
        c->sent += taken;
        if (taken < rest.size) {
            return; /* on_writable follows */
        }
    }
    stream_finish(c->stream);
}

static void connection_answer(struct connection *c)
{
    if (c->answer.overflow) {
        c->answer.size = 0;
        c->answer.overflow = false;
        out_put_text(&c->answer, "{\"error\":\"the answer is too large\"}\n");
    }
    c->answered = true;
    connection_write(c);
}

/* --- reading events and set-aside ones: on the store worker --- */

/* The last line of these answers: where the next request goes on; 0: nowhere. */
static void put_next(struct out *answer, uint64_t next)
{
    out_put_format(answer, "{\"next\":%" PRIu64 "}\n", next);
}

static void cat_work(struct job *job)
{
    struct connection *c = CONTAINER_OF(job, struct connection, job);
    struct agent *agent = c->control->agent;
    struct buffer *buffer = store_buffer(agent_store(agent));
    struct why why = {""};
    struct rows rows = {
        .events = malloc(CONTROL_CAT_MAX * sizeof *rows.events),
        .event_max = (size_t)c->count,
        .arena = out_over(malloc(CAT_MEMORY + EVENT_SIZE_LIMIT), CAT_MEMORY + EVENT_SIZE_LIMIT)};
    uint16_t number = buffer_stream_number(buffer, c->stream_name);
    enum err e = rows.events && rows.arena.data ? ERR_OK : ERR_NOMEM;
    if (!e && number == 0) {
        why_set(&why, "there is no stream \"%s\"", c->stream_name);
        e = ERR_REJECTED;
    }
    e = e ? e
          : buffer_read(buffer, number, (struct range){c->first, UINT64_MAX / 4}, CAT_MEMORY, &rows,
                        &why);
    uint64_t next = !e && rows.event_count ? rows.events[rows.event_count - 1].sequence + 1 : 0;
    for (size_t i = 0; !e && i < rows.event_count; i++) {
        dump_event(&c->answer, c->stream_name, &rows.events[i],
                   agent_schema(agent, rows.events[i].schema), agent_identity(agent));
    }
    if (e) {
        out_put_text(&c->answer, "{\"error\":");
        out_put_json(&c->answer, slice_of_text(why.text[0] ? why.text : err_name(e)));
        out_put_text(&c->answer, "}\n");
    }
    put_next(&c->answer, next);
    free(rows.events);
    free(rows.arena.data);
}

static void aside_found(void *context, int64_t id, const struct aside *aside)
{
    struct connection *c = context;
    c->next = (uint64_t)id;
    dump_aside(&c->answer, id, aside,
               buffer_stream_name(store_buffer(agent_store(c->control->agent)), aside->stream));
}

static void aside_work(struct job *job)
{
    struct connection *c = CONTAINER_OF(job, struct connection, job);
    struct why why = {""};
    if (buffer_aside_each(store_buffer(agent_store(c->control->agent)), (int64_t)c->first,
                          (size_t)c->count, aside_found, c, &why)) {
        out_put_text(&c->answer, "{\"error\":");
        out_put_json(&c->answer, slice_of_text(why.text));
        out_put_text(&c->answer, "}\n");
    }
    put_next(&c->answer, c->next);
}

static void job_done(struct job *job)
{
    struct connection *c = CONTAINER_OF(job, struct connection, job);
    c->working = false;
    if (c->gone) {
        connection_close(c);
        return;
    }
    connection_answer(c);
}

static void connection_work(struct connection *c, void (*work)(struct job *))
{
    c->job = (struct job){.work = work, .done = job_done};
    c->working = worker_put(store_worker(agent_store(c->control->agent)), &c->job) == ERR_OK;
    if (!c->working) {
        out_put_text(&c->answer, "{\"error\":\"the buffer is busy, try again\"}\n");
        connection_answer(c);
    }
}

static void connection_request(struct connection *c)
{
    if (strcmp(c->request, "status") == 0) {
        agent_status(c->control->agent, &c->answer);
        out_put_byte(&c->answer, '\n');
        connection_answer(c);
    } else if (strcmp(c->request, "streams") == 0) {
        out_put_text(&c->answer, "{\"streams\":");
        agent_streams(c->control->agent, &c->answer);
        out_put_text(&c->answer, "}\n");
        connection_answer(c);
    } else if (sscanf(c->request, "cat %63s %" SCNu64 " %" SCNu64, c->stream_name, &c->first,
                      &c->count) == 3 &&
               c->first > 0 && c->count > 0 && c->count <= CONTROL_CAT_MAX) {
        connection_work(c, cat_work);
    } else if (sscanf(c->request, "aside %" SCNu64 " %" SCNu64, &c->first, &c->count) == 2 &&
               c->count > 0 && c->count <= CONTROL_CAT_MAX) {
        connection_work(c, aside_work);
    } else {
        out_put_text(&c->answer, "{\"error\":\"not understood: status, streams, cat STREAM FIRST "
                                 "COUNT, aside AFTER COUNT\"}\n");
        connection_answer(c);
    }
}

/* --- the connection --- */

static void on_open(void *context)
{
    (void)context;
}

static void on_readable(void *context)
{
    struct connection *c = context;
    for (;;) {
        size_t got = 0;
        uint8_t sink[64];
        bool full = c->request_size == sizeof c->request - 1;
        enum err e = c->answered || c->working || full
                         ? stream_read(c->stream, sink, sizeof sink, &got)
                         : stream_read(c->stream, (uint8_t *)c->request + c->request_size,
                                       sizeof c->request - 1 - c->request_size, &got);
        if (e) {
            return; /* nothing more now, or on_closed follows */
        }
        if (c->answered || c->working) {
            continue;
        }
        c->request_size += full ? 0 : got;
        c->request[c->request_size] = 0;
        char *end = strchr(c->request, '\n');
        if (end || full) {
            *(end ? end : c->request) = 0;
            connection_request(c);
            return;
        }
    }
}

static void on_writable(void *context)
{
    struct connection *c = context;
    if (c->answered) {
        connection_write(c);
    }
}

static void on_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    connection_close(context);
}

static const struct stream_handler handler = {on_open, on_readable, on_writable, on_closed};

static void accepted(void *context, struct stream *stream)
{
    struct control *control = context;
    size_t slot = 0;
    while (slot < CONTROL_CONNECTION_MAX && control->connections[slot]) {
        slot++;
    }
    struct connection *c = slot < CONTROL_CONNECTION_MAX ? calloc(1, sizeof *c) : NULL;
    if (c) {
        c->answer = out_over(malloc(CONTROL_ANSWER_SIZE_MAX), CONTROL_ANSWER_SIZE_MAX);
    }
    if (!c || !c->answer.data) {
        free(c);
        stream_close(stream);
        return;
    }
    c->control = control;
    c->stream = stream;
    control->connections[slot] = c;
    stream_take(stream, &handler, c);
}

enum err control_open(struct control **ret, struct loop *loop, struct agent *agent,
                      const char *path, struct why *why)
{
    struct control *control = calloc(1, sizeof *control);
    if (!control) {
        return ERR_NOMEM;
    }
    control->loop = loop;
    control->agent = agent;
    char host[300];
    (void)snprintf(host, sizeof host, "unix:%s", path); /* checked by listener_open */
    struct listener_options options = {.host = host, .connection_max = CONTROL_CONNECTION_MAX};
    enum err e = listener_open(&control->listener, loop, &options, accepted, control, why);
    if (e) {
        why_add(why, "control socket %s", path);
        free(control);
        return e;
    }
    *ret = control;
    return ERR_OK;
}

void control_close(struct control *control)
{
    if (!control) {
        return;
    }
    listener_close(control->listener);
    for (size_t i = 0; i < CONTROL_CONNECTION_MAX; i++) {
        if (control->connections[i]) {
            assert(!control->connections[i]->working);
            connection_close(control->connections[i]);
        }
    }
    free(control);
}
