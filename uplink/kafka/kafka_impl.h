/* Inside of the uplink `kafka`: shared by kafka.c (the class), check.c (its settings), target.c (where
 * to, and what a batch is), send.c (requests and answers), and doubt.c and doubt_scan.c (what nobody
 * knows any more). Loop thread, but for what is pure. */
#ifndef WEIR_UPLINK_KAFKA_KAFKA_IMPL_H
#define WEIR_UPLINK_KAFKA_KAFKA_IMPL_H

#include "uplink/kafka/cluster.h"
#include "uplink/kafka/kafka.h"
#include "uplink/kafka/producer.h"
#include "uplink/kafka/scan.h"

#define KAFKA_SLOT_MAX 8           /* Produce requests under way, over all connections */
#define KAFKA_REQUEST_BATCH_MAX 16 /* batches of one request, each for another partition */
/* The broker remembers a producer for a day after the time stamp of its last batch; with a margin
 * for clocks. */
#define KAFKA_AGE_MS_MAX (INT64_C(20) * 60 * 60 * 1000)
#define KAFKA_AGE_MS_MIN (-INT64_C(60) * 60 * 1000) /* sent in the future: the clock went back */

#define KAFKA_CLOCK_LOOK_MS 1000 /* what waits for the clock, or for memory, is tried again */

struct kafka;
struct http;

/* One Produce request. */
struct produce {
    struct kafka *kafka;
    struct connection *connection; /* NULL: the slot is free */
    bool sent;
    struct connection_request request;
    struct batch *batches[KAFKA_REQUEST_BATCH_MAX]; /* NULL: answered */
    size_t batch_count;
    size_t wire_size;
    struct slice pieces[KAFKA_REQUEST_BATCH_MAX * 2];
    uint8_t memory[KAFKA_REQUEST_BATCH_MAX * (WIRE_NAME_SIZE_MAX + 2 + 4 + 8) + 16];
};

/* One DescribeProducers request. */
struct describe {
    struct connection_request request;
    struct batch *batch; /* NULL: free */
    struct connection *connection;
    struct slice body;
    uint8_t memory[WIRE_NAME_SIZE_MAX + 16];
};

enum lookback_step { LOOK_FOR_TIME, LOOK_FOR_END, LOOK_AT_BATCHES };

/* A batch that is looked for in the log of its partition. */
struct lookback {
    struct batch *batch; /* NULL: none is */
    struct connection_request request;
    struct connection *connection;
    bool is_open; /* the request is under way */
    enum lookback_step step;
    struct scan scan;
    int64_t start; /* the first offset that is read */
    int64_t end;   /* where the log ended when everything of ours was in it; -1: not known yet */
    uint64_t size; /* of what was read */
    unsigned empty_count; /* answers in a row that had nothing */
    uint64_t doubt_ms;    /* when the doubt arose */
    uint64_t leader_ms;   /* since when the leader that is asked leads; 0: none was asked */
    uint64_t settled_ms;  /* from then on nothing of ours is on its way to the log's end */
    const char *reason;   /* why the leader could not tell */
    struct timer timer;
    struct slice body;
    uint8_t memory[SCAN_REQUEST_SIZE_MAX];
};

/* The largest batch that a topic took, learned from refusals. */
struct topic_limit {
    struct topic_limit *next;
    char name[TARGET_NAME_SIZE_MAX];
    uint32_t batch_size_max;
};

struct kafka {
    struct uplink uplink;
    const struct kafka_options *options;
    struct uplink_host *host;
    struct loop *loop;
    const char *agent_id;
    struct tls *tls;
    struct tickets *tickets; /* NULL: none */
    struct http *http;
    struct registry *registry; /* one of the two, or none */
    struct glue *glue;
    struct sasl_store sasl;
    struct tokens *tokens;
    struct cluster *cluster;
    struct producers *producers;
    struct topic_limit *limits;
    char cluster_id[CLUSTER_ID_SIZE_MAX]; /* of the cluster that gave the producer ids */
    struct why leaderless; /* a partition that a batch waited for in vain; "": none */
    char leaderless_topic[TARGET_NAME_SIZE_MAX];
    uint32_t leaderless_partition;
    uint64_t opened_ms;
    bool stopping;
    struct batch *waiting; /* for a connection: higher lanes first, each in the order of arrival */
    struct batch
        *doubtful;      /* nobody knows whether they are stored: they are asked for one by one */
    struct timer flush; /* at the end of the turn */
    struct timer late;  /* looks for what waits too long */
    struct timer clock; /* until the clock can be trusted */
    struct timer grace; /* the stop is over */
    struct produce slots[KAFKA_SLOT_MAX];
    struct describe describe;
    struct lookback lookback;
};

static inline struct kafka *kafka_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct kafka, uplink);
}

/* --- target.c: of struct uplink_class, by their names there --- */

const char *kafka_tombstone(const void *options, const char *stream);
enum err kafka_target(struct uplink *uplink, const struct stream_info *stream,
                      const struct schema_info *schema, struct target *ret, struct why *why);
uint32_t kafka_place(const struct target *target, struct slice key, uint64_t sequence);
const char *kafka_dictionary(const void *options);
enum err kafka_wrap(const void *options, const struct batch *batch, struct out *ret);

/* Its records carry the events' own times, not that of sending. Pure. */
bool kafka_has_event_time(const struct kafka_options *options, const struct part *part);
/* The most that the batches of one request may have together, for the service: with more it ends the
 * connection. */
uint32_t kafka_service_size(const struct kafka *k);
/* The same for link and service. */
uint32_t kafka_request_size(const struct kafka *k);

/* --- check.c: of struct uplink_class, by their names there. Pure --- */

enum err kafka_check(const void *options, struct why *why);
enum err kafka_columns(const void *options, struct why *why);
enum err kafka_fits(const void *options, struct slice schema, const char **ret_member,
                    struct why *why);
enum err kafka_letter(const void *options, const char *topic, const char *of, const char *stream,
                      struct why *why);

/* --- send.c --- */

void kafka_queue(struct batch **list, struct batch *batch);
/* Sends what can be sent. */
void kafka_pump(struct kafka *k);
/* Ends a batch. */
void kafka_end(struct kafka *k, struct batch *batch, enum send_result result, int code,
               const char *format, ...) PRINTF_LIKE(5, 6);
struct sequence *kafka_sequence(struct kafka *k, const struct batch *batch);
/* True once a batch has waited too long and was given back. */
bool kafka_end_late(struct kafka *k, struct batch *batch);
/* Shows what is wrong at the moment, if something is. */
void kafka_say(struct kafka *k);

/* --- doubt.c --- */

/* Nobody knows whether the batch is stored, or an answer says so: finds out, else the
 * user's policy. */
void kafka_doubt(struct kafka *k, struct batch *batch);
/* Goes on with what is in doubt. */
void kafka_doubt_pump(struct kafka *k);
/* It can't be found out. `reason` for the log. */
void kafka_policy(struct kafka *k, struct batch *batch, const char *reason);
/* How long ago the broker was told of the batch, by the wall clock; 0 when there is no
 * time stamp. */
int64_t kafka_age_ms(const struct kafka *k, const struct batch *batch);
/* Was the batch sent to another cluster than the one that answers now? */
bool kafka_is_elsewhere(const struct kafka *k, const struct batch *batch);

/* --- doubt_scan.c --- */

/* The leader can't tell: the batch is looked for in the log, where that is allowed. No other one
 * is being looked for. */
void kafka_look_back(struct kafka *k, struct batch *batch, const char *reason);
/* Goes on with it. False: there is nothing to go on with. */
bool kafka_look_back_pump(struct kafka *k);
/* The timer of `lookback`. */
void kafka_look_back_tick(struct timer *timer);

#endif
