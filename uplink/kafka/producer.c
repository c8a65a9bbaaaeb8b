#include "uplink/kafka/producer.h"

#include <assert.h>

#include "uplink/kafka/errors.h"
#include "uplink/kafka/records.h"

#define RETRY_MS_FIRST 100
#define RETRY_MS_START (2 * 1000) /* at most: a broker that has just started is not ready for it */
#define RETRY_MS_MAX (30 * 1000)  /* at most, for everything else */
#define FAULT_MS 1000             /* a pause that is worth telling */
#define RETRY_MS_PARK (60 * 1000) /* a right is missing */
/* A broker forgets an id that was silent for a day, and newer ones then refuse what does not
 * start with 0. */
#define IDLE_MS_MAX (12 * 60 * 60 * 1000)

struct producer {
    struct producer *next;
    uint16_t stream;
    uint8_t lane;
    bool wanted;
    int64_t id; /* -1: none */
    int16_t epoch;
    uint64_t used_ms;
    struct sequence *sequences;
    size_t sequence_count;
    size_t sequence_room;
};

struct producers {
    struct producers_setup setup;
    struct producer *list;
    struct producer *asking; /* for whom the request is under way */
    struct connection *connection;
    struct connection_request request;
    uint8_t body_memory[8];
    struct slice body;
    char cluster_id[CLUSTER_ID_SIZE_MAX]; /* of the cluster that was asked */
    struct timer retry;
    unsigned attempt;
    bool has_fault;
    struct why fault;
};

static void producers_retry(struct timer *timer)
{
    producers_advance(CONTAINER_OF(timer, struct producers, retry));
}

static void producer_refused(struct producers *producers, int16_t code)
{
    const struct kafka_error *error = kafka_error_of(code);
    why_set(&producers->fault, "no producer id is given: %s%s%s", error->name,
            error->advice[0] ? ": " : "", error->advice);
    uint64_t wait_max = error->first == KAFKA_RETRY ? RETRY_MS_START : RETRY_MS_MAX;
    uint64_t wait_ms = (uint64_t)RETRY_MS_FIRST << producers->attempt;
    if (wait_ms < wait_max) {
        producers->attempt++;
    } else {
        wait_ms = wait_max;
    }
    /* A right is missing: that takes a person. */
    bool park = error->first == KAFKA_PARK;
    producers->has_fault = producers->has_fault || park || wait_ms >= FAULT_MS;
    timer_arm(&producers->retry, park ? RETRY_MS_PARK : wait_ms);
}

static enum err producer_answered(struct connection_request *request, enum err e,
                                  struct slice answer)
{
    struct producers *producers = CONTAINER_OF(request, struct producers, request);
    struct producer *producer = producers->asking;
    struct connection *connection = producers->connection;
    producers->asking = NULL;
    producers->connection = NULL;
    struct wire_producer_id given;
    if (!e) {
        e = wire_init_producer_id_parse(answer, &given);
    }
    if (e) {
        return e; /* the cluster's changed() goes on */
    }
    connection_throttle(connection, given.throttle_ms);
    if (given.error) {
        producer_refused(producers, given.error);
    } else if (strcmp(producers->cluster_id, cluster_id(producers->setup.cluster)) == 0) {
        /* From another cluster it would be somebody else's here: it is asked for again. */
        producer->id = given.producer_id;
        producer->epoch = given.epoch;
        producer->wanted = false;
        producer->used_ms = loop_now_ms(producers->setup.loop);
        producers->has_fault = false;
        producers->attempt = 0;
    }
    producers_advance(producers);
    producers->setup.changed(producers->setup.context);
    return ERR_OK;
}

void producers_advance(struct producers *producers)
{
    if (producers->asking || timer_is_armed(&producers->retry)) {
        return;
    }
    struct producer *producer = producers->list;
    while (producer && !producer->wanted) {
        producer = producer->next;
    }
    struct connection *connection;
    if (!producer || cluster_any(producers->setup.cluster, &connection)) {
        return;
    }
    struct out body = out_over(producers->body_memory, sizeof producers->body_memory);
    wire_init_producer_id(&body);
    assert(!body.overflow);
    producers->body = out_slice(&body);
    const char *id = cluster_id(producers->setup.cluster);
    memcpy(producers->cluster_id, id, strlen(id) + 1);
    producers->asking = producer;
    producers->connection = connection;
    producers->request = (struct connection_request){.api = WIRE_INIT_PRODUCER_ID,
                                                     .body = &producers->body,
                                                     .body_count = 1,
                                                     .answered = producer_answered};
    connection_send(connection, &producers->request);
}

enum err producers_open(struct producers **ret, const struct producers_setup *setup)
{
    struct producers *producers = calloc(1, sizeof *producers);
    if (!producers) {
        return ERR_NOMEM;
    }
    producers->setup = *setup;
    timer_init(&producers->retry, setup->loop, producers_retry);
    *ret = producers;
    return ERR_OK;
}

void producers_close(struct producers *producers)
{
    if (!producers) {
        return;
    }
    timer_release(&producers->retry);
    while (producers->list) {
        struct producer *producer = producers->list;
        producers->list = producer->next;
        free(producer->sequences);
        free(producer);
    }
    free(producers);
}

static struct producer *producer_find(const struct producers *producers, uint16_t stream,
                                      uint8_t lane)
{
    struct producer *producer = producers->list;
    while (producer && (producer->stream != stream || producer->lane != lane)) {
        producer = producer->next;
    }
    return producer;
}

static struct producer *producer_get(struct producers *producers, uint16_t stream, uint8_t lane)
{
    struct producer *producer = producer_find(producers, stream, lane);
    if (producer) {
        return producer;
    }
    producer = calloc(1, sizeof *producer);
    if (producer) {
        *producer =
            (struct producer){.next = producers->list, .stream = stream, .lane = lane, .id = -1};
        producers->list = producer;
    }
    return producer;
}

static struct sequence *sequence_get(struct producer *producer, uint32_t partition)
{
    for (size_t i = 0; i < producer->sequence_count; i++) {
        if (producer->sequences[i].partition == partition) {
            return &producer->sequences[i];
        }
    }
    if (producer->sequence_count == producer->sequence_room) {
        size_t room = producer->sequence_room ? producer->sequence_room * 2 : 4;
        struct sequence *larger = realloc(producer->sequences, room * sizeof *larger);
        if (!larger) {
            return NULL;
        }
        producer->sequences = larger;
        producer->sequence_room = room;
    }
    struct sequence *sequence = &producer->sequences[producer->sequence_count++];
    *sequence = (struct sequence){.partition = partition, .next_id = -1, .producer_id = -1};
    return sequence;
}

static bool sequence_is_of(const struct sequence *sequence, const struct part *part)
{
    return sequence->producer_id == part->producer_id && sequence->base == part->base_sequence;
}

enum err producers_assign(struct producers *producers, uint16_t stream, uint8_t lane,
                          struct part *part)
{
    assert(!part->assigned && !part->done && part->record_count > 0);
    struct producer *producer = producer_get(producers, stream, lane);
    struct sequence *sequence = producer ? sequence_get(producer, part->partition) : NULL;
    if (!sequence) {
        return ERR_NOMEM;
    }
    if (!producers->setup.is_idempotent) {
        part->producer_id = -1;
        part->producer_epoch = -1;
        part->base_sequence = -1;
        *sequence = (struct sequence){.partition = part->partition,
                                      .next_id = -1,
                                      .producer_id = -1,
                                      .base = -1,
                                      .count = part->record_count};
        return ERR_OK;
    }
    uint64_t now = loop_now_ms(producers->setup.loop);
    if (producer->id >= 0 && now - producer->used_ms > IDLE_MS_MAX) {
        producer->id = -1;
    }
    if (producer->id < 0) {
        producer->wanted = true;
        producers_advance(producers);
        return ERR_AGAIN;
    }
    if (sequence->producer_id >= 0 && !sequence->was_sent) {
        producers_free_numbers(sequence); /* they were given, and came to nothing */
    }
    if (sequence->next_id != producer->id) {
        sequence->next_id = producer->id;
        sequence->next = 0;
    }
    producer->used_ms = now;
    part->producer_id = producer->id;
    part->producer_epoch = producer->epoch;
    part->base_sequence = sequence->next;
    sequence->producer_id = producer->id;
    sequence->base = sequence->next;
    sequence->count = part->record_count;
    sequence->was_sent = false;
    sequence->may_be_stored = false;
    sequence->tries = 0;
    sequence->look_ms = sequence->looked_ms = 0;
    sequence->next = records_sequence_add(sequence->next, part->record_count);
    return ERR_OK;
}

struct sequence *producers_sequence(struct producers *producers, uint16_t stream, uint8_t lane,
                                    const struct part *part, bool again)
{
    struct producer *producer = producer_get(producers, stream, lane);
    struct sequence *sequence = producer ? sequence_get(producer, part->partition) : NULL;
    if (sequence && !sequence_is_of(sequence, part)) {
        if (sequence->producer_id >= 0 && !sequence->was_sent) {
            producers_free_numbers(sequence);
        }
        sequence->producer_id = part->producer_id;
        sequence->base = (int32_t)part->base_sequence;
        sequence->count = part->record_count;
        sequence->was_sent = again;
        sequence->may_be_stored = again;
        sequence->tries = 0;
        sequence->look_ms = sequence->looked_ms = 0;
    }
    return sequence;
}

void producers_free_numbers(struct sequence *sequence)
{
    if (sequence->producer_id >= 0 && sequence->producer_id == sequence->next_id &&
        sequence->next == records_sequence_add(sequence->base, sequence->count)) {
        sequence->next = sequence->base;
    }
    sequence->producer_id = -1;
}

void producers_spend(struct producers *producers, uint16_t stream, uint8_t lane,
                     const struct part *part)
{
    struct producer *producer = producer_find(producers, stream, lane);
    if (producer && producer->id == part->producer_id) {
        producer->id = -1;
    }
}

void producers_forget(struct producers *producers)
{
    for (struct producer *producer = producers->list; producer; producer = producer->next) {
        producer->id = -1;
        for (size_t i = 0; i < producer->sequence_count; i++) {
            producer->sequences[i].next_id = -1;
            producer->sequences[i].producer_id = -1;
        }
    }
}

const struct why *producers_fault(const struct producers *producers)
{
    return producers->has_fault ? &producers->fault : NULL;
}
