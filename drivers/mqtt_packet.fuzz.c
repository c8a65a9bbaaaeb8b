/* Both sides of the gate: whatever comes, and however it is cut, the pieces are the input again, and
 * cutting it otherwise tells the same ids. The first byte says how it is cut. */
#include <assert.h>

#include "drivers/mqtt_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
    size_t bytes, packets, ids;
    enum err e;
};

static struct heard hear(struct slice input, size_t step)
{
    struct mqtt_scan scan = {0};
    struct heard heard = {0};
    const uint8_t *expected = input.data;
    while (input.size && heard.e == ERR_OK) {
        struct slice part;
        struct mqtt_piece piece;
        enum err e =
            slice_take(&input, step < input.size ? step : input.size, &part) ? ERR_OK : ERR_AGAIN;
        while (!e && (e = mqtt_scan_next(&scan, &part, &piece)) == ERR_OK) {
            assert(memcmp(expected + heard.bytes, piece.bytes.data, piece.bytes.size) == 0);
            heard.bytes += piece.bytes.size;
            if (piece.is_end) {
                heard.packets++;
                heard.ids += scan.id;
                struct mqtt_connack connack;
                struct slice body = {scan.kept, piece.size ? scan.kept_size : 0};
                (void)(mqtt_connack_read(body, heard.packets % 2, &connack) == ERR_OK);
            }
        }
        heard.e = e == ERR_AGAIN ? ERR_OK : e;
    }
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {data, size};
    uint8_t step;
    if (!slice_take_u8(&input, &step)) {
        return 0;
    }
    struct heard whole = hear(input, input.size + 1);
    struct heard cut = hear(input, 1 + step % 40U);
    assert(whole.e == cut.e && whole.packets == cut.packets && whole.ids == cut.ids);
    return 0;
}
