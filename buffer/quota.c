/* The cap: how much room there is, who gives way, and how much each stream may still add. */
#include <assert.h>

#include "buffer/internal.h"

static int64_t pages_number(struct buffer *b, enum statement which)
{
    int64_t value = sqlite3_step(b->statements[which]) == SQLITE_ROW
                        ? sqlite3_column_int64(b->statements[which], 0)
                        : -1;
    sql_reset(b, which);
    return value;
}

enum err quota_measure(struct buffer *b, struct why *why)
{
    int64_t pages = pages_number(b, SQL_PAGE_COUNT);
    int64_t freed = pages_number(b, SQL_FREELIST_COUNT);
    if (pages < 0 || freed < 0) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "reading", why);
    }
    b->page_count = pages;
    b->freelist_count = freed;
    return ERR_OK;
}

static int64_t free_pages(const struct buffer *b)
{
    return b->page_max - b->page_count + b->freelist_count;
}

/* Pages that sealing this many raw bytes takes when nothing can be compressed: b-tree overhead, a
 * row for each stream, the state. */
static int64_t seal_pages(size_t raw_size)
{
    return (int64_t)(raw_size / (PAGE_SIZE - 100)) + 24;
}

static uint64_t mean_size(const struct state *state, uint16_t stream)
{
    const struct state_stream *s = &state->streams[stream];
    return s->sequence_next > 1 ? s->raw_total / (s->sequence_next - 1) + 1 : 1;
}

static uint64_t backlog_size(const struct state *state, uint16_t stream)
{
    return state_backlog(state, stream) * mean_size(state, stream);
}

static uint64_t all_backlog_size(const struct state *state)
{
    uint64_t size = 0;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        size += state->streams[s].sequence_next > 1 ? backlog_size(state, s) : 0;
    }
    return size;
}

/* May this stream give up its oldest row for an arriving event of `priority`, or of its own? */
static bool may_give_way(struct buffer *b, uint16_t stream, uint8_t priority, bool arrives,
                         struct range *ret_row)
{
    const struct buffer_stream_slot *slot = &b->streams[stream];
    if (slot->when_full != FULL_DROP_OLDEST || (slot->priority >= priority && !arrives) ||
        !row_lowest(b, stream, ret_row) || state_is_in_flight(b->next, stream, *ret_row)) {
        return false;
    }
    if (slot->share_min == 0 || arrives) {
        return true;
    }
    uint64_t all = all_backlog_size(b->next);
    uint64_t used = (uint64_t)(b->page_count - b->freelist_count) * PAGE_SIZE;
    uint64_t mine = all ? used * backlog_size(b->next, stream) / all : 0;
    return mine > (uint64_t)(b->size_max / 1000000 * slot->share_min);
}

struct arrivals {
    bool stream[STREAM_COUNT_MAX + 1];
    uint8_t priority; /* highest */
    size_t size;
};

static void arrivals_of(const struct buffer *b, const struct buffer_write *write,
                        struct arrivals *ret)
{
    *ret = (struct arrivals){.priority = 0};
    for (size_t i = 0; i < write->event_count; i++) {
        uint16_t stream = write->events[i].stream;
        ret->stream[stream] = true;
        ret->size += write->events[i].datum.size + 16;
        ret->priority = b->streams[stream].priority > ret->priority ? b->streams[stream].priority
                                                                    : ret->priority;
    }
}

static uint16_t victim_of(struct buffer *b, const struct arrivals *arrivals, struct range *ret_row)
{
    uint16_t best = 0;
    struct range row;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        if (b->next->streams[s].sequence_next > 1 &&
            (!best || b->streams[s].priority < b->streams[best].priority) &&
            may_give_way(b, s, arrivals->priority, arrivals->stream[s], &row)) {
            best = s;
            *ret_row = row;
        }
    }
    return best;
}

static uint64_t owed_in(const struct state *state, uint16_t stream, struct range range)
{
    uint64_t count = 0;
    for (uint64_t at = range.first; at <= range.last; at++) {
        count += state_is_owed(state, stream, (struct range){at, at});
    }
    return count;
}

/* A dead uplink pins no more than its share: beyond it its oldest owed row is cut. */
static void plan_hold_max(struct buffer *b, struct record_writer *w)
{
    uint64_t all = all_backlog_size(b->next);
    uint64_t used = (uint64_t)(b->page_count - b->freelist_count) * PAGE_SIZE;
    for (size_t u = 0; u < b->uplink_count; u++) {
        uint64_t pinned = 0;
        struct owed *lowest = NULL;
        for (uint32_t i = 0; i < b->next->owed_count; i++) {
            struct owed *owed = &b->next->owed[i];
            if (owed->uplink != b->uplinks[u].number || owed->range_count == 0) {
                continue;
            }
            pinned += owed_event_count(owed) * mean_size(b->next, owed->stream);
            if (!lowest ||
                b->streams[owed->stream].priority < b->streams[lowest->stream].priority) {
                lowest = owed;
            }
        }
        uint64_t share = all ? used * pinned / all : 0;
        struct range row;
        if (!lowest || b->uplinks[u].hold_max >= 1000000 ||
            share <= (uint64_t)(b->size_max / 1000000 * b->uplinks[u].hold_max) ||
            !row_lowest(b, lowest->stream, &row) || lowest->ranges[0].first > row.last ||
            state_is_in_flight(b->next, lowest->stream, row)) {
            continue;
        }
        uint64_t first = lowest->ranges[0].first > row.first ? lowest->ranges[0].first : row.first;
        struct gap gap = {.stream = lowest->stream,
                          .uplink = lowest->uplink,
                          .reason = GAP_HOLD_MAX,
                          .range = {first, row.last},
                          .count = row.last - first + 1};
        state_drop(b->next, &gap);
        record_put_drop(w, &gap);
    }
}

static void drop_row(struct buffer *b, struct record_writer *w, uint16_t stream, struct range row)
{
    struct gap gap = {.stream = stream,
                      .reason = GAP_DROP_OLDEST,
                      .range = row,
                      .count = owed_in(b->next, stream, row)};
    state_drop(b->next, &gap);
    record_put_drop(w, &gap);
}

/* Streams with a bound of their own stay within it, whatever room there is. */
static void plan_own_bounds(struct buffer *b, const struct arrivals *arrivals,
                            struct record_writer *w)
{
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        const struct buffer_stream_slot *slot = &b->streams[s];
        struct range row;
        if (arrivals->stream[s] && slot->size_max > 0 && slot->when_full == FULL_DROP_OLDEST &&
            backlog_size(b->next, s) > (uint64_t)slot->size_max && row_lowest(b, s, &row) &&
            !state_is_in_flight(b->next, s, row)) {
            drop_row(b, w, s, row);
        }
    }
}

void quota_plan(struct buffer *b, const struct buffer_write *write, struct record_writer *w)
{
    for (size_t i = 0; i < b->damaged_count; i++) {
        state_drop(b->next, &b->damaged[i]);
        record_put_drop(w, &b->damaged[i]);
    }
    plan_hold_max(b, w);
    if (write->event_count == 0) {
        return;
    }
    struct arrivals arrivals;
    arrivals_of(b, write, &arrivals);
    plan_own_bounds(b, &arrivals, w);
    int64_t wanted =
        seal_pages(b->tail_size + arrivals.size) + RESERVE_PAGES + 2 * seal_pages(WRITE_SIZE_MAX);
    /* One row a commit: it was sealed from at least as much as a commit can bring. */
    struct range row;
    uint16_t stream = free_pages(b) < wanted ? victim_of(b, &arrivals, &row) : 0;
    if (stream) {
        drop_row(b, w, stream, row);
    }
}

void quota_rooms(struct buffer *b)
{
    int64_t low_reserve = b->page_max / 20;
    struct range row;
    bool evictable[11] = {false}; /* [p]: a stream of a priority below p can give way */
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        if (b->streams[s].configured && b->streams[s].when_full == FULL_DROP_OLDEST &&
            row_lowest(b, s, &row)) {
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
        int64_t pages = free_pages(b) - RESERVE_PAGES - seal_pages(b->tail_size) -
                        (slot->priority >= PRIORITY_AT_ONCE ? 0 : low_reserve);
        int64_t room = pages > 0 ? pages * (PAGE_SIZE - 100) / 2 : 0;
        bool gives_way = evictable[slot->priority] ||
                         (slot->when_full == FULL_DROP_OLDEST && row_lowest(b, s, &row));
        int64_t least =
            free_pages(b) - seal_pages(b->tail_size + WRITE_SIZE_MAX) > RESERVE_PAGES && gives_way
                ? WRITE_SIZE_MAX / 2
                : 0;
        room = room < least ? least : room;
        b->room[s] = room > 4 * EVENT_SIZE_LIMIT ? 4 * EVENT_SIZE_LIMIT : (uint32_t)room;
    }
}
