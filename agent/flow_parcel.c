#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/flow_impl.h"
#include "agent/parts.h"
#include "ports/fault.h"
#include "ports/log.h"

#define RATIO_SIZE_MIN 4096
#define RATIO_256_MAX 65536

struct store *flow_store(const struct flow *flow)
{
    return flow->host->forward->setup.store;
}

const char *flow_part_name(const struct flow *flow)
{
    return flow->host->setup.name;
}

/* --- timers --- */

static void flow_timer_fired(struct timer *timer)
{
    struct flow *flow = CONTAINER_OF(timer, struct flow, timer);
    flow->holds = false;
    flow_advance(flow);
}

void flow_hold(struct flow *flow, int64_t wait_ms)
{
    flow->holds = true;
    timer_arm(&flow->timer, (uint64_t)wait_ms);
}

void flow_init(struct flow *flow, struct debt *debt, struct uplink_host *host,
               const struct forward_stream *stream, uint8_t lane)
{
    *flow = (struct flow){
        .host = host, .stream = stream, .debt = debt, .lane = lane, .raw_per_wire_256 = 256};
    flow->hold_on_link.queue = lane;
    flow->backoff.ceiling_ms = host->setup.backoff_max_ms;
    timer_init(&flow->timer, host->forward->setup.loop, flow_timer_fired);
}

/* --- batches --- */

void batch_release(struct flow *flow, struct flow_batch *fb)
{
    if (!fb) {
        return;
    }
    assert(fb->state != BATCH_LENT);
    flow->host->lent_size -= fb->batch.wire.size;
    timer_release(&fb->retry);
    free(fb->batch.wire_memory);
    free(fb);
}

void flow_drop_batches(struct flow *flow)
{
    for (size_t i = 0; i < PARCEL_PART_MAX; i++) {
        batch_release(flow, flow->batches[i]);
        flow->batches[i] = NULL;
    }
}

void flow_release(struct flow *flow)
{
    for (size_t i = 0; i < PARCEL_PART_MAX; i++) {
        if (flow->batches[i] && flow->batches[i]->state == BATCH_LENT) {
            /* The uplink is closed: nobody has it any more. */
            flow->batches[i]->state = BATCH_BUILT;
        }
    }
    flow_drop_batches(flow);
    timer_release(&flow->timer);
    flow_link_give_way(flow, false);
    link_hold_give(&flow->hold_on_link);
}

uint32_t flow_index_of(const struct flow *flow, const struct flow_batch *fb)
{
    for (uint32_t i = 0; i < flow->parcel.part_count; i++) {
        if (flow->batches[i] == fb) {
            return i;
        }
    }
    abort(); /* a batch belongs to a part */
}

static void batch_retry_fired(struct timer *timer)
{
    struct flow_batch *fb = CONTAINER_OF(timer, struct flow_batch, retry);
    struct flow *flow = fb->flow;
    assert(fb->state == BATCH_RETRY);
    if (fb->batch.wire_memory) {
        fb->state = BATCH_BUILT;
    } else { /* it has waited long, without its bytes: they are made again */
        flow->attempt = fb->backoff.attempt;
        flow->batches[flow_index_of(flow, fb)] = NULL;
        batch_release(flow, fb);
    }
    flow_advance(flow);
}

/* How far events shrink, so that the next parcel fits its request: at once when it is less than
 * thought, slowly when it is more. Small parts say nothing, they are all framing. */
static void flow_learn_ratio(struct flow *flow, const struct packed_part *packed)
{
    if (packed->raw_size < RATIO_SIZE_MIN) {
        return;
    }
    uint64_t measured = (uint64_t)packed->raw_size * 256 / (packed->wire_size + 1);
    uint32_t ratio = measured > RATIO_256_MAX ? RATIO_256_MAX : (uint32_t)measured;
    bool is_first = !flow->ratio_is_known;
    flow->ratio_is_known = true;
    flow->raw_per_wire_256 = is_first || ratio < flow->raw_per_wire_256
                                 ? ratio
                                 : (3 * flow->raw_per_wire_256 + ratio) / 4;
}

enum err flow_batch_put(struct flow *flow, uint32_t index, struct packed_part *packed,
                        const struct schema_info *schema)
{
    struct flow_batch *fb = calloc(1, sizeof *fb);
    if (!fb) {
        return ERR_NOMEM;
    }
    struct part *part = &flow->parcel.parts[index];
    fb->flow = flow;
    fb->state = BATCH_BUILT;
    fb->backoff.ceiling_ms = flow->host->setup.backoff_max_ms;
    fb->backoff.attempt = part->assigned ? flow->attempt : 0;
    timer_init(&fb->retry, flow->host->forward->setup.loop, batch_retry_fired);
    fb->batch = (struct batch){.stream = &flow->stream->info,
                               .schema = schema,
                               .target = flow->target,
                               .wire = {packed->wire, packed->wire_size},
                               .wire_memory = packed->wire,
                               .first = part->first,
                               .last = part->last,
                               .event_count = packed->event_count,
                               .lane = flow->stream->info.priority,
                               .again = part->assigned && flow->in_doubt};
    /* By records, not events, as Kafka knows a batch again: columns of which an event is damaged are as
     * many records, and keep their numbers. If they are stored already, all of them are, and under other
     * numbers they would be there twice; else what is left is stored now. Uplinks that remember parts of
     * a batch compare events or sequences themselves. */
    if (part->assigned && part->record_count != packed->record_count) {
        uplink_count(flow->host, "in_doubt", 1);
        log_error(flow_part_name(flow),
                  "stream %s: events of a batch in doubt are damaged; the rest goes out under new "
                  "numbers and may arrive twice",
                  flow->stream->info.name);
        part->assigned = false;
        fb->batch.again = false;
    }
    part->record_count = packed->record_count;
    part->events_per_record = packed->events_per_record;
    fb->batch.part = part;
    fb->batch.parcel = &flow->parcel;
    const struct uplink_class *class_ = flow->host->uplink->class_;
    if (class_->built && !part->assigned) {
        class_->built(flow->host->uplink, &fb->batch);
    }
    packed->wire = NULL;
    flow->batches[index] = fb;
    flow->host->lent_size += packed->wire_size;
    flow->host->raw_size += packed->raw_size;
    flow_learn_ratio(flow, packed);
    return ERR_OK;
}

/* --- parts that are done --- */

void flow_parcel_set(struct flow *flow, bool has_parcel)
{
    flow->has_parcel = has_parcel;
    flow->in_doubt = false;
    flow->debt->open[flow->lane] = has_parcel ? flow->parcel.range : (struct range){0, 0};
}

static void flow_close_parcel(struct flow *flow, uint64_t commit)
{
    flow_drop_batches(flow);
    debt_ended(flow->debt, flow->parcel.range, commit);
    flow_parcel_set(flow, false);
    flow->on_record = false;
    flow->recorded = false;
    flow->moved = false;
    flow->is_foreign = false;
    flow->target_known = false;
    flow->attempt = 0;
    backoff_clear(&flow->backoff);
}

enum err flow_parcel_put(struct flow *flow, uint64_t *ret_mark)
{
    struct store *store = flow_store(flow);
    links_keep(flow->host->forward->setup.links);
    enum err e = flow->moved ? store_parcel_put_halved(store, &flow->parcel, ret_mark)
                             : store_parcel_put(store, &flow->parcel, ret_mark);
    flow->moved = flow->moved && e;
    return e;
}

bool flow_part_end(struct flow *flow, uint32_t index)
{
    uint64_t commit = 0;
    struct part_done done = {.uplink = flow->parcel.uplink,
                             .stream = flow->parcel.stream,
                             .lane = flow->parcel.lane,
                             .part = index};
    bool said_early = fault_planted("range-early") && flow->batches[index];
    /* Else `index` is that of another part to the buffer. */
    if (flow->moved && flow_parcel_put(flow, &commit)) {
        return false;
    }
    if (fault_planted("record-late") && !flow->recorded) {
        if (store_parcel_put(flow_store(flow), &flow->parcel, &commit)) {
            return false;
        }
        flow->recorded = true;
    }
    if (!said_early && store_done_put(flow_store(flow), &done, &commit)) {
        return false;
    }
    flow->parcel.parts[index].done = true;
    batch_release(flow, flow->batches[index]);
    flow->batches[index] = NULL;
    if (parts_all_done(&flow->parcel)) {
        flow_close_parcel(flow, commit);
    }
    return true;
}
