/* The uplink kafka and topics that are not there, on simulated time: who creates them, what is said
 * meanwhile, how often it asks, and that nobody else waits. */
#include "tests/cmocka.h"

#include <string.h>

#include "tests/sim/kafka_scene.h"
#include "uplink/kafka/cluster.h"

#define MISSING "late" /* the topic, and the stream that goes there */

static struct stream_info stream = {.number = 4, .name = MISSING, .priority = 3};

/* Asks for the target of the stream, as forward does, for so long. The last answer. */
static enum err ask(struct scene *scene, uint64_t ms, struct why *ret_why)
{
    struct target target;
    enum err e = ERR_AGAIN;
    for (uint64_t waited = 0; waited < ms && e == ERR_AGAIN; waited += 100) {
        e = kafka_uplink_class.target(scene->host.uplink, &stream, &scene->host.schema, &target,
                                      ret_why);
        host_run(&scene->host, 100);
    }
    return e;
}

static struct scene *begin(enum topic_create create, const struct broker_options *options)
{
    struct scene *scene = scene_begin(options);
    scene->host.options.topic_create = create;
    host_open(&scene->host);
    scene_leaders(scene, 0);
    return scene;
}

static void check_text(const struct why *why, const char *part)
{
    if (!strstr(why->text, part)) {
        fail_msg("no word of \"%s\" in: %s", part, why->text);
    }
}

static void a_missing_topic_is_waited_for(void **state)
{
    (void)state;
    const struct broker_options options = {.cluster_id = "cluster-7", .topic_create = true};
    struct scene *scene = begin(TOPIC_CREATE_NEVER, &options);
    struct why why = {""};
    assert_int_equal(ask(scene, 4000, &why), ERR_AGAIN);
    assert_string_equal(why.text, ""); /* a broker that has just started says so too */
    assert_int_equal(ask(scene, 20000, &why), ERR_AGAIN);
    check_text(&why, "topic \"" MISSING "\" does not exist on cluster cluster-7: create it, or set "
                     "topic_create to \"always\"");
    lot_cut(&scene->lot, &scene->host, 1, 40); /* the other topic's events go on */
    assert_true(lot_deliver(&scene->lot, 10000));
    uint64_t before = scene_count(scene, WIRE_METADATA);
    assert_int_equal(ask(scene, 3600000, &why), ERR_AGAIN);
    assert_in_range(scene_count(scene, WIRE_METADATA) - before, 100, 250);
    assert_int_equal(scene_count(scene, WIRE_CREATE_TOPICS), 0);
    assert_string_equal(scene->host.fault.text, ""); /* it is one stream's trouble */
    broker_topic_add(scene->broker, MISSING, 3);
    assert_int_equal(ask(scene, 35000, &why), ERR_OK);
    scene_end(scene);
}

static void the_broker_creates_it(void **state)
{
    (void)state;
    const struct broker_options options = {.topic_create = true};
    struct scene *scene = begin(TOPIC_CREATE_BROKER, &options);
    struct why why = {""};
    assert_int_equal(ask(scene, 5000, &why), ERR_OK);
    assert_string_equal(why.text, "");
    assert_int_equal(scene_count(scene, WIRE_CREATE_TOPICS), 0);
    scene_end(scene);
}

/* The first node is the controller; with and without a connection to it. */
static void we_create_it(void **state)
{
    (void)state;
    for (unsigned leader = 0; leader < NODES; leader++) {
        struct scene *scene = begin(TOPIC_CREATE_ALWAYS, NULL);
        struct why why = {""};
        scene_leaders(scene, leader);
        lot_cut(&scene->lot, &scene->host, 1, 40);
        assert_true(lot_deliver(&scene->lot, 10000));
        assert_int_equal(ask(scene, 5000, &why), ERR_OK);
        assert_string_equal(why.text, "");
        assert_int_equal(scene_count(scene, WIRE_CREATE_TOPICS), 1);
        scene_end(scene);
    }
}

static void a_refusal_is_told_and_tried_again_later(void **state)
{
    (void)state;
    static const struct {
        int16_t code;
        const char *text;
    } refusals[] = {
        {44, "create it; weir could not: a policy says no"},
        {29, "create it; weir could not: the user has no right to (CREATE on the topic)"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        const struct broker_options options = {.create_code = refusals[i].code};
        struct scene *scene = begin(TOPIC_CREATE_ALWAYS, &options);
        struct why why = {""};
        assert_int_equal(ask(scene, 600000, &why), ERR_AGAIN);
        check_text(&why, refusals[i].text);
        assert_in_range(scene_count(scene, WIRE_CREATE_TOPICS), 8, 12);
        assert_in_range(scene_count(scene, WIRE_METADATA), 8, 14);
        broker_create_code_set(scene->broker, 0);
        assert_int_equal(ask(scene, 70000, &why), ERR_OK);
        scene_end(scene);
    }
}

static void an_old_broker_is_not_asked_to(void **state)
{
    (void)state;
    const struct broker_options options = {.create_is_old = true};
    struct scene *scene = begin(TOPIC_CREATE_ALWAYS, &options);
    struct why why = {""};
    assert_int_equal(ask(scene, 30000, &why), ERR_AGAIN);
    check_text(&why, "before Kafka 2.4");
    assert_int_equal(scene_count(scene, WIRE_CREATE_TOPICS), 0);
    scene_end(scene);
}

/* The connection ends within the request; it may have been created or not. */
static void a_lost_answer_is_asked_for_again(void **state)
{
    (void)state;
    static const enum broker_fault_kind kinds[] = {BROKER_CLOSE, BROKER_CLOSE_STORED, BROKER_NEVER};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct scene *scene = begin(TOPIC_CREATE_ALWAYS, NULL);
        struct why why = {""};
        scene_fault(scene, WIRE_CREATE_TOPICS, kinds[i], 0, 0);
        assert_int_equal(ask(scene, 40000, &why), ERR_OK);
        scene_end(scene);
    }
}

static void a_name_that_is_refused_parks_the_stream(void **state)
{
    (void)state;
    struct scene *scene = begin(TOPIC_CREATE_BROKER, NULL);
    struct why why = {""};
    scene_fault(scene, WIRE_METADATA, BROKER_CODE, 17, 0);
    assert_int_equal(ask(scene, 5000, &why), ERR_CONFIG);
    check_text(&why, "topic " MISSING ": INVALID_TOPIC_EXCEPTION: correct the topic's name");
    scene_end(scene);
}

/* What is packed and numbered already waits as well, and says why. */
static void a_topic_that_is_deleted_is_waited_for(void **state)
{
    (void)state;
    struct scene *scene = begin(TOPIC_CREATE_BROKER, NULL);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    broker_topic_remove(scene->broker, "events");
    struct lot_part *part = &scene->lot.parts[0];
    uint64_t began_ms = loop_now_ms(scene->host.loop);
    do {
        lot_send(&scene->lot, 0);
        assert_true(lot_wait(&scene->lot, 10000));
        host_run(&scene->host, 1000);
    } while (part->report.result == SEND_RETRY);
    assert_int_equal(part->report.result, SEND_PARK);
    assert_in_range(loop_now_ms(scene->host.loop) - began_ms, 5000, 15000);
    struct why said;
    why_set(&said, "%s", part->report.text);
    check_text(&said, "topic \"events\" does not exist on cluster");
    uint64_t before = scene_count(scene, WIRE_PRODUCE);
    lot_send(&scene->lot, 0);
    assert_true(lot_wait(&scene->lot, 10000));
    assert_int_equal(scene_count(scene, WIRE_PRODUCE), before); /* not asked in vain */
    broker_topic_add(scene->broker, "events", PARTITIONS);
    scene_leaders(scene, 0);
    part->answered = false;
    host_run(&scene->host, 31000);
    assert_true(lot_deliver(&scene->lot, 10000));
    assert_int_equal(scene_log_count(scene), 40);
    scene_end(scene);
}

/* The brokers' other listener has IPv6 addresses; the first one is told, the second one found. */
static void leaders_are_at_ipv6_addresses(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(NULL);
    kafka_net_move(scene->net, 0, "2001:db8::7");
    kafka_net_move(scene->net, 1, "2001:db8::8");
    scene->host.options.brokers.count = 0;
    host_broker_add(&scene->host, "[2001:db8::7]", 9092);
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->lot, 10000));
    assert_int_equal(scene_log_count(scene), 40);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 2); /* no third connection */
    broker_address_set(scene->broker, 1, "2001:db8::9", 9092);
    scene_leaders(scene, 1);
    kafka_net_end(scene->net);
    lot_cut(&scene->second, &scene->host, 41, 40);
    assert_false(lot_deliver(&scene->second, 20000));
    check_text(&scene->host.fault, "no connection to [2001:db8::9]:9092");
    broker_address_set(scene->broker, 1, "2001:db8::8", 9092);
    assert_true(lot_deliver(&scene->second, 60000));
    assert_int_equal(scene_log_count(scene), 80);
    scene_end(scene);
}

static void brokers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"h", "h", 9092},
        {"h:1", "h", 1},
        {"127.0.0.1:65535", "127.0.0.1", 65535},
        {"[::1]", "::1", 9092},
        {"[::1]:9093", "::1", 9093},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
    };
    static const char *const bad[] = {"",     ":9092", "h:",     "h:0",    "h:65536",
                                      "h:1x", "h: 1",  "h:+1",   "::1",    "::1:9092",
                                      "[::1", "[]:1",  "[::1]x", "[::1]:", "a:1,b:2"};
    struct slice host;
    uint16_t port;
    struct why why;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_int_equal(cluster_broker_parse(good[i].text, &host, &port, &why), ERR_OK);
        assert_true(slice_equal_text(host, good[i].host));
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(cluster_broker_parse(bad[i], &host, &port, &why), ERR_CONFIG);
    }
    check_text(&why, "a:1,b:2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_topic_is_waited_for),
        cmocka_unit_test(the_broker_creates_it),
        cmocka_unit_test(we_create_it),
        cmocka_unit_test(a_refusal_is_told_and_tried_again_later),
        cmocka_unit_test(an_old_broker_is_not_asked_to),
        cmocka_unit_test(a_lost_answer_is_asked_for_again),
        cmocka_unit_test(a_name_that_is_refused_parks_the_stream),
        cmocka_unit_test(a_topic_that_is_deleted_is_waited_for),
        cmocka_unit_test(leaders_are_at_ipv6_addresses),
        cmocka_unit_test(brokers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
