/* Worker and inbox with real threads; also run under the thread sanitizer. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "ports/inbox.h"
#include "ports/worker.h"
#include "tests/cmocka.h"

struct seen {
    pthread_t loop_thread;
    size_t worked;
    size_t done;
};

struct numbered_job {
    struct job job;
    size_t number;
    struct seen *seen;
    size_t result;
};

static void numbered_work(struct job *job)
{
    struct numbered_job *n = CONTAINER_OF(job, struct numbered_job, job);
    assert_false(pthread_equal(pthread_self(), n->seen->loop_thread));
    n->result = n->number * n->number;
    n->seen->worked++; /* one thread only; read by the loop after the jobs are done */
    assert_int_equal(n->seen->worked, n->number + 1);
}

static void numbered_done(struct job *job)
{
    struct numbered_job *n = CONTAINER_OF(job, struct numbered_job, job);
    assert_true(pthread_equal(pthread_self(), n->seen->loop_thread));
    assert_int_equal(n->seen->done, n->number);
    assert_int_equal(n->result, n->number * n->number);
    n->seen->done++;
}

/* Twice as many jobs as the queue holds: the second half is refused, and put again when there is
 * room. */
static void jobs_are_done_in_order_and_the_queue_is_bounded(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct worker *worker = NULL;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(worker_open(&worker, loop, "test worker with a long name"), ERR_OK);
    struct seen seen = {.loop_thread = pthread_self()};
    static struct numbered_job jobs[2 * WORKER_QUEUE_MAX];
    size_t put = 0;
    size_t refused = 0;
    while (seen.done < ARRAY_COUNT(jobs)) {
        while (put < ARRAY_COUNT(jobs)) {
            jobs[put] = (struct numbered_job){.job = {.work = numbered_work, .done = numbered_done},
                                              .number = put,
                                              .seen = &seen};
            enum err e = worker_put(worker, &jobs[put].job);
            if (e) {
                assert_int_equal(e, ERR_FULL);
                assert_int_equal(put - seen.done, WORKER_QUEUE_MAX);
                refused++;
                break;
            }
            put++;
        }
        assert_int_equal(loop_turn(loop, 5000), ERR_OK);
    }
    assert_true(refused > 0);
    assert_int_equal(seen.worked, ARRAY_COUNT(jobs));
    worker_close(worker);
    loop_close(loop);
}

static void closing_a_worker_does_what_was_put(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct worker *worker = NULL;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(worker_open(&worker, loop, "closing"), ERR_OK);
    struct seen seen = {.loop_thread = pthread_self()};
    static struct numbered_job jobs[20];
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++) {
        jobs[i] = (struct numbered_job){
            .job = {.work = numbered_work, .done = numbered_done}, .number = i, .seen = &seen};
        assert_int_equal(worker_put(worker, &jobs[i].job), ERR_OK);
    }
    worker_close(worker);
    assert_int_equal(seen.done, ARRAY_COUNT(jobs));
    loop_close(loop);
}

struct closing_job {
    struct job job;
    struct worker *worker; /* closed by done(); NULL: not by this one */
    size_t number;
    size_t *done;
    atomic_size_t *worked;
};

static void closing_work(struct job *job)
{
    atomic_fetch_add(CONTAINER_OF(job, struct closing_job, job)->worked, 1);
}

static void closing_done(struct job *job)
{
    struct closing_job *c = CONTAINER_OF(job, struct closing_job, job);
    assert_int_equal(*c->done, c->number);
    *c->done += 1;
    worker_close(c->worker);
}

/* Several jobs are done at once, and the first of them closes the worker. */
static void a_worker_may_be_closed_by_a_job(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct worker *worker = NULL;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(worker_open(&worker, loop, "closed within"), ERR_OK);
    struct closing_job jobs[4];
    size_t done = 0;
    atomic_size_t worked = 0;
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++) {
        jobs[i] = (struct closing_job){.job = {.work = closing_work, .done = closing_done},
                                       .worker = i == 0 ? worker : NULL,
                                       .number = i,
                                       .done = &done,
                                       .worked = &worked};
        assert_int_equal(worker_put(worker, &jobs[i].job), ERR_OK);
    }
    while (atomic_load(&worked) < ARRAY_COUNT(jobs)) {
        sched_yield();
    }
    assert_int_equal(loop_turn(loop, 1000), ERR_OK);
    assert_int_equal(done, ARRAY_COUNT(jobs));
    loop_close(loop);
}

#define PUTTER_COUNT 4
#define ITEMS_PER_PUTTER 2000
#define INBOX_COUNT_MAX 16

struct numbered_item {
    struct inbox_item item;
    unsigned putter;
    unsigned number;
};

struct inbox_test {
    struct inbox *inbox;
    unsigned next[PUTTER_COUNT];
    size_t received;
};

struct putter {
    pthread_t thread;
    struct inbox *inbox;
    unsigned number;
    size_t full;
};

static void item_received(void *context, struct inbox_item *item)
{
    struct inbox_test *test = context;
    struct numbered_item *n = CONTAINER_OF(item, struct numbered_item, item);
    assert_int_equal(n->number, test->next[n->putter]);
    test->next[n->putter]++;
    test->received++;
    free(n);
}

static void *putter_main(void *argument)
{
    struct putter *putter = argument;
    for (unsigned i = 0; i < ITEMS_PER_PUTTER; i++) {
        struct numbered_item *n = malloc(sizeof *n);
        assert_non_null(n);
        *n = (struct numbered_item){.putter = putter->number, .number = i};
        enum err e;
        while ((e = inbox_put(putter->inbox, &n->item)) == ERR_FULL) {
            putter->full++;
            struct timespec t = {0, 100 * 1000};
            nanosleep(&t, NULL);
        }
        assert_int_equal(e, ERR_OK);
    }
    return NULL;
}

static void an_inbox_keeps_the_order_of_each_thread(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct inbox_test test = {.received = 0};
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(inbox_open(&test.inbox, loop, INBOX_COUNT_MAX, item_received, &test), ERR_OK);
    struct putter putters[PUTTER_COUNT];
    for (unsigned i = 0; i < PUTTER_COUNT; i++) {
        putters[i] = (struct putter){.inbox = test.inbox, .number = i};
        assert_int_equal(pthread_create(&putters[i].thread, NULL, putter_main, &putters[i]), 0);
    }
    while (test.received < PUTTER_COUNT * ITEMS_PER_PUTTER) {
        assert_int_equal(loop_turn(loop, 5000), ERR_OK);
    }
    for (unsigned i = 0; i < PUTTER_COUNT; i++) {
        pthread_join(putters[i].thread, NULL);
    }
    inbox_close(test.inbox);
    loop_close(loop);
}

static void a_full_inbox_refuses_and_a_stopped_one_is_closed(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct inbox_test test = {.received = 0};
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(inbox_open(&test.inbox, loop, 3, item_received, &test), ERR_OK);
    struct numbered_item *items[4];
    for (unsigned i = 0; i < 4; i++) {
        items[i] = malloc(sizeof *items[i]);
        assert_non_null(items[i]);
        *items[i] = (struct numbered_item){.number = i};
        assert_int_equal(inbox_put(test.inbox, &items[i]->item), i < 3 ? ERR_OK : ERR_FULL);
    }
    assert_int_equal(loop_turn(loop, 5000), ERR_OK);
    assert_int_equal(test.received, 3);
    assert_int_equal(inbox_put(test.inbox, &items[3]->item), ERR_OK);
    inbox_stop(test.inbox);
    struct inbox_item late;
    assert_int_equal(inbox_put(test.inbox, &late), ERR_CLOSED);
    inbox_close(test.inbox); /* receives what still waits */
    assert_int_equal(test.received, 4);
    loop_close(loop);
}

static void item_closes(void *context, struct inbox_item *item)
{
    struct inbox **inbox = context;
    struct inbox *closed = *inbox;
    (void)item;
    *inbox = NULL;
    inbox_close(closed); /* NULL for the items behind the first */
}

static void an_inbox_may_be_closed_by_an_item(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct inbox *inbox = NULL;
    struct inbox_item items[3];
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(inbox_open(&inbox, loop, 4, item_closes, &inbox), ERR_OK);
    for (size_t i = 0; i < ARRAY_COUNT(items); i++) {
        assert_int_equal(inbox_put(inbox, &items[i]), ERR_OK);
    }
    assert_int_equal(loop_turn(loop, 1000), ERR_OK);
    assert_null(inbox);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_done_in_order_and_the_queue_is_bounded),
        cmocka_unit_test(closing_a_worker_does_what_was_put),
        cmocka_unit_test(a_worker_may_be_closed_by_a_job),
        cmocka_unit_test(an_inbox_keeps_the_order_of_each_thread),
        cmocka_unit_test(an_inbox_may_be_closed_by_an_item),
        cmocka_unit_test(a_full_inbox_refuses_and_a_stopped_one_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
