#include "ports/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define FILE_TEMPORARY_SUFFIX ".new"

static enum err file_failed(struct why *why, const char *verb, const char *path)
{
    int number = errno;
    why_set(why, "can't %s %s: %s", verb, path, strerror(number));
    return err_of_errno(number);
}

/* Reads until the end, or one byte more than allowed: /proc and pipes tell no size. */
static enum err file_read_fd(int fd, const char *path, size_t size_max, struct slice *ret,
                             struct why *why)
{
    assert(size_max < SIZE_MAX - 2);
    size_t room = size_max < 4096 ? size_max + 2 : 4096;
    uint8_t *data = malloc(room);
    size_t size = 0;
    enum err e;
    while (data) {
        if (size == room - 1) {
            size_t wanted = room > size_max / 2 ? size_max + 2 : 2 * room;
            uint8_t *larger = realloc(data, wanted);
            if (!larger) {
                break;
            }
            data = larger;
            room = wanted;
        }
        ssize_t got = read(fd, data + size, room - 1 - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            e = file_failed(why, "read", path);
            goto fail;
        }
        size += (size_t)got;
        if (size > size_max) {
            why_set(why, "%s is larger than %zu bytes", path, size_max);
            e = ERR_REJECTED;
            goto fail;
        }
        if (got == 0) {
            data[size] = 0;
            *ret = (struct slice){data, size};
            return ERR_OK;
        }
    }
    why_set(why, "no memory to read %s", path);
    e = ERR_NOMEM;
fail:
    free(data);
    return e;
}

static enum err file_check_secret(int fd, const char *path, struct why *why)
{
    struct stat s;
    if (fstat(fd, &s) != 0) {
        return file_failed(why, "look at", path);
    }
    mode_t open_to_others = s.st_mode & 077;
    if (s.st_uid == 0) {
        open_to_others &= (mode_t)~S_IRGRP; /* root:weir 0640 is how packages install secrets */
    }
    if (open_to_others) {
        why_set(why, "%s holds a secret and its mode %03o lets others at it: chmod 600 %s", path,
                (unsigned)(s.st_mode & 0777), path);
        return ERR_AUTH;
    }
    return ERR_OK;
}

static enum err file_read_checked(const char *path, size_t size_max, bool is_secret,
                                  struct slice *ret, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return file_failed(why, "open", path);
    }
    enum err e = is_secret ? file_check_secret(fd, path, why) : ERR_OK;
    if (!e) {
        e = file_read_fd(fd, path, size_max, ret, why);
    }
    close(fd);
    return e;
}

enum err file_read(const char *path, size_t size_max, struct slice *ret, struct why *why)
{
    return file_read_checked(path, size_max, false, ret, why);
}

enum err file_read_secret(const char *path, size_t size_max, struct slice *ret, struct why *why)
{
    return file_read_checked(path, size_max, true, ret, why);
}

enum err file_write_all(int fd, struct slice data)
{
    while (data.size) {
        ssize_t put = write(fd, data.data, data.size);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return err_of_errno(errno);
        }
        data.data += put;
        data.size -= (size_t)put;
    }
    return ERR_OK;
}

/* The folder of `path` into `folder`: "." when it names none. */
static enum err file_folder(const char *path, char folder[PATH_MAX], struct why *why)
{
    size_t size = strlen(path);
    if (size >= PATH_MAX) {
        why_set(why, "the path %.64s... is longer than %d bytes", path, PATH_MAX - 1);
        return ERR_CONFIG;
    }
    while (size > 1 && path[size - 1] != '/') {
        size--;
    }
    if (size <= 1) {
        snprintf(folder, PATH_MAX, "%s", path[0] == '/' ? "/" : ".");
        return ERR_OK;
    }
    memcpy(folder, path, size - 1);
    folder[size - 1] = 0;
    return ERR_OK;
}

enum err file_sync_folder(const char *path, struct why *why)
{
    char folder[PATH_MAX];
    enum err e = file_folder(path, folder, why);
    if (e) {
        return e;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return file_failed(why, "open the folder", folder);
    }
    /* EINVAL: a file system that can't sync folders (FAT, some network ones) has nothing to do. */
    if (fsync(fd) != 0 && errno != EINVAL) {
        e = file_failed(why, "sync the folder", folder);
    }
    close(fd);
    return e;
}

static enum err file_write_new(const char *path, struct slice content, mode_t mode, struct why *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return file_failed(why, "create", path);
    }
    enum err e = ERR_OK;
    if (fchmod(fd, mode) != 0) { /* one that a crash left behind has its own mode; so has umask */
        e = file_failed(why, "set the mode of", path);
    }
    if (!e) {
        e = file_write_all(fd, content);
        if (e) {
            (void)file_failed(why, "write", path);
        }
    }
    if (!e && fsync(fd) != 0) {
        e = file_failed(why, "sync", path);
    }
    if (close(fd) != 0 && !e) {
        e = file_failed(why, "close", path);
    }
    return e;
}

enum err file_replace(const char *path, struct slice content, mode_t mode, struct why *why)
{
    char temporary[PATH_MAX];
    int size = snprintf(temporary, sizeof temporary, "%s" FILE_TEMPORARY_SUFFIX, path);
    if (size < 0 || (size_t)size >= sizeof temporary) {
        why_set(why, "the path %.64s... is too long", path);
        return ERR_CONFIG;
    }
    enum err e = file_write_new(temporary, content, mode, why);
    if (!e && rename(temporary, path) != 0) {
        e = file_failed(why, "replace", path);
    }
    if (e) {
        unlink(temporary);
        return e;
    }
    return file_sync_folder(path, why);
}

enum err file_make_folders(const char *path, struct why *why)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof part) {
        why_set(why, "the path \"%.64s\" is empty or too long", path);
        return ERR_CONFIG;
    }
    for (size_t i = 1; i <= size; i++) {
        if (i < size && path[i] != '/') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0750) == 0) {
            enum err e = file_sync_folder(part, why);
            if (e) {
                return e;
            }
        } else if (errno != EEXIST) {
            struct stat s;
            int number = errno; /* a read-only file system says EROFS for folders that are there */
            if (stat(part, &s) != 0 || !S_ISDIR(s.st_mode)) {
                errno = number;
                return file_failed(why, "make the folder", part);
            }
        }
    }
    struct stat s;
    if (stat(path, &s) != 0) {
        return file_failed(why, "look at", path);
    }
    if (!S_ISDIR(s.st_mode)) {
        why_set(why, "%s is there and is no folder", path);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err file_place_of(const char *path, struct file_place *ret)
{
    struct stat s;
    if (stat(path, &s) != 0) {
        return err_of_errno(errno);
    }
    *ret = (struct file_place){(uint64_t)s.st_dev, (uint64_t)s.st_ino};
    return ERR_OK;
}

bool file_room(const char *path, uint64_t *ret)
{
    struct statvfs s;
    if (statvfs(path, &s)) {
        return false;
    }
    *ret = (uint64_t)s.f_bavail * s.f_frsize;
    return true;
}

bool file_may_write(const char *path, uint64_t room)
{
    struct statvfs s;
    return access(path, W_OK) == 0 && statvfs(path, &s) == 0 && !(s.f_flag & ST_RDONLY) &&
           (uint64_t)s.f_bavail * s.f_frsize >= room;
}
