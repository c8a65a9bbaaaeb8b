/* weir run, weir check. */
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

#define REPORT_SIZE_MAX (256 * 1024)

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

/* Loads and checks completely. NULL: the report says why. */
static struct config *load(const char *path, struct config_report *report)
{
    struct config *config = NULL;
    if (config_load(&config, path, &known_parts, report) == ERR_OK) {
        agent_check(config, report);
    }
    if (report->error_count > 0) {
        config_close(config);
        return NULL;
    }
    return config;
}

static int run(struct config *config)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};
    struct running running = {0};
    struct signals *signals = NULL;
    struct why why = {""};
    log_level_set(levels[config->agent.log_level]);
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

/* Loads, and lists the mistakes on stderr (`check`: or says on stdout that there are none). NULL:
 * *ret_code is the exit code of `check`. */
static struct config *load_and_report(const char *path, bool is_check, int *ret_code)
{
    struct config_report report = {.text = out_over(malloc(REPORT_SIZE_MAX), REPORT_SIZE_MAX)};
    if (!report.text.data) {
        fprintf(stderr, "weir: no memory to load %s\n", path);
        *ret_code = EXIT_FAILED;
        return NULL;
    }
    struct config *config = load(path, &report);
    *ret_code = config && !is_check ? EXIT_FINE : config_print_report(path, &report);
    free(report.text.data);
    return config;
}

int run_command(int argc, char **argv)
{
    if (argc > 1 || (argc > 0 && argv[0][0] == '-')) {
        return command_misuse("run", "usage: weir run [CONFIG]");
    }
    int code;
    memory_opening();
    struct config *config = load_and_report(config_path(argc, argv), false, &code);
    if (!config) {
        return code == EXIT_NEGATIVE ? EXIT_USAGE : code;
    }
    code = run(config);
    config_close(config);
    return code;
}

int check_command(int argc, char **argv)
{
    if (argc > 1 || (argc > 0 && argv[0][0] == '-')) {
        return command_misuse("check", "usage: weir check [CONFIG]");
    }
    int code;
    config_close(load_and_report(config_path(argc, argv), true, &code));
    return code;
}
