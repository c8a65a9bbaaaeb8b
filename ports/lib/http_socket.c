#include <assert.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ports/lib/http_impl.h"
#include "ports/linux/stream_impl.h"
#include "ports/linux/wire.h"
#include "ports/pacer.h"

#define HTTP_CONNECTION_MAX 16

/* --- bytes on the wire --- */

/* What the socket has moved since it was asked last. */
static void socket_take_wire(struct http_socket *s, uint64_t *sent, uint64_t *received)
{
    struct wire_estimate now;
    if (wire_estimate(s->fd, &now)) {
        *sent += now.sent - s->sent;
        *received += now.received - s->received;
        s->sent = now.sent;
        s->received = now.received;
    }
}

/* What it has moved since the last answer goes into this one. */
static void call_take_wire(struct http_call *call)
{
    struct http_identity *identity = call->identity;
    struct http_answer *answer = &call->answer;
    answer->wire_sent = identity->closed_sent;
    answer->wire_received = identity->closed_received;
    identity->closed_sent = 0;
    identity->closed_received = 0;
    for (struct http_socket *s = identity->sockets; s; s = s->next) {
        socket_take_wire(s, &answer->wire_sent, &answer->wire_received);
    }
    /* curl writes when it likes: what it has sent is taken from what others may send next. */
    struct http_link link = http_link(identity->http);
    struct pacer_seat seat = {.pacer = NULL};
    pacer_sit(&seat, link.pacer, false, NULL);
    pacer_took(&seat, answer->wire_sent);
    pacer_leave(&seat);
}

static void identity_collect(struct http_identity *identity)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(identity->multi, &left))) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        struct http_call *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        CURLcode code = message->data.result; /* gone with the next call of curl's */
        http_call_set_result(call, code);
        http_call_take_sessions(call);
        curl_multi_remove_handle(identity->multi, call->easy);
        call->added = false;
        call_take_wire(call);
        http_call_finish(call);
    }
}

/* --- the connection of a call --- */

static curl_off_t call_connection(const struct http_call *call)
{
    curl_off_t connection = -1;
    (void)curl_easy_getinfo(call->easy, CURLINFO_CONN_ID, &connection); /* else it has none */
    return call->added ? connection : -1;
}

/* Where TCP_INFO tells nothing (gVisor, qemu-user): what curl has given to the kernel and taken from it,
 * less what still waits there. Not a count of bytes, but another number whenever some have moved. */
static uint64_t call_handed(const struct http_call *call, curl_off_t connection)
{
    curl_off_t up = 0;
    curl_off_t down = 0;
    long head = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &up); /* 0 if it doesn't know */
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    (void)curl_easy_getinfo(call->easy, CURLINFO_HEADER_SIZE, &head);
    uint64_t handed = (uint64_t)up + (uint64_t)down + (uint64_t)head;
    for (const struct http_socket *s = call->identity->sockets; s; s = s->next) {
        int waits = 0;
        if ((connection < 0 || s->connection == connection) && !ioctl(s->fd, SIOCOUTQ, &waits)) {
            handed -= (uint64_t)waits;
        }
    }
    return handed;
}

uint64_t http_call_moved(const struct http_call *call)
{
    curl_off_t connection = call_connection(call);
    uint64_t moved = 0;
    bool is_told = false;
    for (const struct http_socket *s = call->identity->sockets; s; s = s->next) {
        struct wire_estimate now;
        if ((connection < 0 || s->connection == connection) && wire_estimate(s->fd, &now)) {
            moved += now.moved;
            is_told = true;
        }
    }
    return is_told || !call->added ? moved : call_handed(call, connection);
}

void http_call_abort(struct http_call *call, bool is_dead)
{
    if (!call->added) {
        return;
    }
    curl_off_t connection = call_connection(call);
    for (const struct http_socket *s = call->identity->sockets; s; s = s->next) {
        if (is_dead && s->connection == connection) {
            (void)shutdown(s->fd, SHUT_RDWR); /* curl would use one with HTTP/2 again */
        }
    }
    curl_multi_remove_handle(call->identity->multi, call->easy);
    call->added = false;
    call_take_wire(call);
}

/* --- curl's sockets and timer on our loop --- */

static void identity_act(struct http_identity *identity, curl_socket_t fd, int events)
{
    int running;
    /* A failure here shows as failed calls. */
    (void)curl_multi_socket_action(identity->multi, fd, events, &running);
    identity_collect(identity);
}

static void socket_ready(struct watch *watch, unsigned events)
{
    struct http_socket *s = CONTAINER_OF(watch, struct http_socket, watch);
    int flags = (events & WATCH_READ ? CURL_CSELECT_IN : 0) |
                (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0) |
                (events & WATCH_ERROR ? CURL_CSELECT_ERR : 0);
    identity_act(s->identity, s->fd, flags);
}

static void identity_timer_fire(struct timer *timer)
{
    identity_act(CONTAINER_OF(timer, struct http_identity, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct http_identity *identity = context;
    if (timeout_ms < 0) {
        timer_disarm(&identity->timer);
    } else {
        timer_arm(&identity->timer, (uint64_t)timeout_ms);
    }
    return 0;
}

static struct http_socket **socket_find(struct http_identity *identity, int fd)
{
    struct http_socket **link = &identity->sockets;
    while (*link && (*link)->fd != fd) {
        link = &(*link)->next;
    }
    return link;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    (void)easy;
    (void)unused;
    struct http_socket *s = *socket_find(context, fd);
    if (!s) {
        return what == CURL_POLL_REMOVE ? 0 : -1;
    }
    if (what == CURL_POLL_REMOVE) {
        watch_stop(&s->watch);
        return 0;
    }
    unsigned events = (what & CURL_POLL_IN ? (unsigned)WATCH_READ : 0U) |
                      (what & CURL_POLL_OUT ? (unsigned)WATCH_WRITE : 0U);
    return watch_start(&s->watch, events) == ERR_OK ? 0 : -1;
}

/* A stream waits for the pacer before it writes; curl writes when there is room: the kernel is to send
 * no faster than the link does. */
static void socket_configure_for(int fd, struct http_link link)
{
    unsigned rate = link.send_buffer_size; /* bytes a second */
    socket_configure(fd, link.keepalive_s, link.send_buffer_size);
    if (link.pacer && rate) {
        (void)setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate); /* better so */
    }
}

static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    (void)purpose;
    struct http_call *call = context;
    struct http_identity *identity = call->identity;
    int type = address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(address->family, type, address->protocol);
    struct http_socket *s = fd < 0 ? NULL : calloc(1, sizeof *s);
    if (!s) {
        if (fd >= 0) {
            close(fd);
        }
        return CURL_SOCKET_BAD;
    }
    socket_configure_for(fd, http_link(identity->http));
    s->fd = fd;
    s->identity = identity;
    s->connection = call_connection(call);
    watch_init(&s->watch, identity->http->loop, fd, socket_ready);
    s->next = identity->sockets;
    identity->sockets = s;
    return fd;
}

/* The kernel would go on sending what a request that was given up has left with it. What has gone
 * out, close_notify for one, is not touched. */
static void socket_drop_unsent(int fd)
{
    int unsent = 0;
    if (ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0) {
        socket_forget_unsent(fd);
    }
}

static int on_close_socket(void *context, curl_socket_t fd)
{
    struct http_identity *identity = context;
    struct http_socket **link = socket_find(identity, fd);
    struct http_socket *s = *link;
    if (s) {
        socket_take_wire(s, &identity->closed_sent, &identity->closed_received);
        socket_drop_unsent(fd);
        watch_stop(&s->watch);
        *link = s->next;
        free(s);
    }
    return close(fd);
}

bool http_sockets_open(struct http_identity *identity)
{
    timer_init(&identity->timer, identity->http->loop, identity_timer_fire);
    identity->has_sessions = false;
    identity->multi = curl_multi_init();
    if (!identity->multi) {
        return false;
    }
    curl_multi_setopt(identity->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(identity->multi, CURLMOPT_SOCKETDATA, identity);
    curl_multi_setopt(identity->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(identity->multi, CURLMOPT_TIMERDATA, identity);
    curl_multi_setopt(identity->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTP_CONNECTION_MAX);
    return true;
}

void http_sockets_close(struct http_identity *identity)
{
    if (identity->multi) {
        curl_multi_cleanup(identity->multi); /* closes the sockets, by on_close_socket() */
        identity->multi = NULL;
    }
    assert(!identity->sockets);
    timer_release(&identity->timer);
}

void http_call_set_sockets(struct http_call *call)
{
    SET(call, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(call, CURLOPT_OPENSOCKETDATA, call);
    SET(call, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(call, CURLOPT_CLOSESOCKETDATA, call->identity);
}
