/* What was delivered while nothing could be written, handed from an agent to the one that is opened
 * after it on the same buffer, in the same process: else it would be sent again. */
#ifndef WEIR_AGENT_CARRY_H
#define WEIR_AGENT_CARRY_H

#include "buffer/buffer.h"

struct carry;

/* What the buffer has in memory only; *ret NULL: there is nothing of the kind. */
enum err carry_take(struct carry **ret, struct buffer *buffer) MUST_USE;
/* Puts it into a buffer that was opened just now: by a commit, or, `is_read_only`, into its memory
 * again. Another buffer than it was taken from is left as it is. */
enum err carry_give(const struct carry *carry, struct buffer *buffer, bool is_read_only,
                    struct why *why) MUST_USE;
/* NULL is allowed. */
void carry_close(struct carry *carry);

#endif
