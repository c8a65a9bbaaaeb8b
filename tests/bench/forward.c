/* The baseline of MQTT: libmosquitto's subscriber with QoS 1 and a librdkafka producer, which sends
 * each payload as it is, with zstd. Nothing durable: a message is acknowledged when librdkafka has
 * taken it into its memory. Ends when COUNT records are answered; 0: when it has subscribed.
 * usage: forward MQTT_PORT CLIENT_ID FILTER BROKERS TOPIC COUNT */
#include <librdkafka/rdkafka.h>
#include <mosquitto.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct forward {
    struct mosquitto *client;
    rd_kafka_t *producer;
    const char *filter;
    const char *topic;
    long failed;
    long delivered;
    bool is_subscribed;
};

static void report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct forward *forward = opaque;
    (void)rk;
    if (message->err) {
        forward->failed++;
    } else {
        forward->delivered++;
    }
}

static void connected(struct mosquitto *client, void *opaque, int code)
{
    struct forward *forward = opaque;
    if (code || mosquitto_subscribe(client, NULL, forward->filter, 1)) {
        fprintf(stderr, "no subscription: %s\n", mosquitto_connack_string(code));
        exit(3);
    }
}

static void subscribed(struct mosquitto *client, void *opaque, int id, int count,
                       const int *granted)
{
    struct forward *forward = opaque;
    (void)client;
    (void)id;
    forward->is_subscribed = count == 1 && granted[0] == 1;
}

static void arrived(struct mosquitto *client, void *opaque, const struct mosquitto_message *message)
{
    struct forward *forward = opaque;
    rd_kafka_resp_err_t e;
    (void)client;
    while ((e = rd_kafka_producev(forward->producer, RD_KAFKA_V_TOPIC(forward->topic),
                                  RD_KAFKA_V_VALUE(message->payload, (size_t)message->payloadlen),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        rd_kafka_poll(forward->producer, 10);
    }
    forward->failed += e != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_t *producer_open(struct forward *forward, const char *brokers)
{
    static const char *const settings[][2] = {
        {"compression.codec", "zstd"}, {"enable.idempotence", "true"}, {"linger.ms", "50"}};
    char why[512] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool fits = !rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    for (size_t i = 0; fits && i < sizeof settings / sizeof *settings; i++) {
        fits = !rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why);
    }
    rd_kafka_conf_set_opaque(conf, forward);
    rd_kafka_conf_set_dr_msg_cb(conf, report);
    rd_kafka_t *producer = fits ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why) : NULL;
    if (!producer) {
        fprintf(stderr, "no producer: %s\n", why);
        exit(3);
    }
    return producer;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        return 2;
    }
    long count = atol(argv[6]);
    struct forward forward = {.filter = argv[3], .topic = argv[5]};
    forward.producer = producer_open(&forward, argv[4]);
    mosquitto_lib_init();
    forward.client = mosquitto_new(argv[2], false, &forward);
    mosquitto_connect_callback_set(forward.client, connected);
    mosquitto_subscribe_callback_set(forward.client, subscribed);
    mosquitto_message_callback_set(forward.client, arrived);
    if (mosquitto_connect(forward.client, "127.0.0.1", atoi(argv[1]), 60)) {
        fprintf(stderr, "no MQTT broker on port %s\n", argv[1]);
        return 3;
    }
    while (!forward.is_subscribed || forward.delivered + forward.failed < count) {
        if (mosquitto_loop(forward.client, 10, 1)) {
            fprintf(stderr, "the MQTT broker has ended the connection\n");
            return 3;
        }
        rd_kafka_poll(forward.producer, 0);
    }
    mosquitto_disconnect(forward.client);
    mosquitto_destroy(forward.client);
    rd_kafka_destroy(forward.producer);
    printf("delivered=%ld failed=%ld\n", forward.delivered, forward.failed);
    return forward.failed ? 1 : 0;
}
