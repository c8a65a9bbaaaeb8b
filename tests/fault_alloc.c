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
static size_t above; /* 0: no matter how large */

static bool fault_alloc_now(size_t size)
{
    if (above && size > above) {
        happened = true;
        return true;
    }
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
    above = 0;
}

void fault_alloc_set_for_ever(unsigned n)
{
    fault_alloc_set(n);
    for_ever = true;
}

void fault_alloc_set_above(size_t size)
{
    fault_alloc_set(0);
    above = size;
}

bool fault_alloc_happened(void)
{
    return happened;
}

void *__wrap_malloc(size_t size)
{
    return fault_alloc_now(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fault_alloc_now(count * size) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fault_alloc_now(size) ? NULL : __real_realloc(memory, size);
}
