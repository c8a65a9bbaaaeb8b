/* A thin VFS of SQLite that passes everything on and counts what reaches the disk: the wear. One
 * for each open buffer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"

#define DIRTY_MAX \
    1024 /* distinct blocks remembered between two syncs; further ones count once more when \
            written again */

struct vfs_count {
    sqlite3_vfs vfs;
    sqlite3_vfs *below;
    char name[40];
    struct buffer_wear wear;
    int hidden;                /* device characteristics that are not passed on */
    int last_errno;            /* of the last operation that failed; 0: the system gave none */
    const uint8_t *first_page; /* instead of the database's own; NULL: its own */
};

struct counted_file {
    sqlite3_file base;
    struct vfs_count *owner;
    uint32_t dirty[DIRTY_MAX]; /* block numbers since the last sync */
    size_t dirty_count;
    bool keeps_size;
    bool reads_only; /* was to be opened for writing, which the file system refused */
    bool is_database;
    sqlite3_file *below; /* behind this struct */
};

static struct counted_file *counted(sqlite3_file *file)
{
    return (struct counted_file *)(void *)file;
}

static sqlite3_file *under(sqlite3_file *file)
{
    return counted(file)->below;
}

/* Passes the code of an operation on, and keeps the reason behind it, which SQLite's codes do not
 * tell: a read-only file system and a broken one look alike. */
static int keep_reason(struct vfs_count *vfs, int code)
{
    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) {
        vfs->last_errno = errno;
    }
    return code;
}

static void note_block(struct counted_file *file, uint32_t block)
{
    for (size_t i = file->dirty_count; i-- > 0;) {
        if (file->dirty[i] == block) {
            return;
        }
    }
    if (file->dirty_count < DIRTY_MAX) {
        file->dirty[file->dirty_count++] = block;
    }
    file->owner->wear.bytes += PAGE_SIZE;
}

static int count_close(sqlite3_file *file)
{
    return under(file)->pMethods ? under(file)->pMethods->xClose(under(file)) : SQLITE_OK;
}

static int count_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    errno = 0;
    int code = keep_reason(counted(file)->owner,
                           under(file)->pMethods->xRead(under(file), data, size, offset));
    const uint8_t *first_page =
        counted(file)->is_database ? counted(file)->owner->first_page : NULL;
    if (code == SQLITE_OK && first_page && offset + size <= PAGE_SIZE) {
        memcpy(data, first_page + offset, (size_t)size);
    }
    return code;
}

static int count_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    struct counted_file *c = counted(file);
    c->owner->wear.bytes_asked += (uint64_t)size;
    for (sqlite3_int64 block = offset / PAGE_SIZE;
         size > 0 && block <= (offset + size - 1) / PAGE_SIZE; block++) {
        note_block(c, (uint32_t)block);
    }
    errno = 0;
    return keep_reason(c->owner, c->below->pMethods->xWrite(c->below, data, size, offset));
}

static int count_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    errno = 0;
    return keep_reason(counted(file)->owner, under(file)->pMethods->xFileSize(under(file), ret));
}

/* A checkpoint cuts the database off behind its last page: what vfs_count_grow() has won stays. */
static int count_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_int64 is = 0;
    if (counted(file)->keeps_size && count_size(file, &is) == SQLITE_OK && size <= is) {
        return SQLITE_OK;
    }
    errno = 0;
    return keep_reason(counted(file)->owner, under(file)->pMethods->xTruncate(under(file), size));
}

static int count_sync(sqlite3_file *file, int flags)
{
    counted(file)->owner->wear.syncs++;
    counted(file)->dirty_count = 0;
    errno = 0;
    return keep_reason(counted(file)->owner, under(file)->pMethods->xSync(under(file), flags));
}

/* The system gives no write lock on a file that is open for reading; where nobody can write, none is
 * needed. */
static int count_lock(sqlite3_file *file, int level)
{
    level = counted(file)->reads_only && level > SQLITE_LOCK_SHARED ? SQLITE_LOCK_SHARED : level;
    errno = 0;
    return keep_reason(counted(file)->owner, under(file)->pMethods->xLock(under(file), level));
}

static int count_unlock(sqlite3_file *file, int level)
{
    return under(file)->pMethods->xUnlock(under(file), level);
}

static int count_reserved(sqlite3_file *file, int *ret)
{
    return under(file)->pMethods->xCheckReservedLock(under(file), ret);
}

static int count_control(sqlite3_file *file, int op, void *argument)
{
    return under(file)->pMethods->xFileControl(under(file), op, argument);
}

static int count_sector(sqlite3_file *file)
{
    return under(file)->pMethods->xSectorSize(under(file));
}

/* Without powersafe overwrite, whatever the file system below says: psow=0. */
static int count_device(sqlite3_file *file)
{
    return under(file)->pMethods->xDeviceCharacteristics(under(file)) &
           ~counted(file)->owner->hidden;
}

static const sqlite3_io_methods count_methods = {
    .iVersion =
        1, /* no shared memory: the WAL's index is kept in this process, locking_mode=EXCLUSIVE */
    .xClose = count_close,
    .xRead = count_read,
    .xWrite = count_write,
    .xTruncate = count_truncate,
    .xSync = count_sync,
    .xFileSize = count_size,
    .xLock = count_lock,
    .xUnlock = count_unlock,
    .xCheckReservedLock = count_reserved,
    .xFileControl = count_control,
    .xSectorSize = count_sector,
    .xDeviceCharacteristics = count_device,
};

static struct vfs_count *owner_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int count_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *ret_flags)
{
    struct counted_file *c = counted(file);
    memset(c, 0, sizeof *c);
    c->owner = owner_of(vfs);
    c->below = (sqlite3_file *)(void *)(c + 1);
    c->is_database = flags & SQLITE_OPEN_MAIN_DB;
    memset(c->below, 0, (size_t)c->owner->below->szOsFile);
    errno = 0;
    int code = keep_reason(
        c->owner, c->owner->below->xOpen(c->owner->below, name, c->below, flags, ret_flags));
    c->base.pMethods = c->below->pMethods ? &count_methods : NULL;
    if (code == SQLITE_OK && (flags & SQLITE_OPEN_READWRITE) && ret_flags &&
        (*ret_flags & SQLITE_OPEN_READONLY)) {
        c->owner->last_errno = errno; /* of the first try, for writing */
        c->reads_only = true;
    }
    return code;
}

static int count_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    errno = 0;
    return keep_reason(owner_of(vfs),
                       owner_of(vfs)->below->xDelete(owner_of(vfs)->below, name, sync_folder));
}

static int count_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    return owner_of(vfs)->below->xAccess(owner_of(vfs)->below, name, flags, ret);
}

static int count_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    return owner_of(vfs)->below->xFullPathname(owner_of(vfs)->below, name, size, ret);
}

static int count_randomness(sqlite3_vfs *vfs, int size, char *ret)
{
    return owner_of(vfs)->below->xRandomness(owner_of(vfs)->below, size, ret);
}

static int count_sleep(sqlite3_vfs *vfs, int microseconds)
{
    return owner_of(vfs)->below->xSleep(owner_of(vfs)->below, microseconds);
}

static int count_time(sqlite3_vfs *vfs, double *ret)
{
    return owner_of(vfs)->below->xCurrentTime(owner_of(vfs)->below, ret);
}

static int count_last_error(sqlite3_vfs *vfs, int size, char *ret)
{
    return owner_of(vfs)->below->xGetLastError
               ? owner_of(vfs)->below->xGetLastError(owner_of(vfs)->below, size, ret)
               : 0;
}

enum err vfs_count_open(struct vfs_count **ret, const char *below, bool keeps_psow)
{
    struct vfs_count *v = calloc(1, sizeof *v);
    if (!v) {
        return ERR_NOMEM;
    }
    v->hidden = keeps_psow ? 0 : SQLITE_IOCAP_POWERSAFE_OVERWRITE;
    v->below = sqlite3_vfs_find(below);
    if (!v->below) {
        free(v);
        return ERR_CONFIG;
    }
    (void)snprintf(v->name, sizeof v->name, "weir-%p", (void *)v); /* fits */
    v->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct counted_file) + v->below->szOsFile,
        .mxPathname = v->below->mxPathname,
        .zName = v->name,
        .pAppData = v,
        .xOpen = count_open,
        .xDelete = count_delete,
        .xAccess = count_access,
        .xFullPathname = count_full_path,
        .xRandomness = count_randomness,
        .xSleep = count_sleep,
        .xCurrentTime = count_time,
        .xGetLastError = count_last_error,
    };
    if (sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
        free(v);
        return ERR_NOMEM;
    }
    *ret = v;
    return ERR_OK;
}

void vfs_count_close(struct vfs_count *vfs)
{
    if (vfs) {
        (void)sqlite3_vfs_unregister(&vfs->vfs); /* was registered */
        free(vfs);
    }
}

void vfs_count_errno_set(struct vfs_count *vfs, int number)
{
    vfs->last_errno = number;
}

int vfs_count_errno(const struct vfs_count *vfs)
{
    return vfs->last_errno;
}

const char *vfs_count_name(const struct vfs_count *vfs)
{
    return vfs->name;
}

int64_t vfs_count_grow(sqlite3 *db, int64_t pages)
{
    static uint8_t zeros[PAGE_SIZE]; /* never written; const, it would be a page of the program */
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, (void *)&file) != SQLITE_OK ||
        !file || file->pMethods != &count_methods || count_size(file, &size) != SQLITE_OK) {
        return 0;
    }
    counted(file)->keeps_size = true;
    while (size / PAGE_SIZE < pages) {
        sqlite3_int64 step = pages * PAGE_SIZE - size;
        step = step < (sqlite3_int64)sizeof zeros ? step : (sqlite3_int64)sizeof zeros;
        if (count_write(file, zeros, (int)step, size) != SQLITE_OK) {
            break;
        }
        size += step;
    }
    return size / PAGE_SIZE;
}

void vfs_count_first_page_set(struct vfs_count *vfs, const uint8_t *page)
{
    vfs->first_page = page;
}

void vfs_count_get(const struct vfs_count *vfs, struct buffer_wear *ret)
{
    *ret = vfs->wear;
}
