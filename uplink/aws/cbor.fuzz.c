/* Items of CBOR: what one call takes item by item is what the other skips whole, and both end. */
#include <assert.h>

#include "uplink/aws/cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice whole = {data, size}, items = {data, size}, text = {NULL, 0};
    struct cbor_item item;
    size_t count = 0;
    while (!cbor_take(&items, &item)) {
        assert(++count <= size);
        assert(item.bytes.size <= size);
    }
    struct slice rest = whole;
    enum err skipped = cbor_skip(&rest);
    assert(skipped || rest.data + rest.size == data + size);
    struct slice same = whole;
    enum err taken = cbor_text(&same, &text);
    assert(taken || skipped || same.size == rest.size);
    if (!cbor_take(&whole, &item) && (item.kind == CBOR_ARRAY || item.kind == CBOR_MAP)) {
        uint64_t given = 0;
        while (cbor_more(&whole, &item, &given)) {
            if (cbor_skip(&whole) || (item.kind == CBOR_MAP && cbor_skip(&whole))) {
                return 0;
            }
        }
        assert(skipped || whole.size == rest.size);
    }
    return 0;
}
