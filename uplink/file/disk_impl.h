/* What the files of the disk's side share: disk.c writes, finishes and recovers, disk_state.c keeps
 * the state file and the lock. Worker. */
#ifndef WEIR_UPLINK_FILE_DISK_IMPL_H
#define WEIR_UPLINK_FILE_DISK_IMPL_H

#include "uplink/file/disk.h"

/* The error of errno: "can't VERB PATH: ...". */
enum err disk_failed(struct why *why, const char *verb, const char *path) MUST_USE;
/* Two writers would take the same names, and finish each other's files: the second one is refused
 * (ERR_CONFIG). */
enum err disk_lock(struct file_disk *disk, struct why *why) MUST_USE;
enum err disk_state_write(const struct file_disk *disk, struct why *why) MUST_USE;
enum err disk_state_read(struct file_disk *disk, struct why *why) MUST_USE;
/* The files that were finished last. */
struct file_done *disk_done_find(struct file_disk *disk, int64_t number, int32_t life);
void disk_done_add(struct file_disk *disk, int64_t number, int32_t life, int64_t size);

#endif
