#include "agent/forward.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/flow.h"
#include "ports/log.h"
#include "uplink/avro/schema.h"

#define SCHEMA_COUNT_MAX 4096

/* --- schemas --- */

const struct forward_schema *forward_schema_find(const struct forward *forward, uint32_t schema)
{
    for (size_t i = 0; i < forward->schema_count; i++) {
        if (forward->schemas[i]->info.number == schema) {
            return forward->schemas[i];
        }
    }
    return NULL;
}

static const char *stream_key_field(const struct forward *forward, uint16_t stream)
{
    for (size_t i = 0; i < forward->setup.stream_count; i++) {
        if (forward->setup.streams[i].info.number == stream) {
            return forward->setup.streams[i].key_field;
        }
    }
    return NULL;
}

static void schema_close(struct forward_schema *schema)
{
    if (schema) {
        avro_schema_close(schema->parsed);
        free(schema);
    }
}

enum err forward_schema_add(struct forward *forward, uint16_t stream,
                            const struct schema_info *info)
{
    if (forward_schema_find(forward, info->number)) {
        return ERR_OK;
    }
    if (forward->schema_count == SCHEMA_COUNT_MAX) {
        return ERR_FULL;
    }
    struct forward_schema **grown =
        realloc(forward->schemas, (forward->schema_count + 1) * sizeof *grown);
    if (!grown) {
        return ERR_NOMEM;
    }
    forward->schemas = grown;
    struct forward_schema *schema = calloc(1, sizeof *schema);
    if (!schema) {
        return ERR_NOMEM;
    }
    schema->stream = stream;
    schema->info = *info;
    const char *field = stream_key_field(forward, stream);
    struct why why = {""};
    enum err e = ERR_OK;
    if (field) {
        e = avro_schema_parse(&schema->parsed, info->json, &why);
        if (!e && key_find(&schema->key, schema->parsed, field, &why)) {
            /* An older version without this field: its events have no key. */
            log_warn("forward", "schema %u: %s; its events go out without a key", info->number,
                     why.text);
            schema->key = (struct key){0};
        }
    }
    if (e) {
        log_error("forward", "schema %u of the buffer: %s", info->number, why.text);
        schema_close(schema);
        return e;
    }
    forward->schemas[forward->schema_count++] = schema;
    return ERR_OK;
}

/* --- the workspace: one task at a time, highest priority first, then who waited longest --- */

static struct flow *forward_next(struct forward *forward)
{
    struct flow *best = NULL;
    for (size_t h = 0; h < forward->host_count; h++) {
        for (size_t i = 0; i < forward->hosts[h].flow_count; i++) {
            struct flow *flow = &forward->hosts[h].flows[i];
            if (flow->wanted == TASK_NONE) {
                continue;
            }
            uint8_t priority = flow->stream->info.priority;
            if (!best || priority > best->stream->info.priority ||
                (priority == best->stream->info.priority && flow->served < best->served)) {
                best = flow;
            }
        }
    }
    return best;
}

static void forward_worked(struct forward *forward)
{
    struct flow *flow = forward->worker_flow;
    forward->worker_flow = NULL;
    if (!forward->closing) {
        flow_worked(flow, &forward->task);
    }
    for (size_t i = 0; i < PARCEL_PART_MAX; i++) {
        free(forward->task.parts[i].wire); /* what the flow did not take */
        forward->task.parts[i].wire = NULL;
    }
    forward_schedule(forward);
}

static void build_work(struct job *job)
{
    struct forward *forward = CONTAINER_OF(job, struct forward, job);
    pack_build(forward->pack, &forward->task);
}

static void build_done(struct job *job)
{
    forward_worked(CONTAINER_OF(job, struct forward, job));
}

/* The schema of the rows is known now, and so the target of a new parcel. False: the flow has to
 * wait. */
static bool forward_find_target(struct forward *forward, struct flow *flow)
{
    struct pack_task *task = &forward->task;
    uint32_t number = task->cut ? pack_schema(forward->pack) : flow->parcel.schema;
    const struct forward_schema *schema = forward_schema_find(forward, number);
    if (!schema) {
        task->outcome = PACK_FAILED;
        task->e = ERR_CORRUPT;
        why_set(&task->why, "the buffer has no schema %u", number);
        return true;
    }
    task->schema = &schema->info;
    task->key = &schema->key;
    task->target = flow->target;
    if (!task->cut) {
        return true;
    }
    struct uplink *uplink = flow->host->uplink;
    struct why why = {""};
    enum err e =
        uplink->class_->target(uplink, &flow->stream->info, task->schema, &task->target, &why);
    if (e == ERR_AGAIN) {
        flow->waits_for_uplink = true;
    } else if (e) {
        uplink_fault(flow->host, &why);
        flow->holds = true;
        timer_arm(&flow->timer, FLOW_PARK_MS);
    }
    return e == ERR_OK;
}

static void read_work(struct job *job)
{
    struct forward *forward = CONTAINER_OF(job, struct forward, job);
    pack_read(forward->pack, store_buffer(forward->setup.store), &forward->task);
}

static void forward_give_up(struct forward *forward, struct flow *flow)
{
    forward->worker_flow = NULL;
    flow->working = false;
    flow->wanted = TASK_NONE;
}

static void read_done(struct job *job)
{
    struct forward *forward = CONTAINER_OF(job, struct forward, job);
    struct flow *flow = forward->worker_flow;
    if (forward->closing) {
        forward_give_up(forward, flow);
        return;
    }
    if (forward->task.outcome == PACK_BUILT && !forward_find_target(forward, flow)) {
        forward_give_up(forward, flow);
        flow_advance(flow);
        forward_schedule(forward);
        return;
    }
    bool only_rows = flow->wanted == TASK_HALVE || flow->wanted == TASK_ASIDE;
    if (forward->task.outcome != PACK_BUILT || only_rows) {
        forward_worked(forward);
        return;
    }
    forward->job = (struct job){.work = build_work, .done = build_done};
    enum err e = worker_put(forward->setup.pack, &forward->job);
    assert(!e); /* the pack worker has one job at a time */
    (void)e;
}

void forward_schedule(struct forward *forward)
{
    while (!forward->worker_flow && !forward->closing) {
        struct flow *flow = forward_next(forward);
        if (!flow) {
            return;
        }
        if (!flow_task_fill(flow, &forward->task)) {
            flow->wanted = TASK_NONE;
            continue;
        }
        forward->job = (struct job){.work = read_work, .done = read_done};
        if (worker_put(store_worker(forward->setup.store), &forward->job)) {
            return; /* the store is busy: the next commit calls again */
        }
        flow->working = true;
        flow->served = ++forward->turn;
        forward->worker_flow = flow;
    }
}

/* --- commits --- */

static const struct owed *changes_find(const struct buffer_changes *changes, uint16_t uplink,
                                       uint16_t stream)
{
    for (size_t i = 0; i < changes->owed_count; i++) {
        if (changes->owed[i].uplink == uplink && changes->owed[i].stream == stream) {
            return &changes->owed[i];
        }
    }
    return NULL;
}

static void forward_committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct forward *forward = context;
    for (size_t h = 0; h < forward->host_count; h++) {
        struct uplink_host *host = &forward->hosts[h];
        for (size_t i = 0; i < host->flow_count; i++) {
            struct flow *flow = &host->flows[i];
            flow_committed(flow, commit,
                           changes_find(changes, host->setup.number, flow->stream->info.number));
        }
    }
    forward_schedule(forward);
}

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
    if (host->forward->closing) {
        return;
    }
    if (report->result != SEND_OK) {
        log_debug(host->setup.name, "stream %s, %" PRIu64 "..%" PRIu64 ": %s (%d)",
                  batch->stream->name, batch->first, batch->last, report->text, report->code);
    }
    flow_answer(fb->flow, fb, report);
    host_advance(host);
}

void uplink_ready(struct uplink_host *host)
{
    for (size_t i = 0; i < host->flow_count; i++) {
        flow_uplink_ready(&host->flows[i]);
    }
}

void uplink_remote_id_set(struct uplink_host *host, uint32_t schema, struct slice id)
{
    uint64_t commit;
    struct remote_id remote = {.uplink = host->setup.number, .schema = schema, .id = id};
    if (store_remote_put(host->forward->setup.store, &remote, &commit)) {
        log_warn(
            host->setup.name,
            "the registry's id of schema %u is not kept: it is asked for again after a restart",
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

void uplink_fault(struct uplink_host *host, const struct why *why)
{
    if (strcmp(host->fault.text, why ? why->text : "") == 0) {
        return;
    }
    host->fault = why ? *why : (struct why){""};
    char part[96];
    (void)snprintf(part, sizeof part, "uplink %s", host->setup.name); /* cut is fine */
    if (why) {
        log_warn(part, "%s", why->text);
    } else {
        log_info(part, "working again");
    }
}

void uplink_count(struct uplink_host *host, const char *name, uint64_t add)
{
    for (size_t i = 0; i < host->counter_count; i++) {
        if (strcmp(host->counter_names[i], name) == 0) {
            host->counters[i] += add;
            return;
        }
    }
    if (host->counter_count < ARRAY_COUNT(host->counters)) {
        (void)snprintf(host->counter_names[host->counter_count], sizeof host->counter_names[0],
                       "%s", name);
        host->counters[host->counter_count++] = add;
    }
}

const char *uplink_name(const struct uplink_host *host)
{
    return host->setup.name;
}

uint32_t uplink_request_size(struct uplink_host *host)
{
    return link_request_size(&host->link, host->shared);
}

void uplink_wire_bytes(struct uplink_host *host, uint64_t sent, uint64_t received)
{
    host->link.sent += sent;
    host->link.received += received;
}

/* --- opening, stopping, closing --- */

static enum err host_open(struct forward *forward, struct uplink_host *host,
                          const struct forward_uplink *setup, struct why *why)
{
    host->forward = forward;
    host->setup = *setup;
    link_init(&host->link);
    host->flows =
        calloc(forward->setup.stream_count ? forward->setup.stream_count : 1, sizeof *host->flows);
    if (!host->flows) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < forward->setup.stream_count; i++) {
        const struct forward_stream *stream = &forward->setup.streams[i];
        if (setup->stream_set[i]) {
            flow_init(&host->flows[host->flow_count++], host, stream);
            host->shared =
                host->shared || stream->info.priority != host->flows[0].stream->info.priority;
        }
    }
    struct uplink_setup us = {.host = host,
                              .loop = forward->setup.loop,
                              .names = forward->setup.names,
                              .options = setup->options,
                              .agent_id = forward->setup.agent_id,
                              .incarnation = forward->incarnation};
    enum err e = setup->class_->open(&host->uplink, &us, why);
    if (e) {
        why_add(why, "uplink %s", setup->name);
    }
    return e;
}

static struct flow *forward_flow_find(struct forward *forward, uint16_t uplink, uint16_t stream)
{
    for (size_t h = 0; h < forward->host_count; h++) {
        struct uplink_host *host = &forward->hosts[h];
        for (size_t i = 0; host->setup.number == uplink && i < host->flow_count; i++) {
            if (host->flows[i].stream->info.number == stream) {
                return &host->flows[i];
            }
        }
    }
    return NULL;
}

static void resume_parcel(void *context, const struct parcel *parcel)
{
    struct flow *flow = forward_flow_find(context, parcel->uplink, parcel->stream);
    if (flow) { /* else the configuration took the stream from this uplink: buffer_open has judged
                   that */
        flow_resume(flow, parcel);
    }
}

static void remember_remote(void *context, uint16_t uplink, uint32_t schema, struct slice id)
{
    struct forward *forward = context;
    if (id.size > REMOTE_ID_SIZE_MAX || forward->remotes_failed) {
        return;
    }
    struct forward_remote *grown =
        realloc(forward->remotes, (forward->remote_count + 1) * sizeof *grown);
    if (!grown) {
        forward->remotes_failed = true;
        return;
    }
    forward->remotes = grown;
    struct forward_remote *remote = &grown[forward->remote_count++];
    *remote = (struct forward_remote){.uplink = uplink, .schema = schema, .size = id.size};
    memcpy(remote->id, id.data, id.size);
}

static enum err forward_open_parts(struct forward *forward, struct why *why)
{
    struct buffer *buffer = store_buffer(forward->setup.store);
    struct store_handler handler = {.committed = forward_committed, .context = forward};
    enum err e = pack_open(&forward->pack);
    if (!e) {
        e = store_handler_add(forward->setup.store, &handler);
    }
    if (!e) {
        e = buffer_remote_each(buffer, remember_remote, forward);
    }
    if (!e && forward->remotes_failed) {
        e = ERR_NOMEM;
    }
    for (size_t i = 0; !e && i < forward->setup.uplink_count; i++) {
        forward->host_count = i + 1;
        e = host_open(forward, &forward->hosts[i], &forward->setup.uplinks[i], why);
    }
    if (!e) {
        buffer_parcel_each(buffer, resume_parcel, forward);
    }
    return e;
}

static void forward_start(struct forward *forward)
{
    const struct buffer_changes *state = store_state(forward->setup.store);
    forward_committed(forward, store_committed(forward->setup.store), state);
}

static void stop_timer_fired(struct timer *timer);

/* On the first turn of the loop, when everything is open. */
static void start_timer_fired(struct timer *timer)
{
    forward_start(CONTAINER_OF(timer, struct forward, start_timer));
}

enum err forward_open(struct forward **ret, const struct forward_setup *setup, struct why *why)
{
    struct forward *forward = calloc(1, sizeof *forward);
    if (!forward) {
        return ERR_NOMEM;
    }
    forward->setup = *setup;
    forward->incarnation = buffer_incarnation(store_buffer(setup->store));
    (void)snprintf(forward->agent_key, sizeof forward->agent_key, "%s/%08" PRIx32, setup->agent_id,
                   forward->incarnation);
    timer_init(&forward->stop_timer, setup->loop, stop_timer_fired);
    timer_init(&forward->start_timer, setup->loop, start_timer_fired);
    forward->hosts = calloc(setup->uplink_count ? setup->uplink_count : 1, sizeof *forward->hosts);
    enum err e = forward->hosts ? forward_open_parts(forward, why) : ERR_NOMEM;
    if (e) {
        forward_close(forward);
        return e;
    }
    timer_arm(&forward->start_timer, 0);
    *ret = forward;
    return ERR_OK;
}

void forward_check_finished(struct forward *forward)
{
    if (!forward->finished || forward->worker_flow) {
        return;
    }
    for (size_t h = 0; h < forward->host_count; h++) {
        for (size_t i = 0; i < forward->hosts[h].flow_count; i++) {
            if (forward->hosts[h].flows[i].lent_count > 0) {
                return;
            }
        }
    }
    timer_arm(&forward->stop_timer, 0);
}

static void stop_timer_fired(struct timer *timer)
{
    struct forward *forward = CONTAINER_OF(timer, struct forward, stop_timer);
    void (*finished)(void *) = forward->finished;
    forward->finished = NULL;
    if (finished) {
        finished(forward->finished_context);
    }
}

void forward_stop(struct forward *forward, int64_t grace_ms, void (*finished)(void *context),
                  void *context)
{
    assert(finished && !forward->finished);
    forward->stopping = true;
    forward->finished = finished;
    forward->finished_context = context;
    timer_arm(&forward->stop_timer, (uint64_t)grace_ms);
    for (size_t h = 0; h < forward->host_count; h++) {
        forward->hosts[h].uplink->class_->stop(forward->hosts[h].uplink, grace_ms);
    }
    forward_check_finished(forward);
}

static void host_close(struct uplink_host *host)
{
    if (host->uplink) {
        host->uplink->class_->close(host->uplink);
    }
    for (size_t i = 0; i < host->flow_count; i++) {
        flow_release(&host->flows[i]);
    }
    free(host->flows);
}

void forward_abandon(struct forward *forward)
{
    if (forward) {
        forward->closing = true;
    }
}

void forward_close(struct forward *forward)
{
    if (!forward) {
        return;
    }
    forward->closing = true;
    assert(!forward->worker_flow);
    for (size_t h = 0; h < forward->host_count; h++) {
        host_close(&forward->hosts[h]);
    }
    for (size_t i = 0; i < forward->schema_count; i++) {
        schema_close(forward->schemas[i]);
    }
    timer_release(&forward->stop_timer);
    timer_release(&forward->start_timer);
    pack_close(forward->pack);
    free(forward->schemas);
    free(forward->remotes);
    free(forward->hosts);
    free(forward);
}

/* --- status --- */

uint64_t forward_delivered(const struct forward *forward)
{
    uint64_t count = 0;
    for (size_t h = 0; h < forward->host_count; h++) {
        count += forward->hosts[h].sent_events;
    }
    return count;
}

static void host_status(const struct uplink_host *host, struct out *json)
{
    unsigned lent = 0;
    for (size_t i = 0; i < host->flow_count; i++) {
        lent += host->flows[i].lent_count;
    }
    out_put_json(json, slice_of_text(host->setup.name));
    out_put_format(
        json, ":{\"type\":\"%s\",\"sent\":%" PRIu64 ",\"sent_bytes\":%" PRIu64 ",\"in_flight\":%u",
        host->setup.class_->type, host->sent_events, host->sent_size, lent);
    out_put_format(json,
                   ",\"retried\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"halved\":%" PRIu64
                   ",\"aside\":%" PRIu64 ",\"duplicates\":%" PRIu64,
                   host->retried, host->refused, host->halved, host->aside_events,
                   host->duplicates);
    out_put_format(
        json, ",\"wire_sent\":%" PRIu64 ",\"wire_received\":%" PRIu64 ",\"request_size\":%" PRIu32,
        host->link.sent, host->link.received, link_request_size(&host->link, host->shared));
    for (size_t i = 0; i < host->counter_count; i++) {
        out_put_byte(json, ',');
        out_put_json(json, slice_of_text(host->counter_names[i]));
        out_put_format(json, ":%" PRIu64, host->counters[i]);
    }
    out_put_text(json, ",\"fault\":");
    if (host->fault.text[0]) {
        out_put_json(json, slice_of_text(host->fault.text));
    } else {
        out_put_text(json, "null");
    }
    out_put_byte(json, '}');
}

void forward_status(const struct forward *forward, struct out *json)
{
    out_put_byte(json, '{');
    for (size_t h = 0; h < forward->host_count; h++) {
        if (h > 0) {
            out_put_byte(json, ',');
        }
        host_status(&forward->hosts[h], json);
    }
    out_put_byte(json, '}');
}
