/* Sends numbered events through the uplink to a broker that is really there, parcel by parcel, and
 * ends when all are stored. With --crash, every now and then the uplink is thrown away while
 * batches are in flight, and the next one sends them again under their numbers, as a new process
 * would.
 *
 *   kafka_send --brokers HOST:PORT[,HOST:PORT...] --topic T --count N [--parcel N] [--pause MS]
 * [--crash PERCENT] [--while FILE]
 *              [--ca FILE] [--user U --password P] [--registry URL] [--timeout S]
 *
 * With --while it goes on after N events as long as that file is there.
 * Prints "sent=N duplicates=N crashes=N wire_sent=N wire_received=N"; exit 0 when all was stored.
 * Exit 1: not in time, or refused for good, with the uplink's own sentence on stderr. */
#include "tests/cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ports/names.h"
#include "ports/random.h"
#include "tests/uplink/kafka_host.h"

struct arguments {
    char *brokers;
    const char *topic;
    const char *while_path;
    uint64_t count, parcel, pause_ms, crash_percent, timeout_s;
};

static void usage(void)
{
    (void)fprintf(stderr, "usage: kafka_send --brokers HOST:PORT[,...] --topic T --count N ...\n");
    exit(2);
}

static void parse(int argc, char **argv, struct arguments *ret, struct kafka_options *options)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        uint64_t number = strtoull(value, NULL, 10);
        if (!strcmp(name, "--brokers")) {
            ret->brokers = argv[i + 1];
        } else if (!strcmp(name, "--topic")) {
            options->topic = value;
        } else if (!strcmp(name, "--count")) {
            ret->count = number;
        } else if (!strcmp(name, "--parcel")) {
            ret->parcel = number;
        } else if (!strcmp(name, "--pause")) {
            ret->pause_ms = number;
        } else if (!strcmp(name, "--crash")) {
            ret->crash_percent = number;
        } else if (!strcmp(name, "--while")) {
            ret->while_path = value;
        } else if (!strcmp(name, "--timeout")) {
            ret->timeout_s = number;
        } else if (!strcmp(name, "--ca")) {
            options->tls = (struct tls_options){.is_set = true, .ca = value};
        } else if (!strcmp(name, "--user")) {
            options->sasl.is_set = true;
            options->sasl.user = value;
        } else if (!strcmp(name, "--password")) {
            options->sasl.password = value;
        } else if (!strcmp(name, "--registry")) {
            options->registry =
                (struct registry_options){.is_set = true, .url = value, .may_register = true};
        } else {
            usage();
        }
    }
    if (!ret->brokers || ret->count == 0 || argc % 2 == 0) {
        usage();
    }
}

static void brokers_add(struct uplink_host *host, char *list)
{
    char *rest = list;
    for (char *one = strsep(&rest, ","); one; one = strsep(&rest, ",")) {
        char *colon = strrchr(one, ':');
        if (!colon) {
            usage();
        }
        *colon = '\0';
        host_broker_add(host, one, (uint16_t)strtoul(colon + 1, NULL, 10));
    }
}

/* Sends what is open, and throws the uplink away before the answers can have come. */
static void crash(struct uplink_host *host, struct lot *lot)
{
    if (!lot_assign(lot)) {
        return;
    }
    lot_send_all(lot);
    host_run(host, random_below(12));
    for (uint32_t i = 0; i < lot->parcel.part_count;
         i++) { /* answers that came are lost with the process */
        lot->parcel.parts[i].done = lot->parcel.parts[i].record_count == 0;
    }
    host_close(host);
    host_open(host);
    lot_revive(lot, host);
}

int main(int argc, char **argv)
{
    struct loop *loop;
    struct names *names;
    struct uplink_host host;
    struct arguments arguments = {.parcel = 100, .timeout_s = 60};
    if (loop_open(&loop) || names_open(&names, loop)) {
        return 3;
    }
    host_init(&host, loop, names);
    parse(argc, argv, &arguments, &host.options);
    brokers_add(&host, arguments.brokers);
    host_open(&host);
    uint64_t sent = 0, duplicates = 0, crashes = 0;
    struct target target;
    if (!host_target(&host, &target, arguments.timeout_s * 1000)) {
        (void)fprintf(stderr, "%s\n", host.fault.text);
        host_close(&host);
        return 1;
    }
    while (sent < arguments.count ||
           (arguments.while_path && access(arguments.while_path, F_OK) == 0)) {
        struct lot *lot = malloc(sizeof *lot);
        assert_non_null(lot);
        uint64_t left = sent < arguments.count ? arguments.count - sent : arguments.parcel;
        lot_cut(lot, &host, sent + 1, left < arguments.parcel ? left : arguments.parcel);
        while (random_below(100) < arguments.crash_percent) {
            crash(&host, lot);
            crashes++;
        }
        if (!lot_deliver(lot, arguments.timeout_s * 1000)) {
            (void)fprintf(stderr, "after %" PRIu64 " events: %s\n", sent, host.fault.text);
            return 1;
        }
        for (uint32_t i = 0; i < lot->parcel.part_count; i++) {
            duplicates += lot->parts[i].tries > 0 && lot->parts[i].report.was_duplicate;
        }
        sent += lot->count;
        lot_release(lot);
        free(lot);
        if (arguments.pause_ms > 0) {
            host_run(&host, arguments.pause_ms);
        }
    }
    host_close(&host);
    (void)printf("sent=%" PRIu64 " duplicates=%" PRIu64 " crashes=%" PRIu64 " wire_sent=%" PRIu64
                 " wire_received=%" PRIu64 "\n",
                 sent, duplicates, crashes, host.wire_sent, host.wire_received);
    names_close(names);
    loop_close(loop);
    return 0;
}
