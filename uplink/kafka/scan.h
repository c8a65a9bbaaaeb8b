/* Looking for a batch of ours in a partition's log, where the leader does not remember its producer id
 * any more: ListOffsets v1 tells where a time begins, Fetch v5 gives the batches from there, and of
 * those only the heads are looked at (61 bytes, not compressed). Brokers give whole batches or
 * cut the last one, so that what is read is about what stands there. Pure. */
#ifndef WEIR_UPLINK_KAFKA_SCAN_H
#define WEIR_UPLINK_KAFKA_SCAN_H

#include "ports/err.h"
#include "ports/slice.h"

#define SCAN_TIME_LATEST (-1) /* as time of scan_list_offsets(): the end of the log */
#define SCAN_REQUEST_SIZE_MAX 320

/* --- requests: one partition of one topic --- */

/* Where is the first record with this time or a later one? */
void scan_list_offsets(struct out *o, struct slice topic, uint32_t partition, int64_t time_ms);
/* The batch that holds `offset`, and those behind it, up to about `size_max` bytes; at once. */
void scan_fetch(struct out *o, struct slice topic, uint32_t partition, int64_t offset,
                uint32_t size_max);

/* --- answers; ERR_CORRUPT: they can't be read, or are about something else --- */

struct scan_listed {
    int16_t error;
    int64_t offset; /* -1: there is no such record */
};
enum err scan_listed_parse(struct slice body, struct scan_listed *ret) MUST_USE;

struct scan_fetched {
    int32_t throttle_ms;
    int16_t error;
    int64_t high_watermark; /* where what all replicas have ends */
    int64_t log_start;      /* what was before is deleted */
    struct slice records;   /* batches */
};
enum err scan_fetched_parse(struct slice body, struct scan_fetched *ret) MUST_USE;

/* --- the search --- */

struct scan {
    /* what is looked for */
    int64_t producer_id;
    int16_t epoch;
    int32_t base_sequence;
    uint32_t record_count;
    int64_t time_ms; /* it is stamped no earlier */
    int64_t
        first_offset; /* of the first record with such a time; what holds the one before is older */
    /* how far it has come */
    int64_t next_offset; /* where to read on */
    bool found;
    /* What makes it prove nothing that the batch is not found: offsets are missing, as compaction
     * leaves it; or time stamps are the brokers' (LogAppendTime), and our clock may have been
     * wrong. */
    bool has_gap;
    bool has_broker_time;
    bool
        has_old_time; /* a batch behind first_offset is older all the same: others' clocks differ */
};
/* Looks at the heads of the batches of one answer, and moves next_offset behind the last one. Ends
 * at the one that is looked for. ERR_CORRUPT: these are no batches, or not one whole head. */
enum err scan_batches(struct scan *scan, struct slice records) MUST_USE;

#endif
