/* A SQLite VFS in memory that can lose power: the real SQLite above, a disk below that tells what
 * was synced from what was only written.
 *
 *     crash_vfs_open(&v, "board");            buffer_setup.vfs = "board"
 *     ... open a buffer, commit, ...
 *     crash_vfs_freeze(v);                    or crash_vfs_freeze_after(v, n): in the midst of it
 *     buffer_close(b);                        every I/O of the dead life fails: it does no harm
 *     crash_vfs_crash(v, CRASH_ANY, seed);    what the disk holds after the power cut
 *     ... open again
 *
 * Files live until crash_vfs_close(). One thread. No allocation by malloc, so that tests which make
 * allocations fail hit the code under test only. */
#ifndef WEIR_TESTS_SIM_CRASH_VFS_H
#define WEIR_TESTS_SIM_CRASH_VFS_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/err.h"

struct crash_vfs;

/* Registers a VFS of that name (at most 31 bytes) with an empty disk. Several may be open. */
enum err crash_vfs_open(struct crash_vfs **ret, const char *name) MUST_USE;
/* All connections must be closed. NULL is allowed. */
void crash_vfs_close(struct crash_vfs *vfs);
/* An empty disk, thawed, without faults, counts at 0. All connections must be closed. */
void crash_vfs_reset(struct crash_vfs *vfs);

/* --- power cuts --- */

/* What is left of the writes that no sync had made safe. Synced ones are always there. */
enum crash_image {
    CRASH_NOTHING, /* nothing */
    CRASH_PREFIX,  /* those before some moment, the last one perhaps in part */
    CRASH_SECTORS, /* any 512-byte sectors, of each sector any version */
    CRASH_JUNK,    /* the same, and junk in the grown parts that did not survive */
    CRASH_BLOCK,   /* any sectors, and one 4 KiB block that was being written is destroyed, with the
                      synced bytes beside them */
    CRASH_ALL,     /* everything: as after a kill of the process */
    CRASH_ANY,     /* one of these, by the seed */
};

/* From now on, or from the n-th operation from now on that changes something (1: the next one is the
 * first that does not reach the disk; 0: never), all I/O fails. */
void crash_vfs_freeze(struct crash_vfs *vfs);
void crash_vfs_freeze_after(struct crash_vfs *vfs, uint64_t n);
bool crash_vfs_is_frozen(const struct crash_vfs *vfs);
/* The power cut, and the power is back: the disk is what survived, faults are over, the disk has room and can be written, files opened
 * before are dead for ever. Returns the image that was made of CRASH_ANY. */
enum crash_image crash_vfs_crash(struct crash_vfs *vfs, enum crash_image image, uint64_t seed);

/* --- faults --- */

enum crash_op {
    CRASH_OP_READ,
    CRASH_OP_WRITE,
    CRASH_OP_SYNC,
    CRASH_OP_TRUNCATE,
    CRASH_OP_OPEN,
    CRASH_OP_DELETE,
    CRASH_OP_LOCK,
    CRASH_OP_SIZE, /* how large is a file, is it there */
    CRASH_OP_COUNT,
    CRASH_OP_EVERY = CRASH_OP_COUNT
};

struct crash_fault {
    enum crash_op op; /* EVERY: counts all of them */
    uint64_t nth;     /* the n-th from now on fails; 0: no fault */
    uint64_t repeat;  /* and so many more after it; UINT64_MAX: for ever */
    bool is_full;     /* no space: writes say so (what does not grow a file as well); else EIO */
    bool is_short;    /* a failing write has written a part */
    int error;        /* what errno is then; 0: ENOSPC with is_full, else EIO */
    bool sync_drops;  /* a failing sync drops three of four dirty blocks: later syncs succeed
                            without them. Else they stay dirty */
};

/* Replaces the fault before it. */
void crash_vfs_fault_set(struct crash_vfs *vfs, const struct crash_fault *fault, uint64_t seed);
void crash_vfs_fault_clear(struct crash_vfs *vfs);
/* How often the fault happened since it was set. */
uint64_t crash_vfs_fault_count(const struct crash_vfs *vfs);
/* Bytes that all files together may have; what would grow beyond it fails as a full disk. Writes
 * into what a file has already go on. Starts without limit. */
void crash_vfs_disk_size_set(struct crash_vfs *vfs, uint64_t size);
/* The file system is read-only from now on, or not any more: as Linux has it after an error, what
 * is open for writing stays open and fails with EROFS, and opening for writing opens for reading. */
void crash_vfs_read_only_set(struct crash_vfs *vfs, bool is_read_only);

/* --- counts --- */

struct crash_counts {
    uint64_t ops[CRASH_OP_COUNT]; /* tried, since crash_vfs_open() or _reset() */
    uint64_t ops_all;
    uint64_t bytes_written;
    uint64_t size;      /* of all files together: database, WAL and journal */
    uint64_t size_high; /* the most at any moment since crash_vfs_high_reset() */
    uint64_t wal_high;  /* the same of the files named *-wal */
};
void crash_vfs_counts(const struct crash_vfs *vfs, struct crash_counts *ret);
void crash_vfs_high_reset(struct crash_vfs *vfs);

/* --- looking at files, and damaging them --- */

/* Makes the file what is given, synced; closed files only. False: too large. */
bool crash_vfs_file_put(struct crash_vfs *vfs, const char *name, const uint8_t *data,
                        uint64_t size);
void crash_vfs_file_remove(struct crash_vfs *vfs, const char *name);
/* The bytes of a file as the agent sees them; NULL: there is none. They may be changed, which is
 * as if the medium had. */
uint8_t *crash_vfs_file(struct crash_vfs *vfs, const char *name, uint64_t *ret_size);

/* The medium fails, also under a file that is open: these bytes stand there now; the file has lost
 * its end. Unlike what is put into crash_vfs_file() it outlives a power cut. Nothing happens where
 * there is no such file. */
void crash_vfs_spoil(struct crash_vfs *vfs, const char *name, uint64_t at, const uint8_t *bytes,
                     uint64_t size);
void crash_vfs_shorten(struct crash_vfs *vfs, const char *name, uint64_t size);

#endif
