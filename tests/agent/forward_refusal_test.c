/* What forward makes of the answers of an uplink: tried again, halved, set aside, parked, given new
 * numbers. */
#include "agent/forward.h"

#include <stdlib.h>
#include <string.h>

#include "agent/flow.h"
#include "tests/agent/scene.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

/* --- tried again --- */

static void judge_never(struct double_script *script, const struct double_sent *sent,
                        struct send_report *report)
{
    (void)script;
    (void)sent;
    report->result = SEND_RETRY;
}

static void what_is_not_known_is_sent_again_the_same(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_never;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    sim_run_for(600000);
    assert_in_range(script->sent_count, 12, 40);
    for (size_t i = 1; i < script->sent_count; i++) {
        const struct double_sent *sent = &script->sent[i];
        uint64_t waited = sent->at_ms - script->sent[i - 1].at_ms - 20;
        uint64_t most = i < 10 ? 250ULL << (i - 1) : 60000;
        most = most < 60000 ? most : 60000;
        assert_in_range(waited, most / 2, most + 5);
        assert_true(sent->again);
        assert_int_equal(sent->content, script->sent[0].content);
        assert_int_equal(sent->base, script->sent[0].base);
        assert_int_equal(sent->event_count, 12);
    }
    script->judge = NULL;
    assert_true(scene_drained(scene, 0, 120000));
    scene_expect_once(scene, 0, LOW, 1, 12);
}

/* Three times the same, of which the second leaves a doubt when the test wants it; then it is known. */
static void judge_clear(struct double_script *script, const struct double_sent *sent,
                        struct send_report *report)
{
    const bool *has_doubt = script->context;
    (void)sent;
    report->result = script->sent_count < 4 ? SEND_PARK : SEND_OK;
    report->is_clear = !(*has_doubt && script->sent_count == 2);
}

/* Also where its bytes were made anew, behind a long wait. */
static void what_certainly_is_not_there_is_not_there_again(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    bool has_doubt = false;
    script->judge = judge_clear;
    script->context = &has_doubt;
    scene_begin(scene);
    for (unsigned round = 0; round < 2; round++) {
        script->sent_count = 0;
        scene_put(scene, LOW, 12);
        assert_true(scene_drained(scene, 0, 5 * FLOW_PARK_MS));
        assert_int_equal(script->sent_count, 4);
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(script->sent[i].base, script->sent[0].base);
            assert_int_equal(script->sent[i].again, has_doubt && i >= 2);
        }
        has_doubt = true;
    }
    scene_expect_once(scene, 0, LOW, 1, 24);
}

static void judge_later(struct double_script *script, const struct double_sent *sent,
                        struct send_report *report)
{
    (void)sent;
    report->result = script->sent_count < 3 ? SEND_RETRY : SEND_OK;
    report->retry_after_ms = 45000;
}

static void what_the_peer_asks_for_is_waited(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_later;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    sim_run_for(200000);
    assert_int_equal(script->sent_count, 3);
    assert_in_range(script->sent[1].at_ms - script->sent[0].at_ms, 45020, 45030);
    scene_expect_once(scene, 0, LOW, 1, 12);
}

static void judge_park(struct double_script *script, const struct double_sent *sent,
                       struct send_report *report)
{
    report->result = sent->stream == LOW && script->sent_count < 100 ? SEND_PARK : SEND_OK;
}

static void a_wrong_setting_is_tried_again_each_minute(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_park;
    scene_begin(scene);
    scene_put(scene, LOW, 20);
    sim_run_for(1000);
    scene_put(scene, ALARM, 20);
    sim_run_for(1000);
    scene_expect_once(scene, 0, ALARM, 1, 20); /* others go on */
    script->sent_count = 1;
    sim_run_for(5 * FLOW_PARK_MS);
    assert_int_equal(script->sent_count, 6);
    assert_int_equal(scene_owed(scene, 0, LOW), 20);
    assert_int_equal(script->host->lent_size, 0); /* parked, it keeps no memory from others */
    script->judge = NULL;
    assert_true(scene_drained(scene, 0, 2 * FLOW_PARK_MS));
    scene_expect_once(scene, 0, LOW, 1, 20);
}

/* --- halved --- */

static bool is_bad(uint64_t sequence)
{
    return sequence == 7 || sequence == 8 || sequence == 41;
}

static void judge_bad(struct double_script *script, const struct double_sent *sent,
                      struct send_report *report)
{
    (void)script;
    for (uint64_t s = sent->first; s <= sent->last && sent->stream == LOW; s++) {
        if (is_bad(s) && s % sent->partition_count == sent->partition) {
            report->result = SEND_REJECTED;
            report->code = 87;
            (void)snprintf(report->text, sizeof report->text, "INVALID_RECORD");
        }
    }
}

static void bad_events_are_found_by_halving(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].judge = judge_bad;
    scene_begin(scene);
    scene_put(scene, LOW, 64);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 64);
    for (uint64_t s = 1; s <= 64; s++) {
        assert_int_equal(scene->aside[LOW][s], is_bad(s));
    }
    assert_string_equal(scene->aside_reason, "INVALID_RECORD");
    assert_int_equal(forward_aside(scene->forward), 3);
    /* In order, whatever was halved. */
    uint64_t last = 0;
    for (size_t i = 0; i < scene->scripts[0].sent_count; i++) {
        const struct double_sent *sent = &scene->scripts[0].sent[i];
        if (sent->result == SEND_OK) {
            assert_true(sent->first > last);
            last = sent->last;
        }
        assert_false(sent->again);
    }
}

static void bad_events_of_several_partitions_are_found(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].judge = judge_bad;
    scene->scripts[0].partition_count = 3;
    scene_begin(scene);
    scene_put(scene, LOW, 64);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 64);
    assert_int_equal(forward_aside(scene->forward), 3);
}

static void judge_size(struct double_script *script, const struct double_sent *sent,
                       struct send_report *report)
{
    (void)script;
    if (sent->event_count > 5) {
        report->result = SEND_TOO_LARGE;
        report->code = 10;
    }
}

static void what_is_too_large_is_halved_until_it_fits(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].judge = judge_size;
    scene->scripts[0].partition_count = 2;
    scene_begin(scene);
    scene_put(scene, LOW, 100);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 100);
    assert_int_equal(forward_aside(scene->forward), 0);
    /* New numbers for each half: no base is used for two contents (the double checks that too). */
    assert_non_null(strstr(scene_status(scene), "\"aside\":0"));
}

static void judge_all_bad(struct double_script *script, const struct double_sent *sent,
                          struct send_report *report)
{
    (void)script;
    (void)sent;
    report->result = SEND_REJECTED;
    report->code = 29;
    (void)snprintf(report->text, sizeof report->text, "not authorised");
}

/* Three single events in a row with one code: a wrong setting, not bad data. */
static void three_alike_park_and_lose_nothing(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_all_bad;
    scene_begin(scene);
    scene_put(scene, LOW, 64);
    sim_run_for(5000);
    assert_int_equal(forward_aside(scene->forward), FLOW_ALIKE_MAX - 1);
    size_t sent = script->sent_count;
    assert_non_null(strstr(scene_status(scene), "refused in a row with code 29 (not authorised)"));
    sim_run_for(10 * FLOW_PARK_MS);
    assert_in_range(script->sent_count - sent, 9, 11);
    assert_int_equal(forward_aside(scene->forward), FLOW_ALIKE_MAX - 1);
    assert_true(script->arrived_count == 0);
    script->judge = NULL; /* the setting is mended */
    assert_true(scene_drained(scene, 0, 2 * FLOW_PARK_MS));
    scene_expect_once(scene, 0, LOW, 1, 64);
    assert_int_equal(script->arrived_count, 64 - (FLOW_ALIKE_MAX - 1));
    assert_non_null(strstr(scene_status(scene), "\"standing\":{}"));
}

/* --- new numbers, set aside whole --- */

static void judge_reassign(struct double_script *script, const struct double_sent *sent,
                           struct send_report *report)
{
    (void)sent;
    report->result = script->sent_count < 4 ? SEND_REASSIGN : SEND_OK;
}

static void new_numbers_are_on_record_before_they_are_used(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_reassign;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    assert_true(scene_drained(scene, 0, 60000));
    assert_int_equal(script->sent_count, 4);
    for (size_t i = 1; i < 4; i++) { /* each was on record: the double has checked that */
        assert_int_not_equal(script->sent[i].base, script->sent[i - 1].base);
        assert_int_equal(script->sent[i].content, script->sent[0].content);
        assert_false(script->sent[i].again);
    }
    scene_expect_once(scene, 0, LOW, 1, 12);
}

static void judge_aside(struct double_script *script, const struct double_sent *sent,
                        struct send_report *report)
{
    (void)script;
    if (sent->partition == 1) {
        report->result = SEND_ASIDE;
        (void)snprintf(report->text, sizeof report->text, "in doubt");
    }
}

static void what_is_in_doubt_is_set_aside_whole(void **state)
{
    struct scene *scene = *state;
    scene->scripts[0].judge = judge_aside;
    scene->scripts[0].partition_count = 2;
    scene_begin(scene);
    scene_put(scene, LOW, 400); /* more than fit one commit's set-aside events */
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 400);
    assert_int_equal(forward_aside(scene->forward), 200);
    for (uint64_t s = 1; s <= 400; s++) {
        assert_int_equal(scene->aside[LOW][s], s % 2);
    }
    assert_string_equal(scene->aside_reason, "in doubt");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_known_is_sent_again_the_same),
        TEST(what_certainly_is_not_there_is_not_there_again),
        TEST(what_the_peer_asks_for_is_waited),
        TEST(a_wrong_setting_is_tried_again_each_minute),
        TEST(bad_events_are_found_by_halving),
        TEST(bad_events_of_several_partitions_are_found),
        TEST(what_is_too_large_is_halved_until_it_fits),
        TEST(three_alike_park_and_lose_nothing),
        TEST(new_numbers_are_on_record_before_they_are_used),
        TEST(what_is_in_doubt_is_set_aside_whole),
    };
    return cmocka_run_group_tests_name("agent/forward, refusals", tests, NULL, NULL);
}
