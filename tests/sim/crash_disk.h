/* The disk below crash_vfs.h: files whose bytes exist twice, as programs see them and as they are
 * on the medium, and a log of what is only in the first. Nothing of SQLite here.
 *
 * Memory is one mapping a file, untouched until used: nothing is allocated, nothing moves. */
#ifndef WEIR_TESTS_SIM_CRASH_DISK_H
#define WEIR_TESTS_SIM_CRASH_DISK_H

#include "tests/sim/crash_vfs.h"

#define DISK_FILE_MAX 16
#if SIZE_MAX > UINT32_MAX
#define DISK_FILE_SIZE_MAX (UINT64_C(256) << 20)
#define DISK_LOG_SIZE_MAX (UINT64_C(512) << 20)
#else /* address space is short: 2 GiB on MIPS */
#define DISK_FILE_SIZE_MAX (UINT64_C(24) << 20)
#define DISK_LOG_SIZE_MAX (UINT64_C(128) << 20)
#endif
#define DISK_OP_MAX (1 << 18)
#define DISK_NAME_SIZE 256
#define DISK_SECTOR 512
#define DISK_BLOCK 4096

enum disk_op_kind { DISK_GONE, DISK_WRITE, DISK_TRUNCATE, DISK_CREATE, DISK_DELETE };

/* Done, and not safe yet. */
struct disk_op {
    uint8_t kind;
    uint8_t file;     /* index */
    uint64_t offset;  /* TRUNCATE: the size */
    uint64_t size;    /* WRITE */
    uint64_t data_at; /* WRITE: in the log's data */
};

struct disk_file {
    char name[DISK_NAME_SIZE];
    bool exists;
    bool is_safe; /* its name is on the medium */
    uint32_t open_count;
    uint64_t born; /* rises: of two with one name on the medium the later one counts */
    uint8_t *now;  /* DISK_FILE_SIZE_MAX bytes of address space; beyond the size: zeros */
    uint64_t now_size;
    uint8_t *safe;
    uint64_t safe_size;
};

struct crash_disk {
    struct disk_file files[DISK_FILE_MAX];
    struct disk_op *ops;
    uint64_t op_count;
    uint8_t *data;
    uint64_t data_size;
    uint64_t births;
    uint64_t chance;
};

enum err disk_open(struct crash_disk *disk) MUST_USE;
void disk_close(struct crash_disk *disk);
void disk_reset(struct crash_disk *disk);

uint64_t disk_chance(struct crash_disk *disk); /* 64 random bits of the disk's seed */

/* NULL: there is none of that name. */
struct disk_file *disk_find(struct crash_disk *disk, const char *name);
/* NULL: too many files. */
struct disk_file *disk_create(struct crash_disk *disk, const char *name);
void disk_delete(struct crash_disk *disk, struct disk_file *file);
/* False: too large. */
bool disk_write(struct crash_disk *disk, struct disk_file *file, const void *data, uint64_t size,
                uint64_t offset) MUST_USE;
bool disk_truncate(struct crash_disk *disk, struct disk_file *file, uint64_t size) MUST_USE;
/* What was written to the file is safe, and every name. */
void disk_sync(struct crash_disk *disk, struct disk_file *file);
/* Every name is safe. */
void disk_sync_names(struct crash_disk *disk);
/* A failed sync: of what was written to the file, one block of four gets to the medium, the rest is
 * forgotten: programs may still see it, no later sync brings it there. */
void disk_sync_drop(struct crash_disk *disk, struct disk_file *file);

/* The medium fails: bytes of a file change, or its end is gone, on it and as programs see it. What is
 * written later covers it. */
void disk_spoil(struct disk_file *file, uint64_t at, const uint8_t *bytes, uint64_t size);
void disk_shorten(struct disk_file *file, uint64_t size);

/* The medium after a power cut becomes what programs see. `image`: not ANY. */
void disk_crash(struct crash_disk *disk, enum crash_image image, uint64_t seed);

#endif
