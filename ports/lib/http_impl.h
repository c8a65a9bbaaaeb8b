/* What the files of the HTTP client share. One request is a `struct http_call`: http.c has the list
 * of them, their beginning and end, http_request.c tells curl what to send, http_answer.c takes in
 * what comes back, http_socket.c has curl's sockets and timer on our loop, http_limit.c how long all
 * of it may take, http_proxy.c who stands in between. */
#ifndef WEIR_PORTS_LIB_HTTP_IMPL_H
#define WEIR_PORTS_LIB_HTTP_IMPL_H

#include <curl/curl.h>

#include "ports/http.h"
#include "ports/names.h"

#define HTTP_INTERFACE_SIZE_MAX 64 /* the kernel's names are shorter */
#define HTTP_IDENTITY_MAX 8        /* different TLS settings of one client */

/* Connections are only shared by requests with the same TLS settings: each of these has a curl
 * multi handle of its own. */
struct http_identity {
    struct http *http;
    struct tls *tls; /* NULL until the first request with https */
    CURLM *multi;
    struct timer timer; /* curl's */
    struct http_socket *sockets;
    uint64_t closed_sent, closed_received;        /* of sockets that are gone, not yet told */
    char interface_name[HTTP_INTERFACE_SIZE_MAX]; /* of its connections; "": any */
    bool has_sessions;          /* the multi handle was given those that were kept */
    bool is_mixed;              /* some of them are another one's: none is used again */
    struct tls_options options; /* copies of the texts */
    char *texts[5];
};

struct http_socket {
    struct http_socket *next;
    struct http_identity *identity;
    struct watch watch;
    int fd;
    curl_off_t connection;   /* curl's number of it */
    uint64_t sent, received; /* told already */
};

struct http_call {
    struct http_request *request;
    struct http_identity *identity;
    struct http_call *next;
    CURL *easy;
    struct timer limit; /* looks whether there is progress; curl may lose its own timer */
    bool added;         /* to the multi */
    bool asking;
    bool is_https;
    bool too_large;
    bool no_memory;
    bool is_proxied;
    bool proxy_has_user;
    struct name_query query;            /* of the host, or of the proxy */
    char host[NAMES_HOST_SIZE_MAX];     /* of the URL that was given */
    char url_host[NAMES_HOST_SIZE_MAX]; /* of the one that curl has: for TLS */
    uint16_t port;
    uint32_t timeout_ms;     /* without progress */
    uint64_t connect_end_ms; /* by then there must be a connection, */
    uint64_t end_ms;         /* and by then an answer */
    uint64_t moved;          /* bytes of its connection, at the last look */
    uint64_t moved_ms;       /* when that was another number last */
    struct curl_slist *headers;
    struct curl_slist *resolve;
    struct curl_slist *connect_to;
    uint8_t *body;
    size_t body_size, body_room;
    char retry_after[64];
    struct http_answer answer;
    char error[CURL_ERROR_SIZE];
};

struct http {
    struct loop *loop;
    struct names *names;
    struct http_identity *identities[HTTP_IDENTITY_MAX];
    struct http_call *calls;    /* under way */
    struct http_call *finished; /* done() is to be called */
    size_t call_count;          /* of both */
    struct timer deliver;
    void (*link)(void *context, struct http_link *ret); /* NULL: none */
    void *link_context;
    struct tickets *tickets; /* NULL: sessions are not kept through restarts */
    char tickets_name[64];
};

/* Sets an option; one that could not be set is remembered as no_memory. */
#define SET(call, option, value) \
    http_call_was_set((call), curl_easy_setopt((call)->easy, (option), (value)))

/* --- http.c --- */

void http_call_was_set(struct http_call *call, CURLcode code);
struct http_link http_link(const struct http *http);

/* From the list of those under way to the end of that of the finished: done() is called in a turn
 * of its own, so that the user may do anything there. */
void http_call_finish(struct http_call *call);
/* The same with an error. */
void http_call_fail(struct http_call *call, enum err e);
/* Nobody waits for the name any more. */
void http_call_stop_asking(struct http_call *call);

/* --- http_request.c --- */

/* Takes host and port out of the URL. ERR_CONFIG: it is none that can be used. ERR_NOMEM. */
enum err http_call_set_url(struct http_call *call) MUST_USE;
/* What curl says of a URL, likewise. */
enum err http_url_error(CURLUcode code);
/* Method, headers, body, and how to connect. Without memory: call->no_memory. */
void http_call_set_request(struct http_call *call);
/* Tells curl the addresses that were found, so that it asks nobody. */
void http_call_set_resolve(struct http_call *call);

/* --- http_proxy.c --- */

/* Through which proxy, if any: after the URL, before the name is asked for. ERR_CONFIG, ERR_NOMEM. */
enum err http_call_set_proxy(struct http_call *call, struct why *why) MUST_USE;
/* A proxy's own status: was it a refusal? Then call->answer says it, without user and password. */
bool http_call_proxy_refused(struct http_call *call, long status);

/* --- http_answer.c --- */

/* Where curl is to put the answer. */
void http_call_set_answer(struct http_call *call);
/* call->answer, except the bytes on the wire. */
void http_call_set_result(struct http_call *call, CURLcode code);

/* --- http_socket.c --- */

/* The multi handle, driven by the loop. False: no memory. */
bool http_sockets_open(struct http_identity *identity) MUST_USE;
/* Closes all connections. */
void http_sockets_close(struct http_identity *identity);
void http_call_set_sockets(struct http_call *call);
/* Bytes that the connection of the call has moved; while it waits for one: those of all others. */
uint64_t http_call_moved(const struct http_call *call);
/* Ends it for curl, without an answer. is_dead: with its connection, which HTTP/2 shares with others. */
void http_call_abort(struct http_call *call, bool is_dead);

/* --- http_sessions.c --- */

/* After it was added to the multi handle, and before it is removed. */
void http_call_give_sessions(struct http_call *call);
void http_call_take_sessions(struct http_call *call);
/* When its TLS settings are there, and before they go. */
void http_identity_join(struct http_identity *identity);
void http_identity_leave(struct http_identity *identity);

/* --- http_limit.c --- */

/* The time begins. */
void http_call_limit(struct http_call *call);
/* Has there been a connection to send it by? */
bool http_call_is_connected(const struct http_call *call);
/* Says in call->answer.why that it took too long. */
void http_call_say_late(struct http_call *call);

#endif
