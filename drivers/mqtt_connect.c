/* The MQTT driver's connection: it is made, subscribed, and made again. */
#include "drivers/mqtt_impl.h"
#include "ports/log.h"

#define CONNECT_MS_MIN 1000
#define CONNECT_MS_MAX 30000
#define CHECK_MS 10000
#define SUBACK_MS 30000
#define REFUSED_MS 300000 /* by then the broker's rights may have been mended */

/* --- connecting --- */

static void mqtt_connect(struct timer *timer)
{
    struct mqtt_driver *mqtt = CONTAINER_OF(timer, struct mqtt_driver, connect);
    struct why why = {{0}};
    if (mqtt_engine_connect(mqtt->engine, &why) != ERR_OK) {
        timer_arm(&mqtt->connect, CONNECT_MS_MAX);
        driver_fault(mqtt->host, &why);
    }
}

static void mqtt_connect_later(struct mqtt_driver *mqtt)
{
    if (mqtt->is_stopping || timer_is_armed(&mqtt->connect)) {
        return;
    }
    timer_arm(&mqtt->connect, mqtt->connect_ms);
    mqtt->connect_ms =
        mqtt->connect_ms * 2 < CONNECT_MS_MAX ? mqtt->connect_ms * 2 : CONNECT_MS_MAX;
}

/* The engine tells when it is not connected any more, unless it had no memory to do so. */
static void mqtt_check(struct timer *timer)
{
    struct mqtt_driver *mqtt = CONTAINER_OF(timer, struct mqtt_driver, check);
    bool is_idle = mqtt_gate_is_idle(mqtt->gate) && !timer_is_armed(&mqtt->connect);
    if (is_idle && mqtt->was_idle) {
        mqtt_connect_later(mqtt);
    }
    mqtt->was_idle = is_idle;
    timer_arm(&mqtt->check, CHECK_MS);
}

/* --- subscribing --- */

/* The library subscribes, as soon as CONNACK has passed. */
void mqtt_await_answer(struct mqtt_driver *mqtt)
{
    mqtt->is_refused = false;
    timer_arm(&mqtt->subscribe, mqtt->answer_ms);
}

static void mqtt_subscribe_again(struct timer *timer)
{
    struct mqtt_driver *mqtt = CONTAINER_OF(timer, struct mqtt_driver, subscribe);
    if (!mqtt_gate_is_connected(mqtt->gate)) {
        return;
    }
    if (mqtt_gate_is_full(mqtt->gate)) {
        timer_arm(&mqtt->subscribe, mqtt->answer_ms); /* the answer is behind what has no room */
        return;
    }
    mqtt_gate_break(mqtt->gate, mqtt->is_refused
                                    ? "the broker refused a subscription: trying it again"
                                    : "the broker gave no answer to SUBSCRIBE");
}

void mqtt_subscribed(struct mqtt_driver *mqtt, const struct mqtt_item *item)
{
    timer_disarm(&mqtt->subscribe);
    for (size_t i = 0; i < item->payload.size && i < mqtt->filter_count; i++) {
        if (item->payload.data[i] >= 0x80) {
            struct why why;
            why_set(&why,
                    "the broker refuses the subscription to \"%.200s\" (code 0x%02x): look "
                    "at what it allows this user",
                    mqtt->filters[i], item->payload.data[i]);
            driver_fault(mqtt->host, &why);
            mqtt->is_refused = true;
            timer_arm(&mqtt->subscribe, mqtt->refused_ms);
            return;
        }
        if (item->payload.data[i] < mqtt->options->qos) {
            log_warn(driver_name(mqtt->host),
                     "the broker grants \"%s\" with QoS 0 only: messages may be lost",
                     mqtt->filters[i]);
        }
    }
    mqtt->connect_ms = CONNECT_MS_MIN;
    driver_fault(mqtt->host, NULL);
}

/* --- verbs --- */

void mqtt_lost(struct mqtt_driver *mqtt)
{
    timer_disarm(&mqtt->subscribe);
    mqtt_connect_later(mqtt);
}

void mqtt_connect_init(struct mqtt_driver *mqtt)
{
    timer_init(&mqtt->connect, mqtt->loop, mqtt_connect);
    timer_init(&mqtt->check, mqtt->loop, mqtt_check);
    timer_init(&mqtt->subscribe, mqtt->loop, mqtt_subscribe_again);
    mqtt->connect_ms = CONNECT_MS_MIN;
    mqtt->answer_ms = SUBACK_MS;
    mqtt->refused_ms = REFUSED_MS;
}

void mqtt_connect_start(struct mqtt_driver *mqtt)
{
    timer_arm(&mqtt->connect, 0);
    timer_arm(&mqtt->check, CHECK_MS);
}

void mqtt_connect_stop(struct mqtt_driver *mqtt)
{
    timer_disarm(&mqtt->connect);
    timer_disarm(&mqtt->subscribe);
}

void mqtt_connect_release(struct mqtt_driver *mqtt)
{
    timer_release(&mqtt->connect);
    timer_release(&mqtt->check);
    timer_release(&mqtt->subscribe);
}
