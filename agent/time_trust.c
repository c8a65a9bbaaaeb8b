#include "agent/time_trust.h"

#include "ports/clock.h"

void time_trust_init(struct time_source *trust, struct store *store, uint32_t boot)
{
    *trust = (struct time_source){.store = store, .boot = boot};
}

/* The offset of this boot, for what was kept so far. */
static void commit_offset(struct time_source *trust)
{
    uint64_t commit;
    struct boot_offset offset = {.boot = trust->boot,
                                 .offset_us = clock_wall_us() - (int64_t)clock_monotonic_us()};
    if (store_boot_put(trust->store, &offset, &commit) == ERR_OK) {
        trust->offset_needed = false;
    }
}

void time_trust_stamp(struct time_source *trust, struct stored_event *event)
{
    if (!trust->trusted) {
        trust->trusted = clock_wall_is_synchronised() || clock_wall_us() >= TIME_TRUST_FLOOR_US;
    }
    if (trust->trusted && trust->offset_needed) {
        commit_offset(trust);
    }
    if (trust->trusted) {
        event->time_us = clock_wall_us();
        event->trust = TIME_WALL;
        return;
    }
    trust->offset_needed = true;
    event->time_us = (int64_t)clock_monotonic_us();
    event->trust = TIME_BOOT;
    event->boot = trust->boot;
}
