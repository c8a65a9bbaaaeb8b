/* Commands beside the loop: what they say, how they end, and that nothing of them is left. */
#include "tests/cmocka.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "ports/clock.h"
#include "ports/process.h"

#define PATIENCE_MS 60000

struct scene {
    struct loop *loop;
    struct process *process;
    unsigned done_count;
    enum err e;
    char output[4096];
    struct why why;
    bool closes;
};

static void done(void *context, const struct process_answer *answer)
{
    struct scene *scene = context;
    scene->done_count++;
    scene->e = answer->e;
    scene->why = answer->why;
    assert_true(slice_to_text(answer->output, scene->output, sizeof scene->output));
    if (scene->closes) {
        process_close(scene->process);
        scene->process = NULL;
    }
}

static void begin(struct scene *scene, const char *command, uint32_t timeout_ms)
{
    struct why why;
    *scene = (struct scene){.closes = true};
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    struct process_setup setup = {.loop = scene->loop,
                                  .command = command,
                                  .output_size_max = 1000,
                                  .timeout_ms = timeout_ms,
                                  .context = scene,
                                  .done = done};
    assert_int_equal(process_open(&scene->process, &setup, &why), ERR_OK);
    assert_int_equal(scene->done_count, 0);
}

static void finish(struct scene *scene)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (scene->done_count == 0) {
        assert_true(clock_monotonic_ms() < until);
        assert_int_equal(loop_turn(scene->loop, 100), ERR_OK);
    }
    assert_int_equal(loop_turn(scene->loop, 0), ERR_OK);
    assert_int_equal(scene->done_count, 1);
    process_close(scene->process);
    loop_close(scene->loop);
}

static void output_and_words(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, "read nothing; printf '%s-' \"it's a\" 'word  b'; sleep 0.1; echo $((1+1))",
          PATIENCE_MS);
    finish(&scene);
    assert_int_equal(scene.e, ERR_OK);
    assert_string_equal(scene.output, "it's a-word  b-2\n");
}

static void a_status(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, "echo some; exit 7", PATIENCE_MS);
    finish(&scene);
    assert_int_equal(scene.e, ERR_CLOSED);
    assert_string_equal(scene.why.text, "it ended with status 7");
    assert_string_equal(scene.output, "some\n");
    begin(&scene, "kill -9 $$", PATIENCE_MS);
    finish(&scene);
    assert_int_equal(scene.e, ERR_CLOSED);
    assert_string_equal(scene.why.text, "it was ended by signal 9");
    begin(&scene, "/nowhere/at-all 2>/dev/null", PATIENCE_MS);
    finish(&scene);
    assert_string_equal(scene.why.text, "it ended with status 127");
}

/* As much as is allowed, and a byte more. */
static void too_much_output(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, "printf '%01000d' 5", PATIENCE_MS);
    finish(&scene);
    assert_int_equal(scene.e, ERR_OK);
    assert_int_equal(strlen(scene.output), 1000);
    begin(&scene, "printf '%01001d' 5; sleep 300", PATIENCE_MS);
    finish(&scene);
    assert_int_equal(scene.e, ERR_REJECTED);
    assert_string_equal(scene.why.text, "it writes more than 1000 bytes");
}

static void wait_until_gone(pid_t pid)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (kill(pid, 0) == 0) {
        assert_true(clock_monotonic_ms() < until);
        clock_pause(5);
    }
    assert_int_equal(errno, ESRCH);
}

/* Its time is over, and what it has started is gone with it. */
static void too_slow(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, "sleep 300 & echo $!; wait", 300);
    finish(&scene);
    assert_int_equal(scene.e, ERR_TIMEOUT);
    pid_t started = (pid_t)strtol(scene.output, NULL, 10);
    assert_true(started > 1);
    wait_until_gone(started);
}

/* Who keeps the output open longer than the command itself does not keep us for ever. */
static void output_left_open(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, "sleep 300 & echo here", 300);
    finish(&scene);
    assert_int_equal(scene.e, ERR_TIMEOUT);
    assert_string_equal(scene.output, "here\n");
}

static void closed_early(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, "sleep 300", PATIENCE_MS);
    process_close(scene.process);
    assert_int_equal(loop_turn(scene.loop, 0), ERR_OK);
    assert_int_equal(scene.done_count, 0);
    loop_close(scene.loop);
}

/* No signal is blocked, though ours are. */
static void no_blocked_signals(void **state)
{
    (void)state;
    struct scene scene;
    sigset_t ours, before;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, &before);
    begin(&scene, "kill -TERM $$; echo still here", PATIENCE_MS);
    finish(&scene);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(scene.e, ERR_CLOSED);
    assert_string_equal(scene.output, "");
    assert_string_equal(scene.why.text, "it was ended by signal 15");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_words),   cmocka_unit_test(a_status),
        cmocka_unit_test(too_much_output),    cmocka_unit_test(too_slow),
        cmocka_unit_test(output_left_open),   cmocka_unit_test(closed_early),
        cmocka_unit_test(no_blocked_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
