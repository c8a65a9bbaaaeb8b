/* Varints and integers: what is read, written again, is what was read. */
#include <assert.h>
#include <stdlib.h>

#include "ports/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_varints(struct slice s)
{
    uint64_t value;
    while (s.size) {
        struct slice before = s;
        if (!slice_take_uvarint(&s, &value)) {
            assert(s.data == before.data && s.size == before.size);
            return;
        }
        uint8_t memory[10];
        struct out o = out_over(memory, sizeof memory);
        out_put_uvarint(&o, value);
        assert(!o.overflow && o.size <= before.size - s.size); /* zeros at the end are allowed */
        struct slice again = out_slice(&o);
        struct slice as_signed = again;
        uint64_t same = ~value;
        int64_t signed_value = 0;
        bool taken =
            slice_take_uvarint(&again, &same) && slice_take_varint(&as_signed, &signed_value);
        assert(taken && same == value && again.size == 0);
        o = out_over(memory, sizeof memory);
        out_put_varint(&o, signed_value);
        again = out_slice(&o);
        taken = slice_take_uvarint(&again, &same);
        assert(taken && same == value);
    }
}

static void check_json(struct slice s)
{
    size_t room = 6 * s.size + 2;
    uint8_t *memory = malloc(room);
    if (!memory) {
        return;
    }
    struct out o = out_over(memory, room);
    out_put_json(&o, s);
    assert(!o.overflow && slice_is_utf8(out_slice(&o)));
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = {data, size};
    check_varints(s);
    check_json(s);
    return 0;
}
