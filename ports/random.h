/* Chance. The real one asks the kernel (getrandom); the simulated one has a seed. Any thread. */
#ifndef WEIR_PORTS_RANDOM_H
#define WEIR_PORTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Never fails: the kernel's generator blocks at early boot until it is seeded. */
void random_bytes(void *ret, size_t size);
uint32_t random_u32(void);
/* Evenly in 0..below-1; below > 0. */
uint32_t random_below(uint32_t below);

#endif
