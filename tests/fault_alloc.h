/* Makes the n-th allocation fail. Programs that use it are linked with fault_alloc.c and
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc. One thread. */
#ifndef WEIR_TESTS_FAULT_ALLOC_H
#define WEIR_TESTS_FAULT_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* The n-th allocation from now on fails (1: the next), once; 0: none does. */
void fault_alloc_set(unsigned n);
/* The same, and all after it, until the next fault_alloc_set(). */
void fault_alloc_set_for_ever(unsigned n);
/* Each of more than `size` bytes fails, until the next fault_alloc_set(): no large piece is left. */
void fault_alloc_set_above(size_t size);
/* Did it happen since the last fault_alloc_set()? */
bool fault_alloc_happened(void);

#endif
