/* A file that a command writes: it has its name when it is whole and synced; until then it is NAME.part. */
#ifndef WEIR_AGENT_OUT_FILE_H
#define WEIR_AGENT_OUT_FILE_H

#include <stdio.h>

#include "ports/err.h"
#include "ports/slice.h"

#define OUT_FILE_PATH_SIZE 4200

struct out_file {
    FILE *file;                    /* NULL: none is open */
    char path[OUT_FILE_PATH_SIZE]; /* "": standard output */
    char part[OUT_FILE_PATH_SIZE + 8];
};

/* "": standard output. */
enum err out_file_begin(struct out_file *ret, const char *path, struct why *why) MUST_USE;
enum err out_file_put(struct out_file *file, struct slice bytes, struct why *why) MUST_USE;
/* `good`: it gets its name; else what is there goes. Nothing when none is open. */
enum err out_file_finish(struct out_file *file, bool good, struct why *why) MUST_USE;
/* Why writing failed, by errno. */
enum err out_file_failed(const struct out_file *file, struct why *why) MUST_USE;

#endif
