#include "drivers/tail_files.h"

#include <assert.h>

enum err tail_files_init(struct tail_files *files, size_t count_max)
{
    files->files = calloc(count_max, sizeof *files->files);
    if (!files->files) {
        return ERR_NOMEM;
    }
    files->count_max = count_max;
    return ERR_OK;
}

static void tail_file_clear(struct tail_file *file)
{
    if (file->is_used && file->fd >= 0) {
        close(file->fd);
    }
    free(file->path);
    enum tail_owed owed = file->owed;
    *file = (struct tail_file){.fd = -1, .copy_of = -1, .owed = owed};
}

void tail_files_release(struct tail_files *files)
{
    for (size_t i = 0; i < files->count_max; i++) {
        tail_file_clear(&files->files[i]);
    }
    free(files->files);
    *files = (struct tail_files){0};
}

void tail_files_restore(struct tail_files *files, uint32_t key, struct slice cursor)
{
    if (key == TAIL_CURSOR_STARTED) {
        files->has_started = true;
        return;
    }
    struct place place;
    if (key > files->count_max || place_decode(&place, cursor) != ERR_OK) {
        return; /* files_max was lowered, or the cursor is of no use: the file counts as new */
    }
    char *path = calloc(1, place.path.size + 1);
    if (!path) {
        return;
    }
    memcpy(path, place.path.data, place.path.size);
    files->files[key - 1] = (struct tail_file){.is_used = true,
                                               .fd = -1,
                                               .device = place.device,
                                               .inode = place.inode,
                                               .path = path,
                                               .offset = place.offset,
                                               .scanned = place.offset,
                                               .head_hash = place.head_hash,
                                               .copy_of = -1};
}

size_t tail_files_known(const struct tail_files *files, struct tail_known *known, size_t *ret_slots)
{
    size_t count = 0;
    size_t *index_of = ret_slots; /* slots rise, so a binary walk is not worth it for <= 1024 */
    for (size_t i = 0; i < files->count_max; i++) {
        const struct tail_file *file = &files->files[i];
        if (file->is_used) {
            known[count] = (struct tail_known){.fd = file->fd,
                                               .device = file->device,
                                               .inode = file->inode,
                                               .path = file->path,
                                               .copy_of = -1};
            index_of[count++] = i;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct tail_file *file = &files->files[ret_slots[i]];
        for (size_t k = 0; k < count && file->copy_of >= 0; k++) {
            if (ret_slots[k] == (size_t)file->copy_of && known[k].fd >= 0) {
                known[i].copy_of = (int)k;
                known[i].copy_at = files->files[ret_slots[k]].offset;
            }
        }
    }
    return count;
}

void tail_file_advance(struct tail_file *file, uint64_t offset)
{
    uint16_t size = place_head_size(offset);
    if (size != place_head_size(file->offset)) {
        assert(file->head_size >= size);
        file->head_hash = slice_hash((struct slice){file->head, size});
    }
    file->offset = offset;
    if (file->scanned < offset) {
        file->scanned = offset;
    }
}

void tail_file_cursor(const struct tail_file *file, uint64_t offset, struct out *ret)
{
    uint16_t size = place_head_size(offset);
    struct place place = {.device = file->device,
                          .inode = file->inode,
                          .offset = offset,
                          .head_size = size,
                          .head_hash = file->head_hash,
                          .path = slice_of_text(file->path)};
    if (size != place_head_size(file->offset)) {
        assert(file->head_size >= size);
        place.head_hash = slice_hash((struct slice){file->head, size});
    }
    place_encode(&place, ret);
    assert(!ret->overflow);
}

/* Compared by the hash for what was consumed, because after a restart the bytes themselves are not
 * known; and as far as they are known. */
static bool tail_head_fits(const struct tail_file *file, const uint8_t *head, uint16_t head_size)
{
    uint16_t size = place_head_size(file->offset);
    return head_size >= size && head_size >= file->head_size &&
           (size == 0 || slice_hash((struct slice){head, size}) == file->head_hash) &&
           memcmp(head, file->head, file->head_size) == 0;
}

/* Is the head that of the file which the data came from? It was read after the data: a file that
 * was truncated, or written anew, in between has another one, or none. */
static bool tail_head_is_of_data(const struct tail_read *read_)
{
    if (place_head_size(read_->at + read_->size) > read_->head_size) {
        return false;
    }
    size_t at = read_->at < read_->head_size ? (size_t)read_->at : read_->head_size;
    size_t both = read_->head_size - at < read_->size ? read_->head_size - at : read_->size;
    return both == 0 || memcmp(read_->head + at, read_->data, both) == 0;
}

bool tail_file_check(struct tail_file *file, const struct tail_read *read_)
{
    file->is_checked = true;
    if (read_->file_size < file->scanned || read_->file_size < file->size ||
        !tail_head_fits(file, read_->head, read_->head_size) || !tail_head_is_of_data(read_)) {
        file->is_truncated = true;
        return false;
    }
    memcpy(file->head, read_->head, read_->head_size);
    file->head_size = read_->head_size;
    return true;
}

/* It is read from its beginning, unless told otherwise. */
static void tail_copy_let_go(struct tail_file *copy)
{
    copy->copy_of = -1;
    copy->is_suspect = false;
    copy->is_ready = true;
}

/* A copy goes on where the original was read to; its own first bytes may have been unwritten when
 * it was found. In doubt twice rather than never. */
static void tail_copy_take_over(struct tail_file *copy, const struct tail_file *original)
{
    uint64_t offset = copy->size < original->offset ? copy->size : original->offset;
    uint16_t size = place_head_size(offset);
    tail_copy_let_go(copy);
    if (offset == 0 || (size != place_head_size(original->offset) && original->head_size < size)) {
        return;
    }
    copy->head_hash = size == place_head_size(original->offset)
                          ? original->head_hash
                          : slice_hash((struct slice){original->head, size});
    copy->offset = copy->scanned = offset;
    copy->owed = TAIL_OWED_SET;
}

/* The size of a path without what rotation appends: "app.log.2", "app.log-20260301" are generations
 * of "app.log". */
static size_t stem_size(const char *path)
{
    size_t size = strlen(path);
    size_t digits = size;
    while (digits > 0 && path[digits - 1] >= '0' && path[digits - 1] <= '9') {
        digits--;
    }
    bool appended =
        digits < size && digits > 1 && (path[digits - 1] == '.' || path[digits - 1] == '-');
    return appended ? digits - 1 : size;
}

/* Is it named as rotation names a file that is followed? "unit-1" alone is no rotated "unit". */
static bool tail_is_rotated(const struct tail_files *files, const char *path)
{
    size_t size = stem_size(path);
    for (size_t i = 0; path[size] && i < files->count_max; i++) {
        const struct tail_file *file = &files->files[i];
        if (file->is_used && strncmp(file->path, path, size) == 0 && file->path[size] == 0) {
            return true;
        }
    }
    return false;
}

void tail_file_finish(struct tail_files *files, struct tail_file *file)
{
    int index = (int)(file - files->files);
    assert(file->is_used && (size_t)index < files->count_max);
    for (size_t i = 0; i < files->count_max; i++) {
        struct tail_file *copy = &files->files[i];
        if (copy->is_used && copy->copy_of == index) {
            tail_copy_take_over(copy, file);
        }
    }
    file->owed = TAIL_OWED_DELETE;
    files->finished_count++;
    tail_file_clear(file);
}

static struct tail_file *tail_slot_take(struct tail_files *files)
{
    struct tail_file *lost = NULL;
    for (size_t i = 0; i < files->count_max; i++) {
        struct tail_file *file = &files->files[i];
        if (!file->is_used && file->owed == TAIL_OWED_NOTHING) {
            return file;
        }
        if (file->is_used && file->fd < 0 && !lost) {
            lost = file;
        }
    }
    if (lost) { /* its folder is not there: better forget it than leave one that is there unread */
        tail_file_clear(lost);
    }
    return lost;
}

/* "app.log.1", "app.log-20260301": what logrotate makes of "app.log". */
static bool tail_is_copy_name(const char *copy, const char *original)
{
    size_t size = strlen(original);
    return strncmp(copy, original, size) == 0 && (copy[size] == '.' || copy[size] == '-');
}

/* Same beginning as far as the original was read; or, while the copy is being written, as far as it
 * has come. */
static bool tail_may_be_copy(const struct tail_file *file, const struct tail_found *found)
{
    bool is_begun = found->head_size < file->head_size &&
                    memcmp(found->head, file->head, found->head_size) == 0;
    return is_begun || ((file->offset > 0 || file->head_size > 0) &&
                        tail_head_fits(file, found->head, found->head_size));
}

/* The slot of which this file, seen for the first time, is a copy; -1: of none. */
static int tail_original_find(const struct tail_files *files, const struct tail_found *found)
{
    for (size_t i = 0; i < files->count_max; i++) {
        const struct tail_file *file = &files->files[i];
        if (file->is_used && file->fd >= 0 && tail_is_copy_name(found->path, file->path) &&
            tail_may_be_copy(file, found)) {
            return (int)i;
        }
    }
    return -1;
}

static void tail_file_add(struct tail_files *files, struct tail_found *found, uint64_t now_ms)
{
    char *path = strdup(found->path);
    int copy_of = tail_original_find(files, found);
    struct tail_file *file = path ? tail_slot_take(files) : NULL;
    if (!file) {
        files->refused_count++;
        free(path);
        return; /* the caller closes it; the next scan finds it again */
    }
    *file = (struct tail_file){.is_used = true,
                               .fd = found->fd,
                               .device = found->device,
                               .inode = found->inode,
                               .path = path,
                               .size = found->size,
                               .changed_ns = found->changed_ns,
                               .quiet_since_ms = now_ms,
                               .seen = 2 * files->scan_count,
                               .head_size = found->head_size,
                               .copy_of = copy_of,
                               .is_ready = copy_of < 0};
    found->fd = -1;
    memcpy(file->head, found->head, found->head_size);
    file->head_hash = slice_hash((struct slice){NULL, 0});
    if (files->is_from_end && !files->has_started && found->size > 0 &&
        found->head_size >= place_head_size(found->size)) {
        tail_file_advance(file, found->size);
        file->owed = TAIL_OWED_SET;
    }
}

/* Joins what was found with the cursor it belongs to. Paths come in order, so that an original is
 * joined before its copies. */
static void tail_file_join(struct tail_files *files, struct tail_found *found, uint64_t now_ms)
{
    for (size_t i = 0; i < files->count_max; i++) {
        struct tail_file *file = &files->files[i];
        if (!file->is_used || file->fd >= 0 || file->inode != found->inode ||
            (file->device != found->device && strcmp(file->path, found->path) != 0)) {
            continue;
        }
        bool fits =
            found->size >= file->offset && tail_head_fits(file, found->head, found->head_size);
        if (!fits && tail_is_rotated(files, found->path)) {
            tail_file_finish(files, file); /* its inode is another rotated file by now: a new one */
            return;
        }
        file->fd = found->fd;
        found->fd = -1;
        file->device = found->device;
        file->size = found->size;
        file->changed_ns = found->changed_ns;
        file->quiet_since_ms = now_ms;
        file->is_missing = false;
        file->is_truncated = !fits;
        if (fits) {
            memcpy(file->head, found->head, found->head_size);
            file->head_size = found->head_size;
            file->is_ready = true;
        }
        return;
    }
}

/* A scan that runs while files are being renamed may miss one of them, so that once is not enough
 * to let a file go: see tail_quiet(). */
static void tail_file_miss(struct tail_file *file, bool is_missing, uint64_t now_ms)
{
    if (is_missing && !file->is_missing) {
        file->missing_since_ms = now_ms;
    }
    file->is_missing = is_missing;
}

static void tail_copy_look(struct tail_files *files, struct tail_file *copy, bool is_same)
{
    struct tail_file *original = &files->files[copy->copy_of];
    if (original->is_truncated) {
        tail_copy_take_over(copy, original);
    } else if (is_same) {
        copy->is_suspect = false;
    } else if (!copy->is_suspect) {
        copy->is_suspect = true;
        original->is_ready = true; /* was it truncated? reading it tells */
        original->is_checked = false;
    } else if (original->is_checked) {
        tail_copy_let_go(copy);
    }
}

static void tail_files_look(struct tail_files *files, const struct tail_scan *scan,
                            const size_t *slots, uint64_t now_ms)
{
    for (size_t i = 0; i < scan->known_count; i++) {
        const struct tail_known *known = &scan->known[i];
        struct tail_file *file = &files->files[slots[i]];
        if (!file->is_used) {
            continue;
        }
        if (file->fd < 0) {
            tail_file_miss(file, known->is_gone, now_ms);
            continue;
        }
        if (known->fd < 0) {
            continue; /* joined in this scan */
        }
        if (known->size < file->size) {
            file->seen = 2 * files->scan_count + 1; /* anew, even if nobody read the last */
        }
        if (known->size != file->size || known->changed_ns != file->changed_ns) {
            file->size = known->size;
            file->changed_ns = known->changed_ns;
            file->quiet_since_ms = now_ms;
            file->is_flushed = false;
            file->is_ready = file->copy_of < 0;
        }
        tail_file_miss(file, !known->is_seen, now_ms);
    }
}

/* The copies go first: their cursors are owed before the truncated file starts anew, so that no
 * crash between the two makes lines come twice. */
static void tail_files_settle(struct tail_files *files, const struct tail_scan *scan,
                              const size_t *slots)
{
    for (size_t i = 0; i < files->count_max; i++) {
        struct tail_file *copy = &files->files[i];
        if (!copy->is_used || copy->copy_of < 0) {
            continue;
        }
        bool is_same = true;
        for (size_t k = 0; k < scan->known_count; k++) {
            if (slots[k] == i) {
                is_same = scan->known[k].is_same;
            }
        }
        tail_copy_look(files, copy, is_same);
    }
    for (size_t i = 0; i < files->count_max; i++) {
        struct tail_file *file = &files->files[i];
        if (file->is_used && file->is_truncated) {
            file->is_truncated = false;
            file->seen = 2 * files->scan_count + 1; /* younger than the copy of what it held */
            file->offset = file->scanned = file->long_next = 0;
            file->head_size = 0;
            file->head_hash = slice_hash((struct slice){NULL, 0});
            file->is_ready = true;
            files->truncated_count++;
        }
    }
}

void tail_files_scanned(struct tail_files *files, struct tail_scan *scan, const size_t *slots,
                        uint64_t now_ms)
{
    files->scan_count++;
    for (size_t i = 0; i < scan->found_count; i++) {
        tail_file_join(files, &scan->found[i], now_ms); /* what is not joined is added below */
    }
    tail_files_look(files, scan, slots, now_ms);
    for (size_t i = 0; i < scan->found_count; i++) {
        if (scan->found[i].fd >= 0) {
            tail_file_add(files, &scan->found[i], now_ms);
        }
        if (scan->found[i].fd >= 0) {
            close(scan->found[i].fd);
        }
    }
    files->refused_count += scan->refused_count;
    tail_files_settle(files, scan, slots);
    if (!files->has_started) {
        files->has_started = true;
        files->is_start_owed = true;
    }
}

/* Who was seen first is older; seen together, who changed first; else (clocks of file systems are
 * coarse) the longer name. */
bool tail_file_is_older(const struct tail_file *a, const struct tail_file *b)
{
    size_t size = stem_size(a->path);
    if (stem_size(b->path) != size || memcmp(a->path, b->path, size) != 0) {
        return false;
    }
    if (a->seen != b->seen) {
        return a->seen < b->seen;
    }
    if (a->changed_ns != b->changed_ns) {
        return a->changed_ns < b->changed_ns;
    }
    return strlen(a->path) > strlen(b->path);
}
