/* What the files of the `tail` driver share: tail.c decides what is done next, tail_offer.c makes
 * events of what was read; tail_disk.h, tail_files.h and tail_lines.h stand for themselves. */
#ifndef WEIR_DRIVERS_TAIL_IMPL_H
#define WEIR_DRIVERS_TAIL_IMPL_H

#include "drivers/drivers.h"
#include "drivers/tail_files.h"

#define TAIL_CUT_SIZE ((size_t)64 * 1024) /* kept of a line over the limit */

struct tail_options {
    struct option_list paths;
    struct option_list exclude;
    int64_t format;
    int64_t from;
    int64_t poll_ms;
    int64_t line_size_max;
    int64_t flush_partial_after_ms;
    int64_t rotate_wait_ms;
    int64_t files_max;
};

extern const struct option tail_options_table[];

struct tail {
    struct driver driver;
    struct driver_host *host;
    const struct tail_options *options;
    struct loop *loop;
    struct worker *worker;
    struct timer poll;
    struct tail_files files;
    struct tail_scan scan;
    size_t *scan_slots;
    struct tail_read read;
    struct tail_file *read_file;
    uint8_t *buffer;
    size_t buffer_size;
    struct slice block; /* what is left of the block that was read */
    bool is_busy;       /* a job is at the worker */
    bool is_scan_due;
    uint64_t scan_begun_ms;
    bool is_blocked; /* ERR_FULL came; until resume() */
    bool is_stopped;
    bool has_fault;
    size_t next_file; /* round robin */
};

/* --- tail_offer.c --- */

/* Cursors without an event. False: blocked. What is owed goes before any further event. */
bool tail_owed_flush(struct tail *tail) MUST_USE;
/* Offers one line, which ends where `next` begins; `size` is its true size. False: blocked. */
bool tail_offer(struct tail *tail, struct slice line, uint64_t next, uint64_t size) MUST_USE;
/* Cuts what is left of the block into lines. */
void tail_block(struct tail *tail);

#endif
