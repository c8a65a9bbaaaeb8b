/* Events that can't be sent, or not as they were: damaged ones of a batch in doubt, ones that no request
 * carries. What is left goes out; what may be there twice is counted. */
#include <string.h>

#include "agent/forward.h"
#include "tests/agent/scene.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

static uint64_t damaged; /* the sequence that is passed over when it is read; 0: none */

enum err __real_buffer_read(struct buffer *b, uint16_t stream, struct range range, size_t size_max,
                            struct rows *ret, struct why *why);
enum err __wrap_buffer_read(struct buffer *b, uint16_t stream, struct range range, size_t size_max,
                            struct rows *ret, struct why *why);

enum err __wrap_buffer_read(struct buffer *b, uint16_t stream, struct range range, size_t size_max,
                            struct rows *ret, struct why *why)
{
    enum err e = __real_buffer_read(b, stream, range, size_max, ret, why);
    for (size_t i = 0; !e && stream == LOW && i < ret->event_count; i++) {
        if (ret->events[i].sequence == damaged) {
            ret->event_count--;
            memmove(&ret->events[i], &ret->events[i + 1],
                    (ret->event_count - i) * sizeof ret->events[0]);
        }
    }
    return e;
}

static unsigned refused_ends; /* so many words that a range has ended find no room */

enum err __real_store_end_put(struct store *store, const struct owed_end *end, uint64_t *ret_mark);
enum err __wrap_store_end_put(struct store *store, const struct owed_end *end, uint64_t *ret_mark);

enum err __wrap_store_end_put(struct store *store, const struct owed_end *end, uint64_t *ret_mark)
{
    if (refused_ends > 0) {
        refused_ends--;
        return ERR_FULL;
    }
    return __real_store_end_put(store, end, ret_mark);
}

static void put_in_doubt(struct scene *scene)
{
    struct double_script *script = &scene->scripts[0];
    damaged = 0;
    script->holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 5);
    sim_run_for(1000);
    assert_int_equal(double_lent(script), 1);
    script->holds = false;
}

static void rows_that_are_fewer_get_other_numbers_and_are_counted(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    put_in_doubt(scene);
    int64_t base = double_last(script)->base;
    damaged = 3;
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 60000));
    assert_int_equal(double_last(script)->event_count, 4);
    assert_true(double_last(script)->base != base);
    assert_int_equal(script->arrived_count, 4);
    assert_int_equal(script->arrived[LOW][3], 0);
    assert_non_null(strstr(scene_status(scene), "\"in_doubt\":1"));
}

static void what_is_whole_is_not(void **state)
{
    struct scene *scene = *state;
    put_in_doubt(scene);
    scene_crash(scene);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 5);
    assert_null(strstr(scene_status(scene), "in_doubt"));
}

/* Nothing is left of it: the part ends, and the stream goes on. */
static void a_part_that_is_gone_ends(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    damaged = 0;
    script->holds = true;
    scene_begin(scene);
    scene_put(scene, LOW, 1);
    sim_run_for(1000);
    assert_int_equal(double_lent(script), 1);
    script->holds = false;
    damaged = 1;
    scene_crash(scene);
    scene_put(scene, LOW, 2);
    assert_true(scene_drained(scene, 0, 60000));
    assert_int_equal(script->arrived[LOW][1], 0);
    scene_expect_once(scene, 0, LOW, 2, 3);
}

/* It is set aside once, though the word that it has ended finds no room at first. */
static void what_can_not_be_sent_is_set_aside_once(void **state)
{
    struct scene *scene = *state;
    struct double_script *script = &scene->scripts[0];
    damaged = 0;
    script->request_size_max = 50;
    refused_ends = 3;
    scene_begin(scene);
    scene_put(scene, LOW, 4);
    assert_true(scene_drained(scene, 0, 60000));
    assert_int_equal(refused_ends, 0);
    scene_expect_once(scene, 0, LOW, 1, 4);
    assert_int_equal(scene->aside[LOW][1], 1);
    script->request_size_max = 1024 * 1024;
    uplink_ready(script->host);
    scene_put(scene, LOW, 4);
    assert_true(scene_drained(scene, 0, 60000));
    scene_expect_once(scene, 0, LOW, 1, 8);
    assert_int_equal(script->arrived_count, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_that_are_fewer_get_other_numbers_and_are_counted),
        TEST(what_is_whole_is_not),
        TEST(a_part_that_is_gone_ends),
        TEST(what_can_not_be_sent_is_set_aside_once),
    };
    return cmocka_run_group_tests_name("agent/forward, damaged events", tests, NULL, NULL);
}
