#include <strings.h>

#include "ports/clock.h"
#include "ports/lib/http_impl.h"
#include "ports/lib/tls_session.h"

#define HTTP_RETRY_AFTER_S_MAX 86400

/* --- what comes in --- */

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct http_call *call = context;
    size_t size_max = call->request->answer_size_max;
    if (size > size_max - call->body_size) {
        call->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (call->body_size + size > call->body_room) {
        size_t room = 2 * (call->body_size + size);
        room = room > size_max ? size_max : room;
        uint8_t *body = realloc(call->body, room);
        if (!body) {
            call->no_memory = true;
            return CURL_WRITEFUNC_ERROR;
        }
        call->body = body;
        call->body_room = room;
    }
    memcpy(call->body + call->body_size, data, size);
    call->body_size += size;
    return size;
}

static struct slice slice_trimmed(const char *data, size_t size)
{
    while (size && (data[0] == ' ' || data[0] == '\t')) {
        data++;
        size--;
    }
    while (size && strchr(" \t\r\n", data[size - 1])) {
        size--;
    }
    return (struct slice){(const uint8_t *)data, size};
}

static bool name_is(struct slice name, const char *text)
{
    return name.size == strlen(text) && strncasecmp((const char *)name.data, text, name.size) == 0;
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct http_call *call = context;
    const char *colon = memchr(data, ':', size);
    if (!colon) {
        return size; /* the status line, or the end */
    }
    size_t name_size = (size_t)(colon - data);
    struct slice name = slice_trimmed(data, name_size);
    struct slice value = slice_trimmed(colon + 1, size - name_size - 1);
    char date[64];
    if (name_is(name, "date") && slice_to_text(value, date, sizeof date)) {
        time_t at = curl_getdate(date, NULL);
        call->answer.date_s = at < 0 ? 0 : (int64_t)at;
    } else if (name_is(name, "retry-after") &&
               !slice_to_text(value, call->retry_after, sizeof call->retry_after)) {
        call->retry_after[0] = 0;
    }
    if (call->request->header) {
        call->request->header(call->request, name, value);
    }
    return size;
}

void http_call_set_answer(struct http_call *call)
{
    SET(call, CURLOPT_ERRORBUFFER, call->error);
    SET(call, CURLOPT_WRITEFUNCTION, on_body);
    SET(call, CURLOPT_WRITEDATA, call);
    SET(call, CURLOPT_HEADERFUNCTION, on_header);
    SET(call, CURLOPT_HEADERDATA, call);
}

/* --- how it ended --- */

static enum err call_error(const struct http_call *call, CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return ERR_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_CONFIG;
    case CURLE_WRITE_ERROR:
        return call->too_large ? ERR_REJECTED : call->no_memory ? ERR_NOMEM : ERR_IO;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return ERR_CLOSED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
        return ERR_AUTH;
    default:
        return ERR_IO;
    }
}

/* curl hides mbedTLS's code in its text: "ssl_handshake returned: (-0x7780) ...". */
static enum err call_tls_error(struct http_call *call)
{
    const char *number = strstr(call->error, "(-0x");
    int code = number ? -(int)strtol(number + 2 + 2, NULL, 16) : 0;
    return tls_handshake_text(call->identity->tls, code, &call->answer.why);
}

/* RFC 9110, section 10.2.3: seconds, or a date, which is taken against the server's own clock. */
static void call_set_retry_after(struct http_call *call)
{
    if (!call->retry_after[0]) {
        return;
    }
    char *end = NULL;
    long long seconds = strtoll(call->retry_after, &end, 10);
    if (end == call->retry_after || *end) {
        time_t until = curl_getdate(call->retry_after, NULL);
        int64_t now_s = call->answer.date_s ? call->answer.date_s : clock_wall_us() / 1000000;
        seconds = until < 0 ? 0 : (long long)until - now_s;
    }
    seconds = seconds < 0 ? 0 : seconds;
    seconds = seconds > HTTP_RETRY_AFTER_S_MAX ? HTTP_RETRY_AFTER_S_MAX : seconds;
    call->answer.retry_after_ms = seconds * 1000;
}

/* "Failed to connect to 127.0.0.1 port 1 after 3 ms: ...": without the time the text is the same at
 * the next try, and need not be logged again. */
static void text_without_time(char *text)
{
    char *after = strstr(text, " after ");
    char *rest = after ? after + strlen(" after ") : NULL;
    size_t digits = rest ? strspn(rest, "0123456789") : 0;
    if (digits > 0 && strncmp(rest + digits, " ms", 3) == 0) {
        rest += digits + 3;
        memmove(after, rest, strlen(rest) + 1);
    }
}

static void call_set_outcome(struct http_call *call, CURLcode code)
{
    struct http_answer *answer = &call->answer;
    struct why *why = &answer->why;
    long connect_status = 0;
    answer->e = call_error(call, code);
    answer->is_http2_error = code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM;
    if (code == CURLE_OK) {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &answer->status);
        if (answer->status == 407 && http_call_proxy_refused(call, answer->status)) {
            return; /* only a proxy says that */
        }
        answer->body = (struct slice){call->body, call->body_size};
        answer->peer_end_s =
            call->is_https && call->identity->tls ? tls_applied_end_s(call->identity->tls) : 0;
        return;
    }
    curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    if (http_call_proxy_refused(call, connect_status)) {
        return;
    }
    bool is_tls = call->identity->tls && tls_problem_take(call->identity->tls, why);
    if (is_tls) {
        answer->e = ERR_AUTH;
    } else if (code == CURLE_SSL_CONNECT_ERROR && call->identity->tls) {
        answer->e = call_tls_error(call);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        http_call_say_late(call);
        return;
    } else if (call->too_large) {
        why_set(why, "the answer is larger than %zu bytes", call->request->answer_size_max);
    } else {
        text_without_time(call->error);
        why_set(why, "%s", call->error[0] ? call->error : curl_easy_strerror(code));
    }
    why_add(why, "%s %s", call->request->method, call->host);
}

void http_call_set_result(struct http_call *call, CURLcode code)
{
    call_set_outcome(call, code);
    call_set_retry_after(call);
}
