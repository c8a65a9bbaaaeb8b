#include "drivers/mqtt_ids.h"

#include <assert.h>
#include <stdlib.h>

/* --- the table --- */

static uint16_t *bucket_of(const struct mqtt_ids *ids, uint16_t id)
{
    return &ids->buckets[id % MQTT_IDS_MAX];
}

static struct mqtt_id *slot_of(const struct mqtt_ids *ids, uint64_t number)
{
    return &ids->ids[number % MQTT_IDS_MAX];
}

/* Takes what is in a slot out of its bucket. */
static void slot_clear(struct mqtt_ids *ids, struct mqtt_id *slot)
{
    if (slot->id == 0) {
        return;
    }
    uint16_t *link = bucket_of(ids, slot->id);
    while (*link && &ids->ids[*link - 1] != slot) {
        link = &ids->ids[*link - 1].next;
    }
    assert(*link);
    *link = slot->next;
    *slot = (struct mqtt_id){0};
}

static void slot_link(struct mqtt_ids *ids, struct mqtt_id *slot)
{
    uint16_t *bucket = bucket_of(ids, slot->id);
    slot->next = *bucket;
    *bucket = (uint16_t)(slot - ids->ids + 1);
}

enum err mqtt_ids_init(struct mqtt_ids *ids, const uint8_t key[16])
{
    *ids = (struct mqtt_ids){.ids = calloc(MQTT_IDS_MAX, sizeof *ids->ids),
                             .buckets = calloc(MQTT_IDS_MAX, sizeof *ids->buckets)};
    memcpy(ids->key, key, sizeof ids->key);
    if (!ids->ids || !ids->buckets) {
        mqtt_ids_release(ids);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void mqtt_ids_release(struct mqtt_ids *ids)
{
    free(ids->ids);
    free(ids->buckets);
    *ids = (struct mqtt_ids){0};
}

/* --- asking and keeping --- */

uint64_t mqtt_ids_hash(const struct mqtt_ids *ids, struct slice topic, struct slice payload)
{
    uint8_t size[8];
    struct out o = out_over(size, sizeof size);
    out_put_u64_le(&o, topic.size);
    uint64_t of_topic = mqtt_siphash(ids->key, out_slice(&o), topic);
    o.size = 0;
    out_put_u64_le(&o, of_topic);
    return mqtt_siphash(ids->key, out_slice(&o), payload);
}

bool mqtt_ids_is_known(const struct mqtt_ids *ids, uint16_t id, uint64_t hash)
{
    for (uint16_t at = *bucket_of(ids, id); at; at = ids->ids[at - 1].next) {
        if (ids->ids[at - 1].id == id) {
            return ids->ids[at - 1].hash == hash; /* the newest one counts */
        }
    }
    return false;
}

void mqtt_ids_stage(struct mqtt_ids *ids, uint16_t id, uint64_t hash, uint32_t *ret_key,
                    struct slice *ret_value)
{
    assert(id);
    uint64_t group = ids->count / MQTT_IDS_GROUP;
    size_t at = ids->count % MQTT_IDS_GROUP;
    if (at == 0) {
        struct out whole = out_over(ids->value, sizeof ids->value);
        memset(ids->value, 0, sizeof ids->value);
        out_put_u32_le(&whole, (uint32_t)group);
    }
    struct out place = out_over(ids->value + 4 + at * 10, 10);
    out_put_u16_le(&place, id);
    out_put_u64_le(&place, hash);
    ids->staged_id = id;
    ids->staged_hash = hash;
    *ret_key = (uint32_t)(group % MQTT_IDS_KEY_COUNT);
    *ret_value = (struct slice){ids->value, sizeof ids->value};
}

void mqtt_ids_keep(struct mqtt_ids *ids)
{
    assert(ids->staged_id);
    struct mqtt_id *slot = slot_of(ids, ids->count);
    slot_clear(ids, slot);
    *slot = (struct mqtt_id){.hash = ids->staged_hash, .id = ids->staged_id};
    slot_link(ids, slot);
    ids->staged_id = 0;
    ids->count++;
}

bool mqtt_ids_is_empty(const struct mqtt_ids *ids)
{
    return ids->count == ids->first;
}

void mqtt_ids_forget(struct mqtt_ids *ids)
{
    memset(ids->ids, 0, MQTT_IDS_MAX * sizeof *ids->ids);
    memset(ids->buckets, 0, MQTT_IDS_MAX * sizeof *ids->buckets);
    /* A new group, so that the mark can stand between the old ids and the new ones. */
    ids->count = (ids->count + MQTT_IDS_GROUP - 1) / MQTT_IDS_GROUP * MQTT_IDS_GROUP;
    ids->first = ids->count;
}

void mqtt_ids_head(const struct mqtt_ids *ids, uint8_t ret_value[MQTT_IDS_HEAD_SIZE])
{
    struct out o = out_over(ret_value, MQTT_IDS_HEAD_SIZE);
    out_put(&o, ids->key, sizeof ids->key);
    out_put_u32_le(&o, (uint32_t)(ids->first / MQTT_IDS_GROUP));
}

/* --- restoring ---
 * Cursors come in the order of keys: groups go into their slots first, the newest one gives `count`;
 * the head comes last. What is older than a lap, or than the mark of the head, is left out at the
 * end. */

static void restore_head(struct mqtt_ids *ids, struct slice value)
{
    struct slice key;
    uint32_t first;
    if (slice_take(&value, sizeof ids->key, &key) && slice_take_u32_le(&value, &first)) {
        memcpy(ids->key, key.data, key.size);
        ids->first = (uint64_t)first * MQTT_IDS_GROUP;
        ids->has_head = true;
    }
}

void mqtt_ids_restore(struct mqtt_ids *ids, uint32_t key, struct slice value)
{
    uint32_t group;
    struct slice rest = value;
    if (key == MQTT_IDS_KEY_HEAD) {
        restore_head(ids, value);
        return;
    }
    if (value.size != MQTT_IDS_VALUE_SIZE || !slice_take_u32_le(&rest, &group) ||
        group % MQTT_IDS_KEY_COUNT != key) {
        return;
    }
    uint64_t number = (uint64_t)group * MQTT_IDS_GROUP;
    bool is_newest = number >= ids->count / MQTT_IDS_GROUP * MQTT_IDS_GROUP;
    for (size_t i = 0; i < MQTT_IDS_GROUP; i++) {
        struct mqtt_id *slot = slot_of(ids, number + i);
        *slot = (struct mqtt_id){0};
        if (!slice_take_u16_le(&rest, &slot->id) || !slice_take_u64_le(&rest, &slot->hash)) {
            return; /* cannot be: the size was right */
        }
        if (slot->id && is_newest) {
            ids->count = number + i + 1;
        }
    }
    if (is_newest) {
        memcpy(ids->value, value.data, value.size);
    }
}

void mqtt_ids_restored(struct mqtt_ids *ids)
{
    if (ids->count < ids->first) {
        ids->count = ids->first; /* nothing was stored since they were forgotten */
    }
    uint64_t oldest = ids->count > MQTT_IDS_MAX ? ids->count - MQTT_IDS_MAX : 0;
    oldest = oldest > ids->first ? oldest : ids->first;
    memset(ids->buckets, 0, MQTT_IDS_MAX * sizeof *ids->buckets);
    for (uint64_t n = ids->count; n < oldest + MQTT_IDS_MAX; n++) {
        *slot_of(ids, n) = (struct mqtt_id){0};
    }
    for (uint64_t n = oldest; n < ids->count; n++) {
        if (slot_of(ids, n)->id) {
            slot_link(ids, slot_of(ids, n));
        }
    }
}
