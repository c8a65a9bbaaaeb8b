#include "ports/linux/lookup.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#define LOOKUP_STACK_SIZE (256 * 1024)

/* Outlives `struct names` while lookups run. */
struct lookups {
    pthread_mutex_t lock;
    unsigned users; /* struct names, and each running lookup */
    bool closed;
    int fd;
    struct lookup *finished;
};

static void lookups_leave(struct lookups *lookups)
{
    pthread_mutex_lock(&lookups->lock);
    bool last = --lookups->users == 0;
    pthread_mutex_unlock(&lookups->lock);
    if (last) {
        if (lookups->fd >= 0) {
            close(lookups->fd);
        }
        pthread_mutex_destroy(&lookups->lock);
        free(lookups);
    }
}

/* --- the thread --- */

static void lookup_resolve(struct lookup *lookup)
{
    /* Without AI_ADDRCONFIG: the connection tries all addresses, and one without a route fails at
     * once. */
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    lookup->result = getaddrinfo(lookup->host, NULL, &hints, &list);
    lookup->result_errno = errno;
    if (lookup->result) {
        return;
    }
    for (struct addrinfo *i = list; i && lookup->address_count < NAMES_ADDRESS_MAX;
         i = i->ai_next) {
        if ((i->ai_family == AF_INET || i->ai_family == AF_INET6) &&
            i->ai_addrlen <= sizeof lookup->addresses[0].storage) {
            struct address *address = &lookup->addresses[lookup->address_count++];
            memcpy(&address->storage, i->ai_addr, i->ai_addrlen);
            address->size = i->ai_addrlen;
        }
    }
    freeaddrinfo(list);
}

static void *lookup_main(void *argument)
{
    struct lookup *lookup = argument;
    struct lookups *lookups = lookup->lookups;
    lookup_resolve(lookup);
    pthread_mutex_lock(&lookups->lock);
    bool closed = lookups->closed;
    if (!closed) {
        lookup->next = lookups->finished;
        lookups->finished = lookup;
        uint64_t one = 1;
        ssize_t put = write(lookups->fd, &one, sizeof one);
        (void)put; /* full means that the loop is being woken already */
    }
    pthread_mutex_unlock(&lookups->lock);
    if (closed) {
        free(lookup);
    }
    lookups_leave(lookups);
    return NULL;
}

/* --- the loop --- */

enum err lookup_start(struct lookups *lookups, const char *host, struct lookup **ret)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    pthread_attr_t attributes;
    if (!lookup || pthread_attr_init(&attributes)) {
        free(lookup);
        return ERR_NOMEM;
    }
    lookup->lookups = lookups;
    memcpy(lookup->host, host, sizeof lookup->host);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_attr_setstacksize(&attributes, LOOKUP_STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&lookups->lock);
    lookups->users++;
    pthread_mutex_unlock(&lookups->lock);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int failed = pthread_create(&thread, &attributes, lookup_main, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed) {
        lookups_leave(lookups);
        free(lookup);
        return ERR_NOMEM;
    }
    *ret = lookup;
    return ERR_OK;
}

enum err lookups_open(struct lookups **ret)
{
    struct lookups *lookups = calloc(1, sizeof *lookups);
    if (!lookups) {
        return ERR_NOMEM;
    }
    lookups->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookups->fd < 0) {
        enum err e = err_of_errno(errno);
        free(lookups);
        return e;
    }
    pthread_mutex_init(&lookups->lock, NULL);
    lookups->users = 1;
    *ret = lookups;
    return ERR_OK;
}

void lookups_close(struct lookups *lookups)
{
    if (!lookups) {
        return;
    }
    pthread_mutex_lock(&lookups->lock);
    lookups->closed = true;
    struct lookup *finished = lookups->finished;
    lookups->finished = NULL;
    pthread_mutex_unlock(&lookups->lock);
    while (finished) {
        struct lookup *next = finished->next;
        free(finished);
        finished = next;
    }
    lookups_leave(lookups);
}

int lookups_fd(const struct lookups *lookups)
{
    return lookups->fd;
}

void lookups_clear(struct lookups *lookups)
{
    uint64_t count;
    ssize_t got = read(lookups->fd, &count, sizeof count);
    (void)got; /* nothing there is fine, too */
}

struct lookup *lookup_take(struct lookups *lookups)
{
    pthread_mutex_lock(&lookups->lock);
    struct lookup *lookup = lookups->finished;
    if (lookup) {
        lookups->finished = lookup->next;
    }
    pthread_mutex_unlock(&lookups->lock);
    return lookup;
}

enum err lookup_error(const struct lookup *lookup, struct why *why)
{
    if (lookup->result == 0 && lookup->address_count) {
        return ERR_OK;
    }
    switch (lookup->result) {
    case EAI_AGAIN:
        why_set(why, "the name servers do not answer for %s: is the network up?", lookup->host);
        return ERR_TIMEOUT;
    case 0:
    case EAI_NONAME:
#if EAI_NODATA != EAI_NONAME
    case EAI_NODATA:
#endif
        why_set(why, "there is no host %s: check the name, or the name servers in /etc/resolv.conf",
                lookup->host);
        return ERR_CLOSED;
    case EAI_MEMORY:
        why_set(why, "no memory to resolve %s", lookup->host);
        return ERR_NOMEM;
    default:
        why_set(why, "can't resolve %s: %s", lookup->host,
                lookup->result == EAI_SYSTEM ? strerror(lookup->result_errno)
                                             : gai_strerror(lookup->result));
        return ERR_CLOSED;
    }
}
