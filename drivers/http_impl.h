/* What the files of the `http` driver share: http_options.c has the options, http_receive.c takes a
 * request in, http_post.c offers its events and answers it, http.c is the driver itself. */
#ifndef WEIR_DRIVERS_HTTP_IMPL_H
#define WEIR_DRIVERS_HTTP_IMPL_H

#include "drivers/drivers.h"
#include "drivers/http_body.h"
#include "drivers/http_keys.h"
#include "ports/lib/http_server.h"
#include "ports/tls.h"

#define HTTP_NO_ROOM \
    "there is no room now: the buffer is full, or its disk takes nothing; try again later"
#define HTTP_ANSWER_SIZE_MAX 8192

struct http_options {
    const char *listen;
    const char *path;
    const char *token;
    bool insecure;
    struct tls_options tls;
    int64_t body_size_max;
    int64_t memory_max;
    int64_t connection_max;
    int64_t idle_ms;
    int64_t request_ms;
    int64_t ack_ms;
    int64_t retry_after_ms;
    int64_t idempotency_keys;
};

enum post_state { POST_ARRIVING, POST_QUEUED, POST_WAITING, POST_ANSWERED };

/* One request. */
struct post {
    struct post *next;
    struct http_driver *http;
    struct http_exchange *exchange;
    enum post_state state;
    struct timer deadline;
    uint8_t *data;
    size_t size;
    size_t size_max;
    enum http_body_kind kind;
    struct http_body body;
    uint64_t count;        /* events in the body */
    uint64_t skipped;      /* stored by an earlier try */
    uint64_t offered;      /* admitted in all */
    uint64_t first_ticket; /* of those that this try admitted */
    uint64_t last_ticket;  /* what must be stored before the answer */
    bool is_cut;           /* the rest is not offered: the agent stops */
    struct slice event;    /* the next one to offer; size 0: take it from `body` */
    uint64_t line;
    struct http_key *key;
    struct http_asides asides;
};

struct http_driver {
    struct driver driver;
    struct driver_host *host;
    const struct http_options *options;
    struct loop *loop;
    struct tls *tls;
    struct http_server *server;
    struct http_keys keys;
    struct timer pump;
    struct post *posts; /* all, newest first */
    size_t memory;      /* bytes of bodies */
    uint64_t stored;
    bool is_blocked;
    bool is_stopping;
    uint8_t answer[HTTP_ANSWER_SIZE_MAX];
};

/* --- http_options.c --- */

extern const struct option http_options_table[];
/* Off loopback a token and TLS are needed, unless `insecure`. `options`: struct http_options. */
enum err http_options_check(const void *options, struct why *why);

/* --- http_probe.c --- */

enum err http_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

/* --- http_receive.c --- */

extern const struct http_server_handler http_posts_handler;

/* --- http_post.c --- */

/* Answers with an error, and says how long to wait where that helps. */
void post_refuse(struct post *post, unsigned status, const char *text);
/* Answers when nothing more is to be waited for. */
void post_settle(struct post *post);
/* Offers the next event. False: no room. */
bool post_offer(struct post *post) MUST_USE;
/* Sets the key's cursor without an event. False: no room, it is owed until resume(). */
bool post_key_flush(struct http_driver *http, struct http_key *key);
/* Not all was stored within `ack_timeout`. */
void post_deadline_fire(struct timer *timer);

#endif
