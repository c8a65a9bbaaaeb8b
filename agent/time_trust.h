/* Is the wall clock to be believed? A board without a battery starts in 1970 or at the time of its
 * image. It is believed once the kernel says that it is disciplined, or when it shows a time that
 * can be: later than this program and than what is stored. Until then arrivals are kept by the
 * monotonic clock of this boot, and turned into wall time when the boot's offset is known:
 * committed once, never revised. Loop thread. */
#ifndef WEIR_AGENT_TIME_TRUST_H
#define WEIR_AGENT_TIME_TRUST_H

#include "agent/store.h"

/* No event of this program can be older: 2026-01-01. */
#define TIME_TRUST_FLOOR_US INT64_C(1767225600000000)

struct time_source {
    struct store *store;
    uint32_t boot;
    bool trusted;
    bool offset_needed; /* events were kept by the monotonic clock */
};

void time_trust_init(struct time_source *trust, struct store *store, uint32_t boot);
/* Fills time_us, trust and boot of an event that arrives now. */
void time_trust_stamp(struct time_source *trust, struct stored_event *event);

#endif
