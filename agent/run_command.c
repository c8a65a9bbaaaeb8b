/* weir run. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/carry.h"
#include "agent/command.h"
#include "agent/run_impl.h"
#include "ports/log.h"
#include "ports/memory.h"
#include "ports/signals.h"

static void stopped(void *context)
{
    struct running *running = context;
    uint64_t backlog = agent_backlog(running->agent);
    log_info("weir", "stopped; %" PRIu64 " events wait for their uplinks%s", backlog,
             backlog > 0 ? ": they are sent after the next start" : "");
    loop_stop(running->loop);
}

static void signal_caught(void *context, int number)
{
    struct running *running = context;
    if (number == SIGHUP) {
        if (!running->stopping) {
            run_reload(running, NULL, NULL);
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
    run_reload_stop(running);
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
static void tell_waiting(struct running *running, const struct agent_setup *setup, bool is_away,
                         const struct why *waits)
{
    const struct config *config = setup->config;
    if (is_away && !running->waiting && stands_beside(config->agent.socket, config->buffer.path)) {
        return;
    }
    struct why why = {""};
    enum err e = control_wait(&running->waiting, setup, waits, &why);
    if (e && !running->socket_said) {
        running->socket_said = true;
        log_warn("weir", "weir status does not see that it waits: %s", why.text);
    }
}

void run_waiting_close(struct running *running)
{
    control_close(running->waiting);
    running->waiting = NULL;
}

static void opened(struct running *running)
{
    log_info("weir", "running, version %s", WEIR_VERSION);
    notify_ready(running->notify, "running");
    memory_running();
    carry_close(running->carry);
    running->carry = NULL;
    agent_keep_close(running->keep); /* drivers that it has not */
    running->keep = NULL;
    running->goes_on = running->is_as_before = false;
    running->why.text[0] = '\0';
    status_server_agent(running->status, running->agent);
    if (!running->newer) { /* else somebody may wait there for the answer */
        run_waiting_close(running);
    }
}

/* A board that nobody visits waits for its disk: what a restart would not mend is no reason to
 * end. */
enum err run_open_agent(struct running *running)
{
    struct why why = {""};
    bool is_away = disk_is_away(running);
    bool waits = is_away;
    struct agent_setup setup = run_agent_setup(running, &waits);
    enum err e = ERR_IO;
    running->joined = false;
    if (is_away) {
        why_set(&why, "%s: its disk is not mounted; if the buffer shall begin anew, restart",
                running->config->buffer.path);
    } else {
        memory_opening();
        e = agent_open(&running->agent, &setup, &why);
        waits = waits || running->goes_on || (running->newer && running->joined);
    }
    if (e && strcmp(why.text, running->why.text) != 0) {
        log_error("weir", "%s%s", why.text[0] ? why.text : err_name(e),
                  waits ? "; tried again every 5 s, until then nothing is taken" : "");
        running->why = why;
    }
    if (!e) {
        opened(running);
    } else if (waits) { /* it is as ready as it can be: a restart would mend nothing */
        notify_ready(running->notify, why.text);
        status_server_waits(running->status, &why);
        tell_waiting(running, &setup, is_away, &why);
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
        status_server_agent(running->status, NULL); /* another one, of a reload that ended so */
    }
    running->failed = run_open_agent(running);
    if (running->failed) {
        loop_stop(running->loop);
    }
}

static int run(struct config *config)
{
    struct running running = {.config = config};
    struct signals *signals = NULL;
    identity_machine("", &running.machine);
    enum err e = loop_open(&running.loop);
    if (!e) {
        notify_open(&running.notify, running.loop);
        timer_init(&running.retry, running.loop, retry_fired);
        timer_init(&running.reload, running.loop, run_reload_fired);
        e = signals_open(&signals, running.loop, signal_caught, &running);
        e = e ? e : status_server_open(&running.status, running.loop, running.config);
    }
    if (e) {
        log_error("weir", "%s", err_name(e));
    } else {
        e = run_open_agent(&running);
        e = e ? e : loop_run(running.loop);
        e = e ? e : running.failed;
    }
    running.stopping = true;
    status_server_close(running.status);
    running.status = NULL;
    agent_close(running.agent); /* ends a reload */
    agent_keep_close(running.keep);
    reload_before_close(running.before);
    config_close(running.newer);
    config_close(running.config);
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
    return run(config);
}
