/* What the producer says to a broker, as sizes, without a network: for `weir plan`. Requests come from the
 * encoders that send them; answers from the field lists of the protocol (kafka.apache.org/protocol).
 * Pure. */
#ifndef WEIR_UPLINK_KAFKA_PLAN_H
#define WEIR_UPLINK_KAFKA_PLAN_H

#include "ports/uplink_plan.h"
#include "uplink/kafka/kafka.h"

/* Brokers end connections that were silent for so long (connections.max.idle.ms). */
#define KAFKA_PLAN_IDLE_MS (10 * 60 * 1000)
#define KAFKA_PLAN_METADATA_MS (15 * 60 * 1000) /* metadata that is used is asked for so often */

extern const struct uplink_plan kafka_uplink_plan;

/* As the uplink's target() says it once metadata is there and, with a registry, the ids are. Set by the
 * caller: its layout and partition_count. */
enum err kafka_plan_target(const struct kafka_options *options, const char *agent_id,
                           const struct stream_info *stream, const struct schema_info *schema,
                           struct target *ret, struct why *why) MUST_USE;

/* A Produce of the batches of one parcel: wrap()'s sizes, at most PARCEL_PARTITION_MAX. */
void kafka_plan_produce(const struct kafka_options *options, const char *topic,
                        const uint32_t *sizes, size_t count, struct uplink_talk *ret);
/* Metadata of one topic. */
void kafka_plan_metadata(const struct kafka_options *options, const char *topic,
                         uint32_t partition_count, struct uplink_talk *ret);
/* What comes before the first Produce of a connection: versions and login. Returns how many. */
size_t kafka_plan_login(const struct kafka_options *options,
                        struct uplink_talk ret[UPLINK_LOGIN_MAX]);
/* How long a connection may be silent. */
uint32_t kafka_plan_idle_ms(const struct kafka_options *options);

#endif
