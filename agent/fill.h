/* Fields that are filled in when packing: their places are kept beside the datum. Pure. */
#ifndef WEIR_AGENT_FILL_H
#define WEIR_AGENT_FILL_H

#include "buffer/buffer.h"

/* The complete datum: the event's own where nothing is to be filled in, else built in `memory`.
 * `identity` is agent id/incarnation. False: `memory` is too small. */
bool fill_complete(const struct stored_event *event, const char *identity, const char *stream,
                   struct out *memory, struct slice *ret) MUST_USE;

/* Has it a time to be filled in that is not known yet? */
bool fill_needs_clock(const struct stored_event *event);

#endif
