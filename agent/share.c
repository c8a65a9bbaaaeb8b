#include "agent/share.h"

#include <assert.h>

static int64_t bounded(uint64_t size)
{
    return size < SHARE_CREDIT_MAX ? (int64_t)size : SHARE_CREDIT_MAX;
}

bool share_is_due(struct share *share)
{
    share->waits = true;
    share->is_turn = share->credit > 0;
    return share->is_turn;
}

void share_others_sent(struct share *share, uint64_t size)
{
    assert(share->millionths >= 0 && share->millionths <= SHARE_MILLIONTHS_MAX);
    if (!share->waits) {
        return; /* nothing had to give way to it */
    }
    share->credit += bounded(size) * share->millionths / (1000000 - share->millionths);
    share->credit = share->credit < SHARE_CREDIT_MAX ? share->credit : SHARE_CREDIT_MAX;
}

void share_sent(struct share *share, uint64_t size)
{
    if (share->is_turn) {
        share->credit -= bounded(size);
        share->credit = share->credit > -SHARE_CREDIT_MAX ? share->credit : -SHARE_CREDIT_MAX;
    }
    share->waits = false;
    share->is_turn = false;
}
