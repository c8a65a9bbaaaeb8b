/* The rows of a damaged file: looked for, checked, brought over, one step at a time. */
#include <assert.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/evict.h"
#include "ports/fault.h"
#include "ports/log.h"

static uint64_t sequence_of(int64_t id)
{
    return (uint64_t)id & SEQUENCE_MAX;
}

/* --- looking into the file --- */

int salvage_seek_in(sqlite3_stmt *s, uint16_t stream, uint64_t above, uint64_t under,
                    int64_t *ret_id)
{
    if (!s) {
        return SQLITE_CORRUPT;
    }
    int64_t low = row_id(stream, above);
    int64_t high = under > SEQUENCE_MAX ? row_id((uint16_t)(stream + 1), 0) : row_id(stream, under);
    (void)sqlite3_reset(s); /* repeats the error of the row before */
    sqlite3_bind_int64(s, 1, low);
    sqlite3_bind_int64(s, 2, high);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        *ret_id = sqlite3_column_int64(s, 0);
        code = *ret_id > low && *ret_id < high ? SQLITE_ROW : SQLITE_CORRUPT;
    }
    return code;
}

int salvage_seek(struct salvage *w, uint16_t stream, uint64_t above, int64_t *ret_id)
{
    return salvage_seek_in(w->above, stream, above, UINT64_MAX, ret_id);
}

int salvage_seek_one(struct salvage *w, uint16_t stream, uint64_t first)
{
    int64_t id;
    return salvage_seek_in(w->above, stream, first - 1, first + 1, &id);
}

/* ERR_AGAIN: the file can't be read for the moment; ERR_OK: it is damaged there. */
static enum err check_read(struct salvage *w, int code)
{
    struct why why = {""};
    enum err e = damaged_trouble(w->source, code, &why);
    if (e) {
        log_warn("buffer", "its salvage waits: %s", why.text);
    }
    return e ? ERR_AGAIN : ERR_OK;
}

bool found_check(struct found_row *row)
{
    row->range = (struct range){sequence_of(row->bytes.id), (uint64_t)row->bytes.columns[0]};
    return row->range.last >= row->range.first && row->range.last <= SEQUENCE_MAX;
}

uint64_t found_events(const struct found_row *row)
{
    int64_t n = row->bytes.columns[1];
    return n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
}

bool found_take(sqlite3_stmt *s, struct found_row *ret)
{
    struct row_bytes *row = &ret->bytes;
    row->id = sqlite3_column_int64(s, 0);
    for (int i = 0; i < 6; i++) {
        row->columns[i] = sqlite3_column_int64(s, 1 + i);
    }
    row->body = (struct slice){sqlite3_column_blob(s, 8), (size_t)sqlite3_column_bytes(s, 8)};
    return found_check(ret) && (row->body.data || row->body.size == 0) &&
           row_crc(row->id, row->columns, row->body) == (uint32_t)sqlite3_column_int64(s, 7);
}

enum err salvage_row_end(struct salvage *w, uint16_t stream, uint64_t first, uint64_t *ret,
                         struct why *why)
{
    struct found_row row;
    int code = SQLITE_OK;
    enum err e = ERR_OK;
    for (bool again = true; !e && again;) {
        code = salvage_seek_one(w, stream, first);
        e = damaged_wait(w->source, code, &again, why);
    }
    *ret = code == SQLITE_ROW && found_take(w->above, &row) ? row.range.last : first;
    return e;
}

/* --- what is done with it --- */

enum err salvage_bring(struct buffer *b, struct state *state, struct record_writer *rec,
                       const struct found_row *row, struct why *why)
{
    uint16_t stream = (uint16_t)(row->bytes.id >> 48);
    b->streams[stream].low = LOW_UNKNOWN;
    enum err e = row_insert(b, SQL_ROW_BRING, &row->bytes, why);
    if (!e && sqlite3_changes(b->db) > 0) {
        uint64_t events = found_events(row);
        state_rows_came(state, stream, events, row->bytes.body.size);
        if (rec) {
            record_put_rows_came(rec, stream, events, row->bytes.body.size);
        }
    }
    return e;
}

bool salvage_wants(const struct salvage *w, uint16_t stream, struct range range)
{
    return range.first <= range.last && state_is_owed(w->wanted, stream, range);
}

/* Up to where the same ones want what they want of `at`. */
static uint64_t run_last(const struct salvage *w, uint16_t stream, uint64_t at, uint64_t last)
{
    for (uint32_t i = 0; i < w->wanted->owed_count; i++) {
        const struct owed *owed = &w->wanted->owed[i];
        for (size_t r = 0; owed->stream == stream && r < owed->range_count; r++) {
            struct range range = owed->ranges[r];
            uint64_t end = range.first > at   ? range.first - 1
                           : range.last >= at ? range.last
                                              : last;
            last = end < last ? end : last;
        }
    }
    return last;
}

bool salvage_run(const struct salvage *w, uint16_t stream, struct range within, struct range *ret)
{
    ret->first = state_owed_behind(w->wanted, stream, within.first - 1).first;
    if (ret->first > within.last) {
        return false;
    }
    ret->last = run_last(w, stream, ret->first, within.last);
    return true;
}

/* Does any uplink of the configuration carry the stream? Its name may be lost. */
static bool has_takers(const struct state *state, uint16_t stream)
{
    bool found = false;
    for (uint32_t i = 0; i < state->owed_count && !found; i++) {
        found = state->owed[i].stream == stream;
    }
    return found;
}

/* Nothing is left from the place on, up to `last`: what is wanted of it is lost. Of a file that a person
 * names that was told when it was damaged; or it was delivered since, or is here. One run in a step,
 * so that the record has room; false: there is more of it, or its stream is to be counted first. */
static bool hole(struct buffer *b, struct record_writer *rec, uint64_t last)
{
    struct salvage *w = b->salvage;
    struct range range = {w->next.low + 1, last};
    struct range run;
    struct loss loss;
    bool is_all = false;
    bool is_between = last < SEQUENCE_MAX && has_takers(b->next, w->next.stream);
    if (!salvage_run(w, w->next.stream, range, &run)) {
        return true;
    }
    if (is_between && !salvage_tallied(w, &is_all)) {
        return false;
    }
    if (is_between && is_all) { /* never was there, or went before */
        return true;
    }
    loss_begin(&loss, w->wanted, w->next.stream, GAP_DAMAGED, 0);
    loss_add(&loss, run);
    w->next.lost += loss.count;
    w->next.low = run.last;
    if (w->number < NUMBER_OF_USER && !fault_planted("hole-untold")) {
        loss_put(&loss, run, b->next, rec);
    }
    return run.last == last;
}

/* One more range for one uplink. Where its list is full, the range below grows up to it, over what
 * is lost, if both were one; else it has to wait. */
static bool owed_room(const struct owed *owed, struct range within, struct range *range)
{
    const struct range *below = NULL;
    for (size_t i = 0; i < owed->range_count; i++) {
        below = owed->ranges[i].last < range->first ? &owed->ranges[i] : below;
        if (owed->ranges[i].first <= range->last + 1 && range->first <= owed->ranges[i].last + 1) {
            return true;
        }
    }
    if (owed->range_count < OWED_RANGE_MAX - 1) { /* the last place is for what comes */
        return true;
    }
    if (!below || below->first < within.first) {
        return false;
    }
    range->first = below->last + 1;
    return true;
}

/* Owes to one uplink what it wants of a row. False: its list is full. */
static bool owe_one(const struct salvage *w, struct owed *owed, struct record_writer *rec,
                    struct range row)
{
    for (uint32_t i = 0; i < w->wanted->owed_count; i++) {
        const struct owed *want = &w->wanted->owed[i];
        bool concerns =
            want->stream == owed->stream && (want->uplink == owed->uplink || w->everyone);
        for (size_t r = 0; concerns && r < want->range_count; r++) {
            struct range part;
            if (!range_common(want->ranges[r], row, &part)) {
                continue;
            }
            if (!owed_room(owed, want->ranges[r], &part)) {
                return false;
            }
            owed_insert(owed, part);
            if (rec) {
                struct owed_end again = {owed->uplink, owed->stream, part};
                record_put_again(rec, &again);
            }
        }
    }
    return true;
}

/* Owes a row to everybody who wants it; `rec` NULL: only looks whether there is room for it. */
static bool owe(const struct salvage *w, struct state *state, struct record_writer *rec,
                struct range row)
{
    bool fits = true;
    for (uint32_t i = 0; i < state->owed_count && fits; i++) {
        struct owed copy = state->owed[i];
        if (copy.stream == w->next.stream) {
            fits = owe_one(w, rec ? &state->owed[i] : &copy, rec, row);
        }
    }
    return fits;
}

/* In the file, and in the lists of what is owed. */
static bool has_room(struct buffer *b, struct state *state, struct range row, int64_t pages)
{
    int64_t kept = RESERVE_PAGES + 2 * quota_seal_pages(b, WRITE_SIZE_MAX) + b->page_max / 20;
    return quota_free_pages(b) >= pages + kept && owe(b->salvage, state, NULL, row);
}

bool salvage_has_room(struct buffer *b)
{
    const struct salvage *w = b->salvage;
    return !salvage_wants(w, w->next.stream, w->waits_row) ||
           has_room(b, b->state, w->waits_row, w->waits_pages);
}

/* ERR_FULL: it has to wait. */
static enum err row_restore(struct buffer *b, struct record_writer *rec,
                            const struct found_row *row, struct why *why)
{
    struct salvage *w = b->salvage;
    uint64_t count = state_backlog_in(w->wanted, w->next.stream, row->range);
    if (count == 0) {
        return ERR_OK;
    }
    int64_t pages = (int64_t)(row->bytes.body.size / (PAGE_SIZE - 100)) + 3;
    if (!has_room(b, b->next, row->range, b->salvage_pages + pages)) {
        w->waits_row = row->range;
        w->waits_pages = pages;
        return ERR_FULL;
    }
    enum err e = salvage_bring(b, b->next, rec, row, why);
    if (!e) {
        bool fits = fault_planted("row-unowed") || owe(w, b->next, rec, row->range);
        assert(fits);
        w->next.found += count;
        b->salvage_pages += pages;
    }
    return e;
}

/* --- one step of a stream --- */

static uint64_t wanted_last(const struct salvage *w, uint16_t stream)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < w->wanted->owed_count; i++) {
        const struct owed *owed = &w->wanted->owed[i];
        if (owed->stream == stream && owed->range_count > 0 &&
            owed->ranges[owed->range_count - 1].last > last) {
            last = owed->ranges[owed->range_count - 1].last;
        }
    }
    return last;
}

/* What lies before the row is lost; then it comes over. */
static enum err step_to(struct buffer *b, struct record_writer *rec, const struct found_row *row,
                        struct why *why)
{
    struct salvage_at *at = &b->salvage->next;
    bool is_taken = has_takers(b->next, at->stream);
    if (!hole(b, rec, is_taken ? row->range.first - 1 : row->range.last)) {
        return ERR_OK;
    }
    enum err e = is_taken ? row_restore(b, rec, row, why) : ERR_OK;
    if (!e) {
        at->low = row->range.last > at->low ? row->range.last : at->low;
        at->seek = row->range.first;
    }
    return e;
}

static void step_end(struct buffer *b, struct record_writer *rec)
{
    if (hole(b, rec, SEQUENCE_MAX)) {
        b->salvage->next.low = SEQUENCE_MAX;
    }
}

/* By the tree, as long as it gives all that is wanted. */
static enum err step_tree(struct buffer *b, struct record_writer *rec, struct why *why)
{
    struct salvage *w = b->salvage;
    struct salvage_at *at = &w->next;
    struct found_row row;
    int64_t id;
    int code = salvage_seek(w, at->stream, at->seek, &id);
    bool has_row = code == SQLITE_ROW;
    if (!has_row && check_read(w, code)) {
        return ERR_AGAIN;
    }
    if (has_row && !found_take(w->above, &row)) {
        at->seek = sequence_of(id);
        return ERR_OK; /* the next row says where its events end */
    }
    uint64_t before = has_row ? row.range.first - 1 : SEQUENCE_MAX;
    bool hurt = !has_row && code != SQLITE_DONE;
    bool is_all = false;
    bool lacks = salvage_wants(w, at->stream, (struct range){at->low + 1, before});
    if (has_row && lacks && !salvage_tallied(w, &is_all)) {
        return ERR_OK;
    }
    if (hurt || (lacks && !is_all)) {
        salvage_scan_ask(w);
        return ERR_OK;
    }
    if (!has_row) {
        step_end(b, rec);
        return ERR_OK;
    }
    return step_to(b, rec, &row, why);
}

/* By what the pages have. */
static enum err step_pages(struct buffer *b, struct record_writer *rec, struct why *why)
{
    struct found_row row;
    enum err e = salvage_scan_next(b->salvage, &row);
    if (e == ERR_CLOSED) {
        step_end(b, rec);
        return ERR_OK;
    }
    return e == ERR_REJECTED ? ERR_OK : e ? e : step_to(b, rec, &row, why);
}

enum err salvage_step_stream(struct buffer *b, struct record_writer *rec, struct why *why)
{
    struct salvage_at *at = &b->salvage->next;
    if (at->low >= wanted_last(b->salvage, at->stream)) {
        *at = (struct salvage_at){.stream = (uint16_t)(at->stream + 1),
                                  .aside = at->aside,
                                  .found = at->found,
                                  .lost = at->lost};
        return ERR_OK;
    }
    return b->salvage->scan ? step_pages(b, rec, why) : step_tree(b, rec, why);
}

/* --- set-aside events --- */

enum err salvage_step_aside(struct buffer *b, struct record_writer *rec, struct why *why)
{
    struct salvage *w = b->salvage;
    struct salvage_at *at = &w->next;
    struct aside aside;
    int code = SQLITE_CORRUPT;
    if (w->asides) {
        (void)sqlite3_reset(w->asides); /* repeats the error of the row before */
        sqlite3_bind_int64(w->asides, 1, (int64_t)(at->aside + at->step));
        code = sqlite3_step(w->asides);
    }
    uint64_t id = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(w->asides, 0) : 0;
    if (code == SQLITE_DONE || at->step > UINT32_MAX ||
        (code == SQLITE_ROW && id <= at->aside + at->step)) {
        at->stream = STREAM_END;
        return ERR_OK;
    }
    if (code != SQLITE_ROW) {
        if (check_read(w, code)) {
            return ERR_AGAIN;
        }
        at->step = at->step ? at->step * 2 : 1;
        return ERR_OK;
    }
    at->aside = id;
    at->step = 0;
    if (!aside_take(w->asides, &aside)) {
        return ERR_OK;
    }
    int64_t size = 0;
    if (b->next->aside_size + aside.body.size + 512 > (uint64_t)b->size_max / 20) {
        at->stream = STREAM_END; /* newer ones have the room */
        return ERR_OK;
    }
    enum err e = aside_insert(b, &aside, &size, why);
    b->salvage_pages += size / (PAGE_SIZE - 100) + 2;
    b->next->aside_count++;
    b->next->aside_size += (uint64_t)size;
    record_put_aside(rec, 1, size, 0);
    return e;
}

/* --- keys --- */

/* The first row of a stream that is wanted, if the tree gives it, and it is encrypted. */
static enum err check_key_of(struct buffer *b, uint16_t stream, bool *ret_checked, struct why *why)
{
    struct salvage *w = b->salvage;
    struct found_row row;
    uint8_t beside[ROW_BESIDE_SIZE];
    struct slice plain;
    int code = SQLITE_DONE;
    int64_t id;
    enum err e = ERR_OK;
    uint64_t from = state_owed_behind(w->wanted, stream, 0).first;
    for (bool again = from != UINT64_MAX; !e && again;) {
        code = salvage_seek(w, stream, from - 1, &id);
        e = damaged_wait(w->source, code, &again, why);
    }
    if (e || code != SQLITE_ROW || !found_take(w->above, &row) ||
        !crypt_is_encrypted(row.bytes.body)) {
        return e;
    }
    *ret_checked = true;
    return content_read(b, row_beside('B', row.bytes.id, row.bytes.columns, beside), row.bytes.body,
                        &plain, NULL);
}

enum err salvage_check_key(struct buffer *b, struct why *why)
{
    struct salvage *w = b->salvage;
    bool checked = false;
    enum err e = ERR_OK;
    for (uint16_t s = 1; !e && !checked && s <= STREAM_COUNT_MAX; s++) {
        e = check_key_of(b, s, &checked, why);
    }
    (void)sqlite3_reset(w->above); /* nothing is held of the file */
    if (e == ERR_CORRUPT) {
        why_set(why, "%s is encrypted with a key that is not given (buffer.encryption)", w->file);
        return ERR_CONFIG;
    }
    return e;
}
