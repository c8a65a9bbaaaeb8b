/* Messages become events, in the order of arrival. What the broker sends again and was stored is
 * known by its id and hash; it is acknowledged when what it is a copy of is durable. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "drivers/mqtt_impl.h"

static struct mqtt_waiting *waiting_at(struct mqtt_driver *mqtt, uint64_t number)
{
    return &mqtt->ring[number % MQTT_RING];
}

/* User properties as fields. Returns how many. */
static size_t read_properties(const struct mqtt_item *item, struct field fields[MQTT_PROPERTY_MAX])
{
    struct slice rest = item->properties;
    size_t count = 0;
    uint16_t size;
    while (count < MQTT_PROPERTY_MAX && slice_take_u16_be(&rest, &size)) {
        struct field *f = &fields[count++];
        bool is_whole = slice_take(&rest, size, &f->name) && slice_take_u16_be(&rest, &size);
        f->value.kind = VALUE_TEXT;
        is_whole = is_whole && slice_take(&rest, size, &f->value.as.text);
        assert(is_whole); /* the engine wrote it */
    }
    return count;
}

/* The body as intake takes it. *ret_unnamed: metrics whose name is not known. */
static void make_body(struct mqtt_driver *mqtt, const struct mqtt_item *item, struct event *event,
                      uint32_t *ret_unnamed)
{
    event->body = item->payload;
    event->body_kind = mqtt->options->payload == MQTT_PAYLOAD_RAW ? BODY_RAW : BODY_JSON;
    if (!mqtt->sparkplug) {
        return;
    }
    struct sparkplug_message message;
    if (sparkplug_read(mqtt->sparkplug, item->topic, item->payload, &message, &mqtt->unusable)) {
        event->body_kind = BODY_RAW;
        event->unusable = mqtt->unusable.text;
        return;
    }
    event->body = message.text;
    event->has_time = message.has_time;
    event->time_us = message.time_us;
    *ret_unnamed = message.unnamed;
}

static enum err offer_event(struct mqtt_driver *mqtt, const struct mqtt_item *item, uint64_t hash,
                            bool is_remembered)
{
    struct field fields[MQTT_PROPERTY_MAX];
    int topic_size =
        item->topic.size < EVENT_SUBJECT_SIZE_MAX ? (int)item->topic.size : EVENT_SUBJECT_SIZE_MAX;
    (void)snprintf(mqtt->source, sizeof mqtt->source, "mqtt %.*s%s", topic_size,
                   (const char *)item->topic.data,
                   item->is_retained ? " (retained)" : ""); /* cut is fine */
    uint32_t unnamed = 0;
    struct event event = {.fields = fields,
                          .field_count = read_properties(item, fields),
                          .subject = item->topic,
                          .source = slice_of_text(mqtt->source),
                          .wants_ack = item->qos > 0};
    make_body(mqtt, item, &event, &unnamed);
    if (is_remembered) {
        mqtt_ids_stage(&mqtt->ids, item->id, hash, &event.cursor_key, &event.cursor);
    }
    enum err e = driver_offer(mqtt->host, &event, &mqtt->ticket, NULL);
    if (!e && is_remembered) {
        mqtt_ids_keep(&mqtt->ids);
    }
    if (!e && unnamed) {
        driver_count(mqtt->host, "unnamed_metrics", unnamed);
    }
    return e;
}

/* The hash's key is stored before what was hashed with it. */
static enum err offer_head(struct mqtt_driver *mqtt)
{
    uint8_t value[MQTT_IDS_HEAD_SIZE];
    if (mqtt->ids.has_head) {
        return ERR_OK;
    }
    mqtt_ids_head(&mqtt->ids, value);
    enum err e =
        driver_cursor_set(mqtt->host, MQTT_IDS_KEY_HEAD, (struct slice){value, sizeof value});
    mqtt->ids.has_head = e == ERR_OK;
    return e;
}

static enum err offer_next(struct mqtt_driver *mqtt, struct mqtt_waiting *waiting)
{
    const struct mqtt_item *item = waiting->item;
    /* An id of a session that has ended means nothing in the new one. */
    bool is_remembered = item->qos > 0 && mqtt->options->dedupe == MQTT_DEDUPE_PACKET_ID &&
                         waiting->session == mqtt->session;
    uint64_t hash = is_remembered ? mqtt_ids_hash(&mqtt->ids, item->topic, item->payload) : 0;
    if (is_remembered && item->is_copy && mqtt_ids_is_known(&mqtt->ids, item->id, hash)) {
        struct event unused = {0};
        uint32_t unnamed;
        make_body(mqtt, item, &unused, &unnamed); /* a birth tells the names of what follows */
        driver_count(mqtt->host, "redelivered", 1);
        return ERR_OK; /* with the last ticket, which is not before that of the first copy */
    }
    enum err e = is_remembered ? offer_head(mqtt) : ERR_OK;
    return e ? e : offer_event(mqtt, item, hash, is_remembered);
}

void mqtt_pump(struct mqtt_driver *mqtt)
{
    while (mqtt->offered < mqtt->arrived && !mqtt->is_blocked && !mqtt->is_stopping) {
        struct mqtt_waiting *waiting = waiting_at(mqtt, mqtt->offered + 1);
        if (offer_next(mqtt, waiting) != ERR_OK) {
            mqtt->is_blocked = true;
            break;
        }
        waiting->ticket = mqtt->ticket;
        free(waiting->item);
        waiting->item = NULL;
        mqtt->offered++;
    }
    mqtt_settle(mqtt);
}

void mqtt_settle(struct mqtt_driver *mqtt)
{
    uint64_t before = mqtt->settled;
    while (mqtt->settled < mqtt->offered &&
           waiting_at(mqtt, mqtt->settled + 1)->ticket <= mqtt->stored) {
        mqtt->settled++;
        mqtt->unstored_size -= waiting_at(mqtt, mqtt->settled)->size;
    }
    if (mqtt->settled != before) {
        mqtt_gate_stored(mqtt->gate, mqtt->settled);
    }
}
