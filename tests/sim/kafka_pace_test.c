/* The uplink kafka where something is missing or wrong for long, on simulated time: how often it asks,
 * what it sends, what it says. */
#include "tests/cmocka.h"

#include <string.h>

#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"

/* Metadata names a leader that cannot be reached: a wrong advertised address, a node that is down
 * and not replaced. */
static void a_leader_out_of_reach_is_asked_for_with_growing_pauses(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    scene_leaders(scene, 1);
    broker_address_set(scene->broker, 1, "nowhere", 9092);
    scene->host.options.request_timeout_ms = 60000;
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    uint64_t before = scene_count(scene, WIRE_METADATA);
    lot_send_all(&scene->lot);
    host_run(&scene->host, 30000);
    assert_in_range(scene_count(scene, WIRE_METADATA) - before, 3, 20);
    assert_non_null(
        strstr(scene->host.fault.text, "no connection to nowhere:9092: can't connect: "));
    assert_non_null(strstr(scene->host.fault.text, "advertised.listeners"));
    broker_address_set(scene->broker, 1, "kafka-2", 9092);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_int_equal(scene_log_count(scene), 40);
    scene_end(scene);
}

/* -1 is how metadata says that nobody leads, and is no broker. */
static void nothing_is_sent_to_a_leader_that_does_not_exist(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    scene_leaders(scene, NOBODY);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    host_run(&scene->host, 1500);
    assert_int_equal(scene_count(scene, WIRE_PRODUCE), 0);
    assert_true(lot_wait(&scene->lot, 5000));
    assert_non_null(strstr(scene->host.fault.text, " of topic events has no leader: are all"));
    scene_leaders(scene, 0);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_int_equal(scene_log_count(scene), 40);
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
    assert_in_range(scene_count(scene, WIRE_API_VERSIONS), 5, 25);
    assert_non_null(strstr(scene->host.fault.text, "set \"sasl\""));
    scene_end(scene);
}

static void producer_ids_are_asked_for_with_growing_pauses(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    for (unsigned i = 0; i < BROKER_FAULT_MAX; i++) {
        scene_fault(scene, WIRE_INIT_PRODUCER_ID, BROKER_CODE, 15, 0);
    }
    lot_cut(&scene->lot, &scene->host, 1, 40);
    uint32_t part = 0;
    assert_int_equal(kafka_uplink_class.assign(scene->host.uplink, &scene->lot.parcel, &part, 1),
                     ERR_AGAIN);
    host_run(&scene->host, 20000);
    assert_in_range(scene_count(scene, WIRE_INIT_PRODUCER_ID), 5, 16);
    assert_non_null(strstr(scene->host.fault.text, "COORDINATOR_NOT_AVAILABLE"));
    broker_faults_clear(scene->broker);
    assert_true(lot_deliver(&scene->lot, 5000));
    assert_int_equal(scene_log_count(scene), 40);
    scene_end(scene);
}

static void a_right_that_is_missing_is_asked_for_each_minute(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    for (unsigned i = 0; i < BROKER_FAULT_MAX; i++) {
        scene_fault(scene, WIRE_METADATA, BROKER_CODE, 29, 0);
    }
    struct target target;
    struct why why;
    enum err e = ERR_AGAIN;
    for (unsigned minute = 0; minute < 10; minute++) {
        host_run(&scene->host, 60000);
        e = kafka_uplink_class.target(scene->host.uplink, &scene->host.stream, &scene->host.schema,
                                      &target, &why);
    }
    assert_int_equal(e, ERR_REJECTED);
    assert_non_null(strstr(why.text, "WRITE"));
    assert_in_range(scene_count(scene, WIRE_METADATA), 5, 11);
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
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 0);
    net_name_fails(NULL, false);
    assert_true(host_target(&scene->host, &target, 31000));
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->lot, 5000));
    assert_string_equal(scene->host.fault.text, "");
    scene_end(scene);
}

/* One broker of several is down for long, and nobody stands in for it: what works does not say
 * each time that all is well again. */
static void expect_told_once(unsigned leader, const char *text)
{
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    scene_leaders(scene, 0);
    broker_leader_set(scene->broker, "events", 3, leader);
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
    assert_non_null(strstr(scene->host.fault.text, text));
    assert_in_range(scene->host.mended_count, 0, 20);
    broker_address_set(scene->broker, 1, "kafka-2", 9092);
    broker_leader_set(scene->broker, "events", 3, 1);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_string_equal(scene->host.fault.text, "");
    scene_end(scene);
}

static void a_part_that_is_broken_is_not_told_again_and_again(void **state)
{
    (void)state;
    expect_told_once(1, "nowhere");
    expect_told_once(NOBODY, "partition 3 of topic events has no leader");
}

/* Brokers end what is idle for ten minutes: nothing is wrong then, and nothing is opened anew before
 * there is something to send. */
static void an_idle_connection_that_ends_is_no_fault(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->lot, 5000));
    uint64_t opened = scene_count(scene, WIRE_API_VERSIONS);
    unsigned faults = scene->host.fault_count;
    uint64_t sent = scene->host.wire_sent, received = scene->host.wire_received;
    host_run(&scene->host, 3600000); /* an idle hour: not a byte */
    assert_int_equal(scene->host.wire_sent, sent);
    assert_int_equal(scene->host.wire_received, received);
    kafka_net_end(scene->net);
    host_run(&scene->host, 3600000); /* and another one, without a connection */
    assert_int_equal(scene->host.wire_sent, sent);
    assert_int_equal(scene->host.wire_received, received);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), opened);
    lot_cut(&scene->second, &scene->host, 41, 40);
    assert_true(lot_deliver(&scene->second, 5000));
    assert_in_range(scene_count(scene, WIRE_API_VERSIONS), opened + 1, opened + NODES);
    assert_int_equal(scene->host.fault_count, faults);
    assert_int_equal(scene_log_count(scene), 80);
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
        cmocka_unit_test(an_idle_connection_that_ends_is_no_fault),
        cmocka_unit_test(strangers_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
