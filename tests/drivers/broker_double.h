/* A broker of one connection whose every packet the test writes: it listens on loopback, and is a
 * plain socket to the test. */
#ifndef WEIR_TESTS_DRIVERS_BROKER_DOUBLE_H
#define WEIR_TESTS_DRIVERS_BROKER_DOUBLE_H

#include "ports/slice.h"

struct broker {
    int listener; /* -1: nobody listens */
    int fd;       /* -1: nobody is connected */
    uint16_t port;
    uint8_t data[1 << 16]; /* received, and not taken as a packet */
    size_t size;
    uint8_t *out; /* to be sent, as the other side takes it */
    size_t out_size, out_at;
};

struct packet {
    unsigned type, flags;
    uint16_t id; /* of PUBACK, SUBSCRIBE */
    size_t size; /* of the body */
    uint8_t body[4096];
};

void broker_init(struct broker *broker);
void broker_release(struct broker *broker);
/* Nobody can connect, and: somebody can again, on the same port. */
void broker_down(struct broker *broker);
void broker_up(struct broker *broker);
/* Takes a connection that waits, and sends what waits. False: there is none. */
bool broker_turn(struct broker *broker);
void broker_hang_up(struct broker *broker);
/* The next packet, if it is there whole. */
bool broker_next(struct broker *broker, struct packet *ret);
/* Has the other side closed the connection? */
bool broker_is_left(struct broker *broker);
void broker_send(struct broker *broker, const void *data, size_t size);
/* MQTT 5 with `keep_alive_s` above 0, else as 3.1.1 writes it. */
void broker_connack(struct broker *broker, bool session_present, unsigned code,
                    unsigned keep_alive_s, bool is_5);
void broker_suback(struct broker *broker, uint16_t id, unsigned code, bool is_5);
/* `id` 0: QoS 0. */
void broker_publish(struct broker *broker, const char *topic, uint16_t id, bool is_copy,
                    struct slice payload, bool is_5);

#endif
