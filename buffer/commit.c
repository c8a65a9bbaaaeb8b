/* A commit: one transaction with the record, the seal when it is due, deletes, and what has tables
 * of its own. */
#include <assert.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/evict.h"
#include "ports/lib/crc32c.h"

/* --- the parts of the transaction --- */

static enum err commit_remotes(struct buffer *b, const struct buffer_write *w, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < w->remote_count; i++) {
        sqlite3_stmt *s = b->statements[SQL_REMOTE_PUT];
        sqlite3_bind_int64(s, 1, w->remotes[i].uplink);
        sqlite3_bind_int64(s, 2, w->remotes[i].schema);
        sqlite3_bind_blob64(s, 3, w->remotes[i].id.data, w->remotes[i].id.size, SQLITE_STATIC);
        e = sql_run(b, SQL_REMOTE_PUT, why);
    }
    return e;
}

static enum err tail_write(struct buffer *b, struct why *why)
{
    sqlite3_blob *blob = NULL;
    struct slice record = out_slice(&b->record);
    if (crypt_writes(b->crypt)) {
        b->cipher.size = 0;
        b->cipher.overflow = false;
        record_encrypt(b->crypt, record, &b->cipher);
        record = out_slice(&b->cipher);
    }
    int code = sqlite3_blob_open(b->db, "main", "tail", "body", 1, 1, &blob);
    if (code == SQLITE_OK) {
        code = sqlite3_blob_write(blob, record.data, (int)record.size, (int)b->tail_size);
    }
    int closed = sqlite3_blob_close(blob);
    code = code == SQLITE_OK ? closed : code;
    return code == SQLITE_OK ? ERR_OK
                             : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
}

static bool seal_is_due(const struct buffer *b, struct slice sections)
{
    return b->tail_size + b->record.size > RECORD_SIZE_MAX || !keep_fits(b, sections);
}

static enum err record_too_large(const struct buffer *b, struct why *why)
{
    why_set(why, "a commit of more than %zu bytes", b->record.size_max);
    return ERR_REJECTED;
}

/* What stands in the record from there on, applied to the copy of the state. */
static enum err apply_from(struct buffer *b, size_t from, struct why *why)
{
    struct slice sections = {b->record.data + from, b->record.size - from};
    return b->record.overflow ? record_too_large(b, why) : apply_sections(b->next, sections);
}

/* The record, with everything the commit does; the copy of the state follows it. */
static enum err build_record(struct buffer *b, const struct buffer_write *w,
                             struct slice *ret_sections, struct why *why)
{
    struct record_writer writer;
    state_copy(b->next, b->state);
    b->next->commit++;
    b->record.size = 0;
    b->record.overflow = false;
    record_begin(&writer, &b->record, b->state->generation, b->next->commit,
                 crypt_writes(b->crypt));
    record_put_told(&writer, w);
    enum err e = apply_from(b, writer.sections, why);
    if (e) {
        return e;
    }
    loss_of_damaged(b, &writer); /* applied */
    size_t from = b->record.size;
    record_put_events(&writer, w->events, w->event_count, &b->scratch);
    record_put_write(&writer, w);
    e = apply_from(b, from, why);
    if (e && e != ERR_REJECTED) {
        why_set(why, "a parcel can't be opened: %u are open", b->next->parcel_count);
        return ERR_FULL;
    }
    e = e ? e : orders_apply(b, w, &writer, why);
    e = e ? e : salvage_drop(b, w, &writer, false, why);
    e = e ? e : quota_make_room(b, w, &writer, why); /* applies what it drops */
    if (e) {
        return e;
    }
    e = b->salvage_due ? salvage_step(b, &writer, why) : ERR_OK; /* applies what it restores */
    if (e) {
        return e;
    }
    e = asides_apply(b, w, &writer, why);
    *ret_sections =
        (struct slice){b->record.data + writer.sections, b->record.size - writer.sections};
    record_end(&writer);
    return b->record.overflow ? record_too_large(b, why) : e;
}

static enum err transaction(struct buffer *b, const struct buffer_write *w, bool *ret_sealed,
                            struct slice *ret_sections, struct why *why)
{
    enum err e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : build_record(b, w, ret_sections, why);
    e = e ? e : commit_remotes(b, w, why);
    if (e) {
        return e;
    }
    /* What was kept in memory is in no record: the snapshot has it. */
    *ret_sealed = b->unsaved > 0 || seal_is_due(b, *ret_sections);
    e = *ret_sealed ? seal(b, *ret_sections, why) : tail_write(b, why);
    return e ? e : sql_run(b, SQL_COMMIT, why);
}

void commit_undo(struct buffer *b)
{
    if (!sqlite3_get_autocommit(b->db)) {
        enum err e = sql_run(b, SQL_ROLLBACK, NULL);
        (void)e; /* may have been rolled back by the error itself */
    }
    b->broken = true;
    for (size_t s = 0; s <= STREAM_COUNT_MAX; s++) {
        b->streams[s].low = LOW_UNKNOWN;
    }
}

static void take_over(struct buffer *b, const struct buffer_write *write, bool sealed,
                      struct slice sections)
{
    struct state *old = b->state;
    b->state = b->next;
    b->next = old;
    b->damaged_count = 0;
    b->commits++;
    b->unsaved = 0;
    for (size_t i = 0; i < write->parcel_count; i++) {
        reads_recorded(b, write->parcels[i]);
    }
    salvage_dropped(b, write);
    if (b->salvage_due) {
        b->salvage_due = false;
        salvage_took(b);
    }
    if (sealed) {
        b->tail_size = 0;
        b->section_count = 0;
        b->changed_count = 0;
        return;
    }
    assert(b->tail_size + b->record.size <= TAIL_BLOB_SIZE);
    memcpy(b->tail_memory + b->tail_size, b->record.data, b->record.size);
    size_t offset = b->tail_size + (size_t)(sections.data - b->record.data);
    b->tail_size += b->record.size;
    keep_sections(b, sections, offset);
}

enum err commit_state(struct buffer *b, struct why *why)
{
    struct slice nothing = {NULL, 0};
    state_copy(b->next, b->state);
    b->next->commit++;
    enum err e = seal(b, nothing, why);
    e = e ? e : sql_run(b, SQL_COMMIT, why);
    if (e) {
        commit_undo(b);
        return e;
    }
    take_over(b, &(const struct buffer_write){0}, true, nothing);
    return ERR_OK;
}

/* SQLite's own automatic checkpoint hides its failure; ours does not. The commit before it stands
 * in any case. */
static void checkpoint(struct buffer *b)
{
    int frames = 0;
    int moved = 0;
    int code = sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
    if (code != SQLITE_OK || frames != moved) {
        b->broken = true;
    } else {
        b->wal_frames = 0;
    }
}

/* Does the log stay within its size with this commit? Every page is written once at most. */
static bool log_has_room(const struct buffer *b, const struct buffer_write *write)
{
    int64_t frames = quota_write_pages(b, write) + 3 * DELETES_PER_COMMIT +
                     (b->thin_raw.data ? (REWRITE_PER_COMMIT + RECORD_SIZE_MAX) / PAGE_SIZE : 0) +
                     (int64_t)(b->changed_count + write->cursor_count + write->remote_count +
                               3 * write->order_count);
    return b->wal_frames + frames <= WAL_FRAME_MAX;
}

/* What has to be in order before a transaction. */
static enum err prepare(struct buffer *b, const struct buffer_write *write, struct why *why)
{
    if (b->read_only) {
        why_set(why, "%s is open for reading only", b->path);
        return ERR_READONLY;
    }
    vfs_count_errno_set(b->vfs, 0);
    if (!b->broken && b->wal_frames > 0 && !log_has_room(b, write)) {
        checkpoint(b);
    }
    enum err e = sql_mend(b, why);
    e = e ? e : quota_grow(b, write, why);
    return e ? e : keep_reserve(b, write->cursor_count);
}

void buffer_state(struct buffer *b, struct buffer_changes *ret)
{
    int64_t age_due_us = INT64_MAX;
    uint64_t held[STREAM_COUNT_MAX + 1]; /* in rows and tail */
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        held[s] = b->state->streams[s].row_events;
    }
    for (size_t i = 0; i < b->section_count; i++) {
        held[b->sections[i].stream] += b->sections[i].count;
    }
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        const struct state_stream *stream = &b->state->streams[s];
        if (stream->sequence_next == 0) {
            continue;
        }
        /* Where many are gone between those that are owed, what is held says more. */
        uint64_t count = state_backlog(b->state, s);
        count = count < held[s] ? count : held[s];
        const struct buffer_stream_slot *slot = &b->streams[s];
        struct stream_state *ret_stream = &b->stream_states[s];
        *ret_stream = (struct stream_state){.sequence_next = stream->sequence_next,
                                            .event_count = count,
                                            .size = count * state_mean_size(b->state, s),
                                            .dropped_count = state_dropped(b->state, s),
                                            .oldest_time_us = stream->oldest_time_us};
        memcpy(ret_stream->dropped, stream->dropped, sizeof ret_stream->dropped);
        if (slot->configured && slot->age_max_us > 0 && slot->age_due_us < age_due_us) {
            age_due_us = slot->age_due_us;
        }
    }
    int64_t used = b->page_count - b->freelist_count;
    *ret = (struct buffer_changes){
        .owed = b->state->owed,
        .owed_count = b->state->owed_count,
        .gaps = b->state->gaps,
        .gap_count = b->state->gap_count,
        .room = b->room,
        .streams = b->stream_states,
        .file_size = (uint64_t)b->page_count * PAGE_SIZE + WAL_WARM_SIZE,
        .used_share = (uint64_t)(used * 1000000 / b->page_max),
        .age_due_us = age_due_us,
        .file_is_tight = used * 10 >= (b->disk_full ? b->file_pages : b->page_max) * 9,
        .disk_full = b->disk_full,
        .aside_count = b->state->aside_count,
        .unsaved = b->unsaved,
        .damage = b->damage,
    };
    ret->damage.salvages = b->salvage;
    buffer_wear(b, &ret->wear);
}

static enum err commit_once(struct buffer *b, const struct buffer_write *write,
                            struct buffer_changes *ret_changes, struct why *why)
{
    bool sealed = false;
    struct slice sections = {NULL, 0};
    enum err e = prepare(b, write, why);
    if (e) {
        return e;
    }
    e = transaction(b, write, &sealed, &sections, why);
    if (e) {
        commit_undo(b);
        b->grow_more += e == ERR_NOSPACE ? RESERVE_PAGES : 0;
        return e;
    }
    b->grow_more = 0;
    take_over(b, write, sealed, sections);
    for (size_t i = 0; i < write->event_count; i++) {
        b->events += write->events[i].dropped == 0;
        b->event_bytes += write->events[i].datum.size;
    }
    if (b->wal_frames >= CHECKPOINT_PAGES) {
        checkpoint(b);
    }
    e = quota_measure(b, why);
    if (e) {
        b->broken = true; /* the commit stands; the measures are those of before */
    }
    quota_rooms(b);
    if (ret_changes) {
        buffer_state(b, ret_changes);
    }
    return ERR_OK;
}

enum err buffer_commit(struct buffer *b, const struct buffer_write *write,
                       struct buffer_changes *ret_changes, struct why *why)
{
    struct why reason = {""};
    enum err e = b->file_damaged ? ERR_CORRUPT : commit_once(b, write, ret_changes, &reason);
    if (e == ERR_CORRUPT && !b->read_only) {
        b->file_damaged = true;
        e = damage_replace(b, write, &reason);
        e = e ? e : commit_once(b, write, ret_changes, &reason);
    }
    if (e && why) {
        *why = reason;
    }
    return e;
}

void buffer_wear(const struct buffer *buffer, struct buffer_wear *ret)
{
    vfs_count_get(buffer->vfs, ret);
    ret->commits = buffer->commits;
    ret->events = buffer->events;
    ret->event_bytes = buffer->event_bytes;
}
