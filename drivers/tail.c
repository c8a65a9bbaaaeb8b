/* The file tail. One job at a time is at the worker: a scan, or the reading of one block; what
 * comes back is cut into lines and offered on the loop. */
#include <assert.h>
#include <inttypes.h>

#include "drivers/drivers.h"
#include "drivers/tail_files.h"
#include "drivers/tail_lines.h"

#define TAIL_BLOCK_SIZE ((size_t)64 * 1024) /* read in one job beyond what is known already */
#define TAIL_CUT_SIZE ((size_t)64 * 1024)   /* kept of a line over the limit */

struct tail_options {
    struct option_list paths;
    struct option_list exclude;
    int64_t format;
    int64_t from;
    int64_t poll_ms;
    int64_t line_size_max;
    int64_t flush_partial_after_ms;
    int64_t rotate_wait_ms;
    int64_t files_max;
};

static const char *const tail_formats[] = {"json", "raw", NULL};
static const char *const tail_froms[] = {"beginning", "end", NULL};
static const struct option tail_path_item = {.kind = OPTION_TEXT, .min = 1, .max = PLACE_PATH_MAX};

static const struct option tail_table[] = {
    {.name = "paths",
     .kind = OPTION_LIST,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct tail_options, paths),
     .min = 1,
     .max = 64,
     .item = &tail_path_item,
     .help = "Files to follow; each may hold the wildcards * ? [...]. With a pattern that also "
             "fits the rotated files (\"/var/log/app.log*\") nothing is missed by a rotation while "
             "weir is not running."},
    {.name = "exclude",
     .kind = OPTION_LIST,
     .offset = offsetof(struct tail_options, exclude),
     .max = 64,
     .initial = "[\"*.gz\",\"*.xz\",\"*.zst\",\"*.bz2\"]",
     .item = &tail_path_item,
     .help = "Files to leave out: patterns for the name, or, with a slash in them, for the path."},
    {.name = "format",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct tail_options, format),
     .initial = "json",
     .words = tail_formats,
     .help = "json: each line is one JSON value, and is set aside when it is none; raw: each line "
             "is taken as it is."},
    {.name = "from",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct tail_options, from),
     .initial = "beginning",
     .words = tail_froms,
     .help = "Where to begin in the files that are there when this driver runs for the first time. "
             "Files that appear later are always read from their beginning."},
    {.name = "poll",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct tail_options, poll_ms),
     .min = 10,
     .max = 3600000,
     .initial = "1 s",
     .help = "How often to look for new lines and new files."},
    {.name = "line_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct tail_options, line_size_max),
     .min = 64,
     .max = 1024 * 1024,
     .initial = "64 KiB",
     .help = "Longer lines are set aside, cut, with their true size."},
    {.name = "flush_partial_after",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct tail_options, flush_partial_after_ms),
     .max = 86400000,
     .initial = "0 s",
     .help = "Take a last line without a newline as a line when nothing was written for so long; "
             "what is written to it later is a line of its own. 0 s: wait for the newline."},
    {.name = "rotate_wait",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct tail_options, rotate_wait_ms),
     .max = 86400000,
     .initial = "30 s",
     .help = "A file that was renamed or deleted is let go when nothing was written to it for so "
             "long."},
    {.name = "files_max",
     .kind = OPTION_INT,
     .offset = offsetof(struct tail_options, files_max),
     .min = 1,
     .max = 1024,
     .initial = "64",
     .help = "How many files are followed at one time; each takes a file descriptor and a cursor."},
    {.name = NULL},
};

struct tail {
    struct driver driver;
    struct driver_host *host;
    const struct tail_options *options;
    struct loop *loop;
    struct worker *worker;
    struct timer poll;
    struct tail_files files;
    struct tail_scan scan;
    size_t *scan_slots;
    struct tail_read read;
    struct tail_file *read_file;
    uint8_t *buffer;
    size_t buffer_size;
    struct slice block; /* what is left of the block that was read */
    bool is_busy;       /* a job is at the worker */
    bool is_scan_due;
    bool is_blocked; /* ERR_FULL came; until resume() */
    bool is_stopped;
    bool has_fault;
    size_t next_file; /* round robin */
};

static void tail_step(struct tail *tail);

static struct tail *tail_of(struct driver *driver)
{
    return CONTAINER_OF(driver, struct tail, driver);
}

/* --- cursors without an event --- */

static bool tail_owed_set(struct tail *tail, uint32_t key, struct slice value)
{
    tail->is_blocked = driver_cursor_set(tail->host, key, value) != ERR_OK;
    return !tail->is_blocked;
}

/* False: blocked. What is owed goes before any further event: see tail_files_settle(). */
static bool tail_owed_flush(struct tail *tail)
{
    uint8_t memory[CURSOR_SIZE_MAX];
    for (size_t i = 0; i < tail->files.count_max; i++) {
        struct tail_file *file = &tail->files.files[i];
        if (file->owed == TAIL_OWED_NOTHING) {
            continue;
        }
        struct out cursor = out_over(memory, sizeof memory);
        if (file->owed == TAIL_OWED_SET) {
            tail_file_cursor(file, file->offset, &cursor);
        }
        if (!tail_owed_set(tail, (uint32_t)i + 1, out_slice(&cursor))) {
            return false;
        }
        file->owed = TAIL_OWED_NOTHING;
    }
    if (tail->files.is_start_owed) {
        if (!tail_owed_set(tail, TAIL_CURSOR_STARTED, SLICE("\1"))) {
            return false;
        }
        tail->files.is_start_owed = false;
    }
    return true;
}

/* --- lines --- */

/* Offers one line, which ends where `next` begins; `size` is its true size. False: blocked. */
static bool tail_offer(struct tail *tail, struct slice line, uint64_t next, uint64_t size)
{
    struct tail_file *file = tail->read_file;
    uint8_t cursor_memory[CURSOR_SIZE_MAX];
    uint8_t source_memory[EVENT_SUBJECT_SIZE_MAX + 64];
    struct out cursor = out_over(cursor_memory, sizeof cursor_memory);
    struct out source = out_over(source_memory, sizeof source_memory);
    tail_file_cursor(file, next, &cursor);
    out_put_format(&source, "tail %s:%" PRIu64, file->path, file->offset);
    bool is_long = size > (uint64_t)tail->options->line_size_max;
    if (is_long && line.size > TAIL_CUT_SIZE) {
        line.size = TAIL_CUT_SIZE;
    }
    struct event event = {.body_kind = tail->options->format == 0 ? BODY_JSON : BODY_RAW,
                          .body = line,
                          .subject = slice_of_text(file->path),
                          .source = out_slice(&source),
                          .cursor_key = (uint32_t)(file - tail->files.files) + 1,
                          .cursor = out_slice(&cursor),
                          .unusable = is_long ? "the line is longer than line_size_max" : NULL,
                          .body_size = is_long && line.size < size ? size : 0};
    uint64_t ticket;
    if (driver_offer(tail->host, &event, &ticket, NULL) != ERR_OK) {
        tail->is_blocked = true;
        return false;
    }
    tail_file_advance(file, next);
    if (file->owed == TAIL_OWED_SET) {
        file->owed = TAIL_OWED_NOTHING; /* the event's cursor is newer */
    }
    if (is_long) {
        driver_count(tail->host, "long_lines", 1);
    }
    return true;
}

/* The rest of a block without a newline: kept in the file, not in memory. */
static void tail_rest(struct tail *tail, size_t rest_size)
{
    struct tail_file *file = tail->read_file;
    file->scanned = file->offset + rest_size;
    if (file->is_flushed && rest_size > 0 && file->scanned == tail->read.at + tail->read.size &&
        file->scanned >= tail->read.file_size) {
        struct slice line = tail->block;
        if (line.size && line.data[line.size - 1] == '\r') {
            line.size--;
        }
        if (tail_offer(tail, line, file->scanned, line.size)) {
            tail->block.size = 0;
            driver_count(tail->host, "partial_lines", 1);
        }
        return;
    }
    tail->block.size = 0;
}

/* Cuts what is left of the block into lines. */
static void tail_block(struct tail *tail)
{
    while (!tail->is_blocked && tail->block.size) {
        struct slice rest = tail->block;
        struct slice line;
        if (!tail_line_take(&rest, &line)) {
            tail_rest(tail, rest.size);
            continue;
        }
        uint64_t next = tail->read_file->offset + (tail->block.size - rest.size);
        if (line.size == 0) {
            tail_file_advance(tail->read_file, next); /* an empty line is no event */
        } else if (!tail_offer(tail, line, next, line.size)) {
            return;
        }
        tail->block = rest;
    }
}

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

/* --- jobs --- */

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

/* What nobody has written to for long enough: lets rotated files go, takes partial lines. */
static void tail_quiet(struct tail *tail)
{
    uint64_t now_ms = loop_now_ms(tail->loop);
    uint64_t flush_ms = (uint64_t)tail->options->flush_partial_after_ms;
    for (size_t i = 0; i < tail->files.count_max; i++) {
        struct tail_file *file = &tail->files.files[i];
        if (!file->is_used || file->fd < 0 || file->is_ready || file == tail->read_file) {
            continue;
        }
        uint64_t quiet_ms = now_ms - file->quiet_since_ms;
        bool is_over = file->is_missing && quiet_ms >= (uint64_t)tail->options->rotate_wait_ms;
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
    .options = tail_table,
    .options_size = sizeof(struct tail_options),
    .open = tail_open,
    .resume = tail_resume,
    .stored = tail_stored,
    .stop = tail_stop,
    .close = tail_close,
};
