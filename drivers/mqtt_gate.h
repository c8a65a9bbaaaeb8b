/* The gate: every byte between the MQTT library and the broker goes through here. It carries the
 * library's loopback connection over our own stream (TCP, or TLS), and
 *
 * - holds each PUBACK until the message's event is stored, and then sends them in the order of
 *   arrival, in one write a commit;
 * - stops reading the broker while too much is unstored;
 * - keeps both sides alive: the library believes that held acknowledgements were sent;
 * - skips messages that are too large, and acknowledges them in their turn;
 * - ends the connection for packets that nobody asked for, or whose size the library would trust.
 *
 * Only fixed headers, packet ids, CONNACK and the code of DISCONNECT are read. Loop thread. */
#ifndef WEIR_DRIVERS_MQTT_GATE_H
#define WEIR_DRIVERS_MQTT_GATE_H

#include "drivers/mqtt_packet.h"
#include "ports/loop.h"

struct mqtt_gate;
struct names;
struct tls;

#define MQTT_GATE_COUNT_MAX 4096

struct mqtt_gate_handler {
    /* What the library has called back so far is to be reported by mqtt_gate_arrived() now. */
    void (*drain)(void *context);
    /* Messages that have arrived, and are not stored: those of earlier connections too. */
    void (*unstored)(void *context, size_t *ret_count, size_t *ret_size);
    /* The broker's answer to CONNECT. False: the library gets it after mqtt_gate_go_on(). */
    bool (*connack)(void *context, const struct mqtt_connack *connack);
    /* So many acknowledgements went to the broker, and so many are still held. */
    void (*released)(void *context, size_t count, size_t held);
    /* There is no connection, or it is lost. */
    void (*trouble)(void *context, const struct why *why);
    /* "too_large", "strangers", "connections" */
    void (*count)(void *context, const char *name, uint64_t add);
};

struct mqtt_gate_options {
    struct loop *loop;
    struct names *names;
    struct mqtt_gate_handler handler;
    void *context;
    /* What went to and from the broker; where to connect from, NULL: anywhere. Both may be NULL. */
    void (*wire_bytes)(void *context, uint64_t sent, uint64_t received);
    const char *(*interface_name)(void *context);
    const char *host;
    uint16_t port;
    struct tls *tls;         /* NULL: plain */
    const char *server_name; /* NULL: host */
    bool is_5;
    uint32_t keepalive_s; /* as in CONNECT; 0: none */
    size_t filter_count;  /* of the one SUBSCRIBE of a connection */
    uint32_t size_max;    /* of a PUBLISH: topic, properties and payload */
    /* Forwarded and not stored: at either the broker is not read. One message may go beyond. */
    size_t unstored_count_max; /* at most MQTT_GATE_COUNT_MAX */
    size_t unstored_size_max;
};

/* Listens on a loopback port of its own. The strings are copied, `tls` is lent until close. */
enum err mqtt_gate_open(struct mqtt_gate **ret, const struct mqtt_gate_options *options,
                        struct why *why) MUST_USE;
/* Where the library connects to. */
uint16_t mqtt_gate_port(const struct mqtt_gate *gate);
/* After connack() said false. */
void mqtt_gate_go_on(struct mqtt_gate *gate);
/* The library called back a message: the next one that was forwarded. `serial` rises with each. A
 * message of an earlier connection is none of the gate's: the broker sends it again. */
void mqtt_gate_arrived(struct mqtt_gate *gate, uint16_t id, unsigned qos, uint64_t serial);
/* A message got lost between the library and the driver: the broker has to send it again. */
void mqtt_gate_break(struct mqtt_gate *gate, const char *reason);
/* All messages up to this serial are stored. */
void mqtt_gate_stored(struct mqtt_gate *gate, uint64_t serial);
/* Messages of this connection that the broker waits to see acknowledged. */
size_t mqtt_gate_held(const struct mqtt_gate *gate);
/* Did the broker take the connection, CONNACK 0? */
bool mqtt_gate_is_connected(const struct mqtt_gate *gate);
/* Is the library not connected to it? */
bool mqtt_gate_is_idle(const struct mqtt_gate *gate);
/* Is the broker not read, because too much is unstored? */
bool mqtt_gate_is_full(const struct mqtt_gate *gate);
/* Looks for what has come from the broker. True: the library has messages that are not called back
 * yet. */
bool mqtt_gate_is_busy(struct mqtt_gate *gate);
/* A round trip to the broker, as TCP estimates it; 0: unknown. */
uint32_t mqtt_gate_round_trip_ms(const struct mqtt_gate *gate);
/* Reads no more of the broker; acknowledgements still go out. */
void mqtt_gate_stop(struct mqtt_gate *gate);
/* Says DISCONNECT and ends both connections. NULL is allowed. */
void mqtt_gate_close(struct mqtt_gate *gate);

#endif
