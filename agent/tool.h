/* What `weir buffer` and `weir aside` do to a buffer. The same code works on the file of a stopped
 * agent and, through the control socket, on the store worker of a running one: in steps of bounded
 * work, so that commits go on between them. What comes out are frames; the command line makes text,
 * JSON and containers of them, so that a running agent does not spend its time on that.
 *
 * A tool is used by one thread at a time: the one that has the buffer. */
#ifndef WEIR_AGENT_TOOL_H
#define WEIR_AGENT_TOOL_H

#include "buffer/buffer.h"

#define TOOL_STEP_SIZE (64 * 1024) /* raw datums that one step reads */
#define TOOL_STEP_EVENTS 1024
#define TOOL_LINE_MAX 2048 /* of a request */
#define TOOL_PATH_MAX 256
#define TOOL_REASON_MAX 128
#define TOOL_ORDER_MAX 64 /* of one step */
#define TOOL_IDENTITY_SIZE 144

enum tool_kind {
    TOOL_LS,
    TOOL_CAT,
    TOOL_EXPORT, /* as CAT; another right */
    TOOL_STATS,
    TOOL_VERIFY,
    TOOL_ASIDE,
    TOOL_ASIDE_EXPORT, /* as ASIDE; another right */
    TOOL_ASIDE_DROP,
    TOOL_ASIDE_REPLAY, /* as ASIDE, without schemas: what is offered again, in a running agent */
    TOOL_REPLAY,
    TOOL_DROP,
    TOOL_IMPORT,  /* where an import stands, and the stream's schemas; the events come separately:
                    agent/import.h */
    TOOL_SALVAGE, /* in a running agent only begun: it goes on by itself */
    TOOL_SCHEMAS, /* every version that the buffer keeps: of the stream that is named, or of all;
                     oldest first, as FRAME_SCHEMA */
    TOOL_KIND_COUNT,
};
const char *tool_kind_name(enum tool_kind kind);
/* Does it take something out of the agent's hands, so that not everybody who may look may do it? */
bool tool_is_trusted(enum tool_kind kind);

/* What is asked for. Texts are "" where nothing is said. */
struct tool_request {
    enum tool_kind kind;
    char stream[STREAM_NAME_SIZE_MAX];
    char uplink[STREAM_NAME_SIZE_MAX];
    char path[TOOL_PATH_MAX];     /* SALVAGE: absolute */
    char reason[TOOL_REASON_MAX]; /* ASIDE...: a part of it */
    char file[65];                /* IMPORT: what tells the file from others, hexadecimal */
    struct range range;           /* sequences; ASIDE...: ids */
    int64_t since_us; /* time of the events; INT64_MIN and INT64_MAX: any, those without a time too.
                     ASIDE...: when they were set aside */
    int64_t until_us;
    uint64_t count; /* events at most */
    bool look;      /* REPLAY, DROP, ASIDE_DROP: only how many it would be */
    bool again;     /* IMPORT: from the file's beginning, whatever was taken of it */
};
/* Everything: all streams, all sequences, all times. */
void tool_request_init(struct tool_request *ret, enum tool_kind kind);
/* As one line of JSON, without the line's end. */
void tool_request_put(const struct tool_request *request, struct out *ret);
enum err tool_request_take(struct slice line, struct tool_request *ret, struct why *why) MUST_USE;

/* --- frames: u8 kind, u32 size little-endian, payload --- */

enum frame_kind {
    FRAME_SCHEMA = 'S', /* uvarint number; the stream's name and the schema's text, each behind its
                             uvarint size: the events that follow are of these. An empty text: the
                             schema is not known */
    FRAME_EVENTS = 'E', /* one behind the other: uvarint sequence, u8 trust, varint time, uvarint
                             size, datum with everything filled in. Trust TOOL_TIME_UNKNOWN: the time
                             is that of the machine since its start */
    FRAME_ASIDE = 'A',  /* varint id, time; stream, source, reason, head, body, each behind its
                             uvarint size; u8 kind, u8 damaged, uvarint sequence, size, schema,
                             uplink; u8 trust and varint time of the event as in FRAME_EVENTS. The
                             body of a datum is of the last FRAME_SCHEMA */
    FRAME_JSON = 'J',   /* an object or array */
    FRAME_PROGRESS = 'P', /* uvarint done, uvarint of how many */
    FRAME_BAD = 'B',      /* what was found damaged: place and text, each behind its uvarint size */
    FRAME_ERROR = 'X',    /* u8 enum err, text: it ends here */
    FRAME_END = 'Z',      /* it ends here, in order */
};
#define TOOL_TIME_UNKNOWN 0
#define FRAME_HEAD_SIZE 5

/* Between these the payload is put. */
size_t frame_begin(struct out *out, enum frame_kind kind);
void frame_end(struct out *out, size_t begin);
void frame_put_error(struct out *out, enum err e, const struct why *why);
/* Takes a whole frame off the front. ERR_AGAIN: it is not all there yet, *ret_missing bytes at
 * least; ERR_CORRUPT. */
enum err frame_take(struct slice *data, enum frame_kind *ret_kind, struct slice *ret_payload,
                    size_t *ret_missing) MUST_USE;
#define FRAME_SIZE_MAX (4 * 1024 * 1024)
/* A text behind its uvarint size. */
void frame_put_text(struct out *out, struct slice text);
bool frame_take_text(struct slice *data, struct slice *ret) MUST_USE;

/* One event of FRAME_EVENTS. */
struct tool_event {
    uint64_t sequence;
    int64_t time_us;
    uint8_t trust; /* enum time_trust, never TIME_BOOT, or TOOL_TIME_UNKNOWN */
    struct slice datum;
};
bool tool_event_take(struct slice *data, struct tool_event *ret) MUST_USE;

/* FRAME_ASIDE. */
struct tool_aside {
    int64_t id;
    int64_t time_us;     /* when it was set aside */
    struct slice stream; /* empty: none took it */
    struct slice source;
    struct slice reason;
    struct slice
        head; /* agent/aside_head.h; empty: an earlier version set it aside, or it is damaged */
    struct slice body;
    uint8_t kind; /* enum aside_kind */
    bool is_damaged;
    uint64_t sequence;
    uint64_t size; /* of the body before it was cut */
    uint32_t schema;
    uint16_t uplink;
    uint8_t event_trust; /* as in struct tool_event */
    int64_t event_time_us;
};
bool tool_aside_take(struct slice payload, struct tool_aside *ret) MUST_USE;

/* --- the work --- */

struct tool_setup {
    struct buffer *buffer;
    bool is_running; /* commits go on beside it: no piece of work may be long */
};

struct tool;
/* Looks at nothing yet: any thread. */
enum err tool_open(struct tool **ret, const struct tool_setup *setup,
                   const struct tool_request *request) MUST_USE;
/* NULL is allowed. */
void tool_close(struct tool *tool);
/* Does a piece of work. The frames are in tool_out() until the next step. ERR_CLOSED: that was the
 * last; a frame says how it ended. */
enum err tool_step(struct tool *tool) MUST_USE;
struct slice tool_out(const struct tool *tool);
/* What has to be committed before the next step, which tells what came of it. */
struct buffer_order *const *tool_orders(const struct tool *tool, size_t *ret_count);
/* The commit of these failed. The next step ends it. */
void tool_orders_failed(struct tool *tool, enum err e, const struct why *why);

#endif
