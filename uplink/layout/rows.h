/* The layout `rows`: one message an event, its body the prefix of the wire format and the
 * Avro datum. */
#ifndef WEIR_UPLINK_LAYOUT_ROWS_H
#define WEIR_UPLINK_LAYOUT_ROWS_H

#include "uplink/layout/layout.h"

/* `zlib` not NULL: the prefix is Glue's, and says so where the datum is smaller packed. ERR_FULL:
 * `memory` has no room; nothing was written. */
enum err rows_add(struct message *ret, struct slice prefix, struct deflate_encoder *zlib,
                  const struct layout_row *row, struct out *memory) MUST_USE;

#endif
