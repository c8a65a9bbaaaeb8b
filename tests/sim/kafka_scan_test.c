/* A batch in doubt that the leader can't tell of is looked for in the log: found, not there, or not to
 * be found out. On simulated time. */
#include "tests/cmocka.h"

#include <string.h>

#include "ports/clock.h"
#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/kafka/records.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define READ_MAX (1024 * 1024)

struct doubt {
    bool stored;
    int64_t timestamp, later; /* the option in the first life, and in the second */
    int64_t pause_us;         /* between them */
    int64_t event_age_us;     /* of the events when they are sent; 0: about none */
};

/* The log has something, a batch goes out, and its answer is lost with the process; later the next
 * life is about to send it again. The brokers have forgotten all producer ids. */
static struct scene *doubt_begin_as(const struct broker_options *options, const struct doubt *doubt)
{
    struct scene *scene = scene_begin(options);
    int64_t event_time_us = clock_wall_us() + HOUR_US - doubt->event_age_us;
    scene->host.options.in_doubt_read_max = READ_MAX;
    scene->host.options.timestamp = doubt->timestamp;
    scene->host.event_time_us = event_time_us;
    host_open(&scene->host);
    scene_leaders(scene, 0);
    lot_cut(&scene->second, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->second, 5000));
    sim_wall_jump(HOUR_US);
    scene_fault(scene, WIRE_PRODUCE, doubt->stored ? BROKER_NEVER : BROKER_NEVER_LOST, 0, 0);
    lot_cut(&scene->lot, &scene->host, 41, 40);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    host_run(&scene->host, 500);
    sim_life_crash();
    scene_life_end(scene);
    sim_life_end();
    sim_wall_jump(doubt->pause_us);
    (void)broker_expire(scene->broker, -48 * HOUR_US / 1000); /* the clock of the agent is ahead */
    sim_life_begin(true);
    scene_life_begin(scene);
    scene->host.options.in_doubt_read_max = READ_MAX;
    scene->host.options.timestamp = doubt->later;
    scene->host.event_time_us = event_time_us;
    host_open(&scene->host);
    lot_revive(&scene->lot, &scene->host);
    lot_build_again(&scene->lot);
    return scene;
}

static struct scene *doubt_begin_with(const struct broker_options *options, bool stored,
                                      int64_t timestamp)
{
    struct doubt doubt = {stored, timestamp, timestamp, 25 * HOUR_US, 0};
    return doubt_begin_as(options, &doubt);
}

static struct scene *doubt_begin(const struct broker_options *options, bool stored)
{
    return doubt_begin_with(options, stored, KAFKA_TIME_SEND);
}

/* What others write meanwhile. */
static void write_more(struct scene *scene, uint64_t first, uint64_t count)
{
    lot_release(&scene->second);
    lot_cut(&scene->second, &scene->host, first, count);
    scene->second.parcel.stream = 9; /* under a producer id of its own */
    assert_true(lot_deliver(&scene->second, 5000));
}

/* Sends what is in doubt; returns how many parts there are, all with this result. */
static uint64_t doubt_result(struct scene *scene, enum send_result result, const char *word)
{
    uint64_t sent = 0;
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, 300000));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (scene->lot.parts[p].tries > 0) {
            assert_int_equal(scene->lot.parts[p].report.result, result);
            if (!strstr(scene->lot.parts[p].report.text, word)) {
                fail_msg("no \"%s\" in: %s", word, scene->lot.parts[p].report.text);
            }
            sent++;
        }
    }
    assert_true(sent > 1);
    return sent;
}

static void found_in_the_log(void **state)
{
    (void)state;
    for (unsigned old = 0; old < 2;
         old++) { /* with a leader that has forgotten, or can't be asked */
        struct broker_options options = {.describe_max = old ? -1 : 0};
        struct scene *scene = doubt_begin(&options, true);
        write_more(scene, 81, 400);
        uint64_t sent = doubt_result(scene, SEND_OK, "in the log");
        assert_int_equal(scene_count(scene, WIRE_DESCRIBE_PRODUCERS), old ? 0 : sent);
        assert_int_equal(scene_count(scene, WIRE_LIST_OFFSETS), 2 * sent); /* end, time */
        assert_int_equal(scene_count(scene, WIRE_FETCH), sent); /* from its time on, not all */
        assert_int_equal(scene->host.in_doubt, 0);
        assert_int_equal(scene_log_count(scene), 480);
        scene_end(scene);
    }
}

/* That it is not there is certain only when nothing can be on its way from the replicas any more. */
static void not_in_the_log(void **state)
{
    (void)state;
    for (unsigned busy = 0; busy < 2; busy++) { /* nothing was written since, or a lot */
        struct scene *scene = doubt_begin(NULL, false);
        for (uint64_t i = 0; busy && i < 5; i++) {
            write_more(scene, 81 + i * 4000, 4000);
        }
        uint64_t began_ms = loop_now_ms(scene->host.loop);
        uint64_t sent = doubt_result(scene, SEND_REASSIGN, "not stored");
        assert_in_range(loop_now_ms(scene->host.loop) - began_ms, 44000, 60000);
        assert_int_equal(scene->host.in_doubt, 0);
        assert_true(scene_count(scene, WIRE_FETCH) <= sent * (busy ? 4 : 2));
        assert_true(lot_deliver(&scene->lot, 10000));
        assert_int_equal(scene_log_count(scene), busy ? 20080 : 80);
        scene_end(scene);
    }
}

/* The leader has it, but nobody can read it before its followers have it too. */
static void found_once_it_is_replicated(void **state)
{
    (void)state;
    struct scene *scene = doubt_begin(NULL, true);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        broker_lag_set(scene->broker, "events", p, scene->lot.parcel.parts[p].record_count);
    }
    lot_send_all(&scene->lot);
    assert_false(lot_wait(&scene->lot, 29000));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        broker_lag_set(scene->broker, "events", p, 0);
    }
    assert_true(lot_wait(&scene->lot, 60000));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_true(scene->lot.parts[p].tries == 0 || scene->lot.parts[p].report.result == SEND_OK);
    }
    assert_int_equal(scene_log_count(scene), 80);
    scene_end(scene);
}

static void lag_behind(struct scene *scene)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        size_t count = scene->lot.parcel.parts[p].record_count;
        count += scene->second.parcel.parts[p].record_count;
        broker_lag_set(scene->broker, "events", p, count);
    }
}

/* Another leader, or the same one after a restart, knows only later what all replicas have. */
static void a_leader_is_asked_when_it_has_led_for_a_while(void **state)
{
    (void)state;
    for (unsigned moved = 0; moved < 2; moved++) {
        struct scene *scene = doubt_begin(NULL, true);
        lot_release(&scene->second);
        scene->second = (struct lot){0};
        lag_behind(scene);
        lot_send_all(&scene->lot);
        assert_false(lot_wait(&scene->lot, 40000));
        if (moved) {
            scene_leaders(scene, 1);
        } else {
            net_cut_all();
        }
        write_more(scene, 81, 40); /* finds the leader */
        lag_behind(scene);
        assert_false(lot_wait(&scene->lot, 35000));
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            broker_lag_set(scene->broker, "events", p, 0);
        }
        assert_true(lot_wait(&scene->lot, 60000));
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            const struct lot_part *part = &scene->lot.parts[p];
            assert_true(part->tries == 0 || part->report.result == SEND_OK);
        }
        assert_int_equal(scene_log_count(scene), 120);
        scene_end(scene);
    }
}

static void without_the_right_to_read(void **state)
{
    (void)state;
    for (unsigned old = 0; old < 2; old++) {
        struct broker_options options = {.describe_max = old ? -1 : 0, .read_denied = true};
        struct scene *scene = doubt_begin(&options, true);
        uint64_t sent = doubt_result(scene, SEND_REASSIGN, "TOPIC_AUTHORIZATION_FAILED");
        assert_int_equal(scene->host.in_doubt, sent);
        assert_int_equal(scene_count(scene, WIRE_FETCH), old ? sent : 0);
        scene_end(scene);
    }
}

static void no_more_is_read_than_allowed(void **state)
{
    (void)state;
    for (unsigned none = 0; none < 2; none++) {
        struct scene *scene = doubt_begin(NULL, false);
        scene->host.options.in_doubt_read_max = none ? 0 : 2048;
        for (uint64_t i = 0; i < 5; i++) {
            write_more(scene, 81 + i * 4000, 4000);
        }
        uint64_t sent = doubt_result(scene, SEND_REASSIGN, none ? "forgotten" : "in_doubt_read");
        assert_int_equal(scene->host.in_doubt, sent);
        assert_int_equal(scene_count(scene, WIRE_FETCH), none ? 0 : sent);
        assert_int_equal(scene_count(scene, WIRE_LIST_OFFSETS), none ? 0 : 2 * sent);
        scene_end(scene);
    }
}

static size_t behind(const struct scene *scene, uint32_t partition)
{
    return broker_log_count(scene->broker, "events", partition) -
           scene->second.parcel.parts[partition].record_count;
}

/* What is gone from the log proves nothing: also when it leaves the hole right in front of what is
 * the first of its time then. */
static void a_log_with_holes_proves_nothing(void **state)
{
    (void)state;
    enum { DELETED, COMPACTED, COMPACTED_IN_FRONT, CASE_COUNT };
    for (unsigned i = 0; i < CASE_COUNT; i++) {
        struct scene *scene = doubt_begin(NULL, true);
        write_more(scene, 81, 400);
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            const struct part *part = &scene->lot.parcel.parts[p];
            size_t first = behind(scene, p) - part->record_count;
            if (i == DELETED) {
                broker_log_delete(scene->broker, "events", p, behind(scene, p));
            } else if (part->record_count > 0) {
                broker_log_compact(scene->broker, "events", p, first);
            }
            if (i == COMPACTED) {
                broker_log_time_set(scene->broker, "events", p, 0, first, part->sent_ms);
            }
        }
        uint64_t sent =
            doubt_result(scene, SEND_REASSIGN, i == DELETED ? "was deleted" : "is compacted");
        assert_int_equal(scene->host.in_doubt, sent);
        scene_end(scene);
    }
}

/* What was written last is stamped by a clock that is behind. */
static void make_old(struct scene *scene)
{
    int64_t old_ms = scene->lot.parcel.parts[0].sent_ms - HOUR_US / 1000;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        broker_log_time_set(scene->broker, "events", p, behind(scene, p),
                            scene->second.parcel.parts[p].record_count, old_ms);
    }
}

/* What others stamped long ago and wrote behind it hides that it was deleted with the log's beginning.
 * Where time stamps are those of events that is usual. */
static void a_log_out_of_order_proves_nothing_once_it_is_cut(void **state)
{
    (void)state;
    enum { EVENTS, OTHERS, ORDER, CASE_COUNT };
    for (unsigned i = 0; i < CASE_COUNT; i++) {
        struct scene *scene =
            doubt_begin_with(NULL, i != ORDER, i == EVENTS ? KAFKA_TIME_EVENT : KAFKA_TIME_SEND);
        scene->host.event_time_us = clock_wall_us();
        write_more(scene, 81, 400);
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            broker_log_delete(scene->broker, "events", p, i == ORDER ? 1 : behind(scene, p));
        }
        if (i != ORDER) {
            make_old(scene);
            write_more(scene, 481, 400);
        }
        if (i == OTHERS) { /* and still do */
            write_more(scene, 881, 400);
            make_old(scene);
        }
        uint64_t sent =
            doubt_result(scene, SEND_REASSIGN, i == ORDER ? "not stored" : "not in order");
        assert_int_equal(scene->host.in_doubt, i == ORDER ? 0 : sent);
        scene_end(scene);
    }
}

/* On such a topic it is found by the brokers' time stamps, if our clock was right. */
static void times_of_the_brokers(void **state)
{
    (void)state;
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        struct broker_options options = {.log_append_time = true};
        struct scene *scene = doubt_begin(&options, true);
        write_more(scene, 81, 400);
        for (uint32_t p = 0; !wrong && p < PARTITIONS; p++) {
            scene->lot.parcel.parts[p].sent_ms -= HOUR_US / 1000; /* as the brokers' clock */
        }
        uint64_t sent = doubt_result(scene, wrong ? SEND_REASSIGN : SEND_OK,
                                     wrong ? "time stamps" : "in the log");
        assert_int_equal(scene->host.in_doubt, wrong ? sent : 0);
        scene_end(scene);
    }
}

/* What went out with old time stamps stands in the log, and was forgotten, by those: also when the
 * option says something else by now. */
static void the_option_may_change_between_lives(void **state)
{
    (void)state;
    static const struct doubt doubts[] = {
        {true, KAFKA_TIME_EVENT, KAFKA_TIME_SEND, 25 * HOUR_US, 48 * HOUR_US},
        {true, KAFKA_TIME_EVENT, KAFKA_TIME_SEND, HOUR_US, 48 * HOUR_US},
        {true, KAFKA_TIME_SEND, KAFKA_TIME_EVENT, 25 * HOUR_US, 48 * HOUR_US},
        {true, KAFKA_TIME_SEND, KAFKA_TIME_EVENT, 25 * HOUR_US, -48 * HOUR_US},
    };
    for (size_t i = 0; i < ARRAY_COUNT(doubts); i++) {
        struct scene *scene = doubt_begin_as(NULL, &doubts[i]);
        int64_t event_ms = scene->host.event_time_us / 1000;
        scene->host.event_time_us = clock_wall_us();
        write_more(scene, 81, 40);
        make_old(scene); /* so that ours is not next to what is the first of a later time */
        write_more(scene, 121, 400);
        uint64_t sent = doubt_result(scene, SEND_OK, "in the log");
        assert_int_equal(scene_count(scene, WIRE_DESCRIBE_PRODUCERS), sent);
        assert_int_equal(scene_count(scene, WIRE_FETCH), sent);
        assert_int_equal(scene->host.in_doubt, 0);
        assert_int_equal(scene_log_count(scene), 520);
        for (uint32_t p = 0; p < PARTITIONS; p++) { /* and is the same in each life */
            assert_true(scene->lot.parts[p].tries == 0 ||
                        records_max_time_ms(scene->lot.parts[p].batch.wire) ==
                            (doubts[i].timestamp == KAFKA_TIME_EVENT ? event_ms : 0));
        }
        scene_end(scene);
    }
}

static void troubles_on_the_way(void **state)
{
    (void)state;
    static const struct {
        enum wire_api api;
        enum broker_fault_kind kind;
        int16_t code;
        enum send_result result;
    } troubles[] = {
        {WIRE_LIST_OFFSETS, BROKER_CODE, 6, SEND_RETRY},
        {WIRE_LIST_OFFSETS, BROKER_CODE, 29, SEND_REASSIGN},
        {WIRE_LIST_OFFSETS, BROKER_CLOSE, 0, SEND_RETRY},
        {WIRE_FETCH, BROKER_CODE, 74, SEND_RETRY},
        {WIRE_FETCH, BROKER_CODE, 29, SEND_REASSIGN},
        {WIRE_FETCH, BROKER_CLOSE_STORED, 30, SEND_RETRY},
        {WIRE_FETCH, BROKER_NEVER, 0, SEND_RETRY},
    };
    for (size_t i = 0; i < ARRAY_COUNT(troubles); i++) {
        struct scene *scene = doubt_begin(NULL, true);
        scene_fault(scene, troubles[i].api, troubles[i].kind, troubles[i].code, 30);
        lot_send_all(&scene->lot);
        assert_true(lot_wait(&scene->lot, 300000));
        unsigned hit = 0;
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            const struct lot_part *part = &scene->lot.parts[p];
            hit += part->tries > 0 && part->report.result == troubles[i].result;
            /* Others that have waited for a broken connection are sent again, too. */
            assert_true(part->tries == 0 || part->report.result == troubles[i].result ||
                        part->report.result == SEND_OK);
        }
        assert_true(hit == 1 || (hit > 1 && troubles[i].kind != BROKER_CODE));
        assert_int_equal(scene->host.in_doubt, troubles[i].result == SEND_REASSIGN);
        assert_true(lot_deliver(&scene->lot, 100000));
        assert_in_range(scene_log_count(scene), 80, troubles[i].result == SEND_REASSIGN ? 100 : 80);
        scene_end(scene);
    }
}

static uint32_t first_part(const struct scene *scene)
{
    uint32_t p = 0;
    while (scene->lot.parcel.parts[p].done) {
        p++;
    }
    return p;
}

/* What a broker says of its log, or does not, and what is then asked for in vain. */
static void answers_that_are_none_go_by_the_policy(void **state)
{
    (void)state;
    static const struct {
        struct broker_options options;
        enum wire_api cut_api; /* 0: none */
        const char *says;
        unsigned lists, fetches; /* for each batch, or the one */
    } cases[] = {
        {{.absent_api = WIRE_FETCH}, 0, "the broker's versions of reading are others", 0, 0},
        {{.absent_api = WIRE_LIST_OFFSETS}, 0, "the broker's versions of reading are others", 0, 0},
        {{.endless_api = WIRE_LIST_OFFSETS}, 0, "about the log can't be read", 1, 0},
        {{.endless_api = WIRE_FETCH}, 0, "about the log can't be read", 2, 1},
        {{0}, WIRE_LIST_OFFSETS, "about the log can't be read", 1, 0},
        {{0}, WIRE_FETCH, "about the log can't be read", 2, 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scene *scene = doubt_begin(&cases[i].options, true);
        uint32_t p = first_part(scene);
        if (cases[i].cut_api) {
            scene_fault(scene, cases[i].cut_api, BROKER_CUT, 0, 3);
        }
        lot_send(&scene->lot, p);
        assert_true(lot_wait(&scene->lot, 300000));
        const struct send_report *report = &scene->lot.parts[p].report;
        assert_int_equal(report->result, SEND_REASSIGN);
        if (!strstr(report->text, cases[i].says)) {
            fail_msg("no \"%s\" in: %s", cases[i].says, report->text);
        }
        assert_int_equal(scene->host.in_doubt, 1);
        assert_int_equal(scene_count(scene, WIRE_LIST_OFFSETS), cases[i].lists);
        assert_int_equal(scene_count(scene, WIRE_FETCH), cases[i].fetches);
        scene_end(scene);
    }
}

/* The offset before the first one of its time need not be there any more. */
static void a_log_that_was_cut_is_read_from_there(void **state)
{
    (void)state;
    struct scene *scene = doubt_begin(NULL, true);
    scene_fault(scene, WIRE_FETCH, BROKER_CODE, 1, 30);
    uint64_t sent = doubt_result(scene, SEND_OK, "in the log");
    assert_int_equal(scene_count(scene, WIRE_FETCH), sent + 1);
    assert_int_equal(scene->host.in_doubt, 0);
    scene_end(scene);
}

/* As forward does with one part, for `s` seconds at most; all connections are cut each `cut_s`. Returns
 * how many seconds it has taken. */
static unsigned settle(struct scene *scene, uint32_t p, unsigned s, unsigned cut_s)
{
    struct lot_part *part = &scene->lot.parts[p];
    lot_send(&scene->lot, p);
    for (unsigned i = 1; i <= s; i++) {
        host_run(&scene->host, 1000);
        if (!part->lent && part->report.result != SEND_RETRY) {
            return i;
        }
        if (!part->lent) {
            lot_send(&scene->lot, p);
        }
        if (i % cut_s == 0) {
            net_cut_all();
        }
    }
    return s + 1;
}

/* The log is read only where a connection lasts for a while: what is in doubt must not hold up its
 * stream for ever. */
static void connections_that_never_last_end_in_the_policy(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* while it waits; or while it asks */
        struct scene *scene = doubt_begin(NULL, false);
        uint32_t p = first_part(scene);
        for (unsigned j = 0; i == 1 && j < BROKER_FAULT_MAX; j++) {
            scene_fault(scene, WIRE_LIST_OFFSETS, BROKER_CLOSE, 0, 0);
        }
        unsigned s = settle(scene, p, 3600, 30);
        assert_in_range(s, 300, 1200);
        assert_int_equal(scene->lot.parts[p].report.result, SEND_REASSIGN);
        assert_non_null(strstr(scene->lot.parts[p].report.text, "no connection lasted"));
        assert_int_equal(scene->host.in_doubt, 1);
        scene_end(scene);
    }
}

/* A time without a network is not held against it. */
static void an_outage_is_waited_for(void **state)
{
    (void)state;
    struct scene *scene = doubt_begin(NULL, false);
    uint32_t p = first_part(scene);
    assert_int_equal(settle(scene, p, 10, 20), 11);
    net_link()->down = true;
    net_cut_all();
    for (unsigned i = 0; i < 4; i++) {
        if (scene->lot.parts[p].lent) {
            (void)lot_wait(&scene->lot, 900000);
        }
        lot_send(&scene->lot, p);
        host_run(&scene->host, 1000);
    }
    net_link()->down = false;
    assert_true(lot_wait(&scene->lot, 900000));
    if (scene->lot.parts[p].report.result == SEND_RETRY) {
        (void)settle(scene, p, 600, 700);
    }
    assert_int_equal(scene->lot.parts[p].report.result, SEND_REASSIGN);
    assert_non_null(strstr(scene->lot.parts[p].report.text, "not stored"));
    assert_int_equal(scene->host.in_doubt, 0);
    scene_end(scene);
}

static void a_stop_ends_it(void **state)
{
    (void)state;
    struct scene *scene = doubt_begin(NULL, false);
    lot_send_all(&scene->lot);
    assert_false(lot_wait(&scene->lot, 10000));
    kafka_uplink_class.stop(scene->host.uplink, 1000);
    assert_true(lot_wait(&scene->lot, 1000));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_true(scene->lot.parts[p].tries == 0 ||
                    scene->lot.parts[p].report.result == SEND_RETRY);
    }
    scene_end(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_in_the_log),
        cmocka_unit_test(not_in_the_log),
        cmocka_unit_test(found_once_it_is_replicated),
        cmocka_unit_test(a_leader_is_asked_when_it_has_led_for_a_while),
        cmocka_unit_test(without_the_right_to_read),
        cmocka_unit_test(no_more_is_read_than_allowed),
        cmocka_unit_test(a_log_with_holes_proves_nothing),
        cmocka_unit_test(a_log_out_of_order_proves_nothing_once_it_is_cut),
        cmocka_unit_test(times_of_the_brokers),
        cmocka_unit_test(the_option_may_change_between_lives),
        cmocka_unit_test(troubles_on_the_way),
        cmocka_unit_test(answers_that_are_none_go_by_the_policy),
        cmocka_unit_test(a_log_that_was_cut_is_read_from_there),
        cmocka_unit_test(connections_that_never_last_end_in_the_policy),
        cmocka_unit_test(an_outage_is_waited_for),
        cmocka_unit_test(a_stop_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
