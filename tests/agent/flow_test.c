/* What a flow makes of an uplink's answers. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/flow.h"

#define BACKOFF_MAX_MS 60000

static const struct uplink_class class_ = {.type = "double"};

struct scene {
    struct loop *loop;
    struct uplink_host host;
    struct forward_stream stream;
    struct flow flow;
    struct flow_batch batch;
};

static void retry_fired(struct timer *timer)
{
    (void)timer;
}

/* One part, lent. A commit under way keeps the flow from doing anything by itself. */
static void scene_begin(struct scene *scene)
{
    *scene = (struct scene){0};
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    scene->host.setup.class_ = &class_;
    scene->flow.host = &scene->host;
    scene->flow.stream = &scene->stream;
    scene->flow.has_parcel = true;
    scene->flow.parcel.part_count = 1;
    scene->flow.batches[0] = &scene->batch;
    scene->flow.commit = 1;
    scene->batch.flow = &scene->flow;
    scene->batch.backoff.ceiling_ms = BACKOFF_MAX_MS;
    timer_init(&scene->batch.retry, scene->loop, retry_fired);
}

static void answer(struct scene *scene, enum send_result result)
{
    struct send_report report = {.result = result, .text = "may not write"};
    scene->batch.state = BATCH_LENT;
    scene->batch.batch.again = true;
    scene->flow.lent_count = 1;
    scene->flow.parcel.parts[0].assigned = true;
    flow_answer(&scene->flow, &scene->batch, &report);
}

static void scene_end(struct scene *scene)
{
    timer_release(&scene->batch.retry);
    loop_close(scene->loop);
}

/* Numbers that are refused again and again cost a commit each time: with pauses only. */
static void new_numbers_that_do_not_help_wait(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    answer(&scene, SEND_REASSIGN);
    assert_int_equal(scene.batch.state, BATCH_BUILT);
    assert_false(scene.flow.parcel.parts[0].assigned);
    assert_false(scene.batch.batch.again);
    for (unsigned i = 0; i < 8; i++) {
        answer(&scene, SEND_REASSIGN);
        assert_int_equal(scene.batch.state, BATCH_RETRY);
        assert_false(scene.flow.parcel.parts[0].assigned);
        assert_false(scene.batch.batch.again);
        assert_true(timer_is_armed(&scene.batch.retry));
        uint64_t wait_ms = scene.batch.retry.due_ms - loop_now_ms(scene.loop);
        assert_in_range(wait_ms, UINT64_C(125) << i, UINT64_C(250) << i);
    }
    scene_end(&scene);
}

static void the_same_again_waits_and_keeps_its_numbers(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    answer(&scene, SEND_RETRY);
    assert_int_equal(scene.batch.state, BATCH_RETRY);
    assert_true(scene.flow.parcel.parts[0].assigned);
    assert_true(scene.batch.batch.again);
    assert_true(timer_is_armed(&scene.batch.retry));
    scene_end(&scene);
}

/* One stream of an uplink stands still, and the others go on: its reason is there until it goes on,
 * too. */
static void a_stream_that_stands_still_says_why(void **state)
{
    (void)state;
    struct scene scene;
    uint8_t memory[2048];
    scene_begin(&scene);
    scene.host.flows = &scene.flow;
    scene.host.flow_count = 1;
    scene.host.setup.name = "cloud";
    scene.stream.info.name = "alarms";
    struct debt debt = {.owed = {.range_count = 2, .ranges = {{5, 9}, {12, 12}}}};
    scene.flow.debt = &debt;
    answer(&scene, SEND_PARK);
    uplink_fault(&scene.host, NULL); /* as another stream's delivery does */
    struct out json = out_over(memory, sizeof memory - 1);
    host_status(&scene.host, &json);
    memory[json.size] = 0;
    assert_non_null(strstr((char *)memory, "\"standing\":{\"alarms\":\"may not write\"}"));
    assert_non_null(strstr((char *)memory, "\"owed\":{\"alarms\":6}"));
    debt.owed.range_count = 0;
    answer(&scene, SEND_OK);
    json.size = 0;
    host_status(&scene.host, &json);
    memory[json.size] = 0;
    assert_non_null(strstr((char *)memory, "\"standing\":{},\"owed\":{}"));
    scene_end(&scene);
}

/* Two brokers are down for days: the log has each of them once, the status the last one. */
static void a_fault_is_logged_once_until_all_is_well(void **state)
{
    (void)state;
    struct scene scene;
    struct why first, second;
    char path[] = "/tmp/weir-flow.XXXXXX";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    scene_begin(&scene);
    scene.host.setup.name = "cloud";
    why_set(&first, "no connection to a");
    why_set(&second, "no connection to b");
    for (unsigned i = 0; i < 100; i++) {
        uplink_fault(&scene.host, &first);
        uplink_fault(&scene.host, &second);
    }
    assert_string_equal(scene.host.fault.text, "no connection to b");
    uplink_fault(&scene.host, NULL);
    uplink_fault(&scene.host, &first);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    char text[4096];
    ssize_t size = pread(file, text, sizeof text - 1, 0);
    assert_in_range(size, 1, (ssize_t)sizeof text - 2);
    text[size] = 0;
    unsigned lines = 0;
    for (const char *c = text; (c = strchr(c, '\n')); c++) {
        lines++;
    }
    assert_int_equal(lines, 4); /* both, "working again", the first */
    close(before);
    close(file);
    unlink(path);
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_numbers_that_do_not_help_wait),
        cmocka_unit_test(the_same_again_waits_and_keeps_its_numbers),
        cmocka_unit_test(a_stream_that_stands_still_says_why),
        cmocka_unit_test(a_fault_is_logged_once_until_all_is_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
