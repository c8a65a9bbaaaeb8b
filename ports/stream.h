/* A connection: TCP, or TLS on top of it. Never blocks; bounded memory; the caller reads and writes
 * when told. ports/linux/stream.c (with ports/lib/tls.c), tests/sim/stream.c. Loop thread only. */
#ifndef WEIR_PORTS_STREAM_H
#define WEIR_PORTS_STREAM_H

#include "ports/loop.h"
#include "ports/slice.h"

struct stream;
struct listener;
struct names;
struct pacer;
struct tls;

/* Called on the loop, never within a call of the user's. After on_closed nothing follows; the user
 * then calls stream_close(). */
struct stream_handler {
    void (*on_open)(void *context);     /* connected, TLS handshake done, name verified */
    void (*on_readable)(void *context); /* read until ERR_AGAIN, or stop by stream_read_pause() */
    void (*on_writable)(void *context); /* a write took less than all: there is room again */
    /* ERR_CLOSED: by the peer, in order; ERR_AUTH: TLS verification or alert; ERR_TIMEOUT; ERR_IO.
     * *why is a sentence for a person. */
    void (*on_closed)(void *context, enum err e, const struct why *why);
};

struct stream_options {
    const char *host;
    uint16_t port;
    struct tls *tls;             /* NULL: plain TCP */
    const char *server_name;     /* NULL: host */
    const char *interface_name;  /* SO_BINDTODEVICE; NULL: any */
    uint32_t connect_timeout_ms; /* 0: 10 000, name resolution, TCP and TLS together */
    uint32_t send_buffer_size;   /* 0: the system's; also sets TCP_NOTSENT_LOWAT to half of it */
    uint32_t keepalive_s;        /* 0: 60: TCP keep-alive after so many idle seconds */
    struct pacer *pacer; /* holds back what is written, once it is open; NULL: nothing does */
    bool is_urgent;      /* among those at the pacer */
    /* When it is closed, or the process dies, the kernel forgets what the peer has not got (RST):
     * nothing of it arrives behind what is sent on other connections. */
    bool forget_unsent;
};

/* on_open or on_closed follows. The options' strings are copied. */
enum err stream_connect(struct stream **ret, struct loop *loop, struct names *names,
                        const struct stream_options *options, const struct stream_handler *handler,
                        void *context) MUST_USE;

/* ERR_AGAIN: nothing there now. ERR_CLOSED: the peer has ended; on_closed follows or has come, as
 * it does with every other error. */
enum err stream_read(struct stream *stream, uint8_t *data, size_t size, size_t *ret_size) MUST_USE;
/* Takes as much as fits now (0 is possible): *ret_size < data.size means on_writable will come. */
enum err stream_write(struct stream *stream, struct slice data, size_t *ret_size) MUST_USE;
/* As send_buffer_size, from now on. */
void stream_send_buffer_set(struct stream *stream, uint32_t size);
/* No on_readable until resumed: TCP's window holds the peer back. */
void stream_read_pause(struct stream *stream);
void stream_read_resume(struct stream *stream);
/* Ends the sending side in order after what is written (TLS close_notify, FIN). */
void stream_finish(struct stream *stream);
/* At once; no callback follows. NULL is allowed. */
void stream_close(struct stream *stream);

/* Bytes as the network counts them, estimated from TCP_INFO: payload, IP and TCP headers of each
 * segment, retransmissions, handshakes; and what the name servers were asked for it. */
struct wire_count {
    uint64_t sent;
    uint64_t received;
    uint64_t payload_sent; /* bytes of the application */
    uint64_t payload_received;
    uint32_t round_trip_us; /* TCP's smoothed estimate; 0: unknown */
    uint64_t delivery_rate; /* bytes per second, TCP's estimate; 0: unknown */
    bool resumed;           /* the TLS session was resumed */
};
void stream_wire_count(const struct stream *stream, struct wire_count *ret);
/* Of a count that grows, so much was told already. */
struct wire_told {
    uint64_t sent;
    uint64_t received;
};
/* What went over it since *told was brought up to date, which this does. False: nothing. */
bool stream_wire_more(const struct stream *stream, struct wire_told *told,
                      struct wire_told *ret_more) MUST_USE;
/* "192.0.2.1:9092" or "[2001:db8::1]:9092", the peer's address, for logs. */
const char *stream_peer(const struct stream *stream);
/* Of a unix socket: the user that the peer runs as. False: not known. */
bool stream_peer_user(const struct stream *stream, uint32_t *ret_user) MUST_USE;
/* Bytes written by the user that the peer has not acknowledged (kernel's queue, TLS buffer). */
size_t stream_unsent(const struct stream *stream);

/* When the first certificate of the peer's chain expires, in seconds since 1970. 0: unknown: there
 * is no TLS, nothing was verified, or the session was resumed. */
int64_t stream_peer_end_s(const struct stream *stream);

struct listener_options {
    const char *host; /* "127.0.0.1", "::1", "" for all; or "unix:/path" */
    uint16_t port;    /* 0: the system chooses; see listener_port() */
    struct tls *tls;
    size_t connection_max; /* 0: 64; further ones are closed at once and counted */
    /* IPv4 loopback: only sockets of this process may connect, others are closed at once and
     * counted as refused. What they send is acknowledged at once (TCP_QUICKACK), because a library
     * may not have set TCP_NODELAY. */
    bool own_only;
};

/* `accepted` gets an open stream (TLS handshake done) and sets its handler and context by
 * stream_take(). */
enum err listener_open(struct listener **ret, struct loop *loop,
                       const struct listener_options *options,
                       void (*accepted)(void *context, struct stream *stream), void *context,
                       struct why *why) MUST_USE;
uint16_t listener_port(const struct listener *listener);
/* Since it was opened. */
struct listener_counts {
    uint64_t accepted;
    uint64_t refused; /* beyond connection_max, no memory or descriptor for it, or not our own */
    uint64_t failed;  /* in the TLS handshake */
    struct why last_failure; /* of these */
};
void listener_counts(const struct listener *listener, struct listener_counts *ret);
/* Streams that were accepted go on. */
void listener_close(struct listener *listener);
void stream_take(struct stream *stream, const struct stream_handler *handler, void *context);

#endif
