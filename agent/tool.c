#include "agent/tool.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/fill.h"
#include "agent/tool_impl.h"
#include "uplink/avro/schema.h"

#define FILL_ROOM 1024 /* what is filled in, at most */
#define OUT_SIZE (EVENT_SIZE_LIMIT + TOOL_STEP_SIZE + AVRO_SCHEMA_SIZE_MAX + 128 * 1024)
/* Times below can't be those of a wall clock: 2001. They are of machines since their start. */
#define WALL_FLOOR_US INT64_C(1000000000000000)
#define SKIP_MAX 64 /* rows that one step passes over by their times */

enum err tool_open(struct tool **ret, const struct tool_setup *setup,
                   const struct tool_request *request)
{
    struct tool *tool = calloc(1, sizeof *tool);
    if (!tool) {
        return ERR_NOMEM;
    }
    tool->setup = *setup;
    tool->request = *request;
    tool->left = request->count;
    tool->out = out_over(malloc(OUT_SIZE), OUT_SIZE);
    tool->fill = out_over(malloc(EVENT_SIZE_LIMIT + FILL_ROOM), EVENT_SIZE_LIMIT + FILL_ROOM);
    tool->rows = (struct rows){.events = malloc(TOOL_STEP_EVENTS * sizeof *tool->rows.events),
                               .event_max = TOOL_STEP_EVENTS,
                               .arena = out_over(malloc(TOOL_STEP_SIZE + EVENT_SIZE_LIMIT),
                                                 TOOL_STEP_SIZE + EVENT_SIZE_LIMIT),
                               .is_look = true};
    for (size_t i = 0; i < TOOL_ORDER_MAX; i++) {
        tool->order_pointers[i] = &tool->orders[i];
    }
    if (!tool->out.data || !tool->fill.data || !tool->rows.events || !tool->rows.arena.data) {
        tool_close(tool);
        return ERR_NOMEM;
    }
    *ret = tool;
    return ERR_OK;
}

void tool_close(struct tool *tool)
{
    if (tool) {
        free(tool->out.data);
        free(tool->fill.data);
        free(tool->rows.events);
        free(tool->rows.arena.data);
        free(tool);
    }
}

struct slice tool_out(const struct tool *tool)
{
    return out_slice(&tool->out);
}

void tool_put_progress(struct tool *tool)
{
    size_t at = frame_begin(&tool->out, FRAME_PROGRESS);
    out_put_uvarint(&tool->out, tool->done);
    out_put_uvarint(&tool->out, tool->total);
    frame_end(&tool->out, at);
}

void tool_put_bad(struct tool *tool, const char *place, const char *text)
{
    size_t at = frame_begin(&tool->out, FRAME_BAD);
    frame_put_text(&tool->out, slice_of_text(place));
    frame_put_text(&tool->out, slice_of_text(text));
    frame_end(&tool->out, at);
}

/* --- streams and their events --- */

static bool is_asked_for(const struct tool *tool, uint16_t stream)
{
    const char *name = buffer_stream_name(tool->setup.buffer, stream);
    const char *asked = tool->request.stream;
    return name[0] && (!asked[0] || strcmp(name, asked) == 0);
}

/* From the lowest that is stored, as far as the request says. Empty: there is nothing. */
static enum err stored_range(struct tool *tool, uint16_t stream, struct range *ret, struct why *why)
{
    struct buffer_changes state;
    struct row_info row;
    struct range asked = tool->request.range;
    *ret = (struct range){1, 0};
    enum err e = buffer_row_next(tool->setup.buffer, stream, asked.first, &row, why);
    if (e) {
        return e == ERR_CLOSED ? ERR_OK : e;
    }
    buffer_state(tool->setup.buffer, &state);
    uint64_t last = state.streams[stream].sequence_next - 1;
    ret->first = row.range.first > asked.first ? row.range.first : asked.first;
    ret->last = asked.last < last ? asked.last : last;
    return ERR_OK;
}

static bool is_of_asides(enum tool_kind kind)
{
    return kind == TOOL_ASIDE || kind == TOOL_ASIDE_EXPORT || kind == TOOL_ASIDE_DROP ||
           kind == TOOL_ASIDE_REPLAY;
}

static enum err begin(struct tool *tool, struct why *why)
{
    struct buffer *buffer = tool->setup.buffer;
    char id[TOOL_IDENTITY_SIZE - 16];
    buffer_agent_id(buffer, id, sizeof id);
    (void)snprintf(tool->identity, sizeof tool->identity, "%s/%08" PRIx32, id,
                   buffer_incarnation(buffer)); /* fits */
    if (tool->request.stream[0] && buffer_stream_number(buffer, tool->request.stream) == 0) {
        why_set(why, "there is no stream \"%s\": weir buffer ls lists them", tool->request.stream);
        return ERR_REJECTED;
    }
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX && !is_of_asides(tool->request.kind); s++) {
        struct range range;
        if (is_asked_for(tool, s)) {
            enum err e = stored_range(tool, s, &range, why);
            if (e) {
                return e;
            }
            tool->total += range.first <= range.last ? range.last - range.first + 1 : 0;
        }
    }
    return ERR_OK;
}

enum err tool_stream_next(struct tool *tool, struct why *why)
{
    do {
        tool->stream++;
        if (tool->stream > STREAM_COUNT_MAX) {
            return ERR_CLOSED;
        }
    } while (!is_asked_for(tool, tool->stream));
    return stored_range(tool, tool->stream, &tool->range, why);
}

bool tool_has_times(const struct tool *tool)
{
    return tool->request.since_us != INT64_MIN || tool->request.until_us != INT64_MAX;
}

uint8_t tool_time_of(const struct tool *tool, const struct stored_event *event, int64_t *ret_us)
{
    struct stored_event timed = *event;
    bool is_known = buffer_time(tool->setup.buffer, &timed);
    *ret_us = timed.time_us;
    return is_known ? timed.trust : TOOL_TIME_UNKNOWN;
}

bool tool_wants(const struct tool *tool, const struct stored_event *event)
{
    int64_t time_us;
    return !tool_has_times(tool) ||
           (tool_time_of(tool, event, &time_us) != TOOL_TIME_UNKNOWN &&
            time_us >= tool->request.since_us && time_us <= tool->request.until_us);
}

/* By the times that a sealed row has in its columns: nothing of it can be wanted. */
static bool row_is_beside(const struct tool *tool, const struct row_info *row)
{
    return !row->is_tail && row->oldest_us >= WALL_FLOOR_US &&
           (row->newest_us < tool->request.since_us || row->oldest_us > tool->request.until_us);
}

enum err tool_read(struct tool *tool, struct why *why)
{
    struct buffer *buffer = tool->setup.buffer;
    struct row_info row;
    enum err e = ERR_OK;
    uint64_t from = tool->range.first;
    tool->rows.event_count = 0;
    for (unsigned i = 0; tool_has_times(tool) && i < SKIP_MAX; i++) {
        e = buffer_row_next(buffer, tool->stream, tool->range.first, &row, why);
        if (e || !row_is_beside(tool, &row)) {
            break;
        }
        tool->range.first = row.range.last + 1;
    }
    if (e == ERR_CLOSED) {
        tool->range.first = tool->range.last + 1;
        e = ERR_OK;
    }
    if (!e && tool->range.first <= tool->range.last) {
        e = buffer_read(buffer, tool->stream, tool->range, TOOL_STEP_SIZE, &tool->rows, why);
        tool->range.first = e ? tool->range.first : tool->rows.covered.last + 1;
    }
    if (!e && tool->rows.has_damaged && tool->damaged_stream != tool->stream) {
        tool->damaged_stream = tool->stream;
        tool_put_bad(tool, buffer_stream_name(buffer, tool->stream),
                     "events of damaged rows are left out: weir buffer verify names them");
    }
    e = e == ERR_AGAIN ? ERR_CORRUPT : e; /* the file, as a whole */
    tool->done += tool->range.first - from;
    return e;
}

/* --- frames of events --- */

enum err tool_put_schema(struct tool *tool, uint16_t stream, uint32_t schema, struct why *why)
{
    struct out *text = &tool->fill;
    text->size = 0;
    text->overflow = false;
    enum err e = buffer_schema_text(tool->setup.buffer, schema, text, why);
    if (e && e != ERR_CLOSED) {
        return e;
    }
    size_t at = frame_begin(&tool->out, FRAME_SCHEMA);
    out_put_uvarint(&tool->out, schema);
    frame_put_text(&tool->out, slice_of_text(buffer_stream_name(tool->setup.buffer, stream)));
    frame_put_text(&tool->out, out_slice(text));
    frame_end(&tool->out, at);
    tool->schema = schema;
    tool->schema_stream = stream;
    return ERR_OK;
}

/* Of the event: an earlier one, if another machine stored it. */
static void put_identity(const struct tool *tool, const struct stored_event *event,
                         char ret[TOOL_IDENTITY_SIZE])
{
    uint64_t last;
    uint32_t incarnation =
        buffer_incarnation_at(tool->setup.buffer, event->stream, event->sequence, &last);
    const char *slash = strrchr(tool->identity, '/'); /* begin() has put it */
    (void)snprintf(ret, TOOL_IDENTITY_SIZE, "%.*s/%08" PRIx32, (int)(slash - tool->identity),
                   tool->identity, incarnation); /* as long as it is */
}

static void put_event(struct tool *tool, const struct stored_event *event)
{
    struct stored_event complete = *event;
    struct slice datum;
    uint8_t trust = tool_time_of(tool, event, &complete.time_us);
    complete.trust = trust == TOOL_TIME_UNKNOWN ? TIME_ESTIMATE : trust; /* for the datum */
    tool->fill.size = 0;
    tool->fill.overflow = false;
    char identity[TOOL_IDENTITY_SIZE];
    put_identity(tool, event, identity);
    bool fits =
        fill_complete(&complete, identity, buffer_stream_name(tool->setup.buffer, event->stream),
                      &tool->fill, &datum);
    assert(fits); /* room for the largest, and for what is filled in */
    out_put_uvarint(&tool->out, event->sequence);
    out_put_byte(&tool->out, trust);
    out_put_varint(&tool->out, complete.time_us);
    frame_put_text(&tool->out, datum);
}

/* The events that were read last, those that are asked for. */
static enum err put_events(struct tool *tool, struct why *why)
{
    const struct rows *rows = &tool->rows;
    if (rows->event_count == 0) {
        return ERR_OK;
    }
    if (tool->schema_stream != tool->stream || tool->schema != rows->events[0].schema) {
        enum err e = tool_put_schema(tool, tool->stream, rows->events[0].schema, why);
        if (e) {
            return e;
        }
    }
    size_t at = frame_begin(&tool->out, FRAME_EVENTS);
    for (size_t i = 0; i < rows->event_count && tool->left > 0; i++) {
        if (tool_wants(tool, &rows->events[i])) {
            put_event(tool, &rows->events[i]);
            tool->left--;
        }
    }
    frame_end(&tool->out, at);
    return ERR_OK;
}

enum err tool_events_step(struct tool *tool, struct why *why)
{
    enum err e = ERR_OK;
    if (tool->left == 0) {
        return ERR_CLOSED;
    }
    if (tool->stream == 0 || tool->range.first > tool->range.last) {
        e = tool_stream_next(tool, why);
    }
    if (!e && tool->range.first <= tool->range.last) {
        e = tool_read(tool, why);
        e = e ? e : put_events(tool, why);
    }
    tool_put_progress(tool);
    return e;
}

/* --- steps --- */

static enum err step(struct tool *tool, struct why *why)
{
    enum err e = tool->began ? ERR_OK : begin(tool, why);
    tool->began = true;
    if (e) {
        return e;
    }
    switch (tool->request.kind) {
    case TOOL_LS:
        return tool_ls_step(tool, why);
    case TOOL_CAT:
    case TOOL_EXPORT:
        return tool_events_step(tool, why);
    case TOOL_STATS:
        return tool_stats_step(tool, why);
    case TOOL_VERIFY:
        return tool_verify_step(tool, why);
    case TOOL_ASIDE:
    case TOOL_ASIDE_EXPORT:
    case TOOL_ASIDE_REPLAY:
        return tool_aside_step(tool, why);
    case TOOL_ASIDE_DROP:
        return tool_aside_drop_step(tool, why);
    case TOOL_REPLAY:
    case TOOL_DROP:
        return tool_order_step(tool, why);
    case TOOL_IMPORT:
        return tool_import_step(tool, why);
    case TOOL_SALVAGE:
        return tool_salvage_step(tool, why);
    case TOOL_SCHEMAS:
        return tool_schemas_step(tool, why);
    case TOOL_KIND_COUNT:
        break;
    }
    return ERR_REJECTED;
}

enum err tool_step(struct tool *tool)
{
    struct why why = {""};
    assert(!tool->is_end);
    tool->out.size = 0;
    tool->out.overflow = false;
    enum err e = step(tool, &why);
    if (tool->out.overflow) {
        tool->out.size = 0;
        tool->out.overflow = false;
        why_set(&why, "a piece of the answer is larger than %d bytes", OUT_SIZE);
        e = ERR_FULL;
    }
    if (e == ERR_CLOSED) {
        frame_end(&tool->out, frame_begin(&tool->out, FRAME_END));
    } else if (e) {
        frame_put_error(&tool->out, e, &why);
    }
    tool->is_end = e != ERR_OK;
    return e ? ERR_CLOSED : ERR_OK;
}
