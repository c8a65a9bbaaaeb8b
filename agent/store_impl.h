/* What store.c (when a commit is due, and what becomes of it) and store_put.c (what goes into it)
 * share. */
#ifndef WEIR_AGENT_STORE_IMPL_H
#define WEIR_AGENT_STORE_IMPL_H

#include <assert.h>

#include "agent/store.h"
#include "ports/event.h"

/* Everything of a commit goes into one record of the buffer, which takes RECORD_SIZE_MAX and half
 * as much again beside its largest event: else the same commit would be tried for ever. Datums have
 * WRITE_SIZE_MAX and TOLD_SIZE_MAX, what stands around them and cursors FRAME_SIZE_MAX, deliveries
 * and parcels FORWARD_SIZE_MAX. */
#define FRAME_SIZE_MAX (56 * 1024)
#define FORWARD_SIZE_MAX (48 * 1024)
/* Bytes of the record, at most, beside the value itself. */
#define EVENT_FRAME_SIZE 20
#define CURSOR_FRAME_SIZE 20
#define DONE_SIZE 20
#define END_SIZE 36
#define PARCEL_SIZE 96
#define PART_SIZE 60
#define ROOM_AGAIN (WRITE_SIZE_MAX / 2) /* for a stream that drops what comes */
#define CURSOR_MAX WRITE_EVENT_MAX
#define CURSOR_BYTES_MAX FRAME_SIZE_MAX
#define DONE_MAX 256
#define END_MAX 256
#define PARCEL_MAX 32
#define ASIDE_MAX 64
#define ASIDE_BYTES_MAX (256 * 1024)
#define ASIDE_SIZE_MAX \
    (ASIDE_BODY_SIZE_MAX + ASIDE_HEAD_SIZE_MAX + REASON_SIZE_MAX + EVENT_SUBJECT_SIZE_MAX)
#define REMOTE_MAX 64
#define BOOT_MAX 4
#define TOLD_MAX 64
#define ORDER_MAX 64
#define STORE_DISK_FULL \
    "the disk is full, the buffer can't grow: free room on it; sources may have to wait, or old " \
    "events give way"
#define TOLD_SIZE_MAX (16 * 1024) /* kept free for events about gaps, beside WRITE_SIZE_MAX */

static_assert(WRITE_SIZE_MAX + TOLD_SIZE_MAX + FRAME_SIZE_MAX + FORWARD_SIZE_MAX + 8 * 1024 <=
                  RECORD_SIZE_MAX + RECORD_SIZE_MAX / 2,
              "the fullest batch fits a record, with drops and counts beside it");
static_assert(ASIDE_BYTES_MAX >= 2 * ASIDE_SIZE_MAX,
              "a set-aside event always fits an empty batch");

/* What one commit carries. The arrays are the store's; buffer_write points at them. */
struct batch_memory {
    uint64_t commit;
    uint64_t mark;
    bool has_any;
    uint64_t due_ms;
    size_t event_size;   /* datums */
    size_t frame_size;   /* of the record: around the datums, and cursors */
    size_t forward_size; /* of the record: deliveries and parcels */
    struct stored_event events[WRITE_EVENT_MAX];
    struct out datums;
    struct cursor_change cursors[CURSOR_MAX];
    uint8_t cursor_bytes[CURSOR_BYTES_MAX];
    size_t cursor_size;
    struct part_done dones[DONE_MAX];
    struct owed_end ends[END_MAX];
    struct parcel parcels[PARCEL_MAX];
    const struct parcel *parcel_pointers[PARCEL_MAX];
    bool parcel_halved[PARCEL_MAX]; /* not to be on record in memory only */
    struct aside asides[ASIDE_MAX];
    uint8_t aside_bytes[ASIDE_BYTES_MAX];
    size_t aside_size;
    struct remote_id remotes[REMOTE_MAX];
    uint8_t remote_bytes[REMOTE_MAX][REMOTE_ID_SIZE_MAX];
    struct boot_offset boots[BOOT_MAX];
    uint32_t told[TOLD_MAX];
    struct buffer_order *orders[ORDER_MAX];
    struct buffer_write write;
};

struct store {
    struct store_setup setup;
    struct store_handler handlers[STORE_HANDLER_MAX];
    size_t handler_count;
    struct batch_memory *open; /* being filled */
    struct batch_memory *busy; /* being committed, or waiting to be tried again; NULL: none */
    struct batch_memory *spare;
    struct batch_memory *memory[2];
    struct job job;
    bool running; /* the job is with the worker */
    struct job care_job;
    bool caring; /* that one is with the worker */
    enum err care_result;
    struct why care_why;
    struct timer care;
    enum err result;
    struct why why;
    struct buffer_changes from_buffer;
    bool failing;
    enum err said;      /* while it fails: what was logged last, */
    struct why trouble; /* in these words */
    struct job look;    /* is there room on the disk again? never beside a commit */
    bool looking;
    uint64_t fail_count;      /* in a row */
    uint64_t marks;           /* the highest */
    struct keep_memory *keep; /* store_keep.c */
    struct timer keep_timer;
    bool keeping;    /* its job is with the worker */
    bool keep_waits; /* it has something that is not kept yet */
    bool disk_full_said;
    struct timer due;
    struct timer retry;
    struct timer age; /* looks whether something is too old */
    uint64_t committed;
    uint64_t recorded; /* the mark of the last commit */
    uint64_t sequence_next[STREAM_COUNT_MAX + 1];
    uint32_t stretch;                    /* of waiting, in thousandths */
    size_t pending_size;                 /* datums admitted and not committed */
    bool dropping[STREAM_COUNT_MAX + 1]; /* until room is ROOM_AGAIN */
    struct buffer_changes state; /* copies: the buffer changes its own while the next commit runs */
    struct owed *owed;
    size_t owed_max;
    struct gap gaps[GAP_COUNT_MAX];
    uint32_t room[STREAM_COUNT_MAX + 1];
    struct stream_state streams[STREAM_COUNT_MAX + 1];
};

/* The open batch goes to the worker, if nothing is there. */
void store_begin(struct store *store);
/* Is the worker at something of ours? Then nothing else is begun. */
static inline bool store_is_working(const struct store *store)
{
    return store->running || store->looking || store->keeping || store->caring;
}
/* Can the open batch be sent off now? */
static inline bool store_may_begin(const struct store *store)
{
    return !store->busy && !store_is_working(store);
}
void store_take_state(struct store *store);
void store_say_recorded(struct store *store, uint64_t mark);

/* --- store_keep.c --- */
struct keep_memory;
enum err store_keep_open(struct store *store) MUST_USE;
void store_keep_close(struct store *store);
/* Are deliveries kept in memory now, because the disk takes nothing? */
bool store_keeps(const struct store *store);
/* As if commits had been failing for long. */
void store_keep_begin(struct store *store, const struct why *why);
/* Bytes of the record, at most. */
size_t parcel_record_size(const struct parcel *parcel);
/* What could not be kept goes back into the batch that failed, and with its next commit. False: there is
 * no room for it there. */
bool store_keep_return(struct store *store);
/* There may be something to keep. */
void store_keep_soon(struct store *store);

void store_say_committed(struct store *store);
void store_begin_if_due(struct store *store);

/* --- store_care.c --- */
void store_care_open(struct store *store);
void store_care_close(struct store *store);
/* After a commit: it may have begun a salvage. */
void store_care_soon(struct store *store, bool salvaged_before);

#endif
