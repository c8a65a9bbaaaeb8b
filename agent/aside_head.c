/* u8 version, u8 flags, u8 trust, varint time, uvarint boot, u8 kind of the body; driver and subject,
 * each behind its uvarint size; uvarint count of fields. A field: its name behind its uvarint size, u8 kind,
 * and a u8, a varint, 8 bytes or a sized text. */
#include "agent/aside_head.h"

#include <assert.h>

#define VERSION 1
#define TEXT_SIZE_MAX EVENT_SUBJECT_SIZE_MAX

enum { IS_COMPLETE = 1, IS_UNUSABLE = 2, FIELDS_ARE_LOST = 4, FLAGS = 7 };

static_assert(sizeof(uint64_t) == sizeof(double), "the bits of a double");
static_assert(2 * (TEXT_SIZE_MAX + 2) + 64 < ASIDE_HEAD_SIZE_MAX, "a head without fields fits");

/* --- putting --- */

static void put_text(struct out *o, struct slice text, size_t size_max)
{
    text.size = text.size < size_max ? text.size : size_max;
    out_put_uvarint(o, text.size);
    out_put_slice(o, text);
}

static void put_value(struct out *o, const struct value *v)
{
    uint64_t bits = 0;
    out_put_byte(o, (uint8_t)v->kind);
    switch (v->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOL:
        out_put_byte(o, v->as.boolean);
        break;
    case VALUE_INT:
        out_put_varint(o, v->as.integer);
        break;
    case VALUE_DOUBLE:
        memcpy(&bits, &v->as.real, sizeof bits);
        out_put_u64_le(o, bits);
        break;
    case VALUE_NUMBER:
    case VALUE_TEXT:
    case VALUE_BYTES:
        put_text(o, v->as.text, SIZE_MAX);
        break;
    }
}

/* Without fields when they don't fit. False: they don't. */
static bool put_head(const struct aside_head *h, bool with_fields, struct out *o)
{
    size_t count = with_fields ? h->field_count : 0;
    bool lost = h->fields_are_lost || count < h->field_count;
    o->size = 0;
    o->overflow = false;
    out_put_byte(o, VERSION);
    out_put_byte(o, (uint8_t)((h->is_complete ? IS_COMPLETE : 0) |
                              (h->is_unusable ? IS_UNUSABLE : 0) | (lost ? FIELDS_ARE_LOST : 0)));
    out_put_byte(o, h->trust);
    out_put_varint(o, h->time_us);
    out_put_uvarint(o, h->boot);
    out_put_byte(o, h->body_kind);
    put_text(o, h->driver, TEXT_SIZE_MAX);
    put_text(o, h->subject, TEXT_SIZE_MAX);
    out_put_uvarint(o, count);
    for (size_t i = 0; i < count; i++) {
        put_text(o, h->fields[i].name, SIZE_MAX);
        put_value(o, &h->fields[i].value);
    }
    return !o->overflow && o->size <= ASIDE_HEAD_SIZE_MAX;
}

void aside_head_put(const struct aside_head *head, struct out *ret)
{
    assert(ret->size == 0);
    if (head->field_count > EVENT_FIELD_MAX || !put_head(head, true, ret)) {
        bool fits = put_head(head, false, ret);
        assert(fits);
    }
}

/* --- taking --- */

static bool take_text(struct slice *rest, size_t size_max, struct slice *ret)
{
    uint64_t size;
    return slice_take_uvarint(rest, &size) && size <= rest->size && size <= size_max &&
           slice_take(rest, (size_t)size, ret);
}

static bool take_value(struct slice *rest, struct value *ret)
{
    uint8_t kind;
    uint8_t boolean;
    uint64_t bits;
    if (!slice_take_u8(rest, &kind) || kind > VALUE_BYTES) {
        return false;
    }
    ret->kind = (enum value_kind)kind;
    switch (ret->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        if (!slice_take_u8(rest, &boolean) || boolean > 1) {
            return false;
        }
        ret->as.boolean = boolean;
        return true;
    case VALUE_INT:
        return slice_take_varint(rest, &ret->as.integer);
    case VALUE_DOUBLE:
        if (!slice_take_u64_le(rest, &bits)) {
            return false;
        }
        memcpy(&ret->as.real, &bits, sizeof bits);
        return true;
    case VALUE_NUMBER:
    case VALUE_TEXT:
    case VALUE_BYTES:
        return take_text(rest, SIZE_MAX, &ret->as.text);
    }
    return false;
}

static bool take_fields(struct slice *rest, struct aside_head *h, struct field *fields)
{
    uint64_t count;
    if (!slice_take_uvarint(rest, &count) || count > EVENT_FIELD_MAX) {
        return false;
    }
    h->fields = fields;
    h->field_count = (size_t)count;
    for (size_t i = 0; i < h->field_count; i++) {
        if (!take_text(rest, SIZE_MAX, &fields[i].name) || !take_value(rest, &fields[i].value)) {
            return false;
        }
    }
    return rest->size == 0;
}

bool aside_head_take(struct slice bytes, struct aside_head *ret,
                     struct field fields[EVENT_FIELD_MAX])
{
    struct aside_head h = {.trust = 0};
    uint8_t version;
    uint8_t flags;
    uint64_t boot;
    if (bytes.size > ASIDE_HEAD_SIZE_MAX || !slice_take_u8(&bytes, &version) ||
        version != VERSION || !slice_take_u8(&bytes, &flags) || flags > FLAGS ||
        !slice_take_u8(&bytes, &h.trust) || h.trust < TIME_PAYLOAD || h.trust > TIME_ESTIMATE ||
        !slice_take_varint(&bytes, &h.time_us) || !slice_take_uvarint(&bytes, &boot) ||
        boot > UINT32_MAX || !slice_take_u8(&bytes, &h.body_kind) || h.body_kind > BODY_NONE ||
        !take_text(&bytes, TEXT_SIZE_MAX, &h.driver) ||
        !take_text(&bytes, TEXT_SIZE_MAX, &h.subject) || !take_fields(&bytes, &h, fields)) {
        return false;
    }
    h.boot = (uint32_t)boot;
    h.is_complete = flags & IS_COMPLETE;
    h.is_unusable = flags & IS_UNUSABLE;
    h.fields_are_lost = flags & FIELDS_ARE_LOST;
    *ret = h;
    return true;
}
