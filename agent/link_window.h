/* The windows of time in which a link may be used. Pure; in the zone of ports/zone.h. When clocks
 * are set back, what starts in the repeated hour starts once, the first time; what would start in an
 * hour that is left out starts as if clocks had gone on. A window lasts as long as it is said to,
 * whatever clocks show meanwhile. */
#ifndef WEIR_AGENT_LINK_WINDOW_H
#define WEIR_AGENT_LINK_WINDOW_H

#include <stddef.h>

#include "config/cron.h"

struct link_window {
    struct cron start;
    int64_t duration_us;
};

struct link_opening {
    bool is_open;
    int64_t until_us; /* wall: when that may change; INT64_MAX: not within some years */
};

/* Without windows it is always open. */
void link_windows_at(const struct link_window *windows, size_t count, int64_t wall_us,
                     struct link_opening *ret);

#endif
