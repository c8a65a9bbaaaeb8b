#include "ports/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <strings.h>

#include "ports/clock.h"
#include "ports/lib/tls_session.h"
#include "ports/linux/wire.h"
#include "ports/names.h"

#define HTTP_IDENTITY_MAX 8 /* different TLS settings of one client */
#define HTTP_TIMEOUT_MS 30000
#define HTTP_LIMIT_SLACK_MS 1000
#define HTTP_ANSWER_SIZE 65536 /* where the user says nothing */
#define HTTP_CONNECTION_MAX 16
#define HTTP_RETRY_AFTER_S_MAX 86400
#define HTTP_USER_AGENT "weir/" WEIR_VERSION

/* Connections are only shared by requests with the same TLS settings: each of these has a curl
 * multi handle of its own. */
struct identity {
    struct http *http;
    struct tls *tls; /* NULL until the first request with https */
    CURLM *multi;
    struct timer timer; /* curl's */
    struct http_socket *sockets;
    uint64_t closed_sent, closed_received; /* of sockets that are gone, not yet told */
    struct tls_options options;            /* copies of the texts */
    char *texts[5];
};

struct http_socket {
    struct http_socket *next;
    struct identity *identity;
    struct watch watch;
    int fd;
    uint64_t sent, received; /* told already */
};

struct call {
    struct http_request *request; /* NULL: cancelled */
    struct identity *identity;
    struct call *next;
    CURL *easy;
    struct timer limit; /* in case curl never says how it ended: it may lose its own timer */
    bool added;         /* to the multi */
    bool asking;
    bool is_https;
    bool too_large;
    bool no_memory;
    struct name_query query;            /* its host is the one of the URL that was given */
    char url_host[NAMES_HOST_SIZE_MAX]; /* the host that curl looks up */
    uint16_t port;
    uint64_t end_ms;
    struct curl_slist *headers;
    struct curl_slist *resolve;
    uint8_t *body;
    size_t body_size, body_room;
    char retry_after[64];
    struct http_answer answer;
    char error[CURL_ERROR_SIZE];
};

struct http {
    struct loop *loop;
    struct names *names;
    struct identity *identities[HTTP_IDENTITY_MAX];
    struct call *calls;    /* under way */
    struct call *finished; /* done() is to be called */
    size_t call_count;     /* of both */
    struct timer deliver;
};

/* --- wire bytes --- */

/* What the socket has moved since it was asked last. */
static void socket_take_wire(struct http_socket *s, uint64_t *sent, uint64_t *received)
{
    struct wire_estimate now;
    if (wire_estimate(s->fd, &now)) {
        *sent += now.sent - s->sent;
        *received += now.received - s->received;
        s->sent = now.sent;
        s->received = now.received;
    }
}

static void identity_take_wire(struct identity *identity, struct http_answer *answer)
{
    answer->wire_sent = identity->closed_sent;
    answer->wire_received = identity->closed_received;
    identity->closed_sent = 0;
    identity->closed_received = 0;
    for (struct http_socket *s = identity->sockets; s; s = s->next) {
        socket_take_wire(s, &answer->wire_sent, &answer->wire_received);
    }
}

/* --- the end of a call --- */

static void call_free(struct call *call)
{
    timer_release(&call->limit);
    if (call->easy) {
        if (call->added) {
            curl_multi_remove_handle(call->identity->multi, call->easy);
        }
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->resolve);
    free(call->body);
    free(call);
}

static void list_remove(struct call **link, const struct call *call)
{
    while (*link && *link != call) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = call->next;
    }
}

/* From the list of those under way to the end of that of the finished: done() is called in a turn
 * of its own, so that the user may do anything there. */
static void call_finish(struct call *call)
{
    struct http *http = call->identity->http;
    timer_disarm(&call->limit);
    list_remove(&http->calls, call);
    struct call **link = &http->finished;
    while (*link) {
        link = &(*link)->next;
    }
    call->next = NULL;
    *link = call;
    timer_arm(&http->deliver, 0);
}

static void http_deliver_fire(struct timer *timer)
{
    struct http *http = CONTAINER_OF(timer, struct http, deliver);
    struct call *call = http->finished;
    if (!call) {
        return;
    }
    http->finished = call->next;
    http->call_count--;
    if (http->finished) {
        timer_arm(&http->deliver, 0);
    }
    struct http_request *request = call->request;
    request->private_ = NULL;
    if (call->added) {
        curl_multi_remove_handle(call->identity->multi, call->easy);
        call->added = false;
    }
    request->done(request, &call->answer); /* may close `http` */
    call_free(call);
}

static enum err call_error(const struct call *call, CURLcode code)
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
static enum err call_tls_error(struct call *call)
{
    const char *number = strstr(call->error, "(-0x");
    int code = number ? -(int)strtol(number + 2 + 2, NULL, 16) : 0;
    return tls_handshake_text(call->identity->tls, code, &call->answer.why);
}

static void call_set_result(struct call *call, CURLcode code)
{
    struct http_answer *answer = &call->answer;
    struct why *why = &answer->why;
    answer->e = call_error(call, code);
    if (code == CURLE_OK) {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &answer->status);
        answer->body = (struct slice){call->body, call->body_size};
        return;
    }
    bool is_tls = call->identity->tls && tls_problem_take(call->identity->tls, why);
    if (is_tls) {
        answer->e = ERR_AUTH;
    } else if (code == CURLE_SSL_CONNECT_ERROR && call->identity->tls) {
        answer->e = call_tls_error(call);
    } else if (call->too_large) {
        why_set(why, "the answer is larger than %zu bytes", call->request->answer_size_max);
    } else {
        why_set(why, "%s", call->error[0] ? call->error : curl_easy_strerror(code));
    }
    why_add(why, "%s %s", call->request->method, call->query.host);
}

/* RFC 9110, section 10.2.3: seconds, or a date, which is taken against the server's own clock. */
static void call_set_retry_after(struct call *call)
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

static void identity_collect(struct identity *identity)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(identity->multi, &left))) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        struct call *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        CURLcode code = message->data.result; /* gone with the next call of curl's */
        call_set_result(call, code);
        call_set_retry_after(call);
        curl_multi_remove_handle(identity->multi, call->easy);
        call->added = false;
        identity_take_wire(identity, &call->answer);
        call_finish(call);
    }
}

/* --- curl's sockets and timer on our loop --- */

static void identity_act(struct identity *identity, curl_socket_t fd, int events)
{
    int running;
    /* A failure here shows as failed calls. */
    (void)curl_multi_socket_action(identity->multi, fd, events, &running);
    identity_collect(identity);
}

static void socket_ready(struct watch *watch, unsigned events)
{
    struct http_socket *s = CONTAINER_OF(watch, struct http_socket, watch);
    int flags = (events & WATCH_READ ? CURL_CSELECT_IN : 0) |
                (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0) |
                (events & WATCH_ERROR ? CURL_CSELECT_ERR : 0);
    identity_act(s->identity, s->fd, flags);
}

static void identity_timer_fire(struct timer *timer)
{
    identity_act(CONTAINER_OF(timer, struct identity, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct identity *identity = context;
    if (timeout_ms < 0) {
        timer_disarm(&identity->timer);
    } else {
        timer_arm(&identity->timer, (uint64_t)timeout_ms);
    }
    return 0;
}

static struct http_socket **socket_find(struct identity *identity, int fd)
{
    struct http_socket **link = &identity->sockets;
    while (*link && (*link)->fd != fd) {
        link = &(*link)->next;
    }
    return link;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    (void)easy;
    (void)unused;
    struct http_socket *s = *socket_find(context, fd);
    if (!s) {
        return what == CURL_POLL_REMOVE ? 0 : -1;
    }
    if (what == CURL_POLL_REMOVE) {
        watch_stop(&s->watch);
        return 0;
    }
    unsigned events = (what & CURL_POLL_IN ? (unsigned)WATCH_READ : 0U) |
                      (what & CURL_POLL_OUT ? (unsigned)WATCH_WRITE : 0U);
    return watch_start(&s->watch, events) == ERR_OK ? 0 : -1;
}

static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    (void)purpose;
    struct identity *identity = context;
    int type = address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(address->family, type, address->protocol);
    struct http_socket *s = fd < 0 ? NULL : calloc(1, sizeof *s);
    if (!s) {
        if (fd >= 0) {
            close(fd);
        }
        return CURL_SOCKET_BAD;
    }
    s->fd = fd;
    s->identity = identity;
    watch_init(&s->watch, identity->http->loop, fd, socket_ready);
    s->next = identity->sockets;
    identity->sockets = s;
    return fd;
}

static int on_close_socket(void *context, curl_socket_t fd)
{
    struct identity *identity = context;
    struct http_socket **link = socket_find(identity, fd);
    struct http_socket *s = *link;
    if (s) {
        socket_take_wire(s, &identity->closed_sent, &identity->closed_received);
        watch_stop(&s->watch);
        *link = s->next;
        free(s);
    }
    return close(fd);
}

/* --- the answer --- */

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct call *call = context;
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
    struct call *call = context;
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

static CURLcode on_tls(CURL *easy, void *config, void *context)
{
    (void)easy;
    tls_apply(context, config);
    return CURLE_OK;
}

/* --- building a request --- */

/* Sets an option, and remembers when one could not be. */
#define SET(call, option, value) \
    do { \
        if (curl_easy_setopt((call)->easy, (option), (value)) != CURLE_OK) { \
            (call)->no_memory = true; \
        } \
    } while (0)

static void call_add_header(struct call *call, const char *header)
{
    struct curl_slist *longer = curl_slist_append(call->headers, header);
    if (longer) {
        call->headers = longer;
    } else {
        call->no_memory = true;
    }
}

static void call_set_headers(struct call *call)
{
    bool has_type = false;
    for (size_t i = 0; i < HTTP_HEADER_MAX && call->request->headers[i]; i++) {
        call_add_header(call, call->request->headers[i]);
        has_type = has_type || strncasecmp(call->request->headers[i], "content-type:", 13) == 0;
    }
    call_add_header(call, "Expect:"); /* no extra round trip before a body */
    if (!has_type) {
        call_add_header(call, "Content-Type:"); /* else curl calls it a form */
    }
    SET(call, CURLOPT_HTTPHEADER, call->headers);
    SET(call, CURLOPT_USERAGENT, HTTP_USER_AGENT);
}

static void call_set_method(struct call *call)
{
    const struct http_request *request = call->request;
    bool is_get = strcmp(request->method, "GET") == 0;
    if (strcmp(request->method, "HEAD") == 0) {
        SET(call, CURLOPT_NOBODY, 1L);
    } else if (is_get && !request->body.size) {
        SET(call, CURLOPT_HTTPGET, 1L);
    } else if (request->body.size || strcmp(request->method, "DELETE") != 0) {
        SET(call, CURLOPT_POST, 1L);
        SET(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        SET(call, CURLOPT_POSTFIELDS, request->body.size ? (const char *)request->body.data : "");
    }
    SET(call, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->user) {
        SET(call, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        SET(call, CURLOPT_USERNAME, request->user);
        SET(call, CURLOPT_PASSWORD, request->password ? request->password : "");
    }
}

static void call_set_connection(struct call *call)
{
    struct identity *identity = call->identity;
    SET(call, CURLOPT_PRIVATE, call);
    SET(call, CURLOPT_ERRORBUFFER, call->error);
    SET(call, CURLOPT_NOSIGNAL, 1L);
    SET(call, CURLOPT_PROXY, ""); /* its name would be resolved by curl, and block */
    SET(call, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(call, CURLOPT_HTTP_VERSION,
        call->request->http2_plain ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                   : (long)CURL_HTTP_VERSION_2TLS);
    /* Rather another stream of HTTP/2 than another handshake; without TLS a request would wait for
     * the first answer to learn that there is no HTTP/2. */
    SET(call, CURLOPT_PIPEWAIT, call->is_https ? 1L : 0L);
    SET(call, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(call, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(call, CURLOPT_OPENSOCKETDATA, identity);
    SET(call, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(call, CURLOPT_CLOSESOCKETDATA, identity);
    SET(call, CURLOPT_WRITEFUNCTION, on_body);
    SET(call, CURLOPT_WRITEDATA, call);
    SET(call, CURLOPT_HEADERFUNCTION, on_header);
    SET(call, CURLOPT_HEADERDATA, call);
    if (identity->tls) {
        SET(call, CURLOPT_SSL_CTX_FUNCTION, on_tls);
        SET(call, CURLOPT_SSL_CTX_DATA, identity->tls);
    }
}

/* "+HOST:PORT:ADDRESS,ADDRESS": what curl then finds in its cache for a minute. */
static void call_set_resolve(struct call *call)
{
    if (call->url_host[0] == '[') {
        return; /* a literal address */
    }
    char memory[NAMES_ADDRESS_MAX * (INET6_ADDRSTRLEN + 4) + NAMES_HOST_SIZE_MAX + 16];
    struct out line = out_over(memory, sizeof memory - 1);
    out_put_format(&line, "+%s:%u:", call->url_host, (unsigned)call->port);
    for (size_t i = 0; i < call->query.address_count; i++) {
        const struct sockaddr_storage *storage = &call->query.addresses[i].storage;
        char text[INET6_ADDRSTRLEN] = "";
        if (storage->ss_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)storage;
            inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        } else {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)storage;
            inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        }
        out_put_format(&line, i ? ",%s" : "%s", text);
    }
    assert(!line.overflow);
    memory[line.size] = 0;
    call->resolve = curl_slist_append(NULL, memory);
    if (!call->resolve) {
        call->no_memory = true;
    }
    SET(call, CURLOPT_RESOLVE, call->resolve);
}

static void call_fail(struct call *call, enum err e)
{
    call->answer.e = e;
    call_finish(call);
}

/* Without memory curl may fail to arm the timer of a request that it has taken. */
static void call_limit_fire(struct timer *timer)
{
    struct call *call = CONTAINER_OF(timer, struct call, limit);
    if (call->asking) {
        names_cancel(call->identity->http->names, &call->query);
        call->asking = false;
    }
    why_set(&call->answer.why, "%s %s: no end within its time", call->request->method,
            call->query.host);
    call_fail(call, ERR_TIMEOUT);
}

static void call_found(struct name_query *query, enum err e)
{
    struct call *call = CONTAINER_OF(query, struct call, query);
    call->asking = false;
    if (e) {
        call->answer.why = query->why;
        call_fail(call, e);
        return;
    }
    uint64_t now_ms = loop_now_ms(call->identity->http->loop);
    long left_ms = call->end_ms > now_ms ? (long)(call->end_ms - now_ms) : 1L;
    SET(call, CURLOPT_TIMEOUT_MS, left_ms);
    SET(call, CURLOPT_CONNECTTIMEOUT_MS, left_ms);
    call_set_resolve(call);
    if (call->no_memory || curl_multi_add_handle(call->identity->multi, call->easy) != CURLM_OK) {
        why_set(&call->answer.why, "no memory for a request to %s", query->host);
        call_fail(call, ERR_NOMEM);
        return;
    }
    call->added = true;
}

static bool call_set_url_text(struct call *call, const char *url, const char *host)
{
    SET(call, CURLOPT_URL, url);
    int size = snprintf(call->url_host, sizeof call->url_host, "%s", host);
    return size >= 0 && (size_t)size < sizeof call->url_host;
}

/* Puts `host` into the URL, where TLS takes it from; the address and the Host header stay those of
 * the URL that was given. */
static bool call_set_url_host(struct call *call, CURLU *url, const char *host)
{
    char *text = NULL;
    bool ok = curl_url_set(url, CURLUPART_HOST, host, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK;
    if (ok) {
        char header[NAMES_HOST_SIZE_MAX + 32];
        snprintf(header, sizeof header, call->port == 443 ? "Host: %s" : "Host: %s:%u",
                 call->query.host, (unsigned)call->port);
        call_add_header(call, header);
        ok = call_set_url_text(call, text, host);
    }
    curl_free(text);
    return ok;
}

/* Takes host and port out of the URL. */
static bool call_set_url(struct call *call)
{
    const char *server_name = call->identity->options.server_name;
    CURLU *url = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    bool ok = url && curl_url_set(url, CURLUPART_URL, call->request->url, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              strlen(host) < sizeof call->query.host;
    if (ok) {
        call->is_https = strcmp(scheme, "https") == 0;
        call->port = (uint16_t)strtoul(port, NULL, 10);
        snprintf(call->query.host, sizeof call->query.host, "%s", host);
        ok = call->is_https && server_name ? call_set_url_host(call, url, server_name)
                                           : call_set_url_text(call, call->request->url, host);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return ok;
}

/* --- identities --- */

static bool text_is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool options_are_same(const struct tls_options *a, const struct tls_options *b)
{
    return text_is_same(a->ca, b->ca) && text_is_same(a->certificate, b->certificate) &&
           text_is_same(a->key, b->key) && text_is_same(a->server_name, b->server_name) &&
           a->version_min == b->version_min && a->insecure == b->insecure;
}

static void identity_close(struct identity *identity)
{
    if (!identity) {
        return;
    }
    if (identity->multi) {
        curl_multi_cleanup(identity->multi); /* closes the sockets, by on_close_socket() */
    }
    assert(!identity->sockets);
    timer_release(&identity->timer);
    tls_close(identity->tls);
    for (size_t i = 0; i < ARRAY_COUNT(identity->texts); i++) {
        free(identity->texts[i]);
    }
    free(identity);
}

/* Copies the options: the configuration they come from may be replaced. */
static bool identity_copy_options(struct identity *identity, const struct tls_options *options)
{
    const char **members[] = {&identity->options.ca, &identity->options.certificate,
                              &identity->options.key, &identity->options.server_name};
    identity->options = *options;
    identity->options.client_ca = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        if (*members[i]) {
            identity->texts[i] = strdup(*members[i]);
            if (!identity->texts[i]) {
                return false;
            }
            *members[i] = identity->texts[i];
        }
    }
    return true;
}

static enum err identity_open(struct identity **ret, struct http *http,
                              const struct tls_options *options)
{
    struct identity *identity = calloc(1, sizeof *identity);
    if (!identity) {
        return ERR_NOMEM;
    }
    identity->http = http;
    timer_init(&identity->timer, http->loop, identity_timer_fire);
    identity->multi = curl_multi_init();
    if (!identity->multi || !identity_copy_options(identity, options)) {
        identity_close(identity);
        return ERR_NOMEM;
    }
    curl_multi_setopt(identity->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(identity->multi, CURLMOPT_SOCKETDATA, identity);
    curl_multi_setopt(identity->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(identity->multi, CURLMOPT_TIMERDATA, identity);
    curl_multi_setopt(identity->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTP_CONNECTION_MAX);
    *ret = identity;
    return ERR_OK;
}

static enum err http_identity(struct http *http, const struct tls_options *options,
                              struct identity **ret)
{
    static const struct tls_options defaults = {.is_set = false};
    options = options ? options : &defaults;
    for (size_t i = 0; i < HTTP_IDENTITY_MAX; i++) {
        if (!http->identities[i]) {
            enum err e = identity_open(&http->identities[i], http, options);
            *ret = http->identities[i];
            return e;
        }
        if (options_are_same(&http->identities[i]->options, options)) {
            *ret = http->identities[i];
            return ERR_OK;
        }
    }
    return ERR_FULL;
}

/* --- the client --- */

enum err http_open(struct http **ret, struct loop *loop, struct names *names)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return ERR_NOMEM;
    }
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        curl_global_cleanup();
        return ERR_NOMEM;
    }
    http->loop = loop;
    http->names = names;
    timer_init(&http->deliver, loop, http_deliver_fire);
    *ret = http;
    return ERR_OK;
}

static void http_drop(struct http *http, struct call *call)
{
    if (call->asking) {
        names_cancel(http->names, &call->query);
    }
    call->request->private_ = NULL;
    http->call_count--;
    call_free(call);
}

void http_close(struct http *http)
{
    if (!http) {
        return;
    }
    while (http->calls) {
        struct call *call = http->calls;
        http->calls = call->next;
        http_drop(http, call);
    }
    while (http->finished) {
        struct call *call = http->finished;
        http->finished = call->next;
        http_drop(http, call);
    }
    for (size_t i = 0; i < HTTP_IDENTITY_MAX; i++) {
        identity_close(http->identities[i]);
    }
    timer_release(&http->deliver);
    free(http);
    curl_global_cleanup();
}

/* Everything that can be said before the name is known. True: the name is being asked for. */
static bool call_start(struct http *http, struct call *call)
{
    struct why *why = &call->answer.why;
    enum err e = ERR_CONFIG;
    if (!call_set_url(call)) {
        why_set(why, "%s is no URL that can be used", call->request->url);
        goto fail;
    }
    if (call->is_https && !call->identity->tls) {
        e = tls_open(&call->identity->tls, &call->identity->options, TLS_CLIENT, why);
        if (e) {
            goto fail;
        }
    }
    call_set_connection(call);
    call_set_method(call);
    call_set_headers(call);
    call->query.port = call->port;
    call->query.found = call_found;
    e = call->no_memory ? ERR_NOMEM : names_query(http->names, &call->query);
    if (e) {
        why_set(why, "no room for a request to %s", call->query.host);
        goto fail;
    }
    call->asking = true;
    return true;

fail:
    call_fail(call, e);
    return false;
}

enum err http_send(struct http *http, struct http_request *request)
{
    assert(request->method && request->url && request->done && !request->private_);
    if (http->call_count == HTTP_REQUEST_MAX) {
        return ERR_FULL;
    }
    struct identity *identity = NULL;
    enum err e = http_identity(http, request->tls, &identity);
    if (e) {
        return e;
    }
    struct call *call = calloc(1, sizeof *call);
    CURL *easy = curl_easy_init();
    if (!call || !easy) {
        free(call);
        curl_easy_cleanup(easy);
        return ERR_NOMEM;
    }
    if (request->answer_size_max == 0) {
        request->answer_size_max = HTTP_ANSWER_SIZE;
    } else if (request->answer_size_max > HTTP_ANSWER_SIZE_MAX) {
        request->answer_size_max = HTTP_ANSWER_SIZE_MAX;
    }
    call->easy = easy;
    call->request = request;
    call->identity = identity;
    call->end_ms =
        loop_now_ms(http->loop) + (request->timeout_ms ? request->timeout_ms : HTTP_TIMEOUT_MS);
    timer_init(&call->limit, http->loop, call_limit_fire);
    timer_arm(&call->limit, call->end_ms - loop_now_ms(http->loop) + HTTP_LIMIT_SLACK_MS);
    call->next = http->calls;
    http->calls = call;
    http->call_count++;
    request->private_ = call;
    (void)call_start(http, call);
    return ERR_OK;
}

void http_cancel(struct http *http, struct http_request *request)
{
    struct call *call = request->private_;
    if (!call) {
        return;
    }
    assert(call->request == request);
    list_remove(&http->calls, call);
    list_remove(&http->finished, call);
    http_drop(http, call);
}
