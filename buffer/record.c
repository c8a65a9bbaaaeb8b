#include "buffer/record.h"

#include <assert.h>
#include <string.h>

#include "buffer/state.h"
#include "ports/lib/crc32c.h"

/* --- events --- */

void events_put(struct out *o, const struct stored_event *event, int64_t *time_before)
{
    assert(event->fill_count <= FILL_MAX);
    out_put_varint(o, (int64_t)((uint64_t)event->time_us - (uint64_t)*time_before));
    *time_before = event->time_us;
    out_put_byte(o, (uint8_t)(event->trust | event->fill_count << 2));
    if (event->trust == TIME_BOOT) {
        out_put_uvarint(o, event->boot);
    }
    for (size_t i = 0; i < event->fill_count; i++) {
        out_put_byte(o, event->fills[i].kind);
        out_put_uvarint(o, event->fills[i].offset);
    }
    out_put_uvarint(o, event->datum.size);
    out_put_slice(o, event->datum);
}

bool record_take_uvarint(struct slice *data, uint64_t max, uint64_t *ret)
{
    return slice_take_uvarint(data, ret) && *ret <= max;
}

static bool take_fills(struct slice *data, struct stored_event *event)
{
    for (size_t i = 0; i < event->fill_count; i++) {
        uint64_t offset;
        if (!slice_take_u8(data, &event->fills[i].kind) || event->fills[i].kind == FILL_NONE ||
            event->fills[i].kind > FILL_TIME_TRUST ||
            !record_take_uvarint(data, UINT32_MAX, &offset)) {
            return false;
        }
        event->fills[i].offset = (uint32_t)offset;
    }
    return true;
}

bool events_take(struct slice *data, int64_t *time_before, struct stored_event *ret)
{
    struct slice rest = *data;
    int64_t step;
    uint8_t flags;
    uint64_t boot = 0;
    uint64_t size;
    if (!slice_take_varint(&rest, &step) || !slice_take_u8(&rest, &flags)) {
        return false;
    }
    ret->trust = flags & 3;
    ret->fill_count = flags >> 2;
    if (ret->trust == 0 || ret->fill_count > FILL_MAX ||
        (ret->trust == TIME_BOOT && !record_take_uvarint(&rest, UINT32_MAX, &boot)) ||
        !take_fills(&rest, ret) || !slice_take_uvarint(&rest, &size) ||
        !slice_take(&rest, (size_t)size, &ret->datum)) {
        return false;
    }
    for (size_t i = 0; i < ret->fill_count; i++) {
        if (ret->fills[i].offset > size ||
            (i > 0 && ret->fills[i].offset < ret->fills[i - 1].offset)) {
            return false;
        }
    }
    ret->boot = (uint32_t)boot;
    ret->time_us = (int64_t)((uint64_t)*time_before + (uint64_t)step);
    *time_before = ret->time_us;
    *data = rest;
    return true;
}

enum err event_run_take(struct event_run *run, struct stored_event *ret)
{
    uint64_t skipped = 0;
    if (run->count == 0) {
        return ERR_CLOSED;
    }
    if ((run->sparse && !record_take_uvarint(&run->events, UINT64_MAX / 4, &skipped)) ||
        !events_take(&run->events, &run->time_before, ret)) {
        return ERR_CORRUPT;
    }
    ret->stream = run->stream;
    ret->schema = run->schema;
    ret->sequence = run->next + skipped;
    run->next = ret->sequence + 1;
    run->count--;
    return ERR_OK;
}

/* --- writing --- */

void record_begin(struct record_writer *w, struct out *out, uint64_t generation, uint64_t commit,
                  bool is_encrypted)
{
    static const uint8_t room[CRYPT_HEAD_SIZE];
    w->out = out;
    w->start = out->size;
    w->is_encrypted = is_encrypted;
    out_put_u32_le(out, 0);
    out_put_u32_le(out, 0);
    out_put_u64_le(out, generation);
    out_put_u64_le(out, commit);
    out_put_byte(out, RECORD_VERSION);
    out_put_byte(out, is_encrypted ? RECORD_IS_ENCRYPTED : 0);
    out_put_u64_le(out, 0);
    out_put(out, room, is_encrypted ? sizeof room : 0);
    w->sections = out->size;
}

/* A section whose payload is built in a small place first, because its size stands in front. */
static void put_section(struct record_writer *w, enum section_kind kind, const struct out *payload)
{
    out_put_byte(w->out, (uint8_t)kind);
    out_put_uvarint(w->out, payload->size);
    out_put_slice(w->out, out_slice(payload));
    w->out->overflow = w->out->overflow || payload->overflow;
}

static void put_numbers(struct record_writer *w, enum section_kind kind, const uint64_t *numbers,
                        size_t count)
{
    uint8_t memory[80];
    struct out payload = out_over(memory, sizeof memory);
    for (size_t i = 0; i < count; i++) {
        out_put_uvarint(&payload, numbers[i]);
    }
    put_section(w, kind, &payload);
}

static void put_event_run(struct record_writer *w, const struct stored_event *events, size_t count,
                          struct out *scratch)
{
    int64_t time_before = 0;
    scratch->size = 0;
    scratch->overflow = false;
    out_put_uvarint(scratch, events[0].stream);
    out_put_uvarint(scratch, events[0].schema);
    out_put_uvarint(scratch, events[0].sequence);
    out_put_uvarint(scratch, count);
    for (size_t i = 0; i < count; i++) {
        events_put(scratch, &events[i], &time_before);
    }
    put_section(w, SECTION_EVENTS, scratch);
}

static bool is_of_run(const struct stored_event *a, const struct stored_event *b)
{
    return a->stream == b->stream && a->schema == b->schema && a->dropped == 0 && b->dropped == 0;
}

void record_put_events(struct record_writer *w, const struct stored_event *events, size_t count,
                       struct out *scratch)
{
    for (size_t at = 0; at < count;) {
        size_t run = 1;
        while (at + run < count && is_of_run(&events[at], &events[at + run])) {
            assert(events[at + run].sequence == events[at].sequence + run);
            run++;
        }
        if (events[at].dropped > 0) {
            put_numbers(w, SECTION_SKIP,
                        (uint64_t[]){events[at].stream, events[at].sequence, events[at].dropped},
                        3);
        } else {
            put_event_run(w, events + at, run, scratch);
        }
        at += run;
    }
}

static void put_cursor(struct record_writer *w, const struct cursor_change *cursor)
{
    uint8_t memory[CURSOR_SIZE_MAX + 20];
    struct out payload = out_over(memory, sizeof memory);
    out_put_uvarint(&payload, cursor->driver);
    out_put_uvarint(&payload, cursor->key);
    out_put_slice(&payload, cursor->value);
    put_section(w, SECTION_CURSOR, &payload);
}

static void put_parcel(struct record_writer *w, const struct parcel *parcel)
{
    uint8_t memory[TARGET_NAME_SIZE_MAX + CLUSTER_ID_SIZE_MAX + 80 + PARCEL_PART_MAX * 80];
    struct out payload = out_over(memory, sizeof memory);
    parcel_encode(parcel, &payload);
    put_section(w, SECTION_PARCEL, &payload);
}

static void put_boot(struct record_writer *w, const struct boot_offset *boot)
{
    uint8_t memory[24];
    struct out payload = out_over(memory, sizeof memory);
    out_put_uvarint(&payload, boot->boot);
    out_put_varint(&payload, boot->offset_us);
    out_put_byte(&payload, boot->is_estimate);
    put_section(w, SECTION_BOOT, &payload);
}

void record_put_done(struct record_writer *w, const struct part_done *d)
{
    put_numbers(w, SECTION_DONE, (uint64_t[]){d->uplink, d->stream, d->lane, d->part}, 4);
}

void record_put_end(struct record_writer *w, const struct owed_end *e)
{
    put_numbers(w, SECTION_END, (uint64_t[]){e->uplink, e->stream, e->range.first, e->range.last},
                4);
}

void record_put_write(struct record_writer *w, const struct buffer_write *write)
{
    for (size_t i = 0; i < write->cursor_count; i++) {
        put_cursor(w, &write->cursors[i]);
    }
    for (size_t i = 0; i < write->done_count; i++) {
        record_put_done(w, &write->dones[i]);
    }
    for (size_t i = 0; i < write->end_count; i++) {
        record_put_end(w, &write->ends[i]);
    }
    for (size_t i = 0; i < write->parcel_count; i++) {
        put_parcel(w, write->parcels[i]);
    }
    for (size_t i = 0; i < write->boot_count; i++) {
        put_boot(w, &write->boots[i]);
    }
}

void record_put_told(struct record_writer *w, const struct buffer_write *write)
{
    for (size_t i = 0; i < write->gap_told_count; i++) {
        put_numbers(w, SECTION_TOLD, (uint64_t[]){write->gaps_told[i]}, 1);
    }
}

void record_put_drop(struct record_writer *w, const struct gap *gap)
{
    put_numbers(w, SECTION_DROP,
                (uint64_t[]){gap->stream, gap->uplink, gap->reason, gap->range.first,
                             gap->range.last, gap->count},
                6);
}

void record_put_again(struct record_writer *w, const struct owed_end *again)
{
    put_numbers(w, SECTION_AGAIN,
                (uint64_t[]){again->uplink, again->stream, again->range.first, again->range.last},
                4);
}

void record_put_rows_gone(struct record_writer *w, uint16_t stream, uint64_t events, uint64_t bytes)
{
    put_numbers(w, SECTION_ROWS, (uint64_t[]){stream, events, bytes}, 3);
}

void record_put_rows_came(struct record_writer *w, uint16_t stream, uint64_t events, uint64_t bytes)
{
    put_numbers(w, SECTION_CAME, (uint64_t[]){stream, events, bytes}, 3);
}

void record_put_aside(struct record_writer *w, int64_t count, int64_t size, uint64_t dropped)
{
    uint8_t memory[32];
    struct out payload = out_over(memory, sizeof memory);
    out_put_varint(&payload, count);
    out_put_varint(&payload, size);
    out_put_uvarint(&payload, dropped);
    put_section(w, SECTION_ASIDE, &payload);
}

/* Size and checksum. */
static void set_head(uint8_t *record, size_t size)
{
    struct out head = out_over(record, 8);
    out_put_u32_le(&head, (uint32_t)size);
    out_put_u32_le(&head, crc32c(0, (struct slice){record + 8, size - 8}));
}

void record_end(struct record_writer *w)
{
    static const uint8_t room[AEAD_TAG_SIZE];
    out_put(w->out, room, w->is_encrypted ? sizeof room : 0);
    if (!w->out->overflow) {
        set_head(w->out->data + w->start, w->out->size - w->start);
    }
}

#define RECORD_BESIDE_SIZE (1 + RECORD_HEAD_SIZE - 8)

/* What belongs to the encrypted sections: the head without size and checksum. */
static struct slice record_beside(const uint8_t *record, uint8_t ret[RECORD_BESIDE_SIZE])
{
    ret[0] = 'T';
    memcpy(ret + 1, record + 8, RECORD_HEAD_SIZE - 8);
    return (struct slice){ret, RECORD_BESIDE_SIZE};
}

void record_encrypt(struct crypt *crypt, struct slice record, struct out *ret)
{
    uint8_t memory[RECORD_BESIDE_SIZE];
    struct slice sections = {record.data + RECORD_HEAD_SIZE + CRYPT_HEAD_SIZE,
                             record.size - RECORD_HEAD_SIZE - CRYPT_MORE};
    assert(ret->size == 0);
    out_put(ret, record.data, RECORD_HEAD_SIZE);
    crypt_encrypt(crypt, record_beside(record.data, memory), sections, ret);
    assert(!ret->overflow && ret->size == record.size);
    set_head(ret->data, ret->size);
}

/* --- reading --- */

enum err record_check(struct slice data, uint64_t generation, uint64_t commit, struct record *ret)
{
    struct slice head = data;
    struct slice record;
    uint32_t size;
    uint32_t crc;
    uint64_t is_generation;
    uint64_t is_commit;
    uint8_t version;
    uint8_t flags;
    if (!slice_take_u32_le(&head, &size) || size < RECORD_HEAD_SIZE ||
        !slice_take(&data, size, &record)) {
        return ERR_CLOSED;
    }
    head = record;
    head.data += 4;
    head.size -= 4;
    bool whole = slice_take_u32_le(&head, &crc) && crc32c(0, head) == crc &&
                 slice_take_u64_le(&head, &is_generation) && slice_take_u64_le(&head, &is_commit) &&
                 is_generation == generation && is_commit == commit;
    if (!whole || !slice_take_u8(&head, &version) || !slice_take_u8(&head, &flags)) {
        return ERR_CLOSED;
    }
    if (version != RECORD_VERSION || (flags & ~RECORD_IS_ENCRYPTED) != 0) {
        return ERR_VERSION;
    }
    *ret = (struct record){
        .size = size,
        .is_encrypted = flags & RECORD_IS_ENCRYPTED,
        .sections = {record.data + RECORD_HEAD_SIZE, record.size - RECORD_HEAD_SIZE}};
    return ERR_OK;
}

enum err record_decrypt(struct crypt *crypt, struct record *record, uint8_t *data,
                        struct out *scratch)
{
    uint8_t memory[RECORD_BESIDE_SIZE];
    scratch->size = 0;
    scratch->overflow = false;
    enum err e = crypt_decrypt(crypt, record_beside(data, memory), record->sections, scratch, NULL);
    if (e) {
        return e;
    }
    data += RECORD_HEAD_SIZE + CRYPT_HEAD_SIZE;
    memcpy(data, scratch->data, scratch->size);
    record->sections = (struct slice){data, scratch->size};
    record->is_encrypted = false;
    return ERR_OK;
}
