#include "agent/status_look.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Columns of rows have times as they were given: before 2001 by the monotonic clock of a boot. */
#define WALL_FLOOR_US INT64_C(1000000000000000)

/* --- on the store worker --- */

/* Of an event: those in the tail have their times in themselves only. */
static int64_t event_time(struct status_look *look, uint16_t stream, uint64_t sequence)
{
    struct stored_event event = {0};
    struct rows rows = {.events = &event,
                        .event_max = 1,
                        .arena = out_over(malloc(look->event_size_max), look->event_size_max),
                        .is_look = true};
    struct range range = {sequence, sequence};
    struct why why;
    int64_t time_us = 0;
    if (rows.arena.data &&
        buffer_read(look->buffer, stream, range, look->event_size_max, &rows, &why) == ERR_OK &&
        rows.event_count > 0 && buffer_time(look->buffer, &event)) {
        time_us = event.time_us;
    }
    free(rows.arena.data);
    return time_us;
}

static int64_t oldest_time(struct status_look *look, uint16_t stream, uint64_t lowest)
{
    struct row_info row;
    struct why why;
    if (buffer_row_next(look->buffer, stream, lowest, &row, &why)) {
        return 0; /* gone meanwhile, or it can't be read: then its age is not known */
    }
    if (!row.is_tail && row.oldest_us >= WALL_FLOOR_US) {
        return row.oldest_us;
    }
    return event_time(look, stream, row.range.first > lowest ? row.range.first : lowest);
}

static void look_work(struct job *job)
{
    struct status_look *look = CONTAINER_OF(job, struct status_look, job);
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        look->found[s] = look->lowest[s] > 0 ? oldest_time(look, s, look->lowest[s]) : 0;
    }
}

/* --- on the loop --- */

/* What the job looks for. Not there: what the buffer says is written where the loop reads it. */
static void look_prepare(struct status_look *look)
{
    const struct buffer_changes *state = look->state;
    memset(look->lowest, 0, sizeof look->lowest);
    for (size_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        uint64_t *low = &look->lowest[owed->stream];
        bool waits = owed->range_count > 0 && state->streams[owed->stream].event_count > 0;
        if (waits && (*low == 0 || owed->ranges[0].first < *low)) {
            *low = owed->ranges[0].first;
        }
    }
}

static void tell_all(struct status_look *look, bool is_answered)
{
    timer_disarm(&look->limit);
    look->told = look->waiters;
    look->waiters = NULL; /* who asks again within done() waits anew */
    while (look->told) {
        struct look_waiter *waiter = look->told;
        look->told = waiter->next;
        waiter->is_waiting = false;
        waiter->is_answered = is_answered;
        waiter->done(waiter);
    }
}

static void look_done(struct job *job)
{
    struct status_look *look = CONTAINER_OF(job, struct status_look, job);
    memcpy(look->oldest_us, look->found, sizeof look->oldest_us);
    look->is_under_way = false;
    tell_all(look, true);
}

static void limit_fired(struct timer *timer)
{
    tell_all(CONTAINER_OF(timer, struct status_look, limit), false);
}

void status_look_init(struct status_look *look, struct loop *loop, struct worker *worker,
                      struct buffer *buffer, const struct buffer_changes *state,
                      size_t event_size_max)
{
    *look = (struct status_look){.worker = worker,
                                 .buffer = buffer,
                                 .state = state,
                                 .loop = loop,
                                 .job = {.work = look_work, .done = look_done},
                                 .event_size_max = event_size_max};
    timer_init(&look->limit, loop, limit_fired);
}

void status_look_release(struct status_look *look)
{
    assert(!look->is_under_way && !look->waiters);
    timer_release(&look->limit);
}

void status_look_ask(struct status_look *look, struct look_waiter *waiter)
{
    assert(look->worker && !waiter->is_waiting);
    if (!look->is_under_way) {
        look_prepare(look);
    }
    if (!look->is_under_way && worker_put(look->worker, &look->job) == ERR_OK) {
        look->is_under_way = true;
        look->begun_ms = loop_now_ms(look->loop);
    } /* else the worker has enough to do: what is known is shown when the time is over */
    if (!look->waiters) {
        timer_arm(&look->limit, LOOK_WAIT_MS);
    }
    waiter->is_waiting = true;
    waiter->next = look->waiters;
    look->waiters = waiter;
}

void status_look_forget(struct status_look *look, struct look_waiter *waiter)
{
    struct look_waiter **lists[] = {&look->waiters, &look->told};
    for (size_t i = 0; i < ARRAY_COUNT(lists) && waiter->is_waiting; i++) {
        struct look_waiter **at = lists[i];
        while (*at && *at != waiter) {
            at = &(*at)->next;
        }
        if (*at) {
            *at = waiter->next;
            waiter->is_waiting = false;
        }
    }
}

uint64_t status_look_silent_ms(const struct status_look *look)
{
    return look->is_under_way ? loop_now_ms(look->loop) - look->begun_ms : 0;
}
