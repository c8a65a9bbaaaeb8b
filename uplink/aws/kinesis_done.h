/* What is stored of batches of which something is: they may be given back, and forward may make their
 * bytes again after a long wait, by which what a mark in them said would be lost. Bounded: of more
 * batches the oldest are forgotten, whose records then may arrive twice. Loop thread. */
#ifndef WEIR_UPLINK_AWS_KINESIS_DONE_H
#define WEIR_UPLINK_AWS_KINESIS_DONE_H

#include "ports/uplink.h"

#define DONE_BATCH_MAX 64
#define DONE_ENTRY_MAX 8192 /* of a batch; what is behind is not kept */

struct done_marks {
    struct done_batch *items[DONE_BATCH_MAX]; /* the oldest first */
    size_t count;
};

/* Zeroed is fine. */
void done_release(struct done_marks *marks);
/* Keeps what the entries of a batch (kinesis_entries.h) say, when it is not all stored. */
void done_keep(struct done_marks *marks, const struct batch *batch);
/* When it comes again: marks its entries, if they are as many as then. */
void done_apply(struct done_marks *marks, struct batch *batch);
/* All of it is stored. */
void done_forget(struct done_marks *marks, const struct batch *batch);

#endif
