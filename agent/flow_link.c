/* What a flow has to do with the link of its uplink: it asks before it makes a request, holds what
 * it makes against the link, and gives it back when that is over. */
#include "agent/flow_impl.h"

#define LINK_SEND_BUFFER_START (16 * 1024)
#define SEND_BUFFER_MIN (4 * 1024)
#define KEEPALIVE_METERED_S 900

static struct link_user *flow_user(const struct flow *flow)
{
    return &flow->host->link_user;
}

/* What the agent tells of itself is no alarm: it leaves the reserve alone, and waits for windows. */
static uint8_t flow_priority(const struct flow *flow)
{
    uint8_t priority = flow->stream->info.priority;
    return flow->stream->is_own && priority >= PRIORITY_URGENT ? PRIORITY_URGENT - 1 : priority;
}

uint32_t host_request_size(struct uplink_host *host, const struct link_hold *hold, uint8_t priority)
{
    uint32_t size = link_request_size(&host->link, host->shared);
    uint32_t most = link_user_size_max(&host->link_user, hold, priority,
                                       host->shared ? LINK_SECONDS_SHARED : LINK_SECONDS_ALONE);
    return size < most ? size : most;
}

bool flow_link_may_open(struct flow *flow)
{
    uint8_t priority = flow_priority(flow);
    flow_link_settle(flow); /* of the one before: each has its own turn */
    flow->waits_for_link = !link_user_may(flow_user(flow), &flow->hold_on_link, priority);
    return !flow->waits_for_link;
}

void flow_link_give_way(struct flow *flow, bool gives_way)
{
    flow_link_settle(flow); /* of the one before, which may have been ended just now */
    link_hold_give_way(&flow->hold_on_link, flow_user(flow), flow_priority(flow), gives_way);
}

void flow_link_open(struct flow *flow)
{
    uint8_t priority = flow_priority(flow);
    link_hold_take(&flow->hold_on_link, flow_user(flow), priority,
                   host_request_size(flow->host, &flow->hold_on_link, priority));
    link_hold_more(&flow->hold_on_link, flow->more); /* as the last one said */
}

bool flow_link_passes(const struct flow *flow)
{
    return link_user_passes(flow_user(flow), &flow->hold_on_link, flow_priority(flow));
}

bool flow_link_may_send(struct flow *flow)
{
    uint64_t size = 0;
    bool is_built = false, is_lent = false;
    struct link_hold *hold = &flow->hold_on_link;
    uint8_t priority = flow_priority(flow);
    for (size_t i = 0; i < PARCEL_PART_MAX; i++) {
        const struct flow_batch *fb = flow->batches[i];
        bool counts = fb && (fb->state == BATCH_BUILT || fb->state == BATCH_LENT);
        size += counts ? fb->batch.wire.size : 0;
        is_built = is_built || (fb && fb->state == BATCH_BUILT);
        is_lent = is_lent || (fb && fb->state == BATCH_LENT);
    }
    if (size == 0) { /* what waits to be sent again holds nothing up meanwhile */
        link_hold_give(hold);
    }
    if (!is_built) {
        return false;
    }
    if (!link_user_may(flow_user(flow), hold, priority)) {
        if (!is_lent) { /* what has to wait takes no reserve, and no lane, from others meanwhile */
            link_hold_give(hold);
        }
        return false;
    }
    link_hold_take(hold, flow_user(flow), priority, size);
    link_hold_more(hold, flow->more);
    return true;
}

void flow_link_settle(struct flow *flow)
{
    bool is_open = flow->has_parcel && !flow->is_foreign;
    if (flow->hold_on_link.line && !is_open && !flow->working && flow->wanted == TASK_NONE) {
        link_hold_give(&flow->hold_on_link);
    }
}

/* --- of the uplink --- */

static void host_go(void *context)
{
    struct uplink_host *host = context;
    forward_gather(host->forward);
    for (size_t i = 0; i < host->flow_count; i++) {
        flow_advance(&host->flows[i]);
    }
    forward_gathered(host->forward);
}

static void host_moved(void *context)
{
    struct uplink_host *host = context;
    uint64_t sent = host->link.sent, received = host->link.received;
    unsigned under_way = host->link.under_way;
    link_init(&host->link); /* another way, another rate */
    host->link.sent = sent;
    host->link.received = received;
    host->link.under_way = under_way;
    host->link.busy_since_ms = loop_now_ms(host->forward->setup.loop);
    if (host->uplink && host->uplink->class_->relink) {
        host->uplink->class_->relink(host->uplink);
    }
}

void host_link(const struct uplink_host *host, struct uplink_link *ret)
{
    const struct link_user *user = &host->link_user;
    uint64_t rate = host->link.rate;
    uint64_t most = link_user_rate_max(user);
    rate = most && (rate == 0 || most < rate) ? most : rate;
    *ret =
        (struct uplink_link){.interface_name = link_user_interface(user),
                             .pacer = link_user_pacer(user),
                             .send_buffer_size = rate == 0                ? LINK_SEND_BUFFER_START
                                                 : rate < SEND_BUFFER_MIN ? SEND_BUFFER_MIN
                                                 : rate < UINT32_MAX      ? (uint32_t)rate
                                                                          : UINT32_MAX,
                             .keepalive_s = link_user_is_metered(user) ? KEEPALIVE_METERED_S : 0};
}

void host_link_init(struct uplink_host *host)
{
    static const struct link_user_calls calls = {.go = host_go, .moved = host_moved};
    link_user_init(&host->link_user, host->forward->setup.links, host->setup.links,
                   host->setup.link_count);
    link_user_init_calls(&host->link_user, &calls, host, &host->link);
}
