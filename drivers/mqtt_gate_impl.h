/* What mqtt_gate.c (the two connections), mqtt_gate_down.c (from the broker to the library) and
 * mqtt_gate_up.c (from the library to the broker: what is held, and when it goes) share. */
#ifndef WEIR_DRIVERS_MQTT_GATE_IMPL_H
#define WEIR_DRIVERS_MQTT_GATE_IMPL_H

#include "drivers/mqtt_gate.h"
#include "ports/stream.h"

#define GATE_HOST_SIZE 256
#define GATE_READ_SIZE 16384
#define GATE_READ_MAX 16 /* reads in one turn of the loop */
/* What waits to go to the broker: CONNECT and SUBSCRIBE as a whole, or acknowledgements. */
#define GATE_UP_SIZE (256 * 1024)
#define GATE_CONTROL_SIZE_MAX 65536 /* of what is no PUBLISH */
#define GATE_RING (2 * MQTT_GATE_COUNT_MAX)

enum gate_state {
    GATE_FORWARDED, /* to the library; it has not called back */
    GATE_ARRIVED,   /* it has */
    GATE_SKIPPED,   /* it was too large: the library never sees it */
};

/* A PUBLISH that went by, until it is stored, and acknowledged to the broker. */
struct gate_message {
    uint64_t serial;
    uint32_t size;
    uint16_t id; /* 0: quality of service 0, or its id has not come by yet */
    uint8_t qos;
    uint8_t state; /* enum gate_state */
    bool is_acked; /* by the library */
};

struct mqtt_gate {
    struct loop *loop;
    struct mqtt_gate_options options;
    struct mqtt_gate_handler handler;
    void *context;
    char host[GATE_HOST_SIZE];
    char server_name[GATE_HOST_SIZE];
    struct listener *listener;
    struct stream *library; /* the library's connection; NULL: none */
    struct stream *broker;  /* NULL: none */
    struct wire_told wire;  /* of this connection, told so far */
    bool is_open;           /* the broker's is open */
    bool is_connected;      /* it said CONNACK 0 */
    bool has_told;          /* it said why it ends the connection */
    bool is_stopped;
    uint64_t epoch; /* counts connections: whoever called out looks whether it is still the same */
    struct timer redial;
    uint32_t redial_ms;
    struct timer tick; /* keep-alive */
    uint32_t keepalive_s;
    uint64_t sent_ms;  /* something went to the broker */
    uint64_t heard_ms; /* something came from it */
    uint64_t strangers;

    /* from the broker */
    struct mqtt_scan down;
    uint8_t in[GATE_READ_SIZE];
    struct slice input; /* of `in`: read, and not looked at */
    struct slice rest;  /* looked at; the library's socket has not taken it */
    uint8_t connack[MQTT_HEAD_SIZE_MAX + MQTT_KEPT_SIZE_MAX];
    bool is_held;     /* the driver is not ready for CONNACK */
    bool is_full;     /* a PUBLISH waits for room: its header is in `rest` */
    bool is_skipping; /* the PUBLISH at hand is too large */
    bool owes_pong;
    size_t pong_left; /* bytes of an answer on its way */
    bool is_paused;

    /* to the broker */
    struct mqtt_scan up;
    struct out to_broker;
    size_t to_broker_at; /* bytes of it that the socket has taken */
    bool is_passing;     /* a packet of the library's is half in it: nothing of ours goes between */

    /* the messages of this connection, as positions in the ring */
    struct gate_message ring[GATE_RING];
    uint64_t first, end;
    uint64_t next_arrival;  /* the next one that the library calls back */
    uint64_t next_ack;      /* the next one that it acknowledges */
    size_t forwarded_count; /* in state GATE_FORWARDED */
    size_t forwarded_size;
    size_t held;     /* of quality of service 1 */
    uint64_t stored; /* serial */
};

static inline struct gate_message *gate_at(struct mqtt_gate *gate, uint64_t position)
{
    return &gate->ring[position % GATE_RING];
}

/* --- mqtt_gate.c --- */

/* Ends both connections; the library comes again. `why` NULL: nothing to tell. */
void gate_drop(struct mqtt_gate *gate, const struct why *why);
void gate_drop_for(struct mqtt_gate *gate, const char *reason);

/* --- mqtt_gate_down.c --- */

/* Takes the broker's bytes as far as the library, and the room for unstored messages, allow. */
void gate_pump_down(struct mqtt_gate *gate);

/* --- mqtt_gate_up.c --- */

void gate_read_library(struct mqtt_gate *gate);
void gate_flush_up(struct mqtt_gate *gate);
/* PINGREQ, or DISCONNECT. */
void gate_put_up(struct mqtt_gate *gate, enum mqtt_type type);
/* Acknowledges to the broker what is stored. */
void gate_release(struct mqtt_gate *gate);

#endif
