/* What is delivered while nothing can be written: remembered in memory, and written as a whole with
 * the next commit that succeeds. */
#include "buffer/damage.h"
#include "buffer/evict.h"

/* They are told with the commit that succeeds, or found again. Those that could not be cut out of a full
 * list are still owed: they are told, and deleted by that commit. */
static void keep_damaged(struct buffer *b)
{
    size_t count = 0;
    for (size_t i = 0; i < b->damaged_count; i++) {
        if (state_is_owed(b->state, b->damaged[i].stream, b->damaged[i].range)) {
            b->damaged[count] = b->damaged[i];
            b->damaged[count++].number = DAMAGED_TOLD;
        }
    }
    b->damaged_count = count;
}

/* Into the copy of the state. */
static enum err keep_apply(struct buffer *b, const struct buffer_write *deliveries)
{
    struct record_writer writer;
    state_copy(b->next, b->state);
    b->next->commit++;
    b->record.size = 0;
    b->record.overflow = false;
    record_begin(&writer, &b->record, b->state->generation, b->next->commit, false);
    loss_of_damaged(b, &writer);
    size_t from = b->record.size;
    record_put_write(&writer, deliveries);
    struct slice sections = {b->record.data + from, b->record.size - from};
    return b->record.overflow ? ERR_REJECTED : apply_sections(b->next, sections);
}

enum err buffer_keep(struct buffer *b, const struct buffer_write *write,
                     struct buffer_changes *ret_changes, struct why *why)
{
    const struct buffer_write deliveries = {.dones = write->dones,
                                            .done_count = write->done_count,
                                            .ends = write->ends,
                                            .end_count = write->end_count,
                                            .parcels = write->parcels,
                                            .parcel_count = write->parcel_count};
    enum err e = keep_apply(b, &deliveries);
    if (!e && b->moved_aside) { /* what was delivered does not come over from the damaged file */
        damage_split_write(b, &deliveries);
        e = keep_apply(b, &deliveries);
    }
    if (e) {
        why_set(why, "what was delivered can't be kept in memory");
        return ERR_FULL;
    }
    struct state *old = b->state;
    b->state = b->next;
    b->next = old;
    b->unsaved++;
    keep_damaged(b);
    buffer_state(b, ret_changes);
    return ERR_OK;
}
