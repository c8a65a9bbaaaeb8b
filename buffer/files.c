/* Whole files: there, moved, removed, read as they are; through SQLite's file system layer, so that
 * tests may have another disk. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buffer/damage.h"
#include "ports/clock.h"
#include "ports/file.h"

#define ROOM_STEP (256 * 1024)
#define ROOM_ENOUGH (16 << 20)                /* for a fresh file, its log, and open parcels */
#define ROOM_WAIT_US (600 * INT64_C(1000000)) /* what is free may have been measured too late */

struct raw_file {
    sqlite3_file *file;
    char *name; /* as SQLite's layer wants it: with what may follow a name behind */
    int code;   /* of the last read */
};

static sqlite3_vfs *layer(const struct buffer *b)
{
    return sqlite3_vfs_find(b->vfs_name[0] ? b->vfs_name : NULL);
}

void log_name(char ret[FILE_NAME_SIZE], const char *name)
{
    (void)snprintf(ret, FILE_NAME_SIZE, "%s-wal", name); /* FILE_NAME_SIZE has room for it */
}

bool file_there(const struct buffer *b, const char *name)
{
    int there = 0;
    sqlite3_vfs *vfs = layer(b);
    return vfs->xAccess(vfs, name, SQLITE_ACCESS_EXISTS, &there) == SQLITE_OK && there;
}

bool file_is_same(const struct buffer *b, const char *name)
{
    struct file_place own;
    struct file_place other;
    return strcmp(name, b->path) == 0 ||
           (!b->vfs_name[0] && !file_place_of(b->path, &own) && !file_place_of(name, &other) &&
            own.device == other.device && own.number == other.number);
}

void file_remove(const struct buffer *b, const char *name)
{
    sqlite3_vfs *vfs = layer(b);
    (void)vfs->xDelete(vfs, name, 1); /* what stays is removed another time */
}

/* A file that is there, and held open: on a real disk it is looked at by its name, because closing
 * it would give up SQLite's locks. */
static bool room_of(const struct buffer *b, const char *name, uint64_t *ret)
{
    if (!b->vfs_name[0]) {
        return file_room(name, ret);
    }
    struct raw_file *raw = raw_open(b, name, false);
    bool done =
        raw && raw->file->pMethods->xFileControl(raw->file, BUFFER_FCNTL_ROOM, ret) == SQLITE_OK;
    raw_close(raw);
    return done;
}

/* Where there was room enough it is a quota that is full, of which no more can be seen. */
void room_missed(struct buffer *b, const char *bad)
{
    uint64_t room = 0;
    bool is_small = room_of(b, bad, &room) && room < ROOM_ENOUGH;
    b->disk_room.needed = is_small ? room + ROOM_STEP : UINT64_MAX;
    b->disk_room.again_us = clock_monotonic_us() + ROOM_WAIT_US;
}

bool room_is_missing(const struct buffer *b, const char *bad)
{
    uint64_t room = 0;
    return b->disk_room.needed > 0 && clock_monotonic_us() < b->disk_room.again_us &&
           (b->disk_room.needed == UINT64_MAX ||
            (room_of(b, bad, &room) && room < b->disk_room.needed));
}

/* SQLite's code; SQLITE_NOTFOUND: it is not there. *ret_errno: what the system said. */
static int raw_make(const struct buffer *b, const char *name, bool is_log, struct raw_file **ret,
                    int *ret_errno)
{
    sqlite3_vfs *vfs = layer(b);
    struct raw_file *raw = calloc(1, sizeof *raw + (size_t)vfs->szOsFile);
    int flags = SQLITE_OPEN_READWRITE | (is_log ? SQLITE_OPEN_WAL : SQLITE_OPEN_MAIN_DB);
    int code = SQLITE_NOMEM;
    int there = 0;
    if (raw) {
        raw->file = (sqlite3_file *)(void *)(raw + 1);
        raw->name = (char *)(uintptr_t)sqlite3_create_filename(name, "", "", 0, NULL);
    }
    if (raw && raw->name) {
        errno = 0;
        code = vfs->xAccess(vfs, name, SQLITE_ACCESS_EXISTS, &there);
        code = code ? code : there ? SQLITE_OK : SQLITE_NOTFOUND;
        code = code ? code : vfs->xOpen(vfs, raw->name, raw->file, flags, NULL);
        *ret_errno = errno;
    }
    if (code == SQLITE_OK) {
        *ret = raw;
    } else if (raw) {
        sqlite3_free_filename(raw->name);
        free(raw);
    }
    return code;
}

enum err raw_try(const struct buffer *b, const char *name, bool is_log, struct raw_file **ret,
                 struct why *why)
{
    int number = 0;
    *ret = NULL;
    int code = raw_make(b, name, is_log, ret, &number);
    if ((code & 0xff) == SQLITE_NOMEM) {
        why_set(why, "opening %s: no memory", name);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

enum err raw_need(const struct buffer *b, const char *name, bool is_log, struct raw_file **ret,
                  struct why *why)
{
    int number = 0;
    *ret = NULL;
    int code = raw_make(b, name, is_log, ret, &number);
    if (code == SQLITE_OK || code == SQLITE_NOTFOUND) {
        return ERR_OK;
    }
    bool no_memory = (code & 0xff) == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM;
    bool no_rights = number == EACCES || number == EPERM;
    why_set(why, "opening %s: %s", name,
            no_memory          ? "no memory"
            : no_rights        ? "not allowed: give the user of the agent the right to write it"
            : number == EMFILE ? "too many open files: raise the limit (LimitNOFILE)"
            : number == 0      ? "it is there, and can't be opened"
                               : strerror(number));
    return no_memory ? ERR_NOMEM : no_rights ? ERR_AUTH : ERR_IO;
}

struct raw_file *raw_open(const struct buffer *b, const char *name, bool is_log)
{
    struct raw_file *raw = NULL;
    enum err e = raw_try(b, name, is_log, &raw, NULL);
    return e ? NULL : raw;
}

size_t raw_read(struct raw_file *raw, uint64_t offset, uint8_t *ret, size_t size)
{
    const sqlite3_io_methods *of = raw->file->pMethods;
    sqlite3_int64 end = 0;
    size_t asked = size;
    raw->code = of->xFileSize(raw->file, &end);
    if (raw->code == SQLITE_OK && offset >= (uint64_t)end) {
        raw->code = SQLITE_IOERR_SHORT_READ;
    }
    if (raw->code != SQLITE_OK) {
        return 0;
    }
    uint64_t there = (uint64_t)end - offset;
    size = there < size ? (size_t)there : size;
    raw->code = of->xRead(raw->file, ret, (int)size, (sqlite3_int64)offset);
    if (raw->code != SQLITE_OK) {
        return 0;
    }
    raw->code = size < asked ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
    return size;
}

int raw_code(const struct raw_file *raw)
{
    return raw->code;
}

enum err raw_write(struct raw_file *raw, uint64_t offset, const uint8_t *data, size_t size)
{
    const sqlite3_io_methods *of = raw->file->pMethods;
    errno = 0;
    int code = of->xWrite(raw->file, data, (int)size, (sqlite3_int64)offset);
    code = code == SQLITE_OK ? of->xSync(raw->file, SQLITE_SYNC_NORMAL) : code;
    bool is_full = (code & 0xff) == SQLITE_FULL || errno == ENOSPC || errno == EDQUOT;
    return code == SQLITE_OK ? ERR_OK : is_full ? ERR_NOSPACE : ERR_IO;
}

uint64_t raw_size(struct raw_file *raw)
{
    sqlite3_int64 size = 0;
    return raw->file->pMethods->xFileSize(raw->file, &size) == SQLITE_OK ? (uint64_t)size : 0;
}

void raw_close(struct raw_file *raw)
{
    if (raw) {
        (void)raw->file->pMethods->xClose(raw->file); /* was read only */
        sqlite3_free_filename(raw->name);
        free(raw);
    }
}

enum err file_lock(const struct buffer *b, const char *name, struct raw_file **ret, struct why *why)
{
    struct raw_file *raw = NULL;
    int code = SQLITE_CANTOPEN;
    enum err e = raw_try(b, name, false, &raw, why);
    if (raw) {
        code = raw->file->pMethods->xLock(raw->file, SQLITE_LOCK_SHARED);
        code = code ? code : raw->file->pMethods->xLock(raw->file, SQLITE_LOCK_EXCLUSIVE);
    }
    *ret = code == SQLITE_OK ? raw : NULL;
    if (code != SQLITE_OK) {
        raw_close(raw);
    }
    if (code == SQLITE_BUSY) {
        why_set(why, "opening %s: another process has it open: is the agent running already?",
                name);
        return ERR_FULL;
    }
    return e;
}

static enum err move_elsewhere(struct buffer *b, const char *from, const char *to, struct why *why)
{
    struct raw_file *raw = NULL;
    enum err e = raw_try(b, from, false, &raw, why);
    if (e) {
        return e;
    }
    int code = raw ? raw->file->pMethods->xFileControl(raw->file, BUFFER_FCNTL_RENAME,
                                                       (void *)(uintptr_t)to)
                   : SQLITE_CANTOPEN;
    raw_close(raw);
    return code == SQLITE_OK ? ERR_OK : ERR_IO;
}

enum err file_move(struct buffer *b, const char *from, const char *to, struct why *why)
{
    enum err e = ERR_OK;
    bool is_moved = !file_there(b, from) && file_there(b, to);
    if (is_moved && b->vfs_name[0]) {
        return ERR_OK;
    }
    if (b->vfs_name[0]) {
        e = move_elsewhere(b, from, to, why);
    } else if (!is_moved && rename(from, to)) {
        e = err_of_errno(errno);
    } else {
        return file_sync_folder(to, why);
    }
    if (e) {
        why_set(why, "moving %s to %s: %s", from, to, err_name(e));
    }
    return e;
}
