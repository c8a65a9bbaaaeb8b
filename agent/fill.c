#include "agent/fill.h"

#include <assert.h>
#include <inttypes.h>

#define FILL_BYTES_MAX 256

static void put_id(struct out *o, const struct stored_event *event, const char *identity,
                   const char *stream)
{
    uint8_t memory[FILL_BYTES_MAX - 4];
    struct out text = out_over(memory, sizeof memory);
    out_put_format(&text, "%s/%s/%" PRIu64, identity, stream, event->sequence);
    assert(!text.overflow); /* id, incarnation and stream names are bounded by the configuration */
    out_put_varint(o, (int64_t)text.size);
    out_put_slice(o, out_slice(&text));
}

static void put_trust(struct out *o, unsigned trust)
{
    static const char *const words[] = {[TIME_PAYLOAD] = "payload",
                                        [TIME_WALL] = "clock",
                                        [TIME_LATER] = "later",
                                        [TIME_ESTIMATE] = "estimate"};
    assert(trust < ARRAY_COUNT(words) && words[trust]); /* TIME_BOOT waits for the clock */
    struct slice word = slice_of_text(words[trust]);
    out_put_varint(o, (int64_t)word.size);
    out_put_slice(o, word);
}

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static void put_fill(struct out *o, const struct stored_event *event, const struct fill *fill,
                     const char *identity, const char *stream)
{
    switch ((enum fill_kind)fill->kind) {
    case FILL_TIME_MILLIS:
        out_put_varint(o, floor_divide(event->time_us, 1000));
        break;
    case FILL_TIME_MICROS:
        out_put_varint(o, event->time_us);
        break;
    case FILL_TIME_NANOS:
        out_put_varint(o, event->time_us * 1000);
        break;
    case FILL_ID:
        put_id(o, event, identity, stream);
        break;
    case FILL_TIME_TRUST:
        put_trust(o, event->trust);
        break;
    case FILL_NONE:
        break;
    }
}

bool fill_complete(const struct stored_event *event, const char *identity, const char *stream,
                   struct out *memory, struct slice *ret)
{
    size_t start = memory->size;
    size_t taken = 0;
    if (event->fill_count == 0) {
        *ret = event->datum;
        return true;
    }
    for (size_t i = 0; i < event->fill_count; i++) {
        const struct fill *fill = &event->fills[i];
        assert(fill->offset >= taken && fill->offset <= event->datum.size);
        out_put(memory, event->datum.data + taken, fill->offset - taken);
        put_fill(memory, event, fill, identity, stream);
        taken = fill->offset;
    }
    out_put(memory, event->datum.data + taken, event->datum.size - taken);
    *ret = (struct slice){memory->data + start, memory->size - start};
    return !memory->overflow;
}

bool fill_needs_clock(const struct stored_event *event)
{
    for (size_t i = 0; event->trust == TIME_BOOT && i < event->fill_count; i++) {
        if (event->fills[i].kind != FILL_ID) {
            return true;
        }
    }
    return false;
}
