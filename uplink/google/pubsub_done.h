/* What the service has of parts that are not done as a whole: a part that goes by several requests may
 * be made again (halved, or after a long wait), and what is stored is not sent twice. Kept by
 * sequence, in memory only; bounded by one entry for each partition of a stream's lane. */
#ifndef WEIR_UPLINK_GOOGLE_PUBSUB_DONE_H
#define WEIR_UPLINK_GOOGLE_PUBSUB_DONE_H

#include "ports/uplink.h"

#define PUBSUB_DONE_SPAN_MAX 65536 /* sequences of a part; what is wider is not kept */

struct pubsub_done; /* a list; NULL: empty */

void pubsub_done_release(struct pubsub_done **list);
/* The events of this range of the batch are stored. */
void pubsub_done_note(struct pubsub_done **list, const struct batch *batch, struct range range);
/* Sets the marks of a batch that begins, where it says more than they do; none is refused yet. */
void pubsub_done_apply(struct pubsub_done **list, struct batch *batch);
/* It ends: what is known of it is forgotten, where it is the last of its part. */
void pubsub_done_end(struct pubsub_done **list, const struct batch *batch);

#endif
