/* HTTP/1.1 server: libmicrohttpd on our loop, by its epoll descriptor. ports/lib/http_server.c is
 * the only file that includes microhttpd.h. With TLS, connections are accepted by ports/stream.h
 * and their bytes carried to the library over a socket pair. Loop thread only.
 *
 * The life of an exchange: on_request() when the head is there, on_body() with each piece of the
 * body, on_complete() when all of it is there; http_exchange_answer() exactly once at any of these
 * moments or later; on_gone() at the end, answered or not (the peer may vanish). */
#ifndef WEIR_PORTS_LIB_HTTP_SERVER_H
#define WEIR_PORTS_LIB_HTTP_SERVER_H

#include "ports/loop.h"
#include "ports/slice.h"

struct http_server;
struct http_exchange;
struct tls;

struct http_server_options {
    const char *host; /* an address: "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;    /* 0: the system chooses */
    struct tls *tls;  /* NULL: plain */
    uint32_t connection_max;
    uint32_t idle_ms;    /* a connection without a byte for so long is closed */
    uint32_t request_ms; /* a request must be there whole within this time, however it drips */
};

struct http_server_handler {
    void (*on_request)(void *context, struct http_exchange *exchange);
    void (*on_body)(void *context, struct http_exchange *exchange, struct slice piece);
    void (*on_complete)(void *context, struct http_exchange *exchange);
    void (*on_gone)(void *context, struct http_exchange *exchange);
};

enum err http_server_open(struct http_server **ret, struct loop *loop,
                          const struct http_server_options *options,
                          const struct http_server_handler *handler, void *context,
                          struct why *why) MUST_USE;
uint16_t http_server_port(const struct http_server *server);
/* No new connections; what is under way goes on. */
void http_server_stop(struct http_server *server);
/* Sends what is answered as far as the sockets take it, ends all connections; on_gone() comes for
 * each exchange. Every exchange must be answered. NULL is allowed. */
void http_server_close(struct http_server *server);

const char *http_exchange_method(const struct http_exchange *exchange);
/* Percent signs are decoded; begins with '/'. */
const char *http_exchange_path(const struct http_exchange *exchange);
/* NULL: not there. */
const char *http_exchange_header(const struct http_exchange *exchange, const char *name);
/* Does it carry "Authorization: Bearer TOKEN"? Takes as long whatever the first difference. A token
 * of NULL: none is wanted, true. */
bool http_exchange_has_token(const struct http_exchange *exchange, const char *token);
/* "192.0.2.1:4711", for logs. */
const char *http_exchange_peer(const struct http_exchange *exchange);
/* The caller's own. */
void http_exchange_keep(struct http_exchange *exchange, void *value);
void *http_exchange_kept(const struct http_exchange *exchange);
bool http_exchange_is_answered(const struct http_exchange *exchange);

struct http_header {
    const char *name;
    const char *value;
};

struct http_reply {
    unsigned status;
    struct slice body;        /* copied */
    const char *content_type; /* NULL: JSON */
    const char *header_name;  /* one further header; NULL: none */
    const char *header_value;
    const struct http_header *headers; /* and more of them */
    size_t header_count;
};
/* Without memory for it the connection is closed unanswered. */
void http_exchange_answer(struct http_exchange *exchange, const struct http_reply *reply);

#endif
