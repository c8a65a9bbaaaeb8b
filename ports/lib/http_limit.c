/* How long a request may take: as long as it moves bytes, within a bound for the whole of it. curl
 * counts bytes when the kernel takes them, which on a thin link is minutes before they are sent: what
 * counts here is what the other end has. */
#include "ports/lib/http_impl.h"

#define HTTP_TIMEOUT_MS 30000
#define HTTP_LOOKS 4 /* within the time-out */
/* A bound for the whole, against peers that trickle: so many time-outs, and what the bytes take at a
 * rate (bytes per second) below which no link is of use. */
#define HTTP_TOTAL_TIMEOUTS 20
#define HTTP_TOTAL_RATE 500

static uint64_t call_now_ms(const struct http_call *call)
{
    return loop_now_ms(call->identity->http->loop);
}

static void call_look_later(struct http_call *call)
{
    uint64_t now_ms = call_now_ms(call);
    uint64_t due_ms = call->moved_ms + call->timeout_ms;
    uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 1;
    uint64_t step_ms = call->timeout_ms / HTTP_LOOKS + 1;
    timer_arm(&call->limit, wait_ms < step_ms ? wait_ms : step_ms);
}

bool http_call_is_connected(const struct http_call *call)
{
    curl_off_t after_us = 0;
    return curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &after_us) == CURLE_OK &&
           after_us > 0;
}

void http_call_say_late(struct http_call *call)
{
    struct why *why = &call->answer.why;
    if (call_now_ms(call) >= call->end_ms) {
        why_set(why, "%s %s: no end within its time", call->request->method, call->host);
    } else if (http_call_is_connected(call)) {
        why_set(why, "%s %s: not a byte went or came for %lu ms", call->request->method, call->host,
                (unsigned long)call->timeout_ms);
    } else {
        why_set(why, "%s %s: no connection within %lu ms", call->request->method, call->host,
                (unsigned long)call->timeout_ms);
    }
}

static void call_limit_fire(struct timer *timer)
{
    struct http_call *call = CONTAINER_OF(timer, struct http_call, limit);
    uint64_t now_ms = call_now_ms(call);
    uint64_t moved = http_call_moved(call);
    if (moved != call->moved) {
        call->moved = moved;
        call->moved_ms = now_ms;
    }
    bool is_dead = now_ms >= call->moved_ms + call->timeout_ms;
    if (now_ms < call->end_ms && !is_dead) {
        call_look_later(call);
        return;
    }
    http_call_stop_asking(call);
    http_call_say_late(call);
    http_call_abort(call, is_dead);
    http_call_fail(call, ERR_TIMEOUT);
}

void http_call_limit(struct http_call *call)
{
    const struct http_request *request = call->request;
    uint64_t size = request->body.size + request->answer_size_max;
    call->timeout_ms = request->timeout_ms ? request->timeout_ms : HTTP_TIMEOUT_MS;
    call->moved_ms = call_now_ms(call);
    call->connect_end_ms = call->moved_ms + call->timeout_ms;
    call->end_ms = call->moved_ms + (uint64_t)call->timeout_ms * HTTP_TOTAL_TIMEOUTS +
                   size * 1000 / HTTP_TOTAL_RATE;
    timer_init(&call->limit, call->identity->http->loop, call_limit_fire);
    call_look_later(call);
}
