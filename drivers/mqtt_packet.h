/* MQTT packets as they go by: where each begins and ends, its type, its packet id. Nothing else of
 * a packet is looked at, except what CONNACK and DISCONNECT say. 3.1.1 and 5 look alike here.
 * Pure. */
#ifndef WEIR_DRIVERS_MQTT_PACKET_H
#define WEIR_DRIVERS_MQTT_PACKET_H

#include "ports/err.h"
#include "ports/slice.h"

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_PUBREC = 5,
    MQTT_PUBREL = 6,
    MQTT_PUBCOMP = 7,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_UNSUBSCRIBE = 10,
    MQTT_UNSUBACK = 11,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
    MQTT_AUTH = 15,
};

#define MQTT_HEAD_SIZE_MAX 5
#define MQTT_KEPT_SIZE_MAX 4096 /* of a body, for what is read of it */

struct mqtt_scan {
    uint8_t head[MQTT_HEAD_SIZE_MAX];
    size_t head_size; /* of the packet at hand, so far */
    bool has_head;    /* it is complete */
    bool in_body;
    uint32_t size;       /* of the body */
    uint32_t at;         /* bytes of it that went by */
    uint32_t id_at;      /* where in it the packet id is; UINT32_MAX: it has none, or unknown yet */
    uint16_t id;         /* complete when 2 bytes at id_at went by */
    uint16_t topic_size; /* PUBLISH */
    uint8_t kept[MQTT_KEPT_SIZE_MAX]; /* its first bytes */
    size_t kept_size;
};

/* A piece of one packet: its fixed header, or some of what follows. */
struct mqtt_piece {
    struct slice bytes; /* of the input, or, for a header, of the scan: until the next call */
    enum mqtt_type type;
    uint8_t flags;
    uint32_t size; /* of the whole body */
    bool is_head;
    bool is_end; /* the packet ends here; then scan->id is its packet id, if it has one */
};

/* Takes the next piece off the front of *input. ERR_AGAIN: *input is used up. ERR_CORRUPT: these
 * are no packets; nothing can be read any more. */
enum err mqtt_scan_next(struct mqtt_scan *scan, struct slice *input,
                        struct mqtt_piece *ret) MUST_USE;

/* PUBLISH: its quality of service, 0 to 2 (3 is ERR_CORRUPT already), and whether it is a copy. */
static inline unsigned mqtt_qos(uint8_t flags)
{
    return flags >> 1 & 3;
}

/* --- what is read of a body: `body` is what was kept of it --- */

struct mqtt_connack {
    bool session_present;
    uint8_t code;        /* 0: accepted */
    bool has_keep_alive; /* MQTT 5: the server's own */
    uint16_t keep_alive_s;
};

/* ERR_CORRUPT: too short. Properties that can't be read are left out. */
enum err mqtt_connack_read(struct slice body, bool is_5, struct mqtt_connack *ret) MUST_USE;

/* For a person, what a CONNACK's code says and what to do: of 3.1.1 below 0x80, of 5 above. */
const char *mqtt_refusal_text(uint8_t code);
/* The same of a DISCONNECT by the broker; NULL: an ordinary end. */
const char *mqtt_disconnect_text(uint8_t code);

#endif
