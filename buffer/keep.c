/* What is delivered while nothing can be written: remembered in memory, and written as a whole with
 * the next commit that succeeds. */
#include "buffer/evict.h"

enum err buffer_keep(struct buffer *b, const struct buffer_write *write,
                     struct buffer_changes *ret_changes, struct why *why)
{
    struct record_writer writer;
    struct buffer_write deliveries = {.dones = write->dones,
                                      .done_count = write->done_count,
                                      .ends = write->ends,
                                      .end_count = write->end_count,
                                      .parcels = write->parcels,
                                      .parcel_count = write->parcel_count};
    state_copy(b->next, b->state);
    b->next->commit++;
    b->record.size = 0;
    b->record.overflow = false;
    record_begin(&writer, &b->record, b->state->generation, b->next->commit, false);
    loss_of_damaged(b, &writer);
    size_t from = b->record.size;
    record_put_write(&writer, &deliveries);
    struct slice sections = {b->record.data + from, b->record.size - from};
    enum err e = b->record.overflow ? ERR_REJECTED : apply_sections(b->next, sections);
    if (e) {
        why_set(why, "what was delivered can't be kept in memory");
        return ERR_FULL;
    }
    struct state *old = b->state;
    b->state = b->next;
    b->next = old;
    b->unsaved++;
    b->damaged_count = 0; /* told with the commit that succeeds, or found again */
    buffer_state(b, ret_changes);
    return ERR_OK;
}
