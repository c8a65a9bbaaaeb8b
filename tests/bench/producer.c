/* The baseline: a bare librdkafka producer that sends the lines of a file as they are, with zstd,
 * and waits for all answers. No parsing, no schema, nothing durable. usage: producer BROKERS TOPIC
 * FILE [SETTING=VALUE...] */
#include <librdkafka/rdkafka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static long failed;
static long delivered;

static void report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    (void)opaque;
    if (message->err) {
        failed++;
    } else {
        delivered++;
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "%s\n", why);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        return 2;
    }
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "compression.codec", "zstd");
    set(conf, "enable.idempotence", "true");
    set(conf, "linger.ms", "50");
    set(conf, "queue.buffering.max.messages", "200000");
    for (int i = 4; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals) {
            *equals = 0;
            set(conf, argv[i], equals + 1);
        }
    }
    rd_kafka_conf_set_dr_msg_cb(conf, report);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    FILE *file = fopen(argv[3], "r");
    if (!rk || !file) {
        fprintf(stderr, "cannot open %s: %s\n", rk ? argv[3] : "a producer",
                rk ? "no such file" : why);
        return 3;
    }
    char *line = NULL;
    size_t room = 0;
    long sent = 0;
    for (ssize_t size; (size = getline(&line, &room, file)) > 0; sent++) {
        rd_kafka_resp_err_t e;
        size -= line[size - 1] == '\n';
        while ((e = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(argv[2]),
                                      RD_KAFKA_V_VALUE(line, (size_t)size),
                                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
               RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            rd_kafka_poll(rk, 10);
        }
        if (e) {
            fprintf(stderr, "%s\n", rd_kafka_err2str(e));
            return 3;
        }
        rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 60000);
    rd_kafka_destroy(rk);
    printf("sent=%ld delivered=%ld failed=%ld\n", sent, delivered, failed);
    return delivered == sent ? 0 : 1;
}
