/* An uplink for tests of forward: a class of its own whose destination remembers, like a broker
 * with idempotence, what it has under which numbers, and checks what forward promises: the numbers
 * are on record before the first byte, one batch a partition, the same content under the same
 * numbers, one schema a batch. What it answers is the test's script, which outlives the lives of
 * the agent. */
#ifndef WEIR_TESTS_AGENT_UPLINK_DOUBLE_H
#define WEIR_TESTS_AGENT_UPLINK_DOUBLE_H

#include "ports/uplink.h"

#define DOUBLE_SEQUENCE_MAX 4096 /* of events of one stream */
#define DOUBLE_STREAM_MAX 100
#define DOUBLE_SENT_MAX 8192
#define DOUBLE_LENT_MAX 64

struct buffer;

/* One batch, as it was sent. */
struct double_sent {
    uint64_t at_ms;
    uint16_t stream;
    uint8_t lane;
    bool is_backfill;
    uint32_t partition;
    uint32_t partition_count; /* by which its events were placed */
    uint64_t first, last;     /* of its events */
    uint32_t event_count;
    size_t size;
    int64_t base;
    uint32_t schema;
    uint32_t content; /* CRC of the wire bytes */
    bool again;
    enum send_result result; /* how it was answered; valid when `answered` */
    bool answered;
};

/* A link that several doubles share: one request after the other. What it carries is counted, and
 * told to forward when the answer comes. */
struct double_wire {
    const char *interface_name; /* which it is; NULL: any */
    struct double_wire *other;  /* or another one */
    uint64_t bytes_per_second;
    bool is_down;        /* requests are lost: no answer within DOUBLE_SILENCE_MS */
    uint64_t overhead;   /* bytes that a request has more on the wire */
    uint64_t answer;     /* bytes of an answer */
    uint64_t lost;       /* what a try costs while it is down; 0: as the others */
    uint64_t bytes;      /* carried, both ways */
    uint64_t calm_bytes; /* of these, for priorities below 7 */
    uint64_t busy_to_ms;
    uint64_t request_max; /* the largest that it has carried, with its answer */
};
#define DOUBLE_SILENCE_MS 30000

struct double_script;

/* What to answer; text and code too. The default answer is SEND_OK. */
typedef void double_judge(struct double_script *script, const struct double_sent *sent,
                          struct send_report *report);

struct double_script {
    /* --- set by the test --- */
    const char *name;
    uint32_t partition_count;
    uint32_t request_size_max;
    uint32_t record_size_max;
    uint32_t framing;      /* bytes that a message has in front of it, besides the usual ones */
    enum err target_error; /* what target() says; ERR_OK: it knows */
    bool assign_waits;
    bool holds;          /* batches stay lent until the test answers */
    int64_t answer_ms;   /* else answered after this, */
    int64_t rate;        /* and after the time that its bytes take, at so many a second; 0: none */
    bool reuses_numbers; /* of what it refused, as Kafka's producers do */
    bool drops_numbers;  /* keeps nothing of what it has: a duplicate is a mistake of the agent */
    double_judge *judge; /* NULL: all is well */
    void *context;
    struct buffer **buffer;   /* of this life */
    struct double_wire *wire; /* NULL: none */
    bool counts_late;         /* as connections do: what a request took is told after its answer */
    bool stop_gives_back;     /* stop() gives back at once what is lent */
    /* --- kept --- */
    struct uplink_host *host; /* of this life */
    struct uplink *uplink;
    struct loop *loop;
    int64_t base_next;
    struct double_sent sent[DOUBLE_SENT_MAX];
    size_t sent_count;
    uint8_t arrived[DOUBLE_STREAM_MAX + 1][DOUBLE_SEQUENCE_MAX]; /* how often each event did */
    uint64_t arrived_count;
    unsigned targets, assigns, stops, relinks; /* calls */
    unsigned lent_most; /* of one stream, lane of it and partition, at one time */
};

extern const struct uplink_class double_class;

void double_script_init(struct double_script *script, const char *name, struct buffer **buffer);
void double_script_release(struct double_script *script);

/* Batches lent now. */
size_t double_lent(const struct double_script *script);
/* Answers the oldest lent batch. */
void double_answer(struct double_script *script, enum send_result result, int code);
const struct double_sent *double_last(const struct double_script *script);

#endif
