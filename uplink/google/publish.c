#include "uplink/google/publish.h"

#include <assert.h>

#include "ports/lib/hash.h"

/* Tags: number of the field and wire type 2, size and bytes. */
enum {
    TAG_REQUEST_TOPIC = 0x0a,
    TAG_REQUEST_MESSAGE = 0x12,
    TAG_DATA = 0x0a,
    TAG_ATTRIBUTE = 0x12,
    TAG_ORDERING_KEY = 0x2a,
    TAG_MAP_KEY = 0x0a,
    TAG_MAP_VALUE = 0x12,
};

/* --- written --- */

static size_t field_size(size_t size)
{
    return 1 + uvarint_size(size) + size;
}

static void put_head(struct out *o, uint8_t tag, size_t size)
{
    out_put_byte(o, tag);
    out_put_uvarint(o, size);
}

static void put_field(struct out *o, uint8_t tag, struct slice value)
{
    put_head(o, tag, value.size);
    out_put_slice(o, value);
}

static size_t attribute_size(const struct publish_attribute *attribute)
{
    return field_size(attribute->key.size) + field_size(attribute->value.size);
}

/* Without its own tag and size. */
static size_t body_size(const struct publish_message *message)
{
    size_t size = field_size(message->data.size);
    for (size_t i = 0; i < message->attribute_count; i++) {
        size += field_size(attribute_size(&message->attributes[i]));
    }
    return size + (message->ordering_key.size ? field_size(message->ordering_key.size) : 0);
}

void publish_put_topic(struct out *o, struct slice topic)
{
    put_field(o, TAG_REQUEST_TOPIC, topic);
}

size_t publish_message_size(const struct publish_message *message)
{
    return field_size(body_size(message));
}

void publish_put_message(struct out *o, const struct publish_message *message)
{
    assert(message->attribute_count <= PUBLISH_ATTRIBUTE_MAX);
    assert(message->ordering_key.size <= PUBLISH_ORDERING_KEY_MAX);
    put_head(o, TAG_REQUEST_MESSAGE, body_size(message));
    put_field(o, TAG_DATA, message->data);
    for (size_t i = 0; i < message->attribute_count; i++) {
        const struct publish_attribute *attribute = &message->attributes[i];
        assert(attribute->key.size <= PUBLISH_ATTRIBUTE_KEY_MAX &&
               attribute->value.size <= PUBLISH_ATTRIBUTE_VALUE_MAX);
        put_head(o, TAG_ATTRIBUTE, attribute_size(attribute));
        put_field(o, TAG_MAP_KEY, attribute->key);
        put_field(o, TAG_MAP_VALUE, attribute->value);
    }
    if (message->ordering_key.size) {
        put_field(o, TAG_ORDERING_KEY, message->ordering_key);
    }
}

/* --- taken apart --- */

static bool take_field(struct slice *s, uint8_t *ret_tag, struct slice *ret)
{
    uint64_t size;
    return slice_take_u8(s, ret_tag) && slice_take_uvarint(s, &size) && size <= s->size &&
           slice_take(s, (size_t)size, ret);
}

enum err publish_take_topic(struct slice *request, struct slice *ret_topic)
{
    struct slice rest = *request;
    uint8_t tag;
    if (!take_field(&rest, &tag, ret_topic) || tag != TAG_REQUEST_TOPIC) {
        return ERR_CORRUPT;
    }
    *request = rest;
    return ERR_OK;
}

static bool take_attribute(struct slice s, struct publish_attribute *ret)
{
    uint8_t key, value;
    return take_field(&s, &key, &ret->key) && key == TAG_MAP_KEY &&
           take_field(&s, &value, &ret->value) && value == TAG_MAP_VALUE && s.size == 0;
}

static bool take_body(struct slice body, struct publish_message *ret)
{
    while (body.size) {
        struct slice value;
        uint8_t tag;
        if (!take_field(&body, &tag, &value)) {
            return false;
        }
        if (tag == TAG_DATA) {
            ret->data = value;
        } else if (tag == TAG_ORDERING_KEY) {
            ret->ordering_key = value;
        } else if (tag != TAG_ATTRIBUTE || ret->attribute_count == PUBLISH_ATTRIBUTE_MAX ||
                   !take_attribute(value, &ret->attributes[ret->attribute_count++])) {
            return false;
        }
    }
    return true;
}

enum err publish_take_message(struct slice *messages, struct slice *ret_whole,
                              struct publish_message *ret)
{
    struct slice rest = *messages;
    struct slice body;
    struct publish_message message = {.attribute_count = 0};
    uint8_t tag;
    if (rest.size == 0) {
        return ERR_CLOSED;
    }
    if (!take_field(&rest, &tag, &body) || tag != TAG_REQUEST_MESSAGE ||
        !take_body(body, &message)) {
        return ERR_CORRUPT;
    }
    *ret_whole = (struct slice){messages->data, messages->size - rest.size};
    *messages = rest;
    *ret = message;
    return ERR_OK;
}

/* --- as JSON --- */

static void put_json(struct out *o, const struct publish_message *message)
{
    out_put_text(o, "{\"data\":\"");
    hash_put_base64(o, message->data);
    out_put_text(o, "\"");
    for (size_t i = 0; i < message->attribute_count; i++) {
        out_put_text(o, i ? "," : ",\"attributes\":{");
        out_put_json(o, message->attributes[i].key);
        out_put_byte(o, ':');
        out_put_json(o, message->attributes[i].value);
    }
    out_put_text(o, message->attribute_count ? "}" : "");
    if (message->ordering_key.size) {
        out_put_text(o, ",\"orderingKey\":");
        out_put_json(o, message->ordering_key);
    }
    out_put_byte(o, '}');
}

enum err publish_put_json(struct out *o, struct slice messages)
{
    struct publish_message message;
    struct slice whole;
    bool is_first = true;
    enum err e;
    out_put_text(o, "{\"messages\":[");
    while (!(e = publish_take_message(&messages, &whole, &message))) {
        out_put_text(o, is_first ? "" : ",");
        put_json(o, &message);
        is_first = false;
    }
    out_put_text(o, "]}");
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* Base64 is 4 for 3; in texts a control character is 6 for 1; names and brackets stand for at most 64
 * bytes more than what a message has of its own, and 7 for each attribute. */
size_t publish_json_size_max(struct slice messages)
{
    struct publish_message message;
    struct slice whole;
    size_t size = 32;
    while (!publish_take_message(&messages, &whole, &message)) {
        size_t texts = whole.size - message.data.size;
        size += (message.data.size + 2) / 3 * 4 + 6 * texts + 64;
    }
    return size;
}
