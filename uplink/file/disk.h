/* What the file uplink does on its worker: container files that are complete, or known not to be,
 * whatever moment the power goes.
 *
 * Each batch is one block, appended to the stream's open file NAME.part and synced. A file that is
 * full or old enough is synced, entered into the stream's state file, and renamed to NAME. The
 * state file names the open file (so that a start finds it, cuts off a torn block, and finishes it)
 * and the last finished ones with their sizes: a batch that is sent again after a crash, known by
 * file number, life and offset, is there when its file has grown beyond the offset, and else not.
 */
#ifndef WEIR_UPLINK_FILE_DISK_H
#define WEIR_UPLINK_FILE_DISK_H

#include <limits.h>

#include "ports/uplink.h"
#include "uplink/avro/container.h"
#include "uplink/object/name.h"

#define FILE_DONE_MAX 16  /* finished files in the state: more than parcels can be open */
#define FILE_WIRE_HEAD 16 /* wrap() puts in front: i64 time of the first event, u64 events */

struct file_options {
    const char *path;
    const char *name;
    int64_t codec; /* enum container_codec */
    int64_t level;
    int64_t size_max;
    int64_t time_max_ms;
    int64_t free_min;
};
extern const struct option file_table[];

struct file_done {
    int64_t number;
    int32_t life;
    int64_t size;
};

/* The end of a file that an earlier life left open. */
struct file_tail {
    int64_t size;   /* behind the last whole block; 0: there is no such file */
    int64_t offset; /* that block's, as it was assigned: 0 for the first one */
    int64_t begin;  /* where its bytes are */
};

/* One stream's files. Used by one job at a time. */
struct file_disk {
    const struct file_options *options;
    const char *agent_id;
    uint32_t incarnation; /* in the names of new files */
    const char *stream;
    int lock_fd;    /* -1: not locked yet */
    int fd;         /* of the open file; -1: none */
    int64_t number; /* of it; also the last one given by the state */
    int32_t life;   /* random at each start: numbers of another life are not this one's */
    int64_t size;
    bool has_open;       /* the state names an open file */
    int64_t open_number; /* as in the state */
    int32_t open_life;
    char open_path[PATH_MAX]; /* final name, below options->path */
    uint8_t sync[CONTAINER_SYNC_SIZE];
    struct file_tail tail;
    struct file_done done[FILE_DONE_MAX]; /* newest last */
    size_t done_count;
};

/* Reads the state, takes up what an earlier life left: it is finished by the next write or by
 * file_disk_finish(). */
enum err file_disk_recover(struct file_disk *disk, struct why *why) MUST_USE;

struct file_write {
    int64_t number; /* where it goes: assigned numbers */
    int32_t life;
    int64_t offset;
    const struct schema_info *schema;
    uint32_t incarnation; /* of its events, as of all in its file */
    uint64_t first_sequence;
    struct slice wire;
};
enum file_outcome { FILE_STORED, FILE_WAS_THERE, FILE_IS_NOT_THERE };
/* Returns when it is on the disk. IS_NOT_THERE: certain, and it can't be put under
 * these numbers. */
enum err file_disk_write(struct file_disk *disk, const struct file_write *w, enum file_outcome *ret,
                         struct why *why) MUST_USE;
/* Finishes the open file; nothing to do without one. */
enum err file_disk_finish(struct file_disk *disk, struct why *why) MUST_USE;
/* Closes descriptors; the open file stays for file_disk_recover(). */
void file_disk_release(struct file_disk *disk);

#endif
