/* What the files that give up events share: evict.c (who gives way), loss.c (who loses what), thin.c,
 * age.c, hold.c. Inside of the buffer. */
#ifndef WEIR_BUFFER_EVICT_H
#define WEIR_BUFFER_EVICT_H

#include "buffer/internal.h"

/* In a transaction: the write is applied to b->next, and room is made for it. */
struct making_room {
    struct buffer *b;
    struct record_writer *w;
    struct why *why;
    unsigned left;       /* rows that may still go in this commit, or become smaller */
    size_t rewrite_left; /* bytes of rows that may still be written anew */
    unsigned looks_left; /* rows that may still be unpacked to see how old they are */
    int64_t missing;     /* bytes of the file */
    bool arrives[STREAM_COUNT_MAX + 1];
    bool arrives_any;
    uint8_t priority;                    /* the highest that arrives */
    bool arrives_low;                    /* something below PRIORITY_URGENT */
    uint64_t from[STREAM_COUNT_MAX + 1]; /* rows below have been looked at, and stay */
};

/* --- evict.c --- */
/* The highest sequence of what is being sent of the range: in a parcel of this uplink (0: of any),
 * or read to become one. 0: nothing of it. */
uint64_t being_sent(const struct buffer *b, uint16_t uplink, uint16_t stream, struct range range);
/* The first sequence from there on that is being sent for anybody; UINT64_MAX: none is. */
uint64_t being_sent_from(const struct buffer *b, uint16_t stream, uint64_t from);
/* Such a row was deleted, or has become smaller. */
void rows_gone(struct making_room *m, uint16_t stream, uint64_t events, uint64_t bytes);

/* --- loss.c: what goes by a rule, counted for those who lose it --- */
struct loss {
    uint16_t stream;
    uint8_t reason;
    size_t owner_count; /* uplinks that the stream goes to */
    const struct owed *owners[UPLINK_COUNT_MAX];
    struct gap all;
    struct gap of[UPLINK_COUNT_MAX];
    uint64_t count; /* events that anybody loses */
};
/* Of one uplink, or of all that the stream goes to (0). */
void loss_begin(struct loss *loss, const struct state *state, uint16_t stream, uint8_t reason,
                uint16_t uplink);
/* Is it owed to anybody? */
bool loss_is_owed(const struct loss *loss, uint64_t sequence);
/* Events that are there, and go. */
void loss_add(struct loss *loss, struct range range);
/* Can everybody have the range cut out of what they are owed? */
bool loss_can_cut(const struct loss *loss, struct range range);
/* Into the state and the record, as lost in this range, of which nothing is owed any more (unless it
 * was thinned). */
void loss_put(const struct loss *loss, struct range range, struct state *state,
              struct record_writer *w);
/* The events of a row that lie in the range: all of them, or one by one where it is sparse. */
enum err loss_add_row(struct loss *loss, struct buffer *b, const struct row_place *row,
                      struct range range, struct why *why) MUST_USE;
/* Rows found damaged when they were read: all that is owed of them, into b->next and the record.
 * Before what the same commit ends: whoever read them had nothing to send, and says that they are
 * done with. */
void loss_of_damaged(struct buffer *b, struct record_writer *w);

/* All that rows and tail have of the range. */
enum err loss_add_stored(struct loss *loss, struct buffer *b, struct range range,
                         struct why *why) MUST_USE;

/* --- thin.c --- */
/* The row keeps the events that the thinner chooses. ERR_CLOSED: that would spare nothing; ERR_FULL:
 * enough was written anew in this commit. */
enum err thin_row(struct making_room *m, uint16_t stream, const struct row_place *row) MUST_USE;
/* The next row of a stream that is still whole. ERR_CLOSED: there is none. */
enum err thin_next(struct making_room *m, uint16_t stream, struct row_place *ret) MUST_USE;

/* --- hold.c --- */
/* The part of its backlog that an uplink has too much of is cut, the lowest stream first. */
enum err keep_hold_max(struct making_room *m, const struct buffer_uplink_slot *uplink) MUST_USE;

/* --- age.c --- */
/* Events that are older than their stream wants are let go. */
enum err keep_age_max(struct making_room *m, const struct buffer_write *write) MUST_USE;

#endif
