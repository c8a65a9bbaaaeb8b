#include <assert.h>

#include "agent/plan_impl.h"
#include "uplink/avro/schema.h"

size_t plan_raw_size_max(const struct plan_host *host)
{
    size_t most = (size_t)host->forward.batch_size_max;
    return most < PACK_RAW_SIZE_MAX ? most : PACK_RAW_SIZE_MAX;
}

static double talk_size(const struct plan_host *host, const struct uplink_talk *talk)
{
    struct plan_exchange e;
    plan_exchange(&host->wire, talk->pieces, talk->piece_count, talk->answer, &e);
    return e.sent + e.answer + e.acks;
}

void plan_login(struct plan_host *host)
{
    struct uplink_talk talks[UPLINK_LOGIN_MAX];
    size_t count = host->plan->login(&host->uplink, talks);
    host->login = plan_connect(&host->wire, true);
    for (size_t i = 0; i < count; i++) {
        host->login += talk_size(host, &talks[i]);
        /* At the begin of a connection each segment is acknowledged at once. */
        host->login += talks[i].piece_count == 1 ? plan_header_size(&host->wire) : 0;
    }
}

void plan_refresh(struct plan_flow *flow)
{
    const struct plan_host *host = flow->host;
    struct uplink_talk talk;
    if (host->plan->refresh) {
        host->plan->refresh(&host->uplink, &flow->target, &talk);
        flow->refresh = talk_size(host, &talk);
    }
}

/* A connection that was silent was asked after, and may have been ended. */
static void after_silence(struct plan_host *host, int64_t now_ms)
{
    struct plan_bytes *c = &host->result->connection;
    int64_t silent = now_ms - host->last_ms;
    int64_t idle_ms = host->way.idle_ms;
    int64_t kept = silent < idle_ms ? silent : idle_ms;
    int64_t asked = kept / host->keepalive_ms;
    c->acknowledgements += (double)asked * plan_keepalive(&host->wire);
    if (silent >= idle_ms) {
        c->handshakes += host->login + (host->way.is_web ? plan_disconnect(&host->wire) : 0);
        host->result->connects += 1;
    }
}

/* A parcel on its way. */
struct sending {
    struct plan_flow *flow;
    double took_ms;
};

static void put_request(void *context, const struct uplink_talk *talk)
{
    struct sending *sending = context;
    struct plan_flow *flow = sending->flow;
    struct plan_host *host = flow->host;
    struct plan_bytes *b = &flow->line->bytes;
    struct plan_exchange e;
    plan_exchange(&host->wire, talk->pieces, talk->piece_count, talk->answer, &e);
    b->payload += talk->payload;
    b->framing += e.sent - talk->payload;
    b->acknowledgements += e.answer + e.acks;
    b->repeats += plan_repeats(&host->wire, e.sent);
    flow->line->requests += 1;
    double took_ms = host->setup->round_trip_ms;
    took_ms += host->wire.rate ? e.sent * 1000 / (double)host->wire.rate : 0;
    host->busy_ms += took_ms;
    host->sent += e.sent;
    host->requests += 1;
    sending->took_ms += took_ms;
}

/* The requests of one parcel. */
static enum err put_parcel(struct plan_flow *flow, const struct pack_task *task, int64_t now_ms)
{
    struct plan_host *host = flow->host;
    struct sending sending = {.flow = flow};
    struct slice wires[PARCEL_PART_MAX];
    size_t count = task->parcel->part_count;
    const struct uplink_plan_parcel parcel = {
        .parcel = task->parcel, .target = &flow->target, .wires = wires};
    for (size_t i = 0; i < count; i++) {
        wires[i] = (struct slice){task->parts[i].wire, task->parts[i].wire_size};
    }
    after_silence(host, now_ms);
    enum err e = host->plan->send(&host->uplink, &parcel, put_request, &sending);
    size_t lanes = count < host->way.lane_count ? count : host->way.lane_count;
    host->last_ms = now_ms + (int64_t)(sending.took_ms / (double)lanes);
    flow->answer_ms = host->last_ms;
    flow->is_busy = true;
    return e;
}

static size_t count_of(const struct plan_flow *flow, size_t stored)
{
    size_t most = plan_raw_size_max(flow->host);
    size_t size = 0;
    size_t count = 0;
    while (flow->next + count < stored && count < PACK_EVENT_MAX) {
        size += flow->stream->events[flow->next + count].datum.size;
        if (size > most && count > 0) {
            break;
        }
        count++;
    }
    return count;
}

static void fill_task(const struct plan_flow *flow, struct parcel *parcel, struct pack_task *task)
{
    const struct plan_host *host = flow->host;
    const struct plan_stream *s = flow->stream;
    *parcel = (struct parcel){.lane = LANE_FRESH};
    parcel->layout = flow->target.is_json ? LAYOUT_JSON : (uint8_t)host->forward.layout;
    parcel->key = host->forward.by_agent ? PARCEL_KEY_AGENT
                  : s->key.schema        ? PARCEL_KEY_FIELD + s->key.field
                                         : PARCEL_KEY_NONE;
    *task = (struct pack_task){.uplink = &host->forward,
                               .stream = &s->forward,
                               .schema = &s->info,
                               .record = avro_schema_root(s->schema),
                               .plan = s->plan,
                               .key = s->key,
                               .agent_key = host->setup->sample->identity,
                               .identity = host->setup->sample->identity,
                               .target = flow->target,
                               .raw_size_max = PACK_RAW_SIZE_MAX,
                               .cut = true,
                               .parcel = parcel};
    const struct uplink_class *class_ = host->forward.class_;
    const char *field =
        class_->tombstone ? class_->tombstone(host->options, s->forward.info.name) : NULL;
    if (field && key_find(&task->tombstone, s->schema, field, KEY_FLAG, NULL)) {
        task->tombstone = (struct key){0};
    }
}

enum err plan_send(struct plan_flow *flow, size_t stored, int64_t now_ms, struct why *why)
{
    struct pack *pack = flow->host->pack;
    struct parcel parcel;
    struct pack_task task;
    size_t count = count_of(flow, stored);
    assert(count > 0 && !flow->is_busy);
    fill_task(flow, &parcel, &task);
    const struct stored_event *first = &flow->stream->events[flow->next];
    task.range = (struct range){first->sequence, first->sequence + count - 1};
    pack_lend(pack, first, count, &task);
    pack_build(pack, &task);
    if (task.outcome == PACK_EVENT_BAD) {
        why_set(why, "%s", task.bad_reason);
        flow->line->bad++;
        flow->next++;
        return ERR_REJECTED;
    }
    if (task.outcome != PACK_BUILT) {
        why_set(why, "packing events of stream %s: %s", flow->stream->forward.info.name,
                task.why.text[0] ? task.why.text : err_name(task.e));
        return task.e ? task.e : ERR_NOMEM;
    }
    size_t taken = (size_t)(parcel.range.last - parcel.range.first + 1);
    enum err e = put_parcel(flow, &task, now_ms);
    flow->more = flow->next + taken < stored;
    flow->next += taken;
    flow->cut += (double)taken;
    pack_drop_built(&task);
    return e;
}
