#include "ports/signals.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>

struct signals {
    struct watch watch;
    int fd;
    sigset_t before;
    bool blocked;
    void (*caught)(void *context, int number);
    void *context;
};

static void signals_ready(struct watch *watch, unsigned events)
{
    (void)events;
    struct signals *signals = CONTAINER_OF(watch, struct signals, watch);
    struct signalfd_siginfo info;
    /* One a turn: the user may close `signals` within caught(). */
    if (read(signals->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        signals->caught(signals->context, (int)info.ssi_signo);
    }
}

enum err signals_open(struct signals **ret, struct loop *loop,
                      void (*caught)(void *context, int number), void *context)
{
    assert(caught);
    struct signals *signals = calloc(1, sizeof *signals);
    if (!signals) {
        return ERR_NOMEM;
    }
    signals->caught = caught;
    signals->context = context;
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    enum err e;
    signals->fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0) {
        e = err_of_errno(errno);
        goto fail;
    }
    watch_init(&signals->watch, loop, signals->fd, signals_ready);
    e = watch_start(&signals->watch, WATCH_READ);
    if (e) {
        goto fail;
    }
    pthread_sigmask(SIG_BLOCK, &ours, &signals->before);
    signals->blocked = true;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    *ret = signals;
    return ERR_OK;

fail:
    signals_close(signals);
    return e;
}

void signals_close(struct signals *signals)
{
    if (!signals) {
        return;
    }
    watch_stop(&signals->watch);
    if (signals->blocked) {
        pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
    }
    if (signals->fd >= 0) {
        close(signals->fd);
    }
    free(signals);
}
