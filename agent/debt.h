/* What an uplink still has to deliver of a stream, and which of it is fresh: shared by the flows of
 * its lanes, so that both see the same and nothing is cut twice.
 *
 * With `fifo` all of it is fresh. With `fresh_first` there is a mark: what is below it is backfill,
 * the rest fresh, and each goes out upwards. The mark moves up, to the head, when delivery has been
 * behind for long: after an outage, or when the link is too thin for what comes. It is not kept: at
 * a start all that is there is backfill. Plain values; loop thread. */
#ifndef WEIR_AGENT_DEBT_H
#define WEIR_AGENT_DEBT_H

#include "buffer/buffer.h"

#define DEBT_PENDING_MAX 12 /* ended ranges whose commit is still to come */
/* Ranges of a lane: those of the debt, one of them cut in two by what the other lane has. */
#define DEBT_RANGE_MAX (OWED_RANGE_MAX + 1)
/* The mark moves only while fewer ranges are owed: each move may leave one more behind, and the
 * buffer keeps OWED_RANGE_MAX, with room for what is owed again. */
#define DEBT_MARK_RANGE_MAX 4

struct pending_end {
    struct range range;
    uint64_t commit;
};

struct debt {
    struct owed owed; /* as the buffer said last, less what has ended since */
    bool is_known;    /* the buffer has said it */
    struct pending_end pending[DEBT_PENDING_MAX];
    size_t pending_count;
    bool fresh_first;
    uint64_t behind_max_ms; /* fresh_first: the mark moves when it was behind for longer */
    uint64_t mark;          /* fresh_first: the first sequence that is fresh; 0: not known yet */
    uint64_t level_ms;      /* when the fresh lane had taken all that there was, last */
    struct range open[PARCEL_OPEN_MAX]; /* of each lane's parcel; last 0: it has none */
};

void debt_init(struct debt *debt, uint16_t uplink, uint16_t stream);
/* What the buffer says after a commit; NULL: unchanged. Ends up to `commit` are in it. */
void debt_committed(struct debt *debt, uint64_t commit, const struct owed *owed);
/* A range has ended, as commit `commit` will say; only with debt_may_end(). */
void debt_ended(struct debt *debt, struct range range, uint64_t commit);
/* Room for `count` more ends, besides those of the parcels that are open? */
bool debt_may_end(const struct debt *debt, size_t count);
/* Is all of it owed? */
bool debt_holds(const struct debt *debt, struct range range);

/* The first of what is owed of a range. False: nothing is. */
bool debt_first_in(const struct debt *debt, struct range range, struct range *ret);

/* How many events. */
uint64_t debt_count(const struct debt *debt);

/* What this lane may cut, in the order in which it goes out. Returns the count. */
size_t debt_ranges(const struct debt *debt, uint8_t lane, struct range ret[DEBT_RANGE_MAX]);
/* Before a lane cuts; `head` is the sequence that the stream's next event will have. True: the mark
 * moved, there may be more backfill. */
bool debt_move_mark(struct debt *debt, uint64_t head, uint64_t now_ms);
/* The fresh lane has taken all that there was. */
void debt_is_level(struct debt *debt, uint64_t now_ms);

void owed_subtract(struct owed *owed, struct range gone);

#endif
