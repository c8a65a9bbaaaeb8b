#include "agent/backoff.h"

#include <assert.h>

#define ASKED_MS_MAX (60 * 60 * 1000)
#define DOUBLINGS_MAX 20

int64_t backoff_next_ms(struct backoff *backoff, int64_t asked_ms, uint32_t chance)
{
    assert(backoff->ceiling_ms >= BACKOFF_FIRST_MS);
    unsigned doublings = backoff->attempt < DOUBLINGS_MAX ? backoff->attempt : DOUBLINGS_MAX;
    int64_t ceiling = (int64_t)BACKOFF_FIRST_MS << doublings;
    if (ceiling > backoff->ceiling_ms) {
        ceiling = backoff->ceiling_ms;
    }
    if (backoff->attempt < DOUBLINGS_MAX) {
        backoff->attempt++;
    }
    int64_t wait = ceiling / 2 + (int64_t)chance % (ceiling / 2 + 1);
    if (asked_ms > ASKED_MS_MAX) {
        asked_ms = ASKED_MS_MAX;
    }
    return wait > asked_ms ? wait : asked_ms;
}

void backoff_clear(struct backoff *backoff)
{
    backoff->attempt = 0;
}
