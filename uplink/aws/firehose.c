#include "uplink/aws/firehose.h"

#include <assert.h>
#include <stdlib.h>

#include "uplink/aws/kinesis_body.h"
#include "uplink/aws/kinesis_done.h"
#include "uplink/http/http_base.h"
#include "uplink/layout/framing.h"

#define PUT_TARGET "Firehose_20150804.PutRecordBatch"
#define ANSWER_SIZE_MAX (512 * 1024) /* of 500 records: an id is 256 bytes */
#define WHAT_SIZE (TARGET_NAME_SIZE_MAX + 32)

struct firehose {
    struct uplink uplink;
    const struct firehose_options *options;
    struct uplink_setup setup;
    struct aws *aws;
    struct done_marks done;
    bool is_stopping;
};

/* What is kept of a batch between its requests. */
struct put {
    struct aws_tries tries;
    struct picked picked; /* what the last request had */
    size_t count_max;     /* of a request, while something in it is looked for; 0: all that may */
    size_t failed;        /* of the answer at hand */
    struct batch *batch;
};

static struct firehose *firehose_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct firehose, uplink);
}

/* --- requests --- */

static size_t size_max(const struct firehose *f)
{
    size_t link = uplink_request_size(f->setup.host);
    return link < FIREHOSE_REQUEST_SIZE_MAX ? link : FIREHOSE_REQUEST_SIZE_MAX;
}

static void pick(struct put *put, size_t size_most)
{
    size_t count_max = put->count_max ? put->count_max : ENTRY_REQUEST_MAX;
    struct entry entry;
    uint32_t at = 0;
    picked_clear(&put->picked);
    while (put->picked.count < count_max && entries_next(put->batch->wire, &at, &entry)) {
        if (put->picked.count > 0 && put->picked.size + entry.data.size > size_most) {
            return;
        }
        if (entry_is_next(put->batch->wire, &entry)) {
            picked_add(&put->picked, &entry);
        }
    }
}

static enum err firehose_build(void *context, struct sender_request *r, struct send_report *ret)
{
    struct firehose *f = context;
    struct put *put = r->state;
    const char *name = r->batch->parcel->target;
    struct out body;
    put->batch = r->batch;
    if (entries_are_done(r->batch->wire)) { /* from an earlier try */
        sender_report(ret, SEND_OK, 0, "stored before");
        return ERR_CLOSED;
    }
    pick(put, size_max(f) / 4 * 3);
    if (sender_body(r, kinesis_body_size(&put->picked, name), &body)) {
        sender_report(ret, SEND_RETRY, 0, "no memory for a request");
        return ERR_NOMEM;
    }
    firehose_body_put(&body, name, put->batch->wire, &put->picked);
    assert(!body.overflow); /* kinesis_body_size() */
    const struct aws_call call = {PUT_TARGET, AWS_TYPE_JSON, out_slice(&body)};
    enum err e = aws_request(f->aws, &call, &r->text, &r->http, &put->tries.by);
    if (e && e != ERR_AGAIN) {
        sender_report(ret, SEND_PARK, 0, "the session token is too long to be sent");
    }
    return e;
}

/* --- answers --- */

static void record_answered(void *context, size_t index, const struct put_answer *answer)
{
    struct put *put = context;
    if (index >= put->picked.count) {
        return; /* an answer to what was not asked */
    }
    if (answer->is_stored) {
        entry_done_set(put->batch->wire_memory, put->picked.at[index]);
    } else {
        put->failed++;
    }
}

static enum sender_next judge_stored(struct firehose *f, struct sender_request *r,
                                     const struct http_answer *answer, struct send_report *ret)
{
    struct put *put = r->state;
    size_t count = 0;
    put->failed = 0;
    enum err e = put_answer_read(answer->body, record_answered, put, &count);
    bool is_done = entries_are_done(put->batch->wire);
    if (is_done) {
        done_forget(&f->done, put->batch);
    } else {
        done_keep(&f->done, put->batch);
    }
    if (put->failed) {
        uplink_count(f->setup.host, "throttled", put->failed);
    }
    if (e || count < put->picked.count) {
        r->is_in_doubt = true;
        sender_report(
            ret, SEND_RETRY, (int)answer->status,
            "delivery stream %s: the answer to PutRecordBatch can't be read: is a proxy in "
            "between?",
            put->batch->parcel->target);
        return SENDER_END;
    }
    put->tries.clock = put->tries.credentials = 0;
    put->count_max = 0;
    if (is_done) {
        sender_report(ret, SEND_OK, 0, "%s", "");
        return SENDER_END;
    }
    return put->failed ? SENDER_LATER : SENDER_MORE;
}

static enum sender_next judge_answer(struct firehose *f, struct sender_request *r,
                                     const struct http_answer *answer, struct send_report *ret)
{
    struct put *put = r->state;
    enum sender_next next = judge_stored(f, r, answer, ret);
    size_t done;
    (void)entries_count(put->batch->wire, &done);
    r->is_partly_stored = done > 0;
    return next;
}

static enum sender_next judge_refused(struct firehose *f, struct sender_request *r,
                                      const struct http_answer *answer, struct send_report *ret)
{
    struct put *put = r->state;
    struct aws_error error;
    enum aws_action action;
    char what[WHAT_SIZE];
    if (aws_refused(f->aws, &put->tries, answer, &error, &action)) {
        return SENDER_MORE;
    }
    (void)snprintf(what, sizeof what, "delivery stream %s", put->batch->parcel->target);
    aws_report(&error, action, answer->status, what, ret);
    size_t done;
    (void)entries_count(put->batch->wire, &done);
    bool is_bad = action == AWS_HALVE || action == AWS_REFUSED;
    if (is_bad && done > 0 && put->picked.count > 1) { /* what is stored is not halved with it */
        put->count_max = (put->picked.count + 1) / 2;
        return SENDER_MORE;
    }
    r->is_in_doubt = r->is_in_doubt || (is_bad && done > 0); /* that is halved with it */
    if (action == AWS_SLOW_DOWN) {                           /* whatever its status */
        r->is_in_doubt = false;
        uplink_count(f->setup.host, "throttled", put->picked.count);
    }
    return SENDER_END;
}

static enum sender_next firehose_judge(void *context, struct sender_request *r,
                                       const struct http_answer *answer, struct send_report *ret)
{
    return answer->status == 200 ? judge_answer(context, r, answer, ret)
                                 : judge_refused(context, r, answer, ret);
}

static void firehose_header(void *context, struct sender_request *r, struct slice name,
                            struct slice value)
{
    struct put *put = r->state;
    (void)context;
    aws_header(&put->tries, name, value);
}

static const struct sender_service firehose_service = {
    .state_size = sizeof(struct put),
    .answer_size_max = ANSWER_SIZE_MAX,
    .build = firehose_build,
    .judge = firehose_judge,
    .header = firehose_header,
};

/* --- the class --- */

static enum err firehose_target(struct uplink *uplink, const struct stream_info *info,
                                const struct schema_info *schema, struct target *ret,
                                struct why *why)
{
    struct firehose *f = firehose_of(uplink);
    struct target target = {.layout = ret->layout, .partition_count = 1};
    const struct aws_name name = {.pattern = f->options->delivery_stream,
                                  .stream = info->name,
                                  .agent_id = f->setup.agent_id,
                                  .size_max = FIREHOSE_NAME_SIZE_MAX};
    enum err e = aws_name_put(&name, target.name, sizeof target.name, why);
    if (e) {
        return e;
    }
    enum framing framing = (enum framing)f->options->framing;
    framing_put(framing == FRAMING_AUTO ? FRAMING_JSON : framing, schema, &target);
    target.request_size_max = (uint32_t)size_max(f);
    target.record_size_max = FIREHOSE_RECORD_SIZE_MAX;
    *ret = target;
    return ERR_OK;
}

/* There are no numbers to give: the service would not know them. */
static enum err firehose_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                                size_t part_count)
{
    return firehose_of(uplink)->is_stopping ? ERR_AGAIN
                                            : http_base_assign(uplink, parcel, parts, part_count);
}

static void firehose_send(struct uplink *uplink, struct batch *batch)
{
    struct firehose *f = firehose_of(uplink);
    assert(batch->part->assigned && !batch->part->done);
    assert(batch->wire.data == batch->wire_memory);
    done_apply(&f->done, batch);
    sender_put(aws_sender(f->aws), batch);
}

static void firehose_relink(struct uplink *uplink)
{
    sender_relink(aws_sender(firehose_of(uplink)->aws));
}

static void firehose_stop(struct uplink *uplink, int64_t grace_ms)
{
    struct firehose *f = firehose_of(uplink);
    f->is_stopping = true;
    sender_stop(aws_sender(f->aws), grace_ms);
}

static void firehose_close(struct uplink *uplink)
{
    if (!uplink) {
        return;
    }
    struct firehose *f = firehose_of(uplink);
    aws_close(f->aws);
    done_release(&f->done);
    free(f);
}

static enum err firehose_open(struct uplink **ret, const struct uplink_setup *setup,
                              struct why *why)
{
    struct firehose *f = calloc(1, sizeof *f);
    if (!f) {
        return ERR_NOMEM;
    }
    f->uplink.class_ = &firehose_uplink_class;
    f->options = setup->options;
    f->setup = *setup;
    const struct aws_setup aws = {.uplink = &f->setup,
                                  .options = &f->options->aws,
                                  .service = "firehose",
                                  .sender = &firehose_service,
                                  .context = f};
    enum err e = aws_open(&f->aws, &aws, why);
    if (e) {
        firehose_close(&f->uplink);
        return e;
    }
    *ret = &f->uplink;
    return ERR_OK;
}

static enum err firehose_check(const void *options, struct why *why)
{
    return aws_check(&((const struct firehose_options *)options)->aws, why);
}

const struct uplink_class firehose_uplink_class = {
    .type = "firehose",
    .help =
        "Amazon Data Firehose: lines of JSON, or Avro, for S3, Redshift, OpenSearch and others. "
        "What was taken is not sent again; the service keeps no order.",
    .options = firehose_table,
    .options_size = sizeof(struct firehose_options),
    .forgets = true,
    .probe = firehose_probe_open,
    .check = firehose_check,
    .open = firehose_open,
    .target = firehose_target,
    .place = http_base_place,
    .wrap = firehose_wrap,
    .assign = firehose_assign,
    .send = firehose_send,
    .relink = firehose_relink,
    .stop = firehose_stop,
    .close = firehose_close,
};
