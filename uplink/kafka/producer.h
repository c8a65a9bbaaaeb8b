/* The numbers under which a broker knows our batches: producer ids, and a sequence for each
 * partition.
 *
 * Each stream and lane gets a fresh producer id at each start: a batch in doubt from an earlier
 * life stays the last of its own id, and a cloned disk never has two writers on one id. Numbers of
 * an earlier life only resolve what was in flight; nothing new is ever given out under them. Loop
 * thread. */
#ifndef WEIR_UPLINK_KAFKA_PRODUCER_H
#define WEIR_UPLINK_KAFKA_PRODUCER_H

#include "ports/parcel.h"
#include "uplink/kafka/cluster.h"

struct producers;

/* What this life knows of the batch that was lent last for one partition of a stream and lane:
 * there is one at a time. */
struct sequence {
    uint32_t partition;
    int64_t next_id; /* the producer id that `next` belongs to; -1: none yet */
    int32_t next;    /* the next base sequence */
    /* the part at hand */
    int64_t producer_id; /* -1: none */
    int32_t base;
    uint32_t count;
    bool was_sent; /* a byte of it may have left in this life */
    /* Some try is open: a refusal proves nothing. False: each was answered with "not stored". */
    bool may_be_stored;
    unsigned tries; /* of an error that is not tried for ever */
    /* It is looked for in the log: when that began last, 0: not yet; and how long it has taken. */
    uint64_t look_ms, looked_ms;
};

struct producers_setup {
    struct loop *loop;
    struct cluster *cluster;
    bool is_idempotent; /* else there are no producer ids: every number is -1 */
    void *context;
    /* A producer id is there, or it is refused: producers_fault(). Never within a call of
     * the user's. */
    void (*changed)(void *context);
};

enum err producers_open(struct producers **ret, const struct producers_setup *setup) MUST_USE;
/* After cluster_close(), or before with nothing under way. NULL is allowed. */
void producers_close(struct producers *producers);
/* Goes on with what waits for a connection; after the cluster's changed(). */
void producers_advance(struct producers *producers);

/* Numbers for one part: fills producer_id, producer_epoch and base_sequence. ERR_AGAIN: the
 * producer id is being asked for, changed() follows. ERR_NOMEM. Numbers that were given for this
 * partition and never sent are given again. */
enum err producers_assign(struct producers *producers, uint16_t stream, uint8_t lane,
                          struct part *part) MUST_USE;
/* The partition's sequence, set to this part: `again` if an earlier life may have sent it.
 * NULL: no memory. */
struct sequence *producers_sequence(struct producers *producers, uint16_t stream, uint8_t lane,
                                    const struct part *part, bool again);
/* It is certain that nothing was stored: the numbers are free. */
void producers_free_numbers(struct sequence *sequence);
/* No order is left to keep under this part's producer id: what comes gets a fresh one. */
void producers_spend(struct producers *producers, uint16_t stream, uint8_t lane,
                     const struct part *part);
/* It is another cluster now: ids of the one before would be somebody else's there. */
void producers_forget(struct producers *producers);
/* Why no producer id can be had; NULL: nothing is known to be wrong. */
const struct why *producers_fault(const struct producers *producers);

#endif
