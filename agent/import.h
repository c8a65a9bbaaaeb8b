/* Importing: events that come from a file, into a stream, as new events. How far a file has been
 * taken is a cursor in the commit that carries its events: a file is imported once, and an import
 * that was interrupted goes on where it stood. Pure, but for import_place(). */
#ifndef WEIR_AGENT_IMPORT_H
#define WEIR_AGENT_IMPORT_H

#include "agent/tool.h"
#include "uplink/avro/schema.h"

#define IMPORT_DRIVER "(import)" /* no name that a configuration may have */
#define IMPORT_FILE_MAX 256      /* files that are remembered; then the oldest is forgotten */
#define IMPORT_ID_SIZE 32
#define IMPORT_EVENT_MAX 1024
#define IMPORT_VALUE_SIZE (IMPORT_ID_SIZE + 17)
/* A batch as bytes: events of WRITE_SIZE_MAX, or one event alone. */
#define IMPORT_BATCH_MAX (EVENT_SIZE_LIMIT + 64 * 1024)

/* Where a file stands. */
struct import_place {
    uint8_t id[IMPORT_ID_SIZE]; /* of the file's content and its stream */
    uint64_t position;          /* events that were taken */
    bool is_done;
    int64_t time_us; /* of the last change: wall clock */
};

/* The place of a file, and the key of its cursor: its own, a free one, or the oldest. On the
 * buffer's thread; makes the driver's number durable. */
enum err import_place(struct buffer *buffer, const uint8_t id[IMPORT_ID_SIZE],
                      struct import_place *ret, uint32_t *ret_key, uint16_t *ret_driver,
                      struct why *why) MUST_USE;
/* The same, as the tool that has ended found it. False: it found nothing. */
bool tool_import_place(const struct tool *tool, struct import_place *ret, uint32_t *ret_key,
                       uint16_t *ret_driver) MUST_USE;
/* A commit has moved it. */
void tool_import_moved(struct tool *tool, const struct import_place *place);
/* The cursor that says it; its value in `memory`. */
struct cursor_change import_cursor(const struct import_place *place, uint16_t driver, uint32_t key,
                                   uint8_t memory[IMPORT_VALUE_SIZE]);
bool import_id_take(const char *hex, uint8_t ret[IMPORT_ID_SIZE]) MUST_USE;

/* A batch, as the command sends it: uvarint schema, u8 1 behind the last one, then events as in
 * FRAME_EVENTS (their sequences are 0). */
struct import_batch {
    uint32_t schema;
    bool is_last;
    size_t event_count;
    size_t size; /* datums */
    struct stored_event events[IMPORT_EVENT_MAX];
};
/* `root`: of the schema; every datum has to be one of it. The datums stay where they are.
 * ERR_CORRUPT, ERR_REJECTED: *why says which. */
enum err import_batch_take(struct slice bytes, struct import_batch *ret, struct why *why) MUST_USE;
enum err import_batch_check(const struct import_batch *batch, const struct avro_node *root,
                            size_t event_size_max, struct why *why) MUST_USE;

#endif
