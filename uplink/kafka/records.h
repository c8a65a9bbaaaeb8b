/* RecordBatch, magic 2 (Kafka documentation, "Message Format"): the one form in which records go
 * out. Built by the pack worker without what is known only later: producer id, epoch, base
 * sequence, time stamps and checksum are patched in when it is sent. Pure. */
#ifndef WEIR_UPLINK_KAFKA_RECORDS_H
#define WEIR_UPLINK_KAFKA_RECORDS_H

#include "ports/err.h"
#include "ports/slice.h"
#include "ports/uplink.h"

#define RECORDS_HEAD_SIZE 61                      /* in front of the records */
#define RECORDS_SEQUENCE_COUNT (INT64_C(1) << 31) /* after 2^31 - 1 comes 0 */
#define RECORDS_HEADER_NAME "weir_id"
#define RECORDS_LANE_NAME "weir_lane" /* of what is backfill: "backfill" */
/* What a record may add to its key, body and `headers`: with an identity the event's id, else only the varints. */
#define RECORDS_OVERHEAD_MAX 512
#define RECORDS_OVERHEAD_PLAIN 48

/* So little takes zstd less than a millisecond, whatever the level. */
#define RECORDS_SMALL_SIZE 4096

struct records_options {
    int compression_level;   /* zstd's; 0: not compressed */
    int small_level;         /* the same for records of up to RECORDS_SMALL_SIZE; 0: as above */
    bool event_time;         /* time stamps are the messages' own instead of the time of sending */
    const char *identity;    /* each record gets a header "identity/stream/sequence"; NULL: none */
    const char *stream_name; /* with `identity` */
    struct slice headers;    /* further ones of each record, made by records_header_put() */
    uint32_t header_count;
};

void records_header_put(struct out *o, struct slice name, struct slice value);

/* Writes the batch behind what `ret` holds. ERR_FULL: no room in `ret` (which then has
 * overflowed). */
enum err records_build(const struct records_options *options, const struct message *messages,
                       size_t message_count, struct out *ret) MUST_USE;

/* All three -1: not by an idempotent producer. */
struct records_numbers {
    int64_t producer_id;
    int16_t epoch;
    int32_t base_sequence;
    int64_t sent_ms; /* -1: no time stamp; not used with event_time */
    bool event_time;
};
/* Patches a batch that records_build() made, and computes its checksum. */
void records_patch(uint8_t *batch, size_t size, const struct records_numbers *numbers);

/* The latest time stamp of a batch of ours; only with event_time before it is patched. */
int64_t records_max_time_ms(struct slice batch);

/* The head of a batch, checked: sizes, magic, checksum. For tests, and for what is read back
 * from a broker. */
struct records_head {
    int64_t base_offset;
    uint16_t attributes;
    int64_t base_time_ms, max_time_ms;
    int64_t producer_id;
    int16_t epoch;
    int32_t base_sequence;
    uint32_t record_count;
    struct slice records; /* compressed as the attributes say */
};
enum err records_head_parse(struct slice batch, struct records_head *ret) MUST_USE;

/* The next record of the (decompressed) records. ERR_CLOSED: that was the last. */
struct record {
    int64_t time_delta_ms;
    int64_t offset_delta;
    struct slice key;  /* data NULL: none */
    struct slice body; /* data NULL: none */
    uint32_t header_count;
    struct slice header_name, header_value; /* of the first one */
    bool is_backfill;                       /* by RECORDS_LANE_NAME */
};
enum err records_next(struct slice *rest, struct record *ret) MUST_USE;

/* The sequence `count` records after `sequence`. */
int32_t records_sequence_add(int32_t sequence, uint32_t count);

#endif
