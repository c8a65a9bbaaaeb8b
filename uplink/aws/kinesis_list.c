#include <assert.h>
#include <stdlib.h>

#include "ports/http.h"
#include "ports/log.h"
#include "uplink/aws/kinesis_impl.h"

#define LIST_TARGET "Kinesis_20131202.ListShards"
#define LIST_PAGE 200
#define LIST_ANSWER_SIZE_MAX (256 * 1024)
#define LIST_MS_MIN 60000            /* between two of the same stream */
#define LIST_AGE_MS (60 * 60 * 1000) /* then they are asked for anew */
#define LIST_PAUSE_MS_FIRST 1000     /* after a failure */
#define LIST_REFUSED_MS_MAX \
    (10 * 60 * 1000) /* what a person has to mend is not asked each minute */

static const char *part_name(const struct kinesis *k)
{
    return uplink_name(k->setup.host);
}

struct kinesis_stream *kinesis_stream_get(struct kinesis *k, const char *name)
{
    struct kinesis_stream *stream = k->streams;
    while (stream && strcmp(stream->name, name) != 0) {
        stream = stream->next;
    }
    if (!stream && (stream = calloc(1, sizeof *stream))) {
        (void)snprintf(stream->name, sizeof stream->name, "%s", name);
        stream->next = k->streams;
        k->streams = stream;
    }
    return stream;
}

/* --- what came of it --- */

static void list_fault(struct kinesis *k, const struct why *why)
{
    if (why || k->list.has_fault) {
        uplink_fault(k->setup.host, why);
    }
    k->list.has_fault = why != NULL;
}

static void list_end(struct kinesis *k)
{
    shards_release(&k->list.found);
    k->list.stream = NULL;
    timer_arm(&k->list.timer, 0);
    uplink_ready(k->setup.host);
    sender_kick(aws_sender(k->aws));
}

static void list_failed(struct kinesis *k, uint64_t pause_ms_max, const char *text)
{
    struct kinesis_stream *stream = k->list.stream;
    unsigned doublings = stream->attempt < 12 ? stream->attempt : 12;
    uint64_t pause_ms = (uint64_t)LIST_PAUSE_MS_FIRST << doublings;
    stream->attempt++;
    stream->next_ms =
        loop_now_ms(k->setup.loop) + (pause_ms < pause_ms_max ? pause_ms : pause_ms_max);
    why_set(&stream->why, "%s", text);
    if (stream->shards.count == 0) {
        list_fault(k, &stream->why);
    }
    list_end(k);
}

static void list_finish(struct kinesis *k)
{
    struct kinesis_stream *stream = k->list.stream;
    if (shards_finish(&k->list.found, &stream->shards)) {
        list_failed(k, LIST_MS_MIN, "ListShards: the stream has no open shard");
        return;
    }
    if (stream->shards.count != k->list.found.count) {
        log_info(part_name(k), "stream %s has %zu open shards", stream->name, k->list.found.count);
    }
    stream->is_partial = k->list.found.more > 0 || k->list.next[0];
    if (stream->is_partial) {
        log_warn(part_name(k),
                 "stream %s has more than %zu open shards: what goes to the others is paced as if "
                 "it were for these",
                 stream->name, k->list.found.count);
    }
    shards_release(&stream->shards);
    stream->shards = k->list.found;
    k->list.found = (struct shards){.items = NULL};
    stream->wants_list = false;
    stream->listed_ms = loop_now_ms(k->setup.loop);
    stream->next_ms = stream->listed_ms + LIST_MS_MIN;
    stream->attempt = 0;
    why_set(&stream->why, "%s", "");
    list_fault(k, NULL);
    list_end(k);
}

/* Whoever may write need not be allowed to list: then all of the stream is one shard to us, which
 * refuses what is too much. */
static void list_forbidden(struct kinesis *k, const struct aws_error *error)
{
    struct kinesis_stream *stream = k->list.stream;
    if (stream->shards.count == 0) {
        log_warn(part_name(k),
                 "stream %s: its shards can't be listed (%s): written to without "
                 "regard to their limits; allow kinesis:ListShards",
                 stream->name, error->type);
        if (shards_set_unknown(&stream->shards)) {
            list_failed(k, LIST_MS_MIN, "no memory");
            return;
        }
    }
    stream->wants_list = false;
    stream->listed_ms = loop_now_ms(k->setup.loop);
    stream->next_ms = stream->listed_ms + LIST_AGE_MS;
    stream->attempt = 0;
    list_fault(k, NULL);
    list_end(k);
}

static void list_refused(struct kinesis *k, const struct http_answer *answer)
{
    struct aws_error error;
    enum aws_action action;
    if (aws_refused(k->aws, &k->list.tries, answer, &error, &action)) {
        kinesis_list_go(k);
        return;
    }
    if (strcmp(error.type, "AccessDeniedException") == 0 ||
        strcmp(error.type, "UnknownOperationException") == 0) {
        list_forbidden(k, &error);
        return;
    }
    char what[TARGET_NAME_SIZE_MAX + 32];
    struct send_report report = {.retry_after_ms = 0};
    (void)snprintf(what, sizeof what, "stream %s", k->list.stream->name);
    aws_report(&error, action, answer->status, what, &report);
    bool is_busy = action == AWS_AGAIN || action == AWS_SLOW_DOWN;
    list_failed(k, is_busy ? LIST_MS_MIN : LIST_REFUSED_MS_MAX, report.text);
}

static void list_answered(struct http_request *request, const struct http_answer *answer)
{
    struct kinesis_list *list = CONTAINER_OF(request, struct kinesis_list, request);
    struct kinesis *k = CONTAINER_OF(list, struct kinesis, list);
    list->request.done = NULL; /* it is over */
    uplink_wire_bytes(k->setup.host, answer->wire_sent, answer->wire_received);
    (void)server_clock_learn(sender_clock(aws_sender(k->aws)), answer->date_s);
    if (answer->e) {
        list_failed(k, LIST_MS_MIN, answer->why.text[0] ? answer->why.text : err_name(answer->e));
        return;
    }
    if (answer->status != 200) {
        list_refused(k, answer);
        return;
    }
    enum err e = shards_read(&list->found, answer->body, list->next, sizeof list->next);
    if (e) {
        list_failed(k, LIST_MS_MIN, "the answer to ListShards can't be read");
    } else if (list->next[0] && ++list->page_count < KINESIS_LIST_PAGE_MAX) {
        kinesis_list_go(k);
    } else {
        list_finish(k);
    }
}

static void list_header(struct http_request *request, struct slice name, struct slice value)
{
    struct kinesis_list *list = CONTAINER_OF(request, struct kinesis_list, request);
    aws_header(&list->tries, name, value);
}

/* --- asking --- */

static struct slice list_body(struct kinesis_list *list)
{
    struct out o = out_over(list->body, sizeof list->body);
    const char *name = list->stream->name;
    out_put_format(&o, "{\"MaxResults\":%d,", LIST_PAGE);
    if (list->next[0]) { /* which stream, the token says */
        out_put_text(&o, "\"NextToken\":");
        out_put_json(&o, slice_of_text(list->next));
    } else {
        out_put_format(&o, "\"%s\":\"%s\"", aws_name_is_arn(name) ? "StreamARN" : "StreamName",
                       name);
    }
    out_put_byte(&o, '}');
    return o.overflow ? (struct slice){NULL, 0} : out_slice(&o);
}

void kinesis_list_go(struct kinesis *k)
{
    struct kinesis_list *list = &k->list;
    if (!list->stream || list->request.done) { /* nobody wants to know, or it is under way */
        return;
    }
    const struct tls_options *tls = &k->options->aws.tls;
    struct out text = out_over(list->text, sizeof list->text);
    list->request = (struct http_request){.tls = tls->is_set ? tls : NULL,
                                          .timeout_ms = (uint32_t)k->options->aws.timeout_ms,
                                          .answer_size_max = LIST_ANSWER_SIZE_MAX,
                                          .header = list_header};
    const struct aws_call call = {LIST_TARGET, AWS_TYPE_JSON, list_body(list)};
    enum err e = aws_request(k->aws, &call, &text, &list->request, &list->tries.by);
    if (e == ERR_AGAIN) {
        return; /* until there are credentials */
    }
    list->request.done = list_answered;
    e = e ? e : http_send(sender_http(aws_sender(k->aws)), &list->request);
    if (e) {
        list->request.done = NULL;
        list_failed(k, LIST_MS_MIN, "no memory");
    }
}

void kinesis_list_due(struct timer *timer)
{
    struct kinesis_list *list = CONTAINER_OF(timer, struct kinesis_list, timer);
    struct kinesis *k = CONTAINER_OF(list, struct kinesis, list);
    uint64_t now_ms = loop_now_ms(k->setup.loop), wait_ms = UINT64_MAX;
    struct kinesis_stream *stream = k->streams;
    if (list->stream || k->is_stopping) {
        return;
    }
    for (; stream; stream = stream->next) {
        if (stream->wants_list && stream->next_ms <= now_ms) {
            break;
        }
        if (stream->wants_list && stream->next_ms - now_ms < wait_ms) {
            wait_ms = stream->next_ms - now_ms;
        }
    }
    if (stream) {
        list->stream = stream;
        list->next[0] = '\0';
        list->page_count = 0;
        list->tries = (struct aws_tries){.type = ""};
        kinesis_list_go(k);
    } else if (wait_ms != UINT64_MAX) {
        timer_arm(&list->timer, wait_ms);
    }
}

void kinesis_stream_refresh(struct kinesis *k, struct kinesis_stream *stream)
{
    uint64_t now_ms = loop_now_ms(k->setup.loop);
    bool is_old = stream->shards.count > 0 && now_ms - stream->listed_ms >= LIST_AGE_MS;
    stream->wants_list = stream->wants_list || stream->shards.count == 0 || is_old;
    if (stream->wants_list && !k->list.stream) {
        uint64_t wait_ms = stream->next_ms > now_ms ? stream->next_ms - now_ms : 0;
        if (!timer_is_armed(&k->list.timer) || k->list.timer.due_ms > now_ms + wait_ms) {
            timer_arm(&k->list.timer, wait_ms);
        }
    }
}
