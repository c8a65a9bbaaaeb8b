/* A Pub/Sub of our own making that speaks gRPC over HTTP/2 without TLS: what it answers is the test's
 * to say, request by request, and what it has stored can be looked at. */
#ifndef WEIR_TESTS_UPLINK_GRPC_SERVER_H
#define WEIR_TESTS_UPLINK_GRPC_SERVER_H

#include "ports/stream.h"
#include "uplink/google/publish.h"

#define GRPC_STORED_MAX 4096
#define GRPC_CONNECTION_MAX 16
#define GRPC_BODY_MAX (4 * 1024 * 1024)

/* What becomes of a request, beside codes of gRPC (0 to 16). */
enum grpc_fate {
    GRPC_FATE_RESET = 100, /* its stream is reset */
    GRPC_FATE_CLOSE,       /* the connection is cut */
    GRPC_FATE_SILENT,      /* status 200 and a body, but no grpc-status */
    GRPC_FATE_HTTP,        /* + status: an answer without gRPC */
};

/* One request, whole. */
struct grpc_call {
    char path[256], authorization[2048], content_type[64], te[16], encoding[16];
    struct slice request; /* the PublishRequest, unpacked */
    struct slice topic;
    uint32_t message_count;
    size_t body_size; /* as it came */
};

struct grpc_stored {
    char id[128], last[32], key[1100];
    uint8_t data[64]; /* the front */
    size_t size;
};

struct grpc_server {
    struct loop *loop;
    struct listener *listener;
    struct grpc_peer *peers[GRPC_CONNECTION_MAX];
    size_t peer_count;
    struct grpc_exchange *exchanges;
    unsigned count;        /* of requests */
    struct grpc_call last; /* its slices are good in fate() only */
    struct grpc_stored stored[GRPC_STORED_MAX];
    size_t stored_count;
    /* What becomes of the request in server->last; NULL: it is stored. */
    int (*fate)(struct grpc_server *server);
    bool answers_gzip; /* as grpc-go does to a compressed request */
    void *context;
    char url[64];
};

void grpc_server_open(struct grpc_server *server, struct loop *loop);
void grpc_server_close(struct grpc_server *server);
/* Ends all connections. */
void grpc_server_cut(struct grpc_server *server);

#endif
