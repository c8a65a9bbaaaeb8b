/* Messages as one block of an Avro container. Pure; pack worker. */
#ifndef WEIR_UPLINK_OBJECT_BLOCK_H
#define WEIR_UPLINK_OBJECT_BLOCK_H

#include "ports/uplink.h"
#include "uplink/avro/container.h"

/* Appends the block with its sync marker. level 0: the codec's usual one. ERR_FULL: no room, and
 * `ret` is unchanged. */
enum err block_put(enum container_codec codec, int level, const struct message *messages,
                   size_t count, const uint8_t sync[CONTAINER_SYNC_SIZE], struct out *ret) MUST_USE;

#endif
