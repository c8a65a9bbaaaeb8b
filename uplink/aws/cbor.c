#include "uplink/aws/cbor.h"

#include <assert.h>

enum {
    MAJOR_BYTES = 2,
    MAJOR_TEXT = 3,
    MAJOR_ARRAY = 4,
    MAJOR_MAP = 5,
    MAJOR_SIMPLE = 7,
    INFO_1 = 24, /* one byte of argument follows; 25: two, 26: four, 27: eight */
    INFO_8 = 27,
    INFO_OPEN = 31,
};

/* --- reading --- */

static bool take_argument(struct slice *s, uint8_t info, uint64_t *ret)
{
    if (info < INFO_1) {
        *ret = info;
        return true;
    }
    struct slice bytes;
    if (info > INFO_8 || !slice_take(s, (size_t)1 << (info - INFO_1), &bytes)) {
        return false;
    }
    *ret = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        *ret = *ret << 8 | bytes.data[i];
    }
    return true;
}

/* What has no end in its head: strings in pieces, containers, and the end itself. */
static bool take_open(uint8_t major, struct cbor_item *item)
{
    item->is_open = true;
    if (major == MAJOR_SIMPLE) {
        *item = (struct cbor_item){.kind = CBOR_END};
    }
    return major >= MAJOR_BYTES && major != CBOR_TAG;
}

enum err cbor_take(struct slice *s, struct cbor_item *ret)
{
    struct slice rest = *s;
    uint8_t head;
    if (!slice_take_u8(&rest, &head)) {
        return ERR_CORRUPT;
    }
    uint8_t major = head >> 5, info = head & 31;
    struct cbor_item item = {.kind = (enum cbor_kind)major};
    bool is_there =
        info == INFO_OPEN ? take_open(major, &item) : take_argument(&rest, info, &item.number);
    bool has_bytes = !item.is_open && (item.kind == CBOR_BYTES || item.kind == CBOR_TEXT);
    if (is_there && has_bytes) {
        is_there = item.number <= rest.size && slice_take(&rest, (size_t)item.number, &item.bytes);
    }
    if (!is_there) {
        return ERR_CORRUPT;
    }
    *s = rest;
    *ret = item;
    return ERR_OK;
}

/* How many items belong to it; UINT64_MAX: as many as come before END. */
static uint64_t item_children(const struct cbor_item *item)
{
    switch (item->kind) {
    case CBOR_ARRAY:
        return item->is_open ? UINT64_MAX : item->number;
    case CBOR_MAP: /* more pairs than that can't be in any input */
        return item->is_open                   ? UINT64_MAX
               : item->number > UINT64_MAX / 4 ? UINT64_MAX - 1
                                               : item->number * 2;
    case CBOR_TAG:
        return 1;
    case CBOR_BYTES:
    case CBOR_TEXT:
        return item->is_open ? UINT64_MAX : 0;
    case CBOR_UNSIGNED:
    case CBOR_NEGATIVE:
    case CBOR_SIMPLE:
    case CBOR_END:
        break;
    }
    return 0;
}

enum err cbor_skip(struct slice *s)
{
    uint64_t left[CBOR_DEPTH_MAX + 1] = {1}; /* items to come, by depth */
    unsigned depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                return ERR_OK;
            }
            depth--;
        }
        struct cbor_item item;
        enum err e = cbor_take(s, &item);
        if (e) {
            return e;
        }
        if (item.kind == CBOR_END) {
            if (left[depth] != UINT64_MAX) {
                return ERR_CORRUPT;
            }
            left[depth] = 0;
            continue;
        }
        left[depth] -= left[depth] != UINT64_MAX;
        uint64_t children = item_children(&item);
        if (children > 0) {
            if (depth == CBOR_DEPTH_MAX) {
                return ERR_REJECTED;
            }
            left[++depth] = children;
        }
    }
}

bool cbor_more(struct slice *s, const struct cbor_item *container, uint64_t *given)
{
    assert(container->kind == CBOR_ARRAY || container->kind == CBOR_MAP);
    if (!container->is_open && *given == container->number) {
        return false;
    }
    struct slice rest = *s;
    struct cbor_item item;
    if (container->is_open && !cbor_take(&rest, &item) && item.kind == CBOR_END) {
        *s = rest;
        return false;
    }
    (*given)++;
    return true;
}

enum err cbor_text(struct slice *s, struct slice *ret)
{
    struct slice rest = *s;
    struct cbor_item item;
    enum err e;
    do {
        e = cbor_take(&rest, &item);
    } while (!e && item.kind == CBOR_TAG);
    if (e) {
        return e;
    }
    if (item.kind == CBOR_TEXT && !item.is_open) {
        *s = rest;
        *ret = item.bytes;
        return ERR_OK;
    }
    *ret = (struct slice){NULL, 0};
    return cbor_skip(s);
}

/* --- writing --- */

static void put_head(struct out *o, uint8_t major, uint64_t number)
{
    uint8_t first = (uint8_t)(major << 5);
    if (number < INFO_1) {
        out_put_byte(o, (uint8_t)(first | number));
    } else if (number <= UINT8_MAX) {
        out_put_byte(o, first | INFO_1);
        out_put_byte(o, (uint8_t)number);
    } else if (number <= UINT16_MAX) {
        out_put_byte(o, first | (INFO_1 + 1));
        out_put_u16_be(o, (uint16_t)number);
    } else if (number <= UINT32_MAX) {
        out_put_byte(o, first | (INFO_1 + 2));
        out_put_u32_be(o, (uint32_t)number);
    } else {
        out_put_byte(o, first | INFO_8);
        out_put_u64_be(o, number);
    }
}

void cbor_put_map(struct out *o, uint64_t pair_count)
{
    put_head(o, MAJOR_MAP, pair_count);
}

void cbor_put_array(struct out *o, uint64_t count)
{
    put_head(o, MAJOR_ARRAY, count);
}

void cbor_put_text(struct out *o, struct slice text)
{
    put_head(o, MAJOR_TEXT, text.size);
    out_put_slice(o, text);
}

void cbor_put_bytes(struct out *o, struct slice bytes)
{
    put_head(o, MAJOR_BYTES, bytes.size);
    out_put_slice(o, bytes);
}
