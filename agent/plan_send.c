#include <assert.h>

#include "agent/plan_impl.h"
#include "uplink/avro/schema.h"
#include "uplink/kafka/records.h"

size_t plan_raw_size_max(const struct plan_host *host)
{
    size_t most = (size_t)host->forward.batch_size_max;
    return most < PACK_RAW_SIZE_MAX ? most : PACK_RAW_SIZE_MAX;
}

static double talk_size(const struct plan_host *host, const struct kafka_plan_talk *talk)
{
    struct plan_exchange e;
    plan_exchange(&host->wire, talk->pieces, talk->piece_count, talk->answer, &e);
    return e.sent + e.answer + e.acks;
}

double plan_login(const struct plan_host *host)
{
    struct kafka_plan_talk talks[KAFKA_PLAN_LOGIN_MAX];
    double size = plan_connect(&host->wire, true);
    size_t count = kafka_plan_login(&host->options, talks);
    for (size_t i = 0; i < count; i++) {
        size += talk_size(host, &talks[i]);
        /* At the begin of a connection each segment is acknowledged at once. */
        size += talks[i].piece_count == 1 ? plan_header_size(&host->wire) : 0;
    }
    return size;
}

double plan_metadata(const struct plan_host *host, const char *topic)
{
    struct kafka_plan_talk talk;
    kafka_plan_metadata(&host->options, topic, host->setup->partitions, &talk);
    return talk_size(host, &talk);
}

/* A connection that was silent was asked after, and may have been ended. */
static void after_silence(struct plan_host *host, int64_t now_ms)
{
    struct plan_bytes *c = &host->result->connection;
    int64_t silent = now_ms - host->last_ms;
    int64_t kept = silent < host->idle_ms ? silent : host->idle_ms;
    int64_t asked = kept / host->keepalive_ms;
    c->acknowledgements += (double)asked * plan_keepalive(&host->wire);
    if (silent >= host->idle_ms) {
        c->handshakes += plan_login(host);
        host->result->connects += 1;
    }
}

/* One request with these batches. */
static void put_request(struct plan_flow *flow, const uint32_t *sizes, size_t count, int64_t now_ms)
{
    struct plan_host *host = flow->host;
    struct plan_bytes *b = &flow->line->bytes;
    struct kafka_plan_talk talk;
    struct plan_exchange e;
    double payload = 0;
    for (size_t i = 0; i < count; i++) {
        payload += sizes[i] - RECORDS_HEAD_SIZE;
    }
    kafka_plan_produce(&host->options, flow->target.name, sizes, count, &talk);
    plan_exchange(&host->wire, talk.pieces, talk.piece_count, talk.answer, &e);
    after_silence(host, now_ms);
    b->payload += payload;
    b->framing += e.sent - payload;
    b->acknowledgements += e.answer + e.acks;
    b->repeats += plan_repeats(&host->wire, e.sent);
    flow->line->requests += 1;
    double took_ms = host->setup->round_trip_ms;
    took_ms += host->wire.rate ? e.sent * 1000 / (double)host->wire.rate : 0;
    host->busy_ms += took_ms;
    host->sent += e.sent;
    host->requests += 1;
    host->last_ms = now_ms + (int64_t)took_ms;
    flow->answer_ms = now_ms + (int64_t)took_ms;
    flow->is_busy = true;
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
    const char *field =
        host->forward.class_->tombstone(host->forward.options, s->forward.info.name);
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
    uint32_t sizes[PARCEL_PARTITION_MAX];
    for (uint32_t i = 0; i < parcel.part_count; i++) {
        sizes[i] = (uint32_t)task.parts[i].wire_size;
    }
    size_t taken = (size_t)(parcel.range.last - parcel.range.first + 1);
    put_request(flow, sizes, parcel.part_count, now_ms);
    flow->more = flow->next + taken < stored;
    flow->next += taken;
    flow->cut += (double)taken;
    pack_drop_built(&task);
    return ERR_OK;
}
