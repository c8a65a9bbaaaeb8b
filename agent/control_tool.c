/* Tools behind the control socket: a step is a job on the store worker, between two commits; the
 * next one begins when the peer has taken what the last one gave. */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/control_impl.h"

/* --- rights --- */

bool peer_is_trusted(const struct peer *c)
{
    uint32_t user;
    return stream_peer_user(c->stream, &user) && (user == 0 || user == geteuid());
}

static bool may(const struct peer *c, const struct tool_request *request, struct why *why)
{
    if (!tool_is_trusted(request->kind) || peer_is_trusted(c)) {
        return true;
    }
    why_set(why, "%s is for root and for the user that the agent runs as: try sudo",
            tool_kind_name(request->kind));
    return false;
}

/* --- steps --- */

static void step_work(struct job *job)
{
    struct peer *c = CONTAINER_OF(job, struct peer, job);
    c->is_last = tool_step(c->tool) != ERR_OK;
}

static void step(struct peer *c);

/* What the tool has ordered is put; the step that tells what came of it follows the commit. */
static void put_orders(struct peer *c)
{
    size_t count;
    struct buffer_order *const *orders = tool_orders(c->tool, &count);
    struct store *store = agent_store(c->control->agent);
    uint64_t commit = 0;
    while (c->ordered < count && store_order_put(store, orders[c->ordered], &commit) == ERR_OK) {
        c->ordered++;
    }
    c->orders_wait = c->ordered < count;
    c->commit = commit ? commit : c->commit;
    if (count > 0 && c->ordered == count && !c->commit) {
        c->ordered = 0;
        step(c);
    }
}

static void step_done(struct job *job)
{
    struct peer *c = CONTAINER_OF(job, struct peer, job);
    c->working = false;
    if (c->gone) {
        peer_close(c);
        return;
    }
    if (c->replay) {
        peer_replay_stepped(c);
        return;
    }
    if (c->import && c->is_last) {
        import_session_begin(c);
    }
    struct slice out = tool_out(c->tool);
    c->answer = (struct out){
        .data = (uint8_t *)(uintptr_t)out.data, .size = out.size, .size_max = out.size};
    c->sent = 0;
    peer_send(c);
}

static void step(struct peer *c)
{
    struct worker *worker = store_worker(agent_store(c->control->agent));
    struct why why;
    c->job = (struct job){.work = step_work, .done = step_done};
    c->working = worker_put(worker, &c->job) == ERR_OK;
    if (!c->working) {
        why_set(&why, "the buffer is busy, try again");
        peer_refuse(c, ERR_FULL, &why);
    }
}

void peer_tool_sent(struct peer *c)
{
    size_t count;
    (void)tool_orders(c->tool, &count);
    if (count > 0) {
        put_orders(c);
    } else {
        step(c);
    }
}

/* The orders that were put are durable; those that found no room are put now. */
void peer_tool_committed(struct peer *c)
{
    size_t count;
    (void)tool_orders(c->tool, &count);
    if (!c->working && !c->gone && count > 0 && (c->orders_wait || c->ordered == count)) {
        put_orders(c);
    }
}

/* --- beginning --- */

/* ERR_FULL: another takes set-aside events. */
static enum err take_asides(struct peer *c, struct why *why)
{
    struct control *control = c->control;
    for (size_t i = 0; i < CONTROL_PEER_MAX; i++) {
        if (control->peers[i] && control->peers[i]->takes_asides) {
            why_set(why, "another replay or drop of set-aside events is under way: wait for it");
            return ERR_FULL;
        }
    }
    c->takes_asides = true;
    return ERR_OK;
}

void peer_tool(struct peer *c, const char *line)
{
    struct tool_request request;
    struct tool_setup setup = {.buffer = store_buffer(agent_store(c->control->agent)),
                               .is_running = true};
    struct why why = {""};
    enum err e = tool_request_take(slice_of_text(line), &request, &why);
    if (!e && !may(c, &request, &why)) {
        e = ERR_AUTH;
    }
    e = e ? e : tool_open(&c->tool, &setup, &request);
    if (!e &&
        (request.kind == TOOL_ASIDE_REPLAY || (request.kind == TOOL_ASIDE_DROP && !request.look))) {
        e = take_asides(c, &why);
    }
    if (!e && request.kind == TOOL_ASIDE_REPLAY) {
        e = replay_session_open(c);
    }
    if (!e && request.kind == TOOL_IMPORT) {
        e = import_session_open(c, &request);
        if (e == ERR_FULL) {
            why_set(&why, "another import is under way: wait for it");
        }
    }
    if (e) {
        peer_refuse(c, e, &why);
        return;
    }
    step(c);
}
