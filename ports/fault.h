/* Planted mistakes: what the ledger must catch. Compiled only with WEIR_FAULTS; the environment
 * variable WEIR_FAULT names one. */
#ifndef WEIR_PORTS_FAULT_H
#define WEIR_PORTS_FAULT_H

#include <stdbool.h>

#ifdef WEIR_FAULTS
/* Any thread. */
bool fault_planted(const char *name);
#else
static inline bool fault_planted(const char *name)
{
    (void)name;
    return false;
}
#endif

#endif
