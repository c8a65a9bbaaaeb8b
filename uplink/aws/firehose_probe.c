/* For `weir check --online`: are there credentials, does the service answer, is each delivery stream there
 * and one to be written to? By DescribeDeliveryStream; the uplink itself has no need of that right,
 * and when it is missing, that much is known: the credentials are good. */
#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/json_tree.h"
#include "uplink/aws/aws_probe.h"
#include "uplink/aws/firehose.h"

#define DESCRIBE_TARGET "Firehose_20150804.DescribeDeliveryStream"

static struct aws_probe *probe_of(struct service_probe *base)
{
    return CONTAINER_OF(base, struct aws_probe, base);
}

static enum err probe_name(const struct service_probe *base, const struct probe_stream *stream,
                           struct out *ret, struct why *why)
{
    const struct firehose_options *options = base->setup.options;
    char text[SERVICE_PROBE_NAME_SIZE];
    const struct aws_name name = {.pattern = options->delivery_stream,
                                  .stream = stream->name,
                                  .agent_id = base->setup.agent_id,
                                  .size_max = FIREHOSE_NAME_SIZE_MAX};
    enum err e = aws_name_put(&name, text, sizeof text, why);
    if (!e) {
        out_put_text(ret, text);
    }
    return e;
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    const char *body = service_probe_text(base, "{\"DeliveryStreamName\":\"%s\"}", base->name);
    const struct aws_probe_call call = {.method = "POST",
                                        .host = "",
                                        .path = "/",
                                        .query = "",
                                        .target = DESCRIBE_TARGET,
                                        .body = slice_of_text(body)};
    return body ? aws_probe_request(probe_of(base), &call, ret) : ERR_FULL;
}

static void tell_description(struct service_probe *base, const char *what,
                             const struct http_answer *answer)
{
    struct json_tree *tree = NULL;
    struct why why;
    size_t offset;
    const struct json_node *root =
        json_tree_open(&tree, answer->body, &why, &offset) ? NULL : json_tree_root(tree);
    const struct json_node *is = json_node_find(root, "DeliveryStreamDescription");
    const char *status = json_node_text(json_node_find(is, "DeliveryStreamStatus"));
    const char *type = json_node_text(json_node_find(is, "DeliveryStreamType"));
    if (!status) {
        service_probe_found_nonsense(base, what, answer->status);
    } else if (type && strcmp(type, "DirectPut") != 0) {
        service_probe_found(base, PROBE_ERROR, base->name_option, what,
                            "its source is %s: only what has the source DirectPut can be written "
                            "to",
                            type);
    } else if (strcmp(status, "ACTIVE") != 0) {
        service_probe_found(base, PROBE_WARNING, base->name_option, what,
                            "it is %s, not ACTIVE: nothing can be written to it now", status);
    } else {
        service_probe_found(base, PROBE_OK, base->name_option, what,
                            "it is there, and ACTIVE; whether it may be written to "
                            "(firehose:PutRecordBatch) the first batch shows");
    }
    json_tree_close(tree);
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *answer)
{
    struct aws_probe *aws = probe_of(base);
    struct aws_error error;
    enum service_probe_next next;
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "delivery stream %.300s", base->name);
    if (answer->status == 200) {
        tell_description(base, what, answer);
        return SERVICE_PROBE_NEXT;
    }
    if (aws_probe_refused(aws, answer, &error, &next)) {
        return next;
    }
    if (aws_probe_is_denied(&error)) {
        service_probe_found(base, PROBE_WARNING, base->name_option, what,
                            "%s: the credentials are good, but may not ask about it "
                            "(firehose:DescribeDeliveryStream, which only this check needs): "
                            "whether it is there, and may be written to, the first batch shows",
                            error.type);
    } else if (strcmp(error.type, "ResourceNotFoundException") == 0) {
        service_probe_found(base, PROBE_ERROR, base->name_option, what,
                            "it is not there: make it, or look at its name and the region (%s)",
                            aws->region);
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

enum err firehose_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    const struct firehose_options *options = setup->options;
    struct aws_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->service = "firehose";
    p->base.class_ = &probe_class;
    p->base.service = "Firehose";
    p->base.name_option = "delivery_stream";
    return aws_probe_open_uplink(p, &options->aws, setup, ret);
}
