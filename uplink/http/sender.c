#include <assert.h>
#include <stdlib.h>

#include "ports/random.h"
#include "uplink/http/sender_impl.h"

#define SENDER_PAUSE_MS_FIRST 250
#define SENDER_PAUSE_MS_MAX 60000
#define SENDER_ASKED_MS_MAX 3600000 /* a Retry-After that is longer is taken for this */
/* What build() lacks for so long goes back to the caller: as long as a batch is lent it holds memory,
 * and its part of the link, from others. */
#define SENDER_KICK_MS_MAX 60000

/* --- pauses --- */

/* Full jitter: all of the time may go to chance, so that a fleet does not come back at once. */
static uint64_t pause_ms(unsigned attempt, int64_t asked_ms)
{
    uint64_t most = (uint64_t)SENDER_PAUSE_MS_FIRST << (attempt < 8 ? attempt : 8);
    most = most < SENDER_PAUSE_MS_MAX ? most : SENDER_PAUSE_MS_MAX;
    uint64_t asked = asked_ms > 0 ? (uint64_t)asked_ms : 0;
    asked = asked < SENDER_ASKED_MS_MAX ? asked : SENDER_ASKED_MS_MAX;
    return asked + random_below((uint32_t)most) + 1;
}

static void sender_wake(struct sender *sender, uint64_t wait_ms)
{
    uint64_t due_ms = loop_now_ms(sender->uplink.loop) + wait_ms;
    if (!timer_is_armed(&sender->turn) || sender->turn.due_ms > due_ms) {
        timer_arm(&sender->turn, wait_ms);
    }
}

/* The service does not answer this job, or asks to be left alone: one request at a time, after a
 * pause. Requests that were under way together fail together, and are one failure. */
static void sender_is_out(struct sender *sender, const struct sender_job *job, int64_t asked_ms)
{
    bool is_new = job->is_probe || !sender->is_out;
    unsigned attempt = is_new ? sender->attempt++ : 0;
    uint64_t next_ms = loop_now_ms(sender->uplink.loop) + pause_ms(attempt, asked_ms);
    if (is_new || (asked_ms > 0 && next_ms > sender->next_ms)) {
        sender->next_ms = next_ms;
    }
    sender->is_out = true;
}

/* --- jobs --- */

static bool job_is_urgent(const struct sender_job *job)
{
    return job->request.batch->lane >= PRIORITY_URGENT;
}

static void job_unlink(struct sender *sender, struct sender_job *job)
{
    struct sender_job **at = &sender->jobs;
    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
}

static void job_append(struct sender *sender, struct sender_job *job)
{
    struct sender_job **end = &sender->jobs;
    while (*end) {
        end = &(*end)->next;
    }
    job->next = NULL;
    *end = job;
}

static void job_leave_slot(struct sender_job *job)
{
    if (job->slot) {
        job->slot->job = NULL;
        job->slot = NULL;
        job->request.text = out_over(NULL, 0);
    }
}

static void job_free(struct sender_job *job)
{
    job_leave_slot(job);
    timer_release(&job->later);
    free(job);
}

static void sender_say_fault(struct sender *sender, const struct send_report *report)
{
    if (report) {
        struct why why;
        why_set(&why, "%s", report->text);
        uplink_fault(sender->uplink.host, &why);
    } else if (sender->has_fault) {
        uplink_fault(sender->uplink.host, NULL);
    }
    sender->has_fault = report != NULL;
}

/* The one place where a send ends. Whoever calls it touches neither job nor sender after it. */
static void job_end(struct sender_job *job, const struct send_report *report)
{
    struct sender *sender = job->request.sender;
    struct batch *batch = job->request.batch;
    struct send_report whole = *report;
    whole.is_clear = !job->is_in_doubt;
    job_unlink(sender, job);
    job_free(job);
    sender_wake(sender, 0);
    uplink_done(sender->uplink.host, batch, &whole);
}

static void job_retry(struct sender_job *job, const char *text)
{
    struct send_report report;
    sender_report(&report, SEND_RETRY, 0, "%s", text);
    report.retry_after_ms = 0;
    job_end(job, &report);
}

static void job_later(struct timer *timer)
{
    struct sender_job *job = CONTAINER_OF(timer, struct sender_job, later);
    if (job->phase == SENDER_WAITS_KICK) {
        job_retry(job, "nothing could be sent for a while");
        return;
    }
    job->phase = SENDER_WAITS;
    sender_wake(job->request.sender, 0);
}

/* --- answers --- */

/* What failed below HTTP. */
static void job_failed(struct sender_job *job, const struct http_answer *answer)
{
    struct sender *sender = job->request.sender;
    struct send_report report;
    bool is_wrong = answer->e == ERR_AUTH || answer->e == ERR_CONFIG;
    sender_report(&report, is_wrong ? SEND_PARK : SEND_RETRY, 0, "%s",
                  answer->why.text[0] ? answer->why.text : err_name(answer->e));
    report.retry_after_ms = 0;
    if (answer->e != ERR_NOMEM && answer->e != ERR_REJECTED) {
        sender_is_out(sender, job, 0);
        sender_say_fault(sender, &report);
    }
    job_end(job, &report);
}

/* Did the service itself say that it can't at the moment? */
static bool is_service_down(const struct http_answer *answer)
{
    return answer->status == 429 || answer->status >= 500;
}

static void job_judged(struct sender_job *job, const struct http_answer *answer,
                       enum sender_next next, struct send_report *report)
{
    struct sender *sender = job->request.sender;
    bool is_retry = next == SENDER_LATER || (next == SENDER_END && report->result == SEND_RETRY);
    if (is_retry && is_service_down(answer)) {
        sender_is_out(sender, job, report->retry_after_ms);
        sender_say_fault(sender, report);
    } else {
        sender->is_out = false;
        sender->attempt = 0;
        bool is_parked = next == SENDER_END && report->result == SEND_PARK;
        sender_say_fault(sender, is_parked ? report : NULL);
    }
    job->request.number++;
    if (next == SENDER_END) {
        job_end(job, report);
        return;
    }
    job->attempt = next == SENDER_LATER ? job->attempt + 1 : 0;
    if (next == SENDER_LATER && sender->is_stopping && !job->request.is_partly_stored) {
        job_retry(job, "stopped before it was tried again");
        return;
    }
    job->phase = next == SENDER_LATER ? SENDER_SLEEPS : SENDER_WAITS;
    if (next == SENDER_MORE) { /* behind what has waited meanwhile */
        job_unlink(sender, job);
        job_append(sender, job);
    }
    job->is_begun = true;
    if (next == SENDER_LATER) {
        timer_arm(&job->later, pause_ms(job->attempt, report->retry_after_ms));
    }
    sender_wake(sender, 0);
}

static void job_answered(struct http_request *http, const struct http_answer *answer)
{
    struct sender_request *r = CONTAINER_OF(http, struct sender_request, http);
    struct sender_job *job = CONTAINER_OF(r, struct sender_job, request);
    struct sender *sender = r->sender;
    r->is_open = false;
    sender->open_count--;
    job_leave_slot(job);
    uplink_wire_bytes(sender->uplink.host, answer->wire_sent, answer->wire_received);
    server_clock_learn(&sender->clock, answer->date_s);
    job->is_in_doubt = job->is_in_doubt || (answer->e && answer->is_sent);
    if (answer->e == ERR_CLOSED && job->is_cut) {
        job_retry(job, answer->why.text);
        return;
    }
    job->is_cut = false;
    if (answer->e) {
        if (sender->service->failed) {
            sender->service->failed(sender->context, r, answer);
        }
        job_failed(job, answer);
        return;
    }
    struct send_report report = {.retry_after_ms = answer->retry_after_ms};
    r->is_in_doubt = answer->status == 408 || answer->status >= 500;
    enum sender_next next = sender->service->judge(sender->context, r, answer, &report);
    job->is_in_doubt = job->is_in_doubt || r->is_in_doubt;
    job_judged(job, answer, next, &report);
}

static void job_header(struct http_request *http, struct slice name, struct slice value)
{
    struct sender_request *r = CONTAINER_OF(http, struct sender_request, http);
    r->sender->service->header(r->sender->context, r, name, value);
}

/* --- requests --- */

static struct sender_slot *slot_take(struct sender *sender)
{
    for (size_t i = 0; i < SENDER_REQUEST_MAX; i++) {
        struct sender_slot *slot = &sender->slots[i];
        if (!slot->job) {
            slot->text = slot->text ? slot->text : malloc(SENDER_TEXT_SIZE);
            return slot->text ? slot : NULL;
        }
    }
    return NULL;
}

static enum err job_build(struct sender_job *job, struct send_report *report)
{
    struct sender_request *r = &job->request;
    struct sender *sender = r->sender;
    r->http = (struct http_request){.tls = sender->tls,
                                    .timeout_ms = sender->timeout_ms,
                                    .answer_size_max = sender->service->answer_size_max,
                                    .done = job_answered,
                                    .header = sender->service->header ? job_header : NULL};
    r->text = out_over(job->slot->text, SENDER_TEXT_SIZE);
    r->header_count = 0;
    return sender->service->build(sender->context, r, report);
}

/* A job that can't be sent now waits, or ends: never within the caller's send(). */
static void job_go(struct sender_job *job)
{
    struct sender_request *r = &job->request;
    struct sender *sender = r->sender;
    struct send_report report = {.result = SEND_RETRY};
    job->slot = slot_take(sender);
    if (!job->slot) {
        job_retry(job, "no memory for a request");
        return;
    }
    job->slot->job = job;
    enum err e = job_build(job, &report);
    if (e == ERR_AGAIN) {
        job_leave_slot(job);
        job->phase = SENDER_WAITS_KICK;
        if (!timer_is_armed(&job->later)) { /* kicks in vain do not begin it anew */
            timer_arm(&job->later, SENDER_KICK_MS_MAX);
        }
        return;
    }
    if (e) {
        job_end(job, &report);
        return;
    }
    e = http_send(sender->http, &r->http);
    if (e) {
        job_retry(job, "no memory for a request");
        return;
    }
    timer_disarm(&job->later);
    r->is_open = true;
    job->is_probe = sender->is_out;
    job->phase = SENDER_IS_OPEN;
    sender->open_count++;
}

/* --- turns --- */

static struct sender_job *sender_first(const struct sender *sender)
{
    struct sender_job *first = NULL;
    for (struct sender_job *job = sender->jobs; job; job = job->next) {
        if (job->phase == SENDER_WAITS &&
            (!first || job->request.batch->lane > first->request.batch->lane)) {
            first = job;
        }
    }
    return first;
}

/* How many requests may be under way before this one: a bulk request leaves room for an urgent one,
 * and has the thin link to itself. */
static unsigned sender_room(const struct sender *sender, const struct sender_job *job)
{
    struct uplink_link link = {.interface_name = NULL};
    uplink_link(sender->uplink.host, &link);
    if (sender->is_out) {
        return 1;
    }
    if (job_is_urgent(job)) {
        return link.pacer ? 2 : SENDER_REQUEST_MAX;
    }
    return link.pacer ? 1 : SENDER_REQUEST_MAX - 1;
}

/* What was put when there was no memory for it, or during the stop. */
static bool sender_give_back(struct sender *sender)
{
    struct batch *batch = sender->refused;
    if (!batch) {
        return false;
    }
    sender->refused = batch->next;
    batch->next = NULL;
    struct send_report report;
    sender_report(&report, SEND_RETRY, 0,
                  sender->is_stopping ? "stopped before it was tried" : "no memory for a request");
    report.retry_after_ms = 0;
    report.is_clear = true;
    sender_wake(sender, 0);
    uplink_done(sender->uplink.host, batch, &report);
    return true;
}

/* May it go on while the sender stops? What is stored of a batch is known as long as it is at hand: the
 * next life would send all of it. */
static bool job_outlives_stop(const struct sender_job *job)
{
    switch (job->phase) {
    case SENDER_IS_OPEN:
        return true;
    case SENDER_WAITS:
    case SENDER_WAITS_KICK:
        return job->is_begun;
    case SENDER_SLEEPS:
        return job->request.is_partly_stored;
    }
    return false;
}

/* One job a turn: each may end in a call of the user's that changes the list. */
static void sender_turn(struct timer *timer)
{
    struct sender *sender = CONTAINER_OF(timer, struct sender, turn);
    if (sender_give_back(sender)) {
        return;
    }
    struct sender_job *job = sender->jobs;
    while (sender->is_stopping && job && job_outlives_stop(job)) {
        job = job->next;
    }
    if (sender->is_stopping && job) {
        job_retry(job, "stopped before it was tried");
        return;
    }
    job = sender_first(sender);
    uint64_t now_ms = loop_now_ms(sender->uplink.loop);
    if (!job || sender->open_count >= sender_room(sender, job)) {
        return;
    }
    if (sender->is_out && sender->next_ms > now_ms) {
        sender_wake(sender, sender->next_ms - now_ms);
        return;
    }
    sender_wake(sender, 0); /* for the next one */
    job_go(job);
}

static void sender_grace_over(struct timer *timer)
{
    struct sender *sender = CONTAINER_OF(timer, struct sender, grace);
    struct sender_job *job = sender->jobs;
    if (!job) {
        return;
    }
    if (job->request.is_open) {
        http_cancel(sender->http, &job->request.http);
        job->request.is_open = false;
        job->is_in_doubt = true;
        sender->open_count--;
    }
    timer_arm(&sender->grace, 0); /* for the next one */
    job_retry(job, "stopped before there was an answer");
}

/* --- the sender --- */

static void sender_http_link(void *context, struct http_link *ret)
{
    const struct sender *sender = context;
    struct uplink_link link;
    uplink_link(sender->uplink.host, &link);
    *ret = (struct http_link){.interface_name = link.interface_name,
                              .pacer = link.pacer,
                              .send_buffer_size = link.send_buffer_size,
                              .keepalive_s = link.keepalive_s};
}

enum err sender_open(struct sender **ret, const struct sender_setup *setup, struct why *why)
{
    struct sender *sender = calloc(1, sizeof *sender);
    if (!sender) {
        return ERR_NOMEM;
    }
    sender->uplink = *setup->uplink;
    sender->service = setup->service;
    sender->context = setup->context;
    sender->tls = setup->tls;
    sender->timeout_ms = setup->timeout_ms;
    timer_init(&sender->turn, sender->uplink.loop, sender_turn);
    timer_init(&sender->grace, sender->uplink.loop, sender_grace_over);
    enum err e = http_open(&sender->http, sender->uplink.loop, sender->uplink.names);
    if (e) {
        why_set(why, "the HTTP client can't be opened: %s", err_name(e));
        sender_close(sender);
        return e;
    }
    http_link_set(sender->http, sender_http_link, sender);
    http_tickets_set(sender->http, setup->uplink->tickets, uplink_name(setup->uplink->host));
    *ret = sender;
    return ERR_OK;
}

void sender_put(struct sender *sender, struct batch *batch)
{
    size_t state_at = (sizeof(struct sender_job) + 15) / 16 * 16;
    struct sender_job *job =
        sender->is_stopping ? NULL : calloc(1, state_at + sender->service->state_size);
    sender_wake(sender, 0);
    if (!job) {
        batch->next = sender->refused;
        sender->refused = batch;
        return;
    }
    job->request.sender = sender;
    job->request.batch = batch;
    job->request.state = (uint8_t *)job + state_at;
    timer_init(&job->later, sender->uplink.loop, job_later);
    job_append(sender, job);
}

void sender_kick(struct sender *sender)
{
    for (struct sender_job *job = sender->jobs; job; job = job->next) {
        job->phase = job->phase == SENDER_WAITS_KICK ? SENDER_WAITS : job->phase;
    }
    sender_wake(sender, 0);
}

void sender_relink(struct sender *sender)
{
    uint64_t sent = 0;
    uint64_t received = 0;
    for (struct sender_job *job = sender->jobs; job; job = job->next) {
        job->is_cut = job->request.is_open;
    }
    http_cut(sender->http, &sent, &received);
    uplink_wire_bytes(sender->uplink.host, sent, received);
    if (sender->is_out) {
        sender->attempt = 0; /* what failed there may work here */
        sender->next_ms = loop_now_ms(sender->uplink.loop);
    }
    sender_wake(sender, 0);
}

void sender_stop(struct sender *sender, int64_t grace_ms)
{
    sender->is_stopping = true;
    sender_wake(sender, 0);
    timer_arm(&sender->grace, grace_ms > 0 ? (uint64_t)grace_ms : 0);
}

void sender_close(struct sender *sender)
{
    if (!sender) {
        return;
    }
    http_close(sender->http);
    while (sender->jobs) {
        struct sender_job *job = sender->jobs;
        sender->jobs = job->next;
        job_free(job);
    }
    for (size_t i = 0; i < SENDER_REQUEST_MAX; i++) {
        free(sender->slots[i].text);
        free(sender->slots[i].body);
    }
    timer_release(&sender->turn);
    timer_release(&sender->grace);
    free(sender);
}

struct http *sender_http(struct sender *sender)
{
    return sender->http;
}

struct server_clock *sender_clock(struct sender *sender)
{
    return &sender->clock;
}
