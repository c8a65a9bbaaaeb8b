#include "uplink/google/pubsub_done.h"

#include <stdlib.h>

#include "uplink/google/pubsub_wire.h"

struct pubsub_done {
    struct pubsub_done *next;
    uint16_t stream;
    uint8_t lane;
    uint32_t partition;
    struct range range;
    uint8_t bits[];
};

static void done_remove(struct pubsub_done **at)
{
    struct pubsub_done *done = *at;
    *at = done->next;
    free(done);
}

void pubsub_done_release(struct pubsub_done **list)
{
    while (*list) {
        done_remove(list);
    }
}

/* Where the entry is that may be the batch's, or the end of the list. */
static struct pubsub_done **done_place(struct pubsub_done **list, const struct batch *batch)
{
    while (*list &&
           ((*list)->stream != batch->parcel->stream || (*list)->lane != batch->parcel->lane ||
            (*list)->partition != batch->part->partition)) {
        list = &(*list)->next;
    }
    return list;
}

/* Is the batch this part, or a half of it? Else it is a later one. */
static bool done_holds(const struct pubsub_done *done, const struct batch *batch)
{
    return done->range.first <= batch->part->first && batch->part->last <= done->range.last;
}

static struct pubsub_done *done_of(struct pubsub_done **list, const struct batch *batch)
{
    struct pubsub_done **at = done_place(list, batch);
    if (*at && !done_holds(*at, batch)) {
        done_remove(at);
        return NULL;
    }
    return *at;
}

static struct pubsub_done *done_open(struct pubsub_done **list, const struct batch *batch)
{
    const struct part *part = batch->part;
    if (part->last - part->first >= PUBSUB_DONE_SPAN_MAX) {
        return NULL;
    }
    size_t size = (size_t)(part->last - part->first) / 8 + 1;
    struct pubsub_done *done = calloc(1, sizeof *done + size);
    if (done) { /* else it may be sent twice, with the same weir_id */
        done->next = *list;
        done->stream = batch->parcel->stream;
        done->lane = batch->parcel->lane;
        done->partition = part->partition;
        done->range = (struct range){part->first, part->last};
        *list = done;
    }
    return done;
}

void pubsub_done_note(struct pubsub_done **list, const struct batch *batch, struct range range)
{
    struct pubsub_done *done = done_of(list, batch);
    done = done ? done : done_open(list, batch);
    for (uint64_t s = range.first; done && s <= range.last && s <= done->range.last; s++) {
        uint64_t bit = s - done->range.first;
        done->bits[bit / 8] |= (uint8_t)(1U << bit % 8);
    }
}

static bool done_has(const struct pubsub_done *done, struct range range)
{
    for (uint64_t s = range.first; done && s <= range.last; s++) {
        uint64_t bit = s - done->range.first;
        if (s < done->range.first || s > done->range.last ||
            !(done->bits[bit / 8] >> bit % 8 & 1)) {
            return false;
        }
    }
    return done != NULL;
}

void pubsub_done_apply(struct pubsub_done **list, struct batch *batch)
{
    const struct pubsub_done *done = done_of(list, batch);
    struct pubsub_group group;
    size_t at = 0;
    while (pubsub_group_next(batch->wire_memory, batch->wire.size, &at, &group)) {
        struct pubsub_sequences sequences = pubsub_sequences_of(&group);
        for (uint32_t i = 0; i < group.count; i++) {
            bool is = done_has(done, pubsub_sequence_next(&sequences)) ||
                      pubsub_mark_get(&group, i) == PUBSUB_DONE;
            pubsub_mark_set(&group, i, is ? PUBSUB_DONE : PUBSUB_OPEN);
        }
    }
}

void pubsub_done_end(struct pubsub_done **list, const struct batch *batch)
{
    struct pubsub_done **at = done_place(list, batch);
    if (*at && (!done_holds(*at, batch) || (*at)->range.last == batch->part->last)) {
        done_remove(at);
    }
}
