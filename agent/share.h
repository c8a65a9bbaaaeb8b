/* What a lane that gives way gets all the same: of the bytes that go out while it has to wait, a
 * share is put to its credit, and while it has credit it is its turn. What it sends when nobody else
 * wants to costs it nothing. Plain values. */
#ifndef WEIR_AGENT_SHARE_H
#define WEIR_AGENT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#define SHARE_CREDIT_MAX (INT64_C(4) * 1024 * 1024) /* bytes, either way */
#define SHARE_MILLIONTHS_MAX 900000

struct share {
    int64_t millionths; /* of all that goes out; 0..SHARE_MILLIONTHS_MAX */
    int64_t credit;     /* bytes */
    bool waits;         /* it had to give way since it sent last */
    bool is_turn;       /* what it sends next is on its credit */
};

/* It wants to send while others do: is it its turn? */
bool share_is_due(struct share *share);
/* Others have sent so much. */
void share_others_sent(struct share *share, uint64_t size);
/* It has sent so much itself. */
void share_sent(struct share *share, uint64_t size);

#endif
