/* What the files of a flow share: flow.c decides the next step, flow_parcel.c keeps the open parcel
 * and what is owed, flow_work.c has rows read and packed, flow_answer.c acts on what an uplink
 * said, flow_recut.c on what was cut for an uplink of another type. */
#ifndef WEIR_AGENT_FLOW_IMPL_H
#define WEIR_AGENT_FLOW_IMPL_H

#include "agent/flow.h"

/* --- flow_parcel.c --- */
struct store *flow_store(const struct flow *flow);
const char *flow_part_name(const struct flow *flow);
/* Begins nothing new for that long. */
void flow_hold(struct flow *flow, int64_t wait_ms);
void batch_release(struct flow *flow, struct flow_batch *fb);
void flow_drop_batches(struct flow *flow);
uint32_t flow_index_of(const struct flow *flow, const struct flow_batch *fb);
/* Takes over the packed bytes of a part, which may be sent now. */
enum err flow_batch_put(struct flow *flow, uint32_t index, struct packed_part *packed,
                        const struct schema_info *schema) MUST_USE;
/* It has no parcel any more, or has one. */
void flow_parcel_set(struct flow *flow, bool has_parcel);
/* The parcel as it is now. ERR_FULL: asked again after the store's commit. */
enum err flow_parcel_put(struct flow *flow, uint64_t *ret_mark) MUST_USE;
/* The part at `index` needs no sending any more. False: the store has no room for the word; asked
 * again after its commit. */
bool flow_part_end(struct flow *flow, uint32_t index) MUST_USE;

/* --- flow_work.c --- */
/* Raw bytes of a new parcel, at most: what one request may have. */
size_t flow_raw_size_max(const struct flow *flow);
void flow_want(struct flow *flow, enum flow_task task, uint32_t part);

/* "agent id/incarnation" of the stream's event, and of all up to the sequence that is returned. */
uint64_t flow_identity(const struct flow *flow, uint64_t sequence, char ret[FLOW_IDENTITY_SIZE]);
/* The incarnation alone. */
uint32_t flow_incarnation(const struct flow *flow, uint64_t sequence);

/* False: the store has no room for the word; tried again after a pause. */
bool flow_end_range(struct flow *flow, struct range range);

/* --- flow_recut.c --- */
/* The open parcel is another type's, or was placed by one: it is never sent as it is. */
void flow_is_foreign(struct flow *flow);
/* It was: what went out under its numbers may be at both destinations. */
void flow_recut_count(struct flow *flow, const struct parcel *before);
/* The next step of a foreign parcel: what is not done of it is cut anew, as a parcel of this type. */
void flow_recut(struct flow *flow);
/* What is to be cut now. False: nothing of it is owed any more. */
bool flow_recut_range(const struct flow *flow, struct range *ret);

/* --- flow_link.c --- */
/* May a parcel be opened? False: flow_advance() is called again when it may. */
bool flow_link_may_open(struct flow *flow);
/* It is. */
void flow_link_open(struct flow *flow);
/* One could be, but it has to wait for the other lane; or has not any more. */
void flow_link_give_way(struct flow *flow, bool gives_way);
/* May anything of its priority go at all? False: flow_advance() is called again when it may. */
bool flow_link_passes(const struct flow *flow);
/* May what is built be sent? Then it is held against the link by its size. */
bool flow_link_may_send(struct flow *flow);
/* Gives back what is held for a parcel that is over. */
void flow_link_settle(struct flow *flow);

/* --- flow_answer.c --- */
/* Sets one row aside. False: the store has no room for it now, or the disk takes nothing. */
bool flow_aside_row(struct flow *flow, const struct stored_event *row, const char *reason) MUST_USE;
void flow_worked_aside(struct flow *flow, const struct pack_task *task);
void flow_worked_halve(struct flow *flow, const struct pack_task *task);

#endif
