/* weir run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/carry.h"
#include "agent/command.h"
#include "agent/control.h"
#include "agent/reload.h"
#include "agent/status_server.h"
#include "ports/file.h"
#include "ports/log.h"
#include "ports/memory.h"
#include "ports/notify.h"
#include "ports/signals.h"

struct running {
    struct loop *loop;
    struct notify *notify;
    struct config *config;
    struct config *newer;                          /* while it is taken up; else NULL */
    void (*answer)(void *peer, struct slice json); /* for who asked for that; NULL: a signal */
    void *answer_peer;
    struct timer reload;
    bool reload_again;       /* a signal came meanwhile */
    struct agent *agent;     /* NULL: its disk does not let it open yet */
    struct carry *carry;     /* of the agent before */
    struct buffer_room room; /* that its buffer lacked */
    struct status_server *status;
    struct control *waiting; /* tells of a disk that is waited for; NULL: it is not, or can't be */
    struct timer retry;
    struct why why;         /* that was logged last */
    struct file_place disk; /* where the buffer, or its nearest folder, was at the first try */
    bool disk_is_known;
    bool buffer_was_there;
    struct file_place beneath; /* the nearest folder that could be read, above one that could not */
    bool beneath_is_known;
    enum err failed;
    bool stopping;
    bool socket_said;
};

static void stopped(void *context)
{
    loop_stop(((struct running *)context)->loop);
}

/* --- reloading --- */

static void reload_end(struct running *running, struct slice json)
{
    void (*answer)(void *peer, struct slice json) = running->answer;
    config_close(running->newer);
    running->newer = NULL;
    running->answer = NULL;
    notify_ready(running->notify, "running");
    if (answer) {
        answer(running->answer_peer, json);
    }
    if (running->reload_again) {
        timer_arm(&running->reload, 0);
    }
}

static void reload_ended(void *context, struct slice json)
{
    struct running *running = context;
    enum err e = config_take_streams(running->config, running->newer);
    if (e) {
        log_error("weir", "reloaded, but for options of streams: %s: reload again", err_name(e));
    }
    reload_end(running, json);
}

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

static void reload_newer(struct running *running)
{
    notify_reloading(running->notify);
    log_info("weir", "%sreloading %s", running->answer ? "" : "SIGHUP: ", running->config->path);
    if (agent_reload(running->agent, running->newer, reload_ended, running)) {
        log_error("weir", "not reloaded, nothing is changed: no memory");
        reload_end(running, SLICE("{\"error\":\"no memory\"}"));
    }
}

static void reload(void *context, void (*answer)(void *peer, struct slice json), void *peer)
{
    struct running *running = context;
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
    if (running->newer) {
        reload_newer(running);
    } else {
        running->answer = NULL;
        reload_refused(&report, answer, peer);
    }
    free(report.text.data);
}

static void reload_fired(struct timer *timer)
{
    struct running *running = CONTAINER_OF(timer, struct running, reload);
    running->reload_again = false;
    if (running->agent && !running->stopping) {
        reload(running, NULL, NULL);
    }
}

static void signal_caught(void *context, int number)
{
    struct running *running = context;
    if (number == SIGHUP) {
        if (!running->agent) {
            log_warn("weir", "SIGHUP: nothing is reloaded while the buffer is waited for");
        } else if (!running->stopping) {
            reload(running, NULL, NULL);
        }
        return;
    }
    if (running->stopping) {
        log_warn("weir", "stopped at once by a second signal");
        loop_stop(running->loop);
        return;
    }
    running->stopping = true;
    notify_stopping(running->notify);
    if (!running->agent) {
        loop_stop(running->loop);
        return;
    }
    log_info("weir", "stopping: what was taken is being stored");
    agent_stop(running->agent, stopped, running);
}

static const char *config_path(int argc, char **argv)
{
    return argc > 0 ? argv[0] : CONFIG_PATH_DEFAULT;
}

/* Where the path, or the nearest folder that is there, is; `ret_fails`: something nearer is there,
 * on a disk that can't be read. */
static bool nearest_place(const char *path, struct file_place *ret, bool *ret_fails)
{
    char nearest[4096];
    (void)snprintf(nearest, sizeof nearest, "%s", path); /* longer: opening says so */
    *ret_fails = false;
    for (;;) {
        enum err e = file_place_of(nearest[0] ? nearest : "/", ret);
        if (!e) {
            return true;
        }
        *ret_fails = *ret_fails || e == ERR_IO;
        char *slash = strrchr(nearest, '/');
        if (!slash) {
            return file_place_of(".", ret) == ERR_OK;
        }
        *slash = '\0';
    }
}

/* Between umount and mount the buffer's folder is an empty one of another disk: a buffer that was
 * begun there would be hidden afterwards, with what it took. */
static bool disk_is_away(struct running *running)
{
    const char *path = running->config->buffer.path;
    struct file_place place;
    if (file_place_of(path, &place) == ERR_OK) {
        running->disk = place;
        running->disk_is_known = running->buffer_was_there = true;
        return false;
    }
    bool fails;
    if (!nearest_place(path, &place, &fails)) {
        return false;
    }
    if (fails) {
        running->beneath = place;
        running->beneath_is_known = true;
        return false; /* opening says what fails */
    }
    if (running->beneath_is_known && place.device == running->beneath.device) {
        return true;
    }
    if (!running->disk_is_known) {
        running->disk = place;
        running->disk_is_known = true;
    }
    return running->buffer_was_there || place.device != running->disk.device;
}

/* Is the socket where the buffer is? Then it has no place while that disk is away. */
static bool stands_beside(const char *socket, const char *buffer)
{
    const char *end = strrchr(buffer, '/');
    size_t size = end ? (size_t)(end - buffer) + 1 : 0;
    return strncmp(socket, buffer, size) == 0 && !strchr(socket + size, '/');
}

/* To `weir status`. */
static void tell_waiting(struct running *running, bool is_away, const struct why *waits)
{
    const struct config *config = running->config;
    if (is_away && !running->waiting && stands_beside(config->agent.socket, config->buffer.path)) {
        return;
    }
    struct why why = {""};
    enum err e = control_wait(&running->waiting, running->loop, config, waits, &why);
    if (e && !running->socket_said) {
        running->socket_said = true;
        log_warn("weir", "weir status does not see that it waits: %s", why.text);
    }
}

/* A board that nobody visits waits for its disk: what a restart would not mend is no reason to
 * end. */
static enum err open_agent(struct running *running)
{
    struct why why = {""};
    bool is_away = disk_is_away(running);
    bool waits = is_away;
    struct agent_setup setup = {.loop = running->loop,
                                .config = running->config,
                                .ret_may_wait = &waits,
                                .room = &running->room,
                                .reload = reload,
                                .reload_context = running,
                                .carry = running->carry};
    enum err e = ERR_IO;
    if (is_away) {
        why_set(&why, "%s: its disk is not mounted; if the buffer shall begin anew, restart",
                running->config->buffer.path);
    } else {
        e = agent_open(&running->agent, &setup, &why);
    }
    if (e && strcmp(why.text, running->why.text) != 0) {
        log_error("weir", "%s%s", why.text[0] ? why.text : err_name(e),
                  waits ? "; tried again every 5 s, until then nothing is taken" : "");
        running->why = why;
    }
    if (!e) {
        log_info("weir", "running, version %s", WEIR_VERSION);
        notify_ready(running->notify, "running");
        memory_running();
        carry_close(running->carry);
        running->carry = NULL;
        running->why.text[0] = '\0';
        status_server_agent(running->status, running->agent);
    }
    if (e && waits) { /* it is as ready as it can be: a restart would mend nothing */
        notify_ready(running->notify, why.text);
        status_server_waits(running->status, &why);
        tell_waiting(running, is_away, &why);
    } else {
        control_close(running->waiting);
        running->waiting = NULL;
    }
    timer_arm(&running->retry, AGENT_RETRY_MS);
    return waits ? ERR_OK : e;
}

static void retry_fired(struct timer *timer)
{
    struct running *running = CONTAINER_OF(timer, struct running, retry);
    if (running->agent && (running->stopping || !agent_wants_another(running->agent))) {
        timer_arm(&running->retry, AGENT_RETRY_MS);
        return;
    }
    if (running->agent) {
        log_info("weir", "the disk of the buffer is another now: the agent is opened anew");
        carry_close(running->carry);
        status_server_agent(running->status, NULL);
        agent_close_for_another(running->agent, &running->carry);
        running->agent = NULL;
    }
    running->failed = open_agent(running);
    if (running->failed) {
        loop_stop(running->loop);
    }
}

static int run(struct config *config)
{
    struct running running = {.config = config};
    struct signals *signals = NULL;
    enum err e = loop_open(&running.loop);
    if (!e) {
        notify_open(&running.notify, running.loop);
        timer_init(&running.retry, running.loop, retry_fired);
        timer_init(&running.reload, running.loop, reload_fired);
        e = signals_open(&signals, running.loop, signal_caught, &running);
        e = e ? e : status_server_open(&running.status, running.loop, config);
    }
    if (e) {
        log_error("weir", "%s", err_name(e));
    } else {
        e = open_agent(&running);
        e = e ? e : loop_run(running.loop);
        e = e ? e : running.failed;
    }
    status_server_close(running.status);
    agent_close(running.agent); /* ends a reload */
    if (running.loop) {
        timer_release(&running.retry);
        timer_release(&running.reload);
    }
    control_close(running.waiting);
    carry_close(running.carry);
    signals_close(signals);
    notify_close(running.notify);
    loop_close(running.loop);
    return e ? (e == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED) : EXIT_FINE;
}

int run_command(int argc, char **argv)
{
    if (argc > 1 || (argc > 0 && argv[0][0] == '-')) {
        return command_misuse("run", "usage: weir run [CONFIG]");
    }
    int code;
    memory_opening();
    struct config *config = command_config(config_path(argc, argv), COMMAND_LOG_WARNINGS, &code);
    if (!config) {
        return code == EXIT_NEGATIVE ? EXIT_USAGE : code;
    }
    code = run(config);
    config_close(config);
    return code;
}
