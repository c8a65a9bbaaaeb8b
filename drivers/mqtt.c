/* MQTT. The engine (Paho) receives, the gate holds its acknowledgements until the events are
 * stored; here messages become events, and what the broker sends again is known. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/mqtt_impl.h"
#include "ports/log.h"
#include "ports/random.h"

#define QUIET_MS 2
#define INBOX_MAX (2 * MQTT_UNSTORED_COUNT_MAX)

static struct mqtt_driver *mqtt_of(struct driver *driver)
{
    return CONTAINER_OF(driver, struct mqtt_driver, driver);
}

/* --- what the engine receives --- */

static void mqtt_arrived(struct mqtt_driver *mqtt, struct mqtt_item *item)
{
    if (mqtt->arrived - mqtt->settled == MQTT_RING) {
        free(item);
        mqtt_gate_break(mqtt->gate, "too much is not stored yet: the broker will send it again");
        return;
    }
    size_t size = item->topic.size + item->payload.size + item->properties.size;
    mqtt->arrived++;
    mqtt->ring[mqtt->arrived % MQTT_RING] =
        (struct mqtt_waiting){.item = item, .size = (uint32_t)size, .session = mqtt->session};
    mqtt->unstored_size += size;
    if (item->qos) {
        mqtt_window_arrived(&mqtt->window);
    }
    timer_arm(&mqtt->quiet, QUIET_MS);
    mqtt_gate_arrived(mqtt->gate, item->id, item->qos, mqtt->arrived);
    mqtt_pump(mqtt);
}

static void mqtt_receive(void *context, struct inbox_item *inbox_item)
{
    struct mqtt_driver *mqtt = context;
    struct mqtt_item *item = CONTAINER_OF(inbox_item, struct mqtt_item, item);
    if (item->kind == MQTT_ITEM_MESSAGE && !mqtt->is_closing) {
        mqtt_arrived(mqtt, item);
        return;
    }
    if (item->kind == MQTT_ITEM_SUBSCRIBED && !mqtt->is_stopping) {
        mqtt_subscribed(mqtt, item);
    } else if (item->kind == MQTT_ITEM_LOST) {
        mqtt_lost(mqtt);
    }
    free(item);
}

/* --- what the gate tells --- */

static void gate_drain(void *context)
{
    struct mqtt_driver *mqtt = context;
    inbox_drain(mqtt->inbox);
}

static void gate_unstored(void *context, size_t *ret_count, size_t *ret_size)
{
    const struct mqtt_driver *mqtt = context;
    *ret_count = (size_t)(mqtt->arrived - mqtt->settled);
    *ret_size = mqtt->unstored_size;
}

/* True: it is on its way. */
static bool mqtt_forget(struct mqtt_driver *mqtt)
{
    uint8_t value[MQTT_IDS_HEAD_SIZE];
    mqtt_ids_head(&mqtt->ids, value);
    mqtt->owes_forget =
        driver_cursor_commit(mqtt->host, MQTT_IDS_KEY_HEAD, (struct slice){value, sizeof value},
                             &mqtt->forget_ticket) != ERR_OK;
    if (mqtt->owes_forget) {
        mqtt->forget_ticket = 0;
        return false;
    }
    mqtt->ids.has_head = true;
    mqtt->ticket = mqtt->forget_ticket;
    return true;
}

static bool gate_connack(void *context, const struct mqtt_connack *connack)
{
    struct mqtt_driver *mqtt = context;
    if (connack->code) {
        struct why why;
        why_set(&why, "the broker refuses the connection: %s", mqtt_refusal_text(connack->code));
        driver_fault(mqtt->host, &why);
        return true;
    }
    mqtt_window_restart(&mqtt->window);
    bool is_known = !mqtt->forget_ticket && !mqtt->owes_forget;
    if (connack->session_present) {
        if (is_known) {
            mqtt_await_answer(mqtt);
        }
        return is_known;
    }
    /* A new session, whose ids begin again. That the old ones are forgotten must be durable before
     * its first message comes, which is not before we have subscribed. */
    mqtt->session++;
    if (mqtt->options->dedupe == MQTT_DEDUPE_OFF || (mqtt_ids_is_empty(&mqtt->ids) && is_known)) {
        mqtt_await_answer(mqtt);
        return true;
    }
    mqtt_ids_forget(&mqtt->ids);
    mqtt->is_blocked = !mqtt_forget(mqtt) || mqtt->is_blocked;
    return false;
}

static void gate_released(void *context, size_t count, size_t held)
{
    struct mqtt_driver *mqtt = context;
    (void)held;
    driver_count(mqtt->host, "acknowledged", count);
    mqtt_window_released(&mqtt->window, count);
    timer_arm(&mqtt->quiet, QUIET_MS + 2 * (uint64_t)mqtt_gate_round_trip_ms(mqtt->gate));
}

static void gate_trouble(void *context, const struct why *why)
{
    struct mqtt_driver *mqtt = context;
    struct why told = *why;
    why_add(&told, "%s", mqtt->options->url);
    driver_fault(mqtt->host, &told);
}

static void gate_wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    const struct mqtt_driver *mqtt = context;
    driver_wire_bytes(mqtt->host, sent, received);
}

static const char *gate_interface(void *context)
{
    const struct mqtt_driver *mqtt = context;
    return driver_interface(mqtt->host);
}

static void gate_count(void *context, const char *name, uint64_t add)
{
    const struct mqtt_driver *mqtt = context;
    driver_count(mqtt->host, name, add);
}

/* Nothing arrives any more: is it because the broker, or our own limit, waits for the commit? */
static void mqtt_quiet(struct timer *timer)
{
    struct mqtt_driver *mqtt = CONTAINER_OF(timer, struct mqtt_driver, quiet);
    if (mqtt_gate_is_busy(mqtt->gate)) {
        return; /* what comes arms the timer again */
    }
    bool is_full = mqtt_window_is_full(&mqtt->window, mqtt_gate_held(mqtt->gate));
    if ((is_full || mqtt_gate_is_full(mqtt->gate)) && mqtt->offered > mqtt->settled) {
        driver_commit(mqtt->host);
    }
}

/* --- the class --- */

static void mqtt_close(struct driver *driver)
{
    struct mqtt_driver *mqtt = driver ? mqtt_of(driver) : NULL;
    if (!mqtt) {
        return;
    }
    mqtt->is_stopping = mqtt->is_closing = true;
    mqtt_gate_close(mqtt->gate);
    mqtt_engine_close(mqtt->engine);
    inbox_close(mqtt->inbox);
    timer_release(&mqtt->quiet);
    mqtt_connect_release(mqtt);
    for (size_t i = 0; mqtt->ring && i < MQTT_RING; i++) {
        free(mqtt->ring[i].item);
    }
    free(mqtt->ring);
    free(mqtt->filters);
    sparkplug_close(mqtt->sparkplug);
    mqtt_ids_release(&mqtt->ids);
    tls_close(mqtt->tls);
    free(mqtt);
}

/* The topics without those that others cover. */
static enum err mqtt_filters_make(struct mqtt_driver *mqtt)
{
    char *const *topics = mqtt->options->topics.items;
    size_t count = mqtt->options->topics.count;
    mqtt->filters = calloc(count, sizeof *mqtt->filters);
    if (!mqtt->filters) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        bool is_covered = false;
        for (size_t k = 0; k < count; k++) {
            bool covers = k != i && mqtt_filter_covers(topics[k], topics[i]);
            bool is_equal = covers && mqtt_filter_covers(topics[i], topics[k]);
            is_covered = is_covered || (covers && (!is_equal || k < i));
        }
        if (!is_covered) {
            mqtt->filters[mqtt->filter_count++] = topics[i];
        }
    }
    return ERR_OK;
}

static enum err mqtt_open_gate(struct mqtt_driver *mqtt, const struct driver_setup *setup,
                               struct why *why)
{
    const struct mqtt_options *options = mqtt->options;
    struct mqtt_url url;
    enum err e = mqtt_url_parse(options->url, &url, why);
    if (!e && url.is_tls) {
        e = tls_open(&mqtt->tls, &options->tls, TLS_CLIENT, why);
    }
    if (e) {
        return e;
    }
    struct mqtt_gate_options gate = {
        .loop = setup->loop,
        .names = setup->names,
        .handler = {gate_drain, gate_unstored, gate_connack, gate_released, gate_trouble,
                    gate_count},
        .context = mqtt,
        .wire_bytes = gate_wire_bytes,
        .interface_name = gate_interface,
        .host = url.host,
        .port = url.port,
        .tls = mqtt->tls,
        .server_name = options->tls.server_name,
        .is_5 = options->protocol == MQTT_PROTOCOL_5,
        .keepalive_s = (uint32_t)(options->keepalive_ms / 1000),
        .filter_count = mqtt->filter_count,
        .size_max = (uint32_t)options->message_size_max,
        .unstored_count_max = MQTT_UNSTORED_COUNT_MAX,
        .unstored_size_max = MQTT_UNSTORED_SIZE_MAX,
    };
    return mqtt_gate_open(&mqtt->gate, &gate, why);
}

static enum err mqtt_open_engine(struct mqtt_driver *mqtt, const char *agent_id, struct why *why)
{
    const struct mqtt_options *options = mqtt->options;
    char client_id[MQTT_CLIENT_ID_SIZE];
    mqtt_client_id(options, agent_id, driver_name(mqtt->host), client_id);
    struct mqtt_engine_setup engine = {
        .inbox = mqtt->inbox,
        .port = mqtt_gate_port(mqtt->gate),
        .is_5 = options->protocol == MQTT_PROTOCOL_5,
        .client_id = client_id,
        .user = options->user,
        .password = options->password,
        .keepalive_s = (uint16_t)(options->keepalive_ms / 1000),
        .receive_max = (uint16_t)options->receive_max,
        .session_expiry_s = (uint32_t)(options->session_expiry_ms / 1000),
        .packet_size_max = (uint32_t)options->message_size_max + MQTT_HEAD_SIZE_MAX,
        .filters = mqtt->filters,
        .filter_count = mqtt->filter_count,
        .qos = (unsigned)options->qos,
        .with_properties = options->user_properties,
    };
    return mqtt_engine_open(&mqtt->engine, &engine, why);
}

static void mqtt_restore(void *context, uint32_t key, struct slice value)
{
    struct mqtt_driver *mqtt = context;
    mqtt_ids_restore(&mqtt->ids, key, value);
}

static enum err mqtt_open_memory(struct mqtt_driver *mqtt)
{
    uint8_t key[16];
    random_bytes(key, sizeof key);
    enum err e = mqtt_ids_init(&mqtt->ids, key);
    mqtt->ring = calloc(MQTT_RING, sizeof *mqtt->ring);
    if (e || !mqtt->ring) {
        return ERR_NOMEM;
    }
    if (mqtt->options->payload == MQTT_PAYLOAD_SPARKPLUG_B &&
        sparkplug_open(&mqtt->sparkplug, MQTT_JSON_SIZE_MAX)) {
        return ERR_NOMEM;
    }
    driver_cursor_each(mqtt->host, mqtt_restore, mqtt);
    mqtt_ids_restored(&mqtt->ids);
    e = mqtt_filters_make(mqtt);
    return e ? e : inbox_open(&mqtt->inbox, mqtt->loop, INBOX_MAX, mqtt_receive, mqtt);
}

static enum err mqtt_open(struct driver **ret, const struct driver_setup *setup, struct why *why)
{
    struct mqtt_driver *mqtt = calloc(1, sizeof *mqtt);
    if (!mqtt) {
        return ERR_NOMEM;
    }
    mqtt->driver.class_ = &mqtt_class;
    mqtt->host = setup->host;
    mqtt->loop = setup->loop;
    mqtt->options = setup->options;
    mqtt->window.sent =
        mqtt->options->protocol == MQTT_PROTOCOL_5 ? (size_t)mqtt->options->receive_max : 0;
    timer_init(&mqtt->quiet, setup->loop, mqtt_quiet);
    mqtt_connect_init(mqtt);
    enum err e = mqtt_options_check(mqtt->options, why);
    e = e ? e : mqtt_open_memory(mqtt);
    e = e ? e : mqtt_open_gate(mqtt, setup, why);
    e = e ? e : mqtt_open_engine(mqtt, setup->agent_id, why);
    if (e) {
        mqtt_close(&mqtt->driver);
        return e;
    }
    mqtt_connect_start(mqtt);
    *ret = &mqtt->driver;
    return ERR_OK;
}

static void mqtt_resume(struct driver *driver)
{
    struct mqtt_driver *mqtt = mqtt_of(driver);
    mqtt->is_blocked = mqtt->owes_forget && !mqtt_forget(mqtt);
    mqtt_pump(mqtt);
}

static void mqtt_stored(struct driver *driver, uint64_t ticket)
{
    struct mqtt_driver *mqtt = mqtt_of(driver);
    mqtt->stored = ticket;
    mqtt_settle(mqtt);
    if (mqtt->forget_ticket && mqtt->forget_ticket <= ticket) {
        mqtt->forget_ticket = 0;
        mqtt_await_answer(mqtt);
        mqtt_gate_go_on(mqtt->gate);
    }
}

static void mqtt_stop(struct driver *driver)
{
    struct mqtt_driver *mqtt = mqtt_of(driver);
    mqtt->is_stopping = true;
    timer_disarm(&mqtt->quiet);
    mqtt_connect_stop(mqtt);
    mqtt_gate_stop(mqtt->gate);
}

const struct driver_class mqtt_class = {
    .type = "mqtt",
    .help = "Subscribes to topics of an MQTT broker, 5 or 3.1.1. A message is acknowledged when it "
            "is stored; what the broker sends again after a crash is stored once.",
    .options = mqtt_options_table,
    .options_size = sizeof(struct mqtt_options),
    .is_in_line = true,
    .check = mqtt_options_check,
    .probe = mqtt_probe_open,
    .open = mqtt_open,
    .resume = mqtt_resume,
    .stored = mqtt_stored,
    .stop = mqtt_stop,
    .close = mqtt_close,
};
