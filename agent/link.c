#include "agent/link.h"

#include <assert.h>

#define REMEMBERED_MS 30000 /* of a busy time that does not end, the past counts ever less */

void link_init(struct link *link)
{
    *link = (struct link){.request_size = LINK_REQUEST_SIZE_START};
}

void link_began(struct link *link, uint64_t now_ms)
{
    if (link->under_way++ == 0) {
        link->busy_since_ms = now_ms;
        link->busy_size = 0;
    }
}

/* The rate over a busy time: answers include the round trip and the peer's own work, so this errs
 * on the slow side, which only makes requests smaller. Requests grow to what the rate allows, at
 * most fourfold at a time. */
static void link_measure(struct link *link, uint64_t now_ms)
{
    uint64_t took_ms = now_ms - link->busy_since_ms;
    uint64_t rate = link->busy_size * 1000 / (took_ms ? took_ms : 1);
    link->rate = link->rate == 0 ? rate : (3 * link->rate + rate) / 4;
    if (took_ms > REMEMBERED_MS) {
        link->busy_since_ms = now_ms - took_ms / 2;
        link->busy_size /= 2;
    }
    uint64_t wanted = link->rate * LINK_SECONDS_ALONE;
    if (wanted > (uint64_t)link->request_size * 4) {
        wanted = (uint64_t)link->request_size * 4;
    }
    if (wanted > LINK_REQUEST_SIZE_MAX) {
        wanted = LINK_REQUEST_SIZE_MAX;
    }
    link->request_size = wanted < LINK_REQUEST_SIZE_MIN ? LINK_REQUEST_SIZE_MIN : (uint32_t)wanted;
}

void link_ended(struct link *link, uint64_t now_ms, size_t size)
{
    assert(link->under_way > 0);
    link->under_way--;
    link->busy_size += size;
    if (size > 0) {
        link_measure(link, now_ms);
    }
    if (now_ms - link->busy_since_ms >=
        LINK_MEASURE_MS) { /* what is under way counts whole later */
        link->busy_since_ms = now_ms;
        link->busy_size = 0;
    }
}

uint32_t link_request_size(const struct link *link, bool shared)
{
    uint32_t size = shared ? link->request_size / (LINK_SECONDS_ALONE / LINK_SECONDS_SHARED)
                           : link->request_size;
    return size < LINK_REQUEST_SIZE_MIN ? LINK_REQUEST_SIZE_MIN : size;
}
