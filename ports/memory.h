/* How the process gets its memory. Both before the first thread, or where no other allocates. */
#ifndef WEIR_PORTS_MEMORY_H
#define WEIR_PORTS_MEMORY_H

/* While parts are opened: large pieces are mappings of their own, so that what is not used of them
 * takes no room. */
void memory_opening(void);
/* From now on: what comes and goes with each batch is not given back to the system in between. */
void memory_running(void);

#endif
