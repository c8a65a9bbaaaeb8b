/* HTTP client: libcurl's multi interface on our loop. Only ports/lib/http*.c include curl.h;
 * tests/sim/http.c is the simulated twin. Connections are kept and reused, HTTP/2 over TLS where
 * the server has it; TLS by mbedTLS; names by ports/names.h. No redirects. Proxies as
 * http_request.proxy says, by default those of the environment. Loop thread. */
#ifndef WEIR_PORTS_HTTP_H
#define WEIR_PORTS_HTTP_H

#include "ports/loop.h"
#include "ports/slice.h"
#include "ports/tls.h"

/* A build may be made without it (the option WEIR_HTTP_CLIENT of CMake): http_open() gives ERR_CONFIG
 * there, and whose options need it refuses them. */

struct http;
struct names;
struct pacer;
struct tickets;

#define HTTP_HEADER_MAX 32
#define HTTP_REQUEST_MAX 64 /* under way at a time */
#define HTTP_ANSWER_SIZE_MAX (1024 * 1024)

enum err http_open(struct http **ret, struct loop *loop, struct names *names) MUST_USE;
/* How connections are to be opened now. */
struct http_link {
    const char *interface_name; /* to bind them to, until the next call; NULL: any */
    struct pacer *pacer;        /* is told what was sent, so that others wait for it; NULL: none */
    /* What the link carries in about a second: no more of a connection waits in the kernel, which
     * with a pacer sends no faster. 0: its own way. */
    uint32_t send_buffer_size;
    uint32_t keepalive_s; /* 0: the usual */
};
/* link() is asked with each request and each answer; NULL: as the system likes. A connection is used
 * again on its own interface only. */
void http_link_set(struct http *http, void (*link)(void *context, struct http_link *ret),
                   void *context);
/* TLS sessions are kept in `tickets` as those of `name` through restarts; before the first request.
 * `tickets` outlives the client; NULL: they are not. */
void http_tickets_set(struct http *http, struct tickets *tickets, const char *name);
/* The link is another one from now on: connections are closed, and requests under way end with
 * ERR_CLOSED, by done() in a later turn. What was on the wire and has not been told by an answer is
 * told here, and in no answer. */
void http_cut(struct http *http, uint64_t *ret_sent, uint64_t *ret_received);
/* Open requests are cancelled without done(). */
void http_close(struct http *http);

struct http_answer {
    enum err e;          /* OK: there is a status; else CLOSED, TIMEOUT, AUTH (TLS), ... and why */
    bool is_http2_error; /* e: HTTP/2 itself: the peer does not speak it, or has reset the stream */
    bool is_sent;        /* e: there was a connection to send it by; else nothing of it has left */
    long status;
    struct slice body;      /* until done() returns */
    int64_t retry_after_ms; /* Retry-After in seconds or as a date; 0: none */
    int64_t date_s;         /* the server's Date; 0: none */
    struct why why;
    int64_t peer_end_s; /* when the first certificate of the server's chain expires; 0: unknown */
    /* Estimated bytes on the wire since the last answer, headers, TLS and handshakes included. With
     * several requests at a time the sum is right, the share of each is not. */
    uint64_t wire_sent, wire_received;
};

/* The caller's memory; url, headers, body must live until done() or http_cancel(). */
struct http_request {
    const char *method; /* "GET", "POST", "PUT" */
    const char *url;
    const char *headers[HTTP_HEADER_MAX]; /* "Name: value"; ends with NULL */
    struct slice body;
    const struct tls_options *tls; /* NULL: defaults */
    const char *user;              /* basic authentication; NULL: none */
    const char *password;
    /* 0: 30 000. So long may connecting take, handshakes included, and so long may no byte be sent
     * or received then: slow links have the time they need. ERR_TIMEOUT. Bytes count when the other
     * end has them; there is a bound on the whole as well, which only serves against peers that
     * trickle: 20 times this and what all bytes take at 500 a second. */
    uint32_t timeout_ms;
    size_t answer_size_max; /* 0: 64 KiB; longer answers end with ERR_REJECTED */
    void (*done)(struct http_request *request,
                 const struct http_answer *answer); /* exactly once, never within http_send() */
    /* For each header of the answer, and each trailer; NULL: none wanted. Calls no http_*(). */
    void (*header)(struct http_request *request, struct slice name, struct slice value);
    /* "http://user:password@host:port": the request goes through this proxy, by CONNECT with https;
     * its name is asked for then, the server's is not. "": none. NULL: by the environment: https_proxy,
     * HTTPS_PROXY, http_proxy (lower case only), all_proxy, ALL_PROXY, and no_proxy, NO_PROXY with
     * names, domains and addresses; never for this machine and metadata services (169.254.0.0/16).
     * A proxy that refuses: ERR_AUTH (403, 407); that can't connect: ERR_CLOSED. Without TLS its
     * statuses, 407 apart, look like the server's own. */
    const char *proxy;
    bool http2_plain; /* HTTP/2 at once, without TLS: what gRPC emulators speak */
    void *private_;   /* the client's */
};

/* done() follows, also for a URL or certificate that is no use. ERR_FULL: HTTP_REQUEST_MAX are
 * under way. ERR_NOMEM. */
enum err http_send(struct http *http, struct http_request *request) MUST_USE;
/* No done() follows. A request that is not under way is left alone. */
void http_cancel(struct http *http, struct http_request *request);

#endif
