/* Pack: rows of the buffer become the bytes of a parcel's parts. One workspace, used for one parcel
 * at a time; its memory is sized at open. pack_read() runs on the store worker, pack_build() on the
 * pack worker, everything else on the loop.
 *
 * Packing is a pure function of the rows, the parcel and the settings: a parcel that is packed
 * again, after a crash too, has the same events in the same records. Limits of sizes are for the
 * cut: what was cut once is packed again in any case, though settings have changed. */
#ifndef WEIR_AGENT_PACK_H
#define WEIR_AGENT_PACK_H

#include "agent/forward.h"
#include "agent/key.h"

#define PACK_RAW_SIZE_MAX (512 * 1024) /* datums of one parcel, unless a single event is larger */
#define PACK_EVENT_MAX 8192            /* events of one parcel */
#define PACK_WIRE_SIZE_MAX (1024 * 1024 + 64 * 1024)
/* A part that is packed again may have grown, by other settings: to as much as all its events with the
 * most that an uplink has around each. Such memory is taken only when it is needed. */
#define PACK_AGAIN_SIZE_MAX (64 * PACK_WIRE_SIZE_MAX)

struct columns_plan;
struct pack;

/* What comes out for one part. */
struct packed_part {
    uint8_t *wire; /* malloc'd; the caller takes it over */
    size_t wire_size;
    size_t raw_size; /* of its messages, before compression */
    uint32_t event_count;
    uint32_t record_count;
    uint32_t events_per_record;
};

enum pack_outcome {
    PACK_BUILT, /* parts[] of the wanted parts are filled */
    PACK_EMPTY, /* nothing is left in the range: `covered` needs no sending */
    /* The event at `bad_sequence`, which stands first, can't be sent at all: bad_reason; set it
     * aside. Nothing was built. */
    PACK_EVENT_BAD,
    /* A row belongs to no part of a parcel that exists already: it was placed by another type of
     * uplink. Nothing was built. */
    PACK_MISPLACED,
    PACK_NO_CLOCK, /* the first event's arrival time is not known yet: ask again later */
    PACK_FAILED,   /* e, why: reading failed, or no memory */
};

/* One task of the workspace. */
struct pack_task {
    /* in */
    const struct forward_uplink *uplink;
    const struct forward_stream *stream;
    const struct schema_info *schema; /* of the rows */
    const struct avro_node *record;   /* the same, parsed; NULL: it can't be */
    const struct columns_plan *plan;  /* COLUMNS: of the same */
    struct key key;                   /* with a parcel that exists: what its `key` says */
    struct key tombstone;             /* the field that makes an event a tombstone */
    const char *agent_key;            /* the key with PARCEL_KEY_AGENT */
    const char *identity;             /* agent id/incarnation, for {id} fields */
    struct target target;
    struct range range; /* what to read: owed, or the hull of the wanted parts */
    size_t raw_size_max;
    uint32_t event_max; /* 0: PACK_EVENT_MAX */
    bool cut; /* a new parcel: *parcel gets its range and parts; else the wanted parts are built */
    bool wanted[PARCEL_PART_MAX];
    struct parcel *parcel;
    /* out */
    enum pack_outcome outcome;
    enum err e;
    struct why why;
    struct range covered;
    uint64_t bad_sequence;
    char bad_reason[REASON_SIZE_MAX];
    bool more; /* the range holds more than was taken */
    struct packed_part parts[PARCEL_PART_MAX];
};

enum err pack_open(struct pack **ret) MUST_USE;
void pack_close(struct pack *pack);

/* Reads task->range into the workspace; the schema of the rows is in pack_schema(). */
void pack_read(struct pack *pack, struct buffer *buffer, struct pack_task *task);
/* The same with rows that come from elsewhere than a buffer, at most PACK_EVENT_MAX, one behind the
 * other; their datums stay until the task is built. For `weir plan`. */
void pack_lend(struct pack *pack, const struct stored_event *events, size_t count,
               struct pack_task *task);
/* The buffer's number of the schema of the rows that were read; 0: none were. */
uint32_t pack_schema(const struct pack *pack);
void pack_build(struct pack *pack, struct pack_task *task);
/* Frees the wire bytes that nobody took over. */
void pack_drop_built(struct pack_task *task);

/* --- the rows of the workspace, after pack_read(): for halving a part and for setting its events
 * aside --- */

/* Completes datums and keys; needed before the two below. Every row is usable: they were packed
 * before. */
void pack_prepare(struct pack *pack, const struct pack_task *task);
const struct rows *pack_rows(const struct pack *pack);
/* Does row `index` belong to the partition, by the parcel's own partition count? */
bool pack_row_is_in(const struct pack *pack, const struct pack_task *task, size_t index,
                    uint32_t partition);
/* The sequence that ends the first half of a part's events; 0: it has fewer than two. */
uint64_t pack_middle(const struct pack *pack, const struct pack_task *task,
                     const struct part *part);

#endif
