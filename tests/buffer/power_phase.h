/* What the buffer was doing when the power went: by wraps around the functions that do it. */
#ifndef WEIR_TESTS_BUFFER_POWER_PHASE_H
#define WEIR_TESTS_BUFFER_POWER_PHASE_H

#include "tests/sim/crash_vfs.h"

enum power_phase {
    PHASE_APPEND,     /* a commit */
    PHASE_SEAL,       /* that seals */
    PHASE_DELETE,     /* that deletes rows */
    PHASE_EVICT,      /* that drops what is owed */
    PHASE_CHECKPOINT, /* of the log, after a commit or before the next one */
    PHASE_RECOVERY,   /* opening */
    PHASE_SALVAGE,    /* of a damaged file: replaced, or its rows brought over */
    PHASE_COUNT
};

const char *power_phase_name(enum power_phase phase);
/* Watches what is done on this disk, from now on. */
void power_phase_watch(struct crash_vfs *vfs);
/* Bits, 1 << phase: what was under way when the disk froze, or is now. */
unsigned power_phase_now(void);

/* When this is begun the next time, the disk freezes at the n-th operation from there on. n 0: not
 * any more. */
void power_phase_arm(enum power_phase phase, unsigned n);

#endif
