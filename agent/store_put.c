#include <assert.h>
#include <string.h>

#include "agent/store_impl.h"

void store_stretch(struct store *store, uint32_t thousandths)
{
    assert(thousandths >= 1000);
    store->stretch = thousandths;
}

int64_t store_stretched_ms(const struct store *store, int64_t wait_ms, int64_t most_ms)
{
    int64_t longer_ms = wait_ms * store->stretch / 1000;
    longer_ms = longer_ms < most_ms ? longer_ms : most_ms;
    return longer_ms > wait_ms ? longer_ms : wait_ms;
}

static void store_set_due(struct store *store, int64_t wait_ms)
{
    struct batch_memory *b = store->open;
    uint64_t due = loop_now_ms(store->setup.loop) + (uint64_t)wait_ms;
    b->has_any = true;
    if (due >= b->due_ms) {
        return;
    }
    b->due_ms = due;
    if (!store->busy) {
        /* 0: on the next turn, so that what belongs together goes together. */
        timer_arm(&store->due, (uint64_t)wait_ms);
    }
}

static bool batch_has_room(const struct batch_memory *b, size_t size)
{
    return b->write.event_count < WRITE_EVENT_MAX - TOLD_MAX &&
           b->frame_size + EVENT_FRAME_SIZE + TOLD_MAX * EVENT_FRAME_SIZE <= FRAME_SIZE_MAX &&
           (b->event_size + size <= WRITE_SIZE_MAX || b->write.event_count == 0);
}

static bool batch_has_room_for_cursor(const struct batch_memory *b, size_t size)
{
    return b->write.cursor_count < CURSOR_MAX && b->cursor_size + size <= CURSOR_BYTES_MAX &&
           b->frame_size + size + CURSOR_FRAME_SIZE + TOLD_MAX * EVENT_FRAME_SIZE <= FRAME_SIZE_MAX;
}

static bool batch_has_room_for_forward(const struct batch_memory *b, size_t size)
{
    return b->forward_size + size <= FORWARD_SIZE_MAX;
}

bool store_is_full(const struct store *store, uint16_t stream, size_t size)
{
    size_t wanted = store->dropping[stream] && size < ROOM_AGAIN ? ROOM_AGAIN : size;
    return !store->failing && store->pending_size + wanted > store->room[stream];
}

enum err store_room(const struct store *store, uint16_t stream, size_t size)
{
    assert(stream >= 1 && stream <= STREAM_COUNT_MAX);
    if (store->failing || store_is_full(store, stream, size)) {
        return ERR_FULL;
    }
    return batch_has_room(store->open, size) || store_may_begin(store) ? ERR_OK : ERR_FULL;
}

enum err store_open_room(struct store *store, size_t size)
{
    const struct batch_memory *b = store->open;
    bool fits = batch_has_room(b, size) &&
                batch_has_room_for_cursor(b, CURSOR_SIZE_MAX + EVENT_FRAME_SIZE) &&
                b->write.aside_count < ASIDE_MAX &&
                b->aside_size + ASIDE_SIZE_MAX <= ASIDE_BYTES_MAX;
    if (!fits && store_may_begin(store)) {
        store_begin(store);
        fits = true;
    }
    return fits ? ERR_OK : ERR_FULL;
}

void store_event_put(struct store *store, const struct stored_event *event, int64_t wait_ms,
                     uint64_t *ret_commit, uint64_t *ret_sequence)
{
    struct batch_memory *b = store->open;
    assert(b->write.event_count < WRITE_EVENT_MAX);
    struct stored_event *copy = &b->events[b->write.event_count++];
    *copy = *event;
    copy->sequence = store->sequence_next[event->stream]++;
    copy->datum.data = b->datums.data + b->datums.size;
    out_put_slice(&b->datums, event->datum);
    assert(!b->datums.overflow);
    b->event_size += event->datum.size;
    b->frame_size += EVENT_FRAME_SIZE;
    store->pending_size += event->datum.size;
    store_set_due(store, wait_ms);
    *ret_commit = b->commit;
    *ret_sequence = copy->sequence;
    if (b->event_size >= WRITE_SIZE_MAX) {
        store_set_due(store, 0);
    }
}

void store_skip_put(struct store *store, const struct stored_event *event, int64_t wait_ms,
                    uint64_t *ret_commit)
{
    struct batch_memory *b = store->open;
    struct stored_event *last = b->write.event_count ? &b->events[b->write.event_count - 1] : NULL;
    store->dropping[event->stream] = true;
    if (last && last->stream == event->stream && last->dropped > 0) {
        last->dropped++;
    } else {
        assert(b->write.event_count < WRITE_EVENT_MAX);
        b->events[b->write.event_count++] =
            (struct stored_event){.stream = event->stream,
                                  .schema = event->schema,
                                  .sequence = store->sequence_next[event->stream],
                                  .dropped = 1};
        b->frame_size += EVENT_FRAME_SIZE;
    }
    store->sequence_next[event->stream]++;
    store_set_due(store, wait_ms);
    *ret_commit = b->commit;
}

/* Is there a place in the open batch, or can it be sent off so that there is one? */
static bool store_place(struct store *store, bool fits)
{
    if (!fits && store_may_begin(store)) {
        store_begin(store);
        fits = true;
    }
    return fits;
}

enum err store_cursor_put(struct store *store, const struct cursor_change *change, int64_t wait_ms,
                          uint64_t *ret_commit)
{
    assert(change->value.size <= CURSOR_SIZE_MAX);
    bool fits = batch_has_room_for_cursor(store->open, change->value.size);
    /* The last word on a cursor counts: one in the batch already is written over when it has the
     * same size. */
    struct batch_memory *b = store->open;
    for (size_t i = b->write.cursor_count; i > 0 && b->write.cursor_count - i < 8; i--) {
        struct cursor_change *known = &b->cursors[i - 1];
        if (known->driver == change->driver && known->key == change->key &&
            known->value.size == change->value.size && change->value.size) {
            memcpy(b->cursor_bytes + (known->value.data - b->cursor_bytes), change->value.data,
                   change->value.size);
            store_set_due(store, wait_ms);
            *ret_commit = b->commit;
            return ERR_OK;
        }
    }
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    b = store->open;
    struct cursor_change *copy = &b->cursors[b->write.cursor_count++];
    *copy = *change;
    copy->value.data = b->cursor_bytes + b->cursor_size;
    if (change->value.size) {
        memcpy(b->cursor_bytes + b->cursor_size, change->value.data, change->value.size);
    }
    b->cursor_size += change->value.size;
    b->frame_size += change->value.size + CURSOR_FRAME_SIZE;
    store_set_due(store, wait_ms);
    *ret_commit = b->commit;
    return ERR_OK;
}

static struct slice aside_copy(struct batch_memory *b, struct slice s, size_t size_max)
{
    size_t size = s.size < size_max ? s.size : size_max;
    uint8_t *to = b->aside_bytes + b->aside_size;
    if (size) {
        memcpy(to, s.data, size);
    }
    b->aside_size += size;
    return (struct slice){to, size};
}

enum err store_aside_put(struct store *store, const struct aside *aside, int64_t wait_ms,
                         uint64_t *ret_commit)
{
    size_t size = aside->source.size + aside->reason.size + aside->head.size + aside->body.size;
    size = size < ASIDE_SIZE_MAX ? size : ASIDE_SIZE_MAX;
    assert(aside->head.size <= ASIDE_HEAD_SIZE_MAX);
    bool fits = store->open->write.aside_count < ASIDE_MAX &&
                store->open->aside_size + size <= ASIDE_BYTES_MAX;
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    struct batch_memory *b = store->open;
    struct aside *copy = &b->asides[b->write.aside_count++];
    *copy = *aside;
    copy->source = aside_copy(b, aside->source, EVENT_SUBJECT_SIZE_MAX);
    copy->reason = aside_copy(b, aside->reason, REASON_SIZE_MAX);
    copy->head = aside_copy(b, aside->head, ASIDE_HEAD_SIZE_MAX);
    copy->body = aside_copy(b, aside->body, ASIDE_BODY_SIZE_MAX);
    store_set_due(store, wait_ms);
    *ret_commit = b->commit;
    return ERR_OK;
}

static int64_t delivery_wait_ms(const struct store *store)
{
    return store->state.file_is_tight
               ? 0
               : store_stretched_ms(store, store->setup.commit_interval_ms, STORE_STRETCH_MS);
}

enum err store_done_put(struct store *store, const struct part_done *done, uint64_t *ret_mark)
{
    /* A parcel put earlier into this batch is applied behind all dones: a done of the same slot has
     * to come later. */
    bool fits = store->open->write.done_count < DONE_MAX &&
                batch_has_room_for_forward(store->open, DONE_SIZE);
    for (size_t i = 0; i < store->open->write.parcel_count; i++) {
        const struct parcel *p = &store->open->parcels[i];
        fits = fits &&
               !(p->uplink == done->uplink && p->stream == done->stream && p->lane == done->lane);
    }
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    store->open->dones[store->open->write.done_count++] = *done;
    store->open->forward_size += DONE_SIZE;
    store_set_due(store, delivery_wait_ms(store));
    *ret_mark = store->open->mark;
    store_keep_soon(store);
    return ERR_OK;
}

enum err store_end_put(struct store *store, const struct owed_end *end, uint64_t *ret_mark)
{
    bool fits =
        store->open->write.end_count < END_MAX && batch_has_room_for_forward(store->open, END_SIZE);
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    store->open->ends[store->open->write.end_count++] = *end;
    store->open->forward_size += END_SIZE;
    store_set_due(store, delivery_wait_ms(store));
    *ret_mark = store->open->mark;
    store_keep_soon(store);
    return ERR_OK;
}

size_t parcel_record_size(const struct parcel *parcel)
{
    return PARCEL_SIZE + strlen(parcel->target) + strlen(parcel->cluster_id) +
           strlen(parcel->type) + PART_SIZE * (size_t)parcel->part_count;
}

static enum err parcel_put(struct store *store, const struct parcel *parcel, bool is_halved,
                           uint64_t *ret_mark)
{
    size_t size = parcel_record_size(parcel);
    bool fits = store->open->write.parcel_count < PARCEL_MAX &&
                batch_has_room_for_forward(store->open, size);
    if (!store_place(store, fits)) {
        return ERR_FULL;
    }
    struct batch_memory *b = store->open;
    b->forward_size += size;
    size_t index = b->write.parcel_count++;
    b->parcels[index] = *parcel;
    b->parcel_pointers[index] = &b->parcels[index];
    b->parcel_halved[index] = is_halved;
    store_set_due(store, 0);
    *ret_mark = b->mark;
    store_keep_soon(store);
    return ERR_OK;
}

enum err store_parcel_put(struct store *store, const struct parcel *parcel, uint64_t *ret_mark)
{
    return parcel_put(store, parcel, false, ret_mark);
}

enum err store_parcel_put_halved(struct store *store, const struct parcel *parcel,
                                 uint64_t *ret_mark)
{
    return parcel_put(store, parcel, true, ret_mark);
}

void store_parcel_withdraw(struct store *store, const struct parcel *parcel)
{
    struct batch_memory *b = store->open;
    for (size_t i = 0; i < b->write.parcel_count; i++) {
        const struct parcel *put = &b->parcels[i];
        if (put->uplink == parcel->uplink && put->stream == parcel->stream &&
            put->lane == parcel->lane) {
            b->write.parcel_count--;
            memmove(&b->parcels[i], &b->parcels[i + 1],
                    (b->write.parcel_count - i) * sizeof b->parcels[0]);
            memmove(&b->parcel_halved[i], &b->parcel_halved[i + 1],
                    (b->write.parcel_count - i) * sizeof b->parcel_halved[0]);
            return;
        }
    }
    assert(false); /* a parcel waits in the open batch, or is committed */
}

enum err store_remote_put(struct store *store, const struct remote_id *remote, uint64_t *ret_commit)
{
    assert(remote->id.size >= 1 && remote->id.size <= REMOTE_ID_SIZE_MAX);
    if (!store_place(store, store->open->write.remote_count < REMOTE_MAX)) {
        return ERR_FULL;
    }
    struct batch_memory *b = store->open;
    size_t index = b->write.remote_count++;
    memcpy(b->remote_bytes[index], remote->id.data, remote->id.size);
    b->remotes[index] = *remote;
    b->remotes[index].id.data = b->remote_bytes[index];
    store_set_due(store, store->setup.commit_interval_ms);
    *ret_commit = b->commit;
    return ERR_OK;
}

enum err store_boot_put(struct store *store, const struct boot_offset *boot, uint64_t *ret_commit)
{
    if (!store_place(store, store->open->write.boot_count < BOOT_MAX)) {
        return ERR_FULL;
    }
    store->open->boots[store->open->write.boot_count++] = *boot;
    store_set_due(store, 0);
    *ret_commit = store->open->commit;
    return ERR_OK;
}

enum err store_order_put(struct store *store, struct buffer_order *order, uint64_t *ret_commit)
{
    if (!store_place(store, store->open->write.order_count < ORDER_MAX)) {
        return ERR_FULL;
    }
    store->open->orders[store->open->write.order_count++] = order;
    store_set_due(store, 0);
    *ret_commit = store->open->commit;
    return ERR_OK;
}

enum err store_run_room(struct store *store, uint16_t stream, size_t size, size_t count)
{
    const struct batch_memory *b = store->open;
    if (store->failing || store->pending_size + size > store->room[stream]) {
        return ERR_FULL;
    }
    bool fits = batch_has_room(b, size) &&
                b->write.event_count + count <= WRITE_EVENT_MAX - TOLD_MAX &&
                batch_has_room_for_cursor(b, CURSOR_SIZE_MAX + count * EVENT_FRAME_SIZE);
    return store_place(store, fits) ? ERR_OK : ERR_FULL;
}

enum err store_gap_room(const struct store *store, size_t size)
{
    const struct batch_memory *b = store->open;
    bool fits = b->write.event_count < WRITE_EVENT_MAX && b->write.gap_told_count < TOLD_MAX &&
                b->event_size + size <= WRITE_SIZE_MAX + TOLD_SIZE_MAX;
    return fits && !store->busy && !store->caring ? ERR_OK : ERR_FULL;
}

enum err store_gap_told_put(struct store *store, uint32_t number, uint64_t *ret_commit)
{
    if (!store_place(store, store->open->write.gap_told_count < TOLD_MAX)) {
        return ERR_FULL;
    }
    store->open->told[store->open->write.gap_told_count++] = number;
    store_set_due(store, store->setup.commit_interval_ms);
    *ret_commit = store->open->commit;
    return ERR_OK;
}
