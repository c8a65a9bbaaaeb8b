#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>

#include "ports/file.h"
#include "uplink/file/disk_impl.h"

#define STATE_SIZE_MAX 16384

enum err disk_failed(struct why *why, const char *verb, const char *path)
{
    int number = errno;
    why_set(why, "can't %s %s: %s", verb, path, strerror(number));
    return err_of_errno(number);
}

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

enum err disk_lock(struct file_disk *disk, struct why *why)
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

enum err disk_state_write(const struct file_disk *disk, struct why *why)
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

enum err disk_state_read(struct file_disk *disk, struct why *why)
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

struct file_done *disk_done_find(struct file_disk *disk, int64_t number, int32_t life)
{
    for (size_t i = 0; i < disk->done_count; i++) {
        if (disk->done[i].number == number && disk->done[i].life == life) {
            return &disk->done[i];
        }
    }
    return NULL;
}

void disk_done_add(struct file_disk *disk, int64_t number, int32_t life, int64_t size)
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
