/* Inside of the probe of `kafka`: probe.c reaches the brokers, probe_topics.c asks one of them about
 * topics, rights and settings, probe_settings.c says what those mean. Loop thread. */
#ifndef WEIR_UPLINK_KAFKA_PROBE_IMPL_H
#define WEIR_UPLINK_KAFKA_PROBE_IMPL_H

#include "ports/names.h"
#include "uplink/kafka/cluster.h"
#include "uplink/kafka/kafka.h"
#include "uplink/kafka/probe_wire.h"

#define PROBE_BROKER_MAX 64 /* entries of `brokers`, and those that the cluster names */

struct kafka_probe;
struct http;
struct registry_probe;
struct glue_probe;

struct probe_broker {
    struct kafka_probe *probe;
    struct probe_broker *next; /* in the order of `brokers`, then of the metadata */
    int32_t id;                /* the cluster's; -1: not known */
    bool is_entry;             /* of `brokers` */
    char option[32];           /* "brokers[0]"; "brokers": the cluster has named it */
    char host[WIRE_HOST_SIZE_MAX];
    uint16_t port;
    char name[WIRE_HOST_SIZE_MAX + 8]; /* host:port */
    struct name_query query;
    bool is_asking; /* for the name */
    struct connection *connection;
    bool is_over;  /* reached, or not */
    bool is_ready; /* reached */
    /* Why it was not; told when it is known how the others fare. */
    struct probe_finding failure;
};

/* What a broker says about a topic. Numbers are -1 while they are not known. */
struct probe_topic {
    char name[TARGET_NAME_SIZE_MAX];
    const char *keyless; /* a stream without a key that goes there; NULL: none does */
    bool is_answered;
    int16_t error;
    uint32_t partition_count;
    uint32_t leaderless_count;
    int32_t operations;
    bool has_settings; /* they were told, whatever the answer */
    int16_t settings_error;
    int64_t retention_ms; /* INT64_MAX: for ever */
    int64_t message_size_max;
    int64_t sent_size_max; /* the largest batch that may be sent */
    int64_t age_ms_max;    /* of an event's own time */
    int64_t kept_ms;       /* no older event is sent; INT64_MAX: any may be */
    char cleanup[32], compression[24], stamp[24];
};

enum probe_ask { PROBE_ASK_METADATA, PROBE_ASK_PRODUCER, PROBE_ASK_CONFIGS, PROBE_ASK_COUNT };

/* One request, and what it is made of. */
struct probe_question {
    struct kafka_probe *probe;
    struct connection_request request;
    struct slice body;
    uint8_t *memory;
};

struct kafka_probe {
    struct probe probe;
    struct probe_setup setup;
    const struct kafka_options *options;
    struct connection_settings settings;
    struct sasl_store sasl;
    struct tokens *tokens;
    struct tls *tls;
    struct http *http;
    struct registry_probe *registry;
    struct glue_probe *glue;
    struct probe_broker *brokers;
    size_t broker_count;
    struct probe_broker *asker; /* the first that was reached */
    bool entries_told;
    bool is_clock_told; /* by the time of the token endpoint */
    struct probe_topic *topics;
    size_t topic_count;
    struct probe_question questions[PROBE_ASK_COUNT];
    int16_t metadata_version;
    struct probe_topic *reading; /* whose settings are being read */
    bool is_reading_broker;
    unsigned node_count;
    int32_t node_id;    /* of one of them */
    int creates_topics; /* the brokers': -1: not known, 0, 1 */
    unsigned pending;   /* what is still under way */
    struct timer again; /* the producer id is asked for again */
    unsigned producer_tries;
    struct timer end;
};

/* --- probe.c --- */

/* Something that was counted in `pending` is over. */
void kafka_probe_less(struct kafka_probe *p);
/* The cluster has named a broker: it must be reached too. */
void kafka_probe_learn(struct kafka_probe *p, int32_t id, struct slice host, uint16_t port);

/* --- probe_topics.c --- */

/* The topics of the streams. ERR_NOMEM. */
enum err kafka_probe_topics(struct kafka_probe *p) MUST_USE;
/* The timer `again`. */
void kafka_probe_again(struct timer *timer);
/* `p->asker` is ready. */
void kafka_probe_ask(struct kafka_probe *p);
void kafka_probe_topics_release(struct kafka_probe *p);

/* --- probe_settings.c --- */

extern const char *const kafka_probe_settings[];
#define PROBE_SETTING_COUNT 7
void kafka_probe_setting(struct probe_topic *topic, struct slice name, struct slice value);
/* What metadata says: is it there, may it be written? */
void kafka_probe_tell_topic(struct kafka_probe *p, const struct probe_topic *topic);
/* What its settings say; of a topic that is missing: would it be created? */
void kafka_probe_tell_settings(struct kafka_probe *p, const struct probe_topic *topic);

#endif
