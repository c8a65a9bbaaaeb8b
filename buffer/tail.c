/* The tail as it was left: its records are applied to the snapshot. */
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"

static enum err tail_read(struct buffer *b, struct why *why)
{
    sqlite3_blob *blob = NULL;
    int code = sqlite3_blob_open(b->db, "main", "tail", "body", 1, 0, &blob);
    if (code == SQLITE_ERROR || (code == SQLITE_OK && sqlite3_blob_bytes(blob) != TAIL_BLOB_SIZE)) {
        code = SQLITE_CORRUPT; /* not there, or not ours */
    }
    if (code == SQLITE_OK) {
        code = sqlite3_blob_read(blob, b->tail_memory, TAIL_BLOB_SIZE, 0);
    }
    (void)sqlite3_blob_close(blob);
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "opening", why);
}

/* Size, generation and number of what stands there as a record's head. */
static bool head_take(const struct buffer *b, size_t at, uint64_t *ret_commit)
{
    struct slice head = {b->tail_memory + at, TAIL_BLOB_SIZE - at};
    uint32_t size;
    uint32_t crc;
    uint64_t generation;
    return slice_take_u32_le(&head, &size) && slice_take_u32_le(&head, &crc) &&
           slice_take_u64_le(&head, &generation) && slice_take_u64_le(&head, ret_commit) &&
           generation == b->state->generation && size >= RECORD_HEAD_SIZE &&
           size <= TAIL_BLOB_SIZE - at;
}

size_t tail_find_record(const struct buffer *b, size_t from, uint64_t *ret_commit)
{
    struct record record;
    for (size_t at = from + 1; at + RECORD_HEAD_SIZE <= TAIL_BLOB_SIZE; at++) {
        struct slice rest = {b->tail_memory + at, TAIL_BLOB_SIZE - at};
        if (head_take(b, at, ret_commit) && *ret_commit > b->state->commit &&
            record_check(rest, b->state->generation, *ret_commit, &record) == ERR_OK) {
            return at;
        }
    }
    return TAIL_BLOB_SIZE;
}

bool tail_has_head(const struct buffer *b)
{
    uint64_t commit;
    return head_take(b, b->tail_size, &commit) && commit == b->state->commit + 1;
}

/* SQLite's transactions leave no half record: where one is, or one stands behind the end, the medium
 * has harmed the tail. */
static enum err tail_check_end(struct buffer *b, struct why *why)
{
    uint64_t commit;
    if (!tail_has_head(b) && tail_find_record(b, b->tail_size, &commit) == TAIL_BLOB_SIZE) {
        return ERR_OK;
    }
    why_set(why, "%s: a record of the tail is damaged", b->path);
    return ERR_CORRUPT;
}

enum err tail_record(struct buffer *b, struct record *ret)
{
    uint8_t *data = b->tail_memory + b->tail_size;
    struct slice rest = {data, TAIL_BLOB_SIZE - b->tail_size};
    enum err e = record_check(rest, b->state->generation, b->state->commit + 1, ret);
    return e || !ret->is_encrypted ? e : record_decrypt(b->crypt, ret, data, &b->scratch);
}

enum err tail_replay(struct buffer *b, struct why *why)
{
    enum err e = tail_read(b, why);
    while (!e && b->tail_size < TAIL_BLOB_SIZE) {
        struct record record;
        e = tail_record(b, &record);
        if (e == ERR_CLOSED) {
            return tail_check_end(b, why);
        }
        e = e ? e : apply_sections(b->state, record.sections);
        if (e) {
            why_set(why, "%s: a record of the tail is %s", b->path,
                    e == ERR_VERSION ? NEWER_VERSION : "damaged");
            return e;
        }
        e = keep_reserve(b, sections_count(record.sections, SECTION_CURSOR));
        if (!e && !keep_fits(b, record.sections)) {
            why_set(why, "%s: the tail has more than was ever written", b->path);
            e = ERR_CORRUPT;
        }
        if (e) {
            return e;
        }
        b->state->commit++;
        keep_sections(b, record.sections, (size_t)(record.sections.data - b->tail_memory));
        b->tail_size += record.size;
    }
    return e;
}
