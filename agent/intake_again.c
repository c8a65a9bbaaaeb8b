/* Set-aside events are offered again: through routes and mapping as they are now. */
#include <assert.h>

#include "agent/intake_impl.h"

static struct driver_host *host_of(struct intake *intake, struct slice name)
{
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (host && host->routes && slice_equal_text(name, host->config->name)) {
            return host;
        }
    }
    return NULL;
}

/* Both in one commit, or neither now. */
static enum err put_both(struct intake *intake, const struct stored_event *stored,
                         struct buffer_order *order, uint64_t *ret_commit)
{
    struct store *store = intake->setup.store;
    uint64_t sequence;
    if (store_room(store, stored->stream, stored->datum.size) ||
        (stored->trust == TIME_BOOT && time_trust_note(&intake->trust, stored, 0)) ||
        store_open_room(store, stored->datum.size) || store_order_put(store, order, ret_commit)) {
        return ERR_FULL;
    }
    store_event_put(store, stored, 0, ret_commit, &sequence);
    order->range = (struct range){sequence, sequence};
    return ERR_OK;
}

enum err intake_offer_again(struct intake *intake, const struct intake_again *again,
                            uint64_t *ret_commit, struct why *why)
{
    struct driver_host *host = host_of(intake, again->driver);
    struct stored_event stored;
    if (intake->stopped) {
        why_set(why, "the agent is being stopped");
        return ERR_CLOSED;
    }
    if (!host) {
        why_set(why, "there is no driver \"%.*s\" any more", (int)again->driver.size,
                (const char *)again->driver.data);
        return ERR_REJECTED;
    }
    const struct route *route = driver_host_route(host, again->event.subject);
    if (!route) {
        why_set(why, "no route of driver %s takes its subject", host->config->name);
        return ERR_REJECTED;
    }
    intake->reason.text[0] = 0;
    intake->arrival = again->arrival;
    enum err e = intake_make_event(host, &again->event, route, &stored);
    intake->arrival = NULL;
    if (e) {
        *why = intake->reason;
        return intake->must_wait ? ERR_FULL : ERR_REJECTED;
    }
    e = put_both(intake, &stored, again->order, ret_commit);
    host->again += e == ERR_OK;
    return e;
}

enum err intake_put_again(struct intake *intake, const struct stored_event *event,
                          struct buffer_order *order, uint64_t *ret_commit)
{
    struct stored_event stored = *event;
    assert(event->fill_count == 0);
    if (intake->stopped) {
        return ERR_CLOSED;
    }
    if (stored.trust == 0) {
        time_trust_stamp(&intake->trust, &stored);
    }
    return put_both(intake, &stored, order, ret_commit);
}
