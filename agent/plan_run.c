/* The simulated time: when events are committed, how long a flow lingers, when its answer comes.
 * The rules are those of store_put.c and flow.c. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/events.h"
#include "agent/plan_impl.h"

#define KEEPALIVE_MS 60000
#define KEEPALIVE_METERED_MS 900000
#define NEVER INT64_MAX

struct run {
    const struct plan_setup *setup;
    const struct plan_sample *sample;
    struct plan *plan;
    struct plan_host *hosts;
    size_t host_count;
    struct plan_flow *flows;
    size_t flow_count;
    size_t *arrived; /* of each stream */
    size_t *stored;
    size_t open_count; /* events and bytes of the write batch that is being filled */
    size_t open_size;
    int64_t due_ms; /* its commit */
    int64_t now_ms;
    int64_t end_ms;
};

/* --- flows --- */

static size_t flow_size(const struct plan_flow *flow, size_t stored)
{
    size_t most = plan_raw_size_max(flow->host);
    size_t size = 0;
    for (size_t i = flow->next; i < stored && size < most; i++) {
        size += flow->stream->events[i].datum.size;
    }
    return size;
}

static bool flow_is_full(const struct plan_flow *flow, size_t stored)
{
    return flow->more || stored - flow->next >= PACK_EVENT_MAX ||
           flow_size(flow, stored) >= plan_raw_size_max(flow->host);
}

static bool flow_lingers(const struct run *run, struct plan_flow *flow, size_t stored)
{
    if (flow->linger_ms < 0) {
        flow->linger_ms = run->now_ms;
    }
    int64_t until = flow->linger_ms + flow->host->forward.linger_ms;
    if (run->now_ms >= until || flow->stream->forward.info.priority >= PRIORITY_URGENT ||
        flow_is_full(flow, stored)) {
        flow->linger_ms = -1;
        flow->wake_ms = NEVER;
        return false;
    }
    flow->wake_ms = until;
    return true;
}

static void commit(struct run *run)
{
    memcpy(run->stored, run->arrived, run->sample->stream_count * sizeof *run->stored);
    run->due_ms = NEVER;
    run->open_count = 0;
    run->open_size = 0;
}

/* The next step of a flow. *ret_sent: the record of its parcel was a commit for all. */
static enum err flow_advance(struct run *run, struct plan_flow *flow, bool *ret_sent,
                             struct why *why)
{
    size_t stored = run->stored[flow->stream_index];
    if (flow->is_busy && flow->answer_ms <= run->now_ms) {
        flow->is_busy = false;
    }
    if (flow->is_busy || flow->next >= stored || flow_lingers(run, flow, stored)) {
        return ERR_OK;
    }
    enum err e = plan_send(flow, stored, run->now_ms, why);
    if (!e) {
        commit(run);
    }
    *ret_sent = true;
    return e == ERR_REJECTED ? ERR_OK : e;
}

static enum err advance_all(struct run *run, struct why *why)
{
    enum err e = ERR_OK;
    for (bool again = true; again && !e;) {
        again = false;
        for (size_t i = 0; i < run->flow_count && !e; i++) {
            e = flow_advance(run, &run->flows[i], &again, why);
        }
    }
    return e;
}

/* --- time --- */

static void arrive(struct run *run, size_t index)
{
    const struct plan_stream *s = &run->sample->streams[index];
    while (run->arrived[index] < s->count && s->at_ms[run->arrived[index]] <= run->now_ms) {
        size_t size = s->events[run->arrived[index]].datum.size;
        if (run->open_count == WRITE_EVENT_MAX || run->open_size + size > WRITE_SIZE_MAX) {
            commit(run);
        }
        run->arrived[index]++;
        run->open_count++;
        run->open_size += size;
        int64_t due = run->now_ms + s->wait_ms;
        run->due_ms = due < run->due_ms ? due : run->due_ms;
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_ms(const struct run *run)
{
    int64_t next = run->due_ms;
    for (size_t i = 0; i + 1 < run->sample->stream_count; i++) {
        const struct plan_stream *s = &run->sample->streams[i];
        next = run->arrived[i] < s->count ? earlier(next, s->at_ms[run->arrived[i]]) : next;
    }
    for (size_t i = 0; i < run->flow_count; i++) {
        const struct plan_flow *f = &run->flows[i];
        next = f->is_busy ? earlier(next, f->answer_ms) : earlier(next, f->wake_ms);
    }
    return next;
}

static enum err run_time(struct run *run, struct why *why)
{
    enum err e = ERR_OK;
    for (int64_t next = next_ms(run); !e && next < run->end_ms; next = next_ms(run)) {
        run->now_ms = next > run->now_ms ? next : run->now_ms;
        for (size_t i = 0; i + 1 < run->sample->stream_count; i++) {
            arrive(run, i);
        }
        if (run->due_ms <= run->now_ms) {
            commit(run);
        }
        e = advance_all(run, why);
    }
    return e;
}

/* What the sample is too short for goes in one request, so that there is something to reckon with; so
 * does the record of the agent's own, of which there is one. */
static enum err run_rest(struct run *run, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < run->flow_count && !e; i++) {
        struct plan_flow *f = &run->flows[i];
        if (f->stream->count == 0 || f->cut > 0) {
            continue;
        }
        f->line->is_short = f->stream->config != NULL;
        f->is_busy = false;
        do {
            e = f->next < f->stream->count ? plan_send(f, f->stream->count, f->host->last_ms, why)
                                           : ERR_OK;
        } while (e == ERR_REJECTED);
    }
    return e;
}

/* --- opening --- */

/* What the uplink does not have stays as it is. */
static enum err host_change(struct plan_host *host, const struct config_uplink *u,
                            const struct plan_change *change, struct why *why)
{
    enum layout layout = u->class_->columns ? (enum layout)change->layout : 0;
    bool by_agent = u->common.partition_by == UPLINK_BY_AGENT;
    bool is_auto = u->common.partition_by == UPLINK_BY_AUTO;
    host->forward.layout = layout ? layout : u->layout;
    host->forward.by_agent =
        layout ? by_agent || (is_auto && (u->is_metered || layout == LAYOUT_COLUMNS)) : u->by_agent;
    host->forward.linger_ms = change->linger_ms >= 0 ? change->linger_ms : u->common.linger_ms;
    if (host->plan->change) {
        host->plan->change(host->options, change->level != PLAN_LEVEL_KEEP ? &change->level : NULL,
                           change->tls);
    }
    return layout == LAYOUT_COLUMNS ? u->class_->columns(host->options, why) : ERR_OK;
}

static enum err host_open(const struct run *run, struct plan_host *host,
                          const struct plan_change *change, struct why *why)
{
    const struct config_uplink *u = host->result->config;
    const struct config *config = run->sample->config;
    host->setup = run->setup;
    host->options = malloc(u->class_->options_size);
    if (!host->options) {
        return ERR_NOMEM;
    }
    memcpy(host->options, u->options, u->class_->options_size);
    host->forward = (struct forward_uplink){.class_ = u->class_,
                                            .options = host->options,
                                            .name = u->name,
                                            .number = 1,
                                            .batch_size_max = u->common.batch_size_max};
    host->uplink = (struct uplink_plan_setup){.options = host->options,
                                              .agent_id = run->sample->agent_id,
                                              .partition_count = run->setup->partitions,
                                              .is_http1 = run->setup->is_http1};
    enum err e = host_change(host, u, change, why);
    int64_t rate = u->link_count ? config->links[u->links[0]].options.rate_max : 0;
    host->plan->way(&host->uplink, &host->way);
    host->wire = (struct plan_wire){.mtu = run->setup->mtu,
                                    .is_ipv6 = host->way.is_ipv6,
                                    .has_tls = host->way.has_tls,
                                    .has_own_certificate = host->way.has_own_certificate,
                                    .is_web = host->way.is_web,
                                    .chain_size = run->setup->chain_size,
                                    .rate = (uint64_t)rate / 8,
                                    .loss = run->setup->loss};
    host->keepalive_ms = u->is_metered ? KEEPALIVE_METERED_MS : KEEPALIVE_MS;
    host->result->layout = host->forward.layout;
    plan_login(host);
    return e ? e : pack_open(&host->pack);
}

static bool is_carried(const struct config *config, size_t uplink, size_t stream)
{
    return stream < config->stream_count ? config->streams[stream].uplinks >> uplink & 1
                                         : config->uplinks[uplink].carries_events;
}

static enum err flow_open(struct run *run, struct plan_host *host, size_t stream, struct why *why)
{
    struct plan_flow *flow = &run->flows[run->flow_count];
    const struct plan_stream *s = &run->sample->streams[stream];
    struct plan_line *line = &host->result->lines[host->result->line_count++];
    line->stream = s;
    *flow = (struct plan_flow){.host = host,
                               .line = line,
                               .stream = s,
                               .stream_index = stream,
                               .linger_ms = -1,
                               .wake_ms = NEVER,
                               .target = {.layout = (uint8_t)host->forward.layout}};
    run->flow_count++;
    enum err e = host->plan->target(&host->uplink, &s->forward.info, &s->info, &flow->target, why);
    plan_refresh(flow);
    return e;
}

static enum err open_parts(struct run *run, const struct plan_change *change, struct why *why)
{
    const struct config *config = run->sample->config;
    struct plan *plan = run->plan;
    enum err e = ERR_OK;
    plan->uplink_count = config->uplink_count;
    for (size_t u = 0; !e && u < config->uplink_count; u++) {
        struct plan_uplink *r = &plan->uplinks[u];
        r->config = &config->uplinks[u];
        struct plan_host *host = &run->hosts[u];
        host->result = r;
        host->plan = plan_class(r->config->class_);
        r->is_counted = host->plan != NULL;
        r->lines = calloc(run->sample->stream_count + 1, sizeof *r->lines);
        e = !r->lines ? ERR_NOMEM : r->is_counted ? host_open(run, host, change, why) : ERR_OK;
        for (size_t s = 0; !e && r->is_counted && s < run->sample->stream_count; s++) {
            e = is_carried(config, u, s) ? flow_open(run, host, s, why) : ERR_OK;
        }
    }
    return e;
}

static enum err run_all(struct run *run, const struct plan_change *change, struct why *why)
{
    enum err e = open_parts(run, change, why);
    e = e ? e : run_time(run, why);
    e = e ? e : run_rest(run, why);
    for (size_t i = 0; !e && i < run->flow_count; i++) {
        plan_month_flow(&run->flows[i]);
    }
    for (size_t u = 0; !e && u < run->plan->uplink_count; u++) {
        if (run->plan->uplinks[u].is_counted) {
            plan_month_host(&run->hosts[u], run->end_ms);
            run->plan->bytes_sum += run->plan->uplinks[u].bytes_sum;
        }
    }
    return e;
}

enum err plan_open(struct plan **ret, const struct plan_setup *setup,
                   const struct plan_change *change, struct why *why)
{
    const struct plan_sample *sample = setup->sample;
    size_t uplinks = sample->config->uplink_count;
    struct plan *plan = calloc(1, sizeof *plan);
    struct run run = {.setup = setup,
                      .sample = sample,
                      .plan = plan,
                      .due_ms = NEVER,
                      .end_ms = (int64_t)(sample->seconds * 1000)};
    run.hosts = calloc(uplinks + 1, sizeof *run.hosts);
    run.flows = calloc((uplinks + 1) * sample->stream_count, sizeof *run.flows);
    run.arrived = calloc(sample->stream_count, sizeof *run.arrived);
    run.stored = calloc(sample->stream_count, sizeof *run.stored);
    enum err e = ERR_NOMEM;
    if (plan && run.hosts && run.flows && run.arrived && run.stored) {
        plan->uplinks = calloc(uplinks + 1, sizeof *plan->uplinks);
        e = plan->uplinks ? run_all(&run, change, why) : ERR_NOMEM;
    }
    for (size_t u = 0; run.hosts && u < uplinks; u++) {
        pack_close(run.hosts[u].pack);
        free(run.hosts[u].options);
    }
    free(run.hosts);
    free(run.flows);
    free(run.arrived);
    free(run.stored);
    if (e) {
        plan_close(plan);
        return e;
    }
    *ret = plan;
    return ERR_OK;
}

void plan_close(struct plan *plan)
{
    for (size_t u = 0; plan && plan->uplinks && u < plan->uplink_count; u++) {
        free(plan->uplinks[u].lines);
    }
    if (plan) {
        free(plan->uplinks);
        free(plan);
    }
}
