#include "tests/buffer/salvage_image.h"

#include <stdlib.h>
#include <string.h>

#include "buffer/salvage.h"

#define LOG BENCH_PATH "-wal"

static void take_file(struct bench *b, const char *name, uint8_t **ret, uint64_t *ret_size)
{
    const uint8_t *bytes = crash_vfs_file(b->vfs, name, ret_size);
    *ret = malloc(*ret_size + 1);
    memcpy(*ret, bytes, *ret_size);
}

void image_take(struct bench *b, bool in_order, struct image *ret)
{
    if (in_order) {
        buffer_close(b->buffer);
        b->buffer = NULL;
    } else {
        bench_cut(b, CRASH_ALL, 1);
    }
    take_file(b, BENCH_PATH, &ret->database, &ret->database_size);
    take_file(b, LOG, &ret->log, &ret->log_size);
}

void image_put(struct bench *b, const struct image *image)
{
    buffer_close(b->buffer);
    b->buffer = NULL;
    crash_vfs_reset(b->vfs);
    assert_true(crash_vfs_file_put(b->vfs, BENCH_PATH, image->database, image->database_size));
    assert_true(crash_vfs_file_put(b->vfs, LOG, image->log, image->log_size));
}

void image_free(struct image *image)
{
    free(image->database);
    free(image->log);
}

void image_copy(const struct image *from, struct image *ret)
{
    *ret = *from;
    ret->database = malloc(from->database_size);
    ret->log = malloc(from->log_size);
    memcpy(ret->database, from->database, from->database_size);
    memcpy(ret->log, from->log, from->log_size);
}

void image_junk_page(struct bench *b, struct image *image, uint64_t page)
{
    for (size_t i = 0; i < 4096; i++) {
        image->database[(page - 1) * 4096 + i] = (uint8_t)bench_below(b, 256);
    }
}

unsigned salvage_all(struct bench *b)
{
    for (unsigned turns = 1; turns < 3000; turns++) {
        enum err e = buffer_care(b->buffer, &b->changes, &b->why);
        if (e == ERR_CLOSED) {
            return turns;
        }
        if (e && e != ERR_FULL) {
            fail_msg("%s: %s", err_name(e), b->why.text);
        }
    }
    fail_msg("goes on for ever");
    return 0;
}
