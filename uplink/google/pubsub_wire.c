#include "uplink/google/pubsub_wire.h"

#include <assert.h>

#define HEAD_SIZE 25

static size_t marks_size(uint32_t count)
{
    return ((size_t)count + 3) / 4;
}

size_t pubsub_group_frame_at(size_t begin, uint32_t room)
{
    return begin + HEAD_SIZE + marks_size(room);
}

size_t pubsub_group_begin(struct out *o, uint32_t room)
{
    size_t begin = o->size;
    out_put_u32_le(o, 0); /* the total */
    out_put_u32_le(o, room);
    while (!o->overflow && o->size < pubsub_group_frame_at(begin, room)) {
        out_put_byte(o, 0);
    }
    return begin;
}

void pubsub_group_end(struct out *o, size_t begin, const struct pubsub_group *group)
{
    out_put_slice(o, group->sequences);
    if (o->overflow) {
        return;
    }
    struct out head = out_over(o->data + begin, HEAD_SIZE);
    out_put_u32_le(&head, (uint32_t)(o->size - begin));
    head.size += 4; /* the room */
    out_put_u32_le(&head, group->key);
    out_put_u32_le(&head, group->count);
    out_put_u32_le(&head, group->raw_size);
    out_put_u32_le(&head, (uint32_t)group->sequences.size);
    out_put_byte(&head, group->is_gzip);
}

/* What was written here is whole. */
static struct slice take(struct slice *s, size_t size)
{
    struct slice taken = {NULL, 0};
    bool is = slice_take(s, size, &taken);
    assert(is);
    (void)is;
    return taken;
}

static uint32_t take_u32(struct slice *s)
{
    uint32_t value = 0;
    bool is = slice_take_u32_le(s, &value);
    assert(is);
    (void)is;
    return value;
}

bool pubsub_group_next(uint8_t *wire, size_t size, size_t *at, struct pubsub_group *ret)
{
    struct slice rest = {wire + *at, size - *at};
    if (rest.size == 0) {
        return false;
    }
    uint32_t total = take_u32(&rest);
    uint32_t room = take_u32(&rest);
    *ret = (struct pubsub_group){.key = take_u32(&rest)};
    ret->count = take_u32(&rest);
    ret->raw_size = take_u32(&rest);
    uint32_t sequences_size = take_u32(&rest);
    ret->is_gzip = *take(&rest, 1).data != 0;
    ret->marks = wire + *at + HEAD_SIZE;
    size_t around = HEAD_SIZE + marks_size(room) + sequences_size;
    assert(ret->count <= room && total >= around);
    (void)take(&rest, marks_size(room));
    ret->frame = take(&rest, total - around);
    ret->sequences = take(&rest, sequences_size);
    *at += total;
    return true;
}

enum pubsub_mark pubsub_mark_get(const struct pubsub_group *group, uint32_t index)
{
    assert(index < group->count);
    return (enum pubsub_mark)(group->marks[index / 4] >> index % 4 * 2 & 3);
}

void pubsub_mark_set(struct pubsub_group *group, uint32_t index, enum pubsub_mark mark)
{
    assert(index < group->count);
    unsigned shift = index % 4 * 2;
    uint8_t others = (uint8_t)(group->marks[index / 4] & ~(3U << shift));
    group->marks[index / 4] = (uint8_t)(others | (unsigned)mark << shift);
}

void pubsub_sequence_put(struct out *o, uint64_t *last, uint64_t first_of_it, uint64_t last_of_it)
{
    assert(first_of_it >= *last && last_of_it >= first_of_it);
    out_put_uvarint(o, first_of_it - *last);
    out_put_uvarint(o, last_of_it - first_of_it);
    *last = last_of_it;
}

struct pubsub_sequences pubsub_sequences_of(const struct pubsub_group *group)
{
    return (struct pubsub_sequences){.rest = group->sequences};
}

struct range pubsub_sequence_next(struct pubsub_sequences *sequences)
{
    uint64_t ahead, more;
    bool is =
        slice_take_uvarint(&sequences->rest, &ahead) && slice_take_uvarint(&sequences->rest, &more);
    assert(is);
    (void)is;
    struct range range = {sequences->last + ahead, sequences->last + ahead + more};
    sequences->last = range.last;
    return range;
}
