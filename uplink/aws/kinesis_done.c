#include "uplink/aws/kinesis_done.h"

#include <stdlib.h>

#include "uplink/aws/kinesis_entries.h"

struct done_batch {
    uint16_t stream;
    uint8_t lane;
    uint32_t partition;
    uint64_t first, last;
    uint32_t event_count; /* fewer: some are damaged by now, and records hold others */
    size_t count;
    uint8_t bits[];
};

void done_release(struct done_marks *marks)
{
    for (size_t i = 0; i < marks->count; i++) {
        free(marks->items[i]);
    }
    marks->count = 0;
}

static void done_remove(struct done_marks *marks, size_t index)
{
    free(marks->items[index]);
    marks->count--;
    memmove(&marks->items[index], &marks->items[index + 1],
            (marks->count - index) * sizeof marks->items[0]);
}

static bool is_of(const struct done_batch *done, const struct batch *batch)
{
    return done->stream == batch->parcel->stream && done->lane == batch->parcel->lane &&
           done->partition == batch->part->partition && done->first == batch->part->first &&
           done->last == batch->part->last;
}

static size_t done_find(const struct done_marks *marks, const struct batch *batch)
{
    size_t i = 0;
    while (i < marks->count && !is_of(marks->items[i], batch)) {
        i++;
    }
    return i;
}

static size_t bits_size(size_t count)
{
    return (count < DONE_ENTRY_MAX ? count : DONE_ENTRY_MAX) / 8 + 1;
}

/* The place for a batch with so many entries; NULL: no memory. */
static struct done_batch *done_get(struct done_marks *marks, const struct batch *batch,
                                   size_t count)
{
    size_t index = done_find(marks, batch);
    if (index < marks->count && marks->items[index]->count == count &&
        marks->items[index]->event_count == batch->event_count) {
        return marks->items[index];
    }
    struct done_batch *kept = calloc(1, sizeof *kept + bits_size(count));
    if (!kept) {
        return NULL; /* its bytes are still there after a short wait */
    }
    if (index < marks->count || marks->count == DONE_BATCH_MAX) {
        done_remove(marks, index < marks->count ? index : 0);
    }
    *kept = (struct done_batch){.stream = batch->parcel->stream,
                                .lane = batch->parcel->lane,
                                .partition = batch->part->partition,
                                .first = batch->part->first,
                                .last = batch->part->last,
                                .event_count = batch->event_count,
                                .count = count};
    marks->items[marks->count++] = kept;
    return kept;
}

void done_keep(struct done_marks *marks, const struct batch *batch)
{
    size_t done, count = entries_count(batch->wire, &done);
    struct done_batch *kept = done > 0 ? done_get(marks, batch, count) : NULL;
    struct entry entry;
    uint32_t at = 0;
    for (size_t i = 0; kept && i < DONE_ENTRY_MAX && entries_next(batch->wire, &at, &entry); i++) {
        kept->bits[i / 8] |= (uint8_t)((entry.flags & ENTRY_DONE ? 1U : 0U) << i % 8);
    }
}

void done_apply(struct done_marks *marks, struct batch *batch)
{
    size_t index = done_find(marks, batch), done;
    if (index == marks->count) {
        return;
    }
    const struct done_batch *kept = marks->items[index];
    bool is_same =
        entries_count(batch->wire, &done) == kept->count && batch->event_count == kept->event_count;
    struct entry entry;
    uint32_t at = 0;
    for (size_t i = 0; is_same && i < DONE_ENTRY_MAX && entries_next(batch->wire, &at, &entry);
         i++) {
        if (kept->bits[i / 8] >> i % 8 & 1) {
            entry_done_set(batch->wire_memory, entry.at);
        }
    }
}

void done_forget(struct done_marks *marks, const struct batch *batch)
{
    size_t index = done_find(marks, batch);
    if (index < marks->count) {
        done_remove(marks, index);
    }
}
