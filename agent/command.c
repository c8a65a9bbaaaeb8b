/* What the commands share. */
#include "agent/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/control.h"
#include "ports/log.h"

#define ASK_SECONDS 10
#define RELOAD_SECONDS 90 /* it waits for what is being sent: stop_grace */
#define ANSWER_SIZE_MAX (4 * 1024 * 1024)

const char *command_option(int argc, char **argv, int *index, const char *name)
{
    const char *argument = argv[*index];
    size_t size = strlen(name);
    if (strncmp(argument, name, size) != 0) {
        return NULL;
    }
    if (argument[size] == '=') {
        return argument + size + 1;
    }
    if (argument[size] == 0 && *index + 1 < argc) {
        *index += 1;
        return argv[*index];
    }
    return NULL;
}

int command_misuse(const char *what, const char *text)
{
    fprintf(stderr, "weir %s: %s\n", what, text);
    return EXIT_USAGE;
}

int command_finish(void)
{
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "weir: standard output can't be written\n");
        return EXIT_FAILED;
    }
    return EXIT_FINE;
}

/* Loads and checks completely; unless it is for a start, also what that would find in the buffer.
 * NULL: the report says why. */
static struct config *load(const char *path, bool is_start, struct config_report *report)
{
    struct config *config = NULL;
    if (config_load(&config, path, &known_parts, report) == ERR_OK) {
        agent_check(config, report);
        if (!is_start && report->error_count == 0) {
            agent_check_keys(config, report);
        }
        if (!is_start && report->error_count == 0) {
            check_gate(config, report);
        }
    }
    if (report->error_count > 0) {
        config_close(config);
        return NULL;
    }
    return config;
}

struct config *command_load(const char *path, struct config_report *report)
{
    return load(path, true, report);
}

void command_log_level(const struct config *config)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};
    log_level_set(levels[config->agent.log_level]);
}

static void log_warnings(const struct config *config, const struct config_report *report)
{
    struct slice rest = out_slice(&report->text);
    command_log_level(config);
    while (rest.size > 0) { /* without mistakes each line is a warning, and ends */
        size_t size = (size_t)((const uint8_t *)memchr(rest.data, '\n', rest.size) - rest.data);
        log_warn("config", "%.*s", (int)size, (const char *)rest.data);
        rest = (struct slice){rest.data + size + 1, rest.size - size - 1};
    }
}

struct config *command_config(const char *path, enum command_say say, int *ret_code)
{
    struct config_report report = {.text = out_over(malloc(REPORT_SIZE_MAX), REPORT_SIZE_MAX)};
    if (!report.text.data) {
        fprintf(stderr, "weir: no memory to load %s\n", path);
        *ret_code = EXIT_FAILED;
        return NULL;
    }
    struct config *config = load(path, say == COMMAND_LOG_WARNINGS, &report);
    *ret_code = EXIT_FINE;
    if (config && say == COMMAND_LOG_WARNINGS) {
        log_warnings(config, &report);
    } else if (config && say == COMMAND_SAY_FINDINGS) {
        fwrite(report.text.data, 1, report.text.size, stderr);
    } else {
        *ret_code = config_print_report(path, &report);
    }
    free(report.text.data);
    return config;
}

void command_socket_beside(const char *buffer_path, char *ret, size_t size)
{
    const char *slash = strrchr(buffer_path, '/');
    int folder = slash ? (int)(slash - buffer_path + 1) : 0;
    (void)snprintf(ret, size, "%.*sweir.sock", folder,
                   buffer_path); /* too long: connecting says so */
}

enum err command_connect(const char *path, int *ret, struct why *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = ASK_SECONDS};
    if (strlen(path) >= sizeof address.sun_path) {
        why_set(why, "the socket's path is too long: %s", path);
        return ERR_CONFIG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return ERR_IO;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* only patience */
    if (connect(fd, (const struct sockaddr *)&address, sizeof address)) {
        int number = errno;
        close(fd);
        if (number == EACCES || number == EPERM) {
            why_set(why, "not allowed to ask the agent at %s: use its user or group", path);
            return ERR_AUTH;
        }
        why_set(why, "no agent answers at %s: is it running? --socket or --buffer names another",
                path);
        return ERR_CLOSED;
    }
    *ret = fd;
    return ERR_OK;
}

/* {"error":"..."}: the agent refuses. */
static enum err ask_refusal(const char *answer, struct why *why)
{
    struct json_tree *tree = NULL;
    size_t offset;
    struct slice line = {(const uint8_t *)answer, strcspn(answer, "\n")};
    if (strncmp(answer, "{\"error\"", 8) != 0 ||
        json_tree_open(&tree, line, NULL, &offset) != ERR_OK) {
        return ERR_OK;
    }
    const char *text = json_node_text(json_node_find(json_tree_root(tree), "error"));
    why_set(why, "%s", text ? text : "refused");
    json_tree_close(tree);
    return ERR_REJECTED;
}

/* Sends the whole line. False: the agent has gone. */
static bool ask_send(int fd, const char *request)
{
    char line[256];
    int size = snprintf(line, sizeof line, "%s\n", request);
    return size > 0 && (size_t)size < sizeof line &&
           send(fd, line, (size_t)size, MSG_NOSIGNAL) == size;
}

enum err command_ask(const char *socket_path, const char *request, char **ret, struct why *why)
{
    int fd = -1;
    enum err e = command_connect(socket_path, &fd, why);
    if (e) {
        return e;
    }
    if (strcmp(request, "reload") == 0) {
        struct timeval patience = {.tv_sec = RELOAD_SECONDS};
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    char *answer = malloc(ANSWER_SIZE_MAX + 1);
    size_t size = 0;
    ssize_t got = answer && ask_send(fd, request) ? 1 : -1;
    while (got > 0 && size < ANSWER_SIZE_MAX) {
        got = read(fd, answer + size, ANSWER_SIZE_MAX - size);
        size += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (got < 0 || size == 0) {
        why_set(why, "the agent at %s gave no answer", socket_path);
        free(answer);
        return ERR_TIMEOUT;
    }
    answer[size] = 0;
    e = ask_refusal(answer, why);
    if (e) {
        free(answer);
        return e;
    }
    *ret = answer;
    return ERR_OK;
}

enum err command_ask_or_waiting(const char *socket_path, const char *request, char **ret,
                                bool *ret_waits, struct why *why)
{
    char memory[256];
    struct out waiting = out_over(memory, sizeof memory);
    struct why of_waiting = {""};
    enum err e = command_ask(socket_path, request, ret, why);
    out_put_text(&waiting, socket_path);
    out_put(&waiting, CONTROL_WAITING, sizeof CONTROL_WAITING);
    *ret_waits = false;
    if (e == ERR_CLOSED && !waiting.overflow) {
        enum err other = command_ask(memory, request, ret, &of_waiting);
        *ret_waits = other != ERR_CLOSED;
        if (*ret_waits) {
            *why = of_waiting;
            e = other;
        }
    }
    return e;
}
