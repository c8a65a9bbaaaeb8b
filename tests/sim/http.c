/* HTTP requests go to handlers by the prefix of their URL. */
#include "ports/http.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "tests/sim/sim_impl.h"

#define HANDLER_MAX 32
#define TIMEOUT_MS 30000
#define DOWN_RETRY_MS 100
#define OVERHEAD 400 /* headers, TLS, TCP of one request or answer */

struct site {
    char prefix[256];
    void (*answer)(void *context, const struct http_request *request, struct net_reply *ret);
    void *context;
};

struct http {
    struct loop *loop;
    size_t count;
};

struct call {
    struct call *next;
    struct http *http;
    struct http_request *request;
    struct timer arrive; /* of the world: the request is at the server */
    struct timer done;   /* of the agent: the answer, or the timeout */
    bool arrived, answered;
    struct net_reply reply;
    uint8_t *body;
};

static struct site sites[HANDLER_MAX];
static struct call *calls;

void net_http(const char *prefix,
              void (*answer)(void *context, const struct http_request *request,
                             struct net_reply *ret),
              void *context)
{
    struct site *place = NULL;
    for (size_t i = 0; i < HANDLER_MAX; i++) {
        if (strcmp(sites[i].prefix, prefix) == 0) {
            place = &sites[i];
            break;
        }
        if (!sites[i].prefix[0] && !place) {
            place = &sites[i];
        }
    }
    assert(place && strlen(prefix) < sizeof place->prefix);
    memset(place, 0, sizeof *place);
    if (answer) {
        snprintf(place->prefix, sizeof place->prefix, "%s", prefix);
        place->answer = answer;
        place->context = context;
    }
}

static const struct site *site_of(const char *url)
{
    const struct site *best = NULL;
    for (size_t i = 0; i < HANDLER_MAX; i++) {
        size_t size = strlen(sites[i].prefix);
        if (size && strncmp(url, sites[i].prefix, size) == 0 &&
            (!best || size > strlen(best->prefix))) {
            best = &sites[i];
        }
    }
    return best;
}

static void call_free(struct call *call)
{
    struct call **link = &calls;
    while (*link != call) {
        link = &(*link)->next;
    }
    *link = call->next;
    timer_release(&call->arrive);
    timer_release(&call->done);
    call->http->count--;
    call->request->private_ = NULL;
    free(call->body);
    free(call);
}

static void call_handle(struct call *call)
{
    call->arrived = true;
    const struct site *site = site_of(call->request->url);
    call->reply = (struct net_reply){.status = 200};
    sim_trace("http %s %s: %s", call->request->method, call->request->url,
              site ? "arrives" : "refused");
    if (!site || sim_chance(net_link()->cut_per_million)) {
        call->reply.e = ERR_CLOSED;
        return;
    }
    site->answer(site->context, call->request, &call->reply);
    if (sim_chance(net_link()->cut_per_million)) {
        call->reply.e = ERR_CLOSED; /* handled, but the answer is lost */
    }
    if (call->reply.body.size) {
        call->body = malloc(call->reply.body.size);
        assert(call->body);
        memcpy(call->body, call->reply.body.data, call->reply.body.size);
        call->reply.body.data = call->body;
    }
}

static uint64_t call_timeout_ms(const struct call *call)
{
    return call->request->timeout_ms ? call->request->timeout_ms : TIMEOUT_MS;
}

static void call_arrive_fire(struct timer *timer)
{
    struct call *call = CONTAINER_OF(timer, struct call, arrive);
    if (net_link()->down) {
        timer_arm(timer, DOWN_RETRY_MS);
        return;
    }
    if (!call->arrived) {
        call_handle(call);
        if (call->reply.never) {
            return; /* the timeout is armed */
        }
        timer_arm(timer, call->reply.delay_ms + (net_latency_us() + 999) / 1000);
        timer_arm(&call->done, call_timeout_ms(call)); /* anew: the request has moved */
        return;
    }
    call->answered = true;
    timer_arm(&call->done, 0);
}

static void call_done_fire(struct timer *timer)
{
    struct call *call = CONTAINER_OF(timer, struct call, done);
    struct http_request *request = call->request;
    struct http_answer answer = {.e = call->answered ? call->reply.e : ERR_TIMEOUT,
                                 .is_sent = true,
                                 .wire_sent = request->body.size + OVERHEAD};
    size_t size_max = request->answer_size_max ? request->answer_size_max : 65536;
    if (!answer.e && call->reply.body.size > size_max) {
        answer.e = ERR_REJECTED;
    }
    if (answer.e) {
        why_set(&answer.why, "%s %s: %s", request->method, request->url, err_name(answer.e));
    } else {
        answer.status = call->reply.status;
        answer.body = call->reply.body;
        answer.retry_after_ms = call->reply.retry_after_ms;
        int64_t date_s = clock_wall_us() / 1000000 + call->reply.ahead_s;
        answer.date_s = call->reply.has_no_date ? 0 : date_s;
        answer.wire_received = call->reply.body.size + OVERHEAD;
    }
    sim_trace("http %s: %s %ld", request->url, err_name(answer.e), answer.status);
    uint8_t *body = call->body; /* until done() returns; `call` is gone before */
    call->body = NULL;
    call_free(call);
    request->done(request, &answer);
    free(body);
}

enum err http_open(struct http **ret, struct loop *loop, struct names *names)
{
    (void)names;
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        return ERR_NOMEM;
    }
    http->loop = loop;
    *ret = http;
    return ERR_OK;
}

enum err http_send(struct http *http, struct http_request *request)
{
    assert(request->method && request->url && request->done && !request->private_);
    if (http->count == HTTP_REQUEST_MAX) {
        return ERR_FULL;
    }
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        return ERR_NOMEM;
    }
    call->http = http;
    call->request = request;
    http->count++;
    request->private_ = call;
    call->next = calls;
    calls = call;
    timer_init(&call->arrive, sim_loop(), call_arrive_fire);
    timer_init(&call->done, http->loop, call_done_fire);
    if (!sim_loop_is_dead(http->loop)) {
        uint64_t size_us = net_link()->bytes_per_second
                               ? request->body.size * 1000000 / net_link()->bytes_per_second
                               : 0;
        timer_arm(&call->arrive, (size_us + net_latency_us() * 2 + 999) / 1000);
        /* While its bytes go out there is progress, as long as there is a link. */
        timer_arm(&call->done, size_us / 1000 + call_timeout_ms(call));
    }
    return ERR_OK;
}

void http_cancel(struct http *http, struct http_request *request)
{
    struct call *call = request->private_;
    if (call) {
        assert(call->http == http);
        call_free(call);
    }
}

void http_cut(struct http *http, uint64_t *ret_sent, uint64_t *ret_received)
{
    *ret_sent = 0;
    *ret_received = 0;
    for (struct call *call = calls; call; call = call->next) {
        if (call->http == http) {
            timer_disarm(&call->arrive);
            call->answered = true;
            call->reply.e = ERR_CLOSED;
            timer_arm(&call->done, 0);
        }
    }
}

void http_link_set(struct http *http, void (*link)(void *context, struct http_link *ret),
                   void *context)
{
    (void)http;
    (void)link;
    (void)context;
}

void http_tickets_set(struct http *http, struct tickets *tickets, const char *name)
{
    (void)http;
    (void)tickets;
    (void)name;
}

void http_close(struct http *http)
{
    if (!http) {
        return;
    }
    for (struct call *call = calls, *next; call; call = next) {
        next = call->next;
        if (call->http == http) {
            call_free(call);
        }
    }
    assert(http->count == 0);
    free(http);
}

void http_sim_crash(void)
{
    for (struct call *call = calls; call; call = call->next) {
        if (!call->arrived && sim_below(2)) {
            call_handle(call);
        }
        timer_disarm(&call->arrive);
    }
}

void http_sim_close(void)
{
    assert(!calls);
    memset(sites, 0, sizeof sites);
}
