#include "ports/lib/http_server_tls.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "ports/stream.h"

#define CARRY_SIZE 4096   /* bytes under way in each direction of a connection */
#define CARRY_DROP_MAX 64 /* times that much are dropped in one turn, see carrier_drop() */

/* Bytes that were read on one side and not yet taken by the other. */
struct carry {
    uint8_t data[CARRY_SIZE];
    size_t first;
    size_t size;
    bool is_ended; /* nothing more comes in */
};

struct carrier {
    struct http_server_tls *tls;
    struct carrier *next, **link;
    struct stream *stream;
    struct watch watch;
    int fd;          /* our end of the pair */
    struct carry in; /* from the peer to the library */
    struct carry out;
    bool is_deaf;     /* the library reads no more; what it wrote is still to go out */
    bool is_finished; /* stream_finish() was called */
};

struct http_server_tls {
    struct loop *loop;
    struct listener *listener;
    uint16_t port;
    bool (*adopt)(void *context, int fd);
    void *context;
    struct carrier *carriers;
    const char *peer; /* while adopt() runs */
};

static void carrier_close(struct carrier *carrier)
{
    watch_stop(&carrier->watch);
    stream_close(carrier->stream);
    close(carrier->fd);
    *carrier->link = carrier->next;
    if (carrier->next) {
        carrier->next->link = carrier->link;
    }
    free(carrier);
}

/* The library has closed its end in the middle of a request, perhaps behind an answer. What still
 * comes is taken and dropped: unread, it would make closing a reset that destroys the answer. */
static void carrier_drop(struct carrier *carrier)
{
    struct carry *in = &carrier->in;
    enum err e = in->is_ended ? ERR_CLOSED : ERR_OK;
    for (int i = 0; i < CARRY_DROP_MAX && !e; i++) {
        e = stream_read(carrier->stream, in->data, sizeof in->data, &in->size);
    }
    in->is_ended = in->is_ended || (e && e != ERR_AGAIN);
    in->size = 0;
}

/* From the peer into the pair. */
static void carrier_in(struct carrier *carrier)
{
    struct carry *in = &carrier->in;
    while (!carrier->is_deaf) {
        if (in->size == 0 && !in->is_ended) {
            in->first = 0;
            enum err e = stream_read(carrier->stream, in->data, sizeof in->data, &in->size);
            if (e == ERR_AGAIN) {
                return;
            }
            in->is_ended = e != ERR_OK;
        }
        if (in->size == 0) {
            (void)shutdown(carrier->fd, SHUT_WR); /* the library sees the end */
            return;
        }
        ssize_t put =
            send(carrier->fd, in->data + in->first, in->size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        carrier->is_deaf = put < 0;
        in->first += put > 0 ? (size_t)put : 0;
        in->size -= put > 0 ? (size_t)put : 0;
    }
    carrier_drop(carrier);
}

/* From the pair to the peer. False: the connection is broken. */
static bool carrier_out(struct carrier *carrier)
{
    struct carry *out = &carrier->out;
    for (;;) {
        if (out->size == 0 && !out->is_ended) {
            out->first = 0;
            ssize_t got = recv(carrier->fd, out->data, sizeof out->data, MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
                return true;
            }
            out->is_ended = got <= 0;
            out->size = got > 0 ? (size_t)got : 0;
        }
        if (out->size == 0) {
            if (!carrier->is_finished) {
                carrier->is_finished = true;
                stream_finish(carrier->stream);
            }
            return true;
        }
        size_t put = 0;
        enum err e =
            stream_write(carrier->stream, (struct slice){out->data + out->first, out->size}, &put);
        if (e) {
            return false;
        }
        out->first += put;
        out->size -= put;
        if (out->size) {
            return true; /* on_writable follows */
        }
    }
}

static void carrier_turn(struct carrier *carrier)
{
    carrier_in(carrier);
    if (!carrier_out(carrier) || (carrier->is_finished && stream_unsent(carrier->stream) == 0)) {
        carrier_close(carrier);
        return;
    }
    unsigned events = (carrier->in.size ? (unsigned)WATCH_WRITE : 0u) |
                      (carrier->out.size || carrier->out.is_ended ? 0u : (unsigned)WATCH_READ);
    if (carrier->in.size) {
        stream_read_pause(carrier->stream);
    } else {
        stream_read_resume(carrier->stream);
    }
    if (events == 0) {
        watch_stop(&carrier->watch); /* the peer does not take what is there: on_writable goes on */
    } else if (watch_start(&carrier->watch, events) != ERR_OK) {
        carrier_close(carrier);
    }
}

static void carrier_ready(struct watch *watch, unsigned events)
{
    (void)events;
    carrier_turn(CONTAINER_OF(watch, struct carrier, watch));
}

static void carrier_on_stream(void *context)
{
    carrier_turn(context);
}

static void carrier_on_closed(void *context, enum err e, const struct why *why)
{
    (void)e; /* a peer that vanishes is no fault of ours; the library sees its socket end */
    (void)why;
    carrier_close(context);
}

static const struct stream_handler carrier_handler = {
    .on_open = carrier_on_stream,
    .on_readable = carrier_on_stream,
    .on_writable = carrier_on_stream,
    .on_closed = carrier_on_closed,
};

static void http_server_tls_accepted(void *context, struct stream *stream)
{
    struct http_server_tls *tls = context;
    int pair[2] = {-1, -1};
    struct carrier *carrier = calloc(1, sizeof *carrier);
    if (!carrier || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        free(carrier);
        stream_close(stream);
        return;
    }
    carrier->tls = tls;
    carrier->stream = stream;
    carrier->fd = pair[0];
    watch_init(&carrier->watch, tls->loop, pair[0], carrier_ready);
    carrier->next = tls->carriers;
    carrier->link = &tls->carriers;
    if (carrier->next) {
        carrier->next->link = &carrier->next;
    }
    tls->carriers = carrier;
    stream_take(stream, &carrier_handler, carrier);
    tls->peer = stream_peer(stream);
    bool is_taken = tls->adopt(tls->context, pair[1]); /* closes pair[1] when it does not */
    tls->peer = NULL;
    if (!is_taken) {
        carrier_close(carrier);
        return;
    }
    carrier_turn(carrier);
}

enum err http_server_tls_open(struct http_server_tls **ret, struct loop *loop,
                              const struct http_server_options *options,
                              bool (*adopt)(void *context, int fd), void *context, struct why *why)
{
    struct http_server_tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        return ERR_NOMEM;
    }
    tls->loop = loop;
    tls->adopt = adopt;
    tls->context = context;
    struct listener_options listener = {.host = options->host,
                                        .port = options->port,
                                        .tls = options->tls,
                                        .connection_max = options->connection_max};
    enum err e = listener_open(&tls->listener, loop, &listener, http_server_tls_accepted, tls, why);
    if (e) {
        free(tls);
        return e;
    }
    tls->port = listener_port(tls->listener);
    *ret = tls;
    return ERR_OK;
}

uint16_t http_server_tls_port(const struct http_server_tls *tls)
{
    return tls->port;
}

const char *http_server_tls_peer(const struct http_server_tls *tls, int fd)
{
    (void)fd;
    return tls->peer;
}

void http_server_tls_stop(struct http_server_tls *tls)
{
    if (tls && tls->listener) {
        listener_close(tls->listener);
        tls->listener = NULL;
    }
}

void http_server_tls_close(struct http_server_tls *tls)
{
    if (!tls) {
        return;
    }
    http_server_tls_stop(tls);
    for (struct carrier *carrier = tls->carriers, *next; carrier; carrier = next) {
        next = carrier->next;
        (void)carrier_out(carrier); /* the last answers, as far as the peer takes them */
        carrier_close(carrier);
    }
    free(tls);
}
