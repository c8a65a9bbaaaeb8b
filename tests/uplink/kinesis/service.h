/* A double of Kinesis and Firehose, without a network: takes apart PutRecords, PutRecordBatch and
 * ListShards, keeps what it stores, and refuses what it is told to. */
#ifndef WEIR_TESTS_UPLINK_KINESIS_SERVICE_H
#define WEIR_TESTS_UPLINK_KINESIS_SERVICE_H

#include "uplink/aws/kinesis_hash.h"

#define SERVICE_RECORD_MAX 65536
#define SERVICE_SHARD_MAX 32
#define SERVICE_BODY_MAX (24 * 1024 * 1024)

struct service_record {
    char key[64]; /* its beginning */
    bool has_hash;
    struct kinesis_hash hash;
    char data[24]; /* its beginning */
    size_t size;   /* of the data */
    unsigned request;
};

struct service_reply {
    long status;
    const char *type;   /* x-amzn-ErrorType; NULL: none */
    const char *header; /* one more, "Name: value"; NULL: none */
    struct slice body;
    bool is_lost; /* the connection is cut instead */
};

struct service {
    unsigned shard_count;
    uint8_t *memory; /* of answers */
    struct service_record *records;
    size_t record_count;
    unsigned put_count, list_count;               /* requests */
    size_t last_count, last_size, last_body_size; /* of the last put: records, their bytes */
    size_t count_most, size_most;                 /* of all */
    bool last_was_cbor;
    char last_stream[300];
    char last_date[32];     /* X-Amz-Date */
    char last_key_id[40];   /* by which it is signed */
    char last_token[40];    /* X-Amz-Security-Token */
    const char *shard_name; /* printf format of the shards' names */
    unsigned page;          /* shards of an answer to ListShards; 0: all */
    /* The answer to this request in place of its work: status 0: none. `is_lost`: its work is done. */
    bool (*refuse)(struct service *service, unsigned number, bool is_list,
                   struct service_reply *ret);
    /* The code by which this record is refused; NULL: it is stored. */
    const char *(*refuse_record)(struct service *service, const struct service_record *record,
                                 size_t index);
    void *context;
};

void service_init(struct service *service, unsigned shard_count);
void service_release(struct service *service);
/* `target`: X-Amz-Target. The reply's body lives until the next call. */
void service_answer(struct service *service, const char *target, struct slice body,
                    struct service_reply *ret);
/* By the ranges of even shards. */
unsigned service_shard_of(const struct service *service, const struct service_record *record);
/* How often the event with this sequence is stored. */
unsigned service_stored(const struct service *service, uint64_t sequence);
/* Does each key, of `keys` by turns as host_cut() has them, stand in the order of its sequences,
 * repetitions of what was stored already left out? */
bool service_is_in_order(const struct service *service, unsigned keys);

#endif
