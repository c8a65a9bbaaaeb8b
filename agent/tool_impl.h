/* Inside of the tool: its files share this. */
#ifndef WEIR_AGENT_TOOL_IMPL_H
#define WEIR_AGENT_TOOL_IMPL_H

#include "agent/import.h"
#include "buffer/look.h"
#include "ports/event.h"

struct tool {
    struct tool_setup setup;
    struct tool_request request;
    char identity[TOOL_IDENTITY_SIZE];
    bool began;
    struct out out;
    struct out fill; /* datums with their fields filled in */
    struct rows rows;
    /* Where it is. */
    uint16_t stream;    /* being looked at; 0: none yet */
    struct range range; /* of it, what is still to be looked at */
    uint32_t schema;    /* of the last FRAME_SCHEMA */
    uint16_t schema_stream;
    uint16_t damaged_stream; /* the last one of which damaged rows were told */
    uint64_t left;           /* events that may still be given */
    uint64_t done;           /* for the progress */
    uint64_t total;
    /* set-aside events */
    int64_t aside_after;
    bool aside_began;
    bool aside_full; /* no more in this step */
    enum err aside_error;
    struct field aside_fields[EVENT_FIELD_MAX]; /* of the one at hand */
    struct buffer_verify verify;
    /* stats */
    uint64_t row_count;
    uint64_t row_raw;
    uint64_t row_size;
    uint64_t row_events;
    /* drop, replay */
    uint16_t uplink;
    struct buffer_order orders[TOOL_ORDER_MAX];
    struct buffer_order *order_pointers[TOOL_ORDER_MAX];
    size_t order_count;
    bool committing; /* the orders were handed out */
    enum err commit_error;
    struct why commit_why;
    uint64_t ordered;
    uint64_t stays;
    /* import */
    struct import_place place;
    uint32_t place_key;
    uint16_t place_driver;
    bool salvages; /* it has begun */
    bool is_end;
};

/* One step of each kind. ERR_OK: more to come; ERR_CLOSED: that was all; else *why. */
enum err tool_ls_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_events_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_stats_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_verify_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_aside_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_aside_drop_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_order_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_import_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_salvage_step(struct tool *tool, struct why *why) MUST_USE;
enum err tool_schemas_step(struct tool *tool, struct why *why) MUST_USE;

/* The next stream of the request, with its stored range, into tool->stream and range. ERR_CLOSED:
 * there is none; ERR_REJECTED: the one that is asked for does not exist. */
enum err tool_stream_next(struct tool *tool, struct why *why) MUST_USE;
/* Reads the next events of the range; moves it on. */
enum err tool_read(struct tool *tool, struct why *why) MUST_USE;
/* The event's wall time, and how far it can be trusted; TOOL_TIME_UNKNOWN: it is not one. */
uint8_t tool_time_of(const struct tool *tool, const struct stored_event *event,
                     int64_t *ret_us) MUST_USE;
/* Is it asked for, by its time? */
bool tool_wants(const struct tool *tool, const struct stored_event *event);
bool tool_has_times(const struct tool *tool);
enum err tool_put_schema(struct tool *tool, uint16_t stream, uint32_t schema,
                         struct why *why) MUST_USE;
void tool_put_progress(struct tool *tool);
/* A FRAME_BAD. */
void tool_put_bad(struct tool *tool, const char *place, const char *text);

#endif
