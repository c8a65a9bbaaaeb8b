/* The packet ids that were stored, so that what the broker sends again after a crash is stored
 * once: the newest 4096, each with a keyed hash of topic and payload. They are kept as cursors, in
 * the commit of their events: 16 ids a cursor, written over in turn. Pure.
 *
 * DUP alone proves nothing (brokers set it on messages that never arrived): only a copy with the
 * same id and the same hash is known. Ids stay until they are pushed out, because an acknowledgement
 * that was written may never have arrived. */
#ifndef WEIR_DRIVERS_MQTT_IDS_H
#define WEIR_DRIVERS_MQTT_IDS_H

#include "ports/err.h"
#include "ports/slice.h"

#define MQTT_IDS_MAX 4096
#define MQTT_IDS_GROUP 16
#define MQTT_IDS_KEY_COUNT (MQTT_IDS_MAX / MQTT_IDS_GROUP) /* cursors 0 to 255: groups of ids */
#define MQTT_IDS_KEY_HEAD MQTT_IDS_KEY_COUNT /* the next: the hash's key, and since when */
#define MQTT_IDS_VALUE_SIZE (4 + MQTT_IDS_GROUP * 10)
#define MQTT_IDS_HEAD_SIZE (16 + 4)

struct mqtt_id {
    uint64_t hash;
    uint16_t id;   /* 0: no message */
    uint16_t next; /* older one of the same bucket, as slot + 1; 0: none */
};

struct mqtt_ids {
    struct mqtt_id *ids;  /* message n is in slot n % MQTT_IDS_MAX */
    uint16_t *buckets;    /* newest of each, as slot + 1 */
    uint64_t count;       /* messages so far; the number of the next one */
    uint64_t first;       /* older ones are forgotten */
    uint64_t staged_hash; /* mqtt_ids_stage() */
    uint16_t staged_id;
    uint8_t key[16];
    bool has_head; /* the key is one that was stored */
    uint8_t value[MQTT_IDS_VALUE_SIZE];
};

/* `key`: 16 random bytes, for when none are stored. */
enum err mqtt_ids_init(struct mqtt_ids *ids, const uint8_t key[16]) MUST_USE;
void mqtt_ids_release(struct mqtt_ids *ids);

/* A stored cursor, before anything else; in the order of keys. What is no cursor of ours is left
 * out. Then, once, restored(). */
void mqtt_ids_restore(struct mqtt_ids *ids, uint32_t key, struct slice value);
void mqtt_ids_restored(struct mqtt_ids *ids);

uint64_t mqtt_ids_hash(const struct mqtt_ids *ids, struct slice topic, struct slice payload);
/* Was the newest message of this id that was stored this one? */
bool mqtt_ids_is_known(const struct mqtt_ids *ids, uint16_t id, uint64_t hash);
/* The cursor that is to be committed with this message's event; the value is valid until the next
 * call. Nothing is remembered before keep(). */
void mqtt_ids_stage(struct mqtt_ids *ids, uint16_t id, uint64_t hash, uint32_t *ret_key,
                    struct slice *ret_value);
void mqtt_ids_keep(struct mqtt_ids *ids);

bool mqtt_ids_is_empty(const struct mqtt_ids *ids);
/* The broker has begun a new session, its ids begin again. Durable with the cursor head(). */
void mqtt_ids_forget(struct mqtt_ids *ids);
/* The cursor MQTT_IDS_KEY_HEAD. */
void mqtt_ids_head(const struct mqtt_ids *ids, uint8_t ret_value[MQTT_IDS_HEAD_SIZE]);

/* SipHash-2-4. */
uint64_t mqtt_siphash(const uint8_t key[16], struct slice first, struct slice second);

#endif
