/* A small HTTP/1.1 server that answers what it is told, and keeps what it was asked: in the place of
 * token endpoints, the metadata server, and Pub/Sub's REST interface. */
#ifndef WEIR_TESTS_UPLINK_GOOGLE_SERVER_H
#define WEIR_TESTS_UPLINK_GOOGLE_SERVER_H

#include "ports/lib/http_server.h"

#define GOOGLE_ASKED_MAX 64

struct tls;

struct google_asked {
    char method[8];
    char path[256];
    char authorization[2048], content_type[64], flavor[32]; /* "": not there */
    char body[8192];
    size_t body_size; /* may be more than was kept */
};

struct google_server {
    struct http_server *server;
    unsigned count; /* of requests */
    struct google_asked asked[GOOGLE_ASKED_MAX];
    /* What the n-th gets: "200 {...}"; the last one is repeated. */
    const char *answers[GOOGLE_ASKED_MAX];
    size_t answer_count;
    struct tls *tls;
    char url[64]; /* http://127.0.0.1:PORT */
};

/* With TLS the server takes `tls` over; NULL: plain. */
void google_server_open(struct google_server *server, struct loop *loop, struct tls *tls);
void google_server_close(struct google_server *server);
/* From the next request on; ends with NULL. */
void google_server_answers(struct google_server *server, const char *const *answers);

#endif
