/* drop and replay: finds the sequences that are meant, and orders it, a few ranges at a time. */
#include <inttypes.h>

#include "agent/tool_impl.h"
#include "config/config.h"

static enum order_kind order_of(const struct tool *tool)
{
    return tool->request.kind == TOOL_DROP ? ORDER_DROP : ORDER_AGAIN;
}

/* --- the uplink --- */

static enum err find_uplink(struct tool *tool, struct why *why)
{
    const char *name = tool->request.uplink;
    if (!name[0]) {
        return ERR_OK; /* drop: for all */
    }
    tool->uplink = buffer_uplink_find(tool->setup.buffer, name);
    if (tool->uplink == 0) {
        why_set(why, "there is no uplink \"%s\": weir buffer ls shows what is owed to whom", name);
        return ERR_REJECTED;
    }
    uint16_t stream = buffer_stream_number(tool->setup.buffer, tool->request.stream);
    if (tool->request.stream[0] && !buffer_carries(tool->setup.buffer, tool->uplink, stream)) {
        why_set(why, "uplink %s does not carry stream %s: name it in the stream's \"uplinks\"",
                name, tool->request.stream);
        return ERR_REJECTED;
    }
    return ERR_OK;
}

/* Is this stream meant? The agent's own only when it is named. */
static bool is_meant(const struct tool *tool)
{
    const char *name = buffer_stream_name(tool->setup.buffer, tool->stream);
    return (tool->request.stream[0] ||
            strncmp(name, BUFFER_OWN_NAME, sizeof BUFFER_OWN_NAME - 1) != 0) &&
           (tool->uplink == 0 || buffer_carries(tool->setup.buffer, tool->uplink, tool->stream));
}

/* --- pieces --- */

/* Adds to the last order when it goes on there. ERR_FULL: there are as many as one commit takes. */
static enum err add_piece(struct tool *tool, struct range range)
{
    if (tool->order_count > 0) {
        struct buffer_order *last = &tool->orders[tool->order_count - 1];
        if (last->stream == tool->stream && last->range.last + 1 == range.first) {
            last->range.last = range.last;
            return ERR_OK;
        }
    }
    if (tool->order_count == TOOL_ORDER_MAX) {
        return ERR_FULL;
    }
    tool->orders[tool->order_count++] = (struct buffer_order){.kind = (uint8_t)order_of(tool),
                                                              .uplink = tool->uplink,
                                                              .stream = tool->stream,
                                                              .range = range,
                                                              .with_sent = !tool->setup.is_running};
    return ERR_OK;
}

/* Events of what was read that are meant. ERR_FULL: the range begins again where there was no room.
 */
static enum err pieces_of_events(struct tool *tool)
{
    for (size_t i = 0; i < tool->rows.event_count; i++) {
        const struct stored_event *event = &tool->rows.events[i];
        struct range one = {event->sequence, event->sequence};
        if (tool_wants(tool, event) && add_piece(tool, one)) {
            tool->range.first = event->sequence;
            return ERR_FULL;
        }
    }
    return ERR_OK;
}

/* A row as it stands, by its sequences alone. */
static enum err piece_of_row(struct tool *tool, struct why *why)
{
    struct row_info row;
    enum err e = buffer_row_next(tool->setup.buffer, tool->stream, tool->range.first, &row, why);
    if (e) {
        tool->range.first = tool->range.last + 1;
        return e == ERR_CLOSED ? ERR_OK : e;
    }
    struct range range = {row.range.first > tool->range.first ? row.range.first : tool->range.first,
                          row.range.last < tool->range.last ? row.range.last : tool->range.last};
    if (range.first > range.last) {
        tool->range.first = tool->range.last + 1;
        return ERR_OK;
    }
    e = add_piece(tool, range);
    if (!e) {
        tool->done += range.last + 1 - tool->range.first;
        tool->range.first = range.last + 1;
    }
    return e;
}

/* The next piece of the stream's range. */
static enum err next_piece(struct tool *tool, struct why *why)
{
    if (tool_has_times(tool)) {
        enum err e = tool_read(tool, why);
        return e ? e : pieces_of_events(tool);
    }
    if (tool->request.kind == TOOL_DROP) { /* what is owed, stored or not */
        struct range all = tool->request.range;
        tool->range.first = tool->range.last + 1;
        return add_piece(tool, all);
    }
    return piece_of_row(tool, why);
}

/* --- what is ordered --- */

static void take_results(struct tool *tool)
{
    for (size_t i = 0; i < tool->order_count; i++) {
        tool->ordered += tool->orders[i].count;
        tool->stays += tool->orders[i].left;
    }
    tool->order_count = 0;
    tool->committing = false;
}

static void put_result(struct tool *tool)
{
    size_t at = frame_begin(&tool->out, FRAME_JSON);
    out_put_format(&tool->out, "{\"events\":%" PRIu64 ",\"left\":%" PRIu64 "}", tool->ordered,
                   tool->stays);
    frame_end(&tool->out, at);
}

/* The orders are as many as there can be, or the last: committed, or only counted. */
static enum err orders_ready(struct tool *tool, struct why *why)
{
    if (!tool->request.look) {
        tool->committing = tool->order_count > 0;
        return ERR_OK;
    }
    enum err e =
        buffer_orders_look(tool->setup.buffer, tool->order_pointers, tool->order_count, why);
    if (!e) {
        take_results(tool);
    }
    return e;
}

struct buffer_order *const *tool_orders(const struct tool *tool, size_t *ret_count)
{
    *ret_count = tool->committing ? tool->order_count : 0;
    return tool->order_pointers;
}

void tool_orders_failed(struct tool *tool, enum err e, const struct why *why)
{
    tool->commit_error = e;
    tool->commit_why = *why;
}

enum err tool_order_step(struct tool *tool, struct why *why)
{
    enum err e = ERR_OK;
    if (tool->commit_error) {
        *why = tool->commit_why;
        return tool->commit_error;
    }
    if (tool->committing) {
        take_results(tool);
    }
    if (tool->stream == 0) {
        e = find_uplink(tool, why);
    }
    if (!e && (tool->stream == 0 || tool->range.first > tool->range.last)) {
        do {
            e = tool_stream_next(tool, why);
        } while (!e && !is_meant(tool));
        if (!e && tool->request.kind == TOOL_DROP && !tool_has_times(tool)) {
            tool->range = tool->request.range; /* owed events may be gone from the file */
        }
    }
    if (e == ERR_CLOSED) {
        tool->range = (struct range){1, 0};
        if (tool->order_count > 0) {
            return orders_ready(tool, why); /* the next step finds the end again */
        }
        put_result(tool);
    }
    if (!e && tool->range.first <= tool->range.last) {
        e = next_piece(tool, why);
        if (e == ERR_FULL) {
            e = orders_ready(tool, why);
        }
    }
    tool_put_progress(tool);
    return e;
}
