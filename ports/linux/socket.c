/* What a stream does with its TCP socket. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "ports/linux/stream_impl.h"

#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT 25
#endif

void address_format(const struct sockaddr *address, char *text, size_t text_size)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(text, text_size, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(text, text_size, "%s:%u", host, ntohs(v4->sin_port));
    } else {
        snprintf(text, text_size, "unix");
    }
}

static void option_set(int fd, int level, int name, int value)
{
    /* Each of these makes a connection better, none makes it work: an old kernel may refuse. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void socket_send_buffer_set(int fd, uint32_t send_buffer_size)
{
    int size = send_buffer_size > INT_MAX ? INT_MAX : (int)send_buffer_size;
    option_set(fd, SOL_SOCKET, SO_SNDBUF, size);
    option_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, size / 2 ? size / 2 : 1);
}

void socket_configure(int fd, uint32_t keepalive_s, uint32_t send_buffer_size)
{
    int idle_s = keepalive_s == 0 ? 60 : keepalive_s > 32767 ? 32767 : (int)keepalive_s;
    option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle_s < 20 ? 5 : idle_s / 4);
    option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
    if (send_buffer_size) {
        socket_send_buffer_set(fd, send_buffer_size);
    }
}

void socket_push(int fd)
{
    option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* sends what waits, whatever it was before */
}

void socket_forget_unsent(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* as above */
}

static bool address_equal(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_family == AF_INET && b->sin_family == AF_INET && a->sin_port == b->sin_port &&
           a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static bool is_other_end(int fd, const struct sockaddr_in *local, const struct sockaddr_in *peer)
{
    struct sockaddr_in its_local = {0};
    struct sockaddr_in its_peer = {0};
    socklen_t size = sizeof its_local;
    socklen_t peer_size = sizeof its_peer;
    return getsockname(fd, (struct sockaddr *)&its_local, &size) == 0 &&
           address_equal(&its_local, peer) &&
           getpeername(fd, (struct sockaddr *)&its_peer, &peer_size) == 0 &&
           address_equal(&its_peer, local);
}

bool socket_is_own(int fd)
{
    struct sockaddr_in local = {0};
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof local;
    socklen_t peer_size = sizeof peer;
    DIR *folder = opendir("/proc/self/fd");
    bool found = false;
    if (folder && getsockname(fd, (struct sockaddr *)&local, &size) == 0 &&
        getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0) {
        for (struct dirent *d = readdir(folder); d && !found; d = readdir(folder)) {
            found = d->d_name[0] != '.' &&
                    is_other_end((int)strtol(d->d_name, NULL, 10), &local, &peer);
        }
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}

enum err socket_receive(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    struct stream *stream = context;
    for (;;) {
        ssize_t got = recv(stream->fd, data, size, 0);
        if (got >= 0) {
            if (stream->quick_ack) {
                option_set(stream->fd, IPPROTO_TCP, TCP_QUICKACK, 1); /* it wears off */
            }
            *ret_size = (size_t)got;
            return ERR_OK;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno == EAGAIN) {
            return ERR_AGAIN;
        }
        stream->transport_errno = errno;
        return err_of_errno(errno);
    }
}

enum err socket_send(void *context, struct slice data, size_t *ret_size)
{
    struct stream *stream = context;
    for (;;) {
        int more = stream->state == STREAM_HANDSHAKE ? MSG_MORE : 0;
        ssize_t put = send(stream->fd, data.data, data.size, MSG_NOSIGNAL | more);
        if (put >= 0) {
            stream->handshake_sent += more ? (size_t)put : 0;
            *ret_size = (size_t)put;
            return ERR_OK;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno == EAGAIN || errno == ENOBUFS) {
            return ERR_AGAIN;
        }
        stream->transport_errno = errno;
        return err_of_errno(errno);
    }
}
