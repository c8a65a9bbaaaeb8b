/* ls, stats, verify, and the schemas. */
#include <inttypes.h>

#include "agent/tool_impl.h"
#include "ports/clock.h"

#define STATS_STEP 256 /* rows whose columns one step reads */
#define VERIFY_STEP 4  /* rows that one step unpacks; beside a running agent one */

/* --- ls --- */

static enum err oldest_time(struct tool *tool, int64_t *ret_us, bool *ret_known, struct why *why)
{
    struct range first = {tool->range.first, tool->range.first};
    *ret_known = false;
    if (tool->range.first > tool->range.last) {
        return ERR_OK;
    }
    enum err e =
        buffer_read(tool->setup.buffer, tool->stream, first, TOOL_STEP_SIZE, &tool->rows, why);
    if (!e && tool->rows.event_count > 0) {
        *ret_known = tool_time_of(tool, &tool->rows.events[0], ret_us) != TOOL_TIME_UNKNOWN;
    }
    return e == ERR_AGAIN ? ERR_OK : e; /* damaged: its time is not known */
}

static void put_owed(struct tool *tool, const struct buffer_changes *state)
{
    bool is_first = true;
    out_put_text(&tool->out, ",\"owed\":{");
    for (size_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        if (owed->stream != tool->stream) {
            continue;
        }
        char name[STREAM_NAME_SIZE_MAX];
        uint64_t count = 0;
        for (size_t r = 0; r < owed->range_count; r++) {
            count += owed->ranges[r].last - owed->ranges[r].first + 1;
        }
        buffer_uplink_name(tool->setup.buffer, owed->uplink, name);
        out_put_text(&tool->out, is_first ? "" : ",");
        out_put_json(&tool->out, slice_of_text(name));
        out_put_format(&tool->out, ":%" PRIu64, count);
        is_first = false;
    }
    out_put_byte(&tool->out, '}');
}

struct parcels_of {
    uint16_t stream;
    unsigned count;
};

static void count_parcel(void *context, const struct parcel *parcel)
{
    struct parcels_of *p = context;
    p->count += parcel->stream == p->stream;
}

static enum err put_stream(struct tool *tool, struct why *why)
{
    struct buffer_changes state;
    struct out *o = &tool->out;
    struct parcels_of parcels = {tool->stream, 0};
    char time[CLOCK_TEXT_SIZE] = "";
    int64_t time_us = 0;
    bool is_known = false;
    enum err e = oldest_time(tool, &time_us, &is_known, why);
    if (e) {
        return e;
    }
    buffer_state(tool->setup.buffer, &state);
    const struct stream_state *s = &state.streams[tool->stream];
    size_t at = frame_begin(o, FRAME_JSON);
    out_put_text(o, "{\"name\":");
    out_put_json(o, slice_of_text(buffer_stream_name(tool->setup.buffer, tool->stream)));
    out_put_format(o,
                   ",\"events\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sequence_next\":%" PRIu64
                   ",\"dropped\":%" PRIu64,
                   s->event_count, s->size, s->sequence_next, s->dropped_count);
    if (tool->range.first <= tool->range.last) {
        out_put_format(o, ",\"first\":%" PRIu64 ",\"last\":%" PRIu64, tool->range.first,
                       tool->range.last);
    } else {
        out_put_text(o, ",\"first\":null,\"last\":null");
    }
    if (is_known) {
        clock_format(time_us, 6, time);
    }
    out_put_format(o, time[0] ? ",\"oldest\":\"%s\"" : ",\"oldest\":null%s", time);
    put_owed(tool, &state);
    buffer_parcel_each(tool->setup.buffer, count_parcel, &parcels);
    out_put_format(o, ",\"parcels\":%u}", parcels.count);
    frame_end(o, at);
    return ERR_OK;
}

enum err tool_ls_step(struct tool *tool, struct why *why)
{
    enum err e = tool_stream_next(tool, why);
    return e ? e : put_stream(tool, why);
}

/* --- stats --- */

static void put_stats(struct tool *tool)
{
    struct buffer_figures f;
    struct buffer_changes state;
    struct out *o = &tool->out;
    buffer_figures(tool->setup.buffer, &f);
    buffer_state(tool->setup.buffer, &state);
    uint64_t dropped = 0;
    uint64_t untold = 0;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        dropped += state.streams[s].dropped_count;
    }
    for (size_t i = 0; i < state.gap_count; i++) {
        untold += state.gaps[i].count;
    }
    double ratio = tool->row_size ? (double)tool->row_raw / (double)tool->row_size : 0;
    size_t at = frame_begin(o, FRAME_JSON);
    out_put_text(o, "{\"identity\":");
    out_put_json(o, slice_of_text(tool->identity));
    out_put_format(o,
                   ",\"boot\":%" PRIu32 ",\"size_max\":%" PRIu64 ",\"database\":%" PRIu64
                   ",\"wal\":%" PRIu64 ",\"page_size\":%" PRIu64 ",\"pages\":%" PRIu64
                   ",\"free_pages\":%" PRIu64 ",\"used_share\":%.4f",
                   f.boot, f.size_max, f.pages * f.page_size, f.wal_size, f.page_size, f.pages,
                   f.free_pages, (double)state.used_share / 1e6);
    out_put_format(o, ",\"machine\":\"%s\",\"earlier\":[",
                   f.knows_board    ? "board"
                   : f.knows_system ? "system"
                                    : "");
    for (size_t i = 0; i < f.earlier_count; i++) {
        out_put_format(o, "%s\"%08" PRIx32 "\"", i ? "," : "", f.earlier[i]);
    }
    out_put_text(o, "]");
    out_put_format(o,
                   ",\"rows\":{\"count\":%" PRIu64 ",\"events\":%" PRIu64 ",\"raw\":%" PRIu64
                   ",\"stored\":%" PRIu64 ",\"ratio\":%.2f},\"tail\":{\"events\":%" PRIu64
                   ",\"bytes\":%" PRIu64 "}",
                   tool->row_count, tool->row_events, tool->row_raw, tool->row_size, ratio,
                   f.tail_events, f.tail_size);
    out_put_format(o,
                   ",\"commits\":%" PRIu64 ",\"seals\":%" PRIu64 ",\"schemas\":%" PRIu32
                   ",\"parcels\":%" PRIu32 ",\"dropped\":%" PRIu64 ",\"gaps\":{\"count\":%" PRIu32
                   ",\"events\":%" PRIu64 "},\"aside\":{\"count\":%" PRIu64 ",\"dropped\":%" PRIu64
                   "}}",
                   f.commits, f.seals, f.schemas, f.parcels, dropped, f.gaps, untold, f.aside_count,
                   f.aside_dropped);
    frame_end(o, at);
}

enum err tool_stats_step(struct tool *tool, struct why *why)
{
    enum err e = ERR_OK;
    if (tool->stream == 0) {
        e = tool_stream_next(tool, why);
    }
    for (unsigned i = 0; !e && i < STATS_STEP; i++) {
        struct row_info row;
        e = buffer_row_next(tool->setup.buffer, tool->stream, tool->range.first, &row, why);
        if (!e && !row.is_tail) {
            tool->row_count++;
            tool->row_events += row.count;
            tool->row_raw += row.raw_size;
            tool->row_size += row.size;
            tool->range.first = row.range.last + 1;
            tool->done = tool->row_events;
        } else if (e == ERR_CLOSED || !e) { /* the tail is counted as a whole */
            e = tool_stream_next(tool, why);
        }
    }
    tool_put_progress(tool);
    if (e == ERR_CLOSED) {
        put_stats(tool);
    }
    return e;
}

/* --- verify --- */

static void put_bad(void *context, const char *place, const char *text)
{
    tool_put_bad(context, place, text);
}

enum err tool_verify_step(struct tool *tool, struct why *why)
{
    struct buffer_verify *v = &tool->verify;
    enum err e = ERR_OK;
    v->with_pages = !tool->setup.is_running;
    for (unsigned i = 0; !e && i < (tool->setup.is_running ? 1 : VERIFY_STEP); i++) {
        e = buffer_verify_step(tool->setup.buffer, v, put_bad, tool, why);
    }
    tool->done = v->events;
    tool_put_progress(tool);
    if (e == ERR_CLOSED) {
        size_t at = frame_begin(&tool->out, FRAME_JSON);
        out_put_format(&tool->out,
                       "{\"bad\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"events\":%" PRIu64
                       ",\"aside\":%" PRIu64 ",\"cursors\":%" PRIu64 ",\"pages_checked\":%s}",
                       v->bad, v->rows, v->events, v->asides, v->cursors,
                       v->with_pages ? "true" : "false");
        frame_end(&tool->out, at);
    }
    return e;
}

/* --- schemas --- */

struct next_schema {
    uint16_t wanted; /* 0: any stream */
    uint32_t after;
    uint32_t number; /* 0: none found yet */
    uint16_t stream;
};

static void find_next(void *context, uint16_t stream, uint32_t number, struct slice json)
{
    struct next_schema *n = context;
    (void)json;
    if (n->number == 0 && number > n->after && (n->wanted == 0 || n->wanted == stream)) {
        n->number = number;
        n->stream = stream;
    }
}

enum err tool_schemas_step(struct tool *tool, struct why *why)
{
    struct next_schema next = {.after = tool->schema};
    const char *name = tool->request.stream;
    if (name[0]) {
        next.wanted = buffer_stream_number(tool->setup.buffer, name);
        if (next.wanted == 0) {
            why_set(why, "the buffer has no stream \"%s\"", name);
            return ERR_REJECTED;
        }
    }
    buffer_schema_each(tool->setup.buffer, find_next, &next);
    return next.number ? tool_put_schema(tool, next.stream, next.number, why) : ERR_CLOSED;
}
