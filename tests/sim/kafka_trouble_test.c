/* The uplink kafka in single troubles, on simulated time: when it waits, what it makes of doubtful
 * answers, of other clusters, of topics that changed. */
#include "tests/cmocka.h"

#include <string.h>

#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define HOUR_US (INT64_C(3600) * 1000000)

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

/* --- time --- */

/* The time limit counts from the last progress: a broker that has the whole request since a moment
 * is not late because the link was slow. */
static void a_slow_link_is_no_silence(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    scene->host.options.compression_level = 0;
    host_open(&scene->host);
    scene_leaders(scene, 0);
    lot_cut(&scene->lot, &scene->host, 1, 4000);
    size_t size = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        size += scene->lot.parts[p].batch.wire.size;
    }
    assert_true(lot_assign(&scene->lot));
    net_link()->bytes_per_second = size * 1000 / 6500; /* the limit is 7 s */
    scene_fault(scene, WIRE_PRODUCE, BROKER_LATE, 0, 3000);
    assert_true(lot_deliver(&scene->lot, 60000));
    assert_int_equal(scene_count(scene, WIRE_PRODUCE), 1);
    assert_int_equal(scene_log_count(scene), 4000);
    scene_end(scene);
}

static void a_long_throttle_is_obeyed(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    scene_leaders(scene, 0);
    scene_fault(scene, WIRE_PRODUCE, BROKER_THROTTLE, 0, 90000);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    assert_true(lot_deliver(&scene->lot, 5000));
    uint64_t versions = scene_count(scene, WIRE_API_VERSIONS);
    uint64_t began_ms = loop_now_ms(scene->host.loop);
    lot_cut(&scene->second, &scene->host, 21, 20);
    assert_true(lot_deliver(&scene->second, 200000));
    assert_true(loop_now_ms(scene->host.loop) - began_ms >= 89000);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS),
                     versions); /* over the same connection */
    scene_end(scene);
}

/* Another broker is asked meanwhile. */
static void a_throttled_broker_does_not_hold_up_the_others(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    host_open(&scene->host);
    scene_leaders(scene, 0);
    broker_topic_add(scene->broker, "more", 1);
    scene_fault(scene, WIRE_PRODUCE, BROKER_THROTTLE, 0, 300000);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    assert_true(lot_deliver(&scene->lot, 5000));
    struct stream_info more = {.number = 4, .name = "more", .priority = 3};
    struct target target;
    struct why why;
    enum err e = ERR_AGAIN;
    for (unsigned i = 0; i < 50 && e == ERR_AGAIN; i++) {
        e = kafka_uplink_class.target(scene->host.uplink, &more, &scene->host.schema, &target,
                                      &why);
        host_run(&scene->host, 100);
    }
    assert_int_equal(e, ERR_OK);
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
    scene_leaders(scene, 0);
    for (uint64_t i = 0; i < 30; i++) {
        lot_cut(&scene->lot, &scene->host, i * 10 + 1, 10);
        assert_true(lot_deliver(&scene->lot, 2000));
        lot_release(&scene->lot);
        scene->lot = (struct lot){0};
        host_run(&scene->host, 1000);
    }
    assert_int_equal(scene_log_count(scene), 300);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 1); /* one connection all the time */
    assert_in_range(scene_count(scene, WIRE_SASL_AUTHENTICATE), 5, 10);
    assert_int_equal(scene_count(scene, WIRE_PRODUCE), 30);
    scene_end(scene);
}

/* A board without a battery: after the restart the clock is behind what was sent before. */
static void a_clock_that_is_behind_is_waited_for(void **state)
{
    (void)state;
    struct broker_options options = {.describe_max = -1};
    struct scene *scene = scene_begin(&options);
    host_open(&scene->host);
    scene_fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
    scene_fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
    sim_wall_jump(3 * HOUR_US);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    host_run(&scene->host, 500);
    sim_life_crash();
    scene_life_end(scene);
    sim_life_end();
    sim_wall_jump(-2 * HOUR_US);
    sim_wall_synchronised_set(false);
    sim_life_begin(true);
    scene_life_begin(scene);
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
    assert_int_equal(scene_log_count(scene), 40);
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
    scene_leaders(scene, 0);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    scene_fault(scene, WIRE_PRODUCE, BROKER_CODE_STORED, 6, 0);
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, 5000));
    check_results(&scene->lot, SEND_RETRY);
    scene_fault(scene, WIRE_PRODUCE, BROKER_CODE, 10, 0);
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, 5000));
    check_results(&scene->lot, SEND_OK); /* the leader was asked: it has them */
    assert_int_equal(scene_log_count(scene), 40);
    scene_end(scene);
}

/* New numbers do not change an event's own time: the guilty one is looked for instead. */
static void times_of_events_that_are_refused_are_set_aside(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    scene->host.options.timestamp = KAFKA_TIME_EVENT;
    host_open(&scene->host);
    scene_leaders(scene, 0);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        scene->lot.parcel.parts[p].sent_ms = 0;
    }
    assert_true(lot_assign(&scene->lot));
    scene_fault(scene, WIRE_PRODUCE, BROKER_CODE, 32, 0);
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
    uint64_t versions = scene_count(scene, WIRE_API_VERSIONS);
    broker_id_set(scene->broker, "cluster-2");
    struct stream_info more = {.number = 4, .name = "more", .priority = 3};
    struct target target;
    struct why why;
    assert_int_equal(
        kafka_uplink_class.target(scene->host.uplink, &more, &scene->host.schema, &target, &why),
        ERR_AGAIN);
    host_run(&scene->host, 500);
    lot_cut(&scene->second, &scene->host, 41, 40);
    assert_string_equal(scene->second.parcel.cluster_id, "cluster-2");
    assert_true(lot_deliver(&scene->second, 5000));
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), versions + 1);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        const struct part *part = &scene->second.parcel.parts[p];
        assert_true(part->record_count == 0 || part->producer_id >= 1000);
    }
    assert_int_equal(scene_log_count(scene), 80);
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
        cmocka_unit_test(a_slow_link_is_no_silence),
        cmocka_unit_test(a_long_throttle_is_obeyed),
        cmocka_unit_test(a_throttled_broker_does_not_hold_up_the_others),
        cmocka_unit_test(a_login_is_renewed_before_it_ends),
        cmocka_unit_test(a_clock_that_is_behind_is_waited_for),
        cmocka_unit_test(an_answer_with_an_offset_leaves_it_open),
        cmocka_unit_test(times_of_events_that_are_refused_are_set_aside),
        cmocka_unit_test(another_cluster_behind_the_same_addresses),
        cmocka_unit_test(a_partition_that_is_gone_is_set_aside_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
