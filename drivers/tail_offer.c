
#include "drivers/tail_impl.h"
#include "drivers/tail_lines.h"

/* --- cursors without an event --- */

static bool tail_owed_set(struct tail *tail, uint32_t key, struct slice value)
{
    tail->is_blocked = driver_cursor_set(tail->host, key, value) != ERR_OK;
    return !tail->is_blocked;
}

bool tail_owed_flush(struct tail *tail)
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

bool tail_offer(struct tail *tail, struct slice line, uint64_t next, uint64_t size)
{
    struct tail_file *file = tail->read_file;
    uint8_t cursor_memory[CURSOR_SIZE_MAX];
    uint8_t source_memory[EVENT_SUBJECT_SIZE_MAX + 64];
    struct out cursor = out_over(cursor_memory, sizeof cursor_memory);
    struct out source = out_over(source_memory, sizeof source_memory);
    struct slice subject = slice_of_text(file->path);
    tail_file_cursor(file, next, &cursor);
    out_put_text(&source, "tail ");
    out_put_slice(&source, subject);
    out_put_byte(&source, ':');
    out_put_number(&source, file->offset);
    bool is_long = size > (uint64_t)tail->options->line_size_max;
    if (is_long && line.size > TAIL_CUT_SIZE) {
        line.size = TAIL_CUT_SIZE;
    }
    struct event event = {.body_kind = tail->options->format == 0 ? BODY_JSON : BODY_RAW,
                          .body = line,
                          .subject = subject,
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

void tail_block(struct tail *tail)
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
