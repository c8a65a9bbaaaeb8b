#include <assert.h>

#include "ports/random.h"
#include "uplink/aws/kinesis_impl.h"

#define PUT_TARGET "Kinesis_20131202.PutRecords"
#define ANSWER_SIZE_MAX (512 * 1024) /* of 500 records, refusals with their texts */
#define WHAT_SIZE (TARGET_NAME_SIZE_MAX + 32)
/* What has to wait longer for its shard waits with the caller: as long as a batch is lent it holds
 * memory, and its part of the link, from others. */
#define PACE_MS_MAX 10000

/* What is kept of a batch between its requests. */
struct put {
    struct aws_tries tries;
    struct picked picked; /* what the last request had */
    size_t count_max;     /* of a request, while something in it is looked for; 0: all that may */
    bool is_cbor;
    bool has_tried_json;
    /* Of the answer at hand: */
    size_t throttled, failed;
    struct kinesis_stream *stream;
    struct kinesis *k;
    struct batch *batch;
};

/* --- requests --- */

static void pace_arm(struct kinesis *k, uint64_t wait_ms)
{
    uint64_t due_ms = loop_now_ms(k->setup.loop) + wait_ms;
    if (!timer_is_armed(&k->pace) || k->pace.due_ms > due_ms) {
        timer_arm(&k->pace, wait_ms);
    }
}

static size_t request_size_max(const struct kinesis *k, bool is_cbor)
{
    size_t link = uplink_request_size(k->setup.host);
    link = is_cbor ? link : link / 4 * 3;
    return link < KINESIS_REQUEST_SIZE_MAX ? link : KINESIS_REQUEST_SIZE_MAX;
}

/* The entries that may go now: the first of each key that is not stored, as far as their shards take
 * them. *ret_wait_ms: until one more may, when there is none. */
static void pick(struct put *put, const struct kinesis *k, uint64_t *ret_wait_ms)
{
    uint64_t now_ms = loop_now_ms(k->setup.loop);
    size_t count_max = put->count_max ? put->count_max : ENTRY_REQUEST_MAX;
    size_t size_max = request_size_max(k, put->is_cbor);
    struct picked *picked = &put->picked;
    struct slice entries = put->batch->wire;
    struct entry entry;
    uint32_t at = 0;
    picked_clear(picked);
    *ret_wait_ms = UINT64_MAX;
    while (picked->count < count_max && entries_next(entries, &at, &entry)) {
        size_t size = entry.key.size + entry.data.size;
        if (!entry_is_next(entries, &entry)) {
            continue;
        }
        if (picked->count > 0 && picked->size + size > size_max) {
            return;
        }
        struct shard *shard = shards_of(&put->stream->shards, &entry.hash);
        uint64_t wait_ms = shard_wait_ms(shard, now_ms, size);
        if (wait_ms == 0) {
            shard_took(shard, now_ms, size);
            picked_add(picked, &entry);
        } else if (wait_ms < *ret_wait_ms) {
            *ret_wait_ms = wait_ms;
        }
    }
}

static bool speaks_cbor(const struct kinesis *k)
{
    switch (k->options->encoding) {
    case KINESIS_ENCODING_CBOR:
        return true;
    case KINESIS_ENCODING_JSON:
        return false;
    default:
        return k->proof == KINESIS_UNPROVEN ? !k->tries_json : k->proof == KINESIS_PROVEN_CBOR;
    }
}

static enum err build_body(struct sender_request *r, struct put *put, struct send_report *ret)
{
    struct kinesis *k = put->k;
    struct out body;
    if (sender_body(r, kinesis_body_size(&put->picked, put->stream->name), &body)) {
        sender_report(ret, SEND_RETRY, 0, "no memory for a request");
        return ERR_NOMEM;
    }
    kinesis_body_put(&body, put->is_cbor, put->stream->name, put->batch->wire, &put->picked);
    assert(!body.overflow); /* kinesis_body_size() */
    const struct aws_call call = {PUT_TARGET, put->is_cbor ? AWS_TYPE_CBOR : AWS_TYPE_JSON,
                                  out_slice(&body)};
    enum err e = aws_request(k->aws, &call, &r->text, &r->http, &put->tries.by);
    if (e && e != ERR_AGAIN) {
        sender_report(ret, SEND_PARK, 0, "the session token is too long to be sent");
    }
    return e;
}

static enum err kinesis_build(void *context, struct sender_request *r, struct send_report *ret)
{
    struct kinesis *k = context;
    struct put *put = r->state;
    uint64_t wait_ms;
    put->k = k;
    put->batch = r->batch;
    put->stream = kinesis_stream_get(k, r->batch->parcel->target);
    if (!put->stream) {
        sender_report(ret, SEND_RETRY, 0, "no memory for a stream");
        return ERR_NOMEM;
    }
    if (entries_are_done(r->batch->wire)) { /* from an earlier try */
        sender_report(ret, SEND_OK, 0, "stored before");
        return ERR_CLOSED;
    }
    if (put->stream->shards.count == 0) {
        kinesis_stream_refresh(k, put->stream);
        return ERR_AGAIN;
    }
    put->is_cbor = speaks_cbor(k);
    pick(put, k, &wait_ms);
    if (put->picked.count == 0 && wait_ms > PACE_MS_MAX) {
        sender_report(ret, SEND_RETRY, 0, "stream %s: its shard takes nothing", put->stream->name);
        ret->retry_after_ms = (int64_t)wait_ms;
        return ERR_FULL;
    }
    if (put->picked.count == 0) {
        pace_arm(k, wait_ms);
        return ERR_AGAIN;
    }
    return build_body(r, put, ret);
}

/* --- answers --- */

static bool is_throttle(struct slice code)
{
    return slice_equal_text(code, "ProvisionedThroughputExceededException") ||
           slice_equal_text(code, "KMSThrottlingException");
}

static void record_answered(void *context, size_t index, const struct put_answer *answer)
{
    struct put *put = context;
    if (index >= put->picked.count) {
        return; /* an answer to what was not asked */
    }
    struct kinesis *k = put->k;
    struct entry entry;
    uint32_t at = put->picked.at[index];
    bool is_there = entries_next(put->batch->wire, &at, &entry);
    assert(is_there);
    struct shard *shard = shards_of(&put->stream->shards, &entry.hash);
    if (answer->is_stored) {
        entry_done_set(put->batch->wire_memory, entry.at);
        shard_stored(shard);
        bool is_other = shard->name[0] && !put->stream->is_partial &&
                        !slice_equal_text(answer->shard, shard->name);
        put->stream->wants_list = put->stream->wants_list || (is_other && answer->shard.size > 0);
        return;
    }
    put->throttled += is_throttle(answer->error_code);
    put->failed += !is_throttle(answer->error_code);
    shard_refused(shard, loop_now_ms(k->setup.loop), random_u32());
}

static void put_count(struct put *put)
{
    if (put->throttled) {
        uplink_count(put->k->setup.host, "throttled", put->throttled);
    }
    if (put->failed) {
        uplink_count(put->k->setup.host, "failed", put->failed);
    }
}

static enum sender_next judge_stored(struct sender_request *r, const struct http_answer *answer,
                                     struct send_report *ret)
{
    struct put *put = r->state;
    struct kinesis *k = put->k;
    size_t count = 0;
    put->throttled = put->failed = 0;
    enum err e = put_answer_read(answer->body, record_answered, put, &count);
    bool is_done = entries_are_done(put->batch->wire);
    put_count(put);
    if (is_done) {
        done_forget(&k->done, put->batch);
    } else {
        done_keep(&k->done, put->batch);
    }
    if (put->stream->wants_list) {
        kinesis_stream_refresh(k, put->stream);
    }
    if (e || count < put->picked.count) {
        r->is_in_doubt = true;
        sender_report(ret, SEND_RETRY, (int)answer->status,
                      "stream %s: the answer to PutRecords can't be read: is a proxy in between?",
                      put->stream->name);
        return SENDER_END;
    }
    k->proof = put->is_cbor ? KINESIS_PROVEN_CBOR : KINESIS_PROVEN_JSON;
    put->tries.clock = put->tries.credentials = 0;
    put->count_max = 0;
    if (!is_done) {
        return SENDER_MORE; /* build() waits where it has to */
    }
    sender_report(ret, SEND_OK, 0, "%s", "");
    return SENDER_END;
}

/* Does the service not know CBOR? Nobody promises it: then the same in JSON, and back again if it was
 * not that. */
static bool falls_back(struct put *put, const struct aws_error *error, long status)
{
    struct kinesis *k = put->k;
    if (k->options->encoding != KINESIS_ENCODING_AUTO || k->proof != KINESIS_UNPROVEN) {
        return false;
    }
    bool is_strange =
        status == 415 || strcmp(error->type, "SerializationException") == 0 ||
        strcmp(error->type, "UnknownOperationException") == 0 ||
        (!error->type[0] && (status == 400 || status == 404 || status == 406 || status == 500));
    if (put->is_cbor && is_strange && !put->has_tried_json) {
        put->has_tried_json = k->tries_json = true;
        return true;
    }
    k->tries_json = k->tries_json && put->is_cbor;
    return false;
}

/* Something in the request is refused. What is stored already must not be halved with it: then it is
 * looked for here. */
static enum sender_next judge_bad(struct sender_request *r)
{
    struct put *put = r->state;
    size_t done;
    (void)entries_count(put->batch->wire, &done);
    if (done > 0 && put->picked.count > 1) {
        put->count_max = (put->picked.count + 1) / 2;
        return SENDER_MORE;
    }
    r->is_in_doubt = r->is_in_doubt || done > 0; /* that is halved with it, and sent again */
    return SENDER_END;
}

static enum sender_next judge_refused(struct sender_request *r, const struct http_answer *answer,
                                      struct send_report *ret)
{
    struct put *put = r->state;
    struct kinesis *k = put->k;
    struct aws_error error;
    enum aws_action action;
    char what[WHAT_SIZE];
    if (aws_refused(k->aws, &put->tries, answer, &error, &action) ||
        falls_back(put, &error, answer->status)) {
        return SENDER_MORE;
    }
    (void)snprintf(what, sizeof what, "stream %s", put->stream->name);
    aws_report(&error, action, answer->status, what, ret);
    switch (action) {
    case AWS_SLOW_DOWN: /* whatever its status */
        r->is_in_doubt = false;
        uplink_count(k->setup.host, "throttled", put->picked.count);
        break;
    case AWS_HALVE:
    case AWS_REFUSED:
        return judge_bad(r);
    case AWS_MISSING:
        put->stream->wants_list = true;
        kinesis_stream_refresh(k, put->stream);
        break;
    case AWS_AGAIN:
    case AWS_STOP:
    case AWS_CREDENTIALS:
    case AWS_CLOCK:
        break;
    }
    return SENDER_END;
}

static enum sender_next kinesis_judge(void *context, struct sender_request *r,
                                      const struct http_answer *answer, struct send_report *ret)
{
    (void)context;
    return answer->status == 200 ? judge_stored(r, answer, ret) : judge_refused(r, answer, ret);
}

static void kinesis_header(void *context, struct sender_request *r, struct slice name,
                           struct slice value)
{
    struct put *put = r->state;
    (void)context;
    aws_header(&put->tries, name, value);
}

const struct sender_service kinesis_service = {
    .state_size = sizeof(struct put),
    .answer_size_max = ANSWER_SIZE_MAX,
    .build = kinesis_build,
    .judge = kinesis_judge,
    .header = kinesis_header,
};
