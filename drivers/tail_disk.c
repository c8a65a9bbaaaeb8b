#include "drivers/tail_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <sys/stat.h>

/* As many bytes as there are, up to `size`. */
static ssize_t tail_pread(int fd, void *data, size_t size, uint64_t at)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (uint8_t *)data + done, size - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

void tail_read_work(struct job *job)
{
    struct tail_read *read_ = CONTAINER_OF(job, struct tail_read, job);
    read_->number = 0;
    read_->size = 0;
    read_->head_size = 0;
    ssize_t got = tail_pread(read_->fd, read_->data, read_->size_max, read_->at);
    /* The head comes after the data: as long as it is still the old one, so was the file when the
     * data was read. */
    ssize_t head = got < 0 ? -1 : tail_pread(read_->fd, read_->head, PLACE_HEAD_MAX, 0);
    struct stat s;
    if (head < 0 || fstat(read_->fd, &s) != 0) {
        read_->number = errno;
        return;
    }
    read_->size = (size_t)got;
    read_->head_size = (uint16_t)head;
    read_->file_size = (uint64_t)s.st_size;
}

static int64_t tail_changed_ns(const struct stat *s)
{
    return (int64_t)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec;
}

static bool tail_is_excluded(const struct tail_scan *scan, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *const *patterns = scan->exclude->items;
    for (size_t i = 0; i < scan->exclude->count; i++) {
        if (fnmatch(patterns[i], strchr(patterns[i], '/') ? path : name, 0) == 0) {
            return true;
        }
    }
    return false;
}

/* A cursor's file is also the one with its inode under its path: device numbers of removable and
 * network devices change from boot to boot. What is in it is checked by the fingerprint. */
static struct tail_known *tail_known_find(struct tail_scan *scan, const struct stat *s,
                                          const char *path)
{
    for (size_t i = 0; i < scan->known_count; i++) {
        struct tail_known *known = &scan->known[i];
        if (known->inode == (uint64_t)s->st_ino &&
            (known->device == (uint64_t)s->st_dev ||
             (known->fd < 0 && strcmp(known->path, path) == 0))) {
            return known;
        }
    }
    return NULL;
}

static bool tail_is_found(const struct tail_scan *scan, const struct stat *s)
{
    for (size_t i = 0; i < scan->found_count; i++) {
        if (scan->found[i].inode == (uint64_t)s->st_ino &&
            scan->found[i].device == (uint64_t)s->st_dev) {
            return true;
        }
    }
    return false;
}

/* Opens one file and appends it. A file that vanished between listing and opening is none. */
static void tail_scan_open(struct tail_scan *scan, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        if (errno != ENOENT) {
            why_set(&scan->why, "can't open %s: %s: let the user of weir read it", path,
                    strerror(errno));
        }
        return;
    }
    struct stat s;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || tail_is_found(scan, &s)) {
        close(fd);
        return;
    }
    size_t path_size = strlen(path);
    if (scan->found_count == scan->found_max || path_size > PLACE_PATH_MAX) {
        scan->refused_count++;
        close(fd);
        return;
    }
    struct tail_found *found = &scan->found[scan->found_count];
    ssize_t head = tail_pread(fd, found->head, sizeof found->head, 0);
    if (head < 0) {
        why_set(&scan->why, "can't read %s: %s", path, strerror(errno));
        close(fd);
        return;
    }
    found->fd = fd;
    found->device = (uint64_t)s.st_dev;
    found->inode = (uint64_t)s.st_ino;
    found->size = (uint64_t)s.st_size;
    found->changed_ns = tail_changed_ns(&s);
    found->head_size = (uint16_t)head;
    memcpy(found->path, path, path_size + 1);
    scan->found_count++;
}

/* Nothing fits the pattern: because there is nothing, or because we may not look? glob() passes over
 * what may not be read, unless it is told to stop there. */
static void tail_scan_nothing(struct tail_scan *scan, const char *pattern)
{
    static const char advice[] = "let the user of weir enter and read its folder";
    glob_t list = {0};
    struct stat s;
    if (stat(pattern, &s) != 0 && errno == EACCES) {
        why_set(&scan->why, "can't look at %s: %s: %s", pattern, strerror(EACCES), advice);
        return;
    }
    errno = 0;
    if (glob(pattern, GLOB_ERR, NULL, &list) == GLOB_ABORTED && errno == EACCES) {
        why_set(&scan->why, "can't list %s: %s: %s", pattern, strerror(EACCES), advice);
    }
    globfree(&list);
}

static void tail_scan_pattern(struct tail_scan *scan, const char *pattern)
{
    glob_t list = {0};
    int failed = glob(pattern, 0, NULL, &list);
    if (failed == GLOB_NOMATCH) {
        tail_scan_nothing(scan, pattern);
    } else if (failed) {
        why_set(&scan->why, "can't list %s: %s", pattern,
                failed == GLOB_NOSPACE ? "no memory" : "reading a folder failed");
    }
    for (size_t i = 0; !failed && i < list.gl_pathc; i++) {
        const char *path = list.gl_pathv[i];
        struct stat s;
        if (stat(path, &s) != 0 || !S_ISREG(s.st_mode) || tail_is_excluded(scan, path)) {
            continue;
        }
        struct tail_known *known = tail_known_find(scan, &s, path);
        if (known) {
            known->is_seen = true;
        }
        if (!known || known->fd < 0) {
            tail_scan_open(scan, path);
        }
    }
    globfree(&list);
}

/* A file that was rotated away while the agent was not running has another name, but is still in
 * its folder. */
static void tail_scan_folder(struct tail_scan *scan, struct tail_known *known)
{
    char path[PATH_MAX];
    const char *slash = strrchr(known->path, '/');
    int folder_size = slash ? (int)(slash - known->path) + 1 : 2;
    snprintf(path, sizeof path, "%.*s", folder_size, slash ? known->path : "./");
    size_t base = strlen(path);
    DIR *folder = opendir(path);
    if (!folder) {
        return; /* not mounted yet, perhaps */
    }
    known->is_gone = true;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        struct stat s;
        if (fstatat(dirfd(folder), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(s.st_mode) || (uint64_t)s.st_ino != known->inode ||
            (uint64_t)s.st_dev != known->device) {
            continue;
        }
        size_t name_size = strlen(entry->d_name);
        if (base + name_size < sizeof path) {
            memcpy(path + base, entry->d_name, name_size + 1);
            tail_scan_open(scan, path);
            known->is_gone = false;
        }
        break;
    }
    closedir(folder);
}

/* Do the bytes before the place up to which both have something agree? */
static bool tail_is_same(const struct tail_known *copy, const struct tail_known *original)
{
    uint64_t end = copy->size < copy->copy_at ? copy->size : copy->copy_at;
    size_t size = end < TAIL_COMPARE_SIZE ? (size_t)end : TAIL_COMPARE_SIZE;
    uint8_t of_copy[TAIL_COMPARE_SIZE / 8];
    uint8_t of_original[TAIL_COMPARE_SIZE / 8];
    for (uint64_t at = end - size; at < end;) {
        size_t part = end - at < sizeof of_copy ? (size_t)(end - at) : sizeof of_copy;
        if (tail_pread(copy->fd, of_copy, part, at) != (ssize_t)part ||
            tail_pread(original->fd, of_original, part, at) != (ssize_t)part) {
            return true; /* truncated just now: the reader finds out */
        }
        if (memcmp(of_copy, of_original, part) != 0) {
            return false;
        }
        at += part;
    }
    return true;
}

void tail_scan_work(struct job *job)
{
    struct tail_scan *scan = CONTAINER_OF(job, struct tail_scan, job);
    scan->found_count = 0;
    scan->refused_count = 0;
    scan->why.text[0] = 0;
    for (size_t i = 0; i < scan->known_count; i++) {
        struct tail_known *known = &scan->known[i];
        struct stat s;
        known->is_seen = known->is_gone = false;
        known->is_same = true;
        if (known->fd >= 0 && fstat(known->fd, &s) == 0) {
            known->size = (uint64_t)s.st_size;
            known->changed_ns = tail_changed_ns(&s);
        }
    }
    const char *const *patterns = scan->patterns->items;
    for (size_t i = 0; i < scan->patterns->count; i++) {
        tail_scan_pattern(scan, patterns[i]);
    }
    for (size_t i = 0; i < scan->known_count; i++) {
        struct tail_known *known = &scan->known[i];
        if (known->fd < 0 && !known->is_seen) {
            tail_scan_folder(scan, known);
        } else if (known->fd >= 0 && known->copy_of >= 0) {
            known->is_same = tail_is_same(known, &scan->known[known->copy_of]);
        }
    }
}
