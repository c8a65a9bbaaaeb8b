/* The files of the status page, packed: made from agent/page/ by pack.cmake. */
#ifndef WEIR_AGENT_STATUS_FILES_H
#define WEIR_AGENT_STATUS_FILES_H

#include <stdbool.h>

#include "ports/slice.h"

struct status_file {
    const char *path; /* that it is asked by */
    const char *content_type;
    bool is_packed; /* gzip */
    struct slice body;
};

extern const struct status_file status_files[];
extern const size_t status_file_count;

#endif
