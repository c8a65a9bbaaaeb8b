#include "uplink/avro/arena.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_SIZE 4096
#define ARENA_ALIGN sizeof(union arena_widest)

union arena_widest {
    long long number;
    double real;
    void *pointer;
};

struct arena_block {
    struct arena_block *next;
    size_t size;
    union arena_widest memory[];
};

void *arena_take(struct arena *arena, size_t size)
{
    size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (arena->failed) {
        return NULL;
    }
    if (!arena->blocks || arena->blocks->size - arena->used < size) {
        size_t room = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
        struct arena_block *block = calloc(1, sizeof *block + room);
        if (!block) {
            arena->failed = true;
            return NULL;
        }
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->used = 0;
    }
    void *memory = (char *)arena->blocks->memory + arena->used;
    arena->used += size;
    return memory;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    uint8_t *memory = arena_take(arena, s.size + 1);
    if (!memory) {
        return (struct slice){NULL, 0};
    }
    if (s.size) {
        memcpy(memory, s.data, s.size);
    }
    return (struct slice){memory, s.size};
}

void arena_release(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}
