/* The buffer's state: what is owed to whom, what is being sent, where each stream stands. Inside of
 * the buffer; pure, no SQLite.
 *
 * A commit changes a copy of the state, and takes it over when COMMIT has returned. It changes by
 * operations only, the same ones when they are new and when they are read from the tail after a
 * crash. */
#ifndef WEIR_BUFFER_STATE_H
#define WEIR_BUFFER_STATE_H

#include "buffer/buffer.h"

#define BOOT_COUNT_MAX 16
#define PAIR_COUNT_MAX 512 /* of a stream and an uplink that carries it */

/* Of the snapshot. Most of it is room for open parcels. */
#define PARCEL_BYTES_MAX 380 /* of a parcel in the snapshot, beside its parts */
#define PART_BYTES_MAX 75    /* of each of them */
#define OWED_BYTES_MAX 170   /* of a pair's ranges */
#define STREAM_BYTES_MAX 150 /* of a stream */
#define GAP_BYTES_MAX 52
#define STATE_REST_MAX 1024 /* of everything else */
#define STATE_SIZE_MAX \
    (STATE_REST_MAX + STREAM_COUNT_MAX * STREAM_BYTES_MAX + GAP_COUNT_MAX * GAP_BYTES_MAX + \
     PAIR_COUNT_MAX * OWED_BYTES_MAX + \
     BUFFER_PARCEL_MAX * (PARCEL_BYTES_MAX + PARCEL_PART_MAX * PART_BYTES_MAX))

struct state_stream {
    uint64_t sequence_next;             /* 0: this number is not used */
    uint64_t raw_total;                 /* raw bytes of all events ever stored, for their mean */
    uint64_t dropped[GAP_REASON_COUNT]; /* [0] is not used */
    int64_t oldest_time_us;
    uint64_t row_events; /* in rows */
    uint64_t row_bytes;  /* of their bodies */
};

struct state {
    uint32_t owed_max;
    bool is_earlier; /* read from the snapshot of an earlier version: it is to be written anew */
    bool is_old;     /* by version 1: its rows are not counted */
    uint64_t commit; /* number of the last commit */
    uint64_t generation; /* of the tail */
    uint64_t aside_count;
    uint64_t aside_size; /* bytes of bodies */
    uint64_t aside_dropped;
    uint32_t gap_number_next;
    uint32_t gap_count;
    uint32_t boot_count;
    uint32_t parcel_count;
    uint32_t owed_count;
    struct gap gaps[GAP_COUNT_MAX];
    struct boot_offset boots[BOOT_COUNT_MAX];
    struct state_stream streams[STREAM_COUNT_MAX + 1];
    struct parcel *parcels; /* BUFFER_PARCEL_MAX */
    struct owed *owed;      /* one for each uplink and stream it carries */
};

/* pair_max: how many (uplink, stream) pairs there may be. */
enum err state_open(struct state **ret, size_t pair_max) MUST_USE;
/* NULL is allowed. */
void state_close(struct state *state);
/* Between states of the same pair_max. */
void state_copy(struct state *to, const struct state *from);
/* Bytes of the snapshot, at most. */
size_t state_size_bound(const struct state *state);

struct owed *state_owed(struct state *state, uint16_t uplink, uint16_t stream); /* NULL: none */
struct parcel *state_parcel(struct state *state, uint16_t uplink, uint16_t stream, uint8_t lane);

/* --- ranges --- */

/* What is in both. False: nothing. */
bool range_common(struct range a, struct range b, struct range *ret);

/* Sequences first..last are owed from now on. Where there is no room for one more range, the last
 * one grows over the gap: rows that are not there are passed over when read. */
void owed_add(struct owed *owed, struct range range);
/* ... are no longer owed. False: a range would have to be cut in two, and there is no room:
 * unchanged. */
bool owed_cut(struct owed *owed, struct range range) MUST_USE;
bool owed_meets(const struct owed *owed, struct range range);
uint64_t owed_event_count(const struct owed *owed);
uint64_t owed_count_in(const struct owed *owed, struct range range);
/* ... are owed, whatever was before. One place is left free, for the parcel that is being sent: the
 * two ranges that lie nearest to each other become one where there would be more. */
void owed_insert(struct owed *owed, struct range range);

/* Is any of these sequences owed to any uplink? */
bool state_is_owed(const struct state *state, uint16_t stream, struct range range);
/* The highest sequence of the open parcels that have any of them, of one uplink or of all (0); 0:
 * none has. */
uint64_t state_in_flight(const struct state *state, uint16_t uplink, uint16_t stream,
                         struct range range);
/* The highest sequence of the owed ranges that have any of them; 0: nobody is owed any. */
uint64_t state_owed_end_of(const struct state *state, uint16_t stream, struct range range);
/* The first range of what any uplink is owed behind `at`; first UINT64_MAX: there is none. */
struct range state_owed_behind(const struct state *state, uint16_t stream, uint64_t at);
/* The lowest sequence that is owed to anybody; sequence_next when none is. */
uint64_t state_lowest_owed(const struct state *state, uint16_t stream);
/* Events of a range that are owed to anybody, each counted once. */
uint64_t state_backlog_in(const struct state *state, uint16_t stream, struct range range);
uint64_t state_backlog(const struct state *state, uint16_t stream);

/* --- operations --- */

/* Events first..first+count-1 were stored. */
void state_append(struct state *state, uint16_t stream, uint64_t first, uint64_t count,
                  uint64_t raw_size);
/* The next `by` sequences are not used; `count` events are known to be lost with them (0: it is not
 * known), which is noted as a gap. */
void state_raise(struct state *state, uint16_t stream, uint64_t by, uint64_t count);
/* Events of these sequences are lost, it is not known which: noted as a gap whose count is not known.
 * What is owed stays. */
void state_lost(struct state *state, uint16_t stream, struct range range);
void state_part_done(struct state *state, const struct part_done *done);
void state_owed_end(struct state *state, const struct owed_end *end);
/* The events are owed (again). How many of them were not; 0 too when the uplink does not carry the
 * stream. */
uint64_t state_owed_again(struct state *state, const struct owed_end *again);
/* False: BUFFER_PARCEL_MAX are open. */
bool state_parcel_open(struct state *state, const struct parcel *parcel) MUST_USE;
/* One of its open parcels is open no more. What it has stays owed, and is sent anew. */
void state_parcel_forget(struct state *state, struct parcel *parcel);
void state_boot(struct state *state, const struct boot_offset *boot);
/* As buffer_time(). */
bool state_time(const struct state *state, struct stored_event *event) MUST_USE;
/* Events and bytes of a stream's rows that were deleted or became smaller. */
void state_rows_gone(struct state *state, uint16_t stream, uint64_t events, uint64_t bytes);
/* Of rows that came over from a damaged file. */
void state_rows_came(struct state *state, uint16_t stream, uint64_t events, uint64_t bytes);
/* Raw bytes of an event, about; 0: there was none. */
uint64_t state_mean_size(const struct state *state, uint16_t stream);
uint64_t state_dropped(const struct state *state, uint16_t stream);
void state_gap_told(struct state *state, uint32_t number);
/* Events are lost: cuts the owed ranges (of one uplink, or of all with uplink 0) and notes the gap.
 * Where a stream has too many, or all of them have, gaps are merged: counts stay exact, ranges are
 * hulls. The ranges of GAP_THIN and GAP_DROP_NEWEST are not cut: what is left between is owed, what
 * is gone is passed over when read. */
void state_drop(struct state *state, const struct gap *gap);

/* --- snapshot: little-endian, lengths checked; see state.c --- */

void state_encode(const struct state *state, struct out *ret);
/* A snapshot of a version that state_decode() does not know yet. */
bool state_is_newer(struct slice data);
/* Into a state that was just opened. ERR_CORRUPT, ERR_VERSION; ERR_FULL: more pairs than
 * `owed_max`, which is at most the state's. */
enum err state_decode(struct state *state, size_t owed_max, struct slice data) MUST_USE;

/* A parcel, as in the snapshot and in the tail's F section. */
void parcel_encode(const struct parcel *parcel, struct out *ret);
/* has_key: false for one of version 1, which may lack it. */
bool parcel_decode(struct parcel *ret, bool has_key, struct slice *data) MUST_USE;

#endif
