/* Who goes first on one link: strict by priority, with a share for the lowest that waits. Pure.
 *
 * What is urgent (priority 7 and more) always goes. Of the rest so much is under way that the link is
 * never idle while the next request is being made, and no more: what has to wait waits here, where a
 * higher priority overtakes it, and not in a queue that keeps its order. */
#ifndef WEIR_AGENT_LINK_LANE_H
#define WEIR_AGENT_LINK_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/parcel.h"

#define LINK_PRIORITY_COUNT 10

struct link_lanes {
    uint32_t waiting[LINK_PRIORITY_COUNT]; /* requests that want to be made */
    uint32_t busy[LINK_PRIORITY_COUNT]; /* that are under way, with another one to follow at once */
    uint64_t under_way;                 /* bytes, of what is not urgent */
    uint64_t debt;                      /* bytes that the lowest lane is behind its share */
};

struct link_lane_rule {
    uint64_t window; /* bytes that may be under way */
    uint64_t due;    /* so far the lowest lane may be behind: a request */
    uint32_t share;  /* millionths */
};

/* One that waits, counted in `waiting`: is it its turn? */
bool link_lanes_may(const struct link_lanes *lanes, uint8_t priority,
                    const struct link_lane_rule *rule);
/* It goes; it is not counted in `waiting` any more. */
void link_lanes_take(struct link_lanes *lanes, uint8_t priority, uint64_t size,
                     const struct link_lane_rule *rule);
/* It is over. */
void link_lanes_give(struct link_lanes *lanes, uint8_t priority, uint64_t size);

#endif
