/* An alarm while a request of others holds a thin link: it goes on a connection of its own, before
 * what waits at the pacer. */
#include "tests/cmocka.h"

#include "ports/names.h"
#include "ports/pacer.h"
#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define BULK 9000 /* events */

struct thin {
    struct scene *scene;
    struct pacer *pacer;
    uint64_t bulk_size;
};

static uint64_t now_ms(const struct thin *thin)
{
    return loop_now_ms(thin->scene->host.loop);
}

/* Bulk under way, and an alarm that is lent in the midst of it. */
static void thin_begin(struct thin *thin, uint64_t rate)
{
    struct scene *scene = thin->scene = scene_begin(NULL);
    enum err e = pacer_open(&thin->pacer, scene->host.loop, rate, 100000);
    assert_int_equal(e, ERR_OK);
    scene->host.pacer = thin->pacer;
    scene->host.send_buffer_size = (uint32_t)rate;
    scene_leaders(scene, 0);
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    assert_true(lot_deliver(&scene->lot, 120000)); /* connected, the rate is known */
    lot_release(&scene->lot);
    lot_cut(&scene->lot, &scene->host, 21, BULK);
    scene->host.stream.number = 4;
    lot_cut(&scene->second, &scene->host, 1, 1);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        thin->bulk_size += scene->lot.parts[i].batch.wire.size;
        scene->second.parts[i].batch.lane = 9;
    }
    assert_true(lot_assign(&scene->lot));
    assert_true(lot_assign(&scene->second));
}

static void thin_end(struct thin *thin)
{
    struct pacer *pacer = thin->pacer;
    host_close(&thin->scene->host);
    thin->scene->host.uplink = NULL;
    pacer_close(pacer);
    names_close(thin->scene->host.names);
    loop_close(thin->scene->host.loop);
    scene_life_begin(thin->scene);
    host_open(&thin->scene->host);
    scene_end(thin->scene);
}

/* How long the alarm takes from being lent to its answer. */
static uint64_t alarm_ms(struct thin *thin)
{
    uint64_t lent_ms = now_ms(thin);
    lot_send_all(&thin->scene->second);
    assert_true(lot_wait(&thin->scene->second, 60000));
    return now_ms(thin) - lent_ms;
}

static void an_alarm_overtakes(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1200, 8000};
    for (size_t i = 0; i < ARRAY_COUNT(rates); i++) {
        struct thin thin = {.bulk_size = 0};
        thin_begin(&thin, rates[i]);
        struct scene *scene = thin.scene;
        lot_send_all(&scene->lot);
        host_run(&scene->host, 700);
        assert_true(thin.bulk_size > 3 * rates[i]);
        uint64_t first_ms = alarm_ms(&thin); /* with the connection that is made for it */
        assert_int_equal(scene->second.parts[0].report.result, SEND_OK);
        assert_true(scene->lot.parts[0].lent || scene->lot.parts[1].lent);
        lot_release(&scene->second);
        lot_cut(&scene->second, &scene->host, 2, 1);
        for (unsigned p = 0; p < PARTITIONS; p++) {
            scene->second.parts[p].batch.lane = 9;
        }
        assert_true(lot_assign(&scene->second));
        uint64_t second_ms = alarm_ms(&thin);
        print_message("%llu B/s: first alarm %llu ms, second %llu ms, bulk %llu bytes\n",
                      (unsigned long long)rates[i], (unsigned long long)first_ms,
                      (unsigned long long)second_ms, (unsigned long long)thin.bulk_size);
        assert_in_range(first_ms, 1, 2500);
        assert_in_range(second_ms, 1, 1500);
        assert_true(lot_deliver(&scene->lot, 600000));
        assert_int_equal(scene_log_count(scene), 20 + BULK + 2);
        thin_end(&thin);
    }
}

/* What was opened for alarms is closed again when it was silent for long, without a word or a fault,
 * and opened anew for the next one. */
static void the_second_connection_does_not_stay(void **state)
{
    (void)state;
    struct thin thin = {.bulk_size = 0};
    thin_begin(&thin, 8000);
    struct scene *scene = thin.scene;
    uint64_t first = scene_count(scene, WIRE_API_VERSIONS);
    lot_send_all(&scene->lot);
    host_run(&scene->host, 700);
    (void)alarm_ms(&thin);
    uint64_t with_urgent = scene_count(scene, WIRE_API_VERSIONS);
    assert_true(with_urgent > first);
    assert_true(lot_deliver(&scene->lot, 600000));
    unsigned faults = scene->host.fault_count;
    uint64_t sent = scene->host.wire_sent;
    host_run(&scene->host, 20 * 60 * 1000);
    assert_int_equal(scene->host.wire_sent, sent);
    assert_int_equal(scene->host.fault_count, faults);
    lot_release(&scene->lot);
    lot_release(&scene->second);
    lot_cut(&scene->lot, &scene->host, 21 + BULK, BULK);
    lot_cut(&scene->second, &scene->host, 2, 1);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        scene->second.parts[i].batch.lane = 9;
    }
    assert_true(lot_assign(&scene->lot));
    assert_true(lot_assign(&scene->second));
    lot_send_all(&scene->lot);
    host_run(&scene->host, 700);
    assert_in_range(alarm_ms(&thin), 1, 2500);
    assert_true(scene_count(scene, WIRE_API_VERSIONS) > with_urgent);
    assert_true(lot_deliver(&scene->lot, 600000));
    thin_end(&thin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_alarm_overtakes),
                                       cmocka_unit_test(the_second_connection_does_not_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
