#include "agent/control.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control_impl.h"

void peer_close(struct peer *c)
{
    struct control *control = c->control;
    if (control->agent) {
        status_look_forget(agent_look(control->agent), &c->look);
    }
    stream_close(c->stream);
    c->stream = NULL;
    if (c->working || c->commit) {
        c->gone = true;
        return;
    }
    for (size_t i = 0; i < CONTROL_PEER_MAX; i++) {
        if (control->peers[i] == c) {
            control->peers[i] = NULL;
        }
    }
    if (c->owns_answer) {
        free(c->answer.data);
    }
    tool_close(c->tool);
    import_session_close(c->import);
    replay_session_close(c->replay);
    free(c);
}

/* --- answering --- */

/* The whole answer has left. */
static void peer_sent(struct peer *c)
{
    if (c->is_last) {
        stream_finish(c->stream);
    } else if (c->import) {
        peer_import_sent(c);
    } else if (c->tool) {
        peer_tool_sent(c);
    }
}

void peer_send(struct peer *c)
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
    c->answer.size = 0;
    c->sent = 0;
    peer_sent(c);
}

bool peer_answer_begin(struct peer *c, size_t size)
{
    void *memory = malloc(size);
    if (!memory) {
        peer_close(c);
        return false;
    }
    if (c->owns_answer) {
        free(c->answer.data);
    }
    c->answer = out_over(memory, size);
    c->owns_answer = true;
    c->sent = 0;
    return true;
}

void peer_refuse(struct peer *c, enum err e, const struct why *why)
{
    if (peer_answer_begin(c, WHY_SIZE_MAX + 2 * FRAME_HEAD_SIZE)) {
        frame_put_error(&c->answer, e, why);
        c->is_last = true;
        peer_send(c);
    }
}

void peer_answer_progress(struct peer *c, uint64_t done, bool is_last)
{
    if (!peer_answer_begin(c, 64)) {
        return;
    }
    size_t at = frame_begin(&c->answer, FRAME_PROGRESS);
    out_put_uvarint(&c->answer, done);
    out_put_uvarint(&c->answer, 0);
    frame_end(&c->answer, at);
    if (is_last) {
        frame_end(&c->answer, frame_begin(&c->answer, FRAME_END));
    }
    c->is_last = is_last;
    peer_send(c);
}

static void peer_status(struct peer *c)
{
    bool is_status = strcmp(c->request, "status") == 0;
    struct out *o = &c->answer;
    if (!peer_answer_begin(c, CONTROL_ANSWER_SIZE_MAX)) {
        return;
    }
    if (!c->control->agent && !c->control->setup.config) {
        out_put_text(o, "{\"error\":\"the configuration is being reloaded: ask again\"}\n");
    } else if (!c->control->agent) {
        agent_status_waiting(c->control->setup.config, &c->control->waits, o);
        out_put_byte(o, '\n');
    } else if (is_status) {
        agent_status(c->control->agent, o);
        out_put_byte(o, '\n');
    } else if (strcmp(c->request, "streams") == 0) {
        out_put_text(o, "{\"streams\":");
        agent_streams(c->control->agent, o);
        out_put_text(o, "}\n");
    } else {
        out_put_text(
            o, "{\"error\":\"not understood: status, streams, reload, or a tool's request\"}\n");
    }
    if (o->overflow) {
        *o = out_over(o->data, o->size_max);
        out_put_text(o, "{\"error\":\"the answer is too large\"}\n");
    }
    c->is_last = true;
    peer_send(c);
}

/* The store has said how old its backlog is, or does not. */
static void peer_looked(struct look_waiter *waiter)
{
    peer_status(CONTAINER_OF(waiter, struct peer, look));
}

static void reload_answered(void *context, struct slice json)
{
    struct peer *c = context;
    c->working = false;
    if (c->gone) {
        peer_close(c);
    } else if (peer_answer_begin(c, json.size + 1)) {
        out_put_slice(&c->answer, json);
        out_put_byte(&c->answer, '\n');
        c->is_last = true;
        peer_send(c);
    }
}

static void peer_reload(struct peer *c)
{
    const struct agent *agent = c->control->agent;
    const struct agent_setup *setup = agent ? agent_setup_of(agent) : &c->control->setup;
    c->working = true;
    if (!peer_is_trusted(c)) {
        reload_answered(c, SLICE("{\"error\":\"reload is for root and for the user that the agent "
                                 "runs as: try sudo\"}"));
    } else if (!setup->reload) {
        reload_answered(c, SLICE("{\"error\":\"this agent has no file to reload\"}"));
    } else {
        setup->reload(setup->reload_context, reload_answered, c);
    }
}

static void peer_request(struct peer *c)
{
    c->has_request = true;
    if (strcmp(c->request, "reload") == 0 && (c->control->agent || c->control->setup.config)) {
        peer_reload(c);
    } else if (c->request[0] == '{' && c->control->agent) {
        peer_tool(c, c->request);
    } else if (strcmp(c->request, "status") == 0 && c->control->agent) {
        c->look.done = peer_looked;
        status_look_ask(agent_look(c->control->agent), &c->look);
    } else {
        peer_status(c);
    }
}

/* --- the connection --- */

static void on_open(void *context)
{
    (void)context;
}

/* False: nothing more now, or the request is there. */
static bool read_request(struct peer *c)
{
    size_t got = 0;
    if (stream_read(c->stream, (uint8_t *)c->request + c->request_size,
                    sizeof c->request - 1 - c->request_size, &got)) {
        return false; /* on_closed follows, or more */
    }
    c->request_size += got;
    c->request[c->request_size] = 0;
    char *end = strchr(c->request, '\n');
    bool is_full = c->request_size == sizeof c->request - 1;
    if (end || is_full) {
        *(end ? end : c->request) = 0;
        peer_request(c);
        return false;
    }
    return true;
}

static void on_readable(void *context)
{
    struct peer *c = context;
    uint8_t sink[64];
    size_t got = 0;
    if (!c->has_request) {
        while (read_request(c)) {
        }
    } else if (c->import) {
        peer_import_read(c);
    } else {
        while (stream_read(c->stream, sink, sizeof sink, &got) == ERR_OK) {
        }
    }
}

static void on_writable(void *context)
{
    struct peer *c = context;
    if (c->answer.size > 0) {
        peer_send(c);
    }
}

static void on_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    peer_close(context);
}

static const struct stream_handler handler = {on_open, on_readable, on_writable, on_closed};

static void accepted(void *context, struct stream *stream)
{
    struct control *control = context;
    size_t slot = 0;
    while (slot < CONTROL_PEER_MAX && control->peers[slot]) {
        slot++;
    }
    struct peer *c = slot < CONTROL_PEER_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        stream_close(stream);
        return;
    }
    c->control = control;
    c->stream = stream;
    control->peers[slot] = c;
    stream_take(stream, &handler, c);
}

static void committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct control *control = context;
    (void)changes;
    for (size_t i = 0; i < CONTROL_PEER_MAX; i++) {
        struct peer *c = control->peers[i];
        if (c && c->commit && c->commit <= commit) {
            c->commit = 0;
            if (c->gone) {
                peer_close(c);
                continue;
            }
        }
        if (c && c->import) {
            peer_import_committed(c, commit);
        } else if (c && c->replay) {
            peer_replay_committed(c);
        } else if (c && c->tool && !c->commit) {
            peer_tool_committed(c);
        }
    }
}

void control_resume(struct control *control)
{
    for (size_t i = 0; control && i < CONTROL_PEER_MAX; i++) {
        if (control->peers[i] && control->peers[i]->replay) {
            peer_replay_committed(control->peers[i]);
        }
    }
}

static enum err listen_at(struct control **ret, struct loop *loop, const char *path,
                          const char *ending, struct why *why)
{
    struct control *control = calloc(1, sizeof *control);
    if (!control) {
        return ERR_NOMEM;
    }
    control->loop = loop;
    char host[300];
    (void)snprintf(host, sizeof host, "unix:%s%s", path, ending); /* checked by listener_open */
    (void)snprintf(control->path, sizeof control->path, "%s", path);
    struct listener_options options = {.host = host, .connection_max = CONTROL_PEER_MAX};
    enum err e = listener_open(&control->listener, loop, &options, accepted, control, why);
    if (e) {
        why_add(why, "control socket %s%s", path, ending);
        free(control);
        return e;
    }
    *ret = control;
    return ERR_OK;
}

enum err control_listen(struct control **ret, struct loop *loop, const char *path, struct why *why)
{
    return listen_at(ret, loop, path, "", why);
}

/* Those that wait for the answer to a reload. */
static void move_peers(struct control *control, struct control *before)
{
    for (size_t i = 0; i < CONTROL_PEER_MAX; i++) {
        if (before->peers[i] && control->peers[i]) {
            peer_close(control->peers[i]); /* it has asked for nothing yet */
        }
        if (before->peers[i]) {
            control->peers[i] = before->peers[i];
            control->peers[i]->control = control;
            before->peers[i] = NULL;
        }
    }
}

static bool is_at(const struct control *control, const char *path)
{
    return control && strcmp(control->path, path) == 0;
}

enum err control_open(struct control **ret, struct agent *agent, struct control *before,
                      struct control *next, struct why *why)
{
    const struct agent_setup *setup = agent_setup_of(agent);
    const char *path = setup->config->agent.socket;
    struct control *there = is_at(before, path) ? before : is_at(next, path) ? next : NULL;
    struct control *control = there;
    enum err e = there ? ERR_OK : listen_at(&control, setup->loop, path, "", why);
    if (!e) {
        struct store_handler on_commit = {.committed = committed, .context = control};
        e = store_handler_add(agent_store(agent), &on_commit);
    }
    if (e && !there) {
        control_close(control);
    }
    if (e) {
        return e;
    }
    if (before && control != before) {
        move_peers(control, before);
        control_close(before);
    }
    if (control != next) {
        control_close(next);
    }
    control->agent = agent;
    *ret = control;
    return ERR_OK;
}

void control_keep(struct control *control)
{
    for (size_t i = 0; i < CONTROL_PEER_MAX; i++) {
        struct peer *c = control->peers[i];
        if (c && !c->working) {
            c->commit = 0; /* nothing is committed any more */
            peer_close(c);
        }
    }
    control->agent = NULL;
}

enum err control_wait(struct control **control, const struct agent_setup *setup,
                      const struct why *waits, struct why *why)
{
    const char *path = setup->config->agent.socket;
    struct control *other = NULL;
    enum err e = ERR_OK;
    if (!is_at(*control, path)) {
        e = listen_at(&other, setup->loop, path, CONTROL_WAITING, why);
    }
    if (other && *control) {
        move_peers(other, *control);
        control_close(*control);
    }
    *control = other ? other : *control;
    if (*control) {
        (*control)->setup = *setup;
        (*control)->waits = *waits;
    }
    return e;
}

void control_close(struct control *control)
{
    if (!control) {
        return;
    }
    listener_close(control->listener);
    for (size_t i = 0; i < CONTROL_PEER_MAX; i++) {
        struct peer *c = control->peers[i];
        if (c) {
            c->working = false; /* whoever waits for a reload that nobody ends any more */
            c->commit = 0;      /* nothing is committed any more */
            peer_close(c);
        }
    }
    free(control);
}
