/* Reading: where a time begins in a partition, and the batches from an offset on. Of a batch only the
 * head is given; what would be the records is filled up. */
#include "tests/sim/kafka_broker_impl.h"

#include <assert.h>

#include "uplink/kafka/records.h"

#define BATCH_SIZE_MAX 8192   /* behind the head */
#define ANSWER_SIZE_MAX 16384 /* and a batch */

void broker_lag_set(struct broker *broker, const char *name, uint32_t partition, size_t count)
{
    broker_topic_of(broker, name)->partitions[partition].unreplicated = count;
}

void broker_log_delete(struct broker *broker, const char *name, uint32_t partition, size_t index)
{
    broker_topic_of(broker, name)->partitions[partition].log_start = index;
}

void broker_log_compact(struct broker *broker, const char *name, uint32_t partition, size_t index)
{
    struct partition *p = &broker_topic_of(broker, name)->partitions[partition];
    assert(index < p->log_count && p->log[index].batch_count > 0);
    p->log[index].is_gone = true;
}

void broker_log_time_set(struct broker *broker, const char *name, uint32_t partition, size_t index,
                         size_t count, int64_t time_ms)
{
    struct partition *p = &broker_topic_of(broker, name)->partitions[partition];
    assert(index + count <= p->log_count);
    for (size_t i = index; i < index + count; i++) {
        p->log[i].time_ms = time_ms;
    }
}

static size_t high_watermark(const struct partition *partition)
{
    size_t lag = partition->unreplicated;
    return partition->log_count > lag ? partition->log_count - lag : 0;
}

/* The one partition that is asked for. NULL: the request can't be read, or has more. */
static const struct topic *take_partition(struct call *call, struct slice *s, uint32_t *ret_index,
                                          struct slice *ret_name)
{
    static const struct topic none = {.partition_count = 0};
    uint32_t topic_count, partition_count;
    if (!slice_take_u32_be(s, &topic_count) || topic_count != 1) {
        return NULL;
    }
    *ret_name = call_take_string(s);
    if (!ret_name->data || !slice_take_u32_be(s, &partition_count) || partition_count != 1 ||
        !slice_take_u32_be(s, ret_index)) {
        return NULL;
    }
    const struct topic *topic = broker_topic_find(call->broker, *ret_name);
    return topic && *ret_index < topic->partition_count ? topic : &none;
}

static int16_t code_of(const struct call *call, const struct topic *topic, uint32_t index)
{
    if (call_has(call, BROKER_CODE)) {
        return call->fault.code;
    }
    if (topic->partition_count == 0) {
        return 3;
    }
    return topic->partitions[index].leader == call->node ? 0 : 6;
}

static void put_partition(struct out *o, struct slice name, uint32_t index, int16_t code)
{
    out_put_u32_be(o, 1);
    out_put_u16_be(o, (uint16_t)name.size);
    out_put_slice(o, name);
    out_put_u32_be(o, 1);
    out_put_u32_be(o, index);
    out_put_u16_be(o, (uint16_t)code);
}

/* The first record of that time or a later one; -1: there is none. */
static int64_t offset_of_time(const struct partition *partition, int64_t time_ms)
{
    bool is_gone = false; /* the batch at hand */
    for (size_t i = 0; i < high_watermark(partition); i++) {
        const struct broker_record *record = &partition->log[i];
        is_gone = record->batch_count > 0 ? record->is_gone : is_gone;
        if (i >= partition->log_start && !is_gone && record->time_ms >= time_ms) {
            return (int64_t)i;
        }
    }
    return -1;
}

bool call_list_offsets(struct call *call)
{
    struct slice s = call->body, name;
    uint32_t replica, index;
    uint64_t time;
    if (!slice_take_u32_be(&s, &replica)) {
        return false;
    }
    const struct topic *topic = take_partition(call, &s, &index, &name);
    if (!topic || !slice_take_u64_be(&s, &time) || s.size != 0) {
        return false;
    }
    int16_t code = code_of(call, topic, index);
    int64_t offset = -1;
    const struct partition *partition = &topic->partitions[code ? 0 : index];
    bool knows_end = call->broker->options.endless_api != WIRE_LIST_OFFSETS;
    if (code == 0 && time == UINT64_MAX) {
        offset = knows_end ? (int64_t)high_watermark(partition) : -1;
    } else if (code == 0) {
        offset = offset_of_time(partition, (int64_t)time);
    }
    put_partition(&call->answer, name, index, code);
    out_put_u64_be(&call->answer, UINT64_MAX);
    out_put_u64_be(&call->answer, (uint64_t)offset);
    return true;
}

/* The head of the batch, and about as many bytes as its keys and bodies have. */
static void put_batch(struct out *o, const struct partition *partition, size_t first,
                      bool broker_time)
{
    const struct broker_record *record = &partition->log[first];
    size_t size = 0;
    for (size_t i = first; i < first + record->batch_count; i++) {
        size += partition->log[i].key.size + partition->log[i].body.size;
    }
    size = size < BATCH_SIZE_MAX ? size : BATCH_SIZE_MAX;
    out_put_u64_be(o, first);
    out_put_u32_be(o, (uint32_t)(RECORDS_HEAD_SIZE - 12 + size));
    out_put_u32_be(o, 0); /* leader epoch */
    out_put_byte(o, 2);
    out_put_u32_be(o, 0); /* checksum */
    out_put_u16_be(o, broker_time ? 8 : 0);
    out_put_u32_be(o, record->batch_count - 1);
    out_put_u64_be(o, (uint64_t)record->time_ms);
    out_put_u64_be(o, (uint64_t)record->time_ms);
    out_put_u64_be(o, (uint64_t)record->producer_id);
    out_put_u16_be(o, (uint16_t)record->epoch);
    out_put_u32_be(o, (uint32_t)record->sequence);
    out_put_u32_be(o, record->batch_count);
    for (size_t i = 0; i < size; i++) {
        out_put_byte(o, 0xee);
    }
}

/* As brokers do: whole batches, the first however large, the last cut. */
static void put_batches(struct call *call, const struct partition *partition, size_t offset,
                        size_t size_max)
{
    struct out *o = &call->answer;
    size_t at = o->size, first_size = 0;
    out_put_u32_be(o, 0);
    size_t first = offset;
    while (first > 0 && first < partition->log_count && partition->log[first].batch_count == 0) {
        first--;
    }
    for (; first < high_watermark(partition) && o->size - at - 4 < size_max;
         first += partition->log[first].batch_count) {
        if (!partition->log[first].is_gone) {
            put_batch(o, partition, first, call->broker->options.log_append_time);
            first_size = first_size ? first_size : o->size - at - 4;
        }
    }
    size_max = size_max > first_size ? size_max : first_size;
    size_t size = o->size - at - 4 < size_max ? o->size - at - 4 : size_max;
    o->size = at + 4 + size;
    for (unsigned i = 0; i < 4; i++) {
        o->data[at + i] = (uint8_t)(size >> (8 * (3 - i)));
    }
}

bool call_fetch(struct call *call)
{
    struct slice s = call->body, name;
    uint32_t head[4], index, size_max;
    uint8_t isolation;
    uint64_t offset, log_start;
    bool good = true;
    for (unsigned i = 0; i < 4; i++) {
        good = good && slice_take_u32_be(&s, &head[i]);
    }
    if (!good || !slice_take_u8(&s, &isolation)) {
        return false;
    }
    const struct topic *topic = take_partition(call, &s, &index, &name);
    if (!topic || !slice_take_u64_be(&s, &offset) || !slice_take_u64_be(&s, &log_start) ||
        !slice_take_u32_be(&s, &size_max) || s.size != 0) {
        return false;
    }
    int16_t code = code_of(call, topic, index);
    const struct partition *partition = &topic->partitions[code ? 0 : index];
    code = code == 0 && call->broker->options.read_denied ? 29 : code;
    if (code == 0 && (offset < partition->log_start || offset > partition->log_count)) {
        code = 1;
    }
    struct out *o = &call->answer;
    bool knows_end = !code && call->broker->options.endless_api != WIRE_FETCH;
    out_put_u32_be(o, 0);
    put_partition(o, name, index, code);
    out_put_u64_be(o, knows_end ? high_watermark(partition) : UINT64_MAX);
    out_put_u64_be(o, code ? UINT64_MAX : high_watermark(partition));
    out_put_u64_be(o, code ? UINT64_MAX : partition->log_start);
    out_put_u32_be(o, UINT32_MAX); /* no aborted transactions */
    if (code) {
        out_put_u32_be(o, 0);
    } else {
        put_batches(call, partition, offset,
                    size_max < ANSWER_SIZE_MAX ? size_max : ANSWER_SIZE_MAX);
    }
    return true;
}
