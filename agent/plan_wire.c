#include "agent/plan_wire.h"

#include <assert.h>

#define IPV4_HEADER_SIZE 20
#define IPV6_HEADER_SIZE 40
#define TCP_HEADER_SIZE 32 /* with the time stamp option, padded */
#define SYN_OPTIONS_SIZE 8 /* beyond the stamp */
/* TLS 1.3, between mbedTLS and Java, as seen on the wire. */
#define TLS_RECORD_SIZE 22 /* head 5, kind 1, tag 16 */
#define TLS_RECORD_MAX 16384
#define TLS_SENT_PADDING 16 /* kind and data are padded to a multiple */
#define TLS_RECEIVED_SIZE 38
#define TLS_HELLO_SENT 353      /* hello, the old change of ciphers, finished */
#define TLS_HELLO_RECEIVED 1030 /* likewise, the proof of the certificate, a ticket */
#define TLS_TICKET_SIZE 662     /* shown again */
#define TLS_SEGMENTS 11
/* A session that goes on by a ticket: between Go's server, which gives one more, and OpenSSL's, two. */
#define TLS_RESUMED_SENT 580
#define TLS_RESUMED_RECEIVED 500
#define TLS_RESUMED_SEGMENTS 7
#define TLS_CLOSE_SIZE 48  /* what both say at the end */
#define TLS_OWN_SIZE 1500  /* certificate of the client, with its proof */
#define RETRY_MS 200       /* of TCP, the first time; then twice as long each time */
#define ATTEMPT_SECONDS 35 /* of a connection, with the pause behind it */
#define ATTEMPT_PACKETS 4
#define DELAYED_ACK_MS 40 /* a segment that comes alone for so long is acknowledged alone */

double plan_bytes_sum(const struct plan_bytes *b)
{
    return b->payload + b->framing + b->acknowledgements + b->handshakes + b->repeats;
}

void plan_bytes_add(struct plan_bytes *sum, const struct plan_bytes *more, double times)
{
    sum->payload += more->payload * times;
    sum->framing += more->framing * times;
    sum->acknowledgements += more->acknowledgements * times;
    sum->handshakes += more->handshakes * times;
    sum->repeats += more->repeats * times;
}

uint32_t plan_header_size(const struct plan_wire *wire)
{
    return (wire->is_ipv6 ? IPV6_HEADER_SIZE : IPV4_HEADER_SIZE) + TCP_HEADER_SIZE;
}

static uint64_t records_of(uint64_t size)
{
    return (size + TLS_RECORD_MAX - 1) / TLS_RECORD_MAX;
}

uint64_t plan_tls_sent(const struct plan_wire *wire, uint64_t size)
{
    uint64_t full = size / TLS_RECORD_MAX;
    uint64_t rest = size % TLS_RECORD_MAX;
    uint64_t padded = (rest + TLS_SENT_PADDING) / TLS_SENT_PADDING * TLS_SENT_PADDING;
    uint64_t last = rest > 0 ? padded + TLS_RECORD_SIZE - 1 : 0;
    return wire->has_tls ? full * (TLS_RECORD_MAX + TLS_RECORD_SIZE) + last : size;
}

uint64_t plan_tls_received(const struct plan_wire *wire, uint64_t size)
{
    uint32_t around = wire->is_web ? TLS_RECORD_SIZE : TLS_RECEIVED_SIZE;
    return wire->has_tls ? size + records_of(size) * around : size;
}

static uint32_t segment_size(const struct plan_wire *wire)
{
    assert(wire->mtu > 2 * plan_header_size(wire));
    return wire->mtu - plan_header_size(wire);
}

uint64_t plan_segments(const struct plan_wire *wire, uint64_t size)
{
    uint32_t most = segment_size(wire);
    return (size + most - 1) / most;
}

/* On a slow link each full segment is acknowledged; else the kernels take several together. */
static uint64_t acks_of(const struct plan_wire *wire, uint64_t segments)
{
    bool is_slow = wire->rate && (uint64_t)wire->mtu * 1000 > wire->rate * DELAYED_ACK_MS;
    return is_slow || segments <= 1 ? segments : 1;
}

void plan_exchange(const struct plan_wire *wire, const uint32_t *pieces, size_t piece_count,
                   uint32_t answer, struct plan_exchange *ret)
{
    uint32_t header = plan_header_size(wire);
    uint64_t answer_size = plan_tls_received(wire, answer);
    uint64_t answer_segments = plan_segments(wire, answer_size);
    uint64_t largest = 0;
    uint64_t all = 0;
    *ret = (struct plan_exchange){0};
    for (size_t i = 0; i < piece_count; i++) {
        uint64_t size = plan_tls_sent(wire, pieces[i]);
        uint64_t segments = plan_segments(wire, size);
        largest = segments > largest ? segments : largest;
        all += segments;
        ret->sent += (double)(size + segments * header);
        ret->pieces += pieces[i];
    }
    ret->answer = (double)(answer_size + answer_segments * header);
    /* A lone segment is acknowledged by the answer. */
    uint64_t acks = (all > 1 ? acks_of(wire, largest) : 0) + acks_of(wire, answer_segments);
    ret->acks = (double)(acks * header);
}

double plan_connect(const struct plan_wire *wire, bool is_again)
{
    uint32_t header = plan_header_size(wire);
    uint64_t size = 3 * header + 2 * SYN_OPTIONS_SIZE;
    if (wire->has_tls && wire->is_web && is_again) {
        size += TLS_RESUMED_SENT + TLS_RESUMED_RECEIVED + TLS_RESUMED_SEGMENTS * header;
    } else if (wire->has_tls) {
        uint64_t own = wire->has_own_certificate ? TLS_OWN_SIZE : 0;
        uint64_t sent = TLS_HELLO_SENT + own + (is_again ? TLS_TICKET_SIZE : 0);
        uint64_t more = plan_segments(wire, own) + plan_segments(wire, wire->chain_size) - 1;
        size += sent + TLS_HELLO_RECEIVED + wire->chain_size + (TLS_SEGMENTS + more) * header;
    }
    return (double)size;
}

double plan_disconnect(const struct plan_wire *wire)
{
    return 4.0 * plan_header_size(wire) + (wire->has_tls ? TLS_CLOSE_SIZE : 0);
}

double plan_keepalive(const struct plan_wire *wire)
{
    return 2.0 * plan_header_size(wire);
}

double plan_retries(const struct plan_wire *wire, double sent, double seconds)
{
    double packet = sent < wire->mtu ? sent : wire->mtu;
    uint64_t left_ms = (uint64_t)(seconds * 1000);
    uint64_t packets = 0; /* besides the one at once, to find out whether it was lost (TLP) */
    for (uint64_t wait_ms = RETRY_MS; left_ms > wait_ms; wait_ms *= 2) {
        left_ms -= wait_ms;
        packets++;
    }
    return sent + (double)packets * packet;
}

double plan_attempts(const struct plan_wire *wire, double seconds)
{
    return seconds / ATTEMPT_SECONDS * ATTEMPT_PACKETS *
           (plan_header_size(wire) + SYN_OPTIONS_SIZE);
}

double plan_repeats(const struct plan_wire *wire, double sent)
{
    assert(wire->loss >= 0 && wire->loss < 1);
    return sent * wire->loss / (1 - wire->loss);
}
