/* What a connection puts on a link around the bytes of an application: TLS records, IP and TCP headers,
 * acknowledgements, handshakes. PLAN.md says where the figures are from. Pure. */
#ifndef WEIR_AGENT_PLAN_WIRE_H
#define WEIR_AGENT_PLAN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan_wire {
    uint32_t mtu; /* bytes of an IP packet, at most */
    bool is_ipv6;
    bool has_tls;
    bool has_own_certificate; /* the client shows one too */
    /* The far end does not pad its records, and takes the ticket of the session before: not a broker. */
    bool is_web;
    uint32_t chain_size; /* of the brokers' certificates */
    uint64_t rate;       /* bytes a second that the link carries; 0: not known */
    double loss;         /* share of the packets, below 1 */
};

/* Bytes of both ways. */
struct plan_bytes {
    double payload; /* the events, laid out and compressed */
    double framing; /* what goes with them: heads of batches and requests, TLS, IP and TCP */
    double acknowledgements; /* answers of the brokers, TCP's own, keep-alives */
    double handshakes;       /* connections made, logins, metadata */
    double repeats;          /* what was lost, and sent again */
};

double plan_bytes_sum(const struct plan_bytes *bytes);
void plan_bytes_add(struct plan_bytes *sum, const struct plan_bytes *more, double times);

/* Of IP and TCP, with time stamps. */
uint32_t plan_header_size(const struct plan_wire *wire);
/* What `size` bytes that are written together become by TLS; without it, the same. We pad records to
 * 16 bytes, Java's brokers add 16. */
uint64_t plan_tls_sent(const struct plan_wire *wire, uint64_t size);
uint64_t plan_tls_received(const struct plan_wire *wire, uint64_t size);
/* Segments for so many bytes that are written together. */
uint64_t plan_segments(const struct plan_wire *wire, uint64_t size);

/* A request and its answer. */
struct plan_exchange {
    double sent;     /* the pieces as they are on the link, headers included */
    double answer;   /* likewise */
    double acks;     /* of TCP alone, both ways */
    uint64_t pieces; /* bytes of the application that went out */
};
void plan_exchange(const struct plan_wire *wire, const uint32_t *pieces, size_t piece_count,
                   uint32_t answer, struct plan_exchange *ret);
/* TCP and TLS opened, without what is said on it. is_again: we show the ticket of the session before,
 * which Kafka's brokers do not take. */
double plan_connect(const struct plan_wire *wire, bool is_again);
/* We close it. */
double plan_disconnect(const struct plan_wire *wire);
/* A keep-alive, both ways. */
double plan_keepalive(const struct plan_wire *wire);
/* What TCP sends again when a request of so many bytes meets a link that says nothing for so long: a part of
 * it at ever longer intervals, at the end all. */
double plan_retries(const struct plan_wire *wire, double sent, double seconds);
/* Of a connection that is tried in vain: each 10 s, with pauses up to 30 s. */
double plan_attempts(const struct plan_wire *wire, double seconds);
/* What is sent again of so many bytes that go out. */
double plan_repeats(const struct plan_wire *wire, double sent);

#endif
