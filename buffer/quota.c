/* The cap: how much room there is, and how much each stream may still add. Who gives way:
 * evict.c. */
#include "buffer/damage.h"

#define GROW_STEP 64 /* pages the file grows by, beyond GROW_AHEAD */
/* Pages that the file has beyond what the next commit may take: on a disk that others have filled a
 * buffer that is being drained goes on in them. */
#define GROW_AHEAD 192

static enum err pages_number(struct buffer *b, enum statement which, int64_t *ret, struct why *why)
{
    int code = sqlite3_step(b->statements[which]);
    *ret = code == SQLITE_ROW ? sqlite3_column_int64(b->statements[which], 0) : 0;
    sql_reset(b, which);
    return code == SQLITE_ROW ? ERR_OK : sql_error(b, code, "reading", why);
}

enum err quota_measure(struct buffer *b, struct why *why)
{
    int64_t pages = 0;
    int64_t freed = 0;
    enum err e = pages_number(b, SQL_PAGE_COUNT, &pages, why);
    e = e ? e : pages_number(b, SQL_FREELIST_COUNT, &freed, why);
    if (e) {
        return e;
    }
    b->page_count = pages;
    b->freelist_count = freed;
    return ERR_OK;
}

int64_t quota_free_pages(const struct buffer *b)
{
    int64_t most = b->disk_full && b->file_pages < b->page_max ? b->file_pages : b->page_max;
    return most - b->page_count + b->freelist_count;
}

int64_t quota_seal_pages(const struct buffer *b, size_t raw_size)
{
    int64_t streams = 0;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        streams += b->state->streams[s].sequence_next > 1;
    }
    return (int64_t)((raw_size + state_size_bound(b->state)) / (PAGE_SIZE - 100)) + 20 + streams;
}

int64_t quota_write_pages(const struct buffer *b, const struct buffer_write *write)
{
    size_t raw = b->tail_size;
    int64_t pages = b->schema_pages + (b->salvage_due ? SALVAGE_PAGES_MAX : 0);
    for (size_t i = 0; i < write->event_count; i++) {
        raw += write->events[i].datum.size + 16;
    }
    for (size_t i = 0; i < write->cursor_count; i++) {
        raw += write->cursors[i].value.size + 16;
    }
    for (size_t i = 0; i < write->aside_count; i++) {
        pages += (int64_t)(aside_size_bound(b, &write->asides[i]) / (PAGE_SIZE - 100)) + 1;
    }
    return pages + quota_seal_pages(b, raw);
}

static enum err file_pages_set(struct buffer *b, int64_t pages, struct why *why)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count=%lld",
                   (long long)(pages < b->page_max ? pages : b->page_max)); /* fits */
    enum err e = sql_exec(b, sql, why);
    b->file_pages = e ? b->file_pages : pages;
    return e;
}

/* The most that the file is asked to have, for this many pages. */
static int64_t capped(const struct buffer *b, int64_t pages)
{
    return pages < b->page_max ? pages : b->page_max;
}

enum err quota_grow(struct buffer *b, const struct buffer_write *write, struct why *why)
{
    return quota_reserve(b, quota_write_pages(b, write), why);
}

enum err quota_reserve(struct buffer *b, int64_t most_pages, struct why *why)
{
    int64_t missing = most_pages + b->grow_more - b->freelist_count;
    int64_t wanted = capped(b, b->page_count + (missing > 0 ? missing : 0) + GROW_AHEAD);
    bool has_room = wanted <= b->file_pages;
    if (has_room && (!b->disk_full || b->file_pages >= b->page_max)) {
        b->disk_full = false;
        return ERR_OK;
    }
    /* Room within the file, as when old rows gave way, says nothing of the disk: that is full until
     * the file has grown again. */
    int64_t least = has_room ? capped(b, b->file_pages + GROW_STEP) : wanted;
    int64_t pages = vfs_count_grow(b->db, has_room ? least : capped(b, wanted + GROW_STEP));
    b->disk_full = pages < least;
    return pages == b->file_pages ? ERR_OK : file_pages_set(b, pages, why);
}

void buffer_look(struct buffer *b, struct buffer_changes *ret_changes)
{
    int64_t most =
        b->file_pages + GROW_STEP < b->page_max ? b->file_pages + GROW_STEP : b->page_max;
    if (b->db && b->disk_full && sql_mend(b, NULL) == ERR_OK) {
        int64_t pages = vfs_count_grow(b->db, most);
        b->disk_full = pages < most;
        if (pages > b->file_pages && file_pages_set(b, pages, NULL)) {
            b->disk_full = true; /* as it was */
        }
        quota_rooms(b);
    }
    buffer_state(b, ret_changes);
}

bool slot_gives_way(const struct buffer_stream_slot *slot)
{
    return slot->configured &&
           (slot->when_full == FULL_DROP_OLDEST || slot->when_full == FULL_THIN);
}

int64_t quota_stream_pages(const struct state *state, uint16_t stream)
{
    return (int64_t)(state->streams[stream].row_bytes / (PAGE_SIZE - 100));
}

int64_t quota_share_pages(const struct buffer *b, int64_t millionths)
{
    return b->size_max / 1000000 * millionths / PAGE_SIZE;
}

int64_t quota_share_left(const struct buffer *b, const struct state *state, uint16_t stream)
{
    const struct buffer_stream_slot *slot = &b->streams[stream];
    if (!slot->configured || slot->share_min == 0) {
        return 0;
    }
    int64_t left = quota_share_pages(b, slot->share_min) - quota_stream_pages(state, stream);
    return left > 0 ? left : 0;
}

/* Pages that are kept back: the same part of a file that can't grow. */
static int64_t of_what_there_is(const struct buffer *b, int64_t pages)
{
    return b->disk_full && b->file_pages < b->page_max ? pages * b->file_pages / b->page_max
                                                       : pages;
}

void quota_rooms(struct buffer *b)
{
    int64_t low_reserve = of_what_there_is(b, b->page_max / 20);
    int64_t seal = quota_seal_pages(b, b->tail_size);
    int64_t seal_full = quota_seal_pages(b, b->tail_size + WRITE_SIZE_MAX);
    int64_t shares = 0;
    struct row_place row;
    bool evictable[11] = {false}; /* [p]: a stream of a priority below p can give way */
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        shares += quota_share_left(b, b->state, s);
        if (slot_gives_way(&b->streams[s]) && row_lowest(b, s, &row, NULL) == ERR_OK) {
            for (uint8_t p = (uint8_t)(b->streams[s].priority + 1); p <= 10; p++) {
                evictable[p] = true;
            }
        }
    }
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        const struct buffer_stream_slot *slot = &b->streams[s];
        if (!slot->configured) {
            continue;
        }
        int64_t pages = quota_free_pages(b) - RESERVE_PAGES - seal -
                        of_what_there_is(b, shares - quota_share_left(b, b->state, s)) -
                        (slot->priority >= PRIORITY_URGENT ? 0 : low_reserve);
        int64_t room = pages > 0 ? pages * (PAGE_SIZE - 100) / 2 : 0;
        bool gives_way = evictable[slot->priority] ||
                         (slot_gives_way(slot) && row_lowest(b, s, &row, NULL) == ERR_OK);
        int64_t least =
            quota_free_pages(b) - seal_full > RESERVE_PAGES && gives_way ? WRITE_SIZE_MAX / 2 : 0;
        room = room < least ? least : room;
        b->room[s] = room > 4 * EVENT_SIZE_LIMIT ? 4 * EVENT_SIZE_LIMIT : (uint32_t)room;
    }
}
