/* The lanes of a stream: what is fresh, what is backfill, and how they share what goes out. */
#include "tests/cmocka.h"

#include "agent/debt.h"
#include "agent/share.h"
#include "tests/agent/scene.h"
#include "tests/sim/sim.h"

/* --- the debt --- */

static struct debt debt_of(bool fresh_first, uint64_t mark, const struct range *ranges,
                           uint8_t count)
{
    struct debt debt;
    debt_init(&debt, 1, 1);
    debt.fresh_first = fresh_first;
    debt.behind_max_ms = 1000;
    debt.mark = mark;
    debt.owed.range_count = count;
    for (uint8_t i = 0; i < count; i++) {
        debt.owed.ranges[i] = ranges[i];
    }
    return debt;
}

static void expect_ranges(const struct debt *debt, uint8_t lane, const struct range *wanted,
                          size_t count)
{
    struct range ranges[DEBT_RANGE_MAX];
    assert_int_equal(debt_ranges(debt, lane, ranges), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ranges[i].first, wanted[i].first);
        assert_int_equal(ranges[i].last, wanted[i].last);
    }
}

static void with_fifo_all_is_fresh(void **state)
{
    (void)state;
    struct debt debt = debt_of(false, 0, (struct range[]){{1, 10}, {20, 30}}, 2);
    expect_ranges(&debt, LANE_FRESH, (struct range[]){{1, 10}, {20, 30}}, 2);
    expect_ranges(&debt, LANE_BACKFILL, NULL, 0);
}

static void the_mark_parts_fresh_from_backfill(void **state)
{
    (void)state;
    struct debt debt = debt_of(true, 0, (struct range[]){{1, 10}, {20, 30}}, 2);
    expect_ranges(&debt, LANE_FRESH, NULL, 0); /* not known yet */
    expect_ranges(&debt, LANE_BACKFILL, NULL, 0);
    debt.mark = 25;
    expect_ranges(&debt, LANE_FRESH, (struct range[]){{25, 30}}, 1);
    expect_ranges(&debt, LANE_BACKFILL, (struct range[]){{1, 10}, {20, 24}}, 2);
    debt.mark = 31;
    expect_ranges(&debt, LANE_FRESH, NULL, 0);
    expect_ranges(&debt, LANE_BACKFILL, (struct range[]){{1, 10}, {20, 30}}, 2);
}

static void what_the_other_lane_has_is_not_cut_again(void **state)
{
    (void)state;
    struct debt debt = debt_of(true, 50, (struct range[]){{1, 49}, {60, 70}}, 2);
    debt.open[LANE_FRESH] = (struct range){20, 29}; /* from before the mark moved */
    expect_ranges(&debt, LANE_BACKFILL, (struct range[]){{1, 19}, {30, 49}}, 2);
    debt.open[LANE_FRESH] = (struct range){1, 49};
    expect_ranges(&debt, LANE_BACKFILL, NULL, 0);
    debt.open[LANE_FRESH] = (struct range){0, 0};
    expect_ranges(&debt, LANE_BACKFILL, (struct range[]){{1, 49}}, 1);
}

static void the_mark_moves_when_delivery_was_behind(void **state)
{
    (void)state;
    struct debt debt = debt_of(true, 0, (struct range[]){{1, 10}}, 1);
    debt_move_mark(&debt, 11, 5000); /* at a start: all that is there is backfill */
    assert_int_equal(debt.mark, 11);
    debt_move_mark(&debt, 20, 6000);
    assert_int_equal(debt.mark, 11);
    debt_move_mark(&debt, 20, 6001);
    assert_int_equal(debt.mark, 20);
    debt_is_level(&debt, 7000);
    debt_move_mark(&debt, 30, 8000);
    assert_int_equal(debt.mark, 20);
    debt.owed.range_count = DEBT_MARK_RANGE_MAX; /* no place for one more range */
    debt_move_mark(&debt, 30, 80000);
    assert_int_equal(debt.mark, 20);
}

static void ends_wait_for_their_commit(void **state)
{
    (void)state;
    struct debt debt = debt_of(false, 0, (struct range[]){{1, 10}}, 1);
    struct owed word = debt.owed;
    debt_ended(&debt, (struct range){1, 5}, 7);
    assert_false(debt_holds(&debt, (struct range){5, 6}));
    debt_committed(&debt, 6, &word);
    assert_false(debt_holds(&debt, (struct range){1, 5}));
    assert_true(debt_holds(&debt, (struct range){6, 10}));
    debt_committed(&debt, 7, &word); /* the buffer says again that it is owed */
    assert_true(debt_holds(&debt, (struct range){1, 10}));
}

/* What is open needs its place among the ends. */
static void open_parcels_keep_their_place(void **state)
{
    (void)state;
    struct debt debt = debt_of(false, 0, (struct range[]){{1, 1000}}, 1);
    debt.open[LANE_FRESH] = (struct range){1, 1};
    for (uint64_t i = 2; debt_may_end(&debt, 1); i++) {
        debt_ended(&debt, (struct range){i, i}, 1);
    }
    assert_int_equal(debt.pending_count, DEBT_PENDING_MAX - 1);
}

/* --- the share --- */

static void a_share_is_kept(void **state)
{
    (void)state;
    struct share share = {.millionths = 200000};
    uint64_t others = 0;
    uint64_t own = 0;
    for (unsigned i = 0; i < 10000; i++) {
        if (share_is_due(&share)) {
            share_sent(&share, 3000);
            own += 3000;
        } else {
            share_others_sent(&share, 1000);
            others += 1000;
        }
    }
    assert_in_range(own * 100 / (own + others), 19, 21);
}

static void what_goes_out_alone_costs_no_share(void **state)
{
    (void)state;
    struct share share = {.millionths = 500000};
    share_sent(&share, 1000000);
    assert_int_equal(share.credit, 0);
    share_others_sent(&share, 1000000); /* nobody waits */
    assert_int_equal(share.credit, 0);
    assert_false(share_is_due(&share));
    share_others_sent(&share, 1000);
    assert_true(share_is_due(&share));
}

/* --- in the flow --- */

static void use_fresh_first(struct scene *scene)
{
    scene->streams[0].fresh_first = true;
    scene->streams[0].fresh_after_ms = 30000;
    scene->uplinks[0].backfill_share = 200000;
}

static void an_outage(struct scene *scene, size_t events, uint64_t ms)
{
    scene->scripts[0].target_error = ERR_AGAIN;
    scene_put(scene, LOW, events);
    sim_run_for(ms);
    scene->scripts[0].target_error = ERR_OK;
}

/* Behind it what was put is backfill, and the first of it stays lent. */
static void an_outage_whose_backfill_is_lent(struct scene *scene)
{
    struct double_script *cloud = &scene->scripts[0];
    use_fresh_first(scene);
    scene_begin(scene);
    an_outage(scene, 1500, 60000);
    cloud->holds = true;
    uplink_ready(cloud->host);
    sim_run_for(5000);
    assert_int_equal(double_lent(cloud), 1);
    assert_true(double_last(cloud)->is_backfill);
}

/* Of each lane the sequences go up. */
static void expect_order(const struct scene *scene)
{
    uint64_t last[2] = {0, 0};
    for (size_t i = 0; i < scene->scripts[0].sent_count; i++) {
        const struct double_sent *sent = &scene->scripts[0].sent[i];
        if (sent->stream == LOW && !sent->again) {
            assert_true(sent->first > last[sent->is_backfill]);
            last[sent->is_backfill] = sent->last;
        }
    }
}

static void after_an_outage_the_newest_go_first(void **state)
{
    struct scene *scene = *state;
    struct double_script *cloud = &scene->scripts[0];
    use_fresh_first(scene);
    cloud->rate = 1000; /* 32 KiB at first: half a minute */
    scene_begin(scene);
    scene_put(scene, LOW, 10);
    assert_true(scene_drained(scene, 0, 10000));
    an_outage(scene, 1500, 60000);
    uplink_ready(cloud->host);
    scene_put(scene, LOW, 10); /* 1511..1520 */
    sim_run_for(60000);
    assert_int_equal(cloud->arrived[LOW][1520], 1);
    assert_int_equal(cloud->arrived[LOW][1500], 0);
    assert_true(scene_drained(scene, 0, 600000));
    scene_expect_once(scene, 0, LOW, 1, 1520);
    expect_order(scene);
    assert_int_equal(cloud->lent_most, 1);
}

static void a_short_outage_changes_nothing(void **state)
{
    struct scene *scene = *state;
    use_fresh_first(scene);
    scene_begin(scene);
    an_outage(scene, 500, 20000);
    uplink_ready(scene->scripts[0].host);
    scene_put(scene, LOW, 10);
    assert_true(scene_drained(scene, 0, 60000));
    for (size_t i = 0; i < scene->scripts[0].sent_count; i++) {
        assert_false(scene->scripts[0].sent[i].is_backfill);
    }
}

static void backfill_gets_its_share(void **state)
{
    struct scene *scene = *state;
    struct double_script *cloud = &scene->scripts[0];
    use_fresh_first(scene);
    cloud->rate = 2000;
    scene_begin(scene);
    an_outage(scene, 1500, 60000);
    uplink_ready(cloud->host);
    uint64_t begin = loop_now_ms(scene->site->loop);
    while (loop_now_ms(scene->site->loop) < begin + 60000) { /* more than the link carries */
        scene_put(scene, LOW, 30);
        sim_run_for(900);
    }
    uint64_t sizes[2] = {0, 0};
    for (size_t i = 0; i < cloud->sent_count; i++) {
        sizes[cloud->sent[i].is_backfill] += cloud->sent[i].size;
    }
    assert_true(sizes[1] * 100 >= (sizes[0] + sizes[1]) * 15);
    assert_true(sizes[0] > sizes[1]);
    assert_true(scene_drained(scene, 0, 3600000));
    uint64_t head = store_state(scene->site->store)->streams[LOW].sequence_next;
    scene_expect_once(scene, 0, LOW, 1, head - 1);
    expect_order(scene);
}

static void after_a_crash_both_lanes_go_on(void **state)
{
    struct scene *scene = *state;
    struct double_script *cloud = &scene->scripts[0];
    an_outage_whose_backfill_is_lent(scene);
    scene_put(scene, LOW, 20);
    sim_run_for(2000);
    assert_int_equal(double_lent(cloud), 2);
    assert_false(double_last(cloud)->is_backfill);
    cloud->holds = false;
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 600000));
    scene_expect_once(scene, 0, LOW, 1, 1520);
}

/* What an earlier life sent as backfill is settled before anything newer goes. */
static void with_fifo_again_the_old_backfill_comes_first(void **state)
{
    struct scene *scene = *state;
    struct double_script *cloud = &scene->scripts[0];
    an_outage_whose_backfill_is_lent(scene);
    scene->streams[0].fresh_first = false;
    scene_crash(scene);
    sim_run_for(5000);
    assert_int_equal(double_lent(cloud), 1);
    assert_true(double_last(cloud)->is_backfill && double_last(cloud)->again);
    cloud->holds = false;
    double_answer(cloud, SEND_OK, 0);
    assert_true(scene_drained(scene, 0, 600000));
    scene_expect_once(scene, 0, LOW, 1, 1500);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_fifo_all_is_fresh),
        cmocka_unit_test(the_mark_parts_fresh_from_backfill),
        cmocka_unit_test(what_the_other_lane_has_is_not_cut_again),
        cmocka_unit_test(the_mark_moves_when_delivery_was_behind),
        cmocka_unit_test(ends_wait_for_their_commit),
        cmocka_unit_test(open_parcels_keep_their_place),
        cmocka_unit_test(a_share_is_kept),
        cmocka_unit_test(what_goes_out_alone_costs_no_share),
        TEST(after_an_outage_the_newest_go_first),
        TEST(a_short_outage_changes_nothing),
        TEST(backfill_gets_its_share),
        TEST(after_a_crash_both_lanes_go_on),
        TEST(with_fifo_again_the_old_backfill_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
