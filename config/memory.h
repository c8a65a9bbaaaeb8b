/* The memory of one configuration: grows while it is loaded, goes all at once. Not thread-safe. */
#ifndef WEIR_CONFIG_MEMORY_H
#define WEIR_CONFIG_MEMORY_H

#include "ports/slice.h"

#define MEMORY_SIZE_MAX (64 * 1024 * 1024) /* what one configuration may need */

struct config_memory;

/* NULL: no memory. */
struct config_memory *memory_open(void) MUST_USE;
/* NULL is allowed. */
void memory_close(struct config_memory *memory);

/* Zeroed, aligned for any type, until memory_close(). NULL: no memory, or over MEMORY_SIZE_MAX;
 * memory_failed() then stays true, so that a caller may go on and look once at the end. */
void *memory_take(struct config_memory *memory, size_t size) MUST_USE;
bool memory_failed(const struct config_memory *memory);
/* A copy with a NUL behind. */
const char *memory_text(struct config_memory *memory, struct slice text) MUST_USE;
/* Written as by printf; at most 4095 bytes, longer ones are cut. */
const char *memory_format(struct config_memory *memory, const char *format, ...)
    PRINTF_LIKE(2, 3) MUST_USE;

#endif
