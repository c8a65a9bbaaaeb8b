#include "agent/plan_wire.h"

#include <assert.h>

#define IPV4_HEADER_SIZE 20
#define IPV6_HEADER_SIZE 40
#define TCP_HEADER_SIZE 32 /* with the time stamp option, padded */
#define SYN_OPTIONS_SIZE 8 /* beyond the stamp */
#define TLS_RECORD_SIZE 22 /* TLS 1.3: head 5, kind 1, tag 16 */
#define TLS_RECORD_MAX 16384
/* TLS 1.3 with an ECDSA or RSA-2048 chain of two certificates, tickets included. */
#define TLS_FULL_SENT 500
#define TLS_FULL_RECEIVED 2700
#define TLS_RESUMED_SENT 700
#define TLS_RESUMED_RECEIVED 450
#define TLS_CERTIFICATE_SIZE 1500 /* of the client, with its proof */
#define DELAYED_ACK_MS 40         /* a segment that comes alone for so long is acknowledged alone */

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

uint64_t plan_tls_size(const struct plan_wire *wire, uint64_t size)
{
    uint64_t records = (size + TLS_RECORD_MAX - 1) / TLS_RECORD_MAX;
    return wire->has_tls ? size + records * TLS_RECORD_SIZE : size;
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
    uint64_t answer_size = plan_tls_size(wire, answer);
    uint64_t answer_segments = plan_segments(wire, answer_size);
    uint64_t largest = 0;
    *ret = (struct plan_exchange){0};
    for (size_t i = 0; i < piece_count; i++) {
        uint64_t size = plan_tls_size(wire, pieces[i]);
        uint64_t segments = plan_segments(wire, size);
        largest = segments > largest ? segments : largest;
        ret->sent += (double)(size + segments * header);
        ret->pieces += pieces[i];
    }
    ret->answer = (double)(answer_size + answer_segments * header);
    ret->acks = (double)((acks_of(wire, largest) + acks_of(wire, answer_segments)) * header);
}

double plan_connect(const struct plan_wire *wire, bool is_resumed)
{
    uint32_t header = plan_header_size(wire);
    double size = 3.0 * header + 2.0 * SYN_OPTIONS_SIZE;
    if (wire->has_tls) {
        double own = wire->has_own_certificate && !is_resumed ? TLS_CERTIFICATE_SIZE : 0;
        double sent = (is_resumed ? TLS_RESUMED_SENT : TLS_FULL_SENT) + own;
        double received = is_resumed ? TLS_RESUMED_RECEIVED : TLS_FULL_RECEIVED;
        uint64_t segments =
            plan_segments(wire, (uint64_t)sent) + plan_segments(wire, (uint64_t)received) + 4;
        size += sent + received + (double)(segments * header);
    }
    return size;
}

double plan_keepalive(const struct plan_wire *wire)
{
    return 2.0 * plan_header_size(wire);
}

double plan_repeats(const struct plan_wire *wire, double sent)
{
    assert(wire->loss >= 0 && wire->loss < 1);
    return sent * wire->loss / (1 - wire->loss);
}
