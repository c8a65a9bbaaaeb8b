/* Forward across crashes: what was in flight goes out again as it was on record, and whatever is cut
 * at any moment, and however the uplink answers, each event arrives once or is set aside. */
#include "agent/forward.h"

#include <stdlib.h>
#include <string.h>

#include "tests/agent/scene.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

static const struct double_sent *sent_again(const struct double_script *script, size_t from,
                                            int64_t base)
{
    for (size_t i = from; i < script->sent_count; i++) {
        if (script->sent[i].base == base) {
            return &script->sent[i];
        }
    }
    return NULL;
}

static void what_was_in_flight_goes_out_as_it_was(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    script->partition_count = 3;
    scene_begin(scene);
    scene_put(scene, LOW, 300);
    sim_run_for(1000);
    size_t before = script->sent_count;
    assert_int_equal(before, 3);
    scene_crash(scene);
    script->holds = false;
    assert_true(scene_drained(scene, 0, 60000));
    for (size_t i = 0; i < before; i++) {
        const struct double_sent *again = sent_again(script, before, script->sent[i].base);
        assert_non_null(again);
        assert_int_equal(again->content, script->sent[i].content);
        assert_int_equal(again->partition, script->sent[i].partition);
        assert_int_equal(again->event_count, script->sent[i].event_count);
        assert_true(again->again);
    }
    scene_expect_once(scene, 0, LOW, 1, 300);
}

/* Partitions were added meanwhile: what is in flight stays where it was cut for. */
static void added_partitions_count_for_new_parcels(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    script->partition_count = 2;
    scene_begin(scene);
    scene_put(scene, LOW, 100);
    sim_run_for(1000);
    size_t before = script->sent_count;
    assert_int_equal(before, 2);
    uint64_t last =
        script->sent[0].last > script->sent[1].last ? script->sent[0].last : script->sent[1].last;
    scene_crash(scene);
    script->holds = false;
    script->partition_count = 5;
    scene_put(scene, LOW, 100);
    assert_true(scene_drained(scene, 0, 60000));
    for (size_t i = 0; i < script->sent_count; i++) {
        assert_true(script->sent[i].partition < (script->sent[i].first <= last ? 2 : 5));
    }
    for (size_t i = 0; i < before; i++) {
        assert_non_null(sent_again(script, before, script->sent[i].base));
    }
    scene_expect_once(scene, 0, LOW, 1, 200);
}

/* The parts of which the answer was committed are not sent again, the others are. */
static void parts_that_are_done_stay_done(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    script->partition_count = 2;
    script->drops_numbers = true;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    sim_run_for(1000);
    double_answer(script, SEND_OK, 0);
    sim_run_for(SITE_COMMIT_MS + 100);
    size_t before = script->sent_count;
    scene_crash(scene);
    script->holds = false;
    assert_true(scene_drained(scene, 0, 60000));
    assert_int_equal(script->sent_count, before + 1);
    scene_expect_once(scene, 0, LOW, 1, 12);
}

/* --- refused parts of several partitions, and a crash --- */

static void judge_some(struct double_script *script, const struct double_sent *sent,
                       struct send_report *report)
{
    (void)script;
    for (uint64_t s = sent->first; s <= sent->last && sent->stream == LOW; s++) {
        if ((s % 31 == 5 || s % 31 == 17 || s % 31 == 18) &&
            s % sent->partition_count == sent->partition) {
            report->result = SEND_REJECTED;
            report->code = (int)(s % 31); /* never three alike in a row for long */
            (void)snprintf(report->text, sizeof report->text, "bad");
        }
    }
}

/* Parts are halved in place, which moves the others; a word that a part has ended must mean the same
 * part to the buffer. Cut at each commit in turn. */
static void a_cut_among_halves_loses_nothing(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_some;
    script->partition_count = 7;
    scene_begin(scene);
    uint64_t put = 0;
    for (uint64_t round = 0; round < 120; round++) {
        scene_put(scene, LOW, 20);
        put += 20;
        uint64_t reached = store_committed(scene->site->store) + round % 40;
        for (unsigned ms = 0; ms < 3000 && store_committed(scene->site->store) < reached; ms++) {
            sim_run_for(1);
        }
        scene_crash(scene);
    }
    assert_true(scene_drained(scene, 0, 300000));
    scene_expect_once(scene, 0, LOW, 1, put);
}

/* Partition 1 has events 1 and 5, of which 5 is bad; 2 has the bad event 2 alone; 3 is not reached. */
static void judge_beside(struct double_script *script, const struct double_sent *sent,
                         struct send_report *report)
{
    bool is_bad = (sent->partition == 1 && sent->last == 5) || sent->partition == 2;
    report->result = is_bad                                     ? SEND_REJECTED
                     : sent->partition == 3 && !script->context ? SEND_RETRY
                                                                : SEND_OK;
}

/* Halving moved the parts behind it. */
static void a_part_set_aside_beside_halves_is_that_part(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_beside;
    script->partition_count = 4;
    scene_begin(scene);
    scene_put(scene, LOW, 5);
    for (unsigned ms = 0; ms < 1000 && !store_state(scene->site->store)->aside_count; ms++) {
        sim_run_for(1);
    }
    assert_int_equal(store_state(scene->site->store)->aside_count, 1);
    scene_crash(scene);
    script->context = script; /* 3 is reached now */
    assert_true(scene_drained(scene, 0, 300000));
    scene_expect_once(scene, 0, LOW, 1, 5);
}

/* --- refused by the far side, and by the disk at the same time --- */

/* The alarms are not reached until the disk takes nothing, which is when the other stream is refused. */
static void judge_both(struct double_script *script, const struct double_sent *sent,
                       struct send_report *report)
{
    struct site *site = script->context;
    bool is_failing = site->fail_count > 0;
    if (sent->stream == ALARM) {
        report->result = is_failing ? SEND_OK : SEND_RETRY;
    } else if (sent->event_count > 5 || sent->last == 1) {
        report->result = sent->event_count > 5 ? SEND_TOO_LARGE : SEND_REJECTED;
        site->fail_count = 1000;
    }
}

/* Both streams are on their way, the lower one with `count` events, when the disk ends. What is
 * delivered later of others is remembered. */
static struct double_script *refuse_without_a_disk(struct scene *scene, size_t count)
{
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_both;
    script->context = scene->site;
    script->reuses_numbers = true;
    scene->site->fail_with = ERR_IO;
    scene_begin(scene);
    scene_put(scene, ALARM, 3);
    scene_put(scene, LOW, count);
    sim_run_for(100);
    assert_true(scene->site->fail_count > 0);
    sim_run_for(10 * SITE_RETRY_MS);
    assert_int_equal(scene_owed(scene, 0, ALARM), 0);
    assert_true(store_unsaved(scene->site->store) > 0);
    assert_int_equal(scene_owed(scene, 0, LOW), count);
    return script;
}

/* The numbers of the batch go to its halves, which the disk does not know: none of them is sent
 * before it does, or the next life takes the whole for delivered. */
static void halves_of_a_commit_that_fails_wait_for_the_disk(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = refuse_without_a_disk(scene, 8);
    for (size_t i = 0; i < script->sent_count; i++) {
        assert_true(script->sent[i].stream == ALARM || script->sent[i].event_count == 8);
    }
    scene->site->fail_count = 0;
    scene_crash(scene);
    script->judge = NULL;
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 8);
}

static void halves_go_when_the_disk_is_back(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = refuse_without_a_disk(scene, 8);
    scene->site->fail_count = 0;
    sim_run_for(SITE_RETRY_MS + 1000);
    script->judge = NULL;
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 8);
    scene_expect_once(scene, 0, ALARM, 1, 3);
    scene_crash(scene);
    assert_int_equal(scene_owed(scene, 0, LOW), 0);
}

static void a_refusal_in_a_commit_that_fails_stops_its_own_stream_only(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = refuse_without_a_disk(scene, 1);
    scene->site->fail_count = 0;
    sim_run_for(SITE_RETRY_MS + 1000);
    assert_true(scene_drained(scene, 0, 60000));
    scene_crash(scene);
    scene_expect_once(scene, 0, LOW, 1, 1);
    scene_expect_once(scene, 0, ALARM, 1, 3);
    assert_int_equal(scene->aside[LOW][1], 1);
    assert_int_equal(script->arrived_count, 3);
}

/* --- anything at any time --- */

static void judge_chance(struct double_script *script, const struct double_sent *sent,
                         struct send_report *report)
{
    judge_some(script, sent, report);
    uint64_t dice = sim_below(100);
    if (report->result != SEND_OK && dice < 60) {
        return;
    }
    report->code = (int)dice;
    if (dice < 10) {
        report->result = SEND_RETRY;
    } else if (dice < 16 && !sent->again) {
        report->result = SEND_REASSIGN;
    } else if (dice < 20 && !sent->again) {
        report->result = SEND_TOO_LARGE;
    }
    report->retry_after_ms = dice == 3 ? 2000 : 0;
    script->answer_ms = (int64_t)sim_below(60);
}

static void weather(struct scene *scene)
{
    struct double_script *script = &scene->scripts[0];
    switch (sim_below(9)) {
    case 0:
        script->partition_count = 1 + (uint32_t)sim_below(6);
        break;
    case 1:
        script->target_error = sim_below(2) ? ERR_AGAIN : ERR_OK;
        break;
    case 2:
        script->assign_waits = sim_below(2);
        break;
    case 3:
        script->request_size_max = 400 + (uint32_t)sim_below(4000);
        break;
    case 4:
        scene->site->fail_count = (unsigned)sim_below(3);
        break;
    case 5:
        scene_crash(scene);
        break;
    default:
        break;
    }
    uplink_ready(script->host);
}

static void whatever_happens(struct scene *scene)
{
    struct double_script *script = &scene->scripts[0];
    unsigned lives = 0;
    uint64_t put[3] = {0};
    script->judge = judge_chance;
    script->partition_count = 3;
    scene->uplinks[0].linger_ms = 100;
    scene_begin(scene);
    for (unsigned round = 0; round < 300; round++) {
        uint16_t stream = sim_below(5) ? LOW : ALARM;
        size_t count = 1 + sim_below(12);
        scene_put(scene, stream, count);
        put[stream] += count;
        sim_run_for(sim_below(300));
        unsigned life = sim_life();
        scene->site->commit_count = 0;
        weather(scene);
        lives += sim_life() != life;
    }
    script->target_error = ERR_OK;
    script->assign_waits = false;
    script->request_size_max = 1024 * 1024;
    scene->site->fail_count = 0;
    scene->site->commit_count = 0;
    uplink_ready(script->host);
    assert_true(scene_drained(scene, 0, 1000000));
    scene_expect_once(scene, 0, LOW, 1, put[LOW]);
    scene_expect_once(scene, 0, ALARM, 1, put[ALARM]);
    print_message("seed=%llu events=%llu lives=%u sent=%zu aside=%llu\n",
                  (unsigned long long)scene->site->first_seed,
                  (unsigned long long)(put[LOW] + put[ALARM]), lives, script->sent_count,
                  (unsigned long long)(put[LOW] + put[ALARM] - script->arrived_count));
    assert_true(lives > 10);
}

static void whatever_happens_each_event_arrives_once(void **state)
{
    (void)state;
    uint64_t first = site_number("WEIR_SEED", 1);
    for (uint64_t i = 0; i < site_number("WEIR_SEEDS", 3); i++) {
        struct scene *scene = scene_open(first + i);
        whatever_happens(scene);
        scene_close(scene);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_in_flight_goes_out_as_it_was),
        TEST(added_partitions_count_for_new_parcels),
        TEST(parts_that_are_done_stay_done),
        TEST(a_cut_among_halves_loses_nothing),
        TEST(a_part_set_aside_beside_halves_is_that_part),
        TEST(halves_of_a_commit_that_fails_wait_for_the_disk),
        TEST(halves_go_when_the_disk_is_back),
        TEST(a_refusal_in_a_commit_that_fails_stops_its_own_stream_only),
        cmocka_unit_test(whatever_happens_each_event_arrives_once),
    };
    return cmocka_run_group_tests_name("agent/forward, crashes", tests, NULL, NULL);
}
