#include "drivers/protobuf.h"

/* A field's number has 29 bits. */
#define PROTOBUF_NUMBER_MAX ((UINT64_C(1) << 29) - 1)

enum err protobuf_next(struct slice *message, struct protobuf_field *ret)
{
    if (message->size == 0) {
        return ERR_CLOSED;
    }
    uint64_t key;
    uint64_t size;
    uint32_t half;
    bool is_whole =
        slice_take_uvarint(message, &key) && key >> 3 && key >> 3 <= PROTOBUF_NUMBER_MAX;
    if (!is_whole) {
        return ERR_CORRUPT;
    }
    *ret = (struct protobuf_field){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case PROTOBUF_VARINT:
        ret->kind = PROTOBUF_VARINT;
        is_whole = slice_take_uvarint(message, &ret->value);
        break;
    case PROTOBUF_FIXED64:
        ret->kind = PROTOBUF_FIXED64;
        is_whole = slice_take_u64_le(message, &ret->value);
        break;
    case PROTOBUF_FIXED32:
        ret->kind = PROTOBUF_FIXED32;
        is_whole = slice_take_u32_le(message, &half);
        ret->value = is_whole ? half : 0;
        break;
    case PROTOBUF_BYTES:
        ret->kind = PROTOBUF_BYTES;
        is_whole = slice_take_uvarint(message, &size) && size <= message->size &&
                   slice_take(message, (size_t)size, &ret->bytes);
        break;
    default:
        is_whole = false;
    }
    return is_whole ? ERR_OK : ERR_CORRUPT;
}
