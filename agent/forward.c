#include "agent/forward.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/flow.h"
#include "uplink/avro/schema.h"

/* --- the workspace: one task at a time, highest priority first, then who waited longest --- */

static bool goes_before(const struct flow *flow, const struct flow *other)
{
    uint8_t priority = flow->stream->info.priority;
    return priority != other->stream->info.priority ? priority > other->stream->info.priority
                                                    : flow->served < other->served;
}

static struct flow *forward_next(struct forward *forward)
{
    struct flow *best = NULL;
    for (size_t h = 0; h < forward->host_count; h++) {
        for (size_t i = 0; i < forward->hosts[h].flow_count; i++) {
            struct flow *flow = &forward->hosts[h].flows[i];
            if (flow->wanted == TASK_NONE) {
                continue;
            }
            if (!best || goes_before(flow, best)) {
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
    if (forward->closing) {
        pack_drop_built(&forward->task);
    } else {
        flow_worked(flow, &forward->task);
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

/* A version of the schema that has no such field has no tombstones. */
static struct key flow_tombstone(const struct flow *flow, const struct forward_schema *schema)
{
    const struct forward_uplink *setup = &flow->host->setup;
    const char *field = setup->class_->tombstone
                            ? setup->class_->tombstone(setup->options, flow->stream->info.name)
                            : NULL;
    struct key found;
    bool has_field =
        field && schema->parsed && !key_find(&found, schema->parsed, field, KEY_FLAG, NULL);
    return has_field ? found : (struct key){0};
}

/* Without a plan nothing can be packed: tried again. */
static void forward_find_plan(struct forward *forward)
{
    struct pack_task *task = &forward->task;
    task->plan = NULL;
    if (task->parcel->layout != LAYOUT_COLUMNS) {
        return;
    }
    enum err e = forward_schema_plan(forward, task->schema->number, &task->plan);
    if (e) {
        task->outcome = PACK_FAILED;
        task->e = e;
        why_set(&task->why, "schema %u as columns: %s", task->schema->number, err_name(e));
    }
}

/* enum parcel_key */
static uint32_t key_by_setting(const struct flow *flow, const struct forward_schema *schema)
{
    return flow->host->setup.by_agent ? PARCEL_KEY_AGENT
           : schema->key.schema       ? PARCEL_KEY_FIELD + schema->key.field
                                      : PARCEL_KEY_NONE;
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
    task->record = schema->parsed ? avro_schema_root(schema->parsed) : NULL;
    task->target = flow->target;
    task->tombstone = flow_tombstone(flow, schema);
    if (task->cut || task->parcel->key == PARCEL_KEY_UNSAID) {
        task->parcel->key = key_by_setting(flow, schema);
    }
    if (!task->cut) {
        task->key = forward_schema_key(schema, task->parcel->key);
        forward_find_plan(forward);
        return true;
    }
    task->key = schema->key;
    struct uplink *uplink = flow->host->uplink;
    struct why why = {""};
    /* What this version can't parse goes as it is. */
    enum layout layout = schema->parsed ? flow->host->setup.layout : LAYOUT_ROWS;
    task->target = (struct target){.layout = (uint8_t)layout};
    enum err e =
        uplink->class_->target(uplink, &flow->stream->info, task->schema, &task->target, &why);
    task->parcel->layout = task->target.is_letter ? LAYOUT_LETTER
                           : task->target.is_json ? LAYOUT_JSON
                                                  : (uint8_t)layout;
    if (e == ERR_AGAIN) {
        flow_wait_for_uplink(flow, &why);
    } else if (e) {
        flow_fault(flow, why.text);
        flow->holds = true;
        timer_arm(&flow->timer, FLOW_PARK_MS);
    } else {
        flow_fault(flow, "");
        forward_find_plan(forward);
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
    while (!forward->worker_flow && !forward->closing && !forward->gathering) {
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

void forward_gather(struct forward *forward)
{
    forward->gathering++;
}

void forward_gathered(struct forward *forward)
{
    assert(forward->gathering > 0);
    forward->gathering--;
    forward_schedule(forward);
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

static void forward_recorded(void *context, uint64_t mark, const struct buffer_changes *changes)
{
    struct forward *forward = context;
    const struct store *store = forward->setup.store;
    bool in_memory = store_unsaved(store) > 0;
    forward_gather(forward);
    for (size_t h = 0; h < forward->host_count; h++) {
        struct uplink_host *host = &forward->hosts[h];
        for (size_t i = 0; i < host->flow_count; i++) {
            struct flow *flow = &host->flows[i];
            uint16_t stream = flow->stream->info.number;
            bool waits = in_memory && store_needs_disk(store, host->setup.number, stream);
            if (!waits && flow->lane == LANE_FRESH) { /* first of the two */
                debt_committed(flow->debt, mark, changes_find(changes, host->setup.number, stream));
            }
            if (!waits) {
                flow_committed(flow, mark);
            }
        }
    }
    for (size_t h = 0; h < forward->host_count; h++) {
        for (size_t i = 0; i < forward->hosts[h].flow_count; i++) {
            flow_advance(&forward->hosts[h].flows[i]);
        }
    }
    forward_gathered(forward);
}

/* --- opening, stopping, closing --- */

static struct flow *forward_flow_find(struct forward *forward, uint16_t uplink, uint16_t stream,
                                      uint8_t lane)
{
    for (size_t h = 0; h < forward->host_count; h++) {
        struct uplink_host *host = &forward->hosts[h];
        for (size_t i = 0; host->setup.number == uplink && i < host->flow_count; i++) {
            if (host->flows[i].stream->info.number == stream && host->flows[i].lane == lane) {
                return &host->flows[i];
            }
        }
    }
    return NULL;
}

static void resume_parcel(void *context, const struct parcel *parcel)
{
    struct flow *flow = forward_flow_find(context, parcel->uplink, parcel->stream, parcel->lane);
    if (flow) { /* else the configuration took the stream from this uplink: buffer_open has judged
                   that */
        flow_resume(flow, parcel);
    }
}

static enum err forward_open_parts(struct forward *forward, struct why *why)
{
    struct buffer *buffer = store_buffer(forward->setup.store);
    struct store_handler handler = {.recorded = forward_recorded, .context = forward};
    enum err e = pack_open(&forward->pack);
    if (!e) {
        e = store_handler_add(forward->setup.store, &handler);
    }
    if (!e) {
        e = buffer_remote_each(buffer, forward_remote_add, forward);
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
    forward_recorded(forward, 0, state);
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
        forward_schema_close(forward->schemas[i]);
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

uint64_t forward_aside(const struct forward *forward)
{
    uint64_t count = 0;
    for (size_t h = 0; h < forward->host_count; h++) {
        count += forward->hosts[h].aside_events;
    }
    return count;
}

void forward_owed_each(const struct forward *forward,
                       void (*each)(void *context, const char *uplink, const char *stream,
                                    uint64_t count),
                       void *context)
{
    for (size_t h = 0; h < forward->host_count; h++) {
        const struct uplink_host *host = &forward->hosts[h];
        for (size_t i = 0; i < host->flow_count; i++) {
            const struct flow *flow = &host->flows[i];
            uint64_t count = flow->lane == LANE_FRESH ? debt_count(flow->debt) : 0;
            if (count > 0 && !flow->stream->is_own) {
                each(context, host->setup.name, flow->stream->info.name, count);
            }
        }
    }
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
