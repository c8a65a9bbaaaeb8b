/* Both ends of a connection in one process: a listener that echoes, a client that sends a known
 * pattern and checks what comes back. */
#ifndef WEIR_TESTS_PORTS_PEER_H
#define WEIR_TESTS_PORTS_PEER_H

#include "ports/names.h"
#include "ports/stream.h"

struct echo {
    struct stream *stream;
    struct server *server;
    uint8_t data[8192];
    size_t size, sent; /* taken from the stream and not given back yet */
    uint64_t total;
    bool closed;
    enum err e;
    struct why why;
};

#define SERVER_ECHO_MAX 16
#define PEER_WAIT_MS 60000 /* for what comes at once on a machine that is idle */

struct server {
    struct loop *loop;
    struct listener *listener;
    struct echo echoes[SERVER_ECHO_MAX];
    size_t count;
    size_t chunk_max;     /* 0: whatever fits; else at most 1..chunk_max bytes a read or write */
    uint64_t close_after; /* 0: never; else closes at once after so many bytes */
};

void server_open(struct server *server, struct loop *loop, const char *host, struct tls *tls);
void server_close(struct server *server);

struct client {
    struct loop *loop;
    struct stream *stream;
    uint64_t size; /* to send, and to get back */
    uint64_t sent, received;
    size_t chunk_max;
    bool open, closed, finish;
    bool pauses; /* stops reading now and then */
    struct timer pause;
    enum err e;
    struct why why;
};

/* Runs the loop until *flag, at most `limit_ms`; true when it was set. */
bool loop_until(struct loop *loop, const bool *flag, uint64_t limit_ms);

void client_open(struct client *client, struct loop *loop, struct names *names,
                 const struct stream_options *options, uint64_t size);
void client_close(struct client *client);

#endif
