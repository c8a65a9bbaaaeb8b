#include "agent/parts.h"

#include <assert.h>
#include <string.h>

size_t parts_current(const struct parcel *parcel, uint32_t ret[PARCEL_PART_MAX])
{
    assert(parcel->part_count <= PARCEL_PART_MAX);
    size_t count = 0;
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        const struct part *part = &parcel->parts[i];
        bool is_first = count == 0 || parcel->parts[ret[count - 1]].partition != part->partition;
        if (!part->done && is_first) {
            ret[count++] = i;
        }
    }
    return count;
}

bool parts_all_done(const struct parcel *parcel)
{
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        if (!parcel->parts[i].done) {
            return false;
        }
    }
    return true;
}

static void parts_remove(struct parcel *parcel, void *attached[PARCEL_PART_MAX], uint32_t index)
{
    assert(index < parcel->part_count && !attached[index]);
    uint32_t behind = parcel->part_count - index - 1;
    memmove(&parcel->parts[index], &parcel->parts[index + 1], behind * sizeof parcel->parts[0]);
    memmove(&attached[index], &attached[index + 1], behind * sizeof attached[0]);
    parcel->part_count--;
    attached[parcel->part_count] = NULL;
}

/* Two done parts of a partition, side by side, say the same as one over both ranges. */
static void parts_join_done(struct parcel *parcel, void *attached[PARCEL_PART_MAX], uint32_t *index)
{
    for (uint32_t i = parcel->part_count; i-- > 1;) {
        struct part *before = &parcel->parts[i - 1];
        const struct part *part = &parcel->parts[i];
        if (before->done && part->done && before->partition == part->partition) {
            before->last = part->last;
            parts_remove(parcel, attached, i);
            *index -= i < *index;
        }
    }
}

bool parts_may_halve(const struct parcel *parcel, uint32_t index)
{
    uint32_t own = parcel->parts[index].partition;
    for (uint32_t i = 1; i < parcel->part_count; i++) {
        const struct part *before = &parcel->parts[i - 1];
        const struct part *part = &parcel->parts[i];
        if (part->partition != own && part->partition == before->partition && !part->done) {
            return false; /* halves of another one */
        }
    }
    return true;
}

static void part_forget_numbers(struct part *part)
{
    part->assigned = false;
    part->producer_id = -1;
    part->producer_epoch = 0;
    part->base_sequence = -1;
    part->sent_ms = -1;
    part->stamp = PART_STAMP_OPEN;
    part->record_count = 0;
    part->events_per_record = 0;
}

enum err parts_halve(struct parcel *parcel, void *attached[PARCEL_PART_MAX], uint32_t *index,
                     uint64_t middle)
{
    assert(*index < parcel->part_count && !parcel->parts[*index].done);
    parts_join_done(parcel, attached, index);
    if (parcel->part_count == PARCEL_PART_MAX) {
        return ERR_FULL;
    }
    struct part *part = &parcel->parts[*index];
    assert(part->first <= middle && middle < part->last);
    uint32_t behind = parcel->part_count - *index - 1;
    memmove(part + 2, part + 1, behind * sizeof *part);
    memmove(&attached[*index + 2], &attached[*index + 1], behind * sizeof attached[0]);
    part[1] = part[0];
    attached[*index + 1] = NULL;
    part[0].last = middle;
    part[1].first = middle + 1;
    part_forget_numbers(&part[0]);
    part_forget_numbers(&part[1]);
    parcel->part_count++;
    return ERR_OK;
}
