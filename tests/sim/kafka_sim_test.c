/* The uplink in the simulation: brokers that misbehave at random, links that break, nodes that are
 * killed, lives that end anywhere. After each seed every event is in the log once, in order per
 * key; each kind of fault must have happened. */
#include "tests/cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/names.h"
#include "tests/sim/kafka_net.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "tests/uplink/kafka_host.h"

#define SEED_COUNT 60
#define LOTS 12
#define LOT_SIZE 40
#define PARTITIONS 4
#define NODES 3

struct totals {
    uint64_t faults[BROKER_SHORT + 1];
    uint64_t lives, kills, cuts, duplicates;
};

static void life_begin(struct uplink_host *host)
{
    struct loop *loop;
    struct names *names;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    host_init(host, loop, names);
    for (unsigned i = 1; i <= NODES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "kafka-%u", i);
        host_broker_add(host, name, 9092);
    }
    host_open(host);
}

static void life_end(struct uplink_host *host)
{
    host_close(host);
    names_close(host->names);
    loop_close(host->loop);
}

/* The parcel is on record, its batches are on their way; the process ends. */
static void life_crash(struct uplink_host *host, struct lot *lot, struct totals *totals)
{
    if (!lot_assign(lot)) {
        return;
    }
    lot_send_all(lot);
    host_run(host, sim_below(200));
    for (uint32_t i = 0; i < lot->parcel.part_count;
         i++) { /* what was answered was not on record yet */
        lot->parcel.parts[i].done = lot->parcel.parts[i].record_count == 0;
    }
    sim_life_crash();
    life_end(host);
    sim_life_end();
    sim_life_begin(sim_below(2));
    life_begin(host);
    lot_revive(lot, host);
    totals->lives++;
}

static void check_ledger(const struct broker *broker, uint64_t count)
{
    uint64_t seen = 0;
    uint64_t last[HOST_KEY_COUNT] = {0};
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        for (size_t i = 0; i < broker_log_count(broker, "events", p); i++) {
            const struct broker_record *record = broker_log_at(broker, "events", p, i);
            char text[32];
            SIM_EXPECT(
                slice_to_text((struct slice){record->body.data + 10, 14}, text, sizeof text));
            uint64_t number = strtoull(text + 6, NULL, 10);
            SIM_EXPECT(number > last[number % HOST_KEY_COUNT]);
            last[number % HOST_KEY_COUNT] = number;
            seen++;
        }
    }
    SIM_EXPECT(seen == count);
}

static void run_seed(uint64_t seed, struct totals *totals)
{
    sim_open(seed);
    struct broker_options options = {.node_count = NODES};
    struct broker *broker = broker_open(&options);
    broker_topic_add(broker, "events", PARTITIONS);
    struct kafka_net *net = kafka_net_open(broker, NODES, "kafka");
    struct uplink_host host;
    kafka_net_faults_set(net, 100000, false);
    net_link()->cut_per_million = 5000;
    life_begin(&host);
    for (uint64_t i = 0; i < LOTS; i++) {
        struct lot *lot = malloc(sizeof *lot);
        assert_non_null(lot);
        unsigned down = (unsigned)sim_below(NODES);
        bool kill = sim_below(4) == 0;
        lot_cut(lot, &host, i * LOT_SIZE + 1, LOT_SIZE);
        while (sim_below(3) == 0) {
            life_crash(&host, lot, totals);
        }
        if (kill) {
            kafka_net_stop(net, down);
            totals->kills++;
        }
        if (sim_below(4) == 0) {
            net_cut_all();
            totals->cuts++;
        }
        SIM_EXPECT(lot_deliver(lot, 600000));
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            totals->duplicates += lot->parts[p].tries > 0 && lot->parts[p].report.was_duplicate;
        }
        lot_release(lot);
        free(lot);
        if (kill) {
            kafka_net_start(net, down);
        }
    }
    SIM_EXPECT(host.in_doubt == 0);
    life_end(&host);
    check_ledger(broker, LOTS * LOT_SIZE);
    for (unsigned i = 0; i <= BROKER_SHORT; i++) {
        totals->faults[i] += kafka_net_fault_count(net, (enum broker_fault_kind)i);
    }
    kafka_net_close(net);
    broker_close(broker);
    sim_close();
}

static void every_seed_keeps_the_ledger(void **state)
{
    (void)state;
    struct totals totals = {0};
    const char *first = getenv("WEIR_SEED"), *count = getenv("WEIR_SEEDS");
    uint64_t seed = first ? strtoull(first, NULL, 10) : 1;
    uint64_t end = seed + (count ? strtoull(count, NULL, 10) : SEED_COUNT);
    bool whole = end - seed >= SEED_COUNT;
    for (; seed < end; seed++) {
        run_seed(seed, &totals);
    }
    static const char *const names[] = {"code",       "code_stored", "late",  "never",
                                        "never_lost", "twice",       "close", "close_stored",
                                        "throttle",   "short"};
    print_message("lives=%" PRIu64 " kills=%" PRIu64 " cuts=%" PRIu64 " duplicates=%" PRIu64,
                  totals.lives, totals.kills, totals.cuts, totals.duplicates);
    for (unsigned i = 0; i <= BROKER_SHORT; i++) {
        print_message(" %s=%" PRIu64, names[i], totals.faults[i]);
        assert_true(totals.faults[i] > 0 || !whole);
    }
    print_message("\n");
    assert_true(!whole || (totals.lives > 0 && totals.kills > 0 && totals.cuts > 0));
    assert_true(!whole || totals.duplicates > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_seed_keeps_the_ledger)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
