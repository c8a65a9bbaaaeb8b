/* A simulated connection: a stream of the agent's, a peer, and a way for bytes in each direction.
 */
#ifndef WEIR_TESTS_SIM_CONNECTION_H
#define WEIR_TESTS_SIM_CONNECTION_H

#include "ports/stream.h"
#include "tests/sim/sim_impl.h"

#define HOST_SIZE 128

enum piece_kind { PIECE_DATA, PIECE_END, PIECE_RESET };

struct piece {
    struct piece *next;
    enum piece_kind kind;
    uint64_t due_us;
    size_t size;
    uint8_t data[];
};

struct way {
    struct connection *connection;
    bool to_agent;
    struct piece *first, **end;
    size_t size;      /* bytes on the way */
    uint64_t busy_us; /* until when the link sends what was put */
    uint64_t due_us;  /* of the last piece: nothing overtakes */
    bool ended;
    struct timer timer; /* of the world */
};

struct net_peer {
    struct connection *connection;
    const struct net_handler *handler;
    void *context;
    bool gone;
};

struct connection {
    struct connection *next;
    unsigned number;
    char host[HOST_SIZE];
    uint16_t port;
    struct stream *stream; /* NULL: the agent has closed it, or crashed */
    struct net_peer peer;
    struct way up, down; /* from and to the agent */
    unsigned busy;
    bool forgets; /* the agent's end was opened to forget what is unsent */
};

/* connection.c */
struct connection *connection_new(const char *host, uint16_t port,
                                  const struct net_handler *handler, struct stream *stream);
/* Tells the peer that it is open. */
void connection_open_peer(struct connection *c, void *server);
void way_put(struct way *way, enum piece_kind kind, struct slice data);
/* The stream is closed; pieces on their way to the peer still arrive. */
void connection_stream_gone(struct connection *c, bool in_order);
/* A server of net_listen(); false: there is none. */
bool net_server_find(const char *host, uint16_t port, const struct net_handler **ret_handler,
                     void **ret_server);

/* stream.c: what arrives. */
void stream_sim_data(struct stream *stream, struct slice data);
void stream_sim_room(struct stream *stream);
/* The agent has crashed: the stream is cut off. */
void stream_sim_orphan(struct stream *stream);
void stream_sim_ended(struct stream *stream, bool in_order);
/* True: a listener of the agent's took it. */
bool listener_sim_accept(const char *host, uint16_t port, const struct net_handler *handler,
                         void *server);

#endif
