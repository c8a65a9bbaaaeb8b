/* A small HTTP server on our own streams, plain and TLS, and requests of a client to it, all in one
 * process. */
#ifndef WEIR_TESTS_PORTS_HTTP_SITE_H
#define WEIR_TESTS_PORTS_HTTP_SITE_H

#include "ports/http.h"
#include "tests/cmocka.h"
#include "tests/ports/peer.h"

struct peer {
    struct site *site;
    struct stream *stream;
    char request[70000];
    size_t size;
    struct slice answer; /* still to write */
    char memory[128];
    bool ends;
};

#define PEER_MAX 16

struct site {
    struct listener *listener;
    struct peer peers[PEER_MAX];
    size_t count;
    char last[70000]; /* the last request, whole */
    bool resumed;     /* the TLS session that it came by */
};

extern struct site site;

struct test {
    struct loop *loop;
    struct names *names;
    struct http *http;
    char folder[64];
    char ca[96], certificate[96], key[96], other[96];
};

int site_setup(void **state); /* *state is the test */
int site_teardown(void **state);
int site_open_client(void **state);
int site_close_client(void **state);

/* tls NULL: plain. Paths: /hello /busy /date /cut /close /large; no answer to any other. */
void site_open(struct test *test, struct tls *tls);
void site_close(void);

struct asked {
    struct http_request request;
    struct http *http;
    bool done;
    struct http_answer answer;
    char body[100001];
    size_t body_size;
    char name[64];
    char url[128];
    bool closes; /* the client, within done() */
};

void asked_done(struct http_request *request, const struct http_answer *answer);
void ask(struct test *test, struct asked *asked, const char *scheme, const char *host,
         const char *path);
void ask_and_wait(struct test *test, struct asked *asked, const char *scheme, const char *host,
                  const char *path);

#endif
