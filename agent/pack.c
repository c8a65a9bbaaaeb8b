#include "agent/pack.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fill.h"
#include "ports/fault.h"
#include "ports/lib/deflate.h"
#include "uplink/avro/decode.h"
#include "uplink/layout/columns.h"
#include "uplink/layout/layout.h"

#define NO_PART UINT8_MAX
#define ZLIB_LEVEL 6 /* of single datums */

static_assert(PACK_EVENT_MAX <= ROWS_EVENT_MAX, "the buffer gives that many rows");
static_assert(PACK_AGAIN_SIZE_MAX / PACK_EVENT_MAX >= 8192, "key, datum and 4.5 KB around it");
static_assert(PARCEL_PART_MAX < NO_PART, "a part's index fits a byte");

struct pack {
    struct rows rows;
    struct slice *datums; /* of the rows, complete */
    struct slice *keys;
    uint8_t *part_of;         /* index of the part of each row; NO_PART: of none that is wanted */
    struct message *messages; /* of the part at hand */
    struct out complete;      /* datums with their fields filled in, keys as text */
    struct out laid_out;      /* messages of the part at hand */
    struct out wire;
    struct columns_work *columns; /* taken with the first columns */
    struct deflate_encoder *zlib; /* taken with the first target that has it */
    size_t count;                 /* rows that are used: the cut may leave some out */
};

enum err pack_open(struct pack **ret)
{
    struct pack *pack = calloc(1, sizeof *pack);
    if (!pack) {
        return ERR_NOMEM;
    }
    size_t raw = PACK_RAW_SIZE_MAX + EVENT_SIZE_LIMIT;
    size_t filled = raw + (size_t)PACK_EVENT_MAX * 64;
    pack->rows.events = malloc(PACK_EVENT_MAX * sizeof *pack->rows.events);
    pack->rows.event_max = PACK_EVENT_MAX;
    pack->rows.arena = out_over(malloc(raw), raw);
    pack->datums = malloc(PACK_EVENT_MAX * sizeof *pack->datums);
    pack->keys = malloc(PACK_EVENT_MAX * sizeof *pack->keys);
    pack->part_of = malloc(PACK_EVENT_MAX);
    pack->messages = malloc(PACK_EVENT_MAX * sizeof *pack->messages);
    pack->complete = out_over(malloc(filled), filled);
    pack->laid_out = out_over(malloc(filled), filled);
    pack->wire = out_over(malloc(PACK_WIRE_SIZE_MAX), PACK_WIRE_SIZE_MAX);
    if (!pack->rows.events || !pack->rows.arena.data || !pack->datums || !pack->keys ||
        !pack->part_of || !pack->messages || !pack->complete.data || !pack->laid_out.data ||
        !pack->wire.data) {
        pack_close(pack);
        return ERR_NOMEM;
    }
    *ret = pack;
    return ERR_OK;
}

void pack_close(struct pack *pack)
{
    if (!pack) {
        return;
    }
    free(pack->rows.events);
    free(pack->rows.arena.data);
    free(pack->datums);
    free(pack->keys);
    free(pack->part_of);
    free(pack->messages);
    free(pack->complete.data);
    free(pack->laid_out.data);
    free(pack->wire.data);
    columns_work_close(pack->columns);
    deflate_encoder_close(pack->zlib);
    free(pack);
}

const struct rows *pack_rows(const struct pack *pack)
{
    return &pack->rows;
}

uint32_t pack_schema(const struct pack *pack)
{
    return pack->rows.event_count ? pack->rows.events[0].schema : 0;
}

void pack_read(struct pack *pack, struct buffer *buffer, struct pack_task *task)
{
    struct rows *rows = &pack->rows;
    rows->event_max = task->event_max ? task->event_max : PACK_EVENT_MAX;
    assert(rows->event_max <= PACK_EVENT_MAX);
    rows->event_count = 0;
    rows->arena.size = 0;
    rows->arena.overflow = false;
    rows->covered = (struct range){1, 0};
    rows->schema_changed = false;
    task->e = buffer_read(buffer, task->stream->info.number, task->range, task->raw_size_max, rows,
                          &task->why);
    task->covered = rows->covered;
    if (!task->e && !task->cut && rows->covered.last < task->range.last) {
        /* What is not read would count as gone. */
        task->e = ERR_FULL;
        why_set(&task->why, "events in doubt are more than can be read together");
    }
    if (task->e) {
        task->outcome = PACK_FAILED;
        return;
    }
    for (size_t i = 0; i < rows->event_count; i++) {
        buffer_time(buffer, &rows->events[i]); /* what is not known yet is found by filling */
    }
    task->outcome = rows->event_count ? PACK_BUILT : PACK_EMPTY;
    task->more = rows->event_count && rows->covered.last < task->range.last;
}

void pack_lend(struct pack *pack, const struct stored_event *events, size_t count,
               struct pack_task *task)
{
    assert(count >= 1 && count <= PACK_EVENT_MAX);
    memcpy(pack->rows.events, events, count * sizeof *events);
    pack->rows.event_count = count;
    pack->rows.covered = (struct range){events[0].sequence, events[count - 1].sequence};
    task->covered = pack->rows.covered;
    task->outcome = PACK_BUILT;
    task->more = false;
}

static struct slice row_key(const struct pack_task *task, struct slice datum, struct out *scratch)
{
    return task->parcel->key == PARCEL_KEY_AGENT ? slice_of_text(task->agent_key)
                                                 : key_of(&task->key, datum, scratch);
}

/* Datums and keys of all rows; stops before the first whose time is not known yet, or when memory
 * is used up. */
static void rows_complete(struct pack *pack, const struct pack_task *task)
{
    pack->complete.size = 0;
    pack->complete.overflow = false;
    for (pack->count = 0; pack->count < pack->rows.event_count; pack->count++) {
        size_t i = pack->count;
        const struct stored_event *row = &pack->rows.events[i];
        if (fill_needs_clock(row) || !fill_complete(row, task->identity, task->stream->info.name,
                                                    &pack->complete, &pack->datums[i])) {
            return;
        }
        pack->keys[i] = row_key(task, pack->datums[i], &pack->complete);
        if (pack->complete.overflow) {
            return;
        }
    }
}

void pack_prepare(struct pack *pack, const struct pack_task *task)
{
    rows_complete(pack, task);
}

/* By the agent's key all rows are in one partition, whatever its name is by now. */
static uint32_t row_partition(const struct pack *pack, const struct pack_task *task, size_t index)
{
    uint64_t sequence = pack->rows.events[index].sequence;
    return task->parcel->key == PARCEL_KEY_AGENT && !task->cut
               ? task->parcel->parts[0].partition
               : task->uplink->class_->place(&task->target, pack->keys[index], sequence);
}

bool pack_row_is_in(const struct pack *pack, const struct pack_task *task, size_t index,
                    uint32_t partition)
{
    assert(index < pack->count);
    return row_partition(pack, task, index) == partition;
}

/* The part of the cut that takes this partition; a new one while there is room. */
static uint8_t part_for(struct parcel *parcel, uint32_t partition)
{
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        if (parcel->parts[i].partition == partition) {
            return (uint8_t)i;
        }
    }
    if (parcel->part_count == PARCEL_PARTITION_MAX) {
        return NO_PART;
    }
    parcel->parts[parcel->part_count] = (struct part){
        .partition = partition, .producer_id = -1, .base_sequence = -1, .sent_ms = -1};
    return (uint8_t)parcel->part_count++;
}

/* A new parcel over the rows that are used: gives each its part. May use fewer rows. */
static void cut_parts(struct pack *pack, struct pack_task *task)
{
    struct parcel *parcel = task->parcel;
    parcel->part_count = 0;
    for (size_t i = 0; i < pack->count; i++) {
        uint32_t partition = row_partition(pack, task, i);
        assert(partition < task->target.partition_count);
        pack->part_of[i] = part_for(parcel, partition);
        if (pack->part_of[i] == NO_PART) {
            pack->count = i;
        }
    }
    bool all = pack->count == pack->rows.event_count;
    parcel->range.first = task->range.first;
    parcel->range.last =
        all ? pack->rows.covered.last : pack->rows.events[pack->count].sequence - 1;
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        parcel->parts[i].first = parcel->range.first;
        parcel->parts[i].last = parcel->range.last;
    }
}

/* The rows of the wanted parts of a parcel that exists already. False: one belongs to none of its parts,
 * done ones included: they were placed otherwise when it was cut. */
static bool find_parts(struct pack *pack, const struct pack_task *task)
{
    const struct parcel *parcel = task->parcel;
    for (size_t i = 0; i < pack->count; i++) {
        uint64_t sequence = pack->rows.events[i].sequence;
        uint32_t partition = row_partition(pack, task, i);
        bool is_in = false;
        pack->part_of[i] = NO_PART;
        for (uint32_t p = 0; p < parcel->part_count; p++) {
            const struct part *part = &parcel->parts[p];
            if (part->partition == partition && part->first <= sequence && sequence <= part->last) {
                is_in = true;
                pack->part_of[i] = task->wanted[p] ? (uint8_t)p : NO_PART;
            }
        }
        if (!is_in) {
            return false;
        }
    }
    return true;
}

/* Only with a key of its own: by the agent's a topic would forget all that it sent. */
static bool row_is_tombstone(const struct pack *pack, const struct pack_task *task, size_t index)
{
    return task->parcel->key >= PARCEL_KEY_FIELD && pack->keys[index].data &&
           key_flag(&task->tombstone, pack->datums[index]);
}

/* The key of a message: with columns its rows may have several, of which it has none. */
static struct slice message_key(const struct pack *pack, const struct pack_task *task, size_t index)
{
    bool has_many = task->parcel->layout == LAYOUT_COLUMNS && task->parcel->key != PARCEL_KEY_AGENT;
    return has_many ? (struct slice){NULL, 0} : pack->keys[index];
}

static enum err begin_layout(struct pack *pack, const struct pack_task *task, uint32_t index,
                             struct layout_builder **ret)
{
    bool is_columns = task->parcel->layout == LAYOUT_COLUMNS;
    bool key_says_agent = task->parcel->key == PARCEL_KEY_AGENT;
    const struct target *target = &task->target;
    if (is_columns && !pack->columns && columns_work_open(&pack->columns, COLUMNS_WORK_SIZE)) {
        return ERR_NOMEM;
    }
    bool has_zlib = target->has_zlib && task->parcel->layout == LAYOUT_ROWS;
    if (has_zlib && !pack->zlib && deflate_encoder_open(&pack->zlib, ZLIB_LEVEL)) {
        return ERR_NOMEM;
    }
    struct layout_setup setup = {
        .layout = task->parcel->layout,
        .schema = task->schema,
        .record = task->record,
        .prefix = {target->prefix, target->prefix_size},
        .record_size_max = task->cut ? target->record_size_max : UINT32_MAX,
        .events_per_record = task->parcel->parts[index].events_per_record,
        .zlib = has_zlib ? pack->zlib : NULL,
        .plan = task->plan,
        .work = pack->columns,
        .row_schema_id = {target->row_schema_id, target->row_schema_id_size},
        .agent = key_says_agent ? (struct slice){NULL, 0} : slice_of_text(task->identity),
        .events_per_record_max = target->events_per_record_max,
        .is_plain = target->is_plain,
        .dictionary = task->uplink->dictionary,
    };
    pack->laid_out.size = 0;
    pack->laid_out.overflow = false;
    return layout_begin(ret, &setup, &pack->laid_out, pack->messages, PACK_EVENT_MAX);
}

/* Lays out the rows of one part. On ERR_REJECTED *ret_bad is the row that can't be sent. */
static enum err lay_out(struct pack *pack, struct pack_task *task, uint32_t index,
                        struct batch *batch, size_t *ret_bad)
{
    struct packed_part *packed = &task->parts[index];
    struct layout_builder *builder = NULL;
    enum err e = begin_layout(pack, task, index, &builder);
    *packed = (struct packed_part){0};
    for (size_t i = 0; !e && i < pack->count; i++) {
        if (pack->part_of[i] != index) {
            continue;
        }
        const struct stored_event *row = &pack->rows.events[i];
        struct layout_row lr = {.key = message_key(pack, task, i),
                                .datum = pack->datums[i],
                                .sequence = row->sequence,
                                .time_us = row->trust == TIME_BOOT ? 0 : row->time_us,
                                .is_tombstone = row_is_tombstone(pack, task, i)};
        *ret_bad = i;
        e = layout_add(builder, &lr);
        batch->first = packed->event_count++ ? batch->first : row->sequence;
        batch->last = row->sequence;
        packed->raw_size += row->datum.size;
    }
    if (!e) {
        size_t count = 0;
        e = layout_finish(builder, &count, &packed->events_per_record);
        packed->record_count = (uint32_t)count;
    }
    layout_close(builder);
    return e;
}

static void wire_release(const struct pack *pack, struct out *wire)
{
    if (wire->data != pack->wire.data) {
        free(wire->data);
    }
}

/* Wraps into the workspace; what was cut before, and has grown since, into ever larger memory, which
 * the caller then frees. */
static enum err wrap_part(struct pack *pack, const struct pack_task *task,
                          const struct batch *batch, struct out *ret)
{
    const struct forward_uplink *uplink = task->uplink;
    *ret = out_over(pack->wire.data, PACK_WIRE_SIZE_MAX);
    for (;;) {
        enum err e = uplink->class_->wrap(uplink->options, batch, ret);
        e = !e && ret->overflow ? ERR_FULL : e;
        if (e != ERR_FULL || task->cut || ret->size_max >= PACK_AGAIN_SIZE_MAX) {
            return e;
        }
        size_t size_max = ret->size_max * 2;
        wire_release(pack, ret);
        *ret = out_over(malloc(size_max), size_max);
        if (!ret->data) {
            return ERR_NOMEM;
        }
    }
}

/* Lays out and wraps one part; its wire bytes go into memory of their own. */
static enum err build_part(struct pack *pack, struct pack_task *task, uint32_t index,
                           size_t *ret_bad)
{
    struct packed_part *packed = &task->parts[index];
    struct batch batch = {.parcel = task->parcel,
                          .part = &task->parcel->parts[index],
                          .stream = &task->stream->info,
                          .schema = task->schema,
                          .target = task->target,
                          .messages = pack->messages,
                          .identity = task->identity};
    if (!task->cut) {
        /* What was cut stands: when less fits by now, the destination says so and it is halved. */
        batch.target.request_size_max = UINT32_MAX;
    }
    enum err e = lay_out(pack, task, index, &batch, ret_bad);
    if (e || packed->event_count == 0) {
        return e;
    }
    batch.message_count = packed->record_count;
    batch.event_count = packed->event_count;
    struct out wire;
    e = wrap_part(pack, task, &batch, &wire);
    packed->wire = e ? NULL : malloc(wire.size ? wire.size : 1);
    if (packed->wire) {
        memcpy(packed->wire, wire.data, wire.size);
        packed->wire_size = wire.size;
    }
    wire_release(pack, &wire);
    return e ? e : packed->wire ? ERR_OK : ERR_NOMEM;
}

void pack_drop_built(struct pack_task *task)
{
    for (uint32_t i = 0; i < PARCEL_PART_MAX; i++) {
        free(task->parts[i].wire);
        task->parts[i] = (struct packed_part){0};
    }
}

static enum err build_all(struct pack *pack, struct pack_task *task, size_t *ret_bad)
{
    for (uint32_t i = 0; i < task->parcel->part_count; i++) {
        if (!task->cut && !task->wanted[i]) {
            continue;
        }
        enum err e = build_part(pack, task, i, ret_bad);
        if (e) {
            pack_drop_built(task);
            return e;
        }
    }
    return ERR_OK;
}

static void say_bad(struct pack *pack, struct pack_task *task, size_t bad, const char *why)
{
    task->outcome = PACK_EVENT_BAD;
    task->bad_sequence = pack->rows.events[bad].sequence;
    (void)snprintf(task->bad_reason, sizeof task->bad_reason, "%s", why); /* cut is fine */
}

/* Why no message can hold this event alone. As a row any datum can be sent. */
static const char *bad_reason(const struct pack *pack, const struct pack_task *task, size_t bad)
{
    struct slice datum = pack->datums[bad];
    bool is_read = task->parcel->layout == LAYOUT_ROWS || !task->record ||
                   (!avro_skip(task->record, &datum) && datum.size == 0);
    return is_read ? "the event is larger than the destination takes"
                   : "the event can't be read by its schema, or nests deeper than 128";
}

/* Cuts and builds with ever fewer rows until all parts fit. A single event that does not fit can't
 * be sent. */
static void build_cut(struct pack *pack, struct pack_task *task)
{
    rows_complete(pack, task);
    if (pack->count == 0) {
        if (fill_needs_clock(&pack->rows.events[0])) {
            task->outcome = PACK_NO_CLOCK;
        } else {
            say_bad(pack, task, 0, "the event is larger than the agent can pack");
        }
        return;
    }
    for (;;) {
        size_t bad = 0;
        cut_parts(pack, task);
        task->e = build_all(pack, task, &bad);
        if (task->e == ERR_REJECTED && bad > 0) {
            pack->count = bad;
        } else if (task->e == ERR_FULL && pack->count > 1) {
            pack->count = (pack->count + 1) / 2;
        } else if (task->e == ERR_REJECTED || task->e == ERR_FULL) {
            say_bad(pack, task, 0, bad_reason(pack, task, 0));
            return;
        } else {
            task->outcome = task->e ? PACK_FAILED : PACK_BUILT;
            task->covered = task->parcel->range;
            task->more = task->more || task->parcel->range.last < task->range.last;
            return;
        }
    }
}

void pack_build(struct pack *pack, struct pack_task *task)
{
    assert(pack->rows.event_count > 0 && task->schema);
    for (uint32_t i = 0; i < PARCEL_PART_MAX; i++) {
        task->parts[i] = (struct packed_part){0};
    }
    if (task->cut) {
        build_cut(pack, task);
        return;
    }
    size_t bad = 0;
    rows_complete(pack, task);
    if (!find_parts(pack, task) &&
        !fault_planted("partitions-ignored")) { /* what is in no part would count as gone */
        task->outcome = PACK_MISPLACED;
        return;
    }
    task->e = pack->count == pack->rows.event_count ? build_all(pack, task, &bad) : ERR_FULL;
    task->outcome = task->e ? PACK_FAILED : PACK_BUILT;
    if (task->e && !task->why.text[0]) {
        why_set(&task->why, "packing a parcel of stream %s again: %s", task->stream->info.name,
                err_name(task->e));
    }
}

static bool row_is_of(const struct pack *pack, const struct pack_task *task, size_t index,
                      const struct part *part)
{
    uint64_t sequence = pack->rows.events[index].sequence;
    return part->first <= sequence && sequence <= part->last &&
           pack_row_is_in(pack, task, index, part->partition);
}

uint64_t pack_middle(const struct pack *pack, const struct pack_task *task, const struct part *part)
{
    size_t count = 0;
    for (size_t i = 0; i < pack->count; i++) {
        count += row_is_of(pack, task, i, part);
    }
    if (count < 2) {
        return 0;
    }
    size_t left = (count + 1) / 2;
    for (size_t i = 0; i < pack->count; i++) {
        left -= row_is_of(pack, task, i, part);
        if (left == 0) {
            return pack->rows.events[i].sequence;
        }
    }
    return 0;
}
