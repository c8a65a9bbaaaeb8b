/* The store: the loop's side of the buffer. It gathers what the next commit shall carry (the open
 * write batch), hands it to the store worker when it is due (BUFFER: commit policy), keeps it and
 * tries again when the commit fails, and tells what has become durable. Two batches at most: one
 * being committed, one being filled. Loop thread.
 *
 * Everything that is put gets the number of the commit that will carry it. `committed()` with a
 * number n means that all commits up to and including n are durable.
 *
 * What the forward side puts of deliveries (done, end, parcel) gets a mark instead. `recorded()` with
 * a mark m means that all up to and including m are on record: durable, or, while commits have been
 * failing for long, in the buffer's memory (store_unsaved()), but for what needs the disk
 * (store_needs_disk()). */
#ifndef WEIR_AGENT_STORE_H
#define WEIR_AGENT_STORE_H

#include "buffer/buffer.h"
#include "ports/worker.h"

struct store;

struct store_handler {
    /* A commit is durable. `changes` is valid during the call. */
    void (*committed)(void *context, uint64_t commit, const struct buffer_changes *changes);
    void (*recorded)(void *context, uint64_t mark, const struct buffer_changes *changes);
    /* Commits fail (why) or work again (NULL); called when that changes. */
    void (*trouble)(void *context, const struct why *why);
    void *context;
};

#define STORE_HANDLER_MAX 5 /* called in the order in which they were added */

/* Takes an open buffer, which is closed by store_close(). ack_interval etc. in milliseconds. */
struct store_setup {
    struct loop *loop;
    struct worker *worker; /* the store worker */
    struct buffer *buffer;
    int64_t commit_interval_ms;
    int64_t retry_ms;            /* after a failed commit: 5000 */
    const struct why *read_only; /* why the buffer is open for reading only; NULL: it is not */
    /* Is the wall clock to be believed? NULL: never. Until it is nothing is too old. */
    bool (*clock_is_trusted)(void *context);
    void *context;
};
enum err store_open(struct store **ret, const struct store_setup *setup) MUST_USE;
void store_close(struct store *store);
enum err store_handler_add(struct store *store, const struct store_handler *handler) MUST_USE;

/* The state after the last commit; valid until the next committed(). */
const struct buffer_changes *store_state(const struct store *store);

/* Room for a datum of this size of this stream in the open batch? ERR_FULL: not now (no room in the
 * buffer, commits fail, or both batches are busy); committed() will come. */
enum err store_room(const struct store *store, uint16_t stream, size_t size) MUST_USE;
/* After ERR_FULL: is it the buffer that has no room for the stream, rather than that it has to be
 * waited for? Then, with FULL_DROP_NEWEST, the event is dropped: store_skip_put(). */
bool store_is_full(const struct store *store, uint16_t stream, size_t size);
/* What has to be in one commit is put without a turn of the loop between, after this: the open
 * batch takes one more event of this size, one set-aside event, and one cursor; it is sent off
 * first if it can't. ERR_FULL: it can't be sent off now; committed() will come. */
enum err store_open_room(struct store *store, size_t size) MUST_USE;
/* Copies the event into the open batch under the stream's next sequence, which is written to
 * *ret_sequence. wait_ms: how long the event may wait for its commit: 0 at once, ack_interval, or
 * commit_interval. Only after store_room() and store_open_room() for its size (events about gaps:
 * store_gap_room()). */
void store_event_put(struct store *store, const struct stored_event *event, int64_t wait_ms,
                     uint64_t *ret_commit, uint64_t *ret_sequence);
/* The event that would have come next is dropped and counted; it has a sequence. More of the stream
 * are dropped until there is some room again, so that holes are few. Only after store_is_full() and
 * store_open_room(). */
void store_skip_put(struct store *store, const struct stored_event *event, int64_t wait_ms,
                    uint64_t *ret_commit);
/* These copy their argument and never fail for want of room (each kind has a bound that the callers
 * keep; see store.c), so that the forward side can always report. */
enum err store_cursor_put(struct store *store, const struct cursor_change *change, int64_t wait_ms,
                          uint64_t *ret_commit) MUST_USE;
enum err store_aside_put(struct store *store, const struct aside *aside, int64_t wait_ms,
                         uint64_t *ret_commit) MUST_USE;
/* Rides along: within commit_interval, or at once when the file is tight. */
enum err store_done_put(struct store *store, const struct part_done *done,
                        uint64_t *ret_mark) MUST_USE;
enum err store_end_put(struct store *store, const struct owed_end *end,
                       uint64_t *ret_mark) MUST_USE;
/* At once. */
enum err store_parcel_put(struct store *store, const struct parcel *parcel,
                          uint64_t *ret_mark) MUST_USE;
/* The same of a parcel whose parts were halved: their numbers may be those that a part on the disk has,
 * which the next life would send under them. It is never on record in memory only. */
enum err store_parcel_put_halved(struct store *store, const struct parcel *parcel,
                                 uint64_t *ret_mark) MUST_USE;
/* Takes a parcel that was put out of the open batch, as if it had not been: within committed()
 * or recorded() every parcel that is not on record yet is there. */
void store_parcel_withdraw(struct store *store, const struct parcel *parcel);
enum err store_remote_put(struct store *store, const struct remote_id *remote,
                          uint64_t *ret_commit) MUST_USE;
enum err store_boot_put(struct store *store, const struct boot_offset *boot,
                        uint64_t *ret_commit) MUST_USE;
/* At once. Not copied: it stays until the commit, which fills in what it came to. */
enum err store_order_put(struct store *store, struct buffer_order *order,
                         uint64_t *ret_commit) MUST_USE;
/* As store_room() and store_open_room(), for `count` events of `size` bytes together and a cursor,
 * all in one commit. */
enum err store_run_room(struct store *store, uint16_t stream, size_t size, size_t count) MUST_USE;

/* Room for one more event about a gap, this large, in a commit that follows store_state() directly,
 * so that the gap can't have grown in between? Some room is kept free for these in every batch.
 * ERR_FULL: not now; committed() will come. Then, without a turn of the loop between:
 * store_gap_told_put(), which can't fail, and store_event_put(). */
enum err store_gap_room(const struct store *store, size_t size) MUST_USE;
enum err store_gap_told_put(struct store *store, uint32_t number, uint64_t *ret_commit) MUST_USE;

/* To spare the flash, what may wait for a commit waits longer from now on: in thousandths, from 1000
 * on. */
void store_stretch(struct store *store, uint32_t thousandths);
/* So long it then waits, at most `most_ms` unless it would have waited longer anyway: a source that
 * waits for its acknowledgement STORE_STRETCH_ACK_MS, others STORE_STRETCH_MS. */
#define STORE_STRETCH_ACK_MS 5000
#define STORE_STRETCH_MS 600000
int64_t store_stretched_ms(const struct store *store, int64_t wait_ms, int64_t most_ms);
/* Commits what is there now, even if it is only waiting for more. */
void store_commit_now(struct store *store);
/* The number of the last durable commit. */
uint64_t store_committed(const struct store *store);
/* The number of the commit that carries what was put last. */
uint64_t store_last_put(const struct store *store);
/* Is nothing waiting or being committed? */
bool store_is_idle(const struct store *store);
/* How often deliveries were put on record in memory only, since the last commit. */
uint64_t store_unsaved(const struct store *store);
/* Is something of this uplink and stream put and not durable that is not to be on record in memory
 * only: an event that the uplink refused, halves? Then nothing of the two is, until a commit
 * succeeds. */
bool store_needs_disk(const struct store *store, uint16_t uplink, uint16_t stream);
/* Do commits fail, or is the buffer open for reading only? */
bool store_is_failing(const struct store *store);
/* Why sources have to wait or soon may: commits fail, the disk is full. "": all is well. */
const char *store_trouble(const struct store *store);

/* The buffer, for jobs on the store worker (buffer_read) and what is constant after opening. */
struct buffer *store_buffer(const struct store *store);
struct worker *store_worker(const struct store *store);

#endif
