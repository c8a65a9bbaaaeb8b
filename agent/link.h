/* The link of one uplink, as far as it is known from what went over it: how many bytes a second,
 * and so how large a request may be.
 *
 * A request shall not hold the link for more than 10 s (2 s while something of higher priority may
 * come on the same link): peers that ignore this run into their own timeouts on slow links and send
 * much of their data twice. Plain values; the caller gives the time. */
#ifndef WEIR_AGENT_LINK_H
#define WEIR_AGENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_REQUEST_SIZE_MIN 1024
/* Until the rate is known: 7 s at 9.6 kbit/s. A fast link is known after three requests. */
#define LINK_REQUEST_SIZE_START (8 * 1024)
#define LINK_REQUEST_SIZE_MAX (900 * 1024)
#define LINK_SECONDS_ALONE 10
#define LINK_SECONDS_SHARED 2
/* What was longer ago says nothing about the rate, also when the link was never idle since. */
#define LINK_MEASURE_MS 20000

struct link {
    uint64_t rate;          /* bytes per second, smoothed; 0: not measured yet */
    uint32_t request_size;  /* what one request may have now, were it alone on the link */
    uint64_t busy_since_ms; /* since then something is under way; LINK_MEASURE_MS ago at most */
    uint64_t busy_size;     /* bytes answered since then */
    unsigned under_way;
    uint64_t sent; /* bytes as the network counts them, since start */
    uint64_t received;
};

void link_init(struct link *link);
/* A request is lent to the uplink. */
void link_began(struct link *link, uint64_t now_ms);
/* Its answer came; size: what got through (0: a failure, which says nothing about the rate). */
void link_ended(struct link *link, uint64_t now_ms, size_t size);
/* The largest request now. */
uint32_t link_request_size(const struct link *link, bool shared);

#endif
