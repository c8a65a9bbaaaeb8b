/* For `weir check --online`: are there credentials, does the service answer, is each stream there? By
 * ListShards, the one question that the uplink has a right to ask (KINESIS.md). Nothing is written,
 * so whether it may be is not known. */
#include <stdio.h>
#include <stdlib.h>

#include "uplink/aws/aws_probe.h"
#include "uplink/aws/kinesis.h"
#include "uplink/aws/kinesis_shards.h"

#define LIST_TARGET "Kinesis_20131202.ListShards"
#define LIST_PAGE 200
#define TOKEN_SIZE 1024

static struct aws_probe *probe_of(struct service_probe *base)
{
    return CONTAINER_OF(base, struct aws_probe, base);
}

static enum err probe_name(const struct service_probe *base, const struct probe_stream *stream,
                           struct out *ret, struct why *why)
{
    const struct kinesis_options *options = base->setup.options;
    char text[SERVICE_PROBE_NAME_SIZE];
    const struct aws_name name = {.pattern = options->stream,
                                  .stream = stream->name,
                                  .agent_id = base->setup.agent_id,
                                  .size_max = KINESIS_NAME_SIZE_MAX};
    enum err e = aws_name_put(&name, text, sizeof text, why);
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

static void probe_free(struct service_probe *base)
{
    struct aws_probe *p = probe_of(base);
    aws_probe_release(p);
    free(p);
}

static const struct service_probe_class probe_class = {.name = probe_name,
                                                       .ask = probe_ask,
                                                       .judge = probe_judge,
                                                       .header = aws_probe_header,
                                                       .free = probe_free};

enum err kinesis_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    const struct kinesis_options *options = setup->options;
    struct aws_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->service = "kinesis";
    p->base.class_ = &probe_class;
    p->base.service = "Kinesis";
    p->base.name_option = "stream";
    return aws_probe_open_uplink(p, &options->aws, setup, ret);
}
