#include "ports/stream.h"

bool stream_wire_more(const struct stream *stream, struct wire_told *told,
                      struct wire_told *ret_more)
{
    struct wire_count count;
    stream_wire_count(stream, &count);
    if (count.sent <= told->sent && count.received <= told->received) {
        return false;
    }
    *ret_more = (struct wire_told){count.sent - told->sent, count.received - told->received};
    *told = (struct wire_told){count.sent, count.received};
    return true;
}
