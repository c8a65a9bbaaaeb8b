#include "uplink/kafka/service.h"

#include <assert.h>
#include <stddef.h>

#include "ports/attr.h"

const char *const kafka_service_words[] = {"kafka", "event_hubs", "redpanda", NULL};

static const struct kafka_service services[] = {
    [KAFKA_SERVICE_KAFKA] = {.request_size_max = UINT32_MAX,
                             .message_size_max = UINT32_MAX,
                             .compresses = true,
                             .is_idempotent = true},
    /* Microsoft's "Apache Kafka configurations for Event Hubs" and its troubleshooting guide: what
     * is silent for 240 s is cut without a word to anybody. */
    [KAFKA_SERVICE_EVENT_HUBS] = {.request_size_max = 1046528,
                                  .message_size_max = 1000000,
                                  .idle_ms_max = 180000},
    /* kafka_batch_max_bytes is 1 MiB there; Kafka's default is 12 bytes more. */
    [KAFKA_SERVICE_REDPANDA] = {.request_size_max = UINT32_MAX,
                                .message_size_max = 1048576,
                                .compresses = true,
                                .is_idempotent = true},
};

const struct kafka_service *kafka_service_of(int64_t name)
{
    assert(name >= 0 && (size_t)name < ARRAY_COUNT(services));
    return &services[name];
}
