/* Inside of the uplink `kinesis`: shared by kinesis.c (the class), kinesis_list.c (which shards there
 * are) and kinesis_send.c (requests and answers). Loop thread. */
#ifndef WEIR_UPLINK_AWS_KINESIS_IMPL_H
#define WEIR_UPLINK_AWS_KINESIS_IMPL_H

#include "uplink/aws/kinesis.h"
#include "uplink/aws/kinesis_body.h"
#include "uplink/aws/kinesis_done.h"
#include "uplink/aws/kinesis_shards.h"

#define KINESIS_TEXT_SIZE (CREDENTIALS_TOKEN_SIZE_MAX + 2048)
#define KINESIS_TOKEN_SIZE 1024
#define KINESIS_LIST_PAGE_MAX 64 /* of a list; shards on later ones are not known */
#define KINESIS_LIST_BODY_SIZE (2 * KINESIS_TOKEN_SIZE)

/* A Kinesis stream that is written to. Lives as long as the uplink. */
struct kinesis_stream {
    struct kinesis_stream *next;
    char name[TARGET_NAME_SIZE_MAX]; /* or ARN */
    struct shards shards;
    bool is_partial;    /* there are more shards than are known */
    bool wants_list;    /* something says that the shards are others by now */
    uint64_t listed_ms; /* when they were known last; 0: never */
    uint64_t next_ms;   /* not listed before */
    unsigned attempt;   /* since it was listed */
    struct why why;     /* why not; "": nobody has to know */
};

enum kinesis_proof { KINESIS_UNPROVEN, KINESIS_PROVEN_CBOR, KINESIS_PROVEN_JSON };

struct kinesis {
    struct uplink uplink;
    const struct kinesis_options *options;
    struct uplink_setup setup;
    struct aws *aws;
    struct kinesis_stream *streams;
    struct glue_options glue_options;
    struct glue *glue;   /* NULL: no registry */
    bool has_glue_fault; /* told */
    struct done_marks done;
    struct timer pace; /* a shard takes something again */
    bool is_stopping;
    enum kinesis_proof proof; /* which encoding the service has taken */
    bool tries_json;          /* while nothing is proven */
    struct kinesis_list {
        struct kinesis_stream *stream; /* that is asked about; NULL: none */
        struct http_request request;
        struct aws_tries tries;
        struct shards found;
        bool has_fault;
        unsigned page_count;
        struct timer timer; /* somebody wants to be listed */
        char next[KINESIS_TOKEN_SIZE];
        char text[KINESIS_TEXT_SIZE];
        char body[KINESIS_LIST_BODY_SIZE];
    } list;
};

/* --- kinesis.c --- */

/* As the class' target(), of a stream with so many shards and a link that carries any size, but for
 * what stands before each datum. */
enum err kinesis_target_put(const struct kinesis_options *options, const char *agent_id,
                            const struct stream_info *info, size_t shard_count, struct target *ret,
                            struct why *why) MUST_USE;

/* --- kinesis_list.c --- */

/* The stream of this name. NULL: no memory. */
struct kinesis_stream *kinesis_stream_get(struct kinesis *k, const char *name);
/* Asks for its shards when they are not known, old, or said to be others; not more often than it
 * should. */
void kinesis_stream_refresh(struct kinesis *k, struct kinesis_stream *stream);
/* The timer of `list`. */
void kinesis_list_due(struct timer *timer);
/* There are credentials. */
void kinesis_list_go(struct kinesis *k);

/* --- kinesis_send.c --- */

extern const struct sender_service kinesis_service;

#endif
