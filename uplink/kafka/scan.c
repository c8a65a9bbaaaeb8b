#include "uplink/kafka/scan.h"

#include <assert.h>

#include "uplink/kafka/records.h"
#include "uplink/kafka/wire_reader.h"

#define BATCH_LENGTH_AT 12 /* the length counts what stands behind it */
#define MAGIC 2
#define ATTRIBUTE_BROKER_TIME 0x08

/* --- requests --- */

static void put_partition(struct out *o, struct slice topic, uint32_t partition)
{
    out_put_u32_be(o, 1);
    out_put_u16_be(o, (uint16_t)topic.size);
    out_put_slice(o, topic);
    out_put_u32_be(o, 1);
    out_put_u32_be(o, partition);
}

void scan_list_offsets(struct out *o, struct slice topic, uint32_t partition, int64_t time_ms)
{
    out_put_u32_be(o, UINT32_MAX); /* no replica */
    put_partition(o, topic, partition);
    out_put_u64_be(o, (uint64_t)time_ms);
}

void scan_fetch(struct out *o, struct slice topic, uint32_t partition, int64_t offset,
                uint32_t size_max)
{
    out_put_u32_be(o, UINT32_MAX); /* no replica */
    out_put_u32_be(o, 0);          /* wait for nothing, */
    out_put_u32_be(o, 0);          /* and take what there is */
    out_put_u32_be(o, size_max);
    out_put_byte(o, 0); /* open transactions too */
    put_partition(o, topic, partition);
    out_put_u64_be(o, (uint64_t)offset);
    out_put_u64_be(o, UINT64_MAX); /* a follower's log start */
    out_put_u32_be(o, size_max);
}

/* --- answers --- */

/* What stands in front of the one partition's fields. */
static int16_t take_partition(struct reader *r)
{
    bool is_one = take_i32(r) == 1;
    (void)take_string(r);
    is_one = take_i32(r) == 1 && is_one;
    (void)take_i32(r);
    r->ok = r->ok && is_one;
    return take_i16(r);
}

enum err scan_listed_parse(struct slice body, struct scan_listed *ret)
{
    struct reader r = {body, true};
    struct scan_listed listed = {.error = take_partition(&r)};
    (void)take_i64(&r); /* that record's time */
    listed.offset = take_i64(&r);
    enum err e = finish(&r);
    if (!e) {
        *ret = listed;
    }
    return e;
}

enum err scan_fetched_parse(struct slice body, struct scan_fetched *ret)
{
    struct reader r = {body, true};
    struct scan_fetched fetched = {.throttle_ms = take_i32(&r)};
    fetched.error = take_partition(&r);
    fetched.high_watermark = take_i64(&r);
    (void)take_i64(&r); /* end of what no transaction holds up */
    fetched.log_start = take_i64(&r);
    uint32_t aborted_count = take_count(&r, 16);
    (void)take_bytes(&r, (int64_t)aborted_count * 16);
    int32_t size = take_i32(&r);
    fetched.records = size == -1 ? (struct slice){NULL, 0} : take_bytes(&r, size);
    enum err e = finish(&r);
    if (!e && fetched.error == 0 && fetched.high_watermark < 0) {
        return ERR_CORRUPT; /* every log has one; the search ends there */
    }
    if (!e) {
        *ret = fetched;
    }
    return e;
}

/* --- the search --- */

struct head {
    int64_t first, last; /* offsets */
    int32_t length;
    bool is_legacy; /* a message of Kafka 0.10 or before: it has no producer */
    bool has_broker_time;
    int64_t max_time_ms;
    int64_t producer_id;
    int16_t epoch;
    int32_t base_sequence;
};

static bool head_parse(struct slice bytes, struct head *ret)
{
    struct reader r = {bytes, true};
    struct head head = {.first = take_i64(&r)};
    head.length = take_i32(&r);
    (void)take_i32(&r); /* leader epoch; a legacy message's checksum */
    uint8_t magic = take_u8(&r);
    head.is_legacy = magic < MAGIC;
    head.last = head.first;
    if (!head.is_legacy) {
        (void)take_i32(&r); /* checksum */
        head.has_broker_time = take_i16(&r) & ATTRIBUTE_BROKER_TIME;
        int32_t last_delta = take_i32(&r);
        (void)take_i64(&r); /* the first time */
        head.max_time_ms = take_i64(&r);
        head.producer_id = take_i64(&r);
        head.epoch = take_i16(&r);
        head.base_sequence = take_i32(&r);
        r.ok = r.ok && last_delta >= 0 && head.first <= INT64_MAX - last_delta;
        head.last = r.ok ? head.first + last_delta : head.first;
    }
    *ret = head;
    return r.ok && magic <= MAGIC && head.first >= 0 && head.last < INT64_MAX && head.length > 0;
}

/* By the offsets, not by the count of records: compaction takes records away, and leaves those. */
static bool head_is_it(const struct head *head, const struct scan *scan)
{
    return !head->is_legacy && head->producer_id == scan->producer_id &&
           head->epoch == scan->epoch && head->base_sequence == scan->base_sequence &&
           head->last - head->first + 1 == (int64_t)scan->record_count;
}

enum err scan_batches(struct scan *scan, struct slice records)
{
    assert(scan->next_offset >= 0 && !scan->found);
    struct slice rest = records;
    struct head head;
    bool cut = rest.size < RECORDS_HEAD_SIZE;
    if (cut && rest.size > 0) {
        return ERR_CORRUPT; /* brokers cut only what is not the first */
    }
    while (!cut && !scan->found) {
        if (!head_parse(rest, &head)) {
            return ERR_CORRUPT;
        }
        if (head.last >= scan->next_offset) { /* else it stands before what was asked for */
            scan->has_gap = scan->has_gap || head.is_legacy || head.first > scan->next_offset;
            scan->has_broker_time = scan->has_broker_time || head.has_broker_time;
            scan->has_old_time = scan->has_old_time || (head.first >= scan->first_offset &&
                                                        head.max_time_ms < scan->time_ms);
            scan->found = head_is_it(&head, scan);
            scan->next_offset = head.last + 1;
        }
        struct slice skipped;
        /* Of a batch that is cut, the head is enough. */
        cut = !slice_take(&rest, BATCH_LENGTH_AT + (size_t)head.length, &skipped) ||
              rest.size < RECORDS_HEAD_SIZE;
    }
    return ERR_OK;
}
