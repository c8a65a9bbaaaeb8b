/* The simulated network: peers of the agent, and what the link does to the bytes. */
#ifndef WEIR_TESTS_SIM_NET_H
#define WEIR_TESTS_SIM_NET_H

#include "ports/http.h"
#include "ports/slice.h"

/* --- the link; may be changed at any time --- */

struct net_link {
    uint32_t latency_us_min, latency_us_max; /* one way */
    uint64_t bytes_per_second;               /* 0: no limit */
    uint32_t chunk_max; /* bytes arrive in random pieces of 1..chunk_max; 0: as they were sent */
    uint32_t cut_per_million;    /* chance that a piece is cut at a random byte, and both ends see a
                                    broken connection */
    uint32_t refuse_per_million; /* chance that a connection is refused */
    bool down;                   /* nothing arrives; bytes wait, connecting times out */
};
/* The link's settings, to read and change. sim_open() sets 1..20 ms, 1 MB/s, pieces up to 1400
 * bytes, no cuts. */
struct net_link *net_link(void);

/* What the link did by chance, since sim_open(). */
struct net_counts {
    uint64_t cuts;     /* pieces cut at a random byte */
    uint64_t refusals; /* connections */
};
struct net_counts *net_counts(void);

/* --- peers --- */

struct net_peer; /* a peer's end of one connection; gone after on_closed() or net_close() */

struct net_handler {
    /* `server` is what net_listen() or net_connect() was given; what is returned is handed to the
     * other two. */
    void *(*on_open)(void *server, struct net_peer *peer);
    void (*on_data)(void *context, struct net_peer *peer, struct slice data);
    void (*on_closed)(void *context, struct net_peer *peer);
};

/* A server at "host:port", as the agent names it. */
void net_listen(const char *host, uint16_t port, const struct net_handler *handler, void *server);
/* New connections are refused; those that are there go on. */
void net_unlisten(const char *host, uint16_t port);
/* Connects to a listener of the agent's (listener_open()); on_open() or on_closed() (with NULL)
 * follows. */
void net_connect(const char *host, uint16_t port, const struct net_handler *handler, void *server);
/* Queued without bound. */
void net_send(struct net_peer *peer, struct slice data);
/* The agent reads what was sent, then the end. */
void net_finish(struct net_peer *peer);
/* At once, in both directions; no on_closed() follows. */
void net_close(struct net_peer *peer);
/* Breaks every connection of the agent, or those to one server. */
void net_cut_all(void);
void net_cut(const char *host, uint16_t port);

/* --- names --- */

/* Names resolve unless said otherwise; `host` NULL: all of them. */
void net_name_fails(const char *host, bool fails);

/* --- interfaces --- */

struct interface_state;
/* To read and change; up until it is changed. */
struct interface_state *net_interface(const char *name);
/* All as they were at first; sim_open() does it too. */
void net_interfaces_clear(void);

/* --- HTTP --- */

struct net_reply {
    enum err e; /* ERR_OK: `status` counts; else the request fails so, although it was handled */
    long status;
    struct slice body; /* copied */
    int64_t retry_after_ms;
    uint64_t delay_ms; /* on top of the link */
    int64_t ahead_s;   /* so far the server's clock is ahead of the agent's */
    bool has_no_date;  /* the answer does not say the server's time */
    bool never;        /* no answer: the request ends by its timeout */
};
/* The handler of all URLs that begin with `prefix` (the longest wins); NULL takes it away. Called
 * when the request arrives. Without handler requests are refused. */
void net_http(const char *prefix,
              void (*answer)(void *context, const struct http_request *request,
                             struct net_reply *ret),
              void *context);

#endif
