#include "uplink/layout/letter.h"

#include <assert.h>

#include "uplink/avro/decode.h"

static void put_sized(struct out *o, struct slice bytes)
{
    out_put_uvarint(o, bytes.size);
    out_put_slice(o, bytes);
}

static void put_name(struct out *o, struct slice name)
{
    out_put_uvarint(o, sizeof LETTER_HEADER - 1 + name.size);
    out_put_text(o, LETTER_HEADER);
    out_put_slice(o, name);
}

/* Takes the field off the datum; its header goes to `memory`. */
static enum err take_header(const struct avro_field *field, struct slice *datum, struct out *memory,
                            uint32_t *count)
{
    uint8_t number[64];
    struct out plain = out_over(number, sizeof number);
    struct slice value;
    enum err e = ERR_OK;
    if (field->node->kind == AVRO_STRING) {
        e = avro_take_bytes(datum, &value) ? ERR_OK : ERR_CORRUPT;
    } else {
        e = avro_decode_plain(field->node, datum, &plain, NULL);
        value = out_slice(&plain);
    }
    bool is_null = !e && field->node->kind != AVRO_STRING && slice_equal(value, SLICE("null"));
    if (e || value.size == 0 || is_null) {
        return e ? ERR_REJECTED : ERR_OK;
    }
    put_name(memory, field->name);
    put_sized(memory, value);
    (*count)++;
    return memory->overflow ? ERR_FULL : ERR_OK;
}

static enum err take_fields(const struct avro_node *record, struct slice datum,
                            struct message *message, struct out *memory)
{
    enum err e = record->kind == AVRO_RECORD ? ERR_OK : ERR_REJECTED;
    for (uint32_t i = 0; !e && i < record->field_count; i++) {
        const struct avro_field *field = &record->fields[i];
        if (field->node->kind == AVRO_BYTES && slice_equal(field->name, SLICE(LETTER_BODY))) {
            e = avro_take_bytes(&datum, &message->body) ? ERR_OK : ERR_REJECTED;
        } else {
            e = take_header(field, &datum, memory, &message->header_count);
        }
    }
    return !e && (!message->body.data || datum.size > 0) ? ERR_REJECTED : e;
}

/* Cuts the body to what is left of `size_max`: ERR_REJECTED when that is nothing. Sizes of headers
 * may take a byte more each on the wire. */
static enum err cut_body(struct message *message, uint32_t size_max)
{
    size_t around = message->key.size + message->headers.size + (size_t)2 * message->header_count;
    if (around > size_max) {
        return ERR_REJECTED;
    }
    size_t left = size_max - around;
    message->body.size = message->body.size < left ? message->body.size : left;
    return ERR_OK;
}

enum err letter_add(struct message *ret, const struct avro_node *record,
                    const struct layout_row *row, uint32_t size_max, struct out *memory)
{
    assert(!memory->overflow);
    size_t before = memory->size;
    struct message message = {
        .key = row->key, .sequence = row->sequence, .time_us = row->time_us, .event_count = 1};
    enum err e = take_fields(record, row->datum, &message, memory);
    message.headers = (struct slice){memory->data + before, memory->size - before};
    e = e ? e : cut_body(&message, size_max);
    if (e) {
        memory->size = before;
        memory->overflow = false;
        return e;
    }
    *ret = message;
    return ERR_OK;
}
