/* The files that `tail` follows: a table of a fixed size. Which file an inode is, what a scan
 * changes, what a truncation means. Loop thread; no input or output of its own.
 *
 * Slot i has cursor key i + 1; key 0 says that the driver has run before. */
#ifndef WEIR_DRIVERS_TAIL_FILES_H
#define WEIR_DRIVERS_TAIL_FILES_H

#include "drivers/tail_disk.h"

#define TAIL_CURSOR_STARTED 0

/* What has to be told to intake about a cursor, before any further event. */
enum tail_owed {
    TAIL_OWED_NOTHING,
    TAIL_OWED_SET,
    TAIL_OWED_DELETE,
};

struct tail_file {
    bool is_used;
    int fd; /* -1: only a cursor, the file was not found yet */
    uint64_t device;
    uint64_t inode;
    char *path;         /* where it was first seen; malloc'd */
    uint64_t offset;    /* of the first line that was not offered */
    uint64_t scanned;   /* no newline in offset..scanned */
    uint64_t long_next; /* a line over the limit: offset of the line behind it; 0: none found */
    uint16_t head_size; /* of what is in `head`; the file's first bytes, of this generation */
    uint8_t head[PLACE_HEAD_MAX];
    uint64_t head_hash; /* of the first place_head_size(offset) bytes */
    uint64_t size;      /* at the last scan */
    int64_t changed_ns; /* likewise */
    uint64_t
        seen; /* twice the number of the scan that first saw it, 1 more for one that begins anew
                    * under its name; 0: known from before the start */
    uint64_t quiet_since_ms;   /* nothing was written since */
    bool is_ready;             /* has to be read */
    bool is_missing;           /* no path led to it in the last scan */
    uint64_t missing_since_ms; /* in each scan since then */
    bool is_flushed;           /* what is there without a newline is to be taken as a line */
    bool is_truncated; /* seen to be shorter or another: waits for a scan that finds its copy */
    int copy_of;       /* looks like a copy of that slot, and waits; -1: no */
    bool is_suspect;   /* with copy_of: they differ, unless the original was truncated */
    bool is_checked;   /* its head was compared since it was last suspected */
    enum tail_owed owed;
};

struct tail_files {
    struct tail_file *files;
    size_t count_max;
    bool has_started;   /* a cursor 0 was there */
    bool is_start_owed; /* cursor 0 has to be set */
    bool is_from_end;   /* the option `from` */
    uint64_t scan_count;
    size_t truncated_count; /* counters, taken and cleared by the driver */
    size_t finished_count;
    size_t refused_count;
};

enum err tail_files_init(struct tail_files *files, size_t count_max) MUST_USE;
/* Closes what is open. Accepts a zeroed one. */
void tail_files_release(struct tail_files *files);

/* At start, for each stored cursor. */
void tail_files_restore(struct tail_files *files, uint32_t key, struct slice cursor);

/* Fills one tail_known for each used slot, index for index with ret_slots. Both have count_max
 * places. */
size_t tail_files_known(const struct tail_files *files, struct tail_known *known,
                        size_t *ret_slots);

/* Takes over what a scan found. `slots` as tail_files_known() filled it. */
void tail_files_scanned(struct tail_files *files, struct tail_scan *scan, const size_t *slots,
                        uint64_t now_ms);

/* Is what was read just now still the file whose first `offset` bytes were consumed? Takes over the
 * head when it is; else marks the file as truncated. */
bool tail_file_check(struct tail_file *file, const struct tail_read *read_);
/* Moves to `offset`; the head must be known as far as the fingerprint needs it. */
void tail_file_advance(struct tail_file *file, uint64_t offset);
/* The cursor of the place `offset`, without moving there. */
void tail_file_cursor(const struct tail_file *file, uint64_t offset, struct out *ret);
/* Is `a` an older generation of the same log as `b`: "app.log.1", "app.log-20260301" of "app.log",
 * or renamed since it was first seen? Lines keep their order across a rotation. */
bool tail_file_is_older(const struct tail_file *a, const struct tail_file *b);
/* It is read to its end and nobody will write to it any more. */
void tail_file_finish(struct tail_files *files, struct tail_file *file);

#endif
