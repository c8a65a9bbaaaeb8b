/* A clock that is wrong at first: what arrives meanwhile gets its time once it is right, also after
 * a restart of the agent or of the machine. */
#include <stdlib.h>
#include <string.h>

#include "agent/time_trust.h"
#include "tests/agent/store_double.h"
#include "tests/cmocka.h"

#define SECOND INT64_C(1000000)
#define YEAR_2027 INT64_C(1798761600000000)

struct scene {
    struct loop loop;
    struct store store;
    struct time_source source;
    struct stored_event event;
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
    assert_int_equal(time_trust_init(&scene->source, &scene->loop, &scene->store, NULL), ERR_OK);
    double_timers(&scene->loop, 0);
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

static void a_right_clock_is_used(void **state)
{
    struct scene *scene = *state;
    double_clock()->wall_us = YEAR_2027;
    scene_open(scene);
    arrive(scene);
    assert_int_equal(scene->event.trust, TIME_WALL);
    assert_int_equal(scene->event.time_us, YEAR_2027);
    assert_int_equal(scene->store.cursor_count, 0);
    assert_int_equal(scene->store.boot_count, 0);
    assert_null(scene->loop.timers.root); /* and nothing wakes up for it again */
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
    double_clock()->wall_us += 3 * SECOND; /* clocks go on */
    double_clock()->monotonic_us += 3 * SECOND;
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 1);
    assert_int_equal(scene->store.boots[0].boot, 7);
    assert_int_equal(scene->store.boots[0].offset_us, YEAR_2027 - 130 * SECOND);
    assert_int_equal(scene->store.cursors[1].key, 7); /* no longer wanted */
    assert_int_equal(scene->store.cursors[1].size, 0);
    double_timers(&scene->loop, TIME_TRUST_CHECK_MS);
    assert_int_equal(scene->store.boot_count, 1); /* once */
    assert_null(scene->loop.timers.root);
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
    }
    assert_int_equal(scene->store.boots[1].boot, 6);
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
    assert_int_equal(scene->store.boots[0].boot, 5);
    assert_int_equal(scene->store.boots[0].offset_us, began - 30 * SECOND);
    assert_int_equal(scene->store.boots[1].boot, 4);
    assert_int_equal(scene->store.boots[1].offset_us, began - 30 * SECOND);
    assert_int_equal(scene->store.boots[2].boot, 3);
    assert_int_equal(scene->store.boots[2].offset_us, began - 80 * SECOND);
    assert_int_equal(scene->store.cursor_count, 3);
    assert_int_equal(double_clock()->warnings, 2); /* once for each boot of the machine */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_right_clock_is_used), TEST(an_early_clock_is_believed_when_disciplined),
        TEST(the_offset_comes_without_another_event), TEST(an_earlier_process_of_this_boot),
        TEST(earlier_boots_of_the_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
