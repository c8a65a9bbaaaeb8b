/* Any bytes as the head of a set-aside event: what is taken is put, and taken again the same. */
#include "agent/aside_head.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool values_equal(const struct value *a, const struct value *b)
{
    uint64_t bits[2];
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return a->as.boolean == b->as.boolean;
    case VALUE_INT:
        return a->as.integer == b->as.integer;
    case VALUE_DOUBLE:
        memcpy(&bits[0], &a->as.real, sizeof bits[0]);
        memcpy(&bits[1], &b->as.real, sizeof bits[1]);
        return bits[0] == bits[1];
    case VALUE_NUMBER:
    case VALUE_TEXT:
    case VALUE_BYTES:
        return slice_equal(a->as.text, b->as.text);
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aside_head head;
    struct aside_head again;
    struct field fields[EVENT_FIELD_MAX];
    struct field fields_again[EVENT_FIELD_MAX];
    uint8_t memory[ASIDE_HEAD_SIZE_MAX];
    struct out o = out_over(memory, sizeof memory);
    if (!aside_head_take((struct slice){data, size}, &head, fields)) {
        return 0;
    }
    aside_head_put(&head, &o); /* never longer: the shortest varints */
    bool taken = aside_head_take(out_slice(&o), &again, fields_again);
    assert(taken && o.size <= size);
    assert(head.trust == again.trust && head.time_us == again.time_us && head.boot == again.boot &&
           head.is_complete == again.is_complete && head.is_unusable == again.is_unusable &&
           head.fields_are_lost == again.fields_are_lost && head.body_kind == again.body_kind);
    assert(slice_equal(head.driver, again.driver) && slice_equal(head.subject, again.subject));
    assert(head.field_count == again.field_count);
    for (size_t i = 0; i < head.field_count; i++) {
        assert(slice_equal(fields[i].name, fields_again[i].name));
        assert(values_equal(&fields[i].value, &fields_again[i].value));
    }
    return 0;
}
