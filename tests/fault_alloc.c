#include "tests/fault_alloc.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static unsigned countdown;
static bool happened;
static bool for_ever;

static bool fault_alloc_now(void)
{
    if (countdown == 0 || --countdown > 0) {
        return false;
    }
    happened = true;
    countdown = for_ever ? 1 : 0;
    return true;
}

void fault_alloc_set(unsigned n)
{
    countdown = n;
    happened = false;
    for_ever = false;
}

void fault_alloc_set_for_ever(unsigned n)
{
    fault_alloc_set(n);
    for_ever = true;
}

bool fault_alloc_happened(void)
{
    return happened;
}

void *__wrap_malloc(size_t size)
{
    return fault_alloc_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fault_alloc_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fault_alloc_now() ? NULL : __real_realloc(memory, size);
}
