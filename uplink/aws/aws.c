#include "uplink/aws/aws.h"

#include <assert.h>
#include <stdlib.h>

#define SCRATCH_SIZE (CREDENTIALS_TOKEN_SIZE_MAX + SIGV4_ROOM + 2048)
#define CLOCK_TRIES_MAX 2 /* signatures made again: there, and back where the answer was wrong */
#define CREDENTIALS_TRIES_MAX 1
#define CHINA "cn-"

struct aws {
    struct aws_setup setup;
    struct sender *sender;
    struct credentials *credentials;
    const char *region;
    struct why fault; /* "": none */
    char url[AWS_URL_SIZE];
    struct slice host; /* within url */
    uint8_t scratch[SCRATCH_SIZE];
};

enum err aws_check(const struct aws_options *options, struct why *why)
{
    return credentials_check(&options->credentials, why);
}

/* --- life --- */

static void credentials_changed(void *context)
{
    struct aws *aws = context;
    if (aws->setup.ready) {
        aws->setup.ready(aws->setup.context);
    }
    sender_kick(aws->sender);
}

static void credentials_fault(void *context, const struct why *why)
{
    struct aws *aws = context;
    why_set(&aws->fault, "%s", why ? why->text : "");
    uplink_fault(aws->setup.uplink->host, why);
}

static void credentials_wire(void *context, uint64_t sent, uint64_t received)
{
    struct aws *aws = context;
    uplink_wire_bytes(aws->setup.uplink->host, sent, received);
}

static void url_of(struct aws *aws)
{
    const char *endpoint = aws->setup.options->endpoint;
    if (endpoint) {
        size_t size = strlen(endpoint);
        bool has_slash = endpoint[size - 1] == '/';
        (void)snprintf(aws->url, sizeof aws->url, "%s%s", endpoint, has_slash ? "" : "/");
    } else {
        bool is_china = strncmp(aws->region, CHINA, strlen(CHINA)) == 0;
        (void)snprintf(aws->url, sizeof aws->url, "https://%s.%s.amazonaws.com%s/",
                       aws->setup.service, aws->region, is_china ? ".cn" : "");
    }
    const char *path;
    aws->host = sigv4_host(aws->url, &path);
}

static enum err open_parts(struct aws *aws, struct why *why)
{
    const struct aws_options *options = aws->setup.options;
    const struct sender_setup sender = {.uplink = aws->setup.uplink,
                                        .service = aws->setup.sender,
                                        .context = aws->setup.context,
                                        .tls = options->tls.is_set ? &options->tls : NULL,
                                        .timeout_ms = (uint32_t)options->timeout_ms};
    enum err e = sender_open(&aws->sender, &sender, why);
    if (e) {
        return e;
    }
    const struct credentials_setup credentials = {.loop = aws->setup.uplink->loop,
                                                  .names = aws->setup.uplink->names,
                                                  .http = sender_http(aws->sender),
                                                  .clock = sender_clock(aws->sender),
                                                  .options = &options->credentials,
                                                  .region = aws->region,
                                                  .context = aws,
                                                  .changed = credentials_changed,
                                                  .fault = credentials_fault,
                                                  .wire_bytes = credentials_wire};
    return credentials_open(&aws->credentials, &credentials, why);
}

enum err aws_open(struct aws **ret, const struct aws_setup *setup, struct why *why)
{
    struct aws *aws = calloc(1, sizeof *aws);
    if (!aws) {
        return ERR_NOMEM;
    }
    aws->setup = *setup;
    aws->region = credentials_region(setup->options->region);
    if (!aws->region) {
        why_set(why, "which AWS region? set \"region\", or AWS_REGION in the environment");
        aws_close(aws);
        return ERR_CONFIG;
    }
    url_of(aws);
    enum err e = open_parts(aws, why);
    if (e) {
        aws_close(aws);
        return e;
    }
    *ret = aws;
    return ERR_OK;
}

void aws_close(struct aws *aws)
{
    if (!aws) {
        return;
    }
    credentials_close(aws->credentials); /* it has requests with the sender's client */
    sender_close(aws->sender);
    free(aws);
}

struct sender *aws_sender(struct aws *aws)
{
    return aws->sender;
}

const struct why *aws_fault(const struct aws *aws)
{
    return aws->fault.text[0] ? &aws->fault : NULL;
}

/* --- requests --- */

/* One more header, NUL and all; the first free place of the request's list takes it. */
static void header_put(struct http_request *http, struct out *text, const char *name,
                       struct slice value)
{
    size_t count = 0, start = text->size;
    while (http->headers[count]) {
        count++;
    }
    assert(count + 1 < HTTP_HEADER_MAX);
    out_put_text(text, name);
    out_put_text(text, ": ");
    out_put_slice(text, value);
    out_put_byte(text, '\0');
    if (!text->overflow) {
        http->headers[count] = (const char *)text->data + start;
    }
}

static void authorization(struct aws *aws, const struct sigv4_header headers[2],
                          const struct http_request *http, const struct aws_credentials *by,
                          struct out *ret)
{
    char hash[SIGV4_HASH_SIZE];
    sigv4_hash(http->body, hash);
    const struct sigv4_request request = {.method = "POST",
                                          .host = aws->host,
                                          .path = SLICE("/"),
                                          .headers = headers,
                                          .header_count = 2,
                                          .body_hash = hash,
                                          .region = aws->region,
                                          .service = aws->setup.service,
                                          .time_s = server_clock_now_s(sender_clock(aws->sender))};
    char date[SIGV4_DATE_SIZE];
    sigv4_date(request.time_s, date);
    out_put_text(ret, date);
    out_put_byte(ret, '\0');
    sigv4_sign(&request, by, ret);
}

enum err aws_request(struct aws *aws, const struct aws_call *call, struct out *text,
                     struct http_request *ret, struct aws_signed *ret_signed)
{
    struct aws_credentials by;
    enum err e = credentials_get(aws->credentials, &by);
    if (e) {
        return e;
    }
    const struct sigv4_header headers[] = {{"Content-Type", slice_of_text(call->content_type)},
                                           {"X-Amz-Target", slice_of_text(call->target)}};
    ret->method = "POST";
    ret->url = aws->url;
    ret->body = call->body;
    ret->headers[0] = "Accept:"; /* what nobody reads does not travel with each request */
    ret->headers[1] = "User-Agent:";
    struct out made = out_over(aws->scratch, sizeof aws->scratch);
    authorization(aws, headers, ret, &by, &made);
    if (made.overflow) {
        return ERR_FULL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        header_put(ret, text, headers[i].name, headers[i].value);
    }
    header_put(ret, text, "X-Amz-Date", (struct slice){made.data, SIGV4_DATE_SIZE - 1});
    if (by.session_token) {
        header_put(ret, text, "X-Amz-Security-Token", slice_of_text(by.session_token));
    }
    header_put(ret, text, "Authorization",
               (struct slice){made.data + SIGV4_DATE_SIZE, made.size - SIGV4_DATE_SIZE});
    *ret_signed = (struct aws_signed){.credentials = by.number,
                                      .offset_s = sender_clock(aws->sender)->offset_s};
    return text->overflow ? ERR_FULL : ERR_OK;
}

/* --- refusals --- */

void aws_header(struct aws_tries *tries, struct slice name, struct slice value)
{
    static const char wanted[] = "x-amzn-errortype";
    if (name.size != sizeof wanted - 1) {
        return;
    }
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != wanted[i]) {
            return;
        }
    }
    if (!slice_to_text(value, tries->type, sizeof tries->type)) {
        tries->type[0] = '\0'; /* longer than any that is known */
    }
}

bool aws_refused(struct aws *aws, struct aws_tries *tries, const struct http_answer *answer,
                 struct aws_error *ret, enum aws_action *ret_action)
{
    struct sender *sender = aws->sender;
    aws_error_read(ret, slice_of_text(tries->type), answer->body);
    tries->type[0] = '\0';
    *ret_action = aws_error_action(ret, answer->status);
    if (*ret_action == AWS_CLOCK && tries->clock < CLOCK_TRIES_MAX) {
        (void)server_clock_learn(sender_clock(sender), answer->date_s);
        if (sender_clock(sender)->offset_s != tries->by.offset_s) {
            tries->clock++;
            return true;
        }
    }
    if (*ret_action == AWS_CREDENTIALS && tries->credentials < CREDENTIALS_TRIES_MAX &&
        credentials_refused(aws->credentials, tries->by.credentials)) {
        tries->credentials++;
        return true;
    }
    return false;
}

static enum send_result action_result(enum aws_action action)
{
    switch (action) {
    case AWS_SLOW_DOWN:
    case AWS_AGAIN:
        return SEND_RETRY;
    case AWS_HALVE:
        return SEND_TOO_LARGE;
    case AWS_REFUSED:
        return SEND_REJECTED;
    case AWS_MISSING:
    case AWS_STOP:
    case AWS_CREDENTIALS:
    case AWS_CLOCK:
        break;
    }
    return SEND_PARK;
}

void aws_report(const struct aws_error *error, enum aws_action action, long status,
                const char *what, struct send_report *ret)
{
    char name[AWS_ERROR_TYPE_SIZE + 16];
    (void)snprintf(name, sizeof name, "HTTP %ld", status);
    int64_t retry_after_ms = ret->retry_after_ms;
    sender_report(ret, action_result(action), (int)status, "%s: %s%s%s: %s", what,
                  error->type[0] ? error->type : name, error->text[0] ? ": " : "", error->text,
                  aws_error_advice(action));
    ret->retry_after_ms = retry_after_ms;
}
