/* An open stream: reading, writing, ending. Connecting is in connect.c, accepting in listener.c. */
#include "ports/stream.h"

#include <assert.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "ports/linux/stream_impl.h"
#include "ports/linux/wire.h"

static void stream_kicked(struct timer *timer);
static void stream_ready(struct watch *watch, unsigned events);

/* --- life --- */

enum err stream_new(struct stream **ret, struct loop *loop)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        return ERR_NOMEM;
    }
    stream->loop = loop;
    stream->fd = -1;
    timer_init(&stream->kick, loop, stream_kicked);
    *ret = stream;
    return ERR_OK;
}

static void stream_free(struct stream *stream)
{
    tls_session_close(stream->session);
    free(stream);
}

/* Begin and end of a call of the user's, who may close the stream within: then end() frees it and
 * says false. */
static void stream_call_begin(struct stream *stream)
{
    stream->busy++;
}

static bool stream_call_end(struct stream *stream)
{
    assert(stream->busy > 0);
    stream->busy--;
    if (stream->closed && stream->busy == 0) {
        stream_free(stream);
        return false;
    }
    return !stream->closed;
}

void stream_close(struct stream *stream)
{
    if (!stream || stream->closed) {
        return;
    }
    stream->closed = true;
    timer_release(&stream->kick);
    timer_release(&stream->limit);
    pacer_leave(&stream->seat);
    connector_close(stream);
    watch_stop(&stream->watch);
    if (stream->fd >= 0) {
        close(stream->fd);
        stream->fd = -1;
    }
    if (stream->listener) {
        listener_forget(stream->listener, stream);
    }
    if (stream->busy == 0) {
        stream_free(stream);
    }
}

void stream_fail(struct stream *stream, enum err e)
{
    assert(e && e != ERR_AGAIN);
    if (stream->state == STREAM_FAILED) {
        return;
    }
    if (!stream->why.text[0]) {
        why_set(&stream->why, "%s",
                stream->transport_errno ? strerror(stream->transport_errno) : err_name(e));
    }
    if (stream->peer[0]) {
        why_add(&stream->why, "%s", stream->peer);
    }
    stream->state = STREAM_FAILED;
    stream->e = e;
    watch_stop(&stream->watch);
    timer_release(&stream->limit);
    timer_arm(&stream->kick, 0);
}

/* Asks the loop for what there is to wait for. */
static void stream_watch(struct stream *stream)
{
    if (stream->state == STREAM_FAILED || stream->closed) {
        return;
    }
    unsigned events = 0;
    if (stream->state == STREAM_HANDSHAKE) {
        events = tls_session_wants_write(stream->session) ? WATCH_WRITE : WATCH_READ;
    } else {
        bool unsent = stream->session && tls_session_unsent(stream->session);
        bool ending = stream->finishing && !stream->finished;
        events |= stream->paused || stream->read_ended ? 0U : (unsigned)WATCH_READ;
        bool wants = stream->wants_writable && !stream->seat.waits;
        events |= wants || unsent || ending ? (unsigned)WATCH_WRITE : 0U;
        if (stream->hung_up && stream->paused) {
            watch_stop(&stream->watch); /* it would report the same in every turn */
            return;
        }
    }
    enum err e = watch_start(&stream->watch, events);
    if (e) {
        why_set(&stream->why, "can't wait for the socket: %s", err_name(e));
        stream_fail(stream, e);
    }
}

enum err stream_adopt(struct stream *stream, int fd, struct tls *tls, const char *name,
                      uint16_t port)
{
    assert(stream->fd < 0 || stream->fd == fd);
    stream->fd = fd;
    watch_init(&stream->watch, stream->loop, fd, stream_ready);
    stream->state = STREAM_HANDSHAKE;
    if (!tls) {
        return ERR_OK;
    }
    struct tls_transport transport = {
        .context = stream, .receive = socket_receive, .send = socket_send};
    enum err e = tls_session_open(&stream->session, tls, name, port, &transport);
    if (e) {
        why_set(&stream->why, e == ERR_NOMEM ? "no memory for TLS" : "the name %.64s is too long",
                name ? name : "");
    }
    return e;
}

void stream_go_on(struct stream *stream)
{
    if (stream->session) {
        enum err e = tls_session_handshake(stream->session, &stream->why);
        if (e) {
            socket_push(stream->fd); /* the messages of a turn, in one packet */
        }
        if (e == ERR_AGAIN) {
            stream_watch(stream);
            return;
        }
        if (e) {
            stream_fail(stream, e);
            return;
        }
    }
    stream->state = STREAM_OPEN;
    pacer_took(&stream->seat, (size_t)stream->handshake_sent); /* what follows waits for it */
    stream->was_open = true;
    stream->why.text[0] = 0;
    timer_release(&stream->limit);
    connector_close(stream);
    stream_call_begin(stream);
    if (stream->listener) {
        listener_ready(stream->listener, stream);
    } else if (stream->handler.on_open) {
        stream->handler.on_open(stream->context);
    }
    if (!stream_call_end(stream)) {
        return;
    }
    if (stream->session) {
        socket_push(stream->fd); /* unless a first request has taken the last message along */
    }
    if (stream->session && tls_session_has_input(stream->session)) {
        timer_arm(&stream->kick, 0);
    }
    stream_watch(stream);
}

void stream_take(struct stream *stream, const struct stream_handler *handler, void *context)
{
    assert(handler->on_readable && handler->on_closed);
    stream->handler = *handler;
    stream->context = context;
}

/* --- events --- */

/* True while the stream may still be used. */
static bool stream_call_readable(struct stream *stream)
{
    if (stream->paused || stream->read_ended || !stream->handler.on_readable) {
        return true;
    }
    stream_call_begin(stream);
    stream->handler.on_readable(stream->context);
    if (!stream_call_end(stream)) {
        return false;
    }
    /* What TLS has decrypted already makes no socket readable. */
    if (stream->session && !stream->paused && !stream->read_ended &&
        tls_session_has_input(stream->session)) {
        timer_arm(&stream->kick, 0);
    }
    return true;
}

static void stream_try_finish(struct stream *stream)
{
    enum err e = ERR_OK;
    if (stream->session) {
        e = tls_session_finish(stream->session, &stream->why);
    }
    if (e && e != ERR_AGAIN) {
        stream_fail(stream, e);
    } else if (!e) {
        stream->finished = true;
        (void)shutdown(stream->fd, SHUT_WR); /* ENOTCONN: reading will tell */
    }
}

static void stream_writable(struct stream *stream)
{
    if (stream->session) {
        enum err e = tls_session_flush(stream->session, &stream->why);
        if (e && e != ERR_AGAIN) {
            stream_fail(stream, e);
        }
        if (e) {
            return;
        }
    }
    if (stream->finishing && !stream->finished) {
        stream_try_finish(stream);
    } else if (stream->wants_writable && !stream->seat.waits) {
        stream->wants_writable = false;
        stream_call_begin(stream);
        if (stream->handler.on_writable) {
            stream->handler.on_writable(stream->context);
        }
        if (!stream_call_end(stream)) {
            return;
        }
    }
}

void stream_paced(struct stream *stream)
{
    if (stream->state != STREAM_OPEN || !stream->wants_writable) {
        return;
    }
    stream->busy++; /* as below */
    stream_writable(stream);
    if (stream_call_end(stream)) {
        stream_watch(stream);
    }
}

static void stream_ready(struct watch *watch, unsigned events)
{
    struct stream *stream = CONTAINER_OF(watch, struct stream, watch);
    if (stream->state == STREAM_HANDSHAKE) {
        stream_go_on(stream);
        return;
    }
    stream->busy++; /* it must outlive this function */
    if (events & WATCH_ERROR && stream->paused) {
        stream->hung_up = true;
    }
    if (events & (WATCH_READ | WATCH_ERROR)) {
        (void)stream_call_readable(stream);
    }
    if (!stream->closed && stream->state == STREAM_OPEN && events & WATCH_WRITE) {
        stream_writable(stream);
    }
    if (stream_call_end(stream)) {
        stream_watch(stream);
    }
}

static void stream_report(struct stream *stream)
{
    if (stream->listener && !stream->was_open) {
        /* Unread bytes would make closing a reset, and that could destroy our alert on its way. */
        uint8_t unread[1024];
        size_t size;
        (void)shutdown(stream->fd, SHUT_WR);
        for (int i = 0; i < 16 && socket_receive(stream, unread, sizeof unread, &size) == ERR_OK;
             i++) {
        }
        listener_failed(stream->listener, stream);
        return;
    }
    stream->busy++;
    /* A peer that refuses what we send may have said why: it is read first. */
    if (stream->was_open) {
        (void)stream_call_readable(stream);
    }
    if (!stream->closed && !stream->reported) {
        stream->reported = true;
        timer_disarm(&stream->kick);
        if (stream->handler.on_closed) {
            stream->handler.on_closed(stream->context, stream->e, &stream->why);
        }
    }
    (void)stream_call_end(stream);
}

static void stream_kicked(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, kick);
    if (stream->state == STREAM_FAILED) {
        stream_report(stream);
    } else if (stream->state == STREAM_OPEN && stream_call_readable(stream)) {
        stream_watch(stream);
    }
}

/* --- the user's verbs --- */

enum err stream_read(struct stream *stream, uint8_t *data, size_t size, size_t *ret_size)
{
    assert(size > 0);
    if (stream->read_ended || stream->fd < 0 || stream->state < STREAM_OPEN) {
        return stream->state < STREAM_OPEN ? ERR_AGAIN : ERR_CLOSED;
    }
    size_t got = 0;
    struct why why = {.text = ""};
    enum err e = stream->session ? tls_session_read(stream->session, data, size, &got, &why)
                                 : socket_receive(stream, data, size, &got);
    if (!e && got) {
        stream->payload_received += got;
        *ret_size = got;
        return ERR_OK;
    }
    if (e == ERR_AGAIN) {
        return e;
    }
    stream->read_ended = true;
    if (!e) {
        e = ERR_CLOSED;
        why_set(&why, "the peer ended the connection");
    }
    if (stream->state == STREAM_OPEN) {
        stream->why = why;
    } else if (e == ERR_AUTH) { /* the alert says more than the write that failed after it */
        stream->e = e;
        stream->why = why;
        why_add(&stream->why, "%s", stream->peer);
    }
    stream_fail(stream, e);
    return e;
}

static void stream_count_paced(struct stream *stream)
{
    struct wire_estimate estimate;
    if (stream->seat.pacer && wire_estimate(stream->fd, &estimate)) {
        pacer_counted(&stream->seat, estimate.sent);
    }
}

enum err stream_write(struct stream *stream, struct slice data, size_t *ret_size)
{
    assert(!stream->finishing);
    *ret_size = 0;
    if (stream->state != STREAM_OPEN) {
        return stream->state < STREAM_OPEN ? ERR_AGAIN : ERR_CLOSED;
    }
    size_t taken = 0;
    enum err e = ERR_OK;
    stream_count_paced(stream);
    size_t may = pacer_may(&stream->seat, data.size);
    while (taken < may) {
        struct slice rest = {data.data + taken, may - taken};
        size_t step = 0;
        e = stream->session ? tls_session_write(stream->session, rest, &step, &stream->why)
                            : socket_send(stream, rest, &step);
        if (e || step == 0) {
            break;
        }
        taken += step;
    }
    pacer_took(&stream->seat, taken);
    stream->payload_sent += taken;
    *ret_size = taken;
    if (e && e != ERR_AGAIN) {
        stream_fail(stream, e);
        return e;
    }
    stream->wants_writable = taken < data.size;
    stream_watch(stream);
    return ERR_OK;
}

void stream_send_buffer_set(struct stream *stream, uint32_t size)
{
    if (stream->state == STREAM_OPEN && size) {
        socket_send_buffer_set(stream->fd, size);
    }
}

void stream_read_pause(struct stream *stream)
{
    stream->paused = true;
    if (stream->state == STREAM_OPEN) {
        stream_watch(stream);
    }
}

void stream_read_resume(struct stream *stream)
{
    if (!stream->paused) {
        return;
    }
    stream->paused = false;
    if (stream->state == STREAM_OPEN) {
        bool has_input = stream->session && tls_session_has_input(stream->session);
        if (has_input || stream->hung_up) {
            timer_arm(&stream->kick, 0);
        }
        stream->hung_up = false;
        stream_watch(stream);
    }
}

void stream_finish(struct stream *stream)
{
    if (stream->finishing || stream->state != STREAM_OPEN) {
        return;
    }
    stream->finishing = true;
    stream->wants_writable = false;
    stream_try_finish(stream);
    stream_watch(stream);
}

void stream_wire_count(const struct stream *stream, struct wire_count *ret)
{
    *ret = (struct wire_count){.payload_sent = stream->payload_sent,
                               .payload_received = stream->payload_received};
    ret->sent = ret->payload_sent;
    ret->received = ret->payload_received;
    struct wire_estimate estimate;
    if (stream->fd >= 0 && wire_estimate(stream->fd, &estimate)) {
        ret->sent = estimate.sent;
        ret->received = estimate.received;
        ret->round_trip_us = estimate.round_trip_us;
        ret->delivery_rate = estimate.delivery_rate;
    }
    ret->sent += stream->names_sent;
    ret->received += stream->names_received;
    ret->resumed = stream->session && tls_session_is_resumed(stream->session);
}

const char *stream_peer(const struct stream *stream)
{
    return stream->peer;
}

bool stream_peer_user(const struct stream *stream, uint32_t *ret_user)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (stream->fd < 0 || getsockopt(stream->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        peer.uid == (uid_t)-1) {
        return false; /* of another family nobody is known */
    }
    *ret_user = peer.uid;
    return true;
}

int64_t stream_peer_end_s(const struct stream *stream)
{
    return stream->session ? tls_session_peer_end_s(stream->session) : 0;
}

size_t stream_unsent(const struct stream *stream)
{
    int queued = 0;
    if (stream->fd < 0 || ioctl(stream->fd, SIOCOUTQ, &queued) != 0 || queued < 0) {
        queued = 0;
    }
    return (size_t)queued + (stream->session ? tls_session_unsent(stream->session) : 0);
}
