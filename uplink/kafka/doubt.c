#include <assert.h>

#include "ports/clock.h"
#include "uplink/kafka/errors.h"
#include "uplink/kafka/kafka_impl.h"
#include "uplink/kafka/records.h"

int64_t kafka_age_ms(const struct kafka *k, const struct batch *batch)
{
    int64_t stamp_ms = batch->part->sent_ms;
    if (kafka_has_event_time(k->options, batch->part)) {
        int64_t event_ms = records_max_time_ms(batch->wire);
        stamp_ms = event_ms < stamp_ms ? event_ms : stamp_ms;
    }
    return batch->part->sent_ms < 0 ? 0 : clock_wall_us() / 1000 - stamp_ms;
}

void kafka_policy(struct kafka *k, struct batch *batch, const char *reason)
{
    uplink_count(k->host, "in_doubt", 1);
    if (k->options->in_doubt == KAFKA_IN_DOUBT_SET_ASIDE) {
        kafka_end(k, batch, SEND_ASIDE, 0, "nobody knows whether it was stored (%s)", reason);
        return;
    }
    kafka_end(k, batch, SEND_REASSIGN, 0, "sent again, may be stored twice (%s)", reason);
}

/* Sequences go round: `a` is at or behind `b` if it is less than half the circle ahead. */
static bool sequence_reached(int32_t a, int32_t b)
{
    int64_t ahead = ((int64_t)a - b + RECORDS_SEQUENCE_COUNT) % RECORDS_SEQUENCE_COUNT;
    return ahead < RECORDS_SEQUENCE_COUNT / 2;
}

static void described(struct kafka *k, struct batch *batch, const struct wire_described *found)
{
    const struct part *part = batch->part;
    const struct kafka_error *error = kafka_error_of(found->error);
    if (error->first == KAFKA_REFRESH || error->first == KAFKA_RETRY) {
        cluster_refresh(k->cluster, batch->parcel->target);
        kafka_end(k, batch, SEND_RETRY, found->error, "asking for its producer: %s", error->name);
        return;
    }
    if (error->first == KAFKA_PARK) { /* no right to it, so none to read the topic */
        kafka_policy(k, batch, error->name);
        return;
    }
    if (found->error) {
        kafka_look_back(k, batch, error->name);
        return;
    }
    if (!found->found || found->epoch != part->producer_epoch || found->last_sequence < 0) {
        kafka_look_back(k, batch, "the broker has forgotten its producer id");
        return;
    }
    int32_t last = records_sequence_add((int32_t)part->base_sequence, part->record_count - 1);
    if (sequence_reached(found->last_sequence, last)) {
        kafka_end(k, batch, SEND_OK, 0, "stored by an earlier try");
        return;
    }
    kafka_end(k, batch, SEND_REASSIGN, 0, "not stored by an earlier try");
}

static enum err describe_answered(struct connection_request *request, enum err e,
                                  struct slice answer)
{
    struct kafka *k = CONTAINER_OF(request, struct kafka, describe.request);
    struct batch *batch = k->describe.batch;
    k->describe.batch = NULL;
    struct wire_described found;
    if (e == ERR_REJECTED) {
        kafka_look_back(k, batch, "too many producers to list");
        return ERR_OK;
    }
    if (!e) {
        e = wire_describe_producers_parse(answer, batch->part->producer_id, &found);
    }
    if (e) {
        kafka_end(k, batch, SEND_RETRY, 0, "no answer about its producer: %s", err_name(e));
        return e;
    }
    described(k, batch, &found);
    timer_arm(&k->flush, 0);
    return ERR_OK;
}

static void describe_send(struct kafka *k, struct batch *batch, struct connection *connection)
{
    struct describe *describe = &k->describe;
    struct out body = out_over(describe->memory, sizeof describe->memory);
    wire_describe_producers(&body, slice_of_text(batch->parcel->target), batch->part->partition);
    assert(!body.overflow);
    describe->batch = batch;
    describe->body = out_slice(&body);
    describe->request = (struct connection_request){.api = WIRE_DESCRIBE_PRODUCERS,
                                                    .body = &describe->body,
                                                    .body_count = 1,
                                                    .answered = describe_answered};
    connection_send(connection, &describe->request);
}

bool kafka_is_elsewhere(const struct kafka *k, const struct batch *batch)
{
    return cluster_id(k->cluster)[0] &&
           strcmp(batch->parcel->cluster_id, cluster_id(k->cluster)) != 0;
}

void kafka_doubt_pump(struct kafka *k)
{
    bool busy = kafka_look_back_pump(k);
    struct batch *todo = k->doubtful;
    k->doubtful = NULL;
    while (todo) {
        struct batch *batch = todo;
        struct connection *connection;
        todo = batch->next;
        batch->next = NULL;
        if (k->stopping) {
            kafka_end(k, batch, SEND_RETRY, 0, "the agent is stopping");
        } else if (kafka_is_elsewhere(k, batch)) {
            kafka_policy(k, batch, "it was sent to another cluster");
        } else if (batch->part->producer_id < 0) {
            kafka_policy(k, batch, "the service tells no copy from the first");
        } else if (busy || k->describe.batch) { /* one after the other */
            kafka_queue(&k->doubtful, batch);
        } else if (cluster_leader(k->cluster, batch->parcel->target, batch->part->partition,
                                  &connection)) {
            if (!kafka_end_late(k, batch)) {
                kafka_queue(&k->doubtful, batch);
            }
        } else if (connection_api_max(connection, WIRE_DESCRIBE_PRODUCERS) < 0) {
            kafka_look_back(k, batch, "the broker is too old to be asked");
            busy = kafka_look_back_pump(k);
        } else {
            describe_send(k, batch, connection);
        }
    }
}

void kafka_doubt(struct kafka *k, struct batch *batch)
{
    batch->lent_ms = loop_now_ms(k->loop);
    kafka_queue(&k->doubtful, batch);
    timer_arm(&k->flush, 0);
}
