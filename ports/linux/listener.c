/* Accepting connections, TCP and unix sockets. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "ports/linux/stream_impl.h"

#define LISTENER_CONNECTION_MAX 64 /* where the user says nothing */
#define LISTENER_BACKLOG 64
#define LISTENER_ACCEPT_MAX 16 /* in one turn */
#define LISTENER_REST_MS 1000  /* after the system had no descriptor or memory */

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

struct listener {
    struct loop *loop;
    struct watch watch;
    struct timer rest;
    int fd;
    struct tls *tls;
    void (*accepted)(void *context, struct stream *stream);
    void *context;
    size_t connection_max;
    bool own_only;
    size_t connection_count;
    struct stream *streams;
    bool *closed_within; /* set when listener_close() is called by accepted() */
    struct listener_counts counts;
    struct stat made; /* unix socket: which file is ours */
    char *path;       /* unix socket; NULL: TCP */
};

/* --- streams --- */

void listener_forget(struct listener *listener, struct stream *stream)
{
    assert(listener->connection_count > 0);
    listener->connection_count--;
    if (stream->before) {
        stream->before->after = stream->after;
    } else {
        listener->streams = stream->after;
    }
    if (stream->after) {
        stream->after->before = stream->before;
    }
    stream->listener = NULL;
}

void listener_ready(struct listener *listener, struct stream *stream)
{
    listener->counts.accepted++;
    listener->accepted(listener->context, stream);
    if (!stream->closed && !stream->handler.on_readable) {
        stream_close(stream); /* the user did not take it */
    }
}

void listener_failed(struct listener *listener, struct stream *stream)
{
    listener->counts.failed++;
    listener->counts.last_failure = stream->why;
    stream_close(stream);
}

static void handshake_limit_fire(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, limit);
    why_set(&stream->why, "the TLS handshake did not end within %u ms", (unsigned)stream->limit_ms);
    stream_fail(stream, ERR_TIMEOUT);
}

static void listener_adopt(struct listener *listener, int fd, const struct sockaddr *address)
{
    struct stream *stream = NULL;
    if (stream_new(&stream, listener->loop) != ERR_OK) {
        close(fd);
        listener->counts.refused++;
        return;
    }
    listener->connection_count++;
    stream->listener = listener;
    stream->after = listener->streams;
    if (stream->after) {
        stream->after->before = stream;
    }
    listener->streams = stream;
    address_format(address, stream->peer, sizeof stream->peer);
    if (!listener->path) {
        socket_configure(fd, 0, 0);
    }
    stream->quick_ack = listener->own_only;
    enum err e = stream_adopt(stream, fd, listener->tls, NULL, 0);
    if (e) {
        stream_fail(stream, e);
        return;
    }
    stream->limit_ms = STREAM_TIMEOUT_MS;
    timer_init(&stream->limit, listener->loop, handshake_limit_fire);
    timer_arm(&stream->limit, stream->limit_ms);
    stream_go_on(stream);
}

static void listener_accept_ready(struct watch *watch, unsigned events)
{
    (void)events;
    struct listener *listener = CONTAINER_OF(watch, struct listener, watch);
    for (int i = 0; i < LISTENER_ACCEPT_MAX; i++) {
        union socket_address address;
        socklen_t size = sizeof address;
        memset(&address, 0, sizeof address);
        int fd = accept4(listener->fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            /* The connection stays in the queue and would wake the loop at once again. */
            listener->counts.refused++;
            watch_stop(&listener->watch);
            timer_arm(&listener->rest, LISTENER_REST_MS);
            return;
        }
        if (fd < 0 && errno == EAGAIN) {
            return;
        }
        if (fd < 0) {
            continue; /* that connection is gone already (accept(2), "Error handling") */
        }
        if (listener->connection_count == listener->connection_max ||
            (listener->own_only && !socket_is_own(fd))) {
            close(fd);
            listener->counts.refused++;
            continue;
        }
        bool closed = false;
        listener->closed_within = &closed;
        listener_adopt(listener, fd, &address.any);
        if (closed) {
            return;
        }
        listener->closed_within = NULL;
    }
}

static void listener_rest_fire(struct timer *timer)
{
    struct listener *listener = CONTAINER_OF(timer, struct listener, rest);
    if (watch_start(&listener->watch, WATCH_READ) != ERR_OK) {
        timer_arm(&listener->rest, LISTENER_REST_MS);
    }
}

/* --- opening --- */

static enum err address_of_options(const struct listener_options *options,
                                   union socket_address *ret, socklen_t *ret_size, struct why *why)
{
    const char *host = options->host ? options->host : "";
    memset(ret, 0, sizeof *ret);
    if (strncmp(host, "unix:", 5) == 0) {
        const char *path = host + 5;
        if (!path[0] || strlen(path) >= sizeof ret->local.sun_path) {
            why_set(why, "the path of the unix socket %s is empty or longer than %zu bytes", path,
                    sizeof ret->local.sun_path - 1);
            return ERR_CONFIG;
        }
        ret->local.sun_family = AF_UNIX;
        memcpy(ret->local.sun_path, path, strlen(path) + 1);
        *ret_size = sizeof ret->local;
    } else if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                         &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(options->port);
        *ret_size = sizeof ret->v4;
    } else if (!host[0] || inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(options->port);
        *ret_size = sizeof ret->v6;
    } else {
        why_set(why,
                "can't listen on \"%s\": give an address of this machine, \"\" for all, or "
                "unix:/path",
                host);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* A socket file left by a process that is gone is removed; one that somebody answers on is not. */
static enum err unix_make_room(const union socket_address *address, socklen_t size, struct why *why)
{
    struct stat s;
    if (lstat(address->local.sun_path, &s) != 0) {
        return ERR_OK; /* bind() will say what is wrong with the folder */
    }
    if (!S_ISSOCK(s.st_mode)) {
        why_set(why, "%s is there and is no socket", address->local.sun_path);
        return ERR_CONFIG;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        why_set(why, "can't make a socket: %s", strerror(errno));
        return err_of_errno(errno);
    }
    bool answered = connect(fd, &address->any, size) == 0 || errno == EAGAIN;
    close(fd);
    if (answered) {
        why_set(why, "another process listens on %s already", address->local.sun_path);
        return ERR_CONFIG;
    }
    unlink(address->local.sun_path);
    return ERR_OK;
}

/* Without IPv6 in the kernel "all addresses" are those of IPv4. */
static enum err listener_socket(struct listener *listener, union socket_address *address,
                                socklen_t *size, bool all)
{
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    listener->fd = socket(address->any.sa_family, type, 0);
    if (listener->fd < 0 && all) {
        uint16_t port = address->v6.sin6_port;
        memset(address, 0, sizeof *address);
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = port;
        *size = sizeof address->v4;
        listener->fd = socket(AF_INET, type, 0);
    }
    if (listener->fd < 0) {
        return err_of_errno(errno);
    }
    int on = 1;
    int only_v6 = !all;
    if (address->any.sa_family != AF_UNIX) {
        (void)setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    if (address->any.sa_family == AF_INET6) {
        (void)setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6);
    }
    return ERR_OK;
}

static enum err listener_bind(struct listener *listener, const struct listener_options *options,
                              struct why *why)
{
    union socket_address address;
    socklen_t size = 0;
    enum err e = address_of_options(options, &address, &size, why);
    if (!e && address.any.sa_family == AF_UNIX) {
        e = unix_make_room(&address, size, why);
    }
    if (e) {
        return e;
    }
    const char *host = options->host ? options->host : "";
    e = listener_socket(listener, &address, &size, !host[0]);
    if (!e && bind(listener->fd, &address.any, size) != 0) {
        e = err_of_errno(errno);
    }
    if (!e && address.any.sa_family == AF_UNIX) {
        listener->path = strdup(address.local.sun_path);
        if (chmod(address.local.sun_path, 0660) != 0 ||
            stat(address.local.sun_path, &listener->made) != 0) {
            e = err_of_errno(errno);
        }
        e = listener->path ? e : ERR_NOMEM;
    }
    if (!e && listen(listener->fd, LISTENER_BACKLOG) != 0) {
        e = err_of_errno(errno);
    }
    if (e && address.any.sa_family == AF_UNIX) {
        why_set(why, "can't listen on %s: %s", host, strerror(errno));
    } else if (e) {
        why_set(why, "can't listen on %s port %u: %s", host[0] ? host : "all addresses",
                (unsigned)options->port, strerror(errno));
    }
    return e;
}

enum err listener_open(struct listener **ret, struct loop *loop,
                       const struct listener_options *options,
                       void (*accepted)(void *context, struct stream *stream), void *context,
                       struct why *why)
{
    assert(accepted);
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        why_set(why, "no memory to listen");
        return ERR_NOMEM;
    }
    listener->loop = loop;
    listener->fd = -1;
    listener->tls = options->tls;
    listener->accepted = accepted;
    listener->context = context;
    listener->connection_max =
        options->connection_max ? options->connection_max : LISTENER_CONNECTION_MAX;
    listener->own_only = options->own_only;
    timer_init(&listener->rest, loop, listener_rest_fire);
    enum err e = listener_bind(listener, options, why);
    if (e) {
        goto fail;
    }
    watch_init(&listener->watch, loop, listener->fd, listener_accept_ready);
    e = watch_start(&listener->watch, WATCH_READ);
    if (e) {
        why_set(why, "can't wait for connections: %s", err_name(e));
        goto fail;
    }
    *ret = listener;
    return ERR_OK;

fail:
    listener_close(listener);
    return e;
}

uint16_t listener_port(const struct listener *listener)
{
    union socket_address address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(listener->fd, &address.any, &size) != 0) {
        return 0;
    }
    return address.any.sa_family == AF_INET    ? ntohs(address.v4.sin_port)
           : address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port)
                                               : 0;
}

void listener_counts(const struct listener *listener, struct listener_counts *ret)
{
    *ret = listener->counts;
}

/* Streams that the user has taken go on without the listener; those in their handshake end. */
static void listener_let_go(struct listener *listener)
{
    struct stream *next;
    for (struct stream *stream = listener->streams; stream; stream = next) {
        next = stream->after;
        if (stream->was_open) {
            listener_forget(listener, stream);
        } else {
            stream_close(stream);
        }
    }
}

void listener_close(struct listener *listener)
{
    if (!listener) {
        return;
    }
    if (listener->closed_within) {
        *listener->closed_within = true;
    }
    watch_stop(&listener->watch);
    timer_release(&listener->rest);
    listener_let_go(listener);
    if (listener->fd >= 0) {
        close(listener->fd);
    }
    struct stat s;
    if (listener->path && stat(listener->path, &s) == 0 && s.st_ino == listener->made.st_ino &&
        s.st_dev == listener->made.st_dev) {
        unlink(listener->path); /* unless a successor has put its own there */
    }
    free(listener->path);
    free(listener);
}
