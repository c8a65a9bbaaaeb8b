/* The write-ahead log before SQLite sees it: is something lost that was acknowledged? */
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/wal_look.h"
#include "ports/clock.h"
#include "ports/log.h"

#define READ_TRIES 3 /* a second apart */

struct log_reader {
    struct raw_file *log;
    struct raw_file *database;
    struct wal_look look;
    uint8_t page[PAGE_SIZE];
};

/* A frame of another log is not read: its head is enough. */
static bool is_other(const struct wal_look *look, const uint8_t *frame)
{
    const uint8_t *salt = frame + 8;
    uint32_t first =
        (uint32_t)salt[0] << 24 | (uint32_t)salt[1] << 16 | (uint32_t)salt[2] << 8 | salt[3];
    return !look->has_header || first != look->salt[0];
}

/* Did the last read fail for another reason than the file's end? */
static bool read_failed(const struct raw_file *log)
{
    return raw_code(log) != SQLITE_OK && raw_code(log) != SQLITE_IOERR_SHORT_READ;
}

enum wal_verdict log_look(struct raw_file *log, struct wal_look *ret)
{
    uint8_t header[WAL_HEADER_SIZE];
    uint8_t frame[WAL_FRAME_SIZE] = {0};
    size_t size = raw_read(log, 0, header, sizeof header);
    wal_look_begin(ret, (struct slice){header, size});
    for (uint64_t at = WAL_HEADER_SIZE; !read_failed(log); at += WAL_FRAME_SIZE) {
        size_t head = raw_read(log, at, frame, WAL_FRAME_HEAD_SIZE);
        if (head == WAL_FRAME_HEAD_SIZE && !is_other(ret, frame)) {
            size = raw_read(log, at, frame, WAL_FRAME_SIZE);
        } else {
            size = head == WAL_FRAME_HEAD_SIZE ? WAL_FRAME_SIZE : 0;
        }
        if (read_failed(log) || !wal_look_frame(ret, (struct slice){frame, size})) {
            break;
        }
    }
    return wal_look_end(ret);
}

/* A log that the disk refuses to read is not one that is damaged, nor one to be made void: opening
 * fails, and is tried again. That of a file that was moved aside is damaged when it fails for seconds. */
static enum err look_at_all(const struct buffer *b, struct log_reader *r, const char *file,
                            enum wal_verdict *ret, struct why *why)
{
    bool is_own = strcmp(file, b->path) == 0;
    *ret = log_look(r->log, &r->look);
    for (unsigned i = 0; !is_own && read_failed(r->log) && i < READ_TRIES; i++) {
        clock_pause(IO_PAUSE_MS);
        *ret = log_look(r->log, &r->look);
    }
    if (!read_failed(r->log)) {
        return ERR_OK;
    }
    *ret = WAL_DAMAGED;
    why_set(why, "reading the log of %s: the disk fails: look for its errors (dmesg)", file);
    return is_own ? ERR_IO : ERR_OK;
}

static const uint8_t *page_of(void *context, uint32_t number)
{
    struct log_reader *r = context;
    uint64_t at = (uint64_t)(number - 1) * PAGE_SIZE;
    bool is_there = r->database && raw_read(r->database, at, r->page, PAGE_SIZE) == PAGE_SIZE;
    return is_there ? r->page : NULL;
}

/* Without its header SQLite does not use it; the file keeps its size. */
static enum err forget(struct raw_file *log, const char *name, struct why *why)
{
    static const uint8_t nothing[WAL_HEADER_SIZE];
    enum err e = raw_write(log, 0, nothing, sizeof nothing);
    if (e) {
        why_set(why, "writing %s: it can't be made void, and has to be", name);
    }
    return e;
}

#define LACKING_MAX 4

/* Pages that the file has to have, by its header or the log's last transaction, and that stand
 * neither in it nor in the log. SQLite would read zeros, and might find nothing wrong with them. A
 * few that were free from the start may never have been written. */
static bool lacks_pages(struct log_reader *r)
{
    uint8_t head[72];
    uint64_t pages = raw_size(r->database) / PAGE_SIZE;
    if (raw_read(r->database, 0, head, sizeof head) < sizeof head ||
        memcmp(head + 68, "weir", 4) != 0) {
        return false; /* a new one; another's; or SQLite says what it is */
    }
    uint64_t wanted =
        (uint64_t)head[28] << 24 | (uint64_t)head[29] << 16 | (uint64_t)head[30] << 8 | head[31];
    const struct wal_look *look = &r->look;
    size_t end = look->first_bad;
    while (end > 0 && look->frames[end - 1].commit == 0) {
        end--;
    }
    wanted = end > 0 ? look->frames[end - 1].commit : wanted;
    unsigned lacking = 0;
    for (uint64_t page = pages + 1; page <= wanted && lacking <= LACKING_MAX; page++) {
        bool found = false;
        for (size_t i = 0; i < end && !found; i++) {
            found = look->frames[i].page == page;
        }
        lacking += !found;
    }
    return lacking > LACKING_MAX;
}

enum err log_check(struct buffer *b, const char *file, struct why *why)
{
    char log[FILE_NAME_SIZE];
    struct log_reader *r = calloc(1, sizeof *r);
    if (!r) {
        return ERR_NOMEM;
    }
    log_name(log, file);
    enum err e = raw_need(b, log, true, &r->log, why);
    e = e ? e : raw_need(b, file, false, &r->database, why);
    if (e) { /* that says nothing of the log */
        raw_close(r->log);
        free(r);
        return e;
    }
    b->log_missing = !r->log || raw_size(r->log) < WAL_WARM_SIZE;
    enum wal_verdict verdict = WAL_WHOLE;
    bool redundant = false;
    if (r->log) {
        e = look_at_all(b, r, file, &verdict, why);
        redundant = !e && !read_failed(r->log) && verdict != WAL_WHOLE &&
                    wal_look_is_redundant(&r->look, page_of, r);
    }
    b->log_damaged = verdict == WAL_DAMAGED && !redundant;
    b->file_short = r->database && lacks_pages(r);
    if (redundant && verdict == WAL_DAMAGED) {
        log_warn("buffer", "%s is damaged; the database has all of it, nothing is lost", log);
    }
    if (!e && (redundant || (verdict != WAL_DAMAGED && wal_look_is_stale(&r->look)))) {
        e = forget(r->log, log, why);
    }
    raw_close(r->database);
    raw_close(r->log);
    free(r);
    return e;
}
