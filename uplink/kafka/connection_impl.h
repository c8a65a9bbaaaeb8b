/* What the files of a connection share: connection.c opens, writes and ends it, connection_login.c
 * asks for versions and logs in, connection_read.c takes the answers. Loop thread. */
#ifndef WEIR_UPLINK_KAFKA_CONNECTION_IMPL_H
#define WEIR_UPLINK_KAFKA_CONNECTION_IMPL_H

#include "ports/stream.h"
#include "ports/uplink.h"
#include "uplink/kafka/connection.h"

#define CONNECTION_FRONT_SIZE 8192 /* a request of a flush on a thin link, in most cases */

enum connection_state {
    OPENING,      /* TCP, TLS */
    VERSIONS,     /* asked for */
    TOKEN,        /* an access token is waited for */
    HANDSHAKE,    /* the mechanism is named */
    AUTHENTICATE, /* tokens */
    READY,
    CLOSED,
};

struct connection {
    const struct connection_settings *settings;
    const struct connection_handler *handler;
    void *context;
    struct stream *stream;
    uint32_t send_buffer_size;
    enum connection_state state;
    char name[WIRE_HOST_SIZE_MAX + 8]; /* host:port, for texts */
    struct wire_versions versions;
    unsigned busy;         /* callbacks that are running */
    bool close_wanted;     /* by the user, during one */
    bool cut_short;        /* it ended with requests that had no answer */
    bool was_open;         /* TCP and TLS came about */
    uint64_t ready_ms;     /* when it was logged in first; 0: never */
    bool was_answered;     /* a request of the user's, ever */
    bool was_full;         /* on_ready is owed once there is room */
    struct timer timer;    /* looks at the request in front */
    struct timer pause;    /* while throttled */
    struct timer renew;    /* the login ends soon */
    uint64_t look_ms;      /* how often a new access token is looked for then */
    struct timer slow;     /* the next token takes more than one turn */
    struct timer broken;   /* it ends in the next turn, not within the user's call */
    uint64_t written;      /* bytes */
    uint64_t acknowledged; /* of these, by the peer's kernel, at the timer's last look */
    uint64_t progress_ms;  /* when there was some */
    struct wire_told wire; /* reported so far */

    /* In the order of sending; + 1: our own, while logging in. */
    struct connection_request *requests[CONNECTION_IN_FLIGHT_MAX + 1];
    unsigned request_count;
    int32_t correlation_next;

    unsigned writing; /* index of the request that is being written; == request_count: none */
    bool begun;       /* the front of it is gathered */
    size_t piece;     /* of the body: what comes behind that */
    size_t piece_at;
    /* Header and body as far as they fit: what is written in one go leaves in one packet, and in one
     * record of TLS. */
    uint8_t front_memory[CONNECTION_FRONT_SIZE];
    struct out front;
    size_t front_at;

    uint8_t *answer; /* size, correlation, body */
    size_t answer_room;
    size_t answer_size;
    size_t skip; /* bytes of a too large answer that are still to come */

    struct sasl sasl;
    struct connection_request own; /* while logging in */
    struct slice own_body;
    uint8_t own_memory[WIRE_SASL_TOKEN_AT + SASL_TOKEN_SIZE_MAX];
};

/* --- connection.c --- */

/* Around everything that calls the user: he may close the connection meanwhile. */
void connection_enter(struct connection *c);
void connection_leave(struct connection *c);
/* Queues a request; it is written by connection_write(). */
void connection_put(struct connection *c, struct connection_request *request);
/* Writes what can be written. */
void connection_write(struct connection *c);
/* The request in front has its whole time before it. */
void connection_watch(struct connection *c);
/* Reports the bytes on the wire. */
void connection_count(struct connection *c);
/* It is over: every request is answered with `e`, then the user hears of it. */
void connection_fail(struct connection *c, enum err e, const struct why *why);

/* --- connection_login.c --- */

/* The stream is open: asks for the versions, then logs in. */
void login_open(struct connection *c);
/* Logs in, again if need be; without "sasl" the connection is ready. */
void login_begin(struct connection *c);
/* The timers `renew` and `slow`. */
void login_renew(struct timer *timer);
void login_go_on(struct timer *timer);

/* --- connection_read.c --- */

/* Reads all that is there. Within connection_enter(). */
void connection_read(struct connection *c);
/* Makes room for an answer of `size` bytes. */
enum err connection_read_room(struct connection *c, size_t size) MUST_USE;

#endif
