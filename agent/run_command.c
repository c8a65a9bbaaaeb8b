/* weir run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/carry.h"
#include "agent/command.h"
#include "agent/control.h"
#include "ports/log.h"
#include "ports/memory.h"
#include "ports/signals.h"

struct running {
    struct loop *loop;
    const struct config *config;
    struct agent *agent; /* NULL: its disk does not let it open yet */
    struct carry *carry; /* of the agent before */
    struct timer retry;
    struct why why; /* that was logged last */
    enum err failed;
    bool stopping;
};

static void stopped(void *context)
{
    loop_stop(((struct running *)context)->loop);
}

static void signal_caught(void *context, int number)
{
    struct running *running = context;
    if (number == SIGHUP) {
        log_warn("weir", "SIGHUP: a changed configuration is taken up by a restart");
        return;
    }
    if (running->stopping) {
        log_warn("weir", "stopped at once by a second signal");
        loop_stop(running->loop);
        return;
    }
    running->stopping = true;
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

/* A board that nobody visits waits for its disk: what a restart would not mend is no reason to
 * end. */
static enum err open_agent(struct running *running)
{
    struct why why = {""};
    bool waits = false;
    struct agent_setup setup = {.loop = running->loop,
                                .config = running->config,
                                .ret_may_wait = &waits,
                                .carry = running->carry};
    enum err e = agent_open(&running->agent, &setup, &why);
    if (e && strcmp(why.text, running->why.text) != 0) {
        log_error("weir", "%s%s", why.text[0] ? why.text : err_name(e),
                  waits ? "; tried again every 5 s, until then nothing is taken" : "");
        running->why = why;
    }
    if (!e) {
        log_info("weir", "running, version %s", WEIR_VERSION);
        memory_running();
        carry_close(running->carry);
        running->carry = NULL;
        running->why.text[0] = '\0';
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
        agent_close_for_another(running->agent, &running->carry);
        running->agent = NULL;
    }
    running->failed = open_agent(running);
    if (running->failed) {
        loop_stop(running->loop);
    }
}

static int run(const struct config *config)
{
    struct running running = {.config = config};
    struct signals *signals = NULL;
    enum err e = loop_open(&running.loop);
    e = e ? e : signals_open(&signals, running.loop, signal_caught, &running);
    if (e) {
        log_error("weir", "%s", err_name(e));
    } else {
        timer_init(&running.retry, running.loop, retry_fired);
        e = open_agent(&running);
        e = e ? e : loop_run(running.loop);
        e = e ? e : running.failed;
        timer_release(&running.retry);
    }
    agent_close(running.agent);
    carry_close(running.carry);
    signals_close(signals);
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
