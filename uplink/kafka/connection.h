/* One connection to one broker: opens, asks for the versions, logs in, and then carries requests
 * and their answers, which come in the order of the requests. Loop thread. */
#ifndef WEIR_UPLINK_KAFKA_CONNECTION_H
#define WEIR_UPLINK_KAFKA_CONNECTION_H

#include "ports/loop.h"
#include "uplink/kafka/sasl.h"
#include "uplink/kafka/wire.h"

struct connection;
struct names;
struct tls;
struct tokens;
struct uplink_link;

#define CONNECTION_IN_FLIGHT_MAX 4 /* requests written, or being written, and not answered */

/* The same for all connections of an uplink; lives longer than they do. */
struct connection_settings {
    struct loop *loop;
    struct names *names;
    struct tls *tls; /* NULL: plain TCP */
    const char *server_name;
    struct sasl_store *sasl; /* NULL: no login */
    struct tokens *tokens;   /* without which it can't begin; NULL: it needs none */
    const char *client_id;
    uint32_t answer_timeout_ms; /* while the request in front makes no progress */
    uint32_t idle_ms_max;       /* what is silent for so long is closed; 0: it stays open */
    void *context;
    void (*wire_bytes)(void *context, uint64_t sent, uint64_t received);
    /* How connections are to be opened now; NULL: as the system likes. */
    void (*link)(void *context, struct uplink_link *ret);
    bool is_urgent; /* among those that share the link */
};

/* Called on the loop, never within a call of the user's. */
struct connection_handler {
    /* Logged in; and again whenever there is room after there was none. */
    void (*on_ready)(void *context);
    /* It is over. All requests were answered before, with `e`. The user then calls
     * connection_close(). ERR_AUTH, ERR_VERSION: another try will not help until a
     * setting changes. */
    void (*on_closed)(void *context, enum err e, const struct why *why);
};

/* The caller's memory until answered(). */
struct connection_request {
    enum wire_api api;
    const struct slice *body; /* pieces, sent one behind the other; must stay until answered() */
    size_t body_count;
    /* Exactly once, never within connection_send(). e: ERR_OK with the answer's body, valid during
     * the call; ERR_REJECTED: the answer is larger than WIRE_ANSWER_SIZE_MAX; else why the
     * connection ended. To return an error ends the connection: the answer made no sense. */
    enum err (*answered)(struct connection_request *request, enum err e, struct slice answer);
    int16_t version; /* 0: wire_version() of the API */
    bool started;    /* a byte of it may have left: else nothing can have happened at the broker */
    int32_t correlation; /* the connection's */
};

enum err connection_open(struct connection **ret, const struct connection_settings *settings,
                         const char *host, uint16_t port, const struct connection_handler *handler,
                         void *context) MUST_USE;
/* At once; no callback follows. Allowed within callbacks, and with NULL. */
void connection_close(struct connection *connection);
/* Ends it in the next turn, with all callbacks. NULL is allowed. */
void connection_cut(struct connection *connection);
/* Gives the connection another owner. */
void connection_context_set(struct connection *connection, void *context);

/* May connection_send() be called: logged in, not throttled, fewer than
 * CONNECTION_IN_FLIGHT_MAX in flight? */
bool connection_has_room(const struct connection *connection);
/* Has the broker asked for a pause that is not over? */
bool connection_is_throttled(const struct connection *connection);
bool connection_is_idle(const struct connection *connection);
void connection_send(struct connection *connection, struct connection_request *request);
/* The broker asked for a pause: no requests for so long. */
void connection_throttle(struct connection *connection, int32_t throttle_ms);
/* Has it ever answered a request of the user's, or been logged in for a minute? One that only logs in is
 * of no use. */
bool connection_has_served(const struct connection *connection);
/* In on_closed(): did it end while answers were still to come? */
bool connection_was_cut_short(const struct connection *connection);
/* When it was logged in first, by the loop's clock; 0: it has not been. */
uint64_t connection_ready_ms(const struct connection *connection);
/* Did TCP and TLS come about? What went wrong after that is the login, or the protocol. */
bool connection_was_open(const struct connection *connection);
/* When the first certificate of the broker's chain expires; 0: unknown, as stream_peer_end_s(). */
int64_t connection_peer_end_s(const struct connection *connection);
/* The highest version that the broker has of this API; -1: it does not have it. */
int16_t connection_api_max(const struct connection *connection, enum wire_api api);

#endif
