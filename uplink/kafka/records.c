#include "uplink/kafka/records.h"

#include <assert.h>
#include <inttypes.h>

#include "ports/lib/crc32c.h"
#include "ports/lib/zstd.h"

#define CODEC_ZSTD 4
#define CODEC_MASK 7

/* Where the fields of the head lie. */
enum {
    AT_LENGTH = 8,
    AT_LEADER_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_LAST_OFFSET_DELTA = 23,
    AT_BASE_TIME = 27,
    AT_MAX_TIME = 35,
    AT_PRODUCER_ID = 43,
    AT_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_COUNT = 57,
};

static void put_be(uint8_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    }
}

static uint64_t get_be(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* --- building --- */

static size_t varint_size(int64_t value)
{
    return uvarint_size(zigzag(value));
}

static int64_t bytes_length(struct slice bytes)
{
    return bytes.data ? (int64_t)bytes.size : -1;
}

static void put_bytes(struct out *o, struct slice bytes)
{
    out_put_varint(o, bytes_length(bytes));
    out_put_slice(o, bytes);
}

static int64_t time_delta(const struct records_options *options, const struct message *messages,
                          size_t index)
{
    return options->event_time ? messages[index].time_us / 1000 - messages[0].time_us / 1000 : 0;
}

static struct slice header_value(const struct records_options *options,
                                 const struct message *message, struct out *scratch)
{
    scratch->size = 0;
    out_put_format(scratch, "%s/%s/%" PRIu64, options->identity, options->stream_name,
                   message->sequence);
    assert(!scratch->overflow);
    return out_slice(scratch);
}

void records_header_put(struct out *o, struct slice name, struct slice value)
{
    put_bytes(o, name);
    put_bytes(o, value);
}

/* The message's own headers in Kafka's form. With `o` NULL only their size. */
static size_t put_own_headers(const struct message *message, struct out *o)
{
    struct slice rest = message->headers;
    size_t size = 0;
    for (uint32_t i = 0; i < 2 * message->header_count; i++) {
        uint64_t length;
        struct slice text;
        bool is_there =
            slice_take_uvarint(&rest, &length) && slice_take(&rest, (size_t)length, &text);
        assert(is_there); /* made by the layout */
        size += is_there ? varint_size((int64_t)text.size) + text.size : 0;
        if (o && is_there) {
            put_bytes(o, text);
        }
    }
    return size;
}

static void put_record(const struct records_options *options, const struct message *messages,
                       size_t index, struct out *o)
{
    const struct message *message = &messages[index];
    char memory[RECORDS_OVERHEAD_MAX - 64];
    struct out scratch = out_over(memory, sizeof memory);
    struct slice id = {NULL, 0};
    int64_t delta = time_delta(options, messages, index);
    size_t size = 1 + varint_size(delta) + varint_size((int64_t)index);
    size += varint_size(bytes_length(message->key)) + message->key.size;
    size += varint_size(bytes_length(message->body)) + message->body.size;
    uint32_t header_count =
        options->header_count + message->header_count + (options->identity ? 1 : 0);
    size += varint_size(header_count) + options->headers.size + put_own_headers(message, NULL);
    if (options->identity) {
        id = header_value(options, message, &scratch);
        size += 1 + sizeof RECORDS_HEADER_NAME - 1 + varint_size((int64_t)id.size) + id.size;
    }
    out_put_varint(o, (int64_t)size);
    out_put_byte(o, 0); /* attributes: none are defined */
    out_put_varint(o, delta);
    out_put_varint(o, (int64_t)index);
    put_bytes(o, message->key);
    put_bytes(o, message->body);
    out_put_varint(o, header_count);
    if (options->identity) {
        records_header_put(o, SLICE(RECORDS_HEADER_NAME), id);
    }
    out_put_slice(o, options->headers);
    (void)put_own_headers(message, o);
}

static enum err put_compressed(const struct records_options *options,
                               const struct message *messages, size_t message_count,
                               struct out *ret)
{
    size_t size_max = 0;
    size_t overhead =
        options->headers.size + (options->identity ? RECORDS_OVERHEAD_MAX : RECORDS_OVERHEAD_PLAIN);
    for (size_t i = 0; i < message_count; i++) {
        size_max += messages[i].key.size + messages[i].body.size + overhead +
                    2 * messages[i].headers.size; /* zigzag may take a byte more for each length */
    }
    uint8_t *memory = malloc(size_max);
    if (!memory) {
        return ERR_NOMEM;
    }
    struct out plain = out_over(memory, size_max);
    for (size_t i = 0; i < message_count; i++) {
        put_record(options, messages, i, &plain);
    }
    assert(!plain.overflow);
    struct zstd_encoder *encoder = NULL;
    bool is_small = options->small_level != 0 && plain.size <= RECORDS_SMALL_SIZE;
    enum err e =
        zstd_encoder_open(&encoder, is_small ? options->small_level : options->compression_level);
    if (!e) {
        e = zstd_encode(encoder, out_slice(&plain), ret);
        zstd_encoder_close(encoder);
    }
    free(memory);
    return e;
}

enum err records_build(const struct records_options *options, const struct message *messages,
                       size_t message_count, struct out *ret)
{
    assert(message_count > 0 && message_count <= INT32_MAX);
    assert(!ret->overflow);
    size_t start = ret->size;
    if (ret->size_max - start < RECORDS_HEAD_SIZE) {
        ret->overflow = true;
        return ERR_FULL;
    }
    uint8_t *head = ret->data + start;
    memset(head, 0, RECORDS_HEAD_SIZE);
    ret->size += RECORDS_HEAD_SIZE;
    if (options->compression_level != 0) {
        enum err e = put_compressed(options, messages, message_count, ret);
        if (e) {
            return e;
        }
    } else {
        for (size_t i = 0; i < message_count; i++) {
            put_record(options, messages, i, ret);
        }
    }
    if (ret->overflow) {
        return ERR_FULL;
    }
    int64_t max_delta = 0;
    for (size_t i = 1; i < message_count; i++) {
        int64_t delta = time_delta(options, messages, i);
        max_delta = delta > max_delta ? delta : max_delta;
    }
    int64_t base_ms = options->event_time ? messages[0].time_us / 1000 : 0;
    put_be(head + AT_LENGTH, ret->size - start - AT_LEADER_EPOCH, 4);
    put_be(head + AT_LEADER_EPOCH, UINT64_MAX, 4);
    head[AT_MAGIC] = 2;
    put_be(head + AT_ATTRIBUTES, options->compression_level != 0 ? CODEC_ZSTD : 0, 2);
    put_be(head + AT_LAST_OFFSET_DELTA, message_count - 1, 4);
    put_be(head + AT_BASE_TIME, (uint64_t)base_ms, 8);
    put_be(head + AT_MAX_TIME, (uint64_t)(base_ms + max_delta), 8);
    put_be(head + AT_COUNT, message_count, 4);
    return ERR_OK;
}

void records_patch(uint8_t *batch, size_t size, const struct records_numbers *numbers)
{
    assert(size > RECORDS_HEAD_SIZE && batch[AT_MAGIC] == 2);
    bool none = numbers->producer_id == -1;
    assert(numbers->producer_id >= 0 || none);
    assert(none ? numbers->epoch == -1 : numbers->epoch >= 0);
    assert(none ? numbers->base_sequence == -1 : numbers->base_sequence >= 0);
    if (!numbers->event_time) {
        put_be(batch + AT_BASE_TIME, (uint64_t)numbers->sent_ms, 8);
        put_be(batch + AT_MAX_TIME, (uint64_t)numbers->sent_ms, 8);
    }
    put_be(batch + AT_PRODUCER_ID, (uint64_t)numbers->producer_id, 8);
    put_be(batch + AT_EPOCH, (uint64_t)numbers->epoch, 2);
    put_be(batch + AT_BASE_SEQUENCE, (uint64_t)numbers->base_sequence, 4);
    put_be(batch + AT_CRC, crc32c(0, (struct slice){batch + AT_ATTRIBUTES, size - AT_ATTRIBUTES}),
           4);
}

int64_t records_max_time_ms(struct slice batch)
{
    assert(batch.size > RECORDS_HEAD_SIZE);
    return (int64_t)get_be(batch.data + AT_MAX_TIME, 8);
}

/* --- reading --- */

enum err records_head_parse(struct slice batch, struct records_head *ret)
{
    if (batch.size <= RECORDS_HEAD_SIZE || batch.data[AT_MAGIC] != 2 ||
        get_be(batch.data + AT_LENGTH, 4) != batch.size - AT_LEADER_EPOCH) {
        return ERR_CORRUPT;
    }
    const uint8_t *d = batch.data;
    if (get_be(d + AT_CRC, 4) !=
        crc32c(0, (struct slice){d + AT_ATTRIBUTES, batch.size - AT_ATTRIBUTES})) {
        return ERR_CORRUPT;
    }
    struct records_head head = {
        .base_offset = (int64_t)get_be(d, 8),
        .attributes = (uint16_t)get_be(d + AT_ATTRIBUTES, 2),
        .base_time_ms = (int64_t)get_be(d + AT_BASE_TIME, 8),
        .max_time_ms = (int64_t)get_be(d + AT_MAX_TIME, 8),
        .producer_id = (int64_t)get_be(d + AT_PRODUCER_ID, 8),
        .epoch = (int16_t)get_be(d + AT_EPOCH, 2),
        .base_sequence = (int32_t)get_be(d + AT_BASE_SEQUENCE, 4),
        .record_count = (uint32_t)get_be(d + AT_COUNT, 4),
        .records = {d + RECORDS_HEAD_SIZE, batch.size - RECORDS_HEAD_SIZE},
    };
    if (head.record_count == 0 || head.record_count > INT32_MAX ||
        get_be(d + AT_LAST_OFFSET_DELTA, 4) != head.record_count - 1) {
        return ERR_CORRUPT;
    }
    *ret = head;
    return ERR_OK;
}

static bool take_bytes(struct slice *rest, struct slice *ret)
{
    int64_t length;
    if (!slice_take_varint(rest, &length) || length < -1) {
        return false;
    }
    if (length == -1) {
        *ret = (struct slice){NULL, 0};
        return true;
    }
    return slice_take(rest, (size_t)length, ret);
}

enum err records_next(struct slice *rest, struct record *ret)
{
    if (rest->size == 0) {
        return ERR_CLOSED;
    }
    struct slice left = *rest;
    struct slice body;
    struct record record = {0};
    int64_t length;
    uint8_t attributes;
    int64_t header_count;
    if (!slice_take_varint(&left, &length) || length < 0 ||
        !slice_take(&left, (size_t)length, &body) || !slice_take_u8(&body, &attributes) ||
        !slice_take_varint(&body, &record.time_delta_ms) ||
        !slice_take_varint(&body, &record.offset_delta) || !take_bytes(&body, &record.key) ||
        !take_bytes(&body, &record.body) || !slice_take_varint(&body, &header_count) ||
        header_count < 0 || (uint64_t)header_count > body.size) {
        return ERR_CORRUPT;
    }
    record.header_count = (uint32_t)header_count;
    for (int64_t i = 0; i < header_count; i++) {
        struct slice name, value;
        if (!take_bytes(&body, &name) || !name.data || !take_bytes(&body, &value)) {
            return ERR_CORRUPT;
        }
        if (i == 0) {
            record.header_name = name;
            record.header_value = value;
        }
        record.is_backfill = record.is_backfill || slice_equal_text(name, RECORDS_LANE_NAME);
    }
    if (body.size != 0) {
        return ERR_CORRUPT;
    }
    *rest = left;
    *ret = record;
    return ERR_OK;
}

int32_t records_sequence_add(int32_t sequence, uint32_t count)
{
    assert(sequence >= 0);
    return (int32_t)(((int64_t)sequence + count) % RECORDS_SEQUENCE_COUNT);
}
