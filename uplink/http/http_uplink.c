#include "uplink/http/http_uplink.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "uplink/http/http_impl.h"
#include "uplink/layout/pattern.h"

#define HTTP_RECORD_SIZE_MAX (1024 * 1024)
#define HTTP_KEY_SIZE 1024
#define HTTP_SAID_MAX 80 /* of what a service says beside its status */

struct http_uplink {
    struct http_base base;
    const struct http_uplink_options *options;
};

/* --- requests --- */

static void put_escaped(struct out *ret, struct slice name)
{
    http_base_put_escaped(ret, name, 0);
}

void http_uplink_url_put(const struct http_uplink_options *options, const char *stream,
                         const char *agent_id, struct out *ret)
{
    const struct pattern_names names = {.stream = stream, .agent = slice_of_text(agent_id)};
    pattern_put(options->url, &names, put_escaped, ret);
}

static const char *url_of(const struct http_uplink *h, struct sender_request *r)
{
    struct out *text = &r->text;
    const char *begin = (const char *)text->data + text->size;
    http_uplink_url_put(h->options, r->batch->stream->name, h->base.agent_id, text);
    out_put_byte(text, 0);
    return text->overflow ? NULL : begin;
}

/* What the part is known by; the same whenever it is sent. */
static bool put_key(const struct http_uplink *h, struct sender_request *r)
{
    uint8_t memory[HTTP_KEY_SIZE];
    struct out key = out_over(memory, sizeof memory);
    const struct part *part = r->batch->part;
    http_base_put_escaped(&key, slice_of_text(h->base.agent_id), 0);
    out_put_format(&key, "/%08" PRIx32 "/", r->batch->parcel->incarnation);
    http_base_put_escaped(&key, slice_of_text(r->batch->stream->name), 0);
    out_put_format(&key, "/%" PRIu64 "-%" PRIu64, part->first, part->last);
    out_put_byte(&key, 0);
    return !key.overflow && sender_header(r, "Idempotency-Key: %s", (const char *)memory);
}

static bool has_user_header(const struct http_uplink_options *options, const char *name)
{
    for (size_t i = 0; i < options->headers.count; i++) {
        if (strcasecmp(options->headers.names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool put_headers(const struct http_uplink *h, struct sender_request *r)
{
    const struct http_uplink_options *options = h->options;
    bool is_json = r->batch->parcel->layout == LAYOUT_JSON;
    bool ok = put_key(h, r);
    if (!has_user_header(options, "Content-Type")) {
        ok = ok && sender_header(r, "Content-Type: %s",
                                 is_json ? "application/x-ndjson" : "application/avro");
    }
    if (options->encoding != HTTP_IDENTITY) {
        ok = ok && sender_header(r, "Content-Encoding: %s",
                                 options->encoding == HTTP_GZIP ? "gzip" : "zstd");
    }
    if (options->token) {
        ok = ok && sender_header(r, "Authorization: Bearer %s", options->token);
    }
    const char *const *values = options->headers.items;
    for (size_t i = 0; i < options->headers.count; i++) {
        ok = ok && sender_header(r, "%s: %s", options->headers.names[i], values[i]);
    }
    return ok;
}

static enum err http_build(void *context, struct sender_request *r, struct send_report *ret)
{
    const struct http_uplink *h = context;
    r->http.method = h->options->method == 0 ? "POST" : "PUT";
    r->http.url = url_of(h, r);
    r->http.body = r->batch->wire;
    r->http.user = h->options->user;
    r->http.password = h->options->password;
    if (!r->http.url || !put_headers(h, r)) {
        sender_report(ret, SEND_PARK, 0, "URL and headers are longer than %d bytes: shorten them",
                      SENDER_TEXT_SIZE);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* --- answers --- */

static void say_status(const struct http_answer *answer, struct send_report *ret)
{
    char said[HTTP_SAID_MAX + 1];
    size_t size = answer->body.size < HTTP_SAID_MAX ? answer->body.size : HTTP_SAID_MAX;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = answer->body.data[i];
        c = c >= ' ' && c <= '~' ? c : (uint8_t)' ';
        memcpy(said + i, &c, 1);
    }
    said[size] = 0;
    const char *what = answer->status == 401 || answer->status == 403 ? ", look at token, user and "
                                                                        "password"
                       : answer->status == 404 || (answer->status >= 300 && answer->status < 400)
                           ? ", look at url"
                           : "";
    sender_report(ret, ret->result, (int)answer->status,
                  "the service answers with status %ld%s%s%s", answer->status, what,
                  size ? ": " : "", said);
}

static enum sender_next http_judge(void *context, struct sender_request *r,
                                   const struct http_answer *answer, struct send_report *ret)
{
    const struct http_uplink *h = context;
    const struct http_uplink_options *options = h->options;
    sender_status(ret, answer);
    if (answer->status == 409) {
        ret->result = SEND_RETRY; /* under this key something is still being worked on */
        r->is_in_doubt = true;
    }
    if (http_status_is_in(&options->status_ok, answer->status)) {
        ret->result = SEND_OK;
        ret->was_duplicate = answer->status == 409;
    } else if (http_status_is_in(&options->status_retry, answer->status)) {
        ret->result = SEND_RETRY;
        r->is_in_doubt = true; /* what it means the service knows */
    } else if (http_status_is_in(&options->status_rejected, answer->status)) {
        ret->result = SEND_REJECTED;
    }
    if (ret->result != SEND_OK) {
        say_status(answer, ret);
    }
    if (ret->result == SEND_REJECTED || ret->result == SEND_TOO_LARGE) {
        http_base_refuse(&h->base, r->batch, ret->result, ret);
    }
    return SENDER_END;
}

/* --- the class --- */

static enum err http_target(struct uplink *uplink, const struct stream_info *stream,
                            const struct schema_info *schema, struct target *ret, struct why *why)
{
    const struct http_uplink *h = CONTAINER_OF(uplink, struct http_uplink, base.uplink);
    (void)schema;
    struct target target = {.layout = ret->layout,
                            .partition_count = 1,
                            .request_size_max =
                                http_base_size(&h->base, (uint32_t)h->options->size_max),
                            .record_size_max = HTTP_RECORD_SIZE_MAX,
                            .is_json = h->options->format == HTTP_NDJSON};
    if (strlen(stream->name) >= sizeof target.name) {
        why_set(why, "the stream name %.32s... is too long", stream->name);
        return ERR_CONFIG;
    }
    (void)snprintf(target.name, sizeof target.name, "%s", stream->name);
    *ret = target;
    return ERR_OK;
}

static const struct sender_service http_service = {
    .answer_size_max = 16 * 1024, .build = http_build, .judge = http_judge};

static void http_close_uplink(struct uplink *uplink)
{
    struct http_uplink *h = uplink ? CONTAINER_OF(uplink, struct http_uplink, base.uplink) : NULL;
    if (h) {
        http_base_close(&h->base);
        free(h);
    }
}

static enum err http_open_uplink(struct uplink **ret, const struct uplink_setup *setup,
                                 struct why *why)
{
    struct http_uplink *h = calloc(1, sizeof *h);
    if (!h) {
        return ERR_NOMEM;
    }
    h->options = setup->options;
    const struct sender_setup sender = {.uplink = setup,
                                        .service = &http_service,
                                        .context = h,
                                        .tls = &h->options->tls,
                                        .timeout_ms = (uint32_t)h->options->timeout_ms};
    enum err e = http_base_open(&h->base, &http_uplink_class, &sender, why);
    if (e) {
        http_close_uplink(&h->base.uplink);
        return e;
    }
    *ret = &h->base.uplink;
    return ERR_OK;
}

const struct uplink_class http_uplink_class = {
    .type = "http",
    .help = "A web service of one's own: each batch is one POST or PUT of lines of JSON or of an "
            "Avro container, with a key in Idempotency-Key by which the service drops what comes "
            "a second time. Any status of 200 to 299 says that it is stored.",
    .options = http_uplink_table,
    .options_size = sizeof(struct http_uplink_options),
    .probe = http_uplink_probe_open,
    .check = http_uplink_check,
    .open = http_open_uplink,
    .target = http_target,
    .place = http_base_place,
    .wrap = http_body_wrap,
    .assign = http_base_assign,
    .send = http_base_send,
    .relink = http_base_relink,
    .stop = http_base_stop,
    .close = http_close_uplink,
};
