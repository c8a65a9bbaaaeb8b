#include "ports/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#define REAP_MS 5 /* between its closing its output and its end, which follows at once */

struct process {
    struct process_setup setup;
    struct watch watch;
    struct timer deadline;
    struct timer reap;
    int fd;             /* what it writes; -1: none */
    pid_t pid;          /* 0: none, or its end is known */
    enum err stopped_e; /* why it was killed; OK: it was not */
    int status;
    struct out output;
    uint8_t memory[];
};

/* The group, so that what a shell has started ends too. */
static void process_kill(struct process *process, enum err e)
{
    if (process->pid > 0) {
        (void)kill(-process->pid, SIGKILL); /* it may have ended by now */
    }
    process->stopped_e = process->stopped_e ? process->stopped_e : e;
}

static void output_close(struct process *process)
{
    watch_stop(&process->watch);
    if (process->fd >= 0) {
        close(process->fd);
        process->fd = -1;
    }
}

static void process_done(struct process *process)
{
    struct process_answer answer = {.e = process->stopped_e, .output = out_slice(&process->output)};
    timer_disarm(&process->deadline);
    if (answer.e == ERR_TIMEOUT) {
        why_set(&answer.why, "it did not end within %u s",
                (unsigned)(process->setup.timeout_ms / 1000));
    } else if (answer.e == ERR_REJECTED) {
        why_set(&answer.why, "it writes more than %zu bytes", process->setup.output_size_max);
    } else if (!answer.e && WIFSIGNALED(process->status)) {
        answer.e = ERR_CLOSED;
        why_set(&answer.why, "it was ended by signal %d", WTERMSIG(process->status));
    } else if (!answer.e && WEXITSTATUS(process->status) != 0) {
        answer.e = ERR_CLOSED;
        why_set(&answer.why, "it ended with status %d", WEXITSTATUS(process->status));
    }
    process->setup.done(process->setup.context, &answer);
}

static void process_reap(struct timer *timer)
{
    struct process *process = CONTAINER_OF(timer, struct process, reap);
    pid_t ended = waitpid(process->pid, &process->status, WNOHANG);
    if (ended == 0) {
        timer_arm(&process->reap, REAP_MS);
        return;
    }
    if (ended < 0) {
        process->stopped_e = ERR_IO; /* UNTESTED: somebody else has collected it */
    }
    process->pid = 0;
    process_done(process);
}

static void process_late(struct timer *timer)
{
    struct process *process = CONTAINER_OF(timer, struct process, deadline);
    process_kill(process, ERR_TIMEOUT);
    output_close(process); /* somebody may have left the group with it */
    timer_arm(&process->reap, 0);
}

static void process_readable(struct watch *watch, unsigned events)
{
    (void)events;
    struct process *process = CONTAINER_OF(watch, struct process, watch);
    struct out *output = &process->output;
    uint8_t extra;
    bool is_full = output->size == output->size_max;
    ssize_t got = read(process->fd, is_full ? &extra : output->data + output->size,
                       is_full ? 1 : output->size_max - output->size);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got > 0 && !is_full) {
        output->size += (size_t)got;
        return;
    }
    if (got != 0) {
        process_kill(process, got < 0 ? ERR_IO : ERR_REJECTED);
    }
    output_close(process);
    timer_arm(&process->reap, 0);
}

/* 0, or an errno. */
static int process_spawn(struct process *process, const char *command, int output_fd)
{
    static const char shell[] = "/bin/sh";
    const char *words[] = {shell, "-c", command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    int number = posix_spawn_file_actions_init(&files);
    if (number) {
        return number;
    }
    number = posix_spawnattr_init(&attributes);
    if (number) {
        posix_spawn_file_actions_destroy(&files);
        return number;
    }
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    number = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    number = number ? number : posix_spawn_file_actions_adddup2(&files, output_fd, 1);
    number = number ? number : posix_spawnattr_setsigmask(&attributes, &none);
    number = number ? number : posix_spawnattr_setsigdefault(&attributes, &usual);
    number = number ? number : posix_spawnattr_setpgroup(&attributes, 0);
    number = number ? number
                    : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                                                POSIX_SPAWN_SETSIGMASK |
                                                                POSIX_SPAWN_SETSIGDEF);
    if (!number) { /* the words are not changed: the parameter is older than const */
        number = posix_spawn(&process->pid, shell, &files, &attributes,
                             (char *const *)(uintptr_t)words, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    process->pid = number ? 0 : process->pid;
    return number;
}

enum err process_open(struct process **ret, const struct process_setup *setup, struct why *why)
{
    assert(setup->done && setup->output_size_max > 0);
    struct process *process = calloc(1, sizeof *process + setup->output_size_max);
    if (!process) {
        return ERR_NOMEM;
    }
    int fds[2] = {-1, -1};
    process->setup = *setup;
    process->setup.command = NULL;
    process->output = out_over(process->memory, setup->output_size_max);
    timer_init(&process->deadline, setup->loop, process_late);
    timer_init(&process->reap, setup->loop, process_reap);
    int number = pipe2(fds, O_CLOEXEC) != 0 ? errno : 0;
    process->fd = fds[0];
    enum err e = number ? err_of_errno(number) : ERR_OK;
    if (!e && fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) {
        e = err_of_errno(errno);
    }
    if (!e) {
        watch_init(&process->watch, setup->loop, fds[0], process_readable);
        e = watch_start(&process->watch, WATCH_READ);
    }
    if (!e) {
        number = process_spawn(process, setup->command, fds[1]);
        e = number ? err_of_errno(number) : ERR_OK;
    }
    if (fds[1] >= 0) {
        close(fds[1]);
    }
    if (e) {
        why_set(why, "no process can be started: %s", number ? strerror(number) : err_name(e));
        process_close(process);
        return e;
    }
    timer_arm(&process->deadline, setup->timeout_ms);
    *ret = process;
    return ERR_OK;
}

void process_close(struct process *process)
{
    if (!process) {
        return;
    }
    if (process->pid > 0) {
        process_kill(process, ERR_CLOSED);
        while (waitpid(process->pid, &process->status, 0) < 0 && errno == EINTR) {
        } /* what is killed ends at once */
    }
    output_close(process);
    timer_release(&process->deadline);
    timer_release(&process->reap);
    free(process);
}
