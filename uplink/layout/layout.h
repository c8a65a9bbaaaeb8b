/* Layouts: how events become messages. A batch builder gets complete datums (fields filled in) one
 * by one and yields one message (columns) or one for each event (rows). Pack worker only; pure: the
 * same events give the same messages. */
#ifndef WEIR_UPLINK_LAYOUT_LAYOUT_H
#define WEIR_UPLINK_LAYOUT_LAYOUT_H

#include "ports/err.h"
#include "ports/parcel.h"
#include "ports/uplink.h"

struct avro_node;
struct columns_plan;
struct columns_work;
struct deflate_encoder;
struct layout_builder; /* of one part */
struct zstd_dictionary;

struct layout_row {
    struct slice key;   /* as it goes out; data NULL: none. Must stay until layout_finish() */
    struct slice datum; /* complete; must stay until layout_finish() */
    uint64_t sequence;
    int64_t time_us;
    bool is_tombstone; /* the message has a key and no body; only in rows */
};

struct layout_setup {
    enum layout layout;
    const struct schema_info *schema;
    const struct avro_node *record; /* the same, parsed; NULL: it can't be. JSON, LETTER */
    struct slice prefix;            /* in front of each message */
    uint32_t record_size_max;       /* bytes of a message, prefix and key included */
    uint32_t events_per_record;     /* 0: choose; else what the parcel has on record */
    struct deflate_encoder *zlib;   /* ROWS: of target.has_zlib; NULL: datums go as they are */
    /* COLUMNS (columns.h): */
    const struct columns_plan *plan; /* of the row schema; NULL: it can't be parsed */
    struct columns_work *work;
    struct slice row_schema_id; /* 4 bytes, 16 bytes, or empty: CRC-64-AVRO of its text */
    struct slice agent;         /* "id/incarnation"; empty where the key says it, or nobody asks */
    uint32_t events_per_record_max; /* where a message is a request; 0: no limit */
    bool is_plain;                  /* nothing compresses the messages, but by the dictionary */
    const struct zstd_dictionary
        *dictionary; /* messages are packed by it where that is smaller; NULL: none */
};

/* `memory` holds prefixes and built messages; `messages` the result. Both are the caller's and must
 * stay until the messages are used. */
enum err layout_begin(struct layout_builder **ret, const struct layout_setup *setup,
                      struct out *memory, struct message *messages, size_t message_max) MUST_USE;
/* ERR_REJECTED: this event alone is over record_size_max, or can't be read by its schema: it can't be
 * sent in this layout (the caller sets it aside). ERR_FULL: the caller's memory is used up, or (COLUMNS)
 * the event has another key than those before it: finish, and begin another batch with this event. */
enum err layout_add(struct layout_builder *builder, const struct layout_row *row) MUST_USE;
/* *ret_events_per_record is what gives the same messages again. ERR_FULL (COLUMNS): memory is used up,
 * or what is on record does not fit any more: begin again with fewer events. ERR_NOMEM. */
enum err layout_finish(struct layout_builder *builder, size_t *ret_message_count,
                       uint32_t *ret_events_per_record) MUST_USE;
void layout_close(struct layout_builder *builder);

#endif
