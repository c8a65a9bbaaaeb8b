/* The uplink kafka in single troubles, on simulated time: what it asks the brokers and how often,
 * when it waits, what it makes of doubtful answers. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "ports/names.h"
#include "tests/sim/kafka_net.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "tests/uplink/kafka_host.h"
#include "uplink/kafka/wire.h"

#define PARTITIONS 4
#define NOBODY (BROKER_NODE_MAX - 1) /* a node that never runs */
#define NODES 2
#define HOUR_US (INT64_C(3600) * 1000000)

struct scene {
    struct broker *broker;
    struct kafka_net *net;
    struct uplink_host host;
    struct lot lot, second;
};

static void life_begin(struct scene *scene)
{
    struct loop *loop;
    struct names *names;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    host_init(&scene->host, loop, names);
    host_broker_add(&scene->host, "kafka-1", 9092);
}

static void life_end(struct scene *scene)
{
    host_close(&scene->host);
    names_close(scene->host.names);
    loop_close(scene->host.loop);
}

/* The uplink is opened by the test, once it has its options. */
static struct scene *scene_begin(const struct broker_options *options)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct broker_options chosen = options ? *options : (struct broker_options){0};
    assert_non_null(scene);
    chosen.node_count = NODES;
    sim_open(1);
    scene->broker = broker_open(&chosen);
    broker_topic_add(scene->broker, "events", PARTITIONS);
    scene->net = kafka_net_open(scene->broker, NODES, "kafka");
    life_begin(scene);
    return scene;
}

static void scene_end(struct scene *scene)
{
    life_end(scene);
    lot_release(&scene->lot);
    lot_release(&scene->second);
    kafka_net_close(scene->net);
    broker_close(scene->broker);
    sim_close();
    free(scene);
}

static void leaders_set(struct scene *scene, unsigned node)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        broker_leader_set(scene->broker, "events", p, node);
    }
}

static uint64_t count_of(const struct scene *scene, enum wire_api api)
{
    return broker_request_count(scene->broker, (int16_t)api);
}

static void fault(struct scene *scene, enum wire_api api, enum broker_fault_kind kind, int16_t code,
                  uint32_t value)
{
    struct broker_fault one = {(int16_t)api, kind, code, value};
    broker_fault_add(scene->broker, &one);
}

static uint64_t log_count(const struct scene *scene)
{
    uint64_t count = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        count += broker_log_count(scene->broker, "events", p);
    }
    return count;
}

/* Every part that was sent ended so. */
static void check_results(const struct lot *lot, enum send_result result)
{
    unsigned sent = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (lot->parts[p].tries > 0) {
            assert_int_equal(lot->parts[p].report.result, result);
            sent++;
        }
    }
    assert_true(sent > 0);
}

/* --- how often --- */

/* Metadata names a leader that cannot be reached: a wrong advertised address, a node that is down
 * and not replaced. */
static void a_leader_out_of_reach_is_asked_for_with_growing_pauses(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    leaders_set(scene, 1);
    broker_address_set(scene->broker, 1, "nowhere", 9092);
    scene->host.options.request_timeout_ms = 60000;
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    uint64_t before = count_of(scene, WIRE_METADATA);
    lot_send_all(&scene->lot);
    host_run(&scene->host, 30000);
    assert_in_range(count_of(scene, WIRE_METADATA) - before, 3, 20);
    assert_non_null(strstr(scene->host.fault.text, "nowhere"));
    broker_address_set(scene->broker, 1, "kafka-2", 9092);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_int_equal(log_count(scene), 40);
    scene_end(scene);
}

/* -1 is how metadata says that nobody leads, and is no broker. */
static void nothing_is_sent_to_a_leader_that_does_not_exist(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    leaders_set(scene, NOBODY);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    host_run(&scene->host, 1500);
    assert_int_equal(count_of(scene, WIRE_PRODUCE), 0);
    leaders_set(scene, 0);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_int_equal(log_count(scene), 40);
    scene_end(scene);
}

/* A port that wants a login takes the connection, tells its versions, and closes at the
 * first request. */
static void a_connection_that_never_serves_is_not_opened_at_once_again(void **state)
{
    (void)state;
    struct broker_options options = {.user = "weir", .password = "secret-word"};
    struct scene *scene = scene_begin(&options);
    host_open(&scene->host);
    struct target target;
    assert_false(host_target(&scene->host, &target, 120000));
    assert_in_range(count_of(scene, WIRE_API_VERSIONS), 5, 25);
    assert_non_null(strstr(scene->host.fault.text, "set \"sasl\""));
    scene_end(scene);
}

static void producer_ids_are_asked_for_with_growing_pauses(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    for (unsigned i = 0; i < BROKER_FAULT_MAX; i++) {
        fault(scene, WIRE_INIT_PRODUCER_ID, BROKER_CODE, 15, 0);
    }
    lot_cut(&scene->lot, &scene->host, 1, 40);
    uint32_t part = 0;
    assert_int_equal(kafka_class.assign(scene->host.uplink, &scene->lot.parcel, &part, 1),
                     ERR_AGAIN);
    host_run(&scene->host, 20000);
    assert_in_range(count_of(scene, WIRE_INIT_PRODUCER_ID), 5, 16);
    assert_non_null(strstr(scene->host.fault.text, "COORDINATOR_NOT_AVAILABLE"));
    broker_faults_clear(scene->broker);
    assert_true(lot_deliver(&scene->lot, 5000));
    assert_int_equal(log_count(scene), 40);
    scene_end(scene);
}

static void a_right_that_is_missing_is_asked_for_each_minute(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    for (unsigned i = 0; i < BROKER_FAULT_MAX; i++) {
        fault(scene, WIRE_METADATA, BROKER_CODE, 29, 0);
    }
    struct target target;
    struct why why;
    enum err e = ERR_AGAIN;
    for (unsigned minute = 0; minute < 10; minute++) {
        host_run(&scene->host, 60000);
        e = kafka_class.target(scene->host.uplink, &scene->host.stream, &scene->host.schema,
                               &target, &why);
    }
    assert_int_equal(e, ERR_REJECTED);
    assert_non_null(strstr(why.text, "WRITE"));
    assert_in_range(count_of(scene, WIRE_METADATA), 5, 11);
    broker_faults_clear(scene->broker);
    host_run(&scene->host, 61000);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->lot, 5000));
    scene_end(scene);
}

static void names_that_are_not_known_are_waited_for(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    net_name_fails(NULL, true);
    host_open(&scene->host);
    struct target target;
    assert_false(host_target(&scene->host, &target, 120000));
    assert_non_null(strstr(scene->host.fault.text, "kafka-1"));
    assert_int_equal(count_of(scene, WIRE_API_VERSIONS), 0);
    net_name_fails(NULL, false);
    assert_true(host_target(&scene->host, &target, 31000));
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->lot, 5000));
    assert_string_equal(scene->host.fault.text, "");
    scene_end(scene);
}

/* One broker of several is down for long, and nobody stands in for it: what works does not say
 * each time that all is well again. */
static void a_part_that_is_broken_is_not_told_again_and_again(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    leaders_set(scene, 0);
    broker_leader_set(scene->broker, "events", 3, 1);
    broker_address_set(scene->broker, 1, "nowhere", 9092);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    for (unsigned i = 0; i < 120; i++) {
        if (!scene->lot.parts[3].lent) {
            lot_send(&scene->lot, 3);
        }
        lot_cut(&scene->second, &scene->host, 41 + i * 3, 3);
        scene->second.parcel.parts[3].done = true;
        assert_true(lot_deliver(&scene->second, 2000));
        lot_release(&scene->second);
        scene->second = (struct lot){0};
        host_run(&scene->host, 1000);
    }
    assert_non_null(strstr(scene->host.fault.text, "nowhere"));
    assert_in_range(scene->host.mended_count, 0, 20);
    broker_address_set(scene->broker, 1, "kafka-2", 9092);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_string_equal(scene->host.fault.text, "");
    scene_end(scene);
}

/* --- something else than a broker --- */

struct stranger {
    unsigned mode;
    unsigned connections;
};

static void *stranger_open(void *server, struct net_peer *peer)
{
    struct stranger *stranger = server;
    (void)peer;
    stranger->connections++;
    return stranger;
}

static void stranger_gone(void *context, struct net_peer *peer)
{
    (void)context;
    (void)peer;
}

/* The answer to ApiVersions, whose correlation is 0. */
static void stranger_data(void *context, struct net_peer *peer, struct slice data)
{
    const struct stranger *stranger = context;
    static const uint8_t small[] = {0, 0, 0, 3, 0, 0, 0, 0};
    static const uint8_t negative[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    static const uint8_t absurd[] = {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    static const uint8_t other[] = {0, 0, 0, 4, 0, 0, 0, 9};
    static const uint8_t empty[] = {0, 0, 0, 4, 0, 0, 0, 0};
    static const uint8_t countless[] = {0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff};
    static const uint8_t old[] = {0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t large[] = {0, 0x20, 0, 0, 0, 0, 0, 0};
    static uint8_t filler[0x200000 - 4];
    const struct slice answers[] = {
        {small, sizeof small},   {negative, sizeof negative},
        {absurd, sizeof absurd}, {other, sizeof other},
        {empty, sizeof empty},   {countless, sizeof countless},
        {old, sizeof old},       SLICE("HTTP/1.1 400 Bad Request\r\n\r\n"),
        {data.data, data.size}, /* an echo */
        {large, sizeof large},
    };
    net_send(peer, answers[stranger->mode]);
    if (stranger->mode == ARRAY_COUNT(answers) - 1) {
        net_send(peer, (struct slice){filler, sizeof filler});
    }
}

static void strangers_are_told_apart(void **state)
{
    (void)state;
    static const struct net_handler calls = {stranger_open, stranger_data, stranger_gone};
    static const char *const says[] = {
        "is it a Kafka broker", "is it a Kafka broker", "is it a Kafka broker",
        "is it a Kafka broker", "check host and port",  "check host and port",
        "older than Kafka 2.1", "is it a Kafka broker", NULL,
        "is it a Kafka broker"};
    for (unsigned mode = 0; mode < ARRAY_COUNT(says); mode++) {
        struct scene *scene = scene_begin(NULL);
        struct stranger stranger = {.mode = mode};
        net_listen("stranger", 9092, &calls, &stranger);
        scene->host.options.brokers.count = 0;
        host_broker_add(&scene->host, "stranger", 9092);
        host_open(&scene->host);
        struct target target;
        assert_false(host_target(&scene->host, &target, 120000));
        assert_in_range(stranger.connections, 2, 25);
        assert_non_null(strstr(scene->host.fault.text, "stranger"));
        assert_true(!says[mode] || strstr(scene->host.fault.text, says[mode]));
        net_unlisten("stranger", 9092);
        net_cut_all();
        scene_end(scene);
    }
}

/* --- time --- */

/* The time limit counts from the last progress: a broker that has the whole request since a moment
 * is not late because the link was slow. */
static void a_slow_link_is_no_silence(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    scene->host.options.compression_level = 0;
    host_open(&scene->host);
    leaders_set(scene, 0);
    lot_cut(&scene->lot, &scene->host, 1, 4000);
    size_t size = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        size += scene->lot.parts[p].batch.wire.size;
    }
    assert_true(lot_assign(&scene->lot));
    net_link()->bytes_per_second = size * 1000 / 6500; /* the limit is 7 s */
    fault(scene, WIRE_PRODUCE, BROKER_LATE, 0, 3000);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_int_equal(count_of(scene, WIRE_PRODUCE), 1);
    assert_int_equal(log_count(scene), 4000);
    scene_end(scene);
}

static void a_long_throttle_is_obeyed(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    leaders_set(scene, 0);
    fault(scene, WIRE_PRODUCE, BROKER_THROTTLE, 0, 90000);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    assert_true(lot_deliver(&scene->lot, 5000));
    uint64_t versions = count_of(scene, WIRE_API_VERSIONS);
    uint64_t began_ms = loop_now_ms(scene->host.loop);
    lot_cut(&scene->second, &scene->host, 21, 20);
    assert_true(lot_deliver(&scene->second, 200000));
    assert_true(loop_now_ms(scene->host.loop) - began_ms >= 89000);
    assert_int_equal(count_of(scene, WIRE_API_VERSIONS), versions); /* over the same connection */
    scene_end(scene);
}

static void a_login_is_renewed_before_it_ends(void **state)
{
    (void)state;
    struct broker_options options = {.user = "weir", .password = "secret-word", .session_ms = 5000};
    struct scene *scene = scene_begin(&options);
    scene->host.options.sasl =
        (struct sasl_options){.is_set = true, .user = "weir", .password = "secret-word"};
    host_open(&scene->host);
    leaders_set(scene, 0);
    for (uint64_t i = 0; i < 30; i++) {
        lot_cut(&scene->lot, &scene->host, i * 10 + 1, 10);
        assert_true(lot_deliver(&scene->lot, 2000));
        lot_release(&scene->lot);
        scene->lot = (struct lot){0};
        host_run(&scene->host, 1000);
    }
    assert_int_equal(log_count(scene), 300);
    assert_int_equal(count_of(scene, WIRE_API_VERSIONS), 1); /* one connection all the time */
    assert_in_range(count_of(scene, WIRE_SASL_AUTHENTICATE), 5, 10);
    assert_int_equal(count_of(scene, WIRE_PRODUCE), 30);
    scene_end(scene);
}

/* A board without a battery: after the restart the clock is behind what was sent before. */
static void a_clock_that_is_behind_is_waited_for(void **state)
{
    (void)state;
    struct broker_options options = {.describe_max = -1};
    struct scene *scene = scene_begin(&options);
    host_open(&scene->host);
    fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
    fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
    sim_wall_jump(3 * HOUR_US);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    host_run(&scene->host, 500);
    sim_life_crash();
    life_end(scene);
    sim_life_end();
    sim_wall_jump(-2 * HOUR_US);
    sim_wall_synchronised_set(false);
    sim_life_begin(true);
    life_begin(scene);
    scene->host.options.clock_wait_ms = 300000;
    host_open(&scene->host);
    lot_revive(&scene->lot, &scene->host);
    lot_send_all(&scene->lot);
    assert_false(lot_wait(&scene->lot, 30000));
    assert_non_null(strstr(scene->host.fault.text, "clock"));
    sim_wall_jump(2 * HOUR_US);
    sim_wall_synchronised_set(true);
    assert_true(lot_wait(&scene->lot, 5000));
    check_results(&scene->lot, SEND_OK);
    assert_int_equal(scene->host.in_doubt, 0);
    assert_int_equal(log_count(scene), 40);
    scene_end(scene);
}

/* --- answers --- */

/* The leader had appended the batch and then lost the lead. When the topic's limit has changed
 * meanwhile, the refusal of the next try proves nothing. */
static void an_answer_with_an_offset_leaves_it_open(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    leaders_set(scene, 0);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    fault(scene, WIRE_PRODUCE, BROKER_CODE_STORED, 6, 0);
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, 5000));
    check_results(&scene->lot, SEND_RETRY);
    fault(scene, WIRE_PRODUCE, BROKER_CODE, 10, 0);
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, 5000));
    check_results(&scene->lot, SEND_OK); /* the leader was asked: it has them */
    assert_int_equal(log_count(scene), 40);
    scene_end(scene);
}

/* New numbers do not change an event's own time: the guilty one is looked for instead. */
static void times_of_events_that_are_refused_are_set_aside(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    scene->host.options.timestamp = KAFKA_TIME_EVENT;
    host_open(&scene->host);
    leaders_set(scene, 0);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        scene->lot.parcel.parts[p].sent_ms = 0;
    }
    assert_true(lot_assign(&scene->lot));
    fault(scene, WIRE_PRODUCE, BROKER_CODE, 32, 0);
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, 5000));
    check_results(&scene->lot, SEND_REJECTED);
    scene_end(scene);
}

/* What is connected to the cluster before is left, and producer ids are those of the new one. */
static void another_cluster_behind_the_same_addresses(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    broker_topic_add(scene->broker, "more", 1);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->lot, 5000));
    uint64_t versions = count_of(scene, WIRE_API_VERSIONS);
    broker_id_set(scene->broker, "cluster-2");
    struct stream_info more = {.number = 4, .name = "more", .priority = 3};
    struct target target;
    struct why why;
    assert_int_equal(
        kafka_class.target(scene->host.uplink, &more, &scene->host.schema, &target, &why),
        ERR_AGAIN);
    host_run(&scene->host, 500);
    lot_cut(&scene->second, &scene->host, 41, 40);
    assert_string_equal(scene->second.parcel.cluster_id, "cluster-2");
    assert_true(lot_deliver(&scene->second, 5000));
    assert_int_equal(count_of(scene, WIRE_API_VERSIONS), versions + 1);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        const struct part *part = &scene->second.parcel.parts[p];
        assert_true(part->record_count == 0 || part->producer_id >= 1000);
    }
    assert_int_equal(log_count(scene), 80);
    scene_end(scene);
}

/* The topic was deleted and made anew with fewer partitions: the stream must not stand still. */
static void a_partition_that_is_gone_is_set_aside_in_the_end(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    broker_partitions_set(scene->broker, "events", 2);
    host_close(&scene->host);
    host_open(&scene->host);
    lot_revive(&scene->lot, &scene->host);
    const uint32_t gone = 3;
    const struct lot_part *part = &scene->lot.parts[gone];
    uint64_t began_ms = loop_now_ms(scene->host.loop);
    do {
        lot_send(&scene->lot, gone);
        assert_true(lot_wait(&scene->lot, 5000));
        host_run(&scene->host, 10000);
    } while (part->report.result == SEND_RETRY);
    assert_int_equal(part->report.result, SEND_ASIDE);
    assert_non_null(strstr(part->report.text, "partition 3 is gone"));
    assert_in_range(loop_now_ms(scene->host.loop) - began_ms, 600000, 700000);
    assert_non_null(strstr(scene->host.fault.text, "no partition 3 any more"));
    for (uint32_t p = 0; p < 2; p++) {
        lot_send(&scene->lot, p);
    }
    assert_true(lot_wait(&scene->lot, 5000));
    assert_int_equal(scene->lot.parts[0].report.result, SEND_OK);
    assert_int_equal(scene->lot.parts[1].report.result, SEND_OK);
    scene_end(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_out_of_reach_is_asked_for_with_growing_pauses),
        cmocka_unit_test(nothing_is_sent_to_a_leader_that_does_not_exist),
        cmocka_unit_test(a_connection_that_never_serves_is_not_opened_at_once_again),
        cmocka_unit_test(producer_ids_are_asked_for_with_growing_pauses),
        cmocka_unit_test(a_right_that_is_missing_is_asked_for_each_minute),
        cmocka_unit_test(names_that_are_not_known_are_waited_for),
        cmocka_unit_test(a_part_that_is_broken_is_not_told_again_and_again),
        cmocka_unit_test(strangers_are_told_apart),
        cmocka_unit_test(a_slow_link_is_no_silence),
        cmocka_unit_test(a_long_throttle_is_obeyed),
        cmocka_unit_test(a_login_is_renewed_before_it_ends),
        cmocka_unit_test(a_clock_that_is_behind_is_waited_for),
        cmocka_unit_test(an_answer_with_an_offset_leaves_it_open),
        cmocka_unit_test(times_of_events_that_are_refused_are_set_aside),
        cmocka_unit_test(another_cluster_behind_the_same_addresses),
        cmocka_unit_test(a_partition_that_is_gone_is_set_aside_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
