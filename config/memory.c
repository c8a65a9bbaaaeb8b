#include "config/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (16 * 1024)

struct memory_block {
    struct memory_block *next;
    size_t used;
    size_t size;
    max_align_t data[];
};

struct config_memory {
    struct memory_block *blocks; /* the one being filled first */
    size_t total;
    bool failed;
};

struct config_memory *memory_open(void)
{
    return calloc(1, sizeof(struct config_memory));
}

void memory_close(struct config_memory *memory)
{
    if (!memory) {
        return;
    }
    while (memory->blocks) {
        struct memory_block *next = memory->blocks->next;
        explicit_bzero(memory->blocks->data, memory->blocks->used); /* secrets are among it */
        free(memory->blocks);
        memory->blocks = next;
    }
    free(memory);
}

bool memory_failed(const struct config_memory *memory)
{
    return memory->failed;
}

void *memory_take(struct config_memory *memory, size_t size)
{
    size_t align = sizeof(max_align_t);
    if (size > MEMORY_SIZE_MAX - memory->total) {
        memory->failed = true;
        return NULL;
    }
    size_t room = size ? (size + align - 1) / align * align : align;
    struct memory_block *block = memory->blocks;
    if (!block || block->size - block->used < room) {
        size_t block_size = room > BLOCK_SIZE ? room : BLOCK_SIZE;
        block = calloc(1, sizeof *block + block_size);
        if (!block) {
            memory->failed = true;
            return NULL;
        }
        block->size = block_size;
        block->next = memory->blocks;
        memory->blocks = block;
    }
    void *taken = (uint8_t *)block->data + block->used;
    block->used += room;
    memory->total += size;
    return taken;
}

const char *memory_text(struct config_memory *memory, struct slice text)
{
    char *copy = memory_take(memory, text.size + 1);
    if (copy && text.size) {
        memcpy(copy, text.data, text.size);
    }
    return copy;
}

const char *memory_format(struct config_memory *memory, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return size < 0 ? NULL : memory_text(memory, slice_of_text(text));
}
