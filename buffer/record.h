/* The tail's records: what one commit appends. Inside of the buffer; pure.
 *
 * Little-endian head: u32 size of the whole record, u32 CRC-32C over all that follows this field,
 * u64 generation, u64 commit number, u8 version, u8 flags, u64 zero (unused). Then sections: u8
 * kind, uvarint size, payload; with RECORD_IS_ENCRYPTED they are one encrypted content
 * (crypt.h), and the checksum is over that. A kind, version or flag that is not known is an error, never skipped. */
#ifndef WEIR_BUFFER_RECORD_H
#define WEIR_BUFFER_RECORD_H

#include "buffer/buffer.h"
#include "buffer/crypt.h"
#include "ports/event.h"

#define RECORD_HEAD_SIZE (4 + 4 + 8 + 8 + 1 + 1 + 8)
#define RECORD_VERSION 1
#define RECORD_IS_ENCRYPTED 1 /* a flag */

enum section_kind {
    SECTION_EVENTS = 'E', /* uvarint stream, schema, first sequence, count; then the events */
    SECTION_CURSOR = 'K', /* uvarint driver, key; the value */
    SECTION_DONE = 'A',   /* uvarint uplink, stream, lane, part */
    SECTION_END = 'O',    /* uvarint uplink, stream, first, last */
    SECTION_PARCEL = 'F', /* parcel_encode() */
    SECTION_DROP = 'D',   /* uvarint stream, uplink, reason, first, last, count */
    SECTION_SKIP = 'N',   /* uvarint stream, first, count: sequences whose events were dropped on
                             arrival */
    SECTION_ROWS = 'W',   /* uvarint stream, events, bytes: of rows that were deleted or became
                             smaller */
    SECTION_CAME = 'H',   /* as W: of rows that came over from a damaged file */
    SECTION_BOOT = 'B',   /* uvarint boot, varint offset, u8 1: an estimate */
    SECTION_TOLD = 'G',   /* uvarint gap number */
    SECTION_AGAIN = 'R',  /* as O: is owed again */
    SECTION_ASIDE = 'X',  /* varint change of the count, of the size, uvarint dropped: the events
                             themselves are rows */
};

/* --- events, one behind the other: in E sections and in rows ---
 * Each: varint time since the one before (the first: since 0), u8 trust | fill count << 2, [uvarint
 * boot if TIME_BOOT], per fill u8 kind and uvarint offset, uvarint size, datum. */

void events_put(struct out *o, const struct stored_event *event, int64_t *time_before);
/* Takes one off the front; stream, schema and sequence are the caller's to set. The datum points
 * into the data. */
bool events_take(struct slice *data, int64_t *time_before, struct stored_event *ret) MUST_USE;

/* Events behind each other, with their sequences: all from `next` on, or (sparse) each with a
 * uvarint in front, how many sequences before it are not there. */
struct event_run {
    uint16_t stream;
    uint32_t schema;
    bool sparse;
    uint64_t next;  /* sequence */
    uint64_t count; /* that follow */
    struct slice events;
    int64_t time_before;
};
/* Takes the first one off. ERR_CLOSED: there is none left; ERR_CORRUPT: not so. */
enum err event_run_take(struct event_run *run, struct stored_event *ret) MUST_USE;

/* --- writing a record --- */

struct record_writer {
    struct out *out;
    size_t start;
    size_t sections; /* where they begin */
    bool is_encrypted;
};

/* `is_encrypted`: what record_encrypt() will add has its room, so that everything is at the place that it
 * has on the disk. */
void record_begin(struct record_writer *w, struct out *out, uint64_t generation, uint64_t commit,
                  bool is_encrypted);
void record_put_events(struct record_writer *w, const struct stored_event *events, size_t count,
                       struct out *scratch);
/* Before everything else: what is told are the gaps as they were before this commit. */
void record_put_told(struct record_writer *w, const struct buffer_write *write);
void record_put_write(struct record_writer *w, const struct buffer_write *write);
void record_put_drop(struct record_writer *w, const struct gap *gap);
void record_put_done(struct record_writer *w, const struct part_done *done);
void record_put_end(struct record_writer *w, const struct owed_end *end);
void record_put_again(struct record_writer *w, const struct owed_end *again);
void record_put_rows_gone(struct record_writer *w, uint16_t stream, uint64_t events,
                          uint64_t bytes);
void record_put_rows_came(struct record_writer *w, uint16_t stream, uint64_t events,
                          uint64_t bytes);
void record_put_aside(struct record_writer *w, int64_t count, int64_t size, uint64_t dropped);
/* Sets size and checksum. Nothing is valid when out->overflow is set. */
void record_end(struct record_writer *w);
/* What record_begin(..., true) to record_end() made, encrypted, into an empty `ret`. */
void record_encrypt(struct crypt *crypt, struct slice record, struct out *ret);

/* --- reading --- */

/* Takes an unsigned varint off the front. False: there is none, or it is above `max`. */
bool record_take_uvarint(struct slice *data, uint64_t max, uint64_t *ret) MUST_USE;

struct section {
    enum section_kind kind;
    struct slice payload;
};

struct section_events {
    uint16_t stream;
    uint32_t schema;
    uint64_t first;
    uint64_t count;
    struct slice events;
};

/* The record at the front of `data`, if it is whole and the expected one. ERR_CLOSED: it is not
 * (the end of the tail). ERR_VERSION: it is, but of a newer version. Its sections, or, when it is
 * encrypted, what record_decrypt() takes. */
struct record {
    size_t size;
    bool is_encrypted;
    struct slice sections;
};
enum err record_check(struct slice data, uint64_t generation, uint64_t commit,
                      struct record *ret) MUST_USE;
/* Decrypts the sections where they are; `scratch` has room for them. ERR_CORRUPT:
 * no key opens it; ERR_NOMEM. */
enum err record_decrypt(struct crypt *crypt, struct record *record, uint8_t *data,
                        struct out *scratch) MUST_USE;
/* ERR_CLOSED: no more; ERR_CORRUPT; ERR_VERSION: an unknown kind. */
enum err section_next(struct slice *sections, struct section *ret) MUST_USE;

bool section_events_take(struct slice payload, struct section_events *ret) MUST_USE;
bool section_cursor_take(struct slice payload, struct cursor_change *ret) MUST_USE;
bool section_done_take(struct slice payload, struct part_done *ret) MUST_USE;
bool section_end_take(struct slice payload, struct owed_end *ret) MUST_USE;
bool section_drop_take(struct slice payload, struct gap *ret) MUST_USE;
bool section_skip_take(struct slice payload, uint16_t *ret_stream, uint64_t *ret_first,
                       uint64_t *ret_count) MUST_USE;
bool section_rows_take(struct slice payload, uint16_t *ret_stream, uint64_t *ret_events,
                       uint64_t *ret_bytes) MUST_USE;
bool section_boot_take(struct slice payload, struct boot_offset *ret) MUST_USE;
bool section_told_take(struct slice payload, uint32_t *ret) MUST_USE;
bool section_aside_take(struct slice payload, int64_t *ret_count, int64_t *ret_size,
                        uint64_t *ret_dropped) MUST_USE;

#endif
