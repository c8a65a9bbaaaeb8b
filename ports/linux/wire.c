#include "ports/linux/wire.h"

#include <linux/tcp.h> /* libc's struct tcp_info ends before the byte counts */
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_TCP
#define SOL_TCP 6
#endif

#define IPV4_HEADER_SIZE 20
#define IPV6_HEADER_SIZE 40
#define TCP_HEADER_SIZE 20
#define TCP_STAMPS_SIZE 12 /* the time stamp option, padded */
#define SYN_OPTIONS_SIZE \
    8 /* maximum segment size, SACK permitted, window scale: beyond the stamp */

bool wire_estimate(int fd, struct wire_estimate *ret)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size) != 0) {
        return false;
    }
    int domain = AF_INET;
    socklen_t domain_size = sizeof domain;
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size);
    uint64_t header = (domain == AF_INET6 ? IPV6_HEADER_SIZE : IPV4_HEADER_SIZE) + TCP_HEADER_SIZE;
    if (info.tcpi_options & TCPI_OPT_TIMESTAMPS) {
        header += TCP_STAMPS_SIZE;
    }
    if (info.tcpi_segs_out == 0) {
        return false;
    }
    /* A kernel before 4.19 leaves bytes_sent at 0: then what was acknowledged, and the
     * retransmissions at their largest. */
    uint64_t payload = info.tcpi_bytes_sent;
    if (payload == 0) {
        payload = info.tcpi_bytes_acked + (uint64_t)info.tcpi_total_retrans * info.tcpi_snd_mss;
    }
    ret->sent = payload + info.tcpi_segs_out * header + SYN_OPTIONS_SIZE;
    ret->received = info.tcpi_bytes_received + info.tcpi_segs_in * header +
                    (info.tcpi_segs_in ? SYN_OPTIONS_SIZE : 0);
    ret->moved = info.tcpi_bytes_acked + info.tcpi_bytes_received;
    ret->round_trip_us = info.tcpi_rtt;
    ret->delivery_rate = info.tcpi_delivery_rate;
    return true;
}
