#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/flow.h"
#include "ports/log.h"

/* --- what uplinks call --- */

static void host_advance(struct uplink_host *host)
{
    for (size_t i = 0; i < host->flow_count; i++) {
        flow_advance(&host->flows[i]);
    }
}

void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report)
{
    struct flow_batch *fb = CONTAINER_OF(batch, struct flow_batch, batch);
    size_t through = report->result == SEND_OK ? batch->wire.size : 0;
    link_ended(&host->link, loop_now_ms(host->forward->setup.loop), through);
    link_user_told(&host->link_user, report->result != SEND_RETRY);
    if (host->forward->closing) {
        return;
    }
    if (report->result != SEND_OK) {
        log_debug(host->setup.name, "stream %s, %" PRIu64 "..%" PRIu64 ": %s (%d)",
                  batch->stream->name, batch->first, batch->last, report->text, report->code);
    }
    forward_gather(host->forward);
    flow_answer(fb->flow, fb, report);
    host_advance(host);
    forward_gathered(host->forward);
}

void uplink_ready(struct uplink_host *host)
{
    forward_gather(host->forward);
    for (size_t i = 0; i < host->flow_count; i++) {
        flow_uplink_ready(&host->flows[i]);
    }
    forward_gathered(host->forward);
}

void uplink_remote_id_set(struct uplink_host *host, uint32_t schema, struct slice id)
{
    uint64_t commit;
    struct remote_id remote = {.uplink = host->setup.number, .schema = schema, .id = id};
    if (store_remote_put(host->forward->setup.store, &remote, &commit)) {
        log_warn(host->setup.name,
                 "the registry's id of schema %u is not kept: it is asked for again after a "
                 "restart",
                 schema);
    }
}

bool uplink_remote_id(struct uplink_host *host, uint32_t schema, uint8_t *ret_id, size_t *ret_size)
{
    for (size_t i = 0; i < host->forward->remote_count; i++) {
        const struct forward_remote *remote = &host->forward->remotes[i];
        if (remote->uplink == host->setup.number && remote->schema == schema) {
            memcpy(ret_id, remote->id, remote->size);
            *ret_size = remote->size;
            return true;
        }
    }
    return false;
}

/* Through an outage of weeks each broker is tried again and again, and each has its own sentence:
 * the status has the last one, the log each of them once. */
static bool fault_is_new(struct uplink_host *host, const char *text)
{
    uint64_t hash = slice_hash(slice_of_text(text));
    unsigned kept = host->told_count < HOST_TOLD_MAX ? host->told_count : HOST_TOLD_MAX;
    for (unsigned i = 0; i < kept; i++) {
        if (host->told[i] == hash) {
            return false;
        }
    }
    host->told[host->told_count++ % HOST_TOLD_MAX] = hash;
    return true;
}

void uplink_fault(struct uplink_host *host, const struct why *why)
{
    if (strcmp(host->fault.text, why ? why->text : "") == 0) {
        return;
    }
    if (!why) {
        past_fault_note(&host->past, &host->fault);
    }
    host->fault = why ? *why : (struct why){""};
    char part[96];
    (void)snprintf(part, sizeof part, "uplink %s", host->setup.name); /* cut is fine */
    if (why && fault_is_new(host, why->text)) {
        log_warn(part, "%s", why->text);
    } else if (!why) {
        host->told_count = 0;
        log_info(part, "working again");
    }
}

void uplink_count(struct uplink_host *host, const char *name, uint64_t add)
{
    counters_add(&host->counters, name, add);
}

const char *uplink_name(const struct uplink_host *host)
{
    return host->setup.name;
}

uint32_t uplink_request_size(struct uplink_host *host)
{
    return host_request_size(host, NULL, 9);
}

void uplink_link(const struct uplink_host *host, struct uplink_link *ret)
{
    host_link(host, ret);
}

void uplink_wire_bytes(struct uplink_host *host, uint64_t sent, uint64_t received)
{
    host->link.sent += sent;
    host->link.received += received;
    link_user_count(&host->link_user, sent, received);
}

/* --- opening, closing, status --- */

static void find_backfill(void *context, const struct parcel *parcel)
{
    struct uplink_host *host = context;
    for (size_t i = 0; i < host->debt_count && parcel->lane == LANE_BACKFILL; i++) {
        struct debt *debt = &host->debts[i];
        if (parcel->uplink == debt->owed.uplink && parcel->stream == debt->owed.stream) {
            debt->open[LANE_BACKFILL] = parcel->range; /* until the flow takes it up */
        }
    }
}

static void host_debts(struct uplink_host *host)
{
    const struct forward_setup *setup = &host->forward->setup;
    for (size_t i = 0; i < setup->stream_count; i++) {
        const struct forward_stream *stream = &setup->streams[i];
        if (!host->setup.stream_set[i]) {
            continue;
        }
        struct debt *debt = &host->debts[host->debt_count++];
        debt_init(debt, host->setup.number, stream->info.number);
        debt->fresh_first = stream->fresh_first;
        debt->behind_max_ms = (uint64_t)(stream->fresh_after_ms + host->setup.linger_ms);
    }
    buffer_parcel_each(store_buffer(setup->store), find_backfill, host);
}

/* A stream has a second flow, behind its first, where there may be backfill: with fresh_first, or
 * when an earlier life has left a parcel of it. */
static enum err host_flows(struct uplink_host *host)
{
    const struct forward_setup *setup = &host->forward->setup;
    size_t count = setup->stream_count ? setup->stream_count : 1;
    host->debts = calloc(count, sizeof *host->debts);
    host->flows = calloc(2 * count, sizeof *host->flows);
    if (!host->flows || !host->debts) {
        return ERR_NOMEM;
    }
    host_debts(host);
    size_t debt_index = 0;
    for (size_t i = 0; i < setup->stream_count; i++) {
        const struct forward_stream *stream = &setup->streams[i];
        if (!host->setup.stream_set[i]) {
            continue;
        }
        struct debt *debt = &host->debts[debt_index++];
        flow_init(&host->flows[host->flow_count++], debt, host, stream, LANE_FRESH);
        if (debt->fresh_first || debt->open[LANE_BACKFILL].last > 0) {
            flow_init(&host->flows[host->flow_count++], debt, host, stream, LANE_BACKFILL);
        }
    }
    return ERR_OK;
}

/* Does another uplink use one of its links? */
static bool host_has_neighbour(const struct uplink_host *host)
{
    const struct forward_setup *setup = &host->forward->setup;
    for (size_t u = 0; u < setup->uplink_count; u++) {
        const struct forward_uplink *other = &setup->uplinks[u];
        for (size_t i = 0; i < other->link_count && other->number != host->setup.number; i++) {
            if (memchr(host->setup.links, other->links[i], host->setup.link_count)) {
                return true;
            }
        }
    }
    return false;
}

enum err host_open(struct forward *forward, struct uplink_host *host,
                   const struct forward_uplink *setup, struct why *why)
{
    host->forward = forward;
    host->setup = *setup;
    link_init(&host->link);
    host->share.millionths = setup->backfill_share;
    host_link_init(host);
    enum err e = host_flows(host);
    if (e) {
        return e;
    }
    const struct flow *first = NULL; /* of the streams that are not our own */
    for (size_t i = 0; i < host->flow_count; i++) {
        const struct flow *flow = &host->flows[i];
        assert(flow->stream);
        if (flow->stream->is_own) {
            continue;
        }
        first = first ? first : flow;
        host->shared = host->shared || flow->lane == LANE_BACKFILL ||
                       flow->stream->info.priority != first->stream->info.priority;
    }
    host->shared = host->shared || host_has_neighbour(host);
    struct uplink_setup us = {.host = host,
                              .loop = forward->setup.loop,
                              .names = forward->setup.names,
                              .tickets = forward->setup.tickets,
                              .options = setup->options,
                              .agent_id = forward->setup.agent_id,
                              .incarnation = forward->incarnation};
    e = setup->class_->open(&host->uplink, &us, why);
    if (e) {
        why_add(why, "uplink %s", setup->name);
    }
    return e;
}

void host_close(struct uplink_host *host)
{
    if (host->uplink) {
        host->uplink->class_->close(host->uplink);
    }
    for (size_t i = 0; i < host->flow_count; i++) {
        flow_release(&host->flows[i]);
    }
    free(host->flows);
    free(host->debts);
    link_user_release(&host->link_user);
}

/* The streams that stand still while the uplink works: {"STREAM":"why",…}. */
static void put_standing(const struct uplink_host *host, struct out *json)
{
    bool is_first = true;
    out_put_text(json, ",\"standing\":{");
    for (size_t i = 0; i < host->flow_count; i++) {
        const struct flow *flow = &host->flows[i];
        bool is_said = flow->lane == LANE_BACKFILL && flow[-1].fault.text[0];
        if (flow->fault.text[0] && !is_said) {
            out_put_text(json, is_first ? "" : ",");
            out_put_json(json, slice_of_text(flow->stream->info.name));
            out_put_byte(json, ':');
            out_put_json(json, slice_of_text(flow->fault.text));
            is_first = false;
        }
    }
    out_put_byte(json, '}');
}

/* What it still has to deliver, where there is something: {"STREAM":events,…}. */
static void put_owed(const struct uplink_host *host, struct out *json)
{
    bool is_first = true;
    out_put_text(json, ",\"owed\":{");
    for (size_t i = 0; i < host->flow_count; i++) {
        const struct flow *flow = &host->flows[i];
        uint64_t count = flow->lane == LANE_FRESH ? debt_count(flow->debt) : 0;
        if (count > 0) {
            out_put_text(json, is_first ? "" : ",");
            out_put_json(json, slice_of_text(flow->stream->info.name));
            out_put_format(json, ":%" PRIu64, count);
            is_first = false;
        }
    }
    out_put_byte(json, '}');
}

void host_status(const struct uplink_host *host, struct out *json)
{
    unsigned lent = 0;
    for (size_t i = 0; i < host->flow_count; i++) {
        lent += host->flows[i].lent_count;
    }
    out_put_json(json, slice_of_text(host->setup.name));
    out_put_format(json,
                   ":{\"type\":\"%s\",\"sent\":%" PRIu64 ",\"backfill\":%" PRIu64
                   ",\"sent_bytes\":%" PRIu64 ",\"in_flight\":%u",
                   host->setup.class_->type, host->sent_events, host->backfill_events,
                   host->sent_size, lent);
    out_put_format(json,
                   ",\"retried\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"halved\":%" PRIu64
                   ",\"aside\":%" PRIu64 ",\"duplicates\":%" PRIu64,
                   host->retried, host->refused, host->halved, host->aside_events,
                   host->duplicates);
    out_put_format(
        json, ",\"wire_sent\":%" PRIu64 ",\"wire_received\":%" PRIu64 ",\"request_size\":%" PRIu32,
        host->link.sent, host->link.received, link_request_size(&host->link, host->shared));
    counters_put(&host->counters, &host->fault, json);
    past_fault_put(&host->past, json);
    put_standing(host, json);
    put_owed(host, json);
    out_put_byte(json, '}');
}
