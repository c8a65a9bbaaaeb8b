#include "ports/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ports/attr.h"

#define NOTIFY_SIZE_MAX 512
#define US_PER_MS 1000

struct notify {
    int fd;
    struct sockaddr_un address;
    socklen_t address_size;
    struct timer watchdog;
    uint64_t watchdog_ms; /* between two signs of life; 0: nobody asks */
};

static void notify_send(struct notify *notify, const char *text)
{
    if (notify) {
        (void)sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                     (const struct sockaddr *)&notify->address, notify->address_size);
    }
}

/* A path, or "@" and an abstract name. False: it is none. */
static bool address_of(struct notify *notify, const char *path)
{
    size_t size = strlen(path);
    bool is_one = (path[0] == '/' || path[0] == '@') && size > 1;
    if (!is_one || size >= sizeof notify->address.sun_path) {
        return false;
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, path, size + 1);
    notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (path[0] == '@') {
        notify->address.sun_path[0] = '\0';
    } else {
        notify->address_size++; /* the NUL */
    }
    return true;
}

/* Half of the time that the manager waits for a sign of life; 0: it does not, or from another
 * process. */
static uint64_t watchdog_of(const char *us_text, const char *pid_text)
{
    char *end = NULL;
    if (pid_text && strtol(pid_text, &end, 10) != (long)getpid()) {
        return 0;
    }
    errno = 0;
    unsigned long long us = us_text ? strtoull(us_text, &end, 10) : 0;
    bool is_number = us_text && end != us_text && *end == '\0' && errno == 0;
    return is_number ? us / US_PER_MS / 2 : 0;
}

static void watchdog_fed(struct timer *timer)
{
    struct notify *notify = CONTAINER_OF(timer, struct notify, watchdog);
    notify_send(notify, "WATCHDOG=1");
    timer_arm(timer, notify->watchdog_ms);
}

void notify_open(struct notify **ret, struct loop *loop)
{
    *ret = NULL;
    const char *path = getenv("NOTIFY_SOCKET");
    struct notify *notify = path ? calloc(1, sizeof *notify) : NULL;
    if (notify && address_of(notify, path)) {
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        notify->watchdog_ms = watchdog_of(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
        if (notify->fd >= 0) {
            *ret = notify;
        }
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (!*ret) {
        free(notify);
        return;
    }
    timer_init(&notify->watchdog, loop, watchdog_fed);
    if (notify->watchdog_ms) {
        timer_arm(&notify->watchdog, 0);
    }
}

void notify_close(struct notify *notify)
{
    if (notify) {
        timer_release(&notify->watchdog);
        close(notify->fd);
        free(notify);
    }
}

static void status_send(struct notify *notify, const char *state, const char *status)
{
    char text[NOTIFY_SIZE_MAX];
    (void)snprintf(text, sizeof text, "%sSTATUS=%s", state, status); /* cut where it is long */
    char *line_end = strchr(text + strlen(state), '\n');
    if (line_end) {
        *line_end = '\0'; /* what follows would be read as another variable */
    }
    notify_send(notify, text);
}

void notify_ready(struct notify *notify, const char *status)
{
    status_send(notify, "READY=1\n", status);
}

void notify_status(struct notify *notify, const char *status)
{
    status_send(notify, "", status);
}

void notify_reloading(struct notify *notify)
{
    notify_send(notify, "RELOADING=1");
}

void notify_stopping(struct notify *notify)
{
    notify_send(notify, "STOPPING=1");
}
