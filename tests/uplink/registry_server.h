/* A small HTTP server that answers what it is told, as real registries were seen to, and a registry
 * client in front of it. */
#ifndef WEIR_TESTS_UPLINK_REGISTRY_SERVER_H
#define WEIR_TESTS_UPLINK_REGISTRY_SERVER_H

#include "ports/stream.h"
#include "tests/uplink/kafka_host.h"

#define CONNECTION_MAX 16
#define REQUEST_MAX 16    /* that are kept */
#define REQUEST_SIZE 4096 /* of each */
#define WAIT_MS 60000     /* for what comes at once on a machine that is idle */

struct server {
    struct listener *listener;
    struct visit {
        struct server *server;
        struct stream *stream;
        char request[REQUEST_SIZE];
        size_t size;
    } visits[CONNECTION_MAX];
    size_t visit_count;
    const char *answers[REQUEST_MAX]; /* "200 {...}"; the last one is repeated */
    size_t answer_count;
    unsigned request_count;
    char requests[REQUEST_MAX][REQUEST_SIZE]; /* the first ones, in order */
    char last[REQUEST_SIZE];
};

struct scene {
    struct loop *loop;
    struct names *names;
    struct http *http;
    struct server server;
    struct uplink_host host;
    struct registry_options options;
    char url[64];
    struct registry *registry;
};

/* A scene on the heap, whose server answers so; `tls` of the server, NULL: none. */
struct scene *scene_open(const char *answer, struct tls *tls);
void scene_close(struct scene *scene);
/* The client, anew: another life. */
void scene_registry(struct scene *scene);
/* The server's answers in order; ends with NULL. */
void scene_answers(struct scene *scene, const char *const *answers);
/* Asks for the prefix of the host's schema on topic "to pic" until it is known, for some seconds. */
enum err scene_ask(struct scene *scene, uint8_t prefix[REGISTRY_PREFIX_SIZE], struct why *why);

#endif
