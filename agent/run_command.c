/* weir run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/command.h"
#include "agent/control.h"
#include "ports/log.h"
#include "ports/memory.h"
#include "ports/signals.h"

struct running {
    struct loop *loop;
    struct agent *agent;
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
    log_info("weir", "stopping: what was taken is being stored");
    agent_stop(running->agent, stopped, running);
}

static const char *config_path(int argc, char **argv)
{
    return argc > 0 ? argv[0] : CONFIG_PATH_DEFAULT;
}

static int run(struct config *config)
{
    struct running running = {0};
    struct signals *signals = NULL;
    struct why why = {""};
    enum err e = loop_open(&running.loop);
    e = e ? e : signals_open(&signals, running.loop, signal_caught, &running);
    if (!e) {
        struct agent_setup setup = {.loop = running.loop, .config = config};
        e = agent_open(&running.agent, &setup, &why);
    }
    if (e) {
        log_error("weir", "%s", why.text[0] ? why.text : err_name(e));
    } else {
        log_info("weir", "running, version %s", WEIR_VERSION);
        memory_running();
        e = loop_run(running.loop);
    }
    agent_close(running.agent);
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
