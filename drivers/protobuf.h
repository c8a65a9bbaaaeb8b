/* Reading Protocol Buffers, as https://protobuf.dev/programming-guides/encoding/ describes them:
 * one field after the other, nothing copied, nothing allocated. Pure. */
#ifndef WEIR_DRIVERS_PROTOBUF_H
#define WEIR_DRIVERS_PROTOBUF_H

#include "ports/err.h"
#include "ports/slice.h"

enum protobuf_kind {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2, /* a string, bytes, or a message within */
    PROTOBUF_FIXED32 = 5,
};

struct protobuf_field {
    uint32_t number;
    enum protobuf_kind kind;
    uint64_t value;     /* VARINT, FIXED64, FIXED32 */
    struct slice bytes; /* BYTES: points into the message */
};

/* Takes the next field off the front of *message. ERR_CLOSED: there are no more. ERR_CORRUPT: what
 * follows is not a field; groups, which nobody writes any more, are none. */
enum err protobuf_next(struct slice *message, struct protobuf_field *ret) MUST_USE;

#endif
