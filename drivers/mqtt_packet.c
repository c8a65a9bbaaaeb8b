#include "drivers/mqtt_packet.h"

#include <assert.h>

#define NO_ID UINT32_MAX

/* --- pieces --- */

static bool has_id(enum mqtt_type type)
{
    return (type >= MQTT_PUBACK && type <= MQTT_UNSUBACK);
}

/* One more byte of a fixed header. ERR_AGAIN: it is not complete. */
static enum err head_take(struct mqtt_scan *scan, uint8_t byte)
{
    scan->head[scan->head_size++] = byte;
    if (scan->head_size == 1) {
        bool is_known = byte >> 4 != 0;
        bool is_bad_publish = byte >> 4 == MQTT_PUBLISH && mqtt_qos(byte) == 3;
        return is_known && !is_bad_publish ? ERR_AGAIN : ERR_CORRUPT;
    }
    if (byte & 0x80) {
        return scan->head_size < MQTT_HEAD_SIZE_MAX ? ERR_AGAIN : ERR_CORRUPT;
    }
    scan->size = 0;
    for (size_t i = scan->head_size; i-- > 1;) {
        scan->size = scan->size << 7 | (scan->head[i] & 0x7f);
    }
    enum mqtt_type type = (enum mqtt_type)(scan->head[0] >> 4);
    bool has_topic = type == MQTT_PUBLISH;
    if (scan->size < (has_topic      ? 2 + 2 * (uint32_t)(mqtt_qos(scan->head[0]) > 0)
                      : has_id(type) ? 2U
                                     : 0U)) {
        return ERR_CORRUPT;
    }
    scan->at = 0;
    scan->id = 0;
    scan->id_at = has_id(type) ? 0 : NO_ID;
    scan->topic_size = 0;
    scan->kept_size = 0;
    return ERR_OK;
}

/* The byte at `offset` of the body, if this piece has it. */
static bool byte_at(const struct mqtt_scan *scan, struct slice piece, uint32_t offset, uint8_t *ret)
{
    if (offset < scan->at || offset - scan->at >= piece.size) {
        return false;
    }
    *ret = piece.data[offset - scan->at];
    return true;
}

/* What there is to know of a piece of a body, before it goes on. */
static enum err body_look(struct mqtt_scan *scan, struct slice piece)
{
    uint8_t byte;
    if (scan->head[0] >> 4 == MQTT_PUBLISH) {
        if (byte_at(scan, piece, 0, &byte)) {
            scan->topic_size = (uint16_t)(byte << 8);
        }
        if (byte_at(scan, piece, 1, &byte)) {
            scan->topic_size |= byte;
            uint32_t end = 2 + (uint32_t)scan->topic_size;
            uint32_t id_size = mqtt_qos(scan->head[0]) ? 2 : 0;
            if (end + id_size > scan->size) {
                return ERR_CORRUPT;
            }
            scan->id_at = id_size ? end : NO_ID;
        }
    }
    if (scan->id_at != NO_ID && byte_at(scan, piece, scan->id_at, &byte)) {
        scan->id = (uint16_t)(byte << 8);
    }
    if (scan->id_at != NO_ID && byte_at(scan, piece, scan->id_at + 1, &byte)) {
        scan->id |= byte;
        if (scan->id == 0) {
            return ERR_CORRUPT;
        }
    }
    size_t room = sizeof scan->kept - scan->kept_size;
    size_t kept = piece.size < room ? piece.size : room;
    memcpy(scan->kept + scan->kept_size, piece.data, kept);
    scan->kept_size += kept;
    return ERR_OK;
}

static void piece_fill(const struct mqtt_scan *scan, struct mqtt_piece *ret)
{
    ret->type = (enum mqtt_type)(scan->head[0] >> 4);
    ret->flags = scan->head[0] & 0x0f;
    ret->size = scan->size;
}

static enum err head_next(struct mqtt_scan *scan, struct slice *input, struct mqtt_piece *ret)
{
    uint8_t byte;
    if (scan->has_head) {
        scan->has_head = false;
        scan->head_size = 0;
    }
    while (slice_take_u8(input, &byte)) {
        enum err e = head_take(scan, byte);
        if (e == ERR_AGAIN) {
            continue;
        }
        if (e) {
            return e;
        }
        *ret = (struct mqtt_piece){.bytes = {scan->head, scan->head_size}, .is_head = true};
        piece_fill(scan, ret);
        ret->is_end = scan->size == 0;
        scan->in_body = scan->size > 0;
        scan->has_head = true;
        return ERR_OK;
    }
    return ERR_AGAIN;
}

enum err mqtt_scan_next(struct mqtt_scan *scan, struct slice *input, struct mqtt_piece *ret)
{
    if (input->size == 0) {
        return ERR_AGAIN;
    }
    if (!scan->in_body) {
        return head_next(scan, input, ret);
    }
    assert(scan->at < scan->size);
    size_t left = scan->size - scan->at;
    struct slice bytes;
    if (!slice_take(input, left < input->size ? left : input->size, &bytes)) {
        return ERR_AGAIN;
    }
    enum err e = body_look(scan, bytes);
    if (e) {
        return e;
    }
    scan->at += (uint32_t)bytes.size;
    scan->in_body = scan->at < scan->size;
    *ret = (struct mqtt_piece){.bytes = bytes, .is_end = !scan->in_body};
    piece_fill(scan, ret);
    return ERR_OK;
}

/* --- bodies --- */

static bool take_varint(struct slice *s, uint32_t *ret)
{
    uint64_t value;
    if (!slice_take_uvarint(s, &value) || value > 268435455) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* Takes a property's value off. False: it is not one of a CONNACK, or cut. */
static bool property_skip(struct slice *s, uint8_t name)
{
    struct slice taken;
    uint16_t size;
    switch (name) {
    case 0x11: /* Session Expiry Interval */
    case 0x27: /* Maximum Packet Size */
        return slice_take(s, 4, &taken);
    case 0x13: /* Server Keep Alive */
    case 0x21: /* Receive Maximum */
    case 0x22: /* Topic Alias Maximum */
        return slice_take(s, 2, &taken);
    case 0x24: /* Maximum QoS */
    case 0x25: /* Retain Available */
    case 0x28: /* Wildcard Subscription Available */
    case 0x29: /* Subscription Identifiers Available */
    case 0x2a: /* Shared Subscription Available */
        return slice_take(s, 1, &taken);
    case 0x26: /* User Property: two texts */
        if (!slice_take_u16_be(s, &size) || !slice_take(s, size, &taken)) {
            return false;
        }
        return slice_take_u16_be(s, &size) && slice_take(s, size, &taken);
    case 0x12: /* Assigned Client Identifier */
    case 0x15: /* Authentication Method */
    case 0x16: /* Authentication Data */
    case 0x1a: /* Response Information */
    case 0x1c: /* Server Reference */
    case 0x1f: /* Reason String */
        return slice_take_u16_be(s, &size) && slice_take(s, size, &taken);
    default:
        return false;
    }
}

enum err mqtt_connack_read(struct slice body, bool is_5, struct mqtt_connack *ret)
{
    uint8_t flags;
    struct mqtt_connack c = {0};
    if (!slice_take_u8(&body, &flags) || !slice_take_u8(&body, &c.code)) {
        return ERR_CORRUPT;
    }
    c.session_present = flags & 1;
    uint32_t size;
    if (is_5 && take_varint(&body, &size)) {
        body.size = size < body.size ? size : body.size;
        uint8_t name;
        while (slice_take_u8(&body, &name)) {
            struct slice value = body;
            if (!property_skip(&body, name)) {
                break;
            }
            if (name == 0x13) {
                c.has_keep_alive = slice_take_u16_be(&value, &c.keep_alive_s);
            }
        }
    }
    *ret = c;
    return ERR_OK;
}

struct code_text {
    uint8_t code;
    const char *text;
};

static const char *code_find(const struct code_text *texts, size_t count, uint8_t code)
{
    for (size_t i = 0; i < count; i++) {
        if (texts[i].code == code) {
            return texts[i].text;
        }
    }
    return NULL;
}

const char *mqtt_refusal_text(uint8_t code)
{
    static const struct code_text texts[] = {
        {1, "it does not speak this version of MQTT: set \"protocol\" to the other one"},
        {2, "it does not take the client id: set another \"client_id\""},
        {3, "its service is not available"},
        {4, "bad user name or password"},
        {5, "not authorized: look at \"user\", \"password\", and what the broker allows them"},
        {0x81, "it says that the packet is malformed"},
        {0x82, "it says that this is a protocol error"},
        {0x84, "it does not speak MQTT 5: set \"protocol\": \"3.1.1\""},
        {0x85, "it does not take the client id: set another \"client_id\""},
        {0x86, "bad user name or password"},
        {0x87, "not authorized: look at \"user\", \"password\", and what the broker allows them"},
        {0x88, "its service is not available"},
        {0x89, "it is busy"},
        {0x8a, "this client is banned: ask who runs the broker"},
        {0x8c, "it wants another way to log in, which is not supported"},
        {0x95, "the packet to connect is too large for it"},
        {0x97, "a quota of the broker is used up"},
        {0x9c, "use another server: set another \"url\""},
        {0x9d, "the server has moved: set another \"url\""},
        {0x9f, "too many connections a second"},
    };
    const char *text = code_find(texts, ARRAY_COUNT(texts), code);
    return text ? text : "it does not say why";
}

const char *mqtt_disconnect_text(uint8_t code)
{
    static const struct code_text texts[] = {
        {0x81, "it says that a packet is malformed"},
        {0x82, "it says that this is a protocol error"},
        {0x87, "not authorized: look at \"user\", \"password\", and what the broker allows them"},
        {0x89, "it is busy"},
        {0x8b, "it shuts down"},
        {0x8d, "it heard nothing for 1.5 times the keep-alive"},
        {0x8e, "another client has connected with the same client id: set another \"client_id\""},
        {0x93, "it says that it got more than its Receive Maximum"},
        {0x95, "it says that a packet is too large"},
        {0x96, "it says that messages come too fast"},
        {0x97, "a quota of the broker is used up"},
        {0x98, "it was closed by who runs the broker"},
        {0x9c, "use another server: set another \"url\""},
        {0x9d, "the server has moved: set another \"url\""},
        {0x9f, "too many connections a second"},
        {0xa0, "it allows no longer connection"},
    };
    if (code == 0) {
        return NULL;
    }
    const char *text = code_find(texts, ARRAY_COUNT(texts), code);
    return text ? text : "it does not say why";
}
