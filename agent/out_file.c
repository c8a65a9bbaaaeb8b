#include "agent/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ports/file.h"

static enum err failed_on(const char *path, struct why *why)
{
    int number = errno;
    why_set(why, "can't write %s: %s", path[0] ? path : "standard output", strerror(number));
    return err_of_errno(number) == ERR_CLOSED ? ERR_IO : err_of_errno(number);
}

enum err out_file_failed(const struct out_file *file, struct why *why)
{
    return failed_on(file->path[0] ? file->part : "", why);
}

enum err out_file_begin(struct out_file *ret, const char *path, struct why *why)
{
    (void)snprintf(ret->path, sizeof ret->path, "%s", path); /* checked by open */
    if (!path[0]) {
        ret->file = stdout;
        return ERR_OK;
    }
    (void)snprintf(ret->part, sizeof ret->part, "%s.part", path); /* fits */
    int fd = open(ret->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    ret->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!ret->file) {
        enum err e = failed_on(ret->part, why);
        if (fd >= 0) {
            close(fd);
        }
        return e;
    }
    return ERR_OK;
}

enum err out_file_put(struct out_file *file, struct slice bytes, struct why *why)
{
    return fwrite(bytes.data, 1, bytes.size, file->file) == bytes.size ? ERR_OK
                                                                       : out_file_failed(file, why);
}

enum err out_file_finish(struct out_file *f, bool good, struct why *why)
{
    FILE *file = f->file;
    f->file = NULL;
    if (!file) {
        return ERR_OK;
    }
    bool written = fflush(file) == 0 && !ferror(file);
    if (file == stdout) {
        return written ? ERR_OK : failed_on("", why);
    }
    written = written && fsync(fileno(file)) == 0;
    enum err e = written ? ERR_OK : failed_on(f->part, why);
    if (fclose(file) != 0 && !e) {
        e = failed_on(f->part, why);
    }
    if (e || !good) {
        (void)unlink(f->part); /* nothing of it is of use */
        return e;
    }
    if (rename(f->part, f->path) != 0) {
        return failed_on(f->path, why);
    }
    return file_sync_folder(f->path, why);
}
