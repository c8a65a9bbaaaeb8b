/* What goes out, and what answers mean. A part goes by one request after the other, each with messages
 * of one ordering key. Where one fails its key waits, and the others go on; then it is tried again
 * after a pause, in order. Where messages are refused as bad, the request is halved until the bad one
 * is found; all others go on, and forward sets that one aside. */
#include <assert.h>
#include <stdlib.h>

#include "ports/random.h"
#include "uplink/google/pubsub_impl.h"
#include "uplink/google/rest_error.h"

#define PAUSE_MS_FIRST 100
#define PAUSE_MS_MAX 60000
#define FAIL_MAX 3    /* in a row: it is not this key alone */
#define REFUSED_MAX 3 /* messages of a part: it is not these alone; forward finds out */
#define ODD_MAX 2
#define RESET_MAX 3
#define RESET_SIZE_MIN (64 * 1024)
#define GRPC_AGAIN_MS (60 * 60 * 1000)

/* --- which messages --- */

/* Those that are open at `first` and behind it. */
static uint32_t run_count(const struct pubsub_state *state, const struct pubsub_group *group,
                          uint32_t first)
{
    uint32_t count = 0;
    while (first + count < group->count && (!state->limit || count < state->limit) &&
           pubsub_mark_get(group, first + count) == PUBSUB_OPEN) {
        count++;
    }
    return count;
}

/* The next run from state->at on, of a key that has not failed in this pass. */
static bool next_run(struct pubsub_state *state, const struct batch *batch)
{
    struct pubsub_group group;
    size_t at = state->at;
    while (pubsub_group_next(batch->wire_memory, batch->wire.size, &at, &group)) {
        bool waits = state->has_failed && group.key == state->failed_key;
        for (uint32_t i = 0; i < group.count && !waits; i++) {
            state->count = run_count(state, &group, i);
            if (state->count) {
                state->group = group;
                state->first = i;
                return true;
            }
        }
        state->at = at;
        state->limit = 0;
    }
    return false;
}

static bool is_all_done(const struct batch *batch)
{
    struct pubsub_group group;
    size_t at = 0;
    while (pubsub_group_next(batch->wire_memory, batch->wire.size, &at, &group)) {
        for (uint32_t i = 0; i < group.count; i++) {
            if (pubsub_mark_get(&group, i) != PUBSUB_DONE) {
                return false;
            }
        }
    }
    return true;
}

static void set_marks(struct pubsub_state *state, enum pubsub_mark mark)
{
    for (uint32_t i = 0; i < state->count; i++) {
        pubsub_mark_set(&state->group, state->first + i, mark);
    }
}

/* Unless nothing else is to be done anyway. */
static void note_done(struct pubsub *p, const struct pubsub_state *state, const struct batch *batch)
{
    struct pubsub_sequences sequences = pubsub_sequences_of(&state->group);
    if (is_all_done(batch)) {
        return;
    }
    for (uint32_t i = 0; i < state->first + state->count; i++) {
        struct range range = pubsub_sequence_next(&sequences);
        if (i >= state->first) {
            pubsub_done_note(&p->done, batch, range);
        }
    }
}

/* --- faults --- */

static void say_fault(struct pubsub *p, const char *text)
{
    if (text) {
        struct why why;
        why_set(&why, "%s", text);
        uplink_fault(p->host, &why);
    } else if (p->has_fault) {
        uplink_fault(p->host, NULL);
    }
    p->has_fault = text != NULL;
}

/* --- how it goes on --- */

/* 0.1 s, four times as much each time, up to a minute; the sender adds chance. */
static int64_t pass_pause_ms(const struct pubsub_state *state)
{
    int64_t pause_ms = PAUSE_MS_FIRST;
    for (unsigned i = 1; i < state->pass_count && pause_ms < PAUSE_MS_MAX; i++) {
        pause_ms *= 4;
    }
    pause_ms = pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX;
    pause_ms = pause_ms / 2 + random_below((uint32_t)(pause_ms / 2));
    return state->retry_after_ms > pause_ms ? state->retry_after_ms : pause_ms;
}

static enum sender_next pass_end(struct pubsub *p, struct pubsub_state *state,
                                 const struct batch *batch, struct send_report *ret)
{
    if (state->has_failed) {
        state->pass_count++;
        sender_report(ret, SEND_RETRY, state->failed.code, "%s", state->failed.text);
        ret->retry_after_ms = pass_pause_ms(state);
        if (state->pass_count > 1) {
            say_fault(p, state->failed.text);
        }
        state->has_failed = false;
        state->fail_count = 0;
        state->retry_after_ms = 0;
        state->at = 0;
        return SENDER_LATER;
    }
    bool is_done = is_all_done(batch);
    if (is_done || batch->event_count == 1) { /* else its halves follow */
        pubsub_done_end(&p->done, batch);
    }
    if (is_done) {
        ret->result = SEND_OK;
    } else {
        sender_report(ret, SEND_REJECTED, state->refused.code, "%s", state->refused.text);
    }
    return SENDER_END;
}

static enum sender_next go_on(struct pubsub *p, struct pubsub_state *state,
                              const struct batch *batch, struct send_report *ret)
{
    bool is_over = state->fail_count >= FAIL_MAX || state->refused_count >= REFUSED_MAX;
    if (!is_over && next_run(state, batch)) {
        return SENDER_MORE;
    }
    return pass_end(p, state, batch, ret);
}

static void say(struct pubsub_state *state, int code, const char *message)
{
    state->said.code = code;
    (void)snprintf(state->said.text, sizeof state->said.text, "Pub/Sub: %s%s%.110s",
                   grpc_code_name(code), message[0] ? ", " : "", message);
}

static enum sender_next on_stored(struct pubsub *p, struct sender_request *r,
                                  struct send_report *ret)
{
    struct pubsub_state *state = r->state;
    set_marks(state, PUBSUB_DONE);
    r->is_partly_stored = true;
    note_done(p, state, r->batch);
    state->limit *= 2; /* the bad one may have been the only one */
    state->fail_count = state->pass_count = 0;
    state->was_refused_token = false;
    say_fault(p, NULL);
    uplink_count(p->host, "requests", 1);
    return go_on(p, state, r->batch, ret);
}

/* The key waits until the next pass; all others go on. */
static enum sender_next on_failed(struct pubsub *p, struct sender_request *r,
                                  int64_t retry_after_ms, struct send_report *ret)
{
    struct pubsub_state *state = r->state;
    state->failed = state->said;
    state->has_failed = true;
    state->failed_key = state->group.key;
    state->fail_count++;
    state->retry_after_ms =
        retry_after_ms > state->retry_after_ms ? retry_after_ms : state->retry_after_ms;
    return go_on(p, state, r->batch, ret);
}

static enum sender_next on_bad(struct pubsub *p, struct sender_request *r, struct send_report *ret)
{
    struct pubsub_state *state = r->state;
    state->refused = state->said;
    if (state->count > 1) {
        state->limit = state->count / 2;
    } else {
        set_marks(state, PUBSUB_REFUSED);
        state->limit = 0;
        state->refused_count++;
    }
    return go_on(p, state, r->batch, ret);
}

/* A new token once; when that is refused too it is no matter of time. */
static enum sender_next on_token_refused(struct pubsub *p, struct pubsub_state *state,
                                         struct send_report *ret)
{
    if (p->token && !state->was_refused_token) {
        state->was_refused_token = true;
        (void)google_token_refused(p->token, state->token_number);
        return SENDER_MORE;
    }
    state->was_refused_token = false;
    sender_report(ret, SEND_PARK, state->said.code,
                  "%.60s (check the credentials%s, and the clock)", state->said.text,
                  p->token ? "" : ": without TLS none are sent");
    return SENDER_END;
}

static enum sender_next on_wrong(const struct pubsub_state *state, const struct batch *batch,
                                 struct send_report *ret)
{
    const char *topic = batch->target.name;
    if (state->said.code == GRPC_NOT_FOUND) {
        sender_report(ret, SEND_PARK, state->said.code,
                      "topic %.90s is missing: make it (NOT_FOUND)", topic);
    } else if (state->said.code == GRPC_PERMISSION_DENIED) {
        sender_report(ret, SEND_PARK, state->said.code,
                      "may not publish to %.70s: it takes roles/pubsub.publisher "
                      "(PERMISSION_DENIED)",
                      topic);
    } else {
        sender_report(ret, SEND_PARK, state->said.code, "%s", state->said.text);
    }
    return SENDER_END;
}

static enum sender_next by_code(struct pubsub *p, struct sender_request *r,
                                const struct http_answer *answer, struct send_report *ret)
{
    struct pubsub_state *state = r->state;
    switch (state->said.code) {
    case GRPC_OK:
        return on_stored(p, r, ret);
    case GRPC_INVALID_ARGUMENT:
        return on_bad(p, r, ret);
    case GRPC_UNAUTHENTICATED:
        return on_token_refused(p, state, ret);
    case GRPC_NOT_FOUND:
    case GRPC_PERMISSION_DENIED:
    case GRPC_FAILED_PRECONDITION:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNIMPLEMENTED:
        return on_wrong(state, r->batch, ret);
    default:
        r->is_in_doubt = state->said.code != GRPC_RESOURCE_EXHAUSTED;
        /* CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL,
                UNAVAILABLE, and what is new */
        return on_failed(p, r, answer->retry_after_ms, ret);
    }
}

/* --- answers --- */

static enum sender_next judge_rest(struct pubsub *p, struct sender_request *r,
                                   const struct http_answer *answer, struct send_report *ret)
{
    char message[GRPC_MESSAGE_SIZE_MAX] = "";
    int code = grpc_code_of_status(answer->status);
    say(r->state, code == GRPC_OK ? code : rest_error_parse(answer->body, code, message), message);
    return by_code(p, r, answer, ret);
}

static void use_rest(struct pubsub *p)
{
    p->by_rest = true;
    p->odd_count = p->reset_count = 0;
    timer_arm(&p->grpc_again, GRPC_AGAIN_MS);
    uplink_count(p->host, "rest_fallbacks", 1);
}

/* No gRPC server answered, but something that lies between. */
static enum sender_next judge_odd(struct pubsub *p, struct sender_request *r,
                                  const struct http_answer *answer, struct send_report *ret)
{
    struct pubsub_state *state = r->state;
    long status = answer->status;
    bool is_no = status == 401 || status == 403;
    bool is_busy = status == 408 || status == 429 || (status >= 500 && status != 505);
    char text[GRPC_MESSAGE_SIZE_MAX];
    (void)snprintf(text, sizeof text, "status %ld without gRPC", status);
    if (!is_no && !is_busy && p->options->transport == PUBSUB_AUTO && ++p->odd_count >= ODD_MAX) {
        use_rest(p);
        return SENDER_MORE;
    }
    say(state, is_no || status == 429 ? grpc_code_of_status(status) : GRPC_UNAVAILABLE, text);
    return by_code(p, r, answer, ret);
}

static enum sender_next pubsub_judge(void *context, struct sender_request *r,
                                     const struct http_answer *answer, struct send_report *ret)
{
    struct pubsub *p = context;
    struct pubsub_state *state = r->state;
    p->reset_count = 0;
    if (state->by_rest) {
        return judge_rest(p, r, answer, ret);
    }
    if (answer->status != 200 || !state->status.is_grpc) {
        return judge_odd(p, r, answer, ret);
    }
    p->odd_count = 0;
    p->had_grpc = true;
    /* Without a status it was cut short. */
    say(state, state->status.code == GRPC_NONE ? GRPC_UNAVAILABLE : state->status.code,
        state->status.message);
    return by_code(p, r, answer, ret);
}

static void pubsub_header(void *context, struct sender_request *r, struct slice name,
                          struct slice value)
{
    struct pubsub_state *state = r->state;
    (void)context;
    grpc_status_take(&state->status, name, value);
}

/* A server resets the stream of a request that is larger than it takes; what knows no HTTP/2 lets no
 * request through. */
static void pubsub_failed(void *context, struct sender_request *r, const struct http_answer *answer)
{
    struct pubsub *p = context;
    size_t size = r->http.body.size;
    if (p->by_rest || !answer->is_http2_error || ++p->reset_count < RESET_MAX) {
        return;
    }
    p->reset_count = 0;
    if (size > RESET_SIZE_MIN) {
        size_t half = size / 2;
        p->size_max = (uint32_t)(half > RESET_SIZE_MIN ? half : RESET_SIZE_MIN);
        uplink_count(p->host, "halved_requests", 1);
    } else if (!p->had_grpc && p->options->transport == PUBSUB_AUTO) {
        use_rest(p);
    }
}

static enum err pubsub_build(void *context, struct sender_request *r, struct send_report *ret)
{
    struct pubsub *p = context;
    struct pubsub_state *state = r->state;
    if (!state->is_begun) {
        pubsub_done_apply(&p->done, r->batch);
        state->is_begun = true;
    }
    if (!next_run(state, r->batch)) { /* it is there already */
        enum sender_next next = pass_end(p, state, r->batch, ret);
        assert(next == SENDER_END); /* nothing has failed: that would be open */
        (void)next;
        return ERR_CLOSED;
    }
    grpc_status_init(&state->status);
    return pubsub_request(p, r, ret);
}

const struct sender_service pubsub_service = {
    .state_size = sizeof(struct pubsub_state),
    .build = pubsub_build,
    .judge = pubsub_judge,
    .header = pubsub_header,
    .failed = pubsub_failed,
};
