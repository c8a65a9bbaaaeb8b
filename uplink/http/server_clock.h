/* The time as a service has it. Signatures and tokens carry a time that the service compares with
 * its own: a board with a wrong clock signs rightly once it has seen a `Date` header. Plain value. */
#ifndef WEIR_UPLINK_HTTP_SERVER_CLOCK_H
#define WEIR_UPLINK_HTTP_SERVER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* A difference up to this many seconds is the network's and the header's own; it is not learned. */
#define SERVER_CLOCK_SLACK_S 30

/* Zeroed: as our own clock. */
struct server_clock {
    int64_t offset_s; /* the server's minus ours */
};

/* date_s: an answer's Date; 0: it had none. True: the offset is another one now. */
bool server_clock_learn(struct server_clock *clock, int64_t date_s);
/* Seconds since 1970. */
int64_t server_clock_now_s(const struct server_clock *clock);

#endif
