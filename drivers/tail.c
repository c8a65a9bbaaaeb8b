/* The file tail. One job at a time is at the worker: a scan, or the reading of one block; what
 * comes back is cut into lines and offered on the loop. */
#include <assert.h>

#include "drivers/tail_impl.h"

#define TAIL_BLOCK_SIZE ((size_t)128 * 1024) /* read in one job beyond what is known already */

static void tail_step(struct tail *tail);

static struct tail *tail_of(struct driver *driver)
{
    return CONTAINER_OF(driver, struct tail, driver);
}

/* --- jobs --- */

/* In the middle of a line over the limit: where does it end? Its beginning is read again then. */
static void tail_long_search(struct tail *tail)
{
    struct tail_file *file = tail->read_file;
    const uint8_t *end = tail->read.size ? memchr(tail->buffer, '\n', tail->read.size) : NULL;
    if (end) {
        file->scanned = tail->read.at + (uint64_t)(end - tail->buffer);
        file->long_next = file->scanned + 1;
    } else {
        file->scanned = tail->read.at + tail->read.size;
        if (file->is_flushed && file->scanned >= tail->read.file_size) {
            file->long_next = file->scanned;
        }
    }
}

/* Longer than the limit even if its last byte is a CR. */
static bool tail_is_long(const struct tail *tail, const struct tail_file *file)
{
    return file->scanned - file->offset > (uint64_t)tail->options->line_size_max + 1;
}

static void tail_read_done(struct job *job)
{
    struct tail *tail = CONTAINER_OF(CONTAINER_OF(job, struct tail_read, job), struct tail, read);
    struct tail_file *file = tail->read_file;
    tail->is_busy = false;
    if (tail->is_stopped) {
        return;
    }
    bool is_end = tail->read.at + tail->read.size >= tail->read.file_size;
    if (tail->read.number) {
        struct why why;
        why_set(&why, "can't read %s: %s", file->path, strerror(tail->read.number));
        driver_fault(tail->host, &why);
        tail->has_fault = true;
        file->is_ready = false;
        file->changed_ns = 0; /* tried again after the next scan */
    } else if (!tail_file_check(file, &tail->read)) {
        file->is_ready = false;
        tail->is_scan_due = true; /* for the copy that may have what was not read */
    } else if (file->long_next) {
        struct slice line = {tail->buffer, tail->read.size};
        uint64_t size = file->scanned - file->offset;
        if (tail_offer(tail, line, file->long_next, size)) {
            file->long_next = 0;
        }
    } else if (tail_is_long(tail, file)) {
        tail_long_search(tail);
        file->is_ready = !is_end || file->long_next;
    } else {
        tail->block = (struct slice){tail->buffer, tail->read.size};
        file->is_ready = !is_end;
        tail_block(tail);
        if (tail_is_long(tail, file)) {
            file->is_ready = true;
        }
    }
    tail_step(tail);
}

static void tail_read_start(struct tail *tail, struct tail_file *file)
{
    bool is_long = tail_is_long(tail, file);
    uint64_t at = file->offset;
    size_t size = (size_t)(file->scanned - file->offset) + TAIL_BLOCK_SIZE;
    if (file->long_next) {
        uint64_t line_size = file->scanned - file->offset;
        size = line_size < TAIL_CUT_SIZE ? (size_t)line_size : TAIL_CUT_SIZE;
    } else if (is_long) {
        at = file->scanned;
        size = TAIL_BLOCK_SIZE;
    }
    if (size > tail->buffer_size) {
        size = tail->buffer_size;
    }
    tail->read_file = file;
    tail->read.fd = file->fd;
    tail->read.at = at;
    tail->read.data = tail->buffer;
    tail->read.size_max = size;
    enum err e = worker_put(tail->worker, &tail->read.job);
    assert(e == ERR_OK); /* one job at a time */
    tail->is_busy = true;
}

static void tail_count(struct tail *tail)
{
    struct tail_files *files = &tail->files;
    if (files->truncated_count) {
        driver_count(tail->host, "truncated", files->truncated_count);
    }
    if (files->finished_count) {
        driver_count(tail->host, "finished", files->finished_count);
    }
    struct why why = tail->scan.why;
    if (files->refused_count) {
        driver_count(tail->host, "files_refused", files->refused_count);
        why_set(&why,
                "%zu more files fit the paths than files_max allows: raise it, or narrow the "
                "paths",
                files->refused_count);
    }
    files->truncated_count = files->finished_count = files->refused_count = 0;
    if (why.text[0]) {
        driver_fault(tail->host, &why);
        tail->has_fault = true;
    } else if (tail->has_fault) {
        driver_fault(tail->host, NULL);
        tail->has_fault = false;
    }
}

/* From then to the beginning of the scan. What came later it may not have seen: its answer waits for
 * the loop, however long that takes. */
static uint64_t tail_scan_since(const struct tail *tail, uint64_t then_ms)
{
    return tail->scan_begun_ms > then_ms ? tail->scan_begun_ms - then_ms : 0;
}

/* What nobody has written to for long enough: lets rotated files go, takes partial lines. */
static void tail_quiet(struct tail *tail)
{
    uint64_t flush_ms = (uint64_t)tail->options->flush_partial_after_ms;
    uint64_t wait_ms = (uint64_t)tail->options->rotate_wait_ms;
    for (size_t i = 0; i < tail->files.count_max; i++) {
        struct tail_file *file = &tail->files.files[i];
        bool is_gone = file->is_missing && tail_scan_since(tail, file->missing_since_ms) > wait_ms;
        if (file->is_used && file->fd < 0 && is_gone) {
            tail_file_finish(&tail->files, file);
        }
        if (!file->is_used || file->fd < 0 || file->is_ready || file == tail->read_file) {
            continue;
        }
        uint64_t quiet_ms = tail_scan_since(tail, file->quiet_since_ms);
        bool is_over = is_gone && quiet_ms >= wait_ms;
        bool has_rest = file->size > file->offset;
        if (is_over && (!has_rest || file->copy_of >= 0)) {
            tail_file_finish(&tail->files, file);
        } else if (has_rest && !file->is_flushed && file->copy_of < 0 &&
                   (is_over || (flush_ms && quiet_ms >= flush_ms))) {
            file->is_flushed = true;
            file->is_ready = true;
        }
    }
}

static void tail_scan_done(struct job *job)
{
    struct tail *tail = CONTAINER_OF(CONTAINER_OF(job, struct tail_scan, job), struct tail, scan);
    tail->is_busy = false;
    if (tail->is_stopped) {
        for (size_t i = 0; i < tail->scan.found_count; i++) {
            close(tail->scan.found[i].fd);
        }
        return;
    }
    tail_files_scanned(&tail->files, &tail->scan, tail->scan_slots, loop_now_ms(tail->loop));
    tail_count(tail);
    tail_quiet(tail);
    timer_arm(&tail->poll, (uint64_t)tail->options->poll_ms);
    tail_step(tail);
}

static void tail_scan_start(struct tail *tail)
{
    tail->is_scan_due = false;
    tail->scan_begun_ms = loop_now_ms(tail->loop);
    tail->scan.known_count = tail_files_known(&tail->files, tail->scan.known, tail->scan_slots);
    enum err e = worker_put(tail->worker, &tail->scan.job);
    assert(e == ERR_OK); /* one job at a time */
    tail->is_busy = true;
}

/* Is there an older generation of this file that is not read to its end? Lines keep their order
 * across a rotation, also one that happened while nobody read. */
static bool tail_has_older(const struct tail *tail, const struct tail_file *file)
{
    for (size_t i = 0; i < tail->files.count_max; i++) {
        const struct tail_file *other = &tail->files.files[i];
        if (other != file && other->is_used && other->fd >= 0 && other->is_ready &&
            other->copy_of < 0 && !other->is_truncated && tail_file_is_older(other, file)) {
            return true;
        }
    }
    return false;
}

static struct tail_file *tail_ready_find(struct tail *tail)
{
    for (size_t i = 0; i < tail->files.count_max; i++) {
        size_t index = (tail->next_file + i) % tail->files.count_max;
        struct tail_file *file = &tail->files.files[index];
        if (file->is_used && file->fd >= 0 && file->is_ready && file->copy_of < 0 &&
            !file->is_truncated && !tail_has_older(tail, file)) {
            tail->next_file = index + 1;
            return file;
        }
    }
    return NULL;
}

/* Does the next thing, or waits for the timer or resume(). Scans go on while there is no room:
 * files that are rotated meanwhile must be open before they are out of sight. */
static void tail_step(struct tail *tail)
{
    if (tail->is_busy || tail->is_stopped) {
        return;
    }
    if (!tail->is_blocked && tail_owed_flush(tail)) {
        tail_block(tail);
    }
    if (tail->block.size == 0) {
        tail->read_file = NULL;
    }
    if (tail->is_scan_due) {
        tail_scan_start(tail);
        return;
    }
    struct tail_file *file = tail->is_blocked ? NULL : tail_ready_find(tail);
    if (file) {
        tail_read_start(tail, file);
    }
}

static void tail_poll(struct timer *timer)
{
    struct tail *tail = CONTAINER_OF(timer, struct tail, poll);
    tail->is_scan_due = true;
    tail_step(tail);
}

/* --- the class --- */

static void tail_restore(void *context, uint32_t key, struct slice value)
{
    struct tail *tail = context;
    tail_files_restore(&tail->files, key, value);
}

static void tail_close(struct driver *driver)
{
    struct tail *tail = driver ? tail_of(driver) : NULL;
    if (!tail) {
        return;
    }
    tail->is_stopped = true;
    timer_release(&tail->poll);
    worker_close(tail->worker);
    tail_files_release(&tail->files);
    free(tail->scan.known);
    free(tail->scan.found);
    free(tail->scan_slots);
    free(tail->buffer);
    free(tail);
}

static enum err tail_open(struct driver **ret, const struct driver_setup *setup, struct why *why)
{
    struct tail *tail = calloc(1, sizeof *tail);
    if (!tail) {
        return ERR_NOMEM;
    }
    const struct tail_options *options = setup->options;
    size_t count_max = (size_t)options->files_max;
    tail->driver.class_ = &tail_class;
    tail->host = setup->host;
    tail->loop = setup->loop;
    tail->options = options;
    timer_init(&tail->poll, setup->loop, tail_poll);
    /* A line with its CR and LF, so that one of just the largest size is seen whole. */
    tail->buffer_size = (size_t)options->line_size_max + 2;
    if (tail->buffer_size < TAIL_BLOCK_SIZE) {
        tail->buffer_size = TAIL_BLOCK_SIZE;
    }
    tail->buffer = malloc(tail->buffer_size);
    tail->scan.known = calloc(count_max, sizeof *tail->scan.known);
    tail->scan.found = calloc(count_max, sizeof *tail->scan.found);
    tail->scan_slots = calloc(count_max, sizeof *tail->scan_slots);
    tail->scan.found_max = count_max;
    tail->scan.patterns = &options->paths;
    tail->scan.exclude = &options->exclude;
    tail->scan.job = (struct job){.work = tail_scan_work, .done = tail_scan_done};
    tail->read.job = (struct job){.work = tail_read_work, .done = tail_read_done};
    enum err e = tail_files_init(&tail->files, count_max);
    if (e || !tail->buffer || !tail->scan.known || !tail->scan.found || !tail->scan_slots) {
        e = ERR_NOMEM;
        goto fail;
    }
    tail->files.is_from_end = options->from == 1;
    driver_cursor_each(tail->host, tail_restore, tail);
    e = worker_open(&tail->worker, setup->loop, "tail");
    if (e) {
        goto fail;
    }
    timer_arm(&tail->poll, 0);
    *ret = &tail->driver;
    return ERR_OK;

fail:
    why_set(why, "can't start the tail: %s", err_name(e));
    tail_close(&tail->driver);
    return e;
}

static void tail_resume(struct driver *driver)
{
    struct tail *tail = tail_of(driver);
    tail->is_blocked = false;
    tail_step(tail);
}

static void tail_stored(struct driver *driver, uint64_t ticket)
{
    (void)driver; /* nobody waits: the cursor is committed with the event */
    (void)ticket;
}

static void tail_stop(struct driver *driver)
{
    struct tail *tail = tail_of(driver);
    tail->is_stopped = true;
    timer_disarm(&tail->poll);
}

const struct driver_class tail_class = {
    .type = "tail",
    .help = "Follows files as they grow: one event for each line, with the path as subject. Files "
            "may be rotated by renaming or by copying and truncating; after a restart reading goes "
            "on exactly where it was.",
    .options = tail_options_table,
    .options_size = sizeof(struct tail_options),
    .is_in_line = true,
    .open = tail_open,
    .resume = tail_resume,
    .stored = tail_stored,
    .stop = tail_stop,
    .close = tail_close,
};
