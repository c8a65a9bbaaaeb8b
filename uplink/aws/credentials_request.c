#include <assert.h>
#include <stdarg.h>

#include "uplink/aws/credentials_impl.h"

const char *credentials_text(struct credentials *credentials, const char *format, ...)
{
    struct out *text = &credentials->text;
    size_t room = text->size_max - text->size;
    char *begin = (char *)text->data + text->size;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(begin, room, format, arguments);
    va_end(arguments);
    if (text->overflow || size < 0 || (size_t)size >= room) {
        text->overflow = true;
        return "";
    }
    text->size += (size_t)size + 1;
    return begin;
}

static void request_done(struct http_request *request, const struct http_answer *answer)
{
    struct credentials *credentials = CONTAINER_OF(request, struct credentials, request);
    bool is_local = credentials->asked == credentials->local;
    credentials->asked = NULL;
    if (!is_local && credentials->setup.wire_bytes) {
        credentials->setup.wire_bytes(credentials->setup.context, answer->wire_sent,
                                      answer->wire_received);
    }
    credentials->answered(credentials, answer);
}

/* ERR_CONFIG: the texts of the request have no room. */
static enum err request_begin(struct credentials *credentials,
                              const struct credentials_request *request)
{
    enum err e = credentials->text.overflow ? ERR_CONFIG : ERR_OK;
    if (!e && request->is_local && !credentials->local) {
        e = http_open(&credentials->local, credentials->setup.loop, credentials->setup.names);
    }
    if (e) {
        return e;
    }
    credentials->request = (struct http_request){
        .method = request->method,
        .url = request->url,
        .body = request->body,
        .tls = request->tls,
        .timeout_ms = request->timeout_ms,
        .answer_size_max = CREDENTIALS_BODY_SIZE_MAX,
        .done = request_done,
        .proxy = request->is_local ? "" : NULL, /* it would get their tokens and secrets */
    };
    for (size_t i = 0; i < ARRAY_COUNT(request->headers); i++) {
        credentials->request.headers[i] = request->headers[i];
    }
    struct http *http = request->is_local ? credentials->local : credentials->setup.http;
    e = http_send(http, &credentials->request);
    credentials->asked = e ? NULL : http;
    return e;
}

void credentials_ask(struct credentials *credentials, const struct credentials_request *request,
                     void (*done)(struct credentials *credentials,
                                  const struct http_answer *answer))
{
    assert(!credentials->asked);
    credentials->answered = done;
    enum err e = request_begin(credentials, request);
    if (e) {
        why_set(&credentials->why, "no request for credentials could be begun: %s", err_name(e));
        credentials_fail(credentials, e, 0);
    }
}

void credentials_take_body(struct credentials *credentials, struct slice body, const char *who)
{
    struct out scratch = out_over(credentials->scratch, sizeof credentials->scratch);
    struct credentials_answer answer;
    char error[CREDENTIALS_ERROR_SIZE];
    if (credentials_answer_parse(body, &scratch, &answer, error) == ERR_OK) {
        credentials_take(credentials, &answer, false);
        return;
    }
    why_set(&credentials->why, "%s gives no credentials%s%s", who, error[0] ? ": " : "", error);
    credentials_fail(credentials, ERR_AUTH, 0);
}
