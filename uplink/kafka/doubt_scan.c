#include <assert.h>

#include "uplink/kafka/errors.h"
#include "uplink/kafka/kafka_impl.h"
#include "uplink/kafka/records.h"

#define FETCH_SIZE (64 * 1024)
/* So much may the clock of the broker, which stamps the records of some topics, be behind ours. */
#define MARGIN_MS (10 * 60 * 1000)
/* A batch that the leader has appended can't be read before all replicas in sync have it, and one
 * that lags counts as in sync for replica.lag.time.max.ms: 30 s. */
#define SETTLE_MS (45 * 1000)
/* Each connection begins the look anew. Where they never last, it ends after so long; of a time
 * without any, only SETTLE_MS count. */
#define LOOK_MS_MAX (10 * 60 * 1000)
#define EMPTY_MAX 10
#define OFFSET_OUT_OF_RANGE 1

/* --- the end of it --- */

static struct batch *look_end(struct kafka *k)
{
    struct batch *batch = k->lookback.batch;
    k->lookback.batch = NULL;
    timer_disarm(&k->lookback.timer);
    timer_arm(&k->flush, 0); /* the next one */
    return batch;
}

static void look_policy(struct kafka *k, const char *why_not)
{
    char reason[160];
    (void)snprintf(reason, sizeof reason, "%s; %s", k->lookback.reason, why_not);
    kafka_policy(k, look_end(k), reason);
}

/* Everything is read that is at or behind the time of sending. Where a log begins with a record that
 * is older, nothing younger was deleted from it, if the time stamps are in order: those of events
 * are not, nor perhaps those of others. */
static void look_not_found(struct kafka *k, const struct scan_fetched *fetched)
{
    const struct lookback *look = &k->lookback;
    bool is_ordered = k->options->timestamp == KAFKA_TIME_SEND &&
                      look->batch->part->stamp != PART_STAMP_EVENT && !look->scan.has_old_time;
    if (look->scan.has_broker_time) {
        look_policy(k, "it was not found by the brokers' time stamps");
    } else if (look->scan.has_gap) {
        look_policy(k, "it is not in the log any more, which is compacted");
    } else if (fetched->log_start > 0 && fetched->log_start >= look->start) {
        look_policy(k, "it is not in the log any more, whose beginning was deleted");
    } else if (fetched->log_start > 0 && !is_ordered) {
        look_policy(k, "the log's beginning was deleted, and its time stamps are not in order");
    } else {
        kafka_end(k, look_end(k), SEND_REASSIGN, 0,
                  "not stored by an earlier try: the log has "
                  "nothing of it");
    }
}

/* --- answers --- */

/* True: this answer was an error, and has been dealt with. */
static bool look_refused(struct kafka *k, int16_t code)
{
    const struct kafka_error *error = kafka_error_of(code);
    if (code == 0) {
        return false;
    }
    if (code == OFFSET_OUT_OF_RANGE) {
        look_policy(k, "the beginning of the log was deleted");
        return true;
    }
    if (error->first == KAFKA_REFRESH || error->first == KAFKA_RETRY) {
        cluster_refresh(k->cluster, k->lookback.batch->parcel->target);
        kafka_end(k, look_end(k), SEND_RETRY, code, "reading the log: %s", error->name);
    } else {
        look_policy(k, error->name);
    }
    return true;
}

static enum err time_answered(struct kafka *k, struct slice answer)
{
    struct lookback *look = &k->lookback;
    struct scan_listed listed;
    enum err e = scan_listed_parse(answer, &listed);
    if (e || look_refused(k, listed.error)) {
        return e;
    }
    if (look->step == LOOK_FOR_END) {
        look->start = listed.offset;
        look->step = LOOK_FOR_TIME;
        return listed.offset < 0 ? ERR_CORRUPT : ERR_OK;
    }
    if (listed.offset >= 0) { /* else nothing is so young: it is new if it comes */
        look->start = listed.offset;
    }
    look->scan.first_offset = look->start;
    /* From the offset before it: a hole there is where a compacted log may have had it, and the last
     * batch tells whose the time stamps are. */
    look->start -= look->start > 0;
    look->scan.next_offset = look->start;
    look->step = LOOK_AT_BATCHES;
    return ERR_OK;
}

static enum err batches_answered(struct kafka *k, struct slice answer)
{
    struct lookback *look = &k->lookback;
    struct scan_fetched fetched;
    enum err e = scan_fetched_parse(answer, &fetched);
    if (!e) {
        connection_throttle(look->connection, fetched.throttle_ms);
    }
    if (!e && fetched.error == OFFSET_OUT_OF_RANGE && look->scan.next_offset == look->start) {
        look->scan.next_offset++; /* where the log begins; look->start says that it was cut */
        return ERR_OK;
    }
    if (e || look_refused(k, fetched.error)) {
        return e;
    }
    int64_t before = look->scan.next_offset;
    uint64_t now = loop_now_ms(k->loop);
    if (scan_batches(&look->scan, fetched.records)) {
        look_policy(k, "the log can't be read");
        return ERR_OK;
    }
    look->size += answer.size;
    look->empty_count = look->scan.next_offset > before ? 0 : look->empty_count + 1;
    if (look->end < 0 && now >= look->settled_ms) {
        look->end = fetched.high_watermark;
    }
    if (look->scan.found) {
        kafka_end(k, look_end(k), SEND_OK, 0, "stored by an earlier try: it is in the log");
    } else if (look->end >= 0 && look->scan.next_offset >= look->end) {
        look_not_found(k, &fetched);
    } else if (look->end < 0 && look->scan.next_offset >= fetched.high_watermark) {
        timer_arm(&look->timer, look->settled_ms - now);
    } else if (look->size >= (uint64_t)k->options->in_doubt_read_max) {
        look_policy(k, "the log is too long to be read (in_doubt_read)");
    } else if (look->empty_count > EMPTY_MAX) {
        look_policy(k, "the log can't be read");
    }
    return ERR_OK;
}

static enum err look_answered(struct connection_request *request, enum err e, struct slice answer)
{
    struct kafka *k = CONTAINER_OF(request, struct kafka, lookback.request);
    struct lookback *look = &k->lookback;
    look->is_open = false;
    look->batch->lent_ms = loop_now_ms(k->loop);
    timer_arm(&k->flush, 0);
    if (e == ERR_REJECTED) {
        look_policy(k, "a batch in the log is too large to be read");
        return ERR_OK;
    }
    bool is_answered = !e;
    if (is_answered) {
        e = look->step == LOOK_AT_BATCHES ? batches_answered(k, answer) : time_answered(k, answer);
    }
    if (e == ERR_CORRUPT && is_answered) {
        look_policy(k, "the broker's answer about the log can't be read");
    } else if (e) {
        kafka_end(k, look_end(k), SEND_RETRY, 0, "no answer about the log: %s", err_name(e));
    }
    return e;
}

/* --- requests --- */

/* From then on the log may hold it. */
static int64_t look_time_ms(const struct kafka *k, const struct batch *batch)
{
    int64_t time_ms = batch->part->sent_ms;
    if (kafka_has_event_time(k->options, batch->part)) {
        int64_t event_ms = records_max_time_ms(batch->wire);
        time_ms = event_ms < time_ms ? event_ms : time_ms;
    }
    return time_ms > MARGIN_MS ? time_ms - MARGIN_MS : 0;
}

static bool can_be_read(const struct connection *connection)
{
    return connection_api_max(connection, WIRE_LIST_OFFSETS) >= wire_version(WIRE_LIST_OFFSETS) &&
           connection_api_max(connection, WIRE_FETCH) >= wire_version(WIRE_FETCH);
}

static void look_send(struct kafka *k, struct connection *connection)
{
    struct lookback *look = &k->lookback;
    struct slice topic = slice_of_text(look->batch->parcel->target);
    uint32_t partition = look->batch->part->partition;
    struct out body = out_over(look->memory, sizeof look->memory);
    if (look->step == LOOK_AT_BATCHES) {
        scan_fetch(&body, topic, partition, look->scan.next_offset, FETCH_SIZE);
    } else {
        scan_list_offsets(&body, topic, partition,
                          look->step == LOOK_FOR_TIME ? look->scan.time_ms : SCAN_TIME_LATEST);
    }
    assert(!body.overflow);
    look->is_open = true;
    look->connection = connection;
    look->body = out_slice(&body);
    look->request = (struct connection_request){
        .api = look->step == LOOK_AT_BATCHES ? WIRE_FETCH : WIRE_LIST_OFFSETS,
        .body = &look->body,
        .body_count = 1,
        .answered = look_answered};
    connection_send(connection, &look->request);
}

/* Begins with this leader: what another one has told may not hold here, and one that is new to it
 * learns only from its followers what all of them have. */
static void look_begin(struct kafka *k, uint64_t leader_ms)
{
    struct lookback *look = &k->lookback;
    const struct part *part = look->batch->part;
    look->step = LOOK_FOR_END; /* before the time: what comes in between is read */
    look->scan = (struct scan){.producer_id = part->producer_id,
                               .epoch = (int16_t)part->producer_epoch,
                               .base_sequence = (int32_t)part->base_sequence,
                               .record_count = part->record_count,
                               .time_ms = look_time_ms(k, look->batch)};
    look->start = 0;
    look->end = -1;
    look->empty_count = 0;
    look->leader_ms = leader_ms;
    look->settled_ms = (leader_ms > look->doubt_ms ? leader_ms : look->doubt_ms) + SETTLE_MS;
}

/* False: it has been begun for long enough. */
static bool look_may_begin(struct kafka *k)
{
    struct sequence *sequence = kafka_sequence(k, k->lookback.batch);
    uint64_t now = loop_now_ms(k->loop);
    if (!sequence) {
        return true;
    }
    uint64_t last_ms = sequence->look_ms ? now - sequence->look_ms : 0;
    sequence->look_ms = now;
    sequence->looked_ms += last_ms < SETTLE_MS ? last_ms : SETTLE_MS;
    return sequence->looked_ms < LOOK_MS_MAX;
}

static void look_ask(struct kafka *k, struct connection *connection)
{
    struct lookback *look = &k->lookback;
    const struct batch *batch = look->batch;
    uint64_t leader_ms = cluster_leader_since_ms(k->cluster, batch->parcel->target,
                                                 batch->part->partition, connection);
    if (!can_be_read(connection)) {
        look_policy(k, "the broker's versions of reading are others");
        return;
    }
    if (leader_ms != look->leader_ms && !look_may_begin(k)) {
        look_policy(k, "no connection lasted long enough to read the log");
        return;
    }
    if (leader_ms != look->leader_ms) {
        look_begin(k, leader_ms);
    }
    look_send(k, connection);
}

bool kafka_look_back_pump(struct kafka *k)
{
    struct lookback *look = &k->lookback;
    struct connection *connection;
    if (!look->batch || look->is_open) {
        return look->batch;
    }
    if (k->stopping) {
        kafka_end(k, look_end(k), SEND_RETRY, 0, "the agent is stopping");
    } else if (kafka_is_elsewhere(k, look->batch)) {
        look_policy(k, "it was sent to another cluster");
    } else if (timer_is_armed(&look->timer)) {
        return true;
    } else if (!cluster_leader(k->cluster, look->batch->parcel->target,
                               look->batch->part->partition, &connection)) {
        look_ask(k, connection);
    } else if (kafka_end_late(k, look->batch)) {
        (void)look_end(k);
    }
    return look->batch;
}

void kafka_look_back_tick(struct timer *timer)
{
    struct kafka *k = CONTAINER_OF(timer, struct kafka, lookback.timer);
    if (k->lookback.batch) {
        k->lookback.batch->lent_ms = loop_now_ms(k->loop);
    }
    timer_arm(&k->flush, 0);
}

void kafka_look_back(struct kafka *k, struct batch *batch, const char *reason)
{
    assert(!k->lookback.batch && !k->describe.batch);
    if (k->options->in_doubt_read_max == 0 || batch->part->sent_ms < 0) {
        kafka_policy(k, batch, reason);
        return;
    }
    struct lookback *look = &k->lookback;
    look->batch = batch;
    look->is_open = false;
    look->doubt_ms = batch->lent_ms;
    look->leader_ms = 0;
    look->size = 0;
    look->reason = reason;
    timer_arm(&k->flush, 0);
}
