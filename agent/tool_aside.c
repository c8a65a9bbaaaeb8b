/* Set-aside events: those that are asked for, as frames; and dropped, a few in each commit. */
#include <inttypes.h>

#include "agent/aside_head.h"
#include "agent/tool_impl.h"

#define LOOK_MAX 16     /* rows that one step reads */
#define BESIDE_SIZE 256 /* of a frame, for numbers and the names that are bounded */

/* --- which ones --- */

static bool has_text(struct slice text, const char *part)
{
    return !part[0] || (text.size > 0 && memmem(text.data, text.size, part, strlen(part)));
}

static bool is_wanted(const struct tool *tool, int64_t id, const struct aside *aside)
{
    const struct tool_request *r = &tool->request;
    return id >= (int64_t)r->range.first && id <= (int64_t)r->range.last &&
           aside->time_us >= r->since_us && aside->time_us <= r->until_us &&
           (!r->stream[0] || aside->stream == tool->stream) && has_text(aside->reason, r->reason);
}

/* What is set aside while events are replayed may be one of them, refused once more. */
static bool is_through(const struct tool *tool)
{
    return tool->request.kind == TOOL_ASIDE_REPLAY && tool->done >= tool->total;
}

/* The next rows, until there is enough for this step. ERR_CLOSED: there are none behind. */
static enum err look(struct tool *tool,
                     void (*each)(void *context, int64_t id, const struct aside *aside),
                     struct why *why)
{
    int64_t before = tool->aside_after;
    if (tool->left == 0 || tool->aside_after >= (int64_t)tool->request.range.last) {
        return ERR_CLOSED;
    }
    if (!tool->aside_began) {
        struct buffer_changes state;
        buffer_state(tool->setup.buffer, &state);
        tool->total = state.aside_count;
        tool->stream = tool->request.stream[0]
                           ? buffer_stream_number(tool->setup.buffer, tool->request.stream)
                           : 0;
        tool->aside_after = (int64_t)tool->request.range.first - 1;
        tool->aside_began = true;
        before = tool->aside_after;
    }
    tool->aside_full = false;
    tool->aside_error = ERR_OK;
    enum err e =
        buffer_aside_each(tool->setup.buffer, tool->aside_after, LOOK_MAX, each, tool, why);
    e = e ? e : tool->aside_error;
    return e ? e : tool->aside_after == before ? ERR_CLOSED : ERR_OK;
}

/* --- as frames --- */

/* When did it come? Its own time, or its arrival by the clock as far as that is known by now. */
static uint8_t arrival(struct tool *tool, const struct aside *aside, int64_t *ret_us)
{
    struct aside_head head;
    *ret_us = 0;
    if (!aside_head_take(aside->head, &head, tool->aside_fields)) {
        return TOOL_TIME_UNKNOWN;
    }
    const struct stored_event event = {
        .trust = head.trust, .time_us = head.time_us, .boot = head.boot};
    uint8_t trust = tool_time_of(tool, &event, ret_us);
    *ret_us = trust == TOOL_TIME_UNKNOWN ? 0 : *ret_us;
    return trust;
}

static void put_frame(struct tool *tool, int64_t id, const struct aside *aside)
{
    struct out *o = &tool->out;
    int64_t time_us;
    uint8_t trust = arrival(tool, aside, &time_us);
    size_t at = frame_begin(o, FRAME_ASIDE);
    out_put_varint(o, id);
    out_put_varint(o, aside->time_us);
    frame_put_text(o, slice_of_text(buffer_stream_name(tool->setup.buffer, aside->stream)));
    frame_put_text(o, aside->source);
    frame_put_text(o, aside->reason);
    frame_put_text(o, aside->head);
    frame_put_text(o, aside->body);
    out_put_byte(o, aside->kind);
    out_put_byte(o, aside->is_damaged);
    out_put_uvarint(o, aside->sequence);
    out_put_uvarint(o, aside->size);
    out_put_uvarint(o, aside->schema);
    out_put_uvarint(o, aside->uplink);
    out_put_byte(o, trust);
    out_put_varint(o, time_us);
    frame_end(o, at);
}

static bool needs_schema(const struct tool *tool, const struct aside *aside)
{
    return aside->kind == ASIDE_DATUM && aside->schema != tool->schema &&
           tool->request.kind != TOOL_ASIDE_REPLAY;
}

/* What it takes of the answer, at most. */
static size_t frame_size(const struct tool *tool, const struct aside *aside)
{
    bool with_schema = needs_schema(tool, aside);
    return aside->source.size + aside->reason.size + aside->head.size + aside->body.size +
           BESIDE_SIZE + (with_schema ? AVRO_SCHEMA_SIZE_MAX + BESIDE_SIZE : 0);
}

static void give(void *context, int64_t id, const struct aside *aside)
{
    struct tool *tool = context;
    struct why why;
    if (tool->aside_full || tool->aside_error || tool->left == 0 || is_through(tool)) {
        return;
    }
    if (is_wanted(tool, id, aside)) {
        tool->aside_full = frame_size(tool, aside) > tool->out.size_max - tool->out.size;
        if (tool->aside_full) {
            return; /* with the next step, which has room for it */
        }
        if (needs_schema(tool, aside)) {
            tool->aside_error = tool_put_schema(tool, aside->stream, aside->schema, &why);
        }
        put_frame(tool, id, aside);
        tool->left--;
    }
    tool->aside_after = id;
    tool->done++;
}

enum err tool_aside_step(struct tool *tool, struct why *why)
{
    enum err e = look(tool, give, why);
    if (!e) {
        tool_put_progress(tool);
    }
    return e;
}

bool tool_aside_take(struct slice payload, struct tool_aside *ret)
{
    struct tool_aside a = {.id = 0};
    uint8_t damaged;
    uint64_t schema;
    uint64_t uplink;
    if (!slice_take_varint(&payload, &a.id) || !slice_take_varint(&payload, &a.time_us) ||
        !frame_take_text(&payload, &a.stream) || !frame_take_text(&payload, &a.source) ||
        !frame_take_text(&payload, &a.reason) || !frame_take_text(&payload, &a.head) ||
        !frame_take_text(&payload, &a.body) || !slice_take_u8(&payload, &a.kind) ||
        a.kind > ASIDE_DATUM || !slice_take_u8(&payload, &damaged) || damaged > 1 ||
        !slice_take_uvarint(&payload, &a.sequence) || !slice_take_uvarint(&payload, &a.size) ||
        !slice_take_uvarint(&payload, &schema) || schema > UINT32_MAX ||
        !slice_take_uvarint(&payload, &uplink) || uplink > UINT16_MAX ||
        !slice_take_u8(&payload, &a.event_trust) || a.event_trust > TIME_ESTIMATE ||
        !slice_take_varint(&payload, &a.event_time_us)) {
        return false;
    }
    a.is_damaged = damaged;
    a.schema = (uint32_t)schema;
    a.uplink = (uint16_t)uplink;
    *ret = a;
    return true;
}

/* --- dropping --- */

static void pick(void *context, int64_t id, const struct aside *aside)
{
    struct tool *tool = context;
    if (tool->order_count == TOOL_ORDER_MAX || tool->left == 0) {
        return;
    }
    if (is_wanted(tool, id, aside)) {
        tool->orders[tool->order_count++] =
            (struct buffer_order){.kind = ORDER_ASIDE_DROP, .aside = id};
        tool->left--;
    }
    tool->aside_after = id;
    tool->done++;
}

enum err tool_aside_drop_step(struct tool *tool, struct why *why)
{
    if (tool->commit_error) {
        *why = tool->commit_why;
        return tool->commit_error;
    }
    for (size_t i = 0; tool->committing && i < tool->order_count; i++) {
        tool->ordered += tool->orders[i].count;
    }
    tool->order_count = 0;
    tool->committing = false;
    enum err e = look(tool, pick, why);
    if (e == ERR_CLOSED) {
        size_t at = frame_begin(&tool->out, FRAME_JSON);
        out_put_format(&tool->out, "{\"events\":%" PRIu64 ",\"left\":0}", tool->ordered);
        frame_end(&tool->out, at);
    } else if (!e && tool->request.look) {
        tool->ordered += tool->order_count;
    } else if (!e) {
        tool->committing = tool->order_count > 0;
    }
    tool_put_progress(tool);
    return e;
}
