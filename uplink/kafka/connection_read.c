#include <assert.h>
#include <inttypes.h>

#include "uplink/kafka/connection_impl.h"

#define ANSWER_SIZE_ABSURD (100 * 1024 * 1024) /* not a Kafka broker */

static void connection_corrupt(struct connection *c, const char *what)
{
    struct why why;
    why_set(&why, "%s sent %s: is it a Kafka broker, and is \"tls\" right?", c->name, what);
    connection_fail(c, ERR_CORRUPT, &why);
}

/* The request in front has its answer. */
static void connection_answer(struct connection *c, int32_t correlation, enum err e,
                              struct slice answer)
{
    if (c->request_count == 0 || c->writing == 0 || c->requests[0]->correlation != correlation) {
        connection_corrupt(c, "an answer that nobody asked for");
        return;
    }
    struct connection_request *request = c->requests[0];
    c->was_answered = c->was_answered || request != &c->own;
    c->was_full = c->was_full || c->request_count >= CONNECTION_IN_FLIGHT_MAX;
    c->request_count--;
    c->writing--;
    memmove(c->requests, c->requests + 1, c->request_count * sizeof(struct connection_request *));
    timer_disarm(&c->timer);
    if (c->request_count > 0) {
        connection_watch(c);
    } else if (c->settings->idle_ms_max > 0) {
        timer_arm(&c->timer, c->settings->idle_ms_max);
    }
    connection_count(c); /* before who goes next is judged by what is left of a budget */
    e = request->answered(request, e, answer);
    if (c->state == CLOSED || c->close_wanted) {
        return;
    }
    if (e) {
        connection_corrupt(c, "an answer that can't be read");
        return;
    }
    if (c->was_full && connection_has_room(c)) {
        c->was_full = false;
        c->handler->on_ready(c->context);
    }
}

enum err connection_read_room(struct connection *c, size_t size)
{
    if (size <= c->answer_room) {
        return ERR_OK;
    }
    uint8_t *larger = realloc(c->answer, size);
    if (!larger) {
        return ERR_NOMEM;
    }
    c->answer = larger;
    c->answer_room = size;
    return ERR_OK;
}

static uint32_t get_u32(const uint8_t *d)
{
    return (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
}

/* How many bytes of the answer in front are still missing; with 0 it is complete. */
static size_t answer_missing(const struct connection *c)
{
    return c->answer_size < 8 ? 8 - c->answer_size : get_u32(c->answer) + 4 - c->answer_size;
}

/* The first 8 bytes are there. False: the connection has ended, or the body is being skipped. */
static bool answer_begin(struct connection *c)
{
    uint32_t size = get_u32(c->answer);
    if (size < 4 || size > ANSWER_SIZE_ABSURD) {
        connection_corrupt(c, "something that is no answer");
        return false;
    }
    if (size > WIRE_ANSWER_SIZE_MAX) {
        c->skip = size - 4;
        return false;
    }
    if (connection_read_room(c, size + 4)) {
        struct why why;
        why_set(&why, "no memory for an answer of %" PRIu32 " bytes from %s", size, c->name);
        connection_fail(c, ERR_NOMEM, &why);
        return false;
    }
    return true;
}

static enum err read_skipped(struct connection *c)
{
    uint8_t drop[1024];
    size_t got;
    enum err e = stream_read(c->stream, drop, c->skip < sizeof drop ? c->skip : sizeof drop, &got);
    if (!e) {
        c->skip -= got;
        if (c->skip == 0) {
            c->answer_size = 0;
            connection_answer(c, (int32_t)get_u32(c->answer + 4), ERR_REJECTED,
                              (struct slice){NULL, 0});
        }
    }
    return e;
}

static enum err read_answer(struct connection *c)
{
    size_t got;
    enum err e = stream_read(c->stream, c->answer + c->answer_size, answer_missing(c), &got);
    if (e) {
        return e;
    }
    bool was_head = c->answer_size < 8;
    c->answer_size += got;
    if (was_head && c->answer_size == 8 && !answer_begin(c)) {
        return ERR_OK;
    }
    if (c->answer_size >= 8 && answer_missing(c) == 0) {
        struct slice body = {c->answer + 8, c->answer_size - 8};
        c->answer_size = 0;
        connection_answer(c, (int32_t)get_u32(c->answer + 4), ERR_OK, body);
    }
    return ERR_OK;
}

void connection_read(struct connection *c)
{
    while (c->state != CLOSED && !c->close_wanted) {
        enum err e = c->skip > 0 ? read_skipped(c) : read_answer(c);
        if (e) {
            break; /* on_closed follows, unless there is more to come, and says why */
        }
    }
}
