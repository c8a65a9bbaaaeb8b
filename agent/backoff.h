/* How long to wait before the next try: doubling from 250 ms to a ceiling, with jitter, so that a
 * fleet does not come back all at once. Plain values, no clock. */
#ifndef WEIR_AGENT_BACKOFF_H
#define WEIR_AGENT_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS 250

struct backoff {
    int64_t ceiling_ms; /* at least BACKOFF_FIRST_MS */
    unsigned attempt;   /* failures in a row */
};

/* The wait after one more failure: between half and all of min(250 ms * 2^attempt, ceiling).
 * `asked_ms` is what the peer asked for: never less than that (but at most an hour). */
int64_t backoff_next_ms(struct backoff *backoff, int64_t asked_ms, uint32_t chance);

/* After a success. */
void backoff_clear(struct backoff *backoff);

#endif
