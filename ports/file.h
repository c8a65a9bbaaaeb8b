/* Files that must be there after a power cut: written beside, synced, renamed, the folder synced.
 * Blocking: on a worker, or at start. */
#ifndef WEIR_PORTS_FILE_H
#define WEIR_PORTS_FILE_H

#include <sys/types.h>

#include "ports/err.h"
#include "ports/slice.h"

/* The whole file, at most size_max bytes, in malloc'd memory with a NUL behind (not counted in
 * ret->size); the caller frees ret->data. ERR_REJECTED: larger. */
enum err file_read(const char *path, size_t size_max, struct slice *ret, struct why *why) MUST_USE;
/* As file_read(), and refuses a file that others may read (mode & 077, unless owned by root and
 * group-readable). */
enum err file_read_secret(const char *path, size_t size_max, struct slice *ret,
                          struct why *why) MUST_USE;
/* Replaces `path` in one step: temporary file, fsync, rename, fsync of the folder. */
enum err file_replace(const char *path, struct slice content, mode_t mode,
                      struct why *why) MUST_USE;
/* mkdir -p with mode 0750 for what is missing. */
enum err file_make_folders(const char *path, struct why *why) MUST_USE;
/* fsync of the folder that holds `path`. */
enum err file_sync_folder(const char *path, struct why *why) MUST_USE;
/* Which file a path leads to: another device or number is another file, as after a new mount. */
struct file_place {
    uint64_t device;
    uint64_t number;
};
enum err file_place_of(const char *path, struct file_place *ret) MUST_USE;
/* Can the file be written, and does its file system have so many bytes left? Looks only. */
bool file_may_write(const char *path, uint64_t room);
/* Bytes that the file system has left for this file. False: it does not say. */
bool file_room(const char *path, uint64_t *ret) MUST_USE;
/* All bytes at the current position, or an error. */
enum err file_write_all(int fd, struct slice data) MUST_USE;

#endif
