/* What the command line needs beside reading and committing: which rows there are, whether they are
 * whole, what the file says about itself. As everything of the buffer it runs on the thread that
 * has the connection; each call does a bounded piece of work. */
#ifndef WEIR_BUFFER_LOOK_H
#define WEIR_BUFFER_LOOK_H

#include "buffer/buffer.h"

/* The agent's id as the file has it; "": none. */
void buffer_agent_id(struct buffer *buffer, char *ret, size_t size);
/* The number of an uplink that any configuration had; 0: none. */
uint16_t buffer_uplink_find(struct buffer *buffer, const char *name);
/* Its name, at most STREAM_NAME_SIZE_MAX. "number N" when the file does not know it. */
void buffer_uplink_name(struct buffer *buffer, uint16_t number, char ret[STREAM_NAME_SIZE_MAX]);
/* Does the uplink carry the stream? */
bool buffer_carries(const struct buffer *buffer, uint16_t uplink, uint16_t stream);
/* What the orders would come to if they were committed now, filled in as a commit does; nothing
 * changes. */
enum err buffer_orders_look(struct buffer *buffer, struct buffer_order *const *orders, size_t count,
                            struct why *why) MUST_USE;
/* The text of a schema. ERR_CLOSED: there is none of this number; ERR_FULL: `ret` is too small. */
enum err buffer_schema_text(const struct buffer *buffer, uint32_t schema, struct out *ret,
                            struct why *why) MUST_USE;

/* --- rows --- */

/* A row, or a run of events in the tail. */
struct row_info {
    bool is_tail;
    uint32_t schema;
    struct range range;
    uint64_t count;    /* of its events: fewer than the range has when it was thinned */
    int64_t oldest_us; /* lowest and highest time of its events, each by its own trust; tail: 0 */
    int64_t newest_us;
    uint64_t raw_size;
    uint64_t size; /* in the file */
};

/* The first of a stream that has anything at `from` or behind. ERR_CLOSED: there is none. */
enum err buffer_row_next(struct buffer *buffer, uint16_t stream, uint64_t from,
                         struct row_info *ret, struct why *why) MUST_USE;

/* --- is it whole? --- */

enum verify_stage { VERIFY_STATE, VERIFY_ROWS, VERIFY_CURSORS, VERIFY_ASIDE, VERIFY_PAGES };

/* How far it is; zeroed at the start. */
struct buffer_verify {
    bool with_pages; /* SQLite's own check of the whole file at the end: one long piece of work */
    enum verify_stage stage;
    uint16_t stream;
    int64_t after; /* the last id looked at */
    uint64_t rows;
    uint64_t events;
    uint64_t asides;
    uint64_t cursors;
    uint64_t bad;
};

/* One row, or one small table. `bad` is told of everything that is not as it was written: where,
 * and what. ERR_CLOSED: everything was looked at. */
enum err buffer_verify_step(struct buffer *buffer, struct buffer_verify *verify,
                            void (*bad)(void *context, const char *place, const char *text),
                            void *context, struct why *why) MUST_USE;

/* --- the whole file --- */

#define BUFFER_EARLIER_MAX 4

struct buffer_figures {
    uint64_t page_size;
    uint64_t pages;
    uint64_t free_pages;
    uint64_t wal_size;
    uint64_t size_max;
    uint64_t tail_size; /* in use */
    uint64_t tail_events;
    uint64_t commits; /* since the file was made */
    uint64_t seals;
    uint64_t aside_count;
    uint64_t aside_dropped;
    uint32_t parcels;
    uint32_t gaps; /* not told yet */
    uint32_t schemas;
    uint32_t boot;
    uint32_t incarnation;
    uint32_t earlier[BUFFER_EARLIER_MAX]; /* incarnations, of other machines; the oldest first */
    size_t earlier_count;
    bool knows_board; /* the board's number of the machine that used it last, or its system's id */
    bool knows_system;
};
void buffer_figures(struct buffer *buffer, struct buffer_figures *ret);

/* --- compacting --- */

/* Writes what is in use to a new file, which then takes the place of the old one in one step: the
 * free pages go back to the file system. The buffer was opened as it is, for writing, and can only
 * be closed behind this. ERR_NOSPACE: the new file has no room beside the old one, *why has the
 * figures; anything but ERR_OK: the old file stands as it was. */
enum err buffer_compact(struct buffer *buffer, uint64_t *ret_before, uint64_t *ret_after,
                        struct why *why) MUST_USE;

#endif
