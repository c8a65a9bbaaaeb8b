#include "uplink/file/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "ports/file.h"
#include "ports/random.h"

#define STATE_SIZE_MAX 16384
#define HEADER_ROOM 1024 /* of a header beside the schema */

static enum err disk_failed(struct why *why, const char *verb, const char *path)
{
    int number = errno;
    why_set(why, "can't %s %s: %s", verb, path, strerror(number));
    return err_of_errno(number);
}

static void disk_part_path(const struct file_disk *disk, char ret[PATH_MAX])
{
    size_t size = strlen(disk->open_path);
    assert(size + sizeof ".part" <= PATH_MAX);
    memcpy(ret, disk->open_path, size);
    memcpy(ret + size, ".part", sizeof ".part");
}

/* --- the state file --- */

/* Agents may share a folder: each has its own. */
static enum err disk_own_path(const struct file_disk *disk, const char *suffix, char ret[PATH_MAX],
                              struct why *why)
{
    struct out out = out_over(ret, PATH_MAX - 64); /* with room for what is put behind */
    const char *names[] = {disk->agent_id, disk->stream};
    out_put_text(&out, disk->options->path);
    out_put_text(&out, "/.weir");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        out_put_byte(&out, '-');
        for (const char *c = names[i]; *c; c++) {
            out_put_byte(&out, *c == '/' ? '_' : (uint8_t)*c);
        }
    }
    out_put_text(&out, suffix);
    out_put_byte(&out, 0);
    if (out.overflow) {
        why_set(why, "the path \"%.64s\" is too long", disk->options->path);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* Two writers would take the same names, and finish each other's files. */
static enum err disk_lock(struct file_disk *disk, struct why *why)
{
    char path[PATH_MAX];
    enum err e = disk->lock_fd >= 0 ? ERR_OK : disk_own_path(disk, ".lock", path, why);
    if (e || disk->lock_fd >= 0) {
        return e;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        return disk_failed(why, "open", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        why_set(why,
                "another uplink or agent named %s writes stream %s to %s: give each a folder of "
                "its own",
                disk->agent_id, disk->stream, disk->options->path);
        close(fd);
        return ERR_CONFIG;
    }
    disk->lock_fd = fd; /* also where the file system knows no locks */
    return ERR_OK;
}

static enum err disk_state_write(const struct file_disk *disk, struct why *why)
{
    char path[PATH_MAX];
    uint8_t *memory = malloc(STATE_SIZE_MAX);
    if (!memory) {
        return ERR_NOMEM;
    }
    struct out out = out_over(memory, STATE_SIZE_MAX);
    out_put_format(&out, "weir-file-state 1\nnumber %" PRId64 "\n", disk->number);
    for (size_t i = 0; i < disk->done_count; i++) {
        out_put_format(&out, "done %" PRId64 " %" PRId32 " %" PRId64 "\n", disk->done[i].number,
                       disk->done[i].life, disk->done[i].size);
    }
    if (disk->has_open) {
        out_put_format(&out, "open %" PRId64 " %" PRId32 " ", disk->open_number, disk->open_life);
        out_put_text(&out, disk->open_path);
        out_put_byte(&out, '\n');
    }
    assert(!out.overflow); /* 16 short lines and a path */
    enum err e = disk_own_path(disk, ".state", path, why);
    e = e ? e : file_replace(path, out_slice(&out), 0640, why);
    free(memory);
    return e;
}

static bool disk_state_line(struct file_disk *disk, const char *line)
{
    int at = 0;
    struct file_done done;
    if (sscanf(line, "number %" SCNd64, &disk->number) == 1 ||
        strcmp(line, "weir-file-state 1") == 0) {
        return true;
    }
    if (sscanf(line, "done %" SCNd64 " %" SCNd32 " %" SCNd64, &done.number, &done.life,
               &done.size) == 3 &&
        disk->done_count < FILE_DONE_MAX) {
        disk->done[disk->done_count++] = done;
        return true;
    }
    if (sscanf(line, "open %" SCNd64 " %" SCNd32 " %n", &disk->open_number, &disk->open_life,
               &at) == 2 &&
        at > 0 && strlen(line + at) < sizeof disk->open_path - 8) {
        memcpy(disk->open_path, line + at, strlen(line + at) + 1);
        disk->has_open = true;
        return true;
    }
    return false;
}

static enum err disk_state_read(struct file_disk *disk, struct why *why)
{
    char path[PATH_MAX];
    struct slice text;
    disk->has_open = false;
    disk->done_count = 0;
    enum err e = disk_own_path(disk, ".state", path, why);
    if (e) {
        return e;
    }
    e = file_read(path, STATE_SIZE_MAX, &text, why);
    if (e) {
        return e == ERR_CLOSED ? ERR_OK : e; /* none: the first start */
    }
    char *memory = (char *)(uintptr_t)text.data;
    for (char *line = memory, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (end) {
            *end = 0;
        }
        if (!end || !disk_state_line(disk, line)) {
            why_set(why,
                    "%s is damaged: look at it, or remove it (the batch that was being "
                    "written may then come twice)",
                    path);
            e = ERR_CORRUPT;
            break;
        }
    }
    free(memory);
    return e;
}

/* --- finishing --- */

static struct file_done *disk_done_find(struct file_disk *disk, int64_t number, int32_t life)
{
    for (size_t i = 0; i < disk->done_count; i++) {
        if (disk->done[i].number == number && disk->done[i].life == life) {
            return &disk->done[i];
        }
    }
    return NULL;
}

static void disk_done_add(struct file_disk *disk, int64_t number, int32_t life, int64_t size)
{
    if (disk_done_find(disk, number, life)) {
        return;
    }
    if (disk->done_count == FILE_DONE_MAX) {
        memmove(disk->done, disk->done + 1, (FILE_DONE_MAX - 1) * sizeof disk->done[0]);
        disk->done_count--;
    }
    disk->done[disk->done_count++] = (struct file_done){number, life, size};
}

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

/* The offset behind the last whole block; 0: there is none. An error says nothing about the file:
 * what could not be read must not be cut off. */
static enum err disk_good_size(int fd, int64_t *ret, struct why *why)
{
    struct container_reader *reader = NULL;
    uint64_t count;
    struct slice raw;
    int64_t size = 0;
    enum err e = container_reader_open(&reader, disk_read, &fd, why);
    while (!e) {
        e = container_block(reader, &count, &raw, why);
        size = e ? size : (int64_t)container_offset(reader);
    }
    container_reader_close(reader);
    if (e != ERR_CLOSED && e != ERR_CORRUPT) { /* the end, or a block that was being written */
        return e;
    }
    *ret = size;
    return ERR_OK;
}

enum err file_disk_recover(struct file_disk *disk, struct why *why)
{
    disk->fd = -1;
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
    struct file_done *done = disk_done_find(disk, disk->open_number, disk->open_life);
    int64_t size = done ? done->size : 0;
    if (!done) {
        e = disk_good_size(fd, &size, why);
    }
    if (e) {
        why_add(why, "reading %s", part);
    } else if (ftruncate(fd, size) != 0) {
        e = disk_failed(why, "cut", part);
    } else if (size == 0) {
        (void)unlink(part); /* empty: left behind it harms nobody */
        disk->has_open = false;
    } else {
        e = disk_publish(disk, fd, size, why);
    }
    close(fd);
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
        why_set(why, "%s has %" PRIu64 " bytes left, less than free_min: make room",
                disk->options->path, room);
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
    struct file_name name = {.stream = disk->stream,
                             .agent = disk->agent_id,
                             .incarnation = disk->incarnation,
                             .number = w->number,
                             .first = w->first_sequence,
                             .time_us = (int64_t)time_us};
    int size = snprintf(disk->open_path, sizeof disk->open_path, "%s/", disk->options->path);
    struct out out = out_over(disk->open_path + size, sizeof disk->open_path - (size_t)size - 24);
    enum err e = file_name_write(disk->options->name, &name, &out, why);
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
    snprintf(incarnation, sizeof incarnation, "%08" PRIx32, disk->incarnation);
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
    struct slice block = {w->wire.data + FILE_WIRE_HEAD,
                          w->wire.size - FILE_WIRE_HEAD - CONTAINER_SYNC_SIZE};
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

enum err file_disk_write(struct file_disk *disk, const struct file_write *w, enum file_outcome *ret,
                         struct why *why)
{
    assert(w->wire.size > FILE_WIRE_HEAD + CONTAINER_SYNC_SIZE);
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
