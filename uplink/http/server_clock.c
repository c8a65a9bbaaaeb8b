#include "uplink/http/server_clock.h"

#include "ports/clock.h"

#define US_PER_S 1000000

static int64_t own_s(void)
{
    return clock_wall_us() / US_PER_S;
}

bool server_clock_learn(struct server_clock *clock, int64_t date_s)
{
    int64_t apart_s = date_s - server_clock_now_s(clock);
    if (date_s <= 0 || (apart_s <= SERVER_CLOCK_SLACK_S && apart_s >= -SERVER_CLOCK_SLACK_S)) {
        return false;
    }
    clock->offset_s = date_s - own_s();
    return true;
}

int64_t server_clock_now_s(const struct server_clock *clock)
{
    return own_s() + clock->offset_s;
}
