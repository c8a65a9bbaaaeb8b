/* Services that speak Kafka's protocol with limits of their own, which the brokers of these tests
 * enforce. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/kafka_scene.h"
#include "tests/sim/sim.h"
#include "uplink/kafka/service.h"

static const struct broker_options event_hubs = {.user = "$ConnectionString",
                                                 .password = "Endpoint=sb://x/;Shared=abc=",
                                                 .describe_max = -1,
                                                 .produce_max = 7,
                                                 .metadata_max = 5,
                                                 .request_size_max = 1046528,
                                                 .plain_only = true,
                                                 .idle_ms = 240000};

static struct scene *begin(enum kafka_service_name service)
{
    struct scene *scene = scene_begin(&event_hubs);
    scene->host.options.service = service;
    scene->host.options.sasl = (struct sasl_options){
        .is_set = true, .user = event_hubs.user, .password = event_hubs.password};
    host_open(&scene->host);
    scene_leaders(scene, 0);
    return scene;
}

static void event_hubs_takes_what_is_sent(void **state)
{
    (void)state;
    struct scene *scene = begin(KAFKA_SERVICE_EVENT_HUBS);
    struct target target;
    assert_true(host_target(&scene->host, &target, 5000));
    assert_in_range(target.request_size_max, 990000, 1000000);
    assert_true(target.record_size_max < target.request_size_max);
    for (uint64_t i = 0; i < 5; i++) { /* what is silent too long is opened anew before it is cut */
        lot_cut(&scene->lot, &scene->host, i * 100 + 1, 100);
        assert_true(lot_deliver(&scene->lot, 2000));
        lot_release(&scene->lot);
        scene->lot = (struct lot){0};
        host_run(&scene->host, 300000);
    }
    assert_int_equal(scene_log_count(scene), 500);
    assert_int_equal(scene->host.in_doubt, 0);
    assert_int_equal(scene->host.fault_count, 0);
    assert_int_equal(scene_count(scene, WIRE_INIT_PRODUCER_ID), 0);
    assert_in_range(scene_count(scene, WIRE_API_VERSIONS), 5, 7); /* one more for old metadata */
    scene_end(scene);
}

/* The control: as plain Kafka it could not be used at all. */
static void it_is_not_plain_kafka(void **state)
{
    (void)state;
    struct scene *scene = begin(KAFKA_SERVICE_KAFKA);
    lot_cut(&scene->lot, &scene->host, 1, 10);
    host_run(&scene->host, 1000);
    struct part *part = &scene->lot.parcel.parts[0];
    const uint32_t first = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(
            kafka_uplink_class.assign(scene->host.uplink, &scene->lot.parcel, &first, 1),
            ERR_AGAIN);
        host_run(&scene->host, 100);
    }
    assert_false(part->assigned);
    assert_true(scene_count(scene, WIRE_INIT_PRODUCER_ID) > 0);
    scene_end(scene);
}

static void throttling_is_waited_for(void **state)
{
    (void)state;
    struct scene *scene = begin(KAFKA_SERVICE_EVENT_HUBS);
    scene_fault(scene, WIRE_PRODUCE, BROKER_THROTTLE, 0, 20000);
    scene_fault(scene, WIRE_PRODUCE, BROKER_CODE, 44, 0);
    scene_fault(scene, WIRE_PRODUCE, BROKER_CODE, 44, 0);
    for (uint64_t i = 0; i < 3; i++) {
        lot_cut(&scene->lot, &scene->host, i * 10 + 1, 10);
        assert_true(lot_deliver(&scene->lot, 60000));
        lot_release(&scene->lot);
        scene->lot = (struct lot){0};
    }
    assert_int_equal(scene_log_count(scene), 30); /* a refusal stores nothing: no copy */
    assert_int_equal(scene->host.in_doubt, 0);
    scene_end(scene);
}

/* Without producer ids nobody can tell whether a lost answer was a yes. */
static void a_lost_answer_goes_by_the_policy(void **state)
{
    (void)state;
    for (unsigned aside = 0; aside < 2; aside++) {
        struct scene *scene = begin(KAFKA_SERVICE_EVENT_HUBS);
        scene->host.options.in_doubt = aside ? KAFKA_IN_DOUBT_SET_ASIDE : KAFKA_IN_DOUBT_RESEND;
        lot_cut(&scene->lot, &scene->host, 1, 10);
        assert_true(lot_assign(&scene->lot));
        scene_fault(scene, WIRE_PRODUCE, BROKER_CLOSE_STORED, 0, 0);
        lot_send_all(&scene->lot);
        assert_true(lot_wait(&scene->lot, 60000));
        unsigned sent = 0;
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            struct lot_part *part = &scene->lot.parts[p];
            if (part->tries > 0) {
                assert_int_equal(part->report.result, SEND_RETRY);
                sent++;
            }
        }
        assert_true(sent > 0);
        lot_send_all(&scene->lot);
        assert_true(lot_wait(&scene->lot, 60000));
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            struct lot_part *part = &scene->lot.parts[p];
            if (part->tries > 0) {
                assert_int_equal(part->report.result, aside ? SEND_ASIDE : SEND_REASSIGN);
            }
        }
        assert_int_equal(scene->host.in_doubt, sent);
        scene_end(scene);
    }
}

/* What was cut before the service was told of may be larger than a request there. It is not sent, for
 * that would end the connection each time: what was not sent before is halved, else first goes by
 * the policy. */
static void a_batch_of_other_settings_is_halved(void **state)
{
    (void)state;
    static const char *const names[] = {"h"};
    static char value[401];
    static const char *values[] = {value};
    memset(value, 'v', sizeof value - 1);
    for (unsigned again = 0; again < 2; again++) {
        struct scene *scene = begin(KAFKA_SERVICE_EVENT_HUBS);
        struct kafka_options *options = &scene->host.options;
        struct kafka_options present = *options;
        options->service = KAFKA_SERVICE_KAFKA;
        options->message_size_max = 8 * 1024 * 1024;
        options->compression_level = 0;
        options->headers_set = (struct option_map){names, values, 1};
        scene->host.request_size = 8 * 1024 * 1024;
        lot_cut(&scene->lot, &scene->host, 1, 16000);
        *options = present;
        uint32_t p = 0;
        while (scene->lot.parts[p].batch.wire.size < event_hubs.request_size_max) {
            p++;
        }
        assert_true(lot_assign(&scene->lot));
        if (again) {
            host_close(&scene->host);
            host_open(&scene->host);
            lot_revive(&scene->lot, &scene->host);
            lot_send(&scene->lot, p);
            assert_true(lot_wait(&scene->lot, 60000));
            assert_int_equal(scene->lot.parts[p].report.result, SEND_REASSIGN);
            scene->lot.parcel.parts[p].assigned = false;
            scene->lot.parts[p].batch.again = false;
            assert_true(lot_assign(&scene->lot));
        }
        lot_send(&scene->lot, p);
        assert_true(lot_wait(&scene->lot, 60000));
        assert_int_equal(scene->lot.parts[p].report.result, SEND_TOO_LARGE);
        assert_int_equal(scene_count(scene, WIRE_PRODUCE), 0);
        assert_int_equal(scene->host.in_doubt, again);
        scene_end(scene);
    }
}

/* Its handlers' versions, each of them from 0 on; and who logs in there. */
static const struct broker_options redpanda = {.user = "weir",
                                               .password = "word",
                                               .mechanism = "SCRAM-SHA-256",
                                               .ranges = {{WIRE_PRODUCE, 7},
                                                          {WIRE_METADATA, 8},
                                                          {WIRE_API_VERSIONS, 3},
                                                          {WIRE_SASL_HANDSHAKE, 1},
                                                          {WIRE_SASL_AUTHENTICATE, 2},
                                                          {WIRE_INIT_PRODUCER_ID, 3},
                                                          {WIRE_DESCRIBE_PRODUCERS, 0}},
                                               .range_count = 7,
                                               .batch_size_max = 1048576};

static struct scene *redpanda_begin(const struct broker_options *options)
{
    struct scene *scene = scene_begin(options);
    scene->host.options.service = KAFKA_SERVICE_REDPANDA;
    scene->host.options.sasl = (struct sasl_options){.is_set = true,
                                                     .mechanism = SASL_SCRAM_SHA_256,
                                                     .user = options->user,
                                                     .password = options->password};
    scene->host.request_size = 4 * 1024 * 1024;
    host_open(&scene->host);
    return scene;
}

static void redpanda_takes_what_is_sent(void **state)
{
    (void)state;
    struct scene *scene = redpanda_begin(&redpanda);
    struct target target;
    assert_true(host_target(&scene->host, &target, 5000));
    assert_int_equal(target.request_size_max, 1048576);
    lot_cut(&scene->lot, &scene->host, 1, 100);
    assert_true(lot_deliver(&scene->lot, 2000));
    assert_int_equal(scene_log_count(scene), 100);
    assert_int_equal(scene->host.fault_count, 0);
    assert_true(scene_count(scene, WIRE_INIT_PRODUCER_ID) > 0);
    assert_true(scene_count(scene, WIRE_SASL_AUTHENTICATE) > 0);
    scene_end(scene);
}

/* One version less than is used: the login has an older one, all else is refused with a reason, and
 * not asked for in vain. */
static void versions_are_looked_at(void **state)
{
    (void)state;
    static const struct {
        struct broker_range less;
        const char *says; /* NULL: it does without */
    } rows[] = {
        {{WIRE_SASL_AUTHENTICATE, 0}, NULL},
        {{WIRE_DESCRIBE_PRODUCERS, -1}, NULL},
        {{WIRE_PRODUCE, 6}, "older than Kafka 2.1"},
        {{WIRE_METADATA, 4}, "older than Kafka 2.1"},
        {{WIRE_INIT_PRODUCER_ID, 0}, "older than Kafka 2.1"},
        {{WIRE_SASL_HANDSHAKE, 0}, "has no SASL on this port"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct broker_options options = redpanda;
        for (unsigned j = 0; j < options.range_count; j++) {
            if (options.ranges[j].api == rows[i].less.api) {
                options.ranges[j] = rows[i].less;
            }
        }
        struct scene *scene = redpanda_begin(&options);
        struct target target;
        assert_int_equal(host_target(&scene->host, &target, 5000), rows[i].says == NULL);
        if (rows[i].says) {
            assert_non_null(strstr(scene->host.fault.text, rows[i].says));
            assert_int_equal(scene_count(scene, (enum wire_api)rows[i].less.api), 0);
        } else {
            lot_cut(&scene->lot, &scene->host, 1, 100);
            assert_true(lot_deliver(&scene->lot, 2000));
            assert_int_equal(scene_log_count(scene), 100);
        }
        scene_end(scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_hubs_takes_what_is_sent),
        cmocka_unit_test(it_is_not_plain_kafka),
        cmocka_unit_test(throttling_is_waited_for),
        cmocka_unit_test(a_lost_answer_goes_by_the_policy),
        cmocka_unit_test(a_batch_of_other_settings_is_halved),
        cmocka_unit_test(redpanda_takes_what_is_sent),
        cmocka_unit_test(versions_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
