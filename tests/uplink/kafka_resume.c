/* Loses the answer to a batch on a real broker, lets something happen there, and sends the batch again as
 * the next life of the process would:
 *
 *   kafka_resume --brokers HOST:PORT --topic T [--between COMMAND] [--later N] [--age HOURS] [--read BYTES]
 *
 * --later: so many newer batches go out under the same producer ids before. --age: the batch looks so much
 * older. --read: in_doubt_read. Prints "ok=N again=N refused=N in_doubt=N received=N", counted over the
 * partitions of the second sending (again: the broker knew it; refused: it goes out under new numbers), and
 * delivers what is left. All in all events 1..400 and 40 for each --later are to be there once. */
#include "tests/cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/names.h"
#include "tests/uplink/kafka_host.h"

#define LOT_SIZE 200
#define LATER_SIZE 40
#define WAIT_MS (120 * 1000)

struct arguments {
    char *broker;
    const char *between;
    uint64_t later, age_hours;
};

static void parse(int argc, char **argv, struct arguments *ret, struct kafka_options *options)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t number = strtoull(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--brokers")) {
            ret->broker = argv[i + 1];
        } else if (!strcmp(argv[i], "--topic")) {
            options->topic = argv[i + 1];
        } else if (!strcmp(argv[i], "--between")) {
            ret->between = argv[i + 1];
        } else if (!strcmp(argv[i], "--later")) {
            ret->later = number;
        } else if (!strcmp(argv[i], "--age")) {
            ret->age_hours = number;
        } else if (!strcmp(argv[i], "--read")) {
            options->in_doubt_read_max = (int64_t)number;
        } else {
            ret->broker = NULL;
            break;
        }
    }
    char *colon = ret->broker ? strrchr(ret->broker, ':') : NULL;
    if (!colon || argc % 2 == 0) {
        (void)fprintf(stderr, "usage: kafka_resume --brokers HOST:PORT --topic T ...\n");
        exit(2);
    }
    *colon = '\0';
}

static void deliver(struct uplink_host *host, uint64_t first, uint64_t count)
{
    struct lot *lot = calloc(1, sizeof *lot);
    assert_non_null(lot);
    lot_cut(lot, host, first, count);
    assert_true(lot_deliver(lot, WAIT_MS));
    lot_release(lot);
    free(lot);
}

/* The answers come, and are lost with the process. */
static void lose(struct uplink_host *host, struct lot *lot, const struct arguments *arguments)
{
    lot_cut(lot, host, LOT_SIZE + 1, LOT_SIZE);
    assert_true(lot_assign(lot));
    lot_send_all(lot);
    assert_true(lot_wait(lot, WAIT_MS));
    for (uint64_t i = 0; i < arguments->later; i++) {
        deliver(host, 2 * LOT_SIZE + 1 + i * LATER_SIZE, LATER_SIZE);
    }
    host_close(host);
    for (uint32_t p = 0; p < lot->parcel.part_count; p++) {
        assert_int_equal(lot->parts[p].report.result, SEND_OK);
        lot->parcel.parts[p].sent_ms -= (int64_t)arguments->age_hours * 60 * 60 * 1000;
    }
}

/* The next life sends what is in doubt, until each partition has an answer: a broker that has just
 * started, or leads since a moment, says "not yet" for a while. */
static void send_again(struct uplink_host *host, struct lot *lot)
{
    lot_revive(lot, host);
    for (uint32_t p = 0; p < lot->parcel.part_count; p++) {
        lot->parts[p].report.result = SEND_RETRY;
    }
    for (bool all = false; !all;) {
        for (uint32_t p = 0; p < lot->parcel.part_count; p++) {
            if (!lot->parcel.parts[p].done && lot->parts[p].report.result == SEND_RETRY) {
                lot_send(lot, p);
            }
        }
        assert_true(lot_wait(lot, WAIT_MS));
        all = true;
        for (uint32_t p = 0; p < lot->parcel.part_count; p++) {
            all = all && (lot->parcel.parts[p].done || lot->parts[p].report.result != SEND_RETRY);
        }
        host_run(host, 200);
    }
}

static void tell(const struct uplink_host *host, const struct lot *lot)
{
    unsigned ok = 0, again = 0, refused = 0;
    for (uint32_t p = 0; p < lot->parcel.part_count; p++) {
        const struct lot_part *part = &lot->parts[p];
        if (part->answered) {
            ok += part->report.result == SEND_OK;
            again += part->report.was_duplicate;
            refused += part->report.result == SEND_REASSIGN;
            (void)fprintf(stderr, "partition %u: %s\n", p, part->report.text);
        }
    }
    (void)printf("ok=%u again=%u refused=%u in_doubt=%" PRIu64 " received=%" PRIu64 "\n", ok, again,
                 refused, host->in_doubt, host->wire_received);
}

int main(int argc, char **argv)
{
    struct loop *loop;
    struct names *names;
    struct uplink_host host;
    struct arguments arguments = {0};
    struct lot *lot = calloc(1, sizeof *lot);
    if (!lot || loop_open(&loop) || names_open(&names, loop)) {
        return 3;
    }
    host_init(&host, loop, names);
    parse(argc, argv, &arguments, &host.options);
    host.options.request_timeout_ms = 30000;
    host_broker_add(&host, arguments.broker,
                    (uint16_t)strtoul(arguments.broker + strlen(arguments.broker) + 1, NULL, 10));
    host_open(&host);
    deliver(&host, 1, LOT_SIZE);
    lose(&host, lot, &arguments);
    if (arguments.between && system(arguments.between) != 0) {
        (void)fprintf(stderr, "%s: failed\n", arguments.between);
        return 3;
    }
    host_open(&host);
    host.wire_received = 0;
    struct target target;
    assert_true(host_target(&host, &target, WAIT_MS));
    send_again(&host, lot);
    tell(&host, lot);
    assert_true(lot_deliver(lot, WAIT_MS));
    host_close(&host);
    lot_release(lot);
    free(lot);
    names_close(names);
    loop_close(loop);
    return 0;
}
