#include "tests/sim/kafka_broker_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/kafka/records.h"

void partition_clear(struct partition *partition)
{
    for (size_t i = 0; i < partition->log_count; i++) {
        free((void *)(uintptr_t)partition->log[i].key.data);
        free((void *)(uintptr_t)partition->log[i].body.data);
        free((void *)(uintptr_t)partition->log[i].header.data);
    }
    free(partition->log);
    unsigned leader = partition->leader;
    *partition = (struct partition){.leader = leader};
}

static struct slice copy(struct slice from)
{
    if (!from.data) {
        return from;
    }
    uint8_t *to = malloc(from.size + 1);
    assert(to);
    memcpy(to, from.data, from.size);
    return (struct slice){to, from.size};
}

static void log_put(struct partition *partition, const struct record *record,
                    const struct records_head *head, int64_t time_ms)
{
    if (partition->log_count == partition->log_room) {
        partition->log_room = partition->log_room ? partition->log_room * 2 : 64;
        partition->log = realloc(partition->log, partition->log_room * sizeof partition->log[0]);
        assert(partition->log);
    }
    partition->log[partition->log_count++] = (struct broker_record){
        .key = copy(record->key),
        .body = copy(record->body),
        .header = copy(record->header_value),
        .is_backfill = record->is_backfill,
        .time_ms = time_ms < 0 ? time_ms : time_ms + record->time_delta_ms,
        .producer_id = head->producer_id,
        .epoch = head->epoch,
        .batch_count = record->offset_delta == 0 ? head->record_count : 0,
        .sequence = head->base_sequence < 0
                        ? -1
                        : records_sequence_add(head->base_sequence, (uint32_t)record->offset_delta),
    };
}

/* The records of a batch, decompressed into `broker->plain`. False: they are not what the head
 * says, or one is refused. */
static bool batch_open(struct broker *broker, const struct records_head *head, struct slice *ret)
{
    struct out plain = out_over(broker->plain, BROKER_PLAIN_SIZE_MAX);
    if ((head->attributes & 7) != 4) {
        out_put_slice(&plain, head->records);
    } else if (zstd_decode(broker->decoder, head->records, &plain)) {
        return false;
    }
    struct slice rest = out_slice(&plain);
    struct record record;
    uint32_t count = 0;
    while (!plain.overflow && rest.size > 0) {
        if (records_next(&rest, &record) || record.offset_delta != count ||
            (broker->watch.refuses && broker->watch.refuses(broker->watch.context, record.body))) {
            return false;
        }
        count++;
    }
    *ret = out_slice(&plain);
    return !plain.overflow && count == head->record_count;
}

static void log_append(const struct broker *broker, struct partition *partition,
                       const struct records_head *head, struct slice records)
{
    int64_t base_ms = broker->options.log_append_time ? broker->now_ms : head->base_time_ms;
    struct record record;
    while (records.size > 0 && records_next(&records, &record) == ERR_OK) {
        log_put(partition, &record, head, base_ms);
    }
}

static struct pid *pid_find(struct partition *partition, int64_t id)
{
    for (unsigned i = 0; i < partition->pid_count; i++) {
        if (partition->pids[i].id == id) {
            return &partition->pids[i];
        }
    }
    return NULL;
}

static void pid_put(struct partition *partition, const struct records_head *head, int64_t offset,
                    int64_t time_ms)
{
    struct pid *pid = pid_find(partition, head->producer_id);
    if (!pid) {
        if (partition->pid_count == BROKER_PID_MAX) { /* the oldest goes, as with a size limit */
            partition->pid_count--;
            memmove(partition->pids, partition->pids + 1,
                    partition->pid_count * sizeof partition->pids[0]);
        }
        pid = &partition->pids[partition->pid_count++];
        *pid = (struct pid){.id = head->producer_id};
    }
    if (pid->cached_count == BROKER_CACHED_MAX) {
        pid->cached_count--;
        memmove(pid->cached, pid->cached + 1, pid->cached_count * sizeof pid->cached[0]);
    }
    pid->epoch = head->epoch;
    pid->cached[pid->cached_count++] =
        (struct cached){.first = head->base_sequence,
                        .last = records_sequence_add(head->base_sequence, head->record_count - 1),
                        .offset = offset,
                        .time_ms = time_ms};
}

/* The order of the checks is Kafka's. */
int16_t partition_take(struct broker *broker, struct partition *partition, struct slice batch,
                       int64_t *ret_offset, int64_t *ret_append_ms)
{
    struct records_head head;
    struct slice records;
    if (batch.size > broker->options.batch_size_max) {
        return 10;
    }
    if (records_head_parse(batch, &head)) {
        return 2;
    }
    if (!batch_open(broker, &head, &records)) {
        return 87;
    }
    if (broker->options.plain_only && ((head.attributes & 7) != 0 || head.producer_id >= 0)) {
        return head.producer_id >= 0 ? 87 : 76;
    }
    if (head.producer_id < 0) {
        *ret_offset = (int64_t)partition->log_count;
        *ret_append_ms = -1;
        log_append(broker, partition, &head, records);
        return 0;
    }
    struct pid *pid = pid_find(partition, head.producer_id);
    int32_t last = records_sequence_add(head.base_sequence, head.record_count - 1);
    for (unsigned i = 0; pid && head.epoch == pid->epoch && i < pid->cached_count; i++) {
        if (pid->cached[i].first == head.base_sequence && pid->cached[i].last == last) {
            *ret_offset = pid->cached[i].offset;
            *ret_append_ms = pid->cached[i].time_ms;
            return 0;
        }
    }
    if (pid && head.epoch < pid->epoch) {
        return 47;
    }
    if (pid && head.epoch > pid->epoch && head.base_sequence != 0) {
        return 45;
    }
    if (pid && head.epoch == pid->epoch &&
        head.base_sequence != records_sequence_add(pid->cached[pid->cached_count - 1].last, 1)) {
        return 45;
    }
    int64_t time_ms = broker->options.log_append_time ? broker->now_ms : head.max_time_ms;
    *ret_offset = (int64_t)partition->log_count;
    *ret_append_ms = broker->options.log_append_time ? broker->now_ms : -1;
    pid_put(partition, &head, *ret_offset, time_ms);
    log_append(broker, partition, &head, records);
    return 0;
}

size_t broker_log_count(const struct broker *broker, const char *name, uint32_t partition)
{
    return broker_topic_of(broker, name)->partitions[partition].log_count;
}

const struct broker_record *broker_log_at(const struct broker *broker, const char *name,
                                          uint32_t partition, size_t index)
{
    const struct topic *topic = broker_topic_of(broker, name);
    assert(index < topic->partitions[partition].log_count);
    return &topic->partitions[partition].log[index];
}
