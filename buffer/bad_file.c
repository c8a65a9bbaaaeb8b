/* Damaged files on the disk: whether one is ours, the names that they get, and their move. */
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "ports/log.h"

void bad_name(const struct buffer *b, int number, char ret[FILE_NAME_SIZE])
{
    (void)snprintf(ret, FILE_NAME_SIZE, "%s.bad-%d", b->path, number); /* has room for it */
}

/* The newest that is there, or whose log is; 0: none. */
static int number_highest(const struct buffer *b, bool or_log)
{
    char bad[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    for (int i = SALVAGE_FILE_MAX; i > 0; i--) {
        bad_name(b, i, bad);
        log_name(log, bad);
        if (file_there(b, bad) || (or_log && file_there(b, log))) {
            return i;
        }
    }
    return 0;
}

static bool is_log(const struct buffer *b, const char *name)
{
    uint8_t magic[4] = {0};
    struct raw_file *file = raw_open(b, name, false);
    size_t size = file ? raw_read(file, 0, magic, sizeof magic) : 0;
    raw_close(file);
    return size == 4 && memcmp(magic, "\x37\x7f\x06", 3) == 0;
}

/* The log goes first: without it, a file that was used is one that was to follow it. */
static enum err settle_log(struct buffer *b, const char *bad, const char *bad_log, struct why *why)
{
    char log[FILE_NAME_SIZE];
    log_name(log, b->path);
    struct raw_file *file = raw_open(b, b->path, false);
    uint64_t size = file ? raw_size(file) : 0;
    raw_close(file);
    if (!file) {
        return ERR_OK; /* SQLite says why */
    }
    if (!file_there(b, log) && size > TAIL_BLOB_SIZE) {
        return file_move(b, b->path, bad, why);
    }
    log_warn("buffer", "%s belongs to no file any more: it is removed", bad_log);
    file_remove(b, bad_log);
    return ERR_OK;
}

/* Of a pair with each other's names it was the file that went first: what is left is its log. */
static enum err settle_swapped(struct buffer *b, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    char bad_log[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    log_name(log, b->path);
    if (file_there(b, log) || !is_log(b, b->path)) {
        return ERR_OK;
    }
    bad_name(b, number_highest(b, true), bad);
    log_name(bad_log, bad);
    return file_there(b, bad) && !file_there(b, bad_log) ? file_move(b, b->path, bad_log, why)
                                                         : ERR_OK;
}

enum err damage_settle(struct buffer *b, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    enum err e = settle_swapped(b, why);
    for (int i = SALVAGE_FILE_MAX; !e && i > 0; i--) {
        bad_name(b, i, bad);
        log_name(log, bad);
        if (file_there(b, log) && !file_there(b, bad) && file_there(b, b->path)) {
            e = settle_log(b, bad, log, why);
        }
    }
    return e;
}

bool damage_has_others(const struct buffer *b, const char *file)
{
    char bad[FILE_NAME_SIZE];
    bool found = false;
    for (int i = 1; !found && i <= SALVAGE_FILE_MAX; i++) {
        bad_name(b, i, bad);
        found = strcmp(bad, file) != 0 && file_there(b, bad);
    }
    return found;
}

bool damage_newest(const struct buffer *b, char ret[FILE_NAME_SIZE])
{
    int number = number_highest(b, false);
    bad_name(b, number, ret);
    return number > 0;
}

int damage_pending(struct buffer *b)
{
    char sql[80];
    if (sql_number(b, "SELECT count(*) FROM state", 1) != 0) {
        return 0;
    }
    int number = number_highest(b, false);
    (void)snprintf(sql, sizeof sql, "SELECT n FROM salvage WHERE n=%d", number); /* fits */
    return sql_number(b, sql, 0) == 0 ? number : 0;
}

enum err damage_choose_number(struct buffer *b, struct why *why)
{
    int number = b->move_number > 0 ? b->move_number : number_highest(b, true) + 1;
    if (number > SALVAGE_FILE_MAX) {
        why_set(why,
                "%s is damaged, and %s.bad-%d is there: move all that are called so to another "
                "folder; weir buffer salvage brings over later what is in them",
                b->path, b->path, SALVAGE_FILE_MAX);
        return ERR_NOSPACE;
    }
    b->move_number = number;
    return ERR_OK;
}

enum err damage_move_aside(struct buffer *b, struct why *why)
{
    char bad[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    char bad_log[FILE_NAME_SIZE];
    bad_name(b, b->move_number, bad);
    log_name(log, b->path);
    log_name(bad_log, bad);
    struct raw_file *own = NULL;
    enum err e = file_lock(b, b->path, &own, why);
    if (!e && !own && file_there(b, b->path)) {
        why_set(why, "%s can't be locked, and is not moved", b->path);
        e = ERR_IO;
    }
    if (!e && file_there(b, log)) {
        e = file_move(b, log, b->swapped ? bad : bad_log, why);
    }
    e = e ? e : file_move(b, b->path, b->swapped ? bad_log : bad, why);
    raw_close(own);
    return e;
}

static bool has_text(const uint8_t *page, size_t size, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= size; i++) {
        if (memcmp(page + i, text, length) == 0) {
            return true;
        }
    }
    return false;
}

/* What is constant in the first bytes of every file of ours; damage there can make SQLite read it
 * otherwise, or not write to it. */
enum err damage_check_header(const struct buffer *b, struct why *why)
{
    static const struct {
        size_t at;
        size_t size;
        const char *bytes;
    } parts[] = {{16, 2, "\x10\x00"}, {20, 4, "\x00\x40\x20\x20"}, {52, 4, "\0\0\0\0"}};
    uint8_t head[100];
    struct raw_file *file = raw_open(b, b->path, false);
    size_t size = file ? raw_read(file, 0, head, sizeof head) : 0;
    raw_close(file);
    if (size < sizeof head || memcmp(head + 68, "weir", 4) != 0) {
        return ERR_OK; /* a new one; another's; or SQLite says what it is */
    }
    bool good = head[18] <= 2 && head[19] <= 2;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        good = good && memcmp(head + parts[i].at, parts[i].bytes, parts[i].size) == 0;
    }
    if (!good) {
        why_set(why, "%s: its header is damaged", b->path);
    }
    return good ? ERR_OK : ERR_CORRUPT;
}

/* Its first page says so; or, where that is destroyed, the pages of the tail, which a new file has
 * always in the same place, each with the number of the next in front. */
static enum err is_ours(const struct buffer *b, const char *name, bool *ret, struct why *why)
{
    uint8_t page[PAGE_SIZE];
    unsigned chained = 0;
    struct raw_file *file = NULL;
    enum err e = raw_need(b, name, false, &file, why);
    *ret = false;
    if (!file) {
        return e;
    }
    size_t size = raw_read(file, 0, page, sizeof page);
    if (size == 0 && raw_code(file) != SQLITE_IOERR_SHORT_READ) {
        why_set(why, "reading %s: the disk fails: look for its errors (dmesg)", name);
        raw_close(file);
        return ERR_IO;
    }
    bool has_magic = memcmp(page, "SQLite format 3", size < 16 ? size : 16) == 0;
    bool has_tables = size == sizeof page && (page[100] == 5 || page[103] || page[104]);
    bool ours = size >= 72 && memcmp(page + 68, "weir", 4) == 0;
    ours = ours || has_text(page, size, "TABLE tail(id INTEGER");
    bool is_other = has_magic && has_tables && !ours;
    ours = ours || (has_magic && size < sizeof page); /* so short that it is nobody's any more */
    for (uint32_t i = 2; !ours && i < 128; i++) {
        uint32_t next = i + 1;
        const uint8_t wanted[4] = {0, 0, (uint8_t)(next >> 8), (uint8_t)next};
        size = raw_read(file, (uint64_t)(i - 1) * PAGE_SIZE, page, 4);
        chained += size == 4 && memcmp(page, wanted, 4) == 0;
    }
    raw_close(file);
    *ret = ours || (!is_other && chained >= 20);
    return ERR_OK;
}

enum err damage_is_ours(struct buffer *b, bool *ret, struct why *why)
{
    char log[FILE_NAME_SIZE];
    log_name(log, b->path);
    enum err e = is_log(b, b->path) ? is_ours(b, log, &b->swapped, why) : ERR_OK;
    *ret = b->swapped;
    return e || b->swapped ? e : is_ours(b, b->path, ret, why);
}
