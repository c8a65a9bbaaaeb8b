/* How the process gets its memory. Any thread. */
#ifndef WEIR_PORTS_MEMORY_H
#define WEIR_PORTS_MEMORY_H

#include <stdint.h>

/* While parts are opened: large pieces are mappings of their own, so that what is not used of them
 * takes no room. */
void memory_opening(void);
/* From now on: what comes and goes with each batch is not given back to the system in between. */
void memory_running(void);

/* Bytes of the process that are in memory; 0: it can't be known. Any thread. */
uint64_t memory_resident(void);

#endif
