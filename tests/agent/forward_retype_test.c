/* An uplink that has another type in its next life, under the same name: what was cut for the type before
 * goes out anew. Nothing is lost, nothing stands still, and only what was open is at both. */
#include <stdlib.h>
#include <string.h>

#include "agent/forward.h"
#include "tests/agent/scene.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

static struct uplink_class other_class;
static struct uplink_class forgetful_class;

static void use_class(struct scene *scene, const struct uplink_class *class_)
{
    scene->uplinks[0].class_ = class_;
}

static void forget_what_arrived(struct double_script *script)
{
    memset(script->arrived, 0, sizeof script->arrived);
    script->arrived_count = 0;
}

static void count_parcel(void *context, const struct parcel *parcel)
{
    (void)parcel;
    ++*(unsigned *)context;
}

static unsigned parcels_open(struct scene *scene)
{
    unsigned count = 0;
    buffer_parcel_each(scene->site->buffer, count_parcel, &count);
    return count;
}

/* Power is cut while a parcel of 12 events in two partitions is open, one of which is done. The next
 * life's uplink is of another type, with one partition. */
static struct double_script *half_done_then_other(struct scene *scene)
{
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    script->partition_count = 2;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    sim_run_for(1000);
    assert_int_equal(double_lent(script), 2);
    double_answer(script, SEND_OK, 0);
    sim_run_for(SITE_COMMIT_MS + 100);
    assert_int_equal(script->arrived_count, 6);
    use_class(scene, &other_class);
    forget_what_arrived(script);
    script->holds = false;
    script->partition_count = 1;
    scene_crash(scene);
    return script;
}

static void another_type_gets_all_that_was_open(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = half_done_then_other(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 12);
    assert_non_null(strstr(scene_status(scene), "\"in_doubt\":2"));
    assert_int_equal(parcels_open(scene), 0);
    size_t sent = script->sent_count;
    scene_put(scene, LOW, 5);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 17);
    assert_int_equal(script->sent_count, sent + 1);
}

/* As it was: the part that is done stays done. */
static void the_same_type_goes_on(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    script->partition_count = 2;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    sim_run_for(1000);
    double_answer(script, SEND_OK, 0);
    sim_run_for(SITE_COMMIT_MS + 100);
    script->holds = false;
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 12);
    assert_null(strstr(scene_status(scene), "in_doubt"));
}

static void judge_large(struct double_script *script, const struct double_sent *sent,
                        struct send_report *report)
{
    (void)script;
    if (sent->event_count > 6) {
        report->result = SEND_TOO_LARGE;
    } else if (sent->first > 6) {
        report->result = SEND_RETRY;
    }
}

/* Of one partition, what is done lies in front: the new type does not get it. */
static void halves_that_are_done_stay_done(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->judge = judge_large;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    sim_run_for(1000);
    assert_int_equal(script->arrived_count, 6);
    use_class(scene, &other_class);
    script->judge = NULL;
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 12);
    assert_non_null(strstr(scene_status(scene), "\"in_doubt\":1"));
    assert_int_equal(parcels_open(scene), 0);
}

/* All of it is set aside by the new type: that closes the parcel, too, for good. */
static void what_no_request_can_carry_ends_it(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 4);
    sim_run_for(1000);
    assert_int_equal(double_lent(script), 1);
    use_class(scene, &other_class);
    script->holds = false;
    script->request_size_max = 50;
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 60000));
    sim_run_for(SITE_COMMIT_MS + 100);
    assert_int_equal(parcels_open(scene), 0);
    scene_expect_once(scene, 0, LOW, 1, 4);
    assert_int_equal(script->arrived_count, 0);
}

/* It waits for its target, however long, and for the link that it may use. */
static void the_new_type_may_come_late(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->target_error = ERR_OK;
    script = half_done_then_other(scene);
    script->target_error = ERR_AGAIN;
    sim_run_for(600000);
    assert_int_equal(script->arrived_count, 0);
    assert_int_equal(parcels_open(scene), 1);
    assert_null(strstr(scene_status(scene), "in_doubt")); /* nothing is at both yet */
    scene_crash(scene);
    sim_run_for(1000);
    assert_null(strstr(scene_status(scene), "in_doubt"));
    script->target_error = ERR_OK;
    uplink_ready(script->host);
    assert_true(scene_drained(scene, 0, 60000));
    assert_non_null(strstr(scene_status(scene), "\"in_doubt\":"));
    scene_expect_once(scene, 0, LOW, 1, 12);
}

/* What an earlier life sent as backfill is cut anew in its own lane, whatever the order is by now. */
static void backfill_of_another_type(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    scene->streams[0].fresh_first = true;
    scene->streams[0].fresh_after_ms = 10000;
    script->target_error = ERR_AGAIN;
    scene_begin(scene);
    scene_put(scene, LOW, 20);
    sim_run_for(60000);
    script->holds = true;
    script->target_error = ERR_OK;
    uplink_ready(script->host);
    scene_put(scene, LOW, 20);
    sim_run_for(5000);
    bool has_backfill = false;
    for (size_t i = 0; i < script->sent_count; i++) {
        has_backfill = has_backfill || script->sent[i].is_backfill;
    }
    assert_true(has_backfill);
    use_class(scene, &other_class);
    scene->streams[0].fresh_first = false;
    script->holds = false;
    scene_crash(scene);
    scene_put(scene, LOW, 10);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 50);
    sim_run_for(SITE_COMMIT_MS + 100);
    assert_int_equal(parcels_open(scene), 0);
}

/* An earlier version kept no type: its parcels go on, unless they can't be these. */
static void parcels_without_a_type(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    script->partition_count = 2;
    use_class(scene, &other_class);
    other_class.type = ""; /* nothing is kept then */
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    sim_run_for(1000);
    double_answer(script, SEND_OK, 0);
    sim_run_for(SITE_COMMIT_MS + 100);
    other_class.type = "other";
    scene_crash(scene);
    sim_run_for(1000);
    assert_int_equal(script->sent_count, 3);
    script->holds = false;
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 12);
    assert_null(strstr(scene_status(scene), "in_doubt"));
}

static uint32_t place_in_the_first(const struct target *target, struct slice key, uint64_t sequence)
{
    (void)target;
    (void)key;
    (void)sequence;
    return 0;
}

static void parcels_without_a_type_that_fit_nothing(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    script->holds = true;
    script->partition_count = 8;
    use_class(scene, &other_class);
    other_class.type = "";
    scene_begin(scene);
    scene_put(scene, LOW, 2); /* in the partitions 1 and 2 */
    sim_run_for(1000);
    assert_int_equal(double_lent(script), 2);
    other_class.type = "other";
    other_class.place = place_in_the_first;
    script->holds = false;
    script->partition_count = 1;
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 2);
    assert_non_null(strstr(scene_status(scene), "\"in_doubt\":2"));
}

static void judge_chance(struct double_script *script, const struct double_sent *sent,
                         struct send_report *report)
{
    uint64_t dice = sim_below(10);
    report->result = dice == 0                                            ? SEND_RETRY
                     : dice == 1 && !sent->again && sent->event_count > 1 ? SEND_TOO_LARGE
                                                                          : SEND_OK;
    script->answer_ms = (int64_t)sim_below(60);
}

/* The type goes to and fro, with cuts at any moment: every event arrives, at one of them at least. */
static void to_and_fro(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    uint64_t put = 0;
    script->judge = judge_chance;
    script->partition_count = 3;
    scene_begin(scene);
    for (unsigned round = 0; round < 200; round++) {
        size_t count = 1 + sim_below(15);
        scene_put(scene, LOW, count);
        put += count;
        sim_run_for(sim_below(150));
        if (sim_below(3) == 0) {
            bool is_other = scene->uplinks[0].class_ == &other_class;
            use_class(scene, is_other ? &double_class : &other_class);
            script->partition_count = 1 + (uint32_t)sim_below(5);
        }
        if (sim_below(2) == 0) {
            scene_crash(scene);
        }
        scene->site->commit_count = 0;
    }
    assert_true(scene_drained(scene, 0, 300000));
    for (uint64_t s = 1; s <= put; s++) {
        assert_true(script->arrived[LOW][s] >= 1);
    }
    sim_run_for(SITE_COMMIT_MS + 100);
    assert_int_equal(parcels_open(scene), 0);
}

/* --- a service that does not know what it has already --- */

static void judge_forgotten(struct double_script *script, const struct double_sent *sent,
                            struct send_report *report)
{
    (void)sent;
    report->result = script->sent_count < 3 ? SEND_RETRY : SEND_OK;
    report->is_clear = script->sent_count != 2; /* the second answer was lost */
}

static void what_an_answer_leaves_in_doubt_is_counted(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    use_class(scene, &forgetful_class);
    script->judge = judge_forgotten;
    scene_begin(scene);
    scene_put(scene, LOW, 12);
    assert_true(scene_drained(scene, 0, 60000));
    assert_int_equal(script->sent_count, 3);
    assert_non_null(strstr(scene_status(scene), "\"in_doubt\":1"));
}

/* Two parts are lent when the uplink is closed, one of which is done: by a cut of the power, or in order,
 * as in a reload. */
static void what_was_being_sent_is_counted(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    use_class(scene, &forgetful_class);
    for (unsigned round = 0; round < 2; round++) {
        script->holds = true;
        script->partition_count = 3;
        if (round == 0) {
            scene_begin(scene);
        }
        scene_put(scene, LOW, 12);
        sim_run_for(1000);
        assert_int_equal(double_lent(script), 3);
        double_answer(script, SEND_OK, 0);
        sim_run_for(SITE_COMMIT_MS + 100);
        script->holds = false;
        if (round == 1) {
            script->stop_gives_back = true;
            scene_stop(scene, 100);
            scene_end(scene);
            scene_begin(scene);
        } else {
            scene_crash(scene);
        }
        assert_non_null(strstr(scene_status(scene), "\"in_doubt\":2"));
        assert_true(scene_drained(scene, 0, 60000));
        assert_non_null(strstr(scene_status(scene), "\"in_doubt\":2"));
        scene_expect_once(scene, 0, LOW, 1, 12 * (round + 1));
    }
    scene_crash(scene);
    assert_null(strstr(scene_status(scene), "in_doubt"));
}

static int setup(void **state)
{
    forgetful_class = double_class;
    forgetful_class.forgets = true;
    other_class = double_class;
    other_class.type = "other";
    return scene_setup(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        TEST(another_type_gets_all_that_was_open),
        TEST(the_same_type_goes_on),
        TEST(halves_that_are_done_stay_done),
        TEST(what_no_request_can_carry_ends_it),
        TEST(the_new_type_may_come_late),
        TEST(backfill_of_another_type),
        TEST(parcels_without_a_type),
        TEST(parcels_without_a_type_that_fit_nothing),
        TEST(to_and_fro),
        TEST(what_an_answer_leaves_in_doubt_is_counted),
        TEST(what_was_being_sent_is_counted),
    };
    return cmocka_run_group_tests_name("agent/forward, another type", tests, NULL, NULL);
}
