#include "uplink/kafka/kafka.h"

#include <assert.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "ports/tickets.h"
#include "uplink/kafka/kafka_impl.h"
#include "uplink/kafka/probe.h"
#include "uplink/kafka/records.h"
#include "uplink/kafka/service.h"
#include "uplink/kafka/tokens.h"

#define CLOCK_PLAUSIBLE_US (INT64_C(1767225600) * 1000000) /* 2026-01-01: before weir */
#define ANSWER_MARGIN_MS 5000 /* the broker's own time limit comes first */

/* --- numbers --- */

/* What AGAIN was said for may be over. */
static void clock_look(struct timer *timer)
{
    uplink_ready(CONTAINER_OF(timer, struct kafka, clock)->host);
}

/* The time of sending; -1: the clock was waited for, and can't be trusted yet. ERR_AGAIN:
 * still waiting. */
static enum err sent_time(struct kafka *k, int64_t *ret_ms)
{
    int64_t wall_us = clock_wall_us();
    if (wall_us >= CLOCK_PLAUSIBLE_US || clock_wall_is_synchronised()) {
        *ret_ms = wall_us / 1000;
        return ERR_OK;
    }
    if (loop_now_ms(k->loop) - k->opened_ms < (uint64_t)k->options->clock_wait_ms) {
        struct why why;
        why_set(&why, "the clock is wrong (before 2026): waiting for it to be set");
        uplink_fault(k->host, &why);
        timer_arm(&k->clock, KAFKA_CLOCK_LOOK_MS);
        return ERR_AGAIN;
    }
    uplink_count(k->host, "without_time", 1);
    *ret_ms = -1;
    return ERR_OK;
}

/* A parcel that was cut for another cluster goes to the one that is there now, once nothing of it
 * is under way. */
static enum err parcel_move(struct kafka *k, struct parcel *parcel)
{
    const char *id = cluster_id(k->cluster);
    if (strcmp(parcel->cluster_id, id) == 0) {
        return ERR_OK;
    }
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        if (parcel->parts[i].assigned && !parcel->parts[i].done) {
            timer_arm(&k->clock, KAFKA_CLOCK_LOOK_MS);
            return ERR_AGAIN;
        }
    }
    memcpy(parcel->cluster_id, id, strlen(id) + 1);
    return ERR_OK;
}

static enum err kafka_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                             size_t part_count)
{
    struct kafka *k = kafka_of(uplink);
    int64_t sent_ms = -1;
    if (k->stopping) {
        return ERR_AGAIN;
    }
    enum err e = sent_time(k, &sent_ms);
    e = e ? e : parcel_move(k, parcel);
    for (size_t i = 0; i < part_count && !e; i++) {
        e = producers_assign(k->producers, parcel->stream, parcel->lane, &parcel->parts[parts[i]]);
    }
    if (e) {
        kafka_say(k);
        return e; /* numbers that were given are given again: nothing was sent under them */
    }
    for (size_t i = 0; i < part_count; i++) {
        struct part *part = &parcel->parts[parts[i]];
        part->sent_ms = sent_ms;
        part->stamp = kafka_has_event_time(k->options, part) ? PART_STAMP_EVENT : PART_STAMP_SENT;
        part->assigned = true;
    }
    return ERR_OK;
}

/* --- sending --- */

static void kafka_send(struct uplink *uplink, struct batch *batch)
{
    struct kafka *k = kafka_of(uplink);
    assert(batch->part->assigned && !batch->part->done);
    assert(batch->wire.data == batch->wire_memory && batch->wire.size > RECORDS_HEAD_SIZE);
    batch->lent_ms = loop_now_ms(k->loop);
    kafka_queue(&k->waiting, batch);
    timer_arm(&k->flush, 0); /* what is lent in the same turn goes in the same requests */
}

static void kafka_flush(struct timer *timer)
{
    kafka_pump(CONTAINER_OF(timer, struct kafka, flush));
}

static void kafka_late(struct timer *timer)
{
    struct kafka *k = CONTAINER_OF(timer, struct kafka, late);
    kafka_say(k);
    kafka_pump(k);
}

static void cluster_changed(void *context)
{
    struct kafka *k = context;
    if (strcmp(k->cluster_id, cluster_id(k->cluster)) != 0) {
        producers_forget(k->producers);
        memcpy(k->cluster_id, cluster_id(k->cluster), sizeof k->cluster_id);
    }
    kafka_say(k);
    producers_advance(k->producers);
    uplink_ready(k->host);
    timer_arm(&k->flush, 0);
}

static void producers_changed(void *context)
{
    struct kafka *k = context;
    kafka_say(k);
    uplink_ready(k->host);
}

static void wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    struct kafka *k = context;
    uplink_wire_bytes(k->host, sent, received);
}

static void link_of(void *context, struct uplink_link *ret)
{
    const struct kafka *k = context;
    uplink_link(k->host, ret);
}

static void http_link_of(void *context, struct http_link *ret)
{
    struct uplink_link link;
    link_of(context, &link);
    *ret = (struct http_link){.interface_name = link.interface_name,
                              .pacer = link.pacer,
                              .send_buffer_size = link.send_buffer_size,
                              .keepalive_s = link.keepalive_s};
}

static void kafka_relink(struct uplink *uplink)
{
    cluster_relink(kafka_of(uplink)->cluster);
}

static void token_changed(void *context)
{
    cluster_token_changed(((struct kafka *)context)->cluster);
}

/* --- life --- */

static void kafka_close(struct uplink *uplink)
{
    if (!uplink) {
        return;
    }
    struct kafka *k = kafka_of(uplink);
    timer_release(&k->flush);
    timer_release(&k->late);
    timer_release(&k->clock);
    timer_release(&k->grace);
    timer_release(&k->lookback.timer);
    cluster_close(k->cluster);
    producers_close(k->producers);
    if (WEIR_HTTP_CLIENT) {
        registry_close(k->registry);
        glue_close(k->glue);
        tokens_close(k->tokens);
        http_close(k->http);
    }
    tickets_leave(k->tickets, k->tls);
    tls_close(k->tls);
    while (k->limits) {
        struct topic_limit *limit = k->limits;
        k->limits = limit->next;
        free(limit);
    }
    free(k);
}

static void grace_over(struct timer *timer)
{
    cluster_cut(CONTAINER_OF(timer, struct kafka, grace)->cluster);
}

static void kafka_stop(struct uplink *uplink, int64_t grace_ms)
{
    struct kafka *k = kafka_of(uplink);
    k->stopping = true;
    cluster_stop(k->cluster);
    timer_arm(&k->flush, 0); /* what only waits goes back at once */
    timer_arm(&k->grace, grace_ms > 0 ? (uint64_t)grace_ms : 0);
}

static enum err open_http(struct kafka *k, const struct uplink_setup *setup, struct why *why)
{
    const struct sasl_options *sasl = &k->options->sasl;
    if (!WEIR_HTTP_CLIENT) { /* nothing that needs it is set */
        return ERR_OK;
    }
    if (!tokens_are_needed(sasl) && !k->options->registry.is_set && !k->options->glue.is_set) {
        return ERR_OK;
    }
    enum err e = http_open(&k->http, setup->loop, setup->names);
    if (e) {
        why_set(why, "the HTTP client can't be opened: %s", err_name(e));
        return e;
    }
    http_link_set(k->http, http_link_of, k);
    http_tickets_set(k->http, setup->tickets, uplink_name(setup->host));
    const char *const *brokers = k->options->brokers.items;
    struct tokens_setup tokens = {.loop = setup->loop,
                                  .names = setup->names,
                                  .http = k->http,
                                  .options = sasl,
                                  .store = &k->sasl,
                                  .broker = brokers[0],
                                  .context = k,
                                  .changed = token_changed,
                                  .wire_bytes = wire_bytes};
    return tokens_are_needed(sasl) ? tokens_open(&k->tokens, &tokens, why) : ERR_OK;
}

static enum err open_registry(struct kafka *k, const struct uplink_setup *setup, struct why *why)
{
    if (!WEIR_HTTP_CLIENT) {
        return ERR_OK;
    }
    if (k->options->glue.is_set) {
        struct glue_setup glue = {.loop = setup->loop,
                                  .names = setup->names,
                                  .http = k->http,
                                  .options = &k->options->glue,
                                  .host = setup->host};
        return glue_open(&k->glue, &glue, why);
    }
    if (!k->options->registry.is_set) {
        return ERR_OK;
    }
    struct registry_setup registry = {.loop = setup->loop,
                                      .http = k->http,
                                      .options = &k->options->registry,
                                      .host = setup->host};
    return registry_open(&k->registry, &registry, why);
}

static enum err open_cluster(struct kafka *k, const struct uplink_setup *setup, struct why *why)
{
    const struct kafka_options *options = k->options;
    enum err e = options->tls.is_set ? tls_open(&k->tls, &options->tls, TLS_CLIENT, why) : ERR_OK;
    if (e) {
        return e;
    }
    k->tickets = setup->tickets;
    if (k->tls) {
        tickets_join(k->tickets, uplink_name(k->host), k->tls);
    }
    k->sasl.options = &options->sasl;
    struct cluster_setup cluster = {
        .connection = {.loop = setup->loop,
                       .names = setup->names,
                       .tls = k->tls,
                       .server_name = options->tls.server_name,
                       .sasl = options->sasl.is_set ? &k->sasl : NULL,
                       .tokens = k->tokens,
                       .client_id = options->client_id,
                       .answer_timeout_ms =
                           (uint32_t)options->request_timeout_ms + ANSWER_MARGIN_MS,
                       .idle_ms_max = kafka_service_of(options->service)->idle_ms_max,
                       .context = k,
                       .wire_bytes = wire_bytes,
                       .link = link_of},
        .brokers = options->brokers.items,
        .broker_count = options->brokers.count,
        .topic_create = (enum topic_create)options->topic_create,
        .context = k,
        .changed = cluster_changed,
    };
    e = cluster_open(&k->cluster, &cluster, why);
    if (e) {
        return e;
    }
    struct producers_setup producers = {.loop = setup->loop,
                                        .cluster = k->cluster,
                                        .is_idempotent =
                                            kafka_service_of(options->service)->is_idempotent,
                                        .context = k,
                                        .changed = producers_changed};
    return producers_open(&k->producers, &producers);
}

static enum err kafka_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct kafka *k = calloc(1, sizeof *k);
    if (!k) {
        return ERR_NOMEM;
    }
    k->uplink.class_ = &kafka_uplink_class;
    k->options = setup->options;
    k->host = setup->host;
    k->loop = setup->loop;
    k->agent_id = setup->agent_id;
    k->opened_ms = loop_now_ms(setup->loop);
    timer_init(&k->flush, setup->loop, kafka_flush);
    timer_init(&k->late, setup->loop, kafka_late);
    timer_init(&k->clock, setup->loop, clock_look);
    timer_init(&k->grace, setup->loop, grace_over);
    timer_init(&k->lookback.timer, setup->loop, kafka_look_back_tick);
    enum err e = open_http(k, setup, why);
    e = e ? e : open_cluster(k, setup, why);
    e = e ? e : open_registry(k, setup, why);
    if (e) {
        kafka_close(&k->uplink);
        return e;
    }
    *ret = &k->uplink;
    return ERR_OK;
}

const struct uplink_class kafka_uplink_class = {
    .type = "kafka",
    .help = "Apache Kafka 2.1 or later and what speaks its protocol (Redpanda, Event Hubs, "
            "Confluent Cloud, MSK), by an idempotent producer of its own that stays exactly-once "
            "across crashes of agent and broker.",
    .options = kafka_table,
    .options_size = sizeof(struct kafka_options),
    .probe = kafka_probe_open,
    .check = kafka_check,
    .open = kafka_open,
    .target = kafka_target,
    .place = kafka_place,
    .tombstone = kafka_tombstone,
    .dictionary = kafka_dictionary,
    .fits = kafka_fits,
    .columns = kafka_columns,
    .letter = kafka_letter,
    .wrap = kafka_wrap,
    .assign = kafka_assign,
    .send = kafka_send,
    .relink = kafka_relink,
    .stop = kafka_stop,
    .close = kafka_close,
};
