/* What stream.c, socket.c, connect.c and listener.c share. */
#ifndef WEIR_PORTS_LINUX_STREAM_IMPL_H
#define WEIR_PORTS_LINUX_STREAM_IMPL_H

#include <sys/socket.h>

#include "ports/lib/tls_session.h"
#include "ports/pacer.h"
#include "ports/stream.h"

#define STREAM_PEER_SIZE 128
#define STREAM_TIMEOUT_MS 10000 /* connecting, or a client's TLS handshake */

enum stream_state {
    STREAM_CONNECTING, /* connect.c owns the watch */
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_FAILED, /* on_closed follows, or has come */
};

struct connector; /* connect.c: what only connecting needs */

struct stream {
    struct loop *loop;
    struct stream_handler handler;
    void *context;
    enum stream_state state;
    int fd; /* -1: none yet */
    struct watch watch;
    struct timer kick;  /* what must not happen within a call of the user's */
    struct timer limit; /* until open */
    uint32_t limit_ms;
    struct connector *connector;
    struct tls_session *session;   /* NULL: plain */
    struct listener *listener;     /* NULL: connected by us, or the listener is closed */
    struct stream *before, *after; /* of the listener */
    bool was_open;
    bool paused;
    bool wants_writable;    /* a write took less than all */
    struct pacer_seat seat; /* waits: it is not the socket that has no room */
    bool finishing;         /* stream_finish() was called */
    bool finished;          /* and its FIN is out */
    bool read_ended;        /* nothing more comes */
    bool hung_up;           /* the socket says so, while reading is paused */
    bool reported;          /* on_closed was called */
    bool closed;            /* stream_close() was called */
    bool quick_ack;         /* what is received is acknowledged at once */
    unsigned busy;          /* calls of the user's under way: freed after the last */
    int transport_errno;
    enum err e;
    struct why why;
    uint64_t payload_sent;
    uint64_t payload_received;
    uint32_t names_sent, names_received; /* by name servers' answers for it */
    uint64_t handshake_sent;
    char peer[STREAM_PEER_SIZE];
};

/* A stream without descriptor. */
enum err stream_new(struct stream **ret, struct loop *loop) MUST_USE;
/* Gives it a connected descriptor, and starts the TLS handshake. `tls` NULL: it is open. The
 * session is opened before; nothing is called yet. */
enum err stream_adopt(struct stream *stream, int fd, struct tls *tls, const char *name,
                      uint16_t port) MUST_USE;
/* Goes on with the handshake, or tells that the stream is open. From a watch or timer only. */
void stream_go_on(struct stream *stream);
/* Ends it: on_closed follows. `why` must be set. */
void stream_fail(struct stream *stream, enum err e);
/* The pacer lets it write. */
void stream_paced(struct stream *stream);
/* For the texts and stream_peer(). */
void address_format(const struct sockaddr *address, char *text, size_t text_size);
/* Options of every connected TCP socket; sizes of 0 are the system's. */
void socket_configure(int fd, uint32_t keepalive_s, uint32_t send_buffer_size);
void socket_send_buffer_set(int fd, uint32_t size);
/* Sends what waits for more: the messages of a handshake do, so that few packets carry them. */
void socket_push(int fd);
/* Closing it resets the connection. */
void socket_forget_unsent(int fd);

/* Does the other end of this accepted IPv4 connection belong to this process? */
bool socket_is_own(int fd) MUST_USE;

/* The transport of a TLS session, or of the stream itself; `context` is the stream. ERR_AGAIN: not
 * now. Size 0 received: the peer has ended. */
enum err socket_receive(void *context, uint8_t *data, size_t size, size_t *ret_size) MUST_USE;
enum err socket_send(void *context, struct slice data, size_t *ret_size) MUST_USE;

void connector_close(struct stream *stream);

/* The stream of a listener is ready for the user, has failed before it was, or is closed. */
void listener_ready(struct listener *listener, struct stream *stream);
void listener_failed(struct listener *listener, struct stream *stream);
void listener_forget(struct listener *listener, struct stream *stream);

#endif
