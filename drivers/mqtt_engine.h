/* The MQTT engine: it speaks MQTT to the gate's loopback port, and puts what it receives into an
 * inbox. Three verbs, so that another library, or a subscriber of our own, can take its place. */
#ifndef WEIR_DRIVERS_MQTT_ENGINE_H
#define WEIR_DRIVERS_MQTT_ENGINE_H

#include "ports/inbox.h"
#include "ports/slice.h"

struct mqtt_engine;

struct mqtt_engine_setup {
    struct inbox *inbox; /* gets struct mqtt_item; who receives them frees them */
    uint16_t port;       /* of the gate, on 127.0.0.1 */
    bool is_5;           /* MQTT 5, else 3.1.1 */
    const char *client_id;
    const char *user;     /* NULL: none */
    const char *password; /* NULL: none */
    uint16_t keepalive_s;
    uint16_t receive_max; /* MQTT 5, like the next two */
    uint32_t session_expiry_s;
    uint32_t packet_size_max;
    char *const *filters; /* subscribed to after every connect */
    size_t filter_count;
    unsigned qos;
    bool with_properties; /* user properties */
};

enum mqtt_item_kind {
    MQTT_ITEM_MESSAGE,
    MQTT_ITEM_SUBSCRIBED, /* `data`: the broker's answer to each filter, one byte each */
    MQTT_ITEM_LOST,       /* not connected any more, or not come to it: connect again */
};

struct mqtt_item {
    struct inbox_item item;
    enum mqtt_item_kind kind;
    uint16_t id; /* of the packet; 0: quality of service 0 */
    uint8_t qos;
    bool is_copy; /* DUP: may have been sent before */
    bool is_retained;
    size_t property_count;
    struct slice topic, payload; /* in `data` */
    /* In `data`: per user property u16 big-endian size of the name, name, the same of the value. */
    struct slice properties;
    uint8_t data[];
};

/* The strings are copied. Threads of its own from the first connect on. */
enum err mqtt_engine_open(struct mqtt_engine **ret, const struct mqtt_engine_setup *setup,
                          struct why *why) MUST_USE;
/* Connects, and then subscribes. MQTT_ITEM_LOST follows in the end. Any error: it does not, try
 * again. */
enum err mqtt_engine_connect(struct mqtt_engine *engine, struct why *why) MUST_USE;
/* Returns when nothing more is put into the inbox. NULL is allowed. */
void mqtt_engine_close(struct mqtt_engine *engine);

#endif
