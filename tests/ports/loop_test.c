#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/loop.h"
#include "ports/random.h"
#include "ports/signals.h"
#include "tests/cmocka.h"

static struct loop *loop_of_test(void)
{
    struct loop *loop = NULL;
    assert_int_equal(loop_open(&loop), ERR_OK);
    return loop;
}

#define TIMER_COUNT 500

struct numbered {
    struct timer timer;
    int number;
    struct timers_seen *seen;
};

struct timers_seen {
    struct numbered timers[TIMER_COUNT];
    int order[TIMER_COUNT];
    int count;
};

static void numbered_fire(struct timer *timer)
{
    struct numbered *n = CONTAINER_OF(timer, struct numbered, timer);
    assert_false(timer_is_armed(timer));
    assert_true(n->seen->count < TIMER_COUNT);
    n->seen->order[n->seen->count++] = n->number;
}

static void equal_deadlines_fire_in_the_order_of_arming(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    struct timers_seen seen = {.count = 0};
    for (int i = 0; i < 20; i++) {
        seen.timers[i] = (struct numbered){.number = i, .seen = &seen};
        timer_init(&seen.timers[i].timer, loop, numbered_fire);
        timer_arm(&seen.timers[i].timer, i < 10 ? 2 : 1);
    }
    timer_arm(&seen.timers[3].timer, 2); /* arming again moves it to the end */
    timer_disarm(&seen.timers[12].timer);
    while (seen.count < 19) {
        assert_int_equal(loop_turn(loop, -1), ERR_OK);
    }
    static const int expected[] = {10, 11, 13, 14, 15, 16, 17, 18, 19, 0,
                                   1,  2,  4,  5,  6,  7,  8,  9,  3};
    assert_memory_equal(seen.order, expected, sizeof expected);
    loop_close(loop);
}

/* Random deadlines, random disarming, against a plain sort. */
static void many_timers_fire_in_order(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    struct timers_seen *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    int armed = 0;
    for (int i = 0; i < TIMER_COUNT; i++) {
        seen->timers[i] = (struct numbered){.number = i, .seen = seen};
        timer_init(&seen->timers[i].timer, loop, numbered_fire);
        timer_arm(&seen->timers[i].timer, random_below(20));
    }
    for (int i = 0; i < TIMER_COUNT; i++) {
        if (random_below(3) == 0) {
            timer_release(&seen->timers[i].timer);
        } else {
            armed++;
        }
    }
    while (seen->count < armed) {
        assert_int_equal(loop_turn(loop, -1), ERR_OK);
    }
    for (int i = 1; i < armed; i++) {
        const struct timer *a = &seen->timers[seen->order[i - 1]].timer;
        const struct timer *b = &seen->timers[seen->order[i]].timer;
        assert_true(a->due_ms < b->due_ms || (a->due_ms == b->due_ms && a->order < b->order));
    }
    free(seen);
    loop_close(loop);
}

struct again {
    struct timer timer;
    int count;
};

static void again_fire(struct timer *timer)
{
    struct again *again = CONTAINER_OF(timer, struct again, timer);
    again->count++;
    timer_arm(timer, 0);
}

static void a_timer_armed_while_timers_run_waits_for_the_next_turn(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    struct again again = {.count = 0};
    timer_init(&again.timer, loop, again_fire);
    timer_arm(&again.timer, 0);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(loop_turn(loop, 1000), ERR_OK);
        assert_int_equal(again.count, i);
    }
    timer_release(&again.timer);
    loop_close(loop);
}

static void a_timer_is_neither_early_nor_very_late(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    struct again again = {.count = 0};
    timer_init(&again.timer, loop, again_fire);
    assert_int_equal(loop_turn(loop, 0), ERR_OK);
    uint64_t start_ms = loop_now_ms(loop);
    timer_arm(&again.timer, 30);
    while (!again.count) {
        assert_int_equal(loop_turn(loop, -1), ERR_OK);
    }
    assert_in_range(loop_now_ms(loop) - start_ms, 30, 30000);
    timer_release(&again.timer);
    loop_close(loop);
}

struct pair {
    struct watch watch;
    struct watch *other;
    int count;
};

static void pair_ready(struct watch *watch, unsigned events)
{
    struct pair *pair = CONTAINER_OF(watch, struct pair, watch);
    assert_true(events & WATCH_READ);
    pair->count++;
    watch_stop(pair->other);
    watch_stop(watch);
}

static void a_watch_may_stop_another_of_the_same_turn(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    int ends[2][2];
    struct pair pairs[2] = {{.count = 0}, {.count = 0}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe2(ends[i], O_CLOEXEC | O_NONBLOCK), 0);
        watch_init(&pairs[i].watch, loop, ends[i][0], pair_ready);
        pairs[i].other = &pairs[1 - i].watch;
        assert_int_equal(watch_start(&pairs[i].watch, WATCH_READ), ERR_OK);
        assert_int_equal(write(ends[i][1], "x", 1), 1);
    }
    assert_int_equal(loop_turn(loop, 1000), ERR_OK);
    assert_int_equal(pairs[0].count + pairs[1].count, 1);
    assert_int_equal(loop_turn(loop, 0), ERR_OK);
    assert_int_equal(pairs[0].count + pairs[1].count, 1);
    for (int i = 0; i < 2; i++) {
        close(ends[i][0]);
        close(ends[i][1]);
    }
    loop_close(loop);
}

static void slow_fire(struct timer *timer)
{
    struct timespec t = {0, 20 * 1000 * 1000};
    nanosleep(&t, NULL);
    loop_stop(timer->loop);
}

static void the_longest_turn_is_measured(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    struct timer slow;
    timer_init(&slow, loop, slow_fire);
    timer_arm(&slow, 1);
    assert_int_equal(loop_run(loop), ERR_OK);
    assert_in_range(loop_longest_turn_us(loop), 20000, 60000000);
    assert_int_equal(loop_longest_turn_us(loop), 0);
    loop_close(loop);
}

static void *wake_main(void *argument)
{
    struct timespec t = {0, 20 * 1000 * 1000};
    nanosleep(&t, NULL);
    loop_wake(argument);
    return NULL;
}

static void another_thread_wakes_the_loop(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_main, loop), 0);
    uint64_t start_ms = clock_monotonic_ms();
    assert_int_equal(loop_turn(loop, 120000), ERR_OK);
    assert_in_range(clock_monotonic_ms() - start_ms, 0, 60000);
    pthread_join(thread, NULL);
    loop_close(loop);
}

static void signal_caught(void *context, int number)
{
    *(int *)context = number;
}

static void signals_come_on_the_loop(void **state)
{
    (void)state;
    struct loop *loop = loop_of_test();
    struct signals *signals = NULL;
    int caught = 0;
    assert_int_equal(signals_open(&signals, loop, signal_caught, &caught), ERR_OK);
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        caught = 0;
        assert_int_equal(kill(getpid(), numbers[i]), 0);
        assert_int_equal(caught, 0);
        while (!caught) {
            assert_int_equal(loop_turn(loop, 5000), ERR_OK);
        }
        assert_int_equal(caught, numbers[i]);
    }
    assert_int_equal(kill(getpid(), SIGPIPE), 0); /* still alive */
    signals_close(signals);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_deadlines_fire_in_the_order_of_arming),
        cmocka_unit_test(many_timers_fire_in_order),
        cmocka_unit_test(a_timer_armed_while_timers_run_waits_for_the_next_turn),
        cmocka_unit_test(a_timer_is_neither_early_nor_very_late),
        cmocka_unit_test(a_watch_may_stop_another_of_the_same_turn),
        cmocka_unit_test(the_longest_turn_is_measured),
        cmocka_unit_test(another_thread_wakes_the_loop),
        cmocka_unit_test(signals_come_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
