#include "tests/sim/crash_disk.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* --- memory --- */

static void *space(uint64_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void space_close(void *memory, uint64_t size)
{
    if (memory) {
        (void)munmap(memory, size); /* was mapped by space() */
    }
}

enum err disk_open(struct crash_disk *disk)
{
    *disk = (struct crash_disk){.chance = 1};
    disk->ops = space(DISK_OP_MAX * sizeof *disk->ops);
    disk->data = space(DISK_LOG_SIZE_MAX);
    bool complete = disk->ops && disk->data;
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        disk->files[i].now = space(DISK_FILE_SIZE_MAX);
        disk->files[i].safe = space(DISK_FILE_SIZE_MAX);
        complete = complete && disk->files[i].now && disk->files[i].safe;
    }
    if (!complete) {
        disk_close(disk);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void disk_close(struct crash_disk *disk)
{
    space_close(disk->ops, DISK_OP_MAX * sizeof *disk->ops);
    space_close(disk->data, DISK_LOG_SIZE_MAX);
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        space_close(disk->files[i].now, DISK_FILE_SIZE_MAX);
        space_close(disk->files[i].safe, DISK_FILE_SIZE_MAX);
    }
    *disk = (struct crash_disk){.chance = 1};
}

/* The bytes beyond a file's size stay zeros, so that it grows by zeros. */
static void resize(uint8_t *bytes, uint64_t *size, uint64_t wanted)
{
    if (wanted < *size) {
        memset(bytes + wanted, 0, *size - wanted);
    }
    *size = wanted;
}

static void file_clear(struct disk_file *file)
{
    resize(file->now, &file->now_size, 0);
    resize(file->safe, &file->safe_size, 0);
    file->exists = false;
    file->is_safe = false;
    file->open_count = 0;
}

void disk_reset(struct crash_disk *disk)
{
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        file_clear(&disk->files[i]);
    }
    disk->op_count = 0;
    disk->data_size = 0;
}

uint64_t disk_chance(struct crash_disk *disk)
{
    disk->chance += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = disk->chance;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(struct crash_disk *disk, uint64_t limit)
{
    return disk_chance(disk) % limit;
}

/* --- what programs do --- */

struct disk_file *disk_find(struct crash_disk *disk, const char *name)
{
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        if (disk->files[i].exists && strcmp(disk->files[i].name, name) == 0) {
            return &disk->files[i];
        }
    }
    return NULL;
}

static struct disk_op *op_add(struct crash_disk *disk, enum disk_op_kind kind,
                              const struct disk_file *file)
{
    if (disk->op_count == DISK_OP_MAX) {
        return NULL;
    }
    struct disk_op *op = &disk->ops[disk->op_count++];
    *op = (struct disk_op){.kind = (uint8_t)kind, .file = (uint8_t)(file - disk->files)};
    return op;
}

static bool op_mentions(const struct crash_disk *disk, const struct disk_file *file)
{
    for (uint64_t i = 0; i < disk->op_count; i++) {
        if (disk->ops[i].kind != DISK_GONE && &disk->files[disk->ops[i].file] == file) {
            return true;
        }
    }
    return false;
}

struct disk_file *disk_create(struct crash_disk *disk, const char *name)
{
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        struct disk_file *file = &disk->files[i];
        if (file->exists || file->is_safe || file->open_count > 0 || op_mentions(disk, file)) {
            continue;
        }
        if (!op_add(disk, DISK_CREATE, file)) {
            return NULL;
        }
        file_clear(file);
        (void)snprintf(file->name, sizeof file->name, "%s", name); /* the VFS has checked it */
        file->exists = true;
        file->born = ++disk->births;
        return file;
    }
    return NULL;
}

void disk_delete(struct crash_disk *disk, struct disk_file *file)
{
    file->exists = false;
    if (!op_add(disk, DISK_DELETE, file)) {
        file->is_safe = false; /* no room to remember it: it happens at once */
    }
}

static void apply(struct disk_file *file, const uint8_t *data, uint64_t size, uint64_t offset)
{
    memcpy(file->safe + offset, data, size);
    file->safe_size = offset + size > file->safe_size ? offset + size : file->safe_size;
}

bool disk_write(struct crash_disk *disk, struct disk_file *file, const void *data, uint64_t size,
                uint64_t offset)
{
    if (offset + size > DISK_FILE_SIZE_MAX || disk->data_size + size > DISK_LOG_SIZE_MAX) {
        return false;
    }
    struct disk_op *op = op_add(disk, DISK_WRITE, file);
    if (!op) {
        return false;
    }
    op->offset = offset;
    op->size = size;
    op->data_at = disk->data_size;
    memcpy(disk->data + disk->data_size, data, size);
    disk->data_size += size;
    memcpy(file->now + offset, data, size);
    file->now_size = offset + size > file->now_size ? offset + size : file->now_size;
    return true;
}

bool disk_truncate(struct crash_disk *disk, struct disk_file *file, uint64_t size)
{
    if (size > DISK_FILE_SIZE_MAX) {
        return false;
    }
    struct disk_op *op = op_add(disk, DISK_TRUNCATE, file);
    if (!op) {
        return false;
    }
    op->offset = size;
    resize(file->now, &file->now_size, size);
    return true;
}

/* --- what makes it safe --- */

static void apply_name(struct crash_disk *disk, struct disk_op *op)
{
    disk->files[op->file].is_safe = op->kind == DISK_CREATE;
    op->kind = DISK_GONE;
}

static bool is_name(const struct disk_op *op)
{
    return op->kind == DISK_CREATE || op->kind == DISK_DELETE;
}

/* What is left of the log moves to its begin. */
static void compact(struct crash_disk *disk)
{
    uint64_t count = 0;
    uint64_t size = 0;
    for (uint64_t i = 0; i < disk->op_count; i++) {
        struct disk_op op = disk->ops[i];
        if (op.kind == DISK_GONE) {
            continue;
        }
        if (op.kind == DISK_WRITE) {
            memmove(disk->data + size, disk->data + op.data_at, op.size);
            op.data_at = size;
            size += op.size;
        }
        disk->ops[count++] = op;
    }
    disk->op_count = count;
    disk->data_size = size;
}

void disk_sync_names(struct crash_disk *disk)
{
    for (uint64_t i = 0; i < disk->op_count; i++) {
        if (is_name(&disk->ops[i])) {
            apply_name(disk, &disk->ops[i]);
        }
    }
    compact(disk);
}

void disk_sync(struct crash_disk *disk, struct disk_file *file)
{
    for (uint64_t i = 0; i < disk->op_count; i++) {
        struct disk_op *op = &disk->ops[i];
        if (is_name(op)) {
            apply_name(disk, op);
        } else if (op->kind != DISK_GONE && &disk->files[op->file] == file) {
            if (op->kind == DISK_WRITE) {
                apply(file, disk->data + op->data_at, op->size, op->offset);
            } else {
                resize(file->safe, &file->safe_size, op->offset);
            }
            op->kind = DISK_GONE;
        }
    }
    compact(disk);
}

/* Applies the pieces of one write that the choice lets through: `seed` and a piece's place decide,
 * so that one block has one fate. */
static void apply_blocks(struct crash_disk *disk, const struct disk_op *op, uint64_t seed)
{
    uint64_t end = op->offset + op->size;
    for (uint64_t at = op->offset; at < end;) {
        uint64_t next = (at / DISK_BLOCK + 1) * DISK_BLOCK;
        next = next < end ? next : end;
        if (((at / DISK_BLOCK * UINT64_C(0x9e3779b97f4a7c15)) ^ seed) >> 62 == 0) {
            apply(&disk->files[op->file], disk->data + op->data_at + (at - op->offset), next - at,
                  at);
        }
        at = next;
    }
}

void disk_sync_drop(struct crash_disk *disk, struct disk_file *file)
{
    uint64_t seed = disk_chance(disk);
    for (uint64_t i = 0; i < disk->op_count; i++) {
        struct disk_op *op = &disk->ops[i];
        if (is_name(op) || op->kind == DISK_GONE || &disk->files[op->file] != file) {
            continue;
        }
        if (op->kind == DISK_WRITE) {
            apply_blocks(disk, op, seed);
        } else {
            resize(file->safe, &file->safe_size, op->offset);
        }
        op->kind = DISK_GONE;
    }
    compact(disk);
}

/* --- the medium fails --- */

static void spoil(uint8_t *to, uint64_t end, uint64_t at, const uint8_t *bytes, uint64_t size)
{
    uint64_t there = at < end ? end - at : 0;
    memcpy(to + at, bytes, there < size ? there : size);
}

void disk_spoil(struct disk_file *file, uint64_t at, const uint8_t *bytes, uint64_t size)
{
    spoil(file->now, file->now_size, at, bytes, size);
    spoil(file->safe, file->safe_size, at, bytes, size);
}

void disk_shorten(struct disk_file *file, uint64_t size)
{
    if (size < file->now_size) {
        resize(file->now, &file->now_size, size);
    }
    if (size < file->safe_size) {
        resize(file->safe, &file->safe_size, size);
    }
}

/* --- the power cut --- */

/* Names come and go in their order, whatever the image: file systems keep a journal of them. */
static void crash_names(struct crash_disk *disk, enum crash_image image)
{
    bool goes_on = image != CRASH_NOTHING;
    for (uint64_t i = 0; i < disk->op_count && goes_on; i++) {
        if (is_name(&disk->ops[i])) {
            goes_on = image == CRASH_ALL || below(disk, 4) > 0;
            if (goes_on) {
                apply_name(disk, &disk->ops[i]);
            }
        }
    }
}

static void crash_prefix(struct crash_disk *disk, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct disk_op *op = &disk->ops[i];
        struct disk_file *file = &disk->files[op->file];
        if (op->kind == DISK_WRITE) {
            uint64_t size = op->size;
            if (i + 1 == count && count < disk->op_count) {
                uint64_t end = (op->offset + below(disk, size + 1)) / DISK_SECTOR * DISK_SECTOR;
                size = end > op->offset ? end - op->offset : 0;
            }
            apply(file, disk->data + op->data_at, size, op->offset);
        } else if (op->kind == DISK_TRUNCATE) {
            resize(file->safe, &file->safe_size, op->offset);
        }
    }
}

/* Each sector of each write by chance: of a sector that was written often, any version stays. */
static void crash_sectors(struct crash_disk *disk)
{
    static const uint64_t of_eight[] = {1, 4, 7};
    uint64_t survive = of_eight[below(disk, 3)];
    for (uint64_t i = 0; i < disk->op_count; i++) {
        struct disk_op *op = &disk->ops[i];
        struct disk_file *file = &disk->files[op->file];
        if (op->kind == DISK_TRUNCATE && below(disk, 8) < survive) {
            resize(file->safe, &file->safe_size, op->offset);
        }
        uint64_t end = op->kind == DISK_WRITE ? op->offset + op->size : 0;
        for (uint64_t at = op->offset; at < end;) {
            uint64_t next = (at / DISK_SECTOR + 1) * DISK_SECTOR;
            next = next < end ? next : end;
            if (below(disk, 8) < survive) {
                apply(file, disk->data + op->data_at + (at - op->offset), next - at, at);
            }
            at = next;
        }
    }
}

static void junk(struct crash_disk *disk, struct disk_file *file, uint64_t first, uint64_t end)
{
    bool zeros = below(disk, 4) == 0;
    for (uint64_t at = first; at < end; at++) {
        file->safe[at] = zeros ? 0 : (uint8_t)disk_chance(disk);
    }
    file->safe_size = end > file->safe_size ? end : file->safe_size;
}

/* The file systems that lengthen a file before its bytes are there. */
static void crash_grown_junk(struct crash_disk *disk)
{
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        struct disk_file *file = &disk->files[i];
        if (file->is_safe && file->now_size > file->safe_size) {
            uint64_t cut = (uint64_t)below(disk, 2) * below(disk, DISK_BLOCK);
            uint64_t end = cut < file->now_size ? file->now_size - cut : 0;
            if (end > file->safe_size) {
                junk(disk, file, file->safe_size, end);
            }
        }
    }
}

static void crash_block(struct crash_disk *disk)
{
    for (unsigned tries = 0; tries < 32 && disk->op_count > 0; tries++) {
        const struct disk_op *op = &disk->ops[below(disk, disk->op_count)];
        struct disk_file *file = &disk->files[op->file];
        if (op->kind != DISK_WRITE || op->size == 0) {
            continue;
        }
        uint64_t block = (op->offset + below(disk, op->size)) / DISK_BLOCK;
        uint64_t end = (block + 1) * DISK_BLOCK;
        end = end < file->now_size ? end : file->now_size;
        if (block * DISK_BLOCK < end) {
            junk(disk, file, block * DISK_BLOCK, end);
            return;
        }
    }
}

static void disk_restart(struct crash_disk *disk)
{
    for (size_t i = 0; i < DISK_FILE_MAX; i++) {
        struct disk_file *file = &disk->files[i];
        for (size_t k = 0; k < DISK_FILE_MAX; k++) {
            const struct disk_file *other = &disk->files[k];
            if (file->is_safe && other->is_safe && other->born > file->born &&
                strcmp(file->name, other->name) == 0) {
                file->is_safe = false;
            }
        }
        if (!file->is_safe) {
            file_clear(file);
            continue;
        }
        file->exists = true;
        file->open_count = 0;
        resize(file->now, &file->now_size, file->safe_size);
        memcpy(file->now, file->safe, file->safe_size);
    }
    disk->op_count = 0;
    disk->data_size = 0;
}

void disk_crash(struct crash_disk *disk, enum crash_image image, uint64_t seed)
{
    assert(image != CRASH_ANY);
    disk->chance = seed;
    crash_names(disk, image);
    if (image == CRASH_PREFIX) {
        crash_prefix(disk, below(disk, disk->op_count + 1));
    } else if (image == CRASH_ALL) {
        crash_prefix(disk, disk->op_count);
    } else if (image != CRASH_NOTHING) {
        crash_sectors(disk);
    }
    if (image == CRASH_JUNK) {
        crash_grown_junk(disk);
    } else if (image == CRASH_BLOCK) {
        crash_block(disk);
    }
    disk_restart(disk);
}
