/* The double of the service behind a real socket. */
#ifndef WEIR_TESTS_UPLINK_KINESIS_SERVER_H
#define WEIR_TESTS_UPLINK_KINESIS_SERVER_H

#include "ports/stream.h"
#include "tests/uplink/kinesis/service.h"

#define SERVER_VISIT_MAX 64

struct server {
    struct service service;
    struct listener *listener;
    struct visit {
        struct server *server;
        struct stream *stream;
        uint8_t *memory; /* the request as far as it is here */
        size_t size, size_max;
        uint8_t *answer;
        size_t answer_size, answer_sent;
    } visits[SERVER_VISIT_MAX];
    size_t visit_count;
    char url[64];
};

void server_open(struct server *server, struct loop *loop, unsigned shard_count);
void server_close(struct server *server);

#endif
