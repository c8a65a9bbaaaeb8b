/* What `tail` does on its worker, because a file on a slow card or a network mount may block: look
 * for files, and read blocks of them. Both jobs get everything by value or lent for their time. */
#ifndef WEIR_DRIVERS_TAIL_DISK_H
#define WEIR_DRIVERS_TAIL_DISK_H

#include "drivers/place.h"
#include "ports/option.h"
#include "ports/worker.h"

#define TAIL_COMPARE_SIZE 4096 /* bytes before the read offset in which a copy must agree too */

/* A file that the driver has open, or of which it has only a cursor. */
struct tail_known {
    int fd; /* -1: only a cursor */
    uint64_t device;
    uint64_t inode;
    const char *path;
    int copy_of;      /* index of the file of which this one looks like a copy; -1: none */
    uint64_t copy_at; /* how far that one is read */
    /* the scan's answer */
    bool is_seen; /* a path of the patterns leads to it */
    bool is_gone; /* only a cursor: its folder is there, the file is not */
    bool is_same; /* with copy_of: the bytes that both have agree as far as was compared */
    uint64_t size;
    int64_t changed_ns;
};

/* A file that the driver does not have open. The driver takes over `fd`, or closes it. */
struct tail_found {
    int fd;
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    int64_t changed_ns;
    uint16_t head_size;
    uint8_t head[PLACE_HEAD_MAX];
    char path[PLACE_PATH_MAX + 1];
};

struct tail_scan {
    struct job job;
    const struct option_list *patterns; /* const char * each */
    const struct option_list *exclude;
    struct tail_known *known;
    size_t known_count;
    struct tail_found *found;
    size_t found_max;
    size_t found_count;
    size_t refused_count; /* found, but there was no room in `found`, or the path is too long */
    struct why why;       /* "" or why a file can't be opened */
};
void tail_scan_work(struct job *job);

struct tail_read {
    struct job job;
    int fd;
    uint64_t at;
    uint8_t *data;
    size_t size_max;
    /* the answer */
    size_t size;
    uint16_t head_size; /* the first bytes of the file, read after the data */
    uint8_t head[PLACE_HEAD_MAX];
    uint64_t file_size;
    int number; /* errno; 0: fine */
};
void tail_read_work(struct job *job);

#endif
