/* For `weir check --online`: are there credentials, does the service answer, is each stream there? By
 * ListShards, the one question that the uplink has a right to ask (KINESIS.md). Nothing is written,
 * so whether it may be is not known. Where the stream's schemas are at Glue, that is asked beside it. */
#include <stdio.h>
#include <stdlib.h>

#include "uplink/aws/aws_probe.h"
#include "uplink/aws/glue_probe.h"
#include "uplink/aws/kinesis.h"
#include "uplink/aws/kinesis_shards.h"

#define LIST_TARGET "Kinesis_20131202.ListShards"
#define LIST_PAGE 200
#define TOKEN_SIZE 1024

struct kinesis_probe {
    struct aws_probe aws;
    struct probe_setup setup;
    struct glue_options glue_options;
    struct glue_probe *glue; /* NULL: it has no part in this */
    unsigned pending;        /* of the two */
};

static struct aws_probe *probe_of(struct service_probe *base)
{
    return CONTAINER_OF(base, struct aws_probe, base);
}

static enum err stream_name(const struct probe_setup *setup, const struct probe_stream *stream,
                            char *ret, size_t ret_size, struct why *why)
{
    const struct kinesis_options *options = setup->options;
    const struct aws_name name = {.pattern = options->stream,
                                  .stream = stream->name,
                                  .agent_id = setup->agent_id,
                                  .size_max = KINESIS_NAME_SIZE_MAX};
    return aws_name_put(&name, ret, ret_size, why);
}

static enum err probe_name(const struct service_probe *base, const struct probe_stream *stream,
                           struct out *ret, struct why *why)
{
    char text[SERVICE_PROBE_NAME_SIZE];
    enum err e = stream_name(&base->setup, stream, text, sizeof text, why);
    if (!e) {
        out_put_text(ret, text);
    }
    return e;
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    const char *member = aws_name_is_arn(base->name) ? "StreamARN" : "StreamName";
    const char *body = service_probe_text(base, "{\"MaxResults\":%d,\"%s\":\"%s\"}", LIST_PAGE,
                                          member, base->name);
    const struct aws_probe_call call = {.method = "POST",
                                        .host = "",
                                        .path = "/",
                                        .query = "",
                                        .target = LIST_TARGET,
                                        .body = slice_of_text(body)};
    return body ? aws_probe_request(probe_of(base), &call, ret) : ERR_FULL;
}

static void tell_shards(struct service_probe *base, const char *what,
                        const struct http_answer *answer)
{
    struct shards shards = {.items = NULL};
    char next[TOKEN_SIZE];
    enum err e = shards_read(&shards, answer->body, next, sizeof next);
    size_t count = shards.count;
    shards_release(&shards);
    if (e) {
        service_probe_found_nonsense(base, what, answer->status);
    } else {
        service_probe_found(base, PROBE_OK, base->name_option, what,
                            "it is there, with %s%zu open shards; whether it may be written to "
                            "(kinesis:PutRecords) the first batch shows",
                            next[0] ? "at least " : "", count);
    }
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *answer)
{
    struct aws_probe *aws = probe_of(base);
    struct aws_error error;
    enum service_probe_next next;
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "stream %.300s", base->name);
    if (answer->status == 200) {
        tell_shards(base, what, answer);
        return SERVICE_PROBE_NEXT;
    }
    if (aws_probe_refused(aws, answer, &error, &next)) {
        return next;
    }
    if (aws_probe_is_denied(&error)) {
        service_probe_found(base, PROBE_WARNING, base->name_option, what,
                            "%s: its shards may not be listed, so that it is not known whether it "
                            "is there, and later not how much it takes: allow kinesis:ListShards. "
                            "Whether it may be written to was not asked",
                            error.type);
    } else if (strcmp(error.type, "ResourceNotFoundException") == 0) {
        service_probe_found(base, PROBE_ERROR, base->name_option, what,
                            "it is not there: make it, or look at its name and the region (%s)",
                            aws->region);
    } else if (strcmp(error.type, "ResourceInUseException") == 0) {
        service_probe_found(base, PROBE_WARNING, base->name_option, what,
                            "it is being made, changed or deleted: ask again later");
    } else {
        aws_probe_found(aws, what, answer, &error);
    }
    return SERVICE_PROBE_NEXT;
}

/* By which Glue's schemas are named. */
static enum err glue_stream(const struct probe_setup *setup, const struct probe_stream *stream,
                            char ret[TARGET_NAME_SIZE_MAX], struct why *why)
{
    char text[TARGET_NAME_SIZE_MAX];
    enum err e = stream_name(setup, stream, text, sizeof text, why);
    (void)snprintf(ret, TARGET_NAME_SIZE_MAX, "%s", e ? "" : aws_name_own(text));
    return e;
}

static void one_done(void *context)
{
    struct kinesis_probe *p = context;
    if (--p->pending > 0) {
        return;
    }
    const struct service_probe *base = &p->aws.base;
    if (base->was_reached && !base->has_said_time && !glue_probe_has_said_time(p->glue)) {
        probe_found_no_clock(&p->setup, "neither Kinesis' nor Glue's answers have a date");
    }
    p->setup.done(p->setup.context);
}

static void probe_free(struct service_probe *base)
{
    struct kinesis_probe *p = CONTAINER_OF(probe_of(base), struct kinesis_probe, aws);
    glue_probe_close(p->glue);
    aws_probe_release(&p->aws);
    free(p);
}

static const struct service_probe_class probe_class = {.name = probe_name,
                                                       .ask = probe_ask,
                                                       .judge = probe_judge,
                                                       .header = aws_probe_header,
                                                       .free = probe_free};

static enum err open_glue(struct kinesis_probe *p, const struct kinesis_options *options)
{
    p->glue_options = kinesis_glue(options);
    const struct glue_probe_setup setup = {.probe = &p->setup,
                                           .options = &p->glue_options,
                                           .topic = glue_stream,
                                           .context = p,
                                           .done = one_done};
    p->pending++;
    return glue_probe_open(&p->glue, &setup);
}

enum err kinesis_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    const struct kinesis_options *options = setup->options;
    struct kinesis_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->setup = *setup;
    p->pending = 1;
    p->aws.service = "kinesis";
    p->aws.base.class_ = &probe_class;
    p->aws.base.service = "Kinesis";
    p->aws.base.name_option = "stream";
    p->aws.base.context = p;
    p->aws.base.done = options->glue.is_set ? one_done : NULL;
    enum err e = aws_probe_open_uplink(&p->aws, &options->aws, setup, ret);
    if (!e && options->glue.is_set) {
        e = open_glue(p, options);
        if (e) {
            (*ret)->close(*ret);
        }
    }
    return e;
}
