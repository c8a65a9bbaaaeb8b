/* Rewriting a buffer under another key, with the agent stopped.
 *
 * The buffer is opened with both keys (struct buffer_setup: `key`, NULL for plain, and `old_key`).
 * Each step is one transaction. Ended at any moment, the file opens with both keys; with one alone
 * again when it is finished. Begun anew, it goes on: what is under `key` is passed over. */
#ifndef WEIR_BUFFER_REKEY_H
#define WEIR_BUFFER_REKEY_H

#include "buffer/buffer.h"

/* Zeroed at the beginning. */
struct buffer_rekey {
    uint8_t phase;
    int64_t at[2];    /* where the phase stands */
    uint64_t done;    /* rows, cursors, set-aside events that were looked at */
    uint64_t total;   /* of these, about */
    uint64_t written; /* that were written anew */
    uint64_t damaged; /* that can't be read, and stay as they are */
    bool finished;
};

/* One step; again until `finished`. An error leaves what the last step made. ERR_CONFIG: a damaged
 * file is still being salvaged; what comes over from it is under the keys it had. */
enum err buffer_rekey_step(struct buffer *buffer, struct buffer_rekey *rekey,
                           struct why *why) MUST_USE;

#endif
