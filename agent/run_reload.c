/* weir run: another configuration, by a signal or by `weir reload`. */
#include <stdlib.h>
#include <string.h>

#include "agent/carry.h"
#include "agent/command.h"
#include "agent/run_impl.h"
#include "agent/store.h"
#include "ports/log.h"

/* --- the end --- */

static void reload_end(struct running *running, struct slice json)
{
    void (*answer)(void *peer, struct slice json) = running->answer;
    config_close(running->newer);
    running->newer = NULL;
    running->answer = NULL;
    reload_before_close(running->before);
    running->before = NULL;
    if (running->agent && !running->stopping) {
        notify_ready(running->notify, "running");
    }
    if (answer) {
        answer(running->answer_peer, json);
    }
    if (running->agent) {
        run_waiting_close(running);
    } else if (running->keep) {
        agent_keep_wait(running->keep);
    }
    if (running->reload_again) {
        timer_arm(&running->reload, 0);
    }
}

/* The end, with an error that is told; `short_text` where there is no room for it. */
static void reload_end_error(struct running *running, const struct why *why,
                             struct slice short_text)
{
    char memory[2 * WHY_SIZE_MAX + 64];
    struct out json = out_over(memory, sizeof memory);
    out_put_text(&json, "{\"error\":");
    out_put_json(&json, slice_of_text(why->text));
    out_put_byte(&json, '}');
    reload_end(running, json.overflow ? short_text : out_slice(&json));
}

static void reload_failed(struct running *running, const struct why *why)
{
    log_error("weir", "%s", why->text);
    reload_end_error(running, why, SLICE("{\"error\":\"not reloaded: weir status\"}"));
}

/* `newer` is in force. */
static void adopt(struct running *running)
{
    config_close(running->config); /* parts that go on with it hold it */
    running->config = running->newer;
    running->newer = NULL;
    running->is_as_before = false;
    command_log_level(running->config);
    if (running->difference.status && !running->stopping) {
        status_server_close(running->status);
        running->status = NULL;
        if (status_server_open(&running->status, running->loop, running->config)) {
            log_error("status", "no memory: reload again");
            running->config->status_digest++; /* it is another one then */
        }
        status_server_agent(running->status, running->agent);
        if (!running->agent) {
            status_server_waits(running->status, &running->why);
        }
    }
}

/* --- in place --- */

static void reload_ended(void *context, struct slice json)
{
    struct running *running = context;
    enum err e = config_take_streams(agent_setup_of(running->agent)->config, running->newer);
    if (e) {
        log_error("weir", "reloaded, but for options of streams: %s: reload again", err_name(e));
    }
    adopt(running);
    reload_end(running, json);
}

static void reload_given_up(void *context, const struct why *why)
{
    reload_failed(context, why);
}

/* --- the agent anew, around its drivers --- */

struct agent_setup run_agent_setup(struct running *running, bool *ret_may_wait)
{
    return (struct agent_setup){.loop = running->loop,
                                .config = running->config,
                                .keep = running->keep,
                                .is_as_before =
                                    running->is_as_before && running->config != running->newer,
                                .machine = &running->machine,
                                .ret_may_wait = ret_may_wait,
                                .ret_joined = &running->joined,
                                .room = &running->room,
                                .carry = running->carry,
                                .reload = run_reload,
                                .reload_context = running};
}

static void answer_waits(struct running *running)
{
    struct why why = running->why;
    why_add(&why,
            "the newer configuration is in force, but can't be opened yet, and is tried again");
    log_warn("weir", "%s", why.text);
    adopt(running);
    reload_end_error(running, &why, SLICE("{\"error\":\"reloaded, and it waits: weir status\"}"));
}

static void answer_renewed(struct running *running, const struct agent_reload_setup *setup)
{
    struct out json = out_over(malloc(RELOAD_ANSWER_SIZE), RELOAD_ANSWER_SIZE);
    json.size_max = json.data ? RELOAD_ANSWER_SIZE : 0;
    reload_before_answer(running->before, running->agent, setup, &json);
    struct config *older = running->config;
    config_hold(older);
    adopt(running);
    reload_end(running, json.overflow
                            ? SLICE("{\"error\":\"it was reloaded, but there is no room to "
                                    "say what came of it: weir status\"}")
                            : out_slice(&json));
    config_close(older);
    free(json.data);
}

/* It goes on as it was: the buffer is still as the older one left it. */
static void renew_failed(struct running *running, enum err e)
{
    struct why why;
    why_set(&why, "not reloaded, it goes on as it was: %s",
            running->why.text[0] ? running->why.text : err_name(e));
    running->why.text[0] = '\0';
    running->goes_on = true;
    e = run_open_agent(running);
    if (e || !running->agent) {
        log_error("weir", "what was before can't be opened now, and is tried again");
    }
    reload_failed(running, &why);
}

/* Once the buffer has joined with the newer one, or waits for its disk, that one is in force: the
 * older one would begin uplinks anew that were taken out, and may not fit the buffer any more. */
static void renew(struct running *running)
{
    struct config *older = running->config;
    if (running->agent) {
        status_server_agent(running->status, NULL);
        carry_close(running->carry);
        running->carry = NULL;
        agent_close_for_newer(running->agent, running->newer, &running->carry, running->keep);
        running->agent = NULL;
        running->is_as_before = true;
    }
    running->goes_on = false;
    running->why.text[0] = '\0';
    running->config = running->newer;
    enum err e = run_open_agent(running);
    running->config = older;
    running->goes_on = !running->agent;
    if (running->agent) {
        struct agent_reload_setup setup = {
            .older = older, .newer = running->newer, .difference = running->difference};
        answer_renewed(running, &setup);
    } else if (!e) {
        answer_waits(running);
    } else {
        renew_failed(running, e);
    }
}

/* Nothing is closed yet. */
static void renew_refused(struct running *running, const char *what)
{
    struct why why;
    why_set(&why, "not reloaded, nothing is changed: %s", what);
    agent_keep_close(running->keep);
    running->keep = NULL;
    reload_failed(running, &why);
}

static void paused(void *context, const struct why *late)
{
    struct why why;
    if (late) {
        why_set(&why, "%s: reload again when that is over", late->text);
        renew_refused(context, why.text);
    } else {
        renew(context);
    }
}

void run_reload_stop(struct running *running)
{
    if (running->keep) { /* else agent_close() ends it */
        renew_refused(running, "the agent is stopping: its next start takes it up");
    }
}

static void renew_begin(struct running *running)
{
    struct why why = {""};
    struct store *store = agent_store(running->agent);
    if (store_trouble(store)[0]) {
        why_set(&why, "%s: reload again when that is over", store_trouble(store));
        renew_refused(running, why.text);
        return;
    }
    enum err e = reload_before_open(&running->before, running->agent);
    e = e ? e : agent_keep_open(&running->keep);
    e = e ? e : agent_keep_listen(running->keep, running->agent, running->newer, &why);
    if (e) {
        renew_refused(running, why.text[0] ? why.text : "no memory");
        return;
    }
    agent_pause(running->agent, running->newer, paused, running);
}

/* --- the beginning --- */

/* The mistakes, into the log and the answer. */
static void reload_refused(const struct config_report *report,
                           void (*answer)(void *peer, struct slice json), void *peer)
{
    size_t room = 2 * report->text.size + 256;
    struct out json = out_over(malloc(room), room);
    struct slice rest = out_slice(&report->text);
    const char *comma = "";
    json.size_max = json.data ? room : 0;
    out_put_text(&json, "{\"reloaded\":false,\"mistakes\":[");
    while (rest.size > 0) { /* lines, each with its end */
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        struct slice line = {rest.data, end ? (size_t)(end - rest.data) : rest.size};
        log_error("config", "%.*s", (int)line.size, (const char *)line.data);
        out_put_text(&json, comma);
        out_put_json(&json, line);
        comma = ",";
        rest.data += end ? line.size + 1 : line.size;
        rest.size -= end ? line.size + 1 : line.size;
    }
    log_error("weir", "not reloaded, nothing is changed: the configuration has mistakes");
    out_put_text(&json, "]}");
    if (answer) {
        answer(peer, json.overflow
                         ? SLICE("{\"error\":\"the configuration has mistakes: weir check\"}")
                         : out_slice(&json));
    }
    free(json.data);
}

/* Read, and right; may it be taken? */
static bool may_take(struct running *running, struct config_report *report)
{
    struct why why = {""};
    config_differ(running->config, running->newer, &running->difference);
    if (running->agent && agent_may_take(running->agent, running->newer, &why)) {
        config_report_add(report, running->newer, 0, "$", why.text);
    } else if (config_keep(running->config, running->newer)) {
        config_report_add(report, running->newer, 0, "$", "no memory");
    }
    if (report->error_count > 0) {
        config_close(running->newer);
        running->newer = NULL;
    }
    return running->newer;
}

static void reload_begin(struct running *running)
{
    const struct config_difference *d = &running->difference;
    struct agent_reload_setup setup = {.older = running->config,
                                       .newer = running->newer,
                                       .difference = *d,
                                       .done = reload_ended,
                                       .failed = reload_given_up,
                                       .context = running};
    notify_reloading(running->notify);
    log_info("weir", "%sreloading %s", running->answer ? "" : "SIGHUP: ", running->config->path);
    if (!running->agent) { /* this one instead */
        renew(running);
    } else if (d->core || d->uplinks) {
        renew_begin(running);
    } else if (agent_reload(running->agent, &setup)) {
        struct why why;
        why_set(&why, "not reloaded, nothing is changed: no memory");
        reload_failed(running, &why);
    }
}

void run_reload(void *context, void (*answer)(void *peer, struct slice json), void *peer)
{
    struct running *running = context;
    if (running->stopping) {
        if (answer) {
            answer(peer, SLICE("{\"error\":\"nothing is reloaded: the agent is stopping\"}"));
        }
        return;
    }
    if (running->newer) { /* one is under way */
        running->reload_again = running->reload_again || !answer;
        if (answer) {
            answer(peer, SLICE("{\"error\":\"another reload is under way: try again\"}"));
        }
        return;
    }
    struct config_report report = {.text = out_over(malloc(REPORT_SIZE_MAX), REPORT_SIZE_MAX)};
    report.text.size_max = report.text.data ? REPORT_SIZE_MAX : 0;
    running->newer = command_load(running->config->path, &report);
    running->answer = answer;
    running->answer_peer = peer;
    if (running->newer && may_take(running, &report)) {
        reload_begin(running);
    } else {
        running->answer = NULL;
        reload_refused(&report, answer, peer);
    }
    free(report.text.data);
}

void run_reload_fired(struct timer *timer)
{
    struct running *running = CONTAINER_OF(timer, struct running, reload);
    running->reload_again = false;
    if (!running->stopping) {
        run_reload(running, NULL, NULL);
    }
}
