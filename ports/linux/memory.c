#include "ports/memory.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Smaller pieces come from memory that was used before, and is cleared for calloc(): all of it
 * becomes resident, used or not. Left alone, glibc raises this limit with each piece that is freed. */
#define MAPPED_SIZE_OPENING (128 * 1024)
/* A batch takes about 1.5 MiB to compress. */
#define MAPPED_SIZE_RUNNING (2 * 1024 * 1024)

/* Other threads may allocate meanwhile: each limit is one word, which glibc too sets at any time
 * unless it is told a limit. */
static void limit(int size)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, size);
    (void)mallopt(M_TRIM_THRESHOLD, size);
#else
    (void)size;
#endif
}

void memory_opening(void)
{
    limit(MAPPED_SIZE_OPENING);
}

void memory_running(void)
{
    limit(MAPPED_SIZE_RUNNING);
}
