#include <assert.h>
#include <stdarg.h>

#include "ports/clock.h"
#include "ports/fault.h"
#include "uplink/kafka/errors.h"
#include "uplink/kafka/kafka_impl.h"
#include "uplink/kafka/records.h"

#define TRIES_MAX 3
#define BATCH_LIMIT_MIN 1024
#define MESSAGE_TOO_LARGE 10 /* as brokers say it */

/* --- batches --- */

void kafka_queue(struct batch **list, struct batch *batch)
{
    while (*list && (*list)->lane >= batch->lane) {
        list = &(*list)->next;
    }
    batch->next = *list;
    *list = batch;
}

struct sequence *kafka_sequence(struct kafka *k, const struct batch *batch)
{
    return producers_sequence(k->producers, batch->parcel->stream, batch->parcel->lane, batch->part,
                              batch->again);
}

/* What the numbers are worth after this result. */
static void sequence_settle(struct kafka *k, const struct batch *batch, enum send_result result)
{
    struct sequence *sequence = kafka_sequence(k, batch);
    if (!sequence || result == SEND_RETRY || result == SEND_PARK) {
        return;
    }
    if (result == SEND_OK) {
        sequence->producer_id = -1; /* nothing is at hand */
    } else if (!sequence->may_be_stored) {
        producers_free_numbers(sequence);
    } else {
        producers_spend(k->producers, batch->parcel->stream, batch->parcel->lane, batch->part);
        sequence->producer_id = -1;
    }
    sequence->base = 0; /* without producer ids nothing else tells parts apart */
}

void kafka_end(struct kafka *k, struct batch *batch, enum send_result result, int code,
               const char *format, ...)
{
    struct send_report report = {.result = result, .code = code};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(report.text, sizeof report.text, format, arguments); /* cut is fine */
    va_end(arguments);
    report.was_duplicate = result == SEND_OK && code != 0;
    report.code = result == SEND_OK ? 0 : code;
    sequence_settle(k, batch, result);
    uplink_done(k->host, batch, &report);
}

static const struct why *kafka_fault(const struct kafka *k)
{
    const struct why *why = WEIR_HTTP_CLIENT && k->registry ? registry_fault(k->registry) : NULL;
    why = WEIR_HTTP_CLIENT && k->glue ? glue_fault(k->glue) : why;
    why = why ? why : producers_fault(k->producers);
    why = why ? why : cluster_fault(k->cluster, NULL);
    if (!why && k->leaderless.text[0] &&
        !cluster_has_leader(k->cluster, k->leaderless_topic, k->leaderless_partition)) {
        why = &k->leaderless;
    }
    return why;
}

void kafka_say(struct kafka *k)
{
    const struct why *why = kafka_fault(k);
    if (why && !k->stopping) {
        uplink_fault(k->host, why);
    }
}

bool kafka_end_late(struct kafka *k, struct batch *batch)
{
    uint64_t waited_ms = loop_now_ms(k->loop) - batch->lent_ms;
    if (waited_ms < (uint64_t)k->options->request_timeout_ms) {
        return false;
    }
    enum err e = ERR_OK;
    const struct why *why = cluster_fault(k->cluster, &e);
    bool setting = e == ERR_AUTH || e == ERR_VERSION;
    if (!why && !cluster_has_leader(k->cluster, batch->parcel->target, batch->part->partition)) {
        memcpy(k->leaderless_topic, batch->parcel->target, sizeof k->leaderless_topic);
        k->leaderless_partition = batch->part->partition;
        why_set(&k->leaderless, "partition %u of topic %s has no leader: are all brokers up?",
                batch->part->partition, batch->parcel->target);
        kafka_say(k);
        why = &k->leaderless;
    }
    kafka_end(k, batch, setting ? SEND_PARK : SEND_RETRY, 0, "%.150s",
              why ? why->text : "its leader has no room for it yet");
    return true;
}

/* --- answers --- */

static void limit_learn(struct kafka *k, const char *topic, size_t refused_size)
{
    struct topic_limit *limit = k->limits;
    uint32_t half =
        refused_size / 2 > BATCH_LIMIT_MIN ? (uint32_t)(refused_size / 2) : BATCH_LIMIT_MIN;
    while (limit && strcmp(limit->name, topic) != 0) {
        limit = limit->next;
    }
    if (limit) {
        limit->batch_size_max = half < limit->batch_size_max ? half : limit->batch_size_max;
        return;
    }
    limit = calloc(1, sizeof *limit);
    if (!limit) {
        return; /* learned at the next refusal */
    }
    memcpy(limit->name, topic, sizeof limit->name);
    limit->batch_size_max = half;
    limit->next = k->limits;
    k->limits = limit;
}

/* It has got the same error too often. */
static void batch_tried(struct kafka *k, struct batch *batch, struct sequence *sequence,
                        const struct kafka_error *error, unsigned tries_max)
{
    if (sequence && ++sequence->tries < tries_max) {
        kafka_end(k, batch, SEND_RETRY, error->code, "%s", error->name);
    } else if (sequence && !sequence->may_be_stored) {
        kafka_end(k, batch, SEND_REJECTED, error->code, "%s: %s", error->name, error->advice);
    } else {
        kafka_doubt(k, batch);
    }
}

static void batch_parked(struct kafka *k, struct batch *batch, const struct kafka_error *error)
{
    struct why why;
    why_set(&why, "topic %s: %s: %s", batch->parcel->target, error->name, error->advice);
    uplink_fault(k->host, &why);
    kafka_end(k, batch, SEND_PARK, error->code, "%s: %s", error->name, error->advice);
}

static void batch_stamped(struct kafka *k, struct batch *batch, const struct kafka_error *error)
{
    struct why why;
    if (kafka_has_event_time(k->options,
                             batch->part)) { /* an event's own time is not ours to mend */
        kafka_end(k, batch, SEND_REJECTED, error->code, "%s: %s", error->name, error->advice);
        return;
    }
    why_set(&why, "topic %s: %s: %s", batch->parcel->target, error->name, error->advice);
    uplink_fault(k->host, &why);
    kafka_end(k, batch, SEND_REASSIGN, error->code, "%s: %s", error->name, error->advice);
}

static void batch_done(struct kafka *k, struct batch *batch, const struct sequence *sequence,
                       const struct wire_produced *produced)
{
    /* A fresh append has no append time on a topic whose time stamps are the producer's. */
    bool again = !sequence || sequence->may_be_stored;
    bool duplicate = again && (produced->error != 0 || produced->log_append_time_ms >= 0);
    if (!kafka_fault(k)) {
        uplink_fault(k->host, NULL);
    }
    kafka_end(k, batch, SEND_OK, duplicate, "offset %lld", (long long)produced->base_offset);
}

static void batch_answered(struct kafka *k, struct batch *batch,
                           const struct wire_produced *produced)
{
    const struct kafka_error *error = kafka_error_of(produced->error);
    struct sequence *sequence = kafka_sequence(k, batch);
    bool first = sequence && !sequence->may_be_stored;
    /* An answer that names an offset comes from a leader that had appended the batch already, and
     * then lost the lead or waited in vain for its followers. */
    bool appended = error->may_be_stored || produced->base_offset >= 0;
    if (sequence && appended && (error->first == KAFKA_RETRY || error->first == KAFKA_REFRESH)) {
        sequence->may_be_stored = true;
    }
    if (fault_planted("retry-taken") && !first) {
        kafka_end(k, batch, SEND_OK, 0, "planted");
        return;
    }
    switch (first ? error->first : error->again) {
    case KAFKA_DONE:
        batch_done(k, batch, sequence, produced);
        break;
    case KAFKA_REFRESH:
        cluster_refresh(k->cluster, batch->parcel->target);
        kafka_end(k, batch, SEND_RETRY, error->code, "%s", error->name);
        break;
    case KAFKA_RETRY:
        kafka_end(k, batch, SEND_RETRY, produced->error, "%s: %s", error->name, error->advice);
        break;
    case KAFKA_HALVE:
        limit_learn(k, batch->parcel->target, batch->wire.size);
        kafka_end(k, batch, SEND_TOO_LARGE, error->code, "%s", error->name);
        break;
    case KAFKA_STAMP:
        batch_stamped(k, batch, error);
        break;
    case KAFKA_REFUSED:
        kafka_end(k, batch, SEND_REJECTED, error->code, "%s: %s", error->name, error->advice);
        break;
    case KAFKA_ONCE_MORE:
        batch_tried(k, batch, sequence, error, 2);
        break;
    case KAFKA_THREE_TRIES:
        batch_tried(k, batch, sequence, error, TRIES_MAX);
        break;
    case KAFKA_PARK:
        batch_parked(k, batch, error);
        break;
    case KAFKA_DOUBT:
        if (first) { /* nothing of it is stored, and these numbers will never be taken */
            sequence->may_be_stored = true;
            kafka_end(k, batch, SEND_REASSIGN, error->code, "%s", error->name);
        } else {
            kafka_doubt(k, batch);
        }
        break;
    }
}

static void produced_one(void *context, const struct wire_produced *produced)
{
    struct produce *slot = context;
    for (size_t i = 0; i < slot->batch_count; i++) {
        struct batch *batch = slot->batches[i];
        if (batch && batch->part->partition == produced->partition &&
            slice_equal_text(produced->topic, batch->parcel->target)) {
            slot->batches[i] = NULL;
            batch_answered(slot->kafka, batch, produced);
            return;
        }
    }
}

/* What the answer does not speak of, or what never got one. */
static void produce_unanswered(struct produce *slot, bool started, const char *reason)
{
    struct kafka *k = slot->kafka;
    for (size_t i = 0; i < slot->batch_count; i++) {
        struct batch *batch = slot->batches[i];
        slot->batches[i] = NULL;
        if (!batch) {
            continue;
        }
        struct sequence *sequence = kafka_sequence(k, batch);
        if (sequence && started) {
            sequence->may_be_stored = true;
        }
        bool planted = started && fault_planted("retry-taken");
        kafka_end(k, batch, planted ? SEND_OK : SEND_RETRY, 0, "%s", reason);
    }
}

static enum err produce_answered(struct connection_request *request, enum err e,
                                 struct slice answer)
{
    struct produce *slot = CONTAINER_OF(request, struct produce, request);
    struct kafka *k = slot->kafka;
    struct connection *connection = slot->connection;
    int32_t throttle_ms = 0;
    char reason[64];
    (void)snprintf(reason, sizeof reason, "no answer from the leader: %s", err_name(e));
    if (!e) {
        e = wire_produce_parse(answer, produced_one, slot, &throttle_ms);
        (void)snprintf(reason, sizeof reason, "the leader's answer %s",
                       e ? "can't be read" : "leaves it out");
    }
    produce_unanswered(slot, request->started, reason);
    slot->connection = NULL;
    timer_arm(&k->flush, 0);
    if (!e) {
        connection_throttle(connection, throttle_ms);
    }
    return e;
}

/* --- requests --- */

static bool produce_takes(struct produce *slot, const struct batch *batch, uint32_t size_max)
{
    if (slot->batch_count == KAFKA_REQUEST_BATCH_MAX ||
        slot->wire_size + batch->wire.size > size_max) {
        return false;
    }
    for (size_t i = 0; i < slot->batch_count; i++) {
        if (slot->batches[i]->part->partition == batch->part->partition &&
            strcmp(slot->batches[i]->parcel->target, batch->parcel->target) == 0) {
            return false; /* one batch for a partition: brokers refuse two */
        }
    }
    return true;
}

/* The request that is being filled for this connection, or a fresh one. NULL: not in this turn. */
static struct produce *produce_for(struct kafka *k, struct connection *connection,
                                   const struct batch *batch)
{
    struct produce *empty = NULL;
    uint32_t size_max = kafka_request_size(k);
    for (size_t i = 0; i < KAFKA_SLOT_MAX; i++) {
        struct produce *slot = &k->slots[i];
        if (slot->connection == connection && !slot->sent) {
            return produce_takes(slot, batch, size_max) ? slot : NULL;
        }
        if (!slot->connection) {
            empty = slot;
        }
    }
    if (empty) {
        empty->kafka = k;
        empty->connection = connection;
        empty->sent = false;
        empty->batch_count = 0;
        empty->wire_size = 0;
    }
    return empty;
}

/* The same topic's batches stand together: a topic must not repeat in a request. */
static void produce_insert(struct produce *slot, struct batch *batch)
{
    size_t at = slot->batch_count;
    for (size_t i = 0; i < slot->batch_count; i++) {
        if (strcmp(slot->batches[i]->parcel->target, batch->parcel->target) == 0) {
            at = i + 1;
        }
    }
    assert(slot->batch_count < KAFKA_REQUEST_BATCH_MAX);
    for (size_t i = slot->batch_count; i > at; i--) {
        slot->batches[i] = slot->batches[i - 1];
    }
    slot->batches[at] = batch;
    slot->batch_count++;
    slot->wire_size += batch->wire.size;
}

static uint32_t produce_alike(const struct produce *slot, size_t from)
{
    uint32_t count = 0;
    while (from + count < slot->batch_count &&
           strcmp(slot->batches[from]->parcel->target,
                  slot->batches[from + count]->parcel->target) == 0) {
        count++;
    }
    return count;
}

static void batch_patch(const struct kafka *k, const struct batch *batch)
{
    struct records_numbers numbers = {
        .producer_id = batch->part->producer_id,
        .epoch = (int16_t)batch->part->producer_epoch,
        .base_sequence = (int32_t)batch->part->base_sequence,
        .sent_ms = batch->part->sent_ms,
        .event_time = kafka_has_event_time(k->options, batch->part),
    };
    records_patch(batch->wire_memory, batch->wire.size, &numbers);
}

static void produce_send(struct kafka *k, struct produce *slot)
{
    struct out head = out_over(slot->memory, sizeof slot->memory);
    size_t piece_count = 0, begin = 0;
    uint32_t topic_count = 0;
    for (size_t i = 0; i < slot->batch_count; i += produce_alike(slot, i)) {
        topic_count++;
    }
    wire_produce_begin(&head, (int32_t)k->options->request_timeout_ms, topic_count);
    for (size_t i = 0, left = 0; i < slot->batch_count; i++, left--) {
        const struct batch *batch = slot->batches[i];
        if (left == 0) {
            left = produce_alike(slot, i);
            wire_produce_topic(&head, slice_of_text(batch->parcel->target), (uint32_t)left);
        }
        wire_produce_partition(&head, batch->part->partition, batch->wire.size);
        batch_patch(k, batch);
        slot->pieces[piece_count++] = (struct slice){head.data + begin, head.size - begin};
        slot->pieces[piece_count++] = batch->wire;
        begin = head.size;
        struct sequence *sequence = kafka_sequence(k, batch);
        if (sequence) {
            sequence->was_sent = true;
        }
    }
    assert(!head.overflow);
    slot->request = (struct connection_request){.api = WIRE_PRODUCE,
                                                .body = slot->pieces,
                                                .body_count = piece_count,
                                                .answered = produce_answered};
    slot->sent = true;
    connection_send(slot->connection, &slot->request);
}

/* The clock says that the batch was sent in the future: it has gone back, as on a board without a
 * battery before the network has told it the time. What may be stored has to wait for the right
 * time, as long as there is hope. */
static bool batch_waits_for_clock(const struct kafka *k, int64_t age_ms)
{
    return age_ms < KAFKA_AGE_MS_MIN && !clock_wall_is_synchronised() &&
           loop_now_ms(k->loop) - k->opened_ms < (uint64_t)k->options->clock_wait_ms;
}

/* True when the batch is not to be sent as it is: it was ended, waits, or is being asked about. */
static bool batch_stopped(struct kafka *k, struct batch *batch)
{
    struct sequence *sequence = kafka_sequence(k, batch);
    bool open = !sequence || sequence->may_be_stored;
    if (k->stopping) {
        kafka_end(k, batch, SEND_RETRY, 0, "the agent is stopping");
        return true;
    }
    if (strcmp(batch->parcel->cluster_id, cluster_id(k->cluster)) != 0) {
        if (open) {
            kafka_policy(k, batch, "it was sent to another cluster");
        } else {
            kafka_end(k, batch, SEND_REASSIGN, 0, "it was meant for another cluster");
        }
        return true;
    }
    if (open && batch->part->producer_id < 0) {
        kafka_policy(k, batch, "the service tells no copy from the first");
        return true;
    }
    if (batch->wire.size > kafka_service_size(k)) { /* cut under other settings */
        if (open) {
            kafka_doubt(k, batch);
        } else {
            kafka_end(k, batch, SEND_TOO_LARGE, MESSAGE_TOO_LARGE,
                      "larger than a request to this service may be");
        }
        return true;
    }
    int64_t age_ms = kafka_age_ms(k, batch);
    if (age_ms <= KAFKA_AGE_MS_MAX && age_ms >= KAFKA_AGE_MS_MIN) {
        return false;
    }
    if (open && batch_waits_for_clock(k, age_ms)) {
        struct why why;
        why_set(&why, "the clock is behind what was sent before: waiting for it to be set");
        uplink_fault(k->host, &why);
        kafka_queue(&k->waiting, batch);
    } else if (open) {
        kafka_doubt(k, batch);
    } else if (!kafka_has_event_time(k->options, batch->part)) {
        kafka_end(k, batch, SEND_REASSIGN, 0, "its time of sending has become old");
    }
    return open || !kafka_has_event_time(k->options, batch->part);
}

/* Is something under way that is not urgent? */
static bool kafka_has_bulk(const struct kafka *k)
{
    for (size_t i = 0; i < KAFKA_SLOT_MAX; i++) {
        const struct produce *slot = &k->slots[i];
        for (size_t b = 0; slot->connection && slot->sent && b < slot->batch_count; b++) {
            if (slot->batches[b] && slot->batches[b]->lane < PRIORITY_URGENT) {
                return true;
            }
        }
    }
    return false;
}

static enum err batch_leader(struct kafka *k, const struct batch *batch, struct connection **ret)
{
    const char *topic = batch->parcel->target;
    uint32_t partition = batch->part->partition;
    return batch->lane >= PRIORITY_URGENT && kafka_has_bulk(k)
               ? cluster_leader_urgent(k->cluster, topic, partition, ret)
               : cluster_leader(k->cluster, topic, partition, ret);
}

static void kafka_fill(struct kafka *k)
{
    struct batch *todo = k->waiting;
    k->waiting = NULL; /* what is lent meanwhile is looked at in the next turn */
    while (todo) {
        struct batch *batch = todo;
        todo = batch->next;
        batch->next = NULL;
        struct connection *connection = NULL;
        struct why why;
        if (!k->stopping && cluster_topic_is_missing(k->cluster, batch->parcel->target, &why)) {
            kafka_end(k, batch, SEND_PARK, 3, "%s", why.text);
            continue;
        }
        enum err e = k->stopping ? ERR_OK : batch_leader(k, batch, &connection);
        if (e == ERR_REJECTED) { /* and what may have been stored there is gone with it */
            kafka_end(k, batch, SEND_ASIDE, 3, "partition %u is gone: the topic was made anew",
                      batch->part->partition);
            continue;
        }
        if (e) {
            if (!kafka_end_late(k, batch)) {
                kafka_queue(&k->waiting, batch);
            }
            continue;
        }
        if (batch_stopped(k, batch)) {
            continue;
        }
        struct produce *slot = produce_for(k, connection, batch);
        if (slot && (slot->batch_count == 0 || produce_takes(slot, batch, UINT32_MAX))) {
            produce_insert(slot, batch);
        } else {
            kafka_queue(&k->waiting, batch);
        }
    }
}

static void produce_return(struct kafka *k, struct produce *slot)
{
    for (size_t i = 0; i < slot->batch_count; i++) {
        kafka_queue(&k->waiting, slot->batches[i]);
    }
    slot->connection = NULL;
}

void kafka_pump(struct kafka *k)
{
    kafka_fill(k);
    for (size_t i = 0; i < KAFKA_SLOT_MAX; i++) {
        struct produce *slot = &k->slots[i];
        if (slot->connection && !slot->sent && connection_has_room(slot->connection)) {
            produce_send(k, slot);
            timer_arm(&k->flush, 0);                  /* there may be room for more */
        } else if (slot->connection && !slot->sent) { /* metadata took the last room */
            produce_return(k, slot);
        }
    }
    kafka_doubt_pump(k);
    if ((k->waiting || k->doubtful || k->lookback.batch) && !timer_is_armed(&k->late)) {
        timer_arm(&k->late, 1000);
    }
}
