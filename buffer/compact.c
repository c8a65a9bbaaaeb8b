/* Giving free pages back to the file system. A new file beside the old one, then renamed over it:
 * at any moment one whole file stands under the name, and each page in use is written once (VACUUM
 * in place writes it three times, and needs the room twice). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "buffer/internal.h"
#include "buffer/look.h"
#include "ports/file.h"

#define ROOM_LEFT_MIN (1024 * 1024) /* on the disk, beside the new file */

static enum err system_error(struct why *why, const char *verb, const char *path)
{
    int number = errno;
    why_set(why, "can't %s %s: %s", verb, path, strerror(number));
    return err_of_errno(number);
}

static enum err check_room(const struct buffer *b, struct why *why)
{
    struct statvfs disk;
    uint64_t wanted =
        (uint64_t)(b->page_count - b->freelist_count + RESERVE_PAGES) * PAGE_SIZE + ROOM_LEFT_MIN;
    if (statvfs(b->path, &disk) != 0) {
        return system_error(why, "ask about the disk of", b->path);
    }
    uint64_t there = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (there < wanted) {
        why_set(why,
                "the new file needs %.1f MiB beside %s, and the disk has %.1f MiB free: make room, "
                "or let uplinks deliver more first",
                (double)wanted / 1048576, b->path, (double)there / 1048576);
        return ERR_NOSPACE;
    }
    return ERR_OK;
}

/* An empty file of the old one's owner and mode: the agent has to be able to open it. */
static enum err make_new(const struct buffer *b, const char *path, struct why *why)
{
    struct stat is;
    if (stat(b->path, &is) != 0) {
        return system_error(why, "look at", b->path);
    }
    (void)unlink(path); /* of an earlier one that was stopped */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, is.st_mode & 0777);
    if (fd < 0) {
        return system_error(why, "make", path);
    }
    bool done = fchmod(fd, is.st_mode & 0777) == 0 &&
                (geteuid() != 0 || fchown(fd, is.st_uid, is.st_gid) == 0);
    enum err e = done ? ERR_OK : system_error(why, "set the mode of", path);
    (void)close(fd); /* nothing was written */
    return e;
}

static enum err copy_into(struct buffer *b, const char *path, struct why *why)
{
    sqlite3_stmt *s = NULL;
    if (b->salvage) {
        why_set(why, "%s: a damaged file is being salvaged; compact it when that is done", b->path);
        return ERR_CONFIG;
    }
    /* The new file has no log, and does not miss one. Its tables have the places that a new one's
     * have: where a first page is destroyed, another's stands in for it. */
    enum err e = sql_exec(b,
                          "UPDATE meta SET v=0 WHERE k='open';"
                          "DROP TABLE IF EXISTS salvage",
                          why);
    if (e) {
        return e;
    }
    int code = sqlite3_prepare_v2(b->db, "VACUUM INTO ?", -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_text(s, 1, path, -1, SQLITE_STATIC);
        code = sqlite3_step(s);
    }
    int extended = sqlite3_extended_errcode(b->db);
    (void)sqlite3_finalize(s); /* repeats the error that step() gave */
    return code == SQLITE_DONE ? ERR_OK : sql_error(b, extended, "compacting", why);
}

static enum err sync_file(const char *path, uint64_t *ret_size, struct why *why)
{
    struct stat is;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0 && fstat(fd, &is) == 0;
    enum err e = done ? ERR_OK : system_error(why, "sync", path);
    if (done) {
        *ret_size = (uint64_t)is.st_size;
    }
    if (fd >= 0) {
        (void)close(fd); /* synced */
    }
    return e;
}

/* Nothing may be left in the log: it would be taken for one of the new file. */
static enum err empty_log(struct buffer *b, struct why *why)
{
    int frames = 0;
    int moved = 0;
    int code = sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &frames, &moved);
    if (code != SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "checkpointing", why);
    }
    if (frames != moved) {
        why_set(why, "checkpointing %s: only %d of %d pages", b->path, moved, frames);
        return ERR_IO;
    }
    return ERR_OK;
}

enum err buffer_compact(struct buffer *b, uint64_t *ret_before, uint64_t *ret_after,
                        struct why *why)
{
    char path[sizeof b->path + 16];
    struct stat is;
    uint64_t after = 0;
    (void)snprintf(path, sizeof path, "%s.compact", b->path); /* fits */
    enum err e = check_room(b, why);
    if (!e && stat(b->path, &is) != 0) {
        e = system_error(why, "look at", b->path);
    }
    e = e ? e : make_new(b, path, why);
    if (e) {
        return e;
    }
    e = copy_into(b, path, why);
    e = e ? e : sync_file(path, &after, why);
    e = e ? e : empty_log(b, why);
    if (!e && rename(path, b->path) != 0) {
        e = system_error(why, "rename to the buffer", path);
    }
    if (e) {
        (void)unlink(path); /* the old file stands */
        return e;
    }
    (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    b->joined_all = false; /* closing writes nothing more */
    *ret_before = (uint64_t)is.st_size;
    *ret_after = after;
    return file_sync_folder(b->path, why);
}
