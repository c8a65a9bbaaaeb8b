#include "tests/sim/crash_vfs.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "buffer/buffer.h"
#include "tests/sim/crash_disk.h"

#define HANDLE_MAX 64

struct crash_file;

struct crash_vfs {
    sqlite3_vfs vfs;
    char name[32];
    struct crash_disk disk;
    struct crash_file *handles[HANDLE_MAX]; /* open ones */
    uint64_t life;                          /* rises at each crash: older handles are dead */
    bool frozen;
    uint64_t freeze_in; /* operations left until it freezes; 0: it does not */
    struct crash_fault fault;
    uint64_t fault_count;
    uint64_t disk_size;
    bool is_read_only;
    struct crash_counts counts;
    uint64_t randomness;
};

struct crash_file {
    sqlite3_file base;
    struct crash_vfs *vfs;
    struct disk_file *file;
    uint64_t life;
    int lock;
    int persist_wal;
    bool delete_on_close;
    bool is_log; /* a journal or WAL */
    bool reads_only;
};

static struct crash_file *file_of(sqlite3_file *file)
{
    return (struct crash_file *)(void *)file;
}

/* --- counting, freezing, failing --- */

static bool is_wal(const struct disk_file *file)
{
    size_t size = strlen(file->name);
    return size > 4 && strcmp(file->name + size - 4, "-wal") == 0;
}

static void measure(struct crash_vfs *v)
{
    uint64_t size = 0;
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        const struct disk_file *file = &v->disk.files[i];
        if (file->exists) {
            size += file->now_size;
            if (is_wal(file) && file->now_size > v->counts.wal_high) {
                v->counts.wal_high = file->now_size;
            }
        }
    }
    v->counts.size = size;
    v->counts.size_high = size > v->counts.size_high ? size : v->counts.size_high;
}

enum verdict { GO_ON, FAIL };

/* Every operation passes here first. */
static enum verdict begin(struct crash_vfs *v, enum crash_op op)
{
    v->counts.ops[op]++;
    v->counts.ops_all++;
    bool changes = op != CRASH_OP_READ && op != CRASH_OP_LOCK && op != CRASH_OP_SIZE;
    if (changes && v->freeze_in > 0 && --v->freeze_in == 0) {
        v->frozen = true;
    }
    if (v->frozen) {
        errno = EIO;
        return FAIL;
    }
    if (v->is_read_only &&
        (op == CRASH_OP_WRITE || op == CRASH_OP_TRUNCATE || op == CRASH_OP_DELETE)) {
        errno = EROFS;
        return FAIL;
    }
    struct crash_fault *fault = &v->fault;
    if (fault->nth == 0 || (fault->op != CRASH_OP_EVERY && fault->op != op)) {
        return GO_ON;
    }
    if (fault->nth > 1) {
        fault->nth--;
        return GO_ON;
    }
    v->fault_count++;
    errno = fault->error ? fault->error : fault->is_full ? ENOSPC : EIO;
    if (fault->repeat == 0) {
        fault->nth = 0; /* is_short, sync_drops stay readable for the caller */
    } else if (fault->repeat != UINT64_MAX) {
        fault->repeat--;
    }
    return FAIL;
}

static bool is_dead(const struct crash_file *f)
{
    return f->life != f->vfs->life;
}

/* --- files --- */

static void handle_forget(struct crash_file *f)
{
    for (size_t i = 0; i < HANDLE_MAX; i++) {
        if (f->vfs->handles[i] == f) {
            f->vfs->handles[i] = NULL;
        }
    }
}

static int crash_close(sqlite3_file *file)
{
    struct crash_file *f = file_of(file);
    handle_forget(f);
    if (!is_dead(f)) {
        f->file->open_count--;
        if (f->delete_on_close && !f->vfs->frozen) {
            disk_delete(&f->vfs->disk, f->file);
            measure(f->vfs);
        }
    }
    return SQLITE_OK;
}

static int crash_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    struct crash_file *f = file_of(file);
    if (is_dead(f) || begin(f->vfs, CRASH_OP_READ) == FAIL) {
        /* As SQLite's own layer, whose caller then speaks of a damaged database. */
        return errno == EIO ? SQLITE_IOERR_CORRUPTFS : SQLITE_IOERR_READ;
    }
    uint64_t end = f->file->now_size;
    uint64_t there = (uint64_t)offset < end ? end - (uint64_t)offset : 0;
    there = there < (uint64_t)size ? there : (uint64_t)size;
    memcpy(data, f->file->now + offset, there);
    memset((uint8_t *)data + there, 0, (uint64_t)size - there);
    return there == (uint64_t)size ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static bool fits_disk(const struct crash_vfs *v, const struct disk_file *file, uint64_t end)
{
    return end <= file->now_size || v->counts.size + (end - file->now_size) <= v->disk_size;
}

static int crash_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    struct crash_file *f = file_of(file);
    struct crash_vfs *v = f->vfs;
    if (is_dead(f)) {
        return SQLITE_IOERR_WRITE;
    }
    bool fails = begin(v, CRASH_OP_WRITE) == FAIL;
    uint64_t part = (uint64_t)size;
    if (fails) {
        bool some = !v->frozen && !v->is_read_only && v->fault.is_short && size > 1;
        part = some ? 1 + disk_chance(&v->disk) % ((uint64_t)size - 1) : 0;
    }
    if (part > 0) {
        if (!fits_disk(v, f->file, (uint64_t)offset + part) ||
            !disk_write(&v->disk, f->file, data, part, (uint64_t)offset)) {
            errno = ENOSPC;
            return SQLITE_FULL;
        }
        v->counts.bytes_written += part;
        measure(v);
    }
    if (!fails) {
        return SQLITE_OK;
    }
    return v->fault.is_full && !v->frozen && !v->is_read_only ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int crash_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct crash_file *f = file_of(file);
    if (is_dead(f) || begin(f->vfs, CRASH_OP_TRUNCATE) == FAIL) {
        return SQLITE_IOERR_TRUNCATE;
    }
    bool done = fits_disk(f->vfs, f->file, (uint64_t)size) &&
                disk_truncate(&f->vfs->disk, f->file, (uint64_t)size);
    measure(f->vfs);
    errno = done ? errno : ENOSPC;
    return done ? SQLITE_OK : SQLITE_FULL;
}

static int crash_sync(sqlite3_file *file, int flags)
{
    struct crash_file *f = file_of(file);
    (void)flags;
    if (is_dead(f)) {
        return SQLITE_IOERR_FSYNC;
    }
    if (begin(f->vfs, CRASH_OP_SYNC) == FAIL) {
        if (!f->vfs->frozen && f->vfs->fault.sync_drops) {
            disk_sync_drop(&f->vfs->disk, f->file);
        }
        return SQLITE_IOERR_FSYNC;
    }
    disk_sync(&f->vfs->disk, f->file);
    return SQLITE_OK;
}

static int crash_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct crash_file *f = file_of(file);
    if (is_dead(f) || begin(f->vfs, CRASH_OP_SIZE) == FAIL) {
        return SQLITE_IOERR_FSTAT;
    }
    *ret = (sqlite3_int64)f->file->now_size;
    return SQLITE_OK;
}

/* --- locks: as the operating system's between two processes --- */

static int lock_of_others(const struct crash_file *f)
{
    int highest = SQLITE_LOCK_NONE;
    for (size_t i = 0; i < HANDLE_MAX; i++) {
        const struct crash_file *other = f->vfs->handles[i];
        if (other && other != f && !is_dead(other) && other->file == f->file &&
            other->lock > highest) {
            highest = other->lock;
        }
    }
    return highest;
}

static int crash_lock(sqlite3_file *file, int level)
{
    struct crash_file *f = file_of(file);
    if (is_dead(f)) {
        return SQLITE_IOERR_LOCK;
    }
    if (f->lock >= level) {
        return SQLITE_OK;
    }
    if (begin(f->vfs, CRASH_OP_LOCK) == FAIL) {
        return SQLITE_IOERR_LOCK;
    }
    if (f->reads_only && level > SQLITE_LOCK_SHARED) {
        errno = EBADF; /* Linux gives no write lock on what is open for reading */
        return SQLITE_IOERR_LOCK;
    }
    int others = lock_of_others(f);
    bool busy = level == SQLITE_LOCK_SHARED     ? others >= SQLITE_LOCK_PENDING
                : level == SQLITE_LOCK_RESERVED ? others >= SQLITE_LOCK_RESERVED
                                                : others >= SQLITE_LOCK_SHARED;
    if (busy) {
        return SQLITE_BUSY;
    }
    f->lock = level;
    return SQLITE_OK;
}

static int crash_unlock(sqlite3_file *file, int level)
{
    struct crash_file *f = file_of(file);
    f->lock = f->lock > level ? level : f->lock;
    return SQLITE_OK;
}

static int crash_reserved(sqlite3_file *file, int *ret)
{
    struct crash_file *f = file_of(file);
    *ret = f->lock >= SQLITE_LOCK_RESERVED || lock_of_others(f) >= SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
}

/* At once on the medium, as behind a sync of the folder. */
static int rename_to(struct crash_file *f, const char *name)
{
    struct crash_vfs *v = f->vfs;
    if (is_dead(f) || begin(v, CRASH_OP_DELETE) == FAIL || strlen(name) >= DISK_NAME_SIZE) {
        return SQLITE_IOERR;
    }
    struct disk_file *there = disk_find(&v->disk, name);
    if (there) {
        disk_delete(&v->disk, there);
    }
    disk_sync_names(&v->disk);
    (void)snprintf(f->file->name, sizeof f->file->name, "%s", name); /* fits */
    return SQLITE_OK;
}

static int crash_control(sqlite3_file *file, int op, void *argument)
{
    struct crash_file *f = file_of(file);
    int *number = argument;
    if (op == SQLITE_FCNTL_PERSIST_WAL) {
        f->persist_wal = *number >= 0 ? *number : f->persist_wal;
        *number = f->persist_wal;
        return SQLITE_OK;
    }
    if (op == BUFFER_FCNTL_RENAME) {
        return rename_to(f, argument);
    }
    if (op == BUFFER_FCNTL_ROOM) {
        const struct crash_vfs *v = f->vfs;
        *(uint64_t *)argument =
            v->counts.size < v->disk_size ? v->disk_size - v->counts.size : UINT64_C(0);
        return SQLITE_OK;
    }
    return SQLITE_NOTFOUND;
}

static int crash_sector(sqlite3_file *file)
{
    (void)file;
    return DISK_BLOCK;
}

/* What SQLite's own file system layer claims on Linux. */
static int crash_device(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods crash_methods = {
    .iVersion = 1,
    .xClose = crash_close,
    .xRead = crash_read,
    .xWrite = crash_write,
    .xTruncate = crash_truncate,
    .xSync = crash_sync,
    .xFileSize = crash_size,
    .xLock = crash_lock,
    .xUnlock = crash_unlock,
    .xCheckReservedLock = crash_reserved,
    .xFileControl = crash_control,
    .xSectorSize = crash_sector,
    .xDeviceCharacteristics = crash_device,
};

/* --- names --- */

static struct crash_vfs *vfs_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static bool handle_remember(struct crash_vfs *v, struct crash_file *f)
{
    for (size_t i = 0; i < HANDLE_MAX; i++) {
        if (!v->handles[i]) {
            v->handles[i] = f;
            return true;
        }
    }
    return false;
}

static int crash_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *ret_flags)
{
    struct crash_vfs *v = vfs_of(vfs);
    struct crash_file *f = file_of(file);
    memset(f, 0, sizeof *f);
    if (begin(v, CRASH_OP_OPEN) == FAIL || (name && strlen(name) >= DISK_NAME_SIZE)) {
        return SQLITE_CANTOPEN;
    }
    name = name ? name : "temporary";
    struct disk_file *found = disk_find(&v->disk, name);
    if (found && (flags & SQLITE_OPEN_EXCLUSIVE)) {
        return SQLITE_CANTOPEN;
    }
    bool is_new = !found && (flags & SQLITE_OPEN_CREATE);
    if (is_new && !v->is_read_only) {
        found = disk_create(&v->disk, name);
    }
    if (!found || !handle_remember(v, f)) {
        errno = is_new ? EROFS : ENOENT;
        return SQLITE_CANTOPEN;
    }
    if (v->is_read_only && (flags & SQLITE_OPEN_READWRITE)) {
        flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
        errno = EROFS;
    }
    found->open_count++;
    f->vfs = v;
    f->file = found;
    f->life = v->life;
    f->reads_only = (flags & SQLITE_OPEN_READONLY) != 0;
    f->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    f->base.pMethods = &crash_methods;
    if (ret_flags) {
        *ret_flags = flags;
    }
    return SQLITE_OK;
}

static int crash_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    struct crash_vfs *v = vfs_of(vfs);
    if (begin(v, CRASH_OP_DELETE) == FAIL) {
        return SQLITE_IOERR_DELETE;
    }
    struct disk_file *file = disk_find(&v->disk, name);
    if (!file) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    disk_delete(&v->disk, file);
    if (sync_folder) {
        disk_sync_names(&v->disk);
    }
    measure(v);
    return SQLITE_OK;
}

static int crash_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    struct crash_vfs *v = vfs_of(vfs);
    (void)flags;
    if (begin(v, CRASH_OP_SIZE) == FAIL) {
        return SQLITE_IOERR_ACCESS;
    }
    const struct disk_file *file = disk_find(&v->disk, name);
    /* As SQLite's own layer: an empty file counts as none. */
    *ret = file && (flags != SQLITE_ACCESS_EXISTS || file->now_size > 0);
    return SQLITE_OK;
}

static int crash_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    (void)vfs;
    return snprintf(ret, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int crash_randomness(sqlite3_vfs *vfs, int size, char *ret)
{
    struct crash_vfs *v = vfs_of(vfs);
    for (int i = 0; i < size; i++) {
        v->randomness = v->randomness * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ret[i] = (char)(v->randomness >> 56);
    }
    return size;
}

static int crash_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds; /* time stands still */
}

static int crash_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    *ret = 2461041.5; /* 2026-01-01 */
    return SQLITE_OK;
}

/* --- the test's side --- */

enum err crash_vfs_open(struct crash_vfs **ret, const char *name)
{
    assert(strlen(name) < sizeof(((struct crash_vfs *)0)->name));
    struct crash_vfs *v =
        mmap(NULL, sizeof *v, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (v == MAP_FAILED) {
        return ERR_NOMEM;
    }
    enum err e = disk_open(&v->disk);
    if (e) {
        (void)munmap(v, sizeof *v); /* was mapped above */
        return e;
    }
    (void)snprintf(v->name, sizeof v->name, "%s", name); /* fits */
    v->vfs = (sqlite3_vfs){.iVersion = 1,
                           .szOsFile = (int)sizeof(struct crash_file),
                           .mxPathname = DISK_NAME_SIZE - 1,
                           .zName = v->name,
                           .pAppData = v,
                           .xOpen = crash_open,
                           .xDelete = crash_delete,
                           .xAccess = crash_access,
                           .xFullPathname = crash_full_path,
                           .xRandomness = crash_randomness,
                           .xSleep = crash_sleep,
                           .xCurrentTime = crash_time};
    v->disk_size = UINT64_MAX;
    if (sqlite3_initialize() != SQLITE_OK || sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
        crash_vfs_close(v);
        return ERR_NOMEM;
    }
    *ret = v;
    return ERR_OK;
}

void crash_vfs_close(struct crash_vfs *v)
{
    if (v) {
        (void)sqlite3_vfs_unregister(&v->vfs); /* no harm if it is not registered */
        disk_close(&v->disk);
        (void)munmap(v, sizeof *v); /* was mapped by crash_vfs_open() */
    }
}

static void assert_all_closed(const struct crash_vfs *v)
{
    for (size_t i = 0; i < HANDLE_MAX; i++) {
        assert(!v->handles[i]);
    }
    (void)v;
}

void crash_vfs_reset(struct crash_vfs *v)
{
    assert_all_closed(v);
    disk_reset(&v->disk);
    v->frozen = false;
    v->freeze_in = 0;
    v->fault = (struct crash_fault){.nth = 0};
    v->fault_count = 0;
    v->disk_size = UINT64_MAX;
    v->is_read_only = false;
    v->counts = (struct crash_counts){.size = 0};
    v->randomness = 0;
}

void crash_vfs_freeze(struct crash_vfs *v)
{
    v->frozen = true;
    v->freeze_in = 0;
}

void crash_vfs_freeze_after(struct crash_vfs *v, uint64_t n)
{
    v->freeze_in = n;
}

bool crash_vfs_is_frozen(const struct crash_vfs *v)
{
    return v->frozen;
}

enum crash_image crash_vfs_crash(struct crash_vfs *v, enum crash_image image, uint64_t seed)
{
    image = image == CRASH_ANY ? (enum crash_image)(seed % CRASH_ANY) : image;
    disk_crash(&v->disk, image, seed);
    v->life++;
    v->frozen = false;
    v->freeze_in = 0;
    v->fault = (struct crash_fault){.nth = 0};
    v->is_read_only = false;
    v->disk_size = UINT64_MAX;
    measure(v);
    return image;
}

void crash_vfs_fault_set(struct crash_vfs *v, const struct crash_fault *fault, uint64_t seed)
{
    v->fault = *fault;
    v->fault_count = 0;
    v->disk.chance = seed;
}

void crash_vfs_fault_clear(struct crash_vfs *v)
{
    v->fault = (struct crash_fault){.nth = 0};
}

uint64_t crash_vfs_fault_count(const struct crash_vfs *v)
{
    return v->fault_count;
}

void crash_vfs_read_only_set(struct crash_vfs *v, bool is_read_only)
{
    v->is_read_only = is_read_only;
}

void crash_vfs_disk_size_set(struct crash_vfs *v, uint64_t size)
{
    v->disk_size = size;
}

void crash_vfs_counts(const struct crash_vfs *v, struct crash_counts *ret)
{
    *ret = v->counts;
}

void crash_vfs_high_reset(struct crash_vfs *v)
{
    v->counts.size_high = 0;
    v->counts.wal_high = 0;
    measure(v);
}

uint8_t *crash_vfs_file(struct crash_vfs *v, const char *name, uint64_t *ret_size)
{
    struct disk_file *file = disk_find(&v->disk, name);
    *ret_size = file ? file->now_size : 0;
    return file ? file->now : NULL;
}

bool crash_vfs_file_put(struct crash_vfs *v, const char *name, const uint8_t *data, uint64_t size)
{
    struct disk_file *file = disk_find(&v->disk, name);
    file = file ? file : disk_create(&v->disk, name);
    bool done = file && disk_truncate(&v->disk, file, 0) &&
                (size == 0 || disk_write(&v->disk, file, data, size, 0));
    if (file) {
        disk_sync(&v->disk, file);
    }
    measure(v);
    return done;
}

void crash_vfs_file_remove(struct crash_vfs *v, const char *name)
{
    struct disk_file *file = disk_find(&v->disk, name);
    if (file) {
        disk_delete(&v->disk, file);
        disk_sync_names(&v->disk);
    }
    measure(v);
}

void crash_vfs_spoil(struct crash_vfs *v, const char *name, uint64_t at, const uint8_t *bytes,
                     uint64_t size)
{
    struct disk_file *file = disk_find(&v->disk, name);
    if (file) {
        disk_spoil(file, at, bytes, size);
    }
}

void crash_vfs_shorten(struct crash_vfs *v, const char *name, uint64_t size)
{
    struct disk_file *file = disk_find(&v->disk, name);
    if (file) {
        disk_shorten(file, size);
    }
    measure(v);
}
