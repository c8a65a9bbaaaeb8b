/* What services that speak Kafka's protocol have of their own: limits, and what they do not do. */
#ifndef WEIR_UPLINK_KAFKA_SERVICE_H
#define WEIR_UPLINK_KAFKA_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

enum kafka_service_name { KAFKA_SERVICE_KAFKA, KAFKA_SERVICE_EVENT_HUBS, KAFKA_SERVICE_REDPANDA };
/* The words of the option `service`, in this order. */
extern const char *const kafka_service_words[];

struct kafka_service {
    uint32_t request_size_max; /* bytes of a whole request: a larger one ends the connection */
    uint32_t message_size_max; /* of a batch, as max.message.bytes; it may be less */
    uint32_t idle_ms_max;      /* so long a connection may be silent; 0: the service says when */
    bool compresses;           /* it takes zstd */
    bool is_idempotent;        /* producer ids and sequences are worth something */
};
const struct kafka_service *kafka_service_of(int64_t name);

#endif
