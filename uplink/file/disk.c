#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "ports/file.h"
#include "ports/random.h"
#include "uplink/file/disk_impl.h"

#define HEADER_ROOM 1024 /* of a header beside the schema */

static void disk_part_path(const struct file_disk *disk, char ret[PATH_MAX])
{
    size_t size = strlen(disk->open_path);
    assert(size + sizeof ".part" <= PATH_MAX);
    memcpy(ret, disk->open_path, size);
    memcpy(ret + size, ".part", sizeof ".part");
}

/* --- finishing --- */

/* Synced, on record, renamed: in this order, so that a crash after any of them is found out. */
static enum err disk_publish(struct file_disk *disk, int fd, int64_t size, struct why *why)
{
    char part[PATH_MAX];
    disk_part_path(disk, part);
    if (fsync(fd) != 0) {
        return disk_failed(why, "sync", part);
    }
    disk_done_add(disk, disk->open_number, disk->open_life, size);
    enum err e = disk_state_write(disk, why);
    if (e) {
        return e;
    }
    if (rename(part, disk->open_path) != 0) {
        return disk_failed(why, "rename", part);
    }
    disk->has_open = false;
    return file_sync_folder(disk->open_path, why);
}

enum err file_disk_finish(struct file_disk *disk, struct why *why)
{
    if (disk->fd < 0) {
        return ERR_OK;
    }
    char part[PATH_MAX];
    disk_part_path(disk, part);
    /* What a failed write left behind the last good block. */
    if (ftruncate(disk->fd, disk->size) != 0) {
        return disk_failed(why, "cut", part);
    }
    enum err e = ERR_OK;
    if (disk->size == 0) { /* not even one block: there is nothing to keep */
        (void)unlink(part);
        disk->has_open = false;
    } else {
        e = disk_publish(disk, disk->fd, disk->size, why);
    }
    if (!disk->has_open) { /* also when it has its name, and only the folder could not be synced */
        close(disk->fd);
        disk->fd = -1;
        disk->tail = (struct file_tail){0};
    }
    return e;
}

static enum err disk_read(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    ssize_t got = read(*(int *)context, data, size);
    if (got < 0) {
        return err_of_errno(errno);
    }
    *ret_size = (size_t)got;
    return ERR_OK;
}

/* Finds the end of the last whole block, and where that block begins; size 0: there is none. An
 * error says nothing about the file: what could not be read must not be cut off. */
static enum err disk_tail_find(int fd, struct file_tail *ret, struct why *why)
{
    struct container_reader *reader = NULL;
    uint64_t count;
    struct slice raw;
    struct file_tail tail = {0};
    enum err e = container_reader_open(&reader, disk_read, &fd, why);
    while (!e) {
        int64_t begin = (int64_t)container_offset(reader);
        e = container_block(reader, &count, &raw, why);
        if (!e) {
            tail.offset = tail.size > 0 ? begin : 0; /* the first one's numbers are the file's */
            tail.begin = begin;
            tail.size = (int64_t)container_offset(reader);
        }
    }
    container_reader_close(reader);
    if (e != ERR_CLOSED && e != ERR_CORRUPT) { /* the end, or a block that was being written */
        return e;
    }
    *ret = tail;
    return ERR_OK;
}

/* What an earlier life left open: it is cut behind its last whole block, and finished when it is
 * certain that this block is right (disk_settle). */
static enum err disk_take_up(struct file_disk *disk, int fd, const char *part, struct why *why)
{
    struct file_tail tail = {0};
    const struct file_done *done = disk_done_find(disk, disk->open_number, disk->open_life);
    enum err e = ERR_OK;
    if (done) {
        tail.size = done->size;
    } else {
        e = disk_tail_find(fd, &tail, why);
    }
    if (e) {
        why_add(why, "reading %s", part);
        return e;
    }
    if (ftruncate(fd, tail.size) != 0) {
        return disk_failed(why, "cut", part);
    }
    if (tail.size == 0) {
        (void)unlink(part); /* empty: left behind it harms nobody */
        disk->has_open = false;
        return ERR_OK;
    }
    if (done) {
        return disk_publish(disk, fd, tail.size, why);
    }
    disk->tail = tail;
    disk->size = tail.size;
    return ERR_OK;
}

enum err file_disk_recover(struct file_disk *disk, struct why *why)
{
    disk->fd = -1;
    disk->tail = (struct file_tail){0};
    enum err e = file_make_folders(disk->options->path, why);
    e = e ? e : disk_lock(disk, why);
    e = e ? e : disk_state_read(disk, why);
    if (e || !disk->has_open) {
        return e;
    }
    char part[PATH_MAX];
    disk_part_path(disk, part);
    int fd = open(part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT) {
        return disk_failed(why, "open", part);
    }
    if (fd < 0) { /* renamed already, or never made */
        disk->has_open = false;
        return ERR_OK;
    }
    e = disk_take_up(disk, fd, part, why);
    if (!e && disk->tail.size > 0) {
        disk->fd = fd;
    } else {
        close(fd);
    }
    return e;
}

void file_disk_release(struct file_disk *disk)
{
    if (disk->fd >= 0) {
        close(disk->fd);
    }
    disk->fd = -1;
    if (disk->lock_fd >= 0) {
        close(disk->lock_fd);
    }
    disk->lock_fd = -1;
}

/* --- writing --- */

static enum err disk_check_room(const struct file_disk *disk, size_t size, struct why *why)
{
    struct statvfs s;
    if (statvfs(disk->options->path, &s) != 0) {
        return disk_failed(why, "look at", disk->options->path);
    }
    uint64_t room = (uint64_t)s.f_bavail * s.f_frsize;
    if (room < (uint64_t)disk->options->free_min + size) {
        /* How much it is changes with each try, and would be a new fault in the log each time. */
        why_set(why, "writing to %s would leave less than free_min (%.1f MiB): make room",
                disk->options->path, (double)disk->options->free_min / (1024 * 1024));
        return ERR_NOSPACE;
    }
    return ERR_OK;
}

/* Names the new file, makes its folder and enters it into the state: before the file is there. */
static enum err disk_create(struct file_disk *disk, const struct file_write *w, struct why *why)
{
    struct slice head = w->wire;
    uint64_t time_us = 0;
    if (!slice_take_u64_le(&head, &time_us)) {
        return ERR_CORRUPT;
    }
    struct object_name name = {.stream = disk->stream,
                               .agent = disk->agent_id,
                               .incarnation = disk->incarnation,
                               .number = w->number,
                               .first = w->first_sequence,
                               .time_us = (int64_t)time_us};
    int size = snprintf(disk->open_path, sizeof disk->open_path, "%s/", disk->options->path);
    struct out out = out_over(disk->open_path + size, sizeof disk->open_path - (size_t)size - 24);
    enum err e = object_name_write(disk->options->name, &name, &out, why);
    if (e) {
        return e;
    }
    if (access(disk->open_path, F_OK) == 0) { /* the state was lost, or two share the folder */
        out.size--;
        out_put_format(&out, ".%08" PRIx32, (uint32_t)w->life);
        out_put_byte(&out, 0);
    }
    char *slash = strrchr(disk->open_path, '/');
    *slash = 0;
    e = file_make_folders(disk->open_path, why);
    *slash = '/';
    if (e) {
        return e;
    }
    disk->open_number = disk->number = w->number;
    disk->open_life = w->life;
    disk->has_open = true;
    disk->size = 0;
    e = disk_state_write(disk, why);
    if (e) {
        return e;
    }
    char part[PATH_MAX];
    disk_part_path(disk, part);
    disk->fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (disk->fd < 0) {
        return disk_failed(why, "create", part);
    }
    random_bytes(disk->sync, sizeof disk->sync);
    return file_sync_folder(part, why);
}

static enum err disk_write_header(struct file_disk *disk, const struct file_write *w,
                                  int64_t *ret_size)
{
    uint8_t *memory = malloc(w->schema->json.size + HEADER_ROOM);
    if (!memory) {
        return ERR_NOMEM;
    }
    char first[24];
    snprintf(first, sizeof first, "%" PRIu64, w->first_sequence);
    char incarnation[16];
    snprintf(incarnation, sizeof incarnation, "%08" PRIx32, w->incarnation);
    struct slice agent = slice_of_text(disk->agent_id);
    if (agent.size > HEADER_ROOM / 4) {
        agent.size = HEADER_ROOM / 4;
    }
    struct slice stream = slice_of_text(disk->stream);
    if (stream.size > HEADER_ROOM / 4) {
        stream.size = HEADER_ROOM / 4;
    }
    const struct container_meta meta[] = {
        {SLICE("weir.agent"), agent},
        {SLICE("weir.stream"), stream},
        {SLICE("weir.incarnation"), slice_of_text(incarnation)},
        {SLICE("weir.first"), slice_of_text(first)},
    };
    struct out out = out_over(memory, w->schema->json.size + HEADER_ROOM);
    container_put_header(&out, w->schema->json, (enum container_codec)disk->options->codec, meta,
                         ARRAY_COUNT(meta), disk->sync);
    assert(!out.overflow);
    enum err e = file_write_all(disk->fd, out_slice(&out));
    *ret_size = (int64_t)out.size;
    free(memory);
    return e;
}

static struct slice write_block(const struct file_write *w)
{
    return (struct slice){w->wire.data + FILE_WIRE_HEAD,
                          w->wire.size - FILE_WIRE_HEAD - CONTAINER_SYNC_SIZE};
}

/* Writes header (at offset 0) and block at `offset`; whatever was behind is cut off. */
static enum err disk_append(struct file_disk *disk, const struct file_write *w, struct why *why)
{
    char part[PATH_MAX];
    disk_part_path(disk, part);
    if (ftruncate(disk->fd, w->offset) != 0 || lseek(disk->fd, w->offset, SEEK_SET) < 0) {
        return disk_failed(why, "cut", part);
    }
    int64_t header_size = 0;
    enum err e = w->offset == 0 ? disk_write_header(disk, w, &header_size) : ERR_OK;
    struct slice block = write_block(w);
    if (!e) {
        e = file_write_all(disk->fd, block);
    }
    if (!e) {
        /* wrap() did not know the file: its own marker goes behind the block. */
        e = file_write_all(disk->fd, (struct slice){disk->sync, sizeof disk->sync});
    }
    if (e) {
        why_set(why, "can't write to %s: %s", part,
                e == ERR_NOSPACE ? "the disk is full: make room" : err_name(e));
        return e;
    }
    if (fdatasync(disk->fd) != 0) {
        return disk_failed(why, "sync", part);
    }
    disk->size = w->offset + header_size + (int64_t)block.size + CONTAINER_SYNC_SIZE;
    return ERR_OK;
}

/* Are the bytes of the last block those of this batch? */
static bool disk_has_block(const struct file_disk *disk, const struct file_write *w)
{
    struct slice block = write_block(w);
    int64_t at = disk->tail.begin;
    uint8_t bytes[4096];
    if (disk->tail.size - at != (int64_t)block.size + CONTAINER_SYNC_SIZE) {
        return false;
    }
    while (block.size > 0) {
        size_t step = block.size < sizeof bytes ? block.size : sizeof bytes;
        if (pread(disk->fd, bytes, step, at) != (ssize_t)step ||
            memcmp(bytes, block.data, step) != 0) {
            return false;
        }
        block = (struct slice){block.data + step, block.size - step};
        at += (int64_t)step;
    }
    return true;
}

/* The file of an earlier life is finished. All of its blocks but the last were synced before the
 * next one began. If the last one was, its batch is done and comes no more. If its batch comes, the
 * machine may have kept any part of it: it stays only when it is the same, byte for byte. */
static enum err disk_settle(struct file_disk *disk, const struct file_write *w, struct why *why)
{
    const struct file_tail *tail = &disk->tail;
    if (w->number == disk->open_number && w->life == disk->open_life && w->offset == tail->offset &&
        !disk_has_block(disk, w)) {
        disk->size = tail->offset;
    }
    return file_disk_finish(disk, why);
}

enum err file_disk_write(struct file_disk *disk, const struct file_write *w, enum file_outcome *ret,
                         struct why *why)
{
    assert(w->wire.size > FILE_WIRE_HEAD + CONTAINER_SYNC_SIZE);
    if (disk->tail.size > 0) {
        enum err e = disk_settle(disk, w, why);
        if (e) {
            return e;
        }
    }
    bool is_open = disk->fd >= 0 && w->life == disk->life && w->number == disk->open_number;
    if (w->life != disk->life || (!is_open && w->offset != 0)) {
        const struct file_done *done = disk_done_find(disk, w->number, w->life);
        *ret = done && done->size > w->offset ? FILE_WAS_THERE : FILE_IS_NOT_THERE;
        return ERR_OK;
    }
    enum err e = disk_check_room(disk, w->wire.size, why);
    if (!e && !is_open) {
        e = file_disk_finish(disk, why);
        if (!e) {
            e = disk_create(disk, w, why);
        }
    }
    if (!e) {
        e = disk_append(disk, w, why);
    }
    if (!e) {
        *ret = FILE_STORED;
    }
    return e;
}
