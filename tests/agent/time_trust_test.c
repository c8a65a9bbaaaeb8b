/* A clock that is wrong at first: what arrives meanwhile gets its time once it is right, also after
 * a restart of the agent or of the machine. */
#include <stdlib.h>
#include <string.h>

#include "agent/time_trust.h"
#include "tests/agent/store_double.h"
#include "tests/cmocka.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define YEAR (8766 * HOUR)
#define YEAR_2027 INT64_C(1798761600000000)
#define YEAR_2038 INT64_C(2147483647000000) /* the last second of a signed 32-bit time */

struct scene {
    struct loop loop;
    struct store store;
    struct time_source source;
    struct stored_event event;
    bool needs_discipline;
};

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    double_init(&scene->store);
    *double_clock() =
        (struct double_clock){.wall_us = 5 * SECOND, .monotonic_us = 100 * SECOND, .boot_id = 1};
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    time_trust_release(&scene->source);
    free(scene);
    return 0;
}

static void scene_open(struct scene *scene)
{
    assert_int_equal(
        time_trust_init(&scene->source, &scene->loop, &scene->store, scene->needs_discipline, NULL),
        ERR_OK);
    double_timers(&scene->loop, 0);
}

static void pass(int64_t us)
{
    double_clock()->wall_us += us;
    double_clock()->monotonic_us += (uint64_t)us;
}

/* What the buffer has seen. */
static void seen(struct scene *scene, uint8_t memory[8], int64_t wall_us)
{
    struct out o = out_over(memory, 8);
    out_put_u64_le(&o, (uint64_t)wall_us);
    scene->store.known[scene->store.known_count++] =
        (struct cursor_change){.driver = 99, .key = 0, .value = out_slice(&o)};
}

static void arrive(struct scene *scene)
{
    scene->event = (struct stored_event){.stream = 1};
    time_trust_stamp(&scene->source, &scene->event);
    if (scene->event.trust == TIME_BOOT) {
        assert_int_equal(time_trust_note(&scene->source, &scene->event, 0), ERR_OK);
    }
}

/* An opening that an earlier process left. */
static void leave(struct scene *scene, uint8_t memory[24], uint32_t boot, uint8_t boot_id,
                  int64_t last_us)
{
    struct out o = out_over(memory, 24);
    memset(memory, boot_id, BOOT_ID_SIZE);
    o.size = BOOT_ID_SIZE;
    out_put_u64_le(&o, (uint64_t)last_us);
    scene->store.known[scene->store.known_count++] =
        (struct cursor_change){.driver = 99, .key = boot, .value = out_slice(&o)};
}

/* On the disk it is in one byte order, whatever the machine's is. */
static void assert_time_kept(const uint8_t bytes[8], int64_t time_us)
{
    uint8_t memory[8];
    struct out o = out_over(memory, sizeof memory);
    out_put_u64_le(&o, (uint64_t)time_us);
    assert_memory_equal(bytes, memory, sizeof memory);
}

static void a_right_clock_is_used(void **state)
{
    struct scene *scene = *state;
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);
    arrive(scene);
    assert_int_equal(scene->event.trust, TIME_WALL);
    assert_int_equal(scene->event.time_us, YEAR_2027);
    assert_int_equal(scene->store.boot_count, 0);
    assert_int_equal(scene->store.cursor_count, 1); /* what time it is */
    double_timers(&scene->loop, TIME_SEEN_MS - 1);  /* and again in an hour, not before */
    assert_int_equal(scene->store.cursor_count, 1);
    pass(HOUR);
    double_timers(&scene->loop, 1);
    assert_int_equal(scene->store.cursor_count, 2);
    assert_int_equal(scene->store.cursors[1].key, 0);
    assert_time_kept(scene->store.cursors[1].bytes, YEAR_2027 + HOUR);
}

static void an_early_clock_is_believed_when_disciplined(void **state)
{
    struct scene *scene = *state;
    double_clock()->is_synchronised = true;
    scene_open(scene);
    arrive(scene);
    assert_int_equal(scene->event.trust, TIME_WALL);
    assert_int_equal(scene->event.time_us, 5 * SECOND);
}

static void the_offset_comes_without_another_event(void **state)
{
    struct scene *scene = *state;
    scene_open(scene);
    arrive(scene);
    assert_int_equal(scene->event.trust, TIME_BOOT);
    assert_int_equal(scene->event.time_us, 100 * SECOND);
    assert_int_equal(scene->event.boot, 7);
    assert_int_equal(scene->store.cursor_count, 1);
    assert_int_equal(scene->store.cursors[0].key, 7);
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 0);
    double_clock()->wall_us = YEAR_2027;
    double_clock()->monotonic_us = 130 * SECOND;
    scene->store.takes_no_boots = true; /* the store is busy: tried again */
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 0);
    scene->store.takes_no_boots = false;
    pass(3 * SECOND); /* clocks go on */
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 1);
    assert_int_equal(scene->store.boots[0].boot, 7);
    assert_int_equal(scene->store.boots[0].offset_us, YEAR_2027 - 130 * SECOND);
    assert_int_equal(scene->store.cursors[1].key, 7); /* no longer wanted */
    assert_int_equal(scene->store.cursors[1].size, 0);
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 1); /* once */
    assert_int_equal(double_clock()->warnings, 0);
}

static void an_earlier_process_of_this_boot(void **state)
{
    struct scene *scene = *state;
    uint8_t memory[24];
    leave(scene, memory, 6, 1, 40 * SECOND);
    scene_open(scene);
    arrive(scene);
    assert_int_equal(scene->store.boot_count, 0);
    double_clock()->wall_us = YEAR_2027;
    arrive(scene);
    assert_int_equal(scene->event.trust, TIME_WALL);
    assert_int_equal(scene->store.boot_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(scene->store.boots[i].offset_us, YEAR_2027 - 100 * SECOND);
        assert_false(scene->store.boots[i].is_estimate);
    }
    assert_int_equal(scene->store.boots[0].boot, 6); /* in their order */
    assert_int_equal(scene->store.boots[1].boot, 7);
    assert_int_equal(double_clock()->warnings, 0); /* nothing was guessed */
}

static void earlier_boots_of_the_machine(void **state)
{
    struct scene *scene = *state;
    uint8_t memory[3][24];
    leave(scene, memory[0], 3, 8, 50 * SECOND);
    leave(scene, memory[1], 4, 9, 20 * SECOND);
    leave(scene, memory[2], 5, 9, 30 * SECOND);
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);                        /* without an event of its own */
    int64_t began = YEAR_2027 - 100 * SECOND; /* this boot's clock */
    assert_int_equal(scene->store.boot_count, 3);
    assert_int_equal(scene->store.boots[0].boot, 3); /* in their order */
    assert_int_equal(scene->store.boots[0].offset_us, began - 80 * SECOND);
    assert_int_equal(scene->store.boots[1].boot, 4);
    assert_int_equal(scene->store.boots[1].offset_us, began - 30 * SECOND);
    assert_int_equal(scene->store.boots[2].boot, 5);
    assert_int_equal(scene->store.boots[2].offset_us, began - 30 * SECOND);
    for (size_t i = 0; i < 3; i++) {
        assert_true(scene->store.boots[i].is_estimate);
    }
    assert_int_equal(scene->store.cursor_count, 4); /* three are forgotten, and the time */
    assert_int_equal(double_clock()->warnings, 2);  /* once for each boot of the machine */
}

static void arrives_by(struct scene *scene, enum time_trust trust, int64_t time_us)
{
    arrive(scene);
    assert_int_equal(scene->event.trust, trust);
    assert_int_equal(scene->event.time_us, time_us);
}

/* As with the time of the image, or of the last stop. */
static void a_time_before_the_last_one_is_not_believed(void **state)
{
    struct scene *scene = *state;
    uint8_t memory[8];
    seen(scene, memory, YEAR_2027 + 5 * HOUR);
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);
    arrives_by(scene, TIME_BOOT, 100 * SECOND);
    assert_int_equal(double_clock()->warnings, 1);
    pass(HOUR);
    arrives_by(scene, TIME_BOOT, 100 * SECOND + HOUR);
    assert_int_equal(double_clock()->warnings, 1);
    double_clock()->wall_us = YEAR_2027 + 4 * HOUR; /* somebody sets it */
    arrives_by(scene, TIME_WALL, YEAR_2027 + 4 * HOUR);
    assert_int_equal(scene->store.boots[0].offset_us, YEAR_2027 + 3 * HOUR - 100 * SECOND);
}

static void a_time_after_the_last_one_is_believed(void **state)
{
    struct scene *scene = *state;
    uint8_t memory[8];
    seen(scene, memory, YEAR_2027);
    double_clock()->wall_us = YEAR_2027 + 1;
    scene_open(scene);
    arrives_by(scene, TIME_WALL, YEAR_2027 + 1);
}

static void a_plausible_time_may_not_be_enough(void **state)
{
    struct scene *scene = *state;
    scene->needs_discipline = true;
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);
    arrives_by(scene, TIME_BOOT, 100 * SECOND);
    double_clock()->is_synchronised = true;
    arrives_by(scene, TIME_WALL, YEAR_2027);
}

static void a_time_after_our_life_is_believed_when_disciplined(void **state)
{
    struct scene *scene = *state;
    double_clock()->wall_us = YEAR_2027 + 20 * YEAR;
    scene_open(scene);
    arrives_by(scene, TIME_BOOT, 100 * SECOND);
    double_clock()->is_synchronised = true;
    arrives_by(scene, TIME_WALL, YEAR_2027 + 20 * YEAR);
}

/* What can't be is not followed: times go on as the monotonic clock says. */
static void a_clock_that_goes_astray(void **state)
{
    struct scene *scene = *state;
    const int64_t wrong[] = {YEAR_2027 + 20 * YEAR, 7 * SECOND};
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);
    arrives_by(scene, TIME_WALL, YEAR_2027);
    for (size_t i = 0; i < 2; i++) {
        int64_t right_us = double_clock()->wall_us;
        double_clock()->wall_us = wrong[i];
        arrives_by(scene, TIME_WALL, right_us);
        pass(SECOND);
        arrives_by(scene, TIME_WALL, right_us + SECOND);
        assert_int_equal(double_clock()->warnings, i + 1);
        double_clock()->wall_us = right_us + SECOND;
        arrives_by(scene, TIME_WALL, right_us + SECOND);
    }
    assert_int_equal(scene->store.boot_count, 0);
}

static void a_clock_that_is_set_is_followed(void **state)
{
    struct scene *scene = *state;
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);
    arrives_by(scene, TIME_WALL, YEAR_2027);
    double_clock()->wall_us += 3 * HOUR;
    arrives_by(scene, TIME_WALL, YEAR_2027 + 3 * HOUR);
    double_clock()->wall_us -= 5 * HOUR; /* backwards too */
    arrives_by(scene, TIME_WALL, YEAR_2027 - 2 * HOUR);
    assert_int_equal(double_clock()->warnings, 2);
    double_clock()->is_synchronised = true;
    double_clock()->wall_us = 9 * SECOND; /* who disciplines it knows */
    arrives_by(scene, TIME_WALL, 9 * SECOND);
    double_timers(&scene->loop, 0);
    const struct double_cursor *last = &scene->store.cursors[scene->store.cursor_count - 1];
    assert_time_kept(last->bytes, 9 * SECOND); /* the next start believes it */
}

/* Suspended for a day, slewed by NTP, past 2038, and past what 32 bits of milliseconds hold. */
static void clocks_that_only_go_on(void **state)
{
    struct scene *scene = *state;
    double_clock()->wall_us = YEAR_2038 - SECOND;
    double_clock()->monotonic_us = UINT64_C(4294967295000) - SECOND;
    scene_open(scene);
    arrives_by(scene, TIME_WALL, YEAR_2038 - SECOND);
    pass(24 * HOUR);
    arrives_by(scene, TIME_WALL, YEAR_2038 + 24 * HOUR - SECOND);
    int64_t slewed_us = 0;
    for (int i = 0; i < 100; i++) { /* half a second each hour */
        pass(HOUR);
        double_clock()->wall_us += SECOND / 2;
        slewed_us += SECOND / 2;
        arrives_by(scene, TIME_WALL, YEAR_2038 + (25 + i) * HOUR - SECOND + slewed_us);
    }
    assert_int_equal(double_clock()->warnings, 0);
}

/* What waited for an offset that is lost waits no more once that of a later opening is known. */
static void a_buffer_that_is_salvaged(void **state)
{
    struct scene *scene = *state;
    scene->store.state.damage.salvages = true;
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);
    assert_int_equal(scene->store.boot_count, 1);
    assert_int_equal(scene->store.boots[0].boot, 7);
    assert_int_equal(scene->store.boots[0].offset_us, YEAR_2027 - 100 * SECOND);
}

/* The clock is wrong at the start that finds the damage: the next one still knows. */
static void a_buffer_that_is_salvaged_without_a_clock(void **state)
{
    struct scene *scene = *state;
    scene->store.state.damage.salvages = true;
    scene_open(scene);
    assert_int_equal(scene->store.boot_count, 0);
    assert_int_equal(scene->store.cursor_count, 1);
    assert_int_equal(scene->store.cursors[0].key, 7);
    assert_int_equal(scene->store.cursors[0].size, BOOT_ID_SIZE + 8);
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.cursor_count, 1); /* once */
    double_clock()->wall_us = YEAR_2027;
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 1);
    assert_int_equal(scene->store.boots[0].boot, 7);
}

/* The buffer is found damaged while the agent runs, with a clock that is right, or wrong. */
static void a_buffer_that_is_replaced_later(void **state)
{
    struct scene *scene = *state;
    scene_open(scene);
    assert_int_equal(scene->store.cursor_count, 0);
    scene->store.state.damage.replaced = 1;
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.cursor_count, 1); /* the next opening knows */
    assert_int_equal(scene->store.cursors[0].key, 7);
    double_clock()->wall_us = YEAR_2027;
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 1);
    assert_int_equal(scene->store.boots[0].boot, 7);
    scene->store.state.damage.replaced = 2;
    double_timers(&scene->loop, TIME_SEEN_MS);
    assert_int_equal(scene->store.boot_count, 2); /* the buffer keeps the first */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(a_right_clock_is_used),
                                       TEST(an_early_clock_is_believed_when_disciplined),
                                       TEST(the_offset_comes_without_another_event),
                                       TEST(an_earlier_process_of_this_boot),
                                       TEST(earlier_boots_of_the_machine),
                                       TEST(a_time_before_the_last_one_is_not_believed),
                                       TEST(a_time_after_the_last_one_is_believed),
                                       TEST(a_plausible_time_may_not_be_enough),
                                       TEST(a_time_after_our_life_is_believed_when_disciplined),
                                       TEST(a_clock_that_goes_astray),
                                       TEST(a_clock_that_is_set_is_followed),
                                       TEST(clocks_that_only_go_on),
                                       TEST(a_buffer_that_is_salvaged),
                                       TEST(a_buffer_that_is_salvaged_without_a_clock),
                                       TEST(a_buffer_that_is_replaced_later)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
