/* Files of a buffer, taken from the disk in memory to be damaged, and put back. */
#ifndef WEIR_TESTS_BUFFER_SALVAGE_IMAGE_H
#define WEIR_TESTS_BUFFER_SALVAGE_IMAGE_H

#include "tests/buffer/bench.h"

struct image {
    uint8_t *database;
    uint64_t database_size;
    uint8_t *log;
    uint64_t log_size;
};

/* The files as they are; the buffer is closed by a power cut, or in order. */
void image_take(struct bench *b, bool in_order, struct image *ret);
/* Onto a disk with nothing else; the buffer is closed. */
void image_put(struct bench *b, const struct image *image);
void image_copy(const struct image *from, struct image *ret);
void image_free(struct image *image);
void image_junk_page(struct bench *b, struct image *image, uint64_t page);

/* Turns until nothing is left to do; how many. */
unsigned salvage_all(struct bench *b);

#endif
