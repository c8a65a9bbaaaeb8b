#include "agent/link_lane.h"

#include <assert.h>

/* The lowest that waits and the highest that waits or will at once, of what is not urgent;
 * PRIORITY_URGENT and 0: there is none. */
static void lanes_ends(const struct link_lanes *lanes, uint8_t *ret_lowest, uint8_t *ret_highest)
{
    *ret_lowest = PRIORITY_URGENT;
    *ret_highest = 0;
    for (uint8_t p = 0; p < PRIORITY_URGENT; p++) {
        if (lanes->waiting[p]) {
            *ret_lowest = *ret_lowest == PRIORITY_URGENT ? p : *ret_lowest;
        }
        *ret_highest = lanes->waiting[p] || lanes->busy[p] ? p : *ret_highest;
    }
}

bool link_lanes_may(const struct link_lanes *lanes, uint8_t priority,
                    const struct link_lane_rule *rule)
{
    uint8_t lowest, highest;
    assert(priority < LINK_PRIORITY_COUNT && lanes->waiting[priority] > 0);
    if (priority >= PRIORITY_URGENT) {
        return true;
    }
    if (lanes->under_way > 0 && lanes->under_way >= rule->window) {
        return false;
    }
    lanes_ends(lanes, &lowest, &highest);
    bool is_lowest_due = lowest != highest && lanes->debt >= rule->due;
    return priority == (is_lowest_due ? lowest : highest);
}

void link_lanes_take(struct link_lanes *lanes, uint8_t priority, uint64_t size,
                     const struct link_lane_rule *rule)
{
    uint8_t lowest, highest;
    if (priority >= PRIORITY_URGENT) {
        return;
    }
    lanes->under_way += size;
    lanes_ends(lanes, &lowest, &highest);
    if (priority <= lowest) { /* nobody below waits */
        lanes->debt = lanes->debt > size && lowest != PRIORITY_URGENT ? lanes->debt - size : 0;
        return;
    }
    uint64_t most = 2 * rule->due;
    lanes->debt += size * rule->share / (1000000 - rule->share);
    lanes->debt = lanes->debt < most ? lanes->debt : most;
}

void link_lanes_give(struct link_lanes *lanes, uint8_t priority, uint64_t size)
{
    if (priority < PRIORITY_URGENT) {
        assert(lanes->under_way >= size);
        lanes->under_way -= size;
    }
}
