#include "agent/raw.h"

#include "uplink/avro/encode.h"

struct slice raw_schema(void)
{
    return SLICE("{\"type\":\"record\",\"name\":\"Raw\",\"namespace\":\"weir\",\"doc\":\"An event "
                 "as it came, of a stream without a schema of its "
                 "own.\",\"fields\":["
                 "{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-"
                 "micros\"},\"doc\":\"The event's own time where it has "
                 "one, else that of its arrival.\"},"
                 "{\"name\":\"source\",\"type\":\"string\",\"doc\":\"The driver and the place it "
                 "read from.\"},"
                 "{\"name\":\"subject\",\"type\":\"string\",\"doc\":\"Topic, path or tag.\"},"
                 "{\"name\":\"body\",\"type\":\"bytes\"}]}");
}

void raw_put_text(struct out *o, struct slice text)
{
    bool is_utf8 = slice_is_utf8(text);
    out_put_varint(o, (int64_t)text.size);
    for (size_t i = 0; i < text.size; i++) {
        out_put_byte(o, is_utf8 || text.data[i] < 0x80 ? text.data[i] : '?');
    }
}

void raw_put(const struct raw_event *event, struct out *ret, struct fill *ret_fill)
{
    *ret_fill =
        (struct fill){event->time_is_known ? FILL_NONE : FILL_TIME_MICROS, (uint32_t)ret->size};
    if (event->time_is_known) {
        out_put_varint(ret, event->time_us);
    }
    raw_put_text(ret, event->source);
    raw_put_text(ret, event->subject);
    avro_put_bytes(ret, event->body);
}
