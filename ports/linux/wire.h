/* How many bytes a TCP socket has put on the network and taken from it: estimated from TCP_INFO. */
#ifndef WEIR_PORTS_LINUX_WIRE_H
#define WEIR_PORTS_LINUX_WIRE_H

#include <stdbool.h>
#include <stdint.h>

struct wire_estimate {
    uint64_t sent; /* payload, TCP and IP headers of each segment, retransmissions, handshake */
    uint64_t received;
    uint64_t moved;         /* payload that the peer has acknowledged, and that has come from it */
    uint32_t round_trip_us; /* 0: unknown */
    uint64_t delivery_rate; /* bytes per second; 0: unknown */
};

/* False: not a TCP socket, or it was never connected. */
bool wire_estimate(int fd, struct wire_estimate *ret);

#endif
